//! What deploy tools run on a host, command for command, as nixos/deploy.md describes it. The tools themselves are not
//! here: what counts is what they ask of the host.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    activation::{Person, SUDOERS, Site, is_refusal},
    systems::{System, activated, version},
    tools::{copy_closure, says},
};
use crate::{bed::Bed, host::Output};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "activation/recipe-nixos-rebuild-with-full-sudo-is-activated",
        run: |bed| rebuild(bed, Sudo::Full, true),
    },
    Case {
        name: "activation/recipe-nixos-rebuild-of-what-nobody-vouches-for-is-refused",
        run: |bed| rebuild(bed, Sudo::Full, false),
    },
    Case {
        name: "activation/recipe-nixos-rebuild-with-the-sudo-rule-is-stopped-by-sudo",
        run: |bed| rebuild(bed, Sudo::Rule, true),
    },
    Case { name: "activation/recipe-colmena-is-activated", run: |bed| colmena(bed, true) },
    Case {
        name: "activation/recipe-colmena-of-what-nobody-vouches-for-is-refused",
        run: |bed| colmena(bed, false),
    },
    Case { name: "activation/recipe-deploy-rs-is-activated", run: |bed| deploy_rs(bed, true) },
    Case {
        name: "activation/recipe-deploy-rs-of-what-nobody-vouches-for-is-refused",
        run: |bed| deploy_rs(bed, false),
    },
    Case { name: "activation/recipe-copied-as-root-is-activated", run: |bed| as_root(bed, true) },
    Case {
        name: "activation/recipe-copied-as-root-of-what-nobody-vouches-for-is-refused",
        run: |bed| as_root(bed, false),
    },
];

/// What Alice may do on the server.
#[derive(Clone, Copy)]
enum Sudo {
    /// What README.md says.
    Rule,
    /// Whatever she likes.
    Full,
}

const PROFILE: &str = "/nix/var/nix/profiles/system";

/// Alice builds a system and signs its paths, so that she may copy it; and vouches for it, or not.
fn built<'a>(site: &Site<'a>, vouched: bool) -> Result<(Person<'a>, System)> {
    let alice = site.alice()?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    signed(&alice, &system.top, vouched)?;
    Ok((alice, system))
}

fn signed(alice: &Person<'_>, top: &str, vouched: bool) -> Result<()> {
    alice.does(&format!("nix store sign -k {} --recursive {top}", alice.key))?.ok()?;
    if vouched {
        alice.signs(top, "")?.ok()?;
    }
    Ok(())
}

/// The first of these commands that fails, or the last one, each in an ssh session of its own.
fn by_ssh(alice: &Person<'_>, commands: &[String]) -> Result<Output> {
    let mut last = None;
    for command in commands {
        let output = alice.does(&format!("ssh alice@server -- {command}"))?;
        if !output.success {
            return Ok(output);
        }
        last = Some(output);
    }
    last.ok_or_else(|| anyhow::anyhow!("no commands"))
}

/// `nixos-rebuild switch --target-host alice@server --sudo`, after the build.
fn rebuild(bed: &Bed, sudo: Sudo, vouched: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let guard = format!("guarded-profiles = {PROFILE}\nprofile-guard = /usr/bin/nixcert check-closure\n");
    server.configure(&format!("{}{guard}", site.settings()?))?;
    let rule = match sudo {
        Sudo::Rule => SUDOERS,
        Sudo::Full => "alice ALL=(ALL) NOPASSWD: ALL\n",
    };
    server.write("/etc/sudoers.d/nixcert", rule.as_bytes())?;
    let (alice, system) = built(&site, vouched)?;
    let top = &system.top;
    activated(server)?;
    copy_closure(alice.host, alice.name, server, top)?.ok()?;
    let output = by_ssh(
        &alice,
        &[
            format!("test -f {top}/nixos-version"),
            format!("sudo env -i 'PATH=${{PATH-}}' nix-env -p {PROFILE} --set {top}"),
            format!(
                "sudo env -i 'LOCALE_ARCHIVE=${{LOCALE_ARCHIVE-}}' 'PATH=${{PATH-}}' NIXOS_INSTALL_BOOTLOADER=0 \
                 {top}/bin/switch-to-configuration switch"
            ),
        ],
    )?;
    match (sudo, vouched) {
        (Sudo::Full, true) => {
            output.ok()?;
            site.is_active(&system)?;
            return Ok(Outcome::Passed);
        }
        (Sudo::Full, false) => {
            let refusal = format!("{top}: refused (closure-signature-missing)");
            says(&output.text, &["because the profile guard refused", &refusal])?;
        }
        (Sudo::Rule, _) => says(&output.text, &["a password is required"])?,
    }
    nothing_happened(bed, &output)
}

/// `colmena apply push` and `colmena exec -- nixcert activate …`, with `deployment.targetUser = "alice"`.
fn colmena(bed: &Bed, vouched: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (alice, system) = built(&site, vouched)?;
    let top = &system.top;
    activated(&bed.server)?;
    copy_closure(alice.host, alice.name, &bed.server, top)?.ok()?;
    // What `colmena apply switch` would go on with.
    let own = by_ssh(&alice, &[format!("sudo -H -- nix-env --profile {PROFILE} --set {top}")])?;
    says(&own.text, &["a password is required"])?;
    let output = by_ssh(&alice, &[format!("sudo -H -- nixcert activate {top} switch")])?;
    ends(&site, &system, output, vouched)
}

/// Has the gate activate the system that it was made for; the rest of it is deploy-rs's.
const ACTIVATABLE: &str = r#"{ version }:
let
  system = import /srv/system.nix { inherit version; };
in
derivation {
  name = "activatable-nixos-system-web-1";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  PATH = "/usr/bin:/bin";
  toplevel = system;
  args = [
    "-euc"
    ''
      mkdir $out
      printf '#!/bin/sh\nexec sudo -n nixcert activate %s switch\n' $toplevel > $out/deploy-rs-activate
      chmod 755 $out/deploy-rs-activate
    ''
  ];
}
"#;

/// deploy-rs with a profile of Alice's own, and `LOCAL_KEY`.
fn deploy_rs(bed: &Bed, vouched: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let version = version();
    let system = System::build(alice.host, alice.name, &version, "")?;
    alice.host.write("/srv/activatable.nix", ACTIVATABLE.as_bytes())?;
    let build =
        format!("nix-build --no-out-link /srv/activatable.nix --argstr version {version} 2>/dev/null");
    let activatable = alice.does(&build)?.ok()?.trim().to_owned();
    signed(&alice, &system.top, vouched)?;
    activated(&bed.server)?;
    for line in [
        format!("nix sign-paths -r -k {} {activatable}", alice.key),
        format!("nix copy --substitute-on-destination --no-check-sigs --to ssh://alice@server {activatable}"),
    ] {
        alice.does(&line)?.ok()?;
    }
    let profile = "/home/alice/.local/state/nix/profiles/web-1";
    let output = by_ssh(
        &alice,
        &[
            "mkdir -p /home/alice/.local/state/nix/profiles".to_owned(),
            format!("nix-env -p {profile} --set {activatable}"),
            format!("{profile}/deploy-rs-activate"),
        ],
    )?;
    ends(&site, &system, output, vouched)
}

/// A tool that copies as root: the import gate is not asked, and the activation gate is.
fn as_root(bed: &Bed, vouched: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    if vouched {
        alice.signs(&system.top, "")?.ok()?;
    }
    bed.workstation.may_log_in(&bed.server, &["root"])?;
    activated(&bed.server)?;
    copy_closure(&bed.workstation, "root", &bed.server, &system.top)?.ok()?;
    let output = by_ssh(&alice, &[format!("sudo -n nixcert activate {} switch", system.top)])?;
    ends(&site, &system, output, vouched)
}

/// The system is active; or it was refused, and nothing happened.
fn ends(site: &Site<'_>, system: &System, output: Output, vouched: bool) -> Result<Outcome> {
    if vouched {
        output.ok()?;
        site.is_active(system)?;
        return Ok(Outcome::Passed);
    }
    is_refusal(&output, &system.top, "closure-signature-missing")?;
    nothing_happened(site.bed, &output)
}

fn nothing_happened(bed: &Bed, output: &Output) -> Result<Outcome> {
    if output.success || !activated(&bed.server)?.is_empty() {
        bail!("something was activated: {}\n{}", output.command, output.text);
    }
    Ok(Outcome::Passed)
}
