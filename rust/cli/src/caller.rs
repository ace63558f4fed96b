//! Who asks.

use crate::error::{Error, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What ends a process, or a file that it writes, half-way.
const LIMITS: [Resource; 4] = [Resource::Cpu, Resource::Fsize, Resource::Data, Resource::As];

/// Without a limit.
const MOST: Option<u64> = None;

/// Open files, and bytes of stack: what Linux gives to whoever sets nothing.
const FILES: u64 = 1024;
const STACK: u64 = 8 << 20;

/// A limit that is at least this.
fn lifted(limit: Rlimit, least: Option<u64>) -> Rlimit {
    let at_least = |one: Option<u64>| one.zip(least).map(|(one, least)| one.max(least));
    Rlimit { current: at_least(limit.current), maximum: at_least(limit.maximum) }
}

/// Whoever has root do something.
pub(crate) struct Caller(Option<String>);

impl Caller {
    /// Who had sudo run this command, which only root can do anything with.
    pub(crate) fn of_root(command: &str) -> Result<Self> {
        if uzers::get_effective_uid() != 0 {
            return Err(Error::new(format!("only root can do that: 'nixcert {command}' changes the system"))
                .help(format!("sudo nixcert {command} …")));
        }
        // Neither who may read what is written here, nor where it is, is the caller's choice.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        std::env::set_current_dir("/")?;
        // sudo hands on its caller's limits (sudoers(5): rlimit_fsize and its like), and so would what is activated: who may
        // ask for that must not choose where it breaks off. Where the system grants no more, they are its own.
        for resource in LIMITS {
            let _ = setrlimit(resource, lifted(getrlimit(resource), MOST));
        }
        let _ = setrlimit(Resource::Nofile, lifted(getrlimit(Resource::Nofile), Some(FILES)));
        let _ = setrlimit(Resource::Stack, lifted(getrlimit(Resource::Stack), Some(STACK)));
        behind_sudo().map(Self)
    }

    /// The login name, if it is known.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// For a record.
    pub(crate) fn user(&self) -> &str {
        self.name().unwrap_or("root")
    }
}

/// Whoever runs this, for questions that change nothing.
pub(crate) fn anyone() -> Result<Option<String>> {
    if uzers::get_effective_uid() == 0 { behind_sudo() } else { Ok(login_name(uzers::get_current_uid())) }
}

/// Who had sudo run this; `None` where root did it alone. sudo sets both variables itself, whatever its caller has set.
fn behind_sudo() -> Result<Option<String>> {
    let fault = |what: &str| {
        Error::new(format!("it cannot be told who asks: {what}")).help("run it by sudo, or as root itself")
    };
    let (name, id) = match (std::env::var_os("SUDO_USER"), std::env::var_os("SUDO_UID")) {
        (None, None) => return Ok(None),
        (Some(name), Some(id)) => (name, id),
        (Some(_), None) | (None, Some(_)) => {
            return Err(fault("only one of SUDO_USER and SUDO_UID is set"));
        }
    };
    let name = name.into_string().map_err(|_| fault("SUDO_USER is not text"))?;
    let id: u32 = id.to_str().and_then(|id| id.parse().ok()).ok_or_else(|| fault("SUDO_UID is no number"))?;
    match login_name(id) {
        Some(own) if own == name => Ok(Some(name)),
        Some(own) => Err(fault(&format!("SUDO_USER is '{name}', and SUDO_UID {id} is '{own}'"))),
        None => Err(fault(&format!("there is no user with SUDO_UID {id}"))),
    }
}

fn login_name(id: u32) -> Option<String> {
    uzers::get_user_by_uid(id).and_then(|user| user.name().to_str().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_lifted_and_never_lowered() {
        let limit = |current, maximum| Rlimit { current, maximum };
        assert_eq!(lifted(limit(Some(1), Some(2)), None), limit(None, None));
        assert_eq!(lifted(limit(Some(1), Some(2)), Some(9)), limit(Some(9), Some(9)));
        assert_eq!(lifted(limit(Some(1), Some(20)), Some(9)), limit(Some(9), Some(20)));
        assert_eq!(lifted(limit(Some(10), None), Some(9)), limit(Some(10), None));
    }
}
