//! Whose files decide what is done with the rights of this process: those that nobody but root and its own user can change.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::unistd::Uid;

/// How many symbolic links one path may lead through; as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// The users that are trusted: root, and the one that the applier runs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trusted {
    own: u32,
}

/// Why something is not trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untrusted {
    /// It belongs to somebody else.
    #[error("{path} belongs to the user {uid}; give it to root (`chown root`)")]
    Owner { path: PathBuf, uid: u32 },
    /// Others can change it, or what is in it.
    #[error("{path} can be written by {who}; take that away (`chmod go-w`)")]
    Writable { path: PathBuf, who: &'static str },
    /// It cannot be looked at.
    #[error("{path} cannot be looked at: {source}")]
    Io { path: PathBuf, source: io::Error },
}

impl Untrusted {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

impl Trusted {
    /// Those that the present process trusts.
    pub(crate) fn of_this_process() -> Self {
        Self { own: Uid::effective().as_raw() }
    }

    /// Follows `path` to the end, through symbolic links as well, and checks every folder and every link on the way,
    /// so that nobody else can lead the result elsewhere, later on. What is at the end is not checked, but for its
    /// owner.
    ///
    /// A folder that everybody can write is passed where its sticky bit keeps others from replacing what they do not
    /// own (`/tmp`).
    pub(crate) fn resolve(self, path: &Path) -> Result<PathBuf, Untrusted> {
        let Walk { real, stop } = self.walk(path)?;
        match stop {
            None => Ok(real),
            // It is of a trusted owner, or that would be why.
            Some(Stop { at, beyond, why: Untrusted::Writable { .. } }) if beyond.is_empty() => Ok(real.join(at)),
            Some(Stop { why, .. }) => Err(why),
        }
    }

    /// Follows `path` as [`Trusted::resolve`] does, as far as nobody else can lead the result elsewhere. Answers how far
    /// that is, and what is left of the path: from the first thing on that somebody else can turn or fill, which is for
    /// the kernel to walk without links.
    pub(crate) fn lead(self, path: &Path) -> Result<(PathBuf, PathBuf), Untrusted> {
        let Walk { real, stop } = self.walk(path)?;
        let left = stop.map(|stop| [stop.at].into_iter().chain(stop.beyond.into_iter().rev()).collect());
        Ok((real, left.unwrap_or_default()))
    }

    /// Follows `path` up to the first thing on it that somebody else can turn, or fill.
    fn walk(self, path: &Path) -> Result<Walk, Untrusted> {
        let path = std::path::absolute(path).map_err(|source| Untrusted::io(path, source))?;
        let mut ahead = steps(&path);
        let mut real = PathBuf::from("/");
        let mut links = 0;
        self.check_passage(&real, &look_at(&real)?)?;
        while let Some(step) = ahead.pop() {
            if step == ".." {
                real.pop();
                continue;
            }
            let next = real.join(&step);
            let metadata = look_at(&next)?;
            if let Err(why) = self.check_owner(&next, &metadata) {
                return Ok(Walk { real, stop: Some(Stop { at: step, beyond: ahead, why }) });
            }
            if metadata.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Untrusted::io(&path, nix::errno::Errno::ELOOP.into()));
                }
                let target = fs::read_link(&next).map_err(|source| Untrusted::io(&next, source))?;
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                ahead.extend(steps(&target));
                continue;
            }
            if let Err(why) = self.check_passage(&next, &metadata) {
                return Ok(Walk { real, stop: Some(Stop { at: step, beyond: ahead, why }) });
            }
            real = next;
        }
        Ok(Walk { real, stop: None })
    }

    /// Whether the thing belongs to a trusted user and nobody else can write it.
    pub(crate) fn check(self, path: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
        self.check_owner(path, metadata)?;
        let who = match metadata.mode() & 0o022 {
            0 => return Ok(()),
            0o020 => "its group",
            _ => "everybody",
        };
        Err(Untrusted::Writable { path: path.to_owned(), who })
    }

    /// Whether the thing belongs to a trusted user.
    pub(crate) fn owns(self, metadata: &Metadata) -> bool {
        metadata.uid() == 0 || metadata.uid() == self.own
    }

    /// Whether nobody else can put anything into the folder, or take anything out.
    pub(crate) fn check_folder(self, folder: &Path) -> Result<(), Untrusted> {
        self.check(folder, &look_at(folder)?)
    }

    fn check_owner(self, path: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
        if self.owns(metadata) { Ok(()) } else { Err(Untrusted::Owner { path: path.to_owned(), uid: metadata.uid() }) }
    }

    fn check_passage(self, folder: &Path, metadata: &Metadata) -> Result<(), Untrusted> {
        let sticky = metadata.mode() & 0o1000 != 0;
        if sticky { self.check_owner(folder, metadata) } else { self.check(folder, metadata) }
    }
}

/// How far a path was followed.
struct Walk {
    /// Where that is: nobody else can turn any part of it, and none is a link.
    real: PathBuf,
    /// What it ends at; nothing, where the path was followed to its end.
    stop: Option<Stop>,
}

/// The first thing on a path that is not to be passed.
struct Stop {
    at: OsString,
    /// What comes after it on the path, the last part first.
    beyond: Vec<OsString>,
    why: Untrusted,
}

fn look_at(path: &Path) -> Result<Metadata, Untrusted> {
    fs::symlink_metadata(path).map_err(|source| Untrusted::io(path, source))
}

/// The parts of a path, the last one first.
fn steps(path: &Path) -> Vec<OsString> {
    let step = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    let mut steps: Vec<_> = path.components().filter_map(step).collect();
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_path_is_followed_through_links_only_where_nobody_else_can_turn_them() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).map(|path| (root, path)).unwrap();
        let (safe, open) = (root.1.join("safe"), root.1.join("open"));
        for folder in [&safe, &open] {
            fs::create_dir(folder).unwrap();
        }
        mode(&safe, 0o755);
        mode(&open, 0o777);
        fs::write(safe.join("file"), "").unwrap();
        symlink("../safe/./file", safe.join("link")).unwrap();
        symlink(open.join("turn"), safe.join("through-open")).unwrap();
        symlink(safe.join("file"), open.join("turn")).unwrap();
        symlink("loop", safe.join("loop")).unwrap();

        let trusted = Trusted::of_this_process();
        assert_eq!(trusted.resolve(&safe.join("link")).unwrap(), safe.join("file"));
        assert!(matches!(trusted.resolve(&safe.join("through-open")), Err(Untrusted::Writable { .. })));
        assert!(matches!(trusted.resolve(&safe.join("loop")), Err(Untrusted::Io { .. })));
        assert!(matches!(trusted.resolve(&safe.join("absent")), Err(Untrusted::Io { .. })));
        mode(&open, 0o1777);
        assert_eq!(trusted.resolve(&safe.join("through-open")).unwrap(), safe.join("file"));
    }

    #[test]
    fn a_path_is_led_along_up_to_the_first_thing_that_somebody_else_can_turn() {
        let root = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(root.path()).map(|path| (root, path)).unwrap();
        let (safe, open) = (root.1.join("safe"), root.1.join("open"));
        fs::create_dir_all(safe.join("in")).unwrap();
        fs::create_dir_all(open.join("in")).unwrap();
        mode(&safe, 0o755);
        mode(&open, 0o777);
        symlink("../open/in", safe.join("to-open")).unwrap();
        symlink("../safe", open.join("turn")).unwrap();
        let lead = |path: PathBuf| Trusted::of_this_process().lead(&path).unwrap();
        assert_eq!(lead(safe.join("in")), (safe.join("in"), PathBuf::new()));
        assert_eq!(lead(safe.join("to-open")), (root.1.clone(), "open/in".into()));
        assert_eq!(lead(open.join("turn/in")), (root.1, "open/turn/in".into()), "it is not followed");
        assert!(Trusted::of_this_process().lead(&safe.join("absent")).is_err());
    }

    #[test]
    fn what_others_can_write_may_be_at_the_end_of_a_path_and_not_on_the_way() {
        let root = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(root.path()).unwrap();
        let open = path.join("open");
        fs::create_dir_all(open.join("in")).unwrap();
        symlink("open", path.join("to-open")).unwrap();
        mode(&open, 0o775);
        let trusted = Trusted::of_this_process();
        assert_eq!(trusted.resolve(&open).unwrap(), open);
        assert_eq!(trusted.resolve(&path.join("to-open")).unwrap(), open);
        for through in [open.join("in"), open.join(".."), path.join("to-open/in")] {
            assert!(matches!(trusted.resolve(&through), Err(Untrusted::Writable { .. })), "{}", through.display());
        }
        assert_eq!(trusted.lead(&open).unwrap(), (path, "open".into()), "it is others who can fill it");
    }

    #[test]
    fn what_belongs_to_another_user_is_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(folder.path()).unwrap();
        let own = fs::metadata(&path).unwrap().uid();
        let somebody_else = Trusted { own: own + 1 };
        if own == 0 {
            assert!(somebody_else.resolve(&path).is_ok(), "root is always trusted");
            // Only root may give a folder away.
            std::os::unix::fs::chown(&path, Some(54_321), None).unwrap();
        }
        for mode_of_it in [0o755, 0o777, 0o1777] {
            mode(&path, mode_of_it);
            assert!(matches!(somebody_else.resolve(&path), Err(Untrusted::Owner { .. })), "{mode_of_it:o}");
            assert!(matches!(somebody_else.resolve(&path.join("in")), Err(Untrusted::Owner { .. })), "{mode_of_it:o}");
            let (real, left) = somebody_else.lead(&path.join("in")).unwrap();
            assert_eq!(real.join(left), path.join("in"));
            assert!(!real.starts_with(&path), "{mode_of_it:o}");
        }
    }
}
