//! What goes wrong on the host itself: hooks, templates, files that somebody edits, tokens that are none, and a state that
//! was damaged while the agent was away. None of that is a reason to ask the plane more often.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use runtime_agent::config::{Seconds, TemplateRule};

use crate::campaign::family;
use crate::oracle::{Bounds, Breach};
use crate::phases::Phase;
use crate::room::{Room, Variation};

/// How long a trouble lasts at the most: until somebody is told of it.
const LASTS: Duration = Duration::from_secs(8);

/// Hooks that do not do what they should.
const HOOKS: [(&str, &str); 6] = [
    ("fails", "exit 7"),
    ("hangs", "sleep 1000"),
    ("is killed", "kill -9 $$"),
    ("floods", "head -c 20000000 /dev/zero | tr '\\0' x; exit 1"),
    ("tells secrets", r#"cat "$RUNTIME_AGENT_CONFIG"/applications/*/bundles/*/credentials.* >&2; exit 1"#),
    ("leaves a child behind", "sleep 1000 & exit 1"),
];

/// Templates that cannot be rendered, or whose files nobody takes.
const TEMPLATES: [(&str, &str); 5] = [
    ("asks for what is not there", "content = \"{{ nothing.there }}\"\ndestination = \"odd.txt\""),
    ("is none", "content = \"{% for %}\"\ndestination = \"odd.txt\""),
    (
        "never ends",
        "content = \"{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}\"\n\
         destination = \"odd.txt\"",
    ),
    ("is refused", "content = \"x\"\ndestination = \"ETC/odd.txt\"\nvalidate = [\"/bin/false\"]"),
    ("has no place", "content = \"x\"\ndestination = \"/proc/odd.txt\""),
];

/// What is dropped as a token, and is none.
const TOKENS: [&str; 7] = ["empty", "nonsense", "long", "a folder", "a pipe", "a link", "a link to nothing"];

/// What is damaged while the agent is away.
const DAMAGES: [(&str, &str); 13] = [
    ("snapshot.json", "cut"),
    ("snapshot.json", "garbage"),
    ("snapshot.json", "gone"),
    ("plane.json", "garbage"),
    ("config/current", "gone"),
    ("config/current/manifest.json", "gone"),
    ("config/current/manifest.json", "garbage"),
    ("config/objects", "gone"),
    ("config", "gone"),
    ("digest.key", "gone"),
    ("pairing.json", "garbage"),
    ("identity/current/key.pem", "cut"),
    ("identity", "gone"),
];

/// The names of all cases.
fn names() -> Vec<String> {
    let mut names: Vec<String> = HOOKS.iter().map(|(name, _)| format!("hook: {name}")).collect();
    names.extend(TEMPLATES.iter().map(|(name, _)| format!("template: {name}")));
    names.extend(TOKENS.iter().map(|name| format!("token: {name}")));
    names.extend(DAMAGES.iter().map(|(path, how)| format!("damage: {path} {how}")));
    names.extend(["edited", "gone"].map(|how| format!("installed: {how}")));
    names.push("configuration: garbage".into());
    names
}

/// The plane is well, so nothing but the rhythm of polls and what is ordered has it asked.
fn quiet() -> Bounds {
    Bounds { burst: 8.0, per_order: 4.0, per_second: 0.4, ..Bounds::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_wrong_on_the_host_it_comes_back_and_keeps_its_promises() {
    family("host")
        .of(names())
        .short(14)
        .at_once(6)
        .run(async |case| {
            let (kind, what) = case.name.split_once(": ").unwrap();
            match kind {
                "hook" => hook(&case.name, HOOKS.iter().find(|(name, _)| *name == what).unwrap().1).await,
                "template" => template(&case.name, TEMPLATES.iter().find(|(name, _)| *name == what).unwrap().1).await,
                "token" => token(&case.name, what).await,
                "damage" => damage(&case.name, what).await,
                "installed" => installed(&case.name, what).await,
                _ => configuration(&case.name).await,
            }
        })
        .await;
}

async fn hook(at: &str, body: &str) -> Vec<Breach> {
    let mut variation = Variation { bounds: quiet(), ..Variation::default() };
    variation.settings = Arc::new(|settings| {
        settings.hooks.timeout = Seconds::new(2);
        settings.hooks.grace = Seconds::new(1);
    });
    let room = Room::new(&variation).await;
    let agent = room.brought_to(Phase::Fetch).await;
    room.host().hook("10-odd", body);
    room.go(&agent, Phase::Fetch).await;
    room.is_told_of(LASTS).await;
    fs::remove_file(room.host().path("hooks.d/10-odd")).unwrap();
    room.ends_well(Some(agent), at).await
}

async fn template(at: &str, rule: &str) -> Vec<Breach> {
    let odd = Arc::new(AtomicBool::default());
    let (is_odd, rule) = (Arc::clone(&odd), format!("name = \"odd\"\n{rule}\n"));
    let mut variation = Variation { bounds: quiet(), ..Variation::default() };
    variation.settings = Arc::new(move |settings| {
        let etc = settings.paths.state.with_file_name("etc").display().to_string();
        let rule: TemplateRule = toml::from_str(&rule.replace("ETC", &etc)).unwrap();
        settings.template.extend(is_odd.load(Ordering::SeqCst).then_some(rule));
    });
    let room = Room::new(&variation).await;
    let agent = room.brought_to(Phase::Fetch).await;
    odd.store(true, Ordering::SeqCst);
    room.configure();
    room.ordered();
    room.signalled(&agent, Signal::SIGHUP);
    room.go(&agent, Phase::Fetch).await;
    room.is_told_of(LASTS).await;
    odd.store(false, Ordering::SeqCst);
    room.configure();
    room.ordered();
    room.signalled(&agent, Signal::SIGHUP);
    room.ends_well(Some(agent), at).await
}

async fn configuration(at: &str) -> Vec<Breach> {
    let room = Room::new(&Variation { bounds: quiet(), ..Variation::default() }).await;
    let agent = room.brought_to(Phase::Fetch).await;
    room.host().write_configuration("[plane\nca_bundle = 7\n");
    room.ordered();
    room.signalled(&agent, Signal::SIGHUP);
    room.go(&agent, Phase::Fetch).await;
    room.is_told_of(LASTS).await;
    room.configure();
    room.ordered();
    room.signalled(&agent, Signal::SIGHUP);
    room.ends_well(Some(agent), at).await
}

async fn token(at: &str, what: &str) -> Vec<Breach> {
    let room = Room::new(&Variation { bounds: quiet(), ..Variation::default() }).await;
    let agent = room.brought_to(Phase::Fetch).await;
    let path = room.host().token();
    match what {
        "empty" => room.host().drop_token(""),
        "nonsense" => room.host().drop_token("canary of nobody, and two more words"),
        "long" => room.host().drop_token(&"x".repeat(10 << 20)),
        "a folder" => fs::create_dir(&path).unwrap(),
        "a pipe" => mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap(),
        "a link" => symlink(room.host().path("login"), &path).unwrap(),
        _ => symlink("/nothing/here", &path).unwrap(),
    }
    room.is_told_of(LASTS).await;
    if path.is_dir() {
        fs::remove_dir(&path).unwrap();
    } else if path.symlink_metadata().is_ok() {
        // It may be consumed at this very moment.
        let _ = fs::remove_file(&path);
    }
    room.ends_well(Some(agent), at).await
}

async fn installed(at: &str, how: &str) -> Vec<Breach> {
    let room = Room::new(&Variation { bounds: quiet(), ..Variation::default() }).await;
    let agent = room.brought_to(Phase::Fetch).await;
    let path = room.host().path("etc/till.conf");
    if how == "gone" {
        fs::remove_file(&path).unwrap();
    } else {
        fs::write(&path, "begin till\nby hand\nend till\n").unwrap();
    }
    room.plane().edit(|model| {
        if let Some(known) = model.application_mut(&room.offer.service) {
            known.description = Some("changed".into());
        }
    });
    room.go(&agent, Phase::Fetch).await;
    room.ends_well(Some(agent), at).await
}

async fn damage(at: &str, what: &str) -> Vec<Breach> {
    let (path, how) = what.rsplit_once(' ').unwrap();
    let may_cost_a_token = path.starts_with("identity") || path == "pairing.json";
    let variation = Variation { may_cost_a_token, bounds: quiet(), ..Variation::default() };
    let room = Room::new(&variation).await;
    let agent = room.brought_to(Phase::Fetch).await;
    agent.terminate().await;
    // Nobody is to be blamed for what a reader finds until it is mended.
    room.looks_away();
    room.forgets();
    hurt(&room.host().path("state").join(path), how);
    let agent = room.host().start().await;
    room.ordered();
    room.ends_well(Some(agent), at).await
}

/// Damages a file, or a folder with all that is in it.
fn hurt(path: &Path, how: &str) {
    let real = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    match how {
        "gone" if path.is_symlink() => fs::remove_file(path).unwrap(),
        "gone" if real.is_dir() => fs::remove_dir_all(real).unwrap(),
        "gone" => fs::remove_file(real).unwrap(),
        "cut" => {
            let whole = fs::read(&real).unwrap();
            fs::write(&real, &whole[..whole.len() / 2]).unwrap();
        }
        _ => {
            fs::write(&real, "{\"garbage\": \u{1}").unwrap();
            fs::set_permissions(&real, Permissions::from_mode(0o600)).unwrap();
        }
    }
}
