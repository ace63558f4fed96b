//! The NixOS part: every Nix file can be read, and the cases in `nixos/tests` hold, in the Nix that is tested and with
//! nixpkgs' own `lib`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    cache::Cache,
    host::{Host, Recipe},
    network::Switch,
    nix_build::{self, Extent, Optimise},
    nix_source::{Nix, Source},
    products::{self, Profile},
    report::{Step, sentence},
    roots,
    tally::Tally,
};

/// Names the directory of nixpkgs' `lib`: of a clone of nixpkgs, or of nix-community/nixpkgs.lib.
const LIB: &str = "NIXPKGS_LIB";

/// What the cases are given. `nix` and `nixcert` are strings: there, they are not in a store.
const CASES: &str = r#"
{ file }:
let
  lib = import /srv/lib;
  cases = import (/srv/nixcert/nixos/tests + "/${file}") {
    inherit lib;
    nix = "/usr";
    nixcert = "/usr";
    nixSource = SOURCE;
  };
in
{
  inherit cases;
  list = lib.mapAttrsToList (name: case: {
    inherit name;
    build = case ? build;
    error = case.error or null;
    contains = case.contains or [ ];
    lacks = case.lacks or [ ];
  }) cases;
}
"#;

/// A case in one of the files: an attribute set with `value` and `expected`, or `value` and `error`; or with `build`,
/// and what its output `contains` and `lacks`, or the `error` of which its log speaks.
#[derive(Deserialize)]
struct Case {
    name: String,
    build: bool,
    error: Option<String>,
    contains: Vec<String>,
    lacks: Vec<String>,
}

/// A value, beside what it is to be.
#[derive(Deserialize)]
struct Compared {
    value: serde_json::Value,
    expected: serde_json::Value,
}

/// Runs the tests of which the names are wanted.
pub(crate) fn run(
    cache: &Cache,
    scratch: &Path,
    nix: &Nix,
    wanted: &dyn Fn(&str) -> bool,
    tally: &mut Tally,
) -> Result<()> {
    let root = roots::root(cache, nix.supported.builder())?;
    let command = products::command(cache, Profile::Dev)?;
    let build = nix_build::build(cache, nix, Extent::Full, Optimise::No)?;
    let files = tempfile::tempdir_in(scratch)?;
    let lib = env::var_os(LIB).map(PathBuf::from);
    let source = layer(files.path(), nix, lib.as_deref())?;
    let layers =
        vec![files.path(), &*command, &*build.layer()].into_iter().map(Path::to_owned).collect::<Vec<_>>();
    let switch = Switch::start()?;
    let recipe = Recipe {
        name: "admin",
        number: 1,
        root: &root,
        layers: layers.iter().map(PathBuf::as_path).collect(),
    };
    let host = Host::boot(&scratch.join("nixos"), &switch, &recipe)?;
    host.configure("")?;
    host.write("/srv/cases.nix", CASES.replace("SOURCE", source).as_bytes())?;

    if wanted("nixos/parse") {
        parse(&host, tally)?;
    }
    for file in test_files()? {
        let of_file = format!("nixos/{}", file.trim_end_matches(".nix"));
        if lib.is_none() {
            tally.skipped(&of_file, 1, &format!("{LIB} does not name the lib of a nixpkgs"));
            continue;
        }
        let step = Step::start(format!("Evaluating nixos/tests/{file}"));
        let list = host.root(&format!(
            "nix-instantiate --eval --read-write-mode --strict --json --argstr file {file} -A list /srv/cases.nix 2>/tmp/said || {{ cat /tmp/said >&2; exit 1; }}"
        ));
        step.done();
        let list: Vec<Case> = match list {
            Ok(list) => serde_json::from_str(&list).context("the list of cases is malformed")?,
            Err(error) => {
                tally.failed(&of_file, &sentence(&error));
                continue;
            }
        };
        for case in list {
            let name = format!("{of_file}/{}", case.name);
            if !wanted(&name) {
                continue;
            }
            let begun = Instant::now();
            match check(&host, &file, &case) {
                Ok(()) => tally.passed(&name, 1, begun.elapsed()),
                Err(error) => tally.failed(&name, &sentence(&error)),
            }
        }
    }
    Ok(())
}

/// The files with cases, by name.
fn test_files() -> Result<Vec<String>> {
    let mut files: Vec<String> = fs::read_dir(products::clone()?.join("nixos/tests"))?
        .flatten()
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".nix"))
        .collect();
    files.sort_unstable();
    Ok(files)
}

/// Lays out what the host sees below /srv: this clone, `lib`, and the source of Nix. Gives the last one's place, as Nix
/// writes it.
fn layer(layer: &Path, nix: &Nix, lib: Option<&Path>) -> Result<&'static str> {
    copy(products::clone()?, &layer.join("srv/nixcert"))?;
    if let Some(lib) = lib {
        if !lib.join("modules.nix").is_file() {
            bail!("{LIB} names {}, which is not the lib of a nixpkgs", lib.display());
        }
        copy(lib, &layer.join("srv/lib"))?;
    }
    match &nix.source {
        // nixpkgs has no such old one any more.
        Source::Debian => Ok("null"),
        Source::Copy(tree) => {
            copy(tree, &layer.join("srv/nix"))?;
            Ok("/srv/nix")
        }
    }
}

/// Copies a tree, without what was built in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let mut tar = Command::new("tar")
        .args(["--create", "--exclude-vcs", "--anchored", "--exclude=./target", "--exclude=./result*", "."])
        .current_dir(from)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start tar")?;
    let pipe = tar.stdout.take().context("tar has no output")?;
    let unpacked = Command::new("tar").arg("--extract").arg("--directory").arg(to).stdin(pipe).status()?;
    if !tar.wait()?.success() || !unpacked.success() {
        bail!("cannot copy {}", from.display());
    }
    Ok(())
}

/// Every Nix file, by the Nix that is tested.
fn parse(host: &Host, tally: &mut Tally) -> Result<()> {
    let begun = Instant::now();
    let files = nix_files()?;
    let names: Vec<String> = files.iter().map(|file| format!("/srv/nixcert/{}", file.display())).collect();
    match host.root(&format!("nix-instantiate --parse {} > /dev/null", names.join(" "))) {
        Ok(_) => tally.passed("nixos/parse", files.len(), begun.elapsed()),
        Err(error) => tally.failed("nixos/parse", &sentence(&error)),
    }
    Ok(())
}

/// Every Nix file of the clone, relative to it.
fn nix_files() -> Result<Vec<PathBuf>> {
    let clone = products::clone()?;
    let (mut files, mut directories) = (vec![PathBuf::from("flake.nix")], vec![PathBuf::from("nixos")]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(clone.join(&directory))? {
            let path = directory.join(entry?.file_name());
            if clone.join(&path).is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "nix") {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Whether a case is as it claims.
fn check(host: &Host, file: &str, case: &Case) -> Result<()> {
    let named = format!("--argstr file {file} /srv/cases.nix -A cases.{}", case.name);
    let line = match (case.build, &case.error) {
        (true, _) => format!("nix-build --no-out-link {named}.build"),
        (false, Some(_)) => format!("nix-instantiate --eval --read-write-mode --strict --json {named}.value"),
        (false, None) => format!("nix-instantiate --eval --read-write-mode --strict --json {named}"),
    };
    let Some(error) = &case.error else {
        let printed = host.root(&line)?;
        if !case.build {
            let compared: Compared =
                serde_json::from_str(&printed).context("it has no value, or nothing is expected")?;
            return same(&compared);
        }
        let output = String::from_utf8(host.read(printed.trim())?)?;
        for (texts, wanted) in [(&case.contains, true), (&case.lacks, false)] {
            if let Some(text) = texts.iter().find(|text| output.contains(text.as_str()) != wanted) {
                bail!("its output {} this: {text}\n{output}", if wanted { "lacks" } else { "has" });
            }
        }
        return Ok(());
    };
    match host.root(&line) {
        Ok(printed) => bail!("it was to fail with «{error}», and gave {printed}"),
        Err(said) if in_one_line(&sentence(&said)).contains(&in_one_line(error)) => Ok(()),
        Err(said) => bail!("it was to fail with «{error}», and said {}", sentence(&said)),
    }
}

fn same(compared: &Compared) -> Result<()> {
    if compared.value != compared.expected {
        bail!("it is not what is expected, but\n{:#}\ninstead of\n{:#}", compared.value, compared.expected);
    }
    Ok(())
}

/// Nix breaks lines, and indents, as it likes.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nix_files_are_formatted() -> Result<()> {
        for file in nix_files()? {
            let text = fs::read_to_string(products::clone()?.join(&file))?;
            let formatted =
                nixfmt_rs::format(&text).map_err(|error| anyhow::anyhow!("{}: {error:?}", file.display()))?;
            assert!(text == formatted, "nixfmt changes {}", file.display());
        }
        Ok(())
    }
}
