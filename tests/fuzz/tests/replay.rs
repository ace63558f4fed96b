//! The properties that `cargo xtask fuzz` looks for a hole in (tests/fuzz), on what the vectors have, and on some thousands of
//! mutations of it: the same at each run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use nixcert_fuzz::{TARGETS, Target};

/// How often each target is tried with something changed.
const MUTATIONS: usize = 3_000;

/// Fewer of what takes longest: a decision is made a dozen times, with all its signatures.
const DECISIONS: usize = 300;

/// The generator of Steele, Lea and Flood (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    /// As a fuzzer does it: bytes changed, lost, repeated, and put in from another input.
    fn mutate(&mut self, bytes: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..1 + self.below(3) {
            let at = self.below(bytes.len() + 1);
            let end = (at + 1 + self.below(8)).min(bytes.len());
            match self.below(6) {
                0 | 1 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                2 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                3 if at < end => drop(bytes.drain(at..end)),
                4 if at < end => {
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
                _ => {
                    let from = self.below(other.len() + 1);
                    let until = (from + 1 + self.below(64)).min(other.len());
                    bytes.splice(at..at, other[from..until.max(from)].iter().copied());
                }
            }
        }
    }
}

fn replay(target: &Target, mutations: usize) {
    let seeds = (target.seeds)();
    let accepted = seeds.iter().filter(|seed| target.check(seed)).count();
    assert!(accepted > 0, "{}: nothing is ever accepted, so this shows nothing", target.name);
    let mut random = Random(1);
    let mut still = 0;
    for _ in 0..mutations {
        let mut input = seeds[random.below(seeds.len())].clone();
        let other = &seeds[random.below(seeds.len())];
        random.mutate(&mut input, other);
        still += usize::from(target.check(&input));
    }
    println!(
        "{}: {accepted} of {} seeds accepted, {still} of {mutations} mutations",
        target.name,
        seeds.len()
    );
}

#[test]
fn what_is_read_is_what_was_written() {
    for target in TARGETS.iter().filter(|target| !["decision", "gate"].contains(&target.name)) {
        replay(target, MUTATIONS);
    }
}

#[test]
fn nothing_forged_is_accepted() {
    replay(target("decision"), DECISIONS);
}

#[test]
fn nothing_is_activated_that_nobody_vouches_for() {
    replay(target("gate"), DECISIONS);
}

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap()
}
