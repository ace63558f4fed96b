//! The workspace's own checks and tests: what any Rust project runs.

use std::{
    fs::{self, File},
    io::Write,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::Result;

use crate::{cache::Cache, products, report::Step, tally::Tally};

/// How much of a failure's output is shown.
const TAIL: usize = 60;

const CARGO_TEST: &str = "cargo-test";

/// What the fuzzer looks for, on the vectors and some thousands of mutations.
const FUZZ_REPLAY: &str = "fuzz-replay";

/// Formatting, lints, and all tests.
pub(crate) fn run(cache: &Cache, tally: &mut Tally) -> Result<()> {
    check(cache, tally, "rustfmt", &["fmt", "--all", "--", "--check"])?;
    check(
        cache,
        tally,
        "clippy",
        &["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"],
    )?;
    let arguments = ["test", "--locked", "--workspace", "--no-fail-fast", "--", "--show-output"];
    check(cache, tally, CARGO_TEST, &arguments)?;
    let target = products::target_directory()?.join("fuzz-replay");
    let target = target.to_string_lossy();
    let arguments =
        ["test", "--locked", "--manifest-path", "tests/fuzz/Cargo.toml", "--target-dir", &*target];
    check(cache, tally, FUZZ_REPLAY, &arguments)?;
    decoder(tally)
}

/// The independent decoder, on every vector.
fn decoder(tally: &mut Tally) -> Result<()> {
    let begun = Instant::now();
    let step = Step::start("Running the independent decoder");
    let tests = products::clone()?.join("tests");
    let mut vectors = Vec::new();
    for directory in ["vectors", "vectors/lists", "vectors/closures"] {
        vectors.extend(fs::read_dir(tests.join(directory))?.flatten().map(|entry| entry.path()));
    }
    vectors.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    let output = Command::new("python3")
        .arg("-B")
        .arg(tests.join("decoder/nixcert_decoder.py"))
        .args(&vectors)
        .stdin(Stdio::null())
        .output()?;
    step.done();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let agreed = text.lines().filter(|line| line.starts_with("ok ")).count();
    if output.status.success() && agreed == vectors.len() {
        tally.passed("independent-decoder", agreed, begun.elapsed());
    } else {
        let wrong: Vec<&str> = text.lines().filter(|line| !line.starts_with("ok ")).collect();
        let said = String::from_utf8_lossy(&output.stderr);
        tally.failed("independent-decoder", &format!("{}\n{said}", wrong.join("\n")));
    }
    Ok(())
}

fn check(cache: &Cache, tally: &mut Tally, name: &str, arguments: &[&str]) -> Result<()> {
    let begun = Instant::now();
    let step = Step::start(format!("Running cargo {}", arguments.first().copied().unwrap_or_default()));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // As in a shell: this very program runs under cargo, which sets variables for it.
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("CARGO_PKG_") || variable == "CARGO_MANIFEST_DIR" {
            command.env_remove(variable);
        }
    }
    let output = command.current_dir(products::clone()?).args(arguments).stdin(Stdio::null()).output()?;
    step.done();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let log = cache.place("logs")?.join(format!("{name}.log"));
    File::create(&log)?.write_all(text.as_bytes())?;

    let counts = Counts::of(&text);
    if output.status.success() {
        tally.passed(
            name,
            if [CARGO_TEST, FUZZ_REPLAY].contains(&name) {
                counts.passed.saturating_sub(counts.skipped.len())
            } else {
                1
            },
            begun.elapsed(),
        );
    } else {
        if counts.passed > 0 {
            tally.passed(&format!("{name} (those that passed)"), counts.passed, begun.elapsed());
        }
        let lines: Vec<&str> = text.lines().collect();
        let end = lines.get(lines.len().saturating_sub(TAIL)..).unwrap_or_default().join("\n");
        let failed = if counts.failed > 0 { format!("{} failed; ", counts.failed) } else { String::new() };
        tally.failed(name, &format!("{failed}the end of its log, {}:\n{end}", log.display()));
        for extra in 1..counts.failed {
            tally.failed(&format!("{name} (failure {})", extra + 1), "");
        }
    }
    for reason in &counts.skipped {
        tally.skipped(&format!("{name} (one test)"), 1, reason);
    }
    if counts.ignored > 0 {
        tally.skipped(&format!("{name} ({} tests)", counts.ignored), counts.ignored, "marked as ignored");
    }
    Ok(())
}

/// What the test harnesses counted.
#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    ignored: usize,
    /// What tests said that could not run: a line `SKIPPED: reason`. The harness counts them as passed.
    skipped: Vec<String>,
}

impl Counts {
    /// Adds up the lines `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn of(text: &str) -> Self {
        let skipped = text.lines().filter_map(|line| line.strip_prefix("SKIPPED: ")).map(str::to_owned);
        let mut counts = Self { skipped: skipped.collect(), ..Self::default() };
        for line in text.lines().filter(|line| line.starts_with("test result: ")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            for pair in words.windows(2) {
                let [number, word] = pair else { continue };
                let Ok(number) = number.parse::<usize>() else { continue };
                match *word {
                    "passed;" => counts.passed += number,
                    "failed;" => counts.failed += number,
                    "ignored;" => counts.ignored += number,
                    _ => {}
                }
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_up() {
        let counts = Counts::of(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n\
             noise\nSKIPPED: no data\ntest result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured",
        );
        assert_eq!((counts.passed, counts.failed, counts.ignored), (13, 2, 1));
        assert_eq!(counts.skipped, ["no data"]);
    }
}
