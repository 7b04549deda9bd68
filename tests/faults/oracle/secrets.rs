//! Promise 5: secrets are in the files that are for them, for those who may read them, and nowhere else.

use std::path::Path;

use aho_corasick::AhoCorasick;

use super::{Breach, Observed, Promise};
use crate::tree::Kind;

/// How much of a secret gives it away: sixteen digits of it, at either end.
const TELLING: usize = 16;

pub(super) fn judge(observed: &Observed) -> Vec<Breach> {
    let mut needles: Vec<&str> = Vec::new();
    for secret in &observed.secrets {
        let (front, back) = secret.split_at(secret.len().saturating_sub(TELLING));
        // What all secrets of a kind begin with tells nothing.
        needles.push(if front.len() > 20 { &front[..front.len() - 8] } else { secret });
        needles.push(if back.len() == TELLING { back } else { secret });
    }
    needles.extend(observed.seen.keys.iter().map(String::as_str));
    let finder = AhoCorasick::new(&needles).unwrap();
    let mut breaches = Vec::new();
    let mut search = |place: &str, text: &[u8]| {
        if let Some(found) = finder.find(text) {
            let from = text[..found.start()].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let line = String::from_utf8_lossy(&text[from..found.end()]);
            let line: String = line.chars().rev().take(200).collect::<Vec<_>>().into_iter().rev().collect();
            breaches.push(Breach::of(Promise::Secrets, format!("a part of a secret is in {place}: …{line}")));
        }
    };
    search("the log", observed.log.as_bytes());
    search("what the service manager is told", observed.told.as_bytes());
    for (command, said) in &observed.said {
        search(&format!("what `{command}` says"), said.as_bytes());
    }
    for status in &observed.seen.statuses {
        search("the status", serde_json::to_string(status).unwrap().as_bytes());
    }
    for text in &observed.seen.outside {
        search("what everybody sees of the process", text.as_bytes());
    }
    for (path, entry) in &observed.tree {
        let shown = path.display().to_string();
        search("the name of a file", shown.as_bytes());
        if let Kind::File(bytes) = &entry.kind
            && (!is_for_secrets(path) || entry.mode & 0o7 != 0)
        {
            search(&format!("{shown}, which has the mode {:04o}", entry.mode), bytes);
        }
    }
    breaches
}

/// The files that hold secrets because that is what they are for.
fn is_for_secrets(path: &Path) -> bool {
    let ends = |name: &str| path.ends_with(name);
    let in_state = path.starts_with("state/identity") && ends("key.pem");
    let kept = [
        "state/snapshot.json",
        "state/snapshot.json.damaged",
        "state/pairing.json",
        "state/broker.redb",
        "pairing/token",
        "login",
    ];
    let published = path.starts_with("state/config");
    let rendered = published
        && path.components().any(|part| ["blobs", "passwords"].map(AsRef::as_ref).contains(&part.as_os_str()));
    in_state
        || kept.iter().any(|name| path == Path::new(name))
        || rendered
        || (published && (ends("credentials.json") || ends("credentials.env")))
}
