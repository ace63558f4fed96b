//! One switch and a cable to each host, in network namespaces: nothing of it exists in the machine's own.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::report::show;

/// The switch: a bridge in a network namespace that a sleeping process keeps.
pub(crate) struct Switch {
    keeper: Child,
}

impl Switch {
    /// Makes the switch.
    pub(crate) fn start() -> Result<Self> {
        let keeper = Command::new("unshare")
            .args(["--net", "--", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start unshare")?;
        let switch = Self { keeper };
        let mine = std::fs::read_link("/proc/self/ns/net")?;
        let theirs = format!("/proc/{}/ns/net", switch.keeper.id());
        let begun = Instant::now();
        while std::fs::read_link(&theirs).is_ok_and(|namespace| namespace == mine) {
            if begun.elapsed() > Duration::from_secs(5) {
                bail!("no network namespace was made");
            }
            thread::sleep(Duration::from_millis(2));
        }
        switch.ip(&["link", "add", "name", "switch", "type", "bridge"])?;
        switch.ip(&["link", "set", "switch", "up"])?;
        Ok(switch)
    }

    /// Plugs in the host whose first process is `pid`, as 10.77.0.`number`.
    pub(crate) fn plug(&self, pid: u32, number: u8) -> Result<()> {
        let (port, pid) = (format!("port{number}"), pid.to_string());
        self.ip(&["link", "add", "name", &port, "type", "veth", "peer", "name", "eth0", "netns", &pid])?;
        self.ip(&["link", "set", &port, "master", "switch", "up"])?;
        let inside = |arguments: &[&str]| ip(&pid, arguments);
        inside(&["link", "set", "lo", "up"])?;
        inside(&["address", "add", &format!("{}/24", address(number)), "dev", "eth0"])?;
        inside(&["link", "set", "eth0", "up"])
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&self.keeper.id().to_string(), arguments)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        // When this fails, the end of the PID namespace does it.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// The address of the host with this number.
pub(crate) fn address(number: u8) -> String {
    format!("10.77.0.{number}")
}

fn ip(pid: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.args(["--target", pid, "--net", "--", "ip"]).args(arguments).stdin(Stdio::null());
    let output = command.output().context("cannot start nsenter")?;
    if !output.status.success() {
        bail!("this failed: {}\n{}", show(&command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
