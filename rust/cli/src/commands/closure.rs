//! `nixcert closure`: vouching for a system, and bringing that to where it is asked for.

mod cosign;
mod diff;
mod grounds;
pub(crate) mod held;
pub(crate) mod push;
mod show;
pub(crate) mod sign;
pub(crate) mod signer;
pub(crate) mod statements;
pub(crate) mod vendors;

use crate::error::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum ClosureCommand {
    Sign(Box<sign::SignArgs>),
    Show(show::ShowArgs),
    Push(push::PushArgs),
    Diff(diff::DiffArgs),
}

pub(crate) fn run(command: ClosureCommand) -> Result {
    match command {
        ClosureCommand::Sign(args) => sign::run(&args),
        ClosureCommand::Show(args) => show::run(&args),
        ClosureCommand::Push(args) => push::run(&args),
        ClosureCommand::Diff(args) => diff::run(&args),
    }
}
