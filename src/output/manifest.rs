//! The table of contents of a generation: which application lies in which folder, with which content.
//!
//! It holds no secret and is readable by everybody. The applier reads it as untrusted input, so every part of it is
//! a type that cannot hold a harmful value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU64;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ApplicationId, RuntimeId};
use crate::snapshot::Sha256;

/// The version of the manifest's shape; a reader refuses one that it does not know.
pub const MANIFEST_VERSION: u32 = 1;

/// The number of a generation, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationNumber(pub NonZeroU64);

impl GenerationNumber {
    /// The first one.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The name of the generation's folder: at least four digits, so that names sort as numbers do.
    pub fn folder(self) -> String {
        format!("{:04}", self.0)
    }

    /// The number whose folder has this name.
    pub fn from_folder(name: &str) -> Option<Self> {
        let number = Self(name.parse().ok()?);
        (number.folder() == name).then_some(number)
    }
}

impl fmt::Display for GenerationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a folder made from a foreign name: 1 to 100 bytes of `[a-z0-9-]`, not beginning or ending with `-`.
/// So it is never `.`, `..`, hidden, an option, or a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(Box<str>);

/// A text that is not a [`Slug`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a folder name that this agent makes")]
pub struct InvalidSlug(String);

impl Slug {
    /// The longest slug, in bytes; leaves room for suffixes below the 255 of a file system.
    pub const MAX_BYTES: usize = 100;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Slug {
    type Error = InvalidSlug;

    fn try_from(text: String) -> Result<Self, InvalidSlug> {
        let plain = text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if plain && (1..=Self::MAX_BYTES).contains(&text.len()) && !text.starts_with('-') && !text.ends_with('-') {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSlug(text.chars().take(Self::MAX_BYTES).collect()))
        }
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> String {
        slug.0.into()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a content-addressed folder: 64 hexadecimal digits, made with a key that only the agent knows, so that
/// nobody can guess a password by hashing candidates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectName(Box<str>);

/// A text that is not an [`ObjectName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name of a content-addressed folder has 64 hexadecimal digits")]
pub struct InvalidObjectName;

impl ObjectName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ObjectName {
    type Error = InvalidObjectName;

    fn try_from(text: String) -> Result<Self, InvalidObjectName> {
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidObjectName)
        }
    }
}

impl From<ObjectName> for String {
    fn from(name: ObjectName) -> String {
        name.0.into()
    }
}

/// The table of contents of one generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// The generation's number.
    pub generation: GenerationNumber,
    /// When it was published.
    pub published_at: Timestamp,
    /// The runtime that it is for.
    pub runtime: RuntimeId,
    /// What is in it, by the applications' ids.
    pub applications: BTreeMap<ApplicationId, Entry>,
    /// The texts of specifications and documents that are linked to in it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub texts: BTreeSet<Sha256>,
    /// What templates made of it, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendered: Option<RenderedSet>,
}

impl Manifest {
    /// The applications' folders, with the names that they were made from.
    pub(crate) fn folders(&self) -> BTreeMap<ApplicationId, (String, Slug)> {
        let applications = self.applications.iter();
        applications.map(|(id, entry)| (id.clone(), (entry.name.clone(), entry.folder.clone()))).collect()
    }
}

/// What templates made of a generation; the files are listed in `outputs.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedSet {
    /// What tells the templates, and whatever else they saw, from others.
    pub templates: ObjectName,
    /// How many files they made.
    pub files: u32,
}

/// An application in a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The application's name for people, as the plane wrote it.
    pub name: String,
    /// Its folder below `applications/`.
    pub folder: Slug,
    /// The content of that folder.
    pub object: ObjectName,
    /// How many bundles it has.
    pub bundles: u32,
}

/// What differs between two generations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Applications that came.
    pub added: Vec<Change>,
    /// Applications whose content, name or folder changed.
    pub changed: Vec<Change>,
    /// Applications that went.
    pub removed: Vec<Change>,
}

/// One application in [`Changes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The application's id.
    pub id: ApplicationId,
    /// Its name: the new one, or the last one where it went.
    pub name: String,
    /// Its folder below `applications/`: the new one, or the last one where it went.
    pub folder: Slug,
    /// Its folder before, where that was another.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub previous_folder: Option<Slug>,
}

impl Changes {
    /// What leads from `old` (nothing, where there is none) to `new`.
    pub fn between(old: Option<&Manifest>, new: &Manifest) -> Self {
        let empty = BTreeMap::new();
        let old = old.map_or(&empty, |manifest| &manifest.applications);
        let change = |id: &ApplicationId, entry: &Entry, previous_folder| Change {
            id: id.clone(),
            name: entry.name.clone(),
            folder: entry.folder.clone(),
            previous_folder,
        };
        let mut changes = Self::default();
        for (id, entry) in &new.applications {
            match old.get(id) {
                None => changes.added.push(change(id, entry, None)),
                Some(before) if before != entry => {
                    let previous = (before.folder != entry.folder).then(|| before.folder.clone());
                    changes.changed.push(change(id, entry, previous));
                }
                Some(_) => {}
            }
        }
        for (id, entry) in old {
            if !new.applications.contains_key(id) {
                changes.removed.push(change(id, entry, None));
            }
        }
        changes
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generation_has_one_folder_name() {
        for (name, number) in [("0001", 1), ("0123", 123), ("12345", 12345)] {
            let found = GenerationNumber::from_folder(name).unwrap();
            assert_eq!((found.0.get(), found.folder().as_str()), (number, name));
        }
        for bad in ["", "0000", "1", "00001", "+001", "-001", "0x01", "99999999999999999999", "current"] {
            assert_eq!(GenerationNumber::from_folder(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_slug_is_never_a_path_an_option_or_hidden() {
        for bad in ["", ".", "..", "a/b", "-a", "a-", ".a", "A", "a b", "ä", "a\0", &"x".repeat(101)] {
            assert!(Slug::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        assert!(Slug::try_from("billing-2".to_owned()).is_ok());
    }
}
