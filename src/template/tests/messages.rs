//! What is said of a template that is wrong: where, what, which names there are, and never a value.

use super::landscape::landscape;
use super::{printed, render, rule};

#[test]
fn a_misspelt_name_is_told_with_its_place_and_the_names_that_there_are() {
    let each = "for_each = \"application\"\ndestination = \"{{ application.slug }}\"";
    let said = render(&rule("x", "one\ntwo {{ application.nmae }}", each), &landscape()).unwrap_err();
    for part in [
        "template x",
        "application warehouse-eu",
        "line 2, column 8",
        "`application.nmae` is undefined",
        "the names in an application are: base_url, bundles",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = render(&rule("x", "{{ application.labels.site | upper }}", each), &landscape()).unwrap_err();
    assert!(said.contains("`application.labels.site` is undefined; the names in the labels are: region"), "{said}");
    let said = render(
        &rule("x", "{% for b in application.bundles %}{{ b.credentials.passwrod | shell_quote }}{% endfor %}", each),
        &landscape(),
    )
    .unwrap_err();
    assert!(
        said.contains("`b.credentials.passwrod` is undefined")
            && said.contains("client_secret")
            && said.contains("password"),
        "{said}"
    );
}

#[test]
fn names_that_nothing_will_have_are_found_before_anything_is_rendered() {
    let said = render(&rule("x", "a\n {{ api.name }}", "for_each = \"bundle\""), &landscape()).unwrap_err();
    assert!(said.contains("cannot be used") && said.contains("line 2, column 5"), "{said}");
    assert!(
        said.contains("for_each = \"bundle\" has: agent, application, applications, bundle, host, runtime"),
        "{said}"
    );
    let said =
        render(&rule("x", "", "when = \"aplication.bundles\"\nfor_each = \"application\""), &landscape()).unwrap_err();
    assert!(said.contains("its expression `when`, line 1, column 1") && said.contains("aplication"), "{said}");
    let said =
        render(&rule("x", "", "when = \"application.bundels\"\nfor_each = \"application\""), &landscape()).unwrap_err();
    assert!(said.contains("the names in an application are: base_url, bundles"), "{said}");
}

#[test]
fn what_is_not_written_as_templates_are_is_told_with_its_place() {
    for (content, more, place) in [
        ("one\n{% if %}", "", "its content, line 2"),
        ("{{ 'a }}", "", "its content, line 1"),
        ("{% for x in applications %}", "", "its content, line 1"),
        ("", "when = \"a b\"", "its expression `when`"),
        ("", "destination = \"a/{{ b\"", "its destination"),
    ] {
        let said = render(&rule("x", content, more), &landscape()).unwrap_err();
        assert!(said.contains(place) && said.contains("not written as templates are"), "{said}");
    }
}

#[test]
fn none_and_what_is_no_text_are_not_printed() {
    for (content, reason) in [
        ("{{ applications[1].base_url }}", "it is none"),
        ("{{ applications[1].base_url | shell_quote }}", "is none"),
        ("{{ applications[1] }}", "list or a table"),
        ("{{ applications }}", "list or a table"),
        ("{{ applications[7] }}", "undefined"),
        ("{{ applications[0].name | no_such }}", "no such filter"),
        ("{{ applications[0].name.upper() }}", "no such method"),
        ("{{ applications[0].name + 1 }}", "tried to use + operator on unsupported types string and number"),
        ("{{ no_such() }}", "`no_such` is undefined"),
        ("{{ '$' | nginx_quote }}", "always takes for a variable"),
    ] {
        let said = printed(content).unwrap_err();
        assert!(said.contains(reason) && said.contains("line 1"), "{content}: {said}");
    }
}

#[test]
fn no_message_holds_a_value() {
    let orders = "applications[0].bundles[0].credentials";
    let people = "applications[1].bundles[0].credentials";
    // That they are what they are taken for; else nothing below could fail.
    for secret in
        ["applications[0].bundles[0].credentials.password", "applications[1].bundles[0].credentials.client_secret"]
    {
        assert!(printed(&format!("{{{{ {secret} }}}}")).unwrap().contains("canary"));
    }
    let secrets = [
        format!("{orders}.password"),
        format!("{orders}.username"),
        format!("{orders}.headers['X-Api-Key'][0]"),
        format!("{orders}.query_parameters.key[0]"),
        format!("{orders}.csrf.url"),
        format!("{people}.client_secret"),
        format!("{people}.token_url"),
    ];
    let misuses = [
        "{{ SECRET.x }}",
        "{{ SECRET.x.y }}",
        "{{ SECRET() }}",
        "{{ SECRET.x() }}",
        "{{ SECRET + 1 }}",
        "{{ -SECRET }}",
        "{{ SECRET * 99999999999 }}",
        "{{ SECRET / 0 }}",
        "{{ SECRET // SECRET }}",
        "{{ SECRET | int }}",
        "{{ SECRET | float }}",
        "{{ SECRET | round }}",
        "{{ SECRET | abs }}",
        "{{ SECRET | sum }}",
        "{{ SECRET | items }}",
        "{{ SECRET | dictsort }}",
        "{{ SECRET | batch(SECRET) }}",
        "{{ SECRET | format(1, 2) }}",
        "{{ ('%s %d' ~ SECRET) | format(SECRET, SECRET) }}",
        "{{ '%d' | format(SECRET) }}",
        "{{ [1] | map(SECRET) | list }}",
        "{{ [1] | select(SECRET) | list }}",
        "{{ [1] | selectattr(SECRET, SECRET) | list }}",
        "{{ [applications[0]] | map(attribute=SECRET) | join }}",
        "{{ applications[0][SECRET] }}",
        "{{ applications[0].labels[SECRET] }}",
        "{{ [1][SECRET] }}",
        "{{ dict([SECRET]) }}",
        "{{ range(SECRET) }}",
        "{{ SECRET | default(1, 2, SECRET) }}",
        "{{ SECRET | replace(SECRET) }}",
        "{{ SECRET | tojson(indent=SECRET) }}",
        "{{ SECRET | shell_quote(SECRET) }}",
        "{{ (SECRET ~ '\n') | nginx_quote }}",
        "{{ (SECRET ~ ':') | basic_auth(SECRET) }}",
        "{{ SECRET | url(SECRET) }}",
        "{{ (SECRET ~ ' ') | url('host') ~ (SECRET | url('host')) }}",
        "{{ 'https://a.b' | url(SECRET) }}",
        "{{ SECRET | systemd_escape(path=SECRET) }}",
        "{{ ('../' ~ SECRET) | systemd_escape(path=true) }}",
        "{{ none | totoml ~ SECRET }}",
        "{{ {SECRET: none} | totoml }}",
        "{{ {SECRET: 1}[SECRET ~ 'x'] }}",
        "{% include SECRET %}",
        "{% include [SECRET, SECRET ~ 'x'] %}",
        "{% include '../' ~ SECRET %}",
        "{% extends SECRET %}",
        "{% import SECRET as x %}",
        "{% for a, b in [SECRET] %}{% endfor %}",
        "{% for a, b in [[SECRET]] %}{% endfor %}",
        "{% set a, b = [SECRET] %}",
        "{% set ns = namespace() %}{% set ns[SECRET] = 1 %}{{ ns.x }}",
        "{% macro m(a) %}{{ a.x }}{% endmacro %}{{ m(SECRET) }}",
        "{% macro m(a) %}{% endmacro %}{{ m(SECRET, SECRET, b=SECRET) }}",
        "{% set x = SECRET %}{{ x.y.z }}",
        "{{ caller(SECRET) }}",
        "{{ 1 if SECRET is no_such }}",
        "{{ SECRET is divisibleby(SECRET) }}",
        "{{ SECRET | no_such }}",
        "{{ loop.x ~ SECRET }}",
    ];
    let landscape = landscape();
    let mut refused = 0;
    for secret in &secrets {
        for misuse in misuses {
            // In capitals, a secret is not the name of itself.
            let content = misuse.replace("SECRET", secret);
            for text in [
                rule("x", &content, ""),
                format!("{}\n", rule("x", &format!("{{% raw %}}\n{{% endraw %}}{content}"), "")),
            ] {
                if let Err(said) = render(&text, &landscape) {
                    refused += 1;
                    assert!(!said.contains("canary"), "{content}: {said}");
                }
            }
        }
    }
    assert!(refused > secrets.len() * misuses.len(), "most of them are errors, and {refused} were");
}

#[test]
fn no_secret_is_in_what_is_shown_of_a_file() {
    let text = rule(
        "x",
        "{{ credential.type }} {{ credential.password or credential.client_secret }}",
        "for_each = \"credential\"\ndestination = \"{{ bundle.slug }}\"",
    );
    let templates = super::load(&text, std::path::Path::new("/nonexistent")).unwrap();
    templates
        .render::<super::Never>(&landscape(), &mut |rendered| {
            assert!(rendered.content.windows(6).any(|bytes| bytes == b"canary"));
            assert!(!format!("{rendered:?}").contains("canary"));
            Ok(())
        })
        .unwrap();
    assert!(!format!("{:?} {templates:?}", landscape()).contains("canary"));
}
