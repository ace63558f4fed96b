//! The name of a certificate signature: label and certificates (FORMAT section 2).

use crate::encoding::{base32_decode, base32_encode};
use crate::label::Label;
use crate::limits::{CERTIFICATE_BYTES, CHAIN_CERTIFICATES, NAME_BYTES};
use nom::Parser;
use nom::bytes::complete::{tag, take_until};
use nom::combinator::rest;
use nom::sequence::separated_pair;

/// What stands between label and certificates.
pub const CERTIFICATE_MARK: &str = ".nixcert1.";

/// "It is a *certificate signature* if NAME contains `.nixcert1.`, and a *plain signature* otherwise."
pub fn is_certificate_name(name: &[u8]) -> bool {
    split(name).is_some()
}

fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let mark = CERTIFICATE_MARK.as_bytes();
    let mut parser = separated_pair(take_until::<_, _, nom::error::Error<&[u8]>>(mark), tag(mark), rest);
    parser.parse(name).ok().map(|(_, parts)| parts)
}

/// A name, taken apart: the label, and the certificates' bytes, leaf first. Nothing in it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName<'a> {
    label: Label<'a>,
    certificates: Vec<Vec<u8>>,
}

impl<'a> CertificateName<'a> {
    /// Take a name apart (FORMAT N1, N2).
    ///
    /// # Errors
    /// [`NameError`] if the grammar is not met.
    pub fn parse(name: &'a [u8]) -> Result<Self, NameError> {
        let (label, text) = Self::parts(name)?;
        let mut certificates = Vec::new();
        for part in text.split(|byte| *byte == b'.') {
            if certificates.len() == CHAIN_CERTIFICATES {
                return Err(NameError::ChainTooLong);
            }
            // 2,048 bytes are 3,277 characters: a longer part is not worth decoding.
            if part.len() > CERTIFICATE_BYTES * 8 / 5 + 1 {
                return Err(NameError::TooLong);
            }
            let bytes = base32_decode(part).filter(|bytes| !bytes.is_empty()).ok_or(NameError::Base32)?;
            certificates.push(bytes);
        }
        Ok(Self { label, certificates })
    }

    /// Label, and the certificates still in base32, which are the same for every signature with this chain.
    pub(crate) fn parts(name: &'a [u8]) -> Result<(Label<'a>, &'a [u8]), NameError> {
        // N1: "The whole NAME MUST match the grammar and be at most 14,000 bytes long."
        if name.len() > NAME_BYTES {
            return Err(NameError::TooLong);
        }
        let (label, certificates) = split(name).ok_or(NameError::NoMark)?;
        Ok((Label::parse(label).map_err(|_| NameError::Label)?, certificates))
    }

    /// The label in front.
    pub fn label(&self) -> Label<'a> {
        self.label
    }

    /// The certificates' bytes: the leaf, then each one's issuer.
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.certificates
    }

    /// Write a name.
    pub fn format<C: AsRef<[u8]>>(label: Label<'_>, certificates: &[C]) -> String {
        let parts: Vec<String> = certificates.iter().map(|bytes| base32_encode(bytes.as_ref())).collect();
        format!("{label}{CERTIFICATE_MARK}{}", parts.join("."))
    }
}

/// Why a name is not that of a certificate signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It does not contain `.nixcert1.`.
    #[error("the name holds no certificate (there is no '.nixcert1.' in it)")]
    NoMark,
    /// What stands before the mark is no label.
    #[error("what stands before '.nixcert1.' in the name is not a label")]
    Label,
    /// What stands behind the mark is not base32, or not canonical.
    #[error(
        "a certificate in the name is not canonical lower-case base32 (was the name cut off or changed?)"
    )]
    Base32,
    /// N1.
    #[error("the name is too long")]
    TooLong,
    /// More than a leaf and three intermediates.
    #[error("the name holds more than a leaf and three intermediate certificates")]
    ChainTooLong,
}

impl NameError {
    /// The reason code (FORMAT section 8).
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoMark | Self::Label | Self::Base32 => "malformed-name",
            Self::TooLong => "name-too-long",
            Self::ChainTooLong => "chain-too-long",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let parsed = CertificateName::parse(b"alice.nixcert1.74aa.74aa").unwrap();
        assert_eq!(parsed.label().as_str(), "alice");
        assert_eq!(parsed.certificates(), [vec![0xff, 0], vec![0xff, 0]]);
        assert_eq!(
            CertificateName::format(parsed.label(), parsed.certificates()),
            "alice.nixcert1.74aa.74aa"
        );
        for (name, error) in [
            ("cache.nixos.org-1", NameError::NoMark),
            ("alice.nixcert1", NameError::NoMark),
            ("alice.nixcert1x.74aa", NameError::NoMark),
            (".nixcert1.74aa", NameError::Label),
            ("Alice.nixcert1.74aa", NameError::Label),
            ("a.b.nixcert1.74aa", NameError::Label),
            ("alice.nixcert1.", NameError::Base32),
            ("alice.nixcert1.74aa.", NameError::Base32),
            ("alice.nixcert1..74aa", NameError::Base32),
            ("alice.nixcert1.74ab", NameError::Base32),
            ("alice.nixcert1.74AA", NameError::Base32),
            ("alice.nixcert1.74aa ", NameError::Base32),
            ("alice.nixcert1.nixcert1.74aa", NameError::Base32),
            ("alice.nixcert1.74aa.74aa.74aa.74aa.74aa", NameError::ChainTooLong),
        ] {
            assert_eq!(CertificateName::parse(name.as_bytes()), Err(error), "{name}");
        }
        let padded = |bytes: usize| {
            let beginning = "alice.nixcert1.74aa.74aa.74aa.74aa.";
            let name = format!("{beginning}{}", "a".repeat(bytes - beginning.len()));
            CertificateName::parse(name.as_bytes()).unwrap_err()
        };
        assert_eq!(padded(NAME_BYTES), NameError::ChainTooLong);
        assert_eq!(padded(NAME_BYTES + 1), NameError::TooLong);
        let long = format!("alice.nixcert1.{}", "a".repeat(3_280));
        assert_eq!(CertificateName::parse(long.as_bytes()), Err(NameError::TooLong));
    }
}
