//! The whole decision, on a vector with some things changed: the input says which vector, and what is changed.
//!
//! Whether each rule is kept is what the model of the tests of `rust/issue` is about. Here, signatures and certificates are
//! changed as bytes, and what is accepted all the same must be what its signers made.

use crate::bounded;
use crate::slow;
use crate::vectors::{Case, Held, vectors};
use arbitrary::Unstructured;
use nixcert_core::{
    Anchors, CERTIFICATE_MARK, CLOSURE_MARK, ChainCache, Clock, HostName, Object, Outcome, PublicKey,
    RevocationList, Revocations, Signer, Times, Trust, TrustError, Verdict, VerifiedList, base32_encode,
    base64_decode, base64_encode, judge,
};
use nixcert_host::PolicyFile;
use std::sync::Arc;

/// Most changes of one vector.
const CHANGES: usize = 12;

/// What certificates, chains and reasons take, for a byte of a signature.
const BYTES_PER_BYTE: usize = 256;

/// Each vector as it is.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let numbers = 0..u16::try_from(vectors().cases.len()).expect("there are some hundred");
    numbers.map(|number| number.to_le_bytes().to_vec()).collect()
}

/// Sections 7 and 12.
pub(crate) fn decision(data: &[u8]) -> bool {
    let mut input = Unstructured::new(data);
    // Whatever is missing at the end of the input is not changed.
    let Ok(mut case) = pick(&mut input, &vectors().cases) else { return false };
    for _ in 0..CHANGES {
        if input.is_empty() || change(&mut input, &mut case).is_err() {
            break;
        }
    }
    let Some(object) = object_of(&case) else { return false };
    let trust = trust_of(&case);
    let times = Times { now: case.now, registered: case.registered };
    let mut cache = ChainCache::default();
    let mut decide = |signatures: &[Vec<u8>]| {
        let bytes: usize = signatures.iter().map(Vec::len).sum();
        bounded(bytes + object.fingerprint().len(), BYTES_PER_BYTE, || {
            judge(&object, signatures, &trust, times, &mut cache)
        })
    };
    let verdict = decide(&case.signatures);
    assert_eq!(verdict.signatures.len(), case.signatures.len());
    for (signature, outcome) in case.signatures.iter().zip(&verdict.signatures) {
        if let Outcome::Counted(signer) = outcome {
            is_made_by(signer, signature, &case, &object, &trust);
        }
    }
    let counts = verdict.signatures.iter().any(|outcome| matches!(outcome, Outcome::Counted(_)));
    assert!(counts || !verdict.accepted(), "no signature counts");
    assert_eq!(verdict.accepted(), verdict.reason().is_none());
    assert_eq!(verdict.accepted(), !verdict.keys().is_empty());

    // Nothing but the arguments matters: not what is remembered, nor the order.
    assert_eq!(decide(&case.signatures), verdict, "with a warm cache");
    let turned: Vec<Vec<u8>> = case.signatures.iter().rev().cloned().collect();
    let mut of_turned = decide(&turned);
    of_turned.signatures.reverse();
    assert_eq!(
        (of_turned.accepted(), &of_turned.signatures),
        (verdict.accepted(), &verdict.signatures),
        "turned round"
    );

    // D6: "A signature that does not count has no effect on any other."
    for (index, outcome) in verdict.signatures.iter().enumerate() {
        let mut fewer = case.signatures.clone();
        fewer.remove(index);
        let without = decide(&fewer);
        let mut others = verdict.signatures.clone();
        others.remove(index);
        assert_eq!(without.signatures, others, "signature {index} changes what becomes of others");
        match outcome {
            Outcome::Refused(_) => {
                assert_eq!(
                    without.accepted(),
                    verdict.accepted(),
                    "signature {index} is refused, and decides"
                );
                assert_eq!(without.audited, verdict.audited);
                assert_eq!(without.missing_votes, verdict.missing_votes);
            }
            Outcome::Counted(_) => {
                assert!(verdict.accepted() || !without.accepted(), "signature {index} refuses")
            }
        }
    }
    without_trust(&object, &case, &trust, times, &mut cache);
    verdict.accepted()
}

/// Who trusts less, accepts less.
fn without_trust(object: &Object, case: &Case, trust: &Trust, times: Times, cache: &mut ChainCache) {
    // What is remembered does not outlive a change of trust.
    let mut decide = |trust: &Trust| judge(object, &case.signatures, trust, times, cache);
    let certified = |verdict: &Verdict| {
        verdict.signatures.iter().any(|outcome| matches!(outcome, Outcome::Counted(Signer::Certified { .. })))
    };
    let nobody = Trust { anchors: Anchors::default(), public_keys: Default::default(), ..trust.clone() };
    assert!(!decide(&nobody).accepted(), "nobody is trusted");
    let no_ca = Trust { anchors: Anchors::default(), ..trust.clone() };
    assert!(!certified(&decide(&no_ca)), "no CA is trusted");
    let broken = Trust { broken: Anchors::default().add("broken").err(), ..trust.clone() };
    assert!(!certified(&decide(&broken)), "the configuration is broken");
    // What is listed as a plain key counts whatever is said about certificates.
    let plain = |verdict: &Verdict| {
        verdict
            .signatures
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Counted(Signer::Plain { .. })))
            .count()
    };
    assert_eq!(plain(&decide(&broken)), plain(&decide(trust)));
}

/// A signature that counts was made by somebody whom the host trusts, or whom somebody certified whom it trusts: of this
/// object, byte for byte, when the vectors were made.
fn is_made_by(signer: &Signer, signature: &[u8], case: &Case, object: &Object, trust: &Trust) {
    let colon = signature.iter().position(|byte| *byte == b':').expect("it has a name");
    let (name, base64) = (&signature[..colon], &signature[colon + 1..]);
    assert!(vectors().payloads.contains(base64), "forged: nobody made this signature");
    let payload = base64_decode(base64).expect("it is base64");
    let signed = |key: &PublicKey| {
        assert!(slow::verifies(&key.0, object.fingerprint(), &payload), "it is not of this key and object");
    };
    match signer {
        Signer::Plain { name: own, key } => {
            assert_eq!(own.as_bytes(), name);
            // D5: "what is not `NAME:BASE64` of 32 bytes is as if absent"
            let is_key =
                |base64: &str| base64_decode(base64.as_bytes()).is_some_and(|bytes| bytes.len() == 32);
            let entries = case.public_keys.iter().filter_map(|entry| entry.split_once(':'));
            let mut of_name = entries.filter(|(known, key)| known.as_bytes() == name && is_key(key));
            let first = of_name.next().map(|(_, key)| key.to_owned());
            assert_eq!(first, Some(key.to_string()), "D5: its name is another key's, or nobody's");
            signed(key);
        }
        Signer::Certified { key, .. } => {
            assert!(trust.broken.is_none());
            signed(key);
            let (chain, _) = is_certified(signer, name, case);
            let usage = if case.realisation { slow::IMPORT_REALISATIONS } else { slow::IMPORT_PATHS };
            is_in_scope(&chain, usage, case, object, trust);
        }
    }
}

/// N1 to N3, and section 5: the signer is who the certificates in the name say, and a CA says so. Returns its name.
pub(crate) fn is_certified(signer: &Signer, name: &[u8], case: &Case) -> (Vec<slow::Certificate>, String) {
    let Signer::Certified { key, label, serial, authority } = signer else { panic!("it has no certificate") };
    let (own, certificates) = slow::name(name).expect("N1");
    assert!(certificates.iter().all(|bytes| vectors().certificates.contains(bytes)), "forged: a certificate");
    let chain: Vec<slow::Certificate> =
        certificates.iter().map(|bytes| slow::certificate(bytes).expect("section 3")).collect();
    let leaf = &chain[0];
    assert_eq!((own.as_slice(), label.as_bytes()), (leaf.label.as_slice(), leaf.label.as_slice()), "N3");
    assert_eq!((key.0.as_slice(), serial.0), (leaf.subject.as_slice(), leaf.serial));
    let ca = is_verified(&chain, case);
    assert_eq!(authority.split('/').next(), Some(ca.as_str()));
    (chain, ca)
}

/// V1 to V5. Returns the CA's name.
fn is_verified(chain: &[slow::Certificate], case: &Case) -> String {
    let cas: Vec<(&str, Vec<u8>)> = case
        .ca_keys
        .iter()
        .filter_map(|entry| entry.split_once(':'))
        .map(|(name, key)| (name, base64_decode(key.as_bytes()).expect("K6")))
        .collect();
    let anchor = &chain[chain.len() - 1].issuer;
    for (i, certificate) in chain.iter().enumerate() {
        let issuer = chain.get(i + 1).map_or(anchor, |next| &next.subject);
        assert_eq!(&certificate.issuer, issuer, "V1");
        assert!(chain[i + 1..].iter().all(|other| other.subject != certificate.subject), "V2");
        assert_ne!(&certificate.subject, anchor, "V2");
        let message = [b"nixcert1.certificate\0", certificate.signed.as_slice()].concat();
        assert!(slow::verifies(issuer, &message, &certificate.signature), "V3");
        assert_eq!(certificate.usages & slow::ISSUE != 0, i > 0, "V4");
        assert!(i == 0 || certificate.path_length >= i as u64 - 1, "V5");
    }
    assert!(cas.iter().all(|(_, key)| *key != chain[0].subject), "V4: a CA's key signs no packages");
    cas.iter().find(|(_, key)| key == anchor).expect("V1: the issuer is no trusted CA").0.to_owned()
}

/// D2 to D4, where neither lists nor policy have a say.
pub(crate) fn is_in_scope(
    chain: &[slow::Certificate],
    usage: u64,
    case: &Case,
    object: &Object,
    trust: &Trust,
) {
    let exact = trust.policy.clock == Clock::Exact;
    let registered = case.registered.filter(|registered| *registered != 0);
    let valid = |instant: u64, certificate: &slow::Certificate| {
        (certificate.not_before..certificate.not_after).contains(&instant)
    };
    let at_registration =
        registered.is_some_and(|instant| chain.iter().all(|certificate| valid(instant, certificate)));
    let ended = chain.iter().any(|certificate| certificate.not_after <= case.now);
    assert!(at_registration || !ended, "D2: a certificate has ended");
    if exact && trust.policy.earliest_time.is_none() && case.lists.is_empty() {
        let now = chain.iter().all(|certificate| valid(case.now, certificate));
        let registered = at_registration && registered <= Some(case.now);
        assert!(now || registered, "D2: no instant at which every certificate is valid");
    }
    let (directory, name) =
        (object.store_path().directory().as_bytes(), object.store_path().name().as_bytes());
    for certificate in chain {
        assert_ne!(certificate.usages & usage, 0, "D3");
        let list = |kind| certificate.constraints.get(&kind);
        let matches =
            |kind| list(kind).is_some_and(|items| items.iter().any(|item| slow::name_matches(item, name)));
        assert!(matches(1) && !matches(2), "D4: names");
        assert!(list(3).is_some_and(|items| is_for_host(items, case)), "D4: hosts");
        let directories = list(4).cloned().unwrap_or(vec![b"/nix/store".to_vec()]);
        assert!(directories.iter().any(|known| known == directory), "D4: store directories");
    }
}

/// K5
pub(crate) fn is_for_host(patterns: &[Vec<u8>], case: &Case) -> bool {
    patterns.iter().any(|pattern| match &case.host {
        Some(host) => slow::glob_matches(pattern, host.as_bytes()),
        None => pattern == b"*",
    })
}

fn object_of(case: &Case) -> Option<Object> {
    match case.realisation {
        true => Object::realisation(case.fingerprint.as_bytes(), &case.store_directory).ok(),
        false => Object::path(case.fingerprint.as_bytes()).ok(),
    }
}

/// As a host makes it of its files.
pub(crate) fn trust_of(case: &Case) -> Trust {
    let mut trust = Trust::default();
    for entry in &case.public_keys {
        _ = trust.public_keys.add(entry);
    }
    let mut broken: Option<TrustError> = None;
    for entry in &case.ca_keys {
        broken = broken.or(trust.anchors.add(entry).err());
    }
    match case.host.as_deref().map(HostName::parse).transpose() {
        Ok(host) => trust.host = host,
        Err(error) => broken = Some(error),
    }
    match case.policy.as_ref().map(|policy| PolicyFile::from_json(&policy.to_string())).transpose() {
        Ok(file) => trust.policy = file.unwrap_or_default().policy,
        Err(error) => broken = Some(TrustError::Policy { problem: error.to_string() }),
    }
    let (mut lists, mut unreadable) = (vec![], vec![]);
    for held in &case.lists {
        match held {
            Held::Unreadable(name) => {
                let ca = trust.anchors.iter().find(|(known, _)| known == name).map(|(_, key)| *key);
                unreadable.extend(ca);
            }
            Held::Bytes(bytes) => match RevocationList::parse(bytes) {
                Err(_) => {}
                Ok(list) => {
                    let ca = list.ca;
                    match VerifiedList::read(bytes, &trust.anchors, trust.host.as_ref()) {
                        Ok(list) => lists.push(Arc::new(list)),
                        Err(_) => unreadable.push(ca),
                    }
                }
            },
        }
    }
    trust.revocations = Revocations::new(lists);
    unreadable
        .into_iter()
        .for_each(|ca| trust.revocations.set_unreadable(ca, "it cannot be used".to_owned()));
    trust.broken = broken;
    trust
}

pub(crate) fn pick<T: Clone>(input: &mut Unstructured<'_>, items: &[T]) -> arbitrary::Result<T> {
    let number = usize::from(input.arbitrary::<u16>()?);
    items.get(number % items.len().max(1)).cloned().ok_or(arbitrary::Error::EmptyChoose)
}

pub(crate) fn pick_of<'a, T: Clone + 'a>(
    input: &mut Unstructured<'_>,
    items: impl IntoIterator<Item = &'a T>,
) -> arbitrary::Result<T> {
    let items: Vec<&T> = items.into_iter().collect();
    pick(input, &items).cloned()
}

/// How many kinds of change there are of what a host has.
pub(crate) const HOST_CHANGES: u8 = 10;

/// One change of what a host has, of this kind.
pub(crate) fn change_host(kind: u8, input: &mut Unstructured<'_>, case: &mut Case) -> arbitrary::Result<()> {
    let all = vectors();
    match kind {
        0 => case.host = Some(pick_of(input, &all.hosts)?),
        1 => case.ca_keys = pick(input, &all.cases)?.ca_keys,
        2 => case.ca_keys.push(pick_of(input, &all.ca_keys)?),
        3 => case.public_keys.push(pick_of(input, &all.public_keys)?),
        4 => case.policy = pick(input, &all.cases)?.policy,
        5 => case.policy = Some(pick(input, &all.policies)?),
        6 => case.lists.push(Held::Bytes(pick_of(input, &all.lists)?)),
        7 => case.lists.clear(),
        8 => case.host = None,
        _ => case.now = case.now.wrapping_add_signed(i64::from(input.arbitrary::<i32>()?)),
    }
    Ok(())
}

/// One change.
fn change(input: &mut Unstructured<'_>, case: &mut Case) -> arbitrary::Result<()> {
    let all = vectors();
    match input.arbitrary::<u8>()? % 20 {
        kind @ 0..HOST_CHANGES => change_host(kind, input, case)?,
        10 => case.registered = Some(case.now.wrapping_add_signed(i64::from(input.arbitrary::<i32>()?))),
        11 => case.registered = None,
        12 => (case.realisation, case.fingerprint) = pick_of(input, &all.fingerprints)?,
        13 => case.signatures.extend(pick(input, &all.cases)?.signatures),
        // A certificate's name as that of a plain key.
        14 => {
            let signature = pick(input, &case.signatures)?;
            let key = pick_of(input, all.public_keys.iter().chain(&all.ca_keys))?;
            if let (Some((name, _)), Some((_, key))) =
                (String::from_utf8_lossy(&signature).split_once(':'), key.split_once(':'))
            {
                case.public_keys.insert(0, format!("{name}:{key}"));
            }
        }
        // A byte of what is signed.
        15 => {
            let mut bytes = case.fingerprint.clone().into_bytes();
            change_byte(input, &mut bytes)?;
            case.fingerprint = String::from_utf8_lossy(&bytes).into_owned();
        }
        // The rest is about one signature.
        kind => {
            if case.signatures.len() < 8 && input.arbitrary::<u8>()? % 2 == 0 {
                let signature = pick(input, &case.signatures)?;
                case.signatures.push(signature);
            }
            let number = usize::from(input.arbitrary::<u8>()?) % case.signatures.len().max(1);
            let other = pick(input, &all.cases)?.signatures;
            let other = pick(input, &other).unwrap_or_default();
            let signature = case.signatures.get_mut(number).ok_or(arbitrary::Error::EmptyChoose)?;
            change_signature(kind, input, signature, &other)?;
        }
    }
    case.signatures.truncate(16);
    Ok(())
}

pub(crate) fn change_byte(input: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> arbitrary::Result<()> {
    let at = usize::from(input.arbitrary::<u16>()?) % (bytes.len() + 1);
    let byte = input.arbitrary::<u8>()?;
    match (input.arbitrary::<u8>()? % 4, bytes.get_mut(at)) {
        (0 | 1, Some(known)) => *known = byte,
        (2, Some(_)) => _ = bytes.remove(at),
        _ => bytes.insert(at, byte),
    }
    Ok(())
}

/// One change of a signature, of this kind, perhaps to something that another has.
pub(crate) fn change_signature(
    kind: u8,
    input: &mut Unstructured<'_>,
    signature: &mut Vec<u8>,
    other: &[u8],
) -> arbitrary::Result<()> {
    match kind % 4 {
        0 => change_byte(input, signature),
        1 => exchange(input, signature, other),
        _ => change_inside(input, signature),
    }
}

/// A certificate signature, or one of a closure.
struct Parts {
    label: String,
    mark: &'static str,
    /// What is in base32: certificates, and before them the statement of a closure.
    encoded: Vec<String>,
    payload: String,
}

impl Parts {
    fn of(signature: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(signature);
        let (name, payload) = text.split_once(':')?;
        let split = |mark: &'static str| Some((mark, name.split_once(mark)?));
        let (mark, (label, encoded)) = split(CLOSURE_MARK).or_else(|| split(CERTIFICATE_MARK))?;
        Some(Self {
            label: label.to_owned(),
            mark,
            encoded: encoded.split('.').map(str::to_owned).collect(),
            payload: payload.to_owned(),
        })
    }

    fn join(self) -> Vec<u8> {
        let Self { label, mark, encoded, payload } = self;
        format!("{label}{mark}{}:{payload}", encoded.join(".")).into_bytes()
    }
}

/// Give one signature something of another.
fn exchange(input: &mut Unstructured<'_>, signature: &mut Vec<u8>, other: &[u8]) -> arbitrary::Result<()> {
    let (Some(mut own), Some(other)) = (Parts::of(signature), Parts::of(other)) else { return Ok(()) };
    let at = usize::from(input.arbitrary::<u8>()?) % own.encoded.len();
    match input.arbitrary::<u8>()? % 6 {
        0 => own.label = other.label,
        1 => own.payload = other.payload,
        2 => own.encoded[at] = pick(input, &other.encoded)?,
        3 => own.encoded.insert(at, pick(input, &other.encoded)?),
        4 => own.encoded.truncate(at + 1),
        _ => own.encoded.extend(other.encoded),
    }
    *signature = own.join();
    Ok(())
}

/// Change a byte of what is encoded in it.
fn change_inside(input: &mut Unstructured<'_>, signature: &mut Vec<u8>) -> arbitrary::Result<()> {
    let Some(mut own) = Parts::of(signature) else { return Ok(()) };
    let at = usize::from(input.arbitrary::<u8>()?) % (own.encoded.len() + 1);
    match own.encoded.get_mut(at) {
        Some(encoded) => {
            let mut bytes = slow::base32(encoded.as_bytes()).unwrap_or_default();
            change_byte(input, &mut bytes)?;
            *encoded = base32_encode(&bytes);
        }
        None => {
            let mut bytes = base64_decode(own.payload.as_bytes()).unwrap_or_default();
            change_byte(input, &mut bytes)?;
            own.payload = base64_encode(&bytes);
        }
    }
    *signature = own.join();
    Ok(())
}
