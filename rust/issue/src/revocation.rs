//! Writing revocation lists (FORMAT section 11), and the one that a CA keeps of its own.

use crate::ca::{Ca, CaKind};
use crate::log::Log;
use crate::secret_key::SecretKey;
use nixcert_core::limits::LIST_BYTES;
use nixcert_core::{
    ALGORITHM_ED25519, Anchors, Entries, Extent, Instant, ListError, PublicKey, REVOCATION_CONTEXT,
    RevocationList, Revoked, Selector, VERSION, VerifiedList,
};
use nixcert_files::{self as files, Access, Existing, FileError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a line of `lists.jsonl` says its layout is.
const SCHEMA: u32 = 1;

/// A list to be: everything but the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListDraft {
    /// The CA whose certificates it is about.
    pub ca: PublicKey,
    /// The chain of the signer, leaf first; empty if that is the CA itself.
    pub certificates: Vec<Vec<u8>>,
    /// When it is issued.
    pub issued: Instant,
    /// What it revokes. The order is the list's (FORMAT L4).
    pub entries: BTreeMap<Selector, Revoked>,
}

impl ListDraft {
    /// Sign the list. What is returned was read back by the verifier's own parser. Whether it counts on any host (whether the
    /// signer may sign it) is asked there.
    ///
    /// # Errors
    /// [`ListError`] if the draft breaks a rule of FORMAT L1 to L5.
    pub fn sign(&self, signer: &SecretKey) -> Result<Vec<u8>, ListError> {
        let mut bytes = self.to_be_signed()?;
        let signature = signer.sign(&[REVOCATION_CONTEXT, &bytes].concat());
        bytes.extend(signature);
        RevocationList::parse(&bytes)?;
        Ok(bytes)
    }

    /// The entries of an older list, to begin with.
    pub fn entries_of(older: &Entries) -> BTreeMap<Selector, Revoked> {
        older.iter().collect()
    }

    fn to_be_signed(&self) -> Result<Vec<u8>, ListError> {
        let mut bytes = vec![VERSION, ALGORITHM_ED25519];
        bytes.extend(self.ca.0);
        let count = u8::try_from(self.certificates.len());
        bytes.push(count.map_err(|_| ListError::TooManyCertificates(u8::MAX))?);
        for certificate in &self.certificates {
            let length = u16::try_from(certificate.len());
            bytes.extend(length.map_err(|_| ListError::CertificateTooLong(u16::MAX))?.to_be_bytes());
            bytes.extend(certificate);
        }
        bytes.extend(self.issued.seconds().to_be_bytes());
        let count = u32::try_from(self.entries.len()).map_err(|_| ListError::TooLarge(usize::MAX))?;
        bytes.extend(count.to_be_bytes());
        for (selector, revoked) in &self.entries {
            let value = selector.value();
            bytes.push(selector.kind());
            if let Selector::Label(_) = selector {
                bytes.push(u8::try_from(value.len()).map_err(|_| ListError::Label)?);
            }
            bytes.extend(value);
            match revoked.extent {
                Extent::Retired => bytes.push(1),
                Extent::Compromised { since } => {
                    bytes.push(2);
                    bytes.extend(since.seconds().to_be_bytes());
                }
            }
            bytes.push(revoked.cause as u8);
        }
        Ok(bytes)
    }
}

/// What shall be different in the next list.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// What is to be revoked.
    pub revoke: Vec<(Selector, Revoked)>,
    /// What is not to be revoked any longer. It is done first, so that what is named in both is revoked anew.
    pub take_back: Vec<Selector>,
}

/// The next list of a signer, and how it differs from the one before.
#[derive(Clone, Debug)]
pub struct NextList {
    /// The list to be.
    pub draft: ListDraft,
    /// What it revokes, or revokes more of, than the one before.
    pub new: Vec<(Selector, Revoked)>,
    /// What was asked for, and is revoked already, at least as far: with what the list says.
    pub already: Vec<(Selector, Revoked)>,
    /// What it revokes no longer.
    pub taken_back: Vec<(Selector, Revoked)>,
}

impl NextList {
    /// Put the next list together. "Later issue time" (FORMAT L10): a second after the last one's, if that is later than now.
    /// The chain is the signer's; empty for the CA itself.
    ///
    /// # Errors
    /// [`ChangeError`] names what cannot be.
    pub fn new(
        ca: PublicKey,
        certificates: Vec<Vec<u8>>,
        base: Option<(Instant, &Entries)>,
        changes: &Changes,
        now: Instant,
    ) -> Result<Self, ChangeError> {
        let mut entries = base.map(|(_, entries)| ListDraft::entries_of(entries)).unwrap_or_default();
        let mut taken_back = Vec::new();
        for selector in &changes.take_back {
            // "who holds a delegate's key can add, and take back nothing" (FORMAT L9)
            if !certificates.is_empty() {
                return Err(ChangeError::DelegateTakesBack);
            }
            match entries.remove(selector) {
                Some(revoked) => taken_back.push((selector.clone(), revoked)),
                None if taken_back.iter().any(|(known, _)| known == selector) => {}
                None => return Err(ChangeError::NotRevoked { selector: selector.clone() }),
            }
        }
        let (mut new, mut already) = (Vec::new(), Vec::new());
        for (selector, revoked) in &changes.revoke {
            if *selector == Selector::Key(ca) {
                return Err(ChangeError::Itself);
            }
            match revoked.extent {
                Extent::Compromised { since } if since > now => return Err(ChangeError::ToCome { since }),
                Extent::Compromised { .. } | Extent::Retired => {}
            }
            match entries.get(selector) {
                // A list never says less by being asked for less: that takes a withdrawal. The cause decides nothing.
                Some(known) if known.extent.covers(revoked.extent) => {
                    already.push((selector.clone(), *known))
                }
                Some(_) | None => {
                    entries.insert(selector.clone(), *revoked);
                    new.push((selector.clone(), *revoked));
                }
            }
        }
        let issued = match base {
            Some((last, _)) if last >= now => Instant::from_seconds(last.seconds().saturating_add(1))
                .map_err(|_| ChangeError::LastSecond)?,
            Some(_) | None => now,
        };
        Ok(Self { draft: ListDraft { ca, certificates, issued, entries }, new, already, taken_back })
    }

    /// Whether it says anything that the list before did not.
    pub fn differs(&self) -> bool {
        !self.new.is_empty() || !self.taken_back.is_empty()
    }
}

/// Why a list cannot be changed so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// L9.
    #[error("a delegate cannot take back a revocation: hosts accept only lists of it that grow")]
    DelegateTakesBack,
    /// There is nothing to take back.
    #[error("the list does not revoke {selector}, so there is nothing to take back")]
    NotRevoked {
        /// What was named.
        selector: Selector,
    },
    /// The CA's own key.
    #[error("this is the key of the CA itself, and no list can revoke that")]
    Itself,
    /// L5.
    #[error("{since} is still to come: a list cannot say that something will be compromised")]
    ToCome {
        /// The time that was named.
        since: Instant,
    },
    /// C1.
    #[error("the last list is of the end of the year 9999, so none can follow it")]
    LastSecond,
}

/// One list, in `lists.jsonl`.
#[derive(Serialize, Deserialize)]
struct ListRecord {
    schema: u32,
    time: String,
    issued: String,
    issued_seconds: u64,
    entries: usize,
    new: Vec<String>,
    taken_back: Vec<String>,
}

impl Ca {
    /// The list that this CA signed last, or none. An intermediate has none: its key signs certificates only.
    ///
    /// # Errors
    /// [`OwnListError`] if it is not the one that it should be: what it revokes would be forgotten.
    pub fn revocation_list(&self) -> Result<Option<VerifiedList>, OwnListError> {
        if self.kind() == CaKind::Intermediate {
            return Ok(None);
        }
        let last = last_record(&self.lists_log_path())?;
        let path = self.revocation_list_path();
        if path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return match last {
                Some(last) => Err(OwnListError::Missing { path, issued: last.issued }),
                None => Ok(None),
            };
        }
        let list = self.read_own_list(&path)?;
        match last {
            Some(last) if list.issued().seconds() < last.issued_seconds => {
                Err(OwnListError::Older { path, issued: list.issued(), last: last.issued })
            }
            Some(_) | None => Ok(Some(list)),
        }
    }

    /// Read a list, wherever it is, that this CA itself signed.
    ///
    /// # Errors
    /// [`OwnListError`] if it is anything else.
    pub fn read_own_list(&self, path: &Path) -> Result<VerifiedList, OwnListError> {
        let fault = |problem: String| OwnListError::Unusable { path: path.to_owned(), problem };
        let bytes = files::read(path, LIST_BYTES as u64)?;
        let mut anchors = Anchors::default();
        anchors.add(&self.trusted_entry()).map_err(|error| fault(error.to_string()))?;
        let list = VerifiedList::read(&bytes, &anchors, None).map_err(|error| fault(error.to_string()))?;
        if list.is_of_the_ca() {
            Ok(list)
        } else {
            Err(fault("a delegate signed it, not the CA itself".to_owned()))
        }
    }

    /// Keep a list that was just signed, in place of the last one: whole, on disk, and written down. The log is there to show
    /// that the CA is locked.
    ///
    /// # Errors
    /// [`FileError`]; then the list must not be handed out.
    pub fn keep_list(
        &self,
        _locked: &Log,
        list: &[u8],
        next: &NextList,
        now: Instant,
    ) -> Result<(), FileError> {
        files::write(&self.revocation_list_path(), list, Access::Public, Existing::Replace)?;
        let words = |entries: &[(Selector, Revoked)]| {
            entries.iter().map(|(selector, revoked)| format!("{selector}, {}", revoked.extent)).collect()
        };
        let record = ListRecord {
            schema: SCHEMA,
            time: now.to_string(),
            issued: next.draft.issued.to_string(),
            issued_seconds: next.draft.issued.seconds(),
            entries: next.draft.entries.len(),
            new: words(&next.new),
            taken_back: words(&next.taken_back),
        };
        let path = self.lists_log_path();
        let fault = |error| FileError { action: "append to", path: path.clone(), error };
        let mut line = serde_json::to_vec(&record).map_err(|error| fault(error.into()))?;
        line.push(b'\n');
        // What an interrupted process left behind the last whole line would spoil this one.
        let whole = whole_lines(&read_or_nothing(&path)?).len() as u64;
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(fault)?;
        let written = file.set_len(whole).and_then(|()| file.write_all(&line)).and_then(|()| file.sync_all());
        written.map_err(fault)?;
        files::sync_directory(self.path())
    }
}

fn read_or_nothing(path: &Path) -> Result<Vec<u8>, FileError> {
    match files::read(path, u64::MAX) {
        Err(error) if error.error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

fn whole_lines(contents: &[u8]) -> &[u8] {
    let end = contents.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    contents.get(..end).unwrap_or_default()
}

fn last_record(path: &Path) -> Result<Option<ListRecord>, OwnListError> {
    let contents = read_or_nothing(path)?;
    let Some(line) = whole_lines(&contents).split(|byte| *byte == b'\n').rev().find(|line| !line.is_empty())
    else {
        return Ok(None);
    };
    match serde_json::from_slice::<ListRecord>(line) {
        Ok(record) if record.schema == SCHEMA => Ok(Some(record)),
        Ok(record) => Err(OwnListError::Unusable {
            path: path.to_owned(),
            problem: format!("its last line has schema {}, not {SCHEMA}", record.schema),
        }),
        Err(error) => Err(OwnListError::Unusable { path: path.to_owned(), problem: error.to_string() }),
    }
}

/// Why a CA's own list cannot be used. The next list grows from it, and no certificate is issued that it revokes.
#[derive(Debug, thiserror::Error)]
pub enum OwnListError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not what it should be.
    #[error("'{}' cannot be used: {problem}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It was there.
    #[error("the CA's revocation list of {issued} is gone: there is no '{}'", path.display())]
    Missing {
        /// Where it was.
        path: PathBuf,
        /// When the last one was issued.
        issued: String,
    },
    /// It is not the last one.
    #[error("'{}' is the CA's revocation list of {issued}, and there was a later one, of {last}", path.display())]
    Older {
        /// Where it is.
        path: PathBuf,
        /// When it was issued.
        issued: Instant,
        /// When the last one was issued.
        last: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use nixcert_core::{Cause, Serial};

    fn draft(ca: &SecretKey) -> ListDraft {
        let retired = Revoked { extent: Extent::Retired, cause: Cause::Superseded };
        let since = Instant::from_seconds(50).unwrap();
        let compromised = Revoked { extent: Extent::Compromised { since }, cause: Cause::KeyCompromise };
        ListDraft {
            ca: ca.public(),
            certificates: vec![],
            issued: Instant::from_seconds(100).unwrap(),
            entries: [
                (Selector::Serial(Serial(7)), retired),
                (Selector::Key(PublicKey([9; 32])), compromised),
                (Selector::Label("bob".to_owned()), retired),
                (Selector::Label("al".to_owned()), compromised),
                (Selector::Label("alice".to_owned()), compromised),
            ]
            .into(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let ca = SecretKey::from_seed(&[1; 32]);
        let draft = draft(&ca);
        let bytes = draft.sign(&ca).unwrap();
        let list = RevocationList::parse(&bytes).unwrap();
        assert_eq!(ListDraft::entries_of(&list.entries), draft.entries);
        assert_eq!((list.ca, list.issued), (draft.ca, draft.issued));
        let mut anchors = Anchors::default();
        anchors.add(&format!("acme:{}", ca.public())).unwrap();
        let verified = VerifiedList::read(&bytes, &anchors, None).unwrap();
        assert!(verified.is_of_the_ca());
        assert_eq!(verified.entries().len(), 5);
        // Every bit counts, and every byte does.
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verified = VerifiedList::read(&bytes, &anchors, None);
            assert!(verified.is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(RevocationList::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_cannot_be_written() {
        let ca = SecretKey::from_seed(&[1; 32]);
        let mut late = draft(&ca);
        late.issued = Instant::from_seconds(49).unwrap();
        assert_eq!(late.sign(&ca), Err(ListError::CompromiseToCome));
        let mut zero = draft(&ca);
        let retired = Revoked { extent: Extent::Retired, cause: Cause::Unspecified };
        zero.entries.insert(Selector::Serial(Serial(0)), retired);
        assert_eq!(zero.sign(&ca), Err(ListError::ZeroSerial));
        let mut label = draft(&ca);
        label.entries.insert(Selector::Label("Bob".to_owned()), retired);
        assert_eq!(label.sign(&ca), Err(ListError::Label));
    }
}
