//! Where the Connector sends the host: to its neighbours and to whom the configuration lists, and to nobody else.

use plane::Options;
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::config::Settings;

use nix::sys::signal::Signal;

use crate::scene::{Scene, is_settled, problem};

fn listed(settings: &mut Settings) {
    settings.plane.allowed_hosts = vec!["localhost".parse().unwrap()];
}

/// A plane whose Connector, met as 127.0.0.1, sends its hosts to localhost.
fn moving() -> Options {
    Options { announced_host: Some("localhost".to_owned()), ..Options::default() }
}

#[tokio::test]
async fn a_stranger_is_refused_by_name_and_a_reload_that_lists_it_saves_the_pairing() {
    let scene = Scene::with(moving(), |_| {}).await;
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let refused = |status: &Status| {
        status.state == State::ActionNeeded && problem(status, Area::Pairing).contains("leads to localhost:")
    };
    let status = agent.wait_for("the refusal", refused).await;
    let what = &status.problems[&Area::Pairing];
    assert!(what.what.contains("plane.allowed_hosts") && what.remedy.contains("systemctl reload"), "{what:?}");
    assert_eq!(scene.requests("signCertificateSigningRequest").len(), 0, "nothing is asked of a stranger's friend");
    scene.host.configure(listed);
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the pairing", is_settled).await;
    assert_eq!(scene.connector_requests(), 2, "the token was spent once");
    assert!(scene.plane.requests().iter().all(|request| request.operation.is_some()));
}

#[tokio::test]
async fn a_plane_that_moves_to_an_allowed_host_is_followed_and_that_is_announced() {
    let scene = Scene::with(Options::default(), listed).await;
    let agent = scene.paired().await;
    let before = agent.status().await.identity.unwrap();
    scene.plane.configure(|options| options.announced_host = Some("localhost".to_owned()));
    assert!(agent.renew().await.done);
    let moved = |status: &Status| status.identity.as_ref().is_some_and(|now| now.plane.starts_with("localhost:"));
    agent.wait_for("the move", moved).await;
    assert!(before.plane.starts_with("127.0.0.1:"), "{}", before.plane);
    assert!(
        scene.host.log().contains("the plane's Director has moved from https://127.0.0.1:"),
        "{}",
        scene.host.log()
    );
    assert!(scene.host.read("state/identity/current/identity.json").contains("https://localhost:"));
    assert!(agent.sync().await.done);
}

#[tokio::test]
async fn a_renewal_that_leads_to_a_stranger_leaves_the_host_where_it_is() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let before = agent.status().await.identity.unwrap();
    scene.plane.configure(|options| options.announced_host = Some("localhost".to_owned()));
    assert!(agent.renew().await.done);
    let refused = |status: &Status| problem(status, Area::Renewal).contains("leads to localhost:");
    let status = agent.wait_for("the refusal", refused).await;
    assert_eq!(status.identity.unwrap().fingerprint, before.fingerprint);
    assert!(agent.sync().await.done);
}
