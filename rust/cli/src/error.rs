//! What went wrong, why, and what to do; and what the process says in the end.

use crate::output::{HELP, REFUSED, printable};
use nixcert_core::Selector;
use nixcert_files::FileError;
use nixcert_issue::{
    CaError, ChangeError, DraftError, IssueError, LogError, OwnListError, RenewalError, SealError,
    SecretKeyError,
};
use std::fmt::Display;
use std::io;
use std::process::ExitCode;

/// The answer of a command that ran to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    CouldNotTell,
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> Self {
        Self::from(match answer {
            Answer::Yes => 0,
            Answer::No => 1,
            Answer::CouldNotTell => 2,
        })
    }
}

/// Why a command did not run to its end.
#[derive(Debug)]
pub(crate) struct Error {
    answer: Answer,
    message: String,
    help: Option<String>,
    /// Whoever reads our output has gone: nobody to tell.
    silent: bool,
}

pub(crate) type Result<T = Answer> = std::result::Result<T, Error>;

impl Error {
    /// Something could not be done: exit status 2.
    pub(crate) fn new(message: impl Display) -> Self {
        Self { answer: Answer::CouldNotTell, message: message.to_string(), help: None, silent: false }
    }

    /// Something was looked at and refused: exit status 1.
    pub(crate) fn refused(message: impl Display) -> Self {
        Self { answer: Answer::No, ..Self::new(message) }
    }

    /// Say what to do.
    pub(crate) fn help(mut self, help: impl Display) -> Self {
        self.help = Some(help.to_string());
        self
    }

    /// Say about whom.
    pub(crate) fn about(mut self, label: &str) -> Self {
        self.message = format!("{label}: {}", self.message);
        self
    }

    /// Say in which file.
    pub(crate) fn in_file(mut self, path: &std::path::Path) -> Self {
        self.message = format!("'{}': {}", path.display(), self.message);
        self
    }

    /// Whether it is a no, or nobody could tell.
    pub(crate) fn answer(&self) -> Answer {
        self.answer
    }

    /// What went wrong, for programs.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Tell the person, and the process that called.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.silent {
            anstream::eprintln!("{REFUSED}error:{REFUSED:#} {}", printable(&self.message));
            if let Some(help) = &self.help {
                anstream::eprintln!(" {HELP}help:{HELP:#} {}", printable(help));
            }
        }
        self.answer.into()
    }
}

/// Output that cannot be written.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        let message = format!("cannot write the output: {}", nixcert_files::said(&error));
        Self { silent, ..Self::new(message) }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Self {
        let help = match error.error.kind() {
            io::ErrorKind::AlreadyExists => Some("choose another name, or replace it with --force"),
            io::ErrorKind::NotFound if error.action == "read" => {
                Some("check the path; '-' reads standard input where a command says so")
            }
            io::ErrorKind::IsADirectory => Some("name a file in it"),
            io::ErrorKind::PermissionDenied => Some("check who owns it, and its mode"),
            io::ErrorKind::FileTooLarge => Some("is it the right file?"),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("make room on that disk, and try again")
            }
            _ => None,
        };
        let message = Self::new(&error);
        help.map_or_else(|| Self::new(&error), |help| message.help(help))
    }
}

impl From<SecretKeyError> for Error {
    fn from(error: SecretKeyError) -> Self {
        let message = Self::new(error);
        match error {
            SecretKeyError::PublicKey => message.help("name the file that holds the secret half"),
            SecretKeyError::Form
            | SecretKeyError::Base64
            | SecretKeyError::Length(_)
            | SecretKeyError::Halves => message.help(
                "a key file is what 'nixcert key generate' or 'nix key generate-secret' writes, on one line",
            ),
            SecretKeyError::Randomness => message,
        }
    }
}

impl From<SealError> for Error {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Key(error) => error.into(),
            SealError::WrongPassphrase => Self::new(error).help("try again; nothing was changed"),
            SealError::PassphraseNeeded => {
                Self::new(error).help("run it on a terminal, or name --passphrase-file or --passphrase-fd")
            }
            SealError::Damaged(_) => Self::new(error).help("restore ca.key from your backup"),
            SealError::Encrypt(_) => Self::new(error),
        }
    }
}

impl From<LogError> for Error {
    fn from(error: LogError) -> Self {
        match error {
            LogError::File(error) => error.into(),
            LogError::Line { .. } => Self::new(error).help(
                "restore the log from your backup: without it the CA does not know whose labels are taken",
            ),
        }
    }
}

impl From<RenewalError> for Error {
    fn from(error: RenewalError) -> Self {
        let help = match error {
            RenewalError::UnknownLabel { .. } | RenewalError::UnknownSerial { .. } => {
                "'nixcert ca log DIR' shows what was issued"
            }
            RenewalError::KeyReplaced { .. } => "a key that was given up is never renewed; renew by --label",
            RenewalError::Record { .. } => "restore the log from your backup; nothing was signed",
        };
        Self::refused(error).help(help)
    }
}

impl From<OwnListError> for Error {
    fn from(error: OwnListError) -> Self {
        match error {
            OwnListError::File(error) => error.into(),
            OwnListError::Unusable { .. } | OwnListError::Missing { .. } | OwnListError::Older { .. } => {
                Self::new(error).help(
                    "restore it from your backup; or take the newest that a host holds: nixcert revoke --ca DIR \
                     --refresh --previous LIST. Without it, what was revoked would be forgotten",
                )
            }
        }
    }
}

impl From<ChangeError> for Error {
    fn from(error: ChangeError) -> Self {
        let help = match error {
            ChangeError::DelegateTakesBack => "only the CA itself can, in its own list, what that list says",
            ChangeError::NotRevoked { .. } => "'nixcert revocation show LIST' shows what it revokes",
            ChangeError::Itself => "take the key out of trusted-ca-keys on every host, and make another CA",
            ChangeError::ToCome { .. } => "name the first second in which somebody else may have had the key",
            ChangeError::LastSecond => {
                "correct the clock, and begin anew with --first; hosts need 'revocation reset'"
            }
        };
        Self::refused(error).help(help)
    }
}

impl From<DraftError> for Error {
    fn from(error: DraftError) -> Self {
        Self::new(error).help("correct what was asked for")
    }
}

impl From<CaError> for Error {
    fn from(error: CaError) -> Self {
        let help = match &error {
            CaError::Exists(_) => "choose another directory: a CA is never overwritten",
            CaError::NotACa(_) => "name a directory that 'nixcert ca init' made",
            CaError::Name(_) | CaError::EmptyName => {
                "a name such as acme-2026-1 says whose CA it is, and which one"
            }
            CaError::Label(_) => "a name such as team-a will do",
            CaError::OpenKey(_) => "take the right from others (chmod 600), and ask yourself who has read it",
            CaError::AnotherKey(_) => "restore the directory from your backup",
            CaError::NotOurs { .. } => {
                "adopt the certificate that was issued for this directory's ca.request"
            }
            CaError::NotForIssuing => "ask for one issued with --usage issue,import-paths",
            CaError::RootNeedsNone => "put the line in its ca.pub into trusted-ca-keys of your hosts",
            CaError::Refused(reason) => reason.advice(),
            CaError::CertificateName(_) | CaError::Certificate(_) => {
                "a certificate file is what 'nixcert issue -o' writes, on one line"
            }
            CaError::Description { .. } => "restore ca.json from your backup",
            CaError::File(_)
            | CaError::Log(_)
            | CaError::Seal(_)
            | CaError::Draft(_)
            | CaError::Encode(_) => "",
        };
        let help = help.to_owned();
        match error {
            CaError::File(error) => error.into(),
            CaError::Log(error) => error.into(),
            CaError::Seal(error) => error.into(),
            CaError::Draft(error) => error.into(),
            CaError::Encode(_) => Self::new(error),
            CaError::AnotherKey(_)
            | CaError::NotOurs { .. }
            | CaError::NotForIssuing
            | CaError::RootNeedsNone
            | CaError::Refused(_) => Self::refused(error).help(help),
            CaError::Exists(_)
            | CaError::NotACa(_)
            | CaError::Description { .. }
            | CaError::Name(_)
            | CaError::EmptyName
            | CaError::Label(_)
            | CaError::OpenKey(_)
            | CaError::CertificateName(_)
            | CaError::Certificate(_) => Self::new(error).help(help),
        }
    }
}

impl From<IssueError> for Error {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Log(error) => error.into(),
            IssueError::Draft(error) => error.into(),
            IssueError::OwnList(error) => error.into(),
            IssueError::CompromisedKey { .. } => {
                Self::refused(error).help("have a new key made, and a request with that")
            }
            IssueError::Revoked { ref selector, .. } => {
                let help = match selector {
                    Selector::Label(label) => format!(
                        "choose another --label; or, if '{label}' was revoked by mistake: nixcert revoke --ca DIR \
                         --withdraw label:{label}"
                    ),
                    Selector::Key(_) | Selector::Serial(_) => "have a new key made, and a request with that".to_owned(),
                };
                Self::refused(error).help(help)
            }
            IssueError::Trust(_) => Self::new(error),
            IssueError::NotCertified { .. } => Self::refused(error).help(
                "have its ca.request certified (nixcert issue --usage issue,import-paths …), and install the answer with \
                 'nixcert ca adopt'",
            ),
            IssueError::LabelTaken(_) => Self::refused(error).help(
                "give this person another --label; if it is the same person with a new key, say --replace-key, and \
                 remember that the old certificate stays valid until it expires",
            ),
            IssueError::IssuesForNothing => {
                Self::refused(error).help("name them too, such as --usage issue,import-paths")
            }
            IssueError::RepeatedKey => Self::refused(error).help("have a key made that is nobody else's"),
            IssueError::ChainFull => Self::refused(error).help("let a CA higher up issue this certificate"),
            IssueError::IssuerLacksUsage { .. } => {
                Self::refused(error).help("leave the usage out, or let a CA higher up issue this certificate")
            }
            IssueError::OutlivesIssuer { .. } => {
                Self::refused(error).help("choose a time within it with --valid, or renew the intermediate first")
            }
            IssueError::PathLength { .. } => Self::refused(error)
                .help("choose a smaller --path-length, or let a CA higher up issue this certificate"),
            IssueError::Refused(_) | IssueError::Name(_) => {
                Self::refused(error).help("use fewer or shorter patterns, or fewer intermediates")
            }
        }
    }
}
