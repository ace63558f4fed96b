//! Asking the activation gate, with somebody waiting for the answer.

use crate::error::{Error, Result};
use crate::output;
use indicatif::{ProgressBar, ProgressStyle};
use nixcert_core::{ObjectError, StorePath};
use nixcert_gate::{CheckError, InProgress, Question, Records, Stage, Verdict, Watcher, check, tools};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where the store is.
const STORE: &str = "/nix/store";

/// Shows how far it is, and stops when a signal came.
pub(crate) struct Waiting {
    bar: ProgressBar,
    cancelled: Arc<AtomicBool>,
}

impl Waiting {
    pub(crate) fn new(cancelled: Arc<AtomicBool>) -> Self {
        let bar = match io::stderr().is_terminal() {
            true => ProgressBar::no_length().with_style(ProgressStyle::default_bar()),
            false => ProgressBar::hidden(),
        };
        Self { bar, cancelled }
    }
}

impl Watcher for Waiting {
    fn progress(&self, stage: Stage, done: usize, of: usize) {
        match stage {
            Stage::Listing | Stage::Judging => {
                self.bar.set_length(u64::try_from(of).unwrap_or(u64::MAX));
                self.bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
            }
            Stage::Reading => self.bar.tick(),
        }
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The gate's answer.
pub(crate) fn ask(question: &Question<'_>, path: &StorePath) -> Result<Verdict> {
    check(question, path).map_err(|error| {
        let message = Error::new(format!("cannot tell about {path}: {error}"));
        match error {
            CheckError::Cancelled => message.help("nothing was changed; ask again"),
            CheckError::Records(_) => {
                message.help("ask as root, who may read them: sudo nixcert check-closure")
            }
            CheckError::Store(_) | CheckError::Object(_) | CheckError::Order(_) | CheckError::Defect => {
                message
            }
        }
    })
}

/// From here on, whatever a terminal sends to those who run in it is told to `flag`, and ends or suspends nothing: neither is
/// an activation left half-way, nor does somebody hold the lock, or a verdict, who has gone for lunch.
pub(crate) fn not_stopped(flag: &Arc<AtomicBool>) -> Result<()> {
    for signal in [SIGINT, SIGQUIT, SIGTSTP, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .map_err(|error| Error::new(format!("cannot be told of signals: {error}")))?;
    }
    Ok(())
}

/// A store path, and nothing in one.
pub(crate) fn store_path(text: &str) -> Result<StorePath> {
    let refuse = |error: ObjectError| {
        Error::new(error).help("name the top-level path itself: readlink -f result says which it is")
    };
    let path = StorePath::parse(text).map_err(refuse)?;
    if path.directory() != STORE {
        return Err(Error::new(format!("'{path}' is not in {STORE}")));
    }
    // Nix builds what is called so.
    if path.name().ends_with(".drv") {
        return Err(Error::new(format!("'{path}' is what builds a system, and none"))
            .help("name what it builds: nix-store --query --outputs"));
    }
    Ok(path)
}

/// Say how an activation that was killed has left things. One that is running says so itself.
pub(crate) fn tell_of_interrupted(records: &Path, may_be_running: bool) {
    let found = match InProgress::read(&Records::new(records)) {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(error) => return output::warn(error),
    };
    let InProgress { from, to, action, user, time, .. } = &found;
    if may_be_running && found.is_running() {
        return output::note(format_args!("{user} is activating {to} ({action}) since {time}"));
    }
    let now = tools::profile();
    let which = match &now {
        now if now.as_ref() == Some(to) => "the new one",
        now if now == from => "as before",
        Some(_) | None => "which is neither that nor what was before",
    };
    let leads = now.as_deref().map_or("there is no system profile".to_owned(), |now| {
        format!("the system profile leads to {now}, {which}")
    });
    output::warn(format_args!(
        "the activation of {to} ({action}) by {user} at {time} was interrupted: {leads}; run it again, or activate another: \
         what is running may be partly of the one and partly of the other"
    ));
}
