//! A rendered folder, in memory and on disk, and the name that its content gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::Serialize;
use zeroize::Zeroizing;

use super::digest::{DigestKey, Naming};
use super::manifest::ObjectName;
use super::texts::{link_to, linked};
use crate::disk::{self, DiskError};
use crate::snapshot::Sha256;

/// The mode of a file that everybody may read.
pub(super) const PUBLIC: u32 = 0o644;
/// The mode of a file that only the agent and the group of the output folder may read.
pub(super) const SECRET: u32 = 0o640;
/// The mode of a file that only the agent may read.
pub(super) const PRIVATE: u32 = 0o600;
/// The mode of folders, less the umask. The group, and the setgid bit that hands it on, come from the folder above.
pub(super) const FOLDER: u32 = 0o755;

/// How deep folders lie in the folder of an application, with one to spare.
const MAX_DEPTH: usize = 4;

/// A file's content, wiped from memory when dropped.
pub(crate) type Content = Zeroizing<Vec<u8>>;

/// The files of one application, by their paths inside its folder. The paths are made of constants and slugs only.
#[derive(Default)]
pub(super) struct Folder {
    files: BTreeMap<String, Entry>,
}

enum Entry {
    File(u32, Content),
    /// A symbolic link to a text.
    Text(Sha256),
}

/// What stands for a mode in the name of a folder, where there is a link: `S_IFLNK`, see inode(7).
const LINK: u32 = 0o120_000;

// Without the content, which can hold secrets.
impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.files.keys()).finish()
    }
}

impl Folder {
    /// Puts a file in.
    pub(super) fn insert(&mut self, path: String, mode: u32, content: Content) {
        self.files.insert(path, Entry::File(mode, content));
    }

    /// Puts a link to a text in, three folders deep.
    pub(super) fn link(&mut self, path: String, text: Sha256) {
        self.files.insert(path, Entry::Text(text));
    }

    /// The name of this content.
    pub(super) fn name(&self, key: &DigestKey) -> ObjectName {
        let mut naming = key.start();
        for (path, entry) in &self.files {
            match entry {
                Entry::File(mode, content) => {
                    naming.file(path, *mode, content.len() as u64);
                    naming.content(content);
                }
                Entry::Text(text) => name_link(&mut naming, path, &link_to(*text)),
            }
        }
        naming.finish()
    }

    /// Writes all files into `path`, an empty folder that nobody looks at yet. Nothing is durable before
    /// [`disk::sync_all`].
    pub(super) fn write(&self, path: &Path) -> Result<(), DiskError> {
        // In this order a folder comes before what lies in it.
        let folders: BTreeSet<&Path> = self
            .files
            .keys()
            .flat_map(|file| Path::new(file).ancestors().skip(1))
            .filter(|folder| *folder != Path::new(""))
            .collect();
        for folder in &folders {
            disk::create_folder(&path.join(folder), FOLDER)?;
        }
        for (file, entry) in &self.files {
            let path = path.join(file);
            match entry {
                Entry::File(mode, content) => disk::write_unsynced(&path, *mode, content)?,
                Entry::Text(text) => disk::link_unpublished(&path, &link_to(*text))?,
            }
        }
        Ok(())
    }
}

/// The name of the content that lies in the folder `path`; none where something lies there that is never written.
pub(super) fn name_on_disk(path: &Path, key: &DigestKey) -> Result<Option<ObjectName>, DiskError> {
    let Some(files) = paths_in(path)? else { return Ok(None) };
    let mut naming = key.start();
    let mut buffer = Zeroizing::new([0; 8192]);
    for name in files {
        let path = path.join(&name);
        let failed = |source| DiskError::new("read", &path, source);
        if path.is_symlink() {
            let target = fs::read_link(&path).map_err(failed)?;
            if linked(&target).is_none() {
                return Ok(None);
            }
            name_link(&mut naming, &name, &target);
            continue;
        }
        let file = File::open(&path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        naming.file(&name, metadata.mode() & 0o7777, metadata.len());
        // Not more than was announced, should the file grow meanwhile.
        let mut rest = file.take(metadata.len());
        loop {
            match rest.read(buffer.as_mut()) {
                Ok(0) => break,
                Ok(count) => naming.content(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    Ok(Some(naming.finish()))
}

fn name_link(naming: &mut Naming, path: &str, target: &Path) {
    let target = target.as_os_str().as_bytes();
    naming.file(path, LINK, target.len() as u64);
    naming.content(target);
}

/// The paths of the files and links in the folder of an application; none where something lies there that is never
/// written.
pub(super) fn paths_in(path: &Path) -> Result<Option<BTreeSet<String>>, DiskError> {
    let mut files = BTreeSet::new();
    Ok(list(path, "", MAX_DEPTH, &mut files)?.then_some(files))
}

/// Collects the paths of the files and links below `folder`; false where there is anything else but folders, or a name
/// that is never given.
fn list(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeSet<String>) -> Result<bool, DiskError> {
    let failed = |source| DiskError::new("read the folder", folder, source);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { return Ok(false) };
        let path = format!("{prefix}{name}");
        if kind.is_file() || kind.is_symlink() {
            files.insert(path);
        } else if !kind.is_dir() || depth == 0 || !list(&entry.path(), &format!("{path}/"), depth - 1, files)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A value as indented JSON with a newline at its end.
pub(super) fn json(value: &impl Serialize) -> Content {
    measured(|mut out| {
        serde_json::to_writer_pretty(&mut out, value)?;
        out.write_all(b"\n")
    })
}

/// Writes a value, as [`json`] does, into a file that everybody may read, in a folder that nobody looks at yet. Nothing
/// is durable before [`disk::sync_all`].
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), DiskError> {
    let mut out = BufWriter::new(disk::create_unsynced(path, PUBLIC)?);
    let written = serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from);
    let written = written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    written.map_err(|error| DiskError::new("write", path, error))
}

/// What `write` writes, in a buffer that is made once and never moves: a growing one would leave copies of secrets
/// behind. So `write` is called twice and must write the same both times.
pub(crate) fn measured(write: impl Fn(&mut dyn Write) -> io::Result<()>) -> Content {
    struct Count(usize);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // Neither writer fails, and the types of this module have nothing that JSON cannot hold.
    write(&mut count).expect("counting does not fail");
    let mut content = Zeroizing::new(Vec::with_capacity(count.0));
    write(&mut *content).expect("memory takes everything");
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(folder: &Path) -> DigestKey {
        DigestKey::load_or_create(&folder.join("key")).unwrap()
    }

    fn text(content: &str) -> Sha256 {
        let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        context.update(content.as_bytes());
        Sha256::of(context)
    }

    fn example() -> Folder {
        let mut folder = Folder::default();
        folder.insert("a.json".into(), PUBLIC, json(&["x"]));
        folder.insert("b/c/d.json".into(), SECRET, json(&vec![0; 10_000]));
        folder.link("b/c/e/f.yaml".into(), text("x"));
        folder
    }

    #[test]
    fn what_was_written_has_the_name_that_it_was_given() {
        let place = tempfile::tempdir().unwrap();
        let key = key(place.path());
        let path = place.path().join("x");
        fs::create_dir(&path).unwrap();
        example().write(&path).unwrap();
        assert_eq!(name_on_disk(&path, &key).unwrap(), Some(example().name(&key)));
    }

    #[test]
    fn a_change_of_a_byte_a_mode_or_a_name_is_seen() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let place = tempfile::tempdir().unwrap();
        let key = key(place.path());
        let changes: [fn(&Path); 6] = [
            |path| fs::write(path.join("a.json"), "[\n  \"y\"\n]\n").unwrap(),
            |path| fs::set_permissions(path.join("b/c/d.json"), fs::Permissions::from_mode(0o644)).unwrap(),
            |path| fs::rename(path.join("a.json"), path.join("b.json")).unwrap(),
            |path| fs::write(path.join("more"), "").unwrap(),
            |path| symlink("a.json", path.join("link")).unwrap(),
            |path| {
                fs::remove_file(path.join("b/c/e/f.yaml")).unwrap();
                symlink(link_to(text("y")), path.join("b/c/e/f.yaml")).unwrap();
            },
        ];
        for (number, change) in changes.iter().enumerate() {
            let path = place.path().join(number.to_string());
            fs::create_dir(&path).unwrap();
            example().write(&path).unwrap();
            change(&path);
            assert_ne!(name_on_disk(&path, &key).unwrap(), Some(example().name(&key)), "change {number}");
        }
    }

    #[test]
    fn content_lies_in_a_buffer_that_never_grew() {
        let content = json(&vec!["secret"; 1000]);
        assert_eq!(content.len(), content.capacity());
    }
}
