//! `nixcert why`: how a verdict comes about, and what would change it.

use crate::derivation::{self, Audited, Change, HostRules, Status, Step, Votes};
use crate::describe::Description;
use crate::error::{Answer, Error, Result};
use crate::narinfos::{Block, Blocks};
use crate::nix::Nix;
use crate::output::{self, ACCEPTED, HELP, NOTE, REFUSED, SCHEMA, printable, shorten};
use crate::time::{WhenArgs, length};
use crate::trust::{self, Loaded, TrustArgs};
use nixcert_core::{
    Certificate, ChainCache, Clock, Instant, NarInfo, Object, Outcome, PublicKey, Reason, Signer, StorePath,
    Times, Trust, Verdict, VerifiedList, base64_decode, judge,
};
use nixcert_files::said;
use serde::Serialize;
use std::cmp::Reverse;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Of more signatures, those are shown that came furthest: junk crowds out nothing.
const SHOWN: usize = 50;

/// Explain a verdict: every signature, certificate and rule, and what would make it pass
///
/// Shows for each signature how far it came: each certificate of its chain, the revocation lists of its CA that are held,
/// the time that counts for that CA, each rule in order with ok, FAILED, 'audit' or 'not reached'; then the votes, where the
/// policy asks for some; and the smallest change that would make it pass. The change is tried out: the same judgement is made
/// again as if it had been done, so what else stands in the way is named too.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert why /nix/store/…-hello-2.12                   # what the store holds, judged by this machine's nix.conf
  nixcert why ./result --nix-conf web-1.conf --host web-1.example.org   # would that host let it in?
  nixcert why some.narinfo --trusted-ca-keys acme-2026-1:s6vX…=
  nixcert why ./result --nix-conf web-1.conf --policy web-1.toml --revocation-lists web-1-lists
  curl -s https://cache.example.org/HASH.narinfo | nixcert why - --json | jq .change

--at sets the clock. What proves that it is later counts all the same (the policy's earliest-time, and revocation lists),
and is shown.

Without --nix-conf and trusted keys, /etc/nix/nix.conf of this machine decides. A path of a store is judged as if it were
now to be added to a host; --registered judges it as one that is there already.

Exit status: 0 accepted; 1 refused (what cannot be read as a narinfo is refused too, as malformed-object); 2 could not
tell: no trusted key, no such path or file, or nothing to explain.")]
pub(crate) struct WhyArgs {
    /// A store path or a link to one, a narinfo file, or '-' for a narinfo on standard input
    #[arg(value_name = "STORE-PATH|NARINFO")]
    what: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    /// Another store to ask than this machine's, as Nix's --store
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    #[command(flatten)]
    when: WhenArgs,
    /// Print JSON: one object for each narinfo and line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: WhyArgs) -> Result {
    let loaded = args.trust.load_or_this_machine()?;
    trust::require(&loaded)?;
    let Loaded { trust, lists } = loaded;
    let (now, times) = args.when.resolve()?;
    let has_policy = trust.policy.authorities.is_some();
    let rules = HostRules { lists: has_policy || lists.is_some(), policy: has_policy };
    let judge = Judge { trust, rules, now, times };
    let explanations = match store_path(&args.what) {
        Some(path) => vec![judge.in_store(&path, &Nix::new(args.store.clone()))?],
        None => judge.in_file(&args.what)?,
    };
    let mut all = Answer::Yes;
    for explanation in &explanations {
        if args.json {
            output::json(explanation)?;
        } else {
            explanation.show()?;
        }
        if !explanation.accepted {
            all = Answer::No;
        }
    }
    Ok(all)
}

/// The store path that is meant, also through a link such as ./result; none for a file.
fn store_path(what: &Path) -> Option<OsString> {
    let is_one = |path: &Path| path.to_str().is_some_and(|path| StorePath::parse(path).is_ok());
    if is_one(what) {
        return Some(what.as_os_str().to_owned());
    }
    let real = what.canonicalize().ok()?;
    is_one(&real).then(|| real.into_os_string())
}

struct Judge {
    trust: Trust,
    rules: HostRules,
    now: Instant,
    times: Times,
}

/// A verdict with all its reasons, as `--json` prints it.
#[derive(Serialize)]
struct Explanation {
    schema: u32,
    /// Null where the narinfo does not say.
    path: Option<String>,
    accepted: bool,
    /// The reason code; null when accepted.
    reason: Option<&'static str>,
    message: Option<String>,
    /// When it was judged: what the clock said.
    at: String,
    /// How far the clock is believed: exact, or lower-bound.
    clock: &'static str,
    /// The `CA` field. Noted, not believed.
    content_address: Option<String>,
    /// What else is to be known.
    notes: Vec<String>,
    signatures: Vec<Explained>,
    /// How many more signatures there are, none of which came further.
    not_shown: usize,
    /// The thresholds of the policy that its name meets.
    votes: Vec<Votes>,
    /// What would have refused it, were it not in audit mode.
    audited: Vec<Audited>,
    /// The smallest change that would make it pass; null when accepted.
    change: Option<Change>,
}

#[derive(Serialize)]
struct Explained {
    /// Which one it is, counted from 1.
    number: usize,
    /// What stands before the colon, shortened.
    name: String,
    counts: bool,
    /// The reason code; null when it counts.
    reason: Option<&'static str>,
    message: Option<String>,
    /// The leaf, then each one's issuer; as they were read.
    certificates: Vec<InChain>,
    /// The CA that the chain ends in, if it is trusted.
    authority: Option<OfCa>,
    /// Every rule in order.
    steps: Vec<Step>,
    /// What would make this one count; null if it does.
    change: Option<Change>,
}

#[derive(Serialize)]
struct InChain {
    #[serde(flatten)]
    certificate: Description,
    /// In force, expired, or not yet valid, in words.
    standing: String,
    /// The name under which its issuer is trusted, if it is.
    trusted_as: Option<String>,
}

/// What this host knows of a CA: the time, and what is revoked.
#[derive(Serialize)]
struct OfCa {
    name: String,
    key: String,
    /// The time that counts for it.
    now: String,
    /// Where that is from: clock, earliest-time or revocation-list.
    now_from: &'static str,
    /// The lists that are held; null where this host asks none.
    revocation_lists: Option<Vec<ListHeld>>,
    /// Why its lists cannot be used, where that is so.
    problem: Option<String>,
}

#[derive(Serialize)]
struct ListHeld {
    /// The key that signed it.
    signer: String,
    /// Its label, for a delegate; null for the CA itself.
    delegate: Option<String>,
    /// When it was issued, which is also its number.
    issued: String,
    /// How long ago, in words; null if that is to come.
    age: Option<String>,
    entries: usize,
    /// Whether the CA's own list revokes its signer.
    signer_revoked: bool,
}

impl Judge {
    /// FORMAT T1.
    fn now_for(&self, ca: &PublicKey) -> (Instant, &'static str) {
        let floors = [
            (self.trust.policy.earliest_time, "earliest-time"),
            (self.trust.revocations.proven_time(ca), "revocation-list"),
        ];
        let later = |now: (Instant, &'static str), (floor, from): (Option<Instant>, &'static str)| match floor
        {
            Some(floor) if floor > now.0 => (floor, from),
            Some(_) | None => now,
        };
        floors.into_iter().fold((self.now, "clock"), later)
    }

    fn of_ca(&self, key: &PublicKey, name: &str) -> OfCa {
        let (now, now_from) = self.now_for(key);
        let revocations = &self.trust.revocations;
        let held = |list: &VerifiedList| {
            let leaf = list.certificates().first().and_then(|bytes| Certificate::parse(bytes).ok());
            ListHeld {
                signer: list.signer().to_string(),
                delegate: leaf.map(|leaf| leaf.label.to_string()),
                issued: list.issued().to_string(),
                age: (list.issued() <= now).then(|| length(list.issued(), now)),
                entries: list.entries().len(),
                signer_revoked: revocations.signer_revoked(list).is_some(),
            }
        };
        OfCa {
            name: name.to_owned(),
            key: key.to_string(),
            now: now.to_string(),
            now_from,
            revocation_lists: self
                .rules
                .lists
                .then(|| revocations.of(key).iter().map(|list| held(list)).collect()),
            problem: revocations.problem(key).map(str::to_owned),
        }
    }

    fn in_store(&self, path: &OsString, nix: &Nix) -> Result<Explanation> {
        let known = nix.path_info(&["--".into(), path.clone()])?;
        let Some(known) = known.into_iter().next() else {
            return Err(Error::new("the store did not answer").help("try 'nix path-info' by hand"));
        };
        let text = known.narinfo.map_err(|problem| {
            Error::new(format!("{}: {problem}", known.path))
                .help("name a path that is there, --store for another store, or a narinfo file")
        })?;
        let narinfo = NarInfo::parse(&text).map_err(Error::new)?;
        let mut explanation = self.explain(&narinfo)?;
        if known.ultimate {
            explanation
                .notes
                .push("it was built in that store, which asks for no signature itself".to_owned());
        }
        // What that store says of it itself: it has it, and judges by the time at which it got it.
        if let (Some(registered), None, false) =
            (known.registered, self.times.registered, explanation.accepted)
        {
            let there = Self {
                trust: self.trust.clone(),
                rules: self.rules,
                now: self.now,
                times: Times::valid_object(self.times.now, registered),
            };
            if there.verdict(&narinfo)?.1.accepted() {
                let at = Instant::from_seconds(registered).map(|at| at.to_string()).unwrap_or_default();
                explanation.notes.push(format!(
                    "in that store it stays good, where it was registered at {at}; to be added elsewhere, it is refused"
                ));
            }
        }
        Ok(explanation)
    }

    fn in_file(&self, file: &Path) -> Result<Vec<Explanation>> {
        let from_stdin = file == Path::new("-");
        let name = if from_stdin { "standard input".to_owned() } else { format!("'{}'", file.display()) };
        let fault = |error: &io::Error| {
            Error::new(format!("cannot read {name}: {}", said(error)))
                .help("name a store path, a narinfo file, or '-' for standard input")
        };
        let reader: Box<dyn BufRead> = match from_stdin {
            true => Box::new(io::stdin().lock()),
            false => Box::new(BufReader::new(File::open(file).map_err(|error| fault(&error))?)),
        };
        let mut explanations = Vec::new();
        for block in Blocks::new(reader) {
            let block = block.map_err(|error| fault(&error))?;
            explanations.push(match block.parse() {
                Ok(narinfo) => self.explain(&narinfo)?,
                Err(problem) => self.malformed(&block, problem),
            });
        }
        if explanations.is_empty() {
            return Err(Error::new("there is nothing to explain: the input is empty")
                .help("a narinfo is what a binary cache serves as HASH.narinfo"));
        }
        Ok(explanations)
    }

    fn verdict(&self, narinfo: &NarInfo) -> Result<(Object, Verdict)> {
        let object = Object::path(narinfo.info.fingerprint().as_bytes()).map_err(Error::new)?;
        let verdict =
            judge(&object, &narinfo.signatures, &self.trust, self.times, &mut ChainCache::default());
        Ok((object, verdict))
    }

    fn explain(&self, narinfo: &NarInfo) -> Result<Explanation> {
        let (object, verdict) = self.verdict(narinfo)?;
        let accepted = verdict.accepted();
        let mut all: Vec<(usize, &String, &Outcome)> = narinfo
            .signatures
            .iter()
            .zip(&verdict.signatures)
            .enumerate()
            .map(|(index, (signature, outcome))| (index + 1, signature, outcome))
            .collect();
        all.sort_by_key(|(_, _, outcome)| Reverse(rank(outcome)));
        let not_shown = all.len().saturating_sub(SHOWN);
        all.truncate(SHOWN);
        all.sort_by_key(|(number, ..)| *number);
        let shown: Vec<&str> = all.iter().map(|(_, signature, _)| signature.as_str()).collect();
        let mut signatures = Vec::new();
        let mut best: Option<(Change, usize)> = None;
        for (number, signature, outcome) in all {
            let refused = matches!(outcome, Outcome::Refused(_));
            let change = refused
                .then(|| derivation::change(number, signature, &object, &shown, &self.trust, self.times));
            let rank = rank(outcome);
            if let Some(change) = &change
                && best.as_ref().is_none_or(|best| is_smaller((change, rank), (&best.0, best.1)))
            {
                best = Some((change.clone(), rank));
            }
            signatures.push(self.explained(number, signature, outcome, &object, change));
        }
        let reason = verdict.reason();
        // Votes that are missing are had from another person, unless a signature that is there can be mended.
        let best = best.map(|(change, _)| change).filter(|change| {
            verdict.missing_votes.is_none() || change.suffices == Some(true) && !change.widens_trust
        });
        Ok(Explanation {
            schema: SCHEMA,
            path: Some(narinfo.info.path.to_string()),
            accepted,
            reason: reason.map(Reason::code),
            message: reason.map(Reason::to_string),
            at: self.now.to_string(),
            clock: self.clock(),
            content_address: narinfo.content_address.as_ref().map(|claim| shorten(claim, 100)),
            notes: Vec::new(),
            signatures,
            not_shown,
            votes: derivation::votes(&object, &narinfo.signatures, &verdict, &self.trust, self.times),
            audited: Audited::all_of(&verdict),
            change: reason.map(|reason| best.unwrap_or_else(|| Change::of_object(reason))),
        })
    }

    fn clock(&self) -> &'static str {
        match self.trust.policy.clock {
            Clock::Exact => "exact",
            Clock::LowerBound => "lower-bound",
        }
    }

    fn malformed(&self, block: &Block, problem: String) -> Explanation {
        Explanation {
            schema: SCHEMA,
            path: block.path_claimed(),
            accepted: false,
            reason: Some("malformed-object"),
            message: Some(problem),
            at: self.now.to_string(),
            clock: self.clock(),
            content_address: None,
            notes: Vec::new(),
            signatures: Vec::new(),
            not_shown: 0,
            votes: Vec::new(),
            audited: Vec::new(),
            change: None,
        }
    }

    fn explained(
        &self,
        number: usize,
        signature: &str,
        outcome: &Outcome,
        object: &Object,
        change: Option<Change>,
    ) -> Explained {
        let chain = derivation::chain(signature);
        let chain: Vec<Certificate<'_>> =
            chain.iter().filter_map(|bytes| Certificate::parse(bytes).ok()).collect();
        let issuer = chain.last().map(|last| last.issuer);
        let authority =
            issuer.and_then(|issuer| Some(self.of_ca(&issuer, self.trust.anchors.name_of(&issuer)?)));
        let now = issuer.map_or(self.now, |issuer| self.now_for(&issuer).0);
        let certificates: Vec<InChain> = chain
            .iter()
            .map(|certificate| {
                let certificate = Description::of_certificate(certificate);
                InChain {
                    standing: certificate.standing(now),
                    trusted_as: self.trusted_as(&certificate.issuer),
                    certificate,
                }
            })
            .collect();
        let labels: Vec<String> =
            certificates.iter().map(|in_chain| in_chain.certificate.label.clone()).collect();
        let reason = match outcome {
            Outcome::Counted(_) => None,
            Outcome::Refused(reason) => Some(reason),
        };
        // A signature that is refused before anything was read may have any name.
        let name = match outcome {
            Outcome::Counted(Signer::Plain { name, .. }) => shorten(name, 60),
            _ => shorten(signature.split(':').next().unwrap_or_default(), 60),
        };
        Explained {
            number,
            name,
            counts: reason.is_none(),
            reason: reason.map(Reason::code),
            message: reason.map(Reason::to_string),
            steps: derivation::steps(
                signature,
                outcome,
                &labels,
                self.rules,
                &derivation::audited(signature, object, &self.trust, self.times),
            ),
            certificates,
            authority,
            change,
        }
    }

    fn trusted_as(&self, issuer: &str) -> Option<String> {
        let key = PublicKey(base64_decode(issuer.as_bytes())?.try_into().ok()?);
        self.trust.anchors.name_of(&key).map(str::to_owned)
    }
}

/// How far a signature came; all the way, if it counts.
fn rank(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Counted(_) => usize::MAX,
        Outcome::Refused(reason) => reason.rank(),
    }
}

/// Trusting another CA comes last. Else what was tried out and suffices comes before what was not; then fewer steps; then
/// what came further.
fn is_smaller(one: (&Change, usize), other: (&Change, usize)) -> bool {
    let order = |(change, rank): (&Change, usize)| {
        (change.widens_trust, change.suffices != Some(true), change.steps.len(), Reverse(rank))
    };
    order(one) < order(other)
}

impl Explanation {
    fn show(&self) -> Result<()> {
        let mut out = anstream::stdout().lock();
        let path = printable(self.path.as_deref().unwrap_or("(a narinfo that does not say which path)"));
        match self.reason {
            None => writeln!(out, "{ACCEPTED}accepted{ACCEPTED:#}  {path}")?,
            Some(reason) => writeln!(out, "{REFUSED}refused{REFUSED:#}   {path}: {reason}")?,
        }
        if let Some(message) = &self.message {
            writeln!(out, "  {}", printable(message))?;
        }
        match self.clock {
            "exact" => writeln!(out, "  judged at {}", self.at)?,
            _ => writeln!(
                out,
                "  judged at {}, which the policy takes for a lower bound: it may be later",
                self.at
            )?,
        }
        for signature in &self.signatures {
            signature.show(&mut out)?;
        }
        if self.not_shown > 0 {
            writeln!(out, "{NOTE}note:{NOTE:#} {} more signatures, which came no further", self.not_shown)?;
        }
        for votes in &self.votes {
            let names = printable(&votes.pattern);
            let message = printable(&votes.message);
            writeln!(out, "votes for names like {names}: {} {message}", in_words(votes.status).trim_end())?;
        }
        for audited in &self.audited {
            writeln!(out, "{NOTE}note:{NOTE:#} {}", printable(&audited.note()))?;
        }
        if let Some(claim) = &self.content_address {
            writeln!(
                out,
                "{NOTE}note:{NOTE:#} it claims to be content-addressed ({}), which was not checked",
                printable(claim)
            )?;
        }
        for note in &self.notes {
            writeln!(out, "{NOTE}note:{NOTE:#} {}", printable(note))?;
        }
        if let Some(change) = &self.change {
            let of = change.signature.map(|number| format!(" (signature {number})")).unwrap_or_default();
            writeln!(out, "{HELP}smallest change{of}:{HELP:#}")?;
            show_change(change, "  ", &mut out)?;
        }
        Ok(())
    }
}

impl Explained {
    fn show(&self, out: &mut impl Write) -> Result<()> {
        let verdict = match self.reason {
            None => format!("{ACCEPTED}counts{ACCEPTED:#}"),
            Some(reason) => format!("{REFUSED}{reason}{REFUSED:#}"),
        };
        writeln!(out, "signature {}, {}: {verdict}", self.number, printable(&self.name))?;
        for (position, in_chain) in self.certificates.iter().enumerate() {
            let Description {
                label,
                serial,
                usages,
                permitted_names,
                excluded_names,
                hosts,
                store_directories,
                ..
            } = &in_chain.certificate;
            let kind = if position == 0 { "certificate " } else { "intermediate" };
            let serial = serial.as_deref().unwrap_or_default();
            writeln!(out, "  {kind} {label} {serial}: {}", in_chain.standing)?;
            let but_not = if excluded_names.is_empty() {
                String::new()
            } else {
                format!(" but not {}", excluded_names.join(" "))
            };
            let mut limits = format!(
                "{}; packages {}{but_not}; hosts {}",
                usages.join(" "),
                permitted_names.join(" "),
                hosts.join(" ")
            );
            if store_directories.iter().any(|directory| directory != "/nix/store") {
                limits.push_str(&format!("; store {}", store_directories.join(" ")));
            }
            writeln!(out, "    {}", printable(&limits))?;
            if let (Some(name), true) = (&in_chain.trusted_as, position + 1 == self.certificates.len()) {
                writeln!(out, "  trusted CA   {}", printable(name))?;
            }
        }
        if let Some(authority) = &self.authority {
            authority.show(out)?;
        }
        let width = self.steps.iter().map(|step| step.rule.len()).max().unwrap_or_default();
        for Step { rule, status, message, .. } in &self.steps {
            writeln!(out, "  {}  {rule:width$}  {}", in_words(*status), printable(message))?;
        }
        Ok(())
    }
}

/// What became of a rule, in a column.
fn in_words(status: Status) -> String {
    match status {
        Status::Ok => format!("{ACCEPTED}ok{ACCEPTED:#}         "),
        Status::Audited => format!("{NOTE}audit{NOTE:#}      "),
        Status::Failed => format!("{REFUSED}FAILED{REFUSED:#}     "),
        Status::NotReached => "not reached".to_owned(),
    }
}

impl OfCa {
    fn show(&self, out: &mut impl Write) -> Result<()> {
        match self.now_from {
            "clock" => {}
            "earliest-time" => writeln!(
                out,
                "    the time for it is {}, the policy's earliest-time: the clock is behind",
                self.now
            )?,
            _ => writeln!(
                out,
                "    the time for it is {}, that of its newest revocation list: the clock is behind",
                self.now
            )?,
        }
        for list in self.revocation_lists.iter().flatten() {
            let ListHeld { delegate, issued, age, entries, signer_revoked, .. } = list;
            let signer = delegate
                .as_ref()
                .map_or_else(|| "the CA".to_owned(), |label| format!("its delegate '{label}'"));
            let age = match age.as_deref() {
                None => "of a time to come".to_owned(),
                Some("no time") => "just now".to_owned(),
                Some(age) => format!("{age} ago"),
            };
            let entries = if *entries == 1 { "1 entry".to_owned() } else { format!("{entries} entries") };
            let retired = if *signer_revoked { "; the CA has retired that delegate" } else { "" };
            writeln!(
                out,
                "    revocation list by {}, issued {issued} ({age}): {entries}{retired}",
                printable(&signer)
            )?;
        }
        if self.revocation_lists.as_ref().is_some_and(Vec::is_empty) && self.problem.is_none() {
            writeln!(out, "    no revocation list of it is held")?;
        }
        if let Some(problem) = &self.problem {
            writeln!(out, "    a revocation list of it cannot be used: {}", printable(problem))?;
        }
        Ok(())
    }
}

fn show_change(change: &Change, indent: &str, out: &mut impl Write) -> Result<()> {
    for (index, step) in change.steps.iter().enumerate() {
        writeln!(out, "{indent}{}. {}", index + 1, printable(step))?;
    }
    match change.suffices {
        Some(true) => writeln!(out, "{indent}(tried out: with that, it is accepted)")?,
        Some(false) | None => writeln!(out, "{indent}(not tried out: ask again when it is done)")?,
    }
    Ok(())
}
