//! `nixcert issue --renew`: the same again, for a new time.

use crate::commands::ca::unlock;
use crate::commands::issue::{IssueArgs, confirm, default_not_before, serial_of};
use crate::describe::Description;
use crate::error::{Answer, Error, Result};
use crate::output::{self, printable, shorten};
use crate::time::{self, Time, length};
use nixcert_core::{Certificate, Instant, Usage};
use nixcert_files::{self as files, Access, Existing};
use nixcert_issue::{Ca, Choice, Current, Draft, Issuance, LabelPolicy, Left, Plan, Record, Step};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// More than a certificate file has.
const FILE_BYTES: u64 = 64 * 1024;

#[derive(clap::Args)]
pub(crate) struct RenewArgs {
    /// Renew what is in the CA's log: those of --label, --serial, or --ending-within
    #[arg(
        long,
        help_heading = "Renewing",
        conflicts_with_all = [
            "request", "usage", "permit", "exclude", "host", "store_dir", "path_length", "replace_key", "allow_expired"
        ]
    )]
    renew: bool,
    /// Renew the certificate with this serial number
    #[arg(long, help_heading = "Renewing", value_name = "SERIAL", value_delimiter = ',', requires = "renew")]
    serial: Vec<String>,
    /// Renew every certificate in force that ends within this time: 14d, 2027-01-31
    #[arg(
        long,
        help_heading = "Renewing",
        value_name = "TIME",
        requires = "renew",
        conflicts_with_all = ["serial", "label"]
    )]
    ending_within: Option<Time>,
    /// Renew though more than half of its time is left, or a later certificate is there
    #[arg(long, help_heading = "Renewing", requires = "renew")]
    anyway: bool,
}

/// A certificate that will be signed.
struct Renewal {
    old: Current,
    draft: Draft,
    file: Option<PathBuf>,
}

pub(crate) fn run(args: &IssueArgs) -> Result {
    let ca = Ca::open(&args.ca)?;
    let now = time::now()?;
    let choice = choice(args, now)?;
    let output = Output::new(args, &choice)?;

    let mut issuance =
        Issuance::begin(&ca, || output::note("waiting for another nixcert that uses this CA"))?;
    let plan = Plan::new(&ca, issuance.records(), issuance.revoked(), &choice, now, args.renewal.anyway)?;
    let mut renewals = Vec::new();
    let mut to_hand_out = Vec::new();
    let mut left = false;
    for step in plan.steps {
        match step {
            Step::Renew(old) => {
                let draft = draft(args, &old, &ca, now)?;
                issuance
                    .check(&draft, LabelPolicy::OneKey)
                    .map_err(|error| Error::from(error).about(&old.record.label))?;
                let file = output.file_for(&old.record.label, issuance.records())?;
                renewals.push(Renewal { old, draft, file });
            }
            Step::HandOut { successor } => {
                let file = output.file_for(&successor.label, issuance.records())?;
                to_hand_out.push((successor, file));
            }
            Step::Leave { record, why } => {
                output::note(reason_to_leave(&record, &why));
                left = true;
            }
        }
    }
    if renewals.is_empty() && to_hand_out.is_empty() {
        return nothing(&choice, left);
    }
    if !renewals.is_empty() {
        show(&renewals, &ca, now)?;
    }
    if args.dry_run {
        output::note("nothing was signed (--dry-run)");
        return Ok(Answer::Yes);
    }
    for (record, file) in &to_hand_out {
        hand_out(record, file.as_deref())?;
    }
    if !renewals.is_empty() {
        confirm(args.yes)?;
        let key = unlock(&ca, &args.passphrase)?;
        for renewal in &renewals {
            let name = issuance.renew(&renewal.draft, &renewal.old.record, &key, now).map_err(|error| {
                Error::from(error).about(&renewal.old.record.label).help(
                    "what was signed before it is in the log; the same command goes on where it stopped",
                )
            })?;
            write(&name, renewal.file.as_deref())?;
            let written = renewal.file.as_ref().map(|path| format!(" into '{}'", path.display()));
            output::note(format_args!(
                "issued serial {} for {} in place of {}{}",
                serial_of(&name),
                renewal.old.record.label,
                renewal.old.record.serial,
                written.unwrap_or_default()
            ));
        }
    }
    next(&renewals);
    // Of what was named one by one, something was not renewed.
    let refused = left && !matches!(choice, Choice::EndingBy(_));
    Ok(if refused { Answer::No } else { Answer::Yes })
}

fn choice(args: &IssueArgs, now: Instant) -> Result<Choice> {
    let RenewArgs { serial, ending_within, .. } = &args.renewal;
    match (args.label.as_slice(), serial.as_slice(), ending_within) {
        ([_, ..], [], None) => Ok(Choice::Labels(args.label.clone())),
        ([], [_, ..], None) => Ok(Choice::Serials(serial.clone())),
        ([], [], Some(time)) => {
            let end =
                time.resolve(now).map_err(|problem| Error::new(format!("--ending-within: {problem}")))?;
            if end <= now {
                return Err(Error::new(format!("--ending-within: {end} is not in the future"))
                    .help("name a time to come, such as 14d"));
            }
            Ok(Choice::EndingBy(end))
        }
        ([], [], None) => Err(Error::new("which certificates shall be renewed is not said")
            .help("name them with --label or --serial, or all that end soon with --ending-within 14d")),
        _ => Err(Error::new("--label and --serial are two ways to say which").help("use one of them")),
    }
}

/// Where the certificates go.
enum Output<'a> {
    Stdout,
    File(&'a Path, Existing),
    /// `LABEL.cert` in a directory.
    Directory(&'a Path, Existing),
}

impl<'a> Output<'a> {
    fn new(args: &'a IssueArgs, choice: &Choice) -> Result<Self> {
        let existing = if args.force { Existing::Replace } else { Existing::Keep };
        let several = match choice {
            Choice::Labels(names) | Choice::Serials(names) => names.len() > 1,
            Choice::EndingBy(_) => true,
        };
        let path = args.output.as_deref().filter(|path| *path != Path::new("-"));
        match path {
            Some(path) if path.is_dir() => Ok(Self::Directory(path, existing)),
            Some(path) if several => Err(Error::new(format!(
                "'{}' is not a directory, and there may be several certificates",
                path.display()
            ))
            .help("make it with mkdir, or name another one")),
            None if several && args.output.is_none() && !args.dry_run => Err(Error::new(
                "where the certificates shall go is not said",
            )
            .help("name a directory with -o DIR; '-o -' writes them all to standard output, one a line")),
            Some(path) if !files::parent(path).is_dir() => {
                Err(Error::new(format!("there is no directory '{}'", files::parent(path).display()))
                    .help("make it, or name another one"))
            }
            Some(path) => Ok(Self::File(path, existing)),
            None => Ok(Self::Stdout),
        }
    }

    /// The file for a label's certificate. A file that holds another certificate of this CA is replaced: the log has that one.
    fn file_for(&self, label: &str, records: &[Record]) -> Result<Option<PathBuf>> {
        let (path, existing) = match self {
            Self::Stdout => return Ok(None),
            Self::File(path, existing) => (path.to_path_buf(), existing),
            Self::Directory(path, existing) => (path.join(format!("{label}.cert")), existing),
        };
        if *existing == Existing::Keep && path.symlink_metadata().is_ok() {
            let contents = files::read(&path, FILE_BYTES)?;
            let held = contents.strip_suffix(b"\n").unwrap_or(&contents);
            if !records.iter().any(|record| record.label == label && record.certificate.as_bytes() == held) {
                return Err(Error::new(format!(
                    "'{}' is already there, and is no certificate of '{label}' from this CA",
                    path.display()
                ))
                .help("choose another name, or replace it with --force"));
            }
        }
        Ok(Some(path))
    }
}

fn write(name: &str, file: Option<&Path>) -> Result<()> {
    let line = format!("{name}\n");
    let Some(path) = file else {
        let mut stdout = io::stdout().lock();
        return Ok(stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())?);
    };
    files::write(path, line.as_bytes(), Access::Public, Existing::Replace).map_err(|error| {
        Error::from(error).help(
            "the certificate was issued and is in the log; the same command, repeated, writes it without signing again",
        )
    })
}

/// It was renewed before, perhaps by this very command before it was interrupted.
fn hand_out(record: &Record, file: Option<&Path>) -> Result<()> {
    let already = format!(
        "{} was renewed already, on {}: serial {} is valid until {}",
        record.label, record.time, record.serial, record.not_after
    );
    let Some(path) = file else {
        write(&record.certificate, None)?;
        output::note(format_args!("{already}; this is it once more (--anyway signs another)"));
        return Ok(());
    };
    let held = files::read(path, FILE_BYTES).unwrap_or_default();
    if held.strip_suffix(b"\n") == Some(record.certificate.as_bytes()) {
        output::note(format_args!("{already}, and is in '{}' (--anyway signs another)", path.display()));
    } else {
        write(&record.certificate, Some(path))?;
        output::note(format_args!(
            "{already}; it was written into '{}' once more (--anyway signs another)",
            path.display()
        ));
    }
    Ok(())
}

/// The certificate once more, for a new time.
fn draft(args: &IssueArgs, old: &Current, ca: &Ca, now: Instant) -> Result<Draft> {
    let resolve = |time: Time, base, flag| {
        time.resolve(base).map_err(|problem| Error::new(format!("{flag}: {problem}")))
    };
    let (began, ended) = (old.terms.not_before, old.terms.not_after);
    let not_before = match args.not_before {
        Some(time) => resolve(time, now, "--not-before")?,
        None => default_not_before(now, args.valid, ca)?.max(began),
    };
    let label = &old.record.label;
    let not_after = match args.valid {
        Some(time) => resolve(time, not_before, "--valid")?,
        None => {
            let length = ended.seconds().saturating_sub(began.seconds());
            let end = Instant::from_seconds(not_before.seconds().saturating_add(length))
                .map_err(|error| Error::new(error).about(label).help("say until when with --valid"))?;
            clamp_to_issuers(end, ca, label)
        }
    };
    if not_after <= ended || not_after <= now {
        return Err(Error::refused(format!(
            "{label}: the renewal would end at {not_after}, and the certificate itself at {ended}"
        ))
        .help(if ca.chain().is_empty() {
            "choose a later --valid"
        } else {
            "choose a later --valid, or renew the intermediate CA above first"
        }));
    }
    if not_before >= not_after {
        return Err(Error::new(format!(
            "{label}: it would end at {not_after}, before it begins at {not_before}"
        ))
        .help("choose a later --valid, or an earlier --not-before"));
    }
    if not_before > ended {
        output::warn(format_args!("between {ended} and {not_before} no certificate of {label} is in force"));
    }
    Ok(Draft { not_before, not_after, ..old.terms.clone() })
}

/// "As long as before" does not go beyond the CAs above.
fn clamp_to_issuers(end: Instant, ca: &Ca, label: &str) -> Instant {
    let issuers = ca.chain().iter().filter_map(|bytes| Certificate::parse(bytes).ok());
    let Some(first) = issuers.map(|issuer| issuer.not_after).min().filter(|first| *first < end) else {
        return end;
    };
    output::note(format_args!("{label}: the intermediate CA itself ends at {first}, and so will this"));
    first
}

fn reason_to_leave(record: &Record, why: &Left) -> String {
    let Record { label, serial, not_after, .. } = record;
    match why {
        Left::Fresh => format!(
            "{label} was not renewed: of serial {serial}, valid until {not_after}, more than half is left (--anyway renews it)"
        ),
        Left::Expired => {
            format!(
                "{label} was not renewed: serial {serial} ended at {not_after} (--renew --label {label} renews it)"
            )
        }
        Left::Later(later) => format!(
            "serial {serial} was not renewed: {label} has a later certificate, serial {}, valid until {} \
             (--serial {serial} --anyway renews it)",
            later.serial, later.not_after
        ),
        Left::Revoked { selector, revoked } => format!(
            "{label} was not renewed: the CA's own list revokes serial {serial} (by {selector}; {})",
            revoked.extent
        ),
    }
}

fn nothing(choice: &Choice, left: bool) -> Result {
    match choice {
        Choice::EndingBy(end) => {
            output::note(format_args!("nothing that is due ends until {end}; nothing was signed"));
            Ok(Answer::Yes)
        }
        Choice::Labels(_) | Choice::Serials(_) if left => Ok(Answer::No),
        Choice::Labels(_) | Choice::Serials(_) => Err(Error::refused("nothing was named")),
    }
}

/// One in full, as when it was first issued; of many, what is new.
fn show(renewals: &[Renewal], ca: &Ca, now: Instant) -> Result<()> {
    let issuer = format!("{} ({} CA)", ca.name(), ca.kind());
    let mut stderr = io::stderr().lock();
    if let [Renewal { old, draft, .. }] = renewals {
        writeln!(stderr, "To be signed:")?;
        Description::of_draft(draft, &ca.public()).table(&issuer).write(&mut stderr)?;
        drop(stderr);
        output::note(format_args!("this renews serial {}, which {}", old.record.serial, standing(old, now)));
        return Ok(());
    }
    writeln!(stderr, "To be signed, by {issuer}:")?;
    let list = |items: &std::collections::BTreeSet<String>| {
        shorten(&items.iter().map(String::as_str).collect::<Vec<_>>().join(" "), 30)
    };
    let head =
        ["Label", "Renews", "which", "Valid until", "May", "Packages", "but not", "Hosts"].map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head)
        .chain(renewals.iter().map(|Renewal { old, draft, .. }| {
            let usages: Vec<&str> = draft.usages.iter().map(Usage::name).collect();
            [
                draft.label.clone(),
                old.record.serial.clone(),
                standing(old, now),
                format!("{} ({})", draft.not_after, length(draft.not_before, draft.not_after)),
                usages.join(" "),
                list(&draft.permitted_names),
                list(&draft.excluded_names),
                list(&draft.hosts),
            ]
        }))
        .collect();
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(stderr, "  {}", printable(cells.join("  ").trim_end()))?;
    }
    drop(stderr);
    output::note(format_args!(
        "{} certificates; keys and limits are what they were (nixcert ca log {} shows them whole)",
        renewals.len(),
        ca.path().display()
    ));
    Ok(())
}

fn standing(old: &Current, now: Instant) -> String {
    let ends = old.terms.not_after;
    if ends <= now {
        format!("ended {} ago", length(ends, now))
    } else {
        format!("ends in {}", length(now, ends))
    }
}

/// What the holders do with it.
fn next(renewals: &[Renewal]) {
    let issues = |renewal: &&Renewal| renewal.draft.usages.contains(Usage::Issue);
    if renewals.iter().any(|renewal| !issues(&renewal)) {
        output::note(
            "next: nixcert attach --force --key KEY CERTIFICATE (whoever holds the key), and for what was signed \
             already nixcert rewrap (anyone)",
        );
    }
    if renewals.iter().any(|renewal| issues(&renewal)) {
        output::note(
            "next, at the intermediate CA: nixcert ca adopt --force DIR CERTIFICATE, and renew what it issued",
        );
    }
}
