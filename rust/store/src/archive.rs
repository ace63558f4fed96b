//! Archives of paths on disk, as Nix makes and hashes them (libutil/archive.cc, `dumpPath`).

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};
use sha2::{Digest, Sha256};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many directories may lie in one another. Each holds a file open, of which a process may have 1,024 (the usual soft
/// RLIMIT_NOFILE) and several archives may be read at once; the deepest packages have some dozens.
pub const DEPTH: usize = 256;

/// SHA-256 and size of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NarHash {
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// How many bytes it has.
    pub size: u64,
}

/// The hash of a path's archive.
///
/// # Errors
/// As [`write_nar`].
pub fn nar_hash(path: &Path) -> Result<NarHash, ArchiveError> {
    let mut hasher = Hasher::default();
    write_nar(path, &mut hasher)?;
    Ok(hasher.finish())
}

/// Write a path's archive, of any size, in constant memory but for the names in the directories on the way. No symbolic link
/// is followed at or below `path`, also if it is put there meanwhile.
///
/// # Errors
/// [`ArchiveError`]; part of the archive may have been written then.
pub fn write_nar(path: &Path, out: impl Write) -> Result<(), ArchiveError> {
    let mut nar = Nar(out);
    let (parent, name) = open_parent(path)?;
    let mut open: Vec<Level> = Vec::new();
    nar.strings(path, &[b"nix-archive-1"])?;
    open.extend(nar.node(&parent, &name, path.to_owned())?);
    loop {
        let depth = open.len();
        let Some(level) = open.last_mut() else { return Ok(()) };
        if let Some(name) = level.names.next() {
            let path = level.path.join(OsStr::from_bytes(name.to_bytes()));
            nar.strings(&path, &[b"entry", b"(", b"name", name.to_bytes(), b"node"])?;
            match nar.node(&level.directory, &name, path)? {
                Some(level) if depth == DEPTH => return Err(ArchiveError::Depth(level.path)),
                Some(level) => open.push(level),
                None => nar.strings(&level.path, &[b")"])?,
            }
        } else if let Some(Level { path, .. }) = open.pop() {
            // Of the directory itself, and of the entry that it is.
            nar.strings(&path, if open.is_empty() { &[b")"] } else { &[b")", b")"] })?;
        }
    }
}

/// The hash of a file's contents alone. It says nothing of the executable bit, so there must be none, and it must be a file.
pub(crate) fn plain_file_hash(path: &Path) -> Result<[u8; 32], ArchiveError> {
    let (parent, name) = open_parent(path)?;
    let (mut file, plain) = open_file(&parent, &name, path)?;
    if !plain.is_file || plain.is_executable {
        return Err(ArchiveError::NotPlain(path.to_owned()));
    }
    let mut hasher = Hasher::default();
    io::copy(&mut file, &mut hasher).map_err(|error| ArchiveError::io(path, error))?;
    Ok(hasher.finish().sha256)
}

/// Why there is no archive of a path.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The system's error.
    #[error("cannot read '{}' or write its archive: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Neither file, directory nor symbolic link.
    #[error("'{}' is neither a file nor a directory nor a symbolic link, so Nix cannot have made it", .0.display())]
    Type(PathBuf),
    /// A file whose contents alone were to be hashed, and which has more to it.
    #[error("'{}' is not a plain file: it is something else, or executable", .0.display())]
    NotPlain(PathBuf),
    /// More than [`DEPTH`] directories in one another.
    #[error("'{}' lies in more than {DEPTH} directories of its store path", .0.display())]
    Depth(PathBuf),
    /// It became shorter, or something else.
    #[error("'{}' changed while it was read", .0.display())]
    Changed(PathBuf),
}

impl ArchiveError {
    fn io(path: &Path, error: impl Into<io::Error>) -> Self {
        Self::Io { path: path.to_owned(), error: error.into() }
    }
}

/// A directory that is being archived: what of it is still to come.
struct Level {
    directory: OwnedFd,
    path: PathBuf,
    names: std::vec::IntoIter<CString>,
}

struct Nar<W>(W);

impl<W: Write> Nar<W> {
    /// A file or link, whole; or the beginning of a directory, the rest of which is the caller's.
    fn node(
        &mut self,
        parent: &OwnedFd,
        name: &CString,
        path: PathBuf,
    ) -> Result<Option<Level>, ArchiveError> {
        let fault = |error| ArchiveError::io(&path, error);
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(fault)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let (file, plain) = open_file(parent, name, &path)?;
                if !plain.is_file {
                    return Err(ArchiveError::Changed(path));
                }
                self.strings(&path, &[b"(", b"type", b"regular"])?;
                if plain.is_executable {
                    self.strings(&path, &[b"executable", b""])?;
                }
                self.strings(&path, &[b"contents"])?;
                self.contents(&path, file, plain.size)?;
                self.strings(&path, &[b")"])?;
                Ok(None)
            }
            FileType::Directory => {
                self.strings(&path, &[b"(", b"type", b"directory"])?;
                let directory =
                    openat(parent, name, FLAGS | OFlags::DIRECTORY, Mode::empty()).map_err(fault)?;
                let mut names = Vec::new();
                for entry in Dir::read_from(&directory).map_err(fault)? {
                    let name = entry.map_err(fault)?.file_name().to_owned();
                    if !matches!(name.to_bytes(), b"." | b"..") {
                        names.push(name);
                    }
                }
                names.sort_unstable();
                Ok(Some(Level { directory, path, names: names.into_iter() }))
            }
            FileType::Symlink => {
                let target = readlinkat(parent, name, Vec::new()).map_err(fault)?;
                self.strings(&path, &[b"(", b"type", b"symlink", b"target", target.to_bytes(), b")"])?;
                Ok(None)
            }
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => Err(ArchiveError::Type(path)),
        }
    }

    /// As a string, of a length that the system said before: less is an error.
    fn contents(&mut self, path: &Path, file: File, size: u64) -> Result<(), ArchiveError> {
        let fault = |error| ArchiveError::io(path, error);
        self.0.write_all(&size.to_le_bytes()).map_err(fault)?;
        if io::copy(&mut file.take(size), &mut self.0).map_err(fault)? != size {
            return Err(ArchiveError::Changed(path.to_owned()));
        }
        self.padding(size).map_err(fault)
    }

    fn strings(&mut self, path: &Path, strings: &[&[u8]]) -> Result<(), ArchiveError> {
        let write = |string: &&[u8]| {
            let size = string.len() as u64;
            self.0.write_all(&size.to_le_bytes())?;
            self.0.write_all(string)?;
            self.padding(size)
        };
        strings.iter().try_for_each(write).map_err(|error| ArchiveError::io(path, error))
    }

    /// Zeros up to a multiple of 8 bytes.
    fn padding(&mut self, size: u64) -> io::Result<()> {
        let short = size.next_multiple_of(8).wrapping_sub(size);
        io::copy(&mut io::repeat(0).take(short), &mut self.0).map(drop)
    }
}

/// Not following, not waiting for the other end of a pipe that was put there.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// The directory that holds a path, and its name there.
fn open_parent(path: &Path) -> Result<(OwnedFd, CString), ArchiveError> {
    let invalid = || ArchiveError::io(path, io::ErrorKind::InvalidInput);
    let name = path.file_name().and_then(|name| CString::new(name.as_bytes()).ok()).ok_or_else(invalid)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = openat(CWD, parent, flags, Mode::empty()).map_err(|error| ArchiveError::io(path, error))?;
    Ok((parent, name))
}

/// What is open, as the system says of just that.
struct Plain {
    is_file: bool,
    /// For its owner, as Nix sees it.
    is_executable: bool,
    size: u64,
}

fn open_file(parent: impl AsFd, name: &CString, path: &Path) -> Result<(File, Plain), ArchiveError> {
    let fault = |error| ArchiveError::io(path, error);
    let file = openat(parent, name, FLAGS, Mode::empty()).map_err(fault)?;
    let stat = fstat(&file).map_err(fault)?;
    let plain = Plain {
        is_file: FileType::from_raw_mode(stat.st_mode).is_file(),
        is_executable: Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR),
        size: u64::try_from(stat.st_size).map_err(|_| ArchiveError::Changed(path.to_owned()))?,
    };
    Ok((file.into(), plain))
}

#[derive(Default)]
struct Hasher {
    sha256: Sha256,
    size: u64,
}

impl Hasher {
    fn finish(self) -> NarHash {
        NarHash { sha256: self.sha256.finalize().into(), size: self.size }
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sha256.update(bytes);
        self.size = self.size.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
