//! What a hook is told: its argument, its environment, and the document on its standard input.
//!
//! None of them holds a secret. The environment is exactly:
//!
//! | variable | value |
//! |---|---|
//! | `PATH` | [`PATH`] |
//! | `LANG` | `C.UTF-8` |
//! | `RUNTIME_AGENT_EVENT` | the event, as in the argument |
//! | `RUNTIME_AGENT_STATE` | the daemon's state directory (`identity/current/` lies in it) |
//! | `RUNTIME_AGENT_CONFIG` | `config/current` in it: the link to the generation that is current |
//! | `RUNTIME_AGENT_GENERATION` | the generation's number; only for `config-changed` |
//!
//! The document has the keys `version`, `event`, `generation`, `config_dir`, `generation_dir`, and the lists `added`,
//! `changed` and `removed` of `{id, name, folder}`, with `previous_folder` where that was another. Without a
//! generation, `generation` and `generation_dir` are null and the lists are empty. Names are what people at the plane
//! wrote, and everything below the state directory is the daemon's: a hook takes both as data.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::generation;
use super::redaction::Redaction;
use super::request::{PROTOCOL_VERSION, Request};
use crate::output::manifest::{Changes, GenerationNumber};

/// Where hooks find programs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A request, in the words of the hooks.
#[derive(Debug)]
pub(super) struct Task {
    request: Request,
    state: PathBuf,
    config: PathBuf,
    redaction: Redaction,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    event: &'static str,
    generation: Option<GenerationNumber>,
    config_dir: Cow<'a, str>,
    generation_dir: Option<String>,
    #[serde(flatten)]
    changes: &'a Changes,
}

impl Task {
    pub(super) fn new(request: Request, agent_state: &Path) -> Self {
        Self {
            request,
            state: agent_state.to_owned(),
            config: agent_state.join("config").join("current"),
            redaction: Redaction::new(agent_state),
        }
    }

    /// What hides credentials in what those who are told write.
    pub(super) fn redaction(&self) -> &Redaction {
        &self.redaction
    }

    /// The single argument.
    pub(super) fn argument(&self) -> &'static str {
        self.request.event().as_str()
    }

    /// The generation that it is about.
    pub(super) fn generation(&self) -> Option<GenerationNumber> {
        self.request.generation()
    }

    /// The whole path of a file inside the generation.
    pub(super) fn inside(&self, path: &str) -> String {
        let folder = self.request.generation().map(|number| generation::folder(&self.state, number));
        folder.unwrap_or_else(|| self.config.clone()).join(path).to_string_lossy().into_owned()
    }

    /// The whole environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut environment = vec![
            ("PATH", PATH.into()),
            ("LANG", "C.UTF-8".into()),
            ("RUNTIME_AGENT_EVENT", self.argument().into()),
            ("RUNTIME_AGENT_STATE", self.state.clone().into()),
            ("RUNTIME_AGENT_CONFIG", self.config.clone().into()),
        ];
        if let Some(generation) = self.request.generation() {
            environment.push(("RUNTIME_AGENT_GENERATION", generation.to_string().into()));
        }
        environment
    }

    /// The document, on one line.
    pub(super) fn document(&self, changes: &Changes) -> Result<Vec<u8>, serde_json::Error> {
        let folder = |number| generation::folder(&self.state, number).to_string_lossy().into_owned();
        let mut text = serde_json::to_vec(&Document {
            version: PROTOCOL_VERSION,
            event: self.argument(),
            generation: self.request.generation(),
            config_dir: self.config.to_string_lossy(),
            generation_dir: self.request.generation().map(folder),
            changes,
        })?;
        text.push(b'\n');
        Ok(text)
    }
}
