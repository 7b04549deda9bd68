//! Somebody who looks on: at the files whenever they change, as a host's services read them, and at the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{Inotify, WatchMask};
use runtime_agent::agent::status::Status;
use runtime_agent::control::Client;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::host::Host;

/// How many states of the board are remembered.
const REMEMBERED: usize = 4000;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// What was not whole, or gone.
    pub wrong: BTreeSet<String>,
    /// The applications that were ever published, by their ids, and their folders.
    pub applications: BTreeMap<String, String>,
    /// Those of them that were missing later.
    pub missing: BTreeMap<String, String>,
    /// The files that were ever installed.
    pub installed: BTreeSet<String>,
    /// Whether an identity was ever in place.
    pub identified: bool,
    /// The secret lines of every private key.
    pub keys: BTreeSet<String>,
    /// How often the files were looked at.
    pub looks: u64,
    /// What the board showed, in its order.
    pub statuses: Vec<Status>,
    /// What can be seen of the process from outside.
    pub outside: BTreeSet<String>,
    /// The most file descriptors, and the most memory in KiB.
    pub descriptors: usize,
    pub memory: u64,
    /// The process of the agent that runs now.
    pub pid: Option<u32>,
}

impl Seen {
    /// Forgets what was there.
    pub fn forget(&mut self) {
        (self.applications, self.installed, self.identified) = Default::default();
        self.missing.clear();
    }

    /// Looks at a host's files.
    fn look(&mut self, host: &Path) {
        self.looks += 1;
        let looked = settled(&host.join("state/identity/current"), self.identified, identity);
        if let Some(keys) = self.note(looked) {
            self.identified = true;
            self.keys.extend(keys);
        }
        let was = !self.applications.is_empty();
        let looked = settled(&host.join("state/config/current"), was, generation);
        if let Some(found) = self.note(looked) {
            for (id, folder) in &self.applications {
                if found.contains_key(id) {
                    self.missing.remove(id);
                } else {
                    self.missing.entry(id.clone()).or_insert_with(|| folder.clone());
                }
            }
            self.applications.extend(found);
        }
        match installed(&host.join("etc")) {
            Ok(found) => self.installed.extend(found),
            Err(why) => drop(self.wrong.insert(why)),
        }
    }

    fn note<T>(&mut self, looked: Result<Option<T>, String>) -> Option<T> {
        looked.unwrap_or_else(|why| {
            self.wrong.insert(why);
            None
        })
    }

    /// Looks at a process.
    fn sample(&mut self, pid: u32) {
        let text = |name: &str| {
            fs::read(format!("/proc/{pid}/{name}")).map(|read| String::from_utf8_lossy(&read).into_owned())
        };
        if let Ok(all) = fs::read_dir(format!("/proc/{pid}/fd")) {
            self.descriptors = self.descriptors.max(all.count());
        }
        if let Ok(status) = text("status") {
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse().ok());
            self.memory = self.memory.max(kilobytes.unwrap_or_default());
        }
        self.outside.extend(["cmdline", "environ", "comm"].into_iter().filter_map(|name| text(name).ok()));
    }
}

/// Reads what is behind a link that is resolved once. Where the link was replaced meanwhile, what is behind the old one
/// may be gone: then it is read again.
fn settled<T>(link: &Path, was: bool, read: fn(&Path) -> Result<T, String>) -> Result<Option<T>, String> {
    loop {
        let folder = match fs::canonicalize(link) {
            Ok(folder) => folder,
            Err(_) if !was => return Ok(None),
            Err(error) => return Err(format!("{} is gone: {error}", link.display())),
        };
        let found = read(&folder);
        if found.is_ok() || fs::canonicalize(link).is_ok_and(|now| now == folder) {
            return found.map(Some);
        }
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A key and the certificate that belongs to it; answers the secret lines of the key.
fn identity(folder: &Path) -> Result<BTreeSet<String>, String> {
    let wrong = |what: &str| format!("{} in {}", what, folder.display());
    let pem = bytes(&folder.join("key.pem"))?;
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| wrong("half a key is"))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(&folder.join("chain.pem"))?).collect();
    let chain = chain.map_err(|_| wrong("half a chain is"))?;
    let certificate = CertificateDer::from_pem_slice(&bytes(&folder.join("cert.pem"))?);
    if chain.first() != Some(&certificate.map_err(|_| wrong("half a certificate is"))?) {
        return Err(wrong("another certificate begins the chain"));
    }
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|_| wrong("a key with another key's certificate is"))?;
    // The third line of an elliptic key is its public part, and that is in the certificate.
    let text = String::from_utf8_lossy(&pem).into_owned();
    Ok(text.lines().filter(|line| !line.starts_with('-')).take(2).map(str::to_owned).collect())
}

/// A generation; answers the folders of its applications.
fn generation(folder: &Path) -> Result<BTreeMap<String, String>, String> {
    let json = |name: &str| -> Result<Value, String> {
        let path = folder.join(name);
        serde_json::from_slice(&bytes(&path)?).map_err(|error| format!("{}: {error}", path.display()))
    };
    let manifest = json("manifest.json")?;
    let mut found = BTreeMap::new();
    for (id, entry) in manifest["applications"].as_object().into_iter().flatten() {
        let name = entry["folder"].as_str().unwrap_or_default();
        let application = json(&format!("applications/{name}/application.json"))?;
        if application["id"] != **id {
            return Err(format!("{name} in {} is another application", folder.display()));
        }
        found.insert(id.clone(), name.to_owned());
    }
    let all = json("applications.json")?.to_string();
    match found.keys().find(|id| !all.contains(*id)) {
        Some(id) => Err(format!("{id} is not in applications.json of {}", folder.display())),
        None => Ok(found),
    }
}

/// The installed files; answers their names.
fn installed(folder: &Path) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(slug) = name.strip_suffix(".conf") else { continue };
        // What was removed after it was listed is missing elsewhere, if it is.
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        if !(text.starts_with(&format!("begin {slug}\n")) && text.ends_with(&format!("\nend {slug}\n"))) {
            return Err(format!("half a file was installed as {name}: {} bytes", text.len()));
        }
        found.insert(name);
    }
    Ok(found)
}

/// Looks on until it is dropped.
pub struct Reader {
    seen: Arc<Mutex<Seen>>,
    looking: JoinHandle<()>,
    following: Option<JoinHandle<()>>,
}

impl Reader {
    /// Looks at a host's files whenever something changes beside them.
    pub fn of(host: &Host, seen: Arc<Mutex<Seen>>) -> Self {
        let root = host.path("");
        let inotify = Inotify::init().unwrap();
        for folder in ["state/identity", "state/config", "etc"] {
            fs::create_dir_all(root.join(folder)).unwrap();
            let change = WatchMask::CREATE | WatchMask::MOVE | WatchMask::DELETE;
            inotify.watches().add(root.join(folder), change).unwrap();
        }
        let events = inotify.into_event_stream([0; 4096]).unwrap();
        let looking = tokio::spawn(look(root, events.map(drop), Arc::clone(&seen)));
        Self { seen, looking, following: None }
    }

    /// Follows the board of an agent that has just been started, and looks at its process.
    pub fn follow(&mut self, host: &Host, pid: u32) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).pid = Some(pid);
        let client = Client::new(&host.path("run/control.sock")).unwrap();
        let following = tokio::spawn(follow(client, pid, Arc::clone(&self.seen)));
        if let Some(before) = self.following.replace(following) {
            before.abort();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.looking.abort();
        if let Some(following) = &self.following {
            following.abort();
        }
    }
}

async fn look(root: PathBuf, mut changes: impl futures_util::Stream<Item = ()> + Unpin, seen: Arc<Mutex<Seen>>) {
    loop {
        seen.lock().unwrap_or_else(PoisonError::into_inner).look(&root);
        if changes.next().await.is_none() {
            return;
        }
    }
}

async fn follow(client: Client, pid: u32, seen: Arc<Mutex<Seen>>) {
    let note = |status: Option<Status>| {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.sample(pid);
        if let Some(status) = status
            && seen.statuses.len() < REMEMBERED
        {
            // By its own word, whatever stands between it and whoever started it.
            seen.pid = Some(status.agent.pid);
            seen.statuses.push(status);
        }
    };
    let mut after = None;
    loop {
        // The board stands still for long while memory does not.
        match tokio::time::timeout(Duration::from_millis(500), client.status(after)).await {
            Ok(Ok(status)) => {
                after = Some(status.revision);
                note(Some(status));
            }
            Ok(Err(_)) => return,
            Err(_) => note(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_notices_what_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("shop.conf", "begin shop\na line\nend shop\n");
        assert_eq!(installed(folder.path()), Ok(BTreeSet::from(["shop.conf".to_owned()])));
        put("till.conf", "begin till\na line\nen");
        assert!(installed(folder.path()).is_err());

        put("manifest.json", r#"{"applications": {"a": {"folder": "shop"}}}"#);
        put("applications.json", r#"[{"id": "a"}]"#);
        assert!(generation(folder.path()).is_err(), "a folder is missing");
        put("applications/shop/application.json", r#"{"id": "a"}"#);
        assert_eq!(generation(folder.path()), Ok([("a".to_owned(), "shop".to_owned())].into()));
        put("applications/shop/application.json", r#"{"id": "b"}"#);
        assert!(generation(folder.path()).is_err(), "a folder has another one's content");

        let [one, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["host".to_owned()]).unwrap());
        put("cert.pem", &one.cert.pem());
        put("chain.pem", &one.cert.pem());
        put("key.pem", &one.signing_key.serialize_pem());
        assert!(identity(folder.path()).is_ok_and(|lines| lines.len() == 2));
        put("key.pem", &other.signing_key.serialize_pem());
        assert!(identity(folder.path()).is_err(), "another key");
        put("key.pem", &one.signing_key.serialize_pem()[..100]);
        assert!(identity(folder.path()).is_err(), "half a key");
    }
}
