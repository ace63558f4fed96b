//! What `nixcert verify` and `nixcert why` say on the server, to anybody, is what its daemon does.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    attacks::fresh,
    forge::{Key, narinfo, signed_by},
    pki::{EVERYTHING, signer},
    policy::{ALL_NAMES, POLICY, acme, alice, bob, connect, govern, protecting, settings, threshold, vendor},
    revocation::Site,
    tools::{offer, says},
};
use crate::{bed::Bed, clock, host::Clock};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "agreement/accepted", run: |bed| of_alice(bed, &acme(ALL_NAMES), None) },
    Case {
        name: "agreement/name-not-permitted-by-policy",
        run: |bed| {
            let policy = acme("permitted-names = [\"sudo@\"]");
            of_alice(bed, &policy, Some("name-not-permitted-by-policy"))
        },
    },
    Case {
        name: "agreement/protected-name",
        run: |bed| of_alice(bed, &protecting("hello@"), Some("protected-name")),
    },
    Case {
        name: "agreement/broken-configuration",
        run: |bed| of_alice(bed, "version = 2", Some("broken-configuration")),
    },
    Case { name: "agreement/ca-not-in-policy", run: ca_not_in_policy },
    Case { name: "agreement/too-few-votes", run: |bed| votes(bed, false) },
    Case { name: "agreement/enough-votes", run: |bed| votes(bed, true) },
    Case { name: "agreement/plain-key-beside-a-broken-policy", run: plain_beside_broken },
    Case { name: "agreement/audit-mode", run: audit },
    Case { name: "agreement/retired", run: retired },
    Case { name: "agreement/expired-by-a-wrong-clock", run: wrong_clock },
];

/// The daemon, and the commands, as somebody who is nobody on the server. Gives what `verify` printed.
fn agree(bed: &Bed, keys: &[&Key], reason: Option<&str>, prefix: &str) -> Result<String> {
    let parcel = signed_by(keys, &fresh("hello-1"), b"hello");
    let said = offer(&mut connect(bed)?, &parcel, reason)?;
    let file = format!("/tmp/of-{}.narinfo", parcel.info.path.trim_start_matches("/nix/store/"));
    bed.server.write(&file, narinfo(&parcel).as_bytes())?;
    let verified = bed
        .server
        .run_as("bob", &format!("{prefix}nixcert verify --nix-conf /etc/nix/nix.conf --json {file}"))?;
    let explained = bed.server.run_as("bob", &format!("{prefix}nixcert why {file}"))?;
    if verified.success != reason.is_none() || explained.success != reason.is_none() {
        bail!("the daemon and the command do not agree: «{said}», «{}», «{}»", verified.text, explained.text);
    }
    match reason {
        None => says(&verified.text, &["\"accepted\":true"])?,
        Some(reason) => {
            says(&verified.text, &[&format!("\"accepted\":false,\"reason\":\"{reason}\"")])?;
            says(&explained.text, &[reason])?;
        }
    }
    Ok(verified.text)
}

fn of_alice(bed: &Bed, policy: &str, reason: Option<&str>) -> Result<Outcome> {
    govern(bed, policy)?;
    agree(bed, &[&alice(bed, EVERYTHING)?], reason, "").map(|_| Outcome::Passed)
}

fn ca_not_in_policy(bed: &Bed) -> Result<Outcome> {
    govern(bed, &acme(ALL_NAMES))?;
    let other = signer(&bed.workstation, "alice", "alice-1", "other-1", EVERYTHING)?;
    agree(bed, &[&other], Some("ca-not-in-policy"), "").map(|_| Outcome::Passed)
}

fn votes(bed: &Bed, both: bool) -> Result<Outcome> {
    govern(bed, &format!("{}{}", acme(ALL_NAMES), threshold("hello@", "")))?;
    let keys = [alice(bed, EVERYTHING)?, bob(bed, EVERYTHING)?];
    let (all, one) = (keys.each_ref(), [&keys[0]]);
    let (keys, reason) = if both { (&all[..], None) } else { (&one[..], Some("too-few-votes")) };
    agree(bed, keys, reason, "").map(|_| Outcome::Passed)
}

fn plain_beside_broken(bed: &Bed) -> Result<Outcome> {
    govern(bed, "version = 2")?;
    agree(bed, &[&vendor(), &alice(bed, EVERYTHING)?], None, "").map(|_| Outcome::Passed)
}

fn audit(bed: &Bed) -> Result<Outcome> {
    govern(bed, &acme("permitted-names = [\"sudo@\"]\naudit = [\"permitted-names\"]"))?;
    let verified = agree(bed, &[&alice(bed, EVERYTHING)?], None, "")?;
    says(&verified, &["\"audited\":[{", "name-not-permitted-by-policy"])?;
    Ok(Outcome::Passed)
}

fn retired(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    site.revoke("--label alice --retired")?;
    agree(bed, &[&alice], Some("retired"), "")?;
    agree(bed, &[&bob], None, "").map(|_| Outcome::Passed)
}

fn wrong_clock(bed: &Bed) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let alice = alice(bed, EVERYTHING)?;
    bed.server.set_clock("@2100-01-01 00:00:00")?;
    bed.server.configure_with(&settings(bed)?, Clock::Host)?;
    bed.server.replace(POLICY, acme(ALL_NAMES).as_bytes())?;
    let prefix = format!("env {} ", clock::ENVIRONMENT.join(" "));
    agree(bed, &[&alice], Some("expired"), &prefix).map(|_| Outcome::Passed)
}
