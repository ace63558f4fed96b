//! What is read: what was read can be written again, byte for byte, and a slow reader reads the same.

use crate::bounded;
use crate::slow;
use crate::vectors::vectors;
use ed25519_dalek::{Signer, SigningKey};
use nixcert_core::{
    Anchors, CERTIFICATE_CONTEXT, Certificate, CertificateName, ClosureName, Extent, HostName, HostPattern,
    Label, List, NamePattern, NarInfo, Object, PublicKey, REQUEST_CONTEXT, Request, RevocationList, Selector,
    Statement, VerifiedList, base64_encode, is_certificate_name,
};
use nixcert_host::PolicyFile;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Names that patterns are asked about.
const NAMES: [&str; 8] = [
    "hello-2.12",
    "hello",
    "hello-",
    "-1",
    "linux-headers-6.1",
    "a-b-c",
    "glibc-locales-2.40",
    "web-1.example.org",
];

/// Nothing is a message of this format together with what follows it, or without its end.
fn has_one_end(data: &[u8], reads: impl Fn(&[u8]) -> bool) {
    assert!(!reads(&data[..data.len() - 1]), "without its last byte it can be read, too");
    assert!(!reads(&[data, &[0]].concat()), "with a byte behind it it can be read, too");
}

/// Sections 2 and 13.
pub(crate) fn name(data: &[u8]) -> bool {
    let parsed = bounded(data.len(), 4, || CertificateName::parse(data).ok());
    let slow = slow::name(data);
    assert_eq!(parsed.is_some(), slow.is_some(), "a slow reader disagrees");
    assert!(!is_certificate_name(data) || slow::contains(data, b".nixcert1."));
    let closure = bounded(data.len(), 8, || ClosureName::parse(data).ok());
    if let (Some(name), Some((label, certificates))) = (&parsed, slow) {
        assert_eq!(name.label().as_str().as_bytes(), label);
        assert_eq!(name.certificates(), certificates);
        assert_eq!(CertificateName::format(name.label(), name.certificates()).as_bytes(), data);
        assert!(is_certificate_name(data));
        // Section 13: no name is of both kinds.
        assert!(closure.is_none() && !ClosureName::is_one(data));
    }
    if let Some(closure) = &closure {
        assert!(ClosureName::is_one(data) && !is_certificate_name(data));
        let written = ClosureName::format(&closure.statement, &closure.certificate_name);
        assert_eq!(written.as_deref().map(str::as_bytes), Ok(data));
        assert!(CertificateName::parse(closure.certificate_name.as_bytes()).is_ok());
    }
    parsed.is_some() || closure.is_some()
}

pub(crate) fn name_seeds() -> Vec<Vec<u8>> {
    vectors().names.iter().cloned().collect()
}

/// Section 3.
pub(crate) fn certificate(data: &[u8]) -> bool {
    let mut parsed = None;
    let cost = allocation_counter::measure(|| parsed = Certificate::parse(data).ok());
    assert_eq!(cost.count_total, 0, "a certificate is read where it is, without any memory");
    let slow = slow::certificate(data);
    assert_eq!(parsed.is_some(), slow.is_some(), "a slow reader disagrees: {parsed:#?} {slow:#?}");
    let (Some(certificate), Some(slow)) = (parsed, slow) else { return false };
    let items = |list: List<'_>| list.iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
    let slow_items = |kind| slow.constraints.get(&kind).cloned().unwrap_or_default();
    assert_eq!(certificate.serial.0, slow.serial);
    assert_eq!(certificate.label.as_str().as_bytes(), slow.label);
    assert_eq!(certificate.subject.0.as_slice(), slow.subject);
    assert_eq!(certificate.issuer.0.as_slice(), slow.issuer);
    assert_eq!(certificate.not_before.seconds(), slow.not_before);
    assert_eq!(certificate.not_after.seconds(), slow.not_after);
    assert_eq!(u64::from(certificate.usages.bits()), slow.usages);
    assert_eq!(u64::from(certificate.path_length), slow.path_length);
    assert_eq!(items(certificate.permitted_names), slow_items(1));
    assert_eq!(items(certificate.excluded_names), slow_items(2));
    assert_eq!(items(certificate.hosts), slow_items(3));
    assert_eq!(items(certificate.store_directories), slow_items(4));
    assert_eq!([certificate.to_be_signed, certificate.signature].concat(), data);
    assert_eq!(certificate.signed_message(), [CERTIFICATE_CONTEXT, &slow.signed].concat());
    has_one_end(data, |data| Certificate::parse(data).is_ok());
    for name in NAMES {
        let matching = |kind| slow_items(kind).iter().any(|item| slow::name_matches(item, name.as_bytes()));
        assert_eq!(certificate.permits_name(name), matching(1), "{name}");
        assert_eq!(certificate.excludes_name(name), matching(2), "{name}");
    }
    for item in slow_items(1).iter().chain(&slow_items(2)) {
        let pattern = NamePattern::parse(item).expect("it is an item");
        assert_eq!(pattern.to_string().as_bytes(), item);
        // A pattern is a name, too, if a strange one.
        for name in slow_items(1) {
            assert_eq!(pattern.matches(&name), slow::name_matches(item, &name));
        }
    }
    for item in slow_items(3) {
        let pattern = HostPattern::parse(&item).expect("it is an item");
        for name in NAMES {
            assert_eq!(
                pattern.matches(name.as_bytes()),
                slow::glob_matches(&item, name.as_bytes()),
                "{name}"
            );
        }
    }
    true
}

pub(crate) fn certificate_seeds() -> Vec<Vec<u8>> {
    vectors().certificates.iter().cloned().collect()
}

/// The only request that anybody here made.
static REQUEST: LazyLock<String> = LazyLock::new(|| {
    let key = SigningKey::from_bytes(&[0x20; 32]);
    let label = Label::parse(b"alice").expect("it is a label");
    let subject = PublicKey(key.verifying_key().to_bytes());
    let message = [REQUEST_CONTEXT, &Request::to_be_signed(label, &subject)].concat();
    Request::format(label, &subject, &key.sign(&message).to_bytes())
});

/// Section 4.
pub(crate) fn request(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(request) = bounded(data.len(), 4, || Request::verify(text)) else { return false };
    assert_eq!(text.strip_suffix('\n').unwrap_or(text), *REQUEST, "nobody signed this");
    assert_eq!(request.label(), "alice");
    true
}

pub(crate) fn request_seeds() -> Vec<Vec<u8>> {
    vec![REQUEST.clone().into_bytes()]
}

/// Every CA key of the vectors that can be one.
pub(crate) static ANCHORS: LazyLock<Anchors> = LazyLock::new(|| {
    let mut anchors = Anchors::default();
    for (number, entry) in vectors().ca_keys.iter().enumerate() {
        // One name may stand for several keys, in different vectors.
        let key = entry.split_once(':').map(|(_, key)| key).unwrap_or_default();
        _ = anchors.add(&format!("ca-{number}:{key}"));
    }
    anchors
});

/// Section 11.
pub(crate) fn list(data: &[u8]) -> bool {
    let Ok(list) = bounded(data.len(), 32, || RevocationList::parse(data)) else { return false };
    let mut written = [&[1, 1], list.ca.0.as_slice()].concat();
    written.push(u8::try_from(list.certificates.len()).expect("at most four"));
    for certificate in &list.certificates {
        written.extend(u16::try_from(certificate.len()).expect("at most 2,048").to_be_bytes());
        written.extend(*certificate);
    }
    written.extend(list.issued.seconds().to_be_bytes());
    written.extend(u32::try_from(list.entries.len()).expect("it fits in the list").to_be_bytes());
    let mut previous: Option<(u8, Vec<u8>)> = None;
    for (selector, revoked) in list.entries.iter() {
        assert_eq!(list.entries.get(&selector), Some(revoked));
        let order = Some((selector.kind(), selector.value()));
        assert!(previous < order, "L4: not in ascending order");
        previous = order;
        written.push(selector.kind());
        if let Selector::Label(label) = &selector {
            assert!(slow::is_label(label.as_bytes()));
            written.push(u8::try_from(label.len()).expect("at most 32"));
        }
        written.extend(selector.value());
        match revoked.extent {
            Extent::Retired => written.push(1),
            Extent::Compromised { since } => {
                assert!(since <= list.issued, "L5: since is later than the time of issue");
                written.push(2);
                written.extend(since.seconds().to_be_bytes());
            }
        }
        written.push(revoked.cause as u8);
    }
    assert_eq!(written, data[..data.len() - 64], "written again");
    assert_eq!(list.entries.first_lost(&list.entries), None);
    has_one_end(data, |data| RevocationList::parse(data).is_ok());
    for host in [None, HostName::parse("web-1").ok()] {
        if VerifiedList::read(data, &ANCHORS, host.as_ref()).is_ok() {
            assert!(vectors().lists.contains(data), "nobody signed this");
        }
    }
    true
}

pub(crate) fn list_seeds() -> Vec<Vec<u8>> {
    vectors().lists.iter().cloned().collect()
}

/// Section 13.
pub(crate) fn statement(data: &[u8]) -> bool {
    let Ok(statement) = bounded(data.len(), 32, || Statement::parse(data)) else { return false };
    assert_eq!(statement.to_bytes().as_deref(), Ok(data));
    let slow = slow::statement(data).expect("a slow reader disagrees");
    assert_eq!(statement.path.as_str().as_bytes(), slow.path);
    assert_eq!(
        (&statement.closure.sha256[..], u64::from(statement.closure.paths)),
        (&*slow.digest, slow.paths)
    );
    assert!(statement.hosts.iter().map(String::as_bytes).eq(&slow.hosts));
    assert_eq!((statement.signed.seconds(), statement.not_after.seconds()), (slow.signed, slow.not_after));
    assert!(
        statement.signed < statement.not_after && statement.closure.paths > 0 && !statement.hosts.is_empty()
    );
    assert!(statement.hosts.iter().all(|host| HostPattern::parse(host.as_bytes()).is_ok()));
    has_one_end(data, |data| Statement::parse(data).is_ok());
    true
}

pub(crate) fn statement_seeds() -> Vec<Vec<u8>> {
    vectors().statements.iter().cloned().collect()
}

/// Section 12: "What is not understood might have been a limit."
pub(crate) fn policy(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(file) = bounded(data.len(), 1024, || PolicyFile::parse(text)) else { return false };
    let votes = file.policy.thresholds.iter().map(|threshold| threshold.votes);
    assert!(
        votes
            .chain(file.policy.activation.iter().map(|rules| rules.votes))
            .all(|votes| (1..=16).contains(&votes))
    );
    let authorities =
        file.policy.authorities.as_ref().expect("P2: who has a policy has rules for each CA that counts");
    for rules in authorities.values() {
        assert!(
            rules.deepest_chain <= 3 && rules.longest_validity != Some(0) && rules.lists.oldest != Some(0)
        );
    }
    assert_eq!(PolicyFile::parse(&format!("{text}\n# the end\n")).as_ref(), Ok(&file));
    assert!(PolicyFile::parse(&format!("not-known = 1\n{text}")).is_err(), "P1");
    // A table has keys of its own: none of them takes one that is not known.
    let table: toml::Table = toml::from_str(text).expect("it was read");
    let value = serde_json::to_value(&table).expect("it has no strange keys");
    assert_eq!(PolicyFile::from_json(&value.to_string()).as_ref(), Ok(&file), "the same in JSON");
    for pointer in tables(&value, String::new()) {
        let mut more = value.clone();
        // A CA may be called anything, but it needs rules.
        more.pointer_mut(&pointer).expect("it is there")["not-known"] = 1.into();
        assert!(PolicyFile::from_json(&more.to_string()).is_err(), "P1: {pointer}");
    }
    true
}

/// Where there are tables in it.
fn tables(value: &serde_json::Value, pointer: String) -> Vec<String> {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    let children: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Object(map) => map.iter().map(|(key, value)| (escaped(key), value)).collect(),
        serde_json::Value::Array(items) => {
            items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
        }
        _ => return vec![],
    };
    let below = children.into_iter().flat_map(|(key, value)| tables(value, format!("{pointer}/{key}")));
    let own = value.is_object().then(|| pointer.clone());
    own.into_iter().chain(below.collect::<Vec<_>>()).collect()
}

pub(crate) fn policy_seeds() -> Vec<Vec<u8>> {
    let texts = vectors().policies.iter().filter_map(|policy| toml::to_string(policy).ok());
    texts.map(String::into_bytes).collect::<BTreeSet<_>>().into_iter().collect()
}

/// A narinfo is read as Nix reads it, or refused.
pub(crate) fn narinfo(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let Ok(narinfo) = bounded(data.len(), 64, || NarInfo::parse(text)) else { return false };
    let signatures: BTreeSet<String> = narinfo.signatures.iter().cloned().collect();
    assert_eq!(signatures.len(), narinfo.signatures.len(), "a signature is there twice");
    let fingerprint = narinfo.info.fingerprint();
    assert_eq!(slow::narinfo(text), Some((fingerprint.clone(), signatures)), "Nix reads something else");
    let object = Object::path(fingerprint.as_bytes()).expect("it has a fingerprint");
    assert_eq!(object.store_path(), &narinfo.info.path);
    assert_eq!(NarInfo::parse(&write_narinfo(&narinfo)), Ok(narinfo), "written again");
    true
}

fn write_narinfo(narinfo: &NarInfo) -> String {
    let NarInfo { info, signatures, content_address } = narinfo;
    let references: Vec<&str> =
        info.references.iter().map(|path| &path.as_str()[path.directory().len() + 1..]).collect();
    let mut text = format!(
        "StorePath: {}\nURL: nar/x\nNarHash: sha256:{}\nNarSize: {}\nReferences: {}\n",
        info.path,
        info.nar_hash,
        info.nar_size,
        references.join(" ")
    );
    signatures.iter().for_each(|signature| text += &format!("Sig: {signature}\n"));
    content_address.iter().for_each(|address| text += &format!("CA: {address}\n"));
    text
}

pub(crate) fn narinfo_seeds() -> Vec<Vec<u8>> {
    let hex = "StorePath: /nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin\nURL: nar/x.nar.xz\nCompression: xz\n\
        NarHash: sha256:003b9d8b16a5f9d4d1c2d8f23d9f2ae9d5eb6e2f2d8d3a3c6f1a2b4c5d6e7f80\nNarSize: 196040\nReferences: \n";
    let sri = format!("sha256-{}", base64_encode(&[7; 32]));
    let mut seeds =
        vec![hex.to_owned(), hex.replace(hex.split_whitespace().nth(7).unwrap_or_default(), &sri)];
    for case in vectors().cases.iter().filter(|case| !case.realisation) {
        let fields: Vec<&str> = case.fingerprint.split(';').collect();
        let [_, path, hash, size, references] = fields[..] else { continue };
        let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let references: Vec<String> = references.split(',').map(base).collect();
        let mut text = format!(
            "StorePath: {path}\nURL: nar/x\nNarHash: {hash}\nNarSize: {size}\nReferences: {}\n",
            references.join(" ")
        );
        for signature in &case.signatures {
            text += &format!("Sig: {}\n", String::from_utf8_lossy(signature));
        }
        seeds.push(text);
    }
    seeds.into_iter().map(String::into_bytes).collect()
}

/// Section 6.
pub(crate) fn object(data: &[u8]) -> bool {
    let path = bounded(data.len(), 64, || Object::path(data).ok());
    let realisation = bounded(data.len(), 64, || Object::realisation(data, "/nix/store").ok());
    assert!(path.is_none() || realisation.is_none(), "F5: no bytes are of both");
    let Some(object) = path.or(realisation) else { return false };
    assert_eq!(object.fingerprint(), data);
    let (path, text) = (object.store_path(), std::str::from_utf8(data).expect("it is text"));
    let (directory, base) = path.as_str().rsplit_once('/').expect("it is a path");
    assert_eq!(path.directory(), directory);
    assert_eq!(path.name(), &base[33..]);
    assert!(text.contains(base), "its path is not from the bytes that are signed");
    has_one_end(data, |data| Object::realisation(data, "/nix/store").is_ok());
    true
}

pub(crate) fn object_seeds() -> Vec<Vec<u8>> {
    vectors().fingerprints.iter().map(|(_, fingerprint)| fingerprint.clone().into_bytes()).collect()
}
