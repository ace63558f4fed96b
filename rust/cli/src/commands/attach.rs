//! `nixcert attach`: a key file with which stock Nix makes certificate signatures (FORMAT N5).

use crate::error::{Answer, Error, Result};
use crate::output::{self, Destination};
use crate::{input, time};
use nixcert_core::{Certificate, CertificateName, Usage};
use nixcert_files::Access;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Join a secret key and its certificate into a key file for stock Nix
///
/// Every Nix makes certificate signatures with it: nix store sign -k, secret-key-files, ?secret-key=, post-build hooks.
/// Keep the key itself too: a renewed certificate is attached to it again, with --force.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  nixcert attach --key alice.key alice.cert -o alice.nixcert.key
  nix store sign -k alice.nixcert.key --recursive ./result")]
pub(crate) struct AttachArgs {
    /// Your secret key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The certificate that the CA issued for it; '-' is standard input
    certificate: PathBuf,
    /// Write the joined key here (mode 0600); '-' is standard output, if that is not a terminal
    /// [default: the key's path, ending in .nixcert.key]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: AttachArgs) -> Result {
    if args.output.is_none() && args.key == Path::new("-") {
        return Err(Error::new("the key comes from standard input, so its file has no name")
            .help("name the file to be written with -o FILE"));
    }
    let path = args.output.unwrap_or_else(|| args.key.with_extension("nixcert.key"));
    let destination = Destination::new(Some(&path), Access::Secret, args.force)?;
    let (_, key) = input::secret_key(&args.key)?;
    let line = input::line(&args.certificate, "a certificate")?;
    let malformed = |error: &dyn std::fmt::Display| {
        Error::new(format!("'{}' is not a certificate: {error}", args.certificate.display()))
            .help("name the file that 'nixcert issue -o' wrote, unchanged")
    };
    if line.contains(':') {
        return Err(malformed(&"it is a key or a signature (were key and certificate swapped?)"));
    }
    let name = CertificateName::parse(line.as_bytes()).map_err(|error| malformed(&error))?;
    let mut chain = Vec::new();
    for bytes in name.certificates() {
        chain.push(Certificate::parse(bytes).map_err(|error| malformed(&error))?);
    }
    let leaf = chain.first().ok_or_else(|| malformed(&"it is empty"))?;
    if leaf.label != name.label() {
        return Err(malformed(&format_args!(
            "its name says '{}', its content '{}'",
            name.label(),
            leaf.label
        )));
    }
    if leaf.subject != key.public() {
        return Err(Error::refused(format!(
            "the certificate of '{}' is for the key {}, and '{}' holds {}",
            leaf.label,
            leaf.subject,
            args.key.display(),
            key.public()
        ))
        .help("name the key that the request was made with"));
    }
    if leaf.usages.contains(Usage::Issue) {
        return Err(Error::refused(
            "the certificate is for issuing: its key signs certificates, never packages",
        )
        .help("an intermediate CA installs it with 'nixcert ca adopt'"));
    }
    let now = time::now()?;
    for certificate in &chain {
        if certificate.not_after <= now {
            output::warn(format_args!(
                "the certificate of '{}' expired at {}: hosts will refuse what is signed with it; ask for a new one",
                certificate.label, certificate.not_after
            ));
        } else if certificate.not_before > now {
            output::warn(format_args!(
                "the certificate of '{}' is not valid before {}",
                certificate.label, certificate.not_before
            ));
        }
    }
    let contents = Zeroizing::new([key.to_nix(&line).as_bytes(), b"\n"].concat());
    destination.write(&contents)?;
    if let Some(path) = destination.path() {
        let next = if leaf.usages.iter().all(|usage| usage == Usage::Revoke) {
            format!("nixcert revoke --sign-with {} --ca-key NAME:BASE64 …", path.display())
        } else {
            format!("nix store sign -k {} --recursive PATH…", path.display())
        };
        output::note(format_args!(
            "'{}' signs as '{}' until {}; next: {next}",
            path.display(),
            leaf.label,
            chain.iter().map(|certificate| certificate.not_after).min().unwrap_or(leaf.not_after)
        ));
    }
    Ok(Answer::Yes)
}
