//! Who vouches: how many, who asks, and what becomes of it when somebody leaves.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    activation::{Person, Site, VOUCHING, activate, is_refusal},
    pki::{certify, root_ca},
    policy::{self, ALL_NAMES, POLICY},
    systems::{Standing, System, activated, version},
    tools::says,
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/two-of-two-people-are-accepted", run: two_people },
    Case { name: "activation/one-person-under-two-keys-is-one", run: two_keys },
    Case { name: "activation/co-signer-of-another-statement-is-no-second-vote", run: two_statements },
    Case { name: "activation/caller-who-signed-is-accepted", run: |bed| caller(bed, "alice") },
    Case { name: "activation/caller-who-did-not-sign-is-refused", run: |bed| caller(bed, "bob") },
    Case { name: "activation/bob-on-top-of-alice-is-accepted", run: |bed| on_top(bed, None, true) },
    Case { name: "activation/bob-on-top-of-nothing-activated-is-refused", run: on_top_of_nothing },
    Case {
        name: "activation/bob-on-top-of-alice-who-retired-is-accepted",
        run: |bed| on_top(bed, Some("--label alice --retired"), true),
    },
    Case {
        name: "activation/bob-on-top-of-alice-who-was-compromised-since-is-accepted",
        run: compromised_since,
    },
    Case { name: "activation/bob-on-top-of-alice-whose-ca-is-gone-is-refused", run: ca_is_gone },
    Case {
        name: "activation/bob-on-top-of-alice-who-was-compromised-is-refused",
        run: |bed| on_top(bed, Some("--label alice --compromised-since -1h"), false),
    },
    Case { name: "activation/alices-own-generation-again-is-accepted", run: |bed| again(bed, None, true) },
    Case {
        name: "activation/generation-of-who-retired-again-is-accepted",
        run: |bed| again(bed, Some("--label alice --retired"), true),
    },
    Case {
        name: "activation/generation-of-who-was-compromised-again-is-refused",
        run: |bed| again(bed, Some("--label alice --compromised-since -1h"), false),
    },
    Case { name: "activation/generation-of-one-again-where-two-are-asked-is-refused", run: of_one_again },
    Case { name: "activation/generation-of-two-again-where-two-are-asked-is-accepted", run: of_two_again },
];

const TWO: &str = "votes = 2\n";

/// Alice signs, Bob signs the same statement on the same machine; before he did, it is refused.
fn two_people(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, TWO)?;
    let [alice, bob] = [site.alice()?, site.bob()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    alice.delivers(&system.top, "")?;
    site.refuses(&alice, &system, "too-few-votes", &["alice"])?;
    bob.co_signs(&system.top)?;
    site.activates(&alice, &system)?;
    Ok(Outcome::Passed)
}

/// The CA's keeper gave Alice a certificate for a second key.
fn two_keys(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, TWO)?;
    let alice = site.alice()?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    alice.delivers(&system.top, "")?;
    let options = format!("{VOUCHING} --replace-key");
    let second = certify(alice.host, "alice", "alice-2", &site.ca, &options)?;
    let second = Person { key: second, ..alice };
    second.co_signs(&system.top)?;
    site.refuses(&second, &system, "too-few-votes", &["alice"])?;
    let bob = site.bob()?;
    bob.co_signs(&system.top)?;
    site.activates(&second, &system)?;
    Ok(Outcome::Passed)
}

/// Each of two people signs a statement of their own about one system: no statement has two votes.
fn two_statements(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, TWO)?;
    let [alice, bob] = [site.alice()?, site.bob()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    alice.delivers(&system.top, "")?;
    bob.delivers(&system.top, "--valid 2d")?;
    site.refuses(&alice, &system, "too-few-votes", &[])?;
    Ok(Outcome::Passed)
}

/// Alice signs, and somebody who may asks for it.
fn caller(bed: &Bed, who: &'static str) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.alice()?, site.bob()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    alice.delivers(&system.top, "")?;
    let rules = "caller-must-sign = true\n";
    site.govern(rules)?;
    if who == alice.name {
        site.activates(&alice, &system)?;
        return Ok(Outcome::Passed);
    }
    site.refuses(&bob, &system, "caller-has-not-signed", &["bob"])?;
    // What sudo says of who asks is not what the asker says.
    let line = format!("SUDO_USER=alice USER=alice sudo -n /usr/bin/nixcert activate {} switch", system.top);
    let output = bed.server.run_as(bob.name, &line)?;
    is_refusal(&output, &system.top, "caller-has-not-signed")?;
    // Nor does root sign by being root.
    let output = activate(&bed.server, "root", &system.top, "switch")?;
    is_refusal(&output, &system.top, "caller-has-not-signed")?;
    site.govern("")?;
    site.activates(&bob, &system)?;
    Ok(Outcome::Passed)
}

/// What Alice builds is not the same twice.
const UNSTEADY: &str = "--arg unreproducible true";

/// Bob, at a machine with a store of his own.
fn bob_with_a_laptop<'a>(site: &Site<'a>) -> Result<Person<'a>> {
    let laptop = site.bed.laptop()?;
    laptop.configure("")?;
    site.bob()?.at(laptop)
}

/// Alice's system is active; Bob, who has built all of it himself, deploys a change, after something was revoked.
fn on_top(bed: &Bed, revoke: Option<&str>, good: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let bob = bob_with_a_laptop(&site)?;
    let version = version();
    let before = System::build(alice.host, alice.name, &version, UNSTEADY)?;
    alice.delivers(&before.top, "")?;
    site.activates(&alice, &before)?;

    let change = format!("{UNSTEADY} --argstr change -and-more");
    let after = System::build(bob.host, bob.name, &version, &change)?;
    if after.part("unsteady-")? != before.part("unsteady-")? {
        bail!("the two systems do not share the path that is not reproducible");
    }
    if let Some(options) = revoke {
        site.revokes(options)?;
    }
    bob.delivers(&after.top, "")?;
    if good {
        site.activates(&bob, &after)?;
    } else {
        site.refuses(&bob, &after, "not-vouched-for", &[after.part("unsteady-")?, "alice"])?;
        // He replaces her build by his own.
        bob.deploys(&after.top, "--repair")?.ok()?;
        site.is_active(&after)?;
    }
    Ok(Outcome::Passed)
}

/// Alice's key was stolen after her system was activated.
fn compromised_since(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let bob = bob_with_a_laptop(&site)?;
    let version = version();
    let before = System::build(alice.host, alice.name, &version, UNSTEADY)?;
    alice.delivers(&before.top, "")?;
    site.activates(&alice, &before)?;
    let change = format!("{UNSTEADY} --argstr change -and-more");
    let after = System::build(bob.host, bob.name, &version, &change)?;
    // Seconds are what times are made of.
    let since = bed.server.root("sleep 1.1; date -u +%FT%TZ; sleep 1.1")?;
    site.revokes(&format!("--label alice --compromised-since {}", since.trim()))?;
    bob.delivers(&after.top, "")?;
    site.activates(&bob, &after)?;
    Ok(Outcome::Passed)
}

/// Alice was certified by a CA that the server trusts no more: it could not even be known whether she was revoked.
fn ca_is_gone(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let other = Site::new(bed, "")?;
    let server = &bed.server;
    let alice = other.alice()?;
    let bob = bob_with_a_laptop(&site)?;
    let anchors = [root_ca(alice.host, &site.ca)?, root_ca(alice.host, &other.ca)?];
    let settings = |anchors: &[String]| {
        format!("trusted-ca-keys = {}\nca-policy-file = {POLICY}\nca-host-name = server\n", anchors.join(" "))
    };
    server.configure(&settings(&anchors))?;
    let table =
        format!("[ca.{}]\nusages = [\"import-paths\", \"vouch-for-systems\"]\n{ALL_NAMES}\n", other.ca);
    policy::replace(server, &site.policy("").replace("[activation]", &format!("{table}[activation]")))?;
    let version = version();
    let before = System::build(alice.host, alice.name, &version, UNSTEADY)?;
    alice.delivers(&before.top, "")?;
    site.activates(&alice, &before)?;

    let change = format!("{UNSTEADY} --argstr change -and-more");
    let after = System::build(bob.host, bob.name, &version, &change)?;
    bob.delivers(&after.top, "")?;
    site.govern("")?;
    server.configure(&settings(anchors.get(..1).unwrap_or_default()))?;
    site.refuses(&bob, &after, "not-vouched-for", &[after.part("unsteady-")?, "untrusted-ca"])?;
    policy::replace(server, &site.policy("").replace("[activation]", &format!("{table}[activation]")))?;
    server.configure(&settings(&anchors))?;
    site.activates(&bob, &after)?;
    Ok(Outcome::Passed)
}

/// The same, but Alice's system was not activated.
fn on_top_of_nothing(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    // Alice may bring it, and vouches for nothing.
    let alice = site.person("alice", super::pki::EVERYTHING)?;
    let bob = bob_with_a_laptop(&site)?;
    let version = version();
    let before = System::build(alice.host, alice.name, &version, UNSTEADY)?;
    alice.does(&format!("nix store sign -k {} --recursive {}", alice.key, before.top))?.ok()?;
    alice.does(&format!("nix-copy-closure --to alice@server {}", before.top))?.ok()?;
    let after = System::build(bob.host, bob.name, &version, UNSTEADY)?;
    bob.delivers(&after.top, "")?;
    let unsteady = after.part("unsteady-")?;
    let text = site.refuses(&bob, &after, "not-vouched-for", &[unsteady, "alice"])?;
    if text.contains(after.part("sudo-1.9.17")?) {
        bail!("more is named than what is left over:\n{text}");
    }
    Ok(Outcome::Passed)
}

/// Alice's first generation is activated again, after Bob's on top of it, and after something was revoked.
fn again(bed: &Bed, revoke: Option<&str>, good: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.alice()?, site.bob()?];
    let version = version();
    let first = System::build(alice.host, alice.name, &version, "")?;
    alice.delivers(&first.top, "")?;
    site.activates(&alice, &first)?;
    let second = System::build(bob.host, bob.name, &version, "--argstr change -and-more")?;
    bob.delivers(&second.top, "")?;
    site.activates(&bob, &second)?;
    if let Some(options) = revoke {
        site.revokes(options)?;
    }
    if good {
        site.activates(&bob, &first)?;
        return Ok(Outcome::Passed);
    }
    let server = &bed.server;
    let output = activate(server, bob.name, &first.top, "switch")?;
    if output.code != Some(1) {
        bail!("this should have been refused: {}\n{}", output.command, output.text);
    }
    says(&output.text, &["compromised"])?;
    if !activated(server)?.is_empty() || !Standing::of(server)?.is(&second.top) {
        bail!("the refused system did something");
    }
    Ok(Outcome::Passed)
}

/// What Alice activated alone, before the policy asked for two, is not brought back by one. Bob vouches for it, too.
fn of_one_again(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.alice()?, site.bob()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    alice.delivers(&system.top, "")?;
    site.activates(&alice, &system)?;
    site.govern(TWO)?;
    site.refuses(&alice, &system, "not-vouched-for", &["too-few-votes"])?;
    bob.co_signs(&system.top)?;
    site.activates(&alice, &system)?;
    Ok(Outcome::Passed)
}

/// Two vouched for it when the policy asked for one; then came another, and the policy asks for two.
fn of_two_again(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.alice()?, site.bob()?];
    let version = version();
    let first = System::build(alice.host, alice.name, &version, "")?;
    alice.delivers(&first.top, "")?;
    bob.co_signs(&first.top)?;
    site.activates(&alice, &first)?;
    let second = System::build(bob.host, bob.name, &version, "--argstr change -and-more")?;
    bob.delivers(&second.top, "")?;
    site.activates(&bob, &second)?;
    site.govern(TWO)?;
    site.activates(&alice, &first)?;
    // Bob's was his alone.
    site.refuses(&bob, &second, "not-vouched-for", &["bob"])?;
    Ok(Outcome::Passed)
}
