//! Upstream's own functional tests, as far as signatures are concerned, on the base build: hardening and seam must
//! break nothing, and need no Rust.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    nix_build::{self, NixBuild, Optimise},
    products,
    report::Step,
    roots::{self, Access, Release, inside},
    tally::Tally,
};

/// The tests, as meson names them, in all suites. Tests that the patches add are run as well.
const TESTS: [&str; 14] = [
    "signing",
    "binary-cache",
    "remote-store",
    "legacy-ssh-store",
    "nix-copy-ssh",
    "nix-copy-ssh-ng",
    "substitute-with-invalid-ca",
    "repair",
    "export",
    "fetchClosure",
    "path-info",
    "secure-drv-outputs",
    "signatures",
    "substitute",
];

/// Runs them on the base build, and those that concern certificates on the full one.
pub(crate) fn run(cache: &Cache, scratch: &Path, tally: &mut Tally) -> Result<()> {
    let root = roots::root(cache, Release::Trixie)?;
    let [base_tests, full_tests] = nix_build::changed_tests()?;
    let base = nix_build::base(cache, &root, Optimise::No)?;
    let tests = TESTS.iter().map(|&name| name.to_owned()).chain(base_tests).collect();
    functional(cache, scratch, &root, "base", &base, tests, tally)?;
    if let Some(full) = nix_build::full(cache, &root, Optimise::No)? {
        let tests = ["signing".to_owned()].into_iter().chain(full_tests).collect();
        functional(cache, scratch, &root, "full", &full, tests, tally)?;
    }
    Ok(())
}

fn functional(
    cache: &Cache,
    scratch: &Path,
    root: &Path,
    name: &str,
    build: &NixBuild,
    mut tests: Vec<String>,
    tally: &mut Tally,
) -> Result<()> {
    tests.sort();
    tests.dedup();
    let command = products::command(cache, products::Profile::Dev)?;
    let step = Step::start(format!("Running upstream's functional tests on the {name} build"));
    let work = scratch.join("upstream");
    fs::create_dir_all(&work)?;
    let (tree, layer) = (build.tree(), build.layer());
    let binds = [
        (work.as_path(), "/build"),
        (tree.as_path(), "/prefix"),
        (layer.as_path(), "/mnt"),
        (&command, "/opt"),
    ];
    let script = SCRIPT.replace("@tests@", &tests.join(" "));
    let output = inside(root, Access::Read, &binds, &script).stdin(Stdio::null()).output()?;
    step.done();

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = cache.place("logs")?.join(format!("upstream-{name}.log"));
    fs::write(&log, [output.stdout, output.stderr].concat())?;
    let mut seen = 0;
    for line in text.lines() {
        // `12/14 nix-functional-tests:main / signing   OK   5.31s`
        let mut words = line.split_whitespace();
        if !words
            .next()
            .is_some_and(|word| word.contains('/') && word.starts_with(|c: char| c.is_ascii_digit()))
        {
            continue;
        }
        let words: Vec<&str> = words.collect();
        let Some(at) =
            words.iter().position(|word| ["OK", "SKIP", "FAIL", "TIMEOUT", "ERROR"].contains(word))
        else {
            continue;
        };
        seen += 1;
        let test = format!(
            "upstream/{name}/{}",
            words.get(..at).unwrap_or_default().concat().replace("nix-functional-tests:", "")
        );
        let seconds = words.get(at + 1).and_then(|time| time.trim_end_matches('s').parse().ok());
        let time = seconds.map(Duration::from_secs_f32).unwrap_or_default();
        match words.get(at).copied() {
            Some("OK") => tally.passed(&test, 1, time),
            Some("SKIP") => tally.skipped(&test, 1, "upstream's test says so"),
            _ => tally.failed(&test, &format!("see {}", log.display())),
        }
    }
    if seen == 0 {
        bail!("upstream's tests did not run: see {}", log.display());
    }
    fs::remove_dir_all(&work).context("cannot clean up after upstream's tests")
}

/// A build of the tests alone, with the Nix that was built before. They run as a user, as upstream means them to.
const SCRIPT: &str = r#"
mkdir /build/bin
cp /mnt/usr/bin/nix /build/bin/
for it in nix-build nix-channel nix-collect-garbage nix-copy-closure nix-daemon nix-env nix-hash nix-instantiate \
    nix-prefetch-url nix-shell nix-store build-remote; do
    ln -s nix /build/bin/$it
done
cp -r /prefix/tests /prefix/.version /build/
export PATH="/build/bin:/opt/usr/bin:$PATH"
cd /build
meson setup run tests/functional >&2
chown -R alice: /build
setpriv --reuid alice --regid alice --clear-groups env HOME=/tmp NIX_STORE= meson test -C run --no-rebuild --num-processes 2 \
    --print-errorlogs @tests@ || true
"#;
