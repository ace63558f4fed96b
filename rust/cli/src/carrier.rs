//! Bringing signatures to paths that a store has already: a binary cache of narinfos alone, from which Nix copies them.

use crate::error::{Error, Result};
use crate::nix::Nix;
use nixcert_core::{NarInfo, StorePath};
use nixcert_files::{self as files, Access, Existing, said};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use tempfile::TempDir;

/// Such a cache, for as long as it is needed.
pub(crate) struct Carrier {
    cache: TempDir,
}

impl Carrier {
    pub(crate) fn new() -> Result<Self> {
        let fault = |error: std::io::Error| {
            Error::new(format!("cannot make a temporary directory: {}", said(&error)))
                .help("check TMPDIR, and whether there is room")
        };
        Ok(Self { cache: tempfile::Builder::new().prefix("nixcert-").tempdir().map_err(fault)? })
    }

    /// Put in the narinfo of a path: all that is said in it of the path must be what the store says.
    pub(crate) fn put(&self, path: &str, narinfo: &str) -> Result<()> {
        let path = StorePath::parse(path).map_err(Error::new)?;
        let info = self.cache.path().join("nix-cache-info");
        if !info.exists() {
            let contents = format!("StoreDir: {}\n", path.directory());
            files::write(&info, contents.as_bytes(), Access::Public, Existing::Keep)?;
        }
        let base = path.as_str().rsplit('/').next().unwrap_or_default();
        let digest = base.split('-').next().unwrap_or_default();
        fs::write(self.cache.path().join(format!("{digest}.narinfo")), narinfo).map_err(|error| {
            Error::new(format!("cannot write into the temporary directory: {}", said(&error)))
        })
    }

    /// Let Nix copy the signatures of these paths. What the store says afterwards is the answer, not that nobody complained:
    /// the signatures that each path has then.
    pub(crate) fn deliver(&self, nix: &Nix, paths: &[String]) -> Result<BTreeMap<String, BTreeSet<String>>> {
        nix.copy_signatures(&format!("file://{}", self.cache.path().display()), paths)?;
        let known = nix.path_info_of(paths)?.into_iter().filter_map(|known| {
            let narinfo = NarInfo::parse(known.narinfo.as_deref().ok()?).ok()?;
            Some((known.path, narinfo.signatures.into_iter().collect()))
        });
        Ok(known.collect())
    }
}

/// A narinfo with these signatures in the place of those that it has.
pub(crate) fn with_signatures<'a>(narinfo: &str, signatures: impl IntoIterator<Item = &'a String>) -> String {
    let mut text: String = narinfo.split_inclusive('\n').filter(|line| !line.starts_with("Sig:")).collect();
    for signature in signatures {
        text.push_str(&format!("Sig: {signature}\n"));
    }
    text
}
