//! A host looks at its files again whenever it is asked.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::*;
use nixcert_core::{Selector, Trust};
use nixcert_host::{Holdings, Host};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Machine {
    directory: TempDir,
    host: Host,
}

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let host = Host::new(trust(), Some(&directory.path().join("policy.toml")));
        Self { directory, host }
    }

    fn policy_path(&self) -> PathBuf {
        self.directory.path().join("policy.toml")
    }

    fn lists(&self) -> PathBuf {
        self.directory.path().join("lists")
    }

    /// Renamed to where it is, as every tool that replaces files does.
    fn write_policy(&self, text: &str) {
        let new = self.directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o644)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::rename(&new, self.policy_path()).unwrap();
    }

    fn policy(&self, protected: &str) -> String {
        format!(
            "version = 1\nrevocation-lists = \"{}\"\nprotected-names = [{protected}]\n\n\
             [ca.acme]\npermitted-names = [\"*\"]\nusages = [\"import-paths\"]\n",
            self.lists().display()
        )
    }

    fn install(&self, list: &[u8]) {
        Holdings::new(&self.lists()).install(list, &trust(), NOW).unwrap();
    }

    fn broken(&mut self) -> Option<String> {
        self.host.trust().broken.as_ref().map(ToString::to_string)
    }

    fn protected(&mut self) -> Vec<String> {
        self.host.trust().policy.protected_names.iter().map(ToString::to_string).collect()
    }

    fn revokes(&mut self, selector: &Selector) -> bool {
        let trust: &Trust = self.host.trust();
        trust.revocations.of(&ca().public()).iter().any(|list| list.entries().get(selector).is_some())
    }
}

#[test]
fn without_a_policy() {
    let mut host = Host::new(trust(), None);
    assert!(host.trust().broken.is_none());
    assert!(host.trust().policy.authorities.is_none());
    assert_eq!(host.revocation_lists(), Ok(None));
}

#[test]
fn a_policy_that_changes() {
    let mut machine = Machine::new();
    assert!(machine.broken().unwrap().contains("no such file"), "a policy that is named must be there");
    machine.write_policy(&machine.policy("\"sudo@\""));
    assert_eq!((machine.broken(), machine.protected()), (None, vec!["sudo@".to_owned()]));
    let lists = machine.lists();
    assert_eq!(machine.host.revocation_lists(), Ok(Some(lists.as_path())));
    // At once, though it is of the same size and second.
    machine.write_policy(&machine.policy("\"sado@\""));
    assert_eq!(machine.protected(), ["sado@"]);
    machine.write_policy("version = 2\n");
    assert!(machine.broken().unwrap().contains("version 2"));
    assert!(machine.host.revocation_lists().is_err());
    assert!(machine.protected().is_empty());
    machine.write_policy(&machine.policy("\"sudo@\""));
    assert_eq!((machine.broken(), machine.protected()), (None, vec!["sudo@".to_owned()]));
    fs::remove_file(machine.policy_path()).unwrap();
    assert!(
        machine.broken().unwrap().contains("no such file"),
        "a policy that is gone is not one without limits"
    );
    machine.write_policy(&machine.policy(""));
    assert_eq!(machine.broken(), None);
}

#[test]
fn a_policy_that_others_may_write() {
    let mut machine = Machine::new();
    machine.write_policy(&machine.policy(""));
    assert_eq!(machine.broken(), None);
    fs::set_permissions(machine.policy_path(), Permissions::from_mode(0o646)).unwrap();
    assert!(machine.broken().unwrap().contains("chmod go-w"));
    fs::set_permissions(machine.policy_path(), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(machine.broken(), None);
}

#[test]
fn lists_that_change() {
    let mut machine = Machine::new();
    machine.write_policy(&machine.policy(""));
    assert!(!machine.revokes(&label("bob")));
    machine.install(&by_ca(NOW - 9, &[(label("bob"), retired())]));
    assert!(machine.revokes(&label("bob")));
    machine.install(&by_ca(NOW - 8, &[(label("joe"), retired())]));
    assert!(!machine.revokes(&label("bob")), "the newest list counts, at the next decision");
    assert!(machine.revokes(&label("joe")));
    machine.install(&by_dora(NOW - 9, &[(label("eve"), retired())]));
    assert!(machine.revokes(&label("joe")) && machine.revokes(&label("eve")));
    machine.install(&by_ca(NOW - 7, &[(label("joe"), retired()), (label("dora"), compromised(NOW - DAY))]));
    assert!(!machine.revokes(&label("eve")), "her lists count no more");

    // Damaged, it is not known what it revokes; and what it was is not remembered.
    let path = Holdings::new(&machine.lists()).place(&ca().public(), &ca().public());
    fs::write(&path, b"junk").unwrap();
    assert!(problem(&mut machine).is_some());
    assert!(!machine.revokes(&label("joe")));
    fs::remove_file(&path).unwrap();
    assert_eq!(problem(&mut machine), None);
    machine.install(&by_ca(NOW - 7, &[(label("joe"), retired())]));
    assert!(machine.revokes(&label("joe")));
}

fn problem(machine: &mut Machine) -> Option<String> {
    machine.host.trust().revocations.problem(&ca().public()).map(str::to_owned)
}

/// Where the policy names another directory, the lists are those.
#[test]
fn a_policy_that_names_other_lists() {
    let mut machine = Machine::new();
    machine.write_policy(&machine.policy(""));
    machine.install(&by_ca(NOW - 9, &[(label("bob"), retired())]));
    assert!(machine.revokes(&label("bob")));
    let policy = machine.policy("").replace("/lists\"", "/other\"");
    machine.write_policy(&policy);
    assert!(!machine.revokes(&label("bob")));
    let other = machine.directory.path().join("other");
    Holdings::new(Path::new(&other))
        .install(&by_ca(NOW - 9, &[(label("joe"), retired())]), &trust(), NOW)
        .unwrap();
    assert!(machine.revokes(&label("joe")));
    // With a broken policy, nothing counts anyway.
    machine.write_policy("junk");
    assert!(machine.broken().is_some());
    assert!(!machine.revokes(&label("joe")));
}

/// A process that was started with mistaken keys stays broken, whatever the policy says.
#[test]
fn mistaken_keys() {
    let machine = Machine::new();
    machine.write_policy(&machine.policy(""));
    let error = trust().anchors.add("acme:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap_err();
    let mut host = Host::new(Trust { broken: Some(error), ..trust() }, Some(&machine.policy_path()));
    assert!(host.trust().broken.as_ref().unwrap().to_string().contains("acme"));
    machine.write_policy(&machine.policy("\"sudo@\""));
    assert!(host.trust().broken.is_some());
}
