//! `nixcert key`: signing keys.

use crate::error::{Answer, Error, Result};
use crate::output::{self, Destination};
use nixcert_core::is_certificate_name;
use nixcert_files::Access;
use nixcert_issue::SecretKey;
use std::io::{self, Write};
use std::path::PathBuf;
use zeroize::Zeroizing;

#[derive(clap::Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a signing key, in the form of 'nix key generate-secret'
    ///
    /// The public half is printed. The secret half never leaves the file.
    #[command(after_help = "Example:\n  nixcert key generate --name alice-1 -o alice.key")]
    Generate(GenerateArgs),
}

#[derive(clap::Args)]
pub(crate) struct GenerateArgs {
    /// The key's name, such as alice-1
    #[arg(long, value_parser = key_name)]
    name: String,
    /// Write the secret key here (mode 0600); '-' is standard output, if that is not a terminal
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace the file if it is there: the key in it is lost
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(command: KeyCommand) -> Result {
    let KeyCommand::Generate(args) = command;
    let destination = Destination::new(Some(&args.output), Access::Secret, args.force)?;
    let key = SecretKey::generate()?;
    let line = Zeroizing::new([key.to_nix(&args.name).as_bytes(), b"\n"].concat());
    destination.write(&line)?;
    if destination.path().is_some() {
        writeln!(io::stdout().lock(), "{}:{}", args.name, key.public()).map_err(Error::from)?;
        output::note(format_args!(
            "the secret key is in '{0}'; next: nixcert request --key {0} -o FILE",
            args.output.display()
        ));
    }
    Ok(Answer::Yes)
}

/// What Nix reads back: no colon, no white space; and no certificate, since that is attached later.
fn key_name(name: &str) -> std::result::Result<String, String> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
        return Err("a key's name is of visible ASCII characters, without ':'".to_owned());
    }
    if is_certificate_name(name.as_bytes()) {
        return Err("a certificate becomes part of the name later: nixcert attach".to_owned());
    }
    Ok(name.to_owned())
}
