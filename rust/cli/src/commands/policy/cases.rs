//! `nixcert policy test`: what a host would make of signatures that nobody has made yet.

use crate::derivation::rule_in_policy;
use crate::error::{Answer, Error, Result};
use crate::input::{self, LINE_BYTES};
use crate::output::{self, ACCEPTED, HELP, REFUSED, SCHEMA, printable, shorten};
use crate::time::{Time, WhenArgs};
use crate::trust::{self, Loaded, TrustArgs};
use nixcert_core::{
    Instant, ObjectKind, Reason, Rehearsal, StorePath, Times, Trust, is_certificate_name, rehearse,
};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::{Path, PathBuf};
use toml::Spanned;
use zeroize::Zeroizing;

/// Try a policy out: a table of who signs what and when, and what a host must make of it
///
/// Each case names a store path or its name, who signs it, and what is expected: accepted, or a reason code. Who signs is
/// named by certificate files (what 'nixcert issue' wrote), and plain keys by their names in trusted-public-keys. Everything is
/// judged as the daemon does (certificates, chain, validity, constraints, revocation lists, policy, votes), but for one thing:
/// that each signs with the key of the certificate is taken for granted. So no secret key and no package is needed.
#[derive(clap::Args)]
#[command(after_help = "\
Cases, in a file such as cases.toml (files are looked for beside it):
  [[case]]
  name = \"two people for the kernel\"
  path = \"linux-6.12\"                       # or a whole store path
  signed-by = [\"alice.cert\", \"bob.cert\"]
  at = \"2027-01-31\"                         # else --at, else now
  expect = \"accepted\"

  [[case]]
  name = \"not one alone\"
  path = \"linux-6.12\"
  signed-by = [\"alice.cert\"]
  at = \"2027-01-31\"
  expect = \"too-few-votes\"

  [[case]]
  name = \"the vendor may always\"
  path = \"sudo-1.9.17\"
  plain-keys = [\"cache.nixos.org-1\"]
  expect = \"accepted\"

A case may also have: registered = TIME (it is in the store already, since then), kind = \"realisation\", and
audited = [REASON, …] (what audit mode lets pass).

Examples:
  nixcert policy test cases.toml --nix-conf web-1.conf --policy new-policy.toml
  nixcert policy test cases.toml --trusted-ca-keys \"$(cat acme-ca/ca.pub)\" --policy policy.toml --json

Without --nix-conf and trusted keys, /etc/nix/nix.conf of this machine decides.

Exit status: 0 all is as expected; 1 something is not; 2 a case, a certificate file or the policy could not be read.")]
pub(crate) struct TestArgs {
    /// The cases; '-' is standard input
    #[arg(value_name = "CASES.toml")]
    cases: PathBuf,
    #[command(flatten)]
    trust: TrustArgs,
    #[command(flatten)]
    when: WhenArgs,
    /// Print JSON: one object for each case and line
    #[arg(long)]
    json: bool,
}

/// Nobody's is longer.
const CASES_BYTES: u64 = 4 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Spanned<Case>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    name: Option<String>,
    path: PathOrName,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    signed_by: Vec<PathBuf>,
    #[serde(default)]
    plain_keys: Vec<String>,
    at: Option<When>,
    registered: Option<When>,
    expect: Expected,
    audited: Option<Vec<Code>>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Path,
    Realisation,
}

/// A store path. Where only a name was given, its hash is made up: nothing is decided by it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct PathOrName {
    path: StorePath,
    shown: String,
}

impl TryFrom<String> for PathOrName {
    type Error = String;

    fn try_from(shown: String) -> std::result::Result<Self, String> {
        let path = match shown.contains('/') {
            true => StorePath::parse(&shown),
            false => StorePath::in_directory("/nix/store", &format!("{}-{shown}", "0".repeat(32))),
        };
        let path = path
            .map_err(|_| format!("'{}' is neither a store path nor the name of one", shorten(&shown, 300)))?;
        Ok(Self { path, shown })
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct When(Time);

impl TryFrom<String> for When {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse().map(Self).map_err(|error| format!("'{}' is not a time: {error}", shorten(&text, 60)))
    }
}

/// A reason code, by its place among all of them.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
struct Code(usize);

impl Code {
    fn name(self) -> &'static str {
        Reason::CODES.get(self.0).copied().unwrap_or_default()
    }
}

impl TryFrom<String> for Code {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let known = Reason::CODES.iter().position(|code| *code == text);
        known.map(Self).ok_or_else(|| {
            format!(
                "'{}' is not a reason code, such as too-few-votes (FORMAT.md, section 8)",
                shorten(&text, 60)
            )
        })
    }
}

/// The reason code of a refusal, or none.
#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(try_from = "String")]
struct Expected(Option<Code>);

impl TryFrom<String> for Expected {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        if text == ACCEPTED_WORD {
            return Ok(Self(None));
        }
        Code::try_from(text)
            .map(|code| Self(Some(code)))
            .map_err(|error| format!("{error}; nor is it \"{ACCEPTED_WORD}\""))
    }
}

const ACCEPTED_WORD: &str = "accepted";

impl Expected {
    fn word(self) -> &'static str {
        self.0.map_or(ACCEPTED_WORD, Code::name)
    }
}

/// What came of a case, as `--json` prints it.
#[derive(Serialize)]
struct Tried {
    schema: u32,
    case: String,
    /// Where it begins in the file.
    line: usize,
    path: String,
    /// When it was judged: what the clock is taken to say.
    at: String,
    as_expected: bool,
    /// accepted, or a reason code.
    expected: &'static str,
    /// accepted, or a reason code.
    got: &'static str,
    message: Option<String>,
    /// What audit mode let pass, by reason code.
    audited: Vec<&'static str>,
    /// What was expected of that; null if nothing was said.
    audited_expected: Option<Vec<&'static str>>,
    signers: Vec<Signer>,
    #[serde(skip)]
    audited_rules: Vec<String>,
    #[serde(skip)]
    help: Option<&'static str>,
}

#[derive(Serialize)]
struct Signer {
    /// The file, or the plain key's name.
    name: String,
    /// The reason code; null when it would count.
    reason: Option<&'static str>,
    message: Option<String>,
}

pub(crate) fn run(args: &TestArgs) -> Result {
    let cases = read(&args.cases)?;
    let loaded = args.trust.load_or_this_machine()?;
    trust::require(&loaded)?;
    let Loaded { trust, .. } = loaded;
    let (now, times) = args.when.resolve()?;
    let mut results = Vec::new();
    for (line, case) in &cases {
        let result = try_out(case, *line, nixcert_files::parent(&args.cases), &trust, (now, times));
        results.push(result.map_err(|error| error.about(&format!("the case at line {line}")))?);
    }
    for result in &results {
        if args.json {
            output::json(result)?;
        } else {
            result.show()?;
        }
    }
    let good = results.iter().filter(|result| result.as_expected).count();
    if !args.json {
        output::note(format_args!("{good} of {} as expected", results.len()));
    }
    Ok(if good == results.len() { Answer::Yes } else { Answer::No })
}

/// The cases, and the lines where they begin.
fn read(path: &Path) -> Result<Vec<(usize, Case)>> {
    let fault = |problem: String| Error::new(format!("'{}': {problem}", path.display()));
    let text = String::from_utf8(input::bytes(path, CASES_BYTES)?)
        .map_err(|_| fault("it is not text (UTF-8)".to_owned()).help(HELP_CASES))?;
    let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    let file: File = toml::from_str(&text).map_err(|error| {
        let at = error.span().map(|span| format!("line {}: ", line(span.start))).unwrap_or_default();
        let fault = fault(format!("{at}{}", error.message().trim_end().replace('\n', ", ")));
        if error.message().ends_with("expected `case`") {
            fault.help("this looks like a policy: name the cases first, and the policy with --policy")
        } else {
            fault.help(HELP_CASES)
        }
    })?;
    if file.case.is_empty() {
        return Err(fault("there is no case in it".to_owned()).help(HELP_CASES));
    }
    Ok(file.case.into_iter().map(|case| (line(case.span().start), case.into_inner())).collect())
}

const HELP_CASES: &str = "'nixcert policy test --help' shows what cases look like";

fn try_out(
    case: &Case,
    line: usize,
    beside: &Path,
    trust: &Trust,
    default: (Instant, Times),
) -> Result<Tried> {
    let (now, times) = default;
    let resolve = |time: Option<When>| time.map(|time| time.0.resolve(now)).transpose().map_err(Error::new);
    let at = resolve(case.at)?.unwrap_or(now);
    let registered = resolve(case.registered)?.map(Instant::seconds).or(times.registered);
    let files: Vec<String> = case.signed_by.iter().map(|file| file.display().to_string()).collect();
    let mut names = Vec::new();
    for file in &case.signed_by {
        names.push(certificate_name(&if beside == Path::new(".") {
            file.clone()
        } else {
            beside.join(file)
        })?);
    }
    names.extend(case.plain_keys.iter().cloned());
    let kind = match case.kind {
        Kind::Path => ObjectKind::Path,
        Kind::Realisation => ObjectKind::Realisation,
    };
    let rehearsal = rehearse(kind, &case.path.path, &names, trust, Times { now: at.seconds(), registered });
    let shown = files.into_iter().chain(case.plain_keys.iter().map(|name| shorten(name, 100)));
    Ok(Tried::new(case, line, at, &rehearsal, shown))
}

/// The name in a certificate file; or in a key file, of which nothing else is kept.
fn certificate_name(path: &Path) -> Result<String> {
    let bytes = Zeroizing::new(input::bytes(path, LINE_BYTES)?);
    let name = bytes.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
    if !is_certificate_name(name) {
        return Err(Error::new(format!("'{}' is not a certificate file", path.display()))
            .help("name the file that 'nixcert issue -o' wrote; a plain key's name goes into plain-keys"));
    }
    String::from_utf8(name.to_vec()).map_err(|_| Error::new(format!("'{}' is not text", path.display())))
}

impl Tried {
    fn new(
        case: &Case,
        line: usize,
        at: Instant,
        rehearsal: &Rehearsal,
        names: impl Iterator<Item = String>,
    ) -> Self {
        let got = Expected(rehearsal.reason().map(|reason| Code(reason.rank())));
        let codes = |reasons: &[Reason]| {
            let mut codes: Vec<&'static str> = reasons.iter().map(Reason::code).collect();
            codes.sort_unstable();
            codes.dedup();
            codes
        };
        let audited = codes(rehearsal.audited());
        let audited_expected = case.audited.as_ref().map(|expected| {
            let mut expected: Vec<&'static str> = expected.iter().map(|code| code.name()).collect();
            expected.sort_unstable();
            expected.dedup();
            expected
        });
        let signer = |(name, reason): (String, Option<&Reason>)| Signer {
            name,
            reason: reason.map(Reason::code),
            message: reason.map(Reason::to_string),
        };
        Self {
            schema: SCHEMA,
            case: case.name.clone().unwrap_or_else(|| case.path.shown.clone()),
            line,
            path: case.path.shown.clone(),
            at: at.to_string(),
            as_expected: got == case.expect
                && audited_expected.as_ref().is_none_or(|expected| *expected == audited),
            expected: case.expect.word(),
            got: got.word(),
            message: rehearsal.reason().map(Reason::to_string),
            audited,
            audited_expected,
            signers: names.zip(rehearsal.refusals()).map(signer).collect(),
            audited_rules: rehearsal.audited().iter().map(rule_in_policy).collect(),
            help: rehearsal.reason().map(Reason::advice),
        }
    }

    fn show(&self) -> Result<()> {
        let mut out = anstream::stdout().lock();
        let Self { case, got, expected, .. } = self;
        let case = printable(case);
        if self.as_expected {
            return Ok(writeln!(out, "{ACCEPTED}ok{ACCEPTED:#}      {case}: {got}{}", self.by_audit())?);
        }
        let not = if got == expected { String::new() } else { format!(", not {expected}") };
        let by_audit = self.by_audit();
        writeln!(out, "{REFUSED}FAILED{REFUSED:#}  {case} (line {}): {got}{by_audit}{not}", self.line)?;
        if let Some(wanted) = self.audited_expected.as_ref().filter(|wanted| **wanted != self.audited) {
            let wanted = if wanted.is_empty() { "nothing".to_owned() } else { wanted.join(", ") };
            writeln!(out, "  audit mode was expected to let pass: {wanted}")?;
        }
        writeln!(out, "  {} at {}", printable(&self.path), self.at)?;
        // What one of the signers has is said there.
        let of_signer =
            |message: &&String| self.signers.iter().any(|signer| signer.message.as_ref() == Some(*message));
        if let Some(message) = self.message.as_ref().filter(|message| !of_signer(message)) {
            writeln!(out, "  {}", printable(message))?;
        }
        for Signer { name, message, .. } in &self.signers {
            let message = message.as_deref().unwrap_or("would count");
            writeln!(out, "  {}: {}", printable(name), printable(message))?;
        }
        if let Some(help) = self.help {
            writeln!(out, "  {HELP}help:{HELP:#} {help}")?;
        }
        Ok(())
    }

    fn by_audit(&self) -> String {
        if self.audited.is_empty() {
            return String::new();
        }
        format!(" (by audit mode of {}: {})", self.audited_rules.join(", "), self.audited.join(", "))
    }
}
