//! What the host tells the plane of itself.

use nix::sys::signal::Signal;
use plane::{Endpoint, Fault, Options};
use runtime_agent::agent::status::{Area, State};
use runtime_agent::config::Settings;
use serde_json::{Value, json};

use crate::scene::{Scene, is_settled, problem};

const EVENTS: &str = "https://events.host-1.example.com/in?a=b";
const CONSOLE: &str = "https://console.host-1.example.com";

fn both(settings: &mut Settings) {
    settings.report.events_url = Some(EVENTS.parse().unwrap());
    settings.report.console_url = Some(CONSOLE.parse().unwrap());
}

fn label(scene: &Scene, key: &str) -> Option<Value> {
    scene.plane.runtime_labels(&scene.runtime).get(key).cloned()
}

/// Waits until both labels are set.
async fn are_set(scene: &Scene) {
    let runtime = &scene.runtime;
    let set = |state: &plane::State| {
        let labels = &state.model.runtimes[runtime].labels;
        labels.get("runtime_eventServiceUrl") == Some(&json!(EVENTS))
            && labels.get("runtime_consoleUrl") == Some(&json!(CONSOLE))
    };
    crate::host::within("the labels", scene.plane.wait_until(set)).await;
}

#[tokio::test]
async fn labels_are_set_once_the_files_are_applied_and_not_again_when_they_are_equal() {
    let scene = Scene::with(Options::default(), both).await;
    scene.host.hook("late", r#"test -e "$SPOOL/ready" || { cat >/dev/null; exit 1; }"#);
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let failed = |status: &runtime_agent::agent::status::Status| {
        status.apply.as_ref().is_some_and(|apply| apply.generation.is_some() && !apply.succeeded)
    };
    agent.wait_for("the hook to fail", failed).await;
    assert!(agent.sync().await.done);
    assert_eq!(scene.requests("setRuntimeLabel").len(), 0, "what the labels speak of is not in place yet");
    std::fs::write(scene.host.path("spool/ready"), "").unwrap();
    are_set(&scene).await;
    agent.wait_for("all to be well", is_settled).await;
    assert_eq!(scene.requests("setRuntimeLabel").len(), 2);

    // A reload and a restart look again, and find nothing to do.
    let looked = scene.requests("Runtime").len();
    agent.signal(Signal::SIGHUP);
    let again = |all: &[plane::Request]| all.iter().filter(|request| request.is("Runtime")).count() > looked;
    scene.asked("the labels to be looked at", again).await;
    agent.sync().await;
    agent.terminate().await;
    let agent = scene.host.start().await;
    let again = |all: &[plane::Request]| all.iter().filter(|request| request.is("Runtime")).count() > looked + 1;
    scene.asked("the labels to be looked at", again).await;
    agent.sync().await;
    assert_eq!(scene.requests("setRuntimeLabel").len(), 2);
}

#[tokio::test]
async fn only_the_label_that_differs_is_set_and_others_are_left_alone() {
    let scene = Scene::with(Options::default(), both).await;
    scene.plane.set_runtime_label(&scene.runtime, "runtime_consoleUrl", json!(CONSOLE)).unwrap();
    scene.plane.set_runtime_label(&scene.runtime, "somebody-elses", json!(["x"])).unwrap();
    let _agent = scene.paired().await;
    are_set(&scene).await;
    assert_eq!(scene.requests("setRuntimeLabel").len(), 1);
    assert_eq!(label(&scene, "somebody-elses"), Some(json!(["x"])));
}

#[tokio::test]
async fn nothing_is_reported_where_nothing_is_configured() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    agent.sync().await;
    assert_eq!(scene.requests("setRuntimeLabel").len() + scene.requests("Runtime").len(), 0);
}

#[tokio::test]
async fn a_label_that_cannot_be_set_disturbs_nothing_and_is_tried_again() {
    let scene = Scene::with(Options::default(), both).await;
    let fault = Fault::on(Endpoint::Director).operation("setRuntimeLabel").failure(23, "insufficient scopes");
    scene.plane.fault(fault);
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the complaint", |status| !problem(status, Area::Report).is_empty()).await;
    assert_eq!(status.state, State::Degraded);
    assert!(problem(&status, Area::Report).contains("insufficient scopes"), "{}", problem(&status, Area::Report));
    scene.plane.put_application(crate::following::application("New", "canary-new"));
    assert!(agent.sync().await.message.starts_with("Generation 2: 4 applications"));
    scene.plane.clear_faults();
    are_set(&scene).await;
    agent.wait_for("all to be well", is_settled).await;
}

#[tokio::test]
async fn further_labels_are_set_where_they_differ() {
    let configured: Settings =
        toml::from_str("[report]\nlabels = { site = \"fra-1\", owner = \"team orders\" }").unwrap();
    let labels = configured.report.labels;
    let scene = Scene::with(Options::default(), |settings| settings.report.labels = labels).await;
    scene.plane.set_runtime_label(&scene.runtime, "owner", json!("team orders")).unwrap();
    let _agent = scene.paired().await;
    let set = |state: &plane::State| state.model.runtimes[&scene.runtime].labels.get("site") == Some(&json!("fra-1"));
    crate::host::within("the label", scene.plane.wait_until(set)).await;
    assert_eq!(scene.requests("setRuntimeLabel").len(), 1);
}
