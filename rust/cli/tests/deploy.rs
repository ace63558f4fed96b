//! Vouching and deploying, with stand-ins for Nix and ssh: what is asked of them, in which order, and what their answers lead
//! to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const TOP: &str = "/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-nixos-system-web-1-25.11";
const DEP: &str = "/nix/store/0jqd0rlxzra1rs38rdxl43yh6rxchgc6-sudo-1.9.17";

/// A store in a directory: for each path, what is said of it, and its signatures.
const NIX: &str = r#"#!/bin/sh
cd 'HERE'
store=here
for word; do case $word in ssh-ng://*) store=there ;; file://*) cache=${word#file://} ;; esac; done
case "$*" in
*"copy --to"*)
    test -e refuses && { echo "error: cannot add path because it lacks a signature by a trusted key" >&2; exit 1; }
    mkdir -p there; cp -n here/* there ;;
*path-info*)
    printf '{'; separator=
    for info in $store/*.info; do
        printf '%s%s,"signatures":[%s]}' "$separator" "$(cat $info)" "$(paste -sd, ${info%.info}.sigs)"; separator=,
    done
    printf '}' ;;
*copy-sigs*)
    test -e old && { echo "error: you are not privileged to add signatures" >&2; exit 1; }
    for narinfo in $cache/*.narinfo; do
        name=$(basename $narinfo .narinfo)
        sed -n 's/^Sig: \(.*\)$/"\1"/p' $narinfo >> $store/$name.sigs; sort -u -o $store/$name.sigs $store/$name.sigs
    done ;;
esac
"#;

/// The gate says what the file `verdict` says; a repair makes it a yes.
const SSH: &str = r#"#!/bin/sh
cd 'HERE'
while test "$1" != --; do shift; done
echo "$3" >> log
case $3 in
*--json*) cat verdict; grep -q true verdict ;;
*check-closure*) echo "PATH: refused (CODE): in the host's words" ;;
*repair*) cat > sent; cp yes verdict; echo replaced ;;
*"list install"* | *"revocation install"*) cat > list ;;
*readlink*) echo /nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-nixos-system-web-1-25.11 ;;
*) true ;;
esac
"#;

struct Bed {
    directory: TempDir,
}

impl Bed {
    /// A workstation on which the system was built, but that `sudo` was imported with Mallory's signature.
    fn new() -> Self {
        let bed = Self { directory: tempfile::tempdir().unwrap() };
        bed.put("bin/nix", &NIX.replace("HERE", &bed.path("")));
        bed.put("bin/ssh", &SSH.replace("HERE", &bed.path("")));
        bed.put("bin/nix-store", "#!/bin/sh\nhead -c 120 /dev/zero\n");
        for tool in ["nix", "ssh", "nix-store"] {
            fs::set_permissions(bed.file(&format!("bin/{tool}")), fs::Permissions::from_mode(0o755)).unwrap();
        }
        bed.ok(&["ca", "init", "ca", "--name", "acme-1", "--unencrypted"]);
        for (who, usage) in [("alice", "import-paths,vouch-for-systems"), ("mallory", "import-paths")] {
            let [key, request, cert] = ["key", "request", "cert"].map(|end| format!("{who}.{end}"));
            bed.ok(&["key", "generate", "--name", who, "-o", &key]);
            bed.ok(&["request", "--key", &key, "--label", who, "-o", &request]);
            let terms = ["--usage", usage, "--permit", "*", "--host", "*", "--yes", "-o", &cert];
            bed.ok(&[["issue", "--ca", "ca", &request].as_slice(), &terms].concat());
            bed.ok(&["attach", "--key", &key, &cert]);
        }
        bed.store("here", true);
        bed.put(
            "yes",
            &format!(
                r#"{{"path":"{TOP}","accepted":true,"refusals":[],"left_over":[],"contents_differ":[]}}"#
            ),
        );
        bed.says("true", "", "");
        bed
    }

    fn path(&self, name: &str) -> String {
        self.file(name).display().to_string()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, contents: &str) {
        fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        fs::write(self.file(name), contents).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Both paths; whether `sudo` was built there.
    fn store(&self, store: &str, built: bool) {
        let hash = "sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=";
        for (path, references, built) in [(TOP, format!("\"{DEP}\""), true), (DEP, String::new(), built)] {
            let name = &path["/nix/store/".len()..][..32];
            self.put(
                &format!("{store}/{name}.info"),
                &format!(
                    r#""{path}":{{"narHash":"{hash}","narSize":120,"references":[{references}],"ultimate":{built}"#
                ),
            );
            self.put(&format!("{store}/{name}.sigs"), "");
        }
    }

    /// What the gate answers.
    fn says(&self, accepted: &str, code: &str, left_over: &str) {
        let refusals = if code.is_empty() { String::new() } else { format!(r#"{{"code":"{code}"}}"#) };
        self.put(
            "verdict",
            &format!(
                r#"{{"path":"{TOP}","accepted":{accepted},"refusals":[{refusals}],
                "left_over":[{left_over}],"contents_differ":[]}}"#
            ),
        );
    }

    fn nixcert(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_nixcert"))
            .args(arguments)
            .current_dir(self.directory.path())
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("bin")))
            .env_remove("NIX_SSHOPTS")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.nixcert(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    fn sign(&self, more: &[&str]) -> Output {
        let arguments = ["closure", "sign", "-k", "alice.nixcert.key", "--host", "web-1", "--yes", TOP];
        self.nixcert(&[arguments.as_slice(), more].concat())
    }

    fn deploy(&self, more: &[&str]) -> Output {
        let arguments = ["deploy", "--to", "alice@web-1", "-k", "alice.nixcert.key", "--yes", TOP];
        self.nixcert(&[arguments.as_slice(), more].concat())
    }

    fn signatures(&self, store: &str, path: &str) -> String {
        self.read(&format!("{store}/{}.sigs", &path["/nix/store/".len()..][..32]))
    }

    fn log(&self) -> Vec<String> {
        self.read("log").lines().map(str::to_owned).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn is(output: &Output, status: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    for word in words {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn what_others_brought_is_signed_only_if_she_says_so() {
    let bed = Bed::new();
    bed.store("here", false);
    let refused = bed.sign(&[]);
    is(&refused, 1, &[DEP, "no signature", "--vouch"]);
    assert_eq!(bed.signatures("here", TOP) + &bed.signatures("here", DEP), "");
    is(&bed.sign(&["--vouch", TOP]), 1, &[DEP]);
    let elsewhere = DEP.replace("sudo", "other");
    is(&bed.sign(&["--vouch", &elsewhere]), 2, &["not a path of this closure"]);
    let json = bed.sign(&["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json.status.code(), report["needs_vouch"][0]["path"].as_str()), (Some(1), Some(DEP)));

    is(&bed.sign(&["--vouch", DEP]), 0, &["You vouch for", DEP]);
    assert!(bed.signatures("here", DEP).contains("alice.nixcert1."));
    assert!(bed.signatures("here", TOP).contains("alice.nixcert1-closure."));
    let shown: serde_json::Value =
        serde_json::from_slice(&bed.nixcert(&["closure", "show", "--json", TOP]).stdout).unwrap();
    assert_eq!(shown["statements"][0]["covers"], true);
    assert_eq!(shown["statements"][0]["hosts"][0], "web-1");

    // Replaced behind her back: her own signature, of other contents, is no reason.
    let info = format!("here/{}.info", &DEP["/nix/store/".len()..][..32]);
    bed.put(&info, &bed.read(&info).replace("EFUdrtf6Rn0L", "DbCEqRfR8yZl").replace(":false", ":true"));
    is(&bed.sign(&[]), 1, &["other contents than you signed", DEP]);
}

#[test]
fn built_here_is_hers_to_sign() {
    let bed = Bed::new();
    is(&bed.sign(&[]), 0, &["Built here"]);
    is(
        &bed.nixcert(&["closure", "sign", "-k", "alice.nixcert.key", "--co-sign", "--yes", TOP]),
        0,
        &["already"],
    );
    is(
        &bed.nixcert(&["closure", "sign", "-k", "mallory.nixcert.key", "--co-sign", "--yes", TOP]),
        1,
        &["does not permit to vouch"],
    );
    // Nobody is there to ask.
    let arguments = ["closure", "sign", "-k", "alice.nixcert.key", "--host", "web-1", TOP];
    is(&bed.nixcert(&arguments), 2, &["nobody is there to ask"]);
}

#[test]
fn the_steps_of_a_deployment() {
    let bed = Bed::new();
    bed.put("acme.list", "a list");
    is(&bed.deploy(&["--revocation-list", "acme.list", "--action", "test"]), 0, &["1/7", "7/7", "done"]);
    let expected = [
        "sudo -n nixcert revocation install -".to_owned(),
        format!(
            "d=\"$HOME/.local/state/nixcert/deploy\"; mkdir -p \"$d\" && nix-store --realise '{TOP}' --add-root \
             \"$d\"/'nixos-system-web' --indirect > /dev/null"
        ),
        format!("nixcert check-closure --json -- '{TOP}'"),
        format!("sudo -n nixcert activate -- '{TOP}' test"),
    ];
    assert_eq!(bed.log(), expected);
    assert_eq!(bed.read("list"), "a list");
    for path in [TOP, DEP] {
        assert_eq!(bed.signatures("here", path), bed.signatures("there", path));
    }
    // Again: nothing is left to sign, and the same statement is good.
    let before = bed.signatures("here", TOP);
    is(&bed.deploy(&[]), 0, &["signed all of this already"]);
    assert_eq!(bed.signatures("here", TOP), before);
}

#[test]
fn what_has_other_contents_there_is_replaced_if_she_says_so() {
    let bed = Bed::new();
    bed.store("there", false);
    let info = format!("there/{}.info", &DEP["/nix/store/".len()..][..32]);
    bed.put(&info, &bed.read(&info).replace("EFUdrtf6Rn0L", "DbCEqRfR8yZl"));
    bed.says("false", "not-vouched-for", &format!(r#"{{"path":"{DEP}"}},{{"path":"{TOP}"}}"#));
    is(&bed.deploy(&[]), 1, &["in the host's words", DEP, "--repair"]);
    assert!(!bed.log().iter().any(|line| line.contains("sudo")), "{:?}", bed.log());

    is(&bed.deploy(&["--repair"]), 0, &["sending", "done"]);
    let sent = bed.read("sent");
    assert!(sent.starts_with(&format!("StorePath: {DEP}\n")), "{sent}");
    let (head, nar) = sent.split_once("\n\n").unwrap();
    assert!(head.contains("\nSig: alice.nixcert1.") && !head.contains(TOP));
    assert_eq!(nar.len(), 120);
    assert!(bed.log().last().unwrap().starts_with("sudo -n nixcert activate"));
}

#[test]
fn nothing_is_activated_without_a_yes() {
    let bed = Bed::new();
    bed.says("false", "too-few-votes", "");
    is(&bed.deploy(&[]), 1, &["another person", "--co-sign", "closure diff"]);
    bed.says("false", "statement-of-another-host", "");
    is(&bed.deploy(&[]), 1, &["--host NAME"]);
    for nonsense in ["", "{}", "yes", r#"{"path":"/nix/store/x","accepted":true}"#] {
        bed.put("verdict", nonsense);
        is(&bed.deploy(&[]), 2, &["could not tell"]);
    }
    assert!(!bed.log().iter().any(|line| line.contains("activate")), "{:?}", bed.log());
    bed.put("refuses", "");
    is(&bed.deploy(&[]), 1, &["lacks a signature"]);
    fs::remove_file(bed.file("refuses")).unwrap();
    bed.put("old", "");
    fs::remove_dir_all(bed.file("there")).unwrap();
    bed.store("there", false);
    is(&bed.deploy(&[]), 2, &["so old a Nix"]);
}

#[test]
fn without_the_tools() {
    let bed = Bed::new();
    let run = |tools: &[&str], arguments: &[&str]| {
        let empty = tempfile::tempdir().unwrap();
        for tool in tools {
            std::os::unix::fs::symlink(bed.file(&format!("bin/{tool}")), empty.path().join(tool)).unwrap();
        }
        Command::new(env!("CARGO_BIN_EXE_nixcert"))
            .args(arguments)
            .current_dir(bed.directory.path())
            .env("PATH", empty.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let sign = ["closure", "sign", "-k", "alice.nixcert.key", "--host", "web-1", "--yes", TOP];
    is(&run(&[], &sign), 2, &["no command 'nix' in PATH"]);
    is(&run(&[], &["closure", "diff", "alice@web-1", TOP]), 2, &["no command 'ssh' in PATH"]);
    let build = ["deploy", "--to", "alice@web-1", "-k", "alice.nixcert.key", "--", "--flake", ".#web-1"];
    is(&run(&["nix"], &build), 2, &["no command 'nixos-rebuild' in PATH"]);
}

#[test]
fn differences() {
    let bed = Bed::new();
    bed.store("there", false);
    let output = bed.nixcert(&["closure", "diff", "alice@web-1", TOP, "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["unchanged"].as_u64()), (Some(0), Some(2)));
    let info = format!("there/{}.info", &DEP["/nix/store/".len()..][..32]);
    bed.put(&info, &bed.read(&info).replace("EFUdrtf6Rn0L", "DbCEqRfR8yZl"));
    is(&bed.nixcert(&["closure", "diff", "alice@web-1", TOP]), 0, &["other contents", DEP]);
    is(&bed.nixcert(&["closure", "push", "--to", "ssh-ng://alice@web-1", TOP]), 0, &[]);
}
