//! Reads files below a directory whose owner is not trusted: the daemon's state directory.
//!
//! Nothing that is planted there leads the applier elsewhere, makes it wait, or makes it read without end: the path is
//! walked by the kernel without links, mounts and ways out, the file is opened without waiting, is of the directory's
//! own owner (so it is no hard link to somebody else's file), is a regular file, and has a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// How often one path is walked, where the kernel asks for it.
const MOST_WALKS: u32 = 100;

/// How many names one folder may have.
const MOST_NAMES: usize = 100_000;

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum ForeignError {
    /// It is not there.
    #[error("is not there (any more)")]
    Missing,
    /// It cannot be opened or read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The path leads elsewhere.
    #[error("cannot be read: its path leads through a link or a mount, as the daemon never makes it")]
    Led,
    /// It is not a file.
    #[error("is not a regular file")]
    NotAFile,
    /// It is somebody else's.
    #[error("belongs to the user {0}, and not to the owner of the state directory")]
    Owner(u32),
    /// It cannot be had without waiting for somebody.
    #[error("cannot be read: somebody holds it (a lease, see fcntl(2)), as the daemon never does")]
    Held,
    /// It is too long.
    #[error("is longer than the {0} bytes that are read")]
    TooLong(u64),
    /// There are too many.
    #[error("holds more than the {0} names that are read")]
    TooMany(usize),
}

/// The daemon's state directory.
#[derive(Debug)]
pub(super) struct ForeignState {
    state: File,
    owner: u32,
}

impl ForeignState {
    /// Opens it. The way to it is root's, links included; only below it nothing is trusted.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let state = File::open(path)?;
        let owner = state.metadata()?.uid();
        Ok(Self { state, owner })
    }

    /// Opens a file below it, of at most `limit` bytes now; it may still grow.
    pub(super) fn file(&self, path: &Path, limit: u64) -> Result<File, ForeignError> {
        let file = self.walk(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(ForeignError::NotAFile);
        }
        if metadata.uid() != self.owner {
            return Err(ForeignError::Owner(metadata.uid()));
        }
        if metadata.len() > limit {
            return Err(ForeignError::TooLong(limit));
        }
        Ok(file)
    }

    /// Reads a file below it, of at most `limit` bytes.
    pub(super) fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, ForeignError> {
        let mut text = Vec::new();
        // It may grow while it is read.
        self.file(path, limit)?.take(limit + 1).read_to_end(&mut text)?;
        if text.len() as u64 > limit { Err(ForeignError::TooLong(limit)) } else { Ok(text) }
    }

    /// The names in a folder below it.
    pub(super) fn names(&self, path: &Path) -> Result<Vec<Vec<u8>>, ForeignError> {
        let folder = self.walk(path)?;
        if !folder.metadata()?.is_dir() {
            return Err(ForeignError::Missing);
        }
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder).map_err(io::Error::from)? {
            let name = entry.map_err(io::Error::from)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
            if names.len() > MOST_NAMES {
                return Err(ForeignError::TooMany(MOST_NAMES));
            }
        }
        Ok(names)
    }

    fn walk(&self, path: &Path) -> Result<File, ForeignError> {
        let how = OpenHow::new()
            .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_XDEV);
        for _ in 0..MOST_WALKS {
            return match openat2(&self.state, path, how) {
                Ok(file) => Ok(file.into()),
                // A rename somewhere on the machine raced with the walk, and the kernel asks to walk again. Or the file
                // is under a lease, of which the kernel says the same for as long as the holder likes.
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(Errno::ENOENT | Errno::ENOTDIR) => Err(ForeignError::Missing),
                Err(Errno::ELOOP | Errno::EXDEV) => Err(ForeignError::Led),
                // A socket, or a device without a driver.
                Err(Errno::ENXIO | Errno::ENODEV) => Err(ForeignError::NotAFile),
                Err(Errno::ENOSYS) => Err(io::Error::other(NO_OPENAT2).into()),
                Err(error) => Err(io::Error::from(error).into()),
            };
        }
        Err(ForeignError::Held)
    }
}

/// What is said where the system does not have the call by which paths are walked safely.
pub(super) const NO_OPENAT2: &str = "openat2(2) is kept from this process, by a system call filter or an old kernel";
