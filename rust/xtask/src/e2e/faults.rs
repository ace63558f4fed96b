//! When what the import gate goes by is not there or is no such file, and when there is no room: it refuses with a reason, the
//! daemon does not wait, and when all is well again it goes on.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    attacks::{fresh, must_fail},
    forge::signed_by,
    pki::EVERYTHING,
    policy::{self, ALL_NAMES, POLICY, acme, govern, vendor},
    revocation::{Site, hello},
    tools::{is_valid, offer, says},
    wire::{Client, Flags},
};
use crate::{bed::Bed, host::Host};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "faults/policy-is-missing", run: |bed| of_the_policy(bed, Wrong::Missing) },
    Case { name: "faults/policy-is-empty", run: |bed| of_the_policy(bed, Wrong::Empty) },
    Case { name: "faults/policy-is-unreadable", run: |bed| of_the_policy(bed, Wrong::Unreadable) },
    Case { name: "faults/policy-is-a-directory", run: |bed| of_the_policy(bed, Wrong::Directory) },
    Case { name: "faults/policy-is-a-loop-of-links", run: |bed| of_the_policy(bed, Wrong::Loop) },
    Case { name: "faults/policy-is-a-pipe", run: |bed| of_the_policy(bed, Wrong::Pipe) },
    Case { name: "faults/list-is-missing", run: |bed| of_a_list(bed, Wrong::Missing) },
    Case { name: "faults/list-is-empty", run: |bed| of_a_list(bed, Wrong::Empty) },
    Case { name: "faults/list-is-unreadable", run: |bed| of_a_list(bed, Wrong::Unreadable) },
    Case { name: "faults/list-is-a-directory", run: |bed| of_a_list(bed, Wrong::Directory) },
    Case { name: "faults/list-is-a-loop-of-links", run: |bed| of_a_list(bed, Wrong::Loop) },
    Case { name: "faults/list-is-a-pipe", run: |bed| of_a_list(bed, Wrong::Pipe) },
    Case { name: "faults/no-room-for-a-list", run: no_room_for_a_list },
    Case { name: "faults/no-room-for-a-path", run: no_room_for_a_path },
];

/// What is in the place of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wrong {
    Missing,
    Empty,
    /// For root, too: reading it is an error of the disk.
    Unreadable,
    Directory,
    Loop,
    Pipe,
}

/// Where the file is meanwhile.
const ASIDE: &str = "/srv/aside";

impl Wrong {
    /// Puts the file aside, and this in its place.
    pub(crate) fn put(self, host: &Host, file: &str) -> Result<()> {
        let instead = match self {
            Self::Missing => String::from(":"),
            Self::Empty => format!(": > {file}"),
            // Nothing is mapped at its beginning.
            Self::Unreadable => format!("ln -s /proc/self/mem {file}"),
            Self::Directory => format!("mkdir {file}"),
            Self::Loop => format!("ln -s {file} {file}"),
            Self::Pipe => format!("mkfifo -m 644 {file}"),
        };
        host.root(&format!("mv -T {file} {ASIDE}; {instead}")).map(drop)
    }

    /// Puts the file back.
    pub(crate) fn undo(host: &Host, file: &str) -> Result<()> {
        host.root(&format!("rm -rf {file}; mv -T {ASIDE} {file}")).map(drop)
    }
}

/// Alice's certificate counts before, does not meanwhile, and counts after, on one connection; the vendor's plain key counts
/// all the time.
fn of_the_policy(bed: &Bed, wrong: Wrong) -> Result<Outcome> {
    govern(bed, &acme(ALL_NAMES))?;
    let alice = policy::alice(bed, EVERYTHING)?;
    let words = match wrong {
        Wrong::Missing => "no such file",
        Wrong::Empty => "version",
        Wrong::Unreadable => "Input/output error",
        Wrong::Directory | Wrong::Pipe => "not a regular file",
        Wrong::Loop => "Too many levels of symbolic links",
    };
    let mut client = policy::connect(bed)?;
    offer(&mut client, &hello(&alice), None)?;
    wrong.put(&bed.server, POLICY)?;
    let said = offer(&mut client, &hello(&alice), Some("broken-configuration"));
    let of_the_vendor = offer(&mut client, &hello(&vendor()), None);
    Wrong::undo(&bed.server, POLICY)?;
    says(&said?, &[&format!("'{POLICY}'"), words, "certificates are switched off"])?;
    of_the_vendor?;
    offer(&mut client, &hello(&alice), None)?;
    Ok(Outcome::Passed)
}

/// The CA's certificates do not count while its list cannot be read; another CA's do. Mallory, who is on the list, never comes
/// in; a list that is not there is one that the host never had, for which the policy has a rule of its own.
fn of_a_list(bed: &Bed, wrong: Wrong) -> Result<Outcome> {
    let site = Site::new(bed, "missing-list = \"refuse\"\n")?;
    let [alice, mallory] = [site.person("alice")?, site.person("mallory")?];
    let of_the_other = policy::alice(bed, EVERYTHING)?;
    site.revoke("--label mallory --retired")?;
    let file = bed.server.root(&format!("ls {}/*/*.list", site.lists))?;
    let file = file.trim();
    let (reason, words) = match wrong {
        Wrong::Missing => ("revocation-list-missing", ""),
        Wrong::Empty => ("revocation-list-unreadable", "it is cut off, or no revocation list at all"),
        Wrong::Unreadable => ("revocation-list-unreadable", "Input/output error"),
        Wrong::Directory | Wrong::Pipe => ("revocation-list-unreadable", "not a regular file"),
        Wrong::Loop => ("revocation-list-unreadable", "Too many levels of symbolic links"),
    };
    let mut client = policy::connect(bed)?;
    offer(&mut client, &hello(&alice), None)?;
    offer(&mut client, &hello(&mallory), Some("retired"))?;
    wrong.put(&bed.server, file)?;
    let meanwhile = (|| {
        offer(&mut client, &hello(&of_the_other), None)?;
        offer(&mut client, &hello(&vendor()), None)?;
        offer(&mut client, &hello(&mallory), Some(reason))?;
        offer(&mut client, &hello(&alice), Some(reason))
    })();
    Wrong::undo(&bed.server, file)?;
    says(&meanwhile?, &[words])?;
    offer(&mut client, &hello(&alice), None)?;
    offer(&mut client, &hello(&mallory), Some("retired"))?;
    Ok(Outcome::Passed)
}

/// The list that is held stays, whole; with room the new one is taken up.
fn no_room_for_a_list(bed: &Bed) -> Result<Outcome> {
    let (site, server) = (Site::new(bed, "")?, &bed.server);
    let [alice, bob] = [site.person("alice")?, site.person("bob")?];
    let [first, second] =
        ["--label mallory --retired", "--label alice --retired"].map(|options| site.list(options));
    let lists = &site.lists;
    server.root(&format!("mount -t tmpfs -o mode=0755,size=32k tmpfs {lists}"))?;
    // It has a mount namespace of its own.
    restart(server, &site.settings()?)?;
    let result = (|| {
        site.install(&first?)?;
        let (list, held) = (second?, format!("cat {lists}/*/*.list | sha256sum"));
        let before = server.root(&held)?;
        server.root(&format!("cat /dev/zero > {lists}/filler 2> /dev/null || true"))?;
        let output = site.bring("install", &list)?;
        if output.success || server.root(&held)? != before {
            bail!("a list was taken up without room for it: {}", output.text);
        }
        says(&output.text, &["No space left on device"])?;
        site.offered(&alice, None)?;
        site.offered(&bob, None)?;
        server.root(&format!("rm {lists}/filler"))?;
        site.install(&list)?;
        site.offered(&alice, Some("retired"))?;
        site.offered(&bob, None)
    })();
    server.root(&format!("umount {lists}"))?;
    restart(server, "")?;
    result?;
    Ok(Outcome::Passed)
}

/// A large path does not come in, and a small one does once there is room; what came in before is whole.
fn no_room_for_a_path(bed: &Bed) -> Result<Outcome> {
    let alice = policy::alice(bed, EVERYTHING)?;
    let server = &bed.server;
    policy::replace(server, &acme(ALL_NAMES))?;
    with_an_empty_store(server, "32m", &policy::settings(bed)?, || {
        let mut client = Client::beside(server, "alice")?;
        offer(&mut client, &hello(&alice), None)?;
        let large = signed_by(&[&alice], &fresh("large-1"), &vec![b'a'; 12 << 20]);
        let filler = "/nix/filler";
        server.root(&format!("head -c 16M /dev/zero > {filler}"))?;
        must_fail(client.add(&large, Flags::default()), "No space left on device")?;
        if is_valid(server, &large.info.path)? {
            bail!("{} is valid, and there was no room for it", large.info.path);
        }
        // Not one byte is left, for the database's either.
        server.root(&format!("cat /dev/zero >> {filler} 2> /dev/null || true"))?;
        let small = hello(&alice);
        let mut client = Client::beside(server, "alice")?;
        if client.add(&small, Flags::default()).is_ok() {
            bail!("{} was accepted, and there was no room for it", small.info.path);
        }
        let unsigned = signed_by(&[], &fresh("hello-1"), b"hello");
        must_fail(
            Client::beside(server, "alice")?.add(&unsigned, Flags::default()),
            "lacks a signature by a trusted key",
        )?;
        server.root(&format!("rm {filler}"))?;
        offer(&mut Client::beside(server, "alice")?, &small, None)?;
        offer(&mut Client::beside(server, "alice")?, &large, None)?;
        is_intact(server)
    })?;
    Ok(Outcome::Passed)
}

/// Does something while the server's store is another one, empty and not larger than this. Others' cases damage paths of the
/// store that they have, to see what becomes of them.
pub(crate) fn with_an_empty_store(
    server: &Host,
    size: &str,
    settings: &str,
    what: impl FnOnce() -> Result<()>,
) -> Result<()> {
    server.root(&format!("mount -t tmpfs -o mode=0755,size={size} tmpfs /nix"))?;
    let result = restart(server, settings).and_then(|()| what());
    server.root("umount -l /nix")?;
    restart(server, "")?;
    result
}

/// Starts the daemon again, whether or not it has these settings, and whether or not it still runs.
pub(crate) fn restart(server: &Host, settings: &str) -> Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    server.configure(&format!("{settings}# {}\n", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// Everything that is valid is there, with the contents that the database says.
pub(crate) fn is_intact(server: &Host) -> Result<()> {
    let said = server.run_as("root", "nix-store --verify --check-contents")?.ok()?;
    match said.lines().find(|line| !line.ends_with("...")) {
        Some(line) => bail!("the store is not intact: {line}\n{said}"),
        None => Ok(()),
    }
}
