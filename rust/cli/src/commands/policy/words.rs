//! A policy in plain sentences: what it asks, and what it does not.

use crate::describe::{name_in_words, with_words};
use crate::output::printable;
use nixcert_core::{
    Activation, Authority, AuthorityRule, Clock, ClosureRule, Doubt, Mode, NameSet, Policy, Threshold,
    Together, Usage, limits::CHAIN_CERTIFICATES,
};
use nixcert_host::{ActivationFile, PolicyFile, VerifyContents};
use serde::{Serialize, Serializer};
use std::io::Write;

/// Some sentences with one subject.
#[derive(Serialize)]
pub(crate) struct Paragraph {
    /// What they are about, as it is called in the policy: `ca.acme-1`, `protected-names`, `clock`.
    about: String,
    #[serde(skip)]
    title: String,
    #[serde(serialize_with = "without_indent")]
    sentences: Vec<String>,
}

fn without_indent<S: Serializer>(sentences: &[String], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(sentences.iter().map(|sentence| sentence.trim_start()))
}

impl Paragraph {
    fn new(about: &str, title: impl Into<String>, sentences: Vec<String>) -> Self {
        Self { about: about.to_owned(), title: title.into(), sentences }
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "{}", printable(&self.title))?;
        self.sentences.iter().try_for_each(|sentence| writeln!(out, "  {}", printable(sentence)))
    }
}

/// All that a policy says.
pub(crate) fn meaning(file: &PolicyFile) -> Vec<Paragraph> {
    let policy = &file.policy;
    let mut all: Vec<Paragraph> = policy
        .authorities
        .iter()
        .flatten()
        .map(|(name, authority)| {
            let has_lists = file.revocation_lists.is_some();
            Paragraph::new(
                &format!("ca.{name}"),
                format!("The CA '{name}'"),
                of_authority(authority, has_lists),
            )
        })
        .collect();
    all.push(Paragraph::new(
        "ca",
        "Every other CA",
        vec!["counts for nothing, also if trusted-ca-keys names it".into()],
    ));
    all.push(Paragraph::new("protected-names", "Protected names", protected(policy)));
    let mut votes: Vec<String> = policy.thresholds.iter().flat_map(of_threshold).collect();
    votes.push(match votes.is_empty() {
        true => "one signature by one person is enough, whatever the name".into(),
        false => "for all other names, one signature by one person is enough".into(),
    });
    all.push(Paragraph::new("threshold", "Votes", votes));
    let lists = match &file.revocation_lists {
        Some(directory) => format!("are kept in '{}': nixcert revocation install", directory.display()),
        None => "are not asked: nothing is ever revoked on this host".into(),
    };
    let activation = match policy.activation.as_ref().zip(file.activation.as_ref()) {
        Some((rules, how)) => of_activation(rules, how),
        None => vec!["nobody may vouch for a system: the activation gate stays closed".into()],
    };
    all.push(Paragraph::new("activation", "Activation", activation));
    all.push(Paragraph::new("revocation-lists", "Revocation lists", vec![lists]));
    all.push(Paragraph::new("clock", "The clock", clock(policy)));
    all
}

fn of_authority(authority: &Authority, has_lists: bool) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut say = |limits: Option<AuthorityRule>, text: String| {
        let audited = if limits.is_some_and(|rule| authority.audit.contains(&rule)) { AUDIT } else { "" };
        sentences.push(format!("{text}{audited}"));
    };
    for usage in [Usage::ImportPaths, Usage::ImportRealisations, Usage::VouchForSystems] {
        let words = match usage {
            Usage::ImportPaths => "for packages that this host imports",
            Usage::ImportRealisations => "for which output a content-addressed derivation has",
            Usage::VouchForSystems => "for whole systems, when they are activated",
            Usage::Issue | Usage::Revoke => "",
        };
        match authority.usages.contains(usage) {
            true => say(None, format!("counts {words} ({usage})")),
            // The activation gate has no audit mode.
            false => say(
                (usage != Usage::VouchForSystems).then_some(AuthorityRule::Usages),
                format!("does not count {words} ({usage})"),
            ),
        }
    }
    let permitted = listed(&authority.permitted_names);
    say(Some(AuthorityRule::PermittedNames), format!("for these names: {permitted}"));
    if !authority.excluded_names.is_empty() {
        let excluded = listed(&authority.excluded_names);
        say(Some(AuthorityRule::ExcludedNames), format!("but never for: {excluded}"));
    }
    match authority.longest_validity.map(span) {
        Some(span) => say(
            Some(AuthorityRule::LongestValidity),
            format!(
                "with certificates that are valid for {span} at most, from their first second to their last"
            ),
        ),
        None => say(None, "with certificates of any validity, also of many years".into()),
    }
    match authority.deepest_chain {
        deepest if usize::from(deepest) + 1 >= CHAIN_CERTIFICATES => {
            say(None, format!("through as many intermediate CAs as there can be ({deepest})"));
        }
        0 => say(Some(AuthorityRule::DeepestChain), "without any intermediate CA".into()),
        1 => say(Some(AuthorityRule::DeepestChain), "through one intermediate CA at most".into()),
        deepest => {
            say(Some(AuthorityRule::DeepestChain), format!("through {deepest} intermediate CAs at most"));
        }
    }
    if has_lists {
        sentences.extend(lists(authority));
    }
    sentences
}

fn lists(authority: &Authority) -> Vec<String> {
    let rules = &authority.lists;
    let needed = match (rules.missing, rules.oldest) {
        (_, Some(oldest)) => {
            format!(
                "only while a revocation list of it is held that was issued no more than {} ago",
                span(oldest)
            )
        }
        (Doubt::Refuse, None) => "only while a revocation list of it is held, of whatever age".into(),
        (Doubt::Accept, None) => {
            "also while no revocation list of it is held; and a list of any age will do".into()
        }
    };
    let unreadable = match rules.unreadable {
        Doubt::Refuse => "not while a revocation list of it cannot be used",
        Doubt::Accept => "also while a revocation list of it cannot be used, whatever it revokes",
    };
    vec![needed, unreadable.into()]
}

const AUDIT: &str = " [audit mode: what breaks this is accepted, and reported]";

fn protected(policy: &Policy) -> Vec<String> {
    if policy.protected_names.is_empty() {
        return vec!["there are none: certificates may count for any name".into()];
    }
    let audited = if policy.protected_names_mode == Mode::Audit { AUDIT } else { "" };
    let mut sentences =
        vec![format!("no certificate counts for these, only keys in trusted-public-keys{audited}:")];
    let patterns: Vec<String> = policy.protected_names.iter().map(str::to_owned).collect();
    sentences.extend(with_words(&patterns, name_in_words).map(|line| format!("  {line}")));
    sentences
}

fn of_threshold(threshold: &Threshold) -> Vec<String> {
    let audited = if threshold.mode == Mode::Audit { AUDIT } else { "" };
    let of = of_authorities(threshold.authorities.as_ref());
    let votes = if threshold.votes == 1 { "1 vote".into() } else { format!("{} votes", threshold.votes) };
    let together = together(threshold.together);
    vec![
        format!("{votes} by certificates {of}, for these names: {}{audited}", listed(&threshold.names)),
        format!(
            "  (one person, one label or one key is one vote; {together}; one plain key is enough without)"
        ),
    ]
}

fn of_activation(rules: &Activation, how: &ActivationFile) -> Vec<String> {
    let of = of_authorities(rules.authorities.as_ref());
    let people = match rules.votes {
        1 => format!(
            "one person, with a certificate {of} for vouch-for-systems, may vouch for a system: whoever also may activate is root"
        ),
        votes => format!(
            "{votes} people, with certificates {of} for vouch-for-systems, must vouch for a system ({})",
            together(rules.together)
        ),
    };
    let closure = match rules.closure_signature {
        ClosureRule::Required => {
            "they must have signed the closure as a whole, and never an older one than the last that was activated"
        }
        ClosureRule::Optional => {
            "signatures of each path suffice, however old: a system can be set back to an old one of theirs"
        }
    };
    let mut sentences = vec![people, closure.into()];
    sentences.push(match rules.caller_must_sign {
        true => "one of them must be who activates it (by login name and label)".into(),
        false => "who activates it need not be among them".into(),
    });
    let vendors: Vec<&str> = rules.vendors.iter().map(|(name, _)| name).collect();
    sentences.push(match vendors.is_empty() {
        true => {
            "no vendor is named: they must vouch for every path (but those that are content-addressed)".into()
        }
        false => format!("paths signed by these vendors need nobody: {}", vendors.join(", ")),
    });
    sentences.push(match how.verify_contents {
        VerifyContents::Never => "contents are not read again: the store's database is believed".into(),
        VerifyContents::Always => "the contents of every path are read, and compared".into(),
    });
    // G7
    let freed: Vec<&str> = [
        (matches!(rules.closure_signature, ClosureRule::Required), "without a closure signature in force"),
        (rules.caller_must_sign, "without the signature of who asks"),
    ]
    .into_iter()
    .filter_map(|(asked, freed)| asked.then_some(freed))
    .collect();
    if !freed.is_empty() {
        sentences
            .push(format!("what was activated here before may be activated again {}", freed.join(" and ")));
    }
    sentences.push(format!("what was activated is recorded in '{}'", how.records.display()));
    sentences
}

fn of_authorities(authorities: Option<&std::collections::BTreeSet<String>>) -> String {
    match authorities {
        Some(names) => {
            format!("of {}", names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(" or "))
        }
        None => "of any CA above".into(),
    }
}

fn together(together: Together) -> &'static str {
    match together {
        Together::OneVote => "whatever came through one intermediate CA is one vote",
        Together::SeparateVotes => "intermediate CAs are trusted to tell people apart",
    }
}

fn clock(policy: &Policy) -> Vec<String> {
    let mut sentences = vec![match policy.clock {
        Clock::Exact => "is taken to be right".into(),
        Clock::LowerBound => {
            "may be behind: a certificate that is not yet valid counts, and where a key was compromised, nothing of it \
             counts, whenever it came here"
                .to_owned()
        }
    }];
    match policy.earliest_time {
        Some(time) => sentences
            .push(format!("if it says less, it is {time}, or the date of the CA's newest revocation list")),
        None => sentences.push(
            "if it says less than the date of a CA's newest revocation list, that date counts for that CA"
                .into(),
        ),
    }
    sentences
}

fn listed(names: &NameSet) -> String {
    let all: Vec<&str> = names.iter().collect();
    match all.as_slice() {
        ["*"] => "all (*)".into(),
        all => all.join(", "),
    }
}

/// A span in its largest whole unit.
pub(crate) fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        seconds if seconds % 86_400 == 0 => (seconds / 86_400, "day"),
        seconds if seconds % 3_600 == 0 => (seconds / 3_600, "hour"),
        seconds => (seconds, "second"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
