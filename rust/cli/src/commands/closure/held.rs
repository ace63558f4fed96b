//! A closure, as a store has it.

use crate::error::{Error, Result};
use crate::nix::{Known, Nix};
use crate::output;
use nixcert_core::{ClosureDigest, NarInfo, Object, StorePath, closure_digest};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A top-level path, and all that it refers to.
pub(crate) struct Held {
    pub(crate) top: StorePath,
    /// By name; the top-level path is one of them.
    pub(crate) paths: Vec<HeldPath>,
    pub(crate) digest: ClosureDigest,
}

/// What a store says of a path.
pub(crate) struct HeldPath {
    /// As a narinfo.
    pub(crate) text: String,
    pub(crate) narinfo: NarInfo,
    pub(crate) object: Object,
    /// Whether it was built in this store.
    pub(crate) ultimate: bool,
}

impl Held {
    pub(crate) fn read(nix: &Nix, top: StorePath) -> Result<Self> {
        let arguments: Vec<OsString> = ["--recursive", "--", top.as_str()].map(OsString::from).into();
        let known = output::busy("asking the store", || nix.path_info(&arguments))?;
        let mut paths = known.into_iter().map(HeldPath::read).collect::<Result<Vec<_>>>()?;
        paths.sort_by(|one, other| one.path().cmp(other.path()));
        let digest =
            closure_digest(paths.iter().map(|path| path.object.fingerprint())).map_err(Error::new)?;
        if !paths.iter().any(|path| *path.path() == top) {
            return Err(
                Error::new(format!("the store did not say what '{top}' is")).help("is this its name there?")
            );
        }
        Ok(Self { top, paths, digest })
    }

    pub(crate) fn get(&self, path: &str) -> Option<&HeldPath> {
        self.paths.iter().find(|held| held.path().as_str() == path)
    }

    pub(crate) fn top_signatures(&self) -> &[String] {
        self.get(self.top.as_str()).map(|held| held.narinfo.signatures.as_slice()).unwrap_or_default()
    }
}

impl HeldPath {
    pub(crate) fn read(known: Known) -> Result<Self> {
        let fault = |problem: String| Error::new(format!("'{}': {problem}", known.path));
        let text = known.narinfo.map_err(|problem| {
            fault(problem).help("build it, or copy it here: signatures are about what is in the store")
        })?;
        let narinfo = NarInfo::parse(&text).map_err(|error| fault(error.to_string()))?;
        let object =
            Object::path(narinfo.info.fingerprint().as_bytes()).map_err(|error| fault(error.to_string()))?;
        Ok(Self { text, narinfo, object, ultimate: known.ultimate })
    }

    pub(crate) fn path(&self) -> &StorePath {
        &self.narinfo.info.path
    }
}

/// Links to follow, such as those of a profile: more than any has.
const LINKS: usize = 16;

/// The store path that somebody named, by itself or by a link to it.
pub(crate) fn resolve(named: &Path) -> Result<StorePath> {
    let fault = |problem: &str| {
        Error::new(format!("'{}' is not a store path: {problem}", named.display()))
            .help("name one, such as /nix/store/…-nixos-system-…, or a link to one, such as ./result")
    };
    let mut path: PathBuf = named.to_owned();
    for _ in 0..LINKS {
        let text = path.to_str().ok_or_else(|| fault("it is not text (UTF-8)"))?;
        if let Ok(store_path) = StorePath::parse(text) {
            return Ok(store_path);
        }
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) if path.symlink_metadata().is_ok() => {
                return Err(fault("it is neither that, nor a link to one"));
            }
            Err(_) if text.contains('/') && StorePath::parse(&parent_of(&path)).is_ok() => {
                return Err(fault("it is inside of one"));
            }
            Err(_) => return Err(fault("there is no such file")),
        }
    }
    Err(fault("it is a link to a link, without end"))
}

fn parent_of(path: &Path) -> String {
    path.parent().map(|parent| parent.display().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const PATH: &str = "/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-nixos-system-web-1";

    #[test]
    fn paths_and_links_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        symlink(PATH, here.join("system-1-link")).unwrap();
        symlink("system-1-link", here.join("system")).unwrap();
        symlink("circle", here.join("circle")).unwrap();
        symlink(format!("{PATH}/bin"), here.join("inside")).unwrap();
        std::fs::write(here.join("file"), "").unwrap();
        assert_eq!(resolve(Path::new(PATH)).unwrap().as_str(), PATH);
        assert_eq!(resolve(&here.join("system")).unwrap().as_str(), PATH);
        for (name, problem) in [
            ("circle", "without end"),
            ("file", "neither"),
            ("missing", "no such file"),
            ("inside", "inside"),
        ] {
            let error = resolve(&here.join(name)).unwrap_err();
            assert!(error.message().contains(problem), "{name}: {}", error.message());
        }
    }
}
