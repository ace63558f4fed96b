//! `nixcert policy`: explain a host's policy, and try it out.

mod cases;
mod check;
mod words;

use crate::error::Result;

#[derive(clap::Subcommand)]
pub(crate) enum PolicyCommand {
    Check(check::CheckArgs),
    Test(cases::TestArgs),
}

pub(crate) fn run(command: PolicyCommand) -> Result {
    match command {
        PolicyCommand::Check(args) => check::run(&args),
        PolicyCommand::Test(args) => cases::run(&args),
    }
}
