//! The host that is deployed to: its shell, through ssh, and its store.

use crate::error::{Error, Result};
use crate::nix::Nix;
use nixcert_core::StorePath;
use nixcert_files::said;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Read, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

/// Most that a host says: its gate explains 1,000 paths, in some 10 MB.
const SAID: u64 = 64 << 20;

/// How a host is reached.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    /// USER@HOST, or HOST.
    target: String,
    options: Vec<String>,
}

/// A command for the host's shell: fixed words and store paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn new(words: &'static str) -> Self {
        Self(words.to_owned())
    }

    pub(crate) fn words(mut self, words: &'static str) -> Self {
        self.0.push(' ');
        self.0.push_str(words);
        self
    }

    /// A store path has no quote in it, nor anything else that ends one (FORMAT O3, K2).
    pub(crate) fn path(mut self, path: &StorePath) -> Self {
        self.0.push_str(&format!(" '{path}'"));
        self
    }

    /// The root of this name; names of store paths, and their beginnings, have no quote in them either.
    pub(crate) fn root(mut self, name: &str) -> Self {
        self.0.push_str(&format!(" \"$d\"/'{name}'"));
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Remote {
    /// Read USER@HOST. What ssh would take for an option, or Nix for something else, is no host.
    pub(crate) fn parse(target: &str, ssh_options: &[String]) -> Result<Self> {
        let fault = |problem: &str| {
            Error::new(format!("'{target}' is not a host: {problem}"))
                .help("name it USER@HOST, as for ssh; the port and the like go into ~/.ssh/config, or --ssh-option Port=2222")
        };
        let (user, host) = target.rsplit_once('@').map_or((None, target), |(user, host)| (Some(user), host));
        let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        for (part, what) in user.map(|user| (user, "the user's name")).into_iter().chain([(host, "its name")])
        {
            if part.is_empty() {
                return Err(fault(&format!("{what} is empty")));
            }
            if part.starts_with('-') {
                return Err(fault(&format!("{what} begins with '-'")));
            }
            if !part.bytes().all(name_byte) {
                return Err(fault(&format!(
                    "{what} has other characters than letters, digits, '.', '_' and '-'"
                )));
            }
        }
        // Nix takes NIX_SSHOPTS apart at white space, and so does this.
        let environment = std::env::var("NIX_SSHOPTS").unwrap_or_default();
        let mut options: Vec<String> = environment.split_ascii_whitespace().map(str::to_owned).collect();
        for option in ssh_options {
            if option.is_empty() || option.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(Error::new(format!(
                    "--ssh-option: '{option}' has white space in it, or is empty"
                ))
                .help("write it as KEY=VALUE, or put it into ~/.ssh/config"));
            }
            options.push(format!("-o{option}"));
        }
        Ok(Self { target: target.to_owned(), options })
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The name behind the '@'.
    pub(crate) fn host(&self) -> &str {
        self.target.rsplit('@').next().unwrap_or_default()
    }

    pub(crate) fn url(&self) -> String {
        format!("ssh-ng://{}", self.target)
    }

    /// Its store.
    pub(crate) fn nix(&self) -> Nix {
        self.nix_at(None)
    }

    /// Its store, by a URL with parameters.
    pub(crate) fn nix_at(&self, url: Option<&str>) -> Nix {
        let url = url.map_or_else(|| self.url(), str::to_owned);
        Nix::new(Some(url)).with_ssh_options(&self.options.join(" "))
    }

    /// Arguments of ssh for a command line of the host.
    fn arguments(&self, options: &[&str], line: &Line) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = self.options.iter().map(OsString::from).collect();
        arguments.extend(options.iter().map(OsString::from));
        arguments.extend(["--".into(), OsString::from(&self.target), OsString::from(line.as_str())]);
        arguments
    }

    /// Run it; `input` is what it reads.
    pub(crate) fn run(&self, line: &Line, input: &[u8]) -> Result<Output> {
        self.run_with(line, |stdin| {
            // That it does not want all of it is for it to say.
            stdin.write_all(input).unwrap_or_default();
            Ok(())
        })
    }

    /// Run it, and write what it reads.
    pub(crate) fn run_with(
        &self,
        line: &Line,
        write: impl FnOnce(&mut ChildStdin) -> Result<()> + Send,
    ) -> Result<Output> {
        let mut command = Command::new("ssh");
        command.args(self.arguments(&[], line));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| no_ssh(&error))?;
        let stdin = child.stdin.take();
        let (output, written) = std::thread::scope(|scope| {
            // Beside, since it may answer before it has read all.
            let writer = scope.spawn(move || stdin.map_or(Ok(()), |mut stdin| write(&mut stdin)));
            (output(&mut child), writer.join())
        });
        let output = output.map_err(|error| {
            Error::new(format!("cannot read what '{}' says: {}", self.target, said(&error)))
        })?;
        self.connected(output.status.code())?;
        // Its own answer says more than that it stopped reading.
        match written {
            Ok(Err(error)) if output.status.success() => Err(error),
            Ok(_) => Ok(output),
            Err(_) => Err(Error::new("what was to be sent could not be read")),
        }
    }

    /// Run it such that it talks with whoever is at this terminal. Its exit status is none if a signal ended it.
    pub(crate) fn talk(&self, line: &Line) -> Result<Option<i32>> {
        let terminal = if is_attended() { ["-t"].as_slice() } else { &[] };
        let mut command = Command::new("ssh");
        command.args(self.arguments(terminal, line));
        if !is_attended() {
            command.stdin(Stdio::null());
        }
        let status = command.status().map_err(|error| no_ssh(&error))?;
        Ok(status.code())
    }

    /// 255 is what ssh says of itself.
    fn connected(&self, status: Option<i32>) -> Result<()> {
        match status {
            Some(255) => Err(Error::new(format!("ssh did not reach '{}'", self.target))
                .help(format!("try it by hand: ssh {}", self.target))),
            Some(_) | None => Ok(()),
        }
    }
}

/// What a program says, up to its end: or it is ended, if it says more than [`SAID`].
fn output(child: &mut Child) -> io::Result<Output> {
    fn all(from: Option<impl Read>) -> io::Result<Vec<u8>> {
        from.map_or(Ok(Vec::new()), |from| nixcert_files::read_from(from, SAID))
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = std::thread::scope(|scope| {
        let stderr = scope.spawn(move || all(stderr));
        let stdout = all(stdout);
        if stdout.is_err() {
            // It may have gone already.
            let _ = child.kill();
        }
        (stdout, stderr.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
    });
    let status = child.wait()?;
    Ok(Output { status, stdout: stdout?, stderr: stderr? })
}

/// Whether somebody can answer: then sudo may ask for a password.
pub(crate) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn no_ssh(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new("there is no command 'ssh' in PATH").help("install OpenSSH"),
        _ => Error::new(format!("cannot run 'ssh': {}", said(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_no_options() {
        for good in ["alice@web-1", "web-1.example.org", "a_b@10.0.0.1"] {
            assert_eq!(Remote::parse(good, &[]).unwrap().target(), good);
        }
        for bad in [
            "",
            "-oProxyCommand=touch x",
            "-oProxyCommand",
            "alice@-oProxyCommand",
            "-alice@web-1",
            "alice@",
            "@web-1",
            "alice@web 1",
            "web-1;reboot",
            "web-1/x",
            "ssh-ng://web-1",
            "web-1?trusted=1",
            "a@b@c",
            "wéb",
        ] {
            assert!(Remote::parse(bad, &[]).is_err(), "{bad}");
        }
        assert!(Remote::parse("web-1", &["Port 22".to_owned()]).is_err());
    }

    #[test]
    fn a_host_that_never_ends_is_not_listened_to() {
        let run = |script: &str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
            output(&mut shell.spawn().unwrap())
        };
        assert_eq!(run("cat /dev/zero").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(run("exec cat /dev/zero >&2").unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let said = run("echo out; echo err >&2; exit 3").unwrap();
        assert_eq!(
            (said.stdout.as_slice(), said.stderr.as_slice()),
            (b"out\n".as_slice(), b"err\n".as_slice())
        );
        assert_eq!(said.status.code(), Some(3));
    }

    #[test]
    fn command_lines() {
        let remote = Remote { target: "alice@web-1".to_owned(), options: vec!["-oPort=22".to_owned()] };
        let path = "/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-a?b=c";
        let path = StorePath::parse(path).unwrap();
        let line = Line::new("sudo nixcert activate").path(&path).words("switch");
        let arguments = remote.arguments(&["-t"], &line);
        let expected = [
            "-oPort=22",
            "-t",
            "--",
            "alice@web-1",
            "sudo nixcert activate '/nix/store/syd87l2rxw8cbsxmxl853h0r6pdwhwjr-a?b=c' switch",
        ];
        assert_eq!(arguments, expected.map(OsString::from));
        assert_eq!((remote.url().as_str(), remote.host()), ("ssh-ng://alice@web-1", "web-1"));
    }
}
