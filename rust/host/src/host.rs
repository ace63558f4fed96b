//! A host's trust, as its files say now.

use crate::holdings::{Holdings, ListCache, summary};
use crate::policy_file::{ActivationFile, PolicyFile};
use crate::watched::{self, Author, Stamp};
use nixcert_core::{Policy, Revocations, Trust, TrustError};
use std::path::{Path, PathBuf};

/// Longest policy file, in bytes.
const POLICY_BYTES: u64 = 4 << 20;

/// What a host trusts. Its files are looked at again whenever it is asked.
#[derive(Debug)]
pub struct Host {
    trust: Trust,
    policy_file: Option<PathBuf>,
    policy: Result<PolicyFile, String>,
    policy_stamp: Option<Stamp>,
    /// What is wrong with the settings themselves.
    broken: Option<TrustError>,
    lists: ListCache,
}

impl Host {
    /// A host with these keys and this name, whose policy is in this file. Nothing is read yet.
    pub fn new(keys: Trust, policy_file: Option<&Path>) -> Self {
        Self {
            broken: keys.broken.clone(),
            trust: keys,
            policy_file: policy_file.map(Path::to_owned),
            policy: Ok(PolicyFile::default()),
            policy_stamp: None,
            lists: ListCache::default(),
        }
    }

    /// What it trusts now. A policy that cannot be used breaks the configuration: no certificate counts, and plain keys do.
    pub fn trust(&mut self) -> &Trust {
        self.read_policy();
        let revocation_lists = match &self.policy {
            Ok(policy) => policy.revocation_lists.as_deref(),
            Err(_) => None,
        };
        self.trust.revocations = match revocation_lists {
            Some(directory) => {
                let (anchors, host) = (&self.trust.anchors, self.trust.host.as_ref());
                summary(Holdings::new(directory).read_changed(anchors, host, &mut self.lists))
            }
            None => Revocations::default(),
        };
        &self.trust
    }

    /// Where its revocation lists are.
    ///
    /// # Errors
    /// Why the policy cannot be used.
    pub fn revocation_lists(&mut self) -> Result<Option<&Path>, &str> {
        self.read_policy();
        match &self.policy {
            Ok(policy) => Ok(policy.revocation_lists.as_deref()),
            Err(problem) => Err(problem),
        }
    }

    /// How it activates systems; `None` if its policy does not say, or cannot be used.
    pub fn activation(&mut self) -> Option<&ActivationFile> {
        self.read_policy();
        self.policy.as_ref().ok().and_then(|policy| policy.activation.as_ref())
    }

    fn read_policy(&mut self) {
        let Some(path) = &self.policy_file else { return };
        if self.policy_stamp.is_some() && watched::stamp(path) == self.policy_stamp {
            return;
        }
        let (read, stamp) = match watched::read(path, POLICY_BYTES, Author::Trusted) {
            Ok((bytes, stamp)) => (understand(bytes), stamp),
            Err(problem) => (Err(problem), None),
        };
        self.policy = read.map_err(|problem| format!("'{}': {problem}", path.display()));
        let (policy, broken) = match &self.policy {
            Ok(file) => (file.policy.clone(), None),
            Err(problem) => (Policy::default(), Some(TrustError::Policy { problem: problem.clone() })),
        };
        self.trust.policy = policy;
        self.trust.broken = self.broken.clone().or(broken);
        self.policy_stamp = stamp;
    }
}

fn understand(bytes: Vec<u8>) -> Result<PolicyFile, String> {
    let text = String::from_utf8(bytes).map_err(|_| "it is not text (UTF-8)".to_owned())?;
    PolicyFile::parse(&text).map_err(|error| error.to_string())
}
