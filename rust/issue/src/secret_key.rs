//! Secret keys, in the form that stock Nix reads and writes (libutil/signature/local-keys.cc).

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use nixcert_core::{Label, PublicKey, REQUEST_CONTEXT, Request};
use zeroize::Zeroizing;

/// An Ed25519 secret key. It is wiped from memory when dropped, and has neither `Debug` nor `Display`.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new key from the system's randomness.
    ///
    /// # Errors
    /// [`SecretKeyError::Randomness`] if the system has none.
    pub fn generate() -> Result<Self, SecretKeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| SecretKeyError::Randomness)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a seed (RFC 8032 section 5.1.5: the private key).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Read `NAME:BASE64`, as `nix key generate-secret` writes it: the base64 of seed and public key. White space at
    /// the end is admitted. Returns the name too.
    ///
    /// # Errors
    /// [`SecretKeyError`] names the fault, never the secret.
    pub fn from_nix(text: &str) -> Result<(String, Self), SecretKeyError> {
        let (name, payload) = text.trim_end().split_once(':').ok_or(SecretKeyError::Form)?;
        if name.is_empty() {
            return Err(SecretKeyError::Form);
        }
        let bytes = Zeroizing::new(BASE64.decode(payload.as_bytes()).map_err(|_| SecretKeyError::Base64)?);
        let pair: &[u8; 64] = bytes.as_slice().try_into().map_err(|_| match bytes.len() {
            32 => SecretKeyError::PublicKey,
            length => SecretKeyError::Length(length),
        })?;
        let key = SigningKey::from_keypair_bytes(pair).map_err(|_| SecretKeyError::Halves)?;
        Ok((name.to_owned(), Self(key)))
    }

    /// Write `NAME:BASE64`, as `nix key generate-secret` does.
    pub fn to_nix(&self, name: &str) -> Zeroizing<String> {
        let pair = Zeroizing::new(self.0.to_keypair_bytes());
        let payload = Zeroizing::new(BASE64.encode(pair.as_ref()));
        Zeroizing::new(format!("{name}:{}", *payload))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// A detached signature.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// A request for a certificate, signed by this key (FORMAT section 4), without line feed.
    pub fn request(&self, label: Label<'_>) -> String {
        let subject = self.public();
        let message = [REQUEST_CONTEXT, &Request::to_be_signed(label, &subject)].concat();
        Request::format(label, &subject, &self.sign(&message))
    }
}

/// Why something is not a secret key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretKeyError {
    /// Not `NAME:BASE64`.
    #[error("this is not a secret key file of Nix (NAME:BASE64)")]
    Form,
    /// What follows the colon is not base64.
    #[error("what follows ':' in the secret key file is not base64 (is the file whole?)")]
    Base64,
    /// The public half.
    #[error("this is a public key, where the secret one is needed")]
    PublicKey,
    /// Another length.
    #[error("the secret key is {0} bytes long; Ed25519 keys of Nix have 64")]
    Length(usize),
    /// Seed and public key do not belong together.
    #[error("the two halves of the secret key do not belong together (was the file changed?)")]
    Halves,
    /// No randomness.
    #[error("the system gave no randomness")]
    Randomness,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nix_s_form() {
        let key = SecretKey::from_seed(&[7; 32]);
        let text = key.to_nix("alice-1");
        let (name, again) = SecretKey::from_nix(&format!("{}\n", *text)).unwrap();
        assert_eq!((name.as_str(), again.public()), ("alice-1", key.public()));
        let public = format!("alice-1:{}", key.public());
        let mut swapped = BASE64.decode(text.split_once(':').unwrap().1.as_bytes()).unwrap();
        swapped[63] ^= 1;
        for (text, error) in [
            ("alice", SecretKeyError::Form),
            (":AAAA", SecretKeyError::Form),
            ("alice:A", SecretKeyError::Base64),
            ("alice:AAAA", SecretKeyError::Length(3)),
            (&public, SecretKeyError::PublicKey),
            (&format!("alice:{}", BASE64.encode(&swapped)), SecretKeyError::Halves),
        ] {
            assert_eq!(SecretKey::from_nix(text).map(|_| ()), Err(error));
        }
    }

    #[test]
    fn requests_prove_possession() {
        let key = SecretKey::from_seed(&[7; 32]);
        let request = key.request(Label::parse(b"alice").unwrap());
        let read = Request::verify(&request).unwrap();
        assert_eq!((read.label(), read.subject()), ("alice", key.public()));
        assert!(Request::verify(&request.replacen("alice", "mallory", 1)).is_err());
        for at in 0..request.len() {
            let mut bytes = request.clone().into_bytes();
            bytes[at] ^= 1;
            assert!(Request::verify(&String::from_utf8_lossy(&bytes)).is_err(), "byte {at}");
        }
    }
}
