//! What a transaction is about to do, written down before it does it: `transaction.json` in the applier's own state
//! directory, and beside it which units were told.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::directory::Spot;
use super::found::{Identity, Shape};
use super::record::{load, save};
use crate::config::UnitName;
use crate::disk::{self, DiskError};

const JOURNAL: &str = "transaction.json";
const TOLD: &str = "told.json";

/// The longest name in a file system (`NAME_MAX`), in bytes.
const LONGEST_NAME: usize = 255;

/// What the name of a copy of somebody's file ends in.
const BACKUP: &str = ".runtime-agent-backup";

/// A transaction that has begun and is not cleared away yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Journal {
    /// What it is called; see [`Installed::transaction`](super::record::Installed).
    pub id: String,
    /// How far it has come.
    pub stage: Stage,
    /// Directories that are made for it, each after the one that it lies in.
    pub directories: Vec<Spot>,
    /// Directories that were made for earlier ones and in which nothing is left after this one, in the same order.
    pub dropped: Vec<Spot>,
    /// What it does, in this order.
    pub operations: Vec<Operation>,
}

/// How far a transaction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// New files are written beside; nothing that was there is touched.
    Staging,
    /// All new files are there; they are put in place, or are in place already.
    Placing,
}

/// One file that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Operation {
    /// Which one.
    pub spot: Spot,
    /// The file that is put there.
    pub new: Option<NewFile>,
    /// The file that was there.
    pub old: Option<OldFile>,
}

/// A file that is put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFile {
    /// Its name until then.
    pub name: String,
    /// What it is.
    pub shape: Shape,
    /// Its number in the file system; known once it is there.
    pub inode: Option<u64>,
}

/// A file that is replaced or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OldFile {
    /// Its name afterwards, until the transaction is final.
    pub name: String,
    /// Which file it is.
    pub identity: Identity,
    /// What becomes of it then.
    pub fate: Fate,
}

/// What becomes of a replaced file once the transaction is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fate {
    /// It goes.
    Gone,
    /// It is kept beside, for whoever wrote it.
    Backup,
}

/// The units that were told of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    /// The transaction.
    pub id: String,
    /// The units, in the order in which they were told.
    pub units: Vec<UnitName>,
}

impl Journal {
    /// Reads the one that an earlier process left.
    ///
    /// # Errors
    /// When it cannot be read, or is not one: then nobody knows what there is to restore.
    pub(super) fn load(state: &Path) -> Result<Option<Self>, String> {
        let mut damage = None;
        let loaded = load(&path(state), |path, reason| {
            damage = Some(format!(
                "{} is not a journal of this version ({reason}), so an installation that was interrupted cannot be \
                 taken back; look for files named `.*.runtime-agent-old-*` and put them back, then remove that journal",
                path.display()
            ));
        });
        match (loaded, damage) {
            (_, Some(damage)) => Err(damage),
            (Ok(journal), None) => Ok(journal),
            (Err(error), None) => Err(error.to_string()),
        }
    }

    /// Writes it, durably.
    pub(super) fn save(&self, state: &Path) -> Result<(), DiskError> {
        save(&path(state), self)
    }

    /// Removes it: nothing is left to be done.
    pub(super) fn clear(state: &Path) -> Result<(), DiskError> {
        // The units are of no use without the journal, and would be left behind by a kill in between.
        disk::remove(&state.join(TOLD))?;
        disk::remove(&path(state))
    }

    /// The directories that files change in, each once.
    pub(super) fn directories_of_files(&self) -> Vec<(&Path, &Path)> {
        let mut all: Vec<_> =
            self.operations.iter().map(|operation| (&*operation.spot.fixed, operation.spot.below())).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Told {
    /// Reads those of the transaction `id`.
    pub(super) fn load(state: &Path, id: &str) -> Result<Self, DiskError> {
        let loaded: Option<Self> = load(&state.join(TOLD), |path, reason| {
            tracing::warn!("{} is not readable ({reason}); units that were told are not told again", path.display());
        })?;
        let none = Self { id: id.to_owned(), units: Vec::new() };
        Ok(loaded.filter(|told| told.id == id).unwrap_or(none))
    }

    /// Writes them, durably.
    pub(super) fn save(&self, state: &Path) -> Result<(), DiskError> {
        save(&state.join(TOLD), self)
    }
}

fn path(state: &Path) -> PathBuf {
    state.join(JOURNAL)
}

/// The temporary names of a transaction: hidden, and with no ending by which services choose files.
pub(super) fn temporary(name: &str, what: &str, id: &str, index: usize) -> String {
    let mark = id.get(..8).unwrap_or(id);
    let ending = format!(".runtime-agent-{what}-{mark}-{index}");
    format!(".{}{ending}", cut(name, LONGEST_NAME - 1 - ending.len()))
}

/// The name of the copy of somebody's file.
pub(super) fn backup(name: &str) -> String {
    format!("{}{BACKUP}", cut(name, LONGEST_NAME - BACKUP.len()))
}

fn cut(name: &str, most: usize) -> &str {
    let end = (0..=most.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or_default();
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_hidden_fit_and_are_taken_by_no_glob() {
        let long = "ä".repeat(127) + "x";
        for name in ["shop.conf", &long] {
            for made in [temporary(name, "new", "0123456789abcdef", 100_000), temporary(name, "old", "01", 0)] {
                assert!(made.starts_with('.') && made.len() <= LONGEST_NAME, "{made}");
                assert!(!made.ends_with(".conf") && !made.ends_with("~"), "{made}");
            }
            assert!(backup(name).len() <= LONGEST_NAME);
        }
        assert_eq!(temporary("shop.conf", "new", "0123456789", 7), ".shop.conf.runtime-agent-new-01234567-7");
        assert_eq!(backup("shop.conf"), "shop.conf.runtime-agent-backup");
    }
}
