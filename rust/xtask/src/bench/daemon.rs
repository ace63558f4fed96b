//! What the patches cost: the same Nix without and with them, compiled alike, each on a host and all in one run.

use std::path::Path;

use anyhow::{Context, Result};

use super::{Measured, Ratio, closure::Closure, median, times};
use crate::{
    cache::Cache,
    e2e::{
        forge::Key,
        pki::{certify, root_ca},
    },
    host::{Host, Recipe},
    network::Switch,
    nix_build::{self, Extent, Optimise},
    nix_source::Nix,
    products::{self, Profile},
    report::Step,
    roots,
};

/// How many paths are copied.
const PATHS: u32 = 2_000;

/// How often each store is filled.
const COPIES: usize = 11;

/// How often each daemon is asked, in rounds: a machine is not equally quick all the time.
const ROUNDS: usize = 20;
const STARTS: usize = 25;

/// Where the hosts keep what is copied.
const PLAIN: &str = "/srv/plain";
const CERTIFIED: &str = "/srv/certified";

/// What a host's programs have instead of the system log, if its cost is to be left out.
const UNLOGGED: &str = include_str!("unlogged.c");

/// A host, the closure that its caches hold, and what its Nix is.
struct Side {
    host: Host,
    top: String,
}

/// Copies, starts and sizes.
pub(super) fn run(cache: &Cache, scratch: &Path) -> Result<Measured> {
    let nix = Nix::debian()?;
    let root = roots::root(cache, nix.supported.builder())?;
    let command = products::command(cache, Profile::Release)?;
    let switch = Switch::start()?;
    let boot = |name, number, extent| {
        let layer = nix_build::build(cache, &nix, extent, Optimise::Yes)?.layer();
        let recipe = Recipe { name, number, root: &root, layers: vec![&command, &layer] };
        Host::boot(scratch, &switch, &recipe)
    };
    let stock = Side::new(boot("stock", 1, Extent::Stock)?, Extent::Stock)?;
    let patched = Side::new(boot("patched", 2, Extent::Full)?, Extent::Full)?;
    let unlogged = boot("unlogged", 3, Extent::Full)?;
    leave_out_the_log(&unlogged)?;
    let unlogged = Side::new(unlogged, Extent::Full)?;
    let step = Step::start(format!("Copying {PATHS} paths {COPIES} times, five ways"));
    let ways = [
        (&stock, PLAIN),
        (&stock, CERTIFIED),
        (&patched, PLAIN),
        (&patched, CERTIFIED),
        (&unlogged, CERTIFIED),
    ];
    let mut copies = ways.map(|it| (it, vec![]));
    for _ in 0..COPIES {
        for ((side, from), times) in &mut copies {
            times.push(side.copy(from)?);
        }
    }
    step.done();
    let [of_stock, pinned, plain, certified, unlogged] = copies.map(|(_, times)| median(times));
    let (of_stock, certified) = (of_stock?, certified?);

    let step = Step::start(format!("Asking each daemon {} times", ROUNDS * STARTS));
    let mut starts = [(&stock, vec![]), (&patched, vec![])];
    for _ in 0..ROUNDS {
        for (side, all) in &mut starts {
            all.extend(times(&side.host, STARTS, "nix store info --store daemon")?.0);
        }
    }
    step.done();
    let [of_stock_start, start] = starts.map(|(_, times)| median(times));

    let ratio = |what: &str, time: Result<f64>, beside, other, aim| {
        Ok(Ratio { what: what.to_owned(), time: time?, rival: Some((beside, other)), aim })
    };
    let version = stock.host.root("nix --version")?;
    let mut notes = vec![format!("{}, compiled with -O2, as it is and with all patches", version.trim())];
    notes.extend(sizes(&stock, &patched)?);
    let ratios: Result<Vec<Ratio>> = [
        ratio("copy 2,000 small paths, certified", Ok(certified), "stock, plain key", of_stock, Some(1.0)),
        ratio(
            "copy 2,000 small paths, certified",
            Ok(certified),
            "stock, that whole name pinned",
            pinned?,
            None,
        ),
        ratio("copy 2,000 small paths, certified, not logged", unlogged, "stock, plain key", of_stock, None),
        ratio("copy 2,000 small paths, plain key", plain, "stock, plain key", of_stock, None),
        ratio("nix store info, by the daemon", start, "stock", of_stock_start?, Some(1.02)),
    ]
    .into_iter()
    .collect();
    Ok(Measured { ratios: ratios?, notes })
}

impl Side {
    /// Makes the caches; then the host's own store has no path of them. Its daemon trusts the plain key, and the CA; if it knows
    /// of no CA, the other key, by the whole name.
    fn new(host: Host, extent: Extent) -> Result<Self> {
        host.configure("")?;
        let anchor = root_ca(&host, "acme-1")?;
        let certified = certify(&host, "alice", "alice-1", "acme-1", "--permit '*' --host '*'")?;
        host.root("nix key generate-secret --key-name alice-1 > /root/plain.key")?;
        let public = host.root("nix key convert-secret-to-public < /root/plain.key")?;
        let pinned = Key::read(&host, &format!("/home/alice/{certified}"))?.public();
        host.configure(&match extent {
            Extent::Full => {
                format!("trusted-public-keys = {public}\ntrusted-ca-keys = {anchor}\nca-host-name = server\n")
            }
            Extent::Stock | Extent::Hardening | Extent::Base => {
                format!("trusted-public-keys = {} {pinned}\n", public.trim())
            }
        })?;
        let top = Closure::make(&host, 0, PATHS)?;
        for (key, to) in [("/root/plain.key", PLAIN), (&*format!("/home/alice/{certified}"), CERTIFIED)] {
            let step = Step::start(format!("Filling a cache of {}'s", host.name()));
            host.root(&format!("nix copy --to file://{to} {top} >&2"))?;
            host.root(&format!("nix store sign --store file://{to} --key-file {key} --recursive {top} >&2"))?;
            step.done();
        }
        let side = Self { host, top };
        side.forget()?;
        Ok(side)
    }

    fn forget(&self) -> Result<()> {
        self.host
            .root(&format!(
                "nix-store --delete --ignore-liveness $(nix-store --query --requisites {}) >&2",
                self.top
            ))
            .map(drop)
    }

    /// How many seconds it takes a user to copy it all through the daemon.
    fn copy(&self, from: &str) -> Result<f64> {
        let line = format!("nix copy --from file://{from} {}", self.top);
        let (all, _) = times(&self.host, 1, &line)?;
        self.forget()?;
        all.first().copied().context("nothing was measured")
    }

    /// Of what an expression in the shell says.
    fn number(&self, expression: &str) -> Result<f64> {
        Ok(self.host.root(expression)?.trim().parse()?)
    }
}

/// In all programs that the host starts from now on.
fn leave_out_the_log(host: &Host) -> Result<()> {
    host.write("/srv/unlogged.c", UNLOGGED.as_bytes())?;
    host.root("cc -shared -fPIC -o /srv/unlogged.so /srv/unlogged.c")?;
    host.write("/etc/ld.so.preload", b"/srv/unlogged.so\n")
}

fn sizes(stock: &Side, patched: &Side) -> Result<[String; 2]> {
    let signature = |cache: &str| {
        patched.number(&format!("sed -n 's/^Sig: //p' {cache}/*.narinfo | head -n 1 | tr -d '\\n' | wc -c"))
    };
    let nix = |side: &Side| side.number("strip -o /tmp/nix /usr/bin/nix && stat -c %s /tmp/nix");
    let (of_stock, of_patched) = (nix(stock)?, nix(patched)?);
    Ok([
        format!(
            "size of a signature: {} bytes by a plain key, {} with a certificate",
            signature(PLAIN)?,
            signature(CERTIFIED)?
        ),
        format!(
            "size of nix with its libraries in it, stripped: {:.2} MB, with all patches and the library {:.2} MB ({:+.1} %)",
            of_stock / 1e6,
            of_patched / 1e6,
            (of_patched / of_stock - 1.0) * 100.0
        ),
    ])
}
