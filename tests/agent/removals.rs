//! An answer that takes away most of what is there is not believed at once, whole and free of errors as it may be.

use std::collections::BTreeSet;

use plane::Options;
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::config::Seconds;

use crate::following::application;
use crate::host::{names, said};
use crate::scene::{Scene, is_well, problem};

const APPLICATIONS: usize = 10;

/// A paired host with ten applications, that asks every so many seconds.
async fn scene(interval: u64) -> Scene {
    let scene = Scene::with(Options::default(), |settings| settings.sync.interval = Seconds::new(interval)).await;
    for number in 0..APPLICATIONS - 3 {
        scene.plane.put_application(application(&format!("Number {number}"), "canary-secret"));
    }
    scene
}

fn folders(scene: &Scene) -> Vec<String> {
    names(&scene.host.path("state/config/current/applications"))
}

#[tokio::test]
async fn a_plane_that_lists_nothing_any_more_is_believed_at_its_second_answer() {
    let scene = scene(5).await;
    let agent = scene.paired().await;
    assert_eq!(folders(&scene).len(), APPLICATIONS);
    scene.plane.set_formation(&scene.runtime, Some(BTreeSet::new())).unwrap();
    let doubted = |status: &Status| problem(status, Area::Removals).contains("does not list 10 of 10 applications");
    let status = agent.wait_for("the doubt", doubted).await;
    assert_eq!(status.state, State::Degraded);
    assert!(status.problems[&Area::Removals].remedy.contains("--accept-removals"));
    assert_eq!(folders(&scene).len(), APPLICATIONS);
    agent.wait_for("the second answer", |status| status.output.as_ref().is_some_and(|it| it.applications == 0)).await;
    agent.wait_for("all to be well", is_well).await;
    assert_eq!(folders(&scene), Vec::<String>::new());
}

#[tokio::test]
async fn what_was_missing_for_a_moment_never_goes_and_what_is_new_comes_meanwhile() {
    let scene = scene(3600).await;
    let agent = scene.paired().await;
    let before = folders(&scene);
    let new = scene.plane.put_application(application("Brand New", "canary-secret"));
    scene.plane.set_formation(&scene.runtime, Some(BTreeSet::from([new]))).unwrap();
    assert!(agent.sync().await.done);
    let meanwhile = folders(&scene);
    assert_eq!(meanwhile.len(), APPLICATIONS + 1);
    assert!(before.iter().all(|folder| meanwhile.contains(folder)) && meanwhile.contains(&"brand-new".to_owned()));
    // A second answer in the same moment is no later one.
    assert!(agent.sync().await.done);
    assert_eq!(folders(&scene), meanwhile);
    scene.plane.set_formation(&scene.runtime, None).unwrap();
    assert!(agent.sync().await.done);
    assert_eq!(agent.status().await.state, State::Healthy);
    assert_eq!(folders(&scene), meanwhile);
}

#[tokio::test]
async fn a_person_who_knows_better_is_believed_at_once() {
    let scene = scene(3600).await;
    let agent = scene.paired().await;
    scene.plane.set_formation(&scene.runtime, Some(BTreeSet::new())).unwrap();
    assert!(agent.sync().await.done);
    assert_eq!(folders(&scene).len(), APPLICATIONS);
    let output = scene.host.run(&["sync", "--accept-removals"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("0 added, 0 changed, 10 removed"), "{}", said(&output));
    assert_eq!(folders(&scene), Vec::<String>::new());
    assert_eq!(agent.status().await.state, State::Healthy);
}

#[tokio::test]
async fn what_is_held_back_after_a_restart_is_known_from_before() {
    let scene = scene(3600).await;
    scene.paired().await.terminate().await;
    let before = folders(&scene);
    let new = scene.plane.put_application(application("Brand New", "canary-secret"));
    scene.plane.set_formation(&scene.runtime, Some(BTreeSet::from([new]))).unwrap();
    let agent = scene.host.start().await;
    agent.wait_for("the doubt", |status| !problem(status, Area::Removals).is_empty()).await;
    let added = |status: &Status| status.output.as_ref().is_some_and(|it| it.applications == APPLICATIONS + 1);
    agent.wait_for("what is new", added).await;
    let after = folders(&scene);
    assert!(before.iter().all(|folder| after.contains(folder)) && after.contains(&"brand-new".to_owned()));
}
