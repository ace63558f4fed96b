//! A store made here with Nix's own tables, people with real keys, and a fixed clock.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]

use nixcert_core::{
    Cause, CertificateName, Extent, HostName, Instant, Label, Object, PathInfo, Revoked, Selector, Serial,
    Statement, StorePath, Trust, Usage, closure_digest, nix32,
};
use nixcert_gate::{CheckError, Meta, Question, Records, Stage, Verdict, Watcher, check};
use nixcert_host::{ActivationFile, Holdings, PolicyFile};
use nixcert_issue::{Draft, ListDraft, SecretKey, sign_path, sign_statement};
use nixcert_store::nar_hash;
use rusqlite::{Connection, params};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000;
pub const HOUR: u64 = 3_600;
pub const DAY: u64 = 24 * HOUR;

const TABLES: &str = "
    pragma journal_mode = wal;
    create table ValidPaths (
        id integer primary key autoincrement not null, path text unique not null, hash text not null,
        registrationTime integer not null, deriver text, narSize integer, ultimate integer, sigs text, ca text
    );
    create table Refs (
        referrer integer not null, reference integer not null, primary key (referrer, reference)
    );
    create index IndexReferrer on Refs(referrer);
    create index IndexReference on Refs(reference);";

const POLICY: &str =
    "version = 1\n[ca.acme]\nusages = [\"import-paths\", \"vouch-for-systems\"]\npermitted-names = [\"*\"]\n";

pub fn at(seconds: u64) -> Instant {
    Instant::from_seconds(seconds).unwrap()
}

pub struct Person {
    pub key: SecretKey,
    /// `LABEL.nixcert1.CERTIFICATE`.
    pub name: String,
}

fn ca() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

pub fn person(label: &str, usages: &[Usage]) -> Person {
    let seed = label.bytes().cycle().take(32).collect::<Vec<u8>>();
    let key = SecretKey::from_seed(&seed.try_into().unwrap());
    let draft = Draft {
        serial: Serial(label.len() as u64),
        label: label.to_owned(),
        subject: key.public(),
        not_before: at(NOW - 100 * DAY),
        not_after: at(NOW + 100 * DAY),
        usages: usages.iter().copied().collect(),
        path_length: 0,
        permitted_names: ["*".to_owned()].into(),
        excluded_names: Default::default(),
        hosts: ["*".to_owned()].into(),
        store_directories: Default::default(),
    };
    let certificate = draft.sign(&ca()).unwrap();
    let name = CertificateName::format(Label::parse(label.as_bytes()).unwrap(), &[certificate]);
    Person { key, name }
}

pub fn alice() -> Person {
    person("alice", &[Usage::ImportPaths, Usage::VouchForSystems])
}

pub fn bob() -> Person {
    person("bob", &[Usage::ImportPaths, Usage::VouchForSystems])
}

/// May import, and vouches for nothing.
pub fn mallory() -> Person {
    person("mallory", &[Usage::ImportPaths])
}

pub struct World {
    pub directory: TempDir,
    pub database: Connection,
    pub trust: Trust,
    pub activation: Option<ActivationFile>,
    pub verify_contents: bool,
    pub watcher: Patience,
}

/// Whoever asked for the answer.
#[derive(Default)]
pub struct Patience {
    pub cancelled: AtomicBool,
}

impl Watcher for Patience {
    fn progress(&self, _: Stage, _: usize, _: usize) {}

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

pub fn path(name: &str) -> StorePath {
    let digest: String =
        name.bytes().chain([b'0'; 32]).map(|byte| char::from(b'0' + byte % 10)).take(32).collect();
    StorePath::parse(&format!("/nix/store/{digest}-{name}")).unwrap()
}

impl World {
    /// Names, and for each those to which it refers. Each path is a file with its name in it.
    pub fn new(rules: &str, paths: &[(&str, &[&str])]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("nix/var/nix/db");
        fs::create_dir_all(&state).unwrap();
        fs::create_dir_all(directory.path().join("nix/store")).unwrap();
        fs::write(state.join("schema"), nixcert_store::SCHEMA).unwrap();
        let database = Connection::open(state.join("db.sqlite")).unwrap();
        database.execute_batch(TABLES).unwrap();
        let records = directory.path().join("records");
        let text = format!("{POLICY}[activation]\nrecords = \"{}\"\n{rules}", records.display());
        let file = PolicyFile::parse(&text).unwrap();
        let mut trust = Trust { policy: file.policy, ..Trust::default() };
        trust.anchors.add(&format!("acme:{}", ca().public())).unwrap();
        trust.host = Some(HostName::parse("web-1").unwrap());
        let world = Self {
            directory,
            database,
            trust,
            activation: file.activation,
            verify_contents: false,
            watcher: Patience::default(),
        };
        for (name, _) in paths {
            world.add(name, name);
        }
        for (name, references) in paths {
            references.iter().for_each(|reference| world.refer(name, reference));
        }
        world
    }

    pub fn real(&self, name: &str) -> PathBuf {
        self.directory.path().join(path(name).as_str().trim_start_matches('/'))
    }

    /// Anew, or with other contents.
    pub fn add(&self, name: &str, contents: &str) {
        fs::write(self.real(name), contents).unwrap();
        let found = nar_hash(&self.real(name)).unwrap();
        let hex: String = found.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let add = "insert into ValidPaths (path, hash, registrationTime, narSize) values (?1, ?2, ?3, ?4)
                   on conflict (path) do update set hash = ?2, narSize = ?4, sigs = null";
        let path = path(name).to_string();
        let row = params![path, format!("sha256:{hex}"), (NOW - DAY) as i64, found.size as i64];
        self.database.execute(add, row).unwrap();
    }

    pub fn refer(&self, name: &str, reference: &str) {
        let add = "insert into Refs select a.id, b.id from ValidPaths a, ValidPaths b where a.path = ? and b.path = ?";
        let paths = [path(name), path(reference)];
        assert_eq!(self.database.execute(add, paths.each_ref().map(StorePath::as_str)).unwrap(), 1);
    }

    pub fn delete(&self, name: &str) {
        self.database.execute("delete from ValidPaths where path = ?", [path(name).as_str()]).unwrap();
    }

    pub fn info(&self, name: &str) -> PathInfo {
        let found = nar_hash(&self.real(name)).unwrap();
        let mut references = self
            .database
            .prepare("select r.path from ValidPaths p join Refs on p.id = referrer join ValidPaths r on r.id = reference where p.path = ?")
            .unwrap();
        let references = references.query_map([path(name).as_str()], |row| row.get::<_, String>(0)).unwrap();
        PathInfo {
            path: path(name),
            nar_hash: nix32(&found.sha256),
            nar_size: found.size,
            references: references.map(|path| StorePath::parse(&path.unwrap()).unwrap()).collect(),
        }
    }

    pub fn add_signature(&self, name: &str, signature: &str) {
        let add = "update ValidPaths set sigs = coalesce(sigs || ' ', '') || ? where path = ?";
        assert_eq!(self.database.execute(add, [signature, path(name).as_str()]).unwrap(), 1);
    }

    pub fn signature(&self, person: &Person, name: &str) -> String {
        let object = Object::path(self.info(name).fingerprint().as_bytes()).unwrap();
        sign_path(&person.key, &person.name, &object).unwrap()
    }

    pub fn sign(&self, person: &Person, names: &[&str]) {
        for name in names {
            self.add_signature(name, &self.signature(person, name));
        }
    }

    /// A statement about these paths, the first of which is the top-level one.
    pub fn sign_closure(&self, person: &Person, names: &[&str], signed: u64) {
        let fingerprints = names.iter().map(|name| self.info(name).fingerprint());
        let statement = Statement {
            path: path(names[0]),
            closure: closure_digest(fingerprints).unwrap(),
            hosts: ["web-1".to_owned()].into(),
            signed: at(signed),
            not_after: at(NOW + 7 * DAY),
        };
        let signature = sign_statement(&person.key, &person.name, &statement.to_bytes().unwrap()).unwrap();
        self.add_signature(names[0], &signature);
    }

    pub fn revoke(&mut self, person: &Person, extent: Extent) {
        let entry = (Selector::Key(person.key.public()), Revoked { extent, cause: Cause::Unspecified });
        let draft = ListDraft {
            ca: ca().public(),
            certificates: Vec::new(),
            issued: at(NOW - HOUR),
            entries: [entry].into_iter().collect(),
        };
        let holdings = Holdings::new(&self.directory.path().join("lists"));
        holdings.install(&draft.sign(&ca()).unwrap(), &self.trust, NOW).unwrap();
        self.trust.revocations = holdings.revocations(&self.trust.anchors, self.trust.host.as_ref());
    }

    pub fn records(&self) -> Records {
        Records::new(&self.directory.path().join("records"))
    }

    pub fn question(&self, now: u64) -> Question<'_> {
        Question {
            trust: &self.trust,
            activation: self.activation.as_ref(),
            root: self.directory.path(),
            now: at(now),
            caller: Some("alice"),
            verify_contents: self.verify_contents,
            watcher: &self.watcher,
        }
    }

    pub fn ask(&self, top: &str, now: u64) -> Result<Verdict, CheckError> {
        check(&self.question(now), &path(top))
    }

    /// The code of the verdict.
    pub fn code(&self, top: &str) -> &'static str {
        self.ask(top, NOW).unwrap().code()
    }

    /// As `nixcert activate` does.
    pub fn activate(&self, top: &str, now: u64) -> Verdict {
        let verdict = self.ask(top, now).unwrap();
        let leave = verdict.outcome.as_ref().unwrap();
        let meta = Meta { time: at(now), user: "alice", action: "switch" };
        let valid = |path: &StorePath| {
            let count = "select count(*) from ValidPaths where path = ?";
            self.database.query_one(count, [path.as_str()], |row| row.get::<_, i64>(0)).unwrap() == 1
        };
        self.records().write(leave, meta, valid).unwrap();
        verdict
    }

    pub fn record_files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.records().directory())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".record"))
            .collect();
        names.sort();
        names
    }
}
