//! Who vouched for a path, such that it can be written down and asked again.

use nixcert_core::{PublicKey, Recorded, Voucher, base64_decode};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One of those who vouched.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Vouched {
    /// The path itself, by its name.
    Itself,
    /// A vendor's key.
    Vendor { name: String, key: Key },
    /// The name of a certificate signature.
    Person { name: String },
}

/// A public key, in base64.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Key(pub(crate) PublicKey);

impl TryFrom<String> for Key {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = base64_decode(text.as_bytes()).and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| Self(PublicKey(bytes))).ok_or("a key is not 32 bytes in base64")
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0.to_string()
    }
}

impl Vouched {
    pub(crate) fn of(voucher: &Voucher) -> Self {
        match voucher {
            Voucher::Itself => Self::Itself,
            Voucher::Vendor { name, key } => Self::Vendor { name: name.clone(), key: Key(*key) },
            Voucher::Certified { name, .. } => Self::Person { name: name.clone() },
        }
    }

    pub(crate) fn recorded(&self) -> Recorded<'_> {
        match self {
            Self::Itself => Recorded::Itself,
            Self::Vendor { name, key } => Recorded::Vendor { name, key: key.0 },
            Self::Person { name } => Recorded::Person(name),
        }
    }

    /// What people call them.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Itself => "its own name",
            Self::Vendor { name, .. } => name,
            Self::Person { name } => name.split('.').next().unwrap_or_default(),
        }
    }
}

/// A list of those who vouched, in a [`Book`].
pub(crate) type ListId = u32;

/// Who vouched, and since when that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Since {
    /// When this gate first activated the path with just these vouchers, in seconds since the epoch.
    pub(crate) since: u64,
    pub(crate) list: ListId,
}

/// Each list of vouchers once: most paths of a system share one.
#[derive(Debug, Default)]
pub(crate) struct Book {
    lists: Vec<Vec<Vouched>>,
    ids: HashMap<Vec<Vouched>, ListId>,
}

impl Book {
    pub(crate) fn add(&mut self, list: Vec<Vouched>) -> ListId {
        if let Some(id) = self.ids.get(&list) {
            return *id;
        }
        // There are fewer lists than paths, and at most a million paths.
        let id = ListId::try_from(self.lists.len()).unwrap_or(ListId::MAX);
        self.lists.push(list.clone());
        self.ids.insert(list, id);
        id
    }

    pub(crate) fn get(&self, id: ListId) -> &[Vouched] {
        usize::try_from(id).ok().and_then(|id| self.lists.get(id)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn lists(&self) -> &[Vec<Vouched>] {
        &self.lists
    }
}
