//! Builds of Nix: as it is, with a part of this project's patches, or with all of them and the library.
//!
//! Many files are compiled as one (see [`UNITY`]), and all but the builds for benchmarks are unoptimised. What the compiler made
//! before, it remembers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    cache::{Cache, Key},
    nix_source::{Nix, Source},
    products::{self, Profile},
    report::Step,
    roots::{self, NIX_SOURCE, compiling},
    supported::{Group, Patch},
};

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

/// How much of the series is applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// Nothing. Its libraries are shared, as plugins need it, but where it is beside one with patches in a benchmark.
    Stock,
    /// The hardening.
    Hardening,
    /// The hardening and the seam: all that certificates need and that knows nothing of them.
    Base,
    /// All of it, with the library.
    Full,
}

impl Extent {
    /// For names of logs, tests and entries of the cache.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Hardening => "hardening",
            Self::Base => "base",
            Self::Full => "full",
        }
    }

    /// For people: "Nix 2.34.8 …".
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Stock => "as it is",
            Self::Hardening => "with the hardening",
            Self::Base => "with the patches that need no library",
            Self::Full => "with all patches",
        }
    }

    /// Whether a patch of this group is applied.
    pub(crate) fn includes(self, group: Group) -> bool {
        match self {
            Self::Stock => false,
            Self::Hardening => group <= Group::Hardening,
            Self::Base => group <= Group::Seam,
            Self::Full => true,
        }
    }

    fn link(self, optimise: Optimise) -> &'static str {
        match self {
            Self::Stock if optimise == Optimise::No => "-D default_library=shared",
            Self::Stock | Self::Hardening | Self::Base => "-D default_library=static",
            Self::Full => {
                "-D default_library=static -D pkg_config_path=/prefix/lib/pkgconfig -D libstore:certificates=enabled"
            }
        }
    }

    fn install(self, optimise: Optimise) -> &'static str {
        match self {
            Self::Stock if optimise == Optimise::No => INSTALL_SHARED,
            Self::Stock | Self::Hardening | Self::Base | Self::Full => INSTALL,
        }
    }
}

/// How the compiler is to be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Optimise {
    /// Quick to compile.
    No,
    /// The same, with AddressSanitizer and UndefinedBehaviorSanitizer.
    NoAndSanitize,
    /// As Debian does: for benchmarks.
    Yes,
}

impl Optimise {
    /// For names of entries of the cache.
    fn suffix(self) -> &'static str {
        match self {
            Self::No => "",
            Self::NoAndSanitize => "-sanitized",
            Self::Yes => "-optimised",
        }
    }
}

/// Where the sanitizers of a build write what they find, a file for each process.
pub(crate) const FINDINGS: &str = "/var/log/sanitizers";

/// What makes the sanitizers of a build find something, as the value of [`TRIAL`]: `address` and `undefined`.
pub(crate) const TRIAL: &str = "NIXCERT_SANITIZER_TRIAL";

/// Nix with so much of the series.
pub(crate) fn build(cache: &Cache, nix: &Nix, extent: Extent, optimise: Optimise) -> Result<NixBuild> {
    let root = roots::root(cache, nix.supported.builder())?;
    let patches: Vec<Patch> =
        nix.supported.patches()?.into_iter().filter(|patch| extent.includes(patch.group)).collect();
    if extent != Extent::Full {
        let objects = compile(cache, &root, nix, extent, &patches, None, optimise)?;
        return Ok(NixBuild { linked: objects.clone(), objects });
    }
    let profile = match optimise {
        Optimise::No => Profile::Dev,
        Optimise::NoAndSanitize => Profile::Sanitize,
        Optimise::Yes => Profile::Release,
    };
    let library = products::library(cache, profile)?;
    let objects = compile(cache, &root, nix, extent, &patches, Some(&library), optimise)?;

    // The library changes more often than its interface.
    let more = match optimise {
        Optimise::No | Optimise::Yes => "",
        Optimise::NoAndSanitize => INSTALL_SANITIZED,
    };
    let key = Key::of([name(&objects), name(&library), &format!("{RELINK}{more}")]);
    let kind = format!("nix-{}{}-linked", nix.supported.release, optimise.suffix());
    let linked = cache.entry(&kind, &key, |directory| {
        let log = cache.log(&kind)?;
        let step = Step::start(format!("Linking Nix {} with the library", nix.version));
        let copy = ["cp", "-a", "--reflink=auto"];
        step.run(Command::new("env").args(copy).arg(objects.join("tree")).arg(directory.join("tree")), &log)?;
        let binds = [(directory, "/build"), (library.as_path(), "/prefix")];
        step.run(
            &mut compiling(cache, &root, &[], &binds, &format!("{RELINK}{INSTALL}{more}rm -rf /build/tree"))?,
            &log,
        )?;
        step.done();
        Ok(())
    })?;
    Ok(NixBuild { objects, linked })
}

fn compile(
    cache: &Cache,
    root: &Path,
    nix: &Nix,
    extent: Extent,
    patches: &[Patch],
    library: Option<&Path>,
    optimise: Optimise,
) -> Result<PathBuf> {
    let unity = "-D unity=subprojects -D unity_size=30";
    let mold = "LDFLAGS=-fuse-ld=mold";
    let (speed, changes, environment) = match optimise {
        Optimise::No => (format!("{unity} -D optimization=0"), String::from(UNITY), mold),
        Optimise::NoAndSanitize => (
            format!("{unity} -D optimization=0 {SANITIZE_FLAGS}"),
            format!("{UNITY}{SANITIZE}"),
            SANITIZE_ENVIRONMENT,
        ),
        Optimise::Yes => (format!("{unity} -D optimization=2"), String::from(UNITY), mold),
    };
    let flags = format!("{speed} {}", extent.link(optimise));
    let compile = COMPILE.replace("@flags@", &flags).replace("@environment@", environment);
    let script = format!("{changes}{compile}{}", extent.install(optimise));
    let mut interface = String::new();
    for file in library.iter().flat_map(|library| INTERFACE.map(|file| library.join(file))) {
        interface.push_str(&fs::read_to_string(file)?);
    }
    let (copied, source) = match &nix.source {
        Source::Debian => (NIX_SOURCE, None),
        Source::Copy(copy) => ("/source", Some(copy.as_path())),
    };
    let parts = [name(root), source.map(name).unwrap_or_default(), &script, &interface];
    let key = Key::of(parts.into_iter().chain(patches.iter().map(|patch| patch.text.as_str())));
    let kind = format!("nix-{}{}-{}", nix.supported.release, optimise.suffix(), extent.name());
    cache.entry(&kind, &key, |directory| {
        let log = cache.log(&kind)?;
        let step = Step::start(format!("Building Nix {} {}", nix.version, extent.title()));
        let patches = write_patches(directory, patches)?;
        let script = format!("cp -a {copied} /build/tree\n{patches}{script}");
        let mut binds = vec![(directory, "/build")];
        binds.extend(library.map(|library| (library, "/prefix")));
        binds.extend(source.map(|source| (source, "/source")));
        step.run(&mut compiling(cache, root, &[], &binds, &script)?, &log)?;
        step.done();
        Ok(())
    })
}

/// What is compiled against of the library.
const INTERFACE: [&str; 2] = ["include/nixcert.hh", "lib/pkgconfig/nixcert.pc"];

/// Puts patches beside the tree, and gives the script that applies them.
fn write_patches(directory: &Path, patches: &[Patch]) -> Result<String> {
    let mut script = String::from("cd /build/tree\n");
    for Patch { name, text, .. } in patches {
        fs::write(directory.join(name), text)?;
        script.push_str(&format!("git apply ../{name}\nrm ../{name}\n"));
    }
    Ok(script)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Lets Nix compile thirty files as one, which takes a fifth of the time. These lines change no behaviour: they give
/// functions and variables in different files different names, put declarations before their first use, and compile apart
/// the files that define how settings of certain types are read.
const UNITY: &str = r#"
change() { [ ! -e "$2" ] || sed -i "$1" "$2"; }
for header in src/libcmd/misc-store-flags.hh src/libcmd/include/nix/cmd/misc-store-flags.hh; do
    change '1i #pragma once' $header
done
change 's/static auto r2 = /static auto rFmt = /' src/nix/fmt.cc
change 's/makeEdge/makeGraphmlEdge/; s/makeNode/makeGraphmlNode/' src/nix/nix-store/graphml.cc
change 's/\brSettings\b/rDaemonSettings/' src/nix/unix/daemon.cc
change 's/\brSettings\b/rEnvSettings/' src/nix/nix-env/nix-env.cc
[ ! -e src/libstore/json-utils.hh ] && [ ! -e src/libutil/json-utils.hh ] || change '1i #include "json-utils.hh"' src/libstore/nar-accessor.cc
parser=src/libexpr/meson.build
if grep -q nixexpr-parser $parser; then
    grep -q "'unity=off'" $parser || sed -i "s/^  override_options : \[/&'unity=off', /" $parser
    sed -i "/^ *'lexer-helpers.cc',\$/d; s/^sources = files(/&'lexer-helpers.cc', /" $parser
else
    sed -i '1i %top{\n#define YY_BUFFER_NEW 0\n#define YY_BUFFER_NORMAL 1\n#define YY_BUFFER_EOF_PENDING 2\n}' \
        src/libexpr/lexer.l
fi
apart() {
    local build=$1/meson.build library=$2 list= file
    shift 2
    for file; do
        grep -q "^ *'$file',\$" $build || continue
        sed -i "/^ *'$file',\$/d" $build
        list+="'$file', "
    done
    perl -0pi -e "s/(?=this_library = library\(\n  '$library',\n)/apart = static_library('$library-apart', files($list),
        dependencies : deps_public + deps_private + deps_other, include_directories : include_dirs, pic : true,
        override_options : ['unity=off'])\n/;
        s/(this_library = library\(\n  '$library',\n.*?\n)(?=  [a-z_]+ :)/\$1  objects : apart.extract_all_objects(recursive : true),\n/s" $build
}
if [ -d src/libstore/include ]; then
    sed -i '1i #include "nix/util/json-utils.hh"' src/libutil/*.cc src/libstore/*.cc
    change 's/\bvalue_comparison\b/goal_value_comparison/' src/libstore/build/derivation-goal.cc
    apart src/libstore nixstore globals.cc s3-url.cc
    apart src/libexpr nixexpr diagnose.cc eval-profiler-settings.cc
fi
"#;

/// The collector that Nix's evaluator has scans memory that is not its own. The sanitizers' own library is linked as an
/// archive, so that it comes before what `LD_PRELOAD` names.
const SANITIZE_FLAGS: &str = "-D b_sanitize=address,undefined -D b_lundef=false -D libexpr:gc=disabled";
const SANITIZE_ENVIRONMENT: &str =
    "CXXFLAGS='-g1 -fno-omit-frame-pointer' LDFLAGS='-fuse-ld=mold -static-libasan -static-libubsan'";

/// The options are compiled in, because neither sshd nor su leave an environment as it was. Memory that is still held at the
/// end is no fault of a program that ends. A first finding ends the process if it is of AddressSanitizer, and all are written.
const SANITIZE: &str = r#"
cat >> src/nix/main.cc <<'END'

#include <climits>

extern "C" const char * __asan_default_options()
{
    return "detect_leaks=0:detect_stack_use_after_return=0:log_path=/var/log/sanitizers/address"
           ":suppressions=/usr/lib/nixcert/address-suppressions";
}

extern "C" const char * __ubsan_default_options()
{
    return "print_stacktrace=1:log_path=/var/log/sanitizers/undefined"
           ":suppressions=/usr/lib/nixcert/undefined-suppressions";
}

/* A sanitizer that finds nothing may not be there. */
static const bool trial = [] {
    std::string_view what = getenv("NIXCERT_SANITIZER_TRIAL") ? getenv("NIXCERT_SANITIZER_TRIAL") : "";
    volatile int number = INT_MAX - 9 + (int) what.size();
    if (what == "undefined")
        number = number + 1;
    volatile char * bytes = new char[8];
    if (what == "address")
        number = bytes[what.size() + 1];
    delete[] bytes;
    return true;
}();
END
"#;

/// As Debian configures it, without manual, tests and bindings.
const COMPILE: &str = r#"
libraries=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
export EDITLINE_CFLAGS=-DREADLINE EDITLINE_LIBS="$libraries/libhistory.so $libraries/libreadline.so"
without=
for it in doc-gen bindings unit-tests benchmarks json-schema-checks; do
    ! grep -q "'$it'" meson.options || without+=" -D $it=false"
done
@environment@ CXX="ccache g++" meson setup build --prefix=/usr --sysconfdir=/etc --localstatedir=/nix/var \
    -D buildtype=plain -D b_pch=false $without \
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

/// Whoever runs Nix may find something. What is passed over is not of the patches: AddressSanitizer does not know the stacks of
/// coroutines, and stumbles over them itself when one throws; `toView()` takes a string's stream for a class of its own that
/// has the same members; and the lexer counts on from the largest number there is.
const INSTALL_SANITIZED: &str = r#"
install -d -m 1777 /build/layer/var/log/sanitizers
install -d /build/layer/usr/lib/nixcert
cd /build/layer/usr/lib/nixcert
echo interceptor_name:sigaltstack > address-suppressions
printf '%s\n' vptr_check:basic_stringbuf signed-integer-overflow:libexpr/lexer > undefined-suppressions
"#;

/// With its libraries, headers and pkg-config files.
const INSTALL_SHARED: &str = r#"
ninja -C build
DESTDIR=/build/layer meson install -C build --no-rebuild --quiet
"#;
