//! `nixcert inspect`: show what something is, what was verified, and what was only read.

mod closure;
mod narinfo;

use crate::commands::closure::statements;
use crate::describe::Description;
use crate::error::{Answer, Error, Result};
use crate::output::{self, ACCEPTED, NOTE, REFUSED, SCHEMA, Table, printable, shorten};
use crate::{input, time};
use nixcert_core::{
    Anchors, Certificate, CertificateName, ClosureName, Instant, PublicKey, REQUEST_MARK, Reason, Request,
    Usage, VerifiedChain, base64_decode, is_certificate_name,
};
use nixcert_issue::{Ca, Log, SEALED_MARK, SecretKey};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;
use zeroize::Zeroizing;

/// What is shown at once: room for many narinfos.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// Show a request, certificate, key, signature, narinfo or CA
///
/// Finds out by itself which of them it is, and says plainly what was verified and what was only read. Secret halves of keys
/// are never shown.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert inspect alice.request                # its signature is verified
  nixcert inspect alice.cert                   # read only
  nixcert inspect alice.cert --trusted-ca-keys acme-2026-1:s6vX…=
  nixcert inspect acme-ca                      # a CA's directory
  nix path-info --json --sigs ./result | jq -r '.[].signatures[]' | head -1 | nixcert inspect -

Exit status: 0 shown; 1 shown or not, and something in it is wrong; 2 it is nothing that can be shown.")]
pub(crate) struct InspectArgs {
    /// A file, a CA's directory, '-' for standard input, or the text itself
    what: String,
    /// A CA to verify certificates with: NAME:BASE64, as 'nixcert ca init' prints it
    #[arg(long, value_name = "KEYS")]
    trusted_ca_keys: Vec<String>,
    /// Print JSON: one object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: InspectArgs) -> Result {
    let mut inspector = Inspector { anchors: Anchors::default(), now: time::now()?, json: args.json };
    for entry in args.trusted_ca_keys.iter().flat_map(|value| value.split_ascii_whitespace()) {
        inspector.anchors.add(entry).map_err(|error| Error::new(format!("--trusted-ca-keys: {error}")))?;
    }
    let path = Path::new(&args.what);
    if path.is_dir() {
        let report = inspector.ca(path)?;
        return inspector.show(&[report]);
    }
    let is_text = args.what != "-" && path.symlink_metadata().is_err() && args.what.contains([':', '.']);
    let bytes = if is_text && looks_like_content(&args.what) {
        Zeroizing::new(args.what.clone().into_bytes())
    } else {
        Zeroizing::new(input::bytes(path, MOST_BYTES)?)
    };
    let reports = inspector.recognise(&bytes)?;
    if is_text && reports.iter().any(|report| matches!(report.content, Content::SecretKey { .. })) {
        output::warn("a secret key as an argument can be read by everyone on this machine: replace it");
    }
    inspector.show(&reports)
}

/// An argument that names no file, but is a key, signature, request or certificate itself.
fn looks_like_content(text: &str) -> bool {
    text.contains(REQUEST_MARK) || is_certificate_name(text.as_bytes()) || key_payload(text).is_some()
}

/// The bytes behind the colon of `NAME:BASE64`.
fn key_payload(line: &str) -> Option<(&str, Zeroizing<Vec<u8>>)> {
    let (name, payload) = line.split_once(':').filter(|(name, _)| !name.is_empty())?;
    base64_decode(payload.as_bytes()).map(|bytes| (name, Zeroizing::new(bytes)))
}

struct Inspector {
    anchors: Anchors,
    now: Instant,
    json: bool,
}

/// What was found, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    schema: u32,
    #[serde(flatten)]
    content: Content,
    verification: Verification,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Content {
    Request {
        label: String,
        subject: String,
    },
    Certificate {
        certificates: Vec<Description>,
    },
    SecretKey {
        name: String,
        public_key: String,
        certificates: Vec<Description>,
    },
    EncryptedKey {},
    PublicKey {
        name: String,
        key: String,
        certificates: Vec<Description>,
    },
    Signature {
        name: String,
        certificates: Vec<Description>,
    },
    /// The statement is null if the signature cannot be read.
    ClosureSignature {
        statement: Option<Box<statements::Description>>,
        certificates: Vec<Description>,
    },
    Narinfo(narinfo::Narinfo),
    Ca(CaSummary),
}

#[derive(Serialize)]
struct CaSummary {
    name: String,
    ca_kind: String,
    public_key: String,
    encrypted: bool,
    issued: usize,
    certificates: Vec<Description>,
}

/// What is known about it, apart from what it says.
#[derive(Serialize)]
struct Verification {
    status: Status,
    /// A reason code, where a rule of FORMAT.md is broken.
    reason: Option<&'static str>,
    message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Status {
    Verified,
    ReadOnly,
    Refused,
}

impl Verification {
    fn verified(message: impl Into<String>) -> Self {
        Self { status: Status::Verified, reason: None, message: message.into() }
    }

    fn read_only(message: impl Into<String>) -> Self {
        Self { status: Status::ReadOnly, reason: None, message: message.into() }
    }

    fn refused(reason: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status: Status::Refused, reason, message: message.into() }
    }
}

impl Inspector {
    fn recognise(&self, bytes: &[u8]) -> Result<Vec<Report>> {
        let unknown = |problem: &str| {
            Error::new(format!("this cannot be shown: {problem}")).help(
                "it shows requests, certificates, key files, public keys, signatures, narinfos, and the directories of CAs",
            )
        };
        if bytes.starts_with(SEALED_MARK.as_bytes()) {
            return Ok(vec![report(
                Content::EncryptedKey {},
                Verification::read_only("read only: what is inside needs the passphrase"),
            )]);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| unknown("it is not text"))?;
        if text.contains('\0') {
            return Err(unknown("it is not text"));
        }
        if text.lines().any(|line| line.starts_with("StorePath:")) {
            return narinfo::narinfos(bytes);
        }
        let line = text.trim();
        let line = line.strip_prefix("Sig: ").unwrap_or(line);
        if line.is_empty() {
            return Err(unknown("it is empty"));
        }
        if line.contains('\n') {
            return Err(unknown("it has many lines, and is no narinfo"));
        }
        if line.contains(REQUEST_MARK) {
            return Ok(vec![request(line)?]);
        }
        if !line.contains(':') && is_certificate_name(line.as_bytes()) {
            return Ok(vec![self.certificate(line)?]);
        }
        let (name, payload) = key_payload(line).ok_or_else(|| {
            unknown("it is neither NAME:BASE64, nor a certificate, nor a request (is it whole?)")
        })?;
        match payload.len() {
            32 => Ok(vec![self.public_key(name, &payload)?]),
            64 if ClosureName::is_one(name.as_bytes()) => {
                Ok(vec![closure::closure_signature(line, &self.anchors)])
            }
            64 => Ok(vec![match SecretKey::from_nix(line) {
                Ok((_, key)) => self.secret_key(name, &key)?,
                // A secret key whose halves do not belong together looks like this too: the payload is not shown.
                Err(_) => signature(name),
            }]),
            length => Err(unknown(&format!(
                "what follows ':' has {length} bytes; keys have 32 or 64, signatures 64"
            ))),
        }
    }

    fn certificate(&self, line: &str) -> Result<Report> {
        let (_, certificates) = certificates_in(line).map_err(refuse)?;
        Ok(report(Content::Certificate { certificates }, self.chain(line)))
    }

    /// What is known about the chain in a name.
    fn chain(&self, name: &str) -> Verification {
        if self.anchors.is_empty() {
            return Verification::read_only(
                "read only: whoever made it could have written anything; --trusted-ca-keys verifies who issued it",
            );
        }
        let issues = certificates_in(name)
            .is_ok_and(|(_, certificates)| certificates.first().is_some_and(Description::issues));
        let verified = CertificateName::parse(name.as_bytes()).map_err(Reason::from).and_then(|name| {
            let certificates = name.certificates().to_vec();
            if issues {
                VerifiedChain::verify_issuers(&certificates, &self.anchors)
            } else {
                VerifiedChain::verify(certificates, &self.anchors).map(|chain| *chain.anchor())
            }
        });
        match verified {
            Ok(anchor) => Verification::verified(format!(
                "verified: every signature up to the CA '{}' is valid (whether it is in force, and for what, is said above)",
                self.anchors.name_of(&anchor).unwrap_or_default()
            )),
            Err(reason) => Verification::refused(Some(reason.code()), format!("refused: {reason}")),
        }
    }

    fn secret_key(&self, name: &str, key: &SecretKey) -> Result<Report> {
        let public_key = key.public().to_string();
        if !is_certificate_name(name.as_bytes()) {
            let content =
                Content::SecretKey { name: shorten(name, 100), public_key, certificates: Vec::new() };
            return Ok(report(content, Verification::verified("verified: its two halves belong together")));
        }
        let (label, certificates) = certificates_in(name).map_err(refuse)?;
        let verification = match certificates.first() {
            Some(leaf) if leaf.subject == public_key => match self.chain(name) {
                Verification { status: Status::ReadOnly, reason, message } => Verification {
                    status: Status::ReadOnly,
                    reason,
                    message: format!("the key is the certificate's; of the certificate: {message}"),
                },
                other => other,
            },
            _ => Verification::refused(None, "refused: the certificate in the name is for another key"),
        };
        Ok(report(Content::SecretKey { name: label, public_key, certificates }, verification))
    }

    fn public_key(&self, name: &str, payload: &[u8]) -> Result<Report> {
        let key = <[u8; 32]>::try_from(payload).map(PublicKey).map_err(|_| Error::new("not 32 bytes"))?;
        let (shown, certificates) = certificates_in(name).unwrap_or((shorten(name, 100), Vec::new()));
        let verification = match key.check() {
            Ok(()) => Verification::read_only("read only: whose key it is, is not said by the key"),
            Err(error) => Verification::refused(Some("weak-key"), format!("refused: {error}")),
        };
        Ok(report(Content::PublicKey { name: shown, key: key.to_string(), certificates }, verification))
    }

    fn ca(&self, path: &Path) -> Result<Report> {
        let ca = Ca::open(path)?;
        let mut certificates = Vec::new();
        for bytes in ca.chain() {
            let certificate = Certificate::parse(bytes).map_err(|error| refuse(error.to_string()))?;
            certificates.push(Description::of_certificate(&certificate));
        }
        let summary = CaSummary {
            name: ca.name().to_owned(),
            ca_kind: ca.kind().to_string(),
            public_key: ca.trusted_entry(),
            encrypted: ca.is_sealed()?,
            issued: Log::read(&ca.log_path())?.len(),
            certificates,
        };
        Ok(report(Content::Ca(summary), Verification::read_only("read only: its secret key was not opened")))
    }

    fn show(&self, reports: &[Report]) -> Result {
        for report in reports {
            if self.json {
                output::json(report)?;
            } else {
                self.show_one(report)?;
            }
        }
        let wrong = reports.iter().any(|report| report.verification.status == Status::Refused);
        Ok(if wrong { Answer::No } else { Answer::Yes })
    }

    fn show_one(&self, report: &Report) -> Result<()> {
        let mut out = anstream::stdout().lock();
        let mut table = Table::default();
        let (title, certificates) = match &report.content {
            Content::Request { label, subject } => {
                table.row("Label", label);
                table.row("Key", subject);
                ("Certificate request", None)
            }
            Content::Certificate { certificates } => ("Certificate", Some(certificates)),
            Content::SecretKey { name, public_key, certificates } => {
                table.row("Name", name);
                table.row("Public half", public_key);
                let title =
                    if certificates.is_empty() { "Secret key" } else { "Secret key with certificate" };
                (title, Some(certificates))
            }
            Content::EncryptedKey {} => ("Encrypted secret key of a CA", None),
            Content::PublicKey { name, key, certificates } => {
                table.row("Name", name);
                table.row("Key", key);
                ("Public key", Some(certificates))
            }
            Content::Signature { name, certificates } => {
                if certificates.is_empty() {
                    table.row("Name", name);
                }
                ("Signature", Some(certificates))
            }
            Content::ClosureSignature { statement, certificates } => {
                if let Some(statement) = statement {
                    closure::rows(&mut table, statement);
                }
                ("Closure signature", Some(certificates))
            }
            Content::Narinfo(narinfo) => {
                narinfo.rows(&mut table, self.now);
                ("Narinfo", None)
            }
            Content::Ca(ca) => {
                ca.rows(&mut table);
                ("CA", Some(&ca.certificates))
            }
        };
        writeln!(out, "{title}")?;
        table.write(&mut out)?;
        self.show_chain(&mut out, certificates.map(Vec::as_slice).unwrap_or_default())?;
        let Verification { status, message, .. } = &report.verification;
        let style = match status {
            Status::Verified => ACCEPTED,
            Status::ReadOnly => NOTE,
            Status::Refused => REFUSED,
        };
        writeln!(out, "{style}{}{style:#}", printable(message))?;
        Ok(())
    }

    /// Certificates, each with the one that issued it.
    fn show_chain(&self, out: &mut impl Write, certificates: &[Description]) -> io::Result<()> {
        for (position, certificate) in certificates.iter().enumerate() {
            if certificates.len() > 1 || position > 0 {
                let title =
                    if position == 0 { "leaf".to_owned() } else { format!("intermediate {position}") };
                writeln!(out, "  -- {title}")?;
            }
            let issuer = match certificates.get(position + 1) {
                Some(issuer) => format!("{} (intermediate)", issuer.label),
                None => match self.anchors_name(&certificate.issuer) {
                    Some(name) => format!("{name} (trusted CA)"),
                    None => certificate.issuer.clone(),
                },
            };
            let mut table = certificate.table(&issuer);
            table.row("Now", certificate.standing(self.now));
            table.write(&mut *out)?;
        }
        Ok(())
    }

    fn anchors_name(&self, key: &str) -> Option<&str> {
        let bytes = base64_decode(key.as_bytes())?;
        self.anchors.name_of(&PublicKey(bytes.try_into().ok()?))
    }
}

impl CaSummary {
    fn rows(&self, table: &mut Table) {
        table.row("Name", &self.name);
        table.row("Kind", &self.ca_kind);
        table.row("Public key", &self.public_key);
        table.row("Secret key", if self.encrypted { "encrypted" } else { "NOT encrypted" });
        table.row("Issued", format_args!("{} certificates", self.issued));
        if self.ca_kind == "intermediate" && self.certificates.is_empty() {
            table.row("Certificate", "none yet, so it cannot issue");
        }
    }
}

fn report(content: Content, verification: Verification) -> Report {
    Report { schema: SCHEMA, content, verification }
}

fn refuse(problem: String) -> Error {
    Error::refused(format!("the certificate is not usable: {problem}"))
        .help("ask for the file again, unchanged")
}

fn request(line: &str) -> Result<Report> {
    let request = Request::verify(line)
        .map_err(|error| Error::refused(error).help("ask for the request again, unchanged"))?;
    let content =
        Content::Request { label: request.label().to_owned(), subject: request.subject().to_string() };
    Ok(report(
        content,
        Verification::verified(
            "verified: whoever made it holds the secret half of this key (who that is, nobody verified)",
        ),
    ))
}

fn signature(name: &str) -> Report {
    let (name, certificates) = certificates_in(name).unwrap_or((shorten(name, 100), Vec::new()));
    report(
        Content::Signature { name, certificates },
        Verification::read_only(
            "read only: a signature says nothing without its object; 'nixcert verify' judges narinfos",
        ),
    )
}

/// The label and the certificates in a name, if it holds any.
fn certificates_in(name: &str) -> std::result::Result<(String, Vec<Description>), String> {
    let parsed = CertificateName::parse(name.as_bytes()).map_err(|error| error.to_string())?;
    let describe = |bytes: &Vec<u8>| {
        Certificate::parse(bytes)
            .map(|certificate| Description::of_certificate(&certificate))
            .map_err(|error| error.to_string())
    };
    let certificates = parsed.certificates().iter().map(describe).collect::<std::result::Result<_, _>>()?;
    Ok((parsed.label().to_string(), certificates))
}

impl Description {
    fn issues(&self) -> bool {
        self.usages.contains(&Usage::Issue.name())
    }
}
