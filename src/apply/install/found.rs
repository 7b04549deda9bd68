//! What lies where a file is to go, and what of it outlives a replacement.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;

use aws_lc_rs::digest;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use crate::ownership::Trusted;
use crate::snapshot::Sha256;

/// The content and the attributes that make a file what it is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// The SHA-256 of its content.
    pub sha256: Sha256,
    /// Its length, in bytes.
    pub size: u64,
    /// Its mode, without the file's type.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What tells a file from another one that took its name, and from itself once it was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    inode: u64,
    size: i64,
    modified: (i64, i64),
    mode: u32,
    owner: (u32, u32),
}

impl Identity {
    /// Of what the system says of a file.
    pub(super) fn of(stat: &nix::sys::stat::FileStat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            mode: stat.st_mode,
            owner: (stat.st_uid, stat.st_gid),
        }
    }

    /// The file's number in its file system.
    pub(super) fn inode(&self) -> u64 {
        self.inode
    }
}

/// What lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Absent,
    /// A file.
    File {
        /// What it is; nothing where its length alone tells that it is none of those that were asked for.
        shape: Option<Shape>,
        /// Which one it is.
        identity: Identity,
    },
    /// Something else, in a word.
    Other(&'static str),
}

/// Looks at what has the name. Content is read only where the length is one of `lengths`.
pub(super) fn look(directory: &Directory, name: &str, lengths: &[u64]) -> io::Result<Found> {
    let Some(stat) = directory.look(name)? else { return Ok(Found::Absent) };
    let other = match stat.st_mode & 0o170_000 {
        0o100_000 => None,
        0o120_000 => Some("a symbolic link"),
        0o040_000 => Some("a directory"),
        _ => Some("a device, a socket or a pipe"),
    };
    if let Some(kind) = other {
        return Ok(Found::Other(kind));
    }
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let shape = if lengths.contains(&size) {
        let file = directory.read(name)?;
        let metadata = file.metadata()?;
        if metadata.ino() != stat.st_ino || !metadata.is_file() {
            return Err(io::Error::other("it is being replaced at this moment"));
        }
        let (sha256, read) = sum(file, size)?;
        (read == size).then_some(Shape {
            sha256,
            size,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
        })
    } else {
        None
    };
    Ok(Found::File { shape, identity: Identity::of(&stat) })
}

/// The SHA-256 of what a file holds, up to one byte more than `limit`, and how many bytes that is.
pub(super) fn sum(file: File, limit: u64) -> io::Result<(Sha256, u64)> {
    let mut context = digest::Context::new(&digest::SHA256);
    let read = each_piece(file, limit, |piece| {
        context.update(piece);
        Ok(())
    })?;
    Ok((Sha256::of(context), read))
}

/// Hands on what a file holds, up to one byte more than `limit`, and says how many bytes that is.
pub(super) fn each_piece(file: File, limit: u64, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<u64> {
    let mut file = file.take(limit.saturating_add(1));
    let mut piece = vec![0; 64 * 1024];
    let mut read = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(read),
            Ok(length) => {
                take(&piece[..length])?;
                read += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The label of SELinux.
const LABEL: &str = "security.selinux";

/// An access list.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Gives `new` the extended attributes of the file that it replaces: the label of SELinux, those of users, and the
/// access list, if that goes with the new mode. What belongs to content (capabilities, signatures) is not taken along;
/// nor is anything of a file that somebody put there whom neither we trust nor the new file is for: an access list would
/// let them read what they are not to.
///
/// Answers a warning where the label cannot be set.
pub(super) fn keep_attributes(trusted: Trusted, old: &File, new: &File) -> io::Result<Option<String>> {
    let (before, now) = (old.metadata()?, new.metadata()?);
    if !trusted.owns(&before) && before.uid() != now.uid() {
        return Ok(None);
    }
    let same_mode = before.mode() & 0o7777 == now.mode() & 0o7777;
    let mut warning = None;
    for name in names(old)? {
        let wanted = name == LABEL || name.starts_with("user.") || (name == ACCESS_LIST && same_mode);
        let Some(value) = wanted.then(|| value(old, &name)).transpose()?.flatten() else { continue };
        if value_or_none(new, &name).as_deref() == Some(&value[..]) {
            continue;
        }
        match rustix::fs::fsetxattr(new, &*name, &value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(error) if name == LABEL => {
                warning = Some(format!("its SELinux label could not be kept ({error}); `restorecon` sets it"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(warning)
}

fn names(file: &File) -> io::Result<Vec<String>> {
    // The kernel's limit.
    let mut list = vec![0_u8; 64 * 1024];
    match rustix::fs::flistxattr(file, &mut list[..]) {
        Ok(length) => {
            let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
            Ok(names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
        }
        Err(Errno::NOTSUP | Errno::NOSYS) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

fn value(file: &File, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0_u8; 64 * 1024];
    match rustix::fs::fgetxattr(file, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        // It has gone since it was listed.
        Err(Errno::NODATA) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn value_or_none(file: &File, name: &str) -> Option<Vec<u8>> {
    value(file, name).ok().flatten()
}
