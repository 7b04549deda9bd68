//! The names that were given, read again from the public files: they stay where what they were given for has its name.

use serde::Deserialize;

use super::manifest::Slug;
use super::render::Given;
use crate::ids::{BundleId, DefinitionId};

/// The part of `application.json` that says which names were given.
#[derive(Deserialize)]
pub(super) struct GivenBundles {
    pub(super) bundles: Vec<GivenBundle>,
}

/// A bundle and the folder that it was given.
#[derive(Deserialize)]
pub(super) struct GivenBundle {
    pub(super) id: BundleId,
    pub(super) name: String,
    pub(super) folder: Slug,
}

/// The part of `bundle.json` that says which names were given.
#[derive(Deserialize)]
pub(super) struct GivenKeys {
    pub(super) apis: Vec<GivenKey>,
    pub(super) events: Vec<GivenKey>,
    #[serde(default)]
    pub(super) documents: Vec<GivenKey>,
}

/// An API, an event or a document, and the key that it was given.
#[derive(Deserialize)]
pub(super) struct GivenKey {
    id: DefinitionId,
    #[serde(alias = "title")]
    name: String,
    /// Events had none at first.
    key: Option<Slug>,
}

/// The keys, by what they were given to.
pub(super) fn given_keys(list: Vec<GivenKey>) -> Given<DefinitionId> {
    list.into_iter().filter_map(|given| Some((given.id, (given.name, given.key?)))).collect()
}
