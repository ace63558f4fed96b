//! `nixcert ca`: making and keeping a CA.

use crate::error::{Answer, Error, Result};
use crate::output::{self, Destination, Table, printable, shorten};
use crate::passphrase::PassphraseArgs;
use crate::{input, time};
use nixcert_core::Certificate;
use nixcert_files::{Access, Existing};
use nixcert_issue::{Ca, CaKind, Log, Record, Seal, SecretKey};
use std::io::{self, Write};
use std::path::PathBuf;

#[derive(clap::Subcommand)]
pub(crate) enum CaCommand {
    Init(InitArgs),
    Adopt(AdoptArgs),
    Log(LogArgs),
}

/// Make a CA: a directory with its key and its log
///
/// The secret key is encrypted with a passphrase (in the age format). Keep the directory off the hosts that trust it, and
/// back it up: without its log the CA does not know whose labels are taken.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert ca init acme-ca --name acme-2026-1
  nixcert ca init sealed  --name acme-2026-2      # a second root, kept in a safe; hosts trust both
  nixcert ca init team-a  --name team-a --intermediate

The line for nix.conf is printed on standard output; everything else goes to standard error.")]
pub(crate) struct InitArgs {
    /// The directory to make (mode 0700)
    directory: PathBuf,
    /// What hosts know the CA by, such as acme-2026-1; an intermediate's label
    #[arg(long)]
    name: String,
    /// Make an intermediate CA, which another one certifies, and a request for that
    #[arg(long)]
    intermediate: bool,
    /// Keep the secret key as it is: whoever can read the file is the CA
    #[arg(long, conflicts_with_all = ["passphrase_file", "passphrase_fd"])]
    unencrypted: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Install the certificate of an intermediate CA
///
/// It must be for this CA's key and for issuing; a trial certificate is made and judged before it is installed.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  root$   nixcert issue --ca acme-ca team-a/ca.request --usage issue,import-paths --permit 'team-a-*' --host '*' \\
            --valid 1y -o team-a.cert
  team-a$ nixcert ca adopt team-a team-a.cert")]
pub(crate) struct AdoptArgs {
    /// The directory of the intermediate CA
    directory: PathBuf,
    /// Its certificate; '-' is standard input
    certificate: PathBuf,
    /// Replace the certificate that is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// Show what a CA issued
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert ca log acme-ca
  nixcert ca log acme-ca --serial 5d1c21f20df2b3aa --certificate > alice.cert   # the certificate once more
  nixcert ca log acme-ca --json                                                  # one object a line")]
pub(crate) struct LogArgs {
    /// The directory of the CA
    directory: PathBuf,
    /// Only this label
    #[arg(long)]
    label: Option<String>,
    /// Only this serial number
    #[arg(long)]
    serial: Option<String>,
    /// Print the certificates themselves
    #[arg(long, conflicts_with = "json")]
    certificate: bool,
    /// Print the records as JSON, one a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: CaCommand) -> Result {
    match command {
        CaCommand::Init(args) => init(args),
        CaCommand::Adopt(args) => adopt(args),
        CaCommand::Log(args) => log(args),
    }
}

fn init(args: InitArgs) -> Result {
    let kind = if args.intermediate { CaKind::Intermediate } else { CaKind::Root };
    Ca::check_new(&args.directory, kind, &args.name)?;
    let seal =
        if args.unencrypted { Seal::Unencrypted } else { Seal::Passphrase(args.passphrase.new_one()?) };
    let key = SecretKey::generate()?;
    let now = time::now()?;
    let ca = output::busy("encrypting the key", || {
        Ca::create(&args.directory, kind, &args.name, &key, &seal, now)
    })?;
    let directory = ca.path().display();
    if args.unencrypted {
        output::warn("the CA's secret key is not encrypted: whoever can read the file is the CA");
    }
    match kind {
        CaKind::Root => {
            writeln!(io::stdout().lock(), "trusted-ca-keys = {}", ca.trusted_entry())?;
            output::note(format_args!(
                "the CA is in '{directory}'; add its key to trusted-ca-keys in nix.conf of every host that shall trust it:\n      \
                 one such line for all CAs, since a second one would replace the first.\n      \
                 next: nixcert issue --ca {directory} REQUEST --permit PATTERN --host PATTERN -o FILE"
            ));
        }
        CaKind::Intermediate => output::note(format_args!(
            "the intermediate CA is in '{directory}'; it can issue once it is certified itself.\n      \
             next, at the CA above it: nixcert issue --ca CA {} --usage issue,import-paths --permit PATTERN --host PATTERN -o FILE\n      \
             then, here:               nixcert ca adopt {directory} FILE",
            ca.request_path().display()
        )),
    }
    Ok(Answer::Yes)
}

fn adopt(args: AdoptArgs) -> Result {
    let mut ca = Ca::open(&args.directory)?;
    let existing = if args.force { Existing::Replace } else { Existing::Keep };
    if ca.kind() == CaKind::Intermediate {
        Destination::new(Some(&ca.certificate_path()), Access::Public, args.force)?;
    }
    let certificate = input::line(&args.certificate, "a certificate")?;
    ca.check_adoptable(&certificate)?;
    let key = unlock(&ca, &args.passphrase)?;
    ca.adopt(&certificate, &key, existing)?;
    let root = ca
        .chain()
        .last()
        .and_then(|bytes| Certificate::parse(bytes).ok())
        .map(|last| last.issuer.to_string());
    output::note(format_args!(
        "'{0}' can issue now, for hosts that trust the CA key {1}\n      \
         next: nixcert issue --ca {0} REQUEST --permit PATTERN --host PATTERN -o FILE",
        ca.path().display(),
        root.unwrap_or_default()
    ));
    Ok(Answer::Yes)
}

/// The CA's secret key; the passphrase is asked for only if there is one.
pub(crate) fn unlock(ca: &Ca, passphrase: &PassphraseArgs) -> Result<SecretKey> {
    let sealed = ca.is_sealed()?;
    if !sealed && passphrase.given() {
        output::note("the CA's key is not encrypted; the passphrase was not needed");
    }
    let passphrase = if sealed { Some(passphrase.known()?) } else { None };
    Ok(output::busy("opening the CA's key", || ca.unlock(passphrase.as_ref()))?)
}

fn log(args: LogArgs) -> Result {
    let ca = Ca::open(&args.directory)?;
    let wanted = |record: &Record| {
        args.label.as_ref().is_none_or(|label| record.label == *label)
            && args.serial.as_ref().is_none_or(|serial| record.serial == *serial)
    };
    let records: Vec<Record> = Log::read(&ca.log_path())?.into_iter().filter(wanted).collect();
    if args.json {
        records.iter().try_for_each(output::json)?;
    } else if args.certificate {
        let mut stdout = io::stdout().lock();
        records.iter().try_for_each(|record| writeln!(stdout, "{}", printable(&record.certificate)))?;
    } else {
        show(&records)?;
    }
    match (records.is_empty(), args.label.is_some() || args.serial.is_some()) {
        (false, _) => Ok(Answer::Yes),
        (true, false) => {
            output::note("nothing was issued yet");
            Ok(Answer::Yes)
        }
        (true, true) => {
            Err(Error::refused("nothing like this was issued")
                .help("without --label and --serial it shows all"))
        }
    }
}

fn show(records: &[Record]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    for record in records {
        writeln!(stdout, "{}  {}", printable(&record.serial), printable(&record.label))?;
        let mut table = Table::default();
        table.row("Issued", &record.time);
        table.row("Valid", format_args!("{} until {}", record.not_before, record.not_after));
        table.row("May", record.usages.join(", "));
        table.row("Packages", shorten(&record.permitted_names.join(" "), 200));
        table.row("Hosts", shorten(&record.hosts.join(" "), 200));
        table.row("Key", &record.subject);
        table.write(&mut stdout)?;
    }
    Ok(())
}
