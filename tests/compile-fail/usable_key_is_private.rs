//! The type whose keys verify is not nameable outside.
fn main() {
    let key = nixcert_core::PublicKey([0; 32]);
    let _ = key.usable();
}
