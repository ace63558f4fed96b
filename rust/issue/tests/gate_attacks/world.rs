//! What the gate is asked, as plain data: no bytes, and no signatures but by their makers. And in bytes, for the gate.

use nixcert_core::{
    CERTIFICATE_CONTEXT, CLOSURE_CONTEXT, Cause, CertificateName, ChainCache, ClosureDigest, ClosureName,
    Deployment, Earlier, Extent, Gate, GateRefusal, HostName, Instant, Label, Member, Object, Passed,
    Recorded, Revocations, Revoked, Selector, Serial, Statement, StorePath, Tally, Trust, TrustError, Usage,
    VerifiedList, Voucher, base64_encode, closure_digest,
};
use nixcert_host::PolicyFile;
use nixcert_issue::{Draft, ListDraft, SecretKey};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// 2027-01-15T08:00:00Z.
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const HOUR: u64 = 3_600;
pub(crate) const DAY: u64 = 86_400;

/// A key is the byte that its seed is made of.
pub(crate) type Key = u8;
pub(crate) type Text = &'static str;

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) host: Option<Text>,
    /// By name.
    pub(crate) cas: BTreeMap<Text, Key>,
    pub(crate) policy: Policy,
    /// By CA.
    pub(crate) lists: BTreeMap<Key, List>,
    pub(crate) caller: Option<Text>,
    pub(crate) last: Option<Said>,
    pub(crate) again: bool,
    /// The top-level path first.
    pub(crate) paths: Vec<Path>,
    pub(crate) closure_signatures: Vec<ClosureSignature>,
    /// More signatures of the top-level path, as they are, before the others.
    pub(crate) junk: Vec<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) lower_bound: bool,
    pub(crate) protected: BTreeSet<Text>,
    pub(crate) cas: BTreeMap<Text, Rules>,
    pub(crate) votes: u8,
    pub(crate) authorities: Option<BTreeSet<Text>>,
    pub(crate) separate: bool,
    pub(crate) required: bool,
    pub(crate) caller_must_sign: bool,
    pub(crate) vendors: BTreeMap<Text, Key>,
}

#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) permitted: BTreeSet<Text>,
    pub(crate) excluded: BTreeSet<Text>,
    pub(crate) may_vouch: bool,
    /// Whether not to vouch is only watched, which the gate does not do.
    pub(crate) audited: bool,
    pub(crate) deepest: u8,
    pub(crate) list_needed: bool,
}

/// What the CA itself revokes.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) issued: u64,
    pub(crate) labels: BTreeMap<Text, Option<u64>>,
    pub(crate) keys: BTreeMap<Key, Option<u64>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) label: Text,
    pub(crate) subject: Key,
    pub(crate) issuer: Key,
    pub(crate) forged: bool,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) vouches: bool,
    pub(crate) issues: bool,
    pub(crate) permitted: BTreeSet<Text>,
    pub(crate) excluded: BTreeSet<Text>,
    pub(crate) hosts: BTreeSet<Text>,
}

pub(crate) type Chain = Vec<Certificate>;

#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) name: Text,
    /// What is in it: another number is another content under the same path.
    pub(crate) content: u32,
    pub(crate) content_addressed: Option<bool>,
    pub(crate) signatures: Vec<Signature>,
    pub(crate) earlier: Vec<(u64, Vec<By>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Signature {
    /// What was in the path when it was signed.
    pub(crate) of: u32,
    pub(crate) by: By,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Itself,
    Vendor(Text, Key),
    Person(Chain),
}

#[derive(Clone, Debug)]
pub(crate) struct ClosureSignature {
    pub(crate) chain: Chain,
    pub(crate) said: Said,
    /// Of another statement than the one that is in the name.
    pub(crate) forged: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Said {
    pub(crate) signed: u64,
    pub(crate) not_after: u64,
    pub(crate) hosts: BTreeSet<Text>,
    pub(crate) about: About,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    This,
    /// The same top-level path, with another closure.
    OtherClosure,
    OtherPath,
}

pub(crate) fn set<T: Ord + Clone>(items: &[T]) -> BTreeSet<T> {
    items.iter().cloned().collect()
}

/// What the gate said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) in_force: Vec<bool>,
    /// How many closure signatures are told of.
    pub(crate) told: usize,
    pub(crate) codes: Vec<Option<&'static str>>,
    pub(crate) bases: Vec<Option<&'static str>>,
    pub(crate) vouchers: Vec<Vec<Voucher>>,
    pub(crate) result: Result<Passed, Vec<GateRefusal>>,
}

impl Answer {
    pub(crate) fn code(&self) -> Option<&'static str> {
        self.result.as_ref().err().map(|refusals| refusals[0].code())
    }
}

pub(crate) fn secret(key: Key) -> SecretKey {
    SecretKey::from_seed(&[key; 32])
}

fn instant(seconds: u64) -> Instant {
    Instant::from_seconds(seconds).unwrap()
}

fn strings(items: &BTreeSet<Text>) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn certificate(certificate: &Certificate) -> Vec<u8> {
    let mut usages = vec![Usage::ImportPaths];
    usages.extend(certificate.vouches.then_some(Usage::VouchForSystems));
    usages.extend(certificate.issues.then_some(Usage::Issue));
    let draft = Draft {
        serial: Serial(1),
        label: certificate.label.to_owned(),
        subject: secret(certificate.subject).public(),
        not_before: instant(certificate.not_before),
        not_after: instant(certificate.not_after),
        usages: usages.into_iter().collect(),
        path_length: 3,
        permitted_names: strings(&certificate.permitted),
        excluded_names: strings(&certificate.excluded),
        hosts: strings(&certificate.hosts),
        store_directories: BTreeSet::new(),
    };
    let mut bytes = draft.sign(&secret(certificate.issuer)).unwrap();
    if certificate.forged {
        let at = bytes.len() - 64;
        let signature = secret(0xee).sign(&[CERTIFICATE_CONTEXT, &bytes[..at]].concat());
        bytes[at..].copy_from_slice(&signature);
    }
    bytes
}

pub(crate) fn name_of(chain: &Chain) -> String {
    let certificates: Vec<Vec<u8>> = chain.iter().map(certificate).collect();
    CertificateName::format(Label::parse(chain[0].label.as_bytes()).unwrap(), &certificates)
}

fn path_of(name: &str) -> String {
    let digest: String = name
        .bytes()
        .chain([b'0'; 32])
        .filter(|byte| byte.is_ascii_digit())
        .take(32)
        .map(char::from)
        .collect();
    format!("/nix/store/{digest}-{name}")
}

impl World {
    pub(crate) fn fingerprint(&self, index: usize, content: u32) -> String {
        let references: BTreeSet<String> = match index {
            0 => self.paths.iter().skip(1).map(|path| path_of(path.name)).collect(),
            _ => BTreeSet::new(),
        };
        let references: Vec<String> = references.into_iter().collect();
        let hash = "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0";
        format!(
            "1;{};sha256:{hash};{};{}",
            path_of(self.paths[index].name),
            1 + content,
            references.join(",")
        )
    }

    pub(crate) fn digest(&self) -> ClosureDigest {
        closure_digest((0..self.paths.len()).map(|index| self.fingerprint(index, self.paths[index].content)))
            .unwrap()
    }

    pub(crate) fn statement(&self, said: &Said) -> Statement {
        let digest = self.digest();
        let (path, closure) = match said.about {
            About::This => (path_of(self.paths[0].name), digest),
            About::OtherClosure => (path_of(self.paths[0].name), ClosureDigest { sha256: [9; 32], ..digest }),
            About::OtherPath => (path_of("nixos-system-other"), digest),
        };
        Statement {
            path: StorePath::parse(&path).unwrap(),
            closure,
            hosts: strings(&said.hosts),
            signed: instant(said.signed),
            not_after: instant(said.not_after),
        }
    }

    pub(crate) fn closure_signature(&self, signature: &ClosureSignature) -> String {
        let statement = self.statement(&signature.said).to_bytes().unwrap();
        let name = ClosureName::format(&statement, &name_of(&signature.chain)).unwrap();
        let mut message = [CLOSURE_CONTEXT, &statement].concat();
        message.extend(signature.forged.then_some(0));
        format!("{name}:{}", base64_encode(&secret(signature.chain[0].subject).sign(&message)))
    }

    fn signature(&self, index: usize, signature: &Signature) -> String {
        let (name, key) = match &signature.by {
            By::Itself => unreachable!("a path signs nothing"),
            By::Vendor(name, key) => ((*name).to_owned(), *key),
            By::Person(chain) => (name_of(chain), chain[0].subject),
        };
        let message = self.fingerprint(index, signature.of);
        format!("{name}:{}", base64_encode(&secret(key).sign(message.as_bytes())))
    }

    pub(crate) fn trust(&self) -> Trust {
        let mut trust = Trust::default();
        for (name, key) in &self.cas {
            trust.anchors.add(&format!("{name}:{}", secret(*key).public())).unwrap();
        }
        trust.host = self.host.map(|host| HostName::parse(host).unwrap());
        match PolicyFile::from_json(&self.policy.json().to_string()) {
            Ok(file) => trust.policy = file.policy,
            Err(error) => trust.broken = Some(TrustError::Policy { problem: error.to_string() }),
        }
        let lists = self.lists.iter().map(|(ca, list)| {
            let bytes = list.bytes(*ca);
            Arc::new(VerifiedList::read(&bytes, &trust.anchors, None).unwrap())
        });
        trust.revocations = Revocations::new(lists);
        trust
    }

    pub(crate) fn objects(&self) -> Vec<Object> {
        let object = |index: usize| self.fingerprint(index, self.paths[index].content);
        (0..self.paths.len()).map(|index| Object::path(object(index).as_bytes()).unwrap()).collect()
    }

    pub(crate) fn signatures(&self, index: usize) -> Vec<String> {
        let own = self.paths[index].signatures.iter().map(|signature| self.signature(index, signature));
        if index > 0 {
            return own.collect();
        }
        let closures = self.closure_signatures.iter().map(|signature| self.closure_signature(signature));
        self.junk.iter().cloned().chain(closures).chain(own).collect()
    }

    /// Ask the gate.
    pub(crate) fn ask(&self) -> Result<Answer, GateRefusal> {
        let (trust, objects) = (self.trust(), self.objects());
        let last = self.last.as_ref().map(|said| self.statement(said));
        let top_signatures = self.signatures(0);
        let deployment = Deployment {
            top: &objects[0],
            signatures: &top_signatures,
            closure: self.digest(),
            last: last.as_ref(),
            again: self.again,
            caller: self.caller,
        };
        let gate = Gate::new(&trust, NOW, &deployment)?;
        let (mut tally, mut cache) = (Tally::default(), ChainCache::default());
        let (mut bases, mut all_vouchers) = (vec![], vec![]);
        for (index, object) in objects.iter().enumerate() {
            let path = &self.paths[index];
            let names: Vec<Vec<Option<String>>> =
                path.earlier.iter().map(|(_, vouchers)| vouchers.iter().map(By::name).collect()).collect();
            let recorded: Vec<Vec<Recorded<'_>>> = path
                .earlier
                .iter()
                .zip(&names)
                .map(|((_, vouchers), names)| {
                    vouchers.iter().zip(names).map(|(by, name)| by.recorded(name)).collect()
                })
                .collect();
            let earlier: Vec<Earlier<'_>> = path
                .earlier
                .iter()
                .zip(&recorded)
                .map(|((activated, _), vouchers)| Earlier { activated: *activated, vouchers })
                .collect();
            let recompute = || match path.content_addressed {
                Some(true) => Ok(()),
                Some(false) | None => Err("its name says otherwise".to_owned()),
            };
            let signatures = if index == 0 { top_signatures.clone() } else { self.signatures(index) };
            let member = Member {
                object,
                signatures: &signatures,
                content_addressed: path.content_addressed.is_some().then_some(&recompute),
                earlier: &earlier,
            };
            let verdict = gate.member(&member, &mut cache);
            tally.add(&verdict);
            let basis = verdict.basis().ok();
            bases.push(basis.map(|(basis, _)| basis.name()));
            all_vouchers.push(basis.map(|(_, vouchers)| vouchers.to_vec()).unwrap_or_default());
        }
        // Junk comes first, and not all of it is told of.
        let junk = gate.closure_signatures().len().saturating_sub(self.closure_signatures.len());
        let judged = || gate.closure_signatures().iter().skip(junk);
        Ok(Answer {
            told: gate.closure_signatures().len(),
            in_force: judged().map(|signature| signature.outcome.is_ok()).collect(),
            codes: judged()
                .map(|signature| signature.outcome.as_ref().err().map(|reason| reason.code()))
                .collect(),
            bases,
            vouchers: all_vouchers,
            result: gate.conclude(&tally),
        })
    }
}

impl By {
    fn name(&self) -> Option<String> {
        match self {
            Self::Person(chain) => Some(name_of(chain)),
            Self::Itself | Self::Vendor(..) => None,
        }
    }

    fn recorded<'a>(&self, name: &'a Option<String>) -> Recorded<'a> {
        match self {
            Self::Itself => Recorded::Itself,
            Self::Vendor(name, key) => Recorded::Vendor { name, key: secret(*key).public() },
            Self::Person(_) => Recorded::Person(name.as_deref().unwrap()),
        }
    }
}

impl List {
    fn bytes(&self, ca: Key) -> Vec<u8> {
        let revoked = |since: &Option<u64>| Revoked {
            extent: since.map_or(Extent::Retired, |since| Extent::Compromised { since: instant(since) }),
            cause: Cause::Unspecified,
        };
        let labels =
            self.labels.iter().map(|(label, since)| (Selector::Label((*label).to_owned()), revoked(since)));
        let keys =
            self.keys.iter().map(|(key, since)| (Selector::Key(secret(*key).public()), revoked(since)));
        let draft = ListDraft {
            ca: secret(ca).public(),
            certificates: vec![],
            issued: instant(self.issued),
            entries: labels.chain(keys).collect(),
        };
        draft.sign(&secret(ca)).unwrap()
    }
}

impl Policy {
    fn json(&self) -> Value {
        let cas = self.cas.iter().map(|(name, rules)| {
            let usages = if rules.may_vouch {
                json!(["import-paths", "vouch-for-systems"])
            } else {
                json!(["import-paths"])
            };
            let audit = if rules.audited { json!(["usages"]) } else { json!([]) };
            let table = json!({
                "permitted-names": rules.permitted,
                "excluded-names": rules.excluded,
                "usages": usages,
                "audit": audit,
                "deepest-chain": rules.deepest,
                "missing-list": if rules.list_needed { "refuse" } else { "accept" },
            });
            ((*name).to_owned(), table)
        });
        let mut activation = json!({
            "votes": self.votes,
            "through-one-intermediate": if self.separate { "separate-votes" } else { "one-vote" },
            "closure-signature": if self.required { "required" } else { "optional" },
            "caller-must-sign": self.caller_must_sign,
            "vendors": self.vendors.iter().map(|(name, key)| format!("{name}:{}", secret(*key).public())).collect::<Vec<_>>(),
        });
        if let Some(authorities) = &self.authorities {
            activation["authorities"] = json!(authorities);
        }
        json!({
            "version": 1,
            "clock": if self.lower_bound { "lower-bound" } else { "exact" },
            "revocation-lists": "/var/lib/nixcert/revocation",
            "protected-names": self.protected,
            "ca": cas.collect::<serde_json::Map<_, _>>(),
            "activation": activation,
        })
    }
}
