//! What is special about the plugin: it comes after the settings were read, and must be the one for this Nix.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    channels::{Channel, Signer, accepts, refuses},
    pki::{EVERYTHING, certify, root_ca},
};
use crate::bed::Bed;

/// The cases, which are run with the plugin only.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "plugin/last-value-of-a-setting-counts",
        run: |bed| settings(bed, "trusted-ca-keys = OTHER\ntrusted-ca-keys = ACME\n", true),
    },
    Case {
        name: "plugin/first-value-of-a-setting-does-not",
        run: |bed| settings(bed, "trusted-ca-keys = ACME\ntrusted-ca-keys = OTHER\n", false),
    },
    Case {
        name: "plugin/extra-setting-after-the-setting-is-added",
        run: |bed| settings(bed, "trusted-ca-keys = OTHER\nextra-trusted-ca-keys = ACME\n", true),
    },
    Case {
        name: "plugin/extra-setting-before-the-setting-is-replaced",
        run: |bed| settings(bed, "extra-trusted-ca-keys = ACME\ntrusted-ca-keys = OTHER\n", false),
    },
    Case {
        name: "plugin/empty-setting-trusts-nobody",
        run: |bed| settings(bed, "trusted-ca-keys = ACME\ntrusted-ca-keys =\n", false),
    },
    Case { name: "plugin/of-this-nix-is-loaded", run: |bed| another_nix(bed, false) },
    Case { name: "plugin/of-another-nix-says-so", run: |bed| another_nix(bed, true) },
    Case { name: "plugin/of-another-nix-bothers-nobody-else", run: bothers_nobody },
    Case { name: "plugin/not-loaded-says-what-is-missing", run: not_loaded },
];

fn settings(bed: &Bed, settings: &str, accepted: bool) -> Result<Outcome> {
    let host = &bed.workstation;
    let settings =
        settings.replace("ACME", &root_ca(host, "acme-1")?).replace("OTHER", &root_ca(host, "other-1")?);
    let key = Some(certify(host, "alice", "alice-1", "acme-1", EVERYTHING)?);
    let signer = Signer { settings, key };
    if accepted {
        accepts(host, Channel::CopyClosure, &bed.server, &signer)?;
    } else {
        refuses(host, Channel::CopyClosure, &bed.server, &signer, &[])?;
    }
    Ok(Outcome::Passed)
}

/// Copies of the plugin, one of which says that it was built for a Nix that there will never be.
fn copies(bed: &Bed) -> Result<()> {
    bed.server
        .root(
            "version=$(nix --version | sed 's/.* //'); other=$(echo \"$version\" | sed 's/[0-9]/9/g')
             for it in same other; do mkdir -p /srv/$it; cp /usr/lib/nixcert/* /srv/$it/; done
             sed -i \"s/$version/$other/g\" /srv/other/libnixcert-plugin.so
             ! cmp -s /srv/same/libnixcert-plugin.so /srv/other/libnixcert-plugin.so",
        )
        .map(drop)
}

fn another_nix(bed: &Bed, other: bool) -> Result<Outcome> {
    copies(bed)?;
    let file = if other { "/srv/other" } else { "/srv/same" };
    let line = format!(
        "NIX_REMOTE=nixcert-plugin:// nix --option plugin-files {file}/libnixcert-plugin.so store info"
    );
    let output = bed.server.run_as("root", &line)?;
    if output.success == other
        || output.text.contains("plugin for Nix 9.99.9 is not used, because this is Nix ") != other
    {
        bail!("{}\n{}", output.command, output.text);
    }
    Ok(Outcome::Passed)
}

/// Who does not ask for the plugin's store hears nothing of a plugin that does not fit.
fn bothers_nobody(bed: &Bed) -> Result<Outcome> {
    copies(bed)?;
    let line = "nix --option plugin-files /srv/other/libnixcert-plugin.so store info --store daemon";
    let output = bed.server.run_as("bob", line)?;
    if !output.success || output.text.contains("nixcert") {
        bail!("{}\n{}", output.command, output.text);
    }
    Ok(Outcome::Passed)
}

fn not_loaded(bed: &Bed) -> Result<Outcome> {
    let line = "NIX_REMOTE=nixcert-plugin:// nix --option plugin-files '' store info";
    let output = bed.server.run_as("root", line)?;
    if output.success
        || !output.text.contains("don't know how to open Nix store")
        || !output.text.contains("nixcert-plugin")
    {
        bail!("{}\n{}", output.command, output.text);
    }
    Ok(Outcome::Passed)
}
