//! Root file systems: Debian releases as they are, with their own Nix.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    cache::{Cache, Key},
    prerequisites,
    report::Step,
};

/// Where a root holds the source of Nix, with Debian's own patches applied.
pub(crate) const NIX_SOURCE: &str = "/usr/src/nix";

/// A release of Debian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Release {
    /// Debian 13: the hosts, and where its own Nix, 2.26, is built.
    Trixie,
    /// Debian's testing, whatever that is today: a sender with a newer Nix.
    Testing,
    /// The same, with what the build of Nix needs: hosts with newer Nixes, and where these are built.
    TestingBuilder,
    /// Debian 12: a sender with Nix 2.8.
    Bookworm,
}

impl Release {
    fn suite(self) -> &'static str {
        match self {
            Self::Trixie => "trixie",
            Self::Testing | Self::TestingBuilder => "testing",
            Self::Bookworm => "bookworm",
        }
    }

    /// What its root is called in the cache.
    fn kind(self) -> &'static str {
        match self {
            Self::Trixie => "root-trixie",
            Self::Testing => "root-testing",
            Self::TestingBuilder => "root-testing-builder",
            Self::Bookworm => "root-bookworm",
        }
    }

    /// As people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Trixie => "Debian 13",
            Self::Testing | Self::TestingBuilder => "Debian testing",
            Self::Bookworm => "Debian 12",
        }
    }

    /// What is installed beside the bare system.
    fn packages(self) -> &'static str {
        match self {
            Self::Trixie | Self::TestingBuilder => {
                "nix-bin openssh-server openssh-client sudo busybox tini iproute2 jq curl git patch mold ccache dpkg-dev \
                 bash-static netcat-openbsd xxd"
            }
            Self::Testing | Self::Bookworm => "nix-bin openssh-server openssh-client busybox tini iproute2",
        }
    }

    /// What else is fetched, to build Nix.
    fn source(self) -> &'static str {
        match self {
            Self::Trixie => SOURCE,
            Self::TestingBuilder => "apt-get build-dep -y nix",
            Self::Testing | Self::Bookworm => "",
        }
    }
}

/// The root of this release, made if it is not there.
pub(crate) fn root(cache: &Cache, release: Release) -> Result<PathBuf> {
    let key = Key::of([release.suite(), release.packages(), SETUP, release.source(), std::env::consts::ARCH]);
    cache.entry(release.kind(), &key, |directory| make(cache, release, directory))
}

/// Whether a command may change the root that it runs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// While the root is being made.
    Change,
    /// Once it is in the cache.
    Read,
}

/// A command that runs in `root`, with /proc, /dev and an empty /tmp, in namespaces of its own: its mounts, and
/// whatever it leaves running, end with it. `layers` are trees laid over the root, the topmost first; then nothing in
/// it can be changed. `binds` are directories, and where they are to be seen.
pub(crate) fn inside(
    root: &Path,
    layers: &[&Path],
    access: Access,
    binds: &[(&Path, &str)],
    script: &str,
) -> Command {
    let lower: Vec<String> = layers.iter().copied().chain([root]).map(escape).collect();
    let mut mounts = match layers {
        [] => String::from("mount --bind \"$1\" \"$1\"\n"),
        _ => String::from("mount -t overlay -o \"lowerdir=$3\" overlay \"$1\"\n"),
    };
    for number in 0..binds.len() {
        let (from, to) = (4 + 2 * number, 5 + 2 * number);
        mounts.push_str(&format!("[ -d \"$1${{{to}}}\" ] || mkdir -p \"$1${{{to}}}\"; mount --bind \"${{{from}}}\" \"$1${{{to}}}\"\n"));
    }
    if access == Access::Read && layers.is_empty() {
        mounts.push_str("mount -o remount,bind,ro \"$1\"\n");
    }
    mounts.push_str(
        "mount -t proc proc \"$1/proc\"; mount --rbind /dev \"$1/dev\"; mount -t tmpfs tmpfs \"$1/tmp\"\n",
    );
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "--", "sh", "-ec"])
        .arg(format!("{mounts}exec chroot \"$1\" /bin/bash -euo pipefail -c \"$2\""))
        .args(["sh".as_ref(), root.as_os_str(), script.as_ref(), lower.join(":").as_ref()]);
    for (from, to) in binds {
        command.arg(from).arg(to);
    }
    // Nothing of this machine's environment matters in there, but how the package sources are reached.
    command.env_clear();
    for variable in ["http_proxy", "https_proxy", "no_proxy"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .env("HOME", "/root")
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// The same, for a compiler, which finds what it made before.
pub(crate) fn compiling(
    cache: &Cache,
    root: &Path,
    layers: &[&Path],
    binds: &[(&Path, &str)],
    script: &str,
) -> Result<Command> {
    let compiled = cache.place("compiled")?;
    let binds: Vec<_> = binds.iter().copied().chain([(&*compiled, "/root/.cache/ccache")]).collect();
    let mut command = inside(root, layers, Access::Read, &binds, script);
    command.env("CCACHE_MAXSIZE", "2G");
    Ok(command)
}

fn make(cache: &Cache, release: Release, directory: &Path) -> Result<()> {
    let name = release.name();
    let log = cache.log(release.kind())?;
    let archive = prerequisites::archive()?;
    let downloads = cache.place(&format!("downloads/{}", release.suite()))?;

    let step = Step::start(format!("Making a root of {name}"));
    // The cache of packages is shared with apt below.
    step.run(
        Command::new("debootstrap")
            .arg("--variant=minbase")
            .arg(format!("--cache-dir={}", downloads.display()))
            .arg("--include=ca-certificates")
            .arg(release.suite())
            .arg(directory)
            .arg(&archive),
        &log,
    )?;
    fs::write(
        directory.join("etc/apt/sources.list"),
        format!("deb {archive} {0} main\ndeb-src {archive} {0} main\n", release.suite()),
    )?;
    for (path, text) in [
        // Whoever installs a service here does not want it to run in the machine around.
        ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n"),
        ("etc/dpkg/dpkg.cfg.d/nixcert", "force-unsafe-io\n"),
        (
            "etc/apt/apt.conf.d/nixcert",
            "Acquire::Check-Valid-Until \"false\";\nAPT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\n\
             Binary::apt::APT::Keep-Downloaded-Packages \"true\";\nAPT::Keep-Downloaded-Packages \"true\";\n",
        ),
    ] {
        fs::write(directory.join(path), text).with_context(|| format!("cannot write {path}"))?;
    }
    executable(&directory.join("usr/sbin/policy-rc.d"))?;

    let binds = [(downloads.as_path(), "/var/cache/apt/archives")];
    let install = format!(
        "mkdir -p /var/cache/apt/archives/partial; apt-get update; apt-get install -y {}",
        release.packages()
    );
    step.run(&mut inside(directory, &[], Access::Change, &binds, &install), &log)?;
    step.run(&mut inside(directory, &[], Access::Change, &binds, SETUP), &log)?;
    step.done();

    if !release.source().is_empty() {
        let step = Step::start(format!("Fetching what the build of Nix needs in {name}"));
        step.run(&mut inside(directory, &[], Access::Change, &binds, release.source()), &log)?;
        step.done();
    }
    Ok(())
}

/// In overlayfs options a colon separates, a comma ends, and a backslash escapes.
pub(crate) fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "\\\\").replace(':', "\\:").replace(',', "\\,")
}

fn executable(path: &Path) -> Result<()> {
    Ok(fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?)
}

/// The users: people, and those that builds run as.
const SETUP: &str = r#"
for person in alice bob mallory; do useradd --create-home --shell /bin/bash "$person"; done
groupadd --system nixbld
for number in 1 2 3 4; do
    useradd --system --gid nixbld --groups nixbld --no-create-home --home-dir /var/empty \
        --shell /usr/sbin/nologin "nixbld$number"
done
rm -f /etc/ssh/ssh_host_* /etc/motd /etc/update-motd.d/*
# Where builds see their tree, and the library.
mkdir -p /etc/nix /build /prefix /source /root/.cache/ccache
"#;

/// The source of Nix, as Debian builds it, and everything the build needs.
const SOURCE: &str = r#"
cd /usr/src
apt-get source nix
mv nix-2.26.3* nix-unpacked.tmp 2>/dev/null || true
rm -f nix_*
mv nix-unpacked.tmp nix
apt-get build-dep -y nix
"#;
