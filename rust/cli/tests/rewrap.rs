//! Rewrapping in a store, with a Nix that is real where there is one and a stand-in elsewhere, and after an interruption.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const PATH: &str = "/nix/store/b3jr4c100v9hra77fpw3f9hlala1gnp5-top-1.0";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cli/rewrap.in").join(name)
}

fn narinfo() -> String {
    fs::read_to_string(fixture("cache/b3jr4c100v9hra77fpw3f9hlala1gnp5.narinfo")).unwrap()
}

#[test]
fn an_interrupted_run_is_repeated() {
    const COUNT: usize = 400;
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("cache");
    fs::create_dir(&cache).unwrap();
    fs::write(cache.join("nix-cache-info"), "StoreDir: /nix/store\n").unwrap();
    for index in 0..COUNT {
        fs::write(cache.join(format!("{index:032}.narinfo")), narinfo()).unwrap();
    }
    let arguments = ["rewrap", "--cache", cache.to_str().unwrap(), "--json"];
    let certificate = fixture("alice.cert");
    let mut child = nixcert().args(arguments).arg(&certificate).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.take(20).filter(|line| line.as_ref().unwrap().contains("rewrapped")).count(), 20);
    child.kill().unwrap();
    child.wait().unwrap();

    // Whatever was being written, every narinfo is whole: old or new.
    let new = fs::read_to_string(cache.join(format!("{:032}.narinfo", 0))).unwrap();
    assert_ne!(new, narinfo());
    let texts =
        || (0..COUNT).map(|index| fs::read_to_string(cache.join(format!("{index:032}.narinfo"))).unwrap());
    let done = texts().filter(|text| *text == new).count();
    assert_eq!(texts().filter(|text| *text == narinfo()).count(), COUNT - done);
    assert!((20..COUNT).contains(&done), "{done}");

    let output = nixcert().args(arguments).arg(&certificate).output().unwrap();
    assert!(output.status.success());
    assert!(texts().all(|text| text == new));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("{done} had it already")), "{said}");
}

/// A `nix` that answers as some version of it does, and that takes signatures or does not.
struct StandIn {
    directory: TempDir,
}

impl StandIn {
    fn new(path_info: &str, copy_signatures: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let lines: Vec<String> = narinfo()
            .lines()
            .filter_map(|line| Some(format!("\"{}\"", line.strip_prefix("Sig: ")?)))
            .collect();
        fs::write(directory.path().join("signatures"), lines.join(",")).unwrap();
        let script = format!(
            r#"#!/bin/sh
cd '{here}'
info() {{
    printf '"narHash":"sha256:110i8q1nnx12357pwdchssrbskpxphq79f6ikrrkjvnpvlqlwfz2","narSize":168,'
    printf '"references":["/nix/store/g73gr4c2ksp9r15wzp35q5zpkjikyl76-dep-1.0"],"signatures":[%s]' "$(cat signatures)"
}}
case "$*" in
*path-info*) {path_info} ;;
*copy-sigs*)
    for argument; do case "$argument" in file://*) cache=${{argument#file://}} ;; esac; done
    {copy_signatures} ;;
esac
"#,
            here = directory.path().display()
        );
        let file = directory.path().join("nix");
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory }
    }

    fn rewrap(&self) -> Output {
        let path = format!("{}:/usr/bin:/bin", self.directory.path().display());
        nixcert()
            .env("PATH", path)
            .args(["rewrap", "--json", "--path", PATH, "--"])
            .arg(fixture("alice.cert"))
            .output()
            .unwrap()
    }
}

const TAKES: &str = r#"sed -n 's/^Sig: \(.*\)$/"\1"/p' "$cache"/*.narinfo | paste -sd, > signatures"#;

#[test]
fn with_each_generation_of_nix() {
    let old =
        r#"case "$*" in *json-format*) echo "error: unrecognised flag '--json-format'" >&2; exit 1 ;; esac"#;
    let answers = [
        format!(r#"{old}; echo "[{{\"path\":\"{PATH}\",$(info)}}]""#),
        format!(r#"{old}; echo "{{\"{PATH}\":{{\"ca\":null,$(info)}}}}""#),
        format!(r#"echo "{{\"{PATH}\":{{\"version\":1,\"storeDir\":\"/nix/store\",$(info)}}}}""#),
    ];
    for answer in answers {
        let nix = StandIn::new(&answer, TAKES);
        let output = nix.rewrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{answer}: {said}");
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((line["status"].as_str(), line["written"].as_bool()), (Some("rewrapped"), Some(true)));
        let again = nix.rewrap();
        let line: serde_json::Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!(line["status"], "current");
    }
}

#[test]
fn a_store_that_does_not_take_them_is_found_out() {
    let answer = format!(r#"echo "{{\"{PATH}\":{{$(info)}}}}""#);
    let output = StandIn::new(&answer, "true").rewrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("did not take"));

    let refuses = "echo 'error: you are not privileged to add signatures' >&2; exit 1";
    let output = StandIn::new(&answer, refuses).rewrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("so old a Nix"));

    for nonsense in ["echo nonsense", "true", "echo '[{}]'", "echo 'error: no' >&2; exit 1"] {
        let output = StandIn::new(nonsense, TAKES).rewrap();
        assert_eq!(output.status.code(), Some(2), "{nonsense}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn without_nix() {
    let directory = tempfile::tempdir().unwrap();
    let output = nixcert()
        .env("PATH", directory.path())
        .args(["rewrap", "--all"])
        .arg(fixture("alice.cert"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no command 'nix' in PATH"));
}

/// The whole way with the Nix of this machine, in a store of its own.
#[test]
fn with_the_nix_of_this_machine() {
    let nix = |directory: &Path, arguments: &[&str]| {
        let mut command = Command::new("nix");
        command.current_dir(directory).args(["--extra-experimental-features", "nix-command"]).args(arguments);
        command.env("NIX_CONFIG", "substituters =").env("HOME", directory).stdin(Stdio::null()).output()
    };
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    if nix(here, &["--version"]).is_err() {
        println!("skipped: there is no nix in PATH");
        return;
    }
    let ok = |arguments: &[&str]| {
        let output = nixcert().current_dir(here).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    ok(&["ca", "init", "ca", "--name", "acme-1", "--unencrypted"]);
    ok(&["key", "generate", "--name", "alice", "-o", "alice.key"]);
    ok(&["request", "--key", "alice.key", "-o", "alice.request"]);
    let terms = ["--permit", "*", "--host", "*", "--not-before=-80d", "--valid", "90d"];
    ok(&[["issue", "--ca", "ca", "alice.request", "-o", "old.cert", "--yes"].as_slice(), &terms].concat());
    ok(&["attach", "--key", "alice.key", "old.cert"]);
    ok(&["issue", "--ca", "ca", "--renew", "--label", "alice", "-o", "new.cert", "--yes"]);

    fs::write(here.join("file"), "something").unwrap();
    let store = here.join("store").display().to_string();
    let added = nix(here, &["store", "add-path", "--store", &store, "file"]).unwrap();
    let path = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    assert!(path.starts_with("/nix/store/"), "{path}: {}", String::from_utf8_lossy(&added.stderr));
    assert!(
        nix(here, &["store", "sign", "--store", &store, "-k", "alice.nixcert.key", &path])
            .unwrap()
            .status
            .success()
    );

    let rewrap = ["rewrap", "new.cert", "--json", "--store", &store, "--path", &path];
    assert!(ok(&rewrap).contains(r#""status":"rewrapped","written":true"#));
    assert!(ok(&rewrap).contains(r#""status":"current""#));
    let info = nix(here, &["path-info", "--json", "--sigs", "--store", &store, &path]).unwrap();
    let new = fs::read_to_string(here.join("new.cert")).unwrap();
    assert!(String::from_utf8_lossy(&info.stdout).contains(new.trim_end()));
}

fn nixcert() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixcert"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
