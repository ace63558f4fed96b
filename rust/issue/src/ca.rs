//! A CA on disk: a directory with its key, its public half, and the log of what it issued.
//!
//! ```text
//! ca.json          what it is: name, kind, public key
//! ca.key           its secret key, encrypted unless someone chose otherwise (mode 0600)
//! ca.pub           a root's line for trusted-ca-keys
//! ca.request       an intermediate's request, for the CA above it
//! ca.certificate   an intermediate's certificates, once it has them
//! issued.jsonl     one line for each certificate, only ever appended to
//! revocation.list  a root's newest revocation list, once it has one
//! lists.jsonl      one line for each revocation list, only ever appended to
//! ```

use crate::log::{Log, LogError};
use crate::sealed::{self, Seal, SealError};
use crate::secret_key::SecretKey;
use age::secrecy::SecretString;
use nixcert_core::{
    Anchors, Certificate, CertificateError, CertificateName, Instant, Label, LabelError, NameError,
    PublicKey, Reason, TrustError, Usage, base64_decode,
};
use nixcert_files::{self as files, Access, Existing, FileError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What `ca.json` says its layout is.
const SCHEMA: u32 = 1;

/// No file of a CA but its log comes near this.
const FILE_BYTES: u64 = 64 * 1024;

/// Whether hosts trust a CA itself, or one that certified it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaKind {
    /// Its key stands in hosts' `trusted-ca-keys`.
    Root,
    /// Another CA certified its key for issuing.
    Intermediate,
}

impl fmt::Display for CaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Intermediate => "intermediate",
        })
    }
}

/// The public side of a CA: all but its secret key and its log.
#[derive(Clone, Debug)]
pub struct Ca {
    path: PathBuf,
    kind: CaKind,
    name: String,
    public: PublicKey,
    /// An intermediate's certificates: its own, then each one's issuer. Empty for a root.
    chain: Vec<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    schema: u32,
    kind: CaKind,
    name: String,
    public_key: String,
    created: String,
}

impl Ca {
    /// Make a CA's directory. It appears complete, or not at all.
    ///
    /// # Errors
    /// [`CaError`]; [`CaError::Exists`] if there is anything but an empty directory.
    pub fn create(
        path: &Path,
        kind: CaKind,
        name: &str,
        key: &SecretKey,
        seal: &Seal,
        now: Instant,
    ) -> Result<Self, CaError> {
        Self::check_new(path, kind, name)?;
        // What takes time is done before anything is written.
        let sealed = sealed::seal(name, key, seal)?;
        let public_key = format!("{name}:{}", key.public());
        let description = Description {
            schema: SCHEMA,
            kind,
            name: name.to_owned(),
            public_key: public_key.clone(),
            created: now.to_string(),
        };
        let mut description = serde_json::to_vec_pretty(&description).map_err(CaError::Encode)?;
        description.push(b'\n');

        let parent = files::parent(path);
        let fault = |action, path: &Path, error| FileError { action, path: path.to_owned(), error };
        let directory = tempfile::Builder::new()
            .prefix(".nixcert-ca-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(parent)
            .map_err(|error| fault("make", path, error))?;
        let put = |name: &str, contents: &[u8], access| {
            files::write(&directory.path().join(name), contents, access, Existing::Keep)
        };
        put("ca.json", &description, Access::Public)?;
        put("ca.key", &sealed, Access::Secret)?;
        put("issued.jsonl", b"", Access::Public)?;
        match kind {
            CaKind::Root => put("ca.pub", format!("{public_key}\n").as_bytes(), Access::Public)?,
            CaKind::Intermediate => {
                let request = key.request(Label::parse(name.as_bytes())?);
                put("ca.request", format!("{request}\n").as_bytes(), Access::Public)?;
            }
        }
        // Renaming replaces an empty directory, and nothing else.
        fs::rename(directory.path(), path).map_err(|error| match error.kind() {
            std::io::ErrorKind::DirectoryNotEmpty
            | std::io::ErrorKind::AlreadyExists
            | std::io::ErrorKind::NotADirectory => CaError::Exists(path.to_owned()),
            _ => fault("make", path, error).into(),
        })?;
        let _renamed = directory.keep();
        files::sync_directory(parent)?;
        Self::open(path)
    }

    /// Whether a CA could be made here under this name, before anyone is asked for a passphrase.
    ///
    /// # Errors
    /// [`CaError::Exists`], or what is wrong with the name.
    pub fn check_new(path: &Path, kind: CaKind, name: &str) -> Result<(), CaError> {
        check_name(kind, name)?;
        let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        if path.symlink_metadata().is_ok() && !is_empty {
            return Err(CaError::Exists(path.to_owned()));
        }
        Ok(())
    }

    /// Read a CA's directory.
    ///
    /// # Errors
    /// [`CaError`] says what is missing or does not belong.
    pub fn open(path: &Path) -> Result<Self, CaError> {
        let file = path.join("ca.json");
        if !file.exists() {
            return Err(CaError::NotACa(path.to_owned()));
        }
        let malformed = |problem: String| CaError::Description { path: file.clone(), problem };
        let description: Description = serde_json::from_slice(&files::read(&file, FILE_BYTES)?)
            .map_err(|error| malformed(error.to_string()))?;
        if description.schema != SCHEMA {
            return Err(malformed(format!("it has schema {}, not {SCHEMA}", description.schema)));
        }
        let public = description
            .public_key
            .strip_prefix(&format!("{}:", description.name))
            .and_then(|key| base64_decode(key.as_bytes()))
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(PublicKey)
            .ok_or_else(|| malformed("its public_key is not NAME:BASE64".to_owned()))?;
        check_name(description.kind, &description.name)?;
        let mut ca = Self {
            path: path.to_owned(),
            kind: description.kind,
            name: description.name,
            public,
            chain: Vec::new(),
        };
        let certificate = ca.certificate_path();
        if ca.kind == CaKind::Intermediate && certificate.exists() {
            ca.chain = ca.read_chain(&files::read(&certificate, FILE_BYTES)?)?;
        }
        Ok(ca)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Root or intermediate.
    pub fn kind(&self) -> CaKind {
        self.kind
    }

    /// Its name: a root's in `trusted-ca-keys`, an intermediate's label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// A root's entry for `trusted-ca-keys`.
    pub fn trusted_entry(&self) -> String {
        format!("{}:{}", self.name, self.public)
    }

    /// Where an intermediate's request is.
    pub fn request_path(&self) -> PathBuf {
        self.path.join("ca.request")
    }

    /// Where an intermediate's certificate is, once it was adopted.
    pub fn certificate_path(&self) -> PathBuf {
        self.path.join("ca.certificate")
    }

    /// Where its secret key is.
    pub fn key_path(&self) -> PathBuf {
        self.path.join("ca.key")
    }

    /// An intermediate's certificates, its own first; empty for a root, and for one that has none yet.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// Whether the secret key is encrypted.
    ///
    /// # Errors
    /// [`CaError`] if the file cannot be read, or if others can read an unencrypted one.
    pub fn is_sealed(&self) -> Result<bool, CaError> {
        let path = self.key_path();
        let sealed = sealed::is_sealed(&files::read(&path, FILE_BYTES)?);
        if !sealed && files::is_open_to_others(&path)? {
            return Err(CaError::OpenKey(path));
        }
        Ok(sealed)
    }

    /// The secret key.
    ///
    /// # Errors
    /// [`CaError`] if the passphrase is wrong or missing, or the key is another CA's.
    pub fn unlock(&self, passphrase: Option<&SecretString>) -> Result<SecretKey, CaError> {
        self.is_sealed()?;
        let contents = zeroize::Zeroizing::new(files::read(&self.key_path(), FILE_BYTES)?);
        let (_, key) = sealed::open(&contents, passphrase)?;
        if key.public() == self.public { Ok(key) } else { Err(CaError::AnotherKey(self.key_path())) }
    }

    /// The log, locked against every other process that issues. Waits until it is free; `waiting` is called first if it
    /// is not.
    ///
    /// # Errors
    /// [`LogError`] if it cannot be read.
    pub fn lock(&self, waiting: impl FnOnce()) -> Result<Log, LogError> {
        Log::lock(&self.log_path(), waiting)
    }

    /// Where the log is.
    pub fn log_path(&self) -> PathBuf {
        self.path.join("issued.jsonl")
    }

    /// What [`Ca::adopt`] checks without the secret key. Returns the certificates.
    ///
    /// # Errors
    /// [`CaError`] if this is a root, or the certificate is not this CA's or not for issuing.
    pub fn check_adoptable(&self, certificate: &str) -> Result<Vec<Vec<u8>>, CaError> {
        match self.kind {
            CaKind::Root => Err(CaError::RootNeedsNone),
            CaKind::Intermediate => self.read_chain(certificate.as_bytes()),
        }
    }

    /// Where a root's newest revocation list is.
    pub fn revocation_list_path(&self) -> PathBuf {
        self.path.join("revocation.list")
    }

    /// Where it is written down which lists there were.
    pub fn lists_log_path(&self) -> PathBuf {
        self.path.join("lists.jsonl")
    }

    /// Install the certificate of an intermediate, after trying that a host which trusts the root would follow it.
    ///
    /// # Errors
    /// [`CaError`] if it is not this CA's, or cannot be issued from.
    pub fn adopt(&mut self, certificate: &str, key: &SecretKey, existing: Existing) -> Result<(), CaError> {
        let chain = self.check_adoptable(certificate)?;
        try_to_issue(&chain, key)?;
        let line = format!("{}\n", certificate.trim_end());
        files::write(&self.certificate_path(), line.as_bytes(), Access::Public, existing)?;
        self.chain = chain;
        Ok(())
    }

    /// The certificates in a certificate file, if it is this CA's.
    fn read_chain(&self, file: &[u8]) -> Result<Vec<Vec<u8>>, CaError> {
        let name = CertificateName::parse(file.strip_suffix(b"\n").unwrap_or(file))?;
        let bytes = name.certificates().first().map(Vec::as_slice).unwrap_or_default();
        let own = Certificate::parse(bytes)?;
        if own.subject != self.public {
            return Err(CaError::NotOurs { label: own.label.to_string(), subject: own.subject });
        }
        if !own.usages.contains(Usage::Issue) {
            return Err(CaError::NotForIssuing);
        }
        Ok(name.certificates().to_vec())
    }
}

/// A root's name must do in `trusted-ca-keys`, an intermediate's as a label.
fn check_name(kind: CaKind, name: &str) -> Result<(), CaError> {
    // RFC 8032's first test key: the name is what is checked.
    const ANY_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
    if name.is_empty() || name.contains(':') {
        return Err(CaError::EmptyName);
    }
    match kind {
        CaKind::Root => Anchors::default().add(&format!("{name}:{ANY_KEY}")).map_err(CaError::Name),
        CaKind::Intermediate => Label::parse(name.as_bytes()).map(|_| ()).map_err(CaError::Label),
    }
}

/// Sign a leaf for a key that is thrown away, and let the verifier judge the chain: what it says of this one it will say of
/// every one.
fn try_to_issue(chain: &[Vec<u8>], key: &SecretKey) -> Result<(), CaError> {
    let own = Certificate::parse(chain.first().map(Vec::as_slice).unwrap_or_default())?;
    let everything = || std::iter::once("*".to_owned()).collect();
    let probe = crate::Draft {
        serial: own.serial,
        label: "probe".to_owned(),
        subject: SecretKey::generate().map_err(SealError::from)?.public(),
        not_before: own.not_before,
        not_after: own.not_after,
        usages: [Usage::ImportPaths].into_iter().collect(),
        path_length: 0,
        permitted_names: everything(),
        excluded_names: Default::default(),
        hosts: everything(),
        store_directories: Default::default(),
    };
    let leaf = probe.sign(key)?;
    crate::issuance::verify_leaf(leaf, chain).map_err(CaError::Refused)?;
    Ok(())
}

/// Why a CA cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The secret key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// There is something already.
    #[error("'{}' is already there, and not an empty directory", .0.display())]
    Exists(PathBuf),
    /// There is none.
    #[error("'{}' is not the directory of a CA (it has no ca.json)", .0.display())]
    NotACa(PathBuf),
    /// `ca.json`.
    #[error("'{}' is not a description of a CA: {problem}", path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// No name, or one that no NAME:BASE64 can hold.
    #[error("the name of a CA is not empty, and has no ':' in it")]
    EmptyName,
    /// A root's name.
    #[error(transparent)]
    Name(TrustError),
    /// An intermediate's name.
    #[error("the name of an intermediate CA is the label in its certificate: {0}")]
    Label(#[from] LabelError),
    /// A secret key in plain that others may read.
    #[error("'{}' is an unencrypted secret key that others may read", .0.display())]
    OpenKey(PathBuf),
    /// `ca.key` and `ca.json` do not belong together.
    #[error("the key in '{}' is not this CA's", .0.display())]
    AnotherKey(PathBuf),
    /// What was to be adopted is no certificate.
    #[error("this is not a certificate file: {0}")]
    CertificateName(#[from] NameError),
    /// The same.
    #[error("the certificate is malformed: {0}")]
    Certificate(#[from] CertificateError),
    /// A certificate of another key.
    #[error("the certificate is for the key {subject} of '{label}', not for this CA's")]
    NotOurs {
        /// Its label.
        label: String,
        /// Its key.
        subject: PublicKey,
    },
    /// A certificate that signs packages.
    #[error("the certificate does not have the usage 'issue', so this CA could issue nothing with it")]
    NotForIssuing,
    /// A root is trusted itself.
    #[error("this is a root CA: hosts trust its own key, and no certificate belongs to it")]
    RootNeedsNone,
    /// What the verifier says of a certificate that this CA would issue.
    #[error("no host would accept what this CA issues: {0}")]
    Refused(Reason),
    /// A trial certificate.
    #[error(transparent)]
    Draft(#[from] crate::DraftError),
    /// JSON.
    #[error("the description of the CA cannot be written: {0}")]
    Encode(serde_json::Error),
}
