//! What is to be done: a pure function of what is wanted, what was installed, and what lies there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::found::{Found, Identity, Shape};
use super::record::Installed;
use crate::config::OnConflict;

/// What is wanted at a path, and what is done about a foreign file there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub shape: Shape,
    pub on_conflict: OnConflict,
}

/// What becomes of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Everything is as it is to be; if it is not recorded yet, it is from now on.
    Nothing,
    /// A file is put where there is none.
    Create,
    /// A file is put in the place of another one.
    Replace {
        /// The other one.
        before: Identity,
        /// Whose it is.
        of: Whose,
    },
    /// A file of ours goes.
    Remove {
        /// That file.
        before: Identity,
    },
    /// It is no longer ours, and stays as it is.
    Keep(Kept),
    /// It is not there any more, and its record goes.
    Forget,
    /// Nothing at all may be installed.
    Refuse(Hindrance),
}

/// Whose a file in the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Ours, as we left it.
    Ours,
    /// Ours, and somebody changed it.
    Edited,
    /// Somebody else's.
    Foreign,
}

/// Why something stays that is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// `on_conflict` says so.
    Asked(Whose),
    /// Nothing is to be there any more, but somebody changed it.
    EditedAndGone,
}

/// Why nothing is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hindrance {
    /// `on_conflict` says so.
    Conflict(Whose),
    /// What lies there is no file.
    NotAFile(&'static str),
}

/// The steps for all paths that are wanted or were installed.
pub(super) fn plan(
    wanted: &BTreeMap<PathBuf, Wanted>,
    installed: &Installed,
    found: impl Fn(&Path) -> Found,
) -> BTreeMap<PathBuf, Step> {
    let paths: BTreeSet<&PathBuf> = wanted.keys().chain(installed.files.keys()).collect();
    let step = |path: &PathBuf| {
        let recorded = installed.files.get(path).map(|record| record.shape);
        let step = match wanted.get(path) {
            Some(wanted) => step_for(*wanted, recorded, found(path)),
            None => step_away(recorded, found(path)),
        };
        (path.clone(), step)
    };
    paths.into_iter().map(step).collect()
}

fn step_for(wanted: Wanted, recorded: Option<Shape>, found: Found) -> Step {
    let (shape, before) = match found {
        Found::Absent => return Step::Create,
        Found::Other(kind) => return Step::Refuse(Hindrance::NotAFile(kind)),
        Found::File { shape, identity } => (shape, identity),
    };
    if shape == Some(wanted.shape) {
        return Step::Nothing;
    }
    let whose = match recorded {
        Some(_) if shape == recorded => Whose::Ours,
        Some(_) => Whose::Edited,
        None => Whose::Foreign,
    };
    match (whose, wanted.on_conflict) {
        (Whose::Ours, _) | (_, OnConflict::Overwrite) => Step::Replace { before, of: whose },
        (_, OnConflict::Keep) => Step::Keep(Kept::Asked(whose)),
        (_, OnConflict::Fail) => Step::Refuse(Hindrance::Conflict(whose)),
    }
}

fn step_away(recorded: Option<Shape>, found: Found) -> Step {
    match found {
        Found::Absent => Step::Forget,
        Found::File { shape, identity } if shape.is_some() && shape == recorded => Step::Remove { before: identity },
        Found::File { .. } | Found::Other(_) => Step::Keep(Kept::EditedAndGone),
    }
}

impl Step {
    /// Whether it changes the file system.
    pub(super) fn acts(self) -> bool {
        match self {
            Self::Create | Self::Replace { .. } | Self::Remove { .. } => true,
            Self::Nothing | Self::Keep(_) | Self::Forget | Self::Refuse(_) => false,
        }
    }
}
