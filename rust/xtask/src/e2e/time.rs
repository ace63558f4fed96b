//! Clocks that are wrong: the server's daemon goes by another clock than the machine.

use anyhow::Result;

use super::{
    Case, Outcome,
    attacks::fresh,
    forge::{Key, signed_by},
    pki::EVERYTHING,
    policy::{ALL_NAMES, acme, alice, connect, replace, settings},
    tools::{offer, says},
};
use crate::{bed::Bed, host::Clock};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "clock/right-is-accepted", run: |bed| judged(bed, NOW, "", CURRENT, None) },
    Case {
        name: "clock/1970-is-refused",
        run: |bed| {
            let words = ["judged at 1970-01-02T", "this host's clock"];
            judged(bed, DEAD, "", CURRENT, Some(("not-yet-valid", &words)))
        },
    },
    Case {
        name: "clock/1970-as-a-lower-bound-is-accepted",
        run: |bed| judged(bed, DEAD, LOWER_BOUND, CURRENT, None),
    },
    Case {
        name: "clock/1970-revives-what-expired-if-nothing-is-known-of-the-time",
        run: |bed| judged(bed, DEAD, LOWER_BOUND, ENDED, None),
    },
    Case {
        name: "clock/1970-does-not-revive-what-expired-before-the-earliest-time",
        run: |bed| {
            let words = ["before which it cannot be", "its clock says 1970-01-02T"];
            judged(bed, DEAD, &format!("{LOWER_BOUND}{HOUR_AGO}"), ENDED, Some(("expired", &words)))
        },
    },
    Case {
        name: "clock/1970-with-an-earliest-time-is-accepted",
        run: |bed| judged(bed, DEAD, HOUR_AGO, CURRENT, None),
    },
    Case {
        name: "clock/1970-and-renewed-since-the-earliest-time-is-refused",
        run: |bed| {
            let words = ["before which it cannot be", "its clock says 1970-01-02T", "this host's clock"];
            judged(bed, DEAD, WEEK_AGO, RENEWED_YESTERDAY, Some(("not-yet-valid", &words)))
        },
    },
    Case {
        name: "clock/1970-as-a-lower-bound-and-renewed-yesterday-is-accepted",
        run: |bed| judged(bed, DEAD, &format!("{LOWER_BOUND}{WEEK_AGO}"), RENEWED_YESTERDAY, None),
    },
    Case {
        name: "clock/2100-is-refused",
        run: |bed| {
            let words = ["judged at 2100-01-01T", "check this host's clock"];
            judged(bed, "@2100-01-01 00:00:00", "", CURRENT, Some(("expired", &words)))
        },
    },
    Case {
        name: "clock/2100-as-a-lower-bound-is-refused",
        run: |bed| judged(bed, "@2100-01-01 00:00:00", LOWER_BOUND, CURRENT, Some(("expired", &[]))),
    },
    Case { name: "clock/stepping-back-while-connected-revives", run: |bed| stepping_back(bed, "", None) },
    Case {
        name: "clock/stepping-back-while-connected-does-not-pass-the-earliest-time",
        run: |bed| stepping_back(bed, HOUR_AGO, Some("expired")),
    },
    Case { name: "clock/stepping-out-of-the-validity-and-in-again", run: stepping_out_and_in },
];

const NOW: &str = "+0";
const DEAD: &str = "@1970-01-02 00:00:00";
const LOWER_BOUND: &str = "clock = \"lower-bound\"\n";
/// Filled in by [`policy`].
const HOUR_AGO: &str = "earliest-time = \"-1 hour\"\n";
const WEEK_AGO: &str = "earliest-time = \"-7 days\"\n";

const CURRENT: &str = "--not-before=-2d --valid 30d";
const ENDED: &str = "--allow-expired --not-before=-3d --valid 2d";
const RENEWED_YESTERDAY: &str = "--not-before=-1d --valid 30d";

/// A policy with these rules at the top, and spans of time made into times.
fn policy(bed: &Bed, rules: &str) -> Result<String> {
    let mut rules = rules.to_owned();
    for span in ["-1 hour", "-7 days"] {
        let time = bed.server.root(&format!("date -u -d '{span}' +%FT%TZ"))?;
        rules = rules.replace(span, time.trim());
    }
    Ok(acme(ALL_NAMES).replace("version = 1\n", &format!("version = 1\n{rules}")))
}

/// The server has this clock, and these rules.
fn govern(bed: &Bed, clock: &str, rules: &str) -> Result<()> {
    bed.server.set_clock(clock)?;
    bed.server.configure_with(&settings(bed)?, Clock::Host)?;
    replace(&bed.server, &policy(bed, rules)?)
}

fn judged(
    bed: &Bed,
    clock: &str,
    rules: &str,
    validity: &str,
    refusal: Option<(&str, &[&str])>,
) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let alice = alice(bed, &format!("{EVERYTHING} {validity}"))?;
    govern(bed, clock, rules)?;
    let said = offer(&mut connect(bed)?, &hello(&alice), refusal.map(|(reason, _)| reason))?;
    says(&said, refusal.map_or(&[], |(_, words)| words))?;
    Ok(Outcome::Passed)
}

fn hello(key: &Key) -> super::wire::Parcel {
    signed_by(&[key], &fresh("hello-1"), b"hello")
}

/// The clock falls back to a time at which the certificate had not expired.
fn stepping_back(bed: &Bed, rules: &str, reason: Option<&str>) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let alice = alice(bed, &format!("{EVERYTHING} {ENDED}"))?;
    govern(bed, NOW, rules)?;
    let mut client = connect(bed)?;
    offer(&mut client, &hello(&alice), Some("expired"))?;
    bed.server.set_clock("-2d")?;
    offer(&mut client, &hello(&alice), reason)?;
    Ok(Outcome::Passed)
}

fn stepping_out_and_in(bed: &Bed) -> Result<Outcome> {
    if let Err(reason) = bed.clock()? {
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    let alice = alice(bed, &format!("{EVERYTHING} {CURRENT}"))?;
    govern(bed, NOW, "")?;
    let mut client = connect(bed)?;
    for (clock, reason) in
        [(NOW, None), ("-3d", Some("not-yet-valid")), (NOW, None), ("+31d", Some("expired")), (NOW, None)]
    {
        bed.server.set_clock(clock)?;
        offer(&mut client, &hello(&alice), reason)?;
    }
    Ok(Outcome::Passed)
}
