//! The activation gate: who vouches for a closure (FORMAT section 13).

use super::policy::{ACME, and};
use super::revocation::{by_ca, compromised, key, label, retired};
use super::votes::of;
use super::*;
use nixcert_core::{ClosureDigest, ClosureName, Statement, StorePath, closure_digest};
use serde_json::json;

/// A closure that is to be activated. `tests/vectors/README.md` describes the file.
#[derive(Clone, Serialize)]
pub(crate) struct ClosureScenario {
    pub(crate) description: &'static str,
    pub(crate) now: u64,
    pub(crate) host: Option<String>,
    pub(crate) trusted_ca_keys: Vec<String>,
    pub(crate) trusted_public_keys: Vec<String>,
    pub(crate) policy: Value,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) revocation_lists: Vec<Held>,
    /// The login name of who asks.
    pub(crate) caller: Option<String>,
    /// The newest statement by which something was activated, in base64.
    pub(crate) last: Option<String>,
    /// Whether this closure was activated before.
    pub(crate) again: bool,
    /// The top-level path first.
    pub(crate) paths: Vec<ClosurePath>,
    pub(crate) expected: ExpectedClosure,
}

#[derive(Clone, Serialize)]
pub(crate) struct ClosurePath {
    pub(crate) fingerprint: String,
    pub(crate) signatures: Vec<String>,
    /// Whether its contents are what its name says; absent if it does not claim that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_addressed: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) earlier: Vec<EarlierVouchers>,
}

/// Who vouched for this fingerprint in a deployment that was activated.
#[derive(Clone, Serialize)]
pub(crate) struct EarlierVouchers {
    pub(crate) activated: u64,
    pub(crate) vouchers: Vec<RecordedVoucher>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RecordedVoucher {
    Itself,
    Vendor(String),
    Person(String),
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ExpectedClosure {
    pub(crate) reason: Option<String>,
    /// For each closure signature of the top-level path.
    pub(crate) closure_signatures: Vec<Option<String>>,
    /// For each path its basis; none if nobody vouches for it. Empty if the gate does not open at all.
    pub(crate) bases: Vec<Option<String>>,
}

const TOP_DIGEST: &str = "1v8q0gmwmf3cq9rw4i4qg4y2pxcnp1s3";
const SUDO_DIGEST: &str = "fdk8yzb6b8p2w7r5kkq9x0asmlg4nnh1";
const SOURCE_DIGEST: &str = "9zzk1w2jz4c0qs8xagh5dfrmy7bvlp36";
const OTHER_HASH: &str = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";

fn top_path() -> String {
    format!("/nix/store/{TOP_DIGEST}-nixos-system-web-1")
}

fn fingerprint(digest: &str, name: &str, hash: &str, references: &[(&str, &str)]) -> String {
    let mut references: Vec<String> =
        references.iter().map(|(digest, name)| format!("/nix/store/{digest}-{name}")).collect();
    references.sort();
    format!("1;/nix/store/{digest}-{name};sha256:{hash};196040;{}", references.join(","))
}

/// A system of four paths: itself, sudo, a vendor's library, and a file that is content-addressed.
fn system() -> Vec<ClosurePath> {
    let path = |fingerprint: String| ClosurePath {
        fingerprint,
        signatures: vec![],
        content_addressed: None,
        earlier: vec![],
    };
    let (glibc, sudo, source) =
        ((OTHER_DIGEST, "glibc-2.40"), (SUDO_DIGEST, "sudo-1.9.17"), (SOURCE_DIGEST, "motd"));
    let mut library = path(fingerprint(glibc.0, glibc.1, HASH, &[glibc]));
    library.signatures = vec![sign("cache.example.org-1", &cache(), &library.fingerprint)];
    vec![
        path(fingerprint(TOP_DIGEST, "nixos-system-web-1", HASH, &[glibc, sudo, source])),
        path(fingerprint(sudo.0, sudo.1, HASH, &[glibc])),
        library,
        ClosurePath { content_addressed: Some(true), ..path(fingerprint(source.0, source.1, HASH, &[])) },
    ]
}

fn digest_of(paths: &[ClosurePath]) -> ClosureDigest {
    closure_digest(paths.iter().map(|path| &path.fingerprint)).unwrap()
}

/// About that system, for every host, signed an hour ago, for a week.
fn statement() -> Statement {
    Statement {
        path: StorePath::parse(&top_path()).unwrap(),
        closure: digest_of(&system()),
        hosts: set(&["*"]),
        signed: Instant::from_seconds(SIGNED).unwrap(),
        not_after: Instant::from_seconds(NOW + 7 * DAY).unwrap(),
    }
}

const SIGNED: u64 = NOW - 3_600;

/// What lets people vouch.
fn voucher(draft: Draft) -> Draft {
    Draft { usages: [Usage::ImportPaths, Usage::VouchForSystems].into_iter().collect(), ..draft }
}

fn alices() -> String {
    name(&[(voucher(leaf()), root())])
}

fn bobs() -> String {
    name(&[(voucher(of("bob", &bob())), root())])
}

fn carol() -> SecretKey {
    SecretKey::from_seed(&[0x22; 32])
}

fn carols() -> String {
    name(&[(voucher(of("carol", &carol())), root())])
}

/// About a closure that came out otherwise.
fn of_elsewhere() -> Statement {
    Statement { closure: ClosureDigest { sha256: [9; 32], paths: 4 }, ..statement() }
}

fn closure_signature(statement: &Statement, certificate_name: &str, key: &SecretKey) -> String {
    let bytes = statement.to_bytes().unwrap();
    let name = ClosureName::format(&bytes, certificate_name).unwrap();
    format!("{name}:{}", base64_encode(&key.sign(&statement.signed_message().unwrap())))
}

fn policy() -> Value {
    json!({
        "version": 1,
        "revocation-lists": "/var/lib/nixcert/revocation",
        "ca": { ACME: { "permitted-names": ["*"], "usages": ["import-paths", "vouch-for-systems"] } },
        "activation": { "vendors": [entry("cache.example.org-1", &cache())] },
    })
}

fn rule(rule: &str, value: Value) -> Value {
    and(policy(), &["activation", rule], value)
}

fn deployment(description: &'static str, paths: Vec<ClosurePath>) -> ClosureScenario {
    ClosureScenario {
        description,
        now: NOW,
        host: Some("web-1".to_owned()),
        trusted_ca_keys: vec![entry(ACME, &root())],
        trusted_public_keys: vec![],
        policy: policy(),
        revocation_lists: vec![],
        caller: Some("alice".to_owned()),
        last: None,
        again: false,
        paths,
        expected: ExpectedClosure::default(),
    }
}

/// The system, with these closure signatures.
fn with_closure(description: &'static str, signatures: &[String]) -> ClosureScenario {
    let mut paths = system();
    paths[0].signatures = signatures.to_vec();
    deployment(description, paths)
}

/// The system, with Alice's signature of this statement.
fn stated(description: &'static str, statement: &Statement) -> ClosureScenario {
    with_closure(description, &[closure_signature(statement, &alices(), &alice())])
}

/// Signed under this certificate.
fn by_leaf(description: &'static str, draft: Draft) -> ClosureScenario {
    with_closure(description, &[closure_signature(&statement(), &name(&[(draft, root())]), &alice())])
}

fn by_alice(description: &'static str) -> ClosureScenario {
    stated(description, &statement())
}

fn by_both(description: &'static str) -> ClosureScenario {
    let signatures = [
        closure_signature(&statement(), &alices(), &alice()),
        closure_signature(&statement(), &bobs(), &bob()),
    ];
    with_closure(description, &signatures)
}

impl ClosurePath {
    fn signed(mut self, certificate_name: &str, key: &SecretKey) -> Self {
        self.signatures.push(sign(certificate_name, key, &self.fingerprint));
        self
    }
}

/// Alice has signed each path, and not the closure.
fn each_signed(description: &'static str) -> ClosureScenario {
    let paths = system().into_iter().map(|path| path.signed(&alices(), &alice())).collect();
    deployment(description, paths)
}

impl ClosureScenario {
    fn under(self, policy: Value) -> Self {
        Self { policy, ..self }
    }

    fn holding(self, lists: &[Held]) -> Self {
        Self { revocation_lists: lists.to_vec(), ..self }
    }

    fn after(self, statement: &Statement) -> Self {
        Self { last: Some(base64_encode(&statement.to_bytes().unwrap())), ..self }
    }

    /// Change one path.
    fn path(mut self, index: usize, change: impl FnOnce(&mut ClosurePath)) -> Self {
        change(&mut self.paths[index]);
        self
    }

    fn expect<const N: usize>(
        mut self,
        reason: Option<&str>,
        signatures: &[Option<&str>],
        bases: [Option<&str>; N],
    ) -> Self {
        let owned = |code: &Option<&str>| code.map(str::to_owned);
        self.expected = ExpectedClosure {
            reason: owned(&reason),
            closure_signatures: signatures.iter().map(owned).collect(),
            bases: bases.iter().map(owned).collect(),
        };
        self
    }

    /// All closure signatures count, and cover everything.
    fn accepted(self) -> Self {
        let signatures: Vec<Option<&str>> =
            self.paths[0].signatures.iter().filter(|text| text.contains("-closure.")).map(|_| None).collect();
        self.expect(None, &signatures, [COVERED; 4])
    }

    /// The one closure signature does not count; so only (a) and (b) are left.
    fn refused(self, reason: &str) -> Self {
        self.expect(Some(reason), &[Some(reason)], [None, None, VENDOR, ITSELF])
    }

    /// The gate does not even look.
    fn closed(mut self, reason: &str) -> Self {
        self.expected.reason = Some(reason.to_owned());
        self
    }
}

const COVERED: Option<&str> = Some("closure-signature");
const SIGNATURES: Option<&str> = Some("signatures");
const VENDOR: Option<&str> = Some("vendor");
const ITSELF: Option<&str> = Some("content-addressed");
const EARLIER: Option<&str> = Some("earlier-generation");
const LEFT: Option<&str> = Some("not-vouched-for");

/// The contents are others than what was signed.
fn doctored(path: &mut ClosurePath) {
    path.fingerprint = path.fingerprint.replace(HASH, OTHER_HASH);
}

/// Mallory may import whatever she likes, and vouches for nothing.
fn mallory() -> SecretKey {
    SecretKey::from_seed(&[0x66; 32])
}

fn mallorys() -> String {
    name(&[(of("mallory", &mallory()), root())])
}

fn earlier(person: &str) -> EarlierVouchers {
    EarlierVouchers { activated: NOW - 5 * 3_600, vouchers: vec![RecordedVoucher::Person(person.to_owned())] }
}

/// Bob deploys on top of what Alice has deployed: his sudo came out otherwise than hers, which is here.
fn on_top(description: &'static str) -> ClosureScenario {
    let mut scenario = with_closure(description, &[closure_signature(&of_elsewhere(), &bobs(), &bob())]);
    scenario.paths[0] = scenario.paths[0].clone().signed(&bobs(), &bob());
    scenario.path(1, |path| {
        path.earlier.push(earlier(&alices()));
        // What he signed is not what is here.
        path.signatures.push(sign(&bobs(), &bob(), "1;something else"));
    })
}

fn votes_of_acme() -> Value {
    let sealed = json!({ "permitted-names": ["*"], "usages": ["vouch-for-systems"] });
    and(and(policy(), &["ca", "sealed-1"], sealed), &["activation", "authorities"], json!([ACME]))
}

/// Rules for the other CA alone.
fn without_rules() -> Value {
    let sealed = json!({ "permitted-names": ["*"], "usages": ["vouch-for-systems"] });
    and(policy(), &["ca"], json!({ "sealed-1": sealed }))
}

/// All of it was activated before, by Alice's word.
fn again(description: &'static str) -> ClosureScenario {
    let mut paths = system();
    for path in &mut paths {
        path.earlier.push(earlier(&alices()));
    }
    let later = Statement { signed: Instant::from_seconds(NOW - 60).unwrap(), ..statement() };
    ClosureScenario { again: true, ..deployment(description, paths) }.after(&later)
}

fn later(by: u64) -> Statement {
    Statement { signed: Instant::from_seconds(SIGNED + by).unwrap(), ..statement() }
}

fn for_hosts(hosts: &[&str]) -> Statement {
    Statement { hosts: set(hosts), ..statement() }
}

fn until(not_after: u64) -> Statement {
    Statement { not_after: Instant::from_seconds(not_after).unwrap(), ..statement() }
}

fn signed_at(signed: u64) -> Statement {
    Statement { signed: Instant::from_seconds(signed).unwrap(), ..statement() }
}

/// A closure signature whose statement's bytes were changed before it was signed.
fn odd(description: &'static str, change: impl FnOnce(&mut Vec<u8>)) -> ClosureScenario {
    let mut bytes = statement().to_bytes().unwrap();
    change(&mut bytes);
    let name = ClosureName::format(&bytes, &alices()).unwrap();
    let payload = alice().sign(&[nixcert_core::CLOSURE_CONTEXT, &bytes].concat());
    with_closure(description, &[format!("{name}:{}", base64_encode(&payload))])
}

scenarios! {
    all: ClosureScenario;

    // G1: the policy.
    "accept-closure": by_alice("Alice's closure signature covers everything").accepted(),
    "refuse-no-policy": by_alice("The policy says nothing of activation")
        .under(json!({ "version": 1, "ca": { ACME: { "permitted-names": ["*"], "usages": ["vouch-for-systems"] } } }))
        .closed("no-activation-policy"),
    "refuse-broken-policy": by_alice("A mistyped key in [activation]").under(rule("vote", json!(2))).closed("broken-configuration"),
    "refuse-broken-policy-elsewhere": by_alice("A mistyped key elsewhere in the policy").under(and(policy(), &["clok"], json!("exact")))
        .closed("broken-configuration"),
    "refuse-broken-ca-key": ClosureScenario { trusted_ca_keys: vec![entry(ACME, &root()), "x:AAAA".to_owned()], ..by_alice("A mistake in trusted-ca-keys") }
        .closed("broken-configuration"),
    "refuse-policy-nobody-vouches": by_alice("No CA may certify people who vouch").under(and(policy(), &["ca", ACME, "usages"], json!(["import-paths"])))
        .closed("broken-configuration"),
    "refuse-policy-unknown-authority": by_alice("Votes of a CA that has no rules").under(rule("authorities", json!(["sealed-1"])))
        .closed("broken-configuration"),
    "refuse-policy-no-votes": by_alice("No votes are asked for").under(rule("votes", json!(0))).closed("broken-configuration"),
    "refuse-policy-vendor": by_alice("A vendor's key that is none").under(rule("vendors", json!(["cache:AAAA"]))).closed("broken-configuration"),

    // S1 to S3, G3: the signature.
    "refuse-unsigned": with_closure("No closure signature", &[]).expect(Some("closure-signature-missing"), &[], [None, None, VENDOR, ITSELF]),
    "refuse-signature-of-other-key": with_closure("Bob signed under Alice's certificate", &[closure_signature(&statement(), &alices(), &bob())])
        .refused("bad-signature"),
    "refuse-signature-of-other-statement": {
        let name = ClosureName::format(&statement().to_bytes().unwrap(), &alices()).unwrap();
        let payload = alice().sign(&later(1).signed_message().unwrap());
        with_closure("Alice signed another statement than the one in the name", &[format!("{name}:{}", base64_encode(&payload))]).refused("bad-signature")
    },
    "refuse-signature-without-context": {
        let bytes = statement().to_bytes().unwrap();
        let name = ClosureName::format(&bytes, &alices()).unwrap();
        with_closure("The statement was signed without what comes before it", &[format!("{name}:{}", base64_encode(&alice().sign(&bytes)))]).refused("bad-signature")
    },
    "refuse-fingerprint-as-closure": {
        let name = ClosureName::format(&statement().to_bytes().unwrap(), &alices()).unwrap();
        with_closure("A signature of the path itself, under the name of a closure signature", &[sign(&name, &alice(), &system()[0].fingerprint)]).refused("bad-signature")
    },
    "refuse-closure-as-signature": {
        let payload = base64_encode(&alice().sign(&statement().signed_message().unwrap()));
        let mut scenario = with_closure("A signature of the statement, under the name of a certificate", &[format!("{}:{payload}", alices())]);
        scenario = scenario.under(rule("closure-signature", json!("optional")));
        scenario.expect(LEFT, &[], [None, None, VENDOR, ITSELF])
    },
    "refuse-version": odd("A statement of version 2", |bytes| bytes[0] = 2).refused("malformed-statement"),
    "refuse-trailing-byte": odd("A byte behind the statement", |bytes| bytes.push(0)).refused("malformed-statement"),
    "refuse-cut-off": odd("A statement that was cut off", |bytes| { bytes.pop(); }).refused("malformed-statement"),
    "refuse-no-hosts": odd("A statement for no host: nothing never means everything", |bytes| {
        let at = bytes.len() - 20;
        bytes.drain(at + 2..at + 4);
        bytes[at + 1] = 0;
    }).refused("malformed-statement"),
    "refuse-malformed-name": with_closure("No certificate", &[format!("alice.nixcert1-closure.74aa:{}", base64_encode(&[0; 64]))]).refused("malformed-name"),
    "refuse-malformed-signature": with_closure("63 bytes of signature", &[
        closure_signature(&statement(), &alices(), &alice()).replace(":", &format!(":{}=", "A".repeat(84))).chars().take_while(|c| *c != ':').collect::<String>()
            + ":" + &base64_encode(&[0; 63]),
    ]).refused("malformed-signature"),
    "refuse-label-mismatch": with_closure("Under Bob's label", &[closure_signature(&statement(), &alices(), &alice()).replacen("alice", "bob", 1)])
        .refused("label-mismatch"),
    "refuse-another-path": stated("About another top-level path", &Statement {
        path: StorePath::parse(&format!("/nix/store/{TOP_DIGEST}-nixos-system-web-2")).unwrap(), ..statement()
    }).refused("statement-of-another-path"),
    "refuse-other-ca": with_closure("Of a CA that is not trusted", &[closure_signature(&statement(), &name(&[(voucher(leaf()), other_root())]), &alice())])
        .refused("untrusted-ca"),
    "refuse-import-only": by_leaf("A certificate for imports alone", leaf()).refused("missing-usage"),
    "accept-vouch-only": by_leaf("A certificate for vouching alone", Draft { usages: [Usage::VouchForSystems].into_iter().collect(), ..leaf() }).accepted(),
    "refuse-expired": by_leaf("A certificate that has ended", Draft { not_after: Instant::from_seconds(NOW).unwrap(), ..voucher(leaf()) }).refused("expired"),
    "refuse-host-of-certificate": by_leaf("A certificate for other hosts", Draft { hosts: set(&["db-*"]), ..voucher(leaf()) }).refused("host-not-permitted"),
    "refuse-name-of-certificate": by_leaf("A certificate that excludes systems", Draft { excluded_names: set(&["nixos-system-*"]), ..voucher(leaf()) })
        .refused("name-excluded"),
    "refuse-validity-too-long": by_alice("A certificate for longer than the policy allows").under(and(policy(), &["ca", ACME, "longest-validity"], json!("30d")))
        .refused("validity-too-long"),
    "refuse-validity-too-long-audited": by_alice("The same in audit mode, which this gate does not have")
        .under(and(and(policy(), &["ca", ACME, "longest-validity"], json!("30d")), &["ca", ACME, "audit"], json!(["longest-validity"])))
        .refused("validity-too-long"),
    "refuse-usage-audited": ClosureScenario { trusted_ca_keys: both_cas(), ..with_closure("Of a CA that may not certify for this, in audit mode", &[
        closure_signature(&statement(), &name(&[(voucher(leaf()), other_root())]), &alice()),
    ]) }
        .under(and(policy(), &["ca", "sealed-1"], json!({ "permitted-names": ["*"], "usages": ["import-paths"], "audit": ["usages"] })))
        .refused("usage-not-in-policy"),
    "refuse-protected-below": by_alice("A protected name below the top-level path").under(and(policy(), &["protected-names"], json!(["sudo@"])))
        .expect(LEFT, &[None], [COVERED, None, VENDOR, COVERED]),
    "refuse-protected-audited": by_alice("The same in audit mode, which this gate does not have")
        .under(and(and(policy(), &["protected-names"], json!(["sudo@"])), &["audit"], json!(["protected-names"])))
        .expect(LEFT, &[None], [COVERED, None, VENDOR, COVERED]),
    "refuse-excluded-by-policy-below": by_alice("A name below the top-level path that the policy excludes")
        .under(and(policy(), &["ca", ACME, "excluded-names"], json!(["sudo@"]))).expect(LEFT, &[None], [COVERED, None, VENDOR, COVERED]),
    "refuse-not-permitted-by-policy-below": by_alice("A name below the top-level path that the policy does not permit")
        .under(and(policy(), &["ca", ACME, "permitted-names"], json!(["nixos-system-*"]))).expect(LEFT, &[None], [COVERED, None, VENDOR, ITSELF]),
    "refuse-protected-top": by_alice("A protected name").under(and(policy(), &["protected-names"], json!(["nixos-system-*"]))).refused("protected-name"),
    "refuse-retired": by_alice("Alice was retired between signing and activation").holding(&[by_ca(NOW - 60, &[retired(key(&alice()))])]).refused("retired"),
    "refuse-compromised": by_alice("Alice's key was stolen").holding(&[by_ca(NOW - 60, &[compromised(label("alice"), SIGNED)])]).refused("compromised"),
    "accept-other-retired": by_alice("Bob was retired").holding(&[by_ca(NOW - 60, &[retired(label("bob"))])]).accepted(),

    // G4: hosts and times.
    "accept-host": stated("For this host", &for_hosts(&["db-1", "web-*"])).accepted(),
    "refuse-host": stated("For other hosts", &for_hosts(&["db-1", "web-2"])).refused("statement-of-another-host"),
    "refuse-host-unnamed": ClosureScenario { host: None, ..stated("For certain hosts, and this one has no name", &for_hosts(&["web-1"])) }
        .refused("host-name-not-configured"),
    "accept-host-unnamed": ClosureScenario { host: None, ..by_alice("For every host, and this one has no name") }.accepted(),
    "accept-last-second": stated("In the last second", &until(NOW + 1)).accepted(),
    "refuse-statement-expired": stated("In the first second after", &until(NOW)).refused("statement-expired"),
    "refuse-expired-by-list": stated("A clock that is behind: a list proves that it is later", &until(NOW + 60))
        .holding(&[by_ca(NOW + 60, &[])]).refused("statement-expired"),
    "accept-a-day-ahead": stated("Signed a day ahead", &signed_at(NOW + DAY)).accepted(),
    "refuse-ahead": stated("Signed more than a day ahead", &signed_at(NOW + DAY + 1)).refused("statement-in-the-future"),
    "accept-ahead-lower-bound": stated("The same, where the clock may be behind", &signed_at(NOW + DAY + 1))
        .under(and(policy(), &["clock"], json!("lower-bound"))).accepted(),
    "refuse-ahead-of-certificate": stated("There, too, not later than its certificate ends", &Statement {
        not_after: Instant::from_seconds(NOW + 91 * DAY).unwrap(), ..signed_at(NOW + 89 * DAY)
    }).under(and(policy(), &["clock"], json!("lower-bound"))).refused("statement-in-the-future"),

    // G5: deployments never go back.
    "accept-newer": by_alice("After an older one").after(&signed_at(SIGNED - 1)).accepted(),
    "refuse-older": by_alice("After a newer one").after(&later(1)).refused("older-deployment"),
    "refuse-same-second": by_alice("After another one of the same second").after(&until(NOW + DAY)).refused("older-deployment"),
    "accept-the-same": by_alice("After itself").after(&statement()).accepted(),

    // G2 (c), G6: votes.
    "accept-two-votes": by_both("Two sign one statement").under(rule("votes", json!(2))).accepted(),
    "refuse-one-of-two": by_alice("One of two").under(rule("votes", json!(2))).expect(Some("too-few-votes"), &[None], [None, None, VENDOR, ITSELF]),
    "refuse-one-person-two-keys": with_closure("One label with two keys", &[
        closure_signature(&statement(), &alices(), &alice()),
        closure_signature(&statement(), &name(&[(voucher(of("alice", &bob())), root())]), &bob()),
    ]).under(rule("votes", json!(2))).expect(Some("too-few-votes"), &[None, None], [None, None, VENDOR, ITSELF]),
    "refuse-one-key-two-people": with_closure("One key with two labels", &[
        closure_signature(&statement(), &alices(), &alice()),
        closure_signature(&statement(), &name(&[(voucher(of("bob", &alice())), root())]), &alice()),
    ]).under(rule("votes", json!(2))).expect(Some("too-few-votes"), &[None, None], [None, None, VENDOR, ITSELF]),
    "refuse-one-of-two-retired": by_both("One of two was retired").under(rule("votes", json!(2))).holding(&[by_ca(NOW - 60, &[retired(key(&bob()))])])
        .expect(Some("too-few-votes"), &[None, Some("retired")], [None, None, VENDOR, ITSELF]),
    "refuse-two-statements": with_closure("Two sign, each another statement: both cover, neither has the votes", &[
        closure_signature(&statement(), &alices(), &alice()),
        closure_signature(&later(1), &bobs(), &bob()),
    ]).under(rule("votes", json!(2))).expect(Some("too-few-votes"), &[None, None], [COVERED; 4]),
    "accept-two-statements-optional": with_closure("The same, where no closure signature is required", &[
        closure_signature(&statement(), &alices(), &alice()),
        closure_signature(&later(1), &bobs(), &bob()),
    ]).under(and(rule("votes", json!(2)), &["activation", "closure-signature"], json!("optional"))).accepted(),
    "refuse-other-authority": ClosureScenario { trusted_ca_keys: both_cas(), ..by_alice("A vote of a CA that is not asked") }
        .under(and(and(policy(), &["ca", "sealed-1"], json!({ "permitted-names": ["*"], "usages": ["vouch-for-systems"] })), &["activation", "authorities"], json!(["sealed-1"])))
        .expect(Some("too-few-votes"), &[None], [None, None, VENDOR, ITSELF]),
    "accept-behind-bad": with_closure("Behind one that does not count", &[
        closure_signature(&statement(), &mallorys(), &mallory()),
        closure_signature(&statement(), &alices(), &alice()),
    ]).expect(None, &[Some("missing-usage"), None], [COVERED; 4]),

    // G6: who asks.
    "accept-caller": by_alice("Who asks has signed").under(rule("caller-must-sign", json!(true))).accepted(),
    "refuse-caller": ClosureScenario { caller: Some("bob".to_owned()), ..by_alice("Who asks has not signed") }
        .under(rule("caller-must-sign", json!(true))).expect(Some("caller-has-not-signed"), &[None], [COVERED; 4]),
    "refuse-caller-of-another-ca": ClosureScenario { trusted_ca_keys: both_cas(), ..with_closure("Who asks is so called by a CA that is not asked for votes", &[
        closure_signature(&statement(), &bobs(), &bob()),
        closure_signature(&statement(), &name(&[(voucher(leaf()), other_root())]), &alice()),
    ]) }.under(and(votes_of_acme(), &["activation", "caller-must-sign"], json!(true)))
        .expect(Some("caller-has-not-signed"), &[None, None], [COVERED; 4]),
    "accept-caller-of-the-ca": ClosureScenario { trusted_ca_keys: both_cas(), ..with_closure("… and by one that is", &[
        closure_signature(&statement(), &bobs(), &bob()),
        closure_signature(&statement(), &alices(), &alice()),
    ]) }.under(and(votes_of_acme(), &["activation", "caller-must-sign"], json!(true))).accepted(),
    "refuse-caller-unknown": ClosureScenario { caller: None, ..by_alice("Nobody knows who asks") }
        .under(rule("caller-must-sign", json!(true))).expect(Some("caller-has-not-signed"), &[None], [COVERED; 4]),
    "accept-caller-of-the-top": ClosureScenario { caller: Some("bob".to_owned()), ..by_alice("Who asks has signed the top-level path alone") }
        .path(0, |path| *path = path.clone().signed(&bobs(), &bob())).under(rule("caller-must-sign", json!(true))).accepted(),
    "refuse-caller-of-a-path": ClosureScenario { caller: Some("bob".to_owned()), ..by_alice("Who asks has signed another path alone") }
        .path(1, |path| *path = path.clone().signed(&bobs(), &bob())).under(rule("caller-must-sign", json!(true)))
        .expect(Some("caller-has-not-signed"), &[None], [COVERED; 4]),
    "accept-caller-of-another-statement": ClosureScenario {
        caller: Some("bob".to_owned()),
        ..with_closure("Who asks has signed another statement, of a closure that is not here", &[
            closure_signature(&later(1), &alices(), &alice()),
            closure_signature(&of_elsewhere(), &bobs(), &bob()),
        ])
    }
    .under(rule("caller-must-sign", json!(true))).accepted(),
    "refuse-caller-of-another-statement": ClosureScenario {
        caller: Some("bob".to_owned()),
        ..with_closure("The same, and his statement does not have the votes", &[
            closure_signature(&statement(), &alices(), &alice()),
            closure_signature(&statement(), &carols(), &carol()),
            closure_signature(&of_elsewhere(), &bobs(), &bob()),
        ])
    }
    .under(and(rule("votes", json!(2)), &["activation", "caller-must-sign"], json!(true)))
    .expect(Some("caller-has-not-signed"), &[None, None, None], [COVERED; 4]),
    "accept-caller-of-two": ClosureScenario { caller: Some("bob".to_owned()), ..by_both("Who asks is one of two") }
        .under(and(rule("votes", json!(2)), &["activation", "caller-must-sign"], json!(true))).accepted(),
    "accept-caller-of-paths": each_signed("Who asks has signed the paths, and no closure signature is required")
        .under(and(rule("closure-signature", json!("optional")), &["activation", "caller-must-sign"], json!(true)))
        .expect(None, &[], [SIGNATURES, SIGNATURES, VENDOR, SIGNATURES]),
    "refuse-caller-of-paths": ClosureScenario { caller: Some("bob".to_owned()), ..each_signed("The same, and somebody else asks") }
        .under(and(rule("closure-signature", json!("optional")), &["activation", "caller-must-sign"], json!(true)))
        .expect(Some("caller-has-not-signed"), &[], [SIGNATURES, SIGNATURES, VENDOR, SIGNATURES]),

    // G2: a path that is not what was signed.
    "refuse-doctored": by_alice("Mallory has put another sudo there").path(1, doctored).path(1, |path| *path = path.clone().signed(&mallorys(), &mallory()))
        .expect(LEFT, &[None], [None, None, VENDOR, ITSELF]),
    "refuse-doctored-signed-each": {
        let mut scenario = by_alice("The same, and Alice has signed each path, too");
        scenario.paths = scenario.paths.into_iter().map(|path| path.signed(&alices(), &alice())).collect();
        scenario.path(1, doctored).expect(LEFT, &[None], [SIGNATURES, None, VENDOR, SIGNATURES])
    },
    "refuse-doctored-top": by_alice("Mallory has put another top-level path there").path(0, doctored).expect(LEFT, &[None], [None, None, VENDOR, ITSELF]),
    "refuse-doctored-vendor": by_alice("Mallory has put another glibc there").path(2, doctored).expect(LEFT, &[None], [None, None, None, ITSELF]),
    "refuse-extra-reference": by_alice("A reference that was not there").path(1, |path| path.fingerprint.push_str(&format!(",/nix/store/{SUDO_DIGEST}-sudo-1.9.17")))
        .expect(LEFT, &[None], [None, None, VENDOR, ITSELF]),
    "refuse-path-count": {
        let statement = Statement { closure: ClosureDigest { paths: 5, ..statement().closure }, ..statement() };
        stated("The right digest, and another number of paths", &statement).expect(LEFT, &[None], [None, None, VENDOR, ITSELF])
    },
    "refuse-path-missing": {
        let mut scenario = by_alice("The top-level path no longer refers to a path that it had");
        let motd = format!(",/nix/store/{SOURCE_DIGEST}-motd");
        scenario.paths[0].fingerprint = scenario.paths[0].fingerprint.replace(&motd, "");
        scenario.paths.truncate(3);
        scenario.expect(LEFT, &[None], [None, None, VENDOR])
    },

    // G2 (a).
    "accept-content-addressed": each_signed("Content-addressed").path(3, |path| path.signatures.clear()).under(rule("closure-signature", json!("optional")))
        .expect(None, &[], [SIGNATURES, SIGNATURES, VENDOR, ITSELF]),
    "refuse-content-addressed": each_signed("Its name says something else").path(3, |path| { path.signatures.clear(); path.content_addressed = Some(false); })
        .under(rule("closure-signature", json!("optional"))).expect(LEFT, &[], [SIGNATURES, SIGNATURES, VENDOR, None]),
    "refuse-content-addressed-top": each_signed("A top-level path that is content-addressed: anybody can make one").path(0, |path| { path.signatures.clear(); path.content_addressed = Some(true); })
        .under(rule("closure-signature", json!("optional"))).expect(LEFT, &[], [None, SIGNATURES, VENDOR, SIGNATURES]),

    // G2 (b).
    "refuse-vendor-not-named": each_signed("A vendor that is a trusted public key, and not named in the policy").path(2, |path| { path.signatures.pop(); })
        .under(and(rule("closure-signature", json!("optional")), &["activation", "vendors"], json!([])))
        .trusting(&cache()).expect(LEFT, &[], [SIGNATURES, SIGNATURES, None, SIGNATURES]),
    "refuse-trusted-keys-system": each_signed("A system that a trusted public key signed")
        .path(0, |path| path.signatures = vec![sign("web-1", &bob(), &path.fingerprint)])
        .under(rule("closure-signature", json!("optional"))).trusting(&bob()).expect(LEFT, &[], [None, SIGNATURES, VENDOR, SIGNATURES]),
    "refuse-vendors-system": each_signed("A system that a vendor signed").path(0, |path| path.signatures = vec![sign("cache.example.org-1", &cache(), &path.fingerprint)])
        .under(rule("closure-signature", json!("optional"))).expect(LEFT, &[], [None, SIGNATURES, VENDOR, SIGNATURES]),
    "refuse-own-key": each_signed("Built here, and signed by the host's own key").path(1, |path| path.signatures = vec![sign("web-1", &bob(), &path.fingerprint)])
        .under(rule("closure-signature", json!("optional"))).trusting(&bob()).expect(LEFT, &[], [SIGNATURES, None, VENDOR, SIGNATURES]),

    // G2 (d).
    "accept-each-signed": each_signed("Each path is signed").under(rule("closure-signature", json!("optional")))
        .expect(None, &[], [SIGNATURES, SIGNATURES, VENDOR, SIGNATURES]),
    "refuse-each-signed": each_signed("Each path is signed, and a closure signature is required")
        .expect(Some("closure-signature-missing"), &[], [SIGNATURES, SIGNATURES, VENDOR, SIGNATURES]),
    "refuse-each-signed-by-importer": each_signed("One path is signed by somebody who may import alone")
        .path(1, |path| path.signatures = vec![sign(&mallorys(), &mallory(), &path.fingerprint)])
        .under(rule("closure-signature", json!("optional"))).expect(LEFT, &[], [SIGNATURES, None, VENDOR, SIGNATURES]),
    "refuse-name-not-among-permitted": by_leaf("A certificate for nothing but the system's own path", Draft { permitted_names: set(&["nixos-system-*"]), ..voucher(leaf()) })
        .expect(LEFT, &[None], [COVERED, None, VENDOR, ITSELF]),
    "refuse-name-not-permitted": by_leaf("A certificate that does not reach to sudo", Draft { excluded_names: set(&["sudo@"]), ..voucher(leaf()) })
        .expect(LEFT, &[None], [COVERED, None, VENDOR, COVERED]),
    "accept-votes-of-both-kinds": by_alice("One vote covers the closure, the other is path by path").path(0, |path| *path = path.clone().signed(&bobs(), &bob()))
        .path(1, |path| *path = path.clone().signed(&bobs(), &bob()))
        .under(and(rule("votes", json!(2)), &["activation", "closure-signature"], json!("optional")))
        .expect(None, &[None], [COVERED, COVERED, VENDOR, ITSELF]),
    "refuse-votes-of-both-kinds": by_alice("The same, without the second vote for one path").path(0, |path| *path = path.clone().signed(&bobs(), &bob()))
        .under(and(rule("votes", json!(2)), &["activation", "closure-signature"], json!("optional")))
        .expect(LEFT, &[None], [COVERED, None, VENDOR, ITSELF]),

    // G2 (e), G6: on top of what others deployed.
    "accept-on-top": on_top("Bob deploys on top of a build of Alice's that came out otherwise").expect(None, &[None], [SIGNATURES, EARLIER, VENDOR, ITSELF]),
    "refuse-on-top-unknown": on_top("The same, and this host has never activated hers").path(1, |path| path.earlier.clear())
        .expect(LEFT, &[None], [SIGNATURES, None, VENDOR, ITSELF]),
    "accept-on-top-retired": on_top("After Alice was retired").holding(&[by_ca(NOW - 60, &[retired(key(&alice()))])])
        .expect(None, &[None], [SIGNATURES, EARLIER, VENDOR, ITSELF]),
    "refuse-on-top-compromised": on_top("After Alice's key was found stolen since before that").holding(&[by_ca(NOW - 60, &[compromised(key(&alice()), NOW - 6 * 3_600)])])
        .expect(LEFT, &[None], [SIGNATURES, None, VENDOR, ITSELF]),
    "refuse-on-top-compromised-since": on_top("… since the second of the activation").holding(&[by_ca(NOW - 60, &[compromised(key(&alice()), NOW - 5 * 3_600)])])
        .expect(LEFT, &[None], [SIGNATURES, None, VENDOR, ITSELF]),
    "accept-on-top-compromised-after": on_top("… since the second after").holding(&[by_ca(NOW - 60, &[compromised(key(&alice()), NOW - 5 * 3_600 + 1)])])
        .expect(None, &[None], [SIGNATURES, EARLIER, VENDOR, ITSELF]),
    "refuse-on-top-nobody": on_top("A record that names nobody").path(1, |path| path.earlier[0].vouchers.clear())
        .expect(LEFT, &[None], [SIGNATURES, None, VENDOR, ITSELF]),
    "accept-on-top-one-of-two": on_top("Two had vouched, and the one who is compromised was not needed").path(1, |path| path.earlier[0].vouchers.push(RecordedVoucher::Person(mallorys())))
        .holding(&[by_ca(NOW - 60, &[compromised(label("mallory"), NOW - 6 * 3_600)])]).expect(None, &[None], [SIGNATURES, EARLIER, VENDOR, ITSELF]),
    "refuse-on-top-both": on_top("Two had vouched, and both are compromised").path(1, |path| path.earlier[0].vouchers.push(RecordedVoucher::Person(mallorys())))
        .holding(&[by_ca(NOW - 60, &[compromised(label("alice"), NOW - 6 * 3_600), compromised(label("mallory"), NOW - 6 * 3_600)])]).expect(LEFT, &[None], [SIGNATURES, None, VENDOR, ITSELF]),
    "accept-on-top-vendor": on_top("A vendor had vouched").path(1, |path| path.earlier[0].vouchers = vec![RecordedVoucher::Vendor(entry("old-cache-1", &mallory()))])
        .expect(None, &[None], [SIGNATURES, EARLIER, VENDOR, ITSELF]),
    "accept-on-top-itself": on_top("A file that was content-addressed, and here no longer says so")
        .path(3, |path| {
            path.content_addressed = None;
            path.earlier = vec![EarlierVouchers { activated: NOW - DAY, vouchers: vec![RecordedVoucher::Itself] }];
        })
        .expect(None, &[None], [SIGNATURES, EARLIER, VENDOR, EARLIER]),
    "refuse-on-top-label": on_top("A record with another label than its certificate's")
        .path(1, |path| path.earlier = vec![earlier(&alices().replacen("alice", "bob", 1))])
        .expect(LEFT, &[None], [SIGNATURES, None, VENDOR, ITSELF]),
    "refuse-on-top-other-ca": on_top("Of a CA that is no longer trusted").path(1, |path| path.earlier = vec![earlier(&name(&[(voucher(leaf()), other_root())]))])
        .expect(LEFT, &[None], [SIGNATURES, None, VENDOR, ITSELF]),

    // G7.
    "accept-again": again("A deployment that was activated before, older than the last").expect(None, &[], [EARLIER, EARLIER, VENDOR, EARLIER]),
    "refuse-not-again": ClosureScenario { again: false, ..again("The same paths, but not that deployment") }
        .expect(Some("closure-signature-missing"), &[], [EARLIER, EARLIER, VENDOR, EARLIER]),
    "accept-again-retired": again("Its signer was retired").holding(&[by_ca(NOW - 60, &[retired(key(&alice()))])])
        .expect(None, &[], [EARLIER, EARLIER, VENDOR, EARLIER]),
    "refuse-again-compromised": again("Its signer was compromised before").holding(&[by_ca(NOW - 60, &[compromised(key(&alice()), 1)])])
        .expect(LEFT, &[], [None, None, VENDOR, ITSELF]),
    "accept-again-caller": ClosureScenario { caller: Some("bob".to_owned()), ..again("Whoever asks") }.under(rule("caller-must-sign", json!(true)))
        .expect(None, &[], [EARLIER, EARLIER, VENDOR, EARLIER]),
    "refuse-again-votes": again("The policy asks for two votes since").under(rule("votes", json!(2)))
        .expect(LEFT, &[], [None, None, VENDOR, ITSELF]),
    "accept-again-votes": again("The policy asks for two votes since, and two had vouched").under(rule("votes", json!(2)))
        .recorded(&bobs()).expect(None, &[], [EARLIER, EARLIER, VENDOR, EARLIER]),
    "refuse-again-votes-compromised": again("The same, and one of the two was compromised before").under(rule("votes", json!(2)))
        .recorded(&bobs()).holding(&[by_ca(NOW - 60, &[compromised(label("bob"), 1)])])
        .expect(LEFT, &[], [None, None, VENDOR, ITSELF]),
    "refuse-again-votes-of-one": again("The policy asks for two votes since, and two certificates of one person's had vouched").under(rule("votes", json!(2)))
        .recorded(&name(&[(Draft { serial: Serial(0x99), ..voucher(leaf()) }, root())])).expect(LEFT, &[], [None, None, VENDOR, ITSELF]),
    "refuse-again-other-voters": again("The policy asks another CA for votes since").under(and(and(policy(), &["ca", "sealed-1"], json!({ "permitted-names": ["*"], "usages": ["vouch-for-systems"] })), &["activation", "authorities"], json!(["sealed-1"])))
        .expect(LEFT, &[], [None, None, VENDOR, ITSELF]),
    "refuse-again-votes-apart": again("The policy asks for two votes since, and two had vouched, each for another deployment of it").under(rule("votes", json!(2)))
        .recorded_apart(&bobs()).expect(LEFT, &[], [None, None, VENDOR, ITSELF]),
    "accept-again-of-one-of-two-deployments": again("The policy asks for one vote").recorded_apart(&bobs())
        .expect(None, &[], [EARLIER, EARLIER, VENDOR, EARLIER]),
    "refuse-again-no-rules": ClosureScenario { trusted_ca_keys: both_cas(), ..again("Who had vouched is under a trusted CA that has no rules any more") }
        .under(without_rules()).expect(LEFT, &[], [None, None, VENDOR, ITSELF]),
    "refuse-again-top-by-vendor": again("A record by which a vendor vouched for the top-level path")
        .path(0, |path| path.earlier[0].vouchers = vec![RecordedVoucher::Vendor(entry("cache.example.org-1", &cache()))])
        .expect(LEFT, &[], [None, EARLIER, VENDOR, EARLIER]),
}

impl ClosureScenario {
    /// This person had vouched for all of it, at another time.
    fn recorded_apart(mut self, person: &str) -> Self {
        for path in self.paths.iter_mut().filter(|path| !path.earlier.is_empty()) {
            path.earlier.push(EarlierVouchers { activated: NOW - 4 * 3_600, ..earlier(person) });
        }
        self
    }

    /// This person had vouched for all of it, too.
    fn recorded(mut self, person: &str) -> Self {
        for earlier in self.paths.iter_mut().flat_map(|path| &mut path.earlier) {
            earlier.vouchers.push(RecordedVoucher::Person(person.to_owned()));
        }
        self
    }

    fn trusting(self, key: &SecretKey) -> Self {
        let name = if key.public() == cache().public() { "cache.example.org-1" } else { "web-1" };
        Self { trusted_public_keys: vec![entry(name, key)], ..self }
    }

    /// What the host trusts, as for an object.
    pub(crate) fn host_of_an_object(&self) -> Scenario {
        Scenario {
            host: self.host.clone(),
            trusted_ca_keys: self.trusted_ca_keys.clone(),
            trusted_public_keys: self.trusted_public_keys.clone(),
            policy: Some(self.policy.clone()),
            revocation_lists: self.revocation_lists.clone(),
            now: self.now,
            ..scenario(self.description, self.paths[0].fingerprint.clone(), vec![])
        }
    }
}

/// The example of FORMAT section 13.
pub(crate) fn worked_example() -> String {
    let (_, scenario) = all().into_iter().find(|(name, _)| name == "accept-closure").unwrap();
    let bytes = statement().to_bytes().unwrap();
    let path = 4 + top_path().len();
    let fields: [(&str, usize, String); 10] = [
        ("version", 1, "1".to_owned()),
        ("algorithm", 1, "Ed25519".to_owned()),
        ("path length", 2, top_path().len().to_string()),
        ("path", path - 4, "the top-level path".to_owned()),
        ("digest", 32, "of the four fingerprints below, which are in order of the alphabet".to_owned()),
        ("path count", 4, "4".to_owned()),
        ("hosts length", 2, "2".to_owned()),
        ("hosts", 2, "one item of one byte, `*`".to_owned()),
        ("signing time", 8, statement().signed.to_string()),
        ("not-after", 8, statement().not_after.to_string()),
    ];
    let mut rows = String::new();
    let mut rest = bytes.as_slice();
    for (field, length, meaning) in fields {
        let (value, after) = rest.split_at(length);
        let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let groups: Vec<&str> =
            hex.as_bytes().chunks(32).map(|group| std::str::from_utf8(group).unwrap()).collect();
        rows.push_str(&format!("| {field} | `{}` | {meaning} |\n", groups.join(" ")));
        rest = after;
    }
    assert!(rest.is_empty());
    let mut fingerprints: Vec<&str> = scenario.paths.iter().map(|path| path.fingerprint.as_str()).collect();
    fingerprints.sort_unstable();
    let wrap = |text: &str| {
        let lines: Vec<_> =
            text.as_bytes().chunks(100).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        lines.join("\n")
    };
    format!(
        "| field | bytes | meaning |\n| --- | --- | --- |\n{rows}\n```text\n{}\n```\n\nand, broken into lines here, Alice's closure signature, by the key of section 9 under a \
         certificate for *import-paths*\nand *vouch-for-systems*:\n\n```text\n{}\n```\n",
        fingerprints.join("\n"),
        wrap(&scenario.paths[0].signatures[0]),
    )
}
