//! What is said of the files for others: what is published, rolled back, made anew or damaged.

use std::fmt::Display;
use std::path::Path;

use jiff::Timestamp;

use super::Message;
use crate::metrics::metrics;
use crate::output::manifest::{Changes, GenerationNumber};
use crate::transport::excerpt;

/// How many applications are named one by one; a first synchronisation has thousands.
const NAMED: usize = 20;

/// Something about the files for others.
pub enum Output<'a> {
    /// A generation is published.
    Published {
        /// Its number.
        generation: GenerationNumber,
        /// What is other than before.
        changes: &'a Changes,
        /// How many applications are in it.
        applications: usize,
        /// The Director's host.
        plane: &'a str,
    },
    /// The files differed from what is made of the plane's last word.
    MadeAnew {
        /// The generation that was made.
        generation: GenerationNumber,
        /// In which way they differed.
        reason: &'static str,
        /// When the plane said it.
        read_at: Timestamp,
    },
    /// The files are those of an older generation.
    RolledBack(GenerationNumber),
    /// They follow the plane again.
    FollowsAgain,
    /// The current generation is damaged.
    Damaged {
        /// The folder of generations.
        root: &'a Path,
        /// How.
        damage: &'a dyn Display,
    },
    /// The key that names objects is damaged.
    KeyDamaged {
        /// Its file.
        path: &'a Path,
    },
    /// What a failed publication left is still there.
    NotCleanedUp(&'a dyn Display),
    /// What is not needed any more is still there.
    NotRemoved(&'a dyn Display),
}

impl Output<'_> {
    /// Says it, and counts generations.
    pub fn emit(self) {
        match self {
            Self::Published { generation, changes, applications, plane } => {
                published(generation, changes, applications, plane);
            }
            Self::MadeAnew { generation, reason, read_at } => tracing::info!(
                message_id = Message::MadeAnew.id(),
                %generation,
                "{reason}: they are made anew from what the plane said on {read_at}"
            ),
            Self::RolledBack(generation) => tracing::warn!(
                message_id = Message::RolledBack.id(),
                %generation,
                "the files are rolled back to generation {generation}, and stay so until `runtime-agent resume`"
            ),
            Self::FollowsAgain => {
                tracing::info!(message_id = Message::FollowsAgain.id(), "the files follow the plane again");
            }
            Self::Damaged { root, damage } => tracing::warn!(
                message_id = Message::OutputDamaged.id(),
                root = %root.display(),
                "the current output is damaged: {damage}; its readers keep it until a complete new generation is \
                 published"
            ),
            Self::KeyDamaged { path } => tracing::warn!(
                path = %path.display(),
                "the key that names the output is damaged: a new one is made, and all output is written anew"
            ),
            Self::NotCleanedUp(error) => {
                tracing::warn!("cannot clean up after a failed publication; the next start does: {error}");
            }
            Self::NotRemoved(error) => {
                tracing::warn!("cannot remove what is not needed any more; it is tried again later: {error}");
            }
        }
    }
}

fn published(generation: GenerationNumber, changes: &Changes, applications: usize, plane: &str) {
    metrics().published();
    let kinds = [("added", &changes.added), ("changed", &changes.changed), ("removed", &changes.removed)];
    for (kind, list) in kinds {
        for change in list.iter().take(NAMED) {
            tracing::info!(
                application_id = %change.id, %generation,
                "application {kind}: {} (applications/{})",
                excerpt(&change.name, &[]), change.folder
            );
        }
        if list.len() > NAMED {
            tracing::info!(%generation, "and {} more applications {kind}", list.len() - NAMED);
        }
    }
    tracing::info!(
        message_id = Message::Published.id(),
        %generation, plane,
        "generation {generation} is published: {applications} applications; {} added, {} changed, {} removed",
        changes.added.len(), changes.changed.len(), changes.removed.len()
    );
}
