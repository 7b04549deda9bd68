//! What is said of files that hold what the agent remembers: damaged ones, and those that cannot be written.

use std::fmt::Display;
use std::path::Path;

use super::Message;

/// Something about what the agent remembers.
pub enum Kept<'a> {
    /// What the plane last said cannot be read.
    Unreadable(&'a dyn Display),
    /// What the plane last said is damaged, and was put aside.
    PutAside {
        /// Its file.
        path: &'a Path,
        /// How it is damaged.
        damage: &'a dyn Display,
        /// Where it is now.
        aside: &'a Path,
    },
    /// What the plane last said is damaged, and stays where it is.
    Damaged {
        /// Its file.
        path: &'a Path,
        /// How it is damaged.
        damage: &'a dyn Display,
        /// Why it stays.
        error: &'a dyn Display,
    },
    /// What is kept belongs to another runtime.
    Foreign(&'a dyn Display),
    /// What is known of the plane is damaged.
    PlaneDamaged {
        /// Its file.
        path: &'a Path,
    },
    /// What is known of the plane cannot be read.
    PlaneUnreadable {
        /// Its file.
        path: &'a Path,
        /// Why.
        error: &'a std::io::Error,
    },
    /// It cannot be written down when the plane answered.
    NotNoted(&'a dyn Display),
}

impl Kept<'_> {
    /// Says it.
    pub fn emit(self) {
        match self {
            Self::Unreadable(error) => {
                tracing::warn!("what the plane last said cannot be read; it is asked anew: {error}");
            }
            Self::PutAside { path, damage, aside } => tracing::warn!(
                message_id = Message::SnapshotDamaged.id(),
                path = %path.display(),
                "{} cannot be used: {damage}. It is put aside as {}; the files stay as they are, and the next poll \
                 fetches everything anew",
                path.display(),
                aside.display()
            ),
            Self::Damaged { path, damage, error } => tracing::warn!(
                message_id = Message::SnapshotDamaged.id(),
                path = %path.display(),
                "{} cannot be used: {damage}. The files stay as they are, and the next poll replaces it; it cannot be \
                 put aside: {error}",
                path.display()
            ),
            Self::Foreign(runtime) => {
                tracing::info!("what the plane last said is of the runtime {runtime}, and is not used");
            }
            Self::PlaneDamaged { path } => tracing::warn!(
                "{} is damaged or of another version: what is known of the plane is learnt anew",
                path.display()
            ),
            Self::PlaneUnreadable { path, error } => {
                tracing::warn!("cannot read {}: {error}; what is known of the plane is learnt anew", path.display());
            }
            Self::NotNoted(error) => {
                tracing::warn!("cannot note when the plane answered; that is tried again: {error}");
            }
        }
    }
}
