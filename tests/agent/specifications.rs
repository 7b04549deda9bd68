//! Specifications and documents: read where they changed, streamed to files, and in nobody's way.

use std::fs;
use std::path::{Path, PathBuf};

use plane::{Dialect, Endpoint, Fault, Generate, Options};
use runtime_agent::agent::status::{Area, Status};
use runtime_agent::config::{ByteSize, Specifications};

use crate::scene::{Scene, problem};
use crate::tree::files;

const KINDS: [&str; 3] = ["ApiSpecification", "EventSpecification", "DocumentText"];

async fn scene(options: Options) -> Scene {
    let scene = Scene::with(options, |settings| settings.sync.specifications = Specifications::Read).await;
    scene.plane.edit(|model| model.applications.clear());
    scene.plane.generate(Generate {
        applications: 2,
        events: 1,
        documents: 1,
        spec_bytes: Some(300),
        ..Generate::default()
    });
    scene
}

/// How often texts were asked for.
fn asked(scene: &Scene) -> usize {
    KINDS.iter().map(|kind| scene.requests(kind).len()).sum()
}

/// The texts among the files, with the links followed, by where they lie.
fn texts(scene: &Scene) -> Vec<(PathBuf, String)> {
    let all = files(&scene.host.path("state/config/current"));
    let is_text = |path: &Path| {
        let folder = path.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str());
        matches!(folder, Some("apis" | "events" | "documents"))
    };
    all.into_iter()
        .filter(|(path, _)| is_text(path))
        .map(|(path, content)| (path, String::from_utf8(content).unwrap()))
        .collect()
}

/// The same at the plane, in no order.
fn at_the_plane(scene: &Scene) -> Vec<String> {
    let mut all = Vec::new();
    for application in scene.plane.applications() {
        for bundle in &application.bundles {
            all.extend(bundle.api_definitions.iter().filter_map(|api| api.spec.as_ref()?.data.clone()));
            all.extend(bundle.event_definitions.iter().filter_map(|event| event.spec.as_ref()?.data.clone()));
            all.extend(bundle.documents.iter().filter_map(|document| document.data.clone()));
        }
    }
    all.sort();
    all
}

fn contents(scene: &Scene) -> Vec<String> {
    let mut contents: Vec<_> = texts(scene).into_iter().map(|(_, content)| content).collect();
    contents.sort();
    contents
}

fn the_first_api(scene: &Scene, change: impl FnOnce(&mut plane::model::ApiDefinition)) {
    scene.plane.edit(|model| {
        let id = model.applications.keys().next().unwrap().clone();
        change(&mut model.application_mut(&id).unwrap().bundles[0].api_definitions[0]);
    });
}

fn unreadable(status: &Status) -> &str {
    problem(status, Area::Specifications)
}

#[tokio::test]
async fn every_text_lies_beside_its_definition_in_both_dialects() {
    for dialect in [Dialect::Bundle, Dialect::Package] {
        let scene = scene(Options { dialect, ..Options::default() }).await;
        let _agent = scene.paired().await;
        assert_eq!(contents(&scene), at_the_plane(&scene), "{dialect:?}");
        assert_eq!(asked(&scene), 6);
        for file in files(&scene.host.path("state/config/current")).keys().filter(|path| path.ends_with("bundle.json"))
        {
            let path = scene.host.path("state/config/current").join(file);
            let bundle: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            for text in
                [&bundle["apis"][0]["specification"], &bundle["events"][0]["specification"], &bundle["documents"][0]]
            {
                let text = fs::canonicalize(path.with_file_name(text["file"].as_str().unwrap())).unwrap();
                let sums = scene.host.path("state/config/texts");
                assert_eq!(text.parent(), Some(&*fs::canonicalize(sums).unwrap()));
            }
        }
    }
}

#[tokio::test]
async fn only_the_text_of_a_changed_definition_is_asked_for_again() {
    let scene = scene(Options::default()).await;
    let agent = scene.paired().await;
    let before = asked(&scene);
    assert!(agent.sync().await.done);
    assert_eq!(asked(&scene), before, "nothing changed");
    the_first_api(&scene, |api| {
        api.version = Some(plane::model::Version { value: "v2".into(), ..plane::model::Version::default() });
        api.spec.as_mut().unwrap().data = Some("the text of v2".into());
    });
    assert!(agent.sync().await.done);
    assert_eq!(asked(&scene), before + 1);
    assert_eq!(contents(&scene), at_the_plane(&scene));
    agent.terminate().await;
    let agent = scene.host.start().await;
    assert!(agent.sync().await.done);
    assert_eq!(asked(&scene), before + 1, "a restart forgets nothing");
}

#[tokio::test]
async fn a_text_that_cannot_be_read_keeps_nothing_else_back_and_the_one_before_stays() {
    let scene = scene(Options::default()).await;
    let agent = scene.paired().await;
    let before = contents(&scene);
    the_first_api(&scene, |api| {
        api.name = "Renamed".into();
        api.spec.as_mut().unwrap().data = Some("another text".into());
    });
    scene.plane.fault(
        Fault::on(Endpoint::Director)
            .operation("ApiSpecification")
            .failure(10, "the storage of specifications is down"),
    );
    assert!(agent.sync().await.done);
    let status = agent.wait_for("the failed text to be told", |status| !unreadable(status).is_empty()).await;
    assert!(unreadable(&status).contains("the storage of specifications is down"), "{}", unreadable(&status));
    assert!(problem(&status, Area::Sync).is_empty());
    assert_eq!(contents(&scene), before, "the text of before lies there still");
    assert!(texts(&scene).iter().any(|(path, _)| path.to_str().unwrap().contains("/apis/renamed.")));
}

#[tokio::test]
async fn a_text_that_was_lost_is_fetched_at_the_next_start() {
    let scene = scene(Options::default()).await;
    scene.paired().await.terminate().await;
    let before = contents(&scene);
    fs::remove_dir_all(scene.host.path("state/config/texts")).unwrap();
    let agent = scene.host.start().await;
    assert!(agent.sync().await.done);
    assert_eq!(contents(&scene), before);
}

#[tokio::test]
async fn switched_off_again_the_texts_go_and_no_more_are_asked_for() {
    let scene = scene(Options::default()).await;
    let agent = scene.paired().await;
    let before = asked(&scene);
    scene.host.configure(|settings| {
        settings.sync.specifications = Specifications::LeftOut;
        settings.output.keep_generations = std::num::NonZeroU8::MIN;
    });
    agent.terminate().await;
    let agent = scene.host.start().await;
    agent.wait_for("a poll after the start", crate::scene::is_settled).await;
    assert!(agent.sync().await.done);
    assert_eq!(texts(&scene), []);
    assert_eq!(asked(&scene), before);
    assert_eq!(fs::read_dir(scene.host.path("state/config/texts")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_text_of_many_megabytes_is_never_in_memory() {
    const SIZE: usize = 48 * 1024 * 1024;
    let scene = scene(Options::default()).await;
    let line = "    description: \"what \\ this is about \u{e4}\u{1f600}\"\n";
    let large = line.repeat(SIZE / line.len());
    the_first_api(&scene, |api| api.spec.as_mut().unwrap().data = Some(large.clone()));
    let agent = scene.paired().await;
    assert!(contents(&scene).contains(&large), "it is there, whole");
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak * 1024 < SIZE, "{peak} kB at most were in memory");
}

#[tokio::test]
async fn an_endless_text_is_cut_off_and_leaves_nothing() {
    let scene = scene(Options::default()).await;
    scene.host.configure(|settings| {
        settings.sync.specifications = Specifications::Read;
        settings.plane.max_answer = ByteSize::new(128 * 1024);
    });
    scene.plane.fault(Fault::on(Endpoint::Director).operation("DocumentText").huge(10 * 1024 * 1024));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the failed text to be told", |status| !unreadable(status).is_empty()).await;
    assert!(unreadable(&status).contains("larger than"), "{}", unreadable(&status));
    let names = crate::host::names(&scene.host.path("state/config/texts"));
    assert!(names.iter().all(|name| name.len() == 64), "{names:?}");
}
