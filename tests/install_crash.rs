//! The applier killed at every system call of an installation, and of what the next start does about it.
//!
//! The program re-executes itself as the applier under `strace`, which kills it; then every file is the old or the new one,
//! the next request leaves nothing behind, and completes. The commands of the rules are traced too: where it is one of them
//! that is killed, it has failed, and everything is as before.

// Tests say what they expect by panicking.
#![allow(clippy::unwrap_used)]

mod strace;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime_agent::apply::{ApplierSettings, Outcome, Refusal, Stop, serve_stream};
use runtime_agent::config::{Settings, TemplateLimits};
use tempfile::TempDir;

use crate::strace::{CHANGING, Child, log, scratch};

/// Where the applier finds its host.
const HOST: &str = "INSTALL_CRASH_HOST";

const APPLIER: Child = Child { test: "applier", folder: HOST };

/// How the applier ends when it was refused, because a command was killed.
const REFUSED: i32 = 3;

/// How it ends when another try may work.
const FAILED: i32 = 4;

/// The applier. It does something only where one of the tests below starts it.
#[test]
#[ignore = "is the child process of the other tests"]
fn applier() {
    let Some(host) = std::env::var_os(HOST) else { return };
    match ask(Path::new(&host), 2, "") {
        Outcome::Done => {}
        Outcome::Refused { reason: Refusal::InstallRefused, .. } => std::process::exit(REFUSED),
        outcome => {
            eprintln!("{outcome:?}");
            std::process::exit(FAILED);
        }
    }
}

#[test]
fn a_kill_at_any_call_leaves_all_files_old_or_new_after_the_next_start_and_nothing_beside() {
    let (old, new) = (seen(host_at_the_old().path()), wanted());
    let (mut olds, mut news) = (0, 0);
    for call in CHANGING {
        // Each call is counted by itself; when one is not reached any more, nobody is killed.
        for when in 1.. {
            let at = format!("killed at {call} {when}");
            let host = host_at_the_old();
            let ended = APPLIER.injected(host.path(), &format!("inject=?{call}:signal=KILL:when={when}"));
            *if recovers(host.path(), &old, &new, &at) { &mut news } else { &mut olds } += 1;
            if ended.status.success() {
                assert!(seen(host.path()) == new, "unhindered, it installs");
                break;
            }
        }
    }
    assert!(olds > 50 && news > 20, "the kills hit the installation: {olds} before and {news} after its end");
}

#[test]
fn a_kill_at_any_call_of_taking_an_installation_back_is_taken_back_at_the_start_after_that() {
    let (old, new) = (seen(host_at_the_old().path()), wanted());
    // At the second `systemctl` of the installation, with all files in place; and in the middle of placing them.
    for interrupt in ["inject=?renameat:signal=KILL:when=3", "inject=?renameat:signal=KILL:when=4"] {
        let mut killed = 0;
        for call in CHANGING {
            for when in 1.. {
                let at = format!("{interrupt}, then killed at {call} {when}");
                let host = host_at_the_old();
                APPLIER.injected(host.path(), interrupt);
                assert!(host.path().join("apply/transaction.json").exists(), "{at}: it was in the middle");
                let ended = APPLIER.injected(host.path(), &format!("inject=?{call}:signal=KILL:when={when}"));
                recovers(host.path(), &old, &new, &at);
                if ended.status.success() {
                    break;
                }
                killed += 1;
            }
        }
        assert!(killed > 60, "{interrupt}: the kills hit what comes after it: {killed}");
    }
}

#[test]
fn nothing_changes_before_the_journal_and_the_new_files_are_durable() {
    let host = host_at_the_old();
    let ended = APPLIER.traced(host.path());
    assert!(ended.status.success(), "{ended:?}");
    let calls = fs::read_to_string(log(host.path())).unwrap();
    let position = |what: &str, from: usize| {
        let found = calls.lines().skip(from).position(|line| line.contains(what) && !line.contains(" = -1 "));
        from + found.unwrap_or_else(|| panic!("no {what} from {from} on:\n{calls}"))
    };
    let journal = position("apply/transaction.json\"", 0);
    let first_new = position(".runtime-agent-new-", 0);
    assert!(journal < first_new, "the journal comes first");
    let synced = position("fsync", first_new);
    let placing = position("apply/transaction.json\"", first_new);
    let first_old = position(".runtime-agent-old-", first_new);
    assert!(
        synced < placing && placing < first_old,
        "new files are durable, then the journal says so, then files move"
    );
    let confirmed = position("apply/installed.json\"", first_old);
    let cleared =
        calls.lines().position(|line| line.contains("unlinkat") && line.contains(".runtime-agent-old-")).unwrap();
    assert!(first_old < confirmed && confirmed < cleared, "old files go only once the new ones are confirmed");
}

/// Sees that whatever a kill left becomes all old or all new at the next start, and completes. Answers whether it was
/// all new already.
fn recovers(host: &Path, old: &Seen, new: &Seen, at: &str) -> bool {
    // A notice installs nothing; but what was left unfinished is seen to first.
    let noticed = request(host, r#"{"version":1,"event":"renewed"}"#);
    assert_eq!(noticed, Outcome::Done, "{at}");
    let now = seen(host);
    assert!(now == *old || now == *new, "{at}: a mixture: {:?}", now.keys());
    assert_eq!(leftovers(host), Vec::<PathBuf>::new(), "{at}");
    assert_eq!(ask(host, 2, r#","again":true"#), Outcome::Done, "{at}");
    assert!(seen(host) == *new, "{at}: the next request completes");
    assert_eq!(leftovers(host), Vec::<PathBuf>::new(), "{at}");
    now == *new
}

/// Asks the applier of a host for a generation.
fn ask(host: &Path, generation: u64, further: &str) -> Outcome {
    request(host, &format!(r#"{{"version":1,"event":"config-changed","generation":{generation}{further}}}"#))
}

fn request(host: &Path, line: &str) -> Outcome {
    let rules = fs::read_to_string(host.join("agent.toml")).unwrap();
    let settings = ApplierSettings {
        hooks: host.join("hooks.d"),
        timeout: Duration::from_secs(60),
        grace: Duration::from_secs(60),
        output_limit: 1024,
        agent_state: host.join("state"),
        applier_state: host.join("apply"),
        rules: toml::from_str::<Settings>(&rules).unwrap().template,
        limits: TemplateLimits::default(),
        systemctl: host.join("systemctl"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let line = format!("{line}\n");
    runtime.block_on(serve_stream(&settings, line.as_bytes(), Vec::new(), &Stop::never()))
}

/// A host where generation 1 is installed and 2 is published: one file changes, one was changed by a person, one goes, one
/// comes in a folder that is to be made.
fn host_at_the_old() -> TempDir {
    let host = scratch();
    let root = fs::canonicalize(host.path()).unwrap();
    for folder in ["hooks.d", "state/config/blobs", "etc/conf.d"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let rules = r#"
        [[template]]
        name = "web"
        content = ""
        for_each = "application"
        destination = "ROOT/etc/conf.d/{{ application.slug }}.conf"
        validate = ["test", "-s", "{}"]
        reload = ["web.service"]
        on_change = ["true"]
        [[template]]
        name = "in"
        content = ""
        for_each = "application"
        destination = "ROOT/etc/conf.d/{{ application.slug }}/env"
        validate = ["true"]
        reload = ["web.service"]
    "#;
    fs::write(root.join("agent.toml"), rules.replace("ROOT", root.to_str().unwrap())).unwrap();
    fs::write(root.join("systemctl"), "#!/bin/sh\necho LoadState=loaded\necho ActiveState=active\n").unwrap();
    fs::set_permissions(root.join("systemctl"), Permissions::from_mode(0o755)).unwrap();
    publish(&root, 1, &[("web", "a", "one"), ("web", "b", "one"), ("web", "c", "one"), ("in", "d", "one")]);
    assert_eq!(ask(&root, 1, ""), Outcome::Done);
    fs::write(root.join("etc/conf.d/b.conf"), "by hand").unwrap();
    publish(&root, 2, &[("web", "a", "two"), ("web", "b", "two"), ("in", "e", "two")]);
    host
}

fn publish(root: &Path, generation: u64, files: &[(&str, &str, &str)]) {
    let folder = root.join("state/config").join(format!("{generation:04}"));
    fs::create_dir(&folder).unwrap();
    let manifest = serde_json::json!({
        "version": 1, "generation": generation, "published_at": "2026-11-22T12:00:00Z", "runtime": "r",
        "applications": {},
    });
    fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    let entry = |(template, application, content): &(&str, &str, &str)| {
        // What the name says of the content is the daemon's business.
        let blob = format!("{:064x}", content.bytes().fold(0_u64, |sum, byte| sum * 256 + u64::from(byte)));
        fs::write(root.join("state/config/blobs").join(&blob), content).unwrap();
        let name = if *template == "web" { format!("{application}.conf") } else { format!("{application}/env") };
        serde_json::json!({
            "template": template, "item": {"application": {"id": application, "slug": application}},
            "destination": root.join("etc/conf.d").join(name), "blob": blob, "size": content.len(), "mode": "0640",
        })
    };
    let entries: Vec<_> = files.iter().map(entry).collect();
    let list = serde_json::json!({"version": 1, "outputs": entries});
    fs::write(folder.join("outputs.json"), list.to_string()).unwrap();
}

/// What lies below `etc`: folders, and files with their content, mode and owner.
type Seen = BTreeMap<PathBuf, (Vec<u8>, u32, u32)>;

fn seen(host: &Path) -> Seen {
    let etc = host.join("etc");
    let mut all = Seen::new();
    let mut folders = vec![etc.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            all.insert(path.strip_prefix(&etc).unwrap().to_owned(), (content, metadata.mode(), metadata.uid()));
        }
    }
    all
}

fn wanted() -> Seen {
    let host = host_at_the_old();
    assert_eq!(ask(host.path(), 2, ""), Outcome::Done);
    seen(host.path())
}

/// What nobody needs any more: temporary names, and the journal.
fn leftovers(host: &Path) -> Vec<PathBuf> {
    let temporary = |path: &PathBuf| {
        path.to_string_lossy().contains(".runtime-agent-new-") || path.to_string_lossy().contains(".runtime-agent-old-")
    };
    let journal = ["apply/transaction.json", "apply/told.json"].map(|name| host.join(name));
    seen(host).into_keys().filter(temporary).chain(journal.into_iter().filter(|path| path.exists())).collect()
}
