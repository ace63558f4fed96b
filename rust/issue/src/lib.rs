//! Making what `nixcert-core` reads: keys, requests, certificates; and keeping a CA.

mod draft;
mod secret_key;

pub use draft::{Draft, DraftError, random_serial};
pub use secret_key::{SecretKey, SecretKeyError};
