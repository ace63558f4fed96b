//! What the sanitizers found while the cases ran on a Nix that they watch.

use std::time::Instant;

use anyhow::{Result, bail};

use super::tools::says;
use crate::{
    bed::Bed,
    host::Host,
    nix_build::{FINDINGS, TRIAL},
    report::sentence,
    tally::Tally,
};

/// A case that is skipped, and why.
pub(crate) const CASES: &[(&str, &str)] =
    &[("junk/good-behind-ten-thousand-is-accepted", MEMORY), ("junk/ten-thousand-alone-are-refused", MEMORY)];

/// AddressSanitizer holds what was freed.
const MEMORY: &str = "the memory that a process holds is not Nix's own";

/// What is written of coroutines, and is no finding.
const COROUTINES: &str = "ASan is ignoring requested __asan_handle_no_return\\|False positive error reports may follow\\|\
                          For details see https://github.com/google/sanitizers/issues/189";

/// A test of its own for each host that has such a Nix.
pub(crate) fn run(bed: &Bed, tally: &mut Tally) {
    for (name, host) in [("sanitizers/server", Ok(&bed.server)), ("sanitizers/laptop", bed.laptop())] {
        let begun = Instant::now();
        match host.and_then(|host| found_nothing(host).and_then(|()| find_something(host))) {
            Ok(()) => tally.passed(name, 1, begun.elapsed()),
            Err(error) => tally.failed(name, &sentence(&error)),
        }
    }
}

fn found_nothing(host: &Host) -> Result<()> {
    let findings = host.root(&format!(
        "cd {FINDINGS}; for it in *; do test ! -e $it || grep -v '{COROUTINES}' $it || true; done"
    ))?;
    if !findings.is_empty() {
        bail!("on {}, the sanitizers found this:\n{findings}", host.name());
    }
    Ok(())
}

/// They would have found it: users' processes can write what they find, too.
fn find_something(host: &Host) -> Result<()> {
    for (fault, finding) in [("address", "heap-buffer-overflow"), ("undefined", "signed integer overflow")] {
        let said = host.run_as("bob", &format!("{TRIAL}={fault} nix --version"))?;
        let findings = host.root(&format!("cat {FINDINGS}/* || true; rm -f {FINDINGS}/*"))?;
        says(&findings, &[finding]).map_err(|error| error.context(said.text))?;
    }
    Ok(())
}
