//! What the vectors hold: the only things that were ever signed.

use nixcert_core::{CLOSURE_MARK, ClosureName, base32_decode, base64_decode};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// Of how many signatures that are written as one entry some are taken.
const JUNK: u64 = 3;

/// One vector that is about an object.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) realisation: bool,
    pub(crate) fingerprint: String,
    pub(crate) store_directory: String,
    pub(crate) now: u64,
    pub(crate) registered: Option<u64>,
    pub(crate) host: Option<String>,
    pub(crate) ca_keys: Vec<String>,
    pub(crate) public_keys: Vec<String>,
    pub(crate) policy: Option<Value>,
    pub(crate) lists: Vec<Held>,
    pub(crate) signatures: Vec<Vec<u8>>,
}

/// One vector that is about a closure.
#[derive(Clone, Debug)]
pub(crate) struct Closure {
    /// The host, with no object.
    pub(crate) host: Case,
    pub(crate) caller: Option<String>,
    /// The newest statement by which something was activated.
    pub(crate) last: Option<Vec<u8>>,
    pub(crate) again: bool,
    /// The top-level path first.
    pub(crate) paths: Vec<ClosurePath>,
}

#[derive(Clone, Debug)]
pub(crate) struct ClosurePath {
    pub(crate) fingerprint: String,
    pub(crate) signatures: Vec<Vec<u8>>,
    pub(crate) content_addressed: Option<bool>,
    pub(crate) earlier: Vec<Record>,
}

/// Who vouched for a path in an earlier deployment.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) activated: u64,
    pub(crate) vouchers: Vec<RecordedVoucher>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordedVoucher {
    Itself,
    /// `NAME:BASE64`
    Vendor(String),
    /// The name of a certificate signature.
    Person(String),
}

/// A list that a host holds.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    Bytes(Vec<u8>),
    /// Of the CA of that name.
    Unreadable(String),
}

/// All of them.
pub(crate) struct Vectors {
    pub(crate) cases: Vec<Case>,
    pub(crate) closures: Vec<Closure>,
    /// Names of signatures that hold a certificate; of closure signatures, too.
    pub(crate) names: BTreeSet<Vec<u8>>,
    pub(crate) certificates: BTreeSet<Vec<u8>>,
    /// The base64 behind the names.
    pub(crate) payloads: BTreeSet<Vec<u8>>,
    pub(crate) statements: BTreeSet<Vec<u8>>,
    pub(crate) lists: BTreeSet<Vec<u8>>,
    pub(crate) policies: Vec<Value>,
    pub(crate) ca_keys: BTreeSet<String>,
    pub(crate) public_keys: BTreeSet<String>,
    pub(crate) fingerprints: BTreeSet<(bool, String)>,
    pub(crate) hosts: BTreeSet<String>,
}

/// Read once.
pub(crate) fn vectors() -> &'static Vectors {
    static VECTORS: LazyLock<Vectors> = LazyLock::new(Vectors::read);
    &VECTORS
}

impl Vectors {
    fn read() -> Self {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors");
        let mut vectors = Self {
            cases: read_all(&directory).iter().map(case).collect(),
            closures: read_all(&directory.join("closures")).iter().map(closure).collect(),
            names: BTreeSet::new(),
            certificates: BTreeSet::new(),
            payloads: BTreeSet::new(),
            statements: BTreeSet::new(),
            lists: BTreeSet::new(),
            policies: vec![],
            ca_keys: BTreeSet::new(),
            public_keys: BTreeSet::new(),
            fingerprints: BTreeSet::new(),
            hosts: BTreeSet::new(),
        };
        for case in vectors.cases.clone() {
            case.signatures.iter().for_each(|signature| vectors.take_signature(signature));
            vectors.fingerprints.insert((case.realisation, case.fingerprint.clone()));
            vectors.take_host(case);
        }
        for closure in vectors.closures.clone() {
            vectors.take_host(closure.host);
            for path in closure.paths {
                path.signatures.iter().for_each(|signature| vectors.take_signature(signature));
                vectors.fingerprints.insert((false, path.fingerprint));
                for voucher in path.earlier.into_iter().flat_map(|record| record.vouchers) {
                    if let RecordedVoucher::Person(name) = voucher {
                        vectors.take_name(name.as_bytes());
                    }
                }
            }
        }
        for list in read_all(&directory.join("lists")) {
            vectors.ca_keys.extend(strings(&list["trusted_ca_keys"]));
            vectors.lists.extend(list["list"].as_str().and_then(|text| base64_decode(text.as_bytes())));
        }
        assert!(vectors.cases.len() > 200, "the vectors are not at {}", directory.display());
        vectors
    }

    fn take_host(&mut self, case: Case) {
        self.ca_keys.extend(case.ca_keys);
        self.public_keys.extend(case.public_keys);
        self.policies.extend(case.policy);
        self.hosts.extend(case.host);
        self.lists.extend(case.lists.into_iter().filter_map(|held| match held {
            Held::Bytes(bytes) => Some(bytes),
            Held::Unreadable(_) => None,
        }));
    }

    fn take_signature(&mut self, signature: &[u8]) {
        let Some(colon) = signature.iter().position(|byte| *byte == b':') else { return };
        let (name, payload) = (&signature[..colon], &signature[colon + 1..]);
        self.payloads.insert(payload.to_vec());
        self.take_name(name);
    }

    fn take_name(&mut self, name: &[u8]) {
        let Ok(text) = std::str::from_utf8(name) else { return };
        if let Ok(name) = ClosureName::parse(name) {
            self.statements.insert(name.statement);
        }
        if let Some((_, parts)) = text.split_once(".nixcert1.").or(text.split_once(CLOSURE_MARK)) {
            self.names.insert(name.to_vec());
            self.certificates.extend(parts.split('.').filter_map(|part| base32_decode(part.as_bytes())));
        }
    }
}

fn read_all(directory: &Path) -> Vec<Value> {
    let entries = fs::read_dir(directory)
        .expect("the vectors are there")
        .map(|entry| entry.expect("it can be read").path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        serde_json::from_str(&fs::read_to_string(path).expect("a vector can be read"))
            .expect("a vector is JSON")
    };
    files.iter().map(read).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn case(vector: &Value) -> Case {
    let text = |key: &str| vector[key].as_str().unwrap_or_default().to_owned();
    let held = |list: &Value| match list.as_str() {
        Some(text) => Held::Bytes(base64_decode(text.as_bytes()).expect("a list is base64")),
        None => Held::Unreadable(list["unreadable"].as_str().unwrap_or_default().to_owned()),
    };
    let signatures = vector["signatures"].as_array().into_iter().flatten().flat_map(|signature| {
        match (signature.as_str(), signature["name"].as_str()) {
            (Some(text), _) => vec![text.as_bytes().to_vec()],
            (None, name) => {
                let junk = |n: u64| [[0xff; 56].as_slice(), &n.to_be_bytes()].concat();
                let line =
                    |n| format!("{}:{}", name.unwrap_or_default(), nixcert_core::base64_encode(&junk(n)));
                (0..JUNK).map(|n| line(n).into_bytes()).collect()
            }
        }
    });
    Case {
        realisation: vector["kind"] == "realisation",
        fingerprint: text("fingerprint"),
        store_directory: text("store_directory"),
        now: vector["now"].as_u64().unwrap_or_default(),
        registered: vector["registered"].as_u64(),
        host: vector["host"].as_str().map(str::to_owned),
        ca_keys: strings(&vector["trusted_ca_keys"]),
        public_keys: strings(&vector["trusted_public_keys"]),
        policy: vector.get("policy").cloned(),
        lists: vector["revocation_lists"].as_array().into_iter().flatten().map(held).collect(),
        signatures: signatures.collect(),
    }
}

fn closure(vector: &Value) -> Closure {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let record = |record: &Value| Record {
        activated: record["activated"].as_u64().expect("it was at some time"),
        vouchers: record["vouchers"].as_array().into_iter().flatten().map(recorded).collect(),
    };
    let path = |path: &Value| ClosurePath {
        fingerprint: text(&path["fingerprint"]).expect("a path has a fingerprint"),
        signatures: strings(&path["signatures"]).into_iter().map(String::into_bytes).collect(),
        content_addressed: path["content_addressed"].as_bool(),
        earlier: path["earlier"].as_array().into_iter().flatten().map(record).collect(),
    };
    Closure {
        host: case(vector),
        caller: text(&vector["caller"]),
        last: text(&vector["last"]).and_then(|last| base64_decode(last.as_bytes())),
        again: vector["again"].as_bool().expect("it was activated before, or not"),
        paths: vector["paths"].as_array().into_iter().flatten().map(path).collect(),
    }
}

fn recorded(voucher: &Value) -> RecordedVoucher {
    let text = |key: &str| voucher[key].as_str().map(str::to_owned);
    match (text("vendor"), text("person")) {
        (Some(vendor), _) => RecordedVoucher::Vendor(vendor),
        (None, Some(person)) => RecordedVoucher::Person(person),
        (None, None) => RecordedVoucher::Itself,
    }
}
