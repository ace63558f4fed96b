//! `nixcert override`: past the gate, by root with full rights.

use super::activate::steps::{Action, Job};
use crate::caller::Caller;
use crate::error::{Error, Result};
use crate::gate;
use crate::output::printable;
use crate::trust::{Activating, NIX_CONF};
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Activate a path that the gate refuses
///
/// For the day on which nobody who counts can sign. Says what the gate has against it, asks, and writes down who did it and
/// why. What is activated so is vouched for by nobody, now or later: the next deployment must vouch for all of it. Who may run
/// this by sudo is root: no sudo rule should name it.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  nixcert override /nix/store/…-nixos-system-web-1 switch --reason 'the CA burned down, see ticket 17'

Exit status: 0 it is activated; 1 declined; 2 it failed, or the gate has nothing against it.")]
pub(crate) struct OverrideArgs {
    /// The top-level path itself
    path: String,
    /// What to do, as switch-to-configuration has it
    #[arg(value_enum)]
    action: Action,
    /// Why, for the logs
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(crate) fn run(args: &OverrideArgs) -> Result {
    let caller = Caller::of_root("override")?;
    let path = gate::store_path(&args.path)?;
    let host = Activating::on_host(Path::new(NIX_CONF))?;
    let job = Job::new(path, args.action, caller, host, Some(args.reason.clone()))?;
    let verdict = job.ask()?;
    if verdict.outcome.is_ok() {
        return Err(Error::new("the gate has nothing against it, so there is nothing to override")
            .help(format!("nixcert activate {} {}", args.path, args.action.name())));
    }
    job.tell(&verdict)?;
    confirm(args.yes)?;
    job.carry_out("override", &verdict, None)
}

/// A last look at what the gate says.
fn confirm(yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::new("nobody is there to ask whether it is to be activated all the same")
            .help("run it on a terminal, or say --yes; nothing was changed"));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "{}", printable("Activate it although nobody vouches for it? [y/N] "))?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::refused("declined; nothing was changed")),
    }
}
