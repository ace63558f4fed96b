//! One activation at a time, and what one says of itself while it lasts: so that the next can say how one ended that was killed.

use crate::records::Records;
use nixcert_files::{Access, Existing, FileError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// From just before the profile is set until the switch has ended.
const IN_PROGRESS: &str = "in-progress.json";

/// Only root may open it: whoever can could hold the lock forever.
const LOCK: &str = ".lock";

/// None of the files is longer.
const BYTES: u64 = 64 << 10;

/// An activation that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InProgress {
    /// To where the profile led before, if there was one.
    pub from: Option<String>,
    /// What is to become the system.
    pub to: String,
    /// `switch`, `boot`, `test` or `dry-activate`.
    pub action: String,
    /// Who asked.
    pub user: String,
    /// When it began.
    pub time: String,
    /// The process.
    pub pid: u32,
    /// When that was started, as the system counts it.
    pub process: u64,
}

impl InProgress {
    /// What is said to be in progress: it is, or was until it was killed.
    ///
    /// # Errors
    /// [`FileError`] if there is something that cannot be read.
    pub fn read(records: &Records) -> Result<Option<Self>, FileError> {
        let path = place(records);
        match nixcert_files::read(&path, BYTES) {
            Err(error) if error.error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| FileError {
                action: "understand",
                path,
                error: error.into(),
            }),
        }
    }

    /// Say so, on disk.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&self, records: &Records) -> Result<(), FileError> {
        let path = place(records);
        let fault =
            |error: serde_json::Error| FileError { action: "write", path: path.clone(), error: error.into() };
        let bytes = serde_json::to_vec(self).map_err(fault)?;
        nixcert_files::write(&path, &bytes, Access::Public, Existing::Replace)
    }

    /// It has ended.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn remove(records: &Records) -> Result<(), FileError> {
        let path = place(records);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError { action: "remove", path, error })
            }
            Ok(()) | Err(_) => nixcert_files::sync_directory(records.directory()),
        }
    }

    /// Whether the process that said so is still there.
    pub fn is_running(&self) -> bool {
        started(self.pid).is_some_and(|started| started == self.process)
    }
}

fn place(records: &Records) -> PathBuf {
    records.directory().join(IN_PROGRESS)
}

/// When a process was started, in clock ticks since boot: with its number, what tells it from another that has the number later
/// (proc(5), field 22 of /proc/PID/stat).
pub(crate) fn started(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// This process, as [`InProgress`] names it.
pub fn this_process() -> (u32, u64) {
    let pid = std::process::id();
    (pid, started(pid).unwrap_or_default())
}

/// The right to activate, while this is there.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it holds the lock while it is open")] File);

impl Lock {
    /// Take it, and say who has it.
    ///
    /// # Errors
    /// [`LockError::Taken`] says who has it.
    pub fn take(records: &Records, who: &str) -> Result<Self, LockError> {
        let path = records.directory().join(LOCK);
        let fault = |error| FileError { action: "lock", path: path.clone(), error };
        let options =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).clone();
        let mut file = options.open(&path).map_err(fault)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let text = nixcert_files::read_from(file, BYTES).unwrap_or_default();
                return Err(LockError::Taken(String::from_utf8_lossy(&text).trim().to_owned()));
            }
            Err(error) => return Err(fault(error.into()).into()),
            Ok(()) => {}
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{who}")).map_err(fault)?;
        Ok(Self(file))
    }
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody has it.
    #[error("this is in progress: {0}")]
    Taken(String),
    /// The system's error.
    #[error(transparent)]
    File(#[from] FileError),
}
