//! `nixcert revocation`: what there is to do with revocation lists (FORMAT section 11), but for making them.

mod describe;
mod drop_in;
mod held;
mod install;
mod query;
mod show;

use crate::error::{Error, Result};
use crate::trust::TrustArgs;
use nixcert_core::Trust;
use nixcert_core::limits::LIST_BYTES;
use nixcert_host::Holdings;
use std::path::{Path, PathBuf};

/// No list is larger (FORMAT L1).
const MOST_BYTES: u64 = LIST_BYTES as u64;

#[derive(clap::Subcommand)]
pub(crate) enum RevocationCommand {
    Show(show::ShowArgs),
    Query(query::QueryArgs),
    Verify(show::VerifyArgs),
    Install(install::InstallArgs),
    Reset(install::ResetArgs),
}

pub(crate) fn run(command: RevocationCommand) -> Result {
    match command {
        RevocationCommand::Show(args) => show::show(&args),
        RevocationCommand::Query(args) => query::run(&args),
        RevocationCommand::Verify(args) => show::verify(&args),
        RevocationCommand::Install(args) => install::install(&args),
        RevocationCommand::Reset(args) => install::reset(&args),
    }
}

/// A host, and where it holds its lists.
#[derive(clap::Args)]
pub(crate) struct PlaceArgs {
    #[command(flatten)]
    trust: TrustArgs,
    /// Hold the lists in this directory, which is made if need be [default: the policy's revocation-lists]
    #[arg(long, value_name = "DIR", conflicts_with = "revocation_lists")]
    directory: Option<PathBuf>,
}

impl PlaceArgs {
    /// Whom the host trusts, and the directory.
    fn load(&self) -> Result<(Trust, Holdings, PathBuf)> {
        let loaded = self.trust.load_or_this_machine()?;
        let directory = self.directory.clone().or(loaded.lists).ok_or_else(|| match &loaded.trust.broken {
            Some(_) => Error::new("the policy cannot be read, so nobody knows where it wants its lists held")
                .help("correct it, or name --directory DIR"),
            None => Error::new("nothing says where this host holds its revocation lists").help(
                "write revocation-lists = \"/var/lib/nixcert/revocation\" into the policy (ca-policy-file in nix.conf), without \
                 which no list counts here; or name --directory DIR",
            ),
        })?;
        if loaded.trust.anchors.is_empty() {
            return Err(Error::new("this host trusts no CA, so no list can be its CA's")
                .help("name --nix-conf FILE or --trusted-ca-keys NAME:BASE64"));
        }
        Ok((loaded.trust, Holdings::new(&directory), directory))
    }
}

/// On one line, whatever somebody called it.
fn quoted(path: &Path) -> String {
    if path == Path::new("-") {
        return "standard input".to_owned();
    }
    format!("'{}'", path.display()).replace(char::is_control, "?")
}
