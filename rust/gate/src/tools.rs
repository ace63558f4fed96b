//! The programs that act: of the running system, with an environment of their own.

use nixcert_core::StorePath;
use nixcert_files::{FileError, said};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Where programs are looked for: NixOS's, Nix's own installer's, and other systems'. Only root can write to any of them.
const PATH: &str = "/run/current-system/sw/bin:/run/wrappers/bin:/nix/var/nix/profiles/default/bin:\
                    /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The profile of the system.
pub const PROFILE: &str = "/nix/var/nix/profiles/system";

/// The link that keeps what is being activated.
pub const ROOT: &str = "/nix/var/nix/gcroots/nixcert-activating";

/// The program of a system that makes it the running one, and what is booted.
const SWITCH: &str = "bin/switch-to-configuration";

/// How long to wait for what a program said last, when it has ended; and how long while nothing of it is written.
const LAST_WORDS: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(1);

/// Parts of what a program says, of at most 4 KiB each, that wait for who reads: past 16 MiB they are left out.
const WAITING: usize = 4096;

/// Settings with which Nix neither fetches nor builds.
const NOTHING_NEW: &[&str] =
    &["--option", "substitute", "false", "--option", "max-jobs", "0", "--option", "builders", ""];

/// Why a program did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be started.
    #[error("cannot run '{program}': {}", said(error))]
    Start {
        /// Which.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// It failed.
    #[error("'{program}' failed ({status}){said}")]
    Failed {
        /// Which.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said, from a colon on.
        said: String,
    },
    /// The system's error about a file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A program that gets nothing of the environment of whoever called.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LANG", "C.UTF-8").current_dir("/").stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> Result<(), ToolError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| ToolError::Start { program: program.clone(), error })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = if said.is_empty() { said } else { format!(": {said}") };
    Err(ToolError::Failed { program, status: output.status, said })
}

/// Keep a valid path from being collected, until [`unroot`]. Fails if it is not valid; nothing is fetched or built.
///
/// # Errors
/// [`ToolError`].
pub fn root(path: &StorePath) -> Result<(), ToolError> {
    let mut nix = command("nix-store");
    nix.args(["--add-root", ROOT, "--realise", path.as_str()]).args(NOTHING_NEW);
    run(nix)
}

/// Replace the contents of a valid path by those that a binary cache in a directory has of it. What Nix then says of the path is
/// what the cache said, but for references that the path had before, and no more has: those stay in its database. Others may
/// hold temporary roots on it. Nix takes the old contents away before it writes the new ones: who is interrupted must do it
/// again, and until then nobody vouches for the path as it is.
///
/// # Errors
/// [`ToolError`].
pub fn repair(path: &StorePath, cache: &Path) -> Result<(), ToolError> {
    let mut nix = command("nix-store");
    nix.args(["--repair-path", path.as_str()]).args(NOTHING_NEW);
    // Of two of the same name, the later one counts. What is in the cache was checked by stricter rules than Nix's.
    nix.args(["--option", "substitute", "true", "--option", "require-sigs", "false"]);
    nix.args(["--option", "substituters"]).arg(format!("file://{}", cache.display())).process_group(0);
    run(nix)
}

/// Let it be collected, unless something else keeps it.
///
/// # Errors
/// [`ToolError`].
pub fn unroot() -> Result<(), ToolError> {
    match std::fs::remove_file(ROOT) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError { action: "remove", path: PathBuf::from(ROOT), error }.into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where the profile of the system leads, if there is one.
pub fn profile() -> Option<String> {
    let target = Path::new(PROFILE).canonicalize().ok()?;
    target.to_str().map(str::to_owned)
}

/// Whether Nix asks once more before it changes the profile, where it is told to (`guarded-profiles`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// It is asked, as for everybody.
    Asked,
    /// It is not, because root has said so.
    SetAside,
}

/// Make a path the profile of the system. It is not stopped half-way by what a terminal sends.
///
/// # Errors
/// [`ToolError`].
pub fn set_profile(path: &StorePath, guard: Guard) -> Result<(), ToolError> {
    let mut nix = command("nix-env");
    nix.args(["--profile", PROFILE, "--set", path.as_str()]).args(NOTHING_NEW).process_group(0);
    match guard {
        Guard::Asked => {}
        Guard::SetAside => {
            nix.args(["--option", "guarded-profiles", ""]);
        }
    }
    run(nix)
}

/// Whether a path has the program that [`switch`] runs. It is not run, only looked at.
///
/// # Errors
/// [`ToolError::Start`] if it is not there, or no program.
pub fn is_system(path: &StorePath) -> Result<(), ToolError> {
    const EXECUTABLE: u32 = 0o111;
    let program = Path::new(path.as_str()).join(SWITCH);
    let fault = |error| ToolError::Start { program: program.to_string_lossy().into_owned(), error };
    let metadata = program.metadata().map_err(fault)?;
    match metadata.is_file() && metadata.permissions().mode() & EXECUTABLE != 0 {
        true => Ok(()),
        false => Err(fault(io::ErrorKind::PermissionDenied.into())),
    }
}

/// Run a system's own program for an action, and pass on what it says. Neither Ctrl-C nor a terminal that goes away stops it
/// half-way: it is in a process group of its own, and what it says is read to its end, whether or not anybody listens.
///
/// # Errors
/// [`ToolError::Start`].
pub fn switch(path: &StorePath, action: &str) -> Result<ExitStatus, ToolError> {
    let program = Path::new(path.as_str()).join(SWITCH);
    let program = program.to_string_lossy().into_owned();
    let fault = |error| ToolError::Start { program: program.clone(), error };
    let mut switch = command(&program);
    switch.arg(action).process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = switch.spawn().map_err(fault)?;
    let (told, telling) = channel();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    pass_on(out, io::stdout(), told.clone());
    pass_on(err, io::stderr(), told);
    let status = child.wait().map_err(fault)?;
    last_words(&telling);
    Ok(status)
}

/// Everything, whether or not anybody listens: who reads slowly, or has stopped to, does not keep it from going on. `told`
/// hears of each part, until there are no more.
fn pass_on(from: Option<impl Read + Send + 'static>, mut to: impl Write + Send + 'static, told: Sender<()>) {
    let Some(mut from) = from else { return };
    let (give, take) = sync_channel::<Vec<u8>>(WAITING);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    let _ = give.try_send(buffer.get(..count).unwrap_or_default().to_owned());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    });
    thread::spawn(move || {
        for part in take {
            let _ = to.write_all(&part).and_then(|()| to.flush());
            let _ = told.send(());
        }
    });
}

/// Wait while something is written. What a program has started and left running may still hold its output.
fn last_words(telling: &Receiver<()>) {
    let begun = Instant::now();
    while begun.elapsed() < LAST_WORDS && telling.recv_timeout(SILENCE).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_stopped_reading_stops_nothing() {
        let (unread, to) = io::pipe().unwrap();
        let (from, mut says) = io::pipe().unwrap();
        let (told, telling) = channel();
        pass_on(Some(from), to, told);
        // More than both pipes hold, and than what waits between them.
        says.write_all(&vec![b'a'; 32 << 20]).unwrap();
        drop(says);
        let begun = Instant::now();
        last_words(&telling);
        assert!(begun.elapsed() < Duration::from_secs(10));
        drop(unread);
    }

    #[test]
    fn who_reads_gets_everything() {
        let (mut read, to) = io::pipe().unwrap();
        let (from, mut says) = io::pipe().unwrap();
        let (told, telling) = channel();
        pass_on(Some(from), to, told);
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            read.read_to_end(&mut all).map(|_| all.len()).unwrap()
        });
        says.write_all(&vec![b'a'; 1 << 20]).unwrap();
        drop(says);
        last_words(&telling);
        assert_eq!(reader.join().unwrap(), 1 << 20);
    }
}
