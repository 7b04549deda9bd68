//! What scripts rely on: exit codes and what goes to standard output.

use plane::{Endpoint, Fault, Options};
use runtime_agent::agent::status::{State, Status};
use runtime_agent::config::{Seconds, Settings};

use crate::host::{PROGRAM, finished, said};
use crate::scene::Scene;

async fn status_code(scene: &Scene) -> Option<i32> {
    let page = scene.host.run(&["status"], "").await;
    let json = scene.host.run(&["status", "--json"], "").await;
    assert_eq!(page.status.code(), json.status.code());
    if let Ok(status) = serde_json::from_slice::<Status>(&json.stdout) {
        assert!(said(&page).contains(&format!("state  {}:", status.state.as_str())), "{}", said(&page));
        for problem in status.problems.values() {
            assert!(said(&page).contains(&problem.what) && said(&page).contains(&problem.remedy), "{}", said(&page));
        }
    } else {
        assert_eq!(page.stdout, b"", "what went wrong goes to standard error");
    }
    page.status.code()
}

#[tokio::test]
async fn status_exits_with_what_the_state_is() {
    let often = |settings: &mut Settings| settings.sync.interval = Seconds::new(5);
    let scene = Scene::with(Options::default(), often).await;
    assert_eq!(status_code(&scene).await, Some(6), "not running");
    let agent = scene.host.start().await;
    assert_eq!(status_code(&scene).await, Some(3), "unpaired");
    agent.terminate().await;
    let agent = scene.paired().await;
    assert_eq!(status_code(&scene).await, Some(0), "healthy");
    scene.plane.fault(Fault::on(Endpoint::Director).status(503, "busy").times(1));
    assert!(!agent.sync().await.done);
    assert_eq!(status_code(&scene).await, Some(4), "degraded");
    scene.plane.revoke(&scene.runtime);
    assert!(!agent.sync().await.done);
    agent.wait_for("the rejection", |status| status.state == State::Rejected).await;
    assert_eq!(status_code(&scene).await, Some(5), "a person is needed");
    agent.kill().await;
    assert_eq!(status_code(&scene).await, Some(6), "killed, with its socket left behind");
}

#[tokio::test]
async fn what_works_by_the_configuration_ends_with_78_where_that_is_bad() {
    let scene = Scene::new().await;
    scene.host.write_configuration("[sync]\nintervall = \"3m\"\n");
    for command in ["run", "apply"] {
        let output = scene.host.run(&[command], "").await;
        assert_eq!(output.status.code(), Some(78), "{command}");
        assert!(said(&output).contains("line 2"), "{}", said(&output));
    }
    assert!(!scene.host.path("state").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_configuration_that_is_bad_is_complained_of_and_keeps_nobody_from_asking_the_agent() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let good = scene.host.read("agent.toml");
    scene.host.write_configuration(&format!("{good}\n[synk]\ninterval = \"5m\"\n"));
    for (command, word) in [("status", "healthy"), ("sync", "Nothing changed"), ("renew", "is being renewed")] {
        let output = scene.host.run(&[command], "").await;
        assert_eq!(output.status.code(), Some(0), "{command}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{command}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("synk"), "{command}: {}", said(&output));
    }
    drop(agent);
}

#[tokio::test]
async fn check_tells_a_good_configuration_from_a_bad_one() {
    let scene = Scene::new().await;
    let check = async || {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.arg("check").arg(scene.host.path("agent.toml"));
        finished(command, "").await
    };
    let output = check().await;
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("agent.toml is valid\n"), "{}", said(&output));
    scene.host.write_configuration("[plane]\nconnector_url = \"http://plane.example.com\"\n");
    let output = check().await;
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("line 2") && said(&output).contains("only https:"), "{}", said(&output));
    std::fs::remove_file(scene.host.path("agent.toml")).unwrap();
    assert_eq!(check().await.status.code(), Some(78), "a file that is named must be there");
}

#[tokio::test]
async fn sync_asks_the_plane_and_tells_what_came_of_it() {
    let scene = Scene::new().await;
    assert_eq!(scene.host.run(&["sync"], "").await.status.code(), Some(6));
    let agent = scene.host.start().await;
    let output = scene.host.run(&["sync"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("not paired; drop a token first"), "{}", said(&output));
    agent.terminate().await;
    let _agent = scene.paired().await;
    let output = scene.host.run(&["sync"], "").await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Nothing changed; 3 applications.\n");
    scene.plane.fault(Fault::on(Endpoint::Director).status(503, "busy").times(1));
    let output = scene.host.run(&["sync"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("HTTP status 503, saying \u{201c}busy\u{201d}"), "{}", said(&output));
}
