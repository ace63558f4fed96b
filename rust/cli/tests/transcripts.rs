//! The transcripts in `tests/cli` are what the command is specified to say.
//!
//! After a change, `TRYCMD=overwrite cargo test -p nixcert --test transcripts` writes them anew; read the difference, and put
//! `[..]` where keys, serials and times stand.

use std::path::PathBuf;

#[test]
fn transcripts() {
    let tests = trycmd::TestCases::new();
    for tool in ["chmod", "cmp", "cp", "grep", "ls", "mkdir", "stat"] {
        match on_path(tool) {
            Some(path) => tests.register_bin(tool, path),
            None => tests.register_bin(tool, trycmd::schema::Bin::Ignore),
        };
    }
    tests.case("../../tests/cli/*.md");
}

fn on_path(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(tool)).find(|file| file.is_file())
}
