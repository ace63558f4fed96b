//! Renewing: which certificates of a CA's log are due, and what the next one of each says.

use crate::ca::Ca;
use crate::draft::Draft;
use crate::log::Record;
use nixcert_core::{
    Anchors, Certificate, CertificateName, Entries, Instant, List, PublicKey, Reason, Revoked, Selector,
    Serial, Usage, VerifiedChain, base64_decode,
};
use std::collections::{BTreeMap, BTreeSet};

/// Which certificates shall be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The one in force of each of these labels.
    Labels(Vec<String>),
    /// Those with these serial numbers.
    Serials(Vec<String>),
    /// All in force that end by then.
    EndingBy(Instant),
}

/// What is to be done, in the order of the log.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One for each certificate that was chosen.
    pub steps: Vec<Step>,
}

/// What is to be done about one certificate.
#[derive(Clone, Debug)]
pub enum Step {
    /// It is due.
    Renew(Current),
    /// It was renewed already, by `successor`, which can be handed out once more.
    HandOut {
        /// The later certificate.
        successor: Record,
    },
    /// It is left as it is.
    Leave {
        /// The certificate.
        record: Record,
        /// Why.
        why: Left,
    },
}

/// A certificate in the log, read from its own bytes, which this CA signed.
#[derive(Clone, Debug)]
pub struct Current {
    /// What the log says.
    pub record: Record,
    /// What the certificate says: key, label, usages, and limits of the next one are these. Its validity is the old one.
    pub terms: Draft,
}

/// Why a certificate is not renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// More than half of its time is left.
    Fresh,
    /// It has expired. Whoever left is not renewed along with all others.
    Expired,
    /// The key has a later certificate with other limits.
    Later(Box<Record>),
    /// The CA's own list revokes it: what is signed in its place would be refused, or undo that.
    Revoked {
        /// By what.
        selector: Selector,
        /// From when, and why.
        revoked: Revoked,
    },
}

impl Plan {
    /// Decide what is due. With `anyway`, so is what has more than half of its time left, or a successor; what the CA's own
    /// list revokes never is.
    ///
    /// # Errors
    /// [`RenewalError`] if what was named is not there, or may never be renewed.
    pub fn new(
        ca: &Ca,
        records: &[Record],
        revoked: &Entries,
        choice: &Choice,
        now: Instant,
        anyway: bool,
    ) -> Result<Self, RenewalError> {
        let planner = Planner { ca, records, revoked, now, anyway };
        let steps = match choice {
            Choice::Labels(labels) => {
                once(labels).map(|label| planner.label(label)).collect::<Result<_, _>>()?
            }
            Choice::Serials(serials) => {
                once(serials).map(|serial| planner.serial(serial)).collect::<Result<_, _>>()?
            }
            Choice::EndingBy(end) => planner.ending_by(*end)?,
        };
        Ok(Self { steps })
    }
}

/// What was named twice is done once.
fn once(named: &[String]) -> impl Iterator<Item = &String> {
    let mut seen = BTreeSet::new();
    named.iter().filter(move |name| seen.insert(*name))
}

struct Planner<'a> {
    ca: &'a Ca,
    records: &'a [Record],
    revoked: &'a Entries,
    now: Instant,
    anyway: bool,
}

impl<'a> Planner<'a> {
    /// The latest certificate of a label: the one whose key has the label now.
    fn latest(&self, label: &str) -> Option<&'a Record> {
        self.records.iter().rev().find(|record| record.label == label)
    }

    /// The latest certificate of the key that has the label now which is not revoked: the one whose limits hold. (A
    /// certificate that was a mistake is revoked by its serial, and then the one before it holds again.)
    fn latest_in_force(&self, label: &str) -> Option<&'a Record> {
        let subject = &self.latest(label)?.subject;
        let of_the_key = |record: &&Record| record.label == label && record.subject == *subject;
        self.records.iter().rev().filter(of_the_key).find(|record| revoked_by(self.revoked, record).is_none())
    }

    fn label(&self, label: &str) -> Result<Step, RenewalError> {
        let record =
            self.latest(label).ok_or_else(|| RenewalError::UnknownLabel { label: label.to_owned() })?;
        self.named(self.latest_in_force(label).unwrap_or(record))
    }

    fn serial(&self, serial: &str) -> Result<Step, RenewalError> {
        let record = self
            .records
            .iter()
            .find(|record| record.serial == serial)
            .ok_or_else(|| RenewalError::UnknownSerial { serial: serial.to_owned() })?;
        let latest = self.latest(&record.label).unwrap_or(record);
        if latest.subject != record.subject {
            return Err(RenewalError::KeyReplaced {
                record: Box::new(record.clone()),
                by: Box::new(latest.clone()),
            });
        }
        let latest = self.latest_in_force(&record.label).unwrap_or(record);
        if latest.serial == record.serial || self.anyway || revoked_by(self.revoked, record).is_some() {
            return self.named(record);
        }
        let current = self.read(latest)?;
        if self.renews(latest, record) && self.is_fresh(&current) {
            return Ok(Step::HandOut { successor: latest.clone() });
        }
        Ok(Step::Leave { record: record.clone(), why: Left::Later(Box::new(latest.clone())) })
    }

    /// Somebody named it: it is renewed even if it has expired.
    fn named(&self, record: &Record) -> Result<Step, RenewalError> {
        if let Some((selector, revoked)) = revoked_by(self.revoked, record) {
            return Ok(Step::Leave { record: record.clone(), why: Left::Revoked { selector, revoked } });
        }
        let current = self.read(record)?;
        if self.anyway || !self.is_fresh(&current) {
            return Ok(Step::Renew(current));
        }
        Ok(match record.renews {
            Some(_) => Step::HandOut { successor: record.clone() },
            None => Step::Leave { record: record.clone(), why: Left::Fresh },
        })
    }

    fn ending_by(&self, end: Instant) -> Result<Vec<Step>, RenewalError> {
        let mut steps = Vec::new();
        let window = end.seconds().saturating_sub(self.now.seconds());
        let latest: BTreeMap<&str, &Record> =
            self.records.iter().map(|record| (record.label.as_str(), record)).collect();
        for record in self.records {
            let Some(&last) = latest.get(record.label.as_str()) else { continue };
            // The key that had the label before is nobody's any more.
            if last.subject != record.subject {
                continue;
            }
            let current = self.read(record)?;
            let ends = current.terms.not_after;
            if let Some((selector, revoked)) = revoked_by(self.revoked, record) {
                if self.now < ends && ends <= end {
                    let why = Left::Revoked { selector, revoked };
                    steps.push(Step::Leave { record: record.clone(), why });
                }
                continue;
            }
            let last = self.latest_in_force(&record.label).unwrap_or(last);
            if last.serial != record.serial {
                // Its successor is looked at by itself; one with other limits is not silently taken for one.
                let in_force = self.now < ends && ends <= end;
                let last_terms = self.read(last)?.terms;
                if in_force && !same_terms(&current.terms, &last_terms) {
                    let why = Left::Later(Box::new(last.clone()));
                    steps.push(Step::Leave { record: record.clone(), why });
                } else if in_force && last_terms.not_after <= self.now {
                    steps.push(Step::Renew(current));
                }
                continue;
            }
            let renewed = record.renews.as_ref().and_then(|serial| {
                self.records.iter().find(|earlier| earlier.serial == *serial && earlier.label == record.label)
            });
            let renewed_ends = renewed.map(|earlier| self.read(earlier)).transpose()?;
            let due_before = renewed_ends.is_some_and(|earlier| earlier.terms.not_after <= end);
            let fresh = !self.anyway && self.is_fresh(&current);
            if fresh && due_before {
                steps.push(Step::HandOut { successor: record.clone() });
            } else if ends > end || ends.seconds().saturating_add(window) <= self.now.seconds() {
                // It ends later, or ended long ago.
            } else if ends <= self.now {
                steps.push(Step::Leave { record: record.clone(), why: Left::Expired });
            } else if fresh {
                steps.push(Step::Leave { record: record.clone(), why: Left::Fresh });
            } else {
                steps.push(Step::Renew(current));
            }
        }
        Ok(steps)
    }

    /// Whether `later` was issued in the place of `earlier`, or in the place of one that was.
    fn renews(&self, later: &Record, earlier: &Record) -> bool {
        let mut serial = later.renews.as_ref();
        // A certificate renews one that stands before it, so this ends.
        for record in self.records.iter().rev() {
            match serial {
                Some(renewed) if *renewed == earlier.serial => return true,
                Some(renewed) if *renewed == record.serial => serial = record.renews.as_ref(),
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    /// More than half of its time is left: it is too early, or it was renewed a moment ago.
    fn is_fresh(&self, current: &Current) -> bool {
        let Draft { not_before, not_after, .. } = current.terms;
        let left = not_after.seconds().saturating_sub(self.now.seconds());
        let whole = not_after.seconds().saturating_sub(not_before.seconds());
        left.saturating_mul(2) > whole
    }

    /// The certificate itself, not what the log says of it; and only if this CA signed it, so that nobody who can write to
    /// the log has something signed that never was.
    fn read(&self, record: &Record) -> Result<Current, RenewalError> {
        let fault = |problem: String| RenewalError::Record { serial: record.serial.clone(), problem };
        let name = CertificateName::parse(record.certificate.as_bytes())
            .map_err(|error| fault(error.to_string()))?;
        let bytes = name.certificates().first().cloned().unwrap_or_default();
        let certificate = Certificate::parse(&bytes).map_err(|error| fault(error.to_string()))?;
        if certificate.issuer != self.ca.public() {
            return Err(fault("its certificate was issued by another CA".to_owned()));
        }
        verify_own(bytes.clone(), &certificate, &self.ca.public())
            .map_err(|reason| fault(reason.to_string()))?;
        let said =
            (certificate.serial.to_string(), certificate.label.as_str(), certificate.subject.to_string());
        if said != (record.serial.clone(), record.label.as_str(), record.subject.clone()) {
            return Err(fault("serial, label or key are not those of its certificate".to_owned()));
        }
        Ok(Current { record: record.clone(), terms: terms(&certificate) })
    }
}

/// What a list says of a certificate in the log: by key, by label, or by serial.
pub fn revoked_by(list: &Entries, record: &Record) -> Option<(Selector, Revoked)> {
    selectors_of(record)
        .into_iter()
        .find_map(|selector| list.get(&selector).map(|revoked| (selector, revoked)))
}

/// All that an entry could revoke a certificate in the log by. What cannot be read is left out: reading the certificate
/// itself says so.
pub fn selectors_of(record: &Record) -> Vec<Selector> {
    let key = base64_decode(record.subject.as_bytes()).and_then(|bytes| bytes.try_into().ok());
    let key = key.map(|key| Selector::Key(PublicKey(key)));
    let serial = u64::from_str_radix(&record.serial, 16).ok().map(|serial| Selector::Serial(Serial(serial)));
    let label = Some(Selector::Label(record.label.clone()));
    [key, label, serial].into_iter().flatten().collect()
}

/// Whether this CA's key signed a certificate.
fn verify_own(bytes: Vec<u8>, certificate: &Certificate<'_>, ca: &PublicKey) -> Result<(), Reason> {
    let mut anchors = Anchors::default();
    anchors.add(&format!("ca:{ca}")).map_err(Reason::Configuration)?;
    if certificate.usages.contains(Usage::Issue) {
        VerifiedChain::verify_issuers(&[bytes], &anchors).map(|_| ())
    } else {
        VerifiedChain::verify(vec![bytes], &anchors).map(|_| ())
    }
}

fn terms(certificate: &Certificate<'_>) -> Draft {
    let list = |list: List<'_>| list.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect();
    Draft {
        serial: certificate.serial,
        label: certificate.label.to_string(),
        subject: certificate.subject,
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        usages: certificate.usages,
        path_length: certificate.path_length,
        permitted_names: list(certificate.permitted_names),
        excluded_names: list(certificate.excluded_names),
        hosts: list(certificate.hosts),
        store_directories: list(certificate.store_directories),
    }
}

/// Whether two certificates differ in serial and validity only.
fn same_terms(one: &Draft, other: &Draft) -> bool {
    let Draft { serial, not_before, not_after, .. } = *one;
    *one == Draft { serial, not_before, not_after, ..other.clone() }
}

/// Why something cannot be renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// No such label.
    #[error("nothing was ever issued to '{label}'")]
    UnknownLabel {
        /// What was named.
        label: String,
    },
    /// No such serial number.
    #[error("no certificate with the serial '{serial}' was issued")]
    UnknownSerial {
        /// What was named.
        serial: String,
    },
    /// A key that was given up.
    #[error(
        "serial {} is for a key that '{}' has given up: since {} the label belongs to the key {} (serial {})",
        .record.serial, .record.label, .by.time, .by.subject, .by.serial
    )]
    KeyReplaced {
        /// What was named.
        record: Box<Record>,
        /// The certificate of the key that has the label now.
        by: Box<Record>,
    },
    /// A record that this CA did not make.
    #[error("the log's record of serial {serial} is not one of this CA: {problem}")]
    Record {
        /// Which.
        serial: String,
        /// What is wrong.
        problem: String,
    },
}
