//! Keys, certificates and lists of a small world with a fixed clock.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use nixcert_core::{
    Anchors, Cause, Extent, HostName, Instant, PublicKey, Revoked, Selector, Serial, Trust, Usage,
};
use nixcert_issue::{Draft, ListDraft, SecretKey};

/// 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000;
pub const HOUR: u64 = 3_600;
pub const DAY: u64 = 24 * HOUR;

pub fn at(seconds: u64) -> Instant {
    Instant::from_seconds(seconds).unwrap()
}

pub fn ca() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

pub fn other_ca() -> SecretKey {
    SecretKey::from_seed(&[2; 32])
}

/// The delegate.
pub fn dora() -> SecretKey {
    SecretKey::from_seed(&[3; 32])
}

/// An intermediate CA.
pub fn team() -> SecretKey {
    SecretKey::from_seed(&[4; 32])
}

pub fn alice() -> SecretKey {
    SecretKey::from_seed(&[5; 32])
}

/// Both CAs are trusted.
pub fn trust() -> Trust {
    let mut anchors = Anchors::default();
    anchors.add(&format!("acme:{}", ca().public())).unwrap();
    anchors.add(&format!("other:{}", other_ca().public())).unwrap();
    Trust { anchors, host: Some(HostName::parse("web-1").unwrap()), ..Trust::default() }
}

/// A certificate that is valid from ten days before [`NOW`] until ten days after it.
pub struct Terms<'a> {
    pub label: &'a str,
    pub serial: u64,
    pub usages: &'a [Usage],
    pub hosts: &'a str,
    pub not_after: u64,
}

impl Default for Terms<'_> {
    fn default() -> Self {
        Self { label: "dora", serial: 7, usages: &[Usage::Revoke], hosts: "*", not_after: NOW + 10 * DAY }
    }
}

pub fn certificate(subject: &SecretKey, issuer: &SecretKey, terms: &Terms<'_>) -> Vec<u8> {
    let draft = Draft {
        serial: Serial(terms.serial),
        label: terms.label.to_owned(),
        subject: subject.public(),
        not_before: at(NOW - 10 * DAY),
        not_after: at(terms.not_after),
        usages: terms.usages.iter().copied().collect(),
        path_length: 0,
        permitted_names: ["*".to_owned()].into(),
        excluded_names: Default::default(),
        hosts: [terms.hosts.to_owned()].into(),
        store_directories: Default::default(),
    };
    draft.sign(issuer).unwrap()
}

/// Dora's chain: the CA certified her.
pub fn doras() -> Vec<Vec<u8>> {
    vec![certificate(&dora(), &ca(), &Terms::default())]
}

/// Dora's chain below the team's intermediate.
pub fn doras_below_the_team() -> Vec<Vec<u8>> {
    let team_terms =
        Terms { label: "team", serial: 8, usages: &[Usage::Issue, Usage::Revoke], ..Terms::default() };
    vec![certificate(&dora(), &team(), &Terms::default()), certificate(&team(), &ca(), &team_terms)]
}

pub fn retired() -> Revoked {
    Revoked { extent: Extent::Retired, cause: Cause::Unspecified }
}

pub fn compromised(since: u64) -> Revoked {
    Revoked { extent: Extent::Compromised { since: at(since) }, cause: Cause::KeyCompromise }
}

pub fn label(name: &str) -> Selector {
    Selector::Label(name.to_owned())
}

pub fn key(key: &SecretKey) -> Selector {
    Selector::Key(key.public())
}

pub type Entry = (Selector, Revoked);

fn list(
    of: PublicKey,
    certificates: Vec<Vec<u8>>,
    signer: &SecretKey,
    issued: u64,
    entries: &[Entry],
) -> Vec<u8> {
    let entries = entries.iter().cloned().collect();
    ListDraft { ca: of, certificates, issued: at(issued), entries }.sign(signer).unwrap()
}

/// A list that the CA itself signed.
pub fn by_ca(issued: u64, entries: &[Entry]) -> Vec<u8> {
    list(ca().public(), vec![], &ca(), issued, entries)
}

/// One of the other CA.
pub fn by_other_ca(issued: u64, entries: &[Entry]) -> Vec<u8> {
    list(other_ca().public(), vec![], &other_ca(), issued, entries)
}

/// A list that Dora signed, with these certificates of hers.
pub fn by_dora_with(chain: Vec<Vec<u8>>, issued: u64, entries: &[Entry]) -> Vec<u8> {
    list(ca().public(), chain, &dora(), issued, entries)
}

/// A list that Dora signed.
pub fn by_dora(issued: u64, entries: &[Entry]) -> Vec<u8> {
    by_dora_with(doras(), issued, entries)
}
