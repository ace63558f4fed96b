//! Reading files that somebody may be changing: whole, or not at all.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nixcert_files::{check_author, said};
use rustix::fs::OFlags;

/// By what a file is known to be the same as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What is at a path now; what cannot be looked at has no stamp.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    path.metadata().ok().map(|metadata| Stamp::of(&metadata))
}

/// Two changes closer than this may leave one time stamp.
const TIME_STAMP_GRAIN: Duration = Duration::from_secs(2);

/// Whether a change of the file from now on is sure to change the stamp: its last change is longer ago than the grain.
fn is_settled(stamp: &Stamp) -> bool {
    !is_within(stamp.changed, TIME_STAMP_GRAIN)
}

fn is_within((seconds, nanoseconds): (i64, i64), span: Duration) -> bool {
    let at = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
    let at = at.map(|(seconds, nanoseconds)| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds));
    at.is_some_and(|at| {
        let now = SystemTime::now();
        now.duration_since(at).unwrap_or_else(|error| error.duration()) < span
    })
}

/// Who may have written a file that is believed for what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// Root, or who runs this; and nobody else can change it.
    Trusted,
    /// Anybody: it bears a signature.
    Anybody,
}

/// A file's contents, and the stamp by which it is known from then on; none if the next change might leave the same stamp, so that
/// it must be read again.
pub(crate) type Whole = (Vec<u8>, Option<Stamp>);

/// Longest wait for somebody who is writing a file.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long nobody must have written to a file that was not renamed to where it is.
const QUIET: Duration = Duration::from_millis(500);

/// Read a regular file of at most `limit` bytes. One that bears no signature, and may be being written in place
/// (instead of being renamed to where it is), is waited for: its first half might say something else than the whole.
pub(crate) fn read(path: &Path, limit: u64, author: Author) -> Result<Whole, String> {
    let started = std::time::Instant::now();
    loop {
        match attempt(path, limit, author)? {
            Some(whole) => return Ok(whole),
            None if started.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            None => return Err("it is being written to: write another file, and rename it".to_owned()),
        }
    }
}

fn attempt(path: &Path, limit: u64, author: Author) -> Result<Option<Whole>, String> {
    let cannot = |error: io::Error| said(&error);
    // Without blocking: it might be a pipe.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut file = File::options().read(true).custom_flags(flags).open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if metadata.size() > limit {
        return Err(format!("it is larger than {limit} bytes, which such a file never is"));
    }
    let being_written = match author {
        Author::Trusted => {
            check_author(&metadata)?;
            may_be_being_written(&metadata)
        }
        Author::Anybody => false,
    };
    let stamp = Stamp::of(&metadata);
    let known_by = Some(stamp).filter(is_settled);
    let mut contents = Vec::new();
    (&mut file).take(limit).read_to_end(&mut contents).map_err(cannot)?;
    let after = file.metadata().map_err(cannot)?;
    if Stamp::of(&after) != stamp || being_written {
        return Ok(None);
    }
    Ok(Some((contents, known_by)))
}

/// Writing sets both of a file's times; renaming it to where it is, after that, only that of its change. (Where both happen
/// within the grain of the clock, the file is waited for, too.)
fn may_be_being_written(metadata: &Metadata) -> bool {
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    modified == (metadata.ctime(), metadata.ctime_nsec()) && is_within(modified, QUIET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_no_file_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let refused = |author| read(&path, 10, author).unwrap_err();
        assert!(refused(Author::Anybody).contains("no such file"));
        std::os::unix::fs::symlink("file", &path).unwrap();
        assert!(refused(Author::Anybody).contains("symbolic links"), "{}", refused(Author::Anybody));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(refused(Author::Anybody).contains("not a regular file"));
        fs::remove_dir(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(refused(Author::Anybody).contains("not a regular file"), "a pipe blocks nobody");
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"12345678901").unwrap();
        assert!(refused(Author::Anybody).contains("larger than 10"));
        fs::write(&path, b"1").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(refused(Author::Trusted).contains("chmod go-w"));
        assert_eq!(read(&path, 10, Author::Anybody).unwrap().0, b"1");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&path, 10, Author::Trusted).unwrap().0, b"1");
    }

    #[test]
    fn what_is_being_written_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"half").unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                for _ in 0..8 {
                    std::thread::sleep(Duration::from_millis(100));
                    fs::write(&path, b"half").unwrap();
                }
                fs::write(&path, b"whole").unwrap();
            }
        });
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(read(&path, 10, Author::Trusted).unwrap().0, b"whole");
        writer.join().unwrap();
        // Renamed, it is whole at once.
        let other = directory.path().join("other");
        fs::write(&other, b"whole").unwrap();
        std::thread::sleep(Duration::from_millis(20));
        fs::rename(&other, &path).unwrap();
        let started = std::time::Instant::now();
        assert_eq!(read(&path, 10, Author::Trusted).unwrap().0, b"whole");
        assert!(started.elapsed() < QUIET);
    }
}
