//! The hosts of the test bed, as all of its users find them.

use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use crate::{
    cache::Cache,
    clock,
    host::{Host, Recipe},
    network::Switch,
    nix_build::{self, Optimise},
    nix_source::Nix,
    plugin,
    products::{self, Profile},
    report::{Step, sentence},
    roots::{self, Release},
};

/// The people; on every host, trusted on none.
pub(crate) const PEOPLE: [&str; 3] = ["alice", "bob", "mallory"];

/// The hosts that are up.
pub(crate) struct Bed {
    /// Where people build: stock Nix of Debian 13, in daemon and commands.
    pub(crate) workstation: Host,
    /// Where they copy to: the Nix that is tested.
    pub(crate) server: Host,
    /// Hosts that only tests need.
    more: Option<More>,
    _switch: Switch,
    /// Where the hosts' files are; it goes after them.
    _files: TempDir,
}

struct More {
    laptop: Host,
    stock: Host,
    testing: Result<Host, String>,
    bookworm: Result<Host, String>,
    clock: Result<(), String>,
}

/// How a Nix asks for certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seam {
    /// It has the patches.
    Patches,
    /// It has the patches, and sanitizers watch what it does.
    Sanitized,
    /// It has none, and loads the plugin.
    Plugin,
}

/// How many hosts are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A workstation and a server.
    Two,
    /// Also a laptop, a server with stock Nix, and workstations with newer and older ones.
    All,
}

impl Bed {
    /// Makes what the hosts are made of, as far as it is not in the cache, and boots them.
    pub(crate) fn boot(cache: &Cache, scratch: &Path, extent: Extent, nix: &Nix, seam: Seam) -> Result<Self> {
        let root = roots::root(cache, Release::Trixie)?;
        let builder = roots::root(cache, nix.supported.builder())?;
        let tested = match seam {
            Seam::Patches => {
                vec![nix_build::build(cache, nix, nix_build::Extent::Full, Optimise::No)?.layer()]
            }
            Seam::Sanitized => {
                vec![nix_build::build(cache, nix, nix_build::Extent::Full, Optimise::NoAndSanitize)?.layer()]
            }
            Seam::Plugin => {
                let stock = nix_build::build(cache, nix, nix_build::Extent::Stock, Optimise::No)?;
                vec![plugin::layer(cache, nix, &stock)?, stock.layer()]
            }
        };
        let command = products::command(cache, Profile::Dev)?;
        let others = (extent == Extent::All)
            .then(|| [Release::Testing, Release::Bookworm].map(|release| roots::root(cache, release)));
        let [clock, tested_clock] = [&root, &builder].map(|root| match extent {
            Extent::All => clock::layer(cache, root),
            Extent::Two => Err(anyhow::anyhow!("the hosts of the demo have no clock of their own")),
        });

        let step = Step::start("Booting the hosts");
        let switch = Switch::start()?;
        // A run may boot hosts more than once.
        let files = tempfile::tempdir_in(scratch)?;
        let boot = |name: &str, number, root: &Path, layers: Vec<&Path>| {
            let host = Host::boot(files.path(), &switch, &Recipe { name, number, root, layers })?;
            host.configure("")?;
            Ok::<_, anyhow::Error>(host)
        };
        let boot_tested = |name: &str, number| {
            let layers = [&*command].into_iter().chain(tested.iter().map(|layer| &**layer));
            let layers = layers.chain(tested_clock.as_deref().ok()).collect();
            let host = Host::boot(files.path(), &switch, &Recipe { name, number, root: &builder, layers })?;
            if seam == Seam::Plugin {
                host.use_plugin();
            }
            host.configure("")?;
            Ok::<_, anyhow::Error>(host)
        };
        let layers = [&*command].into_iter().chain(clock.as_deref().ok()).collect();
        let workstation = boot("workstation", 1, &root, layers)?;
        let server = boot_tested("server", 2)?;
        server.start_sshd()?;
        workstation.may_log_in(&server, &PEOPLE)?;

        let mut more = None;
        if let Some([testing, bookworm]) = others {
            let laptop = boot_tested("laptop", 6)?;
            laptop.start_sshd()?;
            laptop.may_log_in(&server, &PEOPLE)?;
            workstation.may_log_in(&laptop, &PEOPLE)?;
            let stock = boot("stock", 3, &root, vec![])?;
            stock.start_sshd()?;
            workstation.may_log_in(&stock, &PEOPLE)?;
            let sender = |name: &str, number, root: Result<std::path::PathBuf>| {
                let host = boot(name, number, &root?, vec![])?;
                host.may_log_in(&server, &PEOPLE)?;
                println!("{name}: {}", host.root("nix --version")?.trim());
                Ok(host)
            };
            let said = |result: Result<Host>| result.map_err(|error| sentence(&error));
            let testing = said(sender("testing", 4, testing));
            let bookworm = said(sender("bookworm", 5, bookworm));
            let tested_clock = match seam {
                Seam::Patches | Seam::Plugin => tested_clock,
                Seam::Sanitized => {
                    Err(anyhow::anyhow!("libfaketime and AddressSanitizer do not go together"))
                }
            };
            let clock = clock.and(tested_clock).map(drop).map_err(|error| sentence(&error));
            more = Some(More { laptop, stock, testing, bookworm, clock });
        }
        step.done();
        println!("server: {}", server.root("nix --version")?.trim());
        Ok(Self { workstation, server, more, _switch: switch, _files: files })
    }

    /// Another machine to build on, with a store of its own, and the Nix that is tested.
    pub(crate) fn laptop(&self) -> Result<&Host> {
        Ok(&self.more()?.laptop)
    }

    /// A server with stock Nix.
    pub(crate) fn stock(&self) -> Result<&Host> {
        Ok(&self.more()?.stock)
    }

    /// A workstation with the Nix of this release, or why there is none.
    pub(crate) fn sender(&self, release: Release) -> Result<Result<&Host, &str>> {
        let more = self.more()?;
        Ok(match release {
            Release::Trixie => Ok(&self.workstation),
            Release::TestingBuilder => Err("that is where Nix is built; nobody sends from there"),
            Release::Testing => more.testing.as_ref().map_err(String::as_str),
            Release::Bookworm => more.bookworm.as_ref().map_err(String::as_str),
        })
    }

    /// Whether the workstation and the server can have another clock than the machine, or why not.
    pub(crate) fn clock(&self) -> Result<Result<(), &str>> {
        Ok(self.more()?.clock.as_ref().copied().map_err(String::as_str))
    }

    fn more(&self) -> Result<&More> {
        self.more.as_ref().ok_or_else(|| anyhow::anyhow!("the hosts for the tests were not booted"))
    }
}
