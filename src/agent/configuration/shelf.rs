//! What is on disk: the files for others, and what they are made from. Everything here blocks.

use std::sync::Arc;

use jiff::Timestamp;

use super::texts::TextIndex;
use crate::event;
use crate::ids::RuntimeId;
use crate::kept::{Kept, NotKept, SnapshotFile};
use crate::output::{OutputError, Published, Store};
use crate::snapshot::{Snapshot, TextSlot};

/// The files for others, and what the plane last said.
#[derive(Debug)]
pub struct Shelf {
    /// The files.
    pub store: Store,
    /// What they are made from.
    pub kept: SnapshotFile,
}

/// What became of a snapshot.
#[derive(Debug)]
pub(super) struct Shelved {
    /// The files.
    pub(super) published: Published,
    /// Whether it is written for the next start, or was already.
    pub(super) kept: Result<bool, NotKept>,
}

/// What the last start's successor found.
#[derive(Debug)]
pub(super) struct Restored {
    /// When the plane said it.
    pub(super) read_at: Timestamp,
    /// What it said.
    pub(super) snapshot: Arc<Snapshot>,
    /// What became of it.
    pub(super) published: Published,
    /// What is known of the texts.
    pub(super) texts: TextIndex,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShelfError {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Kept(NotKept),
}

impl ShelfError {
    /// Whether a template is to blame, and so nothing on disk.
    pub(super) fn is_of_a_template(&self) -> bool {
        matches!(self, Self::Output(OutputError::Template(_)))
    }
}

impl Shelf {
    /// Publishes and keeps a snapshot. It is kept first: what is kept must never be older than the files, for at the
    /// next start they may be made from it.
    pub(super) fn publish(&mut self, snapshot: &Arc<Snapshot>, now: Timestamp) -> Result<Shelved, ShelfError> {
        let shelved = self.try_to_publish(snapshot, now);
        if shelved.as_ref().is_err_and(|error| !error.is_of_a_template()) {
            self.kept.doubt();
        }
        shelved
    }

    fn try_to_publish(&mut self, snapshot: &Arc<Snapshot>, now: Timestamp) -> Result<Shelved, ShelfError> {
        if let Some(number) = self.store.rolled_back_to() {
            let kept = self.kept.save(snapshot, now);
            return Ok(Shelved { published: Published::RolledBack(number), kept });
        }
        // One that contradicts itself is not kept.
        let draft = match self.store.draft(snapshot) {
            // It is kept all the same: once the template is mended, it is at hand.
            Err(error @ OutputError::Template(_)) => {
                if let Err(stale @ NotKept::Stale(_)) = self.kept.save(snapshot, now) {
                    return Err(ShelfError::Kept(stale));
                }
                return Err(error.into());
            }
            draft => draft?,
        };
        let kept = match self.kept.save(snapshot, now) {
            Err(stale @ NotKept::Stale(_)) => return Err(ShelfError::Kept(stale)),
            kept => kept,
        };
        let published = match draft {
            Some(draft) => self.store.put(draft, snapshot, now)?,
            None => Published::Unchanged,
        };
        Ok(Shelved { published, kept })
    }

    /// Publishes what is kept; nothing, where nothing is, or where it belongs to another runtime than `runtime` and the
    /// files.
    pub(super) fn restore(
        &mut self,
        runtime: Option<&RuntimeId>,
        now: Timestamp,
    ) -> Result<Option<Restored>, ShelfError> {
        let Some(Kept { mut snapshot, read_at }) = self.kept.load() else { return Ok(None) };
        let ours = runtime.or_else(|| self.store.current().map(|manifest| &manifest.runtime));
        if ours.is_some_and(|ours| ours != snapshot.runtime()) {
            event::Kept::Foreign(snapshot.runtime()).emit();
            return Ok(None);
        }
        // A link to a text that is not there would help nobody; it is read anew.
        let present = self.store.texts();
        let is_lost = |text| !present.has(text);
        let lost = |slot: TextSlot<'_>| {
            slot.reading.take_if(|reading| reading.text.is_some_and(is_lost));
        };
        if snapshot.has_texts() {
            Arc::make_mut(&mut snapshot).visit_texts(self.kept.folder(), lost).map_err(OutputError::from)?;
        }
        let texts = TextIndex::of(&snapshot).map_err(OutputError::from)?;
        let published = self.store.publish(&snapshot, now)?;
        Ok(Some(Restored { read_at, snapshot, published, texts }))
    }

    /// Removes what is kept, and empties the files: those of `runtime`, or of whichever they are.
    ///
    /// # Errors
    /// When something is left, in a sentence without its full stop.
    pub fn empty(&mut self, runtime: Option<RuntimeId>, now: Timestamp) -> Result<(), String> {
        self.kept.remove().map_err(|error| format!("what the plane last said is still there: {error}"))?;
        let runtime = runtime.or_else(|| self.store.current().map(|manifest| manifest.runtime.clone()));
        let Some(runtime) = runtime else { return Ok(()) };
        let emptied = self.store.empty(runtime, now);
        emptied.map(drop).map_err(|error| format!("the published files cannot be emptied: {error}"))
    }
}
