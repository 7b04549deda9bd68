//! From a snapshot to files: publication, and what is told of it.

use std::time::Duration;

use super::ConfigurationLoop;
use crate::agent::status::{Area, OutputStatus, Severity};
use crate::backoff::Backoff;
use crate::clock::Due;
use crate::ids::RuntimeId;
use crate::output::Published;
use crate::output::manifest::{Changes, GenerationNumber, Manifest};
use crate::snapshot::Snapshot;

impl ConfigurationLoop {
    /// Publishes a snapshot on a blocking thread: the loops go on meanwhile.
    pub(super) async fn write(&mut self, snapshot: Snapshot, failures: u32) -> Result<String, String> {
        // It is out only while this function waits, and this function is not called twice at once.
        let Some(mut store) = self.store.take() else { return Err("The last write is not done yet.".into()) };
        self.unwritten = None;
        let now = self.now();
        let written = tokio::task::spawn_blocking(move || {
            let result = store.publish(&snapshot, now);
            (store, snapshot, result)
        });
        let (store, snapshot, result) = match written.await {
            Ok(done) => done,
            // A panic in there is a defect; the store is gone with it, and only a restart brings it back.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let result = match result {
            Ok(published) => {
                self.around.board.solved(Area::Output);
                let count = snapshot.applications().len();
                self.last_known = Some(snapshot);
                Ok(match published {
                    Published::Unchanged => format!("Nothing changed; {count} applications."),
                    Published::New { generation, changes } => {
                        self.announce(generation, &changes, count);
                        format!(
                            "Generation {generation}: {count} applications; {} added, {} changed, {} removed.",
                            changes.added.len(),
                            changes.changed.len(),
                            changes.removed.len()
                        )
                    }
                })
            }
            Err(error) => {
                let what = format!("What the plane said cannot be written: {error}.");
                self.around.board.problem(
                    Area::Output,
                    Severity::ActionNeeded,
                    what.clone(),
                    "The files stay as they were, and the agent tries again by itself.",
                );
                let failures = failures.saturating_add(1);
                let backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(5 * 60));
                let at = Due::after(self.now(), backoff.wait(failures, fastrand::f64(), None));
                self.unwritten = Some((snapshot, at, failures));
                Err(what)
            }
        };
        if let Some(manifest) = store.current() {
            self.show(manifest);
        }
        self.store = Some(store);
        result
    }

    fn announce(&self, generation: GenerationNumber, changes: &Changes, count: usize) {
        /// How many applications are named one by one; a first synchronisation has thousands.
        const NAMED: usize = 20;
        let kinds = [("added", &changes.added), ("changed", &changes.changed), ("removed", &changes.removed)];
        for (kind, list) in kinds {
            for change in list.iter().take(NAMED) {
                tracing::info!(
                    application_id = %change.id, %generation,
                    "application {kind}: {} (applications/{})",
                    crate::transport::excerpt(&change.name, &[]), change.folder
                );
            }
            if list.len() > NAMED {
                tracing::info!(%generation, "and {} more applications {kind}", list.len() - NAMED);
            }
        }
        let host = self.plane.as_ref().map_or("", |plane| &plane.host);
        tracing::info!(
            %generation, plane = host,
            "generation {generation} is published: {count} applications; {} added, {} changed, {} removed",
            changes.added.len(), changes.changed.len(), changes.removed.len()
        );
    }

    /// Tells of the current generation: on the board, and to the applier's queue.
    pub(super) fn show(&self, manifest: &Manifest) {
        let path = self.around.settings.borrow().paths.config().join("current");
        let output = OutputStatus {
            generation: manifest.generation,
            published_at: manifest.published_at,
            path: path.display().to_string(),
            applications: manifest.applications.len(),
            bundles: manifest.applications.values().map(|entry| u64::from(entry.bundles)).sum(),
        };
        self.around.board.update(|status| status.output = Some(output));
        self.around.published.send_if_modified(|published| published.replace(manifest.generation) != *published);
    }

    /// Publishes that nothing may be used any more, and removes everything that was published before.
    pub(super) async fn clear(&mut self, runtime: Option<RuntimeId>) -> Result<(), String> {
        let Some(mut store) = self.store.take() else { return Err("the last write is not done yet".into()) };
        (self.unwritten, self.last_known) = (None, None);
        let runtime = runtime.or_else(|| store.current().map(|manifest| manifest.runtime.clone()));
        let Some(runtime) = runtime else {
            self.store = Some(store);
            return Ok(());
        };
        let now = self.now();
        let emptied = tokio::task::spawn_blocking(move || {
            let result = store.empty(runtime, now);
            (store, result)
        });
        let (store, result) = match emptied.await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        if let Some(manifest) = store.current() {
            self.show(manifest);
        }
        self.store = Some(store);
        self.around.board.update(|status| status.sync = Default::default());
        result.map(drop).map_err(|error| format!("the published files cannot be emptied: {error}"))
    }
}
