//! What a file is rendered for, by ids and slugs: enough to compute its destination again, and no secret.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ApplicationId, BundleId, DefinitionId, ServiceBindingId};
use crate::output::manifest::Slug;

/// A thing by its id, and the name that was made for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named<Id> {
    /// Stable identity.
    pub id: Id,
    /// The name of its folder, or its key.
    pub slug: Slug,
}

/// What a file is rendered for; nothing at all, where a template is rendered once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ItemPlace {
    /// The application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<Named<ApplicationId>>,
    /// The bundle of it, or the one whose credentials it is rendered for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Named<BundleId>>,
    /// The API of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<Named<DefinitionId>>,
    /// The event of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Named<DefinitionId>>,
    /// The binding whose credentials it is rendered for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Named<ServiceBindingId>>,
}

impl fmt::Display for ItemPlace {
    /// As in `application shop, bundle orders`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("application", self.application.as_ref().map(|named| &named.slug)),
            ("bundle", self.bundle.as_ref().map(|named| &named.slug)),
            ("API", self.api.as_ref().map(|named| &named.slug)),
            ("event", self.event.as_ref().map(|named| &named.slug)),
            ("binding", self.binding.as_ref().map(|named| &named.slug)),
        ];
        let mut before = "";
        for (word, slug) in parts.into_iter().filter_map(|(word, slug)| Some((word, slug?))) {
            write!(f, "{before}{word} {slug}")?;
            before = ", ";
        }
        if before.is_empty() { f.write_str("this runtime") } else { Ok(()) }
    }
}
