//! Whether a path's contents in this store may be replaced by others, and replacing them.
//!
//! Only contents that are no good as they are, by what others that are vouched for: whoever may ask for this gains nothing that
//! signing does not give.

use crate::check::{CheckError, Question, STATE};
use crate::explain::reason_of;
use crate::judging::{object, real_path};
use crate::records::{Earlier, Fingerprint, History, Records};
use crate::tools::{self, ToolError};
use crate::vouched::{Book, Vouched};
use nixcert_core::{
    ChainCache, ClosureDigest, Deployment, Earlier as EarlierVouchers, Gate, GateRefusal, Member, NarInfo,
    Object, PathInfo, Recorded, StorePath, is_of_a_closure, nix32,
};
use nixcert_files::{FileError, said};
use nixcert_store::{Entry, Store, StoreError, nar_hash, recompute};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest head of a path that is sent. Some two thousand signatures: more than a system needs of one path.
pub const HEAD_BYTES: usize = 1 << 20;

/// Largest archive that is taken: the largest packages are some GiB.
pub const NAR_BYTES: u64 = 16 << 30;

/// Most paths at once, as many as a large system has.
pub const PATHS: usize = 10_000;

/// Where archives wait, in the directory of records: named so that nobody else writes there, on the disk.
const WAITING: &str = "repairing";

/// How long to wait for others who write to Nix's database.
const BUSY: Duration = Duration::from_secs(60);

/// What is to be done with a path that was sent.
#[derive(Debug)]
pub enum Decision {
    /// Its contents are no good, and these are.
    Replace {
        /// Who vouches for these, in words.
        vouchers: Vec<String>,
    },
    /// It is good as it is.
    Fine,
    /// These are no good.
    Refused {
        /// The reason code.
        code: &'static str,
        /// What it says.
        message: String,
    },
}

/// Replaces contents, by the rules of the gate.
pub struct Repairer<'a> {
    question: &'a Question<'a>,
    gate: Gate,
    history: History,
    store: Store,
    cache: ChainCache,
    directory: PathBuf,
}

impl<'a> Repairer<'a> {
    /// By this question's trust and policy. The lock must be held.
    ///
    /// # Errors
    /// The gate's, where it does not open for anything; and [`RepairError`].
    pub fn new(
        question: &'a Question<'a>,
        records: &Records,
    ) -> Result<Result<Self, GateRefusal>, RepairError> {
        let nothing = Object::path(NO_SYSTEM)?;
        let deployment = Deployment::<&[u8]> {
            top: &nothing,
            signatures: &[],
            closure: ClosureDigest { sha256: [0; 32], paths: 1 },
            last: None,
            again: false,
            caller: None,
        };
        let gate = match Gate::new(question.trust, question.now.seconds(), &deployment) {
            Ok(gate) => gate,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let history = records.read().map_err(CheckError::Records)?;
        let store = Store::open(&question.root.join(STATE)).map_err(CheckError::Store)?;
        let directory = records.directory().join(WAITING);
        // What one that was killed has left.
        remove(&directory)?;
        Ok(Ok(Self { question, gate, history, store, cache: ChainCache::default(), directory }))
    }

    /// Whether the contents of a path are to be replaced by those that this narinfo is about.
    ///
    /// # Errors
    /// [`RepairError`].
    pub fn decide(&mut self, sent: &NarInfo) -> Result<Decision, RepairError> {
        let path = &sent.info.path;
        let refused = |code, message: &str| Ok(Decision::Refused { code, message: message.to_owned() });
        if sent.info.nar_size > NAR_BYTES {
            return refused("archive-too-large", "its archive is larger than any that is taken here");
        }
        let Some(entry) = self.entry(path)? else {
            return refused("path-not-valid", "it is not in this store: copy it here instead");
        };
        let real = real_path(self.question.root, &entry);
        let new = object_of(&sent.info)?;
        let vouchers = match self.vouchers(&new, &sent.signatures, None)? {
            Ok(vouchers) => vouchers,
            Err((code, message)) => return Ok(Decision::Refused { code, message }),
        };
        let on_disk = nar_hash(&real).is_ok_and(|found| is_that(&entry.info, &found.sha256, found.size));
        if !on_disk {
            return Ok(Decision::Replace { vouchers });
        }
        if entry.info == sent.info {
            return Ok(Decision::Fine);
        }
        let old = object(&entry)?;
        match self.vouchers(&old, &entry.signatures, Some((&entry, &real)))? {
            Ok(_) => Ok(Decision::Fine),
            Err(_) => Ok(Decision::Replace { vouchers }),
        }
    }

    /// G2 for one path, without closure signatures: those who vouch, or a code and a sentence.
    fn vouchers(
        &mut self,
        object: &Object,
        signatures: &[String],
        here: Option<(&Entry, &Path)>,
    ) -> Result<Result<Vec<String>, (&'static str, String)>, RepairError> {
        let mut book = Book::default();
        let earlier: Earlier =
            self.history.earlier(&[Fingerprint::of(object)], &mut book).map_err(CheckError::Records)?;
        let lists: Vec<(u64, Vec<Recorded<'_>>)> = earlier
            .of(0)
            .iter()
            .map(|since| (since.since, book.get(since.list).iter().map(Vouched::recorded).collect()))
            .collect();
        let earlier: Vec<EarlierVouchers<'_>> = lists
            .iter()
            .map(|(activated, vouchers)| EarlierVouchers { activated: *activated, vouchers })
            .collect();
        let recompute = || match here {
            Some((entry, real)) => recompute(entry, real).map_err(|error| error.to_string()),
            None => Err("it is not here".to_owned()),
        };
        let claims = here.is_some_and(|(entry, _)| entry.content_address.is_some());
        let member = Member {
            object,
            signatures,
            content_addressed: claims.then_some(&recompute as &dyn Fn() -> _),
            earlier: &earlier,
        };
        let verdict = self.gate.member(&member, &mut self.cache);
        Ok(match verdict.basis() {
            Ok((_, vouchers)) => Ok(vouchers.iter().map(|voucher| voucher.label().to_owned()).collect()),
            Err(unvouched) => {
                let reason = reason_of(unvouched);
                Err((reason.code, reason.message))
            }
        })
    }

    fn entry(&mut self, path: &StorePath) -> Result<Option<Entry>, RepairError> {
        match self.store.closure(path, nixcert_store::CLOSURE_PATHS) {
            Err(StoreError::NotValid(_)) => Ok(None),
            Err(error) => Err(CheckError::Store(error).into()),
            Ok(closure) => {
                let position = closure.paths().position(|own| own == path);
                let position = position.ok_or(CheckError::Defect)?;
                let mut entries =
                    closure.read(position..position.saturating_add(1)).map_err(CheckError::Store)?;
                Ok(entries.pop())
            }
        }
    }

    /// Take the archive of a path for which [`Repairer::decide`] said so, and replace the path's contents by it. Takes exactly as
    /// many bytes as the archive has, whatever comes of it.
    ///
    /// # Errors
    /// [`RepairError::Contents`] if it is another archive: nothing was changed then. Others: see [`RepairError`].
    pub fn replace(&mut self, sent: &NarInfo, archive: &mut impl Read) -> Result<(), RepairError> {
        let info = &sent.info;
        let made = fs::DirBuilder::new().mode(0o700).create(&self.directory);
        made.map_err(|error| file("make the directory", &self.directory, error))?;
        let result = self.replace_by(sent, archive);
        remove(&self.directory)?;
        let sha256 = result?;
        // Nix has said that it is so; this is to be sure.
        remove_other_references(&self.question.root.join(STATE), info, &sha256)?;
        let entry = self.entry(&info.path)?.ok_or(CheckError::Defect)?;
        let found = nar_hash(&real_path(self.question.root, &entry))
            .map_err(|error| RepairError::After { path: info.path.clone(), problem: error.to_string() })?;
        if entry.info != *info || !is_that(info, &found.sha256, found.size) {
            let problem = "it is still not what was sent".to_owned();
            return Err(RepairError::After { path: info.path.clone(), problem });
        }
        Ok(())
    }

    fn replace_by(&mut self, sent: &NarInfo, archive: &mut impl Read) -> Result<[u8; 32], RepairError> {
        let info = &sent.info;
        let nar = self.directory.join("path.nar");
        let mut to = File::create(&nar).map_err(|error| file("write", &nar, error))?;
        let mut sha256 = Sha256::new();
        let mut left = info.nar_size;
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let part = buffer.get_mut(..most).unwrap_or_default();
            archive.read_exact(part).map_err(RepairError::Stream)?;
            sha256.update(&*part);
            to.write_all(part).map_err(|error| file("write", &nar, error))?;
            left = left.saturating_sub(part.len() as u64);
        }
        let sha256: [u8; 32] = sha256.finalize().into();
        if !is_that(info, &sha256, info.nar_size) {
            return Err(RepairError::Contents(info.path.clone()));
        }
        // Closure signatures are about no contents, so they are those of the path as it will be, too.
        let entry = self.entry(&info.path)?;
        let kept = entry.map(|entry| entry.signatures).unwrap_or_default();
        let own = sent.signatures.iter().filter(|one| !is_of_a_closure(one.as_bytes()));
        let signatures = own.chain(kept.iter().filter(|one| is_of_a_closure(one.as_bytes())));
        let text = narinfo(info, signatures);
        let base = info.path.as_str().rsplit('/').next().unwrap_or_default();
        let digest = base.get(..32).unwrap_or_default();
        for (name, text) in [
            ("nix-cache-info".to_owned(), format!("StoreDir: {}\n", info.path.directory())),
            (format!("{digest}.narinfo"), text),
        ] {
            let path = self.directory.join(name);
            fs::write(&path, text).map_err(|error| file("write", &path, error))?;
        }
        tools::repair(&info.path, &self.directory)?;
        Ok(sha256)
    }
}

/// A path that is in no store, so that no path that is asked about is the top-level one of a system.
const NO_SYSTEM: &[u8] = b"1;/nix/store/00000000000000000000000000000000-none;\
    sha256:0000000000000000000000000000000000000000000000000000;1;";

/// Why a repair failed.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// As of any question to the gate.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// What was sent ends early.
    #[error("what was sent ends within a path: {}", said(.0))]
    Stream(io::Error),
    /// What was sent is not what its narinfo says.
    #[error("the archive that was sent for '{0}' is not the one that is signed; nothing was changed")]
    Contents(StorePath),
    /// Nix did not do it.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nix's database cannot be written to.
    #[error("Nix's database cannot be corrected: {0}")]
    Database(#[from] rusqlite::Error),
    /// It was done, and is not so.
    #[error("'{path}' was replaced, and {problem}: send it once more")]
    After {
        /// The path.
        path: StorePath,
        /// What is wrong.
        problem: String,
    },
}

impl From<nixcert_core::ObjectError> for RepairError {
    fn from(error: nixcert_core::ObjectError) -> Self {
        CheckError::from(error).into()
    }
}

fn file(action: &'static str, path: &Path, error: io::Error) -> FileError {
    FileError { action, path: path.to_owned(), error }
}

fn remove(directory: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file("remove", directory, error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn object_of(info: &PathInfo) -> Result<Object, RepairError> {
    Ok(Object::path(info.fingerprint().as_bytes())?)
}

fn is_that(info: &PathInfo, sha256: &[u8; 32], size: u64) -> bool {
    nix32(sha256) == info.nar_hash && size == info.nar_size
}

/// A narinfo of what was checked, and of nothing else that was sent.
fn narinfo<'a>(info: &PathInfo, signatures: impl Iterator<Item = &'a String>) -> String {
    let base = |path: &StorePath| path.as_str().rsplit('/').next().unwrap_or_default().to_owned();
    let references: Vec<String> = info.references.iter().map(base).collect();
    let mut text = format!(
        "StorePath: {}\nURL: path.nar\nCompression: none\nNarHash: sha256:{}\nNarSize: {}\nReferences: {}\n",
        info.path,
        info.nar_hash,
        info.nar_size,
        references.join(" ")
    );
    // One with white space could not be read again (DESIGN: Nix stores signatures between spaces).
    let known: BTreeSet<&String> =
        signatures.filter(|one| one.bytes().all(|byte| byte.is_ascii_graphic())).collect();
    for signature in known {
        text += &format!("Sig: {signature}\n");
    }
    text
}

/// Take references out of Nix's database that are not those of a path that was replaced.
///
/// `LocalStore::registerValidPaths` (local-store.cc) updates hash, size and signatures of a path that is valid already, and
/// adds its references, but takes none away. Nix has no other way to: what deletes references is deleting the path, which is
/// refused while others refer to it. So exactly the rows of the table `Refs` that lead from this path to others than it has are
/// deleted, in one transaction, and only if the path is the very one that was verified. What is left over otherwise is in the
/// closure, and nobody may vouch for that.
fn remove_other_references(state: &Path, info: &PathInfo, sha256: &[u8; 32]) -> Result<(), RepairError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut database = Connection::open_with_flags(state.join("db/db.sqlite"), flags)?;
    database.busy_timeout(BUSY)?;
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let id: i64 = transaction.query_row(
        "select id from ValidPaths where path = ? and hash = ?",
        [info.path.as_str(), &format!("sha256:{hex}")],
        |row| row.get(0),
    )?;
    let others: Vec<i64> = {
        let mut rows = transaction.prepare(
            "select reference, path from Refs join ValidPaths on id = reference where referrer = ?",
        )?;
        let rows = rows.query_map([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
        let is_other = |path: &str| !info.references.iter().any(|reference| reference.as_str() == path);
        rows.into_iter().filter(|(_, path)| is_other(path)).map(|(id, _)| id).collect()
    };
    for other in others {
        transaction.execute("delete from Refs where referrer = ? and reference = ?", [id, other])?;
    }
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn path(name: &str) -> StorePath {
        StorePath::parse(&format!("/nix/store/00000000000000000000000000000000-{name}")).unwrap()
    }

    #[test]
    fn references_that_a_path_no_more_has_go() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("db")).unwrap();
        let database = Connection::open(state.path().join("db/db.sqlite")).unwrap();
        database
            .execute_batch(
                "create table ValidPaths (id integer primary key, path text unique not null, hash text not null);
                 create table Refs (referrer integer not null, reference integer not null);",
            )
            .unwrap();
        for (id, name) in [(1, "a"), (2, "b"), (3, "c")] {
            let row = (id, path(name).to_string(), format!("sha256:{HEX}"));
            database.execute("insert into ValidPaths values (?, ?, ?)", row).unwrap();
        }
        database.execute_batch("insert into Refs values (1, 1), (1, 2), (1, 3), (2, 3)").unwrap();
        let sha256: [u8; 32] = Sha256::digest(b"").into();
        let references: BTreeSet<StorePath> = [path("a"), path("b")].into();
        let info = PathInfo { path: path("a"), nar_hash: nix32(&sha256), nar_size: 1, references };
        let rows = || -> Vec<(i64, i64)> {
            let mut rows = database.prepare("select referrer, reference from Refs order by 1, 2").unwrap();
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            rows.collect::<Result<_, _>>().unwrap()
        };
        // Of another hash than what was verified: it is not that path, and nothing is deleted.
        assert!(remove_other_references(state.path(), &info, &[0; 32]).is_err());
        assert_eq!(rows().len(), 4);
        remove_other_references(state.path(), &info, &sha256).unwrap();
        assert_eq!(rows(), [(1, 1), (1, 2), (2, 3)]);
    }

    #[test]
    fn a_narinfo_has_only_what_was_checked() {
        let info =
            PathInfo { path: path("a"), nar_hash: nix32(&[0; 32]), nar_size: 1, references: BTreeSet::new() };
        let signatures = ["a:b".to_owned(), "c:d e".to_owned(), "f:\u{e9}".to_owned(), "a:b".to_owned()];
        let text = narinfo(&info, signatures.iter());
        let read = NarInfo::parse(&text).unwrap();
        assert_eq!((read.info, read.signatures), (info, vec!["a:b".to_owned()]));
    }
}
