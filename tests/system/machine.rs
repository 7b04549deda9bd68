//! What a host runs on: a disk that outlives its boots, and a boot of systemd from it in a container.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A boot takes less than a second on an idle machine, and far longer beside a compiler.
const BOOT_TIMEOUT: Duration = Duration::from_secs(120);

/// systemd itself gives a service 90 s to stop.
const POWEROFF_TIMEOUT: Duration = Duration::from_secs(100);

/// Mounts what a container needs, out of everybody's sight, and holds it until its standard input is closed, which also
/// happens when the tests are killed. Then it ends whatever still runs on the disk.
///
/// The machine may have its control groups mounted in the old layout, which the container's systemd cannot use; hence a
/// hierarchy of the new kind, in which each container gets a group of its own: in one group, two of them would take
/// each other's services for their own. What the container writes goes to memory, above a root file system that stays
/// as it is.
const HOLD_DISK: &str = r#"
    lower=$1 disk=$2 group=/sys/fs/cgroup/$3
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir "$group"
    mount -t tmpfs tmpfs /run
    mkdir /run/systemd
    mount -t tmpfs tmpfs "$disk"
    mkdir "$disk/upper" "$disk/work" "$disk/root"
    mount -t overlay overlay -o "lowerdir=$lower,upperdir=$disk/upper,workdir=$disk/work" "$disk/root"
    echo ready
    cat
    echo 1 >"$group/cgroup.kill"
    # The kernel takes a moment to end the processes, and tells nobody when it has; a group in use cannot be removed.
    for attempt in $(seq 100); do
        if find "$group" -depth -type d -exec rmdir {} + 2>/dev/null; then exit 0; fi
        sleep 0.05
    done
    echo "The control group $group cannot be removed; something in it does not end." >&2
    exit 1
"#;

/// Starts a command within the container's control group.
const IN_CGROUP: &str = r#"
    echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
    shift
    exec "$@" 2>&1
"#;

/// A root file system that can be written to, and forgets everything when it is dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    name: String,
    holder: Child,
    /// Closing it ends the holder, and with it all of its mounts.
    stdin: Option<ChildStdin>,
    /// `disk` is the mount point, `notify` the socket on which a boot reports.
    directory: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new(rootfs: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("runtime-agent-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));

        let directory = tempfile::Builder::new()
            .prefix("runtime-agent-system-")
            .tempdir()
            .expect("a temporary directory can be made");
        let mount_point = directory.path().join("disk");
        std::fs::create_dir(&mount_point).expect("a directory can be made in a new one");

        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-euc", HOLD_DISK, "sh"])
            .arg(rootfs)
            .arg(&mount_point)
            .arg(&name)
            // What interrupts the tests in a terminal does not keep the holder from tidying up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is installed");
        let stdin = holder.stdin.take();
        let mut ready = String::new();
        let stdout = holder.stdout.take().expect("it was asked for");
        BufReader::new(stdout).read_line(&mut ready).expect("a pipe can be read");
        if ready.trim() != "ready" {
            let mut why = String::new();
            let stderr = holder.stderr.take().expect("it was asked for");
            BufReader::new(stderr).read_to_string(&mut why).expect("a pipe can be read");
            panic!("The container's disk could not be mounted (are the tests run as root?): {why}");
        }
        Self { name, holder, stdin, directory }
    }

    /// `systemd-nspawn` on this disk, with everything but its last arguments.
    pub(crate) fn nspawn(&self, network: Option<&Path>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        command.args(network.map(|path| format!("--net={}", path.display())));
        command.args(["--", "sh", "-euc", IN_CGROUP, "sh", &self.name, "systemd-nspawn", "--quiet"]);
        command.args(["--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off"]);
        command.arg(format!("--machine={}", self.name));
        command.arg("--directory").arg(self.mount_point().join("root"));
        command.env_clear().env("PATH", SYSTEM_PATH);
        command
    }

    fn mount_point(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    /// Ends every process that runs on this disk, at once and unwarned.
    fn kill(&self) {
        // Only the holder sees this hierarchy.
        let switch = format!("/proc/{}/root/sys/fs/cgroup/{}/cgroup.kill", self.holder.id(), self.name);
        std::fs::write(&switch, "1").unwrap_or_else(|error| panic!("{switch} could not be written: {error}"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let tidied = self.holder.wait().is_ok_and(|status| status.success());
        if !tidied && !std::thread::panicking() {
            panic!("The container {} left something behind.", self.name);
        }
    }
}

/// Where a minimal system has its programs; the tests' own environment is nobody's business in the container.
pub(crate) const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// One boot of systemd, from power-on to power-off.
#[derive(Debug)]
pub(crate) struct Boot {
    nspawn: Child,
    /// The container's process 1, as a number of this machine.
    leader: u32,
    console: Arc<Mutex<String>>,
    /// Disconnected when the container is gone, for the console is then closed.
    running: Receiver<()>,
}

impl Boot {
    /// Boots, and returns as soon as systemd has reached its default target.
    pub(crate) fn new(disk: &Disk, network: Option<&Path>, arguments: &[String]) -> Self {
        let socket_path = disk.directory.path().join("notify");
        drop(std::fs::remove_file(&socket_path));
        let socket = UnixDatagram::bind(&socket_path).expect("a socket can be made in a new directory");

        let mut nspawn = disk
            .nspawn(network)
            .args(["--boot", "--notify-ready=yes"])
            .args(arguments)
            .env("NOTIFY_SOCKET", &socket_path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter (util-linux) is installed");
        let console = Arc::new(Mutex::new(String::new()));
        let running = gather(nspawn.stdout.take().expect("it was asked for"), Arc::clone(&console));

        let mut boot = Self { nspawn, leader: 0, console, running };
        boot.await_ready(&socket);
        // A full socket would block the container's systemd at some later message; a closed one does not.
        drop(socket);
        boot
    }

    fn await_ready(&mut self, socket: &UnixDatagram) {
        let deadline = Instant::now() + BOOT_TIMEOUT;
        // Short waits only to notice a container that ended without a message.
        socket.set_read_timeout(Some(Duration::from_millis(500))).expect("the time is not zero");
        let mut buffer = [0; 4096];
        loop {
            if let Ok(length) = socket.recv(&mut buffer) {
                for line in String::from_utf8_lossy(&buffer[..length]).lines() {
                    if let Some(pid) = line.strip_prefix("X_NSPAWN_LEADER_PID=") {
                        self.leader = pid.parse().expect("systemd-nspawn sends a number");
                    }
                    if line == "READY=1" && self.leader != 0 {
                        return;
                    }
                }
            }
            let ended = self.running.try_recv() == Err(mpsc::TryRecvError::Disconnected);
            assert!(!ended, "The container ended while it was booting. Its console said:\n{}", self.console());
            assert!(Instant::now() < deadline, "The container did not boot. Its console says:\n{}", self.console());
        }
    }

    pub(crate) fn leader(&self) -> u32 {
        self.leader
    }

    pub(crate) fn console(&self) -> String {
        self.console.lock().map_or_else(|poisoned| poisoned.into_inner().clone(), |text| text.clone())
    }

    /// Waits until the container has ended by itself.
    pub(crate) fn await_end(mut self) {
        let ended = self.running.recv_timeout(POWEROFF_TIMEOUT);
        assert_eq!(
            ended,
            Err(RecvTimeoutError::Disconnected),
            "The container did not power off. Its console says:\n{}",
            self.console()
        );
        drop(self.nspawn.wait());
    }

    /// Pulls the plug.
    pub(crate) fn cut(mut self, disk: &Disk) {
        disk.kill();
        drop(self.nspawn.wait());
    }
}

/// Gathers what comes through `pipe` into `text`; the receiver is disconnected at its end.
fn gather(mut pipe: impl std::io::Read + Send + 'static, text: Arc<Mutex<String>>) -> Receiver<()> {
    let (alive, running) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            if let Ok(mut text) = text.lock() {
                text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        }
        drop(alive);
    });
    running
}
