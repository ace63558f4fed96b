//! What stands for a path where no closure signature covers it: vendors, content addresses, signatures of its own.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    activation::{Person, Site},
    systems::{System, version},
    tools::{build, copy_closure, key, says},
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/vendor-that-is-named-is-accepted", run: |bed| vendor(bed, Named::InPolicy) },
    Case {
        name: "activation/vendor-that-is-trusted-for-import-is-refused",
        run: |bed| vendor(bed, Named::ForImport),
    },
    Case { name: "activation/hosts-own-key-is-refused", run: |bed| vendor(bed, Named::AsHostKey) },
    Case { name: "activation/system-of-a-vendor-is-refused", run: vendors_system },
    Case {
        name: "activation/each-path-signed-is-accepted-where-that-is-enough",
        run: |bed| per_path(bed, true, true),
    },
    Case {
        name: "activation/each-path-signed-is-refused-where-it-is-not",
        run: |bed| per_path(bed, true, false),
    },
    Case { name: "activation/all-paths-but-one-signed-is-refused", run: |bed| per_path(bed, false, true) },
    Case {
        name: "activation/changed-on-disk-is-refused-where-contents-are-read",
        run: |bed| on_disk(bed, true, true),
    },
    Case {
        name: "activation/unchanged-on-disk-is-accepted-where-contents-are-read",
        run: |bed| on_disk(bed, false, true),
    },
    Case {
        name: "activation/changed-on-disk-is-accepted-where-contents-are-not-read",
        run: |bed| on_disk(bed, true, false),
    },
];

/// Where the server names a vendor's key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Named {
    InPolicy,
    ForImport,
    AsHostKey,
}

/// Whose packages Alice may not vouch for.
const NO_HELLO: &str = "--usage import-paths,vouch-for-systems --permit '*' --exclude hello@ --host '*'";

/// A system has a path that Alice's certificate leaves to a vendor.
fn vendor(bed: &Bed, named: Named) -> Result<Outcome> {
    let (site, alice, public) = vendors(bed, NO_HELLO)?;
    let hello = build(alice.host, alice.name, "hello-2.12")?;
    alice.host.root(&format!("nix store sign -k /root/vendor-2.secret {hello}"))?;
    let arguments = format!("--argstr vendor {hello}");
    let system = System::build(alice.host, alice.name, &version(), &arguments)?;
    alice.delivers(&system.top, "")?;
    match named {
        Named::InPolicy => {
            site.govern(&format!("vendors = [\"{public}\"]\n"))?;
            site.activates(&alice, &system)?;
        }
        Named::ForImport => {
            site.refuses(&alice, &system, "not-vouched-for", &[&hello, "name-excluded"])?;
        }
        Named::AsHostKey => {
            bed.server.write("/etc/nix/host.secret", &alice.host.read("/root/vendor-2.secret")?)?;
            let settings = site.settings()?;
            bed.server.configure(&format!("{settings}secret-key-files = /etc/nix/host.secret\n"))?;
            // For Nix it is as good as any.
            bed.server
                .run_as("bob", &format!("nix store verify --no-contents --sigs-needed 1 {hello}"))?
                .ok()?;
            site.refuses(&alice, &system, "not-vouched-for", &[&hello])?;
        }
    }
    Ok(Outcome::Passed)
}

/// A site whose server trusts a vendor's key for import; Alice with these limits; the key.
fn vendors<'a>(bed: &'a Bed, options: &str) -> Result<(Site<'a>, Person<'a>, String)> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice", options)?;
    let public = key(alice.host, "root", "vendor-2")?;
    bed.server.configure(&format!("{}trusted-public-keys = {public}\n", site.settings()?))?;
    Ok((site, alice, public))
}

/// A vendor has test systems, with all that they need, and signs them. One of them is good if Alice says so.
fn vendors_system(bed: &Bed) -> Result<Outcome> {
    let (site, alice, public) = vendors(bed, super::activation::VOUCHING)?;
    let system = System::build(alice.host, "mallory", &version(), "")?;
    alice.host.root(&format!("nix store sign -k /root/vendor-2.secret --recursive {}", system.top))?;
    copy_closure(alice.host, "mallory", &bed.server, &system.top)?.ok()?;
    let mallory = site.mallory()?;
    for closure_signature in ["required", "optional"] {
        let rules = format!("vendors = [\"{public}\"]\nclosure-signature = \"{closure_signature}\"\n");
        site.govern(&rules)?;
        let code =
            if closure_signature == "required" { "closure-signature-missing" } else { "not-vouched-for" };
        let text = site.refuses(&mallory, &system, code, &[&system.top])?;
        if text.contains(system.part("sudo-1.9.17")?) {
            bail!("the vendor's paths are left over:\n{text}");
        }
    }
    alice.delivers(&system.top, "")?;
    site.activates(&mallory, &system)?;
    Ok(Outcome::Passed)
}

/// Alice signs each path, or all but one, with stock Nix, and nothing else.
fn per_path(bed: &Bed, all: bool, optional: bool) -> Result<Outcome> {
    let site = Site::new(bed, if optional { "closure-signature = \"optional\"\n" } else { "" })?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    let unit = system.part("unit-web.service")?;
    let hers: Vec<&str> =
        system.paths.iter().map(String::as_str).filter(|path| all || *path != unit).collect();
    alice.does(&format!("nix store sign -k {} {}", alice.key, hers.join(" ")))?.ok()?;
    mallory.does(&format!("nix store sign -k {} {unit}", mallory.key))?.ok()?;
    copy_closure(alice.host, alice.name, &bed.server, &system.top)?.ok()?;
    if !optional {
        site.refuses(&alice, &system, "closure-signature-missing", &[])?;
    } else if all {
        site.activates(&alice, &system)?;
    } else {
        let text = site.refuses(&alice, &system, "not-vouched-for", &[unit, "mallory"])?;
        if text.contains(system.part("etc")?) {
            bail!("more is left over than the path that Alice did not sign:\n{text}");
        }
    }
    Ok(Outcome::Passed)
}

/// Somebody who was root, or a disk, changed a file of the system.
fn on_disk(bed: &Bed, changed: bool, read: bool) -> Result<Outcome> {
    let rules = if read { "verify-contents = \"always\"\n" } else { "verify-contents = \"never\"\n" };
    let site = Site::new(bed, rules)?;
    let alice = site.alice()?;
    let system = System::build(alice.host, alice.name, &version(), "")?;
    alice.delivers(&system.top, "")?;
    let sudo = system.part("sudo-1.9.17")?;
    if changed {
        bed.server.root(&format!(
            "chmod u+w {sudo}/bin/sudo; echo changed > {sudo}/bin/sudo; chmod 444 {sudo}/bin/sudo"
        ))?;
    }
    if changed && read {
        site.refuses(&alice, &system, "contents-differ", &[sudo])?;
        let output = alice.deploys(&system.top, "--repair")?.ok()?;
        says(&output, &[sudo])?;
        site.is_active(&system)?;
    } else {
        site.activates(&alice, &system)?;
    }
    Ok(Outcome::Passed)
}
