//! `applications.json`: everything at once, written application by application. What did not change is copied from the
//! file of the generation before, so that one change does not cost the rendering of everything.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use aws_lc_rs::digest;

use super::folder::PUBLIC;
use super::layout::Layout;
use super::manifest::{Entry, GenerationNumber, Manifest};
use super::public::{CatalogueApplication, VERSION};
use super::render::Names;
use super::store::OutputError;
use crate::disk::{self, DiskError};
use crate::ids::ApplicationId;
use crate::snapshot::{Sha256, Snapshot};

/// The name of the file.
pub(super) const CATALOGUE: &str = "applications.json";

/// What is collected before it is written: 64 KiB.
const BUFFER: usize = 64 * 1024;

/// How far applications are indented.
const INDENT: &str = "    ";

/// Where each application is in the file of a generation, in the order of ids.
#[derive(Debug)]
pub(super) struct Catalogue {
    generation: GenerationNumber,
    length: u64,
    places: Vec<Fragment>,
}

/// What stands there of an application.
#[derive(Debug, Clone, Copy)]
struct Fragment {
    at: u64,
    length: u32,
    /// What was written: nothing else is carried on from one generation to the next.
    sum: Sha256,
}

/// The file of a generation, opened to be copied from.
pub(super) struct Before<'a> {
    file: File,
    manifest: &'a Manifest,
    places: &'a [Fragment],
}

impl Catalogue {
    /// Opens the file of the generation that has this manifest; nothing where it is not the one that was written.
    pub(super) fn open<'a>(&'a self, layout: &Layout, manifest: &'a Manifest) -> Option<Before<'a>> {
        if self.generation != manifest.generation || self.places.len() != manifest.applications.len() {
            return None;
        }
        let file = File::open(layout.generation(self.generation).join(CATALOGUE))
            .ok()
            .filter(|file| file.metadata().is_ok_and(|found| found.len() == self.length))?;
        Some(Before { file, manifest, places: &self.places })
    }

    /// Writes the file of a generation that has this manifest, in a folder that nobody looks at yet.
    pub(super) fn write(
        path: &Path,
        snapshot: &Snapshot,
        names: &Names,
        manifest: &Manifest,
        before: Option<&Before<'_>>,
    ) -> Result<Self, OutputError> {
        let failed = |error| DiskError::new("write", path, error);
        let out = BufWriter::with_capacity(BUFFER, disk::create_unsynced(path, PUBLIC)?);
        let mut out = Counted { out, length: 0, sum: digest::Context::new(&digest::SHA256) };
        let mut unchanged = before.map(Before::entries).into_iter().flatten().peekable();
        let mut places = Vec::with_capacity(snapshot.len());
        begin(&mut out, snapshot, manifest.generation).map_err(failed)?;
        for place in snapshot.places() {
            let id = place.id();
            let Some(entry) = manifest.applications.get(id) else { continue };
            let end = if places.is_empty() { "\n" } else { ",\n" };
            out.write_all(end.as_bytes()).map_err(failed)?;
            let at = out.length;
            out.sum = digest::Context::new(&digest::SHA256);
            while unchanged.next_if(|(known, ..)| *known < id).is_some() {}
            let known = unchanged.next_if(|(known, ..)| *known == id).filter(|(_, known, _)| *known == entry);
            // What cannot be copied is made.
            let copied = before.zip(known).and_then(|(before, (.., place))| before.copy(place).ok());
            match copied {
                Some(bytes) => out.write_all(&bytes).map_err(failed)?,
                None => {
                    let application = place.application()?;
                    let inside = names.inside(&application)?;
                    let listed = CatalogueApplication::new(&application, snapshot.naming(), &entry.folder, &inside);
                    // Text has no line break in JSON but between its parts.
                    let text = serde_json::to_string_pretty(&listed).map_err(|error| failed(error.into()))?;
                    for (number, line) in text.lines().enumerate() {
                        let end = if number == 0 { INDENT } else { "\n    " };
                        out.write_all(end.as_bytes()).and_then(|()| out.write_all(line.as_bytes())).map_err(failed)?;
                    }
                }
            }
            let length = u32::try_from(out.length - at).map_err(|_| failed(io::ErrorKind::FileTooLarge.into()))?;
            places.push(Fragment { at, length, sum: Sha256::of(out.sum.clone()) });
        }
        let end: &[u8] = if places.is_empty() { b"]\n}\n" } else { b"\n  ]\n}\n" };
        out.write_all(end).and_then(|()| out.flush()).map_err(failed)?;
        Ok(Self { generation: manifest.generation, length: out.length, places })
    }
}

/// What stands before the first application, as `serde_json` would write it.
fn begin(out: &mut impl Write, snapshot: &Snapshot, generation: GenerationNumber) -> io::Result<()> {
    write!(out, "{{\n  \"version\": {VERSION},\n  \"generation\": ")?;
    serde_json::to_writer(&mut *out, &generation)?;
    out.write_all(b",\n  \"runtime\": ")?;
    serde_json::to_writer(&mut *out, snapshot.runtime())?;
    out.write_all(b",\n  \"applications\": [")
}

impl Before<'_> {
    fn entries(&self) -> impl Iterator<Item = (&ApplicationId, &Entry, Fragment)> {
        let places = self.places.iter().copied();
        self.manifest.applications.iter().zip(places).map(|((id, entry), place)| (id, entry, place))
    }

    /// What was written of an application.
    fn copy(&self, Fragment { at, length, sum }: Fragment) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, at)?;
        if Sha256::of_bytes(&bytes) == sum { Ok(bytes) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

/// What passes bytes on, counts them, and sums them up.
struct Counted<W> {
    out: W,
    length: u64,
    sum: digest::Context,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.length += count as u64;
        self.sum.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
