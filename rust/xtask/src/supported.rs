//! The releases of Nix that have a series of patches, and those patches. `patches/supported.toml` is the list.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{products, roots::Release};

/// The list, below the clone's root.
const LIST: &str = "patches/supported.toml";

/// A release of Nix that is supported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Supported {
    /// The directory of its patches, below `patches`.
    pub(crate) series: String,
    /// The first two numbers of its version.
    pub(crate) release: String,
    /// The tag or commit that the series was tried with.
    pub(crate) tried: String,
    builder: Builder,
    /// Whether there is a plugin for it.
    pub(crate) plugin: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Builder {
    #[serde(rename = "13")]
    Trixie,
    #[serde(rename = "testing")]
    Testing,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    nix: Vec<Supported>,
}

/// A part of a series. No part needs the ones after it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Group {
    /// What untrusted clients may ask for, and what malformed signatures may do.
    Hardening,
    /// One function that judges all signatures at once.
    Seam,
    /// The build option, and the library.
    Certificates,
    /// A command that is asked before a profile changes.
    GuardedProfiles,
}

/// A patch.
#[derive(Clone)]
pub(crate) struct Patch {
    /// The file's name.
    pub(crate) name: String,
    /// The file.
    pub(crate) text: String,
    /// The part of the series that it belongs to.
    pub(crate) group: Group,
}

/// All supported releases, oldest first.
pub(crate) fn all() -> Result<Vec<Supported>> {
    let text =
        fs::read_to_string(products::clone()?.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let list: List = toml::from_str(&text).with_context(|| format!("cannot understand {LIST}"))?;
    Ok(list.nix)
}

/// As an error lists what is supported.
pub(crate) fn listed(all: &[Supported]) -> String {
    let releases: Vec<String> = all.iter().map(|it| format!("  {it}")).collect();
    format!("These are supported:\n{}", releases.join("\n"))
}

impl Supported {
    /// The Debian that has what its build needs.
    pub(crate) fn builder(&self) -> Release {
        match self.builder {
            Builder::Trixie => Release::Trixie,
            Builder::Testing => Release::TestingBuilder,
        }
    }

    /// Its patches, in order.
    pub(crate) fn patches(&self) -> Result<Vec<Patch>> {
        let directory = self.directory()?;
        let list = directory.join("series");
        let text = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        let mut group = None;
        let mut patches = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(heading) = line.strip_prefix('#') {
                group = Some(Group::parse(heading.trim())?);
                continue;
            }
            let Some(group) = group else { bail!("{} names a patch before a group", list.display()) };
            let text = fs::read_to_string(directory.join(line))
                .with_context(|| format!("{} names {line}, which cannot be read", list.display()))?;
            if !line.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
                bail!("the name of a patch has an unexpected character: {line}");
            }
            patches.push(Patch { name: line.to_owned(), text, group });
        }
        Ok(patches)
    }

    /// The first of its patches that does not apply to this source tree, of which a copy is made in `scratch`; none if it fits.
    pub(crate) fn misfit(&self, source: &Path, scratch: &Path) -> Result<Option<String>> {
        let copy = scratch.join(format!("fit-{}", self.series));
        let copied =
            Command::new("cp").arg("-a").arg(source).arg(&copy).status().context("cannot start cp")?;
        if !copied.success() {
            bail!("cannot copy {} to {}", source.display(), copy.display());
        }
        let misfit = (|| {
            for patch in self.patches()? {
                // A repository around the copy would make git look for the files from its top.
                let mut git = Command::new("git");
                git.args(["apply", "-"])
                    .current_dir(&copy)
                    .env("GIT_CEILING_DIRECTORIES", scratch)
                    .env_remove("GIT_DIR");
                let mut child =
                    git.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot start git")?;
                if let Some(mut pipe) = child.stdin.take() {
                    // Git may end before it has read all; its status says so.
                    let _ = std::io::Write::write_all(&mut pipe, patch.text.as_bytes());
                }
                if !child.wait()?.success() {
                    return Ok(Some(patch.name));
                }
            }
            Ok(None)
        })();
        fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
        misfit
    }

    fn directory(&self) -> Result<PathBuf> {
        Ok(products::clone()?.join("patches").join(&self.series))
    }
}

impl fmt::Display for Supported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<10} for Nix {}, tried with {}", self.series, self.release, self.tried)
    }
}

impl Group {
    fn parse(heading: &str) -> Result<Self> {
        Ok(match heading {
            "hardening" => Self::Hardening,
            "seam" => Self::Seam,
            "certificates" => Self::Certificates,
            "guarded profiles" => Self::GuardedProfiles,
            other => bail!("a series has no group «{other}»"),
        })
    }
}

impl Patch {
    /// The functional tests that it adds or changes, as meson names them.
    pub(crate) fn tests(&self) -> impl Iterator<Item = String> + '_ {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("+++ b/tests/functional/")?.strip_suffix(".sh"))
            .filter(|name| !name.starts_with("common"))
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_listed_and_readable() {
        let listed: Vec<String> = all().expect("list").iter().map(|it| it.series.clone()).collect();
        let mut there: Vec<String> = fs::read_dir(products::clone().expect("clone").join("patches"))
            .expect("patches")
            .flatten()
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        there.sort();
        assert_eq!(listed, there);
        for it in all().expect("list") {
            let patches = it.patches().expect("patches");
            let files = fs::read_dir(it.directory().expect("directory")).expect("directory").count();
            assert_eq!(patches.len() + 1, files, "{}: a file that its series does not name", it.series);
            assert!(patches.is_sorted_by_key(|patch| patch.group), "{}", it.series);
            assert!(patches.is_sorted_by_key(|patch| patch.name.clone()), "{}", it.series);
        }
    }

    #[test]
    fn the_plugin_has_a_folder_and_an_option_for_each_release_it_knows() {
        let plugin = products::clone().expect("clone").join("cpp-shim/plugin");
        let options = fs::read_to_string(plugin.join("meson.options")).expect("meson.options");
        for it in all().expect("list") {
            assert_eq!(plugin.join(&it.series).is_dir(), it.plugin, "{}", it.series);
            assert_eq!(options.contains(&format!("'{}'", it.series)), it.plugin, "{}", it.series);
        }
    }

    #[test]
    fn the_readme_says_what_each_series_was_tried_with() {
        let readme =
            fs::read_to_string(products::clone().expect("clone").join("patches/README.md")).expect("README");
        for it in all().expect("list") {
            let row = readme.lines().find(|line| line.starts_with(&format!("| `{}` |", it.series)));
            let row = row.unwrap_or_else(|| panic!("patches/README.md has no row for {}", it.series));
            assert!(row.contains(&it.tried), "{row}");
        }
    }
}
