//! What the activation gate costs beside Nix's own `nix store verify`, on a real host and in one run.

use std::{fmt::Write as _, path::Path};

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use super::{Measured, Ratio, median, times};
use crate::{
    cache::Cache,
    e2e::{
        forge::{Key, store_path},
        pki::{certify, root_ca},
        wire::Parcel,
    },
    host::{Host, Recipe},
    network::Switch,
    products::{self, Profile},
    report::Step,
    roots::{self, Release},
};

/// As many paths as a small NixOS system has.
const SYSTEM: u32 = 5_000;

/// More than any system has.
const LARGE: u32 = 100_000;

/// How many paths one refers to, beside itself: what a NixOS system has on average.
const REFERENCES: u32 = 9;

/// What it is beside, and the ratio that it should not exceed.
const RIVAL: &str = "nix store verify --sigs-needed 1";
const AIM: f64 = 0.25;

/// How often each command is run; the median counts.
const RUNS: usize = 5;

/// Where the host's policy is.
const POLICY: &str = "/etc/nix/nixcert.toml";

/// `nixcert check-closure` beside `nix store verify`.
pub(super) fn run(cache: &Cache, scratch: &Path) -> Result<Measured> {
    let root = roots::root(cache, Release::Trixie)?;
    let command = products::command(cache, Profile::Release)?;
    let switch = Switch::start()?;
    let host = Host::boot(
        scratch,
        &switch,
        &Recipe { name: "server", number: 1, root: &root, layers: vec![&command] },
    )?;
    let key = configure(&host)?;
    let versions =
        format!("{}, {}", host.root("nix --version")?.trim(), host.root("nixcert --version")?.trim());

    let mut ratios = Vec::new();
    for (count, first) in [(SYSTEM, 0), (LARGE, SYSTEM)] {
        let top = Closure::make(&host, first, count)?;
        let step = Step::start(format!("Signing {count} paths"));
        host.root(&format!("nix store sign --key-file /home/alice/{key} --recursive {top} >&2"))?;
        step.done();
        let mut verify = None;
        if count == SYSTEM {
            let line = format!("nix store verify --no-contents --recursive --sigs-needed 1 {top}");
            verify = Some((RIVAL, median(times(&host, RUNS, &line)?.0)?));
        }
        // So many are only there for what they take of memory: Nix's own command needs minutes for them.
        let runs = if count == SYSTEM { RUNS } else { 1 };
        let mut measure = |how: &str| {
            let (times, kib) = times(&host, runs, &format!("nixcert check-closure {top}"))?;
            let what = format!("check-closure, {count} paths, {how} ({} MiB)", kib / 1024);
            ratios.push(Ratio { what, time: median(times)?, rival: verify, aim: verify.map(|_| AIM) });
            Ok::<_, anyhow::Error>(())
        };
        govern(&host, "optional")?;
        measure("each path's signature")?;
        govern(&host, "required")?;
        host.run_as("alice", &format!("nixcert closure sign --yes --key {key} --host '*' {top}"))?.ok()?;
        measure("one closure signature")?;
    }
    Ok(Measured { ratios, notes: vec![versions] })
}

/// A host that trusts Alice's certificate; its Nix, which knows nothing of those, her key under the name that it has.
fn configure(host: &Host) -> Result<String> {
    host.configure("")?;
    let anchor = root_ca(host, "acme-1")?;
    let options = "--usage import-paths,vouch-for-systems --permit '*' --host '*'";
    let key = certify(host, "alice", "alice-1", "acme-1", options)?;
    let public = Key::read(host, &format!("/home/alice/{key}"))?.public();
    host.root("mkdir -p /var/lib/nixcert/revocation")?;
    // Stock Nix ignores settings that it does not know, with a warning.
    host.configure(&format!(
        "trusted-public-keys = {public}\ntrusted-ca-keys = {anchor}\nca-policy-file = {POLICY}\nca-host-name = server\n"
    ))?;
    Ok(key)
}

fn govern(host: &Host, closure_signature: &str) -> Result<()> {
    let policy = format!(
        "version = 1\nrevocation-lists = \"/var/lib/nixcert/revocation\"\n\n[ca.acme-1]\npermitted-names = [\"*\"]\n\
         usages = [\"import-paths\", \"vouch-for-systems\"]\n\n[activation]\nclosure-signature = \"{closure_signature}\"\n"
    );
    host.replace(POLICY, policy.as_bytes())
}

/// A closure that is put into a store at once.
pub(super) struct Closure {
    /// What `nix-store --load-db` reads.
    registration: String,
    /// Whether some path refers to it.
    wanted: Vec<bool>,
}

impl Closure {
    /// Makes one of so many paths, whose numbers begin with `first`; gives the top-level path.
    pub(super) fn make(host: &Host, first: u32, count: u32) -> Result<String> {
        let step = Step::start(format!("Making a closure of {count} paths"));
        let mut closure = Self { registration: String::new(), wanted: vec![false; count as usize] };
        for number in 0..count - 1 {
            let references = references(number);
            for it in &references {
                if let Some(wanted) = closure.wanted.get_mut(*it as usize) {
                    *wanted = true;
                }
            }
            let references = references.into_iter().map(|it| path(first, it)).collect();
            closure.add(host, &path(first, number), references)?;
        }
        // What nobody refers to, the system does.
        let wanted = closure.wanted.iter().take(count as usize - 1).zip(0..);
        let references = wanted.filter(|(wanted, _)| !**wanted).map(|(_, it)| path(first, it)).collect();
        let top = store_path(first + count, "nixos-system-web-25.05");
        closure.add(host, &top, references)?;
        host.write("/tmp/registration", closure.registration.as_bytes())?;
        host.root("nix-store --load-db < /tmp/registration")?;
        let there: u32 = host.root(&format!("nix-store -qR {top} | wc -l"))?.trim().parse()?;
        if there != count {
            bail!("the closure has {there} paths, and should have {count}");
        }
        step.done();
        Ok(top)
    }

    fn add(&mut self, host: &Host, path: &str, mut references: Vec<String>) -> Result<()> {
        let contents = references.join("\n");
        let Parcel { info, .. } = Parcel::file(path, contents.as_bytes());
        host.write(path, contents.as_bytes())?;
        references.sort();
        writeln!(self.registration, "{path}\n{}\n{}\n\n{}", info.nar_hash, info.nar_size, references.len())?;
        for reference in references {
            writeln!(self.registration, "{reference}")?;
        }
        Ok(())
    }
}

fn path(first: u32, number: u32) -> String {
    store_path(first + number, &format!("package-of-the-system-{number}-1.0.2"))
}

/// Earlier paths, some near and some far.
fn references(number: u32) -> Vec<u32> {
    let mut references: Vec<u32> = (0..REFERENCES.min(number))
        .map(|it| {
            let digest = Sha256::digest(format!("{number} {it}"));
            let chance = digest.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
            let reach = if it % 2 == 0 { number.min(100) } else { number };
            number - 1 - chance % reach
        })
        .collect();
    references.sort_unstable();
    references.dedup();
    references
}
