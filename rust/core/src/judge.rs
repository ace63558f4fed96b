//! The decision (FORMAT section 7), in one place.

use crate::certificate::{Certificate, Usage};
use crate::chain::{ChainCache, ChainError, VerifiedChain};
use crate::encoding::base64_decode;
use crate::key::PublicKey;
use crate::label::Serial;
use crate::limits::CHECKED_SIGNATURES;
use crate::name::{CertificateName, is_certificate_name};
use crate::object::{Object, ObjectKind, shorten};
use crate::pattern::HostPattern;
use crate::reason::{CertificateId, Judged, Reason, ScopeError, SignatureError};
use crate::time::{Instant, Times};
use crate::trust::Trust;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a signature comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Counted(Signer),
    /// It does not, and has no effect on any other.
    Refused(Reason),
}

/// By whose key an object is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A key in `trusted-public-keys`.
    Plain {
        /// Its name.
        name: String,
        /// The key.
        key: PublicKey,
    },
    /// A key that a CA in `trusted-ca-keys` certified.
    Certified {
        /// The key.
        key: PublicKey,
        /// The leaf's label.
        label: String,
        /// The leaf's serial number.
        serial: Serial,
        /// Who certified it: the CA's name in `trusted-ca-keys`, and the labels of the intermediates from there down,
        /// joined by `/` (which neither can contain). Label and serial mean something only together with this: an
        /// intermediate may issue a label and a serial that another has issued.
        authority: String,
    },
}

impl Signer {
    /// The key that signed.
    pub fn key(&self) -> PublicKey {
        match self {
            Self::Plain { key, .. } | Self::Certified { key, .. } => *key,
        }
    }
}

/// The whole answer about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// One for each signature, in the order given.
    pub signatures: Vec<Outcome>,
}

impl Verdict {
    /// Whether any signature counts.
    pub fn accepted(&self) -> bool {
        self.signers().next().is_some()
    }

    /// Who signed, for each signature that counts.
    pub fn signers(&self) -> impl Iterator<Item = &Signer> {
        self.signatures.iter().filter_map(|outcome| match outcome {
            Outcome::Counted(signer) => Some(signer),
            Outcome::Refused(_) => None,
        })
    }

    /// The distinct keys that signed (FORMAT D6).
    pub fn keys(&self) -> BTreeSet<PublicKey> {
        self.signers().map(Signer::key).collect()
    }

    /// Why the object is refused: the reason of the signature that came furthest. `None` if it is accepted.
    pub fn reason(&self) -> Option<&Reason> {
        const NONE: &Reason = &Reason::NoSignatures;
        let refusals = self.signatures.iter().filter_map(|outcome| match outcome {
            Outcome::Refused(reason) => Some(reason),
            Outcome::Counted(_) => None,
        });
        if self.accepted() { None } else { refusals.max_by_key(|reason| reason.rank()).or(Some(NONE)) }
    }
}

/// Judge an object by all its signatures at once.
///
/// Pure: the same arguments give the same verdict, whatever `cache` holds (up to FORMAT D7's limit, which chains in the
/// cache come under first). The cost is linear in the number of signatures, for a given object; a chain is checked once,
/// however many signatures claim it.
pub fn judge<S: AsRef<[u8]>>(
    object: &Object,
    signatures: &[S],
    trust: &Trust,
    times: Times,
    cache: &mut ChainCache,
) -> Verdict {
    let mut judgement = Judgement {
        object,
        trust,
        times,
        cache,
        refused_chains: BTreeMap::new(),
        checks_left: CHECKED_SIGNATURES,
    };
    // Known chains first: what was seen to be good before cannot be crowded out by what was not.
    let known = |index: &usize| {
        signatures.get(*index).is_some_and(|signature| judgement.knows_chain(signature.as_ref()))
    };
    let (known, unknown): (Vec<usize>, Vec<usize>) = (0..signatures.len()).partition(known);
    let mut outcomes = BTreeMap::new();
    for index in known.into_iter().chain(unknown) {
        let signature = signatures.get(index).map(AsRef::as_ref).unwrap_or_default();
        let outcome = judgement.signature(signature).map_or_else(Outcome::Refused, Outcome::Counted);
        outcomes.insert(index, outcome);
    }
    Verdict { signatures: outcomes.into_values().collect() }
}

struct Judgement<'a> {
    object: &'a Object,
    trust: &'a Trust,
    times: Times,
    cache: &'a mut ChainCache,
    /// Chains that were found bad for this object's signatures, so that junk is not checked twice.
    refused_chains: BTreeMap<Vec<u8>, Reason>,
    /// How many more signatures may be checked (FORMAT D7).
    checks_left: usize,
}

impl Judgement<'_> {
    fn knows_chain(&self, signature: &[u8]) -> bool {
        split_signature(signature)
            .ok()
            .and_then(|(name, _)| CertificateName::parts(name).ok())
            .is_some_and(|(_, certificates)| self.cache.get(certificates, &self.trust.anchors).is_some())
    }

    /// D7: "At most 65,536 signatures of an object are checked"
    fn count_check(&mut self) -> Result<(), SignatureError> {
        self.checks_left = self.checks_left.checked_sub(1).ok_or(SignatureError::TooMany)?;
        Ok(())
    }

    fn signature(&mut self, signature: &[u8]) -> Result<Signer, Reason> {
        let (name, payload) = split_signature(signature)?;
        let payload = decode_payload(payload)?;
        let certified = is_certificate_name(name);

        // D5: "A certificate signature whose whole name is that of a trusted public key is tried as a plain signature first."
        if let Some(key) = self.trust.public_keys.get(name) {
            self.count_check()?;
            if key.usable().is_ok_and(|usable| usable.verifies(self.object.fingerprint(), &payload)) {
                return Ok(Signer::Plain { name: String::from_utf8_lossy(name).into_owned(), key });
            }
            if !certified {
                return Err(Reason::BadSignature { certificate: None });
            }
        }
        if !certified {
            return Err(SignatureError::UnknownKey { name: shorten(&String::from_utf8_lossy(name)) }.into());
        }
        self.certificate_signature(name, &payload)
    }

    fn certificate_signature(&mut self, name: &[u8], payload: &[u8; 64]) -> Result<Signer, Reason> {
        if let Some(error) = &self.trust.broken {
            return Err(Reason::Configuration(error.clone()));
        }
        let chain = self.chain(name)?;
        let certificates = chain.certificates()?;
        let leaf = certificates.first().ok_or(ChainError::Empty)?;
        let (label, _) = CertificateName::parts(name)?;
        // N3: "LABEL MUST equal the label in the leaf."
        if label != leaf.label {
            return Err(SignatureError::LabelMismatch {
                name: label.to_string(),
                certificate: leaf.label.to_string(),
            }
            .into());
        }
        // D1: "the signature is valid for the leaf's subject key and the fingerprint"
        self.count_check()?;
        if !chain.verifies(self.object.fingerprint(), payload) {
            return Err(Reason::BadSignature { certificate: Some(CertificateId::new(leaf, 0)) });
        }
        self.check_validity(&certificates)?;
        for (position, certificate) in certificates.iter().enumerate() {
            self.check_scope(certificate).map_err(|error| Reason::Scope {
                certificate: CertificateId::new(certificate, position),
                error,
            })?;
        }
        let anchor = self.trust.anchors.name_of(chain.anchor()).unwrap_or_default();
        let intermediates = certificates.iter().skip(1).rev().map(|certificate| certificate.label.as_str());
        let authority = std::iter::once(anchor).chain(intermediates).collect::<Vec<_>>().join("/");
        Ok(Signer::Certified {
            key: leaf.subject,
            label: leaf.label.to_string(),
            serial: leaf.serial,
            authority,
        })
    }

    /// The verified chain of a name: remembered, or checked now.
    fn chain(&mut self, name: &[u8]) -> Result<Arc<VerifiedChain>, Reason> {
        let (_, certificates) = CertificateName::parts(name)?;
        if let Some(chain) = self.cache.get(certificates, &self.trust.anchors) {
            return Ok(chain);
        }
        if let Some(reason) = self.refused_chains.get(certificates) {
            return Err(reason.clone());
        }
        let verified = CertificateName::parse(name)
            .map_err(Reason::from)
            .and_then(|name| VerifiedChain::verify(name.certificates().to_vec(), &self.trust.anchors));
        match verified {
            Ok(chain) => {
                let chain = Arc::new(chain);
                self.cache.insert(certificates, Arc::clone(&chain));
                Ok(chain)
            }
            Err(reason) => {
                self.refused_chains.insert(certificates.to_vec(), reason.clone());
                Err(reason)
            }
        }
    }

    /// D2: "There is one instant at which every certificate of the chain is valid"
    fn check_validity(&self, certificates: &[Certificate<'_>]) -> Result<(), Reason> {
        let invalid_at = |at| {
            certificates.iter().enumerate().find_map(|(position, certificate)| {
                let error = outside_validity(certificate, at)?;
                Some(Reason::Scope { certificate: CertificateId::new(certificate, position), error })
            })
        };
        if self.times.instants().any(|at| invalid_at(at).is_none()) {
            return Ok(());
        }
        invalid_at(self.times.now).map_or(Ok(()), Err)
    }

    fn check_scope(&self, certificate: &Certificate<'_>) -> Result<(), ScopeError> {
        // D3: "Every certificate of the chain has the usage that the object needs"
        let usage = match self.object.kind() {
            ObjectKind::Path => Usage::ImportPaths,
            ObjectKind::Realisation => Usage::ImportRealisations,
        };
        if !certificate.usages.contains(usage) {
            return Err(ScopeError::MissingUsage(usage));
        }
        self.check_store_directory(certificate)?;
        self.check_host(certificate)?;
        let name = self.object.store_path().name();
        if certificate.excludes_name(name) {
            return Err(ScopeError::NameExcluded(name.to_owned()));
        }
        if !certificate.permits_name(name) {
            return Err(ScopeError::NameNotPermitted(name.to_owned()));
        }
        Ok(())
    }

    fn check_store_directory(&self, certificate: &Certificate<'_>) -> Result<(), ScopeError> {
        let directory = self.object.store_path().directory();
        let mut listed = certificate.store_directories.iter();
        // K2: "Where kind 4 is absent, the store directory MUST be /nix/store."
        let permitted = if certificate.store_directories.is_empty() {
            directory == "/nix/store"
        } else {
            listed.any(|item| item == directory.as_bytes())
        };
        if permitted { Ok(()) } else { Err(ScopeError::StoreDirectory(shorten(directory))) }
    }

    fn check_host(&self, certificate: &Certificate<'_>) -> Result<(), ScopeError> {
        let mut patterns = certificate.hosts.iter().filter_map(|item| HostPattern::parse(item).ok());
        match &self.trust.host {
            Some(host) if patterns.any(|pattern| pattern.matches(host.as_str().as_bytes())) => Ok(()),
            Some(host) => Err(ScopeError::Host(host.to_string())),
            // K5: "A host without one satisfies only the pattern *, which every host satisfies."
            None if patterns.any(|pattern| pattern.is_any()) => Ok(()),
            None => Err(ScopeError::HostNameNotConfigured),
        }
    }
}

/// N1: "NAME ends at the first `:`"
fn split_signature(signature: &[u8]) -> Result<(&[u8], &[u8]), SignatureError> {
    let colon = signature.iter().position(|byte| *byte == b':').ok_or(SignatureError::Malformed)?;
    let (name, payload) = signature.split_at_checked(colon).ok_or(SignatureError::Malformed)?;
    if name.is_empty() {
        Err(SignatureError::Malformed)
    } else {
        Ok((name, payload.get(1..).unwrap_or_default()))
    }
}

/// "of 64 bytes, C3": 88 characters. Nothing longer is decoded.
fn decode_payload(payload: &[u8]) -> Result<[u8; 64], SignatureError> {
    let bytes =
        (payload.len() == 88).then(|| base64_decode(payload)).flatten().ok_or(SignatureError::Malformed)?;
    bytes.try_into().map_err(|_| SignatureError::Malformed)
}

fn outside_validity(certificate: &Certificate<'_>, at: u64) -> Option<ScopeError> {
    let seconds = Instant::seconds;
    if at < seconds(certificate.not_before) {
        Some(ScopeError::NotYetValid { not_before: certificate.not_before, at: Judged(at) })
    } else if at >= seconds(certificate.not_after) {
        Some(ScopeError::Expired { not_after: certificate.not_after, at: Judged(at) })
    } else {
        None
    }
}
