//! What the plugin does not cover, and the patches do: these cases are skipped with it, and count as skipped. README.md
//! lists what this means for a host.

/// Of stock Nix, whose code does this itself.
const STOCK: &str = "here Nix does what it does without";

/// Root's own commands do not use the plugin's store.
const ROOT: &str = "it is the daemon's alone";

/// A case's name, and why.
pub(crate) const CASES: &[(&str, &str)] = &[
    ("client/repair-is-ignored", STOCK),
    ("client/repair-of-many-is-ignored", STOCK),
    ("local-store/certified-is-accepted", ROOT),
    ("verify/certified-is-accepted", ROOT),
];
