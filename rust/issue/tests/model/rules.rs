//! The decision of FORMAT.md once more: slow, simple, and without anything of the verifier's. Where the page leaves open which
//! of several reasons is given, all of them are.

use crate::world::*;
use std::collections::BTreeSet;

/// What the page says of a world.
#[derive(Debug)]
pub(crate) struct Answer {
    /// For each signature, all the rules that it breaks; if there is none, it counts.
    pub(crate) signatures: Vec<Codes>,
    pub(crate) accepted: bool,
    /// What rules in audit mode would have said (P8).
    pub(crate) audited: Codes,
    /// What may be reported, too: P8 leaves open whether a threshold speaks that is not in audit mode itself, or that is asked
    /// where no signature is left.
    pub(crate) audited_perhaps: Codes,
}

pub(crate) fn answer(world: &World) -> Answer {
    let signatures: Vec<Codes> =
        world.signatures.iter().map(|signature| broken_rules(world, signature, false)).collect();
    let counting = |strict| -> Vec<&Signature> {
        world
            .signatures
            .iter()
            .filter(|signature| broken_rules(world, signature, strict).is_empty())
            .collect()
    };
    // D10: "If signatures count, but no plain one, the object is accepted only if they are as many votes as the policy asks
    // for"
    let (by_plain, by_certificate) = split(counting(false));
    let votes_missing = !by_certificate.is_empty() && !unmet(world, &by_certificate, false).is_empty();
    let accepted = by_plain || (!by_certificate.is_empty() && !votes_missing);
    // P8: "where the object would be refused if no rule were" in audit mode
    let (_, strict) = split(counting(true));
    let refused_strictly = !by_plain && (strict.is_empty() || !unmet(world, &strict, true).is_empty());
    let (mut audited, mut audited_perhaps) = (Codes::new(), Codes::new());
    if accepted && refused_strictly {
        audited.extend(by_certificate.iter().flat_map(|signature| broken_rules(world, signature, true)));
        let unmet = unmet(world, &strict, true);
        if !strict.is_empty() && unmet.iter().any(|threshold| threshold.audit) {
            audited.insert("too-few-votes");
        } else if !unmet.is_empty() {
            audited_perhaps.insert("too-few-votes");
        }
    }
    Answer { signatures, accepted, audited, audited_perhaps }
}

/// Whether there is a plain one, and those with certificates.
fn split(signatures: Vec<&Signature>) -> (bool, Vec<&Signature>) {
    let (plain, certified): (Vec<_>, Vec<_>) =
        signatures.into_iter().partition(|signature| matches!(signature, Signature::Plain { .. }));
    (!plain.is_empty(), certified)
}

/// Every rule that a signature breaks; with those in audit mode, if it is to be `strict`.
fn broken_rules(world: &World, signature: &Signature, strict: bool) -> Codes {
    match signature {
        Signature::Plain { name, by, of_another } => match world.plain_keys.get(name) {
            None => Codes::from(["unknown-key"]),
            Some(key) if key == by && !of_another => Codes::new(),
            Some(_) => Codes::from(["bad-signature"]),
        },
        // K6, P1
        Signature::Certified { .. }
            if world.broken || world.policy.as_ref().is_some_and(|policy| policy.broken) =>
        {
            Codes::from(["broken-configuration"])
        }
        Signature::Certified { label, chain, by, of_another } => {
            let mut codes = broken_chain(world, chain);
            if *label != chain[0].label {
                codes.insert("label-mismatch"); // N3
            }
            if *by != chain[0].subject || *of_another {
                codes.insert("bad-signature"); // D1
            }
            if codes.is_empty() {
                codes.extend(broken_times(world, chain));
                codes.extend(broken_scope(world, chain));
                codes.extend(revoked(world, chain));
                codes.extend(broken_policy(world, chain, strict));
            }
            codes
        }
    }
}

/// V1 to V5.
fn broken_chain(world: &World, chain: &[Certificate]) -> Codes {
    let mut codes = Codes::new();
    let is_ca = |key: Key| world.cas.values().any(|ca| *ca == key);
    for i in 0..chain.len() {
        let certificate = &chain[i];
        match chain.get(i + 1) {
            Some(next) if certificate.issuer != next.subject => _ = codes.insert("issuer-mismatch"),
            None if !is_ca(certificate.issuer) => _ = codes.insert("untrusted-ca"),
            _ => {}
        }
        if certificate.signed_by != certificate.issuer {
            codes.insert("bad-certificate-signature");
        }
        let issues = certificate.usages.contains(&Use::Issue);
        if i == 0 && (issues || is_ca(certificate.subject)) {
            codes.insert("issuer-as-leaf");
        }
        if i > 0 && !issues {
            codes.insert("not-an-issuer");
        }
        if i > 0 && issues && usize::from(certificate.path_length) < i - 1 {
            codes.insert("path-length-exceeded");
        }
        let later = chain[i + 1..].iter().map(|later| later.subject);
        if later.chain(chain.last().map(|last| last.issuer)).any(|key| key == certificate.subject) {
            codes.insert("repeated-key");
        }
    }
    codes
}

/// D2, D8, T3.
fn broken_times(world: &World, chain: &[Certificate]) -> Codes {
    let now = now(world, ca_of(chain));
    let too_early = |certificate: &Certificate| now < certificate.not_before && !lower_bound(world);
    let too_late = |certificate: &Certificate| now >= certificate.not_after;
    let valid_now = chain.iter().all(|certificate| !too_early(certificate) && !too_late(certificate));
    if valid_now || registration(world, ca_of(chain)).is_some_and(|registered| valid_at(chain, registered)) {
        return Codes::new();
    }
    let mut codes = Codes::new();
    if chain.iter().any(too_early) {
        codes.insert("not-yet-valid");
    }
    if chain.iter().any(too_late) {
        codes.insert("expired");
    }
    codes
}

fn ca_of(chain: &[Certificate]) -> Key {
    chain[chain.len() - 1].issuer
}

fn valid_at(chain: &[Certificate], instant: u64) -> bool {
    chain.iter().all(|certificate| (certificate.not_before..certificate.not_after).contains(&instant))
}

fn lower_bound(world: &World) -> bool {
    world.policy.as_ref().is_some_and(|policy| policy.lower_bound)
}

/// T1
pub(crate) fn now(world: &World, ca: Key) -> u64 {
    let earliest = world.policy.as_ref().and_then(|policy| policy.earliest).unwrap_or_default();
    world.clock.max(earliest).max(proven_time(world, ca))
}

/// D2: "a registration time of 0 or later than now is none"
fn registration(world: &World, ca: Key) -> Option<u64> {
    world.registered.filter(|registered| *registered != 0 && *registered <= now(world, ca))
}

/// D3 and D4.
fn broken_scope(world: &World, chain: &[Certificate]) -> Codes {
    let mut codes = Codes::new();
    for certificate in chain {
        if !certificate.usages.contains(&needed(world)) {
            codes.insert("missing-usage");
        }
        let stores = if certificate.stores.is_empty() { &set(&["/nix/store"]) } else { &certificate.stores };
        if !stores.contains(world.object.store) {
            codes.insert("store-directory-not-permitted");
        }
        codes.extend(broken_host(world, certificate));
        if matches_one(&certificate.excluded, world.object.name) {
            codes.insert("name-excluded");
        }
        if !matches_one(&certificate.permitted, world.object.name) {
            codes.insert("name-not-permitted");
        }
    }
    codes
}

fn needed(world: &World) -> Use {
    if world.object.realisation { Use::Realisations } else { Use::Paths }
}

/// K5
fn broken_host(world: &World, certificate: &Certificate) -> Option<&'static str> {
    match world.host {
        None => (!certificate.hosts.contains("*")).then_some("host-name-not-configured"),
        Some(host) => {
            (!certificate.hosts.iter().any(|pattern| glob(pattern, host))).then_some("host-not-permitted")
        }
    }
}

fn matches_one(patterns: &BTreeSet<Text>, name: &str) -> bool {
    // K4
    patterns.iter().any(|pattern| match pattern.strip_suffix('@') {
        Some(package) => package_of(name) == package,
        None => glob(pattern, name),
    })
}

fn package_of(name: &str) -> &str {
    let splits = |at: &usize| name[at + 1..].starts_with(|next: char| !next.is_ascii_alphabetic());
    let dash = name.match_indices('-').map(|(at, _)| at).find(splits);
    dash.map_or(name, |at| &name[..at])
}

fn glob(pattern: &str, text: &str) -> bool {
    match (pattern.chars().next(), text.chars().next()) {
        (None, None) => true,
        (Some('*'), None) => glob(&pattern[1..], text),
        (Some('*'), Some(_)) => glob(&pattern[1..], text) || glob(pattern, &text[1..]),
        (Some('?'), Some(_)) => glob(&pattern[1..], &text[1..]),
        (Some(expected), Some(found)) => expected == found && glob(&pattern[1..], &text[1..]),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// D9, section 11.
fn revoked(world: &World, chain: &[Certificate]) -> Codes {
    let ca = ca_of(chain);
    let rules = rules_for(world, ca);
    let mut codes = Codes::new();
    // L12
    let cannot_use = world.unreadable.contains(&ca)
        || world.lists.iter().any(|list| list.ca == ca && !unusable(world, list).is_empty());
    if cannot_use && rules.and_then(|rules| rules.unreadable) != Some(Doubt::Accept) {
        codes.insert("revocation-list-unreadable");
    }
    let asked_for = rules.is_some_and(|rules| rules.missing == Some(Doubt::Refuse) || rules.oldest.is_some());
    match (own(world, ca).map(|list| list.issued), rules.and_then(|rules| rules.oldest)) {
        (None, _) if asked_for => _ = codes.insert("revocation-list-missing"),
        (Some(issued), Some(oldest)) if now(world, ca) > issued + oldest => {
            _ = codes.insert("revocation-list-too-old")
        }
        _ => {}
    }
    let registered = registration(world, ca);
    for list in counting(world, ca) {
        // L8
        let issuers = list.chain.iter().skip(1);
        if issuers.clone().any(|issuer| chain.iter().all(|certificate| certificate.subject != issuer.subject))
        {
            continue;
        }
        for extent in chain.iter().flat_map(|certificate| said_of(list, certificate)) {
            // L5
            match extent {
                Extent::Retired if registered.is_some() => {}
                Extent::Retired => _ = codes.insert("retired"),
                Extent::Compromised(since) => {
                    let before = registered.is_some_and(|at| at < since && valid_at(chain, at));
                    if !before || lower_bound(world) {
                        codes.insert("compromised");
                    }
                }
            }
        }
    }
    codes
}

fn said_of(list: &List, certificate: &Certificate) -> Vec<Extent> {
    // L4
    let selectors = [
        Selector::Serial(certificate.serial),
        Selector::Key(certificate.subject),
        Selector::Label(certificate.label),
    ];
    selectors.iter().filter_map(|selector| list.entries.get(selector).copied()).collect()
}

/// L6 and L7: why a list cannot be used.
pub(crate) fn unusable(world: &World, list: &List) -> Codes {
    let mut codes = Codes::new();
    if !world.cas.values().any(|ca| *ca == list.ca) {
        codes.insert("untrusted-ca");
    }
    let mut signer = list.ca;
    if !list.chain.is_empty() {
        codes.extend(broken_chain(world, &list.chain));
        if ca_of(&list.chain) != list.ca {
            codes.insert("list-of-another-ca");
        }
        signer = list.chain[0].subject;
    }
    if list.signed_by != signer {
        codes.insert("bad-list-signature");
    }
    for certificate in &list.chain {
        if !certificate.usages.contains(&Use::Revoke) {
            codes.insert("missing-usage");
        }
        codes.extend(broken_host(world, certificate));
        if list.issued < certificate.not_before {
            codes.insert("not-yet-valid");
        }
        if list.issued >= certificate.not_after {
            codes.insert("expired");
        }
    }
    codes
}

fn signer_of(list: &List) -> Key {
    list.chain.first().map_or(list.ca, |leaf| leaf.subject)
}

/// L9: the newest list of each signer.
fn newest_of_each(world: &World, ca: Key) -> Vec<&List> {
    let of_ca: Vec<&List> =
        world.lists.iter().filter(|list| list.ca == ca && unusable(world, list).is_empty()).collect();
    let newest = |list: &&List| {
        of_ca.iter().all(|other| signer_of(other) != signer_of(list) || other.issued <= list.issued)
    };
    of_ca.iter().copied().filter(newest).collect()
}

/// L11: what the CA's own list says of the certificates of a delegate.
fn said_of_signer(world: &World, list: &List) -> Vec<Extent> {
    let own = newest_of_each(world, list.ca).into_iter().filter(|own| own.chain.is_empty());
    own.flat_map(|own| list.chain.iter().flat_map(|certificate| said_of(own, certificate))).collect()
}

/// L11: "as *compromised*, none of its lists counts"
fn counting(world: &World, ca: Key) -> Vec<&List> {
    let is_compromise = |extent: &Extent| matches!(extent, Extent::Compromised(_));
    let lists = newest_of_each(world, ca).into_iter();
    lists.filter(|list| !said_of_signer(world, list).iter().any(is_compromise)).collect()
}

/// The list that the CA itself signed.
pub(crate) fn own(world: &World, ca: Key) -> Option<&List> {
    newest_of_each(world, ca).into_iter().find(|list| list.chain.is_empty())
}

/// T1: "the issue time of the list that the CA itself signed; and, less a day, that of the newest list of each delegate whom
/// the CA itself certified and its own list does not revoke"
fn proven_time(world: &World, ca: Key) -> u64 {
    let by_list = |list: &List| match list.chain.len() {
        0 => list.issued,
        1 if said_of_signer(world, list).is_empty() => list.issued - 86_400,
        _ => 0,
    };
    newest_of_each(world, ca).into_iter().map(by_list).max().unwrap_or_default()
}

fn name_of(world: &World, ca: Key) -> Text {
    world.cas.iter().find(|(_, key)| **key == ca).unwrap().0
}

fn rules_for(world: &World, ca: Key) -> Option<&Rules> {
    world.policy.as_ref()?.cas.get(name_of(world, ca))
}

/// P2 to P5; those in audit mode, too, if it is to be `strict`.
fn broken_policy(world: &World, chain: &[Certificate], strict: bool) -> Codes {
    let Some(policy) = &world.policy else { return Codes::new() };
    let mut codes = Codes::new();
    let (leaf, name) = (&chain[0], world.object.name);
    match policy.cas.get(name_of(world, ca_of(chain))) {
        None => _ = codes.insert("ca-not-in-policy"),
        Some(rules) => {
            let broken = [
                ("usage-not-in-policy", !rules.usages.contains(&needed(world))),
                (
                    "validity-too-long",
                    rules.longest.is_some_and(|longest| leaf.not_after - leaf.not_before > longest),
                ),
                ("chain-too-deep", chain.len() > usize::from(rules.deepest.unwrap_or(3)) + 1),
                ("name-excluded-by-policy", matches_one(&rules.excluded, name)),
                ("name-not-permitted-by-policy", !matches_one(&rules.permitted, name)),
            ];
            let enforced = |code| strict || !rules.audit.contains(code);
            codes.extend(
                broken.iter().filter(|(code, broken)| *broken && enforced(code)).map(|(code, _)| code),
            );
        }
    }
    if matches_one(&policy.protected, name) && (strict || !policy.protected_audit) {
        codes.insert("protected-name");
    }
    codes
}

/// P6: the thresholds that these signatures do not meet.
fn unmet<'a>(world: &'a World, signatures: &[&Signature], strict: bool) -> Vec<&'a Threshold> {
    let thresholds = world.policy.iter().flat_map(|policy| &policy.thresholds);
    let of_name = thresholds.filter(|threshold| matches_one(&threshold.names, world.object.name));
    let held = of_name.filter(|threshold| strict || !threshold.audit);
    held.filter(|threshold| most_votes(world, threshold, signatures) < usize::from(threshold.votes)).collect()
}

/// The largest choice of signatures of whom no two share anything, by trying all choices there are.
fn most_votes(world: &World, threshold: &Threshold, signatures: &[&Signature]) -> usize {
    let chains = signatures.iter().filter_map(|signature| match signature {
        Signature::Certified { chain, .. } => Some(chain),
        Signature::Plain { .. } => None,
    });
    let asked = |chain: &&Vec<Certificate>| {
        threshold.authorities.as_ref().is_none_or(|names| names.contains(name_of(world, ca_of(chain))))
    };
    let chains: Vec<&Vec<Certificate>> = chains.filter(asked).collect();
    let choices = 0_u32..1 << chains.len();
    let chosen = |choice: u32| (0..chains.len()).filter(move |i| choice >> i & 1 == 1);
    let apart = |choice: &u32| {
        chosen(*choice)
            .all(|i| chosen(*choice).all(|j| i == j || !share(chains[i], chains[j], threshold.separate)))
    };
    choices.filter(apart).map(|choice| chosen(choice).count()).max().unwrap_or_default()
}

/// P6: "a subject key in common, or a label, anywhere in their chains"
fn share(one: &[Certificate], other: &[Certificate], leaves_only: bool) -> bool {
    let (first, second) = if leaves_only { (&one[..1], &other[..1]) } else { (one, other) };
    first.iter().any(|a| second.iter().any(|b| a.subject == b.subject || a.label == b.label))
}
