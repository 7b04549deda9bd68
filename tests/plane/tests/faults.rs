//! Every fault, as a client sees it.
#![allow(clippy::unwrap_used)]

mod client;

use std::{
    error::Error,
    io::Read,
    time::{Duration, Instant},
};

use client::{CONFIGURATION, Host, SIGN, pair, start, with_token};
use plane::{Effect, Endpoint, Fault, Generate, ListChange, Plane, RetryAfter, ServerCertificate, TokenForm};
use serde_json::json;

async fn ready(applications: usize) -> (Plane, Host) {
    let plane = start().await;
    plane.generate(Generate { applications, ..Generate::default() });
    let host = pair(&plane).await;
    plane.clear_requests();
    (plane, host)
}

fn director() -> Fault {
    Fault::on(Endpoint::Director).operation("applicationsForRuntime")
}

/// Sends a request for applications over a connection of its own, and gives the raw response.
async fn raw(plane: &Plane, host: &Host) -> reqwest::Result<reqwest::Response> {
    let client = client::identified(client::builder(plane).http1_only().no_gzip(), &host.identity);
    let variables = json!({ "id": host.runtime });
    client::request(&client, &plane.director_url(), client::APPLICATIONS, &variables).send().await
}

fn was_reset(error: &(dyn Error + 'static)) -> bool {
    let own =
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
    own || error.source().is_some_and(was_reset)
}

#[tokio::test]
async fn a_status_shows_so_many_times_and_only_for_its_operation() {
    let (plane, host) = ready(1).await;
    plane.fault(director().times(2).after(1).status(503, "busy"));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(host.page(&plane, 1, "").await.status);
        let other = host.director(&plane, "{ viewer { id } }", json!({})).await;
        assert_eq!(other.status, 200);
    }
    assert_eq!(statuses, [200, 503, 503, 200]);
    assert!(plane.inspect(|state| state.faults().is_empty()));
    let spoiled = plane.requests().into_iter().find(|request| request.status == Some(503)).unwrap();
    assert_eq!((spoiled.processed, spoiled.faults), (false, vec!["status".to_owned()]));
    plane.fault(director().status(500, ""));
    plane.clear_faults();
    assert_eq!(host.page(&plane, 1, "").await.status, 200);
}

#[tokio::test]
async fn a_fault_hits_by_the_operations_name_too() {
    let (plane, host) = ready(1).await;
    plane.fault(Fault::anywhere().operation("Applications").status(502, "bad gateway"));
    let answer = host.page(&plane, 1, "").await;
    assert_eq!((answer.status, answer.body), (502, json!("bad gateway")));
}

#[tokio::test]
async fn rate_limits_come_with_and_without_retry_after() {
    let (plane, host) = ready(1).await;
    plane.fault(director().times(1).rate_limited(None));
    plane.fault(director().after(1).times(1).rate_limited(Some(RetryAfter::Seconds(7))));
    plane.fault(director().after(2).times(1).rate_limited(Some(RetryAfter::Date(3600))));
    let mut headers = Vec::new();
    for _ in 0..3 {
        let answer = host.page(&plane, 1, "").await;
        assert_eq!(answer.status, 429);
        headers.push(answer.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned()));
    }
    assert_eq!(headers[0], None);
    assert_eq!(headers[1].as_deref(), Some("7"));
    assert!(headers[2].as_ref().unwrap().ends_with(" GMT"));
}

#[tokio::test]
async fn an_answer_waits_and_drips() {
    let (plane, host) = ready(1).await;
    plane.fault(director().times(1).delay(Duration::from_millis(120)));
    let start = Instant::now();
    host.page(&plane, 1, "").await.data("/applicationsForRuntime");
    assert!(start.elapsed() >= Duration::from_millis(120));
    plane.fault(director().times(1).drip(40, Duration::from_millis(10)));
    let mut response = raw(&plane, &host).await.unwrap();
    let mut pieces = 0;
    while let Some(piece) = response.chunk().await.unwrap() {
        assert!(piece.len() <= 40);
        pieces += 1;
    }
    assert!(pieces > 3, "{pieces}");
}

#[tokio::test]
async fn a_reset_is_real_and_leaves_the_request_undone() {
    let (plane, host) = ready(1).await;
    plane.fault(director().times(1).reset());
    let error = raw(&plane, &host).await.unwrap_err();
    assert!(was_reset(&error), "{error:?}");
    assert_eq!((plane.requests()[0].processed, plane.requests()[0].status), (false, None));
    assert_eq!(raw(&plane, &host).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_lost_answer_was_carried_out() {
    let plane = start().await;
    let runtime = plane.register_runtime("host");
    let token = plane.mint_token(&runtime, TokenForm::Bare);
    plane.fault(Fault::on(Endpoint::Connector).operation("configuration").times(1).lost_answer());
    let ask = || {
        let request = client::request(&client::anonymous(&plane), &plane.connector_url(), CONFIGURATION, &json!({}));
        client::send(request.header("Connector-Token", &token))
    };
    let error = ask().await.err().unwrap();
    assert!(was_reset(&error), "{error:?}");
    ask().await.unwrap();
    let [first, second] = plane.requests().try_into().unwrap();
    assert_eq!((first.processed, first.status), (true, None));
    assert!(second.errors[0].starts_with("Failed to authenticate request"));
}

#[tokio::test]
async fn a_mutation_is_lost_before_or_after_it_is_carried_out() {
    let (plane, host) = ready(1).await;
    let bundle = plane.applications()[0].bundles[0].id.clone();
    let create = "mutation Ask($id: ID!) { made: requestBundleInstanceAuthCreation(bundleID: $id, in: {}) { id } }";
    for (name, fault, held) in [
        ("Ask", Fault::anywhere().reset(), 0),
        ("Ask", Fault::anywhere().lost_answer(), 1),
        ("requestBundleInstanceAuthCreation", Fault::anywhere().reset(), 1),
        ("requestBundleInstanceAuthCreation", Fault::anywhere().lost_answer(), 2),
    ] {
        plane.fault(fault.operation(name).times(1));
        let client = client::identified(client::builder(&plane).http1_only(), &host.identity);
        let request = client::request(&client, &plane.director_url(), create, &json!({ "id": bundle }));
        let error = request.send().await.unwrap_err();
        assert!(was_reset(&error), "{error:?}");
        assert_eq!(plane.instance_auths(&host.runtime).len(), held);
    }
}

#[tokio::test]
async fn a_certificate_can_be_issued_and_lost() {
    let plane = start().await;
    let runtime = plane.register_runtime("host");
    let token = plane.mint_token(&runtime, TokenForm::Bare);
    let first = with_token(&plane, &token, CONFIGURATION, json!({})).await;
    let subject = first.data("/configuration/certificateSigningRequestInfo/subject").as_str().unwrap().to_owned();
    let token = first.data("/configuration/token/token").as_str().unwrap().to_owned();
    plane.fault(Fault::on(Endpoint::Connector).operation("signCertificateSigningRequest").lost_answer());
    let csr = client::csr(&client::rsa_key(), &subject);
    let request = client::request(&client::anonymous(&plane), &plane.connector_url(), SIGN, &json!({ "csr": csr }));
    assert!(client::send(request.header("Connector-Token", token)).await.is_err());
    assert_eq!(plane.revoke(&runtime), 1);
}

#[tokio::test]
async fn connections_are_refused_before_the_handshake() {
    let (plane, host) = ready(1).await;
    plane.fault(Fault::on(Endpoint::Director).times(1).refuse());
    assert!(raw(&plane, &host).await.is_err());
    assert_eq!(raw(&plane, &host).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_body_breaks_off() {
    let (plane, host) = ready(5).await;
    plane.fault(director().times(1).truncate(25));
    let mut response = raw(&plane, &host).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.chunk().await.unwrap().unwrap().len(), 25);
    assert!(response.chunk().await.is_err());
    plane.fault(director().times(1).truncate(25));
    let request =
        client::request(&host.client, &plane.director_url(), client::APPLICATIONS, &json!({ "id": host.runtime }));
    assert!(client::send(request).await.is_err());
}

#[tokio::test]
async fn a_body_is_not_json_or_says_it_is_not() {
    let (plane, host) = ready(1).await;
    plane.fault(director().times(1).body("<html>hello</html>"));
    let answer = host.page(&plane, 1, "").await;
    assert_eq!((answer.status, answer.body), (200, json!("<html>hello</html>")));
    plane.fault(director().times(1).content_type("text/html"));
    let answer = host.page(&plane, 1, "").await;
    assert_eq!(answer.headers["content-type"], "text/html");
    assert_eq!(answer.data("/applicationsForRuntime/totalCount"), 1);
}

#[tokio::test]
async fn bodies_are_huge_plain_and_compressed() {
    let (plane, host) = ready(1).await;
    plane.fault(director().times(1).huge(5_000_000));
    assert_eq!(raw(&plane, &host).await.unwrap().bytes().await.unwrap().len(), 5_000_000);
    plane.fault(director().times(1).gzip_bomb(64 << 20));
    let response = raw(&plane, &host).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let compressed = response.bytes().await.unwrap();
    assert!(compressed.len() < 200_000, "{}", compressed.len());
    let mut start = [0; 1000];
    flate2::read::GzDecoder::new(&compressed[..]).read_exact(&mut start).unwrap();
    plane.fault(director().times(1).gzip_bomb(3 << 20));
    assert_eq!(host.director(&plane, client::APPLICATIONS, json!({ "id": host.runtime })).await.status, 200);
}

#[tokio::test]
async fn errors_stand_beside_data() {
    let (plane, host) = ready(1).await;
    plane.fault(director().times(1).errors_beside("a part is missing"));
    let answer = host.page(&plane, 1, "").await;
    assert_eq!((answer.status, answer.error(), answer.code()), (200, "a part is missing", 10));
    assert_eq!(answer.body["data"]["applicationsForRuntime"]["totalCount"], 1);
    plane.fault(director().times(1).failure(32, "concurrent operation"));
    let answer = host.page(&plane, 1, "").await;
    assert_eq!((answer.status, answer.code(), answer.body["data"].is_null()), (200, 32, true));
}

#[tokio::test]
async fn a_nullable_field_is_null_with_an_error() {
    let (plane, host) = ready(3).await;
    let query = "query ($id: ID!) { applicationsForRuntime(runtimeID: $id) { data { id bundles { totalCount } } } }";
    let ask = || host.director(&plane, query, json!({ "id": host.runtime }));
    plane.fault(director().times(1).null_field("bundles"));
    let answer = ask().await;
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 3);
    assert_eq!(answer.body["errors"][0]["path"], json!(["applicationsForRuntime", "data", 0, "bundles"]));
    assert!(answer.body["data"]["applicationsForRuntime"]["data"][2]["bundles"].is_null());
    plane.fault(director().times(1).null_field_first("bundles", 1));
    let answer = ask().await;
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 1);
    assert_eq!(answer.body["data"]["applicationsForRuntime"]["data"][1]["bundles"]["totalCount"], 1);
    plane.fault(director().times(1).absent_field("bundles"));
    assert!(ask().await.data("/applicationsForRuntime/data/0/bundles").is_null());
}

#[tokio::test]
async fn counts_drift_and_lists_change_between_pages() {
    let (plane, host) = ready(6).await;
    plane.fault(director().times(1).total_count(2));
    assert_eq!(host.page(&plane, 3, "").await.data("/applicationsForRuntime/totalCount"), 8);
    for (change, total, seen) in [(ListChange::Insert, 7, 6), (ListChange::Delete, 6, 6)] {
        plane.fault(director().times(1).between_pages(change));
        let mut ids = std::collections::BTreeSet::new();
        let first = host.page(&plane, 3, "").await;
        let after = first.data("/applicationsForRuntime/pageInfo/endCursor").as_str().unwrap().to_owned();
        let second = host.page(&plane, 200, &after).await;
        assert_eq!(second.data("/applicationsForRuntime/totalCount"), total);
        for answer in [first, second] {
            let data = answer.data("/applicationsForRuntime/data").as_array().unwrap().clone();
            ids.extend(data.iter().map(|app| app["id"].as_str().unwrap().to_owned()));
        }
        assert_eq!(ids.len(), seen, "{change:?}");
    }
}

#[tokio::test]
async fn server_certificates_go_bad_while_running() {
    let (plane, host) = ready(1).await;
    for (certificate, reason) in [
        (ServerCertificate::WrongName, "not valid for"),
        (ServerCertificate::Expired, "expired"),
        (ServerCertificate::Untrusted, "UnknownIssuer"),
    ] {
        plane.fault(Fault::on(Endpoint::Director).times(1).server_certificate(certificate));
        let error = format!("{:?}", raw(&plane, &host).await.unwrap_err()).to_lowercase();
        let reason = reason.to_lowercase().replace(' ', "");
        assert!(error.replace(' ', "").contains(&reason), "{certificate:?}: {error}");
    }
    assert_eq!(raw(&plane, &host).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_fault_survives_its_way_through_json() {
    let fault = director().times(3).after(1).processed().rate_limited(Some(RetryAfter::Date(5)));
    let text = serde_json::to_string(&fault).unwrap();
    let back: Fault = serde_json::from_str(&text).unwrap();
    assert_eq!((back.endpoint, back.times, back.after, back.processed), (Some(Endpoint::Director), Some(3), 1, true));
    assert_eq!(back.effect, fault.effect);
    let short: Fault = serde_json::from_value(json!({ "effect": { "kind": "reset" } })).unwrap();
    assert_eq!((short.effect, short.endpoint), (Effect::Reset, None));
}
