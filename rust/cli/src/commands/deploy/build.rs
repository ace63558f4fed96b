//! Building a system with nixos-rebuild.

use crate::commands::closure::held::resolve;
use crate::error::{Error, Result};
use nixcert_core::StorePath;
use nixcert_files::said;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A system that was built, with a link that keeps it.
pub(crate) struct Built {
    directory: TempDir,
}

/// Relative paths among the arguments mean this directory, and nixos-rebuild leaves its link where it runs: so it runs in
/// another, and is given what it names as it is from here.
pub(crate) fn build(arguments: &[OsString]) -> Result<Built> {
    let directory = tempfile::Builder::new().prefix("nixcert-deploy-").tempdir().map_err(|error| {
        Error::new(format!("cannot make a temporary directory: {}", said(&error))).help("check TMPDIR")
    })?;
    let here = std::env::current_dir()
        .map_err(|error| Error::new(format!("cannot find the current directory: {}", said(&error))))?;
    let status = Command::new("nixos-rebuild")
        .arg("build")
        .args(arguments.iter().map(|argument| from_here(argument, &here)))
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .status()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new("there is no command 'nixos-rebuild' in PATH")
                .help("build it by other means, and name the path: nixcert deploy --to USER@HOST … ./result"),
            _ => Error::new(format!("cannot run 'nixos-rebuild': {}", said(&error))),
        })?;
    match status.success() {
        true => Ok(Built { directory }),
        false => {
            Err(Error::new("'nixos-rebuild build' failed").help("see above; nothing was signed or copied"))
        }
    }
}

impl Built {
    pub(crate) fn system(&self) -> Result<StorePath> {
        resolve(&self.directory.path().join("result"))
    }
}

/// What begins with `.` or `..` is a path, also before the `#` of a flake.
fn from_here(argument: &OsString, here: &Path) -> OsString {
    let Some(text) = argument.to_str() else { return argument.clone() };
    let (path, output) = text.find('#').map_or((text, ""), |at| text.split_at(at));
    if !["./", "../"].iter().any(|start| format!("{path}/").starts_with(start)) {
        return argument.clone();
    }
    // Without its `.`, of which Nix asks why it is there.
    let path = path.strip_prefix("./").unwrap_or(if path == "." { "" } else { path });
    let mut absolute = here.as_os_str().to_owned();
    if !path.is_empty() {
        absolute.push("/");
        absolute.push(path);
    }
    absolute.push(output);
    absolute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_this_directory() {
        for (argument, expected) in [
            (".#web-1", "/home/alice#web-1"),
            ("./web", "/home/alice/web"),
            ("./web#web-1", "/home/alice/web#web-1"),
            ("../web", "/home/alice/../web"),
            ("..#x", "/home/alice/..#x"),
            (".", "/home/alice"),
            ("--flake", "--flake"),
            ("github:a/b#web-1", "github:a/b#web-1"),
            (".hidden", ".hidden"),
        ] {
            assert_eq!(from_here(&argument.into(), Path::new("/home/alice")), OsString::from(expected));
        }
    }
}
