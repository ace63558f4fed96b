//! `nixcert inspect`: show what something is.

use crate::error::{Error, Result};
use std::path::PathBuf;

/// Show a request, certificate, key, signature, narinfo or CA
#[derive(clap::Args)]
pub(crate) struct InspectArgs {
    /// What to show
    what: PathBuf,
}

pub(crate) fn run(args: InspectArgs) -> Result {
    Err(Error::new(format!("not yet: {}", args.what.display())))
}
