//! `nixcert repair`: contents that are no good are replaced by those that were signed.

use crate::caller::Caller;
use crate::error::{Answer, Error, Result};
use crate::gate::{self, Waiting};
use crate::output::{self, ACCEPTED, REFUSED, printable};
use crate::time;
use crate::trust::{Activating, NIX_CONF};
use nixcert_core::NarInfo;
use nixcert_files::said;
use nixcert_gate::{
    Decision, Event, HEAD_BYTES, Lock, LockError, Log, NAR_BYTES, PATHS, Question, Records, RepairError,
    Repairer,
};
use rustix::fs::fstatvfs;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Replace the contents of valid paths by those that people signed
///
/// For root; people reach it by a sudo rule. Reads on standard input, for each path, its narinfo, a blank line, and its archive
/// (NAR). Those who vouch for systems, or a vendor that the policy names, must have signed just that; and the path must be in
/// this store with contents that nobody vouches for, or that are not what the store's database says. Then Nix replaces them,
/// also while others use the path. Nothing else is changed. 'nixcert deploy --repair' sends what is needed.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  ssh web-1 sudo nixcert repair - < paths

Exit status: 0 all are good now; 1 one was refused, for the reason given; 2 one could not be replaced.")]
pub(crate) struct RepairArgs {
    /// '-': standard input. There is no other
    #[arg(value_parser = ["-"])]
    input: String,
}

pub(crate) fn run(_: &RepairArgs) -> Result {
    let caller = Caller::of_root("repair")?;
    let host = Activating::on_host(Path::new(NIX_CONF))?;
    let directory = host.activation.as_ref().map_or(Path::new(nixcert_host::RECORDS), |file| &file.records);
    let records = Records::new(directory);
    records.prepare().map_err(Error::new)?;
    // Before the lock: who sends slowly, or stops, keeps nobody from an activation.
    let received = receive(&records)?;
    let now = time::now()?;
    let who = format!("a repair for {}, since {now}, process {}", caller.user(), std::process::id());
    let _lock = Lock::take(&records, &who).map_err(|error| match error {
        LockError::Taken(_) => Error::new(error).help("wait for it to end"),
        LockError::File(error) => error.into(),
    })?;
    let cancelled = Arc::new(AtomicBool::new(false));
    gate::not_stopped(&cancelled)?;
    let waiting = Waiting::new(Arc::clone(&cancelled));
    let question = Question {
        trust: &host.trust,
        activation: host.activation.as_ref(),
        root: Path::new("/"),
        now,
        caller: caller.name(),
        verify_contents: false,
        watcher: &waiting,
    };
    let log = Log::new(Some(records.directory()));
    let repairer = match Repairer::new(&question, &records).map_err(Error::new)? {
        Ok(repairer) => repairer,
        Err(refusal) => {
            let (code, message) = (refusal.code(), refusal.to_string());
            write(&log, caller.user(), "", (code, &[]), Some(&message))?;
            return Err(
                Error::refused(format!("nothing is replaced ({code}): {message}")).help(refusal.advice())
            );
        }
    };
    let begun = Instant::now();
    let mut run = Run { repairer, log, user: caller.user(), cancelled: &cancelled, begun };
    run.all(&mut BufReader::new(received))
}

/// What stays free where records are, in bytes: for twice the largest, and the log. What is sent is anybody's who may call this.
const RESERVE: u64 = 128 << 20;

/// How much is received before it is asked again what is free.
const PART: u64 = 1 << 20;

/// How long others are kept waiting. Who sends more sends the rest again.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// All of standard input, in a file without a name.
fn receive(records: &Records) -> Result<File> {
    let lost = |error: io::Error| Error::new(format!("cannot keep what is sent: {}", said(&error)));
    let mut file = tempfile::tempfile_in(records.directory()).map_err(lost)?;
    keep(&mut io::stdin().lock(), &mut file, |file| {
        let free = fstatvfs(file)?;
        Ok(free.f_bavail.saturating_mul(free.f_frsize))
    })?;
    file.rewind().map_err(lost)?;
    Ok(file)
}

fn keep(from: &mut impl Read, to: &mut File, free: impl Fn(&File) -> io::Result<u64>) -> Result<()> {
    let lost = |error: io::Error| Error::new(format!("cannot keep what is sent: {}", said(&error)));
    let mut length = 0_u64;
    loop {
        if free(to).map_err(lost)? < RESERVE.saturating_add(PART) {
            return Err(Error::new("there is no room for what is sent, where records of activations are")
                .help("free some, or repair fewer paths at once; nothing was changed"));
        }
        let part = io::copy(&mut from.take(PART), to).map_err(lost)?;
        length = length.saturating_add(part);
        if length > NAR_BYTES {
            return Err(Error::refused(format!("more than {NAR_BYTES} bytes were sent"))
                .help("repair fewer paths at once"));
        }
        if part < PART {
            return Ok(());
        }
    }
}

fn write(
    log: &Log,
    user: &str,
    path: &str,
    (verdict, signers): (&str, &[&str]),
    message: Option<&str>,
) -> Result<()> {
    let event = Event { event: "repair", user, path, action: None, verdict, signers, message };
    Ok(log.write(&event, time::now()?)?)
}

struct Run<'a> {
    repairer: Repairer<'a>,
    log: Log,
    user: &'a str,
    cancelled: &'a AtomicBool,
    begun: Instant,
}

impl Run<'_> {
    fn all(&mut self, stream: &mut impl BufRead) -> Result {
        let mut answer = Answer::Yes;
        let mut count = 0_usize;
        while let Some(head) = head(stream)? {
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Error::new("interrupted").help("paths before this one were dealt with"));
            }
            if self.begun.elapsed() > LONGEST {
                return Err(Error::new("it took too long, and others wait")
                    .help("paths before this one were dealt with: send the others again"));
            }
            count += 1;
            if count > PATHS {
                return Err(Error::new(format!("more than {PATHS} paths were sent")));
            }
            let sent = NarInfo::parse(&head).map_err(|error| {
                Error::refused(format!("what was sent is not a path's narinfo: {error}"))
                    .help("send what 'nixcert deploy --repair' sends; paths before this one were dealt with")
            })?;
            if self.one(&sent, stream)? == Answer::No {
                answer = Answer::No;
            }
        }
        if count == 0 {
            return Err(Error::new("nothing was sent").help("'nixcert deploy --repair' sends what is needed"));
        }
        Ok(answer)
    }

    fn one(&mut self, sent: &NarInfo, stream: &mut impl Read) -> Result {
        let path = &sent.info.path;
        let failed = |error: RepairError| Error::new(error);
        let (answer, text) = match self.repairer.decide(sent).map_err(failed)? {
            Decision::Replace { vouchers } => match self.repairer.replace(sent, stream) {
                Ok(()) => {
                    let vouchers: Vec<&str> = vouchers.iter().map(String::as_str).collect();
                    self.log(path.as_str(), "replaced", &vouchers, None)?;
                    let by = vouchers.join(", ");
                    (Answer::Yes, format!("{ACCEPTED}replaced{ACCEPTED:#} by what {by} vouches for"))
                }
                Err(error @ RepairError::Contents(_)) => {
                    let message = error.to_string();
                    self.log(path.as_str(), "contents-differ", &[], Some(&message))?;
                    (Answer::No, format!("{REFUSED}not replaced{REFUSED:#} (contents-differ): {message}"))
                }
                Err(error) => {
                    let message = error.to_string();
                    self.log(path.as_str(), "failed", &[], Some(&message))?;
                    return Err(failed(error));
                }
            },
            Decision::Fine => {
                skip(stream, sent.info.nar_size)?;
                (Answer::Yes, "is good as it is".to_owned())
            }
            Decision::Refused { code, message } => {
                skip(stream, sent.info.nar_size)?;
                self.log(path.as_str(), code, &[], Some(&message))?;
                (Answer::No, format!("{REFUSED}not replaced{REFUSED:#} ({code}): {}", printable(&message)))
            }
        };
        output::tell(format!("{path}: {text}\n").into_bytes(), anstream::stdout())?;
        Ok(answer)
    }

    fn log(&self, path: &str, verdict: &str, signers: &[&str], message: Option<&str>) -> Result<()> {
        write(&self.log, self.user, path, (verdict, signers), message)
    }
}

/// The next narinfo, up to a blank line; none at the end.
fn head(stream: &mut impl BufRead) -> Result<Option<String>> {
    let fault = |problem: &str| {
        Error::refused(format!("what was sent is not a path's narinfo: {problem}"))
            .help("'nixcert deploy --repair' sends what is needed")
    };
    let lost = |error: io::Error| Error::new(format!("cannot read standard input: {}", said(&error)));
    let mut bytes = Vec::new();
    loop {
        let left = HEAD_BYTES.saturating_sub(bytes.len());
        let read = stream.by_ref().take(left as u64).read_until(b'\n', &mut bytes).map_err(lost)?;
        match (read, bytes.as_slice()) {
            (0, []) => return Ok(None),
            (0, _) if left > 0 => return Err(fault("it ends too early")),
            (0, _) => return Err(fault(&format!("it has more than {HEAD_BYTES} bytes"))),
            (1, [head @ .., b'\n', b'\n']) => {
                let text = std::str::from_utf8(head).map_err(|_| fault("it is not text"))?;
                return Ok(Some(format!("{text}\n")));
            }
            (_, _) => {}
        }
    }
}

fn skip(stream: &mut impl Read, bytes: u64) -> Result<()> {
    let skipped = io::copy(&mut stream.take(bytes), &mut io::sink());
    match skipped {
        Ok(skipped) if skipped == bytes => Ok(()),
        Ok(_) => Err(Error::new("what was sent ends within a path")),
        Err(error) => Err(Error::new(format!("cannot read standard input: {}", said(&error)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_leaves_room_for_records() {
        let sent = vec![b'a'; 3 * (1 << 20) + 5];
        let room = |length: u64| {
            let mut file = tempfile::tempfile().unwrap();
            let full = RESERVE + length;
            let free = |file: &File| Ok(full - file.metadata()?.len());
            let kept = keep(&mut sent.as_slice(), &mut file, free);
            kept.map(|()| file.metadata().unwrap().len())
        };
        assert_eq!(room(4 * PART).unwrap(), sent.len() as u64);
        assert!(room(4 * PART - 1).unwrap_err().message().contains("no room"));
        assert!(room(0).unwrap_err().message().contains("no room"));
    }

    #[test]
    fn heads_end_with_a_blank_line() {
        let mut stream = b"A: 1\nB: 2\n\nthe archive".as_slice();
        assert_eq!(head(&mut stream).unwrap().as_deref(), Some("A: 1\nB: 2\n"));
        assert_eq!(stream, b"the archive");
        assert_eq!(head(&mut b"".as_slice()).unwrap(), None);
        for (bad, said) in [
            (b"A: 1\n".to_vec(), "ends too early"),
            (b"A: 1".to_vec(), "ends too early"),
            (b"\xff\n\n".to_vec(), "not text"),
            (vec![b'a'; HEAD_BYTES + 1], "more than"),
            ([vec![b'a'; HEAD_BYTES - 1], b"\n\n".to_vec()].concat(), "more than"),
        ] {
            let error = head(&mut bad.as_slice()).unwrap_err();
            assert!(error.message().contains(said), "{}", error.message());
        }
        assert!(skip(&mut b"12".as_slice(), 3).unwrap_err().message().contains("within a path"));
    }
}
