//! 978 narinfos of cache.nixos.org: each is accepted with its key, and refused with one byte changed.
//!
//! They are not part of the repository: `$NIXCERT_DATA`, or `../shared/data` beside it, holds them, or the tests say that they
//! were skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use nixcert_core::{ChainCache, NarInfo, Object, PathInfo, StorePath, Times, Trust, Verdict, judge};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const KEY: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
const COUNT: usize = 978;

#[test]
fn the_command_accepts_each() {
    let Some(text) = data() else { return };
    let (code, lines) = verify(&text, KEY);
    assert_eq!((code, lines.len()), (Some(0), COUNT));
    assert!(lines.iter().all(|line| line["accepted"] == true && line["reason"].is_null()));
}

#[test]
fn the_command_refuses_each_with_another_key() {
    let Some(text) = data() else { return };
    let (code, lines) = verify(&text, "cache.nixos.org-1:CHK4GhpYHgLZJ5RgmhH4xh1EXT5sB1Td1dhD+lqcBH8=");
    assert_eq!((code, lines.len()), (Some(1), COUNT));
    assert!(lines.iter().all(|line| line["accepted"] == false && line["reason"] == "bad-signature"));
}

#[test]
fn each_is_refused_with_one_byte_changed() {
    let Some(text) = data() else { return };
    let mut trust = Trust::default();
    trust.public_keys.add(KEY).unwrap();
    let mut cache = ChainCache::default();
    let mut judged = |info: &PathInfo, signatures: &[String]| -> Verdict {
        let object = Object::path(info.fingerprint().as_bytes()).unwrap();
        judge(&object, signatures, &trust, Times::new_object(1_700_000_000), &mut cache)
    };

    let narinfos: Vec<NarInfo> =
        text.split("\n\n").filter(|part| !part.trim().is_empty()).map(parse).collect();
    assert_eq!(narinfos.len(), COUNT);
    for NarInfo { info, signatures, .. } in &narinfos {
        assert!(judged(info, signatures).accepted(), "{}", info.path);
        for (what, changed) in changes(info) {
            let verdict = judged(&changed, signatures);
            let code = verdict.reason().map(|reason| reason.code());
            assert_eq!(code, Some("bad-signature"), "{what} of {}", info.path);
        }
    }
}

/// The same object with one byte of its hash, its size, and its first and last reference changed.
fn changes(info: &PathInfo) -> Vec<(&'static str, PathInfo)> {
    let mut changes = Vec::new();
    for at in [0, 1, 25, 51] {
        let mut hash = info.nar_hash.clone().into_bytes();
        hash[at] = if hash[at] == b'0' { b'1' } else { b'0' };
        changes.push(("hash", PathInfo { nar_hash: String::from_utf8(hash).unwrap(), ..info.clone() }));
    }
    let digit = if info.nar_size % 10 == 9 { info.nar_size - 1 } else { info.nar_size + 1 };
    changes.push(("size", PathInfo { nar_size: digit, ..info.clone() }));
    let other = |path: &StorePath, at: usize| {
        let mut bytes = path.as_str().as_bytes().to_vec();
        let at = path.directory().len() + 1 + at;
        bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
        StorePath::parse(std::str::from_utf8(&bytes).unwrap()).unwrap()
    };
    let ends = [info.references.first(), info.references.last()];
    for reference in ends.into_iter().flatten() {
        let mut references = info.references.clone();
        references.remove(reference);
        changes.push(("references", PathInfo { references: references.clone(), ..info.clone() }));
        references.insert(other(reference, 31));
        changes.push(("reference", PathInfo { references, ..info.clone() }));
    }
    let mut references = info.references.clone();
    if references.insert(other(&info.path, 0)) {
        changes.push(("references", PathInfo { references, ..info.clone() }));
    }
    changes
}

fn parse(part: &str) -> NarInfo {
    NarInfo::parse(&format!("{}\n", part.trim_matches('\n'))).unwrap()
}

fn verify(narinfos: &str, key: &str) -> (Option<i32>, Vec<serde_json::Value>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nixcert"))
        .args(["verify", "--json", "--trusted-public-keys", key, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(narinfos.as_bytes()).unwrap());
        child.wait_with_output().unwrap()
    });
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// The narinfos, between blank lines.
fn data() -> Option<String> {
    let directory = std::env::var_os("NIXCERT_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let Ok(compressed) = std::fs::read(directory.join("narinfo.zst")) else {
        println!("SKIPPED: there is no narinfo.zst in {}; set NIXCERT_DATA", directory.display());
        return None;
    };
    Some(String::from_utf8(zstd::decode_all(compressed.as_slice()).unwrap()).unwrap())
}
