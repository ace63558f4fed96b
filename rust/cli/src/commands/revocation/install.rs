//! `nixcert revocation install` and `reset`: what a host takes up (FORMAT L10, L11).

use super::describe::ListDescription;
use super::drop_in::{self, Brought};
use super::{MOST_BYTES, PlaceArgs, quoted};
use crate::error::{Answer, Error, Result};
use crate::output::{self, ACCEPTED, NOTE, SCHEMA, printable};
use crate::{input, time};
use nixcert_core::{Instant, Selector, Trust, VerifiedList};
use nixcert_host::{Action, Holdings, HoldingsError, Installed};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Take up revocation lists on this host
///
/// Checks whose word a list is, and that it is newer than the one this host holds of the same signer; a delegate's must also
/// revoke all that its last one did. From then on it counts, at the next decision: nothing need be restarted. How a list comes
/// here does not matter: it is signed, and an old one is refused.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert revocation install acme.list                     # by this machine's nix.conf and policy, as root
  nixcert revocation install *.list --json
  nixcert revocation install acme.list --directory image/var/lib/nixcert/revocation --nix-conf image/etc/nix/nix.conf
  nixcert revocation install --drop-in /var/lib/nixcert/incoming    # from a timer, as root: what normal users put there

The directory is the one that the policy names as revocation-lists (the policy is the file that nix.conf names as
ca-policy-file). Several lists are taken up one after the other, each by itself: a CA's own before those of the delegates that
it revokes.

Exit status: 0 all are held now, or were already; 1 one was refused, for the reason given; 2 one could not be read or kept.")]
pub(crate) struct InstallArgs {
    /// The lists; '-' is standard input
    #[arg(required_unless_present = "drop_in")]
    lists: Vec<PathBuf>,
    /// Take up what people put into this directory, and remove it from there. Links and hidden files do not count; what is no
    /// whole list is left for a minute, for it may still be being written
    #[arg(long, value_name = "DIR", conflicts_with = "lists")]
    drop_in: Option<PathBuf>,
    /// Pass over a list that is older than the one that is held, as no fault: for lists that come with a system's
    /// configuration, which others may have overtaken
    #[arg(long, conflicts_with = "drop_in")]
    keep_newer: bool,
    #[command(flatten)]
    place: PlaceArgs,
    /// Print JSON: one object for each list and line
    #[arg(long)]
    json: bool,
}

/// Take up a list though this host holds a newer one, or one that cannot be read
///
/// For the day on which something went wrong: a list of a wrong clock was taken up, or the file is damaged. Whose word the list
/// is, is checked all the same. That it was done is recorded in the directory's log, and in the system's.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  nixcert revocation reset acme.list

Whoever gives you an older list and asks you to do this may want something back in force that was revoked: ask the CA's keeper,
by a way that you know, which list is the newest.

Exit status: 0 it is held now, or was already; 1 refused or declined; 2 it could not be read or kept.")]
pub(crate) struct ResetArgs {
    /// The list; '-' is standard input
    list: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Print JSON: one object
    #[arg(long)]
    json: bool,
}

/// The reasons (FORMAT section 11) of what is no list, or not yet; and of what was overtaken.
const MALFORMED: &str = "malformed-list";
const OLDER: &str = "list-older-than-held";

/// What became of one file.
#[derive(Serialize)]
struct Report {
    schema: u32,
    file: String,
    /// `install`, `reset`, `none` (held already), `passed-over` (a newer one is held), `left` (for a minute, in a
    /// drop-in directory), `refused`, or `failed`.
    action: &'static str,
    /// A reason code of FORMAT.md, where it was refused.
    reason: Option<&'static str>,
    message: Option<String>,
    ca: Option<String>,
    signer: Option<String>,
    signed_by_the_ca: Option<bool>,
    issued: Option<String>,
    entry_count: Option<usize>,
    /// The issue time of the list that was held before.
    replaced: Option<String>,
    path: Option<String>,
}

pub(super) fn install(args: &InstallArgs) -> Result {
    let (trust, holdings, _) = args.place.load()?;
    let now = time::now()?;
    let mut installed = false;
    let mut take = |path: &Path, bytes: Result<Vec<u8>>| {
        let outcome = bytes.map_err(Refusal::from).and_then(|bytes| {
            holdings.install(&bytes, &trust, now.seconds()).map_err(|error| refuse(path, &error))
        });
        installed |= matches!(&outcome, Ok(installed) if installed.action == Action::Install);
        outcome
    };
    let mut answers = Vec::new();
    for path in &args.lists {
        let outcome = take(path, input::bytes(path, MOST_BYTES));
        answers.push(match outcome {
            Err(Refusal { reason: Some(OLDER), .. }) if args.keep_newer => {
                tell_that(path, "passed-over", "passed over: a newer one of its signer is held", args.json)?
            }
            outcome => tell(path, outcome, args.json)?,
        });
    }
    if let Some(directory) = &args.drop_in {
        for brought in drop_in::files(directory)? {
            answers.push(take_away(brought, &mut take, args.json)?);
        }
    }
    if installed && !args.json {
        output::note("it counts at the next decision; nothing need be restarted");
    }
    Ok(worst(&answers))
}

/// One file of a drop-in directory. What was judged is removed from there, whatever the verdict.
fn take_away(
    mut brought: Brought,
    take: &mut impl FnMut(&Path, Result<Vec<u8>>) -> std::result::Result<Installed, Refusal>,
    json: bool,
) -> Result<Answer> {
    let bytes = std::mem::replace(&mut brought.bytes, Ok(Vec::new()));
    let unread = bytes.is_err();
    let outcome = take(&brought.path, bytes);
    match &outcome {
        Err(Refusal { reason: Some(MALFORMED), .. }) if brought.may_be_unfinished() => {
            return tell_that(&brought.path, "left", "no whole list yet; left for a minute", json);
        }
        // The system's faults, such as a full disk, say nothing of the list.
        Err(Refusal { answer: Answer::CouldNotTell, .. }) if !unread => {}
        Ok(_) | Err(_) => {
            // One that cannot be removed must not keep the others out.
            if let Err(error) = brought.remove() {
                error.report();
                tell(&brought.path, outcome, json)?;
                return Ok(Answer::CouldNotTell);
            }
        }
    }
    tell(&brought.path, outcome, json)
}

/// What could not be told weighs more than what was refused.
fn worst(answers: &[Answer]) -> Answer {
    let any = |answer| answers.contains(&answer);
    if any(Answer::CouldNotTell) {
        Answer::CouldNotTell
    } else if any(Answer::No) {
        Answer::No
    } else {
        Answer::Yes
    }
}

/// One file's outcome, for whoever asked. An error in one does not stop the others.
fn tell(path: &Path, outcome: std::result::Result<Installed, Refusal>, json: bool) -> Result<Answer> {
    let file = path.display().to_string();
    match outcome {
        Ok(installed) => {
            if json {
                output::json(&Report::of(file, &installed))?;
            } else {
                let mut out = anstream::stdout().lock();
                writeln!(out, "{}", in_words(path, &installed))?;
            }
            Ok(Answer::Yes)
        }
        Err(Refusal { answer, reason, error, message }) => {
            if json {
                let action = if answer == Answer::No { "refused" } else { "failed" };
                output::json(&Report { reason, message: Some(message), ..Report::new(file, action) })?;
            } else {
                error.report();
            }
            Ok(answer)
        }
    }
}

/// What was not taken up, and is no fault either.
fn tell_that(path: &Path, action: &'static str, words: &str, json: bool) -> Result<Answer> {
    if json {
        output::json(&Report::new(path.display().to_string(), action))?;
    } else {
        output::note(format_args!("{}: {words}", printable(&quoted(path))));
    }
    Ok(Answer::Yes)
}

/// Why a file was not taken up.
struct Refusal {
    answer: Answer,
    reason: Option<&'static str>,
    error: Error,
    message: String,
}

/// What cannot even be read.
impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { answer: error.answer(), reason: None, message: error.message().to_owned(), error }
    }
}

fn refuse(path: &Path, error: &HoldingsError) -> Refusal {
    let message = error.to_string();
    let file = quoted(path);
    match (error.code(), error) {
        (Some(code), _) => Refusal {
            answer: Answer::No,
            reason: Some(code),
            error: Error::refused(format!("{file} was not taken up ({code}): {message}"))
                .help(error.advice()),
            message,
        },
        (None, HoldingsError::File(fault)) if fault.error.kind() == io::ErrorKind::PermissionDenied => {
            Refusal {
                answer: Answer::CouldNotTell,
                reason: None,
                error: Error::new(format!("{file} was not taken up: {message}"))
                    .help("only root changes what a host holds: sudo nixcert revocation …"),
                message,
            }
        }
        (None, _) => Refusal {
            answer: Answer::CouldNotTell,
            reason: None,
            error: Error::new(format!("{file} was not taken up: {message}")).help(error.advice()),
            message,
        },
    }
}

fn in_words(path: &Path, installed: &Installed) -> String {
    let Installed { action, ca, of_the_ca, issued, entries, replaced, signer, .. } = installed;
    let whose =
        if *of_the_ca { format!("{ca}'s own list") } else { format!("the list of {ca}'s delegate {signer}") };
    let list = format!("{whose} of {issued}, {entries} {}", if *entries == 1 { "entry" } else { "entries" });
    let file = printable(&quoted(path));
    let before = match replaced {
        Some(replaced) => format!("in place of the one of {replaced}"),
        None => "the first of this signer here".to_owned(),
    };
    match action {
        Action::None => format!("{file}: held already: {list}"),
        Action::Install => format!("{file}: {ACCEPTED}installed:{ACCEPTED:#} {list} ({before})"),
        Action::Reset => format!("{file}: {NOTE}reset:{NOTE:#} {list} ({before})"),
    }
}

impl Report {
    fn new(file: String, action: &'static str) -> Self {
        Self {
            schema: SCHEMA,
            file,
            action,
            reason: None,
            message: None,
            ca: None,
            signer: None,
            signed_by_the_ca: None,
            issued: None,
            entry_count: None,
            replaced: None,
            path: None,
        }
    }

    fn of(file: String, installed: &Installed) -> Self {
        Self {
            ca: Some(installed.ca.clone()),
            signer: Some(installed.signer.to_string()),
            signed_by_the_ca: Some(installed.of_the_ca),
            issued: Some(installed.issued.to_string()),
            entry_count: Some(installed.entries),
            replaced: installed
                .replaced
                .filter(|_| installed.action != Action::None)
                .map(|replaced| replaced.to_string()),
            path: Some(installed.path.display().to_string()),
            ..Self::new(file, installed.action.name())
        }
    }
}

pub(super) fn reset(args: &ResetArgs) -> Result {
    let (trust, holdings, _) = args.place.load()?;
    let now = time::now()?;
    let bytes = input::bytes(&args.list, MOST_BYTES)?;
    let list = match VerifiedList::read(&bytes, &trust.anchors, trust.host.as_ref()) {
        Ok(list) => list,
        Err(error) => return tell(&args.list, Err(refuse(&args.list, &error.into())), args.json),
    };
    let needed = what_is_set_aside(&list, &trust, &holdings, now)?;
    if needed {
        confirm(args.yes)?;
    }
    let outcome = holdings.reset(&bytes, &trust, now.seconds()).map_err(|error| refuse(&args.list, &error));
    if let Some(installed) = outcome.as_ref().ok().filter(|installed| installed.action == Action::Reset) {
        tell_the_system(installed);
    }
    tell(&args.list, outcome, args.json)
}

/// Say what would be lost. False if the list is the one that is held.
fn what_is_set_aside(list: &VerifiedList, trust: &Trust, holdings: &Holdings, now: Instant) -> Result<bool> {
    let mut stderr = io::stderr().lock();
    let described = ListDescription::of_verified(list, trust.anchors.name_of(list.ca()));
    let held = holdings.read(&trust.anchors, trust.host.as_ref()).map_err(|problem| {
        Error::new(format!("nobody knows what this host holds: {problem}"))
            .help("correct that first: a reset is for one signer's list")
    })?;
    let path = holdings.place(list.ca(), list.signer());
    let old = held.into_iter().find(|held| held.path == path).map(|held| held.list);
    if matches!(&old, Some(Ok(old)) if **old == *list) {
        return Ok(false);
    }
    writeln!(
        stderr,
        "To be held: {} of {} ({}), {} entries",
        printable(&described.whose()),
        described.issued,
        described.age(now),
        described.entry_count
    )?;
    match old {
        None => writeln!(stderr, "  in place of nothing: none of this signer is held")?,
        Some(Err(problem)) => {
            writeln!(stderr, "  in place of one that cannot be used: {}", printable(&problem))?
        }
        Some(Ok(old)) => {
            let older = ListDescription::of_verified(&old, None);
            writeln!(
                stderr,
                "  in place of the one of {} ({}), {} entries",
                older.issued,
                older.age(now),
                older.entry_count
            )?;
            let lost: Vec<Selector> = lost(&old, list);
            for selector in lost.iter().take(20) {
                writeln!(stderr, "  NO LONGER REVOKED, or less: {selector}")?;
            }
            if let Some(more @ 1..) = lost.len().checked_sub(20) {
                writeln!(stderr, "  and {more} more")?;
            }
        }
    }
    Ok(true)
}

fn lost(old: &VerifiedList, new: &VerifiedList) -> Vec<Selector> {
    let kept = |selector: &Selector, old: nixcert_core::Revoked| {
        new.entries().get(selector).is_some_and(|new| new.extent.covers(old.extent))
    };
    old.entries()
        .iter()
        .filter(|(selector, revoked)| !kept(selector, *revoked))
        .map(|(selector, _)| selector)
        .collect()
}

fn confirm(yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::new("nobody is there to ask whether what is held shall be set aside")
            .help("run it on a terminal, or say --yes"));
    }
    let mut stderr = io::stderr().lock();
    write!(stderr, "Set aside what is held? [y/N] ").and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::refused("declined; what is held stays")),
    }
}

/// The directory's own log is the record; this is so that somebody sees it.
fn tell_the_system(installed: &Installed) {
    let before = match installed.replaced {
        Some(replaced) => format!("the one of {replaced}"),
        None => "one that could not be used, or none".to_owned(),
    };
    nixcert_gate::tell_the_system(&format!(
        "revocation list of CA {} by signer {} was reset to that of {} ({} entries), in place of {before}",
        installed.ca, installed.signer, installed.issued, installed.entries
    ));
}
