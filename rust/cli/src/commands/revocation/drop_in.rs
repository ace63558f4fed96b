//! A drop-in directory: where people without privileges put revocation lists for a host to take up.
//!
//! Whoever can write there may put anything there, and change it at any time. So a name is opened once, never through a link
//! and never waiting; what is read is judged by its signature alone; and all that is ever removed is a name in that directory.

use super::{MOST_BYTES, quoted};
use crate::error::{Error, Result};
use nixcert_files::{self as files, FileError};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What may still be being written is left for so long after its last change. The directory is looked at again by whoever
/// asked for it to be looked at: a timer, say.
const UNFINISHED: Duration = Duration::from_secs(60);

const NO_FILE: &str = "is no ordinary file";

/// A file that was brought.
pub(super) struct Brought {
    pub(super) path: PathBuf,
    pub(super) bytes: Result<Vec<u8>>,
    seen: Metadata,
}

/// The files in a directory, by name, but for hidden ones: as such, other programs write what is not whole yet.
pub(super) fn files(directory: &Path) -> Result<impl Iterator<Item = Brought>> {
    let fault = |error| FileError { action: "read", path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    // What is gone by now needs no answer.
    Ok(paths.into_iter().filter_map(|path| {
        let seen = path.symlink_metadata().ok()?;
        Some(Brought { bytes: read(&path), path, seen })
    }))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let fault = |error| FileError { action: "read", path: path.to_owned(), error };
    let refused =
        |what: &str| Error::refused(format!("{} {what}", quoted(path))).help("bring the list itself");
    // It would make lines of its own in a log.
    if path.to_string_lossy().contains(char::is_control) {
        return Err(refused("has control characters in its name"));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => return Err(refused(NO_FILE)),
        Err(error) => return Err(fault(error.into()).into()),
    };
    let metadata = file.metadata().map_err(fault)?;
    if !metadata.is_file() {
        return Err(refused(NO_FILE));
    }
    // One large file under a thousand names would keep others waiting.
    if metadata.nlink() != 1 {
        return Err(refused("has other names, too"));
    }
    files::read_from(file, MOST_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => refused("is larger than any list"),
        _ => fault(error).into(),
    })
}

impl Brought {
    /// Whether somebody may still be writing it. When it changed is the system's word: its owner cannot set that.
    pub(super) fn may_be_unfinished(&self) -> bool {
        let seconds = u64::try_from(self.seen.ctime()).unwrap_or_default();
        is_recent(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds), SystemTime::now())
    }

    /// Take it away, unless another has come in its place. A directory stays: it is nobody's list.
    pub(super) fn remove(&self) -> Result<()> {
        let same = |now: &Metadata| {
            (now.dev(), now.ino(), now.ctime(), now.ctime_nsec())
                == (self.seen.dev(), self.seen.ino(), self.seen.ctime(), self.seen.ctime_nsec())
        };
        let fault = |error| FileError { action: "remove", path: self.path.clone(), error };
        match self.path.symlink_metadata() {
            Ok(now) if same(&now) && !now.is_dir() => fs::remove_file(&self.path).map_err(fault)?,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault(error).into()),
        }
        Ok(())
    }
}

/// What changed in the future, by a clock that was set back, is not waited for.
fn is_recent(changed: SystemTime, now: SystemTime) -> bool {
    now.duration_since(changed).is_ok_and(|age| age < UNFINISHED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_is_waited_for_and_no_more() {
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        assert!(is_recent(changed, changed + Duration::from_secs(59)));
        assert!(!is_recent(changed, changed + Duration::from_secs(60)));
        assert!(!is_recent(changed, changed - Duration::from_secs(1)));
    }
}
