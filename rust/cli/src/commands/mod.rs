//! One module for each command.

pub(crate) mod activate;
pub(crate) mod attach;
pub(crate) mod ca;
pub(crate) mod check_closure;
pub(crate) mod closure;
pub(crate) mod deploy;
pub(crate) mod generate;
pub(crate) mod inspect;
pub(crate) mod issue;
pub(crate) mod key;
pub(crate) mod override_activation;
pub(crate) mod policy;
pub(crate) mod renew;
pub(crate) mod repair;
pub(crate) mod request;
pub(crate) mod revocation;
pub(crate) mod revoke;
pub(crate) mod rewrap;
pub(crate) mod verify;
pub(crate) mod why;
