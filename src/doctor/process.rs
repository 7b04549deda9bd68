//! The daemon: whether it runs, as whom, and how far its sandbox holds.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Finding, Patient};
use crate::control::ControlError;

const CHECK: &str = "daemon";
const SANDBOX: &str = "sandbox";

/// Looks at the daemon. Blocks.
pub(super) fn look(patient: &Patient<'_>) -> Vec<Finding> {
    let state = &patient.paths.state;
    let service = patient.location.service();
    match &patient.status {
        Ok(status) => {
            let (pid, version) = (status.agent.pid, &status.agent.version);
            let own = env!("CARGO_PKG_VERSION");
            let runs = if version == own {
                Finding::ok(CHECK, format!("runs as process {pid}, version {version}"))
            } else {
                Finding::warning(
                    CHECK,
                    format!("version {version} runs as process {pid}, and this program is {own}"),
                    format!("restart it (`systemctl restart {service}`)"),
                )
            };
            vec![runs, sandbox(pid, state)]
        }
        Err(ControlError::NotRunning(socket)) => {
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            let lock = fs::metadata(state.join("lock")).ok();
            let holder = lock.and_then(|lock| holder(&locks, lock.dev(), lock.ino()));
            vec![match holder {
                Some(pid) => Finding::failure(
                    CHECK,
                    format!("process {pid} holds {}, and does not listen on {}", state.display(), socket.display()),
                    "see what it is (`ps`), and end it, or correct paths.runtime",
                ),
                None => Finding::failure(
                    CHECK,
                    format!("it does not run (nothing listens on {})", socket.display()),
                    format!("`systemctl start {service}`; `journalctl -u {service}` tells why it ended"),
                ),
            }]
        }
        Err(ControlError::Refused(_) | ControlError::Forbidden(_)) => {
            vec![Finding::skipped(CHECK, "needs root, or one of the groups in [control]")]
        }
        Err(error @ ControlError::Failed { .. }) => {
            vec![Finding::failure(CHECK, error.to_string(), format!("restart it (`systemctl restart {service}`)"))]
        }
    }
}

/// Which process holds the lock on a file, by proc_locks(5).
fn holder(locks: &str, device: u64, inode: u64) -> Option<String> {
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let wanted = format!("{major:02x}:{minor:02x}:{inode}");
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // A line with `->` is of one who waits.
        (fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&wanted.as_str())).then(|| fields[4].to_owned())
    })
}

/// The first word of a field of /proc/PID/status.
pub(super) fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let of_name = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':')?.split_whitespace().next();
    status.lines().find_map(of_name)
}

fn sandbox(pid: u32, state: &Path) -> Finding {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
    let Some(status) = read("status") else {
        return Finding::skipped(SANDBOX, format!("/proc/{pid}/status cannot be read"));
    };
    // Without a unit, there is no sandbox to look for.
    if !read("cgroup").is_some_and(|cgroup| cgroup.contains("runtime-agent")) {
        return Finding::skipped(SANDBOX, "the daemon was not started by its unit");
    }
    judge(&status, fs::metadata(state).ok().map(|metadata| metadata.uid()))
}

/// Judges /proc/PID/status of the daemon.
fn judge(status: &str, owner: Option<u32>) -> Finding {
    let uid = field(status, "Uid").and_then(|uid| uid.parse().ok());
    let mut lacks = Vec::new();
    if uid == Some(0) {
        lacks.push("it runs as root".to_owned());
    } else if uid.is_some() && owner.is_some() && uid != owner {
        lacks.push("it does not own its state directory".to_owned());
    }
    if field(status, "NoNewPrivs") != Some("1") {
        lacks.push("it can gain privileges (NoNewPrivileges=)".to_owned());
    }
    if field(status, "Seccomp") != Some("2") {
        lacks.push("no system calls are kept from it (SystemCallFilter=)".to_owned());
    }
    if field(status, "CapEff").is_some_and(|capabilities| capabilities.bytes().any(|digit| digit != b'0')) {
        lacks.push("it has capabilities (CapabilityBoundingSet=)".to_owned());
    }
    if lacks.is_empty() {
        Finding::ok(SANDBOX, "no privileges, and system calls are filtered")
    } else {
        Finding::warning(
            SANDBOX,
            lacks.join("; "),
            "take back what weakens it (`systemctl cat runtime-agent.service`), and restart",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const GOOD: &str = "Name:\tx\nUid:\t991\t991\t991\t991\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";

    #[test]
    fn a_sandbox_is_judged_by_what_the_kernel_says_of_the_process() {
        assert_eq!(judge(GOOD, Some(991)).verdict, Verdict::Ok);
        for (from, to, word) in [
            ("991", "0", "root"),
            ("991", "7", "own"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0", "NoNewPrivileges="),
            ("Seccomp:\t2", "Seccomp:\t0", "SystemCallFilter="),
            ("CapEff:\t0", "CapEff:\t4", "CapabilityBoundingSet="),
        ] {
            let found = judge(&GOOD.replace(from, to), Some(991));
            assert_eq!(found.verdict, Verdict::Warning, "{to}");
            assert!(found.what.contains(word), "{found:?}");
        }
    }

    #[test]
    fn whoever_holds_the_lock_is_found_and_whoever_waits_for_it_is_not() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 08:01:42 0 EOF\n2: FLOCK  ADVISORY  WRITE 1234 08:01:42 0 EOF\n\
            2: -> FLOCK  ADVISORY  WRITE 99 08:01:43 0 EOF\n";
        let device = nix::sys::stat::makedev(8, 1);
        assert_eq!(holder(locks, device, 42).as_deref(), Some("1234"));
        assert_eq!(holder(locks, device, 43), None);
    }
}
