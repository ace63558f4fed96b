//! `nixcert closure sign`: vouch for a system.

use super::cosign;
use super::grounds::{self, Ground, Grounds, InDoubt};
use super::held::{Held, HeldPath, resolve};
use super::signer::Signer;
use super::statements::{self, Signed};
use super::vendors::{Known, VendorArgs};
use crate::carrier::{Carrier, with_signatures};
use crate::commands::issue::confirm;
use crate::error::{Answer, Error, Result};
use crate::nix::{Nix, PATHS_AT_ONCE};
use crate::output::{self, NOTE, REFUSED, SCHEMA, Table, printable};
use crate::progress::Progress;
use crate::time::{self, Time};
use nixcert_core::{HostPattern, Instant, Statement};
use nixcert_issue::{sign_path, sign_statement};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How long a deployment may wait for its co-signers, and for hosts that are off: a week.
pub(crate) const DEFAULT_VALIDITY: &str = "7d";

/// Vouch for a system: sign what its closure is, and each of its paths
///
/// A signature vouches for whatever is in your store, and others may have put it there. So this looks first: what was built
/// here, is content-addressed, was signed by a vendor, or by you before, is taken as it is. What rests on other people's
/// certificates, on keys that are not known here, or on no signature at all (as what remote builders send), is listed, and
/// signed only if --vouch names it. What was built here from such inputs is not found out: build where nobody else imports.
///
/// Then it signs a statement (path, digest of the whole closure, hosts, time), and each path that you have not signed and no
/// vendor has, and adds all that to the store. Hosts ask for the statement; signatures of the paths let them say which path is
/// not as you had it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert closure sign -k alice.nixcert.key --host web-1 ./result
  nixcert closure sign -k alice.nixcert.key --host 'web-?' --valid 2d --policy web.toml ./result
  nixcert closure sign -k bob.nixcert.key --co-sign /nix/store/…-nixos-system-web-1-25.11
  nixcert closure sign -k alice.nixcert.key --host web-1 --vouch /nix/store/…-hello-2.12 ./result

Signatures are added in parts, the statement last: an interrupted run can be repeated.

Exit status: 0 signed, or signed already; 1 refused or declined; 2 could not be done.")]
pub(crate) struct SignArgs {
    /// The top-level path, or a link to it, such as ./result
    path: PathBuf,
    /// Your key with its certificate, as 'nixcert attach' writes it
    #[arg(short, long, value_name = "FILE")]
    key: PathBuf,
    /// A host that may activate it (its ca-host-name); '*' is every one [required]
    #[arg(long, value_name = "PATTERN", value_delimiter = ',', value_parser = host_pattern)]
    host: Vec<String>,
    /// How long, or until when, it may be activated: 7d, 12h, 2027-01-31 [default: 7d]
    #[arg(long, value_name = "TIME")]
    valid: Option<Time>,
    /// Sign the statement that somebody else has signed: the same bytes
    #[arg(long, conflicts_with_all = ["host", "valid"])]
    co_sign: bool,
    #[command(flatten)]
    pub(crate) choice: ChoiceArgs,
    /// Another store than this machine's, as Nix's --store
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is taken as it is, and what is signed.
#[derive(clap::Args)]
pub(crate) struct ChoiceArgs {
    /// A path of the closure that you vouch for, though nothing but other people's word stands for it; 'all' is each of them
    #[arg(long, value_name = "PATH")]
    vouch: Vec<PathBuf>,
    /// Sign each path, those of vendors too
    #[arg(long)]
    sign_all: bool,
    #[command(flatten)]
    pub(crate) vendors: VendorArgs,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

pub(crate) fn run(args: &SignArgs) -> Result {
    let now = time::now()?;
    if !args.co_sign && args.host.is_empty() {
        return Err(Error::new("which hosts may activate it is not said").help(
            "name them with --host PATTERN, as often as needed (their ca-host-name); --host '*' is every host, and is \
             never assumed",
        ));
    }
    let signer = Signer::read(&args.key, now)?;
    let top = resolve(&args.path)?;
    if let Some(url) = args.store.as_deref().filter(|url| is_cache(url)) {
        return Err(Error::new(format!("--store: '{url}' is a cache, and nobody has checked what is in it"))
            .help("copy it into a store first (nix copy), and sign it there"));
    }
    let known = args.choice.vendors.load()?;
    let nix = Nix::new(args.store.clone());
    let held = Held::read(&nix, top)?;
    let terms = match args.co_sign {
        true => Terms::CoSign,
        false => Terms::New { hosts: args.host.iter().cloned().collect(), valid: args.valid },
    };
    let plan = match Plan::make(&held, &signer, &known, &terms, &args.choice, now)? {
        Ok(plan) => plan,
        Err(in_doubt) => {
            if args.json {
                output::json(&Report::refused(&held, in_doubt))?;
                return Ok(Answer::No);
            }
            return Err(refusal(&in_doubt));
        }
    };
    if plan.is_done() {
        output::note("you have signed all of this already");
    } else {
        plan.show(&signer, now)?;
        confirm(args.choice.yes)?;
        plan.apply(&nix, &signer)?;
        output::note(
            "signed; bring it to a host with 'nixcert deploy', or, where the paths are already, with 'nixcert closure push'",
        );
    }
    if args.json {
        output::json(&plan.report(&signer))?;
    }
    Ok(Answer::Yes)
}

/// Whether a store is only a place where files are: what it says of its paths, others wrote.
fn is_cache(url: &str) -> bool {
    ["file://", "http://", "https://", "s3://"].iter().any(|scheme| url.starts_with(scheme))
}

/// What the statement says, beyond what the store does.
pub(crate) enum Terms {
    New {
        hosts: BTreeSet<String>,
        valid: Option<Time>,
    },
    /// The same, unless she has signed one for these hosts that is still good.
    NewUnlessThere {
        hosts: BTreeSet<String>,
        valid: Option<Time>,
    },
    CoSign,
}

/// What is going to be signed, by whom nothing is in doubt any more.
pub(crate) struct Plan<'a> {
    held: &'a Held,
    grounds: Grounds,
    statement: Statement,
    bytes: Vec<u8>,
    /// Those who signed the same statement.
    others: Vec<Signed>,
    /// Whether the statement is to be signed: not if she has.
    sign_statement: bool,
    /// Those paths that are signed.
    paths: Vec<&'a HeldPath>,
    vouched: Vec<InDoubt>,
}

impl<'a> Plan<'a> {
    /// Find out what would be signed; or which paths need her word first.
    pub(crate) fn make(
        held: &'a Held,
        signer: &Signer,
        known: &Known,
        terms: &Terms,
        choice: &ChoiceArgs,
        now: Instant,
    ) -> Result<std::result::Result<Self, Vec<InDoubt>>> {
        let (statement, others) = match terms {
            Terms::New { hosts, valid } => (new_statement(held, signer, hosts, *valid, now)?, Vec::new()),
            Terms::NewUnlessThere { hosts, valid } => match cosign::own(held, signer, known, hosts, now) {
                Some(there) => there,
                None => (new_statement(held, signer, hosts, *valid, now)?, Vec::new()),
            },
            Terms::CoSign => cosign::choose(held, signer, known, now)?,
        };
        let bytes = statement.to_bytes().map_err(|error| {
            Error::new(format!("the statement cannot be made: {error}"))
                .help("use fewer or shorter --host patterns")
        })?;
        let grounds = grounds::find(held, &signer.certificate.name, signer.certificate.key, known);
        let vouch = Vouch::read(&choice.vouch, held)?;
        let (vouched, open): (Vec<_>, Vec<_>) =
            grounds.in_doubt(held).into_iter().partition(|path| vouch.includes(&path.path));
        if !open.is_empty() {
            return Ok(Err(open));
        }
        let to_sign = |((path, ground), signed): ((&'a HeldPath, &Ground), &bool)| {
            let by_vendor =
                matches!(ground, Ground::Vendor(_)) && !choice.sign_all && *path.path() != held.top;
            (!signed && !by_vendor).then_some(path)
        };
        let paths = held.paths.iter().zip(&grounds.of).zip(&grounds.signed).filter_map(to_sign).collect();
        let sign_statement = !others.iter().any(|other| other.key == signer.certificate.key);
        Ok(Ok(Self { held, grounds, statement, bytes, others, sign_statement, paths, vouched }))
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_done(&self) -> bool {
        !self.sign_statement && self.paths.is_empty()
    }

    /// Say in words what will be signed.
    pub(crate) fn show(&self, signer: &Signer, now: Instant) -> Result<()> {
        let mut table = Table::default();
        statements::rows(&mut table, &self.statement, now);
        table.rows("Signed by", self.others.iter().map(Signed::signer_in_words));
        table.row("Signer", signer.in_words());
        for (what, count) in self.tally() {
            table.row(what, count);
        }
        table.rows("You vouch for", self.vouched.iter().map(|path| path.path.as_str()));
        let statement = if self.sign_statement { "the statement" } else { "no statement" };
        table.row("Signatures", format_args!("{statement}, and {} paths", self.paths.len()));
        let mut stderr = anstream::stderr().lock();
        std::io::Write::write_all(&mut stderr, b"To be signed:\n")?;
        table.write(&mut stderr)?;
        drop(stderr);
        if self.statement.not_after > signer.certificate.not_after {
            output::note(format_args!(
                "your certificate ends before the statement: hosts accept it until {}",
                signer.certificate.not_after
            ));
        }
        for path in self.vouched.iter().filter(|path| path.contents_differ) {
            output::warn(format_args!("{} has other contents than you signed", path.path));
        }
        Ok(())
    }

    /// On how many paths rest on what.
    fn tally(&self) -> Vec<(&'static str, String)> {
        let mut vendors: BTreeMap<&str, usize> = BTreeMap::new();
        let [mut built, mut addressed, mut before] = [0_usize; 3];
        for ground in &self.grounds.of {
            match ground {
                Ground::BuiltHere => built += 1,
                Ground::ContentAddressed => addressed += 1,
                Ground::SignedBefore => before += 1,
                Ground::Vendor(name) => *vendors.entry(name).or_default() += 1,
                Ground::OtherThanSigned(_) | Ground::Others(_) => {}
            }
        }
        let mut rows: Vec<(&'static str, String)> =
            [("Built here", built), ("Content-addressed", addressed), ("Signed by you before", before)]
                .into_iter()
                .filter(|(_, count)| *count > 0)
                .map(|(what, count)| (what, format!("{count} paths")))
                .collect();
        rows.extend(vendors.iter().map(|(name, count)| ("Of vendors", format!("{count} paths of {name}"))));
        rows
    }

    /// Sign, and add the signatures to the store: the statement last, so that where it is, nothing is missing.
    pub(crate) fn apply(&self, nix: &Nix, signer: &Signer) -> Result<()> {
        let name = &signer.certificate.name;
        let carrier = Carrier::new()?;
        let progress = Progress::new(self.paths.len());
        let (top, others): (Vec<&HeldPath>, Vec<&HeldPath>) =
            self.paths.iter().partition(|path| *path.path() == self.held.top);
        let add = |some: &[(&HeldPath, Vec<String>)]| {
            for (path, signatures) in some {
                carrier.put(path.path().as_str(), &with_signatures(&path.text, signatures))?;
            }
            let names: Vec<String> = some.iter().map(|(path, _)| path.path().to_string()).collect();
            let held = carrier.deliver(nix, &names)?;
            for (path, signatures) in some {
                let has = held.get(path.path().as_str());
                if !signatures.iter().all(|signature| has.is_some_and(|has| has.contains(signature))) {
                    return Err(Error::new(format!(
                        "the store did not take the signatures of '{}'",
                        path.path()
                    ))
                    .help("look into the log of nix-daemon; a repeated run does what is left"));
                }
            }
            progress.advance(some.len());
            Ok(())
        };
        for some in others.chunks(PATHS_AT_ONCE) {
            let signed = some.iter().map(|path| {
                Ok((*path, vec![sign_path(&signer.key, name, &path.object).map_err(Error::new)?]))
            });
            add(&signed.collect::<Result<Vec<_>>>()?)?;
        }
        let mut last = Vec::new();
        for path in &top {
            last.push(sign_path(&signer.key, name, &path.object).map_err(Error::new)?);
        }
        if self.sign_statement {
            last.push(sign_statement(&signer.key, name, &self.bytes).map_err(Error::new)?);
        }
        match self.held.get(self.held.top.as_str()) {
            Some(top) if !last.is_empty() => add(&[(top, last)]),
            Some(_) | None => Ok(()),
        }
    }

    fn report(&self, signer: &Signer) -> Report {
        let Statement { hosts, signed, not_after, .. } = &self.statement;
        Report {
            signed: true,
            label: Some(signer.certificate.label.clone()),
            serial: Some(signer.certificate.serial.clone()),
            hosts: hosts.iter().cloned().collect(),
            signing_time: Some(signed.to_string()),
            not_after: Some(not_after.to_string()),
            signed_before_by: self.others.iter().map(|other| other.label.clone()).collect(),
            signed_paths: self.paths.len(),
            vouched: self.vouched.clone(),
            ..Report::of(self.held)
        }
    }
}

/// What came of it, as `--json` prints it.
#[derive(Default, Serialize)]
struct Report {
    schema: u32,
    path: String,
    paths: u32,
    digest: String,
    signed: bool,
    /// Null if nothing was signed, as what follows.
    label: Option<String>,
    serial: Option<String>,
    hosts: Vec<String>,
    signing_time: Option<String>,
    not_after: Option<String>,
    /// The labels of those whose statement was co-signed.
    signed_before_by: Vec<String>,
    /// How many paths were signed, beside the statement.
    signed_paths: usize,
    /// Those that she vouched for with --vouch.
    vouched: Vec<InDoubt>,
    /// Those that need it, and why nothing was signed.
    needs_vouch: Vec<InDoubt>,
}

impl Report {
    fn of(held: &Held) -> Self {
        let (path, digest) = (held.top.to_string(), statements::hex(&held.digest));
        Self { schema: SCHEMA, path, paths: held.digest.paths, digest, ..Self::default() }
    }

    fn refused(held: &Held, needs_vouch: Vec<InDoubt>) -> Self {
        Self { needs_vouch, ..Self::of(held) }
    }
}

/// Name the paths that need her word.
pub(crate) fn refusal(in_doubt: &[InDoubt]) -> Error {
    let (differ, others): (Vec<&InDoubt>, Vec<&InDoubt>) =
        in_doubt.iter().partition(|path| path.contents_differ);
    for path in differ {
        anstream::eprintln!(
            "{REFUSED}other contents than you signed{REFUSED:#}  {}: {}",
            printable(&path.path),
            printable(&signers(path))
        );
    }
    for path in others {
        anstream::eprintln!(
            "{NOTE}not yours{NOTE:#}  {}: {}",
            printable(&path.path),
            printable(&signers(path))
        );
    }
    let count = in_doubt.len();
    let what = if count == 1 { "1 path of it rests".to_owned() } else { format!("{count} paths of it rest") };
    Error::refused(format!("nothing was signed: {what} on nothing but what others say")).help(
        "your signature would vouch for these contents. Fetch them from a vendor, or build them here (nix build --rebuild PATH \
         tells whether they are what a build gives); or vouch for them with --vouch PATH, or --vouch all",
    )
}

fn signers(path: &InDoubt) -> String {
    match path.signed_by.as_slice() {
        [] => "no signature".to_owned(),
        signers => format!("signed by {}", signers.join(", ")),
    }
}

/// The paths that she vouches for.
enum Vouch {
    All,
    Paths(BTreeSet<String>),
}

impl Vouch {
    fn read(named: &[PathBuf], held: &Held) -> Result<Self> {
        if named.iter().any(|path| path == Path::new("all")) {
            return Ok(Self::All);
        }
        let mut paths = BTreeSet::new();
        for named in named {
            let path = resolve(named)?.to_string();
            if held.get(&path).is_none() {
                return Err(Error::new(format!("--vouch: '{path}' is not a path of this closure"))
                    .help("take it as the list of paths shows it"));
            }
            paths.insert(path);
        }
        Ok(Self::Paths(paths))
    }

    fn includes(&self, path: &str) -> bool {
        match self {
            Self::All => true,
            Self::Paths(paths) => paths.contains(path),
        }
    }
}

fn new_statement(
    held: &Held,
    signer: &Signer,
    hosts: &BTreeSet<String>,
    valid: Option<Time>,
    now: Instant,
) -> Result<Statement> {
    if let Some(host) = hosts.iter().find(|host| !signer.may_vouch_on(host)) {
        return Err(Error::refused(format!(
            "the certificate of '{}' is not for the host '{host}', which would refuse it",
            signer.certificate.label
        ))
        .help("take the host's ca-host-name; or ask for a certificate with that --host"));
    }
    let fault = |problem: String| Error::new(format!("--valid: {problem}"));
    let valid = valid.map_or_else(|| DEFAULT_VALIDITY.parse(), Ok).map_err(fault)?;
    let not_after = valid.resolve(now).map_err(fault)?;
    if not_after <= now {
        return Err(fault(format!("it would have ended at {not_after}")).help("choose a later time"));
    }
    Ok(Statement {
        path: held.top.clone(),
        closure: held.digest,
        hosts: hosts.clone(),
        signed: now,
        not_after,
    })
}

pub(crate) fn host_pattern(text: &str) -> std::result::Result<String, String> {
    HostPattern::parse(text.as_bytes()).map(|pattern| pattern.to_string()).map_err(|error| error.to_string())
}
