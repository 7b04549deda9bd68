//! Bindings from their grant to their end, in both of the dialects that planes speak.

use futures_util::future::join_all;
use plane::{Dialect, Endpoint, Fault, Options, Verdict};
use reqwest::Method;
use serde_json::{Value, json};

use super::platform::{binding, instance, send};
use super::shop::{CREATION, PASSWORD, Shop, counts, has_ready, open};

const GRANTED: &str = "canary-granted-0123456789abcdef";

fn speaking(dialect: Dialect) -> Options {
    Options { dialect, ..Options::default() }
}

/// The password in an answer with credentials.
fn password(body: &Value) -> &Value {
    &body["credentials"]["auth_details"]["auth"]["password"]
}

#[tokio::test]
async fn credentials_that_are_there_at_once_are_bound_and_given_back_at_once() {
    for dialect in [Dialect::Bundle, Dialect::Package] {
        let shop = Shop::with(speaking(dialect), open).await;
        let offer = &shop.at_once;
        let (_agent, platform) = shop.paired().await;

        let catalog = platform.get("/v2/catalog").await;
        assert_eq!(catalog.status, 200);
        let services = catalog.body["services"].as_array().unwrap();
        let till = services.iter().find(|service| service["id"] == *offer.service).unwrap();
        assert_eq!((&till["name"], &till["plans"][0]["id"]), (&json!("till"), &json!(offer.plan)));
        let tag = catalog.header("etag").unwrap().to_owned();
        let again = platform.request(Method::GET, "/v2/catalog").header("x-broker-api-version", "2.13");
        let again = send(again.header("if-none-match", &tag)).await.unwrap();
        assert_eq!((again.status, again.body), (304, Value::Null));

        let made = platform.put(&instance("i"), &offer.instance()).await;
        assert_eq!(made.status, 201);
        assert_eq!(platform.put(&instance("i"), &offer.instance()).await.status, 200);
        let mut other = offer.instance();
        other["space_guid"] = "another".into();
        let refused = platform.put(&instance("i"), &other).await;
        assert_eq!((refused.status, refused.error()), (409, "Conflict"));
        let seen = platform.get(&instance("i")).await;
        assert_eq!((seen.status, &seen.body["plan_id"]), (200, &json!(offer.plan)));
        assert_eq!(shop.held(), [], "the plane is not told of instances");

        let path = binding("i", "b");
        let bound = platform.put(&path, &offer.binding()).await;
        assert_eq!(bound.status, 201, "{bound:?}");
        assert_eq!(password(&bound.body), PASSWORD);
        let credentials = &bound.body["credentials"];
        assert_eq!(credentials["credentials_type"], "basic_auth");
        assert_eq!(credentials["target_urls"], json!({ "Orders API": "https://till.example.com/orders" }));
        assert_eq!(credentials["id"], shop.only().id, "{dialect:?}");
        let endpoint = json!([{ "host": "till.example.com", "ports": ["443"], "protocol": "tcp" }]);
        assert_eq!(bound.body["endpoints"], endpoint);
        let again = platform.put(&path, &offer.binding()).await;
        assert_eq!((again.status, &again.body), (200, &bound.body));
        let mut other = offer.binding();
        other["parameters"] = json!({ "colour": "red" });
        let refused = platform.put(&path, &other).await;
        assert_eq!((refused.status, refused.error()), (409, "Conflict"));
        let seen = platform.get(&path).await;
        assert_eq!((seen.status, password(&seen.body)), (200, &json!(PASSWORD)));
        assert_eq!(platform.get(&format!("{path}/last_operation")).await.body["state"], "succeeded");
        let context: Value = serde_json::from_str(shop.only().context.as_deref().unwrap()).unwrap();
        let meant = json!({ "instance_id": "i", "binding_id": "b", "runtime_id": shop.scene.runtime });
        assert_eq!((context, shop.times(CREATION)), (meant, 1));

        let query = offer.query();
        assert_eq!(platform.delete(&path).await.status, 400, "without the service and plan");
        let held = platform.delete(&format!("{}?{query}", instance("i"))).await;
        assert_eq!(held.status, 400, "an instance with bindings stays: {held:?}");
        let unbound = platform.delete(&format!("{path}?{query}")).await;
        assert_eq!((unbound.status, unbound.body), (200, json!({})));
        assert_eq!(shop.held(), []);
        let again = platform.delete(&format!("{path}?{query}")).await;
        assert_eq!((again.status, again.error()), (410, "Gone"));
        assert_eq!(platform.get(&path).await.status, 404);
        let gone = platform.delete(&format!("{}?{query}", instance("i"))).await;
        assert_eq!((gone.status, gone.body), (200, json!({})));
        assert_eq!(platform.delete(&format!("{}?{query}", instance("i"))).await.status, 410);
        assert_eq!(platform.get(&instance("i")).await.status, 404);
    }
}

#[tokio::test]
async fn credentials_that_an_application_is_asked_for_come_when_it_answers_are_rotated_and_go_when_it_revokes_them() {
    for dialect in [Dialect::Bundle, Dialect::Package] {
        let shop = Shop::with(speaking(dialect), open).await;
        let offer = &shop.on_request;
        let (agent, platform) = shop.with_instance(offer).await;
        let path = binding("i", "b");
        let (later, last) = (format!("{path}?accepts_incomplete=true"), format!("{path}/last_operation"));

        let refused = platform.put(&path, &offer.binding()).await;
        assert_eq!((refused.status, refused.error()), (422, "AsyncRequired"));
        assert_eq!((shop.held(), shop.times(CREATION)), (vec![], 0), "nothing was asked");
        let accepted = platform.put(&later, &offer.binding()).await;
        assert_eq!((accepted.status, accepted.body.get("credentials")), (202, None));
        let again = platform.put(&later, &offer.binding()).await;
        assert_eq!((again.status, &again.body), (202, &accepted.body), "the same operation");
        assert_eq!(platform.get(&path).await.status, 404);
        let operation = accepted.body["operation"].as_str().unwrap();
        let waits = platform.get(&format!("{last}?operation={operation}")).await;
        assert_eq!((waits.status, &waits.body["state"]), (200, &json!("in progress")));

        shop.grants(&shop.only(), GRANTED);
        agent.wait_for("the credentials", |status| has_ready(status, 1)).await;
        assert_eq!(platform.get(&last).await.body["state"], "succeeded");
        let seen = platform.get(&path).await;
        assert_eq!((seen.status, password(&seen.body)), (200, &json!(GRANTED)));
        assert_eq!(platform.put(&later, &offer.binding()).await.status, 200);
        assert_eq!(shop.times(CREATION), 1);

        // A second set in place of the first.
        let mut successor = offer.binding();
        successor["predecessor_binding_id"] = "b".into();
        let rotated = binding("i", "c");
        assert_eq!(platform.put(&format!("{rotated}?accepts_incomplete=true"), &successor).await.status, 202);
        let first = seen.body["credentials"]["id"].clone();
        let second = shop.held().into_iter().find(|auth| first != *auth.id).unwrap();
        shop.grants(&second, "canary-rotated-0123456789abcdef");
        agent.wait_for("the second set", |status| has_ready(status, 2)).await;
        assert_eq!(password(&platform.get(&rotated).await.body), "canary-rotated-0123456789abcdef");
        assert_eq!(password(&platform.get(&path).await.body), GRANTED, "the first is as it was");

        let query = offer.query();
        let refused = platform.delete(&format!("{path}?{query}")).await;
        assert_eq!((refused.status, refused.error()), (422, "AsyncRequired"));
        for (path, auth) in [(&path, first.as_str().unwrap()), (&rotated, &*second.id)] {
            let delete = format!("{path}?{query}&accepts_incomplete=true");
            let accepted = platform.delete(&delete).await;
            assert_eq!(accepted.status, 202, "{accepted:?}");
            assert!(accepted.body["operation"].is_string());
            let last = format!("{path}/last_operation");
            assert_eq!(platform.get(&last).await.body["state"], "in progress");
            assert_eq!(platform.get(path).await.status, 404, "nobody gets what is given back");
            shop.scene.plane.answer_instance_auth(auth, Verdict::Remove).unwrap();
            agent.wait_for("the end of them", |status| counts(status).under_way == 0).await;
            assert_eq!(platform.get(&last).await.body["state"], "succeeded");
            assert_eq!(platform.delete(&delete).await.status, 410);
        }
        assert_eq!(shop.held(), []);
        assert_eq!(platform.delete(&format!("{}?{query}", instance("i"))).await.status, 200);
    }
}

#[tokio::test]
async fn a_binding_that_the_application_refuses_has_failed_and_can_be_deleted() {
    let shop = Shop::open().await;
    let offer = &shop.on_request;
    let (agent, platform) = shop.with_instance(offer).await;
    let path = binding("i", "b");
    let later = format!("{path}?accepts_incomplete=true");
    assert_eq!(platform.put(&later, &offer.binding()).await.status, 202);
    let refuse = Verdict::Refuse { message: "no more tills this year".into() };
    shop.scene.plane.answer_instance_auth(&shop.only().id, refuse).unwrap();
    agent.wait_for("the refusal", |status| counts(status).failed == 1).await;
    let last = platform.get(&format!("{path}/last_operation")).await;
    assert_eq!((last.status, &last.body["state"]), (200, &json!("failed")));
    assert!(last.body["description"].as_str().unwrap().contains("no more tills this year"), "{last:?}");
    assert_eq!(platform.get(&path).await.status, 404);
    assert_eq!(platform.put(&later, &offer.binding()).await.status, 409, "a failed one is deleted first");

    let deleted = platform.delete(&format!("{path}?{}&accepts_incomplete=true", offer.query())).await;
    assert!([200, 202].contains(&deleted.status), "{deleted:?}");
    for left in shop.held() {
        shop.scene.plane.answer_instance_auth(&left.id, Verdict::Remove).unwrap();
    }
    let is_gone = |status: &_| counts(status).failed == 0 && counts(status).under_way == 0;
    agent.wait_for("the end of it", is_gone).await;
    assert_eq!((shop.held(), shop.bindings().await["bindings"].clone()), (vec![], json!([])));
    assert_eq!(platform.put(&later, &offer.binding()).await.status, 202, "the id is free again");
}

#[tokio::test]
async fn a_binding_whose_application_is_gone_at_the_plane_is_deleted_all_the_same_and_so_is_its_instance() {
    let shop = Shop::open().await;
    for offer in [&shop.at_once, &shop.on_request] {
        let agent = shop.scene.paired().await;
        let platform = shop.platform();
        platform.offers(offer).await;
        assert_eq!(platform.put(&instance("i"), &offer.instance()).await.status, 201);
        let path = binding("i", "b");
        let bound = platform.put(&format!("{path}?accepts_incomplete=true"), &offer.binding()).await;
        assert!([201, 202].contains(&bound.status), "{bound:?}");
        assert!(shop.scene.plane.delete_application(&offer.service));
        assert!(agent.sync().await.done);
        platform.offers_no_more(offer).await;
        let deleted = platform.delete(&format!("{path}?{}&accepts_incomplete=true", offer.query())).await;
        assert!([200, 202].contains(&deleted.status), "{deleted:?}");
        agent.wait_for("the end of it", |status| counts(status).under_way + counts(status).failed == 0).await;
        assert_eq!(platform.delete(&format!("{path}?{}", offer.query())).await.status, 410);
        let gone = platform.delete(&format!("{}?{}", instance("i"), offer.query())).await;
        assert_eq!((gone.status, gone.body), (200, json!({})));
        agent.terminate().await;
    }
}

#[tokio::test]
async fn fifty_identical_requests_at_once_make_one_binding_and_one_set_of_credentials() {
    let shop = Shop::open().await;
    let offer = &shop.at_once;
    let (_agent, platform) = shop.with_instance(offer).await;
    let (path, body) = (binding("i", "b"), offer.binding());
    let all = join_all((0..50).map(|_| platform.put(&path, &body))).await;
    assert!(all.iter().all(|answer| [200, 201].contains(&answer.status)), "{all:?}");
    let one = shop.only().id;
    assert!(all.iter().all(|answer| answer.body["credentials"]["id"] == *one), "{all:?}");
    assert_eq!(shop.times(CREATION), 1);
    let unbind = format!("{path}?{}", offer.query());
    let all = join_all((0..20).map(|_| platform.delete(&unbind))).await;
    assert!(all.iter().all(|answer| [200, 410].contains(&answer.status)), "{all:?}");
    assert_eq!(shop.held(), []);
}

#[tokio::test]
async fn right_after_a_restart_without_the_plane_the_catalog_and_the_bindings_are_served_from_what_is_kept() {
    let shop = Shop::open().await;
    let offer = &shop.at_once;
    let (agent, platform) = shop.with_instance(offer).await;
    let bound = platform.put(&binding("i", "b"), &offer.binding()).await;
    let catalog = platform.get("/v2/catalog").await;
    agent.kill().await;
    shop.scene.plane.fault(Fault::on(Endpoint::Director).refuse());
    let agent = shop.host().start().await;
    agent.wait_for("the broker", |status| counts(status).bindings == 1).await;
    platform.offers(offer).await;
    let kept = platform.get("/v2/catalog").await;
    assert_eq!((kept.status, kept.header("etag")), (200, catalog.header("etag")), "{kept:?}");
    assert_eq!(kept.body, catalog.body);
    let seen = platform.get(&binding("i", "b")).await;
    assert_eq!((seen.status, &seen.body["credentials"]), (200, &bound.body["credentials"]));
    assert_eq!(platform.put(&instance("j"), &offer.instance()).await.status, 201, "what takes no plane goes on");
}
