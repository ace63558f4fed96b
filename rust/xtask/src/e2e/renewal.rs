//! Renewal without signing again: a later certificate of the same key on the signatures that there are, which a host that
//! remembers the old ones finds at once.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    channels::{Channel, Signer, deliver},
    pki::{EVERYTHING, certify, root_ca},
    tools::{accepted, build, copy_closure, key, refused, says, sign},
};
use crate::{bed::Bed, host::Host, network::address};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "renewal/rewrapped-in-an-http-cache-is-accepted",
        run: |bed| in_a_cache(bed, Channel::HttpCache, Rewrap::Yes),
    },
    Case {
        name: "renewal/not-rewrapped-in-an-http-cache-is-refused",
        run: |bed| in_a_cache(bed, Channel::HttpCache, Rewrap::No),
    },
    Case {
        name: "renewal/rewrapped-in-a-file-cache-is-accepted",
        run: |bed| in_a_cache(bed, Channel::FileCache, Rewrap::Yes),
    },
    Case {
        name: "renewal/not-rewrapped-in-a-file-cache-is-refused",
        run: |bed| in_a_cache(bed, Channel::FileCache, Rewrap::No),
    },
    Case { name: "renewal/rewrapped-in-a-store-is-accepted", run: |bed| in_a_store(bed, Rewrap::Yes) },
    Case { name: "renewal/not-rewrapped-in-a-store-is-refused", run: |bed| in_a_store(bed, Rewrap::No) },
    Case { name: "renewal/of-another-key-is-no-use", run: |bed| in_a_store(bed, Rewrap::OfAnotherKey) },
    Case { name: "remembered/signed-later-is-accepted", run: |bed| signed_later(bed, &bed.server, true) },
    Case { name: "stock/signed-later-is-refused", run: |bed| signed_later(bed, bed.stock()?, false) },
];

/// What is done with the renewed certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rewrap {
    Yes,
    No,
    OfAnotherKey,
}

/// A CA of the case's own, and Alice, whose certificate has expired.
fn expired(bed: &Bed) -> Result<(String, Signer)> {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let ca = format!("renewing-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let settings = format!("trusted-ca-keys = {}\n", root_ca(&bed.workstation, &ca)?);
    let options = format!("{EVERYTHING} --allow-expired --not-before=-3d --valid 2d");
    let key = certify(&bed.workstation, "alice", "alice-1", &ca, &options)?;
    Ok((ca, Signer { settings, key: Some(key) }))
}

/// Has the CA renew Alice's certificate, and puts it on the signatures that are there.
fn renew(bed: &Bed, ca: &str, rewrap: Rewrap, place: &str) -> Result<()> {
    let host = &bed.workstation;
    let certificate = format!("/tmp/{ca}.certificate");
    match rewrap {
        Rewrap::Yes | Rewrap::No => host.root(&format!(
            "cd /root; nixcert issue --ca {ca} --renew --label alice --valid 30d --yes -o {certificate} >&2"
        ))?,
        Rewrap::OfAnotherKey => {
            let file = certify(host, "alice", "alice-3", ca, &format!("{EVERYTHING} --replace-key"))?;
            host.root(&format!("cut -d: -f1 /home/alice/{file} > {certificate}"))?
        }
    };
    match rewrap {
        Rewrap::No => {}
        Rewrap::Yes => {
            // As anybody could who may write there: no secret key is at hand.
            host.root(&format!("chmod 644 {certificate}; mv /home/alice/alice-1.secret /root"))?;
            let output = host.run_as("alice", &format!("nixcert rewrap {certificate} {place}"));
            host.root("mv /root/alice-1.secret /home/alice")?;
            output?.ok()?;
        }
        Rewrap::OfAnotherKey => {
            host.root(&format!("chmod 644 {certificate}"))?;
            let output = host.run_as("alice", &format!("nixcert rewrap {certificate} {place}"))?;
            if output.success {
                bail!("a certificate of another key was put on signatures: {}", output.text);
            }
        }
    }
    Ok(())
}

/// The server has asked the cache before, and remembers what it said.
fn in_a_cache(bed: &Bed, channel: Channel, rewrap: Rewrap) -> Result<Outcome> {
    let (host, server) = (&bed.workstation, &bed.server);
    let (ca, alice) = expired(bed)?;
    let (path, output) = deliver(host, channel, server, "hello-1", &alice)?;
    channel.is_refusal(&output, server, &path)?;
    says(&output.text, &["[expired]"])?;
    if channel == Channel::HttpCache {
        is_remembered(server, &path)?;
    }

    renew(bed, &ca, rewrap, "--cache /srv/cache")?;
    if channel == Channel::FileCache {
        server.write("/srv/cache.tar", &host.root_bytes("tar -C /srv -c cache")?)?;
        server.root("tar -C /srv -xf /srv/cache.tar")?;
    }
    let output = server.run_as("alice", &format!("nix-store --realise {path}"))?;
    match rewrap {
        Rewrap::Yes => accepted(output, server, &path)?,
        Rewrap::No | Rewrap::OfAnotherKey => {
            channel.is_refusal(&output, server, &path)?;
            says(&output.text, &["[expired]"])?;
        }
    }
    Ok(Outcome::Passed)
}

/// The daemon's memory of caches has this path.
fn is_remembered(host: &Host, path: &str) -> Result<()> {
    let hash = path.trim_start_matches("/nix/store/").split('-').next().unwrap_or_default();
    host.root(&format!("cat /root/.cache/nix/binary-cache-v*.sqlite* | grep --text -q {hash}")).map(drop)
}

fn in_a_store(bed: &Bed, rewrap: Rewrap) -> Result<Outcome> {
    let (host, server) = (&bed.workstation, &bed.server);
    let (ca, alice) = expired(bed)?;
    let (path, output) = deliver(host, Channel::CopyClosure, server, "hello-1", &alice)?;
    refused(&output, server, &path)?;
    says(&output.text, &["[expired]"])?;

    renew(bed, &ca, rewrap, &format!("--path {path}"))?;
    let output = copy_closure(host, "alice", server, &path)?;
    match rewrap {
        Rewrap::Yes => accepted(output, server, &path)?,
        Rewrap::No | Rewrap::OfAnotherKey => {
            refused(&output, server, &path)?;
            says(&output.text, &["[expired]"])?;
        }
    }
    Ok(Outcome::Passed)
}

/// A path is signed, by a plain key, when a host has already heard of it without that signature.
fn signed_later(bed: &Bed, server: &Host, good: bool) -> Result<Outcome> {
    let host = &bed.workstation;
    let public = key(host, "alice", "alice-1")?;
    let cache = format!("http://{}:8080", address(host.number()));
    server.configure(&format!("trusted-public-keys = {public}\nsubstituters = {cache}\n"))?;
    host.root("mkdir -p -m 1777 /srv/cache; test -e /run/httpd || busybox httpd -p 8080 -h /srv/cache; touch /run/httpd")?;
    let path = build(host, "alice", "hello-1")?;
    host.run_as("alice", &format!("nix copy --to file:///srv/cache {path}"))?.ok()?;
    let realise = format!("nix-store --realise {path}");
    let output = server.run_as("alice", &realise)?;
    Channel::HttpCache.is_refusal(&output, server, &path)?;
    is_remembered(server, &path)?;

    sign(host, "alice", "alice-1.secret --store file:///srv/cache", &path)?;
    let output = server.run_as("alice", &realise)?;
    if good {
        accepted(output, server, &path)?;
    } else {
        Channel::HttpCache.is_refusal(&output, server, &path)?;
    }
    Ok(Outcome::Passed)
}
