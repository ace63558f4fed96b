//! A CA that certifies people without limits decides as `trusted-public-keys` with the same people in it: what certificates add
//! is limits, and nothing else.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use nixcert_core::{
    CertificateName, ChainCache, Instant, Label, Object, Outcome, Serial, Times, Trust, Usage, Verdict,
    base64_encode, judge,
};
use nixcert_issue::{Draft, SecretKey};
use std::collections::BTreeMap;

const CASES: usize = 1_500;
const NOW: u64 = 1_800_000_000;
const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dora", "erik"];
const DIGEST: &str = "2m6rq2qfyv3w0lhxj8f1p9c4dbnk7g5s";
const HASH: &str = "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0";

/// The generator of Steele, Lea and Flood (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

fn key(seed: usize) -> SecretKey {
    SecretKey::from_seed(&[u8::try_from(seed).unwrap(); 32])
}

const CA: usize = 1;
const STRANGER: usize = 2;
const INTERMEDIATES: usize = 10;

fn person(number: usize) -> SecretKey {
    key(20 + number)
}

/// What limits nothing.
fn unlimited(label: &str, subject: &SecretKey, issuer: &SecretKey, usages: &[Usage]) -> Draft {
    let seed = subject.public().0[0];
    assert_ne!(subject.public(), issuer.public());
    Draft {
        serial: Serial(1 + u64::from(seed)),
        label: label.to_owned(),
        subject: subject.public(),
        not_before: Instant::from_seconds(0).unwrap(),
        not_after: Instant::from_seconds(253_402_300_799).unwrap(),
        usages: usages.iter().copied().collect(),
        path_length: 2,
        permitted_names: ["*".to_owned()].into(),
        excluded_names: [].into(),
        hosts: ["*".to_owned()].into(),
        store_directories: [].into(),
    }
}

/// The certificate name of a person, through so many intermediates.
fn certificate_name(number: usize, intermediates: usize, ca: usize) -> String {
    const ALL: [Usage; 2] = [Usage::ImportPaths, Usage::ImportRealisations];
    let label = PEOPLE[number];
    // Leaf first, the CA last.
    let keys: Vec<SecretKey> = [person(number)]
        .into_iter()
        .chain((0..intermediates).map(|n| key(INTERMEDIATES + n)))
        .chain([key(ca)])
        .collect();
    let certificates = keys.windows(2).enumerate().map(|(place, pair)| match place {
        0 => unlimited(label, &pair[0], &pair[1], &ALL).sign(&pair[1]).unwrap(),
        place => {
            let usages = [ALL.as_slice(), &[Usage::Issue]].concat();
            unlimited(&format!("team-{place}"), &pair[0], &pair[1], &usages).sign(&pair[1]).unwrap()
        }
    });
    let certificates: Vec<Vec<u8>> = certificates.collect();
    CertificateName::format(Label::parse(label.as_bytes()).unwrap(), &certificates)
}

fn object(random: &mut Random) -> Object {
    let name = ["hello-2.12", "sudo-1.9", "linux-headers-6.1"][random.below(3)];
    if random.one_in(4) {
        let text = format!(
            r#"{{"dependentRealisations":{{}},"id":"sha256:0{}!out","outPath":"{DIGEST}-{name}"}}"#,
            random.below(2)
        );
        Object::realisation(text.as_bytes(), "/nix/store").unwrap()
    } else {
        let size = 1 + random.below(2);
        Object::path(format!("1;/nix/store/{DIGEST}-{name};sha256:{HASH};{size};").as_bytes()).unwrap()
    }
}

/// What stands behind the name: good, of another object, by another key, changed, or nothing of the kind.
fn payload(random: &mut Random, by: usize, object: &Object, other: &Object) -> String {
    let mut signature = match random.below(6) {
        0 => person(by).sign(other.fingerprint()),
        1 => person(random.below(PEOPLE.len())).sign(object.fingerprint()),
        _ => person(by).sign(object.fingerprint()),
    };
    if random.one_in(8) {
        signature[random.below(64)] ^= 1 << random.below(8);
    }
    let text = base64_encode(&signature);
    match random.below(16) {
        0 => text[..text.len() - random.below(5)].to_owned(),
        1 => format!("{text}="),
        _ => text,
    }
}

/// One signature: its text, as a plain one and as one of a certificate.
struct Pair {
    plain: String,
    certified: String,
}

fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Counted(_) => "counted",
        Outcome::Refused(reason) => reason.code(),
    }
}

/// The same word for what is the same: a key that nobody trusts.
fn codes(verdict: &Verdict) -> Vec<&'static str> {
    let same = |code| if code == "untrusted-ca" { "unknown-key" } else { code };
    verdict.signatures.iter().map(|outcome| same(code(outcome))).collect()
}

#[test]
fn without_limits_certificates_are_a_list_of_keys() {
    let mut random = Random(7);
    let mut names: BTreeMap<(usize, usize, usize), String> = BTreeMap::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut cache = ChainCache::default();
    for case in 0..CASES {
        let (object, other) = (object(&mut random), object(&mut random));
        let trusted: Vec<bool> = PEOPLE.iter().map(|_| !random.one_in(3)).collect();
        let pairs: Vec<Pair> = (0..random.below(7))
            .map(|_| {
                let who = random.below(PEOPLE.len());
                let payload = payload(&mut random, who, &object, &other);
                let ca = if trusted[who] { CA } else { STRANGER };
                let place = (who, random.below(4), ca);
                let name = names.entry(place).or_insert_with(|| certificate_name(place.0, place.1, place.2));
                Pair { plain: format!("{}-1:{payload}", PEOPLE[who]), certified: format!("{name}:{payload}") }
            })
            .collect();
        let mut listed = Trust::default();
        for (number, person_name) in PEOPLE.iter().enumerate().filter(|(number, _)| trusted[*number]) {
            listed.public_keys.add(&format!("{person_name}-1:{}", person(number).public())).unwrap();
        }
        let mut certifying = Trust::default();
        certifying.anchors.add(&format!("acme-1:{}", key(CA).public())).unwrap();

        let times = match random.below(3) {
            0 => Times::valid_object(NOW, NOW - 1),
            _ => Times::new_object(NOW),
        };
        let plain: Vec<&String> = pairs.iter().map(|pair| &pair.plain).collect();
        let certified: Vec<&String> = pairs.iter().map(|pair| &pair.certified).collect();
        let plain = judge(&object, &plain, &listed, times, &mut ChainCache::default());
        let certified = judge(&object, &certified, &certifying, times, &mut cache);
        assert_eq!(codes(&plain), codes(&certified), "case {case}");
        assert_eq!(plain.accepted(), certified.accepted(), "case {case}");
        assert_eq!(plain.keys(), certified.keys(), "case {case}: D6 counts keys");
        assert_eq!(plain.reason().is_none(), certified.reason().is_none());
        assert!(certified.audited.is_empty() && certified.missing_votes.is_none());
        codes(&plain).into_iter().for_each(|code| *seen.entry(code.to_owned()).or_default() += 1);
        *seen.entry(format!("accepted by {} keys", plain.keys().len())).or_default() += 1;
    }
    println!("{seen:#?}");
    for what in [
        "counted",
        "bad-signature",
        "unknown-key",
        "malformed-signature",
        "accepted by 0 keys",
        "accepted by 3 keys",
    ] {
        assert!(seen.get(what).is_some_and(|times| *times > 20), "{what}");
    }
}

/// With a limit it is another matter.
#[test]
fn with_a_limit_they_are_not() {
    let object = object(&mut Random(3));
    let mut trust = Trust::default();
    trust.anchors.add(&format!("acme-1:{}", key(CA).public())).unwrap();
    let mut draft =
        unlimited("alice", &person(0), &key(CA), &[Usage::ImportPaths, Usage::ImportRealisations]);
    let judged = |draft: &Draft| {
        let certificate = draft.sign(&key(CA)).unwrap();
        let name = CertificateName::format(Label::parse(b"alice").unwrap(), &[certificate]);
        let signature = format!("{name}:{}", base64_encode(&person(0).sign(object.fingerprint())));
        judge(&object, &[signature], &trust, Times::new_object(NOW), &mut ChainCache::default())
    };
    assert!(judged(&draft).accepted());
    draft.permitted_names = ["nothing-like-it".to_owned()].into();
    let verdict = judged(&draft);
    assert_eq!(verdict.reason().map(nixcert_core::Reason::code), Some("name-not-permitted"));
}
