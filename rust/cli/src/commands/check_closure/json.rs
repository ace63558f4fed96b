//! A verdict for programs.

use crate::output::SCHEMA;
use nixcert_core::{Basis, ClosureSignature, Instant};
use nixcert_gate::{LeftOver, Verdict};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(super) struct Report<'a> {
    schema: u32,
    path: &'a str,
    accepted: bool,
    /// The code of the main refusal; null when accepted.
    reason: Option<&'static str>,
    message: Option<String>,
    advice: Option<&'static str>,
    refusals: Vec<Refusal>,
    /// How many paths the closure has; 0 if that is not known.
    paths: usize,
    /// How many rest on what.
    by: BTreeMap<&'static str, u32>,
    signers: Vec<&'a str>,
    closure_signatures: Vec<Statement<'a>>,
    left_over: Vec<Left<'a>>,
    left_over_count: u32,
    /// Paths whose contents are not what the store's database says.
    contents_differ: Vec<Differs<'a>>,
    verified_contents: bool,
}

#[derive(Serialize)]
struct Refusal {
    code: &'static str,
    message: String,
}

#[derive(Serialize)]
struct Differs<'a> {
    path: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Left<'a> {
    #[serde(flatten)]
    left_over: &'a LeftOver,
    /// The same as `registered`, which is in seconds since the epoch, for people; null if that is not known.
    registered_at: Option<String>,
}

#[derive(Serialize)]
struct Statement<'a> {
    name: &'a str,
    /// Who signed; null where it does not count.
    label: Option<&'a str>,
    /// The reason code; null where it counts.
    code: Option<&'static str>,
    message: Option<String>,
    signed: Option<String>,
    not_after: Option<String>,
    hosts: Option<Vec<&'a str>>,
    /// Whether it is about the closure as it is in this store.
    covers: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(verdict: &'a Verdict) -> Self {
        let refusals = verdict.refusals();
        let main = refusals.first();
        let by = Basis::ALL.map(|basis| (basis.name(), verdict.tally.with(basis)));
        Self {
            schema: SCHEMA,
            path: verdict.path.as_str(),
            accepted: verdict.outcome.is_ok(),
            reason: main.map(nixcert_gate::Refusal::code),
            message: main.map(ToString::to_string),
            advice: main.map(nixcert_gate::Refusal::advice),
            refusals: refusals
                .iter()
                .map(|refusal| Refusal { code: refusal.code(), message: refusal.to_string() })
                .collect(),
            paths: verdict.paths,
            by: by.into_iter().filter(|(_, count)| *count > 0).collect(),
            signers: verdict.signers(),
            closure_signatures: verdict.closure_signatures.iter().map(Statement::new).collect(),
            left_over: verdict.left_over.iter().map(Left::new).collect(),
            left_over_count: verdict.tally.left_over(),
            contents_differ: verdict
                .differing
                .iter()
                .map(|differs| Differs { path: differs.path.as_str(), message: &differs.problem })
                .collect(),
            verified_contents: verdict.verified_contents,
        }
    }
}

impl<'a> Left<'a> {
    fn new(left_over: &'a LeftOver) -> Self {
        let known = Instant::from_seconds(left_over.registered).ok().filter(|_| left_over.registered > 0);
        Self { left_over, registered_at: known.map(|at| at.to_string()) }
    }
}

impl<'a> Statement<'a> {
    fn new(signature: &'a ClosureSignature) -> Self {
        let statement = signature.statement.as_ref();
        let refused = signature.outcome.as_ref().err();
        Self {
            name: &signature.name,
            label: signature.outcome.as_ref().ok().map(nixcert_core::Voucher::label),
            code: refused.map(nixcert_core::ClosureReason::code),
            message: refused.map(ToString::to_string),
            signed: statement.map(|statement| statement.signed.to_string()),
            not_after: statement.map(|statement| statement.not_after.to_string()),
            hosts: statement.map(|statement| statement.hosts.iter().map(String::as_str).collect()),
            covers: signature.covers,
        }
    }
}
