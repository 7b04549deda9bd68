//! Measures how long large lists take; run with `cargo test --release -p plane --test scale -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)]

mod client;

use std::time::Instant;

use client::{pair, start};
use plane::Generate;
use serde_json::json;

const PAGE: &str =
    "query ($id: ID!, $after: PageCursor) { applicationsForRuntime(runtimeID: $id, first: 200, after: $after) {
  data { id name providerName description labels status { condition } eventingConfiguration { defaultURL }
    bundles { data { id name defaultInstanceAuth { credential { __typename
          ... on BasicCredentialData { username password } ... on OAuthCredentialData { clientId clientSecret url }
          ... on CertificateOAuthCredentialData { clientId certificate url } }
        additionalHeaders additionalQueryParams requestAuth { csrf { tokenEndpointURL } } }
      apiDefinitions { data { id name targetURL version { value } } pageInfo { endCursor hasNextPage } totalCount }
      eventDefinitions { data { id name } pageInfo { endCursor hasNextPage } totalCount }
    } pageInfo { endCursor hasNextPage } totalCount } }
  pageInfo { endCursor hasNextPage } totalCount } }";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures, and needs a release build to mean anything"]
async fn large_lists_are_served() {
    for applications in [10_000, 100_000] {
        let plane = start().await;
        let started = Instant::now();
        plane.generate(Generate { applications, bundles: 2, apis: 2, ..Generate::default() });
        println!("{applications} applications generated in {:?}", started.elapsed());
        let host = pair(&plane).await;
        let (mut after, mut seen, mut pages, started) = (String::new(), 0, 0, Instant::now());
        loop {
            let answer = host.director(&plane, PAGE, json!({ "id": host.runtime, "after": after })).await;
            let page = answer.data("/applicationsForRuntime");
            seen += page["data"].as_array().unwrap().len();
            pages += 1;
            after = page["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
            if after.is_empty() || pages == 50 {
                break;
            }
        }
        println!("{pages} pages with {seen} applications in {:?} a page", started.elapsed() / pages);
    }
}
