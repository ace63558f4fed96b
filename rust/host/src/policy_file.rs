//! The policy as it is written down: TOML.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};
use nixcert_core::limits::{CHAIN_CERTIFICATES, VOTES};
use nixcert_core::{
    Activation, Anchors, Authority, AuthorityRule, Clock, ClosureRule, Doubt, Instant, ListRules, Mode,
    NamePattern, NameSet, Policy, PublicKeys, Threshold, Together, Usage,
};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A policy file, read and understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyFile {
    /// What it means.
    pub policy: Policy,
    /// The directory of the lists that the host holds. Without one no list is asked.
    pub revocation_lists: Option<PathBuf>,
    /// What there is to say of activation beside who may vouch; `None` as [`Policy::activation`].
    pub activation: Option<ActivationFile>,
}

/// How this host activates systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivationFile {
    /// Whether contents are read again, and compared with what was signed.
    pub verify_contents: VerifyContents,
    /// The directory of records of what was activated.
    pub records: PathBuf,
}

/// Whether the contents of each path are read before it is activated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyContents {
    /// The store's database is believed: only root can change what is on disk behind its back.
    #[default]
    Never,
    /// Every file is read.
    Always,
}

/// Where records of activations are, if the policy does not say.
pub const RECORDS: &str = "/var/lib/nixcert/activation";

impl PolicyFile {
    /// Read a policy.
    ///
    /// # Errors
    /// [`PolicyFileError`] names the line, if there is one, and what is wrong. Nothing is passed over: what is not understood
    /// might have been a limit.
    pub fn parse(text: &str) -> Result<Self, PolicyFileError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyFileError {
            line: error
                .span()
                .map(|span| text.get(..span.start).unwrap_or_default().matches('\n').count() + 1),
            problem: error.message().trim_end().replace('\n', ", "),
        })?;
        file.check().map_err(|problem| PolicyFileError { line: None, problem })
    }

    /// The same, in JSON: what the vectors hold.
    ///
    /// # Errors
    /// [`PolicyFileError`].
    pub fn from_json(text: &str) -> Result<Self, PolicyFileError> {
        let problem = |problem| PolicyFileError { line: None, problem };
        let file: File = serde_json::from_str(text).map_err(|error| problem(error.to_string()))?;
        file.check().map_err(problem)
    }
}

/// Why a text is not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct PolicyFileError {
    /// Where, counted from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    version: Version,
    #[serde(default)]
    clock: ClockName,
    earliest_time: Option<Time>,
    revocation_lists: Option<AbsolutePath>,
    #[serde(default)]
    protected_names: Vec<Pattern>,
    #[serde(default)]
    audit: Vec<TopRule>,
    #[serde(default)]
    ca: BTreeMap<String, Ca>,
    #[serde(default)]
    threshold: Vec<ThresholdTable>,
    activation: Option<ActivationTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ActivationTable {
    #[serde(default)]
    votes: Votes,
    authorities: Option<BTreeSet<String>>,
    #[serde(default)]
    through_one_intermediate: TogetherName,
    #[serde(default)]
    closure_signature: ClosureRuleName,
    #[serde(default)]
    caller_must_sign: bool,
    #[serde(default)]
    vendors: Vec<String>,
    #[serde(default)]
    verify_contents: ContentsName,
    records: Option<AbsolutePath>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Ca {
    permitted_names: Patterns,
    #[serde(default)]
    excluded_names: Vec<Pattern>,
    usages: BTreeSet<UsageName>,
    longest_validity: Option<Seconds>,
    #[serde(default)]
    deepest_chain: Depth,
    missing_list: Option<DoubtName>,
    unreadable_list: Option<DoubtName>,
    oldest_list: Option<Seconds>,
    #[serde(default)]
    audit: BTreeSet<CaRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ThresholdTable {
    names: Patterns,
    votes: Votes,
    authorities: Option<BTreeSet<String>>,
    #[serde(default)]
    through_one_intermediate: TogetherName,
    #[serde(default)]
    audit: bool,
}

impl File {
    fn check(self) -> Result<PolicyFile, String> {
        let Self {
            version: Version,
            clock,
            earliest_time,
            revocation_lists,
            protected_names,
            audit,
            ca,
            threshold,
            activation,
        } = self;
        let has_lists = revocation_lists.is_some();
        let authorities = ca
            .into_iter()
            .map(|(name, ca)| {
                Ok((name.clone(), ca.check(has_lists).map_err(|problem| format!("ca.{name}: {problem}"))?))
            })
            .collect::<Result<BTreeMap<_, _>, String>>()?;
        let protected_names = name_set(protected_names);
        let protected_names_mode =
            if audit.contains(&TopRule::ProtectedNames) { Mode::Audit } else { Mode::Enforce };
        if protected_names_mode == Mode::Audit && protected_names.is_empty() {
            return Err("audit names 'protected-names', and there are none".to_owned());
        }
        let thresholds = threshold
            .into_iter()
            .map(|table| table.check(&authorities))
            .collect::<Result<Vec<_>, String>>()?;
        let (activation, activation_file) = match activation {
            Some(table) => {
                let (rules, file) =
                    table.check(&authorities).map_err(|problem| format!("activation: {problem}"))?;
                (Some(rules), Some(file))
            }
            None => (None, None),
        };
        Ok(PolicyFile {
            policy: Policy {
                clock: clock.into(),
                earliest_time: earliest_time.map(|time| time.0),
                protected_names,
                protected_names_mode,
                authorities: Some(authorities),
                thresholds,
                activation,
            },
            revocation_lists: revocation_lists.map(|path| path.0),
            activation: activation_file,
        })
    }
}

impl Ca {
    fn check(self, has_lists: bool) -> Result<Authority, String> {
        let missing = self.missing_list.map(Doubt::from);
        let lists = ListRules {
            missing: missing.unwrap_or(if self.oldest_list.is_some() {
                Doubt::Refuse
            } else {
                Doubt::Accept
            }),
            unreadable: self.unreadable_list.map_or(ListRules::default().unreadable, Doubt::from),
            oldest: self.oldest_list.map(|seconds| seconds.0),
        };
        if missing == Some(Doubt::Accept) && lists.oldest.is_some() {
            return Err(
                "oldest-list asks for a list, and missing-list = \"accept\" for none: remove one".to_owned()
            );
        }
        let asks = missing.is_some() || self.unreadable_list.is_some() || lists.oldest.is_some();
        if asks && !has_lists {
            return Err("it asks for revocation lists, and 'revocation-lists' (at the top) does not say where they are"
                .to_owned());
        }
        if self.usages.is_empty() {
            return Err(
                "usages is empty, so nothing of this CA could ever count: name some, or remove it".to_owned()
            );
        }
        Ok(Authority {
            permitted_names: self.permitted_names.into(),
            excluded_names: name_set(self.excluded_names),
            longest_validity: self.longest_validity.map(|seconds| seconds.0),
            deepest_chain: self.deepest_chain.0,
            usages: self.usages.into_iter().map(Usage::from).collect(),
            lists,
            audit: self.audit.into_iter().map(AuthorityRule::from).collect(),
        })
    }
}

impl ThresholdTable {
    fn check(self, known: &BTreeMap<String, Authority>) -> Result<Threshold, String> {
        check_authorities("a threshold", self.authorities.as_ref(), known)?;
        Ok(Threshold {
            names: self.names.into(),
            votes: self.votes.0,
            authorities: self.authorities,
            together: self.through_one_intermediate.into(),
            mode: if self.audit { Mode::Audit } else { Mode::Enforce },
        })
    }
}

fn check_authorities(
    who: &str,
    authorities: Option<&BTreeSet<String>>,
    known: &BTreeMap<String, Authority>,
) -> Result<(), String> {
    if let Some(unknown) = authorities.into_iter().flatten().find(|name| !known.contains_key(*name)) {
        return Err(format!(
            "{who} asks for votes of '{unknown}', for which there is no table [ca.{unknown}]"
        ));
    }
    if authorities.is_some_and(BTreeSet::is_empty) {
        return Err(format!("{who} has an empty list of authorities, so it could never be met"));
    }
    Ok(())
}

impl ActivationTable {
    fn check(self, known: &BTreeMap<String, Authority>) -> Result<(Activation, ActivationFile), String> {
        check_authorities("it", self.authorities.as_ref(), known)?;
        let vouches = |name: &String| {
            let rules = known.get(name);
            rules.is_some_and(|rules| rules.usages.contains(Usage::VouchForSystems))
        };
        let someone = match &self.authorities {
            Some(names) => names.iter().any(vouches),
            None => known.keys().any(vouches),
        };
        if !someone {
            return Err("no CA may certify people who vouch for systems: add 'vouch-for-systems' to the usages of one"
                .to_owned());
        }
        let (mut vendors, mut strict) = (PublicKeys::default(), Anchors::default());
        for entry in &self.vendors {
            // Two keys with one name, or one that nothing could be signed with, are mistakes here, as among the CAs.
            strict
                .add(entry)
                .and_then(|()| vendors.add(entry))
                .map_err(|error| format!("vendors: {error}"))?;
        }
        let rules = Activation {
            votes: self.votes.0,
            authorities: self.authorities,
            together: self.through_one_intermediate.into(),
            closure_signature: self.closure_signature.into(),
            caller_must_sign: self.caller_must_sign,
            vendors,
        };
        let file = ActivationFile {
            verify_contents: self.verify_contents.into(),
            records: self.records.map_or_else(|| PathBuf::from(RECORDS), |path| path.0),
        };
        Ok((rules, file))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct Version;

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(version: u64) -> Result<Self, String> {
        match version {
            1 => Ok(Self),
            other => {
                Err(format!("this is version {other} of the policy; this nixcert knows version 1: update it"))
            }
        }
    }
}

#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match NamePattern::parse(text.as_bytes()) {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(format!("'{text}' is not a name pattern: {error}")),
        }
    }
}

/// Checked one by one when they were read.
fn name_set(patterns: Vec<Pattern>) -> NameSet {
    NameSet::new(patterns.into_iter().map(|pattern| pattern.0)).unwrap_or_default()
}

/// Patterns where none would mean nothing, or be taken for everything.
#[derive(Deserialize)]
#[serde(try_from = "Vec<Pattern>")]
struct Patterns(Vec<Pattern>);

impl TryFrom<Vec<Pattern>> for Patterns {
    type Error = &'static str;

    fn try_from(patterns: Vec<Pattern>) -> Result<Self, &'static str> {
        if patterns.is_empty() {
            return Err("there is no name here: write [\"*\"] for all of them");
        }
        Ok(Self(patterns))
    }
}

impl From<Patterns> for NameSet {
    fn from(patterns: Patterns) -> Self {
        name_set(patterns.0)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "PathBuf")]
struct AbsolutePath(PathBuf);

impl TryFrom<PathBuf> for AbsolutePath {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        if path.is_absolute() {
            Ok(Self(path))
        } else {
            Err(format!("'{}' must be an absolute path", Path::display(&path)))
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Time(Instant);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let date = |text: &str| {
            text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
        };
        let timestamp = text.parse::<Timestamp>().ok().or_else(|| date(&text).filter(|_| text.len() == 10));
        let seconds = timestamp.and_then(|timestamp| u64::try_from(timestamp.as_second()).ok());
        seconds.and_then(|seconds| Instant::from_seconds(seconds).ok()).map(Self).ok_or_else(|| {
            format!("'{text}' is not a time: write \"2027-01-31\" or \"2027-01-31T12:00:00Z\"")
        })
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Seconds(u64);

impl TryFrom<String> for Seconds {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let seconds = text.parse::<Span>().ok().and_then(|span| {
            let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
            u64::try_from(duration.as_secs()).ok().filter(|seconds| *seconds > 0)
        });
        seconds
            .map(Self)
            .ok_or_else(|| format!("'{text}' is not a span of time: write \"90d\", \"12w\" or \"36h\" (a month has no fixed length)"))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct Depth(u8);

impl Default for Depth {
    fn default() -> Self {
        Self(MOST_INTERMEDIATES)
    }
}

/// All that FORMAT N1 admits.
#[expect(clippy::cast_possible_truncation, reason = "it is 3")]
const MOST_INTERMEDIATES: u8 = CHAIN_CERTIFICATES as u8 - 1;

impl TryFrom<u64> for Depth {
    type Error = String;

    fn try_from(depth: u64) -> Result<Self, String> {
        u8::try_from(depth)
            .ok()
            .filter(|depth| *depth <= MOST_INTERMEDIATES)
            .map(Self)
            .ok_or_else(|| format!("a chain has 0 to {MOST_INTERMEDIATES} intermediates, not {depth}"))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct Votes(u8);

impl Default for Votes {
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<u64> for Votes {
    type Error = String;

    fn try_from(votes: u64) -> Result<Self, String> {
        u8::try_from(votes)
            .ok()
            .filter(|votes| (1..=VOTES).contains(votes))
            .map(Self)
            .ok_or_else(|| format!("it takes 1 to {VOTES} votes, not {votes}"))
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClockName {
    #[default]
    Exact,
    LowerBound,
}

impl From<ClockName> for Clock {
    fn from(name: ClockName) -> Self {
        match name {
            ClockName::Exact => Self::Exact,
            ClockName::LowerBound => Self::LowerBound,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum DoubtName {
    Refuse,
    Accept,
}

impl From<DoubtName> for Doubt {
    fn from(name: DoubtName) -> Self {
        match name {
            DoubtName::Refuse => Self::Refuse,
            DoubtName::Accept => Self::Accept,
        }
    }
}

/// What a CA's certificates can be used for on a host. Issuing is bounded by `deepest-chain`; lists of delegates always count,
/// since they only take away.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum UsageName {
    ImportPaths,
    ImportRealisations,
    VouchForSystems,
}

impl From<UsageName> for Usage {
    fn from(name: UsageName) -> Self {
        match name {
            UsageName::ImportPaths => Self::ImportPaths,
            UsageName::ImportRealisations => Self::ImportRealisations,
            UsageName::VouchForSystems => Self::VouchForSystems,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TogetherName {
    #[default]
    OneVote,
    SeparateVotes,
}

impl From<TogetherName> for Together {
    fn from(name: TogetherName) -> Self {
        match name {
            TogetherName::OneVote => Self::OneVote,
            TogetherName::SeparateVotes => Self::SeparateVotes,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ClosureRuleName {
    #[default]
    Required,
    Optional,
}

impl From<ClosureRuleName> for ClosureRule {
    fn from(name: ClosureRuleName) -> Self {
        match name {
            ClosureRuleName::Required => Self::Required,
            ClosureRuleName::Optional => Self::Optional,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ContentsName {
    #[default]
    Never,
    Always,
}

impl From<ContentsName> for VerifyContents {
    fn from(name: ContentsName) -> Self {
        match name {
            ContentsName::Never => Self::Never,
            ContentsName::Always => Self::Always,
        }
    }
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum TopRule {
    ProtectedNames,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
enum CaRule {
    PermittedNames,
    ExcludedNames,
    LongestValidity,
    DeepestChain,
    Usages,
}

impl From<CaRule> for AuthorityRule {
    fn from(rule: CaRule) -> Self {
        match rule {
            CaRule::PermittedNames => Self::PermittedNames,
            CaRule::ExcludedNames => Self::ExcludedNames,
            CaRule::LongestValidity => Self::LongestValidity,
            CaRule::DeepestChain => Self::DeepestChain,
            CaRule::Usages => Self::Usages,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"
version = 1
clock = "lower-bound"
earliest-time = "2026-11-01"
revocation-lists = "/var/lib/nixcert/revocation"
protected-names = ["linux@", "sudo@"]
audit = ["protected-names"]

[ca.acme-1]
permitted-names = ["*"]
excluded-names = ["glibc@"]
usages = ["import-paths", "import-realisations", "vouch-for-systems"]
longest-validity = "90d"
deepest-chain = 1
oldest-list = "30d"
audit = ["deepest-chain"]

[ca."two.words"]
permitted-names = ["web-*"]
usages = ["import-paths"]
missing-list = "refuse"
unreadable-list = "accept"

[[threshold]]
names = ["nixos-system-*"]
votes = 2
authorities = ["acme-1"]
through-one-intermediate = "separate-votes"
audit = true

[activation]
votes = 2
authorities = ["acme-1"]
through-one-intermediate = "separate-votes"
closure-signature = "optional"
caller-must-sign = true
vendors = ["cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY="]
verify-contents = "always"
records = "/srv/activation"
"#;

    #[test]
    fn all_there_is() {
        let file = PolicyFile::parse(WHOLE).unwrap();
        assert_eq!(file.revocation_lists.as_deref(), Some(Path::new("/var/lib/nixcert/revocation")));
        let policy = file.policy;
        assert_eq!(policy.clock, Clock::LowerBound);
        assert_eq!(policy.earliest_time.unwrap().to_string(), "2026-11-01T00:00:00Z");
        assert_eq!(policy.protected_names.iter().collect::<Vec<_>>(), ["linux@", "sudo@"]);
        assert_eq!(policy.protected_names_mode, Mode::Audit);
        let authorities = policy.authorities.unwrap();
        let acme = &authorities["acme-1"];
        assert_eq!(acme.longest_validity, Some(90 * 86_400));
        assert_eq!(acme.deepest_chain, 1);
        assert_eq!(acme.lists.oldest, Some(30 * 86_400));
        assert_eq!(acme.lists.missing, Doubt::Refuse, "an age can be asked of nothing that is missing");
        assert_eq!(acme.lists.unreadable, Doubt::Refuse);
        assert_eq!(acme.audit, [AuthorityRule::DeepestChain].into());
        let other = &authorities["two.words"];
        assert_eq!((other.longest_validity, other.deepest_chain), (None, 3));
        assert_eq!((other.lists.missing, other.lists.unreadable), (Doubt::Refuse, Doubt::Accept));
        let threshold = &policy.thresholds[0];
        assert_eq!(
            (threshold.votes, threshold.together, threshold.mode),
            (2, Together::SeparateVotes, Mode::Audit)
        );
        let activation = policy.activation.unwrap();
        assert_eq!(activation.votes, 2);
        assert_eq!(activation.together, Together::SeparateVotes);
        assert_eq!(activation.closure_signature, ClosureRule::Optional);
        assert!(activation.caller_must_sign && !activation.vendors.is_empty());
        let how = file.activation.unwrap();
        assert_eq!(how.verify_contents, VerifyContents::Always);
        assert_eq!(how.records, Path::new("/srv/activation"));
        let short = WHOLE.split("[activation]").next().unwrap().to_owned() + "[activation]";
        let short = PolicyFile::parse(&short).unwrap();
        let (rules, how) = (short.policy.activation.unwrap(), short.activation.unwrap());
        assert_eq!(
            (rules.votes, rules.closure_signature),
            (1, ClosureRule::Required),
            "the strict way is the default"
        );
        assert!(rules.vendors.is_empty() && !rules.caller_must_sign);
        assert_eq!(how.records, Path::new(RECORDS));
        let least = PolicyFile::parse("version = 1").unwrap();
        assert_eq!(
            (least.policy.activation, least.activation),
            (None, None),
            "nobody may vouch unless it is said"
        );
        assert_eq!(least.policy.authorities, Some(BTreeMap::new()), "a policy without a CA trusts none");
    }

    #[test]
    fn what_is_not_understood_names_its_line() {
        for (from, to, line, message) in [
            ("version = 1", "version = 2", Some(2), "version 2"),
            ("version = 1\n", "\n", Some(1), "missing field `version`"),
            ("clock = \"lower-bound\"", "clock = \"slow\"", Some(3), "unknown variant `slow`"),
            ("clock", "clok", Some(3), "unknown field `clok`"),
            ("\"2026-11-01\"", "\"soon\"", Some(4), "not a time"),
            ("\"2026-11-01\"", "2026-11-01", Some(4), "expected"),
            ("\"/var/lib", "\"var/lib", Some(5), "absolute path"),
            ("\"linux@\"", "\"linux-6@\"", Some(6), "not a name pattern"),
            ("audit = [\"protected-names\"]", "audit = [\"names\"]", Some(7), "unknown variant"),
            ("[\"*\"]", "[]", Some(10), "write [\"*\"]"),
            ("permitted-names = [\"*\"]\n", "\n", Some(9), "missing field `permitted-names`"),
            ("\"import-realisations\"", "\"revoke\"", Some(12), "unknown variant `revoke`"),
            ("\"90d\"", "\"3mo\"", Some(13), "not a span"),
            ("\"90d\"", "\"-1d\"", Some(13), "not a span"),
            ("deepest-chain = 1", "deepest-chain = 4", Some(14), "0 to 3"),
            ("deepest-chain = 1", "deepest-chain = -1", Some(14), "expected"),
            ("[\"deepest-chain\"]", "[\"oldest-list\"]", Some(16), "unknown variant `oldest-list`"),
            ("votes = 2", "votes = 0", Some(26), "1 to 16"),
            ("votes = 2", "votes = 17", Some(26), "1 to 16"),
            ("[\"acme-1\"]", "[\"acme-2\"]", None, "[ca.acme-2]"),
            ("[\"acme-1\"]", "[]", None, "never be met"),
            ("oldest-list = \"30d\"", "oldest-list = \"30d\"\nmissing-list = \"accept\"", None, "ca.acme-1"),
            ("revocation-lists = \"/var/lib/nixcert/revocation\"\n", "", None, "does not say where"),
            ("protected-names = [\"linux@\", \"sudo@\"]\n", "", None, "there are none"),
            ("usages = [\"import-paths\"]", "usages = []", None, "usages is empty"),
            ("[[threshold]]", "[threshold]", Some(24), "expected a sequence"),
            ("[ca.acme-1]", "[ca.acme-1", Some(9), ""),
            ("\"optional\"", "\"no\"", Some(35), "unknown variant `no`"),
            ("caller-must-sign", "caller-signs", Some(36), "unknown field `caller-signs`"),
            ("verify-contents = \"always\"", "verify-contents = true", Some(38), "wanted string"),
            ("\"/srv/activation\"", "\"activation\"", Some(39), "absolute path"),
            (
                "votes = 2\nauthorities = [\"acme-1\"]\nthrough-one-intermediate = \"separate-votes\"\nclosure",
                "votes = 0\nclosure",
                Some(32),
                "1 to 16",
            ),
            (
                ":6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=",
                "",
                None,
                "activation: vendors: 'cache.nixos.org-1'",
            ),
            (
                "6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=",
                "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                None,
                "usable Ed25519",
            ),
            (", \"vouch-for-systems\"", "", None, "activation: no CA may certify"),
        ] {
            assert!(WHOLE.contains(from), "{from}");
            let error = PolicyFile::parse(&WHOLE.replacen(from, to, 1)).unwrap_err();
            assert!(error.problem.contains(message), "{to}: {error}");
            assert_eq!(error.line, line, "{to}: {error}");
        }
    }
}
