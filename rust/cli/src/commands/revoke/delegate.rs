//! Lists that a delegate signs: the holder of a certificate with the usage *revoke*.

use super::{Copy, RevokeArgs, Signer, plan, read_log, sign, unchanged};
use crate::commands::issue::confirm;
use crate::error::{Answer, Error, Result};
use crate::{input, output, time};
use nixcert_core::limits::LIST_BYTES;
use nixcert_core::{
    Anchors, Certificate, CertificateName, Entries, Instant, PublicKey, RevocationList, Usage, VerifiedChain,
};
use nixcert_files as files;
use nixcert_issue::{ListDraft, SecretKey};
use std::path::Path;

pub(super) fn run(args: &RevokeArgs, path: &Path) -> Result {
    let (name, key) = input::secret_key(path)?;
    let entry = args.ca_key.as_deref().unwrap_or_default();
    let mut anchors = Anchors::default();
    anchors.add(entry).map_err(|error| {
        Error::new(format!("--ca-key: {error}")).help("give it as it stands in trusted-ca-keys: NAME:BASE64")
    })?;
    let now = time::now()?;
    let (chain, ca) = chain(&name, &key, path, &anchors, now)?;
    if args.output.is_none() && !args.dry_run {
        return Err(Error::new("where the list shall go is not said")
            .help("name a file with -o FILE, and keep it: the next one grows from it"));
    }
    if args.issued_now {
        return Err(Error::refused(
            "hosts accept only later lists of a delegate, so --issued-now would not help",
        )
        .help("wait until the time of the last list, or let the CA itself sign a list"));
    }
    let records = args.log.as_deref().map(read_log).transpose()?;
    let signer =
        Signer { ca, ca_name: anchors.name_of(&ca).unwrap_or_default(), chain, records: records.as_deref() };
    let copy = Copy::new(args, ca, key.public())?;
    let base = base(args, &signer, &key)?;
    let base = base.as_ref().map(|(issued, entries)| (*issued, entries));
    let Some(next) = plan(args, &signer, base, now)? else {
        return unchanged(&copy, args.previous.as_deref());
    };
    still_valid(&signer.chain, next.draft.issued)?;
    if args.dry_run {
        output::note("nothing was signed (--dry-run)");
        return Ok(Answer::Yes);
    }
    confirm(args.yes)?;
    let list = sign(&next, &key)?;
    copy.write(&list)?;
    let count = next.draft.entries.len();
    output::note(format_args!(
        "signed the list of {}, with {count} {}; keep it: the next one grows from it (--previous)",
        next.draft.issued,
        if count == 1 { "entry" } else { "entries" }
    ));
    if let Some(path) = copy.path() {
        output::note(format_args!("next, on every host: nixcert revocation install {}", path.display()));
    }
    Ok(Answer::Yes)
}

/// The delegate's certificates, and the CA that they end in, if every host would follow them (FORMAT L6, L7).
fn chain(
    name: &str,
    key: &SecretKey,
    path: &Path,
    anchors: &Anchors,
    now: Instant,
) -> Result<(Vec<Vec<u8>>, PublicKey)> {
    let name = CertificateName::parse(name.as_bytes()).map_err(|error| {
        Error::new(format!("'{}' is not a key with a certificate: {error}", path.display()))
            .help("join them first: nixcert attach --key KEY CERTIFICATE")
    })?;
    let certificates = name.certificates().to_vec();
    let chain = VerifiedChain::verify(certificates.clone(), anchors).map_err(|reason| {
        Error::refused(format!("no host would follow the certificate in '{}': {reason}", path.display())).help(
            "check --ca-key: it is the entry of the CA above this certificate in trusted-ca-keys; or ask for the certificate again",
        )
    })?;
    let ca = *chain.anchor();
    let parsed = chain.certificates().map_err(Error::refused)?;
    if let Some(leaf) = parsed.first().filter(|leaf| leaf.subject != key.public()) {
        return Err(Error::refused(format!(
            "the certificate of '{}' in '{}' is for another key than the one in the file",
            leaf.label,
            path.display()
        ))
        .help("join them again: nixcert attach --key KEY CERTIFICATE"));
    }
    // L7: "Every certificate of the delegate's chain MUST have the usage revoke"
    if let Some(without) = parsed.iter().find(|certificate| !certificate.usages.contains(Usage::Revoke)) {
        return Err(Error::refused(format!(
            "the certificate of '{}' (serial {}) does not have the usage 'revoke', so no host would accept the list",
            without.label, without.serial
        ))
        .help("ask for one that was issued with --usage revoke, from a CA that has that usage itself"));
    }
    still_valid(&certificates, now)?;
    let limited = parsed.iter().find(|certificate| !certificate.hosts.iter().any(|pattern| pattern == b"*"));
    if let Some(limited) = limited {
        let hosts: Vec<_> = limited.hosts.iter().map(String::from_utf8_lossy).collect();
        output::note(format_args!(
            "the certificate of '{}' is for certain hosts, and only these accept the list: {}",
            limited.label,
            hosts.join(" ")
        ));
    }
    Ok((certificates, ca))
}

/// L7: "valid at the time of issue"
fn still_valid(chain: &[Vec<u8>], issued: Instant) -> Result<()> {
    for bytes in chain {
        let certificate = Certificate::parse(bytes).map_err(Error::refused)?;
        let (begin, end) = (certificate.not_before, certificate.not_after);
        let fault = if issued >= end {
            format!("ended at {end}")
        } else if issued < begin {
            format!("is not valid before {begin}")
        } else {
            continue;
        };
        return Err(Error::refused(format!(
            "the certificate of '{}' (serial {}) {fault}, and the list would be of {issued}: no host would accept it",
            certificate.label, certificate.serial
        ))
        .help("ask the CA for a renewed certificate (nixcert issue --renew), or let the CA itself sign the list"));
    }
    Ok(())
}

/// L10: "from a delegate, only one that has every entry of the old one"
fn base(args: &RevokeArgs, signer: &Signer<'_>, key: &SecretKey) -> Result<Option<(Instant, Entries)>> {
    let Some(path) = &args.previous else {
        return match args.first {
            true => Ok(None),
            false => Err(Error::new("the list that this one grows from is not named").help(
                "name your last list with --previous LIST (a host that took it holds it too): hosts accept only lists that \
                 have all that your older ones had. If there never was one: --first",
            )),
        };
    };
    let bytes = files::read(path, LIST_BYTES as u64)?;
    let fault = |problem: &dyn std::fmt::Display| {
        Error::refused(format!("'{}' cannot be the list before: {problem}", path.display()))
            .help("name the last list that this key signed for this CA, unchanged")
    };
    let list = RevocationList::parse(&bytes).map_err(|error| fault(&error))?;
    if list.ca != signer.ca {
        return Err(fault(&format_args!("it is about the certificates of {}", list.ca)));
    }
    if super::signer_of(&list) != Some(key.public()) {
        return Err(fault(&"somebody else signed it"));
    }
    // Signatures are deterministic: what this key signed, it signs again to the byte.
    let again = ListDraft {
        ca: list.ca,
        certificates: list.certificates.iter().map(|bytes| bytes.to_vec()).collect(),
        issued: list.issued,
        entries: ListDraft::entries_of(&list.entries),
    };
    if !again.sign(key).is_ok_and(|again| again == bytes) {
        return Err(fault(&"its signature is not this key's (was it changed?)"));
    }
    let above = |chain: &[&[u8]]| -> Vec<PublicKey> {
        chain
            .iter()
            .skip(1)
            .filter_map(|bytes| Certificate::parse(bytes).ok())
            .map(|issuer| issuer.subject)
            .collect()
    };
    let now: Vec<&[u8]> = signer.chain.iter().map(Vec::as_slice).collect();
    let (before, now) = (above(&list.certificates), above(&now));
    if now.iter().any(|issuer| !before.contains(issuer)) {
        return Err(Error::refused(
            "the certificate is below an intermediate CA that the last list's signer was not below: the list would count for \
             less than the last one, and hosts would refuse it",
        )
        .help("sign with the certificate that the last list was signed with, or a renewal of that"));
    }
    Ok(Some((list.issued, list.entries)))
}
