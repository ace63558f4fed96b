//! The closure signatures on a path, read.

use super::held::Held;
use crate::output::{Table, shorten};
use crate::time::length;
use nixcert_core::{
    Anchors, Certificate, CertificateName, ClosureDigest, ClosureName, Instant, PublicKey, Statement, Usage,
    VerifiedChain, base64_decode, is_of_a_closure,
};
use serde::Serialize;

/// A closure signature that is truly its signer's.
pub(crate) struct Signed {
    pub(crate) statement: Statement,
    /// The statement, as it was signed.
    pub(crate) bytes: Vec<u8>,
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) key: PublicKey,
    /// When the first certificate of the chain ends.
    pub(crate) certified_until: Instant,
    /// The CA, if it is known here.
    pub(crate) authority: Option<String>,
    /// Its key, which verified the chain.
    pub(crate) issuer: PublicKey,
    /// Whether each certificate of the chain permits to vouch for systems.
    pub(crate) may_vouch: bool,
}

/// Each closure signature of a path: read and checked, or what is wrong with it.
pub(crate) fn all(signatures: &[String], anchors: &Anchors) -> Vec<Result<Signed, Unreadable>> {
    let closure = signatures.iter().filter(|signature| is_of_a_closure(signature.as_bytes()));
    closure
        .map(|signature| {
            read(signature, anchors).map_err(|problem| Unreadable {
                name: shorten(signature.split(':').next().unwrap_or_default(), 60),
                problem,
            })
        })
        .collect()
}

/// A closure signature that is none.
pub(crate) struct Unreadable {
    pub(crate) name: String,
    pub(crate) problem: String,
}

/// Read a closure signature, and check that the key in the certificate made it. Whether it counts, a host says.
pub(crate) fn read(signature: &str, anchors: &Anchors) -> Result<Signed, String> {
    let (name, payload) = signature.split_once(':').ok_or("it has no ':'")?;
    let name = ClosureName::parse(name.as_bytes()).map_err(|error| error.to_string())?;
    let statement = Statement::parse(&name.statement).map_err(|error| error.to_string())?;
    let payload = base64_decode(payload.as_bytes()).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let payload = payload.ok_or("what follows ':' is not a signature")?;
    let parsed =
        CertificateName::parse(name.certificate_name.as_bytes()).map_err(|error| error.to_string())?;
    let (label, certificates) = (parsed.label(), parsed.certificates().to_vec());
    let last = certificates.last().map(|bytes| Certificate::parse(bytes)).transpose();
    let issuer = last.map_err(|error| error.to_string())?.ok_or("it has no certificate")?.issuer;
    let authority = anchors.name_of(&issuer).map(str::to_owned);
    // A CA that is not known here: then it is shown as what it says.
    let mut claimed = Anchors::default();
    claimed.add(&format!("ca:{issuer}")).map_err(|error| error.to_string())?;
    let anchors = if authority.is_some() { anchors } else { &claimed };
    let chain = VerifiedChain::verify(certificates, anchors).map_err(|reason| reason.to_string())?;
    if !chain.has_signed(&statement, &payload) {
        return Err("it is not a signature by the key in its certificate".to_owned());
    }
    let parsed = chain.certificates().map_err(|reason| reason.to_string())?;
    let leaf = parsed.first().ok_or("it has no certificate")?;
    if leaf.label != label {
        return Err(format!("its name says '{label}', and its certificate '{}'", leaf.label));
    }
    let until = parsed.iter().map(|certificate| certificate.not_after).min();
    Ok(Signed {
        label: leaf.label.to_string(),
        serial: leaf.serial.to_string(),
        key: leaf.subject,
        certified_until: until.unwrap_or(leaf.not_after),
        may_vouch: parsed.iter().all(|certificate| certificate.usages.contains(Usage::VouchForSystems)),
        issuer,
        bytes: name.statement,
        statement,
        authority,
    })
}

/// A closure signature as `--json` prints it.
#[derive(Serialize)]
pub(crate) struct Description {
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) key: String,
    /// Null if the CA is not known here.
    pub(crate) authority: Option<String>,
    pub(crate) certified_until: String,
    pub(crate) path: String,
    pub(crate) paths: u32,
    pub(crate) digest: String,
    /// Whether it is about the closure that is in this store; null where that was not asked.
    pub(crate) covers: Option<bool>,
    pub(crate) hosts: Vec<String>,
    pub(crate) signed: String,
    pub(crate) not_after: String,
}

impl Signed {
    pub(crate) fn describe(&self, held: Option<&Held>) -> Description {
        let Statement { path, closure, hosts, signed, not_after } = &self.statement;
        Description {
            label: self.label.clone(),
            serial: self.serial.clone(),
            key: self.key.to_string(),
            authority: self.authority.clone(),
            certified_until: self.certified_until.to_string(),
            path: path.to_string(),
            paths: closure.paths,
            digest: hex(closure),
            covers: held.map(|held| self.covers(held)),
            hosts: hosts.iter().cloned().collect(),
            signed: signed.to_string(),
            not_after: not_after.to_string(),
        }
    }

    pub(crate) fn covers(&self, held: &Held) -> bool {
        self.statement.path == held.top && self.statement.closure == held.digest
    }

    pub(crate) fn signer_in_words(&self) -> String {
        match &self.authority {
            Some(authority) => format!("{} (certificate {}, CA {authority})", self.label, self.serial),
            None => format!("'{}' (certificate {}, by a CA that is not known here)", self.label, self.serial),
        }
    }
}

/// The rows of a statement.
pub(crate) fn rows(table: &mut Table, statement: &Statement, now: Instant) {
    let Statement { path, closure, hosts, signed, not_after } = statement;
    table.row("System", path);
    table.row("Closure", format_args!("{} paths, digest {}", closure.paths, hex(closure)));
    table.rows("Hosts", hosts.iter().map(|host| if host == "*" { "*  every host" } else { host }));
    table.row("Signed at", signed);
    let left = match now < *not_after {
        true => format!("for another {}", length(now, *not_after)),
        false => format!("expired, {} ago", length(*not_after, now)),
    };
    table.row("Valid until", format_args!("{not_after} ({left})"));
}

pub(crate) fn hex(closure: &ClosureDigest) -> String {
    closure.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
}
