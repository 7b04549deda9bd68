//! Version 2, of 2026: a line that says whose applications these are and how many, and a line for each. It is written
//! and read line by line, and what was read is not held: a place in the file stands for each application.

use std::io::{self, BufRead, Read as _, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Naming, Unreadable};
use crate::disk::DiskError;
use crate::ids::RuntimeId;
use crate::snapshot::pack::{About, Source};
use crate::snapshot::{Place, Snapshot, line};

/// The longest first line; an id has at most a few hundred bytes.
const LONGEST_HEAD: u64 = 4096;

#[derive(Serialize, Deserialize)]
struct Head {
    runtime: RuntimeId,
    naming: Naming,
    applications: usize,
}

/// Why a snapshot is not written.
#[derive(Debug)]
pub(in crate::kept) enum Unwritten {
    /// What takes it failed.
    Out(io::Error),
    /// An application cannot be read from where it is.
    Application(DiskError),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::Out(error)
    }
}

/// Writes a snapshot, and tells where each application begins, counted from the first byte written here.
pub(in crate::kept) fn write(snapshot: &Snapshot, mut out: impl Write) -> Result<Vec<u64>, Unwritten> {
    let naming = Naming::from(snapshot.naming());
    let head = Head { runtime: snapshot.runtime().clone(), naming, applications: snapshot.len() };
    let mut line = serde_json::to_vec(&head).map_err(io::Error::from)?;
    line.push(b'\n');
    out.write_all(&line)?;
    let mut at = line.len() as u64;
    let mut places = Vec::with_capacity(snapshot.len());
    for place in snapshot.places() {
        let line = place.line().map_err(Unwritten::Application)?;
        out.write_all(&line)?;
        out.write_all(b"\n")?;
        places.push(at);
        at += line.len() as u64 + 1;
    }
    Ok(places)
}

/// Reads a snapshot to the end of `lines`, which is `source` from `at` on.
pub(in crate::kept) fn read(
    lines: &mut impl BufRead,
    source: &Arc<Source>,
    mut at: u64,
) -> Result<Snapshot, Unreadable> {
    let mut bytes = Zeroizing::new(Vec::new());
    (&mut *lines).take(LONGEST_HEAD).read_until(b'\n', &mut bytes).map_err(Unreadable::Disk)?;
    let head: Head =
        bytes.strip_suffix(b"\n").and_then(|head| serde_json::from_slice(head).ok()).ok_or(Unreadable::Line(2))?;
    at += bytes.len() as u64;
    let mut places: Vec<Place> = Vec::new();
    for number in 0..head.applications {
        let unreadable = || Unreadable::Line(number + 3);
        bytes.clear();
        lines.read_until(b'\n', &mut bytes).map_err(Unreadable::Disk)?;
        let line = bytes.strip_suffix(b"\n").ok_or_else(unreadable)?;
        let mut application = line::read(line).map_err(|_| unreadable())?;
        let about = About::new(&mut application, line).map_err(|_| unreadable())?;
        places.push(about.at(Arc::clone(source), at));
        at += bytes.len() as u64;
    }
    if !lines.fill_buf().map_err(Unreadable::Disk)?.is_empty() {
        return Err(Unreadable::Line(head.applications + 3));
    }
    Snapshot::of(head.runtime, head.naming.into(), places).map_err(Unreadable::Repeated)
}
