//! Which hooks run, in which order, and what is left out for which reason.
//!
//! A hook runs only where nobody but root and the applier's own user could have written it, or could replace it: the
//! folder of hooks and everything on the way to it and to the file is checked by [`trust`](super::trust), links
//! included, and the file's owner and mode are read from the opened file. It is then started by the path that was
//! checked, not through the link. What remains between the check and the start is what root itself, or the applier's
//! own user, does in that instant.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::report::{SkipReason, Skipped};
use crate::ownership::{Trusted, Untrusted};
use crate::transport::excerpt;

/// The most hooks that run.
pub(super) const MOST_HOOKS: usize = 100;

/// The most files that are named as left out.
pub(super) const MOST_SKIPPED: usize = 100;

/// Endings that package managers and editors give to what they leave behind.
const LEFTOVERS: [&str; 13] = [
    ".dpkg-old",
    ".dpkg-new",
    ".dpkg-dist",
    ".dpkg-tmp",
    ".dpkg-bak",
    ".rpmsave",
    ".rpmorig",
    ".rpmnew",
    ".bak",
    ".swp",
    ".tmp",
    ".orig",
    "~",
];

/// A hook that may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hook {
    /// Its file name.
    pub name: String,
    /// What is started: the file that was checked, with all links resolved.
    pub program: PathBuf,
}

/// What lies in the folder of hooks.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// The hooks, in the order in which they run: by the bytes of their names.
    pub runnable: Vec<Hook>,
    /// The rest.
    pub skipped: Vec<Skipped>,
}

/// What somebody who only looks is told of the folder of hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// How many hooks can run.
    pub runnable: usize,
    /// What lies there and does not run.
    pub skipped: Vec<Skipped>,
}

/// Looks at a folder of hooks as the applier does, with the rights of this process. Blocks.
///
/// # Errors
/// A sentence, when the folder cannot be read.
pub fn survey(folder: &Path) -> Result<Survey, String> {
    let Hooks { runnable, skipped } = Hooks::find(folder).map_err(|error| error.to_string())?;
    Ok(Survey { runnable: runnable.len(), skipped })
}

impl Hooks {
    /// Looks at the folder. Where there is none, there are no hooks.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn find(folder: &Path) -> Result<Self, Untrusted> {
        let trusted = Trusted::of_this_process();
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other,
        };
        let names = entries.and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()
        });
        let mut names = names.map_err(|source| Untrusted::Io { path: folder.to_owned(), source })?;
        names.sort_unstable();

        let real = trusted.resolve(folder).and_then(|real| trusted.check_folder(&real).map(|()| real));
        let mut hooks = Self::default();
        for name in names {
            let looked = match &real {
                Ok(folder) => look(trusted, folder, &name),
                Err(untrusted) => plain_name(&name).and_then(|_| Err(refuse(untrusted))),
            };
            match looked {
                Ok(_) if hooks.runnable.len() == MOST_HOOKS => {
                    let message = format!("only the first {MOST_HOOKS} hooks run; join some of them");
                    hooks.skip(&name, SkipReason::TooMany, message);
                }
                Ok(hook) => hooks.runnable.push(hook),
                Err((reason, message)) => hooks.skip(&name, reason, message),
            }
        }
        Ok(hooks)
    }

    fn skip(&mut self, name: &OsStr, reason: SkipReason, message: String) {
        let name = excerpt(&name.to_string_lossy(), &[]);
        if reason.is_a_fault() {
            tracing::warn!(hook = %name, "the hook {name} does not run: {message}");
        } else {
            tracing::debug!(hook = %name, "{name} is not a hook: {message}");
        }
        if self.skipped.len() < MOST_SKIPPED {
            self.skipped.push(Skipped { name, reason, message });
        }
    }
}

type Refused = (SkipReason, String);

fn refuse(untrusted: &Untrusted) -> Refused {
    let reason = match untrusted {
        Untrusted::Owner { .. } => SkipReason::Owner,
        Untrusted::Writable { .. } => SkipReason::Writable,
        Untrusted::Io { .. } => SkipReason::Unreadable,
    };
    (reason, excerpt(&untrusted.to_string(), &[]))
}

fn plain_name(name: &OsStr) -> Result<&str, Refused> {
    let text = name.to_str().filter(|text| !text.chars().any(char::is_control));
    let Some(text) = text else {
        return Err((SkipReason::BadName, "its name is not printable text; rename it".to_owned()));
    };
    if text.starts_with('.') {
        return Err((SkipReason::Hidden, "its name begins with a dot".to_owned()));
    }
    if LEFTOVERS.iter().any(|ending| text.ends_with(ending)) || text.contains(".ucf-") {
        return Err((
            SkipReason::Leftover,
            "its name is that of a leftover of a package manager or an editor".to_owned(),
        ));
    }
    Ok(text)
}

fn look(trusted: Trusted, folder: &Path, name: &OsStr) -> Result<Hook, Refused> {
    let text = plain_name(name)?;
    let program = trusted.resolve(&folder.join(name)).map_err(|untrusted| refuse(&untrusted))?;
    let io = |source| refuse(&Untrusted::Io { path: program.clone(), source });
    // Opened as a path only: that needs no permission to read, and wakes no device or pipe.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_PATH | OFlag::O_NOFOLLOW).bits())
        .open(&program)
        .map_err(io)?;
    let metadata = opened.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err((SkipReason::NotAFile, "it is not a file".to_owned()));
    }
    trusted.check(&program, &metadata).map_err(|untrusted| refuse(&untrusted))?;
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err((SkipReason::NotExecutable, "it is not executable; if it is a hook, `chmod +x` it".to_owned()));
    }
    Ok(Hook { name: text.to_owned(), program })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{chown, symlink};

    use super::*;
    use crate::apply::fixture::Host;

    fn names(hooks: &Hooks) -> Vec<&str> {
        hooks.runnable.iter().map(|hook| hook.name.as_str()).collect()
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// The reason why the one file in the folder of hooks does not run.
    fn only_reason(host: &Host) -> SkipReason {
        let hooks = Hooks::find(&host.settings.hooks).unwrap();
        assert!(hooks.runnable.is_empty(), "{hooks:?}");
        assert_eq!(hooks.skipped.len(), 1);
        hooks.skipped[0].reason
    }

    #[test]
    fn hooks_run_in_the_order_of_their_names() {
        let host = Host::new();
        for name in ["20-b", "10-c", "Z", "100-a", "9"] {
            host.hook(name, "");
        }
        assert_eq!(names(&Hooks::find(&host.settings.hooks).unwrap()), ["10-c", "100-a", "20-b", "9", "Z"]);
    }

    #[test]
    fn no_folder_is_no_hooks() {
        let hooks = Hooks::find(Path::new("/nonexistent/hooks.d")).unwrap();
        assert!(hooks.runnable.is_empty() && hooks.skipped.is_empty());
    }

    #[test]
    fn leftovers_and_hidden_files_do_not_run_and_are_named() {
        let host = Host::new();
        let leftovers = [
            "a.dpkg-old",
            "a.dpkg-new",
            "a.dpkg-dist",
            "a.dpkg-tmp",
            "a.ucf-old",
            "a.ucf-dist",
            "a.rpmsave",
            "a.rpmorig",
            "a.rpmnew",
            "a~",
            "a.bak",
            "a.swp",
            "a.tmp",
        ];
        for name in leftovers {
            host.hook(name, "");
        }
        host.hook(".hidden", "");
        let hooks = Hooks::find(&host.settings.hooks).unwrap();
        assert!(hooks.runnable.is_empty());
        let named = |reason| hooks.skipped.iter().filter(move |skipped| skipped.reason == reason).count();
        assert_eq!((named(SkipReason::Leftover), named(SkipReason::Hidden)), (leftovers.len(), 1));
    }

    #[test]
    fn what_cannot_run_does_not_and_is_named() {
        let host = Host::new();
        let hook = host.hook("a", "");
        mode(&hook, 0o644);
        assert_eq!(only_reason(&host), SkipReason::NotExecutable);
        fs::remove_file(&hook).unwrap();
        fs::create_dir(&hook).unwrap();
        assert_eq!(only_reason(&host), SkipReason::NotAFile);
        fs::remove_dir(&hook).unwrap();
        nix::unistd::mkfifo(&hook, nix::sys::stat::Mode::from_bits_truncate(0o755)).unwrap();
        assert_eq!(only_reason(&host), SkipReason::NotAFile);
        fs::remove_file(&hook).unwrap();
        symlink("nowhere", &hook).unwrap();
        assert_eq!(only_reason(&host), SkipReason::Unreadable);
        fs::remove_file(&hook).unwrap();
        host.hook("a", "");
        fs::rename(&hook, host.settings.hooks.join(OsStr::from_bytes(b"a\nb"))).unwrap();
        assert_eq!(only_reason(&host), SkipReason::BadName);
    }

    #[test]
    fn a_hook_that_others_can_write_or_replace_does_not_run() {
        let host = Host::new();
        let hook = host.hook("a", "");
        for writable in [0o775, 0o757, 0o777] {
            mode(&hook, writable);
            assert_eq!(only_reason(&host), SkipReason::Writable);
        }
        mode(&hook, 0o755);
        // In the folder of hooks itself not even the sticky bit helps: others could add hooks.
        for writable in [0o775, 0o757, 0o1777] {
            mode(&host.settings.hooks, writable);
            assert_eq!(only_reason(&host), SkipReason::Writable);
        }
        mode(&host.settings.hooks, 0o755);
        mode(&host.path(""), 0o777);
        assert_eq!(only_reason(&host), SkipReason::Writable, "others could replace the folder");
        mode(&host.path(""), 0o755);
        assert_eq!(names(&Hooks::find(&host.settings.hooks).unwrap()), ["a"]);
    }

    #[test]
    fn a_hook_of_another_user_does_not_run() {
        let host = Host::new();
        let hook = host.hook("a", "");
        // Only root can give a file away, so only as root can it be seen here.
        if chown(&hook, Some(1), None).is_ok() {
            assert_eq!(only_reason(&host), SkipReason::Owner);
            chown(&hook, Some(0), None).unwrap();
            chown(&host.settings.hooks, Some(1), None).unwrap();
            assert_eq!(only_reason(&host), SkipReason::Owner);
        }
    }

    #[test]
    fn a_link_runs_only_as_the_checked_file_that_it_leads_to() {
        let host = Host::new();
        let open = host.path("open");
        fs::create_dir(&open).unwrap();
        mode(&open, 0o777);
        let target = host.hook("target", "");
        fs::rename(&target, host.path("target")).unwrap();
        symlink("../target", host.settings.hooks.join("a")).unwrap();
        let hooks = Hooks::find(&host.settings.hooks).unwrap();
        assert_eq!(hooks.runnable, [Hook { name: "a".to_owned(), program: host.path("target") }]);

        fs::rename(host.path("target"), open.join("target")).unwrap();
        symlink("open/target", host.path("target")).unwrap();
        assert_eq!(only_reason(&host), SkipReason::Writable);
    }

    #[test]
    fn more_hooks_than_run_are_named() {
        let host = Host::new();
        for name in 0..MOST_HOOKS + 2 {
            host.hook(&format!("{name:03}"), "");
        }
        let hooks = Hooks::find(&host.settings.hooks).unwrap();
        assert_eq!(hooks.runnable.len(), MOST_HOOKS);
        assert_eq!(hooks.skipped.iter().filter(|skipped| skipped.reason == SkipReason::TooMany).count(), 2);
    }
}
