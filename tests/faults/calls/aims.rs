//! Which calls there are in a phase, and what can happen at each.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::replay::TRACED;
use super::traced::{Aim, Event};

/// Calls that a file system refuses when it is full, or somebody's share of it is.
const FULL: &[&str] = &[
    "openat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "write",
    "writev",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "ftruncate",
    "fallocate",
    "bind",
    "inotify_add_watch",
];

/// Calls that one that may only be read refuses.
const READ_ONLY: &[&str] = &[
    "openat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "chmod",
    "fchmod",
    "fchmodat",
    "bind",
];

/// Calls in which a broken one shows.
const BROKEN: &[&str] = &[
    "openat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "read",
    "pread64",
    "getdents64",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "ftruncate",
    "statx",
    "lseek",
];

/// Calls that make a descriptor.
const DESCRIPTORS: &[&str] =
    &["openat", "socket", "socketpair", "accept4", "pipe2", "epoll_create1", "eventfd2", "inotify_init1"];

/// Calls that ask whether one may.
const GUARDED: &[&str] = &[
    "openat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "chmod",
    "fchmod",
    "connect",
    "bind",
    "statx",
    "inotify_add_watch",
];

/// How calls fail, and which of them.
const ERRORS: [(&str, &[&str]); 7] = [
    ("ENOSPC", FULL),
    ("EDQUOT", FULL),
    ("EROFS", READ_ONLY),
    ("EIO", BROKEN),
    ("EMFILE", DESCRIPTORS),
    ("ENFILE", DESCRIPTORS),
    ("EACCES", GUARDED),
];

/// The calls of a run: by their names, which of them can be aimed at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls {
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Calls {
    /// Those of the process that was started first, and of those that it started, in a log of `strace`.
    ///
    /// What is made before the program itself runs is the loader's. And of what the service manager is not told, nobody
    /// can tell whether it was to be. What wakes a thread never fails.
    pub fn of(log: &str) -> Self {
        let mut calls = Self::default();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut loading: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut found, mut events) = (BTreeSet::new(), BTreeSet::new());
        let mut begun = false;
        for line in log.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let count = counts.entry((thread, name)).or_default();
            *count += 1;
            begun |= name == "openat" && !is_of_the_loader(arguments);
            if !begun {
                loading.insert(name, *count);
            }
            let program = loading.get(name).is_none_or(|loading| *count > *loading);
            let said = arguments.contains("SOCK_DGRAM") || arguments.contains("/notify\"");
            if arguments.contains("<anon_inode:") {
                events.insert((name, *count));
            } else if program && !said {
                found.insert((name, *count));
            }
        }
        // Which thread makes the call is not aimed at.
        for (name, when) in found.difference(&events) {
            calls.by_name.entry((*name).to_owned()).or_default().push(*when);
        }
        calls
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_name.values().map(Vec::len).sum()
    }

    /// A kill at each that may change something: before any other, it is the same as before the next one of these.
    pub fn kills(&self) -> Vec<Aim> {
        self.aims(Event::Kill, |name| TRACED.contains(&name) && name != "lseek")
    }

    /// Every failure of each.
    pub fn failures(&self) -> Vec<Aim> {
        ERRORS.iter().flat_map(|(error, calls)| self.aims(Event::Error(error), |name| calls.contains(&name))).collect()
    }

    fn aims(&self, event: Event, is_meant: impl Fn(&str) -> bool) -> Vec<Aim> {
        let meant = self.by_name.iter().filter(|(name, _)| is_meant(name));
        meant
            .flat_map(|(call, whens)| whens.iter().map(|when| Aim { call: call.clone(), when: *when, event }))
            .collect()
    }
}

/// Whether what is opened is looked for by the loader, of this program or of one that it starts.
fn is_of_the_loader(arguments: &str) -> bool {
    ["\"/etc/ld.so", "\"/lib", "\"/usr/lib"].iter().any(|begin| arguments.contains(begin))
}

/// Puts things into an order in which there is one of each group first, then a second one, and so on. Which one it is,
/// the seed and its name say: a few things more or less change nothing for the others.
pub fn by_turns<T, G: Ord>(mut all: Vec<T>, group: impl Fn(&T) -> G, name: impl Fn(&T) -> String, seed: u64) -> Vec<T> {
    all.sort_by_cached_key(|thing| {
        let mut hasher = DefaultHasher::new();
        (seed, name(thing)).hash(&mut hasher);
        hasher.finish()
    });
    let mut counts: BTreeMap<G, usize> = BTreeMap::new();
    let mut ranked: Vec<_> = all
        .into_iter()
        .map(|thing| {
            let count = counts.entry(group(&thing)).or_default();
            *count += 1;
            (*count, thing)
        })
        .collect();
    // Stable: within a turn, the order is that of the seed.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, thing)| thing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = r#"10 openat(AT_FDCWD</>, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
10 read(3</lib/libc.so.6>, "\177ELF", 832) = 832
10 openat(AT_FDCWD</>, "/h/agent.toml", O_RDONLY) = 3</h/agent.toml>
10 read(3</h/agent.toml>, "a", 1) = 1
10 write(4</h/a>, "a", 1) = 1
10 write(4<anon_inode:[eventfd]>, "a", 8) = 8
11 write(4</h/a>, "a", 1) = 1
11 write(4</h/a>, "a", 1) = 1
10 socket(AF_UNIX, SOCK_DGRAM|SOCK_CLOEXEC, 0) = 4<socket:[1]>
10 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, 0) = 4<socket:[2]>
10 fsync(3</h/a> <unfinished ...>
11 read(3</h/b>, "a", 1) = 1
10 <... fsync resumed>) = 0
10 +++ exited with 0 +++
"#;

    #[test]
    fn aims_are_at_the_program_and_not_at_what_loads_it() {
        let calls = Calls::of(LOG);
        let kills: Vec<_> = calls.kills().iter().map(ToString::to_string).collect();
        let at = ["fsync 1", "openat 2", "write 1"];
        assert_eq!(kills, at.map(|at| format!("killed at {at}")));
        let failures: Vec<_> = calls.failures().iter().map(ToString::to_string).collect();
        assert!(failures.contains(&"EMFILE at socket 2".to_owned()), "{failures:?}");
        assert!(failures.contains(&"ENOSPC at fsync 1".to_owned()), "{failures:?}");
        assert!(!failures.iter().any(|failure| failure.starts_with("EMFILE at read")), "{failures:?}");
    }

    #[test]
    fn every_group_has_its_turn() {
        let all = vec![("a", 1), ("a", 2), ("a", 3), ("b", 1), ("c", 1), ("c", 2)];
        let ordered = by_turns(all, |(group, _)| *group, |(group, nth)| format!("{group} {nth}"), 1);
        let groups = |range: std::ops::Range<usize>| {
            let mut groups: Vec<_> = ordered[range].iter().map(|(group, _)| *group).collect();
            groups.sort_unstable();
            groups
        };
        assert_eq!((groups(0..3), groups(3..5), groups(5..6)), (vec!["a", "b", "c"], vec!["a", "c"], vec!["a"]));
    }
}
