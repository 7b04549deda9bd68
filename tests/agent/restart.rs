//! Ending and starting: soon, cleanly, and without costing the plane anything.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plane::{Endpoint, Fault, Options};
use runtime_agent::agent::status::{Area, Severity, State, Status};
use runtime_agent::config::{LogLevel, Seconds, Settings};

use crate::host::{Agent, said};
use crate::kills::trace::{need_strace, without_descriptors};
use crate::scene::{Scene, asked_since_the_start, is_settled, problem};
use crate::tree::everything;

/// The promise is a second; a machine that is busy with other tests may take longer.
const SOON: Duration = Duration::from_secs(5);

/// Ends the agent as systemd does, and checks that it goes soon and cleanly.
async fn ends_soon(scene: &Scene, agent: Agent<'_>) {
    let began = Instant::now();
    let status = agent.terminate().await;
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    assert_eq!(status.code(), Some(0));
    assert!(!scene.host.path("run/control.sock").exists(), "the control socket is left behind");
}

/// What a restart must leave as it is.
fn published(scene: &Scene) -> Vec<(std::path::PathBuf, crate::tree::Entry)> {
    let mut all = everything(&scene.host.path("state"));
    // The lock is opened anew, and nothing is in it.
    all.retain(|path, _| path.starts_with("config") || path.starts_with("identity"));
    // Folders are looked after at the start; what counts is what is in them.
    all.retain(|_, entry| entry.kind != crate::tree::Kind::Folder);
    all.into_iter().collect()
}

async fn goes_on(scene: &Scene, before: &[(std::path::PathBuf, crate::tree::Entry)]) {
    let asked = scene.connector_requests();
    let agent = scene.host.start().await;
    let fresh = |status: &Status| is_settled(status) && asked_since_the_start(status);
    agent.wait_for("a poll after the restart", fresh).await;
    assert_eq!(scene.connector_requests(), asked, "the Connector is not asked");
    assert_eq!(published(scene), before, "nothing is written anew");
    ends_soon(scene, agent).await;
}

#[tokio::test]
async fn a_restart_keeps_the_pairing_and_the_files_without_asking_the_connector() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let before = published(&scene);
    ends_soon(&scene, agent).await;
    goes_on(&scene, &before).await;
}

#[tokio::test]
async fn a_kill_keeps_the_pairing_and_the_files_without_asking_the_connector() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let before = published(&scene);
    agent.kill().await;
    assert!(scene.host.path("run/control.sock").exists(), "nobody could remove it");
    goes_on(&scene, &before).await;
}

#[tokio::test]
async fn the_agent_ends_soon_whatever_it_waits_for() {
    let scene = Scene::new().await;
    // For a token,
    ends_soon(&scene, scene.host.start().await).await;
    // for the Connector's answer,
    scene.plane.fault(Fault::on(Endpoint::Connector).delay(Duration::from_secs(3600)).times(1));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.plane.mint_token(&scene.plane.register_runtime("another"), plane::TokenForm::Json));
    scene.asked("the token", |all| !all.is_empty()).await;
    ends_soon(&scene, agent).await;
    std::fs::remove_file(scene.host.token()).unwrap();
    // for the Director's answer,
    let agent = scene.paired().await;
    scene.plane.clear_requests();
    scene.plane.fault(Fault::on(Endpoint::Director).delay(Duration::from_secs(3600)));
    agent.signal(Signal::SIGUSR1);
    scene.asked("a poll", |all| !all.is_empty()).await;
    ends_soon(&scene, agent).await;
    scene.plane.clear_faults();
    // for whoever waits for news of it.
    let agent = scene.host.start().await;
    let status = agent.wait_for("a settled agent", is_settled).await;
    let client = runtime_agent::control::Client::new(&scene.host.path("run/control.sock")).unwrap();
    let (_, ()) = tokio::join!(client.status(Some(status.revision)), ends_soon(&scene, agent));
}

#[tokio::test]
async fn the_agent_ends_soon_while_a_key_is_made() {
    let scene = Scene::with(Options::default(), |_| {}).await;
    scene.plane.set_key_algorithm(plane::KeyAlgorithm::Rsa4096);
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let at_keys = |status: &Status| status.endeavour.as_deref() == Some("asking the Connector for a certificate");
    agent.wait_for("the making of the key", at_keys).await;
    ends_soon(&scene, agent).await;
    let agent = scene.host.start().await;
    agent.wait_for("the pairing", is_settled).await;
}

#[tokio::test]
async fn a_second_agent_on_one_state_is_refused_and_does_not_disturb_the_first() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let second = scene.host.run(&["run"], "").await;
    assert_eq!(second.status.code(), Some(1));
    assert!(said(&second).contains("another runtime-agent is at work on"), "{}", said(&second));
    assert!(agent.sync().await.done, "the first one still answers on its socket");
}

/// How long after the last poll the next one comes.
fn pause(status: &Status) -> Option<Duration> {
    let (last, next) = (status.sync.last_success?, status.sync.next?);
    Some(next.duration_since(last).try_into().unwrap_or_default())
}

#[tokio::test]
async fn a_changed_configuration_is_in_force_after_a_reload() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let before = agent.status().await;
    assert!(pause(&before).unwrap() > Duration::from_secs(1800));
    scene.host.configure(|settings| settings.sync.interval = Seconds::new(5));
    agent.signal(Signal::SIGHUP);
    let short = |status: &Status| pause(status).is_some_and(|pause| pause < Duration::from_secs(10));
    agent.wait_for("polls every five seconds", short).await;
    let so_far = scene.requests("applicationsForRuntime").len();
    // The next one comes by itself.
    scene.asked("a poll that nobody ordered", |all| carried(all) > so_far).await;
    let after = agent.status().await;
    assert_eq!(after.agent.pid, before.agent.pid);
    assert_eq!(after.identity.unwrap().fingerprint, before.identity.unwrap().fingerprint);
    let told = agent.told();
    assert!(told.contains("RELOADING=1\nMONOTONIC_USEC=") && told.matches("READY=1").count() == 1, "{told}");
    assert!(scene.host.log().contains("the configuration was read again and is in force"));
}

fn carried(requests: &[plane::Request]) -> usize {
    requests.iter().filter(|request| request.is("applicationsForRuntime")).count()
}

#[tokio::test]
async fn a_broken_configuration_is_refused_at_a_reload_and_the_old_one_stays() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.host.write_configuration("[sync]\nintervall = \"5s\"\n");
    agent.signal(Signal::SIGHUP);
    let status = agent.wait_for("the refusal", |status| !problem(status, Area::Configuration).is_empty()).await;
    let broken = &status.problems[&Area::Configuration];
    assert!(broken.what.contains("line 2") && broken.what.contains("`interval`"), "{}", broken.what);
    assert_eq!(broken.severity, Severity::ActionNeeded);
    assert_eq!(status.state, State::ActionNeeded);
    assert!(agent.sync().await.done, "polls go on");
    assert!(pause(&agent.status().await).unwrap() > Duration::from_secs(1800), "with the old interval");

    scene.host.configure(|_| {});
    agent.signal(Signal::SIGHUP);
    agent.wait_for("all to be well again", is_settled).await;
}

#[tokio::test]
async fn a_configuration_that_the_system_did_not_let_be_read_is_read_again_without_anybody() {
    need_strace();
    let scene = Scene::new().await;
    let agent = scene.host.start_command(without_descriptors(&scene.host, "agent.toml", "2")).await;
    scene.host.drop_token(&scene.mint());
    let itself = agent.wait_for("the files", is_settled).await.agent.pid;
    scene.host.configure(|settings| settings.sync.interval = Seconds::new(1800));
    kill(Pid::from_raw(itself.try_into().unwrap()), Signal::SIGHUP).unwrap();
    let status = agent.wait_for("the complaint", |status| !problem(status, Area::Configuration).is_empty()).await;
    let told = &status.problems[&Area::Configuration];
    assert!(told.what.contains("Too many open files"), "{}", told.what);
    assert_eq!(told.severity, Severity::Transient);
    assert!(told.remedy.ends_with("the agent reads the new one again by itself."), "{}", told.remedy);
    let shorter = |status: &Status| pause(status).is_some_and(|pause| pause < Duration::from_secs(2000));
    agent.wait_for("the new interval", |status| status.problems.is_empty() && shorter(status)).await;
}

#[tokio::test]
async fn what_takes_a_restart_is_said_to_at_a_reload() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.host.configure(|settings| {
        settings.paths.state = scene.host.path("elsewhere");
        settings.sync.interval = Seconds::new(1800);
    });
    agent.signal(Signal::SIGHUP);
    let status = agent
        .wait_for("the other interval", |status| pause(status).is_some_and(|pause| pause < Duration::from_secs(2000)))
        .await;
    assert_eq!(status.state, State::Healthy);
    assert!(scene.host.log().contains("those take `systemctl restart runtime-agent`"));
    assert!(!scene.host.path("elsewhere").exists());
    assert_eq!(status.awaiting_restart, ["paths.state"]);
    let page = said(&scene.host.run(&["status"], "").await);
    assert!(page.contains("not in force  changes of paths.state: they wait for a restart"), "{page}");

    // Back as it was, nothing waits any more, nor after a restart.
    let logged = |settings: &mut Settings| settings.log.level = LogLevel::Debug;
    scene.host.configure(logged);
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the other key", |status| status.awaiting_restart == ["log.level"]).await;
    scene.host.configure(|_| {});
    agent.signal(Signal::SIGHUP);
    agent.wait_for("nothing to wait for", |status| status.awaiting_restart.is_empty()).await;
    scene.host.configure(logged);
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the key once more", |status| !status.awaiting_restart.is_empty()).await;
    agent.terminate().await;
    let agent = scene.host.start().await;
    assert_eq!(agent.status().await.awaiting_restart, [""; 0]);
}
