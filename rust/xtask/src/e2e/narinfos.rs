//! Real narinfos, mutated, by the tested Nix and by this project's reader: `rust/cli/tests/nix_narinfos.rs`, on a host.

use anyhow::{Result, bail};

use super::{Case, Outcome};
use crate::{bed::Bed, products};

/// The cases.
pub(crate) const CASES: &[Case] =
    &[Case { name: "narinfos/mutated-are-read-as-nix-reads-them", run: mutated }];

/// The test, in the host's own directories.
const TEST: &str = "/srv/nix_narinfos";
const DATA: &str = "/srv/data";

fn mutated(bed: &Bed) -> Result<Outcome> {
    let directory = std::env::var_os("NIXCERT_DATA")
        .map_or_else(|| products::clone().map(|clone| clone.join("../shared/data")), |it| Ok(it.into()))?;
    let Ok(narinfos) = std::fs::read(directory.join("narinfo.zst")) else {
        let reason = format!("there is no narinfo.zst in {}; set NIXCERT_DATA", directory.display());
        return Ok(Outcome::Skipped(reason));
    };
    let server = &bed.server;
    let test = products::test("nixcert", "nix_narinfos")?;
    server.root(&format!("mkdir -p {DATA}"))?;
    server.write(TEST, &std::fs::read(test)?)?;
    server.write(&format!("{DATA}/narinfo.zst"), &narinfos)?;
    server.root(&format!("chmod 755 {TEST}"))?;
    let line = format!("NIXCERT_NIX=/usr/bin/nix NIXCERT_DATA={DATA} {TEST} --show-output");
    let said = server.run_as("bob", &line)?.ok()?;
    if said.contains("SKIPPED") || !said.contains("1 passed") {
        bail!("nothing was tested: {said}");
    }
    Ok(Outcome::Passed)
}
