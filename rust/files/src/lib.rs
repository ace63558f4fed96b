//! Files that are whole or absent, and files that are read only so far.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its owner alone: mode 0600.
    Secret,
    /// Everyone: mode 0644, less what the umask takes away.
    Public,
}

/// What happens to a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and writing fails.
    Keep,
    /// It is replaced, all at once.
    Replace,
}

/// Write a file: afterwards it is there whole and on disk, or it is as it was before.
///
/// # Errors
/// [`FileError`] names the file, what was being done, and the system's answer.
pub fn write(path: &Path, contents: &[u8], access: Access, existing: Existing) -> Result<(), FileError> {
    let fault = |error| FileError { action: "write", path: path.to_owned(), error };
    if existing == Existing::Keep && path.symlink_metadata().is_ok() {
        return Err(fault(io::ErrorKind::AlreadyExists.into()));
    }
    let mode = match access {
        Access::Secret => 0o600,
        Access::Public => 0o644,
    };
    let directory = parent(path);
    let mut file = tempfile::Builder::new()
        .prefix(".nixcert-")
        .permissions(std::fs::Permissions::from_mode(mode))
        .tempfile_in(directory)
        .map_err(fault)?;
    file.write_all(contents).and_then(|()| file.as_file().sync_all()).map_err(fault)?;
    let written = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    };
    written.map_err(|error| fault(error.error))?;
    sync_directory(directory)
}

/// Replace a file that is there, all at once, keeping its mode and, where this user may give it away, its owner. Where it is a
/// link, what it leads to is replaced. The directory is not synced: call [`sync_directory`] after the last of many.
///
/// # Errors
/// [`FileError`]; the file is as it was then.
pub fn replace(path: &Path, contents: &[u8]) -> Result<(), FileError> {
    let fault = |error| FileError { action: "replace", path: path.to_owned(), error };
    let target = path.canonicalize().map_err(fault)?;
    let metadata = target.metadata().map_err(fault)?;
    let mut file =
        tempfile::Builder::new().prefix(".nixcert-").tempfile_in(parent(&target)).map_err(fault)?;
    file.write_all(contents).map_err(fault)?;
    // Before the mode: giving a file away clears bits of it. Only root may, and to others it does not matter.
    let _ = std::os::unix::fs::fchown(file.as_file(), Some(metadata.uid()), Some(metadata.gid()));
    file.as_file().set_permissions(metadata.permissions()).map_err(fault)?;
    file.as_file().sync_all().map_err(fault)?;
    file.persist(&target).map_err(|error| fault(error.error))?;
    Ok(())
}

/// Read a file of at most `limit` bytes.
///
/// # Errors
/// [`FileError`], also if there is more.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let fault = |error| FileError { action: "read", path: path.to_owned(), error };
    File::open(path).and_then(|file| read_from(file, limit)).map_err(fault)
}

/// Read a stream of at most `limit` bytes.
///
/// # Errors
/// The system's, and `FileTooLarge` if there is more.
pub fn read_from(stream: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    stream.take(limit.saturating_add(1)).read_to_end(&mut contents)?;
    if u64::try_from(contents.len()).unwrap_or(u64::MAX) > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {limit} bytes, which such a file never is"),
        ));
    }
    Ok(contents)
}

/// Add a line to a log, which is on disk afterwards. What an interrupted process left behind does not spoil it.
///
/// # Errors
/// [`FileError`]; part of the line may be there then.
pub fn append_line(path: &Path, line: &[u8]) -> Result<(), FileError> {
    let fault = |error| FileError { action: "append to", path: path.to_owned(), error };
    let options = OpenOptions::new().create(true).read(true).append(true).mode(0o644).clone();
    let mut file = options.open(path).map_err(fault)?;
    let begin: &[u8] = if ends_with_a_line(&mut file).map_err(fault)? { b"" } else { b"\n" };
    file.write_all(&[begin, line, b"\n"].concat()).and_then(|()| file.sync_all()).map_err(fault)
}

fn ends_with_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Whether only root, or who runs this, can change what is there.
///
/// # Errors
/// Why somebody else can, and what to do.
pub fn check_author(metadata: &Metadata) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != own {
        return Err(format!(
            "it belongs to user {}, who could change it: give it to root (chown root)",
            metadata.uid()
        ));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err("others than its owner can change it: chmod go-w".to_owned());
    }
    Ok(())
}

/// Whether others than its owner may read or change a file.
///
/// # Errors
/// [`FileError`] if the file cannot be looked at.
pub fn is_open_to_others(path: &Path) -> Result<bool, FileError> {
    let metadata =
        path.metadata().map_err(|error| FileError { action: "look at", path: path.to_owned(), error })?;
    Ok(metadata.mode() & 0o077 != 0)
}

/// The directory of a path; `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Make what was renamed into or out of a directory last.
///
/// # Errors
/// [`FileError`] if the system cannot.
pub fn sync_directory(directory: &Path) -> Result<(), FileError> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(|error| FileError {
        action: "sync",
        path: directory.to_owned(),
        error,
    })
}

/// What the system said about a file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} '{}': {}", path.display(), said(error))]
pub struct FileError {
    /// What was being done: a verb.
    pub action: &'static str,
    /// To which file.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

/// The system's words, without the number that Rust appends.
pub fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists => "it is already there".to_owned(),
        io::ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::NotADirectory => "a part of the path is not a directory".to_owned(),
        _ => {
            let text = error.to_string();
            text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_absent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write(&path, b"one", Access::Secret, Existing::Keep).unwrap();
        assert!(!is_open_to_others(&path).unwrap());

        let error = write(&path, b"two", Access::Secret, Existing::Keep).unwrap_err();
        assert_eq!(error.error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&path, 10).unwrap(), b"one");

        write(&path, b"two", Access::Public, Existing::Replace).unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(read(&path, 2).unwrap_err().error.kind(), io::ErrorKind::FileTooLarge);
        assert!(read(directory.path(), 2).unwrap_err().to_string().contains("it is a directory"));

        // A dangling link is something that is there.
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(write(&link, b"two", Access::Secret, Existing::Keep).is_err());
        let names = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, 2, "a temporary file was left behind");
    }

    #[test]
    fn replaced_behind_a_link_with_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        assert!(replace(&path, b"one").is_err(), "there is nothing to replace");
        write(&path, b"one", Access::Public, Existing::Keep).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        append_line(&path, b"one").unwrap();
        std::fs::write(&path, b"one\ntw").unwrap();
        append_line(&path, b"three").unwrap();
        assert_eq!(read(&path, 100).unwrap(), b"one\ntw\nthree\n");
    }

    #[test]
    fn who_could_have_written_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"", Access::Public, Existing::Keep).unwrap();
        assert_eq!(check_author(&path.metadata().unwrap()), Ok(()));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert!(check_author(&path.metadata().unwrap()).unwrap_err().contains("chmod go-w"));
    }

    #[test]
    fn parents() {
        assert_eq!(parent(Path::new("a")), Path::new("."));
        assert_eq!(parent(Path::new("a/b")), Path::new("a"));
        assert_eq!(parent(Path::new("/a")), Path::new("/"));
    }
}
