//! Benchmarks: each beside its rival, in one run, as ratios.

mod closure;
mod engine;

use std::path::Path;

use anyhow::Result;

use crate::cache::Cache;

/// `nixcert check-closure` beside `nix store verify`, on a real host.
pub(crate) fn closure(cache: &Cache, scratch: &Path) -> Result<()> {
    closure::run(cache, scratch)
}

/// The engine alone, beside libsodium and the like; needs no host.
pub(crate) fn engine() -> Result<()> {
    engine::run()
}
