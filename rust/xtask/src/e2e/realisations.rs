//! Realisations of content-addressed derivations: statements of who built what, which are signed like paths.
//!
//! This Nix checks them where clients register them, not where it substitutes them; `patches/README.md` has the table.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    attacks::{fresh, must_fail},
    forge::Key,
    pki::{certify, root_ca},
    wire::{Client, Flags, hex},
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "realisation/by-nix-copy-certified-is-accepted", run: |bed| by_nix_copy(bed, true) },
    Case { name: "realisation/by-nix-copy-unsigned-is-refused", run: |bed| by_nix_copy(bed, false) },
    Case {
        name: "realisation/certified-is-accepted",
        run: |bed| registered(bed, BOTH, "hello-1", Signature::Own, None),
    },
    Case {
        name: "realisation/unsigned-is-refused",
        run: |bed| {
            registered(bed, BOTH, "hello-1", Signature::None, Some("lacks a signature by a trusted key"))
        },
    },
    Case {
        name: "realisation/of-another-derivation-is-refused",
        run: |bed| registered(bed, BOTH, "hello-1", Signature::OfAnother, Some("[bad-signature]")),
    },
    Case {
        name: "realisation/missing-usage-is-refused",
        run: |bed| {
            let options = "--usage import-paths --permit '*' --host '*'";
            registered(bed, options, "hello-1", Signature::Own, Some("[missing-usage]"))
        },
    },
];

/// Paths, and realisations.
pub(crate) const BOTH: &str = "--usage import-paths,import-realisations --permit '*' --host '*'";

/// How the realisation is signed.
#[derive(Clone, Copy)]
enum Signature {
    Own,
    OfAnother,
    None,
}

/// Alice's workstation signs what it builds; the realisation travels with the path.
fn by_nix_copy(bed: &Bed, signed: bool) -> Result<Outcome> {
    let (host, server) = (&bed.workstation, &bed.server);
    server.configure(&format!("trusted-ca-keys = {}\n", root_ca(host, "acme-1")?))?;
    let key = certify(host, "alice", "alice-1", "acme-1", BOTH)?;
    let path = format!("/home/alice/{key}");
    host.configure(&if signed { format!("secret-key-files = {path}\n") } else { String::new() })?;
    let expression = format!(
        "derivation {{ name = \"hello-1\"; system = \"{}-linux\"; builder = \"/bin/sh\"; __contentAddressed = true; \
         outputHashMode = \"recursive\"; outputHashAlgo = \"sha256\"; args = [ \"-c\" \"echo {key} {signed} > $out\" ]; }}",
        std::env::consts::ARCH
    );
    let line = format!("nix build --no-link --print-out-paths --impure --expr '{expression}' 2>/dev/null");
    let built = host.run_as("alice", &line)?.ok();
    let output =
        host.run_as("alice", &format!("nix copy --to ssh-ng://alice@server --impure --expr '{expression}'"))?;
    host.configure("")?;
    let path = built?.trim().to_owned();
    let known =
        server.run_as("bob", &format!("nix realisation info --json --impure --expr '{expression}'"))?;
    let there = known.success && known.text.contains(path.trim_start_matches("/nix/store/"));
    if output.success != signed || there != signed {
        bail!(
            "the copy: {}\n{}\nthe realisation is there: {there}: {}",
            output.command,
            output.text,
            known.text
        );
    }
    if !signed && !output.text.contains("because it lacks a signature by a trusted key") {
        bail!("the refusal does not say why: {}", output.text);
    }
    Ok(Outcome::Passed)
}

fn registered(
    bed: &Bed,
    options: &str,
    name: &str,
    signature: Signature,
    refusal: Option<&str>,
) -> Result<Outcome> {
    let (host, server) = (&bed.workstation, &bed.server);
    server.configure(&format!("trusted-ca-keys = {}\n", root_ca(host, "acme-1")?))?;
    let file = certify(host, "alice", "alice-1", "acme-1", options)?;
    let key = Key::read(host, &format!("/home/alice/{file}"))?;
    let parcel = {
        let paths = certify(host, "alice", "alice-1", "acme-1", BOTH)?;
        Key::read(host, &format!("/home/alice/{paths}"))?.parcel(&fresh(name), b"hello")
    };
    let mut client = Client::connect(host, "alice", server)?;
    client.add(&parcel, Flags::default())?;

    let path = &parcel.info.path;
    let signatures = match signature {
        Signature::Own => vec![key.sign(&fingerprint(path, Derivation::Own))],
        Signature::OfAnother => vec![key.sign(&fingerprint(path, Derivation::Another))],
        Signature::None => vec![],
    };
    let json = json(path, &signatures);
    let answer = client.register_realisation(&json);
    match refusal {
        None => answer?,
        Some(words) => must_fail(answer, words)?,
    }
    Ok(Outcome::Passed)
}

/// A realisation's derivation, which is made up.
#[derive(Clone, Copy)]
enum Derivation {
    Own,
    Another,
}

/// No two paths have the same first bytes, so nor do these derivations.
fn id(path: &str, derivation: Derivation) -> String {
    let salt = match derivation {
        Derivation::Own => "a",
        Derivation::Another => "b",
    };
    let hash = hex(format!("{salt}{}", path.trim_start_matches("/nix/store/")).as_bytes());
    format!("sha256:{hash:0<64.64}!out")
}

fn fingerprint(path: &str, derivation: Derivation) -> String {
    let (id, path) = (id(path, derivation), path.trim_start_matches("/nix/store/"));
    format!(r#"{{"dependentRealisations":{{}},"id":"{id}","outPath":"{path}"}}"#)
}

fn json(path: &str, signatures: &[String]) -> String {
    let (id, path) = (id(path, Derivation::Own), path.trim_start_matches("/nix/store/"));
    let signatures: Vec<String> = signatures.iter().map(|signature| format!("\"{signature}\"")).collect();
    let signatures = signatures.join(",");
    format!(r#"{{"dependentRealisations":{{}},"id":"{id}","outPath":"{path}","signatures":[{signatures}]}}"#)
}

/// The realisation of a made-up derivation by this path, signed by all of these.
pub(crate) fn signed(path: &str, keys: &[&Key]) -> String {
    let fingerprint = fingerprint(path, Derivation::Own);
    json(path, &keys.iter().map(|key| key.sign(&fingerprint)).collect::<Vec<_>>())
}
