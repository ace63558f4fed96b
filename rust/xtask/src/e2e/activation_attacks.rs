//! Mallory, whose certificate lets any path into the store, and who wants one of them to become part of the next system.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    activation::{Person, Site, is_refusal},
    forge::Key,
    pki::root_ca,
    systems::{System, doctored, doctored_with, references, version},
    tools::{copy_closure, is_valid, key, says},
    wire::{Client, Flags, Parcel},
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/nothing-doctored-is-activated", run: |bed| attack(bed, "sudo-1.9.17", None) },
    Case { name: "activation/doctored-sudo-is-refused", run: |bed| attack(bed, "sudo-1.9.17", Some(SUDO)) },
    Case {
        name: "activation/doctored-unit-is-refused",
        run: |bed| attack(bed, "unit-web.service", Some("echo ExecStart=doctored > web.service")),
    },
    Case {
        name: "activation/doctored-switch-script-is-refused",
        run: |bed| attack(bed, "switch-", Some("echo touch /run/doctored >> bin/switch")),
    },
    Case {
        name: "activation/doctored-top-level-path-is-refused",
        run: |bed| {
            let script = "sed -i '2i touch /run/doctored' bin/switch-to-configuration";
            attack(bed, "nixos-system-web-1", Some(script))
        },
    },
    Case { name: "activation/extra-reference-is-refused", run: |bed| other_references(bed, Change::Add) },
    Case {
        name: "activation/missing-reference-is-refused",
        run: |bed| other_references(bed, Change::Remove),
    },
    Case { name: "activation/built-here-with-a-doctored-tool-is-refused", run: |bed| built_here(bed, true) },
    Case { name: "activation/built-here-with-the-real-tool-is-accepted", run: |bed| built_here(bed, false) },
    Case { name: "activation/poisoned-workstation-does-not-sign", run: poisoned_workstation },
    Case { name: "activation/content-addressed-system-of-mallory-is-refused", run: content_addressed },
];

const SUDO: &str = "echo doctored > bin/sudo";

/// Mallory uploads a doctored path under the name that Alice's next deployment will use; with `script` none, the real one.
fn attack(bed: &Bed, part: &str, script: Option<&str>) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    let part = system.part(part)?;
    plant(bed, &mallory, &doctored(alice.host, part, script.unwrap_or("true"))?)?;

    let output = alice.deploys(&system.top, "")?;
    match script {
        None => {
            output.ok()?;
            site.is_active(&system)?;
        }
        Some(_) => {
            // Signatures of other contents than there are stay where they are.
            let is_top = part == system.top;
            let code = if is_top { "closure-signature-missing" } else { "not-vouched-for" };
            let words = ["(not-vouched-for)", part, "mallory"];
            is_refusal(&output, &system.top, code)?;
            says(&output.text, &words)?;
            says(&output.text, &["--repair replaces"])?;
            site.refuses(&alice, &system, code, &words)?;
            if bed.server.root("test ! -e /run/doctored").is_err() {
                bail!("something of the doctored {part} was run");
            }
            alice.deploys(&system.top, "--repair")?.ok()?;
            site.is_active(&system)?;
        }
    }
    Ok(Outcome::Passed)
}

/// Brings the server what a path refers to, and then this in its place.
pub(crate) fn plant(bed: &Bed, mallory: &Person<'_>, parcel: &Parcel) -> Result<()> {
    let (host, path) = (mallory.host, &parcel.info.path);
    for reference in references(host, path)?.iter().filter(|it| *it != path) {
        mallory.does(&format!("nix store sign -k {} --recursive {reference}", mallory.key))?.ok()?;
        copy_closure(host, mallory.name, &bed.server, reference)?.ok()?;
    }
    upload(bed, mallory, parcel)
}

/// Brings the server a path, signed by Mallory, who may.
pub(crate) fn upload(bed: &Bed, mallory: &Person<'_>, parcel: &Parcel) -> Result<()> {
    let key = Key::read(mallory.host, &format!("/home/{}/{}", mallory.name, mallory.key))?;
    let mut parcel = parcel.clone();
    parcel.info.signatures = vec![key.signature(&parcel.info)];
    Client::connect(mallory.host, mallory.name, &bed.server)?.add(&parcel, Flags::default())?;
    if !is_valid(&bed.server, &parcel.info.path)? {
        bail!("the import gate did not let {} in", parcel.info.path);
    }
    Ok(())
}

/// How the references of a path are changed.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

/// The contents are as they should be, and the closure is larger or smaller.
fn other_references(bed: &Bed, change: Change) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    let etc = system.part("etc")?;
    let mut references = references(alice.host, etc)?;
    match change {
        Change::Add => {
            let sudo = system.part("sudo-1.9.17")?;
            mallory.does(&format!("nix store sign -k {} {sudo}", mallory.key))?.ok()?;
            copy_closure(mallory.host, mallory.name, &bed.server, sudo)?.ok()?;
            references.push(sudo.to_owned());
            references.sort();
        }
        Change::Remove => references.retain(|it| !it.ends_with("unit-web.service")),
    }
    plant(bed, &mallory, &doctored_with(alice.host, etc, "true", &references)?)?;
    is_refusal(&alice.deploys(&system.top, "")?, &system.top, "not-vouched-for")?;
    site.refuses(&alice, &system, "not-vouched-for", &[etc, "mallory"])?;
    alice.deploys(&system.top, "--repair")?.ok()?;
    site.is_active(&system)?;
    Ok(Outcome::Passed)
}

/// Anybody can make a content-addressed path, and have it be all of a system. Alice can vouch for it.
fn content_addressed(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let host = alice.host;
    let line = format!(
        "rm -rf nixos-system-web-1; mkdir -p nixos-system-web-1/bin; cd nixos-system-web-1/bin; \
         printf '#!/bin/sh\\ntouch /run/activated-{}\\n' > switch-to-configuration; \
         chmod 755 switch-to-configuration; nix-store --add ~/nixos-system-web-1",
        version()
    );
    let top = mallory.does(&line)?.ok()?;
    let system = System::of(host, top.trim())?;
    copy_closure(host, "mallory", &bed.server, &system.top)?.ok()?;
    site.refuses(&mallory, &system, "closure-signature-missing", &[])?;
    site.govern("closure-signature = \"optional\"\n")?;
    site.refuses(&mallory, &system, "not-vouched-for", &[&system.top])?;
    site.govern("")?;
    alice.delivers(&system.top, "")?;
    super::activation::activate(&bed.server, "alice", &system.top, "test")?.ok()?;
    Ok(Outcome::Passed)
}

/// The server builds the system itself, with a tool from Mallory: what comes out is the server's own, signed by its own key.
fn built_here(bed: &Bed, doctor: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let (host, server, version) = (alice.host, &bed.server, version());
    let public = key(host, "root", "server-1")?;
    server.write("/etc/nix/server.secret", &host.read("/root/server-1.secret")?)?;
    let keys = format!("secret-key-files = /etc/nix/server.secret\ntrusted-public-keys = {public}\n");
    server.configure(&format!("{}{keys}", site.settings()?))?;

    let derivation = System::derivation(host, alice.name, &version)?;
    let tool = host.root(&format!(
        "nix-store -q --requisites {derivation} | grep stamp | xargs nix-store -q --outputs"
    ))?;
    let system = System::build(host, alice.name, &version, "")?;
    alice.signs(&system.top, "")?.ok()?;
    let script = if doctor { "echo echo doctored >> bin/stamp" } else { "true" };
    upload(bed, &mallory, &doctored(host, tool.trim(), script)?)?;

    copy_closure(host, alice.name, server, &derivation)?.ok()?;
    server.run_as(alice.name, &format!("nix-store --realise {derivation}"))?.ok()?;
    let etc = system.part("etc")?;
    let info = server.root(&format!("nix path-info --json --sigs {etc}"))?;
    says(&info, &["\"ultimate\":true", "server-1:"])?;
    alice.pushes(&system.top)?;
    if doctor {
        let text = site.refuses(&alice, &system, "not-vouched-for", &[etc])?;
        if text.contains(system.part("sudo-1.9.17")?) {
            bail!("more is left over than what was made with the tool:\n{text}");
        }
    } else {
        site.activates(&alice, &system)?;
    }
    Ok(Outcome::Passed)
}

/// Mallory has an account where Alice works, and the machine trusts the CA. Alice builds with what is there.
fn poisoned_workstation(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let (version, laptop) = (version(), bed.laptop()?);
    laptop.configure(&format!("trusted-ca-keys = {}\n", root_ca(alice.host, &site.ca)?))?;
    let alice = alice.at(laptop)?;
    let real = System::build(mallory.host, mallory.name, &version, "")?;
    let sudo = real.part("sudo-1.9.17")?;
    let key = Key::read(mallory.host, &format!("/home/mallory/{}", mallory.key))?;
    let mut parcel = doctored(mallory.host, sudo, SUDO)?;
    parcel.info.signatures = vec![key.signature(&parcel.info)];
    Client::connect(mallory.host, mallory.name, laptop)?.add(&parcel, Flags::default())?;

    let system = System::build(laptop, alice.name, &version, "")?;
    let output = alice.signs(&system.top, "")?;
    if output.success {
        bail!("Alice vouched for what Mallory brought: {}", output.text);
    }
    says(&output.text, &[sudo, "mallory", "--vouch"])?;
    // She looks at it, and takes it out.
    laptop.root(&format!(
        "nix-store --delete --ignore-liveness $(nix-store -q --referrers-closure {sudo}) >&2"
    ))?;
    let system = System::build(laptop, alice.name, &version, "")?;
    alice.delivers(&system.top, "")?;
    site.activates(&alice, &system)?;
    Ok(Outcome::Passed)
}
