//! What the cases say again and again.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

use crate::host::{Host, Output};

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
