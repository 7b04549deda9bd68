//! A directory that files are installed into, opened once on a way that nobody unprivileged can turn; then only calls
//! relative to it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, RenameFlags, ResolveFlag, openat, openat2, renameat, renameat2};
use nix::sys::stat::{FileStat, Mode, fchmod, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use serde::{Deserialize, Serialize};

use super::super::foreign::NO_OPENAT2;
use crate::ownership::{Trusted, Untrusted};

/// Where a file goes: a path below the directory that its pattern begins with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Spot {
    /// The directory that the pattern begins with.
    pub fixed: PathBuf,
    /// The whole path.
    pub path: PathBuf,
}

impl Spot {
    /// The file's name.
    pub(super) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The directory that it lies in, from the fixed one on.
    pub(super) fn below(&self) -> &Path {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        parent.strip_prefix(&self.fixed).unwrap_or(Path::new(""))
    }
}

/// Why a directory is not installed into.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    /// The one that the pattern begins with is not there.
    #[error(
        "the directory {0} is not there; make it (or install what brings it), for only directories below it are made"
    )]
    FixedMissing(PathBuf),
    /// One below it is not there.
    #[error("the directory {0} is not there")]
    Missing(PathBuf),
    /// The way to it cannot be followed.
    #[error(transparent)]
    Way(#[from] Untrusted),
    /// A link is on the way.
    #[error(
        "the way to {0} leads through a symbolic link that is not followed here: one that others than root could turn, \
         or one below the directory that the destination begins with; write the destination without it"
    )]
    Led(PathBuf),
    /// It is something else.
    #[error("{0} is not a directory, or something on the way to it is not")]
    NotADirectory(PathBuf),
    /// It cannot be opened.
    #[error("the directory {0} cannot be opened: {1}")]
    Io(PathBuf, io::Error),
}

impl DirectoryError {
    /// Whether another try may work, without anybody changing something about the way to it.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            // It was there, or was made, a moment ago.
            Self::Missing(_) | Self::Io(..) => true,
            Self::Way(Untrusted::Io { source, .. }) => {
                !matches!(source.raw_os_error().map(Errno::from_raw), Some(Errno::ELOOP | Errno::ENOTDIR))
            }
            Self::Way(Untrusted::Owner { .. } | Untrusted::Writable { .. }) => false,
            Self::FixedMissing(_) | Self::Led(_) | Self::NotADirectory(_) => false,
        }
    }

    /// Whether it, or one above it, is simply not there.
    pub(super) fn is_absent(&self) -> bool {
        match self {
            Self::FixedMissing(_) | Self::Missing(_) => true,
            Self::Way(_) | Self::Led(_) | Self::NotADirectory(_) | Self::Io(..) => false,
        }
    }
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens the directory `below` the directory `fixed`, which the configuration names. On the way to `fixed`, links
    /// are followed that only trusted users can turn; from there on, none.
    pub(super) fn open(trusted: Trusted, fixed: &Path, below: &Path) -> Result<Self, DirectoryError> {
        let (real, left) = trusted.lead(fixed).map_err(|untrusted| match untrusted {
            Untrusted::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                DirectoryError::FixedMissing(fixed.to_owned())
            }
            other => other.into(),
        })?;
        let base = open_path(&real).map_err(|error| DirectoryError::Io(real.clone(), error.into()))?;
        let failed = |path: &Path, missing: fn(PathBuf) -> DirectoryError| {
            let path = path.to_owned();
            move |error: Errno| match error {
                Errno::ENOENT => missing(path),
                Errno::ELOOP | Errno::EXDEV => DirectoryError::Led(path),
                Errno::ENOTDIR => DirectoryError::NotADirectory(path),
                Errno::ENOSYS => DirectoryError::Io(path, io::Error::other(NO_OPENAT2)),
                error => DirectoryError::Io(path, error.into()),
            }
        };
        let base = walk(&base, &left).map_err(failed(fixed, DirectoryError::FixedMissing))?;
        let fd = walk(&base, below).map_err(failed(&fixed.join(below), DirectoryError::Missing))?;
        let path = [&left, below].into_iter().filter(|part| **part != *"").fold(real, |path, part| path.join(part));
        Ok(Self { fd, path })
    }

    /// Where it really is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody but trusted users can put another file in the place of one in it, or turn the way to it.
    pub(super) fn is_held(&self, trusted: Trusted) -> bool {
        trusted.resolve(&self.path).and_then(|real| trusted.check_folder(&real)).is_ok()
    }

    /// What tells it from every other one.
    pub(super) fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = nix::sys::stat::fstat(&self.fd)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// What has a name in it, links not followed.
    pub(super) fn look(&self, name: &str) -> io::Result<Option<FileStat>> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file in it for reading, without following a link or waiting for anything.
    pub(super) fn read(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(openat(&self.fd, name, flags, Mode::empty())?.into())
    }

    /// Makes a file in it that nobody else can open yet.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(&self.fd, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?.into())
    }

    /// Makes a directory in it, of mode 0755 whatever the umask. One that is there already is no error.
    pub(super) fn make(&self, name: &str) -> io::Result<()> {
        match mkdirat(&self.fd, name, Mode::from_bits_truncate(0o700)) {
            Err(Errno::EEXIST) => return Ok(()),
            other => other?,
        }
        let made = walk(&self.fd, Path::new(name))?;
        // What it inherits of the setgid bit stays.
        let special = fstatat(&made, "", AtFlags::AT_EMPTY_PATH)?.st_mode & 0o7000;
        Ok(fchmod(&made, Mode::from_bits_truncate(special | 0o755))?)
    }

    /// Gives a file in it a second name, which nothing has.
    pub(super) fn link(&self, name: &str, second: &str) -> io::Result<()> {
        Ok(linkat(&self.fd, name, &self.fd, second, AtFlags::empty())?)
    }

    /// Gives a file in it the name `to`, whatever has that.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Gives a file in it the name `to`, if nothing has that.
    pub(super) fn rename_to_free(&self, from: &str, to: &str) -> io::Result<()> {
        match renameat2(&self.fd, from, &self.fd, to, RenameFlags::RENAME_NOREPLACE) {
            // The file system does not know that kind of renaming.
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                self.link(from, to)?;
                self.remove(from)
            }
            other => Ok(other?),
        }
    }

    /// Removes a file in it. One that is not there is no error.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Removes a directory in it, if it is there and empty.
    pub(super) fn remove_empty(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOENT | Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Makes the names in it durable, as far as its file system knows of that.
    pub(super) fn sync(&self) -> io::Result<()> {
        match nix::unistd::fsync(&self.fd) {
            // fsync(2): directories here cannot be synced (CIFS, for one). No other try would do more, and an
            // installation that waited for it could not even be taken back.
            Err(Errno::EINVAL) => Ok(()),
            other => Ok(other?),
        }
    }
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
}

/// Opens a directory below another one, without links, without a way out.
fn walk(base: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let path = if path == Path::new("") { Path::new(".") } else { path };
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    loop {
        match openat2(base, path, how) {
            // A rename somewhere on the machine raced with the walk; the kernel asks to walk again.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_cannot_be_synced_holds_nothing_up() {
        let open = |path: &str| Directory::open(Trusted::of_this_process(), Path::new(path), Path::new(""));
        let proc = open("/proc").unwrap();
        assert_eq!(nix::unistd::fsync(&proc.fd), Err(Errno::EINVAL), "there is such a directory");
        proc.sync().unwrap();
    }
}
