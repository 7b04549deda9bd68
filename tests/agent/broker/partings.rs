//! What becomes of bindings when the host is unpaired or paired as another runtime, and of most of them at once.

use std::fs;

use plane::{Options, TokenForm};
use runtime_agent::agent::status::{Area, Severity};
use runtime_agent::config::{Orphans, Settings};
use runtime_agent::snapshot::brake::Consent;
use serde_json::json;

use super::platform::{binding, instance};
use super::shop::{Shop, counts, open};
use crate::host::{said, within};
use crate::scene::{asked_since_the_start, problem};

#[tokio::test]
async fn an_unpaired_host_hands_out_no_credentials_and_lets_bindings_be_deleted() {
    let shop = Shop::open().await;
    let offer = shop.at_once.clone();
    let (agent, platform) = shop.with_instance(&offer).await;
    assert_eq!(platform.put(&binding("i", "b"), &offer.binding()).await.status, 201);

    let output = shop.host().run(&["unpair"], "").await;
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));

    agent.wait_for("the end of the binding", |status| counts(status).failed == 1).await;
    assert_eq!(platform.get(&binding("i", "b")).await.status, 404);
    let row = &shop.bindings().await["bindings"][0];
    assert_eq!(row["phase"], "failed");
    assert!(row["why"].as_str().unwrap().contains("was unpaired"), "{row}");
    assert!(shop.host().log().contains("1 service bindings are good for nothing any more"));
    // Nobody can be asked to take them back, so that is not waited for.
    let gone = platform.delete(&format!("{}?{}", binding("i", "b"), offer.query())).await;
    assert_eq!(gone.status, 200, "{gone:?}");
    assert_eq!(platform.delete(&format!("{}?{}", instance("i"), offer.query())).await.status, 200);
}

#[tokio::test]
async fn paired_as_another_runtime_what_was_under_way_ends_and_the_rest_can_be_deleted_here() {
    let shop = Shop::open().await;
    let (at_once, on_request) = (shop.at_once.clone(), shop.on_request.clone());
    let (agent, platform) = shop.with_instance(&at_once).await;
    assert_eq!(platform.put(&binding("i", "ready"), &at_once.binding()).await.status, 201);
    assert_eq!(platform.put(&instance("j"), &on_request.instance()).await.status, 201);
    let later = |path: String| path + "?accepts_incomplete=true";
    for id in ["waiting", "returning"] {
        assert_eq!(platform.put(&later(binding("j", id)), &on_request.binding()).await.status, 202);
    }
    let returning = binding("j", "returning");
    let delete = |path: &str, query: String| format!("{path}?{query}&accepts_incomplete=true");
    assert_eq!(platform.delete(&delete(&returning, on_request.query())).await.status, 202);
    let before = shop.held().len();

    let other = shop.scene.plane.register_runtime("another");
    shop.host().drop_token(&shop.scene.plane.mint_token(&other, TokenForm::Json));
    let paired = |status: &runtime_agent::agent::status::Status| {
        let runtime = status.identity.as_ref().and_then(|identity| identity.runtime.as_ref());
        runtime.is_some_and(|runtime| runtime.as_str() == other) && counts(status).under_way == 0
    };
    let status = agent.wait_for("the other pairing, and the end of what was under way", paired).await;

    assert_eq!((counts(&status).bindings, counts(&status).failed), (1, 1));
    let operation = platform.get(&format!("{returning}/last_operation")).await;
    assert_eq!((operation.status, &operation.body["state"]), (200, &json!("succeeded")));
    for (path, query) in [(binding("i", "ready"), at_once.query()), (binding("j", "waiting"), on_request.query())] {
        assert_eq!(platform.delete(&delete(&path, query)).await.status, 200, "{path}");
    }
    assert_eq!(shop.bindings().await["bindings"], json!([]));
    assert_eq!(shop.held().len(), before, "what another runtime has cannot be given back");
}

#[tokio::test]
async fn where_most_bindings_are_orphans_nothing_is_given_back_before_a_person_agrees() {
    let remove = |settings: &mut Settings| {
        open(settings);
        settings.broker.orphans = Orphans::Remove;
    };
    let shop = Shop::with(Options::default(), remove).await;
    let offer = &shop.at_once;
    let (agent, platform) = shop.with_instance(offer).await;
    for id in ["a", "b", "c", "d"] {
        assert_eq!(platform.put(&binding("i", id), &offer.binding()).await.status, 201);
    }
    agent.terminate().await;
    fs::remove_file(shop.host().path("state/broker.redb")).unwrap();

    let agent = shop.host().start().await;
    agent.wait_for("a poll", asked_since_the_start).await;
    for _ in 0..3 {
        assert!(agent.sync().await.done);
    }
    let held_back = |status: &_| problem(status, Area::Orphans).contains("4 of the 4 sets of credentials");
    let status = agent.wait_for("the doubt", held_back).await;
    assert_eq!(status.problems[&Area::Orphans].severity, Severity::ActionNeeded);
    assert_eq!(shop.held().len(), 4);

    let client = runtime_agent::control::Client::new(&shop.host().path("run/control.sock")).unwrap();
    assert!(within("a poll", client.sync(Consent::Given)).await.unwrap().done);
    let given_back = async {
        while !shop.held().is_empty() {
            agent.wait_for("an orphan less", |status| counts(status).orphans < 4).await;
        }
    };
    within("the orphans to go", given_back).await;
}
