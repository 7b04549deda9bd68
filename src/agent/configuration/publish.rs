//! From a snapshot to files: publication, and what is told of it.

use std::sync::Arc;
use std::time::Duration;

use super::blocking::aside;
use super::shelf::{ShelfError, Shelved};
use super::texts::TextIndex;
use super::{ConfigurationLoop, LONGEST_POLL};
use crate::agent::brokering::{Learned, Origin};
use crate::agent::status::{Area, OutputStatus, Severity};
use crate::backoff::Backoff;
use crate::clock::Due;
use crate::config::{Brokerage, Settings};
use crate::event::{Output, Retry};
use crate::ids::RuntimeId;
use crate::output::manifest::{Changes, GenerationNumber, Manifest};
use crate::output::{Published, Rendering};
use crate::snapshot::Snapshot;

/// When the files are compared with what is made of the plane's last word.
#[derive(Debug, Clone, Copy)]
pub(super) enum Occasion {
    /// The process was started.
    Start,
    /// There are other settings, and with them perhaps other templates.
    Reload,
    /// They follow the plane again, after they were rolled back.
    Resumption,
}

impl Occasion {
    /// Why they were found to differ.
    fn reason(self) -> &'static str {
        match self {
            Self::Start => "the files were missing, damaged, older, of another form or made by other templates",
            Self::Reload => "the files were older or made by another configuration",
            Self::Resumption => "the files were those of an older generation",
        }
    }
}

/// Whether the templates in force are those of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Templates {
    /// They are.
    Read,
    /// One of those of the configuration is wrong.
    Wrong,
    /// They could not be read, which may be otherwise by the next time.
    OutOfReach,
}

impl Templates {
    /// How bad it is that they cannot be used, and what is done about it.
    fn remedy(self) -> (Severity, &'static str) {
        match self {
            Self::Read | Self::Wrong => (
                Severity::ActionNeeded,
                "All files stay as they were. Mend the template (`runtime-agent check` helps) and then: systemctl reload \
                 runtime-agent",
            ),
            Self::OutOfReach => {
                (Severity::Transient, "All files stay as they were, and the agent reads the templates again by itself.")
            }
        }
    }
}

impl ConfigurationLoop {
    /// Publishes a snapshot.
    pub(super) async fn write(&mut self, snapshot: Arc<Snapshot>, failures: u32) -> Result<String, String> {
        if self.templates == Templates::OutOfReach {
            self.read_templates().await;
        }
        let (now, shelved) = (self.now(), Arc::clone(&snapshot));
        let Some(written) = self.with_shelf(move |shelf| shelf.publish(&shelved, now)).await else {
            return Err("The last write is not done yet.".into());
        };
        self.unwritten = None;
        let result = match written {
            Ok(Shelved { published, kept }) => {
                self.hand_on(Arc::clone(&snapshot), Origin::Plane(self.consent));
                // What the configuration has is another matter than what is in force.
                if self.templates == Templates::Read {
                    self.around.board.solved(Area::Templates);
                }
                match kept {
                    Ok(anew) => {
                        self.go_on_with_what_is_kept();
                        self.around.board.solved(Area::Output);
                        if anew {
                            self.plane_file.borrow_mut().note();
                        }
                    }
                    Err(error) => self.around.board.problem(
                        Area::Output,
                        Severity::Transient,
                        format!("What the plane said cannot be kept for the next start: {error}."),
                        "The files are as the plane wants them, and the agent tries again at the next poll.",
                    ),
                }
                let count = snapshot.len();
                Ok(match published {
                    Published::Unchanged => format!("Nothing changed; {count} applications."),
                    Published::RolledBack(number) => format!(
                        "The plane lists {count} applications, and the files stay as they were rolled back to, as \
                         generation {number}, until `runtime-agent resume`."
                    ),
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
            // The same template fails again until it, or what the plane says, is another.
            Err(error) if error.is_of_a_template() => {
                self.hand_on(Arc::clone(&snapshot), Origin::Plane(self.consent));
                let what = self.templates_fail(&error);
                if self.templates == Templates::OutOfReach {
                    self.write_later(snapshot, failures);
                }
                Err(what)
            }
            Err(error) => {
                let what = format!("What the plane said cannot be written: {error}.");
                self.around.board.problem(
                    Area::Output,
                    Severity::ActionNeeded,
                    what.clone(),
                    "The files stay as they were, and the agent tries again by itself.",
                );
                self.write_later(snapshot, failures);
                Err(what)
            }
        };
        self.show_current();
        result
    }

    /// Tells that templates cannot be rendered; answers the sentence.
    fn templates_fail(&self, error: &ShelfError) -> String {
        let what = format!("A template cannot be rendered: {error}.");
        let (severity, remedy) = self.templates.remedy();
        self.around.board.problem(Area::Templates, severity, what.clone(), remedy);
        what
    }

    /// Keeps what could not be written for the next try.
    fn write_later(&mut self, snapshot: Arc<Snapshot>, failures: u32) {
        let failures = failures.saturating_add(1);
        let backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(5 * 60));
        let at = Due::after(self.now(), backoff.wait(failures, fastrand::f64(), None));
        self.unwritten = Some((snapshot, at, failures));
        Retry::Output.emit();
    }

    /// Makes the files from what the plane last said, where they are not just that: after a loss of them, say, or where
    /// this version of the program, or other templates, make them otherwise. The plane is not asked.
    pub(super) async fn restore(&mut self, occasion: Occasion) {
        self.around.pulse.within(LONGEST_POLL);
        let runtime = self.around.identity.borrow().as_ref().and_then(|identity| identity.record.runtime.clone());
        let now = self.now();
        let restored = self.with_shelf(move |shelf| shelf.restore(runtime.as_ref(), now)).await;
        let Some(result) = restored else { return };
        if result.is_ok() && self.templates == Templates::Read {
            self.around.board.solved(Area::Templates);
        }
        match result {
            Ok(None) => {}
            Ok(Some(restored)) => {
                self.texts = restored.texts;
                self.around.board.update(|status| {
                    status.sync.last_success = status.sync.last_success.or(Some(restored.read_at));
                });
                if let Published::New { generation, changes } = &restored.published {
                    let (generation, reason, read_at) = (*generation, occasion.reason(), restored.read_at);
                    Output::MadeAnew { generation, reason, read_at }.emit();
                    self.announce(generation, changes, restored.snapshot.len());
                }
                self.hand_on(restored.snapshot, Origin::Kept);
            }
            Err(error) if error.is_of_a_template() => drop(self.templates_fail(&error)),
            Err(error) => self.around.board.problem(
                Area::Output,
                Severity::ActionNeeded,
                format!("The files cannot be made anew from what the plane last said: {error}."),
                "They stay as they were, and the next poll writes them.",
            ),
        }
        self.show_current();
    }

    /// Reads the templates of the configuration in force. What cannot be used is told, and those before stay.
    pub(super) async fn read_templates(&mut self) {
        let settings = self.around.settings.borrow().clone();
        let settings = Settings::clone(&settings);
        let read = aside(move || Rendering::load(&settings)).await;
        self.templates = match &read {
            Ok(_) => Templates::Read,
            Err(error) if error.is_lasting() => Templates::Wrong,
            Err(_) => Templates::OutOfReach,
        };
        match read {
            Ok(rendering) => {
                if let Some(shelf) = &mut self.shelf {
                    shelf.store.use_templates(rendering.map(Arc::new));
                }
            }
            Err(error) => {
                if let Some(shelf) = &mut self.shelf {
                    shelf.store.lack_templates(error.to_string());
                }
                let (severity, remedy) = match self.templates {
                    Templates::Read | Templates::Wrong => (
                        Severity::ActionNeeded,
                        "Those that were read before stay in force; where there are none, all files stay as they are. Mend \
                         the template (`runtime-agent check` helps) and then: systemctl reload runtime-agent",
                    ),
                    Templates::OutOfReach => (
                        Severity::Transient,
                        "Those that were read before stay in force; where there are none, all files stay as they are. The \
                         agent reads them again by itself, at the next poll at the latest.",
                    ),
                };
                self.around.board.problem(
                    Area::Templates,
                    severity,
                    format!("The templates cannot be used: {error}."),
                    remedy,
                );
            }
        }
    }

    /// Tells the service broker what the plane says, while there is one.
    fn hand_on(&self, snapshot: Arc<Snapshot>, origin: Origin) {
        if self.around.settings.borrow().broker.enabled == Brokerage::Closed {
            return;
        }
        let names = self.shelf.as_ref().and_then(|shelf| shelf.store.names()).unwrap_or_default();
        let misread = self.misread.clone();
        self.around.learned.put(Learned { snapshot, names, dialect: self.dialect, origin, misread });
    }

    /// Tells of the current generation, where there is one: on the board, and to the applier's queue.
    pub(super) fn show_current(&self) {
        if let Some(manifest) = self.shelf.as_ref().and_then(|shelf| shelf.store.current()) {
            self.show(manifest);
        }
    }

    pub(super) fn announce(&self, generation: GenerationNumber, changes: &Changes, count: usize) {
        let plane = self.plane.as_ref().map_or("", |plane| &plane.host);
        Output::Published { generation, changes, applications: count, plane }.emit();
    }

    fn show(&self, manifest: &Manifest) {
        let path = self.around.settings.borrow().paths.config().join("current");
        let output = OutputStatus {
            generation: manifest.generation,
            published_at: manifest.published_at,
            path: path.display().to_string(),
            applications: manifest.applications.len(),
            rolled_back: self.shelf.as_ref().is_some_and(|shelf| shelf.store.rolled_back_to().is_some()),
            bundles: manifest.applications.values().map(|entry| u64::from(entry.bundles)).sum(),
        };
        self.around.board.update(|status| status.output = Some(output));
        self.around.published.send_if_modified(|published| published.replace(manifest.generation) != *published);
    }

    /// Publishes that nothing may be used any more, and removes everything that was published or kept before.
    pub(super) async fn clear(&mut self, runtime: Option<RuntimeId>) -> Result<(), String> {
        let (now, whose) = (self.now(), runtime.clone());
        let Some(emptied) = self.with_shelf(move |shelf| shelf.empty(runtime, now)).await else {
            return Err("the last write is not done yet".into());
        };
        if let Some(runtime) = whose {
            self.hand_on(Arc::new(Snapshot::empty(runtime)), Origin::Unpaired);
        }
        self.unwritten = None;
        self.unread = None;
        self.show_current();
        self.around.board.update(|status| status.sync = Default::default());
        emptied?;
        (self.dialect, self.texts) = (None, TextIndex::default());
        self.plane_file
            .borrow_mut()
            .remove()
            .map_err(|error| format!("what is known of the plane is still there: {error}"))
    }
}
