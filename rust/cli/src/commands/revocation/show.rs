//! `nixcert revocation show` and `verify`: what a list says, and whose word it is.

use super::describe::{EntryDescription, ListDescription, columns};
use super::{MOST_BYTES, PlaceArgs, held, quoted};
use crate::error::{Answer, Error, Result};
use crate::output::{self, ACCEPTED, NOTE, REFUSED, SCHEMA, Table, printable};
use crate::trust::TrustArgs;
use crate::{input, time};
use nixcert_core::{RevocationList, VerifiedList};
use nixcert_host::HoldingsError;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Show what a revocation list says, or which ones this host holds
///
/// A list that is named is only read: whoever made it could have written anything. 'nixcert revocation verify' says whose word
/// it is. Without one, all that a host holds is shown: of each CA and signer the age, the number of entries, and what is wrong.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert revocation show acme.list
  nixcert revocation show                                  # what this machine holds, by its nix.conf and policy
  nixcert revocation show --directory lists --trusted-ca-keys acme-2026-1:s6vX…=
  nixcert revocation show --json acme.list | jq -r '.entries[] | select(.by == \"label\") | .value'

Exit status: 0 shown; 1 it is no list that any host would take, or a list that is held cannot be used or is too old for the
policy; 2 it cannot be read.")]
pub(crate) struct ShowArgs {
    /// The list; '-' is standard input [default: those that a host holds, which the options below say]
    list: Option<PathBuf>,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print JSON: one object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown {
    schema: u32,
    kind: &'static str,
    #[serde(flatten)]
    list: ListDescription,
    verified: bool,
    entries: Vec<EntryDescription>,
}

pub(super) fn show(args: &ShowArgs) -> Result {
    match &args.list {
        Some(path) => one(path, args.json),
        None => held::show(&args.place, args.json),
    }
}

fn one(path: &Path, json: bool) -> Result {
    let bytes = input::bytes(path, MOST_BYTES)?;
    let list = RevocationList::parse(&bytes).map_err(|error| {
        let code = error.code();
        Error::refused(format!("{}: {}", quoted(path), HoldingsError::List(error))).help(format!(
            "a list is what 'nixcert revoke' signs: get it again from whoever issued it ({code})"
        ))
    })?;
    let description = ListDescription::of_parsed(&list);
    if json {
        let entries =
            list.entries.iter().map(|(selector, revoked)| EntryDescription::new(&selector, revoked));
        output::json(&Shown {
            schema: SCHEMA,
            kind: "revocation-list",
            list: description,
            verified: false,
            entries: entries.collect(),
        })?;
        return Ok(Answer::Yes);
    }
    let mut out = anstream::stdout().lock();
    let mut table = Table::default();
    description.rows(&mut table, time::now()?);
    table.rows("Revoked", columns(list.entries.iter()));
    writeln!(out, "Revocation list")?;
    table.write(&mut out)?;
    writeln!(
        out,
        "{NOTE}not verified: whoever made it could have written anything; 'nixcert revocation verify' checks it{NOTE:#}"
    )?;
    Ok(Answer::Yes)
}

/// Check whose word a list is, as a host with this trust would
///
/// Its signature, the signer's certificates, and that they let it revoke, on this host, when it was issued. Whether it is
/// newer than what a host holds is asked by 'nixcert revocation install'.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert revocation verify acme.list --trusted-ca-keys acme-2026-1:s6vX…=
  nixcert revocation verify acme.list --nix-conf web-1.nix.conf --host web-1.example.org --json

Exit status: 0 it counts; 1 it does not, for the reason given; 2 could not tell: no trusted CA, or a file that cannot be read.")]
pub(crate) struct VerifyArgs {
    /// The list; '-' is standard input
    list: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    /// Print JSON: one object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Verified {
    schema: u32,
    file: String,
    valid: bool,
    /// A reason code of FORMAT.md, if it does not count.
    reason: Option<&'static str>,
    message: String,
    list: Option<ListDescription>,
}

pub(super) fn verify(args: &VerifyArgs) -> Result {
    let trust = args.trust.load_or_this_machine()?.trust;
    if trust.anchors.is_empty() {
        return Err(Error::new("there is no trusted CA, so no list could be one's")
            .help("name --trusted-ca-keys NAME:BASE64 or --nix-conf FILE"));
    }
    let now = time::now()?;
    let bytes = input::bytes(&args.list, MOST_BYTES)?;
    let file = args.list.display().to_string();
    let verified = match VerifiedList::read(&bytes, &trust.anchors, trust.host.as_ref()) {
        Ok(list) => {
            let list = ListDescription::of_verified(&list, trust.anchors.name_of(list.ca()));
            let message = format!("verified: {} of {} ({})", list.whose(), list.issued, list.age(now));
            Verified { schema: SCHEMA, file, valid: true, reason: None, message, list: Some(list) }
        }
        Err(error) => {
            let reason = Some(error.code());
            let read = RevocationList::parse(&bytes).ok().as_ref().map(ListDescription::of_parsed);
            Verified { schema: SCHEMA, file, valid: false, reason, message: error.to_string(), list: read }
        }
    };
    if args.json {
        output::json(&verified)?;
    } else {
        let mut out = anstream::stdout().lock();
        if let Some(list) = &verified.list {
            let mut table = Table::default();
            list.rows(&mut table, now);
            writeln!(out, "Revocation list")?;
            table.write(&mut out)?;
        }
        let message = printable(&verified.message);
        match verified.reason {
            None => writeln!(out, "{ACCEPTED}{message}{ACCEPTED:#}")?,
            Some(code) => writeln!(out, "{REFUSED}refused ({code}): {message}{REFUSED:#}")?,
        }
    }
    Ok(if verified.valid { Answer::Yes } else { Answer::No })
}
