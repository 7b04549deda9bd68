//! What a process did to a disk, from the log of its calls that `strace -f -y` writes.

mod line;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::line::{Finished, Lines};
use super::disk::{Disk, Operation};

/// The calls that are in such a log. `openat2` is not: nothing is made with it. Those at the end are not understood, and
/// must not be made.
pub const TRACED: [&str; 32] = [
    "openat",
    "mkdir",
    "mkdirat",
    "link",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "rmdir",
    "write",
    "writev",
    "pwrite64",
    "lseek",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync",
    "chmod",
    "fchmod",
    "fchmodat",
    "ftruncate",
    "fallocate",
    "copy_file_range",
    "sendfile",
    "splice",
    "truncate",
    "pwritev",
    "pwritev2",
];

/// What is taken from the modes of folders.
const UMASK: u32 = 0o022;

/// A log that does not make sense.
#[derive(Debug, thiserror::Error)]
#[error("{why}: {line:.200}")]
pub struct NotUnderstood {
    why: String,
    line: String,
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// The how manieth of this name it is in its thread, from 1 on.
    pub when: usize,
    /// The process or thread that made it, by its place among them.
    pub thread: usize,
    /// What it did to the disk, if anything.
    pub operation: Option<Operation>,
}

/// Reads what is done to the things below some folders.
#[derive(Debug, Clone)]
pub struct Replay {
    disk: Disk,
    folders: Vec<PathBuf>,
    /// What of it is not looked at.
    left_out: Vec<PathBuf>,
    /// Where the next write goes, where that is not the beginning.
    positions: BTreeMap<PathBuf, u64>,
}

impl Replay {
    /// On a disk, below these folders of it.
    pub fn new(disk: Disk, folders: Vec<PathBuf>) -> Self {
        Self { disk, folders, left_out: Vec::new(), positions: BTreeMap::new() }
    }

    /// The same, but for these.
    #[must_use]
    pub fn leaving(self, left_out: Vec<PathBuf>) -> Self {
        Self { left_out, ..self }
    }

    /// The disk as it is.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Replays a whole log; `after` is called after each call that changed the disk. Answers the calls.
    ///
    /// # Errors
    /// At the first that cannot have happened.
    pub fn all(&mut self, log: &str, mut after: impl FnMut(&Call, &Disk)) -> Result<Vec<Call>, NotUnderstood> {
        let mut calls = Vec::new();
        for finished in Lines::of(log) {
            let operation = self.one(&finished).map_err(|why| NotUnderstood { why, line: finished.text() })?;
            let call = Call { name: finished.name.clone(), when: finished.when, thread: finished.thread, operation };
            if call.operation.is_some() {
                after(&call, &self.disk);
            }
            calls.push(call);
        }
        Ok(calls)
    }

    fn one(&mut self, call: &Finished) -> Result<Option<Operation>, String> {
        let Some(result) = call.result() else { return Ok(None) };
        let operation = match &*call.name {
            "openat" => return self.open(call),
            "lseek" => {
                let path = call.descriptor(0)?;
                self.positions.insert(path, result);
                return Ok(None);
            }
            "write" | "writev" => {
                let (path, bytes) = (call.descriptor(0)?, call.bytes(1));
                if !self.is_ours(&path) {
                    return Ok(None);
                }
                let mut bytes = bytes?;
                bytes.truncate(usize::try_from(result).map_err(|error| error.to_string())?);
                let position = self.positions.entry(path.clone()).or_default();
                let at = *position;
                *position += bytes.len() as u64;
                Operation::Write { path, at, bytes }
            }
            "pwrite64" => Operation::Write { path: call.descriptor(0)?, at: call.number(3)?, bytes: call.bytes(1)? },
            "ftruncate" => Operation::Resize { path: call.descriptor(0)?, length: call.number(1)? },
            "fallocate" => {
                let path = call.descriptor(0)?;
                let end = call.number(2)? + call.number(3)?;
                let length = self.disk.length(&path).unwrap_or_default();
                Operation::Resize { path, length: if call.number(1)? == 0 { length.max(end) } else { length } }
            }
            "fsync" | "fdatasync" => Operation::Sync { path: call.descriptor(0)? },
            "syncfs" if self.is_ours(&call.descriptor(0)?) => Operation::SyncAll,
            "sync" => Operation::SyncAll,
            "mkdir" => Operation::Folder { path: call.path(0)?, mode: call.number(1)? as u32 & !UMASK },
            "mkdirat" => Operation::Folder { path: call.path_at(0)?, mode: call.number(2)? as u32 & !UMASK },
            "rename" => Operation::Rename { from: call.path(0)?, to: call.path(1)? },
            "renameat" | "renameat2" => {
                let (from, to) = (call.path_at(0)?, call.path_at(2)?);
                if call.argument(4).is_ok_and(|flags| flags.contains("EXCHANGE")) {
                    Operation::Exchange { one: from, other: to }
                } else {
                    Operation::Rename { from, to }
                }
            }
            "symlink" => Operation::Symlink { target: call.path(0)?, path: call.path(1)? },
            "symlinkat" => Operation::Symlink { target: call.path(0)?, path: call.path_at(1)? },
            "link" => Operation::Link { from: call.path(0)?, to: call.path(1)? },
            "linkat" => Operation::Link { from: call.path_at(0)?, to: call.path_at(2)? },
            "unlink" | "rmdir" => Operation::Remove { path: call.path(0)? },
            "unlinkat" => Operation::Remove { path: call.path_at(0)? },
            "chmod" => Operation::Mode { path: call.path(0)?, mode: call.number(1)? as u32 },
            "fchmod" => Operation::Mode { path: call.descriptor(0)?, mode: call.number(1)? as u32 },
            "fchmodat" => Operation::Mode { path: call.path_at(0)?, mode: call.number(2)? as u32 },
            _ if self.folders.iter().any(|folder| call.text().contains(folder.to_str().unwrap())) => {
                return Err("this call is not understood".to_owned());
            }
            _ => return Ok(None),
        };
        self.apply(operation)
    }

    fn open(&mut self, call: &Finished) -> Result<Option<Operation>, String> {
        let flags = call.argument(2)?.to_owned();
        let path = call.opened()?;
        if flags.contains("O_TMPFILE") {
            let mode = call.number(3)? as u32 & !UMASK;
            return self.apply(Operation::CreateUnnamed { path, mode });
        }
        if !self.is_ours(&path) {
            return Ok(None);
        }
        if flags.contains("O_WRONLY") || flags.contains("O_RDWR") {
            let end = if flags.contains("O_APPEND") { self.disk.length(&path) } else { None };
            self.positions.insert(path.clone(), end.unwrap_or_default());
        }
        if flags.contains("O_CREAT") && !self.disk.has(&path) {
            let mode = call.number(3)? as u32 & !UMASK;
            return self.apply(Operation::Create { path, mode });
        }
        if flags.contains("O_TRUNC") { self.apply(Operation::Resize { path, length: 0 }) } else { Ok(None) }
    }

    fn apply(&mut self, operation: Operation) -> Result<Option<Operation>, String> {
        if operation != Operation::SyncAll && !about(&operation).iter().any(|path| self.is_ours(path)) {
            return Ok(None);
        }
        if let Operation::Rename { from, to } = &operation
            && let Some(position) = self.positions.remove(from)
        {
            self.positions.insert(to.clone(), position);
        }
        self.disk.apply(&operation).map_err(|error| error.to_string())?;
        Ok(Some(operation))
    }

    /// Whether a path is looked at, and something is or was there: what has been removed can still be written to.
    fn is_ours(&self, path: &Path) -> bool {
        let is_deleted = path.to_str().is_some_and(|path| path.ends_with(line::DELETED));
        let is_below = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
        is_below(&self.folders) && !is_below(&self.left_out) && (!is_deleted || self.disk.has(path))
    }
}

/// What an operation is about; nothing, where it is about everything.
pub fn about(operation: &Operation) -> Vec<&Path> {
    match operation {
        Operation::Create { path, .. }
        | Operation::CreateUnnamed { path, .. }
        | Operation::Write { path, .. }
        | Operation::Resize { path, .. }
        | Operation::Mode { path, .. }
        | Operation::Folder { path, .. }
        | Operation::Symlink { path, .. }
        | Operation::Remove { path }
        | Operation::Sync { path } => vec![path],
        Operation::Link { from, to } | Operation::Rename { from, to } => vec![to, from],
        Operation::Exchange { one, other } => vec![one, other],
        Operation::SyncAll => vec![],
    }
}

#[cfg(test)]
mod tests;
