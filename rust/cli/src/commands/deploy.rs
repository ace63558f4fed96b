//! `nixcert deploy`: a system to a host, as a normal user, and through its gate.

mod answer;
mod build;
pub(crate) mod remote;
mod repair;
mod steps;

use super::activate::steps::Action;
use crate::commands::closure::held::resolve;
use crate::commands::closure::sign::{ChoiceArgs, host_pattern};
use crate::error::{Error, Result};
use crate::time::Time;
use remote::Remote;
use std::ffi::OsString;
use std::path::PathBuf;

/// Sign a system, bring it to a host, and activate it there, as the host's policy allows
///
/// Each step is printed: sign what lacks your signature, as 'nixcert closure sign' does; copy it as a normal user, checked by
/// the host; bring the signatures of what it has already, and revocation lists; keep it from being collected there; ask the
/// host's gate; and activate it with sudo. What the host refuses is explained. Contents there that are not what was signed can
/// be replaced by yours: --repair. Where another person must sign too, it says how, and the path stays there.
///
/// A repeated run does what is left.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert deploy --to alice@web-1 -k alice.nixcert.key ./result
  nixcert deploy --to alice@web-1 -k alice.nixcert.key --action test --host web-1.acme ./result
  nixcert deploy --to alice@web-1 -k alice.nixcert.key -- --flake .#web-1
  nixcert deploy --to bob@web-1 -k bob.nixcert.key --co-sign /nix/store/…-nixos-system-web-1-25.11

On the host, these lines of sudoers let people do it (the gate decides, not sudo;
on NixOS, nixcert is in /run/current-system/sw/bin):
  %deployers ALL=(root) NOPASSWD: /usr/bin/nixcert activate *
  %deployers ALL=(root) NOPASSWD: /usr/bin/nixcert repair -
  %deployers ALL=(root) NOPASSWD: /usr/bin/nixcert revocation install -

Exit status: 0 activated; 1 refused, by you, the host or its gate; 2 something could not be done.")]
pub(crate) struct DeployArgs {
    /// The system, or a link to it, such as ./result
    #[arg(required_unless_present = "rebuild", conflicts_with = "rebuild")]
    path: Option<PathBuf>,
    /// The host, as for ssh: USER@HOST
    #[arg(long, value_name = "USER@HOST", allow_hyphen_values = true)]
    to: String,
    /// Your key with its certificate, as 'nixcert attach' writes it
    #[arg(short, long, value_name = "FILE", required_unless_present = "no_sign")]
    key: Option<PathBuf>,
    /// A host that may activate it (its ca-host-name); '*' is every one [default: HOST of --to]
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = host_pattern)]
    host: Vec<String>,
    /// How long, or until when, it may be activated [default: 7d]
    #[arg(long, value_name = "TIME")]
    valid: Option<Time>,
    /// What is done with it
    #[arg(long, value_enum, default_value_t = Action::Switch)]
    action: Action,
    /// A revocation list that the host is to take up before it decides
    #[arg(long, value_name = "FILE")]
    revocation_list: Vec<PathBuf>,
    /// Sign nothing: what is signed already has to do
    #[arg(long, conflicts_with_all = ["key", "host", "valid", "co_sign"])]
    no_sign: bool,
    /// Sign the statement that somebody else has signed: the same bytes
    #[arg(long, conflicts_with_all = ["host", "valid"])]
    co_sign: bool,
    /// Replace what has other contents there, without asking
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// An option for ssh, as its -o; NIX_SSHOPTS counts too
    #[arg(long, value_name = "KEY=VALUE", allow_hyphen_values = true)]
    ssh_option: Vec<String>,
    /// Build it first: what nixos-rebuild build is given
    #[arg(last = true, value_name = "NIXOS-REBUILD ARGUMENT")]
    rebuild: Vec<OsString>,
}

pub(crate) fn run(args: &DeployArgs) -> Result {
    let remote = Remote::parse(&args.to, &args.ssh_option)?;
    let mut steps = steps::Steps::new(args, remote)?;
    match &args.path {
        Some(path) => steps.deploy(resolve(path)?),
        None => {
            let built = steps.build(&args.rebuild)?;
            // The build's directory has a link to it, so it is not collected meanwhile.
            steps.deploy(built.system()?)
        }
    }
}

/// What the host's name is, where --host does not say.
fn default_host(remote: &Remote) -> Result<String> {
    let name = remote.host().to_ascii_lowercase();
    host_pattern(&name).map_err(|problem| {
        Error::new(format!("'{name}' cannot be the name of a host in a statement: {problem}"))
            .help("name the host's ca-host-name with --host")
    })
}
