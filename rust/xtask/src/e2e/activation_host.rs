//! The host's side of an activation: its configuration, what a caller can and cannot say, and what is written down.

use anyhow::{Context, Result, bail};

use super::{
    Case, Outcome,
    activation::{Person, Site, activate, is_refusal},
    policy::{self, POLICY},
    systems::{Standing, System, activated, version},
    tools::{copy_closure, log_lines, says},
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/each-action-does-what-it-says", run: actions },
    Case { name: "activation/broken-policy-is-refused", run: |bed| broken(bed, Broken::UnknownKey) },
    Case {
        name: "activation/policy-that-others-may-write-is-refused",
        run: |bed| broken(bed, Broken::Writable),
    },
    Case { name: "activation/missing-policy-is-refused", run: |bed| broken(bed, Broken::Missing) },
    Case { name: "activation/policy-without-activation-is-refused", run: |bed| broken(bed, Broken::NoTable) },
    Case { name: "activation/environment-through-sudo-does-nothing", run: environment_through_sudo },
    Case { name: "activation/environment-of-root-does-nothing", run: environment_of_root },
    Case { name: "activation/sudo-rule-gives-no-more", run: sudo_rule },
    Case { name: "activation/override-is-roots-and-recorded", run: overridden },
    Case { name: "activation/is-recorded", run: recorded },
];

/// What makes the configuration unusable.
#[derive(Clone, Copy)]
enum Broken {
    UnknownKey,
    Writable,
    Missing,
    NoTable,
}

/// Alice, and a system of hers that is delivered.
pub(crate) fn delivered<'a>(site: &Site<'a>, arguments: &str) -> Result<(Person<'a>, System)> {
    let alice = site.alice()?;
    let system = System::build(alice.host, alice.name, &version(), arguments)?;
    alice.delivers(&system.top, "")?;
    Ok((alice, system))
}

/// Mallory, and a system that Mallory brought, for which nobody vouches.
pub(crate) fn imported<'a>(site: &Site<'a>) -> Result<(Person<'a>, System)> {
    let mallory = site.mallory()?;
    let system = System::build(mallory.host, mallory.name, &version(), "")?;
    mallory.does(&format!("nix store sign -k {} --recursive {}", mallory.key, system.top))?.ok()?;
    copy_closure(mallory.host, mallory.name, &site.bed.server, &system.top)?.ok()?;
    Ok((mallory, system))
}

/// Which of profile, boot entry and running system each action changes.
fn actions(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (alice, first) = delivered(&site, "")?;
    let server = &bed.server;
    site.activates(&alice, &first)?;
    for (action, profile, boot) in
        [("dry-activate", false, false), ("test", false, false), ("boot", true, true), ("switch", true, true)]
    {
        let (alice, system) = delivered(&site, "")?;
        let before = Standing::of(server)?;
        activate(server, alice.name, &system.top, action)?.ok()?;
        if activated(server)? != [format!("{action} {}", system.top)] {
            bail!("the switch script was not called as `{action}`");
        }
        let now = |new: bool, old: &Option<String>| if new { Some(system.top.clone()) } else { old.clone() };
        let expected = Standing { boot: now(boot, &before.boot), profile: now(profile, &before.profile) };
        let after = Standing::of(server)?;
        if after != expected {
            bail!("after `{action}` of {} the server stands so: {after:?}", system.top);
        }
    }
    let (alice, system) = delivered(&site, "")?;
    let output = activate(server, alice.name, &system.top, "reboot")?;
    if output.code != Some(2) || !activated(server)?.is_empty() {
        bail!("an action that there is not was not refused as wrong usage: {}", output.text);
    }
    Ok(Outcome::Passed)
}

/// The running system stays as it is; with the policy as it was, all is well.
fn broken(bed: &Bed, how: Broken) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (alice, first) = delivered(&site, "")?;
    site.activates(&alice, &first)?;
    let (alice, system) = delivered(&site, "")?;
    let (server, good) = (&bed.server, site.policy(""));
    let (code, words) = match how {
        Broken::UnknownKey => {
            policy::replace(server, &format!("{good}vote = 1\n"))?;
            ("broken-configuration", vec![POLICY, "vote"])
        }
        Broken::Writable => {
            server.root(&format!("chmod o+w {POLICY}"))?;
            ("broken-configuration", vec![POLICY, "chmod go-w"])
        }
        Broken::Missing => {
            server.root(&format!("rm {POLICY}"))?;
            ("broken-configuration", vec![POLICY])
        }
        Broken::NoTable => {
            let table = good.find("[activation]").context("the policy has no such table")?;
            policy::replace(server, good.get(..table).unwrap_or_default())?;
            ("no-activation-policy", vec![POLICY])
        }
    };
    site.refuses(&alice, &system, code, &words)?;
    policy::replace(server, &good)?;
    site.activates(&alice, &system)?;
    Ok(Outcome::Passed)
}

/// What an attacker would have Nix, the loader and the shell read: a policy, settings, programs and a library of their own.
const HOSTILE: &str = "LD_PRELOAD=/tmp/hostile/evil.so LD_LIBRARY_PATH=/tmp/hostile PATH=/tmp/hostile:$PATH \
                       NIX_CONF_DIR=/tmp/hostile NIX_USER_CONF_FILES=/tmp/hostile/nix.conf NIX_CONFIG='require-sigs = false' \
                       NIX_STATE_DIR=/tmp/hostile NIX_STORE_DIR=/tmp/hostile NIX_REMOTE=local?root=/tmp/hostile \
                       NIX_DAEMON_SOCKET_PATH=/tmp/hostile/socket XDG_CONFIG_HOME=/tmp/hostile HOME=/tmp/hostile \
                       BASH_ENV=/tmp/hostile/nix ENV=/tmp/hostile/nix SHELL=/tmp/hostile/nix";

/// Puts there what those variables name.
fn hostile_directory(site: &Site<'_>) -> Result<()> {
    let policy = site.policy("votes = 1\n").replace("closure-signature = \"required\"", "");
    let server = &site.bed.server;
    server.root("rm -rf /tmp/hostile /run/hostile; mkdir -p /tmp/hostile/nix.d; chmod 755 /tmp/hostile")?;
    server.write("/tmp/hostile/policy.toml", policy.as_bytes())?;
    let conf =
        format!("{}ca-policy-file = /tmp/hostile/policy.toml\nca-host-name = hostile\n", site.settings()?);
    server.write("/tmp/hostile/nix.conf", conf.as_bytes())?;
    for program in ["nix", "nix-env", "nix-store", "sh", "env", "logger"] {
        let path = format!("/tmp/hostile/{program}");
        server.write(&path, b"#!/bin/sh\necho \"$0 $*\" >> /run/hostile\nexit 0\n")?;
        server.root(&format!("chmod 755 {path}"))?;
    }
    Ok(())
}

/// Nothing of it was run.
fn nothing_hostile_ran(site: &Site<'_>) -> Result<()> {
    let text = site.bed.server.root("cat /run/hostile 2>/dev/null || true")?;
    if text.is_empty() { Ok(()) } else { bail!("programs of the caller's were run by root:\n{text}") }
}

fn environment_through_sudo(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    hostile_directory(&site)?;
    let (mallory, theirs) = imported(&site)?;
    let command =
        |top: &str| format!("{HOSTILE} /usr/bin/sudo -n /usr/bin/nixcert activate {top} switch 2>&1");
    let output = bed.server.run_as(mallory.name, &command(&theirs.top))?;
    is_refusal(&output, &theirs.top, "closure-signature-missing")?;
    let (alice, hers) = delivered(&site, "")?;
    activated(&bed.server)?;
    bed.server.run_as(alice.name, &command(&hers.top))?.ok()?;
    site.is_active(&hers)?;
    nothing_hostile_ran(&site)?;
    Ok(Outcome::Passed)
}

/// As where sudo keeps the caller's environment. The loader's variables aside: they act before any program can.
fn environment_of_root(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    hostile_directory(&site)?;
    let (_, theirs) = imported(&site)?;
    let (_, hers) = delivered(&site, "--argstr script 'env > /run/environment'")?;
    let hostile: Vec<&str> =
        HOSTILE.split(' ').filter(|it| !it.is_empty() && !it.starts_with("LD_")).collect();
    let command = |top: &str| format!("{} /usr/bin/nixcert activate {top} switch 2>&1", hostile.join(" "));
    let server = &bed.server;
    is_refusal(&server.run_as("root", &command(&theirs.top))?, &theirs.top, "closure-signature-missing")?;
    activated(server)?;
    server.run_as("root", &command(&hers.top))?.ok()?;
    site.is_active(&hers)?;
    nothing_hostile_ran(&site)?;
    let environment = server.root("cat /run/environment")?;
    if environment.contains("hostile") || environment.contains("require-sigs") {
        bail!("the switch script got the caller's environment:\n{environment}");
    }
    Ok(Outcome::Passed)
}

/// What the rule for sudo lets through, and the command has to refuse; and what it does not let through.
fn sudo_rule(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (mallory, system) = imported(&site)?;
    let (server, top) = (&bed.server, &system.top);
    server.write("/tmp/lenient.toml", site.policy("closure-signature = \"optional\"\n").as_bytes())?;
    for arguments in [
        format!("override {top} switch --reason because"),
        "revocation reset".to_owned(),
        "revocation install /tmp/list".to_owned(),
        "revocation install - --nix-conf /tmp/nix.conf".to_owned(),
        format!("--help activate {top}"),
        format!("check-closure {top}"),
    ] {
        let output = server.run_as(mallory.name, &format!("sudo -n /usr/bin/nixcert {arguments}"))?;
        says(&output.text, &["a password is required"])?;
    }
    for arguments in [
        format!("{top} switch --reason because"),
        format!("{top} --policy /tmp/lenient.toml"),
        format!("{top} --nix-conf /tmp/nix.conf"),
        format!("{top} --trusted-ca-keys x"),
        format!("{top} --host other"),
        format!("{top} --vouch"),
        format!("{top} --store /tmp"),
        format!("{top} switch extra"),
    ] {
        let output =
            server.run_as(mallory.name, &format!("sudo -n /usr/bin/nixcert activate {arguments}"))?;
        if output.code != Some(2) {
            bail!("this is no wrong usage: {}\n{}", output.command, output.text);
        }
    }
    server.root(&format!("ln -sfn {top} /tmp/link"))?;
    let inside =
        [format!("{top}/"), format!("{top}/sw"), format!("{top}/../../../tmp"), top.replace("/nix", "/nix/")];
    let others = ["/tmp/link", "/tmp", "/nix/store", "/nix/store/..", "nixos-system-web-1", "''", "-"];
    for path in others.into_iter().chain(inside.iter().map(String::as_str)) {
        let output =
            server.run_as(mallory.name, &format!("sudo -n /usr/bin/nixcert activate {path} switch"))?;
        if output.code != Some(2) {
            bail!("this was taken for a store path: {}\n{}", output.command, output.text);
        }
    }
    if !activated(server)?.is_empty() || Standing::of(server)? != (Standing { boot: None, profile: None }) {
        bail!("something was activated");
    }
    Ok(Outcome::Passed)
}

/// Root with full rights activates what nobody vouches for, and says why.
fn overridden(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (_, system) = imported(&site)?;
    let (server, top) = (&bed.server, &system.top);
    let output = server.run_as("root", &format!("nixcert override {top} switch"))?;
    if output.code != Some(2) {
        bail!("root did not have to say why: {}", output.text);
    }
    activated(server)?;
    let output =
        server.run_as("root", &format!("nixcert override {top} switch --reason 'the CA burned down'"))?;
    if output.success || !output.text.contains("say --yes") {
        bail!("nobody was asked, and it was done: {}", output.text);
    }
    server
        .run_as("root", &format!("nixcert override {top} switch --yes --reason 'the CA burned down'"))?
        .ok()?;
    site.is_active(&system)?;
    let record = site.log()?.last().cloned().unwrap_or_default();
    says(&record, &[top, "override", "the CA burned down"])?;
    says(&log_lines(server, top)?.join("\n"), &["override", "the CA burned down"])?;
    Ok(Outcome::Passed)
}

/// What was activated and what was refused: who asked, what, signers, verdict.
fn recorded(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (alice, system) = delivered(&site, "")?;
    site.activates(&alice, &system)?;
    let (mallory, theirs) = imported(&site)?;
    site.refuses(&mallory, &theirs, "closure-signature-missing", &[])?;
    let log = site.log()?;
    let activation =
        log.iter().find(|line| line.contains(&system.top)).context("no line for the activation")?;
    says(activation, &["\"alice\"", "switch"])?;
    let refusal = log.iter().find(|line| line.contains(&theirs.top)).context("no line for the refusal")?;
    says(refusal, &["\"mallory\"", "closure-signature-missing"])?;
    says(&log_lines(&bed.server, &system.top)?.join("\n"), &["nixcert", "'alice'", "switch"])?;
    says(
        &log_lines(&bed.server, &theirs.top)?.join("\n"),
        &["nixcert", "'mallory'", "closure-signature-missing"],
    )?;
    // Asking leaves no trace.
    bed.server.run_as("bob", &format!("nixcert check-closure {}", theirs.top))?;
    if site.log()?.len() != log.len() {
        bail!("asking was recorded");
    }
    Ok(Outcome::Passed)
}
