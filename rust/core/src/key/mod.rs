//! Ed25519 public keys (FORMAT C4).

use crate::encoding::base64_encode;
use ed25519_dalek::{Signature, VerifyingKey};
use std::fmt;

/// The 32 bytes of an Ed25519 public key: for comparing and showing. It verifies nothing; only a key that someone
/// trusted, or that a [`crate::VerifiedChain`] ends in, can.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Whether the key is one that signatures can be checked with (FORMAT C4, F4).
    ///
    /// # Errors
    /// [`WeakKey`] if it is not the canonical encoding of a curve point, or one of small order.
    pub fn check(&self) -> Result<(), WeakKey> {
        self.usable().map(|_| ())
    }

    /// The point, if C4 admits it.
    pub(crate) fn usable(&self) -> Result<UsableKey, WeakKey> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| WeakKey)?;
        // "the encodings of the key and of R MUST be canonical, and neither may be of small order"
        if key.is_weak() || key.to_edwards().compress().to_bytes() != self.0 {
            return Err(WeakKey);
        }
        Ok(UsableKey(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64_encode(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// A public key that C4 does not admit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable Ed25519 public key (no point of the curve, not canonical, or of small order)")]
pub struct WeakKey;

/// A key that can check signatures. Only trusted keys and verified chains hold one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UsableKey(VerifyingKey);

impl UsableKey {
    /// Check a signature as libsodium does (FORMAT C4).
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        // verify_strict, never verify: plain verification accepts 169 of 1,077 public edge cases that libsodium refuses.
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

#[cfg(test)]
mod edge_cases;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(PublicKey(identity).check(), Err(WeakKey));
        assert_eq!(PublicKey([0; 32]).check(), Err(WeakKey), "order 4");
        assert_eq!(PublicKey([0xff; 32]).check(), Err(WeakKey), "not canonical");
        // y = p + 3: the same point as y = 3, written with a y that is too large.
        let mut large = [0xff; 32];
        (large[0], large[31]) = (0xed + 3, 0x7f);
        assert_eq!(PublicKey(large).check(), Err(WeakKey));
        let mut base_point = [0x66; 32];
        base_point[0] = 0x58;
        assert_eq!(PublicKey(base_point).check(), Ok(()));
    }
}
