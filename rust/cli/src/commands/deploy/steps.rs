//! The steps of a deployment, one after the other, each said before it is done.

use super::answer::Answer as Verdict;
use super::build::{self, Built};
use super::remote::{Line, Remote, is_attended};
use super::repair;
use super::{DeployArgs, default_host};
use crate::commands::closure::held::Held;
use crate::commands::closure::push::push;
use crate::commands::closure::sign::{Plan, Terms, refusal};
use crate::commands::closure::signer::Signer;
use crate::commands::issue::confirm;
use crate::error::{Answer, Error, Result};
use crate::nix::Nix;
use crate::output::{self, ACCEPTED, HELP, printable, shorten};
use crate::{input, time};
use nixcert_core::{StorePath, package_of};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// Longest revocation list, as 'nixcert revocation install' takes it.
const LIST_BYTES: u64 = 64 << 20;

pub(crate) struct Steps<'a> {
    args: &'a DeployArgs,
    remote: Remote,
    signer: Option<Signer>,
    lists: Vec<Vec<u8>>,
    done: usize,
    all: usize,
}

impl<'a> Steps<'a> {
    /// What can be found wrong before anything is done, is.
    pub(crate) fn new(args: &'a DeployArgs, remote: Remote) -> Result<Self> {
        let signer = args.key.as_deref().map(|key| Signer::read(key, time::now()?)).transpose()?;
        let lists = args.revocation_list.iter().map(|path| input::bytes(path, LIST_BYTES));
        let lists = lists.collect::<Result<Vec<_>>>()?;
        let optional = [args.path.is_none(), signer.is_some(), !lists.is_empty()];
        let all = 5 + optional.iter().filter(|it| **it).count();
        Ok(Self { args, remote, signer, lists, done: 0, all })
    }

    fn step(&mut self, what: &str) {
        self.done += 1;
        anstream::eprintln!("{HELP}{}/{}{HELP:#} {}", self.done, self.all, printable(what));
    }

    pub(crate) fn build(&mut self, arguments: &[OsString]) -> Result<Built> {
        self.step("building with nixos-rebuild");
        build::build(arguments)
    }

    pub(crate) fn deploy(&mut self, system: StorePath) -> Result {
        check_is_system(&system)?;
        let local = Nix::new(None);
        let mut held = Held::read(&local, system.clone())?;
        if self.sign(&local, &held)? {
            held = Held::read(&local, system.clone())?;
        }
        // First: where a host lacks lists that it asks for, it takes no path either.
        self.revocation_lists()?;
        self.copy(&system)?;
        self.step(&format!("bringing signatures to {}", self.remote.target()));
        push(&held, &self.remote.nix())?.show(&self.remote.url());
        self.root(&system)?;

        self.step("asking the gate of the host");
        let mut verdict = self.ask(&system)?;
        // A host names the first of many: each round replaces others.
        let mut sent = BTreeSet::new();
        while let Verdict::Refused { codes, left_over, differing } = &verdict {
            self.explain(&system, codes)?;
            let mut other = repair::with_other_contents(&held, left_over, &self.remote)?;
            other.extend(differing.iter().cloned());
            let parcels = repair::parcels(&held, &other.difference(&sent).cloned().collect());
            if parcels.is_empty() || !self.wants_repair(&parcels)? {
                break;
            }
            repair::send(&self.remote, &parcels)?;
            sent.extend(parcels.iter().map(|parcel| parcel.path().clone()));
            // Signatures of what was replaced had no place there before: that of the closure, if it was the system itself.
            push(&held, &self.remote.nix())?.show(&self.remote.url());
            verdict = self.ask(&system)?;
        }
        match verdict {
            Verdict::Accepted => self.activate(&system),
            refused @ Verdict::Refused { .. } => Err(self.refused(&refused, &system)),
        }
    }

    /// Sign what lacks a signature. Whether anything was.
    fn sign(&mut self, local: &Nix, held: &Held) -> Result<bool> {
        let Some(signer) = self.signer.take() else {
            output::note("nothing is signed (--no-sign)");
            return Ok(false);
        };
        self.step("signing what lacks your signature");
        let now = time::now()?;
        let known = self.args.choice.vendors.load()?;
        let terms = match self.args.co_sign {
            true => Terms::CoSign,
            false => {
                let mut hosts = self.args.host.clone();
                if hosts.is_empty() {
                    hosts.push(default_host(&self.remote)?);
                }
                Terms::NewUnlessThere { hosts: hosts.into_iter().collect(), valid: self.args.valid }
            }
        };
        let plan = match Plan::make(held, &signer, &known, &terms, &self.args.choice, now)? {
            Ok(plan) => plan,
            Err(in_doubt) => return Err(refusal(&in_doubt)),
        };
        if plan.is_done() {
            output::note("you have signed all of this already");
            return Ok(false);
        }
        plan.show(&signer, now)?;
        confirm(self.args.choice.yes)?;
        plan.apply(local, &signer)?;
        Ok(true)
    }

    fn copy(&mut self, system: &StorePath) -> Result<()> {
        self.step(&format!("copying to {}, which checks what it takes", self.remote.target()));
        let copied = output::busy("copying", || self.remote.nix().copy_here(system))?;
        copied.map_err(|said| {
            let message = format!("'{}' did not take it: {said}", self.remote.target());
            if said.contains("lacks a") {
                Error::refused(message).help(
                    "sign it under a certificate that the host accepts (-k), or ask its administrator which packages you may \
                     import; 'nixcert why' on the host says more",
                )
            } else {
                let command = format!("nix copy --to {} {system}", self.remote.url());
                Error::new(message).help(format!("try it by hand: {command}"))
            }
        })
    }

    fn revocation_lists(&mut self) -> Result<()> {
        let lists = std::mem::take(&mut self.lists);
        if lists.is_empty() {
            return Ok(());
        }
        self.step("bringing revocation lists");
        for (list, path) in lists.iter().zip(&self.args.revocation_list) {
            let output = self.remote.run(&Line::new("sudo -n nixcert revocation install -"), list)?;
            let said = shorten(String::from_utf8_lossy(&output.stderr).trim(), 2000);
            let told = shorten(String::from_utf8_lossy(&output.stdout).trim(), 2000);
            match output.status.code() {
                Some(0) => output::note(format_args!("'{}': {told}", path.display())),
                // Such as one that is older than what the host holds, which then knows more.
                Some(1) if !is_sudo(&said) => {
                    output::warn(format_args!("the host did not take '{}': {told} {said}", path.display()));
                }
                Some(_) | None => {
                    return Err(Error::new(format!("the host could not take '{}': {said}", path.display()))
                        .help("may you run 'sudo nixcert revocation install -' there? See 'nixcert deploy --help'"));
                }
            }
        }
        Ok(())
    }

    /// A root of the user, such that the path stays while somebody thinks about it. One for each kind of system.
    fn root(&mut self, system: &StorePath) -> Result<()> {
        self.step("keeping it from being collected there");
        let output = self.remote.run(&root_line(system)?, &[])?;
        if output.status.success() {
            return Ok(());
        }
        let said = shorten(String::from_utf8_lossy(&output.stderr).trim(), 2000);
        Err(Error::new(format!("the host could not make a root for it: {said}"))
            .help("is there room in your home on the host, and Nix in the PATH of ssh there?"))
    }

    fn ask(&self, system: &StorePath) -> Result<Verdict> {
        let line = Line::new("nixcert check-closure --json --").path(system);
        Verdict::read(&self.remote.run(&line, &[])?, system)
    }

    /// In the host's own words: of each path where the paths are the trouble.
    fn explain(&self, system: &StorePath, codes: &[String]) -> Result<()> {
        let of_paths =
            codes.first().is_some_and(|code| ["not-vouched-for", "contents-differ"].contains(&code.as_str()));
        let line = match of_paths {
            true => Line::new("nixcert check-closure --explain --"),
            false => Line::new("nixcert check-closure --"),
        };
        let output = self.remote.run(&line.path(system), &[])?;
        let mut stdout = anstream::stdout().lock();
        Ok(stdout.write_all(printable(&String::from_utf8_lossy(&output.stdout)).as_bytes())?)
    }

    fn wants_repair(&self, parcels: &[repair::Parcel<'_>]) -> Result<bool> {
        output::note(format_args!("{} of these paths have other contents in your store", parcels.len()));
        if self.args.repair {
            return Ok(true);
        }
        if !is_attended() {
            output::note("--repair replaces their contents there by yours");
            return Ok(false);
        }
        let mut stderr = anstream::stderr().lock();
        write!(stderr, "Replace their contents there by yours? [y/N] ").and_then(|()| stderr.flush())?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    fn activate(&mut self, system: &StorePath) -> Result {
        let action = self.args.action.name();
        self.step(&format!("activating it there ({action})"));
        let sudo = if is_attended() { "sudo nixcert activate --" } else { "sudo -n nixcert activate --" };
        match self.remote.talk(&Line::new(sudo).path(system).words(action))? {
            Some(0) => {
                anstream::eprintln!("{ACCEPTED}done{ACCEPTED:#} {system} on {}", printable(self.remote.target()));
                Ok(Answer::Yes)
            }
            Some(1) => Err(Error::refused("it was not activated").help(
                "see above. If sudo refused: the line that lets you is in 'nixcert deploy --help'",
            )),
            Some(255) | None => Err(Error::new("the connection was lost while it was being activated").help(format!(
                "it may have gone on: look at /run/current-system there, and run this again; it is {system}"
            ))),
            Some(status) => Err(Error::new(format!("the activation ended with status {status}"))
                .help("see above how far it came; 'readlink -f /nix/var/nix/profiles/system' there says what the host boots")),
        }
    }

    /// What is to be done, by whom.
    fn refused(&self, verdict: &Verdict, system: &StorePath) -> Error {
        let target = self.remote.target();
        let error =
            Error::refused(format!("'{target}' does not activate it; it stays there, and is not collected"));
        let (url, host) = (self.remote.url(), self.remote.host());
        if verdict.has("too-few-votes") || verdict.has("caller-has-not-signed") {
            return error.help(format!(
                "another person must sign the same statement. On their machine, with their key:\n\
                 nix copy --from ssh-ng://THEM@{host} {system}   (or build it; then: nix store copy-sigs --substituter \
                 ssh-ng://THEM@{host} {system})\n\
                 nixcert closure diff THEM@{host} {system}\n\
                 nixcert deploy --to THEM@{host} -k THEIR-KEY --co-sign --action {} {system}",
                self.args.action.name()
            ));
        }
        if verdict.has("statement-of-another-host") {
            return error.help("name it as its administrator did (ca-host-name): --host NAME");
        }
        if verdict.has("older-deployment") || verdict.has("statement-expired") {
            return error.help(format!(
                "sign it anew: nixcert closure sign -k KEY --host {host} {system}; then run this again"
            ));
        }
        if verdict.has("not-vouched-for") || verdict.has("contents-differ") {
            return error.help(format!(
                "look at each path above. --repair replaces the contents of those that you have by yours; build what you do not \
                 have, or vouch for what is there: nix copy --from {url} PATH, then --vouch PATH"
            ));
        }
        error.help("see what the host says above")
    }
}

/// What no host could switch to is not worth signing. What is not here cannot be looked at.
fn check_is_system(system: &StorePath) -> Result<()> {
    let here = Path::new(system.as_str());
    if here.exists() && !here.join("bin/switch-to-configuration").exists() {
        return Err(Error::refused(format!(
            "'{system}' is not a system: it has no bin/switch-to-configuration"
        ))
        .help("name the top-level path: what 'nixos-rebuild build' links to as ./result"));
    }
    Ok(())
}

/// What sudo says of itself.
fn is_sudo(said: &str) -> bool {
    said.lines().any(|line| line.starts_with("sudo: ") || line.contains("is not allowed to execute"))
}

/// The root's name is that of the package, so that the next system takes the place of this one.
fn root_line(system: &StorePath) -> Result<Line> {
    let name = package_of(system.name().as_bytes());
    let name = std::str::from_utf8(name).map_err(|_| Error::new("the system has no name"))?;
    Ok(Line::new("d=\"$HOME/.local/state/nixcert/deploy\"; mkdir -p \"$d\" && nix-store --realise")
        .path(system)
        .words("--add-root")
        .root(name)
        .words("--indirect > /dev/null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_of_a_kind_of_system() {
        let path = "/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-nixos-system-web-1-25.11";
        let line = root_line(&StorePath::parse(path).unwrap()).unwrap();
        assert_eq!(
            line.as_str(),
            format!(
                "d=\"$HOME/.local/state/nixcert/deploy\"; mkdir -p \"$d\" && nix-store --realise '{path}' --add-root \
                 \"$d\"/'nixos-system-web' --indirect > /dev/null"
            )
        );
    }

    #[test]
    fn what_sudo_says() {
        assert!(is_sudo("sudo: a password is required"));
        assert!(is_sudo("Sorry, user alice is not allowed to execute '/usr/bin/nixcert' as root on web-1."));
        assert!(!is_sudo("error: the list is older than the one that is held"));
    }
}
