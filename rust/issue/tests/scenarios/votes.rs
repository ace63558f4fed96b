//! Thresholds: who is how many (FORMAT P6 and P7).

use super::policy::{ACME, and, of_both, with};
use super::revocation::{by_ca, retired};
use super::*;
use serde_json::json;

scenarios! {
    all: Scenario;

    "accept-two-votes": votes("Two people", &[alices(), bobs()]).under(two()).accepted(),
    "refuse-one-vote": votes("One person", &[alices()]).under(two()).too_few(),
    "refuse-no-vote": votes("Nobody whose certificate is good", &[by(&[(of("bob", &bob()), other_root())], &bob())])
        .under(two()).refused("untrusted-ca"),
    "accept-one-vote-wanted": votes("One vote is asked for", &[alices()]).under(threshold(json!({ "votes": 1 }))).accepted(),
    "accept-threshold-of-other-names": votes("The threshold is for other names", &[alices()])
        .under(threshold(json!({ "names": ["sudo@"] }))).accepted(),
    "refuse-threshold-of-second-name": votes("The threshold is for this name, too", &[alices()])
        .under(threshold(json!({ "names": ["sudo@", "hel*"] }))).too_few(),
    "refuse-realisation-one-vote": realisation("The same for a realisation", leaf()).under(two()).too_few(),
    "accept-three-votes": votes("Three people", &[alices(), bobs(), carols()]).under(threshold(json!({ "votes": 3 })))
        .accepted(),
    "refuse-two-of-three-votes": votes("Two of three", &[alices(), carols()]).under(threshold(json!({ "votes": 3 }))).too_few(),
    "accept-sixteen-votes": votes("Sixteen people", &many(16)).under(threshold(json!({ "votes": 16 }))).accepted(),
    "refuse-fifteen-votes": votes("Fifteen of sixteen", &many(15)).under(threshold(json!({ "votes": 16 }))).too_few(),

    // What is no second vote.
    "refuse-votes-same-signature": votes("The same signature twice", &[alices(), alices()]).under(two()).too_few(),
    "refuse-votes-one-key": votes("One key with two certificates, for two labels", &[alices(), by(&[(of("alice-2", &alice()), root())], &alice())])
        .under(two()).too_few(),
    "refuse-votes-one-label": votes("One label with two keys", &[alices(), by(&[(of("alice", &bob()), root())], &bob())])
        .under(two()).too_few(),
    "refuse-votes-renewed": votes("An old certificate and the renewed one", &[alices(), by(&[(Draft { serial: Serial(9), ..leaf() }, root())], &alice())])
        .under(two()).too_few(),
    "refuse-votes-co-signer-revoked": votes("The second person is revoked", &[alices(), bobs()])
        .under(two()).holding(&[by_ca(NOW, &[retired(revocation::key(&bob()))])])
        .with(&[None, Some("retired")], Some("too-few-votes")),
    "refuse-votes-co-signer-expired": votes("The second person's certificate has ended", &[
        alices(),
        by(&[(Draft { not_after: Instant::from_seconds(NOW).unwrap(), ..of("bob", &bob()) }, root())], &bob()),
    ])
    .under(two()).with(&[None, Some("expired")], Some("too-few-votes")),
    "refuse-votes-co-signer-without-rules": two_cas("The second person's CA has no rules in the policy").under(two())
        .with(&[None, Some("ca-not-in-policy")], Some("too-few-votes")),
    "refuse-votes-co-signer-forged": votes("The second signature is under Bob's name, by Alice's key", &[alices(), by(&[(of("bob", &bob()), root())], &alice())])
        .under(two()).with(&[None, Some("bad-signature")], Some("too-few-votes")),

    // Plain keys.
    "accept-votes-plain": with_plain("A plain key needs no votes", &cache(), &[alices()]).under(two()).accepted(),
    "refuse-votes-plain-bad": with_plain("A bad plain signature is none", &bob(), &[alices()]).under(two())
        .with(&[None, Some("bad-signature")], Some("too-few-votes")),

    // Intermediates.
    "refuse-votes-one-intermediate": votes("One intermediate certified both", &[through(1, "alice", &alice()), through(1, "bob", &bob())])
        .under(two()).too_few(),
    "accept-votes-separate": votes("The same, and the threshold trusts intermediates to tell people apart", &[through(1, "alice", &alice()), through(1, "bob", &bob())])
        .under(separate()).accepted(),
    "refuse-votes-separate-one-key": votes("Trusted as they are: one key is one", &[through(1, "alice", &alice()), through(2, "bob", &alice())])
        .under(separate()).too_few(),
    "refuse-votes-separate-one-label": votes("And one label is one", &[through(1, "alice", &alice()), through(2, "alice", &bob())])
        .under(separate()).too_few(),
    "accept-votes-two-intermediates": votes("Two intermediates", &[through(1, "alice", &alice()), through(2, "bob", &bob())])
        .under(two()).accepted(),
    "refuse-votes-upper-intermediate": votes("Two intermediates below a third", &[
        by(&[(of("alice", &alice()), intermediate(1)), (issuer(1, 0), intermediate(3)), (issuer(3, 1), root())], &alice()),
        by(&[(of("bob", &bob()), intermediate(2)), (issuer(2, 0), intermediate(3)), (issuer(3, 1), root())], &bob()),
    ])
    .under(two()).too_few(),
    "refuse-votes-middle-intermediate": votes("A key stands in the middle of both chains, with two labels", &[
        by(&[(of("alice", &alice()), intermediate(1)), (issuer(1, 0), intermediate(2)), (issuer(2, 1), root())], &alice()),
        by(
            &[
                (of("bob", &bob()), intermediate(1)),
                (Draft { serial: Serial(9), label: "team-9".to_owned(), ..issuer(1, 0) }, intermediate(3)),
                (issuer(3, 1), root()),
            ],
            &bob(),
        ),
    ])
    .under(two()).too_few(),
    "accept-votes-intermediate-and-ca": votes("One from the CA itself, one through an intermediate", &[alices(), through(1, "bob", &bob())])
        .under(two()).accepted(),
    "refuse-votes-renewed-intermediate": votes("Two certificates of one intermediate's key, for two labels", &[
        through(1, "alice", &alice()),
        by(&[(of("bob", &bob()), intermediate(1)), (Draft { serial: Serial(9), label: "team-9".to_owned(), ..issuer(1, 0) }, root())], &bob()),
    ])
    .under(two()).too_few(),
    "refuse-votes-intermediates-of-one-label": votes("Two intermediates' keys with one label", &[
        through(1, "alice", &alice()),
        by(&[(of("bob", &bob()), intermediate(2)), (Draft { label: "team-1".to_owned(), ..issuer(2, 0) }, root())], &bob()),
    ])
    .under(two()).too_few(),
    "refuse-votes-own-intermediate": votes("Alice has an intermediate of her own, under her own label, that certified Bob", &[
        alices(),
        by(&[(of("bob", &bob()), intermediate(1)), (Draft { label: "alice".to_owned(), ..issuer(1, 0) }, root())], &bob()),
    ])
    .under(two()).too_few(),
    "accept-votes-separate-own-intermediate": votes("The same, with intermediates that are trusted to tell people apart", &[
        alices(),
        by(&[(of("bob", &bob()), intermediate(1)), (Draft { label: "alice".to_owned(), ..issuer(1, 0) }, root())], &bob()),
    ])
    .under(separate()).accepted(),

    // Several CAs.
    "accept-votes-of-two-cas": two_cas("One person of each of two CAs").under(of_two(json!({}))).accepted(),
    "refuse-votes-one-label-two-cas": votes("One label below two CAs is one", &[alices(), by(&[(of("alice", &bob()), other_root())], &bob())])
        .trusting_both().under(of_two(json!({}))).too_few(),
    "refuse-votes-one-key-two-cas": votes("One key below two CAs is one", &[alices(), by(&[(of("bob", &alice()), other_root())], &alice())])
        .trusting_both().under(of_two(json!({}))).too_few(),
    "accept-votes-of-authority": two_cas("Only votes of the second CA count, and one is enough")
        .under(of_two(json!({ "votes": 1, "authorities": ["sealed-1"] }))).accepted(),
    "refuse-votes-of-other-authority": votes("Only votes of the second CA count", &[alices(), bobs()])
        .trusting_both().under(of_two(json!({ "authorities": ["sealed-1"] }))).too_few(),
    "refuse-votes-of-authority": two_cas("Only votes of the second CA count, and two are asked for")
        .under(of_two(json!({ "authorities": ["sealed-1"] }))).too_few(),
    "accept-votes-of-authorities": two_cas("Votes of either CA count")
        .under(of_two(json!({ "authorities": ["sealed-1", ACME] }))).accepted(),

    // Several thresholds.
    "accept-several-thresholds": two_cas("Two people, and one of them of the second CA").under(several()).accepted(),
    "refuse-second-threshold": votes("Two people, and none of the second CA", &[alices(), bobs()]).trusting_both()
        .under(several()).too_few(),
    "refuse-first-threshold": votes("One person, of the second CA", &[by(&[(of("bob", &bob()), other_root())], &bob())])
        .trusting_both().under(several()).too_few(),

    // Which are chosen.
    "accept-votes-chosen": votes("The first shares an intermediate with each of the others, who share nothing", &[
        by(&[(of("carol", &carol()), intermediate(1)), (issuer(1, 0), intermediate(2)), (issuer(2, 1), root())], &carol()),
        through(1, "alice", &alice()),
        through(2, "bob", &bob()),
    ])
    .under(two()).accepted(),
    "refuse-votes-not-chosen": votes("The same; three are asked for", &[
        by(&[(of("carol", &carol()), intermediate(1)), (issuer(1, 0), intermediate(2)), (issuer(2, 1), root())], &carol()),
        through(1, "alice", &alice()),
        through(2, "bob", &bob()),
    ])
    .under(threshold(json!({ "votes": 3 }))).too_few(),
    "accept-votes-crowd": votes("Mallory's intermediate certified sixty; with Alice and Bob they are three votes", &crowd(&[alices(), bobs()]))
        .under(threshold(json!({ "votes": 3 }))).accepted(),
    "refuse-votes-crowd": votes("The same without Bob: two votes", &crowd(&[alices()])).under(threshold(json!({ "votes": 3 })))
        .too_few(),
    "accept-votes-crowd-of-theirs": votes("Mallory's intermediate certified Alice's and Bob's keys and labels, each with many others", &crossing())
        .under(two()).accepted(),

    // P8: audit mode.
    "accept-audited-threshold": votes("One vote of two, in audit mode", &[alices()]).under(threshold(json!({ "audit": true })))
        .audited(&["too-few-votes"]),
    "accept-audited-threshold-met": votes("Two votes of two, in audit mode", &[alices(), bobs()])
        .under(threshold(json!({ "audit": true }))).accepted(),
    "accept-audited-threshold-plain": with_plain("A plain key needs no votes: nothing to report", &cache(), &[alices()])
        .under(threshold(json!({ "audit": true }))).accepted(),
    "refuse-threshold-beside-audited": votes("Two votes are asked for; three, in audit mode", &[alices()])
        .under(with("threshold", json!([{ "names": ["*"], "votes": 2 }, { "names": ["*"], "votes": 3, "audit": true }])))
        .too_few(),
    "accept-threshold-beside-audited": votes("The same, with two", &[alices(), bobs()])
        .under(with("threshold", json!([{ "names": ["*"], "votes": 2 }, { "names": ["*"], "votes": 3, "audit": true }])))
        .audited(&["too-few-votes"]),
    "refuse-threshold-excluded-co-signer": co_signer_excluded("The second person's CA is excluded from the name")
        .with(&[None, Some("name-excluded-by-policy")], Some("too-few-votes")),
}

impl Scenario {
    /// Every signature counts, and they are too few.
    fn too_few(self) -> Self {
        let refused = self.accepted();
        let signatures = refused.expected.signatures.clone();
        let expected = Expected {
            accepted: false,
            reason: Some("too-few-votes".to_owned()),
            signatures,
            audited: vec![],
        };
        Self { expected, ..refused }
    }

    fn trusting_both(self) -> Self {
        Self { trusted_ca_keys: both_cas(), ..self }
    }
}

/// These sign hello.
fn votes(description: &'static str, signatures: &[Signature]) -> Scenario {
    scenario(description, hello(), signatures.to_vec())
}

/// These sign hello, and a key does so under a trusted name.
fn with_plain(description: &'static str, key: &SecretKey, signatures: &[Signature]) -> Scenario {
    let plain = plain(description, key);
    Scenario { signatures: [signatures, &plain.signatures].concat(), ..plain }
}

/// Alice signs with a certificate of the first CA, Bob with one of the second.
fn two_cas(description: &'static str) -> Scenario {
    votes(description, &[alices(), by(&[(of("bob", &bob()), other_root())], &bob())]).trusting_both()
}

fn co_signer_excluded(description: &'static str) -> Scenario {
    two_cas(description).under(and(
        of_two(json!({})),
        &["ca", "sealed-1", "excluded-names"],
        json!(["hello@"]),
    ))
}

// Who signs.

fn carol() -> SecretKey {
    SecretKey::from_seed(&[0x22; 32])
}

fn number(n: u8) -> SecretKey {
    SecretKey::from_seed(&[0x80 + n; 32])
}

/// A certificate like Alice's, for another label and key.
pub(super) fn of(label: &str, key: &SecretKey) -> Draft {
    let serial = label.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte));
    Draft { serial: Serial(serial), label: label.to_owned(), subject: key.public(), ..leaf() }
}

fn by(certificates: &[(Draft, SecretKey)], key: &SecretKey) -> Signature {
    signed(certificates, key)
}

fn alices() -> Signature {
    by(&[(leaf(), root())], &alice())
}

fn bobs() -> Signature {
    by(&[(of("bob", &bob()), root())], &bob())
}

fn carols() -> Signature {
    by(&[(of("carol", &carol()), root())], &carol())
}

/// Through intermediate `n`.
fn through(n: u8, label: &str, key: &SecretKey) -> Signature {
    by(&[(of(label, key), intermediate(n)), (issuer(n, 0), root())], key)
}

fn many(count: u8) -> Vec<Signature> {
    (0..count).map(|n| by(&[(of(&format!("person-{n}"), &number(n)), root())], &number(n))).collect()
}

/// Sixty people of Mallory's making, before these.
fn crowd(others: &[Signature]) -> Vec<Signature> {
    let made_up = (0..60).map(|n| through(9, &format!("person-{n}"), &number(n)));
    made_up.chain(others.iter().cloned()).collect()
}

/// With an intermediate of her own, Mallory certifies her keys under the labels of Alice and Bob, and their keys under hers: as far
/// as they signed, that is there, and each of it overlaps with the others.
fn crossing() -> Vec<Signature> {
    let labels = (0..10).flat_map(|n| [through(9, "alice", &number(n)), through(9, "bob", &number(n))]);
    let keys = (0..10).flat_map(|n| {
        let label = format!("person-{n}");
        [through(9, &label, &alice()), through(9, &label, &bob())]
    });
    labels.chain(keys).chain([alices(), bobs()]).collect()
}

// What is asked.

/// A policy with one threshold: two votes for every name, unless it says otherwise.
fn threshold(other: Value) -> Value {
    with("threshold", json!([merged(other)]))
}

fn two() -> Value {
    threshold(json!({}))
}

fn separate() -> Value {
    threshold(json!({ "through-one-intermediate": "separate-votes" }))
}

/// The same, on a host that trusts both CAs.
fn of_two(other: Value) -> Value {
    and(of_both(), &["threshold"], json!([merged(other)]))
}

fn merged(mut other: Value) -> Value {
    for (key, value) in [("names", json!(["*"])), ("votes", json!(2))] {
        if other[key].is_null() {
            other[key] = value;
        }
    }
    other
}

/// Two votes for hello; and one of the second CA, for everything.
fn several() -> Value {
    let thresholds = json!([{ "names": ["hello@"], "votes": 2 }, { "names": ["*"], "votes": 1, "authorities": ["sealed-1"] }]);
    and(of_both(), &["threshold"], thresholds)
}
