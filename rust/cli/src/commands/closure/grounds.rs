//! On what each path of a closure rests, in the store of the person who is to vouch for all of it.
//!
//! A signature vouches for whatever that store holds, and others may have put it there: a path that only their certificates let
//! in is named, and signed only if she says so.

use super::held::{Held, HeldPath};
use super::vendors::Known;
use crate::output::shorten;
use crate::rewrap::{is_signature_by, leaf_of};
use nixcert_core::{
    CertificateName, ChainCache, PublicKey, Signer, Times, Trust, VerifiedChain, is_certificate_name,
    is_of_a_closure, judge,
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
pub(crate) fn in_words(path: &HeldPath, signature: &str, known: &Known) -> String {
    let (name, payload) = signature.split_once(':').unwrap_or((signature, ""));
    let parsed = CertificateName::parse(name.as_bytes());
    let (Ok(parsed), Some((key, _))) = (parsed, leaf_of(name)) else {
        return format!("key '{}', which is not known here", shorten(name, 60));
    };
    let label = parsed.label();
    if !is_signature_by(&path.object, payload, key) {
        return format!("'{label}', but for other contents");
    }
    match VerifiedChain::verify(parsed.certificates().to_vec(), &known.anchors) {
        Ok(chain) => {
            let authority = known.anchors.name_of(chain.anchor()).unwrap_or_default();
            format!("{label} (certified by {authority})")
        }
        Err(_) => format!("'{label}' (whose CA is not known here)"),
    }
}
