//! FORMAT.md read once more: slowly, simply, and sharing nothing with the verifier.

use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Section 3.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Certificate {
    pub(crate) serial: u64,
    pub(crate) label: Vec<u8>,
    pub(crate) subject: Vec<u8>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) usages: u64,
    pub(crate) path_length: u64,
    /// By kind.
    pub(crate) constraints: BTreeMap<u64, Vec<Vec<u8>>>,
    pub(crate) signed: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

/// F6
pub(crate) const IMPORT_PATHS: u64 = 0x01;
pub(crate) const IMPORT_REALISATIONS: u64 = 0x02;
pub(crate) const VOUCH_FOR_SYSTEMS: u64 = 0x04;
pub(crate) const ISSUE: u64 = 0x08;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    /// C1
    fn number(&mut self, bytes: u64) -> Option<u64> {
        Some(self.bytes(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn time(&mut self) -> Option<u64> {
        self.number(8).filter(|time| *time <= 253_402_300_799)
    }

    /// F8
    fn entries(&mut self) -> Option<BTreeMap<u64, Vec<u8>>> {
        let count = self.number(1).filter(|count| *count <= 16)?;
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let kind = self.number(1)?;
            if entries.last_key_value().is_some_and(|(last, _)| *last >= kind) {
                return None;
            }
            let length = self.number(2)?;
            entries.insert(kind, self.bytes(length)?.to_vec());
        }
        Some(entries)
    }
}

/// Section 3, all of it.
pub(crate) fn certificate(bytes: &[u8]) -> Option<Certificate> {
    let mut reader = Reader(bytes);
    if bytes.len() > 2_048 || reader.bytes(2)? != [1, 1] {
        return None;
    }
    let serial = reader.number(8).filter(|serial| *serial != 0)?;
    let length = reader.number(1)?;
    let label = reader.bytes(length)?.to_vec();
    let (subject, issuer) = (reader.bytes(32)?.to_vec(), reader.bytes(32)?.to_vec());
    let (not_before, not_after) = (reader.time()?, reader.time()?);
    let usages = reader.number(1).filter(|usages| *usages != 0 && *usages < 0x20)?;
    let path_length = if usages & ISSUE == 0 { 0 } else { reader.number(1)? };
    let entries = reader.entries()?;
    reader.entries()?;
    let signed = bytes[..bytes.len() - reader.0.len()].to_vec();
    let mut constraints = BTreeMap::new();
    for (kind, value) in entries {
        constraints.insert(kind, items(kind, &value)?);
    }
    let present = constraints.contains_key(&1) && constraints.contains_key(&3);
    let holds =
        present && is_label(&label) && subject != issuer && not_before < not_after && reader.0.len() == 64;
    let signature = reader.0.to_vec();
    holds.then_some(Certificate {
        serial,
        label,
        subject,
        issuer,
        not_before,
        not_after,
        usages,
        path_length,
        constraints,
        signed,
        signature,
    })
}

/// F9, F10, K2, K4, K5
fn items(kind: u64, value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = Reader(value);
    let mut items: Vec<Vec<u8>> = vec![];
    while !reader.0.is_empty() {
        let length = reader.number(1)?;
        let item = reader.bytes(length)?.to_vec();
        let admitted = match kind {
            1 | 2 => is_name_pattern(&item),
            3 => is_glob(&item, 253, |byte| {
                byte.is_ascii_digit() || byte.is_ascii_lowercase() || b"-.".contains(&byte)
            }),
            4 => is_directory(&item),
            _ => false,
        };
        if !admitted || items.last().is_some_and(|last| *last >= item) {
            return None;
        }
        items.push(item);
    }
    (!items.is_empty()).then_some(items)
}

/// Section 2: `alnum [ *30( alnum / "-" ) alnum ]`
pub(crate) fn is_label(label: &[u8]) -> bool {
    let alnum = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    (1..=32).contains(&label.len())
        && label.iter().all(|byte| alnum(byte) || *byte == b'-')
        && label.first().is_some_and(alnum)
        && label.last().is_some_and(alnum)
}

fn is_glob(text: &[u8], longest: usize, admitted: impl Fn(u8) -> bool) -> bool {
    (1..=longest).contains(&text.len())
        && text.iter().all(|byte| admitted(*byte) || b"?*".contains(byte))
        && !text.windows(2).any(|pair| pair == b"**")
}

pub(crate) fn is_name_pattern(text: &[u8]) -> bool {
    let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._=".contains(&byte);
    match text {
        [package @ .., b'@'] => {
            (1..=210).contains(&package.len())
                && package.iter().all(|byte| name_byte(*byte))
                && package_of(package) == package
        }
        glob => is_glob(glob, 211, name_byte),
    }
}

fn is_directory(text: &[u8]) -> bool {
    let mut parts = text.split(|byte| *byte == b'/');
    parts.next() == Some(b"")
        && text.len() > 1
        && parts.all(|part| {
            ![b"".as_slice(), b".", b".."].contains(&part)
                && part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-._".contains(byte))
        })
}

/// K4: "the bytes before the first `-` that is followed by a byte other than an ASCII letter"
fn package_of(name: &[u8]) -> &[u8] {
    let splits =
        |at: &usize| name[*at] == b'-' && name.get(at + 1).is_some_and(|next| !next.is_ascii_alphabetic());
    (0..name.len()).find(splits).map_or(name, |at| &name[..at])
}

/// K4
pub(crate) fn name_matches(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [package @ .., b'@'] => package_of(name) == package,
        glob => glob_matches(glob, name),
    }
}

/// By the set of all places of the pattern that can be reached.
pub(crate) fn glob_matches(glob: &[u8], text: &[u8]) -> bool {
    // A star may stand for nothing.
    let close = |places: BTreeSet<usize>| -> BTreeSet<usize> {
        let beyond =
            places.iter().copied().filter(|place| glob.get(*place) == Some(&b'*')).map(|place| place + 1);
        beyond.chain(places.iter().copied()).collect()
    };
    let mut places = close(BTreeSet::from([0]));
    for byte in text {
        let after = |place: &usize| match glob.get(*place) {
            Some(b'*') => Some(*place),
            Some(b'?') => Some(place + 1),
            Some(expected) if expected == byte => Some(place + 1),
            Some(_) | None => None,
        };
        places = close(places.iter().filter_map(after).collect());
    }
    places.contains(&glob.len())
}

/// C2
pub(crate) fn base32(text: &[u8]) -> Option<Vec<u8>> {
    let mut bits: Vec<bool> = vec![];
    for byte in text {
        let value = b"abcdefghijklmnopqrstuvwxyz234567".iter().position(|known| known == byte)?;
        bits.extend((0..5).rev().map(|bit| value >> bit & 1 == 1));
    }
    let unused = bits.len() % 8;
    if [1, 3, 6].contains(&(text.len() % 8)) || bits[bits.len() - unused..].contains(&true) {
        return None;
    }
    Some(
        bits.chunks_exact(8)
            .map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit)))
            .collect(),
    )
}

pub(crate) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Section 2: label, and certificates.
pub(crate) fn name(name: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let text = std::str::from_utf8(name).ok().filter(|text| text.len() <= 14_000)?;
    let (label, certificates) = text.split_once(".nixcert1.")?;
    // F1 is asked about before anything that is in the certificate.
    let decode = |part: &str| base32(part.as_bytes()).filter(|bytes| (1..=2_048).contains(&bytes.len()));
    let certificates: Vec<Vec<u8>> = certificates.split('.').map(decode).collect::<Option<_>>()?;
    (is_label(label.as_bytes()) && certificates.len() <= 4).then(|| (label.as_bytes().to_vec(), certificates))
}

/// Section 13, S2.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Statement {
    pub(crate) path: Vec<u8>,
    pub(crate) digest: Vec<u8>,
    pub(crate) paths: u64,
    pub(crate) hosts: Vec<Vec<u8>>,
    pub(crate) signed: u64,
    pub(crate) not_after: u64,
}

/// S2, but for what a path is.
pub(crate) fn statement(bytes: &[u8]) -> Option<Statement> {
    let mut reader = Reader(bytes);
    if bytes.len() > 2_048 || reader.bytes(2)? != [1, 1] {
        return None;
    }
    let length = reader.number(2)?;
    let path = reader.bytes(length)?.to_vec();
    let digest = reader.bytes(32)?.to_vec();
    let paths = reader.number(4).filter(|paths| *paths != 0)?;
    let length = reader.number(2)?;
    let hosts = items(3, reader.bytes(length)?)?;
    let signed = reader.time()?;
    let not_after = reader.time().filter(|not_after| signed < *not_after)?;
    reader.0.is_empty().then_some(Statement { path, digest, paths, hosts, signed, not_after })
}

/// S1: the statement, and what the name would be without it.
pub(crate) fn closure_name(name: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = std::str::from_utf8(name).ok().filter(|text| text.len() <= 14_000)?;
    let (label, rest) = text.split_once(".nixcert1-closure.")?;
    let (statement, certificates) = rest.split_once('.')?;
    Some((base32(statement.as_bytes())?, format!("{label}.nixcert1.{certificates}").into_bytes()))
}

/// S4: what `LC_ALL=C sort | sha256sum` says.
pub(crate) fn digest<'a>(fingerprints: impl IntoIterator<Item = &'a str>) -> (Vec<u8>, u64) {
    let lines: BTreeSet<&[u8]> = fingerprints.into_iter().map(str::as_bytes).collect();
    let text: Vec<u8> = lines.iter().flat_map(|line| [*line, b"\n"].concat()).collect();
    (Sha256::digest(text).to_vec(), lines.len() as u64)
}

/// P6, by trying all: whether so many can be chosen of whom no two have anything in common.
pub(crate) fn are_votes<T: Ord + Clone>(voters: &BTreeSet<BTreeSet<T>>, wanted: usize) -> bool {
    let Some(first) = voters.first().filter(|_| wanted > 0) else { return wanted == 0 };
    let others = || voters.iter().skip(1).cloned();
    are_votes(&others().filter(|other| other.is_disjoint(first)).collect(), wanted - 1)
        || are_votes(&others().collect(), wanted)
}

/// C4, as far as this library goes: the verifier's tests compare it with libsodium.
pub(crate) fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let (Ok(key), Ok(signature)) = (<[u8; 32]>::try_from(key), Signature::from_slice(signature)) else {
        return false;
    };
    VerifyingKey::from_bytes(&key).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
}

/// A narinfo as Nix 2.26 reads it (libstore/nar-info.cc): fingerprint and signatures. Where other fields cannot be read it is
/// not asked.
pub(crate) fn narinfo(text: &str) -> Option<(String, BTreeSet<String>)> {
    let (mut path, mut hash, mut size, mut url) = (None, None, 0_u64, String::new());
    let mut references: Option<BTreeSet<String>> = None;
    let mut signatures = BTreeSet::new();
    let mut at = 0;
    while at < text.len() {
        let colon = at + text.get(at..)?.find(':')?;
        let line_feed = colon + 2 + text.get(colon + 2..)?.find('\n')?;
        let (name, value) = (&text[at..colon], &text[colon + 2..line_feed]);
        match name {
            "StorePath" => path = Some(value.to_owned()),
            "NarHash" => hash = Some(nar_hash(value)?),
            "NarSize" => size = value.parse().ok()?,
            "URL" => url = value.to_owned(),
            "Sig" => _ = signatures.insert(value.to_owned()),
            "References" => {
                if references.as_ref().is_some_and(|references| !references.is_empty()) {
                    return None;
                }
                let bases = value.split(' ').filter(|base| !base.is_empty());
                references = Some(bases.map(str::to_owned).collect());
            }
            _ => {}
        }
        at = line_feed + 1;
    }
    if url.is_empty() || size == 0 {
        return None;
    }
    let path = path?;
    let directory = path.rsplit_once('/')?.0;
    let references: Vec<String> =
        references.unwrap_or_default().iter().map(|base| format!("{directory}/{base}")).collect();
    Some((format!("1;{path};sha256:{};{size};{}", hash?, references.join(",")), signatures))
}

/// A SHA-256, in Nix's base-32 (libutil/hash.cc).
fn nar_hash(text: &str) -> Option<String> {
    let (text, sri) = match text.strip_prefix("sha256-") {
        Some(text) => (text, true),
        None => (text.strip_prefix("sha256:")?, false),
    };
    let digits = b"0123456789abcdfghijklmnpqrsvwxyz";
    if text.len() == 52 && !sri {
        return Some(text.to_owned());
    }
    let bytes: Vec<u8> = if text.len() == 64 && !sri {
        let nibble = |byte: u8| char::from(byte).to_digit(16);
        let pair = |pair: &[u8]| u8::try_from(nibble(pair[0])? * 16 + nibble(pair[1])?).ok();
        text.as_bytes().chunks_exact(2).map(pair).collect::<Option<_>>()?
    } else {
        nixcert_core::base64_decode(text.as_bytes())?
    };
    // The bits of all bytes, the lowest of the first byte first; written in fives, the last five first.
    let bit = |n: usize| bytes.get(n / 8).is_some_and(|byte| byte >> (n % 8) & 1 == 1);
    let digit = |n: usize| digits[(0..5).rev().fold(0, |digit, k| digit << 1 | usize::from(bit(n * 5 + k)))];
    Some((0..52).rev().map(|n| char::from(digit(n))).collect())
}
