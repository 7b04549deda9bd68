//! Less memory, descriptors or CPU for the agent: by a control group of its own where this process may make one, and
//! else by what any process may do to itself or to its children.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Where control groups are, of the second version and of the first.
const SECOND: &str = "/sys/fs/cgroup";

/// A control group with one limit; it goes when this is dropped, and whoever is in it by then goes back to the root.
pub struct Group {
    folder: PathBuf,
    root: PathBuf,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Memory, in bytes.
    Memory(u64),
    /// The share of one CPU, in hundredths.
    Cpu(u32),
}

/// What is written where.
fn settings(limit: Limit, version: u8) -> Vec<(&'static str, String)> {
    const PERIOD: u32 = 100_000;
    match (limit, version) {
        // Nothing of it is swapped out, where there is anything to swap to.
        (Limit::Memory(bytes), 2) => vec![("memory.max", bytes.to_string()), ("memory.swap.max", "0".to_owned())],
        (Limit::Memory(bytes), _) => vec![("memory.limit_in_bytes", bytes.to_string())],
        (Limit::Cpu(share), 2) => vec![("cpu.max", format!("{} {PERIOD}", PERIOD / 100 * share))],
        (Limit::Cpu(share), _) => {
            vec![("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", (PERIOD / 100 * share).to_string())]
        }
    }
}

impl Group {
    /// Makes one.
    ///
    /// # Errors
    /// Where this process may not, or this system has no such control.
    pub fn new(limit: Limit) -> io::Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (root, version) = if Path::new(SECOND).join("cgroup.controllers").exists() {
            (PathBuf::from(SECOND), 2)
        } else {
            let controller = match limit {
                Limit::Memory(_) => "memory",
                Limit::Cpu(_) => "cpu",
            };
            (Path::new(SECOND).join(controller), 1)
        };
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("agent-under-test-{}-{number}", std::process::id()));
        fs::create_dir(&folder)?;
        let group = Self { folder, root };
        for (name, value) in settings(limit, version) {
            let written = fs::write(group.folder.join(name), value);
            // A kernel without swap has no limit for it.
            if name != "memory.swap.max" {
                written?;
            }
        }
        Ok(group)
    }

    /// Takes a process in, with all its threads.
    pub fn take(&self, pid: u32) {
        fs::write(self.folder.join("cgroup.procs"), pid.to_string()).unwrap();
    }

    /// Lets a process go back to the root.
    pub fn release(&self, pid: u32) {
        let _ = fs::write(self.root.join("cgroup.procs"), pid.to_string());
    }

    /// The same command, in the group from its beginning.
    pub fn command(&self, command: &Command) -> Command {
        let procs = self.folder.join("cgroup.procs");
        through_a_shell(&format!("echo $$ > {}", procs.display()), command)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for pid in fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(self.root.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The same command with a resource limit, as the shell's `ulimit` takes it: `-n 32`, or `-d 65536` for so many KiB of
/// memory that is its own.
pub fn limited(ulimit: &str, command: &Command) -> Command {
    through_a_shell(&format!("ulimit {ulimit}"), command)
}

/// A shell that does something to itself, and becomes the command.
fn through_a_shell(step: &str, command: &Command) -> Command {
    let command = command.as_std();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-ec", &format!("{step}; exec \"$0\" \"$@\"")]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().current_dir("/").kill_on_drop(true);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

/// A process that is stopped most of the time, until this is dropped: what a hundredth of a CPU is where there are no
/// control groups.
pub struct Starved {
    pid: Pid,
    duty: JoinHandle<()>,
}

impl Starved {
    /// Lets it run for one hundredth of the time.
    pub fn new(pid: u32) -> Self {
        const RUNS: Duration = Duration::from_millis(1);
        let pid = Pid::from_raw(pid.try_into().unwrap());
        let duty = tokio::spawn(async move {
            while kill(pid, Signal::SIGSTOP).is_ok() {
                tokio::time::sleep(RUNS * 99).await;
                let _ = kill(pid, Signal::SIGCONT);
                tokio::time::sleep(RUNS).await;
            }
        });
        Self { pid, duty }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        self.duty.abort();
        let _ = kill(self.pid, Signal::SIGCONT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_told_the_same() {
        let one = settings(Limit::Cpu(1), 1);
        assert_eq!(one[1], ("cpu.cfs_quota_us", "1000".to_owned()));
        assert_eq!(settings(Limit::Cpu(1), 2), [("cpu.max", "1000 100000".to_owned())]);
        assert_eq!(settings(Limit::Memory(1 << 26), 2)[0], ("memory.max", "67108864".to_owned()));
    }

    #[tokio::test]
    async fn a_command_is_limited_and_still_the_same() {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -n; echo $0 $1 $WORD", "zero", "one two"]).env("WORD", "word");
        let output = limited("-n 32", &command).output().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "32\nzero one two word\n");
    }
}
