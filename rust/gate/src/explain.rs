//! Why nobody vouches for a path, and who brought it: in words, and bounded, whatever was attached to it.

use nixcert_core::{
    ChainCache, Instant, Object, Outcome, Reason, Signer, StorePath, Times, Trust, Unvouched,
    is_of_a_closure, judge,
};
use nixcert_store::Entry;
use serde::Serialize;

/// How many signatures of a path are told of; the most telling come first. Anybody may attach more.
const SIGNATURES_TOLD: usize = 16;

/// Longest text that is passed on of what somebody sent, in characters.
const TEXT: usize = 300;

/// A path that nobody who counts vouches for.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOver {
    /// It.
    pub path: String,
    /// The code of what is most useful to know.
    pub reason: &'static str,
    /// The same in a sentence.
    pub message: String,
    /// When this store registered it, in seconds since the epoch; 0 if that is not known.
    pub registered: u64,
    /// Whether it was built here.
    pub ultimate: bool,
    /// What it is said to have been built from.
    pub deriver: Option<String>,
    /// What its signatures come to, but those of closures: the most telling.
    pub signatures: Vec<SignatureReport>,
    /// How many more there are.
    pub more_signatures: usize,
    /// Why those do not count for it whose closure signatures cover it.
    pub covering: Vec<ReasonText>,
    /// The votes that are missing.
    pub missing_votes: Option<ReasonText>,
    /// Why those do not count who vouched for it in an earlier generation.
    pub earlier: Vec<ReasonText>,
    /// Why it is not content-addressed, though it claims to be.
    pub content_address: Option<String>,
    /// Whose signatures let it into the store.
    pub imported_by: Vec<ImportedBy>,
    /// What this path was in the newest generation in which it had other contents.
    pub was: Option<Was>,
}

/// A code, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReasonText {
    /// The reason code.
    pub code: &'static str,
    /// What it says.
    pub message: String,
}

/// What a signature of a path comes to.
#[derive(Clone, Debug, Serialize)]
pub struct SignatureReport {
    /// Under which name it stands, shortened.
    pub name: String,
    /// The label in the name; it is proven only where the signature is.
    pub label: Option<String>,
    /// Null if it counts, and is not enough.
    pub code: Option<&'static str>,
    /// What the code means here.
    pub message: Option<String>,
    #[serde(skip)]
    rank: (bool, usize),
}

/// Somebody whose signature lets a path into the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImportedBy {
    /// The label, or the name of a plain key.
    pub label: String,
    /// The CA, and intermediates; none of a plain key.
    pub authority: Option<String>,
    /// The certificate's serial number.
    pub serial: Option<String>,
}

/// Other contents that a path had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Was {
    /// When they were activated, in seconds since the epoch.
    pub activated: u64,
    /// Who vouched for them.
    pub vouched_for_by: Vec<String>,
}

impl From<&Reason> for ReasonText {
    fn from(reason: &Reason) -> Self {
        Self { code: reason.code(), message: shorten(&reason.to_string()) }
    }
}

impl LeftOver {
    pub(crate) fn new(
        entry: &Entry,
        object: &Object,
        unvouched: &Unvouched,
        (trust, now): (&Trust, Instant),
        cache: &mut ChainCache,
    ) -> Self {
        let own = entry.signatures.iter().filter(|signature| !is_of_a_closure(signature.as_bytes()));
        let mut signatures: Vec<SignatureReport> = own
            .zip(&unvouched.signatures)
            .map(|(signature, reason)| SignatureReport::new(signature, reason.as_ref()))
            .collect();
        signatures.sort_by_key(|report| std::cmp::Reverse(report.rank));
        let more_signatures = signatures.len().saturating_sub(SIGNATURES_TOLD);
        signatures.truncate(SIGNATURES_TOLD);
        let told = |reasons: &[Reason]| reasons.iter().take(SIGNATURES_TOLD).map(ReasonText::from).collect();
        let ReasonText { code: reason, message } = reason_of(unvouched);
        Self {
            path: entry.info.path.to_string(),
            reason,
            message,
            registered: entry.registered,
            ultimate: entry.ultimate,
            deriver: entry.deriver.as_deref().map(shorten),
            signatures,
            more_signatures,
            covering: told(&unvouched.covering),
            missing_votes: unvouched.missing_votes.as_ref().map(ReasonText::from),
            earlier: told(&unvouched.earlier),
            content_address: unvouched.content_address.as_deref().map(shorten),
            imported_by: imported_by(entry, object, trust, now, cache),
            was: None,
        }
    }

    /// Each reason once, without those that say nothing: what there is to know in a line.
    pub fn reasons(&self) -> Vec<ReasonText> {
        let own = self.signatures.iter().filter(|report| report.code != Some("unknown-key"));
        let own = own
            .filter_map(|report| Some(ReasonText { code: report.code?, message: report.message.clone()? }));
        let others = self.missing_votes.iter().chain(&self.covering).chain(&self.earlier).cloned();
        let mut reasons: Vec<ReasonText> =
            vec![ReasonText { code: self.reason, message: self.message.clone() }];
        for reason in own.chain(others) {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
        reasons
    }
}

impl SignatureReport {
    fn new(signature: &str, reason: Option<&Reason>) -> Self {
        let name = signature.split(':').next().unwrap_or_default();
        let label = name.split_once(nixcert_core::CERTIFICATE_MARK).map(|(label, _)| shorten_to(label, 40));
        Self {
            name: shorten_to(name, 60),
            label,
            code: reason.map(Reason::code),
            message: reason.map(|reason| shorten(&reason.to_string())),
            rank: (reason.is_none(), reason.map(rank).unwrap_or_default()),
        }
    }
}

/// Like the reasons' own order, but that somebody who counts signed other contents says more than all else.
fn rank(reason: &Reason) -> usize {
    match reason {
        Reason::BadSignature { certificate: Some(_) } => usize::MAX,
        other => other.rank(),
    }
}

/// What is most useful to know.
pub(crate) fn reason_of(unvouched: &Unvouched) -> ReasonText {
    match (main_reason(unvouched), &unvouched.content_address) {
        (None, Some(problem)) => ReasonText { code: "not-content-addressed", message: shorten(problem) },
        (main, _) => main.unwrap_or(&Reason::NoSignatures).into(),
    }
}

fn main_reason(unvouched: &Unvouched) -> Option<&Reason> {
    let signatures = unvouched.signatures.iter().flatten();
    let all = signatures.chain(&unvouched.covering).chain(&unvouched.earlier).chain(&unvouched.missing_votes);
    all.max_by_key(|reason| rank(reason))
}

/// Whose signatures would let these contents in: by the rules for imports, as of a path that is here.
fn imported_by(
    entry: &Entry,
    object: &Object,
    trust: &Trust,
    now: Instant,
    cache: &mut ChainCache,
) -> Vec<ImportedBy> {
    let times = Times::valid_object(now.seconds(), entry.registered);
    let verdict = judge(object, &entry.signatures, trust, times, cache);
    let mut people: Vec<ImportedBy> = Vec::new();
    for outcome in &verdict.signatures {
        let person = match outcome {
            Outcome::Counted(Signer::Certified { label, serial, authority, .. }) => ImportedBy {
                label: label.clone(),
                authority: Some(authority.clone()),
                serial: Some(serial.to_string()),
            },
            Outcome::Counted(Signer::Plain { name, .. }) => {
                ImportedBy { label: shorten_to(name, 60), authority: None, serial: None }
            }
            Outcome::Refused(_) => continue,
        };
        if people.len() < SIGNATURES_TOLD && !people.contains(&person) {
            people.push(person);
        }
    }
    people
}

/// Which of the paths that are left over had other contents.
pub(crate) fn path_of(left_over: &LeftOver) -> Option<StorePath> {
    StorePath::parse(&left_over.path).ok()
}

fn shorten(text: &str) -> String {
    shorten_to(text, TEXT)
}

fn shorten_to(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}
