//! A token becomes an identity, and the identity files.

use std::fs;

use plane::{Dialect, Endpoint, Generate, KeyAlgorithm, Options, Plane, TokenForm};
use runtime_agent::agent::status::State;
use runtime_agent::pairing::Verdict;

use crate::host::{Host, names, said};
use crate::scene::{Scene, asked_since_the_start, is_settled, verdict};
use crate::tree::files;

#[tokio::test]
async fn a_token_in_each_form_pairs_the_host_and_is_gone_afterwards() {
    let Scene { plane, .. } = Scene::new().await;
    for form in [TokenForm::Json, TokenForm::Base64, TokenForm::KeyValue, TokenForm::Url, TokenForm::Bare] {
        let runtime = plane.register_runtime(&format!("{form:?}"));
        let host = Host::new(&plane, |settings| {
            // The one form that does not say where the Connector is.
            if form == TokenForm::Bare {
                settings.plane.connector_url = Some(plane.connector_url().parse().unwrap());
            }
        });
        let agent = host.start().await;
        plane.clear_requests();
        host.drop_token(&plane.mint_token(&runtime, form));
        let status = agent.wait_for(&format!("the pairing by {form:?}"), is_settled).await;
        assert_eq!(status.identity.unwrap().runtime.unwrap().as_str(), runtime);
        assert!(!host.token().exists(), "{form:?}: the token is still there");
        assert_eq!(names(&host.path("state/config/current/applications")).len(), 3, "{form:?}");
        let tenant = (form == TokenForm::KeyValue).then(|| plane.tenant());
        for request in plane.requests().iter().filter(|request| request.endpoint == Endpoint::Director) {
            assert_eq!(request.tenant, tenant, "{form:?}: the tenant is named where the token file named it");
        }
    }
}

#[tokio::test]
async fn a_plane_that_insists_on_the_tenant_is_told_it_for_good() {
    let scene = Scene::with(Options { tenant_required: true, ..Options::default() }, |_| {}).await;
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.plane.mint_token(&scene.runtime, TokenForm::KeyValue));
    agent.wait_for("the pairing", is_settled).await;
    agent.terminate().await;
    let agent = scene.host.start().await;
    agent.wait_for("a poll after the restart", asked_since_the_start).await;
    assert!(agent.renew().await.done);
    scene.plane.clear_requests();
    scene.asked("the renewed certificate to be tried", |all| all.iter().any(|request| request.is("viewer"))).await;
    let viewer = scene.requests("viewer").remove(0);
    assert_eq!(viewer.tenant, Some(scene.plane.tenant()));
}

#[tokio::test]
async fn the_key_is_of_the_kind_that_the_connector_announces() {
    for (algorithm, recorded) in [(KeyAlgorithm::Rsa2048, "rsa2048"), (KeyAlgorithm::EcdsaP384, "ecdsa-p384")] {
        let scene = Scene::new().await;
        scene.plane.set_key_algorithm(algorithm);
        let _agent = scene.paired().await;
        let record: serde_json::Value =
            serde_json::from_str(&scene.host.read("state/identity/current/identity.json")).unwrap();
        assert_eq!(record["key_algorithm"], recorded);
    }
}

#[tokio::test]
async fn pair_takes_a_token_from_a_file_or_standard_input_and_waits_until_the_host_is_paired() {
    let scene = Scene::new().await;
    let agent = scene.host.start().await;
    let file = scene.host.path("a token");
    fs::write(&file, scene.mint()).unwrap();
    let output = scene.host.run(&["pair", "--token-file", file.to_str().unwrap()], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("paired with 127.0.0.1"), "{}", said(&output));
    assert!(!scene.host.token().exists());

    let first = agent.status().await.identity.unwrap();
    let output = scene.host.run(&["pair"], &scene.mint()).await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let second = agent.status().await.identity.unwrap();
    assert_ne!(first.fingerprint, second.fingerprint, "the second token brought a second certificate");
    assert!(!scene.host.token().exists());
}

#[tokio::test]
async fn a_token_that_is_given_before_the_agent_runs_is_used_when_it_does() {
    let scene = Scene::new().await;
    fs::create_dir(scene.host.path("state")).unwrap();
    let output = scene.host.run(&["pair"], &scene.mint()).await;
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("used as soon as the agent runs"), "{}", said(&output));
    let agent = scene.host.start().await;
    let status = agent.wait_for("the pairing", is_settled).await;
    assert_eq!(verdict(&status), Some(Verdict::Paired));
}

#[tokio::test]
async fn a_token_while_paired_brings_another_identity_without_a_gap() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let other = scene.plane.register_runtime("another");
    scene.host.drop_token(&scene.plane.mint_token(&other, TokenForm::Url));
    let status = agent
        .wait_for("the other identity", |status| {
            assert_eq!(status.state, State::Healthy, "{:?}", status.problems);
            // What one runtime may use is another generation than what the other may, be it the same.
            status.output.as_ref().is_some_and(|output| output.generation.0.get() == 2) && is_settled(status)
        })
        .await;
    assert_eq!(verdict(&status), Some(Verdict::Paired));
    assert_eq!(status.identity.unwrap().runtime.unwrap().as_str(), other);
    let manifest: serde_json::Value =
        serde_json::from_str(&scene.host.read("state/config/current/manifest.json")).unwrap();
    assert_eq!(manifest["runtime"].as_str().unwrap(), other);
}

#[tokio::test]
async fn planes_of_both_dialects_give_services_the_same_credentials() {
    let mut seen = Vec::new();
    for dialect in [Dialect::Bundle, Dialect::Package] {
        let plane = Plane::start(Options { dialect, key_algorithm: KeyAlgorithm::EcdsaP256, ..Options::default() });
        let plane = plane.await.unwrap();
        // What both can say.
        use plane::CredentialKind::{Absent, Basic, None, Oauth};
        plane.generate(Generate {
            applications: 4,
            credentials: vec![Basic, Oauth, None, Absent],
            ..Generate::default()
        });
        let runtime = plane.register_runtime("host");
        let host = Host::new(&plane, |_| {});
        let agent = host.start().await;
        host.drop_token(&plane.mint_token(&runtime, TokenForm::Json));
        agent.wait_for("the pairing", is_settled).await;
        let mut files = files(&host.path("state/config/current/applications"));
        files.retain(|path, _| path.ends_with("credentials.env"));
        assert_eq!(files.len(), 4);
        seen.push(files);
    }
    assert_eq!(seen[0], seen[1]);
    let texts = seen[0].values().map(|content| String::from_utf8_lossy(content).into_owned());
    let all: String = texts.collect();
    assert!(all.contains("canary-password") && all.contains("canary-client-secret"), "{all}");
}
