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
    Anchors, ChainCache, HostName, Object, Outcome, PublicKey, PublicKeys, Reason, RevocationList,
    Revocations, Times, Trust, TrustError, Verdict, base32_encode, base64_decode, judge,
};
use nixcert_host::PolicyFile;
use scenarios::lists::{ExpectedList, ListContents, ListEntry, ListScenario};
use scenarios::{Expected, Held, Kind, Scenario};
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

/// Flip every bit of the payload, and of every certificate of the longest chain: nothing is accepted.
#[test]
fn no_flipped_bit_is_accepted() {
    let scenario =
        scenarios::all().into_iter().find(|(name, _)| name == "accept-three-intermediates").unwrap().1;
    let signature = scenario.signatures[0].text().to_owned();
    let (name, payload) = signature.split_once(':').unwrap();
    let refused = |signature: String, what: &str| {
        let scenario = Scenario { signatures: vec![signature.into()], ..scenario.clone() };
        assert!(!verdict_of(&scenario, &mut ChainCache::default()).accepted, "{what}");
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

/// Change every byte of the fingerprint: nothing is accepted.
#[test]
fn no_other_object_is_accepted() {
    let scenario = scenarios::all().into_iter().find(|(name, _)| name == "accept-certified").unwrap().1;
    for at in 0..scenario.fingerprint.len() {
        for byte in [b'0', b'a', b';', b',', b'-'] {
            let mut fingerprint = scenario.fingerprint.clone().into_bytes();
            if std::mem::replace(&mut fingerprint[at], byte) == byte {
                continue;
            }
            let fingerprint = String::from_utf8(fingerprint).unwrap();
            let scenario = Scenario { fingerprint: fingerprint.clone(), ..scenario.clone() };
            assert!(!verdict_of(&scenario, &mut ChainCache::default()).accepted, "{fingerprint}");
        }
    }
}

fn verdict_of(scenario: &Scenario, cache: &mut ChainCache) -> Expected {
    let object = match scenario.kind {
        Kind::Path => Object::path(scenario.fingerprint.as_bytes()),
        Kind::Realisation => Object::realisation(scenario.fingerprint.as_bytes(), &scenario.store_directory),
    };
    let Ok(object) = object else {
        let reason = Some("malformed-object".to_owned());
        return Expected { accepted: false, reason, signatures: vec![], audited: vec![] };
    };
    let times = Times { now: scenario.now, registered: scenario.registered };
    let verdict: Verdict = judge(&object, &scenario.signature_texts(), &trust_of(scenario), times, cache);
    let code = |outcome: &Outcome| match outcome {
        Outcome::Counted(_) => None,
        Outcome::Refused(reason) => Some(reason.code().to_owned()),
    };
    // What `{"junk": N}` stands for is summed up in one entry.
    let mut signatures: Vec<_> = verdict.signatures.iter().map(code).collect();
    if let Some(junk) = scenario.junk() {
        signatures.drain(1..junk);
    }
    Expected {
        accepted: verdict.accepted(),
        reason: verdict.reason().map(|reason| reason.code().to_owned()),
        signatures,
        audited: Reason::CODES
            .iter()
            .filter(|code| verdict.audited.iter().any(|reason| reason.code() == **code))
            .map(|code| (*code).to_owned())
            .collect(),
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
                let list = RevocationList::parse(&bytes).unwrap();
                let ca = list.ca;
                match list.verify(anchors, host) {
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

fn list_of(scenario: &ListScenario) -> ExpectedList {
    let anchors = anchors_of(&scenario.trusted_ca_keys).unwrap();
    let host = scenario.host.as_deref().map(HostName::parse).transpose().unwrap();
    let bytes = base64_decode(scenario.list.as_bytes()).unwrap();
    match RevocationList::parse(&bytes).and_then(|list| list.verify(&anchors, host.as_ref())) {
        Err(error) => ExpectedList { reason: Some(error.code().to_owned()), list: None },
        Ok(list) => {
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
