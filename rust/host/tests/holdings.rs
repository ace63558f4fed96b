//! What a host takes up, and what it does not (FORMAT L10 to L12).

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::*;
use nixcert_core::{Clock, HostName, Policy, Revocations, Trust};
use nixcert_host::{Action, Holdings, HoldingsError, Installed};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Store {
    directory: TempDir,
    trust: Trust,
}

impl Store {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), trust: trust() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("lists")
    }

    fn holdings(&self) -> Holdings {
        Holdings::new(&self.path())
    }

    fn install(&self, list: &[u8]) -> Result<Installed, HoldingsError> {
        self.holdings().install(list, &self.trust, NOW)
    }

    fn reset(&self, list: &[u8]) -> Result<Installed, HoldingsError> {
        self.holdings().reset(list, &self.trust, NOW)
    }

    #[track_caller]
    fn ok(&self, list: &[u8]) -> Installed {
        self.install(list).unwrap()
    }

    /// It is refused for this reason, and nothing is different.
    #[track_caller]
    fn refused(&self, list: &[u8], code: &str) {
        let before = tree(&self.path());
        let error = self.install(list).unwrap_err();
        assert_eq!(error.code(), Some(code), "{error}");
        assert!(!error.advice().is_empty());
        assert_eq!(tree(&self.path()), before);
    }

    fn revocations(&self) -> Revocations {
        self.holdings().revocations(&self.trust.anchors, self.trust.host.as_ref())
    }

    /// How many lists of the CA count.
    fn count(&self) -> usize {
        self.revocations().of(&ca().public()).len()
    }

    fn problem(&self) -> Option<String> {
        self.revocations().problem(&ca().public()).map(str::to_owned)
    }

    fn log(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path().join("log")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// All files with their contents, but for the lock.
fn tree(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else if !path.ends_with(".lock") {
            files.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn one_after_the_other() {
    let store = Store::new();
    assert_eq!(store.count(), 0);
    assert!(store.problem().unwrap().contains("is not there"), "it may be what was not mounted");
    fs::create_dir(store.path()).unwrap();
    assert_eq!(store.problem(), None, "there is none yet");
    fs::remove_dir(store.path()).unwrap();

    let first = store.ok(&by_ca(NOW - 2, &[(label("bob"), retired())]));
    assert_eq!((first.action, first.ca.as_str(), first.of_the_ca), (Action::Install, "acme", true));
    assert_eq!((first.replaced, first.entries), (None, 1));
    assert_eq!(fs::metadata(&first.path).unwrap().permissions().mode() & 0o777, 0o644);

    let same = store.ok(&by_ca(NOW - 2, &[(label("bob"), retired())]));
    assert_eq!(same.action, Action::None);

    let second = store.ok(&by_ca(NOW - 1, &[]));
    assert_eq!(second.replaced, Some(at(NOW - 2)), "a CA's own list may say less");
    assert_eq!(store.count(), 1);
    store.refused(&by_ca(NOW - 2, &[(label("bob"), retired())]), "list-older-than-held");
    store.refused(&by_ca(NOW - 1, &[(label("bob"), retired())]), "list-older-than-held");
    assert_eq!(store.log().len(), 2, "what changed nothing is not in the log");
}

#[test]
fn each_signer_has_its_own() {
    let store = Store::new();
    store.ok(&by_ca(NOW, &[(label("bob"), retired())]));
    store.ok(&by_dora(NOW - DAY, &[(label("carol"), retired())]));
    store.ok(&by_other_ca(NOW - DAY, &[]));
    assert_eq!(store.count(), 2);
    assert_eq!(store.revocations().of(&other_ca().public()).len(), 1);
    assert_eq!(store.revocations().proven_time(&ca().public()), Some(at(NOW)));
}

#[test]
fn a_delegates_only_grows() {
    let store = Store::new();
    store.ok(&by_dora(NOW - 9, &[(label("bob"), retired())]));
    store.refused(&by_dora(NOW - 8, &[]), "list-shrinks");
    store.refused(&by_dora(NOW - 8, &[(label("carol"), compromised(NOW - DAY))]), "list-shrinks");
    store.ok(&by_dora(NOW - 8, &[(label("bob"), retired()), (label("carol"), retired())]));
    store.ok(&by_dora(NOW - 7, &[(label("bob"), compromised(NOW - DAY)), (label("carol"), retired())]));
    // Less far, and later.
    store.refused(
        &by_dora(NOW - 6, &[(label("bob"), retired()), (label("carol"), retired())]),
        "list-shrinks",
    );
    let later = compromised(NOW - DAY + 1);
    store.refused(&by_dora(NOW - 6, &[(label("bob"), later), (label("carol"), retired())]), "list-shrinks");
    let earlier = compromised(NOW - DAY - 1);
    store.ok(&by_dora(NOW - 6, &[(label("bob"), earlier), (label("carol"), retired())]));
    // With a renewed certificate, it is the same signer.
    let renewed = vec![certificate(&dora(), &ca(), &Terms { serial: 70, ..Terms::default() })];
    store.refused(&by_dora_with(renewed.clone(), NOW - 5, &[]), "list-shrinks");
    store.ok(&by_dora_with(renewed, NOW - 5, &[(label("bob"), earlier), (label("carol"), retired())]));
    assert_eq!(store.count(), 1);
}

/// L8: below an intermediate, the same entries revoke less.
#[test]
fn a_delegates_does_not_grow_narrower() {
    let entries = [(label("bob"), retired())];
    let store = Store::new();
    store.ok(&by_dora_with(doras_below_the_team(), NOW - 9, &entries));
    store.ok(&by_dora(NOW - 8, &entries));
    store.refused(&by_dora_with(doras_below_the_team(), NOW - 7, &entries), "list-shrinks");
}

#[test]
fn whose_it_is() {
    let store = Store::new();
    let mut list = by_ca(NOW, &[(label("bob"), retired())]);
    let last = list.len() - 1;
    list[last] ^= 1;
    store.refused(&list, "bad-list-signature");
    store.refused(b"", "malformed-list");
    store.refused(b"\x01", "malformed-list");
    store.refused(b"alice.nixcert1.aeaq", "unknown-version");
    store.refused(&[by_ca(NOW, &[]), vec![0]].concat(), "bad-list-signature");
    let stranger = certificate(&dora(), &other_ca(), &Terms::default());
    store.refused(&by_dora_with(vec![stranger], NOW, &[]), "list-of-another-ca");
    let usages = [nixcert_core::Usage::ImportPaths];
    let without = certificate(&dora(), &ca(), &Terms { usages: &usages, ..Terms::default() });
    store.refused(&by_dora_with(vec![without], NOW, &[]), "missing-usage");
    let elsewhere = certificate(&dora(), &ca(), &Terms { hosts: "db-1", ..Terms::default() });
    store.refused(&by_dora_with(vec![elsewhere], NOW, &[]), "host-not-permitted");
    let ended = certificate(&dora(), &ca(), &Terms { not_after: NOW, ..Terms::default() });
    store.refused(&by_dora_with(vec![ended.clone()], NOW, &[]), "expired");
    store.ok(&by_dora_with(vec![ended], NOW - 1, &[]));
    let mut only_the_other = Store::new();
    only_the_other.trust.anchors = Default::default();
    only_the_other.trust.anchors.add(&format!("other:{}", other_ca().public())).unwrap();
    only_the_other.refused(&by_ca(NOW, &[]), "untrusted-ca");
}

#[test]
fn of_a_time_to_come() {
    let mut store = Store::new();
    store.refused(&by_ca(NOW + DAY + 1, &[]), "list-in-the-future");
    store.ok(&by_ca(NOW + DAY, &[]));

    let mut store_of_later = Store::new();
    store_of_later.trust.policy = Policy { earliest_time: Some(at(NOW + 9 * DAY)), ..Policy::default() };
    store_of_later.ok(&by_ca(NOW + 10 * DAY, &[]));

    // A delegate's list makes no room for its next; the CA's own does.
    let ratchet = Store::new();
    ratchet.ok(&by_dora(NOW + DAY, &[]));
    ratchet.refused(&by_dora(NOW + DAY + 1, &[]), "list-in-the-future");
    ratchet.ok(&by_ca(NOW + DAY, &[]));
    ratchet.ok(&by_dora(NOW + 2 * DAY, &[]));
    ratchet.refused(&by_dora(NOW + 2 * DAY + 1, &[]), "list-in-the-future");

    // A clock that may be behind says nothing against it.
    store.trust.policy = Policy { clock: Clock::LowerBound, ..Policy::default() };
    store.ok(&by_ca(NOW + 1_000 * DAY, &[]));
}

#[test]
fn a_revoked_signer() {
    let entries = [(label("bob"), retired())];
    for (revoked, kept) in [(retired(), 2), (compromised(NOW - DAY), 1)] {
        // By key, by label, and by serial.
        for selector in [key(&dora()), label("dora"), nixcert_core::Selector::Serial(nixcert_core::Serial(7))]
        {
            let store = Store::new();
            store.ok(&by_dora(NOW - 9, &entries));
            store.ok(&by_ca(NOW - 8, &[(selector.clone(), revoked)]));
            assert_eq!(store.count(), kept, "{selector}");
            let newer = by_dora(NOW - 7, &[(label("bob"), retired()), (label("carol"), retired())]);
            store.refused(&newer, "list-signer-revoked");
            // That is not for the administrator to set aside.
            assert_eq!(store.reset(&newer).unwrap_err().code(), Some("list-signer-revoked"));
            match kept {
                2 => assert_eq!(
                    store.ok(&by_dora(NOW - 9, &entries)).action,
                    Action::None,
                    "it is held already"
                ),
                _ => store.refused(&by_dora(NOW - 9, &entries), "list-signer-revoked"),
            }
        }
    }
    // "The lists of delegates have no effect on lists."
    let store = Store::new();
    store.ok(&by_dora(NOW - 9, &[(label("dora"), compromised(NOW - DAY)), (key(&dora()), retired())]));
    store.ok(&by_dora(NOW - 8, &[(label("dora"), compromised(NOW - DAY)), (key(&dora()), retired())]));
    // A list of the CA that revokes nobody any more lets her speak again.
    let store = Store::new();
    store.ok(&by_ca(NOW - 9, &[(key(&dora()), retired())]));
    store.refused(&by_dora(NOW - 9, &entries), "list-signer-revoked");
    store.ok(&by_ca(NOW - 8, &[]));
    store.ok(&by_dora(NOW - 9, &entries));
}

#[test]
fn what_is_held_and_cannot_be_read() {
    let store = Store::new();
    let path = store.ok(&by_ca(NOW - 9, &[(label("bob"), retired())])).path;
    for damage in [b"".as_slice(), b"junk", &by_ca(NOW - 9, &[])[1..]] {
        fs::write(&path, damage).unwrap();
        assert!(store.problem().unwrap().contains(".list'"), "{:?}", store.problem());
        let error = store.install(&by_ca(NOW - 8, &[])).unwrap_err();
        assert!(matches!(error, HoldingsError::HeldUnreadable { .. }), "{error}");
        assert_eq!(error.code(), None);
        assert_eq!(fs::read(&path).unwrap(), damage);
    }
    // Of another signer it can be taken up, and of another CA.
    store.ok(&by_dora(NOW - 8, &[]));
    store.ok(&by_other_ca(NOW - 8, &[]));
    assert_eq!(store.revocations().problem(&other_ca().public()), None);
    assert!(store.problem().is_some());

    let reset = store.reset(&by_ca(NOW - 8, &[])).unwrap();
    assert_eq!((reset.action, reset.replaced), (Action::Reset, None));
    assert_eq!(store.problem(), None);
    assert_eq!(store.log().last().unwrap()["action"], "reset");
}

#[test]
fn reset_sets_aside_what_is_held() {
    let store = Store::new();
    let newer = [(label("bob"), retired()), (label("carol"), retired())];
    store.ok(&by_dora(NOW - 8, &newer));
    store.ok(&by_ca(NOW - 8, &newer));
    // Older, shrunken, and of a time to come.
    for list in [
        by_ca(NOW - 9, &[]),
        by_ca(NOW + 99 * DAY, &[]),
        by_dora(NOW - 9, &newer[..1]),
        by_dora(NOW - 8, &[]),
    ] {
        assert!(store.install(&list).is_err());
        assert_eq!(store.reset(&list).unwrap().action, Action::Reset);
        assert_eq!(store.reset(&list).unwrap().action, Action::None);
    }
    // But not whose it is.
    let mut forged = by_ca(NOW - 9, &[]);
    forged[50] ^= 1;
    assert!(store.reset(&forged).is_err());
    let actions: Vec<_> =
        store.log().iter().map(|line| line["action"].as_str().unwrap().to_owned()).collect();
    assert_eq!(actions, ["install", "install", "reset", "reset", "reset", "reset"]);
}

#[test]
fn a_line_for_each_change() {
    let store = Store::new();
    let first = store.ok(&by_ca(NOW - 9, &[]));
    store.ok(&by_ca(NOW - 8, &[]));
    let log = store.log();
    assert_eq!(log[0]["time"], at(NOW).to_string());
    assert_eq!((&log[0]["schema"], &log[0]["action"]), (&1.into(), &"install".into()));
    assert_eq!((&log[0]["ca"], &log[0]["signer"]), (&"acme".into(), &ca().public().to_string().into()));
    assert_eq!(
        (&log[0]["issued"], &log[0]["replaced"]),
        (&at(NOW - 9).to_string().into(), &serde_json::Value::Null)
    );
    assert_eq!(log[1]["replaced"], at(NOW - 9).to_string());
    // What cannot be written down is not done.
    let log = store.path().join("log");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    assert!(matches!(store.install(&by_ca(NOW - 7, &[])), Err(HoldingsError::File(_))));
    assert_eq!(store.revocations().proven_time(&ca().public()), Some(at(NOW - 8)));
    assert!(first.path.exists());
}

#[test]
fn a_list_under_another_name_hides_nobodys() {
    let store = Store::new();
    let path = store.ok(&by_ca(NOW - 9, &[])).path;
    let dora_s = store.ok(&by_dora(NOW - 9, &[])).path;
    assert_eq!(store.holdings().place(&ca().public(), &dora().public()), dora_s);
    // A delegate's list where the CA's should be.
    fs::copy(&dora_s, &path).unwrap();
    assert!(store.problem().unwrap().contains("another CA's or signer's"), "{:?}", store.problem());
    fs::remove_file(&path).unwrap();
    assert_eq!(store.problem(), None);
    // One under a name that is nobody's.
    fs::copy(&dora_s, path.with_file_name("mine.list")).unwrap();
    assert!(store.problem().unwrap().contains("mine.list"));
    fs::remove_file(path.with_file_name("mine.list")).unwrap();
    // Another CA's in this one's directory.
    fs::write(&path, by_other_ca(NOW, &[])).unwrap();
    assert!(store.problem().is_some());
    fs::remove_file(&path).unwrap();
    // What does not end in .list is none, such as what an interrupted process left behind.
    fs::write(path.with_file_name(".nixcert-abc"), b"half").unwrap();
    fs::write(store.path().join("README"), b"").unwrap();
    assert_eq!(store.problem(), None);
}

#[test]
fn a_list_that_was_put_there_by_hand() {
    let store = Store::new();
    store.ok(&by_ca(NOW - 9, &[]));
    fs::write(store.path().join("acme.list"), by_ca(NOW, &[(label("bob"), retired())])).unwrap();
    // Somebody believes that it counts: nobody knows what is revoked, of any CA.
    assert!(store.problem().unwrap().contains("put there by hand"));
    assert!(store.revocations().problem(&other_ca().public()).is_some());
    let error = store.install(&by_ca(NOW - 8, &[])).unwrap_err();
    assert!(matches!(error, HoldingsError::Directory { .. }), "{error}");
}

#[test]
fn what_cannot_be_looked_at_is_not_known() {
    // In the place of a directory, a file.
    let store = Store::new();
    fs::write(store.path(), b"").unwrap();
    assert!(store.problem().is_some());
    assert!(store.install(&by_ca(NOW, &[])).is_err());
    // A circle of links, and one to nowhere.
    for target in ["lists", "nowhere"] {
        let store = Store::new();
        symlink(target, store.path()).unwrap();
        assert!(store.problem().is_some(), "{target}");
        assert!(store.install(&by_ca(NOW, &[])).is_err(), "{target}");
    }
    let store = Store::new();
    let path = store.ok(&by_ca(NOW - 9, &[])).path;
    fs::remove_file(&path).unwrap();
    symlink(&path, &path).unwrap();
    assert!(store.problem().is_some());
    assert!(matches!(store.install(&by_ca(NOW, &[])), Err(HoldingsError::HeldUnreadable { .. })));
    // One level up.
    let of_the_ca = path.parent().unwrap();
    fs::remove_dir_all(of_the_ca).unwrap();
    symlink(of_the_ca, of_the_ca).unwrap();
    assert!(store.problem().is_some());
    assert!(matches!(store.install(&by_ca(NOW, &[])), Err(HoldingsError::HeldUnreadable { .. })));
    // Nothing of a CA that is not trusted matters.
    let mut store = store;
    store.trust.anchors = Default::default();
    store.trust.anchors.add(&format!("other:{}", other_ca().public())).unwrap();
    assert_eq!(store.revocations().problem(&other_ca().public()), None);
}

/// Root reads every directory, so this says something only for others.
#[test]
fn a_directory_that_may_not_be_read() {
    let store = Store::new();
    let path = store.ok(&by_ca(NOW - 9, &[(label("bob"), retired())])).path;
    let of_the_ca = path.parent().unwrap().to_owned();
    fs::set_permissions(&of_the_ca, Permissions::from_mode(0o300)).unwrap();
    if fs::read_dir(&of_the_ca).is_ok() {
        println!("SKIPPED: this user may read everything");
    } else {
        assert!(store.problem().unwrap().contains("permission denied"));
        assert!(matches!(store.install(&by_ca(NOW - 8, &[])), Err(HoldingsError::HeldUnreadable { .. })));
    }
    fs::set_permissions(&of_the_ca, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_host_that_was_renamed() {
    let mut store = Store::new();
    let chain = vec![certificate(&dora(), &ca(), &Terms { hosts: "web-?", ..Terms::default() })];
    store.ok(&by_dora_with(chain, NOW - 9, &[]));
    store.trust.host = Some(HostName::parse("db-1").unwrap());
    assert!(store.problem().is_some(), "nobody knows any more what it revokes");
    store.trust.host = Some(HostName::parse("web-2").unwrap());
    assert_eq!(store.problem(), None);
}

#[test]
fn many_at_once() {
    let store = Store::new();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let store = &store;
            scope.spawn(move || {
                // Each installs the CA's lists in another order, and one reads.
                for step in 0..12 {
                    let issued = NOW - 100 + (number * 5 + step * 7) % 12;
                    match store.install(&by_ca(issued, &[(label("bob"), retired())])) {
                        Ok(_) | Err(HoldingsError::Older { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                    assert_eq!(store.problem(), None, "nobody ever sees half a list");
                }
            });
        }
    });
    assert_eq!(store.revocations().proven_time(&ca().public()), Some(at(NOW - 89)));
    // Whoever replaced a list replaced an older one.
    let mut last = String::new();
    for line in store.log() {
        let issued = line["issued"].as_str().unwrap().to_owned();
        assert!(issued > last, "{issued} after {last}");
        last = issued;
    }
    let files = tree(&store.path());
    assert_eq!(files.len(), 2, "a list and the log, and nothing half-written: {files:?}");
}

/// A process that is killed while it writes leaves a file under another name, and perhaps a line in the log.
#[test]
fn after_an_interruption() {
    let store = Store::new();
    let list = by_ca(NOW - 9, &[(label("bob"), retired())]);
    let path = store.ok(&list).path;
    let half = path.with_file_name(".nixcert-Xy12");
    fs::write(&half, &by_ca(NOW - 8, &[])[..40]).unwrap();
    fs::write(store.path().join("log"), fs::read_to_string(store.path().join("log")).unwrap() + "{\"sch")
        .unwrap();
    assert_eq!((store.problem(), store.count()), (None, 1));
    assert_eq!(store.ok(&list).action, Action::None);
    store.ok(&by_ca(NOW - 8, &[]));
    assert_eq!(store.revocations().proven_time(&ca().public()), Some(at(NOW - 8)));
    let log = fs::read_to_string(store.path().join("log")).unwrap();
    let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["issued"], at(NOW - 8).to_string());
}

/// The directory outlasts a roll-back of the system: nothing in it is under the old list's name.
#[test]
fn rolled_back_with_its_policy() {
    let store = Store::new();
    store.ok(&by_ca(NOW - 8, &[(label("bob"), retired())]));
    // A system of yesterday brings yesterday's list again, and is refused.
    store.refused(&by_ca(NOW - 9, &[]), "list-older-than-held");
    assert_eq!(store.count(), 1);
}

/// A signature protects what a list says, and not that it is there.
#[test]
fn directories_that_others_could_empty() {
    let store = Store::new();
    let list = store.ok(&by_ca(NOW, &[(label("bob"), retired())])).path;
    let of_ca = list.parent().unwrap();
    for directory in [store.path().as_path(), of_ca] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(store.problem().unwrap().contains("chmod go-w"));
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(store.problem(), None);
    }
    // By hand, below a name that is not the CA's key in the one encoding.
    let by_hand = of_ca.with_file_name("acme");
    fs::create_dir(&by_hand).unwrap();
    assert_eq!(store.problem(), None);
    fs::copy(&list, by_hand.join("mine.list")).unwrap();
    assert!(store.problem().unwrap().contains("by hand"));
}
