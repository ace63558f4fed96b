//! `nixcert verify`, `nixcert why`, `nixcert policy test` and the vectors in `tests/vectors`: the command answers as the library
//! does. Policy and revocation lists are where a host has them, and are read as its daemon reads them.
//!
//! Left out of the first two are realisations, since narinfos hold none; fingerprints that no narinfo comes to; and hosts that
//! trust nobody. Left out of the last is what depends on the signature itself, which it takes for granted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use nixcert_core::{
    Anchors, HostName, PublicKey, RevocationList, StorePath, VerifiedList, base32_encode, base64_decode,
    base64_encode,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

#[test]
fn vectors() {
    let (mut judged, mut left_out) = (0, 0);
    for (name, vector) in all() {
        match narinfo(&vector) {
            Some(narinfo) => check(&name, &vector, &narinfo),
            None => {
                left_out += 1;
                continue;
            }
        }
        judged += 1;
    }
    println!("{judged} vectors judged, {left_out} left out");
    assert!(judged > 250, "only {judged} vectors were found");
}

#[test]
fn rehearsals() {
    let (mut rehearsed, mut left_out) = (0, 0);
    for (name, vector) in all() {
        if rehearse(&name, &vector).is_some() { rehearsed += 1 } else { left_out += 1 }
    }
    println!("{rehearsed} vectors rehearsed, {left_out} left out");
    assert!(rehearsed > 200, "only {rehearsed} vectors were found");
}

fn all() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let read = |file: &PathBuf| serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    files.iter().map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), read(file))).collect()
}

/// A host as a vector describes it: nix.conf, policy, and revocation lists, in a directory.
struct Host {
    directory: TempDir,
    arguments: Vec<String>,
}

impl Host {
    fn new(vector: &Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path();
        let list = |name: &str| {
            let entries = vector[name].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap());
            entries.collect::<Vec<_>>().join(" ")
        };
        let mut conf = format!(
            "trusted-public-keys = {}\ntrusted-ca-keys = {}\nca-host-name = {}\n",
            list("trusted_public_keys"),
            list("trusted_ca_keys"),
            vector["host"].as_str().unwrap_or_default()
        );
        let mut arguments = vec!["--nix-conf".to_owned(), here.join("nix.conf").display().to_string()];
        let lists = here.join("lists");
        install(vector, &lists);
        if let Some(policy) = vector.get("policy") {
            writeln!(conf, "ca-policy-file = {}", here.join("policy.toml").display()).unwrap();
            let mut policy = policy.clone();
            if policy["revocation-lists"] == "/var/lib/nixcert/revocation" {
                policy["revocation-lists"] = lists.display().to_string().into();
            }
            write_later(&here.join("policy.toml"), &toml(&policy));
        } else if vector.get("revocation_lists").is_some() {
            arguments.extend(["--revocation-lists".to_owned(), lists.display().to_string()]);
        }
        fs::write(here.join("nix.conf"), conf).unwrap();
        Self { directory, arguments }
    }

    fn ask(&self, subcommand: &[&str], vector: &Value, file: &Path) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixcert"));
        command.args(subcommand).arg("--json").args(&self.arguments).arg(file);
        command.arg("--at").arg(format!("@{}", vector["now"]));
        if let Some(registered) = vector["registered"].as_u64() {
            command.arg("--registered").arg(format!("@{registered}"));
        }
        command.output().unwrap()
    }
}

/// A file that was renamed to where it is is never waited for.
fn write_later(path: &Path, text: &str) {
    let other = path.with_extension("new");
    fs::write(&other, text).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    fs::rename(other, path).unwrap();
}

fn toml(policy: &Value) -> String {
    policy
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| format!("\"{key}\" = {}\n", inline(value)))
        .collect()
}

fn inline(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let entries: Vec<String> =
                table.iter().map(|(key, value)| format!("\"{key}\" = {}", inline(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// The newest list of each signer, in the files where a host holds them; what cannot be used too.
fn install(vector: &Value, directory: &Path) {
    fs::create_dir(directory).unwrap();
    let entries: Vec<&str> =
        vector["trusted_ca_keys"].as_array().unwrap().iter().map(|entry| entry.as_str().unwrap()).collect();
    let mut anchors = Anchors::default();
    let usable = entries.iter().all(|entry| anchors.add(entry).is_ok());
    let host = vector["host"].as_str().and_then(|host| HostName::parse(host).ok());
    let mut newest: BTreeMap<(PublicKey, PublicKey), (u64, Vec<u8>)> = BTreeMap::new();
    for (index, held) in vector["revocation_lists"].as_array().into_iter().flatten().enumerate() {
        let nobody = PublicKey([u8::try_from(index).unwrap(); 32]);
        let (place, list) = match held {
            Value::String(text) => {
                let bytes = base64_decode(text.as_bytes()).unwrap();
                let list = RevocationList::parse(&bytes).unwrap();
                let (ca, issued) = (list.ca, list.issued.seconds());
                let signer =
                    VerifiedList::read(&bytes, &anchors, host.as_ref()).map_or(nobody, |list| *list.signer());
                ((ca, signer), (issued, bytes))
            }
            held => {
                let name = held["unreadable"].as_str().unwrap();
                let key =
                    entries.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix(':')).unwrap();
                let ca = PublicKey(base64_decode(key.as_bytes()).unwrap().try_into().unwrap());
                ((ca, nobody), (0, b"junk".to_vec()))
            }
        };
        let known = newest.entry(place).or_insert_with(|| list.clone());
        if list.0 > known.0 {
            *known = list;
        }
    }
    assert!(usable || newest.is_empty());
    for ((ca, signer), (_, bytes)) in newest {
        let of_ca = directory.join(base32_encode(&ca.0));
        fs::create_dir_all(&of_ca).unwrap();
        fs::write(of_ca.join(format!("{}.list", base32_encode(&signer.0))), bytes).unwrap();
    }
}

/// A narinfo with the vector's fingerprint and signatures.
fn narinfo(vector: &Value) -> Option<String> {
    let fingerprint = vector["fingerprint"].as_str().unwrap();
    let fields: Vec<&str> = fingerprint.split(';').collect();
    let ["1", path, hash, size, references] = fields.as_slice() else { return None };
    // Without any trusted key the command refuses to run.
    let trusted = ["trusted_ca_keys", "trusted_public_keys"];
    if trusted.iter().all(|list| vector[list].as_array().unwrap().is_empty()) {
        return None;
    }
    nixcert_core::Object::path(fingerprint.as_bytes()).ok()?;
    let bases: Vec<&str> = references.split(',').filter_map(|path| path.rsplit('/').next()).collect();
    let mut text = format!(
        "StorePath: {path}\nURL: nar/x.nar\nNarHash: {hash}\nNarSize: {size}\nReferences: {}\n",
        bases.join(" ")
    );
    for signature in vector["signatures"].as_array().unwrap() {
        match signature {
            Value::String(signature) => writeln!(text, "Sig: {signature}").unwrap(),
            junk => {
                for index in 0..u32::try_from(junk["junk"].as_u64().unwrap()).unwrap() {
                    let payload = base64_encode(&[[0xff; 60].as_slice(), &index.to_be_bytes()].concat());
                    writeln!(text, "Sig: {}:{payload}", junk["name"].as_str().unwrap()).unwrap();
                }
            }
        }
    }
    Some(text)
}

fn check(name: &str, vector: &Value, narinfo: &str) {
    let host = Host::new(vector);
    let file = host.directory.path().join("narinfo");
    fs::write(&file, narinfo).unwrap();
    let expected = &vector["expected"];
    let ask = |subcommand: &str| -> Value {
        let output = host.ask(&[subcommand], vector, &file);
        let answer: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{name}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(answer["accepted"], expected["accepted"], "{name}");
        assert_eq!(answer["reason"], expected["reason"], "{name}");
        assert_eq!(output.status.code(), Some(if expected["accepted"] == true { 0 } else { 1 }), "{name}");
        let audited = answer["audited"].as_array().unwrap().iter().map(|audited| &audited["reason"]);
        assert_same_set(name, audited.collect(), &expected["audited"]);
        answer
    };
    let answer = ask("verify");
    let reasons: Vec<&Value> =
        answer["signatures"].as_array().unwrap().iter().map(|s| &s["reason"]).collect();
    let given = vector["signatures"].as_array().unwrap();
    let wanted: Vec<&Value> = expected["signatures"]
        .as_array()
        .unwrap()
        .iter()
        .zip(given)
        .enumerate()
        // A narinfo has the same signature once.
        .filter(|(index, (_, signature))| !given[..*index].contains(signature))
        .flat_map(|(_, (reason, signature))| {
            let times = signature["junk"].as_u64().unwrap_or(1);
            std::iter::repeat_n(reason, usize::try_from(times).unwrap())
        })
        .collect();
    assert_eq!(reasons, wanted, "{name}");
    check_why(name, &ask("why"), &wanted);
}

/// The same reasons; each at one rule, with those before it kept, and those behind it not reached.
fn check_why(name: &str, answer: &Value, wanted: &[&Value]) {
    let signatures = answer["signatures"].as_array().unwrap();
    let not_shown = usize::try_from(answer["not_shown"].as_u64().unwrap()).unwrap();
    assert_eq!(signatures.len() + not_shown, wanted.len(), "{name}");
    for signature in signatures {
        let number = usize::try_from(signature["number"].as_u64().unwrap()).unwrap();
        assert_eq!(&signature["reason"], wanted[number - 1], "{name}");
        let statuses: Vec<&str> = signature["steps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| step["status"].as_str().unwrap())
            .collect();
        let failed = statuses.iter().position(|status| *status == "failed");
        assert_eq!(failed.is_none(), signature["reason"].is_null(), "{name}: {statuses:?}");
        let kept: &[&str] = if failed.is_none() { &["ok", "audited"] } else { &["ok"] };
        let failed = failed.unwrap_or(statuses.len());
        assert!(statuses[..failed].iter().all(|status| kept.contains(status)), "{name}: {statuses:?}");
        let behind = statuses.iter().skip(failed + 1);
        assert!(behind.clone().all(|status| *status == "not-reached"), "{name}: {statuses:?}");
    }
    let votes: Vec<&Value> =
        answer["votes"].as_array().unwrap().iter().map(|votes| &votes["status"]).collect();
    if answer["reason"] == "too-few-votes" {
        assert!(votes.iter().any(|status| *status == "failed"), "{name}: {votes:?}");
    }
    // What is advised and was tried out is never given where nothing is refused.
    assert_eq!(answer["change"].is_null(), answer["reason"].is_null(), "{name}");
}

fn assert_same_set<'a>(name: &str, mut one: Vec<&'a Value>, other: &'a Value) {
    let mut other: Vec<&Value> = other.as_array().into_iter().flatten().collect();
    for list in [&mut one, &mut other] {
        list.sort_by_key(|code| code.as_str().unwrap());
        list.dedup();
    }
    assert_eq!(one, other, "{name}");
}

/// Reasons of signatures themselves, which a rehearsal takes for granted.
const OF_SIGNATURES: [&str; 4] =
    ["malformed-signature", "bad-signature", "too-many-signatures", "malformed-object"];

/// The same signers, without their signatures: the same answer.
fn rehearse(name: &str, vector: &Value) -> Option<()> {
    let expected = &vector["expected"];
    let mut reasons = expected["signatures"].as_array().unwrap().iter().chain([&expected["reason"]]);
    if reasons.any(|reason| OF_SIGNATURES.iter().any(|code| reason == code)) {
        return None;
    }
    let trusted = ["trusted_ca_keys", "trusted_public_keys"];
    let signatures: Vec<&str> =
        vector["signatures"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let all_known = signatures.len() == vector["signatures"].as_array().unwrap().len();
    if !all_known || trusted.iter().all(|list| vector[list].as_array().unwrap().is_empty()) {
        return None;
    }
    let fingerprint = vector["fingerprint"].as_str().unwrap();
    let path = match vector["kind"].as_str().unwrap() {
        "path" => fingerprint.split(';').nth(1).unwrap().to_owned(),
        _ => {
            let realisation: Value = serde_json::from_str(fingerprint).unwrap();
            let directory = vector["store_directory"].as_str().unwrap();
            // FORMAT O2: in one form `outPath` is in `value`, in the other in the object itself.
            let output = realisation.get("value").unwrap_or(&realisation)["outPath"].as_str().unwrap();
            format!("{directory}/{output}")
        }
    };
    assert!(StorePath::parse(&path).is_ok(), "{name}");
    let host = Host::new(vector);
    let (mut files, mut keys, mut order) = (vec![], vec![], vec![]);
    for (index, signature) in signatures.iter().enumerate() {
        let signer = signature.split(':').next().unwrap();
        if nixcert_core::is_certificate_name(signer.as_bytes()) {
            let file = format!("{index}.cert");
            fs::write(host.directory.path().join(&file), format!("{signer}\n")).unwrap();
            files.push(Value::from(file));
            order.insert(files.len() - 1, index);
        } else {
            keys.push(Value::from(signer));
            order.push(index);
        }
    }
    let case = format!(
        "[[case]]\npath = {}\nkind = {}\nsigned-by = {}\nplain-keys = {}\nexpect = {}\naudited = {}\n",
        Value::from(path),
        vector["kind"],
        inline(&Value::from(files)),
        inline(&Value::from(keys)),
        if expected["accepted"] == true { Value::from("accepted") } else { expected["reason"].clone() },
        expected.get("audited").map_or("[]".to_owned(), inline),
    );
    let file = host.directory.path().join("cases.toml");
    fs::write(&file, case).unwrap();
    let output = host.ask(&["policy", "test"], vector, &file);
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((output.status.code(), &answer["as_expected"]), (Some(0), &true.into()), "{name}: {answer}");
    let reasons: Vec<&Value> =
        answer["signers"].as_array().unwrap().iter().map(|signer| &signer["reason"]).collect();
    let wanted: Vec<&Value> = order.iter().map(|index| &expected["signatures"][*index]).collect();
    assert_eq!(reasons, wanted, "{name}");
    Some(())
}
