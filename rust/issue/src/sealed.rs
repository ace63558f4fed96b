//! A CA's secret key at rest: behind a passphrase, in the age format (scrypt recipient, armored).

use crate::secret_key::{SecretKey, SecretKeyError};
use age::secrecy::SecretString;
use age::{DecryptError, scrypt};
use zeroize::Zeroizing;

/// What an encrypted key file begins with.
pub const SEALED_MARK: &str = "-----BEGIN AGE ENCRYPTED FILE-----";

/// The most work that opening a key may take: 2^22 of scrypt, 4 GiB of memory and some 20 seconds. age chooses about one
/// second on the machine that seals, and by default refuses what is 16 times that on the one that opens.
const MOST_WORK: u8 = 22;

/// How a secret key is kept.
pub enum Seal {
    /// Encrypted with a passphrase.
    Passphrase(SecretString),
    /// As it is: whoever reads the file has the key.
    Unencrypted,
}

/// The contents of a key file.
///
/// # Errors
/// [`SealError::Encrypt`] if age fails.
pub(crate) fn seal(name: &str, key: &SecretKey, seal: &Seal) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let plain = Zeroizing::new([key.to_nix(name).as_bytes(), b"\n"].concat());
    match seal {
        Seal::Unencrypted => Ok(plain),
        Seal::Passphrase(passphrase) => {
            let recipient = scrypt::Recipient::new(passphrase.clone());
            age::encrypt_and_armor(&recipient, &plain)
                .map(|text| Zeroizing::new(text.into_bytes()))
                .map_err(|error| SealError::Encrypt(error.to_string()))
        }
    }
}

/// Whether the contents of a key file are encrypted.
pub(crate) fn is_sealed(contents: &[u8]) -> bool {
    contents.starts_with(SEALED_MARK.as_bytes())
}

/// The key, and its name, from the contents of a key file.
///
/// # Errors
/// [`SealError`] says whether passphrase or file is at fault, and shows neither.
pub(crate) fn open(
    contents: &[u8],
    passphrase: Option<&SecretString>,
) -> Result<(String, SecretKey), SealError> {
    if !is_sealed(contents) {
        return read_plain(contents);
    }
    let passphrase = passphrase.ok_or(SealError::PassphraseNeeded)?;
    let mut identity = scrypt::Identity::new(passphrase.clone());
    identity.set_max_work_factor(MOST_WORK);
    let plain = age::decrypt(&identity, contents).map(Zeroizing::new).map_err(|error| match error {
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            SealError::WrongPassphrase
        }
        other => SealError::Damaged(other.to_string()),
    })?;
    read_plain(&plain)
}

fn read_plain(contents: &[u8]) -> Result<(String, SecretKey), SealError> {
    let text = std::str::from_utf8(contents).map_err(|_| SecretKeyError::Form)?;
    Ok(SecretKey::from_nix(text)?)
}

/// Why a key file cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// age.
    #[error("the key cannot be encrypted: {0}")]
    Encrypt(String),
    /// It is encrypted, and nothing was given.
    #[error("the key is encrypted, and no passphrase was given")]
    PassphraseNeeded,
    /// age says so.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// age cannot read it.
    #[error("the encrypted key is damaged: {0}")]
    Damaged(String),
    /// What is inside.
    #[error(transparent)]
    Key(#[from] SecretKeyError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_with_its_passphrase_only() {
        let key = SecretKey::from_seed(&[7; 32]);
        let passphrase = |text: &str| SecretString::from(text.to_owned());
        let sealed = seal("acme-1", &key, &Seal::Passphrase(passphrase("correct horse"))).unwrap();
        let text = String::from_utf8(sealed.to_vec()).unwrap();
        assert!(is_sealed(&sealed) && !text.contains(&*key.to_nix("acme-1")));

        let refused = |contents: &[u8], given: Option<&str>| {
            open(contents, given.map(passphrase).as_ref()).map(|_| ()).unwrap_err()
        };
        let (name, again) = open(&sealed, Some(&passphrase("correct horse"))).unwrap();
        assert_eq!((name.as_str(), again.public()), ("acme-1", key.public()));
        assert!(matches!(refused(&sealed, Some("wrong")), SealError::WrongPassphrase));
        assert!(matches!(refused(&sealed, None), SealError::PassphraseNeeded));
        let cut = text.get(..text.len() / 2).unwrap();
        assert!(matches!(refused(cut.as_bytes(), Some("correct horse")), SealError::Damaged(_)));
    }

    #[test]
    fn unencrypted_is_nix_s_form() {
        let key = SecretKey::from_seed(&[7; 32]);
        let plain = seal("acme-1", &key, &Seal::Unencrypted).unwrap();
        assert_eq!(plain.as_slice(), format!("{}\n", *key.to_nix("acme-1")).as_bytes());
        assert_eq!(open(&plain, None).unwrap().1.public(), key.public());
    }
}
