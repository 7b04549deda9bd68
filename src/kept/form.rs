//! The forms in which a snapshot is on disk. Their types follow neither the plane's words nor the program's, so that what an
//! older version wrote can be read for ever; an application's line is the same in all, so far.
//!
//! A change of the form is a new module beside [`v2`], another [`NEWEST`], and another arm where the file is read; the
//! old module keeps what reading takes.

pub(super) mod v1;
pub(super) mod v2;

use std::io;

use serde::{Deserialize, Serialize};

use crate::snapshot::{self, RepeatedApplication};

/// The version that is written.
pub(super) const NEWEST: u32 = 2;

/// Why there is no snapshot in it.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The file cannot be read.
    Disk(io::Error),
    /// It is not what was written, from this line on.
    Line(usize),
    /// It does not describe one state.
    Repeated(RepeatedApplication),
}

/// How applications are named.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Naming {
    /// As people wrote the names; agents normalise them.
    Normalise,
    /// The names are final.
    AsGiven,
}

impl From<snapshot::Naming> for Naming {
    fn from(naming: snapshot::Naming) -> Self {
        match naming {
            snapshot::Naming::Normalise => Self::Normalise,
            snapshot::Naming::AsGiven => Self::AsGiven,
        }
    }
}

impl From<Naming> for snapshot::Naming {
    fn from(naming: Naming) -> Self {
        match naming {
            Naming::Normalise => Self::Normalise,
            Naming::AsGiven => Self::AsGiven,
        }
    }
}
