//! An identity that is lost or damaged: what is left is used, and where nothing is, a person is told.

use std::fs;

use plane::{Endpoint, Fault};
use runtime_agent::agent::standing::Standing;
use runtime_agent::agent::status::{Area, State, Status};

use tokio::process::Command;

use crate::credential::current_key;
use crate::host::{Host, PROGRAM, said};
use crate::kills::trace::need_strace;
use crate::scene::{Scene, is_settled, is_well, problem};
use crate::tree::everything;

/// Starts the agent on a host whose identity is lost, and mends it by a token.
async fn is_lost(scene: &Scene, sentence: &str) {
    let files = everything(&scene.host.path("state/config"));
    let agent = scene.host.start().await;
    let status = agent.wait_for("the complaint", |status| status.state == State::Lost).await;
    assert_eq!(status.standing, Standing::Lost);
    assert!(problem(&status, Area::Certificate).contains(sentence), "{:?}", status.problems);
    assert!(status.headline.starts_with("identity LOST"), "{}", status.headline);
    assert!(status.problems[&Area::Certificate].remedy.contains("Drop a new token"), "{:?}", status.problems);
    let page = scene.host.run(&["status"], "").await;
    assert_eq!(page.status.code(), Some(5));
    assert!(said(&page).contains("state  lost:"), "{}", said(&page));
    assert_eq!(everything(&scene.host.path("state/config")), files, "the last good files stay");
    scene.host.drop_token(&scene.mint());
    let mended = |now: &Status| is_settled(now) && now.standing == Standing::Valid;
    let mended = agent.wait_for("the pairing", mended).await;
    assert_eq!(mended.agent.pid, status.agent.pid, "without a restart");
    current_key(&scene.host);
}

#[tokio::test]
async fn files_that_are_gone_are_told_and_a_new_token_mends_it() {
    let scene = Scene::new().await;
    scene.paired().await.terminate().await;
    fs::remove_dir_all(scene.host.path("state/identity")).unwrap();
    is_lost(&scene, "the host was paired, and the files of its identity are gone").await;
}

#[tokio::test]
async fn a_damaged_identity_is_told_and_a_new_token_mends_it() {
    for (file, content) in [("key.pem", "not a key"), ("cert.pem", ""), ("identity.json", "{}")] {
        let scene = Scene::new().await;
        scene.paired().await.terminate().await;
        fs::write(scene.host.path("state/identity/current").join(file), content).unwrap();
        is_lost(&scene, file).await;
    }
}

#[tokio::test]
async fn a_damaged_identity_is_replaced_by_the_one_before_which_is_renewed() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let first = agent.status().await.identity.unwrap().fingerprint;
    assert!(agent.renew().await.done);
    let second = agent
        .wait_for("the renewal", |status| status.identity.as_ref().is_some_and(|now| now.fingerprint != first))
        .await;
    agent.terminate().await;
    fs::write(scene.host.path("state/identity/current/key.pem"), "not a key").unwrap();
    let agent = scene.host.start().await;
    let fingerprints = [first, second.identity.unwrap().fingerprint];
    let another = |status: &Status| {
        is_well(status) && status.identity.as_ref().is_some_and(|now| !fingerprints.contains(&now.fingerprint))
    };
    agent.wait_for("a third certificate", another).await;
    assert!(scene.host.log().contains("the one before it, valid until"), "{}", scene.host.log());
    current_key(&scene.host);
    assert_eq!(scene.plane.requests().iter().filter(|request| request.token_present).count(), 2, "no token was needed");
}

#[tokio::test]
async fn files_that_vanish_under_a_running_agent_come_back_with_the_next_renewal() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    fs::remove_dir_all(scene.host.path("state/identity")).unwrap();
    assert!(agent.sync().await.done);
    let before = agent.status().await.identity.unwrap().fingerprint;
    assert!(agent.renew().await.done);
    agent.wait_for("the renewal", |status| status.identity.as_ref().is_some_and(|now| now.fingerprint != before)).await;
    current_key(&scene.host);
}

/// Has the agent start where the disk gives an error for a file, once; what it says to that.
async fn starts_with_unreadable(host: &Host, file: &str) -> String {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=openat", "-e", "inject=openat:error=EIO", "-P"]);
    command.arg(host.path("state").join(file)).arg(PROGRAM).arg("run").arg("--config").arg(host.path("agent.toml"));
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/").kill_on_drop(true);
    let before = host.log().len();
    let Err(status) = host.launch(command).await else { panic!("{file}: the agent runs") };
    assert_eq!(status.code(), Some(1), "{file}: it is started again");
    host.log().split_off(before)
}

#[tokio::test]
async fn an_identity_that_the_disk_does_not_give_is_neither_lost_nor_replaced_by_an_older_one() {
    need_strace();
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let first = agent.status().await.identity.unwrap().fingerprint;
    assert!(agent.renew().await.done);
    let renewed = |status: &Status| status.identity.as_ref().is_some_and(|now| now.fingerprint != first);
    agent.wait_for("the renewal", |status| is_settled(status) && renewed(status)).await;
    agent.terminate().await;
    let state = everything(&scene.host.path("state/identity"));
    for file in ["token.json", "identity/0002/key.pem", "identity/0002/cert.pem", "identity/0002/identity.json"] {
        let said = starts_with_unreadable(&scene.host, file).await;
        assert!(said.contains("Input/output error") && said.contains("Nothing is concluded from that"), "{said}");
        assert!(!said.contains("lost"), "{said}");
        assert_eq!(everything(&scene.host.path("state/identity")), state, "{file}");
    }
    let agent = scene.host.start().await;
    agent.wait_for("everything to be well", |status| is_settled(status) && renewed(status)).await;
}

#[tokio::test]
async fn a_pairing_that_the_disk_does_not_give_goes_on_at_the_next_start() {
    need_strace();
    let scene = Scene::new().await;
    scene.plane.fault(Fault::on(Endpoint::Connector).operation("signCertificateSigningRequest").status(503, "busy"));
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing to be half done", |status| status.problems.contains_key(&Area::Pairing)).await;
    agent.kill().await;
    let said = starts_with_unreadable(&scene.host, "pairing.json").await;
    assert!(said.contains("Nothing is concluded from that") && !said.contains("new token"), "{said}");
    scene.plane.clear_faults();
    let agent = scene.host.start().await;
    agent.wait_for("the host to be paired", is_settled).await;
    let introduced = scene.plane.requests().iter().filter(|request| request.is("configuration")).count();
    assert_eq!(introduced, 1, "by the second token");
}
