//! What goes wrong in the middle: interruptions, two at a time, and secrets that must not be shown.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";

/// A directory with a CA, a key and a request.
fn setup(extra: &[&str]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("passphrase"), PASSPHRASE).unwrap();
    run(&directory, &[["ca", "init", "ca", "--name", "acme-1"].as_slice(), extra].concat());
    run(&directory, &["key", "generate", "--name", "alice", "-o", "alice.key"]);
    run(&directory, &["request", "--key", "alice.key", "-o", "alice.request"]);
    directory
}

const ISSUE: &[&str] =
    &["issue", "--ca", "ca", "alice.request", "--permit", "*", "--host", "*", "-o", "alice.cert", "--yes"];

#[test]
fn an_interrupted_issue_leaves_nothing() {
    let directory = setup(&["--passphrase-file", "passphrase"]);
    let before = listing(directory.path());
    // It waits for a passphrase that never comes, with the log locked.
    let mut child = nixcert(&directory, &[ISSUE, &["--passphrase-fd", "0"]].concat())
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    read_until(&mut child, "nix/store");
    let second = start_waiting(&directory);

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(listing(directory.path()), before, "something was left behind");

    // The lock went with it, and the one that waited goes on.
    let output = second.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(records(&directory), 1);
    assert!(directory.path().join("alice.cert").exists());
}

/// Another `issue`, until it says that it waits.
fn start_waiting(directory: &TempDir) -> Child {
    let mut child = nixcert(directory, &[ISSUE, &["--passphrase-file", "passphrase"]].concat())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    read_until(&mut child, "waiting for another nixcert");
    child
}

#[test]
fn two_at_a_time_are_both_recorded() {
    let directory = setup(&["--unencrypted"]);
    let children: Vec<Child> = (0..8)
        .map(|index| {
            let label = format!("person-{index}");
            let own = format!("{index}.cert");
            let args = [
                "issue",
                "--ca",
                "ca",
                "alice.request",
                "--label",
                &label,
                "--permit",
                "*",
                "--host",
                "*",
                "-o",
                &own,
                "-y",
            ];
            nixcert(&directory, &args).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(records(&directory), 8);
}

#[test]
fn a_torn_record_was_never_handed_out() {
    let directory = setup(&["--unencrypted"]);
    run(&directory, ISSUE);
    let log = directory.path().join("ca/issued.jsonl");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, [whole.as_slice(), &whole[..whole.len() / 2]].concat()).unwrap();
    fs::remove_file(directory.path().join("alice.cert")).unwrap();

    run(&directory, ISSUE);
    let now = fs::read(&log).unwrap();
    assert!(now.starts_with(&whole) && now.ends_with(b"\n"));
    assert_eq!(records(&directory), 2);
}

#[test]
fn what_cannot_be_logged_is_not_handed_out() {
    if !Path::new("/dev/full").exists() {
        println!("SKIPPED: there is no /dev/full");
        return;
    }
    let directory = setup(&["--unencrypted"]);
    let log = directory.path().join("ca/issued.jsonl");
    fs::remove_file(&log).unwrap();
    let output = nixcert(&directory, ISSUE).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!directory.path().join("alice.cert").exists());

    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    let output = nixcert(&directory, &[ISSUE, &["-o", "-"]].concat()).stdin(Stdio::null()).output();
    // The log cannot even be read as one: either way nothing comes out.
    let output = output.unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
}

#[test]
fn unreadable_files_are_errors() {
    let directory = setup(&["--unencrypted"]);
    let file = directory.path().join("alice.key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = nixcert(&directory, &["request", "--key", "alice.key"]);
    if fs::read(&file).is_ok() {
        // Root reads everything, unless it gives up the capabilities for that.
        let program = command.get_program().to_owned();
        let mut without = Command::new("setpriv");
        without.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]).arg(program);
        without.args(command.get_args()).current_dir(directory.path());
        command = without;
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("permission denied"));
}

#[test]
fn huge_files_are_errors() {
    let directory = setup(&["--unencrypted"]);
    let huge = fs::File::create(directory.path().join("huge")).unwrap();
    huge.set_len(100 * 1024 * 1024).unwrap();
    for args in [
        ["request", "--key", "huge"].as_slice(),
        &["inspect", "huge"],
        &["attach", "--key", "alice.key", "huge"],
        &["rewrap", "huge", "--cache", "."],
        &["issue", "--ca", "ca", "huge", "--permit", "*", "--host", "*"],
        &["ca", "init", "other", "--name", "other", "--passphrase-file", "huge"],
    ] {
        let output = nixcert(&directory, args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains("larger than"), "{args:?}: {stderr}");
    }
}

#[test]
fn no_secret_is_ever_shown() {
    let directory = setup(&["--passphrase-file", "passphrase"]);
    run(&directory, &[ISSUE, &["--passphrase-file", "passphrase"]].concat());
    run(&directory, &["attach", "--key", "alice.key", "alice.cert"]);
    let key = fs::read_to_string(directory.path().join("alice.key")).unwrap();
    let secret = key.trim_end().split_once(':').unwrap().1;
    // What Nix keeps is the seed and the public half; the seed is what must not be seen.
    let seed = &secret[..42];
    for args in [
        ["inspect", "alice.key"].as_slice(),
        &["inspect", "--json", "alice.key"],
        &["inspect", "alice.nixcert.key"],
        &["inspect", "--json", "alice.nixcert.key"],
        &["inspect", key.trim_end()],
        &["request", "--key", "alice.key"],
        &["attach", "--key", "alice.cert", "alice.key", "-o", "x.key"],
        &["attach", "--key", "alice.key", "alice.key", "-o", "x.key"],
        &["issue", "--ca", "ca", "alice.key", "--permit", "*", "--host", "*"],
        &["verify", "--trusted-ca-keys", key.trim_end(), "alice.cert"],
        &["verify", "--trusted-public-keys", key.trim_end(), "alice.cert"],
        &["inspect", "alice.cert", "--trusted-ca-keys", key.trim_end()],
        &["rewrap", "alice.key", "--cache", "."],
        &["rewrap", "alice.nixcert.key", "--cache", "."],
        &["why", "alice.key", "--trusted-public-keys", "a:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="],
        &["why", "alice.cert", "--trusted-ca-keys", key.trim_end()],
        &["verify", "--trusted-public-keys", "a:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=", "alice.key"],
    ] {
        let output = nixcert(&directory, args).output().unwrap();
        let shown = [output.stdout, output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        assert!(!shown.is_empty() && !shown.contains(seed), "{args:?}: {shown}");
        assert!(!shown.contains(PASSPHRASE), "{args:?}: {shown}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let directory = setup(&["--unencrypted"]);
    for shell in ["completions bash", "inspect ca", "ca log ca --json"] {
        let output = Command::new("sh")
            .current_dir(directory.path())
            .args(["-c", &format!("'{}' {shell} | true", env!("CARGO_BIN_EXE_nixcert"))])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{shell}: {stderr}");
    }
}

#[test]
fn completions_and_manual_pages() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(!run(&directory, &["completions", shell]).stdout.is_empty(), "{shell}");
    }
    run(&directory, &["man", "."]);
    let pages = listing(directory.path());
    for page in ["nixcert.1", "nixcert-ca-init.1", "nixcert-issue.1", "nixcert-verify.1"] {
        assert!(pages.iter().any(|(name, _)| name == page), "{page} is not among {pages:?}");
    }
}

fn nixcert(directory: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixcert"));
    command.current_dir(directory.path()).args(args).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn run(directory: &TempDir, args: &[&str]) -> Output {
    let output = nixcert(directory, args).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Read standard error until a text comes.
fn read_until(child: &mut Child, text: &str) {
    let started = Instant::now();
    let mut seen = Vec::new();
    let stderr = child.stderr.as_mut().unwrap();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let mut byte = [0];
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "it ended with: {}", String::from_utf8_lossy(&seen));
        assert!(started.elapsed() < Duration::from_secs(60), "{}", String::from_utf8_lossy(&seen));
        seen.extend(byte);
    }
}

/// Every file below a directory with its contents.
fn listing(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(listing(&path));
        } else {
            files.push((path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

fn records(directory: &TempDir) -> usize {
    let output = run(directory, &["ca", "log", "ca", "--json"]);
    String::from_utf8(output.stdout).unwrap().lines().count()
}

#[test]
fn a_passphrase_comes_through_a_descriptor() {
    let directory = tempfile::tempdir().unwrap();
    let mut child = nixcert(&directory, &["ca", "init", "ca", "--name", "acme-1", "--passphrase-fd", "0"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(PASSPHRASE.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let key = fs::read_to_string(directory.path().join("ca/ca.key")).unwrap();
    assert!(key.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
}
