//! What people and programs are shown. Colours only where a terminal reads, and NO_COLOR does not forbid them.

use crate::error::{Error, Result};
use anstyle::{AnsiColor, Style};
use indicatif::ProgressBar;
use nixcert_files::{self as files, Access, Existing};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The version of everything that `--json` prints.
pub(crate) const SCHEMA: u32 = 1;

pub(crate) const ACCEPTED: Style = AnsiColor::Green.on_default().bold();
pub(crate) const REFUSED: Style = AnsiColor::Red.on_default().bold();
pub(crate) const NOTE: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// Rows of name and value, for people.
#[derive(Default)]
pub(crate) struct Table(Vec<(String, String)>);

impl Table {
    pub(crate) fn row(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.push((name.to_owned(), printable(&value.to_string())));
    }

    /// A row for each value; the name stands at the first.
    pub(crate) fn rows<T: std::fmt::Display>(&mut self, name: &str, values: impl IntoIterator<Item = T>) {
        for (index, value) in values.into_iter().enumerate() {
            self.row(if index == 0 { name } else { "" }, value);
        }
    }

    pub(crate) fn write(&self, mut to: impl Write) -> io::Result<()> {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        self.0.iter().try_for_each(|(name, value)| writeln!(to, "  {name:width$}  {value}"))
    }
}

/// One line of JSON on standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let line = serde_json::to_string(value).map_err(|error| Error::from(io::Error::from(error)))?;
    Ok(writeln!(io::stdout().lock(), "{line}")?)
}

/// A remark on standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    anstream::eprintln!("{NOTE}note:{NOTE:#} {}", printable(&text.to_string()));
}

/// A remark on standard error about something that may be a mistake.
pub(crate) fn warn(text: impl std::fmt::Display) {
    anstream::eprintln!("{NOTE}warning:{NOTE:#} {}", printable(&text.to_string()));
}

/// How long to wait for somebody to read what they asked for: a line that was lost for a moment.
const READING: Duration = Duration::from_secs(10);

/// Write it all; but not to who does not read. For those who hold what others wait for.
pub(crate) fn tell(text: Vec<u8>, mut to: impl Write + Send + 'static) -> Result<()> {
    let (done, told) = channel();
    thread::spawn(move || {
        let _ = done.send(to.write_all(&text).and_then(|()| to.flush()));
    });
    match told.recv_timeout(READING) {
        Ok(written) => Ok(written?),
        Err(_) => {
            Err(Error::new("nobody reads what is said here").help("run it again, and read what it says"))
        }
    }
}

/// Something that takes a second or two, shown while it lasts, if anyone watches.
pub(crate) fn busy<T>(doing: &'static str, work: impl FnOnce() -> T) -> T {
    let spinner = ProgressBar::new_spinner().with_message(doing);
    spinner.enable_steady_tick(Duration::from_millis(100));
    let done = work();
    spinner.finish_and_clear();
    done
}

/// Text that moves no cursor: control characters, and those that turn or hide text, become `?`. Line feeds stay.
pub(crate) fn printable(text: &str) -> String {
    let harmless = |c: char| {
        c == '\n'
            || !(c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'))
    };
    text.chars().map(|c| if harmless(c) { c } else { '?' }).collect()
}

/// The beginning of a text of one line, for places with little room.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    let mut short: String =
        printable(text).chars().take(most).map(|c| if c == '\n' { '?' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

/// Where a command's product goes, and whether it may replace what is there.
#[derive(Clone, Copy)]
pub(crate) struct Destination<'a> {
    path: Option<&'a Path>,
    existing: Existing,
    access: Access,
}

impl<'a> Destination<'a> {
    /// A destination that is free, as far as can be said before anything was made. No path, and `-`, are standard output;
    /// a secret does not go to a terminal.
    pub(crate) fn new(path: Option<&'a Path>, access: Access, force: bool) -> Result<Self> {
        let path = path.filter(|path| *path != Path::new("-"));
        let existing = if force { Existing::Replace } else { Existing::Keep };
        match path {
            None if access == Access::Secret && io::stdout().is_terminal() => {
                Err(Error::new("a secret key is not shown on a terminal").help("name a file with -o FILE"))
            }
            Some(path) if path.is_dir() => {
                Err(Error::new(format!("'{}' is a directory", path.display())).help("name a file"))
            }
            Some(path) if !files::parent(path).is_dir() => {
                Err(Error::new(format!("there is no directory '{}'", files::parent(path).display()))
                    .help("make it, or name another one"))
            }
            Some(path) if existing == Existing::Keep && path.symlink_metadata().is_ok() => {
                Err(Error::new(format!("'{}' is already there", path.display()))
                    .help("choose another name, or replace it with --force"))
            }
            _ => Ok(Self { path, existing, access }),
        }
    }

    /// The file, or none for standard output.
    pub(crate) fn path(&self) -> Option<&'a Path> {
        self.path
    }

    /// Write the product: whole, or not at all.
    pub(crate) fn write(&self, contents: &[u8]) -> Result<()> {
        match self.path {
            Some(path) => Ok(files::write(path, contents, self.access, self.existing)?),
            None => {
                let mut stdout = io::stdout().lock();
                Ok(stdout.write_all(contents).and_then(|()| stdout.flush())?)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attackers_move_no_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\r\u{7}\u{9b}c\u{202e}d\né"), "a?[2Jb???c?d\né");
        assert_eq!(shorten("abc\ndef", 5), "abc?d…");
    }

    #[test]
    fn who_does_not_read_is_not_waited_for() {
        let (reader, writer) = std::io::pipe().unwrap();
        let more_than_a_pipe_holds = vec![b'a'; 4 << 20];
        let error = tell(more_than_a_pipe_holds, writer).unwrap_err();
        assert_eq!(error.message(), "nobody reads what is said here");
        drop(reader);

        let (mut reader, writer) = std::io::pipe().unwrap();
        let read = thread::spawn(move || std::io::read_to_string(&mut reader).unwrap().len());
        tell(vec![b'a'; 4 << 20], writer).unwrap();
        assert_eq!(read.join().unwrap(), 4 << 20);
    }

    #[test]
    fn tables() {
        let mut table = Table::default();
        table.row("Label", "alice");
        table.rows("May", ["one", "two"]);
        let mut text = Vec::new();
        table.write(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "  Label  alice\n  May    one\n         two\n");
    }
}
