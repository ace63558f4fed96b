//! What is named on the command line, as selectors of a list.

use super::{RevokeArgs, Signer};
use crate::error::{Error, Result};
use crate::input;
use nixcert_core::{
    Certificate, CertificateName, Label, PublicKey, Selector, Serial, Usage, base64_decode,
    is_certificate_name,
};
use nixcert_issue::{Ca, Record, SecretKey, label_from};
use std::collections::BTreeSet;
use std::path::Path;
use zeroize::Zeroizing;

/// By what a certificate in a file is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum By {
    /// Every certificate of its key
    Key,
    /// This certificate alone
    Serial,
    /// Every certificate with its label
    Label,
}

/// All that is named, each once, in the order of a list.
pub(super) fn named(args: &RevokeArgs, signer: &Signer<'_>) -> Result<BTreeSet<Selector>> {
    let mut all = BTreeSet::new();
    all.extend(args.serial.iter().copied().map(Selector::Serial));
    for text in &args.key {
        all.insert(Selector::Key(named_key(text)?));
    }
    for text in &args.label {
        all.insert(label(text)?);
    }
    for path in &args.certificate {
        all.insert(of_file(path, args.by, signer.ca)?);
    }
    for what in &args.intermediate {
        all.extend(intermediate(what, signer)?.into_iter().map(Selector::Key));
    }
    Ok(all)
}

/// What is to be taken back.
pub(super) fn withdrawals(args: &RevokeArgs) -> Result<Vec<Selector>> {
    let parse = |text: &String| {
        withdrawal(text).map_err(|problem| {
            Error::new(format!("--withdraw: {problem}"))
                .help("'nixcert revocation show LIST' shows what it revokes")
        })
    };
    args.withdraw.iter().map(parse).collect()
}

/// The value of `--key`. It is not repeated where it is wrong, as clap would: it might be the secret half.
pub(crate) fn named_key(text: &str) -> Result<PublicKey> {
    public_key(text).map_err(|problem| {
        Error::new(format!("--key: {problem}"))
            .help("give the public key as 'nixcert inspect' and 'nixcert ca log' show it; --certificate FILE finds it by itself")
    })
}

fn label(text: &str) -> Result<Selector> {
    match Label::parse(text.as_bytes()) {
        Ok(label) => Ok(Selector::Label(label.to_string())),
        Err(error) => {
            let message = Error::new(format!("'{text}' is not a label: {error}"));
            Err(match label_from(text) {
                Some(proper) => message.help(format!("'{proper}' is one")),
                None => message,
            })
        }
    }
}

/// What is in a file that somebody has of a certificate.
pub(crate) enum Found {
    /// A chain, leaf first.
    Chain(Vec<Vec<u8>>),
    /// A key without a certificate.
    Key(PublicKey),
}

impl Found {
    /// Read a certificate file, a key file, a public key, or a signature.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let line = Zeroizing::new(input::line(path, "a certificate")?);
        let malformed = |problem: &dyn std::fmt::Display| {
            Error::new(format!("'{}' is not a certificate: {problem}", path.display())).help(
                "name a file that 'nixcert issue', 'nixcert attach' or 'nixcert key generate' wrote, or a signature (NAME:BASE64)",
            )
        };
        let text = line.strip_prefix("Sig: ").unwrap_or(&line);
        let (name, payload) =
            text.split_once(':').map_or((text, None), |(name, payload)| (name, Some(payload)));
        if is_certificate_name(name.as_bytes()) {
            let name = CertificateName::parse(name.as_bytes()).map_err(|error| malformed(&error))?;
            for bytes in name.certificates() {
                Certificate::parse(bytes).map_err(|error| malformed(&error))?;
            }
            return Ok(Self::Chain(name.certificates().to_vec()));
        }
        let payload = payload.ok_or_else(|| malformed(&"it has no certificate in it"))?;
        if let Ok((_, key)) = SecretKey::from_nix(text) {
            return Ok(Self::Key(key.public()));
        }
        match public_key(payload) {
            Ok(key) => Ok(Self::Key(key)),
            Err(problem) => Err(malformed(&problem)),
        }
    }
}

fn of_file(path: &Path, by: By, ca: PublicKey) -> Result<Selector> {
    let chain = match Found::read(path)? {
        Found::Key(key) if by == By::Key => return Ok(Selector::Key(key)),
        Found::Key(_) => {
            return Err(Error::new(format!("'{}' holds a key without a certificate", path.display()))
                .help("leave --by out, or name the certificate"));
        }
        Found::Chain(chain) => chain,
    };
    let parsed: Vec<Certificate<'_>> =
        chain.iter().filter_map(|bytes| Certificate::parse(bytes).ok()).collect();
    let (Some(leaf), Some(last)) = (parsed.first(), parsed.last()) else {
        return Err(Error::new(format!("'{}' holds no certificate", path.display())));
    };
    // FORMAT L8: "A list has an effect on chains that end in its CA, and on no others."
    if last.issuer != ca {
        return Err(Error::refused(format!(
            "the certificate of '{}' in '{}' is below the CA key {}, and this list is about {ca}",
            leaf.label,
            path.display(),
            last.issuer
        ))
        .help("let that CA withdraw it"));
    }
    Ok(match by {
        By::Key => Selector::Key(leaf.subject),
        By::Serial => Selector::Serial(leaf.serial),
        By::Label => Selector::Label(leaf.label.to_string()),
    })
}

/// The keys of an intermediate: the one in a file or directory, or all that the log has under a label.
fn intermediate(what: &str, signer: &Signer<'_>) -> Result<Vec<PublicKey>> {
    let path = Path::new(what);
    if path.join("ca.json").is_file() {
        return Ok(vec![Ca::open(path)?.public()]);
    }
    if path.exists() || what == "-" {
        let issues = match Found::read(path)? {
            Found::Chain(chain) => chain
                .first()
                .and_then(|bytes| Certificate::parse(bytes).ok())
                .is_some_and(|leaf| leaf.usages.contains(Usage::Issue)),
            Found::Key(_) => false,
        };
        return match (issues, of_file(path, By::Key, signer.ca)?) {
            (true, Selector::Key(key)) => Ok(vec![key]),
            _ => Err(Error::refused(format!("'{what}' is no certificate of an intermediate CA"))
                .help("--certificate withdraws other certificates")),
        };
    }
    let Some(records) = signer.records else {
        return Err(Error::new(format!("there is no file '{what}', and no log to look the label up in"))
            .help("name the intermediate's certificate file, or the CA's log with --log"));
    };
    let issues = |record: &&Record| record.usages.iter().any(|usage| usage == Usage::Issue.name());
    let keys: BTreeSet<PublicKey> = records
        .iter()
        .filter(|record| record.label == what)
        .filter(issues)
        .filter_map(|record| public_key(&record.subject).ok())
        .collect();
    if keys.is_empty() {
        return Err(Error::refused(format!(
            "there is no file '{what}', and no intermediate of that label in the log"
        ))
        .help("'nixcert ca log DIR' shows what was issued"));
    }
    Ok(keys.into_iter().collect())
}

/// `BASE64` or `NAME:BASE64`.
fn public_key(text: &str) -> std::result::Result<PublicKey, String> {
    let payload = text.rsplit(':').next().unwrap_or(text);
    let bytes = Zeroizing::new(base64_decode(payload.as_bytes()).ok_or("it is not base64 (is it whole?)")?);
    match (<[u8; 32]>::try_from(bytes.as_slice()), bytes.len()) {
        (Ok(key), _) => Ok(PublicKey(key)),
        (Err(_), 64) => Err("this is a secret key or a signature, where a public key belongs".to_owned()),
        (Err(_), length) => {
            Err(format!("a public key has 32 bytes (44 characters), and this has {length} bytes"))
        }
    }
}

/// Sixteen hexadecimal digits, as they are shown everywhere.
pub(crate) fn serial(text: &str) -> std::result::Result<Serial, String> {
    let well_formed = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(text, 16) {
        Ok(number @ 1..) if well_formed => Ok(Serial(number)),
        Ok(0) if well_formed => Err("no certificate has the serial number zero".to_owned()),
        _ => {
            Err("a serial number is 16 hexadecimal digits, as 'nixcert ca log' and 'nixcert inspect' show it"
                .to_owned())
        }
    }
}

/// `serial:HEX`, `key:BASE64` or `label:NAME`.
fn withdrawal(text: &str) -> std::result::Result<Selector, String> {
    match text.split_once(':') {
        Some(("serial", value)) => serial(value).map(Selector::Serial),
        Some(("key", value)) => public_key(value).map(Selector::Key),
        Some(("label", value)) => Label::parse(value.as_bytes())
            .map(|label| Selector::Label(label.to_string()))
            .map_err(|error| error.to_string()),
        _ => Err("say what it was withdrawn by: serial:HEX, key:BASE64 or label:NAME".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        assert_eq!(serial("00000000000000ff"), Ok(Serial(255)));
        assert_eq!(serial("00000000000000FF"), Ok(Serial(255)));
        for bad in ["", "ff", "0000000000000000", "+0000000000000ff", "00000000000000fg", "00000000000000ff0"]
        {
            assert!(serial(bad).is_err(), "{bad}");
        }
        let key = PublicKey([7; 32]);
        assert_eq!(public_key(&key.to_string()), Ok(key));
        assert_eq!(public_key(&format!("alice-1:{key}")), Ok(key));
        for bad in ["", "alice", "AAAA", &"A".repeat(86)] {
            assert!(public_key(bad).is_err(), "{bad}");
        }
        assert_eq!(withdrawal("label:bob"), Ok(Selector::Label("bob".to_owned())));
        assert_eq!(withdrawal(&format!("key:{key}")), Ok(Selector::Key(key)));
        for bad in ["bob", "label:Bob", "serial:1", "key:", "name:bob"] {
            assert!(withdrawal(bad).is_err(), "{bad}");
        }
    }
}
