//! Whoever vouches: a key file with a certificate for that.

use crate::error::{Error, Result};
use crate::rewrap::Wrapping;
use crate::time::length;
use crate::{input, output};
use nixcert_core::{Certificate, CertificateName, HostPattern, Instant, PublicKey, Usage};
use nixcert_issue::SecretKey;
use std::path::Path;

pub(crate) struct Signer {
    pub(crate) key: SecretKey,
    pub(crate) certificate: Wrapping,
    /// The CA's key.
    pub(crate) issuer: PublicKey,
    /// Of each certificate of the chain: which hosts it is for.
    hosts: Vec<Vec<String>>,
}

impl Signer {
    /// Read a key file as `nixcert attach` writes it, whose certificate some host would let vouch for systems now.
    pub(crate) fn read(file: &Path, now: Instant) -> Result<Self> {
        let (name, key) = input::secret_key(file)?;
        if !nixcert_core::is_certificate_name(name.as_bytes()) {
            return Err(Error::new(format!("the key in '{}' has no certificate", file.display())).help(
                "join both with 'nixcert attach --key KEY CERTIFICATE', and name the file that it writes",
            ));
        }
        let malformed = |problem: &dyn std::fmt::Display| {
            Error::new(format!("the certificate in '{}' is damaged: {problem}", file.display()))
                .help("join key and certificate again with 'nixcert attach'")
        };
        let certificate = Wrapping::of_name(&name, file, malformed)?;
        let refused = |problem: String| Error::refused(format!("'{}': {problem}", file.display()));
        if certificate.key != key.public() {
            return Err(refused("the certificate is for another key".to_owned())
                .help("join the key and its own certificate with 'nixcert attach'"));
        }
        let parsed = CertificateName::parse(name.as_bytes()).map_err(|error| malformed(&error))?;
        let mut hosts = Vec::new();
        let mut issuer = certificate.key;
        for bytes in parsed.certificates() {
            let one = Certificate::parse(bytes).map_err(|error| malformed(&error))?;
            if !one.usages.contains(Usage::VouchForSystems) {
                return Err(refused(format!(
                    "the certificate of '{}' (serial {}) does not permit to vouch for systems",
                    one.label, one.serial
                ))
                .help("ask for one with --usage import-paths,vouch-for-systems"));
            }
            issuer = one.issuer;
            hosts.push(one.hosts.iter().map(|host| String::from_utf8_lossy(host).into_owned()).collect());
        }
        if certificate.not_after <= now {
            return Err(refused(format!(
                "the certificate of '{}' (serial {}) expired at {}, {} ago: no host would accept it",
                certificate.label,
                certificate.serial,
                certificate.not_after,
                length(certificate.not_after, now)
            ))
            .help("ask for a new one, and join it to the key: nixcert attach --force"));
        }
        if certificate.not_before > now {
            output::warn(format_args!(
                "the certificate of '{}' (serial {}) is not valid before {}: until then, hosts refuse this",
                certificate.label, certificate.serial, certificate.not_before
            ));
        }
        Ok(Self { key, certificate, issuer, hosts })
    }

    /// Who it is, in words.
    pub(crate) fn in_words(&self) -> String {
        let Wrapping { label, serial, not_after, .. } = &self.certificate;
        format!("{label} (certificate {serial}, valid until {not_after})")
    }

    /// Whether the certificate is for a host of this name. A pattern is never compared with a pattern.
    pub(crate) fn may_vouch_on(&self, host: &str) -> bool {
        let admits = |patterns: &Vec<String>| {
            patterns
                .iter()
                .filter_map(|pattern| HostPattern::parse(pattern.as_bytes()).ok())
                .any(|pattern| pattern.matches(host.as_bytes()))
        };
        host.contains(['*', '?']) || self.hosts.iter().all(admits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nixcert_core::{Label, Serial};
    use nixcert_issue::Draft;
    use std::collections::BTreeSet;

    const NOW: u64 = 1_800_000_000;

    fn instant(seconds: u64) -> Instant {
        Instant::from_seconds(seconds).unwrap()
    }

    /// A key file: of a certificate that is changed, with the key of this seed.
    fn read(seed: u8, change: impl FnOnce(&mut Draft)) -> std::result::Result<Signer, String> {
        let mut draft = Draft {
            serial: Serial(1),
            label: "alice".to_owned(),
            subject: SecretKey::from_seed(&[1; 32]).public(),
            not_before: instant(NOW - 10),
            not_after: instant(NOW + 10),
            usages: [Usage::VouchForSystems].into_iter().collect(),
            path_length: 0,
            permitted_names: ["*".to_owned()].into(),
            excluded_names: BTreeSet::new(),
            hosts: ["web-?".to_owned()].into(),
            store_directories: BTreeSet::new(),
        };
        change(&mut draft);
        let certificate = draft.sign(&SecretKey::from_seed(&[9; 32])).unwrap();
        let name = CertificateName::format(Label::parse(b"alice").unwrap(), &[certificate]);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("alice.nixcert.key");
        std::fs::write(&file, SecretKey::from_seed(&[seed; 32]).to_nix(&name).as_bytes()).unwrap();
        Signer::read(&file, instant(NOW)).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn only_who_may_vouch_now() {
        assert!(read(1, |_| {}).is_ok());
        assert!(read(1, |draft| draft.not_before = instant(NOW + 1)).is_ok(), "with a warning");
        for (seed, change, problem) in [
            (2, (|_| {}) as fn(&mut Draft), "another key"),
            (1, |draft| draft.not_after = instant(NOW), "expired"),
            (
                1,
                |draft| draft.usages = [Usage::ImportPaths].into_iter().collect(),
                "does not permit to vouch",
            ),
            (1, |draft| draft.label = "bob".to_owned(), "its name says 'alice'"),
        ] {
            let error = read(seed, change).err().unwrap();
            assert!(error.contains(problem), "{problem}: {error}");
        }
    }

    #[test]
    fn hosts() {
        let signer = read(1, |_| {}).map_err(|_| ()).unwrap();
        assert!(signer.may_vouch_on("web-1") && !signer.may_vouch_on("db-1"));
        assert!(signer.may_vouch_on("*"), "a pattern is never compared with a pattern");
    }
}
