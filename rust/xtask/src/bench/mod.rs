//! Benchmarks: each beside its rival, in one run, as one table of ratios.

mod closure;
mod daemon;
mod engine;

use std::path::Path;

use anyhow::{Context, Result};

use crate::{cache::Cache, host::Host, report::strong};

/// What was measured.
#[derive(Default)]
struct Measured {
    ratios: Vec<Ratio>,
    /// What is no ratio: sizes, versions.
    notes: Vec<String>,
}

/// A line of the table. Times are in seconds.
struct Ratio {
    what: String,
    time: f64,
    /// What it is compared with, and what that took.
    rival: Option<(&'static str, f64)>,
    /// The ratio that it should not exceed.
    aim: Option<f64>,
}

/// The engine alone, beside libsodium and the like; needs no host.
pub(crate) fn engine() -> Result<()> {
    engine::run()?.print();
    Ok(())
}

/// `nixcert check-closure` beside `nix store verify`, on a real host.
pub(crate) fn closure(cache: &Cache, scratch: &Path) -> Result<()> {
    closure::run(cache, scratch)?.print();
    Ok(())
}

/// Nix with the patches beside the same without, on two real hosts.
pub(crate) fn daemon(cache: &Cache, scratch: &Path) -> Result<()> {
    daemon::run(cache, scratch)?.print();
    Ok(())
}

/// All of these, in one table.
pub(crate) fn all(cache: &Cache, scratch: &Path) -> Result<()> {
    let mut all = Measured::default();
    for Measured { ratios, notes } in
        [engine::run()?, closure::run(cache, scratch)?, daemon::run(cache, scratch)?]
    {
        all.ratios.extend(ratios);
        all.notes.extend(notes);
    }
    all.print();
    Ok(())
}

impl Measured {
    fn print(&self) {
        println!();
        let header = format!("{:<60} {:>10}  {:<42} {:>6} {:>5}", "what", "time", "beside", "ratio", "aim");
        println!("{}", strong(&header));
        for Ratio { what, time, rival, aim } in &self.ratios {
            let (beside, ratio) = match rival {
                Some((beside, other)) => (*beside, format!("{:.2}", time / other)),
                None => ("", String::new()),
            };
            let aim = aim.map_or_else(String::new, |aim| format!("{aim:.2}"));
            println!("{what:<60} {:>10}  {beside:<42} {ratio:>6} {aim:>5}", in_units(*time));
        }
        for note in &self.notes {
            println!("{note}");
        }
    }
}

fn in_units(seconds: f64) -> String {
    match seconds {
        time if time < 1e-6 => format!("{:.0} ns", time * 1e9),
        time if time < 1e-3 => format!("{:.1} µs", time * 1e6),
        time => format!("{:.1} ms", time * 1e3),
    }
}

/// How long a command takes a user, so many times, which must succeed; and the most memory that it or one of its children had,
/// in KiB.
fn times(host: &Host, runs: usize, line: &str) -> Result<(Vec<f64>, u64)> {
    host.write("/tmp/measure.py", MEASURE.as_bytes())?;
    let output = host.run_as("alice", &format!("python3 /tmp/measure.py {runs} {line}"))?.ok()?;
    let (memory, times) = output
        .lines()
        .last()
        .and_then(|line| line.split_once(' '))
        .with_context(|| format!("no measure: {output}"))?;
    let times: Result<Vec<f64>, _> = times.split(' ').map(str::parse).collect();
    Ok((times?, memory.parse()?))
}

const MEASURE: &str = r#"
import resource, subprocess, sys, time
times = []
for _ in range(int(sys.argv[1])):
    begun = time.monotonic()
    done = subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    times.append(time.monotonic() - begun)
    if done.returncode != 0:
        sys.exit(done.stdout.decode()[:2000])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, *times)
"#;

fn median(mut times: Vec<f64>) -> Result<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("nothing was measured")
}
