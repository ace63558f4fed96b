//! Who vouches for a path, as far as signatures show.

use crate::commands::closure::grounds::{proven_label, vendor_of};
use crate::commands::closure::held::Held;
use crate::commands::closure::statements;
use crate::commands::closure::vendors::Known;
use nixcert_core::is_of_a_closure;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub(crate) enum Who {
    /// The name of a vendor's key.
    Vendor(String),
    /// A label that a known CA has certified.
    Person(String),
    /// A label, as a CA says that is not known here.
    Unproven(String),
    /// Nobody need: its name says what it holds.
    Itself,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vendor(name) | Self::Person(name) => f.write_str(name),
            Self::Unproven(label) => write!(f, "'{label}'"),
            Self::Itself => f.write_str("its own name"),
        }
    }
}

/// A path of a closure, for comparing.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) path: String,
    /// What follows the hash.
    pub(crate) name: String,
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) who: BTreeSet<Who>,
}

pub(crate) fn members(held: &Held, known: &Known) -> Vec<Member> {
    let person = |label: String, proven: bool| if proven { Who::Person(label) } else { Who::Unproven(label) };
    let all = statements::all(held.top_signatures(), &known.anchors);
    let covering = all.into_iter().filter_map(|one| one.ok()).filter(|signed| signed.covers(held));
    let covering: BTreeSet<Who> =
        covering.map(|signed| person(signed.label.clone(), signed.authority.is_some())).collect();
    let member = |path: &crate::commands::closure::held::HeldPath| {
        let own = path.narinfo.signatures.iter().filter(|signature| !is_of_a_closure(signature.as_bytes()));
        let people = own.filter_map(|signature| proven_label(path, signature, known));
        let mut who: BTreeSet<Who> = people.map(|(label, proven)| person(label, proven)).collect();
        who.extend(vendor_of(path, known).map(Who::Vendor));
        if path.narinfo.content_address.is_some() {
            who.insert(Who::Itself);
        }
        if who.is_empty() {
            who.clone_from(&covering);
        }
        Member {
            path: path.path().to_string(),
            name: path.path().name().to_owned(),
            fingerprint: path.object.fingerprint().to_vec(),
            who,
        }
    };
    held.paths.iter().map(member).collect()
}
