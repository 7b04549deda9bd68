//! What each endpoint answers.

use super::*;
use crate::broker::http::ROUTES;

const OF: &str = "service_id=s&plan_id=p";

fn instance(id: &str) -> String {
    format!("/v2/service_instances/{id}")
}

fn binding(id: &str) -> String {
    format!("/v2/service_instances/i/service_bindings/{id}")
}

/// What is refused by whoever decides, whatever was asked.
const REFUSED: [(&str, u16, &str); 10] = [
    ("bad", 400, "BadRequest"),
    ("other", 409, "Conflict"),
    ("unknown", 404, "NotFound"),
    ("gone", 410, "Gone"),
    ("slow", 422, "AsyncRequired"),
    ("busy", 422, "ConcurrencyError"),
    ("fixed", 422, "NotSupported"),
    ("many", 422, "LimitReached"),
    ("away", 503, "ServiceUnavailable"),
    ("full", 500, "StorageError"),
];

#[tokio::test]
async fn what_is_refused_has_the_same_status_and_word_at_every_endpoint() {
    let site = Site::at_socket();
    for (id, status, word) in REFUSED {
        for (method, path, body) in [
            ("PUT", instance(id), Some(provision())),
            ("GET", instance(id), None),
            ("PATCH", instance(id), Some(json!({ "service_id": "s" }))),
            ("DELETE", instance(id) + "?" + OF, None),
            ("GET", instance(id) + "/last_operation", None),
            ("PUT", binding(id), Some(bind())),
            ("GET", binding(id), None),
            ("DELETE", binding(id) + "?" + OF, None),
            ("GET", binding(id) + "/last_operation", None),
        ] {
            let answer = site.ask(method, &path, body).await;
            assert_eq!((answer.status, answer.error().as_str()), (status, word), "{method} {path}: {answer:?}");
            assert!(answer.body.contains(&format!("This is {id}.")), "{answer:?}");
            assert_eq!(answer.header("retry-after"), (id == "away").then_some("30"), "{method} {path}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_instance_is_made_told_of_and_removed() {
    let site = Site::at_socket();
    let answer = site.ask("PUT", &instance("new"), Some(provision())).await;
    assert_eq!((answer.status, answer.json()), (201, json!({})));
    let answer = site.ask("PUT", &instance("known"), Some(provision())).await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    let answer = site.ask("GET", &instance("known"), None).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "service_id": "s", "plan_id": "p" })));
    assert_eq!(site.ask("GET", &(instance("known") + "?service_id=wrong&plan_id=q&plan_id=r"), None).await.status, 200);
    let answer = site.ask("GET", &(instance("known") + "/last_operation?operation=made-up"), None).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("succeeded")));
    site.orders();
    let answer = site.ask("DELETE", &(instance("known") + "?accepts_incomplete=true&" + OF), None).await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    let [order] = &site.orders()[..] else { panic!("not one order") };
    assert!(order.contains("Deprovision") && order.contains(r#"service: "s", plan: "p""#), "{order}");
}

#[tokio::test]
async fn an_instance_is_not_made_of_half_a_request() {
    let site = Site::at_socket();
    for field in ["service_id", "plan_id", "organization_guid", "space_guid"] {
        for value in [None, Some("")] {
            let mut body = provision();
            let fields = body.as_object_mut().unwrap();
            match value {
                None => drop(fields.remove(field)),
                Some(value) => drop(fields.insert(field.to_owned(), value.into())),
            }
            let answer = site.ask("PUT", &instance("new"), Some(body)).await;
            assert_eq!((answer.status, answer.error().as_str()), (400, "BadRequest"), "{field} {value:?}");
            assert!(answer.body.contains(field), "{answer:?}");
        }
    }
    let mut body = provision();
    body["maintenance_info"] = json!({ "version": "1.0.0" });
    let answer = site.ask("PUT", &instance("new"), Some(body)).await;
    assert_eq!((answer.status, answer.error().as_str()), (422, "MaintenanceInfoConflict"));
    for (content_type, text) in [("application/json", "{"), ("application/json", "[]"), ("text/plain", "{}")] {
        let request = site.request("PUT", &instance("new")).header("Content-Type", content_type).body(text);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!((answer.status, answer.error().as_str()), (400, "BadRequest"), "{content_type} {text}");
    }
    assert_eq!(site.ask("PUT", &instance("new"), None).await.status, 400, "without a body");
    assert_eq!(site.orders(), [""; 0]);
}

#[tokio::test]
async fn nothing_of_an_instance_but_what_the_decider_grants_can_be_changed() {
    let site = Site::at_socket();
    let patch = async |body: Value| site.ask("PATCH", &instance("known"), Some(body)).await;
    let answer = patch(json!({ "service_id": "s", "plan_id": "q", "context": {}, "later": 1 })).await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    let [order] = &site.orders()[..] else { panic!("not one order") };
    assert!(order.contains("Update") && order.contains(r#"plan: "q""#), "{order}");
    assert_eq!(patch(json!({ "plan_id": "q" })).await.status, 400);
    let answer = patch(json!({ "service_id": "s", "parameters": { "a": 1 } })).await;
    assert_eq!((answer.status, answer.error().as_str()), (422, "NotSupported"));
    let answer = patch(json!({ "service_id": "s", "maintenance_info": { "version": "2" } })).await;
    assert_eq!((answer.status, answer.error().as_str()), (422, "MaintenanceInfoConflict"));
}

#[tokio::test]
async fn a_binding_is_here_with_its_credentials_or_under_way_without_them() {
    let site = Site::at_socket();
    let credentials: Value = serde_json::from_str(CREDENTIALS).unwrap();
    for (path, status) in
        [(binding("new"), 201), (binding("known"), 200), (binding("known") + "?accepts_incomplete=false", 200)]
    {
        let answer = site.ask("PUT", &path, Some(bind())).await;
        assert_eq!((answer.status, answer.json()), (status, credentials.clone()), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for _ in 0..2 {
        let answer = site.ask("PUT", &(binding("new") + "?accepts_incomplete=true"), Some(bind())).await;
        assert_eq!((answer.status, answer.json()), (202, json!({ "operation": "op-1" })));
    }
    let answer = site.ask("GET", &binding("known"), None).await;
    assert_eq!((answer.status, answer.json()), (200, credentials));
    let answer = site.ask("PUT", &(binding("new") + "?accepts_incomplete=yes"), Some(bind())).await;
    assert_eq!((answer.status, answer.error().as_str()), (400, "BadRequest"));
    assert_eq!(site.ask("PUT", &binding("new"), Some(json!({ "service_id": "s" }))).await.status, 400);
    assert!(!site.orders().concat().contains("canary"), "orders do not tell secrets");
}

#[tokio::test]
async fn a_binding_is_given_back_at_once_or_in_a_while() {
    let site = Site::at_socket();
    let answer = site.ask("DELETE", &(binding("known") + "?" + OF), None).await;
    assert_eq!((answer.status, answer.json()), (200, json!({})));
    let answer = site.ask("DELETE", &(binding("known") + "?accepts_incomplete=true&" + OF), None).await;
    assert_eq!((answer.status, answer.json()), (202, json!({ "operation": "op-1" })));
    for query in ["", "?operation", "?operation=op-1", "?operation=made-up&service_id=&plan_id=x&plan_id=y"] {
        let answer = site.ask("GET", &(binding("known") + "/last_operation" + query), None).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.json(), json!({ "state": "in progress", "description": "It is under way." }));
        assert_eq!(answer.header("retry-after"), Some("7"));
    }
}

#[tokio::test]
async fn a_delete_without_service_or_plan_is_refused_before_anybody_decides() {
    let site = Site::at_socket();
    for path in [instance("known"), binding("known"), instance("%20")] {
        for query in
            ["", "?service_id=s", "?plan_id=p", "?service_id=s&plan_id=", "?service_id=s&service_id=s&plan_id=p"]
        {
            let answer = site.ask("DELETE", &format!("{path}{query}"), None).await;
            assert_eq!((answer.status, answer.error().as_str()), (400, "BadRequest"), "{path}{query}");
        }
    }
    assert_eq!(site.orders(), [""; 0]);
}

#[tokio::test]
async fn an_id_is_what_the_client_made_of_it_and_one_that_nothing_can_have_is_not_there() {
    let site = Site::at_socket();
    for (id, meant) in [("a%2Fb", "a/b"), ("%C3%A4", "ä"), ("a%25", "a%"), ("..%2f..", "../..")] {
        assert_eq!(site.ask("GET", &instance(id), None).await.status, 200, "{id}");
        assert!(site.orders()[0].contains(&format!("{meant:?}")), "{id}");
    }
    let long = "x".repeat(257);
    for id in ["%20", "a%0ab", "%ff", &long] {
        for (method, path, body, status) in [
            ("PUT", instance(id), Some(provision()), 400),
            ("GET", instance(id), None, 404),
            ("PATCH", instance(id), Some(json!({ "service_id": "s" })), 400),
            ("DELETE", instance(id) + "?" + OF, None, 410),
            ("GET", instance(id) + "/last_operation", None, 404),
            ("PUT", binding(id), Some(bind()), 400),
            ("GET", binding(id), None, 404),
            ("DELETE", binding(id) + "?" + OF, None, 410),
            ("GET", binding(id) + "/last_operation", None, 404),
        ] {
            let answer = site.ask(method, &path, body).await;
            assert_eq!(answer.status, status, "{method} {path}");
            assert!(!answer.error().is_empty());
        }
    }
    assert_eq!(site.orders(), [""; 0]);
}

#[tokio::test]
async fn the_catalog_is_answered_as_it_was_made_and_only_when_it_is_new() {
    let site = Site::at_socket();
    let answer = site.ask("GET", "/v2/catalog", None).await;
    assert_eq!((answer.status, answer.error().as_str()), (503, "ServiceUnavailable"));
    assert_eq!(answer.header("retry-after"), Some("10"));

    let catalog = offering("Shop");
    site.catalog.send_replace(Some(Arc::clone(&catalog)));
    let answer = site.ask("GET", "/v2/catalog", None).await;
    assert_eq!((answer.status, answer.body.as_bytes()), (200, &*catalog.body()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let tag = answer.header("etag").unwrap().to_owned();
    for known in [tag.clone(), format!("W/{tag}"), "*".to_owned(), format!("\"x\", {tag}")] {
        let request = site.request("GET", "/v2/catalog").header("If-None-Match", &known);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{known}");
        assert_eq!(answer.header("etag"), Some(&*tag));
    }
    let answer = site.ask("HEAD", "/v2/catalog", None).await;
    assert_eq!((answer.status, answer.body.as_str(), answer.header("etag")), (200, "", Some(&*tag)));

    site.catalog.send_replace(Some(offering("Warehouse")));
    let request = site.request("GET", "/v2/catalog").header("If-None-Match", &tag);
    assert_eq!(request.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_not_declared_is_refused_with_what_is() {
    let site = Site::at_socket();
    for path in ["/", "/v2", "/v2/catalog/", "/v2/service_instances", "/v2/service_instances/", "/v3/catalog"] {
        let answer = site.ask("GET", path, None).await;
        assert_eq!((answer.status, answer.error().as_str()), (404, "NotFound"), "{path}");
    }
    for (method, path, allowed) in [
        ("POST", "/v2/catalog".to_owned(), "GET, HEAD"),
        ("DELETE", "/v2/catalog".to_owned(), "GET, HEAD"),
        ("POST", instance("i"), "PUT, GET, HEAD, PATCH, DELETE"),
        ("PUT", instance("i") + "/last_operation", "GET, HEAD"),
        ("PATCH", binding("b"), "PUT, GET, HEAD, DELETE"),
        ("OPTIONS", binding("b") + "/last_operation", "GET, HEAD"),
    ] {
        let answer = site.ask(method, &path, None).await;
        assert_eq!((answer.status, answer.error().as_str()), (405, "MethodNotAllowed"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn every_route_of_the_table_is_answered_by_itself() {
    let site = Site::at_socket();
    let known: std::collections::BTreeSet<_> = ROUTES.iter().map(|route| (route.verb, route.path)).collect();
    assert_eq!(known.len(), ROUTES.len());
    for route in ROUTES {
        let path = route.path.replace("{instance_id}", "i").replace("{binding_id}", "b");
        let answer = site.ask(route.verb.as_str(), &path, None).await;
        assert!(![404, 405].contains(&answer.status), "{route:?}: {answer:?}");
    }
}
