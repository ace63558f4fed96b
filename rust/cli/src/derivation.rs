//! How a verdict came about: the core's own outcome, laid out over the rules that it went through, and what would change it.
//!
//! Nothing is decided here. Which rule failed is what the core's reason says; what would help is tried out by asking the core
//! again, with a later time, another trusted key, or another host name.

use crate::time::length;
use nixcert_core::{
    Certificate, CertificateName, ChainCache, ChainError, HostName, Instant, Object, Outcome, Reason,
    ScopeError, Signer, Times, Trust, is_certificate_name, judge,
};
use serde::Serialize;

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

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Ok,
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

/// The rules in order, and how far the signature came.
pub(crate) fn steps(signature: &str, outcome: &Outcome, labels: &[String]) -> Vec<Step> {
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
        return rules.iter().map(|rule| step(rule, Status::Ok, says(rule.0, rule.1))).collect();
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

/// What would make a signature count.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Change {
    /// Which signature, counted from 1; none if there is none.
    pub(crate) signature: Option<usize>,
    /// What to do, in order.
    pub(crate) steps: Vec<String>,
    /// Whether the core, asked again as if that had been done, accepts. Null where it could not be tried out.
    pub(crate) suffices: Option<bool>,
    /// Whether another CA would have to be trusted: never the smallest change.
    #[serde(skip)]
    pub(crate) widens_trust: bool,
}

/// More than there are kinds of change.
const MOST_STEPS: usize = 6;

/// Try out what would make a signature count, one change after the other.
pub(crate) fn change(number: usize, signature: &str, object: &Object, trust: &Trust, times: Times) -> Change {
    let mut what_if = WhatIf { chain: chain(signature), trust: trust.clone(), times, now: times.now };
    let mut change =
        Change { signature: Some(number), steps: Vec::new(), suffices: None, widens_trust: false };
    let mut seen = Vec::new();
    while change.steps.len() < MOST_STEPS {
        let verdict = judge(object, &[signature], &what_if.trust, what_if.times, &mut ChainCache::default());
        let Some(reason) = verdict.reason() else {
            change.suffices = Some(true);
            break;
        };
        if seen.contains(&reason.code()) {
            break;
        }
        seen.push(reason.code());
        change.widens_trust |= matches!(reason, Reason::Chain(ChainError::UntrustedCa { .. }));
        let path = object.store_path().as_str();
        let (step, tried) = what_if.next(reason, path);
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
    now: u64,
}

impl WhatIf {
    /// What would help against a reason, and whether it could be put into effect here.
    fn next(&mut self, reason: &Reason, path: &str) -> (String, bool) {
        match reason {
            Reason::Scope { error: ScopeError::Expired { .. }, .. } => {
                (self.renewal(path), self.move_into_validity())
            }
            Reason::Scope { error: ScopeError::NotYetValid { not_before, .. }, .. } => {
                let wait = Instant::from_seconds(self.now).map(|now| length(now, *not_before));
                let wait = wait.map(|wait| format!(" (another {wait})")).unwrap_or_default();
                let text =
                    format!("wait until {not_before}{wait}, or correct this host's clock if it is wrong");
                (text, self.move_into_validity())
            }
            Reason::Scope { error: ScopeError::HostNameNotConfigured, .. } => {
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
            Reason::Chain(ChainError::UntrustedCa { certificate, issuer }) => {
                let tried = self.trust.anchors.add(&format!("tried-out:{issuer}")).is_ok();
                let text = format!(
                    "get a certificate for '{}' from a CA that this host trusts, and rewrap; or, only if the CA with \
                     the key {issuer} is yours, add NAME:{issuer} to trusted-ca-keys of this host",
                    certificate.label
                );
                (text, tried)
            }
            other => (other.advice().to_owned(), false),
        }
    }

    /// "renew, then rewrap", for whom, and since when.
    fn renewal(&self, path: &str) -> String {
        let now = self.now;
        let mut steps = Vec::new();
        let mut leaf = String::new();
        for (position, certificate) in self.certificates().iter().enumerate().rev() {
            let label = certificate.label.to_string();
            let ago = Instant::from_seconds(now).map(|now| length(certificate.not_after, now));
            let ago = ago.map(|ago| format!(" {ago} ago")).unwrap_or_default();
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
                true
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

    fn certificates(&self) -> Vec<Certificate<'_>> {
        self.chain.iter().filter_map(|bytes| Certificate::parse(bytes).ok()).collect()
    }
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
    const OF_OBJECTS: &[&str] = &["no-signatures", "malformed-object"];

    #[test]
    fn each_code_stands_at_one_rule_at_most() {
        let known =
            |rules: &[Rule]| -> Vec<&str> { rules.iter().flat_map(|rule| rule.codes).copied().collect() };
        let mut certified = known(CERTIFIED);
        certified.extend(known(SCOPE));
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
        // What the core has added since is shown as a rule of its own, where the core ranks it.
        println!("shown as 'further': {unplaced:?}");
    }

    #[test]
    fn how_far_it_came() {
        let signature = "alice.nixcert1.74aa:x";
        let at = |reason: Reason| {
            let steps = steps(signature, &Outcome::Refused(reason), &["alice".to_owned(), "team".to_owned()]);
            let failed: Vec<_> =
                steps.iter().enumerate().filter(|(_, step)| step.status == Status::Failed).collect();
            assert_eq!(failed.len(), 1);
            let (at, step) = failed[0];
            assert!(steps[..at].iter().all(|step| step.status == Status::Ok));
            assert!(steps[at + 1..].iter().all(|step| step.status == Status::NotReached));
            assert_eq!(steps.len(), CERTIFIED.len() + 2 * SCOPE.len());
            (step.rule, step.certificate)
        };
        let chain = |error| Reason::Chain(error);
        assert_eq!(at(chain(ChainError::RepeatedKey)), ("roles", None));
        assert_eq!(at(Reason::BadSignature { certificate: None }), ("signature", None));
        let scope = |position, error| Reason::Scope {
            certificate: nixcert_core::CertificateId {
                label: "x".to_owned(),
                serial: nixcert_core::Serial(1),
                position,
            },
            error,
        };
        assert_eq!(at(scope(1, ScopeError::NameExcluded("x".to_owned()))), ("excluded-names", Some(1)));
        assert_eq!(at(scope(0, ScopeError::HostNameNotConfigured)), ("host", Some(0)));
    }
}
