//! Credentials at the plane that no binding stands for, after the loss of the broker's memory.

use std::fs;

use nix::sys::signal::Signal;
use plane::Options;
use runtime_agent::agent::status::Area;
use runtime_agent::config::{Orphans, Settings};
use serde_json::json;

use super::platform::binding;
use super::shop::{Shop, counts, open};
use crate::host::said;
use crate::scene::problem;

#[tokio::test]
async fn credentials_of_bindings_that_were_forgotten_are_told_of_and_given_back_only_where_that_is_wanted() {
    let shop = Shop::with(Options::default(), open).await;
    let offer = &shop.at_once;
    let (agent, platform) = shop.with_instance(offer).await;
    assert_eq!(platform.put(&binding("i", "lost"), &offer.binding()).await.status, 201);
    let lost = shop.only();
    agent.terminate().await;
    fs::remove_file(shop.host().path("state/broker.redb")).unwrap();

    let agent = shop.host().start().await;
    agent.wait_for("a poll", crate::scene::asked_since_the_start).await;
    assert_eq!(counts(&agent.status().await).orphans, 0, "one list is not enough to tell");
    assert!(agent.sync().await.done);
    let told = |status: &_| problem(status, Area::Orphans).contains("1 set of credentials");
    let status = agent.wait_for("the orphan", told).await;
    assert_eq!(counts(&status).orphans, 1);
    let shown = shop.bindings().await;
    let orphan = json!([{ "auth": lost.id, "service": offer.service, "plan": offer.plan, "binding": "lost" }]);
    assert_eq!((&shown["orphans"], &shown["bindings"]), (&orphan, &json!([])));
    let page = said(&shop.host().run(&["broker", "bindings"], "").await);
    assert!(page.contains(&lost.id) && page.contains("asked for a binding lost"), "{page}");
    let page = said(&shop.host().run(&["status"], "").await);
    assert!(page.contains("no service binding here stands for"), "{page}");
    assert!(agent.sync().await.done);
    assert_eq!(shop.held(), [lost], "nothing is given back unasked");

    // What is bound now is no orphan.
    assert_eq!(platform.put(&super::platform::instance("j"), &offer.instance()).await.status, 201);
    let kept = platform.put(&binding("j", "kept"), &offer.binding()).await.body["credentials"]["id"].clone();
    let remove = |settings: &mut Settings| {
        open(settings);
        settings.broker.orphans = Orphans::Remove;
    };
    shop.host().configure(remove);
    agent.signal(Signal::SIGHUP);
    let removed = async {
        while shop.held().len() > 1 {
            assert!(agent.sync().await.done);
        }
    };
    crate::host::within("the orphan to go", removed).await;
    agent.wait_for("all to be well", |status| counts(status).orphans == 0 && crate::scene::is_settled(status)).await;
    assert_eq!(kept, shop.only().id);
    assert_eq!(shop.bindings().await["orphans"], json!([]));
}
