//! Who asks.

use crate::error::{Error, Result};

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
