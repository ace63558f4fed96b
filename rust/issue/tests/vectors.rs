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
    Anchors, ChainCache, HostName, Object, Outcome, PublicKeys, Reason, Times, Trust, Verdict, base32_encode,
    judge,
};
use scenarios::{Expected, Kind, Scenario};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

#[test]
fn files_are_what_their_generators_make() {
    let bless = std::env::var_os("NIXCERT_BLESS").is_some();
    let mut wanted = BTreeSet::new();
    for (name, scenario) in scenarios::all() {
        let file = directory().join(format!("{name}.json"));
        wanted.insert(file.clone());
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
    let found: BTreeSet<PathBuf> = fs::read_dir(directory())
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
        return Expected { accepted: false, reason: Some("malformed-object".to_owned()), signatures: vec![] };
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
    }
}

fn trust_of(scenario: &Scenario) -> Trust {
    let mut trust = Trust::default();
    let mut public_keys = PublicKeys::default();
    for entry in &scenario.trusted_public_keys {
        public_keys.add(entry).unwrap();
    }
    trust.public_keys = public_keys;
    let mut anchors = Anchors::default();
    for entry in &scenario.trusted_ca_keys {
        if let Err(error) = anchors.add(entry) {
            trust.broken = Some(error);
        }
    }
    trust.anchors = anchors;
    match scenario.host.as_deref().map(HostName::parse).transpose() {
        Ok(host) => trust.host = host,
        Err(error) => trust.broken = Some(error),
    }
    trust
}
