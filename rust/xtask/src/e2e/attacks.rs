//! What a client may ask of the daemon that is not trusted. The twins on stock Nix show what the patches change.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    forge::{Key, store_path},
    tools::{accepted, build, is_valid, key, refused, sign},
    wire::{Client, Flags},
};
use crate::{bed::Bed, host::Host, report::sentence};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "client/no-check-sigs-is-ignored", run: |bed| nix_copy_is_refused(bed, "--no-check-sigs") },
    Case {
        name: "client/require-sigs-is-ignored",
        run: |bed| nix_copy_is_refused(bed, "--option require-sigs false"),
    },
    Case { name: "client/trusted-public-keys-is-ignored", run: trusted_public_keys_is_ignored },
    Case { name: "client/no-check-sigs-of-a-signed-path-is-harmless", run: no_check_sigs_of_a_signed_path },
    Case { name: "client/flag-dont-check-is-ignored", run: |bed| dont_check_is_ignored(bed, Way::One) },
    Case {
        name: "client/flag-dont-check-for-many-is-ignored",
        run: |bed| dont_check_is_ignored(bed, Way::Many),
    },
    Case { name: "client/ultimate-is-ignored", run: ultimate_is_ignored },
    Case { name: "client/repair-is-ignored", run: |bed| repair(bed, &bed.server, Way::One, Repair::Ignored) },
    Case {
        name: "client/repair-of-many-is-ignored",
        run: |bed| repair(bed, &bed.server, Way::Many, Repair::Ignored),
    },
    Case { name: "stock/repair-is-obeyed", run: |bed| repair(bed, bed.stock()?, Way::One, Repair::Obeyed) },
    Case {
        name: "client/registration-time-is-ours",
        run: |bed| registration_time(bed, &bed.server, Clock::Ours),
    },
    Case {
        name: "stock/registration-time-is-theirs",
        run: |bed| registration_time(bed, bed.stock()?, Clock::Theirs),
    },
    Case { name: "client/signature-that-is-not-ascii-is-refused", run: not_ascii_in_a_name },
    Case { name: "client/short-signature-hides-nothing", run: |bed| short_signature(bed, &bed.server, true) },
    Case {
        name: "stock/short-signature-hides-a-good-one",
        run: |bed| short_signature(bed, bed.stock()?, false),
    },
    Case { name: "client/signing-an-invalid-path-is-an-error", run: signing_an_invalid_path },
    Case { name: "client/signatures-have-a-limit", run: signatures_have_a_limit },
];

/// The message that carries a path.
#[derive(Clone, Copy)]
enum Way {
    One,
    Many,
}

/// What becomes of the flag.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repair {
    Ignored,
    Obeyed,
}

/// Whose time a new path has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clock {
    Ours,
    Theirs,
}

/// A path that no other case uses.
pub(crate) fn fresh(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    store_path(COUNT.fetch_add(1, Ordering::Relaxed), name)
}

/// A key that the server trusts, so that signatures are not what the case is about.
fn trusted_key(server: &Host) -> Result<Key> {
    let key = Key::from_seed("mallory-1", 7);
    server.configure(&format!("trusted-public-keys = {}\n", key.public()))?;
    Ok(key)
}

fn nix_copy_is_refused(bed: &Bed, options: &str) -> Result<Outcome> {
    bed.server.configure("")?;
    let path = build(&bed.workstation, "mallory", "hello-1")?;
    let line = format!("nix copy --to ssh-ng://mallory@server {options} {path}");
    refused(&bed.workstation.run_as("mallory", &line)?, &bed.server, &path)?;
    Ok(Outcome::Passed)
}

fn trusted_public_keys_is_ignored(bed: &Bed) -> Result<Outcome> {
    bed.server.configure("")?;
    let public = key(&bed.workstation, "mallory", "mallory-1")?;
    let path = build(&bed.workstation, "mallory", "hello-1")?;
    sign(&bed.workstation, "mallory", "mallory-1.secret", &path)?;
    for option in ["trusted-public-keys", "extra-trusted-public-keys"] {
        let line = format!("nix copy --to ssh-ng://mallory@server --option {option} '{public}' {path}");
        refused(&bed.workstation.run_as("mallory", &line)?, &bed.server, &path)?;
    }
    Ok(Outcome::Passed)
}

fn no_check_sigs_of_a_signed_path(bed: &Bed) -> Result<Outcome> {
    let public = key(&bed.workstation, "alice", "alice-1")?;
    bed.server.configure(&format!("trusted-public-keys = {public}\n"))?;
    let path = build(&bed.workstation, "alice", "hello-1")?;
    sign(&bed.workstation, "alice", "alice-1.secret", &path)?;
    let line = format!("nix copy --to ssh-ng://alice@server --no-check-sigs {path}");
    accepted(bed.workstation.run_as("alice", &line)?, &bed.server, &path)?;
    Ok(Outcome::Passed)
}

fn dont_check_is_ignored(bed: &Bed, way: Way) -> Result<Outcome> {
    trusted_key(&bed.server)?;
    let parcel = Key::from_seed("mallory-2", 8).parcel(&fresh("hello-1"), b"hello");
    let flags = Flags { dont_check_signatures: true, ..Flags::default() };
    let mut client = Client::connect(&bed.workstation, "mallory", &bed.server)?;
    let answer = match way {
        Way::One => client.add(&parcel, flags),
        Way::Many => client.add_multiple(&parcel, flags),
    };
    must_fail(answer, "lacks a signature by a trusted key")?;
    if is_valid(&bed.server, &parcel.info.path)? {
        bail!("{} is valid, though it was refused", parcel.info.path);
    }
    Ok(Outcome::Passed)
}

fn ultimate_is_ignored(bed: &Bed) -> Result<Outcome> {
    trusted_key(&bed.server)?;
    let mut parcel = Key::from_seed("mallory-2", 8).parcel(&fresh("hello-1"), b"hello");
    parcel.info.ultimate = true;
    let mut client = Client::connect(&bed.workstation, "mallory", &bed.server)?;
    must_fail(client.add(&parcel, Flags::default()), "lacks a signature by a trusted key")?;
    Ok(Outcome::Passed)
}

fn repair(bed: &Bed, server: &Host, way: Way, expected: Repair) -> Result<Outcome> {
    let key = trusted_key(server)?;
    let path = fresh("hello-1");
    let mut client = Client::connect(&bed.workstation, "mallory", server)?;
    client.add(&key.parcel(&path, b"the real one"), Flags::default())?;
    let doctored = key.parcel(&path, b"a doctored one");
    let flags = Flags { repair: true, ..Flags::default() };
    // Whether the daemon complains does not matter: what the path holds afterwards does.
    let _ = match way {
        Way::One => client.add(&doctored, flags),
        Way::Many => client.add_multiple(&doctored, flags),
    };
    let contents = server.read(&path)?;
    let replaced = contents != b"the real one";
    if replaced != (expected == Repair::Obeyed) {
        bail!("{path} holds «{}»", String::from_utf8_lossy(&contents));
    }
    Ok(Outcome::Passed)
}

fn registration_time(bed: &Bed, server: &Host, expected: Clock) -> Result<Outcome> {
    let key = trusted_key(server)?;
    let mut parcel = key.parcel(&fresh("hello-1"), b"hello");
    parcel.info.registration_time = 1_000_000_000;
    let mut client = Client::connect(&bed.workstation, "mallory", server)?;
    client.add(&parcel, Flags::default())?;
    let Some(info) = client.info(&parcel.info.path)? else { bail!("{} is not valid", parcel.info.path) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let clock = if now.abs_diff(info.registration_time) < 300 { Clock::Ours } else { Clock::Theirs };
    if clock != expected {
        bail!("the registration time is {}", info.registration_time);
    }
    Ok(Outcome::Passed)
}

fn not_ascii_in_a_name(bed: &Bed) -> Result<Outcome> {
    let key = trusted_key(&bed.server)?;
    let mut parcel = key.parcel(&fresh("hello-1"), b"hello");
    let mut client = Client::connect(&bed.workstation, "mallory", &bed.server)?;
    client.add(&parcel, Flags::default())?;
    let spaced = key.signature(&parcel.info).replace("mallory-1", "mallory 1");
    must_fail(client.add_signatures(&parcel.info.path, std::slice::from_ref(&spaced)), "invalid signature")?;
    let accented = key.signature(&parcel.info).replace("mallory-1", "mallory-é");
    must_fail(client.add_signatures(&parcel.info.path, &[accented]), "invalid signature")?;
    parcel = key.parcel(&fresh("hello-1"), b"hello again");
    parcel.info.signatures.push(spaced);
    must_fail(client.add(&parcel, Flags::default()), "invalid signature")?;
    Ok(Outcome::Passed)
}

fn short_signature(bed: &Bed, server: &Host, accepted: bool) -> Result<Outcome> {
    let key = trusted_key(server)?;
    let mut parcel = key.parcel(&fresh("hello-1"), b"hello");
    // Signatures are looked at in the order of their bytes.
    parcel.info.signatures.push("mallory-1:++++".into());
    let mut client = Client::connect(&bed.workstation, "mallory", server)?;
    let answer = client.add(&parcel, Flags::default());
    if answer.is_ok() != accepted {
        bail!("the daemon said: {}", answer.map_or_else(|error| sentence(&error), |()| "yes".into()));
    }
    Ok(Outcome::Passed)
}

fn signing_an_invalid_path(bed: &Bed) -> Result<Outcome> {
    let key = trusted_key(&bed.server)?;
    let parcel = key.parcel(&fresh("hello-1"), b"hello");
    let mut client = Client::connect(&bed.workstation, "mallory", &bed.server)?;
    must_fail(client.add_signatures(&parcel.info.path, &parcel.info.signatures), "is not valid")?;
    // The same worker goes on.
    client.add(&parcel, Flags::default())?;
    Ok(Outcome::Passed)
}

fn signatures_have_a_limit(bed: &Bed) -> Result<Outcome> {
    let key = trusted_key(&bed.server)?;
    let parcel = key.parcel(&fresh("hello-1"), b"hello");
    let mut client = Client::connect(&bed.workstation, "mallory", &bed.server)?;
    client.add(&parcel, Flags::default())?;
    let junk = |byte: char| format!("junk:{}", String::from(byte).repeat(9 << 20));
    client.add_signatures(&parcel.info.path, &[junk('a')])?;
    must_fail(client.add_signatures(&parcel.info.path, &[junk('b')]), "too many signatures")?;
    Ok(Outcome::Passed)
}

/// The daemon refused, and said so in these words.
pub(crate) fn must_fail<T>(answer: Result<T>, words: &str) -> Result<()> {
    match answer {
        Ok(_) => bail!("the daemon did this, and should have said «{words}»"),
        Err(error) if sentence(&error).contains(words) => Ok(()),
        Err(error) => bail!("the daemon should have said «{words}», and said: {}", sentence(&error)),
    }
}
