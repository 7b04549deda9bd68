//! What the plane last said serves a host that starts without it.

use std::fs;
use std::path::PathBuf;

use plane::{Dialect, Endpoint, Fault, Generate, Options, Request};
use runtime_agent::agent::status::{Area, Status};
use runtime_agent::config::{Brokerage, Specifications};
use tokio::process::Command;

use crate::following::application;
use crate::host::{Host, PROGRAM, said};
use crate::scene::{Scene, asked_since_the_start, carried_out, is_settled, problem};
use crate::tree::files;

const KEPT: &str = "state/snapshot.json";

fn refuses() -> Fault {
    Fault { endpoint: None, ..Fault::default() }.refuse()
}

/// What readers see, without the number of the generation, which can be another.
fn seen(host: &Host) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = files(&host.path("state/config/current"));
    for generated in ["manifest.json", "applications.json"] {
        all.remove(&PathBuf::from(generated)).unwrap();
    }
    all.into_iter().collect()
}

/// Waits until a poll has failed since the start.
fn is_cut_off(status: &Status) -> bool {
    status.sync.failures > 0 && !problem(status, Area::Sync).is_empty()
}

#[tokio::test]
async fn a_lost_folder_is_back_at_a_start_without_the_plane() {
    let scene = Scene::new().await;
    scene.paired().await.terminate().await;
    let before = seen(&scene.host);
    scene.plane.fault(refuses());
    for lost in ["state/config", "state/config/current/manifest.json", "state/config/objects"] {
        let path = scene.host.path(lost);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        let agent = scene.host.start().await;
        let status = agent.wait_for("a poll that failed", is_cut_off).await;
        assert_eq!(status.output.unwrap().applications, 3, "{lost}");
        assert_eq!(seen(&scene.host), before, "{lost}");
        assert!(!asked_since_the_start(&agent.status().await));
        agent.terminate().await;
    }
    assert!(scene.host.log().contains("they are made anew from what the plane said on 20"));
}

#[tokio::test]
async fn what_a_kill_kept_from_publication_is_published_at_a_start_without_the_plane() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let before = scene.host.path("before");
    let copied = std::process::Command::new("cp").arg("-a").arg(scene.host.path("state/config")).arg(&before).status();
    assert!(copied.unwrap().success());
    scene.plane.put_application(application("New", "canary-new"));
    assert!(agent.sync().await.done);
    let after = seen(&scene.host);
    agent.kill().await;
    // What the plane said is on disk, and the files are those of before.
    fs::remove_dir_all(scene.host.path("state/config")).unwrap();
    fs::rename(before, scene.host.path("state/config")).unwrap();
    scene.plane.fault(refuses());
    let agent = scene.host.start().await;
    let status = agent.wait_for("a poll that failed", is_cut_off).await;
    assert_eq!(status.output.unwrap().applications, 4);
    assert_eq!(seen(&scene.host), after);
}

#[tokio::test]
async fn a_start_without_the_plane_says_how_old_the_files_are() {
    let scene = Scene::new().await;
    scene.paired().await.terminate().await;
    let text = scene.host.read("state/plane.json");
    let (before, rest) = text.split_once("\"answered_at\":\"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let three_days_ago = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(74);
    fs::write(scene.host.path("state/plane.json"), format!("{before}\"answered_at\":\"{three_days_ago}\"{after}"))
        .unwrap();
    scene.plane.fault(refuses());
    let agent = scene.host.start().await;
    let status = agent.wait_for("a poll that failed", is_cut_off).await;
    assert_eq!(status.sync.last_success, Some(three_days_ago));
    let headline = "(3 days ago); certificate until";
    assert!(status.headline.contains(headline), "{}", status.headline);
    assert!(agent.told().contains(headline), "{}", agent.told());
    let page = said(&scene.host.run(&["status"], "").await);
    assert!(page.lines().any(|line| line.contains("synchronised") && line.ends_with("(3 days ago)")), "{page}");
    // Without that file, what was read first is known at least.
    agent.terminate().await;
    fs::remove_file(scene.host.path("state/plane.json")).unwrap();
    let agent = scene.host.start().await;
    let status = agent.wait_for("a poll that failed", is_cut_off).await;
    assert!(status.sync.last_success.unwrap() > three_days_ago && !asked_since_the_start(&status));
}

#[tokio::test]
async fn a_clean_end_notes_when_the_plane_last_answered() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    agent.sync().await;
    let last = agent.status().await.sync.last_success.unwrap();
    agent.terminate().await;
    assert!(scene.host.read("state/plane.json").contains(&last.to_string()));
}

#[tokio::test]
async fn a_damaged_snapshot_is_put_aside_and_fetched_anew() {
    let scene = Scene::new().await;
    scene.paired().await.terminate().await;
    let (kept, before) = (scene.host.read(KEPT), seen(&scene.host));
    let damaged = kept.replacen("canary", "kanari", 1);
    assert_ne!(damaged, kept);
    fs::write(scene.host.path(KEPT), &damaged).unwrap();
    let agent = scene.host.start().await;
    let fresh = |status: &Status| is_settled(status) && asked_since_the_start(status);
    let status = agent.wait_for("a poll", fresh).await;
    agent.sync().await;
    assert_eq!(status.output.unwrap().generation.0.get(), 1, "the files are as they were");
    assert_eq!(seen(&scene.host), before);
    assert_eq!(scene.host.read("state/snapshot.json.damaged"), damaged);
    let again = scene.host.read(KEPT);
    assert_eq!(again.split_once('\n').unwrap().1, kept.split_once('\n').unwrap().1);
    assert!(scene.host.log().contains("its checksum is not that of its content. It is put aside as"));
}

#[tokio::test]
async fn what_belongs_to_another_runtime_is_not_served() {
    let scene = Scene::new().await;
    scene.paired().await.terminate().await;
    let kept = fs::read(scene.host.path(KEPT)).unwrap();
    // Another runtime, which may use other things, on the same host.
    let other = scene.plane.register_runtime("other");
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.plane.mint_token(&other, plane::TokenForm::Json));
    let is_other = |status: &Status| {
        let runtime = status.identity.as_ref().and_then(|identity| identity.runtime.as_ref());
        is_settled(status) && runtime.is_some_and(|runtime| runtime.as_str() == other)
    };
    agent.wait_for("the other pairing", is_other).await;
    agent.sync().await;
    agent.terminate().await;
    scene.plane.fault(refuses());
    fs::write(scene.host.path(KEPT), kept).unwrap();
    fs::remove_dir_all(scene.host.path("state/config")).unwrap();
    let agent = scene.host.start().await;
    let status = agent.wait_for("a poll that failed", is_cut_off).await;
    assert!(status.output.is_none());
    assert!(scene.host.log().contains("and is not used"));
}

#[tokio::test]
async fn unpairing_removes_what_the_plane_said_unless_the_files_are_kept() {
    for (arguments, stays) in [(&["unpair"][..], false), (&["unpair", "--keep-config"], true)] {
        for running in [true, false] {
            let scene = Scene::new().await;
            let mut agent = Some(scene.paired().await);
            if !running {
                agent.take().unwrap().terminate().await;
            }
            assert!(scene.host.path(KEPT).exists() && scene.host.path("state/plane.json").exists());
            fs::write(scene.host.path("state/snapshot.json.damaged"), "x").unwrap();
            let output = scene.host.run(arguments, "").await;
            assert_eq!(output.status.code(), Some(0), "{}", said(&output));
            for name in ["snapshot.json", "plane.json", "snapshot.json.damaged"] {
                let path = scene.host.path("state").join(name);
                assert_eq!(path.exists(), stays, "{name} after {arguments:?}, running: {running}");
            }
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_is_told_and_does_not_hold_up_the_files() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    // A folder cannot be replaced by a file, whoever tries.
    let path = scene.host.path(KEPT);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    scene.plane.put_application(application("New", "canary-new"));
    // Nor can it be removed as a file: then the files wait, for at the next start they might be made from it.
    let answer = agent.sync().await;
    assert!(!answer.done && answer.message.contains("snapshot.json"), "{}", answer.message);
    fs::remove_dir(&path).unwrap();
    assert!(agent.sync().await.message.starts_with("Generation 2: 4 applications"));
    agent.wait_for("all to be well", is_settled).await;
    assert!(path.is_file());
}

/// How many requests were refused because of their words.
fn refused(requests: &[Request]) -> usize {
    requests.iter().filter(|request| request.endpoint == Endpoint::Director && request.status == Some(422)).count()
}

#[tokio::test]
async fn the_dialect_is_found_out_once_and_anew_when_the_plane_changes() {
    let options = Options { dialect: Dialect::Package, ..Options::default() };
    let scene = Scene::with(options, |_| {}).await;
    let agent = scene.paired().await;
    assert_eq!(refused(&scene.plane.requests()), 1, "the plane is asked in the newer words first");
    agent.kill().await;
    scene.plane.clear_requests();
    let agent = scene.host.start().await;
    agent.wait_for("a poll", |status| is_settled(status) && asked_since_the_start(status)).await;
    assert_eq!(refused(&scene.plane.requests()), 0, "after a restart no request is made in vain");
    assert_eq!(carried_out(&scene.plane.requests(), "applicationsForRuntime"), 1);

    scene.plane.set_dialect(Dialect::Bundle);
    scene.plane.clear_requests();
    assert!(agent.sync().await.done);
    assert_eq!(refused(&scene.plane.requests()), 1);
    assert!(agent.sync().await.done);
    assert_eq!(refused(&scene.plane.requests()), 1);
    agent.kill().await;
    scene.plane.clear_requests();
    let agent = scene.host.start().await;
    agent.wait_for("a poll", |status| is_settled(status) && asked_since_the_start(status)).await;
    assert_eq!(refused(&scene.plane.requests()), 0, "the change is remembered");
}

#[tokio::test]
async fn what_is_kept_may_be_spoilt_under_a_running_agent_and_the_polls_after_that_mend_it() {
    // Texts and the broker are what needs it without a change at the plane.
    for specifications in [Specifications::Read, Specifications::LeftOut] {
        let scene = Scene::with(Options::default(), |settings| {
            settings.sync.specifications = specifications;
            settings.broker.enabled = Brokerage::Open;
        })
        .await;
        let agent = scene.paired().await;
        // In place, as an editor or a bad disk does.
        fs::write(scene.host.path(KEPT), "spoilt").unwrap();
        agent.sync().await;
        agent.wait_for("the complaint", |status| problem(status, Area::Output).contains("snapshot.json")).await;
        assert!(agent.sync().await.done);
        agent.wait_for("everything to be well", is_settled).await;
        assert!(scene.host.read(KEPT).starts_with("{\"version\":2"), "{specifications:?}");
        scene.plane.put_application(application("New", "canary-new"));
        assert!(agent.sync().await.done);
        let status = agent.status().await;
        assert_eq!((status.output.unwrap().applications, status.problems.len()), (4, 0), "{specifications:?}");
        agent.terminate().await;
        scene.plane.fault(refuses());
        let agent = scene.host.start().await;
        assert_eq!(agent.wait_for("a poll that failed", is_cut_off).await.output.unwrap().applications, 4);
        assert!(!scene.host.log().contains("put aside"));
    }
}

#[tokio::test]
async fn a_disk_without_room_for_what_the_plane_says_is_told_and_not_blamed_on_the_plane() {
    let scene = Scene::new().await;
    scene.paired().await.terminate().await;
    let before = seen(&scene.host);
    // More than what is held in memory.
    scene.plane.generate(Generate { applications: 500, bundles: 2, apis: 4, ..Generate::default() });
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 256; exec \"$0\" \"$@\"", PROGRAM, "run", "--config"]);
    command.arg(scene.host.path("agent.toml")).env_clear().current_dir("/").kill_on_drop(true);
    let agent = scene.host.start_command(command).await;
    let status = agent.wait_for("the complaint", |status| !problem(status, Area::Output).is_empty()).await;
    let told = problem(&status, Area::Output);
    assert!(told.starts_with("There is no room on this host for what the plane says"), "{told}");
    assert!(status.problems[&Area::Output].remedy.contains("Make room"), "{:?}", status.problems);
    assert!(problem(&status, Area::Sync).is_empty(), "{:?}", status.problems);
    assert_eq!(seen(&scene.host), before);
    agent.terminate().await;
    let agent = scene.host.start().await;
    let count = scene.plane.applications().len();
    let all = |status: &Status| status.output.as_ref().is_some_and(|it| it.applications == count);
    let status = agent.wait_for("all of it, with room", all).await;
    assert!(problem(&status, Area::Output).is_empty(), "{:?}", status.problems);
}
