//! Power lost at every instant of a life: what would be left is looked at, and nothing is started.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::disk::{Disk, Entry, Loss, Operation, Tree};
use super::power::left;
use super::replay::Call;
use crate::host::Host;

/// What is lost, of what is looked at.
const LOSSES: [Loss; 5] = [Loss::All, Loss::Content, Loss::Some(1), Loss::Some(2), Loss::Some(3)];

/// All that is behind a name: files and where they are from there.
type View = Option<BTreeMap<PathBuf, Vec<u8>>>;

/// What was whole at some time, and what was found not to be.
pub struct Watch<'a> {
    host: &'a Host,
    /// What was behind each of these links.
    views: BTreeMap<PathBuf, BTreeSet<View>>,
    /// What was in each file once it had its name.
    contents: BTreeMap<PathBuf, BTreeSet<Vec<u8>>>,
    /// What cannot be lost any more.
    durable: BTreeSet<PathBuf>,
    /// Whether it is the plane that makes it necessary.
    pub may_need_a_person: bool,
    pub wrong: BTreeSet<String>,
    pub instants: usize,
}

impl<'a> Watch<'a> {
    /// Of a host whose disk is like this at the beginning.
    pub fn of(host: &'a Host, disk: &Disk) -> Self {
        let links = ["state/identity/current", "state/config/current"].map(|link| root(host).join(link));
        let mut watch = Self {
            host,
            views: links.into_iter().map(|link| (link, BTreeSet::new())).collect(),
            contents: BTreeMap::new(),
            durable: BTreeSet::new(),
            may_need_a_person: false,
            wrong: BTreeSet::new(),
            instants: 0,
        };
        let tree = left(host, disk, Loss::Nothing);
        watch.sees(&tree);
        for (path, entry) in tree {
            if let Entry::File { content, .. } = entry {
                watch.contents.entry(path).or_default().insert(content);
            }
        }
        watch
    }

    fn sees(&mut self, tree: &Tree) {
        for (link, views) in &mut self.views {
            views.insert(view(tree, link));
        }
    }

    /// Looks at the instant after a call.
    pub fn after(&mut self, call: &Call, disk: &Disk) {
        match call.operation.as_ref() {
            None | Some(Operation::Write { .. } | Operation::Resize { .. }) => return,
            Some(Operation::Rename { to, .. } | Operation::Link { to, .. }) => {
                let tree = left(self.host, disk, Loss::Nothing);
                if let Some(Entry::File { content, .. }) = tree.get(to) {
                    self.contents.entry(to.clone()).or_default().insert(content.clone());
                }
                self.sees(&tree);
            }
            Some(Operation::Exchange { .. } | Operation::Remove { .. } | Operation::Symlink { .. }) => {
                self.sees(&left(self.host, disk, Loss::Nothing));
            }
            Some(_) => {}
        }
        self.instants += 1;
        for loss in LOSSES {
            let at =
                |what: String| format!("after {} {} of thread {}, {loss}: {what}", call.name, call.when, call.thread);
            let tree = left(self.host, disk, loss);
            self.wrong.extend(self.judge(&tree).into_iter().map(at));
            if loss == Loss::All {
                self.durable.extend(self.views.keys().filter(|link| view(&tree, link).is_some()).cloned());
            }
        }
    }

    fn judge(&self, tree: &Tree) -> Vec<String> {
        let mut wrong = Vec::new();
        for (link, views) in &self.views {
            let left = view(tree, link);
            if left.is_none() && self.durable.contains(link) {
                wrong.push(format!("{} is gone, and was durable", link.display()));
            } else if !views.contains(&left) {
                let newest = views.iter().flatten().next_back();
                let differs =
                    |path: &&PathBuf| newest.and_then(|newest| newest.get(*path)) != left.as_ref().unwrap().get(*path);
                let first = left.iter().flat_map(BTreeMap::keys).find(differs);
                wrong.push(format!("behind {} is what never was there: {first:?}", link.display()));
            }
        }
        for (path, entry) in tree {
            let Entry::File { content, .. } = entry else { continue };
            if self.is_by_itself(path) && !self.contents.get(path).is_some_and(|known| known.contains(content)) {
                wrong.push(format!("{} has {} bytes that never were all of it", path.display(), content.len()));
            }
        }
        if !self.may_need_a_person && !self.can_go_on(tree) {
            wrong.push("neither a token, nor a pairing, nor an identity is left".to_owned());
        }
        wrong
    }

    /// Whether a file is read by its own name, and not behind one of the links; and not one in which its writer finds
    /// its way whatever is in it.
    fn is_by_itself(&self, path: &Path) -> bool {
        let root = root(self.host);
        let inside = ["state/identity", "state/config"].iter().any(|folder| path.starts_with(root.join(folder)));
        let name = path.file_name().unwrap().to_string_lossy();
        let unfinished = name.starts_with(".tmp-") || name.contains(".runtime-agent-");
        !inside && !unfinished && !["lock", "broker.redb"].contains(&&*name)
    }

    /// Whether a person is not needed.
    fn can_go_on(&self, tree: &Tree) -> bool {
        let root = root(self.host);
        let is_there =
            |name: &str| matches!(tree.get(&root.join(name)), Some(Entry::File { content, .. }) if !content.is_empty());
        let is_identity = |path: &PathBuf| path.starts_with(root.join("state/identity")) && path.ends_with("key.pem");
        is_there("pairing/token") || is_there("state/pairing.json") || tree.keys().any(is_identity)
    }
}

fn root(host: &Host) -> PathBuf {
    std::fs::canonicalize(host.path("")).unwrap()
}

/// What is behind a link.
fn view(tree: &Tree, link: &Path) -> View {
    tree.get(link)?;
    let mut view = BTreeMap::new();
    let mut folders = vec![(PathBuf::new(), followed(tree, link.to_owned()))];
    while let Some((name, place)) = folders.pop() {
        match place.as_ref().and_then(|place| Some((place, tree.get(place)?))) {
            Some((place, Entry::Folder { .. })) => {
                let inside = tree.range(place.clone()..).skip(1).take_while(|(path, _)| path.starts_with(place));
                let children = inside.filter(|(path, _)| path.parent() == Some(place));
                folders.extend(
                    children.map(|(path, _)| (name.join(path.file_name().unwrap()), followed(tree, path.clone()))),
                );
            }
            Some((_, Entry::File { content, .. })) => drop(view.insert(name, content.clone())),
            Some((_, Entry::Link { .. })) | None => drop(view.insert(name, b"leads nowhere".to_vec())),
        }
    }
    Some(view)
}

/// Where a path leads.
fn followed(tree: &Tree, mut path: PathBuf) -> Option<PathBuf> {
    for _ in 0..40 {
        match tree.get(&path)? {
            Entry::Link { target } => path = normal(&path.parent()?.join(target)),
            Entry::Folder { .. } | Entry::File { .. } => return Some(path),
        }
    }
    None
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            normal.pop();
        } else {
            normal.push(part);
        }
    }
    normal
}
