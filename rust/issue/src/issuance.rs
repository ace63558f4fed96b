//! From a draft to a certificate: what a CA checks, and the order in which it signs, records and hands out.

use crate::ca::{Ca, CaKind};
use crate::draft::{Draft, DraftError, random_serial};
use crate::log::{Log, LogError, Record};
use crate::revocation::OwnListError;
use crate::secret_key::SecretKey;
use nixcert_core::limits::CHAIN_CERTIFICATES;
use nixcert_core::{
    Anchors, Certificate, CertificateName, Entries, Extent, Instant, Label, NameError, PublicKey, Reason,
    Revoked, Selector, Serial, TrustError, Usage, VerifiedChain, VerifiedList,
};

/// Whether a label may pass to another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelPolicy {
    /// A label that was issued to one key is refused to every other.
    OneKey,
    /// Someone said that the same person has a new key.
    ReplaceKey,
}

/// A CA about to issue: its log is locked.
#[derive(Debug)]
pub struct Issuance<'a> {
    ca: &'a Ca,
    log: Log,
    revoked: Entries,
}

impl<'a> Issuance<'a> {
    /// Lock the CA's log. `waiting` is called if another process has it.
    ///
    /// # Errors
    /// [`IssueError`] if the log or the CA's own revocation list cannot be read, or the CA is an intermediate without a
    /// certificate.
    pub fn begin(ca: &'a Ca, waiting: impl FnOnce()) -> Result<Self, IssueError> {
        if ca.kind() == CaKind::Intermediate && ca.chain().is_empty() {
            return Err(IssueError::NotCertified { name: ca.name().to_owned() });
        }
        let log = ca.lock(waiting)?;
        let revoked = ca.revocation_list()?.as_ref().map(VerifiedList::entries).cloned().unwrap_or_default();
        Ok(Self { ca, log, revoked })
    }

    /// What was issued before.
    pub fn records(&self) -> &[Record] {
        self.log.records()
    }

    /// What the CA's own list revokes; nothing, for an intermediate, which has none.
    pub fn revoked(&self) -> &Entries {
        &self.revoked
    }

    /// Check a draft against the format, against the CA's own certificates, and against what was issued before.
    ///
    /// # Errors
    /// [`IssueError`] names the first thing that stands against it.
    pub fn check(&self, draft: &Draft, labels: LabelPolicy) -> Result<(), IssueError> {
        draft.check(&self.ca.public())?;
        check_label(draft, self.log.records(), labels)?;
        // What a list revokes by key or label, it revokes "those to come included" (FORMAT L4).
        for selector in [Selector::Key(draft.subject), Selector::Label(draft.label.clone())] {
            if let Some(revoked) = self.revoked.get(&selector) {
                return Err(IssueError::Revoked { selector, revoked });
            }
        }
        // Whatever a list names it by: the certificate of a compromised key is compromised because of the key, and under another
        // label the signatures of whoever has it would count again (N4).
        let subject = draft.subject.to_string();
        for record in self.log.records().iter().filter(|record| record.subject == subject) {
            let serial = u64::from_str_radix(&record.serial, 16).map(Serial).map(Selector::Serial);
            for selector in serial.into_iter().chain([Selector::Label(record.label.clone())]) {
                if let Some(revoked @ Revoked { extent: Extent::Compromised { .. }, .. }) =
                    self.revoked.get(&selector)
                {
                    return Err(IssueError::CompromisedKey { selector, revoked });
                }
            }
        }
        let issuers: Vec<Certificate<'_>> = self
            .ca
            .chain()
            .iter()
            .map(|bytes| Certificate::parse(bytes))
            .collect::<Result<_, _>>()
            .map_err(DraftError::Refused)?;
        check_against_issuers(draft, &issuers)
    }

    /// Sign, append to the log, and return the line for the certificate file, in this order. The serial is drawn here.
    ///
    /// # Errors
    /// [`IssueError`]; nothing was issued then.
    pub fn sign(
        mut self,
        draft: &Draft,
        labels: LabelPolicy,
        key: &SecretKey,
        now: Instant,
    ) -> Result<String, IssueError> {
        self.sign_and_record(draft, labels, None, key, now)
    }

    /// Like [`Issuance::sign`], in place of a certificate of this CA. The log stays locked: one after another can be renewed.
    ///
    /// # Errors
    /// [`IssueError`]; this one was not issued then.
    pub fn renew(
        &mut self,
        draft: &Draft,
        renewed: &Record,
        key: &SecretKey,
        now: Instant,
    ) -> Result<String, IssueError> {
        self.sign_and_record(draft, LabelPolicy::OneKey, Some(renewed.serial.clone()), key, now)
    }

    fn sign_and_record(
        &mut self,
        draft: &Draft,
        labels: LabelPolicy,
        renews: Option<String>,
        key: &SecretKey,
        now: Instant,
    ) -> Result<String, IssueError> {
        self.check(draft, labels)?;
        let draft = Draft { serial: random_serial()?, ..draft.clone() };
        let bytes = draft.sign(key)?;
        let certificate = Certificate::parse(&bytes).map_err(DraftError::Refused)?;
        let chain: Vec<&[u8]> =
            std::iter::once(bytes.as_slice()).chain(self.ca.chain().iter().map(Vec::as_slice)).collect();
        let name = CertificateName::format(certificate.label, &chain);
        CertificateName::parse(name.as_bytes())?;
        if !certificate.usages.contains(Usage::Issue) {
            verify_leaf(bytes.clone(), self.ca.chain()).map_err(IssueError::Refused)?;
        }
        self.log.append(Record { renews, ..Record::new(now, &certificate, &name) })?;
        Ok(name)
    }
}

/// "one person, one label: the CA refuses to reuse somebody's" — votes are counted by label, and logs name it.
fn check_label(draft: &Draft, records: &[Record], policy: LabelPolicy) -> Result<(), IssueError> {
    let subject = draft.subject.to_string();
    // After a change of key the label is the new key's, and the old one does not get it back unasked.
    let latest = records.iter().rev().find(|record| record.label == draft.label);
    match (latest.filter(|record| record.subject != subject), policy) {
        (None, _) | (Some(_), LabelPolicy::ReplaceKey) => Ok(()),
        (Some(record), LabelPolicy::OneKey) => Err(IssueError::LabelTaken(Box::new(record.clone()))),
    }
}

/// What no host would accept is not issued, though every single certificate were in order.
fn check_against_issuers(draft: &Draft, issuers: &[Certificate<'_>]) -> Result<(), IssueError> {
    let issues = draft.usages.contains(Usage::Issue);
    // D3: every certificate of a chain needs the usage, so one that can only issue lets its leaves do nothing.
    if issues && draft.usages.iter().count() == 1 {
        return Err(IssueError::IssuesForNothing);
    }
    // V2: "The subject keys and the CA's key MUST be pairwise different."
    let repeated = |key: &PublicKey| *key == draft.subject;
    if issuers.iter().any(|issuer| repeated(&issuer.subject) || repeated(&issuer.issuer)) {
        return Err(IssueError::RepeatedKey);
    }
    // N2, section 2: a leaf and three intermediates.
    let room = if issues { CHAIN_CERTIFICATES - 1 } else { CHAIN_CERTIFICATES };
    if issuers.len() >= room {
        return Err(IssueError::ChainFull);
    }
    for (above, issuer) in issuers.iter().enumerate() {
        let label = || issuer.label.to_string();
        if let Some(usage) = draft.usages.iter().find(|usage| !issuer.usages.contains(*usage)) {
            return Err(IssueError::IssuerLacksUsage { issuer: label(), usage });
        }
        if draft.not_after > issuer.not_after || draft.not_before < issuer.not_before {
            return Err(IssueError::OutlivesIssuer {
                issuer: label(),
                not_before: issuer.not_before,
                not_after: issuer.not_after,
            });
        }
        // V5: an intermediate counts those that stand between it and a leaf; this draft would be one more.
        let below = above + usize::from(issues) * (1 + usize::from(draft.path_length));
        if usize::from(issuer.path_length) < below {
            return Err(IssueError::PathLength { issuer: label(), allowed: issuer.path_length });
        }
    }
    Ok(())
}

/// Let the verifier judge a leaf and the certificates above it, trusting the last one's issuer.
pub(crate) fn verify_leaf(leaf: Vec<u8>, issuers: &[Vec<u8>]) -> Result<(), Reason> {
    let chain: Vec<Vec<u8>> = std::iter::once(leaf).chain(issuers.iter().cloned()).collect();
    let last = chain.last().map(Vec::as_slice).unwrap_or_default();
    let root = Certificate::parse(last)
        .map_err(|error| Reason::Certificate { position: chain.len().saturating_sub(1), error })?
        .issuer;
    let mut anchors = Anchors::default();
    anchors.add(&format!("root:{root}")).map_err(Reason::Configuration)?;
    VerifiedChain::verify(chain, &anchors).map(|_| ())
}

/// A label made of any text: lower case, one `-` for every run of other characters, at most 32 of them. `None` if nothing is
/// left.
pub fn label_from(text: &str) -> Option<String> {
    let mut label = String::new();
    for byte in text.bytes() {
        match byte.to_ascii_lowercase() {
            byte @ (b'a'..=b'z' | b'0'..=b'9') => label.push(char::from(byte)),
            _ if label.is_empty() || label.ends_with('-') => {}
            _ => label.push('-'),
        }
    }
    label.truncate(nixcert_core::limits::LABEL_BYTES);
    let label = label.trim_end_matches('-');
    Label::parse(label.as_bytes()).ok().map(|label| label.to_string())
}

/// Why a CA does not issue.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The CA's own revocation list.
    #[error(transparent)]
    OwnList(#[from] OwnListError),
    /// What the list says.
    #[error("the CA's own list revokes this {selector} ({}; {}), so a host that holds the list would refuse the certificate", .revoked.extent, .revoked.cause)]
    Revoked {
        /// Key or label.
        selector: Selector,
        /// From when, and why.
        revoked: Revoked,
    },
    /// The certificate itself.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// What the verifier says of the chain.
    #[error("the certificate would be refused: {0}")]
    Refused(Reason),
    /// The chain as a name.
    #[error("the certificate does not fit into the name of a key: {0}")]
    Name(#[from] NameError),
    /// A trust anchor.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// An intermediate at its beginning.
    #[error("the intermediate CA '{name}' has no certificate yet, so nobody would trust what it issues")]
    NotCertified {
        /// Its name.
        name: String,
    },
    /// A key of which the CA revoked another certificate as compromised.
    #[error("the CA's own list revokes another certificate of this key, by its {selector} ({}; {}): the key is not certified again", .revoked.extent, .revoked.cause)]
    CompromisedKey {
        /// Serial or label.
        selector: Selector,
        /// What the list says of it.
        revoked: Revoked,
    },
    /// Somebody else's label.
    #[error(
        "the label '{}' belongs to somebody else: on {} it was certified for the key {} (serial {})",
        .0.label, .0.time, .0.subject, .0.serial
    )]
    LabelTaken(Box<Record>),
    /// `issue` and nothing else.
    #[error("a CA that may only issue can let nobody do anything: its leaves need their usages from it too")]
    IssuesForNothing,
    /// V2.
    #[error("the request is for the key of one of the CAs above")]
    RepeatedKey,
    /// Section 2.
    #[error("a leaf and three intermediates are the most that a chain may have, and they are there")]
    ChainFull,
    /// D3.
    #[error(
        "the intermediate '{issuer}' does not have the usage '{usage}' itself, so no host would accept it"
    )]
    IssuerLacksUsage {
        /// The intermediate's label.
        issuer: String,
        /// What it lacks.
        usage: Usage,
    },
    /// D2.
    #[error("the intermediate '{issuer}' is itself valid only from {not_before} until {not_after}")]
    OutlivesIssuer {
        /// The intermediate's label.
        issuer: String,
        /// The first second of its validity.
        not_before: Instant,
        /// The first second after it.
        not_after: Instant,
    },
    /// V5.
    #[error("the intermediate '{issuer}' allows only {allowed} further intermediates below it")]
    PathLength {
        /// The intermediate's label.
        issuer: String,
        /// Its path length.
        allowed: u8,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_from_names() {
        for (text, label) in [
            ("alice", Some("alice")),
            ("Alice@Example.org-1", Some("alice-example-org-1")),
            ("  -- a__b -- ", Some("a-b")),
            ("ÄÖ", None),
            ("", None),
            (&"x".repeat(40), Some("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")),
            (&format!("{}-y", "x".repeat(31)), Some("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")),
        ] {
            assert_eq!(label_from(text).as_deref(), label, "{text:?}");
        }
    }
}
