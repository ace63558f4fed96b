//! What the Nix store on this machine says: its database, and the contents of its paths.
//!
//! [`Store`] reads Nix's database as any user may, without asking the daemon: a [`Closure`] is one snapshot of it, however much
//! is added or deleted meanwhile. [`write_nar`] and [`nar_hash`] read what is on disk, and [`recompute`] whether that is what a
//! content address says. Nothing here writes, decides whom to trust, or believes what a path, a signature or a claim says.
//!
//! It brings SQLite along, so only the command uses it, never the library that Nix's daemon links.

mod archive;
mod content_address;
mod database;

pub use archive::{ArchiveError, DEPTH, NarHash, nar_hash, write_nar};
pub use content_address::{ContentAddressError, recompute};
pub use database::{CLOSURE_PATHS, Closure, Entry, SCHEMA, Store, StoreError};
