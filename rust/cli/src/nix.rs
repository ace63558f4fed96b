//! Asking the Nix of this machine, through its own command: whose store it is, and how the daemon is reached, is its business.

use crate::error::{Error, Result};
use nixcert_core::{NarInfo, StorePath};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::process::{Command, Stdio};

/// Arguments at once: far below what a system takes.
pub(crate) const PATHS_AT_ONCE: usize = 500;

/// The command `nix`, and which store it asks.
pub(crate) struct Nix {
    store: Option<String>,
    /// NIX_SSHOPTS, where it is to be another than it is.
    ssh_options: Option<String>,
}

/// What a store knows of a path, as a narinfo: the text that the core reads, and that a cache would serve.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) path: String,
    /// A narinfo, or why the store's answer is none.
    pub(crate) narinfo: std::result::Result<String, String>,
    /// When the store registered it, if it says so.
    pub(crate) registered: Option<u64>,
    /// Whether it was built here: then the store itself asks for no signature.
    pub(crate) ultimate: bool,
}

impl Nix {
    pub(crate) fn new(store: Option<String>) -> Self {
        Self { store, ssh_options: None }
    }

    pub(crate) fn with_ssh_options(self, options: &str) -> Self {
        Self { ssh_options: Some(options.to_owned()), ..self }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("nix");
        // Whatever its configuration says about the new command line, it is needed here.
        command.args(["--extra-experimental-features", "nix-command flakes"]).args(arguments);
        if let Some(store) = &self.store {
            command.args(["--store", store]);
        }
        if let Some(options) = &self.ssh_options {
            command.env("NIX_SSHOPTS", options);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Run it; what it says on standard error is part of the error.
    fn run(&self, arguments: &[&str], more: &[OsString]) -> Result<std::result::Result<Vec<u8>, String>> {
        let output = self.command(arguments).args(more).output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new("there is no command 'nix' in PATH")
                .help("install Nix, or name a cache or a narinfo file instead of a store path"),
            _ => Error::new(format!("cannot run 'nix': {}", nixcert_files::said(&error))),
        })?;
        if output.status.success() {
            Ok(Ok(output.stdout))
        } else {
            Ok(Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
        }
    }

    fn failed(what: &str, said: &str) -> Error {
        let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("warning:")).collect();
        let has = |words: &[&str]| words.iter().any(|words| said.contains(words));
        // The first was said by Nix up to 2.16.
        let help = if has(&["not privileged to add signatures"]) {
            "the daemon of so old a Nix takes signatures only from trusted users: run it as root there"
        } else if has(&["too many signatures"]) {
            "somebody has filled it with signatures, which nobody can take away: give up what keeps the path there (of yours, \
             a link below ~/.local/state/nixcert/deploy), delete it (nix-store --delete PATH), and try again"
        } else if has(&["SSH connection", "Could not resolve hostname"]) {
            "try it by hand: ssh USER@HOST"
        } else if has(&["is not valid", "don't know how to build"]) {
            "build it, or copy it to that store, and try again: nix copy --to URL PATH"
        } else if has(&["Cannot parse Nix store", "don't know how to open Nix store"]) {
            "name a store as Nix does: ssh-ng://USER@HOST, file:///DIRECTORY"
        } else {
            "run 'nix' by hand to see whether this user may ask that store"
        };
        Error::new(format!("'nix {what}' failed: {}", lines.join("\n"))).help(help)
    }

    /// What the store knows of these paths; or of all, with the argument `--all`. Nix 2.8 and later are understood.
    pub(crate) fn path_info(&self, arguments: &[OsString]) -> Result<Vec<Known>> {
        // Nix 2.34 wants to be told which JSON; those before 2.32 do not know the question.
        let versioned = ["path-info", "--json", "--json-format", "1", "--sigs"];
        let answer = match self.run(&versioned, arguments)? {
            Err(said) if said.contains("json-format") => {
                self.run(&["path-info", "--json", "--sigs"], arguments)?
            }
            answer => answer,
        };
        let json = answer.map_err(|said| Self::failed("path-info", &said))?;
        read_path_info(&json).map_err(|problem| {
            Error::new(format!("the answer of 'nix path-info' was not understood: {problem}"))
        })
    }

    /// Add the signatures that a cache holds to paths of the store. The cache's narinfos are read as they are.
    pub(crate) fn copy_signatures(&self, cache: &str, paths: &[String]) -> Result<()> {
        for some in paths.chunks(PATHS_AT_ONCE) {
            let some: Vec<OsString> = some.iter().map(OsString::from).collect();
            self.run(&["store", "copy-sigs", "--substituter", cache], &some)?
                .map_err(|said| Self::failed("store copy-sigs", &said))?;
        }
        Ok(())
    }

    /// Copy a path with its closure from this machine's store to this one, as a user without privileges: that store checks
    /// what it takes. Nothing is fetched from elsewhere meanwhile. What was said against it is inside.
    pub(crate) fn copy_here(&self, path: &StorePath) -> Result<std::result::Result<(), String>> {
        let Self { store: Some(store), ssh_options } = self else { return Ok(Ok(())) };
        let local = Self { store: None, ssh_options: ssh_options.clone() };
        let answer = local.run(&["copy", "--to", store, "--"], &[path.as_str().into()])?;
        Ok(answer.map(|_| ()))
    }

    /// What the store knows of many paths, by path.
    pub(crate) fn path_info_of(&self, paths: &[String]) -> Result<Vec<Known>> {
        let mut known = Vec::new();
        for some in paths.chunks(PATHS_AT_ONCE) {
            let some: Vec<OsString> = some.iter().map(OsString::from).collect();
            known.extend(self.path_info(&some)?);
        }
        Ok(known)
    }
}

/// The JSON of one path. Nix 2.8 has the path inside, later ones as the key; `null`, or `valid: false`, is none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    path: Option<String>,
    #[serde(default = "yes")]
    valid: bool,
    nar_hash: Option<String>,
    nar_size: Option<u64>,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    signatures: Vec<String>,
    #[serde(default)]
    ca: Option<String>,
    registration_time: Option<u64>,
    #[serde(default)]
    ultimate: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    List(Vec<Info>),
    Map(BTreeMap<String, Option<Info>>),
}

pub(crate) fn read_path_info(json: &[u8]) -> std::result::Result<Vec<Known>, String> {
    let answer: Answer = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let known = |path: String, info: Option<Info>| match info.filter(|info| info.valid) {
        Some(info) => Known {
            narinfo: narinfo(&path, &info),
            registered: info.registration_time,
            ultimate: info.ultimate,
            path,
        },
        None => Known {
            narinfo: Err("the store does not have it".to_owned()),
            registered: None,
            ultimate: false,
            path,
        },
    };
    match answer {
        Answer::Map(infos) => Ok(infos.into_iter().map(|(path, info)| known(path, info)).collect()),
        Answer::List(infos) => infos
            .into_iter()
            .map(|mut info| {
                let path = info.path.take().ok_or("an entry has no path")?;
                Ok(known(path, Some(info)))
            })
            .collect(),
    }
}

/// A narinfo of what the store said. The core reads it like any other, so one reader decides what an object is.
fn narinfo(path: &str, info: &Info) -> std::result::Result<String, String> {
    let missing = |what: &str| format!("the store did not say its {what}");
    let hash = info.nar_hash.as_deref().ok_or_else(|| missing("NAR hash"))?;
    let size = info.nar_size.ok_or_else(|| missing("NAR size"))?;
    let base = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
    let references: Vec<String> = info.references.iter().map(base).collect();
    // Nix wants a URL; nobody fetches it.
    let mut fields = vec![
        ("StorePath", path.to_owned()),
        ("URL", "nar/none.nar".to_owned()),
        ("Compression", "none".to_owned()),
        ("FileHash", hash.to_owned()),
        ("FileSize", size.to_string()),
        ("NarHash", hash.to_owned()),
        ("NarSize", size.to_string()),
        ("References", references.join(" ")),
    ];
    fields.extend(info.signatures.iter().map(|signature| ("Sig", signature.clone())));
    fields.extend(info.ca.iter().map(|ca| ("CA", ca.clone())));
    if fields.iter().any(|(_, value)| value.contains(['\n', '\r', '\0'])) {
        return Err("the store said something of more than one line".to_owned());
    }
    let text: String = fields.iter().map(|(name, value)| format!("{name}: {value}\n")).collect();
    NarInfo::parse(&text).map_err(|error| error.to_string())?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "a:b";

    fn one(json: &str) -> Known {
        let mut known = read_path_info(json.as_bytes()).unwrap();
        assert_eq!(known.len(), 1);
        known.remove(0)
    }

    /// As the versions wrote them, but for the signature.
    #[test]
    fn three_generations_of_nix() {
        let path = "/nix/store/ab3li50xq0nl4q5lxdyinb8w8y13my9s-f";
        let fields = r#""narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=","narSize":120,"references":["/nix/store/ab3li50xq0nl4q5lxdyinb8w8y13my9s-f"],"signatures":["a:b"],"registrationTime":1795363727"#;
        for json in [
            format!(r#"[{{"path":"{path}",{fields}}}]"#),
            format!(r#"{{"{path}":{{"ca":null,"deriver":null,{fields},"ultimate":false}}}}"#),
            format!(r#"{{"{path}":{{{fields},"storeDir":"/nix/store","ultimate":false,"version":1}}}}"#),
        ] {
            let known = one(&json);
            assert_eq!(
                (known.path.as_str(), known.registered, known.ultimate),
                (path, Some(1_795_363_727), false)
            );
            let narinfo = NarInfo::parse(&known.narinfo.unwrap()).unwrap();
            assert_eq!(narinfo.signatures, [SIGNATURE]);
            assert_eq!(narinfo.info.references.len(), 1);
        }
    }

    #[test]
    fn what_is_not_there_or_not_a_narinfo() {
        let path = "/nix/store/ab3li50xq0nl4q5lxdyinb8w8y13my9s-f";
        for json in [
            format!(r#"{{"{path}":null}}"#),
            format!(r#"[{{"path":"{path}","valid":false}}]"#),
            format!(r#"{{"{path}":{{"narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY="}}}}"#),
            format!(r#"{{"{path}":{{"narHash":"md5-x","narSize":1}}}}"#),
            format!(
                r#"{{"{path}":{{"narHash":"sha256-EFUdrtf6Rn0LWIJufrmg8q99aT3jGfLvd1//zaJEufY=","narSize":1,"signatures":["a\nCA: x"]}}}}"#
            ),
        ] {
            assert!(one(&json).narinfo.is_err(), "{json}");
        }
        for json in ["", "1", "[{}]", r#"{"a":1}"#] {
            assert!(read_path_info(json.as_bytes()).is_err(), "{json}");
        }
    }
}
