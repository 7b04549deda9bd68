//! Files of templates for the host's own services: installed whole, taken back whole, and never by halves.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use runtime_agent::agent::status::{Area, State};
use runtime_agent::config::{Settings, TemplateRule};

use crate::following::application;
use crate::host::Agent;
use crate::scene::{Scene, is_settled, problem};

/// A rule whose files go to a folder of this host, with further keys.
fn rule(scene: &Scene, more: &str) -> TemplateRule {
    let folder = etc(scene);
    let folder = folder.to_str().unwrap();
    toml::from_str(&format!(
        r#"
        name = "demo"
        for_each = "credential"
        destination = "{folder}/{{{{ application.slug }}}}.conf"
        content = "{{{{ application.name }}}} {{{{ credential.type }}}}\n"
        mode = "0640"
        {more}
        "#
    ))
    .unwrap()
}

fn etc(scene: &Scene) -> PathBuf {
    scene.host.path("etc")
}

fn configure(scene: &Scene, rule: TemplateRule) {
    fs::create_dir_all(etc(scene)).unwrap();
    scene.host.configure(|settings: &mut Settings| settings.template = vec![rule]);
}

fn program(scene: &Scene, name: &str, body: &str) -> String {
    let path = scene.host.path(name);
    fs::write(&path, format!("#!/bin/sh\nset -eu\n{body}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Every file, with what tells it from any other.
fn files(scene: &Scene) -> Vec<(String, u64, u32, String)> {
    let names = crate::host::names(&etc(scene));
    let file = |name: String| {
        let path = etc(scene).join(&name);
        let metadata = fs::symlink_metadata(&path).unwrap();
        (name, metadata.ino(), metadata.mode() & 0o7777, fs::read_to_string(&path).unwrap_or_default())
    };
    names.into_iter().map(file).collect()
}

async fn refused(agent: &Agent<'_>) -> String {
    let status = agent.wait_for("the refusal", |status| problem(status, Area::Apply).contains("not installed")).await;
    assert_eq!(status.state, State::ActionNeeded);
    problem(&status, Area::Apply).to_owned()
}

#[tokio::test]
async fn files_come_change_and_go_with_the_applications() {
    let scene = Scene::new().await;
    let told = scene.host.path("followed");
    let follow = program(&scene, "follow", &format!("cat >/dev/null; echo told >>{}", told.display()));
    configure(&scene, rule(&scene, &format!("on_change = [\"{follow}\"]")));
    let agent = scene.paired().await;
    let first = files(&scene);
    assert!(!first.is_empty() && first.iter().all(|(name, _, mode, _)| name.ends_with(".conf") && *mode == 0o640));
    assert_eq!(fs::read_to_string(&told).unwrap().lines().count(), 1, "told once, however many files");

    assert!(agent.sync().await.done);
    assert_eq!(files(&scene), first, "an unchanged poll touches nothing");
    assert_eq!(fs::read_to_string(&told).unwrap().lines().count(), 1);

    let id = scene.plane.put_application(application("Newcomer", "canary-new"));
    assert!(agent.sync().await.done);
    agent.wait_for("the new file", is_settled).await;
    assert_eq!(files(&scene).len(), first.len() + 1);
    assert!(first.iter().all(|file| files(&scene).contains(file)), "the others are the very same files");

    assert!(scene.plane.delete_application(&id));
    assert!(agent.sync().await.done);
    agent.wait_for("its file to go", is_settled).await;
    assert_eq!(files(&scene), first);
}

#[tokio::test]
async fn what_a_check_refuses_is_taken_back_exactly_and_tried_again_when_a_person_asks() {
    let scene = Scene::new().await;
    let check = program(&scene, "check", &format!("! grep -l Refused {}/*.conf", etc(&scene).display()));
    configure(&scene, rule(&scene, &format!("validate = [\"{check}\"]")));
    scene.host.hook("50-record", r#"echo "$1" >>"$ROOT/events""#);
    let agent = scene.paired().await;
    let before = files(&scene);
    scene.plane.put_application(application("Refused", "canary-refused"));
    assert!(agent.sync().await.done);
    let why = refused(&agent).await;
    assert!(why.contains("check"), "{why}");
    assert_eq!(files(&scene), before, "the very same files");
    assert!(crate::host::names(&scene.host.path("")).iter().all(|name| !name.contains("runtime-agent-")));

    program(&scene, "check", "true");
    assert!(agent.sync().await.done);
    agent.wait_for("it to be installed at last", is_settled).await;
    assert_eq!(files(&scene).len(), before.len() + 1);
}

#[tokio::test]
async fn a_rollback_brings_installed_files_back_as_well() {
    let scene = Scene::new().await;
    configure(&scene, rule(&scene, ""));
    let agent = scene.paired().await;
    let before: Vec<_> = files(&scene).into_iter().map(|(name, _, mode, text)| (name, mode, text)).collect();
    scene.plane.put_application(application("Newcomer", "canary-new"));
    assert!(agent.sync().await.done);
    agent.wait_for("the new file", is_settled).await;
    assert!(scene.host.run(&["rollback"], "").await.status.success());
    agent.wait_for("the way back", is_settled).await;
    let after: Vec<_> = files(&scene).into_iter().map(|(name, _, mode, text)| (name, mode, text)).collect();
    assert_eq!(after, before);
    assert!(scene.host.run(&["resume"], "").await.status.success());
    agent.wait_for("the way on", |status| is_settled(status) && files(&scene).len() > before.len()).await;
}

#[tokio::test]
async fn an_edited_file_is_kept_beside_or_stays_as_its_rule_has_it() {
    for (policy, kept) in [("overwrite", false), ("keep", true)] {
        let scene = Scene::new().await;
        configure(&scene, rule(&scene, &format!("on_conflict = \"{policy}\"")));
        let agent = scene.paired().await;
        let id = scene.plane.put_application(application("Shop", "canary-shop"));
        assert!(agent.sync().await.done);
        agent.wait_for("the file", is_settled).await;
        let path = etc(&scene).join("shop.conf");
        fs::write(&path, "edited by hand\n").unwrap();
        scene.plane.edit(|model| model.application_mut(&id).unwrap().name = "SHOP".into());
        assert!(agent.sync().await.done);
        agent.wait_for("the change", is_settled).await;
        let text = fs::read_to_string(&path).unwrap();
        let backup = fs::read_to_string(etc(&scene).join("shop.conf.runtime-agent-backup")).ok();
        assert_eq!(text == "edited by hand\n", kept, "{policy}: {text}");
        assert_eq!(backup.as_deref() == Some("edited by hand\n"), !kept, "{policy}");
        assert!(scene.host.log().contains("shop.conf"), "{policy}: somebody is told");
    }
}

#[tokio::test]
async fn a_credential_that_a_validator_quotes_is_in_no_status_and_no_log() {
    let scene = Scene::new().await;
    let cat = program(&scene, "cat", "cat \"$1\"; exit 1");
    let folder = etc(&scene);
    let rule = toml::from_str(&format!(
        r#"
        name = "demo"
        for_each = "credential"
        destination = "{}/{{{{ bundle.slug }}}}.{{{{ application.slug }}}}"
        content = "plain {{{{ credential.password }}}}\nbasic {{{{ 'user' | basic_auth(credential.password) }}}}\nend\n"
        validate = ["{cat}", "{{}}"]
        "#,
        folder.display()
    ));
    scene.plane.edit(|model| model.applications.clear());
    scene.plane.put_application(application("Shop", "canary-quoted/by validators"));
    configure(&scene, rule.unwrap());
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    refused(&agent).await;
    let said = agent.wait_for("the words", |status| !words(status).is_empty()).await;
    let words = words(&said).join("\n");
    assert!(words.contains("plain [redacted]") && words.contains("basic Basic [redacted]"), "{words}");
    let text = format!("{}{}", serde_json::to_string(&said).unwrap(), scene.host.log());
    for secret in scene.plane.canaries() {
        assert!(!text.contains(&secret), "{secret}");
    }
    assert!(!text.contains("quoted/by validators"));
}

/// What the validator said.
fn words(status: &runtime_agent::agent::status::Status) -> Vec<String> {
    let install = status.apply.as_ref().and_then(|apply| apply.install.as_ref());
    install.and_then(|install| install.refused.as_ref()).map(|refused| refused.output.clone()).unwrap_or_default()
}
