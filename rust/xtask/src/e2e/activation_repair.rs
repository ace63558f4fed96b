//! `nixcert repair`, behind its sudo rule: only contents that are no good are replaced, and only by what is vouched for.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    activation::{Person, Site},
    activation_attacks::plant,
    activation_host::delivered,
    forge::{Key, narinfo},
    pki::EVERYTHING,
    systems::{System, doctored, references, version},
    tools::says,
    wire::Parcel,
};
use crate::{bed::Bed, host::Output};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "activation/repair-by-what-alice-vouches-for-is-done",
        run: |bed| of_doctored(bed, Sent::ByAlice),
    },
    Case {
        name: "activation/repair-by-what-mallory-signed-is-refused",
        run: |bed| of_doctored(bed, Sent::ByMallory),
    },
    Case {
        name: "activation/repair-by-another-archive-is-refused",
        run: |bed| of_doctored(bed, Sent::AnotherArchive),
    },
    Case {
        name: "activation/repair-by-half-an-archive-changes-nothing",
        run: |bed| of_doctored(bed, Sent::Half),
    },
    Case {
        name: "activation/repair-by-one-of-two-people-is-refused",
        run: |bed| of_doctored(bed, Sent::ByOneOfTwo),
    },
    Case {
        name: "activation/repair-of-what-is-in-use-is-done",
        run: |bed| of_doctored(bed, Sent::WhileInUse),
    },
    Case { name: "activation/repair-of-what-somebody-vouches-for-does-nothing", run: of_what_is_good },
    Case { name: "activation/repair-of-what-is-not-there-is-refused", run: of_nothing },
    Case { name: "activation/repair-is-for-root-alone", run: of_a_user },
];

/// What is sent for the path that Mallory doctored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    ByAlice,
    ByMallory,
    AnotherArchive,
    Half,
    ByOneOfTwo,
    WhileInUse,
}

/// What the server says of a path that this person sends.
fn send(site: &Site<'_>, person: &Person<'_>, parcel: &Parcel) -> Result<Output> {
    send_bytes(site, person, &bytes(parcel))
}

/// A narinfo, a blank line, and the archive.
fn bytes(parcel: &Parcel) -> Vec<u8> {
    [format!("{}\n", narinfo(parcel)).as_bytes(), &parcel.nar].concat()
}

fn send_bytes(site: &Site<'_>, person: &Person<'_>, bytes: &[u8]) -> Result<Output> {
    let server = &site.bed.server;
    server.write("/tmp/sent", bytes)?;
    server.root("chmod 644 /tmp/sent")?;
    server.run_as(person.name, "sudo -n /usr/bin/nixcert repair - < /tmp/sent")
}

/// A path as it is on the person's machine, signed by these.
fn real(person: &Person<'_>, path: &str, signers: &[&Person<'_>]) -> Result<Parcel> {
    let nar = person.host.root_bytes(&format!("nix-store --dump {path}"))?;
    signed(Parcel::of(path, nar, references(person.host, path)?), signers)
}

fn signed(mut parcel: Parcel, signers: &[&Person<'_>]) -> Result<Parcel> {
    for signer in signers {
        let key = Key::read(signer.host, &format!("/home/{}/{}", signer.name, signer.key))?;
        parcel.info.signatures.push(key.signature(&parcel.info));
    }
    Ok(parcel)
}

/// Mallory's sudo is on the server, and this is sent in its place.
fn of_doctored(bed: &Bed, sent: Sent) -> Result<Outcome> {
    let site = Site::new(bed, if sent == Sent::ByOneOfTwo { "votes = 2\n" } else { "" })?;
    let [alice, mallory] = [site.alice()?, site.mallory()?];
    let system = System::build(alice.host, alice.name, &version(), "")?;
    let (server, sudo) = (&bed.server, system.part("sudo-1.9.17")?);
    let bad = doctored(alice.host, sudo, "echo doctored > bin/sudo")?;
    plant(bed, &mallory, &bad)?;
    let good = real(&alice, sudo, &[&alice])?;
    let (output, refusal) = match sent {
        Sent::ByAlice => (send(&site, &alice, &good)?, None),
        Sent::ByMallory => {
            let worse = doctored(alice.host, sudo, "echo worse > bin/sudo")?;
            let worse = signed(worse, &[&mallory])?;
            (send(&site, &mallory, &worse)?, Some((1, "missing-usage")))
        }
        Sent::AnotherArchive => {
            let mut mixed = Parcel { nar: bad.nar.clone(), ..good.clone() };
            mixed.nar.resize(good.nar.len(), 0);
            (send(&site, &alice, &mixed)?, Some((1, "contents-differ")))
        }
        Sent::Half => {
            let bytes = bytes(&good);
            let half = bytes.get(..bytes.len() - good.nar.len() / 2).unwrap_or_default();
            (send_bytes(&site, &alice, half)?, Some((2, "ends within a path")))
        }
        Sent::ByOneOfTwo => {
            let output = send(&site, &alice, &good)?;
            let bob = site.bob()?;
            let both = real(&alice, sudo, &[&alice, &bob])?;
            says(&send(&site, &alice, &both)?.ok()?, &["replaced", "alice", "bob"])?;
            says(&output.text, &["(too-few-votes)"])?;
            return Ok(Outcome::Passed);
        }
        Sent::WhileInUse => {
            // Someone keeps it from being collected for as long as their connection lasts, and somebody roots it.
            server
                .run_as("bob", &format!("nix-store --realise {sudo} --add-root ~/sudo --indirect"))?
                .ok()?;
            (send(&site, &alice, &good)?, None)
        }
    };
    let contents = server.read(&format!("{sudo}/bin/sudo"))?;
    let is_real = contents.starts_with(b"the real sudo");
    match refusal {
        None => {
            says(&output.ok()?, &[sudo, "replaced", "alice"])?;
            if !is_real {
                bail!("{sudo} was replaced, and holds: {}", String::from_utf8_lossy(&contents));
            }
            server.root(&format!("nix-store --verify-path {sudo}"))?;
            alice.delivers(&system.top, "")?;
            site.activates(&alice, &system)?;
        }
        Some((code, words)) => {
            if output.code != Some(code) {
                bail!("this should have failed with status {code}: {}\n{}", output.command, output.text);
            }
            says(&output.text, &[words])?;
            if is_real || !contents.starts_with(b"doctored") {
                bail!("{sudo} was changed, and holds: {}", String::from_utf8_lossy(&contents));
            }
            // It was no fluke that it could be sent.
            says(&send(&site, &alice, &good)?.ok()?, &["replaced"])?;
        }
    }
    Ok(Outcome::Passed)
}

/// Bob has another build of a path that is vouched for: he cannot put his in the place of Alice's behind her back.
fn of_what_is_good(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let (alice, system) = delivered(&site, "--arg unreproducible true")?;
    site.activates(&alice, &system)?;
    let bob = site.bob()?;
    let unsteady = system.part("unsteady-")?;
    let before = bed.server.read(unsteady)?;
    let another = signed(Parcel::file(unsteady, b"Bob's build\n"), &[&bob])?;
    says(&send(&site, &bob, &another)?.ok()?, &[unsteady, "is good as it is"])?;
    if bed.server.read(unsteady)? != before {
        bail!("{unsteady} was replaced, though somebody vouches for it");
    }
    Ok(Outcome::Passed)
}

/// A repair adds nothing to the store.
fn of_nothing(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.alice()?;
    let parcel = signed(Parcel::file(&super::attacks::fresh("hello-1"), b"hello"), &[&alice])?;
    let output = send(&site, &alice, &parcel)?;
    if output.code != Some(1) {
        bail!("this should have been refused: {}", output.text);
    }
    says(&output.text, &["(path-not-valid)"])?;
    Ok(Outcome::Passed)
}

/// Without sudo nothing can be done, and with it no file is read by root.
fn of_a_user(bed: &Bed) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let alice = site.person("alice", EVERYTHING)?;
    let output = bed.server.run_as(alice.name, "nixcert repair - < /dev/null")?;
    if output.code != Some(2) {
        bail!("this should not have been done: {}", output.text);
    }
    says(&output.text, &["only root"])?;
    // Neither would the sudo rule let her name a file, nor does the command take one from root.
    let output = bed.server.run_as(alice.name, "sudo -n /usr/bin/nixcert repair /tmp/sent")?;
    if output.success {
        bail!("a file of the caller's was read: {}", output.text);
    }
    says(&output.text, &["a password is required"])?;
    let output = bed.server.run_as("root", "/usr/bin/nixcert repair /tmp/sent")?;
    if output.code != Some(2) {
        bail!("a file was read: {}", output.text);
    }
    Ok(Outcome::Passed)
}
