//! What was asked of the gate and what it said: lines of JSON in the directory of records, and in the system's log.

use nixcert_core::Instant;
use nixcert_files::FileError;
use serde::Serialize;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The name of the file.
const NAME: &str = "log";

/// The version of the lines.
const SCHEMA: u32 = 1;

/// A line of the log.
#[derive(Clone, Debug, Serialize)]
pub struct Event<'a> {
    /// `activate`, `refuse`, `repair` or `override`; with `-end` when it is done.
    pub event: &'a str,
    /// Who asked.
    pub user: &'a str,
    /// For which path.
    pub path: &'a str,
    /// For which action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<&'a str>,
    /// `accepted`, or the code of the main refusal.
    pub verdict: &'a str,
    /// Who vouches for it.
    pub signers: &'a [&'a str],
    /// More, in words: what stands against it, why it was done all the same, what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    schema: u32,
    time: String,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// The log; where no directory is known, the system's alone.
#[derive(Clone, Debug)]
pub struct Log(Option<PathBuf>);

impl Log {
    /// That of this directory of records, which is there.
    pub fn new(records: Option<&Path>) -> Self {
        Self(records.map(|directory| directory.join(NAME)))
    }

    /// Write it down; on disk when this returns.
    ///
    /// # Errors
    /// [`FileError`]; the system's log has it all the same, if there is one.
    pub fn write(&self, event: &Event<'_>, now: Instant) -> Result<(), FileError> {
        tell_the_system(&event.to_string());
        let Some(path) = &self.0 else { return Ok(()) };
        let line = Line { schema: SCHEMA, time: now.to_string(), event };
        let line = serde_json::to_vec(&line).map_err(|error| FileError {
            action: "append to",
            path: path.clone(),
            error: error.into(),
        })?;
        nixcert_files::append_line(path, &line)
    }
}

impl std::fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { event, user, path, action, verdict, signers, message } = self;
        write!(f, "{event} {path}")?;
        if let Some(action) = action {
            write!(f, " ({action})")?;
        }
        write!(f, " for '{user}': {verdict}")?;
        if !signers.is_empty() {
            write!(f, ", signed by {}", signers.join(", "))?;
        }
        match message {
            Some(message) => write!(f, "; {message}"),
            None => Ok(()),
        }
    }
}

/// A line in the system's log, if it has one: facility authpriv, severity notice (RFC 3164). Somebody's own log is the record;
/// this is so that somebody sees it.
pub fn tell_the_system(text: &str) {
    const AUTHPRIV_NOTICE: u32 = 10 * 8 + 5;
    // What a log takes for sure.
    const CHARACTERS: usize = 1_000;
    let text: String = text.chars().take(CHARACTERS).map(|c| if c.is_control() { '?' } else { c }).collect();
    let line = format!("<{AUTHPRIV_NOTICE}>nixcert[{}]: {text}", std::process::id());
    // Best effort: on a machine without one, nobody listens.
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to(line.as_bytes(), "/dev/log");
    }
}
