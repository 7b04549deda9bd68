//! Removals: nobody ever finds half of what goes, and what was meant to stay does.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::OFlag;

use super::{DiskError, TEMPORARY, at, is_temporary, parent, sync_folder};

/// Removes a file for good. One that is not there is no error.
///
/// # Errors
/// When the file is still there.
pub fn remove(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DiskError::new("remove", path, error)),
    }
}

/// Removes a file for good, if it is the one that `is_meant`; another one that has taken its place stays, even if it does
/// so in this very moment. One that is not there is no error.
///
/// # Errors
/// When the file is still there, be it under a temporary name; then it is empty, where that is possible
/// and it has no other name.
pub fn remove_if(path: &Path, is_meant: impl Fn(&Path) -> bool) -> Result<(), DiskError> {
    if path.symlink_metadata().is_ok() && !is_meant(path) {
        return Ok(());
    }
    let renamed = tempfile::Builder::new().prefix(TEMPORARY).make_in(parent(path), |aside| fs::rename(path, aside));
    let aside = match renamed {
        Ok(aside) => aside.into_temp_path().keep().map_err(|error| DiskError::new("keep", path, error.error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DiskError::new("remove", path, error)),
    };
    // A link is made only where nothing is: what has come since then is newer still.
    if !is_meant(&aside)
        && let Err(error) = fs::hard_link(&aside, path)
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(DiskError::new("put back", path, error));
    }
    let removed = remove(&aside);
    if removed.is_err() {
        // What was in it, a token for one, is not to lie there under a name that nobody knows.
        let _ = empty(&aside);
    }
    removed
}

/// Empties a file that has no other name: under one, it is somebody's yet, as what was put back is.
fn empty(path: &Path) -> io::Result<()> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits()).open(path)?;
    if file.metadata()?.nlink() > 1 {
        return Ok(());
    }
    file.set_len(0)?;
    file.sync_all()
}

/// Removes a folder with all that is in it (or a file that took its name). It loses its name first, in one step:
/// whatever happens in the middle, nobody finds half of it under that name. One that is not there is no error.
///
/// # Errors
/// When the folder is still there, or what remains of it under a temporary name.
pub fn remove_folder(path: &Path) -> Result<(), DiskError> {
    let folder = parent(path);
    let renamed = tempfile::Builder::new().prefix(TEMPORARY).make_in(folder, |aside| fs::rename(path, aside));
    let aside = match renamed {
        Ok(aside) => aside.into_temp_path().keep().map_err(|error| DiskError::new("keep", path, error.error))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(DiskError::new("remove the folder", path, error)),
    };
    sync_folder(folder)?;
    remove_whatever(&aside).map_err(at("remove", &aside))
}

/// Removes what an earlier process left unfinished in `folder`. Call it only under the [`StateLock`](super::StateLock).
///
/// # Errors
/// When the folder cannot be read, or a leftover cannot be removed.
pub fn sweep(folder: &Path) -> Result<(), DiskError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(at("read the folder", folder))?,
    };
    for entry in entries {
        let entry = entry.map_err(at("read the folder", folder))?;
        if !is_temporary(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        remove_whatever(&path).map_err(at("remove the leftover", &path))?;
    }
    Ok(())
}

fn remove_whatever(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_removed_is_emptied_unless_it_is_there_under_another_name_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let (aside, token) = (folder.path().join(".tmp-1"), folder.path().join("token"));
        fs::write(&aside, "secret").unwrap();
        fs::hard_link(&aside, &token).unwrap();
        empty(&aside).unwrap();
        assert_eq!(fs::read(&token).unwrap(), b"secret", "it was put back");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&token, &link).unwrap();
        empty(&link).unwrap_err();
        fs::remove_file(&aside).unwrap();
        empty(&link).unwrap_err();
        assert_eq!(fs::read(&token).unwrap(), b"secret", "links are not followed");
        empty(&token).unwrap();
        assert_eq!(fs::read(&token).unwrap(), b"");
    }

    #[test]
    fn a_file_that_took_the_place_of_what_is_removed_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let holds = |path: &Path, content: &str| fs::read(path).unwrap() == content.as_bytes();
        fs::write(&path, "old").unwrap();
        remove_if(&path, |path| holds(path, "new")).unwrap();
        assert!(holds(&path, "old"));
        // It comes after the look and before the rename.
        remove_if(&path, |looked_at| {
            let is_meant = holds(looked_at, "old");
            fs::write(&path, "new").unwrap();
            is_meant
        })
        .unwrap();
        assert!(holds(&path, "new"));
        remove_if(&path, |path| holds(path, "new")).unwrap();
        remove_if(&path, |_| panic!("there is nothing to look at")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_goes_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::create_dir_all(path.join("b")).unwrap();
        fs::write(path.join("b/c"), "x").unwrap();
        remove_folder(&path).unwrap();
        remove_folder(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
