//! What a host's policy says of certificates, beyond what is in them (FORMAT section 12). How it is written in a file is the
//! business of another crate; here is what it means.

use crate::certificate::{Certificate, Usage, Usages};
use crate::pattern::{NamePattern, PatternError};
use crate::time::{Clock, Instant};
use crate::trust::PublicKeys;
use crate::votes::Together;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A host's policy. The default, which is that of a host without one, adds no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How far the clock can be believed.
    pub clock: Clock,
    /// It is at least that late, whatever the clock says.
    pub earliest_time: Option<Instant>,
    /// Names that no certificate satisfies.
    pub protected_names: NameSet,
    /// Whether that is enforced.
    pub protected_names_mode: Mode,
    /// What each CA may do, by its name in `trusted-ca-keys`. A CA that is not there may do nothing; `None`, of a host without
    /// a policy, limits nobody.
    pub authorities: Option<BTreeMap<String, Authority>>,
    /// Names that need several votes. All that match an object hold.
    pub thresholds: Vec<Threshold>,
    /// Who may vouch for a system. Without it, nobody may.
    pub activation: Option<Activation>,
}

/// Who may vouch for a system (FORMAT G1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// How many people, 1 to 16.
    pub votes: u8,
    /// Of which CAs. `None` for all that are trusted.
    pub authorities: Option<BTreeSet<String>>,
    /// Whether two of them may have come through one intermediate.
    pub together: Together,
    /// Whether they must have signed the closure.
    pub closure_signature: ClosureRule,
    /// Whether one of them must be who asks.
    pub caller_must_sign: bool,
    /// Plain keys whose signatures suffice, path by path.
    pub vendors: PublicKeys,
}

/// Whether a closure signature is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosureRule {
    /// One statement must have the votes. Only that keeps deployments from going back to an older one.
    Required,
    /// Signatures of each path suffice, however old.
    Optional,
}

/// What certificates of one CA may do on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The object's name matches one.
    pub permitted_names: NameSet,
    /// The object's name matches none.
    pub excluded_names: NameSet,
    /// Of a leaf, from not-before to not-after, in seconds. `None` for any.
    pub longest_validity: Option<u64>,
    /// How many intermediates may stand between CA and leaf.
    pub deepest_chain: u8,
    /// What leaves may be used for.
    pub usages: Usages,
    /// What is asked of revocation lists.
    pub lists: ListRules,
    /// Those of the rules above that are only watched.
    pub audit: BTreeSet<AuthorityRule>,
}

/// The rules for a CA that can be watched before they are enforced. Revocation is never among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthorityRule {
    /// [`Authority::permitted_names`].
    PermittedNames,
    /// [`Authority::excluded_names`].
    ExcludedNames,
    /// [`Authority::longest_validity`].
    LongestValidity,
    /// [`Authority::deepest_chain`].
    DeepestChain,
    /// [`Authority::usages`].
    Usages,
}

/// Whether a rule refuses, or only says that it would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It refuses.
    #[default]
    Enforce,
    /// It accepts, and what it would have refused is reported (FORMAT P8).
    Audit,
}

/// What is asked of a CA's revocation lists (FORMAT L12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListRules {
    /// Where the host holds none.
    pub missing: Doubt,
    /// Where one that it holds cannot be used.
    pub unreadable: Doubt,
    /// How old the newest may be, in seconds. `None` for any age.
    pub oldest: Option<u64>,
}

impl Default for ListRules {
    /// A host that was never given a list is not refused for it; one that was given a list and cannot use it is.
    fn default() -> Self {
        Self { missing: Doubt::Accept, unreadable: Doubt::Refuse, oldest: None }
    }
}

/// What not knowing comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The CA's certificates are refused.
    Refuse,
    /// They are accepted.
    Accept,
}

/// Names that need a number of votes (FORMAT P6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Which.
    pub names: NameSet,
    /// How many, 1 to 16.
    pub votes: u8,
    /// Whose: names of CAs. `None` for all that are trusted.
    pub authorities: Option<BTreeSet<String>>,
    /// Whether two votes may have come through one intermediate.
    pub together: Together,
    /// Whether it is enforced.
    pub mode: Mode,
}

/// Name patterns (FORMAT K4), of which one must match. An empty set matches nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameSet(Vec<String>);

impl NameSet {
    /// A set of patterns.
    ///
    /// # Errors
    /// The first that is none, and why.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Result<Self, (String, PatternError)> {
        let checked = patterns.into_iter().map(|pattern| match NamePattern::parse(pattern.as_bytes()) {
            Ok(_) => Ok(pattern),
            Err(error) => Err((pattern, error)),
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// All names.
    pub(crate) fn everything() -> Self {
        Self(vec!["*".to_owned()])
    }

    /// The patterns.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first pattern that matches a name.
    pub fn find(&self, name: &str) -> Option<&str> {
        let matches = |item: &&str| {
            NamePattern::parse(item.as_bytes()).is_ok_and(|pattern| pattern.matches(name.as_bytes()))
        };
        self.iter().find(matches)
    }
}

/// Something that the policy has against a signature, and whether that refuses it.
pub(crate) type Objection = (Mode, PolicyError);

impl Policy {
    /// What is asked of a CA's revocation lists.
    pub(crate) fn list_rules(&self, ca: &str) -> ListRules {
        let rules = self.authorities.as_ref().and_then(|authorities| authorities.get(ca));
        rules.map(|rules| rules.lists).unwrap_or_default()
    }

    /// The same, with every rule enforced (FORMAT G2).
    pub(crate) fn without_audit(mut self) -> Self {
        self.protected_names_mode = Mode::Enforce;
        self.authorities.iter_mut().flatten().for_each(|(_, authority)| authority.audit.clear());
        self
    }

    /// Whether no rule for this CA asks for names.
    pub(crate) fn is_unlimited(&self, ca: &str) -> bool {
        match self.authorities.as_ref().map(|authorities| authorities.get(ca)) {
            None => true,
            Some(None) => false,
            Some(Some(rules)) => {
                rules.excluded_names.is_empty() && rules.permitted_names.iter().any(|pattern| pattern == "*")
            }
        }
    }

    /// All that the policy has against a chain of this CA that signs an object for this usage: P2 to P5.
    pub(crate) fn objections(
        &self,
        ca: &str,
        certificates: &[Certificate<'_>],
        usage: Usage,
        name: &str,
    ) -> Vec<Objection> {
        let mut objections = Vec::new();
        match self.authorities.as_ref().map(|authorities| authorities.get(ca)) {
            None => {}
            Some(None) => objections.push((Mode::Enforce, PolicyError::NoAuthority { ca: ca.to_owned() })),
            Some(Some(authority)) => objections.extend(authority.objections(ca, certificates, usage, name)),
        }
        if let Some(pattern) = self.protected_names.find(name) {
            let error = PolicyError::Protected { name: name.to_owned(), pattern: pattern.to_owned() };
            objections.push((self.protected_names_mode, error));
        }
        objections
    }
}

impl Authority {
    fn objections(
        &self,
        ca: &str,
        certificates: &[Certificate<'_>],
        usage: Usage,
        name: &str,
    ) -> impl Iterator<Item = Objection> {
        let (owned_ca, owned_name) = (|| ca.to_owned(), || name.to_owned());
        let usages = (!self.usages.contains(usage)).then(|| PolicyError::Usage { ca: owned_ca(), usage });
        let validity = certificates.first().and_then(|leaf| {
            let longest = self.longest_validity?;
            let seconds = leaf.not_after.seconds().saturating_sub(leaf.not_before.seconds());
            (seconds > longest).then(|| PolicyError::Validity { ca: owned_ca(), seconds, longest })
        });
        let intermediates = certificates.len().saturating_sub(1);
        let chain = (intermediates > usize::from(self.deepest_chain)).then(|| PolicyError::Chain {
            ca: owned_ca(),
            intermediates,
            deepest: self.deepest_chain,
        });
        let excluded = self.excluded_names.find(name).map(|pattern| PolicyError::Excluded {
            ca: owned_ca(),
            name: owned_name(),
            pattern: pattern.to_owned(),
        });
        let not_permitted = self
            .permitted_names
            .find(name)
            .is_none()
            .then(|| PolicyError::NotPermitted { ca: owned_ca(), name: owned_name() });
        [
            (AuthorityRule::Usages, usages),
            (AuthorityRule::LongestValidity, validity),
            (AuthorityRule::DeepestChain, chain),
            (AuthorityRule::ExcludedNames, excluded),
            (AuthorityRule::PermittedNames, not_permitted),
        ]
        .into_iter()
        .filter_map(|(rule, error)| Some((self.mode(rule), error?)))
    }

    fn mode(&self, rule: AuthorityRule) -> Mode {
        if self.audit.contains(&rule) { Mode::Audit } else { Mode::Enforce }
    }
}

/// What a host's policy has against a certificate that is good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// P2.
    #[error("is of the CA '{ca}', of which this host's policy says nothing")]
    NoAuthority {
        /// The CA's name.
        ca: String,
    },
    /// P3.
    #[error("may not be used for '{usage}': this host's policy does not let the CA '{ca}' permit that")]
    Usage {
        /// The CA's name.
        ca: String,
        /// What the object needs.
        usage: Usage,
    },
    /// P3.
    #[error("is valid for {}; this host's policy lets the CA '{ca}' certify for {}", Span(*seconds), Span(*longest))]
    Validity {
        /// The CA's name.
        ca: String,
        /// From not-before to not-after.
        seconds: u64,
        /// What the policy allows.
        longest: u64,
    },
    /// P3.
    #[error("has {intermediates} intermediates above it; this host's policy allows the CA '{ca}' {deepest}")]
    Chain {
        /// The CA's name.
        ca: String,
        /// How many there are.
        intermediates: usize,
        /// How many the policy allows.
        deepest: u8,
    },
    /// P4.
    #[error("is of the CA '{ca}', which this host's policy excludes from the name '{name}' (by '{pattern}')")]
    Excluded {
        /// The CA's name.
        ca: String,
        /// The object's.
        name: String,
        /// The pattern that matches it.
        pattern: String,
    },
    /// P4.
    #[error("is of the CA '{ca}', which this host's policy does not permit the name '{name}'")]
    NotPermitted {
        /// The CA's name.
        ca: String,
        /// The object's.
        name: String,
    },
    /// P5.
    #[error(
        "does not help: this host's policy protects the name '{name}' (by '{pattern}') from all certificates"
    )]
    Protected {
        /// The object's.
        name: String,
        /// The pattern that matches it.
        pattern: String,
    },
}

/// A span of time, in its two largest units that are not zero.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds")];
        let mut rest = self.0;
        let counts = UNITS.map(|(size, unit)| {
            let count = rest / size;
            rest %= size;
            (count, unit)
        });
        let words: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .take(2)
            .map(|(count, unit)| format!("{count} {unit}"))
            .collect();
        f.write_str(if words.is_empty() { "0 seconds" } else { "" })?;
        f.write_str(&words.join(" and "))
    }
}

impl PolicyError {
    /// The reason code (FORMAT section 8).
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoAuthority { .. } => "ca-not-in-policy",
            Self::Usage { .. } => "usage-not-in-policy",
            Self::Validity { .. } => "validity-too-long",
            Self::Chain { .. } => "chain-too-deep",
            Self::Excluded { .. } => "name-excluded-by-policy",
            Self::NotPermitted { .. } => "name-not-permitted-by-policy",
            Self::Protected { .. } => "protected-name",
        }
    }

    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Validity { .. } => "ask the CA for a certificate of shorter validity",
            Self::Protected { .. } => "let a key in this host's trusted-public-keys sign it",
            Self::NoAuthority { .. }
            | Self::Usage { .. }
            | Self::Chain { .. }
            | Self::Excluded { .. }
            | Self::NotPermitted { .. } => {
                "sign with a certificate that this host's policy allows, or ask its administrator"
            }
        }
    }
}

/// Too few votes for an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this host's policy asks for {votes} votes{} for the name '{name}' (by '{pattern}'), and {} {}",
    .authorities.as_ref().map(|names| format!(" by certificates of {}", quoted(names))).unwrap_or_default(),
    if voters.is_empty() { "there are none".to_owned() } else { format!("those of {} are too few", quoted(voters)) },
    if *.search_ended { "(the search was given up)" } else { "(one person, one key or one intermediate is one vote)" }
)]
pub struct VotesError {
    /// The object's name.
    pub name: String,
    /// The pattern that matches it.
    pub pattern: String,
    /// How many it needs.
    pub votes: u8,
    /// By whom.
    pub authorities: Option<BTreeSet<String>>,
    /// The labels of those who signed, and might count.
    pub voters: BTreeSet<String>,
    /// Whether votes might have been found by searching longer (FORMAT P7).
    pub search_ended: bool,
}

fn quoted(names: &BTreeSet<String>) -> String {
    let shown: Vec<String> = names.iter().take(8).map(|name| format!("'{name}'")).collect();
    let more = if names.len() > shown.len() { " and others" } else { "" };
    format!("{}{more}", shown.join(", "))
}

impl VotesError {
    /// The reason code (FORMAT section 8).
    pub fn code(&self) -> &'static str {
        "too-few-votes"
    }

    pub(crate) fn advice(&self) -> &'static str {
        "let another person sign it too"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!(Span(86_400 * 90).to_string(), "90 days");
        assert_eq!(Span(7_200).to_string(), "2 hours");
        assert_eq!(Span(7_776_300).to_string(), "90 days and 5 minutes");
        assert_eq!(Span(0).to_string(), "0 seconds");
    }

    #[test]
    fn name_sets() {
        let set = NameSet::new(["hello@".to_owned(), "linux-*".to_owned()]).unwrap();
        assert_eq!(set.find("linux-6.12"), Some("linux-*"));
        assert_eq!(set.find("hello-1"), Some("hello@"));
        assert_eq!(set.find("hell"), None);
        assert_eq!(NameSet::default().find("x"), None);
        assert_eq!(NameSet::new(["**".to_owned()]), Err(("**".to_owned(), PatternError::DoubleStar)));
    }
}
