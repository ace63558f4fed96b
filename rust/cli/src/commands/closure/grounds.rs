//! On what each path of a closure rests, in the store of the person who is to vouch for all of it.
//!
//! A signature vouches for whatever that store holds, and others may have put it there: a path that only their certificates let
//! in is named, and signed only if she says so.

use super::held::{Held, HeldPath};
use super::vendors::Known;
use crate::output::shorten;
use crate::rewrap::{is_signature_by, leaf_of};
use nixcert_core::{
    Certificate, CertificateName, ChainCache, PublicKey, Signer, Times, Trust, VerifiedChain,
    is_certificate_name, is_of_a_closure, judge,
};
use serde::Serialize;
use std::collections::BTreeSet;

/// On what a path rests; in this order, the first that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// There is a signature in her name that is not of these contents, and none that is: somebody may have replaced them.
    OtherThanSigned(Vec<String>),
    /// She has signed it before.
    SignedBefore,
    /// This store built it.
    BuiltHere,
    /// Its name says what it holds; the store has checked that when it took it in.
    ContentAddressed,
    /// Somebody signed it whose packages she takes.
    Vendor(String),
    /// Nothing but what others say: who they are.
    Others(Vec<String>),
}

impl Ground {
    /// Who else signed it, if it is signed only where she says so.
    pub(crate) fn needs_vouch(&self) -> Option<&[String]> {
        match self {
            Self::OtherThanSigned(others) | Self::Others(others) => Some(others),
            Self::SignedBefore | Self::BuiltHere | Self::ContentAddressed | Self::Vendor(_) => None,
        }
    }
}

/// A path, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InDoubt {
    pub(crate) path: String,
    /// Whether her own signature is of other contents.
    pub(crate) contents_differ: bool,
    /// Who signed it, in words.
    pub(crate) signed_by: Vec<String>,
}

/// All of them, in the order of the closure.
pub(crate) struct Grounds {
    pub(crate) of: Vec<Ground>,
    /// Whether she has signed it under this very certificate.
    pub(crate) signed: Vec<bool>,
}

/// Find out on what each path rests. `name` and `key` are of her certificate.
pub(crate) fn find(held: &Held, name: &str, key: PublicKey, known: &Known) -> Grounds {
    let mut grounds = Grounds { of: Vec::new(), signed: Vec::new() };
    for path in &held.paths {
        let own = Own::of(path, name, key);
        grounds.signed.push(own.under_this_name);
        grounds.of.push(ground(path, &own, known));
    }
    grounds
}

impl Grounds {
    /// The paths that need her word, each with why.
    pub(crate) fn in_doubt(&self, held: &Held) -> Vec<InDoubt> {
        let in_doubt = |(path, ground): (&HeldPath, &Ground)| {
            Some(InDoubt {
                path: path.path().to_string(),
                contents_differ: matches!(ground, Ground::OtherThanSigned(_)),
                signed_by: ground.needs_vouch()?.to_vec(),
            })
        };
        held.paths.iter().zip(&self.of).filter_map(in_doubt).collect()
    }
}

/// The signatures of a path that are in her name.
#[derive(Default)]
struct Own {
    good: bool,
    bad: bool,
    under_this_name: bool,
}

impl Own {
    fn of(path: &HeldPath, name: &str, key: PublicKey) -> Self {
        let mut own = Self::default();
        for signature in &path.narinfo.signatures {
            let Some((signer, payload)) = signature.split_once(':') else { continue };
            // Her key under any certificate of hers, or under a name of its own.
            let is_hers = leaf_of(signer).is_some_and(|(leaf, _)| leaf == key);
            let is_plain = !is_certificate_name(signer.as_bytes()) && !is_of_a_closure(signature.as_bytes());
            match (is_hers || is_plain) && is_signature_by(&path.object, payload, key) {
                true => {
                    own.good = true;
                    own.under_this_name |= signer == name;
                }
                // A plain name says nothing about whose the key is.
                false => own.bad |= is_hers,
            }
        }
        own
    }
}

fn ground(path: &HeldPath, own: &Own, known: &Known) -> Ground {
    if own.good {
        return Ground::SignedBefore;
    }
    if own.bad {
        return Ground::OtherThanSigned(others(path, known));
    }
    if path.ultimate {
        return Ground::BuiltHere;
    }
    if path.narinfo.content_address.is_some() {
        return Ground::ContentAddressed;
    }
    vendor_of(path, known).map_or_else(|| Ground::Others(others(path, known)), Ground::Vendor)
}

/// Whose package it is, if it is a vendor's.
pub(crate) fn vendor_of(path: &HeldPath, known: &Known) -> Option<String> {
    let trust = Trust { public_keys: known.vendors.clone(), ..Trust::default() };
    // Plain signatures are judged without regard to time.
    let times = Times::new_object(0);
    let verdict = judge(&path.object, &path.narinfo.signatures, &trust, times, &mut ChainCache::default());
    verdict.signers().find_map(|signer| match signer {
        Signer::Plain { name, .. } => Some(name.clone()),
        Signer::Certified { .. } => None,
    })
}

/// Who else signed a path, in words: each once.
fn others(path: &HeldPath, known: &Known) -> Vec<String> {
    let signatures =
        path.narinfo.signatures.iter().filter(|signature| !is_of_a_closure(signature.as_bytes()));
    let all: BTreeSet<String> = signatures.map(|signature| in_words(path, signature, known)).collect();
    all.into_iter().collect()
}

/// Who says to have made a signature, and whether that is so.
fn in_words(path: &HeldPath, signature: &str, known: &Known) -> String {
    let name = signature.split(':').next().unwrap_or_default();
    match (proven_label(path, signature, known), label_of(name)) {
        (Some((label, true)), _) => label,
        (Some((label, false)), _) => format!("'{label}' (whose CA is not known here)"),
        (None, Some(label)) => format!("'{label}', but for other contents"),
        (None, None) => format!("key '{}', which is not known here", shorten(name, 60)),
    }
}

/// The label in a signature by certificate that is truly its key's, of this path; and whether a CA that is known here says
/// whose key it is.
pub(crate) fn proven_label(path: &HeldPath, signature: &str, known: &Known) -> Option<(String, bool)> {
    let (name, payload) = signature.split_once(':')?;
    let label = label_of(name)?;
    let (key, _) = leaf_of(name)?;
    if !is_signature_by(&path.object, payload, key) {
        return None;
    }
    let parsed = CertificateName::parse(name.as_bytes()).ok()?;
    let proven = VerifiedChain::verify(parsed.certificates().to_vec(), &known.anchors).is_ok();
    Some((label, proven))
}

/// The label in the leaf. N3: what stands before the certificates is anybody's, and must be the same.
fn label_of(name: &str) -> Option<String> {
    let parsed = CertificateName::parse(name.as_bytes()).ok()?;
    let leaf = Certificate::parse(parsed.certificates().first()?).ok()?;
    (leaf.label == parsed.label()).then(|| leaf.label.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nix;
    use nixcert_core::{Anchors, Instant, Label, Serial, StorePath, Usage};
    use nixcert_issue::{Draft, SecretKey, sign_path};

    const NAR: &str = "sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=";
    const OTHER_NAR: &str = "sha256-DbCEqRfR8yZl2skxnBthgysFiZPiP6U5JQ9/Bp7IQI4=";
    const PATH: &str = "/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-sudo-1.9.17";

    /// Certifies the key of this seed; the CA's seed is 9.
    fn certified(label: &str, seed: u8) -> (SecretKey, String) {
        let key = SecretKey::from_seed(&[seed; 32]);
        let everything = || BTreeSet::from(["*".to_owned()]);
        let draft = Draft {
            serial: Serial(u64::from(seed)),
            label: label.to_owned(),
            subject: key.public(),
            not_before: Instant::from_seconds(0).unwrap(),
            not_after: Instant::from_seconds(9).unwrap(),
            usages: [Usage::VouchForSystems].into_iter().collect(),
            path_length: 0,
            permitted_names: everything(),
            excluded_names: BTreeSet::new(),
            hosts: everything(),
            store_directories: BTreeSet::new(),
        };
        let certificate = draft.sign(&SecretKey::from_seed(&[9; 32])).unwrap();
        (key, CertificateName::format(Label::parse(label.as_bytes()).unwrap(), &[certificate]))
    }

    fn path(nar: &str, signatures: &[String], more: &str) -> HeldPath {
        let signatures = serde_json::to_string(signatures).unwrap();
        let json =
            format!(r#"{{"{PATH}":{{"narHash":"{nar}","narSize":120,"signatures":{signatures}{more}}}}}"#);
        HeldPath::read(nix::read_path_info(json.as_bytes()).unwrap().remove(0)).unwrap()
    }

    fn signed(nar: &str, by: &(SecretKey, String)) -> String {
        sign_path(&by.0, &by.1, &path(nar, &[], "").object).unwrap()
    }

    fn plain(name: &str, seed: u8) -> String {
        let signature = SecretKey::from_seed(&[seed; 32]).sign(path(NAR, &[], "").object.fingerprint());
        format!("{name}:{}", nixcert_core::base64_encode(&signature))
    }

    fn of(path: HeldPath, known: &Known) -> (Ground, bool) {
        let alice = certified("alice", 1);
        let digest = nixcert_core::closure_digest([path.object.fingerprint()]).unwrap();
        let held = Held { top: StorePath::parse(PATH).unwrap(), paths: vec![path], digest };
        let found = find(&held, &alice.1, alice.0.public(), known);
        let in_doubt = found.in_doubt(&held);
        assert_eq!(in_doubt.len(), usize::from(found.of[0].needs_vouch().is_some()));
        (found.of[0].clone(), found.signed[0])
    }

    #[test]
    fn whose_word_is_enough() {
        let (alice, mallory) = (certified("alice", 1), certified("mallory", 2));
        let mut known = Known::default();
        let vendor = SecretKey::from_seed(&[3; 32]).public();
        known.vendors.add(&format!("cache-1:{vendor}")).unwrap();
        let others = |who: &str| Ground::Others(vec![who.to_owned()]);
        let by_alice = || signed(NAR, &alice);
        let by_mallory = || signed(NAR, &mallory);
        let renewed = (SecretKey::from_seed(&[1; 32]), certified("alice", 1).1);

        assert_eq!(of(path(NAR, &[by_alice()], ""), &known), (Ground::SignedBefore, true));
        assert_eq!(of(path(NAR, &[signed(NAR, &renewed), by_mallory()], ""), &known).0, Ground::SignedBefore);
        assert_eq!(of(path(NAR, &[plain("alice-1", 1)], ""), &known), (Ground::SignedBefore, false));
        assert_eq!(of(path(NAR, &[], r#","ultimate":true"#), &known), (Ground::BuiltHere, false));
        assert_eq!(of(path(NAR, &[], r#","ca":"fixed:x""#), &known).0, Ground::ContentAddressed);
        assert_eq!(of(path(NAR, &[plain("cache-1", 3)], ""), &known).0, Ground::Vendor("cache-1".to_owned()));

        // The same in one other respect each.
        assert_eq!(of(path(NAR, &[], ""), &known).0, Ground::Others(vec![]));
        assert_eq!(
            of(path(NAR, &[by_mallory()], ""), &known).0,
            others("'mallory' (whose CA is not known here)")
        );
        assert_eq!(
            of(path(NAR, &[plain("cache-1", 4)], ""), &known).0,
            others("key 'cache-1', which is not known here")
        );
        assert_eq!(
            of(path(NAR, &[plain("cache-2", 3)], ""), &known).0,
            others("key 'cache-2', which is not known here")
        );
        // Whatever else there is: contents that she did not sign, under her name.
        for more in ["", r#","ultimate":true"#, r#","ca":"fixed:x""#] {
            let found = of(path(OTHER_NAR, &[by_alice()], more), &known).0;
            assert_eq!(found, Ground::OtherThanSigned(vec!["'alice', but for other contents".to_owned()]));
        }
    }

    #[test]
    fn nobody_is_called_by_anothers_label() {
        let mallory = certified("mallory", 2);
        let mut known = Known { anchors: Anchors::default(), ..Known::default() };
        known.anchors.add(&format!("acme:{}", SecretKey::from_seed(&[9; 32]).public())).unwrap();
        let signature = signed(NAR, &mallory);
        let one = path(NAR, &[], "");
        assert_eq!(proven_label(&one, &signature, &known), Some(("mallory".to_owned(), true)));
        assert_eq!(proven_label(&one, &signature.replacen("mallory", "alice", 1), &known), None);
        assert_eq!(proven_label(&path(OTHER_NAR, &[], ""), &signature, &known), None);
    }
}
