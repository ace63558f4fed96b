//! What the gate says: of a path, of all of them, and of the whole.

use super::Voucher;
use crate::closure::{ClosureDigest, Statement};
use crate::object::StorePath;
use crate::reason::Reason;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a path may be part of the system (FORMAT G2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// (a) It is what its name says, and something that is vouched for says its name.
    ContentAddressed,
    /// (b) A vendor signed it.
    Vendor,
    /// (c) It is covered by closure signatures (and signatures of its own, if some votes are of those).
    ClosureSignature,
    /// (d) It is signed by those who count.
    Signatures,
    /// (e) It is what it was when this gate activated it.
    Earlier,
}

impl Basis {
    /// All, in the order of FORMAT G2.
    pub const ALL: [Self; 5] =
        [Self::ContentAddressed, Self::Vendor, Self::ClosureSignature, Self::Signatures, Self::Earlier];

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ContentAddressed => "content-addressed",
            Self::Vendor => "vendor",
            Self::ClosureSignature => "closure-signature",
            Self::Signatures => "signatures",
            Self::Earlier => "earlier-generation",
        }
    }
}

/// A basis, and who vouches; or why nobody does.
pub(super) type Answer = Result<(Basis, Arc<[Voucher]>), Box<Unvouched>>;

/// What the gate says of one path. Only [`Gate::member`] makes one.
#[derive(Clone, Debug)]
pub struct MemberVerdict {
    pub(super) result: Answer,
    pub(super) is_top: bool,
}

impl MemberVerdict {
    /// Why it may be part of the system, and who vouches for it; or why nobody does.
    pub fn basis(&self) -> Result<(Basis, &[Voucher]), &Unvouched> {
        self.result.as_ref().map(|(basis, vouchers)| (*basis, &**vouchers)).map_err(|unvouched| &**unvouched)
    }
}

/// Why nobody vouches for a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unvouched {
    /// For each of its signatures (but closure signatures), why it does not count; `None` if it does, and is not enough.
    pub signatures: Vec<Option<Reason>>,
    /// For those whose closure signatures cover it, why that does not count.
    pub covering: Vec<Reason>,
    /// The votes that are missing.
    pub missing_votes: Option<Reason>,
    /// Why it is not content-addressed, though it claims to be.
    pub content_address: Option<String>,
    /// Why those do not count who vouched for it before.
    pub earlier: Vec<Reason>,
}

/// Verdicts of paths, put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    vouched: BTreeMap<Basis, u32>,
    pub(super) left_over: u32,
    /// Who vouches for the top-level path.
    pub(super) top: Vec<Voucher>,
    /// Whether they have signed it, and not an earlier generation alone.
    pub(super) top_signed: bool,
}

impl Tally {
    /// Count a path.
    pub fn add(&mut self, verdict: &MemberVerdict) {
        match verdict.basis() {
            Ok((basis, vouchers)) => {
                *self.vouched.entry(basis).or_default() += 1;
                if verdict.is_top {
                    self.top = vouchers.to_vec();
                    self.top_signed = basis != Basis::Earlier;
                }
            }
            Err(_) => self.left_over += 1,
        }
    }

    /// Count what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (basis, count) in &other.vouched {
            *self.vouched.entry(*basis).or_default() += count;
        }
        self.left_over += other.left_over;
        self.top.extend_from_slice(&other.top);
        self.top_signed |= other.top_signed;
    }

    /// Who vouches for the top-level path.
    pub fn vouch_for_the_system(&self) -> &[Voucher] {
        &self.top
    }

    /// How many paths have this basis.
    pub fn with(&self, basis: Basis) -> u32 {
        self.vouched.get(&basis).copied().unwrap_or_default()
    }

    /// How many have none.
    pub fn left_over(&self) -> u32 {
        self.left_over
    }

    pub(super) fn judged(&self) -> u64 {
        self.vouched.values().map(|count| u64::from(*count)).sum::<u64>() + u64::from(self.left_over)
    }
}

/// The leave to activate. Only [`Gate::conclude`] makes one.
#[derive(Clone, Debug)]
pub struct Passed {
    pub(super) path: StorePath,
    pub(super) closure: ClosureDigest,
    pub(super) statement: Option<Statement>,
    pub(super) again: bool,
}

impl Passed {
    /// What may be activated.
    pub fn path(&self) -> &StorePath {
        &self.path
    }

    /// All of it.
    pub fn closure(&self) -> ClosureDigest {
        self.closure
    }

    /// The statement by which it may; none where the policy asks for none, or it is activated again.
    pub fn statement(&self) -> Option<&Statement> {
        self.statement.as_ref()
    }

    /// Whether it was activated before, and needs no statement for that.
    pub fn is_again(&self) -> bool {
        self.again && self.statement.is_none()
    }
}
