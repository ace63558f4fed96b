//! CAs and certified keys, made on a host with the `nixcert` command as people do it.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use super::{forge::Key, tools::key};
use crate::host::Host;

/// What a certificate permits when that is not what the case is about.
pub(crate) const EVERYTHING: &str = "--usage import-paths --permit '*' --host '*'";

/// Makes a root CA of this name, if it is not there; gives its line for `trusted-ca-keys`.
pub(crate) fn root_ca(host: &Host, name: &str) -> Result<String> {
    let line = format!(
        "cd /root; test -d {name} || nixcert ca init {name} --name {name} --unencrypted >&2; cat {name}/ca.pub"
    );
    Ok(host.root(&line)?.trim().to_owned())
}

/// Makes an intermediate CA of this name, if it is not there, and has it certified by `above` with these options.
pub(crate) fn intermediate_ca(host: &Host, name: &str, above: &str, options: &str) -> Result<()> {
    // A year longer for each CA above: nobody may certify beyond the own end.
    let validity = if above == "acme-1" { "900d" } else { "500d" };
    host.root(&format!(
        "cd /root; test -d {name} || nixcert ca init {name} --name {name} --intermediate --unencrypted >&2
         nixcert issue {name}/ca.request --ca {above} {options} --valid {validity} --yes --force -o {name}.certificate >&2
         nixcert ca adopt {name} {name}.certificate --force >&2"
    ))
    .map(drop)
}

/// Certifies a user's key `NAME.secret`, which is made if it is not there; gives the name of a new key file with the
/// certificate, in the user's home.
pub(crate) fn certify(host: &Host, user: &str, key_name: &str, ca: &str, options: &str) -> Result<String> {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let (request, certificate) = (format!("/tmp/{number}.request"), format!("/tmp/{number}.certificate"));
    let joined = format!("{key_name}.{number}.key");
    key(host, user, key_name)?;
    host.run_as(user, &format!("nixcert request --key {key_name}.secret --label {user} -o {request}"))?
        .ok()?;
    host.root(&format!("cd /root; nixcert issue {request} --ca {ca} {options} --yes -o {certificate} >&2"))?;
    host.run_as(user, &format!("nixcert attach --key {key_name}.secret {certificate} -o {joined}"))?.ok()?;
    Ok(joined)
}

/// The same, to sign in here.
pub(crate) fn signer(host: &Host, user: &str, key_name: &str, ca: &str, options: &str) -> Result<Key> {
    let file = certify(host, user, key_name, ca, options)?;
    Key::read(host, &format!("/home/{user}/{file}"))
}

/// The parts of the name in a key file: label, leaf certificate, intermediates.
pub(crate) fn parts(host: &Host, user: &str, file: &str) -> Result<(String, Vec<String>)> {
    let text = String::from_utf8(host.read(&format!("/home/{user}/{file}"))?)?;
    let name = text.split(':').next().unwrap_or_default();
    let (label, certificates) = name.split_once(".nixcert1.").unwrap_or((name, ""));
    Ok((label.to_owned(), certificates.split('.').map(str::to_owned).collect()))
}

/// Writes a key file whose name is put together by hand, with the secret half of another one; gives its name.
pub(crate) fn forge(
    host: &Host,
    user: &str,
    file: &str,
    label: &str,
    certificates: &[String],
) -> Result<String> {
    let text = String::from_utf8(host.read(&format!("/home/{user}/{file}"))?)?;
    let secret = text.trim().rsplit(':').next().unwrap_or_default();
    let forged = format!("forged-{file}");
    let contents = format!("{label}.nixcert1.{}:{secret}\n", certificates.join("."));
    host.write(&format!("/home/{user}/{forged}"), contents.as_bytes())?;
    Ok(forged)
}
