//! A client of the Nix daemon that says what stock clients do not: the worker protocol, as far as the cases need it.
//!
//! It talks as version 1.38 does (Nix 2.24), which every daemon here understands. Integers are 64 bit, little-endian;
//! a string is its length, its bytes, and zeros up to a multiple of eight (Nix's `src/libstore/worker-protocol.cc`).

use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::host::Host;

const MAGIC_OF_CLIENT: u64 = 0x6e69_7863;
const MAGIC_OF_DAEMON: u64 = 0x6478_696f;
const VERSION: u64 = 1 << 8 | 38;

/// The feature by which Nix 2.35 and later say that to them a realisation is of a derivation's store path. Without it they take
/// no realisation at all; daemons before them do not have it.
const REALISATIONS_BY_PATH: &str = "realisation-with-path-not-hash";

const QUERY_PATH_INFO: u64 = 26;
const ADD_SIGNATURES: u64 = 37;
const ADD_TO_STORE_NAR: u64 = 39;
const REGISTER_DRV_OUTPUT: u64 = 42;
const ADD_MULTIPLE_TO_STORE: u64 = 44;

/// What a client says of a path.
#[derive(Clone, Debug)]
pub(crate) struct Info {
    pub(crate) path: String,
    pub(crate) nar_hash: String,
    pub(crate) nar_size: u64,
    pub(crate) references: Vec<String>,
    pub(crate) registration_time: u64,
    pub(crate) ultimate: bool,
    pub(crate) signatures: Vec<String>,
    pub(crate) content_address: String,
}

/// A path that exists nowhere but in what the client sends.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) info: Info,
    pub(crate) nar: Vec<u8>,
}

impl Parcel {
    /// A file with these contents, as an input-addressed path.
    pub(crate) fn file(path: &str, contents: &[u8]) -> Self {
        let mut nar = Vec::new();
        for word in ["nix-archive-1", "(", "type", "regular", "contents"] {
            put_bytes(&mut nar, word.as_bytes());
        }
        put_bytes(&mut nar, contents);
        put_bytes(&mut nar, b")");
        Self::of(path, nar, vec![])
    }

    /// What this archive holds, as an input-addressed path.
    pub(crate) fn of(path: &str, nar: Vec<u8>, references: Vec<String>) -> Self {
        let info = Info {
            path: path.to_owned(),
            nar_hash: hex(&Sha256::digest(&nar)),
            nar_size: nar.len() as u64,
            references,
            registration_time: 0,
            ultimate: false,
            signatures: vec![],
            content_address: String::new(),
        };
        Self { info, nar }
    }
}

/// Flags that come with a path.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    pub(crate) repair: bool,
    pub(crate) dont_check_signatures: bool,
}

/// A realisation, as each of the two forms of the protocol has it (FORMAT O2).
pub(crate) struct Realisation {
    /// Up to Nix 2.34: JSON, with the signatures on that form.
    pub(crate) by_hash: String,
    /// Since Nix 2.35.
    pub(crate) by_path: RealisationByPath,
}

/// What Nix 2.35 and later take for a realisation.
pub(crate) struct RealisationByPath {
    pub(crate) derivation: String,
    pub(crate) output: String,
    pub(crate) path: String,
    pub(crate) signatures: Vec<String>,
}

/// A connection.
pub(crate) struct Client {
    /// What carries the messages: ssh, or the daemon's own command.
    peer: Child,
    to: ChildStdin,
    from: ChildStdout,
    realisations_by_path: bool,
}

impl Client {
    /// Connects as stock clients with ssh-ng do, by the same user on both sides.
    pub(crate) fn connect(host: &Host, user: &str, server: &Host) -> Result<Self> {
        Self::converse(host.login(user, &format!("exec ssh {user}@{} nix-daemon --stdio", server.name())))
            .with_context(|| format!("the daemon of {} did not answer", server.name()))
    }

    /// Connects on the server itself, without ssh: for many at once.
    pub(crate) fn beside(server: &Host, user: &str) -> Result<Self> {
        Self::converse(server.login(user, "exec nix-daemon --stdio"))
            .with_context(|| format!("the daemon of {} did not answer", server.name()))
    }

    fn converse(mut command: Command) -> Result<Self> {
        let mut peer = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (Some(to), Some(from)) = (peer.stdin.take(), peer.stdout.take()) else { bail!("no pipes") };
        let mut client = Self { peer, to, from, realisations_by_path: false };
        client.greet()?;
        Ok(client)
    }

    fn greet(&mut self) -> Result<()> {
        let mut hello = Vec::new();
        put(&mut hello, MAGIC_OF_CLIENT);
        put(&mut hello, VERSION);
        put_strings(&mut hello, &[REALISATIONS_BY_PATH.to_owned()]);
        // Two obsolete settings: CPU affinity, reserved space.
        put(&mut hello, 0);
        put(&mut hello, 0);
        self.send(&hello)?;
        if self.number()? != MAGIC_OF_DAEMON {
            bail!("this is no Nix daemon");
        }
        let its_version = self.number()?;
        if its_version < VERSION {
            bail!(
                "this daemon talks as version {its_version:#x}, older than {VERSION:#x}, and has no features"
            );
        }
        self.realisations_by_path = self.strings()?.iter().any(|feature| feature == REALISATIONS_BY_PATH);
        let _version_of_nix = self.bytes()?;
        let _trusted = self.number()?;
        self.finish()
    }

    /// Adds a path with a message of its own.
    ///
    /// # Errors
    /// What the daemon says.
    pub(crate) fn add(&mut self, parcel: &Parcel, flags: Flags) -> Result<()> {
        let mut message = Vec::new();
        put(&mut message, ADD_TO_STORE_NAR);
        put_info(&mut message, &parcel.info);
        put(&mut message, flags.repair.into());
        put(&mut message, flags.dont_check_signatures.into());
        put_frames(&mut message, &parcel.nar);
        self.send(&message)?;
        self.finish()
    }

    /// Adds a path as [`Client::add`] does, with a pause before the last bytes.
    ///
    /// # Errors
    /// What the daemon says.
    pub(crate) fn add_slowly(&mut self, parcel: &Parcel, pause: Duration) -> Result<()> {
        self.add_with_a_pause(parcel, || {
            std::thread::sleep(pause);
            Ok(())
        })
    }

    /// Adds a path as [`Client::add`] does, and does something else before the last bytes.
    ///
    /// # Errors
    /// What the daemon says, or what is done meanwhile.
    pub(crate) fn add_with_a_pause(
        &mut self,
        parcel: &Parcel,
        meanwhile: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let mut message = Vec::new();
        put(&mut message, ADD_TO_STORE_NAR);
        put_info(&mut message, &parcel.info);
        put(&mut message, false.into());
        put(&mut message, false.into());
        put_frames(&mut message, &parcel.nar);
        let (first, last) = message.split_at(message.len() - 16);
        self.send(first)?;
        meanwhile()?;
        self.send(last)?;
        self.finish()
    }

    /// Sends the first bytes of what adds a path, so many percent of it, and dies.
    pub(crate) fn dies_after(mut self, percent: usize, parcel: &Parcel) -> Result<()> {
        let mut message = Vec::new();
        put(&mut message, ADD_TO_STORE_NAR);
        put_info(&mut message, &parcel.info);
        put(&mut message, false.into());
        put(&mut message, false.into());
        put_frames(&mut message, &parcel.nar);
        message.truncate(message.len() * percent / 100);
        self.send(&message)
    }

    /// Adds a path with a message for many.
    ///
    /// # Errors
    /// What the daemon says.
    pub(crate) fn add_multiple(&mut self, parcel: &Parcel, flags: Flags) -> Result<()> {
        let mut stream = Vec::new();
        put(&mut stream, 1);
        put_info(&mut stream, &parcel.info);
        stream.extend_from_slice(&parcel.nar);
        let mut message = Vec::new();
        put(&mut message, ADD_MULTIPLE_TO_STORE);
        put(&mut message, flags.repair.into());
        put(&mut message, flags.dont_check_signatures.into());
        put_frames(&mut message, &stream);
        self.send(&message)?;
        self.finish()
    }

    /// Adds signatures to a path.
    ///
    /// # Errors
    /// What the daemon says.
    pub(crate) fn add_signatures(&mut self, path: &str, signatures: &[String]) -> Result<()> {
        let mut message = Vec::new();
        put(&mut message, ADD_SIGNATURES);
        put_bytes(&mut message, path.as_bytes());
        put_strings(&mut message, signatures);
        self.send(&message)?;
        self.finish()?;
        self.number().map(drop)
    }

    /// Whether this daemon's realisations are of a derivation's store path, not of a hash.
    pub(crate) fn realisations_by_path(&self) -> bool {
        self.realisations_by_path
    }

    /// Registers a realisation, in the form that this daemon understands.
    ///
    /// # Errors
    /// What the daemon says.
    pub(crate) fn register_realisation(&mut self, realisation: &Realisation) -> Result<()> {
        let mut message = Vec::new();
        put(&mut message, REGISTER_DRV_OUTPUT);
        if self.realisations_by_path {
            let RealisationByPath { derivation, output, path, signatures } = &realisation.by_path;
            for text in [derivation, output, path] {
                put_bytes(&mut message, text.as_bytes());
            }
            put_strings(&mut message, signatures);
        } else {
            put_bytes(&mut message, realisation.by_hash.as_bytes());
        }
        self.send(&message)?;
        self.finish()
    }

    /// What the store says of a path, if it is valid.
    pub(crate) fn info(&mut self, path: &str) -> Result<Option<Info>> {
        let mut message = Vec::new();
        put(&mut message, QUERY_PATH_INFO);
        put_bytes(&mut message, path.as_bytes());
        self.send(&message)?;
        self.finish()?;
        if self.number()? == 0 {
            return Ok(None);
        }
        let _deriver = self.bytes()?;
        Ok(Some(Info {
            path: path.to_owned(),
            nar_hash: self.string()?,
            references: self.strings()?,
            registration_time: self.number()?,
            nar_size: self.number()?,
            ultimate: self.number()? != 0,
            signatures: self.strings()?,
            content_address: self.string()?,
        }))
    }

    /// Reads what the daemon reports of its work, until that is done.
    fn finish(&mut self) -> Result<()> {
        loop {
            match self.number()? {
                // STDERR_LAST
                0x616c_7473 => return Ok(()),
                // STDERR_NEXT
                0x6f6c_6d67 => drop(self.bytes()?),
                // STDERR_ERROR: type, level, name, message, no position, traces
                0x6378_7470 => {
                    let _type = self.bytes()?;
                    let _level = self.number()?;
                    let _name = self.bytes()?;
                    let message = self.string()?;
                    let _position = self.number()?;
                    for _ in 0..self.number()? {
                        let _position = self.number()?;
                        let _trace = self.bytes()?;
                    }
                    bail!("{}", without_colours(&message));
                }
                // STDERR_START_ACTIVITY: number, level, type, text, fields, parent
                0x5354_5254 => {
                    for _ in 0..3 {
                        self.number()?;
                    }
                    self.bytes()?;
                    self.fields()?;
                    self.number()?;
                }
                // STDERR_STOP_ACTIVITY
                0x5354_4f50 => drop(self.number()?),
                // STDERR_RESULT: number, type, fields
                0x5253_4c54 => {
                    self.number()?;
                    self.number()?;
                    self.fields()?;
                }
                other => bail!("the daemon sent a message of an unknown kind, {other:#x}"),
            }
        }
    }

    fn fields(&mut self) -> Result<()> {
        for _ in 0..self.number()? {
            match self.number()? {
                0 => drop(self.number()?),
                _ => drop(self.bytes()?),
            }
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes)?;
        Ok(self.to.flush()?)
    }

    fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.from.read_exact(&mut bytes).context("the daemon hung up")?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let length = self.number()?;
        let mut bytes = vec![0; usize::try_from(length.next_multiple_of(8))?];
        self.from.read_exact(&mut bytes)?;
        bytes.truncate(usize::try_from(length)?);
        Ok(bytes)
    }

    fn string(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    fn strings(&mut self) -> Result<Vec<String>> {
        (0..self.number()?).map(|_| self.string()).collect()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.peer.kill();
        let _ = self.peer.wait();
    }
}

/// Nix writes names in colour.
fn without_colours(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

fn put(message: &mut Vec<u8>, number: u64) {
    message.extend_from_slice(&number.to_le_bytes());
}

fn put_bytes(message: &mut Vec<u8>, bytes: &[u8]) {
    put(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
    message.resize(message.len().next_multiple_of(8), 0);
}

fn put_strings(message: &mut Vec<u8>, strings: &[String]) {
    put(message, strings.len() as u64);
    for string in strings {
        put_bytes(message, string.as_bytes());
    }
}

fn put_info(message: &mut Vec<u8>, info: &Info) {
    put_bytes(message, info.path.as_bytes());
    // The deriver.
    put_bytes(message, b"");
    put_bytes(message, info.nar_hash.as_bytes());
    put_strings(message, &info.references);
    put(message, info.registration_time);
    put(message, info.nar_size);
    put(message, info.ultimate.into());
    put_strings(message, &info.signatures);
    put_bytes(message, info.content_address.as_bytes());
}

/// A frame is its length and its bytes; an empty one ends.
fn put_frames(message: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(1 << 16) {
        put(message, chunk.len() as u64);
        message.extend_from_slice(chunk);
    }
    put(message, 0);
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
