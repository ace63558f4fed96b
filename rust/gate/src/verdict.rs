//! What the gate says of a closure.

use crate::explain::LeftOver;
use crate::records::Fingerprint;
use crate::vouched::{Book, Since};
use nixcert_core::{ClosureSignature, GateRefusal, Instant, Passed, StorePath, Tally};
use nixcert_store::CLOSURE_PATHS;

/// What the gate says of a closure, and why.
#[derive(Debug)]
pub struct Verdict {
    /// The top-level path.
    pub path: StorePath,
    /// When it was judged.
    pub judged: Instant,
    /// How many paths its closure has; 0 if that is not known.
    pub paths: usize,
    /// What each path rests on.
    pub tally: Tally,
    /// What its closure signatures come to.
    pub closure_signatures: Vec<ClosureSignature>,
    /// The paths that nobody vouches for: the first of them.
    pub left_over: Vec<LeftOver>,
    /// Paths whose contents are not what the store's database says: the first of them. Empty where they were not read.
    pub differing: Vec<Differs>,
    /// Whether contents were read.
    pub verified_contents: bool,
    /// The leave to activate it, or all that stands against that: what is most useful to know comes first, and there is at
    /// least one.
    pub outcome: Result<Leave, Vec<Refusal>>,
}

impl Verdict {
    /// Refused before any path was judged.
    pub(crate) fn early(path: &StorePath, judged: Instant, paths: usize, refusal: Refusal) -> Self {
        Self {
            path: path.clone(),
            judged,
            paths,
            tally: Tally::default(),
            closure_signatures: Vec::new(),
            left_over: Vec::new(),
            differing: Vec::new(),
            verified_contents: false,
            outcome: Err(vec![refusal]),
        }
    }

    /// What stands against it; empty if it is accepted.
    pub fn refusals(&self) -> &[Refusal] {
        self.outcome.as_ref().err().map(Vec::as_slice).unwrap_or_default()
    }

    /// `accepted`, or the code of the main refusal.
    pub fn code(&self) -> &'static str {
        self.refusals().first().map_or("accepted", Refusal::code)
    }

    /// Who vouches for the system: those who signed its closure such that it counts, and those who vouch for its top-level
    /// path. Labels, each once.
    pub fn signers(&self) -> Vec<&str> {
        let by_closure =
            self.closure_signatures.iter().filter_map(|signature| signature.outcome.as_ref().ok());
        let mut labels: Vec<&str> =
            by_closure.chain(self.tally.vouch_for_the_system()).map(|voucher| voucher.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }
}

/// The leave to activate a closure, with all that is to be remembered of it. Only [`check`](crate::check) gives one.
#[derive(Debug)]
pub struct Leave {
    pub(crate) passed: Passed,
    pub(crate) book: Book,
    /// Who vouches for each path.
    pub(crate) paths: Vec<(Fingerprint, Since)>,
}

impl Leave {
    /// What may be activated.
    pub fn path(&self) -> &StorePath {
        self.passed.path()
    }

    /// Whether it was activated before, and needs no statement for that.
    pub fn is_again(&self) -> bool {
        self.passed.is_again()
    }
}

/// A path whose contents are not what the database says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// It.
    pub path: StorePath,
    /// In words.
    pub problem: String,
}

/// Why a closure may not be activated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// What the rules of FORMAT section 13 say.
    #[error(transparent)]
    Gate(#[from] GateRefusal),
    /// It is not in the store.
    #[error("it is not a valid path of this store")]
    PathNotValid,
    /// G8.
    #[error("its closure has more than {CLOSURE_PATHS} paths")]
    ClosureTooLarge,
    /// What is on disk was read.
    #[error("the contents of {paths} of its paths are not what the store's database says")]
    ContentsDiffer {
        /// How many.
        paths: usize,
    },
    /// Nobody knows what was activated last, so whether this is older.
    #[error("what was activated before cannot be read: {0}")]
    RecordsUnreadable(String),
}

impl Refusal {
    /// The reason code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gate(refusal) => refusal.code(),
            Self::PathNotValid => "path-not-valid",
            Self::ClosureTooLarge => "closure-too-large",
            Self::ContentsDiffer { .. } => "contents-differ",
            Self::RecordsUnreadable(_) => "records-unreadable",
        }
    }

    /// What would help.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Gate(refusal) => refusal.advice(),
            Self::PathNotValid => "bring it here first: nix copy, or nixcert deploy, which does all of it",
            Self::ClosureTooLarge => "no system is so large: look at what it refers to",
            Self::ContentsDiffer { .. } => {
                "somebody who was root changed them, or the disk did: nixcert deploy offers to replace them, and so does \
                 nix-store --verify --check-contents --repair"
            }
            Self::RecordsUnreadable(_) => {
                "the administrator must look at that file: restore it from a backup, or, if older deployments than the last \
                 are to be admitted once, move it away"
            }
        }
    }
}
