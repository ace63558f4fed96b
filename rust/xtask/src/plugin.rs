//! The plugin for a Nix without patches, built against that Nix.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    cache::{Cache, Key},
    nix_build::NixBuild,
    nix_source::Nix,
    products::{self, Profile},
    report::Step,
    roots::{self, compiling},
};

/// The line of nix.conf that loads it.
pub(crate) const SETTING: &str = "plugin-files = /usr/lib/nixcert/libnixcert-plugin.so\n";

/// What tells the daemon to use its store.
pub(crate) const ENVIRONMENT: &str = "NIX_REMOTE=nixcert-plugin://";

/// Where its source is, below the clone's root.
const SOURCE: &str = "cpp-shim/plugin";

/// The plugin for this build, as a tree to be laid over the root that the build was made in.
pub(crate) fn layer(cache: &Cache, nix: &Nix, stock: &NixBuild) -> Result<PathBuf> {
    let library = products::library(cache, Profile::Dev)?;
    let root = roots::root(cache, nix.supported.builder())?;
    let source = products::clone()?.join(SOURCE);
    let script = SCRIPT.replace("@series@", &nix.supported.series);
    let stock = stock.layer();
    let name = |path: &Path| path.to_string_lossy().into_owned();
    let key = Key::of([
        Key::of_files(&source, &["."])?.as_ref(),
        name(&stock).as_bytes(),
        name(&library).as_bytes(),
        script.as_bytes(),
    ]);
    let kind = format!("plugin-{}", nix.supported.release);
    let entry = cache.entry(&kind, &key, |directory| {
        let step = Step::start(format!("Building the plugin for Nix {}", nix.version));
        let binds = [(directory, "/build"), (library.as_path(), "/prefix"), (source.as_path(), "/source")];
        step.run(&mut compiling(cache, &root, &[&stock], &binds, &script)?, &cache.log(&kind)?)?;
        step.done();
        Ok(())
    })?;
    Ok(entry.join("layer"))
}

const SCRIPT: &str = r#"
meson setup /build/objects /source --prefix=/usr -D buildtype=plain -D optimization=0 -D series=@series@ \
    -D pkg_config_path=/prefix/lib/pkgconfig
ninja -C /build/objects
DESTDIR=/build/layer meson install -C /build/objects --no-rebuild --quiet
rm -r /build/objects
"#;
