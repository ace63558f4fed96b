//! Reading what people name: bounded, and with errors that say what was expected.

use crate::error::{Error, Result};
use nixcert_files::{self as files, said};
use nixcert_issue::{SecretKey, SecretKeyError};
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// More than any file of one line here has: the longest name is 14,000 bytes.
pub(crate) const LINE_BYTES: u64 = 64 * 1024;

/// The bytes of a file, or of standard input for `-`.
pub(crate) fn bytes(path: &Path, limit: u64) -> Result<Vec<u8>> {
    if path == Path::new("-") {
        return files::read_from(io::stdin().lock(), limit)
            .map_err(|error| Error::new(format!("cannot read standard input: {}", said(&error))));
    }
    Ok(files::read(path, limit)?)
}

/// The one line of a request or certificate file; `what` is what it should be.
pub(crate) fn line(path: &Path, what: &str) -> Result<String> {
    let bytes = bytes(path, LINE_BYTES)?;
    let fault = |problem: &str| {
        Error::new(format!("'{}' is not {what}: {problem}", path.display()))
            .help("name the file that the other command wrote with -o, unchanged")
    };
    let text = String::from_utf8(bytes).map_err(|_| fault("it is not text"))?;
    let line = text.trim_end_matches(['\n', '\r', ' ']);
    match line {
        "" => Err(fault("it is empty")),
        line if line.contains('\0') => Err(fault("it is not text")),
        line if line.contains('\n') => Err(fault("it has more than one line")),
        line => Ok(line.to_owned()),
    }
}

/// A secret key of a person, and the name it stands under.
pub(crate) fn secret_key(path: &Path) -> Result<(String, SecretKey)> {
    let bytes = Zeroizing::new(bytes(path, LINE_BYTES)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| SecretKeyError::Form);
    let read = text.and_then(|text| {
        if text.trim().is_empty() { Err(SecretKeyError::Form) } else { SecretKey::from_nix(text) }
    });
    if bytes.is_empty() {
        return Err(Error::new(format!("the key file '{}' is empty", path.display()))
            .help("make a key with 'nixcert key generate', or restore it"));
    }
    let key = read.map_err(|error| Error::from(error).in_file(path))?;
    if path != Path::new("-") && files::is_open_to_others(path).unwrap_or(false) {
        crate::output::warn(format_args!(
            "others may read the secret key in '{0}': take the right from them with 'chmod 600 {0}'",
            path.display()
        ));
    }
    Ok(key)
}
