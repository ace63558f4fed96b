//! Whom a command trusts: keys from the command line and from nix.conf.

use crate::error::{Error, Result};
use crate::nix_conf::{DEFAULT_PUBLIC_KEY, NixConf};
use crate::output;
use nixcert_core::{HostName, Trust, TrustError};
use std::path::{Path, PathBuf};

#[derive(clap::Args, Default)]
pub(crate) struct TrustArgs {
    /// A CA whose certificates count: NAME:BASE64, as 'nixcert ca init' prints it
    #[arg(long, value_name = "KEYS")]
    pub(crate) trusted_ca_keys: Vec<String>,
    /// A key whose signatures count as they are: NAME:BASE64
    #[arg(long, value_name = "KEYS")]
    trusted_public_keys: Vec<String>,
    /// Read trusted-ca-keys, trusted-public-keys, their extra- twins, and ca-host-name, as Nix does. Where none of the
    /// files sets trusted-public-keys, Nix's default (cache.nixos.org-1) counts
    #[arg(long, value_name = "FILE")]
    nix_conf: Vec<PathBuf>,
    /// The name of the host, as its ca-host-name
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

/// Where a machine's own trust is configured.
const NIX_CONF: &str = "/etc/nix/nix.conf";

impl TrustArgs {
    /// What was named, or, where nothing was, what this machine trusts.
    pub(crate) fn load_or_this_machine(&self) -> Result<Trust> {
        let named = [&self.trusted_ca_keys, &self.trusted_public_keys].iter().any(|keys| !keys.is_empty());
        if named || !self.nix_conf.is_empty() || !Path::new(NIX_CONF).exists() {
            return self.load();
        }
        output::note(format_args!("judged by this machine's {NIX_CONF}"));
        let mut trust = Trust::default();
        Self { nix_conf: vec![PathBuf::from(NIX_CONF)], ..Self::default() }.read_nix_conf(&mut trust)?;
        self.set_host(&mut trust)?;
        Ok(trust)
    }

    /// All that was named. A mistake on the command line is an error; one in nix.conf is what it is on the host: certificates
    /// do not count, and plain keys do.
    pub(crate) fn load(&self) -> Result<Trust> {
        let mut trust = Trust::default();
        for (flag, values) in [
            ("--trusted-ca-keys", &self.trusted_ca_keys),
            ("--trusted-public-keys", &self.trusted_public_keys),
        ] {
            for entry in values.iter().flat_map(|value| value.split_ascii_whitespace()) {
                let added = match flag {
                    "--trusted-ca-keys" => trust.anchors.add(entry),
                    _ => trust.public_keys.add(entry),
                };
                added.map_err(|error| {
                    Error::new(format!("{flag}: {error}"))
                        .help("give it whole: NAME:BASE64, 44 characters behind the colon")
                })?;
            }
        }
        if !self.nix_conf.is_empty() {
            self.read_nix_conf(&mut trust)?;
        }
        self.set_host(&mut trust)?;
        Ok(trust)
    }

    fn set_host(&self, trust: &mut Trust) -> Result<()> {
        if let Some(name) = &self.host {
            let host = HostName::parse(name).map_err(|error| Error::new(format!("--host: {error}")))?;
            trust.host = Some(host);
        }
        Ok(())
    }

    fn read_nix_conf(&self, trust: &mut Trust) -> Result<()> {
        let mut conf = NixConf::default();
        for path in &self.nix_conf {
            conf.read(path)?;
        }
        let files: Vec<String> = self.nix_conf.iter().map(|path| path.display().to_string()).collect();
        let files = files.join(", ");
        if conf.default_public_key {
            let (name, _) = DEFAULT_PUBLIC_KEY.split_once(':').unwrap_or((DEFAULT_PUBLIC_KEY, ""));
            output::note(format_args!(
                "{files} does not set trusted-public-keys, so Nix's default is trusted: {name}"
            ));
        }
        for entry in &conf.public_keys {
            trust.public_keys.add(entry).map_err(|error| {
                Error::new(format!("{files}: trusted-public-keys: {error}"))
                    .help("Nix refuses to work with such a file too: correct it")
            })?;
        }
        let mut broken: Option<TrustError> = None;
        for entry in &conf.ca_keys {
            if let Err(error) = trust.anchors.add(entry) {
                broken.get_or_insert(error);
            }
        }
        match conf.host.as_deref().map(HostName::parse) {
            Some(Ok(host)) => trust.host = Some(host),
            Some(Err(error)) => {
                broken.get_or_insert(error);
            }
            None => {}
        }
        if let Some(error) = broken {
            output::warn(format_args!(
                "{files}: {error}; on this host no certificate counts until that is corrected"
            ));
            trust.broken = Some(error);
        }
        Ok(())
    }
}

/// Trust in somebody: without any, nothing can be judged.
pub(crate) fn require(trust: Trust) -> Result<Trust> {
    if trust.anchors.is_empty() && trust.public_keys.is_empty() && trust.broken.is_none() {
        return Err(Error::new("there is no trusted key, so nothing could be accepted")
            .help("name --trusted-ca-keys, --trusted-public-keys or --nix-conf"));
    }
    Ok(trust)
}
