//! What a host holds of each CA and signer.

use super::PlaceArgs;
use super::describe::ListDescription;
use crate::error::{Answer, Error, Result};
use crate::output::{self, REFUSED, SCHEMA, Table, printable};
use crate::time;
use nixcert_core::{Extent, Instant, PublicKey, Revocations, Trust, VerifiedList};
use nixcert_host::Held;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

#[derive(Serialize)]
struct Report {
    schema: u32,
    directory: String,
    lists: Vec<Row>,
    /// What is wrong, in words: with a list, with a CA's lists as a whole, or with the directory.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    path: String,
    /// `in-force`; `no-newer` where the CA retired the signer, `ignored` where it called it compromised; or `unusable`.
    state: &'static str,
    /// Why it is unusable.
    problem: Option<String>,
    list: Option<ListDescription>,
}

pub(super) fn show(place: &PlaceArgs, json: bool) -> Result {
    let (trust, holdings, directory) = place.load()?;
    let now = time::now()?;
    let held = holdings.read(&trust.anchors, trust.host.as_ref()).map_err(|problem| {
        Error::new(format!("nobody knows what this host holds: {problem}")).help(
            "while that is so, certificates of every CA are refused, unless the policy accepts the doubt",
        )
    })?;
    let report = report(&held, &trust, &directory, now);
    if json {
        output::json(&report)?;
    } else {
        report.show(now)?;
    }
    Ok(if report.problems.is_empty() { Answer::Yes } else { Answer::No })
}

fn report(held: &[Held], trust: &Trust, directory: &Path, now: Instant) -> Report {
    let revocations = Revocations::new(held.iter().filter_map(|held| held.list.clone().ok()));
    let mut rows: Vec<Row> = held.iter().map(|held| Row::new(held, trust, &revocations)).collect();
    rows.sort_by_key(|row| row.list.as_ref().map(ListDescription::order));
    let mut problems: Vec<String> = rows
        .iter()
        .filter_map(|row| row.problem.as_ref().map(|problem| format!("'{}': {problem}", row.path)))
        .collect();
    let authorities: BTreeSet<PublicKey> = held.iter().filter_map(|held| held.ca).collect();
    for ca in &authorities {
        problems.extend(too_old(ca, trust, &revocations, now));
    }
    Report { schema: SCHEMA, directory: directory.display().to_string(), lists: rows, problems }
}

/// FORMAT L12: "The policy may also refuse … where the one that the CA itself signed is older than a given span."
fn too_old(ca: &PublicKey, trust: &Trust, revocations: &Revocations, now: Instant) -> Option<String> {
    let name = trust.anchors.name_of(ca)?;
    let oldest = trust.policy.authorities.as_ref()?.get(name)?.lists.oldest?;
    let newest = revocations.newest_of_the_ca(ca);
    let is_old = |issued: Instant| now.seconds().saturating_sub(issued.seconds()) > oldest;
    match newest {
        Some(issued) if is_old(issued) => Some(format!(
            "the newest list that {name} itself signed is of {issued}, which the policy calls too old"
        )),
        Some(_) => None,
        None => {
            Some(format!("no list that {name} itself signed is here, and the policy asks for a fresh one"))
        }
    }
}

impl Row {
    fn new(held: &Held, trust: &Trust, revocations: &Revocations) -> Self {
        let path = held.path.display().to_string();
        match &held.list {
            Ok(list) => Self {
                path,
                state: state(list, revocations),
                problem: None,
                list: Some(ListDescription::of_verified(list, trust.anchors.name_of(list.ca()))),
            },
            Err(problem) => Self { path, state: "unusable", problem: Some(problem.clone()), list: None },
        }
    }
}

/// FORMAT L11.
fn state(list: &VerifiedList, revocations: &Revocations) -> &'static str {
    match revocations.signer_revoked(list).map(|revoked| revoked.extent) {
        None => "in-force",
        Some(Extent::Retired) => "no-newer",
        Some(Extent::Compromised { .. }) => "ignored",
    }
}

impl Report {
    fn show(&self, now: Instant) -> Result<()> {
        let mut out = anstream::stdout().lock();
        for row in &self.lists {
            let Some(list) = &row.list else { continue };
            writeln!(out, "{}", printable(&capital(&list.whose())))?;
            let mut table = Table::default();
            list.rows(&mut table, now);
            match row.state {
                "no-newer" => {
                    table.row("State", "in force; the CA retired its signer, so no newer one is accepted")
                }
                "ignored" => table.row("State", "IGNORED: the CA calls its signer compromised"),
                _ => table.row("State", "in force"),
            }
            table.row("File", &row.path);
            table.write(&mut out)?;
        }
        for problem in &self.problems {
            writeln!(out, "{REFUSED}problem:{REFUSED:#} {}", printable(problem))?;
        }
        drop(out);
        if self.lists.is_empty() {
            output::note(format_args!("no list of a trusted CA is held in '{}'", self.directory));
        }
        if self.lists.iter().any(|row| row.state == "unusable") {
            output::note(
                "while a list cannot be used, certificates of its CA are refused, unless the policy accepts the doubt; get the \
                 signer's newest list, and: nixcert revocation reset FILE",
            );
        }
        Ok(())
    }
}

/// A CA's name is never changed.
fn capital(words: &str) -> String {
    words.strip_prefix("the ").map_or_else(|| words.to_owned(), |rest| format!("The {rest}"))
}
