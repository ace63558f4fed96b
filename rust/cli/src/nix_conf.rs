//! What nix.conf says about trust, read as Nix reads it (libutil/configuration.cc, `parseConfigFiles`).

use crate::error::{Error, Result};
use nixcert_files as files;
use std::path::{Path, PathBuf};

/// What Nix trusts where no nix.conf sets `trusted-public-keys` (libstore/globals.hh).
pub(crate) const DEFAULT_PUBLIC_KEY: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";

/// Nobody's is longer.
const FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Nix has no limit, and follows a circle until it runs out of memory.
const INCLUDE_DEPTH: usize = 16;

/// The settings that decide about signatures, after all files were read in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NixConf {
    pub(crate) public_keys: Vec<String>,
    pub(crate) ca_keys: Vec<String>,
    pub(crate) host: Option<String>,
    pub(crate) policy_file: Option<String>,
    /// Whether `public_keys` begins with Nix's default.
    pub(crate) default_public_key: bool,
}

impl Default for NixConf {
    fn default() -> Self {
        Self {
            public_keys: vec![DEFAULT_PUBLIC_KEY.to_owned()],
            ca_keys: Vec::new(),
            host: None,
            policy_file: None,
            default_public_key: true,
        }
    }
}

impl NixConf {
    /// Read one more file: its settings replace what was read before, and `extra-` ones add to it.
    pub(crate) fn read(&mut self, path: &Path) -> Result<()> {
        self.read_at(path, 0)
    }

    fn read_at(&mut self, path: &Path, depth: usize) -> Result<()> {
        let fault = |problem: String| Error::new(format!("'{}': {problem}", path.display()));
        if depth > INCLUDE_DEPTH {
            return Err(fault("files include each other too deeply".to_owned()).help("take the circle out"));
        }
        let text = String::from_utf8(files::read(path, FILE_BYTES)?).map_err(|_| {
            fault("it is not text (UTF-8)".to_owned()).help("name a file like /etc/nix/nix.conf")
        })?;
        for (index, line) in text.split('\n').enumerate() {
            let code = line.split('#').next().unwrap_or_default();
            let tokens: Vec<&str> = code.split([' ', '\t', '\r']).filter(|token| !token.is_empty()).collect();
            match tokens.as_slice() {
                [] => {}
                ["include", file] => self.read_at(&relative_to(path, file), depth + 1)?,
                ["!include", file] => {
                    let file = relative_to(path, file);
                    if file.exists() {
                        self.read_at(&file, depth + 1)?;
                    }
                }
                [name, "=", value @ ..] => self.set(name, value),
                _ => {
                    return Err(fault(format!("line {} is not of the form 'NAME = VALUE'", index + 1))
                        .help("Nix refuses such a file too: correct the line"));
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: &[&str]) {
        let owned = || value.iter().map(|&token| token.to_owned());
        match name {
            "trusted-public-keys" | "binary-cache-public-keys" => {
                self.public_keys = owned().collect();
                self.default_public_key = false;
            }
            "extra-trusted-public-keys" | "extra-binary-cache-public-keys" => {
                self.public_keys.extend(owned())
            }
            "trusted-ca-keys" => self.ca_keys = owned().collect(),
            "extra-trusted-ca-keys" => self.ca_keys.extend(owned()),
            "ca-host-name" => self.host = text(value),
            "ca-policy-file" => self.policy_file = text(value),
            _ => {}
        }
    }
}

/// A setting of one value; empty is none.
fn text(value: &[&str]) -> Option<String> {
    Some(value.join(" ")).filter(|text| !text.is_empty())
}

fn relative_to(file: &Path, included: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(included)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<NixConf> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let mut conf = NixConf::default();
        conf.read(&directory.path().join("nix.conf")).map(|()| conf)
    }

    #[test]
    fn last_assignment_wins_and_extra_adds() {
        let conf = read(&[(
            "nix.conf",
            "# comment\n\ntrusted-ca-keys = a:1 b:2 # not c:3\n  trusted-ca-keys\t=  d:4\nextra-trusted-ca-keys = e:5\n\
             extra-trusted-public-keys = x:1\nca-host-name = web-1\nca-policy-file = /etc/a  b.toml\nother = x = y\n",
        )])
        .unwrap();
        assert_eq!(conf.ca_keys, ["d:4", "e:5"]);
        assert_eq!(conf.public_keys, [DEFAULT_PUBLIC_KEY, "x:1"]);
        assert_eq!(conf.host.as_deref(), Some("web-1"));
        assert_eq!(conf.policy_file.as_deref(), Some("/etc/a b.toml"));

        let conf = read(&[(
            "nix.conf",
            "extra-trusted-public-keys = x:1\ntrusted-public-keys =\nca-policy-file =\n",
        )]);
        let conf = conf.unwrap();
        assert_eq!((conf.public_keys, conf.default_public_key, conf.policy_file), (vec![], false, None));
    }

    #[test]
    fn includes() {
        let conf = read(&[
            ("nix.conf", "include a.conf\n!include missing.conf\n!include b.conf\n"),
            ("a.conf", "trusted-ca-keys = a:1\n"),
            ("b.conf", "extra-trusted-ca-keys = b:2\n"),
        ])
        .unwrap();
        assert_eq!(conf.ca_keys, ["a:1", "b:2"]);
        for broken in
            ["include missing.conf\n", "include nix.conf\n", "trusted-ca-keys\n", "a b c\n", "a=b\n"]
        {
            assert!(read(&[("nix.conf", broken)]).is_err(), "{broken}");
        }
    }
}
