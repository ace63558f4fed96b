//! `nixcert rewrap`: a renewed certificate on signatures that exist, without any secret key.

use crate::carrier::Carrier;
use crate::error::{Answer, Error, Result};
use crate::narinfos::NARINFO_BYTES;
use crate::nix::{Known, Nix, PATHS_AT_ONCE};
use crate::output::{self, ACCEPTED, REFUSED, SCHEMA, printable};
use crate::rewrap::{Rewrapped, Wrapper};
use crate::time;
use indicatif::{ProgressBar, ProgressStyle};
use nixcert_core::NarInfo;
use nixcert_files::{self as files, said};
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Put renewed certificates on existing signatures, without any secret key
///
/// A signature is its key's, whatever certificate stands in its name: a later certificate of the same key goes in front of
/// the same signature. Only signatures that bear a certificate of the same key, and that are truly that key's for that very
/// path, get the new one. It is added beside the old one, which may still count somewhere: on a host whose clock is
/// behind, or for a path that was registered while it was in force. All else stays as it is, byte for byte. What was done
/// already is passed over, so an interrupted run can be repeated.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert rewrap alice.cert --cache file:///srv/cache           # the narinfo files of a cache
  nixcert rewrap certs/*.cert --cache /srv/cache --drop-expired # a renewed team
  nixcert rewrap alice.cert --path ./result --recursive         # in a store, through its daemon, as a normal user
  nixcert rewrap alice.cert --all --json | jq -r 'select(.status == \"rewrapped\").path'

Hosts that have seen the old narinfo: of a cache over HTTP or S3, Nix remembers each narinfo with its signatures, for
narinfo-cache-positive-ttl (30 days). It finds the new ones at once if one of these is done on the host:
  root#  nix path-info --refresh --recursive --store https://cache.example.org PATH
         (renews what its daemon remembers of PATH and what it refers to; from then on everybody there gets them)
  root#  nix build --option narinfo-cache-positive-ttl 0 …        (for this command; --refresh does not reach a daemon)
  alice$ nix copy --refresh --from https://cache.example.org PATH (as any user: reads anew, and the daemon judges)
or if its nix.conf says 'narinfo-cache-positive-ttl = 0'. Of caches in a directory, ssh:// and ssh-ng:// nothing is
remembered. What a host has already is not fetched again: rewrap it there, with --path or --all.

Exit status: 0 done, or nothing was left to do; 1 nothing there is signed by these keys, or a certificate is no good; 2
something could not be read or written (the rest was done).")]
pub(crate) struct RewrapArgs {
    /// Certificate files, as 'nixcert issue --renew -o' writes them
    #[arg(required = true, value_name = "CERTIFICATE")]
    certificates: Vec<PathBuf>,
    /// A binary cache in a directory: file:///DIR, or DIR
    #[arg(long, value_name = "CACHE")]
    cache: Option<String>,
    /// Store paths, or links to them
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["cache", "all"])]
    path: Vec<OsString>,
    /// Every path of the store
    #[arg(long, conflicts_with = "cache")]
    all: bool,
    /// With --path: what they refer to as well
    #[arg(short, long, conflicts_with_all = ["cache", "all"])]
    recursive: bool,
    /// Another store than this machine's, as Nix's --store
    #[arg(long, value_name = "URL", conflicts_with = "cache")]
    store: Option<String>,
    /// With --cache: take away signatures by these keys whose old certificate has expired
    #[arg(long, conflicts_with_all = ["path", "all"])]
    drop_expired: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object for each path and line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: RewrapArgs) -> Result {
    if args.cache.is_none() && args.path.is_empty() && !args.all {
        return Err(Error::new("where the signatures are is not said").help(
            "name a cache with --cache DIR, or paths of a store with --path PATH, or all of them with --all",
        ));
    }
    let now = time::now()?;
    let wrapper = Wrapper::read(&args.certificates, now)?;
    for certificate in wrapper.certificates() {
        let (label, serial) = (&certificate.label, &certificate.serial);
        if certificate.not_after <= now {
            return Err(Error::refused(format!(
                "the certificate of '{label}' (serial {serial}), or one above it, expired at {}: no host would accept it",
                certificate.not_after
            ))
            .help("renew it first: nixcert issue --renew"));
        }
        if certificate.not_before > now {
            output::warn(format_args!(
                "the certificate of '{label}' (serial {serial}), or one above it, is not valid before {}",
                certificate.not_before
            ));
        }
    }
    let mut run = Run { wrapper, args: &args, counts: Counts::default(), progress: ProgressBar::hidden() };
    let done = match &args.cache {
        Some(cache) => cache_directory(cache).and_then(|directory| run.cache(&directory)),
        None => run.store(&Nix::new(args.store.clone())),
    };
    run.progress.finish_and_clear();
    done?;
    run.conclude()
}

#[derive(Default)]
struct Counts {
    rewrapped: usize,
    current: usize,
    unrelated: usize,
    failed: usize,
}

/// What became of one path, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    schema: u32,
    /// Null where a file does not say.
    path: Option<String>,
    /// Null in a store.
    file: Option<String>,
    status: Status,
    /// Whether it was written: not with --dry-run.
    written: bool,
    /// The certificates that signatures were added under.
    added: Vec<Added>,
    /// How many signatures of expired certificates were taken away.
    dropped: usize,
    /// How many signatures bear a certificate of one of these keys, and are not that key's for this path.
    bad: usize,
    /// Why it failed.
    message: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    /// It has new signatures.
    Rewrapped,
    /// It has had them all.
    Current,
    /// It has no signature by one of these keys.
    Unrelated,
    /// It could not be read or written.
    Failed,
}

#[derive(Serialize)]
struct Added {
    label: String,
    serial: String,
}

struct Run<'a> {
    wrapper: Wrapper,
    args: &'a RewrapArgs,
    counts: Counts,
    progress: ProgressBar,
}

impl Run<'_> {
    /// Every narinfo file of a cache, one after the other.
    fn cache(&mut self, directory: &Path) -> Result<()> {
        let fault =
            |error: &io::Error| Error::new(format!("cannot read '{}': {}", directory.display(), said(error)));
        let mut files = Vec::new();
        for entry in fs::read_dir(directory).map_err(|error| fault(&error))? {
            let path = entry.map_err(|error| fault(&error))?.path();
            if path.extension().is_some_and(|extension| extension == "narinfo") {
                files.push(path);
            }
        }
        files.sort();
        self.begin(files.len());
        let mut written = false;
        for file in &files {
            let report = match self.file(file) {
                Ok(report) => report,
                Err(message) => Report::failed(None, message),
            };
            written |= report.written;
            self.count(Report { file: Some(file.display().to_string()), ..report })?;
        }
        if written {
            files::sync_directory(directory)?;
        }
        Ok(())
    }

    fn file(&self, file: &Path) -> std::result::Result<Report, String> {
        let limit = u64::try_from(NARINFO_BYTES).unwrap_or(u64::MAX);
        let bytes = files::read(file, limit).map_err(|error| error.to_string())?;
        let text = String::from_utf8(bytes).map_err(|_| "it is not text (UTF-8)".to_owned())?;
        let narinfo = NarInfo::parse(&text).map_err(|error| error.to_string())?;
        let path = narinfo.info.path.to_string();
        let done = self.wrapper.rewrap(&text, self.args.drop_expired)?;
        let mut report = Report::of(&self.wrapper, path, &done);
        if let (Some(text), false) = (&done.text, self.args.dry_run) {
            files::replace(file, text.as_bytes()).map_err(|error| error.to_string())?;
            report.written = true;
        }
        Ok(report)
    }

    /// Ask the store, make a cache of what is new, and let Nix copy the signatures from there.
    fn store(&mut self, nix: &Nix) -> Result<()> {
        let mut arguments: Vec<OsString> = Vec::new();
        if self.args.all {
            arguments.push("--all".into());
        } else {
            arguments.extend(self.args.recursive.then(|| "--recursive".into()));
            arguments.push("--".into());
            arguments.extend(self.args.path.iter().cloned());
        }
        let known = output::busy("asking the store", || nix.path_info(&arguments))?;
        self.begin(known.len());
        let carrier = Carrier::new()?;
        let mut new = Vec::new();
        for Known { path, narinfo, .. } in known {
            match narinfo.and_then(|text| self.wrapper.rewrap(&text, false)) {
                Ok(done) => match done.text.as_deref().filter(|_| !self.args.dry_run) {
                    Some(text) => {
                        carrier.put(&path, text)?;
                        new.push((path, done));
                    }
                    None => self.count(Report::of(&self.wrapper, path, &done))?,
                },
                Err(message) => self.count(Report::failed(Some(path), message))?,
            }
        }
        // Some at a time, so that what is done is done, and somebody sees it.
        for some in new.chunks(PATHS_AT_ONCE) {
            self.copy(nix, &carrier, some)?;
        }
        Ok(())
    }

    fn copy(&mut self, nix: &Nix, carrier: &Carrier, some: &[(String, Rewrapped)]) -> Result<()> {
        let paths: Vec<String> = some.iter().map(|(path, _)| path.clone()).collect();
        let held = carrier.deliver(nix, &paths)?;
        for (path, done) in some {
            let held = held.get(path).cloned().unwrap_or_default();
            let report = if done.signatures.iter().all(|signature| held.contains(signature)) {
                Report { written: true, ..Report::of(&self.wrapper, path.clone(), done) }
            } else {
                Report::failed(Some(path.clone()), "the store did not take the new signatures".to_owned())
            };
            self.count(report)?;
        }
        Ok(())
    }

    fn begin(&mut self, length: usize) {
        let elsewhere = !io::stdout().is_terminal() || !self.args.json;
        if io::stderr().is_terminal() && elsewhere {
            let length = u64::try_from(length).unwrap_or(u64::MAX);
            self.progress = ProgressBar::new(length).with_style(ProgressStyle::default_bar());
        }
    }

    fn count(&mut self, report: Report) -> Result<()> {
        match report.status {
            Status::Rewrapped => self.counts.rewrapped += 1,
            Status::Current => self.counts.current += 1,
            Status::Unrelated => self.counts.unrelated += 1,
            Status::Failed => self.counts.failed += 1,
        }
        self.progress.inc(1);
        let json = self.args.json;
        self.progress.suspend(|| if json { output::json(&report) } else { report.show() })
    }

    fn conclude(&self) -> Result {
        let Counts { rewrapped, current, unrelated, failed } = self.counts;
        let not_done = if self.args.dry_run { " (--dry-run: nothing was changed)" } else { "" };
        output::note(format_args!(
            "{rewrapped} rewrapped, {current} had it already, {unrelated} not signed by these keys, {failed} failed{not_done}"
        ));
        match (failed, rewrapped + current) {
            (0, 0) => Err(Error::refused("nothing there is signed by a key of these certificates").help(
                "a certificate goes only on signatures of its own key that have a certificate already; 'nixcert inspect' \
                 shows whose they are",
            )),
            (0, _) => Ok(Answer::Yes),
            _ => Ok(Answer::CouldNotTell),
        }
    }
}

/// The directory of a `file://` cache.
fn cache_directory(cache: &str) -> Result<PathBuf> {
    let directory = match cache.split_once("://") {
        Some(("file", path)) => PathBuf::from(path.split('?').next().unwrap_or(path)),
        Some((scheme, _)) => {
            return Err(Error::new(format!("'{scheme}://' is not a cache in a directory"))
                .help("run it where the files are, or on a copy: nix copy --to file:///DIR"));
        }
        None => PathBuf::from(cache),
    };
    if directory.join("nix-cache-info").is_file() {
        Ok(directory)
    } else {
        Err(Error::new(format!(
            "'{}' is not a binary cache: it has no file 'nix-cache-info'",
            directory.display()
        ))
        .help("name the directory that 'nix copy --to file:///DIR' made; for a store, use --path or --all"))
    }
}

impl Report {
    fn of(wrapper: &Wrapper, path: String, done: &Rewrapped) -> Self {
        let added = |index: &usize| {
            let certificate = wrapper.certificates().get(*index)?;
            Some(Added { label: certificate.label.clone(), serial: certificate.serial.clone() })
        };
        let status = match (&done.text, done.matched) {
            (Some(_), _) => Status::Rewrapped,
            (None, 0) => Status::Unrelated,
            (None, _) => Status::Current,
        };
        Self {
            schema: SCHEMA,
            path: Some(path),
            file: None,
            status,
            written: false,
            added: done.added.iter().filter_map(added).collect(),
            dropped: done.dropped,
            bad: done.bad,
            message: None,
        }
    }

    fn failed(path: Option<String>, message: String) -> Self {
        Self {
            schema: SCHEMA,
            path,
            file: None,
            status: Status::Failed,
            written: false,
            added: Vec::new(),
            dropped: 0,
            bad: 0,
            message: Some(message),
        }
    }

    /// What changed, and what could not be; not the many that are as they were.
    fn show(&self) -> Result<()> {
        let name = self.path.as_deref().or(self.file.as_deref()).unwrap_or_default();
        let path = printable(name);
        let mut stdout = anstream::stdout().lock();
        match self.status {
            Status::Rewrapped => {
                let mut parts: Vec<String> =
                    self.added.iter().map(|added| format!("{} {}", added.label, added.serial)).collect();
                if self.dropped > 0 {
                    parts.push(format!("{} expired taken away", self.dropped));
                }
                writeln!(stdout, "{ACCEPTED}rewrapped{ACCEPTED:#}  {path}: {}", parts.join(", "))?;
            }
            Status::Failed => {
                let message = printable(self.message.as_deref().unwrap_or_default());
                writeln!(stdout, "{REFUSED}failed{REFUSED:#}     {path}: {message}")?;
            }
            Status::Current | Status::Unrelated => {}
        }
        if self.bad > 0 {
            drop(stdout);
            output::warn(format_args!(
                "{name}: {} signatures bear a certificate of one of these keys, but are not its signatures of this path",
                self.bad
            ));
        }
        Ok(())
    }
}
