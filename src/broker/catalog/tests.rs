//! What platforms learn from a catalog, whatever the plane says.

mod property;

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::super::schema::{DEEPEST, LARGEST};
use super::*;
use crate::snapshot::example::{api, application, auth, bundle};
use crate::snapshot::{
    Auth, Condition, Credential, Csrf, InstanceAuth, Reading, Sha256, Snapshot, Specification, Version,
};

fn snapshot(applications: impl IntoIterator<Item = Application>) -> Snapshot {
    Snapshot::new("runtime-1".parse().unwrap(), applications.into_iter().collect()).unwrap()
}

fn with(application: Application, bundles: impl IntoIterator<Item = Bundle>) -> Application {
    Application { bundles: bundles.into_iter().collect(), ..application }
}

fn event(id: &str, name: &str) -> EventDefinition {
    EventDefinition {
        id: id.parse().unwrap(),
        name: name.into(),
        description: None,
        group: None,
        version: None,
        specification: None,
    }
}

fn after(before: &GivenNames, snapshot: &Snapshot) -> Catalog {
    let names = Names::default().assign(snapshot).unwrap_or_default();
    Catalog::new(
        &snapshot.all().unwrap(),
        before,
        &SpecificationFiles { current: Path::new("/published/current"), names: &names },
    )
}

fn catalog(snapshot: &Snapshot) -> Catalog {
    after(&GivenNames::default(), snapshot)
}

fn read(catalog: &Catalog) -> Value {
    serde_json::from_slice(&catalog.body()).unwrap()
}

/// The one plan of the one service.
fn plan_of(bundle: Bundle) -> Value {
    let catalog = catalog(&snapshot([with(application("a", "Shop"), [bundle])]));
    read(&catalog)["services"][0]["plans"][0].take()
}

fn with_schema(text: &str) -> Value {
    plan_of(Bundle { request_schema: Some(text.into()), apis: vec![api("1", "x", "u")], ..bundle("b", "Orders") })
}

fn text(content: &str) -> Sha256 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(content.as_bytes());
    Sha256::of(context)
}

#[test]
fn applications_are_services_and_bundles_are_plans() {
    let shop = Application {
        provider: Some("Shops & Sons".into()),
        description: Some("Sells\n  things.\u{1b}[31m".into()),
        labels: BTreeMap::from([("scenarios".into(), json!(["DEFAULT"])), ("b".into(), json!({ "z": 1, "a": 2 }))]),
        ..application("a-1", "The Shop!")
    };
    let orders = Bundle { apis: vec![api("1", "Orders API", "https://u:p@example.com/")], ..bundle("b-1", "Orders") };
    let snapshot = snapshot([with(shop, [orders]), application("a-2", "Without bundles")]);
    let catalog = catalog(&snapshot);
    let expected = json!({ "services": [{
        "id": "a-1",
        "name": "the-shop",
        "description": "Sells things. [31m",
        "bindable": true,
        "instances_retrievable": true,
        "bindings_retrievable": true,
        "plan_updateable": false,
        "metadata": {
            "displayName": "The Shop!",
            "providerDisplayName": "Shops & Sons",
            "longDescription": "Sells\n  things.\u{1b}[31m",
            "labels": { "scenarios": ["DEFAULT"], "b": { "z": 1, "a": 2 } },
        },
        "plans": [{
            "id": "b-1",
            "name": "orders",
            "description": "1 API and 0 events of The Shop!",
            "free": true,
            "bindable": true,
            "binding_rotatable": true,
            "plan_updateable": false,
            "metadata": {
                "displayName": "Orders",
                "apis": [{ "id": "1", "name": "Orders API", "targetUrl": "https://example.com/" }],
                "events": [],
            },
        }],
    }] });
    assert_eq!(read(&catalog), expected);
}

#[test]
fn the_broker_finds_a_plan_by_the_ids_that_a_platform_gives() {
    let orders = Bundle {
        default_auth: Some(auth(Credential::None)),
        apis: vec![api("2", "Second", "https://u:p@example.com/2"), api("1", "First", "https://example.com/1")],
        ..bundle("b-1", "Orders")
    };
    let catalog = catalog(&snapshot([with(application("a-1", "Shop"), [orders, bundle("b-2", "Events")])]));
    let service = catalog.service("a-1").unwrap();
    let plan = service.plan("b-1").unwrap();
    assert_eq!((service.id().as_str(), service.name().as_str()), ("a-1", "shop"));
    assert_eq!((plan.service().as_str(), plan.id().as_str(), plan.name().as_str()), ("a-1", "b-1", "orders"));
    assert_eq!((plan.is_bindable(), plan.issue()), (true, Issue::AtOnce));
    let apis: Vec<_> = plan.apis().iter().map(|api| (&*api.name, api.url.expose_secret())).collect();
    assert_eq!(apis, [("First", "https://example.com/1"), ("Second", "https://u:p@example.com/2")]);
    let events = service.plan("b-2").unwrap();
    assert_eq!((events.is_bindable(), events.issue()), (false, Issue::OnRequest));
    for unknown in ["", "a-2", "a 1", "A-1", "b-1"] {
        assert!(catalog.service(unknown).is_none(), "{unknown}");
    }
    assert!(service.plan("a-1").is_none() && service.plan("").is_none());
}

#[test]
fn a_plan_says_what_it_holds_and_where_specifications_lie() {
    let version = Version {
        value: "v2".into(),
        deprecated: Some(true),
        deprecated_since: Some("v1".into()),
        for_removal: Some(false),
    };
    let reading = |text| Some(Reading { of: self::text("owner"), text, read_at: Timestamp::UNIX_EPOCH });
    let specification = |kind: &str, format: &str, reading| {
        Some(Specification { id: None, kind: kind.into(), format: format.into(), reading })
    };
    let sum = text("specification");
    let read_api = ApiDefinition {
        description: Some("All orders".into()),
        group: Some("sales".into()),
        version: Some(version.clone()),
        specification: specification("OPEN_API", "YAML", reading(Some(sum))),
        ..api("1", "Orders", "https://example.com/orders")
    };
    let unread = ApiDefinition { specification: specification("ODATA", "XML", None), ..api("2", "Stock", "u") };
    let empty = ApiDefinition { specification: specification("ODATA", "XML", reading(None)), ..api("3", "Tax", "u") };
    let placed = EventDefinition {
        version: Some(version),
        specification: specification("ASYNC_API", "JSON", reading(Some(sum))),
        ..event("4", "Order placed")
    };
    let plan = plan_of(Bundle { apis: vec![empty, unread, read_api], events: vec![placed], ..bundle("b", "Sales") });
    let version = json!({ "value": "v2", "deprecated": true, "deprecatedSince": "v1", "forRemoval": false });
    let folder = "/published/current/applications/shop/bundles/sales";
    let unread = json!({ "type": "ODATA", "format": "XML" });
    let expected = json!({
        "displayName": "Sales",
        "apis": [
            {
                "id": "1",
                "name": "Orders",
                "description": "All orders",
                "targetUrl": "https://example.com/orders",
                "group": "sales",
                "version": version,
                "specification": {
                    "type": "OPEN_API", "format": "YAML", "file": format!("{folder}/apis/orders.yaml"), "sha256": sum,
                },
            },
            { "id": "2", "name": "Stock", "targetUrl": "u", "specification": unread },
            { "id": "3", "name": "Tax", "targetUrl": "u", "specification": unread },
        ],
        "events": [{
            "id": "4",
            "name": "Order placed",
            "version": version,
            "specification": {
                "type": "ASYNC_API", "format": "JSON", "file": format!("{folder}/events/order-placed.json"), "sha256": sum,
            },
        }],
    });
    assert_eq!(plan["metadata"], expected);
}

#[test]
fn only_what_has_apis_can_be_bound_and_only_own_credentials_rotate() {
    let said = |bundle: Bundle| {
        let plan = plan_of(bundle);
        (plan["bindable"].as_bool().unwrap(), plan["binding_rotatable"].as_bool().unwrap())
    };
    let apis = || vec![api("1", "x", "u")];
    let default = || Some(auth(Credential::None));
    assert_eq!(said(Bundle { apis: apis(), ..bundle("b", "x") }), (true, true));
    assert_eq!(said(Bundle { apis: apis(), default_auth: default(), ..bundle("b", "x") }), (true, false));
    assert_eq!(said(Bundle { events: vec![event("1", "x")], ..bundle("b", "x") }), (false, false));
    let events_only = catalog(&snapshot([with(application("a", "x"), [bundle("b", "x")])]));
    assert_eq!(read(&events_only)["services"][0]["bindable"], false);
}

#[test]
fn a_deleted_application_is_listed_and_says_so() {
    let deleted = Application { deleted_at: Some("2026-01-01T00:00:00Z".into()), ..application("a", "x") };
    let page = read(&catalog(&snapshot([with(deleted, [bundle("b", "x")])])));
    let metadata = &page["services"][0]["metadata"];
    assert_eq!(metadata["deletedAt"], "2026-01-01T00:00:00Z");
    assert!(metadata["notice"].as_str().unwrap().contains("marked this application as deleted"));
}

#[test]
fn the_schema_of_the_parameters_is_that_of_the_application() {
    let plan = with_schema(r#"{"type":"object","properties":{"tier":{"type":"string"}}}"#);
    let expected = json!({ "service_binding": { "create": { "parameters": {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "properties": { "tier": { "type": "string" } },
    } } } });
    assert_eq!(plan["schemas"], expected);
    assert_eq!(plan["metadata"].get("schemaLeftOut"), None);
}

#[test]
fn a_schema_that_platforms_cannot_take_is_left_out_and_said_so() {
    let deep = |levels: usize| format!("{}{}", "{\"not\":".repeat(levels), "{}") + &"}".repeat(levels);
    let huge = format!("{{\"title\":\"{}\"}}", "x".repeat(LARGEST));
    let texts =
        [r#"{"$ref":"https://example.com/s"}"#, "[]", "nonsense", "null", &huge, &deep(DEEPEST), &deep(100_000)];
    for text in texts {
        let plan = with_schema(text);
        assert_eq!(plan.get("schemas"), None, "{text:.40}");
        let said = plan["metadata"]["schemaLeftOut"].as_str().unwrap();
        assert!(said.contains("is left out, because it"), "{said}");
    }
    for nothing in ["", " \n"] {
        let plan = with_schema(nothing);
        assert_eq!((plan.get("schemas"), plan["metadata"].get("schemaLeftOut")), (None, None));
    }
}

#[test]
fn nothing_is_nested_deeper_than_the_strictest_parsers_go() {
    fn levels(value: &Value) -> usize {
        match value {
            Value::Array(list) => 1 + list.iter().map(levels).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(levels).max().unwrap_or(0),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }
    let deep = |levels| (0..levels).fold(json!(1), |value, _| json!([value]));
    let labels = BTreeMap::from([("deep".into(), deep(DEEPEST + 1)), ("fits".into(), deep(DEEPEST))]);
    let schema = format!("{}1{}", "{\"a\":".repeat(DEEPEST), "}".repeat(DEEPEST));
    let orders = Bundle { request_schema: Some(schema.into()), apis: vec![api("1", "x", "u")], ..bundle("b", "x") };
    let page = read(&catalog(&snapshot([with(Application { labels, ..application("a", "x") }, [orders])])));
    assert!(levels(&page) <= 64);
    let metadata = &page["services"][0]["metadata"];
    assert_eq!(metadata["labelsLeftOut"], json!(["deep"]));
    assert!(metadata["labels"].get("fits").is_some() && metadata["labels"].get("deep").is_none());
}

#[test]
fn descriptions_are_never_empty_nor_longer_than_platforms_take() {
    for said in [None, Some(""), Some(" \n\u{0}"), Some("x"), Some(&*"ß ".repeat(9000)), Some(&*"ß".repeat(9000))] {
        for name in ["", "x", &"n".repeat(9000)] {
            let said = said.map(Into::into);
            let shop = Application { description: said.clone(), ..application("a", name) };
            let bundle = Bundle { description: said, ..bundle("b", name) };
            let page = read(&catalog(&snapshot([with(shop, [bundle])])));
            let service = &page["services"][0];
            for entry in [service, &service["plans"][0]] {
                let description = entry["description"].as_str().unwrap();
                assert!((1..=255).contains(&description.chars().count()), "{description}");
                assert!(!entry["metadata"]["displayName"].as_str().unwrap().is_empty());
            }
        }
    }
}

#[test]
fn a_name_stays_with_its_holder_and_is_kept_over_a_restart() {
    let shop = |id: &str, bundles: [&str; 2]| {
        let [first, second] = bundles;
        with(application(id, "Shop"), [bundle(first, "Orders"), bundle(second, "orders")])
    };
    let first = catalog(&snapshot([shop("m", ["p", "q"])]));
    let kept: GivenNames = serde_json::from_str(&serde_json::to_string(first.names()).unwrap()).unwrap();
    assert_eq!(&kept, first.names());
    // The smaller id would take the plain name, were it not for what is kept.
    let second = after(&kept, &snapshot([shop("a", ["p", "q"]), shop("m", ["a", "p"])]));
    let name = |service: &str| second.service(service).unwrap().name().as_str();
    assert_eq!(name("m"), "shop");
    assert!(name("a").starts_with("shop-"));
    let plan = |service: &str, plan: &str| second.service(service).unwrap().plan(plan).unwrap().name().as_str();
    assert_eq!((plan("a", "p"), plan("m", "p")), ("orders", "orders"), "another service has its own plans");
    assert!(plan("m", "a").starts_with("orders-"));
}

#[test]
fn no_secret_is_in_the_catalog() {
    let lists = || BTreeMap::from([("x".into(), vec!["canary-1".into()])]);
    let basic = || Credential::Basic { username: "canary-2".into(), password: "canary-3".into() };
    let full = || Auth {
        headers: lists(),
        query_parameters: lists(),
        csrf: Some(Csrf {
            token_url: "https://canary-4@example.com".into(),
            credential: basic(),
            headers: lists(),
            query_parameters: lists(),
        }),
        certificate_common_name: Some("canary-5".into()),
        access_strategy: Some("canary-6".into()),
        ..auth(basic())
    };
    let own = InstanceAuth {
        id: "canary-7".parse().unwrap(),
        condition: Condition::Succeeded,
        message: Some("canary-8".into()),
        context: Some("canary-9".into()),
        auth: Some(full()),
    };
    let orders = Bundle {
        default_auth: Some(full()),
        instance_auths: vec![own],
        apis: vec![
            api("1", "x", "https://u:canary-10@example.com/"),
            api("2", "x", "u:canary-11@example.com/"),
            api("3", "x", "https://u:ca/nary-12@[/"),
        ],
        ..bundle("b", "Orders")
    };
    let catalog = catalog(&snapshot([with(application("a", "Shop"), [orders])]));
    let body = String::from_utf8(catalog.body().to_vec()).unwrap();
    assert!(!body.contains("canary") && !body.contains("nary-12"), "{body}");
    assert!(!format!("{catalog:?}").contains("canary"));
}

#[test]
fn one_who_has_the_catalog_is_told_so() {
    let shop = || with(application("a", "Shop"), [bundle("b", "Orders")]);
    let first = catalog(&snapshot([shop()]));
    let tag = first.etag().to_string();
    assert!(catalog(&snapshot([shop()])).etag().is_named_by([tag.as_bytes()]));
    let more = Application { description: Some("more".into()), ..shop() };
    assert!(!catalog(&snapshot([more])).etag().is_named_by([tag.as_bytes()]));
}
