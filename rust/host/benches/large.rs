//! What a large revocation list and a large policy cost: a million revoked serial numbers, a thousand thresholds. Run it with
//! `cargo bench -p nixcert-host`.
//!
//! The question is what they add to a decision, so the same path is judged with neither, with each, and with both, in one run.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "a benchmark")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use nixcert_core::{
    Cause, CertificateName, ChainCache, Extent, Instant, Label, Object, Revocations, Revoked, Selector,
    Serial, Times, Trust, Usage, VerifiedList, base64_encode, judge,
};
use nixcert_host::{Host, PolicyFile};
use nixcert_issue::{Draft, ListDraft, SecretKey};
use sha2::{Digest, Sha512};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

const NOW: u64 = 1_800_000_000;
const SERIALS: u64 = 1_000_000;
const RULES: usize = 1_000;

fn ca() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn at(seconds: u64) -> Instant {
    Instant::from_seconds(seconds).unwrap()
}

/// As good as random.
fn serial_number(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn list() -> Vec<u8> {
    let retired = Revoked { extent: Extent::Retired, cause: Cause::Superseded };
    let entries = (1..=SERIALS).map(|i| (Selector::Serial(Serial(serial_number(i))), retired)).collect();
    ListDraft { ca: ca().public(), certificates: vec![], issued: at(NOW - 60), entries }.sign(&ca()).unwrap()
}

/// A thousand thresholds of which none is for the path, and each must be looked at.
fn policy(lists: &Path) -> String {
    let mut text = format!("version = 1\nrevocation-lists = \"{}\"\n", lists.display());
    text.push_str("[ca.acme]\npermitted-names = [\"*\"]\nusages = [\"import-paths\"]\n");
    for i in 0..RULES {
        write!(text, "[[threshold]]\nnames = [\"package-{i}-*\", \"other{i}@\"]\nvotes = 2\n").unwrap();
    }
    text
}

fn fingerprint() -> String {
    let digest = "2m6rq2qfyv3w0lhxj8f1p9c4dbnk7g5s";
    format!(
        "1;/nix/store/{digest}-hello-2.12;sha256:{};196040;",
        "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0"
    )
}

fn signature() -> String {
    let alice = SecretKey::from_seed(&[2; 32]);
    let draft = Draft {
        serial: Serial(u64::MAX),
        label: "alice".to_owned(),
        subject: alice.public(),
        not_before: at(NOW - 86_400),
        not_after: at(NOW + 86_400),
        usages: [Usage::ImportPaths].into_iter().collect(),
        path_length: 0,
        permitted_names: ["*".to_owned()].into(),
        excluded_names: [].into(),
        hosts: ["*".to_owned()].into(),
        store_directories: [].into(),
    };
    let certificate = draft.sign(&ca()).unwrap();
    let name = CertificateName::format(Label::parse(b"alice").unwrap(), &[certificate]);
    format!("{name}:{}", base64_encode(&alice.sign(fingerprint().as_bytes())))
}

fn keys() -> Trust {
    let mut trust = Trust::default();
    trust.anchors.add(&format!("acme:{}", ca().public())).unwrap();
    trust
}

/// What a process that does nothing else needs to hold the list, in bytes.
fn memory(list: &Path) -> u64 {
    let this = std::env::current_exe().unwrap();
    let run = |argument: &Path| {
        let output = std::process::Command::new(&this).arg(HOLD).arg(argument).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u64>().unwrap()
    };
    run(list) - run(Path::new("/dev/null"))
}

/// The argument that makes this program such a process.
const HOLD: &str = "--hold";

/// Hold a list, and print how much memory that took.
fn hold(path: &str) {
    let keys = keys();
    let bytes = std::fs::read(path).unwrap();
    let list = VerifiedList::read(&bytes, &keys.anchors, None);
    drop(bytes);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    println!("{}", line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024);
    drop(black_box(list));
}

fn large(c: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let (bytes, keys) = (list(), keys());
    let policy = policy(&directory.path().join("lists"));

    let file = directory.path().join("list");
    std::fs::write(&file, &bytes).unwrap();
    let verified = Arc::new(VerifiedList::read(&bytes, &keys.anchors, None).unwrap());
    println!(
        "a list of {SERIALS} serial numbers: {} MB in a file, {} MB in memory",
        bytes.len() / 1_000_000,
        memory(&file) / 1_000_000
    );
    let mut group = c.benchmark_group("load");
    group.sample_size(20);
    group.bench_function("list of 1,000,000 serial numbers", |b| {
        b.iter(|| VerifiedList::read(black_box(&bytes), &keys.anchors, None).unwrap());
    });
    // What no verifier can do without: its signature is over all of it.
    group.bench_function("rival", |b| b.iter(|| Sha512::digest(black_box(&bytes))));
    group.bench_function("read", |b| b.iter(|| std::fs::read(black_box(&file)).unwrap()));
    group.bench_function("policy of 1,000 thresholds", |b| {
        b.iter(|| PolicyFile::parse(black_box(&policy)).unwrap())
    });
    group.finish();

    // Every second one is there.
    let wanted: Vec<u64> = (1..=1_000).map(|i| serial_number(i * 997) ^ (i & 1)).collect();
    let set: HashSet<u64> = (1..=SERIALS).map(serial_number).collect();
    let mut group = c.benchmark_group("look up");
    group.throughput(Throughput::Elements(wanted.len() as u64));
    group.bench_function("rival", |b| {
        b.iter(|| wanted.iter().filter(|serial| set.contains(black_box(serial))).count());
    });
    group.bench_function("list", |b| {
        b.iter(|| {
            let held = |serial: &&u64| verified.entries().get(&Selector::Serial(Serial(**serial))).is_some();
            wanted.iter().filter(|serial| held(black_box(serial))).count()
        });
    });
    group.finish();

    let with = |revocations: Revocations, text: Option<&str>| {
        let policy = text.map(|text| PolicyFile::parse(text).unwrap().policy).unwrap_or_default();
        Trust { revocations, policy, ..keys.clone() }
    };
    let lists = || Revocations::new([Arc::clone(&verified)]);
    let object = Object::path(fingerprint().as_bytes()).unwrap();
    let signature = signature();
    // The signature itself is remembered: what is measured is all the rest.
    let mut group = c.benchmark_group("judge a path again");
    for (name, trust) in [
        ("with neither", with(Revocations::default(), None)),
        ("with the list", with(lists(), None)),
        ("with the policy", with(Revocations::default(), Some(&policy))),
        ("with both", with(lists(), Some(&policy))),
    ] {
        let mut cache = ChainCache::default();
        group.bench_function(name, |b| {
            b.iter(|| {
                let verdict = judge(&object, &[&signature], &trust, Times::new_object(NOW), &mut cache);
                assert!(verdict.accepted());
            });
        });
    }
    group.finish();

    // As the daemon does it: the files are looked at again, and are as they were.
    let policy_file = directory.path().join("policy.toml");
    nixcert_files::write(
        &policy_file,
        policy.as_bytes(),
        nixcert_files::Access::Public,
        nixcert_files::Existing::Keep,
    )
    .unwrap();
    nixcert_host::Holdings::new(&directory.path().join("lists")).install(&bytes, &keys, NOW).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let mut host = Host::new(keys.clone(), Some(&policy_file));
    host.trust();
    let mut group = c.benchmark_group("look at the files again");
    group.bench_function("unchanged", |b| b.iter(|| black_box(host.trust()).anchors.is_empty()));
    group.sample_size(20);
    group.bench_function("for the first time", |b| {
        b.iter_batched(
            || Host::new(keys.clone(), Some(&policy_file)),
            |mut host| host.trust().anchors.is_empty(),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, large);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().position(|argument| argument == HOLD).and_then(|at| arguments.get(at + 1)) {
        Some(path) => hold(path),
        None => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}
