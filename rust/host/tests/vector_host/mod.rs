//! A vector's host on disk: its policy file, and the lists it holds. For the tests that judge vectors from outside, of the C++
//! class and of the command.

use nixcert_core::{RevocationList, base32_encode, base64_decode};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Lay out the policy and the lists of a vector. Returns the policy file, if its host has one.
///
/// A host holds lists where its policy says. For a vector that has lists and no policy, there is one that limits nothing.
pub(crate) fn lay_out(vector: &Value, directory: &Path) -> Option<PathBuf> {
    let lists = vector.get("revocation_lists").and_then(Value::as_array);
    let mut policy = match (vector.get("policy"), lists) {
        (None, None) => return None,
        (Some(policy), _) => policy.clone(),
        (None, Some(_)) => json!({ "version": 1, "ca": no_limits(vector) }),
    };
    let held = directory.join("lists");
    fs::create_dir_all(&held).unwrap();
    // "An absolute path, where the lists are; its value decides nothing"
    let is_path = |known: &Value| known.as_str().is_some_and(|known| known.starts_with('/'));
    if let Some(policy) = policy.as_object_mut()
        && policy.get(LISTS).map_or(lists.is_some(), is_path)
    {
        policy.insert(LISTS.to_owned(), json!(held));
    }
    for list in lists.into_iter().flatten() {
        place(vector, list, &held);
    }
    let file = directory.join("policy.toml");
    // What cannot be written in TOML is no policy in any case.
    let text = toml::to_string(&policy).unwrap_or_else(|_| "not a policy".to_owned());
    let whole = directory.join("policy.new");
    fs::write(&whole, text).unwrap();
    // Renamed a moment later, it is not taken for one that is being written.
    std::thread::sleep(std::time::Duration::from_millis(10));
    fs::rename(&whole, &file).unwrap();
    Some(file)
}

const LISTS: &str = "revocation-lists";

fn no_limits(vector: &Value) -> Value {
    let rules = json!({ "permitted-names": ["*"], "usages": ["import-paths", "import-realisations"] });
    let names = keys(vector).map(|(name, _)| (name.to_owned(), rules.clone()));
    Value::Object(names.collect::<Map<String, Value>>())
}

fn keys(vector: &Value) -> impl Iterator<Item = (&str, Vec<u8>)> {
    let keys = vector["trusted_ca_keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    keys.filter_map(|key| key.split_once(':'))
        .map(|(name, key)| (name, base64_decode(key.as_bytes()).unwrap_or_default()))
}

fn place(vector: &Value, list: &Value, held: &Path) {
    let (ca, signer, bytes) = match list.as_str() {
        Some(text) => {
            let bytes = base64_decode(text.as_bytes()).unwrap();
            let list = RevocationList::parse(&bytes).unwrap();
            let leaf =
                list.certificates.first().map(|leaf| nixcert_core::Certificate::parse(leaf).unwrap().subject);
            (list.ca.0.to_vec(), leaf.unwrap_or(list.ca).0.to_vec(), bytes)
        }
        None => {
            let name = list["unreadable"].as_str().unwrap();
            let (_, ca) = keys(vector).find(|(known, _)| *known == name).unwrap();
            (ca, vec![0; 32], b"no list".to_vec())
        }
    };
    let directory = held.join(base32_encode(&ca));
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join(format!("{}.list", base32_encode(&signer)));
    // L9: a host has room for the newest of each signer.
    let issued = |bytes: &[u8]| RevocationList::parse(bytes).ok().map(|list| list.issued);
    if fs::read(&file).is_ok_and(|known| issued(&known) > issued(&bytes)) {
        return;
    }
    fs::write(file, bytes).unwrap();
}
