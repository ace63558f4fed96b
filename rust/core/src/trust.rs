//! What a host trusts: plain keys, CA keys, and the name it goes by.

use crate::encoding::base64_decode;
use crate::key::{PublicKey, UsableKey};
use crate::limits::HOST_NAME_BYTES;
use crate::name::is_certificate_name;
use crate::object::shorten;
use crate::policy::Policy;
use crate::revocation::Revocations;
use std::collections::BTreeMap;
use std::fmt;

/// All that a host trusts.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// `trusted-public-keys`.
    pub public_keys: PublicKeys,
    /// `trusted-ca-keys`.
    pub anchors: Anchors,
    /// `ca-host-name`.
    pub host: Option<HostName>,
    /// The file `ca-policy-file`: limits for certificates, beyond those in them.
    pub policy: Policy,
    /// The revocation lists that the host holds.
    pub revocations: Revocations,
    /// What is wrong with the configuration of anchors, host or policy. If anything is, no certificate counts; plain keys do.
    pub broken: Option<TrustError>,
}

/// Keys whose signatures count as they are: `trusted-public-keys`, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicKeys(BTreeMap<String, PlainKey>);

/// A key under a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlainKey {
    pub(crate) key: PublicKey,
    /// None if C4 does not admit it.
    pub(crate) usable: Option<UsableKey>,
}

impl PublicKeys {
    /// Add an entry `NAME:BASE64`. Of two entries with one name the first counts, as in Nix (`getDefaultPublicKeys`).
    ///
    /// # Errors
    /// [`TrustError`] if it is not an entry. A key that C4 does not admit is one: no signature of it is ever valid.
    pub fn add(&mut self, entry: &str) -> Result<(), TrustError> {
        let (name, key) = parse_entry(entry)?;
        self.0.entry(name.to_owned()).or_insert_with(|| PlainKey { key, usable: key.usable().ok() });
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.0.iter().map(|(name, plain)| (name.as_str(), &plain.key))
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<PlainKey> {
        std::str::from_utf8(name).ok().and_then(|name| self.0.get(name)).copied()
    }
}

/// CA keys whose certificates count: `trusted-ca-keys`, by key.
#[derive(Clone, Debug, Default)]
pub struct Anchors(BTreeMap<PublicKey, Anchor>);

#[derive(Clone, Debug)]
pub(crate) struct Anchor {
    pub(crate) name: String,
    pub(crate) key: UsableKey,
}

impl Anchors {
    /// Add an entry `NAME:BASE64`. The same entry twice is one; one name for two keys, or two for one, is a mistake.
    ///
    /// # Errors
    /// [`TrustError`] names the entry and the fault, and never shows a secret.
    pub fn add(&mut self, entry: &str) -> Result<(), TrustError> {
        let (name, key) = parse_entry(entry)?;
        let fault = |problem| TrustError::Entry { name: shorten(name), problem };
        let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
        if !name.bytes().all(name_byte) || is_certificate_name(name.as_bytes()) {
            return Err(fault(
                "a CA's name has only letters, digits, '.', '-', '_' and '+', and no certificate in it",
            ));
        }
        let usable = key.usable().map_err(|_| fault("this is not a usable Ed25519 public key"))?;
        match self.0.get(&key) {
            Some(known) if known.name == name => return Ok(()),
            Some(_) => return Err(fault("the same key is there under another name")),
            None => {}
        }
        if self.0.values().any(|anchor| anchor.name == name) {
            return Err(fault("another key is there under the same name"));
        }
        self.0.insert(key, Anchor { name: name.to_owned(), key: usable });
        Ok(())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name under which a key is trusted.
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        self.get(key).map(|anchor| anchor.name.as_str())
    }

    /// All of them, by name and key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &PublicKey)> {
        self.0.iter().map(|(key, anchor)| (anchor.name.as_str(), key))
    }

    pub(crate) fn get(&self, key: &PublicKey) -> Option<&Anchor> {
        self.0.get(key)
    }
}

fn parse_entry(entry: &str) -> Result<(&str, PublicKey), TrustError> {
    let (name, key) = entry
        .split_once(':')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| TrustError::Form { entry: shorten(entry) })?;
    let fault = |problem| TrustError::Entry { name: shorten(name), problem };
    let bytes = base64_decode(key.as_bytes())
        .ok_or_else(|| fault("what follows ':' is not base64 (is it whole?)"))?;
    match <[u8; 32]>::try_from(bytes.as_slice()) {
        Ok(key) => Ok((name, PublicKey(key))),
        Err(_) if bytes.len() == 64 => Err(fault(
            "this is a secret key, where the public one belongs; it is no longer secret: replace it",
        )),
        Err(_) => Err(fault("a key is 32 bytes (44 characters of base64) long")),
    }
}

/// The name of this host, as its administrator configured it (FORMAT K5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    /// Read a host name.
    ///
    /// # Errors
    /// [`TrustError::HostName`] unless it is 1 to 253 bytes from `a-z 0-9 - .`.
    pub fn parse(name: &str) -> Result<Self, TrustError> {
        let host_byte =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if (1..=HOST_NAME_BYTES).contains(&name.len()) && name.bytes().all(host_byte) {
            Ok(Self(name.to_owned()))
        } else {
            Err(TrustError::HostName { name: shorten(name) })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a host's configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not `NAME:BASE64`.
    #[error("'{entry}' is not a key of the form NAME:BASE64")]
    Form {
        /// The entry, shortened.
        entry: String,
    },
    /// A key that cannot be one.
    #[error("the key named '{name}' is not usable: {problem}")]
    Entry {
        /// The name before the colon.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// A policy that cannot be used.
    #[error("the policy cannot be used: {problem}")]
    Policy {
        /// What is wrong, and where.
        problem: String,
    },
    /// Not a host name.
    #[error("'{name}' is not a host name: it has only a-z, 0-9, '-' and '.'")]
    HostName {
        /// The name, shortened.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const KEY: &str = "6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
    const OTHER: &str = "CHK4GhpYHgLZJ5RgmhH4xh1EXT5sB1Td1dhD+lqcBH8=";

    #[test]
    fn public_keys() {
        let mut keys = PublicKeys::default();
        assert!(keys.is_empty());
        keys.add(&format!("cache-1:{KEY}")).unwrap();
        assert!(!keys.is_empty());
        assert_eq!(keys.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["cache-1"]);
    }

    #[test]
    fn anchors() {
        let mut anchors = Anchors::default();
        assert!(anchors.is_empty());
        anchors.add(&format!("acme-1:{KEY}")).unwrap();
        anchors.add(&format!("acme-1:{KEY}")).unwrap();
        for (entry, message) in [
            ("acme", "form NAME:BASE64"),
            (":x", "form NAME:BASE64"),
            ("x:????", "not base64"),
            ("x:AAAA", "32 bytes"),
            (&format!("x:{}", &KEY[..43]), "not base64"),
            (&format!("acme-2:{KEY}"), "under another name"),
            (&format!("acme-1:{OTHER}"), "under the same name"),
            (&format!("a b:{OTHER}"), "only letters"),
            (&format!("a.nixcert1.b:{OTHER}"), "only letters"),
            (&format!("x:{}=", "A".repeat(43)), "usable Ed25519"),
            (&format!("x:{}==", "A".repeat(86)), "secret key"),
        ] {
            let error = anchors.add(entry).unwrap_err().to_string();
            assert!(error.contains(message), "{entry}: {error}");
            assert!(!error.contains("AAAAA"), "shows a secret: {error}");
        }
        anchors.add(&format!("acme-2:{OTHER}")).unwrap();
        assert!(!anchors.is_empty());
        let names: BTreeSet<&str> = anchors.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["acme-1", "acme-2"].into());
    }

    #[test]
    fn host_names() {
        assert!(HostName::parse("web-1.example.org").is_ok());
        for bad in ["", "Web", "a b", "a*", &"a".repeat(254)] {
            assert!(HostName::parse(bad).is_err(), "{bad}");
        }
    }
}
