//! Whatever the plane says, in whatever order, is a catalog that platforms take.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;

use super::super::*;
use super::{after, catalog, read, snapshot};
use crate::snapshot::Credential;
use crate::snapshot::example::{api, application, auth, bundle};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[xX ./-]{0,3}", 1 => any::<String>(), 1 => "[ab]{95,130}"]
}

fn schema() -> impl Strategy<Value = Option<Box<str>>> {
    let texts = prop_oneof![
        Just("{}".to_owned()),
        Just(r##"{"$ref":"#/a"}"##.to_owned()),
        Just(r#"{"$ref":"a"}"#.to_owned()),
        (0usize..200).prop_map(|levels| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels))),
        any::<String>(),
    ];
    prop::option::of(texts.prop_map(Into::into))
}

fn any_bundle() -> impl Strategy<Value = Bundle> {
    let apis = prop::collection::btree_map("[1-3]", (name(), "(https://u:canary@)?[a-z:/@\\[]{0,6}"), 0..3);
    ("[1-5]", name(), schema(), apis, any::<bool>()).prop_map(|(id, name, request_schema, apis, default)| Bundle {
        request_schema,
        apis: apis.into_iter().map(|(id, (name, url))| api(&id, &name, &url)).collect(),
        default_auth: default.then(|| auth(Credential::Basic { username: "canary".into(), password: "canary".into() })),
        ..bundle(&id, &name)
    })
}

fn any_application() -> impl Strategy<Value = Application> {
    let bundles = prop::collection::vec(any_bundle(), 0..4);
    let labels = prop::collection::btree_map(any::<String>().prop_map(Into::into), "\\PC*".prop_map(Value::from), 0..2);
    ("[a-f]", name(), prop::option::of(name()), labels, bundles).prop_map(|(id, name, description, labels, bundles)| {
        let mut seen = BTreeSet::new();
        let bundles = bundles.into_iter().filter(|bundle| seen.insert(bundle.id.clone())).collect();
        Application { description: description.map(Into::into), labels, bundles, ..application(&id, &name) }
    })
}

fn applications() -> impl Strategy<Value = Vec<Application>> {
    prop::collection::vec(any_application(), 0..6).prop_map(|list| {
        let mut seen = BTreeSet::new();
        list.into_iter().filter(|application| seen.insert(application.id.clone())).collect()
    })
}

/// The names in an answer, which must be unique and such that a person can type them.
fn checked(entries: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let entries = entries.as_array().unwrap();
    let names: BTreeMap<_, _> = entries.iter().map(|entry| (text(&entry["id"]), text(&entry["name"]))).collect();
    assert_eq!(names.values().collect::<BTreeSet<_>>().len(), entries.len());
    for (entry, name) in entries.iter().map(|entry| (entry, text(&entry["name"]))) {
        let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        assert!(!name.is_empty() && name.bytes().all(plain), "{name}");
        assert!(!text(&entry["description"]).is_empty());
    }
    names
}

proptest! {
    #[test]
    fn whatever_the_plane_says_is_a_catalog(rounds in prop::collection::vec(applications(), 1..4)) {
        let mut names = GivenNames::default();
        for applications in rounds {
            let catalog = after(&names, &snapshot(applications.clone()));
            let page = read(&catalog);
            prop_assert!(!page.to_string().contains("canary"));
            let services = checked(&page["services"]);
            let listed: BTreeSet<_> = applications
                .iter()
                .filter(|application| !application.bundles.is_empty())
                .map(|application| application.id.to_string())
                .collect();
            prop_assert_eq!(services.keys().cloned().collect::<BTreeSet<_>>(), listed);
            for service in page["services"].as_array().unwrap() {
                let found = catalog.service(service["id"].as_str().unwrap()).unwrap();
                prop_assert_eq!(found.name().as_str(), service["name"].as_str().unwrap());
                for (id, name) in checked(&service["plans"]) {
                    prop_assert_eq!(found.plan(&id).unwrap().name().as_str(), name);
                }
            }
            names = catalog.names().clone();
        }
    }

    #[test]
    fn whoever_keeps_its_name_is_found_by_it_whatever_others_do(before in applications(), now in applications()) {
        let first = catalog(&snapshot(before.clone()));
        let kept: Vec<_> = before.into_iter().take(3).collect();
        let ids: BTreeSet<_> = kept.iter().map(|application| application.id.clone()).collect();
        let others = now.into_iter().filter(|application| !ids.contains(&application.id));
        let second = after(first.names(), &snapshot(kept.iter().cloned().chain(others)));
        for service in first.services().filter(|service| ids.contains(service.id())) {
            let same = second.service(service.id().as_str()).unwrap();
            prop_assert_eq!(same.name(), service.name());
            let names = |service: &Service| service.plans().map(|plan| plan.name().clone()).collect::<Vec<_>>();
            prop_assert_eq!(names(same), names(service));
        }
    }

    #[test]
    fn the_order_of_the_lists_does_not_matter(
        (listed, shuffled) in applications().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
    ) {
        let reversed = shuffled.into_iter().map(|mut application| {
            application.bundles.reverse();
            application.bundles.iter_mut().for_each(|bundle| bundle.apis.reverse());
            application
        });
        prop_assert_eq!(catalog(&snapshot(listed)).body(), catalog(&snapshot(reversed)).body());
    }

    #[test]
    fn tags_are_equal_where_the_bytes_are(
        (one, other) in prop_oneof![
            (applications(), applications()),
            applications().prop_map(|list| (list.clone(), list)),
        ],
    ) {
        let (one, other) = (catalog(&snapshot(one)), catalog(&snapshot(other)));
        prop_assert_eq!(one.etag() == other.etag(), one.body() == other.body());
    }
}
