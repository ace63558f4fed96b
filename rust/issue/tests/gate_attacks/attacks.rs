//! Attacks on the activation gate, each beside its honest twin.

use crate::world::*;
use nixcert_core::CLOSURE_MARK;
use std::collections::BTreeMap;

const ACME: Key = 1;
const LABS: Key = 2;
const TEAM: Key = 0x11;
const ALICE: Key = 0x21;
const BOB: Key = 0x22;
const MALLORY: Key = 0x24;

fn certificate(label: Text, subject: Key, issuer: Key) -> Certificate {
    Certificate {
        label,
        subject,
        issuer,
        forged: false,
        not_before: NOW - DAY,
        not_after: NOW + 90 * DAY,
        vouches: true,
        issues: false,
        permitted: set(&["*"]),
        excluded: set(&[]),
        hosts: set(&["*"]),
    }
}

fn alice() -> Chain {
    vec![certificate("alice", ALICE, ACME)]
}

fn bob() -> Chain {
    vec![certificate("bob", BOB, ACME)]
}

/// May import anything, and vouch for nothing.
fn mallory() -> Chain {
    vec![Certificate { vouches: false, ..certificate("mallory", MALLORY, ACME) }]
}

/// Somebody whom an intermediate has certified that may vouch for what these patterns permit.
fn below(permitted: &[Text], label: Text, subject: Key) -> Chain {
    let team = Certificate { issues: true, permitted: set(permitted), ..certificate("team", TEAM, ACME) };
    vec![certificate(label, subject, TEAM), team]
}

fn said(signed: u64) -> Said {
    Said { signed, not_after: NOW + 7 * DAY, hosts: set(&["*"]), about: About::This }
}

fn signed(chain: &Chain, said: Said) -> ClosureSignature {
    ClosureSignature { chain: chain.clone(), said, forged: false }
}

fn by_path(chain: &Chain) -> Signature {
    Signature { of: 1, by: By::Person(chain.clone()) }
}

/// A system of three paths, the closure of which these people have signed.
fn system(people: &[Chain]) -> World {
    let path =
        |name: Text| Path { name, content: 1, content_addressed: None, signatures: vec![], earlier: vec![] };
    let rules = || Rules {
        permitted: set(&["*"]),
        excluded: set(&[]),
        may_vouch: true,
        audited: false,
        deepest: 3,
        list_needed: false,
    };
    World {
        host: Some("web-1"),
        cas: BTreeMap::from([("acme", ACME), ("labs", LABS)]),
        policy: Policy {
            lower_bound: false,
            protected: set(&[]),
            cas: BTreeMap::from([("acme", rules()), ("labs", rules())]),
            votes: 1,
            authorities: None,
            separate: false,
            required: true,
            caller_must_sign: false,
            vendors: BTreeMap::new(),
        },
        lists: BTreeMap::new(),
        caller: Some("alice"),
        last: None,
        again: false,
        paths: vec![path("nixos-system-web"), path("sudo-1.9"), path("glibc-1.40")],
        closure_signatures: people.iter().map(|chain| signed(chain, said(NOW - HOUR))).collect(),
        junk: vec![],
    }
}

fn with(mut world: World, change: impl FnOnce(&mut World)) -> World {
    change(&mut world);
    world
}

#[track_caller]
fn accepted(world: &World) {
    let answer = world.ask().unwrap();
    assert_eq!(answer.code(), None, "{answer:?}");
}

#[track_caller]
fn refused(world: &World, code: &str) {
    let answer = world.ask().unwrap();
    assert_eq!(answer.code(), Some(code), "{answer:?}");
}

/// Anybody may attach signatures: they cost little, are told of in part, and are in nobody's way.
#[test]
fn junk_crowds_no_closure_signature_out() {
    let junk = |world: &mut World| {
        let name = |chain: &Chain| {
            let signature = world.closure_signature(&signed(chain, said(NOW - HOUR)));
            signature.split(':').next().unwrap().to_owned()
        };
        let (alices, mallorys) = (name(&alice()), name(&mallory()));
        world.junk.extend((0..70_000).map(|number| format!("{number}{CLOSURE_MARK}:x")));
        for number in 0..1_000_u32 {
            let payload = nixcert_core::base64_encode(&[number.to_be_bytes().as_slice(), &[1; 60]].concat());
            world.junk.extend([format!("{alices}:{payload}"), format!("{mallorys}:{payload}")]);
        }
    };
    accepted(&with(system(&[alice()]), junk));
    refused(&with(system(&[]), junk), "missing-usage");
    let answer = with(system(&[alice()]), junk).ask().unwrap();
    assert_eq!((answer.in_force.as_slice(), answer.told), (&[true][..], 101));
}

/// Whoever may sign one statement may sign any number of them, and is asked about each path once.
#[test]
fn one_person_with_many_statements_is_one_voucher() {
    let eve = vec![Certificate { permitted: set(&["nixos-system-*"]), ..certificate("eve", MALLORY, ACME) }];
    let many = |chain: &Chain| {
        let chain = chain.clone();
        move |world: &mut World| {
            world.closure_signatures.extend((2..300).map(|ago| signed(&chain, said(NOW - HOUR - ago))));
        }
    };
    let answer = with(system(&[alice()]), many(&eve)).ask().unwrap();
    assert_eq!(answer.code(), None);
    assert_eq!(answer.vouchers.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
    refused(&with(system(&[]), many(&eve)), "not-vouched-for");
    let answer = with(system(&[alice()]), many(&bob())).ask().unwrap();
    assert_eq!(answer.vouchers.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
    refused(&with(with(system(&[alice()]), many(&bob())), |world| world.policy.votes = 3), "too-few-votes");
}

/// What an import certificate is good for, here: nothing.
#[test]
fn who_may_import_vouches_for_nothing() {
    for chain in [mallory(), below(&["*"], "alice", MALLORY)] {
        let importer = vec![Certificate { vouches: false, ..chain[0].clone() }];
        let importer = [importer, chain[1..].to_vec()].concat();
        let each = |chain: Chain| {
            move |world: &mut World| {
                world.policy.required = false;
                world.paths.iter_mut().for_each(|path| path.signatures.push(by_path(&chain)));
            }
        };
        refused(&system(std::slice::from_ref(&importer)), "missing-usage");
        refused(&with(system(&[]), each(importer)), "not-vouched-for");
        let voucher = vec![Certificate { vouches: true, ..chain[0].clone() }];
        let voucher = [voucher, chain[1..].to_vec()].concat();
        accepted(&system(std::slice::from_ref(&voucher)));
        accepted(&with(system(&[]), each(voucher)));
    }
}

/// What an intermediate may not, nobody may below it, whatever it writes into what it issues.
#[test]
fn an_intermediate_vouches_for_no_other_names() {
    accepted(&system(&[below(&["*"], "ivan", MALLORY)]));
    refused(&system(&[below(&["nixos-system-*"], "ivan", MALLORY)]), "not-vouched-for");
    refused(&system(&[below(&["sudo@"], "ivan", MALLORY)]), "name-not-permitted");
    // Beside somebody's closure signature of the same paths it neither helps nor hinders.
    accepted(&system(&[below(&["nixos-system-*"], "ivan", MALLORY), alice()]));
    let two = |world: &mut World| world.policy.votes = 2;
    refused(&with(system(&[below(&["nixos-system-*"], "ivan", MALLORY), alice()]), two), "not-vouched-for");
    accepted(&with(system(&[below(&["*"], "ivan", MALLORY), alice()]), two));
}

/// However many an intermediate certifies, they are one vote, and never that of somebody whose label they bear.
#[test]
fn an_intermediate_is_one_vote() {
    let two = |world: &mut World| world.policy.votes = 2;
    let crowd: Vec<Chain> = (0x40..0x60).map(|key| below(&["*"], "ivan", key)).collect();
    refused(&with(system(&crowd), two), "too-few-votes");
    accepted(&with(system(&[crowd.clone(), vec![alice()]].concat()), two));
    refused(&with(system(&[below(&["*"], "alice", MALLORY), alice()]), two), "too-few-votes");
    // With a certificate of the CA's for the same person, or the same key, they are still one.
    refused(&with(system(&[below(&["*"], "ivan", ALICE), alice()]), two), "too-few-votes");
    let again = vec![certificate("alice", 0x70, LABS)];
    refused(&with(system(&[again, alice()]), two), "too-few-votes");
    accepted(&with(system(&[vec![certificate("dora", 0x70, LABS)], alice()]), two));
}

/// P2: who was under a CA that has no rules any more vouches no longer, not even for what was activated.
#[test]
fn a_record_below_a_ca_without_rules_is_worth_nothing() {
    let dora = vec![certificate("dora", MALLORY, LABS)];
    let mut world = system(&[]);
    world.policy.required = false;
    for path in &mut world.paths {
        path.earlier = vec![(NOW - HOUR, vec![By::Person(dora.clone())])];
    }
    accepted(&world);
    world.policy.cas.remove("labs");
    refused(&world, "not-vouched-for");
}

/// A CA that is not asked for votes may certify anybody as `alice`.
#[test]
fn a_label_of_a_ca_without_votes_is_not_the_callers() {
    let others = vec![certificate("alice", MALLORY, LABS)];
    let rules = |world: &mut World| {
        world.policy.authorities = Some(set(&["acme"]));
        world.policy.caller_must_sign = true;
    };
    accepted(&with(system(&[alice(), bob()]), rules));
    refused(&with(system(&[others.clone(), bob()]), rules), "caller-has-not-signed");
    refused(
        &with(with(system(&[bob()]), rules), |world| world.paths[0].signatures.push(by_path(&others))),
        "caller-has-not-signed",
    );
    accepted(&with(with(system(&[bob()]), rules), |world| {
        world.policy.authorities = None;
        world.paths[0].signatures.push(by_path(&others));
    }));
}

/// Who vouched for an earlier generation, and may sign nothing any more, has not signed this one.
#[test]
fn a_record_is_no_signature_of_the_callers() {
    let mut world = system(&[]);
    world.policy.required = false;
    world.policy.caller_must_sign = true;
    world.caller = Some("eve");
    let eve = vec![certificate("eve", MALLORY, ACME)];
    world.paths[0].earlier = vec![(NOW - HOUR, vec![By::Person(eve.clone())])];
    for path in &mut world.paths[1..] {
        path.signatures.push(by_path(&alice()));
    }
    refused(&world, "caller-has-not-signed");
    accepted(&with(world.clone(), |world| world.paths[0].signatures.push(by_path(&eve))));
    // G7
    accepted(&with(world, |world| world.again = true));
}

/// G6, whether or not closure signatures alone suffice for every path.
#[test]
fn who_asks_may_have_signed_the_top_level_path_alone() {
    let caller = |world: &mut World| world.policy.caller_must_sign = true;
    let world = with(system(&[bob()]), caller);
    refused(&world, "caller-has-not-signed");
    accepted(&with(world.clone(), |world| world.paths[0].signatures.push(by_path(&alice()))));
    refused(
        &with(world.clone(), |world| world.paths[1].signatures.push(by_path(&alice()))),
        "caller-has-not-signed",
    );
    refused(
        &with(world, |world| world.paths[0].signatures.push(Signature { of: 2, by: By::Person(alice()) })),
        "caller-has-not-signed",
    );
}

/// Neither a renewed certificate nor another person's signature of the same statement brings back who was revoked.
#[test]
fn who_is_revoked_does_not_come_back() {
    let list = |since: Option<u64>| {
        move |world: &mut World| {
            let keys = BTreeMap::from([(MALLORY, since)]);
            world.lists.insert(ACME, List { issued: NOW - HOUR, labels: BTreeMap::new(), keys });
        }
    };
    let eve = vec![certificate("eve", MALLORY, ACME)];
    let renewed = vec![Certificate { not_before: NOW - HOUR, ..certificate("eva", MALLORY, ACME) }];
    for chain in [eve.clone(), renewed] {
        accepted(&system(std::slice::from_ref(&chain)));
        refused(&with(system(std::slice::from_ref(&chain)), list(None)), "retired");
        refused(&with(system(&[chain]), list(Some(NOW - HOUR))), "compromised");
    }
    let two = |world: &mut World| world.policy.votes = 2;
    accepted(&with(system(&[eve.clone(), alice()]), two));
    refused(&with(with(system(&[eve.clone(), alice()]), two), list(None)), "too-few-votes");
    // What was activated before stays for who retired, and for who was compromised later.
    let earlier = |since: Option<u64>, activated: u64| {
        let mut world = with(with(system(&[]), list(since)), |world| world.policy.required = false);
        for path in &mut world.paths {
            path.earlier = vec![(activated, vec![By::Person(eve.clone())])];
        }
        world
    };
    accepted(&earlier(None, NOW - 2 * HOUR));
    accepted(&earlier(Some(NOW - HOUR), NOW - 2 * HOUR));
    refused(&earlier(Some(NOW - HOUR), NOW - HOUR), "not-vouched-for");
    // A record from a time that has not come, or of none, is of no time.
    refused(&earlier(None, NOW + 1), "not-vouched-for");
    refused(&earlier(None, 0), "not-vouched-for");
}

/// A vendor's word is asked about nothing that root runs first, and under the vendor's own name alone.
#[test]
fn a_vendor_vouches_for_no_system() {
    let vendor = |name: Text, paths: &'static [usize]| {
        move |world: &mut World| {
            world.policy.required = false;
            world.policy.vendors = BTreeMap::from([("cache-1", MALLORY)]);
            world.paths[0].signatures.push(by_path(&alice()));
            for index in paths {
                world.paths[*index].signatures.push(Signature { of: 1, by: By::Vendor(name, MALLORY) });
            }
        }
    };
    accepted(&with(system(&[]), vendor("cache-1", &[1, 2])));
    refused(&with(system(&[]), vendor("cache-2", &[1, 2])), "not-vouched-for");
    let without = |world: &mut World| world.paths[0].signatures.retain(|it| it.by != By::Person(alice()));
    refused(&with(with(system(&[]), vendor("cache-1", &[0, 1, 2])), without), "not-vouched-for");
    // A key that vouches for packages is no person's, and no person is a vendor.
    let a_person = format!("cache-1.nixcert1.{}", name_of(&alice()).split_once(".nixcert1.").unwrap().1);
    let name: Text = Box::leak(a_person.into_boxed_str());
    refused(&with(system(&[]), vendor(name, &[1, 2])), "not-vouched-for");
}

/// Neither what is signed later nor what is signed again takes a host back.
#[test]
fn deployments_never_go_back() {
    let last = |signed: u64| move |world: &mut World| world.last = Some(said(signed));
    accepted(&with(system(&[alice()]), last(NOW - HOUR - 1)));
    accepted(&with(system(&[alice()]), last(NOW - HOUR)));
    refused(&with(system(&[alice()]), last(NOW - HOUR + 1)), "older-deployment");
    // One second, and another statement.
    let other = |world: &mut World| world.last.as_mut().unwrap().about = About::OtherClosure;
    refused(&with(with(system(&[alice()]), last(NOW - HOUR)), other), "older-deployment");
    // It may come back if it was here: but only as it was, and no statement counts for what it covers.
    let again = |world: &mut World| world.again = true;
    refused(&with(with(system(&[alice()]), last(NOW)), again), "not-vouched-for");
    let recorded = |world: &mut World| {
        for path in &mut world.paths {
            path.earlier = vec![(NOW - 2 * HOUR, vec![By::Person(alice())])];
        }
    };
    accepted(&with(with(with(system(&[alice()]), last(NOW)), again), recorded));
    refused(&with(with(system(&[alice()]), last(NOW)), recorded), "older-deployment");
}

/// Who may vouch cannot reach further ahead than a day, or with a clock that may be behind than the own certificate.
#[test]
fn nobody_reaches_far_ahead() {
    let at = |signed: u64| {
        move |world: &mut World| {
            let not_after = NOW + 100 * DAY;
            world.closure_signatures[0].said = Said { signed, not_after, ..said(NOW) };
        }
    };
    let lower_bound = |world: &mut World| world.policy.lower_bound = true;
    accepted(&with(system(&[alice()]), at(NOW + DAY)));
    refused(&with(system(&[alice()]), at(NOW + DAY + 1)), "statement-in-the-future");
    accepted(&with(with(system(&[alice()]), at(NOW + 90 * DAY - 1)), lower_bound));
    refused(&with(with(system(&[alice()]), at(NOW + 90 * DAY)), lower_bound), "statement-in-the-future");
    // T1: a list proves that it is later, for its CA.
    let list = |ca: Key| {
        move |world: &mut World| {
            let list = List { issued: NOW + 8 * DAY, labels: BTreeMap::new(), keys: BTreeMap::new() };
            world.lists.insert(ca, list);
        }
    };
    accepted(&with(system(&[alice()]), list(LABS)));
    refused(&with(system(&[alice()]), list(ACME)), "statement-expired");
}
