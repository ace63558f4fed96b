//! Times and spans as people write them.

use crate::error::{Error, Result};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use nixcert_core::{Instant, Times};
use std::str::FromStr;

/// The clock of this machine.
pub(crate) fn now() -> Result<Instant> {
    instant(Timestamp::now()).ok_or_else(|| {
        Error::new("the clock of this machine stands before 1970 or after 9999").help("set the clock")
    })
}

/// When a command judges.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct WhenArgs {
    /// Judge as if it were this time: 2027-01-31, 2027-01-31T12:00:00Z, +30d, -1h [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<Time>,
    /// Judge as objects that are already in a store, which registered them at this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    registered: Option<Time>,
}

impl WhenArgs {
    /// The time that counts as now, and both for the judge.
    pub(crate) fn resolve(self) -> Result<(Instant, Times)> {
        let clock = now()?;
        let resolve = |time: Option<Time>, flag| {
            time.map(|time| time.resolve(clock))
                .transpose()
                .map_err(|problem| Error::new(format!("{flag}: {problem}")))
        };
        let now = resolve(self.at, "--at")?.unwrap_or(clock);
        let registered = resolve(self.registered, "--registered")?.map(Instant::seconds);
        Ok((now, Times { now: now.seconds(), registered }))
    }
}

/// A time: `now`, `2027-01-31T12:00:00Z`, `2027-01-31` (its first second, UTC), `@1800000000`; or a span before or after
/// another time: `90d`, `+52w`, `-1h`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Time {
    At(Instant),
    From(Span),
}

impl Time {
    /// The time, where spans count from `base`.
    pub(crate) fn resolve(self, base: Instant) -> std::result::Result<Instant, String> {
        let span = match self {
            Self::At(instant) => return Ok(instant),
            Self::From(span) => span,
        };
        let beyond = |_| "the time is before 1970 or after 9999".to_owned();
        let base = i64::try_from(base.seconds()).map_err(|_| String::new()).and_then(|seconds| {
            Timestamp::from_second(seconds).map_err(|_| "the time is after 9999".to_owned())
        })?;
        let zoned = base.to_zoned(TimeZone::UTC).checked_add(span).map_err(beyond)?;
        instant(zoned.timestamp()).ok_or_else(|| "the time is before 1970 or after 9999".to_owned())
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let outside = || "it is before 1970 or after 9999".to_owned();
        if text == "now" {
            return Ok(Self::From(Span::new()));
        }
        if let Some(seconds) = text.strip_prefix('@') {
            let seconds =
                seconds.parse().map_err(|_| "what follows '@' is not a number of seconds".to_owned())?;
            return Instant::from_seconds(seconds).map(Self::At).map_err(|_| outside());
        }
        if let Ok(timestamp) = text.parse::<Timestamp>() {
            return instant(timestamp).map(Self::At).ok_or_else(outside);
        }
        if let (10, Ok(date)) = (text.len(), text.parse::<Date>()) {
            let zoned = date.to_zoned(TimeZone::UTC).map_err(|_| outside())?;
            return instant(zoned.timestamp()).map(Self::At).ok_or_else(outside);
        }
        text.parse().map(Self::From).map_err(|_| {
            "a time is a span (90d, 52w, 12h), a date (2027-01-31) or a time with its zone (2027-01-31T12:00:00Z)"
                .to_owned()
        })
    }
}

fn instant(timestamp: Timestamp) -> Option<Instant> {
    Instant::from_seconds(u64::try_from(timestamp.as_second()).ok()?).ok()
}

/// How long something lasts, in words: the two largest units that are not zero.
pub(crate) fn length(from: Instant, until: Instant) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let mut rest = until.seconds().saturating_sub(from.seconds());
    let mut words = Vec::new();
    for (size, unit) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 && words.len() < 2 {
            words.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
    }
    if words.is_empty() { "no time".to_owned() } else { words.join(" and ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: u64 = 0;

    fn at(text: &str, base: &str) -> String {
        let base = base.parse::<Time>().unwrap().resolve(Instant::from_seconds(EPOCH).unwrap()).unwrap();
        text.parse::<Time>().unwrap().resolve(base).unwrap().to_string()
    }

    #[test]
    fn times() {
        let base = "2026-01-31T12:00:00Z";
        for (text, time) in [
            ("now", base),
            ("90d", "2026-05-01T12:00:00Z"),
            ("+52w", "2027-01-30T12:00:00Z"),
            ("-1h", "2026-01-31T11:00:00Z"),
            ("1mo", "2026-02-28T12:00:00Z"),
            ("1y", "2027-01-31T12:00:00Z"),
            ("2s", "2026-01-31T12:00:02Z"),
            ("@0", "1970-01-01T00:00:00Z"),
            ("2027-06-01", "2027-06-01T00:00:00Z"),
            ("2027-06-01T02:00:00+02:00", "2027-06-01T00:00:00Z"),
        ] {
            assert_eq!(at(text, base), time, "{text}");
        }
        for bad in ["", "90", "soon", "2027-13-01", "2027-06-01T00:00:00", "@-1", "@x", "1969-01-01"] {
            assert!(bad.parse::<Time>().is_err(), "{bad:?}");
        }
        assert!("9000y".parse::<Time>().unwrap().resolve(Instant::from_seconds(EPOCH).unwrap()).is_err());
        assert!("-1s".parse::<Time>().unwrap().resolve(Instant::from_seconds(EPOCH).unwrap()).is_err());
    }

    #[test]
    fn lengths() {
        let from = Instant::from_seconds(100).unwrap();
        for (seconds, words) in [
            (0, "no time"),
            (1, "1 second"),
            (90, "1 minute and 30 seconds"),
            (7_776_000, "90 days"),
            (7_776_300, "90 days and 5 minutes"),
        ] {
            assert_eq!(length(from, Instant::from_seconds(100 + seconds).unwrap()), words);
        }
    }
}
