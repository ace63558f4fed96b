//! Systems as NixOS makes them, and what Mallory makes of them.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

use super::wire::Parcel;
use crate::host::Host;

/// The expression that all systems come from.
const EXPRESSION: &str = include_str!("system.nix");

/// A system in somebody's store.
pub(crate) struct System {
    /// The top-level path.
    pub(crate) top: String,
    /// Its closure.
    pub(crate) paths: Vec<String>,
}

/// A version that no other case uses.
pub(crate) fn version() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    format!("25.{:03}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl System {
    /// Builds a system of this version, with further arguments of the expression.
    pub(crate) fn build(host: &Host, user: &str, version: &str, arguments: &str) -> Result<Self> {
        host.write("/srv/system.nix", EXPRESSION.as_bytes())?;
        let line =
            format!("nix-build --no-out-link /srv/system.nix --argstr version {version} {arguments} 2>&1");
        let text = host.run_as(user, &line)?.ok()?;
        Self::of(host, text.lines().last().context("nix-build gave no path")?)
    }

    /// The derivation of such a system.
    pub(crate) fn derivation(host: &Host, user: &str, version: &str) -> Result<String> {
        host.write("/srv/system.nix", EXPRESSION.as_bytes())?;
        let line = format!("nix-instantiate /srv/system.nix --argstr version {version} 2>/dev/null");
        Ok(host.run_as(user, &line)?.ok()?.trim().to_owned())
    }

    /// The system with this top-level path in this host's store.
    pub(crate) fn of(host: &Host, top: &str) -> Result<Self> {
        let paths = host.root(&format!("nix-store --query --requisites {top}"))?;
        Ok(Self { top: top.to_owned(), paths: paths.lines().map(str::to_owned).collect() })
    }

    /// Its path with this name.
    pub(crate) fn part(&self, name: &str) -> Result<&str> {
        let found = self.paths.iter().find(|path| {
            path.strip_prefix("/nix/store/")
                .and_then(|base| base.get(33..))
                .is_some_and(|rest| rest.starts_with(name))
        });
        found.map(String::as_str).with_context(|| format!("no path of {} is called {name}", self.top))
    }
}

/// The same store path with other contents: what a shell script made of a copy of them, in the directory that it is.
pub(crate) fn doctored(host: &Host, path: &str, script: &str) -> Result<Parcel> {
    doctored_with(host, path, script, &references(host, path)?)
}

/// The same, said to refer to these paths.
pub(crate) fn doctored_with(host: &Host, path: &str, script: &str, references: &[String]) -> Result<Parcel> {
    let nar = host.root_bytes(&format!(
        "rm -rf /tmp/doctored; cp -a {path} /tmp/doctored; chmod -R u+w /tmp/doctored; cd /tmp/doctored; \
         ({script}) >&2; nix-store --dump /tmp/doctored"
    ))?;
    Ok(Parcel::of(path, nar, references.to_vec()))
}

/// What a path refers to.
pub(crate) fn references(host: &Host, path: &str) -> Result<Vec<String>> {
    let text = host.root(&format!("nix-store --query --references {path}"))?;
    let mut references: Vec<String> = text.lines().map(str::to_owned).collect();
    references.sort();
    Ok(references)
}

/// What was activated on a host since this was last asked: action and top-level path, one a line.
pub(crate) fn activated(host: &Host) -> Result<Vec<String>> {
    let text = host.root("touch /run/activated; cat /run/activated; rm /run/activated")?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// What a host would boot, and what its system profile is: none, if there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) boot: Option<String>,
    pub(crate) profile: Option<String>,
}

impl Standing {
    /// As it is now.
    pub(crate) fn of(host: &Host) -> Result<Self> {
        let text = host.root(
            "cat /boot/entry 2>/dev/null || echo; readlink -f /nix/var/nix/profiles/system 2>/dev/null || echo",
        )?;
        let mut lines = text.lines().map(|line| Some(line.to_owned()).filter(|line| !line.is_empty()));
        let (Some(boot), Some(profile)) = (lines.next(), lines.next()) else {
            bail!("the host {} does not say what it would boot:\n{text}", host.name())
        };
        // A link to nothing is followed to itself.
        Ok(Self { boot, profile: profile.filter(|path| path.starts_with("/nix/store/")) })
    }

    /// Both are this system.
    pub(crate) fn is(&self, top: &str) -> bool {
        [&self.boot, &self.profile].iter().all(|it| it.as_deref() == Some(top))
    }
}
