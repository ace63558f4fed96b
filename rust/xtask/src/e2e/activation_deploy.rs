//! `nixcert deploy`: the whole way, as normal users.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    activation::{SUDOERS, Site, is_refusal},
    pki::root_ca,
    systems::{System, activated, version},
    tools::{is_valid, says},
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/deploy-builds-with-nixos-rebuild", run: |bed| rebuild(bed, true) },
    Case { name: "activation/deploy-of-a-build-that-fails-changes-nothing", run: |bed| rebuild(bed, false) },
    Case { name: "activation/deploy-waits-for-the-second-person", run: second_person },
    Case {
        name: "activation/deploy-brings-a-list-that-revokes-who-deploys",
        run: |bed| with_list(bed, "alice", Some("retired")),
    },
    Case {
        name: "activation/deploy-brings-a-list-that-revokes-another",
        run: |bed| with_list(bed, "bob", None),
    },
    Case { name: "activation/deploy-without-a-sudo-rule-is-refused", run: without_rule },
    Case { name: "activation/deploy-of-what-may-not-be-imported-is-refused", run: not_imported },
    Case { name: "activation/deploy-for-another-host-is-refused", run: other_host },
];

/// As far as `nixcert deploy` can tell.
const NIXOS_REBUILD: &str = "#!/bin/sh
test \"$1\" = build || exit 64
shift
exec nix-build /srv/system.nix -o result \"$@\"
";

/// What follows `--` is `nixos-rebuild build`'s.
fn rebuild(bed: &Bed, good: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let version = version();
    // That writes the expression.
    let system = System::build(alice.host, alice.name, &version, "")?;
    alice.host.write("/usr/local/bin/nixos-rebuild", NIXOS_REBUILD.as_bytes())?;
    alice.host.root("chmod 755 /usr/local/bin/nixos-rebuild")?;
    let arguments =
        if good { format!("--argstr version {version}") } else { "--argstr versoin 1".to_owned() };
    activated(&bed.server)?;
    let line = format!("nixcert deploy --yes --key {} --to alice@server -- {arguments}", alice.key);
    let output = alice.does(&line)?;
    if good {
        output.ok()?;
        site.is_active(&system)?;
    } else if output.success || !activated(&bed.server)?.is_empty() {
        bail!("something was deployed: {}", output.text);
    }
    Ok(Outcome::Passed)
}

/// Alice deploys, and is told who has to sign; nothing collects the system meanwhile; Bob builds it himself, and co-signs.
fn second_person(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "votes = 2\n")?;
    let [alice, bob] = [site.alice()?, site.bob()?];
    let (server, laptop, version) = (&bed.server, bed.laptop()?, version());
    let system = System::build(alice.host, alice.name, &version, "")?;
    let output = alice.deploys(&system.top, "")?;
    is_refusal(&output, &system.top, "too-few-votes")?;
    says(&output.text, &["another person must sign", "--co-sign"])?;
    server.run_as("mallory", "nix-store --gc > /dev/null 2>&1")?.ok()?;
    if !is_valid(server, &system.top)? {
        bail!("the system was collected while it waited for the second person");
    }

    laptop.configure(&format!("trusted-ca-keys = {}\n", root_ca(alice.host, &site.ca)?))?;
    let bob = bob.at(laptop)?;
    System::build(laptop, bob.name, &version, "")?;
    bob.does(&format!("nix store copy-sigs --substituter ssh-ng://bob@server --recursive {}", system.top))?
        .ok()?;
    activated(server)?;
    bob.deploys(&system.top, "--co-sign")?.ok()?;
    site.is_active(&system)?;
    Ok(Outcome::Passed)
}

/// Alice brings along the newest list, whatever it says.
fn with_list(bed: &Bed, whom: &str, refusal: Option<&str>) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    site.bob()?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    // Already there: a revoked person brings no new path.
    alice.delivers(&system.top, "")?;
    let list = site.list(&format!("--label {whom} --retired"))?;
    alice.host.root(&format!("cp {list} /home/alice/newest.list; chmod 644 /home/alice/newest.list"))?;
    activated(&bed.server)?;
    let output = alice.deploys(&system.top, "--revocation-list newest.list")?;
    match refusal {
        None => {
            output.ok()?;
            site.is_active(&system)?;
        }
        Some(code) => {
            is_refusal(&output, &system.top, code)?;
            if !activated(&bed.server)?.is_empty() {
                bail!("it was activated all the same: {}", output.text);
            }
        }
    }
    Ok(Outcome::Passed)
}

/// The gate would let it pass, and sudo does not.
fn without_rule(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    bed.server.root("rm /etc/sudoers.d/nixcert")?;
    activated(&bed.server)?;
    let output = alice.deploys(&system.top, "")?;
    if output.code != Some(1) || !activated(&bed.server)?.is_empty() {
        bail!("this should have been refused: {}", output.text);
    }
    says(&output.text, &["sudo", "was not activated"])?;
    bed.server.write("/etc/sudoers.d/nixcert", SUDOERS.as_bytes())?;
    bed.server.root("chmod 440 /etc/sudoers.d/nixcert")?;
    alice.deploys(&system.top, "")?.ok()?;
    site.is_active(&system)?;
    Ok(Outcome::Passed)
}

/// Alice may vouch for all, and import all but one.
fn not_imported(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let options = "--usage import-paths,vouch-for-systems --permit '*' --exclude 'sudo@' --host '*'";
    let alice = site.person("alice", options)?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    let output = alice.deploys(&system.top, "")?;
    if output.code != Some(1) || is_valid(&bed.server, &system.top)? {
        bail!("this should have been refused: {}", output.text);
    }
    says(&output.text, &[system.part("sudo-1.9.17")?, "name-excluded"])?;
    Ok(Outcome::Passed)
}

/// By default the statement is for the host that it is deployed to, as ssh calls it.
fn other_host(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    let output = alice.deploys(&system.top, "--host database")?;
    is_refusal(&output, &system.top, "statement-of-another-host")?;
    says(&output.text, &["--host NAME"])?;
    activated(&bed.server)?;
    alice.deploys(&system.top, "")?.ok()?;
    site.is_active(&system)?;
    Ok(Outcome::Passed)
}
