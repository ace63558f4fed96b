//! The key in a certificate that was only read cannot check a signature.
fn main() {
    let certificate = nixcert_core::Certificate::parse(b"").unwrap();
    certificate.subject.verifies(b"fingerprint", &[0; 64]);
}
