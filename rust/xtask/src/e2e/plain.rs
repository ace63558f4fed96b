//! Without certificates: what stock Nix does with users' keys, and still has to do.

use anyhow::Result;

use super::{
    Case, Outcome,
    channels::{Channel, Signer, accepts, refuses},
    tools::{accepted, copy_closure, key},
};
use crate::{bed::Bed, host::Host};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "stock/unsigned-is-refused",
        run: |bed| unsigned_is_refused(bed, Channel::CopyClosure, bed.stock()?),
    },
    Case { name: "stock/unknown-key-is-refused", run: |bed| unknown_key_is_refused(bed, bed.stock()?) },
    Case {
        name: "stock/trusted-key-is-accepted",
        run: |bed| trusted_key_is_accepted(bed, Channel::CopyClosure, bed.stock()?),
    },
    Case {
        name: "stock/content-addressed-is-accepted",
        run: |bed| content_addressed_is_accepted(bed, bed.stock()?),
    },
    Case { name: "plain/unknown-key-is-refused", run: |bed| unknown_key_is_refused(bed, &bed.server) },
    Case {
        name: "plain/content-addressed-is-accepted",
        run: |bed| content_addressed_is_accepted(bed, &bed.server),
    },
    Case {
        name: "plain/copy-closure-unsigned-is-refused",
        run: |bed| unsigned_is_refused(bed, Channel::CopyClosure, &bed.server),
    },
    Case {
        name: "plain/copy-closure-trusted-key-is-accepted",
        run: |bed| trusted_key_is_accepted(bed, Channel::CopyClosure, &bed.server),
    },
    Case {
        name: "plain/ssh-ng-unsigned-is-refused",
        run: |bed| unsigned_is_refused(bed, Channel::SshNg, &bed.server),
    },
    Case {
        name: "plain/ssh-ng-trusted-key-is-accepted",
        run: |bed| trusted_key_is_accepted(bed, Channel::SshNg, &bed.server),
    },
    Case {
        name: "plain/file-cache-unsigned-is-refused",
        run: |bed| unsigned_is_refused(bed, Channel::FileCache, &bed.server),
    },
    Case {
        name: "plain/file-cache-trusted-key-is-accepted",
        run: |bed| trusted_key_is_accepted(bed, Channel::FileCache, &bed.server),
    },
    Case {
        name: "plain/http-cache-unsigned-is-refused",
        run: |bed| unsigned_is_refused(bed, Channel::HttpCache, &bed.server),
    },
    Case {
        name: "plain/http-cache-trusted-key-is-accepted",
        run: |bed| trusted_key_is_accepted(bed, Channel::HttpCache, &bed.server),
    },
];

fn unsigned_is_refused(bed: &Bed, channel: Channel, server: &Host) -> Result<Outcome> {
    let nobody = Signer { settings: String::new(), key: None };
    refuses(&bed.workstation, channel, server, &nobody, &[])?;
    Ok(Outcome::Passed)
}

fn unknown_key_is_refused(bed: &Bed, server: &Host) -> Result<Outcome> {
    key(&bed.workstation, "alice", "alice-1")?;
    let alice = Signer { settings: String::new(), key: Some("alice-1.secret".into()) };
    refuses(&bed.workstation, Channel::CopyClosure, server, &alice, &[])?;
    Ok(Outcome::Passed)
}

fn trusted_key_is_accepted(bed: &Bed, channel: Channel, server: &Host) -> Result<Outcome> {
    accepts(&bed.workstation, channel, server, &trusted(bed)?)?;
    Ok(Outcome::Passed)
}

/// Alice with her own key, which the server trusts.
pub(crate) fn trusted(bed: &Bed) -> Result<Signer> {
    let public = key(&bed.workstation, "alice", "alice-1")?;
    Ok(Signer { settings: format!("trusted-public-keys = {public}\n"), key: Some("alice-1.secret".into()) })
}

fn content_addressed_is_accepted(bed: &Bed, server: &Host) -> Result<Outcome> {
    server.configure("")?;
    let line = format!("echo for {} > it; nix-store --add-fixed sha256 it", server.name());
    let path = bed.workstation.run_as("alice", &line)?.ok()?.trim().to_owned();
    accepted(copy_closure(&bed.workstation, "alice", server, &path)?, server, &path)?;
    Ok(Outcome::Passed)
}
