//! What people and programs are told: the answer as JSON, what changes, and what a clock has to do with it.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    activation::{Site, is_refusal},
    activation_attacks::plant,
    activation_host::delivered,
    policy,
    systems::{System, activated, doctored, version},
    tools::{build, key, says},
};
use crate::{bed::Bed, clock};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/answer-for-programs", run: answer },
    Case { name: "activation/diff-shows-what-becomes-a-persons", run: |bed| diff(bed, false) },
    Case { name: "activation/diff-shows-nothing-where-it-stays-a-vendors", run: |bed| diff(bed, true) },
    Case { name: "activation/clock-that-is-right-is-accepted", run: |bed| at(bed, "+0", "", None) },
    Case {
        name: "activation/clock-after-the-statements-end-is-refused",
        run: |bed| at(bed, "+8d", "", Some("statement-expired")),
    },
    Case {
        name: "activation/clock-before-the-statements-end-is-accepted",
        run: |bed| at(bed, "+6d", "", None),
    },
    Case {
        name: "activation/clock-at-1970-is-refused",
        run: |bed| at(bed, "@1970-01-02 00:00:00", "", Some("not-yet-valid")),
    },
    Case {
        name: "activation/clock-at-1970-as-a-lower-bound-is-accepted",
        run: |bed| at(bed, "@1970-01-02 00:00:00", "clock = \"lower-bound\"\n", None),
    },
];

/// `check-closure --json`, by anybody.
fn answer(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    let sudo = system.part("sudo-1.9.17")?;
    plant(bed, &mallory, &doctored(alice.host, sudo, "echo doctored > bin/sudo")?)?;
    alice.delivers(&system.top, "")?;
    let ask = |line: &str, query: &str| {
        let command = format!(
            "nixcert check-closure {line} {} > answer.json; echo $?; jq -e '{query}' answer.json",
            system.top
        );
        bed.server.run_as("bob", &command)?.ok()
    };
    let refused = format!(
        ".accepted == false and .reason == \"not-vouched-for\" and .paths == {} and .left_over_count == 1 and \
         .left_over[0].path == \"{sudo}\" and (.left_over[0] | tostring | contains(\"mallory\")) and \
         (.left_over[0].registered_at | fromdate) > 0 and .closure_signatures[0].label == \"alice\" and \
         .closure_signatures[0].covers == false",
        system.paths.len()
    );
    for options in ["--json", "--json --explain"] {
        says(&ask(options, &refused)?, &["1\n", "true"])?;
    }
    alice.deploys(&system.top, "--repair")?.ok()?;
    let accepted = ".accepted and .reason == null and .left_over == [] and .signers == [\"alice\"]";
    says(&ask("--json", accepted)?, &["0\n", "true"])?;
    Ok(Outcome::Passed)
}

/// The server runs a system with a vendor's package; in the next one, it is the vendor's newer one, or Alice's own.
fn diff(bed: &Bed, stays: bool) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let host = alice.host;
    let public = key(host, "root", "vendor-2")?;
    bed.server.configure(&format!("{}trusted-public-keys = {public}\n", site.settings()?))?;
    let mut systems = Vec::new();
    for (name, by_vendor) in [("openssl-3.0", true), ("openssl-3.1", stays)] {
        let package = build(host, alice.name, name)?;
        if by_vendor {
            host.root(&format!("nix store sign -k /root/vendor-2.secret {package}"))?;
        }
        systems.push(System::build(host, alice.name, "diff", &format!("--argstr vendor {package}"))?);
    }
    let [old, new] = systems.as_slice() else { bail!("not two systems") };
    let vendor = format!("--vendor '{public}'");
    alice.delivers(&old.top, &vendor)?;
    site.activates(&alice, old)?;
    alice.signs(&new.top, &vendor)?.ok()?;
    let query = "[.vendor_to_person[] | tostring | select(contains(\"openssl\"))] | length";
    let line = format!("nixcert closure diff {vendor} alice@server {} --json | jq '{query}'", new.top);
    let count = alice.does(&line)?.ok()?;
    if count.trim() != if stays { "0" } else { "1" } {
        bail!("so many packages of vendors became somebody's: {count}");
    }
    let text = alice.does(&format!("nixcert closure diff {vendor} alice@server {}", new.top))?.ok()?;
    says(&text, &["openssl", "3.0", "3.1"])?;
    Ok(Outcome::Passed)
}

/// The gate's own clock is another one than the machine's. (Root runs it, since sudo would pass on no such thing.)
fn at(bed: &Bed, time: &str, rules: &str, refusal: Option<&str>) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let (_, system) = delivered(&site, "")?;
    let policy = site.policy("").replace("version = 1\n", &format!("version = 1\n{rules}"));
    policy::replace(server, &policy)?;
    server.set_clock(time)?;
    activated(server)?;
    let clock = clock::ENVIRONMENT.join(" ");
    let output = server.run_as("root", &format!("{clock} nixcert activate {} switch", system.top))?;
    match refusal {
        None => {
            output.ok()?;
            site.is_active(&system)?;
        }
        Some(code) => {
            is_refusal(&output, &system.top, code)?;
            if !activated(server)?.is_empty() {
                bail!("it was activated all the same: {}", output.text);
            }
        }
    }
    Ok(Outcome::Passed)
}
