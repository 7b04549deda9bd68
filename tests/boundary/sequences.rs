//! Whatever comes and fails, in whatever order: what lies at the destinations is what one generation was rendered to, and
//! once nothing fails any more, the newest.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::stat::Mode;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use runtime_agent::apply::{ApplierSettings, Outcome, Stop, serve_stream};
use runtime_agent::config::{self, Settings};
use runtime_agent::output::{DigestKey, Rendering, Store};
use runtime_agent::snapshot::{Application, Snapshot};
use serde_json::Value;
use tempfile::TempDir;

use crate::site::is_temporary;
use crate::snapshots::{self, bundle};

/// What a person writes into an installed file.
const BY_HAND: &str = "edited by hand";

/// An application: its name, and the passwords of its bundles.
type App = (String, Vec<String>);

/// What happens before the applier is asked.
#[derive(Debug, Clone)]
enum Event {
    /// The plane says something else.
    Snapshot(BTreeMap<String, App>),
    /// The configuration has other templates.
    Templates(usize),
    /// Somebody edits an installed file.
    Edit(prop::sample::Index),
    /// Somebody removes one.
    Remove(prop::sample::Index),
    /// Somebody removes everything in a directory.
    Empty(&'static str),
    /// A command fails from now on, or does not any more.
    Command(&'static str, bool),
    /// The plane says something else, and the applier is killed while this command runs, if it does.
    Kill(&'static str, BTreeMap<String, App>),
    /// A person goes back to the generation before.
    Back,
    /// A person asks again.
    Again,
    /// Nothing; it is asked all the same.
    Nothing,
}

/// The commands, by the names of the files that make them fail or wait.
const COMMANDS: [&str; 3] = ["each", "all", "follow"];

/// Sets of templates; `COMMANDS` stands for what is checked and told.
const TEMPLATES: [&str; 4] = [
    "",
    r#"
    [[template]]
    name = "web"
    for_each = "application"
    destination = "ROOT/etc/web/{{ application.slug }}.conf"
    content = "{{ application.id }}={{ application.name }}\n"
    validate = ["ROOT/each", "{}"]
    on_change = ["ROOT/follow"]
    "#,
    r#"
    [[template]]
    name = "web"
    for_each = "application"
    destination = "ROOT/etc/web/{{ application.slug }}/env"
    content = "{{ application.id }}={{ application.name }}\n"
    validate = ["ROOT/all"]
    [[template]]
    name = "passwords"
    for_each = "credential"
    destination = "ROOT/etc/{{ application.slug }}-{{ bundle.slug }}.pw"
    content = "{{ credential.password }}"
    on_change = ["ROOT/follow"]
    "#,
    r#"
    [[template]]
    name = "list"
    destination = "ROOT/etc/web/list"
    content = "{% for application in applications %}{{ application.id }} {% endfor %}"
    validate = ["ROOT/each", "{}"]
    [[template]]
    name = "inside"
    for_each = "application"
    destination = "inside/{{ application.slug }}"
    content = "{{ application.name }}"
    on_change = ["ROOT/follow"]
    "#,
];

fn apps() -> impl Strategy<Value = BTreeMap<String, App>> {
    let hostile = prop::sample::select(vec![
        "../../etc/cron.d/x",
        "/etc/passwd",
        "..",
        ".",
        "",
        "/",
        "a\nb",
        "a\0b",
        "-rf",
        "$(reboot)",
        "ä ß 漢",
        "%s{{ x }}",
    ]);
    let name = prop_oneof!["[ab]{1,2}".boxed(), hostile.prop_map(str::to_owned).boxed(), "\\PC{1,80}".boxed()];
    let app = (name, prop::collection::vec("[a-z]{1,8}", 0..3));
    prop::collection::btree_map("[a-e]", app, 0..5)
}

fn event() -> impl Strategy<Value = Event> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        5 => apps().prop_map(Event::Snapshot),
        2 => (0..TEMPLATES.len()).prop_map(Event::Templates),
        1 => index().prop_map(Event::Edit),
        1 => index().prop_map(Event::Remove),
        1 => prop::sample::select(vec!["etc", "etc/web"]).prop_map(Event::Empty),
        3 => (prop::sample::select(COMMANDS.to_vec()), any::<bool>()).prop_map(|(name, on)| Event::Command(name, on)),
        3 => (prop::sample::select(COMMANDS.to_vec()), apps()).prop_map(|(name, apps)| Event::Kill(name, apps)),
        1 => Just(Event::Back),
        1 => Just(Event::Again),
        1 => Just(Event::Nothing),
    ]
}

/// A host, and the daemon on it.
struct World {
    folder: TempDir,
    settings: Settings,
    store: Store,
    apps: BTreeMap<String, App>,
}

/// How often what came about.
#[derive(Debug, Default)]
struct Met {
    /// Something was installed.
    done: Cell<usize>,
    /// It was refused, or failed.
    not_done: Cell<usize>,
    /// The applier was killed in the middle.
    killed: Cell<usize>,
}

/// Installed files.
type Files = BTreeMap<PathBuf, Vec<u8>>;

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for name in ["hooks.d", "state", "etc/web"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in COMMANDS {
            // One waits at a pipe, and goes on when nobody holds the other end any more.
            let script = "#!/bin/sh\nif [ -p \"$0.gate\" ]; then read -r _ <\"$0.gate\"; fi\n[ ! -e \"$0.fails\" ]\n";
            fs::write(root.join(name), script).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let key = DigestKey::load_or_create(&root.join("state/digest.key")).unwrap();
        let store = Store::open(&root.join("state/config"), key, NonZeroUsize::new(3).unwrap()).unwrap();
        let mut world = Self { folder, settings: Settings::default(), store, apps: BTreeMap::new() };
        world.use_templates(1);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    fn use_templates(&mut self, set: usize) {
        let root = self.path("");
        let text = TEMPLATES[set].replace("ROOT", root.to_str().unwrap().trim_end_matches('/'));
        self.settings = config::parse(&text, Path::new("agent.toml")).unwrap();
        self.settings.paths.templates = root.join("templates-are-inline");
        self.store.use_templates(Rendering::load(&self.settings).unwrap().map(Arc::new));
        self.publish();
    }

    fn publish(&mut self) {
        let apps = self.apps.iter().map(|(id, app)| application(id, app)).collect();
        let snapshot = Arc::new(Snapshot::new("runtime-1".parse().unwrap(), apps).unwrap());
        self.store.publish(&snapshot, Timestamp::UNIX_EPOCH).unwrap();
    }

    /// The generation that is current.
    fn newest(&self) -> u64 {
        let current = fs::read_link(self.path("state/config/current")).unwrap();
        current.file_name().unwrap().to_str().unwrap().parse().unwrap()
    }

    /// What a generation was rendered to, as its list and its content say.
    fn rendered(&self, generation: u64) -> Files {
        let config = self.path("state/config");
        let Ok(list) = fs::read(config.join(format!("{generation:04}/outputs.json"))) else { return Files::new() };
        let list: Value = serde_json::from_slice(&list).unwrap();
        let outputs = list["outputs"].as_array().unwrap().iter();
        let installed = outputs.filter(|output| output["destination"].as_str().unwrap().starts_with('/'));
        let file = |output: &Value| {
            let content = fs::read(config.join("blobs").join(output["blob"].as_str().unwrap())).unwrap();
            (PathBuf::from(output["destination"].as_str().unwrap()), content)
        };
        installed.map(file).collect()
    }

    fn has_list(&self, generation: u64) -> bool {
        self.path(&format!("state/config/{generation:04}/outputs.json")).exists()
    }

    /// What is there, but for copies of what people wrote.
    fn installed(&self) -> Files {
        let etc = self.path("etc");
        let files = crate::site::tree(&etc).into_iter();
        let file = |(path, (content, mode, _)): (PathBuf, (Vec<u8>, u32, u32))| {
            let copy = path.to_string_lossy().ends_with(".runtime-agent-backup");
            (mode & 0o170_000 == 0o100_000 && !copy).then(|| (etc.join(path), content))
        };
        files.filter_map(file).collect()
    }

    fn applier(&self) -> ApplierSettings {
        ApplierSettings {
            hooks: self.path("hooks.d"),
            timeout: Duration::from_secs(60),
            grace: Duration::from_secs(60),
            output_limit: 1024,
            agent_state: self.path("state"),
            applier_state: self.path("apply"),
            rules: self.settings.template.clone(),
            limits: self.settings.templates.clone(),
            systemctl: self.path("systemctl"),
        }
    }

    async fn ask(&self, generation: u64, further: &str) -> Outcome {
        self.request(&format!(r#"{{"version":1,"event":"config-changed","generation":{generation}{further}}}"#)).await
    }

    async fn request(&self, line: &str) -> Outcome {
        let (settings, line) = (self.applier(), format!("{line}\n"));
        serve_stream(&settings, line.as_bytes(), Vec::new(), &Stop::never()).await
    }

    /// Asks, and ends the applier in the middle of a command, if that runs. Nothing where it was ended.
    async fn ask_and_kill(&self, command: &str) -> Option<Outcome> {
        let gate = self.path(&format!("{command}.gate"));
        nix::unistd::mkfifo(&gate, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let waits = async {
            loop {
                // It opens once somebody reads at the other end.
                let mut options = File::options();
                if let Ok(gate) = options.write(true).custom_flags(nix::libc::O_NONBLOCK).open(&gate) {
                    return gate;
                }
                tokio::task::yield_now().await;
            }
        };
        let (outcome, waiting) = tokio::select! {
            outcome = self.ask(self.newest(), "") => (Some(outcome), None),
            waiting = waits => (None, Some(waiting)),
        };
        fs::remove_file(gate).unwrap();
        drop(waiting);
        outcome
    }

    /// Sees that what is there is exactly what the generation was rendered to; what people edited and nobody wants any
    /// more may stay.
    fn is_as_rendered(&self, generation: u64, at: &str) {
        let (rendered, mut installed) = (self.rendered(generation), self.installed());
        installed.retain(|path, content| rendered.contains_key(path) || content != BY_HAND.as_bytes());
        assert_eq!(installed, rendered, "{at}: not what generation {generation} is");
        if generation == self.newest() && self.settings.template.iter().any(|rule| rule.name.as_str() == "web") {
            // By another way: what the plane said is what is there.
            let all: Vec<_> = rendered.values().collect();
            for (id, (name, _)) in &self.apps {
                let line = format!("{id}={name}\n").into_bytes();
                assert!(all.contains(&&line), "{at}: {} is missing", String::from_utf8_lossy(&line));
            }
        }
    }

    async fn live(&mut self, event: Event, met: &Met) {
        let at = format!("{event:?}");
        let pick = |index: prop::sample::Index| {
            let files: Vec<PathBuf> = self.installed().into_keys().collect();
            (!files.is_empty()).then(|| index.get(&files).clone())
        };
        let mut command = None;
        let mut generation = None;
        let mut further = "";
        match event {
            Event::Snapshot(apps) => {
                self.apps = apps;
                self.publish();
            }
            Event::Templates(set) => self.use_templates(set),
            Event::Edit(index) => pick(index).into_iter().for_each(|path| fs::write(path, BY_HAND).unwrap()),
            Event::Remove(index) => pick(index).into_iter().for_each(|path| fs::remove_file(path).unwrap()),
            Event::Empty(folder) => {
                fs::remove_dir_all(self.path(folder)).unwrap();
                // What a destination begins with is never made.
                fs::create_dir_all(self.path("etc/web")).unwrap();
            }
            Event::Command(name, false) => drop(fs::remove_file(self.path(&format!("{name}.fails")))),
            Event::Command(name, true) => fs::write(self.path(&format!("{name}.fails")), "").unwrap(),
            Event::Kill(name, apps) => {
                self.apps = apps;
                self.publish();
                command = Some(name);
            }
            Event::Back => generation = Some(self.newest().saturating_sub(1).max(1)),
            Event::Again => further = r#","again":true"#,
            Event::Nothing => {}
        }
        let before = self.installed();
        let generation = generation.unwrap_or(self.newest());
        let outcome = match command {
            None => Some(self.ask(generation, further).await),
            Some(command) => self.ask_and_kill(command).await,
        };
        match &outcome {
            Some(Outcome::Done) if self.installed() == before => {}
            Some(Outcome::Done) => met.done.update(|count| count + 1),
            Some(_) => met.not_done.update(|count| count + 1),
            None => met.killed.update(|count| count + 1),
        }
        match outcome {
            // Of a generation that was made without templates, files do not go where there are some: that is a doubt.
            Some(Outcome::Done) if !self.has_list(generation) && !self.settings.template.is_empty() => {
                assert_eq!(self.installed(), before, "{at}");
            }
            Some(Outcome::Done) => self.is_as_rendered(generation, &at),
            Some(outcome) => assert_eq!(self.installed(), before, "{at}: {outcome:?}"),
            None => {
                // What was begun is taken back by whatever comes next.
                let next = self.request(r#"{"version":1,"event":"renewed"}"#).await;
                assert_eq!(next, Outcome::Done, "{at}");
                assert_eq!(self.installed(), before, "{at}");
            }
        }
        assert!(!self.installed().keys().any(|path| is_temporary(path)), "{at}: {:?}", self.installed());
    }

    async fn recovers(&mut self) {
        for name in COMMANDS {
            drop(fs::remove_file(self.path(&format!("{name}.fails"))));
        }
        let outcome = self.ask(self.newest(), r#","again":true"#).await;
        assert_eq!(outcome, Outcome::Done);
        self.is_as_rendered(self.newest(), "at last");
    }
}

fn application(id: &str, (name, passwords): &App) -> Application {
    let bundles = passwords.iter().enumerate();
    let bundles =
        bundles.map(|(number, password)| bundle(&format!("{id}{number}"), &format!("Bundle {number}"), password));
    snapshots::application(id, name, bundles.collect())
}

#[test]
fn what_is_installed_is_always_one_generation_and_at_last_the_newest() {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let met = Met::default();
    let lived = TestRunner::new(config).run(&prop::collection::vec(event(), 1..20), |events| {
        runtime.block_on(async {
            let mut world = World::new();
            for event in events {
                world.live(event, &met).await;
            }
            world.recovers().await;
        });
        Ok(())
    });
    lived.unwrap_or_else(|failure| panic!("{failure}"));
    let [done, not_done, killed] = [met.done, met.not_done, met.killed].map(Cell::into_inner);
    println!("{done} were installed, {not_done} were not, {killed} were killed");
    assert!(done > 100 && not_done > 50 && killed > 20, "{done} were installed, {not_done} not, {killed} killed");
}
