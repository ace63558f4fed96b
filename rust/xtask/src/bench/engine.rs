//! The criterion benchmarks of the engine.

use std::{collections::HashMap, fs, process::Command};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::{Measured, Ratio};
use crate::products;

/// The benchmarks, by package and name.
const BENCHES: [(&str, &str); 2] = [("nixcert-ffi", "engine"), ("nixcert-host", "large")];

/// How often all of them run, one after the other. A machine that others use, too, is slower at times: what counts is the round in
/// which each was fastest.
const ROUNDS: usize = 3;

/// How long each is tried in a round, in seconds, if that is time for its samples.
const ARGUMENTS: [&str; 4] = ["--warm-up-time", "1", "--measurement-time", "3"];

/// A line of the table.
struct Line {
    what: &'static str,
    /// Where criterion keeps it: group and function.
    measured: &'static str,
    /// What it is compared with, in words, and where that is kept.
    rival: Option<(&'static str, &'static str)>,
    /// The ratio that it should not exceed.
    aim: Option<f64>,
}

const LIBSODIUM: Option<(&str, &str)> = Some(("libsodium, base64", "one path/rival"));
const JUNK: Option<(&str, &str)> = Some(("10,000 libsodium checks", "junk/rival"));

const TABLE: [Line; 10] = [
    Line {
        what: "judge one path: plain key",
        measured: "one path/plain key",
        rival: LIBSODIUM,
        aim: Some(0.8),
    },
    Line {
        what: "judge one path: certificate, seen before",
        measured: "one path/certificate, chain seen before",
        rival: LIBSODIUM,
        aim: Some(0.85),
    },
    Line {
        what: "judge one path: certificate, never seen",
        measured: "one path/certificate, never seen",
        rival: LIBSODIUM,
        aim: None,
    },
    Line {
        what: "judge one path: chain of two, never seen",
        measured: "one path/chain of two certificates, never seen",
        rival: LIBSODIUM,
        aim: Some(2.5),
    },
    Line {
        what: "10,000 junk signatures and a good one: as many certificates",
        measured: "junk/certificates, all different",
        rival: JUNK,
        aim: Some(1.0),
    },
    Line {
        what: "10,000 junk signatures and a good one: one certificate",
        measured: "junk/one certificate",
        rival: JUNK,
        aim: Some(1.0),
    },
    Line {
        what: "revocation: 1,000 look-ups among 1,000,000 serials",
        measured: "look up/list",
        rival: Some(("HashSet<u64>", "look up/rival")),
        aim: Some(1.0),
    },
    Line {
        what: "revocation: load such a list (11 MB)",
        measured: "load/list of 1,000,000 serial numbers",
        rival: Some(("SHA-512 of it, as its signature needs", "load/rival")),
        aim: Some(2.0),
    },
    Line {
        what: "revocation: load such a list (11 MB)",
        measured: "load/list of 1,000,000 serial numbers",
        rival: Some(("reading the file from memory", "load/read")),
        aim: None,
    },
    Line {
        what: "parse a certificate of 173 bytes",
        measured: "parse a certificate/bytes/173",
        rival: None,
        aim: None,
    },
];

/// Runs them.
pub(super) fn run() -> Result<Measured> {
    let mut fastest = HashMap::new();
    for _ in 0..ROUNDS {
        for (package, name) in BENCHES {
            bench(package, name)?;
        }
        for place in
            TABLE.iter().flat_map(|line| [Some(line.measured), line.rival.map(|(_, place)| place)]).flatten()
        {
            let time = median(place)?;
            fastest.entry(place).and_modify(|known: &mut f64| *known = known.min(time)).or_insert(time);
        }
    }
    let time = |place| fastest.get(place).copied().context("nothing was measured");
    let line = |line: &Line| {
        let rival = match line.rival {
            Some((name, place)) => Some((name, time(place)?)),
            None => None,
        };
        Ok(Ratio { what: line.what.to_owned(), time: time(line.measured)?, rival, aim: line.aim })
    };
    Ok(Measured { ratios: TABLE.iter().map(line).collect::<Result<_>>()?, notes: vec![] })
}

fn bench(package: &str, name: &str) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(products::clone()?)
        .args(["bench", "--locked", "--package", package, "--bench", name, "--"])
        .args(ARGUMENTS)
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the benchmark {name} of {package} failed");
    }
    Ok(())
}

/// The median of what criterion measured last, in seconds.
fn median(place: &str) -> Result<f64> {
    #[derive(Deserialize)]
    struct Estimates {
        median: Estimate,
    }
    #[derive(Deserialize)]
    struct Estimate {
        point_estimate: f64,
    }
    let file = products::target_directory()?.join("criterion").join(place).join("new/estimates.json");
    let text =
        fs::read_to_string(&file).with_context(|| format!("criterion left nothing in {}", file.display()))?;
    Ok(serde_json::from_str::<Estimates>(&text)?.median.point_estimate / 1e9)
}
