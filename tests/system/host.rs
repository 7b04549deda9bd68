//! A host to test on: boot it, run commands on it, put files on it, read its journal, take its power away.
//!
//! ```ignore
//! let host = Host::boot(Options::default());
//! host.sh("systemctl restart nginx").ok();
//! let journal = host.journal();
//! host.write_file("/etc/runtime-agent/pairing/token", token, 0o640);
//! journal.until("the pairing", Duration::from_secs(10), |entry| entry.message().contains("Paired"));
//! ```
//!
//! Everything that goes wrong panics with what the host said; a panicking test prints the host's journal. A host uses
//! the machine's network, so what listens on 127.0.0.1 outside is reachable inside. It lives as long as its value, or as
//! this process, whichever ends first.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::journal::{Entry, Journal};
use crate::machine::{Boot, Disk, SYSTEM_PATH};
use crate::packages::Packages;

/// No command of these tests takes as long by itself.
const COMMAND_TIMEOUT: &str = "120";

/// Where the packages are found on a host.
pub(crate) const PACKAGES: &str = "/packages";

/// How a host differs from the ordinary one.
#[derive(Debug, Default)]
pub(crate) struct Options {
    arguments: Vec<String>,
    network: Option<PathBuf>,
}

impl Options {
    /// Shows a directory or file of this machine on the host, read-only.
    pub(crate) fn bind(mut self, from: &Path, to: &str) -> Self {
        self.arguments.push(format!("--bind-ro={}:{to}", from.display()));
        self
    }

    /// Hands a credential to the host's systemd, as a hypervisor or a boot loader would.
    pub(crate) fn credential(mut self, name: &str, value: &str) -> Self {
        self.arguments.push(format!("--set-credential={name}:{value}"));
        self
    }

    /// Uses the named network namespace (see `ip netns`) instead of the machine's network.
    pub(crate) fn network(mut self, name: &str) -> Self {
        self.network = Some(PathBuf::from(format!("/run/netns/{name}")));
        self
    }
}

/// A host, running or not. Dropping it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct Host {
    boot: Option<Boot>,
    disk: Disk,
    arguments: Vec<String>,
    network: Option<PathBuf>,
}

impl Host {
    /// A fresh host, booted.
    pub(crate) fn boot(options: Options) -> Self {
        let mut host = Self::prepare(options);
        host.start();
        host
    }

    /// A fresh host that is not running: commands run as in the making of an image.
    pub(crate) fn prepare(options: Options) -> Self {
        let rootfs = std::env::var_os("RUNTIME_AGENT_ROOTFS").map_or_else(
            || panic!("RUNTIME_AGENT_ROOTFS does not name a root file system. Run `make system`, which makes one."),
            PathBuf::from,
        );
        let packages = Packages::find();
        let options = options
            .bind(&packages.current, &format!("{PACKAGES}/current"))
            .bind(&packages.upgrade, &format!("{PACKAGES}/upgrade"));
        Self { boot: None, disk: Disk::new(&rootfs), arguments: options.arguments, network: options.network }
    }

    /// Switches the host on. What it has on its disk is what earlier boots have written.
    pub(crate) fn start(&mut self) {
        assert!(self.boot.is_none(), "The host is running already.");
        self.boot = Some(Boot::new(&self.disk, self.network.as_deref(), &self.arguments));
    }

    /// Shuts the host down in good order.
    pub(crate) fn poweroff(&mut self) {
        self.run(&["systemctl", "poweroff"]).ok();
        self.boot.take().expect("a command just ran on it").await_end();
    }

    /// Takes the power away: every process ends at once, unwarned. [`Host::start`] brings it back.
    pub(crate) fn power_cut(&mut self) {
        self.boot.take().expect("The host is not running.").cut(&self.disk);
    }

    /// Runs a command on the host as root, with nothing of this process's environment.
    pub(crate) fn run(&self, command: &[&str]) -> Output {
        self.run_with_input(command, "")
    }

    /// Runs a shell script on the host as root; it ends at the first command that fails.
    pub(crate) fn sh(&self, script: &str) -> Output {
        self.run(&["sh", "-euc", script])
    }

    /// Runs a command that reads `input`.
    pub(crate) fn run_with_input(&self, command: &[&str], input: &str) -> Output {
        let mut child = self
            .command(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("timeout and nsenter are installed");
        // A command that does not read its input closes it, which is its own affair.
        drop(child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().expect("a child can be waited for");
        Output {
            command: command.join(" "),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn command(&self, command: &[&str]) -> Command {
        if self.boot.is_some() {
            let mut outer = self.observer(&["timeout", "--kill-after=5", COMMAND_TIMEOUT]);
            outer.args(command);
            outer
        } else {
            let mut outer = self.disk.nspawn(self.network.as_deref());
            outer.arg("--as-pid2").args(&self.arguments).arg("--").args(command);
            outer
        }
    }

    /// A command on the running host that takes as long as it likes, to be spawned, and killed, by the caller.
    pub(crate) fn observer(&self, command: &[&str]) -> Command {
        let boot = self.boot.as_ref().expect("The host is not running.");
        let mut outer = Command::new("setpriv");
        outer.args(["--pdeathsig", "KILL", "nsenter", "--all", "--target", &boot.leader().to_string(), "--"]);
        // nsenter starts the command as its child, which would outlive it.
        outer.args(["setpriv", "--pdeathsig", "KILL"]);
        outer.args(command).env_clear().env("PATH", SYSTEM_PATH);
        outer
    }

    /// The path by which this process sees a file of the running host. A symbolic link on the way that is absolute
    /// leads back to this machine, so name files by their real paths.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let boot = self.boot.as_ref().expect("The host is not running.");
        assert!(path.starts_with('/'), "{path} is not an absolute path.");
        PathBuf::from(format!("/proc/{}/root{path}", boot.leader()))
    }

    /// Writes a file on the running host in one go and in its place, as an administrator's editor or `cp` would. Its
    /// group is the one that its directory gives.
    #[track_caller]
    pub(crate) fn write_file(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) {
        let seen = self.path(path);
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&seen).and_then(|mut file| {
                // The mode again, for the file may have been there, and for this process's umask.
                file.set_permissions(PermissionsExt::from_mode(mode))?;
                file.write_all(content.as_ref())
            });
        written.unwrap_or_else(|error| panic!("{path} could not be written on the host: {error}"));
    }

    /// Reads a file of the running host.
    #[track_caller]
    pub(crate) fn read_file(&self, path: &str) -> String {
        std::fs::read_to_string(self.path(path))
            .unwrap_or_else(|error| panic!("{path} could not be read on the host: {error}"))
    }

    /// The value of a unit's property, such as `MainPID` or `ActiveState`.
    #[track_caller]
    pub(crate) fn property(&self, unit: &str, property: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", property, unit]).ok()
    }

    /// The journal from now on. Take it before doing what it is to tell about.
    pub(crate) fn journal(&self) -> Journal {
        Journal::from_now(self)
    }

    /// Waits for an entry of the journal, which may have been written at any time since the boot.
    #[track_caller]
    pub(crate) fn wait_for_journal(&self, what: &str, timeout: Duration, matches: impl Fn(&Entry) -> bool) -> Entry {
        Journal::from_boot(self).until(what, timeout, matches)
    }
}

impl Drop for Host {
    /// Tells what a failed test's host was doing, and ends it.
    fn drop(&mut self) {
        if std::thread::panicking() && self.boot.is_some() {
            let journal = self.run(&["journalctl", "--no-pager", "--output=short-precise"]);
            eprintln!("The host's journal:\n{}{}", journal.stdout, journal.stderr);
        }
        if let Some(boot) = self.boot.take() {
            boot.cut(&self.disk);
        }
    }
}

/// What a command on the host said and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    command: String,
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// What the command said on its standard output, without the last line's end, if it succeeded; panics otherwise.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "`{}` failed on the host:\n{}{}", self.command, self.stdout, self.stderr);
        self.stdout.trim_end().to_owned()
    }

    /// Panics unless the command ended with this exit status.
    #[track_caller]
    pub(crate) fn fails_with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "`{}` on the host said:\n{}{}", self.command, self.stdout, self.stderr);
        self
    }
}
