//! `nixcert completions` and `nixcert man`: what distributors install.

use crate::Cli;
use crate::error::{Answer, Error, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io;
use std::path::PathBuf;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_help = "Example:\n  nixcert completions bash > /etc/bash_completion.d/nixcert")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Write the manual pages into a directory
#[derive(clap::Args)]
#[command(after_help = "Example:\n  nixcert man /usr/share/man/man1")]
pub(crate) struct ManArgs {
    /// The directory; it must be there
    directory: PathBuf,
}

pub(crate) fn completions(args: CompletionsArgs) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nixcert", &mut script);
    io::Write::write_all(&mut io::stdout().lock(), &script)?;
    Ok(Answer::Yes)
}

pub(crate) fn man(args: ManArgs) -> Result {
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(|error| {
        Error::new(format!(
            "cannot write into '{}': {}",
            args.directory.display(),
            nixcert_files::said(&error)
        ))
        .help("name a directory that is there and that you may write to")
    })?;
    Ok(Answer::Yes)
}
