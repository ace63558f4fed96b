//! Nix 2.26.3, as Debian 13 ships its source, with this project's patches.
//!
//! Two builds: *base* has the hardening and the seam, and knows nothing of certificates; *full* is made from its tree
//! with the rest of the series and the library. Both are unoptimised, and compile many files as one: see [`UNITY`].

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    cache::{Cache, Key},
    products::{self, Profile},
    report::Step,
    roots::{Access, NIX_SOURCE, inside},
};

/// Where the series is, below the clone's root.
const SERIES: &str = "patches/nix-2.26";

/// A build of Nix, in the cache.
pub(crate) struct NixBuild {
    directory: PathBuf,
}

impl NixBuild {
    /// What to lay over the root that it was built in, to have this Nix there.
    pub(crate) fn layer(&self) -> PathBuf {
        self.directory.join("layer")
    }

    /// The source, with `build` in it.
    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }
}

/// How the compiler is to be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Optimise {
    /// Quick to compile.
    No,
    /// As Debian does: for benchmarks.
    #[expect(dead_code, reason = "the benchmarks are not written yet")]
    Yes,
}

/// The patches, in order.
struct Series {
    /// Those that need no library: hardening and the seam.
    base: Vec<Patch>,
    /// From the one on that introduces the build option.
    full: Vec<Patch>,
}

struct Patch {
    name: String,
    text: String,
}

/// Nix with the hardening and the seam.
pub(crate) fn base(cache: &Cache, root: &Path, optimise: Optimise) -> Result<NixBuild> {
    build_base(cache, root, &Series::read()?, optimise)
}

/// Nix with the whole series and the library; none if the series does not go so far.
pub(crate) fn full(cache: &Cache, root: &Path, optimise: Optimise) -> Result<Option<NixBuild>> {
    let series = Series::read()?;
    let Some(option) = series.option() else { return Ok(None) };
    let profile = match optimise {
        Optimise::No => Profile::Dev,
        Optimise::Yes => Profile::Release,
    };
    let library = products::library(cache, profile)?;
    let base = build_base(cache, root, &series, optimise)?;
    let script = FULL.replace("@option@", &option);
    let parts = [name(&base.directory), name(&library), &script];
    let key = Key::of(parts.into_iter().chain(series.full.iter().map(|patch| patch.text.as_str())));
    let directory = cache.entry("nix-full", &key, |directory| {
        let log = cache.log("nix-full")?;
        let step = Step::start("Building Nix with the library");
        let copy = ["cp", "-a", "--reflink=auto"];
        step.run(
            std::process::Command::new("env").args(copy).arg(base.tree()).arg(directory.join("tree")),
            &log,
        )?;
        let patches = write_patches(directory, &series.full)?;
        let binds = [(directory, "/build"), (library.as_path(), "/prefix")];
        step.run(&mut inside(root, Access::Read, &binds, &format!("{patches}{script}{INSTALL}")), &log)?;
        step.done();
        Ok(())
    })?;
    Ok(Some(NixBuild { directory }))
}

/// The functional tests that the patches add or change, as meson names them: of the base, and of the rest.
pub(crate) fn changed_tests() -> Result<[Vec<String>; 2]> {
    let series = Series::read()?;
    Ok([&series.base, &series.full].map(|patches| {
        let files = patches.iter().flat_map(|patch| patch.text.lines());
        let names =
            files.filter_map(|line| line.strip_prefix("+++ b/tests/functional/")?.strip_suffix(".sh"));
        names
            .filter(|name| !name.starts_with("common"))
            .map(|name| name.rsplit('/').next().unwrap_or(name).to_owned())
            .collect()
    }))
}

fn build_base(cache: &Cache, root: &Path, series: &Series, optimise: Optimise) -> Result<NixBuild> {
    let (flags, unity) = match optimise {
        Optimise::No => ("-D buildtype=plain -D unity=subprojects -D unity_size=30 -D cpp_args=-O0", UNITY),
        Optimise::Yes => ("-D buildtype=plain -D cpp_args=-O2", ""),
    };
    let script = format!("{unity}{}{INSTALL}", BASE.replace("@flags@", flags));
    let parts = [name(root), &script];
    let key = Key::of(parts.into_iter().chain(series.base.iter().map(|patch| patch.text.as_str())));
    let directory = cache.entry("nix-base", &key, |directory| {
        let log = cache.log("nix-base")?;
        let step = Step::start("Building Nix");
        let patches = write_patches(directory, &series.base)?;
        let source = format!("cp -a {NIX_SOURCE} /build/tree\n");
        let script = format!("{source}{patches}{script}");
        step.run(&mut inside(root, Access::Read, &[(directory, "/build")], &script), &log)?;
        step.done();
        Ok(())
    })?;
    Ok(NixBuild { directory })
}

impl Series {
    fn read() -> Result<Self> {
        let directory = products::clone()?.join(SERIES);
        let list = fs::read_to_string(directory.join("series")).unwrap_or_default();
        let mut base = Vec::new();
        let mut full = Vec::new();
        for line in list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let path = directory.join(line);
            let text = fs::read_to_string(&path)
                .with_context(|| format!("{SERIES}/series names {line}, which cannot be read"))?;
            let patch = Patch { name: line.to_owned(), text };
            if full.is_empty() && patch.option().is_none() { base.push(patch) } else { full.push(patch) }
        }
        Ok(Self { base, full })
    }

    fn option(&self) -> Option<String> {
        self.full.first().and_then(Patch::option)
    }
}

impl Patch {
    /// The build option that it adds to libstore.
    fn option(&self) -> Option<String> {
        let (_, added) = self.text.split_once("\n+++ b/src/libstore/meson.options\n")?;
        let line = added
            .lines()
            .take_while(|line| !line.starts_with("diff "))
            .find_map(|line| line.strip_prefix("+option('"))?;
        line.split('\'').next().map(str::to_owned)
    }
}

/// Puts patches beside the tree, and gives the script that applies them.
fn write_patches(directory: &Path, patches: &[Patch]) -> Result<String> {
    let mut script = String::from("cd /build/tree\n");
    for patch in patches {
        if !patch.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            bail!("the name of a patch has an unexpected character: {}", patch.name);
        }
        fs::write(directory.join(&patch.name), &patch.text)?;
        script.push_str(&format!("git apply ../{0}\nrm ../{0}\n", patch.name));
    }
    Ok(script)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Lets Nix compile thirty files as one, which takes a third of the time. These lines change no behaviour: they give
/// two functions and a variable names of their own, and put declarations before their first use.
const UNITY: &str = r#"
sed -i '1i #pragma once' src/libcmd/misc-store-flags.hh
sed -i 's/static auto r2 = /static auto rFmt = /' src/nix/fmt.cc
sed -i 's/makeEdge/makeGraphmlEdge/; s/makeNode/makeGraphmlNode/' src/nix/nix-store/graphml.cc
sed -i '1i #include "json-utils.hh"' src/libstore/nar-accessor.cc
sed -i '1i %top{\n#define YY_BUFFER_NEW 0\n#define YY_BUFFER_NORMAL 1\n#define YY_BUFFER_EOF_PENDING 2\n}' \
    src/libexpr/lexer.l
"#;

/// As Debian configures it, without manual, tests and bindings.
const BASE: &str = r#"
libraries=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
export EDITLINE_CFLAGS=-DREADLINE EDITLINE_LIBS="$libraries/libhistory.so $libraries/libreadline.so"
LDFLAGS=-fuse-ld=mold meson setup build --prefix=/usr --sysconfdir=/etc --localstatedir=/nix/var \
    -D default_library=static -D doc-gen=false -D bindings=false -D unit-tests=false \
    -D libcmd:readline-flavor=readline -D libexpr:gc=enabled -D libstore:sandbox-shell=/usr/bin/bash-static \
    -D nix:profile-dir=/etc/profile.d @flags@
ninja -C build src/nix/nix
"#;

/// From the tree of the base build.
const FULL: &str = r#"
libraries=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
export EDITLINE_CFLAGS=-DREADLINE EDITLINE_LIBS="$libraries/libhistory.so $libraries/libreadline.so"
meson configure build -D pkg_config_path=/prefix/lib/pkgconfig -D libstore:@option@=enabled
ninja -C build src/nix/nix
"#;

/// All of Nix's commands are links to this one.
const INSTALL: &str = r#"
rm -rf /build/layer
mkdir -p /build/layer/usr/bin
cp build/src/nix/nix /build/layer/usr/bin/nix
"#;
