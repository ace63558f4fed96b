//! A world in bytes, and what the verifier says of it.

use crate::world::*;
use nixcert_core::{
    Anchors, CERTIFICATE_CONTEXT, Cause, ChainCache, HostName, Instant, PublicKeys, Revocations, Revoked,
    Serial, Times, Trust, TrustError, Usage, Verdict, VerifiedList, base32_encode, base64_encode, judge,
    rehearse,
};
use nixcert_host::PolicyFile;
use nixcert_issue::{Draft, ListDraft, SecretKey};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

const DIGEST: &str = "2m6rq2qfyv3w0lhxj8f1p9c4dbnk7g5s";

/// Makes bytes, and remembers those that it made: most certificates come again and again.
#[derive(Default)]
pub(crate) struct Engine {
    keys: RefCell<HashMap<Key, Arc<SecretKey>>>,
    certificates: RefCell<HashMap<Certificate, Vec<u8>>>,
    signatures: RefCell<HashMap<(Key, Object, bool), String>>,
    chains: RefCell<ChainCache>,
}

impl Engine {
    /// With all chains remembered that there is room for.
    pub(crate) fn judge(&self, world: &World) -> Verdict {
        self.judge_with(world, &mut self.chains.borrow_mut())
    }

    pub(crate) fn judge_with(&self, world: &World, cache: &mut ChainCache) -> Verdict {
        judge(&object(world.object, false), &self.signatures(world), &self.trust(world), times(world), cache)
    }

    /// What a rehearsal makes of it, as acceptance and a code for each signature.
    pub(crate) fn rehearse(&self, world: &World) -> (bool, Vec<Option<&'static str>>) {
        let object = object(world.object, false);
        let names: Vec<String> =
            self.signatures(world).iter().map(|text| text.split(':').next().unwrap().to_owned()).collect();
        let rehearsal =
            rehearse(object.kind(), object.store_path(), &names, &self.trust(world), times(world));
        let codes = rehearsal.refusals().map(|refusal| refusal.map(nixcert_core::Reason::code)).collect();
        (rehearsal.would_be_accepted(), codes)
    }

    /// Why a list cannot be used.
    pub(crate) fn list_code(&self, world: &World, list: &List) -> Option<&'static str> {
        let bytes = self.list(list);
        VerifiedList::read(&bytes, &self.anchors(world), host(world).as_ref()).err().map(|error| error.code())
    }

    fn key(&self, key: Key) -> Arc<SecretKey> {
        let mut keys = self.keys.borrow_mut();
        Arc::clone(keys.entry(key).or_insert_with(|| Arc::new(SecretKey::from_seed(&[key; 32]))))
    }

    fn entry(&self, name: &str, key: Key) -> String {
        format!("{name}:{}", self.key(key).public())
    }

    fn signatures(&self, world: &World) -> Vec<String> {
        let texts = world.signatures.iter().map(|signature| match signature {
            Signature::Plain { name, by, of_another } => {
                format!("{name}:{}", self.signature(*by, world.object, *of_another))
            }
            Signature::Certified { label, chain, by, of_another } => {
                let parts: Vec<String> =
                    chain.iter().map(|certificate| base32_encode(&self.certificate(certificate))).collect();
                format!(
                    "{label}.nixcert1.{}:{}",
                    parts.join("."),
                    self.signature(*by, world.object, *of_another)
                )
            }
        });
        texts.collect()
    }

    fn signature(&self, by: Key, of: Object, of_another: bool) -> String {
        let sign = || base64_encode(&self.key(by).sign(object(of, of_another).fingerprint()));
        self.signatures.borrow_mut().entry((by, of, of_another)).or_insert_with(sign).clone()
    }

    fn certificate(&self, certificate: &Certificate) -> Vec<u8> {
        let mut certificates = self.certificates.borrow_mut();
        certificates.entry(certificate.clone()).or_insert_with(|| self.make_certificate(certificate)).clone()
    }

    fn make_certificate(&self, certificate: &Certificate) -> Vec<u8> {
        let strings = |items: &BTreeSet<Text>| items.iter().map(|item| (*item).to_owned()).collect();
        let draft = Draft {
            serial: Serial(certificate.serial),
            label: certificate.label.to_owned(),
            subject: self.key(certificate.subject).public(),
            not_before: instant(certificate.not_before),
            not_after: instant(certificate.not_after),
            usages: certificate.usages.iter().copied().map(usage).collect(),
            path_length: certificate.path_length,
            permitted_names: strings(&certificate.permitted),
            excluded_names: strings(&certificate.excluded),
            hosts: strings(&certificate.hosts),
            store_directories: strings(&certificate.stores),
        };
        let mut bytes = draft.sign(&self.key(certificate.issuer)).unwrap();
        if certificate.signed_by != certificate.issuer {
            let at = bytes.len() - 64;
            let signature =
                self.key(certificate.signed_by).sign(&[CERTIFICATE_CONTEXT, &bytes[..at]].concat());
            bytes[at..].copy_from_slice(&signature);
        }
        bytes
    }

    fn list(&self, list: &List) -> Vec<u8> {
        let entry = |(selector, extent): (&Selector, &Extent)| {
            let selector = match selector {
                Selector::Serial(serial) => nixcert_core::Selector::Serial(Serial(*serial)),
                Selector::Key(key) => nixcert_core::Selector::Key(self.key(*key).public()),
                Selector::Label(label) => nixcert_core::Selector::Label((*label).to_owned()),
            };
            let extent = match extent {
                Extent::Retired => nixcert_core::Extent::Retired,
                Extent::Compromised(since) => nixcert_core::Extent::Compromised { since: instant(*since) },
            };
            (selector, Revoked { extent, cause: Cause::Unspecified })
        };
        let draft = ListDraft {
            ca: self.key(list.ca).public(),
            certificates: list.chain.iter().map(|certificate| self.certificate(certificate)).collect(),
            issued: instant(list.issued),
            entries: list.entries.iter().map(entry).collect(),
        };
        draft.sign(&self.key(list.signed_by)).unwrap()
    }

    fn anchors(&self, world: &World) -> Anchors {
        let mut anchors = Anchors::default();
        world.cas.iter().for_each(|(name, key)| anchors.add(&self.entry(name, *key)).unwrap());
        anchors
    }

    fn trust(&self, world: &World) -> Trust {
        let mut trust = Trust { anchors: self.anchors(world), host: host(world), ..Trust::default() };
        let mut public_keys = PublicKeys::default();
        world.plain_keys.iter().for_each(|(name, key)| public_keys.add(&self.entry(name, *key)).unwrap());
        trust.public_keys = public_keys;
        if world.broken {
            trust.broken = Some(trust.anchors.add("mistyped").unwrap_err());
        }
        if let Some(policy) = &world.policy {
            match PolicyFile::from_json(&policy_json(policy).to_string()) {
                Ok(file) => trust.policy = file.policy,
                Err(error) => trust.broken = Some(TrustError::Policy { problem: error.to_string() }),
            }
            assert_eq!(trust.broken.is_some(), policy.broken || world.broken, "{:?}", trust.broken);
        }
        let (mut lists, mut unreadable) = (vec![], world.unreadable.clone());
        for list in &world.lists {
            let bytes = self.list(list);
            match VerifiedList::read(&bytes, &trust.anchors, trust.host.as_ref()) {
                Ok(verified) => lists.push(Arc::new(verified)),
                Err(_) => _ = unreadable.insert(list.ca),
            }
        }
        trust.revocations = Revocations::new(lists);
        for ca in unreadable {
            trust.revocations.set_unreadable(self.key(ca).public(), "it is not readable".to_owned());
        }
        trust
    }
}

fn object(object: Object, another: bool) -> nixcert_core::Object {
    let Object { store, name, .. } = object;
    let number = if another { 2 } else { 1 };
    if object.realisation {
        let text = format!(
            r#"{{"dependentRealisations":{{}},"id":"sha256:0{number}!out","outPath":"{DIGEST}-{name}"}}"#
        );
        nixcert_core::Object::realisation(text.as_bytes(), store).unwrap()
    } else {
        let hash = "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0";
        let text = format!("1;{store}/{DIGEST}-{name};sha256:{hash};19604{number};");
        nixcert_core::Object::path(text.as_bytes()).unwrap()
    }
}

fn times(world: &World) -> Times {
    Times { now: world.clock, registered: world.registered }
}

fn host(world: &World) -> Option<HostName> {
    world.host.map(|host| HostName::parse(host).unwrap())
}

fn instant(seconds: u64) -> Instant {
    Instant::from_seconds(seconds).unwrap()
}

fn usage(usage: Use) -> Usage {
    match usage {
        Use::Paths => Usage::ImportPaths,
        Use::Realisations => Usage::ImportRealisations,
        Use::Issue => Usage::Issue,
        Use::Revoke => Usage::Revoke,
    }
}

/// The policy as it is written down.
fn policy_json(policy: &Policy) -> Value {
    let mut table = json!({
        "version": 1,
        "clock": if policy.lower_bound { "lower-bound" } else { "exact" },
        "revocation-lists": "/var/lib/nixcert/revocation",
        "protected-names": policy.protected,
        "ca": policy.cas.iter().map(|(name, rules)| ((*name).to_owned(), rules_json(rules))).collect::<serde_json::Map<_, _>>(),
        "threshold": policy.thresholds.iter().map(threshold_json).collect::<Vec<_>>(),
    });
    if let Some(earliest) = policy.earliest {
        table["earliest-time"] = json!(instant(earliest).to_string());
    }
    if policy.protected_audit && !policy.protected.is_empty() {
        table["audit"] = json!(["protected-names"]);
    }
    if policy.broken {
        table["clok"] = json!("exact");
    }
    table
}

fn rules_json(rules: &Rules) -> Value {
    let words = rules.usages.iter().filter_map(|usage| match usage {
        Use::Paths => Some("import-paths"),
        Use::Realisations => Some("import-realisations"),
        Use::Issue | Use::Revoke => None,
    });
    let usages: Vec<&str> = words.chain(["vouch-for-systems"]).collect();
    let doubt = |doubt: Doubt| if doubt == Doubt::Refuse { "refuse" } else { "accept" };
    let names = [
        ("usage-not-in-policy", "usages"),
        ("validity-too-long", "longest-validity"),
        ("chain-too-deep", "deepest-chain"),
        ("name-excluded-by-policy", "excluded-names"),
        ("name-not-permitted-by-policy", "permitted-names"),
    ];
    let audit: Vec<&str> =
        names.iter().filter(|(code, _)| rules.audit.contains(code)).map(|(_, name)| *name).collect();
    let mut table = json!({
        "permitted-names": rules.permitted,
        "excluded-names": rules.excluded,
        "usages": usages,
        "audit": audit,
    });
    let span = |seconds: u64| json!(format!("{seconds}s"));
    let optional = [
        ("longest-validity", rules.longest.map(span)),
        ("deepest-chain", rules.deepest.map(|deepest| json!(deepest))),
        ("missing-list", rules.missing.map(|missing| json!(doubt(missing)))),
        ("unreadable-list", rules.unreadable.map(|unreadable| json!(doubt(unreadable)))),
        ("oldest-list", rules.oldest.map(span)),
    ];
    for (key, value) in optional {
        if let Some(value) = value {
            table[key] = value;
        }
    }
    table
}

fn threshold_json(threshold: &Threshold) -> Value {
    let mut table = json!({
        "names": threshold.names,
        "votes": threshold.votes,
        "through-one-intermediate": if threshold.separate { "separate-votes" } else { "one-vote" },
        "audit": threshold.audit,
    });
    if let Some(authorities) = &threshold.authorities {
        table["authorities"] = json!(authorities);
    }
    table
}
