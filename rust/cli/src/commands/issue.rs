//! `nixcert issue`: certify the key of a request, or renew what was issued.

use crate::commands::ca::unlock;
use crate::commands::renew::{self, RenewArgs};
use crate::describe::Description;
use crate::error::{Answer, Error, Result};
use crate::input;
use crate::output::{self, Destination};
use crate::passphrase::PassphraseArgs;
use crate::time::{self, Time};
use nixcert_core::{
    Certificate, HostPattern, Instant, Label, NamePattern, Request, RequestError, Serial, Usage,
};
use nixcert_files::Access;
use nixcert_issue::{Ca, CaKind, Draft, Issuance, LabelPolicy, Record, label_from};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// How long a certificate is valid unless someone says otherwise: long enough to forget renewing, short enough that a
/// lost key is no lasting harm.
const DEFAULT_VALIDITY: &str = "90d";

/// Hosts whose clocks are a little behind accept a new certificate at once.
const BACKDATED: &str = "-5m";

/// In seconds.
const A_DAY: u64 = 86_400;

/// Certify the key of a request, or renew certificates
///
/// Shows what will be signed, asks, signs, writes it to the CA's log, and hands the certificate out, in this order.
/// What a certificate permits is always spelled out: '*' is everything, and nothing is everything by default.
///
/// With --renew, no request is needed: key, label, usages and limits are those of the certificate in the CA's log; serial
/// and validity are new. What was signed with the old certificate need not be signed again: 'nixcert rewrap' puts the
/// new one on it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert issue --ca acme-ca alice.request --permit '*' --host '*' -o alice.cert
  nixcert issue --ca acme-ca ci.request --valid 1y --permit hello@,'acme-*' \\
    --exclude '*-unwrapped' --host 'web-?.example.org' -o ci.cert
  nixcert issue --ca acme-ca team-a/ca.request --usage issue,import-paths \\
    --permit 'team-a-*' --host '*' --valid 2027-12-31 -o team-a.cert
  nixcert issue --ca acme-ca --renew --label alice -o alice.cert
  nixcert issue --ca acme-ca --renew --ending-within 14d -o certs/   # certs/LABEL.cert for each; asks once

Name patterns: 'hello@' is the package hello in any version, as Nix splits names;
'*' and '?' are wildcards over the whole name after the hash (hello-2.12);
anything else is one name. Host patterns have '*' and '?' too.

Usages: import-paths, import-realisations, vouch-for-systems, issue, revoke.

A renewal begins five minutes before it is issued, not where the old certificate began: objects are judged by a
certificate that is valid now, or was when they were registered. An interrupted --renew can be repeated: what was
signed already is handed out from the log, and nothing is signed twice unless --anyway says so.

Exit status: 0 issued, 1 refused or declined, 2 could not be done.")]
pub(crate) struct IssueArgs {
    /// The request; '-' is standard input
    #[arg(required_unless_present = "renew")]
    request: Option<PathBuf>,
    /// The directory of the CA
    #[arg(long, value_name = "DIR")]
    pub(crate) ca: PathBuf,
    /// How long, or until when, it is valid: 90d, +52w, 2027-01-31, 2027-01-31T12:00:00Z. A span counts from --not-before,
    /// so it is what a host's policy calls its validity [default: 90d, or until the intermediate CA's own end; of a
    /// renewal, as long as before]
    #[arg(long, visible_alias = "not-after", value_name = "TIME")]
    pub(crate) valid: Option<Time>,
    /// From when it is valid [default: five minutes ago, for hosts whose clocks are behind; now, if it is valid for less
    /// than a day]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) not_before: Option<Time>,
    /// What the key may be used for
    #[arg(long, value_name = "USAGE", value_delimiter = ',', default_value = "import-paths", value_parser = usage)]
    usage: Vec<Usage>,
    /// A package or name that may be signed; '*' is every one [required]
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = name_pattern)]
    permit: Vec<String>,
    /// A package or name that may not be signed, though it is permitted
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = name_pattern)]
    exclude: Vec<String>,
    /// A host that may accept it (its ca-host-name); '*' is every one [required]
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = host_pattern)]
    host: Vec<String>,
    /// A store directory it is for [default: /nix/store]
    #[arg(long, value_name = "DIR")]
    store_dir: Vec<String>,
    /// With the usage 'issue': how many further intermediate CAs may stand below this one [default: 0]
    #[arg(long, value_name = "N")]
    path_length: Option<u8>,
    /// Another label than the one that was asked for; with --renew, whose certificate is renewed
    #[arg(long, value_delimiter = ',')]
    pub(crate) label: Vec<String>,
    /// The label was certified for another key before: this is the same person with a new one
    #[arg(long)]
    replace_key: bool,
    /// Issue it though it has expired already
    #[arg(long)]
    allow_expired: bool,
    #[command(flatten)]
    pub(crate) renewal: RenewArgs,
    /// Write the certificate here; with --renew also a directory, for LABEL.cert [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Show what would be signed, and stop
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) passphrase: PassphraseArgs,
}

pub(crate) fn run(args: IssueArgs) -> Result {
    match &args.request {
        Some(path) => certify(&args, path),
        None => renew::run(&args),
    }
}

fn certify(args: &IssueArgs, path: &Path) -> Result {
    let destination = Destination::new(args.output.as_deref(), Access::Public, args.force)?;
    spelled_out(args)?;
    let request = read_request(path)?;
    let ca = Ca::open(&args.ca)?;
    let now = time::now()?;
    let draft = draft(args, &request, &ca, now)?;
    let labels = if args.replace_key { LabelPolicy::ReplaceKey } else { LabelPolicy::OneKey };

    let issuance = Issuance::begin(&ca, || output::note("waiting for another nixcert that uses this CA"))?;
    issuance.check(&draft, labels)?;
    show(&draft, &ca, issuance.records())?;
    if args.dry_run {
        output::note("nothing was signed (--dry-run)");
        return Ok(Answer::Yes);
    }
    confirm(args.yes)?;
    let key = unlock(&ca, &args.passphrase)?;
    let name = issuance.sign(&draft, labels, &key, now)?;

    let line = format!("{name}\n");
    destination.write(line.as_bytes()).map_err(|error| {
        let serial = serial_of(&name);
        error.help(format!(
            "the certificate was issued and is in the log; get it with 'nixcert ca log {} --serial {serial} --certificate'",
            ca.path().display()
        ))
    })?;
    let written = destination.path().map(|path| format!(" into '{}'", path.display())).unwrap_or_default();
    output::note(format_args!("issued serial {}{written}", serial_of(&name)));
    Ok(Answer::Yes)
}

/// "An absent or empty constraint must never mean everything": the person who issues writes `*`.
fn spelled_out(args: &IssueArgs) -> Result<()> {
    let missing = |what, flag, every| {
        Error::new(format!("{what} is not said")).help(format!(
            "name them with {flag} PATTERN, as often as needed; {flag} '*' is {every}, and is never assumed"
        ))
    };
    if args.permit.is_empty() {
        return Err(missing("which packages may be signed", "--permit", "every package"));
    }
    if args.host.is_empty() {
        return Err(missing("which hosts may accept it", "--host", "every host"));
    }
    if args.path_length.is_some() && !args.usage.contains(&Usage::Issue) {
        return Err(Error::new("--path-length is for a certificate that issues others")
            .help("leave it out, or add --usage issue,import-paths for an intermediate CA"));
    }
    Ok(())
}

fn read_request(path: &Path) -> Result<Request> {
    let line = input::line(path, "a request")?;
    Request::verify(&line).map_err(|error| {
        let message = format!("'{}': {error}", path.display());
        match error {
            RequestError::NotARequest | RequestError::Base32 | RequestError::Malformed(_) => {
                Error::new(message).help("name the file that 'nixcert request -o' wrote, unchanged")
            }
            RequestError::LabelMismatch | RequestError::WeakKey(_) | RequestError::BadSignature => {
                Error::refused(message)
                    .help("ask for the request again, by a way on which nobody can change it")
            }
        }
    })
}

fn draft(args: &IssueArgs, request: &Request, ca: &Ca, now: Instant) -> Result<Draft> {
    let label = match args.label.as_slice() {
        [] => request.label(),
        [label] => label,
        _ => {
            return Err(Error::new("a certificate has one label").help("several are for --renew"));
        }
    };
    if let Err(error) = Label::parse(label.as_bytes()) {
        let message = Error::new(format!("'{label}' is not a label: {error}"));
        return Err(match label_from(label) {
            Some(proper) => message.help(format!("'{proper}' is one")),
            None => message,
        });
    }
    let resolve = |time: Time, base, flag| {
        time.resolve(base).map_err(|problem| Error::new(format!("{flag}: {problem}")))
    };
    let not_before = match args.not_before {
        Some(time) => resolve(time, now, "--not-before")?,
        None => default_not_before(now, args.valid, ca)?,
    };
    let not_after = match args.valid {
        Some(time) => resolve(time, not_before, "--valid")?,
        None => default_not_after(not_before, ca)?,
    };
    if not_after <= not_before {
        return Err(Error::new(format!("it would end at {not_after}, before it begins at {not_before}"))
            .help("choose a later --valid, or an earlier --not-before"));
    }
    if not_after <= now && !args.allow_expired {
        return Err(Error::new(format!("it would be expired already: it ends at {not_after}"))
            .help("choose a later --valid; --allow-expired issues it all the same"));
    }
    Ok(Draft {
        // Drawn when it is signed.
        serial: Serial(1),
        label: label.to_owned(),
        subject: request.subject(),
        not_before,
        not_after,
        usages: args.usage.iter().copied().collect(),
        path_length: args.path_length.unwrap_or(0),
        permitted_names: args.permit.iter().cloned().collect(),
        excluded_names: args.exclude.iter().cloned().collect(),
        hosts: args.host.iter().cloned().collect(),
        store_directories: args.store_dir.iter().cloned().collect(),
    })
}

/// The five minutes before now are a courtesy: nothing is taken for them from less than a day, and they end where an
/// intermediate's own validity begins.
pub(crate) fn default_not_before(now: Instant, valid: Option<Time>, ca: &Ca) -> Result<Instant> {
    let ends = valid.map(|valid| valid.resolve(now)).transpose();
    let ends = ends.map_err(|problem| Error::new(format!("--valid: {problem}")))?;
    if ends.is_some_and(|end| end.seconds() < now.seconds().saturating_add(A_DAY)) {
        return Ok(now);
    }
    let backdated = BACKDATED.parse::<Time>().and_then(|time| time.resolve(now));
    let not_before = backdated.map_err(|problem| Error::new(format!("--not-before: {problem}")))?;
    let begins =
        ca.chain().iter().filter_map(|bytes| Certificate::parse(bytes).ok()).map(|issuer| issuer.not_before);
    Ok(begins.fold(not_before, Instant::max).min(now))
}

/// Ninety days, or until an intermediate's own validity ends.
fn default_not_after(base: Instant, ca: &Ca) -> Result<Instant> {
    let ends = DEFAULT_VALIDITY.parse::<Time>().and_then(|time| time.resolve(base));
    let not_after = ends.map_err(|problem| Error::new(format!("--valid: {problem}")))?;
    let issuers = ca.chain().iter().filter_map(|bytes| Certificate::parse(bytes).ok());
    Ok(issuers.map(|issuer| issuer.not_after).fold(not_after, Instant::min))
}

fn show(draft: &Draft, ca: &Ca, records: &[Record]) -> Result<()> {
    let mut stderr = io::stderr().lock();
    writeln!(stderr, "To be signed:")?;
    let issuer = format!("{} ({} CA)", ca.name(), ca.kind());
    Description::of_draft(draft, &ca.public()).table(&issuer).write(&mut stderr)?;
    drop(stderr);

    let subject = draft.subject.to_string();
    let everything = draft.permitted_names.contains("*") && draft.excluded_names.is_empty();
    // FORMAT O2: "The derivation in id has no name that could be constrained"
    if draft.usages.contains(Usage::ImportRealisations) && !everything {
        output::warn(
            "on hosts with Nix up to 2.34, import-realisations lets this key answer for any derivation, with any \
             output that it may name: give it only to those whom you would permit '*'",
        );
    }
    if ca.kind() == CaKind::Intermediate {
        output::note("the limits of every CA above hold too (nixcert inspect shows them)");
    }
    let mut earlier = records.iter().rev();
    if let Some(record) = earlier.find(|record| record.subject == subject && record.label != draft.label) {
        output::warn(format_args!(
            "this key was certified as '{}' before (serial {}): one person should have one label",
            record.label, record.serial
        ));
    }
    match records.iter().rev().find(|record| record.label == draft.label) {
        Some(record) if record.subject != subject => output::warn(format_args!(
            "'{}' had the key {} before (serial {}), whose certificate stays valid until {}",
            record.label, record.subject, record.serial, record.not_after
        )),
        Some(record) => output::note(format_args!(
            "this renews serial {}, valid until {}",
            record.serial, record.not_after
        )),
        None => {}
    }
    Ok(())
}

pub(crate) fn confirm(yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::new("nobody is there to ask whether this shall be signed")
            .help("run it on a terminal, or say --yes"));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "Sign this? [y/N] ").and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::refused("declined; nothing was signed")),
    }
}

pub(crate) fn serial_of(name: &str) -> String {
    nixcert_core::CertificateName::parse(name.as_bytes())
        .ok()
        .and_then(|name| name.certificates().first().cloned())
        .and_then(|bytes| Certificate::parse(&bytes).ok().map(|certificate| certificate.serial.to_string()))
        .unwrap_or_default()
}

fn usage(text: &str) -> std::result::Result<Usage, String> {
    Usage::ALL.into_iter().find(|usage| usage.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Usage::ALL.iter().map(|usage| usage.name()).collect();
        format!("the usages are {}", names.join(", "))
    })
}

fn name_pattern(text: &str) -> std::result::Result<String, String> {
    NamePattern::parse(text.as_bytes()).map(|pattern| pattern.to_string()).map_err(|error| error.to_string())
}

fn host_pattern(text: &str) -> std::result::Result<String, String> {
    HostPattern::parse(text.as_bytes()).map(|pattern| pattern.to_string()).map_err(|error| error.to_string())
}
