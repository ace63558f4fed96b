//! Other stock Nixes as senders: nothing that signs or copies needs a patch.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    channels::{Channel, Signer, accepts, deliver, refuses},
    pki::{EVERYTHING, certify, root_ca},
    tools::accepted,
};
use crate::{bed::Bed, host::Host, roots::Release};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "sender/2.34-certified-by-copy-closure-is-accepted",
        run: |bed| certified(bed, Release::Testing, Channel::CopyClosure),
    },
    Case {
        name: "sender/2.34-unsigned-by-copy-closure-is-refused",
        run: |bed| unsigned(bed, Release::Testing, Channel::CopyClosure),
    },
    Case {
        name: "sender/2.34-certified-by-ssh-ng-is-accepted",
        run: |bed| certified(bed, Release::Testing, Channel::SshNg),
    },
    Case {
        name: "sender/2.34-unsigned-by-ssh-ng-is-refused",
        run: |bed| unsigned(bed, Release::Testing, Channel::SshNg),
    },
    Case {
        name: "sender/2.34-certified-by-http-cache-is-accepted",
        run: |bed| certified(bed, Release::Testing, Channel::HttpCache),
    },
    Case {
        name: "sender/2.34-unsigned-by-http-cache-is-refused",
        run: |bed| unsigned(bed, Release::Testing, Channel::HttpCache),
    },
    Case {
        name: "sender/2.8-certified-by-copy-closure-is-accepted",
        run: |bed| certified(bed, Release::Bookworm, Channel::CopyClosure),
    },
    Case {
        name: "sender/2.8-unsigned-by-copy-closure-is-refused",
        run: |bed| unsigned(bed, Release::Bookworm, Channel::CopyClosure),
    },
    Case {
        name: "sender/2.8-certified-by-ssh-ng-is-accepted",
        run: |bed| certified(bed, Release::Bookworm, Channel::SshNg),
    },
    Case {
        name: "sender/2.8-unsigned-by-ssh-ng-is-refused",
        run: |bed| unsigned(bed, Release::Bookworm, Channel::SshNg),
    },
    Case {
        name: "sender/2.8-certified-by-file-cache-is-accepted",
        run: |bed| certified(bed, Release::Bookworm, Channel::FileCache),
    },
    Case {
        name: "sender/2.8-unsigned-by-file-cache-is-refused",
        run: |bed| unsigned(bed, Release::Bookworm, Channel::FileCache),
    },
    Case { name: "sender/2.34-can-use-what-it-pulls", run: pulls },
];

fn certified(bed: &Bed, release: Release, channel: Channel) -> Result<Outcome> {
    let host = match bed.sender(release)? {
        Ok(host) => host,
        Err(reason) => return Ok(Outcome::Skipped(reason.to_owned())),
    };
    accepts(host, channel, &bed.server, &alice(bed, host)?)?;
    Ok(Outcome::Passed)
}

fn unsigned(bed: &Bed, release: Release, channel: Channel) -> Result<Outcome> {
    let host = match bed.sender(release)? {
        Ok(host) => host,
        Err(reason) => return Ok(Outcome::Skipped(reason.to_owned())),
    };
    refuses(host, channel, &bed.server, &Signer { key: None, ..alice(bed, host)? }, &[])?;
    Ok(Outcome::Passed)
}

/// Alice, with her certified key on this host.
fn alice(bed: &Bed, host: &Host) -> Result<Signer> {
    let settings = format!("trusted-ca-keys = {}\n", root_ca(&bed.workstation, "acme-1")?);
    let file = certify(&bed.workstation, "alice", "alice-1", "acme-1", EVERYTHING)?;
    host.write("/tmp/alice.key", &bed.workstation.read(&format!("/home/alice/{file}"))?)?;
    host.root("chmod 644 /tmp/alice.key")?;
    // Nix 2.8 lets only trusted users sign; on her own laptop, Alice may be one.
    host.configure("trusted-users = root alice\n")?;
    Ok(Signer { settings, key: Some("/tmp/alice.key".into()) })
}

/// Names of a thousand characters do no harm in the database of another Nix.
fn pulls(bed: &Bed) -> Result<Outcome> {
    let host = match bed.sender(Release::Testing)? {
        Ok(host) => host,
        Err(reason) => return Ok(Outcome::Skipped(reason.to_owned())),
    };
    let from = &bed.workstation;
    let settings = format!("trusted-ca-keys = {}\n", root_ca(from, "acme-1")?);
    let signer = Signer { settings, key: Some(certify(from, "alice", "alice-1", "acme-1", EVERYTHING)?) };
    let (path, output) = deliver(from, Channel::CopyClosure, &bed.server, "hello-1", &signer)?;
    accepted(output, &bed.server, &path)?;
    host.root(&format!(
        "nix copy --no-check-sigs --from 'ssh-ng://alice@server?ssh-key=/home/alice/.ssh/id_ed25519' {path} >&2"
    ))?;
    let line = format!("cat {path} && nix store verify --no-trust {path} && nix path-info --json {path}");
    let text = host.run_as("bob", &line)?.ok()?;
    if !text.contains(".nixcert1.") {
        bail!("the signature did not come along:\n{text}");
    }
    Ok(Outcome::Passed)
}
