//! An answer that is not whole changes nothing.

use std::time::Duration;

use plane::{Endpoint, Fault, Options};
use runtime_agent::agent::status::{Area, State};
use runtime_agent::config::{ByteSize, Seconds};

use crate::following::application;
use crate::scene::{Scene, is_settled, problem};
use crate::tree::everything;

fn fault() -> Fault {
    Fault::on(Endpoint::Director).operation("applicationsForRuntime")
}

/// What is wrong, and what is said of it.
fn faults() -> Vec<(Fault, &'static str)> {
    vec![
        (fault().errors_beside("one subgraph is away"), "one subgraph is away"),
        (fault().failure(10, "internal server error"), "(code 10)"),
        (fault().failure(26, "unauthorized"), "(code 26)"),
        (fault().status(500, "oops"), "HTTP status 500, saying \u{201c}oops\u{201d}"),
        (fault().status(404, "page not found"), "HTTP status 404"),
        (fault().rate_limited(None), "HTTP status 429"),
        (fault().truncate(100), "the connection ended before the answer was complete"),
        (fault().reset(), "the connection ended before the answer was complete"),
        (fault().huge(1 << 40), "the answer is larger than the limit of 1048576 bytes"),
        (fault().gzip_bomb(16 << 20), "the answer is larger than the limit of 1048576 bytes"),
        (fault().gzip_nothing(1 << 40), "the answer is larger than the limit of 1048576 bytes"),
        (fault().content_encoding("br"), "it is compressed in a way that was not asked for, \u{201c}br\u{201d}"),
        (fault().content_encoding("gzip"), "its compression cannot be undone"),
        (fault().body("<html>Sign in</html>"), "it is not JSON from line 1 on"),
        (fault().body(""), "it is not JSON"),
        (fault().body("{}"), "it has neither data nor errors"),
        (fault().body(r#"{"data":null}"#), "it has neither data nor errors"),
        (fault().body(r#"{"data":{}}"#), "the answer is incomplete"),
        (fault().body(r#"{"data":{"applicationsForRuntime":null}}"#), "the answer is incomplete"),
        (
            fault().body(r#"{"data":{"applicationsForRuntime":{"data":[{"id":["canary-id"]}]}}}"#),
            "at data.applicationsForRuntime.data[0].id: invalid type: sequence, expected a string",
        ),
        (
            fault().body(r#"{"data":{"applicationsForRuntime":{"data":[]}}}"#),
            "at data.applicationsForRuntime: missing field `pageInfo`",
        ),
        (fault().null_field("bundles"), "bundles"),
        (fault().null_field_first("bundles", 1), "bundles"),
        (fault().absent_field("bundles"), "bundles"),
        (fault().absent_field("apiDefinitions"), "piDefinitions"),
        (fault().absent_field("eventDefinitions"), "ventDefinitions"),
        (fault().null_field("defaultInstanceAuth"), "defaultInstanceAuth"),
        (fault().total_count(1), "applications"),
        (fault().total_count(-1), "applications"),
    ]
}

/// Lets one fault after the other show in polls, and checks that each changes nothing and is told.
async fn changes_nothing(scene: &Scene, faults: Vec<(Fault, &str)>) {
    let agent = scene.paired().await;
    // From here on the plane has something new to say.
    scene.plane.put_application(application("New", "canary-new"));
    let before = everything(&scene.host.path("state"));
    for (fault, sentence) in faults {
        let name = format!("{:?}", fault.effect);
        scene.plane.fault(fault);
        let answer = agent.sync().await;
        assert!(!answer.done, "{name}: {}", answer.message);
        assert!(answer.message.contains(sentence), "{name}: {}", answer.message);
        let status = agent.status().await;
        assert!(matches!(status.state, State::Degraded | State::ActionNeeded), "{name}: {:?}", status.state);
        assert!(problem(&status, Area::Sync).contains(sentence), "{name}: {}", problem(&status, Area::Sync));
        assert!(status.headline.contains("The files stay as they are"), "{name}: {}", status.headline);
        assert!(status.sync.next.is_some(), "{name}: it is tried again");
        assert_eq!(everything(&scene.host.path("state")), before, "{name}: something was written");
        scene.plane.clear_faults();
    }
    assert!(agent.sync().await.message.starts_with("Generation 2: 4 applications; 1 added, 0 changed, 0 removed"));
    agent.wait_for("all to be well again", is_settled).await;
}

#[tokio::test]
async fn an_answer_that_is_not_whole_changes_nothing_and_is_told_in_a_sentence() {
    let scene = Scene::with(Options::default(), |settings| settings.plane.max_answer = ByteSize::new(1 << 20)).await;
    changes_nothing(&scene, faults()).await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_changes_nothing_and_is_told_in_a_sentence() {
    let scene = Scene::with(Options::default(), |settings| {
        settings.plane.answer_timeout = Seconds::new(1);
        settings.plane.stall_timeout = Seconds::new(1);
    })
    .await;
    let long = Duration::from_secs(24 * 3600);
    let faults = vec![(fault().delay(long), "no answer within 1 s"), (fault().drip(1, long), "no answer within 1 s")];
    changes_nothing(&scene, faults).await;
}

#[tokio::test]
async fn a_plane_that_fails_is_asked_again_by_itself_and_less_and_less_often() {
    let scene = Scene::with(Options::default(), |settings| {
        settings.sync.interval = Seconds::new(5);
        settings.sync.jitter = runtime_agent::config::Share::new(0.0);
    })
    .await;
    let agent = scene.paired().await;
    scene.plane.fault(fault().status(503, "busy").times(2));
    assert!(!agent.sync().await.done);
    let failed = agent.wait_for("a failure that nobody ordered", |status| status.sync.failures == 2).await;
    assert_eq!(failed.state, State::Degraded);
    agent.wait_for("the recovery", |status| status.sync.failures == 0 && status.state == State::Healthy).await;
    let log = scene.host.log();
    assert_eq!(log.matches("WARN The plane gave no usable list").count(), 1, "told once, not at every try: {log}");
    assert!(log.contains("the problem with sync is over"));
}

#[tokio::test]
async fn a_plane_that_asks_for_patience_gets_it() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.plane.fault(fault().rate_limited(Some(plane::RetryAfter::Seconds(1800))));
    assert!(!agent.sync().await.done);
    let sync = agent.status().await.sync;
    let wait = sync.next.unwrap().duration_since(sync.last_try.unwrap());
    assert!(wait >= jiff::SignedDuration::from_secs(1800), "{wait}");
}
