//! Whether a path has the contents that its content address says (libstore: content-address.cc, store-api.cc).

use crate::archive::{ArchiveError, nar_hash, plain_file_hash};
use crate::database::Entry;
use data_encoding::HEXLOWER;
use nixcert_core::{PathInfo, nix32};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Read the contents of a store path, and say whether its content address is that of these contents and leads to this very
/// path, references included. Then nobody needs to vouch for it: whoever knows the path knows what is in it.
///
/// `real_path` is where the path is on disk: the same, but for a store that is mounted elsewhere.
///
/// # Errors
/// [`ContentAddressError`]: it does not count as content-addressed.
pub fn recompute(entry: &Entry, real_path: &Path) -> Result<(), ContentAddressError> {
    let info = &entry.info;
    let claim = entry.content_address.as_deref().ok_or(ContentAddressError::None)?;
    let (method, claimed) = Method::parse(claim)?;
    // Nix replaces a path's own digest by zeros before it hashes. Up to 2.34 it then forgets to hash where that was (its
    // HashModuloSink says that it must), so that several contents have the same address; later versions make another one.
    if info.references.contains(&info.path) {
        return Err(ContentAddressError::SelfReference);
    }
    if method == Method::Flat && !info.references.is_empty() {
        return Err(ContentAddressError::References);
    }
    let hash = match method {
        Method::Text | Method::Flat => plain_file_hash(real_path)?,
        Method::Archive => nar_hash(real_path)?.sha256,
    };
    if nix32(&hash) != claimed {
        return Err(ContentAddressError::OtherContents);
    }
    if method.store_path(info, &hash) != info.path.as_str() {
        return Err(ContentAddressError::OtherPath);
    }
    Ok(())
}

/// Why a path does not count as content-addressed.
#[derive(Debug, thiserror::Error)]
pub enum ContentAddressError {
    /// Nix's database claims none.
    #[error("it is not content-addressed")]
    None,
    /// Another form than text, flat and archive, or another hash than SHA-256.
    #[error(
        "its content address is of a kind that does not count here: only SHA-256 of text, files and archives does"
    )]
    NotSupported,
    /// It contains its own path.
    #[error(
        "it refers to itself, and the content addresses that Nix gives to such paths do not bind their contents"
    )]
    SelfReference,
    /// A file that is addressed by its contents alone has references.
    #[error("it has references, which its content address does not cover")]
    References,
    /// The contents have another hash.
    #[error("its contents are not those that its content address says")]
    OtherContents,
    /// The content address is right, and another path's.
    #[error("its content address is that of another path")]
    OtherPath,
    /// The contents cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    /// A file that Nix wrote, which may have references.
    Text,
    /// A file's contents.
    Flat,
    /// The whole archive.
    Archive,
}

impl Method {
    /// Method and hash, as `ContentAddress::render` writes them into the database.
    fn parse(claim: &str) -> Result<(Self, &str), ContentAddressError> {
        let forms =
            [("text:sha256:", Self::Text), ("fixed:sha256:", Self::Flat), ("fixed:r:sha256:", Self::Archive)];
        let form = |(prefix, method)| Some((method, claim.strip_prefix(prefix)?));
        forms.into_iter().find_map(form).ok_or(ContentAddressError::NotSupported)
    }

    /// Nix: `makeFixedOutputPathFromCA`.
    fn store_path(self, info: &PathInfo, hash: &[u8; 32]) -> String {
        let with_references = |kind: &str| {
            let add = |text, reference: &nixcert_core::StorePath| text + ":" + reference.as_str();
            info.references.iter().fold(kind.to_owned(), add)
        };
        match self {
            Self::Text => store_path(&with_references("text"), hash, info),
            Self::Archive => store_path(&with_references("source"), hash, info),
            Self::Flat => {
                let inner = Sha256::digest(format!("fixed:out:sha256:{}:", HEXLOWER.encode(hash)));
                store_path("output:out", &inner.into(), info)
            }
        }
    }
}

/// The path of this directory and name (Nix: `makeStorePath`).
fn store_path(kind: &str, hash: &[u8; 32], info: &PathInfo) -> String {
    let (directory, name) = (info.path.directory(), info.path.name());
    let text = format!("{kind}:sha256:{}:{directory}:{name}", HEXLOWER.encode(hash));
    // Nix: `compressHash`.
    let mut digest = [0; 20];
    for (n, byte) in Sha256::digest(text).into_iter().enumerate() {
        if let Some(folded) = digest.get_mut(n % 20) {
            *folded ^= byte;
        }
    }
    format!("{directory}/{}-{name}", nix32(&digest))
}
