//! The output folder for those who only look: nothing in it is made, mended or removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::bindings;
use super::blobs::Blobs;
use super::current::{self, Current, Damage};
use super::digest::DigestKey;
use super::folder::paths_in;
use super::layout::Layout;
use super::manifest::{GenerationNumber, Manifest};
use super::outputs::{OutputEntry, Outputs};
use super::render::Names;
use super::texts::{Texts, linked};
use crate::config::FileMode;
use crate::disk::DiskError;
use crate::template::ItemPlace;

/// The output folder, to be looked at.
#[derive(Debug)]
pub struct View {
    layout: Layout,
}

/// Why a generation cannot be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The file system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It is not as it was written.
    #[error("generation {number} is damaged: {why}")]
    Damaged {
        /// Which.
        number: GenerationNumber,
        /// In which way.
        why: String,
    },
}

/// What a file of a generation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Everybody's; no credential is in it.
    Public,
    /// The credentials of a bundle.
    Credentials,
    /// The text of a specification or document.
    Text,
    /// What a template made, with credentials perhaps.
    Output(FileMode),
}

/// A file of a generation.
#[derive(Debug, Clone)]
pub struct PublishedFile {
    /// What it is for.
    pub kind: FileKind,
    path: PathBuf,
    identity: String,
}

impl PublishedFile {
    /// What vouches for its content: two files of which this is the same have the same; those of which it is not can
    /// have.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Whether its name vouches for the same content and mode as that of the other file.
    pub fn is_the_same_as(&self, other: &Self) -> bool {
        self.identity == other.identity && self.kind == other.kind
    }

    /// Its content; none where that is longer than `limit` bytes. What is no regular file is not read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, DiskError> {
        let failed = |source| DiskError::new("read", &self.path, source);
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&self.path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(limit)).unwrap_or(0) + 1));
        file.take(limit + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok((bytes.len() as u64 <= limit).then_some(bytes))
    }
}

impl View {
    /// Looks at the output folder `root`, which need not be there.
    pub fn new(root: &Path) -> Self {
        Self { layout: Layout::new(root) }
    }

    /// The generation that readers see; none where nothing was ever published.
    ///
    /// # Errors
    /// When `current` is not a link to a generation, or cannot be read.
    pub fn current(&self) -> Result<Option<GenerationNumber>, DiskError> {
        let link = self.layout.current();
        let failed = |error| DiskError::new("read the link", &link, error);
        match fs::read_link(&link) {
            Ok(target) => match target.to_str().and_then(GenerationNumber::from_folder) {
                Some(number) => Ok(Some(number)),
                None => Err(failed(io::Error::other("it does not lead to a generation"))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The generations that lie there, current or not.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn generations(&self) -> Result<BTreeSet<GenerationNumber>, DiskError> {
        match self.layout.generations() {
            Err(error) if error.is_absent() => Ok(BTreeSet::new()),
            other => other,
        }
    }

    /// The table of contents of a generation.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn manifest(&self, number: GenerationNumber) -> Result<Manifest, ViewError> {
        current::manifest(&self.layout.generation(number), number).map_err(|damage| explain(number, damage))
    }

    /// What templates made for a generation; nothing where there were none.
    ///
    /// # Errors
    /// When the list cannot be read or understood.
    pub fn outputs(&self, number: GenerationNumber) -> Result<Option<Outputs>, ViewError> {
        current::outputs_of_generation(&self.layout.generation(number)).map_err(|damage| explain(number, damage))
    }

    /// The names that the store would begin with, given this key.
    pub fn names(&self, key: &DigestKey) -> Names {
        match Current::read(&self.layout, key) {
            Current::Nothing => Names::default(),
            Current::Whole(manifest) => {
                Names { applications: manifest.folders(), inside: current::all_inside(&self.layout, &manifest) }
            }
            Current::Damaged { names, .. } => names,
        }
    }

    /// The files of a generation: those of applications by their paths in it, and those that templates made by where they
    /// go. Its tables of contents are not among them: they say nothing that is not in the others, but for its number.
    ///
    /// # Errors
    /// When the lists of what is in it cannot be read or understood.
    pub fn files(&self, number: GenerationNumber) -> Result<BTreeMap<String, PublishedFile>, ViewError> {
        let manifest = self.manifest(number)?;
        let texts = Texts::new(self.layout.root());
        let mut files = BTreeMap::new();
        for entry in manifest.applications.values() {
            let object = self.layout.object(&entry.object);
            let Some(paths) = paths_in(&object)? else {
                let why = format!("something lies in {} that the agent does not write", object.display());
                return Err(ViewError::Damaged { number, why });
            };
            // Whoever hides what they hold has to see all of them.
            let with_credentials =
                paths.iter().filter(|path| place_in_bundle(path) == Some("credentials.json")).count();
            if with_credentials != entry.bundles as usize {
                let why = format!(
                    "{} holds the credentials of {with_credentials} bundles and not of {}",
                    object.display(),
                    entry.bundles
                );
                return Err(ViewError::Damaged { number, why });
            }
            for path in paths {
                let at = object.join(&path);
                let file = match fs::read_link(&at).ok().as_deref().map(linked) {
                    Some(Some(text)) => {
                        PublishedFile { kind: FileKind::Text, path: texts.path(text), identity: text.to_string() }
                    }
                    Some(None) => {
                        let why = format!("the link {} does not lead to a text", at.display());
                        return Err(ViewError::Damaged { number, why });
                    }
                    None => PublishedFile {
                        kind: if is_for_credentials(&path) { FileKind::Credentials } else { FileKind::Public },
                        identity: format!("{}/{path}", entry.object.as_str()),
                        path: at,
                    },
                };
                files.insert(format!("applications/{}/{path}", entry.folder), file);
            }
        }
        let outputs = self.output_files(number)?;
        if let Some((missing, _)) = outputs.iter().find(|(entry, _)| {
            let file = file_of_binding(&entry.item);
            file.is_some_and(|file| !files.contains_key(&file))
        }) {
            let why = format!("the credentials of {} are not there", missing.item);
            return Err(ViewError::Damaged { number, why });
        }
        for (entry, file) in outputs {
            files.insert(entry.destination, file);
        }
        Ok(files)
    }

    /// What templates made for a generation, and where it lies.
    ///
    /// # Errors
    /// As those of [`View::outputs`].
    pub fn output_files(&self, number: GenerationNumber) -> Result<Vec<(OutputEntry, PublishedFile)>, ViewError> {
        let blobs = Blobs::new(self.layout.root());
        let outputs = self.outputs(number)?.into_iter().flat_map(|outputs| outputs.outputs);
        Ok(outputs
            .map(|entry| {
                let (path, identity) = (blobs.path(&entry.blob), entry.blob.as_str().to_owned());
                let file = PublishedFile { kind: FileKind::Output(entry.mode), path, identity };
                (entry, file)
            })
            .collect())
    }
}

/// The part of a path in the folder of an application that is below the folder of a bundle.
fn place_in_bundle(path: &str) -> Option<&str> {
    path.strip_prefix("bundles/")?.split_once('/').map(|(_, place)| place)
}

fn is_for_credentials(path: &str) -> bool {
    place_in_bundle(path).is_some_and(|place| {
        matches!(place, "credentials.json" | "credentials.env") || place.split('/').next() == Some(bindings::FOLDER)
    })
}

/// Where the credentials lie that a file was rendered with, where it was for a binding.
fn file_of_binding(item: &ItemPlace) -> Option<String> {
    let (application, bundle, binding) = (item.application.as_ref()?, item.bundle.as_ref()?, item.binding.as_ref()?);
    let folder = bindings::FOLDER;
    Some(format!("applications/{}/bundles/{}/{folder}/{}.json", application.slug, bundle.slug, binding.slug))
}

fn explain(number: GenerationNumber, damage: Damage) -> ViewError {
    match damage {
        Damage::Unreadable(error) => ViewError::Disk(error),
        other => ViewError::Damaged { number, why: other.to_string() },
    }
}
