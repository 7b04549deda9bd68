//! The kernel's limits on watches of folders, by which a dropped token is noticed at once.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::geteuid;

use super::Finding;

const CHECK: &str = "inotify";

/// Compares what the agent's user holds with the limits. Blocks.
pub(super) fn look(state: &Path) -> Finding {
    let limit = |name: &str| -> Option<u64> {
        fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")).ok()?.trim().parse().ok()
    };
    let (Some(instances), Some(watches)) = (limit("max_user_instances"), limit("max_user_watches")) else {
        return Finding::skipped(CHECK, "the limits cannot be read in /proc/sys/fs/inotify");
    };
    let Ok(owner) = fs::metadata(state).map(|metadata| metadata.uid()) else {
        return judge(Use { instances: 0, watches: 0 }, Use { instances, watches });
    };
    if !geteuid().is_root() && geteuid().as_raw() != owner {
        return Finding::skipped(CHECK, "what the agent's user holds can be counted only by root");
    }
    judge(held_by(owner), Use { instances, watches })
}

#[derive(Debug, Clone, Copy)]
struct Use {
    instances: u64,
    watches: u64,
}

/// What all processes of a user hold.
fn held_by(owner: u32) -> Use {
    let mut held = Use { instances: 0, watches: 0 };
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process = process.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit());
        let status = || fs::read_to_string(process.path().join("status")).unwrap_or_default();
        if !is_process || super::process::field(&status(), "Uid").and_then(|uid| uid.parse().ok()) != Some(owner) {
            continue;
        }
        for file in fs::read_dir(process.path().join("fdinfo")).into_iter().flatten().flatten() {
            let link = fs::read_link(process.path().join("fd").join(file.file_name()));
            if link.is_ok_and(|target| target == Path::new("anon_inode:inotify")) {
                let info = fs::read_to_string(file.path()).unwrap_or_default();
                held.instances += 1;
                held.watches += info.lines().filter(|line| line.starts_with("inotify ")).count() as u64;
            }
        }
    }
    held
}

fn judge(held: Use, limit: Use) -> Finding {
    let what = format!(
        "the agent's user holds {} of {} instances and {} of {} watches",
        held.instances, limit.instances, held.watches, limit.watches
    );
    let remedy = "raise fs.inotify.max_user_instances or fs.inotify.max_user_watches with sysctl; until then, the agent \
                  looks for tokens twice a second";
    if held.instances * 10 > limit.instances * 9 || held.watches * 10 > limit.watches * 9 {
        Finding::warning(CHECK, what, remedy)
    } else {
        Finding::ok(CHECK, what)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn limits_that_are_reached_are_told() {
        let verdict =
            |instances, watches| judge(Use { instances, watches }, Use { instances: 100, watches: 1000 }).verdict;
        assert_eq!(verdict(1, 1), Verdict::Ok);
        assert_eq!(verdict(95, 1), Verdict::Warning);
        assert_eq!(verdict(100, 1), Verdict::Warning);
        assert_eq!(verdict(1, 1000), Verdict::Warning, "the agent works all the same");
    }
}
