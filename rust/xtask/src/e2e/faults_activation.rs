//! When the activation gate's records are not what they should be: nothing is activated until they are again, and nobody waits.

use anyhow::{Result, bail};

use super::{
    Case, Outcome,
    activation::{Site, activate},
    activation_host::delivered,
    faults::Wrong,
    systems::{Standing, activated},
    tools::says,
};
use crate::bed::Bed;

/// The cases.
pub(crate) const CASES: &[Case] = &[
    Case { name: "activation/record-that-is-no-file-is-refused", run: records },
    Case { name: "activation/log-that-is-no-file-is-refused", run: logs },
    Case { name: "activation/directory-of-records-that-is-none-is-refused", run: directories },
];

/// What was activated last; without it nobody knows what may not come again.
fn records(bed: &Bed) -> Result<Outcome> {
    let kinds = [
        (Wrong::Empty, "it has no header", true),
        (Wrong::Unreadable, "it is not a regular file", true),
        (Wrong::Directory, "it is not a regular file", true),
        (Wrong::Loop, "it is not a regular file", true),
        (Wrong::Pipe, "it is not a regular file", true),
    ];
    each(bed, "$(ls @/*.record | tail -n 1)", &kinds)
}

/// Where it must be written down first. What is empty or not there is begun.
fn logs(bed: &Bed) -> Result<Outcome> {
    let kinds = [
        (Wrong::Missing, "", false),
        (Wrong::Empty, "", false),
        (Wrong::Unreadable, "Input/output error", true),
        (Wrong::Directory, "it is a directory", true),
        (Wrong::Loop, "Too many levels of symbolic links", true),
        (Wrong::Pipe, "Invalid argument", true),
    ];
    each(bed, "@/log", &kinds)
}

/// One that is not there is that of a host where nothing was activated.
fn directories(bed: &Bed) -> Result<Outcome> {
    let kinds = [
        (Wrong::Missing, "", false),
        (Wrong::Empty, "it is already there", true),
        (Wrong::Loop, "it is already there", true),
        (Wrong::Pipe, "it is already there", true),
    ];
    each(bed, "@", &kinds)
}

/// Puts each of these in the place of what the pattern names, `@` being the directory of records: the activation that Alice
/// asks for then is an error that names it and changes nothing, and succeeds when all is well again; or it succeeds at once.
fn each(bed: &Bed, pattern: &str, kinds: &[(Wrong, &str, bool)]) -> Result<Outcome> {
    let site = Site::new(bed, "")?;
    let server = &bed.server;
    let (alice, system) = delivered(&site, "")?;
    site.activates(&alice, &system)?;
    for (wrong, words, is_an_error) in kinds {
        let file = server.root(&format!("echo {}", pattern.replace('@', &site.records())))?;
        let file = file.trim();
        activated(server)?;
        let before = Standing::of(server)?;
        wrong.put(server, file)?;
        let output = activate(server, alice.name, &system.top, "switch")?;
        let done = activated(server)?;
        Wrong::undo(server, file)?;
        if !is_an_error {
            output.ok()?;
            continue;
        }
        if output.success || !done.is_empty() || Standing::of(server)? != before {
            bail!("with {file} that is {wrong:?}, it was activated: {}", output.text);
        }
        says(&output.text, &[file, words])?;
        site.activates(&alice, &system)?;
    }
    Ok(Outcome::Passed)
}
