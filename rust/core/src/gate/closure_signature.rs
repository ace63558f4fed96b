//! What the closure signatures of a top-level path come to (FORMAT G3 to G5).

use super::{ClosureReason, Deployment, Gate, Voucher, is_of_a_closure};
use crate::certificate::Certificate;
use crate::chain::VerifiedChain;
use crate::closure::{ClosureName, Statement};
use crate::judge::{Good, Vouched, check_label, decode_payload, split_signature, verify_chain};
use crate::limits::{CHECKED_SIGNATURES, CLOSURE_SIGNATURES_TOLD, LIST_AHEAD};
use crate::object::shorten;
use crate::reason::Reason;
use crate::scope::{Admission, admission};
use crate::trust::{Anchors, HostName};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// After how many the refused ones are thinned out, so that junk takes no memory.
const THINNED_OUT_EVERY: usize = 1_000;

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

impl Gate {
    pub(super) fn judge_closure_signatures<S: AsRef<[u8]>>(&mut self, deployment: &Deployment<'_, S>) {
        let mut by_statement: BTreeMap<Vec<u8>, Vec<Vouched>> = BTreeMap::new();
        let names =
            deployment.signatures.iter().map(AsRef::as_ref).filter(|signature| is_of_a_closure(signature));
        let mut chains = Chains { known: BTreeMap::new(), checks_left: CHECKED_SIGNATURES };
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
            self.closure_signatures.push(ClosureSignature {
                name: shorten(&String::from_utf8_lossy(name)),
                statement,
                outcome,
                covers,
            });
            if self.closure_signatures.len().is_multiple_of(THINNED_OUT_EVERY) {
                self.forget_refused();
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

    /// Keep of the refused ones those that tell most: anybody may attach more.
    fn forget_refused(&mut self) {
        let refused = self.closure_signatures.iter().enumerate().filter_map(|(index, signature)| {
            signature.outcome.as_ref().err().map(|reason| (Reverse(reason.rank()), index))
        });
        let mut refused: Vec<_> = refused.collect();
        refused.sort_unstable();
        let forgotten: BTreeSet<usize> =
            refused.iter().skip(CLOSURE_SIGNATURES_TOLD).map(|(_, index)| *index).collect();
        let mut index = 0..;
        self.closure_signatures.retain(|_| index.next().is_none_or(|index| !forgotten.contains(&index)));
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
        // G5: "or the statement is, byte for byte, the newest of those"
        let same = |last: &Statement| last.to_bytes().is_ok_and(|last| last == bytes);
        match last {
            Some(last) if statement.signed <= last.signed && !same(last) => {
                Err(ClosureReason::Older { signed: statement.signed, last: last.signed })
            }
            Some(_) | None => Ok(()),
        }
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

/// G4: "the statement's hosts admit this one (K5)"
fn check_statement_host(statement: &Statement, host: Option<&HostName>) -> Result<(), ClosureReason> {
    match admission(statement.hosts.iter().map(String::as_bytes), host) {
        Admission::Admitted => Ok(()),
        Admission::Another(host) => Err(ClosureReason::AnotherHost(host)),
        Admission::Unnamed => Err(ClosureReason::HostNameNotConfigured),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_counted() {
        let mut chains = Chains { known: BTreeMap::new(), checks_left: 2 };
        let checks = [(); 4].map(|()| chains.count_check());
        assert_eq!(checks, [Ok(()), Ok(()), Err(ClosureReason::TooMany), Err(ClosureReason::TooMany)]);
    }
}
