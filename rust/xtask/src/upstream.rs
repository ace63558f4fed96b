//! Upstream's own functional tests: those about signatures, in every run, on Nix with the hardening and the seam, which
//! need no Rust and must break nothing, and on Nix that trusts a CA; and all of them, compared with Nix as it is.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    nix_build::{self, Extent, Optimise},
    nix_source::Nix,
    products,
    report::{Step, strong},
    roots::{self, Access, inside},
    tally::Tally,
};

/// The tests about signatures, as meson names them, in all suites. Tests that the patches add are run as well.
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

/// How tests end, as meson says it.
const ENDS: [&str; 7] = ["OK", "SKIP", "EXPECTEDFAIL", "FAIL", "UNEXPECTEDPASS", "TIMEOUT", "ERROR"];

/// How a test ended.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Ended {
    how: String,
    time: Duration,
}

/// What the tests are run on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trial {
    /// Such a build, and no CA configured.
    Of(Extent),
    /// All patches, and a CA configured that has signed nothing.
    WithCa,
}

impl Trial {
    fn extent(self) -> Extent {
        match self {
            Self::Of(extent) => extent,
            Self::WithCa => Extent::Full,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Of(extent) => extent.name(),
            Self::WithCa => "with-ca",
        }
    }

    fn title(self) -> String {
        match self {
            Self::Of(extent) => extent.title().to_owned(),
            Self::WithCa => format!("{} and a CA", Extent::Full.title()),
        }
    }
}

/// Runs those about signatures on the base build, and with a CA; those that concern certificates on the full build.
pub(crate) fn run(cache: &Cache, scratch: &Path, nix: &Nix, tally: &mut Tally) -> Result<()> {
    let mut base = about_signatures();
    let mut full = vec!["signing".to_owned()];
    for patch in nix.supported.patches()? {
        if Extent::Base.includes(patch.group) { &mut base } else { &mut full }.extend(patch.tests());
    }
    let trials =
        [(Trial::Of(Extent::Base), base.clone()), (Trial::Of(Extent::Full), full), (Trial::WithCa, base)];
    for (trial, tests) in trials {
        for (name, ended) in functional(cache, scratch, nix, trial, tests)? {
            let test = format!("upstream/{}/{name}", trial.name());
            match ended.how.as_str() {
                "OK" => tally.passed(&test, 1, ended.time),
                "SKIP" => tally.skipped(&test, 1, "upstream's test says so"),
                _ => tally.failed(&test, &format!("see {}", log(cache, nix, trial)?.display())),
            }
        }
    }
    Ok(())
}

/// Runs all of upstream's tests on Nix as it is, with the hardening alone, and with all patches and no CA configured; those
/// about signatures with a CA, too. The tests that patches change or add are left out. Fails where there is a difference.
pub(crate) fn compare(cache: &Cache, scratch: &Path, nix: &Nix) -> Result<Tally> {
    let changed: Vec<String> =
        nix.supported.patches()?.iter().flat_map(|patch| patch.tests().collect::<Vec<_>>()).collect();
    let is = |name: &str, test: &str| name.rsplit('/').next() == Some(test);
    let trials = [
        (Trial::Of(Extent::Stock), vec![]),
        (Trial::Of(Extent::Hardening), vec![]),
        (Trial::Of(Extent::Full), vec![]),
        (Trial::WithCa, about_signatures()),
    ];
    let mut results = BTreeMap::<String, Vec<String>>::new();
    for (number, (trial, tests)) in trials.iter().enumerate() {
        for (name, ended) in functional(cache, scratch, nix, *trial, tests.clone())? {
            let row = results.entry(name).or_insert_with(|| vec!["-".to_owned(); trials.len()]);
            if let Some(place) = row.get_mut(number) {
                *place = ended.how;
            }
        }
    }
    let line = |name: &str, row: &[&str]| {
        let row: String = row.iter().map(|how| format!("{how:<10}")).collect();
        format!("{name:<40} {}", row.trim_end())
    };
    println!("{}", strong(&line("upstream's test", &trials.each_ref().map(|(trial, _)| trial.name()))));
    let mut tally = Tally::default();
    let (mut same, mut failing) = (0, 0);
    for (name, row) in &results {
        if changed.iter().any(|test| is(name, test)) {
            continue;
        }
        let mut said: Vec<&str> = row.iter().map(String::as_str).collect();
        if !TESTS.iter().any(|test| is(name, test)) {
            said.pop();
        }
        if said.iter().all(|how| Some(how) == said.first()) {
            same += 1;
            failing +=
                usize::from(said.first().is_some_and(|how| !["OK", "SKIP", "EXPECTEDFAIL"].contains(how)));
        } else {
            println!("{}", line(name, &said));
            tally.failed(&format!("upstream/{name}"), &said.join(", "));
        }
    }
    println!(
        "{same} tests with the same result on all; {failing} of these fail on Nix {} as it is",
        nix.version
    );
    tally.passed("upstream", same, Duration::ZERO);
    Ok(tally)
}

fn about_signatures() -> Vec<String> {
    TESTS.map(str::to_owned).to_vec()
}

fn log(cache: &Cache, nix: &Nix, trial: Trial) -> Result<std::path::PathBuf> {
    Ok(cache.place("logs")?.join(format!("upstream-{}-{}.log", nix.supported.release, trial.name())))
}

/// Runs these tests, or all if there are none.
fn functional(
    cache: &Cache,
    scratch: &Path,
    nix: &Nix,
    trial: Trial,
    mut tests: Vec<String>,
) -> Result<BTreeMap<String, Ended>> {
    tests.sort();
    tests.dedup();
    let build = nix_build::build(cache, nix, trial.extent(), Optimise::No)?;
    let root = roots::root(cache, nix.supported.builder())?;
    let command = products::command(cache, products::Profile::Dev)?;
    let step =
        Step::start(format!("Running upstream's functional tests on Nix {} {}", nix.version, trial.title()));
    let work = scratch.join("upstream");
    fs::create_dir_all(&work)?;
    let (tree, layer) = (build.tree(), build.layer());
    let binds = [(work.as_path(), "/build"), (tree.as_path(), "/source")];
    let configure = if trial == Trial::WithCa { TRUST_A_CA } else { "" };
    let script = SCRIPT.replace("@configure@", configure).replace("@tests@", &tests.join(" "));
    let output =
        inside(&root, &[&layer, &command], Access::Read, &binds, &script).stdin(Stdio::null()).output()?;
    step.done();

    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = log(cache, nix, trial)?;
    fs::write(&log, [output.stdout, output.stderr].concat())?;
    let ended: BTreeMap<_, _> = text.lines().filter_map(parse).collect();
    if ended.is_empty() {
        bail!("upstream's tests did not run: see {}", log.display());
    }
    fs::remove_dir_all(&work).context("cannot clean up after upstream's tests")?;
    Ok(ended)
}

/// `12/14 nix-functional-tests:main / signing   OK   5.31s`
fn parse(line: &str) -> Option<(String, Ended)> {
    let mut words = line.split_whitespace();
    words.next().filter(|word| word.contains('/') && word.starts_with(|c: char| c.is_ascii_digit()))?;
    let words: Vec<&str> = words.collect();
    let at = words.iter().position(|word| ENDS.contains(word))?;
    // `main - nix-functional-tests:signing` in newer Meson.
    let name =
        words.get(..at)?.concat().replace("-nix-functional-tests:", "/").replace("nix-functional-tests:", "");
    let seconds = words.get(at + 1).and_then(|time| time.trim_end_matches('s').parse().ok());
    let time = seconds.map(Duration::from_secs_f32).unwrap_or_default();
    Some((name, Ended { how: (*words.get(at)?).to_owned(), time }))
}

/// A build of the tests alone, with the Nix that was built before. They run as a user, as upstream means them to.
const SCRIPT: &str = r#"
mkdir /build/bin
cp /usr/bin/nix /build/bin/
for it in nix-build nix-channel nix-collect-garbage nix-copy-closure nix-daemon nix-env nix-hash nix-instantiate \
    nix-prefetch-url nix-shell nix-store build-remote; do
    ln -s nix /build/bin/$it
done
cp -r /source/tests /source/.version /source/nix-meson-build-support /build/
export PATH="/build/bin:$PATH"
cd /build
@configure@
# Tests of the libraries would have to be built against them; there are none for static ones.
PKG_CONFIG_LIBDIR=/var/empty meson setup run tests/functional >&2
mkdir -p /tmp/alice
chown -R alice: /build /tmp/alice
setpriv --reuid alice --regid alice --clear-groups env HOME=/tmp/alice NIX_STORE= shell=/usr/bin/bash \
    meson test -C run --no-rebuild --num-processes 2 --print-errorlogs @tests@ || true
"#;

/// Each test writes its nix.conf in init.sh.
const TRUST_A_CA: &str = r#"
nixcert ca init /tmp/acme-1 --name acme-1 --unencrypted >&2
sed -i "s|^build-users-group =$|&\ntrusted-ca-keys = $(cat /tmp/acme-1/ca.pub)|" tests/functional/common/init.sh
grep '^trusted-ca-keys = acme-1:' tests/functional/common/init.sh >&2
"#;
