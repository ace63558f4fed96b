//! A request is verified, or it is not one.
fn main() {
    let _ = nixcert_core::Request { label: String::new(), subject: nixcert_core::PublicKey([0; 32]) };
}
