//! Revocation lists by themselves: which a host can use, and what is in them (FORMAT L1 to L7).

use super::revocation::{
    Entry, alices_key, alices_serial, compromised, delegate, dora, draft_of, label, retired, revoking_issuer,
    serial,
};
use super::*;
use nixcert_core::{Cause, Extent, REVOCATION_CONTEXT, Revoked, Selector};

/// A list that a host is given, and whether it can use it. `tests/vectors/README.md` describes the file.
#[derive(Clone, Serialize)]
pub(crate) struct ListScenario {
    pub(crate) description: &'static str,
    pub(crate) list: String,
    pub(crate) host: Option<String>,
    pub(crate) trusted_ca_keys: Vec<String>,
    pub(crate) expected: ExpectedList,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ExpectedList {
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) list: Option<ListContents>,
}

/// What is in a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ListContents {
    pub(crate) ca: String,
    pub(crate) signer: String,
    pub(crate) issued: u64,
    pub(crate) entries: Vec<ListEntry>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ListEntry {
    pub(crate) kind: &'static str,
    pub(crate) value: String,
    pub(crate) extent: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<u64>,
    pub(crate) cause: &'static str,
}

impl ListEntry {
    pub(crate) fn new((selector, revoked): &Entry) -> Self {
        let (kind, value) = match selector {
            Selector::Serial(serial) => ("serial", format!("{:016x}", serial.0)),
            Selector::Key(key) => ("key", key.to_string()),
            Selector::Label(label) => ("label", label.clone()),
        };
        let (extent, since) = match revoked.extent {
            Extent::Retired => ("retired", None),
            Extent::Compromised { since } => ("compromised", Some(since.seconds())),
        };
        Self { kind, value, extent, since, cause: revoked.cause.name() }
    }
}

const ISSUED: u64 = NOW - 3_600;

// Where the fields of a list by the CA itself are.
const CA: usize = 2;
const CERTIFICATE_COUNT: usize = 34;
const LIST_ISSUED: usize = 35;
const ENTRY_COUNT: usize = 43;
const FIRST_ENTRY: usize = 47;

scenarios! {
    all: ListScenario;

    // The table, L1 to L5.
    "accept-empty": by_ca("Nobody is revoked", &[]),
    "accept-every-kind": by_ca("A serial number, a key and a label", &[retired(alices_serial()), retired(alices_key()), retired(label("alice"))]),
    "accept-every-extent": by_ca("Retired and compromised", &[retired(alices_key()), compromised(label("alice"), NOW - DAY)]),
    "accept-every-cause": by_ca("Every cause there is", &every_cause()),
    "accept-labels-in-order": by_ca("Labels by their bytes, a prefix first, and not by their length", &["a", "al", "alice", "b", "bo"].map(|text| retired(label(text)))),
    "accept-compromised-at-issue": by_ca("Compromised since the second of issue", &[compromised(alices_key(), ISSUED)]),
    "accept-issued-at-zero": issued_at("Issued in the first second there is", 0),
    "accept-issued-at-last-time": issued_at("Issued in the last second there is", 253_402_300_799),
    "refuse-version": odd("Version 2", |bytes| bytes[0] = 2, "unknown-version"),
    "refuse-algorithm": odd("Algorithm 2", |bytes| bytes[1] = 2, "unknown-algorithm"),
    "refuse-time": odd("Issued past the year 9999", |bytes| bytes[LIST_ISSUED..ENTRY_COUNT].copy_from_slice(&253_402_300_800_u64.to_be_bytes()), "malformed-list"),
    "refuse-trailing-byte": {
        let mut scenario = by_ca("A byte behind the signature", &[]);
        scenario.list = base64_encode(&[bytes_of(&scenario), vec![0]].concat());
        scenario.refused("bad-list-signature")
    },
    "refuse-signed-trailing-byte": odd("A byte behind the entries", |bytes| bytes.push(0), "malformed-list"),
    "refuse-cut-off": {
        let mut scenario = by_ca("The last byte is missing", &[]);
        let bytes = bytes_of(&scenario);
        scenario.list = base64_encode(&bytes[..bytes.len() - 1]);
        scenario.refused("bad-list-signature")
    },
    "refuse-nothing": ListScenario { list: String::new(), ..by_ca("No byte at all", &[]) }.refused("malformed-list"),
    "refuse-entry-count-less": odd("Three entries, said to be two", |bytes| bytes[ENTRY_COUNT + 3] = 2, "malformed-list"),
    "refuse-entry-count-more": odd("Three entries, said to be 4,294,967,295", |bytes| bytes[ENTRY_COUNT..FIRST_ENTRY].fill(0xff), "malformed-list"),
    "refuse-kind": odd_entry("An entry of a kind that version 1 does not define", &[4, 1, b'a', 1, 0]),
    "refuse-kind-zero": odd_entry("An entry of kind 0", &[0, 1, b'a', 1, 0]),
    "refuse-extent": odd("An extent that version 1 does not define", |bytes| bytes[FIRST_ENTRY + 9] = 3, "malformed-list"),
    "refuse-extent-zero": odd("Extent 0", |bytes| bytes[FIRST_ENTRY + 9] = 0, "malformed-list"),
    "refuse-cause": odd("A cause of RFC 5280 that is not among those here", |bytes| bytes[FIRST_ENTRY + 10] = 2, "malformed-list"),
    "refuse-since-retired": odd("A retired entry with a time", |bytes| { bytes.splice(FIRST_ENTRY + 10..FIRST_ENTRY + 10, [0; 8]); }, "malformed-list"),
    "refuse-zero-serial": odd("Serial number 0", |bytes| bytes[FIRST_ENTRY + 1..FIRST_ENTRY + 9].fill(0), "malformed-list"),
    "refuse-empty-label": odd_entry("An empty label", &[3, 0, 1, 0]),
    "refuse-label": odd_entry("A label in upper case", &[3, 3, b'B', b'o', b'b', 1, 0]),
    "refuse-long-label": odd_entry("A label of 33 bytes", &[[3, 33].as_slice(), &[b'a'; 33], &[1, 0]].concat()),
    "refuse-label-cut-off": odd_entry("A label that is longer than the list", &[3, 200, b'a']),
    "refuse-compromise-to-come": odd("Compromised since the second after the issue", |bytes| {
        bytes.splice(FIRST_ENTRY + 9..FIRST_ENTRY + 10, [[2].as_slice(), &(ISSUED + 1).to_be_bytes()].concat());
    }, "malformed-list"),
    "refuse-entries-twice": odd_entries("One entry twice", &[&[3, 1, b'a', 1, 0], &[3, 1, b'a', 1, 0]]),
    "refuse-selector-twice": odd_entries("One label retired and compromised", &[&[3, 1, b'a', 1, 0], &[3, 1, b'a', 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]]),
    "refuse-labels-by-length": odd_entries("Labels by length", &[&[3, 1, b'b', 1, 0], &[3, 2, b'a', b'l', 1, 0]]),
    "refuse-prefix-last": odd_entries("A prefix last", &[&[3, 2, b'a', b'l', 1, 0], &[3, 1, b'a', 1, 0]]),
    "refuse-serials-descending": odd_entries("Serial numbers in descending order", &[&[1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0], &[1, 0, 0, 0, 0, 0, 0, 0, 0xff, 1, 0]]),
    "refuse-kinds-descending": odd_entries("A label before a serial number", &[&[3, 1, b'a', 1, 0], &[1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]]),

    // L6: by the CA itself.
    "refuse-signature": {
        let mut scenario = by_ca("Signed by another key", &[]);
        scenario.list = list_of(&draft_of(&root(), ISSUED, &[], &[]), &other_root());
        scenario.refused("bad-list-signature")
    },
    "refuse-signature-of-other-list": {
        let mut scenario = by_ca("The signature of another list", &[retired(alices_key())]);
        let (mut bytes, other) = (bytes_of(&scenario), bytes_of(&by_ca("", &[])));
        let at = bytes.len() - 64;
        bytes[at..].copy_from_slice(&other[other.len() - 64..]);
        scenario.list = base64_encode(&bytes);
        scenario.refused("bad-list-signature")
    },
    "refuse-signature-of-certificate": {
        let mut scenario = by_ca("Signed as certificates are", &[]);
        let mut bytes = bytes_of(&scenario);
        let at = bytes.len() - 64;
        let signature = root().sign(&[CERTIFICATE_CONTEXT, &bytes[..at]].concat());
        bytes[at..].copy_from_slice(&signature);
        scenario.list = base64_encode(&bytes);
        scenario.refused("bad-list-signature")
    },
    "refuse-signature-malleable": {
        let mut scenario = by_ca("The group order was added to S", &[]);
        let mut bytes = bytes_of(&scenario);
        let at = bytes.len() - 64;
        add_order(&mut bytes[at..]);
        scenario.list = base64_encode(&bytes);
        scenario.refused("bad-list-signature")
    },
    "refuse-untrusted-ca": ListScenario { trusted_ca_keys: vec![entry("sealed-1", &other_root())], ..by_ca("About the certificates of a CA that is not trusted", &[]) }
        .refused("untrusted-ca"),
    "accept-second-ca": ListScenario { trusted_ca_keys: both_cas(), ..made("By the second of two CAs", draft_of(&other_root(), ISSUED, &[], &[]), &other_root()) },

    // L6: by a delegate.
    "accept-delegate": by_delegate("By a delegate", &[(delegate(), root())]),
    "accept-delegate-below-intermediate": by_delegate("By a delegate of an intermediate", &below(revoking_issuer(1, 0))),
    "accept-delegate-of-other-usages": by_delegate("By somebody who may sign packages as well", &[(Draft { usages: usages(&[Usage::Revoke, Usage::ImportPaths]), ..delegate() }, root())]),
    "accept-delegate-below-three": by_delegate("By a delegate below three intermediates", &[
        (delegate(), intermediate(1)),
        (revoking_issuer(1, 0), intermediate(2)),
        (revoking_issuer(2, 1), intermediate(3)),
        (revoking_issuer(3, 2), root()),
    ]),
    "refuse-certificate-count": by_delegate("Below four intermediates", &[
        (delegate(), intermediate(1)),
        (revoking_issuer(1, 0), intermediate(2)),
        (revoking_issuer(2, 1), intermediate(3)),
        (revoking_issuer(3, 2), root()),
    ])
    .changed(&dora(), |bytes| {
        let first = 2 + usize::from(u16::from_be_bytes([bytes[CERTIFICATE_COUNT + 1], bytes[CERTIFICATE_COUNT + 2]]));
        let certificate = bytes[CERTIFICATE_COUNT + 1..CERTIFICATE_COUNT + 1 + first].to_vec();
        bytes[CERTIFICATE_COUNT] = 5;
        bytes.splice(CERTIFICATE_COUNT + 1..CERTIFICATE_COUNT + 1, certificate);
    })
    .refused("malformed-list"),
    "refuse-long-certificate": by_delegate("A certificate of 2,049 bytes", &[(delegate(), root())])
        .changed(&dora(), |bytes| {
            let length = usize::from(u16::from_be_bytes([bytes[CERTIFICATE_COUNT + 1], bytes[CERTIFICATE_COUNT + 2]]));
            bytes[CERTIFICATE_COUNT + 1..CERTIFICATE_COUNT + 3].copy_from_slice(&2_049_u16.to_be_bytes());
            let at = CERTIFICATE_COUNT + 3 + length;
            bytes.splice(at..at, vec![0; 2_049 - length]);
        })
        .refused("malformed-list"),
    "refuse-delegates-signature": made("Signed by the CA, under the certificate of a delegate", draft_of(&root(), ISSUED, &[(delegate(), root())], &[]), &root())
        .refused("bad-list-signature"),
    "refuse-intermediates-signature": made("Signed by the intermediate, under the certificate of its delegate", draft_of(&root(), ISSUED, &below(revoking_issuer(1, 0)), &[]), &intermediate(1))
        .refused("bad-list-signature"),
    "refuse-delegate-of-other-ca": ListScenario { trusted_ca_keys: both_cas(), ..by_delegate("By the delegate of another trusted CA", &[(delegate(), other_root())]) }
        .refused("list-of-another-ca"),
    "refuse-delegate-of-untrusted-ca": by_delegate("By the delegate of a CA that is not trusted", &[(delegate(), other_root())])
        .refused("untrusted-ca"),
    "refuse-delegate-certificate": by_delegate("The delegate's certificate is of version 2", &[(delegate(), root())])
        .changed(&dora(), |bytes| bytes[CERTIFICATE_COUNT + 3] = 2).refused("unknown-version"),
    "refuse-delegate-certificate-algorithm": by_delegate("The delegate's certificate is of algorithm 2", &[(delegate(), root())])
        .changed(&dora(), |bytes| bytes[CERTIFICATE_COUNT + 4] = 2).refused("unknown-algorithm"),
    "refuse-delegate-certificate-cut-off": by_delegate("The delegate's certificate is empty", &[(delegate(), root())])
        .changed(&dora(), |bytes| {
            let length = usize::from(u16::from_be_bytes([bytes[CERTIFICATE_COUNT + 1], bytes[CERTIFICATE_COUNT + 2]]));
            bytes.splice(CERTIFICATE_COUNT + 1..CERTIFICATE_COUNT + 3 + length, [0, 0]);
        })
        .refused("malformed-certificate"),
    "refuse-delegate-unknown-usage": by_odd_delegate("The delegate has a usage that version 1 does not define", |bytes| bytes[USAGES - 1] |= 0x20)
        .refused("unknown-usage"),
    "refuse-delegate-unknown-constraint": by_odd_delegate("The delegate has a constraint of kind 9", |bytes| {
        bytes[CONSTRAINT_COUNT - 1] += 1;
        let at = bytes.len() - 1;
        bytes.splice(at..at, [9, 0, 1, 0]);
    })
    .refused("unknown-constraint"),
    "refuse-delegate-weak-key": by_odd_delegate("The delegate's key is a point of small order", |bytes| bytes[SUBJECT - 1..ISSUER - 1].fill(0))
        .refused("weak-key"),
    "refuse-delegate-forged": {
        let mut draft = draft_of(&root(), ISSUED, &[], &[]);
        draft.certificates = vec![forged(&delegate(), &root(), &bob())];
        made("The CA did not sign the delegate's certificate", draft, &dora()).refused("bad-certificate-signature")
    },
    "refuse-delegate-mismatch": by_delegate("Another intermediate than the delegate's issuer", &[(delegate(), intermediate(1)), (revoking_issuer(2, 0), root())])
        .refused("issuer-mismatch"),
    "refuse-delegate-repeated-key": by_delegate("The delegate's chain passes through one key twice", &[
        (delegate(), intermediate(1)),
        (revoking_issuer(1, 0), intermediate(2)),
        (revoking_issuer(2, 1), intermediate(1)),
        (revoking_issuer(1, 2), root()),
    ])
    .refused("repeated-key"),
    "refuse-delegate-as-issuer": made("Signed by an intermediate", draft_of(&root(), ISSUED, &[(revoking_issuer(1, 0), root())], &[]), &intermediate(1))
        .refused("issuer-as-leaf"),
    "refuse-delegate-below-leaf": by_delegate("Certified by a delegate", &[
        (delegate(), bob()),
        (Draft { label: "bob".to_owned(), subject: bob().public(), ..delegate() }, root()),
    ])
    .refused("not-an-issuer"),
    "refuse-delegate-path-length": by_delegate("The upper intermediate allows none below it", &[
        (delegate(), intermediate(1)),
        (revoking_issuer(1, 0), intermediate(2)),
        (revoking_issuer(2, 0), root()),
    ])
    .refused("path-length-exceeded"),

    // L7.
    "refuse-delegate-usage": by_delegate("By somebody who may sign packages only", &[(Draft { usages: usages(&[Usage::ImportPaths]), ..delegate() }, root())])
        .refused("missing-usage"),
    "refuse-delegate-usage-intermediate": by_delegate("The intermediate may issue, but not revoke", &below(issuer(1, 0)))
        .refused("missing-usage"),
    "accept-delegate-first-second": by_delegate("Issued in the delegate's first second", &[(Draft { not_before: at(ISSUED), ..delegate() }, root())]),
    "refuse-delegate-not-yet-valid": by_delegate("Issued in the second before it", &[(Draft { not_before: at(ISSUED + 1), ..delegate() }, root())])
        .refused("not-yet-valid"),
    "accept-delegate-last-second": by_delegate("Issued in the delegate's last second", &[(Draft { not_after: at(ISSUED + 1), ..delegate() }, root())]),
    "refuse-delegate-expired": by_delegate("Issued in the second after it", &[(Draft { not_after: at(ISSUED), ..delegate() }, root())])
        .refused("expired"),
    "refuse-delegate-expired-intermediate": by_delegate("Issued in the second after the intermediate's last", &below(Draft { not_after: at(ISSUED), ..revoking_issuer(1, 0) }))
        .refused("expired"),
    "accept-delegate-host": on("By a delegate for these hosts", Some("web-1"), &[(Draft { hosts: set(&["web-*"]), ..delegate() }, root())]),
    "refuse-delegate-host": on("By a delegate for other hosts", Some("web-1"), &[(Draft { hosts: set(&["db-*"]), ..delegate() }, root())])
        .refused("host-not-permitted"),
    "refuse-delegate-host-unnamed": on("By a delegate for certain hosts, to a host without a name", None, &[(Draft { hosts: set(&["db-*"]), ..delegate() }, root())])
        .refused("host-name-not-configured"),
    "refuse-delegate-host-intermediate": on("By a delegate of an intermediate for other hosts", Some("web-1"), &below(Draft { hosts: set(&["db-*"]), ..revoking_issuer(1, 0) }))
        .refused("host-not-permitted"),
    "accept-delegate-store": by_delegate("By a delegate for another store directory: a list has none", &[(Draft { store_directories: set(&["/gnu/store"]), ..delegate() }, root())]),
}

impl ListScenario {
    fn refused(mut self, reason: &str) -> Self {
        self.expected = ExpectedList { reason: Some(reason.to_owned()), list: None };
        self
    }

    /// The list with bytes changed before they were signed.
    fn changed(mut self, signer: &SecretKey, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = bytes_of(&self);
        bytes.truncate(bytes.len() - 64);
        change(&mut bytes);
        let signature = signer.sign(&[REVOCATION_CONTEXT, &bytes].concat());
        bytes.extend(signature);
        self.list = base64_encode(&bytes);
        self
    }
}

fn bytes_of(scenario: &ListScenario) -> Vec<u8> {
    nixcert_core::base64_decode(scenario.list.as_bytes()).unwrap()
}

fn list_of(draft: &nixcert_issue::ListDraft, signer: &SecretKey) -> String {
    base64_encode(&draft.sign(signer).unwrap())
}

/// A list that can be used.
fn made(description: &'static str, draft: nixcert_issue::ListDraft, signer: &SecretKey) -> ListScenario {
    let contents = ListContents {
        ca: draft.ca.to_string(),
        signer: signer.public().to_string(),
        issued: draft.issued.seconds(),
        entries: draft.entries.clone().into_iter().map(|entry| ListEntry::new(&entry)).collect(),
    };
    ListScenario {
        description,
        list: list_of(&draft, signer),
        host: None,
        trusted_ca_keys: vec![entry("acme-2026-1", &root())],
        expected: ExpectedList { reason: None, list: Some(contents) },
    }
}

fn by_ca(description: &'static str, entries: &[Entry]) -> ListScenario {
    made(description, draft_of(&root(), ISSUED, &[], entries), &root())
}

fn issued_at(description: &'static str, issued: u64) -> ListScenario {
    made(description, draft_of(&root(), issued, &[], &[]), &root())
}

/// A list by the CA, of three serial numbers, whose bytes were changed before it was signed.
fn odd(description: &'static str, change: impl FnOnce(&mut Vec<u8>), reason: &str) -> ListScenario {
    by_ca(description, &[1, 2, 3].map(|n| retired(serial(n)))).changed(&root(), change).refused(reason)
}

/// A list by the CA with these bytes for entries.
fn odd_entries(description: &'static str, entries: &[&[u8]]) -> ListScenario {
    let count = u32::try_from(entries.len()).unwrap();
    odd(
        description,
        |bytes| {
            bytes.splice(ENTRY_COUNT.., [count.to_be_bytes().as_slice(), &entries.concat()].concat());
        },
        "malformed-list",
    )
}

fn odd_entry(description: &'static str, entry: &[u8]) -> ListScenario {
    odd_entries(description, &[entry])
}

fn by_delegate(description: &'static str, chain: &[(Draft, SecretKey)]) -> ListScenario {
    made(description, draft_of(&root(), ISSUED, chain, &[retired(alices_key())]), &dora())
}

fn on(description: &'static str, host: Option<&str>, chain: &[(Draft, SecretKey)]) -> ListScenario {
    ListScenario { host: host.map(str::to_owned), ..by_delegate(description, chain) }
}

/// By a delegate whose certificate the CA changed before it signed it. Its label is a letter shorter than that of `leaf()`.
fn by_odd_delegate(description: &'static str, change: impl FnOnce(&mut Vec<u8>)) -> ListScenario {
    let mut bytes = delegate().sign(&root()).unwrap();
    bytes.truncate(bytes.len() - 64);
    change(&mut bytes);
    let signature = root().sign(&[CERTIFICATE_CONTEXT, &bytes].concat());
    bytes.extend(signature);
    let mut draft = draft_of(&root(), ISSUED, &[], &[]);
    draft.certificates = vec![bytes];
    made(description, draft, &dora())
}

/// A delegate below this intermediate, number 1.
fn below(intermediate_1: Draft) -> Vec<(Draft, SecretKey)> {
    vec![(delegate(), intermediate(1)), (intermediate_1, root())]
}

fn at(seconds: u64) -> Instant {
    Instant::from_seconds(seconds).unwrap()
}

fn every_cause() -> Vec<Entry> {
    let entry = |(n, cause)| (serial(n), Revoked { extent: Extent::Retired, cause });
    (1..).zip(Cause::ALL).map(entry).collect()
}

/// The example of FORMAT section 11: the list of the vector `lists/accept-every-extent`.
pub(crate) fn worked_example() -> String {
    let scenario = all().into_iter().find(|(name, _)| name == "accept-every-extent").unwrap().1;
    let bytes = bytes_of(&scenario);
    let hex = |range: std::ops::Range<usize>| {
        let digits: String = bytes[range].iter().map(|byte| format!("{byte:02x}")).collect();
        let groups: Vec<_> =
            digits.as_bytes().chunks(32).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
        groups.join(" ")
    };
    let (key, label) = (FIRST_ENTRY, FIRST_ENTRY + 35);
    let end = bytes.len() - 64;
    let rows = [
        ("version", 0..1, "1".to_owned()),
        ("algorithm", 1..2, "Ed25519".to_owned()),
        ("CA", CA..CERTIFICATE_COUNT, "public key of the seed `01` × 32".to_owned()),
        ("certificate count", CERTIFICATE_COUNT..LIST_ISSUED, "0: the CA signs".to_owned()),
        ("issue time", LIST_ISSUED..ENTRY_COUNT, at(ISSUED).to_string()),
        ("entry count", ENTRY_COUNT..FIRST_ENTRY, "2".to_owned()),
        ("kind", key..key + 1, "key".to_owned()),
        ("value", key + 1..key + 33, "public key of the seed `20` × 32".to_owned()),
        ("extent", key + 33..key + 34, "retired".to_owned()),
        ("cause", key + 34..key + 35, "affiliation-changed".to_owned()),
        ("kind", label..label + 1, "label".to_owned()),
        ("value", label + 1..label + 7, "length 5, alice".to_owned()),
        ("extent", label + 7..label + 8, "compromised".to_owned()),
        ("since", label + 8..label + 16, at(NOW - DAY).to_string()),
        ("cause", label + 16..label + 17, "key-compromise".to_owned()),
        ("signature", end..bytes.len(), "by the CA, over L3".to_owned()),
    ];
    assert_eq!(end, label + 17);
    let rows: String = rows
        .into_iter()
        .map(|(field, range, meaning)| format!("| {field} | `{}` | {meaning} |\n", hex(range)))
        .collect();
    let lines: Vec<String> =
        scenario.list.as_bytes().chunks(100).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!(
        "| field | bytes | meaning |\n| --- | --- | --- |\n{rows}\nIn base64, broken into lines here:\n\n```text\n{}\n```\n",
        lines.join("\n")
    )
}
