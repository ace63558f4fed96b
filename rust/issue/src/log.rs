//! The log of what a CA issued: one JSON object a line, on disk before the certificate leaves.

use nixcert_core::{Certificate, Instant};
use nixcert_files::{self as files, FileError};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What a record says its layout is.
const SCHEMA: u32 = 1;

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The layout of this record: 1.
    pub schema: u32,
    /// When it was issued (RFC 3339).
    pub time: String,
    /// 16 hexadecimal digits.
    pub serial: String,
    /// Who holds the key.
    pub label: String,
    /// The key: base64.
    pub subject: String,
    /// The first second of validity (RFC 3339).
    pub not_before: String,
    /// The first second after it (RFC 3339).
    pub not_after: String,
    /// By their names in FORMAT.md.
    pub usages: Vec<String>,
    /// Of a certificate for issuing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_length: Option<u8>,
    /// Name patterns.
    pub permitted_names: Vec<String>,
    /// Name patterns.
    #[serde(default)]
    pub excluded_names: Vec<String>,
    /// Host patterns.
    pub hosts: Vec<String>,
    /// Empty for `/nix/store` alone.
    #[serde(default)]
    pub store_directories: Vec<String>,
    /// What stands in the certificate file.
    pub certificate: String,
    /// The serial number of the certificate in whose place this one was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
}

impl Record {
    /// The record of a certificate.
    pub fn new(time: Instant, certificate: &Certificate<'_>, name: &str) -> Self {
        let list = |list: nixcert_core::List<'_>| {
            list.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect()
        };
        let issues = certificate.usages.contains(nixcert_core::Usage::Issue);
        Self {
            schema: SCHEMA,
            time: time.to_string(),
            serial: certificate.serial.to_string(),
            label: certificate.label.to_string(),
            subject: certificate.subject.to_string(),
            not_before: certificate.not_before.to_string(),
            not_after: certificate.not_after.to_string(),
            usages: certificate.usages.iter().map(|usage| usage.to_string()).collect(),
            path_length: issues.then_some(certificate.path_length),
            permitted_names: list(certificate.permitted_names),
            excluded_names: list(certificate.excluded_names),
            hosts: list(certificate.hosts),
            store_directories: list(certificate.store_directories),
            certificate: name.to_owned(),
            renews: None,
        }
    }
}

/// The log, open and locked. The lock ends with it, however the process does.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Where the last whole line ends.
    end: u64,
    records: Vec<Record>,
}

impl Log {
    /// Open and lock a log.
    pub(crate) fn lock(path: &Path, waiting: impl FnOnce()) -> Result<Self, LogError> {
        let fault = |action| move |error| FileError { action, path: path.to_owned(), error };
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(fault("open"))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            waiting();
            flock(&file, FlockOperation::LockExclusive)
                .map_err(|error| fault("lock")(std::io::Error::from(error)))?;
        }
        let mut contents = Vec::new();
        (&file).read_to_end(&mut contents).map_err(fault("read"))?;
        let (records, end) = parse(path, &contents)?;
        Ok(Self { path: path.to_owned(), file, end, records })
    }

    /// Read a log that another process may be appending to.
    ///
    /// # Errors
    /// [`LogError`] names the line that is none.
    pub fn read(path: &Path) -> Result<Vec<Record>, LogError> {
        let contents = files::read(path, u64::MAX)?;
        Ok(parse(path, &contents)?.0)
    }

    /// What was issued, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Append a record. It is on disk when this returns; if it cannot be, the log stays as it was.
    ///
    /// # Errors
    /// [`LogError`]; then the certificate must not be handed out.
    pub fn append(&mut self, record: Record) -> Result<(), LogError> {
        let fault = |error| FileError { action: "append to", path: self.path.clone(), error };
        let mut line = serde_json::to_vec(&record).map_err(|error| fault(error.into()))?;
        line.push(b'\n');
        // What an interrupted process left behind its last whole line was never handed out.
        let written = self
            .file
            .set_len(self.end)
            .and_then(|()| self.file.write_all(&line))
            .and_then(|()| self.file.sync_all());
        if let Err(error) = written {
            // Best effort: the line that is left has no line feed, and is passed over the next time.
            let _ = self.file.set_len(self.end);
            return Err(fault(error).into());
        }
        self.end = self.end.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        self.records.push(record);
        Ok(())
    }
}

/// All whole lines, and where the last one ends.
fn parse(path: &Path, contents: &[u8]) -> Result<(Vec<Record>, u64), LogError> {
    let mut records = Vec::new();
    let mut end = 0_u64;
    for (index, line) in contents.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        let malformed = |problem: String| LogError::Line {
            path: path.to_owned(),
            line: index.saturating_add(1),
            problem,
        };
        let record: Record = serde_json::from_slice(line).map_err(|error| malformed(error.to_string()))?;
        if record.schema != SCHEMA {
            return Err(malformed(format!("it has schema {}, not {SCHEMA}", record.schema)));
        }
        records.push(record);
        end = end.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
    }
    Ok((records, end))
}

/// Why a log cannot be used. Without its log a CA issues nothing: it would not know whose labels are taken.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line.
    #[error("line {line} of the log '{}' is not a record: {problem}", path.display())]
    Line {
        /// The log.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use nixcert_files::{Access, Existing, write};

    fn record(serial: &str) -> Record {
        let text = format!(
            r#"{{"schema":1,"time":"t","serial":"{serial}","label":"alice","subject":"k","not_before":"b","not_after":"a",
            "usages":["import-paths"],"permitted_names":["*"],"hosts":["*"],"certificate":"c"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn records_are_appended_behind_the_last_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        write(&path, b"", Access::Public, Existing::Keep).unwrap();
        let mut log = Log::lock(&path, || panic!("nobody else is there")).unwrap();
        log.append(record("1")).unwrap();
        log.append(record("2")).unwrap();
        drop(log);
        let whole = files::read(&path, 10_000).unwrap();

        // A process that was killed while it wrote.
        let torn = [whole.as_slice(), br#"{"schema":1,"time"#].concat();
        write(&path, &torn, Access::Public, Existing::Replace).unwrap();
        assert_eq!(Log::read(&path).unwrap().len(), 2);
        let mut log = Log::lock(&path, || ()).unwrap();
        log.append(record("3")).unwrap();
        let serials: Vec<String> =
            Log::read(&path).unwrap().into_iter().map(|record| record.serial).collect();
        assert_eq!(serials, ["1", "2", "3"]);
        assert!(files::read(&path, 10_000).unwrap().starts_with(&whole));
    }

    #[test]
    fn a_line_that_is_no_record_is_an_error() {
        let good = serde_json::to_string(&record("1")).unwrap();
        for bad in ["", "{}", "x", &good.replace("\"schema\":1", "\"schema\":2")] {
            let text = format!("{good}\n{bad}\n");
            let error = parse(Path::new("log"), text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{bad}: {error}");
        }
    }
}
