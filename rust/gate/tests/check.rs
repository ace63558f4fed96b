//! The whole check on a directory with a store's state, and what is remembered of it.
#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{DAY, HOUR, NOW, World, alice, at, bob, mallory, path};
use nixcert_core::{Basis, Extent};
use nixcert_gate::{CheckError, InProgress, Lock, LockError, Refusal, this_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::Ordering;

const SYSTEM: &[(&str, &[&str])] = &[("system", &["etc", "sudo"]), ("etc", &["etc"]), ("sudo", &[])];
const PATHS: &[&str] = &["system", "etc", "sudo"];

fn signed() -> World {
    let world = World::new("", SYSTEM);
    world.sign_closure(&alice(), PATHS, NOW - HOUR);
    world
}

#[test]
fn a_closure_that_is_signed_as_it_is() {
    let world = signed();
    let verdict = world.ask("system", NOW).unwrap();
    assert_eq!((verdict.code(), verdict.paths, verdict.signers()), ("accepted", 3, vec!["alice"]));
    assert_eq!(verdict.tally.with(Basis::ClosureSignature), 3);
    assert!(!verdict.verified_contents);
    // One reference more, to a path that is there.
    world.refer("sudo", "etc");
    let verdict = world.ask("system", NOW).unwrap();
    assert_eq!((verdict.code(), verdict.tally.left_over()), ("not-vouched-for", 3));
    assert!(!verdict.closure_signatures[0].covers && verdict.closure_signatures[0].outcome.is_ok());
}

#[test]
fn what_is_not_there_or_not_said() {
    let mut world = signed();
    assert_eq!(world.code("nothing"), "path-not-valid");
    // The policy was changed between two looks at it.
    let activation = world.activation.take();
    assert_eq!(world.code("system"), "no-activation-policy");
    world.activation = activation;
    assert_eq!(world.code("system"), "accepted");
    world.trust.policy.activation = None;
    assert_eq!(world.code("system"), "no-activation-policy");
}

#[test]
fn a_doctored_path_is_named_with_who_brought_it() {
    let world = signed();
    world.sign(&alice(), PATHS);
    world.activate("system", NOW - HOUR);
    let hers = world.signature(&alice(), "sudo");
    world.add("sudo", "doctored");
    world.sign(&mallory(), &["sudo"]);
    world.add_signature("sudo", &hers);
    let verdict = world.ask("system", NOW).unwrap();
    assert_eq!(verdict.code(), "not-vouched-for");
    let [left_over] = verdict.left_over.as_slice() else { panic!("{:?}", verdict.left_over) };
    assert_eq!((left_over.path.as_str(), left_over.reason), (path("sudo").as_str(), "bad-signature"));
    assert_eq!(left_over.signatures[0].label.as_deref(), Some("alice"), "what differs comes first");
    assert_eq!(left_over.signatures[1].code, Some("missing-usage"));
    assert_eq!(left_over.imported_by.len(), 1);
    assert_eq!(left_over.imported_by[0].label, "mallory");
    let was = left_over.was.as_ref().unwrap();
    assert_eq!((was.activated, was.vouched_for_by.as_slice()), (NOW - HOUR, ["alice".to_owned()].as_slice()));
    // The real one again.
    world.add("sudo", "sudo");
    assert_eq!(world.code("system"), "accepted");
}

#[test]
fn of_many_left_over_some_are_told() {
    let names: Vec<String> = (0..1_300).map(|n| format!("{n:05}")).collect();
    let mut paths: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), [].as_slice())).collect();
    let references: Vec<&str> = names.iter().map(String::as_str).collect();
    paths.push(("system", &references));
    let world = World::new("closure-signature = \"optional\"\n", &paths);
    let verdict = world.ask("system", NOW).unwrap();
    assert_eq!((verdict.tally.left_over(), verdict.left_over.len()), (1_301, 1_000));
    let told: Vec<&str> = verdict.left_over.iter().map(|left_over| left_over.path.as_str()).collect();
    assert!(told.is_sorted(), "the first of them, in order, whichever thread had them");
}

#[test]
fn deployments_never_go_back() {
    let world =
        World::new("", &[("old", &["sudo"]), ("new", &["sudo"]), ("other", &["sudo"]), ("sudo", &[])]);
    world.sign_closure(&alice(), &["old", "sudo"], NOW - 3 * HOUR);
    world.sign_closure(&alice(), &["other", "sudo"], NOW - 2 * HOUR);
    world.sign_closure(&alice(), &["new", "sudo"], NOW - HOUR);
    world.activate("old", NOW - 3 * HOUR);
    world.activate("new", NOW - HOUR);
    assert_eq!(world.code("other"), "older-deployment");
    assert_eq!(world.code("new"), "accepted", "the same statement again");
    let again = world.ask("old", NOW).unwrap();
    assert!(again.outcome.as_ref().unwrap().is_again(), "it was activated before");
    // The newest is collected, and something else activated: who signed last is known all the same.
    world.delete("new");
    world.activate("old", NOW);
    assert_eq!(world.record_files(), ["0001.record", "0002.record", "0003.record"]);
    assert_eq!(world.code("other"), "older-deployment");
    // Without any memory it would be accepted.
    for file in world.record_files() {
        fs::remove_file(world.records().directory().join(file)).unwrap();
    }
    assert_eq!(world.code("other"), "accepted");
}

#[test]
fn what_is_not_valid_any_more_is_forgotten() {
    let world = World::new("", &[("old", &["sudo"]), ("new", &["sudo"]), ("sudo", &[])]);
    world.sign_closure(&alice(), &["old", "sudo"], NOW - 3 * HOUR);
    world.sign_closure(&alice(), &["new", "sudo"], NOW - HOUR);
    world.activate("old", NOW - 3 * HOUR);
    world.delete("old");
    world.activate("new", NOW - HOUR);
    world.activate("new", NOW);
    assert_eq!(world.record_files(), ["0003.record"], "and the same once more is there once");
}

/// Bob's deployment on top of Alice's, of which it keeps `sudo` as it is.
fn on_top() -> World {
    let world = World::new("", &[("old", &["sudo"]), ("new", &["sudo", "etc"]), ("sudo", &[]), ("etc", &[])]);
    world.sign_closure(&alice(), &["old", "sudo"], NOW - 10 * DAY);
    world.activate("old", NOW - 10 * DAY);
    let bobs = World::new("", &[("new", &["sudo", "etc"]), ("sudo", &[]), ("etc", &[])]);
    bobs.add("sudo", "as Bob has built it");
    bobs.sign_closure(&bob(), &["new", "sudo", "etc"], NOW - HOUR);
    for name in ["new", "etc"] {
        bobs.sign(&bob(), &[name]);
        let select = "select sigs from ValidPaths where path = ?";
        let signatures: String =
            bobs.database.query_one(select, [path(name).as_str()], |row| row.get(0)).unwrap();
        world.add_signature(name, &signatures);
    }
    world
}

#[test]
fn on_top_of_what_was_activated() {
    let mut world = on_top();
    let verdict = world.ask("new", NOW).unwrap();
    assert_eq!((verdict.code(), verdict.tally.with(Basis::Earlier)), ("accepted", 1));
    world.revoke(&alice(), Extent::Retired);
    assert_eq!(world.code("new"), "accepted", "who retired has vouched");
    let mut world = on_top();
    world.revoke(&alice(), Extent::Compromised { since: at(NOW - DAY) });
    assert_eq!(world.code("new"), "accepted", "it was not she that was compromised then");
    let mut world = on_top();
    world.revoke(&alice(), Extent::Compromised { since: at(NOW - 11 * DAY) });
    let verdict = world.ask("new", NOW).unwrap();
    assert_eq!(verdict.code(), "not-vouched-for");
    assert_eq!(verdict.left_over[0].path, path("sudo").as_str());
    assert!(verdict.left_over[0].earlier[0].message.contains("alice"), "{:?}", verdict.left_over[0].earlier);
}

#[test]
fn how_long_it_is_known_is_carried_on() {
    let mut world = on_top();
    world.activate("new", NOW - HOUR);
    world.delete("old");
    // The record of Alice's own deployment is pruned with this one.
    world.activate("new", NOW);
    assert_eq!(world.record_files().len(), 1);
    world.revoke(&alice(), Extent::Compromised { since: at(NOW - DAY) });
    assert_eq!(world.code("new"), "accepted");
    let mut world = on_top();
    world.activate("new", NOW - HOUR);
    world.revoke(&alice(), Extent::Compromised { since: at(NOW - 11 * DAY) });
    assert_eq!(world.code("new"), "not-vouched-for");
}

#[test]
fn records_that_cannot_be_read_close_the_gate() {
    let world = signed();
    world.activate("system", NOW);
    let directory = world.records().directory().to_owned();
    let file = directory.join("0001.record");
    let good = fs::read(&file).unwrap();
    let refused = |text: &str| {
        let verdict = world.ask("system", NOW).unwrap();
        let [refusal @ Refusal::RecordsUnreadable(_)] = verdict.refusals() else {
            panic!("{:?}", verdict.refusals())
        };
        assert_eq!(refusal.code(), "records-unreadable");
        let said = refusal.to_string();
        assert!(said.contains(directory.to_str().unwrap()) && said.contains(text), "{said}");
    };
    for (bytes, text) in [
        (&good[..good.len() - 1], "as many paths"),
        (&good[..10], "header"),
        (b"{}\n".as_slice(), "missing field"),
        (b"", "header"),
    ] {
        fs::write(&file, bytes).unwrap();
        refused(text);
    }
    let text = String::from_utf8_lossy(&good).replacen("\"schema\":1", "\"schema\":2", 1);
    fs::write(&file, text.as_bytes()).unwrap();
    refused("");
    fs::write(&file, &good).unwrap();
    for (path, mode, bad) in [(&file, 0o644, 0o664), (&directory, 0o755, 0o757)] {
        fs::set_permissions(path, fs::Permissions::from_mode(bad)).unwrap();
        refused("chmod go-w");
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(world.code("system"), "accepted");
    }
    fs::rename(&file, directory.join("one.record")).unwrap();
    refused("not a number");
}

#[test]
fn contents_are_read_where_that_is_asked_for() {
    for rules in ["", "verify-contents = \"always\"\n"] {
        let mut world = World::new(rules, SYSTEM);
        world.sign_closure(&alice(), PATHS, NOW - HOUR);
        world.verify_contents = rules.is_empty();
        let verdict = world.ask("system", NOW).unwrap();
        assert_eq!((verdict.code(), verdict.verified_contents), ("accepted", true));
        fs::write(world.real("sudo"), "behind Nix's back").unwrap();
        let verdict = world.ask("system", NOW).unwrap();
        assert_eq!((verdict.code(), verdict.differing.len()), ("contents-differ", 1));
        assert_eq!(verdict.differing[0].path, path("sudo"));
        fs::remove_file(world.real("sudo")).unwrap();
        assert_eq!(world.code("system"), "contents-differ", "what is gone differs, too");
    }
    let world = signed();
    fs::write(world.real("sudo"), "behind Nix's back").unwrap();
    assert_eq!(world.code("system"), "accepted", "nobody asked");
}

#[test]
fn who_waits_can_stop() {
    let world = signed();
    world.watcher.cancelled.store(true, Ordering::Relaxed);
    assert!(matches!(world.ask("system", NOW), Err(CheckError::Cancelled)));
}

#[test]
fn one_at_a_time_and_who_it_is() {
    let world = signed();
    let records = world.records();
    records.prepare().unwrap();
    let lock = Lock::take(&records, "alice's").unwrap();
    let Err(LockError::Taken(who)) = Lock::take(&records, "bob's") else { panic!("both have it") };
    assert_eq!(who, "alice's");
    drop(lock);
    drop(Lock::take(&records, "bob's").unwrap());

    assert_eq!(InProgress::read(&records).unwrap(), None);
    let (pid, process) = this_process();
    let announced = InProgress {
        from: None,
        to: path("system").to_string(),
        action: "switch".to_owned(),
        user: "alice".to_owned(),
        time: at(NOW).to_string(),
        pid,
        process,
    };
    announced.write(&records).unwrap();
    assert!(InProgress::read(&records).unwrap().unwrap().is_running());
    assert!(!InProgress { process: process + 1, ..announced }.is_running(), "another with the same number");
    InProgress::remove(&records).unwrap();
    InProgress::remove(&records).unwrap();
    assert_eq!(InProgress::read(&records).unwrap(), None);
}
