//! What the plugin does not cover, and the patches do: these cases are skipped with it, and count as skipped.

/// A case's name, and why.
pub(crate) const CASES: &[(&str, &str)] = &[];
