//! Files put in place together, and taken back together: every step can be interrupted and done again.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use tempfile::NamedTempFile;

use super::super::foreign::ForeignState;
use super::directory::{Directory, DirectoryError, Spot};
use super::failure::Failure;
use super::found::{Found, Identity, Shape, each_piece, keep_attributes, look};
use super::journal::{Fate, Journal, NewFile, OldFile, Operation, Stage, backup};
use crate::disk::TEMPORARY;
use crate::ownership::Trusted;
use crate::snapshot::Sha256;

/// A transaction at work on the file system.
#[derive(Debug)]
pub(super) struct Transaction<'a> {
    pub journal: &'a mut Journal,
    pub trusted: Trusted,
    pub warnings: &'a mut Vec<String>,
}

/// Where the content of a new file comes from.
pub(super) struct Content<'a> {
    pub state: &'a ForeignState,
    pub path: PathBuf,
}

impl Transaction<'_> {
    fn open(&self, spot: &Spot) -> Result<Directory, DirectoryError> {
        Directory::open(self.trusted, &spot.fixed, spot.below())
    }

    /// Makes the directories and writes the new files beside their places, durably.
    pub(super) fn stage<'c>(&mut self, content: impl Fn(&Path) -> Option<Content<'c>>) -> Result<(), Failure> {
        for spot in &self.journal.directories {
            let parent = self.open(spot)?;
            parent.make(spot.name()).and_then(|()| parent.sync()).map_err(at("make the directory", &spot.path))?;
        }
        for index in 0..self.journal.operations.len() {
            let operation = &self.journal.operations[index];
            let Some(new) = &operation.new else { continue };
            let path = &operation.spot.path;
            let content = content(path).ok_or_else(|| Failure::again(format!("{} has no content", path.display())))?;
            let directory = self.open(&operation.spot)?;
            let file = directory.create(&new.name).map_err(at("write", path))?;
            fill(&file, path, &new.shape, &content)?;
            if operation.old.is_some() {
                let old = directory.read(operation.spot.name()).map_err(at("read", path))?;
                let kept =
                    keep_attributes(self.trusted, &old, &file).map_err(at("keep the extended attributes of", path))?;
                self.warnings.extend(kept.map(|warning| format!("{}: {warning}", path.display())));
            }
            file.sync_all().map_err(at("sync", path))?;
            let inode = file.metadata().map_err(at("look at", path))?.ino();
            if let Some(new) = &mut self.journal.operations[index].new {
                new.inode = Some(inode);
            }
        }
        self.sync()
    }

    /// Gives the new files their names. The journal must say [`Stage::Placing`] by now.
    pub(super) fn place(&mut self) -> Result<(), Failure> {
        for operation in &self.journal.operations {
            let (Some(_), Some(old)) = (&operation.new, &operation.old) else { continue };
            let directory = self.open(&operation.spot)?;
            let path = &operation.spot.path;
            directory.link(operation.spot.name(), &old.name).map_err(at("give a second name to", path))?;
            still(&directory, &old.name, old, path)?;
        }
        // The old names are durable before the first file loses its own.
        self.sync()?;
        for operation in &self.journal.operations {
            let directory = self.open(&operation.spot)?;
            let (name, path) = (operation.spot.name(), &operation.spot.path);
            match (&operation.new, &operation.old) {
                (Some(new), Some(_)) => directory.rename(&new.name, name).map_err(at("replace", path))?,
                (Some(new), None) => directory.rename_to_free(&new.name, name).map_err(at("put in place", path))?,
                (None, Some(old)) => {
                    directory.rename_to_free(name, &old.name).map_err(at("remove", path))?;
                    still(&directory, &old.name, old, path)?;
                }
                (None, None) => {}
            }
        }
        self.sync()
    }

    /// Puts everything back as it was. Answers what could not be put back.
    pub(super) fn take_back(&mut self) -> Result<(), String> {
        let mut failed = Vec::new();
        for operation in self.journal.operations.iter().rev() {
            match self.open(&operation.spot) {
                Ok(directory) => {
                    let undone = undo(operation, self.journal.stage, &directory);
                    let path = operation.spot.path.display();
                    match undone {
                        Ok(warning) => self.warnings.extend(warning.map(|warning| format!("{path}: {warning}"))),
                        Err(error) => failed.push(format!("{path} could not be put back: {error}")),
                    }
                }
                Err(error) if error.is_absent() => {
                    if operation.old.is_some() && self.journal.stage == Stage::Placing {
                        let path = operation.spot.path.display();
                        self.warnings.push(format!("{path} could not be put back, for its directory has gone"));
                    }
                }
                Err(error) => failed.push(format!("{} could not be put back: {error}", operation.spot.path.display())),
            }
        }
        if failed.is_empty() {
            for spot in self.journal.directories.iter().rev() {
                if let Err(error) = self.drop_directory(spot) {
                    failed.push(format!("the directory {} could not be removed: {error}", spot.path.display()));
                }
            }
            self.sync().unwrap_or_else(|failure| failed.push(failure.to_string()));
        }
        match failed.as_slice() {
            [] => Ok(()),
            [one] => Err(one.clone()),
            [first, rest @ ..] => Err(format!("{first}; and {} more", rest.len())),
        }
    }

    /// Clears away what a transaction that is final leaves beside.
    pub(super) fn clear(&mut self) -> Result<(), String> {
        for operation in &self.journal.operations {
            let directory = match self.open(&operation.spot) {
                Ok(directory) => directory,
                Err(error) if error.is_absent() => continue,
                Err(error) => return Err(error.to_string()),
            };
            let cleared = clear(operation, &directory);
            let warning = cleared
                .map_err(|error| format!("cannot clear up beside {}: {error}", operation.spot.path.display()))?;
            self.warnings.extend(warning);
        }
        self.sync().map_err(|failure| failure.to_string())
    }

    /// Removes a directory that was made, if nothing is in it.
    pub(super) fn drop_directory(&self, spot: &Spot) -> io::Result<()> {
        match self.open(spot) {
            Ok(parent) => parent.remove_empty(spot.name()).and_then(|()| parent.sync()),
            Err(error) if error.is_absent() => Ok(()),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn sync(&self) -> Result<(), Failure> {
        for (fixed, below) in self.journal.directories_of_files() {
            match Directory::open(self.trusted, fixed, below) {
                Ok(directory) => directory.sync().map_err(at("sync the directory", directory.path()))?,
                Err(error) if error.is_absent() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::again(format!("cannot {action} {}: {error}", path.display()))
}

/// A copy of what is to be at `path`, in the applier's own state directory; it goes when this is dropped.
pub(super) fn copy_apart(
    state: &Path,
    path: &Path,
    shape: &Shape,
    content: &Content<'_>,
) -> Result<NamedTempFile, Failure> {
    let copy = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(state).map_err(at("make a copy of", path))?;
    fill(copy.as_file(), path, shape, content)?;
    Ok(copy)
}

/// Writes the content, and sets owner and mode.
fn fill(file: &File, path: &Path, shape: &Shape, content: &Content<'_>) -> Result<(), Failure> {
    let name = || content.path.display().to_string();
    let source = content
        .state
        .file(&content.path, shape.size)
        .map_err(|error| Failure::again(format!("the content {} {error}", name())))?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut writer = file;
    let copied = each_piece(source, shape.size, |piece| {
        context.update(piece);
        writer.write_all(piece)
    });
    let copied = copied.map_err(at("write", path))?;
    if copied != shape.size || Sha256::of(context) != shape.sha256 {
        return Err(Failure::again(format!("the content {} changed while it was read", name())));
    }
    let attributes = fchown(file, Some(shape.uid), Some(shape.gid))
        .and_then(|()| file.set_permissions(std::fs::Permissions::from_mode(shape.mode)));
    attributes.map_err(at("set owner and mode of", path))
}

/// Whether the file is the one that was planned for.
fn still(directory: &Directory, name: &str, old: &OldFile, path: &Path) -> Result<(), Failure> {
    let now = directory.look(name).map_err(at("look at", path))?;
    if now.as_ref().map(Identity::of) == Some(old.identity) {
        Ok(())
    } else {
        Err(Failure::again(format!("{} was changed at this very moment; it is looked at anew", path.display())))
    }
}

/// Takes one operation back. What happens to be done already is no error.
fn undo(operation: &Operation, stage: Stage, directory: &Directory) -> io::Result<Option<String>> {
    let name = operation.spot.name();
    let mut warning = None;
    if stage == Stage::Placing {
        let now = directory.look(name)?;
        let inode = now.as_ref().map(|stat| stat.st_ino);
        match (&operation.old, &operation.new) {
            (Some(old), new) => {
                if directory.look(&old.name)?.is_some() {
                    if inode.is_some() && inode != Some(old.identity.inode()) && !is_new(new.as_ref(), directory, name)?
                    {
                        warning = Some(set_aside(directory, name)?);
                    }
                    directory.rename(&old.name, name)?;
                    // Two names of one file are not renamed over each other.
                    directory.remove(&old.name)?;
                } else if inode.is_some() && is_new(new.as_ref(), directory, name)? {
                    warning = Some("what was there before cannot be found any more".to_owned());
                }
            }
            (None, Some(new)) => {
                if is_new(Some(new), directory, name)? {
                    directory.remove(name)?;
                } else if inode.is_some() && directory.look(&new.name)?.is_none() {
                    warning = Some(set_aside(directory, name)?);
                }
            }
            (None, None) => {}
        }
    }
    if let Some(new) = &operation.new {
        directory.remove(&new.name)?;
    }
    Ok(warning)
}

/// Whether what has the name is the new file, be it changed since or be it another one with the same content.
fn is_new(new: Option<&NewFile>, directory: &Directory, name: &str) -> io::Result<bool> {
    let Some(new) = new else { return Ok(false) };
    Ok(match look(directory, name, &[new.shape.size])? {
        Found::Absent | Found::Other(_) => false,
        Found::File { shape, identity } => {
            Some(identity.inode()) == new.inode || shape.is_some_and(|shape| shape.sha256 == new.shape.sha256)
        }
    })
}

fn set_aside(directory: &Directory, name: &str) -> io::Result<String> {
    let aside = backup(name);
    directory.rename(name, &aside)?;
    Ok(format!("somebody else wrote it meanwhile; that is {} now", directory.path().join(aside).display()))
}

/// Clears away what one operation leaves beside.
fn clear(operation: &Operation, directory: &Directory) -> io::Result<Option<String>> {
    if let Some(new) = &operation.new {
        directory.remove(&new.name)?;
    }
    let Some(old) = &operation.old else { return Ok(None) };
    match old.fate {
        Fate::Gone => directory.remove(&old.name).map(|()| None),
        Fate::Backup => {
            if directory.look(&old.name)?.is_none() {
                return Ok(None);
            }
            let copy = backup(operation.spot.name());
            match directory.rename(&old.name, &copy) {
                Ok(()) => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(Some(format!(
                    "what {} was before is {} now, for {copy} is a directory",
                    operation.spot.path.display(),
                    old.name
                ))),
                Err(error) => Err(error),
            }
        }
    }
}
