//! With a policy: what the server's administrator says of certificates, beyond what is written in them.

use std::{thread, time::Duration};

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    attacks::{fresh, must_fail},
    certificates::issue_to,
    forge::{Key, signed_by},
    pki::{EVERYTHING, certify, forge, intermediate_ca, parts, root_ca, signer},
    realisations::{BOTH, signed},
    tools::{accepted, build, copy_closure, log_lines, offer, refused, says, sign},
    wire::Client,
};
use crate::{bed::Bed, host::Host};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "policy/permitted-name-is-accepted",
        run: |bed| judged(bed, &acme(r#"permitted-names = ["hello@"]"#), "hello-1", None),
    },
    Case {
        name: "policy/other-name-is-refused",
        run: |bed| {
            let policy = acme(r#"permitted-names = ["hello@"]"#);
            judged(bed, &policy, "hello-locales-1", Some("name-not-permitted-by-policy"))
        },
    },
    Case {
        name: "policy/not-excluded-name-is-accepted",
        run: |bed| judged(bed, &acme(&format!("{ALL_NAMES}excluded-names = [\"sudo@\"]")), "sudo-rs-1", None),
    },
    Case {
        name: "policy/excluded-name-is-refused",
        run: |bed| {
            let policy = acme(&format!("{ALL_NAMES}excluded-names = [\"sudo@\"]"));
            judged(bed, &policy, "sudo-1", Some("name-excluded-by-policy"))
        },
    },
    Case {
        name: "policy/short-validity-is-accepted",
        run: |bed| validity(bed, "--not-before=-1d --valid 30d", None),
    },
    Case {
        name: "policy/long-validity-is-refused",
        run: |bed| validity(bed, "--not-before=-1d --valid 31d", Some("validity-too-long")),
    },
    Case { name: "policy/chain-of-that-depth-is-accepted", run: |bed| depth(bed, 1, None) },
    Case { name: "policy/deeper-chain-is-refused", run: |bed| depth(bed, 0, Some("chain-too-deep")) },
    Case {
        name: "policy/usage-for-paths-is-accepted",
        run: |bed| judged(bed, &acme(ALL_NAMES), "hello-1", None),
    },
    Case {
        name: "policy/usage-for-realisations-alone-is-refused",
        run: |bed| {
            let policy = ca("acme-1", r#""import-realisations""#, ALL_NAMES);
            judged(bed, &policy, "hello-1", Some("usage-not-in-policy"))
        },
    },
    Case {
        name: "policy/realisation-is-accepted",
        run: |bed| realisation(bed, r#""import-paths", "import-realisations""#, None),
    },
    Case {
        name: "policy/realisation-without-the-usage-is-refused",
        run: |bed| realisation(bed, r#""import-paths""#, Some("usage-not-in-policy")),
    },
    Case {
        name: "policy/ca-that-is-not-in-it-is-refused",
        run: |bed| {
            let policy = ca("other-1", r#""import-paths""#, ALL_NAMES);
            judged(bed, &policy, "hello-1", Some("ca-not-in-policy"))
        },
    },
    Case { name: "policy/two-cas-have-their-own-rules", run: two_cas },
    Case { name: "policy/by-copy-closure-is-accepted", run: |bed| by_copy_closure(bed, "hello-1", None) },
    Case {
        name: "policy/by-copy-closure-is-refused",
        run: |bed| by_copy_closure(bed, "sudo-1", Some("name-not-permitted-by-policy")),
    },
    Case {
        name: "protected/other-name-is-accepted",
        run: |bed| judged(bed, &protecting("sudo@"), "hello-1", None),
    },
    Case {
        name: "protected/name-is-refused",
        run: |bed| judged(bed, &protecting("sudo@"), "sudo-1", Some("protected-name")),
    },
    Case { name: "protected/plain-key-is-accepted", run: protected_by_plain_key },
    Case { name: "widening/name-of-the-intermediate-is-accepted", run: |bed| widening(bed, "hello-1", None) },
    Case {
        name: "widening/other-name-is-refused",
        run: |bed| widening(bed, "sudo-1", Some("name-not-permitted")),
    },
    Case { name: "widening/usage-of-the-intermediate-is-accepted", run: |bed| widened_usage(bed, true) },
    Case { name: "widening/usage-is-refused", run: |bed| widened_usage(bed, false) },
    Case { name: "widening/host-is-refused", run: |bed| widened_host(bed, "database", Some(())) },
    Case { name: "widening/own-host-is-accepted", run: |bed| widened_host(bed, "server", None) },
    Case {
        name: "audit/permitted-names",
        run: |bed| {
            let rule = r#"permitted-names = ["hello@"]"#;
            audited(bed, &acme(rule), &acme_in_audit(rule, "permitted-names"), "name-not-permitted-by-policy")
        },
    },
    Case {
        name: "audit/excluded-names",
        run: |bed| {
            let rule = format!("{ALL_NAMES}excluded-names = [\"sudo@\"]");
            audited(bed, &acme(&rule), &acme_in_audit(&rule, "excluded-names"), "name-excluded-by-policy")
        },
    },
    Case {
        name: "audit/longest-validity",
        run: |bed| {
            let rule = format!("{ALL_NAMES}longest-validity = \"1d\"");
            audited(bed, &acme(&rule), &acme_in_audit(&rule, "longest-validity"), "validity-too-long")
        },
    },
    Case { name: "audit/deepest-chain", run: audit_of_a_chain },
    Case {
        name: "audit/usages",
        run: |bed| {
            let usages = r#""import-realisations""#;
            let in_audit = ca("acme-1", usages, &format!("{ALL_NAMES}audit = [\"usages\"]"));
            audited(bed, &ca("acme-1", usages, ALL_NAMES), &in_audit, "usage-not-in-policy")
        },
    },
    Case {
        name: "audit/protected-names",
        run: |bed| {
            let enforced = protecting("sudo@");
            let in_audit =
                enforced.replace("protected-names", "audit = [\"protected-names\"]\nprotected-names");
            audited(bed, &enforced, &in_audit, "protected-name")
        },
    },
    Case {
        name: "audit/threshold",
        run: |bed| {
            let enforced = format!("{}{}", acme(ALL_NAMES), threshold("sudo@", ""));
            let in_audit = format!("{}{}", acme(ALL_NAMES), threshold("sudo@", "audit = true\n"));
            audited(bed, &enforced, &in_audit, "too-few-votes")
        },
    },
    Case { name: "audit/what-is-allowed-is-not-logged", run: audit_of_the_allowed },
    Case { name: "audit/limits-of-the-certificate-hold", run: audit_of_a_certificate },
    Case { name: "broken-policy/on-an-open-connection", run: broken_while_connected },
    Case { name: "broken-policy/unknown-key-is-named", run: |bed| broken(bed, Broken::UnknownKey) },
    Case { name: "broken-policy/missing-file-is-named", run: |bed| broken(bed, Broken::Missing) },
    Case { name: "broken-policy/writable-by-its-group", run: |bed| broken(bed, Broken::GroupWritable) },
    Case { name: "broken-policy/of-another-user", run: |bed| broken(bed, Broken::Owner) },
    Case { name: "broken-policy/directory", run: |bed| broken(bed, Broken::Directory) },
    Case { name: "broken-policy/newer-version", run: |bed| broken(bed, Broken::Version) },
    Case { name: "broken-policy/other-commands-work", run: other_commands },
    Case { name: "changed-policy/renamed-on-an-open-connection", run: |bed| changed(bed, replace) },
    Case { name: "changed-policy/written-on-an-open-connection", run: |bed| changed(bed, overwrite) },
    Case { name: "changed-policy/link-on-an-open-connection", run: |bed| changed(bed, link) },
    Case { name: "changed-policy/half-written-is-waited-for", run: half_written },
    Case {
        name: "changed-policy/while-it-is-sent-is-refused",
        run: |bed| changed_while_sent(bed, "sudo@", Some("[name-not-permitted-by-policy]")),
    },
    Case {
        name: "changed-policy/to-the-like-while-it-is-sent-is-accepted",
        run: |bed| changed_while_sent(bed, "hell?-1", None),
    },
    Case { name: "client/ca-policy-file-is-ignored", run: client_names_a_policy },
];

/// Where the server's policy is.
pub(crate) const POLICY: &str = "/etc/nix/nixcert.toml";

/// The rule that a CA may certify for every name.
pub(crate) const ALL_NAMES: &str = "permitted-names = [\"*\"]\n";

/// A policy for one CA.
fn ca(name: &str, usages: &str, rules: &str) -> String {
    format!("version = 1\n\n[ca.{name}]\nusages = [{usages}]\n{rules}\n")
}

/// A policy for the CA `acme-1`, for the import of paths.
pub(crate) fn acme(rules: &str) -> String {
    ca("acme-1", r#""import-paths""#, rules)
}

fn acme_in_audit(rules: &str, rule: &str) -> String {
    acme(&format!("{rules}\naudit = [\"{rule}\"]"))
}

/// A policy that protects a name.
pub(crate) fn protecting(name: &str) -> String {
    acme(ALL_NAMES).replace("version = 1\n", &format!("version = 1\nprotected-names = [\"{name}\"]\n"))
}

/// A threshold of two votes, to stand at the end of a policy.
pub(crate) fn threshold(name: &str, rules: &str) -> String {
    format!("\n[[threshold]]\nnames = [\"{name}\"]\nvotes = 2\n{rules}")
}

/// A vendor's plain key, which the server trusts beside the CAs.
pub(crate) fn vendor() -> Key {
    Key::from_seed("vendor-1", 9)
}

/// Has the server trust both CAs and the vendor, with this policy.
pub(crate) fn govern(bed: &Bed, policy: &str) -> Result<()> {
    govern_with(bed, "", policy)
}

fn govern_with(bed: &Bed, more: &str, policy: &str) -> Result<()> {
    bed.server.configure(&format!("{}{more}", settings(bed)?))?;
    replace(&bed.server, policy)
}

/// The server's settings: both CAs, the vendor, and where the policy is.
pub(crate) fn settings(bed: &Bed) -> Result<String> {
    let cas = [root_ca(&bed.workstation, "acme-1")?, root_ca(&bed.workstation, "other-1")?];
    Ok(format!(
        "trusted-ca-keys = {}\ntrusted-public-keys = {}\nca-policy-file = {POLICY}\n",
        cas.join(" "),
        vendor().public()
    ))
}

/// As an administrator should: by renaming.
pub(crate) fn replace(server: &Host, policy: &str) -> Result<()> {
    server.root(&format!("! test -d {POLICY} || rm -r {POLICY}"))?;
    server.replace(POLICY, policy.as_bytes())
}

/// As an editor may.
fn overwrite(server: &Host, policy: &str) -> Result<()> {
    server.write(POLICY, policy.as_bytes())
}

/// As NixOS does: the file is a link, and another one takes its place.
fn link(server: &Host, policy: &str) -> Result<()> {
    let target = format!("/srv/policies/{}.toml", fresh("policy").replace('/', "-"));
    server.write(&target, policy.as_bytes())?;
    server.root(&format!("chmod 444 {target}; ln -s {target} {POLICY}.new; mv -T {POLICY}.new {POLICY}"))?;
    Ok(())
}

/// Alice, with a certificate of the CA `acme-1`.
pub(crate) fn alice(bed: &Bed, options: &str) -> Result<Key> {
    of_acme(bed, "alice", options)
}

/// Bob, with another.
pub(crate) fn bob(bed: &Bed, options: &str) -> Result<Key> {
    of_acme(bed, "bob", options)
}

/// Whatever key had the label in a case before.
fn of_acme(bed: &Bed, person: &str, options: &str) -> Result<Key> {
    root_ca(&bed.workstation, "acme-1")?;
    let options = format!("{options} --replace-key");
    signer(&bed.workstation, person, &format!("{person}-1"), "acme-1", &options)
}

/// Alice's connection to the server.
pub(crate) fn connect(bed: &Bed) -> Result<Client> {
    Client::connect(&bed.workstation, "alice", &bed.server)
}

/// Offers a new path that all of these have signed.
pub(crate) fn offered(bed: &Bed, keys: &[&Key], name: &str, reason: Option<&str>) -> Result<Outcome> {
    offer(&mut connect(bed)?, &signed_by(keys, &fresh(name), b"hello"), reason)?;
    Ok(Outcome::Passed)
}

fn judged(bed: &Bed, policy: &str, name: &str, reason: Option<&str>) -> Result<Outcome> {
    govern(bed, policy)?;
    offered(bed, &[&alice(bed, EVERYTHING)?], name, reason)
}

fn validity(bed: &Bed, when: &str, reason: Option<&str>) -> Result<Outcome> {
    govern(bed, &acme(&format!("{ALL_NAMES}longest-validity = \"30d\"")))?;
    offered(bed, &[&alice(bed, &format!("{EVERYTHING} {when}"))?], "hello-1", reason)
}

fn depth(bed: &Bed, deepest: u8, reason: Option<&str>) -> Result<Outcome> {
    govern(bed, &acme(&format!("{ALL_NAMES}deepest-chain = {deepest}")))?;
    let issue = "--usage import-paths,issue --permit '*' --host '*'";
    intermediate_ca(&bed.workstation, "team-deep", "acme-1", issue)?;
    let key = signer(&bed.workstation, "alice", "alice-1", "team-deep", EVERYTHING)?;
    offered(bed, &[&key], "hello-1", reason)
}

fn realisation(bed: &Bed, usages: &str, reason: Option<&str>) -> Result<Outcome> {
    govern(bed, &ca("acme-1", usages, ALL_NAMES))?;
    let key = alice(bed, BOTH)?;
    let mut client = connect(bed)?;
    let parcel = key.parcel(&fresh("hello-1"), b"hello");
    offer(&mut client, &parcel, None)?;
    let answer = client.register_realisation(&signed(&parcel.info.path, &[&key]));
    match reason {
        None => answer?,
        Some(reason) => must_fail(answer, &format!("[{reason}]"))?,
    }
    Ok(Outcome::Passed)
}

/// Each CA has its own names, which are no good with the other.
fn two_cas(bed: &Bed) -> Result<Outcome> {
    let other = r#"
[ca.other-1]
usages = ["import-paths"]
permitted-names = ["sudo@"]
"#;
    govern(bed, &format!("{}{other}", acme(r#"permitted-names = ["hello@"]"#)))?;
    let acme = alice(bed, EVERYTHING)?;
    let other = signer(&bed.workstation, "alice", "alice-1", "other-1", EVERYTHING)?;
    for (key, name, reason) in [
        (&acme, "hello-1", None),
        (&acme, "sudo-1", Some("name-not-permitted-by-policy")),
        (&other, "hello-1", Some("name-not-permitted-by-policy")),
        (&other, "sudo-1", None),
    ] {
        offered(bed, &[key], name, reason)?;
    }
    // Where both have signed, the one that may decides.
    offered(bed, &[&acme, &other], "sudo-1", None)
}

fn by_copy_closure(bed: &Bed, name: &str, reason: Option<&str>) -> Result<Outcome> {
    govern(bed, &acme(r#"permitted-names = ["hello@"]"#))?;
    let host = &bed.workstation;
    let key = certify(host, "alice", "alice-1", "acme-1", EVERYTHING)?;
    let path = build(host, "alice", name)?;
    sign(host, "alice", &key, &path)?;
    let output = copy_closure(host, "alice", &bed.server, &path)?;
    match reason {
        None => accepted(output, &bed.server, &path)?,
        Some(reason) => {
            refused(&output, &bed.server, &path)?;
            says(&output.text, &[&format!("[{reason}]"), "certificate 'alice'"])?;
        }
    }
    Ok(Outcome::Passed)
}

fn protected_by_plain_key(bed: &Bed) -> Result<Outcome> {
    govern(bed, &protecting("sudo@"))?;
    offered(bed, &[&vendor()], "sudo-1", None)
}

/// An intermediate that may do little certifies for everything; the policy permits everything, too.
fn widening(bed: &Bed, name: &str, reason: Option<&str>) -> Result<Outcome> {
    govern(bed, &acme(ALL_NAMES))?;
    let narrow = "--usage import-paths,issue --permit hello@ --host '*'";
    intermediate_ca(&bed.workstation, "team-narrow", "acme-1", narrow)?;
    let key = signer(&bed.workstation, "alice", "alice-1", "team-narrow", EVERYTHING)?;
    offered(bed, &[&key], name, reason)
}

/// The intermediate's certificate, which has the usage, is swapped for another one of the same key, which has it not.
fn widened_usage(bed: &Bed, has_it: bool) -> Result<Outcome> {
    govern(bed, &ca("acme-1", r#""import-paths", "import-realisations""#, ALL_NAMES))?;
    let host = &bed.workstation;
    let issue = "--usage import-paths,import-realisations,issue --permit '*' --host '*'";
    intermediate_ca(host, "team-wide", "acme-1", issue)?;
    let mut file = certify(host, "alice", "alice-1", "team-wide", BOTH)?;
    if !has_it {
        let narrow = issue_to(host, "team-wide", "--usage import-paths,issue --permit '*' --host '*'")?;
        let (label, mut certificates) = parts(host, "alice", &file)?;
        certificates.truncate(1);
        certificates.push(narrow);
        file = forge(host, "alice", &file, &label, &certificates)?;
    }
    let key = Key::read(host, &format!("/home/alice/{file}"))?;
    let parcel = key.parcel(&fresh("hello-1"), b"hello");
    let mut client = connect(bed)?;
    offer(&mut client, &parcel, None)?;
    let answer = client.register_realisation(&signed(&parcel.info.path, &[&key]));
    if has_it {
        answer?;
    } else {
        must_fail(answer, "[missing-usage]")?;
    }
    Ok(Outcome::Passed)
}

/// The same, for hosts.
fn widened_host(bed: &Bed, host: &str, refused: Option<()>) -> Result<Outcome> {
    govern_with(bed, "ca-host-name = server\n", &acme(ALL_NAMES))?;
    let team = format!("team-of-{host}");
    let narrow = format!("--usage import-paths,issue --permit '*' --host {host}");
    intermediate_ca(&bed.workstation, &team, "acme-1", &narrow)?;
    let key = signer(&bed.workstation, "alice", "alice-1", &team, EVERYTHING)?;
    offered(bed, &[&key], "hello-1", refused.map(|()| "host-not-permitted"))
}

fn audit_of_a_chain(bed: &Bed) -> Result<Outcome> {
    let issue = "--usage import-paths,issue --permit '*' --host '*'";
    root_ca(&bed.workstation, "acme-1")?;
    intermediate_ca(&bed.workstation, "team-deep", "acme-1", issue)?;
    let alice = signer(&bed.workstation, "alice", "alice-1", "team-deep", EVERYTHING)?;
    let rule = format!("{ALL_NAMES}deepest-chain = 0");
    let (enforced, in_audit) = (acme(&rule), acme_in_audit(&rule, "deepest-chain"));
    audited_of(bed, &alice, &enforced, &in_audit, "chain-too-deep")
}

fn audited(bed: &Bed, enforced: &str, in_audit: &str, reason: &str) -> Result<Outcome> {
    audited_of(bed, &alice(bed, EVERYTHING)?, enforced, in_audit, reason)
}

/// What a rule refuses, it accepts in audit mode, and the log has what it would have said.
fn audited_of(bed: &Bed, alice: &Key, enforced: &str, in_audit: &str, reason: &str) -> Result<Outcome> {
    govern(bed, enforced)?;
    offered(bed, &[alice], "sudo-1", Some(reason))?;
    govern(bed, in_audit)?;
    let parcel = signed_by(&[alice], &fresh("sudo-1"), b"hello");
    offer(&mut connect(bed)?, &parcel, None)?;
    let path = &parcel.info.path;
    let lines = log_lines(&bed.server, path)?;
    let [accepted, would_refuse] = lines.as_slice() else {
        bail!("{} lines of the log name {path}:\n{}", lines.len(), lines.join("\n"))
    };
    says(accepted, &[&format!("accepted path '{path}' from user 'alice'")])?;
    let words = format!("policy in audit mode would have refused path '{path}' from user 'alice': ");
    says(would_refuse, &[&words, &format!("[{reason}]")])?;
    Ok(Outcome::Passed)
}

/// One line: nothing would have been refused. Two people signed, of whom one alone would have been.
fn audit_of_the_allowed(bed: &Bed) -> Result<Outcome> {
    let rule = r#"permitted-names = ["hello@"]"#;
    govern(bed, &acme_in_audit(rule, "permitted-names"))?;
    let alice = alice(bed, EVERYTHING)?;
    let parcel = signed_by(&[&alice], &fresh("hello-1"), b"hello");
    offer(&mut connect(bed)?, &parcel, None)?;
    let lines = log_lines(&bed.server, &parcel.info.path)?;
    if lines.len() != 1 {
        bail!("{} lines of the log name {}:\n{}", lines.len(), parcel.info.path, lines.join("\n"));
    }
    // Nor where a plain key is enough.
    let parcel = signed_by(&[&alice, &vendor()], &fresh("sudo-1"), b"hello");
    offer(&mut connect(bed)?, &parcel, None)?;
    let lines = log_lines(&bed.server, &parcel.info.path)?;
    if !lines.is_empty() {
        bail!("the log names {}:\n{}", parcel.info.path, lines.join("\n"));
    }
    Ok(Outcome::Passed)
}

/// Every rule of the policy is in audit mode; what the certificate says is not the policy's.
fn audit_of_a_certificate(bed: &Bed) -> Result<Outcome> {
    let audit = r#""permitted-names", "excluded-names", "longest-validity", "deepest-chain", "usages""#;
    govern(bed, &acme(&format!("permitted-names = [\"x\"]\naudit = [{audit}]")))?;
    let alice = alice(bed, "--usage import-paths --permit hello@ --host '*'")?;
    offered(bed, &[&alice], "hello-1", None)?;
    offered(bed, &[&alice], "sudo-1", Some("name-not-permitted"))
}

/// While Alice stays connected, the policy breaks, and is repaired.
fn broken_while_connected(bed: &Bed) -> Result<Outcome> {
    let good = acme(ALL_NAMES);
    govern(bed, &good)?;
    let alice = alice(bed, EVERYTHING)?;
    let parcel = |key: &Key| signed_by(&[key], &fresh("hello-1"), b"hello");
    let mut client = connect(bed)?;
    offer(&mut client, &parcel(&alice), None)?;

    replace(&bed.server, &format!("{good}longest-validty = \"90d\"\n"))?;
    let said = offer(&mut client, &parcel(&alice), Some("broken-configuration"))?;
    says(&said, &[&format!("'{POLICY}'"), "line 7", "longest-validty", "certificates are switched off"])?;
    offer(&mut client, &parcel(&vendor()), None)?;

    replace(&bed.server, &good)?;
    offer(&mut client, &parcel(&alice), None)?;
    Ok(Outcome::Passed)
}

/// What makes a policy unusable.
#[derive(Clone, Copy)]
enum Broken {
    UnknownKey,
    Missing,
    GroupWritable,
    Owner,
    Directory,
    Version,
}

/// Certificates are refused, with what is wrong; plain keys are not; without that one fact all is well.
fn broken(bed: &Bed, how: Broken) -> Result<Outcome> {
    let (server, good) = (&bed.server, acme(ALL_NAMES));
    let alice = alice(bed, EVERYTHING)?;
    govern(bed, &good)?;
    offered(bed, &[&alice], "hello-1", None)?;
    let words = match how {
        Broken::UnknownKey => {
            replace(server, &good.replace("permitted-names", "permited-names"))?;
            vec!["line 5", "permited-names"]
        }
        Broken::Missing => {
            server.root(&format!("rm {POLICY}"))?;
            vec!["no such file"]
        }
        Broken::GroupWritable => {
            server.root(&format!("chmod g+w {POLICY}"))?;
            vec!["chmod go-w"]
        }
        Broken::Owner => {
            server.root(&format!("chown alice {POLICY}"))?;
            vec!["chown root"]
        }
        Broken::Directory => {
            server.root(&format!("rm {POLICY}; mkdir {POLICY}"))?;
            vec!["not a regular file"]
        }
        Broken::Version => {
            replace(server, &good.replace("version = 1", "version = 2"))?;
            vec!["line 1", "version 2"]
        }
    };
    let mut client = connect(bed)?;
    let parcel = |key: &Key| signed_by(&[key], &fresh("hello-1"), b"hello");
    let said = offer(&mut client, &parcel(&alice), Some("broken-configuration"))?;
    says(&said, &[POLICY])?;
    says(&said, &words)?;
    offer(&mut client, &parcel(&vendor()), None)?;
    Ok(Outcome::Passed)
}

/// The file is not looked at before a certificate is: NixOS checks its nix.conf in a sandbox that has no such file.
fn other_commands(bed: &Bed) -> Result<Outcome> {
    govern(bed, "")?;
    bed.server.root(&format!("rm {POLICY}"))?;
    for user in ["bob", "root"] {
        let text = bed.server.run_as(user, "nix config show ca-policy-file")?.ok()?;
        if text.trim() != POLICY {
            bail!("{user} was told more than the setting: {text}");
        }
        let text = bed.server.run_as(user, "nix config show && nix store info")?.ok()?;
        if text.contains("ignoring all certificates") {
            bail!("{user} was told of certificates: {text}");
        }
    }
    build(&bed.server, "bob", "hello-1")?;
    Ok(Outcome::Passed)
}

/// While Alice stays connected, the policy becomes another one, and the first again.
fn changed(bed: &Bed, change: fn(&Host, &str) -> Result<()>) -> Result<Outcome> {
    let [hello, sudo] = ["hello", "sudo"].map(|name| acme(&format!("permitted-names = [\"{name}@\"]")));
    govern(bed, &hello)?;
    let alice = alice(bed, EVERYTHING)?;
    let parcel = |name: &str| signed_by(&[&alice], &fresh(name), b"hello");
    let mut client = connect(bed)?;
    offer(&mut client, &parcel("hello-1"), None)?;
    for _ in 0..3 {
        change(&bed.server, &sudo)?;
        offer(&mut client, &parcel("hello-1"), Some("name-not-permitted-by-policy"))?;
        offer(&mut client, &parcel("sudo-1"), None)?;
        change(&bed.server, &hello)?;
        offer(&mut client, &parcel("sudo-1"), Some("name-not-permitted-by-policy"))?;
        offer(&mut client, &parcel("hello-1"), None)?;
    }
    Ok(Outcome::Passed)
}

/// An editor writes the file in place: its first half is a policy, and says more than the whole.
fn half_written(bed: &Bed) -> Result<Outcome> {
    let half = acme(ALL_NAMES);
    let whole = format!("{half}excluded-names = [\"sudo@\"]\n");
    govern(bed, &whole)?;
    let alice = alice(bed, EVERYTHING)?;
    let mut client = connect(bed)?;
    let parcel = || signed_by(&[&alice], &fresh("sudo-1"), b"hello");
    offer(&mut client, &parcel(), Some("name-excluded-by-policy"))?;
    bed.server.write("/srv/half.toml", half.as_bytes())?;
    bed.server.write("/srv/whole.toml", whole.as_bytes())?;
    bed.server.root(&format!(
        "cat /srv/half.toml > {POLICY}; (sleep 0.3; cat /srv/whole.toml > {POLICY}) > /dev/null 2>&1 &"
    ))?;
    offer(&mut client, &parcel(), Some("name-excluded-by-policy"))?;
    Ok(Outcome::Passed)
}

/// The policy changes between the first bytes of a path, when it was judged once, and the last.
fn changed_while_sent(bed: &Bed, permitted: &str, words: Option<&str>) -> Result<Outcome> {
    govern(bed, &acme("permitted-names = [\"hello@\"]"))?;
    let parcel = signed_by(&[&alice(bed, EVERYTHING)?], &fresh("hello-1"), b"hello");
    let mut client = connect(bed)?;
    // The daemon has to have begun.
    let answer = client.add_with_a_pause(&parcel, || {
        thread::sleep(Duration::from_secs(2));
        replace(&bed.server, &acme(&format!("permitted-names = [\"{permitted}\"]")))
    });
    match words {
        None => answer?,
        Some(words) => must_fail(answer, words)?,
    }
    Ok(Outcome::Passed)
}

/// Mallory's client names another policy, and none.
fn client_names_a_policy(bed: &Bed) -> Result<Outcome> {
    govern(bed, &protecting("sudo@"))?;
    let host = &bed.workstation;
    let key = certify(host, "mallory", "mallory-1", "acme-1", EVERYTHING)?;
    let path = build(host, "mallory", "sudo-1")?;
    sign(host, "mallory", &key, &path)?;
    bed.server.write("/tmp/permissive.toml", acme(ALL_NAMES).as_bytes())?;
    for value in ["/tmp/permissive.toml", "''"] {
        let line = format!("nix copy --to ssh-ng://mallory@server --option ca-policy-file {value} {path}");
        let output = host.run_as("mallory", &line)?;
        refused(&output, &bed.server, &path)?;
        says(&output.text, &["[protected-name]"])?;
    }
    Ok(Outcome::Passed)
}
