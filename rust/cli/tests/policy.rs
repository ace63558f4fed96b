//! Policies on a host: the file that nix.conf names, who may have written it, and what the documents show.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const CA: &str = "acme-2026-1:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";

const POLICY: &str = r#"
version = 1
protected-names = ["hello@"]
[ca.acme-2026-1]
permitted-names = ["*"]
usages = ["import-paths"]
"#;

/// A host whose nix.conf names this policy file.
fn host(policy_file: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::copy(transcripts().join("verify.in/good.narinfo"), here.join("good.narinfo")).unwrap();
    let policy_file = policy_file.replace("HERE", &here.display().to_string());
    let conf = format!("trusted-public-keys =\ntrusted-ca-keys = {CA}\nca-policy-file = {policy_file}\n");
    fs::write(here.join("nix.conf"), conf).unwrap();
    directory
}

fn transcripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cli")
}

fn nixcert(directory: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nixcert"));
    command.current_dir(directory.path()).args(arguments).stdin(Stdio::null());
    command
}

fn verify(host: &TempDir, more: &[&str]) -> (Output, Value) {
    let arguments = ["verify", "--json", "--nix-conf", "nix.conf", "--at", "@1800000000", "good.narinfo"];
    let output = nixcert(host, &[&arguments, more].concat()).output().unwrap();
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (output, answer)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_file_that_nix_conf_names() {
    let host = host("HERE/policy.toml");
    fs::write(host.path().join("policy.toml"), POLICY).unwrap();
    assert_eq!(verify(&host, &[]).1["reason"], "protected-name");
    fs::write(host.path().join("policy.toml"), POLICY.replace("hello", "sudo")).unwrap();
    assert_eq!(verify(&host, &[]).1["accepted"], true);
    // One that is named takes its place.
    fs::write(host.path().join("new.toml"), POLICY).unwrap();
    assert_eq!(verify(&host, &["--policy", "new.toml"]).1["reason"], "protected-name");
    fs::write(host.path().join("policy.toml"), "").unwrap();
    assert_eq!(verify(&host, &["--policy", "new.toml"]).1["reason"], "protected-name");
}

#[test]
fn what_breaks_it() {
    let says = |host: &TempDir, message: &str| {
        let (output, answer) = verify(host, &[]);
        assert_eq!((output.status.code(), &answer["reason"]), (Some(1), &"broken-configuration".into()));
        let said = stderr(&output);
        assert!(said.contains(message) && said.contains("no certificate counts"), "{message}: {said}");
        assert!(answer["message"].as_str().unwrap().contains(message), "{answer}");
    };
    let missing = host("HERE/policy.toml");
    says(&missing, "no such file");
    let directory = host("HERE");
    says(&directory, "not a regular file");
    let relative = host("policy.toml");
    fs::write(relative.path().join("policy.toml"), POLICY).unwrap();
    says(&relative, "not an absolute path");

    let file = missing.path().join("policy.toml");
    fs::write(&file, POLICY).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    says(&missing, "chmod go-w");
    // One that is named is nobody's yet.
    assert_eq!(verify(&missing, &["--policy", "policy.toml"]).1["reason"], "protected-name");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
        says(&missing, "chown root");
    } else {
        println!("SKIPPED: only root can give files away");
    }
    fs::remove_file(&file).unwrap();
    fs::write(&file, [0xff, 0xfe]).unwrap();
    says(&missing, "not text");
    fs::remove_file(&file).unwrap();
    fs::File::create(&file).unwrap().set_len(5 << 20).unwrap();
    says(&missing, "larger than");
}

#[test]
fn what_cannot_be_read_is_no_answer() {
    let host = host("");
    let huge = fs::File::create(host.path().join("huge")).unwrap();
    huge.set_len(100 << 20).unwrap();
    let secret = host.path().join("secret");
    fs::write(&secret, POLICY).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(host.path().join("cases.toml"), "[[case]]\npath = \"a\"\nexpect = \"no-signatures\"\n")
        .unwrap();
    fs::write(
        host.path().join("huge.toml"),
        "[[case]]\npath = \"a\"\nsigned-by = [\"huge\"]\nexpect = \"accepted\"\n",
    )
    .unwrap();
    for (file, message) in [("huge", "larger than"), ("secret", "permission denied")] {
        for arguments in [
            ["policy", "check", file].as_slice(),
            &["policy", "test", file, "--nix-conf", "nix.conf"],
            &["policy", "test", "cases.toml", "--nix-conf", "nix.conf", "--policy", file],
            &["verify", "good.narinfo", "--nix-conf", "nix.conf", "--policy", file],
        ] {
            let mut command = nixcert(&host, arguments);
            if file == "secret" && fs::read(&secret).is_ok() {
                // Root reads everything, unless it gives up the capabilities for that.
                let mut without = Command::new("setpriv");
                without.args(["--bounding-set", "-dac_override,-dac_read_search", "--"]);
                without.arg(command.get_program()).args(command.get_args()).current_dir(host.path());
                command = without;
            }
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
            assert!(stderr(&output).contains(message), "{arguments:?}: {}", stderr(&output));
        }
    }
    let output = nixcert(&host, &["policy", "test", "huge.toml", "--nix-conf", "nix.conf"]).output().unwrap();
    assert!(
        output.status.code() == Some(2) && stderr(&output).contains("larger than"),
        "{}",
        stderr(&output)
    );
}

/// As in a build's sandbox: a file of nobody's, from standard input too.
#[test]
fn who_owns_it_is_not_asked_before_it_is_installed() {
    let host = host("");
    let file = host.path().join("policy.toml");
    fs::write(&file, POLICY).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    if std::os::unix::fs::chown(&file, Some(65_534), None).is_err() {
        println!("SKIPPED: only root can give files away");
    }
    let check = |arguments: &[&str], input: Stdio| {
        nixcert(&host, &[["policy", "check"].as_slice(), arguments].concat()).stdin(input).output().unwrap()
    };
    assert_eq!(check(&["policy.toml"], Stdio::null()).status.code(), Some(0));
    let from_stdin = check(&["-", "--json"], fs::File::open(&file).unwrap().into());
    let answer: Value = serde_json::from_slice(&from_stdin.stdout).unwrap();
    assert_eq!((from_stdin.status.code(), &answer["file"]), (Some(0), &Value::Null));
}

#[test]
fn a_key_file_gives_its_name_away_and_nothing_else() {
    let host = host("");
    let name = fs::read_to_string(transcripts().join("policy.in/alice.cert")).unwrap();
    let secret = "A".repeat(86);
    fs::write(host.path().join("alice.key"), format!("{}:{secret}==\n", name.trim_end())).unwrap();
    fs::write(
        host.path().join("cases.toml"),
        "[[case]]\npath = \"hello-2.12\"\nat = \"2027-01-31\"\nsigned-by = [\"alice.key\"]\nexpect = \"accepted\"\n",
    )
    .unwrap();
    for more in [[].as_slice(), &["--json"], &["--at", "2027-01-31"]] {
        let arguments =
            [["policy", "test", "cases.toml", "--nix-conf", "nix.conf"].as_slice(), more].concat();
        let output = nixcert(&host, &arguments).output().unwrap();
        let shown = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(0), "{shown}");
        assert!(!shown.contains(&secret[..40]), "{shown}");
    }
}

#[test]
fn examples_are_true() {
    let host = host("");
    let help = |command: &str| {
        let output = nixcert(&host, &["policy", command, "--help"]).env("COLUMNS", "200").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let between = |text: &str, from: &str, to: &str| {
        let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {text}"));
        rest.split_once(to).unwrap().0.to_owned()
    };
    let mut policies = vec![between(&help("check"), "needs two people:\n", "\nExamples:")];
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let blocks = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    policies.extend(blocks.filter(|block| block.contains("version = 1")).map(str::to_owned));
    assert!(policies.len() > 1, "the README shows no policy");
    for policy in &policies {
        fs::write(host.path().join("policy.toml"), policy).unwrap();
        let output = nixcert(&host, &["policy", "check", "policy.toml"]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{policy}\n{said}");
    }
    // The cases, under the policy, by the certificates of the transcripts.
    fs::write(host.path().join("policy.toml"), policies[0].replace("oldest-list", "#")).unwrap();
    fs::write(host.path().join("cases.toml"), between(&help("test"), "beside it):\n", "\nA case may"))
        .unwrap();
    for file in ["alice.cert", "bob.cert"] {
        fs::copy(transcripts().join("policy.in").join(file), host.path().join(file)).unwrap();
    }
    let arguments = ["policy", "test", "cases.toml", "--policy", "policy.toml", "--trusted-ca-keys", CA];
    let vendor = ["--trusted-public-keys", "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="];
    let output = nixcert(&host, &[arguments.as_slice(), &vendor].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
}
