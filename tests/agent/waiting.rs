//! While the plane cannot be had, pairing waits and goes on by itself.

use std::time::Duration;

use jiff::Timestamp;
use plane::{Endpoint, Fault, RetryAfter, ServerCertificate};
use runtime_agent::agent::status::{Area, State};

use crate::scene::{Scene, carried_out, is_settled, problem};

/// When a request was made.
fn at(request: &plane::Request) -> Timestamp {
    request.time.parse().unwrap()
}

#[tokio::test]
async fn a_plane_that_cannot_be_reached_is_asked_again_until_it_answers() {
    let scene = Scene::new().await;
    scene.plane.fault(Fault::on(Endpoint::Connector).refuse());
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let failed_twice = |status: &runtime_agent::agent::status::Status| {
        status.endeavour.as_ref().is_some_and(|endeavour| endeavour.ends_with("(tries that failed so far: 2)"))
    };
    let status = agent.wait_for("the second try", failed_twice).await;
    assert_eq!(status.state, State::Pairing);
    let what = problem(&status, Area::Pairing);
    assert!(what.starts_with("Pairing waits: configuration at 127.0.0.1:"), "{what}");
    assert!(status.headline.ends_with("The agent tries again by itself."), "{}", status.headline);
    assert!(scene.host.token().exists(), "the token stays until the plane has taken it");
    assert_eq!(scene.host.run(&["status"], "").await.status.code(), Some(3));
    assert_eq!(scene.plane.requests().len(), 0);

    scene.plane.clear_faults();
    agent.wait_for("the pairing", is_settled).await;
    assert_eq!(scene.connector_requests(), 2);
    assert!(!scene.host.token().exists());
}

#[tokio::test]
async fn resets_and_busy_gateways_are_waited_out_and_the_token_is_used_once() {
    let scene = Scene::new().await;
    // One after the other: each lets pass what is meant for those before it.
    let faults = [
        Fault::on(Endpoint::Connector).reset(),
        Fault::on(Endpoint::Connector).status(503, "the upstream is away"),
        Fault::on(Endpoint::Connector).rate_limited(Some(RetryAfter::Seconds(1))),
    ];
    for (place, fault) in (0..).zip(faults) {
        scene.plane.fault(fault.after(place).times(1));
    }
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing", is_settled).await;
    let asked = scene.requests("configuration");
    assert_eq!(asked.len(), 4);
    assert_eq!(carried_out(&asked, "configuration"), 1, "the token is used once");
    let pauses: Vec<_> = asked.windows(2).map(|pair| at(&pair[1]).duration_since(at(&pair[0]))).collect();
    assert!(pauses.iter().all(|pause| *pause >= jiff::SignedDuration::from_millis(250)), "{pauses:?}");
    assert!(pauses[2] >= jiff::SignedDuration::from_secs(1), "what the plane asks for is waited for: {pauses:?}");
    let log = scene.host.log();
    for word in ["HTTP status 503, saying \u{201c}the upstream is away\u{201d}", "HTTP status 429, to be retried after"]
    {
        assert!(log.contains(word), "{word}");
    }
}

#[tokio::test]
async fn a_plane_that_is_busy_when_it_is_to_sign_is_waited_for() {
    let scene = Scene::new().await;
    let signing = || Fault::on(Endpoint::Connector).operation("signCertificateSigningRequest");
    scene.plane.fault(signing().times(1).status(503, "busy"));
    scene.plane.fault(signing().after(1).times(1).rate_limited(Some(RetryAfter::Date(2))));
    scene.plane.fault(Fault::on(Endpoint::Director).operation("viewer").times(1).status(502, "not yet"));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing", is_settled).await;
    let all = scene.plane.requests();
    assert_eq!(carried_out(&all, "configuration"), 1);
    assert_eq!(carried_out(&all, "signCertificateSigningRequest"), 1);
    assert_eq!(carried_out(&all, "viewer"), 1);
    let signings = scene.requests("signCertificateSigningRequest");
    // A date has whole seconds only.
    let pause = at(&signings[2]).duration_since(at(&signings[1]));
    assert!(pause >= jiff::SignedDuration::from_secs(1), "what the plane asks for is waited for: {pause}");
}

#[tokio::test]
async fn a_server_that_is_not_the_plane_is_not_shown_the_token() {
    let scene = Scene::new().await;
    for certificate in [ServerCertificate::Untrusted, ServerCertificate::WrongName, ServerCertificate::Expired] {
        scene.plane.fault(Fault::on(Endpoint::Connector).server_certificate(certificate));
        let agent = scene.host.start().await;
        scene.host.drop_token(&scene.mint());
        let status =
            agent.wait_for("the complaint", |status| problem(status, Area::Pairing).contains("is not trusted")).await;
        assert_eq!(status.state, State::ActionNeeded, "{certificate:?}: this hardly passes without a person");
        assert!(scene.host.token().exists());
        agent.terminate().await;
        scene.plane.clear_faults();
    }
    assert_eq!(scene.plane.requests().len(), 0);
    let agent = scene.host.start().await;
    agent.wait_for("the pairing", is_settled).await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up_in_time() {
    let scene = Scene::with(plane::Options::default(), |settings| {
        settings.plane.answer_timeout = runtime_agent::config::Seconds::new(1);
    })
    .await;
    let slow = Fault::on(Endpoint::Director).operation("viewer").delay(Duration::from_secs(3600));
    scene.plane.fault(slow.times(1));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the complaint", |status| problem(status, Area::Pairing).contains("no answer within 1 s")).await;
    agent.wait_for("the pairing", is_settled).await;
}
