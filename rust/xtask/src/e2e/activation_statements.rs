//! Closure statements: which ones count on this host, now. The statements are put together here, not by the command.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use nixcert_core::{ClosureDigest, ClosureName, Instant, Statement, StorePath, closure_digest};

use super::{
    Case, Outcome,
    activation::{Person, Site, VOUCHING},
    forge::{Key, fingerprint},
    pki::EVERYTHING,
    systems::{System, version},
    tools::copy_closure,
    wire::Client,
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/statement-in-force-is-accepted", run: |bed| judged(bed, |_| {}, None) },
    Case {
        name: "activation/statement-for-another-host-is-refused",
        run: |bed| judged(bed, |it| it.hosts = vec!["database"], Some("statement-of-another-host")),
    },
    Case {
        name: "activation/statement-for-this-host-by-name-is-accepted",
        run: |bed| judged(bed, |it| it.hosts = vec!["database", "server"], None),
    },
    Case {
        name: "activation/statement-that-expired-is-refused",
        run: |bed| judged(bed, |it| (it.signed, it.ends) = (-2 * DAY, -5), Some("statement-expired")),
    },
    Case {
        name: "activation/statement-that-ends-soon-is-accepted",
        run: |bed| judged(bed, |it| (it.signed, it.ends) = (-2 * DAY, 600), None),
    },
    Case {
        name: "activation/statement-far-ahead-is-refused",
        run: |bed| {
            let change = |it: &mut Draft<'_>| (it.signed, it.ends) = (DAY + 600, 3 * DAY);
            judged(bed, change, Some("statement-in-the-future"))
        },
    },
    Case {
        name: "activation/statement-little-ahead-is-accepted",
        run: |bed| judged(bed, |it| it.signed = DAY - 600, None),
    },
    Case {
        name: "activation/statement-with-a-byte-too-many-is-refused",
        run: |bed| judged(bed, |it| it.more = b"\0", Some("malformed-statement")),
    },
    Case {
        name: "activation/statement-that-was-changed-is-refused",
        run: |bed| judged(bed, |it| it.changed = true, Some("bad-signature")),
    },
    Case { name: "activation/statement-of-another-path-is-refused", run: another_path },
    Case { name: "activation/statement-of-another-closure-is-refused", run: another_closure },
    Case {
        name: "activation/import-only-certificate-is-refused",
        run: |bed| certificate(bed, EVERYTHING, Some("missing-usage")),
    },
    Case {
        name: "activation/certificate-for-another-host-is-refused",
        run: |bed| {
            let options = "--usage import-paths,vouch-for-systems --permit '*' --host database";
            certificate(bed, options, Some("host-not-permitted"))
        },
    },
    Case {
        name: "activation/certificate-for-this-host-is-accepted",
        run: |bed| {
            let options = "--usage import-paths,vouch-for-systems --permit '*' --host server";
            certificate(bed, options, None)
        },
    },
    Case {
        name: "activation/expired-certificate-is-refused",
        run: |bed| {
            let options = format!("{VOUCHING} --allow-expired --not-before=-3d --valid 2d");
            certificate(bed, &options, Some("expired"))
        },
    },
    Case {
        name: "activation/signer-who-retired-since-is-refused",
        run: |bed| revoked(bed, "--label alice --retired", Some("retired")),
    },
    Case {
        name: "activation/signer-who-was-compromised-since-is-refused",
        run: |bed| revoked(bed, "--label alice --compromised-since -1h", Some("compromised")),
    },
    Case {
        name: "activation/another-revoked-since-is-accepted",
        run: |bed| revoked(bed, "--label bob --retired", None),
    },
    Case { name: "activation/older-deployment-is-refused", run: older },
];

const DAY: i64 = 86_400;

/// What a statement is to say.
struct Draft<'a> {
    top: &'a str,
    closure: ClosureDigest,
    hosts: Vec<&'a str>,
    /// Seconds from now.
    signed: i64,
    /// Seconds from now.
    ends: i64,
    /// Bytes that follow.
    more: &'a [u8],
    /// Whether what is sent differs from what was signed.
    changed: bool,
}

impl<'a> Draft<'a> {
    /// A good one.
    fn new(system: &'a System, closure: ClosureDigest) -> Self {
        let (signed, ends) = (-60, DAY);
        Self { top: &system.top, closure, hosts: vec!["*"], signed, ends, more: b"", changed: false }
    }

    /// The signature of it by this person.
    fn signature(&self, person: &Person<'_>) -> Result<String> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let instant =
            |offset: i64| -> Result<Instant> { Ok(Instant::from_seconds(u64::try_from(now + offset)?)?) };
        let statement = Statement {
            path: StorePath::parse(self.top)?,
            closure: self.closure,
            hosts: self.hosts.iter().map(|&host| host.to_owned()).collect(),
            signed: instant(self.signed)?,
            not_after: instant(self.ends)?,
        };
        let mut bytes = [&statement.to_bytes()?, self.more].concat();
        let message = [b"nixcert1.closure\0", bytes.as_slice()].concat();
        if self.changed {
            let last = bytes.last_mut().context("an empty statement")?;
            *last = last.wrapping_add(1);
        }
        let key = Key::read(person.host, &format!("/home/{}/{}", person.name, person.key))?;
        Ok(key.sign_as(&ClosureName::format(&bytes, &key.name)?, &message))
    }
}

/// Brings the server a new system, imported by Alice, for which nobody has vouched yet; gives its digest, too.
fn unvouched(site: &Site<'_>, alice: &Person<'_>) -> Result<(System, ClosureDigest, Client)> {
    let system = System::build(alice.host, alice.name, &version(), "")?;
    alice.does(&format!("nix store sign -k {} --recursive {}", alice.key, system.top))?.ok()?;
    copy_closure(alice.host, alice.name, &site.bed.server, &system.top)?.ok()?;
    let mut client = Client::connect(alice.host, alice.name, &site.bed.server)?;
    let fingerprints = system.paths.iter().map(|path| {
        let info = client.info(path)?.with_context(|| format!("{path} was not copied"))?;
        Ok(fingerprint(&info))
    });
    let fingerprints = fingerprints.collect::<Result<Vec<String>>>()?;
    let digest = closure_digest(fingerprints)?;
    Ok((system, digest, client))
}

/// Accepted, or refused for this reason.
fn outcome(site: &Site<'_>, person: &Person<'_>, system: &System, reason: Option<&str>) -> Result<Outcome> {
    match reason {
        None => site.activates(person, system).map(drop)?,
        Some(reason) => site.refuses(person, system, reason, &[]).map(drop)?,
    }
    Ok(Outcome::Passed)
}

/// A statement by Alice that differs from a good one in this.
fn judged(bed: &Bed, change: fn(&mut Draft<'_>), reason: Option<&str>) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let (system, digest, mut client) = unvouched(&site, &alice)?;
    site.refuses(&alice, &system, "closure-signature-missing", &[])?;
    let mut draft = Draft::new(&system, digest);
    change(&mut draft);
    client.add_signatures(&system.top, &[draft.signature(&alice)?])?;
    outcome(&site, &alice, &system, reason)
}

/// A good statement by somebody with such a certificate; another one brought the system.
fn certificate(bed: &Bed, options: &str, reason: Option<&str>) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let (system, digest, mut client) = unvouched(&site, &alice)?;
    let bob = site.person("bob", options)?;
    client.add_signatures(&system.top, &[Draft::new(&system, digest).signature(&bob)?])?;
    outcome(&site, &bob, &system, reason)
}

/// A good statement about one system, put on another one.
fn another_path(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let (first, digest, _) = unvouched(&site, &alice)?;
    let (second, _, mut client) = unvouched(&site, &alice)?;
    let signature = Draft::new(&first, digest).signature(&alice)?;
    client.add_signatures(&second.top, std::slice::from_ref(&signature))?;
    site.refuses(&alice, &second, "statement-of-another-path", &[&first.top])?;
    client.add_signatures(&first.top, &[signature])?;
    outcome(&site, &alice, &first, None)
}

/// Bob wants this system, but with other paths; Alice, who may not vouch, brought these.
fn another_closure(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice", EVERYTHING)?;
    let bob = site.bob()?;
    let (system, digest, mut client) = unvouched(&site, &alice)?;
    let other = ClosureDigest { sha256: [7; 32], ..digest };
    client.add_signatures(&system.top, &[Draft::new(&system, other).signature(&bob)?])?;
    site.refuses(
        &bob,
        &system,
        "not-vouched-for",
        &["of a closure in which something is not as it is here", &system.top],
    )?;
    client.add_signatures(&system.top, &[Draft::new(&system, digest).signature(&bob)?])?;
    outcome(&site, &bob, &system, None)
}

/// Somebody is revoked after Alice signed, and before she activates.
fn revoked(bed: &Bed, options: &str, reason: Option<&str>) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    site.bob()?;
    let (system, digest, mut client) = unvouched(&site, &alice)?;
    client.add_signatures(&system.top, &[Draft::new(&system, digest).signature(&alice)?])?;
    site.revokes(options)?;
    outcome(&site, &alice, &system, reason)
}

/// Two deployments are signed, and the second is activated: the first is no more, the second still is.
fn older(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let (first, old, mut client) = unvouched(&site, &alice)?;
    let draft = Draft { signed: -120, ..Draft::new(&first, old) };
    client.add_signatures(&first.top, &[draft.signature(&alice)?])?;
    let (second, new, mut client) = unvouched(&site, &alice)?;
    client.add_signatures(&second.top, &[Draft::new(&second, new).signature(&alice)?])?;
    site.activates(&alice, &second)?;
    site.refuses(&alice, &first, "older-deployment", &[])?;
    site.activates(&alice, &second)?;
    // Alice means it: she signs it again.
    let again = Draft { signed: 0, ..Draft::new(&first, old) };
    client.add_signatures(&first.top, &[again.signature(&alice)?])?;
    outcome(&site, &alice, &first, None)
}
