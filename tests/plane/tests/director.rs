//! What the Director lists, in either dialect, and what it refuses.
#![allow(clippy::unwrap_used)]

mod client;

use std::collections::BTreeSet;

use client::{APPLICATIONS, ask, pair, start};
use plane::{Answering, CredentialKind, Dialect, Generate, Options, Plane, Verdict, model};
use serde_json::{Value, json};

const VIEWER: &str = "{ viewer { id type } }";

const FULL: &str = "query Full($id: ID!, $first: Int = 200, $after: PageCursor) {
  applicationsForRuntime(runtimeID: $id, first: $first, after: $after) {
    data {
      id name providerName description baseUrl systemNumber localTenantID labels status { condition timestamp }
      healthCheckURL auths { id } eventingConfiguration { defaultURL } createdAt updatedAt deletedAt systemStatus error
      bundles(first: 200) {
        data {
          id name description instanceAuthRequestInputSchema correlationIDs
          instanceAuths { id status { condition timestamp message reason } runtimeID runtimeContextID }
          defaultInstanceAuth {
            credential {
              __typename
              ... on BasicCredentialData { username password }
              ... on OAuthCredentialData { clientId clientSecret url }
              ... on CertificateOAuthCredentialData { clientId certificate url }
            }
            additionalHeaders additionalQueryParams certCommonName accessStrategy
            requestAuth { csrf { tokenEndpointURL credential { ... on BasicCredentialData { username } } additionalHeaders additionalQueryParams } }
          }
          apiDefinitions { data { id name description targetURL group version { value deprecated deprecatedSince forRemoval } spec { id data format type } } pageInfo { endCursor hasNextPage } totalCount }
          eventDefinitions { data { id name spec { id type format } version { value } } totalCount pageInfo { startCursor } }
          documents { data { id title displayName description format kind data } totalCount }
        }
        pageInfo { startCursor endCursor hasNextPage } totalCount
      }
    }
    pageInfo { startCursor endCursor hasNextPage } totalCount
  }
}";

const PACKAGES: &str = "query Packages($id: ID!) {
  applicationsForRuntime(runtimeID: $id) {
    data { id name providerName packages { data { id defaultInstanceAuth { credential {
        __typename ... on BasicCredentialData { username } ... on OAuthCredentialData { clientId } } }
        apiDefinitions { data { spec { data format type } } } } totalCount } }
    totalCount
  }
}";

#[tokio::test]
async fn everything_is_listed_with_its_credentials() {
    let plane = start().await;
    let plan = Generate {
        applications: 5,
        bundles: 2,
        apis: 2,
        events: 1,
        documents: 1,
        spec_bytes: Some(300),
        ..Generate::default()
    };
    plane.generate(plan);
    let host = pair(&plane).await;
    let answer = host.director(&plane, FULL, json!({ "id": host.runtime })).await;
    let page = answer.data("/applicationsForRuntime");
    assert_eq!(page["totalCount"], 5);
    let kinds: BTreeSet<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|app| app["bundles"]["data"].as_array().unwrap())
        .map(|bundle| bundle["defaultInstanceAuth"]["credential"]["__typename"].as_str().unwrap_or("none").to_owned())
        .collect();
    let all = ["BasicCredentialData", "CertificateOAuthCredentialData", "OAuthCredentialData", "none"];
    assert_eq!(kinds, all.map(str::to_owned).into());
    let api = &page["data"][0]["bundles"]["data"][0]["apiDefinitions"]["data"][0];
    assert!(api["spec"]["data"].as_str().unwrap().len() >= 290);
    assert!(page["data"][0]["labels"]["region"].is_string());
    let canaries = plane.canaries();
    let text = answer.body.to_string();
    assert!(canaries.iter().filter(|canary| text.contains(canary.as_str())).count() >= 4);
}

#[tokio::test]
async fn each_dialect_refuses_the_words_of_the_other() {
    let plane = start().await;
    plane.generate(Generate { applications: 5, ..Generate::default() });
    let host = pair(&plane).await;
    let variables = || json!({ "id": host.runtime });
    let refused = host.director(&plane, PACKAGES, variables()).await;
    assert_eq!(
        (refused.status, &refused.body["errors"][0]["extensions"]["code"]),
        (422, &json!("GRAPHQL_VALIDATION_FAILED"))
    );
    assert!(refused.body["data"].is_null());
    plane.set_dialect(Dialect::Package);
    let listed = host.director(&plane, PACKAGES, variables()).await;
    assert_eq!(listed.data("/applicationsForRuntime/totalCount"), 5);
    assert_eq!(listed.data("/applicationsForRuntime/data/0/packages/totalCount"), 1);
    assert_eq!(host.director(&plane, FULL, variables()).await.status, 422);
}

#[tokio::test]
async fn what_does_not_parse_or_fit_is_refused_with_422() {
    let plane = start().await;
    let host = pair(&plane).await;
    let broken = host.director(&plane, "{ viewer {", json!({})).await;
    assert_eq!((broken.status, &broken.body["errors"][0]["extensions"]["code"]), (422, &json!("GRAPHQL_PARSE_FAILED")));
    for (query, variables) in [
        ("{ viewer { id nonsense } }", json!({})),
        ("{ viewer }", json!({})),
        ("{ runtime { id } }", json!({})),
        ("query ($id: ID!) { runtime(id: $id) { id } }", json!({})),
        ("query ($id: Int!) { application(id: $id) { id } }", json!({ "id": 1 })),
        ("query ($id: String!) { application(id: $id) { id } }", json!({ "id": "x" })),
        ("query ($id: ID) { ...F } fragment F on Query { application(id: $id) { id } }", json!({ "id": "x" })),
        (APPLICATIONS, json!({ "id": "x", "first": "many" })),
        (APPLICATIONS, json!({ "id": null })),
        ("mutation { setRuntimeLabel(runtimeID: \"x\", key: \"k\") { key } }", json!({})),
    ] {
        let answer = host.director(&plane, query, variables).await;
        assert_eq!((answer.status, answer.body["data"].is_null()), (422, true), "{query}: {}", answer.body);
    }
    let configuration = "{ configuration() { token { token } } }";
    assert_eq!(ask(&host.client, &plane.secured_connector_url(), configuration, json!({})).await.status, 422);
}

#[tokio::test]
async fn pages_are_offsets_in_order_of_ids() {
    let plane = start().await;
    plane.generate(Generate { applications: 450, bundles: 0, ..Generate::default() });
    let host = pair(&plane).await;
    let mut ids = Vec::new();
    let (mut after, mut pages) = (String::new(), 0);
    loop {
        let answer = host.page(&plane, 200, &after).await;
        let page = answer.data("/applicationsForRuntime");
        assert_eq!((&page["totalCount"], &page["pageInfo"]["startCursor"]), (&json!(450), &json!(after)));
        ids.extend(page["data"].as_array().unwrap().iter().map(|app| app["id"].as_str().unwrap().to_owned()));
        pages += 1;
        after = page["pageInfo"]["endCursor"].as_str().unwrap().to_owned();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!((pages, ids.len()), (3, 450));
    assert!(ids.is_sorted());
    assert_eq!(after, "");
}

#[tokio::test]
async fn a_page_size_out_of_bounds_and_a_foreign_cursor_are_invalid_data() {
    let plane = start().await;
    let host = pair(&plane).await;
    for (first, after) in [(0, ""), (201, ""), (-1, ""), (10, "nonsense")] {
        let answer = host.page(&plane, first, after).await;
        assert_eq!((answer.status, answer.code()), (200, 22), "{}", answer.body);
        assert_eq!(answer.body["errors"][0]["extensions"]["error"], "InvalidData");
        assert_eq!(answer.body["errors"][0]["path"], json!(["applicationsForRuntime"]));
    }
    let unknown = host.director(&plane, APPLICATIONS, json!({ "id": "nobody" })).await;
    assert_eq!(unknown.code(), 22);
}

#[tokio::test]
async fn scopes_and_tenants_are_checked() {
    let plane = start().await;
    let host = pair(&plane).await;
    let request = || client::request(&host.client, &plane.director_url(), VIEWER, &json!({}));
    let code = |answer: client::Answer| (answer.status, answer.code());
    assert_eq!(code(client::send(request().header("Tenant", "nobody")).await.unwrap()), (200, 25));
    assert_eq!(client::send(request().header("Tenant", plane.tenant())).await.unwrap().body.get("errors"), None);
    plane.edit(|model| model.tenants.insert("other".into()));
    assert_eq!(code(client::send(request().header("Tenant", "other")).await.unwrap()), (200, 26));
    plane.configure(|options| options.tenant_required = true);
    assert_eq!(code(client::send(request()).await.unwrap()), (200, 24));
    plane.configure(|options| options.tenant_required = false);
    plane.set_scopes(&host.runtime, &["runtime:read"]).unwrap();
    assert_eq!(client::send(request()).await.unwrap().body.get("errors"), None);
    assert_eq!(host.page(&plane, 1, "").await.code(), 23);
}

#[tokio::test]
async fn a_formation_limits_what_is_seen() {
    let plane = start().await;
    let ids = plane.generate(Generate { applications: 4, ..Generate::default() });
    let host = pair(&plane).await;
    plane.set_formation(&host.runtime, Some([ids[2].clone()].into())).unwrap();
    let page = host.page(&plane, 10, "").await;
    assert_eq!(page.data("/applicationsForRuntime/totalCount"), 1);
    let query = "query ($id: ID!) { application(id: $id) { name } }";
    assert!(host.director(&plane, query, json!({ "id": ids[0] })).await.data("/application").is_null());
    assert!(host.director(&plane, query, json!({ "id": ids[2] })).await.data("/application/name").is_string());
    plane.set_formation(&host.runtime, Some(BTreeSet::new())).unwrap();
    assert_eq!(host.page(&plane, 10, "").await.data("/applicationsForRuntime/data"), &json!([]));
}

#[tokio::test]
async fn labels_are_set_and_read() {
    let plane = start().await;
    let host = pair(&plane).await;
    let set = "mutation ($id: ID!, $key: String!, $value: Any!) { setRuntimeLabel(runtimeID: $id, key: $key, value: $value) { key value } }";
    let url = "https://console.example";
    let variables = |key: &str| json!({ "id": host.runtime, "key": key, "value": url });
    let answer = host.director(&plane, set, variables("runtime_consoleUrl")).await;
    assert_eq!(answer.data("/setRuntimeLabel"), &json!({ "key": "runtime_consoleUrl", "value": url }));
    assert_eq!(host.director(&plane, set, variables("a-b")).await.code(), 22);
    assert_eq!(plane.runtime_labels(&host.runtime)["runtime_consoleUrl"], url);
    let get = "query ($id: ID!, $key: String) { runtime(id: $id) { id name description labels(key: $key) status { condition timestamp } } }";
    let one = host.director(&plane, get, json!({ "id": host.runtime, "key": "runtime_consoleUrl" })).await;
    assert_eq!(one.data("/runtime/labels"), &json!({ "runtime_consoleUrl": url }));
    assert_eq!(one.data("/runtime/status/condition"), "CONNECTED");
    let all = host.director(&plane, get, json!({ "id": host.runtime })).await;
    assert_eq!(all.data("/runtime/labels/isNormalized"), "true");
    let none = host.director(&plane, get, json!({ "id": host.runtime, "key": "absent" })).await;
    assert!(none.data("/runtime/labels").is_null());
}

fn instance_queries(word: &str) -> [String; 3] {
    let fields = "{ id context inputParams auth { credential { ... on BasicCredentialData { username password } } } status { condition reason message timestamp } }";
    let one = word.to_lowercase();
    [
        format!(
            "mutation ($id: ID!, $in: {word}InstanceAuthRequestInput!) {{ made: request{word}InstanceAuthCreation({one}ID: $id, in: $in) {fields} }}"
        ),
        format!("mutation ($id: ID!) {{ gone: request{word}InstanceAuthDeletion(authID: $id) {fields} }}"),
        format!("query ($id: ID!) {{ found: {one}InstanceAuth(id: $id) {fields} }}"),
    ]
}

async fn life_of_an_instance_auth(dialect: Dialect, word: &str) {
    let plane = Plane::start(Options { dialect, ..Options::default() }).await.unwrap();
    let credentials = vec![CredentialKind::Basic, CredentialKind::Absent];
    let ids = plane.generate(Generate { applications: 2, credentials, ..Generate::default() });
    let bundle = |place: usize| plane.inspect(|state| state.model.applications[&ids[place]].bundles[0].id.clone());
    let host = pair(&plane).await;
    let [create, delete, find] = instance_queries(word);
    let input =
        json!({ "id": "11111111-2222-4333-8444-555555555555", "context": "{\"runtime\":1}", "inputParams": "{}" });
    let ask = |query: &str, id: &str| {
        let variables = json!({ "id": id, "in": input });
        let query = query.to_owned();
        let (host, plane) = (&host, &plane);
        async move { host.director(plane, &query, variables).await }
    };

    let made = ask(&create, &bundle(0)).await;
    assert_eq!(made.data("/made/status/condition"), "SUCCEEDED");
    assert!(made.data("/made/auth/credential/password").as_str().unwrap().starts_with("canary-"));
    let id = made.data("/made/id").as_str().unwrap().to_owned();
    assert_ne!(id, input["id"]);
    assert_eq!(ask(&find, &id).await.data("/found/id"), id.as_str());
    ask(&delete, &id).await.data("/gone");
    assert!(ask(&find, &id).await.data("/found").is_null());

    let made = ask(&create, &bundle(1)).await;
    assert_eq!(made.data("/made/status/condition"), "PENDING");
    let id = made.data("/made/id").as_str().unwrap().to_owned();
    let credential = Some(model::Credential::Basic { username: "me".into(), password: "canary-x".into() });
    let auth = Box::new(model::Auth { credential, ..model::Auth::default() });
    plane.answer_instance_auth(&id, Verdict::Grant { auth }).unwrap();
    let granted = ask(&find, &id).await;
    assert_eq!(granted.data("/found/auth/credential/password"), "canary-x");
    assert!(plane.canaries().contains(&"canary-x".to_owned()));
    assert_eq!(ask(&delete, &id).await.data("/gone/status/condition"), "UNUSED");
    assert_eq!(ask(&find, &id).await.data("/found/status/condition"), "UNUSED");
    plane.answer_instance_auth(&id, Verdict::Remove).unwrap();
    assert!(ask(&find, &id).await.data("/found").is_null());
    assert_eq!(ask(&create, "nothing").await.code(), 20);
}

#[tokio::test]
async fn an_instance_auth_lives_as_documented_in_bundles() {
    life_of_an_instance_auth(Dialect::Bundle, "Bundle").await;
}

#[tokio::test]
async fn an_instance_auth_lives_as_documented_in_packages() {
    life_of_an_instance_auth(Dialect::Package, "Package").await;
}

#[tokio::test]
async fn what_a_runtime_holds_is_listed_and_applications_can_answer_promptly() {
    let plane = Plane::start(Options { answering: Answering::Promptly, ..Options::default() }).await.unwrap();
    let plan = Generate { applications: 1, credentials: vec![CredentialKind::Absent], ..Generate::default() };
    let ids = plane.generate(plan);
    let bundle = plane.inspect(|state| state.model.applications[&ids[0]].bundles[0].id.clone());
    let (host, other) = (pair(&plane).await, pair(&plane).await);
    let [create, delete, find] = instance_queries("Bundle");
    let made = host.director(&plane, &create, json!({ "id": bundle, "in": { "context": "{}" } })).await;
    assert_eq!(made.data("/made/status/condition"), "PENDING");
    let id = made.data("/made/id").clone();
    let [held] = plane.instance_auths(&host.runtime).try_into().unwrap();
    assert_eq!((&json!(held.id), &held.application, &held.bundle), (&id, &ids[0], &bundle));
    assert_eq!((held.context.as_deref(), held.condition), (Some("{}"), model::Condition::Pending));
    assert_eq!(plane.instance_auths(&other.runtime), []);

    let found = host.director(&plane, &find, json!({ "id": id })).await;
    assert_eq!(found.data("/found/status/condition"), "SUCCEEDED");
    let password = found.data("/found/auth/credential/password").as_str().unwrap().to_owned();
    assert!(plane.canaries().contains(&password));
    let gone = host.director(&plane, &delete, json!({ "id": id })).await;
    assert_eq!(gone.data("/gone/status/condition"), "UNUSED");
    assert_eq!(plane.instance_auths(&host.runtime).len(), 1);
    assert!(host.director(&plane, &find, json!({ "id": id })).await.data("/found").is_null());
    assert_eq!(plane.instance_auths(&host.runtime), []);
}

#[tokio::test]
async fn parameters_are_asked_for_where_a_schema_says_so() {
    let plane = start().await;
    let schema = json!({ "type": "object", "required": ["region"] }).to_string();
    let ids = plane.generate(Generate { applications: 1, request_schema: Some(schema), ..Generate::default() });
    let bundle = plane.inspect(|state| state.model.applications[&ids[0]].bundles[0].id.clone());
    let host = pair(&plane).await;
    let [create, ..] = instance_queries("Bundle");
    for (input, code) in [(json!({}), 22), (json!({ "inputParams": "{}" }), 22)] {
        let refused = host.director(&plane, &create, json!({ "id": bundle, "in": input })).await;
        assert_eq!(refused.code(), code, "{input}");
    }
    let input = json!({ "inputParams": "{\"region\":\"eu\"}" });
    let made = host.director(&plane, &create, json!({ "id": bundle, "in": input })).await;
    assert_eq!(made.data("/made/status/condition"), "SUCCEEDED");
}

#[tokio::test]
async fn an_application_pages_through_its_bundles() {
    let plane = start().await;
    let ids = plane.generate(Generate { applications: 1, bundles: 250, apis: 0, ..Generate::default() });
    let host = pair(&plane).await;
    let query = "query ($id: ID!, $after: PageCursor) { application(id: $id) { bundles(first: 200, after: $after) { data { id } pageInfo { endCursor hasNextPage } totalCount } } }";
    let first = host.director(&plane, query, json!({ "id": ids[0] })).await;
    assert_eq!(first.data("/application/bundles/data").as_array().unwrap().len(), 200);
    let after = first.data("/application/bundles/pageInfo/endCursor");
    let second = host.director(&plane, query, json!({ "id": ids[0], "after": after })).await;
    assert_eq!(second.data("/application/bundles/data").as_array().unwrap().len(), 50);
    let one = "query ($id: ID!, $bundle: ID!) { application(id: $id) { bundle(id: $bundle) { id name } } }";
    let bundle = second.data("/application/bundles/data/7/id");
    let found = host.director(&plane, one, json!({ "id": ids[0], "bundle": bundle })).await;
    assert_eq!(found.data("/application/bundle/id"), bundle);
    let large = query.replace("200", "201");
    let refused = host.director(&plane, &large, json!({ "id": ids[0] })).await;
    assert_eq!((refused.code(), &refused.body["data"]["application"]["bundles"]), (22, &Value::Null));
}

#[tokio::test]
async fn requests_are_recorded_without_their_tokens() {
    let plane = start().await;
    let host = pair(&plane).await;
    let request = client::request(
        &host.client,
        &plane.director_url(),
        "query Who($a: ID!) { viewer { id } runtime(id: $a) { id } }",
        &json!({ "a": "7" }),
    );
    let request = request.header("x-request-id", "42").header("Tenant", plane.tenant());
    client::send(request).await.unwrap();
    plane.wait_for(|requests| requests.iter().any(|request| request.is("viewer"))).await;
    let recorded = plane.requests();
    let last = recorded.last().unwrap();
    assert_eq!((last.sequence, last.status, last.processed, last.token_present), (3, Some(200), true, false));
    assert_eq!((last.operation.as_deref(), last.request_id.as_deref()), (Some("Who"), Some("42")));
    assert_eq!((&last.variables, last.tenant.clone()), (&json!({ "a": "7" }), Some(plane.tenant())));
    assert_eq!(last.fingerprint.as_ref().unwrap().len(), 64);
    assert!(host.subject.contains(last.common_name.as_ref().unwrap()));
    assert_eq!(last.protocol, "HTTP/2.0");
    assert!(recorded[0].token_present && recorded[0].fingerprint.is_none());
    let text = serde_json::to_string(&recorded).unwrap();
    assert!(!plane.canaries().iter().any(|canary| text.contains(canary)));
    assert_eq!(plane.counters().requests["director viewer"], 1);
}

#[tokio::test]
async fn a_client_without_http2_is_served_too_and_large_answers_are_compressed() {
    let plane = start().await;
    plane.generate(Generate { applications: 100, ..Generate::default() });
    let host = pair(&plane).await;
    let client = client::identified(client::builder(&plane).http1_only().no_gzip(), &host.identity);
    let request = client::request(&client, &plane.director_url(), APPLICATIONS, &json!({ "id": host.runtime }));
    let response = request.header("Accept-Encoding", "gzip").send().await.unwrap();
    assert_eq!(
        (response.version(), &response.headers()["content-encoding"]),
        (reqwest::Version::HTTP_11, &"gzip".parse().unwrap())
    );
    assert_eq!(host.page(&plane, 100, "").await.data("/applicationsForRuntime/totalCount"), 100);
}

#[tokio::test]
async fn a_plane_that_keeps_answers_gives_others_as_soon_as_something_changes() {
    let plane = Plane::start(Options { keep_answers: true, ..Options::default() }).await.unwrap();
    plane.generate(Generate { applications: 30, ..Generate::default() });
    let host = pair(&plane).await;
    let (first, again) = (host.page(&plane, 200, "").await, host.page(&plane, 200, "").await);
    assert_eq!((first.data("/applicationsForRuntime/totalCount"), &first.body), (&json!(30), &again.body));
    let id = first.data("/applicationsForRuntime/data/0/id").as_str().unwrap().to_owned();
    plane.edit(|model| model.application_mut(&id).unwrap().name = "renamed".to_owned());
    let changed = host.page(&plane, 200, "").await;
    assert_eq!(changed.data("/applicationsForRuntime/data/0/name"), "renamed");
    plane.delete_application(&id);
    assert_eq!(host.page(&plane, 200, "").await.data("/applicationsForRuntime/totalCount"), 29);
    // What was answered from memory was asked all the same.
    assert_eq!(plane.requests().iter().filter(|request| request.is("Applications")).count(), 4);
}
