//! The activation gate (FORMAT section 13): who vouches for each path of a closure before root runs any of it.
//!
//! ```text
//! closure signatures of the top-level path -> Gate ─┬─ member -> MemberVerdict -> Tally ─┐
//!                                                   └────────────── conclude <───────────┴─> Passed
//! ```

use crate::certificate::{Certificate, Usage};
use crate::chain::{ChainCache, VerifiedChain};
use crate::closure::{ClosureDigest, ClosureName, Statement, StatementError};
use crate::judge::{
    Good, Inquiry, Judgement, Outcome, Signer, Vouched, check_label, decode_payload, split_signature,
    verify_chain,
};
use crate::key::PublicKey;
use crate::limits::{CHECKED_SIGNATURES, CLOSURE_SIGNATURES_TOLD, LIST_AHEAD};
use crate::name::CertificateName;
use crate::object::{Object, StorePath, shorten};
use crate::pattern::HostPattern;
use crate::policy::{Activation, ClosureRule, Mode, NameSet, Threshold, VotesError};
use crate::reason::{Judged, Reason};
use crate::time::{Instant, Times};
use crate::trust::{Anchors, HostName, PublicKeys, Trust, TrustError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
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

/// A signature of a closure statement, and what it comes to.
#[derive(Clone, Debug)]
pub struct ClosureSignature {
    /// The name it stands under, shortened.
    pub name: String,
    /// The statement, if it can be read.
    pub statement: Option<Statement>,
    /// Who signed it; or why it does not count.
    pub outcome: Result<Voucher, ClosureReason>,
    /// Whether it is about the very closure that is in this store. If not, its signer wants the top-level path, and each path
    /// must stand for itself.
    pub covers: bool,
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

/// Why a path may be part of the system (FORMAT G2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// (a) It is what its name says, and something that is vouched for says its name.
    ContentAddressed,
    /// (b) A vendor signed it.
    Vendor,
    /// (c) It is covered by closure signatures (and signatures of its own, if some votes are of those).
    ClosureSignature,
    /// (d) It is signed by those who count.
    Signatures,
    /// (e) It is what it was when this gate activated it.
    Earlier,
}

impl Basis {
    /// All, in the order of FORMAT G2.
    pub const ALL: [Self; 5] =
        [Self::ContentAddressed, Self::Vendor, Self::ClosureSignature, Self::Signatures, Self::Earlier];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ContentAddressed => "content-addressed",
            Self::Vendor => "vendor",
            Self::ClosureSignature => "closure-signature",
            Self::Signatures => "signatures",
            Self::Earlier => "earlier-generation",
        }
    }
}

/// A basis, and who vouches; or why nobody does.
type Answer = Result<(Basis, Arc<[Voucher]>), Box<Unvouched>>;

/// What the gate says of one path. Only [`Gate::member`] makes one.
#[derive(Clone, Debug)]
pub struct MemberVerdict {
    result: Answer,
    is_top: bool,
}

impl MemberVerdict {
    /// Why it may be part of the system, and who vouches for it; or why nobody does.
    pub fn basis(&self) -> Result<(Basis, &[Voucher]), &Unvouched> {
        self.result.as_ref().map(|(basis, vouchers)| (*basis, &**vouchers)).map_err(|unvouched| &**unvouched)
    }
}

/// Why nobody vouches for a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unvouched {
    /// For each of its signatures (but closure signatures), why it does not count; `None` if it does, and is not enough.
    pub signatures: Vec<Option<Reason>>,
    /// For those whose closure signatures cover it, why that does not count.
    pub covering: Vec<Reason>,
    /// The votes that are missing.
    pub missing_votes: Option<Reason>,
    /// Why it is not content-addressed, though it claims to be.
    pub content_address: Option<String>,
    /// Why those do not count who vouched for it before.
    pub earlier: Vec<Reason>,
}

/// Verdicts of paths, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    vouched: BTreeMap<Basis, u32>,
    left_over: u32,
    /// Who vouches for the top-level path.
    top: Vec<Voucher>,
    /// Whether they have signed it, and not an earlier generation alone.
    top_signed: bool,
}

impl Tally {
    /// Count a path.
    pub fn add(&mut self, verdict: &MemberVerdict) {
        match verdict.basis() {
            Ok((basis, vouchers)) => {
                *self.vouched.entry(basis).or_default() += 1;
                if verdict.is_top {
                    self.top = vouchers.to_vec();
                    self.top_signed = basis != Basis::Earlier;
                }
            }
            Err(_) => self.left_over += 1,
        }
    }

    /// Count what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (basis, count) in &other.vouched {
            *self.vouched.entry(*basis).or_default() += count;
        }
        self.left_over += other.left_over;
        self.top.extend_from_slice(&other.top);
        self.top_signed |= other.top_signed;
    }

    /// Who vouches for the top-level path.
    pub fn vouch_for_the_system(&self) -> &[Voucher] {
        &self.top
    }

    /// How many paths have this basis.
    pub fn with(&self, basis: Basis) -> u32 {
        self.vouched.get(&basis).copied().unwrap_or_default()
    }

    /// How many have none.
    pub fn left_over(&self) -> u32 {
        self.left_over
    }

    fn judged(&self) -> u64 {
        self.vouched.values().map(|count| u64::from(*count)).sum::<u64>() + u64::from(self.left_over)
    }
}

/// The leave to activate. Only [`Gate::conclude`] makes one.
#[derive(Clone, Debug)]
pub struct Passed {
    path: StorePath,
    closure: ClosureDigest,
    statement: Option<Statement>,
    again: bool,
}

impl Passed {
    /// What may be activated.
    pub fn path(&self) -> &StorePath {
        &self.path
    }

    /// All of it.
    pub fn closure(&self) -> ClosureDigest {
        self.closure
    }

    /// The statement by which it may; none where the policy asks for none, or it is activated again.
    pub fn statement(&self) -> Option<&Statement> {
        self.statement.as_ref()
    }

    /// Whether it was activated before, and needs no statement for that.
    pub fn is_again(&self) -> bool {
        self.again && self.statement.is_none()
    }
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
        // G2 (b): "a plain key that the activation policy names"; never `trusted-public-keys`
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

    fn judge_closure_signatures<S: AsRef<[u8]>>(&mut self, deployment: &Deployment<'_, S>) {
        let mut by_statement: BTreeMap<Vec<u8>, Vec<Vouched>> = BTreeMap::new();
        let names =
            deployment.signatures.iter().map(AsRef::as_ref).filter(|signature| is_of_a_closure(signature));
        let mut chains = Chains { known: BTreeMap::new(), checks_left: CHECKED_SIGNATURES };
        let mut refused = 0;
        for signature in names {
            let (name, payload) = split_signature(signature).unwrap_or_default();
            let mut statement = None;
            let judged = self.closure_signature(name, payload, deployment.last, &mut chains, &mut statement);
            let covers =
                statement.as_ref().is_some_and(|statement: &Statement| statement.closure == self.closure);
            let outcome = judged.map(|(bytes, vouched)| {
                let voucher = vouched.voucher();
                by_statement.entry(bytes).or_default().push(vouched);
                voucher
            });
            refused += usize::from(outcome.is_err());
            self.closure_signatures.push(ClosureSignature {
                name: shorten(&String::from_utf8_lossy(name)),
                statement,
                outcome,
                covers,
            });
            if refused > 2 * CLOSURE_SIGNATURES_TOLD {
                refused = self.forget_refused();
            }
        }
        self.forget_refused();
        let inquiry = self.top_inquiry(&self.top_trust);
        let threshold = self.top_trust.policy.thresholds.first();
        let (mut newest, mut signers): (Option<Statement>, BTreeSet<String>) = Default::default();
        let (mut covering, mut missing) = (Vec::new(), None);
        for (bytes, vouched) in &by_statement {
            // What is in the map was read before.
            let Ok(statement) = Statement::parse(bytes) else { continue };
            if statement.closure == self.closure {
                covering.extend(vouched.iter().map(|vouched| Arc::clone(vouched.chain())));
            }
            let vouched: Vec<&Vouched> = vouched.iter().collect();
            match threshold.and_then(|threshold| inquiry.missing_votes(threshold, "*", &vouched)) {
                Some(error) => missing = Some(error),
                None => {
                    let labels = vouched.iter().filter_map(|vouched| self.label_with_vote(vouched.signer()));
                    signers.extend(labels.map(str::to_owned));
                    newest = newest.into_iter().chain([statement]).max_by_key(|statement| statement.signed);
                }
            }
        }
        // One person may have signed any number of statements, and is asked about every path.
        covering.sort_unstable_by(|one, other| one.bytes().cmp(other.bytes()));
        covering.dedup_by(|one, other| one.bytes() == other.bytes());
        if self.names_do_not_matter(&covering) {
            self.alike = self.covers_alone(&covering);
        }
        (self.statement, self.signers) = (newest, signers);
        (self.missing_votes, self.covering) = (missing, covering);
    }

    /// Keep of the refused ones those that tell most: anybody may attach more. Returns how many are left.
    fn forget_refused(&mut self) -> usize {
        let refused = self.closure_signatures.iter().enumerate().filter_map(|(index, signature)| {
            signature.outcome.as_ref().err().map(|reason| (Reverse(reason.rank()), index))
        });
        let mut refused: Vec<_> = refused.collect();
        refused.sort_unstable();
        let forgotten: BTreeSet<usize> =
            refused.iter().skip(CLOSURE_SIGNATURES_TOLD).map(|(_, index)| *index).collect();
        let mut index = 0..;
        self.closure_signatures.retain(|_| index.next().is_none_or(|index| !forgotten.contains(&index)));
        refused.len() - forgotten.len()
    }

    /// G3 to G5, of one closure signature: what costs most comes last.
    fn closure_signature(
        &self,
        name: &[u8],
        payload: &[u8],
        last: Option<&Statement>,
        chains: &mut Chains,
        read: &mut Option<Statement>,
    ) -> Result<(Vec<u8>, Vouched), ClosureReason> {
        let payload = decode_payload(payload).map_err(Reason::from)?;
        let ClosureName { statement: bytes, certificate_name } =
            ClosureName::parse(name).map_err(Reason::from)?;
        let statement = Statement::parse(&bytes).map_err(ClosureReason::Malformed)?;
        let statement = &*read.insert(statement);
        if statement.path != self.top {
            return Err(ClosureReason::AnotherPath(statement.path.clone()));
        }
        let chain = chains.verify(&certificate_name, &self.trust.anchors)?;
        let leaf = check_label(certificate_name.as_bytes(), &chain)?;
        let vouched = self.top_inquiry(&self.top_trust).vouch(Arc::clone(&chain))?;
        if let Some(reason) = vouched.refusal() {
            return Err(reason.into());
        }
        chains.count_check()?;
        let message = statement.signed_message().map_err(ClosureReason::Malformed)?;
        if !chain.verifies(&message, &payload) {
            return Err(Reason::BadSignature { certificate: Some(leaf) }.into());
        }
        self.check_in_force(statement, &bytes, &chain, last)?;
        Ok((bytes, vouched))
    }

    /// G4: host, deadline, and order of deployments.
    fn check_in_force(
        &self,
        statement: &Statement,
        bytes: &[u8],
        chain: &VerifiedChain,
        last: Option<&Statement>,
    ) -> Result<(), ClosureReason> {
        check_statement_host(statement, self.trust.host.as_ref())?;
        let moment = self.top_inquiry(&self.top_trust).moment(chain);
        let at = moment.now;
        if at.at >= statement.not_after.seconds() {
            return Err(ClosureReason::Expired { not_after: statement.not_after, at });
        }
        let ahead = moment.clock.is_exact() && statement.signed.seconds() > at.at.saturating_add(LIST_AHEAD);
        let outlived = |certificate: &Certificate<'_>| statement.signed >= certificate.not_after;
        if ahead || chain.certificates()?.iter().any(outlived) {
            return Err(ClosureReason::InTheFuture { signed: statement.signed, at });
        }
        // "the same statement again is fine"
        let same = |last: &Statement| last.to_bytes().is_ok_and(|last| last == bytes);
        match last {
            Some(last) if statement.signed <= last.signed && !same(last) => {
                Err(ClosureReason::Older { signed: statement.signed, last: last.signed })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn top_inquiry<'a>(&'a self, trust: &'a Trust) -> Inquiry<'a> {
        Inquiry { usage: Usage::VouchForSystems, path: &self.top, trust, times: self.times }
    }

    /// Whether nothing that is asked of these chains depends on a path's name.
    fn names_do_not_matter(&self, chains: &[Arc<VerifiedChain>]) -> bool {
        let policy = &self.trust.policy;
        policy.protected_names.is_empty()
            && chains.iter().all(|chain| {
                let unlimited = |certificate: &Certificate<'_>| {
                    certificate.permitted_names.iter().any(|item| item == b"*")
                        && certificate.excluded_names.is_empty()
                };
                let ca = self.trust.anchors.name_of(chain.anchor()).unwrap_or_default();
                chain.certificates().is_ok_and(|certificates| certificates.iter().all(unlimited))
                    && policy.is_unlimited(ca)
            })
    }

    /// Those who cover the top-level path, if they are enough without any other signature.
    fn covers_alone(&self, chains: &[Arc<VerifiedChain>]) -> Option<Arc<[Voucher]>> {
        let inquiry = self.top_inquiry(&self.top_trust);
        let vouched = chains.iter().map(|chain| inquiry.vouch(Arc::clone(chain)).ok());
        let vouched: Vec<Vouched> = vouched.flatten().collect();
        let vouchers = vouched.iter().map(Vouched::voucher).collect();
        let results = vouched.into_iter().map(|vouched| Ok(Good::Certified(vouched))).collect();
        inquiry.apply_policy(results).accepted().then_some(vouchers)
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
        self.by_other_means(member, is_top, unvouched)
    }

    /// G2 (e), then (a), which has to read the contents.
    fn by_other_means<S>(
        &self,
        member: &Member<'_, S>,
        is_top: bool,
        mut unvouched: Box<Unvouched>,
    ) -> Answer {
        for earlier in member.earlier {
            match self.still_vouched(earlier, is_top) {
                Ok(vouchers) => return Ok((Basis::Earlier, vouchers)),
                Err(reason) => unvouched.earlier.push(reason),
            }
        }
        match member.content_addressed.filter(|_| !is_top).map(|recompute| recompute()) {
            Some(Ok(())) => return Ok((Basis::ContentAddressed, [Voucher::Itself].into())),
            Some(Err(problem)) => unvouched.content_address = Some(problem),
            None => {}
        }
        Err(unvouched)
    }

    /// G2 (e): "nobody who vouched for it then is revoked as compromised since before that"
    fn still_vouched(&self, earlier: &Earlier<'_>, is_top: bool) -> Result<Arc<[Voucher]>, Reason> {
        let times = Times::valid_object(self.times.now, earlier.activated);
        let inquiry = Inquiry { times, ..self.top_inquiry(&self.trust) };
        let still = |recorded: &Recorded<'_>| match recorded {
            // "The top-level path is never accepted by (a) or (b)"
            Recorded::Itself | Recorded::Vendor { .. } if is_top => Err(Reason::NoSignatures),
            Recorded::Itself => Ok(Voucher::Itself),
            Recorded::Vendor { name, key } => Ok(Voucher::Vendor { name: (*name).to_owned(), key: *key }),
            Recorded::Person(name) => {
                let signer = inquiry.not_compromised(name.as_bytes())?;
                Ok(Voucher::Certified { name: (*name).to_owned(), signer })
            }
        };
        if earlier.vouchers.is_empty() {
            return Err(Reason::NoSignatures);
        }
        earlier.vouchers.iter().map(still).collect()
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

/// Chains of closure signatures: each is checked once, however many signatures claim it.
struct Chains {
    known: BTreeMap<String, Result<Arc<VerifiedChain>, Reason>>,
    checks_left: usize,
}

impl Chains {
    fn verify(&mut self, name: &str, anchors: &Anchors) -> Result<Arc<VerifiedChain>, Reason> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let verified = verify_chain(name.as_bytes(), anchors).map(Arc::new);
        self.known.insert(name.to_owned(), verified.clone());
        verified
    }

    /// G8: "At most 65,536 closure signatures of a path are checked against a key"
    fn count_check(&mut self) -> Result<(), ClosureReason> {
        self.checks_left = self.checks_left.checked_sub(1).ok_or(ClosureReason::TooMany)?;
        Ok(())
    }
}

/// Whether a signature is to be read as one of a closure.
pub fn is_of_a_closure(signature: &[u8]) -> bool {
    split_signature(signature).is_ok_and(|(name, _)| ClosureName::is_one(name))
}

/// G4: "its hosts admit this one (K5)"
fn check_statement_host(statement: &Statement, host: Option<&HostName>) -> Result<(), ClosureReason> {
    let mut patterns = statement.hosts.iter().filter_map(|item| HostPattern::parse(item.as_bytes()).ok());
    match host {
        Some(host) if patterns.any(|pattern| pattern.matches(host.as_str().as_bytes())) => Ok(()),
        Some(host) => Err(ClosureReason::AnotherHost(host.to_string())),
        None if patterns.any(|pattern| pattern.is_any()) => Ok(()),
        None => Err(ClosureReason::HostNameNotConfigured),
    }
}

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
    fn rank(&self) -> (usize, usize) {
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
