//! Power that is lost: a host's disk as the model has it, and what is left put in the place of what was.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::disk::{Disk, Entry, Loss, Tree};
use super::replay::Replay;
use crate::host::Host;
use crate::tree::{Kind, everything};

/// The folders of a host that are on its disk; sockets and locks in the others are gone at a start anyway.
pub const FOLDERS: [&str; 4] = ["state", "apply", "pairing", "etc"];

/// The root of a host, as its processes know it.
fn root(host: &Host) -> PathBuf {
    fs::canonicalize(host.path("")).unwrap()
}

/// Everything in those folders.
pub fn tree(host: &Host) -> Tree {
    let root = root(host);
    let mut tree = Tree::from([(root.clone(), Entry::Folder { mode: 0o700 })]);
    for folder in FOLDERS.map(|name| root.join(name)) {
        let Ok(metadata) = fs::symlink_metadata(&folder) else { continue };
        tree.insert(folder.clone(), Entry::Folder { mode: metadata.permissions().mode() & 0o7777 });
        for (path, found) in everything(&folder) {
            let entry = match found.kind {
                Kind::File(content) => Entry::File { mode: found.mode, content, node: None },
                Kind::Folder => Entry::Folder { mode: found.mode },
                Kind::Link(target) => Entry::Link { target },
                Kind::Other => continue,
            };
            tree.insert(folder.join(path), entry);
        }
    }
    tree
}

/// A replay of what happens on a host from now on, where all that is there is durable.
pub fn replay(host: &Host) -> Replay {
    let root = root(host);
    let others = ["run", "spool", "log", "told", "notify", "hooks.d"].map(|name| root.join(name));
    Replay::new(Disk::holding(&tree(host)), vec![root]).leaving(others.into())
}

/// What is left of a host after such a loss.
pub fn left(host: &Host, disk: &Disk, loss: Loss) -> Tree {
    disk.after(loss, &root(host))
}

/// Whether the disk is as it was thought to be; where not, what differs.
pub fn differences(host: &Host, disk: &Disk) -> Vec<PathBuf> {
    let bare = |tree: Tree| -> Tree {
        let bare = |entry| match entry {
            Entry::File { mode, content, .. } => Entry::File { mode, content, node: None },
            // Theirs depend on what is handed down, which nobody asks of.
            Entry::Folder { .. } => Entry::Folder { mode: 0 },
            link @ Entry::Link { .. } => link,
        };
        tree.into_iter().map(|(path, entry)| (path, bare(entry))).collect()
    };
    let (real, thought) = (bare(tree(host)), bare(left(host, disk, Loss::Nothing)));
    let all: std::collections::BTreeSet<_> = real.keys().chain(thought.keys()).collect();
    all.into_iter().filter(|path| real.get(*path) != thought.get(*path)).cloned().collect()
}

/// Puts what is left in place. Files keep their numbers where they are still there under any name: `now` says under which.
pub fn put_in_place(host: &Host, tree: &Tree, now: &Disk) {
    let root = root(host);
    let before = root.join("before");
    fs::create_dir(&before).unwrap();
    for name in FOLDERS {
        if root.join(name).exists() {
            fs::rename(root.join(name), before.join(name)).unwrap();
        }
    }
    // What is in memory is gone.
    let _ = fs::remove_dir_all(root.join("run"));
    let known: Vec<_> = left(host, now, Loss::Nothing)
        .into_iter()
        .filter_map(|(path, entry)| match entry {
            Entry::File { node, .. } => Some((node?, before.join(path.strip_prefix(&root).ok()?))),
            Entry::Folder { .. } | Entry::Link { .. } => None,
        })
        .collect();
    for (path, entry) in tree.iter().filter(|(path, _)| **path != root) {
        match entry {
            Entry::Folder { mode } => {
                fs::create_dir(path).unwrap();
                fs::set_permissions(path, Permissions::from_mode(*mode)).unwrap();
            }
            Entry::Link { target } => symlink(target, path).unwrap(),
            Entry::File { mode, content, node } => {
                let there = known.iter().find(|(known, _)| Some(*known) == *node).map(|(_, path)| path);
                if there.is_none_or(|there| fs::hard_link(there, path).is_err()) {
                    fs::write(path, "").unwrap();
                }
                fill(path, *mode, content);
            }
        }
    }
    fs::remove_dir_all(before).unwrap();
    // Where people drop tokens, and files for services, others than the agent made folders.
    for name in ["pairing", "etc"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
}

fn fill(path: &Path, mode: u32, content: &[u8]) {
    fs::set_permissions(path, Permissions::from_mode(mode | 0o200)).unwrap();
    if fs::read(path).unwrap() != content {
        fs::write(path, content).unwrap();
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
