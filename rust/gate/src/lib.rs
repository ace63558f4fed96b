//! The activation gate on a host (FORMAT section 13): [`check`] judges a closure of this machine's store, [`Records`] remember
//! what was activated and who vouched for it, and [`tools`] are the programs that act.
//!
//! ```text
//! store, policy, records -> check -> Verdict -> Leave -> Records::write, then the profile, then the switch
//! ```
//!
//! Nothing here runs, or reads as instructions, what is in a closure, but for [`tools::switch`], which is what all the rest is
//! for. Only the command uses this, never the library that Nix's daemon links.

mod check;
mod explain;
mod judging;
mod log;
mod progress;
mod records;
mod repair;
pub mod tools;
mod verdict;
mod vouched;

pub use check::{CheckError, Question, Stage, Watcher, check};
pub use explain::{ImportedBy, LeftOver, ReasonText, SignatureReport, Was};
pub use log::{Event, Log, tell_the_system};
pub use progress::{InProgress, Lock, LockError, this_process};
pub use records::{Meta, Records, RecordsError};
pub use repair::{Decision, HEAD_BYTES, NAR_BYTES, PATHS, RepairError, Repairer};
pub use verdict::{Differs, Leave, Refusal, Verdict};
