//! What is rendered for bindings: each with credentials of its own, and nobody else with those.

use std::path::Path;

use super::landscape::{applications, landscape, of, of_binding};
use super::{Never, load, render, rule};
use crate::snapshot::{Application, Condition, Credential, example};
use crate::template::ItemPlace;

const EACH: &str =
    "for_each = \"binding\"\ndestination = \"{{ application.slug }}/{{ bundle.slug }}/{{ binding.slug }}\"";

/// The applications, with these instance auths for the first bundle.
fn with(auths: Vec<crate::snapshot::InstanceAuth>) -> Vec<Application> {
    let mut applications = applications();
    applications[0].bundles[0].instance_auths = auths;
    applications
}

#[test]
fn each_binding_that_can_be_used_has_a_file_with_credentials_of_its_own() {
    let text = "{{ binding.id }}|{{ binding.instance_id }}|{{ binding.auth_id }}|{{ binding.slug }}|{{ bundle.id }}|\
                {{ credential.type }}|{{ credential.usable }}|{{ credential.password }}|\
                {% for instance in credential.instances %}{{ instance.id }}={{ instance.condition }}{% endfor %}|\
                {{ bundle.credentials.username }}";
    let files = render(&rule("x", text, EACH), &landscape()).unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["warehouse-eu/orders/till-4-north"], "one is pending still");
    let (text, item) = &files["warehouse-eu/orders/till-4-north"];
    assert_eq!(
        text,
        "Till_4_(north)|tills|auth-3|till-4-north|bundle-1|basic|true|canary till's \"4\"|auth-3=SUCCEEDED|canary-user"
    );
    assert_eq!(item.to_string(), "application warehouse-eu, bundle orders, binding till-4-north");
}

#[test]
fn bindings_come_in_the_order_of_their_instance_auths_and_have_names_of_their_own() {
    let granted = |id: &str, binding: &str| of_binding(id, binding, Condition::Succeeded, "canary");
    let mut unknown = granted("5", "unknown");
    unknown.auth = Some(example::auth(Credential::Unknown("Teapot".into())));
    let mut nobody = granted("6", "x");
    nobody.context = Some("{\"instance_id\":\"tills\",\"binding_id\":\"a b\"}".into());
    let auths = vec![
        granted("1", "Till"),
        granted("2", "till!"),
        of_binding("3", "refused", Condition::Failed, "canary"),
        of_binding("4", "given-back", Condition::Unused, "canary"),
        unknown,
        nobody,
        granted("7", "ÄÖÜ"),
    ];
    let mut seen = Vec::new();
    load(&rule("x", "", EACH), Path::new("/nonexistent"))
        .unwrap()
        .render::<Never>(&of(with(auths)), &mut |rendered| {
            let binding = rendered.item.binding.unwrap();
            seen.push((binding.id.to_string(), binding.slug.to_string()));
            Ok(())
        })
        .unwrap();
    let ids: Vec<_> = seen.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["Till", "till!", "ÄÖÜ"]);
    let slugs: Vec<_> = seen.iter().map(|(_, slug)| slug.as_str()).collect();
    assert!(slugs[0] == "till" && slugs[1].starts_with("till-") && slugs[2].starts_with("binding-"), "{slugs:?}");
}

#[test]
fn what_is_for_a_binding_is_not_there_for_its_bundle() {
    let mut applications = applications();
    applications[0].bundles[0].default_auth = None;
    let text = rule("bundles", "", "for_each = \"credential\"\ndestination = \"{{ bundle.slug }}\"")
        + &rule("all", "{% for a in applications %}{{ a | tojson }}{% endfor %}", "destination = \"all\"")
        + &rule(
            "bundle",
            "{{ bundle.credentials.usable }}{{ bundle.credentials.password is none }}",
            "for_each = \"bundle\"\nwhen = \"bundle.slug == 'orders'\"\ndestination = \"of-bundle\"",
        );
    let files = render(&text, &of(applications)).unwrap();
    assert_eq!(files.keys().collect::<Vec<_>>(), ["all", "of-bundle", "people"]);
    assert_eq!(files["of-bundle"].0, "falsetrue");
    assert!(!files["all"].0.contains("canary till"), "{}", files["all"].0);
}

#[test]
fn the_place_of_a_binding_is_enough_to_come_to_its_destination_again() {
    let destination = "for_each = \"binding\"\ndestination = \"/etc/x/{{ binding.id }}.{{ binding.slug | upper }}\"";
    let templates = load(&rule("x", "", destination), Path::new("/nonexistent")).unwrap();
    let (_, pattern) = templates.rules().next().unwrap();
    let mut seen = Vec::new();
    templates
        .render::<Never>(&landscape(), &mut |rendered| {
            let item: ItemPlace = serde_json::from_str(&serde_json::to_string(&rendered.item).unwrap()).unwrap();
            assert_eq!(pattern.compute(&"runtime-1".parse().unwrap(), &item).unwrap(), rendered.destination);
            seen.push(rendered.destination.display().to_string());
            Ok(())
        })
        .unwrap();
    assert_eq!(seen, ["/etc/x/Till_4_(north).TILL-4-NORTH"]);
}

#[test]
fn no_id_of_a_binding_leads_to_another_directory() {
    let auths = vec![of_binding("1", "../../shadow", Condition::Succeeded, "canary")];
    let destination = "for_each = \"binding\"\ndestination = \"/etc/x/{{ binding.id }}\"";
    let said = render(&rule("x", "", destination), &of(with(auths))).unwrap_err();
    assert!(said.contains("another directory") && said.contains("binding shadow"), "{said}");
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn names_of_a_binding_are_told_where_one_is_misspelt_or_not_there() {
    let said = render(&rule("x", "{{ binding.name }}", EACH), &landscape()).unwrap_err();
    assert!(said.contains("the names in a binding are: auth_id, id, instance_id, slug"), "{said}");
    let each = "for_each = \"credential\"\ndestination = \"{{ bundle.slug }}\"";
    let said = render(&rule("x", "{{ binding.id }}", each), &landscape()).unwrap_err();
    assert!(said.contains("has: agent, application, applications, bundle, credential, host, runtime"), "{said}");
    let said = render(&rule("x", "{{ api.id }}", EACH), &landscape()).unwrap_err();
    assert!(
        said.contains(
            "for_each = \"binding\" has: agent, application, applications, binding, bundle, credential, host, runtime"
        ),
        "{said}"
    );
}
