//! Whose packages the person who signs takes as they are.

use crate::error::{Error, Result};
use crate::nix_conf::NixConf;
use crate::{output, trust};
use nixcert_core::{Anchors, PublicKeys};
use std::path::{Path, PathBuf};

/// Where they are named.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct VendorArgs {
    /// A key whose signatures on a path suffice: NAME:BASE64
    #[arg(long, value_name = "KEYS")]
    vendor: Vec<String>,
    /// The policy of the hosts: the vendors in its [activation]
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The trusted-public-keys of this nix.conf, and the CAs that people are called by [default: of this machine, for vendors
    /// only where neither --vendor nor --policy names any]
    #[arg(long, value_name = "FILE")]
    nix_conf: Vec<PathBuf>,
}

/// What was found there.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) vendors: PublicKeys,
    /// CAs, for calling people by a name that somebody answers for.
    pub(crate) anchors: Anchors,
}

impl VendorArgs {
    /// Nothing but these files.
    pub(crate) fn of_nix_conf(files: &[PathBuf]) -> Self {
        Self { nix_conf: files.to_vec(), ..Self::default() }
    }

    pub(crate) fn load(&self) -> Result<Known> {
        let mut known = Known::default();
        if let Some(path) = &self.policy {
            let fault = |problem: &str| Error::new(format!("--policy: '{}' {problem}", path.display()));
            let file = trust::read_policy(path)?.map_err(|error| {
                fault(&format!("cannot be used: {error}")).help("try it with 'nixcert policy check'")
            })?;
            let activation = file.policy.activation.ok_or_else(|| {
                fault("has no [activation], so it names no vendors")
                    .help("name the policy of a host with a gate")
            })?;
            known.vendors = activation.vendors;
        }
        for entry in self.vendor.iter().flat_map(|value| value.split_ascii_whitespace()) {
            known.vendors.add(entry).map_err(|error| {
                Error::new(format!("--vendor: {error}"))
                    .help("give it whole: NAME:BASE64, 44 characters behind the colon")
            })?;
        }
        let Some(conf) = self.nix_conf()? else { return Ok(known) };
        if !self.nix_conf.is_empty() || (self.vendor.is_empty() && self.policy.is_none()) {
            for entry in &conf.public_keys {
                known
                    .vendors
                    .add(entry)
                    .map_err(|error| Error::new(format!("trusted-public-keys: {error}")))?;
            }
        }
        for entry in &conf.ca_keys {
            if let Err(error) = known.anchors.add(entry) {
                output::warn(format_args!("trusted-ca-keys: {error}"));
            }
        }
        Ok(known)
    }

    fn nix_conf(&self) -> Result<Option<NixConf>> {
        let this_machine = Path::new(trust::NIX_CONF);
        let mut conf = NixConf::default();
        if self.nix_conf.is_empty() {
            if !this_machine.exists() {
                return Ok(None);
            }
            conf.read(this_machine)?;
        }
        for path in &self.nix_conf {
            conf.read(path)?;
        }
        Ok(Some(conf))
    }
}
