//! The revocation list (FORMAT section 11): parsing, and whose word it is.

use crate::certificate::{ALGORITHM_ED25519, Usage, VERSION};
use crate::chain::VerifiedChain;
use crate::key::PublicKey;
use crate::label::{Label, Serial};
use crate::limits::{CERTIFICATE_BYTES, CHAIN_CERTIFICATES, DELEGATE_LIST_BYTES, LIST_BYTES};
use crate::reason::{CertificateId, Judged, Reason, ScopeError};
use crate::scope::{check_host, outside_validity};
use crate::time::Instant;
use crate::trust::{Anchors, HostName};
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};
use std::fmt;
use std::ops::Range;

/// What the signed message begins with (FORMAT L3).
pub const REVOCATION_CONTEXT: &[u8] = b"nixcert1.revocation\0";

/// What an entry revokes (FORMAT L4). Ordered as in a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selector {
    /// The certificates with this serial number.
    Serial(Serial),
    /// The certificates of this subject key: all of them, also those that are not issued yet.
    Key(PublicKey),
    /// The certificates with this label.
    Label(String),
}

impl Selector {
    /// The kind of an entry (FORMAT L4).
    pub fn kind(&self) -> u8 {
        match self {
            Self::Serial(_) => 1,
            Self::Key(_) => 2,
            Self::Label(_) => 3,
        }
    }

    /// The value of an entry, as it stands in a list.
    pub fn value(&self) -> Vec<u8> {
        match self {
            Self::Serial(serial) => serial.0.to_be_bytes().to_vec(),
            Self::Key(key) => key.0.to_vec(),
            Self::Label(label) => label.clone().into_bytes(),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(serial) => write!(f, "serial {serial}"),
            Self::Key(key) => write!(f, "key {key}"),
            Self::Label(label) => write!(f, "label {label}"),
        }
    }
}

/// From when something is revoked (FORMAT L5). The greater revokes more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// It counts for nothing new. What a host had registered stays good.
    Retired,
    /// The same, and what a host registered at that time or later is no longer good either.
    Compromised {
        /// The first second in which somebody else may have had the key.
        since: Instant,
    },
}

impl Extent {
    /// Whether this revokes all that `other` does.
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::Retired) => true,
            (Self::Retired, Self::Compromised { .. }) => false,
            (Self::Compromised { since }, Self::Compromised { since: other }) => since <= other,
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retired => f.write_str("retired"),
            Self::Compromised { since } => write!(f, "compromised since {since}"),
        }
    }
}

/// Why something is revoked: some of the codes of RFC 5280 section 5.3.1. For people; nothing is decided by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Nothing is said.
    Unspecified = 0,
    /// Somebody else has the key.
    KeyCompromise = 1,
    /// Its holder does something else now, or elsewhere.
    AffiliationChanged = 3,
    /// Another certificate or key took its place.
    Superseded = 4,
    /// It is no longer needed.
    CessationOfOperation = 5,
}

impl Cause {
    /// All causes, by ascending code.
    pub const ALL: [Self; 5] = [
        Self::Unspecified,
        Self::KeyCompromise,
        Self::AffiliationChanged,
        Self::Superseded,
        Self::CessationOfOperation,
    ];

    /// The name, as in RFC 5280, in kebab case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::KeyCompromise => "key-compromise",
            Self::AffiliationChanged => "affiliation-changed",
            Self::Superseded => "superseded",
            Self::CessationOfOperation => "cessation-of-operation",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a list says of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// From when.
    pub extent: Extent,
    /// Why.
    pub cause: Cause,
}

/// The entries of a list, each kind in ascending order: looked up by bisection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    serials: Serials,
    keys: Vec<(PublicKey, Revoked)>,
    labels: Vec<(Box<str>, Revoked)>,
}

impl Entries {
    /// What the list says of exactly this selector.
    pub fn get(&self, selector: &Selector) -> Option<Revoked> {
        match selector {
            Selector::Serial(serial) => self.serial(*serial),
            Selector::Key(key) => find(&self.keys, |known| known.cmp(key)),
            Selector::Label(label) => self.label(label),
        }
    }

    pub(crate) fn serial(&self, serial: Serial) -> Option<Revoked> {
        self.serials.get(serial)
    }

    pub(crate) fn key(&self, key: &PublicKey) -> Option<Revoked> {
        find(&self.keys, |known| known.cmp(key))
    }

    pub(crate) fn label(&self, label: &str) -> Option<Revoked> {
        find(&self.labels, |known| known.as_ref().cmp(label))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.serials.ascending.len() + self.keys.len() + self.labels.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, in the order of the list.
    pub fn iter(&self) -> impl Iterator<Item = (Selector, Revoked)> {
        let serials = self.serials.iter().map(|(serial, revoked)| (Selector::Serial(serial), revoked));
        let keys = self.keys.iter().map(|(key, revoked)| (Selector::Key(*key), *revoked));
        let labels =
            self.labels.iter().map(|(label, revoked)| (Selector::Label(label.to_string()), *revoked));
        serials.chain(keys).chain(labels)
    }

    /// The first entry of `older` that these do not cover: what a list that only grows must not lack (FORMAT L10).
    pub fn first_lost(&self, older: &Self) -> Option<Selector> {
        let kept = |(selector, old): &(Selector, Revoked)| {
            self.get(selector).is_some_and(|new| new.extent.covers(old.extent))
        };
        older.iter().find(|entry| !kept(entry)).map(|(selector, _)| selector)
    }
}

/// Serial numbers are random: so their first bits say nearly where each stands, and bisection is among the few that have the same
/// ones. However they are chosen, it is among no more than all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Serials {
    ascending: Vec<Serial>,
    /// What is said of each. Most look-ups never come here.
    revoked: Vec<Revoked>,
    /// For all first bits, up to those of the last: where the serials with these, or greater ones, start.
    starts: Vec<u32>,
}

impl Serials {
    fn new(ascending: Vec<Serial>, revoked: Vec<Revoked>) -> Self {
        let mut starts = Vec::with_capacity(ascending.len());
        for (at, serial) in (0..).zip(&ascending) {
            while starts.len() <= first_bits(*serial, ascending.len()) {
                starts.push(at);
            }
        }
        Self { ascending, revoked, starts }
    }

    fn get(&self, serial: Serial) -> Option<Revoked> {
        let near = self.near(serial);
        let at = near.start + self.ascending.get(near)?.binary_search(&serial).ok()?;
        self.revoked.get(at).copied()
    }

    /// Where all are that have the first bits of this one.
    fn near(&self, serial: Serial) -> Range<usize> {
        let start = |bits| self.starts.get(bits).map_or(self.ascending.len(), |start| *start as usize);
        let bits = first_bits(serial, self.ascending.len());
        start(bits)..start(bits + 1)
    }

    fn iter(&self) -> impl Iterator<Item = (Serial, Revoked)> {
        self.ascending.iter().copied().zip(self.revoked.iter().copied())
    }
}

/// So many of a serial's first bits that one or two of `count` random ones have the same.
fn first_bits(serial: Serial, count: usize) -> usize {
    let bits = count.checked_ilog2().unwrap_or_default();
    serial.0.checked_shr(u64::BITS - bits).unwrap_or_default() as usize
}

fn find<K>(entries: &[(K, Revoked)], order: impl Fn(&K) -> std::cmp::Ordering) -> Option<Revoked> {
    let at = entries.binary_search_by(|(key, _)| order(key)).ok()?;
    entries.get(at).map(|(_, revoked)| *revoked)
}

/// A list as it was read: well-formed, and nothing more. Nothing is revoked by it; only by a [`VerifiedList`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList<'a> {
    /// The CA whose certificates it is about.
    pub ca: PublicKey,
    /// The chain of its signer, leaf first; empty if that is the CA itself.
    pub certificates: Vec<&'a [u8]>,
    /// When it was issued, which is also its number.
    pub issued: Instant,
    /// What it revokes.
    pub entries: Entries,
}

impl<'a> RevocationList<'a> {
    /// Read a list: all of `bytes`, in the one encoding there is.
    ///
    /// # Errors
    /// [`ListError`] names the first rule that is broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ListError> {
        let head = Head::parse(bytes)?;
        let entries = head.entries()?;
        Ok(Self { ca: head.ca, certificates: head.certificates, issued: head.issued, entries })
    }
}

/// What is before the entries, and the signature of it all. The entries may be many: they are read when it is known whose they
/// are, or that this does not matter.
struct Head<'a> {
    ca: PublicKey,
    certificates: Vec<&'a [u8]>,
    issued: Instant,
    entries: &'a [u8],
    to_be_signed: &'a [u8],
    signature: &'a [u8; 64],
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, ListError> {
        // L1: "A list is at most 67,108,864 bytes, and nothing follows the signature."
        if bytes.len() > LIST_BYTES {
            return Err(ListError::TooLarge(bytes.len()));
        }
        let (_, head) = parse_head(bytes).map_err(error_of)?;
        // "a delegate's at most 1,048,576"
        if !head.certificates.is_empty() && bytes.len() > DELEGATE_LIST_BYTES {
            return Err(ListError::DelegateTooLarge(bytes.len()));
        }
        Ok(head)
    }

    fn entries(&self) -> Result<Entries, ListError> {
        match parse_entries(self.entries, self.issued).map_err(error_of)? {
            ([], entries) => Ok(entries),
            _ => Err(ListError::TrailingBytes),
        }
    }

    /// Whose word it is (FORMAT L6, L7): the signer, and the intermediates above it.
    fn signer(
        &self,
        anchors: &Anchors,
        host: Option<&HostName>,
    ) -> Result<(PublicKey, Vec<PublicKey>), ListError> {
        let anchor = anchors.get(&self.ca).ok_or(ListError::UntrustedCa(self.ca))?;
        let message = [REVOCATION_CONTEXT, self.to_be_signed].concat();
        if self.certificates.is_empty() {
            let valid = anchor.key.verifies(&message, self.signature);
            return if valid { Ok((self.ca, vec![])) } else { Err(ListError::BadSignature) };
        }
        let certificates = self.certificates.iter().map(|bytes| bytes.to_vec()).collect();
        let chain = VerifiedChain::verify(certificates, anchors)?;
        // L6: "a verified chain (section 5) that ends in that CA"
        if *chain.anchor() != self.ca {
            return Err(ListError::OtherCa(*chain.anchor()));
        }
        if !chain.verifies(&message, self.signature) {
            return Err(ListError::BadSignature);
        }
        self.check_delegation(&chain, host)
    }

    /// L7: "Every certificate of the delegate's chain MUST have the usage *revoke*, admit the host (K5), and be valid at the
    /// time of issue."
    fn check_delegation(
        &self,
        chain: &VerifiedChain,
        host: Option<&HostName>,
    ) -> Result<(PublicKey, Vec<PublicKey>), ListError> {
        let certificates = chain.certificates()?;
        for (position, certificate) in certificates.iter().enumerate() {
            let refuse =
                |error| ListError::Scope { certificate: CertificateId::new(certificate, position), error };
            if !certificate.usages.contains(Usage::Revoke) {
                return Err(refuse(ScopeError::MissingUsage(Usage::Revoke)));
            }
            check_host(certificate, host).map_err(refuse)?;
            if let Some(error) = outside_validity(certificate, Judged::at(self.issued.seconds())) {
                return Err(refuse(error));
            }
        }
        let mut keys = certificates.iter().map(|certificate| certificate.subject);
        Ok((keys.next().unwrap_or(self.ca), keys.collect()))
    }
}

/// A list that was checked from its signature to a trusted CA. Only such a list revokes, and [`VerifiedList::read`] makes the
/// only ones there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedList {
    pub(crate) ca: PublicKey,
    pub(crate) signer: PublicKey,
    /// The subject keys of the intermediates above the signer: what is not below all of them is none of its business.
    pub(crate) issuers: Vec<PublicKey>,
    /// The signer's chain, leaf first.
    pub(crate) certificates: Vec<Vec<u8>>,
    pub(crate) issued: Instant,
    pub(crate) entries: Entries,
}

impl VerifiedList {
    /// Read a list, and check whose word it is (FORMAT L6, L7).
    ///
    /// A stranger's costs no more than its hash: entries are read only of who may say them.
    ///
    /// # Errors
    /// [`ListError`] if it is none, or does not count on this host.
    pub fn read(bytes: &[u8], anchors: &Anchors, host: Option<&HostName>) -> Result<Self, ListError> {
        let head = Head::parse(bytes)?;
        let (signer, issuers) = head.signer(anchors, host)?;
        Ok(Self {
            ca: head.ca,
            signer,
            issuers,
            certificates: head.certificates.iter().map(|bytes| bytes.to_vec()).collect(),
            issued: head.issued,
            entries: head.entries()?,
        })
    }

    /// The CA whose certificates it is about.
    pub fn ca(&self) -> &PublicKey {
        &self.ca
    }

    /// Who signed it: the CA itself, or the holder of a certificate with the usage *revoke*.
    pub fn signer(&self) -> &PublicKey {
        &self.signer
    }

    /// Whether the CA itself signed it.
    pub fn is_of_the_ca(&self) -> bool {
        self.ca == self.signer
    }

    /// The chain of its signer, leaf first; empty if that is the CA itself.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// When it was issued, which is also its number.
    pub fn issued(&self) -> Instant {
        self.issued
    }

    /// What it revokes.
    pub fn entries(&self) -> &Entries {
        &self.entries
    }
}

type Parsed<'a, T> = nom::IResult<&'a [u8], T, ListError>;

fn error_of(error: nom::Err<ListError>) -> ListError {
    match error {
        nom::Err::Error(error) | nom::Err::Failure(error) => error,
        nom::Err::Incomplete(_) => ListError::Truncated,
    }
}

/// The fields, in their one order.
fn parse_head(whole: &[u8]) -> Parsed<'_, Head<'_>> {
    let (input, version) = be_u8(whole)?;
    check(version == VERSION, ListError::UnknownVersion(version))?;
    let (input, algorithm) = be_u8(input)?;
    check(algorithm == ALGORITHM_ED25519, ListError::UnknownAlgorithm(algorithm))?;
    let (input, ca) = parse_array(input)?;
    let (input, certificates) = parse_certificates(input)?;
    let (input, issued) = parse_time(input)?;
    let no_room = nom::Err::Failure(ListError::Truncated);
    let (entries, signature) = input.split_last_chunk().ok_or(no_room)?;
    let to_be_signed = whole.get(..whole.len() - signature.len()).unwrap_or_default();
    Ok((&[], Head { ca: PublicKey(*ca), certificates, issued, entries, to_be_signed, signature }))
}

fn check(holds: bool, error: ListError) -> Result<(), nom::Err<ListError>> {
    if holds { Ok(()) } else { Err(nom::Err::Failure(error)) }
}

fn parse_array<const N: usize>(input: &[u8]) -> Parsed<'_, &[u8; N]> {
    let (bytes, rest) = input.split_first_chunk().ok_or(nom::Err::Failure(ListError::Truncated))?;
    Ok((rest, bytes))
}

fn parse_time(input: &[u8]) -> Parsed<'_, Instant> {
    let (input, seconds) = be_u64(input)?;
    let instant = Instant::from_seconds(seconds).map_err(|_| nom::Err::Failure(ListError::Time))?;
    Ok((input, instant))
}

fn parse_certificates(input: &[u8]) -> Parsed<'_, Vec<&[u8]>> {
    let (mut input, count) = be_u8(input)?;
    // L2: "At most four certificates, each at most 2,048 bytes."
    check(usize::from(count) <= CHAIN_CERTIFICATES, ListError::TooManyCertificates(count))?;
    let mut certificates = Vec::new();
    for _ in 0..count {
        let (rest, length) = be_u16(input)?;
        check(usize::from(length) <= CERTIFICATE_BYTES, ListError::CertificateTooLong(length))?;
        let (rest, bytes) = take(length)(rest)?;
        certificates.push(bytes);
        input = rest;
    }
    Ok((input, certificates))
}

/// L4: "Entries stand in strictly ascending order of kind, then of value": so one set has one encoding, and each kind comes
/// out sorted. Nothing is allocated on the word of the count.
fn parse_entries(input: &[u8], issued: Instant) -> Parsed<'_, Entries> {
    let (mut input, count) = be_u32(input)?;
    let (mut serials, mut of_serials, mut keys, mut labels) = (vec![], vec![], vec![], vec![]);
    let mut previous = (0, &[][..]);
    for _ in 0..count {
        let (rest, kind) = be_u8(input)?;
        let (rest, value) = match kind {
            1 => take(8_usize)(rest)?,
            2 => take(32_usize)(rest)?,
            3 => {
                let (rest, length) = be_u8(rest)?;
                take(length)(rest)?
            }
            unknown => return Err(nom::Err::Failure(ListError::UnknownSelector(unknown))),
        };
        check(previous < (kind, value), ListError::Order)?;
        previous = (kind, value);
        let (rest, revoked) = parse_revoked(rest, issued)?;
        match (kind, value) {
            (1, value) => {
                let (_, serial) = be_u64(value)?;
                check(serial != 0, ListError::ZeroSerial)?;
                serials.push(Serial(serial));
                of_serials.push(revoked);
            }
            (2, value) => {
                let (_, key) = parse_array(value)?;
                keys.push((PublicKey(*key), revoked));
            }
            (_, value) => {
                let label = Label::parse(value).map_err(|_| nom::Err::Failure(ListError::Label))?;
                labels.push((label.as_str().into(), revoked));
            }
        }
        input = rest;
    }
    Ok((input, Entries { serials: Serials::new(serials, of_serials), keys, labels }))
}

fn parse_revoked(input: &[u8], issued: Instant) -> Parsed<'_, Revoked> {
    let (input, extent) = be_u8(input)?;
    let (input, extent) = match extent {
        1 => (input, Extent::Retired),
        2 => {
            let (input, since) = parse_time(input)?;
            // L5: "not later than the time of issue"
            check(since <= issued, ListError::CompromiseToCome)?;
            (input, Extent::Compromised { since })
        }
        unknown => return Err(nom::Err::Failure(ListError::UnknownExtent(unknown))),
    };
    let (input, code) = be_u8(input)?;
    let cause = Cause::ALL.into_iter().find(|cause| *cause as u8 == code);
    let cause = cause.ok_or(nom::Err::Failure(ListError::UnknownCause(code)))?;
    Ok((input, Revoked { extent, cause }))
}

/// Why bytes are not a list, or not one that counts on this host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// L1.
    #[error("it is {0} bytes long; 67108864 are allowed")]
    TooLarge(usize),
    /// L1.
    #[error("it is {0} bytes long; 1048576 are allowed in a list that the CA did not sign itself")]
    DelegateTooLarge(usize),
    /// It ends before its last field does.
    #[error("it is cut off, or no revocation list at all")]
    Truncated,
    /// L1.
    #[error("something follows its signature")]
    TrailingBytes,
    /// L2.
    #[error(
        "its version is {0}; this verifier knows version 1: is it a revocation list? if so, update nixcert"
    )]
    UnknownVersion(u8),
    /// L2.
    #[error("its algorithm is {0}; this verifier knows algorithm 1 (Ed25519)")]
    UnknownAlgorithm(u8),
    /// L2.
    #[error("its signer's chain has {0} certificates; 4 are allowed")]
    TooManyCertificates(u8),
    /// L2.
    #[error("a certificate of its signer's chain is {0} bytes long; 2048 are allowed")]
    CertificateTooLong(u16),
    /// C1.
    #[error("it has a time past the year 9999")]
    Time,
    /// L4.
    #[error("its entries are not in ascending order")]
    Order,
    /// L4.
    #[error("it revokes by something (kind {0}) that this verifier does not know: update nixcert")]
    UnknownSelector(u8),
    /// Section 3.
    #[error("it revokes the serial number zero, which no certificate has")]
    ZeroSerial,
    /// Section 2.
    #[error("it revokes a label that is none")]
    Label,
    /// L5.
    #[error("it revokes in a way (extent {0}) that this verifier does not know: update nixcert")]
    UnknownExtent(u8),
    /// L5.
    #[error("it revokes for a cause ({0}) that this verifier does not know: update nixcert")]
    UnknownCause(u8),
    /// L5.
    #[error("it says that something is compromised since a time after its issue")]
    CompromiseToCome,
    /// L6.
    #[error("it is about the certificates of {0}, which is not among this host's trusted-ca-keys")]
    UntrustedCa(PublicKey),
    /// L6.
    #[error("its signer was certified by {0}, which is not the CA that the list is about")]
    OtherCa(PublicKey),
    /// L6.
    #[error("its signer's chain does not hold: {0}")]
    Chain(Box<Reason>),
    /// L7.
    #[error("its signer may not: {certificate} {error}")]
    Scope {
        /// The certificate that says no.
        certificate: CertificateId,
        /// What it says no to.
        error: ScopeError,
    },
    /// L3.
    #[error("its signature is not its signer's (was it changed, or cut off?)")]
    BadSignature,
}

impl ListError {
    /// The reason code (FORMAT section 11).
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownVersion(_) => "unknown-version",
            Self::UnknownAlgorithm(_) => "unknown-algorithm",
            Self::UntrustedCa(_) => "untrusted-ca",
            Self::OtherCa(_) => "list-of-another-ca",
            Self::Chain(reason) => reason.code(),
            Self::Scope { error, .. } => error.code(),
            Self::BadSignature => "bad-list-signature",
            Self::TooLarge(_)
            | Self::DelegateTooLarge(_)
            | Self::Truncated
            | Self::TrailingBytes
            | Self::TooManyCertificates(_)
            | Self::CertificateTooLong(_)
            | Self::Time
            | Self::Order
            | Self::UnknownSelector(_)
            | Self::ZeroSerial
            | Self::Label
            | Self::UnknownExtent(_)
            | Self::UnknownCause(_)
            | Self::CompromiseToCome => "malformed-list",
        }
    }
}

impl From<Reason> for ListError {
    fn from(reason: Reason) -> Self {
        Self::Chain(Box::new(reason))
    }
}

impl ParseError<&[u8]> for ListError {
    /// nom's own parsers fail here only for want of input.
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETIRED: Revoked = Revoked { extent: Extent::Retired, cause: Cause::Superseded };

    fn of_serials(serials: impl IntoIterator<Item = u64>) -> Entries {
        let serials: Vec<Serial> = serials.into_iter().map(Serial).collect();
        let revoked = vec![RETIRED; serials.len()];
        Entries { serials: Serials::new(serials, revoked), ..Entries::default() }
    }

    /// Wherever the serials lie, each that is there is found, and no other.
    #[test]
    fn serials_are_found_however_they_lie() {
        let spread = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1);
        let sets: [Vec<u64>; 7] = [
            vec![],
            vec![u64::MAX],
            vec![1, u64::MAX],
            (1..=3_000).collect(),
            (u64::MAX - 3_000..=u64::MAX).collect(),
            (0..3_000).map(|i| (u64::MAX / 2).wrapping_add(i * i)).collect(),
            (1..=3_000).map(spread).collect(),
        ];
        for mut set in sets {
            set.sort_unstable();
            let entries = of_serials(set.iter().copied());
            let near_by =
                set.iter().flat_map(|serial| [serial.wrapping_sub(1), *serial, serial.wrapping_add(1)]);
            for wanted in
                near_by.chain([0, 1, u64::MAX / 2, u64::MAX]).chain((1..500).map(|i| spread(i * 7_919)))
            {
                let found = entries.serial(Serial(wanted)).is_some();
                assert_eq!(found, set.binary_search(&wanted).is_ok(), "{wanted} of {}", set.len());
            }
        }
    }

    /// Where they are spread as random ones are, few are looked at.
    #[test]
    fn few_serials_are_near() {
        let apart = u64::MAX / 3_000;
        let even = of_serials((0..3_000).map(|i| apart / 2 + i * apart));
        for serial in &even.serials.ascending {
            assert!((1..=2).contains(&even.serials.near(*serial).len()), "{serial}");
        }
    }

    #[test]
    fn what_is_lost_is_found() {
        let at = |seconds| Extent::Compromised { since: Instant::from_seconds(seconds).unwrap() };
        // Each revokes all that those before it do.
        let ascending = [Extent::Retired, at(2), at(1)];
        for (place, one) in ascending.iter().enumerate() {
            for (other_place, other) in ascending.iter().enumerate() {
                assert_eq!(one.covers(*other), place >= other_place, "{one} {other}");
                let [mut new, mut old] = [of_serials([1, 2]), of_serials([2])];
                new.serials.revoked[1].extent = *one;
                old.serials.revoked[0].extent = *other;
                let lost = (place < other_place).then_some(Selector::Serial(Serial(2)));
                assert_eq!(new.first_lost(&old), lost, "{one} {other}");
            }
        }
        let all = Entries {
            keys: vec![(PublicKey([1; 32]), RETIRED)],
            labels: vec![("alice".into(), RETIRED)],
            ..of_serials([1])
        };
        assert_eq!(all.first_lost(&all), None);
        assert_eq!(Entries::default().first_lost(&all), Some(Selector::Serial(Serial(1))));
        assert_eq!(of_serials([1]).first_lost(&all), Some(Selector::Key(PublicKey([1; 32]))));
        assert_eq!((all.len(), all.is_empty(), Entries::default().is_empty()), (3, false, true));
    }

    /// L1, of the CA's own list and of a delegate's.
    #[test]
    fn the_longest_lists() {
        let head = |certificates: &[u8], length: usize| {
            let head = [&[VERSION, ALGORITHM_ED25519][..], &[0; 32], certificates, &1_u64.to_be_bytes()];
            let mut bytes = head.concat();
            bytes.resize(length, 0);
            Head::parse(&bytes).err()
        };
        let (of_the_ca, of_a_delegate) = ([0], [1, 0, 1, 0]);
        assert_eq!(head(&of_the_ca, LIST_BYTES), None);
        assert_eq!(head(&of_the_ca, LIST_BYTES + 1), Some(ListError::TooLarge(LIST_BYTES + 1)));
        assert_eq!(head(&of_a_delegate, DELEGATE_LIST_BYTES), None);
        let longer = DELEGATE_LIST_BYTES + 1;
        assert_eq!(head(&of_a_delegate, longer), Some(ListError::DelegateTooLarge(longer)));
        assert_eq!(head(&of_a_delegate, 2 * longer), Some(ListError::DelegateTooLarge(2 * longer)));
        assert_eq!(head(&of_the_ca, LIST_BYTES + 2), Some(ListError::TooLarge(LIST_BYTES + 2)));
    }
}
