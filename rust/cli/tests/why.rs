//! `nixcert why` for paths of a store: with a stand-in for Nix, and with the real one where there is one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PATH: &str = "/nix/store/b3jr4c100v9hra77fpw3f9hlala1gnp5-top-1.0";
const CA: &str = "acme-1:WyYP+w8t7Atfiga/O1+mR6/pl25rGljul6WKJgehykk=";

/// Ask about [`PATH`] in a store that says this of it.
fn ask(more: &str, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let narinfo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cli/why.in/two-cas.narinfo");
    let signatures: Vec<String> = fs::read_to_string(narinfo)
        .unwrap()
        .lines()
        .filter_map(|line| Some(format!("\"{}\"", line.strip_prefix("Sig: ")?)))
        .collect();
    let json = format!(
        r#"{{"{PATH}":{{"narHash":"sha256:110i8q1nnx12357pwdchssrbskpxphq79f6ikrrkjvnpvlqlwfz2","narSize":168,
        "references":["/nix/store/g73gr4c2ksp9r15wzp35q5zpkjikyl76-dep-1.0"],"signatures":[{}]{more}}}}}"#,
        signatures.join(",")
    );
    fs::write(directory.path().join("answer"), json).unwrap();
    let nix = directory.path().join("nix");
    fs::write(&nix, format!("#!/bin/sh\ncat '{}/answer'\n", directory.path().display())).unwrap();
    fs::set_permissions(&nix, fs::Permissions::from_mode(0o755)).unwrap();
    nixcert()
        .env("PATH", format!("{}:/usr/bin:/bin", directory.path().display()))
        .args(["why", "--json"])
        .args(arguments)
        .output()
        .unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn a_path_of_a_store() {
    let trust = ["--trusted-ca-keys", CA, PATH, "--at"];
    let good = ask("", &[trust.as_slice(), &["2026-02-01"]].concat());
    assert_eq!((good.status.code(), json(&good)["accepted"].as_bool()), (Some(0), Some(true)));

    let late = ask("", &[trust.as_slice(), &["2026-04-04"]].concat());
    assert_eq!(late.status.code(), Some(1));
    let answer = json(&late);
    assert_eq!((&answer["reason"], &answer["change"]["suffices"]), (&"expired".into(), &true.into()));
    let step = answer["change"]["steps"][0].as_str().unwrap();
    assert!(
        step.contains("expired 3 days ago") && step.contains(&format!("rewrap alice.cert --path {PATH}")),
        "{step}"
    );
}

/// 2026-02-01, when the certificates were in force.
#[test]
fn what_the_store_itself_makes_of_it() {
    let ask = |more| json(&ask(more, &["--trusted-ca-keys", CA, PATH, "--at", "2026-04-04"]));
    let notes = |answer: &Value| answer["notes"].to_string();
    let kept = ask(r#","registrationTime":1769904000"#);
    assert!(notes(&kept).contains("in that store it stays good"), "{kept}");
    let too_late = ask(r#","registrationTime":1775347200"#);
    assert_eq!(notes(&too_late), "[]");
    let built = ask(r#","ultimate":true"#);
    assert!(notes(&built).contains("built in that store"), "{built}");
}

#[test]
fn what_this_machine_trusts() {
    let output = ask("", &[PATH]);
    let said = String::from_utf8_lossy(&output.stderr);
    if Path::new("/etc/nix/nix.conf").exists() {
        assert!(said.contains("judged by this machine's /etc/nix/nix.conf"), "{said}");
    } else {
        assert_eq!(output.status.code(), Some(2));
        assert!(said.contains("there is no trusted key"), "{said}");
    }
}

#[test]
fn a_path_that_is_not_there() {
    let nowhere = tempfile::tempdir().unwrap();
    let output =
        nixcert().env("PATH", nowhere.path()).args(["why", PATH, "--trusted-ca-keys", CA]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no command 'nix' in PATH"));
}

#[test]
fn with_the_nix_of_this_machine() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let nix = |arguments: &[&str]| {
        let mut command = Command::new("nix");
        command.current_dir(here).args(["--extra-experimental-features", "nix-command"]).args(arguments);
        command.env("NIX_CONFIG", "substituters =").env("HOME", here).stdin(Stdio::null()).output()
    };
    if nix(&["--version"]).is_err() {
        println!("skipped: there is no nix in PATH");
        return;
    }
    fs::write(here.join("file"), "something").unwrap();
    let store = here.join("store").display().to_string();
    let added = nix(&["store", "add-path", "--store", &store, "file"]).unwrap();
    let path = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let why = |arguments: &[&str]| {
        nixcert()
            .current_dir(here)
            .env("NIX_CONFIG", "substituters =")
            .args(["why", "--json", "--store", &store, "--trusted-ca-keys", CA])
            .args(arguments)
            .output()
            .unwrap()
    };
    let answer = json(&why(&[&path]));
    assert_eq!((&answer["path"], &answer["reason"]), (&path.as_str().into(), &"no-signatures".into()));
    assert!(answer["content_address"].as_str().unwrap().starts_with("fixed:"));
    let absent = why(&["/nix/store/00000000000000000000000000000000-absent"]);
    assert_eq!(absent.status.code(), Some(2), "{}", String::from_utf8_lossy(&absent.stderr));
}

fn nixcert() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixcert"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
