//! Whom a command trusts, and within which limits: keys, policy and revocation lists, from the command line and from nix.conf.

use crate::error::{Error, Result};
use crate::input;
use crate::nix_conf::{DEFAULT_PUBLIC_KEY, NixConf};
use crate::output;
use nixcert_core::{HostName, Policy, Revocations, Trust, TrustError};
use nixcert_host::{ActivationFile, Holdings, Host, PolicyFile, PolicyFileError};
use std::path::{Path, PathBuf};

/// Keys, and the name of the host.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct KeyArgs {
    /// A CA whose certificates count: NAME:BASE64, as 'nixcert ca init' prints it
    #[arg(long, value_name = "KEYS")]
    trusted_ca_keys: Vec<String>,
    /// A key whose signatures count as they are: NAME:BASE64
    #[arg(long, value_name = "KEYS")]
    trusted_public_keys: Vec<String>,
    /// Read trusted-ca-keys, trusted-public-keys, their extra- twins, ca-host-name, and ca-policy-file, as Nix does. Where
    /// none of the files sets trusted-public-keys, Nix's default (cache.nixos.org-1) counts
    #[arg(long, value_name = "FILE")]
    nix_conf: Vec<PathBuf>,
    /// The name of the host, as its ca-host-name
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

/// All that a host's verdict depends on, but for the time.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct TrustArgs {
    #[command(flatten)]
    keys: KeyArgs,
    /// Judge by this policy, instead of by the file that nix.conf names as its ca-policy-file. Who owns it is not asked
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The revocation lists that are held are in this directory, instead of in the one that the policy names
    #[arg(long, value_name = "DIR")]
    revocation_lists: Option<PathBuf>,
}

/// What was loaded.
pub(crate) struct Loaded {
    pub(crate) trust: Trust,
    /// The directory of the revocation lists that are held, if there are to be any.
    pub(crate) lists: Option<PathBuf>,
}

/// Where a machine's own trust is configured.
pub(crate) const NIX_CONF: &str = "/etc/nix/nix.conf";

/// Longest policy file, in bytes, as on a host.
const POLICY_BYTES: u64 = 4 << 20;

impl KeyArgs {
    pub(crate) fn is_empty(&self) -> bool {
        self.trusted_ca_keys.is_empty() && self.trusted_public_keys.is_empty() && self.nix_conf.is_empty()
    }

    /// What was named, and the file that nix.conf names as the policy. A mistake on the command line is an error; one in
    /// nix.conf is what it is on the host: certificates do not count, and plain keys do.
    pub(crate) fn load(&self) -> Result<(Trust, Option<PathBuf>)> {
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
        let policy_file = match self.nix_conf.is_empty() {
            true => None,
            false => self.read_nix_conf(&mut trust)?,
        };
        if let Some(name) = &self.host {
            let host = HostName::parse(name).map_err(|error| Error::new(format!("--host: {error}")))?;
            trust.host = Some(host);
        }
        Ok((trust, policy_file))
    }

    fn read_nix_conf(&self, trust: &mut Trust) -> Result<Option<PathBuf>> {
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
        read_keys(&conf, &files, trust)?;
        if let Some(error) = &trust.broken {
            warn_of_broken(&format!("{files}: {error}"));
        }
        Ok(conf.policy_file.map(PathBuf::from))
    }
}

/// Keys and name, as nix.conf has them.
fn read_keys(conf: &NixConf, files: &str, trust: &mut Trust) -> Result<()> {
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
        trust.broken = Some(error);
    }
    Ok(())
}

/// A host's own trust, and how it activates systems.
pub(crate) struct Activating {
    pub(crate) trust: Trust,
    /// `None` if its policy does not say, or cannot be used.
    pub(crate) activation: Option<ActivationFile>,
    pub(crate) policy_file: Option<PathBuf>,
}

impl Activating {
    /// As its nix.conf says, and the policy that this names. What is wrong there is part of the trust: the gate refuses.
    pub(crate) fn on_host(nix_conf: &Path) -> Result<Self> {
        let mut conf = NixConf::default();
        conf.read(nix_conf)?;
        let mut keys = Trust::default();
        read_keys(&conf, &nix_conf.display().to_string(), &mut keys)?;
        let policy_file = conf.policy_file.map(PathBuf::from);
        let mut host = host(keys, policy_file.as_deref());
        let trust = host.trust().clone();
        Ok(Self { trust, activation: host.activation().cloned(), policy_file })
    }
}

impl TrustArgs {
    /// What was named, or, where no key was, what this machine trusts.
    pub(crate) fn load_or_this_machine(&self) -> Result<Loaded> {
        if !self.keys.is_empty() || !Path::new(NIX_CONF).exists() {
            return self.load();
        }
        output::note(format_args!("judged by this machine's {NIX_CONF}"));
        let mut this_machine = self.clone();
        this_machine.keys.nix_conf = vec![PathBuf::from(NIX_CONF)];
        this_machine.load()
    }

    /// All that was named, and where the revocation lists are.
    pub(crate) fn load(&self) -> Result<Loaded> {
        let (keys, policy_file) = self.keys.load()?;
        let mut loaded = match (&self.policy, policy_file) {
            (Some(path), _) => under_policy(keys, path)?,
            (None, policy_file) => as_on_host(keys, policy_file),
        };
        if let Some(directory) = &self.revocation_lists {
            std::fs::read_dir(directory).map_err(|error| {
                let problem = nixcert_files::said(&error);
                Error::new(format!(
                    "--revocation-lists: cannot look into '{}': {problem}",
                    directory.display()
                ))
                .help("name a directory like the one of a host: nixcert revocation install writes such")
            })?;
            loaded.lists = Some(directory.clone());
        }
        if loaded.trust.broken.is_none() && (self.policy.is_some() || self.revocation_lists.is_some()) {
            let Trust { anchors, host, .. } = &loaded.trust;
            // A policy that is tried out is often another host's, and so are its lists: see `require`.
            let here = loaded.lists.as_ref().filter(|directory| directory.exists());
            let held = |directory: &PathBuf| Holdings::new(directory).revocations(anchors, host.as_ref());
            loaded.trust.revocations = here.map_or_else(Revocations::default, held);
        }
        Ok(loaded)
    }
}

/// As the daemon of a host reads it: what is wrong costs certificates, and never plain keys.
fn as_on_host(keys: Trust, policy_file: Option<PathBuf>) -> Loaded {
    let known = keys.broken.clone();
    let mut host = host(keys, policy_file.as_deref());
    let trust = host.trust().clone();
    if let (None, Some(error)) = (known, &trust.broken) {
        warn_of_broken(&error.to_string());
    }
    let lists = host.revocation_lists().ok().flatten().map(Path::to_owned);
    Loaded { trust, lists }
}

fn host(mut keys: Trust, policy_file: Option<&Path>) -> Host {
    if let Some(path) = policy_file.filter(|path| !path.is_absolute()) {
        let problem = format!("'{}' (ca-policy-file) is not an absolute path", path.display());
        keys.broken.get_or_insert(TrustError::Policy { problem });
    }
    Host::new(keys, policy_file)
}

/// A policy that was named: perhaps for another host, perhaps in a sandbox. A mistake in it is what it would be on a host.
fn under_policy(mut trust: Trust, path: &Path) -> Result<Loaded> {
    match read_policy(path)? {
        Ok(file) => {
            trust.policy = file.policy;
            Ok(Loaded { trust, lists: file.revocation_lists })
        }
        Err(error) => {
            let error = TrustError::Policy { problem: format!("'{}': {error}", path.display()) };
            warn_of_broken(&error.to_string());
            trust.policy = Policy::default();
            trust.broken.get_or_insert(error);
            Ok(Loaded { trust, lists: None })
        }
    }
}

/// A policy that was named; '-' is standard input. What is wrong in it, if it can be read, is inside.
pub(crate) fn read_policy(path: &Path) -> Result<std::result::Result<PolicyFile, PolicyFileError>> {
    Ok(policy_text(path)?.and_then(|text| PolicyFile::parse(&text)))
}

/// The text of a policy.
pub(crate) fn policy_text(path: &Path) -> Result<std::result::Result<String, PolicyFileError>> {
    let not_text = |_| PolicyFileError { line: None, problem: "it is not text (UTF-8)".to_owned() };
    Ok(String::from_utf8(input::bytes(path, POLICY_BYTES)?).map_err(not_text))
}

fn warn_of_broken(problem: &str) {
    output::warn(format_args!("{problem}; on this host no certificate counts until that is corrected"));
}

/// Trust in somebody, before anything is judged: without any, nothing can be. Lists that are not here are missed.
pub(crate) fn require(loaded: &Loaded) -> Result<()> {
    let Loaded { trust, lists } = loaded;
    if trust.anchors.is_empty() && trust.public_keys.is_empty() && trust.broken.is_none() {
        return Err(Error::new("there is no trusted key, so nothing could be accepted")
            .help("name --trusted-ca-keys, --trusted-public-keys or --nix-conf"));
    }
    // On the host itself that is unknown, and refused; see `load`.
    let is_passed_over = trust.anchors.iter().all(|(_, key)| trust.revocations.problem(key).is_none());
    if let Some(directory) = lists.as_ref().filter(|directory| is_passed_over && !directory.exists()) {
        output::note(format_args!(
            "there is no directory '{}' here, where the policy says that revocation lists are, so none is known; \
             --revocation-lists names another",
            directory.display()
        ));
    }
    Ok(())
}
