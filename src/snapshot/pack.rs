//! Applications at rest: each one a line in a file, or in memory while there are few, and what is known of it without
//! reading that.
//!
//! An application takes some 7 KB in memory, and a landscape can have a hundred thousand: so no more than one is there
//! at a time, and a snapshot is a list of places.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use tempfile::{SpooledData, SpooledTempFile};
use zeroize::Zeroizing;

use super::{Application, Sha256, line};
use crate::disk::DiskError;
use crate::ids::ApplicationId;

/// What all applications of a snapshot may take at rest: 1 GiB. A hundred thousand take less, and no plane may fill the
/// disk of a host.
pub(crate) const LARGEST: u32 = 1024 * 1024 * 1024;

/// Up to this size, a pack that is being made is in memory: 1 MiB, a few hundred applications. Hosts that may use no
/// more than that write nothing at all for a list that brings nothing new.
const IN_MEMORY: usize = 1024 * 1024;

/// What is collected before it is written: 64 KiB.
const BUFFER: usize = 64 * 1024;

/// Where lines lie.
pub(crate) enum Source {
    /// In memory.
    Memory(Zeroizing<Vec<u8>>),
    /// In a file, which is open and perhaps has no name any more.
    File {
        /// The file.
        file: File,
        /// The name that is told where it cannot be read.
        path: PathBuf,
    },
}

// Without the content, which holds credentials.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("memory"),
            Self::File { path, .. } => path.fmt(f),
        }
    }
}

/// An application at rest.
#[derive(Debug, Clone)]
pub struct Place {
    about: About,
    source: Arc<Source>,
    at: u64,
}

/// What is known of an application without reading its line.
#[derive(Debug, Clone)]
pub(crate) struct About {
    id: ApplicationId,
    name: Box<str>,
    bundles: u32,
    with_texts: WithTexts,
    length: u32,
    sum: Sha256,
}

/// Whether something of an application has a text that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithTexts {
    /// It has one.
    Some,
    /// None has.
    None,
}

impl About {
    /// What is known of this application, which this line is of.
    pub(crate) fn new(application: &mut Application, line: &[u8]) -> io::Result<Self> {
        let read = application.readings().any(|reading| reading.is_some());
        Ok(Self {
            id: application.id.clone(),
            name: application.name.clone(),
            bundles: u32::try_from(application.bundles.len()).unwrap_or(u32::MAX),
            with_texts: if read { WithTexts::Some } else { WithTexts::None },
            length: u32::try_from(line.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?,
            sum: Sha256::of_bytes(line),
        })
    }

    /// The application with this line.
    pub(crate) fn at(self, source: Arc<Source>, at: u64) -> Place {
        Place { about: self, source, at }
    }
}

impl Place {
    /// The application's id.
    pub fn id(&self) -> &ApplicationId {
        &self.about.id
    }

    /// Its name for people.
    pub fn name(&self) -> &str {
        &self.about.name
    }

    /// How many bundles it has.
    pub fn bundles(&self) -> u32 {
        self.about.bundles
    }

    /// The SHA-256 of its line: two applications of which it is the same are the same.
    pub fn sum(&self) -> Sha256 {
        self.about.sum
    }

    /// How many bytes its line has.
    pub(crate) fn length(&self) -> u64 {
        self.about.length.into()
    }

    /// Whether a text was read of anything in it.
    pub(crate) fn with_texts(&self) -> WithTexts {
        self.about.with_texts
    }

    /// What is known of it.
    pub(crate) fn about(&self) -> &About {
        &self.about
    }

    /// Its line. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written.
    pub(crate) fn line(&self) -> Result<Zeroizing<Vec<u8>>, DiskError> {
        let length = self.about.length as usize;
        let (bytes, path) = match &*self.source {
            Source::Memory(all) => {
                let begin = usize::try_from(self.at).unwrap_or(usize::MAX);
                let found = begin.checked_add(length).and_then(|end| all.get(begin..end)).map(<[u8]>::to_vec);
                (Zeroizing::new(found.unwrap_or_default()), Path::new("memory"))
            }
            Source::File { file, path } => {
                let mut bytes = Zeroizing::new(vec![0; length]);
                file.read_exact_at(&mut bytes, self.at).map_err(|error| DiskError::new("read", path, error))?;
                (bytes, path.as_path())
            }
        };
        // Whatever happened to the file meanwhile, nothing else is taken for what the plane said.
        if Sha256::of_bytes(&bytes) == self.about.sum { Ok(bytes) } else { Err(changed(path)) }
    }

    /// The application itself. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or is not what was written.
    pub fn application(&self) -> Result<Application, DiskError> {
        let bytes = self.line()?;
        // The words of a parser quote what they stumble over, and that may be a password.
        let application = line::read(&bytes).map_err(|_| match &*self.source {
            Source::Memory(_) => changed(Path::new("memory")),
            Source::File { path, .. } => changed(path),
        })?;
        Ok(application)
    }
}

fn changed(path: &Path) -> DiskError {
    DiskError::new("read what the plane said from", path, io::Error::other("it is not what was written there"))
}

/// A list of applications in the making.
#[derive(Debug)]
pub(crate) struct Packer {
    lines: Lines,
    listed: Vec<Listed>,
    /// What was written here.
    written: u64,
    /// What all that was taken takes, wherever it lies.
    length: u64,
    /// One after the other, the lines of all applications: made once, and wiped.
    buffer: Zeroizing<Vec<u8>>,
}

/// Where new lines go.
enum Lines {
    Memory(Zeroizing<Vec<u8>>),
    Spool(BufWriter<SpooledTempFile>, PathBuf),
}

// Without the content.
impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("memory"),
            Self::Spool(_, folder) => folder.fmt(f),
        }
    }
}

#[derive(Debug)]
enum Listed {
    New(About, u64),
    Known(Place),
}

impl Packer {
    /// One that keeps all in memory.
    pub(crate) fn in_memory() -> Self {
        Self::new(Lines::Memory(Zeroizing::default()))
    }

    /// One that goes on in a file of `folder`, without a name, when there are many.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let spool = SpooledTempFile::new_in(IN_MEMORY, folder);
        Self::new(Lines::Spool(BufWriter::with_capacity(BUFFER, spool), folder.to_owned()))
    }

    fn new(lines: Lines) -> Self {
        Self { lines, listed: Vec::new(), written: 0, length: 0, buffer: Zeroizing::default() }
    }

    /// Takes an application. Where `known` has just the same, it is that.
    ///
    /// # Errors
    /// When the file does not take it.
    pub(crate) fn take(&mut self, mut application: Application, known: Option<&Place>) -> Result<(), DiskError> {
        self.buffer.clear();
        let failed = |folder: &Path, error| DiskError::new("write what the plane says into", folder, error);
        let unfit = |error: io::Error| failed(Path::new("memory"), error);
        line::write(&application, &mut *self.buffer).map_err(unfit)?;
        let about = About::new(&mut application, &self.buffer).map_err(unfit)?;
        if let Some(known) = known.filter(|known| known.about.sum == about.sum) {
            self.keep(known.clone());
            return Ok(());
        }
        match &mut self.lines {
            Lines::Memory(all) => all.extend_from_slice(&self.buffer),
            Lines::Spool(spool, folder) => spool.write_all(&self.buffer).map_err(|error| failed(folder, error))?,
        }
        self.listed.push(Listed::New(about, self.written));
        self.written += self.buffer.len() as u64;
        self.length += self.buffer.len() as u64;
        Ok(())
    }

    /// Takes an application that is at rest already.
    pub(crate) fn keep(&mut self, place: Place) {
        self.length += place.length();
        self.listed.push(Listed::Known(place));
    }

    /// How many bytes all that was taken has.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The places of all that was taken, in that order.
    ///
    /// # Errors
    /// When the file does not take it.
    pub(crate) fn finish(self) -> Result<Vec<Place>, DiskError> {
        let source = match self.lines {
            Lines::Memory(all) => Source::Memory(all),
            Lines::Spool(spool, folder) => {
                let failed = |error: io::Error| DiskError::new("write what the plane says into", &folder, error);
                let spool = spool.into_inner().map_err(|error| failed(error.into_error()))?;
                match spool.into_inner() {
                    SpooledData::InMemory(all) => Source::Memory(Zeroizing::new(all.into_inner())),
                    SpooledData::OnDisk(file) => Source::File { file, path: folder },
                }
            }
        };
        let source = Arc::new(source);
        let place = |listed| match listed {
            Listed::New(about, at) => about.at(Arc::clone(&source), at),
            Listed::Known(place) => place,
        };
        Ok(self.listed.into_iter().map(place).collect())
    }
}

/// The sum of what all these places hold, and of what stands at the head of them.
pub(super) fn sum_of(head: &[&str], places: &[Place]) -> Sha256 {
    let mut sum = digest::Context::new(&digest::SHA256);
    for part in head {
        sum.update(&(part.len() as u64).to_be_bytes());
        sum.update(part.as_bytes());
    }
    for place in places {
        sum.update(place.sum().as_bytes());
    }
    Sha256::of(sum)
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn what_was_packed_is_read_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        for mut packer in [Packer::in_memory(), Packer::in_folder(folder.path())] {
            for number in 0..3 {
                packer.take(example::application(&format!("app-{number}"), "Shop"), None).unwrap();
            }
            let places = packer.finish().unwrap();
            let ids: Vec<_> = places.iter().map(|place| place.application().unwrap().id.to_string()).collect();
            assert_eq!(ids, ["app-0", "app-1", "app-2"]);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing has a name");
    }

    #[test]
    fn many_go_to_a_file_and_what_is_known_already_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let large =
            || Application { description: Some("x".repeat(IN_MEMORY).into()), ..example::application("a", "A") };
        let mut packer = Packer::in_folder(folder.path());
        packer.take(large(), None).unwrap();
        packer.take(example::application("b", "B"), None).unwrap();
        let places = packer.finish().unwrap();
        assert!(matches!(*places[0].source, Source::File { .. }));
        assert_eq!(places[1].application().unwrap().id.as_str(), "b");
        let mut again = Packer::in_folder(folder.path());
        again.take(large(), Some(&places[0])).unwrap();
        again.take(example::application("b", "Other"), Some(&places[1])).unwrap();
        let again = again.finish().unwrap();
        assert!(Arc::ptr_eq(&again[0].source, &places[0].source));
        assert!(!Arc::ptr_eq(&again[1].source, &places[1].source));
    }

    #[test]
    fn a_line_that_was_changed_behind_our_back_is_not_believed_and_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut line = Vec::new();
        let mut shop = example::application("canary", "Shop");
        super::line::write(&shop, &mut line).unwrap();
        std::fs::write(&path, &line).unwrap();
        let source = Arc::new(Source::File { file: File::open(&path).unwrap(), path: path.clone() });
        let place = About::new(&mut shop, &line).unwrap().at(source, 0);
        assert_eq!(place.application().unwrap().name, shop.name);
        std::fs::write(&path, line.to_ascii_uppercase()).unwrap();
        let told = place.application().unwrap_err().to_string();
        assert!(told.contains("not what was written") && !told.to_lowercase().contains("canary"), "{told}");
        std::fs::write(&path, "").unwrap();
        place.application().unwrap_err();
    }
}
