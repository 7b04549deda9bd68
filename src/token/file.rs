//! What lies where a token is dropped: read, judged, and removed for good.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, User, access, geteuid};
use zeroize::Zeroizing;

use super::forms::{MAX_TOKEN_FILE, OneTimeToken, TokenError, parse};
use crate::disk::{self, DiskError};

/// What lies in the folder.
#[derive(Debug)]
pub enum Dropped {
    /// A token.
    Token(OneTimeToken),
    /// Something that is no token, and may be removed.
    NoToken(TokenError),
    /// Something that can be neither used nor removed; the text says why and what to do.
    Stuck(String),
    /// What was there is gone.
    Gone,
}

/// A file, in the state in which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    /// Where it lies.
    pub path: PathBuf,
    pub(super) mark: Option<Mark>,
    /// The token's own file, where `path` is a link to it.
    pub(super) target: Option<PathBuf>,
}

impl TokenFile {
    /// A file of that name, whatever there is.
    #[cfg(test)]
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, mark: None, target: None }
    }

    /// Removes the file, and what it is a link to where that is a token; but not another one that has taken its place
    /// since it was read.
    ///
    /// # Errors
    /// When one of them is still there.
    pub fn remove(&self) -> Result<(), DiskError> {
        let is_meant = |path: &Path| Mark::at(path) == self.mark;
        disk::remove_if(&self.path, is_meant)?;
        match &self.target {
            Some(target) if is_meant(target) => {
                fs::remove_file(target).map_err(|source| DiskError::new("remove", target, source))
            }
            _ => Ok(()),
        }
    }
}

/// Which file it is, with which content. Not the time of its last change of any kind: a new owner or mode, which many give
/// to a file only once it is there, makes it no other token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl Mark {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|metadata| Self::of(&metadata))
    }
}

/// What was seen at one look.
#[derive(Debug)]
pub(super) struct Seen {
    /// Which file it is, where it could be looked at.
    pub mark: Option<Mark>,
    /// What is in it.
    pub dropped: Dropped,
    /// Where it really is, if the path is a link. Nothing tells when that changes.
    pub target: Option<PathBuf>,
}

/// What lies at `path`, which stays as it is; nothing where nothing is there. Blocks.
pub fn peek(path: &Path) -> Option<Dropped> {
    look(path).map(|seen| seen.dropped)
}

/// What lies at `path`; nothing where nothing is there.
pub(super) fn look(path: &Path) -> Option<Seen> {
    let link = path.symlink_metadata().is_ok_and(|there| there.is_symlink()).then(|| target_of(path));
    let (mark, dropped) = match read(path) {
        Ok((mark, content)) => (Some(mark), parse(&content).map_or_else(Dropped::NoToken, Dropped::Token)),
        Err(Unread::Absent) => {
            let target = link.as_ref()?;
            (None, Dropped::Stuck(format!("it is a link to {}, and nothing is there", target.display())))
        }
        Err(Unread::Forbidden(metadata)) => {
            (None, Dropped::Stuck(forbidden(path, metadata.as_deref(), link.as_deref())))
        }
        Err(Unread::Other(why)) => (None, Dropped::Stuck(why)),
    };
    Some(Seen { mark, dropped, target: link })
}

/// Where a link leads, as far as it can be followed.
fn target_of(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| {
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::read_link(path).map_or_else(|_| path.to_owned(), |target| folder.join(target))
    })
}

enum Unread {
    Absent,
    /// With what is known of the file, if even that may be known.
    Forbidden(Option<Box<Metadata>>),
    Other(String),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::PermissionDenied => Self::Forbidden(None),
            _ => Self::Other(format!("it cannot be read: {error}")),
        }
    }
}

/// Reads a regular file, as far as a token can reach.
fn read(path: &Path) -> Result<(Mark, Zeroizing<Vec<u8>>), Unread> {
    // Opening other things than files can have effects, and a socket cannot be opened at all.
    let metadata = fs::metadata(path)?;
    let is_file = |metadata: &Metadata| {
        let why = "it is not a regular file; remove it, and put the token there as a file";
        if metadata.is_file() { Ok(()) } else { Err(Unread::Other(why.into())) }
    };
    is_file(&metadata)?;
    let file = OpenOptions::new()
        .read(true)
        // Without O_NONBLOCK, a FIFO that has just taken the file's place would hold us for ever.
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).bits())
        .open(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Unread::Forbidden(Some(metadata.into())),
            _ => error.into(),
        })?;
    let metadata = file.metadata()?;
    is_file(&metadata)?;
    // All the room at once: growing would leave copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_TOKEN_FILE as usize + 1));
    file.take(MAX_TOKEN_FILE + 1).read_to_end(&mut content)?;
    Ok((Mark::of(&metadata), content))
}

/// Says by which command the agent comes to read the file.
fn forbidden(path: &Path, metadata: Option<&Metadata>, target: Option<&Path>) -> String {
    let user = geteuid();
    let name = User::from_uid(user).ok().flatten().map_or_else(|| user.to_string(), |user| user.name);
    let quoted = quoted(path);
    let owns = |metadata: &Metadata| metadata.uid() == user.as_raw();
    let readable = |metadata: &Metadata| metadata.mode() & 0o400 != 0;
    let command = match (metadata, target) {
        (Some(metadata), _) if owns(metadata) && readable(metadata) => {
            return "the agent's user may not read it, although its owner and mode allow that; see the journal for what \
                    a security module (SELinux, AppArmor) refused"
                .into();
        }
        (Some(metadata), _) if owns(metadata) => format!("chmod u+r {quoted}"),
        (Some(metadata), _) if readable(metadata) => format!("chown {name} {quoted}"),
        (Some(_), _) => format!("chown {name} {quoted} && chmod u+r {quoted}"),
        // The link's end lies where the agent has no business.
        (None, Some(target)) => format!("runtime-agent pair --token-file {}", self::quoted(target)),
        (None, None) => {
            let closed = path.ancestors().skip(1).filter(|folder| access(*folder, AccessFlags::X_OK).is_err()).last();
            format!("chmod o+x {}", self::quoted(closed.unwrap_or(path)))
        }
    };
    format!("the agent's user may not read it; run `{command}`")
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:@".contains(c)) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(quoted(Path::new("/etc/runtime-agent/pairing/token")), "/etc/runtime-agent/pairing/token");
        assert_eq!(quoted(Path::new("/it's here")), r"'/it'\''s here'");
    }
}
