//! Thresholds: names that need two votes, and what is no second vote.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    attacks::{fresh, must_fail},
    forge::{Key, signed_by},
    pki::{EVERYTHING, certify, intermediate_ca, root_ca, signer},
    policy::{ALL_NAMES, acme, alice, bob, connect, govern, offered, threshold, vendor},
    realisations::{BOTH, signed},
    tools::{accepted, build, copy_closure, log_lines, offer, refused, says, sign},
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "threshold/met-is-accepted", run: met },
    Case { name: "threshold/missed-is-refused", run: |bed| pair(bed, |bed| alice(bed, EVERYTHING), None) },
    Case { name: "threshold/other-name-needs-one-vote", run: other_name },
    Case { name: "threshold/one-key-with-two-certificates-is-refused", run: one_key_two_certificates },
    Case { name: "threshold/one-label-with-two-keys-is-refused", run: one_label_two_keys },
    Case { name: "threshold/same-signature-twice-is-refused", run: same_signature_twice },
    Case { name: "threshold/bad-signature-is-no-vote", run: bad_signature },
    Case { name: "threshold/expired-certificate-is-no-vote", run: expired },
    Case { name: "threshold/one-intermediate-is-one-vote", run: |bed| one_intermediate(bed, "", false) },
    Case {
        name: "threshold/one-intermediate-that-is-trusted-to-tell-is-two-votes",
        run: |bed| one_intermediate(bed, "through-one-intermediate = \"separate-votes\"\n", true),
    },
    Case { name: "threshold/two-intermediates-are-two-votes", run: two_intermediates },
    Case {
        name: "threshold/vote-of-a-ca-that-is-not-asked-is-refused",
        run: |bed| two_cas(bed, r#"["acme-1"]"#, false),
    },
    Case {
        name: "threshold/vote-of-a-ca-that-is-asked-is-accepted",
        run: |bed| two_cas(bed, r#"["acme-1", "other-1"]"#, true),
    },
    Case { name: "threshold/plain-key-needs-no-votes", run: plain_key },
    Case { name: "threshold/two-by-copy-closure-are-accepted", run: |bed| by_copy_closure(bed, true) },
    Case { name: "threshold/one-by-copy-closure-is-refused", run: |bed| by_copy_closure(bed, false) },
    Case { name: "threshold/two-by-store-verify-are-accepted", run: |bed| by_store_verify(bed, true) },
    Case { name: "threshold/one-by-store-verify-is-refused", run: |bed| by_store_verify(bed, false) },
    Case { name: "threshold/two-for-a-realisation-are-accepted", run: |bed| realisation(bed, true) },
    Case { name: "threshold/one-for-a-realisation-is-refused", run: |bed| realisation(bed, false) },
];

/// What needs two votes.
const SYSTEM: &str = "nixos-system-web-25.05";

/// A policy of two votes for systems.
fn two_votes(rules: &str) -> String {
    format!("{}{}", acme(ALL_NAMES), threshold("nixos-system-*", rules))
}

/// Alice's vote, and whose else there is, are enough or not.
fn pair(bed: &Bed, first: fn(&Bed) -> Result<Key>, second: Option<Key>) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    let first = first(bed)?;
    let keys: Vec<&Key> = [&first].into_iter().chain(&second).collect();
    let said = offer(&mut connect(bed)?, &signed_by(&keys, &fresh(SYSTEM), b"hello"), Some("too-few-votes"))?;
    says(&said, &["alice", "nixos-system-*"])?;
    Ok(Outcome::Passed)
}

fn met(bed: &Bed) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    let keys = [alice(bed, EVERYTHING)?, bob(bed, EVERYTHING)?];
    let parcel = signed_by(&keys.each_ref(), &fresh(SYSTEM), b"hello");
    offer(&mut connect(bed)?, &parcel, None)?;
    let lines = log_lines(&bed.server, &parcel.info.path)?;
    let [line] = lines.as_slice() else { bail!("the log has not one line, but:\n{}", lines.join("\n")) };
    says(line, &["'alice' (certificate", "'bob' (certificate"])?;
    Ok(Outcome::Passed)
}

fn other_name(bed: &Bed) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    offered(bed, &[&alice(bed, EVERYTHING)?], "hello-1", None)
}

fn one_key_two_certificates(bed: &Bed) -> Result<Outcome> {
    let second = alice(bed, &format!("{EVERYTHING} --valid 30d"))?;
    pair(bed, |bed| alice(bed, EVERYTHING), Some(second))?;
    // Under another label, too: the CA's keeper was told that it is another person.
    let host = &bed.workstation;
    host.root("cp /home/alice/alice-1.secret /home/bob/alices.secret; chown bob /home/bob/alices.secret")?;
    let same_key = signer(host, "bob", "alices", "acme-1", &format!("{EVERYTHING} --replace-key"))?;
    pair(bed, |bed| alice(bed, EVERYTHING), Some(same_key))
}

fn one_label_two_keys(bed: &Bed) -> Result<Outcome> {
    let options = format!("{EVERYTHING} --replace-key");
    let second = signer(&bed.workstation, "alice", "alice-2", "acme-1", &options)?;
    pair(bed, |bed| alice(bed, EVERYTHING), Some(second))
}

/// In the set of a path's signatures it is there once; with another certificate of hers in the name, it is not.
fn same_signature_twice(bed: &Bed) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    let [first, second] = [alice(bed, EVERYTHING)?, alice(bed, EVERYTHING)?];
    let mut parcel = signed_by(&[&first], &fresh(SYSTEM), b"hello");
    let own = parcel.info.signatures.concat();
    parcel.info.signatures = vec![own.clone(), own.clone(), own.replace(&first.name, &second.name)];
    offer(&mut connect(bed)?, &parcel, Some("too-few-votes"))?;
    Ok(Outcome::Passed)
}

fn bad_signature(bed: &Bed) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    let [alice, bob] = [alice(bed, EVERYTHING)?, bob(bed, EVERYTHING)?];
    let mut parcel = signed_by(&[&alice], &fresh(SYSTEM), b"hello");
    // Alice's, under Bob's name.
    let forged: Vec<String> =
        parcel.info.signatures.iter().map(|own| own.replace(&alice.name, &bob.name)).collect();
    parcel.info.signatures.extend(forged);
    let said = offer(&mut connect(bed)?, &parcel, Some("too-few-votes"))?;
    says(&said, &["[bad-signature]"])?;
    Ok(Outcome::Passed)
}

fn expired(bed: &Bed) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    let ended = bob(bed, &format!("{EVERYTHING} --allow-expired --not-before=-3d --valid 2d"))?;
    let alice = alice(bed, EVERYTHING)?;
    let parcel = signed_by(&[&alice, &ended], &fresh(SYSTEM), b"hello");
    let said = offer(&mut connect(bed)?, &parcel, Some("too-few-votes"))?;
    says(&said, &["[expired]"])?;
    Ok(Outcome::Passed)
}

/// It certified both voters: who holds it could have made them.
fn one_intermediate(bed: &Bed, rules: &str, good: bool) -> Result<Outcome> {
    govern(bed, &two_votes(rules))?;
    let keys = [below(bed, "team-votes", "alice")?, below(bed, "team-votes", "bob")?];
    offered(bed, &keys.each_ref(), SYSTEM, (!good).then_some("too-few-votes"))
}

fn two_intermediates(bed: &Bed) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    let keys = [below(bed, "team-votes", "alice")?, below(bed, "team-ballots", "bob")?];
    offered(bed, &keys.each_ref(), SYSTEM, None)
}

/// A person's key, certified by an intermediate.
fn below(bed: &Bed, team: &str, person: &str) -> Result<Key> {
    root_ca(&bed.workstation, "acme-1")?;
    let issue = "--usage import-paths,issue --permit '*' --host '*'";
    intermediate_ca(&bed.workstation, team, "acme-1", issue)?;
    signer(&bed.workstation, person, &format!("{person}-1"), team, EVERYTHING)
}

fn two_cas(bed: &Bed, asked: &str, good: bool) -> Result<Outcome> {
    let other = format!("\n[ca.other-1]\nusages = [\"import-paths\"]\n{ALL_NAMES}");
    let threshold = threshold("nixos-system-*", &format!("authorities = {asked}\n"));
    govern(bed, &format!("{}{other}{threshold}", acme(ALL_NAMES)))?;
    let other = signer(&bed.workstation, "bob", "bob-1", "other-1", EVERYTHING)?;
    let keys = [&alice(bed, EVERYTHING)?, &other];
    offered(bed, &keys, SYSTEM, (!good).then_some("too-few-votes"))
}

fn plain_key(bed: &Bed) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    offered(bed, &[&vendor()], SYSTEM, None)
}

/// Two people sign on the workstation, and one of them copies.
fn by_copy_closure(bed: &Bed, both: bool) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    let host = &bed.workstation;
    let path = build(host, "alice", SYSTEM)?;
    for person in if both { &["alice", "bob"][..] } else { &["alice"] } {
        let options = format!("{EVERYTHING} --replace-key");
        let key = certify(host, person, &format!("{person}-1"), "acme-1", &options)?;
        sign(host, person, &key, &path)?;
    }
    let output = copy_closure(host, "alice", &bed.server, &path)?;
    if both {
        accepted(output, &bed.server, &path)?;
    } else {
        refused(&output, &bed.server, &path)?;
        says(&output.text, &["[too-few-votes]"])?;
    }
    Ok(Outcome::Passed)
}

/// What the server built itself: one signature is asked for, which certificates give only if they are two votes.
fn by_store_verify(bed: &Bed, both: bool) -> Result<Outcome> {
    govern(bed, &two_votes(""))?;
    let server = &bed.server;
    let path = build(server, "alice", SYSTEM)?;
    for person in if both { &["alice", "bob"][..] } else { &["alice"] } {
        let options = format!("{EVERYTHING} --replace-key");
        let key = certify(&bed.workstation, person, &format!("{person}-1"), "acme-1", &options)?;
        server.write("/tmp/voter.key", &bed.workstation.read(&format!("/home/{person}/{key}"))?)?;
        server.root("chmod 644 /tmp/voter.key")?;
        sign(server, "alice", "/tmp/voter.key", &path)?;
    }
    let output = server.run_as("alice", &format!("nix store verify --sigs-needed 1 {path}"))?;
    if both {
        output.ok()?;
    } else if output.success {
        bail!("one vote was enough: {}", output.command);
    } else {
        says(&output.text, &["is untrusted", "[too-few-votes]"])?;
    }
    Ok(Outcome::Passed)
}

fn realisation(bed: &Bed, both: bool) -> Result<Outcome> {
    let policy = two_votes("").replace(r#"["import-paths"]"#, r#"["import-paths", "import-realisations"]"#);
    govern(bed, &policy)?;
    let keys = [alice(bed, BOTH)?, bob(bed, BOTH)?];
    let parcel = signed_by(&keys.each_ref(), &fresh(SYSTEM), b"hello");
    let mut client = connect(bed)?;
    offer(&mut client, &parcel, None)?;
    let signers = if both { &keys.each_ref()[..] } else { &[&keys[0]] };
    let answer = client.register_realisation(&signed(&parcel.info.path, signers));
    if both {
        answer?;
    } else {
        must_fail(answer, "[too-few-votes]")?;
    }
    Ok(Outcome::Passed)
}
