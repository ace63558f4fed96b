//! What a host's policy does to a signature (FORMAT section 12), votes aside.

use super::*;
use serde_json::json;

scenarios! {
    all: Scenario;

    // P1: a policy that cannot be used. Each of these has one fault.
    "accept-policy": hello_by_alice("A policy that limits nothing").under(base()).accepted(),
    "refuse-policy-version": broken("A policy of another version", &["version"], json!(2)),
    "refuse-policy-without-version": hello_by_alice("A policy without a version").under(json!({ "ca": {} }))
        .refused("broken-configuration"),
    "refuse-policy-unknown-key": broken("A mistyped key: what is not understood might have been a limit", &["clok"], json!("exact")),
    "refuse-policy-unknown-ca-key": broken("A mistyped key in the rules for a CA", &["ca", ACME, "longest_validity"], json!("90d")),
    "refuse-policy-unknown-threshold-key": broken("A mistyped key in a threshold", &["threshold"], json!([{ "names": ["*"], "votes": 1, "vote": 2 }])),
    "refuse-policy-no-permitted-names": hello_by_alice("A CA without permitted-names: nothing is ever 'everything' by being absent")
        .under(json!({ "version": 1, "ca": { ACME: { "usages": ["import-paths"] } } })).refused("broken-configuration"),
    "refuse-policy-empty-permitted-names": broken("A CA with an empty list of permitted-names", &["ca", ACME, "permitted-names"], json!([])),
    "refuse-policy-no-usages": hello_by_alice("A CA without usages")
        .under(json!({ "version": 1, "ca": { ACME: { "permitted-names": ["*"] } } })).refused("broken-configuration"),
    "refuse-policy-empty-usages": broken("A CA with an empty list of usages", &["ca", ACME, "usages"], json!([])),
    "refuse-policy-unknown-usage": broken("A usage that certificates have, but policies do not", &["ca", ACME, "usages"], json!(["import-paths", "issue"])),
    "refuse-policy-pattern": broken("A pattern that is none", &["protected-names"], json!(["linux-6@"])),
    "refuse-policy-double-star": broken("A pattern with **", &["ca", ACME, "excluded-names"], json!(["a**"])),
    "refuse-policy-clock": broken("A clock of another kind", &["clock"], json!("slow")),
    "refuse-policy-time": broken("An earliest time that is none", &["earliest-time"], json!("soon")),
    "refuse-policy-span": broken("A month has no fixed length", &["ca", ACME, "longest-validity"], json!("3mo")),
    "refuse-policy-depth": broken("More intermediates than there can be", &["ca", ACME, "deepest-chain"], json!(4)),
    "refuse-policy-doubt": broken("A doubt that is neither refused nor accepted", &["ca", ACME, "missing-list"], json!("warn")),
    "refuse-policy-list-rules": hello_by_alice("A list may be missing, and must not be old")
        .under(and(with_ca("oldest-list", json!("30d")), &["ca", ACME, "missing-list"], json!("accept")))
        .refused("broken-configuration"),
    "refuse-policy-list-rule-without-lists": hello_by_alice("A list must not be missing, and it is not said where lists are")
        .under(json!({ "version": 1, "ca": { ACME: { "permitted-names": ["*"], "usages": ["import-paths"], "missing-list": "refuse" } } }))
        .refused("broken-configuration"),
    "refuse-policy-lists-relative": broken("Lists in a place that depends on where one stands", &["revocation-lists"], json!("revocation")),
    "refuse-policy-audit": broken("Audit mode for a rule that has none", &["ca", ACME, "audit"], json!(["oldest-list"])),
    "refuse-policy-audit-of-nothing": broken("Audit mode for protected names, and there are none", &["audit"], json!(["protected-names"])),
    "refuse-policy-votes-zero": broken("A threshold of no votes", &["threshold"], json!([{ "names": ["*"], "votes": 0 }])),
    "refuse-policy-votes-many": broken("A threshold of seventeen votes", &["threshold"], json!([{ "names": ["*"], "votes": 17 }])),
    "refuse-policy-threshold-without-names": broken("A threshold for no names", &["threshold"], json!([{ "names": [], "votes": 2 }])),
    "refuse-policy-threshold-without-authorities": broken("A threshold for votes of nobody", &["threshold"], json!([{ "names": ["*"], "votes": 2, "authorities": [] }])),
    "refuse-policy-threshold-unknown-authority": broken("A threshold for votes of a CA without rules", &["threshold"], json!([{ "names": ["*"], "votes": 2, "authorities": ["sealed-1"] }])),
    "accept-plain-despite-broken-policy": plain("A plain key counts all the same", &cache()).under(json!({ "version": 2 }))
        .accepted(),

    // P2: a CA without rules.
    "refuse-ca-not-in-policy": hello_by_alice("The policy has rules for other CAs only")
        .under(json!({ "version": 1, "ca": { "sealed-1": anything() } }))
        .refused("ca-not-in-policy"),
    "refuse-empty-policy": hello_by_alice("A policy without rules for any CA").under(json!({ "version": 1 }))
        .refused("ca-not-in-policy"),
    "refuse-policy-under-other-name": Scenario { trusted_ca_keys: vec![entry("acme-2026-2", &root())], ..hello_by_alice("The CA is trusted under another name than the policy's") }
        .under(base()).refused("ca-not-in-policy"),
    "accept-plain-not-in-policy": plain("A policy limits no plain key", &cache()).under(json!({ "version": 1 })).accepted(),
    "accept-pinned-name-not-in-policy": Scenario { trusted_ca_keys: vec![entry(ACME, &root())], ..pinned("Nor a certificate's whole name, pinned as a plain key") }
        .under(json!({ "version": 1 })).accepted(),

    // P3: usages.
    "accept-usage-in-policy": hello_by_alice("The CA may certify for paths").under(with_ca("usages", json!(["import-paths"])))
        .accepted(),
    "refuse-usage-not-in-policy": hello_by_alice("The CA may certify for realisations and systems only")
        .under(with_ca("usages", json!(["import-realisations", "vouch-for-systems"]))).refused("usage-not-in-policy"),
    "accept-realisation-in-policy": realisation("The CA may certify for realisations", leaf())
        .under(with_ca("usages", json!(["import-realisations"])))
        .accepted(),
    "refuse-realisation-not-in-policy": realisation("The CA may certify for paths only", leaf())
        .under(with_ca("usages", json!(["import-paths"])))
        .refused("usage-not-in-policy"),

    // P3: the longest validity.
    "accept-longest-validity": hello_by_alice("A certificate for ninety days, and the policy allows as much")
        .under(with_ca("longest-validity", json!("90d")))
        .accepted(),
    "refuse-validity-too-long": alice_signs("A certificate for ninety days and a second", Draft { not_after: Instant::from_seconds(NOW + 89 * DAY + 1).unwrap(), ..leaf() }, "hello-2.12")
        .under(with_ca("longest-validity", json!("90d"))).refused("validity-too-long"),
    "accept-longest-validity-in-weeks": hello_by_alice("Thirteen weeks are ninety-one days")
        .under(with_ca("longest-validity", json!("13w"))).accepted(),
    "refuse-validity-too-long-in-hours": hello_by_alice("Ninety days less an hour")
        .under(with_ca("longest-validity", json!("2159h")))
        .refused("validity-too-long"),
    "accept-validity-of-intermediate": alice_signs_through("Only the leaf's validity is limited, not the intermediate's", &[
        (Draft { not_after: Instant::from_seconds(NOW + DAY).unwrap(), ..leaf() }, intermediate(1)),
        (issuer(1, 0), root()),
    ])
    .under(with_ca("longest-validity", json!("2d"))).accepted(),
    "refuse-validity-below-intermediate": alice_signs_through("It is, whatever the intermediate is limited to", &[
        (leaf(), intermediate(1)),
        (Draft { not_after: Instant::from_seconds(NOW + DAY).unwrap(), ..issuer(1, 0) }, root()),
    ])
    .under(with_ca("longest-validity", json!("2d"))).refused("validity-too-long"),

    // P3: the deepest chain.
    "accept-deepest-chain": alice_signs_through("One intermediate, and the policy allows one", &one_intermediate())
        .under(with_ca("deepest-chain", json!(1))).accepted(),
    "refuse-chain-too-deep": alice_signs_through("One intermediate, and the policy allows none", &one_intermediate())
        .under(with_ca("deepest-chain", json!(0)))
        .refused("chain-too-deep"),
    "accept-deepest-chain-of-three": alice_signs_through("Three intermediates, and the policy says nothing of them", &three_intermediates(2))
        .under(base()).accepted(),
    "refuse-chain-of-three-too-deep": alice_signs_through("Three intermediates, and the policy allows two", &three_intermediates(2))
        .under(with_ca("deepest-chain", json!(2))).refused("chain-too-deep"),

    // P4: names.
    "accept-name-permitted-by-policy": hello_by_alice("The policy permits the CA this package")
        .under(with_ca("permitted-names", json!(["curl@", "hello@"]))).accepted(),
    "refuse-name-not-permitted-by-policy": hello_by_alice("The policy permits the CA other names")
        .under(with_ca("permitted-names", json!(["acme-*", "curl@"])))
        .refused("name-not-permitted-by-policy"),
    "accept-name-not-excluded-by-policy": hello_by_alice("The policy excludes the CA from other names")
        .under(with_ca("excluded-names", json!(["sudo@", "hell-*"]))).accepted(),
    "refuse-name-excluded-by-policy": hello_by_alice("The policy excludes the CA from this package")
        .under(with_ca("excluded-names", json!(["sudo@", "hello@"])))
        .refused("name-excluded-by-policy"),
    "refuse-realisation-excluded-by-policy": realisation("The name of a realisation is its output's", leaf())
        .under(with_ca("excluded-names", json!(["hello@"])))
        .refused("name-excluded-by-policy"),
    "refuse-widening-intermediate": alice_signs_through("An intermediate that the policy does not limit, below a CA that it limits", &one_intermediate())
        .under(with_ca("permitted-names", json!(["acme-*"]))).refused("name-not-permitted-by-policy"),
    "refuse-widening-leaf": alice_signs_through("A certificate for everything, from an intermediate for some names; the policy permits all", &[
        (leaf(), intermediate(1)),
        (Draft { permitted_names: set(&["acme-*"]), ..issuer(1, 0) }, root()),
    ])
    .under(base()).refused("name-not-permitted"),

    // P5: protected names.
    "refuse-protected-name": alice_signs("A certificate without limits, and a name that the policy protects", leaf(), "sudo-1.9.17")
        .under(with("protected-names", json!(["sudo@"]))).refused("protected-name"),
    "accept-not-protected-name": alice_signs("sudo@ is protected, sudo-rs is not", leaf(), "sudo-rs-0.2")
        .under(with("protected-names", json!(["sudo@"])))
        .accepted(),
    "refuse-protected-name-intermediate": alice_signs_through("Neither does an intermediate help", &one_intermediate())
        .under(with("protected-names", json!(["linux@", "hel*"]))).refused("protected-name"),
    "refuse-protected-name-two": two_cas("Nor do two people of two CAs")
        .under(and(of_both(), &["protected-names"], json!(["hello@"])))
        .with(&[Some("protected-name"), Some("protected-name")], Some("protected-name")),
    "accept-protected-name-plain": plain("A plain key signs protected names, too", &cache())
        .under(with("protected-names", json!(["hello@"]))).accepted(),
    "refuse-protected-realisation": realisation("A realisation of a protected name", leaf())
        .under(with("protected-names", json!(["hello@"])))
        .refused("protected-name"),

    // Several CAs with different rules.
    "accept-by-second-of-two-rules": two_cas("One CA may certify for other names, the other for hello")
        .under(different_rules("hello@"))
        .with(&[Some("name-not-permitted-by-policy"), None], None),
    "refuse-by-two-rules": two_cas("One CA may certify for other names, the other is excluded from hello")
        .under(and(different_rules("*"), &["ca", "sealed-1", "excluded-names"], json!(["hello@"])))
        .with(&[Some("name-not-permitted-by-policy"), Some("name-excluded-by-policy")], Some("name-not-permitted-by-policy")),
    "accept-rules-of-other-ca": Scenario { trusted_ca_keys: both_cas(), ..hello_by_alice("The rules for another CA are none for this one") }
        .under(and(of_both(), &["ca", "sealed-1", "permitted-names"], json!(["acme-*"]))).accepted(),
    "accept-rules-for-unknown-ca": hello_by_alice("Rules for a CA that this host does not trust").under(of_both()).accepted(),

    // P8: audit mode.
    "accept-audited-usages": hello_by_alice("A usage not in the policy, in audit mode")
        .under(audited("usages", &["usages"], json!(["import-realisations"])))
        .audited(&["usage-not-in-policy"]),
    "accept-audited-longest-validity": hello_by_alice("A validity too long, in audit mode")
        .under(audited("longest-validity", &["longest-validity"], json!("30d")))
        .audited(&["validity-too-long"]),
    "accept-audited-deepest-chain": alice_signs_through("A chain too deep, in audit mode", &one_intermediate())
        .under(audited("deepest-chain", &["deepest-chain"], json!(0)))
        .audited(&["chain-too-deep"]),
    "accept-audited-permitted-names": hello_by_alice("A name not permitted, in audit mode")
        .under(audited("permitted-names", &["permitted-names"], json!(["acme-*"])))
        .audited(&["name-not-permitted-by-policy"]),
    "accept-audited-excluded-names": hello_by_alice("A name excluded, in audit mode")
        .under(audited("excluded-names", &["excluded-names"], json!(["hello@"])))
        .audited(&["name-excluded-by-policy"]),
    "accept-audited-protected-names": hello_by_alice("A protected name, in audit mode")
        .under(and(with("protected-names", json!(["hello@"])), &["audit"], json!(["protected-names"])))
        .audited(&["protected-name"]),
    "accept-audited-two-rules": hello_by_alice("Two rules in audit mode")
        .under(and(audited("longest-validity", &["longest-validity", "excluded-names"], json!("30d")), &["ca", ACME, "excluded-names"], json!(["hello@"])))
        .audited(&["validity-too-long", "name-excluded-by-policy"]),
    "accept-audited-nothing": hello_by_alice("Audit mode, and nothing to report")
        .under(audited("longest-validity", &["longest-validity"], json!("90d"))).accepted(),
    "refuse-other-rule-than-audited": hello_by_alice("Audit mode for one rule; another refuses")
        .under(and(audited("longest-validity", &["longest-validity"], json!("30d")), &["ca", ACME, "excluded-names"], json!(["hello@"])))
        .refused("name-excluded-by-policy"),
    "accept-audited-beside-plain": {
        let mut scenario = hello_by_alice("A plain key signed as well: nothing would be refused, and nothing is reported");
        scenario.trusted_public_keys = vec![entry("cache.example.org-1", &cache())];
        scenario.signatures.push(sign("cache.example.org-1", &cache(), &hello()).into());
        scenario.under(audited("excluded-names", &["excluded-names"], json!(["hello@"]))).accepted()
    },
    "accept-audited-beside-good": two_cas("Another signature is good without audit mode: nothing is reported")
        .under(and(and(of_both(), &["ca", ACME, "excluded-names"], json!(["hello@"])), &["ca", ACME, "audit"], json!(["excluded-names"])))
        .accepted(),
    "accept-audited-beside-refused": two_cas("Another signature is refused all the same: it is reported")
        .under(and(audited_both("excluded-names"), &["ca", "sealed-1", "audit"], json!([])))
        .with(&[None, Some("name-excluded-by-policy")], None).reporting(&["name-excluded-by-policy"]),
    "refuse-audited-by-certificate": alice_signs("What the certificate itself limits has no audit mode", Draft { excluded_names: set(&["hello@"]), ..leaf() }, "hello-2.12")
        .under(audited("excluded-names", &["excluded-names"], json!(["hello@"]))).refused("name-excluded"),
    "refuse-audited-revoked": hello_by_alice("Nor has revocation")
        .under(audited("excluded-names", &["excluded-names"], json!(["hello@"])))
        .holding(&[revocation::by_ca(NOW, &[revocation::retired(revocation::alices_key())])])
        .refused("retired"),
}

pub(super) const ACME: &str = "acme-2026-1";

/// Rules for a CA that limit nothing that can be signed today.
fn anything() -> Value {
    json!({ "permitted-names": ["*"], "usages": ["import-paths", "import-realisations"] })
}

/// A policy that limits nothing of the first CA.
pub(super) fn base() -> Value {
    json!({ "version": 1, "revocation-lists": "/var/lib/nixcert/revocation", "ca": { ACME: anything() } })
}

/// A policy that limits nothing of either CA.
pub(super) fn of_both() -> Value {
    and(base(), &["ca", "sealed-1"], anything())
}

/// This policy, with something set.
pub(super) fn and(mut policy: Value, path: &[&str], value: Value) -> Value {
    *path.iter().fold(&mut policy, |table, key| &mut table[*key]) = value;
    policy
}

/// A policy with something at its top.
pub(super) fn with(key: &str, value: Value) -> Value {
    and(base(), &[key], value)
}

/// A policy with a rule for the first CA.
pub(super) fn with_ca(key: &str, value: Value) -> Value {
    and(base(), &["ca", ACME, key], value)
}

/// The same, with rules in audit mode.
fn audited(key: &str, audit: &[&str], value: Value) -> Value {
    and(with_ca(key, value), &["ca", ACME, "audit"], json!(audit))
}

/// Both CAs are excluded from hello, in audit mode.
fn audited_both(rule: &str) -> Value {
    let excluded =
        |ca| and(and(of_both(), &["ca", ca, rule], json!(["hello@"])), &["ca", ca, "audit"], json!([rule]));
    let sealed = excluded("sealed-1")["ca"]["sealed-1"].clone();
    and(excluded(ACME), &["ca", "sealed-1"], sealed)
}

/// A policy with a fault in it.
fn broken(description: &'static str, path: &[&str], value: Value) -> Scenario {
    hello_by_alice(description).under(and(base(), path, value)).refused("broken-configuration")
}

fn different_rules(sealed: &str) -> Value {
    let policy = and(of_both(), &["ca", ACME, "permitted-names"], json!(["acme-*"]));
    and(policy, &["ca", "sealed-1", "permitted-names"], json!([sealed]))
}

fn one_intermediate() -> Vec<(Draft, SecretKey)> {
    vec![(leaf(), intermediate(1)), (issuer(1, 0), root())]
}

/// Alice signs with a certificate of the first CA, Bob with one of the second.
fn two_cas(description: &'static str) -> Scenario {
    let mut scenario = Scenario { trusted_ca_keys: both_cas(), ..hello_by_alice(description) };
    scenario.signatures.push(signed(&[(votes::of("bob", &bob()), other_root())], &bob()));
    scenario
}
