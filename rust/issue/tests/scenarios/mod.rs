//! One small function for each vector. Seeded keys, a fixed clock: running them again gives the same bytes.
//!
//! Here are those about certificates and configuration; in files of their own those about time, revocation, a host's policy, and
//! votes; and those about revocation lists themselves.

use nixcert_core::{
    CERTIFICATE_CONTEXT, Instant, Label, Serial, Usage, Usages, base32_decode, base32_encode, base64_encode,
};
use nixcert_issue::{Draft, SecretKey};
use serde::Serialize;
use serde_json::Value;

/// One scenario: what a host is asked, and what it must answer. `tests/vectors/README.md` describes the file.
#[derive(Clone, Serialize)]
pub(crate) struct Scenario {
    pub(crate) description: &'static str,
    pub(crate) kind: Kind,
    pub(crate) fingerprint: String,
    pub(crate) store_directory: String,
    pub(crate) now: u64,
    pub(crate) registered: Option<u64>,
    pub(crate) host: Option<String>,
    pub(crate) trusted_ca_keys: Vec<String>,
    pub(crate) trusted_public_keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) revocation_lists: Vec<Held>,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) expected: Expected,
}

/// A revocation list that the host holds, or the name of a CA of which it holds one that it cannot use.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Held {
    List(String),
    Unreadable { unreadable: String },
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Path,
    Realisation,
}

/// A signature, or a number of worthless ones under a name.
#[derive(Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Signature {
    Text(String),
    Junk { junk: usize, name: String },
}

impl Signature {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Junk { .. } => "",
        }
    }
}

impl From<String> for Signature {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Expected {
    pub(crate) accepted: bool,
    pub(crate) reason: Option<String>,
    pub(crate) signatures: Vec<Option<String>>,
    /// What rules in audit mode report: each code once, in the order of FORMAT section 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) audited: Vec<String>,
}

impl Scenario {
    /// The signatures, with the junk written out: 60 bytes 0xff and a counter, big-endian.
    pub(crate) fn signature_texts(&self) -> Vec<String> {
        let write_out = |signature: &Signature| match signature {
            Signature::Text(text) => vec![text.clone()],
            Signature::Junk { junk, name } => (0..u32::try_from(*junk).unwrap())
                .map(|n| {
                    format!("{name}:{}", base64_encode(&[&[0xff; 60], n.to_be_bytes().as_slice()].concat()))
                })
                .collect(),
        };
        self.signatures.iter().flat_map(write_out).collect()
    }

    /// How much junk comes first.
    pub(crate) fn junk(&self) -> Option<usize> {
        match self.signatures.first() {
            Some(Signature::Junk { junk, .. }) => Some(*junk),
            _ => None,
        }
    }
}

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const DIGEST: &str = "2m6rq2qfyv3w0lhxj8f1p9c4dbnk7g5s";
const OTHER_DIGEST: &str = "0jqd0rlxzra1rs38rdxl43yh6rxchgc6";
const HASH: &str = "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0";

fn root() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn other_root() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

fn intermediate(n: u8) -> SecretKey {
    SecretKey::from_seed(&[0x10 + n; 32])
}

fn alice() -> SecretKey {
    SecretKey::from_seed(&[0x20; 32])
}

fn bob() -> SecretKey {
    SecretKey::from_seed(&[0x21; 32])
}

fn cache() -> SecretKey {
    SecretKey::from_seed(&[0x30; 32])
}

fn entry(name: &str, key: &SecretKey) -> String {
    format!("{name}:{}", key.public())
}

fn set(items: &[&str]) -> std::collections::BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// Alice's certificate, for everything that can be imported, valid from yesterday for ninety days.
fn leaf() -> Draft {
    Draft {
        serial: Serial(0x0123_4567_89ab_cdef),
        label: "alice".to_owned(),
        subject: alice().public(),
        not_before: Instant::from_seconds(NOW - DAY).unwrap(),
        not_after: Instant::from_seconds(NOW + 89 * DAY).unwrap(),
        usages: [Usage::ImportPaths, Usage::ImportRealisations].into_iter().collect(),
        path_length: 0,
        permitted_names: set(&["*"]),
        excluded_names: set(&[]),
        hosts: set(&["*"]),
        store_directories: set(&[]),
    }
}

/// The certificate of intermediate CA number `n`, which may have `path_length` more below it.
fn issuer(n: u8, path_length: u8) -> Draft {
    Draft {
        serial: Serial(0xcafe_0000 + u64::from(n)),
        label: format!("team-{n}"),
        subject: intermediate(n).public(),
        usages: [Usage::ImportPaths, Usage::ImportRealisations, Usage::Issue].into_iter().collect(),
        path_length,
        ..leaf()
    }
}

/// A name: the leaf's certificate, signed by its issuer, and so on up.
fn name(certificates: &[(Draft, SecretKey)]) -> String {
    let parts: Vec<String> =
        certificates.iter().map(|(draft, issuer)| base32_encode(&draft.sign(issuer).unwrap())).collect();
    format!("{}.nixcert1.{}", certificates[0].0.label, parts.join("."))
}

fn sign(name: &str, key: &SecretKey, fingerprint: &str) -> String {
    format!("{name}:{}", base64_encode(&key.sign(fingerprint.as_bytes())))
}

fn fingerprint_of(directory: &str, package: &str) -> String {
    format!(
        "1;{directory}/{DIGEST}-{package};sha256:{HASH};196040;{directory}/{OTHER_DIGEST}-glibc-2.40,{directory}/{DIGEST}-{package}"
    )
}

fn hello() -> String {
    fingerprint_of("/nix/store", "hello-2.12")
}

fn scenario(description: &'static str, fingerprint: String, signatures: Vec<Signature>) -> Scenario {
    Scenario {
        description,
        kind: Kind::Path,
        fingerprint,
        store_directory: "/nix/store".to_owned(),
        now: NOW,
        registered: None,
        host: None,
        trusted_ca_keys: vec![entry("acme-2026-1", &root())],
        trusted_public_keys: vec![],
        policy: None,
        revocation_lists: vec![],
        signatures,
        expected: Expected { accepted: false, reason: None, signatures: vec![], audited: vec![] },
    }
}

/// Alice signs a path of this package with a certificate from the root.
fn alice_signs(description: &'static str, draft: Draft, package: &str) -> Scenario {
    let fingerprint = fingerprint_of("/nix/store", package);
    let signature = sign(&name(&[(draft, root())]), &alice(), &fingerprint);
    scenario(description, fingerprint, vec![signature.into()])
}

/// Alice signs hello with a certificate from the root.
fn hello_by_alice(description: &'static str) -> Scenario {
    alice_signs(description, leaf(), "hello-2.12")
}

/// Alice signs hello through these certificates.
fn alice_signs_through(description: &'static str, certificates: &[(Draft, SecretKey)]) -> Scenario {
    scenario(description, hello(), vec![sign(&name(certificates), &alice(), &hello()).into()])
}

/// Alice signs hello under a name that is not well-formed.
fn alice_signs_as(description: &'static str, name: &str) -> Scenario {
    scenario(description, hello(), vec![sign(name, &alice(), &hello()).into()])
}

/// Alice signs hello with a certificate whose bytes the CA changed before it signed them.
fn alice_signs_odd(description: &'static str, draft: &Draft, change: impl FnOnce(&mut Vec<u8>)) -> Scenario {
    let mut bytes = draft.sign(&root()).unwrap();
    bytes.truncate(bytes.len() - 64);
    change(&mut bytes);
    let signature = root().sign(&[CERTIFICATE_CONTEXT, &bytes].concat());
    bytes.extend(signature);
    alice_signs_as(description, &format!("alice.nixcert1.{}", base32_encode(&bytes)))
}

// Where the fields of `leaf()` are: its label has five letters.
const SERIAL: usize = 2;
const LABEL_LENGTH: usize = 10;
const LABEL: usize = 11;
const SUBJECT: usize = 16;
const ISSUER: usize = 48;
const NOT_BEFORE: usize = 80;
const NOT_AFTER: usize = 88;
const USAGES: usize = 96;
const CONSTRAINT_COUNT: usize = 97;
const PERMITTED: usize = 98;
const HOSTS: usize = 103;
const EXTENSION_COUNT: usize = 108;

impl Scenario {
    fn accepted(mut self) -> Self {
        self.expected.signatures = self.signatures.iter().map(|_| None).collect();
        self.expected.accepted = true;
        self
    }

    fn refused(mut self, reason: &str) -> Self {
        self.expected.signatures = self.signatures.iter().map(|_| Some(reason.to_owned())).collect();
        self.expected.reason = Some(reason.to_owned());
        self
    }

    /// The reasons of all signatures, where they differ; the object is accepted if one has none.
    fn with(mut self, reasons: &[Option<&str>], reason: Option<&str>) -> Self {
        self.expected = Expected {
            accepted: reason.is_none(),
            reason: reason.map(str::to_owned),
            signatures: reasons.iter().map(|reason| reason.map(str::to_owned)).collect(),
            audited: vec![],
        };
        self
    }

    /// Accepted, and rules in audit mode say why it would not have been.
    fn audited(self, reasons: &[&str]) -> Self {
        self.accepted().reporting(reasons)
    }

    fn reporting(mut self, reasons: &[&str]) -> Self {
        self.expected.audited = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        self
    }

    /// On a host with this policy.
    fn under(self, policy: Value) -> Self {
        Self { policy: Some(policy), ..self }
    }

    /// On a host that holds these lists, and has a policy that says where they are.
    fn holding(self, lists: &[Held]) -> Self {
        let policy = self.policy.clone().unwrap_or_else(policy::base);
        Self { revocation_lists: lists.to_vec(), policy: Some(policy), ..self }
    }
}

/// One person's signature of hello, through these certificates.
fn signed(certificates: &[(Draft, SecretKey)], key: &SecretKey) -> Signature {
    sign(&name(certificates), key, &hello()).into()
}

/// Both CAs are trusted.
fn both_cas() -> Vec<String> {
    vec![entry("acme-2026-1", &root()), entry("sealed-1", &other_root())]
}

macro_rules! scenarios {
    ($all:ident: $kind:ty; $($name:literal: $make:expr,)*) => {
        /// The scenarios of this file, by name.
        pub(crate) fn $all() -> Vec<(String, $kind)> {
            vec![$(($name.to_owned(), $make),)*]
        }
    };
}

pub(crate) mod closures;
pub(crate) mod lists;
mod policy;
mod revocation;
mod time;
mod votes;

/// All scenarios, by name.
pub(crate) fn all() -> Vec<(String, Scenario)> {
    [of_certificates(), time::all(), revocation::all(), policy::all(), votes::all()].concat()
}

scenarios! {
    of_certificates: Scenario;

    // Plain keys.
    "accept-plain": plain("A trusted plain key", &cache()).accepted(),
    "refuse-plain-other-key": plain("A plain signature by another key under a trusted name", &bob()).refused("bad-signature"),
    "refuse-plain-unknown": Scenario {
        trusted_public_keys: vec![],
        ..plain("A plain key that is not trusted", &cache())
    }.refused("unknown-key"),
    "refuse-unsigned": scenario("An object without signatures", hello(), vec![]).refused("no-signatures"),
    "refuse-plain-second-of-a-name": Scenario {
        trusted_public_keys: vec![entry("cache.example.org-1", &bob()), entry("cache.example.org-1", &cache())],
        ..plain("Of two trusted keys with one name the first counts", &cache())
    }
    .refused("bad-signature"),
    "refuse-payload-short": plain_payload("63 bytes of signature", &[0xff; 63]).refused("malformed-signature"),
    "refuse-payload-long": plain_payload("65 bytes of signature", &[0xff; 65]).refused("malformed-signature"),
    "refuse-no-colon": alice_text("A signature without a colon", "alice").refused("malformed-signature"),
    "refuse-empty-name": alice_text("A signature without a name", &format!(":{}", base64_encode(&[0; 64]))).refused("malformed-signature"),
    "refuse-base64-padding-bits": padding_bits().refused("malformed-signature"),
    "accept-pinned-name": pinned("A certificate's whole name, pinned as a plain key on a host without CA").accepted(),
    "refuse-unpinned-name": Scenario { trusted_public_keys: vec![], ..pinned("The same, not pinned") }.refused("untrusted-ca"),

    // The chain.
    "accept-certified": alice_signs("Alice's key, certified by the trusted CA", leaf(), "hello-2.12").accepted(),
    "refuse-other-ca": alice_signs_through("Certified by a CA that is not trusted", &[(leaf(), other_root())]).refused("untrusted-ca"),
    "accept-second-ca": Scenario {
        trusted_ca_keys: vec![entry("acme-2026-1", &root()), entry("sealed-1", &other_root())],
        ..alice_signs_through("Certified by the second of two trusted CAs", &[(leaf(), other_root())])
    }.accepted(),
    "refuse-self-made-ca": alice_signs_as("Alice names the CA as issuer, but signs her certificate herself", &name_of(&[forged(&leaf(), &root(), &bob())]))
    .refused("bad-certificate-signature"),
    "accept-one-intermediate": alice_signs_through("Through an intermediate CA", &[(leaf(), intermediate(1)), (issuer(1, 0), root())]).accepted(),
    "refuse-intermediate-missing": alice_signs_through("The intermediate is left out", &[(leaf(), intermediate(1))]).refused("untrusted-ca"),
    "refuse-intermediate-other": alice_signs_through("Another intermediate than the leaf's issuer", &[(leaf(), intermediate(1)), (issuer(2, 0), root())]).refused("issuer-mismatch"),
    "accept-three-intermediates": alice_signs_through("Through three intermediates", &three_intermediates(2)).accepted(),
    "refuse-path-length": alice_signs_through("The topmost intermediate allows one below it, and there are two", &three_intermediates(1)).refused("path-length-exceeded"),
    "refuse-four-intermediates": alice_signs_through("Through four intermediates", &four_intermediates()).refused("chain-too-long"),
    "refuse-leaf-as-issuer": alice_signs_through("A leaf's key, used to certify another", &leaf_as_issuer()).refused("not-an-issuer"),
    "refuse-issuer-as-leaf": issuer_as_leaf().refused("issuer-as-leaf"),
    "refuse-ca-as-leaf": Scenario {
        trusted_ca_keys: vec![entry("acme-2026-1", &root()), entry("alice-ca", &alice())],
        ..alice_signs("The leaf's key is itself a trusted CA's", leaf(), "hello-2.12")
    }.refused("issuer-as-leaf"),
    "refuse-repeated-key": alice_signs_through("The chain passes through one key twice", &[(leaf(), intermediate(1)), (issuer(1, 0), intermediate(2)), (issuer(2, 1), intermediate(1)), (issuer(1, 2), root())]).refused("repeated-key"),
    "refuse-root-in-chain": alice_signs_through("The CA's own key stands in the chain as an intermediate", &[
        (leaf(), root()),
        (Draft { label: "acme".to_owned(), subject: root().public(), ..issuer(1, 0) }, intermediate(2)),
        (issuer(2, 1), root()),
    ])
    .refused("repeated-key"),
    "refuse-forged-intermediate": alice_signs_as("A good leaf under an intermediate that the CA did not sign", &name_of(&[
        leaf().sign(&intermediate(1)).unwrap(),
        forged(&issuer(1, 0), &root(), &bob()),
    ]))
    .refused("bad-certificate-signature"),
    "refuse-forged-leaf": alice_signs_as("A leaf that the intermediate did not sign", &name_of(&[
        forged(&leaf(), &intermediate(1), &bob()),
        issuer(1, 0).sign(&root()).unwrap(),
    ]))
    .refused("bad-certificate-signature"),
    "refuse-forged-middle": alice_signs_as("The middle one of three certificates is forged", &name_of(&[
        leaf().sign(&intermediate(1)).unwrap(),
        forged(&issuer(1, 0), &intermediate(2), &bob()),
        issuer(2, 1).sign(&root()).unwrap(),
    ]))
    .refused("bad-certificate-signature"),
    "refuse-certificate-bit": certificate_bit().refused("bad-certificate-signature"),
    "refuse-weak-key": alice_signs_odd("The CA certified a point of small order", &leaf(), |bytes| bytes[SUBJECT..ISSUER].copy_from_slice(&[0; 32])).refused("weak-key"),

    // The name.
    "refuse-label-mismatch": alice_signs_as("Alice's certificate under Bob's label", &name(&[(leaf(), root())]).replacen("alice", "bob", 1)).refused("label-mismatch"),
    "refuse-upper-case": alice_signs_as("Upper-case base32", &upper_case(&name(&[(leaf(), root())]))).refused("malformed-name"),
    "refuse-base32-bits": alice_signs_as("Unused bits of base32 that are not zero", &base32_bits()).refused("malformed-name"),
    "refuse-base32-length": alice_signs_as("A number of characters that no bytes give", &format!("{}a", name(&[(leaf(), root())]))).refused("malformed-name"),
    "refuse-cut-off": alice_signs_as("A name that was cut off", &cut_off()).refused("malformed-certificate"),
    "refuse-empty-certificate": alice_signs_as("An empty certificate", "alice.nixcert1.").refused("malformed-name"),
    "refuse-no-label": alice_signs_as("A name without label", &name(&[(leaf(), root())]).replacen("alice", "", 1)).refused("malformed-name"),
    "refuse-name-too-long": alice_signs_as("A name beyond the limit", &format!("alice.nixcert1.{}", "a".repeat(14_000))).refused("name-too-long"),

    // The certificate's bytes.
    "refuse-version": alice_signs_odd("Version 2", &leaf(), |bytes| bytes[0] = 2).refused("unknown-version"),
    "refuse-algorithm": alice_signs_odd("Algorithm 2", &leaf(), |bytes| bytes[1] = 2).refused("unknown-algorithm"),
    "refuse-zero-serial": alice_signs_odd("Serial number 0", &leaf(), |bytes| bytes[SERIAL..LABEL_LENGTH].fill(0)).refused("malformed-certificate"),
    "refuse-empty-label": alice_signs_odd("An empty label", &leaf(), |bytes| { bytes[LABEL_LENGTH] = 0; bytes.drain(LABEL..SUBJECT); }).refused("malformed-certificate"),
    "refuse-label-dot": alice_signs_odd("A label with a dot", &leaf(), |bytes| bytes[LABEL + 1] = b'.').refused("malformed-certificate"),
    "refuse-self-issued": alice_signs_odd("Subject and issuer are one", &leaf(), |bytes| bytes.copy_within(ISSUER..NOT_BEFORE, SUBJECT)).refused("malformed-certificate"),
    "refuse-time-range": alice_signs_odd("Not-after past the year 9999", &leaf(), |bytes| bytes[NOT_AFTER] = 0xff).refused("malformed-certificate"),
    "refuse-empty-validity": alice_signs_odd("Not-after equals not-before", &leaf(), |bytes| bytes.copy_within(NOT_BEFORE..NOT_AFTER, NOT_AFTER)).refused("malformed-certificate"),
    "refuse-no-usage": alice_signs_odd("No usage at all", &leaf(), |bytes| bytes[USAGES] = 0).refused("malformed-certificate"),
    "refuse-unknown-usage": alice_signs_odd("A usage bit that version 1 does not define", &leaf(), |bytes| bytes[USAGES] |= 0x20).refused("unknown-usage"),
    "refuse-unknown-constraint": alice_signs_odd("A constraint of kind 9", &leaf(), |bytes| insert_constraint(bytes, &[9, 0, 1, 0])).refused("unknown-constraint"),
    "accept-unknown-extension": alice_signs_odd("An extension of kind 9", &leaf(), |bytes| { bytes[EXTENSION_COUNT] = 1; bytes.extend([9, 0, 1, 0]); }).accepted(),
    "refuse-extension-order": alice_signs_odd("Two extensions of one kind", &leaf(), |bytes| { bytes[EXTENSION_COUNT] = 2; bytes.extend([9, 0, 0, 9, 0, 0]); }).refused("malformed-certificate"),
    "refuse-extension-count": alice_signs_odd("Seventeen extensions", &leaf(), |bytes| { bytes[EXTENSION_COUNT] = 17; bytes.extend((0..17).flat_map(|kind| [kind, 0, 0])); }).refused("malformed-certificate"),
    "refuse-no-permitted-names": alice_signs_odd("No permitted-names: nothing is ever 'everything' by being absent", &leaf(), |bytes| { bytes[CONSTRAINT_COUNT] = 1; bytes.drain(PERMITTED..HOSTS); }).refused("malformed-certificate"),
    "refuse-empty-permitted-names": alice_signs_odd("An empty list of permitted-names", &leaf(), |bytes| { bytes.splice(PERMITTED..HOSTS, [1, 0, 0]); }).refused("malformed-certificate"),
    "refuse-no-hosts": alice_signs_odd("No hosts", &leaf(), |bytes| { bytes[CONSTRAINT_COUNT] = 1; bytes.drain(HOSTS..EXTENSION_COUNT); }).refused("malformed-certificate"),
    "refuse-empty-item": alice_signs_odd("An empty pattern", &leaf(), |bytes| { bytes.splice(PERMITTED..HOSTS, [1, 0, 1, 0]); }).refused("malformed-certificate"),
    "refuse-list-cut-off": alice_signs_odd("A pattern longer than its list", &leaf(), |bytes| bytes[PERMITTED + 3] = 2).refused("malformed-certificate"),
    "refuse-constraint-order": alice_signs_odd("Constraints in descending order", &leaf(), |bytes| bytes[PERMITTED..EXTENSION_COUNT].rotate_left(5)).refused("malformed-certificate"),
    "refuse-item-order": alice_signs_odd("Patterns in descending order", &Draft { permitted_names: set(&["a", "b"]), ..leaf() }, |bytes| bytes[PERMITTED + 3..PERMITTED + 7].rotate_left(2)).refused("malformed-certificate"),
    "refuse-double-star": alice_signs_odd("A pattern with **", &Draft { permitted_names: set(&["*a"]), ..leaf() }, |bytes| bytes[PERMITTED + 5] = b'*').refused("malformed-certificate"),
    "refuse-package-with-version": alice_signs_odd("A package that looks as if it had a version would match nothing", &Draft { excluded_names: set(&["ax2@"]), ..leaf() }, |bytes| bytes[HOSTS + 5] = b'-').refused("malformed-certificate"),
    "refuse-store-directory-form": alice_signs_odd("A store directory that ends in /", &Draft { store_directories: set(&["/nix/storx"]), ..leaf() }, |bytes| { let at = bytes.len() - 2; bytes[at] = b'/'; }).refused("malformed-certificate"),
    "refuse-trailing-byte": alice_signs_odd("A byte behind the extensions", &leaf(), |bytes| bytes.push(0)).refused("malformed-certificate"),
    "refuse-path-length-on-leaf": alice_signs_odd("A path length without the usage issue", &leaf(), |bytes| bytes.insert(CONSTRAINT_COUNT, 0)).refused("malformed-certificate"),

    "refuse-constraint-count": alice_signs_odd("Seventeen constraints", &leaf(), |bytes| bytes[CONSTRAINT_COUNT] = 17).refused("malformed-certificate"),
    "refuse-no-permitted-among-two": alice_signs_odd("Two constraints, but no permitted-names", &leaf(), |bytes| bytes[PERMITTED] = 2).refused("malformed-certificate"),
    "refuse-no-hosts-among-two": alice_signs_odd("Two constraints, but no hosts", &Draft { excluded_names: set(&["x"]), ..leaf() }, |bytes| { bytes[CONSTRAINT_COUNT] = 2; let at = bytes.len() - 6; bytes.drain(at..at + 5); }).refused("malformed-certificate"),
    "accept-largest-certificate": alice_signs_odd("A certificate of 2,048 bytes", &leaf(), |bytes| pad_with_extension(bytes, 2_048)).accepted(),
    "refuse-larger-certificate": alice_signs_odd("A certificate of 2,049 bytes", &leaf(), |bytes| pad_with_extension(bytes, 2_049)).refused("name-too-long"),
    "refuse-name-byte": alice_signs_odd("A pattern with a byte that no name has", &leaf(), |bytes| bytes[PERMITTED + 4] = b'/').refused("malformed-certificate"),
    "refuse-host-byte": alice_signs_odd("A host pattern in upper case", &leaf(), |bytes| bytes[HOSTS + 4] = b'A').refused("malformed-certificate"),
    "refuse-host-double-star": alice_signs_odd("A host pattern with **", &Draft { hosts: set(&["a*"]), ..leaf() }, |bytes| bytes[HOSTS + 4] = b'*').refused("malformed-certificate"),
    "refuse-long-pattern": alice_signs_odd("A pattern longer than any name", &leaf(), |bytes| { bytes.splice(PERMITTED..HOSTS, [[1, 0, 213, 212].as_slice(), &[b'a'; 212]].concat()); }).refused("malformed-certificate"),
    "refuse-store-directory-dots": alice_signs_odd("A store directory with ..", &Draft { store_directories: set(&["/nix/xx/y"]), ..leaf() }, |bytes| { let at = bytes.len() - 5; bytes[at..at + 2].copy_from_slice(b".."); }).refused("malformed-certificate"),
    "accept-last-time": alice_signs("Valid until the last second there is", Draft { not_after: Instant::from_seconds(253_402_300_799).unwrap(), ..leaf() }, "hello-2.12").accepted(),
    "refuse-first-time-beyond": alice_signs_odd("Valid until one second later", &leaf(), |bytes| bytes[NOT_AFTER..USAGES].copy_from_slice(&253_402_300_800_u64.to_be_bytes())).refused("malformed-certificate"),

    // The object's signature.
    "refuse-other-object": other_object().refused("bad-signature"),
    "refuse-other-signer": scenario("Bob signs under Alice's certificate", hello(), vec![sign(&name(&[(leaf(), root())]), &bob(), &hello()).into()]).refused("bad-signature"),
    "refuse-intermediate-signs": scenario("The intermediate signs under Alice's certificate", hello(), vec![sign(&name(&[(leaf(), intermediate(1)), (issuer(1, 0), root())]), &intermediate(1), &hello()).into()]).refused("bad-signature"),
    "refuse-payload-malleable": Scenario {
        signatures: vec![malleable(&sign(&name(&[(leaf(), root())]), &alice(), &hello())).into()],
        ..alice_signs("The group order was added to S", leaf(), "hello-2.12")
    }.refused("bad-signature"),
    "refuse-certificate-malleable": alice_signs_as("The group order was added to S in the certificate", &malleable_certificate()).refused("bad-certificate-signature"),
    "refuse-payload-small-order": Scenario {
        signatures: vec![format!("{}:{}", name(&[(leaf(), root())]), base64_encode(&[[1].as_slice(), &[0; 63]].concat())).into()],
        ..alice_signs("R is the neutral element and S is zero", leaf(), "hello-2.12")
    }.refused("bad-signature"),
    "accept-no-references": object("No references", &format!("1;{HELLO};sha256:{HASH};17;")).accepted(),
    "refuse-references-unsorted": malformed("References in descending order", &format!("1;{HELLO};sha256:{HASH};17;{HELLO},/nix/store/{OTHER_DIGEST}-glibc-2.40")),
    "refuse-references-repeated": malformed("A reference twice", &format!("1;{HELLO};sha256:{HASH};17;{HELLO},{HELLO}")),
    "refuse-references-elsewhere": malformed("A reference in another store", &format!("1;{HELLO};sha256:{HASH};17;/gnu/store/{DIGEST}-hello-2.12")),
    "refuse-size-zero": malformed("A size of 0", &format!("1;{HELLO};sha256:{HASH};0;")),
    "refuse-size-zeros": malformed("A size with a leading zero", &format!("1;{HELLO};sha256:{HASH};017;")),
    "refuse-size-beyond": malformed("A size of 2^64", &format!("1;{HELLO};sha256:{HASH};18446744073709551616;")),
    "refuse-digest-letter": malformed("A digest with a letter that Nix's base-32 lacks", &format!("1;/nix/store/e{}-hello-2.12;sha256:{HASH};17;", &DIGEST[1..])),
    "refuse-hash-beyond": malformed("A hash of more than 256 bits", &format!("1;{HELLO};sha256:2{};17;", &HASH[1..])),
    "refuse-directory-form": malformed("A store directory with an empty component", &format!("1;/nix//store/{DIGEST}-hello-2.12;sha256:{HASH};17;")),
    "refuse-name-dots": malformed("A name of dots", &format!("1;/nix/store/{DIGEST}-..-x;sha256:{HASH};17;")),
    "refuse-name-length": malformed("A name of 212 bytes", &format!("1;/nix/store/{DIGEST}-{};sha256:{HASH};17;", "x".repeat(212))),
    "accept-name-length": object("A name of 211 bytes", &format!("1;/nix/store/{DIGEST}-{};sha256:{HASH};17;", "x".repeat(211))).accepted(),
    "accept-realisation-dependent": realisation_of("A realisation that depends on another", &format!(r#"{{"dependentRealisations":{{"sha256:00!out":"{OTHER_DIGEST}-glibc-2.40"}},"id":"sha256:01!out","outPath":"{DIGEST}-hello-2.12"}}"#)).accepted(),
    "refuse-realisation-field": malformed_realisation("An unknown field", &format!(r#"{{"dependentRealisations":{{}},"id":"sha256:01!out","outPath":"{DIGEST}-hello-2.12","x":""}}"#)),
    "refuse-realisation-order": malformed_realisation("Fields out of order", &format!(r#"{{"id":"sha256:01!out","dependentRealisations":{{}},"outPath":"{DIGEST}-hello-2.12"}}"#)),
    "refuse-realisation-space": malformed_realisation("White space", &format!(r#"{{"dependentRealisations":{{}},"id":"sha256:01!out", "outPath":"{DIGEST}-hello-2.12"}}"#)),
    "refuse-realisation-trailing": malformed_realisation("Something behind the object", &format!(r#"{{"dependentRealisations":{{}},"id":"sha256:01!out","outPath":"{DIGEST}-hello-2.12"}} "#)),
    "refuse-realisation-escape": malformed_realisation("An escape", &format!(r#"{{"dependentRealisations":{{}},"id":"sha256:01!\u006fut","outPath":"{DIGEST}-hello-2.12"}}"#)),
    "refuse-realisation-needed-escape": malformed_realisation("An escape that JSON needs", &format!(r#"{{"dependentRealisations":{{}},"id":"sha256:01!o\nut","outPath":"{DIGEST}-hello-2.12"}}"#)),
    "refuse-realisation-store": Scenario {
        store_directory: "/gnu/store".to_owned(),
        ..realisation("A realisation in another store", leaf())
    }
    .refused("store-directory-not-permitted"),
    "refuse-realisation-full-path": malformed_realisation("A full store path", &format!(r#"{{"dependentRealisations":{{}},"id":"sha256:01!out","outPath":"{HELLO}"}}"#)),
    "refuse-realisation-twice": malformed_realisation("A field twice", &format!(r#"{{"dependentRealisations":{{}},"id":"sha256:01!out","outPath":"{DIGEST}-hello-2.12","outPath":"{DIGEST}-hello-2.12"}}"#)),

    // Realisations as Nix 2.35 signs them: the derivation is named by its store path.
    "accept-realisation-drv": drv_realisation("A realisation that names the derivation's store path", "hello-2.12.drv", "out", "hello-2.12").accepted(),
    "refuse-realisation-drv-usage": Scenario {
        signatures: vec![sign(&name(&[(Draft { usages: usages(&[Usage::ImportPaths]), ..leaf() }, root())]), &alice(), &hello_drv()).into()],
        ..drv_realisation("The same, by a certificate for paths", "hello-2.12.drv", "out", "hello-2.12")
    }
    .refused("missing-usage"),
    "refuse-realisation-drv-permitted": Scenario {
        signatures: vec![sign(&name(&[(Draft { permitted_names: set(&["curl@"]), ..leaf() }, root())]), &alice(), &hello_drv()).into()],
        ..drv_realisation("The same, with a name that is not permitted", "hello-2.12.drv", "out", "hello-2.12")
    }
    .refused("name-not-permitted"),
    "refuse-realisation-drv-store": Scenario {
        store_directory: "/gnu/store".to_owned(),
        ..drv_realisation("The same in another store", "hello-2.12.drv", "out", "hello-2.12")
    }
    .refused("store-directory-not-permitted"),
    "refuse-realisation-drv-signed-by-hash": Scenario {
        fingerprint: hello_drv(),
        ..realisation("Signed as Nix 2.34 does, judged as Nix 2.35 does", leaf())
    }
    .refused("bad-signature"),
    "refuse-realisation-signed-by-drv": Scenario {
        fingerprint: hello_hash(),
        ..drv_realisation("Signed as Nix 2.35 does, judged as Nix 2.34 does", "hello-2.12.drv", "out", "hello-2.12")
    }
    .refused("bad-signature"),
    "accept-realisation-drv-output": drv_realisation("Another output than 'out'", "hello-2.12.drv", "dev", "hello-2.12-dev").accepted(),
    "refuse-realisation-drv-output": malformed_drv("Another output, by the name of 'out'", "hello-2.12.drv", "dev", "hello-2.12"),
    "refuse-realisation-drv-output-out": malformed_drv("The output 'out', by the name of another", "hello-2.12.drv", "out", "hello-2.12-out"),
    "refuse-realisation-drv-output-empty": malformed_drv("An output without a name", "hello-2.12.drv", "", "hello-2.12-"),
    "refuse-realisation-drv-output-slash": malformed_drv("An output's name that no store path can end in", "hello-2.12.drv", "a/b", "hello-2.12-a/b"),
    "refuse-realisation-drv-output-escape": malformed_realisation("An escape in an output's name", &hello_drv().replace("out\"", r#"\u006fut""#)),
    "refuse-realisation-drv-output-needed-escape": malformed_realisation("An escape in an output's name that JSON needs", &hello_drv().replace("out\"", r#"o\nut""#)),
    "refuse-realisation-drv-name": malformed_drv("A derivation of another name than its output", "openssl-3.4.drv", "out", "hello-2.12"),
    "accept-realisation-drv-of-drv": drv_realisation("A derivation that builds a derivation", "hello-2.12.drv.drv", "out", "hello-2.12.drv").accepted(),
    "refuse-realisation-drv-not-drv": malformed_drv("A derivation that is none", "hello-2.12", "out", "hello-2.12"),
    "refuse-realisation-drv-nameless": malformed_drv("A derivation without a name", ".drv", "dev", "-dev"),
    "accept-realisation-drv-longest": drv_realisation("A derivation whose store path's name has 211 bytes", &format!("{}.drv", "x".repeat(207)), "out", &"x".repeat(207)).accepted(),
    "refuse-realisation-drv-longer": malformed_drv("A derivation whose store path's name has 212 bytes", &format!("{}.drv", "x".repeat(208)), "out", &"x".repeat(208)),
    "refuse-realisation-drv-digest": malformed_realisation("A derivation's digest with a letter that Nix's base-32 lacks", &hello_drv().replacen(OTHER_DIGEST, &format!("e{}", &OTHER_DIGEST[1..]), 1)),
    "refuse-realisation-drv-full-path": malformed_realisation("A derivation by its full store path", &hello_drv().replace(OTHER_DIGEST, &format!("/nix/store/{OTHER_DIGEST}"))),
    "refuse-realisation-drv-full-out-path": malformed_realisation("An output by its full store path", &hello_drv().replace(DIGEST, &format!("/nix/store/{DIGEST}"))),
    "refuse-realisation-drv-signatures": malformed_realisation("With its signatures", &hello_drv().replace("}}", r#","signatures":[]}}"#)),
    "refuse-realisation-drv-dependent": malformed_realisation("With a field of Nix 2.34's form", &hello_drv().replace(r#"{"key""#, r#"{"dependentRealisations":{},"key""#)),
    "refuse-realisation-drv-field": malformed_realisation("With an unknown field", &hello_drv().replace("}}", r#"},"x":""}"#)),
    "refuse-realisation-drv-order": malformed_realisation("The value before the key", &format!(r#"{{"value":{{"outPath":"{DIGEST}-hello-2.12"}},"key":{{"drvPath":"{OTHER_DIGEST}-hello-2.12.drv","outputName":"out"}}}}"#)),
    "refuse-realisation-drv-key-order": malformed_realisation("The output's name before the derivation", &format!(r#"{{"key":{{"outputName":"out","drvPath":"{OTHER_DIGEST}-hello-2.12.drv"}},"value":{{"outPath":"{DIGEST}-hello-2.12"}}}}"#)),
    "refuse-realisation-drv-space": malformed_realisation("White space in the key", &hello_drv().replace(r#","outputName""#, r#", "outputName""#)),
    "refuse-realisation-drv-trailing": malformed_realisation("Something behind the key and the value", &format!("{} ", hello_drv())),
    "refuse-realisation-drv-twice": malformed_realisation("An output's name twice", &hello_drv().replace(r#""outputName""#, r#""outputName":"out","outputName""#)),
    "refuse-realisation-drv-array": malformed_realisation("Lists instead of objects", &format!(r#"{{"key":["{OTHER_DIGEST}-hello-2.12.drv","out"],"value":["{DIGEST}-hello-2.12"]}}"#)),
    "refuse-realisation-drv-text": malformed_realisation("A key that is one string", &format!(r#"{{"key":"{OTHER_DIGEST}-hello-2.12.drv^out","value":{{"outPath":"{DIGEST}-hello-2.12"}}}}"#)),
    "refuse-malformed-object": Scenario {
        fingerprint: hello().replacen("1;", "2;", 1),
        ..alice_signs("A fingerprint of another version", leaf(), "hello-2.12")
    }.with(&[], Some("malformed-object")),

    // Time.
    "accept-first-second": Scenario { now: NOW - DAY, ..alice_signs("The first second of validity", leaf(), "hello-2.12") }.accepted(),
    "refuse-not-yet-valid": Scenario { now: NOW - DAY - 1, ..alice_signs("The second before it", leaf(), "hello-2.12") }.refused("not-yet-valid"),
    "accept-last-second": Scenario { now: NOW + 89 * DAY - 1, ..alice_signs("The last second of validity", leaf(), "hello-2.12") }.accepted(),
    "refuse-expired": Scenario { now: NOW + 89 * DAY, ..alice_signs("The second after it", leaf(), "hello-2.12") }.refused("expired"),
    "refuse-expired-intermediate": alice_signs_through("The intermediate expired a second ago", &[(leaf(), intermediate(1)), (Draft { not_after: Instant::from_seconds(NOW).unwrap(), ..issuer(1, 0) }, root())]).refused("expired"),
    "accept-registered-in-time": Scenario { now: NOW + 200 * DAY, registered: Some(NOW), ..alice_signs("Already valid here since before the certificate expired", leaf(), "hello-2.12") }.accepted(),
    "refuse-registered-too-late": Scenario { now: NOW + 200 * DAY, registered: Some(NOW + 100 * DAY), ..alice_signs("Registered here after the certificate expired", leaf(), "hello-2.12") }.refused("expired"),
    "accept-registered-before": Scenario { registered: Some(NOW - 50 * DAY), ..alice_signs("Already valid here before the certificate was, and signed since", leaf(), "hello-2.12") }.accepted(),
    "refuse-registered-never": Scenario { now: NOW + 200 * DAY, registered: Some(0), ..alice_signs("A registration time of 0 is none", Draft { not_before: Instant::from_seconds(0).unwrap(), ..leaf() }, "hello-2.12") }.refused("expired"),
    "refuse-registered-in-future": Scenario { now: NOW - 2 * DAY, registered: Some(NOW), ..alice_signs("A registration time later than now is none", leaf(), "hello-2.12") }.refused("not-yet-valid"),
    "refuse-no-common-instant": Scenario { now: NOW + 50 * DAY, registered: Some(NOW), ..alice_signs_through("Each certificate is valid at one of the instants, but none of them for both", &[(leaf_from(NOW + DAY), intermediate(1)), (Draft { not_after: Instant::from_seconds(NOW + DAY).unwrap(), ..issuer(1, 0) }, root())]) }.refused("expired"),

    // Usage and constraints.
    "refuse-usage": alice_signs("Only for realisations", Draft { usages: usages(&[Usage::ImportRealisations]), ..leaf() }, "hello-2.12").refused("missing-usage"),
    "refuse-usage-intermediate": alice_signs_through("The intermediate may issue, but not for paths", &[(leaf(), intermediate(1)), (Draft { usages: usages(&[Usage::Issue, Usage::ImportRealisations]), ..issuer(1, 0) }, root())]).refused("missing-usage"),
    "accept-realisation": realisation("A realisation", leaf()).accepted(),
    "refuse-realisation-usage": realisation("A realisation, by a certificate for paths", Draft { usages: usages(&[Usage::ImportPaths]), ..leaf() }).refused("missing-usage"),
    "refuse-realisation-name": realisation("A realisation of an output whose name is not permitted", Draft { permitted_names: set(&["curl@"]), ..leaf() }).refused("name-not-permitted"),
    "accept-package": alice_signs("glibc@ permits every version of glibc", Draft { permitted_names: set(&["glibc@"]), ..leaf() }, "glibc-2.40-66-bin").accepted(),
    "refuse-package": alice_signs("glibc@ does not permit glibc-locales", Draft { permitted_names: set(&["glibc@"]), ..leaf() }, "glibc-locales-2.40").refused("name-not-permitted"),
    "accept-package-odd-version": alice_signs("The version begins behind a dash that no letter follows", Draft { permitted_names: set(&["foo@"]), ..leaf() }, "foo-_x").accepted(),
    "accept-package-two-dashes": alice_signs("A second dash is no letter", Draft { permitted_names: set(&["foo@"]), ..leaf() }, "foo--bar").accepted(),
    "accept-package-ending-in-dash": alice_signs("A package may end in a dash", Draft { permitted_names: set(&["foo-@"]), ..leaf() }, "foo-").accepted(),
    "refuse-package-dash-at-end": alice_signs("A dash at the very end splits nothing", Draft { permitted_names: set(&["foo@"]), ..leaf() }, "foo-").refused("name-not-permitted"),
    "accept-glob": alice_signs("acme-* permits acme-web-1", Draft { permitted_names: set(&["acme-*"]), ..leaf() }, "acme-web-1").accepted(),
    "refuse-glob": alice_signs("acme-* does not permit my-acme-web-1", Draft { permitted_names: set(&["acme-*"]), ..leaf() }, "my-acme-web-1").refused("name-not-permitted"),
    "accept-not-excluded": alice_signs("sudo@ is excluded, sudo-rs is not", Draft { excluded_names: set(&["sudo@"]), ..leaf() }, "sudo-rs-0.2").accepted(),
    "refuse-excluded": alice_signs("sudo@ is excluded", Draft { excluded_names: set(&["sudo@"]), ..leaf() }, "sudo-1.9.17").refused("name-excluded"),
    "refuse-name-intermediate": alice_signs_through("The intermediate does not permit hello", &[(leaf(), intermediate(1)), (Draft { permitted_names: set(&["acme-*"]), ..issuer(1, 0) }, root())]).refused("name-not-permitted"),
    "refuse-excluded-intermediate": alice_signs_through("The intermediate excludes hello; the leaf does not", &[(leaf(), intermediate(1)), (Draft { excluded_names: set(&["hello@"]), ..issuer(1, 0) }, root())]).refused("name-excluded"),
    "accept-host": on_host("The host matches", Some("web-1.example.org")).accepted(),
    "refuse-host": on_host("Another host", Some("db-1.example.org")).refused("host-not-permitted"),
    "refuse-host-unnamed": on_host("A host without a configured name", None).refused("host-name-not-configured"),
    "refuse-host-intermediate": Scenario { host: Some("db-1".to_owned()), ..alice_signs_through("The intermediate is for other hosts", &[(leaf(), intermediate(1)), (Draft { hosts: set(&["web-*"]), ..issuer(1, 0) }, root())]) }.refused("host-not-permitted"),
    "accept-store-directory": in_store("Another store directory, written out", &["/gnu/store"]).accepted(),
    "refuse-store-directory": in_store("Another store directory, not written out", &[]).refused("store-directory-not-permitted"),
    "refuse-store-directory-intermediate": in_store_through_intermediate().refused("store-directory-not-permitted"),

    // Several signatures.
    "accept-behind-broken": behind("A good signature behind a broken one", "alice:x".to_owned()).with(&[Some("malformed-signature"), None], None),
    "accept-behind-expired": behind_expired().with(&[Some("expired"), None], None),
    "refuse-furthest": furthest().with(&[Some("expired"), Some("unknown-key"), Some("untrusted-ca")], Some("expired")),
    "accept-behind-junk": behind_junk("A good signature behind 10,000 worthless ones under its own name", 10_000).with(&[Some("bad-signature"), None], None),
    "refuse-too-many": behind_junk("A good signature behind as many as are looked at", 65_536).with(&[Some("bad-signature"), Some("too-many-signatures")], Some("bad-signature")),
    "refuse-broken-configuration": Scenario {
        trusted_ca_keys: vec![entry("acme-2026-1", &root()), "acme-2026-2:mistyped".to_owned()],
        ..alice_signs("One of the trusted CA keys is mistyped: no certificate counts", leaf(), "hello-2.12")
    }.refused("broken-configuration"),
    "refuse-weak-ca-key": Scenario {
        trusted_ca_keys: vec![entry("acme-2026-1", &root()), format!("weak:{}", base64_encode(&[0; 32]))],
        ..alice_signs("One of the trusted CA keys is a point of small order", leaf(), "hello-2.12")
    }.refused("broken-configuration"),
    "refuse-ca-key-two-names": Scenario {
        trusted_ca_keys: vec![entry("acme-2026-1", &root()), entry("acme-2026-2", &root())],
        ..alice_signs("One CA key under two names", leaf(), "hello-2.12")
    }.refused("broken-configuration"),
    "refuse-ca-name-two-keys": Scenario {
        trusted_ca_keys: vec![entry("acme-2026-1", &root()), entry("acme-2026-1", &other_root())],
        ..alice_signs("Two CA keys under one name", leaf(), "hello-2.12")
    }
    .refused("broken-configuration"),
    "refuse-ca-name-byte": Scenario {
        trusted_ca_keys: vec![entry("acme 1", &root())],
        ..alice_signs("A CA name with a space", leaf(), "hello-2.12")
    }
    .refused("broken-configuration"),
    "refuse-broken-host-name": Scenario {
        host: Some("Web-1".to_owned()),
        ..alice_signs("The configured host name is none", leaf(), "hello-2.12")
    }.refused("broken-configuration"),
    "accept-plain-despite-broken-configuration": Scenario {
        trusted_ca_keys: vec!["acme-2026-2:mistyped".to_owned()],
        ..plain("The same for a plain key: it counts", &cache())
    }.accepted(),
}

fn plain(description: &'static str, key: &SecretKey) -> Scenario {
    Scenario {
        trusted_public_keys: vec![entry("cache.example.org-1", &cache())],
        ..scenario(description, hello(), vec![sign("cache.example.org-1", key, &hello()).into()])
    }
}

fn plain_payload(description: &'static str, payload: &[u8]) -> Scenario {
    let text = format!("cache.example.org-1:{}", base64_encode(payload));
    Scenario { signatures: vec![text.into()], ..plain(description, &cache()) }
}

fn alice_text(description: &'static str, text: &str) -> Scenario {
    scenario(description, hello(), vec![text.to_owned().into()])
}

/// The last character before the padding carries four bits that must be zero.
fn padding_bits() -> Scenario {
    let good = plain("Unused bits of base64 that are not zero", &cache());
    let text = good.signatures[0].text();
    let (kept, last) = text.strip_suffix("==").unwrap().split_at(text.len() - 3);
    let next = char::from(last.as_bytes()[0] + 1);
    let text = format!("{kept}{next}==");
    Scenario { signatures: vec![text.into()], ..good }
}

/// A name, from certificates.
fn name_of(certificates: &[Vec<u8>]) -> String {
    let parts: Vec<String> = certificates.iter().map(|bytes| base32_encode(bytes)).collect();
    format!("alice.nixcert1.{}", parts.join("."))
}

/// A certificate that names this issuer, but was signed by another key.
fn forged(draft: &Draft, issuer: &SecretKey, by: &SecretKey) -> Vec<u8> {
    let mut bytes = draft.sign(issuer).unwrap();
    let at = bytes.len() - 64;
    let signature = by.sign(&[CERTIFICATE_CONTEXT, &bytes[..at]].concat());
    bytes[at..].copy_from_slice(&signature);
    bytes
}

const HELLO: &str = "/nix/store/2m6rq2qfyv3w0lhxj8f1p9c4dbnk7g5s-hello-2.12";

/// Alice signs this fingerprint.
fn object(description: &'static str, fingerprint: &str) -> Scenario {
    let signature = sign(&name(&[(leaf(), root())]), &alice(), fingerprint);
    scenario(description, fingerprint.to_owned(), vec![signature.into()])
}

fn malformed(description: &'static str, fingerprint: &str) -> Scenario {
    object(description, fingerprint).with(&[], Some("malformed-object"))
}

fn realisation_of(description: &'static str, fingerprint: &str) -> Scenario {
    Scenario { kind: Kind::Realisation, ..object(description, fingerprint) }
}

fn malformed_realisation(description: &'static str, fingerprint: &str) -> Scenario {
    realisation_of(description, fingerprint).with(&[], Some("malformed-object"))
}

/// Of the output of a derivation, both by the name of their store paths.
fn drv_realisation(description: &'static str, derivation: &str, output: &str, path: &str) -> Scenario {
    realisation_of(description, &drv_fingerprint(derivation, output, path))
}

fn malformed_drv(description: &'static str, derivation: &str, output: &str, path: &str) -> Scenario {
    drv_realisation(description, derivation, output, path).with(&[], Some("malformed-object"))
}

fn drv_fingerprint(derivation: &str, output: &str, path: &str) -> String {
    format!(
        r#"{{"key":{{"drvPath":"{OTHER_DIGEST}-{derivation}","outputName":"{output}"}},"value":{{"outPath":"{DIGEST}-{path}"}}}}"#
    )
}

fn hello_drv() -> String {
    drv_fingerprint("hello-2.12.drv", "out", "hello-2.12")
}

/// Add the group order to S, the second half of a signature: the same equation holds, in another encoding.
fn add_order(signature: &mut [u8]) {
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + add + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
}

fn malleable(signature: &str) -> String {
    let (name, payload) = signature.split_once(':').unwrap();
    let mut bytes = nixcert_core::base64_decode(payload.as_bytes()).unwrap();
    add_order(&mut bytes);
    format!("{name}:{}", base64_encode(&bytes))
}

fn malleable_certificate() -> String {
    let mut bytes = leaf().sign(&root()).unwrap();
    let at = bytes.len() - 64;
    add_order(&mut bytes[at..]);
    format!("alice.nixcert1.{}", base32_encode(&bytes))
}

/// Fill a certificate up with an unknown extension, to this length with its signature.
fn pad_with_extension(bytes: &mut Vec<u8>, length: usize) {
    bytes[EXTENSION_COUNT] = 1;
    let value = length - 64 - bytes.len() - 3;
    bytes.push(200);
    bytes.extend(u16::try_from(value).unwrap().to_be_bytes());
    bytes.extend(std::iter::repeat_n(0, value));
}

fn pinned(description: &'static str) -> Scenario {
    let name = name(&[(leaf(), root())]);
    Scenario {
        trusted_ca_keys: vec![],
        trusted_public_keys: vec![entry(&name, &alice())],
        ..alice_signs(description, leaf(), "hello-2.12")
    }
}

fn three_intermediates(topmost: u8) -> Vec<(Draft, SecretKey)> {
    vec![
        (leaf(), intermediate(1)),
        (issuer(1, 0), intermediate(2)),
        (issuer(2, 1), intermediate(3)),
        (issuer(3, topmost), root()),
    ]
}

fn four_intermediates() -> Vec<(Draft, SecretKey)> {
    let mut chain = three_intermediates(2);
    chain[3].1 = intermediate(4);
    chain.push((issuer(4, 3), root()));
    chain
}

/// Bob has a leaf; he signs a certificate for Alice with it.
fn leaf_as_issuer() -> Vec<(Draft, SecretKey)> {
    vec![(leaf(), bob()), (Draft { label: "bob".to_owned(), subject: bob().public(), ..leaf() }, root())]
}

fn issuer_as_leaf() -> Scenario {
    let name = name(&[(issuer(1, 0), root())]);
    let signature = sign(&name, &intermediate(1), &hello());
    scenario("An intermediate CA signs a package with its own key", hello(), vec![signature.into()])
}

fn certificate_bit() -> Scenario {
    let mut bytes = leaf().sign(&root()).unwrap();
    bytes[SERIAL + 7] ^= 1;
    alice_signs_as(
        "One bit of the serial number was changed",
        &format!("alice.nixcert1.{}", base32_encode(&bytes)),
    )
}

fn upper_case(name: &str) -> String {
    let (label, certificate) = name.split_once(".nixcert1.").unwrap();
    format!("{label}.nixcert1.{}", certificate.to_uppercase())
}

/// 169 + 4 bytes are not a multiple of five: the last character has unused bits.
fn base32_bits() -> String {
    let name = name(&[(leaf(), root())]);
    let (kept, last) = name.split_at(name.len() - 1);
    let bytes = base32_decode(name.split_once(".nixcert1.").unwrap().1.as_bytes()).unwrap();
    assert!(!bytes.len().is_multiple_of(5));
    let last = last.as_bytes()[0];
    let next = if last == b'z' { '2' } else { char::from(last + 1) };
    format!("{kept}{next}")
}

fn cut_off() -> String {
    let name = name(&[(leaf(), root())]);
    let (label, certificate) = name.split_once(".nixcert1.").unwrap();
    let bytes = base32_decode(certificate.as_bytes()).unwrap();
    format!("{label}.nixcert1.{}", base32_encode(&bytes[..bytes.len() - 10]))
}

/// Add a constraint behind the others.
fn insert_constraint(bytes: &mut Vec<u8>, constraint: &[u8]) {
    bytes[CONSTRAINT_COUNT] += 1;
    bytes.splice(EXTENSION_COUNT..EXTENSION_COUNT, constraint.iter().copied());
}

fn other_object() -> Scenario {
    let other = fingerprint_of("/nix/store", "hello-2.11");
    scenario(
        "Alice's signature of another object",
        hello(),
        vec![sign(&name(&[(leaf(), root())]), &alice(), &other).into()],
    )
}

fn leaf_from(not_before: u64) -> Draft {
    Draft { not_before: Instant::from_seconds(not_before).unwrap(), ..leaf() }
}

fn usages(usages: &[Usage]) -> Usages {
    usages.iter().copied().collect()
}

fn hello_hash() -> String {
    format!(
        r#"{{"dependentRealisations":{{}},"id":"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad!out","outPath":"{DIGEST}-hello-2.12"}}"#
    )
}

fn realisation(description: &'static str, draft: Draft) -> Scenario {
    let fingerprint = hello_hash();
    let signature = sign(&name(&[(draft, root())]), &alice(), &fingerprint);
    Scenario { kind: Kind::Realisation, ..scenario(description, fingerprint, vec![signature.into()]) }
}

fn on_host(description: &'static str, host: Option<&str>) -> Scenario {
    let draft = Draft { hosts: set(&["web-?.example.org", "ci"]), ..leaf() };
    Scenario { host: host.map(str::to_owned), ..alice_signs(description, draft, "hello-2.12") }
}

fn in_store(description: &'static str, directories: &[&str]) -> Scenario {
    let draft = Draft { store_directories: set(directories), ..leaf() };
    let fingerprint = fingerprint_of("/gnu/store", "hello-2.12");
    let signature = sign(&name(&[(draft, root())]), &alice(), &fingerprint);
    Scenario {
        store_directory: "/gnu/store".to_owned(),
        ..scenario(description, fingerprint, vec![signature.into()])
    }
}

fn in_store_through_intermediate() -> Scenario {
    let leaf = Draft { store_directories: set(&["/gnu/store"]), ..leaf() };
    let fingerprint = fingerprint_of("/gnu/store", "hello-2.12");
    let signature = sign(&name(&[(leaf, intermediate(1)), (issuer(1, 0), root())]), &alice(), &fingerprint);
    let description = "The leaf names the store directory; its intermediate does not";
    Scenario {
        store_directory: "/gnu/store".to_owned(),
        ..scenario(description, fingerprint, vec![signature.into()])
    }
}

fn behind(description: &'static str, first: String) -> Scenario {
    let mut scenario = alice_signs(description, leaf(), "hello-2.12");
    scenario.signatures.insert(0, first.into());
    scenario
}

fn behind_expired() -> Scenario {
    let old = Draft { serial: Serial(1), not_after: Instant::from_seconds(NOW).unwrap(), ..leaf() };
    behind(
        "A renewed certificate of the same key, beside the expired one",
        sign(&name(&[(old, root())]), &alice(), &hello()),
    )
}

fn furthest() -> Scenario {
    let unknown = sign("bob-1", &bob(), &hello());
    let other_ca = sign(&name(&[(leaf(), other_root())]), &alice(), &hello());
    let expired = Scenario {
        now: NOW + 100 * DAY,
        ..alice_signs("The reason is that of the signature which came furthest", leaf(), "hello-2.12")
    };
    let signatures = [expired.signatures.clone(), vec![unknown.into(), other_ca.into()]].concat();
    Scenario { signatures, ..expired }
}

fn behind_junk(description: &'static str, junk: usize) -> Scenario {
    let mut scenario = alice_signs(description, leaf(), "hello-2.12");
    scenario.signatures.insert(0, Signature::Junk { junk, name: name(&[(leaf(), root())]) });
    scenario
}

/// The table of FORMAT section 9.
pub(crate) fn worked_example() -> String {
    let bytes = leaf().sign(&root()).unwrap();
    let hex = |range: std::ops::Range<usize>| {
        bytes[range].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let long = |range: std::ops::Range<usize>| {
        hex(range)
            .as_bytes()
            .chunks(32)
            .map(|chunk| String::from_utf8_lossy(chunk).into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let name = name(&[(leaf(), root())]);
    let signature = sign(&name, &alice(), &hello());
    let wrapped: Vec<String> =
        signature.as_bytes().chunks(100).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    let label = Label::parse(&bytes[LABEL..SUBJECT]).unwrap();
    let rows = [
        ("version", hex(0..1), "1".to_owned()),
        ("algorithm", hex(1..2), "Ed25519".to_owned()),
        ("serial", hex(SERIAL..LABEL_LENGTH), String::new()),
        ("label length", hex(LABEL_LENGTH..LABEL), "5".to_owned()),
        ("label", hex(LABEL..SUBJECT), label.to_string()),
        ("subject", long(SUBJECT..ISSUER), "public key of the seed `20` × 32".to_owned()),
        ("issuer", long(ISSUER..NOT_BEFORE), "public key of the seed `01` × 32".to_owned()),
        ("not-before", hex(NOT_BEFORE..NOT_AFTER), Instant::from_seconds(NOW - DAY).unwrap().to_string()),
        ("not-after", hex(NOT_AFTER..USAGES), Instant::from_seconds(NOW + 89 * DAY).unwrap().to_string()),
        ("usages", hex(USAGES..CONSTRAINT_COUNT), "import-paths, import-realisations".to_owned()),
        ("constraint count", hex(CONSTRAINT_COUNT..PERMITTED), "2".to_owned()),
        ("permitted-names", hex(PERMITTED..HOSTS), "kind 1, length 2: one item of one byte, `*`".to_owned()),
        ("hosts", hex(HOSTS..EXTENSION_COUNT), "kind 3, length 2: one item of one byte, `*`".to_owned()),
        ("extension count", hex(EXTENSION_COUNT..EXTENSION_COUNT + 1), "0".to_owned()),
        ("signature", long(EXTENSION_COUNT + 1..bytes.len()), "by the issuer, over F5".to_owned()),
    ];
    let rows: String =
        rows.iter().map(|(field, bytes, meaning)| format!("| {field} | `{bytes}` | {meaning} |\n")).collect();
    format!(
        "| field | bytes | meaning |\n| --- | --- | --- |\n{rows}\nThe fingerprint\n\n```text\n{}\n```\n\nand Alice's signature of it, broken into lines here:\n\n```text\n{}\n```\n",
        hello(),
        wrapped.join("\n")
    )
}
