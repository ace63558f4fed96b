//! Making what `nixcert-core` reads: keys, requests, certificates; and keeping a CA.

mod ca;
mod closure;
mod draft;
mod issuance;
mod log;
mod renewal;
mod revocation;
mod sealed;
mod secret_key;

pub use age::secrecy::{ExposeSecret, SecretString};
pub use ca::{Ca, CaError, CaKind};
pub use closure::{ClosureSignError, sign_path, sign_statement};
pub use draft::{Draft, DraftError, random_serial};
pub use issuance::{Issuance, IssueError, LabelPolicy, label_from};
pub use log::{Log, LogError, Record};
pub use renewal::{Choice, Current, Left, Plan, RenewalError, Step, revoked_by, selectors_of};
pub use revocation::{ChangeError, Changes, ListDraft, NextList, OwnListError};
pub use sealed::{SEALED_MARK, Seal, SealError};
pub use secret_key::{SecretKey, SecretKeyError};
