//! An activation, step by step. Up to the profile it can be broken off at any point; from there on it goes on to its end.

use super::super::check_closure::text;
use crate::caller::Caller;
use crate::error::{Answer, Error, Result};
use crate::gate::{self, Waiting};
use crate::output;
use crate::time;
use crate::trust::Activating;
use nixcert_core::{Instant, StorePath};
use nixcert_gate::tools::{self, Guard, ToolError};
use nixcert_gate::{
    Event, InProgress, Leave, Lock, LockError, Log, Meta, Question, Records, RecordsError, Verdict,
    this_process,
};
use nixcert_store::Store;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a verdict holds: an hour, in which the contents of any system can be read.
const VERDICT_SECONDS: u64 = 60 * 60;

/// What `switch-to-configuration` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Action {
    /// Make it what runs, and what is booted
    Switch,
    /// Make it what is booted
    Boot,
    /// Make it what runs
    Test,
    /// Say what would be done
    DryActivate,
}

impl Action {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Boot => "boot",
            Self::Test => "test",
            Self::DryActivate => "dry-activate",
        }
    }

    fn sets_profile(self) -> bool {
        match self {
            Self::Switch | Self::Boot => true,
            Self::Test | Self::DryActivate => false,
        }
    }

    /// Whether the system becomes one that runs or is booted.
    fn activates(self) -> bool {
        match self {
            Self::Switch | Self::Boot | Self::Test => true,
            Self::DryActivate => false,
        }
    }
}

/// What has been done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Rooted,
    Checked,
    Announced,
    Recorded,
    ProfileSet,
    Switched,
}

impl Step {
    /// A build for tests waits here while there is a file `/run/nixcert-pause-STEP`, where only root can make one: so that a
    /// test can end it at each step. A release never looks.
    #[cfg(debug_assertions)]
    fn pause(self) {
        let path = format!("/run/nixcert-pause-{}", format!("{self:?}").to_lowercase());
        while Path::new(&path).exists() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    #[cfg(not(debug_assertions))]
    fn pause(self) {}
}

/// One activation of a path: what it needs, and what it holds while it lasts.
pub(crate) struct Job {
    path: StorePath,
    action: Action,
    caller: Caller,
    host: Activating,
    /// Why it is done whatever the gate says.
    reason: Option<String>,
    records: Records,
    log: Log,
    /// Ctrl-C, or a terminal that went away.
    cancelled: Arc<AtomicBool>,
    /// That of the path in the store.
    rooted: std::result::Result<(), ToolError>,
    _lock: Lock,
}

impl Job {
    /// Alone from here on, and with the path kept.
    pub(crate) fn new(
        path: StorePath,
        action: Action,
        caller: Caller,
        host: Activating,
        reason: Option<String>,
    ) -> Result<Self> {
        let cancelled = Arc::new(AtomicBool::new(false));
        gate::not_stopped(&cancelled)?;
        let directory =
            host.activation.as_ref().map_or(Path::new(nixcert_host::RECORDS), |file| &file.records);
        let records = Records::new(directory);
        records.prepare().map_err(unusable)?;
        let (user, pid) = (caller.user(), std::process::id());
        let who = format!("{} of {path} for {user}, since {}, process {pid}", action.name(), time::now()?);
        let lock = Lock::take(&records, &who).map_err(|error| match error {
            LockError::Taken(_) => Error::new(error).help("wait for it to end"),
            LockError::File(error) => error.into(),
        })?;
        gate::tell_of_interrupted(records.directory(), false);
        let log = Log::new(Some(records.directory()));
        // In this order: what is kept cannot be collected, and then replaced, behind what is read of it.
        let rooted = tools::root(&path);
        Step::Rooted.pause();
        Ok(Self { path, action, caller, host, reason, records, log, cancelled, rooted, _lock: lock })
    }

    pub(crate) fn policy_file(&self) -> Option<&Path> {
        self.host.policy_file.as_deref()
    }

    /// What the gate says.
    pub(crate) fn ask(&self) -> Result<Verdict> {
        let waiting = Waiting::new(Arc::clone(&self.cancelled));
        let question = Question {
            trust: &self.host.trust,
            activation: self.host.activation.as_ref(),
            root: Path::new("/"),
            now: time::now()?,
            caller: self.caller.name(),
            verify_contents: false,
            watcher: &waiting,
        };
        let verdict = gate::ask(&question, &self.path);
        drop(waiting);
        Step::Checked.pause();
        if let Err(error) = &verdict {
            self.write("refuse", ("could-not-tell", &[]), &[error.message()])?;
        }
        verdict
    }

    /// The verdict, to who asked; who does not read it holds nobody else up.
    pub(crate) fn tell(&self, verdict: &Verdict) -> Result<()> {
        let mut text = Vec::new();
        text::write_to(&mut text, verdict, self.policy_file(), false)?;
        output::tell(text, anstream::stdout())
    }

    /// A line in both logs.
    pub(crate) fn log(&self, event: &str, verdict: &Verdict, message: Option<&str>) -> Result<()> {
        let sentence = verdict.refusals().first().map(|refusal| text::sentence(refusal, self.policy_file()));
        let parts = [self.reason.as_deref(), message, sentence.as_deref()];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        self.write(event, (verdict.code(), &verdict.signers()), &parts)
    }

    fn write(&self, event: &str, (verdict, signers): (&str, &[&str]), parts: &[&str]) -> Result<()> {
        let message = parts.join("; ");
        let event = Event {
            event,
            user: self.caller.user(),
            path: self.path.as_str(),
            action: Some(self.action.name()),
            verdict,
            signers,
            message: Some(message.as_str()).filter(|message| !message.is_empty()),
        };
        Ok(self.log.write(&event, time::now()?)?)
    }

    /// Do it. Who vouches is recorded where there is leave.
    pub(crate) fn carry_out(&self, event: &str, verdict: &Verdict, leave: Option<&Leave>) -> Result {
        if let Err(error) = &self.rooted {
            return Err(Error::new(format!("{} cannot be kept from being collected: {error}", self.path))
                .help("nothing was changed"));
        }
        // What cannot be switched to is not to become the profile either.
        tools::is_system(&self.path).map_err(|error| {
            Error::new(format!("{} is not a system: {error}", self.path))
                .help("nothing was changed; name the top-level path, which has bin/switch-to-configuration")
        })?;
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Error::new("interrupted").help("nothing was changed"));
        }
        if leave.is_some() && !holds(verdict.judged, time::now()?) {
            return Err(Error::new(format!("what was judged at {} is too long ago", verdict.judged))
                .help("nothing was changed; ask again"));
        }
        self.log(event, verdict, None)?;
        self.announce()?;
        Step::Announced.pause();
        if let Some(leave) = leave.filter(|_| self.action.activates())
            && let Err(error) = self.record(leave)
        {
            // Nothing has begun, so nothing was interrupted.
            let _ = self.log(
                &format!("{event}-end"),
                verdict,
                Some("nothing was changed: it could not be recorded"),
            );
            InProgress::remove(&self.records)?;
            return Err(error);
        }
        Step::Recorded.pause();
        let done = self.act();
        let message = match &done {
            Ok(status) => format!("switch-to-configuration ended with {status}"),
            Err(error) => error.to_string(),
        };
        // From here on, what cannot be written any more stops nothing.
        let ended = format!("{event}-end");
        let written = [
            self.log(&ended, verdict, Some(&message)),
            InProgress::remove(&self.records).map_err(Error::from),
        ];
        for error in written.into_iter().filter_map(Result::err) {
            error.report();
        }
        if self.cancelled.load(Ordering::Relaxed) {
            output::note("a signal came meanwhile: an activation that has begun is not left half-way");
        }
        match done {
            Ok(status) if status.success() => Ok(Answer::Yes),
            Ok(status) => Err(self.failed(&format!("its switch-to-configuration ended with {status}"))),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// What the next one will find, should this one be killed.
    fn announce(&self) -> Result<()> {
        let (pid, process) = this_process();
        let announced = InProgress {
            from: tools::profile(),
            to: self.path.to_string(),
            action: self.action.name().to_owned(),
            user: self.caller.user().to_owned(),
            time: time::now()?.to_string(),
            pid,
            process,
        };
        Ok(announced.write(&self.records)?)
    }

    fn record(&self, leave: &Leave) -> Result<()> {
        let meta = Meta { time: time::now()?, user: self.caller.user(), action: self.action.name() };
        // Where that cannot be told, nothing is forgotten.
        let store = Store::open(Path::new("/nix/var/nix")).ok();
        let store = std::cell::RefCell::new(store);
        let is_valid = |path: &StorePath| match store.borrow_mut().as_mut() {
            Some(store) => !matches!(store.closure(path, 1), Err(nixcert_store::StoreError::NotValid(_))),
            None => true,
        };
        self.records.write(leave, meta, is_valid).map_err(unusable)
    }

    fn act(&self) -> std::result::Result<ExitStatus, ToolError> {
        if self.action.sets_profile() {
            let guard = if self.reason.is_some() { Guard::SetAside } else { Guard::Asked };
            tools::set_profile(&self.path, guard)?;
        }
        Step::ProfileSet.pause();
        let status = tools::switch(&self.path, self.action.name());
        Step::Switched.pause();
        status
    }

    fn failed(&self, what: &str) -> Error {
        let path = &self.path;
        let now = tools::profile();
        let leads = match &now {
            Some(now) => format!("the system profile leads to {now}"),
            None => "there is no system profile".to_owned(),
        };
        Error::new(format!("{path} was not activated as it should have been: {what}; {leads}")).help(
            "look at what it said above; the generation before is activated again by its own path: ls -l \
             /nix/var/nix/profiles/system-*-link",
        )
    }
}

/// Whether a verdict still holds. Meanwhile a deadline may have passed, or a list been installed; and who is asked to wait for
/// what another says could wait as long as they like.
fn holds(judged: Instant, now: Instant) -> bool {
    now.seconds().checked_sub(judged.seconds()).is_some_and(|age| age <= VERDICT_SECONDS)
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Err(error) = tools::unroot() {
            output::warn(error);
        }
    }
}

fn unusable(error: RecordsError) -> Error {
    Error::new(format!("the records of activations cannot be used: {error}"))
        .help("correct that as root; nothing was changed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_not_kept_for_later() {
        let at = |seconds| Instant::from_seconds(seconds).unwrap();
        assert!(holds(at(1_000_000), at(1_000_000)));
        assert!(holds(at(1_000_000), at(1_000_000 + VERDICT_SECONDS)));
        assert!(!holds(at(1_000_000), at(1_000_001 + VERDICT_SECONDS)));
        // The clock was set back: nobody knows how long ago it is.
        assert!(!holds(at(1_000_000), at(999_999)));
    }
}
