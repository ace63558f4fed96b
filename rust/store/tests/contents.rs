//! Archives and content addresses, with what Nix 2.26.3 said of the same files.
#![expect(clippy::unwrap_used, reason = "tests")]

use nixcert_core::{PathInfo, StorePath, nix32};
use nixcert_store::{ArchiveError, ContentAddressError, DEPTH, Entry, nar_hash, recompute, write_nar};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Every kind of file, names whose order is that of bytes, one that is not UTF-8, and contents of 0 to 9 bytes.
fn tree() -> TempDir {
    let tree = tempfile::tempdir().unwrap();
    let at = |name: &str| tree.path().join(name);
    fs::create_dir(at("empty")).unwrap();
    fs::create_dir(at("dir")).unwrap();
    symlink("../gone", at("link")).unwrap();
    let files =
        [("nothing", ""), ("run", "#!/bin/sh\n"), ("a", "y"), ("a.b", "z"), ("A", "z"), ("dir/ä", "z")];
    for (name, contents) in files {
        fs::write(at(name), contents).unwrap();
    }
    fs::set_permissions(at("run"), Permissions::from_mode(0o755)).unwrap();
    fs::write(tree.path().join(OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
    for size in 0..=9 {
        fs::write(at(&format!("dir/{size}")), "x".repeat(size)).unwrap();
    }
    tree
}

#[test]
fn archives_are_nix_s() {
    let tree = tree();
    let known = [
        ("", "09ibjs5fp0hqnsgzai63m2cysvja06n9hvfbfqgg3sfb4sckn1dm", 3920),
        ("empty", "0sjjj9z1dhilhpc8pq4154czrb79z9cm044jvn75kxcjv6v5l2m5", 96),
        ("nothing", "0ip26j2h11n1kgkz36rl4akv694yz65hr72q4kv4b3lxcbi65b3p", 112),
        ("run", "0m35wabrvlzjvv71f2xvca3vd91gh9mwvh4mm38h7yb0h9kc30v2", 160),
        ("link", "13arx61qndzy549g8kpdi0vy733m1lyax8942958wlil5ba5k4nk", 120),
        ("link/", "13arx61qndzy549g8kpdi0vy733m1lyax8942958wlil5ba5k4nk", 120),
        ("dir/7", "057ynikqgb6sjnrgysnbnhqhr9kh1d6aspbfk3llj1qajqigfjkw", 120),
    ];
    for (name, hash, size) in known {
        let found = nar_hash(&tree.path().join(name)).unwrap();
        assert_eq!((nix32(&found.sha256).as_str(), found.size), (hash, size), "{name}");
    }
    // For the owner, as Nix sees it.
    let executable_for = |mode| {
        fs::set_permissions(tree.path().join("run"), Permissions::from_mode(mode)).unwrap();
        nar_hash(&tree.path().join("run")).unwrap().size == 160
    };
    assert_eq!([0o500, 0o455, 0o644].map(executable_for), [true, false, false]);
}

#[test]
fn what_nix_has_no_archive_of() {
    let tree = tree();
    let (pipe, missing) = (tree.path().join("dir/pipe"), tree.path().join("missing"));
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for path in [tree.path(), pipe.as_path()] {
        assert!(matches!(nar_hash(path), Err(ArchiveError::Type(found)) if found == pipe));
    }
    assert!(matches!(nar_hash(&missing), Err(ArchiveError::Io { path, .. }) if path == missing));
    assert!(matches!(nar_hash(Path::new("/")), Err(ArchiveError::Io { .. })));
    let top = tempfile::tempdir().unwrap();
    let deep = |depth: usize| (1..depth).fold(top.path().to_owned(), |path, _| path.join("d"));
    fs::create_dir_all(deep(DEPTH)).unwrap();
    assert!(nar_hash(top.path()).is_ok());
    fs::create_dir(deep(DEPTH + 1)).unwrap();
    assert!(matches!(nar_hash(top.path()), Err(ArchiveError::Depth(path)) if path == deep(DEPTH + 1)));
}

/// Does something the first time that it is to write some bytes, and keeps everything.
struct Meddler<'a> {
    at: &'a [u8],
    act: Option<Box<dyn FnOnce() + 'a>>,
    seen: Vec<u8>,
}

impl Write for Meddler<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes == self.at
            && let Some(act) = self.act.take()
        {
            act();
        }
        self.seen.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn files_that_change_meanwhile() {
    let tree = tree();
    let (dir, file) = (tree.path().join("dir"), tree.path().join("run"));
    let mut meddler = Meddler { at: b"dir", act: None, seen: Vec::new() };
    meddler.act = Some(Box::new(|| {
        fs::rename(&dir, tree.path().join("moved")).unwrap();
        symlink("moved", &dir).unwrap();
    }));
    write_nar(tree.path(), &mut meddler).unwrap();
    let has = |bytes: &[u8]| meddler.seen.windows(bytes.len()).any(|window| window == bytes);
    assert!(has(b"../gone") && has(b"moved") && !has(b"xxxxxxxxx"), "a link is not followed");

    let shorten = || fs::write(&file, "#!").unwrap();
    let mut meddler = Meddler { at: b"contents", act: Some(Box::new(shorten)), seen: Vec::new() };
    assert!(matches!(write_nar(&file, &mut meddler), Err(ArchiveError::Changed(found)) if found == file));
    assert!(write_nar(&file, &mut meddler).is_ok());
}

const INNER: &str = "/nix/store/fi4yb2p9na10xcjnhgd6q8l13w3c7l2l-inner";
const REWRITTEN: &str = "/nix/store/m672wqmf9ywpd75bp88792dkgv1chgwv-inner";

/// What Nix made: `builtins.toFile`, without and with a reference; `nix-store --add-fixed`, flat and recursive; `nix store
/// make-content-addressed`, with a reference.
const TEXT: Known = Known(INNER, "text:sha256:094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic", &[]);
const TEXT_REFERRING: Known = Known(
    "/nix/store/93mixmsfrm7qan71k8qwsjn0ihx2b3j8-outer",
    "text:sha256:12n1qww8406qsachcy6728qzkvvgxzxql7y8pxgbksvcn2g23qvj",
    &[INNER],
);
const FLAT: Known = Known(
    "/nix/store/0vw4l8wcqx8zqw3la5761hqhn4ckmy87-7",
    "fixed:sha256:1y23vz7sz2qpqq613m0mp2yvgkz7xa74b2qm3wp58hbn9jmx6w3v",
    &[],
);
const ARCHIVE: Known = Known(
    "/nix/store/miaaakg3qbg2sv2cj20w9cw2ga5zbvnh-tree",
    "fixed:r:sha256:09ibjs5fp0hqnsgzai63m2cysvja06n9hvfbfqgg3sfb4sckn1dm",
    &[],
);
const ARCHIVE_REFERRING: Known = Known(
    "/nix/store/5npfwpnvyff5f3jd2rcfn6hfy2ks9rwl-other",
    "fixed:r:sha256:0dsb6nw4j0jp9c56g3rfbw6vly1j3h0bqd7yzw77aj51vcl5nwpj",
    &[REWRITTEN],
);

/// Path, content address, references.
#[derive(Clone, Copy)]
struct Known(&'static str, &'static str, &'static [&'static str]);

impl Known {
    fn check(self, contents: &Path) -> Result<(), ContentAddressError> {
        let path = |text: &&str| StorePath::parse(text).unwrap();
        let references = self.2.iter().map(path).collect();
        let info = PathInfo { path: path(&self.0), nar_hash: String::new(), nar_size: 1, references };
        let content_address = (!self.1.is_empty()).then(|| self.1.to_owned());
        let entry = Entry {
            info,
            signatures: vec![],
            content_address,
            registered: 0,
            ultimate: false,
            deriver: None,
        };
        recompute(&entry, contents)
    }
}

/// The contents of the five, in a directory.
fn contents() -> (TempDir, [PathBuf; 5]) {
    let tree = tree();
    let kept = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(kept.path().join(name), text).unwrap();
        kept.path().join(name)
    };
    let files = [
        file("text", "hello"),
        file("referring", &format!("refers to {INNER}")),
        file("flat", "xxxxxxx"),
        kept.path().join("tree"),
        file("archive", &format!("{REWRITTEN}\n")),
    ];
    fs::rename(tree.keep(), kept.path().join("tree")).unwrap();
    (kept, files)
}

#[test]
fn content_addresses_are_nix_s() {
    let (_kept, files) = contents();
    let all = [TEXT, TEXT_REFERRING, FLAT, ARCHIVE, ARCHIVE_REFERRING];
    for (known, file) in all.into_iter().zip(&files) {
        known.check(file).unwrap();
        // The same claim for another path, with another reference, and with none.
        let renamed = Known { 0: "/nix/store/fi4yb2p9na10xcjnhgd6q8l13w3c7l2l-innes", ..known };
        assert!(matches!(renamed.check(file), Err(ContentAddressError::OtherPath)), "{}", known.0);
        let referring =
            Known { 2: &["/nix/store/la8ksr0lclgnagfrznd82wxwjz905cmy-self"], ..known }.check(file);
        match known.1.starts_with("fixed:sha256") {
            true => assert!(matches!(referring, Err(ContentAddressError::References)), "{}", known.0),
            false => assert!(matches!(referring, Err(ContentAddressError::OtherPath)), "{}", known.0),
        }
        let none = Known { 2: &[], ..known }.check(file);
        assert_eq!(matches!(none, Err(ContentAddressError::OtherPath)), !known.2.is_empty(), "{}", known.0);
        // Other contents: each of the files, instead of this one.
        for other in files.iter().filter(|other| *other != file) {
            let wrong = known.check(other).unwrap_err();
            let directory =
                matches!(&wrong, ContentAddressError::Archive(ArchiveError::NotPlain(at)) if at.is_dir());
            assert!(directory || matches!(wrong, ContentAddressError::OtherContents), "{}: {wrong}", known.0);
        }
    }
}

#[test]
fn claims_that_do_not_count() {
    let (kept, [text, _, flat, tree, _]) = contents();
    assert!(matches!(Known { 1: "", ..TEXT }.check(&text), Err(ContentAddressError::None)));
    let hash = "1y23vz7sz2qpqq613m0mp2yvgkz7xa74b2qm3wp58hbn9jmx6w3v";
    FLAT.check(&flat).unwrap();
    for form in [
        "",
        "fixed:",
        "fixed:md5:",
        "fixed:sha1:",
        "fixed:sha512:",
        "fixed:r:sha1:",
        "fixed:git:sha1:",
        "text:",
    ] {
        let claim: &'static str = format!("{form}{hash}").leak();
        let counts = Known { 1: claim, ..FLAT }.check(&flat);
        assert!(matches!(counts, Err(ContentAddressError::NotSupported)), "{claim}");
    }
    for other in [&hash[1..], "", &hash.to_uppercase(), &format!("{hash} ")] {
        let claim: &'static str = format!("fixed:sha256:{other}").leak();
        assert!(
            matches!(Known { 1: claim, ..FLAT }.check(&flat), Err(ContentAddressError::OtherContents)),
            "{claim}"
        );
    }
    // What Nix 2.26.3 made of a path that contains its own: see `recompute` for why that is refused.
    let own = Known(
        "/nix/store/zipny0vx1nd39ihqj289g5cfap3hv4h4-self",
        "fixed:r:sha256:1dq7cwv5fn23wxjaqpqk7xkxz1kc3hnr3ni9ljjh0clwxvbk0f8x",
        &[REWRITTEN, "/nix/store/zipny0vx1nd39ihqj289g5cfap3hv4h4-self"],
    );
    assert!(matches!(own.check(&text), Err(ContentAddressError::SelfReference)));
    // A hash of contents alone says nothing of the executable bit, nor of what a link leads to.
    fs::set_permissions(&flat, Permissions::from_mode(0o555)).unwrap();
    let not_plain = ContentAddressError::Archive(ArchiveError::NotPlain(flat.clone())).to_string();
    assert_eq!(FLAT.check(&flat).unwrap_err().to_string(), not_plain);
    let link = kept.path().join("link");
    symlink(&text, &link).unwrap();
    assert!(matches!(TEXT.check(&link), Err(ContentAddressError::Archive(ArchiveError::Io { .. }))));
    // Of a whole archive it does.
    fs::set_permissions(tree.join("a"), Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(ARCHIVE.check(&tree), Err(ContentAddressError::OtherContents)));
}
