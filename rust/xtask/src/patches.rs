//! The patch series: which there are, which of them fits a source tree, and whether it works there.

use std::path::Path;

use anyhow::Result;

use crate::{
    bed::Seam,
    cache::Cache,
    e2e::{self, Selection},
    nix_source::{Nix, Tree},
    report::{bad, good, strong},
    supported,
    tally::Tally,
    upstream,
};

/// Prints the list.
pub(crate) fn list() -> Result<()> {
    println!("{}", strong("series      release  tried with    builds in        plugin"));
    for it in supported::all()? {
        let plugin = if it.plugin { "yes" } else { "no" };
        println!("{:<11} {:<8} {:<13} {:<16} {plugin}", it.series, it.release, it.tried, it.builder().name());
    }
    Ok(())
}

/// Prints which series fit the source tree in this directory, and gives the Nix in it; none if none fits.
pub(crate) fn fit(cache: &Cache, scratch: &Path, directory: &Path) -> Result<Option<Nix>> {
    let tree = Tree::read(cache, scratch, directory)?;
    println!("Nix {} in {}:", tree.version, directory.display());
    for fit in &tree.fits {
        match &fit.misfit {
            None => println!("  {} {}", good("fits        "), fit.supported),
            Some(patch) => println!("  {} {}: not {patch}", bad("does not fit"), fit.supported),
        }
    }
    let nix = tree.nix();
    match &nix {
        Some(nix) => println!("{} is the series for it.", nix.supported.series),
        None => println!(
            "No series of patches fits this Nix. Use one that is supported (above), or port a series: see patches/README.md."
        ),
    }
    Ok(nix)
}

/// Everything that tests a Nix: upstream's tests about signatures, the end-to-end cases, and the plugin.
pub(crate) fn test(cache: &Cache, scratch: &Path, nix: &Nix, tally: &mut Tally) -> Result<()> {
    upstream::run(cache, scratch, nix, tally)?;
    e2e::run(cache, scratch, nix, Seam::Patches, Selection::All, tally)?;
    if nix.supported.plugin {
        e2e::run(cache, scratch, nix, Seam::Plugin, Selection::ImportGate, tally)?;
    } else {
        tally.skipped("plugin", 1, &format!("there is none for Nix {} yet", nix.supported.release));
    }
    Ok(())
}
