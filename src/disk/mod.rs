//! The one place that writes: whole files, links and folders, durable before the call returns.
//!
//! Every function leaves either the old or the new state, whatever happens in the middle: content is written beside,
//! fsynced, renamed into place, and the folder fsynced. What a kill leaves behind begins with [`TEMPORARY`] and is
//! swept at the next start.

mod lock;
mod removal;
mod staged;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, fchown, symlink};
use std::path::{Path, PathBuf};

pub use lock::{LockError, StateLock};
pub use removal::{remove, remove_folder, remove_if, sweep};
pub use staged::Staged;

/// How the names of unfinished files and folders begin.
pub const TEMPORARY: &str = ".tmp-";

/// An operation of this module that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {path}: {source}")]
pub struct DiskError {
    action: &'static str,
    path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl DiskError {
    /// Puts the action and the path to a system's error.
    pub fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self { action, path: path.to_owned(), source }
    }

    /// Whether the thing is simply not there.
    pub fn is_absent(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the same would be answered at the next try; see [`is_lasting`].
    pub fn is_lasting(&self) -> bool {
        is_lasting(&self.source)
    }
}

/// Whether the same would be answered at the next try: the thing is not there, is something else, or may not be read. A
/// disk that fails, or a system that has too little of something, tells nothing of what is there.
pub fn is_lasting(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied};
    let kinds = [NotFound, InvalidData, InvalidInput, IsADirectory, NotADirectory, PermissionDenied];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(nix::errno::Errno::ELOOP as i32)
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError::new(action, path, source)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Puts a file in place, or replaces it, whole. `mode` is set exactly, whatever the umask.
///
/// # Errors
/// When any step fails; the old file, if there was one, is then untouched.
pub fn write(path: &Path, mode: u32, content: &[u8]) -> Result<(), DiskError> {
    write_for(path, mode, Owner::Own, content)
}

/// Whom a file is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// This process's user, and the group that the folder hands down.
    Own,
    /// Another user and group; only root can do that.
    Other {
        /// The user's id.
        user: u32,
        /// The group's id.
        group: u32,
    },
}

/// Does what [`write()`] does, for somebody else: the file has its owner before it has its name.
///
/// # Errors
/// When any step fails; the old file, if there was one, is then untouched.
pub fn write_for(path: &Path, mode: u32, owner: Owner, content: &[u8]) -> Result<(), DiskError> {
    let mut file = Unpublished::new_in(parent(path))?;
    file.write_all(content).map_err(at("write", path))?;
    if let Owner::Other { user, group } = owner {
        fchown(file.0.as_file(), Some(user), Some(group)).map_err(at("change the owner of", path))?;
    }
    file.publish(path, mode)
}

/// A file in the making, with a temporary name; dropped, it is removed.
#[derive(Debug)]
pub struct Unpublished(tempfile::NamedTempFile);

impl Unpublished {
    /// Makes an empty one in `folder`, where it is to be published. Until then its mode is 0600: nobody can open it
    /// before its mode and content are final.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_in(folder: &Path) -> Result<Self, DiskError> {
        tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder).map(Self).map_err(at("create a file in", folder))
    }

    /// Its temporary name, for those who write to it by a name.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Another handle, which goes on being the same file whatever becomes of its names.
    ///
    /// # Errors
    /// When the process has no room for one.
    pub fn reader(&self) -> io::Result<File> {
        self.0.as_file().try_clone()
    }

    /// Fsyncs it and gives it its name and exactly this mode, whatever has that name.
    ///
    /// # Errors
    /// When any step fails; what had the name is then untouched, and this is removed.
    pub fn publish(self, path: &Path, mode: u32) -> Result<(), DiskError> {
        let file = self.0;
        file.as_file().set_permissions(Permissions::from_mode(mode)).map_err(at("set the mode of", path))?;
        file.as_file().sync_all().map_err(at("sync", path))?;
        file.persist(path).map_err(|error| DiskError::new("rename into place", path, error.error))?;
        sync_folder(parent(path))
    }
}

impl Write for Unpublished {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for Unpublished {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

/// Writes a file into a folder that nobody looks at yet, and fsyncs it; the folder's own fsync and rename follow.
///
/// # Errors
/// When any step fails, or the file is there already.
pub fn write_unpublished(path: &Path, mode: u32, content: &[u8]) -> Result<(), DiskError> {
    create(path, mode, content)?.sync_all().map_err(at("sync", path))
}

/// Does what [`write_unpublished`] does, but for the fsync; [`sync_all`] follows.
///
/// # Errors
/// When any step fails, or the file is there already.
pub fn write_unsynced(path: &Path, mode: u32, content: &[u8]) -> Result<(), DiskError> {
    create(path, mode, content).map(drop)
}

/// Makes an empty file with exactly this mode in a folder that nobody looks at yet, for what is too long to be written at
/// once; [`sync_all`] follows.
///
/// # Errors
/// When it cannot be made, or is there already.
pub fn create_unsynced(path: &Path, mode: u32) -> Result<File, DiskError> {
    create(path, mode, &[])
}

fn create(path: &Path, mode: u32, content: &[u8]) -> Result<File, DiskError> {
    let mut options = fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create_new(true).open(path).map_err(at("create", path))?;
    file.write_all(content).map_err(at("write", path))?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(at("set the mode of", path))?;
    Ok(file)
}

/// Gives a durable file its name; [`sync_folder`] follows.
///
/// # Errors
/// When it has no other name then.
pub fn rename_unsynced(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(at("rename into place", to))
}

/// Makes everything durable that was written to the file system of `folder`, in one step (syncfs(2)): for many new files
/// that takes far less than an fsync for each.
///
/// # Errors
/// When the file system cannot write.
pub fn sync_all(folder: &Path) -> Result<(), DiskError> {
    let open = File::open(folder).map_err(at("open the folder", folder))?;
    nix::unistd::syncfs(&open).map_err(|errno| DiskError::new("sync the file system of", folder, errno.into()))
}

/// Makes a folder and those above it, as far as they are missing, with `mode` less the umask.
///
/// # Errors
/// When the folder cannot be made.
pub fn ensure_folder(path: &Path, mode: u32) -> Result<(), DiskError> {
    if path.is_dir() {
        return Ok(());
    }
    let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
    let missing: Vec<&Path> = missing.collect();
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(at("create the folder", path))?;
    missing.into_iter().rev().try_for_each(|made| sync_folder(parent(made)))
}

/// Does what [`ensure_folder`] does for a folder that this process is to build on, and makes durable what an earlier one
/// may have been killed over: its name, and the names in it. They are all there, and power could take them yet.
///
/// # Errors
/// When the folder cannot be made or synced.
pub fn settle_folder(path: &Path, mode: u32) -> Result<(), DiskError> {
    ensure_folder(path, mode)?;
    sync_surroundings(parent(path))?;
    sync_folder(path)
}

/// Makes the names in a folder durable that somebody else may have made, on another file system perhaps.
fn sync_surroundings(folder: &Path) -> Result<(), DiskError> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    match sync_folder(folder) {
        // Who may not look there has made nothing there, nor was an earlier process of theirs killed over that; and an image
        // that is only read, as under a state directory of its own on an appliance, has nothing to be synced (EINVAL).
        Err(error) if matches!(error.source.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem) => Ok(()),
        other => other,
    }
}

/// Makes one folder in a folder that nobody looks at yet, with `mode` less the umask; nothing is fsynced.
///
/// Folders are never given another mode afterwards, for that would take the setgid bit that they inherit.
///
/// # Errors
/// When the folder cannot be made, or is there already.
pub fn create_folder(path: &Path, mode: u32) -> Result<(), DiskError> {
    fs::DirBuilder::new().mode(mode).create(path).map_err(at("create the folder", path))
}

/// Makes a symbolic link in a folder that nobody looks at yet; the folder's own fsync and rename follow.
///
/// # Errors
/// When the link cannot be made, or something is there already.
pub fn link_unpublished(path: &Path, target: &Path) -> Result<(), DiskError> {
    symlink(target, path).map_err(at("create the link", path))
}

/// Does the same where another name of a link that says so is as good: `known`, if it does. Of thousands of links that
/// stay what they are, none is then made, and none freed when `known` is removed: both cost much more than a name, and
/// ext4 looks past every inode that was freed in the last minutes, one by one, whenever it makes one
/// (`recently_deleted` in the kernel's fs/ext4/ialloc.c).
///
/// # Errors
/// As of [`link_unpublished`].
pub fn link_again_unpublished(path: &Path, target: &Path, known: &Path) -> Result<(), DiskError> {
    // What a file system does not support, or what is full, is made anew.
    if fs::hard_link(known, path).is_err() {
        return link_unpublished(path, target);
    }
    if fs::read_link(path).is_ok_and(|says| says == target) {
        return Ok(());
    }
    // Somebody has edited that.
    fs::remove_file(path).map_err(at("remove", path))?;
    link_unpublished(path, target)
}

/// Makes a folder with a fresh temporary name in `folder`, to be filled and then put in place by [`publish_folder`].
///
/// # Errors
/// When the folder cannot be made.
pub fn unpublished_folder(folder: &Path, mode: u32) -> Result<PathBuf, DiskError> {
    let made = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(Permissions::from_mode(mode))
        .tempdir_in(folder)
        .map_err(at("create a folder in", folder))?;
    Ok(made.keep())
}

/// Fsyncs a filled folder and renames it to its final name, which must not exist (or be an empty folder).
///
/// # Errors
/// When any step fails; the final name then does not exist.
pub fn publish_folder(unpublished: &Path, path: &Path) -> Result<(), DiskError> {
    sync_folder(unpublished)?;
    fs::rename(unpublished, path).map_err(at("rename into place", path))?;
    sync_folder(parent(path))
}

/// Points the symbolic link `link` at `target`, in one step.
///
/// # Errors
/// When any step fails; the link then points where it pointed.
pub fn swap_link(link: &Path, target: &Path) -> Result<(), DiskError> {
    let folder = parent(link);
    let temporary = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .make_in(folder, |path| symlink(target, path))
        .map_err(at("create a link in", folder))?;
    temporary.persist(link).map_err(|error| DiskError::new("swap the link", link, error.error))?;
    sync_folder(folder)
}

/// Gives a file another name in its folder, in the place of whatever file had that.
///
/// # Errors
/// When any step fails.
pub fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    fs::rename(from, to).map_err(at("rename", from))?;
    sync_folder(parent(to))
}

/// Makes the names in a folder durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(path: &Path) -> Result<(), DiskError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at("sync the folder", path))
}

/// Whether a name is that of something unfinished.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_link_that_says_the_same_gets_another_name_and_one_that_does_not_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let inode = |name: &str| fs::symlink_metadata(path(name)).unwrap().ino();
        let target = Path::new("../objects/a");
        link_unpublished(&path("known"), target).unwrap();
        link_again_unpublished(&path("same"), target, &path("known")).unwrap();
        assert_eq!(inode("same"), inode("known"));
        link_again_unpublished(&path("moved"), Path::new("../objects/b"), &path("known")).unwrap();
        assert_eq!(fs::read_link(path("moved")).unwrap(), Path::new("../objects/b"));
        assert_eq!(fs::read_link(path("known")).unwrap(), target, "the known one is as it was");
        link_again_unpublished(&path("alone"), target, &path("nothing")).unwrap();
        fs::write(path("edited"), "by somebody").unwrap();
        link_again_unpublished(&path("healed"), target, &path("edited")).unwrap();
        for name in ["same", "alone", "healed"] {
            assert_eq!(fs::read_link(path(name)).unwrap(), target, "{name}");
        }
        assert_eq!(fs::read(path("edited")).unwrap(), b"by somebody");
    }

    #[test]
    fn a_file_is_replaced_whole_and_with_exactly_the_mode_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, 0o666, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o666);
        write(&path, 0o600, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside");
    }

    #[test]
    fn a_failed_write_names_the_place_and_leaves_nothing() {
        let error = write(Path::new("/nonexistent-folder/a"), 0o600, b"").unwrap_err();
        assert!(error.to_string().contains("/nonexistent-folder"), "{error}");
    }

    #[test]
    fn folders_inherit_the_group_and_hand_it_on() {
        let folder = tempfile::tempdir().unwrap();
        // Only root may choose a foreign group; everybody may set the bit for a group of their own.
        let _ = std::os::unix::fs::chown(folder.path(), None, Some(54_321));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o2750)).unwrap();
        let group = fs::metadata(folder.path()).unwrap().gid();
        let staged = Staged::new_in(folder.path(), 0o755).unwrap();
        create_folder(&staged.path().join("in"), 0o755).unwrap();
        write_unpublished(&staged.path().join("in/file"), 0o640, b"x").unwrap();
        staged.publish(&folder.path().join("a")).unwrap();
        ensure_folder(&folder.path().join("b/c"), 0o755).unwrap();
        write(&folder.path().join("file"), 0o640, b"x").unwrap();
        for (name, mode) in
            [("a", 0o2755), ("a/in", 0o2755), ("b", 0o2755), ("b/c", 0o2755), ("a/in/file", 0o640), ("file", 0o640)]
        {
            let metadata = fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(metadata.gid(), group, "{name}");
            assert_eq!(metadata.mode() & 0o7000, mode & 0o7000, "{name}");
            // The umask of whoever runs the tests may take bits from folders, never from files.
            let expected = if metadata.is_dir() { metadata.mode() & 0o777 & mode } else { mode & 0o777 };
            assert_eq!(metadata.mode() & 0o777, expected, "{name}");
        }
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_and_may_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        settle_folder(&path, 0o700).unwrap();
        settle_folder(&path, 0o755).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700, "what is there stays as it is");
        fs::write(folder.path().join("file"), "").unwrap();
        let error = settle_folder(&folder.path().join("file/a"), 0o700).unwrap_err();
        assert!(error.to_string().contains("file/a"), "{error}");
    }

    #[test]
    fn a_state_directory_may_lie_in_a_file_system_that_syncs_no_folders() {
        let error = sync_folder(Path::new("/proc")).unwrap_err();
        assert_eq!(error.source.raw_os_error(), Some(nix::errno::Errno::EINVAL as i32), "there is such a folder");
        sync_surroundings(Path::new("/proc")).unwrap();
        sync_surroundings(Path::new("/proc/no-such-folder")).unwrap_err();
    }

    #[test]
    fn a_link_is_swapped_and_leftovers_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("current");
        swap_link(&link, Path::new("1")).unwrap();
        swap_link(&link, Path::new("2")).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("2"));
        fs::write(folder.path().join(".tmp-x"), "").unwrap();
        fs::create_dir(folder.path().join(".tmp-y")).unwrap();
        sweep(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
