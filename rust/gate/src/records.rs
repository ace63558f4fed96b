//! What this gate has activated, and who vouched for it: a directory that only root can change, with a file for each
//! generation.
//!
//! A file is a line of JSON, [`Header`], and then for each path of the closure, in the order of their fingerprints, 44 bytes: the
//! first 8 of the SHA-256 of its store path (which only serve to say that it was there with other contents), the SHA-256 of its
//! fingerprint, and which of the header's sets vouched for it, least byte first. A system of 5,000 paths takes 220 KB.

use crate::explain::Was;
use crate::verdict::Leave;
use crate::vouched::{Book, Since, Vouched};
use nixcert_core::{ClosureDigest, Instant, Object, Statement, StorePath, base32_decode, base32_encode};
use nixcert_files::{Access, Existing, FileError, check_author, said};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What the name of a record ends in; before it stands its number.
const SUFFIX: &str = ".record";

/// The version of the format.
const SCHEMA: u32 = 1;

/// Bytes of a path in a record.
const ENTRY_BYTES: usize = 8 + 32 + 4;

/// Longest record: a closure of a million paths (FORMAT G8), and a header of at most 20 MB: some thousand names of the longest
/// (FORMAT N1).
const RECORD_BYTES: u64 = 64 << 20;

/// With how many lists of vouchers, of any generations, a path is remembered. People are few; past this the newest are left
/// out, so that what is known since longest counts.
const VOUCHED_AT_MOST: usize = 16;

/// A path in short, for finding it in records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    pub(crate) path: [u8; 8],
    pub(crate) sha256: [u8; 32],
}

impl Fingerprint {
    pub(crate) fn of(object: &Object) -> Self {
        Self { path: path_key(object.store_path()), sha256: Sha256::digest(object.fingerprint()).into() }
    }
}

pub(crate) fn path_key(path: &StorePath) -> [u8; 8] {
    let hash: [u8; 32] = Sha256::digest(path.as_str()).into();
    hash.first_chunk().copied().unwrap_or_default()
}

/// Who did what, for a record.
#[derive(Clone, Copy, Debug)]
pub struct Meta<'a> {
    /// When.
    pub time: Instant,
    /// Who asked.
    pub user: &'a str,
    /// `switch`, `boot` or `test`.
    pub action: &'a str,
}

/// The directory of records.
#[derive(Clone, Debug)]
pub struct Records {
    directory: PathBuf,
}

impl Records {
    /// Those in this directory, which need not be there yet.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where they are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Make the directory, if it is not there.
    ///
    /// # Errors
    /// [`RecordsError`] if that fails, or others can change what is in it.
    pub fn prepare(&self) -> Result<(), RecordsError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.directory);
        made.map_err(|error| FileError {
            action: "make the directory",
            path: self.directory.clone(),
            error,
        })?;
        self.check_directory().map(drop)
    }

    /// Whether the directory is there, and nobody else can change what is in it.
    fn check_directory(&self) -> Result<bool, RecordsError> {
        let fault = |problem| RecordsError::Untrusted { path: self.directory.clone(), problem };
        match self.directory.metadata() {
            Ok(metadata) if metadata.is_dir() => check_author(&metadata).map_err(fault).map(|()| true),
            Ok(_) => Err(fault("it is not a directory".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(fault(said(&error))),
        }
    }

    /// All generations, without their paths, oldest first.
    ///
    /// # Errors
    /// [`RecordsError`] names the file that cannot be read: then nobody knows what was activated last.
    pub(crate) fn read(&self) -> Result<History, RecordsError> {
        let mut generations = Vec::new();
        if self.check_directory()? {
            for (number, path) in self.files()? {
                let (header, _) = read_record(&path)?;
                generations.push(Generation::new(number, path, header)?);
            }
        }
        Ok(History { generations })
    }

    fn files(&self) -> Result<BTreeMap<u64, PathBuf>, RecordsError> {
        let fault = |error| FileError { action: "look into", path: self.directory.clone(), error };
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&self.directory).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(number) = name.strip_suffix(SUFFIX) else { continue };
            // Files that are being written begin with a dot.
            if name.starts_with('.') {
                continue;
            }
            let number: u64 = number.parse().map_err(|_| RecordsError::Form {
                path: path.clone(),
                problem: "its name is not a number".to_owned(),
            })?;
            files.insert(number, path);
        }
        Ok(files)
    }

    /// Write down what is about to be activated, and forget generations whose top-level path is valid no more; but never who
    /// signed last.
    ///
    /// # Errors
    /// [`RecordsError`]; nothing was written then.
    pub fn write(
        &self,
        leave: &Leave,
        meta: Meta<'_>,
        is_valid: impl Fn(&StorePath) -> bool,
    ) -> Result<(), RecordsError> {
        self.prepare()?;
        let history = self.read()?;
        let number = history.generations.last().map_or(0, |last| last.number).saturating_add(1);
        let path = self.directory.join(format!("{number:04}{SUFFIX}"));
        let bytes =
            record(leave, meta).map_err(|problem| RecordsError::Form { path: path.clone(), problem })?;
        nixcert_files::write(&path, &bytes, Access::Public, Existing::Keep)?;
        let statement = leave.passed.statement();
        let newest = history.last_generation().filter(|last| {
            let signed = |statement: Option<&Statement>| statement.map(|statement| statement.signed);
            signed(last.statement.as_ref()) > signed(statement)
        });
        for old in &history.generations {
            // The same once more: how long its vouchers are known stands in the new one, too.
            let is_same = old.path == *leave.passed.path()
                && old.closure == leave.passed.closure()
                && old.statement.as_ref() == statement;
            let is_newest = newest.is_some_and(|newest| newest.number == old.number);
            if is_same || !is_newest && !is_valid(&old.path) {
                // What is left for another time does no harm.
                let _ = fs::remove_file(&old.file);
            }
        }
        Ok(nixcert_files::sync_directory(&self.directory)?)
    }
}

/// What was activated here.
#[derive(Debug, Default)]
pub(crate) struct History {
    generations: Vec<Generation>,
}

/// One activation.
#[derive(Debug)]
pub(crate) struct Generation {
    number: u64,
    file: PathBuf,
    activated: u64,
    path: StorePath,
    closure: ClosureDigest,
    statement: Option<Statement>,
}

impl Generation {
    fn new(number: u64, file: PathBuf, header: Header) -> Result<Self, RecordsError> {
        let fault = |problem: &str| RecordsError::Form { path: file.clone(), problem: problem.to_owned() };
        let path = StorePath::parse(&header.path).map_err(|_| fault("its path is no store path"))?;
        let sha256 = base32_decode(header.closure.as_bytes()).and_then(|bytes| bytes.try_into().ok());
        let sha256 = sha256.ok_or_else(|| fault("its digest is not 32 bytes in base32"))?;
        let statement = match &header.statement {
            None => None,
            Some(text) => {
                let bytes =
                    base32_decode(text.as_bytes()).ok_or_else(|| fault("its statement is not base32"))?;
                let statement = Statement::parse(&bytes);
                Some(statement.map_err(|error| fault(&format!("its statement cannot be read: {error}")))?)
            }
        };
        let closure = ClosureDigest { sha256, paths: header.paths };
        Ok(Self { number, activated: header.activated, path, closure, statement, file })
    }
}

/// Who vouched for each path of a closure in earlier generations.
#[derive(Debug, Default)]
pub(crate) struct Earlier(Vec<Vec<Since>>);

impl Earlier {
    /// Oldest first.
    pub(crate) fn of(&self, index: usize) -> &[Since] {
        self.0.get(index).map(Vec::as_slice).unwrap_or_default()
    }
}

impl History {
    /// The newest statement by which something was activated.
    pub(crate) fn last(&self) -> Option<&Statement> {
        self.last_generation().and_then(|generation| generation.statement.as_ref())
    }

    fn last_generation(&self) -> Option<&Generation> {
        let signed =
            |generation: &&Generation| generation.statement.as_ref().map(|statement| statement.signed);
        self.generations.iter().filter(|generation| generation.statement.is_some()).max_by_key(signed)
    }

    /// Whether this very closure was activated.
    pub(crate) fn has(&self, path: &StorePath, closure: ClosureDigest) -> bool {
        self.generations.iter().any(|generation| generation.path == *path && generation.closure == closure)
    }

    /// Who vouched for these paths, as they are.
    pub(crate) fn earlier(&self, paths: &[Fingerprint], book: &mut Book) -> Result<Earlier, RecordsError> {
        let mut index: HashMap<[u8; 32], usize> = HashMap::with_capacity(paths.len());
        index.extend(paths.iter().enumerate().map(|(position, path)| (path.sha256, position)));
        let mut earlier = vec![Vec::<Since>::new(); paths.len()];
        for generation in &self.generations {
            let (header, entries) = read_record(&generation.file)?;
            let sets = header.sets(book);
            for entry in entries.chunks_exact(ENTRY_BYTES).filter_map(split_entry) {
                let (_, sha256, set) = entry;
                let set = sets.get(set).copied().ok_or_else(|| RecordsError::Form {
                    path: generation.file.clone(),
                    problem: "a path of it names vouchers that it does not have".to_owned(),
                })?;
                let list = index.get(&sha256).and_then(|position| earlier.get_mut(*position));
                let Some(list) = list else { continue };
                if let Some(known) = list.iter_mut().find(|known| known.list == set.list) {
                    known.since = known.since.min(set.since);
                } else if list.len() < VOUCHED_AT_MOST {
                    list.push(set);
                }
            }
        }
        earlier.iter_mut().for_each(|list| list.sort_unstable());
        Ok(Earlier(earlier))
    }

    /// Where paths were activated with other contents than these: what each was last.
    pub(crate) fn other_contents(
        &self,
        paths: &[Fingerprint],
    ) -> Result<HashMap<[u8; 8], Was>, RecordsError> {
        let wanted: HashMap<[u8; 8], [u8; 32]> = paths.iter().map(|path| (path.path, path.sha256)).collect();
        let mut found = HashMap::new();
        for generation in self.generations.iter().rev() {
            let (header, entries) = read_record(&generation.file)?;
            let mut book = Book::default();
            let sets = header.sets(&mut book);
            for (path, sha256, set) in entries.chunks_exact(ENTRY_BYTES).filter_map(split_entry) {
                let is_other = wanted.get(&path).is_some_and(|now| *now != sha256);
                if let Some(set) = sets.get(set).filter(|_| is_other) {
                    let labels = book.get(set.list).iter().map(|vouched| vouched.label().to_owned());
                    let was = || Was { activated: generation.activated, vouched_for_by: labels.collect() };
                    found.entry(path).or_insert_with(was);
                }
            }
        }
        Ok(found)
    }
}

/// Why records cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// Somebody else could have written them.
    #[error("'{}': {problem}", path.display())]
    Untrusted {
        /// File or directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file that is no record.
    #[error("'{}' is not a record of an activation: {problem}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The system's error.
    #[error(transparent)]
    File(#[from] FileError),
}

impl RecordsError {
    /// Whether it is the asker who may not look, rather than the records that are no good.
    pub(crate) fn is_denied(&self) -> bool {
        match self {
            Self::File(error) => error.error.kind() == io::ErrorKind::PermissionDenied,
            Self::Untrusted { .. } | Self::Form { .. } => false,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: u32,
    /// Seconds since the epoch.
    activated: u64,
    path: String,
    /// SHA-256 (FORMAT S4), in base32.
    closure: String,
    /// How many paths.
    paths: u32,
    /// In base32.
    statement: Option<String>,
    user: String,
    action: String,
    vouchers: Vec<Vouched>,
    sets: Vec<Set>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    since: u64,
    /// Positions in the header's vouchers.
    vouchers: Vec<usize>,
}

impl Header {
    fn check(&self, entries: usize) -> Result<(), String> {
        if self.schema != SCHEMA {
            return Err(format!("it is of schema {}; this nixcert knows {SCHEMA}: update it", self.schema));
        }
        if usize::try_from(self.paths).ok().and_then(|paths| paths.checked_mul(ENTRY_BYTES)) != Some(entries)
        {
            return Err("it does not have as many paths as it says".to_owned());
        }
        let known = |voucher: &usize| *voucher < self.vouchers.len();
        if self.sets.iter().any(|set| set.vouchers.is_empty() || !set.vouchers.iter().all(known)) {
            return Err("it names vouchers that it does not have".to_owned());
        }
        Ok(())
    }

    fn sets(&self, book: &mut Book) -> Vec<Since> {
        let mut since = |set: &Set| {
            let list = set.vouchers.iter().filter_map(|voucher| self.vouchers.get(*voucher).cloned());
            Since { since: set.since, list: book.add(list.collect()) }
        };
        self.sets.iter().map(&mut since).collect()
    }
}

fn read_record(path: &Path) -> Result<(Header, Vec<u8>), RecordsError> {
    let form = |problem: String| RecordsError::Form { path: path.to_owned(), problem };
    let metadata = path.symlink_metadata().map_err(|error| FileError {
        action: "look at",
        path: path.to_owned(),
        error,
    })?;
    if !metadata.is_file() {
        return Err(form("it is not a regular file".to_owned()));
    }
    check_author(&metadata).map_err(|problem| RecordsError::Untrusted { path: path.to_owned(), problem })?;
    let mut bytes = nixcert_files::read(path, RECORD_BYTES)?;
    let end =
        bytes.iter().position(|byte| *byte == b'\n').ok_or_else(|| form("it has no header".to_owned()))?;
    let entries = bytes.split_off(end.saturating_add(1));
    let header: Header = serde_json::from_slice(&bytes).map_err(|error| form(error.to_string()))?;
    header.check(entries.len()).map_err(form)?;
    Ok((header, entries))
}

fn split_entry(bytes: &[u8]) -> Option<([u8; 8], [u8; 32], usize)> {
    let (path, rest) = bytes.split_first_chunk::<8>()?;
    let (sha256, set) = rest.split_first_chunk::<32>()?;
    let set = u32::from_le_bytes(set.try_into().ok()?);
    Some((*path, *sha256, usize::try_from(set).ok()?))
}

fn record(leave: &Leave, meta: Meta<'_>) -> Result<Vec<u8>, String> {
    let Leave { passed, book, paths } = leave;
    let mut vouchers: Vec<Vouched> = Vec::new();
    let mut positions: HashMap<Vouched, usize> = HashMap::new();
    let mut sets = Vec::new();
    let mut set_of: HashMap<Since, u32> = HashMap::new();
    let mut entries = Vec::with_capacity(paths.len().saturating_mul(ENTRY_BYTES));
    for (fingerprint, since) in paths {
        let set = match set_of.get(since) {
            Some(set) => *set,
            None => {
                let mut position = |vouched: &Vouched| {
                    *positions.entry(vouched.clone()).or_insert_with(|| {
                        vouchers.push(vouched.clone());
                        vouchers.len().saturating_sub(1)
                    })
                };
                let list = book.get(since.list).iter().map(&mut position).collect();
                sets.push(Set { since: since.since, vouchers: list });
                let set = u32::try_from(sets.len().saturating_sub(1)).map_err(|error| error.to_string())?;
                set_of.insert(*since, set);
                set
            }
        };
        entries.extend(fingerprint.path);
        entries.extend(fingerprint.sha256);
        entries.extend(set.to_le_bytes());
    }
    let statement =
        passed.statement().map(Statement::to_bytes).transpose().map_err(|error| error.to_string())?;
    let header = Header {
        schema: SCHEMA,
        activated: meta.time.seconds(),
        path: passed.path().to_string(),
        closure: base32_encode(&passed.closure().sha256),
        paths: passed.closure().paths,
        statement: statement.as_deref().map(base32_encode),
        user: meta.user.to_owned(),
        action: meta.action.to_owned(),
        vouchers,
        sets,
    };
    header.check(entries.len())?;
    let mut bytes = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    bytes.extend(entries);
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > RECORD_BYTES {
        return Err("it would be too long".to_owned());
    }
    Ok(bytes)
}
