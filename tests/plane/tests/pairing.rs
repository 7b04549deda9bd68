//! From a token to a certificate, and what the Connector refuses on the way.
#![allow(clippy::unwrap_used)]

mod client;

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use client::{CONFIGURATION, SIGN, ask, csr, decoded, pair, rsa_key, start, with_token};
use plane::{Endpoint, KeyAlgorithm, Options, Plane, SubjectOrder, TokenForm};
use serde_json::{Value, json};
use x509_cert::{Certificate, der::DecodePem};

fn is_unauthenticated(answer: &client::Answer) -> bool {
    answer.status == 200
        && answer.body["data"].is_null()
        && answer.error().starts_with("Failed to authenticate request")
}

#[tokio::test]
async fn a_token_leads_to_a_certificate_that_the_director_recognises() {
    let plane = start().await;
    let host = pair(&plane).await;
    let answer = host.director(&plane, "{ viewer { id type } }", json!({})).await;
    assert_eq!(answer.data("/viewer"), &json!({ "id": host.runtime, "type": "RUNTIME" }));
    let status = plane.inspect(|state| state.model.runtimes[&host.runtime].status.condition.clone());
    assert_eq!(status, "CONNECTED");
}

#[tokio::test]
async fn the_certificate_is_as_the_connector_makes_it() {
    let plane = start().await;
    let host = pair(&plane).await;
    let leaf =
        Certificate::from_pem(host.chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap()).unwrap();
    let contents = leaf.tbs_certificate();
    assert_eq!(contents.serial_number().as_bytes(), [2]);
    let validity = contents.validity();
    let life = validity.not_after.to_unix_duration() - validity.not_before.to_unix_duration();
    assert_eq!(life, Duration::from_secs(2160 * 3600));
    assert!(host.subject.contains(&contents.subject().common_name().unwrap().unwrap().value().to_string()));
    assert_eq!(contents.extensions().unwrap().len(), 3);
    assert_eq!(host.chain.matches("BEGIN CERTIFICATE").count(), 2);
}

#[tokio::test]
async fn a_token_is_spent_by_its_first_use() {
    let plane = start().await;
    let runtime = plane.register_runtime("host");
    let token = plane.mint_token(&runtime, TokenForm::Bare);
    assert_eq!(with_token(&plane, &token, CONFIGURATION, json!({})).await.body.get("errors"), None);
    assert!(is_unauthenticated(&with_token(&plane, &token, CONFIGURATION, json!({})).await));
}

#[tokio::test]
async fn a_wrong_an_expired_and_an_absent_token_are_refused_alike() {
    let plane = start().await;
    let runtime = plane.register_runtime("host");
    let expired = plane.mint_token(&runtime, TokenForm::Bare);
    assert_eq!(plane.expire_tokens(&runtime), 1);
    let short = plane.mint_token_for(&runtime, TokenForm::Bare, Duration::ZERO).unwrap();
    for token in [expired.as_str(), &short, "nonsense"] {
        assert!(is_unauthenticated(&with_token(&plane, token, CONFIGURATION, json!({})).await));
    }
    let absent = ask(&client::anonymous(&plane), &plane.connector_url(), CONFIGURATION, json!({})).await;
    assert!(is_unauthenticated(&absent));
}

#[tokio::test]
async fn a_token_comes_in_every_form() {
    let plane = start().await;
    let runtime = plane.register_runtime("host");
    let raw: Value = serde_json::from_str(&plane.mint_token(&runtime, TokenForm::Json)).unwrap();
    assert_eq!(raw["connectorURL"], plane.connector_url());
    assert!(raw["token"].as_str().unwrap().contains("canary-"));
    let encoded = STANDARD.decode(plane.mint_token(&runtime, TokenForm::Base64)).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&encoded).unwrap()["type"], "Runtime");
    let keys = plane.mint_token(&runtime, TokenForm::KeyValue);
    assert!(keys.contains(&format!("RUNTIME_ID={runtime}\nTENANT={}\n", plane.tenant())));
    let url = plane.mint_token(&runtime, TokenForm::Url);
    assert!(url.starts_with(&format!("{}?token=canary-", plane.connector_url())));
    assert_eq!(plane.canaries().len(), 4);
}

async fn refusal_of(plane: &Plane, make: impl FnOnce(&str) -> String) -> String {
    let runtime = plane.register_runtime("host");
    let token = plane.mint_token(&runtime, TokenForm::Bare);
    let first = with_token(plane, &token, CONFIGURATION, json!({})).await;
    let configuration = first.data("/configuration");
    let subject = configuration["certificateSigningRequestInfo"]["subject"].as_str().unwrap();
    let token = configuration["token"]["token"].as_str().unwrap();
    let answer = with_token(plane, token, SIGN, json!({ "csr": make(subject) })).await;
    assert_eq!(answer.status, 200);
    answer.error().to_owned()
}

#[tokio::test]
async fn a_request_for_another_subject_is_refused() {
    let plane = start().await;
    let refusal = refusal_of(&plane, |subject| csr(&rsa_key(), &subject.replace("O=Org,", "O=Other,"))).await;
    assert!(refusal.contains("O is \"Other\", expected \"Org\""), "{refusal}");
    let refusal = refusal_of(&plane, |_| csr(&rsa_key(), "CN=me,O=Org,OU=OrgUnit,L=Locality,ST=State,C=PL")).await;
    assert!(refusal.contains("CN is \"me\""), "{refusal}");
}

#[tokio::test]
async fn a_request_with_another_kind_of_key_or_a_false_signature_is_refused() {
    let plane = start().await;
    let ecdsa = rcgen::KeyPair::generate().unwrap();
    let refusal = refusal_of(&plane, |subject| csr(&ecdsa, subject)).await;
    assert!(refusal.contains("SignatureAlgorithm"), "{refusal}");
    let refusal = refusal_of(&plane, |subject| {
        let pem = decoded(&Value::String(csr(&rsa_key(), subject)));
        let mut der = x509_cert::request::CertReq::from_pem(&pem).unwrap();
        let other = x509_cert::request::CertReq::from_pem(decoded(&Value::String(csr(&rsa_key(), subject)))).unwrap();
        der.signature = other.signature;
        use x509_cert::der::EncodePem;
        STANDARD.encode(der.to_pem(x509_cert::der::pem::LineEnding::LF).unwrap())
    });
    let refusal = refusal.await;
    assert!(refusal.contains("does not verify"), "{refusal}");
    let refusal = refusal_of(&plane, |_| "%%%".to_owned()).await;
    assert!(refusal.contains("Base64"), "{refusal}");
}

#[tokio::test]
async fn other_key_algorithms_are_announced_and_accepted_on_demand() {
    let plane = start().await;
    plane.set_key_algorithm(KeyAlgorithm::EcdsaP256);
    let key = rcgen::KeyPair::generate().unwrap();
    assert_eq!(refusal_of(&plane, |subject| csr(&key, subject)).await, "");
    assert_ne!(refusal_of(&plane, |subject| csr(&rsa_key(), subject)).await, "");
    plane.set_key_algorithm(KeyAlgorithm::Nonsense);
    assert_ne!(refusal_of(&plane, |subject| csr(&rsa_key(), subject)).await, "");
}

#[tokio::test]
async fn the_subject_can_be_shuffled_and_escaped() {
    let options = Options {
        subject: vec![r"O=Org\, Inc".into(), "OU=A".into(), "C=DE".into(), r"L=K\C3\B6ln".into(), "ST=NRW".into()],
        subject_order: SubjectOrder::Shuffled,
        chain_with_root: true,
        ..Options::default()
    };
    let plane = Plane::start(options).await.unwrap();
    let refusal = refusal_of(&plane, |subject| {
        assert!(subject.contains(r"O=Org\, Inc"));
        let plain = subject.replace(r"O=Org\, Inc", "O=Org; Inc").replace(r"K\C3\B6ln", "Köln");
        csr(&rsa_key(), &plain)
    });
    assert!(refusal.await.contains(r#"O is "Org; Inc", expected "Org, Inc""#));
}

#[tokio::test]
async fn a_certificate_is_renewed_with_a_new_key_over_mutual_tls() {
    let plane = start().await;
    let host = pair(&plane).await;
    plane.set_certificate_lifetime(Duration::from_secs(30));
    plane.rotate_client_ca().await.unwrap();
    let url = plane.secured_connector_url();
    let configuration = ask(&host.client, &url, CONFIGURATION, json!({})).await;
    assert_eq!(configuration.data("/configuration/certificateSigningRequestInfo/subject"), host.subject.as_str());
    let key = rsa_key();
    let renewed = ask(&host.client, &url, SIGN, json!({ "csr": csr(&key, &host.subject) })).await;
    let chain = decoded(renewed.data("/signCertificateSigningRequest/certificateChain"));
    let client = client::identified(client::builder(&plane), &format!("{chain}{}", key.serialize_pem()));
    let answer = ask(&client, &plane.director_url(), "{ viewer { id } }", json!({})).await;
    assert_eq!(answer.data("/viewer/id"), host.runtime.as_str());
    plane.distrust_former_client_cas().unwrap();
    let old = host.fresh_client(&plane);
    let request = client::request(&old, &plane.director_url(), "{ viewer { id } }", &json!({}));
    assert!(client::send(request).await.is_err());
}

#[tokio::test]
async fn mutual_tls_is_required() {
    let plane = start().await;
    for url in [plane.director_url(), plane.secured_connector_url()] {
        let request = client::request(&client::anonymous(&plane), &url, CONFIGURATION, &json!({}));
        assert!(client::send(request).await.is_err());
    }
    plane.wait_until(|state| state.counters().failed_handshakes.len() == 2).await;
    assert_eq!(plane.requests().len(), 0);
    assert!(plane.counters().failed_handshakes.contains_key(Endpoint::Director.name()));
}

#[tokio::test]
async fn a_revoked_certificate_is_neither_recognised_nor_renewed() {
    let plane = start().await;
    let host = pair(&plane).await;
    let url = plane.secured_connector_url();
    let revoked = ask(&host.client, &url, "mutation { revokeCertificate }", json!({})).await;
    assert_eq!(revoked.data("/revokeCertificate"), true);
    for url in [plane.director_url(), url] {
        let answer = ask(&host.client, &url, "{ __typename }", json!({})).await;
        assert_eq!(answer.status, 401);
    }
    plane.set_refusals(plane::Refusal::TlsAlert, plane::Refusal::Graphql);
    let answer = host.director(&plane, "{ viewer { id } }", json!({})).await;
    assert_eq!((answer.status, answer.code()), (200, 26));
    plane.set_refusals(plane::Refusal::TlsAlert, plane::Refusal::TlsAlert);
    let request = client::request(&host.fresh_client(&plane), &plane.director_url(), "{ viewer { id } }", &json!({}));
    assert!(client::send(request).await.is_err());
    let again = client::pair_as(&plane, host.runtime.clone()).await;
    assert_eq!(again.director(&plane, "{ viewer { id } }", json!({})).await.data("/viewer/id"), host.runtime.as_str());
}

#[tokio::test]
async fn an_untrusted_certificate_can_be_answered_by_the_gateway() {
    let plane = start().await;
    let stranger = pair(&start().await).await;
    let client = stranger.fresh_client(&plane);
    let request = || client::request(&client, &plane.director_url(), "{ viewer { id } }", &json!({}));
    assert!(client::send(request()).await.is_err());
    plane.set_refusals(plane::Refusal::Gateway, plane::Refusal::Gateway);
    assert_eq!(client::send(request()).await.unwrap().status, 401);
}
