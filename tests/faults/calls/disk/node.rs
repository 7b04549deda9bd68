//! What names lead to: files, folders and links, each with what of it is durable.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

/// A file, a folder or a link, whatever its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(super) usize);

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(File),
    Folder(Folder),
    /// What a link says never changes, and comes with its name.
    Link(PathBuf),
}

impl Node {
    pub(super) fn sync(&mut self) {
        match self {
            Self::File(file) => {
                if !file.changes.is_empty() {
                    file.durable.clone_from(&file.live);
                    file.changes.clear();
                }
                file.mode.sync();
            }
            Self::Folder(folder) => {
                folder.durable.clone_from(&folder.live);
                folder.mode.sync();
            }
            Self::Link(_) => {}
        }
    }
}

/// A mode: what it is, and what it would be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    pub(super) live: u32,
    pub(super) durable: u32,
}

impl Mode {
    fn new(mode: u32) -> Self {
        Self { live: mode, durable: mode }
    }

    fn sync(&mut self) {
        self.durable = self.live;
    }
}

#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// What happened since it was durable.
    pub(super) changes: Vec<Change>,
    pub(super) mode: Mode,
}

/// A change of a file's content.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Resize(u64),
}

impl File {
    pub(super) fn new(mode: u32) -> Self {
        Self::durable(mode, Vec::new())
    }

    pub(super) fn durable(mode: u32, content: Vec<u8>) -> Self {
        Self { live: content.clone(), durable: content, changes: Vec::new(), mode: Mode::new(mode) }
    }

    pub(super) fn change(&mut self, change: Change) {
        change.make(&mut self.live);
        self.changes.push(change);
    }
}

impl Change {
    pub(super) fn make(&self, content: &mut Vec<u8>) {
        let place = |at: u64| usize::try_from(at).unwrap();
        match self {
            Self::Resize(length) => content.resize(place(*length), 0),
            Self::Write { at, bytes } => {
                let end = place(*at) + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[place(*at)..end].copy_from_slice(bytes);
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) live: BTreeMap<OsString, NodeId>,
    pub(super) durable: BTreeMap<OsString, NodeId>,
    pub(super) mode: Mode,
}

impl Folder {
    pub(super) fn new(mode: u32) -> Self {
        Self { live: BTreeMap::new(), durable: BTreeMap::new(), mode: Mode::new(mode) }
    }
}
