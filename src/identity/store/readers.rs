//! Who may read the identities besides the agent: nobody, or a group.
//!
//! The folder of identities says it by its mode, which an administrator or tmpfiles.d(5) sets. Its setgid bit gives what
//! is made inside to its group, so that the agent, which is no member, never has to give anything away.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::disk::{self, DiskError, Staged};
use crate::event::Identity as Event;

/// Who may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Nobody but the agent's user.
    Nobody,
    /// The group of the folder of identities.
    Group,
}

/// The setgid bit, and for the group the rights to list and to enter.
const SHARED: u32 = 0o2050;

impl Readers {
    /// Whom the folder of identities is open to.
    pub(super) fn of(root: &Path) -> Result<Self, DiskError> {
        let mode = fs::metadata(root).map_err(|source| DiskError::new("look at", root, source))?.mode();
        Ok(if mode & SHARED == SHARED { Self::Group } else { Self::Nobody })
    }

    /// The mode of an identity's folder, but for the setgid bit, which it inherits.
    pub(super) const fn folder_mode(self) -> u32 {
        match self {
            Self::Nobody => 0o700,
            Self::Group => 0o750,
        }
    }

    /// The mode of an identity's files.
    pub(super) const fn file_mode(self) -> u32 {
        match self {
            Self::Nobody => 0o600,
            Self::Group => 0o640,
        }
    }

    /// Makes an identity that was written for others, or came from a backup, readable for these, and for nobody else.
    /// What does not succeed is told in the log.
    pub(super) fn establish(self, root: &Path, folder: &Path) {
        let (established, command) = match self {
            Self::Nobody => (close(folder), format!("chmod -R go= {}", root.display())),
            Self::Group => {
                (open(root, folder), format!("chgrp -R --reference={0} {0}; chmod -R g+rX {0}", root.display()))
            }
        };
        let folder = folder.display();
        match (established, self) {
            (Ok(Done::Nothing), _) => {}
            (Ok(Done::Changed), Self::Nobody) => {
                Event::ReadersChanged { folder: &folder, readers: "the agent alone" }.emit();
            }
            (Ok(Done::Changed), Self::Group) => {
                Event::ReadersChanged { folder: &folder, readers: "the group of readers, too" }.emit();
            }
            (Err(error), _) => Event::ReadersNotSet { folder: &folder, error: &error, command: &command }.emit(),
        }
    }
}

/// Whether anything had to be done.
enum Done {
    Nothing,
    Changed,
}

/// Takes every right from all but the owner.
fn close(folder: &Path) -> Result<Done, DiskError> {
    let mut done = Done::Nothing;
    // The folder first: what is in it is out of reach from then on.
    let folder_mode = Readers::Nobody.folder_mode();
    let files = files(folder)?.into_iter().map(|file| (file, Readers::Nobody.file_mode()));
    for (path, mode) in std::iter::once((folder.to_owned(), folder_mode)).chain(files) {
        if metadata(&path)?.mode() & 0o7777 != mode {
            fs::set_permissions(&path, Permissions::from_mode(mode))
                .map_err(|source| DiskError::new("set the mode of", &path, source))?;
            done = Done::Changed;
        }
    }
    Ok(done)
}

/// Gives the folder and its files to the group of `root`.
///
/// Only root could give them to a group that the agent is not in. But what the agent makes in `root` belongs to that
/// group from the beginning: so the folder is made once more, and put in the place of the first in one step.
fn open(root: &Path, folder: &Path) -> Result<Done, DiskError> {
    let group = metadata(root)?.gid();
    // In the sandbox of the unit all groups but the agent's own have the same number, so a change from one group of
    // readers to another is not seen from there.
    let fits = |path: &Path, mode: u32| {
        metadata(path).map(|metadata| metadata.gid() == group && metadata.mode() & 0o777 == mode)
    };
    let files = files(folder)?;
    let mut all_fit = fits(folder, Readers::Group.folder_mode())?;
    for file in &files {
        all_fit &= fits(file, Readers::Group.file_mode())?;
    }
    if all_fit {
        return Ok(Done::Nothing);
    }
    let copy = Staged::new_in(root, Readers::Group.folder_mode())?;
    for file in &files {
        let Some(name) = file.file_name() else { continue };
        let content = fs::read(file).map(Zeroizing::new).map_err(|source| DiskError::new("read", file, source))?;
        disk::write_unpublished(&copy.path().join(name), Readers::Group.file_mode(), &content)?;
    }
    copy.exchange(folder)?;
    Ok(Done::Changed)
}

/// The files in an identity's folder, without what a kill left of one. Anything else was put there by somebody else.
fn files(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let failed = |source| DiskError::new("read the folder", folder, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if disk::is_temporary(&entry.file_name()) {
            continue;
        }
        if !entry.file_type().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other(format!("{} in it is no file", entry.file_name().display()))));
        }
        files.push(entry.path());
    }
    Ok(files)
}

fn metadata(path: &Path) -> Result<fs::Metadata, DiskError> {
    fs::symlink_metadata(path).map_err(|source| DiskError::new("look at", path, source))
}
