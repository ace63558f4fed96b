//! What a verdict costs beside what stock Nix does: libsodium, called as Nix calls it. `cargo xtask bench engine` runs this
//! and prints the ratios; `cargo bench -p nixcert-ffi` prints the times alone. Needs libsodium (Debian: libsodium23).
//!
//! In each group, `rival` is what the others are measured against, in the same run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nixcert_core::limits::CACHED_SIGNATURES;
use nixcert_core::{
    Certificate, CertificateName, ChainCache, Label, Object, Serial, Times, Trust, Usage, base64_encode,
    judge,
};
use nixcert_issue::{Draft, SecretKey};
use std::ffi::{c_char, c_int, c_uchar, c_ulonglong};
use std::hint::black_box;

const NOW: u64 = 1_800_000_000;
const JUNK: usize = 10_000;

#[link(name = "libsodium.so.23", kind = "dylib", modifiers = "+verbatim")]
unsafe extern "C" {
    fn sodium_init() -> c_int;
    fn sodium_base642bin(
        bin: *mut c_uchar,
        bin_capacity: usize,
        text: *const c_char,
        text_length: usize,
        ignored: *const c_char,
        bin_length: *mut usize,
        end: *mut *const c_char,
        variant: c_int,
    ) -> c_int;
    fn crypto_sign_verify_detached(
        signature: *const c_uchar,
        message: *const c_uchar,
        message_length: c_ulonglong,
        key: *const c_uchar,
    ) -> c_int;
}

/// `sodium_base64_VARIANT_ORIGINAL`.
const BASE64: c_int = 1;

/// Decode, and verify: as `PublicKey::verifyDetached` does (Nix, libutil/signature/local-keys.cc).
fn libsodium(signature: &str, message: &[u8], key: &[u8; 32]) -> bool {
    let payload = signature.rsplit_once(':').unwrap().1;
    let (mut bytes, mut length) = ([0; 64], 0);
    // SAFETY: every pointer is to a buffer of the length that is given with it.
    unsafe {
        sodium_base642bin(
            bytes.as_mut_ptr(),
            bytes.len(),
            payload.as_ptr().cast(),
            payload.len(),
            std::ptr::null(),
            &mut length,
            std::ptr::null_mut(),
            BASE64,
        ) == 0
            && length == bytes.len()
            && crypto_sign_verify_detached(
                bytes.as_ptr(),
                message.as_ptr(),
                message.len() as u64,
                key.as_ptr(),
            ) == 0
    }
}

fn key(seed: u64) -> SecretKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    SecretKey::from_seed(&bytes)
}

fn ca() -> SecretKey {
    key(1)
}

fn trust() -> Trust {
    let mut trust = Trust::default();
    trust.anchors.add(&format!("acme:{}", ca().public())).unwrap();
    trust
}

fn fingerprint() -> Vec<u8> {
    let hash = "1b4sb93wp679q4zx9k1ignby1yna3z7c4c2ri3wphylbc2dwsys0";
    let path = |digest: &str, name: &str| format!("/nix/store/{digest}-{name}");
    let references = ["glibc-2.42", "hello-2.12", "libidn2-2.3.8", "libunistring-1.4.1"];
    let references = references.map(|name| path("2m6rq2qfyv3w0lhxj8f1p9c4dbnk7g5s", name)).join(",");
    format!("1;{};sha256:{hash};196040;{references}", path("2m6rq2qfyv3w0lhxj8f1p9c4dbnk7g5s", "hello-2.12"))
        .into_bytes()
}

fn draft(label: &str, subject: &SecretKey) -> Draft {
    Draft {
        serial: Serial(u64::MAX),
        label: label.to_owned(),
        subject: subject.public(),
        not_before: nixcert_core::Instant::from_seconds(NOW - 86_400).unwrap(),
        not_after: nixcert_core::Instant::from_seconds(NOW + 86_400).unwrap(),
        usages: [Usage::ImportPaths].into_iter().collect(),
        path_length: 0,
        permitted_names: ["*".to_owned()].into(),
        excluded_names: [].into(),
        hosts: ["*".to_owned()].into(),
        store_directories: [].into(),
    }
}

fn leaf(subject: &SecretKey, issuer: &SecretKey) -> Vec<u8> {
    draft("alice", subject).sign(issuer).unwrap()
}

fn signature(chain: &[Vec<u8>], signer: &SecretKey) -> String {
    let name = CertificateName::format(Label::parse(b"alice").unwrap(), chain);
    format!("{name}:{}", base64_encode(&signer.sign(&fingerprint())))
}

fn plain_signature(signer: &SecretKey) -> String {
    format!("alice-1:{}", base64_encode(&signer.sign(&fingerprint())))
}

fn one_path(c: &mut Criterion) {
    // SAFETY: it may be called at any time.
    assert!(unsafe { sodium_init() } >= 0);
    let alice = key(2);
    let (fingerprint, public) = (fingerprint(), alice.public().0);
    let object = Object::path(&fingerprint).unwrap();
    let times = Times::new_object(NOW);
    let plain = plain_signature(&alice);
    let mut group = c.benchmark_group("one path");
    group.bench_function("rival", |b| {
        b.iter(|| assert!(libsodium(black_box(&plain), black_box(&fingerprint), &public)));
    });

    let mut trust_in_alice = Trust::default();
    trust_in_alice.public_keys.add(&format!("alice-1:{}", alice.public())).unwrap();
    let mut cache = ChainCache::default();
    group.bench_function("plain key", |b| {
        b.iter(|| {
            assert!(judge(&object, &[black_box(&plain)], &trust_in_alice, times, &mut cache).accepted())
        });
    });

    let (trust, certified) = (trust(), signature(&[leaf(&alice, &ca())], &alice));
    // So many that no signature is remembered when it comes again.
    let (name, _) = certified.rsplit_once(':').unwrap();
    let others: Vec<(Object, String)> = (0..4 * CACHED_SIGNATURES)
        .map(|number| {
            let fingerprint = [&fingerprint, b"-" as &[u8], number.to_string().as_bytes()].concat();
            let signature = format!("{name}:{}", base64_encode(&alice.sign(&fingerprint)));
            (Object::path(&fingerprint).unwrap(), signature)
        })
        .collect();
    let mut next = others.iter().cycle();
    group.bench_function("certificate, chain seen before", |b| {
        b.iter(|| {
            let (object, signature) = next.next().unwrap();
            assert!(judge(object, &[black_box(signature)], &trust, times, &mut cache).accepted())
        });
    });
    group.bench_function("certificate, never seen", |b| {
        b.iter_batched_ref(
            ChainCache::default,
            |cache| assert!(judge(&object, &[black_box(&certified)], &trust, times, cache).accepted()),
            BatchSize::SmallInput,
        );
    });

    let team = key(3);
    let intermediate =
        Draft { usages: [Usage::ImportPaths, Usage::Issue].into_iter().collect(), ..draft("team", &team) };
    let chain = [leaf(&alice, &team), intermediate.sign(&ca()).unwrap()];
    let chained = signature(&chain, &alice);
    group.bench_function("chain of two certificates, never seen", |b| {
        b.iter_batched_ref(
            ChainCache::default,
            |cache| assert!(judge(&object, &[black_box(&chained)], &trust, times, cache).accepted()),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// Signatures of which none counts, and each looks as well as it can: the certificate is well-formed, names the trusted CA
/// as its issuer, and bears a signature that is one, by another key. Among them, one that counts.
fn junk(c: &mut Criterion) {
    let (alice, mallory) = (key(2), key(4));
    let (fingerprint, public) = (fingerprint(), alice.public().0);
    let object = Object::path(&fingerprint).unwrap();
    let forged = |number: u64| {
        let mut certificate = draft("alice", &key(100 + number)).sign(&ca()).unwrap();
        let forgery = mallory.sign(&number.to_be_bytes());
        let at = certificate.len() - forgery.len();
        certificate[at..].copy_from_slice(&forgery);
        signature(&[certificate], &mallory)
    };
    let mut new_chains: Vec<String> = (0..JUNK as u64).map(forged).collect();
    let good = signature(&[leaf(&alice, &ca())], &alice);
    new_chains[JUNK / 2] = good.clone();
    let mut known_chain: Vec<String> = (0..JUNK as u64)
        .map(|number| {
            let (name, _) = good.rsplit_once(':').unwrap();
            format!("{name}:{}", base64_encode(&alice.sign(&number.to_be_bytes())))
        })
        .collect();
    known_chain[JUNK / 2] = good;
    let bad = format!("alice-1:{}", base64_encode(&alice.sign(b"something else")));

    let mut group = c.benchmark_group("junk");
    group.sample_size(10).throughput(Throughput::Elements(JUNK as u64));
    group.bench_function("rival", |b| {
        b.iter(|| (0..JUNK).filter(|_| libsodium(black_box(&bad), &fingerprint, &public)).count());
    });
    let trust = trust();
    for (name, signatures) in
        [("certificates, all different", &new_chains), ("one certificate", &known_chain)]
    {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                ChainCache::default,
                |cache| {
                    let verdict =
                        judge(&object, black_box(signatures), &trust, Times::new_object(NOW), cache);
                    assert_eq!(verdict.signers().count(), 1);
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn parse(c: &mut Criterion) {
    let plain = leaf(&key(2), &ca());
    let mut limited = draft("alice", &key(2));
    limited.permitted_names = ["web-*".to_owned(), "hello@".to_owned()].into();
    limited.excluded_names = ["sudo@".to_owned()].into();
    limited.hosts = ["web-*".to_owned()].into();
    let limited = limited.sign(&ca()).unwrap();
    let mut group = c.benchmark_group("parse a certificate");
    for bytes in [plain, limited] {
        group.bench_with_input(BenchmarkId::new("bytes", bytes.len()), &bytes, |b, bytes| {
            b.iter(|| Certificate::parse(black_box(bytes)).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, one_path, junk, parse);
criterion_main!(benches);
