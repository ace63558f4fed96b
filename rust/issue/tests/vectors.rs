//! The vectors of `tests/vectors`: each is reproduced by its generator, judged as it says, and every reason code has one.
//!
//! After a change of a scenario: `NIXCERT_BLESS=1 cargo test -p nixcert-issue --test vectors`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod scenarios;

use nixcert_core::{
    Anchors, Basis, CertificateName, ChainCache, ChainError, ClosureReason, Deployment, Earlier, Extent,
    Gate, GateRefusal, HostName, Member, Object, ObjectError, ObjectKind, Outcome, PublicKey, PublicKeys,
    Reason, Recorded, RevocationList, Revocations, Statement, Tally, Times, Trust, TrustError, Verdict,
    VerifiedChain, VerifiedList, Voucher, base32_encode, base64_decode, closure_digest, judge, rehearse,
};
use nixcert_host::PolicyFile;
use scenarios::closures::{ClosureScenario, ExpectedClosure, RecordedVoucher};
use scenarios::lists::{ExpectedList, ListContents, ListEntry, ListScenario};
use scenarios::{Expected, Held, Kind, Scenario, Signature};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

#[test]
fn files_are_what_their_generators_make() {
    compare_files(&directory(), scenarios::all());
    compare_files(&directory().join("lists"), scenarios::lists::all());
    compare_files(&directory().join("closures"), scenarios::closures::all());
}

fn compare_files<S: Serialize>(directory: &Path, scenarios: Vec<(String, S)>) {
    let bless = std::env::var_os("NIXCERT_BLESS").is_some();
    let mut wanted = BTreeSet::new();
    for (name, scenario) in scenarios {
        let file = directory.join(format!("{name}.json"));
        assert!(wanted.insert(file.clone()), "{name} is there twice");
        let text = serde_json::to_string_pretty(&scenario).unwrap() + "\n";
        if bless {
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&file).unwrap_or_default(),
            text,
            "{name}: bless it, if the change is meant"
        );
    }
    let found: BTreeSet<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    let stray: Vec<_> = found.difference(&wanted).collect();
    assert!(stray.is_empty(), "files without a scenario: {stray:?}");
}

#[test]
fn verdicts_are_as_expected() {
    for (name, scenario) in scenarios::all() {
        let expected = scenario.expected.clone();
        let got = verdict_of(&scenario, &mut ChainCache::default());
        assert_eq!(got, expected, "{name}");
        // The cache changes nothing, neither full nor warm.
        let mut cache = ChainCache::default();
        verdict_of(&scenario, &mut cache);
        assert_eq!(verdict_of(&scenario, &mut cache), expected, "{name}, with a warm cache");
    }
}

/// Nor does one that is full of what was decided of others, for other hosts and at other times.
#[test]
fn a_cache_changes_no_verdict() {
    let mut cache = ChainCache::default();
    let scenarios = scenarios::all();
    for (name, scenario) in scenarios.iter().chain(scenarios.iter().rev()) {
        assert_eq!(verdict_of(scenario, &mut cache), scenario.expected, "{name}");
    }
}

/// L12, of all lists at once: of a CA whose rules say so, nothing is accepted.
#[test]
fn no_list_can_be_looked_at() {
    for (wanted, reason) in [
        ("accept-certified", Some("revocation-list-unreadable")),
        ("accept-list-unreadable", None),
        ("accept-plain-list-unreadable", None),
    ] {
        let scenario = scenarios::all().into_iter().find(|(name, _)| name == wanted).unwrap().1;
        let mut trust = trust_of(&scenario);
        trust.revocations = Revocations::default();
        trust.revocations.set_all_unreadable("the directory is gone".to_owned());
        let times = Times { now: scenario.now, registered: scenario.registered };
        let object = object_of(&scenario).unwrap();
        let verdict = judge(&object, &scenario.signature_texts(), &trust, times, &mut ChainCache::default());
        assert_eq!(verdict.reason().map(Reason::code), reason, "{wanted}");
    }
}

/// L11: what the CA's own list says of who signed another.
#[test]
fn signers_of_lists_are_revoked_by_the_ca_alone() {
    for (wanted, revoked) in [
        ("refuse-by-retired-delegate", Some(Extent::Retired)),
        ("refuse-by-delegate-revoked-by-delegate", None),
        ("accept-delegate-others", None),
    ] {
        let scenario = scenarios::all().into_iter().find(|(name, _)| name == wanted).unwrap().1;
        let trust = trust_of(&scenario);
        let (_, ca) = trust.anchors.iter().next().unwrap();
        let of_delegates = trust.revocations.of(ca).iter().filter(|list| !list.is_of_the_ca());
        let signers: Vec<_> = of_delegates.map(|list| trust.revocations.signer_revoked(list)).collect();
        assert!(!signers.is_empty());
        for signer in signers {
            assert_eq!(signer.map(|signer| signer.extent), revoked, "{wanted}");
        }
    }
}

/// A rehearsal is the verdict, with good signatures taken for granted.
#[test]
fn rehearsals_are_as_the_verdicts() {
    const OF_THE_SIGNATURE: [&str; 3] = ["malformed-signature", "bad-signature", "too-many-signatures"];
    let mut rehearsed = 0;
    for (name, scenario) in scenarios::all() {
        let of_the_signature = |reason: &String| OF_THE_SIGNATURE.contains(&reason.as_str());
        let (texts, expected) = (scenario.signature_texts(), scenario.expected.clone());
        let Ok(object) = object_of(&scenario) else { continue };
        if expected.signatures.iter().flatten().any(of_the_signature) {
            continue;
        }
        let names: Vec<&str> = texts.iter().map(|text| text.split_once(':').unwrap().0).collect();
        let kind = match scenario.kind {
            Kind::Path => ObjectKind::Path,
            Kind::Realisation => ObjectKind::Realisation,
        };
        let times = Times { now: scenario.now, registered: scenario.registered };
        let rehearsal = rehearse(kind, object.store_path(), &names, &trust_of(&scenario), times);
        let got = Expected {
            accepted: rehearsal.would_be_accepted(),
            reason: rehearsal.reason().map(|reason| reason.code().to_owned()),
            signatures: rehearsal
                .refusals()
                .map(|reason| reason.map(|reason| reason.code().to_owned()))
                .collect(),
            audited: codes_of(rehearsal.audited()),
        };
        assert_eq!(got, expected, "{name}");
        rehearsed += 1;
    }
    assert!(rehearsed > 200, "only {rehearsed}");
}

/// A scenario, and a cache that knows its good signature.
fn known(wanted: &str) -> (Scenario, ChainCache) {
    let scenario = scenarios::all().into_iter().find(|(name, _)| name == wanted).unwrap().1;
    let mut cache = ChainCache::default();
    assert!(verdict_of(&scenario, &mut cache).accepted);
    (scenario, cache)
}

#[test]
fn closures_are_as_expected() {
    for (name, scenario) in scenarios::closures::all() {
        assert_eq!(closure_of(&scenario), scenario.expected, "{name}");
    }
}

/// Where a gate says that it vouches for all paths alike, no signature of any other than the top-level path is needed.
#[test]
fn who_vouches_for_all_alike_needs_no_other_signature() {
    let mut alike = Vec::new();
    for (name, mut scenario) in scenarios::closures::all() {
        if !gate_of(&scenario).is_ok_and(|(gate, _)| gate.vouches_alike()) {
            continue;
        }
        for path in scenario.paths.iter_mut().skip(1) {
            (path.signatures, path.earlier) = (vec![], vec![]);
        }
        assert_eq!(closure_of(&scenario), scenario.expected, "{name}");
        alike.push(name);
    }
    assert!(alike.contains(&"accept-closure".to_owned()), "{alike:?}");
}

/// All of section 13, but for what only more than the limit, or a defect of the caller, could bring about.
#[test]
fn every_reason_of_a_closure_has_a_vector() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md")).unwrap();
    let section = text.split("## 13. Closure signatures").nth(1).unwrap();
    let rows: Vec<&str> =
        section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let known: Vec<&str> = ClosureReason::CODES.iter().chain(GateRefusal::CODES).copied().collect();
    assert_eq!(rows, known, "the tables of section 13 are the codes there are");
    let seen: BTreeSet<String> = scenarios::closures::all()
        .into_iter()
        .flat_map(|(_, scenario)| {
            scenario.expected.closure_signatures.into_iter().flatten().chain(scenario.expected.reason)
        })
        .collect();
    for code in known.iter().filter(|code| !["too-many-signatures", "internal-error"].contains(code)) {
        assert!(seen.contains(*code), "{code}");
    }
}

/// What is junk for a cheaper reason does not count, so it crowds nobody out.
#[test]
fn junk_does_not_crowd_out_a_closure_signature() {
    let mut scenario =
        scenarios::closures::all().into_iter().find(|(name, _)| name == "accept-closure").unwrap().1;
    let good = scenario.paths[0].signatures.remove(0);
    let (_, statement) = good.split_once(nixcert_core::CLOSURE_MARK).unwrap();
    let statement = statement.split('.').next().unwrap();
    let junk = (0..70_000)
        .map(|n| format!("j{n}.nixcert1-closure.{statement}.aa:{}", nixcert_core::base64_encode(&[0; 64])));
    scenario.paths[0].signatures = junk.chain([good.clone()]).collect();
    let got = closure_of(&scenario);
    assert_eq!((got.reason, got.bases), (None, scenario.expected.bases));
}

/// Of any number of closure signatures that do not count, those that came furthest are told of.
#[test]
fn the_closure_signatures_that_came_furthest_are_kept() {
    let mut scenario =
        scenarios::closures::all().into_iter().find(|(name, _)| name == "accept-closure").unwrap().1;
    let good = scenario.paths[0].signatures.remove(0);
    let (name, _) = good.split_once(':').unwrap();
    let forged = format!("{name}:{}", nixcert_core::base64_encode(&[0; 64]));
    let junk = |n| format!("j{n}.nixcert1-closure.aa.aa:{}", nixcert_core::base64_encode(&[0; 64]));
    for (before, after) in [(0, 0), (0, 100), (100, 0), (150, 250), (1_050, 2_050)] {
        let signatures = (0..before).map(junk).chain([forged.clone(), good.clone()]);
        scenario.paths[0].signatures = signatures.chain((0..after).map(junk)).collect();
        let told: Vec<Option<String>> = closure_of(&scenario).closure_signatures;
        assert_eq!(told.len(), 1 + 100.min(1 + before + after), "{before}, {after}");
        assert!(told.contains(&None) && told.contains(&Some("bad-signature".to_owned())));
    }
}

/// What is activated goes by the newest statement that has the votes (G5).
#[test]
fn the_newest_statement_counts() {
    let find =
        |wanted: &str| scenarios::closures::all().into_iter().find(|(name, _)| name == wanted).unwrap().1;
    for reversed in [false, true] {
        let mut scenario = find("accept-two-statements-optional");
        if reversed {
            scenario.paths[0].signatures.reverse();
        }
        scenario.policy["activation"]["votes"] = 1.into();
        let (gate, objects) = gate_of(&scenario).unwrap();
        let mut tally = Tally::default();
        for (path, object) in scenario.paths.iter().zip(&objects) {
            let member =
                Member { object, signatures: &path.signatures, content_addressed: None, earlier: &[] };
            tally.add(&gate.member(&member, &mut ChainCache::default()));
        }
        let signed: Vec<_> = gate
            .closure_signatures()
            .iter()
            .map(|signature| signature.statement.as_ref().unwrap().signed)
            .collect();
        let passed = gate.conclude(&tally).unwrap();
        assert_eq!(
            passed.statement().map(|statement| statement.signed),
            signed.into_iter().max(),
            "reversed: {reversed}"
        );
    }
}

/// A gate that was not shown every path stays closed.
#[test]
fn a_path_that_was_not_judged_is_missed() {
    let scenario =
        scenarios::closures::all().into_iter().find(|(name, _)| name == "accept-closure").unwrap().1;
    let (gate, _) = gate_of(&scenario).unwrap();
    let refusals = gate.conclude(&Tally::default()).unwrap_err();
    assert_eq!(refusals[0].code(), "internal-error");
}

#[test]
fn lists_are_as_expected() {
    for (name, scenario) in scenarios::lists::all() {
        assert_eq!(list_of(&scenario), scenario.expected, "{name}");
    }
}

/// Those of section 11 for lists; and those of section 8 that a list, or its signer's chain, can have.
#[test]
fn every_reason_of_a_list_has_a_vector() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md")).unwrap();
    let section = text.split("## 11. Revocation lists").nth(1).unwrap().split("## 12.").next().unwrap();
    let of_lists = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    // L10 and L11: of lists that a host does not take in place of what it holds, or would from another signer.
    let of_holding = ["list-older-than-held", "list-shrinks", "list-in-the-future", "list-signer-revoked"];
    let mut wanted: BTreeSet<&str> = of_lists.filter(|code| !of_holding.contains(code)).collect();
    wanted.extend([
        "unknown-version",
        "unknown-algorithm",
        "malformed-certificate",
        "unknown-usage",
        "unknown-constraint",
        "untrusted-ca",
        "issuer-mismatch",
        "repeated-key",
        "issuer-as-leaf",
        "not-an-issuer",
        "path-length-exceeded",
        "bad-certificate-signature",
        "weak-key",
        "not-yet-valid",
        "expired",
        "missing-usage",
        "host-name-not-configured",
        "host-not-permitted",
    ]);
    let scenarios = scenarios::lists::all();
    let seen: BTreeSet<&str> =
        scenarios.iter().filter_map(|(_, scenario)| scenario.expected.reason.as_deref()).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn every_reason_code_has_a_vector() {
    let seen: BTreeSet<String> = scenarios::all()
        .into_iter()
        .flat_map(|(_, scenario)| {
            scenario.expected.signatures.into_iter().flatten().chain(scenario.expected.reason)
        })
        .collect();
    let codes: BTreeSet<String> = Reason::CODES.iter().map(|code| (*code).to_owned()).collect();
    assert_eq!(seen, codes);
}

#[test]
fn the_specification_lists_every_code_in_order() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md")).unwrap();
    let section = text.split("## 8. Reasons").nth(1).unwrap().split("## 9.").next().unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), Reason::CODES);
}

/// FORMAT section 9 is the scenario `accept-certified`, field by field.
#[test]
fn the_worked_example_is_true() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md")).unwrap();
    let example = text.split("## 9. Worked example").nth(1).unwrap();
    let wanted = scenarios::worked_example();
    assert!(example.contains(&wanted), "FORMAT.md section 9 must contain:\n\n{wanted}");
}

/// FORMAT section 11 has the list of `lists/accept-every-extent`, field by field.
#[test]
fn the_worked_example_of_a_list_is_true() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md")).unwrap();
    let section = text.split("## 11. Revocation lists").nth(1).unwrap().split("## 12.").next().unwrap();
    let wanted = scenarios::lists::worked_example();
    assert!(section.contains(&wanted), "FORMAT.md section 11 must contain:\n\n{wanted}");
}

/// FORMAT section 13 has the closure signature of `closures/accept-closure`, field by field.
#[test]
fn the_worked_example_of_a_closure_is_true() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../FORMAT.md")).unwrap();
    let section = text.split("## 13. Closure signatures").nth(1).unwrap();
    let wanted = scenarios::closures::worked_example();
    assert!(section.contains(&wanted), "FORMAT.md section 13 must contain:\n\n{wanted}");
}

/// What is told of a system that passes.
#[test]
fn how_it_passed_is_told() {
    for (name, again, covers, is_again) in [
        ("accept-closure", false, vec![true], false),
        ("accept-closure", true, vec![true], false),
        ("accept-caller-of-another-statement", false, vec![true, false], false),
        ("accept-again", true, vec![], true),
    ] {
        let mut scenario = scenarios::closures::all().into_iter().find(|(other, _)| other == name).unwrap().1;
        scenario.again = again;
        let (gate, objects) = gate_of(&scenario).unwrap();
        let (tally, _) = tally_of(&scenario, &gate, &objects);
        let labels: Vec<&str> = tally.vouch_for_the_system().iter().map(Voucher::label).collect();
        assert!(labels.contains(&"alice"), "{name}: {labels:?}");
        let told: Vec<bool> = gate.closure_signatures().iter().map(|signature| signature.covers).collect();
        assert_eq!(told, covers, "{name}");
        assert_eq!(gate.conclude(&tally).unwrap().is_again(), is_again, "{name}");
    }
}

/// What the gate says of a path's vouchers is what it takes back from the activation log (G2 (e)).
#[test]
fn vouchers_can_be_recorded() {
    let find =
        |wanted: &str| scenarios::closures::all().into_iter().find(|(name, _)| name == wanted).unwrap().1;
    let scenario = find("accept-closure");
    let (gate, objects) = gate_of(&scenario).unwrap();
    let signed = &scenario.paths[0].signatures;
    let top = Member { object: &objects[0], signatures: signed, content_addressed: None, earlier: &[] };
    let verdict = gate.member(&top, &mut ChainCache::default());
    let (_, vouchers) = verdict.basis().unwrap();
    let [voucher @ Voucher::Certified { name, .. }] = vouchers else { panic!("{vouchers:?}") };
    assert_eq!(voucher.label(), "alice");
    let mut again = find("accept-again");
    let without = closure_of(&again);
    assert_eq!(without, again.expected);
    for path in &mut again.paths {
        path.earlier[0].vouchers = vec![RecordedVoucher::Person(name.clone())];
    }
    assert_eq!(closure_of(&again), again.expected);
    for path in &mut again.paths {
        path.earlier[0].vouchers = vec![RecordedVoucher::Person("alice".to_owned())];
    }
    assert!(closure_of(&again).reason.is_some());
}

/// Of a path that nobody vouches for, it is said why not: of its own signatures in their order, then of the closure's.
#[test]
fn why_nobody_vouches_is_told() {
    let mut scenario =
        scenarios::closures::all().into_iter().find(|(name, _)| name == "accept-closure").unwrap().1;
    scenario.policy["activation"]["votes"] = 2.into();
    let forged = format!("bob:{}", nixcert_core::base64_encode(&[0; 64]));
    let (gate, objects) = gate_of(&scenario).unwrap();
    let signatures = [forged, scenario.paths[0].signatures[0].clone()];
    let member =
        Member { object: &objects[1], signatures: &signatures, content_addressed: None, earlier: &[] };
    let verdict = gate.member(&member, &mut ChainCache::default());
    let unvouched = verdict.basis().unwrap_err();
    let codes: Vec<Option<&str>> =
        unvouched.signatures.iter().map(|reason| reason.as_ref().map(Reason::code)).collect();
    assert_eq!(codes, [Some("unknown-key")]);
    assert!(unvouched.covering.is_empty(), "Alice's counts");
    let missing = unvouched.missing_votes.as_ref().unwrap();
    assert_eq!(missing.code(), "too-few-votes");
    assert!(!missing.to_string().contains("given up"), "{missing}");
}

/// Flip every bit of the payload, and of every certificate of the longest chain: nothing is accepted.
#[test]
fn no_flipped_bit_is_accepted() {
    let (scenario, mut cache) = known("accept-three-intermediates");
    let signature = scenario.signatures[0].text().to_owned();
    let (name, payload) = signature.split_once(':').unwrap();
    let mut refused = |signature: String, what: &str| {
        let scenario = Scenario { signatures: vec![signature.into()], ..scenario.clone() };
        for cache in [&mut ChainCache::default(), &mut cache] {
            assert!(!verdict_of(&scenario, cache).accepted, "{what}");
        }
    };
    let mut bytes = nixcert_core::base64_decode(payload.as_bytes()).unwrap();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(format!("{name}:{}", nixcert_core::base64_encode(&bytes)), &format!("payload, bit {bit}"));
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    let (label, certificates) = name.split_once(".nixcert1.").unwrap();
    let parts: Vec<&str> = certificates.split('.').collect();
    for (position, part) in parts.iter().enumerate() {
        let mut bytes = nixcert_core::base32_decode(part.as_bytes()).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
            parts[position] = base32_encode(&bytes);
            let name = format!("{label}.nixcert1.{}", parts.join("."));
            refused(format!("{name}:{payload}"), &format!("certificate {position}, bit {bit}"));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// D7: "Signatures whose chain the verifier had verified before this object come first"
#[test]
fn known_chains_are_asked_first() {
    let (alice, mut cache) = known("accept-certified");
    let (through_others, _) = known("accept-three-intermediates");
    let (unknown, _) = through_others.signatures[0].text().split_once(':').unwrap();
    let junk = Signature::Junk { junk: 65_536, name: unknown.to_owned() };
    let scenario = Scenario { signatures: vec![junk, alice.signatures[0].clone()], ..alice };
    let too_many = verdict_of(&scenario, &mut ChainCache::default());
    assert_eq!(too_many.signatures.last().unwrap().as_deref(), Some("too-many-signatures"));
    let accepted = verdict_of(&scenario, &mut cache);
    assert_eq!((accepted.accepted, accepted.signatures.last()), (true, Some(&None)));
}

/// A refusal says which certificate of the chain is at fault, counted from the leaf; also where the leaf is left out.
#[test]
fn a_refusal_names_the_certificate() {
    let (scenario, _) = known("accept-three-intermediates");
    let (name, _) = scenario.signatures[0].text().split_once(':').unwrap();
    let certificates = CertificateName::parse(name.as_bytes()).unwrap().certificates().to_vec();
    let anchors = anchors_of(&scenario.trusted_ca_keys).unwrap();
    let place = |reason: Reason| match reason {
        Reason::Chain(
            ChainError::BadSignature { certificate } | ChainError::UntrustedCa { certificate, .. },
        ) => certificate.position,
        other => panic!("{other:?}"),
    };
    for at in 0..certificates.len() {
        let mut certificates = certificates.clone();
        *certificates[at].last_mut().unwrap() ^= 1;
        if at > 0 {
            assert_eq!(place(VerifiedChain::verify_issuers(&certificates[1..], &anchors).unwrap_err()), at);
        }
        assert_eq!(place(VerifiedChain::verify(certificates, &anchors).unwrap_err()), at);
    }
    let nobody = Anchors::default();
    assert_eq!(place(VerifiedChain::verify_issuers(&certificates[1..], &nobody).unwrap_err()), 3);
    assert_eq!(place(VerifiedChain::verify(certificates, &nobody).unwrap_err()), 3);
}

/// Flip every bit of a closure signature's statement, certificate and payload: it never counts.
#[test]
fn no_flipped_bit_of_a_closure_signature_counts() {
    let scenario =
        scenarios::closures::all().into_iter().find(|(name, _)| name == "accept-closure").unwrap().1;
    let signature = scenario.paths[0].signatures[0].clone();
    let refused = |signature: String, what: &str| {
        let mut scenario = scenario.clone();
        scenario.paths[0].signatures = vec![signature];
        let got = closure_of(&scenario);
        assert!(got.reason.is_some() && got.bases[..2] == [None, None], "{what}");
    };
    let (name, payload) = signature.split_once(':').unwrap();
    let mut bytes = base64_decode(payload.as_bytes()).unwrap();
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(format!("{name}:{}", nixcert_core::base64_encode(&bytes)), &format!("payload, bit {bit}"));
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    let (label, rest) = name.split_once(nixcert_core::CLOSURE_MARK).unwrap();
    let (statement, certificate) = rest.split_once('.').unwrap();
    for (which, part) in [statement, certificate].into_iter().enumerate() {
        let mut bytes = nixcert_core::base32_decode(part.as_bytes()).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut parts = [statement.to_owned(), certificate.to_owned()];
            parts[which] = base32_encode(&bytes);
            let name = format!("{label}{}{}", nixcert_core::CLOSURE_MARK, parts.join("."));
            refused(format!("{name}:{payload}"), &format!("part {which}, bit {bit}"));
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// Change every byte of every fingerprint of the closure: it is covered no more.
#[test]
fn no_other_closure_is_covered() {
    let scenario =
        scenarios::closures::all().into_iter().find(|(name, _)| name == "accept-closure").unwrap().1;
    for index in 0..scenario.paths.len() {
        for at in 0..scenario.paths[index].fingerprint.len() {
            let mut fingerprint = scenario.paths[index].fingerprint.clone().into_bytes();
            fingerprint[at] = if fingerprint[at] == b'0' { b'1' } else { b'0' };
            let fingerprint = String::from_utf8(fingerprint).unwrap();
            if Object::path(fingerprint.as_bytes()).is_err() {
                continue;
            }
            let mut scenario = scenario.clone();
            scenario.paths[index].fingerprint = fingerprint.clone();
            assert!(closure_of(&scenario).reason.is_some(), "{fingerprint}");
        }
    }
}

/// Change every byte of the fingerprint: nothing is accepted.
#[test]
fn no_other_object_is_accepted() {
    let (scenario, mut cache) = known("accept-certified");
    for at in 0..scenario.fingerprint.len() {
        for byte in [b'0', b'a', b';', b',', b'-'] {
            let mut fingerprint = scenario.fingerprint.clone().into_bytes();
            if std::mem::replace(&mut fingerprint[at], byte) == byte {
                continue;
            }
            let fingerprint = String::from_utf8(fingerprint).unwrap();
            let scenario = Scenario { fingerprint: fingerprint.clone(), ..scenario.clone() };
            for cache in [&mut ChainCache::default(), &mut cache] {
                assert!(!verdict_of(&scenario, cache).accepted, "{fingerprint}");
            }
        }
    }
}

fn object_of(scenario: &Scenario) -> Result<Object, ObjectError> {
    match scenario.kind {
        Kind::Path => Object::path(scenario.fingerprint.as_bytes()),
        Kind::Realisation => Object::realisation(scenario.fingerprint.as_bytes(), &scenario.store_directory),
    }
}

/// Each code once, in the order of FORMAT section 8.
fn codes_of(reasons: &[Reason]) -> Vec<String> {
    let is_there = |code: &&&str| reasons.iter().any(|reason| reason.code() == **code);
    Reason::CODES.iter().filter(is_there).map(|code| (*code).to_owned()).collect()
}

fn verdict_of(scenario: &Scenario, cache: &mut ChainCache) -> Expected {
    let Ok(object) = object_of(scenario) else {
        let reason = Some("malformed-object".to_owned());
        return Expected { accepted: false, reason, signatures: vec![], audited: vec![] };
    };
    let times = Times { now: scenario.now, registered: scenario.registered };
    let verdict: Verdict = judge(&object, &scenario.signature_texts(), &trust_of(scenario), times, cache);
    let code = |outcome: &Outcome| match outcome {
        Outcome::Counted(_) => None,
        Outcome::Refused(reason) => Some(reason.code().to_owned()),
    };
    assert_eq!(verdict.accepted(), !verdict.keys().is_empty(), "{}", scenario.description);
    // What `{"junk": N}` stands for is summed up in one entry.
    let mut signatures: Vec<_> = verdict.signatures.iter().map(code).collect();
    if let Some(junk) = scenario.junk() {
        signatures.drain(1..junk);
    }
    Expected {
        accepted: verdict.accepted(),
        reason: verdict.reason().map(|reason| reason.code().to_owned()),
        signatures,
        audited: codes_of(&verdict.audited),
    }
}

fn trust_of(scenario: &Scenario) -> Trust {
    let mut trust = Trust::default();
    let mut public_keys = PublicKeys::default();
    for entry in &scenario.trusted_public_keys {
        public_keys.add(entry).unwrap();
    }
    trust.public_keys = public_keys;
    match anchors_of(&scenario.trusted_ca_keys) {
        Ok(anchors) => trust.anchors = anchors,
        Err(error) => trust.broken = Some(error),
    }
    match scenario.host.as_deref().map(HostName::parse).transpose() {
        Ok(host) => trust.host = host,
        Err(error) => trust.broken = Some(error),
    }
    match scenario.policy.as_ref().map(|policy| PolicyFile::from_json(&policy.to_string())).transpose() {
        Ok(file) => trust.policy = file.unwrap_or_default().policy,
        Err(error) => trust.broken = Some(TrustError::Policy { problem: error.to_string() }),
    }
    trust.revocations = revocations_of(scenario, &trust.anchors, trust.host.as_ref());
    trust
}

fn anchors_of(entries: &[String]) -> Result<Anchors, TrustError> {
    let mut anchors = Anchors::default();
    entries.iter().try_for_each(|entry| anchors.add(entry))?;
    Ok(anchors)
}

/// The lists that can be used; of the others, that they are there.
fn revocations_of(scenario: &Scenario, anchors: &Anchors, host: Option<&HostName>) -> Revocations {
    let (mut lists, mut unreadable) = (vec![], vec![]);
    for held in &scenario.revocation_lists {
        match held {
            Held::Unreadable { unreadable: name } => {
                let entry =
                    scenario.trusted_ca_keys.iter().find_map(|entry| entry.strip_prefix(name.as_str()));
                let key = base64_decode(entry.unwrap().strip_prefix(':').unwrap().as_bytes()).unwrap();
                unreadable.push((PublicKey(key.try_into().unwrap()), "it is not readable".to_owned()));
            }
            Held::List(text) => {
                let bytes = base64_decode(text.as_bytes()).unwrap();
                let ca = RevocationList::parse(&bytes).unwrap().ca;
                match VerifiedList::read(&bytes, anchors, host) {
                    Ok(list) => lists.push(Arc::new(list)),
                    Err(error) => unreadable.push((ca, error.to_string())),
                }
            }
        }
    }
    let mut revocations = Revocations::new(lists);
    unreadable.into_iter().for_each(|(ca, problem)| revocations.set_unreadable(ca, problem));
    revocations
}

fn objects_of(scenario: &ClosureScenario) -> Vec<Object> {
    scenario.paths.iter().map(|path| Object::path(path.fingerprint.as_bytes()).unwrap()).collect()
}

fn gate_of(scenario: &ClosureScenario) -> Result<(Gate, Vec<Object>), GateRefusal> {
    let trust = trust_of(&scenario.host_of_an_object());
    let objects = objects_of(scenario);
    let last = scenario
        .last
        .as_ref()
        .map(|last| Statement::parse(&base64_decode(last.as_bytes()).unwrap()).unwrap());
    let deployment = Deployment {
        top: &objects[0],
        signatures: &scenario.paths[0].signatures,
        closure: closure_digest(scenario.paths.iter().map(|path| &path.fingerprint)).unwrap(),
        last: last.as_ref(),
        again: scenario.again,
        caller: scenario.caller.as_deref(),
    };
    let gate = Gate::new(&trust, scenario.now, &deployment)?;
    Ok((gate, objects))
}

fn closure_of(scenario: &ClosureScenario) -> ExpectedClosure {
    let (gate, objects) = match gate_of(scenario) {
        Ok(gate) => gate,
        Err(refusal) => {
            return ExpectedClosure { reason: Some(refusal.code().to_owned()), ..ExpectedClosure::default() };
        }
    };
    let (tally, bases) = tally_of(scenario, &gate, &objects);
    let code = |signature: &nixcert_core::ClosureSignature| {
        signature.outcome.as_ref().err().map(|reason| reason.code().to_owned())
    };
    ExpectedClosure {
        reason: gate.conclude(&tally).err().map(|refusals| refusals[0].code().to_owned()),
        closure_signatures: gate.closure_signatures().iter().map(code).collect(),
        bases,
    }
}

/// All paths judged, and the basis of each.
fn tally_of(scenario: &ClosureScenario, gate: &Gate, objects: &[Object]) -> (Tally, Vec<Option<String>>) {
    // Whoever judges with several threads has a tally of each.
    let mut tallies = [Tally::default(), Tally::default(), Tally::default()];
    let mut cache = ChainCache::default();
    let mut bases = Vec::new();
    for (path, object) in scenario.paths.iter().zip(objects) {
        let vouchers: Vec<Vec<Recorded<'_>>> =
            path.earlier.iter().map(|earlier| earlier.vouchers.iter().map(recorded).collect()).collect();
        let earlier: Vec<Earlier<'_>> = path
            .earlier
            .iter()
            .zip(&vouchers)
            .map(|(earlier, vouchers)| Earlier { activated: earlier.activated, vouchers })
            .collect();
        let recompute = || {
            path.content_addressed
                .filter(|is| *is)
                .map(drop)
                .ok_or_else(|| "its name says otherwise".to_owned())
        };
        let member = Member {
            object,
            signatures: &path.signatures,
            content_addressed: path.content_addressed.is_some().then_some(&recompute),
            earlier: &earlier,
        };
        let verdict = gate.member(&member, &mut cache);
        tallies[bases.len() % 3].add(&verdict);
        bases.push(verdict.basis().ok().map(|(basis, _)| basis.name().to_owned()));
    }
    let tally = merged(&tallies);
    let with = |basis: &Option<String>| {
        let same = bases.iter().filter(|other| *other == basis).count();
        u32::try_from(same).unwrap()
    };
    for basis in Basis::ALL {
        assert_eq!(tally.with(basis), with(&Some(basis.name().to_owned())), "{}", scenario.description);
    }
    assert_eq!(tally.left_over(), with(&None), "{}", scenario.description);
    (tally, bases)
}

fn merged(tallies: &[Tally]) -> Tally {
    let mut whole = Tally::default();
    tallies.iter().for_each(|tally| whole.merge(tally));
    whole
}

fn recorded(voucher: &RecordedVoucher) -> Recorded<'_> {
    match voucher {
        RecordedVoucher::Itself => Recorded::Itself,
        RecordedVoucher::Person(name) => Recorded::Person(name),
        RecordedVoucher::Vendor(entry) => {
            let (name, key) = entry.split_once(':').unwrap();
            let key = base64_decode(key.as_bytes()).unwrap().try_into().unwrap();
            Recorded::Vendor { name, key: PublicKey(key) }
        }
    }
}

fn list_of(scenario: &ListScenario) -> ExpectedList {
    let anchors = anchors_of(&scenario.trusted_ca_keys).unwrap();
    let host = scenario.host.as_deref().map(HostName::parse).transpose().unwrap();
    let bytes = base64_decode(scenario.list.as_bytes()).unwrap();
    match VerifiedList::read(&bytes, &anchors, host.as_ref()) {
        Err(error) => ExpectedList { reason: Some(error.code().to_owned()), list: None },
        Ok(list) => {
            assert_eq!(list.certificates(), RevocationList::parse(&bytes).unwrap().certificates);
            let contents = ListContents {
                ca: list.ca().to_string(),
                signer: list.signer().to_string(),
                issued: list.issued().seconds(),
                entries: list.entries().iter().map(|entry| ListEntry::new(&entry)).collect(),
            };
            ExpectedList { reason: None, list: Some(contents) }
        }
    }
}
