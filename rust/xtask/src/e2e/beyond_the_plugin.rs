//! What the plugin does not cover, and the patches do: these cases are skipped with it, and count as skipped. README.md
//! lists what this means for a host.

/// Of stock Nix, whose code does this itself.
const STOCK: &str = "here Nix does what it does without";

/// `nix store verify` does not ask the store, but the keys.
const VERIFY: &str = "`nix store verify` knows plain keys only";

/// What a substituter said once is remembered.
const REMEMBERED: &str = "stock Nix does not ask a substituter again";

/// Building registers realisations by the same call, without a word on whose they are.
const REALISATION: &str = "stock Nix checks no realisation that a client registers";

/// Root's own commands do not use the plugin's store.
const ROOT: &str = "it is the daemon's alone";

/// A case's name, and why.
pub(crate) const CASES: &[(&str, &str)] = &[
    ("client/repair-is-ignored", STOCK),
    ("client/repair-of-many-is-ignored", STOCK),
    ("local-store/certified-is-accepted", ROOT),
    ("local-store/of-another-ca-is-refused", ROOT),
    ("verify/certified-is-accepted", VERIFY),
    ("threshold/two-by-store-verify-are-accepted", VERIFY),
    ("threshold/one-by-store-verify-is-refused", VERIFY),
    ("list/that-users-cannot-read-does-not-verify", VERIFY),
    ("valid-path/retired-is-still-good", VERIFY),
    ("valid-path/compromised-before-it-came-is-bad", VERIFY),
    ("valid-path/compromised-after-it-came-is-good", VERIFY),
    ("valid-path/compromised-after-it-came-is-bad-if-the-clock-may-be-behind", VERIFY),
    ("activation/guarded-profile-system-that-nobody-vouches-for-is-refused", "stock Nix asks no guard"),
    ("remembered/signed-later-is-accepted", REMEMBERED),
    ("renewal/rewrapped-in-an-http-cache-is-accepted", REMEMBERED),
    ("realisation/by-nix-copy-certified-is-accepted", REALISATION),
    ("realisation/by-nix-copy-unsigned-is-refused", REALISATION),
    ("realisation/certified-is-accepted", REALISATION),
    ("realisation/unsigned-is-refused", REALISATION),
    ("realisation/of-another-derivation-is-refused", REALISATION),
    ("realisation/signed-in-the-other-form-is-refused", REALISATION),
    ("realisation/of-a-derivation-of-another-name-is-refused", REALISATION),
    ("realisation/missing-usage-is-refused", REALISATION),
    ("policy/realisation-is-accepted", REALISATION),
    ("policy/realisation-without-the-usage-is-refused", REALISATION),
    ("widening/usage-of-the-intermediate-is-accepted", REALISATION),
    ("widening/usage-is-refused", REALISATION),
    ("threshold/two-for-a-realisation-are-accepted", REALISATION),
    ("threshold/one-for-a-realisation-is-refused", REALISATION),
    ("activation/recipe-nixos-rebuild-of-what-nobody-vouches-for-is-refused", "stock Nix asks no guard"),
];
