//! Hosts: machines of their own as far as Nix can tell.
//!
//! A host has its own root (a release of Debian, with another Nix over it if wished), store, processes, name,
//! network, users, daemon, sshd and syslogd. What it writes goes to a tmpfs and ends with the test bed.

use std::{
    cell::{Cell, RefCell},
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    clock,
    network::{Switch, address},
    plugin,
    roots::escape,
};

/// How long a command on a host may take, in seconds.
const PATIENCE: &str = "180";

/// What a host is made of.
pub(crate) struct Recipe<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its number, for its address.
    pub(crate) number: u8,
    /// Its root file system.
    pub(crate) root: &'a Path,
    /// Trees laid over the root, the topmost first: another Nix, further commands.
    pub(crate) layers: Vec<&'a Path>,
}

/// A running host.
pub(crate) struct Host {
    name: String,
    number: u8,
    /// `unshare`, of which the host's first process is the child.
    keeper: Child,
    pid: u32,
    daemon: RefCell<Option<Child>>,
    /// What the daemon was started with: nix.conf, and whose clock.
    conf: RefCell<(String, Clock)>,
    services: RefCell<Vec<Child>>,
    /// Whether its Nix loads the plugin.
    plugin: Cell<bool>,
}

/// By whose clock a daemon goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The machine's.
    #[default]
    Machine,
    /// The host's own, see [`Host::set_clock`].
    Host,
}

/// What a command on a host printed, and whether it succeeded.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// The command as it was typed.
    pub(crate) command: String,
    /// Whether its exit status was zero.
    pub(crate) success: bool,
    /// Its exit status, unless a signal ended it.
    pub(crate) code: Option<i32>,
    /// Both streams, in the order in which they were written.
    pub(crate) text: String,
}

impl Output {
    /// The text, of a command that succeeded.
    ///
    /// # Errors
    /// It failed; the error shows what it printed.
    pub(crate) fn ok(self) -> Result<String> {
        if !self.success {
            bail!("this failed: {}\n{}", self.command, self.text.trim_end());
        }
        Ok(self.text)
    }
}

impl Host {
    /// Boots a host. `scratch` is on a tmpfs.
    pub(crate) fn boot(scratch: &Path, switch: &Switch, recipe: &Recipe<'_>) -> Result<Self> {
        let own = scratch.join(recipe.name);
        let [root, upper, work] = ["root", "upper", "work"].map(|name| own.join(name));
        for directory in [&root, &upper, &work] {
            fs::create_dir_all(directory)?;
        }
        let lower: Vec<String> = recipe.layers.iter().copied().chain([recipe.root]).map(escape).collect();
        let options =
            format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), escape(&upper), escape(&work));

        let mut keeper = Command::new("unshare")
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child=KILL", "--"])
            .args(["sh", "-ec", BOOT, recipe.name])
            .arg(&root)
            .arg(&options)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare")?;
        let mut said = String::new();
        if let Some(out) = keeper.stdout.take() {
            BufReader::new(out).read_line(&mut said)?;
        }
        if said.trim() != "booted" {
            bail!("the host {} did not boot", recipe.name);
        }
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", keeper.id()))?;
        let pid = children.trim().parse().with_context(|| format!("the host {} has gone", recipe.name))?;

        let host = Self {
            name: recipe.name.to_owned(),
            number: recipe.number,
            keeper,
            pid,
            daemon: RefCell::default(),
            conf: RefCell::default(),
            services: RefCell::default(),
            plugin: Cell::default(),
        };
        switch.plug(pid, recipe.number)?;
        // -s 0: the log is one file, however long; a line that a test looks for does not move to another one.
        host.service("busybox syslogd -n -s 0 -O /var/log/messages")?;
        Ok(host)
    }

    /// The host's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The host's number.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// Makes host keys and starts sshd.
    pub(crate) fn start_sshd(&self) -> Result<()> {
        self.root("ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; mkdir -p /run/sshd")?;
        self.service("/usr/sbin/sshd -D -o HostKey=/etc/ssh/ssh_host_ed25519_key -o MaxStartups=100")
    }

    /// Lets every user of this host log in as every user of `server` named in `people`, by a key of their own that
    /// only opens accounts of the same name.
    pub(crate) fn may_log_in(&self, server: &Self, people: &[&str]) -> Result<()> {
        let host_key = server.root("cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub")?;
        self.root(&format!(
            "echo '{0} {1}' >> /etc/ssh/ssh_known_hosts; echo '{2} {0}' >> /etc/hosts",
            server.name,
            host_key.trim(),
            address(server.number)
        ))?;
        for person in people {
            let public = self.root(&format!(
                "cd ~{person}; test -e .ssh/id_ed25519 || su {person} -c \"mkdir -m 700 .ssh; \
                 ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519\" >&2; cat .ssh/id_ed25519.pub"
            ))?;
            server.root(&format!(
                "cd ~{person}; su {person} -c 'mkdir -p -m 700 .ssh; echo \"{}\" >> .ssh/authorized_keys'",
                public.trim()
            ))?;
        }
        Ok(())
    }

    /// From the next configuration on, Nix loads the plugin, and the daemon has the plugin's store.
    pub(crate) fn use_plugin(&self) {
        self.plugin.set(true);
    }

    /// Writes nix.conf and starts the daemon, or starts it again if the settings are others than before.
    pub(crate) fn configure(&self, settings: &str) -> Result<()> {
        self.configure_with(settings, Clock::Machine)
    }

    /// The same, with a daemon that goes by this clock.
    pub(crate) fn configure_with(&self, settings: &str, clock: Clock) -> Result<()> {
        let conf = format!(
            "experimental-features = nix-command ca-derivations\nbuild-users-group = nixbld\nsandbox = false\n\
             substituters =\ncores = 1\n{}{settings}",
            if self.plugin.get() { plugin::SETTING } else { "" }
        );
        let conf = (conf, clock);
        if self.daemon.borrow().is_some() && *self.conf.borrow() == conf {
            return Ok(());
        }
        self.stop_daemon()?;
        self.write("/etc/nix/nix.conf", conf.0.as_bytes())?;
        self.conf.replace(conf);
        self.start_daemon(clock)
    }

    /// Sets the host's own clock: an offset to the machine's, such as `-3d`, or a time at which it starts when the program
    /// does that asks for it, such as `@1970-01-02 00:00:00`. It is UTC.
    pub(crate) fn set_clock(&self, time: &str) -> Result<()> {
        self.replace(clock::FILE, format!("{time}\n").as_bytes())
    }

    fn start_daemon(&self, clock: Clock) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.path("/var/log/nix-daemon.log"))?;
        let mut words = vec!["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", "HOME=/root"];
        if clock == Clock::Host {
            words.extend(clock::ENVIRONMENT);
        }
        if self.plugin.get() {
            words.push(plugin::ENVIRONMENT);
        }
        words.push("nix-daemon");
        let child = self.enter(&words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        self.daemon.replace(Some(child));
        let begun = Instant::now();
        // The socket is made last.
        while std::os::unix::net::UnixStream::connect(self.path("/nix/var/nix/daemon-socket/socket")).is_err()
        {
            if begun.elapsed() > Duration::from_secs(20) {
                let log = fs::read_to_string(self.path("/var/log/nix-daemon.log")).unwrap_or_default();
                bail!("the daemon of {} did not start:\n{log}", self.name);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn stop_daemon(&self) -> Result<()> {
        if let Some(mut child) = self.daemon.take() {
            // `nsenter` passes no signals on, so the daemon itself is asked, with its workers.
            self.root(
                "for it in $(busybox pidof nix-daemon nix); do kill $it 2>/dev/null || true; done; \
                       rm -f /nix/var/nix/daemon-socket/socket",
            )?;
            child.wait()?;
        }
        Ok(())
    }

    /// Starts something that runs as long as the host.
    pub(crate) fn service(&self, command: &str) -> Result<()> {
        let child = self
            .enter(&["/bin/sh", "-c", &format!("exec {command}")])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.services.borrow_mut().push(child);
        Ok(())
    }

    /// What a user's login shell makes of this line.
    pub(crate) fn run_as(&self, user: &str, line: &str) -> Result<Output> {
        let mut command = self.login(user, line);
        let (mut reader, writer) = std::io::pipe()?;
        let mut child = command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).spawn()?;
        drop(command);
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut bytes)?;
        let status = child.wait()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let command = format!("{user}@{}$ {line}", self.name);
        Ok(Output { command, success: status.success(), code: status.code(), text })
    }

    /// The command that a user's login shell makes of this line, for a conversation.
    pub(crate) fn login(&self, user: &str, line: &str) -> Command {
        let mut command = self.enter(&["timeout", "--kill-after=5", PATIENCE, "su", "-", user, "-c", line]);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "dumb");
        command
    }

    /// The standard output of a shell line as root, which must succeed.
    pub(crate) fn root(&self, line: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.root_bytes(line)?).into_owned())
    }

    /// The same, of what need not be text.
    pub(crate) fn root_bytes(&self, line: &str) -> Result<Vec<u8>> {
        let mut command = self.enter(&["/bin/sh", "-ec", line]);
        command.env_clear().env("HOME", "/root");
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            bail!("this failed, as root@{}: {line}\n{}", self.name, String::from_utf8_lossy(&output.stderr));
        }
        Ok(output.stdout)
    }

    /// Writes a file, as root.
    pub(crate) fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(file.write_all(bytes)?)
    }

    /// Puts a file in the place of what may be there, as root and at once: no reader finds it half-written.
    pub(crate) fn replace(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let (new, old) = (self.path(&format!("{path}.new")), self.path(path));
        self.write(&format!("{path}.new"), bytes)?;
        fs::rename(&new, &old).with_context(|| format!("cannot write {}", old.display()))
    }

    /// Reads a file, as root.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>> {
        let path = self.path(path);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Where a file of the host is to be found from outside. Links are followed outside: not for paths with links.
    fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    fn enter(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.pid.to_string()])
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--"])
            .args(words);
        command
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // When this fails, the end of the PID namespace does it.
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        for mut child in self.services.take().into_iter().chain(self.daemon.take()) {
            let _ = child.wait();
        }
    }
}

/// Sets a host up from inside its namespaces: `$0` its name, `$1` where its root is to be, `$2` the overlay's options.
const BOOT: &str = r#"
mount -t overlay -o "$2" overlay "$1"
cd "$1"
mount -t proc proc proc
mount -t tmpfs -o mode=0755 tmpfs dev
for node in null:3 zero:5 full:7 random:8 urandom:9; do
    mknod -m 666 "dev/${node%:*}" c 1 "${node#*:}"
done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
echo "$0" > etc/hostname
echo "127.0.0.1 localhost $0" > etc/hosts
rm -f etc/resolv.conf
hostname "$0"
pivot_root . mnt
exec chroot . /bin/sh -c 'umount -l /mnt; echo booted; exec /usr/bin/tini -s -- sleep infinity > /dev/null'
"#;
