//! What changes at the plane changes in the files, and hooks are told of just that.

use std::fs;

use plane::model::{Application, Auth, Bundle, Credential};
use runtime_agent::agent::status::Status;
use serde_json::{Value, json};

use crate::host::{Agent, names};
use crate::scene::{Scene, asked_since_the_start, is_settled};
use crate::tree::everything;

/// A hook that writes down what it was told, and when it ran.
pub const RECORD: &str =
    r#"cat >"$SPOOL/$1-$RUNTIME_AGENT_GENERATION.json"; echo "$1 $RUNTIME_AGENT_GENERATION" >>"$SPOOL/runs""#;

/// An application with one bundle and a password.
pub fn application(name: &str, password: &str) -> Application {
    let credential = Some(Credential::Basic { username: "user".into(), password: password.into() });
    let auth = Some(Auth { credential, ..Auth::default() });
    let bundle = Bundle { name: "Orders".into(), default_instance_auth: auth, ..Bundle::default() };
    Application { name: name.into(), bundles: vec![bundle], ..Application::default() }
}

/// Waits until hooks have seen this generation.
pub async fn settled(agent: &Agent<'_>, generation: u64) -> Status {
    let current = |status: &Status| status.output.as_ref().map(|output| output.generation.0.get());
    agent
        .wait_for(&format!("generation {generation}"), |status| {
            is_settled(status) && current(status) == Some(generation)
        })
        .await
}

/// The names and folders in one list of what a hook was told.
fn list(document: &Value, key: &str) -> Vec<(String, String)> {
    let text = |change: &Value, key: &str| change[key].as_str().unwrap().to_owned();
    document[key].as_array().unwrap().iter().map(|change| (text(change, "name"), text(change, "folder"))).collect()
}

#[tokio::test]
async fn what_changes_at_the_plane_changes_in_the_files_and_hooks_are_told_of_just_that() {
    let scene = Scene::new().await;
    scene.plane.edit(|model| model.applications.clear());
    let put = |name: &str| scene.plane.put_application(application(name, &format!("canary-{name}")));
    let [kept, changed, renamed, deleted] = ["Kept", "Changed", "Renamed", "Deleted"].map(put);
    scene.host.hook("record", RECORD);
    let agent = scene.paired().await;
    let told = |generation: u64| -> Value {
        serde_json::from_str(&scene.host.read(&format!("spool/config-changed-{generation}.json"))).unwrap()
    };
    let mut all = list(&told(1), "added");
    all.sort();
    let pair = |name: &str, folder: &str| (name.to_owned(), folder.to_owned());
    let wanted = [("Changed", "changed"), ("Deleted", "deleted"), ("Kept", "kept"), ("Renamed", "renamed")];
    assert_eq!(all, wanted.map(|(name, folder)| pair(name, folder)));
    assert_eq!((list(&told(1), "changed"), list(&told(1), "removed")), (vec![], vec![]));

    let folder = scene.host.path("state/config/current/applications");
    let password = |application: &str| {
        fs::read_to_string(folder.join(application).join("bundles/orders/credentials.env")).unwrap()
    };
    let before = fs::read_link(folder.join("kept")).unwrap();
    scene.plane.edit(|model| {
        model.application_mut(&renamed).unwrap().name = "Called Otherwise".into();
    });
    assert!(scene.plane.rotate_credentials(&changed));
    assert!(scene.plane.delete_application(&deleted));
    put("Added");
    let answer = agent.sync().await;
    assert_eq!(answer.message, "Generation 2: 4 applications; 1 added, 2 changed, 1 removed.");
    settled(&agent, 2).await;
    assert_eq!(names(&folder), ["added", "called-otherwise", "changed", "kept"]);
    assert!(password("added").contains("PASSWORD=\"canary-Added\"") || password("added").contains("canary-Added"));
    assert!(!password("changed").contains("canary-Changed") && password("changed").contains("canary-password-"));
    assert_eq!(fs::read_link(folder.join("kept")).unwrap(), before, "what did not change is the same object");
    let document = told(2);
    assert_eq!(document["event"], "config-changed");
    assert_eq!(list(&document, "added"), [pair("Added", "added")]);
    assert_eq!(list(&document, "removed"), [pair("Deleted", "deleted")]);
    let mut changes = list(&document, "changed");
    changes.sort();
    assert_eq!(changes, [pair("Called Otherwise", "called-otherwise"), pair("Changed", "changed")]);
    let other_name = document["changed"].as_array().unwrap().iter().find(|change| change["id"] == json!(renamed));
    assert_eq!(other_name.unwrap()["previous_folder"], "renamed");
    let everything = document.to_string();
    assert!(!everything.contains(&kept) && !everything.contains("canary-"));
    // The generation before is still there for whoever reads it.
    assert_eq!(names(&scene.host.path("state/config/0001/applications")), ["changed", "deleted", "kept", "renamed"]);
}

#[tokio::test]
async fn a_poll_that_brings_nothing_new_writes_nothing_and_runs_no_hook() {
    let scene = Scene::new().await;
    scene.host.hook("record", RECORD);
    let agent = scene.paired().await;
    let before = (everything(&scene.host.path("state")), scene.host.read("spool/runs"), agent.status().await);
    for _ in 0..3 {
        assert_eq!(agent.sync().await.message, "Nothing changed; 3 applications.");
    }
    let status = agent.status().await;
    assert!(status.sync.last_success > before.2.sync.last_success);
    assert_eq!((&status.output, &status.apply), (&before.2.output, &before.2.apply));
    assert_eq!(everything(&scene.host.path("state")), before.0);
    // Had a hook been asked for, it would run before the one for the next change.
    scene.plane.put_application(application("New", "canary-new"));
    agent.sync().await;
    settled(&agent, 2).await;
    assert_eq!(scene.host.read("spool/runs"), format!("{}config-changed 2\n", before.1));
}

#[tokio::test]
async fn the_same_after_a_restart_is_not_written_and_not_told_again() {
    let scene = Scene::new().await;
    scene.host.hook("record", RECORD);
    scene.paired().await.terminate().await;
    let before = scene.host.read("spool/runs");
    let agent = scene.host.start().await;
    let polled = |status: &Status| is_settled(status) && asked_since_the_start(status);
    agent.wait_for("a poll after the restart", polled).await;
    scene.plane.put_application(application("New", "canary-new"));
    agent.sync().await;
    settled(&agent, 2).await;
    assert_eq!(scene.host.read("spool/runs"), format!("{before}config-changed 2\n"));
}

#[tokio::test]
async fn a_plane_without_applications_is_a_generation_of_its_own() {
    let scene = Scene::new().await;
    scene.plane.edit(|model| model.applications.clear());
    let agent = scene.paired().await;
    assert_eq!(names(&scene.host.path("state/config/current/applications")), [""; 0]);
    scene.plane.put_application(application("First", "canary-first"));
    agent.sync().await;
    settled(&agent, 2).await;
    assert_eq!(names(&scene.host.path("state/config/current/applications")), ["first"]);
}

#[tokio::test]
async fn old_generations_go_and_the_newest_are_kept() {
    let scene = Scene::with(plane::Options::default(), |settings| {
        settings.output.keep_generations = std::num::NonZeroU8::MIN.saturating_add(1);
    })
    .await;
    let agent = scene.paired().await;
    for number in 2..=4 {
        scene.plane.put_application(application(&format!("Number {number}"), "canary"));
        agent.sync().await;
        settled(&agent, number).await;
    }
    assert_eq!(names(&scene.host.path("state/config")), ["0003", "0004", "current", "objects"]);
}

#[tokio::test]
async fn applications_carry_the_names_under_which_the_planes_other_agents_know_them() {
    let scene = Scene::new().await;
    scene.plane.edit(|model| model.applications.clear());
    scene.plane.put_application(application("SAP Commerce (EU-10)", "canary-1"));
    let agent = scene.paired().await;
    let current = scene.host.path("state/config/current");
    let read = |file: &str| -> Value { serde_json::from_slice(&fs::read(current.join(file)).unwrap()).unwrap() };
    let given = || {
        let one = read("applications/sap-commerce-eu-10/application.json")["normalized_name"].clone();
        assert_eq!(read("applications.json")["applications"][0]["normalized_name"], one);
        one
    };
    assert_eq!(given(), json!("SAP Commerce (EU-10)"), "the label says that the plane normalises by itself");
    scene.plane.set_runtime_label(&scene.runtime, "isNormalized", json!("false")).unwrap();
    assert!(agent.sync().await.message.starts_with("Generation 2: "));
    assert_eq!(given(), json!("mp-sap-commerce-eu-10"));
    // Without the plane, they are made by the same rule.
    settled(&agent, 2).await;
    agent.terminate().await;
    scene.plane.fault(plane::Fault { endpoint: None, ..plane::Fault::default() }.refuse());
    fs::remove_dir_all(scene.host.path("state/config")).unwrap();
    let agent = scene.host.start().await;
    agent.wait_for("the files", |status| status.output.is_some()).await;
    assert_eq!(given(), json!("mp-sap-commerce-eu-10"));
}
