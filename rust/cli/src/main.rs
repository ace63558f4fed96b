//! `nixcert`: certificates for signing Nix packages.
//!
//! A thin reader of the libraries: it parses arguments, reads files, shows answers. `nixcert-core` judges, `nixcert-issue` signs,
//! `nixcert-host` and `nixcert-gate` are what a host keeps and does.

mod caller;
mod carrier;
mod commands;
mod derivation;
mod describe;
mod error;
mod gate;
mod input;
mod narinfos;
mod nix;
mod nix_conf;
mod output;
mod passphrase;
mod progress;
mod rewrap;
mod time;
mod trust;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Certificates for signing Nix packages.
///
/// A CA certifies the signing keys of people. What they sign with stock Nix is then accepted by every host that trusts the
/// CA, within the limits that the certificate sets, until it expires.
#[derive(Parser)]
#[command(name = "nixcert", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
The whole way, once:
  admin$ nixcert ca init acme-ca --name acme-2026-1
         (put the line it prints into nix.conf of every host)
  alice$ nixcert key generate --name alice-1 -o alice.key
  alice$ nixcert request --key alice.key --label alice -o alice.request
  admin$ nixcert issue --ca acme-ca alice.request --permit '*' --host '*' -o alice.cert
  alice$ nixcert attach --key alice.key alice.cert -o alice.nixcert.key
  alice$ nix store sign -k alice.nixcert.key --recursive ./result

Exit status: 0 yes, 1 no, 2 could not tell, or wrong usage.";

#[derive(Subcommand)]
enum Command {
    /// Make and keep a CA
    #[command(subcommand)]
    Ca(commands::ca::CaCommand),
    /// Make a signing key
    #[command(subcommand)]
    Key(commands::key::KeyCommand),
    Request(commands::request::RequestArgs),
    Issue(Box<commands::issue::IssueArgs>),
    Attach(commands::attach::AttachArgs),
    Revoke(Box<commands::revoke::RevokeArgs>),
    /// Show, ask, verify and install revocation lists
    #[command(subcommand)]
    Revocation(commands::revocation::RevocationCommand),
    /// Vouch for systems, and see who does
    #[command(subcommand)]
    Closure(commands::closure::ClosureCommand),
    Deploy(Box<commands::deploy::DeployArgs>),
    CheckClosure(commands::check_closure::CheckClosureArgs),
    Activate(commands::activate::ActivateArgs),
    Repair(commands::repair::RepairArgs),
    Override(commands::override_activation::OverrideArgs),
    Rewrap(commands::rewrap::RewrapArgs),
    Inspect(commands::inspect::InspectArgs),
    Verify(commands::verify::VerifyArgs),
    Why(commands::why::WhyArgs),
    /// Explain a host's policy, and try it out
    #[command(subcommand)]
    Policy(Box<commands::policy::PolicyCommand>),
    Completions(commands::generate::CompletionsArgs),
    Man(commands::generate::ManArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output and is no failure.
            let printed = error.print().is_ok();
            return if error.use_stderr() || !printed { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let answer = match cli.command {
        Command::Ca(command) => commands::ca::run(command),
        Command::Key(command) => commands::key::run(command),
        Command::Request(args) => commands::request::run(args),
        Command::Issue(args) => commands::issue::run(*args),
        Command::Attach(args) => commands::attach::run(args),
        Command::Revoke(args) => commands::revoke::run(&args),
        Command::Revocation(command) => commands::revocation::run(command),
        Command::Closure(command) => commands::closure::run(command),
        Command::Deploy(args) => commands::deploy::run(&args),
        Command::CheckClosure(args) => commands::check_closure::run(&args),
        Command::Activate(args) => commands::activate::run(&args),
        Command::Repair(args) => commands::repair::run(&args),
        Command::Override(args) => commands::override_activation::run(&args),
        Command::Rewrap(args) => commands::rewrap::run(args),
        Command::Inspect(args) => commands::inspect::run(args),
        Command::Verify(args) => commands::verify::run(args),
        Command::Why(args) => commands::why::run(args),
        Command::Policy(command) => commands::policy::run(*command),
        Command::Completions(args) => commands::generate::completions(args),
        Command::Man(args) => commands::generate::man(args),
    };
    match answer {
        Ok(answer) => answer.into(),
        Err(error) => error.report(),
    }
}
