//! What narinfos say.

use super::{Content, Report, Verification, certificates_in, report};
use crate::describe::Description;
use crate::error::{Error, Result};
use crate::narinfos::Blocks;
use crate::output::{Table, shorten};
use nixcert_core::{ClosureName, Instant, NarInfo};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Narinfo {
    path: String,
    nar_hash: String,
    nar_size: u64,
    references: Vec<String>,
    /// The `CA` field. Noted, not believed.
    content_address: Option<String>,
    signatures: Vec<NarinfoSignature>,
}

#[derive(Serialize)]
struct NarinfoSignature {
    name: String,
    /// Whether it is of a closure, and so of more than this path.
    of_closure: bool,
    certificates: Vec<Description>,
}

/// One report for each narinfo of a stream.
pub(super) fn narinfos(bytes: &[u8]) -> Result<Vec<Report>> {
    let mut reports = Vec::new();
    for block in Blocks::new(bytes) {
        let block = block?;
        let narinfo = block.parse().map_err(|problem| {
            Error::refused(format!("the narinfo at line {} cannot be read: {problem}", block.line))
        })?;
        reports.push(report(
            Content::Narinfo(summary(&narinfo)),
            Verification::read_only("read only: no signature was checked; 'nixcert verify' judges them"),
        ));
    }
    Ok(reports)
}

fn summary(narinfo: &NarInfo) -> Narinfo {
    let signatures = narinfo.signatures.iter().map(|signature| {
        let name = signature.split(':').next().unwrap_or_default();
        // Of a closure signature, who made it; the statement is not the path's.
        let closure = ClosureName::parse(name.as_bytes());
        let certificate_name = closure.as_ref().map_or(name, |closure| closure.certificate_name.as_str());
        let (name, certificates) =
            certificates_in(certificate_name).unwrap_or((shorten(name, 100), Vec::new()));
        NarinfoSignature { name, of_closure: closure.is_ok(), certificates }
    });
    Narinfo {
        path: narinfo.info.path.to_string(),
        nar_hash: narinfo.info.nar_hash.clone(),
        nar_size: narinfo.info.nar_size,
        references: narinfo.info.references.iter().map(ToString::to_string).collect(),
        content_address: narinfo.content_address.as_ref().map(|claim| shorten(claim, 200)),
        signatures: signatures.collect(),
    }
}

impl Narinfo {
    pub(super) fn rows(&self, table: &mut Table, now: Instant) {
        table.row("Path", &self.path);
        table.row("Hash", format_args!("sha256:{}", self.nar_hash));
        table.row("Size", format_args!("{} bytes", self.nar_size));
        table.row("References", self.references.len());
        if let Some(claim) = &self.content_address {
            table.row("CA", format_args!("{claim} (a claim, not checked)"));
        }
        const SHOWN: usize = 20;
        table.rows("Signed by", self.signatures.iter().take(SHOWN).map(|signature| signature.in_words(now)));
        match self.signatures.len().checked_sub(SHOWN) {
            Some(more @ 1..) => table.row("", format_args!("and {more} more")),
            Some(0) | None if self.signatures.is_empty() => table.row("Signed by", "nobody"),
            Some(0) | None => {}
        }
    }
}

impl NarinfoSignature {
    fn in_words(&self, now: Instant) -> String {
        match self.certificates.first() {
            Some(leaf) => format!(
                "{}{} (certificate {}, {})",
                leaf.label,
                if self.of_closure { ", the closure" } else { "" },
                leaf.serial.as_deref().unwrap_or_default(),
                leaf.standing(now)
            ),
            None => self.name.clone(),
        }
    }
}
