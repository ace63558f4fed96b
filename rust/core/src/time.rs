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
}

/// How far this host's clock can be believed (FORMAT T3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// It is right, unless it is provably behind.
    #[default]
    Exact,
    /// It may be behind: not-before is not enforced.
    LowerBound,
}

impl Clock {
    pub(crate) fn is_exact(self) -> bool {
        match self {
            Self::Exact => true,
            Self::LowerBound => false,
        }
    }
}

/// When an object is judged, by what this host knows of the time, for one CA (FORMAT section 10).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Judged,
    pub(crate) registered: Option<u64>,
    pub(crate) clock: Clock,
}

impl Moment {
    /// T1: "*now* is the latest of" the system clock and what proves that it is later.
    pub(crate) fn new(times: Times, floors: [Option<Instant>; 2], clock: Clock) -> Self {
        let floor = floors.into_iter().flatten().max().map(Instant::seconds).unwrap_or_default();
        let now = if floor > times.now {
            Judged { at: floor, clock: Some(times.now) }
        } else {
            Judged::at(times.now)
        };
        // "A registration time of 0 or later than now is none" (FORMAT D2): the one is how Nix writes "unknown", the other
        // nobody can have seen.
        Self { now, registered: times.registered.filter(|at| (1..=now.at).contains(at)), clock }
    }
}

/// The time at which something was judged, also where it is past the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Seconds since the epoch.
    pub at: u64,
    /// What the system's clock said, where that is provably behind.
    pub clock: Option<u64>,
}

impl Judged {
    /// By the clock alone.
    pub(crate) fn at(at: u64) -> Self {
        Self { at, clock: None }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |f: &mut fmt::Formatter<'_>, at| match Instant::from_seconds(at) {
            Ok(instant) => instant.fmt(f),
            Err(_) => write!(f, "second {at}"),
        };
        show(f, self.at)?;
        if let Some(clock) = self.clock {
            f.write_str(
                ", before which it cannot be by this host's policy and revocation lists (its clock says ",
            )?;
            show(f, clock)?;
            f.write_str(")")?;
        }
        Ok(())
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
