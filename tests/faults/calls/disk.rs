//! A disk that can lose power: what is on it, and what would be left of that.
//!
//! It is as forgetful as a file system may be. The content and the mode of a file are durable once the file was synced,
//! names and folders once the folder that they are in was, and a sync of the one does nothing for the other.

mod node;
mod remains;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

pub use self::node::NodeId;
use self::node::{Change, File, Folder, Node};
pub use self::remains::{Entry, Loss, Tree};

/// A disk.
#[derive(Debug, Clone)]
pub struct Disk {
    nodes: Vec<Node>,
    /// Files that never had a name, by what the system calls them.
    unnamed: BTreeMap<PathBuf, NodeId>,
}

/// One thing that is done to a disk. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A file is made, with a name.
    Create { path: PathBuf, mode: u32 },
    /// A file is made without one; the path is what the system calls it.
    CreateUnnamed { path: PathBuf, mode: u32 },
    /// Bytes are written to a file.
    Write { path: PathBuf, at: u64, bytes: Vec<u8> },
    /// A file gets another length.
    Resize { path: PathBuf, length: u64 },
    /// A file or a folder gets another mode.
    Mode { path: PathBuf, mode: u32 },
    /// A folder is made.
    Folder { path: PathBuf, mode: u32 },
    /// A symbolic link is made.
    Symlink { path: PathBuf, target: PathBuf },
    /// A file gets a further name.
    Link { from: PathBuf, to: PathBuf },
    /// Something gets another name, in the place of whatever has that.
    Rename { from: PathBuf, to: PathBuf },
    /// Two things swap names.
    Exchange { one: PathBuf, other: PathBuf },
    /// Something loses its name; a folder is empty then.
    Remove { path: PathBuf },
    /// A file or a folder is made durable.
    Sync { path: PathBuf },
    /// Everything is.
    SyncAll,
}

/// An operation that cannot have been done on this disk.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0} is not on this disk, or is not what it was taken for")]
pub struct Misunderstood(pub PathBuf);

impl Disk {
    /// A disk on which all of this is durable.
    pub fn holding(tree: &Tree) -> Self {
        let mut disk = Self { nodes: vec![Node::Folder(Folder::new(0o755))], unnamed: BTreeMap::new() };
        for (path, entry) in tree {
            let node = match entry {
                Entry::Folder { mode } => Node::Folder(Folder::new(*mode)),
                Entry::Link { target } => Node::Link(target.clone()),
                Entry::File { mode, content, .. } => Node::File(File::durable(*mode, content.clone())),
            };
            let parent = path.parent().unwrap();
            disk.make_folders(parent);
            disk.name(path, node).unwrap();
        }
        disk.sync_all();
        disk
    }

    fn make_folders(&mut self, path: &Path) {
        if self.find(path).is_none() {
            self.make_folders(path.parent().unwrap());
            self.name(path, Node::Folder(Folder::new(0o755))).unwrap();
        }
    }

    /// Does it.
    ///
    /// # Errors
    /// When it cannot have been done here; something was misunderstood then.
    pub fn apply(&mut self, operation: &Operation) -> Result<(), Misunderstood> {
        match operation {
            Operation::Create { path, mode } => drop(self.name(path, Node::File(File::new(*mode)))?),
            Operation::CreateUnnamed { path, mode } => {
                let node = self.add(Node::File(File::new(*mode)));
                self.unnamed.insert(path.clone(), node);
            }
            Operation::Write { path, at, bytes } => {
                self.file(path)?.change(Change::Write { at: *at, bytes: bytes.clone() });
            }
            Operation::Resize { path, length } => self.file(path)?.change(Change::Resize(*length)),
            Operation::Mode { path, mode } => {
                let node = self.followed(path)?;
                match &mut self.nodes[node.0] {
                    Node::File(file) => file.mode.live = *mode,
                    Node::Folder(folder) => folder.mode.live = *mode,
                    Node::Link(_) => return Err(Misunderstood(path.clone())),
                }
            }
            Operation::Folder { path, mode } => drop(self.name(path, Node::Folder(Folder::new(*mode)))?),
            Operation::Symlink { path, target } => drop(self.name(path, Node::Link(target.clone()))?),
            Operation::Link { from, to } => {
                let node = self.named(from)?;
                self.enter(to, node)?;
            }
            Operation::Rename { from, to } => {
                let node = self.named(from)?;
                self.leave(from)?;
                self.enter(to, node)?;
            }
            Operation::Exchange { one, other } => {
                let nodes = (self.named(one)?, self.named(other)?);
                self.enter(one, nodes.1)?;
                self.enter(other, nodes.0)?;
            }
            Operation::Remove { path } => self.leave(path)?,
            Operation::Sync { path } => {
                let node = self.followed(path)?;
                self.nodes[node.0].sync();
            }
            Operation::SyncAll => self.sync_all(),
        }
        Ok(())
    }

    fn sync_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::sync);
    }

    /// Whether there is something of this name.
    pub fn has(&self, path: &Path) -> bool {
        self.named(path).is_ok()
    }

    /// How long a file is.
    pub fn length(&self, path: &Path) -> Option<u64> {
        match &self.nodes[self.followed(path).ok()?.0] {
            Node::File(file) => Some(file.live.len() as u64),
            Node::Folder(_) | Node::Link(_) => None,
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    fn name(&mut self, path: &Path, node: Node) -> Result<NodeId, Misunderstood> {
        let node = self.add(node);
        self.enter(path, node)?;
        Ok(node)
    }

    fn enter(&mut self, path: &Path, node: NodeId) -> Result<(), Misunderstood> {
        let name = path.file_name().ok_or_else(|| Misunderstood(path.to_owned()))?;
        self.folder_of(path)?.live.insert(name.to_owned(), node);
        Ok(())
    }

    fn leave(&mut self, path: &Path) -> Result<(), Misunderstood> {
        let gone = path.file_name().and_then(|name| self.folder_of(path).ok()?.live.remove(name));
        gone.map(drop).ok_or_else(|| Misunderstood(path.to_owned()))
    }

    fn folder_of(&mut self, path: &Path) -> Result<&mut Folder, Misunderstood> {
        let misunderstood = || Misunderstood(path.to_owned());
        let parent = self.followed(path.parent().ok_or_else(misunderstood)?)?;
        match &mut self.nodes[parent.0] {
            Node::Folder(folder) => Ok(folder),
            Node::File(_) | Node::Link(_) => Err(misunderstood()),
        }
    }

    fn file(&mut self, path: &Path) -> Result<&mut File, Misunderstood> {
        let node = self.followed(path)?;
        match &mut self.nodes[node.0] {
            Node::File(file) => Ok(file),
            Node::Folder(_) | Node::Link(_) => Err(Misunderstood(path.to_owned())),
        }
    }

    /// What has this name, be it a link.
    fn named(&self, path: &Path) -> Result<NodeId, Misunderstood> {
        if let Some(node) = self.unnamed.get(path) {
            return Ok(*node);
        }
        let found = match path.file_name() {
            None => Some(NodeId(0)),
            Some(name) => path.parent().and_then(|parent| match &self.nodes[self.find(parent)?.0] {
                Node::Folder(folder) => folder.live.get(name).copied(),
                Node::File(_) | Node::Link(_) => None,
            }),
        };
        found.ok_or_else(|| Misunderstood(path.to_owned()))
    }

    /// What this name leads to.
    fn followed(&self, path: &Path) -> Result<NodeId, Misunderstood> {
        match self.unnamed.get(path) {
            Some(node) => Ok(*node),
            None => self.find(path).ok_or_else(|| Misunderstood(path.to_owned())),
        }
    }

    fn find(&self, path: &Path) -> Option<NodeId> {
        let mut found = vec![NodeId(0)];
        let mut rest: Vec<_> = path.components().rev().map(|part| part.as_os_str().to_owned()).collect();
        // As many links as the system follows.
        let mut links = 40;
        while let Some(part) = rest.pop() {
            match Path::new(&part).components().next()? {
                Component::RootDir => found.truncate(1),
                Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir if found.len() > 1 => drop(found.pop()),
                Component::ParentDir => {}
                Component::Normal(name) => {
                    let Node::Folder(folder) = &self.nodes[found.last()?.0] else { return None };
                    let next = *folder.live.get(name)?;
                    if let Node::Link(target) = &self.nodes[next.0] {
                        links -= 1;
                        if links == 0 {
                            return None;
                        }
                        rest.extend(target.components().rev().map(|part| part.as_os_str().to_owned()));
                    } else {
                        found.push(next);
                    }
                }
            }
        }
        found.pop()
    }
}
