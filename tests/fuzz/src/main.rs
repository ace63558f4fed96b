//! libFuzzer on the target that `$NIXCERT_FUZZ_TARGET` names (`list` lists them). Into `$NIXCERT_FUZZ_SEEDS`, a directory, it
//! first writes what the vectors have for it.

#![no_main]

use nixcert_fuzz::{TARGETS, Target};
use std::path::Path;
use std::sync::LazyLock;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("NIXCERT_FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).expect("NIXCERT_FUZZ_TARGET names a target")
});

libfuzzer_sys::fuzz_target!(
    init: {
        if std::env::var("NIXCERT_FUZZ_TARGET").is_ok_and(|name| name == "list") {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            std::process::exit(0);
        }
        if let Some(directory) = std::env::var_os("NIXCERT_FUZZ_SEEDS") {
            for (number, seed) in (TARGET.seeds)().iter().enumerate() {
                std::fs::write(Path::new(&directory).join(format!("seed-{number}")), seed).expect("the directory is writable");
            }
        }
    },
    |data: &[u8]| { TARGET.check(data); }
);
