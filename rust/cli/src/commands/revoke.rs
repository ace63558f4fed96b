//! `nixcert revoke`: make the next revocation list (FORMAT section 11).

mod delegate;
mod hits;
mod selectors;

pub(crate) use selectors::{Found, named_key, serial};

use crate::commands::ca::unlock;
use crate::commands::issue::confirm;
use crate::error::{Answer, Error, Result};
use crate::output::{self, Destination, printable};
use crate::passphrase::PassphraseArgs;
use crate::time::{self, Time, length};
use hits::Hits;
use nixcert_core::limits::LIST_AHEAD;
use nixcert_core::limits::LIST_BYTES;
use nixcert_core::{
    Cause, Certificate, Entries, Extent, Instant, PublicKey, RevocationList, Revoked, Selector, Serial,
    VerifiedList,
};
use nixcert_files::{self as files, Access};
use nixcert_issue::{Ca, CaKind, Changes, Log, NextList, OwnListError, Record, SecretKey};
use selectors::By;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Withdraw certificates: make the CA's next revocation list
///
/// A list is everything that is withdrawn, and replaces the one before: the next grows from the last, which is kept in the
/// CA's directory. It is no secret. Bring it to every host, by any way: 'nixcert revocation install' takes it up there.
///
/// Shows whom it hits, as far as the CA's log knows, asks, signs, and keeps the list, in this order.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert revoke --ca acme-ca --label alice --retired -o acme.list             # Alice left; what she deployed stays good
  nixcert revoke --ca acme-ca --certificate bob.cert --compromised-since 2027-01-31T08:00:00Z -o acme.list
  nixcert revoke --ca acme-ca --serial 5d1c21f20df2b3aa --retired --cause superseded -o acme.list
  nixcert revoke --ca acme-ca --intermediate team-a --compromised-since -2d -o acme.list
  nixcert revoke --ca acme-ca --refresh -o acme.list          # the same, of today: for hosts whose policy asks for fresh lists
  nixcert revoke --ca acme-ca --withdraw label:alice -o acme.list              # it was a mistake: take it back

By what to withdraw:
  key      the certificates of this key, those to come included. The choice when a key was stolen or lost: whoever holds a
           signature may put any other certificate of the same key in front of it (FORMAT N4).
  label    the certificates of this person, of every key, those to come included. The choice when somebody leaves.
  serial   one certificate and no other. The choice when a certificate was a mistake, and its key is good.
  An intermediate CA may put any serial and any label on what it issues: withdraw it by its key (--intermediate); all that it
  issued goes with it.

How far:
  --retired            nothing new counts. What hosts had taken in before stays good: nobody need rebuild or copy anything.
  --compromised-since  nothing new counts, and what a host took in at that time or later is no longer good either. Name the
                       first moment at which somebody else may have had the key; earlier is safer.

Delegates withdraw where the CA's key is out of reach, with a key whose certificate has the usage 'revoke':
  admin$ nixcert issue --ca acme-ca oncall.request --usage revoke --permit '*' --host '*' -o oncall.cert
  oncall$ nixcert attach --key oncall.key oncall.cert
  oncall$ nixcert revoke --sign-with oncall.nixcert.key --ca-key acme-2026-1:s6vX…= --first --label bob --retired -o oncall.list
  oncall$ nixcert revoke --sign-with oncall.nixcert.key --ca-key acme-2026-1:s6vX…= --previous oncall.list \\
            --key 'MhfHqD…=' --compromised-since -1h -o oncall.list
Hosts accept only lists of a delegate that grow; what it withdrew by mistake stays withdrawn, unless the CA withdraws the
delegate's own key as compromised: then none of its lists counts. An intermediate CA signs no lists itself: it issues a
certificate with the usage 'revoke' to a key for that (its own certificate must have that usage too), whose lists count for
what is below that intermediate.

Exit status: 0 signed, or all of it was withdrawn already; 1 refused or declined; 2 could not be done.")]
pub(crate) struct RevokeArgs {
    /// The directory of the CA, which signs the list itself
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "Who signs",
        required_unless_present = "sign_with",
        conflicts_with = "sign_with"
    )]
    ca: Option<PathBuf>,
    /// A delegate's key with its certificate, as 'nixcert attach' writes it
    #[arg(long, value_name = "FILE", help_heading = "Who signs", requires = "ca_key")]
    sign_with: Option<PathBuf>,
    /// With --sign-with: the CA whose certificates the list is about, as it stands in trusted-ca-keys
    #[arg(long, value_name = "NAME:BASE64", help_heading = "Who signs", requires = "sign_with")]
    ca_key: Option<String>,
    /// The list that this one grows from: a delegate's last one; for a CA, one from a host, where its own was lost
    #[arg(long, value_name = "LIST", help_heading = "Who signs", conflicts_with = "first")]
    previous: Option<PathBuf>,
    /// There is no list before this one (for a CA: or it is lost, and what it withdrew may be forgotten)
    #[arg(long, help_heading = "Who signs")]
    first: bool,
    /// With --sign-with: the CA's log (issued.jsonl), to say whom it hits
    #[arg(long, value_name = "FILE", help_heading = "Who signs", requires = "sign_with")]
    log: Option<PathBuf>,

    /// The certificate with this serial number: 16 hexadecimal digits
    #[arg(long, value_name = "HEX", help_heading = "What", value_delimiter = ',', value_parser = serial)]
    serial: Vec<Serial>,
    /// The certificates of this public key: BASE64, or NAME:BASE64
    #[arg(long, value_name = "BASE64", help_heading = "What", value_delimiter = ',')]
    key: Vec<String>,
    /// The certificates with this label
    #[arg(long, value_name = "NAME", help_heading = "What", value_delimiter = ',')]
    label: Vec<String>,
    /// What this file holds: a certificate, a key with one, a public key, or a signature; by its key, unless --by says
    /// otherwise
    #[arg(long, value_name = "FILE", help_heading = "What")]
    certificate: Vec<PathBuf>,
    /// By what --certificate withdraws
    #[arg(long, value_name = "WHAT", help_heading = "What", default_value = "key", requires = "certificate")]
    by: By,
    /// An intermediate CA, by its key, with all that is below it: its certificate file, its directory, or its label in the log
    #[arg(long, value_name = "FILE|LABEL", help_heading = "What")]
    intermediate: Vec<String>,
    /// Take an earlier withdrawal back: serial:HEX, key:BASE64 or label:NAME. Only the CA itself can
    #[arg(long, value_name = "WHAT", help_heading = "What")]
    withdraw: Vec<String>,
    /// Sign what is withdrawn already once more, with a new issue time (even if that is nothing)
    #[arg(long, help_heading = "What")]
    refresh: bool,

    /// Nothing new counts; what hosts had taken in stays good
    #[arg(long, help_heading = "How far", conflicts_with = "compromised_since")]
    retired: bool,
    /// The same, and what a host took in at this time or later is no longer good: -2d, 2027-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", help_heading = "How far", allow_hyphen_values = true)]
    compromised_since: Option<Time>,
    /// Why, for people: unspecified, key-compromise, affiliation-changed, superseded or cessation-of-operation [default:
    /// key-compromise with --compromised-since, and unspecified otherwise]
    #[arg(long, value_name = "CAUSE", help_heading = "How far", value_parser = cause)]
    cause: Option<Cause>,

    /// Write the list here too; an older list of the same signer is replaced. '-' is standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file whatever it is
    #[arg(long)]
    force: bool,
    /// Issue it now, though the last list is of a time more than a day ahead: hosts that hold that one need 'revocation
    /// reset'
    #[arg(long)]
    issued_now: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Show what would be signed, and stop
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Who signs, whose certificates it is about, and what is known of them.
struct Signer<'a> {
    ca: PublicKey,
    ca_name: &'a str,
    /// Of a delegate, leaf first.
    chain: Vec<Vec<u8>>,
    /// What was issued, if that is known.
    records: Option<&'a [Record]>,
}

pub(crate) fn run(args: &RevokeArgs) -> Result {
    match (&args.ca, &args.sign_with) {
        (_, Some(key)) => delegate::run(args, key),
        (Some(directory), None) => by_the_ca(args, directory),
        // clap asks for one of the two.
        (None, None) => Err(Error::new("who signs is not said").help("name --ca DIR, or --sign-with FILE")),
    }
}

fn by_the_ca(args: &RevokeArgs, directory: &Path) -> Result {
    let ca = Ca::open(directory)?;
    match ca.kind() {
        CaKind::Root => {}
        CaKind::Intermediate => {
            return Err(Error::refused(format!(
                "'{}' is an intermediate CA: its key signs certificates, and no host would accept a list of it",
                ca.name()
            ))
            .help(format!(
                "issue a certificate with the usage 'revoke' to another key (nixcert issue --ca {} REQUEST --usage revoke …), \
                 and sign with that: nixcert revoke --sign-with KEY --ca-key NAME:BASE64 of the root CA",
                directory.display()
            )));
        }
    }
    let now = time::now()?;
    let log = ca.lock(|| output::note("waiting for another nixcert that uses this CA"))?;
    let signer =
        Signer { ca: ca.public(), ca_name: ca.name(), chain: Vec::new(), records: Some(log.records()) };
    let copy = Copy::new(args, ca.public(), ca.public())?;
    let base = base_of_the_ca(args, &ca)?;
    let base = base.as_ref().map(|list| (list.issued(), list.entries()));
    let Some(next) = plan(args, &signer, base, now)? else {
        return unchanged(&copy, Some(&ca.revocation_list_path()));
    };
    if args.dry_run {
        output::note("nothing was signed (--dry-run)");
        return Ok(Answer::Yes);
    }
    confirm(args.yes)?;
    let key = unlock(&ca, &args.passphrase)?;
    let list = sign(&next, &key)?;
    ca.keep_list(&log, &list, &next, now)?;
    copy.write(&list).map_err(|error| {
        error.help(format!("the list is signed, and kept: copy '{}'", ca.revocation_list_path().display()))
    })?;
    signed(&next, &ca.revocation_list_path(), &copy);
    Ok(Answer::Yes)
}

/// What the next list grows from.
fn base_of_the_ca(args: &RevokeArgs, ca: &Ca) -> Result<Option<VerifiedList>> {
    let own = ca.revocation_list();
    if let Some(path) = &args.previous {
        let previous = ca.read_own_list(path)?;
        return match own {
            Ok(Some(own)) if own.issued() > previous.issued() => Err(Error::refused(format!(
                "'{}' is of {}, and the CA's directory has a later list, of {}",
                path.display(),
                previous.issued(),
                own.issued()
            ))
            .help("leave --previous out: the later one is taken by itself")),
            _ => Ok(Some(previous)),
        };
    }
    match own {
        Ok(Some(_)) if args.first => Err(Error::refused("this CA has a list, so the next is not the first")
            .help("leave --first out; --withdraw takes back what is in the list")),
        Err(OwnListError::Missing { .. }) if args.first => {
            output::warn(
                "the CA's last list is lost: hosts will forget what only that one withdrew (a host that holds it can \
                 give it back: --previous)",
            );
            Ok(None)
        }
        own => Ok(own?),
    }
}

/// The next list, shown. None if it would say what the last one does.
fn plan(
    args: &RevokeArgs,
    signer: &Signer<'_>,
    base: Option<(Instant, &Entries)>,
    now: Instant,
) -> Result<Option<NextList>> {
    let named = selectors::named(args, signer)?;
    let extent = extent(args, now)?;
    let revoke = match extent {
        _ if named.is_empty() && args.withdraw.is_empty() && !args.refresh => {
            return Err(Error::new("what shall be withdrawn is not said").help(
                "name it with --certificate, --key, --label, --serial or --intermediate; --refresh signs the last list anew",
            ));
        }
        Some(_) if named.is_empty() => {
            return Err(Error::new("how far is said, and not what")
                .help("name it with --certificate, --key, --label, --serial or --intermediate"));
        }
        None if !named.is_empty() => {
            return Err(Error::new("how far it shall go is not said").help(
                "--retired: nothing new counts, and what hosts have stays good; --compromised-since TIME: what hosts took \
                 in since then is no longer good either",
            ));
        }
        extent => {
            let revoked = extent.map(|extent| Revoked { extent, cause: cause_of(args, extent) });
            named.into_iter().filter_map(|selector| Some((selector, revoked?))).collect()
        }
    };
    let base = match base {
        Some((last, _)) if last.seconds() > now.seconds().saturating_add(LIST_AHEAD) && !args.issued_now => {
            return Err(Error::refused(format!(
                "the last list is of {last}, which is more than a day ahead of this machine's clock ({now}), and the next \
                 must be later: hosts would refuse it"
            ))
            .help(
                "set the clock if it is behind; if it was ahead when that list was made: --issued-now, and \
                 'nixcert revocation reset' on every host that took that list",
            ));
        }
        Some((last, entries)) if args.issued_now => Some((last.min(now), entries)),
        base => base,
    };
    let changes = Changes { revoke, take_back: selectors::withdrawals(args)? };
    let next = NextList::new(signer.ca, signer.chain.clone(), base, &changes, now)?;
    for (selector, revoked) in &next.already {
        output::note(format_args!("{selector} is {} already", revoked.extent));
    }
    if !next.differs() && !args.refresh {
        return Ok(None);
    }
    show(&next, signer, base.map(|(last, _)| last), now)?;
    Ok(Some(next))
}

fn extent(args: &RevokeArgs, now: Instant) -> Result<Option<Extent>> {
    let Some(since) = args.compromised_since else {
        return Ok(args.retired.then_some(Extent::Retired));
    };
    let since =
        since.resolve(now).map_err(|problem| Error::new(format!("--compromised-since: {problem}")))?;
    Ok(Some(Extent::Compromised { since }))
}

fn cause_of(args: &RevokeArgs, extent: Extent) -> Cause {
    match (args.cause, extent) {
        (Some(cause), _) => cause,
        (None, Extent::Compromised { .. }) => Cause::KeyCompromise,
        (None, Extent::Retired) => Cause::Unspecified,
    }
}

fn show(next: &NextList, signer: &Signer<'_>, last: Option<Instant>, now: Instant) -> Result<()> {
    let mut stderr = io::stderr().lock();
    let kept = next.draft.entries.len().saturating_sub(next.new.len());
    let by = match signer.chain.first().and_then(|bytes| Certificate::parse(bytes).ok()) {
        Some(delegate) => {
            format!("delegate {} (serial {}) of {}", delegate.label, delegate.serial, signer.ca_name)
        }
        None => format!("{} (root CA)", signer.ca_name),
    };
    writeln!(stderr, "To be signed: the list of {}, by {}", next.draft.issued, printable(&by))?;
    for (selector, revoked) in &next.new {
        writeln!(stderr, "  {selector}: {} ({})", revoked.extent, revoked.cause)?;
        if let Some(records) = signer.records {
            Hits::of(selector, records).write(&mut stderr, now)?;
        }
    }
    for (selector, revoked) in &next.taken_back {
        writeln!(stderr, "  {selector}: TAKEN BACK (was {})", revoked.extent)?;
        if let Some(records) = signer.records {
            Hits::of(selector, records).write(&mut stderr, now)?;
        }
    }
    let unchanged = match (kept, last) {
        (_, None) => "nothing before: this is the first list".to_owned(),
        (1, Some(last)) => format!("1 entry as in the list of {last}"),
        (kept, Some(last)) => format!("{kept} entries as in the list of {last}"),
    };
    writeln!(stderr, "  {unchanged}")?;
    drop(stderr);

    match signer.records {
        Some(records) => hits::remarks(next, records, now),
        None => output::note("the CA's log is not here, so nobody can say whom this hits (--log names it)"),
    }
    for (selector, _) in &next.taken_back {
        output::warn(format_args!(
            "hosts that take up this list accept again what {selector} stopped, also what was signed meanwhile"
        ));
    }
    let stolen = |(_, revoked): &(Selector, Revoked)| {
        (revoked.extent, revoked.cause) == (Extent::Retired, Cause::KeyCompromise)
    };
    if next.new.iter().any(stolen) {
        output::warn(
            "of a key that somebody else has, --retired leaves good what hosts took in from them: --compromised-since TIME \
             does not",
        );
    }
    let issued = next.draft.issued;
    if issued.seconds() > now.seconds().saturating_add(60) {
        output::warn(format_args!(
            "the last list is of a time to come, and this one must be later: it is of {issued}, {} ahead",
            length(now, issued)
        ));
    }
    Ok(())
}

/// The list, read back and found to be what a host would take for the signer's.
fn sign(next: &NextList, key: &SecretKey) -> Result<Vec<u8>> {
    next.draft.sign(key).map_err(|error| {
        Error::refused(format!("the list would be refused: {error}"))
            .help("nothing was signed; correct what was named")
    })
}

fn unchanged(copy: &Copy<'_>, last: Option<&Path>) -> Result {
    output::note("nothing new, so nothing was signed (--refresh signs it anew)");
    // A script that asks for the list gets it.
    if let (Some(last), true) = (last, copy.is_wanted()) {
        copy.write(&files::read(last, LIST_BYTES as u64)?)?;
    }
    Ok(Answer::Yes)
}

fn signed(next: &NextList, kept: &Path, copy: &Copy<'_>) {
    let path = copy.path().unwrap_or(kept);
    output::note(format_args!(
        "signed the list of {}, with {} {}; it is in '{}'",
        next.draft.issued,
        next.draft.entries.len(),
        if next.draft.entries.len() == 1 { "entry" } else { "entries" },
        kept.display()
    ));
    output::note(format_args!("next, on every host: nixcert revocation install {}", path.display()));
}

/// Where a list goes beside its own place.
struct Copy<'a>(Option<Destination<'a>>);

impl<'a> Copy<'a> {
    /// A file that holds an older list of the same signer is replaced; anything else is not.
    fn new(args: &'a RevokeArgs, ca: PublicKey, signer: PublicKey) -> Result<Self> {
        let Some(path) = args.output.as_deref() else { return Ok(Self(None)) };
        if path == Path::new("-") && io::stdout().is_terminal() {
            return Err(Error::new("a list is not text, and is not shown on a terminal")
                .help("name a file with -o FILE; 'nixcert revocation show FILE' shows it"));
        }
        let force = args.force || (path.is_file() && is_list_of(path, ca, signer));
        Ok(Self(Some(Destination::new(Some(path), Access::Public, force)?)))
    }

    fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    fn path(&self) -> Option<&'a Path> {
        self.0.as_ref().and_then(Destination::path)
    }

    fn write(&self, list: &[u8]) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |destination| destination.write(list))
    }
}

fn is_list_of(path: &Path, ca: PublicKey, signer: PublicKey) -> bool {
    let Ok(bytes) = files::read(path, LIST_BYTES as u64) else { return false };
    RevocationList::parse(&bytes).is_ok_and(|list| list.ca == ca && signer_of(&list) == Some(signer))
}

/// Who signed a list, by what it says itself.
pub(crate) fn signer_of(list: &RevocationList<'_>) -> Option<PublicKey> {
    match list.certificates.first() {
        Some(leaf) => Certificate::parse(leaf).ok().map(|leaf| leaf.subject),
        None => Some(list.ca),
    }
}

/// The CA's log, where a delegate has it.
fn read_log(path: &Path) -> Result<Vec<Record>> {
    let file = if path.is_dir() { path.join("issued.jsonl") } else { path.to_owned() };
    Ok(Log::read(&file)?)
}

fn cause(text: &str) -> std::result::Result<Cause, String> {
    Cause::ALL.into_iter().find(|cause| cause.name() == text).ok_or_else(|| {
        let names: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        format!("the causes are {}", names.join(", "))
    })
}
