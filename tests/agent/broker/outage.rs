//! The broker while the plane is away, or answers and is not heard: nothing is asked twice, and nothing is left behind.

use plane::model::Condition;
use plane::{Endpoint, Fault, Options, Verdict};
use runtime_agent::agent::status::{BrokerStatus, Status};
use runtime_agent::config::{Seconds, Settings};
use serde_json::Value;

use super::platform::{Answer, binding};
use super::shop::{CREATION, DELETION, Shop, agree, counts, has_ready, open};
use crate::host::within;
use crate::kills::trace::{need_strace, without_descriptors};
use crate::scene::carried_out;

/// With a short time for answers, as long as which the agent takes to be sure that a request came to nothing.
async fn shop() -> Shop {
    let quick = |settings: &mut Settings| {
        open(settings);
        settings.plane.answer_timeout = Seconds::new(1);
    };
    Shop::with(Options::default(), quick).await
}

fn on(names: [&str; 2]) -> Fault {
    Fault::on(Endpoint::Director).operation(names[0])
}

/// That a request came to nothing because of the plane, and not in its words.
fn is_unavailable(answer: &Answer) {
    assert_eq!((answer.status, answer.error()), (503, "ServiceUnavailable"), "{answer:?}");
}

/// What is left when nothing is left but the instance.
fn is_over(status: &Status) -> bool {
    status.broker == Some(BrokerStatus { instances: 1, ..BrokerStatus::default() })
}

#[tokio::test]
async fn a_binding_that_the_plane_cannot_be_asked_for_is_refused_and_leaves_nothing() {
    let shop = shop().await;
    let offer = &shop.at_once;
    let (agent, platform) = shop.with_instance(offer).await;
    let (path, body) = (binding("i", "b"), offer.binding());
    // Nothing can have come of what was never sent.
    shop.scene.plane.fault(Fault::on(Endpoint::Director).refuse());
    is_unavailable(&platform.put(&path, &body).await);
    assert!(is_over(&agent.status().await));
    assert_eq!(platform.get(&path).await.status, 404);
    assert_eq!(platform.delete(&format!("{path}?{}", offer.query())).await.status, 410);

    // Where something can have come of it, that is found out as soon as the plane can be asked.
    let silent = || Fault::on(Endpoint::Director).status(502, "no answer from upstream");
    for fault in [silent(), on(CREATION).reset(), on(CREATION).truncate(10)] {
        shop.scene.plane.clear_faults();
        shop.scene.plane.fault(fault.clone());
        is_unavailable(&platform.put(&path, &body).await);
        shop.scene.plane.clear_faults();
        agent.wait_for("the end of it", |status| is_over(status) || has_ready(status, 1)).await;
        agree(shop.host(), &shop.held()).await;
        let bound = platform.put(&path, &body).await;
        assert!([200, 201].contains(&bound.status), "{fault:?}: {bound:?}");
        agree(shop.host(), &shop.held()).await;
        assert_eq!(platform.delete(&format!("{path}?{}", offer.query())).await.status, 200);
        assert_eq!(shop.held(), []);
    }
}

#[tokio::test]
async fn a_plane_that_could_not_be_asked_at_the_start_for_want_of_descriptors_is_asked_for_the_next_binding() {
    need_strace();
    let shop = shop().await;
    let offer = &shop.at_once;
    let (agent, _) = shop.with_instance(offer).await;
    agent.terminate().await;
    // Those who ask the plane each read what they know it by.
    let agent = shop.host().start_command(without_descriptors(shop.host(), "plane-ca.pem", "1..3")).await;
    let platform = shop.platform();
    let binds = async {
        loop {
            let bound = platform.put(&binding("i", "b"), &offer.binding()).await;
            if bound.status != 503 {
                return bound;
            }
            // Meanwhile, the agent asks for its list.
            agent.sync().await;
        }
    };
    let bound = within("the binding", binds).await;
    assert_eq!(bound.status, 201, "{bound:?}");
}

#[tokio::test]
async fn a_grant_whose_answer_is_lost_is_found_at_the_plane_and_not_asked_for_again() {
    for asks_again in [true, false] {
        let shop = shop().await;
        let offer = &shop.at_once;
        let (agent, platform) = shop.with_instance(offer).await;
        shop.scene.plane.fault(on(CREATION).lost_answer().times(1));
        let path = binding("i", "b");
        let lost = platform.put(&path, &offer.binding()).await;
        is_unavailable(&lost);
        assert!(lost.body["description"].as_str().unwrap().contains("repeat the same request"), "{lost:?}");
        if asks_again {
            let bound = platform.put(&path, &offer.binding()).await;
            assert!([200, 201].contains(&bound.status), "{bound:?}");
            assert_eq!(bound.body["credentials"]["id"], shop.only().id);
        }
        agent.wait_for("the grant to be found", |status| has_ready(status, 1)).await;
        assert_eq!(shop.times(CREATION), 1);
        agree(shop.host(), &shop.held()).await;
    }
}

#[tokio::test]
async fn what_an_application_was_asked_for_by_a_request_whose_answer_is_lost_is_found_and_waited_for() {
    let shop = shop().await;
    let offer = &shop.on_request;
    let (agent, platform) = shop.with_instance(offer).await;
    shop.scene.plane.fault(on(CREATION).lost_answer().times(1));
    let later = format!("{}?accepts_incomplete=true", binding("i", "b"));
    let asked = platform.put(&later, &offer.binding()).await;
    assert!([202, 503].contains(&asked.status), "{asked:?}");
    shop.grants(&shop.only(), "canary-found-0123456789abcdef");
    agent.wait_for("the credentials", |status| has_ready(status, 1)).await;
    assert_eq!(platform.put(&later, &offer.binding()).await.status, 200);
    assert_eq!(shop.times(CREATION), 1);
    agree(shop.host(), &shop.held()).await;
}

#[tokio::test]
async fn credentials_that_are_given_back_by_a_request_whose_answer_is_lost_are_looked_for_and_not_given_back_again() {
    let shop = shop().await;
    for (offer, own) in [(&shop.at_once, "i"), (&shop.on_request, "j")] {
        let (agent, platform) = shop.paired().await;
        assert_eq!(platform.put(&super::platform::instance(own), &offer.instance()).await.status, 201);
        let later = format!("{}?accepts_incomplete=true", binding(own, "b"));
        if platform.put(&later, &offer.binding()).await.status == 202 {
            shop.grants(&shop.only(), "canary-lost-0123456789abcdef");
        }
        agent.wait_for("the credentials", |status| has_ready(status, 1)).await;
        shop.scene.plane.clear_requests();
        shop.scene.plane.fault(on(DELETION).lost_answer().times(1));
        let path = format!("{}?{}", binding(own, "b"), offer.query());
        let asked = platform.delete(&format!("{path}&accepts_incomplete=true")).await;
        assert!([200, 202, 503].contains(&asked.status), "{asked:?}");
        for unused in shop.held() {
            assert_eq!(unused.condition, Condition::Unused);
            shop.scene.plane.answer_instance_auth(&unused.id, Verdict::Remove).unwrap();
        }
        agent.wait_for("the end of them", |status| counts(status).under_way == 0).await;
        assert_eq!(platform.delete(&path).await.status, 410);
        assert_eq!(shop.times(DELETION), 1);
        agree(shop.host(), &shop.held()).await;
        agent.terminate().await;
    }
}

#[tokio::test]
async fn a_kill_while_the_application_is_asked_is_no_reason_to_ask_it_again() {
    let shop = shop().await;
    let offer = &shop.on_request;
    let (agent, platform) = shop.with_instance(offer).await;
    let path = binding("i", "b");
    let later = format!("{path}?accepts_incomplete=true");
    let operation = platform.put(&later, &offer.binding()).await.body;
    agent.kill().await;
    // Once as it was before, and once with an answer that came while nobody listened.
    let agent = shop.host().start().await;
    agent.wait_for("the broker", |status| counts(status).under_way == 1).await;
    assert_eq!(platform.put(&later, &offer.binding()).await.body, operation, "the same operation");
    agent.kill().await;
    shop.grants(&shop.only(), "canary-meanwhile-0123456789abcdef");
    let agent = shop.host().start().await;
    agent.wait_for("the credentials", |status| has_ready(status, 1)).await;
    let seen: Value = platform.get(&path).await.body;
    assert_eq!(seen["credentials"]["id"], shop.only().id);

    // And while they are given back.
    let delete = format!("{path}?{}&accepts_incomplete=true", offer.query());
    assert_eq!(platform.delete(&delete).await.status, 202);
    shop.scene.asked("the end", |all| carried_out(all, DELETION[0]) == 1).await;
    agent.kill().await;
    let agent = shop.host().start().await;
    assert_eq!(platform.delete(&delete).await.status, 202);
    shop.scene.plane.answer_instance_auth(&shop.only().id, Verdict::Remove).unwrap();
    agent.wait_for("the end of them", |status| counts(status).under_way == 0).await;
    assert_eq!((shop.times(CREATION), shop.times(DELETION)), (1, 1));
    agree(shop.host(), &shop.held()).await;
}
