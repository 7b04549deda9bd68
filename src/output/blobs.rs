//! The content of what templates made: one file for each that differs, named by its content and mode.
//!
//! New ones are written beside and get their names only after they are durable, so that a name in here always stands for
//! a whole file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::digest::DigestKey;
use super::folder::FOLDER;
use super::manifest::ObjectName;
use super::pool::Pool;
use crate::disk::{self, DiskError, Staged};

/// The folder of the blobs.
#[derive(Debug)]
pub(super) struct Blobs {
    pool: Pool<ObjectName>,
}

/// Blobs on their way.
#[derive(Debug)]
pub(super) struct IncomingBlobs {
    staged: Staged,
    pool: Pool<ObjectName>,
    new: BTreeSet<ObjectName>,
}

impl Blobs {
    /// The blobs in the output folder `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { pool: Pool::new(root.join("blobs")) }
    }

    /// All of them.
    pub(super) fn pool(&self) -> &Pool<ObjectName> {
        &self.pool
    }

    /// Where a blob lies.
    pub(super) fn path(&self, name: &ObjectName) -> PathBuf {
        self.pool.path(name)
    }

    /// Begins to take new ones.
    pub(super) fn begin(&self) -> Result<IncomingBlobs, DiskError> {
        let folder = self.pool.folder();
        disk::ensure_folder(folder, FOLDER)?;
        let staged = Staged::new_in(folder, FOLDER)?;
        Ok(IncomingBlobs { staged, pool: self.pool.clone(), new: BTreeSet::new() })
    }

    /// Whether a blob is there, and is what its name says.
    pub(super) fn is_sound(&self, name: &ObjectName, mode: u32, key: &DigestKey) -> Result<bool, DiskError> {
        let path = self.path(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(DiskError::new("look at", &path, error)),
        }
        let content = zeroize::Zeroizing::new(fs::read(&path).map_err(|error| DiskError::new("read", &path, error))?);
        Ok(name_of(&content, mode, key) == *name)
    }
}

impl IncomingBlobs {
    /// Takes one, without waiting until it is durable, and gives its name.
    pub(super) fn take(&mut self, content: &[u8], mode: u32, key: &DigestKey) -> Result<ObjectName, DiskError> {
        let name = name_of(content, mode, key);
        if !self.new.contains(&name) && self.pool.path(&name).symlink_metadata().is_err() {
            disk::write_unsynced(&self.staged.path().join(name.as_str()), mode, content)?;
            self.new.insert(name.clone());
        }
        Ok(name)
    }

    /// Gives them their names; they are durable by now.
    pub(super) fn publish(self) -> Result<(), DiskError> {
        for name in &self.new {
            disk::rename_unsynced(&self.staged.path().join(name.as_str()), &self.pool.path(name))?;
        }
        disk::sync_folder(self.pool.folder())
    }
}

/// The name of a content with this mode.
fn name_of(content: &[u8], mode: u32, key: &DigestKey) -> ObjectName {
    let mut naming = key.start();
    naming.file("", mode, content.len() as u64);
    naming.content(content);
    naming.finish()
}
