//! What `nixcert check-closure --json` of the host says, as far as it decides what is done next.

use crate::error::{Error, Result};
use crate::output::shorten;
use nixcert_core::StorePath;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::process::Output;

/// The host's verdict.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    Refused {
        /// The codes of all that stands against it; the first is the main one.
        codes: Vec<String>,
        /// The paths that nobody vouches for there.
        left_over: BTreeSet<StorePath>,
        /// Those whose contents are not what the database there says.
        differing: BTreeSet<StorePath>,
    },
}

#[derive(Deserialize)]
struct Json {
    path: String,
    accepted: bool,
    reason: Option<String>,
    #[serde(default)]
    refusals: Vec<Refusal>,
    #[serde(default)]
    left_over: Vec<Path>,
    #[serde(default)]
    contents_differ: Vec<Path>,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
}

#[derive(Deserialize)]
struct Path {
    path: String,
}

impl Answer {
    /// Read the answer about this path. What is no answer is an error: nothing is taken for a yes.
    pub(crate) fn read(output: &Output, about: &StorePath) -> Result<Self> {
        let said = String::from_utf8_lossy(&output.stderr);
        let fault = |problem: String| Error::new(format!("the host could not tell: {problem}"));
        match output.status.code() {
            Some(0 | 1) => {}
            Some(127) => {
                return Err(fault("it has no command 'nixcert'".to_owned())
                    .help("the gate is part of the host: see 'Deploying a system' in README"));
            }
            Some(_) | None => return Err(fault(shorten(said.trim(), 1000))),
        }
        let not_understood = |problem: String| {
            fault(format!("its answer was not understood: {problem}"))
                .help("is its nixcert of another version than this one?")
        };
        let json: Json = serde_json::from_slice(&output.stdout)
            .map_err(|error| not_understood(format!("{error}; {}", shorten(said.trim(), 500))))?;
        if json.path != about.as_str() {
            return Err(not_understood(format!("it is about '{}'", shorten(&json.path, 300))));
        }
        match (json.accepted, output.status.code()) {
            (true, Some(0)) => return Ok(Self::Accepted),
            (false, Some(1)) => {}
            (accepted, _) => {
                return Err(not_understood(format!("accepted is {accepted}, its status is not")));
            }
        }
        let mut codes: Vec<String> = json.refusals.into_iter().map(|refusal| refusal.code).collect();
        codes.extend(json.reason.filter(|code| !codes.contains(code)));
        let paths = |all: &[Path]| all.iter().filter_map(|path| StorePath::parse(&path.path).ok()).collect();
        Ok(Self::Refused {
            codes,
            left_over: paths(&json.left_over),
            differing: paths(&json.contents_differ),
        })
    }

    /// Whether a refusal has this code.
    pub(crate) fn has(&self, code: &str) -> bool {
        match self {
            Self::Accepted => false,
            Self::Refused { codes, .. } => codes.iter().any(|one| one == code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    const PATH: &str = "/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-nixos-system-web-1";

    fn read(status: i32, json: &str) -> std::result::Result<Answer, String> {
        let output = Output {
            status: ExitStatus::from_raw(status << 8),
            stdout: json.replace("PATH", PATH).into_bytes(),
            stderr: b"said".to_vec(),
        };
        Answer::read(&output, &StorePath::parse(PATH).unwrap()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn nothing_else_is_a_yes() {
        let yes = r#"{"path":"PATH","accepted":true}"#;
        assert_eq!(read(0, yes), Ok(Answer::Accepted));
        for (status, json) in [
            (1, yes),
            (2, yes),
            (127, yes),
            (0, ""),
            (0, "{}"),
            (0, r#"{"path":"PATH"}"#),
            (0, r#"{"path":"PATH","accepted":false}"#),
            (0, r#"{"path":"/nix/store/0yd87l2rxw8cbsxmxl853h0r6pdwhwjr-other","accepted":true}"#),
        ] {
            assert!(read(status, json).is_err(), "{status} {json}");
        }
    }

    #[test]
    fn refusals() {
        let no = r#"{"path":"PATH","accepted":false,"reason":"not-vouched-for","refusals":[{"code":"not-vouched-for"}],
            "left_over":[{"path":"PATH"}],"contents_differ":[]}"#;
        let answer = read(1, no).unwrap();
        assert!(answer.has("not-vouched-for") && !answer.has("too-few-votes"));
        assert!(matches!(answer, Answer::Refused { left_over, .. } if left_over.len() == 1));
    }
}
