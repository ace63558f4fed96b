//! Upstream's own functional tests, as far as signatures are concerned, on the base build: hardening and seam must
//! break nothing, and need no Rust.

use std::{fs, path::Path, process::Stdio, time::Instant};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    nix_build::{self, Optimise},
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

/// Runs the tests.
pub(crate) fn run(cache: &Cache, scratch: &Path, tally: &mut Tally) -> Result<()> {
    let root = roots::root(cache, Release::Trixie)?;
    let base = nix_build::base(cache, &root, Optimise::No)?;
    let begun = Instant::now();
    let step = Step::start("Running upstream's functional tests");
    let work = scratch.join("upstream");
    fs::create_dir_all(&work)?;
    let (tree, layer) = (base.tree(), base.layer());
    let binds = [(work.as_path(), "/build"), (tree.as_path(), "/prefix"), (layer.as_path(), "/mnt")];
    let mut tests: Vec<String> = TESTS.iter().map(|&name| name.to_owned()).collect();
    tests.extend(nix_build::changed_tests()?);
    tests.sort();
    tests.dedup();
    let script = SCRIPT.replace("@tests@", &tests.join(" "));
    let output = inside(&root, Access::Read, &binds, &script).stdin(Stdio::null()).output()?;
    step.done();

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = cache.place("logs")?.join("upstream.log");
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
        let name = format!(
            "upstream/{}",
            words.get(..at).unwrap_or_default().concat().replace("nix-functional-tests:", "")
        );
        match words.get(at).copied() {
            Some("OK") => tally.passed(&name, 1, begun.elapsed()),
            Some("SKIP") => tally.skipped(&name, 1, "upstream's test says so"),
            _ => tally.failed(&name, &format!("see {}", log.display())),
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
export PATH="/build/bin:$PATH"
cd /build
meson setup run tests/functional >&2
chown -R alice: /build
setpriv --reuid alice --regid alice --clear-groups env HOME=/tmp NIX_STORE= meson test -C run --no-rebuild --num-processes 2 \
    --print-errorlogs @tests@ || true
"#;
