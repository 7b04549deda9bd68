//! Hooks: told again until they succeed, and in nobody's way.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use nix::sys::stat::Mode;
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::apply::{HookOutcome, SkipReason};
use runtime_agent::config::{ApplyMode, Seconds};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;

use crate::following::{RECORD, application, settled};
use crate::host::{Host, names, said, within};
use crate::scene::{Scene, is_settled, problem};

/// A hook that says that it was started, and then waits to be told to go on.
const HANGING: &str = r#"cat >/dev/null; echo "$1" >"$SPOOL/started"; read -r word <"$SPOOL/go""#;

/// The test's ends of what a hanging hook holds on to.
struct Reins {
    started: BufReader<pipe::Receiver>,
    go: pipe::Sender,
}

impl Reins {
    fn new(host: &Host) -> Self {
        let path = |name: &str| host.path("spool").join(name);
        for name in ["started", "go"] {
            nix::unistd::mkfifo(&path(name), Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        }
        // Both ends are open here, so that neither is at its end when no hook runs.
        let mut options = pipe::OpenOptions::new();
        let options = options.read_write(true);
        let started = BufReader::new(options.open_receiver(path("started")).unwrap());
        Self { started, go: options.open_sender(path("go")).unwrap() }
    }

    /// Waits until the hook runs, and tells for which event.
    async fn started(&mut self) -> String {
        let mut line = String::new();
        within("the hook to start", self.started.read_line(&mut line)).await.unwrap();
        line.trim().to_owned()
    }

    async fn let_go(&mut self) {
        self.go.write_all(b"go\n").await.unwrap();
    }
}

fn failed_for(status: &Status, generation: u64) -> bool {
    let apply = status.apply.as_ref().filter(|apply| !apply.succeeded);
    apply.and_then(|apply| apply.generation).is_some_and(|number| number.0.get() == generation)
}

#[tokio::test]
async fn a_failing_hook_is_reported_and_run_again_and_the_files_are_published_all_the_same() {
    let scene = Scene::new().await;
    scene.host.hook("10-good", RECORD);
    scene.host.hook("20-bad", r#"cat >"$SPOOL/bad.json"; echo "cannot reload nginx" >&2; test -e "$SPOOL/mended""#);
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the hook to fail", |status| failed_for(status, 1)).await;
    assert_eq!(status.state, State::ActionNeeded);
    let what = problem(&status, Area::Apply);
    assert!(what.contains("20-bad failed with exit code 1"), "{what}");
    let apply = status.apply.as_ref().unwrap();
    let bad = apply.hooks.iter().find(|hook| hook.name == "20-bad").unwrap();
    assert_eq!(
        (&bad.outcome, &*bad.output),
        (&HookOutcome::Failed { code: 1 }, &["cannot reload nginx".to_owned()][..])
    );
    assert_eq!(names(&scene.host.path("state/config/current/applications")).len(), 3);
    let page = said(&scene.host.run(&["status"], "").await);
    assert!(page.contains("20-bad failed with exit code 1"), "{page}");

    // What comes meanwhile is published as well, and the hook is told of both at once.
    scene.plane.put_application(application("New", "canary-new"));
    agent.sync().await;
    agent.wait_for("the hook to fail again", |status| failed_for(status, 2)).await;
    let told: serde_json::Value = serde_json::from_str(&scene.host.read("spool/bad.json")).unwrap();
    assert_eq!(told["added"].as_array().unwrap().len(), 4);
    // It is run again by itself, and the one that succeeded is not.
    std::fs::write(scene.host.path("spool/mended"), "").unwrap();
    settled(&agent, 2).await;
    let runs = scene.host.read("spool/runs");
    assert_eq!(runs.lines().filter(|line| line.starts_with("config-changed")).count(), 2, "{runs}");
    assert!(scene.plane.counters().requests["director applicationsForRuntime"] <= 2, "a hook causes no polls");
}

#[tokio::test]
async fn a_hanging_hook_delays_neither_polls_nor_files_nor_the_end() {
    let scene = Scene::new().await;
    scene.host.hook("hanging", HANGING);
    let mut reins = Reins::new(&scene.host);
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    assert_eq!(reins.started().await, "paired");
    for number in 2..=3 {
        let published =
            |status: &Status| status.output.as_ref().is_some_and(|output| output.generation.0.get() == number - 1);
        agent.wait_for("the files", published).await;
        scene.plane.put_application(application(&format!("Number {number}"), "canary"));
        assert!(agent.sync().await.message.starts_with(&format!("Generation {number}: ")));
    }
    assert_eq!(agent.status().await.state, State::Healthy);
    reins.let_go().await;
    assert_eq!(reins.started().await, "config-changed");
    // Only the newest generation is of interest; and whoever ends the agent does not wait for its hooks.
    let began = Instant::now();
    assert_eq!(agent.terminate().await.code(), Some(0));
    assert!(began.elapsed().as_secs() < 5, "it took {:?}", began.elapsed());

    let agent = scene.host.start().await;
    assert_eq!(reins.started().await, "config-changed", "the hook was not done");
    reins.let_go().await;
    settled(&agent, 3).await;
}

#[tokio::test]
async fn a_hook_that_takes_too_long_is_ended_and_said_to() {
    let scene = Scene::with(plane::Options::default(), |settings| {
        settings.hooks.timeout = Seconds::new(1);
        settings.hooks.grace = Seconds::new(1);
    })
    .await;
    scene.host.hook("hanging", HANGING);
    let _reins = Reins::new(&scene.host);
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the hook to be ended", |status| failed_for(status, 1)).await;
    assert_eq!(status.apply.unwrap().hooks[0].outcome, HookOutcome::TimedOut);
    assert!(agent.sync().await.done);
}

#[tokio::test]
async fn without_an_applier_files_are_published_and_no_hook_runs() {
    let scene = Scene::with(plane::Options::default(), |settings| settings.apply.mode = ApplyMode::Off).await;
    scene.host.hook("record", RECORD);
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let published = |status: &Status| status.output.is_some() && status.state == State::Healthy;
    let status = agent.wait_for("the files", published).await;
    assert!(status.apply.is_none() && status.problems.is_empty());
    agent.sync().await;
    agent.terminate().await;
    assert_eq!(names(&scene.host.path("spool")), [""; 0]);
    assert!(!scene.host.path("apply").exists());
}

#[tokio::test]
async fn an_applier_that_cannot_be_reached_is_said_to_be_and_asked_again() {
    let scene = Scene::with(plane::Options::default(), |settings| settings.apply.mode = ApplyMode::Socket).await;
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let complaint = |status: &Status| problem(status, Area::Apply).contains("config-changed were not run");
    let status = agent.wait_for("the complaint", |status| !problem(status, Area::Apply).is_empty()).await;
    assert!(problem(&status, Area::Apply).contains("apply.sock"), "{}", problem(&status, Area::Apply));
    // The mode can be changed without a restart, and what waited is done.
    scene.host.configure(|_| {});
    agent.signal(nix::sys::signal::Signal::SIGHUP);
    let status = agent.wait_for("the hooks to be run", is_settled).await;
    assert!(!complaint(&status));
}

#[tokio::test]
async fn a_hook_is_told_what_happened_and_nothing_else() {
    let scene = Scene::new().await;
    scene.host.hook(
        "record",
        r#"cat >"$SPOOL/$1.json"; env >"$SPOOL/$1.env"; pwd >"$SPOOL/$1.pwd"; echo $# >"$SPOOL/$1.count""#,
    );
    // What the agent's own environment holds is not the hooks' business.
    let mut command = scene.host.command(&["run"]);
    command.env("SECRET_OF_THE_AGENT", "canary-environment");
    let agent = scene.host.start_command(command).await;
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing", is_settled).await;
    assert!(agent.renew().await.done);
    let told = |status: &Status| status.apply.as_ref().is_some_and(|apply| apply.event == "renewed");
    agent.wait_for("the renewal to be told", told).await;
    for event in ["paired", "config-changed", "renewed"] {
        let mut environment: Vec<_> =
            scene.host.read(&format!("spool/{event}.env")).lines().map(str::to_owned).collect();
        // The shell's own.
        environment.retain(|line| !["PWD=", "SHLVL=", "OLDPWD=", "_="].iter().any(|own| line.starts_with(own)));
        environment.sort();
        let state = scene.host.path("state");
        let mut wanted = vec![
            "LANG=C.UTF-8".to_owned(),
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            format!("RUNTIME_AGENT_CONFIG={}/config/current", state.display()),
            format!("RUNTIME_AGENT_EVENT={event}"),
            format!("RUNTIME_AGENT_STATE={}", state.display()),
        ];
        if event == "config-changed" {
            wanted.insert(4, "RUNTIME_AGENT_GENERATION=1".to_owned());
        }
        assert_eq!(environment, wanted);
        assert_eq!(scene.host.read(&format!("spool/{event}.pwd")), "/\n");
        assert_eq!(scene.host.read(&format!("spool/{event}.count")), "1\n");
        let told: serde_json::Value = serde_json::from_str(&scene.host.read(&format!("spool/{event}.json"))).unwrap();
        assert_eq!(told["event"], event);
    }
}

#[tokio::test]
async fn a_hook_that_others_could_have_written_does_not_run_and_is_named() {
    let scene = Scene::new().await;
    scene.host.hook("record", RECORD);
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(scene.host.path("hooks.d/record"), open).unwrap();
    let agent = scene.paired().await;
    let apply = agent.status().await.apply.unwrap();
    assert_eq!((apply.hooks.len(), apply.skipped[0].reason), (0, SkipReason::Writable));
    assert_eq!(names(&scene.host.path("spool")), [""; 0]);
    let page = said(&scene.host.run(&["status"], "").await);
    assert!(page.contains("record is not run: "), "{page}");
}
