//! A token that is of no use is said to be, once, and is gone.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plane::{Options, TokenForm};
use runtime_agent::agent::status::{Area, State};
use runtime_agent::pairing::Verdict;
use serde_json::{Value, json};

use crate::host::said;
use crate::scene::{Scene, is_settled, problem, verdict};

/// The plane's own JSON with some values replaced.
fn changed(token: &str, changes: &Value) -> String {
    let mut json: Value = serde_json::from_str(token).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        json[key] = value.clone();
    }
    json.to_string()
}

/// Drops a token and checks that it is refused by one sentence everywhere, without a second try.
async fn is_refused(scene: &Scene, token: &str, sentence: &str, requests: usize) {
    let agent = scene.host.start().await;
    scene.plane.clear_requests();
    scene.host.drop_token(token);
    let status = agent
        .wait_for("the refusal", |status| verdict(status) == Some(Verdict::Refused) && !status.problems.is_empty())
        .await;
    assert_eq!(status.state, State::ActionNeeded);
    assert!(status.headline.contains("Drop a new token"), "{}", status.headline);
    let problem = problem(&status, Area::Pairing);
    assert!(problem.contains(sentence), "{problem}");
    assert_eq!(status.token.as_ref().unwrap().detail, problem, "the same sentence");
    let log = scene.host.log();
    let errors = log.lines().filter(|line| line.contains(" ERROR ") && line.contains(problem)).count();
    assert_eq!(errors, 1, "the same sentence in the log, once");
    assert!(!scene.host.token().exists(), "the token is still there");
    let page = scene.host.run(&["status"], "").await;
    assert_eq!(page.status.code(), Some(5));
    assert!(said(&page).contains(problem), "{}", said(&page));
    let status = agent.wait_for("the end of it", |status| status.endeavour.is_none()).await;
    assert_eq!(status.endeavour, None, "nothing is planned any more");
    assert_eq!(scene.plane.requests().len(), requests);

    // It says so after a restart as well, and does nothing more about it.
    agent.terminate().await;
    let agent = scene.host.start().await;
    assert_eq!(verdict(&agent.status().await), Some(Verdict::Refused));
    // A good token mends it; by then any retry of the bad one would have been seen.
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing by a good token", is_settled).await;
    assert_eq!(scene.requests("configuration").len(), requests + 1);
}

#[tokio::test]
async fn an_unknown_token_is_refused_once_and_for_all() {
    let scene = Scene::new().await;
    let token = changed(&scene.mint(), &json!({ "token": "canary-of-nobody" }));
    is_refused(&scene, &token, "The token was refused; it is wrong, spent or expired", 1).await;
}

#[tokio::test]
async fn a_spent_token_is_refused_once_and_for_all() {
    let scene = Scene::new().await;
    let token = scene.mint();
    let other = crate::host::Host::new(&scene.plane, |_| {});
    let agent = other.start().await;
    other.drop_token(&token);
    agent.wait_for("the pairing of another host", is_settled).await;
    is_refused(&scene, &token, "The token was refused; it is wrong, spent or expired", 1).await;
}

#[tokio::test]
async fn an_expired_token_is_refused_once_and_for_all() {
    let scene = Scene::new().await;
    // In a form that does not tell when it expires, so that the plane has to say it.
    let token = scene.plane.mint_token(&scene.runtime, TokenForm::Url);
    assert_eq!(scene.plane.expire_tokens(&scene.runtime), 1);
    is_refused(&scene, &token, "The token was refused; it is wrong, spent or expired", 1).await;
}

#[tokio::test]
async fn a_token_that_says_of_itself_that_it_is_used_is_not_sent() {
    let scene = Scene::new().await;
    let token = changed(&scene.mint(), &json!({ "used": true }));
    is_refused(&scene, &token, "it says of itself that it was used already", 0).await;
}

#[tokio::test]
async fn a_token_that_has_expired_by_this_hosts_clock_is_not_sent() {
    let scene = Scene::new().await;
    let token = changed(&scene.mint(), &json!({ "expiresAt": "2020-02-02T02:02:02Z" }));
    let before = jiff::Timestamp::now();
    let sentence = "The token expired at 2020-02-02T02:02:02Z and is not used: this host's clock shows ";
    is_refused(&scene, &token, sentence, 0).await;
    let log = scene.host.log();
    let (_, shown) = log.split_once(sentence).unwrap();
    let (shown, remedy) = shown.split_once(". ").unwrap();
    let shown: jiff::Timestamp = shown.parse().unwrap();
    assert!(before.as_second() <= shown.as_second() && shown <= jiff::Timestamp::now(), "{shown}");
    assert!(
        remedy.starts_with("If the clock is wrong, set it (see `timedatectl`) first. Drop a new token."),
        "{remedy}"
    );
}

#[tokio::test]
async fn a_token_of_another_kind_is_not_sent() {
    let scene = Scene::new().await;
    let token = changed(&scene.mint(), &json!({ "type": "Application" }));
    is_refused(&scene, &STANDARD.encode(token), "it is for a Application, not for a runtime", 0).await;
}

#[tokio::test]
async fn a_file_without_a_token_is_not_sent() {
    let scene = Scene::new().await;
    is_refused(&scene, "two canary words", "holds no token: it is none of the known forms", 0).await;
}

#[tokio::test]
async fn what_is_too_large_for_a_token_is_not_kept() {
    let scene = Scene::new().await;
    is_refused(&scene, &"x".repeat(64 * 1024 + 1), "holds no token: it is larger than 64 KiB", 0).await;
}

#[tokio::test]
async fn a_file_that_stays_empty_is_not_kept() {
    let scene = Scene::new().await;
    is_refused(&scene, "", "holds no token: it is empty", 0).await;
}

#[tokio::test]
async fn a_token_for_a_connector_without_tls_is_not_sent() {
    let scene = Scene::new().await;
    let token = "CONNECTOR_URL=http://127.0.0.1/graphql\nTOKEN=canary\n";
    is_refused(&scene, token, "its connector URL cannot be used: it begins with http:, and only https:", 0).await;
}

#[tokio::test]
async fn a_bare_token_without_a_connector_is_not_sent_anywhere() {
    let scene = Scene::new().await;
    let token = scene.plane.mint_token(&scene.runtime, TokenForm::Bare);
    is_refused(&scene, &token, "does not say which Connector it is for, and plane.connector_url", 0).await;
}

#[tokio::test]
async fn pair_exits_with_5_and_the_sentence_when_the_token_is_refused() {
    let scene = Scene::new().await;
    let agent = scene.host.start().await;
    let token = changed(&scene.mint(), &json!({ "token": "canary-of-nobody" }));
    let output = scene.host.run(&["pair"], &token).await;
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("The token was refused; it is wrong, spent or expired"), "{}", said(&output));

    let expired = scene.mint();
    scene.plane.expire_tokens(&scene.runtime);
    let output = scene.host.run(&["pair", "--token-file", "-"], &expired).await;
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(!scene.host.token().exists());
    drop(agent);
}

#[tokio::test]
async fn pair_refuses_what_is_no_token_before_it_does_anything() {
    let scene = Scene::new().await;
    let agent = scene.host.start().await;
    for (content, sentence) in [("two canary words", "none of the known forms"), ("", "it is empty")] {
        let output = scene.host.run(&["pair"], content).await;
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(sentence) && said(&output).contains("nothing was done"), "{}", said(&output));
    }
    let wrong = changed(&scene.mint(), &json!({ "type": "Application" }));
    let output = scene.host.run(&["pair"], &wrong).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("not for a runtime"), "{}", said(&output));
    assert_eq!(agent.status().await.token, None);
    assert!(!scene.host.token().exists());
}

#[tokio::test]
async fn a_token_that_is_refused_while_paired_leaves_the_identity_in_use() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let before = agent.status().await.identity.unwrap();
    scene.host.drop_token(&changed(&scene.mint(), &json!({ "token": "canary-of-nobody" })));
    let status = agent.wait_for("the refusal", |status| verdict(status) == Some(Verdict::Refused)).await;
    assert_eq!(status.identity, Some(before));
    assert!(agent.sync().await.done);
    assert_eq!(agent.status().await.state, State::Healthy, "nothing is wrong with the host");
    assert!(scene.host.log().contains("The identity in use stays. To pair anew, drop a new token."));
    let page = scene.host.run(&["status"], "").await;
    assert!(said(&page).contains("last token  refused, "), "{}", said(&page));
}

#[tokio::test]
async fn a_token_file_that_cannot_be_used_is_named_and_looked_at_again_when_it_changes() {
    let scene = Scene::new().await;
    let agent = scene.host.start().await;
    fs::create_dir(scene.host.token()).unwrap();
    let status = agent.wait_for("the complaint", |status| !problem(status, Area::TokenFile).is_empty()).await;
    assert!(problem(&status, Area::TokenFile).contains("not a regular file"), "{}", problem(&status, Area::TokenFile));
    fs::remove_dir(scene.host.token()).unwrap();
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing", is_settled).await;
}

#[tokio::test]
async fn a_second_token_that_expired_meanwhile_is_told_as_such() {
    let options = Options { follow_up_lifetime: Duration::ZERO, ..Options::default() };
    let scene = Scene::with(options, |_| {}).await;
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the refusal", |status| verdict(status) == Some(Verdict::Refused)).await;
    assert!(status.token.as_ref().unwrap().detail.contains("may have expired"), "{:?}", status.token);
    assert!(!scene.host.path("state/pairing.json").exists(), "what is of no use any more is not kept");
    assert_eq!(scene.connector_requests(), 2);
}
