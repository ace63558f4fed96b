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

    /// The one in this directory.
    ///
    /// # Errors
    /// It is no source tree of Nix, or no series fits: the error lists what is supported.
    pub(crate) fn in_directory(cache: &Cache, scratch: &Path, directory: &Path) -> Result<Self> {
        let tree = Tree::read(cache, scratch, directory)?;
        let Some(nix) = tree.nix() else {
            bail!(
                "no series of patches fits Nix {} in {}.\n{}",
                tree.version,
                directory.display(),
                supported::listed(&supported::all()?)
            )
        };
        Ok(nix)
    }
}

/// A source tree of Nix, and what the series make of it.
pub(crate) struct Tree {
    pub(crate) version: String,
    pub(crate) fits: Vec<Fit>,
    copy: PathBuf,
}

impl Tree {
    /// Reads the one in this directory.
    pub(crate) fn read(cache: &Cache, scratch: &Path, directory: &Path) -> Result<Self> {
        let (version, copy) = copy(cache, directory)?;
        let fits = supported::all()?
            .into_iter()
            .map(|supported| Ok(Fit { misfit: supported.misfit(&copy, scratch)?, supported }))
            .collect::<Result<_>>()?;
        Ok(Self { version, fits, copy })
    }

    /// It, with the series of its release; else, with the newest that fits.
    pub(crate) fn nix(&self) -> Option<Nix> {
        let release = release(&self.version);
        let fitting = || self.fits.iter().filter(|fit| fit.misfit.is_none()).map(|fit| &fit.supported);
        let supported = fitting().find(|it| it.release == release).or_else(|| fitting().next_back())?.clone();
        Some(Nix { supported, version: self.version.clone(), source: Source::Copy(self.copy.clone()) })
    }
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
