//! Two namespaces, the agent's and the plane's, with nothing between them but a relay: as root, or in a user namespace
//! where the system permits that.

use std::fs::{self, OpenOptions};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::relay::Relay;
use crate::compiled::compiled;

/// The name by which the plane is reached.
pub const PLANE: &str = "localhost";
/// The plane's addresses: the one that its name stands for at first, and another.
pub const PLANE_ADDRESSES: [&str; 2] = ["10.77.0.1", "10.77.0.2"];
/// The agent's addresses: the one that it has at first, and another.
pub const AGENT_ADDRESSES: [&str; 2] = ["10.77.0.101", "10.77.0.102"];
/// The device on each side.
const DEVICE: &str = "wire";

/// How many descriptors a side hands over at most.
const MOST: usize = 8;

/// The network of one host and its plane; dropping it ends it.
pub struct Spaces {
    /// The agent's side.
    pub agent: Side,
    /// The plane's.
    pub plane: Side,
    /// The weather between them.
    pub relay: Relay,
    /// What stands for the files of /etc by which names are looked up.
    pub etc: Etc,
    _bridges: JoinSet<()>,
}

/// The files by which names are looked up in the agent's namespace.
pub struct Etc(TempDir);

impl Etc {
    fn new() -> Self {
        let etc = Self(tempfile::tempdir().unwrap());
        etc.restore();
        etc
    }

    /// All is well again: the plane's name stands for its first address.
    pub fn restore(&self) {
        self.hosts(&format!("{} {PLANE}\n", PLANE_ADDRESSES[0]));
        self.write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
        self.write("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
    }

    /// What /etc/hosts says.
    pub fn hosts(&self, text: &str) {
        self.write("hosts", text);
    }

    /// What a file says. The files are mounted, so they are written in place.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A namespace, and who holds it.
pub struct Side {
    holder: Child,
    /// Whether it is within a user namespace, too.
    mapped: bool,
    _line: UnixStream,
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Spaces {
    /// Makes both sides; on the plane's, whatever connects to one of the ports is connected to the same port of this
    /// host's own loopback.
    ///
    /// # Errors
    /// A sentence, where this system does not permit that.
    pub fn between(ports: &[u16], seed: u64) -> Result<Self, String> {
        let etc = Etc::new();
        let (agent, devices) = Side::new(AGENT_ADDRESSES[0], &[], Some(etc.path()))?;
        let (plane, handed) = Side::new(PLANE_ADDRESSES[0], ports, None)?;
        let [agent_device] = <[OwnedFd; 1]>::try_from(devices).map_err(|_| "the agent's side has no device")?;
        let mut handed = handed.into_iter();
        let plane_device = handed.next().ok_or("the plane's side has no device")?;
        let mut bridges = JoinSet::new();
        for (listener, port) in handed.zip(ports) {
            let listener = TcpListener::from_std(listener.into()).unwrap();
            bridges.spawn(bridge(listener, *port));
        }
        let relay = Relay::between(agent_device, plane_device, seed);
        Ok(Self { agent, plane, relay, etc, _bridges: bridges })
    }

    /// The same command, on the agent's side.
    pub fn command(&self, command: &Command) -> Command {
        let mut inside = self.agent.enter();
        inside.arg(command.get_program()).args(command.get_args());
        inside.env_clear();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                inside.env(name, value);
            }
        }
        inside
    }
}

impl Side {
    /// Makes one, and answers what it handed over: its device, and a listener for each port.
    fn new(address: &str, ports: &[u16], etc: Option<&Path>) -> Result<(Self, Vec<OwnedFd>), String> {
        let mut steps = vec!["ip link set lo up".to_owned(), format!("ip tuntap add dev {DEVICE} mode tun")];
        steps.push(format!("ip address add {address}/24 dev {DEVICE}"));
        steps.push(format!("ip link set {DEVICE} up"));
        for name in ["hosts", "resolv.conf", "nsswitch.conf"] {
            // What is a link is followed: the mount is where it leads to.
            let mount = |etc: &Path| format!("mount --bind {}/{name} \"$(readlink -f /etc/{name})\"", etc.display());
            steps.extend(etc.map(mount));
        }
        steps.push("exec \"$0\" \"$@\"".to_owned());
        let mapped = !nix::unistd::geteuid().is_root();
        let log = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        let (line, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount"]);
        if mapped {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--", "sh", "-ec", &steps.join("\n")]).arg(side()).arg(DEVICE);
        command.args(ports.iter().map(u16::to_string));
        let errors = OpenOptions::new().append(true).open(log.path()).map_err(|error| error.to_string())?;
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null()).stderr(errors);
        let holder = command.spawn().map_err(|error| format!("unshare cannot be run: {error}"))?;
        // Else this process would hold the other end, too, and wait for itself.
        drop(command);
        let side = Self { holder, mapped, _line: line };
        let handed = received(&side._line);
        if handed.is_empty() {
            let said = fs::read_to_string(log.path()).unwrap_or_default();
            return Err(format!("this system does not permit it: {}", said.trim()));
        }
        Ok((side, handed))
    }

    /// How large a packet its device takes, in bytes.
    pub fn mtu(&self, bytes: u16) {
        self.sees_to(&format!("ip link set {DEVICE} mtu {bytes}"));
    }

    /// Gives it another address in place of the one it has.
    pub fn moves(&self, [from, to]: [&str; 2]) {
        self.sees_to(&format!("ip address del {from}/24 dev {DEVICE}; ip address add {to}/24 dev {DEVICE}"));
    }

    /// Runs a shell's command line there.
    fn sees_to(&self, line: &str) {
        let ended = self.enter().args(["sh", "-ec", line]).output().unwrap();
        assert!(ended.status.success(), "{line}: {}", String::from_utf8_lossy(&ended.stderr));
    }

    /// A command that enters it, and becomes what is added to it.
    fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.holder.id())).args(["--net", "--mount"]);
        if self.mapped {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--");
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir("/");
        command
    }
}

fn side() -> &'static PathBuf {
    static SIDE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    SIDE.get_or_init(|| compiled("network/side.c", &[]))
}

/// The descriptors that come over a socket; none where it is closed.
fn received(line: &UnixStream) -> Vec<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let Ok(_) = recvmsg(line, &mut [IoSliceMut::new(&mut byte)], &mut rights, RecvFlags::CMSG_CLOEXEC) else {
        return Vec::new();
    };
    let descriptors = |message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    };
    rights.drain().filter_map(descriptors).flatten().collect()
}

/// Connects what comes to a listener with a port of this host's own loopback.
async fn bridge(listener: TcpListener, port: u16) {
    let mut connections = JoinSet::new();
    while let Ok((mut far, _)) = listener.accept().await {
        connections.spawn(async move {
            let Ok(mut near) = TcpStream::connect(("127.0.0.1", port)).await else { return };
            let _ = (far.set_nodelay(true), near.set_nodelay(true));
            // How a connection ends is the affair of its ends.
            let _ = tokio::io::copy_bidirectional(&mut far, &mut near).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::network::weather::{Sky, Weather};

    /// What comes out of a shell's command line on the agent's side that connects to the port.
    async fn asked(spaces: &Spaces, port: u16) -> String {
        let script = format!("exec 3<>/dev/tcp/{PLANE}/{port}; timeout 60 head -c 5 <&3");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).env("PATH", "/usr/bin:/bin");
        let output = tokio::process::Command::from(spaces.command(&command)).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_one_side_asks_reaches_the_other_in_bad_weather_and_not_at_all_in_none() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _server = tokio::spawn(async move {
            // Each by itself: the end of one may be lost with the address that it came from.
            let mut connections = JoinSet::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let _ = stream.write_all(b"hello").await;
                    let _ = stream.read(&mut [0]).await;
                });
            }
        });
        let spaces = match Spaces::between(&[port], 1) {
            Ok(spaces) => spaces,
            Err(why) => return eprintln!("skipped: {why}"),
        };
        assert_eq!(asked(&spaces, port).await, "hello");
        let sky = Sky { twice: 0.5, lost: 0.1, jitter: std::time::Duration::from_millis(20), ..Sky::default() };
        spaces.relay.set(Weather::of(sky));
        assert_eq!(asked(&spaces, port).await, "hello");
        spaces.relay.set(Weather::default());
        spaces.etc.hosts("");
        assert_eq!(asked(&spaces, port).await, "", "no name");
        spaces.etc.hosts(&format!("{} {PLANE}\n", PLANE_ADDRESSES[1]));
        spaces.plane.moves(PLANE_ADDRESSES);
        spaces.agent.moves(AGENT_ADDRESSES);
        spaces.agent.mtu(128);
        assert_eq!(asked(&spaces, port).await, "hello");
    }
}
