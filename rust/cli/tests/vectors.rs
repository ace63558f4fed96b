//! `nixcert verify`, `nixcert why` and the vectors in `tests/vectors`: the command answers as the library does.
//!
//! Left out are realisations, since narinfos hold none; fingerprints that no narinfo comes to; and hosts that trust nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nixcert_core::base64_encode;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn vectors() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut judged, mut left_out, mut skipped) = (0, 0, 0);
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let vector: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        if vector.get("policy").or(vector.get("revocation_lists")).is_some() {
            skipped += 1;
            continue;
        }
        match narinfo(&vector) {
            Some(narinfo) => check(file, &vector, &narinfo),
            None => {
                left_out += 1;
                continue;
            }
        }
        judged += 1;
    }
    println!("{judged} vectors judged, {left_out} left out");
    println!(
        "SKIPPED: {skipped} vectors have a policy or revocation lists, which this test cannot give to the command yet"
    );
    assert!(judged > 50, "only {judged} vectors were found");
}

/// A narinfo with the vector's fingerprint and signatures.
fn narinfo(vector: &Value) -> Option<String> {
    let fingerprint = vector["fingerprint"].as_str().unwrap();
    let fields: Vec<&str> = fingerprint.split(';').collect();
    let ["1", path, hash, size, references] = fields.as_slice() else { return None };
    // Without any trusted key the command refuses to run.
    let trusted = ["trusted_ca_keys", "trusted_public_keys"];
    if trusted.iter().all(|list| vector[list].as_array().unwrap().is_empty()) {
        return None;
    }
    nixcert_core::Object::path(fingerprint.as_bytes()).ok()?;
    let bases: Vec<&str> = references.split(',').filter_map(|path| path.rsplit('/').next()).collect();
    let mut text = format!(
        "StorePath: {path}\nURL: nar/x.nar\nNarHash: {hash}\nNarSize: {size}\nReferences: {}\n",
        bases.join(" ")
    );
    for signature in vector["signatures"].as_array().unwrap() {
        match signature {
            Value::String(signature) => writeln!(text, "Sig: {signature}").unwrap(),
            junk => {
                for index in 0..u32::try_from(junk["junk"].as_u64().unwrap()).unwrap() {
                    let payload = base64_encode(&[[0xff; 60].as_slice(), &index.to_be_bytes()].concat());
                    writeln!(text, "Sig: {}:{payload}", junk["name"].as_str().unwrap()).unwrap();
                }
            }
        }
    }
    Some(text)
}

fn check(file: &Path, vector: &Value, narinfo: &str) {
    let directory = tempfile::tempdir().unwrap();
    let list = |name: &str| {
        let entries = vector[name].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap());
        entries.collect::<Vec<_>>().join(" ")
    };
    let conf = format!(
        "trusted-public-keys = {}\ntrusted-ca-keys = {}\nca-host-name = {}\n",
        list("trusted_public_keys"),
        list("trusted_ca_keys"),
        vector["host"].as_str().unwrap_or_default()
    );
    let (conf_file, narinfo_file) = (directory.path().join("nix.conf"), directory.path().join("narinfo"));
    std::fs::write(&conf_file, conf).unwrap();
    std::fs::write(&narinfo_file, narinfo).unwrap();

    let name = file.file_name().unwrap().to_string_lossy();
    let expected = &vector["expected"];
    let ask = |subcommand: &str| -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixcert"));
        command.arg(subcommand).arg("--json").arg("--nix-conf").arg(&conf_file);
        command.arg("--at").arg(format!("@{}", vector["now"]));
        if let Some(registered) = vector["registered"].as_u64() {
            command.arg("--registered").arg(format!("@{registered}"));
        }
        let output = command.arg(&narinfo_file).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(answer["accepted"], expected["accepted"], "{name}");
        assert_eq!(answer["reason"], expected["reason"], "{name}");
        assert_eq!(output.status.code(), Some(if expected["accepted"] == true { 0 } else { 1 }), "{name}");
        answer
    };
    let answer = ask("verify");
    let reasons: Vec<&Value> =
        answer["signatures"].as_array().unwrap().iter().map(|s| &s["reason"]).collect();
    let wanted =
        expected["signatures"].as_array().unwrap().iter().zip(vector["signatures"].as_array().unwrap());
    let wanted: Vec<&Value> = wanted
        .flat_map(|(reason, signature)| {
            let times = signature["junk"].as_u64().unwrap_or(1);
            std::iter::repeat_n(reason, usize::try_from(times).unwrap())
        })
        .collect();
    assert_eq!(reasons, wanted, "{name}");
    check_why(&name, &ask("why"), &wanted);
}

/// The same reasons; each at one rule, with those before it kept, and those behind it not reached.
fn check_why(name: &str, answer: &Value, wanted: &[&Value]) {
    let signatures = answer["signatures"].as_array().unwrap();
    let not_shown = usize::try_from(answer["not_shown"].as_u64().unwrap()).unwrap();
    assert_eq!(signatures.len() + not_shown, wanted.len(), "{name}");
    for signature in signatures {
        let number = usize::try_from(signature["number"].as_u64().unwrap()).unwrap();
        assert_eq!(&signature["reason"], wanted[number - 1], "{name}");
        let statuses: Vec<&str> = signature["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["status"].as_str().unwrap())
            .collect();
        let failed = statuses.iter().position(|status| *status == "failed");
        assert_eq!(failed.is_none(), signature["reason"].is_null(), "{name}: {statuses:?}");
        let failed = failed.unwrap_or(statuses.len());
        assert!(statuses[..failed].iter().all(|status| *status == "ok"), "{name}: {statuses:?}");
        let behind = statuses.iter().skip(failed + 1);
        assert!(behind.clone().all(|status| *status == "not-reached"), "{name}: {statuses:?}");
    }
    // What is advised and was tried out is never given where nothing is refused.
    assert_eq!(answer["change"].is_null(), answer["reason"].is_null(), "{name}");
}
