//! Nothing is left behind: a trial of the test bed ends in every way, and the machine looks as before.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    host::{Host, Recipe},
    isolate,
    network::Switch,
    report::{Step, sentence},
    roots::{self, Release},
    tally::Tally,
};

/// Set for trials, which use the cache that this process holds the lock of.
pub(crate) const TRIAL: &str = "NIXCERT_TEST_BED_TRIAL";

/// What a trial's host is made of.
const TRIAL_ROOT: Release = Release::Trixie;

/// What a trial does, inside: it boots a host, says so, and ends, or waits to be ended.
pub(crate) fn trial(cache: &Cache, scratch: &Path, how: &str) -> Result<()> {
    let root = roots::root(cache, TRIAL_ROOT)?;
    let switch = Switch::start()?;
    let recipe = Recipe { name: "trial", number: 1, root: &root, layers: vec![] };
    let host = Host::boot(scratch, &switch, &recipe)?;
    host.configure("")?;
    host.service("sleep infinity")?;
    println!("up");
    match how {
        "success" => Ok(()),
        "failure" => bail!("this trial was asked to fail"),
        _ => {
            thread::sleep(Duration::from_secs(60));
            bail!("nobody ended this trial")
        }
    }
}

/// How a trial ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Success,
    Failure,
    Interrupt,
    Kill,
}

/// Tries all of them.
pub(crate) fn run(cache: &Cache, tally: &mut Tally) -> Result<()> {
    // The first trial would else make it, and leave that: in the cache, where it belongs.
    roots::root(cache, TRIAL_ROOT)?;
    for (end, name) in [
        (End::Success, "leftovers/none-after-success"),
        (End::Failure, "leftovers/none-after-failure"),
        (End::Interrupt, "leftovers/none-after-ctrl-c"),
        (End::Kill, "leftovers/none-after-kill-9"),
    ] {
        let begun = Instant::now();
        let step = Step::start(format!("Trying how a run ends: {end:?}"));
        let result = try_it(cache, end);
        step.done();
        match result {
            Ok(()) => tally.passed(name, 1, begun.elapsed()),
            Err(error) => tally.failed(name, &sentence(&error)),
        }
    }
    let begun = Instant::now();
    match second_run_is_refused() {
        Ok(()) => tally.passed("leftovers/second-run-is-refused", 1, begun.elapsed()),
        Err(error) => tally.failed("leftovers/second-run-is-refused", &sentence(&error)),
    }
    Ok(())
}

/// What a run might leave, a line each.
fn traces(cache: &Cache) -> Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    for place in [Path::new("/tmp"), Path::new("/run/netns"), Path::new("/mnt"), cache.directory()] {
        list(place, &mut files)?;
    }
    for place in ["scratch", "scratch-trial", "partial"] {
        list(&cache.directory().join(place), &mut files)?;
    }
    files.retain(|file| !file.ends_with("/scratch-trial"));
    let mounts = fs::read_to_string("/proc/mounts")?;
    let links = fs::read_dir("/sys/class/net")?.flatten();
    let lines = [
        mounts.lines().map(|mount| format!("mount {mount}")).collect(),
        processes().iter().map(|process| format!("process {process}")).collect(),
        links.map(|link| format!("network {}", link.file_name().display())).collect(),
        files.iter().map(|file| format!("file {file}")).collect::<Vec<_>>(),
    ];
    Ok(lines.into_iter().flatten().collect())
}

fn list(place: &Path, files: &mut BTreeSet<String>) -> Result<()> {
    if place.is_dir() {
        for entry in fs::read_dir(place)? {
            files.insert(entry?.path().display().to_string());
        }
    }
    Ok(())
}

/// The commands that run, but for this one. What has ended and was not waited for has no command any more.
fn processes() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| process.file_name().to_string_lossy().starts_with(|c: char| c.is_ascii_digit()))
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .filter(|command| !command.is_empty())
        .collect()
}

fn try_it(cache: &Cache, end: End) -> Result<()> {
    let how = match end {
        End::Success => "success",
        End::Failure => "failure",
        End::Interrupt | End::Kill => "wait",
    };
    let before = traces(cache)?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["trial", how])
        .env(TRIAL, "1")
        .env_remove(isolate::INSIDE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // The line says that hosts are up.
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line)?;
    }
    if line.trim() != "up" {
        let _ = child.kill();
        bail!("the trial did not come up");
    }
    let signal = match end {
        End::Interrupt => Some("INT"),
        End::Kill => Some("KILL"),
        End::Success | End::Failure => None,
    };
    if let Some(signal) = signal {
        Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status()
            .context("cannot run kill")?;
    }
    let status = child.wait()?;
    if status.success() != (end == End::Success) {
        bail!("the trial ended with {status}");
    }
    // After a kill, the kernel needs a moment.
    let begun = Instant::now();
    loop {
        let after = traces(cache)?;
        if after == before {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(10) {
            let left = after.difference(&before).map(|line| format!("\nleft: {line}"));
            let gone = before.difference(&after).map(|line| format!("\ngone: {line}"));
            bail!("the machine is not as before:{}", left.chain(gone).collect::<String>());
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// This process holds the lock.
fn second_run_is_refused() -> Result<()> {
    let output = Command::new(std::env::current_exe()?)
        .args(["demo", "--no-wait"])
        .env_remove(isolate::INSIDE)
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || !said.contains("another run of the test bed is using") {
        bail!("the second run said: {said}");
    }
    Ok(())
}
