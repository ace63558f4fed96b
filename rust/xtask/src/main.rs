//! The test bed and the chores: `cargo xtask demo`, `cargo xtask test`.

mod bed;
mod bench;
mod cache;
mod clock;
mod demo;
#[cfg(test)]
mod docs;
mod e2e;
mod fuzz;
mod host;
mod isolate;
mod leftovers;
mod network;
mod nix_build;
mod nix_source;
mod nixos;
mod patches;
mod plugin;
mod prerequisites;
mod products;
mod report;
mod roots;
mod supported;
mod tally;
mod upstream;
mod workspace;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::{
    bed::Seam,
    cache::{Cache, WhenBusy},
    e2e::Selection,
    nix_source::Nix,
    products::Profile,
    report::bad,
    tally::Tally,
};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The test bed of nixcert, and its chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Tell the story: a normal user copies her certified build, and everyone else is refused (needs root on Debian)
    Demo {
        #[command(flatten)]
        bed: BedArguments,
    },
    /// Run every test, from units to end to end on real daemons (needs root on Debian)
    Test {
        /// Only the end-to-end cases whose names contain this, or one of several texts with commas between them; "upstream",
        /// "leftovers" and "nixos/" are names, too
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Test with the Nix in this directory instead of Debian 13's: a clone of its repository, at any supported version
        #[arg(long, value_name = "DIRECTORY")]
        nix_source: Option<PathBuf>,
        /// With --only: run the cases with Nix as it is and the plugin, instead of the patches
        #[arg(long, requires = "only")]
        plugin: bool,
        /// Run only the end-to-end cases of the import gate (or with --only, those), with a Nix and a library that
        /// AddressSanitizer and UndefinedBehaviorSanitizer watch; what these find is a failure
        #[arg(long, conflicts_with = "plugin")]
        sanitize: bool,
        #[command(flatten)]
        bed: BedArguments,
    },
    /// The patch series: which there are, and whether one fits and works
    Patches {
        #[command(subcommand)]
        what: PatchesChore,
    },
    /// Measure, and print one table of ratios: everything (needs root on Debian), or a part
    Bench {
        what: Option<Benchmark>,
        #[command(flatten)]
        bed: BedArguments,
    },
    /// Look for an input on which nixcert does not do what it must on any, and keep it; no root is needed
    Fuzz {
        /// Only this target
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// For how long each: 90s, 5m or 2h
        #[arg(long, default_value = "60s", value_parser = fuzz::time)]
        time: Duration,
    },
    /// Boot a host and end in some way, for the test that nothing is left behind
    #[command(hide = true)]
    Trial {
        /// success, failure, or wait
        how: String,
    },
    /// Compile the library, and install it with its header and pkg-config file
    Install {
        /// Where to: gets include/nixcert.hh, lib/libnixcert.a and lib/pkgconfig/nixcert.pc
        #[arg(long, value_name = "DIRECTORY")]
        prefix: PathBuf,
    },
}

#[derive(Subcommand)]
enum PatchesChore {
    /// List the releases of Nix that have a series
    List,
    /// Say which series fits a source tree of Nix; build it with that series, and run what tests Nix (needs root on Debian)
    Check {
        /// A clone of Nix's repository, or another source tree; it is not changed
        #[arg(long, value_name = "DIRECTORY")]
        nix_source: PathBuf,
        /// Say which series fits, and build nothing
        #[arg(long)]
        fit_only: bool,
        #[command(flatten)]
        bed: BedArguments,
    },
    /// Run all of upstream's tests on Nix as it is and with the patches, and compare (needs root on Debian)
    Compare {
        /// Compare with the Nix in this directory instead of Debian 13's
        #[arg(long, value_name = "DIRECTORY")]
        nix_source: Option<PathBuf>,
        #[command(flatten)]
        bed: BedArguments,
    },
}

#[derive(clap::ValueEnum, Clone, Copy)]
enum Benchmark {
    /// The engine beside libsodium: one path, junk, revocation lists (needs Debian's libsodium23)
    Engine,
    /// `nixcert check-closure` beside `nix store verify` (needs root on Debian)
    Closure,
    /// Nix with the patches beside the same without, both compiled for it: copies, starts, sizes (needs root on Debian)
    Daemon,
}

#[derive(clap::Args, Clone, Copy)]
struct BedArguments {
    /// Refuse at once if another run is using the test bed, instead of waiting for it
    #[arg(long)]
    no_wait: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {}", bad("error:"), report::sentence(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(chore: &Chore) -> Result<ExitCode> {
    match chore {
        Chore::Demo { bed } => {
            in_the_bed(*bed, |cache, scratch| demo::run(cache, scratch).map(|()| ExitCode::SUCCESS))
        }
        Chore::Test { only, nix_source, plugin, sanitize, bed } => in_the_bed(*bed, |cache, scratch| {
            let nix = nix(cache, scratch, nix_source.as_deref())?;
            let mut tally = Tally::default();
            if *sanitize {
                let selection = only.as_deref().map_or(Selection::ImportGate, Selection::Named);
                e2e::run(cache, scratch, &nix, Seam::Sanitized, selection, &mut tally)?;
                if tally.is_empty() {
                    bail!("no test's name contains that");
                }
                return Ok(tally.report());
            }
            let wanted = |name: &str| {
                only.as_deref().is_none_or(|texts| texts.split(',').any(|text| name.contains(text)))
            };
            if only.is_none() {
                workspace::run(cache, &mut tally)?;
            }
            if wanted("leftovers") {
                leftovers::run(cache, &mut tally)?;
            }
            if only.as_deref().is_none_or(|only| only.contains("nixos/")) {
                nixos::run(cache, scratch, &nix, &wanted, &mut tally)?;
            }
            match only.as_deref() {
                None => patches::test(cache, scratch, &nix, &mut tally)?,
                Some(only) => {
                    if wanted("upstream") && !plugin {
                        upstream::run(cache, scratch, &nix, &mut tally)?;
                    }
                    let seam = if *plugin { Seam::Plugin } else { Seam::Patches };
                    e2e::run(cache, scratch, &nix, seam, Selection::Named(only), &mut tally)?;
                }
            }
            if tally.is_empty() {
                bail!("no test's name contains that");
            }
            Ok(tally.report())
        }),
        Chore::Patches { what: PatchesChore::List } => patches::list().map(|()| ExitCode::SUCCESS),
        Chore::Patches { what: PatchesChore::Check { nix_source, fit_only, bed } } => {
            in_the_bed(*bed, |cache, scratch| {
                let Some(nix) = patches::fit(cache, scratch, nix_source)? else {
                    return Ok(ExitCode::FAILURE);
                };
                if *fit_only {
                    return Ok(ExitCode::SUCCESS);
                }
                let mut tally = Tally::default();
                patches::test(cache, scratch, &nix, &mut tally)?;
                Ok(tally.report())
            })
        }
        Chore::Patches { what: PatchesChore::Compare { nix_source, bed } } => {
            in_the_bed(*bed, |cache, scratch| {
                let nix = nix(cache, scratch, nix_source.as_deref())?;
                Ok(upstream::compare(cache, scratch, &nix)?.report())
            })
        }
        Chore::Bench { what: Some(Benchmark::Engine), .. } => bench::engine().map(|()| ExitCode::SUCCESS),
        Chore::Bench { what, bed } => in_the_bed(*bed, |cache, scratch| {
            match what {
                Some(Benchmark::Closure) => bench::closure(cache, scratch)?,
                Some(Benchmark::Daemon) => bench::daemon(cache, scratch)?,
                Some(Benchmark::Engine) | None => bench::all(cache, scratch)?,
            }
            Ok(ExitCode::SUCCESS)
        }),
        Chore::Fuzz { target, time } => fuzz::run(target.as_deref(), *time),
        Chore::Trial { how } => {
            if std::env::var_os(leftovers::TRIAL).is_none() {
                bail!("this is for the test bed itself");
            }
            let cache = Cache::open()?;
            match isolate::scratch()? {
                Some(scratch) => leftovers::trial(&cache, &scratch, how).map(|()| ExitCode::SUCCESS),
                None => isolate::run_again_inside(&cache.place("scratch-trial")?),
            }
        }
        Chore::Install { prefix } => {
            products::install(&Cache::open()?.log("install")?, Profile::Release, prefix)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The Nix in this directory, else Debian 13's.
fn nix(cache: &Cache, scratch: &Path, directory: Option<&Path>) -> Result<Nix> {
    match directory {
        Some(directory) => Nix::in_directory(cache, scratch, directory),
        None => Nix::debian(),
    }
}

/// Does something inside the test bed's namespaces: first, outside of them, the machine is checked and the cache
/// taken; then this program runs again inside, and comes here a second time.
fn in_the_bed(
    arguments: BedArguments,
    inside: impl FnOnce(&Cache, &Path) -> Result<ExitCode>,
) -> Result<ExitCode> {
    let cache = Cache::open()?;
    if let Some(scratch) = isolate::scratch()? {
        return inside(&cache, &scratch);
    }
    prerequisites::meet(&cache)?;
    let lock = cache.lock(if arguments.no_wait { WhenBusy::Refuse } else { WhenBusy::Wait })?;
    cache.remove_partial(&lock)?;
    let code = isolate::run_again_inside(&cache.place("scratch")?);
    cache.remove_partial(&lock)?;
    code
}
