//! `cargo xtask fuzz`: libFuzzer on the targets of tests/fuzz, with the toolchain that is here.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    products,
    report::{Log, Step, bad, good, strong},
};

/// What `cargo fuzz` gives the compiler, less the sanitizers: those need another toolchain, and this is safe Rust.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The longest input that is made. Those of decisions only say what is changed.
const LONGEST: [(&str, &str); 3] = [("decision", "256"), ("gate", "256"), ("", "8192")];

/// What takes longer than this, in seconds, hangs.
const HANG: &str = "-timeout=20";

/// Fuzz one target, or all, each for so long. What was found to be interesting is kept for the next time.
pub(crate) fn run(only: Option<&str>, time: Duration) -> Result<ExitCode> {
    let directory = products::target_directory()?.join("fuzz");
    fs::create_dir_all(&directory)?;
    let fuzzer = build(&directory)?;
    let all = targets(&fuzzer)?;
    let wanted: Vec<&String> = all.iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    if wanted.is_empty() {
        bail!("there is no such target; there are {}", all.join(", "));
    }
    println!("{}", strong("target        executions  coverage  inputs kept  found"));
    let mut code = ExitCode::SUCCESS;
    for name in wanted {
        let step = Step::start(format!("Fuzzing {name}"));
        let log = directory.join(format!("{name}.log"));
        let done = fuzz(&fuzzer, &directory, name, time, &log)?;
        step.done();
        let last = last_line(&fs::read_to_string(&log)?);
        println!(
            "{name:12}  {:>10}  {:>8}  {:>11}  {}",
            last.executions,
            last.coverage,
            last.kept,
            match done {
                Done::Nothing => good("nothing"),
                Done::Found => bad(&format!("see {}", log.display())),
            }
        );
        if let Done::Found = done {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

enum Done {
    Nothing,
    Found,
}

fn build(directory: &Path) -> Result<PathBuf> {
    let step = Step::start("Compiling the fuzzer");
    let host = host()?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(products::clone()?.join("tests/fuzz"))
        .env("CARGO_TARGET_DIR", directory)
        .env("RUSTFLAGS", FLAGS)
        .args(["build", "--locked", "--release", "--features", "libfuzzer"])
        // Where a target is named, the flags are not for what runs while compiling.
        .args(["--target", &host]);
    step.run(&mut command, &Log::create(directory, "build")?)?;
    step.done();
    Ok(directory.join(host).join("release/nixcert-fuzz"))
}

/// What this machine is called by the compiler.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not say for which machine it is")
}

/// The names of all targets.
fn targets(fuzzer: &Path) -> Result<Vec<String>> {
    let output = Command::new(fuzzer).env("NIXCERT_FUZZ_TARGET", "list").output()?;
    let names = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    if output.status.success() { Ok(names) } else { bail!("the fuzzer does not start") }
}

fn fuzz(fuzzer: &Path, directory: &Path, name: &str, time: Duration, log: &Path) -> Result<Done> {
    let [corpus, seeds, found] = ["corpus", "seeds", "found"].map(|kind| directory.join(kind).join(name));
    // The vectors may be others than the last time.
    if seeds.exists() {
        fs::remove_dir_all(&seeds)?;
    }
    for directory in [&corpus, &seeds, &found] {
        fs::create_dir_all(directory)?;
    }
    let longest =
        LONGEST.iter().find(|(of, _)| name == *of || of.is_empty()).map_or("8192", |(_, longest)| longest);
    let output = File::create(log)?;
    let status = Command::new(fuzzer)
        .env("NIXCERT_FUZZ_TARGET", name)
        .env("NIXCERT_FUZZ_SEEDS", &seeds)
        .args([&corpus, &seeds])
        .arg(format!("-max_total_time={}", time.as_secs()))
        .arg(format!("-max_len={longest}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg(HANG)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .context("the fuzzer does not start")?;
    Ok(if status.success() { Done::Nothing } else { Done::Found })
}

/// What libFuzzer said last of itself: `#3794 DONE cov: 6946 ft: 21861 corp: 841/3441b …`.
#[derive(Debug, Default, PartialEq, Eq)]
struct LastLine {
    executions: String,
    coverage: String,
    kept: String,
}

fn last_line(log: &str) -> LastLine {
    let line = log.lines().rfind(|line| line.starts_with('#') && line.contains(" cov: ")).unwrap_or_default();
    let after = |word: &str| {
        let words = line.split_whitespace().skip_while(|other| *other != word);
        words.skip(1).map(str::to_owned).next().unwrap_or_default()
    };
    let executions = line.split_whitespace().next().unwrap_or_default().trim_start_matches('#').to_owned();
    let kept = after("corp:").split('/').next().unwrap_or_default().to_owned();
    LastLine { executions, coverage: after("cov:"), kept }
}

/// `90`, `90s`, `5m` or `2h`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, factor) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) if text.ends_with('m') => (number, 60),
        Some(number) if text.ends_with('h') => (number, 3_600),
        Some(number) => (number, 1),
        None => (text, 1),
    };
    let seconds = number.parse().ok().and_then(|number: u64| number.checked_mul(factor));
    // libFuzzer takes 0 for "without end".
    let seconds = seconds.filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| "a time is like 90s, 5m or 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7_200)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0", "0s", "m", "-1s", "5 m", "1d", "99999999999999999999", "9999999999999999999h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_last_line_is_understood() {
        let log = "#2\tINITED cov: 5 ft: 6 corp: 1/2b exec/s: 0 rss: 31Mb\n\
            #3794\tDONE   cov: 6946 ft: 21861 corp: 841/3441b lim: 8 exec/s: 291 rss: 42Mb\nDone 3794 runs";
        let [executions, coverage, kept] = ["3794", "6946", "841"].map(str::to_owned);
        assert_eq!(last_line(log), LastLine { executions, coverage, kept });
        assert_eq!(last_line("it does not start"), LastLine::default());
    }
}
