//! The question that the gate answers, and how: FORMAT section 13, for a path of this machine's store.

use crate::explain::path_of;
use crate::judging::{Judged, Judging, object};
use crate::records::{Earlier, Fingerprint, History, Records, RecordsError, path_key};
use crate::verdict::{Leave, Refusal, Verdict};
use crate::vouched::Book;
use nixcert_core::{
    ClosureDigest, ClosureHasher, ClosureOrderError, Deployment, Gate, GateRefusal, Instant, ObjectError,
    StorePath, Trust,
};
use nixcert_host::{ActivationFile, VerifyContents};
use nixcert_store::{CLOSURE_PATHS, Closure, Entry, Store, StoreError};
use std::path::Path;

/// Nix's state directory, below the root.
pub(crate) const STATE: &str = "nix/var/nix";

/// Paths that are read at once in the first pass.
const CHUNK: usize = 1_000;

/// All that the answer depends on, but for the store and the records.
pub struct Question<'a> {
    /// Whom this host trusts.
    pub trust: &'a Trust,
    /// How it activates systems, if its policy says so.
    pub activation: Option<&'a ActivationFile>,
    /// Below which the store is: `/`.
    pub root: &'a Path,
    /// When it is asked.
    pub now: Instant,
    /// The login name of who asks, if that is known.
    pub caller: Option<&'a str>,
    /// Read contents, also where the policy does not say so.
    pub verify_contents: bool,
    /// Who waits for the answer.
    pub watcher: &'a dyn Watcher,
}

/// Who waits for the answer.
pub trait Watcher: Sync {
    /// So many of so many are done; the latter is `usize::MAX` where another stage counts them.
    fn progress(&self, stage: Stage, done: usize, of: usize);

    /// Whether to stop.
    fn is_cancelled(&self) -> bool;
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The closure's paths are read from the database.
    Listing,
    /// They are judged.
    Judging,
    /// The contents of a path are read.
    Reading,
}

impl Question<'_> {
    pub(crate) fn proceed(&self, stage: Stage, done: usize, of: usize) -> Result<(), CheckError> {
        if self.watcher.is_cancelled() {
            return Err(CheckError::Cancelled);
        }
        self.watcher.progress(stage, done, of);
        Ok(())
    }
}

/// Ask whether a path and all that it refers to may become the system of this host.
///
/// # Errors
/// [`CheckError`]: nobody can tell.
pub fn check(question: &Question<'_>, top: &StorePath) -> Result<Verdict, CheckError> {
    let early = |paths, refusal| Ok(Verdict::early(top, question.now, paths, refusal));
    // Without records nobody would know of older deployments. A policy that was changed just now is read anew next time.
    if question.trust.policy.activation.is_some() && question.activation.is_none() {
        return early(0, GateRefusal::NoActivationPolicy.into());
    }
    let mut store = Store::open(&question.root.join(STATE))?;
    let closure = match store.closure(top, CLOSURE_PATHS) {
        Err(StoreError::NotValid(_)) => return early(0, Refusal::PathNotValid),
        Err(StoreError::TooMany { .. }) => return early(0, Refusal::ClosureTooLarge),
        closure => closure?,
    };
    let Listed { digest, fingerprints, top: entry } = list(question, &closure, top)?;
    let records = question.activation.map(|activation| Records::new(&activation.records));
    let history = match records.map_or_else(|| Ok(History::default()), |records| records.read()) {
        Ok(history) => history,
        Err(error) if error.is_denied() => return Err(error.into()),
        Err(error) => return early(closure.len(), Refusal::RecordsUnreadable(error.to_string())),
    };
    let top_object = object(&entry)?;
    let again = history.has(top, digest);
    let deployment = Deployment {
        top: &top_object,
        signatures: &entry.signatures,
        closure: digest,
        last: history.last(),
        again,
        caller: question.caller,
    };
    let gate = match Gate::new(question.trust, question.now.seconds(), &deployment) {
        Ok(gate) => gate,
        Err(refusal) => return early(closure.len(), refusal.into()),
    };
    let mut book = Book::default();
    // Where all paths have one answer, nobody asks for an earlier one; of the same closure it is carried on.
    let earlier = if gate.vouches_alike() && !again {
        Earlier::default()
    } else {
        match history.earlier(&fingerprints, &mut book) {
            Ok(earlier) => earlier,
            Err(error) => return early(closure.len(), Refusal::RecordsUnreadable(error.to_string())),
        }
    };
    let by_policy = question.activation.is_some_and(|it| it.verify_contents == VerifyContents::Always);
    let verify_contents = question.verify_contents || by_policy;
    let judging = Judging { question, gate: &gate, earlier: &earlier, verify_contents };
    let judged = judging.run(&closure, book)?;
    Ok(conclude(question, &gate, (&history, &fingerprints), judged, verify_contents, top))
}

/// What the first pass found.
struct Listed {
    digest: ClosureDigest,
    /// Of each path, in order.
    fingerprints: Vec<Fingerprint>,
    top: Entry,
}

fn list(question: &Question<'_>, closure: &Closure<'_>, top: &StorePath) -> Result<Listed, CheckError> {
    let mut hasher = ClosureHasher::default();
    let mut fingerprints = Vec::with_capacity(closure.len());
    let mut found = None;
    for start in (0..closure.len()).step_by(CHUNK) {
        question.proceed(Stage::Listing, start, closure.len())?;
        for entry in closure.read(start..start.saturating_add(CHUNK).min(closure.len()))? {
            let object = object(&entry)?;
            hasher.add(&object)?;
            fingerprints.push(Fingerprint::of(&object));
            if entry.info.path == *top {
                found = Some(entry);
            }
        }
    }
    let top = found.ok_or_else(|| StoreError::NotValid(top.clone()))?;
    Ok(Listed { digest: hasher.finish(), fingerprints, top })
}

fn conclude(
    question: &Question<'_>,
    gate: &Gate,
    (history, fingerprints): (&History, &[Fingerprint]),
    judged: Judged,
    verified_contents: bool,
    top: &StorePath,
) -> Verdict {
    let Judged { tally, left_over, differing, differing_count, since, book } = judged;
    let mut refusals = Vec::new();
    let passed = match gate.conclude(&tally) {
        Ok(passed) => Some(passed),
        Err(gates) => {
            refusals.extend(gates.into_iter().map(Refusal::Gate));
            None
        }
    };
    if differing_count > 0 {
        refusals.push(Refusal::ContentsDiffer { paths: differing_count });
    }
    let paths = fingerprints.len();
    let vouched: Vec<_> = fingerprints
        .iter()
        .zip(since)
        .filter_map(|(fingerprint, since)| Some((*fingerprint, since?)))
        .collect();
    if refusals.is_empty() && vouched.len() != paths {
        let of = u32::try_from(paths).unwrap_or(u32::MAX);
        refusals.push(GateRefusal::Incomplete { judged: vouched.len() as u64, of }.into());
    }
    let outcome = match passed {
        Some(passed) if refusals.is_empty() => Ok(Leave { passed, book, paths: vouched }),
        Some(_) | None => Err(refusals),
    };
    let mut left_over: Vec<_> = left_over.into_iter().collect();
    let positions: Vec<Fingerprint> =
        left_over.iter().filter_map(|(position, _)| fingerprints.get(*position).copied()).collect();
    // Only an explanation: without it there is one less.
    let was = if positions.is_empty() { Ok(Default::default()) } else { history.other_contents(&positions) };
    for (_, left_over) in &mut left_over {
        let key = path_of(left_over).map(|path| path_key(&path));
        left_over.was = key.and_then(|key| was.as_ref().ok()?.get(&key).cloned());
    }
    Verdict {
        path: top.clone(),
        judged: question.now,
        paths,
        tally,
        closure_signatures: gate.closure_signatures().to_vec(),
        left_over: left_over.into_iter().map(|(_, left_over)| left_over).collect(),
        differing: differing.into_iter().map(|(_, differs)| differs).collect(),
        verified_contents,
        outcome,
    }
}

/// Why nobody can tell.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store's database holds what is no store object's.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Records.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The store's paths do not come in order.
    #[error(transparent)]
    Order(#[from] ClosureOrderError),
    /// A thread ended by itself.
    #[error("this is a defect of nixcert: please report it")]
    Defect,
    /// Somebody asked to stop.
    #[error("interrupted")]
    Cancelled,
}
