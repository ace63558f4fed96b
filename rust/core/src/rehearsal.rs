//! What a host would make of signatures that nobody has made yet: for trying out a policy.

use crate::judge::{Good, Inquiry, Outcome, Signer, Verdict, check_label, usage_of, verify_chain};
use crate::name::is_certificate_name;
use crate::object::{ObjectKind, StorePath, shorten};
use crate::reason::{Reason, SignatureError};
use crate::time::Times;
use crate::trust::{PlainKey, Trust};
use std::sync::Arc;

/// What the verdict would be. No signature was checked, so nothing is accepted by it: it is no [`Verdict`], does not say
/// whose keys there are, and cannot be made into either.
///
/// ```compile_fail
/// fn accept(rehearsal: nixcert_core::Rehearsal) -> nixcert_core::Verdict {
///     rehearsal.0
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Rehearsal(Verdict);

impl Rehearsal {
    /// Whether the object would be accepted.
    pub fn would_be_accepted(&self) -> bool {
        self.0.accepted()
    }

    /// Why it would be refused.
    pub fn reason(&self) -> Option<&Reason> {
        self.0.reason()
    }

    /// What the host's policy has in audit mode, where the object would be accepted only for that.
    pub fn audited(&self) -> &[Reason] {
        &self.0.audited
    }

    /// For each name, in the order given, why a signature under it would not count; `None` if it would.
    pub fn refusals(&self) -> impl Iterator<Item = Option<&Reason>> {
        self.0.signatures.iter().map(|outcome| match outcome {
            Outcome::Counted(_) => None,
            Outcome::Refused(reason) => Some(reason),
        })
    }
}

/// Judge as [`crate::judge`] would, if under each of these names there were the key's own signature of an object with this
/// store path. That is taken for granted; everything else is asked: certificates, chain, time, scope, revocation, policy.
pub fn rehearse<S: AsRef<[u8]>>(
    kind: ObjectKind,
    path: &StorePath,
    names: &[S],
    trust: &Trust,
    times: Times,
) -> Rehearsal {
    let inquiry = Inquiry { usage: usage_of(kind), path, trust, times };
    let results = names.iter().map(|name| suppose(&inquiry, name.as_ref())).collect();
    Rehearsal(inquiry.apply_policy(results))
}

fn suppose(inquiry: &Inquiry<'_>, name: &[u8]) -> Result<Good, Reason> {
    // D5, with what cannot be asked left out
    if let Some(PlainKey { key, usable }) = inquiry.trust.public_keys.get(name) {
        usable.ok_or(Reason::BadSignature { certificate: None })?;
        return Ok(Good::Plain(Signer::Plain { name: String::from_utf8_lossy(name).into_owned(), key }));
    }
    if !is_certificate_name(name) {
        let name = shorten(&String::from_utf8_lossy(name));
        return Err(SignatureError::UnknownKey { name }.into());
    }
    if let Some(error) = &inquiry.trust.broken {
        return Err(Reason::Configuration(error.clone()));
    }
    let chain = verify_chain(name, &inquiry.trust.anchors)?;
    check_label(name, &chain)?;
    inquiry.vouch(Arc::new(chain)).map(Good::Certified)
}
