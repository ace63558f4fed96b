//! End to end: on real hosts, with real daemons, sshd and users.
//!
//! A case is a function that fails by an error. Cases come in pairs that differ in one fact: what is accepted, and
//! what is refused.

mod activation;
mod activation_attacks;
mod activation_deploy;
mod activation_host;
mod activation_paths;
mod activation_people;
mod activation_process;
mod activation_repair;
mod activation_statements;
mod activation_told;
mod activation_trouble;
mod agreement;
mod attacks;
mod beyond_the_plugin;
mod certificates;
mod channels;
mod faults;
mod faults_activation;
pub(crate) mod forge;
mod load;
mod narinfos;
pub(crate) mod pki;
mod plain;
mod plugin;
mod policy;
mod realisations;
mod recipes;
mod recipes_deploy;
mod renewal;
mod revocation;
mod sanitizers;
mod senders;
pub(crate) mod systems;
mod time;
mod tools;
mod votes;
pub(crate) mod wire;

use std::{path::Path, time::Instant};

use anyhow::Result;

use crate::{
    bed::{Bed, Extent, Seam},
    cache::Cache,
    nix_source::Nix,
    report::sentence,
    tally::Tally,
};

/// A test.
pub(crate) struct Case {
    /// Its name: the topic, a slash, and the claim.
    name: &'static str,
    run: fn(&Bed) -> Result<Outcome>,
}

/// How a case ended that did not fail.
pub(crate) enum Outcome {
    /// Everything was as claimed.
    Passed,
    /// Something that it needs is not there.
    Skipped(String),
}

/// Which cases are wanted.
#[derive(Clone, Copy)]
pub(crate) enum Selection<'a> {
    /// All.
    All,
    /// All but those of the activation gate, which does not depend on how the daemon asks for certificates.
    ImportGate,
    /// Those whose names contain this, or one of several texts with commas between them.
    Named(&'a str),
}

impl Selection<'_> {
    fn includes(self, case: &Case) -> bool {
        match self {
            Self::All => true,
            Self::ImportGate => !case.name.starts_with("activation/"),
            Self::Named(texts) => texts.split(',').any(|text| case.name.contains(text)),
        }
    }
}

/// Runs the selected cases on this Nix.
pub(crate) fn run(
    cache: &Cache,
    scratch: &Path,
    nix: &Nix,
    seam: Seam,
    selection: Selection<'_>,
    tally: &mut Tally,
) -> Result<()> {
    let chosen: Vec<&Case> = cases()
        .filter(|case| {
            selection.includes(case) && (seam == Seam::Plugin || !case.name.starts_with("plugin/"))
        })
        .collect();
    if chosen.is_empty() {
        return Ok(());
    }
    let bed = Bed::boot(cache, scratch, Extent::All, nix, seam)?;
    for case in chosen {
        let begun = Instant::now();
        let (left_out, why) = match seam {
            Seam::Patches => (&[] as &[(&str, &str)], ""),
            Seam::Sanitized => (sanitizers::CASES, "not with sanitizers"),
            Seam::Plugin => (beyond_the_plugin::CASES, "the plugin does not cover this"),
        };
        if let Some((_, reason)) = left_out.iter().find(|(name, _)| *name == case.name) {
            tally.skipped(case.name, 1, &format!("{why}: {reason}"));
            continue;
        }
        match (case.run)(&bed) {
            Ok(Outcome::Passed) => tally.passed(case.name, 1, begun.elapsed()),
            Ok(Outcome::Skipped(reason)) => tally.skipped(case.name, 1, &reason),
            Err(error) => tally.failed(case.name, &sentence(&error)),
        }
    }
    if seam == Seam::Sanitized {
        sanitizers::run(&bed, tally);
    }
    Ok(())
}

fn cases() -> impl Iterator<Item = &'static Case> {
    plugin::CASES
        .iter()
        .chain(plain::CASES)
        .chain(attacks::CASES)
        .chain(certificates::CASES)
        .chain(realisations::CASES)
        .chain(policy::CASES)
        .chain(votes::CASES)
        .chain(time::CASES)
        .chain(revocation::CASES)
        .chain(renewal::CASES)
        .chain(agreement::CASES)
        .chain(narinfos::CASES)
        .chain(faults::CASES)
        .chain(load::CASES)
        .chain(senders::CASES)
        .chain(recipes::CASES)
        .chain(activation::CASES)
        .chain(activation_attacks::CASES)
        .chain(activation_statements::CASES)
        .chain(activation_people::CASES)
        .chain(activation_paths::CASES)
        .chain(activation_host::CASES)
        .chain(activation_process::CASES)
        .chain(activation_deploy::CASES)
        .chain(recipes_deploy::CASES)
        .chain(activation_repair::CASES)
        .chain(activation_trouble::CASES)
        .chain(activation_told::CASES)
        .chain(faults_activation::CASES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_cases_have_one_name_and_none_is_missing() {
        let mut names: Vec<&str> = cases().map(|case| case.name).collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next));
        for (name, _) in beyond_the_plugin::CASES.iter().chain(sanitizers::CASES) {
            assert!(names.contains(name), "{name}");
        }
    }
}
