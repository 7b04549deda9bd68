//! A kill or a lost answer in the middle of pairing costs nothing that the plane still honours, and what it costs is
//! told.

use std::time::Duration;

use plane::{Endpoint, Fault};
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::pairing::Verdict;

use crate::scene::{Scene, carried_out, is_settled, problem, verdict};

const SIGN: &str = "signCertificateSigningRequest";

fn at_connector(operation: &str) -> Fault {
    Fault::on(Endpoint::Connector).operation(operation)
}

/// The request is carried out, and its answer does not come in any test's life.
fn never_answered(fault: Fault) -> Fault {
    fault.delay(Duration::from_secs(24 * 3600))
}

#[tokio::test]
async fn a_kill_between_token_and_certificate_costs_no_token() {
    let scene = Scene::new().await;
    // Every signing request is lost on its way to the plane.
    scene.plane.fault(at_connector(SIGN).reset());
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    scene.asked("a signing request", |all| all.iter().any(|request| request.is(SIGN))).await;
    agent.kill().await;
    assert!(!scene.host.token().exists(), "the first token is spent");
    assert!(scene.host.path("state/pairing.json").exists(), "the second one is kept");
    scene.plane.clear_faults();
    let agent = scene.host.start().await;
    let status = agent.wait_for("the pairing", is_settled).await;
    assert_eq!(verdict(&status), Some(Verdict::Paired));
    assert_eq!(scene.requests("configuration").len(), 1, "the first token was used once");
    assert_eq!(carried_out(&scene.plane.requests(), SIGN), 1);
    assert!(!scene.host.path("state/pairing.json").exists(), "and then it is forgotten");
}

#[tokio::test]
async fn a_plane_that_goes_away_between_token_and_certificate_costs_no_token_even_with_a_kill() {
    for killed in [false, true] {
        let scene = Scene::new().await;
        // The first connection brings the second token; the next is cut in the middle, and then nobody listens.
        scene.plane.fault(at_connector(SIGN).reset().times(1));
        scene.plane.fault(Fault::on(Endpoint::Connector).refuse().after(2));
        let mut agent = scene.host.start().await;
        scene.host.drop_token(&scene.mint());
        let refused = |status: &Status| problem(status, Area::Pairing).contains("no connection came about");
        agent.wait_for("a connection that is refused", refused).await;
        assert!(!scene.host.token().exists() && scene.host.path("state/pairing.json").exists());
        if killed {
            agent.kill().await;
            agent = scene.host.start().await;
        }
        scene.plane.clear_faults();
        let status = agent.wait_for("the pairing", is_settled).await;
        assert_eq!(verdict(&status), Some(Verdict::Paired));
        assert_eq!((scene.requests("configuration").len(), carried_out(&scene.plane.requests(), SIGN)), (1, 1));
    }
}

#[tokio::test]
async fn a_kill_while_the_plane_signs_is_told_to_need_a_new_token_and_why() {
    let scene = Scene::new().await;
    scene.plane.fault(never_answered(at_connector(SIGN)));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    scene.asked("the signing", |all| carried_out(all, SIGN) == 1).await;
    agent.kill().await;
    scene.plane.clear_faults();
    let agent = scene.host.start().await;
    needs_a_new_token(&scene, &agent, "the answer to an earlier signing request was lost").await;
}

#[tokio::test]
async fn a_lost_answer_to_the_signing_request_is_told_to_need_a_new_token_and_why() {
    let scene = Scene::new().await;
    scene.plane.fault(at_connector(SIGN).lost_answer().times(1));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    needs_a_new_token(&scene, &agent, "the answer to an earlier signing request was lost").await;
    assert_eq!(scene.requests("configuration").len(), 2, "one for each token");
}

#[tokio::test]
async fn a_lost_answer_to_the_token_is_told_to_need_a_new_one_and_why() {
    let scene = Scene::new().await;
    scene.plane.fault(at_connector("configuration").lost_answer().times(1));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    needs_a_new_token(&scene, &agent, "after a request whose answer was lost; that request probably spent it").await;
}

#[tokio::test]
async fn a_kill_while_the_token_is_presented_is_told_to_need_a_new_one_and_why() {
    let scene = Scene::new().await;
    scene.plane.fault(never_answered(at_connector("configuration")));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    scene.asked("the token", |all| carried_out(all, "configuration") == 1).await;
    agent.kill().await;
    assert!(scene.host.token().exists(), "nobody knows yet whether it is spent");
    scene.plane.clear_faults();
    let agent = scene.host.start().await;
    needs_a_new_token(&scene, &agent, "after a request whose answer was lost; that request probably spent it").await;
}

/// The status says that a new token is needed, and why; a new token then pairs without a restart.
async fn needs_a_new_token(scene: &Scene, agent: &crate::host::Agent<'_>, why: &str) {
    let status = agent.wait_for("the refusal", |status| verdict(status) == Some(Verdict::Refused)).await;
    let status =
        agent.wait_for("the end of it", |new| new.revision >= status.revision && new.endeavour.is_none()).await;
    let what = problem(&status, Area::Pairing);
    assert!(what.contains(why), "{what}");
    assert_eq!(status.state, State::ActionNeeded);
    assert!(status.headline.ends_with("Drop a new token."), "{}", status.headline);
    assert!(scene.host.log().contains(what));
    assert!(!scene.host.token().exists() && !scene.host.path("state/pairing.json").exists());
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing by a new token", is_settled).await;
}

#[tokio::test]
async fn a_kill_after_the_certificate_came_costs_no_request_to_the_connector() {
    for operation in ["viewer", "applicationsForRuntime"] {
        let scene = Scene::new().await;
        scene.plane.fault(never_answered(Fault::on(Endpoint::Director).operation(operation)));
        let agent = scene.host.start().await;
        scene.host.drop_token(&scene.mint());
        scene.asked(operation, |all| carried_out(all, operation) == 1).await;
        agent.kill().await;
        scene.plane.clear_faults();
        let agent = scene.host.start().await;
        let status = agent.wait_for("the pairing", is_settled).await;
        assert_eq!(verdict(&status), Some(Verdict::Paired));
        assert_eq!(scene.connector_requests(), 2, "killed at {operation}");
    }
}

#[tokio::test]
async fn a_token_that_is_dropped_in_the_middle_does_not_cost_the_pairing_that_is_under_way() {
    let scene = Scene::new().await;
    scene.plane.fault(at_connector(SIGN).reset());
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    scene.asked("a signing request", |all| all.iter().any(|request| request.is(SIGN))).await;
    scene.host.drop_token(&format!("{}?token=canary-of-nobody", scene.plane.connector_url()));
    agent.wait_for("the other token to be seen", |status| verdict(status) == Some(Verdict::InUse)).await;
    scene.plane.clear_faults();
    let status = agent.wait_for("its refusal", |status| verdict(status) == Some(Verdict::Refused)).await;
    assert!(status.identity.is_some(), "the first token came first");
    agent.wait_for("all to be well", is_settled).await;
    assert_eq!(carried_out(&scene.plane.requests(), SIGN), 1);
    assert!(!scene.host.token().exists());
}
