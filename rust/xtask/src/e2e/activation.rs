//! The activation gate, by normal users with real sudo.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    pki::{EVERYTHING, certify, root_ca},
    policy::{self, ALL_NAMES, POLICY},
    systems::{Standing, System, activated, version},
    tools::{copy_closure, says},
};
use crate::{
    bed::Bed,
    host::{Host, Output},
};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/vouched-system-is-activated", run: |bed| vouched(bed, true) },
    Case { name: "activation/system-that-nobody-vouches-for-is-refused", run: |bed| vouched(bed, false) },
];

/// What a certificate permits of a person who may vouch for systems, when that is not what the case is about.
pub(crate) const VOUCHING: &str = "--usage import-paths,vouch-for-systems --permit '*' --host '*'";

/// What the administrator of the server lets people do.
pub(crate) const SUDOERS: &str = "%deployers ALL=(root) NOPASSWD: /usr/bin/nixcert activate *, /usr/bin/nixcert repair -, \
                       /usr/bin/nixcert revocation install -\n";

/// A CA of the case's own, which the server trusts to certify people who vouch for systems, and the server's records.
pub(crate) struct Site<'a> {
    pub(crate) bed: &'a Bed,
    pub(crate) ca: String,
    state: String,
}

/// Somebody with a key, on the machine where they work.
pub(crate) struct Person<'a> {
    pub(crate) name: &'static str,
    pub(crate) host: &'a Host,
    /// The key's file, in their home.
    pub(crate) key: String,
}

impl<'a> Site<'a> {
    /// A server that nothing was activated on, with these lines in its policy's table `activation`.
    pub(crate) fn new(bed: &'a Bed, rules: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let site =
            Self { bed, ca: format!("systems-{number}"), state: format!("/var/lib/nixcert/site-{number}") };
        bed.server.root(&format!(
            "groupadd --force deployers
             for person in alice bob mallory; do usermod --append --groups deployers $person; done
             mkdir -p {}/revocation
             rm -rf /nix/var/nix/profiles/system* /boot/entry /run/activated /run/current-system",
            site.state
        ))?;
        bed.server.write("/etc/sudoers.d/nixcert", SUDOERS.as_bytes())?;
        bed.server.root("chmod 440 /etc/sudoers.d/nixcert")?;
        bed.server.configure(&site.settings()?)?;
        site.govern(rules)?;
        Ok(site)
    }

    /// The server's settings.
    pub(crate) fn settings(&self) -> Result<String> {
        Ok(format!(
            "trusted-ca-keys = {}\nca-policy-file = {POLICY}\nca-host-name = server\n",
            root_ca(&self.bed.workstation, &self.ca)?
        ))
    }

    /// Has the server's policy have these lines in its table `activation`.
    pub(crate) fn govern(&self, rules: &str) -> Result<()> {
        policy::replace(&self.bed.server, &self.policy(rules))
    }

    /// The server's policy with these lines.
    pub(crate) fn policy(&self, rules: &str) -> String {
        format!(
            "version = 1\nrevocation-lists = \"{0}/revocation\"\n\n[ca.{1}]\n\
             usages = [\"import-paths\", \"vouch-for-systems\"]\n{ALL_NAMES}\n\
             [activation]\nrecords = \"{0}/activation\"\n{rules}",
            self.state, self.ca
        )
    }

    /// Where the server records what was activated.
    pub(crate) fn records(&self) -> String {
        format!("{}/activation", self.state)
    }

    /// The lines of the server's record of what was activated and refused.
    pub(crate) fn log(&self) -> Result<Vec<String>> {
        let text = self.bed.server.root(&format!("cat {}/log", self.records()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Somebody at the workstation whose certificate has these limits.
    pub(crate) fn person(&self, name: &'static str, options: &str) -> Result<Person<'a>> {
        root_ca(&self.bed.workstation, &self.ca)?;
        let options = format!("{options} --replace-key");
        let key = certify(&self.bed.workstation, name, &format!("{name}-1"), &self.ca, &options)?;
        Ok(Person { name, host: &self.bed.workstation, key })
    }

    /// Alice, who may vouch for systems.
    pub(crate) fn alice(&self) -> Result<Person<'a>> {
        self.person("alice", VOUCHING)
    }

    /// Bob, who may, too.
    pub(crate) fn bob(&self) -> Result<Person<'a>> {
        self.person("bob", VOUCHING)
    }

    /// Mallory, who may import whatever there is, and vouch for nothing.
    pub(crate) fn mallory(&self) -> Result<Person<'a>> {
        self.person("mallory", EVERYTHING)
    }

    /// Has the CA withdraw from people, and the server know.
    pub(crate) fn revokes(&self, options: &str) -> Result<()> {
        let list = self.list(options)?;
        let (from, to) = (&self.bed.workstation, &self.bed.server);
        to.write(&list, &from.read(&list)?)?;
        to.run_as("root", &format!("nixcert revocation install {list}"))?.ok().map(drop)
    }

    /// The CA's next list: a file on the workstation.
    pub(crate) fn list(&self, options: &str) -> Result<String> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let list = format!("/root/systems-{}.list", COUNT.fetch_add(1, Ordering::Relaxed));
        let line = format!("cd /root; nixcert revoke --ca {} {options} --yes -o {list} >&2", self.ca);
        self.bed.workstation.root(&line)?;
        Ok(list)
    }

    /// This system, and no other, is what the server runs and would boot; nothing else was activated since this was asked.
    pub(crate) fn is_active(&self, system: &System) -> Result<()> {
        let server = &self.bed.server;
        let done = activated(server)?;
        if done != [format!("switch {}", system.top)] {
            bail!("this was activated, and not {} alone:\n{}", system.top, done.join("\n"));
        }
        let standing = Standing::of(server)?;
        if !standing.is(&system.top) {
            bail!("{} was activated, but this is how the server stands: {standing:?}", system.top);
        }
        Ok(())
    }

    /// The activation succeeds, and does what it should.
    pub(crate) fn activates(&self, person: &Person<'_>, system: &System) -> Result<String> {
        let server = &self.bed.server;
        activated(server)?;
        let text = activate(server, person.name, &system.top, "switch")?.ok()?;
        self.is_active(system)?;
        Ok(text)
    }

    /// The activation is refused, with this reason and these words, and changes nothing; asking says the same.
    pub(crate) fn refuses(
        &self,
        person: &Person<'_>,
        system: &System,
        code: &str,
        words: &[&str],
    ) -> Result<String> {
        let server = &self.bed.server;
        activated(server)?;
        let before = Standing::of(server)?;
        let output = activate(server, person.name, &system.top, "switch")?;
        is_refusal(&output, &system.top, code)?;
        says(&output.text, words)?;
        let asked = server.run_as(person.name, &format!("nixcert check-closure {}", system.top))?;
        is_refusal(&asked, &system.top, code)?;
        let (done, after) = (activated(server)?, Standing::of(server)?);
        if !done.is_empty() || before != after {
            bail!("the refused system did something: {done:?}, {before:?}, {after:?}");
        }
        Ok(output.text)
    }
}

impl<'a> Person<'a> {
    /// The same person with the same key at another machine.
    pub(crate) fn at(&self, host: &'a Host) -> Result<Self> {
        let (name, key) = (self.name, format!("/home/{}/{}", self.name, self.key));
        host.write(&key, &self.host.read(&key)?)?;
        host.root(&format!("chown {name} {key}; chmod 600 {key}"))?;
        Ok(Self { name, host, key: self.key.clone() })
    }

    /// What this person's shell makes of a line.
    pub(crate) fn does(&self, line: &str) -> Result<Output> {
        self.host.run_as(self.name, line)
    }

    /// Vouches for a system, with each of its paths.
    pub(crate) fn signs(&self, top: &str, options: &str) -> Result<Output> {
        let line = format!("nixcert closure sign --yes --key {} --host '*' {options} {top}", self.key);
        in_a_later_second(|| self.does(&line))
    }

    /// Vouches for a system with the statement that somebody has signed already, and lets the server know.
    pub(crate) fn co_signs(&self, top: &str) -> Result<()> {
        self.does(&format!("nixcert closure sign --yes --key {} --co-sign {top}", self.key))?.ok()?;
        self.pushes(top)
    }

    /// Vouches for a system, and brings it to the server with all signatures.
    pub(crate) fn delivers(&self, top: &str, options: &str) -> Result<()> {
        self.signs(top, options)?.ok()?;
        self.does(&format!("nix-copy-closure --to {}@server {top}", self.name))?.ok()?;
        self.pushes(top)
    }

    /// Brings the server signatures of what it has already.
    pub(crate) fn pushes(&self, top: &str) -> Result<()> {
        self.does(&format!("nixcert closure push --to ssh-ng://{}@server {top}", self.name))?.ok().map(drop)
    }

    /// Does all of it, and activates it.
    pub(crate) fn deploys(&self, top: &str, options: &str) -> Result<Output> {
        let line =
            format!("nixcert deploy --yes --key {} --to {}@server {options} {top}", self.key, self.name);
        in_a_later_second(|| self.does(&line))
    }
}

/// Does something that signs, in a later second than what was done so before: times are whole seconds, and what is signed in the
/// same one as what was activated is not newer.
fn in_a_later_second<T>(sign: impl FnOnce() -> Result<T>) -> Result<T> {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = || Ok::<_, anyhow::Error>(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    while now()? <= LAST.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(20));
    }
    let signed = sign()?;
    LAST.store(now()?, Ordering::Relaxed);
    Ok(signed)
}

/// A refusal of this path, for this reason.
pub(crate) fn is_refusal(output: &Output, top: &str, code: &str) -> Result<()> {
    if output.code != Some(1) {
        bail!("this should have been refused ({code}): {}\n{}", output.command, output.text);
    }
    says(&output.text, &[&format!("{top}: refused ({code}): ")])
}

/// What becomes of an activation by a person on the server.
pub(crate) fn activate(server: &Host, person: &str, top: &str, action: &str) -> Result<Output> {
    server.run_as(person, &format!("sudo -n /usr/bin/nixcert activate {top} {action}"))
}

fn vouched(bed: &Bed, by_alice: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    if by_alice {
        alice.delivers(&system.top, "")?;
        site.activates(&alice, &system)?;
    } else {
        alice.does(&format!("nix store sign -k {} --recursive {}", alice.key, system.top))?.ok()?;
        copy_closure(alice.host, alice.name, &bed.server, &system.top)?.ok()?;
        site.refuses(&alice, &system, "closure-signature-missing", &[])?;
    }
    Ok(Outcome::Passed)
}
