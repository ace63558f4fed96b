//! The policies in the README are policies.

#![allow(clippy::unwrap_used, reason = "a test")]

use nixcert_host::PolicyFile;
use std::path::Path;

#[test]
fn the_examples_are_understood() {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let examples: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 5, "one for each job");
    for example in examples {
        PolicyFile::parse(example).map_err(|error| format!("{error}\n{example}")).unwrap();
    }
}
