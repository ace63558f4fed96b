//! `nixcert request`: ask a CA for a certificate.

use crate::error::{Answer, Error, Result};
use crate::input;
use crate::output::{self, Destination};
use nixcert_core::{CertificateName, Label};
use nixcert_files::Access;
use nixcert_issue::label_from;
use std::path::PathBuf;

/// Ask a CA for a certificate: make a request signed with a key
///
/// The request holds the label and the public key, and is signed with the secret one, which stays where it is. It is
/// not secret: send it to whoever keeps the CA, in a way by which they know that it is yours.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert request --key alice.key --label alice -o alice.request
  nixcert request --key ~/.config/nix/secret-key --label alice | ssh ca-machine tee alice.request

The label is who you are, for every key that you will ever have. It is made from the key's name, or given with --label.")]
pub(crate) struct RequestArgs {
    /// Your secret key, as nix or nixcert made it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Who you are: 1 to 32 of a-z, 0-9 and '-' [default: made from the key's name]
    #[arg(long)]
    label: Option<String>,
    /// Write the request here [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: RequestArgs) -> Result {
    let destination = Destination::new(args.output.as_deref(), Access::Public, args.force)?;
    let (name, key) = input::secret_key(&args.key)?;
    let label = match &args.label {
        Some(label) => checked(label)?,
        None => label_of_key(&name)?,
    };
    let parsed = Label::parse(label.as_bytes()).map_err(Error::new)?;
    destination.write(format!("{}\n", key.request(parsed)).as_bytes())?;
    output::note(format_args!(
        "this asks for a certificate with the label '{label}' for the key {}",
        key.public()
    ));
    Ok(Answer::Yes)
}

fn checked(label: &str) -> Result<String> {
    match Label::parse(label.as_bytes()) {
        Ok(_) => Ok(label.to_owned()),
        Err(error) => {
            let message = Error::new(format!("'{label}' is not a label: {error}"));
            Err(match label_from(label) {
                Some(proper) => message.help(format!("'{proper}' is one")),
                None => message,
            })
        }
    }
}

/// An attached key's label is that of its certificate; any other name is made into one.
fn label_of_key(name: &str) -> Result<String> {
    if let Ok(certified) = CertificateName::parse(name.as_bytes()) {
        return Ok(certified.label().to_string());
    }
    let label = label_from(name).ok_or_else(|| {
        Error::new(format!("no label can be made from the key's name '{name}'"))
            .help("say who you are with --label")
    })?;
    if label != name {
        output::note(format_args!(
            "the key's name '{name}' is not a label, so '{label}' was made from it (--label overrides)"
        ));
    }
    Ok(label)
}
