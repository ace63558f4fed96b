//! Which statement a second person signs: one that is already there, if it is about what that person has.

use super::held::Held;
use super::signer::Signer;
use super::statements::{self, Signed};
use super::vendors::Known;
use crate::error::{Error, Result};
use crate::output::{self, Table};
use crate::rewrap::{is_signature_by, leaf_of};
use nixcert_core::limits::LIST_AHEAD;
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
            Ok(signed) if signed.covers(held) && now < signed.statement.not_after => {
                match objection(&signed, signer, now) {
                    None => good.push(signed),
                    Some(problem) => output::warn(format_args!(
                        "the statement of {} by {} is passed over: {problem}",
                        signed.statement.signed,
                        signed.signer_in_words()
                    )),
                }
            }
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

/// Why a statement is not one to sign too, though it is about this closure. Anybody can attach one, for every host and for a
/// hundred years: it has to be of somebody whose word could count beside hers.
fn objection(signed: &Signed, signer: &Signer, now: Instant) -> Option<&'static str> {
    if signed.authority.is_none() && signed.issuer != signer.issuer {
        return Some("the CA is neither yours nor one of --nix-conf");
    }
    if !signed.may_vouch {
        return Some("the certificate does not permit to vouch for systems");
    }
    if signed.certified_until <= now {
        return Some("the certificate has expired");
    }
    // G4: "at most a day after now"
    if signed.statement.signed.seconds() > now.seconds().saturating_add(LIST_AHEAD) {
        return Some("it says that it will be signed in the future");
    }
    None
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
        return Ok(Error::refused(format!("there is no statement about '{}' to sign too", held.top)).help(
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

#[cfg(test)]
mod tests {
    use super::*;
    use nixcert_core::{CertificateName, ClosureDigest, Label, Serial, StorePath, Usage, closure_digest};
    use nixcert_issue::{Draft, SecretKey, sign_statement};
    use std::collections::BTreeSet;

    const NOW: u64 = 1_800_000_000;
    const PATH: &str = "/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-nixos-system-web-1";

    fn instant(seconds: u64) -> Instant {
        Instant::from_seconds(seconds).unwrap()
    }

    /// A certificate by the CA of this seed.
    fn certified(label: &str, seed: u8, ca: u8, usage: Usage, until: u64) -> (SecretKey, String) {
        let key = SecretKey::from_seed(&[seed; 32]);
        let draft = Draft {
            serial: Serial(1),
            label: label.to_owned(),
            subject: key.public(),
            not_before: instant(1),
            not_after: instant(until),
            usages: [usage].into_iter().collect(),
            path_length: 0,
            permitted_names: ["*".to_owned()].into(),
            excluded_names: BTreeSet::new(),
            hosts: ["*".to_owned()].into(),
            store_directories: BTreeSet::new(),
        };
        let certificate = draft.sign(&SecretKey::from_seed(&[ca; 32])).unwrap();
        (key, CertificateName::format(Label::parse(label.as_bytes()).unwrap(), &[certificate]))
    }

    fn held(signatures: &[String]) -> Held {
        let signatures = serde_json::to_string(signatures).unwrap();
        let hash = "sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=";
        let json = format!(r#"{{"{PATH}":{{"narHash":"{hash}","narSize":120,"signatures":{signatures}}}}}"#);
        let known = crate::nix::read_path_info(json.as_bytes()).unwrap().remove(0);
        let path = super::super::held::HeldPath::read(known).unwrap();
        let digest = closure_digest([path.object.fingerprint()]).unwrap();
        Held { top: StorePath::parse(PATH).unwrap(), paths: vec![path], digest }
    }

    fn statement(by: &(SecretKey, String), digest: ClosureDigest, signed: u64, hosts: &str) -> String {
        let path = StorePath::parse(PATH).unwrap();
        let (signed, not_after) = (instant(signed), instant(NOW + 200_000));
        let hosts = [hosts.to_owned()].into();
        let statement = Statement { path, closure: digest, hosts, signed, not_after };
        sign_statement(&by.0, &by.1, &statement.to_bytes().unwrap()).unwrap()
    }

    #[test]
    fn only_what_somebody_said_whose_word_counts() {
        let bob = certified("bob", 2, 9, Usage::VouchForSystems, NOW + 10);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("bob.nixcert.key");
        std::fs::write(&file, bob.0.to_nix(&bob.1).as_bytes()).unwrap();
        let signer = Signer::read(&file, instant(NOW)).map_err(|_| ()).unwrap();
        let digest = held(&[]).digest;
        let choose = |signatures: &[String]| {
            choose(&held(signatures), &signer, &Known::default(), instant(NOW))
                .ok()
                .map(|(statement, _)| statement.hosts)
        };
        let alice = certified("alice", 1, 9, Usage::VouchForSystems, NOW + 10);
        let good = statement(&alice, digest, NOW - 5, "web-1");
        let hosts = Some(["web-1".to_owned()].into());
        assert_eq!(choose(std::slice::from_ref(&good)), hosts);
        let other = ClosureDigest { paths: 2, ..digest };
        for bad in [
            statement(&certified("mallory", 3, 8, Usage::VouchForSystems, NOW + 10), digest, NOW, "*"),
            statement(&certified("mallory", 3, 9, Usage::ImportPaths, NOW + 10), digest, NOW, "*"),
            statement(&certified("mallory", 3, 9, Usage::VouchForSystems, NOW), digest, NOW, "*"),
            statement(&alice, digest, NOW + 86_401, "*"),
            statement(&alice, other, NOW, "*"),
            good.replacen("alice", "carol", 1),
        ] {
            assert_eq!(choose(std::slice::from_ref(&bad)), None);
            assert_eq!(choose(&[bad, good.clone()]), hosts, "it takes no good one's place");
        }
        // Of two good ones, the newest.
        let newer = statement(&alice, digest, NOW, "*");
        assert_eq!(choose(&[newer, good]), Some(["*".to_owned()].into()));
    }
}
