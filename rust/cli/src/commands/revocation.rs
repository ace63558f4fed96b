//! `nixcert revocation` (being written).
use crate::error::{Answer, Result};

#[derive(clap::Subcommand)]
pub(crate) enum RevocationCommand {
    /// (being written)
    Show,
}

pub(crate) fn run(_: RevocationCommand) -> Result {
    Ok(Answer::CouldNotTell)
}
