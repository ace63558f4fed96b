//! What is signed: store objects and realisations, by their fingerprints (FORMAT section 6).

use crate::certificate::is_store_directory;
use crate::limits::STORE_PATH_NAME_BYTES;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A store path: `DIRECTORY/DIGEST-NAME` (FORMAT O3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath {
    /// Shared: a closure has each path in many sets of references.
    text: Arc<str>,
    /// Where DIGEST begins.
    base: usize,
}

impl StorePath {
    /// Read a full store path.
    ///
    /// # Errors
    /// [`ObjectError::StorePath`] if it is none.
    pub fn parse(text: &str) -> Result<Self, ObjectError> {
        let refuse = || ObjectError::StorePath(shorten(text));
        let (directory, base) = text.rsplit_once('/').ok_or_else(refuse)?;
        if !is_store_directory(directory.as_bytes()) || !is_base_name(base) {
            return Err(refuse());
        }
        Ok(Self { text: text.into(), base: directory.len() + 1 })
    }

    /// A path from its last component, in a store directory.
    ///
    /// # Errors
    /// [`ObjectError::StorePath`] if they do not make one.
    pub fn in_directory(directory: &str, base: &str) -> Result<Self, ObjectError> {
        if base.contains('/') {
            return Err(ObjectError::StorePath(shorten(base)));
        }
        Self::parse(&format!("{directory}/{base}"))
    }

    /// The whole path.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The store directory, such as `/nix/store`.
    pub fn directory(&self) -> &str {
        self.text.get(..self.base.saturating_sub(1)).unwrap_or_default()
    }

    /// What follows digest and dash (FORMAT K3).
    pub fn name(&self) -> &str {
        self.text.get(self.base + DIGEST_CHARS + 1..).unwrap_or_default()
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePath({self})")
    }
}

const DIGEST_CHARS: usize = 32;

/// Nix's base-32 alphabet (libutil/hash.cc).
pub(crate) const NIX32: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

/// Whether a byte is of [`NIX32`]: of digits and letters all but `e`, `o`, `t` and `u`. Asked of hundreds for each path.
fn is_nix32_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'd' | b'f'..=b'n' | b'p'..=b's' | b'v'..=b'z')
}

/// "DIGEST - NAME: DIGEST is 32 characters of Nix's base-32 alphabet; NAME 1 to 211 bytes from …" (FORMAT O3)
pub(crate) fn is_base_name(base: &str) -> bool {
    let Some((digest, name)) = base.as_bytes().split_at_checked(DIGEST_CHARS) else { return false };
    let name_byte = |byte: &u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'-' | b'.' | b'_' | b'?' | b'=');
    let Some((b'-', name)) = name.split_first() else { return false };
    // Nix's checkName (libstore/path.cc): a leading component of dots would be one of the file system's.
    let dots = matches!(name.split(|byte| *byte == b'-').next(), Some(b"." | b".."));
    !dots
        && digest.iter().all(|byte| is_nix32_digit(*byte))
        && (1..=STORE_PATH_NAME_BYTES).contains(&name.len())
        && name.iter().all(name_byte)
}

/// What a store object's fingerprint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathInfo {
    /// The store path.
    pub path: StorePath,
    /// SHA-256 of the NAR: 52 characters of Nix's base-32.
    pub nar_hash: String,
    /// Size of the NAR in bytes; not 0.
    pub nar_size: u64,
    /// The store paths it refers to.
    pub references: BTreeSet<StorePath>,
}

impl PathInfo {
    /// The bytes that are signed (FORMAT O1; Nix: `ValidPathInfo::fingerprint`).
    pub fn fingerprint(&self) -> String {
        let references: Vec<&str> = self.references.iter().map(StorePath::as_str).collect();
        format!("1;{};sha256:{};{};{}", self.path, self.nar_hash, self.nar_size, references.join(","))
    }
}

/// The path of a fingerprint, if that is one, in the one form that there is (FORMAT O1).
fn path_of_fingerprint(fingerprint: &str) -> Result<StorePath, ObjectError> {
    let mut fields = fingerprint.split(';');
    let mut field = |name: &'static str| fields.next().ok_or(ObjectError::Fingerprint(name));
    if field("version")? != "1" {
        return Err(ObjectError::Fingerprint("version"));
    }
    let path = StorePath::parse(field("path")?)?;
    if !field("hash")?.strip_prefix("sha256:").is_some_and(is_nix32_sha256) {
        return Err(ObjectError::Fingerprint("hash"));
    }
    if !is_size(field("size")?) {
        return Err(ObjectError::Fingerprint("size"));
    }
    let list = field("references")?;
    let mut previous = "";
    for reference in list.split(',').filter(|_| !list.is_empty()) {
        // "PATH and REFERENCES share one store directory"
        let base = reference.strip_prefix(path.directory()).and_then(|rest| rest.strip_prefix('/'));
        // "strictly ascending"
        if !base.is_some_and(is_base_name) || reference <= previous {
            return Err(ObjectError::Fingerprint("references"));
        }
        previous = reference;
    }
    match fields.next() {
        None => Ok(path),
        Some(_) => Err(ObjectError::Fingerprint("references")),
    }
}

/// A number from 1 to 2^64 - 1, in decimal digits without leading zeros.
fn is_size(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') && text.parse::<u64>().is_ok()
}

/// 52 characters of Nix's base-32, the first of which holds one bit only.
fn is_nix32_sha256(hash: &str) -> bool {
    is_nix32(hash, 32)
}

/// So many bytes in Nix's base-32. The first character holds what bits are left over.
pub(crate) fn is_nix32(text: &str, bytes: usize) -> bool {
    let left_over = bytes * 8 % 5;
    let first = NIX32.get(..if left_over == 0 { 32 } else { 1 << left_over }).unwrap_or_default();
    text.len() == (bytes * 8).div_ceil(5)
        && text.bytes().all(is_nix32_digit)
        && text.bytes().next().is_some_and(|byte| first.contains(&byte))
}

/// The kinds of object that Nix signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A store object.
    Path,
    /// A realisation: which output a content-addressed derivation gave.
    Realisation,
}

/// An object to be judged: its fingerprint, and what certificates limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    kind: ObjectKind,
    fingerprint: Vec<u8>,
    path: StorePath,
}

impl Object {
    /// A store object, from the fingerprint that Nix signs (FORMAT O1). Name and store directory are read from the very
    /// bytes that are signed, so nothing else can disagree with them.
    ///
    /// # Errors
    /// [`ObjectError`] if the fingerprint is not one.
    pub fn path(fingerprint: &[u8]) -> Result<Self, ObjectError> {
        let text = std::str::from_utf8(fingerprint).map_err(|_| ObjectError::Fingerprint("text"))?;
        let path = path_of_fingerprint(text)?;
        Ok(Self { kind: ObjectKind::Path, fingerprint: fingerprint.to_vec(), path })
    }

    /// A realisation, from the JSON that Nix signs (FORMAT O2).
    ///
    /// # Errors
    /// [`ObjectError`] if it is not one, or if `store_directory` is none.
    pub fn realisation(fingerprint: &[u8], store_directory: &str) -> Result<Self, ObjectError> {
        // "There are two forms; no bytes are of both": the first key says which.
        let path = if fingerprint.starts_with(br#"{"key":"#) {
            let DerivationRealisation { key, value } = read_realisation(fingerprint)?;
            let derivation = StorePath::in_directory(store_directory, &key.drv_path)?;
            let path = StorePath::in_directory(store_directory, &value.out_path)?;
            // "`outPath`'s NAME MUST be what Nix calls that output"
            if output_name(derivation.name(), &key.output_name).as_deref() != Some(path.name()) {
                return Err(ObjectError::Realisation(format!(
                    "'{path}' is not what Nix calls the output '{}' of '{derivation}'",
                    shorten(&key.output_name)
                )));
            }
            path
        } else {
            let realisation: HashRealisation = read_realisation(fingerprint)?;
            StorePath::in_directory(store_directory, &realisation.out_path)?
        };
        Ok(Self { kind: ObjectKind::Realisation, fingerprint: fingerprint.to_vec(), path })
    }

    /// Which kind of object.
    pub fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// The bytes that are signed.
    pub fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    /// The store path; of a realisation, its output's.
    pub fn store_path(&self) -> &StorePath {
        &self.path
    }
}

/// "An object with exactly `dependentRealisations`, `id` and `outPath`" (FORMAT O2, Nix up to 2.34)
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct HashRealisation {
    dependent_realisations: BTreeMap<String, String>,
    id: String,
    out_path: String,
}

/// "An object with exactly `key` and `value`" (FORMAT O2, Nix 2.35 and later)
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct DerivationRealisation {
    key: DerivationOutput,
    value: OutputPath,
}

/// "`key` is an object with exactly `drvPath` and `outputName`"
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DerivationOutput {
    drv_path: String,
    output_name: String,
}

/// "`value` one with exactly `outPath`"
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct OutputPath {
    out_path: String,
}

/// Read the JSON of a realisation, in the one encoding that Nix writes.
fn read_realisation<'a, T: Deserialize<'a> + Serialize>(fingerprint: &'a [u8]) -> Result<T, ObjectError> {
    let refuse = |error: serde_json::Error| ObjectError::Realisation(error.to_string());
    let realisation: T = serde_json::from_slice(fingerprint).map_err(refuse)?;
    // "without white space and escapes, with the keys of each object in strictly ascending order": settled by writing it again.
    let escaped = fingerprint.contains(&b'\\');
    if escaped || serde_json::to_vec(&realisation).map_err(refuse)? != fingerprint {
        return Err(ObjectError::Realisation("it is not written as Nix writes it".to_owned()));
    }
    Ok(realisation)
}

/// The name of a derivation's output, from the derivation's and its own (Nix: `outputPathName`).
fn output_name(derivation: &str, output: &str) -> Option<String> {
    // "`drvPath` is DIGEST `-` DERIVATION `.drv`", "DERIVATION and `outputName` are not empty"
    let derivation = derivation.strip_suffix(".drv").filter(|name| !name.is_empty())?;
    match output {
        "" => None,
        "out" => Some(derivation.to_owned()),
        output => Some(format!("{derivation}-{output}")),
    }
}

/// Why something is not an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// Not a store path.
    #[error("'{0}' is not a store path")]
    StorePath(String),
    /// A fingerprint whose named part is not as it must be.
    #[error("not a fingerprint of a store object: its {0} is not as Nix writes it")]
    Fingerprint(&'static str),
    /// Not the JSON of a realisation.
    #[error("not a fingerprint of a realisation: {0}")]
    Realisation(String),
}

/// Attacker text in a message: printable, and no longer than a line.
pub(crate) fn shorten(text: &str) -> String {
    const SHOWN: usize = 100;
    let mut short: String =
        text.chars().take(SHOWN).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

/// A hash in Nix's base-32, from its bytes: the lowest five bits last (libutil/hash.cc, `printHash32`).
pub fn nix32(hash: &[u8]) -> String {
    let bits = |n: usize| -> usize {
        let low = hash.get(n * 5 / 8).copied().unwrap_or(0);
        let high = hash.get(n * 5 / 8 + 1).copied().unwrap_or(0);
        usize::from((u16::from_le_bytes([low, high]) >> (n * 5 % 8)) & 0x1f)
    };
    let chars = (hash.len() * 8).div_ceil(5);
    (0..chars).rev().filter_map(|n| NIX32.get(bits(n))).map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_of_the_alphabet() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_nix32_digit(byte), NIX32.contains(&byte), "{byte}");
        }
    }

    #[test]
    fn attackers_text_is_printable_and_short() {
        assert_eq!(shorten("web 1~"), "web 1~");
        assert_eq!(shorten("a\x1b[31m\n\u{202e}é"), "a?[31m???");
        assert_eq!(shorten(&"x".repeat(100)), "x".repeat(100));
        assert_eq!(shorten(&"x".repeat(101)), "x".repeat(100) + "…");
    }

    const DIGEST: &str = "syd87l2rxw8cbsxmxl853h0r6pdwhwjr";
    const HASH: &str = "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0";

    #[test]
    fn store_paths() {
        let path = StorePath::parse(&format!("/nix/store/{DIGEST}-curl-7.82.0")).unwrap();
        assert_eq!((path.directory(), path.name()), ("/nix/store", "curl-7.82.0"));
        for bad in [
            format!("{DIGEST}-curl"),
            format!("nix/store/{DIGEST}-curl"),
            format!("/nix/store/{DIGEST}"),
            format!("/nix/store/{DIGEST}-"),
            format!("/nix/store/{DIGEST}-a/b"),
            format!("/nix/store/{DIGEST}-a b"),
            format!("/nix/store/{DIGEST}-."),
            format!("/nix/store/{DIGEST}-..-a"),
            format!("/nix/store//{DIGEST}-a"),
            format!("/nix/../store/{DIGEST}-a"),
            format!("/nix;store/{DIGEST}-a"),
            format!("/nix/store/{DIGEST}-é"),
            format!("/nix/store/{}-curl", DIGEST.replace('s', "e")),
            format!("/nix/store/{DIGEST}-{}", "x".repeat(212)),
            String::new(),
        ] {
            assert!(StorePath::parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_has_one_form() {
        let (a, b) = (format!("/nix/store/{DIGEST}-a"), format!("/nix/store/{DIGEST}-b"));
        let good = format!("1;{a};sha256:{HASH};17;{a},{b}");
        assert_eq!(Object::path(good.as_bytes()).unwrap().store_path().name(), "a");
        assert!(Object::path(format!("1;{a};sha256:{HASH};17;").as_bytes()).is_ok());
        for bad in [
            format!("2;{a};sha256:{HASH};17;"),
            format!("1;{a};sha256:{HASH};17"),
            format!("1;{a};sha256:{HASH};17;;"),
            format!("1;{a};sha256:{HASH};017;"),
            format!("1;{a};sha256:{HASH};+17;"),
            format!("1;{a};sha256:{HASH};0;"),
            format!("1;{a};sha256:{HASH};99999999999999999999;"),
            format!("1;{a};sha1:{HASH};17;"),
            format!("1;{a};sha256:{};17;", HASH.to_uppercase()),
            format!("1;{a};sha256:2{};17;", HASH.get(1..).unwrap()),
            format!("1;{a};sha256:{HASH};17;{b},{a}"),
            format!("1;{a};sha256:{HASH};17;{a},{a}"),
            format!("1;{a};sha256:{HASH};17;{a},"),
            format!("1;{a};sha256:{HASH};17;/gnu/store/{DIGEST}-b"),
            "{}".to_owned(),
        ] {
            assert!(Object::path(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn realisations() {
        let good = format!(r#"{{"dependentRealisations":{{}},"id":"sha256:00!out","outPath":"{DIGEST}-a"}}"#);
        let object = Object::realisation(good.as_bytes(), "/nix/store").unwrap();
        assert_eq!(object.store_path().as_str(), format!("/nix/store/{DIGEST}-a"));
        for bad in [
            good.replace("outPath", "outPat"),
            good.replace(":{", ": {"),
            good.replace("sha256", "sha\\u0032256"),
            format!(r#"[{{}},"sha256:00!out","{DIGEST}-a"]"#),
            format!(r#"{{"id":"sha256:00!out","dependentRealisations":{{}},"outPath":"{DIGEST}-a"}}"#),
            good.replace("\"id\"", "\"more\":1,\"id\""),
            good.replace("{DIGEST}-a", "x/{DIGEST}-a").replace(DIGEST, "/tmp"),
            good.replace("\"id\"", &format!("\"outPath\":\"{DIGEST}-b\",\"id\"")),
            String::new(),
        ] {
            assert!(Object::realisation(bad.as_bytes(), "/nix/store").is_err(), "{bad}");
        }
    }

    /// The form of Nix 2.35 and later.
    fn of_derivation(derivation: &str, output: &str, path: &str) -> String {
        format!(
            r#"{{"key":{{"drvPath":"{DIGEST}-{derivation}","outputName":"{output}"}},"value":{{"outPath":"{DIGEST}-{path}"}}}}"#
        )
    }

    #[test]
    fn the_output_of_a_derivation_has_one_name() {
        let longest = "x".repeat(207);
        for (derivation, output, path) in [
            ("a.drv", "out", "a"),
            ("a.drv", "dev", "a-dev"),
            ("a-b.drv", "out", "a-b"),
            ("a.drv", "b", "a-b"),
            ("a.drv", "out-b", "a-out-b"),
            ("a.drv.drv", "out", "a.drv"),
            (&format!("{longest}.drv"), "out", &longest),
            (&format!("{longest}.drv"), "dev", &format!("{longest}-dev")),
        ] {
            let good = of_derivation(derivation, output, path);
            let object = Object::realisation(good.as_bytes(), "/nix/store").unwrap();
            assert_eq!(object.kind(), ObjectKind::Realisation);
            assert_eq!(object.store_path().as_str(), format!("/nix/store/{DIGEST}-{path}"));
            assert_eq!(object.fingerprint(), good.as_bytes());
        }
        for (derivation, output, path) in [
            ("b.drv", "out", "a"),
            ("a.drv", "dev", "a"),
            ("a.drv", "out", "a-out"),
            ("a.drv", "out", "a-dev"),
            ("a.drv", "", "a"),
            ("a.drv", "", "a-"),
            ("a.drv", "Out", "a"),
            ("a.drv", "b/c", "a-b/c"),
            ("a.drv", "é", "a-é"),
            ("a", "out", "a"),
            ("a.drv", "out", "a.drv"),
            ("a.DRV", "out", "a"),
            (".drv", "out", ""),
            (".drv", "b", "-b"),
            ("...drv", "b", "..-b"),
            (&format!("x{longest}.drv"), "out", &format!("x{longest}")),
            (&format!("{longest}.drv"), "devel", &format!("{longest}-devel")),
        ] {
            let bad = of_derivation(derivation, output, path);
            assert!(Object::realisation(bad.as_bytes(), "/nix/store").is_err(), "{bad}");
        }
    }

    #[test]
    fn the_realisation_of_a_derivation_has_one_form() {
        let good = of_derivation("a.drv", "out", "a");
        let drv = format!("{DIGEST}-a.drv");
        for bad in [
            good.replace("drvPath", "drvpath"),
            good.replace("outPath", "outpath"),
            good.replace(":{", ": {"),
            good.replace('{', "{ "),
            format!("{good}\n"),
            format!(" {good}"),
            format!("{good}{good}"),
            good.replace("\"out\"", "\"o\\u0075t\""),
            good.replace("\"key\"", "\"\\u006bey\""),
            good.replace("\"out\"", "null"),
            good.replace("\"out\"", "[\"out\"]"),
            good.replace(&drv, &format!("/nix/store/{drv}")),
            good.replace(&drv, &format!("../{drv}")),
            good.replace(&drv, "a.drv"),
            good.replace(&format!("{DIGEST}-a\""), &format!("/nix/store/{DIGEST}-a\"")),
            good.replace("}}", ",\"signatures\":[]}}"),
            good.replace("}}", "},\"dependentRealisations\":{}}"),
            good.replace("{\"key\"", "{\"dependentRealisations\":{},\"key\""),
            good.replace("{\"outPath\"", "{\"dependentRealisations\":{},\"outPath\""),
            good.replace("}}", "},\"id\":\"sha256:00!out\"}"),
            good.replace("\"value\"", "\"key\":{},\"value\""),
            good.replace("{\"outPath\"", &format!("{{\"outPath\":\"{DIGEST}-b\",\"outPath\"")),
            good.replace("{\"drvPath\"", &format!("{{\"drvPath\":\"{DIGEST}-b.drv\",\"drvPath\"")),
            format!(
                r#"{{"value":{{"outPath":"{DIGEST}-a"}},"key":{{"drvPath":"{drv}","outputName":"out"}}}}"#
            ),
            format!(
                r#"{{"key":{{"outputName":"out","drvPath":"{drv}"}},"value":{{"outPath":"{DIGEST}-a"}}}}"#
            ),
            format!(r#"{{"key":["{drv}","out"],"value":["{DIGEST}-a"]}}"#),
            format!(r#"[{{"drvPath":"{drv}","outputName":"out"}},{{"outPath":"{DIGEST}-a"}}]"#),
            format!(r#"{{"key":"{drv}^out","value":{{"outPath":"{DIGEST}-a"}}}}"#),
            r#"{"key":"#.to_owned(),
            r#"{"key":{},"value":{}}"#.to_owned(),
        ] {
            assert_ne!(bad, good);
            assert!(Object::realisation(bad.as_bytes(), "/nix/store").is_err(), "{bad}");
        }
        assert!(Object::realisation(good.as_bytes(), "nix/store").is_err());
    }

    #[test]
    fn no_byte_of_a_realisation_is_idle() {
        let hash = format!(r#"{{"dependentRealisations":{{}},"id":"sha256:00!out","outPath":"{DIGEST}-a"}}"#);
        for good in [of_derivation("a.drv", "out", "a"), hash] {
            for end in 0..good.len() {
                assert!(Object::realisation(&good.as_bytes()[..end], "/nix/store").is_err(), "{end}");
            }
            for (at, byte) in (0..good.len()).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                let mut bytes = good.clone().into_bytes();
                bytes[at] = byte;
                // What another byte makes of it is refused, or signed as what it is, and is never the other form.
                if let Ok(object) = Object::realisation(&bytes, "/nix/store") {
                    assert_eq!(object.fingerprint(), bytes);
                    assert_eq!(bytes[..8], good.as_bytes()[..8]);
                }
                assert!(Object::path(&bytes).is_err());
            }
        }
    }

    #[test]
    fn nix32_is_nix_s() {
        // nix hash of the empty string: sha256:e3b0c442… is 0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73.
        let empty = [
            0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
            0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
        ];
        assert_eq!(nix32(&empty), "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73");
        // A store path's digest is 20 bytes, like this one of Nix's hash-convert.sh.
        let sha1 = [
            0x80, 0x0d, 0x59, 0xcf, 0xcd, 0x3c, 0x05, 0xe9, 0x00, 0xcb, 0x4e, 0x21, 0x4b, 0xe4, 0x8f, 0x6b,
            0x88, 0x6a, 0x08, 0xdf,
        ];
        assert_eq!(nix32(&sha1), "vw46m23bizj4n8afrc0fj19wrp7mj3c0");
        assert_eq!(nix32(&[]), "");
    }
}
