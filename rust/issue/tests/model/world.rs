//! What the model is about, as plain data: no bytes, and no signatures but by their makers.

use std::collections::{BTreeMap, BTreeSet};

/// A key is the byte that its seed is made of.
pub(crate) type Key = u8;

/// A pattern or a name.
pub(crate) type Text = &'static str;

pub(crate) type Codes = BTreeSet<&'static str>;

/// Somebody is asked whether this object may be accepted.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) object: Object,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) host: Option<Text>,
    /// By name.
    pub(crate) cas: BTreeMap<Text, Key>,
    /// By name.
    pub(crate) plain_keys: BTreeMap<Text, Key>,
    /// A trusted CA key is mistyped.
    pub(crate) broken: bool,
    pub(crate) clock: u64,
    pub(crate) registered: Option<u64>,
    pub(crate) policy: Option<Policy>,
    /// What the host holds, also of what it cannot use.
    pub(crate) lists: Vec<List>,
    /// The CAs of which there is a list that cannot be read.
    pub(crate) unreadable: BTreeSet<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Object {
    pub(crate) realisation: bool,
    pub(crate) store: Text,
    pub(crate) name: Text,
}

#[derive(Clone, Debug)]
pub(crate) enum Signature {
    /// Of the object, or of another one.
    Plain {
        name: Text,
        by: Key,
        of_another: bool,
    },
    Certified {
        label: Text,
        chain: Vec<Certificate>,
        by: Key,
        of_another: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Use {
    Paths,
    Realisations,
    Issue,
    Revoke,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Certificate {
    pub(crate) serial: u64,
    pub(crate) label: Text,
    pub(crate) subject: Key,
    pub(crate) issuer: Key,
    /// The issuer, if it is not forged.
    pub(crate) signed_by: Key,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) usages: BTreeSet<Use>,
    pub(crate) path_length: u8,
    pub(crate) permitted: BTreeSet<Text>,
    pub(crate) excluded: BTreeSet<Text>,
    pub(crate) hosts: BTreeSet<Text>,
    /// None for `/nix/store`.
    pub(crate) stores: BTreeSet<Text>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Policy {
    pub(crate) lower_bound: bool,
    pub(crate) earliest: Option<u64>,
    pub(crate) protected: BTreeSet<Text>,
    pub(crate) protected_audit: bool,
    pub(crate) cas: BTreeMap<Text, Rules>,
    pub(crate) thresholds: Vec<Threshold>,
    /// There is something in it that nobody understands.
    pub(crate) broken: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    pub(crate) permitted: BTreeSet<Text>,
    pub(crate) excluded: BTreeSet<Text>,
    pub(crate) usages: BTreeSet<Use>,
    pub(crate) longest: Option<u64>,
    pub(crate) deepest: Option<u8>,
    pub(crate) missing: Option<Doubt>,
    pub(crate) unreadable: Option<Doubt>,
    pub(crate) oldest: Option<u64>,
    /// By the reason codes of the rules.
    pub(crate) audit: Codes,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Doubt {
    Refuse,
    Accept,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) names: BTreeSet<Text>,
    pub(crate) votes: u8,
    pub(crate) authorities: Option<BTreeSet<Text>>,
    pub(crate) separate: bool,
    pub(crate) audit: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) ca: Key,
    /// The delegate's, leaf first; empty if the CA signs.
    pub(crate) chain: Vec<Certificate>,
    /// The delegate or the CA, if it is not forged.
    pub(crate) signed_by: Key,
    pub(crate) issued: u64,
    pub(crate) entries: BTreeMap<Selector, Extent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Selector {
    Serial(u64),
    Key(Key),
    Label(Text),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    Retired,
    Compromised(u64),
}

pub(crate) fn set<T: Ord + Clone>(items: &[T]) -> BTreeSet<T> {
    items.iter().cloned().collect()
}
