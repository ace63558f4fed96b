//! A list in plain words, and as JSON.

use crate::describe::Description;
use crate::output::Table;
use crate::time::length;
use nixcert_core::{
    Certificate, Entries, Extent, Instant, PublicKey, RevocationList, Revoked, Selector, VerifiedList,
};
use serde::Serialize;

/// What a list says of itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ListDescription {
    pub(super) ca: String,
    /// The name in `trusted-ca-keys`, where that was given.
    pub(super) ca_name: Option<String>,
    pub(super) signer: String,
    pub(super) signed_by_the_ca: bool,
    /// Of a delegate, leaf first.
    pub(super) certificates: Vec<Description>,
    pub(super) issued: String,
    pub(super) entry_count: usize,
    #[serde(skip)]
    issued_at: Instant,
}

/// An entry of a list.
#[derive(Clone, Debug, Serialize)]
pub(super) struct EntryDescription {
    /// `serial`, `key` or `label`.
    by: &'static str,
    value: String,
    /// `retired` or `compromised`.
    extent: &'static str,
    /// Null unless compromised.
    since: Option<String>,
    cause: &'static str,
}

impl EntryDescription {
    pub(super) fn new(selector: &Selector, revoked: Revoked) -> Self {
        let (by, value) = match selector {
            Selector::Serial(serial) => ("serial", serial.to_string()),
            Selector::Key(key) => ("key", key.to_string()),
            Selector::Label(label) => ("label", label.clone()),
        };
        let (extent, since) = match revoked.extent {
            Extent::Retired => ("retired", None),
            Extent::Compromised { since } => ("compromised", Some(since.to_string())),
        };
        Self { by, value, extent, since, cause: revoked.cause.name() }
    }
}

impl ListDescription {
    pub(super) fn of_parsed(list: &RevocationList<'_>) -> Self {
        Self::new(list.ca, &list.certificates, list.issued, &list.entries)
    }

    pub(super) fn of_verified(list: &VerifiedList, ca_name: Option<&str>) -> Self {
        let certificates: Vec<&[u8]> = list.certificates().iter().map(Vec::as_slice).collect();
        Self {
            ca_name: ca_name.map(str::to_owned),
            ..Self::new(*list.ca(), &certificates, list.issued(), list.entries())
        }
    }

    fn new(ca: PublicKey, certificates: &[&[u8]], issued: Instant, entries: &Entries) -> Self {
        let certificates: Vec<Description> = certificates
            .iter()
            .filter_map(|bytes| Certificate::parse(bytes).ok())
            .map(|certificate| Description::of_certificate(&certificate))
            .collect();
        Self {
            ca: ca.to_string(),
            ca_name: None,
            signer: certificates.first().map_or_else(|| ca.to_string(), |leaf| leaf.subject.clone()),
            signed_by_the_ca: certificates.is_empty(),
            certificates,
            issued: issued.to_string(),
            entry_count: entries.len(),
            issued_at: issued,
        }
    }

    pub(super) fn rows(&self, table: &mut Table, now: Instant) {
        match &self.ca_name {
            Some(name) => table.row("CA", format_args!("{name} ({})", self.ca)),
            None => table.row("CA", &self.ca),
        }
        table.row("Signed by", self.signer_in_words());
        for issuer in self.certificates.iter().skip(1) {
            table.row("below", format_args!("the intermediate {} ({})", issuer.label, issuer.subject));
        }
        table.row("Issued", format_args!("{} ({})", self.issued, self.age(now)));
        table.row("Entries", self.entry_count);
    }

    pub(super) fn signer_in_words(&self) -> String {
        match self.certificates.first() {
            Some(leaf) => format!(
                "the delegate {} (serial {}, key {})",
                leaf.label,
                leaf.serial.as_deref().unwrap_or_default(),
                leaf.subject
            ),
            None => "the CA itself".to_owned(),
        }
    }

    /// A CA's own list before those of its delegates, and these by label.
    pub(super) fn order(&self) -> (String, Option<String>, String) {
        let ca = self.ca_name.as_ref().unwrap_or(&self.ca).clone();
        (ca, self.certificates.first().map(|leaf| leaf.label.clone()), self.signer.clone())
    }

    /// The same in few words.
    pub(super) fn whose(&self) -> String {
        let ca = self.ca_name.as_ref().unwrap_or(&self.ca);
        match self.certificates.first() {
            Some(leaf) => format!("the list of {ca}'s delegate {}", leaf.label),
            None => format!("{ca}'s own list"),
        }
    }

    pub(super) fn age(&self, now: Instant) -> String {
        if self.issued_at > now {
            format!("{} ahead of this machine's clock", length(now, self.issued_at))
        } else if self.issued_at == now {
            "this second".to_owned()
        } else {
            format!("{} ago", length(self.issued_at, now))
        }
    }
}

/// What is revoked, one entry a line, in columns.
pub(super) fn columns(entries: impl Iterator<Item = (Selector, Revoked)>) -> Vec<String> {
    let rows: Vec<(String, String, &str)> = entries
        .map(|(selector, revoked)| (selector.to_string(), revoked.extent.to_string(), revoked.cause.name()))
        .collect();
    let first = rows.iter().map(|(selector, ..)| selector.len()).max().unwrap_or_default();
    let second = rows.iter().map(|(_, extent, _)| extent.len()).max().unwrap_or_default();
    rows.iter()
        .map(|(selector, extent, cause)| format!("{selector:first$}  {extent:second$}  {cause}"))
        .collect()
}
