//! Ways to have everything signed that is built, as nixos/deploy.md describes them, and what they leave unsigned.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    channels::Channel,
    pki::{EVERYTHING, certify, intermediate_ca, root_ca},
    tools::{accepted, build, copy_closure, is_valid, key, refused, says, sign},
};
use crate::{
    bed::Bed,
    host::{Host, Output},
    network::address,
};

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "recipe/post-build-hook-signs-all-outputs-is-accepted", run: |bed| hook(bed, true) },
    Case {
        name: "recipe/post-build-hook-with-a-key-without-certificate-is-refused",
        run: |bed| hook(bed, false),
    },
    Case {
        name: "recipe/secret-key-files-built-since-is-accepted",
        run: |bed| secret_key_files(bed, Origin::BuiltSince),
    },
    Case {
        name: "recipe/secret-key-files-built-before-is-refused",
        run: |bed| secret_key_files(bed, Origin::BuiltBefore),
    },
    Case {
        name: "recipe/secret-key-files-substituted-is-refused",
        run: |bed| secret_key_files(bed, Origin::Substituted),
    },
    Case {
        name: "recipe/substituted-and-signed-is-accepted",
        run: |bed| secret_key_files(bed, Origin::SubstitutedAndSigned),
    },
    Case { name: "recipe/ci-fills-a-cache-is-accepted", run: |bed| ci(bed, "--valid 1d", None) },
    Case {
        name: "recipe/ci-fills-a-cache-with-an-expired-certificate-is-refused",
        run: |bed| ci(bed, "--allow-expired --not-before=-3d --valid 2d", Some("expired")),
    },
    Case { name: "recipe/unsigned-copied-as-a-user-is-refused", run: |bed| unsigned(bed, "alice") },
    Case { name: "recipe/unsigned-copied-as-root-is-not-checked", run: |bed| unsigned(bed, "root") },
    Case { name: "recipe/unsigned-from-a-remote-builder-is-not-checked", run: |bed| builder(bed, true) },
    Case { name: "recipe/unsigned-copied-from-that-builder-is-refused", run: |bed| builder(bed, false) },
    Case { name: "recipe/built-by-a-host-that-does-not-sign-is-refused", run: |bed| launder(bed, false) },
    Case { name: "recipe/built-by-a-host-that-signs-is-accepted", run: |bed| launder(bed, true) },
];

const CA: &str = "acme-1";

/// Where the daemon of the machine that builds has the key.
const KEY: &str = "/etc/nix/builder.key";

/// Signs what was built: all outputs, and no name of theirs is taken for a pattern.
const HOOK: &str = "#!/bin/sh
set -euf
export IFS=' '
exec nix store sign --key-file /etc/nix/builder.key $OUT_PATHS
";

/// The server trusts the CA.
fn trusting(bed: &Bed) -> Result<()> {
    bed.server.configure(&format!("trusted-ca-keys = {}\n", root_ca(&bed.workstation, CA)?))
}

/// Does something on a host whose nix.conf has these lines meanwhile.
fn configured<T>(host: &Host, settings: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    host.configure(settings)?;
    let result = act();
    host.configure("")?;
    result
}

/// Gives the daemon a file of Alice's, which nobody else may read.
fn install_key(host: &Host, file: &str) -> Result<()> {
    host.write(KEY, &host.read(&format!("/home/alice/{file}"))?)?;
    host.root(&format!("chmod 600 {KEY}")).map(drop)
}

/// Expects that all paths are accepted, or that the first one is refused.
fn arrive(bed: &Bed, user: &str, paths: &[&str], good: bool) -> Result<Outcome> {
    let copy = |path: &str| -> Result<Output> { copy_closure(&bed.workstation, user, &bed.server, path) };
    for path in paths {
        let output = copy(path)?;
        if good {
            accepted(output, &bed.server, path)?;
        } else {
            refused(&output, &bed.server, path)?;
        }
    }
    Ok(Outcome::Passed)
}

/// A derivation with two outputs, built where the hook signs with Alice's key, with its certificate or without.
fn hook(bed: &Bed, certified: bool) -> Result<Outcome> {
    let host = &bed.workstation;
    trusting(bed)?;
    let file = certify(host, "alice", "alice-1", CA, EVERYTHING)?;
    install_key(host, if certified { &file } else { "alice-1.secret" })?;
    host.write("/etc/nix/sign-what-was-built", HOOK.as_bytes())?;
    host.root("chmod 755 /etc/nix/sign-what-was-built")?;
    let expression = format!(
        "derivation {{ name = \"hooked\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
         outputs = [ \"out\" \"dev\" ]; args = [ \"-c\" \"echo {certified} > $out; echo dev > $dev\" ]; }}"
    );
    let line = format!("nix-store --realise $(nix-instantiate -E '{expression}' 2>/dev/null) 2>/dev/null");
    let text = configured(host, "post-build-hook = /etc/nix/sign-what-was-built\n", || {
        host.run_as("alice", &line)?.ok()
    })?;
    let paths: Vec<&str> = text.lines().collect();
    if paths.len() != 2 {
        bail!("these are not two outputs: {text}");
    }
    for path in &paths {
        let line = format!("nix path-info --sigs {path}");
        let mark = if certified { " alice.nixcert1." } else { " alice-1:" };
        says(&host.run_as("alice", &line)?.ok()?, &[mark])?;
    }
    arrive(bed, "alice", &paths, certified)
}

/// How a path came into the store of the machine whose daemon has the key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    BuiltSince,
    BuiltBefore,
    Substituted,
    /// And signed by hand afterwards.
    SubstitutedAndSigned,
}

/// `secret-key-files` on the machine of who builds.
fn secret_key_files(bed: &Bed, origin: Origin) -> Result<Outcome> {
    let host = &bed.workstation;
    trusting(bed)?;
    let file = certify(host, "alice", "alice-1", CA, EVERYTHING)?;
    install_key(host, &file)?;
    let setting = format!("secret-key-files = {KEY}\n");
    let (path, good) = match origin {
        Origin::BuiltSince => (configured(host, &setting, || build(host, "alice", "hello-1"))?, true),
        Origin::BuiltBefore => {
            let path = build(host, "alice", "hello-1")?;
            // To ask for it again does not sign it.
            configured(host, &setting, || {
                host.run_as("alice", &format!("nix-store --realise {path}"))?.ok()
            })?;
            (path, false)
        }
        Origin::Substituted | Origin::SubstitutedAndSigned => {
            let (path, upstream) = upstream(bed)?;
            configured(host, &format!("{setting}{upstream}"), || {
                host.run_as("alice", &format!("nix-store --realise {path}"))?.ok()
            })?;
            let signs = origin == Origin::SubstitutedAndSigned;
            if signs {
                sign(host, "alice", &file, &path)?;
            }
            (path, signs)
        }
    };
    arrive(bed, "alice", &[&path], good)
}

/// A path in somebody else's cache, and the settings with which the workstation trusts that.
fn upstream(bed: &Bed) -> Result<(String, String)> {
    let (laptop, workstation) = (bed.laptop()?, &bed.workstation);
    let public = key(laptop, "bob", "upstream-1")?;
    let path = build(laptop, "bob", "hello-1")?;
    sign(laptop, "bob", "upstream-1.secret", &path)?;
    laptop.root("mkdir -p -m 1777 /srv/upstream")?;
    laptop.run_as("bob", &format!("nix copy --to file:///srv/upstream {path}"))?.ok()?;
    workstation.write("/srv/upstream.tar", &laptop.root_bytes("tar -C /srv -c upstream")?)?;
    workstation.root("tar -C /srv -xf /srv/upstream.tar")?;
    Ok((path, format!("substituters = file:///srv/upstream\ntrusted-public-keys = {public}\n")))
}

/// CI has an intermediate of its own, and signs what it copies into a cache, from which the server substitutes.
fn ci(bed: &Bed, validity: &str, reason: Option<&str>) -> Result<Outcome> {
    let (host, server) = (&bed.workstation, &bed.server);
    let settings = format!("trusted-ca-keys = {}\n", root_ca(host, CA)?);
    let limits = "--usage import-paths,issue --permit '*' --host '*' --not-before=-9d";
    intermediate_ca(host, "ci-builds", CA, limits)?;
    let file = certify(host, "alice", "ci-1", "ci-builds", &format!("{EVERYTHING} {validity}"))?;
    host.root("mkdir -p -m 1777 /srv/cache; test -e /run/httpd || busybox httpd -p 8080 -h /srv/cache; touch /run/httpd")?;
    server.configure(&format!("{settings}substituters = http://{}:8080\n", address(host.number())))?;
    let path = build(host, "alice", "hello-1")?;
    let line = format!("nix copy --to 'file:///srv/cache?secret-key=/home/alice/{file}' {path}");
    host.run_as("alice", &line)?.ok()?;
    let output = server.run_as("bob", &format!("nix-store --realise {path}"))?;
    match reason {
        None => accepted(output, server, &path)?,
        Some(reason) => {
            Channel::HttpCache.is_refusal(&output, server, &path)?;
            says(&output.text, &[&format!("[{reason}]")])?;
        }
    }
    Ok(Outcome::Passed)
}

/// An unsigned path, copied to the account of a user or to root's.
fn unsigned(bed: &Bed, user: &str) -> Result<Outcome> {
    trusting(bed)?;
    bed.workstation.may_log_in(&bed.server, &[user])?;
    let path = build(&bed.workstation, "alice", "hello-1")?;
    arrive(bed, user, &[&path], user == "root")
}

/// The server has somebody else's machine build for it, or is brought what was built there. Nobody signs.
fn builder(bed: &Bed, remotely: bool) -> Result<Outcome> {
    let (server, laptop) = (&bed.server, bed.laptop()?);
    let settings = format!("trusted-ca-keys = {}\n", root_ca(&bed.workstation, CA)?);
    laptop.configure("")?;
    if !remotely {
        server.configure(&settings)?;
        let path = build(laptop, "bob", "hello-1")?;
        refused(&copy_closure(laptop, "bob", server, &path)?, server, &path)?;
        return Ok(Outcome::Passed);
    }
    server.may_log_in(laptop, &["root"])?;
    let arch = std::env::consts::ARCH;
    server.configure(&format!("{settings}builders = ssh-ng://root@laptop {arch}-linux\nmax-jobs = 0\n"))?;
    let path = build(server, "bob", "hello-1")?;
    for host in [server, laptop] {
        if !is_valid(host, &path)? {
            bail!("{path} is not on {}", host.name());
        }
    }
    Ok(Outcome::Passed)
}

/// Why no key with a certificate belongs to a host where others import: Mallory may bring `mallory-*` alone, and has the
/// server make a `sudo` of it, for which the server's key vouches wherever it is trusted.
fn launder(bed: &Bed, signs: bool) -> Result<Outcome> {
    let (host, server, laptop) = (&bed.workstation, &bed.server, bed.laptop()?);
    let settings = format!("trusted-ca-keys = {}\n", root_ca(host, CA)?);
    laptop.configure(&settings)?;
    let hosts = certify(host, "alice", "alice-1", CA, EVERYTHING)?;
    server.write(KEY, &host.read(&format!("/home/alice/{hosts}"))?)?;
    let setting = if signs { format!("secret-key-files = {KEY}\n") } else { String::new() };
    server.configure(&format!("{settings}{setting}"))?;
    let limits = "--usage import-paths --permit 'mallory-*' --host '*' --replace-key";
    let mallorys = certify(host, "mallory", "mallory-1", CA, limits)?;
    let input = build(host, "mallory", "mallory-input")?;
    sign(host, "mallory", &mallorys, &input)?;
    accepted(copy_closure(host, "mallory", server, &input)?, server, &input)?;
    let expression = format!(
        "derivation {{ name = \"sudo-1\"; system = builtins.currentSystem; builder = \"/bin/sh\"; \
         input = builtins.storePath {input}; args = [ \"-c\" \"echo $input > $out\" ]; }}"
    );
    let line = format!("nix-build --no-out-link -E '{expression}' 2>/dev/null");
    let sudo = server.run_as("mallory", &line)?.ok()?.trim().to_owned();
    server.may_log_in(laptop, &["mallory"])?;
    let output = copy_closure(server, "mallory", laptop, &sudo)?;
    if signs {
        accepted(output, laptop, &sudo)?
    } else {
        refused(&output, laptop, &sudo)?
    }
    Ok(Outcome::Passed)
}
