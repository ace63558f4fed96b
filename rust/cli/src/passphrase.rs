//! Passphrases: from a terminal, a file, or an open descriptor; never from arguments or the environment.

use crate::error::{Error, Result};
use crate::output;
use nixcert_files::{self as files, said};
use nixcert_issue::SecretString;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Shorter ones are guessed; see the age manual, which makes ten words.
const FEW_CHARACTERS: usize = 12;

/// Nobody types more.
const MOST_BYTES: u64 = 4096;

#[derive(clap::Args)]
pub(crate) struct PassphraseArgs {
    /// Read the passphrase of the CA's key from the first line of a file
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    passphrase_file: Option<PathBuf>,
    /// Read the passphrase of the CA's key from the first line of an open file descriptor
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<u32>,
}

impl PassphraseArgs {
    /// Whether one was named.
    pub(crate) fn given(&self) -> bool {
        self.passphrase_file.is_some() || self.passphrase_fd.is_some()
    }

    /// A passphrase that is there already: as given, or asked for once.
    pub(crate) fn known(&self) -> Result<SecretString> {
        match self.read()? {
            Some(passphrase) => Ok(passphrase),
            None => ask("Passphrase of the CA: "),
        }
    }

    /// A new passphrase: as given, or asked for twice.
    pub(crate) fn new_one(&self) -> Result<SecretString> {
        let passphrase = match self.read()? {
            Some(passphrase) => passphrase,
            None => ask_twice()?,
        };
        if secret(&passphrase).chars().count() < FEW_CHARACTERS {
            output::warn(format_args!(
                "the passphrase has fewer than {FEW_CHARACTERS} characters: whoever gets hold of ca.key will guess it"
            ));
        }
        Ok(passphrase)
    }

    fn read(&self) -> Result<Option<SecretString>> {
        let contents = if let Some(path) = &self.passphrase_file {
            files::read(path, MOST_BYTES)?
        } else if let Some(descriptor) = self.passphrase_fd {
            // Opened by its name in /dev/fd, which needs no unsafe code; 0 is standard input itself.
            let read = match descriptor {
                0 => files::read_from(io::stdin().lock(), MOST_BYTES),
                _ => File::open(format!("/dev/fd/{descriptor}"))
                    .and_then(|file| files::read_from(file, MOST_BYTES)),
            };
            read.map_err(|error| {
                Error::new(format!(
                    "cannot read the passphrase from descriptor {descriptor}: {}",
                    said(&error)
                ))
                .help("open it for reading, such as with 3< FILE")
            })?
        } else {
            return Ok(None);
        };
        let contents = Zeroizing::new(contents);
        let line = contents.split(|byte| *byte == b'\n').next().unwrap_or_default();
        match std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
            Ok("") => Err(Error::new("the passphrase is empty")
                .help("write it into the first line; --unencrypted is the way to have none")),
            Ok(line) => Ok(Some(SecretString::from(line.to_owned()))),
            Err(_) => Err(Error::new("the passphrase is not text (UTF-8)")),
        }
    }
}

fn secret(passphrase: &SecretString) -> &str {
    nixcert_issue::ExposeSecret::expose_secret(passphrase)
}

fn ask_twice() -> Result<SecretString> {
    let first = ask("New passphrase for the CA: ")?;
    if secret(&first).is_empty() {
        return Err(Error::new("the passphrase is empty").help("--unencrypted is the way to have none"));
    }
    let second = ask("The same again: ")?;
    if secret(&first) == secret(&second) {
        Ok(first)
    } else {
        Err(Error::new("the two passphrases differ").help("try again; nothing was made"))
    }
}

fn ask(prompt: &str) -> Result<SecretString> {
    let no_terminal = || {
        Error::new("there is no terminal to ask for the passphrase on")
            .help("name --passphrase-file FILE or --passphrase-fd N")
    };
    if !io::stdin().is_terminal() && !io::stderr().is_terminal() {
        return Err(no_terminal());
    }
    rpassword::prompt_password(prompt).map(SecretString::from).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => no_terminal(),
        _ => Error::new(format!("cannot read the passphrase: {}", said(&error))),
    })
}
