//! The C++ class, in a program of its own that is linked with the static library as Nix is, judges every vector as the
//! vector says. It answers for certificates only: plain keys are Nix's business.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../../host/tests/vector_host/mod.rs"]
mod vector_host;

use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Deserialize)]
struct Vector {
    kind: String,
    fingerprint: String,
    store_directory: String,
    now: u64,
    registered: Option<u64>,
    host: Option<String>,
    trusted_ca_keys: Vec<String>,
    signatures: Vec<Signature>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Signature {
    Text(String),
    Junk { junk: u32, name: String },
}

#[derive(Deserialize)]
struct Expected {
    accepted: bool,
    signatures: Vec<Option<String>>,
    reason: Option<String>,
    #[serde(default)]
    audited: Vec<String>,
}

#[test]
fn agrees_with_every_vector() {
    let program = build();
    let scratch = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(repository().join("tests/vectors")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read(&file).unwrap();
        let vector: Vector = serde_json::from_slice(&text).unwrap();
        let directory = scratch.path().join(file.file_stem().unwrap());
        let policy = vector_host::lay_out(&serde_json::from_slice(&text).unwrap(), &directory);
        let printed = run(&program, &input(&vector, policy.as_deref()));
        check(&file, &vector, &printed);
        seen += 1;
    }
    assert!(seen > 400, "only {seen} vectors found");
}

#[test]
fn survives_bytes_that_are_not_text() {
    let program = build();
    let input = "kind path\nca ff00\nhost ff\nfingerprint ff00fe\nsignature ff2e6e697863657274312e61613a3a\nsignature 00\n";
    let printed = run(&program, input);
    assert!(printed.starts_with("broken "), "{printed}");
    assert!(!printed.contains("\nkey "), "{printed}");
}

/// A policy that cannot be used refuses every certificate.
#[test]
fn refuses_without_the_policy_that_it_should_follow() {
    let program = build();
    let file = repository().join("tests/vectors/accept-certified.json");
    let vector: Vector = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(run(&program, &input(&vector, None)).starts_with("key alice "));
    let printed = run(&program, &input(&vector, Some(Path::new("/nonexistent/nixcert-policy.toml"))));
    assert!(printed.starts_with("broken "), "{printed}");
    assert!(printed.contains("\nrefusal broken-configuration "), "{printed}");
    assert!(!printed.contains("\nkey "), "{printed}");
}

/// Whatever allocation of C++ fails refuses, and the process goes on.
#[test]
fn refuses_without_memory() {
    let program = build();
    for (vector, counts) in [("accept-certified", 1), ("refuse-expired", 0)] {
        let file = repository().join(format!("tests/vectors/{vector}.json"));
        let vector: Vector = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let printed = run(&program, &format!("starve\n{}", input(&vector, None)));
        let starved: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("starved ")).collect();
        assert!(starved.len() > 3, "{printed}");
        assert!(starved.iter().all(|line| line.starts_with("0 ")), "{printed}");
        assert_eq!(printed.lines().filter(|line| line.starts_with("key ")).count(), counts, "{printed}");
    }
}

fn check(file: &Path, vector: &Vector, printed: &str) {
    let name = file.display();
    let keys = printed.lines().filter(|line| line.starts_with("key ")).count();
    let first = printed.lines().find_map(|line| line.strip_prefix("refusal ")?.split(' ').next());
    // Of the vector's signatures, only those with a certificate are the library's.
    let certified = |signature: &Signature| match signature {
        Signature::Text(text) => text.split(':').next().unwrap_or_default().contains(".nixcert1."),
        Signature::Junk { name, .. } => name.contains(".nixcert1."),
    };
    let outcomes: Vec<_> = vector
        .signatures
        .iter()
        .zip(&vector.expected.signatures)
        .filter(|(signature, _)| certified(signature))
        .collect();
    // A name that is pinned as a plain key counts for Nix; without a CA the library refuses it.
    let pinned = name.to_string().contains("/accept-pinned-name");
    let votes_missing = vector.expected.reason.as_deref() == Some("too-few-votes");
    let counted = !pinned && !votes_missing && outcomes.iter().any(|(_, reason)| reason.is_none());
    // Who needs no votes because of a plain key may have too few for the library, which does not see that key.
    let plain =
        |(signature, reason): (&Signature, &Option<String>)| !certified(signature) && reason.is_none();
    let plain_counts = vector.signatures.iter().zip(&vector.expected.signatures).any(plain);
    if !plain_counts {
        assert_eq!(keys > 0, counted, "{name}: {printed}");
    }
    let audited: BTreeSet<&str> =
        printed.lines().filter_map(|line| line.strip_prefix("audited ")?.split(' ').next()).collect();
    // Where a plain key counts, nothing is owed to audit mode; the library does not see plain keys.
    if !pinned && outcomes.len() == vector.signatures.len() {
        assert_eq!(counted, vector.expected.accepted, "{name}: {printed}");
        assert_eq!(
            audited,
            vector.expected.audited.iter().map(String::as_str).collect(),
            "{name}: {printed}"
        );
    }
    if let Some(reason @ ("malformed-object" | "too-few-votes")) = vector.expected.reason.as_deref() {
        assert_eq!(first, Some(reason), "{name}: {printed}");
    } else if let ([(_, Some(reason))], false) = (outcomes.as_slice(), pinned) {
        assert_eq!(first, Some(reason.as_str()), "{name}: {printed}");
    }
    for key in printed.lines().filter(|line| line.starts_with("key ")) {
        assert!(key.ends_with(" 32"), "{name}: {key}");
    }
}

/// What the program reads, for a vector.
fn input(vector: &Vector, policy: Option<&Path>) -> String {
    let mut input = format!("kind {}\nnow {}\n", vector.kind, vector.now);
    let mut line = |word: &str, text: &str| {
        input.push_str(word);
        input.push(' ');
        text.bytes().for_each(|byte| input.push_str(&format!("{byte:02x}")));
        input.push('\n');
    };
    line("fingerprint", &vector.fingerprint);
    line("store", &vector.store_directory);
    policy.iter().for_each(|policy| line("policy", policy.to_str().unwrap()));
    vector.host.iter().for_each(|host| line("host", host));
    vector.trusted_ca_keys.iter().for_each(|key| line("ca", key));
    for signature in &vector.signatures {
        match signature {
            Signature::Text(text) => line("signature", text),
            Signature::Junk { junk, name } => (0..*junk).for_each(|n| {
                let payload = [&[0xff; 60], n.to_be_bytes().as_slice()].concat();
                line("signature", &format!("{name}:{}", nixcert_core::base64_encode(&payload)));
            }),
        }
    }
    if let Some(registered) = vector.registered {
        input.push_str(&format!("registered {registered}\n"));
    }
    input
}

fn run(program: &Path, input: &str) -> String {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Build the static library, and the program against it, with the system's C++ compiler.
fn build() -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let target = scratch.parent().unwrap();
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "nixcert-ffi", "--target-dir"])
        .arg(target)
        .status()
        .unwrap();
    assert!(status.success());
    let program = scratch.join(format!("judge-{:?}", std::thread::current().id()).replace(['(', ')'], ""));
    let shim = repository().join("cpp-shim");
    let status = Command::new("c++")
        .args(["-std=c++20", "-Wall", "-Wextra", "-Werror", "-O1", "-o"])
        .arg(&program)
        .arg("-I")
        .arg(&shim)
        .arg(shim.join("tests/judge.cc"))
        .arg(target.join("debug/libnixcert.a"))
        .args(["-lpthread", "-ldl", "-lm"])
        .status()
        .unwrap();
    assert!(status.success());
    program
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
