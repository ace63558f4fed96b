//! Base32 and base64, each in its one canonical form (FORMAT C2, C3).

use data_encoding::{BASE64, Encoding, Specification};
use std::sync::LazyLock;

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    #[allow(clippy::expect_used, reason = "a constant specification, exercised by every test")]
    specification.encoding().expect("32 symbols without padding are an encoding")
});

/// Lower-case RFC 4648 base32 without padding (FORMAT C2).
pub fn base32_encode(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}

/// Decode base32; `None` for everything that is not canonical (FORMAT C2).
pub fn base32_decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE32.decode(text).ok()
}

/// RFC 4648 base64 with padding (FORMAT C3).
pub fn base64_encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Decode base64; `None` for everything that is not canonical (FORMAT C3).
pub fn base64_decode(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_has_one_form() {
        assert_eq!(base32_encode(b"\xff\x00"), "74aa");
        assert_eq!(base32_decode(b"74aa"), Some(vec![0xff, 0x00]));
        for other in ["74AA", "74aa====", "74ab", "74a", "7 4aa", "74aa\n", "74a1", "7"] {
            assert_eq!(base32_decode(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn base64_has_one_form() {
        assert_eq!(base64_decode(b"/wA="), Some(vec![0xff, 0x00]));
        for other in ["/wA", "/wB=", "/w A=", "/wA=\n", "_wA="] {
            assert_eq!(base64_decode(other.as_bytes()), None, "{other}");
        }
    }
}
