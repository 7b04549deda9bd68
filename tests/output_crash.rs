//! The output folder under a process that is killed, or refused by the system, at any system call.
//!
//! The program re-executes itself as the publisher under `strace`, which kills it or makes a call fail; what readers
//! have afterwards is compared with what they had before and with what they were to get.

// Tests say what they expect by panicking.
#![allow(clippy::unwrap_used)]

mod snapshots;
mod strace;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use jiff::Timestamp;
use runtime_agent::config;
use runtime_agent::output::{DigestKey, Rendering, Store};
use runtime_agent::snapshot::Snapshot;
use tempfile::TempDir;

use crate::snapshots::{application, bundle};
use crate::strace::{CHANGING, Child, log, scratch};

/// Where the publisher finds its state directory.
const STATE: &str = "OUTPUT_CRASH_STATE";

const PUBLISHER: Child = Child { test: "publisher", folder: STATE };

/// How the publisher ends when publication failed with a sentence.
const REFUSED: i32 = 3;

/// The publisher. It does something only where one of the tests below starts it.
#[test]
#[ignore = "is the child process of the other tests"]
fn publisher() {
    let Some(state) = std::env::var_os(STATE) else { return };
    let published = open(Path::new(&state))
        .and_then(|mut store| store.publish(&after(), Timestamp::UNIX_EPOCH).map_err(|error| error.to_string()));
    if let Err(sentence) = published {
        eprintln!("{sentence}");
        std::process::exit(REFUSED);
    }
}

#[test]
fn a_kill_at_any_call_leaves_the_old_or_the_new_output() {
    let template = template();
    let (old, new) = (seen(template.path()), wanted(&template));
    let (mut olds, mut news) = (0, 0);
    for call in CHANGING {
        // Each call is counted by itself; when one is not reached any more, nobody is killed.
        for when in 1.. {
            let state = copy(&template);
            let ended = PUBLISHER.injected(state.path(), &format!("inject=?{call}:signal=KILL:when={when}"));
            let now = seen(state.path());
            assert!(now == old || now == new, "killed at {call} {when}: readers see a mixture");
            goes_on(state.path(), &new, &format!("killed at {call} {when}"));
            if ended.status.success() {
                assert!(now == new, "unhindered, it publishes");
                break;
            }
            olds += usize::from(now == old);
            news += usize::from(now == new);
        }
    }
    assert!(olds > 50 && news > 10, "the kills hit the publication: {olds} before and {news} after the swap");
}

#[test]
fn a_full_disk_at_any_call_is_a_sentence_and_leaves_the_old_output() {
    let template = template();
    let (old, new) = (seen(template.path()), wanted(&template));
    let mut sentences = BTreeSet::new();
    for call in CHANGING {
        for when in 1.. {
            let at = format!("refused at {call} {when}");
            let state = copy(&template);
            let ended = PUBLISHER.injected(state.path(), &format!("inject=?{call}:error=ENOSPC:when={when}"));
            let now = seen(state.path());
            assert!(now == old || now == new, "{at}: readers see a mixture");
            // The loader and the test's own output make such calls too, and end otherwise.
            if ended.status.code() == Some(REFUSED) {
                let sentence = String::from_utf8_lossy(&ended.stderr).into_owned();
                assert!(sentence.contains(state.path().to_str().unwrap()), "{at}: {sentence} names no path");
                assert!(sentence.contains("No space left on device"), "{at}: {sentence} gives no reason");
                assert_eq!(leftovers(state.path()), BTreeSet::new(), "{at}: something is left");
                sentences.insert(sentence.replace(state.path().to_str().unwrap(), ""));
            }
            goes_on(state.path(), &new, &at);
            if !fs::read_to_string(log(state.path())).unwrap().contains("(INJECTED)") {
                assert!(ended.status.success() && now == new, "unhindered, it publishes");
                break;
            }
        }
    }
    assert!(sentences.len() > 5, "the refusals hit the publication: {sentences:?}");
}

#[test]
fn nothing_gets_its_name_before_it_is_durable() {
    let state = copy(&template());
    let ended = PUBLISHER.traced(state.path());
    assert!(ended.status.success());
    let root = state.path().join("config");
    let root = root.to_str().unwrap();
    let mut disk = Disk::default();
    let mut swapped = false;
    for call in fs::read_to_string(log(state.path())).unwrap().lines() {
        let Some((name, paths)) = parse(call, root) else { continue };
        match (name, paths.as_slice()) {
            ("openat", [path]) if call.contains("O_CREAT") => disk.made(path),
            ("write" | "fchmod" | "ftruncate" | "pwrite64", [path]) => {
                disk.dirty.insert(path.clone());
            }
            ("mkdir" | "mkdirat", [path]) => disk.made(path),
            ("symlink" | "symlinkat", [link]) => {
                if call.contains("\"0003\"") {
                    assert_eq!(disk.dirty, BTreeSet::new(), "all of it is durable before `current` may lead to it");
                }
                disk.entered(link);
            }
            ("fsync", [path]) => {
                disk.dirty.remove(path);
            }
            ("syncfs", [_]) => disk.dirty.clear(),
            ("rename" | "renameat" | "renameat2", [from, to]) => {
                swapped |= to.ends_with("/current");
                disk.renamed(from, to);
            }
            _ => {}
        }
    }
    assert!(swapped, "the calls were understood");
    assert_eq!(disk.dirty, BTreeSet::new(), "everything is durable in the end");
}

/// What would not survive a power loss: written files and folders with new names in them, not fsynced since.
#[derive(Default)]
struct Disk {
    dirty: BTreeSet<String>,
}

impl Disk {
    fn made(&mut self, path: &str) {
        self.dirty.insert(path.to_owned());
        self.entered(path);
    }

    fn entered(&mut self, path: &str) {
        self.dirty.insert(Path::new(path).parent().unwrap().to_str().unwrap().to_owned());
    }

    fn renamed(&mut self, from: &str, to: &str) {
        // What goes to a temporary name is on its way out.
        if !to.contains("/.tmp-") {
            let within = |path: &&String| *path == from || path.starts_with(&format!("{from}/"));
            let lost: Vec<_> = self.dirty.iter().filter(within).collect();
            assert!(lost.is_empty(), "{to} gets its name while {lost:?} is not durable");
        }
        self.entered(to);
    }
}

/// The name of a call and the paths below `root` that it is about.
fn parse<'a>(call: &'a str, root: &str) -> Option<(&'a str, Vec<String>)> {
    let (_, call) = call.split_once(' ')?;
    let (name, arguments) = call.trim_start().split_once('(')?;
    let (arguments, result) = arguments.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    // Only the first path of a written file's arguments is a path; the rest is content.
    let arguments = if name == "write" { arguments.split_once('>')?.0 } else { arguments };
    let paths = arguments.split(['"', '<', '>']).filter(|part| part.starts_with(root)).map(str::to_owned);
    Some((name, paths.collect()))
}

fn open(state: &Path) -> Result<Store, String> {
    let key = DigestKey::load_or_create(&state.join("digest.key")).map_err(|error| error.to_string())?;
    let keep = NonZeroUsize::new(2).unwrap();
    let mut store = Store::open(&state.join("config"), key, keep).map_err(|error| error.to_string())?;
    let mut settings = config::parse(TEMPLATES, Path::new("agent.toml")).map_err(|error| error.to_string())?;
    settings.paths.templates = state.join("config/templates-are-inline");
    store.use_templates(Rendering::load(&settings).map_err(|error| error.to_string())?.map(Arc::new));
    Ok(store)
}

/// Files for the applier, and one inside the generation.
const TEMPLATES: &str = r#"
    [[template]]
    name = "installed"
    for_each = "credential"
    destination = "/etc/somewhere/{{ application.slug }}.conf"
    content = "{{ credential.password }}"
    [[template]]
    name = "inside"
    destination = "names/all"
    content = "{% for application in applications %}{{ application.name }}\n{% endfor %}"
    mode = "0644"
"#;

/// A state directory with two generations, the most that are kept.
fn template() -> TempDir {
    let state = scratch();
    let mut store = open(state.path()).unwrap();
    store.publish(&snapshot([("old", "Old", "x")]), Timestamp::UNIX_EPOCH).unwrap();
    store.publish(&before(), Timestamp::UNIX_EPOCH).unwrap();
    state
}

fn copy(template: &TempDir) -> TempDir {
    let state = scratch();
    let copied = Command::new("cp").arg("-a").arg(template.path().join(".")).arg(state.path()).status().unwrap();
    assert!(copied.success());
    state
}

/// What readers have once the publication was let through.
fn wanted(template: &TempDir) -> BTreeMap<PathBuf, Vec<u8>> {
    let state = copy(template);
    open(state.path()).unwrap().publish(&after(), Timestamp::UNIX_EPOCH).unwrap();
    seen(state.path())
}

/// After whatever happened, the next start ends with the new output and nothing left over.
fn goes_on(state: &Path, new: &BTreeMap<PathBuf, Vec<u8>>, at: &str) {
    let mut store = open(state).unwrap();
    assert!(store.current().is_some(), "{at}: what readers have is sound");
    assert_eq!(leftovers(state), BTreeSet::new(), "{at}: the start sweeps");
    store.publish(&after(), Timestamp::UNIX_EPOCH).unwrap();
    assert!(seen(state) == *new, "{at}: the next publication is complete");
}

/// Unfinished things, and objects that no generation refers to.
fn leftovers(state: &Path) -> BTreeSet<String> {
    let names = |path: &Path| -> BTreeSet<String> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let root = state.join("config");
    let mut referenced = BTreeSet::new();
    for generation in names(&root).iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) {
        let applications = root.join(generation).join("applications");
        for link in names(&applications) {
            let target = fs::read_link(applications.join(link)).unwrap();
            referenced.insert(target.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    let unfinished = names(&root).into_iter().filter(|name| name.starts_with(".tmp-"));
    for generation in names(&root).iter().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) {
        let outputs = fs::read(root.join(generation).join("outputs.json")).unwrap();
        let outputs: serde_json::Value = serde_json::from_slice(&outputs).unwrap();
        let outputs = outputs["outputs"].as_array().unwrap().iter();
        referenced.extend(outputs.map(|output| output["blob"].as_str().unwrap().to_owned()));
    }
    let all = [root.join("objects"), root.join("blobs")].map(|folder| names(&folder));
    let unreferenced = all.into_iter().flatten().filter(|name| !referenced.contains(name));
    unfinished.chain(unreferenced).collect()
}

/// Everything below `current`, as readers see it; the number of the generation apart, for an attempt can take one.
fn seen(state: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let current = state.join("config/current").canonicalize().unwrap();
    let number: u64 = current.file_name().unwrap().to_str().unwrap().parse().unwrap();
    let mut files = BTreeMap::new();
    let mut folders = vec![current.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.replace(&format!("\"generation\": {number},"), "\"generation\": any,");
            files.insert(path.strip_prefix(&current).unwrap().to_owned(), text.into_bytes());
        }
    }
    files
}

/// One application stays, one gets another password, one another name, one goes.
fn before() -> Arc<Snapshot> {
    snapshot([("a", "Shop", "pw"), ("b", "Crm", "one"), ("c", "Books", "pw"), ("d", "Gone", "pw")])
}

fn after() -> Arc<Snapshot> {
    snapshot([("a", "Shop", "pw"), ("b", "Crm", "two"), ("c", "Ledger", "pw"), ("e", "Come", "pw")])
}

fn snapshot<const N: usize>(applications: [(&str, &str, &str); N]) -> Arc<Snapshot> {
    let application = |(id, name, password)| application(id, name, vec![bundle("1", "Orders", password)]);
    Snapshot::new("runtime-1".parse().unwrap(), applications.map(application).into()).unwrap().into()
}
