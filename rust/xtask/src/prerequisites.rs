//! What the test bed needs of the machine: each need is checked, and said clearly where it is not met. Packages are
//! installed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::Cache,
    report::{Step, show},
};

/// The free disk space that the cache needs, in MiB: three roots, and three builds of Nix with their trees.
const DISK: u64 = 6 * 1024;

/// The free memory that the build of Nix needs, in MiB: two compilers at once.
const MEMORY: u64 = 3 * 1024;

/// A command, and the Debian package that has it.
const COMMANDS: [(&str, &str); 13] = [
    ("apt-get", "apt"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("flock", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("chroot", "coreutils"),
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("g++", "g++"),
    ("cc", "gcc"),
    ("pkg-config", "pkg-config"),
    ("python3", "python3-minimal"),
];

/// A shared library that tests call, and the Debian package that has it.
const LIBRARIES: [(&str, &str); 1] = [("libsodium.so.23", "libsodium23")];

/// Checks everything, and installs what is missing.
///
/// # Errors
/// Something is missing that cannot be installed: the error says what, and what to do.
pub(crate) fn meet(cache: &Cache) -> Result<()> {
    system()?;
    namespaces()?;
    space(cache)?;
    install()
}

/// Where Debian's packages come from: the first archive in this machine's own apt sources.
pub(crate) fn archive() -> Result<String> {
    let list = Command::new("apt-get")
        .args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages"])
        .output()
        .context("cannot run apt-get")?;
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    list.lines()
        .find_map(|line| line.strip_prefix("Debian|Debian|"))
        // Before the first `apt-get update`, origin and label are not known yet.
        .map(str::to_owned)
        .context("apt knows no archive of Debian: run `apt-get update`, and see /etc/apt/sources.list.d")
}

fn system() -> Result<()> {
    if !Path::new("/proc/self/ns").exists() {
        bail!("the test bed needs Linux, with /proc mounted");
    }
    if !fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0) {
        bail!("the test bed needs root, for mounts and users: run it as root");
    }
    if !Path::new("/etc/debian_version").exists() {
        bail!(
            "the test bed needs Debian (12 or newer), for its packages: run it in a Debian virtual machine"
        );
    }
    Ok(())
}

/// Tries what the test bed does, inside namespaces that end with the attempt.
fn namespaces() -> Result<()> {
    let attempts = [
        (
            "make mount and PID namespaces",
            vec!["--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc", "true"],
            "give this machine or container CAP_SYS_ADMIN and unrestricted mounts (for a container: --privileged)",
        ),
        (
            "mount a tmpfs, with an overlay on it",
            vec![
                "--mount",
                "sh",
                "-ec",
                "mount -t tmpfs nixcert /mnt; mkdir /mnt/lower /mnt/upper /mnt/work; \
                 mount -t overlay -o lowerdir=/mnt/lower,upperdir=/mnt/upper,workdir=/mnt/work nixcert /mnt/lower",
            ],
            "use a kernel with tmpfs and overlayfs, and a /mnt to mount on",
        ),
    ];
    for (what, arguments, remedy) in attempts {
        attempt(what, &arguments, remedy)?;
    }
    Ok(())
}

/// Network namespaces need `ip`, so this comes after the installation.
fn network() -> Result<()> {
    attempt(
        "make network namespaces, with a bridge and virtual cables",
        &[
            "--net",
            "sh",
            "-ec",
            "ip link add name br0 type bridge; ip link add name v0 type veth peer name v1",
        ],
        "use a kernel with the drivers `bridge` and `veth`",
    )
}

fn attempt(what: &str, arguments: &[&str], remedy: &str) -> Result<()> {
    let mut command = Command::new("unshare");
    let output =
        command.args(arguments).output().context("cannot run unshare, of Debian's package util-linux")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the test bed cannot {what}: {}\nWhat to do: {remedy}.", said.trim());
    }
    Ok(())
}

fn space(cache: &Cache) -> Result<()> {
    let directory = cache.directory();
    let output = Command::new("df").args(["--output=avail", "-BM"]).arg(directory).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let free = text.lines().nth(1).and_then(|line| line.trim().trim_end_matches('M').parse::<u64>().ok());
    let filled = fs::read_dir(directory)?
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("nix-"));
    if let Some(free) = free.filter(|free| *free < DISK && !filled) {
        bail!(
            "the test bed needs {DISK} MiB of free disk space, and {} has {free} MiB: free some, or set \
             XDG_CACHE_HOME to a place that has more",
            directory.display()
        );
    }
    let memory = fs::read_to_string("/proc/meminfo")?;
    let available = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map(|kib| kib / 1024);
    if let Some(available) = available.filter(|available| *available < MEMORY) {
        bail!("the test bed needs {MEMORY} MiB of free memory, and there are {available} MiB: end something");
    }
    Ok(())
}

fn install() -> Result<()> {
    let commands = COMMANDS.iter().filter(|(command, _)| !there(command));
    let libraries = LIBRARIES.iter().filter(|(library, _)| !loadable(library));
    let missing: Vec<&str> = commands.chain(libraries).map(|(_, package)| *package).collect();
    if !missing.is_empty() || archive().is_err() {
        let step = Step::start("Updating the machine's package lists");
        quietly(Command::new("apt-get").args(["-o", "Acquire::Check-Valid-Until=false", "update"]))?;
        step.done();
    }
    if !missing.is_empty() {
        let step = Step::start(format!("Installing {}", missing.join(", ")));
        quietly(
            Command::new("apt-get")
                .args(["install", "-y", "--no-install-recommends"])
                .args(missing)
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )?;
        step.done();
    }
    archive()?;
    network()
}

fn there(command: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|place| place.join(command).is_file()))
}

fn loadable(library: &str) -> bool {
    let output = Command::new("/sbin/ldconfig").arg("-p").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(library))
}

fn quietly(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run: {shown}"))?;
    if !output.status.success() {
        bail!(
            "this failed: {shown}\n{}\nWhat to do: see that the machine reaches its package sources.",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
