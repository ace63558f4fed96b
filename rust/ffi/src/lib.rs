//! The bridge to C++: bytes in, plain data out, an empty answer means refuse. `cpp-shim/nixcert.hh` is the interface
//! that programs use.
//!
//! Nothing that an attacker sends is text here before it has been looked at, and no panic crosses: it refuses.

use nixcert_core::{
    Anchors, ChainCache, HostName, Object, ObjectError, Outcome, Reason, Signer, Times, Trust, TrustError,
    Verdict, judge,
};
use nixcert_host::Host;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

#[cxx::bridge(namespace = "nixcert::bridge")]
#[allow(unreachable_pub, reason = "cxx makes the structs public")]
mod bridge {
    /// Bytes of C++.
    struct Bytes<'a> {
        bytes: &'a [u8],
    }

    /// `nixcert::CertifiedKey`.
    struct Key {
        public_key: [u8; 32],
        label: String,
        serial: u64,
        authority: String,
    }

    /// `nixcert::Refusal`.
    struct Refusal {
        code: String,
        message: String,
    }

    /// `nixcert::Judgement`.
    struct Judgement {
        keys: Vec<Key>,
        refusals: Vec<Refusal>,
        audited: Vec<Refusal>,
    }

    /// `nixcert::Times`.
    struct When {
        now: u64,
        is_registered: bool,
        registered: u64,
    }

    extern "Rust" {
        type Verifier;
        fn new_verifier(
            trusted_ca_keys: &[Bytes],
            host_name: &[u8],
            policy_file: &[u8],
            max_refusals: usize,
        ) -> Box<Verifier>;
        fn configuration_error(self: &Verifier) -> String;
        fn judge_path(self: &Verifier, fingerprint: &[u8], signatures: &[Bytes], when: &When) -> Judgement;
        fn judge_realisation(
            self: &Verifier,
            fingerprint: &[u8],
            store_directory: &[u8],
            signatures: &[Bytes],
            when: &When,
        ) -> Judgement;
        fn is_certified_name(name: &[u8]) -> bool;
    }
}

/// What a host trusts, and the chains it has seen.
struct Verifier {
    max_refusals: usize,
    state: Mutex<State>,
}

struct State {
    host: Host,
    cache: ChainCache,
}

fn new_verifier(
    trusted_ca_keys: &[bridge::Bytes<'_>],
    host_name: &[u8],
    policy_file: &[u8],
    max_refusals: usize,
) -> Box<Verifier> {
    let read = || read_trust(trusted_ca_keys, host_name, policy_file);
    let trust = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Trust {
        broken: Some(TrustError::Form { entry: "(the verifier failed while reading it)".to_owned() }),
        ..Trust::default()
    });
    let policy_file = (!policy_file.is_empty()).then(|| Path::new(OsStr::from_bytes(policy_file)));
    let state = State { host: Host::new(trust, policy_file), cache: ChainCache::default() };
    Box::new(Verifier { max_refusals, state: Mutex::new(state) })
}

/// One mistake switches all certificates off: what its author meant to trust is not known.
fn read_trust(trusted_ca_keys: &[bridge::Bytes<'_>], host_name: &[u8], policy_file: &[u8]) -> Trust {
    let mut trust = Trust::default();
    let read = |anchors: &mut Anchors| -> Result<Option<HostName>, TrustError> {
        for entry in trusted_ca_keys {
            anchors.add(&String::from_utf8_lossy(entry.bytes))?;
        }
        let host = (!host_name.is_empty()).then(|| HostName::parse(&String::from_utf8_lossy(host_name)));
        host.transpose()
    };
    match read(&mut trust.anchors) {
        Ok(host) => trust.host = host,
        Err(error) => trust.broken = Some(error),
    }
    if !policy_file.is_empty() && !policy_file.starts_with(b"/") {
        let problem =
            format!("'{}' (ca-policy-file) is not an absolute path", String::from_utf8_lossy(policy_file));
        trust.broken.get_or_insert(TrustError::Policy { problem });
    }
    trust
}

fn is_certified_name(name: &[u8]) -> bool {
    // A name that cannot be judged is taken for a certificate's: it gets no implicit trust.
    catch_unwind(|| nixcert_core::is_certificate_name(name)).unwrap_or(true)
}

impl Verifier {
    fn configuration_error(&self) -> String {
        let look = || {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.host.trust().broken.as_ref().map(TrustError::to_string).unwrap_or_default()
        };
        catch_unwind(AssertUnwindSafe(look))
            .unwrap_or_else(|_| "the verifier failed; please report this".to_owned())
    }

    fn judge_path(
        &self,
        fingerprint: &[u8],
        signatures: &[bridge::Bytes<'_>],
        when: &bridge::When,
    ) -> bridge::Judgement {
        self.judge(signatures, when, || Object::path(fingerprint))
    }

    fn judge_realisation(
        &self,
        fingerprint: &[u8],
        store_directory: &[u8],
        signatures: &[bridge::Bytes<'_>],
        when: &bridge::When,
    ) -> bridge::Judgement {
        self.judge(signatures, when, || {
            Object::realisation(fingerprint, &String::from_utf8_lossy(store_directory))
        })
    }

    fn judge(
        &self,
        signatures: &[bridge::Bytes<'_>],
        when: &bridge::When,
        object: impl FnOnce() -> Result<Object, ObjectError>,
    ) -> bridge::Judgement {
        // Only certificate signatures are asked about: plain keys are Nix's business.
        let certified: Vec<&[u8]> = signatures
            .iter()
            .map(|signature| signature.bytes)
            .filter(|bytes| names_certificate(bytes))
            .collect();
        if certified.is_empty() {
            return bridge::Judgement { keys: vec![], refusals: vec![], audited: vec![] };
        }
        let times = Times { now: when.now, registered: when.is_registered.then_some(when.registered) };
        let judged = catch_unwind(AssertUnwindSafe(|| match object() {
            Ok(object) => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let State { host, cache } = &mut *state;
                report(&judge(&object, &certified, host.trust(), times, cache), self.max_refusals)
            }
            Err(error) => refuse("malformed-object", error.to_string()),
        }));
        judged.unwrap_or_else(|_| {
            refuse("internal-error", "the verifier failed; please report this".to_owned())
        })
    }
}

fn names_certificate(signature: &[u8]) -> bool {
    let name = signature.split(|byte| *byte == b':').next().unwrap_or_default();
    nixcert_core::is_certificate_name(name)
}

fn refuse(code: &str, message: String) -> bridge::Judgement {
    let refusals = vec![bridge::Refusal { code: code.to_owned(), message }];
    bridge::Judgement { keys: vec![], refusals, audited: vec![] }
}

/// The distinct keys by which an object is accepted; if there are none, why; and what audit mode let pass.
fn report(verdict: &Verdict, max_refusals: usize) -> bridge::Judgement {
    let mut signers: Vec<_> = verdict
        .signers()
        .filter_map(|signer| match signer {
            Signer::Certified { key, label, serial, authority } => Some((key, label, serial, authority)),
            // Plain keys are not among what this library trusts.
            Signer::Plain { .. } => None,
        })
        .collect();
    // Of two certificates of one key, the nearer to the CA says better whose it is: whoever holds an intermediate can certify
    // anybody's key under any label.
    signers.sort_by_key(|(.., authority)| authority.matches('/').count());
    let mut known = BTreeSet::new();
    signers.retain(|(key, ..)| known.insert(**key));
    let keys = signers.into_iter().map(|(key, label, serial, authority)| bridge::Key {
        public_key: key.0,
        label: label.clone(),
        serial: serial.0,
        authority: authority.clone(),
    });
    let refused = verdict.signatures.iter().filter_map(|outcome| match outcome {
        Outcome::Refused(reason) => Some(reason),
        Outcome::Counted(_) => None,
    });
    bridge::Judgement {
        keys: keys.collect(),
        refusals: furthest(verdict.missing_votes.iter().chain(refused), max_refusals),
        audited: furthest(verdict.audited.iter(), max_refusals),
    }
}

/// The reasons of the signatures that came furthest, each sentence once.
fn furthest<'a>(reasons: impl Iterator<Item = &'a Reason>, most: usize) -> Vec<bridge::Refusal> {
    let mut reasons: Vec<&Reason> = reasons.collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.rank()));
    let mut refusals: Vec<bridge::Refusal> = vec![];
    for reason in reasons {
        if refusals.len() == most {
            break;
        }
        let message = format!("{reason}; {}", reason.advice());
        if refusals.last().is_none_or(|last| last.message != message) {
            refusals.push(bridge::Refusal { code: reason.code().to_owned(), message });
        }
    }
    refusals
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signature by a certificate of a CA that nobody trusts: it is asked about, and refused.
    const CERTIFIED: &[u8] = b"alice.nixcert1.AAAA:AAAA";
    const WHEN: bridge::When = bridge::When { now: 0, is_registered: false, registered: 0 };

    fn verifier() -> Box<Verifier> {
        new_verifier(&[], b"", b"", 8)
    }

    fn codes(judgement: &bridge::Judgement) -> Vec<&str> {
        assert!(judgement.keys.is_empty());
        judgement.refusals.iter().map(|refusal| refusal.code.as_str()).collect()
    }

    fn object() -> Result<Object, ObjectError> {
        let hash = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
        let path = "/nix/store/00000000000000000000000000000000-hello-1";
        Object::path(format!("1;{path};sha256:{hash};96;").as_bytes())
    }

    #[test]
    fn panic_refuses_and_the_next_is_judged() {
        let (verifier, signatures) = (verifier(), [bridge::Bytes { bytes: CERTIFIED }]);
        let before = verifier.judge(&signatures, &WHEN, object);
        let judged = verifier.judge(&signatures, &WHEN, || panic!("as if there were a mistake"));
        assert_eq!(codes(&judged), ["internal-error"]);
        let after = verifier.judge(&signatures, &WHEN, object);
        assert_eq!(codes(&before), codes(&after));
        assert_ne!(codes(&after), ["internal-error"]);
    }

    /// What holds the lock when it panics leaves the lock behind as poisoned.
    #[test]
    fn panic_while_it_judges_does_not_take_the_verifier_with_it() {
        let (verifier, signatures) = (verifier(), [bridge::Bytes { bytes: CERTIFIED }]);
        let before = verifier.judge(&signatures, &WHEN, object);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _state = verifier.state.lock();
            panic!("as if there were a mistake");
        }));
        assert!(panicked.is_err() && verifier.state.is_poisoned());
        assert_eq!(codes(&before), codes(&verifier.judge(&signatures, &WHEN, object)));
        assert_eq!(verifier.configuration_error(), "");
    }
}
