//! What revocation lists do to a signature (FORMAT section 11).

use super::*;
use nixcert_core::{Cause, Extent, PublicKey, Revoked, Selector};
use nixcert_issue::ListDraft;
use serde_json::json;

pub(super) type Entry = (Selector, Revoked);

/// When most lists here are issued.
const ISSUED: u64 = NOW - 3_600;
/// Since when something is compromised.
const SINCE: u64 = NOW - 7_200;

scenarios! {
    all: Scenario;

    // L4: by serial, key and label; the leaf.
    "refuse-revoked-serial": revoked("Alice's certificate is revoked by its serial number", alices_serial()).refused("retired"),
    "accept-revoked-other-serial": revoked("Another serial number is revoked", serial(0x0123_4567_89ab_cdee)).accepted(),
    "refuse-revoked-key": revoked("Alice's key is revoked", alices_key()).refused("retired"),
    "accept-revoked-other-key": revoked("Bob's key is revoked", key(&bob())).accepted(),
    "refuse-revoked-label": revoked("The label alice is revoked", label("alice")).refused("retired"),
    "accept-revoked-other-label": revoked("The label alice2 is revoked", label("alice2")).accepted(),
    "accept-revoked-shorter-label": revoked("The label alic is revoked", label("alic")).accepted(),
    "refuse-renewed-revoked-key": alice_signs("A certificate that was issued after its key was revoked", renewed(), "hello-2.12")
        .holding(&[by_ca(ISSUED, &[retired(alices_key())])]).refused("retired"),
    "accept-renewed-revoked-serial": alice_signs("A renewed certificate; the old one is revoked by its serial number", renewed(), "hello-2.12")
        .holding(&[by_ca(ISSUED, &[retired(alices_serial())])]).accepted(),
    "refuse-revoked-among-many": hello_by_alice("One of many entries").holding(&[by_ca(ISSUED, &many_entries())])
        .refused("retired"),
    "accept-renewed-and-revoked": behind_revoked().with(&[Some("retired"), None], None),

    // L4: the same for an intermediate.
    "accept-through-intermediate-with-list": through_revoked("Another intermediate is revoked in all three ways", &[
        retired(serial(0xcafe_0002)), retired(key(&intermediate(2))), retired(label("team-2")),
    ]).accepted(),
    "refuse-revoked-intermediate-serial": through_revoked("The intermediate's certificate is revoked by its serial number", &[retired(serial(0xcafe_0001))])
        .refused("retired"),
    "refuse-revoked-intermediate-key": through_revoked("The intermediate's key is revoked", &[retired(key(&intermediate(1)))])
        .refused("retired"),
    "refuse-revoked-intermediate-label": through_revoked("The intermediate's label is revoked", &[retired(label("team-1"))])
        .refused("retired"),
    "refuse-revoked-leaf-below-intermediate": through_revoked("The leaf below an intermediate is revoked", &[retired(alices_key())])
        .refused("retired"),
    "refuse-revoked-topmost-intermediate": alice_signs_through("The topmost of three intermediates is revoked", &three_intermediates(2))
        .holding(&[by_ca(ISSUED, &[retired(key(&intermediate(3)))])]).refused("retired"),
    "refuse-compromised-intermediate": through_revoked("The intermediate is compromised", &[compromised(key(&intermediate(1)), SINCE)])
        .refused("compromised"),

    // L4, L6: by a delegate of the CA.
    "refuse-delegate-serial": revoked_by_delegate("A delegate revokes the serial number", alices_serial()).refused("retired"),
    "refuse-delegate-key": revoked_by_delegate("A delegate revokes the key", alices_key()).refused("retired"),
    "refuse-delegate-label": revoked_by_delegate("A delegate revokes the label", label("alice")).refused("retired"),
    "accept-delegate-others": revoked_by_delegate("A delegate revokes another label", label("bob")).accepted(),
    "refuse-delegate-intermediate-serial": below_revoked_by_delegate("A delegate of the CA revokes an intermediate's serial number", serial(0xcafe_0001))
        .refused("retired"),
    "refuse-delegate-intermediate-key": below_revoked_by_delegate("A delegate of the CA revokes an intermediate's key", key(&intermediate(1)))
        .refused("retired"),
    "refuse-delegate-intermediate-label": below_revoked_by_delegate("A delegate of the CA revokes an intermediate's label", label("team-1"))
        .refused("retired"),
    "accept-delegate-other-intermediate": below_revoked_by_delegate("A delegate of the CA revokes another intermediate", key(&intermediate(2)))
        .accepted(),
    "refuse-delegate-compromised": hello_by_alice("A delegate calls the key compromised")
        .holding(&[by_delegate(ISSUED, &[compromised(alices_key(), SINCE)])]).refused("compromised"),

    // L8: a delegate under an intermediate.
    "refuse-delegate-below-own-intermediate": alice_signs_through("A delegate of the intermediate revokes below it", &through(1))
        .holding(&[by_delegate_below(1, ISSUED, &[retired(alices_key())])]).refused("retired"),
    "accept-delegate-below-other-intermediate": alice_signs_through("A delegate of another intermediate", &through(2))
        .holding(&[by_delegate_below(1, ISSUED, &[retired(alices_key())])]).accepted(),
    "accept-delegate-below-intermediate-beside": hello_by_alice("A delegate of an intermediate, and a leaf from the CA itself")
        .holding(&[by_delegate_below(1, ISSUED, &[retired(alices_key())])]).accepted(),
    "refuse-delegate-below-renewed-intermediate": alice_signs_through("The intermediate has a new certificate for its key: it is the same intermediate", &[
        (leaf(), intermediate(1)),
        (Draft { serial: Serial(0xbeef), label: "team-one".to_owned(), ..issuer(1, 0) }, root()),
    ])
    .holding(&[by_delegate_below(1, ISSUED, &[retired(alices_key())])]).refused("retired"),
    "refuse-delegate-against-own-intermediate": alice_signs_through("A delegate of an intermediate revokes the intermediate, for what is below it", &through(1))
        .holding(&[by_delegate_below(1, ISSUED, &[retired(key(&intermediate(1)))])]).refused("retired"),
    "refuse-delegate-below-two-intermediates": alice_signs_through("Leaf and delegate are below the same two intermediates", &through_two())
        .holding(&[by_delegate_below_two(&[retired(alices_key())])]).refused("retired"),
    "accept-delegate-below-two-intermediates": alice_signs_through("The delegate is below two intermediates, the leaf below the upper one", &through(2))
        .holding(&[by_delegate_below_two(&[retired(alices_key())])]).accepted(),
    "accept-delegate-below-lower-of-two": alice_signs_through("The leaf is below the lower one, which here is certified by the CA itself", &through(1))
        .holding(&[by_delegate_below_two(&[retired(alices_key())])]).accepted(),
    "refuse-delegate-above": alice_signs_through("A delegate of the upper of two intermediates revokes below the lower", &through_two())
        .holding(&[by_delegate_below(2, ISSUED, &[retired(alices_key())])]).refused("retired"),

    // L8: of another CA.
    "accept-list-of-other-ca": Scenario { trusted_ca_keys: both_cas(), ..hello_by_alice("Another CA revokes the serial number, the key and the label") }
        .under(policy::of_both())
        .holding(&[by_other_ca(ISSUED, &[retired(alices_serial()), retired(alices_key()), retired(label("alice"))])])
        .accepted(),
    "refuse-list-of-second-ca": Scenario {
        trusted_ca_keys: both_cas(),
        ..alice_signs_through("The second of two CAs revokes what it certified", &[(leaf(), other_root())])
    }
    .under(policy::of_both()).holding(&[by_other_ca(ISSUED, &[retired(alices_key())])]).refused("retired"),
    "accept-one-key-of-two-cas": two_cas().with(&[Some("retired"), None], None),

    // L5: retired.
    "accept-retired-registered": registered("Retired; registered here before", Some(NOW - 10_000), retired(alices_key()))
        .accepted(),
    "accept-retired-registered-later": registered("Retired; registered here after the list was issued", Some(NOW - 60), retired(alices_key()))
        .accepted(),
    "accept-retired-registered-outside": registered("Retired; registered here before the certificate was valid", Some(NOW - 2 * DAY), retired(alices_key()))
        .accepted(),
    "refuse-retired-registered-never": registered("Retired; a time of registration of 0 is none", Some(0), retired(alices_key()))
        .refused("retired"),
    "refuse-retired-registered-in-future": registered("Retired; a time of registration later than now is none", Some(NOW + 1), retired(alices_key()))
        .refused("retired"),
    "accept-retired-registered-now": registered("Retired; registered in this second", Some(NOW), retired(alices_key()))
        .accepted(),

    // L5: compromised.
    "refuse-compromised": registered("Compromised; a new object", None, compromised(alices_key(), SINCE))
        .refused("compromised"),
    "accept-compromised-registered-before": registered("Compromised; registered in the last second before that", Some(SINCE - 1), compromised(alices_key(), SINCE))
        .accepted(),
    "refuse-compromised-registered-since": registered("Compromised; registered in the first second of that", Some(SINCE), compromised(alices_key(), SINCE))
        .refused("compromised"),
    "refuse-compromised-registered-after": registered("Compromised; registered after that", Some(NOW - 60), compromised(alices_key(), SINCE))
        .refused("compromised"),
    "refuse-compromised-registered-outside": registered("Compromised; registered before the certificate was valid", Some(NOW - 2 * DAY), compromised(alices_key(), SINCE))
        .refused("compromised"),
    "refuse-compromised-registered-outside-intermediate": Scenario {
        registered: Some(NOW - 10_000),
        ..alice_signs_through("Compromised; registered before the intermediate was valid", &[
            (leaf(), intermediate(1)),
            (Draft { not_before: Instant::from_seconds(SINCE).unwrap(), ..issuer(1, 0) }, root()),
        ])
    }
    .holding(&[by_ca(ISSUED, &[compromised(alices_key(), SINCE)])]).refused("compromised"),
    "refuse-compromised-registered-never": registered("Compromised; a time of registration of 0 is none", Some(0), compromised(alices_key(), SINCE))
        .refused("compromised"),
    "refuse-compromised-from-the-beginning": registered("Compromised since 1970", Some(SINCE), compromised(alices_key(), 0))
        .refused("compromised"),
    "refuse-compromised-lower-bound": registered("Compromised; registered before that by a clock that may be behind", Some(SINCE - 1), compromised(alices_key(), SINCE))
        .under(policy::with("clock", json!("lower-bound"))).refused("compromised"),
    "accept-compromised-expired-registered": Scenario {
        now: NOW + 200 * DAY,
        ..registered("Compromised and long expired; registered before, in time", Some(SINCE - 1), compromised(alices_key(), SINCE))
    }
    .accepted(),
    "refuse-retired-and-compromised": Scenario { registered: Some(SINCE), ..hello_by_alice("The label is retired, the key compromised") }
        .holding(&[by_ca(ISSUED, &[retired(label("alice")), compromised(alices_key(), SINCE)])]).refused("compromised"),
    "refuse-earlier-compromise": Scenario { registered: Some(SINCE - 1), ..hello_by_alice("Two lists; one calls it compromised since earlier") }
        .holding(&[by_ca(ISSUED, &[compromised(alices_key(), SINCE)]), by_delegate(ISSUED, &[compromised(alices_key(), SINCE - 1)])])
        .refused("compromised"),

    // L9: the union of the newest list of each signer.
    "refuse-union": hello_by_alice("The CA revokes Bob; its delegate, Alice")
        .holding(&[by_ca(ISSUED, &[retired(key(&bob()))]), by_delegate(ISSUED, &[retired(alices_key())])]).refused("retired"),
    "refuse-union-of-ca": hello_by_alice("The CA revokes Alice; its delegate, with a later list, nobody")
        .holding(&[by_ca(ISSUED, &[retired(alices_key())]), by_delegate(NOW, &[])]).refused("retired"),
    "refuse-newest-of-signer": hello_by_alice("Of two lists of the CA the newer revokes Alice")
        .holding(&[by_ca(ISSUED, &[retired(alices_key())]), by_ca(ISSUED - 1, &[])]).refused("retired"),
    "accept-newest-of-signer": hello_by_alice("Of two lists of the CA the older revokes Alice")
        .holding(&[by_ca(ISSUED, &[retired(alices_key())]), by_ca(ISSUED + 1, &[])]).accepted(),
    "accept-newest-of-key": hello_by_alice("A delegate's newer list, under a renewed certificate of its key")
        .holding(&[by_delegate(ISSUED, &[retired(alices_key())]), by_renewed_delegate(ISSUED + 1, &[])]).accepted(),
    "refuse-two-delegates": hello_by_alice("Two delegates; the one with the older list revokes Alice")
        .holding(&[by_delegate(ISSUED, &[retired(alices_key())]), by_second_delegate(ISSUED + 1, &[])]).refused("retired"),

    // L11: delegates that the CA's own list revokes.
    "refuse-by-retired-delegate": hello_by_alice("The CA retired the delegate: what it had revoked stays revoked")
        .holding(&[by_ca(NOW, &[retired(doras_key())]), by_delegate(ISSUED, &[retired(alices_key())])]).refused("retired"),
    "accept-by-compromised-delegate": hello_by_alice("The CA calls the delegate compromised: its list counts no more")
        .holding(&[by_ca(NOW, &[compromised(doras_key(), NOW)]), by_delegate(ISSUED, &[retired(alices_key())])]).accepted(),
    "accept-by-compromised-delegate-serial": hello_by_alice("The same, by the delegate's serial number")
        .holding(&[by_ca(NOW, &[compromised(serial(0xd0_4a), NOW)]), by_delegate(ISSUED, &[retired(alices_key())])]).accepted(),
    "accept-by-compromised-delegate-label": hello_by_alice("The same, by the delegate's label")
        .holding(&[by_ca(NOW, &[compromised(label("dora"), NOW)]), by_delegate(ISSUED, &[retired(alices_key())])]).accepted(),
    "accept-by-retired-and-compromised-delegate": hello_by_alice("The delegate's label is retired, its key compromised")
        .holding(&[by_ca(NOW, &[retired(label("dora")), compromised(doras_key(), NOW)]), by_delegate(ISSUED, &[retired(alices_key())])])
        .accepted(),
    "refuse-by-delegate-revoked-by-delegate": hello_by_alice("Another delegate calls the delegate compromised: only the CA itself can")
        .holding(&[by_second_delegate(NOW, &[compromised(doras_key(), NOW)]), by_delegate(ISSUED, &[retired(alices_key())])])
        .refused("retired"),
    "refuse-by-delegate-after-newest-list": hello_by_alice("The CA's older list called the delegate compromised, its newest does not")
        .holding(&[by_ca(NOW - 1, &[compromised(doras_key(), NOW - 1)]), by_ca(NOW, &[]), by_delegate(ISSUED, &[retired(alices_key())])])
        .refused("retired"),
    "accept-by-delegate-below-compromised": alice_signs_through("The certificate of the delegate's intermediate is compromised; that intermediate has a new one", &[
        (leaf(), intermediate(1)),
        (Draft { serial: Serial(0xbeef), ..issuer(1, 0) }, root()),
    ])
    .holding(&[by_ca(NOW, &[compromised(serial(0xcafe_0001), NOW)]), by_delegate_below(1, ISSUED, &[retired(alices_key())])])
    .accepted(),
    "refuse-by-delegate-below-retired": alice_signs_through("The same, retired", &[
        (leaf(), intermediate(1)),
        (Draft { serial: Serial(0xbeef), ..issuer(1, 0) }, root()),
    ])
    .holding(&[by_ca(NOW, &[retired(serial(0xcafe_0001))]), by_delegate_below(1, ISSUED, &[retired(alices_key())])]).refused("retired"),

    // L12: no list.
    "accept-list-missing": hello_by_alice("The host holds no list, and its policy asks for none").under(policy::base())
        .accepted(),
    "refuse-list-missing": hello_by_alice("The host holds no list, and its policy asks for one")
        .under(policy::with_ca("missing-list", json!("refuse"))).refused("revocation-list-missing"),
    "accept-list-not-missing": hello_by_alice("The policy asks for a list, and there is one")
        .under(policy::with_ca("missing-list", json!("refuse"))).holding(&[by_ca(0, &[])]).accepted(),
    "refuse-list-missing-delegate": hello_by_alice("There is one of a delegate, who does not speak for the CA")
        .under(policy::with_ca("missing-list", json!("refuse"))).holding(&[by_delegate(ISSUED, &[])])
        .refused("revocation-list-missing"),
    "accept-list-missing-said-so": hello_by_alice("The policy says that a list may be missing")
        .under(policy::with_ca("missing-list", json!("accept"))).accepted(),
    "refuse-list-missing-other-ca": Scenario { trusted_ca_keys: both_cas(), ..hello_by_alice("There is one of another CA") }
        .under(policy::and(policy::of_both(), &["ca", "acme-2026-1", "missing-list"], json!("refuse")))
        .holding(&[by_other_ca(ISSUED, &[])]).refused("revocation-list-missing"),
    "accept-plain-list-missing": Scenario {
        trusted_ca_keys: vec![entry("acme-2026-1", &root())],
        ..plain("A plain key is no business of lists", &cache())
    }
    .under(policy::with_ca("missing-list", json!("refuse"))).accepted(),

    // L12: a list that cannot be used.
    "refuse-list-unreadable": hello_by_alice("A list that the host holds cannot be used")
        .holding(&[unreadable("acme-2026-1")]).refused("revocation-list-unreadable"),
    "refuse-list-unreadable-said-so": hello_by_alice("The same, and the policy says so")
        .under(policy::with_ca("unreadable-list", json!("refuse"))).holding(&[unreadable("acme-2026-1")])
        .refused("revocation-list-unreadable"),
    "accept-list-unreadable": hello_by_alice("The same, and the policy accepts the doubt")
        .under(policy::with_ca("unreadable-list", json!("accept"))).holding(&[unreadable("acme-2026-1")]).accepted(),
    "refuse-list-forged": hello_by_alice("A list with another key's signature cannot be used")
        .holding(&[list_by(&bob(), ISSUED, &[], &[])]).refused("revocation-list-unreadable"),
    "refuse-list-of-expired-delegate": hello_by_alice("A list that the delegate issued after the end of its certificate cannot be used")
        .holding(&[by_delegate(NOW + 89 * DAY, &[])]).refused("revocation-list-unreadable"),
    "refuse-list-for-other-hosts": Scenario { host: Some("web-1".to_owned()), ..hello_by_alice("A list of a delegate for other hosts cannot be used") }
        .holding(&[by_delegate_for("db-*")]).refused("revocation-list-unreadable"),
    "accept-list-for-these-hosts": Scenario { host: Some("web-1".to_owned()), ..hello_by_alice("A list of a delegate for these hosts") }
        .holding(&[by_delegate_for("web-*")]).accepted(),
    "refuse-list-unreadable-beside-good": hello_by_alice("One list can be used, another cannot")
        .holding(&[by_ca(ISSUED, &[]), unreadable("acme-2026-1")]).refused("revocation-list-unreadable"),
    "refuse-list-unreadable-accepted-revoked": hello_by_alice("The doubt is accepted; what is known to be revoked is revoked")
        .under(policy::with_ca("unreadable-list", json!("accept")))
        .holding(&[by_ca(ISSUED, &[retired(alices_key())]), unreadable("acme-2026-1")])
        .refused("retired"),
    "accept-list-unreadable-other-ca": Scenario { trusted_ca_keys: both_cas(), ..hello_by_alice("A list of another CA cannot be used") }
        .under(policy::of_both()).holding(&[unreadable("sealed-1")]).accepted(),
    "accept-plain-list-unreadable": Scenario {
        trusted_ca_keys: vec![entry("acme-2026-1", &root())],
        ..plain("A plain key is no business of lists", &cache())
    }
    .holding(&[unreadable("acme-2026-1")]).accepted(),

    // L12: a list that is too old.
    "accept-list-old-enough": hello_by_alice("The newest list is as old as the policy allows, to the second")
        .under(policy::with_ca("oldest-list", json!("30d"))).holding(&[by_ca(NOW - 30 * DAY, &[])]).accepted(),
    "refuse-list-too-old": hello_by_alice("It is a second older")
        .under(policy::with_ca("oldest-list", json!("30d"))).holding(&[by_ca(NOW - 30 * DAY - 1, &[])])
        .refused("revocation-list-too-old"),
    "refuse-list-too-old-missing": hello_by_alice("There is none")
        .under(policy::with_ca("oldest-list", json!("30d"))).refused("revocation-list-missing"),
    "refuse-list-too-old-delegate": hello_by_alice("The CA's is too old; a delegate's is not, but does not speak for the CA")
        .under(policy::with_ca("oldest-list", json!("12h"))).holding(&[by_ca(NOW - DAY, &[]), by_delegate(ISSUED, &[])])
        .refused("revocation-list-too-old"),
    "accept-list-too-old-delegate": hello_by_alice("A delegate's is too old; it is not asked")
        .under(policy::with_ca("oldest-list", json!("12h"))).holding(&[by_ca(ISSUED, &[]), by_delegate(NOW - DAY, &[])])
        .accepted(),
    "refuse-list-too-old-missing-delegate": hello_by_alice("There is one of a delegate alone")
        .under(policy::with_ca("oldest-list", json!("12h"))).holding(&[by_delegate(ISSUED, &[])])
        .refused("revocation-list-missing"),
    "accept-list-too-old-by-now": Scenario { now: 0, ..hello_by_alice("The clock fell back to 1970; a list is never older than now") }
        .under(policy::with_ca("oldest-list", json!("1s"))).holding(&[by_ca(NOW, &[])]).accepted(),
    "refuse-list-too-old-earliest-time": Scenario { now: 0, ..hello_by_alice("Too old by the policy's earliest time, whatever the clock says") }
        .under(policy::and(policy::with_ca("oldest-list", json!("12h")), &["earliest-time"], json!("2027-01-15T08:00:00Z")))
        .holding(&[by_ca(NOW - DAY, &[])])
        .refused("revocation-list-too-old"),
}

/// Alice signs hello, and the CA's list says this.
fn revoked(description: &'static str, selector: Selector) -> Scenario {
    hello_by_alice(description).holding(&[by_ca(ISSUED, &[retired(selector)])])
}

fn revoked_by_delegate(description: &'static str, selector: Selector) -> Scenario {
    hello_by_alice(description).holding(&[by_delegate(ISSUED, &[retired(selector)])])
}

fn through_revoked(description: &'static str, entries: &[Entry]) -> Scenario {
    alice_signs_through(description, &through(1)).holding(&[by_ca(ISSUED, entries)])
}

fn below_revoked_by_delegate(description: &'static str, selector: Selector) -> Scenario {
    alice_signs_through(description, &through(1)).holding(&[by_delegate(ISSUED, &[retired(selector)])])
}

/// Alice signed hello, which this store registered then, and the CA's list says this.
fn registered(description: &'static str, registered: Option<u64>, entry: Entry) -> Scenario {
    Scenario { registered, ..hello_by_alice(description) }.holding(&[by_ca(ISSUED, &[entry])])
}

/// Two signatures by Alice, of whom the first CA wants to hear no more.
fn two_cas() -> Scenario {
    let mut scenario = hello_by_alice("Two CAs certified Alice's key, and one of them revokes it");
    scenario.signatures.push(signed(&[(leaf(), other_root())], &alice()));
    scenario.trusted_ca_keys = both_cas();
    scenario.under(policy::of_both()).holding(&[by_ca(ISSUED, &[retired(alices_key())])])
}

/// The old certificate and the new one, on one signature each.
fn behind_revoked() -> Scenario {
    let mut scenario = hello_by_alice(
        "The old certificate is revoked by its serial number, the new one of the same key is not",
    );
    scenario.signatures.push(signed(&[(renewed(), root())], &alice()));
    scenario.holding(&[by_ca(ISSUED, &[retired(alices_serial())])])
}

fn renewed() -> Draft {
    Draft { serial: Serial(0x0eed), ..leaf() }
}

pub(super) fn through(n: u8) -> Vec<(Draft, SecretKey)> {
    vec![(leaf(), intermediate(n)), (revoking_issuer(n, 1), root())]
}

fn through_two() -> Vec<(Draft, SecretKey)> {
    vec![(leaf(), intermediate(1)), (revoking_issuer(1, 0), intermediate(2)), (revoking_issuer(2, 1), root())]
}

fn many_entries() -> Vec<Entry> {
    let serials = (1..40).map(|n| serial(n << 56));
    let keys = (1..20).map(|n| Selector::Key(PublicKey([n; 32])));
    let labels = ["al", "alice", "alice-2", "b", "bob"].map(label);
    serials.chain(keys).chain(labels).map(retired).collect()
}

// What is revoked.

pub(super) fn alices_serial() -> Selector {
    serial(0x0123_4567_89ab_cdef)
}

pub(super) fn alices_key() -> Selector {
    key(&alice())
}

pub(super) fn doras_key() -> Selector {
    key(&dora())
}

pub(super) fn serial(serial: u64) -> Selector {
    Selector::Serial(Serial(serial))
}

pub(super) fn key(key: &SecretKey) -> Selector {
    Selector::Key(key.public())
}

pub(super) fn label(label: &str) -> Selector {
    Selector::Label(label.to_owned())
}

pub(super) fn retired(selector: Selector) -> Entry {
    (selector, Revoked { extent: Extent::Retired, cause: Cause::AffiliationChanged })
}

pub(super) fn compromised(selector: Selector, since: u64) -> Entry {
    let since = Instant::from_seconds(since).unwrap();
    (selector, Revoked { extent: Extent::Compromised { since }, cause: Cause::KeyCompromise })
}

// Who says so. Dora and Dirk are delegates of the CA acme-2026-1.

pub(super) fn dora() -> SecretKey {
    SecretKey::from_seed(&[0x40; 32])
}

fn dirk() -> SecretKey {
    SecretKey::from_seed(&[0x41; 32])
}

/// A delegate's certificate: for revoking and nothing else.
pub(super) fn delegate() -> Draft {
    Draft {
        serial: Serial(0xd04a),
        label: "dora".to_owned(),
        subject: dora().public(),
        usages: usages(&[Usage::Revoke]),
        permitted_names: set(&["no-package-at-all"]),
        ..leaf()
    }
}

/// An intermediate that may have delegates: the certificate is that of [`issuer`], with one usage more.
pub(super) fn revoking_issuer(n: u8, path_length: u8) -> Draft {
    let with_revoke = [Usage::ImportPaths, Usage::ImportRealisations, Usage::Issue, Usage::Revoke];
    Draft { usages: usages(&with_revoke), ..issuer(n, path_length) }
}

pub(super) fn by_ca(issued: u64, entries: &[Entry]) -> Held {
    list_by(&root(), issued, &[], entries)
}

pub(super) fn by_other_ca(issued: u64, entries: &[Entry]) -> Held {
    held(&draft_of(&other_root(), issued, &[], entries), &other_root())
}

pub(super) fn by_delegate(issued: u64, entries: &[Entry]) -> Held {
    list_by(&dora(), issued, &[(delegate(), root())], entries)
}

fn by_renewed_delegate(issued: u64, entries: &[Entry]) -> Held {
    let renewed = Draft { serial: Serial(0xd0_4b), ..delegate() };
    list_by(&dora(), issued, &[(renewed, root())], entries)
}

fn by_second_delegate(issued: u64, entries: &[Entry]) -> Held {
    let dirks =
        Draft { serial: Serial(0xd1_4c), label: "dirk".to_owned(), subject: dirk().public(), ..delegate() };
    list_by(&dirk(), issued, &[(dirks, root())], entries)
}

fn by_delegate_for(hosts: &str) -> Held {
    list_by(&dora(), ISSUED, &[(Draft { hosts: set(&[hosts]), ..delegate() }, root())], &[])
}

/// By Dora, as a delegate of intermediate `n`.
pub(super) fn by_delegate_below(n: u8, issued: u64, entries: &[Entry]) -> Held {
    list_by(&dora(), issued, &[(delegate(), intermediate(n)), (revoking_issuer(n, 1), root())], entries)
}

/// By Dora, as a delegate of intermediate 1, which is below intermediate 2.
fn by_delegate_below_two(entries: &[Entry]) -> Held {
    let chain = [
        (delegate(), intermediate(1)),
        (revoking_issuer(1, 0), intermediate(2)),
        (revoking_issuer(2, 1), root()),
    ];
    list_by(&dora(), ISSUED, &chain, entries)
}

fn unreadable(ca: &str) -> Held {
    Held::Unreadable { unreadable: ca.to_owned() }
}

fn list_by(signer: &SecretKey, issued: u64, chain: &[(Draft, SecretKey)], entries: &[Entry]) -> Held {
    held(&draft_of(&root(), issued, chain, entries), signer)
}

fn held(draft: &ListDraft, signer: &SecretKey) -> Held {
    Held::List(base64_encode(&draft.sign(signer).unwrap()))
}

pub(super) fn draft_of(
    ca: &SecretKey,
    issued: u64,
    chain: &[(Draft, SecretKey)],
    entries: &[Entry],
) -> ListDraft {
    ListDraft {
        ca: ca.public(),
        certificates: chain.iter().map(|(draft, issuer)| draft.sign(issuer).unwrap()).collect(),
        issued: Instant::from_seconds(issued).unwrap(),
        entries: entries.iter().cloned().collect(),
    }
}
