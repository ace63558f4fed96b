//! The revocation lists that a host holds: a directory for each CA in a directory that the policy names, and in it a file for
//! each signer, `<the CA's key>/<the signer's key>.list`, both keys in base32. Only [`Holdings::install`] and
//! [`Holdings::reset`] write there.

use crate::watched::{self, Author, Stamp};
use nixcert_core::limits::{LIST_AHEAD, LIST_BYTES};
use nixcert_core::{
    Anchors, Certificate, Clock, Extent, HostName, Instant, ListError, PublicKey, Revocations, Selector,
    Trust, VerifiedList, base32_decode, base32_encode,
};
use nixcert_files::{Access, Existing, FileError, said};
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the name of a list's file ends in.
const SUFFIX: &str = ".list";

/// A directory of lists.
#[derive(Clone, Debug)]
pub struct Holdings {
    directory: PathBuf,
}

/// A file of the directory.
#[derive(Clone, Debug)]
pub struct Held {
    /// Where it is.
    pub path: PathBuf,
    /// The CA whose lists are there; `None` if the file's place does not say.
    pub ca: Option<PublicKey>,
    /// The list, or why it cannot be used.
    pub list: Result<Arc<VerifiedList>, String>,
}

/// Lists that were read, so that only what has changed is read again.
#[derive(Debug, Default)]
pub(crate) struct ListCache(BTreeMap<PathBuf, (Stamp, Result<Arc<VerifiedList>, String>)>);

impl Holdings {
    /// The lists in this directory. Where it is not there yet, installing makes it.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Everything that is held of these CAs. What cannot be looked at is among it.
    ///
    /// # Errors
    /// If the directory itself cannot be looked at: then nothing is known of any CA.
    pub fn read(&self, anchors: &Anchors, host: Option<&HostName>) -> Result<Vec<Held>, String> {
        self.read_changed(anchors, host, &mut ListCache::default())
    }

    pub(crate) fn read_changed(
        &self,
        anchors: &Anchors,
        host: Option<&HostName>,
        cache: &mut ListCache,
    ) -> Result<Vec<Held>, String> {
        let mut all = Vec::new();
        let mut fresh = BTreeMap::new();
        if let Err(error) = self.directory.metadata()
            && error.kind() == io::ErrorKind::NotFound
        {
            // It may be what was not mounted, or a mistake in the policy: then nothing would be revoked.
            return Err(format!(
                "the directory '{}' is not there: mount it, or make it (mkdir -p)",
                self.directory.display()
            ));
        }
        for path in entries(&self.directory)? {
            let Some(ca) = file_name(&path).and_then(parse_key) else {
                // Somebody put it there by hand, and believes that it counts.
                if is_list(&path) || entries(&path).is_ok_and(|below| below.iter().any(|path| is_list(path)))
                {
                    let name = path.display();
                    return Err(format!(
                        "'{name}' was put there by hand, where it counts for nothing: move it away, and install it from there"
                    ));
                }
                continue;
            };
            if anchors.name_of(&ca).is_none() {
                continue;
            }
            match entries(&path) {
                Ok(files) => {
                    for file in files.into_iter().filter(|file| is_list(file)) {
                        let list = read_list(&file, &ca, anchors, host, cache, &mut fresh);
                        all.push(Held { path: file, ca: Some(ca), list });
                    }
                }
                Err(problem) => all.push(Held { path, ca: Some(ca), list: Err(problem) }),
            }
        }
        cache.0 = fresh;
        Ok(all)
    }

    /// All of it, as the verifier asks it.
    pub fn revocations(&self, anchors: &Anchors, host: Option<&HostName>) -> Revocations {
        summary(self.read(anchors, host))
    }

    /// Take up a list, if the rules of FORMAT L10 and L11 admit it.
    ///
    /// # Errors
    /// [`HoldingsError`]; what is held is as it was then.
    pub fn install(&self, bytes: &[u8], trust: &Trust, now: u64) -> Result<Installed, HoldingsError> {
        self.take(bytes, trust, now, Override::Nothing)
    }

    /// Take up a list in place of the one that is held, even if it is older, says less, or is of a time to come. Whose it is,
    /// and whether its signer may, is checked all the same.
    ///
    /// # Errors
    /// [`HoldingsError`]; what is held is as it was then.
    pub fn reset(&self, bytes: &[u8], trust: &Trust, now: u64) -> Result<Installed, HoldingsError> {
        self.take(bytes, trust, now, Override::WhatIsHeld)
    }

    fn take(
        &self,
        bytes: &[u8],
        trust: &Trust,
        now: u64,
        set_aside: Override,
    ) -> Result<Installed, HoldingsError> {
        let list = verify(bytes, &trust.anchors, trust.host.as_ref())?;
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.directory).map_err(|error| {
            FileError { action: "make the directory", path: self.directory.clone(), error }
        })?;
        let _lock = self.lock()?;
        // Read behind the lock: another process may just have installed.
        let held = self
            .read(&trust.anchors, trust.host.as_ref())
            .map_err(|problem| HoldingsError::Directory { path: self.directory.clone(), problem })?;
        let path = self.place(list.ca(), list.signer());
        // Where the CA's directory cannot be looked into, nobody knows whether there is an older one.
        let concerned = |held: &&Held| held.path == path || Some(held.path.as_path()) == path.parent();
        let old = held.iter().find(concerned).map(|held| held.list.clone());
        let revocations = summary(Ok(held));
        let is_held = matches!(&old, Some(Ok(old)) if **old == list);
        match revocations.signer_revoked(&list).map(|revoked| revoked.extent) {
            None => {}
            // L11: "as retired, the one that the host holds stays in force"
            Some(Extent::Retired) if is_held => {}
            Some(extent @ (Extent::Retired | Extent::Compromised { .. })) => {
                return Err(HoldingsError::SignerRevoked { extent });
            }
        }
        let old = match (old, set_aside) {
            (None, _) => None,
            (Some(Ok(old)), _) => Some(old),
            (Some(Err(_)), Override::WhatIsHeld) => None,
            (Some(Err(problem)), Override::Nothing) => {
                return Err(HoldingsError::HeldUnreadable { path, problem });
            }
        };
        let replaced = old.as_ref().map(|old| old.issued());
        let action = match (&old, set_aside) {
            _ if is_held => Action::None,
            (_, Override::WhatIsHeld) => Action::Reset,
            (old, Override::Nothing) => {
                check_newer(old.as_deref(), &list)?;
                check_not_ahead(&list, trust, &revocations, now)?;
                Action::Install
            }
        };
        let installed = Installed {
            action,
            ca: trust.anchors.name_of(list.ca()).unwrap_or_default().to_owned(),
            signer: *list.signer(),
            of_the_ca: list.is_of_the_ca(),
            issued: list.issued(),
            entries: list.entries().len(),
            replaced,
            path,
        };
        if action != Action::None {
            self.record(&installed, now)?;
            let directory = nixcert_files::parent(&installed.path);
            if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o755).create(directory) {
                return Err(
                    FileError { action: "make the directory", path: directory.to_owned(), error }.into()
                );
            }
            nixcert_files::write(&installed.path, bytes, Access::Public, Existing::Replace)?;
            nixcert_files::sync_directory(&self.directory)?;
        }
        Ok(installed)
    }

    /// Where the list of a signer, for a CA, is held.
    pub fn place(&self, ca: &PublicKey, signer: &PublicKey) -> PathBuf {
        let (ca, signer) = (base32_encode(&ca.0), base32_encode(&signer.0));
        self.directory.join(ca).join(format!("{signer}{SUFFIX}"))
    }

    /// Two that install at once would each check against what the other replaces.
    fn lock(&self) -> Result<File, FileError> {
        let path = self.directory.join(".lock");
        let fault = |error| FileError { action: "lock", path: path.clone(), error };
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(fault)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| fault(io::Error::from(error)))?;
        Ok(file)
    }

    /// What is about to be done, on disk before it is done.
    fn record(&self, installed: &Installed, now: u64) -> Result<(), FileError> {
        let path = self.directory.join("log");
        let fault = |error| FileError { action: "append to", path: path.clone(), error };
        let record = Record {
            schema: 1,
            time: Instant::from_seconds(now).map(|now| now.to_string()).unwrap_or_default(),
            action: installed.action.name(),
            ca: &installed.ca,
            signer: installed.signer.to_string(),
            issued: installed.issued.to_string(),
            replaced: installed.replaced.map(|replaced| replaced.to_string()),
            user: std::env::var("SUDO_USER").ok().or_else(|| std::env::var("USER").ok()),
        };
        let line = serde_json::to_vec(&record).map_err(|error| fault(error.into()))?;
        nixcert_files::append_line(&path, &line)
    }
}

/// What an administrator sets aside for one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Override {
    Nothing,
    WhatIsHeld,
}

/// A line of the log.
#[derive(Serialize)]
struct Record<'a> {
    schema: u32,
    time: String,
    action: &'static str,
    ca: &'a str,
    signer: String,
    issued: String,
    replaced: Option<String>,
    user: Option<String>,
}

/// What taking up a list came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What was done.
    pub action: Action,
    /// The CA's name in `trusted-ca-keys`.
    pub ca: String,
    /// Who signed it.
    pub signer: PublicKey,
    /// Whether that is the CA itself.
    pub of_the_ca: bool,
    /// When it was issued.
    pub issued: Instant,
    /// How many entries it has.
    pub entries: usize,
    /// When the list was issued that was held before, if one was (and could be read).
    pub replaced: Option<Instant>,
    /// Where it is now.
    pub path: PathBuf,
}

/// What was done with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was held already.
    None,
    /// It is held now.
    Install,
    /// It is held now, and what was held is set aside.
    Reset,
}

impl Action {
    /// The word in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Install => "install",
            Self::Reset => "reset",
        }
    }
}

/// Read, check, and know whose it is.
fn verify(bytes: &[u8], anchors: &Anchors, host: Option<&HostName>) -> Result<VerifiedList, ListError> {
    VerifiedList::read(bytes, anchors, host)
}

/// L10: "only one of that signer with a later issue time; from a delegate, only one that has every entry of the old one"
fn check_newer(old: Option<&VerifiedList>, list: &VerifiedList) -> Result<(), HoldingsError> {
    let Some(old) = old else { return Ok(()) };
    if list.issued() <= old.issued() {
        return Err(HoldingsError::Older { issued: list.issued(), held: old.issued() });
    }
    if list.is_of_the_ca() {
        return Ok(());
    }
    // L8: below more intermediates than before, the same entries would revoke less.
    let above = issuers(old);
    if let Some(issuer) = issuers(list).into_iter().find(|issuer| !above.contains(issuer)) {
        return Err(HoldingsError::Narrows { issuer });
    }
    match list.entries().first_lost(old.entries()) {
        Some(lost) => Err(HoldingsError::Shrinks { lost }),
        None => Ok(()),
    }
}

/// The keys of the intermediates above a list's signer.
fn issuers(list: &VerifiedList) -> Vec<PublicKey> {
    let above = list.certificates().iter().skip(1);
    above.filter_map(|bytes| Certificate::parse(bytes).ok()).map(|issuer| issuer.subject).collect()
}

/// L10: "If its clock is exact, it accepts none whose issue time is more than a day after the latest of" what no delegate can
/// move: else each list would make room for the next.
fn check_not_ahead(
    list: &VerifiedList,
    trust: &Trust,
    revocations: &Revocations,
    clock: u64,
) -> Result<(), HoldingsError> {
    let floors = [trust.policy.earliest_time, revocations.newest_of_the_ca(list.ca())];
    let now = floors.into_iter().flatten().map(Instant::seconds).fold(clock, u64::max);
    match trust.policy.clock {
        Clock::Exact if list.issued().seconds() > now.saturating_add(LIST_AHEAD) => {
            Err(HoldingsError::InTheFuture {
                issued: list.issued(),
                clock: nixcert_core::Judged { at: clock, clock: None },
            })
        }
        Clock::Exact | Clock::LowerBound => Ok(()),
    }
}

/// Lists by CA, with what is not known.
pub(crate) fn summary(held: Result<Vec<Held>, String>) -> Revocations {
    match held {
        Ok(held) => {
            let mut revocations = Revocations::new(held.iter().filter_map(|held| held.list.clone().ok()));
            for held in &held {
                if let (Err(problem), Some(ca)) = (&held.list, held.ca) {
                    revocations.set_unreadable(ca, format!("'{}': {problem}", held.path.display()));
                }
            }
            revocations
        }
        Err(problem) => {
            let mut revocations = Revocations::default();
            revocations.set_all_unreadable(problem);
            revocations
        }
    }
}

/// What is in a directory, sorted. One that others could empty says nothing: a signature protects what a list says, and not that
/// it is there.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: &io::Error| format!("cannot look into '{}': {}", directory.display(), said(error));
    let metadata = directory.metadata().map_err(|error| cannot(&error))?;
    nixcert_files::check_author(&metadata)
        .map_err(|problem| format!("'{}': {problem}", directory.display()))?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| cannot(&error))? {
        paths.push(entry.map_err(|error| cannot(&error))?.path());
    }
    paths.sort_unstable();
    Ok(paths)
}

fn is_list(path: &Path) -> bool {
    file_name(path).is_some_and(|name| name.ends_with(SUFFIX))
}

fn read_list(
    path: &Path,
    ca: &PublicKey,
    anchors: &Anchors,
    host: Option<&HostName>,
    cache: &ListCache,
    fresh: &mut BTreeMap<PathBuf, (Stamp, Result<Arc<VerifiedList>, String>)>,
) -> Result<Arc<VerifiedList>, String> {
    if let (Some(stamp), Some(known @ (known_stamp, list))) = (watched::stamp(path), cache.0.get(path))
        && stamp == *known_stamp
    {
        fresh.insert(path.to_owned(), known.clone());
        return list.clone();
    }
    let (bytes, stamp) = watched::read(path, LIST_BYTES as u64, Author::Anybody)?;
    let list = verify(&bytes, anchors, host).map_err(|error| error.to_string()).and_then(|list| {
        let signer = file_name(path).and_then(|name| parse_key(name.strip_suffix(SUFFIX)?));
        // A list under another's name would hide that other's.
        if (list.ca(), Some(*list.signer())) == (ca, signer) {
            Ok(Arc::new(list))
        } else {
            Err("it is another CA's or signer's list than its file name says".to_owned())
        }
    });
    if let Some(stamp) = stamp {
        fresh.insert(path.to_owned(), (stamp, list.clone()));
    }
    list
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn parse_key(text: &str) -> Option<PublicKey> {
    base32_decode(text.as_bytes())?.try_into().ok().map(PublicKey)
}

/// Why a list was not taken up.
#[derive(Debug, thiserror::Error)]
pub enum HoldingsError {
    /// It is no list that counts here.
    #[error(transparent)]
    List(#[from] ListError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// L12.
    #[error("cannot tell what is held in '{}': {problem}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// L12.
    #[error("the list that is held, '{}', cannot be used ({problem}), so nobody knows whether this one is newer", path.display())]
    HeldUnreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// L10.
    #[error("it is of {issued}, and this host already holds the signer's list of {held}")]
    Older {
        /// Its issue time.
        issued: Instant,
        /// That of the list that is held.
        held: Instant,
    },
    /// L10.
    #[error("it does not revoke {lost} as the signer's older list does: a delegate's lists only grow")]
    Shrinks {
        /// What is gone.
        lost: Selector,
    },
    /// L8, L10.
    #[error(
        "its signer's certificate is below the intermediate {issuer} now, and was not in the older list: it would revoke only what is below that"
    )]
    Narrows {
        /// The key of the intermediate.
        issuer: PublicKey,
    },
    /// L10.
    #[error("it is of {issued}, which is more than a day ahead: this host's clock says {clock}")]
    InTheFuture {
        /// Its issue time.
        issued: Instant,
        /// What the clock says.
        clock: nixcert_core::Judged,
    },
    /// L11.
    #[error("the CA's own list has revoked its signer ({extent})")]
    SignerRevoked {
        /// How.
        extent: Extent,
    },
}

impl HoldingsError {
    /// The reason code (FORMAT section 11); for what the system says, none.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Self::List(error) => Some(error.code()),
            Self::File(_) | Self::Directory { .. } | Self::HeldUnreadable { .. } => None,
            Self::Older { .. } => Some("list-older-than-held"),
            Self::Shrinks { .. } | Self::Narrows { .. } => Some("list-shrinks"),
            Self::InTheFuture { .. } => Some("list-in-the-future"),
            Self::SignerRevoked { .. } => Some("list-signer-revoked"),
        }
    }

    /// What would help.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::List(ListError::UntrustedCa(_)) => {
                "name the host's trusted CA keys: --nix-conf or --trusted-ca-keys"
            }
            Self::List(ListError::Scope { .. } | ListError::Chain(_)) => {
                "ask the CA for a certificate with the usage revoke, and sign the list again; or let the CA sign it"
            }
            Self::List(_) => "get it again from whoever issued it",
            Self::File(_) | Self::Directory { .. } => "correct that, and try again",
            Self::HeldUnreadable { .. } => {
                "make sure that this is the newest list there is, and: nixcert revocation reset"
            }
            Self::Older { .. } => "get the signer's newest list; what is held stays in force",
            Self::Shrinks { .. } | Self::Narrows { .. } => {
                "let the CA itself sign a list; or, if its delegate's key is stolen, revoke that"
            }
            Self::InTheFuture { .. } => {
                "set this host's clock; if the clock is right, do not trust this list, and tell the CA's keeper"
            }
            Self::SignerRevoked { .. } => "get a list that the CA itself or another delegate has signed",
        }
    }
}
