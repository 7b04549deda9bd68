//! What lies below a folder, to the byte and the instant.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file, folder, link or socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub inode: u64,
    pub mode: u32,
    pub changed: (i64, i64),
    pub kind: Kind,
}

/// What it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    File(Vec<u8>),
    Folder,
    Link(PathBuf),
    Other,
}

/// Everything below `root`, by its path from there; links are not followed.
pub fn everything(root: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    collect(root, root, &mut found);
    found
}

fn collect(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Entry>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let kind = if metadata.is_dir() {
            collect(root, &path, found);
            Kind::Folder
        } else if metadata.is_symlink() {
            Kind::Link(fs::read_link(&path).unwrap())
        } else if metadata.is_file() {
            Kind::File(fs::read(&path).unwrap())
        } else {
            Kind::Other
        };
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        let entry = Entry { inode: metadata.ino(), mode: metadata.mode() & 0o7777, changed, kind };
        found.insert(path.strip_prefix(root).unwrap().to_owned(), entry);
    }
}

/// The files below `root`, through links, with their content.
pub fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}
