//! The forms in which a snapshot is on disk. Each version has types of its own, which do not follow the plane's words
//! or the program's, so that what an older version wrote can be read for ever.
//!
//! A change of the form is a new module beside [`v1`], another [`NEWEST`], and another arm in [`read`]; the old module
//! keeps what reading takes.

mod v1;

use std::io::{self, Write};

use crate::snapshot::{RepeatedApplication, Snapshot};

/// The version that is written.
pub(super) const NEWEST: u32 = 1;

/// Why there is no snapshot in it.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// It is not what was written.
    Json(serde_json::Error),
    /// It does not describe one state.
    Repeated(RepeatedApplication),
}

/// Writes a snapshot in the newest form.
pub(super) fn write(snapshot: &Snapshot, mut out: impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut out, &v1::Written(snapshot))?;
    out.write_all(b"\n")
}

/// Reads a snapshot in the form of that version; nothing, where there is no such version.
pub(super) fn read(version: u32, bytes: &[u8]) -> Option<Result<Snapshot, Unreadable>> {
    match version {
        1 => Some(
            serde_json::from_slice::<v1::Read>(bytes)
                .map_err(Unreadable::Json)
                .and_then(|read| Snapshot::try_from(read).map_err(Unreadable::Repeated)),
        ),
        _ => None,
    }
}
