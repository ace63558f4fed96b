//! From certificates to a chain that ends in a trusted CA key (FORMAT section 5).

use crate::certificate::{Certificate, Usage};
use crate::closure::Statement;
use crate::key::{PublicKey, UsableKey, WeakKey};
use crate::limits::{CACHED_CHAINS, CACHED_FINGERPRINT_BYTES, CACHED_SIGNATURES};
use crate::reason::{CertificateId, Reason};
use crate::trust::Anchors;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A chain that was checked from leaf to anchor (FORMAT V1 to V5). Beside a plain trusted key it is the only thing whose
/// key checks an object's signature, and this module makes the only ones there are.
///
/// ```compile_fail
/// let chain = nixcert_core::VerifiedChain { certificates: vec![] };
/// ```
#[derive(Debug)]
pub struct VerifiedChain {
    certificates: Vec<Vec<u8>>,
    leaf: PublicKey,
    leaf_key: UsableKey,
    anchor: PublicKey,
}

impl VerifiedChain {
    /// Check a chain: cheap rules first, then the signatures from the anchor down, so that no key is used before
    /// someone trusted has signed it.
    ///
    /// # Errors
    /// A [`Reason`] of the stages certificate or chain.
    pub fn verify(certificates: Vec<Vec<u8>>, anchors: &Anchors) -> Result<Self, Reason> {
        let parsed = parse_all(&certificates)?;
        let leaf = parsed.first().ok_or(ChainError::Empty)?;
        let (leaf_key, anchor) = verify_from(0, &parsed, anchors)?;
        // V4: "nor may its subject key be a trusted CA key"
        if anchors.get(&leaf.subject).is_some() {
            return Err(ChainError::IssuerAsLeaf { certificate: CertificateId::new(leaf, 0) }.into());
        }
        Ok(Self { leaf: leaf.subject, leaf_key, anchor, certificates })
    }

    /// Check the chain of an intermediate CA, for showing it: the same rules, with the leaf left out. Returns the CA key
    /// that it ends in.
    ///
    /// # Errors
    /// A [`Reason`] of the stages certificate or chain.
    pub fn verify_issuers(certificates: &[Vec<u8>], anchors: &Anchors) -> Result<PublicKey, Reason> {
        verify_from(1, &parse_all(certificates)?, anchors).map(|(_, anchor)| anchor)
    }

    /// The certificates, leaf first, read from the bytes that were verified.
    ///
    /// # Errors
    /// None in practice, since these bytes were read before; a caller that meets one refuses.
    pub fn certificates(&self) -> Result<Vec<Certificate<'_>>, Reason> {
        parse_all(&self.certificates)
    }

    /// The CA key that the chain ends in.
    pub fn anchor(&self) -> &PublicKey {
        &self.anchor
    }

    /// Whether the leaf signed this statement (FORMAT S3): who says what. Whether that counts, [`crate::Gate`] decides.
    pub fn has_signed(&self, statement: &Statement, signature: &[u8; 64]) -> bool {
        statement.signed_message().is_ok_and(|message| self.verifies(&message, signature))
    }

    /// The certificates' bytes, leaf first.
    pub(crate) fn bytes(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// Check the leaf's signature of an object's fingerprint, or of a statement.
    pub(crate) fn verifies(&self, fingerprint: &[u8], signature: &[u8; 64]) -> bool {
        self.leaf_key.verifies(fingerprint, signature)
    }
}

fn parse_all(certificates: &[Vec<u8>]) -> Result<Vec<Certificate<'_>>, Reason> {
    let parse = |(position, bytes)| {
        Certificate::parse(bytes).map_err(|error| Reason::Certificate { position, error })
    };
    certificates.iter().map(Vec::as_slice).enumerate().map(parse).collect()
}

/// V1 to V5, for the certificates c₍first₎ … cₙ. Returns the key of the first, and the anchor's.
fn verify_from(
    first: usize,
    chain: &[Certificate<'_>],
    anchors: &Anchors,
) -> Result<(UsableKey, PublicKey), Reason> {
    check_links(first, chain)?;
    let last = chain.last().ok_or(ChainError::Empty)?;
    let anchor = anchors.get(&last.issuer).ok_or_else(|| ChainError::UntrustedCa {
        certificate: CertificateId::new(last, first + chain.len() - 1),
        issuer: last.issuer,
    })?;
    // V3: "Each certificate's signature MUST be valid for its issuer key"
    let mut key = anchor.key;
    for (position, certificate) in chain.iter().enumerate().rev() {
        let id = || CertificateId::new(certificate, first + position);
        if !key.verifies(&certificate.signed_message(), certificate.signature) {
            return Err(ChainError::BadSignature { certificate: id() }.into());
        }
        key = certificate.subject.usable().map_err(|WeakKey| ChainError::WeakKey { certificate: id() })?;
    }
    Ok((key, last.issuer))
}

/// V1, V2, V4 and V5: what needs no cryptography.
fn check_links(first: usize, chain: &[Certificate<'_>]) -> Result<(), ChainError> {
    let id = |position: usize, certificate: &Certificate<'_>| CertificateId::new(certificate, position);
    for (position, pair) in (first..).zip(chain.windows(2)) {
        let [certificate, issuer] = pair else { continue };
        // V1: "The issuer key of each cᵢ MUST equal the subject key of cᵢ₊₁"
        if certificate.issuer != issuer.subject {
            return Err(ChainError::IssuerMismatch { certificate: id(position, certificate) });
        }
    }
    // V2: "The subject keys and the CA's key MUST be pairwise different."
    let mut keys: Vec<PublicKey> = chain.iter().map(|certificate| certificate.subject).collect();
    keys.extend(chain.last().map(|last| last.issuer));
    keys.sort_unstable();
    if keys.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(ChainError::RepeatedKey);
    }
    for (position, certificate) in (first..).zip(chain) {
        let issues = certificate.usages.contains(Usage::Issue);
        match position {
            // V4: "c₁ … cₙ MUST have the usage issue; c₀ MUST NOT."
            0 if issues => return Err(ChainError::IssuerAsLeaf { certificate: id(position, certificate) }),
            0 => {}
            _ if !issues => return Err(ChainError::NotAnIssuer { certificate: id(position, certificate) }),
            // V5: "The path length of cᵢ (i ≥ 1) MUST be at least i − 1."
            _ if usize::from(certificate.path_length) < position - 1 => {
                return Err(ChainError::PathLength {
                    certificate: id(position, certificate),
                    allowed: certificate.path_length,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Why certificates do not make a chain to a trusted CA.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// There is no certificate.
    #[error("there is no certificate")]
    Empty,
    /// V1.
    #[error("{certificate} was issued by {issuer}, which is not among this host's trusted-ca-keys")]
    UntrustedCa {
        /// The last certificate, as it was read.
        certificate: CertificateId,
        /// The issuer of the last certificate.
        issuer: PublicKey,
    },
    /// V1.
    #[error("{certificate} was not issued by the certificate that follows it")]
    IssuerMismatch {
        /// The certificate whose issuer is missing.
        certificate: CertificateId,
    },
    /// V2.
    #[error("one key stands in the chain twice")]
    RepeatedKey,
    /// V4.
    #[error("{certificate} is for issuing certificates; its key may not sign packages")]
    IssuerAsLeaf {
        /// The leaf.
        certificate: CertificateId,
    },
    /// V4.
    #[error("{certificate} may not issue certificates")]
    NotAnIssuer {
        /// The certificate that stands where an intermediate must.
        certificate: CertificateId,
    },
    /// V5.
    #[error("{certificate} allows {allowed} further intermediates below it, and there are more")]
    PathLength {
        /// The intermediate.
        certificate: CertificateId,
        /// Its path length.
        allowed: u8,
    },
    /// V3.
    #[error("{certificate} does not bear its issuer's signature (was it changed?)")]
    BadSignature {
        /// The certificate.
        certificate: CertificateId,
    },
    /// F4, C4.
    #[error("{certificate} certifies something that is not a usable Ed25519 public key")]
    WeakKey {
        /// The certificate.
        certificate: CertificateId,
    },
}

impl ChainError {
    /// The reason code (FORMAT section 8).
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "malformed-name",
            Self::UntrustedCa { .. } => "untrusted-ca",
            Self::IssuerMismatch { .. } => "issuer-mismatch",
            Self::RepeatedKey => "repeated-key",
            Self::IssuerAsLeaf { .. } => "issuer-as-leaf",
            Self::NotAnIssuer { .. } => "not-an-issuer",
            Self::PathLength { .. } => "path-length-exceeded",
            Self::BadSignature { .. } => "bad-certificate-signature",
            Self::WeakKey { .. } => "weak-key",
        }
    }
}

/// Verified chains by their bytes, at most [`CACHED_CHAINS`], and signatures that were good, at most [`CACHED_SIGNATURES`]; the
/// oldest goes first. What is remembered depends on neither host nor time. The trusted keys are looked up again at each use, so
/// a cache outlives a change of trust.
#[derive(Debug, Default)]
pub struct ChainCache {
    chains: BTreeMap<Box<[u8]>, Arc<VerifiedChain>>,
    by_age: VecDeque<Box<[u8]>>,
    good: VecDeque<GoodSignature>,
}

/// A key, what it signed, and how.
#[derive(Debug)]
struct GoodSignature {
    key: PublicKey,
    message: Box<[u8]>,
    signature: [u8; 64],
}

impl ChainCache {
    pub(crate) fn get(&self, certificates: &[u8], anchors: &Anchors) -> Option<Arc<VerifiedChain>> {
        let still_good = |chain: &&Arc<VerifiedChain>| {
            anchors.get(&chain.anchor).is_some() && anchors.get(&chain.leaf).is_none()
        };
        self.chains.get(certificates).filter(still_good).cloned()
    }

    /// Whether a chain's leaf signed this: computed, or remembered, which is the same.
    pub(crate) fn verifies(&mut self, chain: &VerifiedChain, message: &[u8], signature: &[u8; 64]) -> bool {
        let is_this = |good: &GoodSignature| {
            good.signature == *signature && good.key == chain.leaf && *good.message == *message
        };
        if self.good.iter().any(is_this) {
            return true;
        }
        let verifies = chain.verifies(message, signature);
        if verifies && message.len() <= CACHED_FINGERPRINT_BYTES {
            self.good.truncate(CACHED_SIGNATURES - 1);
            self.good.push_front(GoodSignature {
                key: chain.leaf,
                message: message.into(),
                signature: *signature,
            });
        }
        verifies
    }

    pub(crate) fn insert(&mut self, certificates: &[u8], chain: Arc<VerifiedChain>) {
        let key: Box<[u8]> = certificates.into();
        if self.chains.insert(key.clone(), chain).is_none() {
            self.by_age.push_back(key);
        }
        while self.by_age.len() > CACHED_CHAINS {
            if let Some(oldest) = self.by_age.pop_front() {
                self.chains.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn public(seed: u8) -> PublicKey {
        PublicKey(key(seed).verifying_key().to_bytes())
    }

    /// As if it had been verified.
    fn chain(leaf: u8, anchor: u8) -> Arc<VerifiedChain> {
        let leaf = public(leaf);
        let leaf_key = leaf.usable().unwrap();
        Arc::new(VerifiedChain { certificates: vec![], leaf, leaf_key, anchor: public(anchor) })
    }

    fn anchors(seeds: &[u8]) -> Anchors {
        let mut anchors = Anchors::default();
        for seed in seeds {
            let key = crate::encoding::base64_encode(&public(*seed).0);
            anchors.add(&format!("ca-{seed}:{key}")).unwrap();
        }
        anchors
    }

    #[test]
    fn the_oldest_chains_go_first() {
        let mut cache = ChainCache::default();
        let name = |number: usize| number.to_be_bytes();
        for number in 0..CACHED_CHAINS {
            cache.insert(&name(number), chain(1, 2));
        }
        cache.insert(&name(0), chain(1, 2));
        assert!((0..CACHED_CHAINS).all(|number| cache.get(&name(number), &anchors(&[2])).is_some()));
        cache.insert(&name(CACHED_CHAINS), chain(1, 2));
        assert_eq!((cache.chains.len(), cache.by_age.len()), (CACHED_CHAINS, CACHED_CHAINS));
        assert!(cache.get(&name(0), &anchors(&[2])).is_none());
        assert!((1..=CACHED_CHAINS).all(|number| cache.get(&name(number), &anchors(&[2])).is_some()));
    }

    #[test]
    fn who_is_trusted_is_asked_each_time() {
        let mut cache = ChainCache::default();
        cache.insert(b"chain", chain(1, 2));
        assert!(cache.get(b"chain", &anchors(&[2, 3])).is_some());
        assert!(cache.get(b"chain", &anchors(&[3])).is_none(), "its CA is trusted no more");
        assert!(cache.get(b"chain", &anchors(&[1, 2])).is_none(), "V4: its leaf is a CA now");
        assert!(cache.get(b"another", &anchors(&[2])).is_none());
    }

    #[test]
    fn a_signature_is_remembered_for_its_key_and_message_alone() {
        let mut cache = ChainCache::default();
        let signature = key(1).sign(b"one").to_bytes();
        let mut other = signature;
        other[0] ^= 1;
        for _ in 0..2 {
            assert!(cache.verifies(&chain(1, 2), b"one", &signature));
            assert!(!cache.verifies(&chain(1, 2), b"two", &signature));
            assert!(!cache.verifies(&chain(3, 2), b"one", &signature));
            assert!(!cache.verifies(&chain(1, 2), b"one", &other));
        }
        assert_eq!(cache.good.len(), 1, "once, and none that was bad");
    }

    #[test]
    fn few_and_short_ones_are_remembered() {
        let mut cache = ChainCache::default();
        let mut sign = |message: &[u8]| {
            assert!(cache.verifies(&chain(1, 2), message, &key(1).sign(message).to_bytes()));
            cache.good.len()
        };
        assert_eq!(sign(&[0; CACHED_FINGERPRINT_BYTES + 1]), 0);
        assert_eq!(sign(&[0; CACHED_FINGERPRINT_BYTES]), 1);
        assert_eq!((0..=u8::MAX).map(|number| sign(&[number])).max(), Some(CACHED_SIGNATURES));
    }
}
