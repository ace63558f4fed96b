//! The contents of single paths, for `nixcert repair` of the host.

use super::remote::{Line, Remote};
use crate::carrier::with_signatures;
use crate::commands::closure::held::{Held, HeldPath};
use crate::error::{Error, Result};
use crate::output::{self, shorten};
use nixcert_core::{NarInfo, StorePath, is_of_a_closure};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

/// A path, as it is here.
pub(crate) struct Parcel<'a> {
    path: &'a HeldPath,
}

/// What can be sent of these paths: those that are in this closure. Whether the host takes them, their signatures decide there.
pub(crate) fn parcels<'a>(held: &'a Held, paths: &BTreeSet<StorePath>) -> Vec<Parcel<'a>> {
    held.paths.iter().filter(|path| paths.contains(path.path())).map(|path| Parcel { path }).collect()
}

/// Which of these paths have other contents there than here.
pub(crate) fn with_other_contents(
    held: &Held,
    paths: &BTreeSet<StorePath>,
    remote: &Remote,
) -> Result<BTreeSet<StorePath>> {
    let concerned: Vec<String> =
        parcels(held, paths).iter().map(|parcel| parcel.path().to_string()).collect();
    let there = remote.nix().path_info_of(&concerned)?.into_iter().filter_map(|known| {
        let narinfo = NarInfo::parse(&known.narinfo.ok()?).ok()?;
        let here = held.get(&known.path)?;
        (here.narinfo.info != narinfo.info).then(|| here.path().clone())
    });
    Ok(there.collect())
}

impl Parcel<'_> {
    pub(crate) fn path(&self) -> &StorePath {
        self.path.path()
    }

    /// What is said of it: a narinfo, and a blank line. The NAR follows.
    fn head(&self) -> String {
        let signatures = self.path.narinfo.signatures.iter();
        let own = signatures.filter(|signature| !is_of_a_closure(signature.as_bytes()));
        format!("{}\n", with_signatures(&self.path.text, own))
    }

    fn write(&self, to: &mut impl Write) -> Result<()> {
        let lost = |error: io::Error| {
            Error::new(format!("the host stopped reading: {}", nixcert_files::said(&error)))
        };
        to.write_all(self.head().as_bytes()).map_err(lost)?;
        let fault = |error: &io::Error| {
            Error::new(format!("cannot run 'nix-store --dump': {}", nixcert_files::said(error)))
        };
        let mut dump = Command::new("nix-store")
            .args(["--dump", self.path().as_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| fault(&error))?;
        let nar = dump.stdout.take();
        // One byte more than it has: whether it is as long as it says, is known then.
        let size = self.path.narinfo.info.nar_size;
        let copied = nar.map(|nar| io::copy(&mut nar.take(size.saturating_add(1)), to)).transpose();
        let copied = copied.map_err(lost)?.unwrap_or_default();
        let status = dump.wait().map_err(|error| fault(&error))?;
        if !status.success() || copied != size {
            return Err(Error::new(format!("'{}' is not what the store says of it", self.path()))
                .help("nix-store --verify-path tells how; repair it here first"));
        }
        Ok(())
    }
}

/// Send them, and let the host replace what it has.
pub(crate) fn send(remote: &Remote, parcels: &[Parcel<'_>]) -> Result<()> {
    for parcel in parcels {
        output::note(format_args!("sending {}", parcel.path()));
    }
    let output = remote.run_with(&Line::new("sudo -n nixcert repair -"), |stdin| {
        parcels.iter().try_for_each(|parcel| parcel.write(stdin))
    })?;
    let said = shorten(String::from_utf8_lossy(&output.stderr).trim(), 4000);
    let told = shorten(String::from_utf8_lossy(&output.stdout).trim(), 4000);
    for line in told.lines() {
        output::note(line);
    }
    match output.status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Error::refused(format!("the host did not replace them: {said}"))
            .help("if sudo refused: the line that lets you is in 'nixcert deploy --help'")),
        Some(_) | None => Err(Error::new(format!("the host could not replace them: {said}"))
            .help("look into its log; what was replaced, was replaced as a whole")),
    }
}
