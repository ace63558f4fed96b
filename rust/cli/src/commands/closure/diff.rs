//! `nixcert closure diff`: what changes between two systems, and in whose hands it is.

mod changes;
mod who;

use super::held::{Held, resolve};
use super::vendors::VendorArgs;
use crate::commands::deploy::remote::{Line, Remote};
use crate::error::{Answer, Error, Result};
use crate::nix::Nix;
use crate::output::{self, ACCEPTED, NOTE, REFUSED, SCHEMA, printable};
use changes::{Changes, Package};
use nixcert_core::StorePath;
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Show what changes from one system to another, and who vouches
///
/// By package: which versions come and go, who vouched before, and who vouches now: vendors by the names of their keys, people
/// by their labels. Where a vendor's package becomes somebody's own, that stands out. Paths that have other contents under the
/// same name are listed: only one of the two is what was built. Look at this before you sign what another made.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert closure diff alice@web-1 ./result      # what the host runs now, and what it would run
  nixcert closure diff /run/current-system ./result
  nixcert closure diff ssh-ng://alice@web-1 ./result --json | jq '.vendor_to_person'

Exit status: 0 both were looked at, whatever differs; 2 could not tell.")]
pub(crate) struct DiffArgs {
    /// The system before: a path here, or a host (USER@HOST, ssh-ng://USER@HOST) for what runs there
    before: String,
    /// The system after, likewise
    after: String,
    #[command(flatten)]
    vendors: VendorArgs,
    /// An option for ssh, as its -o; NIX_SSHOPTS counts too
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    ssh_option: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: u32,
    before: &'a str,
    after: &'a str,
    #[serde(flatten)]
    changes: &'a Changes,
}

pub(crate) fn run(args: &DiffArgs) -> Result {
    let known = args.vendors.load()?;
    let before = read(&args.before, &args.ssh_option)?;
    let after = read(&args.after, &args.ssh_option)?;
    let changes = Changes::between(&who::members(&before, &known), &who::members(&after, &known));
    if args.json {
        let (before, after) = (before.top.as_str(), after.top.as_str());
        output::json(&Report { schema: SCHEMA, before, after, changes: &changes })?;
    } else {
        show(&before, &after, &changes)?;
    }
    Ok(Answer::Yes)
}

/// Where a system is.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Here(&'a Path),
    /// USER@HOST, and the URL of its store.
    Running(&'a str, Option<&'a str>),
}

fn place(named: &str) -> Place<'_> {
    match named.strip_prefix("ssh-ng://") {
        Some(rest) => Place::Running(rest.split(['?', '/']).next().unwrap_or_default(), Some(named)),
        None if named.contains('@') && !named.contains('/') => Place::Running(named, None),
        None => Place::Here(Path::new(named)),
    }
}

fn read(named: &str, ssh_options: &[String]) -> Result<Held> {
    match place(named) {
        Place::Here(path) => Held::read(&Nix::new(None), resolve(path)?),
        Place::Running(target, url) => {
            let remote = Remote::parse(target, ssh_options)?;
            Held::read(&remote.nix_at(url), running(&remote)?)
        }
    }
}

/// What a host runs.
fn running(remote: &Remote) -> Result<StorePath> {
    let output = remote.run(&Line::new("readlink -f /run/current-system"), &[])?;
    let text = String::from_utf8_lossy(&output.stdout);
    StorePath::parse(text.trim_end()).map_err(|_| {
        Error::new(format!("'{}' does not say what it runs", remote.target()))
            .help("is it NixOS? It should have a link /run/current-system; or name a path of this store")
    })
}

fn show(before: &Held, after: &Held, changes: &Changes) -> Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "before  {}\nafter   {}", printable(before.top.as_str()), printable(after.top.as_str()))?;
    for package in &changes.packages {
        let (style, what) = match (package.before.is_empty(), package.after.is_empty()) {
            (true, _) => (ACCEPTED, "added  "),
            (false, true) => (REFUSED, "removed"),
            (false, false) => (NOTE, "changed"),
        };
        let is_told = changes.vendor_to_person.contains(&package.package);
        let style = if is_told { REFUSED } else { style };
        writeln!(out, "{style}{what}{style:#}  {}", printable(&line(package)))?;
    }
    for path in &changes.contents_differ {
        writeln!(
            out,
            "{REFUSED}other contents{REFUSED:#}  {}: {} -> {}",
            printable(&path.path),
            printable(&names(&path.before)),
            printable(&names(&path.after))
        )?;
    }
    writeln!(
        out,
        "{} paths added, {} removed, {} with other contents, {} as they were",
        changes.added.len(),
        changes.removed.len(),
        changes.contents_differ.len(),
        changes.unchanged
    )?;
    drop(out);
    for package in changes.packages.iter().filter(|one| changes.vendor_to_person.contains(&one.package)) {
        let vendors = package.vouched_before.iter().filter(|who| matches!(who, who::Who::Vendor(_)));
        output::warn(format_args!(
            "{} was a vendor's ({}), and is no vendor's now ({})",
            package.package,
            names(vendors),
            names(&package.vouched_after)
        ));
    }
    Ok(())
}

fn line(package: &Package) -> String {
    let Package { package, before, after, vouched_before, vouched_after } = package;
    let versions = |all: &[String]| {
        let named: Vec<&str> = all.iter().map(String::as_str).filter(|version| !version.is_empty()).collect();
        if named.is_empty() { "no version".to_owned() } else { named.join(", ") }
    };
    match (before.is_empty(), after.is_empty()) {
        (true, _) => format!("{package}  {}: {}", versions(after), names(vouched_after)),
        (false, true) => format!("{package}  {}: {}", versions(before), names(vouched_before)),
        (false, false) => {
            let what = match before == after {
                true => format!("{}, made anew", versions(after)),
                false => format!("{} -> {}", versions(before), versions(after)),
            };
            format!("{package}  {what}: {} -> {}", names(vouched_before), names(vouched_after))
        }
    }
}

fn names<'a>(who: impl IntoIterator<Item = &'a who::Who>) -> String {
    let names: Vec<String> = who.into_iter().map(ToString::to_string).collect();
    if names.is_empty() { "nobody yet".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_without_a_version_are_named_all_the_same() {
        let package = |before: &[&str], after: &[&str]| Package {
            package: "etc".to_owned(),
            before: before.iter().map(|&version| version.to_owned()).collect(),
            after: after.iter().map(|&version| version.to_owned()).collect(),
            vouched_before: [].into(),
            vouched_after: [].into(),
        };
        let said = |before: &[&str], after: &[&str]| line(&package(before, after));
        assert_eq!(said(&["1"], &["2"]), "etc  1 -> 2: nobody yet -> nobody yet");
        assert_eq!(said(&["1"], &["1"]), "etc  1, made anew: nobody yet -> nobody yet");
        assert_eq!(said(&[""], &[""]), "etc  no version, made anew: nobody yet -> nobody yet");
        assert_eq!(said(&[], &["", "2"]), "etc  2: nobody yet");
    }

    #[test]
    fn places() {
        assert_eq!(place("alice@web-1"), Place::Running("alice@web-1", None));
        let url = "ssh-ng://alice@web-1?max-connections=4";
        assert_eq!(place(url), Place::Running("alice@web-1", Some(url)));
        for here in ["./result", "result", "/nix/store/a@b", "../a@b/c"] {
            assert_eq!(place(here), Place::Here(Path::new(here)));
        }
        assert!(read("ssh-ng://-oProxyCommand=x", &[]).is_err());
    }
}
