//! `nixcert check-closure`: what the activation gate would say.

mod json;
pub(crate) mod text;

use crate::caller;
use crate::error::{Answer, Error, Result};
use crate::gate::{self, Waiting};
use crate::output;
use crate::time;
use crate::trust::{Activating, NIX_CONF};
use nixcert_core::StorePath;
use nixcert_gate::Question;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Ask whether a path and all that it refers to may become this host's system
///
/// The same verdict as that of 'nixcert activate', by this host's nix.conf, policy, revocation lists and records; nothing is
/// changed or run. Every path in the closure must be vouched for: by those who signed the closure, by signatures of its own,
/// by a vendor that the policy names, by its name (content-addressed), or by an earlier activation.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert check-closure ./result
  nixcert check-closure /nix/store/…-nixos-system-web-1 --explain
  nixcert check-closure --json /run/current-system | jq '.left_over[].path'

Exit status: 0 it may; 1 it may not, for the reason given; 2 could not tell.")]
pub(crate) struct CheckClosureArgs {
    /// The top-level path, or a link to it
    path: PathBuf,
    /// Say all there is to say of every path that is left over
    #[arg(long)]
    explain: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Also read the contents of every path, as verify-contents = "always" in the policy does
    #[arg(long)]
    verify_contents: bool,
    /// Ask by this nix.conf
    #[arg(long, value_name = "FILE", default_value = NIX_CONF)]
    nix_conf: PathBuf,
    /// The store is that of another root: DIR/nix/store, with its database in DIR/nix/var/nix
    #[arg(long, value_name = "DIR", default_value = "/", hide_default_value = true)]
    root: PathBuf,
}

pub(crate) fn run(args: &CheckClosureArgs) -> Result {
    let path = resolve(&args.path, &args.root)?;
    let host = Activating::on_host(&args.nix_conf)?;
    let caller = caller::anyone()?;
    let waiting = Waiting::new(Arc::default());
    let question = Question {
        trust: &host.trust,
        activation: host.activation.as_ref(),
        root: &args.root,
        now: time::now()?,
        caller: caller.as_deref(),
        verify_contents: args.verify_contents,
        watcher: &waiting,
    };
    let verdict = gate::ask(&question, &path);
    drop(waiting);
    let verdict = verdict?;
    if args.json {
        output::json(&json::Report::new(&verdict))?;
    } else {
        text::write(&verdict, host.policy_file.as_deref(), args.explain)?;
    }
    if let Some(activation) = &host.activation {
        gate::tell_of_interrupted(&activation.records, true);
    }
    Ok(if verdict.outcome.is_ok() { Answer::Yes } else { Answer::No })
}

/// A store path as it is, or what a link leads to.
fn resolve(path: &Path, root: &Path) -> Result<StorePath> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if let Ok(path) = StorePath::parse(&text(path)) {
        return gate::store_path(path.as_str());
    }
    let resolved = path.canonicalize().map_err(|error| {
        Error::new(format!("cannot look at '{}': {}", path.display(), nixcert_files::said(&error)))
            .help("name a store path, or a link to one")
    })?;
    let inside =
        resolved.strip_prefix(root).map_or_else(|_| resolved.clone(), |path| Path::new("/").join(path));
    gate::store_path(&text(&inside))
}
