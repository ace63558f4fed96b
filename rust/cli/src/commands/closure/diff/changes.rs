//! What differs between two closures.

use super::who::{Member, Who};
use nixcert_core::package_of;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// All of it. What is in both with the same contents is counted, and no more.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Changes {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) contents_differ: Vec<Differing>,
    pub(crate) unchanged: usize,
    pub(crate) packages: Vec<Package>,
    /// The packages that were a vendor's, and of which nothing new is.
    pub(crate) vendor_to_person: BTreeSet<String>,
}

/// A path that has other contents.
#[derive(Debug, Serialize)]
pub(crate) struct Differing {
    pub(crate) path: String,
    pub(crate) before: BTreeSet<Who>,
    pub(crate) after: BTreeSet<Who>,
}

/// A package of which something comes or goes.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Package {
    pub(crate) package: String,
    /// The versions that go; empty strings for none.
    pub(crate) before: Vec<String>,
    /// Those that come.
    pub(crate) after: Vec<String>,
    /// Who vouched for what goes.
    pub(crate) vouched_before: BTreeSet<Who>,
    /// Who vouches for what comes.
    pub(crate) vouched_after: BTreeSet<Who>,
}

impl Changes {
    pub(crate) fn between(before: &[Member], after: &[Member]) -> Self {
        let by_path = |all: &[Member]| -> BTreeMap<String, Member> {
            all.iter().map(|member| (member.path.clone(), member.clone())).collect()
        };
        let (old, new) = (by_path(before), by_path(after));
        let mut changes = Self::default();
        let mut packages: BTreeMap<String, Package> = BTreeMap::new();
        let mut unvouched = BTreeSet::new();
        for (path, member) in &old {
            let (package, version) = split(&member.name);
            match new.get(path) {
                Some(same) if same.fingerprint == member.fingerprint => {
                    changes.unchanged += 1;
                    continue;
                }
                Some(other) => changes.contents_differ.push(Differing {
                    path: path.clone(),
                    before: member.who.clone(),
                    after: other.who.clone(),
                }),
                None => changes.removed.push(path.clone()),
            }
            let entry = packages.entry(package).or_default();
            entry.before.push(version);
            entry.vouched_before.extend(member.who.iter().cloned());
        }
        for (path, member) in &new {
            let (package, version) = split(&member.name);
            match old.get(path) {
                Some(same) if same.fingerprint == member.fingerprint => continue,
                Some(_) => {}
                None => changes.added.push(path.clone()),
            }
            // What is its own name's was nobody's to begin with.
            if !member.who.iter().any(|who| matches!(who, Who::Vendor(_) | Who::Itself)) {
                unvouched.insert(package.clone());
            }
            let entry = packages.entry(package).or_default();
            entry.after.push(version);
            entry.vouched_after.extend(member.who.iter().cloned());
        }
        for (name, mut package) in packages {
            package.before = sorted(package.before);
            package.after = sorted(package.after);
            let was_vendors = package.vouched_before.iter().any(|who| matches!(who, Who::Vendor(_)));
            if was_vendors && unvouched.contains(&name) {
                changes.vendor_to_person.insert(name.clone());
            }
            changes.packages.push(Package { package: name, ..package });
        }
        changes
    }
}

/// Package and version, as Nix's `parseDrvName` finds them.
fn split(name: &str) -> (String, String) {
    let package = String::from_utf8_lossy(package_of(name.as_bytes())).into_owned();
    let version = name.get(package.len() + 1..).unwrap_or_default().to_owned();
    (package, version)
}

fn sorted(versions: Vec<String>) -> Vec<String> {
    versions.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(hash: char, name: &str, contents: &str, who: &[Who]) -> Member {
        Member {
            path: format!("/nix/store/{}-{name}", hash.to_string().repeat(32)),
            name: name.to_owned(),
            fingerprint: contents.as_bytes().to_vec(),
            who: who.iter().cloned().collect(),
        }
    }

    fn vendor() -> Who {
        Who::Vendor("cache-1".to_owned())
    }

    fn alice() -> Who {
        Who::Person("alice".to_owned())
    }

    #[test]
    fn packages_and_paths() {
        let before = [
            member('0', "hello-2.10", "a", &[vendor()]),
            member('1', "hello-2.10-man", "a", &[vendor()]),
            member('2', "glibc-2.40", "a", &[vendor()]),
            member('3', "unit-web.service", "a", &[alice()]),
            member('4', "gone-1", "a", &[vendor()]),
        ];
        let after = [
            member('5', "hello-2.12", "b", &[vendor(), alice()]),
            member('2', "glibc-2.40", "a", &[]),
            member('3', "unit-web.service", "b", &[]),
            member('6', "new", "b", &[]),
        ];
        let changes = Changes::between(&before, &after);
        assert_eq!((changes.added.len(), changes.removed.len(), changes.unchanged), (2, 3, 1));
        assert_eq!(changes.contents_differ.len(), 1);
        let names: Vec<&str> = changes.packages.iter().map(|package| package.package.as_str()).collect();
        assert_eq!(names, ["gone", "hello", "new", "unit-web.service"]);
        let hello = &changes.packages[1];
        assert_eq!(hello.before, ["2.10", "2.10-man"]);
        assert_eq!(hello.after, ["2.12"]);
        assert!(changes.vendor_to_person.is_empty(), "{:?}", changes.vendor_to_person);
    }

    #[test]
    fn a_vendor_s_package_that_is_a_person_s_is_told() {
        let before = [member('0', "sudo-1.9.16", "a", &[vendor()])];
        for (who, told) in [
            (vec![alice()], true),
            (vec![], true),
            (vec![vendor()], false),
            (vec![vendor(), alice()], false),
            (vec![Who::Itself], false),
        ] {
            let after = [member('1', "sudo-1.9.17", "b", &who)];
            let changes = Changes::between(&before, &after);
            assert_eq!(changes.vendor_to_person.contains("sudo"), told, "{who:?}");
        }
        // One of its outputs is enough; and so are other contents under the same name.
        let after =
            [member('1', "sudo-1.9.17", "b", &[vendor()]), member('2', "sudo-1.9.17-man", "b", &[alice()])];
        assert_eq!(Changes::between(&before, &after).vendor_to_person.len(), 1);
        let after = [member('0', "sudo-1.9.16", "b", &[alice()])];
        assert_eq!(Changes::between(&before, &after).vendor_to_person.len(), 1);
    }
}
