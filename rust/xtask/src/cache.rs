//! What is slow to make and worth keeping: roots, builds, downloads.
//!
//! The cache lives outside the clone, per user. An entry's name ends in the hash of everything that went into it,
//! and an entry is made under another name and renamed when whole, so that what is there can be used. One run at a
//! time holds the cache's lock.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::report::{Log, Step};

/// How many entries of a kind are kept: this one and those of the previous states of the sources.
const KEPT: usize = 3;

/// How long a run waits for another one to end.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The cache's directory.
#[derive(Clone)]
pub(crate) struct Cache {
    directory: PathBuf,
}

/// While this lives, no other run uses the cache.
pub(crate) struct Lock {
    _file: File,
}

/// What to do when another run holds the cache.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenBusy {
    /// Say so and wait, at most [`PATIENCE`].
    Wait,
    /// Refuse.
    Refuse,
}

impl Cache {
    /// `$XDG_CACHE_HOME/nixcert`, else `~/.cache/nixcert`.
    pub(crate) fn open() -> Result<Self> {
        let base = match std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
            Some(directory) => PathBuf::from(directory),
            None => match std::env::var_os("HOME") {
                Some(home) => Path::new(&home).join(".cache"),
                None => bail!("there is no place for the cache: set HOME or XDG_CACHE_HOME"),
            },
        };
        if !base.is_absolute() {
            bail!("the cache's place {} is not an absolute path: set XDG_CACHE_HOME to one", base.display());
        }
        let directory = base.join("nixcert");
        fs::create_dir_all(&directory).with_context(|| {
            format!(
                "cannot make the cache's directory {}: set XDG_CACHE_HOME to another place",
                directory.display()
            )
        })?;
        Ok(Self { directory })
    }

    /// Where the cache is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a directory of downloads or logs is; made if it is not there.
    pub(crate) fn place(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Begins a log.
    pub(crate) fn log(&self, name: &str) -> Result<Log> {
        Log::create(&self.directory.join("logs"), name)
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// Another run holds it, and waiting is not wanted or took too long.
    pub(crate) fn lock(&self, when_busy: WhenBusy) -> Result<Lock> {
        let path = self.directory.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        // The lock belongs to the open file, which the command shares: it stays when the command has ended.
        let lock = || -> Result<bool> {
            let mut command = Command::new("flock");
            command.args(["--exclusive", "--nonblock", "0"]).stdin(file.try_clone()?);
            Ok(command.status().context("cannot start flock, of Debian's util-linux")?.success())
        };
        if !lock()? {
            let busy = format!("another run of the test bed is using {}", self.directory.display());
            if when_busy == WhenBusy::Refuse {
                bail!("{busy}: wait until it has ended, or leave out --no-wait");
            }
            let step = Step::start(format!("Waiting: {busy}"));
            let begun = Instant::now();
            while !lock()? {
                if begun.elapsed() > PATIENCE {
                    bail!("{busy}, for {} minutes now: end it, then try again", PATIENCE.as_secs() / 60);
                }
                thread::sleep(Duration::from_millis(200));
            }
            step.done();
        }
        Ok(Lock { _file: file })
    }

    /// Removes what runs that were killed left half made. Only for the holder of the lock.
    pub(crate) fn remove_partial(&self, _lock: &Lock) -> Result<()> {
        let partial = self.directory.join("partial");
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", partial.display()))
            }
            _ => Ok(()),
        }
    }

    /// The entry of this kind and key, made by `make` in an empty directory if it is not there.
    pub(crate) fn entry(
        &self,
        kind: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let name = format!("{kind}-{}", key.0);
        let path = self.directory.join(&name);
        if path.is_dir() {
            // A used entry is a young one, for `prune`.
            File::open(&path)?.set_modified(std::time::SystemTime::now())?;
            return Ok(path);
        }
        let partial = self.place("partial")?.join(&name);
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir(&partial)?;
        make(&partial)?;
        // What was unpacked in it may have given it an old time.
        File::open(&partial)?.set_modified(std::time::SystemTime::now())?;
        fs::rename(&partial, &path)?;
        self.prune(kind)?;
        Ok(path)
    }

    /// Removes all but the youngest entries of a kind.
    fn prune(&self, kind: &str) -> Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.rsplit_once('-').is_some_and(|(prefix, _)| prefix == kind) {
                entries.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        entries.sort();
        entries.reverse();
        for (_, path) in entries.into_iter().skip(KEPT) {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }
}

/// A hash of everything that goes into an entry.
pub(crate) struct Key(String);

impl Key {
    /// The key of these parts, in this order.
    pub(crate) fn of<Part: AsRef<[u8]>>(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            let part = part.as_ref();
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The key of all files below these paths: their paths and contents.
    pub(crate) fn of_files(base: &Path, paths: &[&str]) -> Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            collect(&base.join(path), &mut files)?;
        }
        files.sort();
        let mut parts = Vec::new();
        for file in files {
            parts.push(file.strip_prefix(base)?.to_string_lossy().into_owned().into_bytes());
            parts.push(fs::read(&file)?);
        }
        Ok(Self::of(parts))
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else if path.is_file() {
        files.push(path.to_owned());
    }
    Ok(())
}
