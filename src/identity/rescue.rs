//! What is done to identities besides making them: falling back to the one before, and giving all up.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::store::{CURRENT, Identity, IdentityError, IdentityStore};
use crate::disk::{self, DiskError};

impl IdentityStore {
    /// The identities below `state` for reading alone: nothing is made or swept, and no lock is needed.
    pub fn reading(state: &Path) -> Self {
        Self { root: state.join("identity") }
    }

    /// Puts the newest identity that can be read, and is not over at `now`, in the place of the one in use, which cannot
    /// be read. That one stays beside it until the next renewal: it may only have the wrong owner.
    ///
    /// # Errors
    /// When the disk does not give what is there for now, or the link cannot be swapped.
    pub fn fall_back(&self, now: Timestamp) -> Result<Option<Identity>, IdentityError> {
        let mut numbers = self.numbers()?;
        numbers.sort();
        let damaged = self.current_number().unwrap_or(None);
        // With a link that tells nothing, none of them is known to have been in use; the newest is tried as a candidate.
        let Some(damaged) = damaged else { return Ok(None) };
        let before = numbers.into_iter().rev().filter(|number| *number < damaged);
        for number in before {
            match self.read(number) {
                Ok(sound) if sound.leaf.not_after > now => {
                    disk::swap_link(&self.root.join(CURRENT), Path::new(&sound.number.folder()))?;
                    return Ok(Some(sound));
                }
                Err(error) if error.is_passing() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Removes every identity, the one in use first.
    ///
    /// # Errors
    /// When something of them is still there.
    pub fn clear(&self) -> Result<(), IdentityError> {
        let link = self.root.join(CURRENT);
        if link.symlink_metadata().is_ok_and(|there| there.is_dir()) {
            disk::remove_folder(&link)?;
        } else {
            disk::remove(&link)?;
        }
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|source| DiskError::new("read the folder", &self.root, source))?,
        };
        for entry in entries {
            let entry = entry.map_err(|source| DiskError::new("read the folder", &self.root, source))?;
            disk::remove_folder(&entry.path())?;
        }
        Ok(())
    }
}
