//! Certificates for signing Nix packages: the format and the verifier.
//!
//! Everything here is pure. Time, trust, host and cache are arguments; there is no I/O, no clock, no environment,
//! no thread, no unsafe code, and nothing that signs. `FORMAT.md` at the top of the repository is the
//! specification, and comments quote its rules by number.
//!
//! Data flows one way:
//!
//! ```text
//! bytes -> CertificateName -> Certificate  (its key cannot verify anything yet)
//!                                |  trusted CA keys
//!                          VerifiedChain   (the only thing that checks an object's signature)
//!                                |  object, host, times
//!                             Verdict
//! ```
//!
//! [`judge`] is the whole decision:
//!
//! ```
//! use nixcert_core::{ChainCache, Object, Times, Trust, judge};
//!
//! let fingerprint = b"1;/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin;\
//!     sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0;196040;\
//!     /nix/store/0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl-7.82.0";
//! let object = Object::path(fingerprint)?;
//! let mut trust = Trust::default();
//! trust.public_keys.add("cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=")?;
//!
//! let verdict = judge(&object, &["junk"], &trust, Times::new_object(1_700_000_000), &mut ChainCache::default());
//! assert!(!verdict.accepted());
//! assert_eq!(verdict.reason().map(|reason| reason.code()), Some("malformed-signature"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod certificate;
mod chain;
mod closure;
mod encoding;
mod gate;
mod judge;
mod key;
mod label;
pub mod limits;
mod name;
mod narinfo;
mod object;
mod pattern;
mod policy;
mod reason;
mod rehearsal;
mod request;
mod revocation;
mod scope;
mod time;
mod trust;
mod votes;

pub use certificate::{
    ALGORITHM_ED25519, CERTIFICATE_CONTEXT, Certificate, CertificateError, ConstraintKind, Items, List,
    Usage, Usages, VERSION,
};
pub use chain::{ChainCache, ChainError, VerifiedChain};
pub use closure::{
    CLOSURE_CONTEXT, CLOSURE_MARK, ClosureDigest, ClosureHasher, ClosureName, ClosureOrderError, Statement,
    StatementError, closure_digest,
};
pub use encoding::{base32_decode, base32_encode, base64_decode, base64_encode};
pub use gate::{
    Basis, ClosureReason, ClosureSignature, Deployment, Earlier, Gate, GateRefusal, Member, MemberVerdict,
    Passed, ReasonError, Recorded, Tally, Unvouched, Voucher, is_of_a_closure,
};
pub use judge::{Outcome, Signer, Verdict, judge};
pub use key::{PublicKey, WeakKey};
pub use label::{Label, LabelError, Serial};
pub use name::{CERTIFICATE_MARK, CertificateName, NameError, is_certificate_name};
pub use narinfo::{NarInfo, NarInfoError};
pub use object::{Object, ObjectError, ObjectKind, PathInfo, StorePath, nix32};
pub use pattern::{HostPattern, NamePattern, PatternError, package_of};
pub use policy::{
    Activation, Authority, AuthorityRule, ClosureRule, Doubt, ListRules, Mode, NameSet, Policy, PolicyError,
    Threshold, VotesError,
};
pub use reason::{CertificateId, Judged, Reason, ScopeError, SignatureError};
pub use rehearsal::{Rehearsal, rehearse};
pub use request::{REQUEST_CONTEXT, REQUEST_MARK, Request, RequestError};
pub use revocation::{
    Cause, Entries, Extent, ListError, REVOCATION_CONTEXT, RevocationError, RevocationList, Revocations,
    Revoked, Selector, VerifiedList,
};
pub use time::{Clock, Instant, TimeError, Times};
pub use trust::{Anchors, HostName, PublicKeys, Trust, TrustError};
pub use votes::Together;
