//! What is remembered of installations: `installed.json` and `refused.json` in the applier's own state directory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::directory::Spot;
use super::found::Shape;
use crate::config::{TemplateName, TemplateRule};
use crate::disk::{self, DiskError};
use crate::event::Message;
use crate::output::manifest::ObjectName;
use crate::snapshot::Sha256;
use crate::template::ItemPlace;

const INSTALLED: &str = "installed.json";
const REFUSED: &str = "refused.json";

/// The version of both files' shape.
const VERSION: u32 = 1;

/// What lies outside the generations because we put it there. Writing it is what makes a transaction final.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Installed {
    /// The transaction that became final last.
    pub transaction: Option<String>,
    /// The files, by their paths.
    pub files: BTreeMap<PathBuf, InstalledFile>,
    /// Directories that we made, each with the directory that its pattern begins with.
    pub directories: BTreeMap<PathBuf, PathBuf>,
    /// The files inside the generation that was last told of, by their destinations.
    pub inside: BTreeMap<String, InsideFile>,
}

/// A file that we installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InstalledFile {
    pub template: TemplateName,
    pub item: ItemPlace,
    pub fixed: PathBuf,
    pub shape: Shape,
}

impl InstalledFile {
    /// Where it is, as `path` says.
    pub(super) fn spot(&self, path: &Path) -> Spot {
        Spot { fixed: self.fixed.clone(), path: path.to_owned() }
    }
}

/// A file inside a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InsideFile {
    pub template: TemplateName,
    pub blob: ObjectName,
}

/// What was refused last, so that it is not tried again by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Refused {
    /// What it was made from; see [`inputs`].
    pub inputs: Sha256,
    /// When.
    pub at: Timestamp,
    /// What failed, in a sentence.
    pub message: String,
    /// The last lines of the command that failed.
    pub output: Vec<String>,
    /// Whether hooks were told.
    pub told: bool,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

impl Installed {
    /// Reads it. Where it is not readable as one, everything that lies in the way counts as somebody else's.
    ///
    /// # Errors
    /// When the file is there and the system does not give its content.
    pub(super) fn load(state: &Path) -> Result<Self, DiskError> {
        let loaded = load(&state.join(INSTALLED), |path, reason| {
            tracing::warn!(
                message_id = Message::RecordLost.id(),
                "{} is not a record of this version ({reason}); files that were installed before count as foreign now, \
                 and those of applications that go are not removed",
                path.display()
            );
        })?;
        Ok(loaded.unwrap_or_default())
    }

    /// Writes it, durably.
    pub(super) fn save(&self, state: &Path) -> Result<(), DiskError> {
        save(&state.join(INSTALLED), self)
    }
}

impl Refused {
    /// Reads it.
    pub(super) fn load(state: &Path) -> Result<Option<Self>, DiskError> {
        load(&state.join(REFUSED), |path, reason| {
            tracing::warn!("{} is not readable ({reason}); what was refused is tried again", path.display());
        })
    }

    /// Writes it, durably.
    pub(super) fn save(&self, state: &Path) -> Result<(), DiskError> {
        save(&state.join(REFUSED), self)
    }

    /// Removes it.
    pub(super) fn clear(state: &Path) -> Result<(), DiskError> {
        disk::remove(&state.join(REFUSED))
    }
}

/// What an installation is made from: the list of outputs, byte for byte, and the rules in force.
pub(super) fn inputs(outputs: &[u8], rules: &[TemplateRule]) -> Result<Sha256, serde_json::Error> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(outputs.len() as u64).to_be_bytes());
    context.update(outputs);
    context.update(&serde_json::to_vec(rules)?);
    Ok(Sha256::of(context))
}

/// Reads a file of ours; nothing where it is not there, or not one.
pub(super) fn load<T: DeserializeOwned>(
    path: &Path,
    damaged: impl FnOnce(&Path, String),
) -> Result<Option<T>, DiskError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DiskError::new("read", path, error)),
    };
    match serde_json::from_slice::<Versioned<serde_json::Value>>(&text) {
        Ok(Versioned { version: VERSION, content }) => match serde_json::from_value(content) {
            Ok(content) => return Ok(Some(content)),
            Err(error) => damaged(path, error.to_string()),
        },
        Ok(Versioned { version, .. }) => damaged(path, format!("it is of version {version}")),
        Err(error) => damaged(path, error.to_string()),
    }
    Ok(None)
}

/// Writes a file of ours, durably.
pub(super) fn save<T: Serialize>(path: &Path, content: &T) -> Result<(), DiskError> {
    let text = serde_json::to_vec(&Versioned { version: VERSION, content })
        .map_err(|error| DiskError::new("write", path, error.into()))?;
    disk::write(path, 0o600, &text)
}
