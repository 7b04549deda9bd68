//! A folder in the making, removed again unless it is published.

use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::{DiskError, at, parent, publish_folder, remove_folder, sync_folder, unpublished_folder};

/// A folder with a temporary name, to be filled and put in place whole. Dropped, it is removed as far as that is
/// possible; the rest is swept at the next start.
#[derive(Debug)]
pub struct Staged {
    path: Option<PathBuf>,
}

impl Staged {
    /// Makes an empty one in `folder`, where it is to be published, with `mode` less the umask.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new_in(folder: &Path, mode: u32) -> Result<Self, DiskError> {
        Ok(Self { path: Some(unpublished_folder(folder, mode)?) })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.path.as_deref().expect("only the methods that consume it take the path")
    }

    /// Fsyncs it and gives it its final name, which must not exist.
    ///
    /// # Errors
    /// When any step fails; either it has its name then, or it is removed.
    pub fn publish(mut self, path: &Path) -> Result<(), DiskError> {
        publish_folder(self.path(), path)?;
        self.path = None;
        Ok(())
    }

    /// Gives it its final name, which must not exist. It is durable already, and [`sync_folder`] on the folder around it
    /// follows.
    ///
    /// # Errors
    /// When that fails; it is removed then.
    pub fn publish_unsynced(mut self, path: &Path) -> Result<(), DiskError> {
        fs::rename(self.path(), path).map_err(at("rename into place", path))?;
        self.path = None;
        Ok(())
    }

    /// Fsyncs it and puts it in the place of the folder `path`, in one step where the file system can do that; then
    /// removes the old one.
    ///
    /// # Errors
    /// When any step fails; `path` is then either the old or the new folder, or absent where the file system cannot
    /// exchange.
    pub fn replace(self, path: &Path) -> Result<(), DiskError> {
        sync_folder(self.path())?;
        match self.swap(path) {
            Err(Errno::EINVAL | Errno::ENOSYS) => {
                remove_folder(path)?;
                self.publish(path)
            }
            swapped => self.discard_swapped(path, swapped),
        }
    }

    /// Does the same, and never without the exchange: at no instant is there no folder `path`.
    ///
    /// # Errors
    /// When any step fails, or the file system cannot exchange; `path` is then either the old or the new folder.
    pub fn exchange(self, path: &Path) -> Result<(), DiskError> {
        sync_folder(self.path())?;
        let swapped = self.swap(path);
        self.discard_swapped(path, swapped)
    }

    fn swap(&self, path: &Path) -> Result<(), Errno> {
        renameat2(AT_FDCWD, self.path(), AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE)
    }

    /// What comes after the swap: the old folder has the temporary name now, and is removed.
    fn discard_swapped(self, path: &Path, swapped: Result<(), Errno>) -> Result<(), DiskError> {
        swapped.map_err(|errno| DiskError::new("exchange the folder", path, errno.into()))?;
        sync_folder(parent(path))?;
        self.discard()
    }

    /// Removes it.
    ///
    /// # Errors
    /// When something of it remains.
    pub fn discard(mut self) -> Result<(), DiskError> {
        match self.path.take() {
            Some(path) => fs::remove_dir_all(&path).map_err(at("remove", &path)),
            None => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // Whatever failed is being reported already; what remains here is swept at the next start.
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let staged = Staged::new_in(folder.path(), 0o755).unwrap();
        fs::write(staged.path().join("a"), "x").unwrap();
        drop(staged);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    type Put = fn(Staged, &Path) -> Result<(), DiskError>;

    #[test]
    fn a_folder_is_exchanged_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        for (text, put) in [("one", Staged::publish as Put), ("two", Staged::replace), ("three", Staged::exchange)] {
            let staged = Staged::new_in(folder.path(), 0o755).unwrap();
            fs::write(staged.path().join("a"), text).unwrap();
            put(staged, &place).unwrap();
            assert_eq!(fs::read_to_string(place.join("a")).unwrap(), text);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        // What is not there cannot be exchanged, and nothing takes its place.
        let staged = Staged::new_in(folder.path(), 0o755).unwrap();
        staged.exchange(&folder.path().join("absent")).unwrap_err();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
