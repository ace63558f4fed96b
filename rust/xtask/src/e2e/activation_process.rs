//! While an activation runs: what others do meanwhile, and what is left when it is killed.

use std::{
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    Case, Outcome,
    activation::{Person, Site, activate},
    activation_attacks::plant,
    activation_host::{delivered, imported},
    systems::{Standing, System, activated, doctored, version},
    tools::{is_valid, says},
    wire::Client,
};
use crate::{bed::Bed, host::Host};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/top-level-path-swapped-before-is-refused", run: swapped_before },
    Case { name: "activation/top-level-path-cannot-be-swapped-meanwhile", run: swapped_meanwhile },
    Case { name: "activation/killed-at-each-step-is-old-or-new", run: killed_at_each_step },
    Case {
        name: "activation/killed-before-it-was-checked-changes-nothing",
        run: |bed| killed_at(bed, "rooted", Done::Nothing),
    },
    Case {
        name: "activation/killed-when-it-was-checked-changes-nothing",
        run: |bed| killed_at(bed, "checked", Done::Nothing),
    },
    Case {
        name: "activation/killed-when-it-was-announced-says-so",
        run: |bed| killed_at(bed, "announced", Done::Announced),
    },
    Case {
        name: "activation/killed-when-it-was-recorded-says-so",
        run: |bed| killed_at(bed, "recorded", Done::Announced),
    },
    Case {
        name: "activation/killed-when-the-profile-was-set-says-so",
        run: |bed| killed_at(bed, "profileset", Done::Profile),
    },
    Case {
        name: "activation/killed-when-all-was-done-says-so",
        run: |bed| killed_at(bed, "switched", Done::All),
    },
    Case { name: "activation/killed-while-the-switch-script-runs-says-so", run: killed_while_switching },
    Case { name: "activation/two-at-once-are-one-after-the-other", run: two_at_once },
    Case { name: "activation/guarded-profile-vouched-system-is-set", run: |bed| guarded(bed, true, true) },
    Case {
        name: "activation/guarded-profile-system-that-nobody-vouches-for-is-refused",
        run: |bed| guarded(bed, false, true),
    },
    Case {
        name: "activation/guarded-profile-that-is-not-guarded-is-set",
        run: |bed| guarded(bed, false, false),
    },
];

/// Alice's system is there and vouched for, and nothing roots it; Mallory deletes it and brings another, with all that Alice
/// has signed.
fn swapped_before(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let mallory = site.mallory()?;
    let (alice, system) = delivered(&site, "")?;
    let mut client = Client::connect(mallory.host, mallory.name, &bed.server)?;
    let info = client.info(&system.top)?.context("the system is not there")?;
    if !delete(&bed.server, &mallory, &system.top)? {
        bail!("{} could not be deleted, though nothing roots it", system.top);
    }
    plant(bed, &mallory, &doctored(alice.host, &system.top, "touch doctored")?)?;
    client.add_signatures(&system.top, &info.signatures)?;
    site.refuses(&alice, &system, "not-vouched-for", &[&system.top, "mallory"])?;
    Ok(Outcome::Passed)
}

/// Whether this person can delete a path.
fn delete(server: &Host, person: &Person<'_>, path: &str) -> Result<bool> {
    let output = server.run_as(person.name, &format!("nix-store --delete {path}"))?;
    if output.success == is_valid(server, path)? {
        bail!("{path} was not deleted, or is gone all the same: {}", output.text);
    }
    Ok(output.success)
}

/// The gate has said yes, and nothing else keeps the system: nobody can delete a path of it, so nobody can bring another.
fn swapped_meanwhile(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let mallory = site.mallory()?;
    let (alice, system) = delivered(&site, "")?;
    let server = &bed.server;
    for step in ["rooted", "checked", "announced", "recorded"] {
        let paused = Paused::at(server, step, &alice, &system.top)?;
        for path in [&system.top, system.part("sudo-1.9.17")?] {
            if delete(server, &mallory, path)? {
                bail!("{path} was deleted during the activation, which waited at the step `{step}`");
            }
        }
        let (success, said) = paused.go_on()?;
        if !success {
            bail!("the activation did not succeed:\n{said}");
        }
        site.is_active(&system)?;
        // As before.
        server.root("rm /nix/var/nix/profiles/system* /boot/entry")?;
    }
    // With the root goes the obstacle.
    if !delete(server, &mallory, &system.top)? {
        bail!("something still keeps {}", system.top);
    }
    Ok(Outcome::Passed)
}

/// An activation that waits at a step, as the command does in builds for tests while there is such a file.
pub(crate) struct Paused<'a> {
    server: &'a Host,
    pause: String,
    said: &'static str,
    activation: Child,
}

impl<'a> Paused<'a> {
    /// Begins one by sudo, and comes back when it waits.
    pub(crate) fn at(server: &'a Host, step: &str, person: &Person<'_>, top: &str) -> Result<Self> {
        let (pause, said) = (format!("/run/nixcert-pause-{step}"), "/tmp/said");
        server.root(&format!("touch {pause}; rm -f {said}"))?;
        activated(server)?;
        let line = format!("sudo -n /usr/bin/nixcert activate {top} switch > {said} 2>&1");
        let activation = in_background(server, person.name, &line)?;
        let mut paused = Self { server, pause, said, activation };
        // There is nothing else that it sleeps for.
        let sleeps = "for it in $(busybox pidof nixcert); do grep -q nanosleep /proc/$it/wchan && exit 0; done; exit 1";
        paused
            .wait_for(sleeps)
            .with_context(|| format!("the activation did not come to the step `{step}`"))?;
        Ok(paused)
    }

    /// Waits for a shell command to succeed.
    fn wait_for(&mut self, condition: &str) -> Result<()> {
        let begun = Instant::now();
        while self.server.root(condition).is_err() {
            if begun.elapsed() > Duration::from_secs(20) || self.activation.try_wait()?.is_some() {
                bail!("{}", self.said()?);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Lets it go on to its end; whether it succeeded, and what it said.
    pub(crate) fn go_on(mut self) -> Result<(bool, String)> {
        self.server.root(&format!("rm -f {}", self.pause))?;
        let success = self.activation.wait()?.success();
        Ok((success, self.said()?))
    }

    /// Ends it at once.
    fn kill(mut self) -> Result<()> {
        self.server.root("kill -9 $(busybox pidof nixcert)")?;
        self.activation.wait()?;
        self.server.root(&format!("rm -f {}", self.pause)).map(drop)
    }

    fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.server.read(self.said)?).into_owned())
    }
}

/// A command of a person that goes on.
fn in_background(server: &Host, user: &str, line: &str) -> Result<Child> {
    let mut command = server.login(user, line);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// Ends a command before its Nth call that changes something.
const KILLER: &str = include_str!("kill.c");

/// More steps than an activation has.
const STEPS: u32 = 300;

/// One system is active, and the activation of another one is killed: profile and boot entry are of one of the two, and the
/// next activation finds out and says it.
fn killed_at_each_step(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    server.write("/srv/kill.c", KILLER.as_bytes())?;
    server.root("cc -shared -fPIC -o /srv/kill.so /srv/kill.c")?;
    let (alice, old) = delivered(&site, "")?;
    site.activates(&alice, &old)?;
    let (alice, new) = delivered(&site, "")?;
    for step in 1..STEPS {
        let line = format!("LD_PRELOAD=/srv/kill.so KILL_AT={step} nixcert activate {} switch", new.top);
        let output = server.run_as("root", &line)?;
        let steps = server.root("cat /run/steps")?;
        let last = steps.lines().last().unwrap_or_default();
        let Standing { boot, profile } = Standing::of(server)?;
        for it in [&boot, &profile] {
            if ![Some(&old.top), Some(&new.top)].contains(&it.as_ref()) {
                bail!("killed at step {step}, {last}: the profile is {profile:?}, the boot entry {boot:?}");
            }
        }
        activated(server)?;
        if output.success {
            if step < 10 {
                bail!("the activation has too few steps to believe it:\n{steps}");
            }
            if [boot, profile].iter().any(|it| it.as_ref() != Some(&new.top)) {
                bail!("the activation succeeded, and changed nothing");
            }
            return Ok(Outcome::Passed);
        }
        site.activates(&alice, &old)
            .with_context(|| format!("after it was killed at step {step}, {last}"))?;
    }
    bail!("the activation never came to its end")
}

/// The same at the steps that the command itself knows; the next one to look says how things stand.
fn killed_at(bed: &Bed, step: &str, done: Done) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let (alice, old) = delivered(&site, "")?;
    site.activates(&alice, &old)?;
    let (alice, new) = delivered(&site, "")?;
    Paused::at(server, step, &alice, &new.top)?.kill()?;
    let (boot, profile, words) = match done {
        Done::Nothing => (&old, &old, None),
        Done::Announced => (&old, &old, Some("as before")),
        Done::Profile => (&old, &new, Some("the new one")),
        Done::All => (&new, &new, Some("the new one")),
    };
    let expected = Standing { boot: Some(boot.top.clone()), profile: Some(profile.top.clone()) };
    let standing = Standing::of(server)?;
    if standing != expected {
        bail!("the server stands so: {standing:?}");
    }
    let asked = server.run_as("bob", &format!("nixcert check-closure {}", new.top))?.ok()?;
    let again = site.activates(&alice, &new)?;
    for said in [asked, again] {
        let interrupted = format!("the activation of {} (switch) by alice at ", new.top);
        match words {
            Some(words) => says(&said, &[&interrupted, "was interrupted", words])?,
            None if said.contains("interrupted") => bail!("nothing was begun, but it says: {said}"),
            None => {}
        }
    }
    // Said once.
    let said = site.activates(&alice, &new)?;
    if said.contains("interrupted") {
        bail!("what was repeated is still said to be interrupted: {said}");
    }
    Ok(Outcome::Passed)
}

/// What an activation has done before it is killed.
#[derive(Clone, Copy)]
enum Done {
    Nothing,
    Announced,
    Profile,
    All,
}

/// The switch script runs when the activation is killed. It goes on.
fn killed_while_switching(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let (alice, old) = delivered(&site, "")?;
    site.activates(&alice, &old)?;
    let script = "touch /run/switching; while test -e /run/switching; do sleep 0.05; done";
    let (alice, new) = delivered(&site, &format!("--argstr script '{script}'"))?;
    let line = format!("sudo -n /usr/bin/nixcert activate {} switch", new.top);
    let mut activation = in_background(server, alice.name, &line)?;
    let begun = Instant::now();
    while server.root("test -e /run/switching").is_err() {
        if begun.elapsed() > Duration::from_secs(20) || activation.try_wait()?.is_some() {
            bail!("the switch script was not run");
        }
        thread::sleep(Duration::from_millis(20));
    }
    server.root("kill -9 $(busybox pidof nixcert)")?;
    activation.wait()?;
    server.root("rm /run/switching")?;
    if !Standing::of(server)?.is(&new.top) {
        bail!("the profile was not set before the switch script was run");
    }
    let asked = server.run_as("bob", &format!("nixcert check-closure {}", new.top))?.ok()?;
    says(&asked, &["was interrupted", "the new one"])?;
    Ok(Outcome::Passed)
}

/// Two at once: the second is told to wait, and of whom.
fn two_at_once(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let (alice, first) = delivered(&site, "")?;
    let bob = site.bob()?;
    let second = System::build(bob.host, bob.name, &version(), "")?;
    bob.delivers(&second.top, "")?;
    let paused = Paused::at(server, "announced", &alice, &first.top)?;
    let output = activate(server, bob.name, &second.top, "switch")?;
    if output.code != Some(2) {
        bail!("two activations ran at once: {}", output.text);
    }
    says(&output.text, &[&first.top, "alice"])?;
    paused.go_on()?;
    site.is_active(&first)?;
    site.activates(&bob, &second)?;
    Ok(Outcome::Passed)
}

/// Root, who may do anything, sets the system profile as `nixos-rebuild` does.
fn guarded(bed: &Bed, vouched: bool, guarded: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (_, system) = if vouched { delivered(&site, "")? } else { imported(&site)? };
    let (server, profile) = (&bed.server, "/nix/var/nix/profiles/system");
    if guarded {
        let settings =
            format!("guarded-profiles = {profile}\nprofile-guard = /usr/bin/nixcert check-closure\n");
        server.configure(&format!("{}{settings}", site.settings()?))?;
    }
    let output = server.run_as("root", &format!("nix-env --profile {profile} --set {}", system.top))?;
    let standing = Standing::of(server)?;
    if vouched || !guarded {
        output.ok()?;
        if standing.profile.as_deref() != Some(&system.top) {
            bail!("the profile was not set: {standing:?}");
        }
        return Ok(Outcome::Passed);
    }
    if output.success || standing.profile.is_some() {
        bail!("the profile was set: {standing:?}\n{}", output.text);
    }
    let refusal = format!("{}: refused (closure-signature-missing)", system.top);
    says(&output.text, &["because the profile guard refused", &refusal])?;
    Ok(Outcome::Passed)
}
