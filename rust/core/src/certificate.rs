//! The certificate (FORMAT section 3): parsing. Nothing here verifies anything.

use crate::key::PublicKey;
use crate::label::{Label, Serial};
use crate::limits::{CERTIFICATE_BYTES, CERTIFICATE_ENTRIES};
use crate::pattern::{HostPattern, NamePattern, PatternError};
use crate::time::Instant;
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u8, be_u16, be_u64};
use std::fmt;

/// The version this library reads and writes.
pub const VERSION: u8 = 1;

/// Ed25519 (RFC 8032), the only algorithm of version 1.
pub const ALGORITHM_ED25519: u8 = 1;

/// What the signed message begins with (FORMAT F5).
pub const CERTIFICATE_CONTEXT: &[u8] = b"nixcert1.certificate\0";

/// A certificate as it was read: well-formed, and nothing more. Its keys cannot check signatures; only a
/// [`crate::VerifiedChain`] can.
///
/// ```compile_fail
/// # fn f(certificate: nixcert_core::Certificate<'_>) {
/// certificate.subject.verifies(b"message", &[0; 64]);
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// Random; names the certificate in logs and revocation lists.
    pub serial: Serial,
    /// Who holds the subject key.
    pub label: Label<'a>,
    /// The key that is certified.
    pub subject: PublicKey,
    /// The key that certifies.
    pub issuer: PublicKey,
    /// The first second of validity.
    pub not_before: Instant,
    /// The first second after it.
    pub not_after: Instant,
    /// What the subject key may be used for.
    pub usages: Usages,
    /// How many further intermediates may follow; 0 and without meaning where `usages` has no *issue*.
    pub path_length: u8,
    /// Patterns of which the object's name must match one.
    pub permitted_names: List<'a>,
    /// Patterns of which the object's name must match none.
    pub excluded_names: List<'a>,
    /// Patterns of which the host must match one.
    pub hosts: List<'a>,
    /// Store directories of which the object's must be one; empty for `/nix/store` alone (FORMAT K2).
    pub store_directories: List<'a>,
    /// The bytes that are signed, without [`CERTIFICATE_CONTEXT`].
    pub to_be_signed: &'a [u8],
    /// The issuer's signature.
    pub signature: &'a [u8; 64],
}

impl<'a> Certificate<'a> {
    /// Read a certificate: all of `bytes`, in the one encoding there is.
    ///
    /// # Errors
    /// [`CertificateError`] names the first rule that is broken.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CertificateError> {
        // F1: "A certificate is at most 2,048 bytes, and nothing follows the signature."
        if bytes.len() > CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge(bytes.len()));
        }
        match parse_certificate(bytes) {
            Ok(([], certificate)) => Ok(certificate),
            Ok(_) => Err(CertificateError::TrailingBytes),
            Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error),
            Err(nom::Err::Incomplete(_)) => Err(CertificateError::Truncated),
        }
    }

    /// The message that the issuer signs (FORMAT F5).
    pub fn signed_message(&self) -> Vec<u8> {
        [CERTIFICATE_CONTEXT, self.to_be_signed].concat()
    }

    /// Patterns of which the object's name must match one.
    pub fn permits_name(&self, name: &str) -> bool {
        self.permitted_names.iter().any(|item| name_pattern_matches(item, name) == Some(true))
    }

    /// Whether an exclusion matches the object's name. An exclusion that cannot be read excludes.
    pub fn excludes_name(&self, name: &str) -> bool {
        self.excluded_names.iter().any(|item| name_pattern_matches(item, name) != Some(false))
    }
}

fn name_pattern_matches(item: &[u8], name: &str) -> Option<bool> {
    NamePattern::parse(item).ok().map(|pattern| pattern.matches(name.as_bytes()))
}

type Parsed<'a, T> = nom::IResult<&'a [u8], T, CertificateError>;

/// The fields, in their one order.
fn parse_certificate(input: &[u8]) -> Parsed<'_, Certificate<'_>> {
    let whole = input;
    // F2: "An unknown version or algorithm is refused, and nothing behind it is read."
    let (input, _) = expect(be_u8, |version| version == VERSION, CertificateError::UnknownVersion)(input)?;
    let (input, _) =
        expect(be_u8, |algorithm| algorithm == ALGORITHM_ED25519, CertificateError::UnknownAlgorithm)(input)?;
    let (input, serial) = expect(be_u64, |serial| serial != 0, |_| CertificateError::ZeroSerial)(input)?;
    let (input, label) = parse_label(input)?;
    let (input, subject) = parse_key(input)?;
    let (input, issuer) = parse_key(input)?;
    // F4: "Subject and issuer public key … MUST differ."
    check(subject != issuer, CertificateError::SelfIssued)?;
    let (input, not_before) = parse_time(input)?;
    let (input, not_after) = parse_time(input)?;
    // F3: "not-before MUST be below not-after."
    check(not_before < not_after, CertificateError::EmptyValidity)?;
    let (input, usages) = be_u8(input)?;
    let usages = Usages::from_bits(usages).map_err(nom::Err::Failure)?;
    let (input, path_length) = if usages.contains(Usage::Issue) { be_u8(input)? } else { (input, 0) };
    let (input, constraints) = parse_constraints(input)?;
    let input = skip_extensions(input)?;
    let (rest, signature) = parse_array(input)?;
    let to_be_signed = whole.get(..whole.len() - input.len()).unwrap_or_default();
    Ok((
        rest,
        Certificate {
            serial: Serial(serial),
            label,
            subject,
            issuer,
            not_before,
            not_after,
            usages,
            path_length,
            permitted_names: constraints.permitted_names.unwrap_or_default(),
            excluded_names: constraints.excluded_names.unwrap_or_default(),
            hosts: constraints.hosts.unwrap_or_default(),
            store_directories: constraints.store_directories.unwrap_or_default(),
            to_be_signed,
            signature,
        },
    ))
}

fn check<E>(holds: bool, error: E) -> Result<(), nom::Err<E>> {
    if holds { Ok(()) } else { Err(nom::Err::Failure(error)) }
}

fn expect<'a, T: Copy>(
    parser: impl Fn(&'a [u8]) -> Parsed<'a, T>,
    holds: impl Fn(T) -> bool,
    error: impl Fn(T) -> CertificateError,
) -> impl Fn(&'a [u8]) -> Parsed<'a, T> {
    move |input| {
        let (input, value) = parser(input)?;
        check(holds(value), error(value))?;
        Ok((input, value))
    }
}

fn parse_array<const N: usize>(input: &[u8]) -> Parsed<'_, &[u8; N]> {
    let (bytes, rest) = input.split_first_chunk().ok_or(nom::Err::Failure(CertificateError::Truncated))?;
    Ok((rest, bytes))
}

fn parse_key(input: &[u8]) -> Parsed<'_, PublicKey> {
    parse_array(input).map(|(rest, bytes)| (rest, PublicKey(*bytes)))
}

fn parse_time(input: &[u8]) -> Parsed<'_, Instant> {
    let (input, seconds) = be_u64(input)?;
    let instant = Instant::from_seconds(seconds).map_err(|_| nom::Err::Failure(CertificateError::Time))?;
    Ok((input, instant))
}

pub(crate) fn parse_label(input: &[u8]) -> Parsed<'_, Label<'_>> {
    let (input, length) = be_u8(input)?;
    let (input, bytes) = take(length)(input)?;
    let label = Label::parse(bytes).map_err(|_| nom::Err::Failure(CertificateError::Label))?;
    Ok((input, label))
}

#[derive(Default)]
struct Constraints<'a> {
    permitted_names: Option<List<'a>>,
    excluded_names: Option<List<'a>>,
    hosts: Option<List<'a>>,
    store_directories: Option<List<'a>>,
}

fn parse_constraints(input: &[u8]) -> Parsed<'_, Constraints<'_>> {
    let mut constraints = Constraints::default();
    let rest = parse_entries(input, |kind, value| {
        // F9: "Constraints are critical: an unknown kind refuses the certificate."
        let kind = ConstraintKind::from_byte(kind).ok_or(CertificateError::UnknownConstraint(kind))?;
        let list = List::parse(kind, value)?;
        *match kind {
            ConstraintKind::PermittedNames => &mut constraints.permitted_names,
            ConstraintKind::ExcludedNames => &mut constraints.excluded_names,
            ConstraintKind::Hosts => &mut constraints.hosts,
            ConstraintKind::StoreDirectories => &mut constraints.store_directories,
        } = Some(list);
        Ok(())
    })?;
    // K1: "Kinds 1 and 3 MUST be present in every certificate."
    check(constraints.permitted_names.is_some(), CertificateError::Missing(ConstraintKind::PermittedNames))?;
    check(constraints.hosts.is_some(), CertificateError::Missing(ConstraintKind::Hosts))?;
    Ok((rest, constraints))
}

/// F9: "Extensions are not [critical]: an unknown one is ignored." Their shape is checked all the same.
fn skip_extensions(input: &[u8]) -> Result<&[u8], nom::Err<CertificateError>> {
    parse_entries(input, |_, _| Ok(()))
}

/// A count, and that many entries of kind, length and value (FORMAT section 3).
fn parse_entries<'a>(
    input: &'a [u8],
    mut entry: impl FnMut(u8, &'a [u8]) -> Result<(), CertificateError>,
) -> Result<&'a [u8], nom::Err<CertificateError>> {
    let (mut input, count) = be_u8(input)?;
    check(count <= CERTIFICATE_ENTRIES, CertificateError::TooManyEntries(count))?;
    let mut previous = None;
    for _ in 0..count {
        let (rest, kind) = be_u8(input)?;
        let (rest, length) = be_u16(rest)?;
        let (rest, value) = take(length)(rest)?;
        // F8: "Constraints and extensions stand in strictly ascending order of kind"
        check(previous.is_none_or(|previous| previous < kind), CertificateError::Order)?;
        previous = Some(kind);
        entry(kind, value).map_err(nom::Err::Failure)?;
        input = rest;
    }
    Ok(input)
}

/// The kinds of constraint (FORMAT section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConstraintKind {
    /// The object's name matches one.
    PermittedNames = 1,
    /// The object's name matches none.
    ExcludedNames = 2,
    /// The host matches one.
    Hosts = 3,
    /// The store directory equals one.
    StoreDirectories = 4,
}

impl ConstraintKind {
    fn from_byte(kind: u8) -> Option<Self> {
        [Self::PermittedNames, Self::ExcludedNames, Self::Hosts, Self::StoreDirectories]
            .into_iter()
            .find(|known| *known as u8 == kind)
    }

    /// The name in FORMAT.md.
    pub fn name(self) -> &'static str {
        match self {
            Self::PermittedNames => "permitted-names",
            Self::ExcludedNames => "excluded-names",
            Self::Hosts => "hosts",
            Self::StoreDirectories => "store-directories",
        }
    }

    fn check_item(self, item: &[u8]) -> Result<(), CertificateError> {
        let pattern = |error| CertificateError::Pattern { kind: self, error };
        match self {
            Self::PermittedNames | Self::ExcludedNames => {
                NamePattern::parse(item).map(|_| ()).map_err(pattern)
            }
            Self::Hosts => HostPattern::parse(item).map(|_| ()).map_err(pattern),
            Self::StoreDirectories if is_store_directory(item) => Ok(()),
            Self::StoreDirectories => Err(CertificateError::StoreDirectory),
        }
    }
}

/// K2: "An item starts with /, does not end with one, contains no empty, . or .. component"
pub(crate) fn is_store_directory(item: &[u8]) -> bool {
    let Some((b'/', components)) = item.split_first() else { return false };
    let path_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._".contains(byte);
    components.split(|byte| *byte == b'/').all(|component| {
        !component.is_empty() && component != b"." && component != b".." && component.iter().all(path_byte)
    })
}

/// The items of a constraint, in their encoding, which was checked when it was read.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct List<'a>(&'a [u8]);

impl<'a> List<'a> {
    /// F10: "The value … is a list, not empty: each item is a length byte (1 to 255) and that many bytes. The items are
    /// strictly ascending"
    pub(crate) fn parse(kind: ConstraintKind, value: &'a [u8]) -> Result<Self, CertificateError> {
        let list = Self(value);
        let mut items = list.iter();
        let mut previous: Option<&[u8]> = None;
        for item in items.by_ref() {
            if previous.is_some_and(|previous| previous >= item) {
                return Err(CertificateError::Order);
            }
            kind.check_item(item)?;
            previous = Some(item);
        }
        if previous.is_none() || !items.0.is_empty() { Err(CertificateError::List(kind)) } else { Ok(list) }
    }

    /// The items.
    pub fn iter(&self) -> Items<'a> {
        Items(self.0)
    }

    /// Whether the constraint is absent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}

/// Iterator over a [`List`].
#[derive(Clone, Debug)]
pub struct Items<'a>(&'a [u8]);

impl<'a> Iterator for Items<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&length, rest) = self.0.split_first()?;
        if length == 0 {
            return None;
        }
        let (item, rest) = rest.split_at_checked(usize::from(length))?;
        self.0 = rest;
        Some(item)
    }
}

/// What a key may be used for (FORMAT F6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Usage {
    /// Sign store objects for import.
    ImportPaths = 0x01,
    /// Sign realisations for import.
    ImportRealisations = 0x02,
    /// Vouch for whole systems, at activation.
    VouchForSystems = 0x04,
    /// Sign certificates.
    Issue = 0x08,
    /// Sign revocation lists.
    Revoke = 0x10,
}

impl Usage {
    /// All usages, by ascending bit.
    pub const ALL: [Self; 5] =
        [Self::ImportPaths, Self::ImportRealisations, Self::VouchForSystems, Self::Issue, Self::Revoke];

    /// The name in FORMAT.md.
    pub fn name(self) -> &'static str {
        match self {
            Self::ImportPaths => "import-paths",
            Self::ImportRealisations => "import-realisations",
            Self::VouchForSystems => "vouch-for-systems",
            Self::Issue => "issue",
            Self::Revoke => "revoke",
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of usages.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Usages(u8);

impl Usages {
    /// The usages in `bits`.
    ///
    /// # Errors
    /// F6: "At least one MUST be set; any other bit is refused."
    pub fn from_bits(bits: u8) -> Result<Self, CertificateError> {
        let unknown = bits & !Usage::ALL.into_iter().collect::<Self>().0;
        match (bits, unknown) {
            (0, _) => Err(CertificateError::NoUsage),
            (_, 0) => Ok(Self(bits)),
            (_, unknown) => Err(CertificateError::UnknownUsage(unknown)),
        }
    }

    /// The bits (FORMAT F6).
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether `usage` is among them.
    pub fn contains(self, usage: Usage) -> bool {
        self.0 & usage as u8 != 0
    }

    /// The usages in it, by ascending bit.
    pub fn iter(self) -> impl Iterator<Item = Usage> {
        Usage::ALL.into_iter().filter(move |usage| self.contains(*usage))
    }
}

impl FromIterator<Usage> for Usages {
    fn from_iter<I: IntoIterator<Item = Usage>>(usages: I) -> Self {
        Self(usages.into_iter().fold(0, |bits, usage| bits | usage as u8))
    }
}

impl fmt::Debug for Usages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why bytes are not a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// F1.
    #[error("it is {0} bytes long; 2048 are allowed")]
    TooLarge(usize),
    /// It ends before its last field does.
    #[error("it is cut off")]
    Truncated,
    /// F1.
    #[error("something follows its signature")]
    TrailingBytes,
    /// F2.
    #[error("its version is {0}; this verifier knows version 1: update nixcert on this host")]
    UnknownVersion(u8),
    /// F2.
    #[error("its algorithm is {0}; this verifier knows algorithm 1 (Ed25519)")]
    UnknownAlgorithm(u8),
    /// Section 3.
    #[error("its serial number is zero")]
    ZeroSerial,
    /// Section 2.
    #[error("its label is not one")]
    Label,
    /// F4.
    #[error("its subject is its issuer")]
    SelfIssued,
    /// C1.
    #[error("its validity has a time past the year 9999")]
    Time,
    /// F3.
    #[error("it ends before it begins")]
    EmptyValidity,
    /// F6.
    #[error("it has no usage")]
    NoUsage,
    /// F6.
    #[error("it has a usage (bits {0:#04x}) that this verifier does not know: update nixcert on this host")]
    UnknownUsage(u8),
    /// F9.
    #[error("it has a constraint (kind {0}) that this verifier does not know: update nixcert on this host")]
    UnknownConstraint(u8),
    /// Section 3.
    #[error("it has {0} constraints or extensions; 16 are allowed")]
    TooManyEntries(u8),
    /// F8, F10.
    #[error("its constraints, extensions or list items are not in ascending order")]
    Order,
    /// F10.
    #[error("its constraint '{}' is empty or cut off", .0.name())]
    List(ConstraintKind),
    /// K1.
    #[error("its constraint '{}' is missing", .0.name())]
    Missing(ConstraintKind),
    /// K4, K5.
    #[error("its constraint '{}' has an item that is no pattern: {error}", .kind.name())]
    Pattern {
        /// Which constraint.
        kind: ConstraintKind,
        /// What is wrong with the item.
        error: PatternError,
    },
    /// K2.
    #[error("its constraint 'store-directories' has an item that is no absolute path")]
    StoreDirectory,
}

impl CertificateError {
    /// The reason code (FORMAT section 8).
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownVersion(_) => "unknown-version",
            Self::UnknownAlgorithm(_) => "unknown-algorithm",
            Self::UnknownUsage(_) => "unknown-usage",
            Self::UnknownConstraint(_) => "unknown-constraint",
            Self::TooLarge(_)
            | Self::Truncated
            | Self::TrailingBytes
            | Self::ZeroSerial
            | Self::Label
            | Self::SelfIssued
            | Self::Time
            | Self::EmptyValidity
            | Self::NoUsage
            | Self::TooManyEntries(_)
            | Self::Order
            | Self::List(_)
            | Self::Missing(_)
            | Self::Pattern { .. }
            | Self::StoreDirectory => "malformed-certificate",
        }
    }
}

impl ParseError<&[u8]> for CertificateError {
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

    /// What people write, and read, of FORMAT F6 and K.
    #[test]
    fn names() {
        let usages = Usage::ALL.map(Usage::name);
        assert_eq!(usages, ["import-paths", "import-realisations", "vouch-for-systems", "issue", "revoke"]);
        let constraints: Vec<_> =
            (0..6).filter_map(ConstraintKind::from_byte).map(ConstraintKind::name).collect();
        assert_eq!(constraints, ["permitted-names", "excluded-names", "hosts", "store-directories"]);
    }

    #[test]
    fn usages() {
        let both = Usages::from_bits(Usage::ImportPaths as u8 | Usage::Revoke as u8).unwrap();
        assert_eq!(both.iter().collect::<Vec<_>>(), [Usage::ImportPaths, Usage::Revoke]);
        assert_eq!([Usage::Revoke, Usage::ImportPaths, Usage::Revoke].into_iter().collect::<Usages>(), both);
        assert_eq!(Usages::from_bits(0), Err(CertificateError::NoUsage));
        assert_eq!(Usages::from_bits(0xff), Err(CertificateError::UnknownUsage(0xe0)));
        assert_eq!(Usages::from_bits(0x41), Err(CertificateError::UnknownUsage(0x40)));
    }
}
