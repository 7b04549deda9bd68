//! The removal of what no generation that is kept needs any more.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::current::{outputs_of_generation, texts_of_generation};
use super::super::pool::Pool;
use super::{Store, warn_if_failed};
use crate::disk::DiskError;

impl Store {
    /// Removes old generations and objects; what cannot be removed now is tried again next time.
    pub(super) fn collect(&self) {
        if let Some(current) = &self.current {
            warn_if_failed(self.layout.remove_older(current.generation, self.keep));
        }
        warn_if_failed(self.layout.remove_unreferenced());
        warn_if_failed(self.collect_texts());
        warn_if_failed(self.collect_blobs());
    }

    pub(super) fn collect_blobs(&self) -> Result<(), DiskError> {
        self.clear(self.blobs().pool(), |generation| {
            let outputs = outputs_of_generation(generation).ok()?;
            Some(outputs.into_iter().flat_map(|outputs| outputs.outputs).map(|entry| entry.blob).collect())
        })
    }

    pub(super) fn collect_texts(&self) -> Result<(), DiskError> {
        self.clear(self.texts().pool(), texts_of_generation)
    }

    /// Removes what no generation leads to; `used_by` knows what the one in a folder does, if it can be read.
    fn clear<N: Clone + Ord + Into<String> + TryFrom<String>>(
        &self,
        pool: &Pool<N>,
        used_by: impl Fn(&Path) -> Option<BTreeSet<N>>,
    ) -> Result<(), DiskError> {
        if pool.is_empty()? {
            return Ok(());
        }
        let mut used = BTreeSet::new();
        for number in self.layout.generations()? {
            match used_by(&self.layout.generation(number)) {
                Some(of) => used.extend(of),
                // What cannot be read may lead to any of them.
                None => return Ok(()),
            }
        }
        pool.remove_unused(&used)
    }
}
