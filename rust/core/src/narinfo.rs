//! narinfo files (libstore/nar-info.cc): read as Nix reads them, or refused.

use crate::encoding::base64_decode;
use crate::object::{ObjectError, PathInfo, StorePath, is_base_name, is_nix32, nix32, shorten};
use std::collections::BTreeSet;

/// What a narinfo says about a store object, and its signatures. Nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NarInfo {
    /// What is signed.
    pub info: PathInfo,
    /// `Sig` lines, in order, without duplicates.
    pub signatures: Vec<String>,
    /// The `CA` field: a claim to be content-addressed. Noted, not believed.
    pub content_address: Option<String>,
}

impl NarInfo {
    /// Read one narinfo.
    ///
    /// Unknown fields are ignored, as in Nix. Repeated ones are refused, where Nix takes the last of most of them: two
    /// readers must not see two objects.
    ///
    /// # Errors
    /// [`NarInfoError`] names the fault.
    pub fn parse(text: &str) -> Result<Self, NarInfoError> {
        let mut fields = Fields::default();
        let mut rest = text;
        while !rest.is_empty() {
            // "expecting '\n'": Nix refuses a last line without its line feed.
            let (line, next) = rest.split_once('\n').ok_or(NarInfoError::NoLineFeed)?;
            rest = next;
            let (name, value) = line.split_once(':').ok_or(NarInfoError::NoColon)?;
            // Nix skips one byte after the colon, whatever it is.
            let value = value.strip_prefix(' ').ok_or(NarInfoError::NoColon)?;
            fields.set(name, value)?;
        }
        fields.finish()
    }
}

#[derive(Default)]
struct Fields {
    path: Option<String>,
    hash: Option<String>,
    size: Option<String>,
    references: Option<String>,
    content_address: Option<String>,
    url: Option<String>,
    signatures: Vec<String>,
    /// `signatures`, to find one in it.
    seen: BTreeSet<String>,
}

impl Fields {
    fn set(&mut self, name: &str, value: &str) -> Result<(), NarInfoError> {
        let (name, slot) = match name {
            "StorePath" => ("StorePath", &mut self.path),
            "NarHash" => ("NarHash", &mut self.hash),
            "NarSize" => ("NarSize", &mut self.size),
            "References" => ("References", &mut self.references),
            "CA" => ("CA", &mut self.content_address),
            "URL" => ("URL", &mut self.url),
            "Sig" => {
                if self.seen.insert(value.to_owned()) {
                    self.signatures.push(value.to_owned());
                }
                return Ok(());
            }
            _ => return check_unsigned(name, value),
        };
        if slot.replace(value.to_owned()).is_some() {
            return Err(NarInfoError::Repeated(name));
        }
        Ok(())
    }

    fn finish(self) -> Result<NarInfo, NarInfoError> {
        let path = StorePath::parse(&self.path.ok_or(NarInfoError::Missing("StorePath"))?)?;
        let hash = self.hash.ok_or(NarInfoError::Missing("NarHash"))?;
        let nar_hash = sha256_to_nix32(&hash).ok_or_else(|| NarInfoError::Hash(shorten(&hash)))?;
        let size = self.size.ok_or(NarInfoError::Missing("NarSize"))?;
        let nar_size =
            parse_size(&size).filter(|n| *n != 0).ok_or_else(|| NarInfoError::Size(shorten(&size)))?;
        if self.url.is_none_or(|url| url.is_empty()) {
            return Err(NarInfoError::Missing("URL"));
        }
        let references = self
            .references
            .unwrap_or_default()
            .split(' ')
            .filter(|base| !base.is_empty())
            .map(|base| StorePath::in_directory(path.directory(), base))
            .collect::<Result<BTreeSet<_>, _>>()?;
        let content_address = self.content_address.filter(|ca| !ca.is_empty());
        let info = PathInfo { path, nar_hash, nar_size, references };
        Ok(NarInfo { info, signatures: self.signatures, content_address })
    }
}

/// Fields that nobody signs, and for whose sake Nix refuses the whole narinfo. (`CA` is noted as it is, and not believed.)
fn check_unsigned(name: &str, value: &str) -> Result<(), NarInfoError> {
    let (name, holds) = match name {
        "Deriver" => ("Deriver", value == "unknown-deriver" || is_base_name(value)),
        "FileHash" => ("FileHash", is_hash(value)),
        "FileSize" => ("FileSize", parse_size(value).is_some()),
        _ => return Ok(()),
    };
    if holds { Ok(()) } else { Err(NarInfoError::Unsigned(name)) }
}

/// A number of bytes, in digits alone.
fn parse_size(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The algorithms of Nix 2.26, and how many bytes they give.
const ALGORITHMS: [(&str, usize); 4] = [("md5", 16), ("sha1", 20), ("sha256", 32), ("sha512", 64)];

/// What Nix's `Hash::parseAnyPrefixed` takes.
fn is_hash(text: &str) -> bool {
    ALGORITHMS.iter().any(|(algorithm, bytes)| {
        let Some(rest) = text.strip_prefix(algorithm) else { return false };
        let is_base64 = |hash: &str| base64_decode(hash.as_bytes()).is_some_and(|hash| hash.len() == *bytes);
        if let Some(sri) = rest.strip_prefix('-') {
            return is_base64(sri);
        }
        let Some(hash) = rest.strip_prefix(':') else { return false };
        let is_hex = hash.len() == bytes * 2 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex || is_nix32(hash, *bytes) || is_base64(hash)
    })
}

/// The encodings of a SHA-256 that Nix's `Hash::parseAnyPrefixed` takes: base-16, Nix's base-32, base-64, SRI.
fn sha256_to_nix32(text: &str) -> Option<String> {
    if let Some(sri) = text.strip_prefix("sha256-") {
        let bytes: [u8; 32] = base64_decode(sri.as_bytes())?.try_into().ok()?;
        return Some(nix32(&bytes));
    }
    let hash = text.strip_prefix("sha256:")?;
    if is_nix32(hash, 32) {
        return Some(hash.to_owned());
    }
    let bytes = match hash.len() {
        64 => data_encoding::HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).ok()?,
        44 => base64_decode(hash.as_bytes())?,
        _ => return None,
    };
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    Some(nix32(&bytes))
}

/// Why a text is not a narinfo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarInfoError {
    /// The last line does not end.
    #[error("the last line has no line feed (was the file cut off?)")]
    NoLineFeed,
    /// A line that is not `Name: value`. It is not repeated: someone may have named a secret key's file by mistake.
    #[error("it has a line that is not of the form 'Name: value'")]
    NoColon,
    /// A field that must be there.
    #[error("the field '{0}' is missing")]
    Missing(&'static str),
    /// A field that may be there once.
    #[error("the field '{0}' is there twice")]
    Repeated(&'static str),
    /// `NarHash` is no SHA-256.
    #[error("NarHash '{0}' is not a SHA-256 hash as Nix writes one")]
    Hash(String),
    /// `NarSize` is no size.
    #[error("NarSize '{0}' is not a number of bytes above 0")]
    Size(String),
    /// A field that nobody signs, which Nix cannot read.
    #[error("the field '{0}' is not as Nix writes it, and Nix refuses the narinfo for it")]
    Unsigned(&'static str),
    /// `StorePath` or `References` hold something else.
    #[error(transparent)]
    Object(#[from] ObjectError),
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "StorePath: /nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin\n\
        URL: nar/05ra3y72i3qjri7xskf9qj8kb29r6naqy1sqpbs3azi3xcigmj56.nar.xz\n\
        NarHash: sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0\n\
        NarSize: 196040\n\
        References: 0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl-7.82.0 6w8g7njm4mck5dmjxws0z1xnrxvl81xa-glibc-2.34-115\n\
        Sig: a:b\nSig: a:b\nSig: c:d\n";

    #[test]
    fn reads_what_nix_reads() {
        let narinfo = NarInfo::parse(GOOD).unwrap();
        assert_eq!(narinfo.signatures, ["a:b", "c:d"]);
        assert_eq!(
            narinfo.info.fingerprint(),
            "1;/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl-7.82.0-bin;\
             sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0;196040;\
             /nix/store/0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl-7.82.0,\
             /nix/store/6w8g7njm4mck5dmjxws0z1xnrxvl81xa-glibc-2.34-115"
        );
        let hex = GOOD.replace(
            "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0",
            "407bcd9b608b7a78f9885930c2ce1fcafae0977d31ccd43fc1e998cb475a9aac",
        );
        assert_eq!(NarInfo::parse(&hex).as_ref(), Ok(&narinfo));
        assert_eq!(NarInfo::parse(&GOOD.replace("References:", "X:")).unwrap().info.references.len(), 0);
        assert_eq!(NarInfo::parse(&format!("{GOOD}Future: field\n")), Ok(narinfo.clone()));
        let base64 = GOOD.replace(
            "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0",
            "QHvNm2CLenj5iFkwws4fyvrgl30xzNQ/wemYy0damqw=",
        );
        assert_eq!(NarInfo::parse(&base64), Ok(narinfo));
        let content_address =
            |line: &str| NarInfo::parse(&format!("{GOOD}{line}\n")).unwrap().content_address;
        assert_eq!(content_address("CA: text:sha256:x").as_deref(), Some("text:sha256:x"));
        assert_eq!(content_address("CA: "), None);
    }

    #[test]
    fn reads_what_nobody_signs() {
        for line in [
            "Deriver: unknown-deriver",
            "Deriver: syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl.drv",
            "FileSize: 0",
            "FileHash: md5:00112233445566778899aabbccddeeff",
            "FileHash: sha1:vw46m23bizj4n8afrc0fj19wrp7mj3c0",
            "FileHash: sha1-gA1Zz808BekAy04hS+SPa4hqCN8=",
            "FileHash: sha256:1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0",
        ] {
            let narinfo = NarInfo::parse(&format!("{GOOD}{line}\n"));
            assert!(narinfo.is_ok(), "{line}: {narinfo:?}");
        }
    }

    #[test]
    fn refuses_what_is_not_one() {
        for (from, to, error) in [
            ("Sig: c:d\n", "Sig: c:d", "no line feed"),
            ("Sig: c:d\n", "Sig: c:d\n\n", "form 'Name: value'"),
            ("NarSize: 196040", "NarSize:196040", "form 'Name: value'"),
            ("NarSize: 196040", "NarSize: 0", "number of bytes"),
            ("NarSize: 196040", "NarSize: +1", "number of bytes"),
            ("NarSize: 196040", "NarSize: 196040\r", "number of bytes"),
            ("NarSize: 196040", "NarSize: 196040\nNarSize: 196040", "twice"),
            ("StorePath", "X", "missing"),
            ("URL", "X", "missing"),
            ("sha256:1b4s", "sha1:1b4s", "SHA-256"),
            ("0jqd0rlxzra1rs38rdxl43yh6rxchgc6-curl", "/nix/store/x", "not a store path"),
            ("Sig: c:d", "Deriver: x", "'Deriver'"),
            ("Sig: c:d", "Deriver: syd87l2rxw8cbsxmxl853h0r6pdwhwjr-curl.drv ", "'Deriver'"),
            ("Sig: c:d", "FileSize: 1 ", "'FileSize'"),
            ("Sig: c:d", "FileHash: sha256:1b4s", "'FileHash'"),
            ("Sig: c:d", "FileHash: md5:0011", "'FileHash'"),
            ("Sig: c:d", "FileHash: md5:gg112233445566778899aabbccddeeff", "'FileHash'"),
            ("Sig: c:d", "CA: text:sha256:x\nCA: text:sha256:x", "twice"),
        ] {
            let message = NarInfo::parse(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(message.contains(error), "{from} -> {to}: {message}");
        }
    }
}
