//! What a host keeps of nixcert, and how it is read: the policy file that `ca-policy-file` names (FORMAT section 12), and the
//! directory of revocation lists that the policy names (section 11).
//!
//! [`Host`] looks at both again at every decision, so a change counts at the next one. Only [`Holdings`] writes, and only what
//! the rules of FORMAT L10 admit.

mod holdings;
mod host;
mod policy_file;
mod watched;

pub use holdings::{Action, Held, Holdings, HoldingsError, Installed};
pub use host::Host;
pub use policy_file::{ActivationFile, PolicyFile, PolicyFileError, RECORDS, VerifyContents};
