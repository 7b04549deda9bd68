//! Back to an older generation, and on again.

use std::path::Path;

use super::super::current::Current;
use super::super::manifest::{Changes, GenerationNumber};
use super::super::render::Names;
use super::{OutputError, Published, Store};
use crate::disk::{self, DiskError};

impl Store {
    /// The generation that was rolled back to, as long as that holds.
    pub fn rolled_back_to(&self) -> Option<GenerationNumber> {
        self.pinned
    }

    /// Makes an older generation current, by default the one before, and lets it be that until [`Store::resume`]. Blocks.
    ///
    /// # Errors
    /// When there is no such generation, or it is damaged, or the file system refuses.
    pub fn roll_back(&mut self, to: Option<GenerationNumber>) -> Result<Published, OutputError> {
        let known = self.layout.generations()?;
        let current = self.current.as_ref().map(|current| current.generation);
        let before = || current.and_then(|current| known.range(..current).next_back().copied());
        let list = || known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let none = |what: String| OutputError::NoSuchGeneration(format!("{what}; those that are kept are: {}", list()));
        let number = match to {
            Some(number) if !known.contains(&number) => return Err(none(format!("there is no generation {number}"))),
            Some(number) => number,
            None => before().ok_or_else(|| none("there is no generation before the current one".into()))?,
        };
        let manifest = match Current::of(&self.layout, &self.key, number) {
            Current::Whole(manifest) => manifest,
            Current::Damaged { damage, .. } => {
                return Err(OutputError::NoSuchGeneration(format!("the generation {number} is damaged: {damage}")));
            }
            Current::Nothing => return Err(none(format!("there is no generation {number}"))),
        };
        // Whoever is killed after this goes on with it at the next start.
        self.layout.set_pinned(Some(number))?;
        self.pinned = Some(number);
        disk::swap_link(&self.layout.current(), Path::new(&number.folder()))?;
        if current == Some(number) {
            return Ok(Published::RolledBack(number));
        }
        let changes = Changes::between(self.current.as_ref(), &manifest);
        let names = Names { applications: manifest.folders(), ..Names::default() };
        (self.current, self.names) = (Some(manifest), names.into());
        (self.made_from, self.catalogue) = (None, None);
        Ok(Published::New { generation: number, changes })
    }

    /// Lets the next snapshot be published again. Whether anything had kept it from that.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn resume(&mut self) -> Result<bool, DiskError> {
        self.layout.set_pinned(None)?;
        Ok(self.pinned.take().is_some())
    }
}
