//! `nixcert closure push`: signatures for a host that has the paths already.

use super::held::{Held, HeldPath, resolve};
use crate::carrier::{Carrier, with_signatures};
use crate::error::{Answer, Error, Result};
use crate::nix::{Nix, PATHS_AT_ONCE};
use crate::output::{self, SCHEMA};
use crate::progress::Progress;
use nixcert_core::{NarInfo, is_certificate_name, is_of_a_closure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Bring the signatures of a closure to a host that has its paths already
///
/// 'nix copy' passes over valid paths, and so over their new signatures. This brings all closure signatures of the top-level
/// path, and those of each path by certificates: only what is missing there, as a normal user. Signatures of paths that have
/// other contents there are not theirs, and stay here.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert closure push --to ssh-ng://alice@web-1 ./result
  nixcert closure push --to ssh-ng://web-1 --store file:///srv/cache /nix/store/…-nixos-system-web-1

Exit status: 0 it has the signatures of all paths that are there as they are here; 1 it lacks the top-level path; 2 could not \
be done.")]
pub(crate) struct PushArgs {
    /// The top-level path, or a link to it
    path: PathBuf,
    /// The store they are brought to, as Nix's --store
    #[arg(long, value_name = "URL")]
    to: String,
    /// Another store than this machine's that they are in
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What came of it, as `--json` prints it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Pushed {
    schema: u32,
    path: String,
    /// How many signatures were added.
    pub(crate) added: usize,
    /// To how many paths.
    pub(crate) to_paths: usize,
    /// What the host lacks, of the paths that have such signatures.
    pub(crate) lacking: Vec<String>,
    /// What has other contents there.
    pub(crate) contents_differ: Vec<String>,
}

pub(crate) fn run(args: &PushArgs) -> Result {
    let top = resolve(&args.path)?;
    is_url(&args.to)?;
    let held = Held::read(&Nix::new(args.store.clone()), top)?;
    let pushed = push(&held, &Nix::new(Some(args.to.clone())))?;
    let lacks_top = pushed.lacking.iter().any(|path| path == held.top.as_str());
    if args.json {
        output::json(&pushed)?;
    } else {
        pushed.show(&args.to);
    }
    match lacks_top {
        true if args.json => Ok(Answer::No),
        true => Err(Error::refused(format!("{} has no path '{}'", args.to, held.top))
            .help(format!("copy it first, then push again: nix copy --to {} {}", args.to, held.top))),
        false => Ok(Answer::Yes),
    }
}

/// Nix takes other words for stores too, which here are mistakes.
fn is_url(text: &str) -> Result<()> {
    if text.starts_with('-') || !(text.contains("://") || text.starts_with('/')) {
        return Err(Error::new(format!("--to: '{text}' is not the URL of a store"))
            .help("name it like Nix does: ssh-ng://USER@HOST"));
    }
    Ok(())
}

/// Whether a signature of a path is one that people make with certificates.
fn is_brought(signature: &str, is_top: bool) -> bool {
    match is_of_a_closure(signature.as_bytes()) {
        true => is_top,
        false => signature.split_once(':').is_some_and(|(name, _)| is_certificate_name(name.as_bytes())),
    }
}

/// What a path has that the other store's lacks.
fn missing<'a>(path: &'a HeldPath, there: &NarInfo, is_top: bool) -> Vec<&'a String> {
    let signatures = path.narinfo.signatures.iter();
    signatures
        .filter(|signature| is_brought(signature, is_top) && !there.signatures.contains(signature))
        .collect()
}

/// Bring them. What was brought before is passed over, so an interrupted run can be repeated.
pub(crate) fn push(held: &Held, to: &Nix) -> Result<Pushed> {
    let is_top = |path: &HeldPath| *path.path() == held.top;
    let concerned: Vec<&HeldPath> = held
        .paths
        .iter()
        .filter(|path| {
            let signatures = &path.narinfo.signatures;
            is_top(path) || signatures.iter().any(|signature| is_brought(signature, false))
        })
        .collect();
    let names: Vec<String> = concerned.iter().map(|path| path.path().to_string()).collect();
    let there: BTreeMap<String, NarInfo> = output::busy("asking the host", || to.path_info_of(&names))?
        .into_iter()
        .filter_map(|known| Some((known.path, NarInfo::parse(&known.narinfo.ok()?).ok()?)))
        .collect();

    let mut pushed = Pushed { schema: SCHEMA, path: held.top.to_string(), ..Pushed::default() };
    let mut parcels = Vec::new();
    for path in concerned {
        match there.get(path.path().as_str()) {
            None => pushed.lacking.push(path.path().to_string()),
            Some(other) if other.info != path.narinfo.info => {
                pushed.contents_differ.push(path.path().to_string());
            }
            Some(other) => {
                let missing = missing(path, other, is_top(path));
                if !missing.is_empty() {
                    parcels.push((path, missing));
                }
            }
        }
    }
    // The closure signature comes last: where it is, all others are.
    parcels.sort_by_key(|(path, _)| is_top(path));
    let carrier = Carrier::new()?;
    let progress = Progress::new(parcels.len());
    for some in parcels.chunks(PATHS_AT_ONCE) {
        for (path, signatures) in some {
            carrier.put(path.path().as_str(), &with_signatures(&path.text, signatures.iter().copied()))?;
        }
        let names: Vec<String> = some.iter().map(|(path, _)| path.path().to_string()).collect();
        let now_there = carrier.deliver(to, &names)?;
        for (path, signatures) in some {
            let has = now_there.get(path.path().as_str());
            if !signatures.iter().all(|signature| has.is_some_and(|has| has.contains(*signature))) {
                return Err(Error::new(format!("the host did not take the signatures of '{}'", path.path()))
                    .help("look into the log of its nix-daemon: perhaps the path was replaced or deleted meanwhile"));
            }
            pushed.added += signatures.len();
            pushed.to_paths += 1;
        }
        progress.advance(some.len());
    }
    Ok(pushed)
}

impl Pushed {
    /// Most that is named; `--json` has all.
    const NAMED: usize = 20;

    pub(crate) fn show(&self, to: &str) {
        let Self { added, to_paths, lacking, contents_differ, .. } = self;
        for (paths, what) in
            [(lacking, "is not there: copy it first"), (contents_differ, "has other contents there")]
        {
            for path in paths.iter().take(Self::NAMED) {
                output::warn(format_args!("{path} {what}"));
            }
            if let Some(more @ 1..) = paths.len().checked_sub(Self::NAMED) {
                output::warn(format_args!("and {more} more"));
            }
        }
        match added {
            0 => output::note(format_args!(
                "no signatures were added to {to}: the paths that it has lack none"
            )),
            1 => output::note(format_args!("1 signature was added to {to}")),
            _ => output::note(format_args!(
                "{added} signatures were added to {to} (paths that got some: {to_paths})"
            )),
        }
    }
}
