//! Putting another certificate of the same key on a signature (FORMAT N4: the signature "does not cover NAME").

use crate::error::{Error, Result};
use crate::input;
use nixcert_core::{
    Anchors, Certificate, CertificateName, ChainCache, Instant, NarInfo, Object, PublicKey, Times, Trust,
    VerifiedChain, judge,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The certificates that are put on signatures.
pub(crate) struct Wrapper {
    certificates: Vec<Wrapping>,
    now: Instant,
}

/// A certificate, and the name that signatures get from it.
pub(crate) struct Wrapping {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) key: PublicKey,
    pub(crate) not_before: Instant,
    /// The first of its chain to end.
    pub(crate) not_after: Instant,
}

/// What became of a narinfo.
#[derive(Debug, Default)]
pub(crate) struct Rewrapped {
    /// The whole text, if it changed.
    pub(crate) text: Option<String>,
    /// Signatures by one of the keys.
    pub(crate) matched: usize,
    /// By which certificates signatures were added: indices into [`Wrapper::certificates`].
    pub(crate) added: BTreeSet<usize>,
    /// The new signatures.
    pub(crate) signatures: Vec<String>,
    /// How many signatures of expired certificates were taken away.
    pub(crate) dropped: usize,
    /// Signatures that bear a certificate of one of the keys, and are not that key's.
    pub(crate) bad: usize,
}

impl Wrapper {
    /// Read certificate files; each must be one that a host could follow.
    pub(crate) fn read(files: &[PathBuf], now: Instant) -> Result<Self> {
        let mut certificates: Vec<Wrapping> = Vec::new();
        for file in files {
            let wrapping = Wrapping::read(file)?;
            if !certificates.iter().any(|known| known.name == wrapping.name) {
                certificates.push(wrapping);
            }
        }
        Ok(Self { certificates, now })
    }

    pub(crate) fn certificates(&self) -> &[Wrapping] {
        &self.certificates
    }

    /// Add to a narinfo what is missing: for each signature by one of the keys, one under each certificate of that key,
    /// behind it. All other bytes stay. With `drop_expired`, signatures by such a key under a certificate that has
    /// expired go, but never the last one of a key.
    pub(crate) fn rewrap(&self, text: &str, drop_expired: bool) -> std::result::Result<Rewrapped, String> {
        let narinfo = NarInfo::parse(text).map_err(|error| error.to_string())?;
        let object =
            Object::path(narinfo.info.fingerprint().as_bytes()).map_err(|error| error.to_string())?;
        let present: BTreeSet<&str> = narinfo.signatures.iter().map(String::as_str).collect();
        let mut done = Rewrapped::default();
        // What follows a signature's line, and which lines go.
        let mut behind: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut expired: BTreeSet<&str> = BTreeSet::new();
        let mut new: BTreeSet<String> = BTreeSet::new();
        for signature in &present {
            let Some((name, payload)) = signature.split_once(':') else { continue };
            let Some((key, ends)) = leaf_of(name) else { continue };
            if !self.certificates.iter().any(|wrapping| wrapping.key == key) {
                continue;
            }
            if !is_signature_by(&object, payload, key) {
                done.bad += 1;
                continue;
            }
            done.matched += 1;
            for (index, wrapping) in self.certificates.iter().enumerate() {
                let line = format!("{}:{payload}", wrapping.name);
                if wrapping.key == key && !present.contains(line.as_str()) && new.insert(line.clone()) {
                    done.added.insert(index);
                    behind.entry(signature).or_default().push(line);
                }
            }
            let is_ours = self.certificates.iter().any(|wrapping| wrapping.name == name);
            if drop_expired && ends <= self.now && !is_ours {
                expired.insert(signature);
            }
        }
        done.dropped = expired.len();
        if new.is_empty() && expired.is_empty() {
            return Ok(done);
        }
        let mut changed = String::with_capacity(text.len() * 2);
        for line in text.split_inclusive('\n') {
            let signature = line.strip_prefix("Sig: ").map(|value| value.trim_end_matches('\n'));
            if signature.is_none_or(|signature| !expired.contains(signature)) {
                changed.push_str(line);
            }
            // Removed, so that a signature that is there twice is followed once.
            for added in signature.and_then(|signature| behind.remove(signature)).unwrap_or_default() {
                changed.push_str(&format!("Sig: {added}\n"));
            }
        }
        // What is written is read back, and says the same of the same object.
        let read = NarInfo::parse(&changed).map_err(|error| error.to_string())?;
        if read.info != narinfo.info || !new.iter().all(|signature| read.signatures.contains(signature)) {
            return Err("the changed narinfo would not be the same object's".to_owned());
        }
        done.text = Some(changed);
        done.signatures = new.into_iter().collect();
        Ok(done)
    }
}

impl Wrapping {
    fn read(file: &Path) -> Result<Self> {
        let line = input::line(file, "a certificate")?;
        let malformed = |error: &dyn std::fmt::Display| {
            Error::new(format!("'{}' is not a certificate: {error}", file.display()))
                .help("name the file that 'nixcert issue -o' wrote, unchanged")
        };
        if line.contains(':') {
            return Err(malformed(&"it is a key or a signature; no secret key is needed here"));
        }
        Self::of_name(&line, file, malformed)
    }

    /// From a certificate name that stands in a file; `malformed` says that it is none.
    pub(crate) fn of_name(
        line: &str,
        file: &Path,
        malformed: impl Fn(&dyn std::fmt::Display) -> Error,
    ) -> Result<Self> {
        let name = CertificateName::parse(line.as_bytes()).map_err(|error| malformed(&error))?;
        let mut chain = Vec::new();
        for bytes in name.certificates() {
            chain.push(Certificate::parse(bytes).map_err(|error| malformed(&error))?);
        }
        let (leaf, last) = match (chain.first(), chain.last()) {
            (Some(leaf), Some(last)) => (leaf, last),
            _ => return Err(malformed(&"it is empty")),
        };
        if leaf.label != name.label() {
            let (said, is) = (name.label(), leaf.label);
            return Err(malformed(&format_args!("its name says '{said}', its content '{is}'")));
        }
        // A host that trusts whoever issued the last one must be able to follow it.
        let mut anchors = Anchors::default();
        anchors.add(&format!("root:{}", last.issuer)).map_err(|error| malformed(&error))?;
        VerifiedChain::verify(name.certificates().to_vec(), &anchors).map_err(|reason| {
            Error::refused(format!("'{}': no host would accept it: {reason}", file.display()))
                .help(reason.advice())
        })?;
        Ok(Self {
            label: leaf.label.to_string(),
            serial: leaf.serial.to_string(),
            key: leaf.subject,
            not_before: chain
                .iter()
                .map(|certificate| certificate.not_before)
                .max()
                .unwrap_or(leaf.not_before),
            not_after: chain.iter().map(|certificate| certificate.not_after).min().unwrap_or(leaf.not_after),
            name: line.to_owned(),
        })
    }
}

/// The leaf's key in a certificate name, and when the first certificate of the chain ends. Nothing in it is believed: the
/// signature decides whose it is.
pub(crate) fn leaf_of(name: &str) -> Option<(PublicKey, Instant)> {
    let name = CertificateName::parse(name.as_bytes()).ok()?;
    let mut chain = Vec::new();
    for bytes in name.certificates() {
        chain.push(Certificate::parse(bytes).ok()?);
    }
    let ends = chain.iter().map(|certificate| certificate.not_after).min()?;
    Some((chain.first()?.subject, ends))
}

/// Let the core judge it: as a plain signature by a key that is trusted for this one question (FORMAT D5).
pub(crate) fn is_signature_by(object: &Object, payload: &str, key: PublicKey) -> bool {
    let mut trust = Trust::default();
    trust.public_keys.add(&format!("key:{key}")).is_ok()
        && judge(
            object,
            &[format!("key:{payload}")],
            &trust,
            // A plain signature is judged without regard to time.
            Times::new_object(0),
            &mut ChainCache::default(),
        )
        .accepted()
}
