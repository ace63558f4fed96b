//! Renewing by serial number, which no transcript can name, and after an interruption.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A CA, and a key whose certificate began eighty days ago.
fn setup() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    ok(&directory, "ca init ca --name acme-1 --unencrypted");
    ok(&directory, "key generate --name alice -o alice.key");
    ok(&directory, "request --key alice.key -o alice.request");
    issue(&directory, "--permit * --not-before -80d --valid 90d");
    directory
}

fn issue(directory: &TempDir, extra: &str) {
    let certificate = "-o alice.cert --force --yes";
    ok(directory, &format!("issue --ca ca alice.request --host * {extra} {certificate}"));
}

#[test]
fn by_serial() {
    let directory = setup();
    let first = serials(&directory)[0].clone();
    ok(&directory, &format!("issue --ca ca --renew --serial {first} -o 1.cert --yes"));
    let records = serials(&directory);
    assert_eq!(records.len(), 2);

    // The old serial leads to what renewed it, and nothing is signed.
    let again = ok(&directory, &format!("issue --ca ca --renew --serial {first} -o 2.cert --yes"));
    assert!(again.contains(&format!("serial {}", records[1])), "{again}");
    assert_eq!(serials(&directory), records);
    assert_eq!(read(&directory, "1.cert"), read(&directory, "2.cert"));

    // One further on too.
    ok(
        &directory,
        &format!("issue --ca ca --renew --serial {} --anyway --valid 1y -o 1.cert --yes", records[1]),
    );
    let again = ok(&directory, &format!("issue --ca ca --renew --serial {first} -o 2.cert --yes"));
    assert!(again.contains("renewed already"), "{again}");
    assert_eq!(read(&directory, "1.cert"), read(&directory, "2.cert"));
    assert_eq!(serials(&directory).len(), 3);
}

#[test]
fn limits_that_were_narrowed_are_not_widened() {
    let directory = setup();
    let wide = serials(&directory)[0].clone();
    issue(&directory, "--permit web-*");
    fs::create_dir(directory.path().join("out")).unwrap();

    let said = ok(&directory, "issue --ca ca --renew --ending-within 14d -o out --yes");
    assert!(said.contains(&format!("serial {wide} was not renewed")), "{said}");
    let output = run(&directory, &format!("issue --ca ca --renew --serial {wide} -o x.cert --yes"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(serials(&directory).len(), 2);

    // By label it is the later one, with its limits.
    let said = ok(&directory, "issue --ca ca --renew --label alice --anyway --valid 1y -o x.cert --yes");
    assert!(said.contains("web-*"), "{said}");
    // Unless someone insists.
    ok(&directory, &format!("issue --ca ca --renew --serial {wide} --anyway -o y.cert --yes"));
}

#[test]
fn a_key_that_was_given_up_is_never_renewed() {
    let directory = setup();
    let old = serials(&directory)[0].clone();
    ok(&directory, "key generate --name alice -o alice.key --force");
    ok(&directory, "request --key alice.key -o alice.request --force");
    issue(&directory, "--permit * --replace-key");
    for anyway in ["", "--anyway"] {
        let output =
            run(&directory, &format!("issue --ca ca --renew --serial {old} {anyway} -o x.cert --yes"));
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("given up"));
    }
    fs::create_dir(directory.path().join("out")).unwrap();
    ok(&directory, "issue --ca ca --renew --ending-within 14d --anyway -o out --yes");
    assert_eq!(serials(&directory).len(), 2);
}

/// What was signed before the interruption is in the log; the file is made up for.
#[test]
fn an_interrupted_run_is_repeated() {
    let directory = setup();
    fs::create_dir_all(directory.path().join("out")).unwrap();
    ok(&directory, "issue --ca ca --renew --ending-within 14d -o out --yes");
    let certificate = read(&directory, "out/alice.cert");
    fs::remove_file(directory.path().join("out/alice.cert")).unwrap();
    ok(&directory, "issue --ca ca --renew --ending-within 14d -o out --yes");
    assert_eq!(read(&directory, "out/alice.cert"), certificate);
    assert_eq!(serials(&directory).len(), 2);
}

fn serials(directory: &TempDir) -> Vec<String> {
    let output = run(directory, "ca log ca --json");
    let text = String::from_utf8(output.stdout).unwrap();
    let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    text.lines().map(|line| record(line)["serial"].as_str().unwrap().to_owned()).collect()
}

fn read(directory: &TempDir, file: &str) -> String {
    fs::read_to_string(directory.path().join(Path::new(file))).unwrap()
}

fn run(directory: &TempDir, args: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixcert"));
    command.current_dir(directory.path()).args(args.split_whitespace()).stdin(Stdio::null()).output().unwrap()
}

/// What it says on standard error.
fn ok(directory: &TempDir, args: &str) -> String {
    let output = run(directory, args);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{args}: {said}");
    said
}
