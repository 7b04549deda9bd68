//! The file `snapshot.json`: what the plane last said, whole, with a version and a checksum.
//!
//! Its first line is a header, and the rest is what that describes:
//!
//! ```text
//! {"version":1,"read_at":"2026-11-22T14:26:00Z","sha256":"…"}
//! {"runtime":"…","naming":"…","applications":[…]}
//! ```
//!
//! The SHA-256 goes over the version, `read_at` and everything after the first line break. Credentials are in it: its
//! mode is 0600, and every buffer that holds it is made once, at its size, and wiped.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::form;
use crate::disk::{self, DiskError};
use crate::event;
use crate::snapshot::{RepeatedApplication, Snapshot};

/// The largest file that is written or read: 1 GiB, far more than what a fetch takes.
const LARGEST: u64 = 1024 * 1024 * 1024;

/// The longest header; today's is a fifth of it.
const LONGEST_HEADER: usize = 1024;

/// What was kept.
#[derive(Debug)]
pub struct Kept {
    /// What the plane said.
    pub snapshot: Snapshot,
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
    // The words of a parser quote what they stumble over, and that may be a password.
    #[error("its content goes wrong at column {0}")]
    Content(usize),
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
    /// What is known to be in it: the instant and the checksum.
    known: Option<(Timestamp, String)>,
}

impl SnapshotFile {
    /// The file in this state directory.
    pub fn new(state: &Path) -> Self {
        Self { path: state.join("snapshot.json"), known: None }
    }

    fn aside(&self) -> PathBuf {
        self.path.with_extension("json.damaged")
    }

    /// Reads it. Blocks. One that is damaged, or that a newer version of this program wrote, is put aside as
    /// `snapshot.json.damaged`, with a warning; one that cannot be read stays where it is.
    pub fn load(&mut self) -> Option<Kept> {
        let path = &self.path;
        let bytes = match self.read() {
            Ok(bytes) => bytes?,
            Err(error) => {
                event::Kept::Unreadable(&error).emit();
                return None;
            }
        };
        match parse(&bytes) {
            Ok((kept, sha256)) => {
                self.known = Some((kept.read_at, sha256));
                Some(kept)
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
        let Some(bytes) = self.read()? else { return Ok(None) };
        match parse(&bytes) {
            Ok((kept, _)) => Ok(Some(kept)),
            Err(damage) => Err(Unusable::Damaged { path: self.path.clone(), why: damage.to_string() }),
        }
    }

    /// The content; none where there is no file.
    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, DiskError> {
        let failed = |source| DiskError::new("read", &self.path, source);
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let length = file.metadata().map_err(failed)?.len().min(LARGEST);
        // With room for one more byte, the end of the file is found without moving what was read.
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 1));
        file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    /// Makes it hold `snapshot`, read at `read_at`. Blocks. Where it holds the same already, it stays as it is, with the
    /// instant at which that was read first. Whether it was written.
    ///
    /// # Errors
    /// When it cannot be written. It is removed then, for it would not be the last word of the plane any more.
    pub fn save(&mut self, snapshot: &Snapshot, read_at: Timestamp) -> Result<bool, NotKept> {
        if let Some((known_at, sha256)) = &self.known
            && measure(snapshot, *known_at).0 == *sha256
        {
            return Ok(false);
        }
        self.known = None;
        let (sha256, length) = measure(snapshot, read_at);
        let header = Header { version: form::NEWEST, read_at, sha256 };
        if let Err(error) = self.write(snapshot, &header, length) {
            return Err(match disk::remove(&self.path) {
                Ok(()) => NotKept::Unwritten(error),
                Err(_) => NotKept::Stale(error),
            });
        }
        self.known = Some((read_at, header.sha256));
        Ok(true)
    }

    fn write(&self, snapshot: &Snapshot, header: &Header, length: usize) -> Result<(), DiskError> {
        let failed = |source| DiskError::new("write", &self.path, source);
        let mut line = serde_json::to_vec(header).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        if (line.len() + length) as u64 > LARGEST {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(line.len() + length));
        bytes.extend_from_slice(&line);
        form::write(snapshot, &mut *bytes).map_err(failed)?;
        disk::write(&self.path, 0o600, &bytes)
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

/// The checksum of a file in the newest form, and how long what follows the header is.
fn measure(snapshot: &Snapshot, read_at: Timestamp) -> (String, usize) {
    let mut sum = Sum::begin(form::NEWEST, read_at);
    // A sum takes everything, and the form has nothing that JSON cannot hold.
    form::write(snapshot, &mut sum).expect("nothing hinders a checksum");
    let length = sum.length;
    (sum.end(), length)
}

/// A checksum in the making.
struct Sum {
    context: digest::Context,
    length: usize,
}

impl Sum {
    fn begin(version: u32, read_at: Timestamp) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(format!("{version}\n{read_at}\n").as_bytes());
        Self { context, length: 0 }
    }

    fn end(self) -> String {
        self.context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.context.update(bytes);
        self.length += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn parse(bytes: &[u8]) -> Result<(Kept, String), Damage> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    if bytes.len() as u64 > LARGEST {
        return Err(Damage::TooLarge);
    }
    let end = bytes.iter().take(LONGEST_HEADER).position(|byte| *byte == b'\n').ok_or(Damage::Header)?;
    let (line, content) = (&bytes[..end], &bytes[end + 1..]);
    // The version comes first: the rest of an unknown one need not make sense.
    let Versioned { version } = serde_json::from_slice(line).map_err(|_| Damage::Header)?;
    if version > form::NEWEST {
        return Err(Damage::Version(version));
    }
    let header: Header = serde_json::from_slice(line).map_err(|_| Damage::Header)?;
    let mut sum = Sum::begin(version, header.read_at);
    // A sum takes everything.
    let _ = sum.write(content);
    if sum.end() != header.sha256 {
        return Err(Damage::Checksum);
    }
    let snapshot = match form::read(version, content) {
        None => return Err(Damage::Version(version)),
        Some(Err(form::Unreadable::Json(error))) => return Err(Damage::Content(error.column())),
        Some(Err(form::Unreadable::Repeated(error))) => return Err(Damage::Repeated(error)),
        Some(Ok(snapshot)) => snapshot,
    };
    Ok((Kept { snapshot, read_at: header.read_at }, header.sha256))
}

#[cfg(test)]
mod tests;
