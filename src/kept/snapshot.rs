//! The file `snapshot.json`: what the plane last said, whole, with a version and a checksum.
//!
//! Its first line is a header, and the rest is what that describes:
//!
//! ```text
//! {"version":2,"read_at":"2026-11-22T14:26:00Z","sha256":"…"}
//! {"runtime":"…","naming":"…","applications":2}
//! {"id":"…","name":"…",…}
//! {"id":"…","name":"…",…}
//! ```
//!
//! The SHA-256 goes over the version, `read_at` and everything after the first line break. Credentials are in it: its
//! mode is 0600, and buffers that held it are wiped when they are given back. No more than a few lines are in memory at
//! a time, however many there are.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Seek as _, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::form::{self, v1, v2};
use crate::disk::{self, DiskError, Unpublished};
use crate::event;
use crate::snapshot::pack::{self, Source};
use crate::snapshot::{RepeatedApplication, Snapshot};

/// The largest file that is written or read: 1.25 GiB, what a fetch takes at most, and room for what is known of texts.
const LARGEST: u64 = pack::LARGEST as u64 / 4 * 5;

/// The longest header; today's is a fifth of it.
const LONGEST_HEADER: u64 = 1024;

/// What is read or written at once: 64 KiB.
const BUFFER: usize = 64 * 1024;

/// What was kept.
#[derive(Debug)]
pub struct Kept {
    /// What the plane said.
    pub snapshot: Arc<Snapshot>,
    /// When.
    pub read_at: Timestamp,
}

/// Why a snapshot is not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotKept {
    /// There is none now.
    #[error(transparent)]
    Unwritten(DiskError),
    /// The one before is still there, although the plane has said something else since.
    #[error("{0}, and what the plane said before cannot be removed either")]
    Stale(DiskError),
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It cannot be read.
    #[error(transparent)]
    Unread(#[from] DiskError),
    /// It is not what was written, or a newer version of this program wrote it.
    #[error("{path} cannot be used: {why}; the agent puts it aside at its next start, and fetches everything anew", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; nothing that is in it.
        why: String,
    },
}

/// Why a file is put aside.
#[derive(Debug, thiserror::Error)]
enum Damage {
    #[error("it is larger than the {LARGEST} bytes that are read")]
    TooLarge,
    #[error("its first line is not the header of a snapshot")]
    Header,
    #[error("its version is {0}, and this program knows those up to {newest}", newest = form::NEWEST)]
    Version(u32),
    #[error("its checksum is not that of its content")]
    Checksum,
    // Without the words of a parser, which quote what they stumble over: that may be a password.
    #[error("its line {0} is not what belongs there")]
    Content(usize),
    #[error("it cannot be read to its end: {0}")]
    Disk(io::Error),
    #[error(transparent)]
    Repeated(RepeatedApplication),
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    read_at: Timestamp,
    sha256: String,
}

/// The file.
#[derive(Debug)]
pub struct SnapshotFile {
    path: PathBuf,
    /// What is known to be in it, each application being a place in the file.
    known: Option<Arc<Snapshot>>,
}

impl SnapshotFile {
    /// The file in this state directory.
    pub fn new(state: &Path) -> Self {
        Self { path: state.join("snapshot.json"), known: None }
    }

    /// What is known to be in it.
    pub fn known(&self) -> Option<&Arc<Snapshot>> {
        self.known.as_ref()
    }

    /// The folder that it is in.
    pub fn folder(&self) -> &Path {
        // It was joined to one.
        self.path.parent().unwrap_or(Path::new("."))
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension("json.damaged")
    }

    /// Reads it. Blocks. One that is damaged, or that a newer version of this program wrote, is put aside as
    /// `snapshot.json.damaged`, with a warning; one that cannot be read stays where it is.
    pub fn load(&mut self) -> Option<Kept> {
        // Whatever was known of it before is not what is there now.
        self.known = None;
        let path = &self.path;
        let file = match self.open() {
            Ok(file) => file?,
            Err(error) => {
                event::Kept::Unreadable(&error).emit();
                return None;
            }
        };
        match parse(file, path) {
            Ok((version, kept)) => {
                // An older form is in memory as a whole; the next poll writes it anew.
                self.known = (version == form::NEWEST).then(|| Arc::clone(&kept.snapshot));
                Some(kept)
            }
            Err(Damage::Disk(error)) => {
                event::Kept::Unreadable(&DiskError::new("read", path, error)).emit();
                None
            }
            Err(damage) => {
                let aside = self.aside();
                match disk::rename(path, &aside) {
                    Ok(()) => event::Kept::PutAside { path, damage: &damage, aside: &aside }.emit(),
                    Err(error) => event::Kept::Damaged { path, damage: &damage, error: &error }.emit(),
                }
                None
            }
        }
    }

    /// Reads it for whoever only looks: none where there is no file, and one that is damaged stays where it is. Blocks.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn look(&self) -> Result<Option<Kept>, Unusable> {
        let Some(file) = self.open()? else { return Ok(None) };
        match parse(file, &self.path) {
            Ok((_, kept)) => Ok(Some(kept)),
            Err(Damage::Disk(error)) => Err(DiskError::new("read", &self.path, error).into()),
            Err(damage) => Err(Unusable::Damaged { path: self.path.clone(), why: damage.to_string() }),
        }
    }

    fn open(&self) -> Result<Option<File>, DiskError> {
        match File::open(&self.path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::new("read", &self.path, error)),
        }
    }

    /// Lets go of what is known to be in it, where that cannot be read any more: a file that was changed behind our back, or
    /// a bad disk, must not be in the way of what the plane says next. Blocks. Whether it let go.
    pub fn doubt(&mut self) -> bool {
        let readable = |known: &Arc<Snapshot>| known.applications().all(|application| application.is_ok());
        self.known.take_if(|known| !readable(known)).is_some()
    }

    /// Makes it hold `snapshot`, read at `read_at`. Blocks. Where it holds the same already, it stays as it is, with the
    /// instant at which that was read first. Whether it was written.
    ///
    /// # Errors
    /// When it cannot be written. It is removed then, for it would not be the last word of the plane any more.
    pub fn save(&mut self, snapshot: &Snapshot, read_at: Timestamp) -> Result<bool, NotKept> {
        if self.known.as_ref().is_some_and(|known| known.sum() == snapshot.sum()) {
            return Ok(false);
        }
        self.known = None;
        match self.write(snapshot, read_at) {
            Ok(written) => {
                self.known = Some(Arc::new(written));
                Ok(true)
            }
            Err(error) => Err(match disk::remove(&self.path) {
                Ok(()) => NotKept::Unwritten(error),
                Err(_) => NotKept::Stale(error),
            }),
        }
    }

    /// Writes it, and gives what it holds, by its places there: the files that the snapshot was in are let go.
    fn write(&self, snapshot: &Snapshot, read_at: Timestamp) -> Result<Snapshot, DiskError> {
        let failed = |source| DiskError::new("write", &self.path, source);
        let mut header = Header { version: form::NEWEST, read_at, sha256: Sum::begin(form::NEWEST, read_at).end() };
        let mut file = Unpublished::new_in(self.folder())?;
        // A header of the same length, for now: the sum is known when all is written.
        let length = write_header(&header, &mut file).map_err(failed)?;
        let (places, sum) = self.write_content(snapshot, read_at, &mut file)?;
        header.sha256 = sum.end();
        if file.stream_position().map_err(failed)? > LARGEST {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        file.rewind().map_err(failed)?;
        write_header(&header, &mut file).map_err(failed)?;
        let source = Source::File { file: file.reader().map_err(failed)?, path: self.path.clone() };
        file.publish(&self.path, 0o600)?;
        let source = Arc::new(source);
        let places = snapshot.places().iter().zip(places);
        let places = places.map(|(place, at)| place.about().clone().at(Arc::clone(&source), length + at));
        // They were those of a snapshot, in its order.
        Ok(Snapshot::of(snapshot.runtime().clone(), snapshot.naming(), places.collect())
            .unwrap_or_else(|_| snapshot.clone()))
    }

    /// Writes what the header describes, and tells where each application begins in that.
    fn write_content(
        &self,
        snapshot: &Snapshot,
        read_at: Timestamp,
        file: &mut Unpublished,
    ) -> Result<(Vec<u64>, Sum), DiskError> {
        let failed = |source| DiskError::new("write", &self.path, source);
        let (sum, out) = (Sum::begin(form::NEWEST, read_at), BufWriter::with_capacity(BUFFER, file));
        let mut out = Summed { sum, out };
        let places = v2::write(snapshot, &mut out).map_err(|error| match error {
            v2::Unwritten::Out(error) => failed(error),
            v2::Unwritten::Application(error) => error,
        })?;
        out.flush().map_err(failed)?;
        Ok((places, out.sum))
    }

    /// Removes it, and the damaged one beside it.
    ///
    /// # Errors
    /// When one of them is still there.
    pub fn remove(&mut self) -> Result<(), DiskError> {
        self.known = None;
        disk::remove(&self.path)?;
        disk::remove(&self.aside())
    }
}

fn write_header(header: &Header, out: &mut impl Write) -> io::Result<u64> {
    let mut line = serde_json::to_vec(header)?;
    line.push(b'\n');
    out.write_all(&line)?;
    Ok(line.len() as u64)
}

/// A checksum in the making.
struct Sum(digest::Context);

impl Sum {
    fn begin(version: u32, read_at: Timestamp) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(format!("{version}\n{read_at}\n").as_bytes());
        Self(context)
    }

    fn end(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What passes bytes on, and sums them up; no more of them than are read or written at most.
struct Summed<T> {
    sum: Sum,
    out: T,
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.sum.0.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.out.read(bytes)?;
        self.sum.0.update(&bytes[..count]);
        Ok(count)
    }
}

fn parse(file: File, path: &Path) -> Result<(u32, Kept), Damage> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    if file.metadata().map_err(Damage::Disk)?.len() > LARGEST {
        return Err(Damage::TooLarge);
    }
    let mut head = BufReader::new(&file);
    let mut line = Vec::new();
    (&mut head).take(LONGEST_HEADER).read_until(b'\n', &mut line).map_err(Damage::Disk)?;
    let length = line.len() as u64;
    let line = line.strip_suffix(b"\n").ok_or(Damage::Header)?;
    // The version comes first: the rest of an unknown one need not make sense.
    let Versioned { version } = serde_json::from_slice(line).map_err(|_| Damage::Header)?;
    if version > form::NEWEST {
        return Err(Damage::Version(version));
    }
    let header: Header = serde_json::from_slice(line).map_err(|_| Damage::Header)?;
    // What follows is read once: by one who sums it up for one who understands it.
    let mut reader = file.try_clone().map_err(Damage::Disk)?;
    reader.seek(io::SeekFrom::Start(length)).map_err(Damage::Disk)?;
    let sum = Sum::begin(version, header.read_at);
    let mut summed = BufReader::with_capacity(BUFFER, Summed { sum, out: reader.take(LARGEST) });
    let snapshot = match version {
        1 => {
            let mut content = Zeroizing::new(Vec::new());
            summed.read_to_end(&mut content).map_err(Damage::Disk)?;
            let read = serde_json::from_slice::<v1::Read>(&content).map_err(|_| form::Unreadable::Line(2));
            read.and_then(|read| Snapshot::try_from(read).map_err(form::Unreadable::Repeated))
        }
        2 => v2::read(&mut summed, &Arc::new(Source::File { file, path: path.to_owned() }), length),
        _ => return Err(Damage::Version(version)),
    };
    let snapshot = match snapshot {
        Err(form::Unreadable::Disk(error)) => return Err(Damage::Disk(error)),
        Err(form::Unreadable::Line(number)) => return Err(Damage::Content(number)),
        Err(form::Unreadable::Repeated(error)) => return Err(Damage::Repeated(error)),
        Ok(snapshot) => snapshot,
    };
    if summed.into_inner().sum.end() != header.sha256 {
        return Err(Damage::Checksum);
    }
    Ok((version, Kept { snapshot: Arc::new(snapshot), read_at: header.read_at }))
}

#[cfg(test)]
mod tests;
