//! With certificates: Alice's key is known to no host, and the CA that certified it to one.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    attacks::{fresh, must_fail},
    channels::{Channel, Signer, accepts, deliver, refuses},
    forge::Key,
    pki::{EVERYTHING, certify, forge, intermediate_ca, parts, root_ca},
    tools::{accepted, build, copy_closure, log_lines, refused, sign},
    wire::{Client, Flags},
};
use crate::{bed::Bed, host::Host};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "certificate/copy-closure-is-accepted", run: |bed| good(bed, Channel::CopyClosure) },
    Case {
        name: "certificate/copy-closure-of-another-ca-is-refused",
        run: |bed| other_ca(bed, Channel::CopyClosure),
    },
    Case { name: "certificate/ssh-ng-is-accepted", run: |bed| good(bed, Channel::SshNg) },
    Case { name: "certificate/ssh-ng-of-another-ca-is-refused", run: |bed| other_ca(bed, Channel::SshNg) },
    Case { name: "certificate/file-cache-is-accepted", run: |bed| good(bed, Channel::FileCache) },
    Case {
        name: "certificate/file-cache-of-another-ca-is-refused",
        run: |bed| other_ca(bed, Channel::FileCache),
    },
    Case { name: "certificate/http-cache-is-accepted", run: |bed| good(bed, Channel::HttpCache) },
    Case {
        name: "certificate/http-cache-of-another-ca-is-refused",
        run: |bed| other_ca(bed, Channel::HttpCache),
    },
    Case { name: "certificate/stock-nix-refuses-it", run: stock_refuses },
    Case { name: "certificate/unsigned-is-refused", run: unsigned },
    Case { name: "certificate/unknown-key-is-refused", run: unknown_key },
    Case { name: "certificate/in-the-log", run: in_the_log },
    Case { name: "certificate/a-crowd-is-in-the-log", run: crowd_in_the_log },
    Case {
        name: "validity/expired-is-refused",
        run: |bed| window(bed, "--allow-expired --not-before=-3d --valid 2d", Some("expired")),
    },
    Case {
        name: "validity/not-yet-valid-is-refused",
        run: |bed| window(bed, "--not-before +1d --valid 9d", Some("not-yet-valid")),
    },
    Case { name: "validity/now-is-accepted", run: |bed| window(bed, "--not-before=-1d --valid 2d", None) },
    Case {
        name: "validity/ending-while-it-is-sent-is-refused",
        run: |bed| sent_slowly(bed, "+5s", Some("[expired]")),
    },
    Case { name: "validity/lasting-while-it-is-sent-is-accepted", run: |bed| sent_slowly(bed, "+1h", None) },
    Case { name: "label/another-is-refused", run: |bed| label(bed, "bob", Some("label-mismatch")) },
    Case { name: "label/own-is-accepted", run: |bed| label(bed, "alice", None) },
    Case { name: "bit/in-the-certificate-is-refused", run: bit_in_certificate },
    Case { name: "bit/none-is-accepted", run: |bed| tampered(bed, Part::None) },
    Case { name: "bit/in-the-signature-is-refused", run: |bed| tampered(bed, Part::Signature) },
    Case { name: "bit/in-the-hash-is-refused", run: |bed| tampered(bed, Part::Hash) },
    Case { name: "bit/in-the-size-is-refused", run: |bed| tampered(bed, Part::Size) },
    Case { name: "bit/in-the-references-is-refused", run: |bed| tampered(bed, Part::References) },
    Case {
        name: "usage/import-paths-is-accepted",
        run: |bed| options(bed, "--usage import-paths --permit '*' --host '*'", "hello-1", "", None),
    },
    Case {
        name: "usage/missing-is-refused",
        run: |bed| {
            options(
                bed,
                "--usage import-realisations --permit '*' --host '*'",
                "hello-1",
                "",
                Some("missing-usage"),
            )
        },
    },
    Case {
        name: "name/package-is-accepted",
        run: |bed| options(bed, "--permit glibc@ --host '*'", "glibc-2.40", "", None),
    },
    Case {
        name: "name/longer-package-is-refused",
        run: |bed| {
            options(bed, "--permit glibc@ --host '*'", "glibc-locales-2.40", "", Some("name-not-permitted"))
        },
    },
    Case {
        name: "name/pattern-is-accepted",
        run: |bed| options(bed, "--permit 'nixos-system-*' --host '*'", "nixos-system-web-25.05", "", None),
    },
    Case {
        name: "name/pattern-is-refused",
        run: |bed| {
            options(
                bed,
                "--permit 'nixos-system-*' --host '*'",
                "sudo-1.9.17",
                "",
                Some("name-not-permitted"),
            )
        },
    },
    Case {
        name: "name/excluded-is-refused",
        run: |bed| {
            options(bed, "--permit '*' --exclude sudo@ --host '*'", "sudo-1.9.17", "", Some("name-excluded"))
        },
    },
    Case {
        name: "name/not-excluded-is-accepted",
        run: |bed| options(bed, "--permit '*' --exclude sudo@ --host '*'", "hello-2.12", "", None),
    },
    Case {
        name: "host/right-is-accepted",
        run: |bed| options(bed, "--permit '*' --host server", "hello-1", "ca-host-name = server\n", None),
    },
    Case {
        name: "host/wrong-is-refused",
        run: |bed| {
            options(
                bed,
                "--permit '*' --host database",
                "hello-1",
                "ca-host-name = server\n",
                Some("host-not-permitted"),
            )
        },
    },
    Case {
        name: "host/not-configured-is-refused",
        run: |bed| {
            options(bed, "--permit '*' --host server", "hello-1", "", Some("host-name-not-configured"))
        },
    },
    Case { name: "chain/intermediate-is-accepted", run: |bed| intermediate(bed, "hello-1", None) },
    Case {
        name: "chain/intermediate-narrows",
        run: |bed| intermediate(bed, "sudo-1", Some("name-not-permitted")),
    },
    Case { name: "chain/leaf-used-to-issue-is-refused", run: leaf_issues },
    Case { name: "chain/path-too-long-is-refused", run: path_too_long },
    Case { name: "chain/path-long-enough-is-accepted", run: path_long_enough },
    Case { name: "client/trusted-ca-keys-is-ignored", run: trusted_ca_keys_is_ignored },
    Case { name: "client/repair-with-a-certificate-is-ignored", run: repair_with_certificate },
    Case { name: "junk/good-behind-broken-is-accepted", run: good_behind_broken },
    Case { name: "junk/good-behind-ten-thousand-is-accepted", run: |bed| ten_thousand(bed, true) },
    Case { name: "junk/ten-thousand-alone-are-refused", run: |bed| ten_thousand(bed, false) },
    Case { name: "settings/broken-ca-key-is-named", run: broken_ca_key },
    Case { name: "settings/plain-keys-work-beside-a-broken-ca-key", run: plain_beside_broken },
    Case { name: "local-store/certified-is-accepted", run: |bed| local_store(bed, CA, None) },
    Case {
        name: "local-store/of-another-ca-is-refused",
        run: |bed| local_store(bed, "other-1", Some("[untrusted-ca]")),
    },
    Case { name: "verify/certified-is-accepted", run: |bed| store_verify(bed, "acme-1", true) },
    Case { name: "verify/of-another-ca-is-refused", run: |bed| store_verify(bed, "other-1", false) },
    Case {
        name: "secret-key-files/expired-certified-key-is-not-trusted",
        run: |bed| secret_key_files(bed, true),
    },
    Case { name: "secret-key-files/plain-key-is-trusted", run: |bed| secret_key_files(bed, false) },
];

const CA: &str = "acme-1";

/// The server's settings, with the CA.
fn settings(bed: &Bed) -> Result<String> {
    Ok(format!("trusted-ca-keys = {}\n", root_ca(&bed.workstation, CA)?))
}

/// Alice, with a certificate made with these options.
fn alice(bed: &Bed, options: &str) -> Result<Signer> {
    let settings = settings(bed)?;
    Ok(Signer { settings, key: Some(certify(&bed.workstation, "alice", "alice-1", CA, options)?) })
}

/// Copies a path by `nix-copy-closure`, and expects it to be accepted, or refused with this reason.
fn check(bed: &Bed, signer: &Signer, name: &str, reason: Option<&str>) -> Result<Outcome> {
    let (path, output) = deliver(&bed.workstation, Channel::CopyClosure, &bed.server, name, signer)?;
    match reason {
        None => accepted(output, &bed.server, &path)?,
        Some(reason) => {
            refused(&output, &bed.server, &path)?;
            if !output.text.contains(&format!("[{reason}]")) {
                bail!("the refusal does not give the reason {reason}: {}\n{}", output.command, output.text);
            }
        }
    }
    Ok(Outcome::Passed)
}

fn good(bed: &Bed, channel: Channel) -> Result<Outcome> {
    accepts(&bed.workstation, channel, &bed.server, &alice(bed, EVERYTHING)?)?;
    Ok(Outcome::Passed)
}

fn other_ca(bed: &Bed, channel: Channel) -> Result<Outcome> {
    root_ca(&bed.workstation, "other-1")?;
    let key = certify(&bed.workstation, "alice", "alice-1", "other-1", EVERYTHING)?;
    let signer = Signer { settings: settings(bed)?, key: Some(key) };
    refuses(&bed.workstation, channel, &bed.server, &signer, &["[untrusted-ca]"])?;
    Ok(Outcome::Passed)
}

fn stock_refuses(bed: &Bed) -> Result<Outcome> {
    let alice = Signer { settings: String::new(), ..alice(bed, EVERYTHING)? };
    refuses(&bed.workstation, Channel::CopyClosure, bed.stock()?, &alice, &[])?;
    Ok(Outcome::Passed)
}

fn unsigned(bed: &Bed) -> Result<Outcome> {
    let nobody = Signer { settings: settings(bed)?, key: None };
    refuses(&bed.workstation, Channel::CopyClosure, &bed.server, &nobody, &[])?;
    Ok(Outcome::Passed)
}

fn unknown_key(bed: &Bed) -> Result<Outcome> {
    super::tools::key(&bed.workstation, "mallory", "mallory-1")?;
    let key = bed.workstation.read("/home/mallory/mallory-1.secret")?;
    bed.workstation.write("/home/alice/unknown.key", &key)?;
    let unknown = Signer { settings: settings(bed)?, key: Some("unknown.key".into()) };
    refuses(&bed.workstation, Channel::CopyClosure, &bed.server, &unknown, &[])?;
    Ok(Outcome::Passed)
}

/// The line names the path, the user, the label and the CA; a path that was there before is not logged again.
fn in_the_log(bed: &Bed) -> Result<Outcome> {
    let alice = alice(bed, EVERYTHING)?;
    let (path, output) = deliver(&bed.workstation, Channel::CopyClosure, &bed.server, "hello-1", &alice)?;
    accepted(output, &bed.server, &path)?;
    let lines = log_lines(&bed.server, &path)?;
    let [line] = lines.as_slice() else {
        bail!("{} lines of the log name {path}:\n{}", lines.len(), lines.join("\n"))
    };
    for word in ["accepted", "'alice'", "certificate", "'acme-1'"] {
        if !line.contains(word) {
            bail!("the line does not have {word}: {line}");
        }
    }
    Ok(Outcome::Passed)
}

/// However many sign, the line stays short enough for the log.
fn crowd_in_the_log(bed: &Bed) -> Result<Outcome> {
    // A CA of its own: the others want Alice's label for one key.
    let ca = root_ca(&bed.workstation, "crowd-1")?;
    bed.server.configure(&format!("trusted-ca-keys = {ca}\n"))?;
    let path = build(&bed.workstation, "alice", "crowd-1")?;
    for number in 1..=10 {
        let options = format!("{EVERYTHING} --replace-key");
        let file = certify(&bed.workstation, "alice", &format!("crowd-{number}"), "crowd-1", &options)?;
        sign(&bed.workstation, "alice", &file, &path)?;
    }
    accepted(copy_closure(&bed.workstation, "alice", &bed.server, &path)?, &bed.server, &path)?;
    let lines = log_lines(&bed.server, &path)?;
    let Some(line) = lines.first() else { bail!("no line names {path}") };
    if line.matches("'alice' (certificate").count() != 8 || !line.contains(" and 2 more") {
        bail!("ten have signed it, and this is what the log says: {line}");
    }
    Ok(Outcome::Passed)
}

fn window(bed: &Bed, when: &str, reason: Option<&str>) -> Result<Outcome> {
    check(bed, &alice(bed, &format!("{EVERYTHING} {when}"))?, "hello-1", reason)
}

/// The sender decides how long a path takes to arrive: it is judged again when it has.
fn sent_slowly(bed: &Bed, validity: &str, words: Option<&str>) -> Result<Outcome> {
    let signer = alice(bed, &format!("{EVERYTHING} --valid {validity}"))?;
    bed.server.configure(&signer.settings)?;
    let file = signer.key.unwrap_or_default();
    let key = Key::read(&bed.workstation, &format!("/home/alice/{file}"))?;
    let parcel = key.parcel(&fresh("hello-1"), b"hello");
    let answer =
        Client::connect(&bed.workstation, "alice", &bed.server)?.add_slowly(&parcel, Duration::from_secs(6));
    match words {
        Some(words) => must_fail(answer, words)?,
        None => answer?,
    }
    Ok(Outcome::Passed)
}

fn label(bed: &Bed, label: &str, reason: Option<&str>) -> Result<Outcome> {
    let mut signer = alice(bed, EVERYTHING)?;
    if let Some(file) = signer.key.take() {
        let (_, certificates) = parts(&bed.workstation, "alice", &file)?;
        signer.key = Some(forge(&bed.workstation, "alice", &file, label, &certificates)?);
    }
    check(bed, &signer, "hello-1", reason)
}

fn bit_in_certificate(bed: &Bed) -> Result<Outcome> {
    let mut signer = alice(bed, EVERYTHING)?;
    if let Some(file) = signer.key.take() {
        let (label, mut certificates) = parts(&bed.workstation, "alice", &file)?;
        // The fifth character holds bits of the serial number.
        for certificate in &mut certificates {
            let other = if certificate.get(5..6) == Some("a") { "b" } else { "a" };
            certificate.replace_range(5..6, other);
        }
        signer.key = Some(forge(&bed.workstation, "alice", &file, &label, &certificates)?);
    }
    check(bed, &signer, "hello-1", Some("bad-certificate-signature"))
}

/// What is changed after signing.
#[derive(Clone, Copy)]
enum Part {
    None,
    Signature,
    Hash,
    Size,
    References,
}

fn tampered(bed: &Bed, part: Part) -> Result<Outcome> {
    let mut parcel = certified_key(bed)?.parcel(&fresh("hello-1"), b"hello");
    match part {
        Part::None => {}
        Part::Signature => {
            parcel.info.signatures = parcel.info.signatures.iter().map(|it| flip(it)).collect()
        }
        Part::Hash => {
            let other = super::wire::Parcel::file(&parcel.info.path, b"HELLO");
            parcel.info.nar_hash = other.info.nar_hash;
            parcel.nar = other.nar;
        }
        Part::Size => parcel.info.nar_size += 1,
        Part::References => parcel.info.references.push(parcel.info.path.clone()),
    }
    let mut client = Client::connect(&bed.workstation, "alice", &bed.server)?;
    let answer = client.add(&parcel, Flags::default());
    match part {
        Part::None => answer?,
        Part::Signature | Part::Hash | Part::Size | Part::References => {
            super::attacks::must_fail(answer, "[bad-signature]")?;
        }
    }
    Ok(Outcome::Passed)
}

/// Alice's key, to sign in here, with a server that trusts her CA.
fn certified_key(bed: &Bed) -> Result<Key> {
    let signer = alice(bed, EVERYTHING)?;
    bed.server.configure(&signer.settings)?;
    Key::read(&bed.workstation, &format!("/home/alice/{}", signer.key.unwrap_or_default()))
}

/// Another first character of the signature itself.
fn flip(signature: &str) -> String {
    let (name, base64) = signature.rsplit_once(':').unwrap_or_default();
    let first = if base64.starts_with('A') { 'B' } else { 'A' };
    format!("{name}:{first}{}", base64.get(1..).unwrap_or_default())
}

fn options(bed: &Bed, options: &str, name: &str, more: &str, reason: Option<&str>) -> Result<Outcome> {
    let mut signer = alice(bed, options)?;
    signer.settings.push_str(more);
    check(bed, &signer, name, reason)
}

fn intermediate(bed: &Bed, name: &str, reason: Option<&str>) -> Result<Outcome> {
    root_ca(&bed.workstation, CA)?;
    intermediate_ca(
        &bed.workstation,
        "team-web",
        CA,
        "--usage import-paths,issue --permit hello@ --host '*'",
    )?;
    let key = certify(&bed.workstation, "alice", "alice-1", "team-web", EVERYTHING)?;
    check(bed, &Signer { settings: settings(bed)?, key: Some(key) }, name, reason)
}

/// The intermediate's certificate is swapped for another one of the same key, without the usage.
fn leaf_issues(bed: &Bed) -> Result<Outcome> {
    let host = &bed.workstation;
    root_ca(host, CA)?;
    intermediate_ca(host, "team-db", CA, "--usage import-paths,issue --permit '*' --host '*'")?;
    let file = certify(host, "alice", "alice-1", "team-db", EVERYTHING)?;
    let swapped = issue_to(host, "team-db", &format!("{EVERYTHING} --valid 90d"))?;
    let (label, mut certificates) = parts(host, "alice", &file)?;
    certificates.truncate(1);
    certificates.push(swapped);
    let key = forge(host, "alice", &file, &label, &certificates)?;
    check(bed, &Signer { settings: settings(bed)?, key: Some(key) }, "hello-1", Some("not-an-issuer"))
}

/// A certificate of the root for an intermediate's key, in the form that names hold.
pub(crate) fn issue_to(host: &Host, intermediate: &str, options: &str) -> Result<String> {
    let text =
        host.root(&format!("cd /root; nixcert issue {intermediate}/ca.request --ca {CA} {options} --yes"))?;
    let line = text.lines().rfind(|line| line.contains(".nixcert1.")).unwrap_or_default();
    let (_, certificates) = line.split_once(".nixcert1.").unwrap_or_default();
    Ok(certificates.split(['.', ':']).next().unwrap_or_default().trim().to_owned())
}

/// Two intermediates, of which the upper one may have so many below it.
fn two_intermediates(bed: &Bed) -> Result<String> {
    let host = &bed.workstation;
    root_ca(host, CA)?;
    let issue = "--usage import-paths,issue --permit '*' --host '*'";
    intermediate_ca(host, "division", CA, &format!("{issue} --path-length 1"))?;
    intermediate_ca(host, "team-ops", "division", issue)?;
    certify(host, "alice", "alice-1", "team-ops", EVERYTHING)
}

fn path_long_enough(bed: &Bed) -> Result<Outcome> {
    let key = two_intermediates(bed)?;
    check(bed, &Signer { settings: settings(bed)?, key: Some(key) }, "hello-1", None)
}

fn path_too_long(bed: &Bed) -> Result<Outcome> {
    let host = &bed.workstation;
    let file = two_intermediates(bed)?;
    let shorter =
        issue_to(host, "division", "--usage import-paths,issue --permit '*' --host '*' --path-length 0")?;
    let (label, mut certificates) = parts(host, "alice", &file)?;
    certificates.truncate(2);
    certificates.push(shorter);
    let key = forge(host, "alice", &file, &label, &certificates)?;
    check(bed, &Signer { settings: settings(bed)?, key: Some(key) }, "hello-1", Some("path-length-exceeded"))
}

/// Mallory's own CA, named by Mallory's client.
fn trusted_ca_keys_is_ignored(bed: &Bed) -> Result<Outcome> {
    let host = &bed.workstation;
    bed.server.configure(&settings(bed)?)?;
    let public = root_ca(host, "mallory-ca")?;
    let key = certify(host, "mallory", "mallory-1", "mallory-ca", EVERYTHING)?;
    let path = build(host, "mallory", "hello-1")?;
    sign(host, "mallory", &key, &path)?;
    for option in ["trusted-ca-keys", "extra-trusted-ca-keys"] {
        let line = format!("nix copy --to ssh-ng://mallory@server --option {option} '{public}' {path}");
        refused(&host.run_as("mallory", &line)?, &bed.server, &path)?;
    }
    // Nor by speaking to the daemon on the server itself.
    let line = format!("nix copy --to file:///tmp/mallory {path}");
    host.run_as("mallory", &line)?.ok()?;
    bed.server.write("/tmp/mallory.tar", &host.root_bytes("tar -C /tmp -c mallory")?)?;
    bed.server.root("tar -C /tmp -xf /tmp/mallory.tar; chown -R mallory: /tmp/mallory")?;
    let line = format!("nix copy --from file:///tmp/mallory --option trusted-ca-keys '{public}' {path}");
    let output = bed.server.run_as("mallory", &line)?;
    refused(&output, &bed.server, &path)?;
    Ok(Outcome::Passed)
}

fn repair_with_certificate(bed: &Bed) -> Result<Outcome> {
    let key = certified_key(bed)?;
    let path = fresh("hello-1");
    let mut client = Client::connect(&bed.workstation, "alice", &bed.server)?;
    client.add(&key.parcel(&path, b"the real one"), Flags::default())?;
    let _ = client.add(&key.parcel(&path, b"a doctored one"), Flags { repair: true, ..Flags::default() });
    let contents = bed.server.read(&path)?;
    if contents != b"the real one" {
        bail!("{path} holds «{}»", String::from_utf8_lossy(&contents));
    }
    Ok(Outcome::Passed)
}

/// Under the very same name: of the wrong size, and of another object.
fn good_behind_broken(bed: &Bed) -> Result<Outcome> {
    let key = certified_key(bed)?;
    let mut parcel = key.parcel(&fresh("hello-1"), b"hello");
    let broken =
        [format!("{}:++++", key.name), flip(&key.signature(&parcel.info)), "alice.nixcert1.aaaa:++++".into()];
    parcel.info.signatures.extend(broken);
    Client::connect(&bed.workstation, "alice", &bed.server)?.add(&parcel, Flags::default())?;
    Ok(Outcome::Passed)
}

/// Signatures of other objects by the certified key: each claims the trusted CA, and each must be checked.
fn ten_thousand(bed: &Bed, with_a_good_one: bool) -> Result<Outcome> {
    let key = certified_key(bed)?;
    let mut parcel = key.parcel(&fresh("hello-1"), b"hello");
    let good = std::mem::take(&mut parcel.info.signatures);
    parcel.info.signatures = (0..10_000).map(|number| key.sign(&format!("junk {number}"))).collect();
    if with_a_good_one {
        parcel.info.signatures.extend(good);
    }
    let mut client = Client::connect(&bed.workstation, "alice", &bed.server)?;
    let answer = client.add(&parcel, Flags::default());
    if with_a_good_one {
        answer?;
    } else {
        super::attacks::must_fail(answer, "lacks a signature by a trusted key")?;
    }
    // The worker still waits for this client: nothing on the server has ever held much more than what was sent, 5 MB.
    let peaks = bed
        .server
        .root("cat /proc/[0-9]*/status 2>/dev/null | awk '/^VmHWM:/ { print $2 }' | sort -n | tail -n 1")?;
    let peak: u64 = peaks.trim().parse()?;
    if peak > 256 * 1024 {
        bail!("a process of the server held {peak} KiB");
    }
    Ok(Outcome::Passed)
}

/// A store of Alice's own, on a host that trusts the CA: no daemon decides.
fn local_store(bed: &Bed, ca: &str, reason: Option<&str>) -> Result<Outcome> {
    root_ca(&bed.workstation, ca)?;
    bed.server.configure(&settings(bed)?)?;
    let key = certify(&bed.workstation, "alice", "alice-1", ca, EVERYTHING)?;
    let path = build(&bed.workstation, "alice", "hello-1")?;
    sign(&bed.workstation, "alice", &key, &path)?;
    bed.workstation.root("mkdir -p -m 1777 /srv/cache")?;
    bed.workstation.run_as("alice", &format!("nix copy --to file:///srv/cache {path}"))?.ok()?;
    bed.server.write("/srv/cache.tar", &bed.workstation.root_bytes("tar -C /srv -c cache")?)?;
    bed.server.root("tar -C /srv -xf /srv/cache.tar")?;
    let store = "local?root=/home/alice/store";
    let output =
        bed.server.run_as("alice", &format!("nix copy --from file:///srv/cache --to '{store}' {path}"))?;
    match reason {
        None => output.ok().map(drop)?,
        Some(reason) if !output.success && output.text.contains(reason) => {}
        Some(reason) => {
            bail!("the answer is not a refusal with {reason}: {}\n{}", output.command, output.text)
        }
    }
    Ok(Outcome::Passed)
}

/// The administrator's mistake is named, and costs certificates.
fn broken_ca_key(bed: &Bed) -> Result<Outcome> {
    let mut signer = alice(bed, EVERYTHING)?;
    signer.settings = format!("{} mistyped-1:AAAA\n", signer.settings.trim_end());
    refuses(&bed.workstation, Channel::CopyClosure, &bed.server, &signer, &["mistyped-1"])?;
    Ok(Outcome::Passed)
}

fn plain_beside_broken(bed: &Bed) -> Result<Outcome> {
    let mut signer = super::plain::trusted(bed)?;
    signer.settings.push_str("trusted-ca-keys = mistyped-1:AAAA\n");
    check(bed, &signer, "hello-1", None)
}

/// `nix store verify` on the server, which built the path itself: one signature is asked for.
fn store_verify(bed: &Bed, ca: &str, good: bool) -> Result<Outcome> {
    let (host, server) = (&bed.workstation, &bed.server);
    server.configure(&settings(bed)?)?;
    root_ca(host, ca)?;
    let key = certify(host, "alice", "alice-1", ca, EVERYTHING)?;
    server.write("/tmp/alice.key", &host.read(&format!("/home/alice/{key}"))?)?;
    server.root("chmod 644 /tmp/alice.key")?;
    let path = build(server, "alice", "hello-1")?;
    let verify = format!("nix store verify --sigs-needed 1 {path}");
    if server.run_as("alice", &verify)?.success {
        bail!("the unsigned path was verified");
    }
    sign(server, "alice", "/tmp/alice.key", &path)?;
    let output = server.run_as("alice", &verify)?;
    if output.success != good {
        bail!("the answer is the wrong one: {}\n{}", output.command, output.text);
    }
    Ok(Outcome::Passed)
}

/// A key in the server's own `secret-key-files`: stock Nix trusts its public half, for ever.
fn secret_key_files(bed: &Bed, certified: bool) -> Result<Outcome> {
    let host = &bed.workstation;
    let settings = settings(bed)?;
    let file = if certified {
        certify(
            host,
            "alice",
            "alice-1",
            CA,
            &format!("{EVERYTHING} --allow-expired --not-before=-3d --valid 2d"),
        )?
    } else {
        super::tools::key(host, "alice", "alice-1")?;
        "alice-1.secret".into()
    };
    bed.server.write("/etc/nix/own.key", &host.read(&format!("/home/alice/{file}"))?)?;
    let settings = format!("{settings}secret-key-files = /etc/nix/own.key\n");
    let reason = certified.then_some("expired");
    check(bed, &Signer { settings, key: Some(file) }, "hello-1", reason)
}
