//! Nothing is left behind.
//!
//! The test bed runs inside mount and PID namespaces of its own: every mount, process and temporary file of it
//! exists only in there, and when its first process ends, however it ends, the kernel removes them all.
//!
//! The chain is this process → `setpriv --pdeathsig KILL` → `unshare --kill-child` → the test bed. Each link dies with
//! the one before, so that even `kill -9` of this process leaves nothing running.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Set, to the scratch directory, in the process that runs inside the namespaces.
pub(crate) const INSIDE: &str = "NIXCERT_TEST_BED_SCRATCH";

/// How a program ends that was interrupted, by convention: 128 and the number of `SIGINT`.
const INTERRUPTED: u8 = 130;

/// The scratch directory, if this process runs inside the namespaces.
///
/// # Errors
/// The variable is set, but this is not the first process of a PID namespace.
pub(crate) fn scratch() -> Result<Option<PathBuf>> {
    let Some(scratch) = std::env::var_os(INSIDE) else { return Ok(None) };
    if std::process::id() != 1 {
        bail!("{INSIDE} is set by the test bed for itself: unset it");
    }
    Ok(Some(PathBuf::from(scratch)))
}

/// Runs this program again, with the same arguments, inside new namespaces, with a tmpfs on `scratch`, an existing
/// directory. On Ctrl-C and its like the inside is ended first.
pub(crate) fn run_again_inside(scratch: &Path) -> Result<ExitCode> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(["unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child=KILL", "--mount-proc", "--"])
        .args(["sh", "-c", r#"mount -t tmpfs -o mode=0755 nixcert "$0" && exec "$@""#])
        .arg(scratch)
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, scratch)
        .stdin(Stdio::null())
        // Ctrl-C reaches this process alone, which then ends all of them in order.
        .process_group(0)
        .spawn()
        .context("cannot start setpriv, of Debian's util-linux")?;
    loop {
        if let Some(status) = child.try_wait()? {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            return Ok(ExitCode::from(code));
        }
        if interrupted.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            eprintln!("\ninterrupted: everything that was running has ended");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        thread::sleep(Duration::from_millis(30));
    }
}
