//! What the tests of this module share: a host with a state directory and a folder of hooks.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::ApplierSettings;
use crate::config::TemplateLimits;
use crate::output::manifest::{GenerationNumber, MANIFEST_VERSION, Manifest};

/// A manifest of generation `number` with applications by their ids, each with a digit that stands for its content.
pub(super) fn manifest(number: u64, applications: &[(&str, char)]) -> Manifest {
    let entry = |(id, content): &(&str, char)| {
        let entry = serde_json::json!({
            "name": format!("The {id}"), "folder": id, "object": content.to_string().repeat(64), "bundles": 1,
        });
        ((*id).to_owned(), entry)
    };
    serde_json::from_value(serde_json::json!({
        "version": MANIFEST_VERSION,
        "generation": number,
        "published_at": "2026-11-22T12:00:00Z",
        "runtime": "r",
        "applications": serde_json::Map::from_iter(applications.iter().map(entry)),
    }))
    .unwrap()
}

/// A generation's number.
pub(super) fn number(number: u64) -> GenerationNumber {
    GenerationNumber(number.try_into().unwrap())
}

/// A host, in a folder of its own.
pub(super) struct Host {
    root: tempfile::TempDir,
    pub settings: ApplierSettings,
}

impl Host {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(root.path()).unwrap();
        let settings = ApplierSettings {
            hooks: path.join("hooks.d"),
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            output_limit: 64 * 1024,
            agent_state: path.join("state"),
            applier_state: path.join("apply"),
            rules: Vec::new(),
            limits: TemplateLimits::default(),
            systemctl: path.join("systemctl"),
        };
        let host = Self { root, settings };
        for folder in ["hooks.d", "state"] {
            fs::create_dir(host.path(folder)).unwrap();
            fs::set_permissions(host.path(folder), Permissions::from_mode(0o755)).unwrap();
        }
        host
    }

    /// A path below the host's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.root.path()).unwrap().join(name)
    }

    /// Installs a hook with the shell script `body`, in which `$ROOT` is the host's folder.
    pub(super) fn hook(&self, name: &str, body: &str) -> PathBuf {
        let path = self.settings.hooks.join(name);
        let root = self.path("");
        fs::write(&path, format!("#!/bin/sh\nROOT={}\n{body}\n", root.display())).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Publishes a generation, as the daemon does.
    pub(super) fn publish(&self, generation: u64, applications: &[(&str, char)]) {
        let manifest = serde_json::to_vec(&manifest(generation, applications)).unwrap();
        fs::write(self.generation(generation).join("manifest.json"), manifest).unwrap();
    }

    /// The folder of a generation, made if it is not there.
    pub(super) fn generation(&self, generation: u64) -> PathBuf {
        let folder = self.settings.agent_state.join("config").join(number(generation).folder());
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// What a hook wrote into a file of the host's folder; nothing where there is none.
    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}
