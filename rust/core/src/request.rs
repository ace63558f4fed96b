//! The request for a certificate (FORMAT section 4).

use crate::certificate::{ALGORITHM_ED25519, CertificateError, VERSION, parse_label};
use crate::encoding::{base32_decode, base32_encode};
use crate::key::{PublicKey, WeakKey};
use crate::label::Label;

/// What stands between label and request.
pub const REQUEST_MARK: &str = ".nixcert1-request.";

/// What the signed message begins with (FORMAT R1).
pub const REQUEST_CONTEXT: &[u8] = b"nixcert1.request\0";

/// A request whose own signature was checked: whoever made it holds the subject key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    label: String,
    subject: PublicKey,
}

impl Request {
    /// Read a request and check its signature. One line feed at the end is admitted.
    ///
    /// # Errors
    /// [`RequestError`] names the fault.
    pub fn verify(line: &str) -> Result<Self, RequestError> {
        let line = line.strip_suffix('\n').unwrap_or(line);
        let (label, text) = line.split_once(REQUEST_MARK).ok_or(RequestError::NotARequest)?;
        let bytes = base32_decode(text.as_bytes()).ok_or(RequestError::Base32)?;
        let (to_be_signed, signature) =
            bytes.split_last_chunk::<64>().ok_or(RequestError::Malformed(CertificateError::Truncated))?;
        let (inner, subject) = parse(to_be_signed)?;
        // "LABEL MUST equal the label inside"
        if inner.as_str() != label {
            return Err(RequestError::LabelMismatch);
        }
        let key = subject.usable().map_err(RequestError::WeakKey)?;
        if !key.verifies(&[REQUEST_CONTEXT, to_be_signed].concat(), signature) {
            return Err(RequestError::BadSignature);
        }
        Ok(Self { label: inner.to_string(), subject })
    }

    /// The label asked for.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The key to be certified.
    pub fn subject(&self) -> PublicKey {
        self.subject
    }

    /// The bytes that the subject signs behind [`REQUEST_CONTEXT`].
    pub fn to_be_signed(label: Label<'_>, subject: &PublicKey) -> Vec<u8> {
        let label = label.as_str().as_bytes();
        #[allow(clippy::cast_possible_truncation, reason = "a label has at most 32 bytes")]
        let head = [VERSION, ALGORITHM_ED25519, label.len() as u8];
        [&head, label, &subject.0].concat()
    }

    /// Write a request, without line feed.
    pub fn format(label: Label<'_>, subject: &PublicKey, signature: &[u8; 64]) -> String {
        let bytes = [Self::to_be_signed(label, subject).as_slice(), signature].concat();
        format!("{label}{REQUEST_MARK}{}", base32_encode(&bytes))
    }
}

fn parse(to_be_signed: &[u8]) -> Result<(Label<'_>, PublicKey), RequestError> {
    let malformed = RequestError::Malformed;
    let (head, rest) = to_be_signed.split_first_chunk::<2>().ok_or(malformed(CertificateError::Truncated))?;
    match *head {
        [VERSION, ALGORITHM_ED25519] => {}
        [VERSION, algorithm] => return Err(malformed(CertificateError::UnknownAlgorithm(algorithm))),
        [version, _] => return Err(malformed(CertificateError::UnknownVersion(version))),
    }
    let (rest, label) = parse_label(rest).map_err(|error| match error {
        nom::Err::Error(error) | nom::Err::Failure(error) => malformed(error),
        nom::Err::Incomplete(_) => malformed(CertificateError::Truncated),
    })?;
    let subject: [u8; 32] = rest.try_into().map_err(|_| malformed(CertificateError::TrailingBytes))?;
    Ok((label, PublicKey(subject)))
}

/// Why something is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The mark is missing.
    #[error("this is not a certificate request (there is no '.nixcert1-request.' in it)")]
    NotARequest,
    /// C2.
    #[error("the request is not canonical lower-case base32 (was it cut off or wrapped?)")]
    Base32,
    /// Section 4.
    #[error("the request is malformed: {0}")]
    Malformed(CertificateError),
    /// R1.
    #[error("the request's label was changed: it is not the one that was signed")]
    LabelMismatch,
    /// F4.
    #[error("the request is for a key that is none: {0}")]
    WeakKey(WeakKey),
    /// R1.
    #[error("the request is not signed by the key it asks a certificate for")]
    BadSignature,
}
