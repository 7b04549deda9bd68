//! What the plane denies to a host whose certificate it takes is told by name, and passes when the plane is mended.

use plane::model::RUNTIME_SCOPES;
use plane::{Endpoint, Fault, Options, TokenForm};
use runtime_agent::agent::standing::Standing;
use runtime_agent::agent::status::{Area, Problem, State, Status};
use runtime_agent::config::{Seconds, Share};
use runtime_agent::pairing::Verdict;
use runtime_agent::transport::Denial;

use crate::host::{Agent, said};
use crate::scene::{Scene, is_settled, is_well, problem, verdict};
use crate::tree::everything;

fn denied(status: &Status, area: Area) -> Option<(&Problem, Denial)> {
    let problem = status.problems.get(&area)?;
    Some((problem, problem.denial?))
}

/// Has the plane asked twice while it denies something, and checks how that is told.
async fn is_told(scene: &Scene, agent: &Agent<'_>, denial: Denial, words: &str) {
    let before = everything(&scene.host.path("state"));
    let connector = scene.connector_requests();
    for _ in 0..2 {
        let answer = agent.sync().await;
        assert!(!answer.done && answer.message.contains(words), "{}", answer.message);
    }
    let status = agent.status().await;
    assert_eq!((status.state, status.standing), (State::ActionNeeded, Standing::Valid), "{}", status.headline);
    let (problem, told) = denied(&status, Area::Sync).unwrap();
    assert_eq!(told, denial);
    assert!(problem.what.starts_with(denial.sentence()) && problem.what.contains(words), "{}", problem.what);
    assert!(problem.remedy.starts_with("The files stay as they are, and the agent asks again"), "{}", problem.remedy);
    assert!(problem.remedy.ends_with(denial.advice()), "{}", problem.remedy);
    assert!(
        status.headline.ends_with(&format!("PROBLEM: {}; `runtime-agent status` tells more", denial.brief())),
        "{}",
        status.headline
    );
    assert!(status.sync.next.is_some(), "it is tried again");
    let log = scene.host.log();
    let errors = log.lines().filter(|line| line.contains(" ERROR ") && line.contains(&problem.what)).count();
    assert_eq!(errors, 1, "told once, not at every try: {log}");
    let page = scene.host.run(&["status"], "").await;
    assert_eq!(page.status.code(), Some(5));
    assert!(said(&page).contains(denial.sentence()) && said(&page).contains(denial.advice()), "{}", said(&page));
    assert_eq!(everything(&scene.host.path("state")), before, "something was written");
    assert_eq!(scene.connector_requests(), connector, "the certificate is not what is wrong");
}

/// Checks that all is well once the plane denies nothing any more.
async fn has_passed(agent: &Agent<'_>) {
    let answer = agent.sync().await;
    assert!(answer.done, "{}", answer.message);
    let status = agent.wait_for("all to be well again", is_settled).await;
    assert_eq!(status.problems.len(), 0);
}

#[tokio::test]
async fn missing_scopes_are_told_by_name_and_pass_when_they_are_granted() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.plane.set_scopes(&scene.runtime, &["runtime:read"]).unwrap();
    is_told(&scene, &agent, Denial::Scopes, "insufficient scopes provided [required=[application:read]").await;
    scene.plane.set_scopes(&scene.runtime, &RUNTIME_SCOPES).unwrap();
    has_passed(&agent).await;
}

#[tokio::test]
async fn a_plane_that_begins_to_insist_on_a_tenant_is_told_by_name() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.plane.configure(|options| options.tenant_required = true);
    is_told(&scene, &agent, Denial::TenantRequired, "Tenant is required").await;
    scene.plane.configure(|options| options.tenant_required = false);
    has_passed(&agent).await;
}

#[tokio::test]
async fn a_tenant_that_the_plane_does_not_know_is_told_by_name() {
    let scene = Scene::new().await;
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.plane.mint_token(&scene.runtime, TokenForm::KeyValue));
    agent.wait_for("the pairing", is_settled).await;
    let words = format!("Tenant not found [tenantID={}]", scene.plane.tenant());
    scene.plane.fault(Fault::on(Endpoint::Director).failure(25, &words));
    is_told(&scene, &agent, Denial::TenantNotFound, &words).await;
    scene.plane.clear_faults();
    has_passed(&agent).await;
}

#[tokio::test]
async fn a_runtime_that_the_plane_does_not_know_is_not_taken_for_a_rejected_certificate() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let director = || Fault::on(Endpoint::Director);
    scene.plane.fault(director().operation("Applications").failure(22, "Invalid data [reason=runtime does not exist]"));
    scene.plane.fault(director().operation("Runtime").body(r#"{"data":{"runtime":null}}"#));
    let words = format!("the plane knows no runtime with the id {}", scene.runtime);
    is_told(&scene, &agent, Denial::UnknownRuntime, &words).await;
    scene.plane.clear_faults();
    has_passed(&agent).await;
}

#[tokio::test]
async fn what_was_denied_and_is_granted_is_noticed_without_anybody_on_the_host() {
    let scene = Scene::with(Options::default(), |settings| {
        settings.sync.interval = Seconds::new(5);
        settings.sync.jitter = Share::new(0.0);
    })
    .await;
    let agent = scene.paired().await;
    scene.plane.set_scopes(&scene.runtime, &[]).unwrap();
    let denied = |status: &Status| denied(status, Area::Sync).is_some() && status.sync.failures >= 2;
    agent.wait_for("two denials that nobody ordered", denied).await;
    scene.plane.set_scopes(&scene.runtime, &RUNTIME_SCOPES).unwrap();
    agent.wait_for("the recovery", is_well).await;
    assert!(scene.host.log().contains("the problem with sync is over"));
}

#[tokio::test]
async fn a_certificate_whose_holder_lacks_scopes_is_kept_and_costs_no_second_token() {
    let scene = Scene::new().await;
    scene.plane.set_scopes(&scene.runtime, &[]).unwrap();
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the denial", |status| denied(status, Area::Pairing).is_some()).await;
    let (problem, denial) = denied(&status, Area::Pairing).unwrap();
    assert_eq!((status.state, denial), (State::ActionNeeded, Denial::Scopes), "{}", status.headline);
    assert!(problem.what.contains("insufficient scopes provided [required=[runtime:read]"), "{}", problem.what);
    let kept = "The new certificate is kept and waits for that; the agent asks again by itself.";
    assert!(problem.remedy.starts_with(kept) && problem.remedy.ends_with(denial.advice()), "{}", problem.remedy);
    assert!(status.headline.contains(denial.brief()), "{}", status.headline);
    assert_eq!(verdict(&status), Some(Verdict::InUse));
    agent.kill().await;
    let agent = scene.host.start().await;
    agent.wait_for("the denial after a restart", |status| denied(status, Area::Pairing).is_some()).await;
    scene.plane.set_scopes(&scene.runtime, &RUNTIME_SCOPES).unwrap();
    agent.wait_for("the pairing", is_settled).await;
    assert_eq!(scene.connector_requests(), 2, "one token, one certificate");
}

#[tokio::test]
async fn a_host_whose_token_named_no_tenant_is_paired_once_the_plane_finds_it_or_a_token_names_it() {
    let scene = Scene::with(Options { tenant_required: true, ..Options::default() }, |_| {}).await;
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let waits = |status: &Status| denied(status, Area::Pairing).is_some_and(|(_, told)| told == Denial::TenantRequired);
    agent.wait_for("the denial", waits).await;
    scene.host.drop_token(&scene.plane.mint_token(&scene.runtime, TokenForm::KeyValue));
    let status = agent.wait_for("the pairing by a token with a tenant", is_settled).await;
    assert_eq!(status.identity.unwrap().tenant.unwrap().as_str(), scene.plane.tenant());

    let other = crate::host::Host::new(&scene.plane, |_| {});
    let agent = other.start().await;
    other.drop_token(&scene.mint());
    agent.wait_for("the denial", waits).await;
    scene.plane.configure(|options| options.tenant_required = false);
    agent.wait_for("the pairing without a tenant", is_settled).await;
}

#[tokio::test]
async fn a_token_that_was_made_for_no_runtime_is_told_to_be_and_another_mends_it() {
    let scene = Scene::new().await;
    let stranger = r#"{"data":{"viewer":{"id":"app-1","type":"APPLICATION"}}}"#;
    scene.plane.fault(Fault::on(Endpoint::Director).operation("viewer").body(stranger));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the refusal", |status| verdict(status) == Some(Verdict::Refused)).await;
    let told = problem(&status, Area::Pairing);
    assert!(told.contains("for the plane, this host is of the type APPLICATION, not RUNTIME"), "{told}");
    assert!(told.contains("Have a token made for a runtime"), "{told}");
    scene.plane.clear_faults();
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing by a good token", is_settled).await;
}

#[tokio::test]
async fn a_renewed_certificate_that_is_taken_for_an_application_leaves_the_one_in_use() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let before = agent.status().await.identity.unwrap().fingerprint;
    let stranger = r#"{"data":{"viewer":{"id":"app-1","type":"APPLICATION"}}}"#;
    scene.plane.fault(Fault::on(Endpoint::Director).operation("viewer").body(stranger));
    assert!(agent.renew().await.done);
    let status = agent.wait_for("the refusal", |status| !problem(status, Area::Renewal).is_empty()).await;
    assert!(problem(&status, Area::Renewal).contains("is of the type APPLICATION"), "{:?}", status.problems);
    assert!(agent.sync().await.done, "the one in use is as good as it was");
    assert_eq!(agent.status().await.identity.unwrap().fingerprint, before);
}
