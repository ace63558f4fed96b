//! Whom a selector hits, by the CA's log.

use crate::output::{self, printable};
use crate::time::Time;
use nixcert_core::{Instant, Selector, Usage};
use nixcert_issue::{NextList, Record, selectors_of};
use std::collections::BTreeSet;
use std::io::{self, Write};

/// So many certificates are shown one by one.
const SHOWN: usize = 12;

/// The certificates that a selector hits, newest first.
pub(super) struct Hits<'a>(Vec<&'a Record>);

impl<'a> Hits<'a> {
    pub(super) fn of(selector: &Selector, records: &'a [Record]) -> Self {
        Self(records.iter().rev().filter(|record| selectors_of(record).contains(selector)).collect())
    }

    pub(super) fn write(&self, mut to: impl Write, now: Instant) -> io::Result<()> {
        for record in self.0.iter().take(SHOWN) {
            let standing = match Standing::of(record, now) {
                Standing::ToCome => format!("valid from {} until {}", record.not_before, record.not_after),
                Standing::InForce => format!("valid until {}", record.not_after),
                Standing::Ended => format!("ended {}", record.not_after),
            };
            let kind = if issues(record) { ", an intermediate CA" } else { "" };
            let line = format!("{}, serial {}, {standing}{kind}", record.label, record.serial);
            writeln!(to, "      {}", printable(&line))?;
        }
        let in_force = self.0.iter().filter(|record| Standing::of(record, now) != Standing::Ended).count();
        match (self.0.len(), in_force) {
            (0, _) => writeln!(to, "      nothing in the CA's log"),
            (1, _) => Ok(()),
            (all, in_force) => writeln!(to, "      {all} certificates, {in_force} of them in force"),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    ToCome,
    InForce,
    Ended,
}

impl Standing {
    /// What cannot be read counts as in force.
    fn of(record: &Record, now: Instant) -> Self {
        let time = |text: &str| text.parse::<Time>().ok().and_then(|time| time.resolve(now).ok());
        match (time(&record.not_before), time(&record.not_after)) {
            (_, Some(end)) if end <= now => Self::Ended,
            (Some(begin), _) if begin > now => Self::ToCome,
            _ => Self::InForce,
        }
    }
}

fn issues(record: &Record) -> bool {
    record.usages.iter().any(|usage| usage == Usage::Issue.name())
}

/// What a person should know before they sign.
pub(super) fn remarks(next: &NextList, records: &[Record], now: Instant) {
    let in_force = |record: &&&Record| Standing::of(record, now) != Standing::Ended;
    let revoked =
        |record: &Record| selectors_of(record).iter().any(|one| next.draft.entries.contains_key(one));
    for (selector, _) in &next.new {
        let Hits(hits) = Hits::of(selector, records);
        if hits.is_empty() {
            output::warn(format_args!(
                "{selector} is in no certificate in the CA's log: is it right? (what an intermediate CA issued is in that one's \
                 log)"
            ));
            continue;
        }
        if !hits.iter().any(|record| in_force(&record)) {
            output::note(format_args!("every certificate with {selector} has ended by itself already"));
        }
        match selector {
            Selector::Key(_) => {
                if hits.iter().any(|record| issues(record)) {
                    output::note(format_args!(
                        "with {selector}, an intermediate CA's, all that it issued counts no more; its own log says what that is"
                    ));
                }
                let labels: BTreeSet<&str> = hits.iter().map(|record| record.label.as_str()).collect();
                for label in labels {
                    let other =
                        records.iter().rev().filter(|record| record.label == label && !revoked(record));
                    if let Some(other) = other.clone().find(|record| in_force(&record)) {
                        output::note(format_args!(
                            "'{label}' has another key too, which stays good: serial {}, valid until {}",
                            other.serial, other.not_after
                        ));
                    }
                }
            }
            Selector::Serial(_) | Selector::Label(_) => {
                // FORMAT L4: "An intermediate may put any serial and any label on what it issues"; N4.
                if let Some(record) = hits.iter().find(|record| issues(record)) {
                    output::warn(format_args!(
                        "'{}' is an intermediate CA: another certificate of its key is not hit by {selector}; to be sure, \
                         withdraw its key: --intermediate {}",
                        record.label, record.label
                    ));
                }
                // N4: "a key must be given up with all its certificates"
                let keys: BTreeSet<&str> = hits.iter().map(|record| record.subject.as_str()).collect();
                let others: Vec<&Record> = records
                    .iter()
                    .filter(|record| keys.contains(record.subject.as_str()) && !revoked(record))
                    .filter(|record| in_force(&record))
                    .collect();
                if let [first, ..] = others.as_slice() {
                    output::warn(format_args!(
                        "{selector} leaves {} of the same key in force (serial {}, '{}'), and whoever has a signature may put \
                         that in front of it; --key {} withdraws them all",
                        match others.len() {
                            1 => "another certificate".to_owned(),
                            n => format!("{n} other certificates"),
                        },
                        first.serial,
                        first.label,
                        first.subject
                    ));
                }
            }
        }
        if let Selector::Label(label) = selector {
            output::note(format_args!(
                "the label '{label}' is used up: whoever comes next needs another one"
            ));
        }
    }
}
