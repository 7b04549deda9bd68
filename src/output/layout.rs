//! Where everything lies in the output folder, and the removal of what nobody needs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::manifest::{GenerationNumber, ObjectName, Slug};
use crate::disk::{self, DiskError};

/// The output folder.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    pub(super) fn generation(&self, number: GenerationNumber) -> PathBuf {
        self.root.join(number.folder())
    }

    pub(super) fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    pub(super) fn object(&self, name: &ObjectName) -> PathBuf {
        self.objects().join(name.as_str())
    }

    /// Holds the highest number that was ever seen on a generation that did not become current and was removed.
    fn highest(&self) -> PathBuf {
        self.root.join(".highest")
    }

    /// Holds the number that was rolled back to, as long as that holds.
    fn pin(&self) -> PathBuf {
        self.root.join(".rolled-back")
    }

    /// The number that was rolled back to, if that holds.
    pub(super) fn pinned(&self) -> Result<Option<GenerationNumber>, DiskError> {
        number_in(&self.pin())
    }

    /// Notes that number, or that none is.
    pub(super) fn set_pinned(&self, number: Option<GenerationNumber>) -> Result<(), DiskError> {
        match number {
            Some(number) => disk::write(&self.pin(), 0o644, format!("{}\n", number.folder()).as_bytes()),
            None => disk::remove(&self.pin()),
        }
    }

    /// The generations that lie here, current or not.
    pub(super) fn generations(&self) -> Result<BTreeSet<GenerationNumber>, DiskError> {
        let mut numbers = BTreeSet::new();
        for name in names(&self.root)? {
            numbers.extend(GenerationNumber::from_folder(&name));
        }
        Ok(numbers)
    }

    /// The highest number that was noted by [`Layout::remove_newer`].
    pub(super) fn noted(&self) -> Result<Option<GenerationNumber>, DiskError> {
        number_in(&self.highest())
    }

    /// Removes generations that were finished and never became current. Somebody may have seen them, so their numbers
    /// are noted first and not given again.
    pub(super) fn remove_newer(&self, than: GenerationNumber) -> Result<(), DiskError> {
        let newer: Vec<_> = self.generations()?.into_iter().filter(|number| *number > than).collect();
        let Some(highest) = newer.last() else { return Ok(()) };
        if self.noted()?.is_none_or(|noted| noted < *highest) {
            disk::write(&self.highest(), 0o644, format!("{}\n", highest.folder()).as_bytes())?;
        }
        newer.iter().try_for_each(|number| disk::remove_folder(&self.generation(*number)))
    }

    /// Removes generations older than the last `keep` of those up to `current`, which is the last of them.
    pub(super) fn remove_older(&self, current: GenerationNumber, keep: NonZeroUsize) -> Result<(), DiskError> {
        let known = self.generations()?;
        let older: Vec<_> = known.range(..=current).rev().skip(keep.get()).copied().collect();
        older.iter().try_for_each(|number| disk::remove_folder(&self.generation(*number)))
    }

    /// Removes the objects that no generation refers to. When a generation cannot be read, none is removed.
    pub(super) fn remove_unreferenced(&self) -> Result<(), DiskError> {
        let mut referenced = BTreeSet::new();
        for number in self.generations()? {
            let applications = applications(&self.generation(number));
            for name in names(&applications)? {
                let link = applications.join(&name);
                let target = fs::read_link(&link).map_err(|error| DiskError::new("read the link", &link, error))?;
                referenced.extend(target.file_name().and_then(|name| name.to_str()).map(str::to_owned));
            }
        }
        let objects = self.objects();
        for name in names(&objects)? {
            // What was never written here is not ours to remove.
            if ObjectName::try_from(name.clone()).is_ok() && !referenced.contains(&name) {
                disk::remove_folder(&objects.join(&name))?;
            }
        }
        Ok(())
    }
}

/// The number in a file that holds nothing else; none where there is no such file, or nothing sensible in it.
fn number_in(path: &Path) -> Result<Option<GenerationNumber>, DiskError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(GenerationNumber::from_folder(text.trim_end())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(None),
        Err(error) => Err(DiskError::new("read", path, error)),
    }
}

/// Where the links to the applications lie in a generation's folder.
pub(super) fn applications(generation: &Path) -> PathBuf {
    generation.join("applications")
}

/// Where the link of an application lies in a generation's folder.
pub(super) fn application(generation: &Path, folder: &Slug) -> PathBuf {
    applications(generation).join(folder.as_str())
}

/// What that link says.
pub(super) fn link_to(object: &ObjectName) -> PathBuf {
    Path::new("../../objects").join(object.as_str())
}

/// The names in a folder that are text; no other is ever given.
pub(super) fn names(folder: &Path) -> Result<BTreeSet<String>, DiskError> {
    let failed = |error| DiskError::new("read the folder", folder, error);
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}
