//! What cargo makes and others use: the library with its header and pkg-config file, and the command.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::{Cache, Key},
    report::{Log, Step},
};

/// The root of the clone.
pub(crate) fn clone() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("xtask is not where it was compiled")
}

/// The profile that the products are made with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Quick to make, with the cryptography optimised.
    Dev,
    /// For use, and for benchmarks.
    Release,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Release => "release",
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// The library, installed into a prefix in the cache.
pub(crate) fn library(cache: &Cache, profile: Profile) -> Result<PathBuf> {
    let key = key(
        profile,
        &["rust/core", "rust/files", "rust/host", "rust/ffi", "cpp-shim/nixcert.cc", "cpp-shim/nixcert.hh"],
    )?;
    cache.entry("library", &key, |prefix| install(&cache.log("library")?, profile, prefix))
}

/// A tree with the command, to be laid over a root.
pub(crate) fn command(cache: &Cache, profile: Profile) -> Result<PathBuf> {
    let key = key(
        profile,
        &["rust/core", "rust/files", "rust/host", "rust/store", "rust/gate", "rust/issue", "rust/cli"],
    )?;
    cache.entry("command", &key, |layer| {
        let log = cache.log("command")?;
        let step = Step::start("Compiling the command");
        cargo(&step, &log, profile, "nixcert")?;
        let bin = layer.join("usr/bin");
        fs::create_dir_all(&bin)?;
        fs::copy(target(profile)?.join("nixcert"), bin.join("nixcert"))?;
        step.run(Command::new("strip").arg("--strip-debug").arg(bin.join("nixcert")), &log)?;
        step.done();
        Ok(())
    })
}

/// Compiles the library, and installs it, its header and its pkg-config file into `prefix`.
pub(crate) fn install(log: &Log, profile: Profile, prefix: &Path) -> Result<()> {
    let step = Step::start("Compiling the library");
    cargo(&step, log, profile, "nixcert-ffi")?;
    let [include, lib, pkgconfig] = ["include", "lib", "lib/pkgconfig"].map(|name| prefix.join(name));
    for directory in [&include, &lib, &pkgconfig] {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::copy(clone()?.join("cpp-shim/nixcert.hh"), include.join("nixcert.hh"))?;
    let archive = lib.join("libnixcert.a");
    fs::copy(target(profile)?.join("libnixcert.a"), &archive).context("cargo made no libnixcert.a")?;
    step.run(Command::new("strip").arg("--strip-debug").arg(&archive), log)?;
    fs::write(pkgconfig.join("nixcert.pc"), PKG_CONFIG.replace("VERSION", env!("CARGO_PKG_VERSION")))?;
    step.done();
    Ok(())
}

/// Relative to where the file itself is, so that the prefix can be moved.
const PKG_CONFIG: &str = "\
prefix=${pcfiledir}/../..
libdir=${prefix}/lib
includedir=${prefix}/include

Name: nixcert
Description: Certificates for signing Nix packages
Version: VERSION
Libs: -L${libdir} -lnixcert -lstdc++ -lgcc_s -lpthread -ldl -lm
Cflags: -I${includedir}
";

fn cargo(step: &Step, log: &Log, profile: Profile, package: &str) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(clone()?).args([
        "build",
        "--locked",
        "--profile",
        profile.name(),
        "--package",
        package,
    ]);
    step.run(&mut command, log)
}

fn target(profile: Profile) -> Result<PathBuf> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => clone()?.join("target"),
    };
    Ok(target.join(profile.directory()))
}

/// Everything that goes into a product: its sources, the crates, the compiler.
fn key(profile: Profile, sources: &[&str]) -> Result<Key> {
    let compiler =
        Command::new("rustc").arg("-Vv").current_dir(clone()?).output().context("cannot run rustc")?;
    if !compiler.status.success() {
        bail!("rustc does not work: {}", String::from_utf8_lossy(&compiler.stderr));
    }
    let sources = Key::of_files(clone()?, &[sources, &["Cargo.toml", "Cargo.lock"]].concat())?;
    Ok(Key::of([sources.as_ref(), &compiler.stdout, profile.name().as_bytes(), PKG_CONFIG.as_bytes()]))
}
