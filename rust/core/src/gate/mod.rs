//! The activation gate (FORMAT section 13): who vouches for each path of a closure before root runs any of it.
//!
//! ```text
//! closure signatures of the top-level path -> Gate ─┬─ member -> MemberVerdict -> Tally ─┐
//!                                                   └────────────── conclude <───────────┴─> Passed
//! ```

mod answer;
mod closure_signature;
mod reason;

pub use answer::{Basis, MemberVerdict, Passed, Tally, Unvouched};
pub use closure_signature::ClosureSignature;
pub use reason::{ClosureReason, GateRefusal, ReasonError};

use crate::certificate::Usage;
use crate::chain::{ChainCache, VerifiedChain};
use crate::closure::{ClosureDigest, ClosureName, Statement};
use crate::judge::{Good, Inquiry, Judgement, Outcome, Signer, Vouched, split_signature};
use crate::key::PublicKey;
use crate::name::CertificateName;
use crate::object::{Object, StorePath};
use crate::policy::{Activation, ClosureRule, Mode, NameSet, Threshold, VotesError};
use crate::reason::Reason;
use crate::time::Times;
use crate::trust::{PublicKeys, Trust};
use answer::Answer;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is to become the system, and what the host knows of it beforehand.
#[derive(Clone, Copy, Debug)]
pub struct Deployment<'a, S> {
    /// The top-level path.
    pub top: &'a Object,
    /// Its signatures.
    pub signatures: &'a [S],
    /// Its closure, as it is in this store.
    pub closure: ClosureDigest,
    /// The newest statement by which something was activated here.
    pub last: Option<&'a Statement>,
    /// Whether this gate has activated this closure before.
    pub again: bool,
    /// The login name of who asks, if that is known.
    pub caller: Option<&'a str>,
}

/// The gate, for one deployment: its closure signatures are judged; its paths are to be.
#[derive(Debug)]
pub struct Gate {
    /// As for imports, but for whom a plain key and a vote must be of.
    trust: Trust,
    /// The same, without vendors.
    top_trust: Trust,
    rules: Activation,
    times: Times,
    top: StorePath,
    closure: ClosureDigest,
    again: bool,
    caller: Option<String>,
    closure_signatures: Vec<ClosureSignature>,
    /// The newest statement in force that has the votes.
    statement: Option<Statement>,
    /// The labels of those who have a vote, and signed a statement that has the votes.
    signers: BTreeSet<String>,
    missing_votes: Option<VotesError>,
    /// Who signed statements in force that are about this very closure.
    covering: Vec<Arc<VerifiedChain>>,
    /// Where no rule asks for names: who vouches for every path alike.
    alike: Option<Arc<[Voucher]>>,
}

/// Somebody who vouches, such that it can be recorded and asked again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The path itself: its name says what it holds.
    Itself,
    /// A vendor.
    Vendor {
        /// The key's name.
        name: String,
        /// The key.
        key: PublicKey,
    },
    /// A person.
    Certified {
        /// The name of the certificate signature: label and certificates.
        name: String,
        /// Whose it is.
        signer: Signer,
    },
}

impl Voucher {
    /// What people call them: a label, or the name of a vendor's key.
    pub fn label(&self) -> &str {
        match self {
            Self::Itself => "its own name",
            Self::Vendor { name, .. } => name,
            Self::Certified { signer: Signer::Certified { label, .. }, .. } => label,
            Self::Certified { signer: Signer::Plain { name, .. }, .. } => name,
        }
    }
}

/// A path of the closure.
pub struct Member<'a, S> {
    /// It.
    pub object: &'a Object,
    /// Its signatures.
    pub signatures: &'a [S],
    /// Whether its contents were found to be what its name says. Asked only where nobody vouches for it; `None` if it does not
    /// claim to be content-addressed.
    pub content_addressed: Option<&'a dyn Fn() -> Result<(), String>>,
    /// Those who vouched for the same fingerprint in generations that this gate activated.
    pub earlier: &'a [Earlier<'a>],
}

/// Who vouched for a path when this gate activated it.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// When that was, in seconds since the epoch.
    pub activated: u64,
    /// Not empty.
    pub vouchers: &'a [Recorded<'a>],
}

/// What was recorded of who vouched for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded<'a> {
    /// Its own name, as it was content-addressed.
    Itself,
    /// A vendor's key.
    Vendor {
        /// The key's name.
        name: &'a str,
        /// The key.
        key: PublicKey,
    },
    /// A person: the name of a certificate signature.
    Person(&'a str),
}

impl Gate {
    /// Judge the closure signatures of a deployment.
    ///
    /// # Errors
    /// [`GateRefusal::NoActivationPolicy`], [`GateRefusal::BrokenConfiguration`].
    pub fn new<S: AsRef<[u8]>>(
        trust: &Trust,
        now: u64,
        deployment: &Deployment<'_, S>,
    ) -> Result<Self, GateRefusal> {
        if let Some(error) = &trust.broken {
            return Err(GateRefusal::BrokenConfiguration(error.clone()));
        }
        let rules = trust.policy.activation.clone().ok_or(GateRefusal::NoActivationPolicy)?;
        let mut trust = trust.clone();
        trust.policy.thresholds = vec![Threshold {
            names: NameSet::everything(),
            votes: rules.votes,
            authorities: rules.authorities.clone(),
            together: rules.together,
            mode: Mode::Enforce,
        }];
        trust.policy = trust.policy.without_audit();
        trust.public_keys = PublicKeys::default();
        let top_trust = trust.clone();
        // G2 (b): "D5, with vendors in the place of trusted public keys"
        trust.public_keys = rules.vendors.clone();
        let mut gate = Self {
            trust,
            top_trust,
            rules,
            times: Times::new_object(now),
            top: deployment.top.store_path().clone(),
            closure: deployment.closure,
            again: deployment.again,
            caller: deployment.caller.map(str::to_owned),
            closure_signatures: Vec::new(),
            statement: None,
            signers: BTreeSet::new(),
            missing_votes: None,
            covering: Vec::new(),
            alike: None,
        };
        gate.judge_closure_signatures(deployment);
        Ok(gate)
    }

    /// What each closure signature comes to; of those that do not count, the [`CLOSURE_SIGNATURES_TOLD`] that came furthest.
    pub fn closure_signatures(&self) -> &[ClosureSignature] {
        &self.closure_signatures
    }

    /// Whether all paths have the same answer, so that no signature of any is asked for.
    pub fn vouches_alike(&self) -> bool {
        self.alike.is_some()
    }

    fn top_inquiry<'a>(&'a self, trust: &'a Trust) -> Inquiry<'a> {
        Inquiry { usage: Usage::VouchForSystems, path: &self.top, trust, times: self.times }
    }

    /// Judge one path of the closure (FORMAT G2).
    pub fn member<S: AsRef<[u8]>>(&self, member: &Member<'_, S>, cache: &mut ChainCache) -> MemberVerdict {
        let path = member.object.store_path();
        let is_top = *path == self.top;
        // G6: who asks may have signed the top-level path alone.
        let all = is_top && self.rules.caller_must_sign;
        let alike = self.alike.as_ref().filter(|_| path.directory() == self.top.directory() && !all);
        let result = match alike {
            Some(vouchers) => Ok((Basis::ClosureSignature, Arc::clone(vouchers))),
            None => self.by_signatures(member, is_top, cache),
        };
        MemberVerdict { result, is_top }
    }

    /// G2 (b) to (d), and then what else there is.
    fn by_signatures<S: AsRef<[u8]>>(
        &self,
        member: &Member<'_, S>,
        is_top: bool,
        cache: &mut ChainCache,
    ) -> Answer {
        // "The top-level path is never accepted by (a) or (b)"
        let trust = if is_top { &self.top_trust } else { &self.trust };
        let mut judgement = Judgement::new(member.object, Usage::VouchForSystems, trust, self.times, cache);
        let own: Vec<&[u8]> = member
            .signatures
            .iter()
            .map(AsRef::as_ref)
            .filter(|signature| !is_of_a_closure(signature))
            .collect();
        let mut results = judgement.signatures(&own);
        let own_vouchers: Vec<Option<Voucher>> = results.iter().map(voucher_of).collect();
        let covering: Vec<_> =
            self.covering.iter().map(|chain| judgement.inquiry.vouch(Arc::clone(chain))).collect();
        let covering_vouchers: Vec<Option<Voucher>> =
            covering.iter().map(|result| result.as_ref().ok().map(Vouched::voucher)).collect();
        results.extend(covering.into_iter().map(|result| result.map(Good::Certified)));
        let verdict = judgement.inquiry.apply_policy(results);
        let is_plain = |outcome: &Outcome| matches!(outcome, Outcome::Counted(Signer::Plain { .. }));
        let counted = || {
            let vouchers = own_vouchers.iter().chain(&covering_vouchers);
            vouchers.zip(&verdict.signatures).filter_map(|(voucher, outcome)| match outcome {
                Outcome::Counted(_) => voucher.clone(),
                Outcome::Refused(_) => None,
            })
        };
        if verdict.signatures.iter().any(is_plain) {
            let vendors = counted().filter(|voucher| matches!(voucher, Voucher::Vendor { .. }));
            return Ok((Basis::Vendor, vendors.collect()));
        }
        if verdict.accepted() {
            let by_closure = verdict.signatures.iter().skip(own.len());
            let covered = by_closure.into_iter().any(|outcome| matches!(outcome, Outcome::Counted(_)));
            let basis = if covered { Basis::ClosureSignature } else { Basis::Signatures };
            return Ok((basis, counted().collect()));
        }
        let mut unvouched =
            Box::new(Unvouched { missing_votes: verdict.missing_votes, ..Unvouched::default() });
        for (index, outcome) in verdict.signatures.into_iter().enumerate() {
            let reason = match outcome {
                Outcome::Counted(_) => None,
                Outcome::Refused(reason) => Some(reason),
            };
            if index < own.len() {
                unvouched.signatures.push(reason);
            } else {
                unvouched.covering.extend(reason);
            }
        }
        self.by_other_means(member, is_top, &mut judgement, unvouched)
    }

    /// G2 (e), then (a), which has to read the contents.
    fn by_other_means<S>(
        &self,
        member: &Member<'_, S>,
        is_top: bool,
        judgement: &mut Judgement<'_>,
        mut unvouched: Box<Unvouched>,
    ) -> Answer {
        for earlier in member.earlier {
            match self.still_vouched(earlier, is_top, judgement) {
                Ok(vouchers) => return Ok((Basis::Earlier, vouchers)),
                Err(reasons) => unvouched.earlier.extend(reasons),
            }
        }
        match member.content_addressed.filter(|_| !is_top).map(|recompute| recompute()) {
            Some(Ok(())) => return Ok((Basis::ContentAddressed, [Voucher::Itself].into())),
            Some(Err(problem)) => unvouched.content_address = Some(problem),
            None => {}
        }
        Err(unvouched)
    }

    /// G2 (e): what vouched for it then, if it was no person; or those who did and still stand, if they are votes enough today.
    fn still_vouched(
        &self,
        earlier: &Earlier<'_>,
        is_top: bool,
        judgement: &mut Judgement<'_>,
    ) -> Result<Arc<[Voucher]>, Vec<Reason>> {
        let times = Times::valid_object(self.times.now, earlier.activated);
        let (mut impersonal, mut people) = (Vec::new(), Vec::new());
        for recorded in earlier.vouchers {
            match recorded {
                Recorded::Itself => impersonal.push(Voucher::Itself),
                Recorded::Vendor { name, key } => {
                    impersonal.push(Voucher::Vendor { name: (*name).to_owned(), key: *key });
                }
                Recorded::Person(name) => {
                    people.push(judgement.not_compromised(name.as_bytes(), times).map(Good::Certified));
                }
            }
        }
        // "The top-level path is never accepted by (a) or (b), nor by (e) if it was then"
        if !is_top && !impersonal.is_empty() {
            return Ok(impersonal.into());
        }
        let vouchers: Vec<Option<Voucher>> = people.iter().map(voucher_of).collect();
        let verdict = judgement.inquiry.apply_policy(people);
        if verdict.accepted() {
            return Ok(vouchers.into_iter().flatten().collect());
        }
        let refused = verdict.signatures.into_iter().filter_map(|outcome| match outcome {
            Outcome::Refused(reason) => Some(reason),
            Outcome::Counted(_) => None,
        });
        let reasons: Vec<Reason> = refused.chain(verdict.missing_votes).collect();
        Err(if reasons.is_empty() { vec![Reason::NoSignatures] } else { reasons })
    }

    /// The answer, when every path has been judged.
    ///
    /// # Errors
    /// All that stands against it; what is most useful to know comes first.
    pub fn conclude(&self, tally: &Tally) -> Result<Passed, Vec<GateRefusal>> {
        let mut refusals = Vec::new();
        let required = self.rules.closure_signature == ClosureRule::Required;
        if !self.again && required && self.statement.is_none() {
            refusals.push(self.missing_statement());
        }
        if !self.again && self.rules.caller_must_sign && refusals.is_empty() && !self.caller_has_signed(tally)
        {
            refusals.push(GateRefusal::CallerHasNotSigned { caller: self.caller.clone() });
        }
        if tally.left_over > 0 {
            refusals.push(GateRefusal::NotVouchedFor { paths: tally.left_over, of: self.closure.paths });
        }
        // Whoever calls this has left something out.
        if tally.judged() != u64::from(self.closure.paths) {
            refusals.push(GateRefusal::Incomplete { judged: tally.judged(), of: self.closure.paths });
        }
        if refusals.is_empty() {
            Ok(Passed {
                path: self.top.clone(),
                closure: self.closure,
                statement: self.statement.clone(),
                again: self.again,
            })
        } else {
            Err(refusals)
        }
    }

    fn missing_statement(&self) -> GateRefusal {
        if let Some(error) = &self.missing_votes {
            return GateRefusal::TooFewVotes(error.clone());
        }
        let reasons = self.closure_signatures.iter().filter_map(|signature| signature.outcome.as_ref().err());
        match reasons.max_by_key(|reason| reason.rank()) {
            Some(reason) => GateRefusal::ClosureSignature(reason.clone()),
            None => GateRefusal::ClosureSignatureMissing,
        }
    }

    /// G6: "one of those who signed such a statement, or who vouch for the top-level path"
    fn caller_has_signed(&self, tally: &Tally) -> bool {
        let Some(caller) = &self.caller else { return false };
        let is_caller = |voucher: &Voucher| match voucher {
            Voucher::Certified { signer, .. } => self.label_with_vote(signer) == Some(caller),
            Voucher::Vendor { .. } | Voucher::Itself => false,
        };
        self.signers.contains(caller) || tally.top_signed && tally.top.iter().any(is_caller)
    }

    /// Whose vote it is. A label is somebody's only below a CA that is asked for votes: another may certify anyone by it.
    fn label_with_vote<'a>(&self, signer: &'a Signer) -> Option<&'a str> {
        match signer {
            Signer::Certified { label, authority, .. } => {
                let ca = authority.split('/').next().unwrap_or_default();
                let asked =
                    self.rules.authorities.as_ref().is_none_or(|authorities| authorities.contains(ca));
                asked.then_some(label)
            }
            Signer::Plain { .. } => None,
        }
    }
}

fn voucher_of(result: &Result<Good, Reason>) -> Option<Voucher> {
    match result {
        Ok(Good::Certified(vouched)) => Some(vouched.voucher()),
        Ok(Good::Plain(Signer::Plain { name, key })) => {
            Some(Voucher::Vendor { name: name.clone(), key: *key })
        }
        Ok(Good::Plain(Signer::Certified { .. })) | Err(_) => None,
    }
}

impl Vouched {
    fn voucher(&self) -> Voucher {
        Voucher::Certified { name: self.chain().name(), signer: self.signer().clone() }
    }
}

impl VerifiedChain {
    /// The name of a certificate signature with this chain.
    fn name(&self) -> String {
        let label = self.certificates().ok().and_then(|chain| chain.first().map(|leaf| leaf.label));
        label.map(|label| CertificateName::format(label, self.bytes())).unwrap_or_default()
    }
}

/// Whether a signature is to be read as one of a closure.
pub fn is_of_a_closure(signature: &[u8]) -> bool {
    split_signature(signature).is_ok_and(|(name, _)| ClosureName::is_one(name))
}
