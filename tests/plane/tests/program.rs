//! The program, from its start to its end, as the demo uses it.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

fn plane(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plane"));
    command.arg("--dir").arg(dir);
    command
}

fn run(dir: &Path, arguments: &[&str]) -> String {
    let output = plane(dir).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn serve(dir: &Path, arguments: &[&str]) -> Child {
    let mut child = plane(dir).arg("serve").args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready: director https://"), "{line}");
    child
}

fn end(mut child: Child) {
    let done = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(done.success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_plane_is_driven_by_commands() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let child = serve(dir, &["--dialect", "package", "--certificate-lifetime", "90s", "--shuffle-subject", "true"]);
    let written: Value = serde_json::from_str(&fs::read_to_string(dir.join("plane.json")).unwrap()).unwrap();
    assert!(written["connectorURL"].as_str().unwrap().ends_with("/graphql"));
    assert!(fs::read_to_string(dir.join("server-ca.pem")).unwrap().contains("BEGIN CERTIFICATE"));

    let id = run(dir, &["runtime", "host 1"]);
    let token: Value = serde_json::from_str(&run(dir, &["token", "host 1", "--expires", "10m"])).unwrap();
    assert!(token["token"].as_str().unwrap().starts_with("canary-"));
    assert!(run(dir, &["token", &id, "--form", "env"]).contains(&format!("RUNTIME_ID={id}")));
    assert!(run(dir, &["token", &id, "--form", "url"]).contains("?token=canary-"));
    assert!(run(dir, &["token", &id, "--form", "bare"]).starts_with("canary-"));
    assert!(!run(dir, &["token", &id, "--form", "base64"]).contains("canary-"));

    let file = dir.join("apps.json");
    fs::write(
        &file,
        json!({ "applications": [{ "name": "Mine", "bundles": [{ "name": "B", "apiDefinitions": [
        { "name": "A", "targetURL": "https://old.example/api/v1" }] }] }] })
        .to_string(),
    )
    .unwrap();
    let mine = run(dir, &["load", file.to_str().unwrap()]);
    let generated =
        run(dir, &["generate", "--applications", "4", "--bundles", "2", "--apis", "2", "--credentials", "basic"]);
    assert_eq!(generated.lines().count(), 4);
    run(dir, &["change", "Mine", "--name", "Yours", "--target-url", "https://new.example/"]);
    let before = run(dir, &["canaries"]).lines().count();
    run(dir, &["change", generated.lines().next().unwrap(), "--rotate-credentials"]);
    assert!(run(dir, &["canaries"]).lines().count() > before);
    run(dir, &["delete", generated.lines().last().unwrap()]);
    let state: Value = serde_json::from_str(&run(dir, &["state", "--runtime", "host 1", "--json"])).unwrap();
    let applications = state["applications"].as_array().unwrap();
    assert_eq!(applications.len(), 4);
    let yours = applications.iter().find(|application| application["id"] == mine.as_str()).unwrap();
    assert_eq!(yours["name"], "Yours");
    assert_eq!(yours["bundles"][0]["apiDefinitions"][0]["targetURL"], "https://new.example/api/v1");
    assert!(run(dir, &["state"]).contains("runtime"));

    let schema = r#"{"type":"object"}"#;
    let asked = run(
        dir,
        &["generate", "--applications", "1", "--credentials", "absent", "--request-schema", schema, "--seed", "5"],
    );
    let state: Value = serde_json::from_str(&run(dir, &["state", "--json"])).unwrap();
    let asked = state["applications"].as_array().unwrap().iter().find(|found| found["id"] == asked.as_str()).unwrap();
    assert_eq!(asked["bundles"][0]["instanceAuthRequestInputSchema"], schema);
    assert_eq!(asked["bundles"][0]["defaultInstanceAuth"], Value::Null);
    let held = json!({ "name": "Held", "bundles": [{ "id": "b", "instanceAuths": [{ "id": "i", "context": "{}", "runtimeID": id }] }] });
    fs::write(&file, held.to_string()).unwrap();
    run(dir, &["load", file.to_str().unwrap()]);
    assert_eq!(run(dir, &["auths", "host 1"]), "i PENDING   b {}");
    run(dir, &["auth", "i", "grant"]);
    assert!(run(dir, &["auths", &id, "--json"]).contains("SUCCEEDED"));
    run(dir, &["auth", "i", "revoke"]);
    assert_eq!(run(dir, &["auths", &id, "--json"]), "[]");

    run(dir, &["fault", "--on", "director", "--times", "2", "status", "429", "--retry-after-date", "5"]);
    run(dir, &["fault", "null", "bundles", "--first", "1"]);
    run(dir, &["fault", "total-count", "-1"]);
    let faults: Value = serde_json::from_str(&run(dir, &["fault", "list"])).unwrap();
    assert_eq!(faults[0]["effect"]["retry_after"], json!({ "date": 5 }));
    run(dir, &["fault", "clear"]);
    assert_eq!(run(dir, &["fault", "list"]), "[]");

    assert_eq!(run(dir, &["revoke", &id]), "0 revoked");
    assert_eq!(run(dir, &["expire", &id, "--certificates", "5s"]), "5 expired");
    run(dir, &["rotate-ca", "--distrust-former"]);
    let settings: Value = serde_json::from_str(&run(
        dir,
        &["set", "--dialect", "bundle", "--revoked", "graphql", "--answering", "promptly"],
    ))
    .unwrap();
    assert_eq!((&settings["dialect"], &settings["certificate_seconds"]), (&json!("bundle"), &json!(5)));
    assert_eq!((&settings["subject_order"], &settings["answering"]), (&json!("shuffled"), &json!("promptly")));
    let requests: Value = serde_json::from_str(&run(dir, &["requests", "--json"])).unwrap();
    assert_eq!(requests["requests"], json!([]));

    let wrong = plane(dir).args(["delete", "nothing"]).output().unwrap();
    assert!(!wrong.status.success());
    assert_eq!(String::from_utf8_lossy(&wrong.stderr), "plane: There is no application with the id nothing.\n");
    end(child);
    assert!(!dir.join("plane.json").exists());
}

#[test]
fn without_a_plane_the_commands_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let output = plane(dir.path()).arg("canaries").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("Is a plane running there?"));
}

#[test]
fn ports_are_consecutive_from_a_base() {
    let dir = tempfile::tempdir().unwrap();
    // A base that was free a moment ago; the test is about the arithmetic, so another try is fair.
    for _ in 0..20 {
        let base = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let free = (base..base.saturating_add(4)).all(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok());
        if base > 65_000 || !free {
            continue;
        }
        let child = serve(dir.path(), &["--port-base", &base.to_string(), "--host", "localhost"]);
        let urls: Value = serde_json::from_str(&run(dir.path(), &["urls"])).unwrap();
        assert_eq!(urls["connectorURL"], format!("https://localhost:{base}/graphql"));
        assert_eq!(urls["adminURL"], format!("http://127.0.0.1:{}", base + 3));
        end(child);
        return;
    }
    panic!("no four consecutive ports were free");
}

#[test]
fn a_plane_ends_with_its_parent_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        format!("'{}' --dir '{}' serve --with-parent & read line", env!("CARGO_BIN_EXE_plane"), dir.path().display());
    let mut shell =
        Command::new("sh").arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(shell.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("ready:"), "{line}");
    drop(shell.stdin.take());
    shell.wait().unwrap();
    // The plane holds the other end of this pipe until it ends.
    assert_eq!(output.read_line(&mut line).unwrap(), 0);
    assert!(!dir.path().join("plane.json").exists());
}
