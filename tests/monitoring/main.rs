//! What Prometheus itself says of the alerts, the dashboard's questions and the agent's metrics: by its `promtool`, where
//! that is installed.

#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use jiff::Timestamp;
use runtime_agent::agent::status::Status;
use runtime_agent::metrics;
use serde_json::{Value, json};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What `promtool` says of something; nothing, where it is not installed.
fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: promtool is not installed; Debian has it in the package prometheus");
            return None;
        }
        Err(error) => panic!("promtool: {error}"),
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

#[track_caller]
fn assert_taken(output: Option<Output>) {
    if let Some(output) = output {
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

fn check_rules(path: &Path) -> Option<Output> {
    promtool(&["check", "rules", path.to_str().unwrap()], "")
}

#[test]
fn the_alerts_are_rules_and_are_raised_when_they_should_be() {
    let alerts = repository().join("etc/monitoring/alerts.yml");
    assert_taken(check_rules(&alerts));
    // Rules are looked for beside their test.
    let folder = tempfile::tempdir().unwrap();
    let test = folder.path().join("alerts_test.yml");
    std::fs::copy(alerts, folder.path().join("alerts.yml")).unwrap();
    std::fs::copy(repository().join("tests/monitoring/alerts_test.yml"), &test).unwrap();
    assert_taken(promtool(&["test", "rules", test.to_str().unwrap()], ""));
}

/// All questions of a part of the dashboard.
fn questions(part: &Value, into: &mut Vec<String>) {
    match part {
        Value::Object(fields) => {
            into.extend(fields.get("expr").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|part| questions(part, into));
        }
        Value::Array(parts) => parts.iter().for_each(|part| questions(part, into)),
        _ => {}
    }
}

/// A file of rules that asks these; JSON is YAML, too.
fn rules(questions: &[String], folder: &Path) -> PathBuf {
    // As Grafana fills them in.
    let filled = |question: &String| question.replace("$__rate_interval", "5m").replace("$instance", ".+");
    let rules: Vec<_> = questions
        .iter()
        .enumerate()
        .map(|(at, question)| json!({"record": format!("q:{at}"), "expr": filled(question)}))
        .collect();
    let path = folder.join("rules.yml");
    std::fs::write(&path, json!({"groups": [{"name": "dashboard", "rules": rules}]}).to_string()).unwrap();
    path
}

#[test]
fn every_question_of_the_dashboard_is_one_that_prometheus_understands() {
    let text = std::fs::read_to_string(repository().join("etc/monitoring/dashboard.json")).unwrap();
    let mut asked = Vec::new();
    questions(&serde_json::from_str(&text).unwrap(), &mut asked);
    assert!(asked.len() >= 10, "{asked:?}");
    let folder = tempfile::tempdir().unwrap();
    assert_taken(check_rules(&rules(&asked, folder.path())));
    // One that it does not understand would be told.
    if let Some(output) = check_rules(&rules(&["sum(".to_owned()], folder.path())) {
        assert!(!output.status.success());
    }
}

#[test]
fn metrics_are_named_and_explained_as_prometheus_wants_them() {
    let page = metrics::page(&Status::new("/token".into(), Timestamp::UNIX_EPOCH)).unwrap();
    assert_taken(promtool(&["check", "metrics"], &metrics::in_text_format(&page)));
}
