//! What is rendered for what, in which order, and where it goes.

use std::path::Path;

use proptest::prelude::*;

use super::landscape::{applications, landscape, of};
use super::{Never, load, printed, render, rule};
use crate::snapshot::example::application;
use crate::template::{DestinationPattern, ItemPlace, Named};

#[test]
fn a_template_is_rendered_for_each_of_what_it_is_for_and_only_where_its_expression_holds() {
    let destinations = |for_each: &str, name: &str, when: &str| {
        let text = rule("x", "", &format!("for_each = \"{for_each}\"\ndestination = \"{name}\"\nwhen = '''{when}'''"));
        render(&text, &landscape()).unwrap().into_keys().collect::<Vec<_>>()
    };
    let slugs = "{{ application.slug }}/{{ bundle.slug }}";
    assert_eq!(destinations("application", "{{ application.slug }}", "true"), ["crm", "warehouse-eu"]);
    assert_eq!(destinations("application", "{{ application.id }}", "application.base_url"), ["app-1"]);
    assert_eq!(destinations("bundle", slugs, "bundle.apis"), ["crm/bills", "crm/people", "warehouse-eu/orders"]);
    assert_eq!(destinations("credential", slugs, "true"), ["crm/people", "warehouse-eu/orders"]);
    assert_eq!(destinations("credential", slugs, "credential.type == 'oauth'"), ["crm/people"]);
    assert_eq!(destinations("api", "{{ api.slug }}", "'warehouse' in api.target_url"), ["orders-v2", "stock"]);
    assert_eq!(destinations("event", "{{ event.key }}", "true"), ["order-shipped"]);
    assert_eq!(destinations("once", "{{ runtime.id }}", "applications | length == 2"), ["runtime-1"]);
}

#[test]
fn fields_are_those_of_the_published_files_and_secrets_come_only_by_name() {
    for (template, wanted) in [
        ("{{ runtime.id }} {{ host.name }}", "runtime-1 host-1"),
        ("{{ applications[0].normalized_name }}", "mp-warehouse-eu"),
        ("{{ applications[0].labels.region.b | tojson }}", "[1,null]"),
        ("{{ applications[0].labels | tojson }}", r#"{"region":{"a":true,"b":[1,null]}}"#),
        ("{{ applications[0].bundles[0].apis[0].version.value }}", "v2"),
        ("{{ applications[0].bundles[0].apis | map(attribute='key') | join(' ') }}", "orders-v2 stock"),
        ("{{ applications[0].bundles[0].credentials.headers['X-Api-Key'][0] }}", "canary-header"),
        ("{{ applications[0].bundles[0].credentials.csrf.url }}", "https://api.warehouse.example.com/csrf?canary"),
        ("{{ applications[1].bundles[1].slug }}", "bills"),
        ("{{ applications[1].bundles[1].credentials.usable }}", "false"),
        ("{{ applications[1].bundles[1].credentials.password is none }}", "true"),
        ("{{ applications[1].bundles[0].credentials.client_secret }}", "canary-secret"),
        (
            "{{ applications[1].bundles[0].credentials.instances | tojson }}",
            r#"[{"id":"auth-1","condition":"SUCCEEDED"}]"#,
        ),
        ("{{ applications[1].base_url | default('-') }}", "-"),
        ("{{ 'no' if not applications }}", ""),
        (
            "{% for a in applications %}\n  {% if a.bundles %}\n{{ a.slug }}\n  {% endif %}\n{% endfor %}\n",
            "warehouse-eu\ncrm\n",
        ),
    ] {
        assert_eq!(printed(template).unwrap(), wanted, "{template}");
    }
    let whole = printed("{{ applications | tojson }}").unwrap();
    assert!(whole.contains("\"usable\":true") && !whole.contains("canary"), "{whole}");
    let version = printed("{{ agent.version }}").unwrap();
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn nothing_that_changes_by_itself_is_there() {
    for name in ["generation", "now", "random", "debug", "env"] {
        assert!(printed(&format!("{{{{ {name} }}}}")).is_err(), "{name}");
        assert!(printed(&format!("{{{{ {name}() }}}}")).is_err(), "{name}");
    }
}

#[test]
fn the_same_landscape_renders_the_same_in_the_same_order() {
    let text =
        rule("a", "{{ application | tojson }}", "for_each = \"application\"\ndestination = \"{{ application.slug }}\"")
            + &rule("b", "{{ applications | tojson }}", "destination = \"/etc/app/all.json\"");
    let sequence = |landscape| {
        let mut files = Vec::new();
        load(&text, Path::new("/nonexistent"))
            .unwrap()
            .render::<Never>(&landscape, &mut |rendered| {
                files.push((rendered.index, rendered.destination.clone(), rendered.content.to_vec()));
                Ok(())
            })
            .unwrap();
        files
    };
    let mut shuffled = applications();
    shuffled.reverse();
    let files = sequence(landscape());
    assert_eq!(files, sequence(of(shuffled)));
    assert_eq!(files.iter().map(|(index, ..)| *index).collect::<Vec<_>>(), [0, 0, 1]);
}

#[test]
fn two_files_of_one_place_are_refused_by_both_their_names() {
    let twice = rule("first", "", "for_each = \"application\"\ndestination = \"all.conf\"");
    let said = render(&twice, &landscape()).unwrap_err();
    assert!(said.contains("application warehouse-eu") && said.contains("application crm"), "{said}");
    for (one, other) in [("a/b", "a"), ("a", "a/b/c"), ("/etc/x/y", "/etc/x/y")] {
        let text = rule("first", "", &format!("destination = \"{one}\""))
            + &rule("second", "", &format!("destination = \"{other}\""));
        let said = render(&text, &landscape()).unwrap_err();
        assert!(said.contains("first") && said.contains("second") && said.contains("in the way"), "{said}");
    }
}

#[test]
fn the_sink_ends_the_rendering_with_its_own_error() {
    let text = rule("x", "", "for_each = \"application\"\ndestination = \"{{ application.slug }}\"");
    let mut given = 0;
    let error = load(&text, Path::new("/nonexistent"))
        .unwrap()
        .render(&landscape(), &mut |_| {
            given += 1;
            Err("the disk is full".to_owned())
        })
        .unwrap_err();
    assert_eq!((given, error.to_string()), (1, "the disk is full".to_owned()));
}

fn pattern(destination: &str) -> DestinationPattern {
    let settings = super::settings(&rule("x", "", &format!("destination = '{destination}'")));
    DestinationPattern::compile(&settings.template[0]).unwrap()
}

fn place(id: &str, slug: &str) -> ItemPlace {
    let slug = slug.to_owned().try_into().unwrap();
    ItemPlace { application: Some(Named { id: id.parse().unwrap(), slug }), ..ItemPlace::default() }
}

#[test]
fn ids_and_slugs_are_enough_to_come_to_the_same_place_again() {
    let text =
        rule("x", "", "for_each = \"api\"\ndestination = \"/etc/x/{{ bundle.id }}/{{ api.slug | upper }}.conf\"");
    let templates = load(&text, Path::new("/nonexistent")).unwrap();
    let (_, destination) = templates.rules().next().unwrap();
    let mut seen = 0;
    templates
        .render::<Never>(&landscape(), &mut |rendered| {
            let told = serde_json::to_string(&rendered.item).unwrap();
            let item: ItemPlace = serde_json::from_str(&told).unwrap();
            let runtime = "runtime-1".parse().unwrap();
            assert_eq!(destination.compute(&runtime, &item).unwrap(), rendered.destination);
            seen += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, 4);
}

#[test]
fn a_destination_uses_nothing_but_ids_and_slugs() {
    for name in
        ["application.name", "application.base_url", "credential.username", "host.name", "applications", "bundle.slug"]
    {
        let said = pattern(&format!("a/{{{{ {name} }}}}"))
            .compute(&"r".parse().unwrap(), &place("id", "slug"))
            .unwrap_err()
            .to_string();
        assert!(said.contains("is undefined") && said.contains("column 6"), "{said}");
    }
}

#[test]
fn no_id_leads_to_another_directory() {
    for id in ["../x", "a/b", "/etc/passwd", "a\\/b/"] {
        let error =
            pattern("/etc/app/{{ application.id }}").compute(&"r".parse().unwrap(), &place(id, "s")).unwrap_err();
        assert!(error.to_string().contains("another directory"), "{error}");
    }
    for (destination, id) in [
        ("/etc/app/{{ application.id }}", ".."),
        ("/etc/app/.{{ application.id }}", "."),
        ("{{ application.id }}", "manifest.json"),
    ] {
        assert!(pattern(destination).compute(&"r".parse().unwrap(), &place(id, "s")).is_err(), "{destination} {id}");
    }
}

proptest! {
    #[test]
    fn whatever_an_id_is_the_path_stays_below_its_directory(id in "[./a\\\\\u{202e}é-]{1,12}|[^\\s\\pC]{1,40}") {
        let item = place(&id, "slug");
        for (destination, depth) in [("/etc/app/{{ application.id }}.conf", 4), ("/etc/app/{{ application.id }}", 4), ("/etc/app/{{ application.id }}/x", 5)] {
            if let Ok(path) = pattern(destination).compute(&"r".parse().unwrap(), &item) {
                prop_assert!(path.starts_with("/etc/app"));
                prop_assert_eq!(path.components().count(), depth);
                prop_assert!(path.components().all(|part| !matches!(part, std::path::Component::ParentDir)));
            }
        }
    }

    #[test]
    fn any_application_has_a_file_of_its_own(names in prop::collection::vec(any::<String>(), 1..6)) {
        let applications = names.iter().enumerate().map(|(id, name)| application(&id.to_string(), name)).collect();
        let text = rule("x", "{{ application.name }}", "for_each = \"application\"\ndestination = \"{{ application.slug }}.x\"");
        let files = render(&text, &of(applications)).unwrap();
        prop_assert_eq!(files.len(), names.len());
        for (text, item) in files.into_values() {
            let id: usize = item.application.unwrap().id.as_str().parse().unwrap();
            prop_assert_eq!(&text, &names[id]);
        }
    }
}
