//! Instants: seconds since the Unix epoch (FORMAT C1).

use crate::limits::LAST_SECOND;
use std::fmt;

/// A time of FORMAT C1: seconds since 1970-01-01T00:00:00Z, at most 253402300799. Shown as RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// An instant from seconds since the epoch.
    ///
    /// # Errors
    /// [`TimeError`] past the year 9999.
    pub fn from_seconds(seconds: u64) -> Result<Self, TimeError> {
        if seconds <= LAST_SECOND { Ok(Self(seconds)) } else { Err(TimeError) }
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()) {
            Some(timestamp) => write!(f, "{timestamp}"),
            // jiff ends some hours before C1 does.
            None => write!(f, "second {}", self.0),
        }
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Instant({self})")
    }
}

/// A time past the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is at most 9999-12-31T23:59:59Z")]
pub struct TimeError;

/// When an object is judged (FORMAT D2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Now, in seconds since the epoch.
    pub now: u64,
    /// When this store registered the object, if it is already valid in it.
    pub registered: Option<u64>,
}

impl Times {
    /// An object that is about to be added is judged now.
    pub fn new_object(now: u64) -> Self {
        Self { now, registered: None }
    }

    /// An object that is already valid is judged now, or at the time it was registered.
    pub fn valid_object(now: u64, registered: u64) -> Self {
        Self { now, registered: Some(registered) }
    }

    /// The instants at which a chain may be valid. "A registration time of 0 or later than now is none" (FORMAT D2):
    /// the one is how Nix writes "unknown", the other nobody can have seen.
    pub(crate) fn instants(self) -> impl Iterator<Item = u64> {
        std::iter::once(self.now).chain(self.registered.filter(|at| (1..=self.now).contains(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants() {
        assert_eq!(Instant::from_seconds(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Instant::from_seconds(1_764_547_200).unwrap().to_string(), "2025-12-01T00:00:00Z");
        assert!(Instant::from_seconds(LAST_SECOND).unwrap().to_string().ends_with("253402300799"));
        assert_eq!(Instant::from_seconds(LAST_SECOND + 1), Err(TimeError));
    }
}
