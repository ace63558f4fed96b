//! Trust that is withdrawn: revocation lists, made by `nixcert revoke` where the CA is, and taken up by `nixcert revocation
//! install` on the server.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    attacks::{fresh, must_fail},
    forge::{Key, signed_by},
    pki::{EVERYTHING, certify, intermediate_ca, root_ca},
    policy::{self, ALL_NAMES, POLICY, connect, threshold, vendor},
    tools::{build, log_lines, offer, says, sign},
    wire::Parcel,
};
use crate::{
    bed::Bed,
    clock,
    host::{Clock, Host, Output},
};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "revoked/leaf-by-serial-by-the-ca", run: |bed| leaf(bed, By::Serial, Signer::Ca) },
    Case { name: "revoked/leaf-by-key-by-the-ca", run: |bed| leaf(bed, By::Key, Signer::Ca) },
    Case { name: "revoked/leaf-by-label-by-the-ca", run: |bed| leaf(bed, By::Label, Signer::Ca) },
    Case { name: "revoked/leaf-by-serial-by-a-delegate", run: |bed| leaf(bed, By::Serial, Signer::Delegate) },
    Case { name: "revoked/leaf-by-key-by-a-delegate", run: |bed| leaf(bed, By::Key, Signer::Delegate) },
    Case { name: "revoked/leaf-by-label-by-a-delegate", run: |bed| leaf(bed, By::Label, Signer::Delegate) },
    Case { name: "revoked/intermediate-by-serial-by-the-ca", run: |bed| above(bed, By::Serial, Signer::Ca) },
    Case { name: "revoked/intermediate-by-key-by-the-ca", run: |bed| above(bed, By::Key, Signer::Ca) },
    Case { name: "revoked/intermediate-by-label-by-the-ca", run: |bed| above(bed, By::Label, Signer::Ca) },
    Case {
        name: "revoked/intermediate-by-serial-by-a-delegate",
        run: |bed| above(bed, By::Serial, Signer::Delegate),
    },
    Case {
        name: "revoked/intermediate-by-key-by-a-delegate",
        run: |bed| above(bed, By::Key, Signer::Delegate),
    },
    Case {
        name: "revoked/intermediate-by-label-by-a-delegate",
        run: |bed| above(bed, By::Label, Signer::Delegate),
    },
    Case { name: "revoked/by-a-delegate-of-the-intermediate-below-it-alone", run: delegate_below },
    Case { name: "revoked/list-of-another-ca-has-no-effect", run: other_ca },
    Case { name: "revoked/taken-back-by-the-ca", run: taken_back },
    Case { name: "revoked/co-signer-is-no-vote", run: co_signer },
    Case { name: "revoked/while-it-is-sent-is-refused", run: |bed| while_sent(bed, "--label alice", false) },
    Case {
        name: "revoked/another-while-it-is-sent-is-accepted",
        run: |bed| while_sent(bed, "--label bob", true),
    },
    Case { name: "list/older-than-the-one-held-is-refused", run: rolled_back },
    Case { name: "list/system-that-is-rolled-back-keeps-the-newer-one", run: system_rolled_back },
    Case { name: "list/far-in-the-future-is-refused", run: far_future },
    Case { name: "list/far-in-the-future-expires-its-own-ca-and-is-reset", run: far_future_reset },
    Case { name: "list/missing-is-refused", run: |bed| missing(bed, "refuse", Some(MISSING)) },
    Case { name: "list/missing-is-accepted", run: |bed| missing(bed, "accept", None) },
    Case { name: "list/directory-not-there-or-not-safe-is-refused", run: no_directory },
    Case { name: "list/too-old-is-refused", run: |bed| old(bed, "1d", Some("revocation-list-too-old")) },
    Case { name: "list/old-is-accepted", run: |bed| old(bed, "3d", None) },
    Case { name: "list/corrupted-costs-its-ca-and-is-reset", run: corrupted },
    Case { name: "list/corrupted-is-accepted", run: corrupted_accepted },
    Case { name: "list/with-another-signature-is-refused", run: forged },
    Case { name: "list/of-an-unknown-ca-is-refused", run: unknown_ca },
    Case { name: "list/by-hand-in-its-directory-is-named", run: by_hand },
    Case { name: "list/is-not-taken-up-by-users", run: by_a_user },
    Case { name: "list/that-users-cannot-read-does-not-verify", run: hidden },
    Case { name: "delegate/takes-nothing-back", run: delegate_shrinks },
    Case { name: "delegate/is-not-overruled-by-a-later-list-of-the-ca", run: union },
    Case { name: "delegate/whose-key-is-stolen-counts-no-more", run: delegate_revoked },
    Case { name: "delegate/who-retired-is-believed-and-adds-nothing", run: delegate_retired },
    Case { name: "valid-path/retired-is-still-good", run: |bed| valid_path(bed, Extent::Retired, "", true) },
    Case {
        name: "valid-path/compromised-before-it-came-is-bad",
        run: |bed| valid_path(bed, Extent::Before, "", false),
    },
    Case {
        name: "valid-path/compromised-after-it-came-is-good",
        run: |bed| valid_path(bed, Extent::After, "", true),
    },
    Case {
        name: "valid-path/compromised-after-it-came-is-bad-if-the-clock-may-be-behind",
        run: |bed| valid_path(bed, Extent::After, "clock = \"lower-bound\"\n", false),
    },
    Case { name: "clock/list-proves-the-time-to-its-own-ca", run: floor },
];

const MISSING: &str = "revocation-list-missing";

/// A CA of the case's own, which the server trusts beside `acme-1`, and the lists that the server holds.
pub(crate) struct Site<'a> {
    bed: &'a Bed,
    ca: String,
    pub(crate) lists: String,
}

/// By what is revoked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Serial,
    Key,
    Label,
}

/// Who signs the list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signer {
    Ca,
    Delegate,
}

impl<'a> Site<'a> {
    pub(crate) fn new(bed: &'a Bed, rules: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let site =
            Self { bed, ca: format!("revoking-{number}"), lists: format!("/var/lib/nixcert/{number}") };
        bed.server.root(&format!("mkdir -p {}", site.lists))?;
        bed.server.configure(&site.settings()?)?;
        site.govern("", rules)?;
        Ok(site)
    }

    pub(crate) fn settings(&self) -> Result<String> {
        let cas = [self.anchor()?, root_ca(&self.bed.workstation, "acme-1")?];
        Ok(format!(
            "trusted-ca-keys = {}\ntrusted-public-keys = {}\nca-policy-file = {POLICY}\n",
            cas.join(" "),
            vendor().public()
        ))
    }

    /// The CA's line for `trusted-ca-keys`.
    fn anchor(&self) -> Result<String> {
        root_ca(&self.bed.workstation, &self.ca)
    }

    /// Has the server's policy say this at the top, and this of the CA.
    fn govern(&self, top: &str, rules: &str) -> Result<()> {
        policy::replace(&self.bed.server, &self.policy(top, rules))
    }

    fn policy(&self, top: &str, rules: &str) -> String {
        let ca = |name: &str| format!("\n[ca.{name}]\nusages = [\"import-paths\"]\n{ALL_NAMES}");
        let lists = &self.lists;
        format!("version = 1\nrevocation-lists = \"{lists}\"\n{top}{}{rules}\n{}", ca(&self.ca), ca("acme-1"))
    }

    /// A file with a person's key and a certificate of this CA.
    fn certified(&self, person: &str, key: &str) -> Result<String> {
        self.anchor()?;
        let options = format!("{EVERYTHING} --replace-key");
        certify(&self.bed.workstation, person, key, &self.ca, &options)
    }

    /// A person with a certificate of this CA.
    pub(crate) fn person(&self, person: &str) -> Result<Key> {
        self.read(person, &self.certified(person, &format!("{person}-1"))?)
    }

    fn read(&self, person: &str, file: &str) -> Result<Key> {
        Key::read(&self.bed.workstation, &format!("/home/{person}/{file}"))
    }

    /// Somebody whom the CA lets sign lists: a key file.
    fn delegate(&self) -> Result<String> {
        let options = "--usage revoke --permit '*' --host '*' --label oncall";
        self.anchor()?;
        Ok(format!("/home/bob/{}", certify(&self.bed.workstation, "bob", "oncall-1", &self.ca, options)?))
    }

    /// The CA's next list: a file on the workstation.
    pub(crate) fn list(&self, options: &str) -> Result<String> {
        self.make(&format!("--ca {} {options}", self.ca), "")
    }

    /// The same, made where the clock is wrong.
    fn list_at(&self, time: &str, options: &str) -> Result<String> {
        self.bed.workstation.set_clock(time)?;
        self.make(&format!("--ca {} {options}", self.ca), &format!("env {} ", clock::ENVIRONMENT.join(" ")))
    }

    /// A list of a delegate.
    fn list_of(&self, delegate: &str, options: &str) -> Result<String> {
        self.make(&format!("--sign-with {delegate} --ca-key '{}' {options}", self.anchor()?), "")
    }

    fn make(&self, options: &str, prefix: &str) -> Result<String> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let list = format!("/root/{}.list", COUNT.fetch_add(1, Ordering::Relaxed));
        self.anchor()?;
        self.bed
            .workstation
            .root(&format!("cd /root; {prefix}nixcert revoke {options} --yes -o {list} >&2"))?;
        Ok(list)
    }

    /// What the server says of a list that is brought to it.
    pub(crate) fn bring(&self, command: &str, list: &str) -> Result<Output> {
        self.bed.server.write(list, &self.bed.workstation.read(list)?)?;
        self.bed.server.run_as("root", &format!("nixcert revocation {command} {list}"))
    }

    /// Has the server take up a list.
    pub(crate) fn install(&self, list: &str) -> Result<()> {
        self.bring("install", list)?.ok().map(drop)
    }

    /// The server takes up no such list, and gives this reason.
    fn does_not_install(&self, list: &str, reason: &str) -> Result<()> {
        let output = self.bring("install", list)?;
        if output.success {
            bail!("this list was taken up, and should not have been ({reason}): {}", output.text);
        }
        says(&output.text, &["was not taken up", &format!("({reason})")])
    }

    /// Has the CA withdraw from a person, and the server know.
    pub(crate) fn revoke(&self, options: &str) -> Result<()> {
        self.install(&self.list(options)?)
    }

    /// What becomes of a new path by this key, on a new connection.
    pub(crate) fn offered(&self, key: &Key, reason: Option<&str>) -> Result<String> {
        offer(&mut connect(self.bed)?, &hello(key), reason)
    }
}

pub(crate) fn hello(key: &Key) -> Parcel {
    signed_by(&[key], &fresh("hello-1"), b"hello")
}

/// What a list is about, signed by the CA itself or by a delegate; and the reason that it gives.
fn listed(site: &Site<'_>, signer: Signer, what: &str) -> Result<(String, &'static str)> {
    Ok(match signer {
        Signer::Ca => (site.list(&format!("{what} --retired"))?, "retired"),
        Signer::Delegate => {
            let list = site.list_of(&site.delegate()?, &format!("--first {what} --compromised-since -1h"))?;
            (list, "compromised")
        }
    })
}

/// Alice has two keys, and one of them two certificates; what is hit is what the selector says, while she is connected.
fn leaf(bed: &Bed, by: By, signer: Signer) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let file = site.certified("alice", "alice-1")?;
    let own = site.read("alice", &file)?;
    let other_certificate = site.person("alice")?;
    let other_key = site.read("alice", &site.certified("alice", "alice-2")?)?;
    let bob = site.person("bob")?;

    let mut client = connect(bed)?;
    for key in [&own, &other_certificate, &other_key, &bob] {
        offer(&mut client, &hello(key), None)?;
    }
    let what = match by {
        By::Serial => format!("--certificate /home/alice/{file} --by serial"),
        By::Key => format!("--certificate /home/alice/{file}"),
        By::Label => "--label alice".to_owned(),
    };
    let (list, reason) = listed(&site, signer, &what)?;
    offer(&mut client, &hello(&own), None)?;
    site.install(&list)?;
    let hit = |is_hit: bool| is_hit.then_some(reason);
    let said = offer(&mut client, &hello(&own), Some(reason))?;
    says(&said, &["certificate 'alice'"])?;
    offer(&mut client, &hello(&other_certificate), hit(by != By::Serial))?;
    offer(&mut client, &hello(&other_key), hit(by == By::Label))?;
    offer(&mut client, &hello(&bob), None)?;
    Ok(Outcome::Passed)
}

/// The same, of the intermediate that certified Alice; the CA itself certified Bob.
fn above(bed: &Bed, by: By, signer: Signer) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let team = format!("team-{}", site.ca);
    let issue = "--usage import-paths,issue --permit '*' --host '*'";
    intermediate_ca(&bed.workstation, &team, &site.ca, issue)?;
    let alice = site.read("alice", &certify(&bed.workstation, "alice", "alice-1", &team, EVERYTHING)?)?;
    let bob = site.person("bob")?;

    let mut client = connect(bed)?;
    offer(&mut client, &hello(&alice), None)?;
    offer(&mut client, &hello(&bob), None)?;
    let what = match by {
        By::Serial => format!("--certificate {team}.certificate --by serial"),
        By::Key => format!("--intermediate {team}"),
        By::Label => format!("--label {team}"),
    };
    let (list, reason) = listed(&site, signer, &what)?;
    site.install(&list)?;
    let said = offer(&mut client, &hello(&alice), Some(reason))?;
    says(&said, &[&format!("intermediate '{team}'")])?;
    offer(&mut client, &hello(&bob), None)?;
    Ok(Outcome::Passed)
}

/// A delegate of an intermediate names a label that is also one of somebody's beside that intermediate.
fn delegate_below(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (host, team) = (&bed.workstation, format!("team-{}", site.ca));
    intermediate_ca(host, &team, &site.ca, "--usage import-paths,issue,revoke --permit '*' --host '*'")?;
    let below = site.read("alice", &certify(host, "alice", "alice-1", &team, EVERYTHING)?)?;
    let beside = site.person("alice")?;
    let delegate = certify(host, "bob", "oncall-1", &team, "--usage revoke --permit '*' --host '*'")?;
    let list = site.list_of(&format!("/home/bob/{delegate}"), "--first --label alice --retired")?;
    site.offered(&below, None)?;
    site.install(&list)?;
    site.offered(&below, Some("retired"))?;
    site.offered(&beside, None)?;
    Ok(Outcome::Passed)
}

/// Another CA says everything that it can of Alice.
fn other_ca(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let other = Site::new(bed, "")?;
    bed.server.configure(&format!(
        "trusted-ca-keys = {} {}\nca-policy-file = {POLICY}\n",
        site.anchor()?,
        other.anchor()?
    ))?;
    // Both CAs' lists are in one directory.
    let rules = format!("\n[ca.{}]\nusages = [\"import-paths\"]\n{ALL_NAMES}", other.ca);
    site.govern("", &rules)?;
    let file = site.certified("alice", "alice-1")?;
    let [own, of_the_other] = [site.read("alice", &file)?, other.person("alice")?];
    let key = bed.workstation.root("cut -d: -f2 /home/alice/alice-1.public")?;
    let certificate = bed.workstation.root(&format!("nixcert inspect --json /home/alice/{file}"))?;
    let serial = certificate.split("\"serial\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let Some(serial) = serial else { bail!("the certificate shows no serial: {certificate}") };
    site.install(&other.list(&format!(
        "--label alice --key '{}' --serial {serial} --compromised-since -30d",
        key.trim()
    ))?)?;
    site.offered(&own, None)?;
    site.offered(&of_the_other, Some("compromised"))?;
    Ok(Outcome::Passed)
}

fn taken_back(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice")?;
    site.revoke("--label alice --retired")?;
    site.offered(&alice, Some("retired"))?;
    site.revoke("--withdraw label:alice")?;
    site.offered(&alice, None)?;
    Ok(Outcome::Passed)
}

/// Two votes are one when Bob's is withdrawn.
fn co_signer(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, &threshold("nixos-system-*", ""))?;
    let keys = [site.person("alice")?, site.person("bob")?];
    let parcel = || signed_by(&keys.each_ref(), &fresh("nixos-system-web-25.05"), b"hello");
    let mut client = connect(bed)?;
    offer(&mut client, &parcel(), None)?;
    site.revoke("--label bob --retired")?;
    let said = offer(&mut client, &parcel(), Some("too-few-votes"))?;
    says(&said, &["[retired]", "certificate 'bob'"])?;
    Ok(Outcome::Passed)
}

/// The list arrives between the first bytes of a path, when it was judged once, and the last.
fn while_sent(bed: &Bed, whom: &str, good: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice")?;
    site.person("bob")?;
    let list = site.list(&format!("{whom} --retired"))?;
    let parcel = hello(&alice);
    let mut client = connect(bed)?;
    // The daemon has to have begun.
    let answer = client.add_with_a_pause(&parcel, || {
        thread::sleep(Duration::from_secs(2));
        site.install(&list)
    });
    if good {
        answer?;
    } else {
        must_fail(answer, "[retired]")?;
    }
    if client.info(&parcel.info.path)?.is_some() != good {
        bail!("{} should have been {}", parcel.info.path, if good { "valid" } else { "not valid" });
    }
    Ok(Outcome::Passed)
}

/// Who keeps an older list back brings it again.
fn rolled_back(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    let older = site.list("--label alice --retired")?;
    let newer = site.list("--label bob --retired")?;
    site.install(&older)?;
    site.offered(&bob, None)?;
    site.install(&newer)?;
    site.does_not_install(&older, "list-older-than-held")?;
    site.offered(&alice, Some("retired"))?;
    site.offered(&bob, Some("retired"))?;
    site.install(&site.list("--refresh")?)?;
    site.offered(&bob, Some("retired"))?;
    Ok(Outcome::Passed)
}

/// Everything goes back to what it was but for the directory of the lists, and the older system installs its own list.
fn system_rolled_back(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    let older = site.list("--label mallory --retired")?;
    site.install(&older)?;
    site.offered(&alice, None)?;
    bed.server.root("rm -rf /srv/etc; cp -a /etc/nix /srv/etc")?;

    bed.server.configure(&format!("{}ca-host-name = server\n", site.settings()?))?;
    site.govern("", "longest-validity = \"365d\"\n")?;
    site.revoke("--label alice --retired")?;
    site.offered(&alice, Some("retired"))?;

    bed.server.root("rm -rf /etc/nix; cp -a /srv/etc /etc/nix")?;
    let (settings, policy) = (bed.server.read("/etc/nix/nix.conf")?, bed.server.read(POLICY)?);
    bed.server.configure(&site.settings()?)?;
    if bed.server.read("/etc/nix/nix.conf")? != settings || policy != site.policy("", "").into_bytes() {
        bail!("the system is not what it was");
    }
    site.does_not_install(&older, "list-older-than-held")?;
    site.offered(&alice, Some("retired"))?;
    site.offered(&bob, None)?;
    Ok(Outcome::Passed)
}

fn far_future(bed: &Bed) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    let list = site.list_at("+2d", "--label alice --retired")?;
    site.does_not_install(&list, "list-in-the-future")?;
    site.offered(&alice, None)?;
    // Within a day of this clock, it would have been another thing.
    let list = site.list_at("+12h", "--label bob --retired --withdraw label:alice --issued-now")?;
    site.install(&list)?;
    site.offered(&bob, Some("retired"))?;
    Ok(Outcome::Passed)
}

/// Where the clock may be behind, the list is believed; root sets it aside.
fn far_future_reset(bed: &Bed) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let site = Site::new(bed, "")?;
    site.govern("clock = \"lower-bound\"\n", "")?;
    let alice = site.person("alice")?;
    let of_the_other = policy::alice(bed, EVERYTHING)?;
    site.install(&site.list_at("+400d", "--label mallory --retired")?)?;
    let said = site.offered(&alice, Some("expired"))?;
    says(&said, &["before which it cannot be by this host's policy and revocation lists", "its clock says"])?;
    site.offered(&of_the_other, None)?;

    let list = site.list("--refresh --issued-now")?;
    site.does_not_install(&list, "list-older-than-held")?;
    site.bring("reset --yes", &list)?.ok()?;
    site.offered(&alice, None)?;
    let record = bed.server.root(&format!("tail -n 1 {}/log", site.lists))?;
    says(&record, &["\"action\":\"reset\"", &format!("\"ca\":\"{}\"", site.ca), "\"replaced\":\""])?;
    let logged = log_lines(&bed.server, &site.ca)?;
    if !logged.iter().any(|line| line.contains("reset")) {
        bail!("the system's log does not have the reset:\n{}", logged.join("\n"));
    }
    // From now on an older one is refused again.
    site.does_not_install(&site.list_at("-1h", "--refresh --issued-now")?, "list-older-than-held")?;
    Ok(Outcome::Passed)
}

fn missing(bed: &Bed, doubt: &str, reason: Option<&str>) -> Result<Outcome> {
    let site = Site::new(bed, &format!("missing-list = \"{doubt}\"\n"))?;
    let alice = site.person("alice")?;
    let mut client = connect(bed)?;
    offer(&mut client, &hello(&alice), reason)?;
    site.revoke("--label mallory --retired")?;
    offer(&mut client, &hello(&alice), None)?;
    Ok(Outcome::Passed)
}

/// It may be what was not mounted, with all that was revoked.
fn no_directory(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice")?;
    let mut client = connect(bed)?;
    offer(&mut client, &hello(&alice), None)?;
    bed.server.root(&format!("rmdir {}", site.lists))?;
    let said = offer(&mut client, &hello(&alice), Some("revocation-list-unreadable"))?;
    says(&said, &[&site.lists, "is not there"])?;
    bed.server.root(&format!("mkdir -m 777 {}", site.lists))?;
    let said = offer(&mut client, &hello(&alice), Some("revocation-list-unreadable"))?;
    says(&said, &["chmod go-w"])?;
    Ok(Outcome::Passed)
}

/// The newest list is two days old.
fn old(bed: &Bed, oldest: &str, reason: Option<&str>) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let site = Site::new(bed, &format!("oldest-list = \"{oldest}\"\n"))?;
    let alice = site.person("alice")?;
    site.install(&site.list_at("-2d", "--label mallory --retired")?)?;
    site.offered(&alice, reason)?;
    // The same again, of today.
    site.install(&site.list("--refresh")?)?;
    site.offered(&alice, None)?;
    Ok(Outcome::Passed)
}

/// The disk loses the last byte of each list.
fn lose_a_byte(site: &Site<'_>) -> Result<()> {
    site.bed.server.root(&format!("truncate --size=-1 {}/*/*.list", site.lists)).map(drop)
}

fn corrupted(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice")?;
    let of_the_other = policy::alice(bed, EVERYTHING)?;
    let list = site.list("--label mallory --retired")?;
    site.install(&list)?;
    let mut client = connect(bed)?;
    offer(&mut client, &hello(&alice), None)?;
    lose_a_byte(&site)?;
    let said = offer(&mut client, &hello(&alice), Some("revocation-list-unreadable"))?;
    says(&said, &[&site.lists])?;
    offer(&mut client, &hello(&of_the_other), None)?;
    offer(&mut client, &hello(&vendor()), None)?;

    let output = site.bring("install", &list)?;
    if output.success {
        bail!("a list was taken up in place of one that is unknown: {}", output.text);
    }
    site.bring("reset --yes", &list)?.ok()?;
    offer(&mut client, &hello(&alice), None)?;
    Ok(Outcome::Passed)
}

fn corrupted_accepted(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "unreadable-list = \"accept\"\n")?;
    let alice = site.person("alice")?;
    site.revoke("--label mallory --retired")?;
    lose_a_byte(&site)?;
    site.offered(&alice, None)?;
    Ok(Outcome::Passed)
}

/// One bit of the signature is another.
fn forged(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice")?;
    let list = site.list("--label alice --retired")?;
    let good = bed.workstation.read(&list)?;
    let mut bad = good.clone();
    if let Some(last) = bad.iter_mut().nth_back(40) {
        *last ^= 1;
    }
    bed.workstation.write(&list, &bad)?;
    site.does_not_install(&list, "bad-list-signature")?;
    bed.workstation.write(&list, &[&*good, b"\n"].concat())?;
    site.does_not_install(&list, "bad-list-signature")?;
    site.offered(&alice, None)?;
    bed.workstation.write(&list, &good)?;
    site.install(&list)?;
    site.offered(&alice, Some("retired"))?;
    Ok(Outcome::Passed)
}

fn unknown_ca(bed: &Bed) -> Result<Outcome> {
    let other = Site::new(bed, "")?;
    let site = Site::new(bed, "")?;
    site.does_not_install(&other.list("--label alice --retired")?, "untrusted-ca")?;
    Ok(Outcome::Passed)
}

/// Whoever copies a list there believes that it counts.
fn by_hand(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice")?;
    let list = site.list("--label mallory --retired")?;
    bed.server.write(&format!("{}/acme.list", site.lists), &bed.workstation.read(&list)?)?;
    let said = site.offered(&alice, Some("revocation-list-unreadable"))?;
    says(&said, &["put there by hand", "nixcert revocation install"])?;
    bed.server.root(&format!("rm {}/acme.list", site.lists))?;
    site.install(&list)?;
    site.offered(&alice, None)?;
    Ok(Outcome::Passed)
}

/// Bob, on the server, has a good list.
fn by_a_user(bed: &Bed) -> Result<Outcome> {
    let (site, server) = (Site::new(bed, "")?, &bed.server);
    let alice = site.person("alice")?;
    site.revoke("--label mallory --retired")?;
    let list = site.list("--label alice --retired")?;
    server.write("/tmp/users.list", &bed.workstation.read(&list)?)?;
    server.root("chmod 644 /tmp/users.list")?;
    for command in ["install", "reset --yes"] {
        let output = server.run_as("bob", &format!("nixcert revocation {command} /tmp/users.list"))?;
        if output.success {
            bail!("a user had the server take a list up: {}", output.text);
        }
        says(&output.text, &["only root"])?;
    }
    site.offered(&alice, None)?;
    site.install(&list)?;
    site.offered(&alice, Some("retired"))?;
    Ok(Outcome::Passed)
}

/// `nix store verify` runs as its user, who cannot know what is revoked; the daemon can.
fn hidden(bed: &Bed) -> Result<Outcome> {
    let (site, server) = (Site::new(bed, "")?, &bed.server);
    let (file, path) = (site.certified("alice", "alice-1")?, build(server, "alice", "hello-1")?);
    let alice = site.read("alice", &file)?;
    server.write("/tmp/hidden.key", &bed.workstation.read(&format!("/home/alice/{file}"))?)?;
    server.root("chmod 644 /tmp/hidden.key")?;
    sign(server, "alice", "/tmp/hidden.key", &path)?;
    site.revoke("--label mallory --retired")?;
    let verify = format!("nix store verify --sigs-needed 1 {path}");
    server.run_as("alice", &verify)?.ok()?;
    server.root(&format!("chmod 700 {}", site.lists))?;
    let output = server.run_as("alice", &verify)?;
    if output.success {
        bail!("what is revoked cannot be known, and the path was verified: {}", output.command);
    }
    says(&output.text, &["[revocation-list-unreadable]"])?;
    server.run_as("root", &verify)?.ok()?;
    site.offered(&alice, None)?;
    Ok(Outcome::Passed)
}

/// Whoever has the delegate's key signs a list that says less.
fn delegate_shrinks(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    let delegate = site.delegate()?;
    let first = site.list_of(&delegate, "--first --label alice --retired")?;
    site.install(&first)?;
    // Numbers are seconds.
    thread::sleep(Duration::from_secs(1));
    let less = site.list_of(&delegate, "--first --label mallory --retired")?;
    site.does_not_install(&less, "list-shrinks")?;
    site.offered(&alice, Some("retired"))?;
    site.offered(&bob, None)?;
    site.install(&site.list_of(&delegate, &format!("--previous {first} --label bob --retired"))?)?;
    site.offered(&alice, Some("retired"))?;
    site.offered(&bob, Some("retired"))?;
    Ok(Outcome::Passed)
}

fn union(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    site.install(&site.list_of(&site.delegate()?, "--first --label alice --retired")?)?;
    site.offered(&bob, None)?;
    thread::sleep(Duration::from_secs(1));
    site.revoke("--label bob --retired")?;
    site.offered(&alice, Some("retired"))?;
    site.offered(&bob, Some("retired"))?;
    Ok(Outcome::Passed)
}

/// The CA withdraws the delegate's key: what that revoked is good again, and it can revoke nothing.
fn delegate_revoked(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    let delegate = site.delegate()?;
    let first = site.list_of(&delegate, "--first --label alice --retired")?;
    site.install(&first)?;
    site.offered(&alice, Some("retired"))?;
    let second = site.list_of(&delegate, &format!("--previous {first} --label bob --retired"))?;
    site.revoke(&format!("--certificate {delegate} --compromised-since -1d"))?;
    site.offered(&alice, None)?;
    site.does_not_install(&second, "list-signer-revoked")?;
    site.offered(&bob, None)?;
    Ok(Outcome::Passed)
}

/// The delegate leaves, in good standing.
fn delegate_retired(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    let delegate = site.delegate()?;
    let first = site.list_of(&delegate, "--first --label alice --retired")?;
    site.install(&first)?;
    let second = site.list_of(&delegate, &format!("--previous {first} --label bob --retired"))?;
    site.revoke(&format!("--certificate {delegate} --retired"))?;
    site.offered(&alice, Some("retired"))?;
    site.does_not_install(&second, "list-signer-revoked")?;
    site.offered(&bob, None)?;
    Ok(Outcome::Passed)
}

/// From when on a certificate counts no more.
#[derive(Clone, Copy)]
enum Extent {
    Retired,
    /// Compromised, since before the path was registered.
    Before,
    /// Compromised, since later.
    After,
}

/// What `nix store verify` says of a path that the server had before the list came.
fn valid_path(bed: &Bed, extent: Extent, top: &str, good: bool) -> Result<Outcome> {
    let (site, server) = (Site::new(bed, "")?, &bed.server);
    site.govern(top, "")?;
    let file = site.certified("alice", "alice-1")?;
    let alice = site.read("alice", &file)?;
    server.write("/tmp/revoked.key", &bed.workstation.read(&format!("/home/alice/{file}"))?)?;
    server.root("chmod 644 /tmp/revoked.key")?;
    let path = build(server, "alice", "hello-1")?;
    sign(server, "alice", "/tmp/revoked.key", &path)?;
    let verify = format!("nix store verify --sigs-needed 1 {path}");
    server.run_as("alice", &verify)?.ok()?;

    let (options, reason) = match extent {
        Extent::Retired => ("--retired".to_owned(), "retired"),
        Extent::Before => ("--compromised-since -1h".to_owned(), "compromised"),
        Extent::After => (format!("--compromised-since {}", a_second_later(server)?), "compromised"),
    };
    site.revoke(&format!("--label alice {options}"))?;
    // Nothing new, in any case.
    site.offered(&alice, Some(reason))?;
    let output = server.run_as("alice", &verify)?;
    if good {
        output.ok()?;
    } else if output.success {
        bail!("the path was verified, and should not have been: {}", output.command);
    } else {
        says(&output.text, &["is untrusted", &format!("[{reason}]")])?;
    }
    Ok(Outcome::Passed)
}

/// The time, when all that was done before was done in an earlier second.
fn a_second_later(host: &Host) -> Result<String> {
    thread::sleep(Duration::from_millis(1100));
    Ok(host.root("date -u +%FT%TZ")?.trim().to_owned())
}

/// A clock that fell back to 1970 revives nothing that ended before the CA's last list; the other CA has none.
fn floor(bed: &Bed) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let site = Site::new(bed, "")?;
    let ended = "--allow-expired --not-before=-3d --valid 2d";
    let options = format!("{EVERYTHING} {ended}");
    let own = site.read("alice", &certify(&bed.workstation, "alice", "alice-1", &site.ca, &options)?)?;
    let of_the_other = policy::alice(bed, &options)?;
    let bob = site.person("bob")?;
    bed.server.set_clock("@1970-01-02 00:00:00")?;
    bed.server.configure_with(&site.settings()?, Clock::Host)?;
    site.govern("clock = \"lower-bound\"\n", "")?;
    let mut client = connect(bed)?;
    offer(&mut client, &hello(&own), None)?;
    site.revoke("--label mallory --retired")?;
    let said = offer(&mut client, &hello(&own), Some("expired"))?;
    says(&said, &["before which it cannot be", "its clock says 1970-01-02T"])?;
    offer(&mut client, &hello(&of_the_other), None)?;
    offer(&mut client, &hello(&bob), None)?;
    Ok(Outcome::Passed)
}
