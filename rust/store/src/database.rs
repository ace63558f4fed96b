//! Nix's database: which paths are valid, and what is known of them (libstore: schema.sql, local-store.cc).

use data_encoding::HEXLOWER;
use nixcert_core::{ObjectError, PathInfo, StorePath, nix32};
use nixcert_files::FileError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction};
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The version of the schema that is read here: `nixSchemaVersion` of Nix 2.0 and later (local-store.hh).
pub const SCHEMA: &str = "10";

/// How many paths a closure may have: a hundred times the largest systems, and what takes some 250 MiB here.
pub const CLOSURE_PATHS: usize = 1_000_000;

/// How long to wait for a lock. Readers hardly ever need one: it is held while a log is recovered after a crash.
const BUSY: Duration = Duration::from_secs(10);

/// The file with the schema's version holds a number.
const SCHEMA_BYTES: u64 = 64;

/// SQLite's cache, in KiB: negative by its convention. The inner pages of a large store's indexes.
const CACHE: i32 = -16 * 1024;

/// The database of a Nix store, open for reading.
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Open the database in Nix's state directory, `/nix/var/nix`. Read permission is enough.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read, or is of a kind that is not known here.
    pub fn open(state: &Path) -> Result<Self, StoreError> {
        let directory = state.join("db");
        let schema = nixcert_files::read(&directory.join("schema"), SCHEMA_BYTES)?;
        let found = String::from_utf8_lossy(&schema).trim_ascii().to_owned();
        if found != SCHEMA {
            return Err(StoreError::Schema { directory, found });
        }
        let path = directory.join("db.sqlite");
        let fault = |error| StoreError::Open { path: path.clone(), error };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(fault)?;
        connection.busy_timeout(BUSY).map_err(fault)?;
        connection.pragma_update(None, "cache_size", CACHE).map_err(fault)?;
        let journal: String =
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(fault)?;
        if journal != "wal" {
            return Err(StoreError::Journal(path));
        }
        Ok(Self { connection })
    }

    /// The closure of a path, as the database is at this instant: it and all that it refers to, directly or not.
    ///
    /// # Errors
    /// [`StoreError`] if the path is not valid, if there are more than `limit` paths, or if the database holds what Nix does
    /// not write.
    pub fn closure(&mut self, top: &StorePath, limit: usize) -> Result<Closure<'_>, StoreError> {
        let snapshot = self.connection.transaction()?;
        let paths = reachable(&snapshot, top, limit)?;
        Ok(Closure { snapshot, paths })
    }
}

/// All paths that one path refers to, directly or not, and itself, in one snapshot of the database.
pub struct Closure<'store> {
    snapshot: Transaction<'store>,
    paths: Vec<Listed>,
}

/// A path of a closure.
struct Listed {
    /// Its row.
    id: i64,
    path: StorePath,
    /// Where in the closure those are that it refers to, in order. (A closure has at most [`CLOSURE_PATHS`].)
    references: Box<[u32]>,
}

impl Closure<'_> {
    /// How many paths; never none.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// The paths, ascending by the bytes of their fingerprints (FORMAT O1).
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &StorePath> {
        self.paths.iter().map(|listed| &listed.path)
    }

    /// What the database says of some of the paths, in the order of [`Closure::paths`].
    ///
    /// # Errors
    /// [`StoreError`] if there are not so many, or if the database holds what Nix does not write.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<Entry>, StoreError> {
        let paths = self.paths.get(range).ok_or(StoreError::Range)?;
        let mut row = self.snapshot.prepare(
            "select hash, narSize, registrationTime, ultimate, sigs, ca, deriver from ValidPaths where id = ?",
        )?;
        let path_at = |place: &u32| Some(self.paths.get(usize::try_from(*place).ok()?)?.path.clone());
        let read = |Listed { id, path, references }: &Listed| {
            let references = references.iter().filter_map(path_at).collect();
            row.query_one([id], |row| Ok(entry(path, references, row)))?
        };
        paths.iter().map(read).collect()
    }
}

/// What the database says of a path. All of it but what its [`PathInfo`] is may be chosen by whoever sent the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What is signed.
    pub info: PathInfo,
    /// Free text: anybody may add to it.
    pub signatures: Vec<String>,
    /// The claim to be content-addressed: see [`recompute`](crate::recompute).
    pub content_address: Option<String>,
    /// When this store registered it, in seconds since 1970; 0 if that is not known.
    pub registered: u64,
    /// Whether this store built it.
    pub ultimate: bool,
    /// What it is said to have been built from.
    pub deriver: Option<String>,
}

/// Why the store has no answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file with the schema's version cannot be read.
    #[error("there is no Nix store here that can be read: {0}")]
    File(#[from] FileError),
    /// Another schema than [`SCHEMA`].
    #[error(
        "Nix's database in '{}' has the schema '{}', and only {SCHEMA} is known here: \
         use a nixcert that was made for this Nix", directory.display(), found.escape_debug()
    )]
    Schema {
        /// The database's directory.
        directory: PathBuf,
        /// What its file `schema` says.
        found: String,
    },
    /// The database cannot be opened.
    #[error(
        "Nix's database '{}' cannot be opened: {error} (where its files -wal and -shm are missing, \
         any command of Nix that root runs makes them)", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        error: rusqlite::Error,
    },
    /// Nix locks a database of this kind in a way of its own (sqlite.cc: `unix-dotfile`).
    #[error("Nix's database '{}' has no write-ahead log: remove 'use-sqlite-wal = false' from nix.conf", .0.display())]
    Journal(PathBuf),
    /// The database cannot be read further.
    #[error("Nix's database cannot be read: {0}")]
    Read(#[from] rusqlite::Error),
    /// The path is not in the store.
    #[error("'{0}' is not valid in this store: copy or build it first")]
    NotValid(StorePath),
    /// There are more paths than allowed.
    #[error("the closure of '{top}' has more than {limit} paths")]
    TooMany {
        /// The path.
        top: StorePath,
        /// How many it may have.
        limit: usize,
    },
    /// A row that is not a store path's.
    #[error(
        "Nix's database holds what is none of Nix's, in the closure of '{top}': {error}; see 'nix-store --verify'"
    )]
    Path {
        /// The path whose closure it is.
        top: StorePath,
        /// What is wrong.
        error: ObjectError,
    },
    /// A path that refers to one of another store.
    #[error("'{top}' has '{other}' in its closure, which is of another store directory")]
    Directory {
        /// The path whose closure it is.
        top: StorePath,
        /// The path of another directory.
        other: StorePath,
    },
    /// A row whose named column is not as Nix writes it.
    #[error("Nix's database says of '{path}' what Nix does not write: its {what}; see 'nix-store --verify'")]
    Row {
        /// The path.
        path: StorePath,
        /// The column.
        what: &'static str,
    },
    /// A reference to a row that is not there.
    #[error(
        "Nix's database is damaged: '{0}' refers to a path that it does not have; see 'nix-store --verify'"
    )]
    Dangling(StorePath),
    /// More entries were asked for than there are.
    #[error("the closure does not have so many paths")]
    Range,
}

const REFERENCES: &str = "select reference from Refs where referrer = ?";

/// All rows that can be reached from a path, in order.
fn reachable(snapshot: &Transaction<'_>, top: &StorePath, limit: usize) -> Result<Vec<Listed>, StoreError> {
    let first: Option<i64> = snapshot
        .query_row("select id from ValidPaths where path = ?", [top.as_str()], |row| row.get(0))
        .optional()?;
    let first = first.ok_or_else(|| StoreError::NotValid(top.clone()))?;
    let mut path_of = snapshot.prepare("select path from ValidPaths where id = ?")?;
    let mut references = snapshot.prepare(REFERENCES)?;
    // In the order in which they are found; where each row is in there.
    let mut found = vec![Listed { id: first, path: top.clone(), references: Box::default() }];
    let mut places = HashMap::from([(first, 0_u32)]);
    let mut next = 0;
    while let Some((id, path)) = found.get(next).map(|listed| (listed.id, listed.path.clone())) {
        let mut own = Vec::new();
        let mut rows = references.query([id])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            if let Some(place) = places.get(&id) {
                own.push(*place);
                continue;
            }
            let too_many = || StoreError::TooMany { top: top.clone(), limit };
            if found.len() >= limit {
                return Err(too_many());
            }
            let path = path_of
                .query_row([id], |row| Ok(store_path(row.get_ref(0)?)))
                .optional()?
                .ok_or_else(|| StoreError::Dangling(path.clone()))?
                .map_err(|error| StoreError::Path { top: top.clone(), error })?;
            if path.directory() != top.directory() {
                return Err(StoreError::Directory { top: top.clone(), other: path });
            }
            let place = u32::try_from(found.len()).map_err(|_| too_many())?;
            places.insert(id, place);
            own.push(place);
            found.push(Listed { id, path, references: Box::default() });
        }
        if let Some(listed) = found.get_mut(next) {
            listed.references = own.into();
        }
        next += 1;
    }
    Ok(sorted(found))
}

/// The same by their fingerprints, and so their references.
fn sorted(found: Vec<Listed>) -> Vec<Listed> {
    let mut order: Vec<(usize, Listed)> = found.into_iter().enumerate().collect();
    order.sort_unstable_by(|(_, a), (_, b)| by_fingerprint(&a.path, &b.path));
    let mut moved = vec![0; order.len()];
    for ((place, _), now) in order.iter().zip(0_u32..) {
        if let Some(moved) = moved.get_mut(*place) {
            *moved = now;
        }
    }
    let put = |(_, mut listed): (usize, Listed)| {
        for place in &mut listed.references {
            *place = usize::try_from(*place).ok().and_then(|old| moved.get(old).copied()).unwrap_or(*place);
        }
        listed.references.sort_unstable();
        listed
    };
    order.into_iter().map(put).collect()
}

/// "1;PATH;…": of two paths one of which begins with the other, the `;` after the shorter one decides.
fn by_fingerprint(a: &StorePath, b: &StorePath) -> Ordering {
    let (a, b) = (a.as_str().as_bytes(), b.as_str().as_bytes());
    let shared = a.len().min(b.len());
    let after = |path: &[u8]| path.get(shared).copied().unwrap_or(b';');
    a.get(..shared).cmp(&b.get(..shared)).then_with(|| after(a).cmp(&after(b)))
}

/// A row of ValidPaths, in the order of the query.
fn entry(
    path: &StorePath,
    references: BTreeSet<StorePath>,
    row: &rusqlite::Row<'_>,
) -> Result<Entry, StoreError> {
    let wrong = |what| move || StoreError::Row { path: path.clone(), what };
    let nar_hash = nar_hash(row.get_ref(0)?).ok_or_else(wrong("hash"))?;
    let nar_size = number(row.get_ref(1)?).filter(|size| *size != 0).ok_or_else(wrong("size"))?;
    let registered = number(row.get_ref(2)?).ok_or_else(wrong("registration time"))?;
    let ultimate = match row.get_ref(3)? {
        ValueRef::Null | ValueRef::Integer(0) => false,
        ValueRef::Integer(1) => true,
        ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
            return Err(wrong("mark of what was built here")());
        }
    };
    let signatures = free_text(row.get_ref(4)?).unwrap_or_default();
    Ok(Entry {
        info: PathInfo { path: path.clone(), nar_hash, nar_size, references },
        signatures: signatures.split(' ').filter(|one| !one.is_empty()).map(str::to_owned).collect(),
        content_address: free_text(row.get_ref(5)?),
        registered,
        ultimate,
        deriver: free_text(row.get_ref(6)?),
    })
}

fn store_path(value: ValueRef<'_>) -> Result<StorePath, ObjectError> {
    // What replaces bytes that are not UTF-8 is in no store path.
    StorePath::parse(&free_text(value).unwrap_or_default())
}

fn nar_hash(value: ValueRef<'_>) -> Option<String> {
    let hash = value.as_str().ok()?.strip_prefix("sha256:")?;
    let bytes: [u8; 32] = HEXLOWER.decode(hash.as_bytes()).ok()?.try_into().ok()?;
    Some(nix32(&bytes))
}

fn number(value: ValueRef<'_>) -> Option<u64> {
    value.as_i64().ok()?.try_into().ok()
}

/// Text that somebody sent. Where it is not UTF-8 it counts for nothing later, and must not hide what does.
fn free_text(value: ValueRef<'_>) -> Option<String> {
    let bytes = value.as_bytes().ok().filter(|bytes| !bytes.is_empty())?;
    let text = str::from_utf8(bytes).map(str::to_owned);
    Some(text.unwrap_or_else(|_| String::from_utf8_lossy(bytes).into_owned()))
}
