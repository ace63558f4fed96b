//! The ways into a store. Each is tried with an unsigned path and with a signed one.

use anyhow::{Result, bail};

use super::tools::{build, copy_closure, is_valid, refused, sign};
use crate::{
    host::{Host, Output},
    network::address,
};

/// A way for a user of the workstation to have a path in the server's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// What nixos-rebuild runs; the serve protocol.
    CopyClosure,
    /// `nix copy --to ssh-ng://`, the worker protocol.
    SshNg,
    /// Substitution from a directory.
    FileCache,
    /// Substitution over http.
    HttpCache,
}

/// Who signs, and what the server's settings say of it.
pub(crate) struct Signer {
    /// Lines of nix.conf.
    pub(crate) settings: String,
    /// A key file in the home of the user, on the sender's host.
    pub(crate) key: Option<String>,
}

impl Channel {
    /// The settings that this channel needs on the server.
    fn settings(self, from: &Host) -> String {
        match self {
            Self::CopyClosure | Self::SshNg => String::new(),
            Self::FileCache => "substituters = file:///srv/cache\n".into(),
            Self::HttpCache => format!("substituters = http://{}:8080\n", address(from.number())),
        }
    }

    /// Sends a path that is valid on `from`.
    fn send(self, from: &Host, user: &str, server: &Host, path: &str) -> Result<Output> {
        match self {
            Self::CopyClosure => copy_closure(from, user, server, path),
            Self::SshNg => {
                from.run_as(user, &format!("nix copy --to ssh-ng://{user}@{} {path}", server.name()))
            }
            Self::FileCache => {
                from.root("mkdir -p -m 1777 /srv/cache")?;
                from.run_as(user, &format!("nix copy --to file:///srv/cache {path}"))?.ok()?;
                let archive = from.root_bytes("tar -C /srv -c cache")?;
                server.write("/srv/cache.tar", &archive)?;
                server.root("tar -C /srv -xf /srv/cache.tar")?;
                server.run_as(user, &format!("nix-store --realise {path}"))
            }
            Self::HttpCache => {
                from.root("mkdir -p -m 1777 /srv/cache; test -e /run/httpd || busybox httpd -p 8080 -h /srv/cache; touch /run/httpd")?;
                from.run_as(user, &format!("nix copy --to file:///srv/cache {path}"))?.ok()?;
                server.run_as(user, &format!("nix-store --realise {path}"))
            }
        }
    }

    /// Whether this output is this channel's refusal for want of a signature.
    pub(crate) fn is_refusal(self, output: &Output, server: &Host, path: &str) -> Result<()> {
        match self {
            Self::CopyClosure | Self::SshNg => refused(output, server, path),
            Self::FileCache | Self::HttpCache => {
                let sentence = format!("ignoring substitute for '{path}'");
                if output.success || !output.text.contains(&sentence) {
                    bail!(
                        "the answer is not «{sentence}» and a failure: {}\n{}",
                        output.command,
                        output.text
                    );
                }
                if is_valid(server, path)? {
                    bail!("{path} is valid, though it was refused");
                }
                Ok(())
            }
        }
    }
}

/// Builds a path, signs it if there is a key, and sends it; gives the path and what was said.
pub(crate) fn deliver(
    from: &Host,
    channel: Channel,
    server: &Host,
    name: &str,
    signer: &Signer,
) -> Result<(String, Output)> {
    server.configure(&format!("{}{}", signer.settings, channel.settings(from)))?;
    let path = build(from, "alice", name)?;
    if let Some(key) = &signer.key {
        sign(from, "alice", key, &path)?;
    }
    let output = channel.send(from, "alice", server, &path)?;
    Ok((path, output))
}

/// Delivers, and expects the path to be accepted.
pub(crate) fn accepts(from: &Host, channel: Channel, server: &Host, signer: &Signer) -> Result<()> {
    let (path, output) = deliver(from, channel, server, "hello-1", signer)?;
    super::tools::accepted(output, server, &path)
}

/// Delivers, and expects a refusal, whose further lines must contain all of `reasons`.
pub(crate) fn refuses(
    from: &Host,
    channel: Channel,
    server: &Host,
    signer: &Signer,
    reasons: &[&str],
) -> Result<()> {
    let (path, output) = deliver(from, channel, server, "hello-1", signer)?;
    channel.is_refusal(&output, server, &path)?;
    for reason in reasons {
        if !output.text.contains(reason) {
            bail!("the refusal does not say «{reason}»: {}\n{}", output.command, output.text);
        }
    }
    Ok(())
}
