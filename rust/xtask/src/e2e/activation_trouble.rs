//! When something goes wrong: signals, nobody who listens, no room, records of others; and people who only make noise.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};

use super::{
    Case, Outcome,
    activation::{Site, activate, is_refusal},
    activation_host::{delivered, imported},
    activation_process::Paused,
    forge::Key,
    systems::{Standing, System, activated, version},
    tools::{copy_closure, log_lines, says},
    wire::Client,
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "activation/signal-when-it-was-checked-changes-nothing",
        run: |bed| signal(bed, "checked", false),
    },
    Case {
        name: "activation/signal-when-the-profile-was-set-ends-nothing",
        run: |bed| signal(bed, "profileset", true),
    },
    Case { name: "activation/nobody-listens-is-old-or-new", run: nobody_listens },
    Case { name: "activation/no-room-for-records-changes-nothing", run: no_room },
    Case { name: "activation/records-that-others-may-write-are-refused", run: writable_records },
    Case { name: "activation/records-that-only-root-may-read-are-told-of", run: roots_records },
    Case { name: "activation/damaged-record-is-told-of", run: damaged_record },
    Case { name: "activation/switch-script-that-fails-is-told-of", run: failing_script },
    Case { name: "activation/system-without-a-switch-script-is-told-of", run: no_script },
    Case { name: "activation/reason-with-a-line-break-is-one-line", run: line_break },
    Case { name: "activation/junk-hides-no-signature", run: junk },
    Case { name: "activation/signatures-that-are-full-are-got-rid-of", run: full },
    Case { name: "activation/path-that-is-not-there-is-refused", run: not_there },
];

/// The system was asked to end, or the terminal went away.
fn signal(bed: &Bed, step: &str, goes_on: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let (alice, old) = delivered(&site, "")?;
    site.activates(&alice, &old)?;
    for signal in ["TERM", "HUP", "INT"] {
        let (alice, new) = delivered(&site, "")?;
        let paused = Paused::at(server, step, &alice, &new.top)?;
        server.root(&format!("kill -{signal} $(busybox pidof nixcert)"))?;
        let (success, said) = paused.go_on()?;
        if success != goes_on {
            bail!("after {signal} at the step `{step}`: {said}");
        }
        if goes_on {
            says(&said, &["a signal came meanwhile"])?;
            site.is_active(&new)?;
        } else {
            says(&said, &["nothing was changed"])?;
            if !activated(server)?.is_empty() || !Standing::of(server)?.is(&old.top) {
                bail!("after {signal} something was changed all the same");
            }
        }
    }
    Ok(Outcome::Passed)
}

/// What it says cannot be written any more: the connection was lost, or the pager closed.
fn nobody_listens(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let (alice, old) = delivered(&site, "")?;
    site.activates(&alice, &old)?;
    for ending in ["2>&1 | true", ">&- 2>&-", "> /dev/full 2>&1"] {
        let (alice, new) = delivered(&site, "--argstr script 'seq 100000'")?;
        activated(server)?;
        let line = format!("sudo -n /usr/bin/nixcert activate {} switch {ending}", new.top);
        server.run_as(alice.name, &line)?;
        // With a pipe, the shell does not wait for it.
        server.root("while busybox pidof nixcert > /dev/null; do sleep 0.05; done")?;
        let done = activated(server)?;
        let standing = Standing::of(server)?;
        let is_new = standing.is(&new.top) && done == [format!("switch {}", new.top)];
        let is_old = standing.profile.as_ref() != Some(&new.top) && done.is_empty();
        if !is_new && !is_old {
            bail!("with `{ending}`, the server stands so: {standing:?}, {done:?}");
        }
        let said = site.activates(&alice, &new)?;
        if said.contains("interrupted") {
            bail!("with `{ending}`, it was interrupted: {said}");
        }
    }
    Ok(Outcome::Passed)
}

/// Who may not read the records cannot tell; root can.
fn roots_records(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (server, records) = (&bed.server, site.records());
    let (alice, system) = delivered(&site, "")?;
    site.activates(&alice, &system)?;
    let asks = format!("nixcert check-closure {}", system.top);
    server.run_as("bob", &asks)?.ok()?;
    server.root(&format!("chmod 700 {records}"))?;
    let output = server.run_as("bob", &asks)?;
    if output.code != Some(2) {
        bail!("bob, who may not read the records, could tell: {}", output.text);
    }
    says(&output.text, &["ermission denied", "sudo nixcert check-closure"])?;
    server.run_as("root", &asks)?.ok()?;
    Ok(Outcome::Passed)
}

/// What is activated must be recorded first, or the next one could not build on it.
fn no_room(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (server, records) = (&bed.server, site.records());
    server.root(&format!("mkdir -p {records}; mount -t tmpfs -o mode=0755,size=32k tmpfs {records}"))?;
    let result = (|| {
        let (alice, old) = delivered(&site, "")?;
        site.activates(&alice, &old)?;
        // Of two statements of one second, the second is not newer.
        thread::sleep(Duration::from_secs(1));
        let (alice, new) = delivered(&site, "")?;
        server.root(&format!("cat /dev/zero > {records}/filler 2>/dev/null || true"))?;
        let output = activate(server, alice.name, &new.top, "switch")?;
        if output.code != Some(2) || !activated(server)?.is_empty() || !Standing::of(server)?.is(&old.top) {
            bail!("without room for records it was activated: {}", output.text);
        }
        says(&output.text, &["No space left on device"])?;
        server.root(&format!("rm {records}/filler"))?;
        site.activates(&alice, &new)
    })();
    server.root(&format!("umount {records}"))?;
    result?;
    Ok(Outcome::Passed)
}

/// Who could write them could say who vouched for what.
fn writable_records(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (server, records) = (&bed.server, site.records());
    let (alice, system) = delivered(&site, "")?;
    server.root(&format!("mkdir -p {records}"))?;
    for (bad, good) in [("chmod o+w", "chmod o-w"), ("chown mallory", "chown root")] {
        server.root(&format!("{bad} {records}"))?;
        let output = activate(server, alice.name, &system.top, "switch")?;
        if output.code != Some(2) || !activated(server)?.is_empty() {
            bail!("with records after `{bad}` it was activated: {}", output.text);
        }
        says(&output.text, &[&records])?;
        server.root(&format!("{good} {records}"))?;
    }
    site.activates(&alice, &system)?;
    // The same of the files in it.
    let file = server.root(&format!("ls {records}/*.record | head -1"))?;
    server.root(&format!("chmod o+w {}", file.trim()))?;
    let output = activate(server, alice.name, &system.top, "switch")?;
    if output.success {
        bail!("with a record that others may write it was activated: {}", output.text);
    }
    says(&output.text, &[file.trim()])?;
    Ok(Outcome::Passed)
}

/// Half of a file is gone: what it said is not known, and so it is not known what may not come again.
fn damaged_record(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (server, records) = (&bed.server, site.records());
    let (alice, system) = delivered(&site, "")?;
    site.activates(&alice, &system)?;
    let file = server.root(&format!("ls {records}/*.record | head -1"))?;
    let file = file.trim();
    server.root(&format!("cp {file} /tmp/record; truncate -s 100 {file}"))?;
    let (alice, next) = delivered(&site, "")?;
    let output = activate(server, alice.name, &next.top, "switch")?;
    is_refusal(&output, &next.top, "records-unreadable")?;
    says(&output.text, &[file])?;
    if !activated(server)?.is_empty() || !Standing::of(server)?.is(&system.top) {
        bail!("with a damaged record it was activated: {}", output.text);
    }
    server.root(&format!("cat /tmp/record > {file}"))?;
    site.activates(&alice, &next)?;
    Ok(Outcome::Passed)
}

/// It is active as far as it came, and says so.
fn failing_script(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let (alice, system) = delivered(&site, "--argstr script 'exit 7'")?;
    let output = activate(server, alice.name, &system.top, "switch")?;
    if output.code != Some(2) {
        bail!("a switch script that failed is a success: {}", output.text);
    }
    says(&output.text, &["exit status: 7", &format!("the system profile leads to {}", system.top)])?;
    let log = site.log()?;
    says(log.last().context("the log is empty")?, &["activate-end", "exit status: 7"])?;
    let said = activate(server, alice.name, &system.top, "dry-activate")?.text;
    if said.contains("interrupted") {
        bail!("an activation that came to its end was interrupted: {said}");
    }
    Ok(Outcome::Passed)
}

/// Something that Alice vouches for by mistake.
fn no_script(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (alice, system) = delivered(&site, "")?;
    let etc = system.part("etc")?;
    alice.delivers(etc, "")?;
    let output = activate(&bed.server, alice.name, etc, "switch")?;
    if output.code != Some(2) {
        bail!("what is no system was activated: {}", output.text);
    }
    says(&output.text, &["is not a system", "nothing was changed"])?;
    if Standing::of(&bed.server)?.profile.is_some() {
        bail!("what is no system became the system profile: {}", output.text);
    }
    Ok(Outcome::Passed)
}

/// What somebody makes up does not look like another entry of the log.
fn line_break(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (_, system) = imported(&site)?;
    let (server, top) = (&bed.server, &system.top);
    let before = log_lines(server, "made up")?.len();
    let reason = r#"$'because\n{"event":"activate","path":"made up"}\nNov 22 made up'"#;
    server.run_as("root", &format!("nixcert override {top} switch --yes --reason {reason}"))?.ok()?;
    for line in site.log()? {
        if !line.starts_with("{\"schema\":1,") || !line.contains(top) {
            bail!("this line of the log was made up: {line}");
        }
    }
    for line in log_lines(server, "made up")?.iter().skip(before) {
        says(line, &["nixcert[", top])?;
    }
    Ok(Outcome::Passed)
}

/// Mallory puts closure signatures of all kinds on Alice's system, in front of hers.
fn junk(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (alice, system) = delivered(&site, "")?;
    let mallory = site.mallory()?;
    let mut client = Client::connect(mallory.host, mallory.name, &bed.server)?;
    let info = client.info(&system.top)?.context("the system is not there")?;
    let good = info.signatures.iter().find(|it| it.contains("nixcert1-closure")).context("not signed")?;
    let (name, payload) = good.split_once(':').context("no signature")?;
    let key = Key::read(mallory.host, &format!("/home/mallory/{}", mallory.key))?;
    let certificates = key.name.split_once(".nixcert1.").context("no certificate")?.1;
    let statement = name.split('.').nth(2).context("no statement")?;
    let mut signatures: Vec<String> =
        (0..100_000).map(|number| format!("a.nixcert1-closure.{number}:{payload}")).collect();
    for number in 0..5_000 {
        let name = format!("mallory.nixcert1-closure.{statement}.{certificates}");
        signatures.push(key.sign_as(&name, format!("{number}").as_bytes()));
    }
    for signatures in signatures.chunks(10_000) {
        client.add_signatures(&system.top, signatures)?;
    }
    site.activates(&alice, &system)?;
    Ok(Outcome::Passed)
}

/// Mallory fills all the room that there is for signatures of Alice's system. She takes it away, and brings it again.
fn full(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let server = &bed.server;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    alice.does(&format!("nix store sign -k {} --recursive {}", alice.key, system.top))?.ok()?;
    copy_closure(alice.host, alice.name, server, &system.top)?.ok()?;
    let mut client = Client::connect(mallory.host, mallory.name, server)?;
    for power in (5..24).rev() {
        // As much as there is room for.
        let _ = client.add_signatures(&system.top, &[format!("junk:{}", "a".repeat(1 << power))]);
    }
    // Who is connected can keep a path from being deleted.
    drop(client);
    let output = alice.deploys(&system.top, "")?;
    if output.success || !activated(server)?.is_empty() {
        bail!("there was room after all: {}", output.text);
    }
    says(&output.text, &["too many signatures"])?;
    server
        .run_as(alice.name, &format!("rm -rf ~/.local/state/nixcert; nix-store --delete {}", system.top))?
        .ok()?;
    alice.deploys(&system.top, "")?.ok()?;
    site.is_active(&system)?;
    Ok(Outcome::Passed)
}

/// Nothing is fetched or built for an activation.
fn not_there(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let path = super::attacks::fresh("nixos-system-web-1");
    let output = activate(&bed.server, alice.name, &path, "switch")?;
    is_refusal(&output, &path, "path-not-valid")?;
    let asked = bed.server.run_as("bob", &format!("nixcert check-closure {path}"))?;
    if asked.code != output.code {
        bail!("asking said otherwise: {}", asked.text);
    }
    Ok(Outcome::Passed)
}
