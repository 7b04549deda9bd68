//! What readers see now: read, and held against its own table of contents.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bindings::{self, GivenBinding};
use super::blobs::Blobs;
use super::digest::DigestKey;
use super::folder::name_on_disk;
use super::given::{GivenBundles, GivenKeys, given_keys};
use super::layout::{Layout, application, applications, link_to, names};
use super::manifest::{Entry, GenerationNumber, MANIFEST_VERSION, Manifest, ObjectName, Slug};
use super::outputs::{OUTPUTS_VERSION, Outputs};
use super::render::{ApplicationNames, Given, Names};
use super::rendering;
use crate::disk::DiskError;
use crate::ids::{ApplicationId, InstanceAuthId};
use crate::snapshot::Sha256;

/// What `current` leads to.
#[derive(Debug)]
pub(super) enum Current {
    /// Nothing was ever published.
    Nothing,
    /// A generation, every file of an application being as it was written. What was given inside applications is read
    /// where it is needed, with [`names_inside`].
    Whole(Manifest),
    /// Something that cannot be built upon.
    Damaged {
        /// Its number, where that much is known.
        number: Option<GenerationNumber>,
        /// The names that it still tells.
        names: Names,
        /// What is wrong with it.
        damage: Damage,
    },
}

/// What is wrong with the current generation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    #[error("`current` is not a link to a generation")]
    NoLink,
    #[error(transparent)]
    Unreadable(#[from] DiskError),
    #[error("its manifest has the version {0}, and this program knows {MANIFEST_VERSION}")]
    Version(u32),
    #[error("its manifest cannot be understood: {0}")]
    Manifest(serde_json::Error),
    #[error("its manifest is that of generation {0}")]
    OtherGeneration(GenerationNumber),
    #[error("its applications folder does not hold what its manifest lists")]
    Contents,
    #[error("the files that templates made for it are not those that were written, or the key that names them is new")]
    Outputs,
    #[error("the files of the application in {0} are not those that were written, or the key that names them is new")]
    Object(String),
}

impl Current {
    /// Reads it. Every problem is a kind of damage, for whatever is wrong, the remedy is a new generation.
    pub(super) fn read(layout: &Layout, key: &DigestKey) -> Self {
        let damaged = |number, names, damage| Self::Damaged { number, names, damage };
        let link = layout.current();
        let number = match fs::read_link(&link) {
            Ok(target) => target.to_str().and_then(GenerationNumber::from_folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Nothing,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => None,
            Err(error) => {
                return damaged(None, Names::default(), DiskError::new("read the link", &link, error).into());
            }
        };
        let Some(number) = number else { return damaged(None, Names::default(), Damage::NoLink) };
        Self::of(layout, key, number)
    }

    /// Reads one generation, current or not.
    pub(super) fn of(layout: &Layout, key: &DigestKey, number: GenerationNumber) -> Self {
        let damaged = |number, names, damage| Self::Damaged { number, names, damage };
        let folder = layout.generation(number);
        let manifest = match manifest(&folder, number) {
            Ok(manifest) => manifest,
            Err(damage) => return damaged(Some(number), Names::default(), damage),
        };
        let mut names = Names { applications: manifest.folders(), ..Names::default() };
        let mut damage = contents(&folder, &manifest).and_then(|()| rendered(layout, key, &folder, &manifest)).err();
        for entry in manifest.applications.values() {
            if let Err(found) = verify(layout, key, &folder, entry) {
                damage = damage.or(Some(found));
            }
        }
        match damage {
            None => Self::Whole(manifest),
            Some(damage) => {
                names.inside = all_inside(layout, &manifest);
                damaged(Some(number), names, damage)
            }
        }
    }
}

/// The manifest of the generation in `folder`.
pub(super) fn manifest(folder: &Path, number: GenerationNumber) -> Result<Manifest, Damage> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let path = folder.join("manifest.json");
    let bytes = read(&path)?;
    // The version comes first: the rest of an unknown one need not make sense.
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(Damage::Manifest)?;
    if version != MANIFEST_VERSION {
        return Err(Damage::Version(version));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(Damage::Manifest)?;
    if manifest.generation != number {
        return Err(Damage::OtherGeneration(manifest.generation));
    }
    Ok(manifest)
}

/// The texts that the generation in `folder` links to; none where that cannot be told.
pub(super) fn texts_of_generation(folder: &Path) -> Option<BTreeSet<Sha256>> {
    /// Only what is looked for: a manifest can be long.
    #[derive(Deserialize)]
    struct Linked {
        #[serde(default)]
        texts: BTreeSet<Sha256>,
    }
    let Linked { texts } = parse(&folder.join("manifest.json")).ok()??;
    Some(texts)
}

/// What templates made for the generation in `folder`; nothing where there were none.
pub(super) fn outputs_of_generation(folder: &Path) -> Result<Option<Outputs>, Damage> {
    let path = folder.join("outputs.json");
    if !path.exists() {
        return Ok(None);
    }
    let outputs: Outputs = serde_json::from_slice(&read(&path)?).map_err(|_| Damage::Outputs)?;
    if outputs.version == OUTPUTS_VERSION { Ok(Some(outputs)) } else { Err(Damage::Outputs) }
}

/// Whether what templates made for the generation is there, and whole.
fn rendered(layout: &Layout, key: &DigestKey, folder: &Path, manifest: &Manifest) -> Result<(), Damage> {
    let outputs = outputs_of_generation(folder)?;
    match (&manifest.rendered, outputs) {
        (None, None) => Ok(()),
        (Some(_), Some(outputs)) if rendering::is_sound(&outputs, folder, &Blobs::new(layout.root()), key)? => Ok(()),
        (None | Some(_), None | Some(_)) => Err(Damage::Outputs),
    }
}

/// Whether the generation's folder holds what its manifest lists, and nothing else.
fn contents(folder: &Path, manifest: &Manifest) -> Result<(), Damage> {
    let listed: BTreeSet<&str> = manifest.applications.values().map(|entry| entry.folder.as_str()).collect();
    let found = names(&applications(folder))?;
    let same = listed.len() == manifest.applications.len() && found.iter().map(String::as_str).eq(listed);
    if same && folder.join("applications.json").is_file() { Ok(()) } else { Err(Damage::Contents) }
}

/// Verifies the files of one application.
fn verify(layout: &Layout, key: &DigestKey, folder: &Path, entry: &Entry) -> Result<(), Damage> {
    let link = application(folder, &entry.folder);
    let target = fs::read_link(&link).map_err(|error| DiskError::new("read the link", &link, error))?;
    if target != link_to(&entry.object) {
        return Err(Damage::Contents);
    }
    let object = layout.object(&entry.object);
    let same = name_on_disk(&object, key)?.as_ref() == Some(&entry.object);
    if same { Ok(()) } else { Err(Damage::Object(entry.folder.to_string())) }
}

/// The names that were given inside the applications of a generation, as far as they can be told.
pub(super) fn all_inside(layout: &Layout, manifest: &Manifest) -> BTreeMap<ApplicationId, ApplicationNames> {
    let given = manifest.applications.iter();
    given.filter_map(|(id, entry)| Some((id.clone(), names_inside(layout, &entry.object)?))).collect()
}

/// The names that were given inside an application, from its files; nothing where they do not tell.
pub(super) fn names_inside(layout: &Layout, object: &ObjectName) -> Option<ApplicationNames> {
    let object = layout.object(object);
    let mut given = ApplicationNames::default();
    let GivenBundles { bundles } = parse(&object.join("application.json")).ok()??;
    for bundle in bundles {
        let folder = object.join("bundles").join(bundle.folder.as_str());
        let GivenKeys { apis, events, documents } = parse(&folder.join("bundle.json")).ok()??;
        let bindings = given_to_bindings(&folder.join(bindings::FOLDER)).ok()??;
        given.bindings.insert(bundle.id.clone(), bindings);
        given.apis.insert(bundle.id.clone(), given_keys(apis));
        given.events.insert(bundle.id.clone(), given_keys(events));
        given.documents.insert(bundle.id.clone(), given_keys(documents));
        given.bundles.insert(bundle.id, (bundle.name, bundle.folder));
    }
    Some(given)
}

/// The names that bindings were given, from their files in `folder`, where there are any. Nothing where one of them is no
/// such file.
fn given_to_bindings(folder: &Path) -> Result<Option<Given<InstanceAuthId>>, DiskError> {
    let mut given = Given::new();
    if !folder.is_dir() {
        return Ok(Some(given));
    }
    for name in names(folder)? {
        let slug = name.strip_suffix(".json").and_then(|stem| Slug::try_from(stem.to_owned()).ok());
        let (Some(slug), Some(GivenBinding { binding })) = (slug, parse(&folder.join(&name))?) else {
            return Ok(None);
        };
        given.insert(binding.auth_id, (binding.id.to_string(), slug));
    }
    Ok(Some(given))
}

fn parse<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DiskError> {
    Ok(serde_json::from_slice(&read(path)?).ok())
}

fn read(path: &Path) -> Result<Vec<u8>, DiskError> {
    fs::read(path).map_err(|error| DiskError::new("read", path, error))
}
