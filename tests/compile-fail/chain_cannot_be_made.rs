//! A verified chain comes from verification, not from a struct expression.
fn main() {
    let _ = nixcert_core::VerifiedChain { certificates: vec![] };
}
