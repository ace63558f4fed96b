//! Why a closure signature does not count, and why the gate stays closed: one code and one sentence each.

use crate::closure::StatementError;
use crate::limits::CHECKED_SIGNATURES;
use crate::object::StorePath;
use crate::policy::VotesError;
use crate::reason::{Judged, Reason};
use crate::time::Instant;
use crate::trust::TrustError;

/// Why a closure signature does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosureReason {
    /// There are more than any system needs.
    #[error("{CHECKED_SIGNATURES} other closure signatures were checked before it, which is the limit")]
    TooMany,
    /// S1, S2.
    #[error(transparent)]
    Malformed(StatementError),
    /// G3.
    #[error("the statement is about {0}")]
    AnotherPath(StorePath),
    /// What any signature by a certificate may be refused for.
    #[error(transparent)]
    Signature(#[from] ReasonError),
    /// G4.
    #[error("the statement is not for the host '{0}'")]
    AnotherHost(String),
    /// G4.
    #[error("the statement is for certain hosts only, and this host has no 'ca-host-name'")]
    HostNameNotConfigured,
    /// G4.
    #[error("the statement was good until {not_after}; it was judged at {at}")]
    Expired {
        /// The first second after.
        not_after: Instant,
        /// When it was judged.
        at: Judged,
    },
    /// G4.
    #[error(
        "the statement says that it was signed at {signed}, which is ahead of the time or of its certificate's end; it was judged at {at}"
    )]
    InTheFuture {
        /// When it says it was signed.
        signed: Instant,
        /// When it was judged.
        at: Judged,
    },
    /// G5.
    #[error(
        "the statement was signed at {signed}, and a deployment signed at {last} was activated here since: deployments never go back"
    )]
    Older {
        /// When it was signed.
        signed: Instant,
        /// When the last was.
        last: Instant,
    },
}

/// A [`Reason`] as an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ReasonError(pub Reason);

impl From<Reason> for ClosureReason {
    fn from(reason: Reason) -> Self {
        Self::Signature(ReasonError(reason))
    }
}

impl ClosureReason {
    /// The codes of its own, in the order of FORMAT section 13; others are those of [`Reason`].
    pub const CODES: &'static [&'static str] = &[
        "too-many-signatures",
        "malformed-statement",
        "statement-of-another-path",
        "statement-of-another-host",
        "host-name-not-configured",
        "statement-expired",
        "statement-in-the-future",
        "older-deployment",
    ];

    /// The reason code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "too-many-signatures",
            Self::Malformed(_) => "malformed-statement",
            Self::AnotherPath(_) => "statement-of-another-path",
            Self::Signature(ReasonError(reason)) => reason.code(),
            Self::AnotherHost(_) => "statement-of-another-host",
            Self::HostNameNotConfigured => "host-name-not-configured",
            Self::Expired { .. } => "statement-expired",
            Self::InTheFuture { .. } => "statement-in-the-future",
            Self::Older { .. } => "older-deployment",
        }
    }

    /// How far the signature came.
    pub(super) fn rank(&self) -> (usize, usize) {
        match self {
            Self::TooMany => (0, 0),
            Self::Malformed(_) => (1, 0),
            Self::AnotherPath(_) => (2, 0),
            Self::Signature(ReasonError(reason)) => (3, reason.rank()),
            Self::AnotherHost(_) | Self::HostNameNotConfigured => (4, 0),
            Self::Expired { .. } => (5, 0),
            Self::InTheFuture { .. } => (6, 0),
            Self::Older { .. } => (7, 0),
        }
    }

    /// What would help.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::TooMany | Self::Malformed(_) | Self::AnotherPath(_) => {
                "sign this closure: nixcert closure sign PATH"
            }
            Self::Signature(ReasonError(reason)) => reason.advice(),
            Self::AnotherHost(_) => "sign it for this host: nixcert closure sign --host NAME PATH",
            Self::HostNameNotConfigured => {
                "the administrator of this host must set 'ca-host-name' in nix.conf"
            }
            Self::Expired { .. } | Self::Older { .. } => "sign it again: nixcert closure sign PATH",
            Self::InTheFuture { .. } => "check the clocks of this host and of who signed, and sign it again",
        }
    }
}

/// Why the gate stays closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateRefusal {
    /// G1.
    #[error("this host's policy has no [activation], so it does not say who may vouch for a system")]
    NoActivationPolicy,
    /// G1.
    #[error("{0}")]
    BrokenConfiguration(TrustError),
    /// G3.
    #[error("it bears no closure signature, and this host's policy asks for one")]
    ClosureSignatureMissing,
    /// G3, G4, G5.
    #[error("no closure signature counts: {0}")]
    ClosureSignature(ClosureReason),
    /// G3.
    #[error("{0}")]
    TooFewVotes(VotesError),
    /// G6.
    #[error("{}, and this host's policy asks that whoever activates a system has signed it", match caller {
        Some(caller) => format!("'{caller}' has not signed this deployment"),
        None => "nobody knows who asks (there is no SUDO_USER)".to_owned(),
    })]
    CallerHasNotSigned {
        /// The login name, if it is known.
        caller: Option<String>,
    },
    /// G2.
    #[error("nobody who counts vouches for {paths} of its {of} paths")]
    NotVouchedFor {
        /// How many.
        paths: u32,
        /// Of how many.
        of: u32,
    },
    /// Not all paths were judged.
    #[error("{judged} paths were judged, and the closure has {of}")]
    Incomplete {
        /// How many were.
        judged: u64,
        /// Of how many.
        of: u32,
    },
}

impl GateRefusal {
    /// The codes of its own, in the order of FORMAT section 13.
    pub const CODES: &'static [&'static str] = &[
        "no-activation-policy",
        "broken-configuration",
        "closure-signature-missing",
        "too-few-votes",
        "caller-has-not-signed",
        "not-vouched-for",
        "internal-error",
    ];

    /// The reason code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoActivationPolicy => "no-activation-policy",
            Self::BrokenConfiguration(_) => "broken-configuration",
            Self::ClosureSignatureMissing => "closure-signature-missing",
            Self::ClosureSignature(reason) => reason.code(),
            Self::TooFewVotes(_) => "too-few-votes",
            Self::CallerHasNotSigned { .. } => "caller-has-not-signed",
            Self::NotVouchedFor { .. } => "not-vouched-for",
            Self::Incomplete { .. } => "internal-error",
        }
    }

    /// What would help.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NoActivationPolicy => {
                "the administrator of this host must add [activation] to the file ca-policy-file: see README"
            }
            Self::BrokenConfiguration(_) => {
                "the administrator of this host must correct it: nixcert policy check"
            }
            Self::ClosureSignatureMissing => {
                "sign it: nixcert closure sign PATH, and bring that here: nixcert closure push"
            }
            Self::ClosureSignature(reason) => reason.advice(),
            Self::TooFewVotes(_) => {
                "let another person sign the same statement: nixcert closure sign --co-sign PATH"
            }
            Self::CallerHasNotSigned { .. } => "sign it yourself, or let somebody activate it who has",
            Self::NotVouchedFor { .. } => {
                "sign these paths, or replace their contents with what was signed: nixcert deploy does both"
            }
            Self::Incomplete { .. } => "this is a defect of nixcert: please report it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::SignatureError;

    /// A signature is told of for how far it came; and of two that came as far as their certificates, as elsewhere.
    #[test]
    fn ranks_are_the_order_in_which_things_are_asked() {
        let time = Instant::from_seconds(0).unwrap();
        let path = StorePath::parse("/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-top").unwrap();
        let ascending = [
            ClosureReason::TooMany,
            ClosureReason::Malformed(StatementError::TooLong),
            ClosureReason::AnotherPath(path),
            Reason::NoSignatures.into(),
            Reason::from(SignatureError::TooMany).into(),
            Reason::BadSignature { certificate: None }.into(),
            ClosureReason::HostNameNotConfigured,
            ClosureReason::Older { signed: time, last: time },
        ];
        let ranks: Vec<_> = ascending.iter().map(ClosureReason::rank).collect();
        assert!(ranks.is_sorted_by(|one, next| one < next), "{ranks:?}");
    }
}
