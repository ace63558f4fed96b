//! Attacks on the activation gate, each beside its honest twin; and its decision made twice on random worlds, by the gate and by
//! a re-statement of FORMAT section 13 that is slow, simple, and shares nothing with it ([`rules`]).
//!
//! `NIXCERT_MODEL_CASES` sets how many worlds, `NIXCERT_MODEL_SEED` which.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod attacks;
mod random;
mod rules;
mod world;

use random::Random;
use rules::expected;
use std::collections::BTreeMap;

/// The gate and the page agree.
#[test]
fn the_gate_decides_as_the_page_says() {
    let number =
        |name, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let (seed, cases) = (number("NIXCERT_MODEL_SEED", 1_u64), number("NIXCERT_MODEL_CASES", 3_000_u64));
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for case in 0..cases {
        let world = Random(seed.wrapping_mul(0x1_0001).wrapping_add(case << 32)).world();
        let (wanted, answer) = (expected(&world), world.ask().unwrap());
        let wrong =
            |what: &str| panic!("case {case}: {what}\nwanted {wanted:?}\ngot {answer:?}\nin {world:#?}");
        if answer.in_force != wanted.in_force {
            wrong("closure signatures");
        }
        for (basis, wanted) in answer.bases.iter().zip(&wanted.bases) {
            let agrees = match basis {
                Some(basis) => wanted.contains(basis),
                None => wanted.is_empty(),
            };
            if !agrees {
                wrong("a basis");
            }
            *seen.entry(format!("{basis:?}")).or_default() += 1;
        }
        let code = match wanted.refusal {
            Some("a closure signature's") => {
                assert!(answer.codes.iter().any(|code| *code == answer.code()), "case {case}");
                "a closure signature's"
            }
            wanted => {
                if answer.code() != wanted {
                    wrong("the answer");
                }
                wanted.unwrap_or("accepted")
            }
        };
        *seen.entry(code.to_owned()).or_default() += 1;
    }
    // Where everything is refused at once, nothing was compared.
    let rarest = seen.values().min().copied().unwrap_or_default();
    assert!(cases < 3_000 || seen.len() == 12 && rarest > 50, "{seen:?}");
}
