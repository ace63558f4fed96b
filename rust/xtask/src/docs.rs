//! What the documents name is there: files, headings, options of the NixOS module, attributes of the overlay.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{products, supported};

/// Every document of the clone, by its path from there.
fn documents() -> Result<BTreeMap<PathBuf, String>> {
    let clone = products::clone()?;
    let mut found = BTreeMap::new();
    let mut directories: Vec<PathBuf> =
        ["", "nixos", "patches", "tests/vectors", "tests/fuzz", "tests/decoder", "cpp-shim"]
            .map(PathBuf::from)
            .into();
    directories.retain(|directory| clone.join(directory).is_dir());
    for directory in directories {
        for entry in fs::read_dir(clone.join(&directory))? {
            let path = directory.join(entry?.file_name());
            if path.extension().is_some_and(|extension| extension == "md") {
                found.insert(path.clone(), fs::read_to_string(clone.join(&path))?);
            }
        }
    }
    Ok(found)
}

/// `](TARGET)` of each link, with its line.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(number, line)| {
        line.split("](").skip(1).filter_map(move |rest| Some((number + 1, rest.split_once(')')?.0)))
    })
}

/// The anchors that a document has: its headings, as forges write them in addresses.
fn anchors(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.strip_prefix('#'))
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// Words of a text that begin so, without what is not of the name.
fn named<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(prefix).filter_map(move |(at, _)| {
        let rest = text.get(at + prefix.len()..)?;
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.<>".contains(c))).unwrap_or(rest.len());
        rest.get(..end).map(|name| name.trim_end_matches('.')).filter(|name| !name.is_empty())
    })
}

#[test]
fn links_lead_somewhere() -> Result<()> {
    let clone = products::clone()?;
    let documents = documents()?;
    for (path, text) in &documents {
        for (line, target) in links(text) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) =
                target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let file = match file {
                "" => path.clone(),
                file => normal(&path.parent().unwrap_or(Path::new("")).join(file)),
            };
            assert!(clone.join(&file).exists(), "{}:{line}: there is no {}", path.display(), file.display());
            if let Some(anchor) = anchor {
                let text =
                    documents.get(&file).with_context(|| format!("{}:{line}: {target}", path.display()))?;
                assert!(anchors(text).contains(anchor), "{}:{line}: no heading is {target}", path.display());
            }
        }
    }
    Ok(())
}

/// Without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

#[test]
fn options_of_the_module_exist() -> Result<()> {
    let reference = fs::read_to_string(products::clone()?.join("nixos/options.md"))?;
    let options: Vec<Vec<&str>> = reference
        .lines()
        .filter_map(|line| line.strip_prefix("## `security.nixcert.")?.strip_suffix('`'))
        .map(|name| name.split('.').collect())
        .collect();
    assert!(options.len() > 20, "the reference has another form than this test knows");
    let mut count = 0;
    for (path, text) in documents()?.iter().filter(|(path, _)| !path.ends_with("options.md")) {
        for name in named(text, "security.nixcert.") {
            let parts: Vec<&str> = name.split('.').collect();
            let exists = options.iter().any(|option| {
                parts.len() <= option.len()
                    && parts
                        .iter()
                        .zip(option)
                        .all(|(part, own)| part == own || matches!(*own, "<name>" | "*"))
            });
            assert!(exists, "{}: there is no option security.nixcert.{name}", path.display());
            count += 1;
        }
    }
    assert!(count > 0, "no document names an option");
    Ok(())
}

#[test]
fn attributes_of_the_overlay_exist() -> Result<()> {
    let overlay = fs::read_to_string(products::clone()?.join("nixos/overlay.nix"))?;
    let mut attributes: BTreeSet<String> =
        supported::all()?.iter().map(|it| format!("nix_{}", it.release.replace('.', "_"))).collect();
    for name in ["stable", "latest", "git", "withCertificates"] {
        assert!(overlay.contains(name), "the overlay has no {name}");
        attributes.insert(name.to_owned());
    }
    let mut count = 0;
    for (path, text) in documents()? {
        for name in named(&text, "nixcertVersions.") {
            assert!(attributes.contains(name), "{}: there is no nixcertVersions.{name}", path.display());
            count += 1;
        }
    }
    assert!(count > 0, "no document names an attribute");
    Ok(())
}
