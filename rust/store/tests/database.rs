//! Nix's database, made here with Nix's own tables.
#![expect(clippy::unwrap_used, reason = "tests")]

use nixcert_core::StorePath;
use nixcert_store::{CLOSURE_PATHS, Entry, SCHEMA, Store, StoreError};
use rusqlite::{Connection, params};
use std::time::Instant;
use tempfile::TempDir;

const DIGEST: &str = "syd87l2rxw8cbsxmxl853h0r6pdwhwjr";
/// SHA-256 of nothing, as the database and as a fingerprint has it.
const HASH: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NIX32: &str = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";

/// From Nix's schema.sql: what is read here, and the indexes that decide how fast.
const TABLES: &str = "
    pragma journal_mode = wal;
    create table ValidPaths (
        id integer primary key autoincrement not null, path text unique not null, hash text not null,
        registrationTime integer not null, deriver text, narSize integer, ultimate integer, sigs text, ca text
    );
    create table Refs (
        referrer integer not null, reference integer not null, primary key (referrer, reference),
        foreign key (referrer) references ValidPaths(id) on delete cascade,
        foreign key (reference) references ValidPaths(id) on delete restrict
    );
    create index IndexReferrer on Refs(referrer);
    create index IndexReference on Refs(reference);";

struct Nix {
    state: TempDir,
    database: Connection,
}

impl Nix {
    fn new() -> Self {
        let state = tempfile::tempdir().unwrap();
        std::fs::create_dir(state.path().join("db")).unwrap();
        std::fs::write(state.path().join("db/schema"), SCHEMA).unwrap();
        let database = Connection::open(state.path().join("db/db.sqlite")).unwrap();
        database.execute_batch(TABLES).unwrap();
        Self { state, database }
    }

    /// Names, and for each those to which it refers.
    fn with(paths: &[(&str, &[&str])]) -> Self {
        let nix = Self::new();
        for (name, _) in paths {
            nix.add(&text(name));
        }
        for (name, references) in paths {
            for reference in *references {
                nix.refer(name, reference);
            }
        }
        nix
    }

    fn add(&self, path: &str) {
        let add = "insert into ValidPaths (path, hash, registrationTime, narSize) values (?, ?, 7, 112)";
        self.database.execute(add, [path, HASH]).unwrap();
    }

    fn refer(&self, name: &str, reference: &str) {
        let add = "insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = ? and b.path = ?";
        assert_eq!(self.database.execute(add, [text(name), text(reference)]).unwrap(), 1);
    }

    fn open(&self) -> Store {
        Store::open(self.state.path()).unwrap()
    }

    fn entries(&self, top: &str) -> Result<Vec<Entry>, StoreError> {
        let mut store = self.open();
        let closure = store.closure(&path(top), CLOSURE_PATHS)?;
        closure.read(0..closure.len())
    }
}

fn text(name: &str) -> String {
    format!("/nix/store/{DIGEST}-{name}")
}

fn path(name: &str) -> StorePath {
    StorePath::parse(&text(name)).unwrap()
}

#[test]
fn a_closure_is_what_can_be_reached_once_each() {
    let nix = Nix::with(&[
        ("unrelated", &["top"]),
        ("top", &["left", "right", "top"]),
        ("left", &["bottom"]),
        ("right", &["bottom"]),
        ("bottom", &["ring"]),
        ("ring", &["bottom"]),
    ]);
    let entries = nix.entries("top").unwrap();
    let names: Vec<&str> = entries.iter().map(|entry| entry.info.path.name()).collect();
    assert_eq!(names, ["bottom", "left", "right", "ring", "top"]);
    let top = &entries[4].info;
    assert_eq!(top.references, ["left", "right", "top"].map(path).into());
    assert_eq!(top.fingerprint(), {
        let [left, right, top] = ["left", "right", "top"].map(text);
        format!("1;{top};sha256:{NIX32};112;{left},{right},{top}")
    });
}

#[test]
fn the_order_is_that_of_fingerprints() {
    // A character before `;` and one after it, behind a name that ends there.
    let nix = Nix::with(&[
        ("a", &["a-b", "a=b", "ab", "a0"]),
        ("a-b", &[]),
        ("a=b", &[]),
        ("ab", &[]),
        ("a0", &[]),
    ]);
    let entries = nix.entries("a").unwrap();
    let fingerprints: Vec<String> = entries.iter().map(|entry| entry.info.fingerprint()).collect();
    assert!(fingerprints.is_sorted(), "{fingerprints:?}");
    assert_eq!(entries[2].info.path, path("a"));
    let mut store = nix.open();
    let closure = store.closure(&path("a"), CLOSURE_PATHS).unwrap();
    assert!(closure.paths().eq(entries.iter().map(|entry| &entry.info.path)));
    assert_eq!(closure.read(1..3).unwrap(), entries[1..3]);
    assert!(matches!(closure.read(1..6), Err(StoreError::Range)));
}

#[test]
fn what_others_choose_is_read_as_it_is() {
    let nix = Nix::with(&[("a", &[])]);
    let set = "update ValidPaths set sigs = ?, ca = ?, deriver = ?, ultimate = 1";
    nix.database.execute(set, params!["k:AA==  \u{0}';--\t x ", "fixed:\n", ""]).unwrap();
    let entry = nix.entries("a").unwrap().remove(0);
    assert_eq!(entry.signatures, ["k:AA==", "\u{0}';--\t", "x"]);
    assert_eq!(entry.content_address.as_deref(), Some("fixed:\n"));
    assert_eq!((entry.registered, entry.ultimate, entry.deriver), (7, true, None));
    // Bytes that are not UTF-8 count for nothing, and hide nothing.
    nix.database
        .execute("update ValidPaths set sigs = cast(x'ff206b3a4141' as text), ultimate = 0", [])
        .unwrap();
    let entry = nix.entries("a").unwrap().remove(0);
    assert_eq!((entry.signatures, entry.ultimate), (vec!["\u{fffd}".to_owned(), "k:AA".to_owned()], false));
}

#[test]
fn a_row_that_nix_does_not_write_is_named() {
    let wrong_rows = [
        ("hash = 'sha256:' || upper(substr(hash, 8))", "hash"),
        ("hash = substr(hash, 1, 70)", "hash"),
        ("hash = replace(hash, 'sha256', 'sha512')", "hash"),
        ("hash = x'ff'", "hash"),
        ("narSize = 0", "size"),
        ("narSize = null", "size"),
        ("narSize = -1", "size"),
        ("narSize = 1e300", "size"),
        ("registrationTime = -1", "registration time"),
        ("registrationTime = 'x'", "registration time"),
        ("ultimate = 2", "mark of what was built here"),
    ];
    for (change, wrong) in wrong_rows {
        let nix = Nix::with(&[("top", &["a"]), ("a", &[])]);
        assert_eq!(nix.entries("top").unwrap().len(), 2);
        nix.database.execute(&format!("update ValidPaths set {change} where id = 2"), []).unwrap();
        match nix.entries("top").unwrap_err() {
            StoreError::Row { path: found, what } => {
                assert_eq!((found, what), (path("a"), wrong), "{change}")
            }
            other => unreachable!("{change}: {other}"),
        }
    }
    for name in ["x", "/nix/store/x", "/nix/store/..", "\u{0}", "/nix/store/é"] {
        let nix = Nix::with(&[("top", &["a"]), ("a", &[])]);
        nix.database.execute("update ValidPaths set path = ? where id = 2", [name]).unwrap();
        assert!(matches!(nix.entries("top"), Err(StoreError::Path { .. })), "{name}");
    }
    let nix = Nix::with(&[("top", &["a"]), ("a", &[])]);
    nix.database
        .execute("update ValidPaths set path = ? where id = 2", [text("a").replace("nix", "gnu")])
        .unwrap();
    assert!(matches!(nix.entries("top"), Err(StoreError::Directory { .. })));
}

#[test]
fn what_is_not_there_is_named() {
    let nix = Nix::with(&[("top", &["a"]), ("a", &[])]);
    assert!(matches!(nix.entries("b"), Err(StoreError::NotValid(missing)) if missing == path("b")));
    nix.database.execute_batch("pragma foreign_keys = off; delete from ValidPaths where id = 2").unwrap();
    assert!(matches!(nix.entries("top"), Err(StoreError::Dangling(from)) if from == path("top")));
}

#[test]
fn as_many_paths_as_the_limit_says() {
    let nix = Nix::with(&[("top", &["a", "top"]), ("a", &["b"]), ("b", &[])]);
    let mut store = nix.open();
    assert_eq!(store.closure(&path("top"), 3).unwrap().len(), 3);
    assert!(matches!(store.closure(&path("top"), 2), Err(StoreError::TooMany { limit: 2, .. })));
}

#[test]
fn a_closure_is_one_snapshot() {
    let nix = Nix::with(&[("top", &["a"]), ("a", &[])]);
    let mut store = nix.open();
    let closure = store.closure(&path("top"), CLOSURE_PATHS).unwrap();
    let before = closure.read(0..2).unwrap();
    nix.add(&text("new"));
    nix.refer("a", "new");
    nix.database.execute("update ValidPaths set sigs = 'k:AA==', narSize = 5", []).unwrap();
    assert_eq!(closure.read(0..2).unwrap(), before);
    drop(closure);
    let closure = store.closure(&path("top"), CLOSURE_PATHS).unwrap();
    assert_eq!(closure.len(), 3);
    assert_eq!(closure.read(0..1).unwrap()[0].signatures, ["k:AA=="]);
}

#[test]
fn a_database_of_another_kind() {
    let nix = Nix::with(&[("a", &[])]);
    let (schema, state) = (nix.state.path().join("db/schema"), nix.state.path());
    std::fs::write(&schema, "10\n").unwrap();
    assert!(Store::open(state).is_ok());
    std::fs::write(&schema, "11").unwrap();
    assert!(matches!(Store::open(state), Err(StoreError::Schema { found, .. }) if found == "11"));
    std::fs::remove_file(&schema).unwrap();
    assert!(matches!(Store::open(state), Err(StoreError::File(_))));
    std::fs::write(&schema, "10").unwrap();
    nix.database.execute_batch("pragma journal_mode = truncate").unwrap();
    assert!(matches!(Store::open(state), Err(StoreError::Journal(_))));
    std::fs::write(state.join("db/db.sqlite"), "no database").unwrap();
    assert!(matches!(Store::open(state), Err(StoreError::Open { .. })));
}

#[test]
fn reading_leaves_no_trace() {
    let nix = Nix::with(&[("a", &[])]);
    let files = || {
        let mut names: Vec<_> =
            std::fs::read_dir(nix.state.path().join("db")).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = files();
    assert_eq!(nix.entries("a").unwrap().len(), 1);
    assert_eq!(files(), before);
}

/// How long, and how much memory: `cargo test --release -p nixcert-store --test database -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement: half a minute without optimisation"]
fn large_closures() {
    for paths in [5_000_u32, 100_000] {
        let nix = Nix::new();
        nix.database.execute_batch("begin").unwrap();
        let name = |n: u32| format!("/nix/store/{:032}-package-{n}-1.2.3", n.wrapping_mul(0x9e37_79b9));
        for n in 0..paths {
            nix.add(&name(n));
            for k in 1..=10 {
                // Each refers to the one before, so that all can be reached, and to others.
                let to = if k == 1 { n } else { n / 11 * k + 1 };
                nix.database.execute("insert or ignore into Refs values (?, ?)", [n + 1, to.max(1)]).unwrap();
            }
        }
        let sigs = format!("update ValidPaths set sigs = '{0} {0}'", "k".repeat(300));
        nix.database.execute_batch(&format!("{sigs}; commit; pragma wal_checkpoint(truncate)")).unwrap();
        let top = StorePath::parse(&name(paths - 1)).unwrap();
        let start = Instant::now();
        let mut store = nix.open();
        let closure = store.closure(&top, CLOSURE_PATHS).unwrap();
        assert_eq!(closure.len(), paths as usize);
        let found = start.elapsed();
        let (mut references, mut next) = (0, 0);
        while next < closure.len() {
            let end = closure.len().min(next + 1000);
            references +=
                closure.read(next..end).unwrap().iter().map(|one| one.info.references.len()).sum::<usize>();
            next = end;
        }
        let read = start.elapsed() - found;
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let memory: u64 =
            status.split("VmHWM:").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
        println!(
            "{paths} paths, {references} references: found in {found:?}, read in {read:?}, {memory} KiB"
        );
        assert!(memory < 80 * 1024, "{memory} KiB");
    }
}
