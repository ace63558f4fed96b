//! Realisations of content-addressed derivations: statements of who built what, which are signed like paths.
//!
//! This Nix checks them where clients register them, not where it substitutes them; `patches/README.md` has the table.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    attacks::{fresh, must_fail},
    forge::Key,
    pki::{certify, root_ca},
    wire::{Client, Flags, Realisation, RealisationByPath, hex},
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
        name: "realisation/signed-in-the-other-form-is-refused",
        run: |bed| registered(bed, BOTH, "hello-1", Signature::OfOtherForm, Some("[bad-signature]")),
    },
    Case { name: "realisation/of-a-derivation-of-another-name-is-refused", run: of_another_name },
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
    OfOtherForm,
    None,
}

/// Alice's laptop, which has the Nix that is tested, signs what it builds; the realisation travels with the path. (Since
/// 2.35, Nix does not exchange realisations with older ones.)
fn by_nix_copy(bed: &Bed, signed: bool) -> Result<Outcome> {
    let (host, server) = (bed.laptop()?, &bed.server);
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
    // Nix 2.35 and later list the path itself too, which is not what counts.
    let there = known.success && known.text.contains(&format!(r#""outPath":"{}""#, base(&path)));
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
    let Offered { path, key, mut client } = offered(bed, options, name)?;
    let (own, another) = (Derivation::of(&path), Derivation::other_than_of(&path));
    let sign = |text: String| vec![key.sign(&text)];
    let (of_hash, of_path) = match signature {
        Signature::Own => (sign(own.by_hash(&path)), sign(own.by_path(&path))),
        Signature::OfAnother => (sign(another.by_hash(&path)), sign(another.by_path(&path))),
        Signature::OfOtherForm => (sign(own.by_path(&path)), sign(own.by_hash(&path))),
        Signature::None => (vec![], vec![]),
    };
    let answer = client.register_realisation(&own.realisation(&path, &of_hash, of_path));
    match refusal {
        None => answer?,
        Some(words) => must_fail(answer, words)?,
    }
    Ok(Outcome::Passed)
}

/// Whoever may sign for some name may not answer for derivations of other names. (A hash has no name.)
fn of_another_name(bed: &Bed) -> Result<Outcome> {
    let Offered { path, key, mut client } = offered(bed, BOTH, "hello-1")?;
    if !client.realisations_by_path() {
        return Ok(Outcome::Skipped("realisations of this Nix do not name the derivation".to_owned()));
    }
    let own = Derivation::of(&path);
    let another = Derivation { path: own.path.replace("hello-1", "openssl-1"), hash: own.hash.clone() };
    must_fail(client.register_realisation(&another.signed(&path, &[&key])), "[malformed-object]")?;
    client.register_realisation(&own.signed(&path, &[&key]))?;
    Ok(Outcome::Passed)
}

/// A path that the server has, and who may say what it is the output of.
struct Offered {
    path: String,
    key: Key,
    client: Client,
}

fn offered(bed: &Bed, options: &str, name: &str) -> Result<Offered> {
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
    Ok(Offered { path: parcel.info.path, key, client })
}

/// A derivation that is made up, whose output `out` is some path.
struct Derivation {
    /// What Nix up to 2.34 knows it by.
    hash: String,
    /// And Nix 2.35 and later: its store path.
    path: String,
}

impl Derivation {
    /// No two paths have the same digest, so nor do these derivations.
    fn of(output: &str) -> Self {
        Self { hash: hash("a", output), path: format!("{output}.drv") }
    }

    /// The same name, and another digest.
    fn other_than_of(output: &str) -> Self {
        let (digest, name) = base(output).split_at(32);
        let digest: String = digest.chars().rev().collect();
        Self { hash: hash("b", output), path: format!("{STORE}{digest}{name}.drv") }
    }

    /// What is signed, up to Nix 2.34.
    fn by_hash(&self, output: &str) -> String {
        let (hash, output) = (&self.hash, base(output));
        format!(r#"{{"dependentRealisations":{{}},"id":"{hash}!out","outPath":"{output}"}}"#)
    }

    /// What is signed, since Nix 2.35.
    fn by_path(&self, output: &str) -> String {
        let (derivation, output) = (base(&self.path), base(output));
        format!(
            r#"{{"key":{{"drvPath":"{derivation}","outputName":"out"}},"value":{{"outPath":"{output}"}}}}"#
        )
    }

    /// What a client sends, with the signatures for either form.
    fn realisation(&self, output: &str, of_hash: &[String], of_path: Vec<String>) -> Realisation {
        let signatures: Vec<String> = of_hash.iter().map(|signature| format!(r#""{signature}""#)).collect();
        let signatures = format!(r#","signatures":[{}]}}"#, signatures.join(","));
        let fingerprint = self.by_hash(output);
        let by_path = RealisationByPath {
            derivation: self.path.clone(),
            output: "out".to_owned(),
            path: output.to_owned(),
            signatures: of_path,
        };
        Realisation { by_hash: fingerprint.trim_end_matches('}').to_owned() + &signatures, by_path }
    }

    fn signed(&self, output: &str, keys: &[&Key]) -> Realisation {
        let sign = |text: String| -> Vec<String> { keys.iter().map(|key| key.sign(&text)).collect() };
        self.realisation(output, &sign(self.by_hash(output)), sign(self.by_path(output)))
    }
}

const STORE: &str = "/nix/store/";

fn base(path: &str) -> &str {
    path.trim_start_matches(STORE)
}

fn hash(salt: &str, output: &str) -> String {
    let hash = hex(format!("{salt}{}", base(output)).as_bytes());
    format!("sha256:{hash:0<64.64}")
}

/// The realisation of a made-up derivation by this path, signed by all of these.
pub(crate) fn signed(path: &str, keys: &[&Key]) -> Realisation {
    Derivation::of(path).signed(path, keys)
}
