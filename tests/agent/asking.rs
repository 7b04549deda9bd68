//! How the plane is asked: when, over which connections, and under which names.

use std::collections::BTreeSet;

use nix::sys::signal::Signal;
use plane::{Endpoint, Fault, Options, Request, RetryAfter};
use runtime_agent::agent::status::{Area, Status};
use runtime_agent::config::{ByteSize, LogLevel, Seconds};

use crate::scene::{Scene, is_well, problem};

fn polls(scene: &Scene) -> Vec<Request> {
    scene.requests("applicationsForRuntime")
}

#[tokio::test]
async fn polls_come_over_one_connection_of_http_2_and_take_compressed_answers() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    for _ in 0..4 {
        assert!(agent.sync().await.done);
    }
    let polls = polls(&scene);
    assert_eq!(polls.len(), 5, "one at once after pairing, and those that were ordered");
    let connections: BTreeSet<_> = polls.iter().map(|poll| poll.connection).collect();
    assert_eq!(connections.len(), 1);
    for poll in polls {
        assert_eq!((&*poll.protocol, poll.accept_encoding.as_deref()), ("HTTP/2.0", Some("gzip")));
    }
}

#[tokio::test]
async fn each_request_has_an_id_of_its_own_that_the_log_knows() {
    let scene = Scene::with(Options::default(), |settings| settings.log.level = LogLevel::Debug).await;
    let agent = scene.paired().await;
    assert!(agent.sync().await.done);
    let ids: BTreeSet<_> = scene.plane.requests().into_iter().map(|request| request.request_id.unwrap()).collect();
    assert_eq!(ids.len(), scene.plane.requests().len());
    let log = scene.host.log();
    for id in ids {
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
        assert!(log.contains(&id), "the log does not know {id}");
    }
}

#[tokio::test]
async fn a_signal_has_the_plane_asked_at_once() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let before = polls(&scene).len();
    agent.signal(Signal::SIGUSR1);
    let asked = |all: &[Request]| all.iter().filter(|request| request.is("applicationsForRuntime")).count() > before;
    scene.asked("a poll", asked).await;
}

#[tokio::test]
async fn a_plane_that_names_an_instant_to_come_back_is_left_alone_until_then() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let busy = Fault::on(Endpoint::Director).operation("applicationsForRuntime");
    scene.plane.fault(busy.rate_limited(Some(RetryAfter::Date(1800))));
    assert!(!agent.sync().await.done);
    let sync = agent.status().await.sync;
    let wait = sync.next.unwrap().duration_since(sync.last_try.unwrap());
    // A date has whole seconds only.
    assert!(wait >= jiff::SignedDuration::from_secs(1798), "{wait}");
    let asked = polls(&scene).len();
    let answer = agent.sync().await;
    assert!(!answer.done && answer.message.contains("asked to be left alone until"), "{}", answer.message);
    assert_eq!(polls(&scene).len(), asked, "not even for who orders it");
}

#[tokio::test]
async fn a_server_that_does_not_come_to_a_connection_is_given_up_in_time() {
    let scene = Scene::with(Options::default(), |settings| settings.plane.connect_timeout = Seconds::new(1)).await;
    // It takes connections and says nothing: TLS never comes about.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = scene.host.start().await;
    let address = silent.local_addr().unwrap();
    scene.host.drop_token(&format!("CONNECTOR_URL=https://{address}/graphql\nTOKEN=canary-token\n"));
    let told = |status: &Status| problem(status, Area::Pairing).contains("no connection came about (it took too long)");
    agent.wait_for("the complaint", told).await;
    assert!(scene.host.token().exists(), "the token stays until the plane has taken it");
}

#[tokio::test]
async fn a_page_that_was_made_smaller_for_the_plane_grows_again_after_a_while() {
    let scene = Scene::with(Options::default(), |settings| settings.plane.max_answer = ByteSize::new(1 << 20)).await;
    let agent = scene.paired().await;
    let applications = || Fault::on(Endpoint::Director).operation("applicationsForRuntime");
    scene.plane.fault(applications().times(1).huge(1 << 30));
    for _ in 0..12 {
        assert!(agent.sync().await.done);
    }
    let mut sizes: Vec<_> = polls(&scene).iter().map(|poll| poll.variables["first"].as_u64().unwrap()).collect();
    sizes.dedup();
    assert_eq!(sizes, [100, 50, 100]);
    agent.wait_for("all to be well", is_well).await;
}

#[tokio::test]
async fn what_a_gateway_says_is_quoted_on_one_line_and_shortened() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let page = format!("<html>\r\nBad\u{202e} gateway\t{}</html>", "long ".repeat(1000));
    scene.plane.fault(Fault::on(Endpoint::Director).status(502, page));
    let answer = agent.sync().await;
    let (_, quoted) =
        answer.message.split_once("HTTP status 502, saying \u{201c}<html> Bad gateway long long ").unwrap();
    assert!(quoted.ends_with("…\u{201d}.") && quoted.len() < 300, "{quoted}");
}
