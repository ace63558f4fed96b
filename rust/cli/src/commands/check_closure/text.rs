//! A verdict for people.

use crate::error::Result;
use crate::output::{ACCEPTED, HELP, REFUSED, printable};
use nixcert_core::{Basis, ClosureSignature, GateRefusal, Instant};
use nixcert_gate::{LeftOver, ReasonText, Refusal, Verdict};
use std::io::{self, Write};
use std::path::Path;

/// How many paths are told of where not all is asked for.
const TOLD: usize = 20;

/// Why a path is left over, in its line.
const REASONS: usize = 4;

/// The verdict, on standard output. `policy` is the file that it is by.
pub(crate) fn write(verdict: &Verdict, policy: Option<&Path>, explain: bool) -> Result<()> {
    Ok(write_to(&mut anstream::stdout().lock(), verdict, policy, explain)?)
}

/// The verdict, in colours.
pub(crate) fn write_to(
    out: &mut impl Write,
    verdict: &Verdict,
    policy: Option<&Path>,
    explain: bool,
) -> io::Result<()> {
    let path = &verdict.path;
    match verdict.refusals() {
        [] => writeln!(out, "{path}: {ACCEPTED}accepted{ACCEPTED:#} ({})", printable(&grounds(verdict)))?,
        [main, others @ ..] => {
            let code = main.code();
            writeln!(
                out,
                "{path}: {REFUSED}refused{REFUSED:#} ({code}): {}",
                printable(&sentence(main, policy))
            )?;
            for other in others {
                writeln!(out, "  also ({}): {}", other.code(), printable(&sentence(other, policy)))?;
            }
            writeln!(out, "  {HELP}help:{HELP:#} {}", main.advice())?;
        }
    }
    if explain || verdict.outcome.is_err() {
        for signature in &verdict.closure_signatures {
            writeln!(out, "  {}", printable(&closure_signature(signature)))?;
        }
    }
    let told = if explain { usize::MAX } else { TOLD };
    for left_over in verdict.left_over.iter().take(told) {
        if explain {
            write!(out, "{}", printable(&whole(left_over)))?;
        } else {
            writeln!(out, "  {}", printable(&line(left_over)))?;
        }
    }
    let left_over = usize::try_from(verdict.tally.left_over()).unwrap_or(usize::MAX);
    if let Some(more @ 1..) = left_over.checked_sub(verdict.left_over.len().min(told)) {
        writeln!(out, "  and {more} more")?;
    }
    for differs in verdict.differing.iter().take(told) {
        writeln!(out, "  {}: contents-differ: {}", differs.path, printable(&differs.problem))?;
    }
    Ok(())
}

/// One line of what it rests on.
pub(crate) fn grounds(verdict: &Verdict) -> String {
    let count = |basis: Basis| {
        let words = match basis {
            Basis::ContentAddressed => "content-addressed",
            Basis::Vendor => "by vendors",
            Basis::ClosureSignature => "by closure signatures",
            Basis::Signatures => "by their own signatures",
            Basis::Earlier => "as activated before",
        };
        Some(verdict.tally.with(basis)).filter(|count| *count > 0).map(|count| format!("{count} {words}"))
    };
    let counts: Vec<String> = Basis::ALL.into_iter().filter_map(count).collect();
    let again = match &verdict.outcome {
        Ok(leave) if leave.is_again() => "; activated before",
        Ok(_) | Err(_) => "",
    };
    let signers = match verdict.signers().as_slice() {
        [] => String::new(),
        signers => format!("; signed by {}", signers.join(", ")),
    };
    let read = if verdict.verified_contents { "; contents read" } else { "" };
    format!("{} paths: {}{signers}{again}{read}", verdict.paths, counts.join(", "))
}

/// A refusal in words; whose policy it is, where that is what it is about.
pub(crate) fn sentence(refusal: &Refusal, policy: Option<&Path>) -> String {
    if !matches!(refusal, Refusal::Gate(GateRefusal::NoActivationPolicy)) {
        return refusal.to_string();
    }
    match policy {
        Some(policy) => format!("{refusal} (ca-policy-file is '{}')", policy.display()),
        None => format!("{refusal} (nix.conf sets no ca-policy-file)"),
    }
}

fn closure_signature(signature: &ClosureSignature) -> String {
    let about = signature.statement.as_ref().map_or(String::new(), |statement| {
        let hosts: Vec<&str> = statement.hosts.iter().map(String::as_str).collect();
        let (signed, not_after) = (statement.signed, statement.not_after);
        format!(" of {signed}, until {not_after}, for {}", hosts.join(" "))
    });
    match &signature.outcome {
        Ok(voucher) if signature.covers => format!("closure signature by {}{about}", voucher.label()),
        Ok(voucher) => format!(
            "closure signature by {}{about}: of a closure in which something is not as it is here",
            voucher.label()
        ),
        Err(reason) => {
            format!(
                "closure signature '{}'{about} does not count ({}): {reason}",
                signature.name,
                reason.code()
            )
        }
    }
}

/// A path that is left over, in a line.
fn line(left_over: &LeftOver) -> String {
    let reasons: Vec<String> = left_over.reasons().iter().take(REASONS).map(reason).collect();
    let mut line = format!("{}: {}", left_over.path, reasons.join("; "));
    if let Some(brought) = brought(left_over) {
        line += &format!("; {brought}");
    }
    line
}

fn reason(reason: &ReasonText) -> String {
    format!("{} ({})", reason.message, reason.code)
}

/// How it came here.
fn brought(left_over: &LeftOver) -> Option<String> {
    let known = Instant::from_seconds(left_over.registered).ok().filter(|_| left_over.registered > 0);
    let at = known.map(|at| format!(" on {at}")).unwrap_or_default();
    let people: Vec<String> = left_over
        .imported_by
        .iter()
        .map(|person| match (&person.authority, &person.serial) {
            (Some(authority), Some(serial)) => {
                format!("{} (certificate {serial}, CA {authority})", person.label)
            }
            (Some(_) | None, _) => format!("the key {}", person.label),
        })
        .collect();
    match (people.as_slice(), left_over.ultimate) {
        ([], true) => Some(format!("it was built here{at}")),
        ([], false) => known.map(|at| format!("it came here on {at}")),
        (people, true) => {
            Some(format!("it was built here{at}, and these contents are signed by {}", people.join(", ")))
        }
        (people, false) => {
            Some(format!("it came here{at}, and what let it in are signatures by {}", people.join(", ")))
        }
    }
}

/// All that there is to say of one.
fn whole(left_over: &LeftOver) -> String {
    let mut lines = vec![format!("  {}", left_over.path)];
    let mut add = |text: String| lines.push(format!("    {text}"));
    add(reason(&ReasonText { code: left_over.reason, message: left_over.message.clone() }));
    for signature in &left_over.signatures {
        let who = signature.label.as_deref().unwrap_or(&signature.name);
        match (&signature.code, &signature.message) {
            (Some("bad-signature"), Some(message)) => add(format!(
                "signature of {who}: these are not the contents that {who} signed, or it is no signature: {message}"
            )),
            (Some(code), Some(message)) => add(format!("signature of {who}: {code}: {message}")),
            (Some(_) | None, _) => add(format!("signature of {who}: counts, and is not enough")),
        }
    }
    if left_over.more_signatures > 0 {
        add(format!("and {} more signatures", left_over.more_signatures));
    }
    let told = [
        ("closure signature", left_over.covering.as_slice()),
        ("votes", left_over.missing_votes.as_slice()),
        ("earlier activation", left_over.earlier.as_slice()),
    ];
    for (what, reasons) in told {
        for reason in reasons {
            add(format!("{what}: {}: {}", reason.code, reason.message));
        }
    }
    if let Some(problem) = &left_over.content_address {
        add(format!("content address: {problem}"));
    }
    if let Some(was) = &left_over.was {
        let at = Instant::from_seconds(was.activated).map(|at| at.to_string()).unwrap_or_default();
        let by = was.vouched_for_by.join(", ");
        add(format!("it had other contents when it was activated at {at}; {by} vouched for those"));
    }
    if let Some(brought) = brought(left_over) {
        add(brought);
    }
    if let Some(deriver) = &left_over.deriver {
        add(format!("it is said to be built from {deriver}"));
    }
    lines.join("\n") + "\n"
}
