//! What a person sees while they wait, and when something fails.
//!
//! On a terminal a step is a spinner that ends as one line; elsewhere it is two plain lines. What commands print
//! goes to a log file, of which the end is shown when a command fails.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, IsTerminal, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

/// How many lines of a failed command's log are shown.
const TAIL: usize = 25;

/// Something that may take longer than a second.
pub(crate) struct Step {
    title: String,
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Step {
    /// Begins a step. `title` says what is being done: "Building Nix".
    pub(crate) fn start(title: impl Into<String>) -> Self {
        let title = title.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner:.cyan} {prefix} [{elapsed}] {wide_msg:.dim}");
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.set_prefix(title.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            eprintln!("· {title} …");
        }
        Self { title, bar, started: Instant::now() }
    }

    /// Shows what the step is at.
    fn at(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(line.trim().to_owned());
        }
    }

    /// Ends the step well.
    pub(crate) fn done(self) {
        self.finish("done");
    }

    fn finish(self, how: &str) {
        let seconds = self.started.elapsed().as_secs_f32();
        match self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                if seconds >= 1.0 {
                    eprintln!("{} {} ({seconds:.0} s)", good("✓"), self.title);
                }
            }
            None => eprintln!("  {how} in {seconds:.0} s: {}", self.title),
        }
    }

    /// Runs a command whose output goes to `log`, and shows the output's last line while it runs.
    ///
    /// # Errors
    /// The command cannot be started, or fails: then the error holds the end of the log.
    pub(crate) fn run(&self, command: &mut Command, log: &Log) -> Result<()> {
        let shown = show(command);
        let mut file = log.append()?;
        writeln!(file, "+ {shown}")?;
        // One pipe for both streams keeps their order.
        let (reader, writer) = std::io::pipe()?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()
            .with_context(|| format!("cannot start: {shown}"))?;
        // The command holds the writing ends; they must be closed here for the reading to end.
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut lines = BufReader::new(reader);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            file.write_all(&line)?;
            self.at(&String::from_utf8_lossy(&line));
            line.clear();
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("{} failed ({status}): {}\n{}", self.title, brief(&shown), log.tail());
        }
        Ok(())
    }
}

/// The log of a step: kept when the step fails, and said where.
pub(crate) struct Log(PathBuf);

impl Log {
    /// Begins a new log in `directory`.
    pub(crate) fn create(directory: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{name}.log"));
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(path))
    }

    fn append(&self) -> Result<File> {
        Ok(File::options().append(true).create(true).open(&self.0)?)
    }

    fn tail(&self) -> String {
        let bytes = fs::read(&self.0).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        let end: Vec<String> =
            lines.iter().skip(lines.len().saturating_sub(TAIL)).map(|line| format!("    {line}")).collect();
        format!("the end of its log, {}:\n{}", self.0.display(), end.join("\n"))
    }
}

/// The beginning of a command that may be a whole script; all of it is in the log.
fn brief(shown: &str) -> String {
    let mut brief: String = shown.chars().take_while(|c| *c != '\n').take(160).collect();
    if brief.len() < shown.len() {
        brief.push_str(" …");
    }
    brief
}

/// An error with its causes, without a backtrace.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    for argument in command.get_args() {
        let word = argument.to_string_lossy();
        let plain =
            !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=/.,:+@%".contains(c));
        words.push(if plain { word.into_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) });
    }
    words.join(" ")
}

/// Green, on a terminal.
pub(crate) fn good(text: &str) -> String {
    colour("32", text)
}

/// Red, on a terminal.
pub(crate) fn bad(text: &str) -> String {
    colour("31", text)
}

/// Dim, on a terminal.
pub(crate) fn dim(text: &str) -> String {
    colour("2", text)
}

/// Bold, on a terminal.
pub(crate) fn strong(text: &str) -> String {
    colour("1", text)
}

fn colour(code: &str, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}
