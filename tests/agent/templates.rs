//! Templates: what they make is published with the generation, whole or not at all; and the way back to an older one.

use std::fs;
use std::path::Path;

use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::config::{Settings, TemplateRule};

use crate::following::application;
use crate::host::{Agent, finished, said};
use crate::kills::trace::{need_strace, without_descriptors};
use crate::scene::{Scene, is_settled, is_well, problem};

const NAMES: &str = r#"
    name = "names"
    destination = "names/all.txt"
    content = "{% for application in applications %}{{ application.name }}={{ application.bundles | length }}\n{% endfor %}"
    mode = "0644"
"#;

const PASSWORDS: &str = r#"
    name = "passwords"
    for_each = "credential"
    when = "credential.type == 'basic'"
    destination = "passwords/{{ application.slug }}-{{ bundle.slug }}"
    content = "{{ credential.password }}"
"#;

fn rules(texts: &[&str]) -> Vec<TemplateRule> {
    texts.iter().map(|text| toml::from_str(text).unwrap()).collect()
}

async fn scene(texts: &[&str]) -> Scene {
    let rules = rules(texts);
    Scene::with(plane::Options::default(), |settings| with_rules(settings, rules)).await
}

fn with_rules(settings: &mut Settings, rules: Vec<TemplateRule>) {
    settings.template = rules;
}

fn current(scene: &Scene) -> std::path::PathBuf {
    scene.host.path("state/config/current")
}

fn generation(scene: &Scene) -> String {
    fs::read_link(current(scene)).unwrap().to_str().unwrap().to_owned()
}

fn listed(scene: &Scene) -> String {
    fs::read_to_string(current(scene).join("names/all.txt")).unwrap()
}

fn blobs(scene: &Scene) -> Vec<String> {
    crate::host::names(&scene.host.path("state/config/blobs"))
}

async fn reload(scene: &Scene, agent: &Agent<'_>, texts: &[&str]) {
    let rules = rules(texts);
    scene.host.configure(|settings| {
        settings.paths.templates = scene.host.path("templates");
        with_rules(settings, rules);
    });
    agent.signal(nix::sys::signal::Signal::SIGHUP);
}

#[tokio::test]
async fn what_templates_make_changes_with_what_the_plane_says_and_only_then() {
    use std::os::unix::fs::MetadataExt as _;
    let scene = scene(&[NAMES, PASSWORDS]).await;
    let agent = scene.paired().await;
    assert_eq!(listed(&scene).lines().count(), 3);
    let before = (generation(&scene), blobs(&scene));
    assert!(agent.sync().await.done);
    assert_eq!((generation(&scene), blobs(&scene)), before, "nothing changed, and nothing was written");
    let passwords = crate::host::names(&current(&scene).join("passwords"));
    assert!(!passwords.is_empty());
    let first = current(&scene).join("passwords").join(&passwords[0]);
    assert_eq!(fs::metadata(&first).unwrap().mode() & 0o7777, 0o640);
    assert!(fs::read_to_string(&first).unwrap().starts_with("canary-"));

    scene.plane.put_application(application("Newcomer", "canary-new"));
    assert!(agent.sync().await.done);
    assert!(listed(&scene).contains("Newcomer=1"));
    assert!(before.1.iter().all(|blob| blobs(&scene).contains(blob)), "the generation before has its files still");
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let older = scene.host.path("state/config").join(&before.0).join("passwords").join(&passwords[0]);
    assert_eq!(inode(&older), inode(&first), "what did not change is shared");
}

#[tokio::test]
async fn templates_that_the_system_did_not_let_be_read_are_read_again_without_anybody() {
    need_strace();
    let scene = scene(&[NAMES]).await;
    fs::create_dir(scene.host.path("templates")).unwrap();
    scene.host.configure(|settings| {
        settings.paths.templates = scene.host.path("templates");
        with_rules(settings, rules(&[NAMES]));
    });
    // Once it is opened, and once it is listed.
    let command = without_descriptors(&scene.host, "templates", "1..2");
    let agent = scene.host.start_command(command).await;
    let told = |status: &Status| problem(status, Area::Templates).contains("Too many open files");
    let status = agent.wait_for("the complaint", told).await;
    let remedy = &status.problems[&Area::Templates].remedy;
    assert!(remedy.contains("The agent reads them again by itself"), "{remedy}");
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the files", is_settled).await;
    assert_eq!((status.problems.len(), listed(&scene).lines().count()), (0, 3));
}

#[tokio::test]
async fn a_template_that_cannot_be_rendered_changes_nothing_until_it_is_mended() {
    let scene = scene(&[NAMES]).await;
    let agent = scene.paired().await;
    let before = generation(&scene);
    let broken = r#"
        name = "broken"
        for_each = "credential"
        destination = "broken/{{ application.slug }}"
        content = "first line\n{{ credential.pasword }}"
    "#;
    reload(&scene, &agent, &[NAMES, broken]).await;
    let status = agent.wait_for("the broken template", |status| !problem(status, Area::Templates).is_empty()).await;
    let what = problem(&status, Area::Templates);
    assert!(what.contains("broken") && what.contains("line 2") && what.contains("password"), "{what}");
    assert_eq!(status.state, State::ActionNeeded);
    scene.plane.put_application(application("Newcomer", "canary-new"));
    assert!(!agent.sync().await.done);
    assert_eq!(generation(&scene), before, "nothing is published by halves");
    assert!(!listed(&scene).contains("Newcomer"));

    reload(&scene, &agent, &[NAMES, &broken.replace("pasword", "type")]).await;
    agent.wait_for("all to be well again", is_settled).await;
    assert!(listed(&scene).contains("Newcomer"), "what had been held up is there, without asking the plane again");
    for canary in scene.plane.canaries() {
        assert!(!scene.host.log().contains(&canary));
    }
}

#[tokio::test]
async fn a_changed_file_of_a_template_counts_at_the_next_reload() {
    let rule = r#"
        name = "file"
        source = "outer.j2"
        destination = "file.txt"
    "#;
    let scene = Scene::new().await;
    let folder = scene.host.path("templates");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("outer.j2"), "{% include 'inner.j2' %}").unwrap();
    fs::write(folder.join("inner.j2"), "one").unwrap();
    let rules = rules(&[rule]);
    scene.host.configure(|settings| {
        settings.paths.templates = folder.clone();
        with_rules(settings, rules);
    });
    let agent = scene.paired().await;
    let text = || fs::read_to_string(current(&scene).join("file.txt")).unwrap();
    assert_eq!(text(), "one");
    fs::write(folder.join("inner.j2"), "two").unwrap();
    assert!(agent.sync().await.done);
    assert_eq!(text(), "one", "nobody watches them");
    let before = agent.status().await.output.unwrap().generation;
    reload(&scene, &agent, &[rule]).await;
    agent
        .wait_for("another generation", |status| {
            status.output.as_ref().is_some_and(|output| output.generation > before)
        })
        .await;
    assert_eq!(text(), "two");
    assert!(scene.host.log().contains("made by another configuration: they are made anew"), "it says why");
}

#[tokio::test]
async fn templates_that_are_no_templates_are_told_at_the_start_and_the_files_stay() {
    let scene = scene(&[NAMES]).await;
    scene.paired().await.terminate().await;
    let before = generation(&scene);
    let rules = rules(&[&NAMES.replace("endfor", "endfro")]);
    scene.host.configure(|settings| with_rules(settings, rules));
    let mut check = tokio::process::Command::new(env!("CARGO_BIN_EXE_runtime-agent"));
    check.arg("check").arg(scene.host.path("agent.toml"));
    let checked = finished(check, "").await;
    assert!(!checked.status.success() && said(&checked).contains("endfro"), "{}", said(&checked));
    let agent = scene.host.start().await;
    let status = agent.wait_for("the broken template", |status| !problem(status, Area::Templates).is_empty()).await;
    assert!(problem(&status, Area::Templates).contains("names"), "{status:?}");
    assert_eq!(generation(&scene), before);
    let answer = agent.sync().await;
    assert!(!answer.done && answer.message.contains("endfro"), "the plane is asked, and then: {}", answer.message);
    assert_eq!(generation(&scene), before, "and nothing is published without them");
    assert!(listed(&scene).lines().count() == 3);
}

#[tokio::test]
async fn a_rollback_stays_whatever_the_plane_says_until_it_is_resumed() {
    let scene = scene(&[NAMES]).await;
    let agent = scene.paired().await;
    let first = generation(&scene);
    scene.plane.put_application(application("Newcomer", "canary-new"));
    assert!(agent.sync().await.done);
    let second = generation(&scene);
    assert_ne!(first, second);

    let answer = scene.host.run(&["rollback"], "").await;
    assert!(answer.status.success(), "{}", said(&answer));
    assert_eq!(generation(&scene), first);
    assert!(!listed(&scene).contains("Newcomer"));
    agent.wait_for("hooks to be told", is_settled).await;
    assert!(scene.host.log().contains("application removed: Newcomer"));
    scene.plane.put_application(application("Another", "canary-another"));
    assert!(agent.sync().await.done);
    assert_eq!(generation(&scene), first, "it stays");
    let status = agent.status().await;
    assert!(
        status.output.as_ref().unwrap().rolled_back && status.headline.contains("ROLLED BACK"),
        "{}",
        status.headline
    );
    agent.terminate().await;

    let agent = scene.host.start().await;
    agent.wait_for("a poll after the start", is_well).await;
    assert_eq!(generation(&scene), first, "after a restart, too");
    let answer = scene.host.run(&["rollback", "99"], "").await;
    assert!(!answer.status.success() && said(&answer).contains("those that are kept are: 1, 2"), "{}", said(&answer));
    let answer = scene.host.run(&["rollback", "2"], "").await;
    assert!(answer.status.success(), "{}", said(&answer));
    assert_eq!(generation(&scene), second, "forward as well");

    let answer = scene.host.run(&["resume"], "").await;
    assert!(answer.status.success(), "{}", said(&answer));
    assert!(listed(&scene).contains("Another"), "at once, from what the plane last said");
    assert!(
        scene.host.log().contains("the files were those of an older generation: they are made anew"),
        "it says why"
    );
    agent.wait_for("all to be applied", is_settled).await;
    assert!(!agent.status().await.output.unwrap().rolled_back);
}
