//! Other clocks than the machine's: Debian's libfaketime, which answers in the system's place when a program asks for the
//! time. (A time namespace has no clock of its own for the time of day.)

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{
    cache::{Cache, Key},
    report::Step,
    roots::{Access, inside},
};

/// Where the host reads the time of its clock.
pub(crate) const FILE: &str = "/run/clock";

/// What a program's environment must have, to go by the host's clock.
pub(crate) const ENVIRONMENT: [&str; 6] = [
    "LD_PRELOAD=/usr/lib/nixcert/libfaketime.so.1",
    "FAKETIME_TIMESTAMP_FILE=/run/clock",
    // The file is read each time that somebody asks, so the clock can be set while the program runs.
    "FAKETIME_NO_CACHE=1",
    // The times of files, and of waiting, are as they are.
    "NO_FAKE_STAT=1",
    "DONT_FAKE_MONOTONIC=1",
    "TZ=UTC",
];

/// The library, as a tree to be laid over this root.
pub(crate) fn layer(cache: &Cache, root: &Path) -> Result<PathBuf> {
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    cache.entry("clock", &Key::of([&name, SCRIPT]), |directory| {
        let step = Step::start("Fetching libfaketime");
        let downloads = cache.place("downloads/clock")?;
        let binds = [(directory, "/build"), (downloads.as_path(), "/var/cache/apt/archives")];
        step.run(&mut inside(root, &[], Access::Read, &binds, SCRIPT), &cache.log("clock")?)?;
        step.done();
        Ok(())
    })
}

const SCRIPT: &str = r#"
mkdir /tmp/package
cd /tmp
apt-get -o APT::Sandbox::User=root download libfaketime
dpkg-deb -x libfaketime_*.deb package
install -D -m 644 package/usr/lib/*/faketime/libfaketime.so.1 /build/usr/lib/nixcert/libfaketime.so.1
"#;
