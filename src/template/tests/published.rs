//! The ready examples in `etc/examples`: they render what is expected, and real readers take it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::landscape::landscape;
use super::render_from;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/examples")
}

/// What an example renders, by its destinations.
fn files(example: &str) -> BTreeMap<String, String> {
    let folder = folder().join(example);
    let configuration = fs::read_to_string(folder.join("agent.toml")).unwrap();
    let files = render_from(&configuration, &landscape(), &folder).unwrap();
    files.into_iter().map(|(path, (text, _))| (path, text)).collect()
}

#[test]
fn every_example_renders_what_is_expected() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_type().unwrap().is_dir() {
            continue;
        }
        let name = entry.file_name().into_string().unwrap();
        let mut rendered = String::new();
        for (path, text) in files(&name) {
            write!(rendered, "=== {path}\n{text}").unwrap();
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/examples/{name}.expected"));
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&path, &rendered).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(rendered, expected, "{name}; with UPDATE_EXPECTED=1, what is rendered is expected from then on");
        seen.push(name);
    }
    seen.sort();
    assert_eq!(
        seen,
        ["binding-file", "catalogue", "environment-file", "envoy", "nginx", "prometheus", "systemd-dropin"]
    );
}

#[test]
fn documents_are_read_by_a_reader_of_json_and_hold_no_secret() {
    for (example, path) in [("catalogue", "catalogue.json"), ("prometheus", "/etc/prometheus/targets.d/agent.json")] {
        let files = files(example);
        let document: serde_json::Value = serde_json::from_str(&files[path]).unwrap();
        assert!(!document.to_string().contains("canary"), "{example}");
        assert!(document.to_string().contains("https://api.warehouse.example.com/orders/v2"), "{example}");
    }
}

#[test]
fn a_reader_of_yaml_finds_a_route_and_a_cluster_for_each_api() {
    let files = files("envoy");
    let [clusters, routes] = ["clusters", "routes"].map(|name| {
        let text = &files[&format!("/etc/envoy/agent/{name}.yaml")];
        let script = "import json,sys,yaml; print(json.dumps(yaml.safe_load(sys.argv[1])['resources']))";
        let output = Command::new("python3").args(["-c", script, text]).output();
        let output = output.ok().filter(|output| output.status.success() || !missing_yaml(output));
        output.map(|output| {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
        })
    });
    // Where there is no reader of YAML, the text is held to what is expected, as that of all examples.
    if let (Some(clusters), Some(routes)) = (clusters, routes) {
        let names = |values: &serde_json::Value, key: &[&str]| {
            let values = values.as_array().unwrap().iter();
            let found = values.filter_map(|value| key.iter().try_fold(value, |value, key| value.get(key)));
            found.map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let clusters = names(&clusters, &["name"]);
        assert_eq!(clusters.len(), 4);
        assert_eq!(names(&routes[0]["virtual_hosts"][0]["routes"], &["route", "cluster"]), clusters);
    }
}

fn missing_yaml(output: &std::process::Output) -> bool {
    String::from_utf8_lossy(&output.stderr).contains("No module named 'yaml'")
}

#[test]
fn a_shell_reads_the_files_of_variables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("env");
    let printed = |text: &str, script: &str| {
        fs::write(&path, text).unwrap();
        let output = Command::new("sh").args(["-euc", script, "sh"]).arg(&path).env_clear().output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let script = r#". "$1"; printf '%s|%s|%s' "$APPLICATION" "$API_USER" "$API_PASSWORD""#;
    let text = &files("environment-file")["/etc/app-env/warehouse-eu.orders.env"];
    assert_eq!(printed(text, script), "Warehouse (EU)|canary-user|canary pass\"word\\");
    let script = r#". "$1"; printf '%s|%s|%s|%s' "$BINDING_ID" "$SERVICE_INSTANCE_ID" "$API_USER" "$API_PASSWORD""#;
    let text = &files("binding-file")["/etc/app-env/bindings/warehouse-eu.orders.till-4-north.env"];
    assert_eq!(printed(text, script), "Till_4_(north)|tills|canary-till|canary till's \"4\"");
}

#[test]
fn systemd_takes_the_drop_in() {
    let folder = tempfile::tempdir().unwrap();
    let files = files("systemd-dropin");
    let (path, text) = files.iter().find(|(path, _)| path.contains("warehouse")).unwrap();
    let drop_in = folder.path().join(path.strip_prefix("/etc/systemd/system/").unwrap());
    fs::create_dir_all(drop_in.parent().unwrap()).unwrap();
    fs::write(folder.path().join("app@.service"), "[Service]\nExecStart=/bin/true\n").unwrap();
    let unit = drop_in.parent().unwrap().file_name().unwrap().to_str().unwrap().strip_suffix(".d").unwrap().to_owned();
    let verify = |text: &str| {
        fs::write(&drop_in, text).unwrap();
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--generators=no", &unit])
            .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()))
            .output()
            .expect("systemd-analyze is there");
        String::from_utf8_lossy(&output.stderr)
            .lines()
            .filter(|line| line.contains("50-agent.conf"))
            .collect::<String>()
    };
    assert_eq!(verify(text), "");
    // So that the silence above means something.
    assert_ne!(verify(&text.replace("LoadCredential=", "LoadCredentials=")), "");
}
