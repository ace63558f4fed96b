//! `nixcert closure show`: who vouches for a system.

use super::held::{Held, resolve};
use super::statements::{self, Description};
use super::vendors::VendorArgs;
use crate::error::{Answer, Result};
use crate::nix::Nix;
use crate::output::{self, ACCEPTED, NOTE, REFUSED, SCHEMA, Table, printable};
use crate::time;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// Show the closure signatures on a path
///
/// Says of each who signed it, for which hosts, until when, and whether it is about the closure that is in this store. Whether
/// a host accepts it, that host says: nixcert check-closure.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert closure show ./result
  nixcert closure show /run/current-system --json | jq '.statements[].label'
  nixcert closure show --store ssh-ng://alice@web-1 /nix/store/…-nixos-system-web-1-25.11

Exit status: 0 shown; 1 there is none, or one that is damaged; 2 could not tell.")]
pub(crate) struct ShowArgs {
    /// The top-level path, or a link to it
    path: PathBuf,
    /// Another store than this machine's, as Nix's --store
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Call CAs as this nix.conf does [default: this machine's]
    #[arg(long, value_name = "FILE")]
    nix_conf: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    schema: u32,
    path: String,
    paths: u32,
    digest: String,
    statements: Vec<Description>,
    damaged: Vec<Damaged>,
}

#[derive(Serialize)]
struct Damaged {
    name: String,
    message: String,
}

pub(crate) fn run(args: &ShowArgs) -> Result {
    let top = resolve(&args.path)?;
    let known = VendorArgs::of_nix_conf(&args.nix_conf).load()?;
    let held = Held::read(&Nix::new(args.store.clone()), top)?;
    let all = statements::all(held.top_signatures(), &known.anchors);
    let good = all.iter().any(|one| one.is_ok());
    let damaged = all.iter().any(|one| one.is_err());
    if args.json {
        let damaged = all.iter().filter_map(|one| one.as_ref().err());
        output::json(&Shown {
            schema: SCHEMA,
            path: held.top.to_string(),
            paths: held.digest.paths,
            digest: statements::hex(&held.digest),
            statements: all.iter().filter_map(|one| Some(one.as_ref().ok()?.describe(Some(&held)))).collect(),
            damaged: damaged
                .map(|one| Damaged { name: one.name.clone(), message: one.problem.clone() })
                .collect(),
        })?;
    } else {
        write(&held, &all)?;
    }
    Ok(if good && !damaged { Answer::Yes } else { Answer::No })
}

fn write(held: &Held, all: &[std::result::Result<statements::Signed, statements::Unreadable>]) -> Result<()> {
    let now = time::now()?;
    let mut out = anstream::stdout().lock();
    if all.is_empty() {
        writeln!(out, "{}: no closure signature", printable(held.top.as_str()))?;
    }
    for one in all {
        match one {
            Ok(signed) => {
                writeln!(out, "Closure signature by {}", printable(&signed.signer_in_words()))?;
                let mut table = Table::default();
                statements::rows(&mut table, &signed.statement, now);
                table.write(&mut out)?;
                if signed.covers(held) {
                    writeln!(out, "{ACCEPTED}it is about the closure that is in this store{ACCEPTED:#}")?;
                } else {
                    writeln!(
                        out,
                        "{NOTE}it is about another closure than the one in this store ({} paths, digest {}){NOTE:#}",
                        held.digest.paths,
                        statements::hex(&held.digest)
                    )?;
                }
            }
            Err(damaged) => writeln!(
                out,
                "{REFUSED}damaged{REFUSED:#} closure signature {}: {}",
                printable(&damaged.name),
                printable(&damaged.problem)
            )?,
        }
    }
    Ok(())
}
