//! What templates may not do: read elsewhere, go on for ever, grow without end.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::landscape::{landscape, of};
use super::{load, printed, render, render_from, rule};
use crate::snapshot::example::application;

#[test]
fn work_without_end_ends() {
    for content in [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
    ] {
        let said = printed(content).unwrap_err();
        assert!(said.contains("templates.max_work"), "{said}");
    }
    let said = printed("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}").unwrap_err();
    assert!(said.contains("recursion limit"), "{said}");
    let said = render(
        &rule(
            "x",
            "",
            "destination = \"a/{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}\"",
        ),
        &landscape(),
    )
    .unwrap_err();
    assert!(said.contains("its destination") && said.contains("max_work"), "{said}");
}

#[test]
fn a_file_is_as_large_as_is_allowed_and_no_larger() {
    let text = |length: usize| format!("[templates]\nmax_output = \"1 KiB\"\n{}", rule("x", &"x".repeat(length), ""));
    assert_eq!(render(&text(1024), &landscape()).unwrap()["out"].0.len(), 1024);
    let said = render(&text(1025), &landscape()).unwrap_err();
    assert!(said.contains("larger than 1024 bytes") && said.contains("templates.max_output"), "{said}");
}

#[test]
fn there_are_as_many_files_as_are_allowed_and_no_more() {
    let many = || of((0..3).map(|id| application(&id.to_string(), "A")).collect());
    let text = |files: usize| {
        let rule = rule("x", "", "for_each = \"application\"\ndestination = \"{{ application.slug }}\"");
        format!("[templates]\nmax_files = {files}\n{rule}")
    };
    assert_eq!(render(&text(3), &many()).unwrap().len(), 3);
    let said = render(&text(2), &many()).unwrap_err();
    assert!(said.contains("more than 2 files") && said.contains("templates.max_files"), "{said}");
}

/// A directory of templates, and a secret beside it.
fn directory() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("templates/parts")).unwrap();
    fs::write(root.path().join("outside"), "canary").unwrap();
    let put = |name: &str, text: &str| fs::write(root.path().join("templates").join(name), text).unwrap();
    put("main.j2", "{% include 'parts/a.j2' %}{% from 'macros.j2' import hello %}{{ hello('x') }}\n");
    put("parts/a.j2", "a of {{ runtime.id }}\n");
    put("macros.j2", "{% macro hello(name) %}hello {{ name }}{% endmacro %}");
    put("loop.j2", "{% include 'loop.j2' %}");
    symlink("parts/a.j2", root.path().join("templates/inside.j2")).unwrap();
    symlink("../outside", root.path().join("templates/outside.j2")).unwrap();
    symlink(root.path().join("outside"), root.path().join("templates/absolute.j2")).unwrap();
    symlink("..", root.path().join("templates/up")).unwrap();
    root
}

fn file(name: &str) -> String {
    format!("[[template]]\nname = \"x\"\nsource = \"{name}\"\ndestination = \"out\"\n")
}

#[test]
fn files_below_the_directory_are_included_whatever_leads_there() {
    let root = directory();
    let templates = root.path().join("templates");
    let printed = |text: &str| Ok::<_, String>(render_from(text, &landscape(), &templates)?.remove("out").unwrap().0);
    assert_eq!(printed(&file("main.j2")).unwrap(), "a of runtime-1\nhello x\n");
    assert_eq!(printed(&file("inside.j2")).unwrap(), "a of runtime-1\n");
    let computed = "{% include 'parts/' ~ 'a' ~ '.j2' %}{% include 'parts/none.j2' ignore missing %}";
    assert_eq!(printed(&rule("x", computed, "")).unwrap(), "a of runtime-1\n");
}

#[test]
fn nothing_outside_the_directory_is_read() {
    let root = directory();
    let templates = root.path().join("templates");
    for name in ["outside.j2", "absolute.j2", "up/outside"] {
        for text in [
            file(name),
            rule("x", &format!("{{% include '{name}' %}}"), ""),
            rule("x", &format!("{{% include '{name}' ~ '' %}}"), ""),
        ] {
            let said = render_from(&text, &landscape(), &templates).unwrap_err();
            assert!(said.contains("leads out of the directory") && !said.contains("canary"), "{said}");
        }
    }
    for name in ["../outside", "/etc/passwd", "parts/../../outside"] {
        let said =
            render_from(&rule("x", &format!("{{% include '{name}' %}}"), ""), &landscape(), &templates).unwrap_err();
        assert!(said.contains("below the directory of templates"), "{said}");
    }
}

#[test]
fn what_is_no_text_of_a_sane_size_is_not_a_template() {
    let root = directory();
    let templates = root.path().join("templates");
    fs::write(templates.join("large"), " ".repeat(1024 * 1024 + 1)).unwrap();
    fs::write(templates.join("binary"), b"\xff\xfe").unwrap();
    nix::unistd::mkfifo(&templates.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, said) in [
        ("large", "larger than 1 MiB"),
        ("binary", "not UTF-8"),
        ("fifo", "not a regular file"),
        ("parts", "not a regular file"),
        ("none", "there is no file"),
    ] {
        let error = load(&file(name), &templates).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains(templates.join(name).to_str().unwrap()), "{error}");
    }
    let said = load(&file("main.j2"), Path::new("/nonexistent/templates")).unwrap_err().to_string();
    assert!(said.contains("cannot read /nonexistent/templates"), "{said}");
}

#[test]
fn an_error_in_an_included_file_is_told_with_that_file() {
    let root = directory();
    let templates = root.path().join("templates");
    fs::write(templates.join("parts/a.j2"), "one\n  {{ runtime.name }}\n").unwrap();
    let said = render_from(&file("main.j2"), &landscape(), &templates).unwrap_err();
    assert!(
        said.contains("parts/a.j2, line 2, column 6") && said.contains("the names in the runtime are: id"),
        "{said}"
    );
    fs::write(templates.join("parts/a.j2"), "{% if %}").unwrap();
    let said = load(&file("main.j2"), &templates).unwrap_err().to_string();
    assert!(said.contains("parts/a.j2, line 1") && said.contains("not written as templates are"), "{said}");
    let said = render_from(&file("loop.j2"), &landscape(), &templates).unwrap_err();
    assert!(said.contains("recursion limit"), "{said}");
}
