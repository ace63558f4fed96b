//! The decision of FORMAT.md, made twice: by the verifier, and by a model of the page that is slow, simple, and shares nothing
//! with it ([`rules`]). On some thousands of random worlds they must agree; and some things must hold of all of them.
//!
//! `NIXCERT_MODEL_CASES` sets how many, `NIXCERT_MODEL_SEED` which.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod engine;
mod random;
mod rules;
mod shrink;
mod world;

use engine::Engine;
use nixcert_core::{ChainCache, Outcome, Reason, Verdict};
use random::Random;
use rules::answer;
use std::collections::BTreeMap;
use world::{Codes, Extent, Signature, World};

/// Judge random worlds, and say of the first that is wrong how little of it is needed.
fn on_random_worlds(salt: u64, cases: u64, mut check: impl FnMut(&Engine, &World) -> Result<(), String>) {
    let number =
        |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, cases) = (number("NIXCERT_MODEL_SEED", 1_u64), number("NIXCERT_MODEL_CASES", cases));
    let engine = Engine::default();
    for case in 0..cases {
        let mut random =
            Random(seed.wrapping_mul(0x1_0001).wrapping_add(salt << 32).wrapping_add(case << 40));
        let world = random.world();
        let Err(problem) = check(&engine, &world) else { continue };
        let check = std::cell::RefCell::new(&mut check);
        let smallest = shrink::smallest(world, |world| check.borrow_mut()(&engine, world).is_err());
        let again = check.borrow_mut()(&engine, &smallest);
        panic!(
            "case {case} of seed {seed}: {problem}\n\nin the smallest world that was found: {again:?}\n\n{smallest:#?}"
        );
    }
}

fn code(outcome: &Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Counted(_) => None,
        Outcome::Refused(reason) => Some(reason.code()),
    }
}

fn audited(verdict: &Verdict) -> Codes {
    verdict.audited.iter().map(Reason::code).collect()
}

/// How often something came up.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// # Panics
    /// If one of these came up less often.
    fn require(&self, least: usize, all: &[&str]) {
        println!("{:#?}", self.0);
        let rare: Vec<_> =
            all.iter().filter(|what| self.0.get(**what).is_none_or(|times| *times < least)).collect();
        assert!(rare.is_empty(), "less often than {least} times: {rare:?}");
    }
}

#[test]
fn the_verifier_agrees_with_the_model() {
    let mut tally = Tally::default();
    on_random_worlds(1, 5_000, |engine, world| {
        let (verdict, answer) = (engine.judge_with(world, &mut ChainCache::default()), answer(world));
        compare(&verdict, &answer)?;
        tally.count(if verdict.accepted() { "accepted" } else { "refused" });
        verdict.signatures.iter().for_each(|outcome| tally.count(code(outcome).unwrap_or("counted")));
        verdict.reason().iter().for_each(|reason| tally.count(format!("object: {}", reason.code())));
        verdict.audited.iter().for_each(|reason| tally.count(format!("audited: {}", reason.code())));
        count_acceptances(&mut tally, world, &verdict);
        Ok(())
    });
    if std::env::var_os("NIXCERT_MODEL_CASES").is_none() {
        tally.require(1_000, &["accepted", "refused", "counted"]);
        tally.require(20, &SIGNATURES);
        tally.require(20, &OBJECTS);
        tally.require(10, &AUDITED);
        tally.require(10, &ACCEPTED);
    }
}

/// The codes that signatures of random worlds have. Not among them: those of what cannot be read, and of limits.
const SIGNATURES: [&str; 32] = [
    "unknown-key",
    "broken-configuration",
    "untrusted-ca",
    "issuer-mismatch",
    "repeated-key",
    "issuer-as-leaf",
    "not-an-issuer",
    "path-length-exceeded",
    "bad-certificate-signature",
    "label-mismatch",
    "bad-signature",
    "not-yet-valid",
    "expired",
    "missing-usage",
    "store-directory-not-permitted",
    "host-name-not-configured",
    "host-not-permitted",
    "name-excluded",
    "name-not-permitted",
    "revocation-list-missing",
    "revocation-list-unreadable",
    "revocation-list-too-old",
    "retired",
    "compromised",
    "ca-not-in-policy",
    "usage-not-in-policy",
    "validity-too-long",
    "chain-too-deep",
    "name-excluded-by-policy",
    "name-not-permitted-by-policy",
    "protected-name",
    "counted",
];

const OBJECTS: [&str; 5] = [
    "object: too-few-votes",
    "object: no-signatures",
    "object: retired",
    "object: compromised",
    "object: expired",
];

const AUDITED: [&str; 7] = [
    "audited: usage-not-in-policy",
    "audited: validity-too-long",
    "audited: chain-too-deep",
    "audited: name-excluded-by-policy",
    "audited: name-not-permitted-by-policy",
    "audited: protected-name",
    "audited: too-few-votes",
];

const ACCEPTED: [&str; 8] = [
    "accepted: with a list that revokes something of it",
    "accepted: at the time of registration",
    "accepted: with two votes",
    "accepted: with three votes",
    "accepted: by a clock behind its lists",
    "accepted: by a clock that is a lower bound",
    "accepted: through two intermediates",
    "accepted: a realisation",
];

/// Acceptances that are hard to come by.
fn count_acceptances(tally: &mut Tally, world: &World, verdict: &Verdict) {
    if !verdict.accepted() {
        return;
    }
    let counted =
        world.signatures.iter().zip(&verdict.signatures).filter(|(_, outcome)| code(outcome).is_none());
    let chains: Vec<_> = counted
        .filter_map(|(signature, _)| match signature {
            Signature::Certified { chain, .. } => Some(chain),
            Signature::Plain { .. } => None,
        })
        .collect();
    if chains.is_empty() {
        return tally.count("accepted: by a plain key alone");
    }
    let now = |chain: &[world::Certificate]| rules::now(world, chain[chain.len() - 1].issuer);
    let thresholds =
        world.policy.iter().flat_map(|policy| &policy.thresholds).filter(|threshold| !threshold.audit);
    let votes = thresholds.map(|threshold| threshold.votes).max();
    let mentioned = |certificate: &world::Certificate| {
        world.lists.iter().any(|list| list.entries.contains_key(&world::Selector::Key(certificate.subject)))
    };
    for (what, holds) in [
        ("with a list that revokes something of it", chains.iter().any(|chain| chain.iter().any(mentioned))),
        ("at the time of registration", chains.iter().any(|chain| now(chain) >= chain[0].not_after)),
        ("with two votes", votes == Some(2)),
        ("with three votes", votes == Some(3)),
        ("by a clock behind its lists", chains.iter().any(|chain| now(chain) > world.clock)),
        ("by a clock that is a lower bound", chains.iter().any(|chain| now(chain) < chain[0].not_before)),
        ("through two intermediates", chains.iter().any(|chain| chain.len() > 2)),
        ("a realisation", world.object.realisation),
    ] {
        if holds {
            tally.count(format!("accepted: {what}"));
        }
    }
}

fn compare(verdict: &Verdict, answer: &rules::Answer) -> Result<(), String> {
    let differ = |what: &str| Err(format!("{what}: the verifier says {verdict:#?}, the model {answer:#?}"));
    for (outcome, broken) in verdict.signatures.iter().zip(&answer.signatures) {
        let agrees = match code(outcome) {
            None => broken.is_empty(),
            Some(code) => broken.contains(code),
        };
        if !agrees {
            return differ("a signature");
        }
    }
    if verdict.accepted() != answer.accepted {
        return differ("the object");
    }
    // Section 8: "`too-few-votes` if signatures count and it is refused all the same, and else that of the signature that
    // came furthest"
    let counts = verdict.signatures.iter().any(|outcome| code(outcome).is_none());
    let row = |code: &&str| Reason::CODES.iter().position(|other| other == code);
    let furthest = verdict.signatures.iter().filter_map(code).max_by_key(row).unwrap_or("no-signatures");
    let reason = if answer.accepted { None } else { Some(if counts { "too-few-votes" } else { furthest }) };
    if verdict.reason().map(Reason::code) != reason {
        return differ("the reason");
    }
    let reported = audited(verdict);
    let possible: Codes = answer.audited.union(&answer.audited_perhaps).copied().collect();
    if !reported.is_superset(&answer.audited) || !reported.is_subset(&possible) {
        return differ("what audit mode reports");
    }
    Ok(())
}

#[test]
fn the_verifier_agrees_about_lists() {
    let mut tally = Tally::default();
    on_random_worlds(2, 10_000, |engine, world| {
        for list in &world.lists {
            let broken = rules::unusable(world, list);
            let code = engine.list_code(world, list);
            tally.count(code.unwrap_or("usable"));
            if code.map_or(!broken.is_empty(), |code| !broken.contains(code)) {
                return Err(format!("{list:#?}: the verifier says {code:?}, the model {broken:?}"));
            }
        }
        Ok(())
    });
    if std::env::var_os("NIXCERT_MODEL_CASES").is_none() {
        tally.require(
            10,
            &[
                "usable",
                "untrusted-ca",
                "list-of-another-ca",
                "bad-list-signature",
                "missing-usage",
                "host-not-permitted",
                "host-name-not-configured",
                "not-yet-valid",
                "expired",
                "path-length-exceeded",
            ],
        );
    }
}

/// The fewer signatures, the fewer acceptances; their order does not matter, nor what was remembered; and a rehearsal comes to
/// the same, where every signature is what its name says.
#[test]
fn signatures_only_help() {
    on_random_worlds(3, 1_000, |engine, world| {
        let verdict = engine.judge(world);
        for i in 0..world.signatures.len() {
            let mut fewer = world.clone();
            fewer.signatures.remove(i);
            if engine.judge(&fewer).accepted() && !verdict.accepted() {
                return Err(format!("signature {i} refuses"));
            }
        }
        let mut turned = world.clone();
        turned.signatures.reverse();
        let other = engine.judge(&turned);
        if other.accepted() != verdict.accepted() || audited(&other) != audited(&verdict) {
            return Err(format!("the order matters: {other:#?}"));
        }
        if engine.judge_with(world, &mut ChainCache::default()) != verdict {
            return Err("a warm cache matters".to_owned());
        }
        let mut good = world.clone();
        for signature in &mut good.signatures {
            match signature {
                Signature::Plain { by, of_another, .. } => (*by, *of_another) = (0x41, false),
                Signature::Certified { chain, by, of_another, .. } => {
                    (*by, *of_another) = (chain[0].subject, false)
                }
            }
        }
        let verdict = engine.judge(&good);
        let rehearsed = engine.rehearse(&good);
        if rehearsed != (verdict.accepted(), verdict.signatures.iter().map(code).collect()) {
            return Err(format!("a rehearsal says {rehearsed:?}, and then: {verdict:#?}"));
        }
        Ok(())
    });
}

/// P8: audit mode refuses nothing, and reports something exactly where the object would be refused without it.
#[test]
fn audit_mode_only_reports() {
    let mut differences = 0;
    on_random_worlds(4, 2_000, |engine, world| {
        let (verdict, strict) = (engine.judge(world), engine.judge(&without_audit_mode(world)));
        if strict.accepted() && !verdict.accepted() {
            return Err("audit mode refuses".to_owned());
        }
        if !strict.audited.is_empty() {
            return Err("it reports without being asked to".to_owned());
        }
        let by_audit_mode = verdict.accepted() && !strict.accepted();
        differences += usize::from(by_audit_mode);
        if by_audit_mode == verdict.audited.is_empty() {
            return Err(format!("it reports {:?}, and would be {strict:#?}", audited(&verdict)));
        }
        Ok(())
    });
    assert!(differences > 50, "audit mode mattered {differences} times");
}

fn without_audit_mode(world: &World) -> World {
    let mut world = world.clone();
    if let Some(policy) = &mut world.policy {
        policy.protected_audit = false;
        policy.thresholds.iter_mut().for_each(|threshold| threshold.audit = false);
        policy.cas.values_mut().for_each(|rules| rules.audit.clear());
    }
    world
}

/// A list takes away. Where an object is accepted with it and not without, then because it moves the time (T1), is the one that
/// is asked for (L12), takes the place of an older one (L9), or is the CA's own and revokes a delegate as compromised (L11).
#[test]
fn lists_only_take_away() {
    let mut tally = Tally::default();
    on_random_worlds(5, 3_000, |engine, world| {
        let with = engine.judge(world);
        for i in 0..world.lists.len() {
            let mut fewer = world.clone();
            let list = fewer.lists.remove(i);
            let without = engine.judge(&fewer);
            if !with.accepted() && without.accepted() {
                tally.count("a list refuses");
            }
            if !with.accepted() || without.accepted() {
                continue;
            }
            let newer = |other: &world::List| other.issued < list.issued && other.ca == list.ca;
            let rules = world.policy.iter().flat_map(|policy| policy.cas.values());
            let causes = [
                ("T1", rules::now(world, list.ca) > rules::now(&fewer, list.ca)),
                (
                    "L12",
                    rules.clone().any(|rules| rules.missing.is_some() || rules.oldest.is_some())
                        && list.chain.is_empty(),
                ),
                ("L9", fewer.lists.iter().any(newer)),
                (
                    "L11",
                    list.chain.is_empty()
                        && list.entries.values().any(|extent| *extent != Extent::Retired)
                        && fewer.lists.iter().any(|other| !other.chain.is_empty()),
                ),
            ];
            let causes: Vec<_> =
                causes.into_iter().filter(|(_, holds)| *holds).map(|(rule, _)| rule).collect();
            causes.iter().for_each(|rule| tally.count(*rule));
            if causes.is_empty() {
                return Err(format!("a list makes it be accepted, which without it is {without:#?}"));
            }
        }
        Ok(())
    });
    if std::env::var_os("NIXCERT_MODEL_CASES").is_none() {
        tally.require(100, &["a list refuses"]);
        tally.require(5, &["T1", "L12", "L9", "L11"]);
    }
}

/// A policy that limits nothing decides as none does.
#[test]
fn a_policy_that_limits_nothing() {
    on_random_worlds(6, 1_000, |engine, world| {
        let cas = world.cas.keys().map(|name| (*name, unlimited())).collect();
        let policy = Some(world::Policy { cas, ..world::Policy::default() });
        let with = engine.judge(&World { policy, ..world.clone() });
        let without = engine.judge(&World { policy: None, ..world.clone() });
        if with == without { Ok(()) } else { Err(format!("{with:#?} {without:#?}")) }
    });
}

fn unlimited() -> world::Rules {
    world::Rules {
        permitted: world::set(&["*"]),
        excluded: [].into(),
        usages: world::set(&[world::Use::Paths, world::Use::Realisations]),
        longest: None,
        deepest: None,
        missing: None,
        unreadable: None,
        oldest: None,
        audit: Codes::new(),
    }
}
