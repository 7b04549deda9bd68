//! `outputs.json`: which files templates made for a generation, where they go, and where their content lies.
//!
//! No content and no secret is in it. The applier reads it as untrusted input, so every part of it is a type that cannot
//! hold a harmful value; where a file goes it computes again by itself.

use serde::{Deserialize, Serialize};

use super::manifest::ObjectName;
use crate::config::{FileMode, TemplateName};
use crate::template::ItemPlace;

/// The version of the shape; a reader refuses one that it does not know.
pub const OUTPUTS_VERSION: u32 = 1;

/// What templates made for one generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outputs {
    /// [`OUTPUTS_VERSION`].
    pub version: u32,
    /// The files, in the order in which they were rendered.
    pub outputs: Vec<OutputEntry>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputEntry {
    /// The template that made it.
    pub template: TemplateName,
    /// What it was made for.
    pub item: ItemPlace,
    /// Where it goes: a path from the root on, or one inside the generation.
    pub destination: String,
    /// Where its content lies, below `blobs/`.
    pub blob: ObjectName,
    /// How many bytes it has.
    pub size: u64,
    /// Its mode.
    pub mode: FileMode,
}

impl OutputEntry {
    /// Whether it lies inside the generation, where the agent itself puts it.
    pub fn is_inside(&self) -> bool {
        !self.destination.starts_with('/')
    }
}
