//! What a single certificate allows: when, and on which host. Shared by everything that a chain may sign.

use crate::certificate::Certificate;
use crate::pattern::HostPattern;
use crate::reason::{Judged, ScopeError};
use crate::trust::HostName;

/// D2: "not-before ≤ instant < not-after"
pub(crate) fn outside_validity(certificate: &Certificate<'_>, at: Judged) -> Option<ScopeError> {
    if at.at < certificate.not_before.seconds() {
        Some(ScopeError::NotYetValid { not_before: certificate.not_before, at })
    } else {
        expired(certificate, at)
    }
}

/// The upper half of D2.
pub(crate) fn expired(certificate: &Certificate<'_>, at: Judged) -> Option<ScopeError> {
    let over = at.at >= certificate.not_after.seconds();
    over.then_some(ScopeError::Expired { not_after: certificate.not_after, at })
}

/// Whether all certificates are valid at an instant.
pub(crate) fn valid_at(certificates: &[Certificate<'_>], at: u64) -> bool {
    certificates.iter().all(|certificate| outside_validity(certificate, Judged::at(at)).is_none())
}

/// D4, kind 3 of the constraints.
pub(crate) fn check_host(certificate: &Certificate<'_>, host: Option<&HostName>) -> Result<(), ScopeError> {
    match admission(certificate.hosts.iter(), host) {
        Admission::Admitted => Ok(()),
        Admission::Another(host) => Err(ScopeError::Host(host)),
        Admission::Unnamed => Err(ScopeError::HostNameNotConfigured),
    }
}

/// What host patterns say of a host.
pub(crate) enum Admission {
    /// One admits it.
    Admitted,
    /// None does.
    Another(String),
    /// They ask for a name, and it has none.
    Unnamed,
}

/// K5: whether host patterns, in a certificate or a statement, admit a host.
pub(crate) fn admission<'a>(patterns: impl Iterator<Item = &'a [u8]>, host: Option<&HostName>) -> Admission {
    let mut patterns = patterns.filter_map(|item| HostPattern::parse(item).ok());
    match host {
        Some(host) if patterns.any(|pattern| pattern.matches(host.as_str().as_bytes())) => {
            Admission::Admitted
        }
        Some(host) => Admission::Another(host.to_string()),
        // K5: "A host without one satisfies only the pattern *, which every host satisfies."
        None if patterns.any(|pattern| pattern.is_any()) => Admission::Admitted,
        None => Admission::Unnamed,
    }
}
