//! `nixcert verify`: judge narinfos as a host would.

use crate::derivation::Audited;
use crate::error::{Answer, Error, Result};
use crate::narinfos::{Block, Blocks};
use crate::output::{self, ACCEPTED, HELP, NOTE, REFUSED, SCHEMA, printable, shorten};
use crate::time::WhenArgs;
use crate::trust::{self, TrustArgs};
use indicatif::{ProgressBar, ProgressStyle};
use nixcert_core::{ChainCache, NarInfo, Object, Outcome, Reason, Signer, Times, Trust, Verdict, judge};
use nixcert_files::said;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Judge the signatures of narinfos, as a host would
///
/// Reads narinfo files, each with one narinfo or many between blank lines, and says of each whether a host with this trust
/// would let it in, and why not: with the policy and the revocation lists that this host has, or those that are named.
/// Signatures alone are judged: a 'CA:' field, a claim to be content-addressed, is noted and not believed; the NAR itself is
/// not looked at.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert verify --trusted-ca-keys acme-2026-1:s6vX…= result.narinfo
  nixcert verify --nix-conf /etc/nix/nix.conf --host web-1 - < many.narinfo
  nixcert verify --nix-conf /etc/nix/nix.conf --at 2027-01-31 --json *.narinfo | jq 'select(.accepted | not)'
  nixcert verify --nix-conf web-1.conf --policy web-1.toml --revocation-lists web-1-lists some.narinfo

--at sets the clock. What proves that it is later counts all the same: the policy's earliest-time, and revocation lists.

Exit status: 0 all are accepted; 1 something is refused (a narinfo that cannot be read as one is refused too, as
malformed-object); 2 could not tell: no trusted key, a file that cannot be read, or nothing to judge.")]
pub(crate) struct VerifyArgs {
    /// Files of narinfos; '-' is standard input, which is read if there are none
    files: Vec<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    when: WhenArgs,
    /// Print one JSON object for each narinfo and line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: VerifyArgs) -> Result {
    let loaded = args.trust.load()?;
    trust::require(&loaded)?;
    let (_, times) = args.when.resolve()?;
    let mut run = Run {
        trust: loaded.trust,
        times,
        json: args.json,
        cache: ChainCache::default(),
        counts: Counts::default(),
        progress: progress(),
    };
    let mut unreadable = false;
    for path in &files(&args)? {
        if let Err(error) = run.file(path) {
            // The others can be judged all the same; the answer is then "could not tell".
            run.progress.suspend(|| error.report());
            unreadable = true;
        }
    }
    run.progress.finish_and_clear();
    let Counts { accepted, refused } = run.counts;
    if accepted + refused > 1 && !args.json {
        output::note(format_args!("{accepted} accepted, {refused} refused"));
    }
    match (unreadable, accepted, refused) {
        (true, ..) => Ok(Answer::CouldNotTell),
        (false, 0, 0) => Err(Error::new("there is nothing to judge: the input is empty")
            .help("a narinfo is what a binary cache serves as HASH.narinfo")),
        (false, _, 0) => Ok(Answer::Yes),
        (false, ..) => Ok(Answer::No),
    }
}

fn files(args: &VerifyArgs) -> Result<Vec<PathBuf>> {
    if !args.files.is_empty() {
        Ok(args.files.clone())
    } else if io::stdin().is_terminal() {
        Err(Error::new("no narinfo was named").help("name files, or pipe narinfos into it"))
    } else {
        Ok(vec![PathBuf::from("-")])
    }
}

/// Drawn only where somebody watches and the verdicts go elsewhere, and not in the first second.
fn progress() -> ProgressBar {
    if !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

#[derive(Default)]
struct Counts {
    accepted: u64,
    refused: u64,
}

struct Run {
    trust: Trust,
    times: Times,
    json: bool,
    cache: ChainCache,
    counts: Counts,
    progress: ProgressBar,
}

impl Run {
    fn file(&mut self, path: &Path) -> Result<()> {
        let name = if path == Path::new("-") {
            "standard input".to_owned()
        } else {
            format!("'{}'", path.display())
        };
        let fault = |error: &io::Error| {
            Error::new(format!("cannot read {name}: {}", said(error)))
                .help("the other files are judged all the same; the answer is 'could not tell'")
        };
        let reader: Box<dyn BufRead> = match path == Path::new("-") {
            true => Box::new(io::stdin().lock()),
            false => Box::new(BufReader::new(File::open(path).map_err(|error| fault(&error))?)),
        };
        for block in Blocks::new(reader) {
            let mut judged = self.judge(&block.map_err(|error| fault(&error))?);
            judged.file = (path != Path::new("-")).then(|| path.display().to_string());
            self.show(&judged, &name)?;
            if judged.reason.is_none() {
                self.counts.accepted += 1;
            } else {
                self.counts.refused += 1;
            }
            self.progress.set_message(format!(
                "{} judged, {} refused",
                self.counts.accepted + self.counts.refused,
                self.counts.refused
            ));
        }
        Ok(())
    }

    fn judge(&mut self, block: &Block) -> Judged {
        let parsed = block.parse().and_then(|narinfo| {
            let object =
                Object::path(narinfo.info.fingerprint().as_bytes()).map_err(|error| error.to_string())?;
            Ok((narinfo, object))
        });
        match parsed {
            Ok((narinfo, object)) => {
                let verdict = judge(&object, &narinfo.signatures, &self.trust, self.times, &mut self.cache);
                Judged::of_verdict(block.line, &narinfo, &verdict)
            }
            Err(problem) => Judged::malformed(block, problem),
        }
    }

    fn show(&self, judged: &Judged, file: &str) -> Result<()> {
        if self.json {
            return output::json(judged);
        }
        let mut stdout = anstream::stdout().lock();
        let unknown = format!("(the narinfo at line {} of {file})", judged.line);
        let path = printable(judged.path.as_deref().unwrap_or(&unknown));
        match &judged.reason {
            None => writeln!(stdout, "{ACCEPTED}accepted{ACCEPTED:#}  {path}")?,
            Some(reason) => writeln!(stdout, "{REFUSED}refused{REFUSED:#}   {path}: {reason}")?,
        }
        if let Some(message) = &judged.message {
            writeln!(stdout, "  {}", printable(message))?;
        }
        // Of what is refused, these are votes, and too few.
        let signed = if judged.reason.is_none() { "signed by" } else { "a signature that counts:" };
        for signer in judged.signers() {
            writeln!(stdout, "  {signed} {}", printable(&signer))?;
        }
        if let Some(help) = judged.help {
            writeln!(stdout, "  {HELP}help:{HELP:#} {help}")?;
        }
        let refused = judged.signatures.iter().filter(|signature| signature.signer.is_none()).count();
        if judged.reason.is_some() && refused > 0 && judged.signatures.len() > 1 {
            let all = judged.signatures.len();
            let which = if refused == all {
                format!("{all} signatures, none of which counts")
            } else {
                format!("{all} signatures, of which {refused} do not count")
            };
            writeln!(stdout, "  {which}: {}", judged.tally())?;
        }
        for audited in &judged.audited {
            writeln!(stdout, "  {NOTE}note:{NOTE:#} {}", printable(&audited.note()))?;
        }
        if let Some(claim) = &judged.content_address {
            writeln!(
                stdout,
                "  {NOTE}note:{NOTE:#} it claims to be content-addressed ({claim}), which was not checked"
            )?;
        }
        Ok(())
    }
}

/// A verdict as `--json` prints it.
#[derive(Serialize)]
struct Judged {
    schema: u32,
    /// Null where the narinfo does not say.
    path: Option<String>,
    accepted: bool,
    /// The reason code; null when accepted.
    reason: Option<&'static str>,
    message: Option<String>,
    /// Where it was read; null for standard input.
    file: Option<String>,
    /// Where in its file the narinfo begins.
    line: u64,
    /// The `CA` field. Noted, not believed.
    content_address: Option<String>,
    /// What would have refused it, were it not in audit mode.
    audited: Vec<Audited>,
    /// Those that count have a signer. Where votes are missing, they are refused all the same.
    signatures: Vec<Signature>,
    #[serde(skip)]
    help: Option<&'static str>,
}

#[derive(Serialize)]
struct Signature {
    /// What stands before the colon, shortened.
    name: String,
    /// The reason code; null when it counts.
    reason: Option<&'static str>,
    message: Option<String>,
    /// Null when it does not count.
    signer: Option<SignedBy>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum SignedBy {
    Plain { name: String, key: String },
    Certified { label: String, serial: String, authority: String, key: String },
}

impl Judged {
    fn of_verdict(line: u64, narinfo: &NarInfo, verdict: &Verdict) -> Self {
        let signatures = narinfo.signatures.iter().zip(&verdict.signatures);
        Self {
            schema: SCHEMA,
            path: Some(narinfo.info.path.to_string()),
            accepted: verdict.accepted(),
            reason: verdict.reason().map(Reason::code),
            message: verdict.reason().map(Reason::to_string),
            file: None,
            line,
            content_address: narinfo.content_address.as_ref().map(|claim| shorten(claim, 100)),
            audited: Audited::all_of(verdict),
            signatures: signatures.map(|(signature, outcome)| Signature::new(signature, outcome)).collect(),
            help: verdict.reason().map(Reason::advice),
        }
    }

    fn malformed(block: &Block, problem: String) -> Self {
        Self {
            schema: SCHEMA,
            path: block.path_claimed(),
            accepted: false,
            reason: Some("malformed-object"),
            message: Some(problem),
            file: None,
            line: block.line,
            content_address: None,
            audited: Vec::new(),
            signatures: Vec::new(),
            help: None,
        }
    }

    /// Who signed: each once.
    fn signers(&self) -> Vec<String> {
        let mut signers: Vec<String> = Vec::new();
        for signer in self.signatures.iter().filter_map(|signature| signature.signer.as_ref()) {
            let text = match signer {
                SignedBy::Plain { name, .. } => format!("{} (trusted public key)", shorten(name, 100)),
                SignedBy::Certified { label, serial, authority, .. } => {
                    format!("{label} (certificate {serial}, CA {authority})")
                }
            };
            if !signers.contains(&text) {
                signers.push(text);
            }
        }
        signers
    }

    /// How many signatures have which reason.
    fn tally(&self) -> String {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in self.signatures.iter().filter_map(|signature| signature.reason) {
            *counts.entry(reason).or_default() += 1;
        }
        let parts: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.join(", ")
    }
}

impl Signature {
    fn new(signature: &str, outcome: &Outcome) -> Self {
        let name = shorten(signature.split(':').next().unwrap_or_default(), 60);
        match outcome {
            Outcome::Counted(signer) => {
                Self { name, reason: None, message: None, signer: Some(signer.into()) }
            }
            Outcome::Refused(reason) => {
                Self { name, reason: Some(reason.code()), message: Some(reason.to_string()), signer: None }
            }
        }
    }
}

impl From<&Signer> for SignedBy {
    fn from(signer: &Signer) -> Self {
        match signer {
            Signer::Plain { name, key } => Self::Plain { name: shorten(name, 100), key: key.to_string() },
            Signer::Certified { key, label, serial, authority } => Self::Certified {
                label: label.clone(),
                serial: serial.to_string(),
                authority: authority.clone(),
                key: key.to_string(),
            },
        }
    }
}
