//! A host: a folder with a configuration, a state and hooks, and the agent that runs on it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::future::Future;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use plane::Plane;
use runtime_agent::agent::status::Status;
use runtime_agent::config::{ApplyMode, LogFormat, Seconds, Settings};
use runtime_agent::control::{Answer, Client};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_runtime-agent");

/// How long anything may take before the test fails: far longer than it takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// Waits for `event`; a test that waits in vain fails, saying for what.
pub async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, event).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A host.
pub struct Host {
    folder: TempDir,
}

impl Host {
    /// A host that knows the plane's server CA; `change` says what else is configured.
    pub fn new(plane: &Plane, change: impl FnOnce(&mut Settings)) -> Self {
        Self::new_in(tempfile::tempdir().unwrap(), plane, change)
    }

    /// The same in memory, where the system has a place there: the calls are the same, and hundreds of runs wait for no
    /// disk.
    pub fn in_memory(plane: &Plane, change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self::new_in(folder, plane, change)
    }

    fn new_in(folder: TempDir, plane: &Plane, change: impl FnOnce(&mut Settings)) -> Self {
        let host = Self { folder };
        for name in ["pairing", "hooks.d", "spool"] {
            fs::create_dir(host.path(name)).unwrap();
            // Whatever umask the tests run with: the applier runs nothing that others could have written.
            fs::set_permissions(host.path(name), Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(host.path("plane-ca.pem"), plane.server_ca_pem()).unwrap();
        host.configure(change);
        host
    }

    /// Writes the configuration: the defaults, where they do not reach outside of this host or have tests wait, and
    /// then `change`.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = Settings::default();
        settings.plane.ca_bundle = Some(self.path("plane-ca.pem"));
        // Polls are ordered where a test needs one.
        settings.sync.interval = Seconds::new(3600);
        settings.apply.mode = ApplyMode::Inline;
        settings.apply.state = self.path("apply");
        settings.apply.socket = self.path("apply.sock");
        settings.paths.state = self.path("state");
        settings.paths.runtime = self.path("run");
        settings.paths.pairing = self.path("pairing");
        settings.paths.hooks = self.path("hooks.d");
        settings.log.format = LogFormat::Text;
        change(&mut settings);
        self.write_configuration(&toml::to_string(&settings).unwrap());
    }

    /// Writes the configuration, whatever it is.
    pub fn write_configuration(&self, text: &str) {
        fs::write(self.path("agent.toml"), text).unwrap();
    }

    /// A path on this host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is in a file of this host.
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Everything that processes of the agent ever wrote.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// Where a token is dropped.
    pub fn token(&self) -> PathBuf {
        self.path("pairing/token")
    }

    /// Puts a token file in place, whole, as `pair` and careful people do.
    pub fn drop_token(&self, content: &str) {
        fs::write(self.path("pairing/.token"), content).unwrap();
        fs::rename(self.path("pairing/.token"), self.token()).unwrap();
    }

    /// Puts a hook in place: a shell script; `$SPOOL` is a folder for it to write to.
    pub fn hook(&self, name: &str, body: &str) {
        let spool = self.path("spool");
        let script = format!("#!/bin/sh\nSPOOL={}\n{body}\n", spool.display());
        // Made elsewhere and renamed in: a process that forks meanwhile would hold a file open that is to be executed.
        let path = self.path("hooks.d").join(name);
        let draft = self.path(&format!("spool/.{name}"));
        fs::write(&draft, script).unwrap();
        fs::set_permissions(&draft, Permissions::from_mode(0o755)).unwrap();
        fs::rename(draft, path).unwrap();
    }

    fn file_for_output(&self) -> File {
        OpenOptions::new().append(true).create(true).open(self.path("log")).unwrap()
    }

    /// The program with this host's configuration and an environment that says nothing of whoever runs the tests.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--config").arg(self.path("agent.toml"));
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").kill_on_drop(true);
        command
    }

    /// Runs a subcommand to its end.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Output {
        finished(self.command(arguments), input).await
    }

    /// Starts the agent, and waits until it says that it is ready.
    pub async fn start(&self) -> Agent<'_> {
        self.start_command(self.command(&["run"])).await
    }

    /// Starts the agent by a command that becomes it.
    pub async fn start_command(&self, command: Command) -> Agent<'_> {
        match self.launch(command).await {
            Ok(agent) => agent,
            Err(status) => panic!("the agent ended with {status} at its start:\n{}", self.log()),
        }
    }

    /// Starts the agent by a command that becomes it, where it may end before it is ready.
    pub async fn launch(&self, mut command: Command) -> Result<Agent<'_>, ExitStatus> {
        let socket = self.path("notify");
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        let notices = UnixDatagram::bind(&socket).unwrap();
        // The agent may run as another user than the tests.
        fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
        command.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null());
        command.stdout(self.file_for_output()).stderr(self.file_for_output());
        let mut child = command.spawn().unwrap();
        let mut buffer = [0; 4096];
        let ready = async {
            loop {
                let length = notices.recv(&mut buffer).await.unwrap();
                if buffer[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                    return;
                }
            }
        };
        tokio::select! {
            () = within("the agent to be ready", ready) => {}
            status = child.wait() => return Err(status.unwrap()),
        }
        let told = self.path("told");
        // What is not taken from the socket would hold up the agent.
        let listener = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Ok(length) = notices.recv(&mut buffer).await {
                all.extend_from_slice(&buffer[..length]);
                all.push(b'\n');
                fs::write(&told, &all).unwrap();
            }
        });
        let client = Client::new(&self.path("run/control.sock")).unwrap();
        Ok(Agent { host: self, child, client, listener })
    }
}

/// Runs a command to its end with this on its standard input.
pub async fn finished(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Whoever refuses the command line reads nothing.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    within("a command to end", child.wait_with_output()).await.unwrap()
}

/// What a command wrote to its standard output and error.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A running agent; it is killed when this is dropped.
pub struct Agent<'a> {
    host: &'a Host,
    child: Child,
    client: Client,
    listener: tokio::task::JoinHandle<()>,
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        self.listener.abort();
        if let Some(pid) = self.child.id().and_then(|id| id.try_into().ok()).map(Pid::from_raw) {
            // Its folder is removed next, and it must not write there any more; the runtime reaps it.
            let _ = kill(pid, Signal::SIGKILL);
            let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        }
        if std::thread::panicking() {
            eprintln!("what the agent wrote:\n{}", self.host.log());
        }
    }
}

impl Agent<'_> {
    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// How things are.
    pub async fn status(&self) -> Status {
        within("the status", self.client.status(None)).await.unwrap()
    }

    /// Waits until the agent's board is as it should be.
    pub async fn wait_for(&self, what: &str, mut holds: impl FnMut(&Status) -> bool) -> Status {
        let mut last = None;
        let waiting = async {
            let mut after = None;
            loop {
                let status = self.client.status(after).await.unwrap();
                if holds(&status) {
                    return status;
                }
                after = Some(status.revision);
                last = Some(status);
            }
        };
        match tokio::time::timeout(LIMIT, waiting).await {
            Ok(status) => status,
            Err(_) => panic!("waited in vain for {what}; at the end: {last:#?}"),
        }
    }

    /// Waits until the agent's board is as it should be, or the agent has ended; whether it has.
    pub async fn ends_before(&mut self, mut holds: impl FnMut(&Status) -> bool) -> bool {
        let (child, client) = (&mut self.child, &self.client);
        let waiting = async {
            let mut after = None;
            while let Ok(status) = client.status(after).await {
                if holds(&status) {
                    return false;
                }
                after = Some(status.revision);
            }
            child.wait().await.unwrap();
            true
        };
        within("the agent's end, or what it was to do before", waiting).await
    }

    /// Orders a renewal of an agent that may be about to end.
    pub async fn renew_if_alive(&self) {
        // Without an answer it has ended.
        let _ = within("the order to renew", self.client.renew()).await;
    }

    /// Has the plane asked, and tells what came of it.
    pub async fn sync(&self) -> Answer {
        within("a poll", self.client.sync()).await.unwrap()
    }

    /// Orders a renewal.
    pub async fn renew(&self) -> Answer {
        within("the order to renew", self.client.renew()).await.unwrap()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn end(mut self) -> ExitStatus {
        within("the agent to end", self.child.wait()).await.unwrap()
    }

    /// Ends it as a power failure would.
    pub async fn kill(self) {
        self.signal(Signal::SIGKILL);
        self.end().await;
    }

    /// Ends it as systemd does.
    pub async fn terminate(self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.end().await
    }

    /// What it told the service manager so far.
    pub fn told(&self) -> String {
        fs::read_to_string(self.host.path("told")).unwrap_or_default()
    }
}

/// The names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let text = |name: &OsStr| name.to_str().unwrap().to_owned();
    let mut names: Vec<String> = fs::read_dir(folder).unwrap().map(|entry| text(&entry.unwrap().file_name())).collect();
    names.sort();
    names
}
