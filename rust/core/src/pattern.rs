//! Name and host patterns (FORMAT K4, K5). A pattern is never compared with a pattern, only asked about a name.

use crate::limits::{HOST_NAME_BYTES, STORE_PATH_NAME_BYTES};
use std::fmt;

/// A pattern over the name of a store path (FORMAT K4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamePattern<'a> {
    /// `*` and `?` over the whole name.
    Glob(&'a str),
    /// A package of any version, written `hello@`.
    Package(&'a str),
}

impl<'a> NamePattern<'a> {
    /// Read a name pattern.
    ///
    /// # Errors
    /// [`PatternError`] for anything K4 does not admit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PatternError> {
        let name_byte = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-._=".contains(byte);
        let text = std::str::from_utf8(bytes).map_err(|_| PatternError::Byte)?;
        if bytes.is_empty() || bytes.len() > STORE_PATH_NAME_BYTES {
            return Err(PatternError::Length);
        }
        if let Some(package) = text.strip_suffix('@') {
            if package.is_empty() {
                return Err(PatternError::Length);
            }
            if !package.as_bytes().iter().all(name_byte) {
                return Err(PatternError::Byte);
            }
            // "PACKAGE itself MUST be such that parseDrvName gives all of it back": otherwise it would match nothing,
            // and an exclusion that matches nothing excludes nothing.
            if package_of(package.as_bytes()) != package.as_bytes() {
                return Err(PatternError::PackageWithVersion);
            }
            return Ok(Self::Package(package));
        }
        if !bytes.iter().all(|byte| name_byte(byte) || b"?*".contains(byte)) {
            return Err(PatternError::Byte);
        }
        if text.contains("**") {
            return Err(PatternError::DoubleStar);
        }
        Ok(Self::Glob(text))
    }

    /// Whether the pattern matches a store path's name, in at most |pattern| · |name| steps.
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Glob(glob) => glob_matches(glob.as_bytes(), name),
            Self::Package(package) => package_of(name) == package.as_bytes(),
        }
    }
}

impl fmt::Display for NamePattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob(glob) => f.write_str(glob),
            Self::Package(package) => write!(f, "{package}@"),
        }
    }
}

/// A pattern over a host's name (FORMAT K5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPattern<'a>(&'a str);

impl<'a> HostPattern<'a> {
    /// Read a host pattern.
    ///
    /// # Errors
    /// [`PatternError`] for anything K5 does not admit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PatternError> {
        let host_byte =
            |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.?*".contains(byte);
        let text = std::str::from_utf8(bytes).map_err(|_| PatternError::Byte)?;
        if bytes.is_empty() || bytes.len() > HOST_NAME_BYTES {
            return Err(PatternError::Length);
        }
        if !bytes.iter().all(host_byte) {
            return Err(PatternError::Byte);
        }
        if text.contains("**") {
            return Err(PatternError::DoubleStar);
        }
        Ok(Self(text))
    }

    /// Whether the pattern is `*`, which a host without a name satisfies too.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether the pattern matches a host's name.
    pub fn matches(&self, host: &[u8]) -> bool {
        glob_matches(self.0.as_bytes(), host)
    }
}

impl fmt::Display for HostPattern<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Why a pattern is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Empty or too long.
    #[error("a pattern is 1 to 211 bytes long (253 for hosts)")]
    Length,
    /// A byte that no name has and that is no wildcard.
    #[error("it has a byte that no name can have")]
    Byte,
    /// `**`, which would be a second way to write `*`.
    #[error("'**' says no more than '*'")]
    DoubleStar,
    /// A package such as `glibc-2@`, which matches nothing.
    #[error("the package before '@' looks as if it had a version, so it would match nothing")]
    PackageWithVersion,
}

/// The package part of a name, as Nix's `parseDrvName` finds it (libstore/names.cc; FORMAT K4).
pub fn package_of(name: &[u8]) -> &[u8] {
    let split = name.windows(2).position(|pair| matches!(pair, [b'-', next] if !next.is_ascii_alphabetic()));
    split.and_then(|at| name.get(..at)).unwrap_or(name)
}

/// Match with `*` and `?`. On a mismatch only the last `*` takes one byte more, which is enough because an earlier one
/// could not help: so there is no recursion, and at most |pattern| · |text| steps.
fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last_star = None;
    while let Some(&byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == byte => {
                p += 1;
                t += 1;
            }
            Some(_) | None => {
                let Some((star, taken)) = last_star else { return false };
                (p, t) = (star, taken + 1);
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        NamePattern::parse(pattern.as_bytes()).unwrap().matches(name.as_bytes())
    }

    #[test]
    fn globs_cover_the_whole_name() {
        assert!(matches("*", "anything-1.0"));
        assert!(matches("hello", "hello") && !matches("hello", "hello-1") && !matches("hello", "hell"));
        assert!(matches("hello-?.?", "hello-1.2") && !matches("hello-?.?", "hello-1.23"));
        assert!(matches("*-doc", "x-1-doc") && !matches("*-doc", "x-1-docs"));
        assert!(matches("a*b*c", "aXbXbXc") && !matches("a*b*c", "aXbXbX"));
        assert!(matches("?", "?"), "'?' is a byte that names may have");
        assert!(!matches("?", ""));
    }

    #[test]
    fn many_stars_stay_cheap() {
        assert!(!matches(&"*a".repeat(105), &"a".repeat(104)));
        assert!(!matches(&format!("{}b", "*a".repeat(100)), &"a".repeat(211)));
    }

    #[test]
    fn packages_are_those_of_parse_drv_name() {
        for (name, package) in [
            ("hello-2.12", "hello"),
            ("glibc-locales-2.40", "glibc-locales"),
            ("glibc-2.40-bin", "glibc"),
            ("hello", "hello"),
            ("hello-", "hello-"),
            ("hello--1", "hello"),
            ("0ad-0.0.26", "0ad"),
            ("a-_b", "a"),
            ("-1", ""),
        ] {
            assert_eq!(package_of(name.as_bytes()), package.as_bytes(), "{name}");
        }
        assert!(matches("glibc@", "glibc-2.40") && !matches("glibc@", "glibc-locales-2.40"));
        assert!(matches("glibc@", "glibc") && !matches("glibc@", "glibcx-1"));
    }

    #[test]
    fn patterns_that_are_none() {
        for (pattern, error) in [
            ("", PatternError::Length),
            ("@", PatternError::Length),
            (&"a".repeat(212), PatternError::Length),
            ("a/b", PatternError::Byte),
            ("a b", PatternError::Byte),
            ("a@b", PatternError::Byte),
            ("a@@", PatternError::Byte),
            ("a*@", PatternError::Byte),
            ("a?@", PatternError::Byte),
            ("é", PatternError::Byte),
            ("a**", PatternError::DoubleStar),
            ("glibc-2@", PatternError::PackageWithVersion),
        ] {
            assert_eq!(NamePattern::parse(pattern.as_bytes()), Err(error), "{pattern}");
        }
        for pattern in ["", "Web", "a_b", "a/b", "**", &"a".repeat(254)] {
            assert!(HostPattern::parse(pattern.as_bytes()).is_err(), "{pattern}");
        }
        assert!(NamePattern::parse(&[b'a'; 211]).is_ok() && HostPattern::parse(&[b'a'; 253]).is_ok());
    }
}
