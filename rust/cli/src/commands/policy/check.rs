//! `nixcert policy check`: what a policy means, and what in it cannot be meant.

use super::words::{self, Paragraph};
use crate::error::{Answer, Result};
use crate::output::{self, ACCEPTED, NOTE, REFUSED, SCHEMA, printable};
use crate::time;
use crate::trust::{KeyArgs, policy_text};
use nixcert_core::{
    Authority, AuthorityRule, Clock, ClosureRule, Doubt, Instant, Mode, NamePattern, NameSet, Threshold,
    Together, Trust, Usage,
};
use nixcert_host::PolicyFile;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Explain what a policy means, and find what cannot be meant
///
/// Says in sentences what a host with this policy makes of certificates: of each CA, what its certificates count for, and also
/// what is not limited. Then come warnings about what is weak or has no effect, and errors about what cannot be meant, each
/// with its line. With the host's keys (--nix-conf or --trusted-ca-keys), the CAs are compared too.
///
/// Nothing but the file, and the nix.conf that is named, is read: it works for another host, and in a sandbox.
#[derive(clap::Args)]
#[command(after_help = "\
A policy, for one team whose kernel needs two people:
  version = 1
  revocation-lists = \"/var/lib/nixcert/revocation\"
  protected-names = [\"sudo@\", \"polkit@\"]  # only for trusted-public-keys
  [ca.acme-2026-1]                         # the name in trusted-ca-keys
  permitted-names = [\"*\"]                  # everything is written out
  usages = [\"import-paths\"]
  longest-validity = \"90d\"
  deepest-chain = 1
  oldest-list = \"30d\"
  audit = [\"longest-validity\"]             # only reported, until this line goes
  [[threshold]]
  names = [\"linux@\", \"nixos-system-*\"]
  votes = 2

Examples:
  nixcert policy check /etc/nixcert/policy.toml --nix-conf /etc/nix/nix.conf
  nixcert policy check web-1.toml --nix-conf web-1.conf --json | jq '.findings[]'

Exit status: 0 it can be used (there may be warnings); 1 a host would refuse it, or something in it cannot be meant; 2 it
could not be read.")]
pub(crate) struct CheckArgs {
    /// The policy; '-' is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// Print JSON: one object
    #[arg(long)]
    json: bool,
}

/// What was found, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    schema: u32,
    /// Null for standard input.
    file: Option<String>,
    /// Whether a host would use it. What cannot be meant may be usable all the same.
    usable: bool,
    /// What it means; nothing, if it is not usable.
    meaning: Vec<Paragraph>,
    findings: Vec<Finding>,
}

#[derive(Serialize)]
struct Finding {
    level: Level,
    /// Counted from 1; null where the whole file is meant.
    line: Option<usize>,
    message: String,
}

/// How bad it is. The lesser is worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Level {
    /// It cannot be meant.
    Error,
    /// It is weak, or has no effect.
    Warning,
}

pub(crate) fn run(args: &CheckArgs) -> Result {
    let trust = match args.keys.is_empty() {
        true => None,
        false => Some(args.keys.load()?.0),
    };
    let from_stdin = args.file == Path::new("-");
    let text = policy_text(&args.file)?;
    let lines = text.as_deref().map(Lines::of).unwrap_or_default();
    let parsed = text.and_then(|text| PolicyFile::parse(&text));
    let mut findings = match &parsed {
        Ok(file) => {
            Check { file, trust: trust.as_ref(), lines: &lines, findings: Vec::new() }.all(time::now()?)
        }
        Err(error) => {
            let line = error.line.or_else(|| lines.of_problem(&error.problem));
            vec![Finding { level: Level::Error, line, message: error.problem.clone() }]
        }
    };
    if !from_stdin {
        findings.extend(ownership(&args.file));
    }
    findings.sort_by_key(|finding| (finding.level, finding.line));
    let cannot_be_meant = findings.iter().any(|finding| finding.level == Level::Error);
    let report = Report {
        schema: SCHEMA,
        file: (!from_stdin).then(|| args.file.display().to_string()),
        usable: parsed.is_ok(),
        meaning: parsed.as_ref().map(words::meaning).unwrap_or_default(),
        findings,
    };
    if args.json {
        output::json(&report)?;
    } else {
        report.show(trust.is_some())?;
    }
    if parsed.is_err() && lines.are_cases {
        output::note("these look like cases: nixcert policy test CASES.toml --policy FILE");
    }
    Ok(if cannot_be_meant { Answer::No } else { Answer::Yes })
}

impl Report {
    fn show(&self, knows_keys: bool) -> Result<()> {
        let mut out = anstream::stdout().lock();
        for paragraph in &self.meaning {
            paragraph.write(&mut out)?;
        }
        for Finding { level, line, message } in &self.findings {
            let level = match level {
                Level::Error => format!("{REFUSED}error:{REFUSED:#}"),
                Level::Warning => format!("{NOTE}warning:{NOTE:#}"),
            };
            let line = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            writeln!(out, "{level} {line}{}", printable(message))?;
        }
        let file = self.file.as_deref().unwrap_or("standard input");
        let errors = self.findings.iter().filter(|finding| finding.level == Level::Error).count();
        match (self.usable, errors) {
            (false, _) => writeln!(
                out,
                "{REFUSED}refused{REFUSED:#}  '{file}': on a host with this policy no certificate counts, and plain keys do"
            )?,
            (true, 0) => writeln!(out, "{ACCEPTED}usable{ACCEPTED:#}   '{file}'")?,
            (true, _) => writeln!(
                out,
                "{REFUSED}doubtful{REFUSED:#} '{file}': a host would use it, and it cannot be meant"
            )?,
        }
        if !knows_keys && self.usable {
            output::note("whether its CAs are trusted was not asked: name --nix-conf or --trusted-ca-keys");
        }
        Ok(())
    }
}

/// Where things stand in the file.
#[derive(Default)]
struct Lines {
    /// Top-level keys.
    keys: BTreeMap<String, usize>,
    /// The tables of CAs, with their keys.
    authorities: BTreeMap<String, (usize, BTreeMap<String, usize>)>,
    /// The thresholds, in order, with the authorities that they name.
    thresholds: Vec<(usize, Option<Vec<String>>)>,
    /// Whether this is the other kind of file.
    are_cases: bool,
}

impl Lines {
    fn of(text: &str) -> Self {
        let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        // What is no TOML has an error of its own, with its line.
        let Ok(root) = DeTable::parse(text) else { return Self::default() };
        let root = root.into_inner();
        let keys = |table: &DeTable<'_>| -> BTreeMap<String, usize> {
            table.keys().map(|key| (key.get_ref().to_string(), line(key.span().start))).collect()
        };
        let mut lines = Self { keys: keys(&root), ..Self::default() };
        lines.are_cases = lines.keys.contains_key("case");
        for (key, value) in &root {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("ca", DeValue::Table(table)) => {
                    for (name, rules) in table {
                        let own = match rules.get_ref() {
                            DeValue::Table(rules) => keys(rules),
                            _ => BTreeMap::new(),
                        };
                        lines.authorities.insert(name.get_ref().to_string(), (line(name.span().start), own));
                    }
                }
                ("threshold", DeValue::Array(tables)) => {
                    lines.thresholds = tables
                        .iter()
                        .map(|table| (line(table.span().start), authorities_of(table.get_ref())))
                        .collect();
                }
                _ => {}
            }
        }
        lines
    }

    fn key(&self, key: &str) -> Option<usize> {
        self.keys.get(key).copied()
    }

    fn authority(&self, name: &str) -> Option<usize> {
        self.authorities.get(name).map(|(line, _)| *line)
    }

    /// A key in the table of a CA; the table, if it is not there.
    fn rule(&self, name: &str, key: &str) -> Option<usize> {
        self.authorities.get(name).map(|(line, keys)| keys.get(key).copied().unwrap_or(*line))
    }

    fn threshold(&self, index: usize) -> Option<usize> {
        self.thresholds.get(index).map(|(line, _)| *line)
    }

    /// Of a problem that names a table instead of a line.
    fn of_problem(&self, problem: &str) -> Option<usize> {
        let of_ca = |(name, (line, _)): (&String, &(usize, _))| {
            problem.starts_with(&format!("ca.{name}: ")).then_some(*line)
        };
        let of_threshold = || {
            let is_meant = |authorities: &Vec<String>| {
                let unknown = |name: &String| problem.contains(&format!("votes of '{name}',"));
                authorities.iter().any(unknown) || (authorities.is_empty() && problem.contains("empty list"))
            };
            let mut thresholds = self.thresholds.iter();
            thresholds
                .find(|(_, authorities)| authorities.as_ref().is_some_and(is_meant))
                .map(|(line, _)| *line)
        };
        let of_key = || {
            let keys = [("audit", "audit "), ("activation", "activation: ")];
            keys.iter().find_map(|(key, start)| self.key(key).filter(|_| problem.starts_with(start)))
        };
        self.authorities.iter().find_map(of_ca).or_else(of_key).or_else(of_threshold)
    }
}

fn authorities_of(table: &DeValue<'_>) -> Option<Vec<String>> {
    let names = table.get("authorities")?.get_ref().as_array()?;
    Some(names.iter().filter_map(|name| name.get_ref().as_str().map(str::to_owned)).collect())
}

/// The search for what is weak, has no effect, or cannot be meant.
struct Check<'a> {
    file: &'a PolicyFile,
    trust: Option<&'a Trust>,
    lines: &'a Lines,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn all(mut self, now: Instant) -> Vec<Finding> {
        self.authorities();
        self.protected_names();
        for index in 0..self.file.policy.thresholds.len() {
            self.threshold(index);
        }
        self.activation();
        self.lists();
        self.clock(now);
        self.audit_of_everything();
        self.findings
    }

    /// What is weak in the activation gate, or has no effect.
    fn activation(&mut self) {
        let file = self.file;
        let line = self.lines.key("activation");
        let vouching = |authority: &Authority| authority.usages.contains(Usage::VouchForSystems);
        let authorities = file.policy.authorities.iter().flatten();
        let Some(rules) = &file.policy.activation else {
            for (name, _) in authorities.filter(|(_, authority)| vouching(authority)) {
                self.warn(
                    self.lines.rule(name, "usages"),
                    format!(
                        "the CA '{name}' may certify for vouch-for-systems, which has no effect: there is no table [activation]"
                    ),
                );
            }
            return;
        };
        let asked = |name: &String| rules.authorities.as_ref().is_some_and(|names| names.contains(name));
        for (name, _) in authorities.filter(|(name, authority)| asked(name) && !vouching(authority)) {
            self.warn(
                line,
                format!(
                    "[activation] asks for votes of '{name}', and that CA's usages do not have vouch-for-systems"
                ),
            );
        }
        match rules.closure_signature {
            ClosureRule::Optional => self.warn(
                line,
                "closure-signature = \"optional\": a system can be set back to any old one that was signed path by path",
            ),
            ClosureRule::Required => {}
        }
    }

    fn error(&mut self, line: Option<usize>, message: impl Into<String>) {
        self.findings.push(Finding { level: Level::Error, line, message: message.into() });
    }

    fn warn(&mut self, line: Option<usize>, message: impl Into<String>) {
        self.findings.push(Finding { level: Level::Warning, line, message: message.into() });
    }

    fn authorities(&mut self) {
        let file = self.file;
        let authorities = file.policy.authorities.iter().flatten();
        if authorities.clone().next().is_none() {
            self.error(
                None,
                "there is no table [ca.NAME], so no certificate of any CA counts: write one for each CA",
            );
        }
        for (name, authority) in authorities {
            self.authority(name, authority);
        }
        let Some(trust) = self.trust.filter(|trust| trust.broken.is_none()) else { return };
        let is_known = |name: &str| file.policy.authorities.iter().flatten().any(|(known, _)| known == name);
        let without: Vec<&str> =
            trust.anchors.iter().map(|(name, _)| name).filter(|name| !is_known(name)).collect();
        for name in without {
            self.warn(None, format!("the CA '{name}' is trusted, and has no table [ca.{name}]: none of its certificates counts"));
        }
        if trust.anchors.is_empty() {
            self.warn(None, "trusted-ca-keys is empty, so no certificate counts, with or without a policy");
        }
    }

    fn authority(&mut self, name: &str, authority: &Authority) {
        let trust = self.trust.filter(|trust| trust.broken.is_none());
        if trust.is_some_and(|trust| trust.anchors.iter().all(|(known, _)| known != name)) {
            self.error(
                self.lines.authority(name),
                format!("no CA of the name '{name}' is among trusted-ca-keys (is it misspelt?)"),
            );
        }
        let permitted = self.lines.rule(name, "permitted-names");
        let mut useless = 0;
        for pattern in authority.permitted_names.iter() {
            if let Some(rule) = self.shadow(authority, pattern) {
                useless += 1;
                self.warn(
                    permitted,
                    format!("'{pattern}' is permitted to the CA '{name}', and has no effect: {rule}"),
                );
            }
        }
        if useless == authority.permitted_names.iter().count() {
            self.error(permitted, format!("nothing is left that the CA '{name}' may certify for"));
        }
        let policy = &self.file.policy;
        let limits_names = authority.permitted_names.iter().all(|pattern| pattern != "*")
            || !authority.excluded_names.is_empty()
            || !policy.protected_names.is_empty()
            || policy.thresholds.iter().any(|threshold| !covers_all(&threshold.names));
        if authority.usages.contains(Usage::ImportRealisations) && limits_names {
            self.warn(
                self.lines.rule(name, "usages"),
                format!(
                    "on hosts with Nix up to 2.34, import-realisations lets the CA '{name}' answer for any derivation with \
                     an output whose name is permitted: limits on names (protected ones and thresholds too) hardly limit that"
                ),
            );
        }
        if authority.lists.unreadable == Doubt::Accept {
            self.warn(
                self.lines.rule(name, "unreadable-list"),
                "who can damage a revocation list on this host can undo what it revokes: leave it at 'refuse'",
            );
        }
        for rule in &authority.audit {
            let (key, is_there) = match rule {
                AuthorityRule::PermittedNames => ("permitted-names", !covers_all(&authority.permitted_names)),
                AuthorityRule::ExcludedNames => ("excluded-names", !authority.excluded_names.is_empty()),
                AuthorityRule::LongestValidity => ("longest-validity", authority.longest_validity.is_some()),
                AuthorityRule::DeepestChain => ("deepest-chain", authority.deepest_chain < 3),
                AuthorityRule::Usages => ("usages", true),
            };
            if !is_there {
                let line = self.lines.rule(name, "audit");
                self.warn(line, format!("{key} is in audit mode, and limits nothing that could be audited"));
            }
        }
    }

    /// Which other rule leaves nothing of a permitted pattern.
    fn shadow(&self, authority: &Authority, pattern: &str) -> Option<String> {
        let policy = &self.file.policy;
        let by = |names: &NameSet| names.iter().find(|other| covers(other, pattern)).map(str::to_owned);
        let excluded = by(&authority.excluded_names)
            .filter(|_| !authority.audit.contains(&AuthorityRule::ExcludedNames));
        let protected = by(&policy.protected_names).filter(|_| policy.protected_names_mode == Mode::Enforce);
        excluded
            .map(|by| format!("excluded-names has '{by}'"))
            .or_else(|| protected.map(|by| format!("protected-names has '{by}'")))
    }

    fn protected_names(&mut self) {
        let policy = &self.file.policy;
        let line = self.lines.key("protected-names");
        if covers_all(&policy.protected_names) {
            match policy.protected_names_mode {
                Mode::Enforce => self.error(
                    line,
                    "every name is protected, so no certificate ever counts: name what is to be protected, or take the CA \
                     out of trusted-ca-keys",
                ),
                Mode::Audit => self.warn(line, "every name is protected: enforced, no certificate would ever count"),
            }
        }
        let nobody = self.trust.is_some_and(|trust| trust.public_keys.is_empty());
        if nobody && !policy.protected_names.is_empty() {
            self.warn(line, "nobody can sign the protected names: trusted-public-keys is empty");
        }
    }

    fn threshold(&mut self, index: usize) {
        let policy = &self.file.policy;
        let Some(threshold) = policy.thresholds.get(index) else { return };
        let line = self.lines.threshold(index);
        if let (1, None) = (threshold.votes, &threshold.authorities) {
            self.warn(line, "one vote of any CA is what every signature is: this threshold asks for nothing");
        }
        let all_names_need_votes =
            policy.thresholds.iter().any(|other| other.votes > 1 && covers_all(&other.names));
        if threshold.votes > 1 && !all_names_need_votes {
            self.warn(
                line,
                "whoever signs alone for other names can reach these: what they refer to is not among them. For two people \
                 behind a whole system, name '*'",
            );
        }
        if threshold.votes > 1 && threshold.together == Together::SeparateVotes {
            self.warn(
                line,
                format!(
                    "whoever holds one intermediate CA can make all {} votes (separate-votes)",
                    threshold.votes
                ),
            );
        }
        if let (Some(names), Some(trust)) =
            (&threshold.authorities, self.trust.filter(|trust| trust.broken.is_none()))
        {
            let is_trusted = |name: &&String| trust.anchors.iter().any(|(known, _)| known == *name);
            let unknown: Vec<&String> = names.iter().filter(|name| !is_trusted(name)).collect();
            for name in &unknown {
                self.error(
                    line,
                    format!("no vote can come from '{name}', which is not among trusted-ca-keys"),
                );
            }
        }
        if policy.protected_names_mode == Mode::Enforce {
            let by =
                |pattern: &str| policy.protected_names.iter().any(|protected| covers(protected, pattern));
            if threshold.names.iter().all(by) {
                self.warn(
                    line,
                    "all its names are protected: no certificate counts for them, with however many votes",
                );
            }
        }
        self.same_names(index, threshold, line);
    }

    fn same_names(&mut self, index: usize, threshold: &Threshold, line: Option<usize>) {
        let earlier = self.file.policy.thresholds.iter().take(index).enumerate();
        let both = earlier.flat_map(|(other, earlier)| {
            let same = |pattern: &&str| {
                earlier.names.iter().any(|other| covers(other, pattern) || covers(pattern, other))
            };
            threshold.names.iter().filter(same).map(move |pattern| (other, pattern)).collect::<Vec<_>>()
        });
        if let Some((other, pattern)) = both.take(1).next() {
            let there =
                self.lines.threshold(other).map(|line| format!(" in line {line}")).unwrap_or_default();
            self.warn(
                line,
                format!("names like '{pattern}' meet the threshold{there} too: both hold, each for itself"),
            );
        }
    }

    fn lists(&mut self) {
        let Some(directory) = &self.file.revocation_lists else {
            self.warn(
                None,
                "revocation-lists is not set: nothing is ever revoked on this host, until it expires",
            );
            return;
        };
        let line = self.lines.key("revocation-lists");
        if directory.starts_with("/nix/store") {
            self.error(
                line,
                "nothing can be installed below /nix/store: name a directory that can be written",
            );
        }
        if ["/run", "/tmp", "/dev"].iter().any(|lost| directory.starts_with(lost)) {
            self.warn(
                line,
                format!("'{}' is lost at a restart, and with it what was revoked", directory.display()),
            );
        }
    }

    fn clock(&mut self, now: Instant) {
        let policy = &self.file.policy;
        if let Some(time) = policy.earliest_time.filter(|time| *time > now) {
            let line = self.lines.key("earliest-time");
            self.warn(
                line,
                format!(
                    "it is not {time} yet, as far as this machine knows: what ends before counts no more"
                ),
            );
        }
        if policy.clock == Clock::LowerBound {
            let with_age =
                policy.authorities.iter().flatten().filter(|(_, authority)| authority.lists.oldest.is_some());
            for (name, _) in with_age {
                let line = self.lines.rule(name, "oldest-list");
                self.warn(
                    line,
                    "the clock may be behind (lower-bound), so a list may be older than it seems",
                );
            }
        }
    }

    fn audit_of_everything(&mut self) {
        let policy = &self.file.policy;
        let is_audited = |authority: &Authority| {
            let audits = |rule| authority.audit.contains(&rule);
            audits(AuthorityRule::Usages)
                && (audits(AuthorityRule::PermittedNames) || covers_all(&authority.permitted_names))
                && (audits(AuthorityRule::ExcludedNames) || authority.excluded_names.is_empty())
                && (audits(AuthorityRule::LongestValidity) || authority.longest_validity.is_none())
                && (audits(AuthorityRule::DeepestChain) || authority.deepest_chain >= 3)
        };
        let mut authorities = policy.authorities.iter().flatten().peekable();
        let everything = authorities.peek().is_some()
            && authorities.all(|(_, authority)| is_audited(authority))
            && (policy.protected_names.is_empty() || policy.protected_names_mode == Mode::Audit)
            && policy.thresholds.iter().all(|threshold| threshold.mode == Mode::Audit);
        if everything {
            self.warn(
                None,
                "every rule is in audit mode: this policy refuses nothing of the CAs that it names",
            );
        }
    }
}

fn covers_all(names: &NameSet) -> bool {
    names.iter().any(|pattern| pattern == "*")
}

/// Whether every name that matches `inner` surely matches `outer`. Nothing is decided by this, it is for advice alone: where
/// it cannot tell, it says no.
fn covers(outer: &str, inner: &str) -> bool {
    let is_name = !inner.contains(['*', '?', '@']);
    let matches = || NamePattern::parse(outer.as_bytes()).is_ok_and(|outer| outer.matches(inner.as_bytes()));
    outer == "*" || outer == inner || (is_name && matches())
}

/// What a host would say of the file's owner and mode. Where it is going to be installed, both may be others.
fn ownership(path: &Path) -> Vec<Finding> {
    let Ok(metadata) = path.metadata() else { return Vec::new() };
    let mut findings = Vec::new();
    let mut warn = |message: String| findings.push(Finding { level: Level::Warning, line: None, message });
    if metadata.mode() & 0o022 != 0 {
        warn(
            "others than its owner can change the file: a host refuses it like that (chmod go-w)".to_owned(),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the policy's own reader says without a line.
    #[test]
    fn problems_without_a_line_get_one() {
        let ca = "[ca.a]\npermitted-names = [\"*\"]\nusages = [\"import-paths\"]\n";
        let threshold = |authorities: &str| {
            format!("[[threshold]]\nnames = [\"x\"]\nvotes = 2\nauthorities = [{authorities}]\n")
        };
        for (text, line) in [
            (format!("version = 1\naudit = [\"protected-names\"]\n{ca}"), 2),
            (format!("version = 1\n\n{ca}oldest-list = \"1d\"\n"), 3),
            (format!("version = 1\n{ca}{}{}", threshold("\"a\""), threshold("\"b\"")), 9),
            (format!("version = 1\n{ca}{}{}", threshold("\"a\""), threshold("")), 9),
        ] {
            let error = PolicyFile::parse(&text).unwrap_err();
            assert_eq!(
                error.line.or_else(|| Lines::of(&text).of_problem(&error.problem)),
                Some(line),
                "{error}"
            );
        }
    }

    #[test]
    fn what_surely_covers() {
        for (outer, inner) in [("*", "a"), ("a@", "a@"), ("a@", "a-1"), ("a-*", "a-1"), ("*", "a@")] {
            assert!(covers(outer, inner), "{outer} {inner}");
        }
        for (outer, inner) in [("a@", "a-b"), ("a-*", "a-?"), ("a", "*"), ("a-*", "a@")] {
            assert!(!covers(outer, inner), "{outer} {inner}");
        }
    }
}
