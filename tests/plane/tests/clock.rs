//! A plane whose clock is put forward: what ends by it, what is made by it, and what goes by the real time.
#![allow(clippy::unwrap_used)]

mod client;

use std::time::Duration;

use client::{
    CONFIGURATION, Host, SIGN, anonymous, ask, builder, csr, decoded, identified, pair, request, send, with_token,
};
use jiff::{Timestamp, ToSpan};
use plane::{Clock, Endpoint, Fault, KeyAlgorithm, Options, Plane, Refusal, RetryAfter, TokenForm};
use rcgen::KeyPair;
use serde_json::json;
use x509_cert::{
    Certificate,
    der::DecodePem,
    time::{Time, Validity},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn at(instant: &str) -> (Plane, Clock) {
    let clock = Clock::fixed_at(instant.parse().unwrap());
    let plane = Plane::start(Options { clock: clock.clone(), ..Options::default() }).await.unwrap();
    (plane, clock)
}

fn validity(chain: &str) -> Validity {
    let leaf = chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    *Certificate::from_pem(leaf).unwrap().tbs_certificate().validity()
}

fn put_forward(clock: &Clock, by: Duration) {
    clock.set(clock.now() + by);
}

/// A new certificate for the holder of an old one, over a connection of its own.
async fn renew(plane: &Plane, host: &Host, key: &KeyPair) -> String {
    let client = host.fresh_client(plane);
    let url = plane.secured_connector_url();
    ask(&client, &url, CONFIGURATION, json!({})).await.data("/configuration");
    let answer = ask(&client, &url, SIGN, json!({ "csr": csr(key, &host.subject) })).await;
    decoded(answer.data("/signCertificateSigningRequest/certificateChain"))
}

#[tokio::test]
async fn a_clock_that_is_not_set_shows_the_real_time() {
    let plane = client::start().await;
    let before = Timestamp::now();
    let host = pair(&plane).await;
    let made = Duration::from_secs(before.as_second().try_into().unwrap());
    let after = Duration::from_secs((Timestamp::now().as_second() + 1).try_into().unwrap());
    let not_before = validity(&host.chain).not_before.to_unix_duration();
    assert!(made <= not_before && not_before <= after);
}

#[tokio::test]
async fn tokens_end_by_the_planes_clock() {
    let (plane, clock) = at("2031-05-06T07:08:09Z").await;
    let runtime = plane.register_runtime("host");
    let lasting = plane.mint_token_for(&runtime, TokenForm::Bare, 2 * DAY).unwrap();
    let ending = plane.mint_token_for(&runtime, TokenForm::Bare, DAY).unwrap();
    let raw: serde_json::Value = serde_json::from_str(&plane.mint_token(&runtime, TokenForm::Json)).unwrap();
    assert_eq!(raw["expiresAt"], "2031-05-06T08:08:09Z");
    put_forward(&clock, DAY);
    assert!(with_token(&plane, &ending, CONFIGURATION, json!({})).await.error().starts_with("Failed to authenticate"));
    with_token(&plane, &lasting, CONFIGURATION, json!({})).await.data("/configuration");
}

#[tokio::test]
async fn certificates_end_by_the_planes_clock_in_the_handshake_and_in_a_connection() {
    let (plane, clock) = at("2040-02-03T04:05:06Z").await;
    plane.set_certificate_lifetime(DAY);
    let host = pair(&plane).await;
    let Validity { not_before, not_after, .. } = validity(&host.chain);
    assert_eq!([not_before, not_after].map(|time| time.to_string()), ["2040-02-03T04:05:06Z", "2040-02-04T04:05:06Z"]);
    let viewer = |client: reqwest::Client| request(&client, &plane.director_url(), "{ viewer { id } }", &json!({}));
    send(viewer(host.fresh_client(&plane))).await.unwrap().data("/viewer/id");
    // Made before it is valid, and after it has ended, it is turned away alike.
    for instant in ["2040-02-03T04:05:05Z", "2040-02-04T04:05:07Z"] {
        clock.set(instant.parse().unwrap());
        plane.set_refusals(Refusal::TlsAlert, Refusal::TlsAlert);
        assert!(viewer(host.fresh_client(&plane)).send().await.is_err());
        plane.set_refusals(Refusal::Gateway, Refusal::Gateway);
        assert_eq!(send(viewer(host.client.clone())).await.unwrap().status, 401);
    }
}

#[tokio::test]
async fn a_hundred_years_of_renewals_pass_and_servers_stay_valid() {
    let (plane, clock) = at("2026-01-01T00:00:00Z").await;
    plane.set_certificate_lifetime(360 * DAY);
    let mut host = pair(&plane).await;
    plane.set_key_algorithm(KeyAlgorithm::EcdsaP256);
    let key = KeyPair::generate().unwrap();
    let end: Timestamp = "2130-01-01T00:00:00Z".parse().unwrap();
    let mut renewals = 0;
    while clock.now() < end {
        // Two thirds of a life.
        put_forward(&clock, 240 * DAY);
        let chain = renew(&plane, &host, &key).await;
        let identity = format!("{chain}{}", key.serialize_pem());
        host = Host { client: identified(builder(&plane), &identity), identity, chain, ..host };
        renewals += 1;
        if renewals == 100 {
            plane.rotate_client_ca().await.unwrap();
        }
    }
    assert!(renewals > 150);
    let Validity { not_before, not_after, .. } = validity(&host.chain);
    assert!(
        matches!((not_before, not_after), (Time::GeneralTime(_), Time::GeneralTime(_))),
        "{not_before} {not_after}"
    );
    assert_eq!(not_before.to_date_time().year(), 2130);
    host.director(&plane, "{ viewer { id } }", json!({})).await.data("/viewer/id");
}

#[tokio::test]
async fn what_the_plane_writes_down_and_answers_is_dated_by_its_clock() {
    let (plane, clock) = at("2077-07-07T07:07:07Z").await;
    let host = pair(&plane).await;
    host.director(&plane, "{ viewer { id } }", json!({})).await;
    let year = "2077-07-07T07:07:07Z";
    assert!(plane.requests().iter().all(|request| request.time == year));
    assert_eq!(plane.inspect(|state| state.model.runtimes[&host.runtime].status.timestamp.clone()), year);
    let listed = plane.listing(Some(&host.runtime));
    let certificates = listed["runtimes"][0]["certificates"].as_object().unwrap();
    assert!(certificates.values().all(|one| one["issuedAt"] == year));
    clock.set(clock.now() + 1.minute());
    let later = RetryAfter::Date(60);
    plane.fault(Fault::on(Endpoint::Connector).rate_limited(Some(later)));
    let busy = ask(&anonymous(&plane), &plane.connector_url(), CONFIGURATION, json!({})).await;
    assert_eq!(busy.headers["date"], "Wed, 07 Jul 2077 07:08:07 GMT");
    assert_eq!(busy.headers["retry-after"], "Wed, 07 Jul 2077 07:09:07 GMT");
}
