//! A certificate in plain words, and as JSON.

use crate::output::Table;
use crate::time::length;
use nixcert_core::{Certificate, Instant, List, Usage};
use nixcert_issue::Draft;
use serde::Serialize;

/// What a certificate says, ready to be shown.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Description {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
    pub(crate) label: String,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    pub(crate) usages: Vec<&'static str>,
    /// Null for a certificate that issues nothing.
    pub(crate) path_length: Option<u8>,
    pub(crate) permitted_names: Vec<String>,
    pub(crate) excluded_names: Vec<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) store_directories: Vec<String>,
    #[serde(skip)]
    validity: (Instant, Instant),
    #[serde(skip)]
    kinds: Vec<Usage>,
}

impl Description {
    pub(crate) fn of_certificate(certificate: &Certificate<'_>) -> Self {
        let list =
            |list: List<'_>| list.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect();
        let kinds: Vec<Usage> = certificate.usages.iter().collect();
        Self {
            serial: Some(certificate.serial.to_string()),
            label: certificate.label.to_string(),
            subject: certificate.subject.to_string(),
            issuer: certificate.issuer.to_string(),
            not_before: certificate.not_before.to_string(),
            not_after: certificate.not_after.to_string(),
            usages: kinds.iter().map(|usage| usage.name()).collect(),
            path_length: kinds.contains(&Usage::Issue).then_some(certificate.path_length),
            permitted_names: list(certificate.permitted_names),
            excluded_names: list(certificate.excluded_names),
            hosts: list(certificate.hosts),
            store_directories: or_nix_store(list(certificate.store_directories)),
            validity: (certificate.not_before, certificate.not_after),
            kinds,
        }
    }

    /// What is going to be signed; the serial is drawn when it is.
    pub(crate) fn of_draft(draft: &Draft, issuer: &nixcert_core::PublicKey) -> Self {
        let list = |items: &std::collections::BTreeSet<String>| items.iter().cloned().collect();
        let kinds: Vec<Usage> = draft.usages.iter().collect();
        Self {
            serial: None,
            label: draft.label.clone(),
            subject: draft.subject.to_string(),
            issuer: issuer.to_string(),
            not_before: draft.not_before.to_string(),
            not_after: draft.not_after.to_string(),
            usages: kinds.iter().map(|usage| usage.name()).collect(),
            path_length: kinds.contains(&Usage::Issue).then_some(draft.path_length),
            permitted_names: list(&draft.permitted_names),
            excluded_names: list(&draft.excluded_names),
            hosts: list(&draft.hosts),
            store_directories: or_nix_store(list(&draft.store_directories)),
            validity: (draft.not_before, draft.not_after),
            kinds,
        }
    }

    /// The rows of a table.
    pub(crate) fn table(&self, issuer: &str) -> Table {
        let mut table = Table::default();
        table.row("Label", &self.label);
        table.row("Key", &self.subject);
        if let Some(serial) = &self.serial {
            table.row("Serial", serial);
        }
        table.row("Issuer", issuer);
        let (not_before, not_after) = self.validity;
        table.row("Valid from", not_before);
        table.row("Valid until", format_args!("{not_after} ({})", length(not_before, not_after)));
        table.rows("May", self.kinds.iter().map(|usage| self.usage_in_words(*usage)));
        table.rows("Packages", with_words(&self.permitted_names, name_in_words));
        table.rows("but not", with_words(&self.excluded_names, name_in_words));
        table.rows("Hosts", with_words(&self.hosts, host_in_words));
        table.rows("Store", &self.store_directories);
        table
    }

    /// Whether it is in force.
    pub(crate) fn standing(&self, now: Instant) -> String {
        let (not_before, not_after) = self.validity;
        if now < not_before {
            format!("not yet valid, for another {}", length(now, not_before))
        } else if now >= not_after {
            format!("expired, {} ago", length(not_after, now))
        } else {
            format!("in force, for another {}", length(now, not_after))
        }
    }

    fn usage_in_words(&self, usage: Usage) -> String {
        let words = match usage {
            Usage::ImportPaths => "sign packages that hosts then import".to_owned(),
            Usage::ImportRealisations => "sign which output a content-addressed derivation has".to_owned(),
            Usage::VouchForSystems => "vouch for whole systems when they are activated".to_owned(),
            Usage::Issue => match self.path_length.unwrap_or_default() {
                0 => "certify others, with the same limits at most".to_owned(),
                1 => "certify others, with the same limits at most, and 1 further CA in between".to_owned(),
                n => format!("certify others, with the same limits at most, and {n} further CAs in between"),
            },
            Usage::Revoke => "withdraw certificates".to_owned(),
        };
        format!("{words} ({usage})")
    }
}

/// FORMAT K2: "Where kind 4 is absent, the store directory MUST be /nix/store."
fn or_nix_store(directories: Vec<String>) -> Vec<String> {
    if directories.is_empty() { vec!["/nix/store".to_owned()] } else { directories }
}

/// Patterns, and beside them what they mean.
pub(crate) fn with_words(patterns: &[String], words: fn(&str) -> String) -> impl Iterator<Item = String> {
    let width = patterns.iter().map(String::len).max().unwrap_or_default().min(40);
    patterns.iter().map(move |pattern| format!("{pattern:width$}  {}", words(pattern)).trim_end().to_owned())
}

pub(crate) fn name_in_words(pattern: &str) -> String {
    match pattern.strip_suffix('@') {
        Some(package) => format!("the package {package}, any version"),
        None if pattern == "*" => "every package".to_owned(),
        None if pattern.contains(['*', '?']) => "every name like this".to_owned(),
        None => "exactly this name".to_owned(),
    }
}

fn host_in_words(pattern: &str) -> String {
    if pattern == "*" { "every host".to_owned() } else { String::new() }
}
