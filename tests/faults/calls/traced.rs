//! An agent under `strace`, with something that happens at one of its calls.

use std::fmt;
use std::io::ErrorKind;
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::replay::TRACED;
use crate::host::{Agent, Host, PROGRAM, within};

/// Calls that change nothing on disk, and can fail.
const OTHERS: [&str; 15] = [
    "read",
    "pread64",
    "getdents64",
    "statx",
    "socket",
    "socketpair",
    "connect",
    "bind",
    "accept4",
    "pipe2",
    "epoll_create1",
    "eventfd2",
    "inotify_init1",
    "inotify_add_watch",
    "flock",
];

/// How long `strace` may take to let go.
const LETS_GO: Duration = Duration::from_secs(10);

/// How a process that was killed ends in the log.
const KILLED: &str = "+++ killed by SIGKILL +++";

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// The process is killed before it is made.
    Kill,
    /// It fails like this.
    Error(&'static str),
}

/// What happens, and at which call: at the `when`th of a name, in whichever process or thread makes so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    pub call: String,
    pub when: usize,
    pub event: Event,
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event {
            Event::Kill => write!(f, "killed at {} {}", self.call, self.when),
            Event::Error(error) => write!(f, "{error} at {} {}", self.call, self.when),
        }
    }
}

/// What is read of a run: only what tells its calls, or all that was written as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Calls,
    Content,
}

/// The command that runs the agent of a host under `strace`, and what that writes.
pub fn command(host: &Host, aim: Option<&Aim>, depth: Depth) -> (Command, Log) {
    // Not on the host, where everything is looked into.
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("calls");
    mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    // There is no end before the beginning.
    let receiver = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let beginning = pipe::OpenOptions::new().open_sender(&path).unwrap();
    let plain = host.command(&["run"]);
    let plain = plain.as_std();
    let mut command = Command::new("strace");
    // With -D it is the agent that is our child, not strace.
    // With -I2 it lets go when it is told to.
    command.args(["-D", "-I2", "-f", "-q", "-y", "-o"]).arg(&path);
    if aim.is_none() {
        // Far quicker; but strace sends no signals then, and does not let go of what it traces.
        command.arg("--seccomp-bpf");
    }
    let mut traced = format!("trace=?{}", TRACED.join(",?"));
    if depth == Depth::Content {
        // More than is written at once.
        command.args(["-s", "4194304"]);
    } else {
        traced.push_str(",?");
        traced.push_str(&OTHERS.join(",?"));
    }
    command.args(["-e", &traced]);
    if let Some(Aim { call, when, event }) = aim {
        let what = match event {
            Event::Kill => "signal=KILL".to_owned(),
            Event::Error(error) => format!("error={error}"),
        };
        command.args(["-e", &format!("inject={call}:{what}:when={when}")]);
    }
    command.arg(PROGRAM).args(plain.get_args()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir("/").kill_on_drop(true);
    (command, Log { folder, beginning, reading: tokio::spawn(read(receiver)) })
}

async fn read(mut receiver: pipe::Receiver) -> String {
    let mut text = Vec::new();
    receiver.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// What `strace` writes.
pub struct Log {
    folder: TempDir,
    beginning: pipe::Sender,
    reading: JoinHandle<String>,
}

impl Log {
    /// All of it, once the agent is let go of, with all that it has started: nothing more happens to their calls.
    pub async fn released(mut self, agent: &Agent<'_>) -> String {
        drop((self.beginning, self.folder));
        let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse().ok());
        // The second lets go of everything as well, also where strace waits for what does not come.
        for signal in [Signal::SIGTERM, Signal::SIGKILL] {
            if let Some(tracer) = tracer.filter(|tracer| *tracer != 0) {
                // It may have ended, with the last process that it looked at.
                let _ = kill(Pid::from_raw(tracer), signal);
            }
            if let Ok(text) = tokio::time::timeout(LETS_GO, &mut self.reading).await {
                return text.unwrap();
            }
        }
        panic!("strace does not end")
    }

    /// All of it, once everything that was traced has ended.
    pub async fn ended(self) -> String {
        drop((self.beginning, self.folder));
        within("the end of the trace", self.reading).await.unwrap()
    }
}

/// Whether what was to happen did.
pub fn has_happened(log: &str, event: Event) -> bool {
    match event {
        Event::Kill => log.contains(KILLED),
        Event::Error(_) => log.contains("(INJECTED)"),
    }
}

/// Whether the call that failed is one that cannot: a thread that is woken by an event has no disk behind it.
pub fn is_impossible(log: &str) -> bool {
    let Some(failed) = log.lines().position(|line| line.contains("(INJECTED)")) else { return false };
    let all: Vec<_> = log.lines().take(failed + 1).collect();
    let thread = all[failed].split(' ').next();
    let begun = all.iter().rev().find(|line| line.split(' ').next() == thread && !line.contains("<... "));
    begun.is_some_and(|line| line.contains("<anon_inode:"))
}

/// What was done before the first process was killed.
pub fn until_killed(log: &str) -> &str {
    log.find(KILLED).map_or(log, |end| &log[..log[..end].rfind('\n').map_or(0, |end| end + 1)])
}

/// Why nothing can be traced here, if so.
pub fn why_not() -> Option<String> {
    match std::process::Command::new("strace").arg("-V").output() {
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotFound => Some("the package strace is not installed".to_owned()),
        Err(error) => Some(format!("strace cannot be started: {error}")),
    }
}

/// Whether a process ended as one that says why, and not by a bug.
pub fn ended_in_good_order(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| code != 101 && code < 126)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_does_not_fail_like_a_disk() {
        let event = "10 write(4<anon_inode:[eventfd]>, \"\\1\", 8 <unfinished ...>\n11 fsync(3</a>) = 0\n\
                     10 <... write resumed>) = -1 EIO (Input/output error) (INJECTED)\n";
        assert!(is_impossible(event));
        assert!(!is_impossible("10 write(4</a>, \"a\", 1) = -1 EIO (Input/output error) (INJECTED)\n"));
        assert!(!is_impossible("10 write(4<anon_inode:[eventfd]>, \"a\", 8) = 8\n"));
    }
}
