//! Nix 2.26.3, as Debian 13 ships its source, with this project's patches.
//!
//! Two builds: *base* has the hardening and the seam, and knows nothing of certificates; *full* has the whole series
//! and the library. Both are unoptimised, and compile many files as one: see [`UNITY`].

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
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
    objects: PathBuf,
    linked: PathBuf,
}

impl NixBuild {
    /// What to lay over the root that it was built in, to have this Nix there.
    pub(crate) fn layer(&self) -> PathBuf {
        self.linked.join("layer")
    }

    /// The source, with `build` in it.
    pub(crate) fn tree(&self) -> PathBuf {
        self.objects.join("tree")
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
    let objects = compile(cache, root, "nix-base", &Series::read()?.base, "", None, optimise)?;
    Ok(NixBuild { linked: objects.clone(), objects })
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
    let flags = format!("-D pkg_config_path=/prefix/lib/pkgconfig -D libstore:{option}=enabled");
    let patches: Vec<Patch> = series.base.into_iter().chain(series.full).collect();
    let objects = compile(cache, root, "nix-full", &patches, &flags, Some(&library), optimise)?;

    // The library changes more often than what is compiled against its header.
    let key = Key::of([name(&objects), name(&library), RELINK]);
    let linked = cache.entry("nix-linked", &key, |directory| {
        let log = cache.log("nix-linked")?;
        let step = Step::start("Linking Nix with the library");
        let copy = ["cp", "-a", "--reflink=auto"];
        step.run(Command::new("env").args(copy).arg(objects.join("tree")).arg(directory.join("tree")), &log)?;
        let binds = [(directory, "/build"), (library.as_path(), "/prefix")];
        step.run(
            &mut inside(root, Access::Read, &binds, &format!("{RELINK}{INSTALL}rm -rf /build/tree")),
            &log,
        )?;
        step.done();
        Ok(())
    })?;
    Ok(Some(NixBuild { objects, linked }))
}

fn compile(
    cache: &Cache,
    root: &Path,
    kind: &str,
    patches: &[Patch],
    flags: &str,
    library: Option<&Path>,
    optimise: Optimise,
) -> Result<PathBuf> {
    let (speed, unity) = match optimise {
        Optimise::No => ("-D buildtype=plain -D unity=subprojects -D unity_size=30 -D cpp_args=-O0", UNITY),
        Optimise::Yes => ("-D buildtype=plain -D cpp_args=-O2", ""),
    };
    let script = format!("{unity}{}{INSTALL}", COMPILE.replace("@flags@", &format!("{speed} {flags}")));
    let header = match library {
        Some(library) => fs::read_to_string(library.join("include/nixcert.hh"))?,
        None => String::new(),
    };
    let parts = [name(root), &script, &header];
    let key = Key::of(parts.into_iter().chain(patches.iter().map(|patch| patch.text.as_str())));
    cache.entry(kind, &key, |directory| {
        let log = cache.log(kind)?;
        let step = Step::start(match library {
            Some(_) => "Building Nix with all patches",
            None => "Building Nix with the patches that need no library",
        });
        let patches = write_patches(directory, patches)?;
        let script = format!("cp -a {NIX_SOURCE} /build/tree\n{patches}{script}");
        let mut binds = vec![(directory, "/build")];
        binds.extend(library.map(|library| (library, "/prefix")));
        step.run(&mut inside(root, Access::Read, &binds, &script), &log)?;
        step.done();
        Ok(())
    })
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
const COMPILE: &str = r#"
libraries=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
export EDITLINE_CFLAGS=-DREADLINE EDITLINE_LIBS="$libraries/libhistory.so $libraries/libreadline.so"
LDFLAGS=-fuse-ld=mold meson setup build --prefix=/usr --sysconfdir=/etc --localstatedir=/nix/var \
    -D default_library=static -D doc-gen=false -D bindings=false -D unit-tests=false \
    -D libcmd:readline-flavor=readline -D libexpr:gc=enabled -D libstore:sandbox-shell=/usr/bin/bash-static \
    -D nix:profile-dir=/etc/profile.d @flags@
ninja -C build src/nix/nix
"#;

/// The same objects, with another library.
const RELINK: &str = r#"
cd /build/tree
rm build/src/nix/nix
ninja -C build src/nix/nix
"#;

/// All of Nix's commands are links to this one.
const INSTALL: &str = r#"
rm -rf /build/layer
mkdir -p /build/layer/usr/bin
cp build/src/nix/nix /build/layer/usr/bin/nix
"#;
