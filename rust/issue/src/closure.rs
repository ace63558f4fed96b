//! Signing what becomes the system of a host: the closure statement (FORMAT section 13), and each path.

use crate::secret_key::SecretKey;
use nixcert_core::{
    CLOSURE_CONTEXT, Certificate, CertificateName, ClosureName, NameError, Object, Statement, StatementError,
    base64_encode,
};

/// Sign a statement, whose bytes another may have signed before. Returns a closure signature (FORMAT S1).
///
/// # Errors
/// [`ClosureSignError`] if the bytes are no statement, or the certificate is not this key's, or both do not fit into a name.
pub fn sign_statement(
    key: &SecretKey,
    certificate_name: &str,
    statement: &[u8],
) -> Result<String, ClosureSignError> {
    is_of_key(key, certificate_name)?;
    Statement::parse(statement)?;
    let name = ClosureName::format(statement, certificate_name)?;
    let signature = key.sign(&[CLOSURE_CONTEXT, statement].concat());
    Ok(format!("{name}:{}", base64_encode(&signature)))
}

/// Sign a path, as `nix store sign` does. Returns a certificate signature (FORMAT N4).
///
/// # Errors
/// [`ClosureSignError`] if the certificate is not this key's.
pub fn sign_path(
    key: &SecretKey,
    certificate_name: &str,
    object: &Object,
) -> Result<String, ClosureSignError> {
    is_of_key(key, certificate_name)?;
    Ok(format!("{certificate_name}:{}", base64_encode(&key.sign(object.fingerprint()))))
}

/// Nobody accepts a signature under the certificate of another key.
fn is_of_key(key: &SecretKey, certificate_name: &str) -> Result<(), ClosureSignError> {
    let name = CertificateName::parse(certificate_name.as_bytes())?;
    let leaf = name.certificates().first().and_then(|bytes| Certificate::parse(bytes).ok());
    match leaf {
        Some(leaf) if leaf.subject == key.public() => Ok(()),
        Some(_) | None => Err(ClosureSignError::AnotherKey),
    }
}

/// Why nothing was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosureSignError {
    /// The bytes are no statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The name is none of a certificate, or too long with the statement in it.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The certificate is for another key.
    #[error("the certificate is for another key than the one that signs")]
    AnotherKey,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Draft;
    use nixcert_core::{
        Anchors, ClosureDigest, Instant, Label, Serial, StorePath, Usage, VerifiedChain, base64_decode,
    };

    fn certified(key: &SecretKey, ca: &SecretKey) -> String {
        let everything = || std::collections::BTreeSet::from(["*".to_owned()]);
        let draft = Draft {
            serial: Serial(1),
            label: "alice".to_owned(),
            subject: key.public(),
            not_before: Instant::from_seconds(0).unwrap(),
            not_after: Instant::from_seconds(9).unwrap(),
            usages: [Usage::VouchForSystems].into_iter().collect(),
            path_length: 0,
            permitted_names: everything(),
            excluded_names: Default::default(),
            hosts: everything(),
            store_directories: Default::default(),
        };
        let certificate = draft.sign(ca).unwrap();
        CertificateName::format(Label::parse(b"alice").unwrap(), &[certificate])
    }

    #[test]
    fn what_is_signed_is_read_back_and_only_by_its_own_key() {
        let (key, ca) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let name = certified(&key, &ca);
        let statement = Statement {
            path: StorePath::parse("/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-system").unwrap(),
            closure: ClosureDigest { sha256: [7; 32], paths: 1 },
            hosts: ["web-1".to_owned()].into(),
            signed: Instant::from_seconds(1).unwrap(),
            not_after: Instant::from_seconds(2).unwrap(),
        };
        let bytes = statement.to_bytes().unwrap();
        let signature = sign_statement(&key, &name, &bytes).unwrap();
        let (signed_name, payload) = signature.split_once(':').unwrap();
        let read = ClosureName::parse(signed_name.as_bytes()).unwrap();
        assert_eq!((read.statement.as_slice(), read.certificate_name.as_str()), (bytes.as_slice(), &*name));

        let mut anchors = Anchors::default();
        anchors.add(&format!("acme:{}", ca.public())).unwrap();
        let parsed = CertificateName::parse(name.as_bytes()).unwrap();
        let chain = VerifiedChain::verify(parsed.certificates().to_vec(), &anchors).unwrap();
        let payload: [u8; 64] = base64_decode(payload.as_bytes()).unwrap().try_into().unwrap();
        assert!(chain.has_signed(&statement, &payload));
        let later = Statement { not_after: Instant::from_seconds(3).unwrap(), ..statement };
        assert!(!chain.has_signed(&later, &payload));

        let other = SecretKey::from_seed(&[3; 32]);
        assert_eq!(sign_statement(&other, &name, &bytes), Err(ClosureSignError::AnotherKey));
        assert_eq!(
            sign_statement(&key, &name, &bytes[1..]),
            Err(ClosureSignError::Statement(StatementError::UnknownAlgorithm(0)))
        );
        assert_eq!(sign_statement(&key, "alice", &bytes), Err(ClosureSignError::Name(NameError::NoMark)));
    }
}
