//! The hosts of the test bed, as all of its users find them.

use std::path::Path;

use anyhow::Result;

use crate::{
    cache::Cache,
    host::{Host, Recipe},
    network::Switch,
    nix_build::{self, Optimise},
    products,
    report::Step,
    roots::{self, Release},
};

/// The people; on every host, trusted on none.
pub(crate) const PEOPLE: [&str; 3] = ["alice", "bob", "mallory"];

/// The hosts that are up.
pub(crate) struct Bed {
    /// Where people build: stock Nix of Debian 13, in daemon and commands.
    pub(crate) workstation: Host,
    /// Where they copy to: Nix with the patches.
    pub(crate) server: Host,
    /// A server with stock Nix.
    pub(crate) stock: Host,
    _switch: Switch,
}

impl Bed {
    /// Makes what the hosts are made of, as far as it is not in the cache, and boots them.
    pub(crate) fn boot(cache: &Cache, scratch: &Path) -> Result<Self> {
        let root = roots::root(cache, Release::Trixie)?;
        let patched = match nix_build::full(cache, &root, Optimise::No)? {
            Some(build) => build,
            None => nix_build::base(cache, &root, Optimise::No)?,
        }
        .layer();

        let command = products::command(cache)?;

        let step = Step::start("Booting the hosts");
        let switch = Switch::start()?;
        let boot = |name: &str, number, layers: Vec<&Path>| {
            Host::boot(scratch, &switch, &Recipe { name, number, root: &root, layers })
        };
        let workstation = boot("workstation", 1, vec![&command])?;
        let server = boot("server", 2, vec![&patched])?;
        let stock = boot("stock", 3, vec![])?;
        for host in [&server, &stock] {
            host.start_sshd()?;
            workstation.may_log_in(host, &PEOPLE)?;
        }
        for host in [&workstation, &server, &stock] {
            host.configure("")?;
        }
        step.done();
        Ok(Self { workstation, server, stock, _switch: switch })
    }
}
