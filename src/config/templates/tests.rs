//! What may stand in `[[template]]`, and what is said where it may not.

use std::path::Path;

use super::*;
use crate::config::{Settings, parse};

const FULL: &str = r#"
[[template]]
name        = "nginx-upstreams"
source      = "nginx/upstreams.conf.j2"
for_each    = "application"
when        = "application.bundles"
destination = "/etc/nginx/conf.d/{{ application.slug }}.conf"
owner       = "root"
group       = "www-data"
mode        = "0644"
validate    = ["nginx", "-t"]
reload      = ["nginx.service"]
on_change   = ["/usr/local/bin/notify", "--app"]
on_conflict = "keep"
wait        = "2s:30s"
"#;

fn settings(text: &str) -> Settings {
    parse(text, Path::new("agent.toml")).unwrap()
}

fn refusal(text: &str) -> String {
    parse(text, Path::new("agent.toml")).unwrap_err().to_string()
}

/// A rule of its least keys, and these besides.
fn rule(more: &str) -> String {
    let destination = if more.contains("destination") { "" } else { "destination = \"/etc/app/x\"\n" };
    let content = if more.contains("content") { "" } else { "content = \"\"\n" };
    format!("[[template]]\nname = \"x\"\n{content}{destination}{more}\n")
}

#[test]
fn a_rule_with_every_key_is_read_and_written_again() {
    let settings = settings(FULL);
    let [rule] = &settings.template[..] else { panic!("one rule") };
    assert_eq!(rule.for_each, Each::Application);
    assert_eq!(rule.source, Source::File("nginx/upstreams.conf.j2".parse().unwrap()));
    assert_eq!(rule.mode.bits(), 0o644);
    let install = rule.install.as_ref().unwrap();
    assert_eq!(install.on_conflict, OnConflict::Keep);
    assert_eq!(install.validate.as_ref().unwrap().command(), "nginx");
    let wait = install.wait.unwrap();
    assert_eq!((wait.min(), wait.max()), (Duration::from_secs(2), Duration::from_secs(30)));
    let again = toml::to_string(&settings).unwrap();
    assert_eq!(parse(&again, Path::new("x")).unwrap(), settings);
}

#[test]
fn a_rule_of_its_least_keys_renders_once_for_the_owner_and_the_group() {
    let settings = settings("[[template]]\nname = \"a\"\ncontent = \"x\"\ndestination = \"a.txt\"\n");
    let rule = &settings.template[0];
    assert_eq!((rule.for_each, rule.mode.bits(), &rule.install), (Each::Once, 0o640, &None));
    assert_eq!(rule.source, Source::Inline("x".into()));
}

#[test]
fn keys_that_do_not_go_together_are_told_with_their_line() {
    for (text, said) in [
        (rule("source = \"x.j2\""), "needs either `source`"),
        ("[[template]]\nname = \"x\"\ndestination = \"a\"\n".into(), "needs either `source`"),
        (rule("destination = \"a\"\nowner = \"root\""), "`owner`, which is for files that are installed"),
        (rule("destination = \"a\"\nvalidate = [\"true\"]"), "`validate`"),
        (rule("destination = \"a\"\non_conflict = \"keep\""), "`on_conflict`"),
        (rule("destination = \"a\"\nwait = \"1s:2s\""), "`wait`"),
    ] {
        let refusal = refusal(&text);
        assert!(refusal.contains(said) && refusal.contains("line "), "{refusal}");
    }
    settings(&rule("destination = \"a\"\nmode = \"0755\"\nreload = [\"a.service\"]\non_change = [\"true\"]"));
}

#[test]
fn two_rules_of_one_name_are_refused() {
    let text = format!("{}{}", rule(""), rule(""));
    let refusal = refusal(&text);
    assert!(refusal.contains("two templates have the name x"), "{refusal}");
}

#[test]
fn a_value_that_cannot_be_meant_is_told_with_its_line() {
    for (key, said) in [
        ("on_change = \"nginx -s reload\"", "sequence"),
        ("on_change = []", "this one is empty"),
        ("on_change = [\"nginx -s reload\"]", "a line for a shell"),
        ("mode = \"4755\"", "special bit"),
        ("mode = 640", "string"),
        ("reload = [\"nginx\"]", "nginx.service"),
        ("owner = \"0\"", "name of a user"),
        ("wait = \"30s:2s\"", "longer than its second"),
        ("wait = \"2s\"", "two durations"),
        ("for_each = \"apis\"", "`application`"),
        ("destination = \"/x\"", "must name a directory"),
        ("destination = \"/etc/../x\"", "\\\"..\\\""),
        ("reloads = []", "unknown field `reloads`"),
    ] {
        let refusal = refusal(&rule(key));
        assert!(refusal.contains("line ") && refusal.contains(&said.replace("\\\"", "\"")), "{key}: {refusal}");
    }
    let path = |source: &str| format!("[[template]]\nname = \"x\"\nsource = \"{source}\"\ndestination = \"a\"\n");
    for source in ["../x", "/etc/x", "a/../b", "", "a/", "./a"] {
        assert!(refusal(&path(source)).contains("below the directory of templates"), "{source}");
    }
}
