//! Real narinfos, mutated by the hundred: what is read here, Nix reads, too, and `nix store verify` comes to the same of it, or
//! is laxer where FORMAT C3 says so. A real Nix is asked: `$NIXCERT_NIX`, or `nix` on the path, or the test says that it was
//! skipped. The test bed runs it on a host (`narinfos/…`). `NIXCERT_NARINFO_SEED` says which mutations.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use nixcert_core::{ChainCache, NarInfo, Object, Outcome, Reason, Times, Trust, base64_encode, judge};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

const MALFORMED: &str = "malformed-signature";

const KEY: &str = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";

/// How often all narinfos are mutated.
const ROUNDS: usize = 4;

/// The generator of Steele, Lea and Flood (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }

    /// What somebody may have done to a narinfo.
    fn mutate(&mut self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = self.below(lines.len());
        match self.below(16) {
            0 => lines.insert(at, lines[at].clone()),
            1 => lines.insert(at, String::new()),
            2 => lines[at].push('\r'),
            3 => return text.trim_end().to_owned(),
            4 => {
                let line = find(&lines, "References: ");
                let mut references: Vec<String> = lines[line]
                    .split(' ')
                    .skip(1)
                    .filter(|base| !base.is_empty())
                    .map(str::to_owned)
                    .collect();
                references.reverse();
                references.extend(references.first().cloned());
                lines[line] = format!("References: {}", references.join("  "));
            }
            5 => {
                let line = find(&lines, "NarHash: ");
                let bytes = sha256(&lines[line]);
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                let base64 = base64_encode(&bytes);
                lines[line] = match self.below(7) {
                    0 => format!("NarHash: sha256:{hex}"),
                    1 => format!("NarHash: sha256:{}", hex.to_uppercase()),
                    2 => format!("NarHash: sha256-{base64}"),
                    3 => format!("NarHash: sha256:{base64}"),
                    4 => format!("NarHash: {hex}"),
                    5 => format!("NarHash: sha256-{hex}"),
                    _ => format!("NarHash: sha256:{}", base64.trim_end_matches('=')),
                };
            }
            6 => _ = lines.remove(at),
            7 => lines[at] = lines[at].replacen(": ", self.pick(&[":", ":  ", " : ", ":\t", ": \n"]), 1),
            8 => lines[at].push(' '),
            9 => lines[at] = lines[at].to_lowercase(),
            10 => lines.reverse(),
            11 => {
                let line = find(&lines, "NarSize: ");
                let value = lines[line].replace("NarSize: ", "");
                let value = match self.below(6) {
                    0 => format!("0{value}"),
                    1 => format!("+{value}"),
                    2 => format!("{value}.0"),
                    3 => format!(" {value}"),
                    4 => format!("-{value}"),
                    _ => "99999999999999999999".to_owned(),
                };
                lines[line] = format!("NarSize: {value}");
            }
            12 => {
                let line = self.pick(&[
                    "Sig: x",
                    "Sig: ",
                    "CA: ",
                    "CA: x",
                    "Future: field",
                    "References: ",
                    "References:",
                    "FileSize: x",
                    "FileHash: x",
                    "FileHash: sha1:vw46m23bizj4n8afrc0fj19wrp7mj3c0",
                    "Deriver: x",
                    "Deriver: unknown-deriver",
                    "URL: ",
                    "no colon",
                ]);
                lines.insert(at, line.to_owned());
            }
            13 => {
                let line = find(&lines, "Sig: ");
                let end = lines[line].len() - 2;
                lines[line] = match self.below(4) {
                    0 => format!("{}=", lines[line]),
                    1 => lines[line][..end].to_owned(),
                    2 => lines[line].replacen("Sig: c", "Sig: C", 1),
                    _ => format!("Sig: x:y\n{}", lines[line]),
                };
            }
            _ => {
                let at = self.below(text.len());
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = u8::try_from(self.below(128)).unwrap();
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        lines.join("\n") + "\n"
    }
}

fn find(lines: &[String], name: &str) -> usize {
    lines.iter().position(|line| line.starts_with(name)).unwrap()
}

/// The bytes of a hash in Nix's base-32 (libutil/hash.cc, `parseHash32`).
fn sha256(line: &str) -> [u8; 32] {
    let mut bytes = [0_u8; 33];
    for (n, digit) in line.rsplit(':').next().unwrap().bytes().rev().enumerate() {
        let value = b"0123456789abcdfghijklmnpqrsvwxyz".iter().position(|known| *known == digit).unwrap();
        let bits = u16::try_from(value).unwrap() << (n * 5 % 8);
        bytes[n * 5 / 8] |= bits.to_le_bytes()[0];
        bytes[n * 5 / 8 + 1] |= bits.to_le_bytes()[1];
    }
    bytes[..32].try_into().unwrap()
}

/// What is said here of a narinfo that can be read.
struct Ours {
    path: String,
    /// The reason against it.
    reason: Option<&'static str>,
    /// Whether one of its signatures has a payload that is not 64 bytes in base64.
    has_malformed: bool,
}

fn ours(text: &str) -> Option<Ours> {
    let NarInfo { info, signatures, content_address } = NarInfo::parse(text).ok()?;
    // Another store directory is another store; and what claims to be content-addressed needs no signature.
    if info.path.directory() != "/nix/store" || content_address.is_some() {
        return None;
    }
    let mut trust = Trust::default();
    trust.public_keys.add(KEY).unwrap();
    let object = Object::path(info.fingerprint().as_bytes()).unwrap();
    let times = Times::new_object(1_800_000_000);
    let verdict = judge(&object, &signatures, &trust, times, &mut ChainCache::default());
    let is_malformed =
        |outcome: &Outcome| matches!(outcome, Outcome::Refused(reason) if reason.code() == MALFORMED);
    Some(Ours {
        path: info.path.to_string(),
        reason: verdict.reason().map(Reason::code),
        has_malformed: verdict.signatures.iter().any(is_malformed),
    })
}

#[test]
fn nix_reads_the_same() {
    let (Some(nix), Some(narinfos)) = (nix(), narinfos()) else { return };
    let seed = std::env::var("NIXCERT_NARINFO_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = Random(seed);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let lax = reads_malformed_signatures(&nix, &narinfos[0]);
    for _ in 0..ROUNDS {
        let scratch = tempfile::tempdir().unwrap();
        let mut read = BTreeMap::new();
        for text in &narinfos {
            let mutated = random.mutate(text);
            let Some(ours) = ours(&mutated) else {
                *seen.entry("refused to read").or_default() += 1;
                continue;
            };
            if ours.has_malformed && !lax {
                *seen.entry("not read by this Nix").or_default() += 1;
                continue;
            }
            // Where a mutation gives two narinfos one path, the last is there.
            read.insert(ours.path, (ours.reason, mutated));
        }
        let texts = read.iter().map(|(path, (_, text))| (path.as_str(), text.as_str()));
        let untrusted = untrusted(&nix, scratch.path(), texts)
            .unwrap_or_else(|said| panic!("Nix cannot read what we can: {said}"));
        for (path, (reason, text)) in &read {
            let refused = untrusted.contains(path);
            // FORMAT C3: "Nix is laxer there."
            let agree = refused == reason.is_some() || (!refused && *reason == Some(MALFORMED));
            assert!(agree, "{path}: we say {reason:?}, and Nix refuses it: {refused}\n{text}");
            *seen.entry(reason.unwrap_or("accepted")).or_default() += 1;
        }
    }
    println!("{seen:?}");
    for what in ["refused to read", "accepted", "bad-signature", "no-signatures"] {
        assert!(seen.get(what).is_some_and(|times| *times > 20), "{what}: {seen:?}");
    }
}

/// Nix 2.34 and later refuses a narinfo for a signature that is none, instead of the signature; and Nix without the patches for
/// one that has not 64 bytes.
fn reads_malformed_signatures(nix: &Path, narinfo: &str) -> bool {
    let scratch = tempfile::tempdir().unwrap();
    let text = format!("{narinfo}Sig: x\nSig: {}:AAAA\n", KEY.split(':').next().unwrap());
    let path = ours(&text).unwrap().path;
    untrusted(nix, scratch.path(), [(path.as_str(), text.as_str())].into_iter()).is_ok()
}

/// The paths of these narinfos that `nix store verify` calls untrusted. It reads all of them, or none.
fn untrusted<'a>(
    nix: &Path,
    scratch: &Path,
    narinfos: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<BTreeSet<String>, String> {
    let cache = scratch.join("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(cache.join("nix-cache-info"), "StoreDir: /nix/store\n").unwrap();
    let write = |(path, text): (&'a str, &str)| {
        std::fs::write(cache.join(format!("{}.narinfo", &path[11..43])), text).unwrap();
        path
    };
    let output = Command::new(nix)
        .args(["--extra-experimental-features", "nix-command", "store", "verify", "--no-contents"])
        .args(["--sigs-needed", "1", "--trusted-public-keys", KEY, "--store"])
        .arg(format!("file://{}", cache.display()))
        .args(narinfos.map(write))
        // Nothing of this machine, and nothing left on it.
        .env("HOME", scratch)
        .env("XDG_CACHE_HOME", scratch.join("xdg"))
        .env("NIX_CONF_DIR", scratch)
        .env("NIX_STATE_DIR", scratch.join("state"))
        .env("NIX_LOG_DIR", scratch.join("log"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    // 2: some are untrusted.
    if !matches!(output.status.code(), Some(0 | 2)) {
        return Err(format!("{}\n{text}", output.status));
    }
    let path = |line: &str| Some(line.strip_prefix("path '")?.strip_suffix("' is untrusted")?.to_owned());
    Ok(text.lines().filter_map(path).collect())
}

fn nix() -> Option<PathBuf> {
    let nix = std::env::var_os("NIXCERT_NIX").map_or_else(|| PathBuf::from("nix"), PathBuf::from);
    if Command::new(&nix).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(nix);
    }
    println!("SKIPPED: there is no Nix to compare with; set NIXCERT_NIX to one");
    None
}

fn narinfos() -> Option<Vec<String>> {
    let directory = std::env::var_os("NIXCERT_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    let Ok(compressed) = std::fs::read(directory.join("narinfo.zst")) else {
        println!("SKIPPED: there is no narinfo.zst in {}; set NIXCERT_DATA", directory.display());
        return None;
    };
    let text = String::from_utf8(zstd::decode_all(compressed.as_slice()).unwrap()).unwrap();
    let parts = text.split("\n\n").map(|part| part.trim_matches('\n')).filter(|part| !part.is_empty());
    Some(parts.map(|part| format!("{part}\n")).collect())
}
