//! Which statement a second person signs: one that is already there, if it is about what that person has.

use super::held::Held;
use super::signer::Signer;
use super::statements::{self, Signed};
use super::vendors::Known;
use crate::error::{Error, Result};
use crate::output::{self, Table};
use crate::rewrap::{is_signature_by, leaf_of};
use nixcert_core::{Instant, Statement};
use std::collections::BTreeSet;
use std::io::Write;

/// The newest statement about this very closure, and all who signed it. The others are shown, and why they are not taken.
pub(crate) fn choose(
    held: &Held,
    signer: &Signer,
    known: &Known,
    now: Instant,
) -> Result<(Statement, Vec<Signed>)> {
    let (mut good, mut others) = (Vec::new(), Vec::new());
    for one in statements::all(held.top_signatures(), &known.anchors) {
        match one {
            Ok(signed) if signed.covers(held) && now < signed.statement.not_after => good.push(signed),
            Ok(signed) => others.push(signed),
            Err(damaged) => {
                output::warn(format_args!(
                    "a closure signature is damaged ({}): {}",
                    damaged.name, damaged.problem
                ));
            }
        }
    }
    let newest = good.iter().map(|signed| (signed.statement.signed, signed.bytes.clone())).max();
    let Some((_, bytes)) = newest else { return Err(refusal(held, &others, known, now)?) };
    let (same, other): (Vec<_>, Vec<_>) = good.into_iter().partition(|signed| signed.bytes == bytes);
    for signed in &other {
        output::note(format_args!(
            "there is another statement, signed at {} by {}: it is not the newest",
            signed.statement.signed,
            signed.signer_in_words()
        ));
    }
    let statement = same.first().map(|signed| signed.statement.clone());
    let statement = statement.ok_or_else(|| Error::new("no statement was chosen"))?;
    if let Some(host) = statement.hosts.iter().find(|host| !signer.may_vouch_on(host)) {
        output::warn(format_args!(
            "your certificate is not for the host '{host}', which will not count your signature"
        ));
    }
    Ok((statement, same))
}

/// Her own newest statement about this very closure, if it is for all these hosts, and counts for now.
pub(crate) fn own(
    held: &Held,
    signer: &Signer,
    known: &Known,
    hosts: &BTreeSet<String>,
    now: Instant,
) -> Option<(Statement, Vec<Signed>)> {
    let good = |signed: &Signed| {
        let said = &signed.statement.hosts;
        signed.key == signer.certificate.key
            && signed.covers(held)
            && now < signed.statement.not_after.min(signed.certified_until)
            && (said.contains("*") || hosts.is_subset(said))
    };
    let all = statements::all(held.top_signatures(), &known.anchors).into_iter().filter_map(|one| one.ok());
    let newest = all.filter(good).max_by_key(|signed| signed.statement.signed)?;
    Some((newest.statement.clone(), vec![newest]))
}

/// Show what is there, and say why none of it can be co-signed.
fn refusal(held: &Held, others: &[Signed], known: &Known, now: Instant) -> Result<Error> {
    if others.is_empty() {
        return Ok(Error::refused(format!("nobody has signed a statement about '{}'", held.top)).help(
            "fetch the signatures from who did (nixcert closure push), or be the first: without --co-sign",
        ));
    }
    let mut stderr = anstream::stderr().lock();
    let mut signers = BTreeSet::new();
    for signed in others {
        writeln!(stderr, "Statement by {}:", output::printable(&signed.signer_in_words()))?;
        let mut table = Table::default();
        statements::rows(&mut table, &signed.statement, now);
        table.write(&mut stderr)?;
        if !signed.covers(held) {
            signers.insert(signed.key);
        }
    }
    drop(stderr);
    if signers.is_empty() {
        return Ok(Error::refused("each statement about it has expired")
            .help("let the other sign it again; you sign after that"));
    }
    let differ = held.paths.iter().filter(|path| {
        path.narinfo.signatures.iter().any(|signature| {
            let Some((name, payload)) = signature.split_once(':') else { return false };
            leaf_of(name).is_some_and(|(key, _)| {
                signers.contains(&key) && !is_signature_by(&path.object, payload, key)
            })
        })
    });
    for path in differ {
        output::warn(format_args!("{} has other contents here than what was signed", path.path()));
    }
    for path in held.paths.iter().filter(|path| !is_vouched(path, &signers, known)) {
        output::note(format_args!("{} bears no signature by who signed the statement", path.path()));
    }
    Ok(Error::refused(format!(
        "the statement is about another closure than the one in this store ({} paths, digest {})",
        held.digest.paths,
        statements::hex(&held.digest)
    ))
    .help(
        "you would vouch for what you do not have. Copy it from the other person's machine, look at it (nixcert closure \
         diff), and sign then; paths that were built here and differ must go first: nix store delete PATH",
    ))
}

/// Whether a path is signed, as it is here, by somebody who signed a statement, or by a vendor.
fn is_vouched(
    path: &super::held::HeldPath,
    signers: &BTreeSet<nixcert_core::PublicKey>,
    known: &Known,
) -> bool {
    let by_signer = path.narinfo.signatures.iter().any(|signature| {
        signature.split_once(':').is_some_and(|(name, payload)| {
            leaf_of(name)
                .is_some_and(|(key, _)| signers.contains(&key) && is_signature_by(&path.object, payload, key))
        })
    });
    by_signer || super::grounds::vendor_of(path, known).is_some()
}
