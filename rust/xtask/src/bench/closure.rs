//! What the activation gate costs beside Nix's own `nix store verify`, on a real host and in one run.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

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
    report::{Step, strong},
    roots::{self, Release},
};

/// As many paths as a small NixOS system has.
const SYSTEM: u32 = 5_000;

/// More than any system has.
const LARGE: u32 = 100_000;

/// How many paths one refers to, beside itself: what a NixOS system has on average.
const REFERENCES: u32 = 9;

/// How often each command is run; the median counts.
const RUNS: usize = 5;

/// Where the host's policy is.
const POLICY: &str = "/etc/nix/nixcert.toml";

/// `nixcert check-closure` beside `nix store verify`.
pub(super) fn run(cache: &Cache, scratch: &Path) -> Result<()> {
    let root = roots::root(cache, Release::Trixie)?;
    let command = products::command(cache, Profile::Release)?;
    let switch = Switch::start()?;
    let host = Host::boot(
        scratch,
        &switch,
        &Recipe { name: "server", number: 1, root: &root, layers: vec![&command] },
    )?;
    let key = configure(&host)?;
    println!("{}, {}", host.root("nix --version")?.trim(), host.root("nixcert --version")?.trim());

    println!("{}", strong("paths    command                                        time      ratio  memory"));
    for (count, first) in [(SYSTEM, 0), (LARGE, SYSTEM)] {
        let top = Closure::make(&host, first, count)?;
        let step = Step::start(format!("Signing {count} paths"));
        host.root(&format!("nix store sign --key-file /home/alice/{key} --recursive {top} >&2"))?;
        step.done();
        // So many are only there for what they take of memory: Nix's own command needs minutes for them.
        let runs = if count == SYSTEM { RUNS } else { 1 };
        let mut verify = None;
        if count == SYSTEM {
            let all = format!("nix store verify --no-contents --recursive {top}");
            measured(&host, &format!("{all} --no-trust"), "nix store verify --no-trust", count, runs, None)?;
            let signatures = format!("{all} --sigs-needed 1");
            verify =
                Some(measured(&host, &signatures, "nix store verify --sigs-needed 1", count, runs, None)?);
        }
        let check = format!("nixcert check-closure {top}");
        govern(&host, "optional")?;
        measured(&host, &check, "check-closure, per path", count, runs, verify)?;
        govern(&host, "required")?;
        host.run_as("alice", &format!("nixcert closure sign --yes --key {key} --host '*' {top}"))?.ok()?;
        measured(&host, &check, "check-closure, by digest", count, runs, verify)?;
    }
    Ok(())
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

/// Runs a command as Alice, which must succeed, and prints a line of the table; gives the time in seconds.
fn measured(
    host: &Host,
    line: &str,
    name: &str,
    count: u32,
    runs: usize,
    beside: Option<f64>,
) -> Result<f64> {
    host.write("/tmp/measure.py", MEASURE.as_bytes())?;
    let output = host.run_as("alice", &format!("python3 /tmp/measure.py {runs} {line}"))?.ok()?;
    let last = output.lines().last().unwrap_or_default();
    let (seconds, kib) = last.split_once(' ').with_context(|| format!("no measure: {output}"))?;
    let (seconds, kib): (f64, u64) = (seconds.parse()?, kib.trim().parse()?);
    let ratio = beside.map_or_else(String::new, |beside| format!("{:.2}", seconds / beside));
    println!("{count:<8} {name:<42} {:>7.0} ms {ratio:>8} {:>5} MiB", seconds * 1000.0, kib / 1024);
    Ok(seconds)
}

/// Runs a command some times; its median time, and the most memory that it or one of its children had.
const MEASURE: &str = r#"
import os, resource, statistics, subprocess, sys, time
times = []
for _ in range(int(sys.argv[1])):
    begun = time.monotonic()
    done = subprocess.run(sys.argv[2:], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    times.append(time.monotonic() - begun)
    if done.returncode != 0:
        sys.exit(done.stdout.decode()[:2000])
print(statistics.median(times), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"#;

/// A closure that is put into a store at once.
struct Closure {
    /// What `nix-store --load-db` reads.
    registration: String,
    /// Whether some path refers to it.
    wanted: Vec<bool>,
}

impl Closure {
    /// Makes one of so many paths, whose numbers begin with `first`; gives the top-level path.
    fn make(host: &Host, first: u32, count: u32) -> Result<String> {
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
