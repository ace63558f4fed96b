//! Lists: what goes wrong in the middle, what a clock does, and what a host makes of it all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A CA, three people with certificates that began eighty days ago, and a delegate.
struct World {
    directory: TempDir,
    ca_key: String,
}

impl World {
    fn new() -> Self {
        let mut world = Self { directory: tempfile::tempdir().unwrap(), ca_key: String::new() };
        world.ok("ca init ca --name acme-1 --unencrypted");
        world.ca_key = world.read("ca/ca.pub").trim().to_owned();
        for name in ["alice", "bob", "carol"] {
            world.ok(&format!("key generate --name {name} -o {name}.key"));
            world.ok(&format!("request --key {name}.key -o {name}.request"));
            world.issue(name, "--not-before -80d --valid 90d");
        }
        world.ok("key generate --name dora -o dora.key");
        world.ok("request --key dora.key -o dora.request");
        world.issue("dora", "--usage revoke");
        world.ok("attach --key dora.key dora.cert");
        world
    }

    fn issue(&self, name: &str, extra: &str) {
        let file = format!("-o {name}.cert --force --yes");
        self.ok(&format!("issue --ca ca {name}.request --permit * --host * {extra} {file}"));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn command(&self, args: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixcert"));
        command.current_dir(&self.directory).args(args.split_whitespace()).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &str) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it says on standard error.
    #[track_caller]
    fn ok(&self, args: &str) -> String {
        let output = self.run(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args}: {said}");
        said
    }

    #[track_caller]
    fn fails(&self, args: &str, code: i32, message: &str) {
        let output = self.run(args);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args}: {said}");
        assert!(said.contains(message), "{args}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }

    /// What the CA's own list revokes: `label bob` and the like.
    fn revoked(&self) -> Vec<String> {
        self.revoked_in("ca/revocation.list")
    }

    fn revoked_in(&self, list: &str) -> Vec<String> {
        let output = self.run(&format!("revocation show --json {list}"));
        assert!(output.status.success());
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        let word = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
        let entries = list["entries"].as_array().unwrap().iter();
        entries.map(|entry| format!("{} {}", word(entry, "by"), word(entry, "value"))).collect()
    }

    fn delegate(&self) -> String {
        format!("revoke --sign-with dora.nixcert.key --ca-key {}", self.ca_key)
    }

    fn trusting(&self, args: &str) -> String {
        format!("revocation {args} --trusted-ca-keys {} --directory held", self.ca_key)
    }

    /// The last record of the CA's log of this label.
    fn record(&self, label: &str) -> Value {
        let output = self.run(&format!("ca log ca --json --label {label}"));
        let text = String::from_utf8(output.stdout).unwrap();
        serde_json::from_str(text.lines().last().unwrap()).unwrap()
    }

    /// Run in a shell, with limits of its own.
    fn shell(&self, script: &str) -> Output {
        let script = script.replace("nixcert ", &format!("'{}' ", env!("CARGO_BIN_EXE_nixcert")));
        let mut command = Command::new("sh");
        command.current_dir(&self.directory).args(["-c", &script]).stdin(Stdio::null()).output().unwrap()
    }
}

#[test]
fn later_than_the_last_even_within_a_second() {
    let world = World::new();
    let mut times = Vec::new();
    for _ in 0..4 {
        world.ok("revoke --ca ca --refresh --yes");
        let output = world.run("revocation show --json ca/revocation.list");
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        times.push(list["issued"].as_str().unwrap().to_owned());
    }
    assert!(times.is_sorted() && times.windows(2).all(|pair| pair[0] != pair[1]), "{times:?}");
}

#[test]
fn two_at_a_time_are_both_in_the_list() {
    let world = World::new();
    let children: Vec<Child> = (0..8)
        .map(|index| {
            let args = format!("revoke --ca ca --label person-{index} --retired -o acme-{index}.list --yes");
            world.command(&args).stderr(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(world.revoked().len(), 8);
    assert_eq!(world.read("ca/lists.jsonl").lines().count(), 8);
}

#[test]
fn an_interrupted_revoke_leaves_what_was() {
    let world = World::new();
    world.ok("revoke --ca ca --label bob --retired -o acme.list --yes");
    let before = (world.bytes("ca/revocation.list"), world.read("ca/lists.jsonl"));
    // It asks on a terminal that never answers: here, for a passphrase that never comes.
    fs::remove_dir_all(world.path("ca")).unwrap();
    fs::write(world.path("passphrase"), "correct horse battery staple").unwrap();
    world.ok("ca init ca --name acme-1 --passphrase-file passphrase");
    let mut child = world
        .command("revoke --ca ca --label bob --retired -o acme.list --force --yes --passphrase-fd 0")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!world.path("ca/revocation.list").exists() && !world.path("ca/lists.jsonl").exists());
    assert_eq!(world.bytes("acme.list"), before.0);
    // The lock went with it.
    world.ok("revoke --ca ca --refresh --yes --passphrase-file passphrase");
}

/// Between the list and the line that says so, and in the middle of that line.
#[test]
fn after_a_torn_line() {
    let world = World::new();
    world.ok("revoke --ca ca --label bob --retired --yes");
    let one = world.read("ca/lists.jsonl");
    world.ok("revoke --ca ca --label carol --retired --yes");
    for torn in ["", "{\"schema\":1,\"ti"] {
        fs::write(world.path("ca/lists.jsonl"), format!("{one}{torn}")).unwrap();
        world.ok("revoke --ca ca --refresh --yes");
        let log = world.read("ca/lists.jsonl");
        assert_eq!(log.lines().count(), 2);
        assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
    }
    assert_eq!(world.revoked(), ["label bob", "label carol"]);
    fs::write(world.path("ca/lists.jsonl"), "junk\n").unwrap();
    world.fails("revoke --ca ca --refresh --yes", 2, "lists.jsonl");
}

#[test]
fn a_list_that_is_gone() {
    let world = World::new();
    world.ok("revoke --ca ca --label bob --retired -o acme.list --yes");
    fs::remove_file(world.path("ca/revocation.list")).unwrap();
    world.fails("revoke --ca ca --label carol --retired --yes", 2, "is gone");
    world.fails("issue --ca ca carol.request --permit * --host * -o x.cert --yes", 2, "is gone");
    world.ok("revoke --ca ca --label carol --retired --previous acme.list --yes");
    assert_eq!(world.revoked(), ["label bob", "label carol"]);
    fs::remove_file(world.path("ca/revocation.list")).unwrap();
    assert!(world.ok("revoke --ca ca --first --label carol --retired --yes").contains("lost"));
    assert_eq!(world.revoked(), ["label carol"]);
}

/// A list of the day after tomorrow: every host would refuse what follows it.
#[test]
fn a_clock_that_was_ahead() {
    let world = World::new();
    world.ok("revoke --ca ca --label bob --retired -o acme.list --yes");
    let log = world.read("ca/lists.jsonl");
    let mut line: Value = serde_json::from_str(&log).unwrap();
    line["issued_seconds"] = 0.into();
    fs::write(world.path("ca/lists.jsonl"), format!("{line}\n")).unwrap();
    fs::write(world.path("ca/revocation.list"), redated(&world, 10)).unwrap();
    world.fails("revoke --ca ca --label carol --retired --yes", 1, "more than a day ahead");
    world.ok("revoke --ca ca --label carol --retired --issued-now -o now.list --yes");
    world.ok(&world.trusting("install now.list"));
    assert_eq!(world.revoked_in("now.list"), ["label bob", "label carol"]);
}

/// The CA's list, with an issue time so many days later.
fn redated(world: &World, days: i64) -> Vec<u8> {
    use nixcert_core::{Instant, RevocationList};
    use nixcert_issue::{ListDraft, SecretKey};
    let bytes = world.bytes("ca/revocation.list");
    let list = RevocationList::parse(&bytes).unwrap();
    let (_, key) = SecretKey::from_nix(&world.read("ca/ca.key")).unwrap();
    let issued =
        Instant::from_seconds(list.issued.seconds().checked_add_signed(days * 86_400).unwrap()).unwrap();
    let entries = ListDraft::entries_of(&list.entries);
    ListDraft { ca: list.ca, certificates: vec![], issued, entries }.sign(&key).unwrap()
}

#[test]
fn what_a_full_disk_leaves() {
    let world = World::new();
    world.ok("revoke --ca ca --label bob --retired -o acme.list --yes");
    world.ok(&world.trusting("install acme.list"));
    let before = (world.bytes("ca/revocation.list"), world.read("ca/lists.jsonl"), world.bytes("acme.list"));
    // No file may become longer than nothing: what is written fails like on a full disk.
    let full = "trap '' XFSZ; ulimit -f 0;";
    let output =
        world.shell(&format!("{full} nixcert revoke --ca ca --label carol --retired -o acme.list --yes"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot write 'ca/revocation.list'"), "{said}");
    assert_eq!(
        (world.bytes("ca/revocation.list"), world.read("ca/lists.jsonl"), world.bytes("acme.list")),
        before
    );

    world.ok("revoke --ca ca --label carol --retired -o newer.list --yes");
    let held = tree(&world.path("held"));
    let install = world.trusting("install newer.list");
    let output = world.shell(&format!("{full} nixcert {install}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot append to"), "{said}");
    assert_eq!(tree(&world.path("held")), held);
    world.ok(&install);
}

fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

/// Killed at any moment, a host holds the one list or the other, and whole.
#[test]
fn an_interrupted_install_leaves_a_whole_list() {
    let world = World::new();
    let labels: Vec<String> = (0..2_000).map(|number| format!("person-{number}")).collect();
    world.ok(&format!("revoke --ca ca --label {} --retired -o 0.list --yes", labels.join(",")));
    world.ok(&world.trusting("install 0.list"));
    for round in 1..25_u64 {
        world.ok(&format!("revoke --ca ca --refresh -o {round}.list --yes"));
        let mut child = world
            .command(&world.trusting(&format!("install {round}.list")))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(round * 700));
        let _ = child.kill();
        child.wait().unwrap();
        let shown = world.run(&world.trusting("show --json"));
        assert_eq!(shown.status.code(), Some(0), "{}", String::from_utf8_lossy(&shown.stdout));
        let report: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(report["lists"][0]["list"]["entry_count"], 2_000, "round {round}");
    }
    world.ok("revoke --ca ca --refresh -o last.list --yes");
    world.ok(&world.trusting("install last.list"));
}

#[test]
fn huge_files_and_unreadable_ones() {
    let world = World::new();
    fs::File::create(world.path("huge")).unwrap().set_len(100 << 20).unwrap();
    world.ok("revoke --ca ca --refresh -o acme.list --yes");
    let delegate = world.delegate();
    for args in [
        "revocation show huge".to_owned(),
        world.trusting("install huge"),
        world.trusting("reset huge --yes"),
        format!("revocation verify huge --trusted-ca-keys {}", world.ca_key),
        format!("revocation query huge --label bob --trusted-ca-keys {}", world.ca_key),
        "revoke --ca ca --certificate huge --retired --yes".to_owned(),
        "revoke --ca ca --previous huge --label bob --retired --yes".to_owned(),
        format!("{delegate} --previous huge --label bob --retired -o x.list --yes"),
    ] {
        world.fails(&args, 2, "larger than");
    }
    // Root reads everything, unless it gives up the capabilities for that.
    fs::set_permissions(world.path("acme.list"), Permissions::from_mode(0o000)).unwrap();
    let is_root = fs::read(world.path("acme.list")).is_ok();
    let prefix = if is_root { "setpriv --bounding-set -dac_override,-dac_read_search -- " } else { "" };
    for args in ["revocation show acme.list".to_owned(), world.trusting("install acme.list")] {
        let output = world.shell(&format!("{prefix}nixcert {args}"));
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stderr).contains("permission denied"));
    }
}

#[test]
fn a_drop_in_directory_is_emptied_of_what_was_judged() {
    let world = World::new();
    world.ok("revoke --ca ca --refresh -o first.list --yes");
    world.ok("revoke --ca ca --label bob --retired -o second.list --yes");
    let place = format!("--drop-in incoming --trusted-ca-keys {} --directory held", world.ca_key);
    let install = format!("revocation install {place}");
    fs::create_dir(world.path("incoming")).unwrap();
    assert_eq!(world.ok(&install), "", "an empty directory is nothing to speak of");

    fs::copy(world.path("second.list"), world.path("incoming/good.list")).unwrap();
    fs::copy(world.path("first.list"), world.path("incoming/.hidden")).unwrap();
    assert!(world.ok(&install).contains("it counts at the next decision"));
    assert_eq!(names(&world.path("incoming")), [".hidden"]);
    // What is held already is fine, and gone; what is older is refused, and gone.
    fs::copy(world.path("second.list"), world.path("incoming/again.list")).unwrap();
    world.ok(&install);
    fs::copy(world.path("first.list"), world.path("incoming/older.list")).unwrap();
    world.fails(&install, 1, "(list-older-than-held)");
    assert_eq!(names(&world.path("incoming")), [".hidden"]);
}

#[test]
fn a_list_that_was_overtaken_is_no_fault_where_that_is_said() {
    let world = World::new();
    world.ok("revoke --ca ca --refresh -o first.list --yes");
    world.ok("revoke --ca ca --label bob --retired -o second.list --yes");
    let place = format!("--trusted-ca-keys {} --directory held", world.ca_key);
    world.ok(&format!("revocation install second.list {place}"));
    world.fails(&format!("revocation install first.list {place}"), 1, "(list-older-than-held)");
    let said = world.ok(&format!("revocation install --keep-newer first.list {place}"));
    assert!(said.contains("'first.list': passed over: a newer one of its signer is held"), "{said}");
    // Nothing else is passed over.
    fs::write(world.path("no.list"), b"no list").unwrap();
    world.fails(&format!("revocation install --keep-newer no.list {place}"), 1, "'no.list' was not taken up");
}

#[test]
fn a_drop_in_directory_has_anything_in_it() {
    let world = World::new();
    world.ok("revoke --ca ca --refresh -o first.list --yes");
    let place = format!("--drop-in incoming --trusted-ca-keys {} --directory held", world.ca_key);
    let install = format!("revocation install {place}");
    let incoming = world.path("incoming");
    fs::create_dir_all(incoming.join("a-directory/full")).unwrap();
    std::os::unix::fs::symlink(world.path("alice.key"), incoming.join("a-link")).unwrap();
    assert!(Command::new("mkfifo").arg(incoming.join("a-pipe")).status().unwrap().success());
    fs::File::create(incoming.join("a-sea-of-zeros")).unwrap().set_len(1 << 40).unwrap();
    fs::hard_link(world.path("first.list"), incoming.join("a-second-name")).unwrap();
    fs::copy(world.path("first.list"), incoming.join("a\nline")).unwrap();
    fs::write(incoming.join("half.list"), &world.bytes("first.list")[..40]).unwrap();
    fs::copy(world.path("first.list"), incoming.join("z.list")).unwrap();

    let output = world.run(&install);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for sentence in [
        "'incoming/a-directory' is no ordinary file",
        "'incoming/a-link' is no ordinary file",
        "'incoming/a-pipe' is no ordinary file",
        "'incoming/a-sea-of-zeros' is larger than any list",
        "'incoming/a-second-name' has other names, too",
        "'incoming/a?line' has control characters in its name",
        "'incoming/half.list': no whole list yet; left for a minute",
        "'incoming/z.list': installed:",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    // The directory is nobody's list; the link is gone, and what it led to is not.
    assert_eq!(names(&incoming), ["a-directory", "half.list"]);
    assert!(world.path("alice.key").exists());
    world.fails("revocation install --drop-in nowhere --trusted-ca-keys x:y", 2, "");
    world.fails(&format!("revocation install first.list {place}"), 2, "cannot be used with");
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_delegate_that_began_anew_is_refused() {
    let world = World::new();
    let delegate = world.delegate();
    world.ok(&format!("{delegate} --first --label bob --retired -o dora.list --yes"));
    world.ok(&world.trusting("install dora.list"));
    std::thread::sleep(Duration::from_millis(1_100));
    world.ok(&format!("{delegate} --first --label carol --retired -o anew.list --yes"));
    world.fails(&world.trusting("install anew.list"), 1, "list-shrinks");
    world.ok(&format!("{delegate} --previous dora.list --label carol --retired -o dora.list --yes"));
    world.ok(&world.trusting("install dora.list"));
    // With its certificate renewed.
    world.ok("issue --ca ca --renew --label dora --anyway --valid 1y -o dora.cert --force --yes");
    world.ok("attach --key dora.key dora.cert --force");
    world.ok(&format!("{delegate} --previous dora.list --refresh -o dora.list --yes"));
    world.ok(&world.trusting("install dora.list"));
    // One byte of what it grows from is another.
    let mut changed = world.bytes("dora.list");
    let end = changed.len() - 1;
    changed[end] ^= 1;
    fs::write(world.path("changed.list"), changed).unwrap();
    let args = format!("{delegate} --previous changed.list --label eve --retired -o x.list --yes");
    world.fails(&args, 1, "was it changed?");
    assert!(!world.path("x.list").exists());
}

/// What is revoked is not renewed with all others.
#[test]
fn renewing_passes_over_what_is_revoked() {
    let world = World::new();
    let serial = |label: &str| world.record(label)["serial"].as_str().unwrap().to_owned();
    fs::create_dir(world.path("out")).unwrap();
    world.ok(&format!("revoke --ca ca --serial {} --retired --yes", serial("alice")));
    world.ok("revoke --ca ca --certificate bob.cert --compromised-since -1d --yes");
    let said = world.ok("issue --ca ca --renew --ending-within 14d -o out --yes");
    assert!(said.contains("alice was not renewed: the CA's own list revokes"), "{said}");
    assert!(said.contains("bob was not renewed: the CA's own list revokes"), "{said}");
    let files: Vec<_> =
        fs::read_dir(world.path("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["carol.cert"]);
    for anyway in ["", "--anyway"] {
        world.fails(
            &format!("issue --ca ca --renew --label bob {anyway} -o x.cert --yes"),
            1,
            "was not renewed",
        );
        let by_serial =
            format!("issue --ca ca --renew --serial {} {anyway} -o x.cert --yes", serial("alice"));
        world.fails(&by_serial, 1, "was not renewed");
    }
    // A certificate that was a mistake is revoked by its serial: the one before it holds again.
    world.ok("issue --ca ca carol.request --permit web-* --host * -o mistake.cert --yes");
    world.ok("revoke --ca ca --certificate mistake.cert --by serial --retired --yes");
    let said = world.ok("issue --ca ca --renew --label carol --anyway --valid 1y -o x.cert --yes");
    assert!(said.contains("every package") && !said.contains("web-*"), "{said}");
    // A new key under the same label is not revoked by the old one's key.
    world.ok("key generate --name bob -o bob.key --force");
    world.ok("request --key bob.key -o bob.request --force");
    world.issue("bob", "--replace-key");
}

/// All by the files of a host, as its administrator has them.
#[test]
fn by_the_host_s_own_files() {
    let world = World::new();
    let held = world.path("var/lib/nixcert/revocation");
    let policy = format!(
        "version = 1\nrevocation-lists = \"{}\"\n[ca.acme-1]\npermitted-names = [\"*\"]\nusages = [\"import-paths\"]\n\
         oldest-list = \"30d\"\n",
        held.display()
    );
    fs::write(world.path("policy.toml"), policy).unwrap();
    fs::set_permissions(world.path("policy.toml"), Permissions::from_mode(0o644)).unwrap();
    let conf = format!(
        "trusted-ca-keys = {}\ntrusted-public-keys =\nca-policy-file = {}\n",
        world.ca_key,
        world.path("policy.toml").display()
    );
    fs::write(world.path("nix.conf"), conf).unwrap();
    world.ok("revoke --ca ca --label bob --compromised-since -50d -o acme.list --yes");
    fs::write(world.path("old.list"), redated(&world, -40)).unwrap();
    world.ok("revocation install old.list --nix-conf nix.conf");
    world.fails("revocation show --nix-conf nix.conf", 1, "which the policy calls too old");
    world.ok("revocation install acme.list --nix-conf nix.conf");
    assert_eq!(
        tree(&held).iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "list")).count(),
        1
    );
    world.ok("revocation show --nix-conf nix.conf");
    let query = format!("revocation query {} --nix-conf nix.conf", held.display());
    world.fails(&format!("{query} --certificate bob.cert"), 1, "revoked:");
    world.ok(&format!("{query} --certificate carol.cert"));
    // A policy that cannot be read says nothing of where its lists are.
    fs::write(world.path("policy.toml"), "version = 2\n").unwrap();
    world.fails("revocation install acme.list --nix-conf nix.conf", 2, "policy");
}

#[test]
fn no_secret_is_shown() {
    let world = World::new();
    world.ok("revoke --ca ca --refresh -o acme.list --yes");
    let key = world.read("alice.key");
    let secret = key.trim_end().split_once(':').unwrap().1;
    let delegate = world.delegate();
    for args in [
        "revoke --ca ca --certificate alice.key --retired --dry-run".to_owned(),
        format!("revoke --ca ca --key {secret} --retired --yes"),
        format!("revoke --ca ca --withdraw key:{secret} --yes"),
        format!("{delegate} --previous alice.key --label bob --retired -o x.list --yes"),
        format!(
            "revoke --sign-with dora.nixcert.key --ca-key {} --first --refresh -o x.list --yes",
            key.trim_end()
        ),
        "revocation show alice.key".to_owned(),
        world.trusting("install alice.key"),
        format!("revocation query acme.list --certificate alice.key --trusted-ca-keys {}", world.ca_key),
        format!("revocation query acme.list --key {secret} --trusted-ca-keys {}", world.ca_key),
    ] {
        let output = world.run(&args);
        let shown = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!shown.is_empty() && !shown.contains(&secret[..42]), "{args}: {shown}");
    }
}

#[test]
fn help_teaches_by_example() {
    let world = World::new();
    for command in [
        "revoke",
        "revocation show",
        "revocation query",
        "revocation verify",
        "revocation install",
        "revocation reset",
    ] {
        let output = world.run(&format!("{command} --help"));
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        assert!(help.contains(&format!("nixcert {command} ")) && help.contains("Exit status:"), "{help}");
    }
    fs::create_dir(world.path("man")).unwrap();
    world.ok("man man");
    for page in ["revoke", "revocation", "revocation-install", "revocation-reset", "revocation-query"] {
        assert!(world.path(&format!("man/nixcert-{page}.1")).exists(), "{page}");
    }
    let completions = String::from_utf8(world.run("completions bash").stdout).unwrap();
    assert!(
        completions.contains("--compromised-since") && completions.contains("nixcert__subcmd__revocation")
    );
}

#[test]
fn a_reader_that_leaves_is_no_panic() {
    let world = World::new();
    world.ok("revoke --ca ca --label bob --retired -o acme.list --yes");
    for args in [
        "revocation show acme.list",
        "revocation show --json acme.list",
        "revoke --ca ca --refresh --yes -o -",
    ] {
        let output = world.shell(&format!("nixcert {args} | true"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{args}: {said}");
    }
}
