//! A folder of files that many generations share, each named by its content.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use super::layout::names;
use crate::disk::{self, DiskError};

/// The folder; `N` is what names are like in it.
#[derive(Debug, Clone)]
pub(super) struct Pool<N> {
    folder: PathBuf,
    named: PhantomData<N>,
}

impl<N: Clone + Ord + Into<String> + TryFrom<String>> Pool<N> {
    /// The files in this folder, which need not be there yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, named: PhantomData }
    }

    /// Where they lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the one with this name lies.
    pub(super) fn path(&self, name: &N) -> PathBuf {
        self.folder.join(name.clone().into())
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.present()?.is_empty())
    }

    /// Removes what is not among `used`.
    pub(super) fn remove_unused(&self, used: &BTreeSet<N>) -> Result<(), DiskError> {
        for name in self.present()? {
            // What was never written here is not ours to remove.
            if N::try_from(name.clone()).is_ok_and(|name| !used.contains(&name)) {
                disk::remove(&self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Removes what an interrupted process left unfinished.
    pub(super) fn sweep(&self) -> Result<(), DiskError> {
        disk::sweep(&self.folder)
    }

    fn present(&self) -> Result<BTreeSet<String>, DiskError> {
        match names(&self.folder) {
            Err(error) if error.is_absent() => Ok(BTreeSet::new()),
            other => other,
        }
    }
}
