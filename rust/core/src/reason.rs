//! Why a signature does not count: one code and one sentence each (FORMAT section 8).

use crate::certificate::{Certificate, CertificateError, Usage};
use crate::chain::ChainError;
use crate::label::Serial;
use crate::name::NameError;
use crate::policy::{PolicyError, VotesError};
use crate::revocation::RevocationError;
use crate::time::Instant;
pub use crate::time::Judged;
use crate::trust::TrustError;
use std::fmt;

/// Why a signature, or an object, was refused. Ordered by how far the signature came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The object has no signature.
    NoSignatures,
    /// The signature itself.
    Signature(SignatureError),
    /// The configuration of this host.
    Configuration(TrustError),
    /// The name it stands under.
    Name(NameError),
    /// A certificate in the name.
    Certificate {
        /// 0 is the leaf.
        position: usize,
        /// What is wrong with it.
        error: CertificateError,
    },
    /// The chain.
    Chain(ChainError),
    /// The signature is its key's, but for another object or none.
    BadSignature {
        /// The certificate, or none for a plain key.
        certificate: Option<CertificateId>,
    },
    /// A certificate that is good, but not for this.
    Scope {
        /// The certificate that says no.
        certificate: CertificateId,
        /// What it says no to.
        error: ScopeError,
    },
    /// Revocation.
    Revocation {
        /// The certificate that was revoked; none if that is not known.
        certificate: Option<CertificateId>,
        /// What is the matter.
        error: RevocationError,
    },
    /// The host's policy, which says no to a certificate that is good.
    Policy {
        /// The leaf.
        certificate: CertificateId,
        /// What it says no to.
        error: PolicyError,
    },
    /// The host's policy, which asks for more votes than there are. A reason of objects, not of signatures.
    Votes(VotesError),
}

impl Reason {
    /// The reason code: kebab case, the same everywhere.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSignatures => "no-signatures",
            Self::Signature(error) => error.code(),
            Self::Configuration(_) => "broken-configuration",
            Self::Name(error) => error.code(),
            Self::Certificate { error, .. } => error.code(),
            Self::Chain(error) => error.code(),
            Self::BadSignature { .. } => "bad-signature",
            Self::Scope { error, .. } => error.code(),
            Self::Revocation { error, .. } => error.code(),
            Self::Policy { error, .. } => error.code(),
            Self::Votes(error) => error.code(),
        }
    }

    /// Every code there is, in the order of FORMAT section 8.
    pub const CODES: &'static [&'static str] = &[
        "no-signatures",
        "malformed-object",
        "too-many-signatures",
        "malformed-signature",
        "unknown-key",
        "broken-configuration",
        "malformed-name",
        "name-too-long",
        "chain-too-long",
        "malformed-certificate",
        "unknown-version",
        "unknown-algorithm",
        "unknown-usage",
        "unknown-constraint",
        "untrusted-ca",
        "issuer-mismatch",
        "repeated-key",
        "issuer-as-leaf",
        "not-an-issuer",
        "path-length-exceeded",
        "bad-certificate-signature",
        "weak-key",
        "label-mismatch",
        "bad-signature",
        "not-yet-valid",
        "expired",
        "missing-usage",
        "store-directory-not-permitted",
        "host-name-not-configured",
        "host-not-permitted",
        "name-excluded",
        "name-not-permitted",
        "revocation-list-missing",
        "revocation-list-unreadable",
        "revocation-list-too-old",
        "retired",
        "compromised",
        "ca-not-in-policy",
        "usage-not-in-policy",
        "validity-too-long",
        "chain-too-deep",
        "name-excluded-by-policy",
        "name-not-permitted-by-policy",
        "protected-name",
        "too-few-votes",
    ];

    /// How far the signature came: the higher, the more useful to its owner.
    pub fn rank(&self) -> usize {
        let code = self.code();
        Self::CODES.iter().position(|known| *known == code).unwrap_or_default()
    }

    /// What would help, for the person who reads the refusal.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoSignatures => "sign it: nix store sign -k KEY-FILE",
            Self::Signature(SignatureError::UnknownKey { .. }) => {
                "sign with a key that this host trusts, or with a certificate of its CA"
            }
            Self::Signature(_) | Self::BadSignature { .. } => "sign it again",
            Self::Configuration(TrustError::Policy { .. }) => {
                "the administrator of this host must correct it: nixcert policy check"
            }
            Self::Configuration(_) => "the administrator of this host must correct nix.conf",
            Self::Name(_) | Self::Certificate { .. } => {
                "attach the certificate to the key again: nixcert attach"
            }
            Self::Chain(ChainError::UntrustedCa { .. }) => {
                "ask for a certificate from a CA that this host trusts"
            }
            Self::Chain(_) => "ask the CA for a new certificate",
            Self::Scope { error, .. } => error.advice(),
            Self::Revocation { error, .. } => error.advice(),
            Self::Policy { error, .. } => error.advice(),
            Self::Votes(error) => error.advice(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSignatures => f.write_str("it has no signature"),
            Self::Signature(error) => error.fmt(f),
            Self::Configuration(error @ TrustError::Policy { .. }) => {
                write!(f, "certificates are switched off: {error}")
            }
            Self::Configuration(error) => {
                write!(f, "certificates are switched off by a mistake in nix.conf: {error}")
            }
            Self::Name(error) => error.fmt(f),
            Self::Certificate { position: 0, error } => write!(f, "the certificate is malformed: {error}"),
            Self::Certificate { position, error } => {
                write!(f, "intermediate {position} is malformed: {error}")
            }
            Self::Chain(error) => error.fmt(f),
            Self::BadSignature { certificate: None } => {
                f.write_str("the signature is not one of this object by that key")
            }
            Self::BadSignature { certificate: Some(certificate) } => {
                write!(f, "the signature is not one of this object by the key of {certificate}")
            }
            Self::Scope { certificate, error } => write!(f, "{certificate} {error}"),
            Self::Revocation { certificate: Some(certificate), error } => write!(f, "{certificate} {error}"),
            Self::Revocation { certificate: None, error } => error.fmt(f),
            Self::Policy { certificate, error } => write!(f, "{certificate} {error}"),
            Self::Votes(error) => error.fmt(f),
        }
    }
}

impl From<NameError> for Reason {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

impl From<ChainError> for Reason {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl From<SignatureError> for Reason {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

/// A certificate in a message: label, serial, place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateId {
    /// The label.
    pub label: String,
    /// The serial number.
    pub serial: Serial,
    /// 0 is the leaf.
    pub position: usize,
}

impl CertificateId {
    pub(crate) fn new(certificate: &Certificate<'_>, position: usize) -> Self {
        Self { label: certificate.label.to_string(), serial: certificate.serial, position }
    }
}

impl fmt::Display for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.position == 0 { "certificate" } else { "intermediate" };
        write!(f, "{kind} '{}' (serial {})", self.label, self.serial)
    }
}

/// What is wrong with a signature before any certificate is looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// D7.
    #[error("65536 other signatures of the object were checked before it, which is the limit")]
    TooMany,
    /// N1, C3.
    #[error("it is not NAME:BASE64 with the base64 of 64 bytes")]
    Malformed,
    /// D5.
    #[error(
        "the key '{name}' is not among this host's trusted-public-keys, and its name holds no certificate"
    )]
    UnknownKey {
        /// The name, shortened.
        name: String,
    },
    /// N3.
    #[error("the name says '{name}', but the certificate in it is for '{certificate}'")]
    LabelMismatch {
        /// The label in front.
        name: String,
        /// The label in the leaf.
        certificate: String,
    },
}

impl SignatureError {
    /// The reason code (FORMAT section 8).
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "too-many-signatures",
            Self::Malformed => "malformed-signature",
            Self::UnknownKey { .. } => "unknown-key",
            Self::LabelMismatch { .. } => "label-mismatch",
        }
    }
}

/// What a verified certificate does not allow (FORMAT D2 to D4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// D2.
    #[error("is not valid before {not_before}; it was judged at {at}")]
    NotYetValid {
        /// The first second of validity.
        not_before: Instant,
        /// When it was judged: seconds since the epoch.
        at: Judged,
    },
    /// D2.
    #[error("expired at {not_after}; it was judged at {at}")]
    Expired {
        /// The first second after validity.
        not_after: Instant,
        /// When it was judged: seconds since the epoch.
        at: Judged,
    },
    /// D3.
    #[error("does not have the usage '{0}'")]
    MissingUsage(Usage),
    /// K2.
    #[error("is not for the store directory '{0}'")]
    StoreDirectory(String),
    /// K5.
    #[error("is for certain hosts only, and this host has no 'ca-host-name'")]
    HostNameNotConfigured,
    /// K5.
    #[error("is not for the host '{0}'")]
    Host(String),
    /// Kind 2.
    #[error("excludes the name '{0}'")]
    NameExcluded(String),
    /// Kind 1.
    #[error("does not permit the name '{0}'")]
    NameNotPermitted(String),
}

impl ScopeError {
    /// The reason code (FORMAT section 8).
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotYetValid { .. } => "not-yet-valid",
            Self::Expired { .. } => "expired",
            Self::MissingUsage(_) => "missing-usage",
            Self::StoreDirectory(_) => "store-directory-not-permitted",
            Self::HostNameNotConfigured => "host-name-not-configured",
            Self::Host(_) => "host-not-permitted",
            Self::NameExcluded(_) => "name-excluded",
            Self::NameNotPermitted(_) => "name-not-permitted",
        }
    }

    fn advice(&self) -> &'static str {
        match self {
            Self::NotYetValid { .. } => "wait, or have this host's clock set",
            Self::Expired { .. } => "renew the certificate, or check this host's clock",
            Self::MissingUsage(_)
            | Self::StoreDirectory(_)
            | Self::Host(_)
            | Self::NameExcluded(_)
            | Self::NameNotPermitted(_) => {
                "ask the CA for a certificate that allows it, or another person to sign"
            }
            Self::HostNameNotConfigured => {
                "the administrator of this host must set 'ca-host-name' in nix.conf"
            }
        }
    }
}
