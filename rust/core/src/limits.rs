//! Every limit of the format, once. Past a limit is an error, never truncation.

/// Longest name of a certificate signature, in bytes (FORMAT N1). Four certificates of [`CERTIFICATE_BYTES`] fit;
/// names of 16,000 bytes were seen to pass through stock Nix unharmed.
pub const NAME_BYTES: usize = 14_000;

/// Longest closure statement, in bytes (FORMAT S2).
pub const STATEMENT_BYTES: usize = 2_048;

/// Longest certificate, in bytes (FORMAT F1).
pub const CERTIFICATE_BYTES: usize = 2_048;

/// Most certificates in a chain: a leaf and three intermediates (FORMAT section 2).
pub const CHAIN_CERTIFICATES: usize = 4;

/// Longest label, in bytes (FORMAT section 2).
pub const LABEL_BYTES: usize = 32;

/// Most constraints, and most extensions, in a certificate (FORMAT section 3).
pub const CERTIFICATE_ENTRIES: u8 = 16;

/// Longest name of a store path, in bytes (Nix: `StorePath::MaxPathLen`).
pub const STORE_PATH_NAME_BYTES: usize = 211;

/// Longest host name, in bytes (RFC 1035 section 2.3.4, without the root's dot).
pub const HOST_NAME_BYTES: usize = 253;

/// Most signatures of one object whose Ed25519 signature is checked (FORMAT D7). What a cheaper rule refuses does not
/// count, so that junk cannot crowd out a good signature for little money: one that counts has some 400 bytes.
pub const CHECKED_SIGNATURES: usize = 65_536;

/// How many closure signatures that do not count are told of: more than anybody reads, in some 5 MB at worst.
pub const CLOSURE_SIGNATURES_TOLD: usize = 100;

/// The last second that a time can name: 9999-12-31T23:59:59Z (FORMAT C1).
pub const LAST_SECOND: u64 = 253_402_300_799;

/// Most verified chains that a [`crate::ChainCache`] remembers: some 5 MB at worst.
pub const CACHED_CHAINS: usize = 128;

/// How many signatures a [`crate::ChainCache`] remembers as good: a daemon judges a path before and after its contents arrive, and
/// a client brings some at once.
pub const CACHED_SIGNATURES: usize = 32;

/// Of what is signed, the longest that is remembered, in bytes: of nearly every path, and 128 KiB in all.
pub const CACHED_FINGERPRINT_BYTES: usize = 4_096;

/// Longest revocation list, in bytes (FORMAT L1): some five million serial numbers.
pub const LIST_BYTES: usize = 64 << 20;

/// Longest revocation list of a delegate, in bytes (FORMAT L1): some hundred thousand serial numbers. Each process that verifies
/// holds what a delegate says, and whoever has stolen the delegate's key may say much.
pub const DELEGATE_LIST_BYTES: usize = 1 << 20;

/// How far a list's issue time, or a closure signature's signing time, may be ahead of what the host knows of the time, in
/// seconds: a day (FORMAT L10, T1, G4).
pub const LIST_AHEAD: u64 = 86_400;

/// Most votes that a policy can ask for (FORMAT P6).
pub const VOTES: u8 = 16;

/// Most steps in the search for votes (FORMAT P7). Past it there are too few. What people set up needs a few dozen.
pub const VOTE_STEPS: usize = 100_000;
