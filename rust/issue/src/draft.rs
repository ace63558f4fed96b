//! Writing certificates (FORMAT section 3).

use crate::secret_key::SecretKey;
use nixcert_core::{
    ALGORITHM_ED25519, CERTIFICATE_CONTEXT, Certificate, CertificateError, ConstraintKind, Instant, Label,
    PublicKey, Serial, Usage, Usages, VERSION,
};
use std::collections::BTreeSet;

/// A certificate to be: everything but the issuer's signature. "Everything" is written `*` in `permitted_names` and
/// `hosts`; empty ones are refused (FORMAT K1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Not zero; see [`random_serial`].
    pub serial: Serial,
    /// Who holds the key.
    pub label: String,
    /// The key.
    pub subject: PublicKey,
    /// The first second of validity.
    pub not_before: Instant,
    /// The first second after it.
    pub not_after: Instant,
    /// What the key may be used for.
    pub usages: Usages,
    /// How many further intermediates may follow; ignored without the usage *issue*.
    pub path_length: u8,
    /// Name patterns.
    pub permitted_names: BTreeSet<String>,
    /// Name patterns.
    pub excluded_names: BTreeSet<String>,
    /// Host patterns.
    pub hosts: BTreeSet<String>,
    /// Store directories; empty for `/nix/store` alone.
    pub store_directories: BTreeSet<String>,
}

impl Draft {
    /// Sign the certificate. What is returned was read back by the verifier's own parser.
    ///
    /// # Errors
    /// [`DraftError`] if the draft breaks a rule of FORMAT section 3.
    pub fn sign(&self, issuer: &SecretKey) -> Result<Vec<u8>, DraftError> {
        let mut bytes = self.to_be_signed(&issuer.public())?;
        let signature = issuer.sign(&[CERTIFICATE_CONTEXT, &bytes].concat());
        bytes.extend(signature);
        Certificate::parse(&bytes)?;
        Ok(bytes)
    }

    /// Whether [`Draft::sign`] would succeed, without the issuer's secret key.
    ///
    /// # Errors
    /// [`DraftError`] if the draft breaks a rule of FORMAT section 3.
    pub fn check(&self, issuer: &PublicKey) -> Result<(), DraftError> {
        let mut bytes = self.to_be_signed(issuer)?;
        bytes.extend([0; 64]);
        Certificate::parse(&bytes)?;
        Ok(())
    }

    /// The bytes that are signed behind [`CERTIFICATE_CONTEXT`]. Lengths are checked here; all else by the parser.
    fn to_be_signed(&self, issuer: &PublicKey) -> Result<Vec<u8>, DraftError> {
        Label::parse(self.label.as_bytes()).map_err(|_| CertificateError::Label)?;
        self.subject.check().map_err(|_| DraftError::WeakKey)?;
        let mut bytes = vec![VERSION, ALGORITHM_ED25519];
        bytes.extend(self.serial.0.to_be_bytes());
        push_short(&mut bytes, self.label.as_bytes())?;
        bytes.extend(self.subject.0);
        bytes.extend(issuer.0);
        bytes.extend(self.not_before.seconds().to_be_bytes());
        bytes.extend(self.not_after.seconds().to_be_bytes());
        bytes.push(self.usages.bits());
        if self.usages.contains(Usage::Issue) {
            bytes.push(self.path_length);
        }
        let constraints = [
            (ConstraintKind::PermittedNames, &self.permitted_names),
            (ConstraintKind::ExcludedNames, &self.excluded_names),
            (ConstraintKind::Hosts, &self.hosts),
            (ConstraintKind::StoreDirectories, &self.store_directories),
        ];
        let present: Vec<_> = constraints.into_iter().filter(|(_, items)| !items.is_empty()).collect();
        push_length(&mut bytes, present.len())?;
        for (kind, items) in present {
            // BTreeSet iterates in the order that FORMAT F10 wants.
            let mut value = Vec::new();
            for item in items {
                push_short(&mut value, item.as_bytes())?;
            }
            bytes.push(kind as u8);
            bytes.extend(u16::try_from(value.len()).map_err(|_| DraftError::TooLong)?.to_be_bytes());
            bytes.extend(value);
        }
        // Version 1 defines no extension.
        bytes.push(0);
        Ok(bytes)
    }
}

fn push_length(bytes: &mut Vec<u8>, length: usize) -> Result<(), DraftError> {
    bytes.push(u8::try_from(length).map_err(|_| DraftError::TooLong)?);
    Ok(())
}

fn push_short(bytes: &mut Vec<u8>, item: &[u8]) -> Result<(), DraftError> {
    push_length(bytes, item.len())?;
    bytes.extend(item);
    Ok(())
}

/// A serial number: 64 random bits, not all zero.
///
/// # Errors
/// [`DraftError::Randomness`] if the system has none.
pub fn random_serial() -> Result<Serial, DraftError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|_| DraftError::Randomness)?;
    Ok(Serial(u64::from_be_bytes(bytes).max(1)))
}

/// Why a certificate cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// An item or list beyond its length field.
    #[error("a pattern is longer than 255 bytes, or there are too many")]
    TooLong,
    /// The subject.
    #[error("the subject's key is not a usable Ed25519 public key")]
    WeakKey,
    /// What the verifier says of the certificate.
    #[error("the certificate would be refused: {0}")]
    Refused(#[from] CertificateError),
    /// No randomness.
    #[error("the system gave no randomness")]
    Randomness,
}
