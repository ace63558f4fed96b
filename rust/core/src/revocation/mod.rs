//! What a host holds of revocation lists, and what they say of a chain (FORMAT section 11).

mod list;

pub use list::{
    Cause, Entries, Extent, ListError, REVOCATION_CONTEXT, RevocationList, Revoked, Selector, VerifiedList,
};

use crate::certificate::Certificate;
use crate::key::PublicKey;
use crate::limits::LIST_AHEAD;
use crate::policy::{Doubt, ListRules};
use crate::reason::{CertificateId, Reason};
use crate::scope::valid_at;
use crate::time::{Instant, Moment};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The lists that a host holds, and what it could not read of them.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    authorities: BTreeMap<PublicKey, Held>,
    /// Why none of the lists could be looked at, where that is so.
    unreadable: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct Held {
    lists: Vec<Arc<VerifiedList>>,
    proven_time: Option<Instant>,
    unreadable: Option<String>,
}

impl Revocations {
    /// Put lists together: "the union of the newest list of each signer" (FORMAT L9), less those whose
    /// signer the CA's own list revokes as compromised (L11).
    pub fn new(lists: impl IntoIterator<Item = Arc<VerifiedList>>) -> Self {
        let mut by_ca: BTreeMap<PublicKey, Vec<Arc<VerifiedList>>> = BTreeMap::new();
        for list in lists {
            by_ca.entry(list.ca).or_default().push(list);
        }
        let authorities = by_ca.into_iter().map(|(ca, lists)| (ca, Held::of(&lists))).collect();
        Self { authorities, unreadable: None }
    }

    /// Say that a list of this CA is there and cannot be used.
    pub fn set_unreadable(&mut self, ca: PublicKey, problem: String) {
        self.authorities.entry(ca).or_default().unreadable.get_or_insert(problem);
    }

    /// Say that no list can be looked at, of whatever CA.
    pub fn set_all_unreadable(&mut self, problem: String) {
        self.unreadable.get_or_insert(problem);
    }

    /// The lists of a CA that count.
    pub fn of(&self, ca: &PublicKey) -> &[Arc<VerifiedList>] {
        self.authorities.get(ca).map(|held| held.lists.as_slice()).unwrap_or_default()
    }

    /// What the CA's lists prove of the time: it is at least that late (FORMAT T1).
    pub fn proven_time(&self, ca: &PublicKey) -> Option<Instant> {
        self.authorities.get(ca)?.proven_time
    }

    /// The issue time of the list that the CA itself signed: what no delegate can move (FORMAT L10, L12).
    pub fn newest_of_the_ca(&self, ca: &PublicKey) -> Option<Instant> {
        self.of(ca).iter().filter(|list| list.is_of_the_ca()).map(|list| list.issued).max()
    }

    /// Why a CA's lists cannot be used, where that is so.
    pub fn problem(&self, ca: &PublicKey) -> Option<&str> {
        let own = self.authorities.get(ca).and_then(|held| held.unreadable.as_deref());
        own.or(self.unreadable.as_deref())
    }

    /// What the CA's own list says of the signer of another list of that CA (FORMAT L11).
    pub fn signer_revoked(&self, list: &VerifiedList) -> Option<Revoked> {
        revoked_by(self.of(&list.ca), list)
    }

    /// Whether a chain may count, as far as lists go.
    pub(crate) fn check(
        &self,
        ca: (&PublicKey, &str),
        certificates: &[Certificate<'_>],
        rules: &ListRules,
        moment: &Moment,
    ) -> Result<(), Reason> {
        let (key, name) = ca;
        let refuse = |error| Err(Reason::Revocation { certificate: None, error });
        let ca = || name.to_owned();
        // L12: what is not known
        match (self.problem(key), rules.unreadable) {
            (Some(problem), Doubt::Refuse) => {
                return refuse(RevocationError::ListUnreadable { ca: ca(), problem: problem.to_owned() });
            }
            (Some(_), Doubt::Accept) | (None, _) => {}
        }
        match (self.newest_of_the_ca(key), rules.missing, rules.oldest) {
            (None, Doubt::Refuse, _) | (None, _, Some(_)) => {
                return refuse(RevocationError::ListMissing { ca: ca() });
            }
            (Some(issued), _, Some(oldest)) if moment.now.at.saturating_sub(issued.seconds()) > oldest => {
                return refuse(RevocationError::ListTooOld { ca: ca(), issued });
            }
            (None, Doubt::Accept, None) | (Some(_), _, _) => {}
        }
        let subjects: Vec<PublicKey> = certificates.iter().map(|certificate| certificate.subject).collect();
        for list in self.of(key) {
            // L8: "only on chains that have in them every intermediate (by key) of the delegate's own chain"
            if !list.issuers.iter().all(|issuer| subjects.contains(issuer)) {
                continue;
            }
            for (position, certificate) in certificates.iter().enumerate() {
                if let Some(error) = entries_for(list, certificate)
                    .find_map(|(selector, revoked)| refusal(selector, revoked, certificates, moment))
                {
                    let certificate = Some(CertificateId::new(certificate, position));
                    return Err(Reason::Revocation { certificate, error });
                }
            }
        }
        Ok(())
    }
}

impl Held {
    fn of(lists: &[Arc<VerifiedList>]) -> Self {
        // L9: "the newest list of each signer"
        let mut newest: BTreeMap<PublicKey, Instant> = BTreeMap::new();
        for list in lists {
            let latest = newest.entry(list.signer).or_insert(list.issued);
            *latest = list.issued.max(*latest);
        }
        let newest: Vec<Arc<VerifiedList>> =
            lists.iter().filter(|list| newest.get(&list.signer) == Some(&list.issued)).cloned().collect();
        // L11: a signer that the CA itself has revoked
        let mut held = Self::default();
        for list in &newest {
            match revoked_by(&newest, list).map(|revoked| revoked.extent) {
                None => {
                    held.proven_time = held.proven_time.max(list.proves());
                    held.lists.push(Arc::clone(list));
                }
                Some(Extent::Retired) => held.lists.push(Arc::clone(list)),
                Some(Extent::Compromised { .. }) => {}
            }
        }
        held
    }
}

impl VerifiedList {
    /// T1: "the issue time of the list that the CA itself signed; and, less a day, that of each delegate whom the CA itself
    /// certified": a delegate may be ahead of the time by that much (L10), and one below an intermediate has no say here.
    fn proves(&self) -> Option<Instant> {
        match (self.is_of_the_ca(), self.issuers.is_empty()) {
            (true, _) => Some(self.issued),
            (false, true) => Instant::from_seconds(self.issued.seconds().saturating_sub(LIST_AHEAD)).ok(),
            (false, false) => None,
        }
    }
}

/// What those among `lists` that the CA itself signed say of the signer of `list`: the most, if several do.
fn revoked_by(lists: &[Arc<VerifiedList>], list: &VerifiedList) -> Option<Revoked> {
    let own = lists.iter().filter(|own| own.is_of_the_ca());
    let chain: Vec<Certificate<'_>> =
        list.certificates.iter().filter_map(|bytes| Certificate::parse(bytes).ok()).collect();
    own.flat_map(|own| chain.iter().flat_map(|certificate| entries_for(own, certificate)))
        .map(|(_, revoked)| revoked)
        .reduce(|one, other| if one.extent.covers(other.extent) { one } else { other })
}

/// What a list says of a certificate: by serial, by key, and by label.
fn entries_for<'a>(
    list: &'a VerifiedList,
    certificate: &'a Certificate<'a>,
) -> impl Iterator<Item = (Selector, Revoked)> + use<'a> {
    let entries = &list.entries;
    let by_serial =
        entries.serial(certificate.serial).map(|revoked| (Selector::Serial(certificate.serial), revoked));
    let by_key =
        entries.key(&certificate.subject).map(|revoked| (Selector::Key(certificate.subject), revoked));
    let label = certificate.label.as_str();
    let by_label = entries.label(label).map(|revoked| (Selector::Label(label.to_owned()), revoked));
    by_serial.into_iter().chain(by_key).chain(by_label)
}

/// L5: what an entry refuses, of an object that is new, or was registered when it was.
fn refusal(
    selector: Selector,
    revoked: Revoked,
    certificates: &[Certificate<'_>],
    moment: &Moment,
) -> Option<RevocationError> {
    let Revoked { extent, cause } = revoked;
    match extent {
        Extent::Retired if moment.registered.is_some() => None,
        Extent::Retired => Some(RevocationError::Retired { selector, cause }),
        Extent::Compromised { since } => {
            // "and if the clock is exact (T3): a clock that may be behind does not tell before from after"
            let before = |at: &u64| *at < since.seconds() && valid_at(certificates, *at);
            let was_before = moment.clock.is_exact() && moment.registered.as_ref().is_some_and(before);
            (!was_before).then_some(RevocationError::Compromised { selector, since, cause })
        }
    }
}

/// Why a chain does not count, as far as revocation goes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// L12.
    #[error(
        "this host holds no revocation list that the CA '{ca}' itself has signed, and its policy asks for one"
    )]
    ListMissing {
        /// The CA's name.
        ca: String,
    },
    /// L12.
    #[error("a revocation list of the CA '{ca}' cannot be used, so nobody knows what it revokes: {problem}")]
    ListUnreadable {
        /// The CA's name.
        ca: String,
        /// What is wrong with it.
        problem: String,
    },
    /// L12.
    #[error(
        "the list that the CA '{ca}' itself signed is of {issued}, which this host's policy calls too old"
    )]
    ListTooOld {
        /// The CA's name.
        ca: String,
        /// Its issue time.
        issued: Instant,
    },
    /// L5.
    #[error("was revoked (by {selector}; {cause}) and counts for nothing new")]
    Retired {
        /// What it was revoked by.
        selector: Selector,
        /// Why.
        cause: Cause,
    },
    /// L5.
    #[error("was revoked (by {selector}; {cause}) as compromised since {since}")]
    Compromised {
        /// What it was revoked by.
        selector: Selector,
        /// The first second in which somebody else may have had the key.
        since: Instant,
        /// Why.
        cause: Cause,
    },
}

impl RevocationError {
    /// The reason code (FORMAT section 8).
    pub fn code(&self) -> &'static str {
        match self {
            Self::ListMissing { .. } => "revocation-list-missing",
            Self::ListUnreadable { .. } => "revocation-list-unreadable",
            Self::ListTooOld { .. } => "revocation-list-too-old",
            Self::Retired { .. } => "retired",
            Self::Compromised { .. } => "compromised",
        }
    }

    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::ListMissing { .. } | Self::ListUnreadable { .. } | Self::ListTooOld { .. } => {
                "the administrator of this host must bring it the CA's newest list: nixcert revocation install"
            }
            Self::Retired { .. } | Self::Compromised { .. } => {
                "ask the CA for a certificate of a new key, and sign again; or another person to sign"
            }
        }
    }
}
