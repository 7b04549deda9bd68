//! `runtime-agent unpair`: the plane forgets the host, the host the plane, and who waits for news of it gets them.

use std::fs;

use plane::{Endpoint, Fault};
use runtime_agent::agent::standing::Standing;
use runtime_agent::agent::status::{State, Status};
use runtime_agent::pairing::Verdict;

use crate::following::RECORD;
use crate::host::{names, said};
use crate::scene::{Scene, is_settled, verdict};
use crate::tree::everything;

fn is_unpaired(status: &Status) -> bool {
    status.state == State::Unpaired && status.standing == Standing::Unpaired && status.problems.is_empty()
}

fn applications(status: &Status) -> usize {
    status.output.as_ref().map_or(0, |output| output.applications)
}

/// What must be gone, whatever was kept.
fn nothing_secret_is_left(scene: &Scene) {
    assert_eq!(names(&scene.host.path("state/identity")), Vec::<String>::new());
    assert!(!scene.host.path("state/pairing.json").exists());
    for (path, entry) in everything(&scene.host.path("state")) {
        let content = fs::read(scene.host.path("state").join(&path)).unwrap_or_default();
        let text = String::from_utf8_lossy(&content);
        assert!(!text.contains("PRIVATE KEY"), "{}: {entry:?}", path.display());
    }
}

#[tokio::test]
async fn unpairing_revokes_the_certificate_and_empties_the_files_in_the_usual_way() {
    let scene = Scene::new().await;
    scene.host.hook("record", RECORD);
    let agent = scene.paired().await;
    let output = scene.host.run(&["unpair"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        said(&output).contains("Its certificate is revoked. The published files are emptied."),
        "{}",
        said(&output)
    );
    assert_eq!(scene.requests("revokeCertificate").len(), 1);
    let told = |status: &Status| {
        let runs = scene.host.read("spool/runs");
        is_unpaired(status) && runs.contains("unpaired") && runs.contains("config-changed 2")
    };
    let status = agent.wait_for("the news to reach the hooks", told).await;
    assert_eq!(verdict(&status), Some(Verdict::Unpaired));
    assert_eq!(status.output.as_ref().map(|output| output.applications), Some(0));
    nothing_secret_is_left(&scene);
    let config = scene.host.path("state/config");
    assert_eq!(names(&config.join("current/applications")), Vec::<String>::new());
    assert_eq!(names(&config.join("objects")), Vec::<String>::new(), "no older generation keeps a credential");
    for canary in scene.plane.canaries() {
        for path in everything(&scene.host.path("state")).into_keys() {
            let content = fs::read(scene.host.path("state").join(&path)).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&content).contains(&canary), "{} keeps a secret", path.display());
        }
    }
    assert!(scene.host.read("spool/config-changed-2.json").contains("removed"));
    // Nobody is asked any more, and a new token pairs again.
    let asked = scene.plane.requests().len();
    assert!(!agent.sync().await.done);
    assert_eq!(scene.plane.requests().len(), asked);
    scene.host.drop_token(&scene.mint());
    let again = agent.wait_for("the applications", |status| is_settled(status) && applications(status) == 3).await;
    assert_eq!(again.standing, Standing::Valid);
}

#[tokio::test]
async fn unpairing_can_keep_the_files_and_empty_them_later() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let files = everything(&scene.host.path("state/config"));
    let output = scene.host.run(&["unpair", "--keep-config"], "").await;
    assert!(said(&output).contains("The published files stay as they are."), "{}", said(&output));
    agent.wait_for("the end of the pairing", is_unpaired).await;
    assert_eq!(everything(&scene.host.path("state/config")), files);
    nothing_secret_is_left(&scene);
    let output = scene.host.run(&["unpair"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(names(&scene.host.path("state/config/current/applications")), Vec::<String>::new());
    let output = scene.host.run(&["unpair"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("This host is not paired; there is nothing to give up."), "{}", said(&output));
}

#[tokio::test]
async fn unpairing_works_without_the_plane_and_says_what_is_left_to_do() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.plane.fault(Fault { endpoint: None, ..Fault::default() }.refuse());
    let output = scene.host.run(&["unpair"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let sentence = "WARNING: its certificate is not revoked: revokeCertificate at 127.0.0.1:";
    assert!(said(&output).contains(sentence), "{}", said(&output));
    assert!(said(&output).contains("have the runtime removed at the plane"), "{}", said(&output));
    agent.wait_for("the end of the pairing", is_unpaired).await;
    nothing_secret_is_left(&scene);
}

#[tokio::test]
async fn unpairing_works_without_the_agent_and_hooks_learn_of_it_at_the_next_start() {
    let scene = Scene::new().await;
    scene.host.hook("record", RECORD);
    scene.paired().await.terminate().await;
    let output = scene.host.run(&["unpair"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("Its certificate is revoked."), "{}", said(&output));
    assert_eq!(scene.requests("revokeCertificate").len(), 1);
    nothing_secret_is_left(&scene);
    let agent = scene.host.start().await;
    let told = |status: &Status| is_unpaired(status) && status.apply.as_ref().is_some_and(|it| it.generation.is_some());
    agent.wait_for("the news to reach the hooks", told).await;
    assert!(scene.host.read("spool/runs").contains("config-changed 2"));
}

#[tokio::test]
async fn a_kill_while_unpairing_is_made_good_at_the_next_start() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    agent.terminate().await;
    // What a kill leaves between the note of it and the removal of the identity.
    let noted = scene.host.read("state/token.json").replace(r#""verdict":"paired""#, r#""verdict":"unpaired""#);
    assert!(noted.contains("unpaired"), "{noted}");
    fs::write(scene.host.path("state/token.json"), noted).unwrap();
    let agent = scene.host.start().await;
    agent.wait_for("the end of the pairing", is_unpaired).await;
    nothing_secret_is_left(&scene);
}

#[tokio::test]
async fn a_certificate_that_was_revoked_elsewhere_does_not_hinder_unpairing() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.plane.revoke(&scene.runtime);
    let output = scene.host.run(&["unpair"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("WARNING"), "{}", said(&output));
    agent.wait_for("the end of the pairing", is_unpaired).await;
    let secured = scene.plane.requests().into_iter().filter(|request| request.endpoint == Endpoint::SecuredConnector);
    assert!(secured.count() <= 1, "it is tried once");
}
