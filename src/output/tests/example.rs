//! Snapshots and folders to try the output with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;

use crate::output::{DigestKey, Published, Store};
use crate::snapshot::{Application, Bundle, Credential, Snapshot, example};

/// A state directory with a store on it.
pub(super) struct Host {
    state: TempDir,
    keep: NonZeroUsize,
    store: Option<Store>,
}

impl Host {
    pub(super) fn new() -> Self {
        Self::keeping(5)
    }

    pub(super) fn keeping(keep: usize) -> Self {
        let keep = NonZeroUsize::new(keep).unwrap();
        Self { state: tempfile::tempdir().unwrap(), keep, store: None }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.state.path().join("config")
    }

    pub(super) fn key(&self) -> DigestKey {
        DigestKey::load_or_create(&self.state.path().join("digest.key")).unwrap()
    }

    /// As after a restart.
    pub(super) fn reopen(&mut self) {
        self.store = None;
        self.store();
    }

    pub(super) fn store(&mut self) -> &mut Store {
        if self.store.is_none() {
            self.store = Some(Store::open(&self.root(), self.key(), self.keep).unwrap());
        }
        self.store.as_mut().unwrap()
    }

    pub(super) fn publish(&mut self, snapshot: &std::sync::Arc<Snapshot>) -> Published {
        self.store().publish(snapshot, Timestamp::UNIX_EPOCH).unwrap()
    }

    pub(super) fn generations(&self) -> Vec<String> {
        let names = fs::read_dir(self.root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.bytes().all(|b| b.is_ascii_digit())).collect();
        names.sort();
        names
    }
}

/// Everything below a folder: mode with the kind, group, and content or the link's target.
pub(super) fn files(root: &Path) -> BTreeMap<String, (u32, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if metadata.is_symlink() {
                fs::read_link(&path).unwrap().to_str().unwrap().into()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            found.insert(name, (metadata.mode(), metadata.gid(), content));
        }
    }
    found
}

/// Compares what [`files`] found, and names the paths that differ instead of printing everything.
#[track_caller]
pub(super) fn assert_same<T: PartialEq>(left: &BTreeMap<String, T>, right: &BTreeMap<String, T>, what: &str) {
    let paths: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differing: Vec<_> = paths.into_iter().filter(|path| left.get(*path) != right.get(*path)).collect();
    assert!(differing.is_empty(), "{what}: {differing:?}");
}

pub(super) fn snapshot(applications: impl IntoIterator<Item = Application>) -> std::sync::Arc<Snapshot> {
    Snapshot::new("runtime-1".parse().unwrap(), applications.into_iter().collect()).unwrap().into()
}

pub(super) fn application(id: &str, name: &str, bundles: impl IntoIterator<Item = Bundle>) -> Application {
    Application {
        description: Some("what it is for".into()),
        base_url: Some("https://example.com".into()),
        labels: BTreeMap::from([("region".into(), serde_json::json!({"b": 1, "a": [true, null]}))]),
        bundles: bundles.into_iter().collect(),
        ..example::application(id, name)
    }
}

pub(super) fn bundle(id: &str, name: &str, password: &str) -> Bundle {
    Bundle {
        apis: vec![example::api("api-1", "Orders v1", "https://example.com/orders")],
        default_auth: Some(example::auth(Credential::Basic { username: "user".into(), password: password.into() })),
        ..example::bundle(id, name)
    }
}
