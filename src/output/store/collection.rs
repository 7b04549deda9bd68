//! The removal of what no generation that is kept needs any more.

use std::collections::BTreeSet;

use super::super::current::{outputs_of_generation, texts_of_generation};
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
        let blobs = self.blobs();
        if blobs.is_empty()? {
            return Ok(());
        }
        let mut used = BTreeSet::new();
        for number in self.layout.generations()? {
            match outputs_of_generation(&self.layout.generation(number)) {
                Ok(outputs) => {
                    used.extend(outputs.into_iter().flat_map(|outputs| outputs.outputs).map(|entry| entry.blob));
                }
                // What cannot be read may lead to any of them.
                Err(_) => return Ok(()),
            }
        }
        blobs.remove_unused(&used)
    }

    pub(super) fn collect_texts(&self) -> Result<(), DiskError> {
        let texts = self.texts();
        if texts.is_empty()? {
            return Ok(());
        }
        let mut used = BTreeSet::new();
        for number in self.layout.generations()? {
            match texts_of_generation(&self.layout.generation(number)) {
                Some(of) => used.extend(of),
                // What cannot be read may lead to any of them.
                None => return Ok(()),
            }
        }
        texts.remove_unused(&used)
    }
}
