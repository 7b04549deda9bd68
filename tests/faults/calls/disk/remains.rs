//! What is left of a disk once the power is back.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Disk;
use super::node::{File, Folder, Mode, Node, NodeId};

/// Everything on a disk, by its path.
pub type Tree = BTreeMap<PathBuf, Entry>;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Folder {
        mode: u32,
    },
    Link {
        target: PathBuf,
    },
    File {
        mode: u32,
        content: Vec<u8>,
        /// Which file it is, where it is of a disk.
        node: Option<NodeId>,
    },
}

/// What is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Nothing: the process is killed, and the system lives.
    Nothing,
    /// All that was not synced.
    All,
    /// Content that was not synced; names are there, as where a file system writes these first.
    Content,
    /// Of names, for each folder, and of each write, what this number says: a system writes what it likes, when it likes.
    Some(u64),
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing is lost"),
            Self::All => f.write_str("all is lost that was not synced"),
            Self::Content => f.write_str("all content is lost that was not synced"),
            Self::Some(_) => f.write_str("some is lost of what was not synced"),
        }
    }
}

impl Loss {
    /// Whether a thing is lost; the number says which one it is.
    fn takes(self, kind: Kind, node: usize, nth: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Content => kind == Kind::Content,
            Self::Some(seed) => {
                let which = (node as u64) << 32 | (nth as u64) << 8 | kind as u64;
                fastrand::Rng::with_seed(seed ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bool()
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Names,
    Content,
    Mode,
}

impl Disk {
    /// What is left below a folder after such a loss; the folder itself comes first. Nothing, if that is lost.
    pub fn after(&self, loss: Loss, root: &Path) -> Tree {
        let mut tree = Tree::new();
        let mut node = Some(NodeId(0));
        for name in root.components().skip(1) {
            node = node.and_then(|node| match &self.nodes[node.0] {
                Node::Folder(folder) => self.names(node, folder, loss).get(name.as_os_str()).copied(),
                Node::File(_) | Node::Link(_) => None,
            });
        }
        if let Some(node) = node {
            self.collect(node, root, loss, &mut tree);
        }
        tree
    }

    fn names<'a>(&self, node: NodeId, folder: &'a Folder, loss: Loss) -> &'a BTreeMap<std::ffi::OsString, NodeId> {
        if loss.takes(Kind::Names, node.0, 0) { &folder.durable } else { &folder.live }
    }

    fn collect(&self, node: NodeId, path: &Path, loss: Loss, tree: &mut Tree) {
        let mode = |mode: Mode| if loss.takes(Kind::Mode, node.0, 0) { mode.durable } else { mode.live };
        let entry = match &self.nodes[node.0] {
            Node::Folder(folder) => Entry::Folder { mode: mode(folder.mode) },
            Node::Link(target) => Entry::Link { target: target.clone() },
            Node::File(file) => {
                Entry::File { mode: mode(file.mode), content: content(node, file, loss), node: Some(node) }
            }
        };
        tree.insert(path.to_owned(), entry);
        if let Node::Folder(folder) = &self.nodes[node.0] {
            for (name, child) in self.names(node, folder, loss) {
                self.collect(*child, &path.join(name), loss, tree);
            }
        }
    }
}

fn content(node: NodeId, file: &File, loss: Loss) -> Vec<u8> {
    match loss {
        Loss::Nothing => file.live.clone(),
        Loss::All | Loss::Content => file.durable.clone(),
        Loss::Some(_) => {
            let mut content = file.durable.clone();
            for (nth, change) in file.changes.iter().enumerate() {
                if !loss.takes(Kind::Content, node.0, nth) {
                    change.make(&mut content);
                }
            }
            content
        }
    }
}
