//! The activation gate, on a vector about a closure with some things changed: the input says which vector, and what is changed.
//!
//! Whatever the gate says for a path, or for all of them, is looked into here once more, clause by clause (FORMAT section 13).

use crate::bounded;
use crate::decision::{
    HOST_CHANGES, change_byte, change_host, change_signature, is_certified, is_for_host, is_in_scope, pick,
    pick_of, trust_of,
};
use crate::slow;
use crate::vectors::{Closure, ClosurePath, Record, RecordedVoucher, vectors};
use arbitrary::Unstructured;
use nixcert_core::{
    Activation, Anchors, Basis, CLOSURE_MARK, ChainCache, Clock, ClosureDigest, ClosureReason, ClosureRule,
    Deployment, Doubt, Earlier, Extent, Gate, GateRefusal, Member, Object, PublicKey, Recorded, Selector,
    Serial, Statement, Tally, Together, Trust, TrustError, Unvouched, Usage, Voucher, base64_decode,
    closure_digest, is_of_a_closure,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Most changes of one vector.
const CHANGES: usize = 12;

/// Most signatures, records, and vouchers in a record, of one path.
const MOST: usize = 8;

/// What certificates, chains and reasons take, for a byte of what the gate is given.
const BYTES_PER_BYTE: usize = 256;

/// G4: "at most a day after now"
const DAY: u64 = 86_400;

/// Each vector as it is, with some change, and where signatures of each path suffice, if who asks made some.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let numbers = 0..u16::try_from(vectors().closures.len()).expect("there are some hundred");
    let seed = |number: u16| {
        let [low, high] = number.to_le_bytes();
        [vec![low, high], vec![low, high, low, low, 0, low / 2, 1, low], vec![low, high, 18, 3]]
    };
    numbers.flat_map(seed).collect()
}

/// Section 13.
pub(crate) fn gate(data: &[u8]) -> bool {
    let mut input = Unstructured::new(data);
    // Whatever is missing at the end of the input is not changed.
    let Ok(mut case) = pick(&mut input, &vectors().closures) else { return false };
    for _ in 0..CHANGES {
        if input.is_empty() || change(&mut input, &mut case).is_err() {
            break;
        }
    }
    let Some(asked) = Asked::new(case) else { return false };
    let mut cache = ChainCache::default();
    let answer = asked.ask(&mut cache, false);
    // Nothing but the arguments matters: not what is remembered, nor the order.
    assert_eq!(asked.ask(&mut cache, false), answer, "with a warm cache");
    assert_eq!(asked.ask(&mut ChainCache::default(), true), answer, "turned round");
    asked.with_less_trust(&answer, &mut cache);
    // G1: "Without it, and while the configuration is broken (K6, P1), the gate refuses."
    let refuses = asked.trust.broken.is_some() || asked.trust.policy.activation.is_none();
    assert_eq!(answer.is_err(), refuses, "G1");
    let Ok(answer) = answer else { return false };
    let signed = asked.in_force(&answer);
    for (number, member) in answer.members.iter().enumerate() {
        if let Ok((basis, vouchers)) = member {
            asked.has_basis(number, *basis, vouchers, &signed);
        }
    }
    asked.may_pass(&answer, &signed);
    asked.without_signatures(&answer, &mut cache);
    answer.passes()
}

/// What the gate is asked.
#[derive(Clone)]
struct Asked {
    case: Closure,
    trust: Trust,
    objects: Vec<Object>,
    digest: ClosureDigest,
    last: Option<Statement>,
}

/// What it says of a path.
type OfMember = Result<(Basis, Vec<Voucher>), Box<Unvouched>>;

/// What it says.
#[derive(Debug, PartialEq)]
struct Answer {
    closure_signatures: Vec<Result<Voucher, ClosureReason>>,
    members: Vec<OfMember>,
    /// The statement by which it may be activated, if there is one.
    conclusion: Result<Option<Statement>, Vec<GateRefusal>>,
}

impl Answer {
    fn passes(&self) -> bool {
        self.conclusion.is_ok()
    }
}

/// Somebody who vouches, as the slow reader sees it.
struct Person {
    chain: Vec<slow::Certificate>,
    ca: String,
}

/// A closure signature that is in force.
struct Signed {
    /// Of the certificate.
    name: String,
    by: Person,
    statement: Vec<u8>,
    covers: bool,
}

impl Asked {
    /// `None` where no host would ask.
    fn new(case: Closure) -> Option<Self> {
        let fingerprints = || case.paths.iter().map(|path| path.fingerprint.as_bytes());
        let objects: Vec<Object> =
            fingerprints().map(|fingerprint| Object::path(fingerprint).ok()).collect::<Option<_>>()?;
        // A store has each path once.
        let names: BTreeSet<&str> = objects.iter().map(|object| object.store_path().as_str()).collect();
        let digest = closure_digest(fingerprints()).ok().filter(|_| names.len() == objects.len())?;
        let last = case.last.as_ref().map(|last| Statement::parse(last)).transpose().ok()?;
        Some(Self { trust: trust_of(&case.host), objects, digest, last, case })
    }

    fn with_trust(&self, trust: Trust) -> Self {
        Self { trust, ..self.clone() }
    }

    fn rules(&self) -> &Activation {
        self.trust.policy.activation.as_ref().expect("G1")
    }

    fn ask(&self, cache: &mut ChainCache, turned: bool) -> Result<Answer, GateRefusal> {
        let signatures = &self.case.paths[0].signatures;
        let deployment = Deployment {
            top: &self.objects[0],
            signatures,
            closure: self.digest,
            last: self.last.as_ref(),
            again: self.case.again,
            caller: self.case.caller.as_deref(),
        };
        let policy = self.case.host.policy.as_ref().map(|policy| policy.to_string().len());
        let given = bytes(signatures) + policy.unwrap_or_default();
        let now = self.case.host.now;
        let gate = bounded(given, BYTES_PER_BYTE, || Gate::new(&self.trust, now, &deployment))?;
        // As two threads share the work, or one does all of it.
        let mut tallies = [Tally::default(), Tally::default()];
        let mut members: Vec<_> = (0..self.objects.len()).map(|_| None).collect();
        let mut judge = |number: usize| {
            let verdict = self.member(&gate, number, cache);
            tallies[usize::from(turned || number % 2 == 1)].add(&verdict);
            let basis = verdict.basis().map(|(basis, vouchers)| (basis, vouchers.to_vec()));
            members[number] = Some(basis.map_err(|unvouched| Box::new(unvouched.clone())));
        };
        match turned {
            false => (0..self.objects.len()).for_each(&mut judge),
            true => (0..self.objects.len()).rev().for_each(&mut judge),
        }
        let [other, mut tally] = tallies;
        tally.merge(&other);
        let conclusion = gate.conclude(&tally);
        if let Ok(passed) = &conclusion {
            assert_eq!((passed.path(), passed.closure()), (self.objects[0].store_path(), self.digest));
            assert_eq!(passed.is_again(), self.case.again && passed.statement().is_none(), "G7");
        }
        let outcomes = gate.closure_signatures().iter().map(|signature| signature.outcome.clone());
        Ok(Answer {
            closure_signatures: outcomes.collect(),
            members: members.into_iter().map(|member| member.expect("each was judged")).collect(),
            conclusion: conclusion.map(|passed| passed.statement().cloned()),
        })
    }

    fn member(&self, gate: &Gate, number: usize, cache: &mut ChainCache) -> nixcert_core::MemberVerdict {
        let path = &self.case.paths[number];
        let vouchers: Vec<Vec<Recorded<'_>>> =
            path.earlier.iter().map(|record| record.vouchers.iter().filter_map(recorded).collect()).collect();
        let earlier: Vec<Earlier<'_>> = path
            .earlier
            .iter()
            .zip(&vouchers)
            .map(|(record, vouchers)| Earlier { activated: record.activated, vouchers })
            .collect();
        let recompute =
            || path.content_addressed.filter(|is| *is).map(drop).ok_or("its name says otherwise".to_owned());
        let member = Member {
            object: &self.objects[number],
            signatures: &path.signatures,
            content_addressed: path.content_addressed.is_some().then_some(&recompute),
            earlier: &earlier,
        };
        // Those who cover it are asked about each path.
        let covering = bytes(self.case.paths[0].signatures.iter().filter(|one| is_of_a_closure(one)));
        let names = path.earlier.iter().flat_map(|record| &record.vouchers).map(|voucher| match voucher {
            RecordedVoucher::Itself => 0,
            RecordedVoucher::Vendor(text) | RecordedVoucher::Person(text) => text.len(),
        });
        let given = bytes(&path.signatures) + covering + path.fingerprint.len() + names.sum::<usize>();
        bounded(given, BYTES_PER_BYTE, || gate.member(&member, cache))
    }

    /// T1
    fn now(&self, ca: &PublicKey) -> u64 {
        let floors = [self.trust.policy.earliest_time, self.trust.revocations.proven_time(ca)];
        let floor = floors.into_iter().flatten().map(|floor| floor.seconds()).max();
        self.case.host.now.max(floor.unwrap_or_default())
    }

    fn is_exact(&self) -> bool {
        self.trust.policy.clock == Clock::Exact
    }

    /// G2: "by certificates for which D1 to D5 and D8 to D10 hold, with three changes"
    fn counts(&self, voucher: &Voucher, object: &Object) -> Person {
        let person = self.is_person(voucher);
        is_in_scope(&person.chain, slow::VOUCH_FOR_SYSTEMS, &self.case.host, object, &self.trust);
        let now = self.now(&person.anchor());
        for certificate in &person.chain {
            assert!(now < certificate.not_after, "D2");
            assert!(certificate.not_before <= now || !self.is_exact(), "D2");
        }
        assert!(self.is_not_revoked(&person, None), "D9");
        let policy = &self.trust.policy;
        let rules = &policy.authorities.as_ref().expect("it has [activation]")[&person.ca];
        let name = object.store_path().name().as_bytes();
        let matches = |patterns: &nixcert_core::NameSet| {
            patterns.iter().any(|pattern| slow::name_matches(pattern.as_bytes(), name))
        };
        let leaf = &person.chain[0];
        let longest = rules.longest_validity.unwrap_or(u64::MAX);
        assert!(rules.usages.contains(Usage::VouchForSystems), "P3");
        assert!(leaf.not_after - leaf.not_before <= longest, "P3");
        assert!(person.chain.len() <= 1 + usize::from(rules.deepest_chain), "P3");
        assert!(matches(&rules.permitted_names) && !matches(&rules.excluded_names), "P4");
        assert!(!matches(&policy.protected_names), "P5");
        person
    }

    /// N1 to N3, section 5, and P2.
    fn is_person(&self, voucher: &Voucher) -> Person {
        let Voucher::Certified { name, signer } = voucher else { panic!("{voucher:?} is no person") };
        let (chain, ca) = is_certified(signer, name.as_bytes(), &self.case.host);
        let authorities = self.trust.policy.authorities.as_ref().expect("it has [activation]");
        assert!(authorities.contains_key(&ca), "P2");
        Person { chain, ca }
    }

    /// L5 and L12, as far as the lists go that the CA itself signed.
    fn is_not_revoked(&self, person: &Person, activated: Option<u64>) -> bool {
        let (anchor, revocations) = (person.anchor(), &self.trust.revocations);
        let now = self.now(&anchor);
        let activated = activated.filter(|at| (1..=now).contains(at));
        let rules = &self.trust.policy.authorities.as_ref().expect("it has [activation]")[&person.ca].lists;
        let newest = revocations.newest_of_the_ca(&anchor);
        let unknown = rules.unreadable == Doubt::Refuse && revocations.problem(&anchor).is_some()
            || (rules.missing == Doubt::Refuse || rules.oldest.is_some()) && newest.is_none()
            || rules.oldest.is_some_and(|oldest| {
                newest.is_some_and(|newest| now.saturating_sub(newest.seconds()) > oldest)
            });
        let valid = |at: u64| person.chain.iter().all(|one| (one.not_before..one.not_after).contains(&at));
        let own = revocations.of(&anchor).iter().filter(|list| list.is_of_the_ca());
        let mut revoked = own.flat_map(|list| {
            let selectors = person.chain.iter().flat_map(selectors);
            selectors.filter_map(|selector| list.entries().get(&selector))
        });
        !unknown
            && revoked.all(|revoked| match revoked.extent {
                Extent::Retired => activated.is_some(),
                Extent::Compromised { since } => {
                    self.is_exact() && activated.is_some_and(|at| at < since.seconds() && valid(at))
                }
            })
    }

    /// G1 and P6
    fn are_votes<'a>(&self, people: impl IntoIterator<Item = &'a Person>) -> bool {
        let rules = self.rules();
        let asked = people.into_iter().filter(|person| self.is_asked(person));
        let voters = asked.map(|person| {
            let compared = match rules.together {
                Together::OneVote => person.chain.len(),
                Together::SeparateVotes => 1,
            };
            let marks = person.chain[..compared]
                .iter()
                .flat_map(|one| [(false, one.subject.clone()), (true, one.label.clone())]);
            marks.collect()
        });
        slow::are_votes(&voters.collect(), usize::from(rules.votes))
    }

    /// G1: "optionally CAs whose certificates give them"
    fn is_asked(&self, person: &Person) -> bool {
        self.rules().authorities.as_ref().is_none_or(|authorities| authorities.contains(&person.ca))
    }

    /// G3 to G5: those closure signatures of which the gate says that they are in force.
    fn in_force(&self, answer: &Answer) -> Vec<Signed> {
        let signatures = self.case.paths[0].signatures.iter().filter(|signature| is_closure(signature));
        assert_eq!(signatures.clone().count(), answer.closure_signatures.len(), "S1");
        let outcomes = signatures.zip(&answer.closure_signatures);
        outcomes
            .filter_map(|(signature, outcome)| Some(self.signed(signature, outcome.as_ref().ok()?)))
            .collect()
    }

    fn signed(&self, signature: &[u8], voucher: &Voucher) -> Signed {
        let (name, payload) = split(signature).expect("section 2");
        let (bytes, certificate_name) = slow::closure_name(name).expect("S1");
        let statement = slow::statement(&bytes).expect("S2");
        let by = self.counts(voucher, &self.objects[0]);
        let name = String::from_utf8(certificate_name).expect("it is text");
        assert!(matches!(voucher, Voucher::Certified { name: own, .. } if *own == name), "G3");
        assert_eq!(statement.path, self.objects[0].store_path().as_str().as_bytes(), "G3");
        assert!(is_made(payload, &by.chain[0], &[b"nixcert1.closure\0", bytes.as_slice()].concat()), "S3");
        assert!(is_for_host(&statement.hosts, &self.case.host), "G4");
        let now = self.now(&by.anchor());
        assert!(now < statement.not_after, "G4");
        assert!(by.chain.iter().all(|certificate| statement.signed < certificate.not_after), "G4");
        assert!(statement.signed <= now.saturating_add(DAY) || !self.is_exact(), "G4");
        if let Some(last) = &self.case.last {
            let signed = slow::statement(last).expect("it was activated").signed;
            assert!(signed < statement.signed || *last == bytes, "G5");
        }
        let fingerprints = self.case.paths.iter().map(|path| path.fingerprint.as_str());
        let covers = slow::digest(fingerprints) == (statement.digest, statement.paths);
        Signed { name, by, statement: bytes, covers }
    }

    /// G2, for what the gate says of one path.
    fn has_basis(&self, number: usize, basis: Basis, vouchers: &[Voucher], signed: &[Signed]) {
        let (path, object, is_top) = (&self.case.paths[number], &self.objects[number], number == 0);
        assert!(!vouchers.is_empty(), "nobody vouches");
        match basis {
            Basis::ContentAddressed => {
                assert!(!is_top, "the top-level path is never accepted by (a)");
                assert_eq!(
                    (path.content_addressed, vouchers),
                    (Some(true), [Voucher::Itself].as_slice()),
                    "(a)"
                );
            }
            Basis::Vendor => {
                assert!(!is_top, "the top-level path is never accepted by (b)");
                vouchers.iter().for_each(|voucher| self.is_vendor(voucher, path));
            }
            Basis::ClosureSignature | Basis::Signatures => {
                let covering = |name: &str| signed.iter().any(|signed| signed.covers && signed.name == name);
                let mut covered = false;
                let mut people = vec![];
                for voucher in vouchers {
                    let person = self.counts(voucher, object);
                    let by_closure = covering(name_of(voucher));
                    covered |= by_closure;
                    let made = |signature: &Vec<u8>| {
                        split(signature).is_some_and(|(name, payload)| {
                            name == name_of(voucher).as_bytes()
                                && is_made(payload, &person.chain[0], path.fingerprint.as_bytes())
                        })
                    };
                    assert!(by_closure || path.signatures.iter().any(made), "(c), (d): no signature");
                    people.push(person);
                }
                assert!(self.are_votes(&people), "(d): too few votes");
                assert_eq!(basis == Basis::ClosureSignature, covered, "(c)");
            }
            Basis::Earlier => self.was_vouched_for(path, is_top, vouchers),
        }
    }

    /// G2 (b)
    fn is_vendor(&self, voucher: &Voucher, path: &ClosurePath) {
        let Voucher::Vendor { name, key } = voucher else { panic!("{voucher:?} is no vendor") };
        let vendors = &self.case.host.policy.as_ref().expect("it has [activation]")["activation"]["vendors"];
        let entry = format!("{name}:{key}");
        assert!(vendors.as_array().is_some_and(|vendors| vendors.contains(&json!(entry))), "(b): who?");
        let signed = path.signatures.iter().filter_map(|signature| split(signature)).any(|(own, payload)| {
            let payload = base64_decode(payload).unwrap_or_default();
            own == name.as_bytes() && slow::verifies(&key.0, path.fingerprint.as_bytes(), &payload)
        });
        assert!(signed, "(b): not signed");
    }

    /// G2 (e)
    fn was_vouched_for(&self, path: &ClosurePath, is_top: bool, vouchers: &[Voucher]) {
        // "Each deployment is asked by itself."
        let mut records = path
            .earlier
            .iter()
            .filter(|record| vouchers.iter().all(|voucher| record.vouchers.contains(&recorded_as(voucher))));
        if !vouchers.iter().any(|voucher| matches!(voucher, Voucher::Certified { .. })) {
            assert!(!is_top, "the top-level path is never accepted by (e) if it was (a) or (b) then");
            assert!(records.next().is_some(), "(e): nobody vouched for it then");
            return;
        }
        let people: Vec<Person> = vouchers.iter().map(|voucher| self.is_person(voucher)).collect();
        assert!(self.are_votes(&people), "(e): too few votes");
        let stand =
            |record: &Record| people.iter().all(|person| self.is_not_revoked(person, Some(record.activated)));
        assert!(records.any(stand), "(e): nobody vouched for it then who still stands");
    }

    /// G5 to G7, if the gate says that it may be activated.
    fn may_pass(&self, answer: &Answer, signed: &[Signed]) {
        let Ok(statement) = &answer.conclusion else { return };
        assert!(answer.members.iter().all(Result::is_ok), "G2: a path is none of (a) to (e)");
        let mut by_statement: BTreeMap<&[u8], Vec<&Signed>> = BTreeMap::new();
        for signed in signed {
            by_statement.entry(&signed.statement).or_default().push(signed);
        }
        by_statement.retain(|_, signed| self.are_votes(signed.iter().map(|signed| &signed.by)));
        let time = |bytes: &[u8]| slow::statement(bytes).expect("S2").signed;
        let newest = by_statement.keys().map(|bytes| time(bytes)).max();
        assert_eq!(statement.as_ref().map(|statement| statement.signed.seconds()), newest, "G5");
        if let Some(statement) = statement {
            let bytes = statement.to_bytes().expect("it was read");
            assert!(by_statement.contains_key(bytes.as_slice()), "G6: too few votes");
        }
        // G7: "needs neither a statement nor the signature of who asks"
        if self.case.again {
            return;
        }
        let rules = self.rules();
        assert!(rules.closure_signature == ClosureRule::Optional || newest.is_some(), "G6: no statement");
        if rules.caller_must_sign {
            let (basis, vouchers) = answer.members[0].as_ref().expect("G2");
            // "by (c) or (d)"
            let own = vouchers.iter().filter(|_| *basis != Basis::Earlier);
            let own: Vec<Person> = own.map(|voucher| self.is_person(voucher)).collect();
            let mut signers = by_statement.values().flatten().map(|signed| &signed.by).chain(&own);
            let caller = self.case.caller.as_ref().expect("G6: nobody knows who asks");
            let is_caller = |one: &Person| one.chain[0].label == caller.as_bytes() && self.is_asked(one);
            assert!(signers.any(is_caller), "G6: who asks has not signed");
        }
    }

    /// Who trusts less, lets pass less.
    fn with_less_trust(&self, answer: &Result<Answer, GateRefusal>, cache: &mut ChainCache) {
        let trust = || Trust { broken: None, ..self.trust.clone() };
        let mut passes = |asked: &Self| asked.ask(cache, false).is_ok_and(|answer| answer.passes());
        let nobody = Trust { anchors: Anchors::default(), ..trust() };
        assert!(!passes(&self.with_trust(nobody)), "no CA is trusted");
        let mut unsigned = self.with_trust(trust());
        for path in &mut unsigned.case.paths {
            path.signatures.clear();
            path.earlier.clear();
        }
        assert!(!passes(&unsigned), "nobody vouches");
        let mut nothing = trust();
        nothing.policy.activation = None;
        let refusal = self.with_trust(nothing).ask(cache, false);
        assert_eq!(refusal, Err(GateRefusal::NoActivationPolicy), "G1");
        let error: TrustError = Anchors::default().add("broken").expect_err("it is no key");
        let broken = Trust { broken: Some(error.clone()), ..trust() };
        assert_eq!(
            self.with_trust(broken).ask(cache, false),
            Err(GateRefusal::BrokenConfiguration(error)),
            "G1"
        );
        let Ok(answer) = answer else { return };
        // G2 (b): "those themselves […] are nothing to this gate"
        let no_keys = self.with_trust(Trust { public_keys: Default::default(), ..self.trust.clone() });
        assert_eq!(no_keys.ask(cache, false).as_ref(), Ok(answer), "trusted public keys are asked");
        let mut more = self.clone();
        if let Some(rules) = &mut more.trust.policy.activation {
            rules.votes += 1;
        }
        let with_more = more.ask(cache, false).is_ok_and(|answer| answer.passes());
        assert!(answer.passes() || !with_more, "it passes if more votes are asked for");
    }

    /// G2, by way of D6: "A signature that does not count has no effect on any other."
    fn without_signatures(&self, answer: &Answer, cache: &mut ChainCache) {
        let mut refused = answer.closure_signatures.iter().map(Result::is_err);
        for (number, path) in self.case.paths.iter().enumerate() {
            let mut own = 0;
            for (at, signature) in path.signatures.iter().enumerate() {
                let mut fewer = self.clone();
                fewer.case.paths[number].signatures.remove(at);
                let mut without = fewer.ask(cache, false).expect("G1");
                assert!(answer.passes() || !without.passes(), "signature {at} of path {number} refuses");
                if is_closure(signature) {
                    // That of another path is nothing.
                    if number != 0 || refused.next().expect("one for each") {
                        assert_eq!(without.members, answer.members, "closure signature {at} decides");
                        assert_eq!(without.conclusion.as_ref().ok(), answer.conclusion.as_ref().ok());
                    }
                    continue;
                }
                let counts = match &answer.members[number] {
                    Ok((_, vouchers)) => vouchers.iter().any(|voucher| is_by(voucher, signature, path)),
                    Err(unvouched) => unvouched.signatures[own].is_none(),
                };
                if !counts {
                    if let (Err(unvouched), Err(with)) =
                        (&mut without.members[number], &answer.members[number])
                    {
                        unvouched.signatures.insert(own, with.signatures[own].clone());
                    }
                    assert_eq!(&without, answer, "signature {at} of path {number} decides");
                }
                own += 1;
            }
        }
    }
}

impl Person {
    fn anchor(&self) -> PublicKey {
        let issuer = &self.chain[self.chain.len() - 1].issuer;
        PublicKey(issuer.as_slice().try_into().expect("section 3"))
    }
}

/// By what a list may name a certificate.
fn selectors(certificate: &slow::Certificate) -> [Selector; 3] {
    [
        Selector::Serial(Serial(certificate.serial)),
        Selector::Key(PublicKey(certificate.subject.as_slice().try_into().expect("section 3"))),
        Selector::Label(String::from_utf8(certificate.label.clone()).expect("section 2")),
    ]
}

fn bytes<'a>(signatures: impl IntoIterator<Item = &'a Vec<u8>>) -> usize {
    signatures.into_iter().map(Vec::len).sum()
}

/// N1
fn split(signature: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = signature.iter().position(|byte| *byte == b':')?;
    Some((&signature[..colon], &signature[colon + 1..]))
}

/// S1
fn is_closure(signature: &[u8]) -> bool {
    // What is no text has no name that could be one.
    let name = split(signature).and_then(|(name, _)| std::str::from_utf8(name).ok());
    name.is_some_and(|name| name.contains(CLOSURE_MARK))
}

/// When the vectors were made, and by whose certificate this is.
fn is_made(payload: &[u8], leaf: &slow::Certificate, message: &[u8]) -> bool {
    vectors().payloads.contains(payload)
        && base64_decode(payload).is_some_and(|bytes| slow::verifies(&leaf.subject, message, &bytes))
}

/// Whether that is who made this signature of the path.
fn is_by(voucher: &Voucher, signature: &[u8], path: &ClosurePath) -> bool {
    let key = match voucher {
        Voucher::Itself => return false,
        Voucher::Vendor { key, .. } => *key,
        Voucher::Certified { signer, .. } => signer.key(),
    };
    split(signature).is_some_and(|(name, payload)| {
        let payload = base64_decode(payload).unwrap_or_default();
        name == name_of(voucher).as_bytes() && slow::verifies(&key.0, path.fingerprint.as_bytes(), &payload)
    })
}

/// Under which a voucher signs.
fn name_of(voucher: &Voucher) -> &str {
    match voucher {
        Voucher::Itself => "",
        Voucher::Vendor { name, .. } | Voucher::Certified { name, .. } => name,
    }
}

fn recorded(voucher: &RecordedVoucher) -> Option<Recorded<'_>> {
    Some(match voucher {
        RecordedVoucher::Itself => Recorded::Itself,
        RecordedVoucher::Person(name) => Recorded::Person(name),
        RecordedVoucher::Vendor(entry) => {
            let (name, key) = entry.split_once(':')?;
            Recorded::Vendor { name, key: PublicKey(base64_decode(key.as_bytes())?.try_into().ok()?) }
        }
    })
}

fn recorded_as(voucher: &Voucher) -> RecordedVoucher {
    match voucher {
        Voucher::Itself => RecordedVoucher::Itself,
        Voucher::Vendor { name, key } => RecordedVoucher::Vendor(format!("{name}:{key}")),
        Voucher::Certified { name, .. } => RecordedVoucher::Person(name.clone()),
    }
}

/// One change.
fn change(input: &mut Unstructured<'_>, case: &mut Closure) -> arbitrary::Result<()> {
    let all = vectors();
    match input.arbitrary::<u8>()? % 40 {
        kind @ 0..HOST_CHANGES => change_host(kind, input, &mut case.host)?,
        10 => case.caller = pick(input, &all.closures)?.caller,
        11 => case.again = !case.again,
        12 => case.last = pick(input, &all.closures)?.last,
        13 => case.last = Some(pick_of(input, &all.statements)?),
        14 => case.host.policy = pick(input, &all.closures)?.host.policy,
        15 => case.host.ca_keys = pick(input, &all.closures)?.host.ca_keys,
        16 | 17 => change_activation("votes", json!(1 + input.arbitrary::<u8>()? % 4), case),
        18 => {
            let bits = input.arbitrary::<u8>()?;
            let of = |bit: u8, no: serde_json::Value, yes| if bits & bit == 0 { no } else { yes };
            change_activation("closure-signature", of(1, json!("required"), json!("optional")), case);
            change_activation("caller-must-sign", of(2, json!(false), json!(true)), case);
            let through = of(4, json!("one-vote"), json!("separate-votes"));
            change_activation("through-one-intermediate", through, case);
            let entry = case.host.ca_keys.last().filter(|_| bits & 8 != 0);
            if let Some((ca, _)) = entry.and_then(|entry| entry.split_once(':')) {
                let authorities = json!([ca]);
                change_activation("authorities", authorities, case);
            }
        }
        19 if case.paths.len() > 1 => {
            let number = 1 + usize::from(input.arbitrary::<u8>()?) % (case.paths.len() - 1);
            case.paths.remove(number);
        }
        20 => {
            let [one, other] = input.arbitrary::<[u8; 2]>()?.map(|at| usize::from(at) % case.paths.len());
            case.paths.swap(one, other);
        }
        kind => {
            let number = usize::from(input.arbitrary::<u8>()?) % case.paths.len();
            let from = if kind % 2 == 0 { case.clone() } else { pick(input, &all.closures)? };
            let other = pick(input, &from.paths)?;
            change_path(kind / 2, input, &mut case.paths[number], other)?;
        }
    }
    for path in &mut case.paths {
        path.signatures.truncate(MOST);
        path.earlier.truncate(MOST);
        path.earlier.iter_mut().for_each(|record| record.vouchers.truncate(MOST));
    }
    Ok(())
}

fn change_activation(key: &str, value: serde_json::Value, case: &mut Closure) {
    let activation = case.host.policy.as_mut().and_then(|policy| policy.get_mut("activation"));
    if let Some(activation) = activation.filter(|activation| activation.is_object()) {
        activation[key] = value;
    }
}

/// One change of a path, perhaps to something that another has.
fn change_path(
    kind: u8,
    input: &mut Unstructured<'_>,
    path: &mut ClosurePath,
    other: ClosurePath,
) -> arbitrary::Result<()> {
    match kind {
        10 | 11 => path.signatures.extend(other.signatures),
        12 if !path.signatures.is_empty() => {
            let at = usize::from(input.arbitrary::<u8>()?) % path.signatures.len();
            path.signatures.remove(at);
        }
        13 => path.earlier.extend(other.earlier),
        14 => match input.arbitrary::<u8>()? % 4 {
            0 => path.content_addressed = other.content_addressed,
            1 => path.content_addressed = Some(true),
            2 => path.fingerprint = other.fingerprint,
            _ => {
                let mut bytes = path.fingerprint.clone().into_bytes();
                change_byte(input, &mut bytes)?;
                path.fingerprint = String::from_utf8_lossy(&bytes).into_owned();
            }
        },
        15 => path.earlier = other.earlier,
        16 => change_record(input, path, other)?,
        _ => {
            let number = usize::from(input.arbitrary::<u8>()?) % path.signatures.len().max(1);
            let other = pick(input, &other.signatures).unwrap_or_default();
            let signature = path.signatures.get_mut(number).ok_or(arbitrary::Error::EmptyChoose)?;
            change_signature(input.arbitrary()?, input, signature, &other)?;
        }
    }
    Ok(())
}

/// One change of what was recorded of a path.
fn change_record(
    input: &mut Unstructured<'_>,
    path: &mut ClosurePath,
    other: ClosurePath,
) -> arbitrary::Result<()> {
    let number = usize::from(input.arbitrary::<u8>()?) % path.earlier.len().max(1);
    let record = path.earlier.get_mut(number).ok_or(arbitrary::Error::EmptyChoose)?;
    match input.arbitrary::<u8>()? % 8 {
        0 => drop(path.earlier.remove(number)),
        1 if !record.vouchers.is_empty() => {
            let at = usize::from(input.arbitrary::<u8>()?) % record.vouchers.len();
            record.vouchers.remove(at);
        }
        2 => record.activated = record.activated.wrapping_add_signed(i64::from(input.arbitrary::<i32>()?)),
        3 => record.vouchers.extend(other.earlier.into_iter().flat_map(|record| record.vouchers)),
        // Who signs it now, as if they had then.
        4 => record.vouchers.extend(other.signatures.iter().filter_map(|signature| {
            let (name, _) = split(signature)?;
            let name = slow::closure_name(name).map_or(name.to_vec(), |(_, name)| name);
            Some(RecordedVoucher::Person(String::from_utf8_lossy(&name).into_owned()))
        })),
        5 => record.vouchers.push(RecordedVoucher::Itself),
        // In two deployments, what was in one.
        _ => {
            let vouchers = record.vouchers.pop().into_iter().collect();
            let activated = record.activated;
            path.earlier.push(Record { activated, vouchers });
        }
    }
    Ok(())
}
