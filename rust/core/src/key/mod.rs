//! Ed25519 public keys (FORMAT C4).

use crate::encoding::base64_encode;
use ed25519_dalek::{Signature, Verifier, VerifyingKey};
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
        // "the encodings of the key and of R MUST be canonical, and neither may be of small order"
        if !has_reduced_y(&self.0) || is_of_small_order(self.0) {
            return Err(WeakKey);
        }
        VerifyingKey::from_bytes(&self.0).map(UsableKey).map_err(|_| WeakKey)
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
    ///
    /// This is what `verify_strict` decides, for less: plain verification computes R and compares encodings, so an R that is good
    /// is canonical, and whether it is of small order can be seen from its bytes. (Without that, and with any key, it accepts
    /// 169 of 1,077 public edge cases that libsodium refuses.)
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        !is_of_small_order(*signature.r_bytes()) && self.0.verify(message, &signature).is_ok()
    }
}

/// Whether y is below p = 2²⁵⁵ - 19 (RFC 8032, section 5.1.3, step 1). Such an encoding of a point is canonical, unless x is 0 and
/// its sign set; those two points are of small order.
fn has_reduced_y(encoding: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = encoding;
    highest | 0x80 != 0xff || middle.iter().any(|byte| *byte != 0xff) || *lowest < 0xed
}

/// Whether the canonical encoding of a point is that of one of the eight of small order.
fn is_of_small_order(mut encoding: [u8; 32]) -> bool {
    encoding[31] &= 0x7f; // the sign of x
    SMALL_ORDER.contains(&encoding)
}

/// The y of the points of small order: 0, 1, -1, and both of order eight (libsodium: `ge25519_has_small_order`).
const SMALL_ORDER: [[u8; 32]; 5] = [
    *b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    *b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    *b"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
];

#[cfg(test)]
mod edge_cases;

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
    use std::collections::BTreeSet;

    #[test]
    fn eight_points_are_of_small_order() {
        for point in EIGHT_TORSION {
            assert!(is_of_small_order(point.compress().to_bytes()), "{point:?}");
        }
        let found: BTreeSet<[u8; 32]> = EIGHT_TORSION
            .iter()
            .map(|point| {
                let mut y = point.compress().to_bytes();
                y[31] &= 0x7f;
                y
            })
            .collect();
        assert_eq!(found, BTreeSet::from(SMALL_ORDER));
        assert!(!is_of_small_order(ED25519_BASEPOINT_POINT.compress().to_bytes()));
    }

    /// What C4 says of a key, by the point itself: it is encoded again, and multiplied by the cofactor.
    fn slowly(key: [u8; 32]) -> Result<(), WeakKey> {
        let key_of = VerifyingKey::from_bytes(&key).map_err(|_| WeakKey)?;
        let sound = !key_of.is_weak() && key_of.to_edwards().compress().to_bytes() == key;
        sound.then_some(()).ok_or(WeakKey)
    }

    #[test]
    fn bytes_tell_what_the_point_would() {
        let with_signs = |mut key: [u8; 32]| {
            let unsigned = key;
            key[31] |= 0x80;
            [unsigned, key]
        };
        // Every y from p - 19 up to 2²⁵⁵ - 1, and those in which one byte of such a y is another.
        let highest = (0xda..=0xff).map(|lowest| {
            let mut y = [0xff; 32];
            (y[0], y[31]) = (lowest, 0x7f);
            y
        });
        let near = highest.clone().flat_map(|y| (0..32).map(move |at| (y, at))).map(|(mut y, at)| {
            y[at] ^= 0x40;
            y
        });
        let lowest = (0..=0xff).map(|lowest| {
            let mut y = [0; 32];
            y[0] = lowest;
            y
        });
        let verdicts: Vec<_> = (highest.chain(near).chain(SMALL_ORDER).chain(lowest).flat_map(with_signs))
            .map(|key| {
                let verdict = PublicKey(key).check();
                assert_eq!(verdict, slowly(key), "{key:02x?}");
                verdict
            })
            .collect();
        assert!(verdicts.contains(&Ok(())) && verdicts.contains(&Err(WeakKey)));
    }

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
