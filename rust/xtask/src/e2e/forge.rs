//! Signing whatever a case wants signed, with keys in the form of Nix's key files.

use anyhow::{Context, Result, bail};
use data_encoding::BASE64;
use ed25519_dalek::{Signer as _, SigningKey};

use super::wire::{Info, Parcel};
use crate::host::Host;

/// A secret key with its name, which may hold a certificate.
pub(crate) struct Key {
    /// The name: what is left of the colon in the key file.
    pub(crate) name: String,
    secret: SigningKey,
}

impl Key {
    /// A key that everyone can make again: only for tests.
    pub(crate) fn from_seed(name: &str, seed: u8) -> Self {
        Self { name: name.to_owned(), secret: SigningKey::from_bytes(&[seed; 32]) }
    }

    /// Reads a key file.
    pub(crate) fn read(host: &Host, path: &str) -> Result<Self> {
        let text = String::from_utf8(host.read(path)?)?;
        let (name, secret) = text.trim().split_once(':').context("this is no key file of Nix")?;
        let bytes = BASE64.decode(secret.as_bytes())?;
        let Some(seed) = bytes.first_chunk::<32>() else { bail!("the secret key in {path} is too short") };
        Ok(Self { name: name.to_owned(), secret: SigningKey::from_bytes(seed) })
    }

    /// The public half, as `trusted-public-keys` has it.
    pub(crate) fn public(&self) -> String {
        format!("{}:{}", self.name, BASE64.encode(self.secret.verifying_key().as_bytes()))
    }

    /// The signature of a path.
    pub(crate) fn signature(&self, info: &Info) -> String {
        self.sign(&fingerprint(info))
    }

    /// The signature of a text.
    pub(crate) fn sign(&self, text: &str) -> String {
        format!("{}:{}", self.name, BASE64.encode(&self.secret.sign(text.as_bytes()).to_bytes()))
    }

    /// The signature of these bytes, under another name.
    pub(crate) fn sign_as(&self, name: &str, message: &[u8]) -> String {
        format!("{name}:{}", BASE64.encode(&self.secret.sign(message).to_bytes()))
    }

    /// A new path with this name and these contents, signed.
    pub(crate) fn parcel(&self, path: &str, contents: &[u8]) -> Parcel {
        let mut parcel = Parcel::file(path, contents);
        parcel.info.signatures = vec![self.signature(&parcel.info)];
        parcel
    }
}

/// A new path with this name and these contents, signed by all of these.
pub(crate) fn signed_by(keys: &[&Key], path: &str, contents: &[u8]) -> Parcel {
    let mut parcel = Parcel::file(path, contents);
    parcel.info.signatures = keys.iter().map(|key| key.signature(&parcel.info)).collect();
    parcel
}

/// What a cache would say of a path.
pub(crate) fn narinfo(parcel: &Parcel) -> String {
    let info = &parcel.info;
    let references: Vec<&str> =
        info.references.iter().map(|it| it.trim_start_matches("/nix/store/")).collect();
    let signatures: String = info.signatures.iter().map(|signature| format!("Sig: {signature}\n")).collect();
    format!(
        "StorePath: {}\nURL: nar/hello.nar\nCompression: none\nNarHash: sha256:{}\nNarSize: {}\nReferences: {}\n{signatures}",
        info.path,
        base32(&unhex(&info.nar_hash)),
        info.nar_size,
        references.join(" ")
    )
}

/// What is signed of a path.
pub(crate) fn fingerprint(info: &Info) -> String {
    let references = info.references.join(",");
    let hash = base32(&unhex(&info.nar_hash));
    format!("1;{};sha256:{hash};{};{references}", info.path, info.nar_size)
}

/// A store path that nobody has, and that `number` alone decides.
pub(crate) fn store_path(number: u32, name: &str) -> String {
    let hash: Vec<u8> = number.to_be_bytes().into_iter().cycle().take(20).collect();
    format!("/nix/store/{}-{name}", base32(&hash))
}

/// Nix's base 32: its own alphabet, the last bits first.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";
    let length = (bytes.len() * 8).div_ceil(5);
    let bit = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    (0..length)
        .rev()
        .map(|digit| {
            let value = (0..5).fold(0, |value, place| value | usize::from(bit(digit * 5 + place)) << place);
            char::from(ALPHABET.get(value).copied().unwrap_or(b'?'))
        })
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_is_that_of_nix() {
        // nix hash convert --hash-algo sha256 --to nix32 of the empty string's hash
        let empty = unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(base32(&empty), "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
    }
}
