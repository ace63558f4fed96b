//! What the cases say again and again.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::wire::{Client, Flags, Parcel};
use crate::{
    host::{Host, Output},
    report::sentence,
};

/// Builds a new path with this name (and version), by a user, and gives its store path. No two calls give the same.
pub(crate) fn build(host: &Host, user: &str, name: &str) -> Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let expression = format!(
        "derivation {{ name = \"{name}\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
         args = [ \"-c\" \"echo {number} > $out\" ]; }}"
    );
    let text = host.run_as(user, &format!("nix-build --no-out-link -E '{expression}' 2>/dev/null"))?.ok()?;
    Ok(text.trim().to_owned())
}

/// Makes a key pair with stock Nix in a user's home, `NAME.secret` and `NAME.public`, and gives the public half.
pub(crate) fn key(host: &Host, user: &str, name: &str) -> Result<String> {
    let line = format!(
        "test -e {name}.secret || nix key generate-secret --key-name {name} > {name}.secret; \
         nix key convert-secret-to-public < {name}.secret > {name}.public; cat {name}.public"
    );
    Ok(host.run_as(user, &line)?.ok()?.trim().to_owned())
}

/// Signs a path, by a user with a key file in their home.
pub(crate) fn sign(host: &Host, user: &str, key: &str, path: &str) -> Result<()> {
    host.run_as(user, &format!("nix store sign -k {key} {path}"))?.ok().map(drop)
}

/// What nixos-rebuild runs.
pub(crate) fn copy_closure(from: &Host, user: &str, to: &Host, path: &str) -> Result<Output> {
    from.run_as(user, &format!("nix-copy-closure --to {user}@{} {path}", to.name()))
}

/// The command succeeded, and the path is there.
pub(crate) fn accepted(output: Output, host: &Host, path: &str) -> Result<()> {
    output.ok()?;
    if !is_valid(host, path)? {
        bail!("{path} is not valid on {}, though the command succeeded", host.name());
    }
    Ok(())
}

/// The command failed for want of a signature, in stock Nix's words, and the path is not there.
pub(crate) fn refused(output: &Output, host: &Host, path: &str) -> Result<()> {
    let sentence = format!("cannot add path '{path}' because it lacks a signature by a trusted key");
    if output.success {
        bail!("this succeeded, and should not have: {}\n{}", output.command, output.text);
    }
    if !output.text.contains(&sentence) {
        bail!("the refusal does not say «{sentence}»: {}\n{}", output.command, output.text);
    }
    if is_valid(host, path)? {
        bail!("{path} is valid on {}, though it was refused", host.name());
    }
    Ok(())
}

/// Whether a path is valid on a host.
pub(crate) fn is_valid(host: &Host, path: &str) -> Result<bool> {
    Ok(host.run_as("bob", &format!("nix-store --check-validity {path}"))?.success)
}

/// Offers a path on a connection: it is accepted, or refused for want of a signature, with this reason code. Gives what
/// the daemon said.
pub(crate) fn offer(client: &mut Client, parcel: &Parcel, reason: Option<&str>) -> Result<String> {
    let path = &parcel.info.path;
    let said = match client.add(parcel, Flags::default()) {
        Ok(()) => String::new(),
        Err(error) => sentence(&error),
    };
    let is_refusal =
        said.contains(&format!("cannot add path '{path}' because it lacks a signature by a trusted key"));
    let is_valid = client.info(path)?.is_some();
    let as_wanted = match reason {
        None => said.is_empty() && is_valid,
        Some(reason) => is_refusal && said.contains(&format!("[{reason}]")) && !is_valid,
    };
    if !as_wanted {
        let wanted =
            reason.map_or("accepted".to_owned(), |reason| format!("refused with the reason {reason}"));
        let valid = if is_valid { "valid" } else { "not valid" };
        bail!("{path} should have been {wanted}; it is {valid}, and the daemon said: «{said}»");
    }
    Ok(said)
}

/// The words are all there.
pub(crate) fn says(text: &str, words: &[&str]) -> Result<()> {
    match words.iter().find(|word| !text.contains(**word)) {
        Some(word) => bail!("this does not say «{word}»: {text}"),
        None => Ok(()),
    }
}

/// The lines of the host's log that have this in them. What was logged before this is called is among them.
pub(crate) fn log_lines(host: &Host, part: &str) -> Result<Vec<String>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let marker = format!("mark {} of the test bed", COUNT.fetch_add(1, Ordering::Relaxed));
    host.root(&format!("busybox logger '{marker}'"))?;
    let begun = Instant::now();
    loop {
        let log = String::from_utf8_lossy(&host.read("/var/log/messages")?).into_owned();
        if log.contains(&marker) {
            return Ok(log.lines().filter(|line| line.contains(part)).map(str::to_owned).collect());
        }
        if begun.elapsed() > Duration::from_secs(10) {
            bail!("the log of {} does not have «{marker}»", host.name());
        }
        thread::sleep(Duration::from_millis(20));
    }
}
