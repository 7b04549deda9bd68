//! Holds the manual to the program: what can be configured, called or read by a hook has its entry in the pages.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use clap::CommandFactory as _;
use runtime_agent::cli::Cli;
use runtime_agent::config::{Settings, parse};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The pages and completions, made once, as `make manual` makes them.
static MANUAL: LazyLock<TempDir> = LazyLock::new(manual);

const PAGES: [&str; 6] = [
    "runtime-agent.8",
    "runtime-agent.toml.5",
    "runtime-agent-broker.7",
    "runtime-agent-files.7",
    "runtime-agent-hooks.7",
    "runtime-agent-templates.7",
];

/// Keys that have no default, and so are not in a table of the defaults, with a value that they can have.
const OPTIONAL: [(&str, &str); 10] = [
    ("plane.connector_url", "\"https://connector.example.com\""),
    ("plane.ca_bundle", "\"/ca.pem\""),
    ("renewal.before", "\"30days\""),
    ("report.events_url", "\"https://events.example.com\""),
    ("report.console_url", "\"https://console.example.com\""),
    ("report.labels", "{ site = \"fra-1\" }"),
    ("metrics.listen", "\"127.0.0.1:9464\""),
    ("metrics.textfile", "\"/var/lib/runtime-agent/metrics/runtime-agent.prom\""),
    ("broker.listen", "\"127.0.0.1:8089\""),
    ("broker.password_file", "\"/etc/runtime-agent/broker.password\""),
];

fn manual() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(env!("CARGO"))
        .args(["run", "--locked", "--quiet", "--package", "manual", "--"])
        .arg(folder.path())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SOURCE_DATE_EPOCH", "86400")
        .status()
        .unwrap();
    assert!(made.success());
    folder
}

fn page_path(name: &str) -> PathBuf {
    MANUAL.path().join("man").join(name)
}

/// The source of a page, with what only says how it looks taken away.
fn page(name: &str) -> String {
    let mut text = fs::read_to_string(page_path(name)).unwrap().replace("\\-", "-").replace("\\(dq", "\"");
    for font in ["\\fB", "\\fI", "\\fR", "\\fP"] {
        text = text.replace(font, "");
    }
    text
}

/// What stands under the heading of exactly this text, up to the next heading of that kind or a higher one.
fn section<'a>(page: &'a str, heading: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("{heading}\n"))?;
    let ends = if heading.starts_with(".SS") { &["\n.SS ", "\n.SH "][..] } else { &["\n.SH "] };
    Some(&rest[..ends.iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len())])
}

/// The entries of a list: the line that names each, without macro names and quotes, and what is said of it.
fn entries(text: &str) -> Vec<(String, &str)> {
    text.split("\n.TP\n")
        .skip(1)
        .map(|entry| {
            let (tag, said) = entry.split_once('\n').unwrap_or((entry, ""));
            let said =
                &said[..["\n.SH ", "\n.PP\n"].iter().filter_map(|end| said.find(end)).min().unwrap_or(said.len())];
            let tag = [".BR ", ".BI ", ".B ", ".I "].iter().find_map(|font| tag.strip_prefix(font)).unwrap_or(tag);
            (tag.replace('"', ""), said)
        })
        .collect()
}

fn said_of<'a>(entries: &'a [(String, &'a str)], tag: &str) -> &'a str {
    let said = entries.iter().find(|(named, _)| named.split([' ', ',']).any(|word| word == tag));
    said.unwrap_or_else(|| panic!("{tag} has no entry")).1
}

/// The settings in which nothing but `key` is set.
fn with(key: &str, value: &str) -> Settings {
    let (section, key) = key.split_once('.').unwrap();
    parse(&format!("[{section}]\n{key} = {value}\n"), Path::new("page"))
        .unwrap_or_else(|error| panic!("{section}.{key} = {value}: {error}"))
}

fn keys_with_defaults() -> Vec<String> {
    let table = toml::Table::try_from(Settings::default()).unwrap();
    let keys = |section: &str, values: &toml::Value| -> Vec<String> {
        values.as_table().unwrap().keys().map(|key| format!("{section}.{key}")).collect()
    };
    table.iter().flat_map(|(section, values)| keys(section, values)).collect()
}

#[test]
fn every_key_of_the_configuration_is_explained_with_its_default() {
    let page = page("runtime-agent.toml.5");
    let entries = entries(&page);
    let known = keys_with_defaults();
    for key in &known {
        let said = said_of(&entries, key);
        let default = said
            .lines()
            .find_map(|line| line.strip_prefix("Default: ")?.strip_suffix('.'))
            .unwrap_or_else(|| panic!("the default of {key} is not told"));
        assert_eq!(with(key, default), Settings::default(), "the default of {key} is told wrongly");
    }
    for (key, value) in OPTIONAL {
        assert_ne!(with(key, value), Settings::default(), "{key} is not a key without a default");
        let said = said_of(&entries, key).replace('\n', " ");
        assert!(said.contains("Not set by default"), "{key}");
    }
    for (key, _) in &entries {
        let known = known.contains(key) || OPTIONAL.iter().any(|(optional, _)| optional == key);
        assert!(known, "the page explains {key}, which is not a key");
    }
}

/// The subcommands that do something, by the words that call them.
fn leaves(cli: &clap::Command) -> Vec<(String, &clap::Command)> {
    let mut leaves = Vec::new();
    for command in cli.get_subcommands() {
        let below =
            command.get_subcommands().map(|below| (format!("{} {}", command.get_name(), below.get_name()), below));
        leaves.extend(below);
        if !command.has_subcommands() {
            leaves.push((command.get_name().to_owned(), command));
        }
    }
    leaves
}

#[test]
fn every_subcommand_and_option_is_on_the_page_of_the_command() {
    let page = page("runtime-agent.8");
    for (name, command) in leaves(&Cli::command()) {
        let section = section(&page, &format!(".SS {name}")).unwrap_or_else(|| panic!("{name} is not on the page"));
        let about = command.get_about().unwrap().to_string();
        assert!(section.contains(&about), "{name} is not explained");
        for argument in command.get_arguments() {
            let told = match (argument.get_long(), argument.get_value_names()) {
                (Some(long), _) => format!("--{long}"),
                (None, Some([name, ..])) if argument.is_required_set() => format!("<{name}>"),
                (None, Some([name, ..])) => format!("[{name}]"),
                (None, _) => panic!("{name} has an argument without a name"),
            };
            let said = said_of(&entries(section), &told).to_owned();
            assert!(said.contains(&argument.get_help().unwrap().to_string()), "{name} {told}: {said}");
        }
    }
    let options = section(&page, ".SH OPTIONS").unwrap();
    for option in ["--help", "--instance", "--version"] {
        said_of(&entries(&format!("\n{options}")), option);
    }
}

#[test]
fn every_exit_status_is_on_the_page_of_the_command() {
    use runtime_agent::command::exit;
    let page = page("runtime-agent.8");
    let list = format!("\n{}", section(&page, ".SH EXIT STATUS").unwrap());
    let statuses = [
        exit::FAILED,
        exit::DIFFERENT,
        exit::TROUBLE,
        exit::UNPAIRED,
        exit::DEGRADED,
        exit::ACTION_NEEDED,
        exit::NOT_RUNNING,
        exit::NOTHING,
        exit::TEMPLATE,
        exit::UNWELL,
        exit::CONFIG,
    ];
    for status in statuses {
        said_of(&entries(&list), &status.to_string());
    }
}

#[test]
fn everything_that_a_hook_is_told_is_on_the_page_of_hooks() {
    let (environment, document) = told_to_a_hook();
    assert!(environment.iter().any(|name| name == "RUNTIME_AGENT_GENERATION"), "{environment:?}");
    let page = page("runtime-agent-hooks.7");
    let list = format!("\n{}", section(&page, ".SH ENVIRONMENT").unwrap());
    let told = entries(&list);
    for name in &environment {
        said_of(&told, name);
    }
    assert_eq!(told.len(), environment.len(), "the page lists a variable that hooks do not get");
    let input = format!("\n{}", section(&page, ".SH STANDARD INPUT").unwrap());
    for key in document.as_object().unwrap().keys() {
        said_of(&entries(&input), key);
    }
    for key in document["added"][0].as_object().unwrap().keys() {
        assert!(section(&page, ".SH STANDARD INPUT").unwrap().contains(&format!(".B {key}\n")), "{key}");
    }
}

#[test]
fn every_key_and_every_filter_of_a_template_is_on_the_page_of_templates() {
    let text = "[[template]]\nname = 'x'\nsource = 'x'\nfor_each = 'application'\nwhen = 'true'\ndestination = '/etc/x/y'\n\
        owner = 'a'\ngroup = 'a'\nmode = '0640'\nvalidate = ['x']\nreload = ['x.service']\non_change = ['x']\n\
        on_conflict = 'keep'\nwait = '1s:2s'\n";
    let settings = parse(text, Path::new("page")).unwrap();
    let table = toml::Table::try_from(settings).unwrap();
    let mut keys: Vec<String> = table["template"][0].as_table().unwrap().keys().cloned().collect();
    keys.push("content".to_owned());
    let page = page("runtime-agent-templates.7");
    let list = |heading: &str| format!("\n{}", section(&page, heading).unwrap());
    let (told_keys, told_filters) = (list(".SH KEYS"), list(".SH FILTERS"));
    for key in &keys {
        said_of(&entries(&told_keys), key);
    }
    let told = entries(&told_keys);
    let told: Vec<_> = told.iter().flat_map(|(named, _)| named.split(", ")).map(str::trim).collect();
    assert_eq!(told.len(), keys.len(), "the page explains a key that there is not: {told:?}");
    for filter in runtime_agent::template::filters::FILTERS {
        let entries = entries(&told_filters);
        let said = said_of(&entries, filter);
        assert!(said.contains(".EX"), "{filter} has no example");
    }
    assert_eq!(entries(&told_filters).len(), runtime_agent::template::filters::FILTERS.len());
}

#[test]
fn every_metric_is_on_the_page_and_monitoring_asks_for_no_other() {
    use runtime_agent::metrics::{Name, PREFIX};
    let page = page("runtime-agent.8");
    let list = format!("\n{}", section(&page, ".SH METRICS").unwrap());
    let told = entries(&list);
    for name in Name::ALL {
        let entry = told.iter().find(|(tag, _)| tag.split(' ').next() == Some(&name.full()));
        let (tag, said) = entry.unwrap_or_else(|| panic!("{name:?} is not on the page"));
        assert!(said.replace('\n', " ").contains(name.help()), "{name:?}: {said}");
        assert!(name.label().is_none_or(|label| tag.ends_with(&format!("{{{label}}}"))), "{tag}");
    }
    assert_eq!(told.len(), Name::ALL.len(), "the page lists a metric that there is not");
    let samples: Vec<_> = Name::ALL.iter().flat_map(|name| name.samples()).collect();
    for file in ["alerts.yml", "dashboard.json"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/monitoring").join(file)).unwrap();
        let named: Vec<_> = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with(&format!("{PREFIX}_")))
            .collect();
        assert!(named.len() > 8, "{file} asks for metrics");
        for name in named {
            assert!(samples.iter().any(|sample| sample == name), "{file} asks for {name}, which there is not");
        }
    }
}

#[test]
fn the_dashboard_is_what_grafana_loads() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/monitoring/dashboard.json")).unwrap();
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36 && dashboard["id"].is_null());
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    for panel in panels {
        let targets = panel["targets"].as_array().unwrap();
        assert!(targets.iter().chain([panel]).all(|part| part["datasource"]["uid"] == "${datasource}"), "{panel}");
    }
}

/// The description of the broker's HTTP.
fn description() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/broker/openapi.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// What a reference in the description leads to; anything else leads to itself.
fn followed<'a>(description: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
    let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads elsewhere"));
    description.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// The operations of the description: method, path, and what is said of each.
fn operations(description: &Value) -> Vec<(String, String, &Value)> {
    let paths = description["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, item)| {
        let item = item.as_object().unwrap().iter();
        item.map(move |(method, operation)| (method.to_uppercase(), path.clone(), operation))
    });
    operations.collect()
}

#[test]
fn the_broker_serves_what_its_description_tells_and_nothing_else() {
    use runtime_agent::broker::http::ROUTES;
    let description = description();
    let told: BTreeSet<_> = operations(&description).into_iter().map(|(method, path, _)| (method, path)).collect();
    let served = ROUTES.iter().map(|route| (route.verb.as_str().to_owned(), route.path.to_owned()));
    assert_eq!(told, served.collect());
    assert_eq!(description["security"], json!([{ "basic": [] }]));
}

#[test]
fn the_description_of_the_broker_is_whole() {
    let description = description();
    let mut named = BTreeSet::new();
    references(&description, &mut named);
    for reference in &named {
        followed(&description, &json!({ "$ref": reference }));
    }
    for (kind, parts) in description["components"].as_object().unwrap() {
        for name in parts.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
            let reference = format!("#/components/{kind}/{name}");
            assert!(named.contains(&reference), "{reference} is asked for nowhere");
        }
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&description) {
        let operation_is = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{operation_is}");
        assert!(!operation["description"].as_str().unwrap().is_empty(), "{operation_is}");
        let parameters: Vec<_> =
            operation["parameters"].as_array().unwrap().iter().map(|one| followed(&description, one)).collect();
        let is_there = |place: &str, name: &str| {
            parameters.iter().any(|one| one["in"] == place && one["name"] == name && one["required"] == true)
        };
        assert!(is_there("header", "X-Broker-API-Version"), "{operation_is}");
        for name in path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()) {
            assert!(is_there("path", name), "{operation_is}: {name}");
        }
        assert_eq!(operation.get("requestBody").is_some(), ["PUT", "PATCH"].contains(&&*method), "{operation_is}");
        if let Some(body) = operation.get("requestBody") {
            let content = &followed(&description, body)["content"]["application/json"];
            assert!(content["schema"].is_object() && content["example"].is_object(), "{operation_is}");
        }
        let answers = operation["responses"].as_object().unwrap();
        for status in ["400", "401", "403", "412", "429", "431", "503"] {
            assert!(answers.contains_key(status), "{operation_is} does not tell of {status}");
        }
        for (status, answer) in answers {
            let answer = followed(&description, answer);
            let schema = &answer["content"]["application/json"]["schema"];
            assert!(status == "304" || schema.is_object(), "{operation_is}: {status} has no schema");
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{operation_is}: {status}");
            let words = &schema["properties"]["error"]["enum"];
            assert_eq!(status.starts_with(['4', '5']), words.is_array(), "{operation_is}: {status}");
        }
    }
}

fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| match value {
            Value::String(target) if key == "$ref" => drop(into.insert(target.clone())),
            value => references(value, into),
        }),
        Value::Array(values) => values.iter().for_each(|value| references(value, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_page_of_the_broker_tells_every_error_that_its_description_tells() {
    let description = description();
    let mut words = BTreeSet::new();
    for (_, _, operation) in operations(&description) {
        for answer in operation["responses"].as_object().unwrap().values() {
            let schema = &followed(&description, answer)["content"]["application/json"]["schema"];
            let told = schema["properties"]["error"]["enum"].as_array().into_iter().flatten();
            words.extend(told.map(|word| word.as_str().unwrap().to_owned()));
        }
    }
    // Of what is no endpoint.
    words.insert("MethodNotAllowed".to_owned());
    let page = page("runtime-agent-broker.7");
    let list = format!("\n{}", section(&page, ".SH ERRORS").unwrap());
    let told = entries(&list);
    let told: BTreeSet<_> = told.iter().map(|(tag, _)| tag.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(told, words);
}

#[test]
fn every_phase_of_a_binding_is_on_the_page_of_the_broker() {
    let page = page("runtime-agent-broker.7");
    let list = format!("\n{}", section(&page, ".SH PHASES").unwrap());
    let entries = entries(&list);
    let phases = ["asking", "waiting", "ready", "failed", "returning", "kept"];
    for phase in phases {
        said_of(&entries, phase);
    }
    assert_eq!(entries.len(), phases.len());
}

#[test]
fn every_message_has_its_entry_in_the_catalog_with_fields_that_it_has() {
    use runtime_agent::event::Message;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let catalog = fs::read_to_string(root.join("systemd/runtime-agent.catalog")).unwrap();
    let mut sources = String::new();
    collect_sources(&root.join("src"), &mut sources);
    let mut explained = Vec::new();
    for entry in catalog.split("\n-- ").skip(1) {
        let (id, text) = entry.split_once('\n').unwrap();
        let (head, body) = text.split_once("\n\n").unwrap();
        let keys: Vec<_> = head.lines().map(|line| line.split_once(": ").unwrap().0).collect();
        assert_eq!(keys, ["Subject", "Defined-By", "Support", "Documentation"], "{entry}");
        assert!(body.trim().len() > 100 && body.lines().all(|line| line.len() <= 80), "{entry}");
        let message = Message::ALL.iter().find(|message| message.id() == id);
        let message = message.unwrap_or_else(|| panic!("nobody says {id}"));
        explained.push(message);
        let marks = body.split('@').skip(1).step_by(2).filter(|field| *field != "MESSAGE");
        let number = format!("Message::{message:?}.id()");
        for field in marks.map(str::to_lowercase) {
            let said = sources.split(&number).skip(1);
            for call in said.map(|rest| rest.split(';').next().unwrap()) {
                assert!(call.contains(&field), "{message:?} is said without {field}: {call}");
            }
        }
    }
    assert_eq!(explained, Message::ALL.iter().collect::<Vec<_>>(), "each once, in the same order");
}

fn collect_sources(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_sources(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// The names of the variables and the document that a real hook gets from the real applier.
fn told_to_a_hook() -> (Vec<String>, serde_json::Value) {
    let host = tempfile::tempdir().unwrap();
    let path = |name: &str| host.path().join(name);
    for folder in ["hooks", "agent/config/0001", "applier"] {
        fs::create_dir_all(path(folder)).unwrap();
    }
    for folder in ["hooks", "applier"] {
        fs::set_permissions(path(folder), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let object = "0".repeat(64);
    let manifest = format!(
        r#"{{"version":1,"generation":1,"published_at":"2026-11-22T12:00:00Z","runtime":"r",
            "applications":{{"a":{{"name":"A","folder":"a","object":"{object}","bundles":0}}}}}}"#
    );
    fs::write(path("agent/config/0001/manifest.json"), manifest).unwrap();
    let hook = path("hooks/10-tell");
    let root = host.path().display();
    // The environment as it was at the start, before the shell added its own.
    fs::write(&hook, format!("#!/bin/sh\ncat /proc/$$/environ >'{root}/environment'\ncat >'{root}/document'\n"))
        .unwrap();
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let configuration = format!(
        "[paths]\nstate = '{root}/agent'\nhooks = '{root}/hooks'\n[apply]\nstate = '{root}/applier'\n[log]\nformat = 'text'\n"
    );
    fs::write(path("agent.toml"), configuration).unwrap();

    let mut applier = Command::new(env!("CARGO_BIN_EXE_runtime-agent"))
        .args(["apply", "--stdio", "--config"])
        .arg(path("agent.toml"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = b"{\"version\":1,\"event\":\"config-changed\",\"generation\":1}\n";
    applier.stdin.take().unwrap().write_all(request).unwrap();
    let said = applier.wait_with_output().unwrap();
    let environment = fs::read_to_string(path("environment"))
        .unwrap_or_else(|error| panic!("the hook did not run: {error}; {said:?}"));
    let names = environment.split_terminator('\0').map(|line| line.split_once('=').unwrap().0.to_owned()).collect();
    (names, serde_json::from_slice(&fs::read(path("document")).unwrap()).unwrap())
}

#[test]
fn pages_render_without_warnings_and_tell_version_and_day() {
    for name in PAGES {
        let man = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"])
            .arg(page_path(name))
            .output()
            .expect("man is there (package man-db; `make deps` installs it)");
        assert!(man.status.success(), "{name}");
        assert_eq!(String::from_utf8_lossy(&man.stderr), "", "{name}");
        let text = page(name);
        assert!(text.contains(&format!("1970-01-02 \"runtime-agent {}\"", env!("CARGO_PKG_VERSION"))), "{name}");
        assert!(!text.contains('@'), "{name} has a mark that was not filled in");
    }
}

#[test]
fn completions_know_every_subcommand() {
    for name in ["runtime-agent.bash", "_runtime-agent", "runtime-agent.fish"] {
        let completion = fs::read_to_string(MANUAL.path().join("completions").join(name)).unwrap();
        for command in Cli::command().get_subcommands() {
            assert!(completion.contains(command.get_name()), "{name}: {}", command.get_name());
        }
    }
}
