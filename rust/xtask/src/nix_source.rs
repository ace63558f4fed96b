//! Which Nix is built: Debian 13's source, or any source tree; and which series fits it.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::{
    cache::{Cache, Key},
    report::Step,
    supported::{self, Supported},
};

/// A Nix to build.
#[derive(Clone)]
pub(crate) struct Nix {
    /// The series that fits it.
    pub(crate) supported: Supported,
    /// Its version, as its source says.
    pub(crate) version: String,
    pub(crate) source: Source,
}

/// Where its source is.
#[derive(Clone)]
pub(crate) enum Source {
    /// In the root that it is built in: Debian's source package, with Debian's own patches.
    Debian,
    /// In the cache: a copy of somebody's tree.
    Copy(PathBuf),
}

/// What one series makes of a source tree.
pub(crate) struct Fit {
    pub(crate) supported: Supported,
    /// The first patch that does not apply; none if it fits.
    pub(crate) misfit: Option<String>,
}

impl Nix {
    /// Debian 13's.
    pub(crate) fn debian() -> Result<Self> {
        let supported = supported::all()?.into_iter().next().context("no release of Nix is supported")?;
        Ok(Self { version: supported.tried.clone(), supported, source: Source::Debian })
    }

    /// The one in this directory, with the series of its release; else, with the newest that fits.
    ///
    /// # Errors
    /// It is no source tree of Nix, or none fits: the error lists what is supported.
    pub(crate) fn in_directory(cache: &Cache, scratch: &Path, directory: &Path) -> Result<Self> {
        let (version, copy) = copy(cache, directory)?;
        let fits = fits(&copy, scratch)?;
        let release = release(&version);
        let fitting = || fits.iter().filter(|fit| fit.misfit.is_none()).map(|fit| &fit.supported);
        match fitting().find(|it| it.release == release).or_else(|| fitting().next_back()) {
            Some(supported) => Ok(Self { supported: supported.clone(), version, source: Source::Copy(copy) }),
            None => bail!(
                "no series of patches fits Nix {version} in {}.\n{}",
                directory.display(),
                supported::listed(&supported::all()?)
            ),
        }
    }
}

/// What each series makes of the source tree in this directory, and its version.
pub(crate) fn every_fit(cache: &Cache, scratch: &Path, directory: &Path) -> Result<(String, Vec<Fit>)> {
    let (version, copy) = copy(cache, directory)?;
    Ok((version, fits(&copy, scratch)?))
}

fn fits(source: &Path, scratch: &Path) -> Result<Vec<Fit>> {
    supported::all()?
        .into_iter()
        .map(|supported| Ok(Fit { misfit: supported.misfit(source, scratch)?, supported }))
        .collect()
}

/// `2.34` of `2.34.8`.
fn release(version: &str) -> String {
    version.split('.').take(2).collect::<Vec<_>>().join(".")
}

/// The version of the Nix in a directory, and a copy of its tree in the cache: without what was built in it.
fn copy(cache: &Cache, directory: &Path) -> Result<(String, PathBuf)> {
    let not_nix = || {
        format!("{} is no source tree of Nix: clone its repository, and name the clone", directory.display())
    };
    if !directory.join("src/libstore/local-store.cc").is_file() {
        bail!(not_nix());
    }
    let version = fs::read_to_string(directory.join(".version")).with_context(not_nix)?.trim().to_owned();
    if version.is_empty() || !version.chars().all(|c| c.is_ascii_alphanumeric() || "._-+".contains(c)) {
        bail!("the version of Nix in {}/.version is malformed", directory.display());
    }
    let tar = || {
        let mut tar = Command::new("tar");
        tar.args([
            "--create",
            "--sort=name",
            "--mtime=@0",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--exclude-vcs",
        ]);
        tar.args(["--anchored", "--exclude=./build", "--exclude=./result*", "."]).current_dir(directory);
        tar.stdout(Stdio::piped());
        tar
    };
    let step = Step::start(format!("Reading the source of Nix {version}"));
    let mut child = tar().spawn().context("cannot start tar")?;
    let mut pipe = child.stdout.take().context("tar has no output")?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        let length = pipe.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        hash.update(buffer.get(..length).unwrap_or_default());
    }
    if !child.wait()?.success() {
        bail!("cannot read all of {}", directory.display());
    }
    let key = Key::of([hash.finalize().as_slice()]);
    let copy = cache.entry("nix-source", &key, |entry| {
        let mut child = tar().spawn()?;
        let pipe = child.stdout.take().context("tar has no output")?;
        let unpacked =
            Command::new("tar").arg("--extract").arg("--directory").arg(entry).stdin(pipe).status()?;
        if !child.wait()?.success() || !unpacked.success() {
            bail!("cannot copy {} to {}", directory.display(), entry.display());
        }
        Ok(())
    })?;
    step.done();
    Ok((version, copy))
}
