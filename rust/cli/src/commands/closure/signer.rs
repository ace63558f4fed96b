//! Whoever vouches: a key file with a certificate for that.

use crate::error::{Error, Result};
use crate::rewrap::Wrapping;
use crate::time::length;
use crate::{input, output};
use nixcert_core::{Certificate, CertificateName, HostPattern, Instant, Usage};
use nixcert_issue::SecretKey;
use std::path::Path;

pub(crate) struct Signer {
    pub(crate) key: SecretKey,
    pub(crate) certificate: Wrapping,
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
        for bytes in parsed.certificates() {
            let one = Certificate::parse(bytes).map_err(|error| malformed(&error))?;
            if !one.usages.contains(Usage::VouchForSystems) {
                return Err(refused(format!(
                    "the certificate of '{}' (serial {}) does not permit to vouch for systems",
                    one.label, one.serial
                ))
                .help("ask for one with --usage import-paths,vouch-for-systems"));
            }
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
        Ok(Self { key, certificate, hosts })
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
