//! What a closure signature says, and what can be verified of it without its store.

use super::{Content, Report, Verification, certificates_in, report};
use crate::commands::closure::statements::{self, Description};
use nixcert_core::{Anchors, ClosureName};

/// A whole closure signature, `NAME:BASE64`.
pub(super) fn closure_signature(line: &str, anchors: &Anchors) -> Report {
    let name = line.split(':').next().unwrap_or_default();
    let certificates = ClosureName::parse(name.as_bytes())
        .ok()
        .and_then(|name| certificates_in(&name.certificate_name).ok())
        .map(|(_, certificates)| certificates)
        .unwrap_or_default();
    let (statement, verification) = match statements::read(line, anchors) {
        Ok(signed) => {
            let verification = match &signed.authority {
                Some(authority) => Verification::verified(format!(
                    "verified: '{}', certified by {authority}, signed this statement; whether it counts, a host says \
                     (nixcert check-closure)",
                    signed.label
                )),
                None => Verification::read_only(
                    "read only: the key in the certificate signed this statement; --trusted-ca-keys verifies whose it is",
                ),
            };
            (Some(Box::new(signed.describe(None))), verification)
        }
        Err(problem) => (None, Verification::refused(None, format!("refused: {problem}"))),
    };
    report(Content::ClosureSignature { statement, certificates }, verification)
}

/// The rows of a statement.
pub(super) fn rows(table: &mut crate::output::Table, statement: &Description) {
    let Description { path, paths, digest, hosts, signed, not_after, .. } = statement;
    table.row("System", path);
    table.row("Closure", format_args!("{paths} paths, digest {digest}"));
    table.rows("For hosts", hosts);
    table.row("Signed at", signed);
    table.row("Counts until", not_after);
}
