//! What each hook has been told, and what it last succeeded for: `applied.json` in the applier's own state directory.
//!
//! Every hook has a record of its own, because hooks fail on their own. From it follows, for `config-changed`:
//!
//! - A hook that has succeeded for a generation does not run for it again, however often the daemon asks; another one
//!   that failed beside it does. "The same generation" means the same manifest, not the same number: the numbers start
//!   over where the daemon's state was lost.
//! - A hook gets the difference from the generation that *it* last succeeded for, so what it missed accumulates, and
//!   what it has dealt with is not repeated. With one record for all, an application that came in a generation which
//!   only another hook failed for, and went in the next, would never be reported as gone to the first one.
//! - Whatever a hook was told and did not succeed for, it is told about again, even where the difference has become
//!   nothing meanwhile: it may have done half of it. An application that came and went while the hook failed is
//!   `removed`; one that changed and changed back is `changed`.
//! - A new hook gets everything as `added`. The record of a hook whose file is gone is dropped.
//!
//! What a hook is told is written down before it starts, and its success after it ended; a kill in between makes it
//! run again. So hooks run at least once, not exactly once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError};
use crate::event::Message;
use crate::ids::ApplicationId;
use crate::output::manifest::{Change, Changes, Entry, Manifest, Slug};

/// The file's name.
const FILE: &str = "applied.json";

/// The version of the file's shape.
const VERSION: u32 = 1;

/// How many applications a hook that goes on failing is remembered to have been told about.
const MOST_TOLD: usize = 100_000;

/// The records of all hooks.
#[derive(Debug)]
pub(super) struct Record {
    path: PathBuf,
    hooks: BTreeMap<String, Progress>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Progress {
    succeeded: Option<Arc<Manifest>>,
    told: BTreeMap<ApplicationId, Told>,
}

/// An application that a hook was told about, as it was called then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    name: String,
    folder: Slug,
}

/// The file. Hooks mostly stand at the same generation, so manifests are kept once and pointed at.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<M> {
    version: u32,
    manifests: Vec<M>,
    hooks: BTreeMap<String, StoredProgress>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredProgress {
    succeeded: Option<usize>,
    told: BTreeMap<ApplicationId, Told>,
}

impl Record {
    /// Reads the record in the folder `state`. Where it is not readable as one, hooks start from nothing, and the
    /// journal says so: a hook that is told everything once more is better than one that is never told again.
    ///
    /// # Errors
    /// When the file is there and the system does not give its content.
    pub(super) fn load(state: &Path) -> Result<Self, DiskError> {
        let path = state.join(FILE);
        let hooks = match fs::read(&path) {
            Ok(text) => parse(&text).unwrap_or_else(|reason| {
                tracing::warn!(
                    message_id = Message::RecordLost.id(),
                    "{} is not a record of this version ({reason}); every hook gets all applications as added, and is \
                     not told which ones went",
                    path.display()
                );
                BTreeMap::new()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(DiskError::new("read", &path, error)),
        };
        Ok(Self { path, hooks })
    }

    /// What the hook is to be told about `manifest`; nothing where it has succeeded for exactly that.
    pub(super) fn due(&self, hook: &str, manifest: &Manifest) -> Option<Changes> {
        let Some(progress) = self.hooks.get(hook) else {
            return Some(Changes::between(None, manifest));
        };
        let succeeded = progress.succeeded.as_deref();
        if succeeded == Some(manifest) && progress.told.is_empty() {
            return None;
        }
        let mut changes = Changes::between(succeeded, manifest);
        for (id, told) in &progress.told {
            again(&mut changes, manifest.applications.get(id), id, told);
        }
        changes.changed.sort_by(|a, b| a.id.cmp(&b.id));
        changes.removed.sort_by(|a, b| a.id.cmp(&b.id));
        Some(changes)
    }

    /// Writes down what the hook is about to be told.
    ///
    /// # Errors
    /// When that cannot be written; then the hook must not be told.
    pub(super) fn tell(&mut self, hook: &str, changes: &Changes) -> Result<(), DiskError> {
        let progress = self.hooks.entry(hook.to_owned()).or_default();
        let before = progress.told.clone();
        for change in changes.added.iter().chain(&changes.changed).chain(&changes.removed) {
            if progress.told.len() >= MOST_TOLD && !progress.told.contains_key(&change.id) {
                tracing::warn!(
                    message_id = Message::HookForgets.id(),
                    hook,
                    "the hook {hook} has failed for so long that not all of what it was told is remembered; once it \
                     succeeds, compare what it made with the whole configuration"
                );
                break;
            }
            progress.told.insert(change.id.clone(), Told { name: change.name.clone(), folder: change.folder.clone() });
        }
        if progress.told == before { Ok(()) } else { self.save() }
    }

    /// Writes down that the hook has succeeded for `manifest`.
    ///
    /// # Errors
    /// When that cannot be written; then the hook will run again.
    pub(super) fn succeeded(&mut self, hook: &str, manifest: &Arc<Manifest>) -> Result<(), DiskError> {
        let progress = Progress { succeeded: Some(Arc::clone(manifest)), told: BTreeMap::new() };
        self.hooks.insert(hook.to_owned(), progress);
        self.save()
    }

    /// Drops the records of hooks that have no file in `folder` any more.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(super) fn forget_absent(&mut self, folder: &Path) -> Result<(), DiskError> {
        let before = self.hooks.len();
        let gone = |name: &str| {
            fs::symlink_metadata(folder.join(name)).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        self.hooks.retain(|name, _| !gone(name));
        if self.hooks.len() == before { Ok(()) } else { self.save() }
    }

    fn save(&self) -> Result<(), DiskError> {
        let mut manifests: Vec<&Manifest> = Vec::new();
        let mut hooks = BTreeMap::new();
        for (name, progress) in &self.hooks {
            let succeeded = progress.succeeded.as_deref().map(|manifest| {
                let known = manifests.iter().position(|known| std::ptr::eq(*known, manifest) || *known == manifest);
                known.unwrap_or_else(|| {
                    manifests.push(manifest);
                    manifests.len() - 1
                })
            });
            hooks.insert(name.clone(), StoredProgress { succeeded, told: progress.told.clone() });
        }
        let text = serde_json::to_vec(&Stored { version: VERSION, manifests, hooks })
            .map_err(|error| DiskError::new("write", &self.path, error.into()))?;
        disk::write(&self.path, 0o600, &text)
    }
}

/// Adds to `changes` what the hook was told of one application and did not succeed for.
fn again(changes: &mut Changes, now: Option<&Entry>, id: &ApplicationId, told: &Told) {
    match now {
        Some(entry) => {
            let previous = || (entry.folder != told.folder).then(|| told.folder.clone());
            let mentioned = changes.added.iter_mut().chain(&mut changes.changed).find(|change| change.id == *id);
            match mentioned {
                Some(change) => change.previous_folder = change.previous_folder.take().or_else(previous),
                None => changes.changed.push(Change {
                    id: id.clone(),
                    name: entry.name.clone(),
                    folder: entry.folder.clone(),
                    previous_folder: previous(),
                }),
            }
        }
        None if changes.removed.iter().any(|change| change.id == *id) => {}
        None => changes.removed.push(Change {
            id: id.clone(),
            name: told.name.clone(),
            folder: told.folder.clone(),
            previous_folder: None,
        }),
    }
}

fn parse(text: &[u8]) -> Result<BTreeMap<String, Progress>, String> {
    let stored: Stored<Arc<Manifest>> = serde_json::from_slice::<Stored<Manifest>>(text)
        .map(|stored| Stored {
            version: stored.version,
            manifests: stored.manifests.into_iter().map(Arc::new).collect(),
            hooks: stored.hooks,
        })
        .map_err(|error| error.to_string())?;
    if stored.version != VERSION {
        return Err(format!("it is of version {}", stored.version));
    }
    let mut hooks = BTreeMap::new();
    for (name, progress) in stored.hooks {
        let succeeded = match progress.succeeded {
            None => None,
            Some(index) => Some(stored.manifests.get(index).map(Arc::clone).ok_or("it points at nothing")?),
        };
        hooks.insert(name, Progress { succeeded, told: progress.told });
    }
    Ok(hooks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::apply::fixture::manifest;

    fn words(changes: &Changes) -> String {
        let list =
            |mark, changes: &[Change]| changes.iter().map(|change| format!("{mark}{} ", change.id)).collect::<String>();
        (list('+', &changes.added) + &list('~', &changes.changed) + &list('-', &changes.removed)).trim_end().to_owned()
    }

    struct Host {
        folder: tempfile::TempDir,
        record: Record,
    }

    impl Host {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let record = Record::load(folder.path()).unwrap();
            Self { folder, record }
        }

        /// Has the hook told about the applications of generation `number`, and reads the record anew, as a later
        /// process does.
        fn told(&mut self, hook: &str, number: u64, applications: &[(&str, char)], success: bool) -> String {
            let manifest = Arc::new(manifest(number, applications));
            let Some(changes) = self.record.due(hook, &manifest) else {
                return "nothing".to_owned();
            };
            self.record.tell(hook, &changes).unwrap();
            if success {
                self.record.succeeded(hook, &manifest).unwrap();
            }
            let reread = Record::load(self.folder.path()).unwrap();
            assert_eq!(reread.hooks, self.record.hooks);
            self.record = reread;
            words(&changes)
        }
    }

    #[test]
    fn a_hook_that_succeeded_for_a_generation_is_not_told_of_it_again() {
        let mut host = Host::new();
        assert_eq!(host.told("a", 1, &[("x", '1')], true), "+x");
        assert_eq!(host.told("a", 1, &[("x", '1')], true), "nothing");
        assert_eq!(host.told("b", 1, &[("x", '1')], true), "+x", "a new hook gets everything");
        assert_eq!(host.told("a", 1, &[("y", '1')], true), "+y -x", "a number that was used before");
    }

    #[test]
    fn what_a_hook_missed_accumulates_for_that_hook_alone() {
        let mut host = Host::new();
        for hook in ["a", "b"] {
            assert_eq!(host.told(hook, 1, &[("x", '1')], true), "+x");
        }
        assert_eq!(host.told("a", 2, &[("x", '1'), ("y", '1')], true), "+y");
        assert_eq!(host.told("b", 2, &[("x", '1'), ("y", '1')], false), "+y");
        assert_eq!(host.told("a", 3, &[("y", '1'), ("z", '1')], true), "+z -x");
        assert_eq!(host.told("b", 3, &[("y", '1'), ("z", '1')], false), "+y +z -x");
        assert_eq!(host.told("b", 4, &[("y", '1'), ("z", '1')], true), "+y +z -x");
        assert_eq!(host.told("b", 5, &[("y", '1'), ("z", '1')], true), "");
    }

    #[test]
    fn what_came_and_went_while_a_hook_failed_is_not_kept_from_it() {
        let mut host = Host::new();
        assert_eq!(host.told("a", 1, &[("x", '1')], true), "+x");
        assert_eq!(host.told("a", 2, &[("x", '2'), ("y", '1')], false), "+y ~x");
        assert_eq!(host.told("a", 3, &[("x", '1')], false), "~x -y");
        assert_eq!(host.told("a", 4, &[("x", '1')], true), "~x -y");
        assert_eq!(host.told("a", 4, &[("x", '1')], true), "nothing");
    }

    #[test]
    fn a_record_that_cannot_be_understood_starts_over_and_is_replaced() {
        for text in [
            "",
            "garbage",
            r#"{"version":2,"manifests":[],"hooks":{}}"#,
            "[]",
            r#"{"version":1,"manifests":[],"hooks":{"a":{"succeeded":3,"told":{}}}}"#,
        ] {
            let mut host = Host::new();
            fs::write(host.folder.path().join(FILE), text).unwrap();
            host.record = Record::load(host.folder.path()).unwrap();
            assert_eq!(host.told("a", 7, &[("x", '1')], true), "+x");
        }
    }

    #[test]
    fn the_record_of_a_hook_that_is_gone_goes() {
        let mut host = Host::new();
        let hooks = tempfile::tempdir().unwrap();
        fs::write(hooks.path().join("a"), "").unwrap();
        for hook in ["a", "b"] {
            host.told(hook, 1, &[("x", '1')], true);
        }
        host.record.forget_absent(hooks.path()).unwrap();
        assert_eq!(host.told("a", 1, &[("x", '1')], true), "nothing");
        assert_eq!(host.told("b", 1, &[("x", '1')], true), "+x");
    }
    /// What a hook made of what it was told: applications with their content.
    type Made = BTreeMap<String, char>;

    /// Acts on a part of the changes, as a hook does that may die at any line; `mask` says on which.
    fn act(made: &mut Made, changes: &Changes, now: &Made, mask: u32) {
        let set = changes.added.iter().chain(&changes.changed).map(|change| (change, true));
        let all = set.chain(changes.removed.iter().map(|change| (change, false)));
        for (index, (change, present)) in all.enumerate() {
            let id = change.id.to_string();
            if mask & (1 << index) == 0 {
                continue;
            }
            if present {
                made.insert(id.clone(), now[&id]);
            } else {
                made.remove(&id);
            }
        }
    }

    fn generations() -> impl Strategy<Value = Vec<(Made, bool, u32)>> {
        let applications = proptest::collection::btree_map("[a-d]", proptest::char::range('1', '2'), 0..5);
        proptest::collection::vec((applications, any::<bool>(), any::<u32>()), 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whichever generations a hook failed for, and however much of each it did: once it succeeds, what it made
        /// is what is current.
        #[test]
        fn a_hook_that_does_what_it_is_told_ends_up_with_what_is_current(generations in generations()) {
            let folder = tempfile::tempdir().unwrap();
            let mut record = Record::load(folder.path()).unwrap();
            let mut made = Made::new();
            for (number, (now, success, mask)) in (1..).zip(generations) {
                let applications: Vec<_> = now.iter().map(|(id, content)| (id.as_str(), *content)).collect();
                let manifest = Arc::new(manifest(number, &applications));
                let changes = record.due("a", &manifest).unwrap();
                record.tell("a", &changes).unwrap();
                act(&mut made, &changes, &now, if success { u32::MAX } else { mask });
                if success {
                    record.succeeded("a", &manifest).unwrap();
                    prop_assert_eq!(&made, &now);
                    prop_assert_eq!(record.due("a", &manifest), None);
                }
            }
        }
    }
}
