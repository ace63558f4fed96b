//! What cargo makes and others use: the library with its header and pkg-config file, and the command.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

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
    /// The same, with sanitizers in what is C++.
    Sanitize,
    /// For use, and for benchmarks.
    Release,
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Dev | Self::Sanitize => "dev",
            Self::Release => "release",
        }
    }

    /// What the C++ compiler is told, by the environment.
    fn cxx_flags(self) -> Option<&'static str> {
        match self {
            Self::Dev | Self::Release => None,
            Self::Sanitize => Some("-fsanitize=address,undefined -fno-omit-frame-pointer -g1"),
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Dev | Self::Sanitize => "debug",
            Self::Release => "release",
        }
    }
}

/// What is made, and of what: `[workspace.metadata.products]` in the top `Cargo.toml`, which explains it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Products {
    library: Product,
    command: Product,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    package: String,
    sources: Vec<String>,
    made: BTreeMap<String, String>,
    #[serde(default)]
    copied: BTreeMap<String, String>,
    #[serde(default)]
    configured: BTreeMap<String, String>,
}

impl Products {
    fn read() -> Result<Self> {
        #[derive(Deserialize)]
        struct Manifest {
            workspace: Workspace,
        }
        #[derive(Deserialize)]
        struct Workspace {
            metadata: Metadata,
        }
        #[derive(Deserialize)]
        struct Metadata {
            products: Products,
        }
        let text = fs::read_to_string(clone()?.join("Cargo.toml")).context("cannot read Cargo.toml")?;
        let manifest: Manifest =
            toml::from_str(&text).context("cannot understand the list of products in Cargo.toml")?;
        Ok(manifest.workspace.metadata.products)
    }
}

impl Product {
    /// Compiles it, and installs it into `prefix`.
    fn install(&self, step: &Step, log: &Log, profile: Profile, prefix: &Path) -> Result<()> {
        cargo(step, log, profile, &self.package)?;
        for (made, to) in &self.made {
            let to = place(prefix, to)?;
            fs::copy(target(profile)?.join(made), &to).with_context(|| format!("cargo made no {made}"))?;
            step.run(Command::new("strip").arg("--strip-debug").arg(&to), log)?;
        }
        for (file, to) in &self.copied {
            fs::copy(clone()?.join(file), place(prefix, to)?)
                .with_context(|| format!("cannot copy {file}"))?;
        }
        for (file, to) in &self.configured {
            let text =
                fs::read_to_string(clone()?.join(file)).with_context(|| format!("cannot read {file}"))?;
            fs::write(place(prefix, to)?, text.replace("@VERSION@", env!("CARGO_PKG_VERSION")))?;
        }
        Ok(())
    }

    /// Everything that goes into it: its sources, the crates, the compiler.
    fn key(&self, profile: Profile) -> Result<Key> {
        let compiler =
            Command::new("rustc").arg("-Vv").current_dir(clone()?).output().context("cannot run rustc")?;
        if !compiler.status.success() {
            bail!("rustc does not work: {}", String::from_utf8_lossy(&compiler.stderr));
        }
        let sources: Vec<&str> =
            self.sources.iter().map(String::as_str).chain(["Cargo.toml", "Cargo.lock"]).collect();
        let sources = Key::of_files(clone()?, &sources)?;
        let flags = profile.cxx_flags().unwrap_or_default();
        let parts = [sources.as_ref(), &compiler.stdout, profile.name().as_bytes(), flags.as_bytes()];
        // What has no flags keeps the key that it had before there were any.
        Ok(Key::of(parts.into_iter().filter(|part| !part.is_empty())))
    }
}

/// The library, installed into a prefix in the cache.
pub(crate) fn library(cache: &Cache, profile: Profile) -> Result<PathBuf> {
    let key = Products::read()?.library.key(profile)?;
    cache.entry("library", &key, |prefix| install(&cache.log("library")?, profile, prefix))
}

/// A tree with the command, to be laid over a root.
pub(crate) fn command(cache: &Cache, profile: Profile) -> Result<PathBuf> {
    let command = Products::read()?.command;
    cache.entry("command", &command.key(profile)?, |layer| {
        let step = Step::start("Compiling the command");
        command.install(&step, &cache.log("command")?, profile, &layer.join("usr"))?;
        step.done();
        Ok(())
    })
}

/// Compiles the library, and installs it, its header and its pkg-config file into `prefix`.
pub(crate) fn install(log: &Log, profile: Profile, prefix: &Path) -> Result<()> {
    let step = Step::start("Compiling the library");
    Products::read()?.library.install(&step, log, profile, prefix)?;
    step.done();
    Ok(())
}

/// Compiles a test of a package, and gives the program that it is.
pub(crate) fn test(package: &str, name: &str) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let step = Step::start(format!("Compiling the test {name}"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(clone()?)
        .args(["test", "--locked", "--no-run", "--message-format=json", "--package", package, "--test", name])
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cannot compile the test {name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    step.done();
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.target.as_ref().is_some_and(|target| target.name == name))
        .find_map(|message| message.executable)
        .with_context(|| format!("cargo made no test {name}"))
}

/// A path in the prefix, in a directory that is there.
fn place(prefix: &Path, to: &str) -> Result<PathBuf> {
    let path = prefix.join(to);
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    Ok(path)
}

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
    if let Some(flags) = profile.cxx_flags() {
        command.env("CXXFLAGS", flags);
    }
    step.run(&mut command, log)
}

fn target(profile: Profile) -> Result<PathBuf> {
    Ok(target_directory()?.join(profile.directory()))
}

/// Where cargo puts what it makes, as an absolute path.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => clone()?.join("target"),
    };
    Ok(std::path::absolute(target)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The crates of this workspace that a crate is compiled with, itself among them, by their directories.
    fn crates(package: &str) -> Vec<String> {
        let tree = Command::new(std::env::var_os("CARGO").expect("cargo"))
            .args("tree --offline --locked --edges normal,build --prefix none --format {p}".split(' '))
            .args(["--package", package])
            .current_dir(clone().expect("clone"))
            .output()
            .expect("cargo tree");
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let root = format!("({}/", clone().expect("clone").display());
        let text = String::from_utf8(tree.stdout).expect("text");
        text.lines()
            .filter_map(|line| Some(line.split_once(&root)?.1.split_once(')')?.0.to_owned()))
            .collect()
    }

    #[test]
    fn sources_are_there_and_have_every_crate_that_is_compiled() {
        let Products { library, command } = Products::read().expect("list");
        for product in [library, command] {
            for source in &product.sources {
                assert!(clone().expect("clone").join(source).exists(), "{source}");
            }
            let crates = crates(&product.package);
            for directory in &crates {
                assert!(product.sources.contains(directory), "{}: {directory} is missing", product.package);
            }
            for source in product.sources.iter().filter(|source| source.starts_with("rust/")) {
                assert!(crates.contains(source), "{}: {source} is not compiled", product.package);
            }
            for file in product.copied.keys().chain(product.configured.keys()) {
                assert!(product.sources.contains(file), "{}: {file} is missing", product.package);
            }
        }
    }

    #[test]
    fn what_is_installed_changes_the_key() {
        let Products { library, command } = Products::read().expect("list");
        let keys = [&library, &command].map(|it| it.key(Profile::Dev).expect("key").as_ref().to_owned());
        assert_ne!(keys[0], keys[1]);
        assert_ne!(library.key(Profile::Release).expect("key").as_ref(), keys[0]);
        let less = Product {
            sources: library.sources.iter().filter(|it| !it.ends_with(".pc.in")).cloned().collect(),
            ..library
        };
        assert_ne!(less.key(Profile::Dev).expect("key").as_ref(), keys[0]);
    }
}
