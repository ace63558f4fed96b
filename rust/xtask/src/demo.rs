//! The story, as the people in it see it: every line shown is the real output of the real command.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{
    bed::{Bed, Extent, Seam},
    cache::Cache,
    e2e::{
        forge::Key,
        systems::{System, doctored},
        wire::{Client, Flags},
    },
    host::Host,
    nix_source::Nix,
    report::{bad, dim, good, strong},
};

/// The server's policy.
const POLICY: &str = "/etc/nix/ca-policy.toml";

/// Tells the story. It fails where something does not happen as told.
pub(crate) fn run(cache: &Cache, scratch: &Path) -> Result<()> {
    let bed = Bed::boot(cache, scratch, Extent::Two, &Nix::debian()?, Seam::Patches)?;
    let (workstation, server) = (&bed.workstation, &bed.server);

    chapter("Bob makes a CA, and the server's administrator trusts it");
    tell("(Real CAs have a passphrase: leave out --unencrypted.)");
    succeeds(workstation, "bob", "nixcert ca init acme --name acme-1 --unencrypted")?;
    let public = succeeds(workstation, "bob", "cat acme/ca.pub")?;
    server.configure(&format!("trusted-ca-keys = {}\nca-host-name = server\n", public.trim()))?;
    succeeds(
        server,
        "root",
        "grep -E '^(trusted-ca-keys|ca-host-name) ' /etc/nix/nix.conf; nix config show | grep -E '^trusted-users'",
    )?;

    chapter("Alice has a key, and Bob certifies it");
    succeeds(workstation, "alice", "(umask 077; nix key generate-secret --key-name alice > alice.secret)")?;
    succeeds(workstation, "alice", "nixcert request --key alice.secret -o /tmp/alice.request")?;
    succeeds(
        workstation,
        "bob",
        "nixcert issue /tmp/alice.request --ca acme --valid 90d --permit 'hello@' --host server --yes \
         -o /tmp/alice.certificate",
    )?;
    succeeds(workstation, "alice", "nixcert attach --key alice.secret /tmp/alice.certificate -o alice.key")?;

    chapter("Alice builds something, signs it with stock Nix, and copies it to the server");
    let hello = build(workstation, "alice", "hello-2.12")?;
    tell("Without a signature, it is refused. (The end-of-file is how stock nix-copy-closure learns of it.)");
    refused(workstation, "alice", &format!("nix-copy-closure --to alice@server {hello}"))?;
    tell("With one, it is accepted, though the server has never heard of her key:");
    succeeds(workstation, "alice", &format!("nix store sign -k alice.key {hello}"))?;
    succeeds(workstation, "alice", &format!("nix-copy-closure --to alice@server {hello}"))?;
    succeeds(workstation, "alice", &format!("ssh alice@server cat {hello}"))?;
    tell("The server's log says who:");
    succeeds(server, "root", &format!("grep {hello} /var/log/messages"))?;

    chapter("Mallory has an account too, and tries");
    tell("something unsigned:");
    let sudo = build(workstation, "mallory", "sudo-1.9.17")?;
    refused(workstation, "mallory", &format!("nix-copy-closure --to mallory@server {sudo}"))?;
    tell("options that switch the checks off:");
    refused(
        workstation,
        "mallory",
        &format!("nix copy --no-check-sigs --to ssh-ng://mallory@server {sudo}"),
    )?;
    tell(
        "a CA of Mallory's own, evil/, which certified Mallory's key for everything in evil.key. (The workstation runs",
    );
    tell("stock Nix, which does not know the setting; the server does not take it from a client.)");
    succeeds(
        workstation,
        "mallory",
        "(umask 077; nix key generate-secret --key-name mallory > mallory.secret)",
    )?;
    quietly(workstation, "mallory", "nixcert ca init evil --name acme-1 --unencrypted")?;
    quietly(workstation, "mallory", "nixcert request --key mallory.secret -o mallory.request")?;
    quietly(
        workstation,
        "mallory",
        "nixcert issue mallory.request --ca evil --permit '*' --host '*' --yes -o mallory.certificate",
    )?;
    quietly(workstation, "mallory", "nixcert attach --key mallory.secret mallory.certificate -o evil.key")?;
    succeeds(workstation, "mallory", &format!("nix store sign -k evil.key {sudo}"))?;
    refused(
        workstation,
        "mallory",
        &format!(
            "nix copy --to ssh-ng://mallory@server --option trusted-ca-keys \"$(cat evil/ca.pub)\" {sudo}"
        ),
    )?;
    tell("Alice's certificate, which is no secret, put in front of Mallory's own key in stolen.key:");
    let alice = String::from_utf8(workstation.read("/home/alice/alice.key")?)?;
    let mallory = String::from_utf8(workstation.read("/home/mallory/mallory.secret")?)?;
    let (Some((name, _)), Some((_, secret))) = (alice.split_once(':'), mallory.split_once(':')) else {
        bail!("these are no key files")
    };
    workstation.write("/home/mallory/stolen.key", format!("{name}:{secret}").as_bytes())?;
    let sudo = build(workstation, "mallory", "sudo-1.9.18")?;
    succeeds(workstation, "mallory", &format!("nix store sign -k stolen.key {sudo}"))?;
    refused(workstation, "mallory", &format!("nix-copy-closure --to mallory@server {sudo}"))?;

    chapter("Nor can Alice do what her certificate does not permit");
    let sudo = build(workstation, "alice", "sudo-1.9.19")?;
    succeeds(workstation, "alice", &format!("nix store sign -k alice.key {sudo}"))?;
    refused(workstation, "alice", &format!("nix-copy-closure --to alice@server {sudo}"))?;

    activation(&bed, public.trim())?;

    chapter("Two people for what matters, and a way back: the server's own policy");
    tell("The administrator writes one; it counts at the next decision, on open connections too:");
    let policy = "version = 1\nrevocation-lists = \"/var/lib/nixcert/revocation\"\n\n[ca.acme-1]\npermitted-names = \
                  [\"*\"]\nusages = [\"import-paths\"]\n\n[[threshold]]\nnames = [\"hello-2.13\"]\nvotes = 2\n";
    server.write(POLICY, policy.as_bytes())?;
    server.root("mkdir -p /var/lib/nixcert/revocation")?;
    server.configure(&format!(
        "trusted-ca-keys = {}\nca-host-name = server\nca-policy-file = {POLICY}\n",
        public.trim()
    ))?;
    succeeds(server, "root", &format!("nixcert policy check {POLICY} --nix-conf /etc/nix/nix.conf"))?;
    tell("Alice alone is one vote:");
    let hello = build(workstation, "alice", "hello-2.13")?;
    succeeds(workstation, "alice", &format!("nix store sign -k alice.key {hello}"))?;
    refused(workstation, "alice", &format!("nix-copy-closure --to alice@server {hello}"))?;
    tell("Her key is stolen. Bob revokes it, and brings the server the list, by any way:");
    succeeds(
        workstation,
        "bob",
        "nixcert revoke --ca acme --certificate /tmp/alice.certificate --compromised-since -1h -o acme.list --yes",
    )?;
    server.write("/root/acme.list", &workstation.read("/home/bob/acme.list")?)?;
    succeeds(server, "root", "nixcert revocation install acme.list")?;
    let hello = build(workstation, "alice", "hello-2.14")?;
    succeeds(workstation, "alice", &format!("nix store sign -k alice.key {hello}"))?;
    refused(workstation, "alice", &format!("nix-copy-closure --to alice@server {hello}"))?;

    println!(
        "\n{}",
        good("What Alice signed was accepted while her key was hers, and everything else was refused.")
    );
    Ok(())
}

/// The second gate: whoever may add paths cannot make them part of a system.
fn activation(bed: &Bed, ca: &str) -> Result<()> {
    let (workstation, server) = (&bed.workstation, &bed.server);
    chapter("Mallory may import anything, and prepares a sudo for the server's next system");
    tell("Bob lets Alice vouch for systems, and Mallory import whatever there is.");
    succeeds(
        workstation,
        "bob",
        "nixcert issue /tmp/alice.request --ca acme --usage import-paths,vouch-for-systems --permit '*' --host server \
         --yes -o /tmp/alice.certificate.2",
    )?;
    quietly(
        workstation,
        "alice",
        "nixcert attach --key alice.secret /tmp/alice.certificate.2 -o alice.systems.key",
    )?;
    quietly(workstation, "mallory", "nixcert request --key mallory.secret -o /tmp/mallory.request")?;
    succeeds(
        workstation,
        "bob",
        "nixcert issue /tmp/mallory.request --ca acme --permit '*' --host server --yes -o /tmp/mallory.certificate",
    )?;
    quietly(
        workstation,
        "mallory",
        "nixcert attach --key mallory.secret /tmp/mallory.certificate -o mallory.key",
    )?;
    tell(
        "The server's policy says who may vouch, and sudo that people may ask for an activation, and nothing else:",
    );
    let policy = "version = 1\nrevocation-lists = \"/var/lib/nixcert/revocation\"\n\n[ca.acme-1]\npermitted-names = \
                  [\"*\"]\nusages = [\"import-paths\", \"vouch-for-systems\"]\n\n[activation]\nvotes = 1\n";
    server.write(POLICY, policy.as_bytes())?;
    server.write("/etc/sudoers.d/nixcert", SUDOERS.as_bytes())?;
    server.root("mkdir -p /var/lib/nixcert/revocation; chmod 440 /etc/sudoers.d/nixcert")?;
    server
        .configure(&format!("trusted-ca-keys = {ca}\nca-host-name = server\nca-policy-file = {POLICY}\n"))?;
    succeeds(server, "root", &format!("tail -n 2 {POLICY}; cat /etc/sudoers.d/nixcert"))?;

    let system = System::build(workstation, "alice", "26.05", "")?;
    tell(
        "Alice has built a system. Mallory, who has guessed what she will deploy, uploads another sudo under the path",
    );
    tell("that hers will have. The import gate lets it in: that is what Mallory's certificate is for.");
    let sudo = system.part("sudo-1.9.17")?;
    let mut parcel = doctored(workstation, sudo, "echo doctored > bin/sudo")?;
    let key = Key::read(workstation, "/home/mallory/mallory.key")?;
    parcel.info.signatures = vec![key.signature(&parcel.info)];
    Client::connect(workstation, "mallory", server)?.add(&parcel, Flags::default())?;
    succeeds(server, "bob", &format!("cat {sudo}/bin/sudo"))?;
    tell("Alice deploys. Her copy passes over what is valid already; the activation gate does not.");
    let deploy = format!("nixcert deploy --to alice@server --key alice.systems.key --yes {}", system.top);
    let (success, text) = shown(workstation, "alice", &deploy)?;
    if success || !text.contains("not-vouched-for") || !text.contains("mallory") {
        bail!("this should have been refused, and Mallory named: {deploy}");
    }
    println!("{}", bad("# refused"));
    tell("She repairs what was put in her way, with what she signed:");
    succeeds(workstation, "alice", &format!("{deploy} --repair"))?;
    succeeds(server, "bob", &format!("cat {sudo}/bin/sudo; cat /run/current-system/nixos-version"))?;
    succeeds(server, "root", "cut -c1-200 /var/lib/nixcert/activation/log").map(drop)
}

/// What the administrator of the server lets people do as root.
const SUDOERS: &str =
    "alice,bob,mallory ALL=(root) NOPASSWD: /usr/bin/nixcert activate *, /usr/bin/nixcert repair -\n";

fn chapter(title: &str) {
    println!("\n{}", strong(&format!("== {title}")));
}

fn tell(text: &str) {
    println!("{}", dim(&format!("# {text}")));
}

/// Runs a command before the audience.
fn shown(host: &Host, user: &str, line: &str) -> Result<(bool, String)> {
    let prompt = if user == "root" { '#' } else { '$' };
    println!("{}{prompt} {line}", strong(&format!("{user}@{}", host.name())));
    let output = host.run_as(user, line)?;
    print!("{}", output.text);
    Ok((output.success, output.text))
}

fn succeeds(host: &Host, user: &str, line: &str) -> Result<String> {
    let (success, text) = shown(host, user, line)?;
    if !success {
        bail!("this should have succeeded, and did not: {line}");
    }
    Ok(text)
}

fn refused(host: &Host, user: &str, line: &str) -> Result<()> {
    let (success, text) = shown(host, user, line)?;
    if success || !text.contains("because it lacks a signature by a trusted key") {
        bail!("this should have been refused for want of a signature, and was not: {line}");
    }
    println!("{}", bad("# refused"));
    Ok(())
}

/// Preparations that are of no interest.
fn quietly(host: &Host, user: &str, line: &str) -> Result<()> {
    host.run_as(user, line)?.ok().map(drop)
}

fn build(host: &Host, user: &str, name: &str) -> Result<String> {
    let file = format!("{name}.nix");
    let expression = format!(
        "derivation {{ name = \"{name}\"; system = \"{}-linux\"; builder = \"/bin/sh\"; args = [ \"-c\" \"echo {name} \
         by {user} > $out\" ]; }}\n",
        std::env::consts::ARCH
    );
    host.write(&format!("/home/{user}/{file}"), expression.as_bytes())?;
    let text = succeeds(host, user, &format!("nix-build --no-out-link {file}"))?;
    text.lines()
        .rfind(|line| line.starts_with("/nix/store/"))
        .map(str::to_owned)
        .context("nix-build gave no path")
}
