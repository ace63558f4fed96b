//! How a verdict came about: the core's own outcome, laid out over the rules that it went through, and what would change it.
//!
//! Nothing is decided here. Which rule failed is what the core's reason says; what would help is tried out by asking the core
//! again, with a later time, another trusted key, or another host name.

use crate::time::length;
use nixcert_core::{
    Authority, Certificate, CertificateId, CertificateName, ChainCache, ChainError, Doubt, HostName, Instant,
    ListRules, Mode, NameSet, Object, Outcome, PolicyError, PublicKeys, Reason, RevocationError, ScopeError,
    Selector, Signer, Threshold, Times, Trust, Usage, Verdict, VotesError, is_certificate_name, judge,
    rehearse,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// A rule, in the order in which the core asks: what it is called, what it says, and the reasons it gives.
struct Rule {
    name: &'static str,
    says: &'static str,
    codes: &'static [&'static str],
}

const PLAIN: &[Rule] = &[
    Rule { name: "form", says: "it is NAME:BASE64 of 64 bytes", codes: &["malformed-signature"] },
    Rule { name: "trusted-key", says: "its name is that of a trusted public key", codes: &["unknown-key"] },
    Rule { name: "limit", says: "few enough others came before it", codes: &["too-many-signatures"] },
    Rule { name: "signature", says: "it is that key's signature of this object", codes: &["bad-signature"] },
];

const CERTIFIED: &[Rule] = &[
    Rule { name: "form", says: "it is NAME:BASE64 of 64 bytes", codes: &["malformed-signature"] },
    Rule {
        name: "configuration",
        says: "this host's configuration is in order",
        codes: &["broken-configuration"],
    },
    Rule {
        name: "name",
        says: "its name is a label and certificates, within the limits",
        codes: &["malformed-name", "name-too-long", "chain-too-long"],
    },
    Rule {
        name: "certificates",
        says: "every certificate is well-formed, and all in it is understood",
        codes: &[
            "malformed-certificate",
            "unknown-version",
            "unknown-algorithm",
            "unknown-usage",
            "unknown-constraint",
        ],
    },
    Rule { name: "links", says: "each certificate was issued by the next", codes: &["issuer-mismatch"] },
    Rule {
        name: "roles",
        says: "each key stands once, and where it may",
        codes: &["repeated-key", "issuer-as-leaf", "not-an-issuer", "path-length-exceeded"],
    },
    Rule { name: "trusted-ca", says: "the last was issued by a trusted CA", codes: &["untrusted-ca"] },
    Rule {
        name: "issuers",
        says: "each certificate bears its issuer's signature",
        codes: &["bad-certificate-signature", "weak-key"],
    },
    Rule { name: "label", says: "the name's label is the certificate's", codes: &["label-mismatch"] },
    Rule { name: "limit", says: "few enough others came before it", codes: &["too-many-signatures"] },
    Rule { name: "signature", says: "it is the key's signature of this object", codes: &["bad-signature"] },
    Rule {
        name: "time",
        says: "every certificate is valid at one time",
        codes: &["not-yet-valid", "expired"],
    },
];

/// Asked of each certificate, from the leaf on.
const SCOPE: &[Rule] = &[
    Rule { name: "usage", says: "it has the usage", codes: &["missing-usage"] },
    Rule {
        name: "store-directory",
        says: "it is for this store directory",
        codes: &["store-directory-not-permitted"],
    },
    Rule {
        name: "host",
        says: "it is for this host",
        codes: &["host-name-not-configured", "host-not-permitted"],
    },
    Rule { name: "excluded-names", says: "it does not exclude the name", codes: &["name-excluded"] },
    Rule { name: "permitted-names", says: "it permits the name", codes: &["name-not-permitted"] },
];

/// Asked of the chain as a whole, after [`SCOPE`], where a host has revocation lists.
const LISTS: &[Rule] = &[
    Rule {
        name: "revocation-lists",
        says: "this host knows as much of its CA's revocation lists as it must",
        codes: &["revocation-list-missing", "revocation-list-unreadable", "revocation-list-too-old"],
    },
    Rule {
        name: "revocation",
        says: "no certificate of the chain is revoked for this object",
        codes: &["retired", "compromised"],
    },
];

/// Asked of the chain as a whole, last, where a host has a policy.
const POLICY: &[Rule] = &[
    Rule { name: "policy-ca", says: "this host's policy has rules for its CA", codes: &["ca-not-in-policy"] },
    Rule { name: "policy-usages", says: "the CA may certify for that here", codes: &["usage-not-in-policy"] },
    Rule {
        name: "policy-validity",
        says: "the certificate is valid for no longer than the policy allows",
        codes: &["validity-too-long"],
    },
    Rule {
        name: "policy-chain",
        says: "there are no more intermediates than the policy allows",
        codes: &["chain-too-deep"],
    },
    Rule {
        name: "policy-excluded-names",
        says: "the policy does not exclude the CA from the name",
        codes: &["name-excluded-by-policy"],
    },
    Rule {
        name: "policy-permitted-names",
        says: "the policy permits the name to the CA",
        codes: &["name-not-permitted-by-policy"],
    },
    Rule {
        name: "protected-names",
        says: "the policy does not protect the name from certificates",
        codes: &["protected-name"],
    },
];

/// Which of the rules that not every host has this one has.
#[derive(Clone, Copy)]
pub(crate) struct HostRules {
    pub(crate) lists: bool,
    pub(crate) policy: bool,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Ok,
    /// It would have failed, and is in audit mode.
    Audited,
    Failed,
    NotReached,
}

/// One rule, asked of one signature.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) rule: &'static str,
    /// Of which certificate, 0 for the leaf; null for the whole.
    pub(crate) certificate: Option<usize>,
    pub(crate) status: Status,
    pub(crate) message: String,
}

/// The rules in order, and how far the signature came; of one that counts, with what audit mode let pass.
pub(crate) fn steps(
    signature: &str,
    outcome: &Outcome,
    labels: &[String],
    host: HostRules,
    audited: &[Reason],
) -> Vec<Step> {
    let name = signature.split(':').next().unwrap_or_default();
    let certified = match outcome {
        // A trusted public key may have any name, also that of a certificate signature.
        Outcome::Counted(Signer::Plain { .. }) => false,
        Outcome::Counted(Signer::Certified { .. }) => true,
        Outcome::Refused(_) => is_certificate_name(name.as_bytes()),
    };
    let mut rules: Vec<(&Rule, Option<usize>)> = Vec::new();
    if certified {
        rules.extend(CERTIFIED.iter().map(|rule| (rule, None)));
        for position in 0..labels.len() {
            rules.extend(SCOPE.iter().map(|rule| (rule, Some(position))));
        }
        if host.lists {
            rules.extend(LISTS.iter().map(|rule| (rule, None)));
        }
        if host.policy {
            rules.extend(POLICY.iter().map(|rule| (rule, None)));
        }
    } else {
        rules.extend(PLAIN.iter().map(|rule| (rule, None)));
    }
    let says = |rule: &Rule, position: Option<usize>| match position.and_then(|position| labels.get(position))
    {
        Some(label) => format!("'{label}': {}", rule.says),
        None => rule.says.to_owned(),
    };
    let step = |(rule, certificate): &(&Rule, Option<usize>), status, message| Step {
        rule: rule.name,
        certificate: *certificate,
        status,
        message,
    };
    let Outcome::Refused(reason) = outcome else {
        let kept = |rule: &(&Rule, Option<usize>)| match audited
            .iter()
            .find(|reason| rule.0.codes.contains(&reason.code()))
        {
            Some(reason) => step(rule, Status::Audited, reason.to_string()),
            None => step(rule, Status::Ok, says(rule.0, rule.1)),
        };
        return rules.iter().map(kept).collect();
    };
    let of = match reason {
        Reason::Scope { certificate, .. } => Some(certificate.position),
        _ => None,
    };
    let is_failed = |(rule, position): &(&Rule, Option<usize>)| {
        rule.codes.contains(&reason.code()) && (position.is_none() || *position == of)
    };
    let failed = rules.iter().position(is_failed);
    // A reason that is newer than this table stands where the core ranks it.
    let at = failed.unwrap_or_else(|| {
        let later = |rule: &Rule| rule.codes.iter().all(|code| rank(code) > reason.rank());
        rules.iter().position(|(rule, _)| later(rule)).unwrap_or(rules.len())
    });
    let mut steps = Vec::new();
    for rule in rules.iter().take(at) {
        steps.push(step(rule, Status::Ok, says(rule.0, rule.1)));
    }
    let (name, certificate) = match failed.and_then(|failed| rules.get(failed)) {
        Some((rule, certificate)) => (rule.name, *certificate),
        None => ("further", of),
    };
    steps.push(Step { rule: name, certificate, status: Status::Failed, message: reason.to_string() });
    for rule in rules.iter().skip(at + usize::from(failed.is_some())) {
        steps.push(step(rule, Status::NotReached, says(rule.0, rule.1)));
    }
    steps
}

fn rank(code: &str) -> usize {
    Reason::CODES.iter().position(|known| *known == code).unwrap_or_default()
}

/// What audit mode let pass in one signature, whatever became of the object.
pub(crate) fn audited(signature: &str, object: &Object, trust: &Trust, times: Times) -> Vec<Reason> {
    let mut trust = trust.clone();
    trust.policy.thresholds.clear();
    judge(object, &[signature], &trust, times, &mut ChainCache::default()).audited
}

/// Which rule of the policy a reason is about, as it is called there.
pub(crate) fn rule_in_policy(reason: &Reason) -> String {
    match reason {
        Reason::Policy { error, .. } => match error {
            PolicyError::NoAuthority { ca } => format!("[ca.{ca}]"),
            PolicyError::Usage { ca, .. } => format!("usages of [ca.{ca}]"),
            PolicyError::Validity { ca, .. } => format!("longest-validity of [ca.{ca}]"),
            PolicyError::Chain { ca, .. } => format!("deepest-chain of [ca.{ca}]"),
            PolicyError::Excluded { ca, .. } => format!("excluded-names of [ca.{ca}]"),
            PolicyError::NotPermitted { ca, .. } => format!("permitted-names of [ca.{ca}]"),
            PolicyError::Protected { .. } => "protected-names".to_owned(),
        },
        Reason::Votes(VotesError { pattern, .. }) => format!("the threshold for '{pattern}'"),
        other => other.code().to_owned(),
    }
}

/// Something that audit mode let pass.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Audited {
    /// The rule, as the policy calls it.
    rule: String,
    /// The reason code that it would have given.
    reason: &'static str,
    message: String,
}

impl Audited {
    pub(crate) fn all_of(verdict: &Verdict) -> Vec<Self> {
        let of = |reason: &Reason| Self {
            rule: rule_in_policy(reason),
            reason: reason.code(),
            message: reason.to_string(),
        };
        verdict.audited.iter().map(of).collect()
    }

    /// The whole of it, for people.
    pub(crate) fn note(&self) -> String {
        format!("accepted only because a rule is in audit mode ({}): {}", self.rule, self.message)
    }
}

/// A threshold that the object's name meets, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Votes {
    /// The pattern that the name matches.
    pub(crate) pattern: String,
    /// How many votes it asks for.
    pub(crate) votes: u8,
    /// Of which CAs; null for all that are trusted.
    pub(crate) authorities: Option<Vec<String>>,
    pub(crate) status: Status,
    pub(crate) message: String,
}

/// Each threshold that the name meets. Plain keys need no votes: what is accepted by one is accepted without.
pub(crate) fn votes<S: AsRef<str>>(
    object: &Object,
    signatures: &[S],
    verdict: &Verdict,
    trust: &Trust,
    times: Times,
) -> Vec<Votes> {
    let path = object.store_path();
    let is_certified = |outcome: &Outcome| matches!(outcome, Outcome::Counted(Signer::Certified { .. }));
    let counted = signatures.iter().zip(&verdict.signatures).filter(|(_, outcome)| is_certified(outcome));
    // Their signatures were checked; a name that is there twice is one vote at most.
    let names: BTreeSet<&str> =
        counted.filter_map(|(signature, _)| signature.as_ref().split(':').next()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut alone = trust.clone();
    alone.public_keys = PublicKeys::default();
    let mut all = Vec::new();
    for threshold in &trust.policy.thresholds {
        let Some(pattern) = threshold.names.find(path.name()) else { continue };
        // This one alone, enforced: then the core says whether it is met.
        alone.policy.thresholds = vec![Threshold { mode: Mode::Enforce, ..threshold.clone() }];
        let rehearsal = rehearse(object.kind(), path, &names, &alone, times);
        let asked = asked(threshold.votes, threshold.authorities.iter().flatten().map(String::as_str));
        let (status, message) = match (rehearsal.reason(), threshold.mode) {
            _ if names.is_empty() => (Status::NotReached, format!("there must be {asked}")),
            (None, _) => (Status::Ok, format!("there are {asked}")),
            (Some(reason), Mode::Enforce) => (Status::Failed, reason.to_string()),
            (Some(reason), Mode::Audit) => (Status::Audited, reason.to_string()),
        };
        all.push(Votes {
            pattern: pattern.to_owned(),
            votes: threshold.votes,
            authorities: threshold.authorities.as_ref().map(|names| names.iter().cloned().collect()),
            status,
            message,
        });
    }
    all
}

fn asked<'a>(votes: u8, authorities: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = authorities.collect();
    let of =
        if names.is_empty() { String::new() } else { format!(" by certificates of {}", names.join(" or ")) };
    format!("{votes} vote{}{of}", if votes == 1 { "" } else { "s" })
}

/// What would make a signature count.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Change {
    /// Which signature, counted from 1; none if there is none.
    pub(crate) signature: Option<usize>,
    /// What to do, in order.
    pub(crate) steps: Vec<String>,
    /// Whether the core, asked again as if that had been done, accepts. Null where it could not be tried out.
    pub(crate) suffices: Option<bool>,
    /// Whether the host would have to trust more than it does: never the smallest change.
    #[serde(skip)]
    pub(crate) widens_trust: bool,
}

impl Change {
    /// What helps against the reason of an object that no single signature has.
    pub(crate) fn of_object(reason: &Reason) -> Self {
        let step = match reason {
            Reason::Votes(error) => more_votes(error),
            other => other.advice().to_owned(),
        };
        Self { signature: None, steps: vec![step], suffices: None, widens_trust: false }
    }
}

/// Who else must sign.
fn more_votes(error: &VotesError) -> String {
    if error.search_ended {
        return "take needless signatures off it: there were too many to find out whose votes go together"
            .to_owned();
    }
    let asked = asked(error.votes, error.authorities.iter().flatten().map(String::as_str));
    let voters: Vec<&str> = error.voters.iter().map(String::as_str).collect();
    let beside = if voters.is_empty() { String::new() } else { format!(" beside {}", voters.join(", ")) };
    format!(
        "let another person{beside} sign it too (nix store sign -k): it needs {asked}, each with a key and a label of \
         their own, and, unless the policy says otherwise, through no intermediate that another vote came through"
    )
}

/// More than there are kinds of change.
const MOST_STEPS: usize = 8;

/// Try out what would make a signature count, one change after the other; and whether the object is then accepted, with the
/// other signatures that are explained.
pub(crate) fn change<S: AsRef<[u8]>>(
    number: usize,
    signature: &str,
    object: &Object,
    all: &[S],
    trust: &Trust,
    times: Times,
) -> Change {
    let mut what_if = WhatIf { chain: chain(signature), trust: trust.clone(), times };
    // Votes are not of one signature: they come last.
    let thresholds = std::mem::take(&mut what_if.trust.policy.thresholds);
    let mut change =
        Change { signature: Some(number), steps: Vec::new(), suffices: None, widens_trust: false };
    let mut seen = Vec::new();
    while change.steps.len() < MOST_STEPS {
        let verdict = judge(object, &[signature], &what_if.trust, what_if.times, &mut ChainCache::default());
        let Some(reason) = verdict.reason() else {
            what_if.trust.policy.thresholds = thresholds;
            let verdict = judge(object, all, &what_if.trust, what_if.times, &mut ChainCache::default());
            change.suffices = Some(true).filter(|_| verdict.accepted());
            if let Some(reason @ Reason::Votes(error)) = verdict.reason() {
                change.steps.push(format!("{}: {reason}", more_votes(error)));
            }
            break;
        };
        if seen.contains(&reason.code()) {
            break;
        }
        seen.push(reason.code());
        change.widens_trust |= matches!(
            reason,
            Reason::Chain(ChainError::UntrustedCa { .. })
                | Reason::Policy {
                    error: PolicyError::NoAuthority { .. }
                        | PolicyError::Usage { .. }
                        | PolicyError::Excluded { .. }
                        | PolicyError::NotPermitted { .. },
                    ..
                }
        );
        let (step, tried) = what_if.next(reason, object);
        change.steps.push(step);
        if !tried {
            break;
        }
    }
    change
}

/// A world that differs from this one by what was advised so far.
struct WhatIf {
    chain: Vec<Vec<u8>>,
    trust: Trust,
    times: Times,
}

impl WhatIf {
    /// What would help against a reason, and whether it could be put into effect here.
    fn next(&mut self, reason: &Reason, object: &Object) -> (String, bool) {
        match reason {
            Reason::Scope { error, .. } => self.scope(error, object.store_path().as_str(), reason),
            Reason::Chain(ChainError::UntrustedCa { certificate, issuer }) => {
                let tried = self.trust.anchors.add(&format!("tried-out:{issuer}")).is_ok();
                if let (true, Some(authorities)) = (tried, &mut self.trust.policy.authorities) {
                    authorities.insert("tried-out".to_owned(), unlimited());
                }
                let text = format!(
                    "get a certificate for '{}' from a CA that this host trusts, and rewrap; or, only if the CA with \
                     the key {issuer} is yours, add NAME:{issuer} to trusted-ca-keys of this host{}",
                    certificate.label,
                    if self.trust.policy.authorities.is_some() {
                        ", and a table [ca.NAME] to its policy"
                    } else {
                        ""
                    }
                );
                (text, tried)
            }
            Reason::Revocation { certificate, error } => self.revocation(certificate.as_ref(), error),
            Reason::Policy { certificate, error } => self.policy(certificate, error),
            other => (other.advice().to_owned(), false),
        }
    }

    fn scope(&mut self, error: &ScopeError, path: &str, reason: &Reason) -> (String, bool) {
        match error {
            ScopeError::Expired { at, .. } => {
                let mut text = self.renewal(path, at.at);
                if let Some(clock) = at.clock {
                    text.push_str(&format!(
                        " (the clock says {}, and is behind: this host's policy and the CA's lists prove that it is {} \
                         at least)",
                        shown(clock),
                        shown(at.at)
                    ));
                }
                (text, self.move_into_validity())
            }
            ScopeError::NotYetValid { not_before, at } => {
                let wait = Instant::from_seconds(at.at).map(|now| length(now, *not_before));
                let wait = wait.map(|wait| format!(" (another {wait})")).unwrap_or_default();
                let clock = at.clock.unwrap_or(at.at);
                let text = format!(
                    "this host's clock says {}: set it if it is behind (if it cannot be kept right, its policy can \
                     call it a lower-bound), or else wait until {not_before}{wait}",
                    shown(clock)
                );
                (text, self.move_into_validity())
            }
            ScopeError::HostNameNotConfigured => {
                let hosts = self.hosts();
                let text = format!(
                    "set 'ca-host-name' in nix.conf of this host to its name; the certificate is for: {}",
                    hosts.join(" ")
                );
                let host =
                    hosts.iter().find_map(|pattern| HostName::parse(&pattern.replace(['*', '?'], "x")).ok());
                let tried = host.is_some();
                self.trust.host = host.or(self.trust.host.take());
                (text, tried)
            }
            ScopeError::MissingUsage(_)
            | ScopeError::StoreDirectory(_)
            | ScopeError::Host(_)
            | ScopeError::NameExcluded(_)
            | ScopeError::NameNotPermitted(_) => (reason.advice().to_owned(), false),
        }
    }

    fn revocation(&mut self, certificate: Option<&CertificateId>, error: &RevocationError) -> (String, bool) {
        match error {
            RevocationError::ListMissing { ca } => {
                let tried = self
                    .loosen(ca, |rules| (rules.lists.missing, rules.lists.oldest) = (Doubt::Accept, None));
                (
                    format!(
                        "bring this host the newest revocation list of the CA '{ca}' (nixcert revocation install LIST)"
                    ),
                    tried,
                )
            }
            RevocationError::ListTooOld { ca, issued } => {
                let tried = self.loosen(ca, |rules| rules.lists.oldest = None);
                let text = format!(
                    "bring this host a newer revocation list of the CA '{ca}' than that of {issued} (nixcert revocation \
                     install LIST); the CA's keeper issues one, even if nothing is new: nixcert revoke --ca DIR --refresh"
                );
                (text, tried)
            }
            RevocationError::ListUnreadable { ca, .. } => {
                let tried = self.loosen(ca, |rules| rules.lists.unreadable = Doubt::Accept);
                let text = format!(
                    "replace the list that cannot be used by the newest one of its signer (nixcert revocation reset LIST; \
                     'nixcert revocation show' says which lists of the CA '{ca}' this host holds)"
                );
                (text, tried)
            }
            RevocationError::Retired { selector, .. } | RevocationError::Compromised { selector, .. } => {
                (after_revocation(certificate, selector), false)
            }
        }
    }

    fn policy(&mut self, certificate: &CertificateId, error: &PolicyError) -> (String, bool) {
        let label = &certificate.label;
        let administrator = "or the administrator of this host";
        match error {
            PolicyError::NoAuthority { ca } => {
                let authorities = self.trust.policy.authorities.get_or_insert_default();
                authorities.insert(ca.clone(), unlimited());
                let text = format!(
                    "somebody must sign it whose CA has rules in this host's policy; {administrator} must add a table \
                     [ca.{ca}] to it"
                );
                (text, true)
            }
            PolicyError::Usage { ca, usage } => {
                let usage = *usage;
                let tried = self.loosen(ca, |rules| {
                    rules.usages = rules.usages.iter().chain([usage]).collect();
                });
                let text = format!(
                    "somebody of another CA must sign it; {administrator} must add '{usage}' to the usages of [ca.{ca}] \
                     in its policy"
                );
                (text, tried)
            }
            PolicyError::Validity { ca, longest, .. } => {
                let longest = *longest;
                let days = longest / 86_400;
                let span = if longest % 86_400 == 0 { format!("{days}d") } else { format!("{longest}s") };
                let tried = self.loosen(ca, |rules| rules.longest_validity = None);
                let text = format!(
                    "have a certificate of shorter validity issued for '{label}' (nixcert issue --ca CA --renew --anyway \
                     --label {label} --not-before now --valid {span} -o {label}.cert), and rewrap"
                );
                (text, tried)
            }
            PolicyError::Chain { ca, deepest, .. } => {
                let deepest = *deepest;
                let tried = self.loosen(ca, |rules| rules.deepest_chain = 3);
                let text = match deepest {
                    0 => {
                        format!("have a certificate issued for '{label}' by the CA '{ca}' itself, and rewrap")
                    }
                    _ => format!(
                        "have a certificate issued for '{label}' with at most {deepest} intermediate CAs above it, and \
                         rewrap"
                    ),
                };
                (text, tried)
            }
            PolicyError::Excluded { ca, name, pattern } => {
                let tried = self.loosen(ca, |rules| rules.excluded_names = NameSet::default());
                let text = format!(
                    "somebody of another CA, or a trusted public key, must sign '{name}'; {administrator} must take \
                     '{pattern}' out of the excluded-names of [ca.{ca}] in its policy"
                );
                (text, tried)
            }
            PolicyError::NotPermitted { ca, name } => {
                let all = NameSet::new(["*".to_owned()]).unwrap_or_default();
                let tried = self.loosen(ca, |rules| rules.permitted_names = all);
                let text = format!(
                    "somebody of another CA, or a trusted public key, must sign '{name}'; {administrator} must add it to \
                     the permitted-names of [ca.{ca}] in its policy"
                );
                (text, tried)
            }
            PolicyError::Protected { name, pattern } => {
                let text = format!(
                    "no certificate helps: a key in trusted-public-keys of this host must sign '{name}', which its policy \
                     protects (by '{pattern}')"
                );
                (text, false)
            }
        }
    }

    /// Change the rules for a CA; false if there are none.
    fn loosen(&mut self, ca: &str, change: impl FnOnce(&mut Authority)) -> bool {
        let rules = self.trust.policy.authorities.as_mut().and_then(|authorities| authorities.get_mut(ca));
        rules.map(change).is_some()
    }

    /// "renew, then rewrap", for whom, and since when.
    fn renewal(&self, path: &str, now: u64) -> String {
        let mut steps = Vec::new();
        let mut leaf = String::new();
        for (position, certificate) in self.certificates().iter().enumerate().rev() {
            let label = certificate.label.to_string();
            let ago = Instant::from_seconds(now).map(|now| length(certificate.not_after, now));
            let ago =
                ago.map(|ago| if ago == "no time" { " just now".to_owned() } else { format!(" {ago} ago") });
            let ago = ago.unwrap_or_default();
            let expired = certificate.not_after.seconds() <= now;
            match (position, expired) {
                (0, true) => steps.push(format!(
                    "the certificate of '{label}' (serial {}) expired{ago}: renew it (nixcert issue --ca CA --renew \
                     --label {label} -o {label}.cert)",
                    certificate.serial
                )),
                (0, false) => steps.push(format!(
                    "have the certificate of '{label}' issued below the new one (nixcert issue --ca CA --renew --anyway \
                     --label {label} -o {label}.cert)"
                )),
                (_, true) => steps.push(format!(
                    "the intermediate CA '{label}' (serial {}) expired{ago}: renew it (nixcert issue --ca CA \
                     --renew --label {label}), and let it adopt that (nixcert ca adopt --force)",
                    certificate.serial
                )),
                (_, false) => {}
            }
            leaf = label;
        }
        steps.push(format!(
            "put it on the signature, without signing again (nixcert rewrap {leaf}.cert --path {path}, or --cache DIR); if \
             it should not have expired, check this host's clock"
        ));
        steps.join("; then ")
    }

    /// As if all certificates were in force: at the time at which they are, if there is one.
    fn move_into_validity(&mut self) -> bool {
        let certificates = self.certificates();
        let begins = certificates.iter().map(|certificate| certificate.not_before.seconds()).max();
        let ends = certificates.iter().map(|certificate| certificate.not_after.seconds()).min();
        match (begins, ends) {
            (Some(begins), Some(ends)) if begins < ends => {
                self.times = Times::new_object(begins);
                // What proves that it is later (FORMAT T1) cannot be taken back.
                let floors = [self.trust.policy.earliest_time, self.newest_list()];
                floors.into_iter().flatten().all(|floor| floor.seconds() < ends)
            }
            _ => false,
        }
    }

    /// The host patterns of the certificate that has the fewest.
    fn hosts(&self) -> Vec<String> {
        let hosts = |certificate: &Certificate<'_>| -> Vec<String> {
            certificate.hosts.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect()
        };
        let lists = self
            .certificates()
            .iter()
            .map(hosts)
            .filter(|hosts| hosts.iter().all(|host| host != "*"))
            .collect::<Vec<_>>();
        lists.into_iter().min_by_key(Vec::len).unwrap_or_default()
    }

    /// The issue time of the list that the chain's CA itself signed.
    fn newest_list(&self) -> Option<Instant> {
        let ca = self.certificates().last()?.issuer;
        self.trust.revocations.newest_of_the_ca(&ca)
    }

    fn certificates(&self) -> Vec<Certificate<'_>> {
        self.chain.iter().filter_map(|bytes| Certificate::parse(bytes).ok()).collect()
    }
}

fn unlimited() -> Authority {
    let all = NameSet::new(["*".to_owned()]).unwrap_or_default();
    Authority {
        permitted_names: all,
        excluded_names: NameSet::default(),
        longest_validity: None,
        deepest_chain: 3,
        usages: Usage::ALL.into_iter().collect(),
        lists: ListRules::default(),
        audit: Default::default(),
    }
}

/// What remains to be done where something was revoked.
fn after_revocation(certificate: Option<&CertificateId>, selector: &Selector) -> String {
    let is_intermediate = certificate.is_some_and(|certificate| certificate.position > 0);
    let label = certificate.map(|certificate| certificate.label.as_str()).unwrap_or_default();
    match (is_intermediate, selector) {
        (true, _) => format!(
            "the intermediate CA '{label}' was revoked: have a certificate issued by another one (or by the CA itself), \
             and rewrap"
        ),
        (false, Selector::Serial(_)) => format!(
            "only that certificate of '{label}' was revoked, not the key: have another issued for it (nixcert issue --ca CA \
             --renew --anyway --label {label} -o {label}.cert), and rewrap; or let another person sign"
        ),
        (false, Selector::Key(_)) => format!(
            "the key of '{label}' was revoked: make a new one (nixcert key generate), have it certified (nixcert request), \
             and sign again; or let another person sign"
        ),
        (false, Selector::Label(_)) => format!(
            "all that is certified under the label '{label}' was revoked: let another person sign; or, if it was a mistake, \
             ask the CA's keeper to take it back"
        ),
    }
}

/// Seconds since the epoch, for people.
pub(crate) fn shown(seconds: u64) -> String {
    Instant::from_seconds(seconds).map_or_else(|_| format!("second {seconds}"), |instant| instant.to_string())
}

/// The certificates in a signature's name, as far as they can be read; nothing in them is believed.
pub(crate) fn chain(signature: &str) -> Vec<Vec<u8>> {
    let name = signature.split(':').next().unwrap_or_default();
    let readable = |bytes: &Vec<u8>| Certificate::parse(bytes).is_ok();
    CertificateName::parse(name.as_bytes())
        .map(|name| name.certificates().to_vec())
        .ok()
        .filter(|chain| chain.iter().all(readable))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reasons of objects, which no signature has.
    const OF_OBJECTS: &[&str] = &["no-signatures", "malformed-object", "too-few-votes"];

    #[test]
    fn each_code_stands_at_one_rule() {
        let known =
            |rules: &[Rule]| -> Vec<&str> { rules.iter().flat_map(|rule| rule.codes).copied().collect() };
        let mut certified = known(CERTIFIED);
        certified.extend([SCOPE, LISTS, POLICY].into_iter().flat_map(known));
        for codes in [certified.clone(), known(PLAIN)] {
            let mut unique = codes.clone();
            unique.sort_unstable();
            unique.dedup();
            assert_eq!(unique.len(), codes.len());
            assert!(codes.iter().all(|code| Reason::CODES.contains(code)), "{codes:?}");
        }
        let unplaced: Vec<_> = Reason::CODES
            .iter()
            .filter(|code| !certified.contains(code) && !OF_OBJECTS.contains(code) && **code != "unknown-key")
            .collect();
        assert!(unplaced.is_empty(), "no rule has {unplaced:?}");
    }

    const EVERYTHING: HostRules = HostRules { lists: true, policy: true };

    #[test]
    fn how_far_it_came() {
        let signature = "alice.nixcert1.74aa:x";
        let labels = ["alice".to_owned(), "team".to_owned()];
        let at = |reason: Reason| {
            let steps = steps(signature, &Outcome::Refused(reason), &labels, EVERYTHING, &[]);
            let failed: Vec<_> =
                steps.iter().enumerate().filter(|(_, step)| step.status == Status::Failed).collect();
            assert_eq!(failed.len(), 1);
            let (at, step) = failed[0];
            assert!(steps[..at].iter().all(|step| step.status == Status::Ok));
            assert!(steps[at + 1..].iter().all(|step| step.status == Status::NotReached));
            assert_eq!(steps.len(), CERTIFIED.len() + 2 * SCOPE.len() + LISTS.len() + POLICY.len());
            (step.rule, step.certificate)
        };
        let chain = |error| Reason::Chain(error);
        let id =
            |position| CertificateId { label: "x".to_owned(), serial: nixcert_core::Serial(1), position };
        let ca = || "x".to_owned();
        assert_eq!(at(chain(ChainError::RepeatedKey)), ("roles", None));
        assert_eq!(at(Reason::BadSignature { certificate: None }), ("signature", None));
        let scope = |position, error| Reason::Scope { certificate: id(position), error };
        assert_eq!(at(scope(1, ScopeError::NameExcluded("x".to_owned()))), ("excluded-names", Some(1)));
        assert_eq!(at(scope(0, ScopeError::HostNameNotConfigured)), ("host", Some(0)));
        let revocation = |certificate, error| Reason::Revocation { certificate, error };
        assert_eq!(
            at(revocation(None, RevocationError::ListMissing { ca: ca() })),
            ("revocation-lists", None)
        );
        let selector = Selector::Label("x".to_owned());
        let retired = RevocationError::Retired { selector, cause: nixcert_core::Cause::Superseded };
        assert_eq!(at(revocation(Some(id(1)), retired)), ("revocation", None));
        let policy = |error| Reason::Policy { certificate: id(0), error };
        assert_eq!(at(policy(PolicyError::NoAuthority { ca: ca() })), ("policy-ca", None));
        let protected = PolicyError::Protected { name: "x".to_owned(), pattern: "x".to_owned() };
        assert_eq!(at(policy(protected)), ("protected-names", None));
    }

    #[test]
    fn what_audit_mode_lets_pass() {
        let certificate =
            CertificateId { label: "x".to_owned(), serial: nixcert_core::Serial(1), position: 0 };
        let error = PolicyError::Chain { ca: "acme".to_owned(), intermediates: 1, deepest: 0 };
        let reason = Reason::Policy { certificate, error };
        assert_eq!(rule_in_policy(&reason), "deepest-chain of [ca.acme]");
        let counted = Outcome::Counted(Signer::Certified {
            key: nixcert_core::PublicKey([0; 32]),
            label: "x".to_owned(),
            serial: nixcert_core::Serial(1),
            authority: "acme".to_owned(),
        });
        let steps = steps("x.nixcert1.74aa:x", &counted, &["x".to_owned()], EVERYTHING, &[reason]);
        let audited: Vec<_> = steps.iter().filter(|step| step.status != Status::Ok).collect();
        assert_eq!(audited.len(), 1);
        assert_eq!((audited[0].rule, audited[0].status), ("policy-chain", Status::Audited));
    }
}
