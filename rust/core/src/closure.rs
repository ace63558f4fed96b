//! The closure statement, and the name of a signature that bears one (FORMAT section 13). Nothing here verifies anything.

use crate::certificate::{ALGORITHM_ED25519, CertificateError, ConstraintKind, List, VERSION};
use crate::encoding::{base32_decode, base32_encode};
use crate::label::Label;
use crate::limits::{NAME_BYTES, STATEMENT_BYTES};
use crate::name::{CERTIFICATE_MARK, CertificateName, NameError};
use crate::object::{Object, ObjectError, StorePath};
use crate::time::Instant;
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::number::complete::{be_u8, be_u16, be_u32, be_u64};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// What stands between label and statement.
pub const CLOSURE_MARK: &str = ".nixcert1-closure.";

/// What the signed message begins with (FORMAT S3).
pub const CLOSURE_CONTEXT: &[u8] = b"nixcert1.closure\0";

/// What its signers say: that this closure may become the system of these hosts, until then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The top-level path.
    pub path: StorePath,
    /// The closure.
    pub closure: ClosureDigest,
    /// Host patterns (FORMAT K5); not empty.
    pub hosts: BTreeSet<String>,
    /// When it was made. A host never goes back behind it.
    pub signed: Instant,
    /// The first second in which it counts no more.
    pub not_after: Instant,
}

/// A closure, in short (FORMAT S4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClosureDigest {
    /// SHA-256 of the fingerprints.
    pub sha256: [u8; 32],
    /// How many paths there are.
    pub paths: u32,
}

impl Statement {
    /// Read a statement: all of `bytes`, in the one encoding there is.
    ///
    /// # Errors
    /// [`StatementError`] names the rule that is broken.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        if bytes.len() > STATEMENT_BYTES {
            return Err(StatementError::TooLong);
        }
        match parse_statement(bytes) {
            Ok(([], statement)) => Ok(statement),
            Ok(_) => Err(StatementError::TrailingBytes),
            Err(nom::Err::Error(error) | nom::Err::Failure(error)) => Err(error),
            Err(nom::Err::Incomplete(_)) => Err(StatementError::Truncated),
        }
    }

    /// Write it. What is written was read back.
    ///
    /// # Errors
    /// [`StatementError`] if it breaks a rule of FORMAT section 13.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        let too_long = |_| StatementError::TooLong;
        let mut hosts = Vec::new();
        for host in &self.hosts {
            hosts.push(u8::try_from(host.len()).map_err(too_long)?);
            hosts.extend(host.as_bytes());
        }
        let path = self.path.as_str().as_bytes();
        let mut bytes = vec![VERSION, ALGORITHM_ED25519];
        bytes.extend(u16::try_from(path.len()).map_err(too_long)?.to_be_bytes());
        bytes.extend(path);
        bytes.extend(self.closure.sha256);
        bytes.extend(self.closure.paths.to_be_bytes());
        bytes.extend(u16::try_from(hosts.len()).map_err(too_long)?.to_be_bytes());
        bytes.extend(hosts);
        bytes.extend(self.signed.seconds().to_be_bytes());
        bytes.extend(self.not_after.seconds().to_be_bytes());
        Self::parse(&bytes)?;
        Ok(bytes)
    }

    /// The message that is signed (FORMAT S3).
    ///
    /// # Errors
    /// As [`Statement::to_bytes`].
    pub fn signed_message(&self) -> Result<Vec<u8>, StatementError> {
        Ok([CLOSURE_CONTEXT, &self.to_bytes()?].concat())
    }
}

type Parsed<'a, T> = nom::IResult<&'a [u8], T, StatementError>;

/// The fields, in their one order.
fn parse_statement(input: &[u8]) -> Parsed<'_, Statement> {
    let fail = nom::Err::Failure;
    // F2: "An unknown version or algorithm is refused, and nothing behind it is read."
    let (input, version) = be_u8(input)?;
    if version != VERSION {
        return Err(fail(StatementError::UnknownVersion(version)));
    }
    let (input, algorithm) = be_u8(input)?;
    if algorithm != ALGORITHM_ED25519 {
        return Err(fail(StatementError::UnknownAlgorithm(algorithm)));
    }
    let (input, length) = be_u16(input)?;
    let (input, path) = take(length)(input)?;
    let path = std::str::from_utf8(path).map_err(|_| fail(StatementError::Path))?;
    let path = StorePath::parse(path).map_err(|_| fail(StatementError::Path))?;
    let (sha256, input) = input.split_first_chunk().ok_or(fail(StatementError::Truncated))?;
    let (input, paths) = be_u32(input)?;
    // "not 0": the top-level path is one of them
    if paths == 0 {
        return Err(fail(StatementError::Empty));
    }
    let (input, length) = be_u16(input)?;
    let (input, hosts) = take(length)(input)?;
    let hosts =
        List::parse(ConstraintKind::Hosts, hosts).map_err(|error| fail(StatementError::Hosts(error)))?;
    let hosts = hosts.iter().map(|host| String::from_utf8_lossy(host).into_owned()).collect();
    let (input, signed) = parse_time(input)?;
    let (input, not_after) = parse_time(input)?;
    if signed >= not_after {
        return Err(fail(StatementError::EmptyValidity));
    }
    let closure = ClosureDigest { sha256: *sha256, paths };
    Ok((input, Statement { path, closure, hosts, signed, not_after }))
}

fn parse_time(input: &[u8]) -> Parsed<'_, Instant> {
    let (input, seconds) = be_u64(input)?;
    let instant = Instant::from_seconds(seconds).map_err(|_| nom::Err::Failure(StatementError::Time))?;
    Ok((input, instant))
}

/// Takes the fingerprints of a closure one by one (FORMAT S4).
#[derive(Clone, Debug, Default)]
pub struct ClosureHasher {
    sha256: Sha256,
    paths: u32,
    previous: Vec<u8>,
}

impl ClosureHasher {
    /// Take the next path.
    ///
    /// # Errors
    /// [`ClosureOrderError`] unless its fingerprint is above the one before, or if there are too many.
    pub fn add(&mut self, object: &Object) -> Result<(), ClosureOrderError> {
        let fingerprint = object.fingerprint();
        // "in strictly ascending order"
        if fingerprint <= self.previous.as_slice() {
            return Err(ClosureOrderError);
        }
        self.paths = self.paths.checked_add(1).ok_or(ClosureOrderError)?;
        self.sha256.update(fingerprint);
        self.sha256.update(b"\n");
        self.previous.clear();
        self.previous.extend(fingerprint);
        Ok(())
    }

    /// The digest of what was taken.
    pub fn finish(self) -> ClosureDigest {
        ClosureDigest { sha256: self.sha256.finalize().into(), paths: self.paths }
    }
}

/// The digest of a closure, from its fingerprints in any order.
///
/// # Errors
/// [`ObjectError`] of the first that is not a store object's; a repeated one counts once.
pub fn closure_digest<F: AsRef<[u8]>>(
    fingerprints: impl IntoIterator<Item = F>,
) -> Result<ClosureDigest, ObjectError> {
    let sorted: BTreeSet<Vec<u8>> =
        fingerprints.into_iter().map(|fingerprint| fingerprint.as_ref().to_vec()).collect();
    let mut hasher = ClosureHasher::default();
    for fingerprint in sorted {
        let object = Object::path(&fingerprint)?;
        hasher.add(&object).map_err(|ClosureOrderError| ObjectError::Fingerprint("order"))?;
    }
    Ok(hasher.finish())
}

/// Paths of a closure that were not given in ascending order, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the paths of the closure were not given in order, each once")]
pub struct ClosureOrderError;

/// The name of a closure signature, taken apart (FORMAT S1). Nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosureName {
    /// The statement, as its signer had it.
    pub statement: Vec<u8>,
    /// `LABEL.nixcert1.CERTIFICATES`: what the name would be without the statement.
    pub certificate_name: String,
}

impl ClosureName {
    /// Whether a name is to be read as one of a closure signature.
    pub fn is_one(name: &[u8]) -> bool {
        std::str::from_utf8(name).is_ok_and(|name| name.contains(CLOSURE_MARK))
    }

    /// Take a name apart. What stands in it is not looked at: [`Statement::parse`] and [`CertificateName::parse`] do.
    ///
    /// # Errors
    /// [`NameError`] if the grammar is not met.
    pub fn parse(name: &[u8]) -> Result<Self, NameError> {
        if name.len() > NAME_BYTES {
            return Err(NameError::TooLong);
        }
        let name = std::str::from_utf8(name).map_err(|_| NameError::Label)?;
        let (label, rest) = name.split_once(CLOSURE_MARK).ok_or(NameError::NoMark)?;
        let label = Label::parse(label.as_bytes()).map_err(|_| NameError::Label)?;
        let (statement, certificates) = rest.split_once('.').ok_or(NameError::Base32)?;
        // 2,048 bytes are 3,277 characters: a longer part is not worth decoding.
        if statement.len() > STATEMENT_BYTES * 8 / 5 + 1 {
            return Err(NameError::TooLong);
        }
        let statement = base32_decode(statement.as_bytes()).ok_or(NameError::Base32)?;
        let certificate_name = format!("{label}{CERTIFICATE_MARK}{certificates}");
        CertificateName::parse(certificate_name.as_bytes())?;
        Ok(Self { statement, certificate_name })
    }

    /// Write a name: that of a certificate, with the statement in it.
    ///
    /// # Errors
    /// [`NameError`] if `certificate_name` is none, or the whole would be too long.
    pub fn format(statement: &[u8], certificate_name: &str) -> Result<String, NameError> {
        let (label, certificates) = certificate_name.split_once(CERTIFICATE_MARK).ok_or(NameError::NoMark)?;
        let name = format!("{label}{CLOSURE_MARK}{}.{certificates}", base32_encode(statement));
        Self::parse(name.as_bytes())?;
        Ok(name)
    }
}

/// Why bytes are not a statement. The reason code is `malformed-statement`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// F2.
    #[error("the statement is of version {0}, which this nixcert does not know: update it")]
    UnknownVersion(u8),
    /// F2.
    #[error("the statement is of algorithm {0}, which this nixcert does not know: update it")]
    UnknownAlgorithm(u8),
    /// S2.
    #[error("the statement is too long")]
    TooLong,
    /// S2.
    #[error("the statement ends too early")]
    Truncated,
    /// S2.
    #[error("something follows the statement")]
    TrailingBytes,
    /// O3.
    #[error("the statement's path is not a store path")]
    Path,
    /// S2.
    #[error("the statement is about no path")]
    Empty,
    /// F10, K5.
    #[error("the statement's hosts are not as they must be: {0}")]
    Hosts(CertificateError),
    /// C1.
    #[error("the statement has a time past the year 9999")]
    Time,
    /// S2.
    #[error("the statement ends before it was made")]
    EmptyValidity,
}

impl<I> ParseError<I> for StatementError {
    fn from_error_kind(_: I, _: ErrorKind) -> Self {
        Self::Truncated
    }

    fn append(_: I, _: ErrorKind, other: Self) -> Self {
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-nixos-system-web-1";

    fn statement() -> Statement {
        Statement {
            path: StorePath::parse(PATH).unwrap(),
            closure: ClosureDigest { sha256: [7; 32], paths: 3 },
            hosts: ["web-1".to_owned(), "web-2.*".to_owned()].into(),
            signed: Instant::from_seconds(1_800_000_000).unwrap(),
            not_after: Instant::from_seconds(1_800_086_400).unwrap(),
        }
    }

    #[test]
    fn one_encoding() {
        let bytes = statement().to_bytes().unwrap();
        assert_eq!(Statement::parse(&bytes), Ok(statement()));
        for end in 0..bytes.len() {
            assert!(Statement::parse(&bytes[..end]).is_err(), "{end}");
        }
        let hosts = 2 + 2 + PATH.len() + 32 + 4;
        let change = |at: usize, to: u8| {
            let mut changed = bytes.clone();
            changed[at] = to;
            Statement::parse(&changed).unwrap_err()
        };
        assert_eq!(change(0, 2), StatementError::UnknownVersion(2));
        assert_eq!(change(1, 2), StatementError::UnknownAlgorithm(2));
        assert_eq!(change(4, b'x'), StatementError::Path);
        assert_eq!(change(hosts - 1, 0), StatementError::Empty);
        assert!(matches!(change(hosts + 3, b'Z'), StatementError::Hosts(_)));
        assert_eq!(change(bytes.len() - 16, 1), StatementError::Time);
        assert_eq!(change(bytes.len() - 12, 0xff), StatementError::EmptyValidity);
        assert_eq!(Statement::parse(&[bytes.as_slice(), &[0]].concat()), Err(StatementError::TrailingBytes));
        assert_eq!(Statement::parse(&[1; 2049]), Err(StatementError::TooLong));
        assert_ne!(Statement::parse(&[1; 2048]), Err(StatementError::TooLong));
        let nowhere = Statement { hosts: BTreeSet::new(), ..statement() };
        assert!(
            matches!(nowhere.to_bytes(), Err(StatementError::Hosts(_))),
            "nothing never means everything"
        );
        let over = Statement { not_after: statement().signed, ..statement() };
        assert_eq!(over.to_bytes(), Err(StatementError::EmptyValidity));
    }

    #[test]
    fn names() {
        let name = ClosureName::format(b"\xff\x00", "alice.nixcert1.74aa.74aa").unwrap();
        assert_eq!(name, "alice.nixcert1-closure.74aa.74aa.74aa");
        assert!(ClosureName::is_one(name.as_bytes()));
        assert!(!crate::is_certificate_name(name.as_bytes()), "no import gate takes it for a certificate's");
        let parsed = ClosureName::parse(name.as_bytes()).unwrap();
        assert_eq!(parsed.statement, [0xff, 0]);
        assert_eq!(parsed.certificate_name, "alice.nixcert1.74aa.74aa");
        for (name, error) in [
            ("alice.nixcert1.74aa", NameError::NoMark),
            ("alice.nixcert1-closure.74aa", NameError::Base32),
            ("alice.nixcert1-closure.74aa.", NameError::Base32),
            ("alice.nixcert1-closure.74ab.74aa", NameError::Base32),
            ("alice.nixcert1-closure.74aa.nixcert1.74aa", NameError::Base32),
            ("Alice.nixcert1-closure.74aa.74aa", NameError::Label),
            ("a.nixcert1.b.nixcert1-closure.74aa.74aa", NameError::Label),
            ("alice.nixcert1-closure.74aa.74aa.74aa.74aa.74aa.74aa", NameError::ChainTooLong),
        ] {
            assert_eq!(ClosureName::parse(name.as_bytes()), Err(error), "{name}");
        }
        // The longest there may be, and one byte more: of the statement, and of the name.
        let longest = ClosureName::format(&[0; STATEMENT_BYTES], "alice.nixcert1.74aa").unwrap();
        assert_eq!(ClosureName::parse(longest.as_bytes()).unwrap().statement.len(), STATEMENT_BYTES);
        let longer = longest.replace("closure.a", "closure.aaa");
        assert_eq!(ClosureName::parse(longer.as_bytes()), Err(NameError::TooLong));
        let padded = |bytes: usize| {
            let beginning = "alice.nixcert1-closure.74aa.74aa.74aa.74aa.74aa.";
            ClosureName::parse(format!("{beginning}{}", "a".repeat(bytes - beginning.len())).as_bytes())
        };
        assert_eq!(padded(NAME_BYTES), Err(NameError::ChainTooLong));
        assert_eq!(padded(NAME_BYTES + 1), Err(NameError::TooLong));
    }

    #[test]
    fn a_digest_is_that_of_sorted_lines() {
        let hash = "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0";
        let fingerprint = |name: &str| format!("1;{PATH}{name};sha256:{hash};17;");
        // As `printf '%s\n' … | LC_ALL=C sort | sha256sum` orders them: one path is the beginning of the other, and comes after.
        let (short, long) = (fingerprint(""), fingerprint("-a"));
        let digest = closure_digest([&short, &long]).unwrap();
        assert_eq!(digest, closure_digest([&long, &short, &long]).unwrap());
        assert_eq!(digest.paths, 2);
        let lines = format!("{long}\n{short}\n");
        assert_eq!(digest.sha256, <[u8; 32]>::from(Sha256::digest(lines.as_bytes())));
        let mut hasher = ClosureHasher::default();
        hasher.add(&Object::path(short.as_bytes()).unwrap()).unwrap();
        for wrong in [&long, &short] {
            let object = Object::path(wrong.as_bytes()).unwrap();
            assert_eq!(hasher.add(&object), Err(ClosureOrderError), "{wrong}");
        }
        assert!(closure_digest(["x"]).is_err());
    }
}
