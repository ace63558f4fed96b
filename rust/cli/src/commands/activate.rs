//! `nixcert activate`: the activation gate, and what is behind it.

pub(crate) mod steps;

use crate::caller::Caller;
use crate::error::{Answer, Result};
use crate::gate;
use crate::trust::{Activating, NIX_CONF};
use std::path::Path;
use steps::{Action, Job};

/// Make a path this host's system, if those who count vouch for all of it
///
/// For root; people reach it by a sudo rule, since there is no option that would change whom this host trusts. Keeps the path
/// from being collected, asks the gate as 'nixcert check-closure' does, and only then writes down who vouched, sets the system
/// profile (for switch and boot), and runs the path's own bin/switch-to-configuration. Nothing of the path is run before.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  sudo nixcert activate /nix/store/…-nixos-system-web-1
  sudo nixcert activate \"$(readlink -f result)\" test

The sudo rule (%wheel may activate what the gate admits, without a password):
  %wheel ALL=(root) NOPASSWD: /run/current-system/sw/bin/nixcert activate *

Exit status: 0 it is activated; 1 it was refused, for the reason given, and nothing was changed;
2 it could not be told, or it failed on the way: the output says how far it came.")]
pub(crate) struct ActivateArgs {
    /// The top-level path itself, such as /nix/store/…-nixos-system-web-1
    path: String,
    /// What to do, as switch-to-configuration has it
    #[arg(value_enum, default_value_t = Action::Switch)]
    action: Action,
}

pub(crate) fn run(args: &ActivateArgs) -> Result {
    let caller = Caller::of_root("activate")?;
    let path = gate::store_path(&args.path)?;
    let host = Activating::on_host(Path::new(NIX_CONF))?;
    let job = Job::new(path, args.action, caller, host, None)?;
    let verdict = job.ask()?;
    match &verdict.outcome {
        Ok(leave) => {
            job.tell(&verdict)?;
            job.carry_out("activate", &verdict, Some(leave))
        }
        Err(_) => {
            // Also if nobody reads the answer.
            job.log("refuse", &verdict, None)?;
            job.tell(&verdict)?;
            Ok(Answer::No)
        }
    }
}
