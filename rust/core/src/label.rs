//! Labels and serial numbers.

use crate::limits::LABEL_BYTES;
use std::fmt;

/// Who holds a key: 1 to 32 bytes from `a-z 0-9 -`, neither beginning nor ending with `-` (FORMAT section 2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label<'a>(&'a str);

impl<'a> Label<'a> {
    /// Read a label.
    ///
    /// # Errors
    /// [`LabelError`] if the grammar is not met.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, LabelError> {
        let alnum = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let text = std::str::from_utf8(bytes).map_err(|_| LabelError)?;
        let well_formed = bytes.len() <= LABEL_BYTES
            && bytes.iter().all(|byte| alnum(byte) || *byte == b'-')
            && bytes.first().is_some_and(alnum)
            && bytes.last().is_some_and(alnum);
        if well_formed { Ok(Self(text)) } else { Err(LabelError) }
    }

    /// The label as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({})", self.0)
    }
}

/// A label that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a label is 1 to 32 of a-z, 0-9 and '-', and neither begins nor ends with '-'")]
pub struct LabelError;

/// A certificate's serial number, shown as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub u64);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in ["a", "alice", "ci-1", "0", "a--b", &"x".repeat(32)] {
            assert_eq!(Label::parse(good.as_bytes()).map(|l| l.as_str()), Ok(good));
        }
        for bad in ["", "Alice", "-a", "a-", "a.b", "a_b", "a b", "é", "a\n", &"x".repeat(33)] {
            assert_eq!(Label::parse(bad.as_bytes()), Err(LabelError), "{bad:?}");
        }
    }
}
