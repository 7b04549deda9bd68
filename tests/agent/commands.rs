//! What scripts rely on: exit codes and what goes to standard output.

use std::collections::BTreeSet;
use std::process::Stdio;

use plane::{Endpoint, Fault, Options};
use runtime_agent::agent::status::{Area, Problem, Severity, State, Status};
use runtime_agent::apply::{HookOutcome, HookReport, UnitReport, UnitResult};
use runtime_agent::config::{Brokerage, Seconds, Settings};
use runtime_agent::transport::Denial;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::host::{PROGRAM, finished, said, within};
use crate::scene::{Scene, is_settled, problem};

async fn status_code(scene: &Scene) -> Option<i32> {
    let page = scene.host.run(&["status"], "").await;
    let json = scene.host.run(&["status", "--json"], "").await;
    assert_eq!(page.status.code(), json.status.code());
    if let Ok(status) = serde_json::from_slice::<Status>(&json.stdout) {
        assert!(said(&page).contains(&format!("state  {}:", status.state.as_str())), "{}", said(&page));
        for problem in status.problems.values() {
            assert!(said(&page).contains(&problem.what) && said(&page).contains(&problem.remedy), "{}", said(&page));
        }
    } else {
        let document: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&document["state"], &document["agent"]), (&"not-running".into(), &Value::Null));
        assert!(said(&page).contains("state  not-running:"), "{}", said(&page));
        let complaint = String::from_utf8_lossy(&page.stderr).into_owned();
        assert!(complaint.contains("the agent does not run"), "{complaint}");
    }
    page.status.code()
}

#[tokio::test]
async fn status_exits_with_what_the_state_is() {
    let often = |settings: &mut Settings| settings.sync.interval = Seconds::new(5);
    let scene = Scene::with(Options::default(), often).await;
    assert_eq!(status_code(&scene).await, Some(6), "not running");
    let agent = scene.host.start().await;
    assert_eq!(status_code(&scene).await, Some(3), "unpaired");
    agent.terminate().await;
    let agent = scene.paired().await;
    assert_eq!(status_code(&scene).await, Some(0), "healthy");
    scene.plane.fault(Fault::on(Endpoint::Director).status(503, "busy").times(1));
    assert!(!agent.sync().await.done);
    assert_eq!(status_code(&scene).await, Some(4), "degraded");
    scene.plane.revoke(&scene.runtime);
    assert!(!agent.sync().await.done);
    agent.wait_for("the rejection", |status| status.state == State::Rejected).await;
    assert_eq!(status_code(&scene).await, Some(5), "a person is needed");
    agent.kill().await;
    assert_eq!(status_code(&scene).await, Some(6), "killed, with its socket left behind");
}

#[test]
fn with_too_few_descriptors_there_is_a_sentence_and_no_panic() {
    let run = |most: usize| {
        let line = format!("ulimit -n {most} && exec \"$0\" status --config /dev/null");
        std::process::Command::new("sh").args(["-c", &line, PROGRAM]).output().unwrap()
    };
    let mut complaints = BTreeSet::new();
    for most in 3..20 {
        let output = run(most);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!([1, 6, 127].contains(&output.status.code().unwrap()), "{most}: {:?} {complaint}", output.status);
        assert!(!complaint.contains("panicked"), "{most}: {complaint}");
        complaints.insert(complaint.lines().next().unwrap_or_default().to_owned());
    }
    assert!(
        complaints.iter().any(|complaint| complaint.contains("cannot begin: Too many open files")),
        "{complaints:?}"
    );
}

#[tokio::test]
async fn the_status_of_an_agent_that_does_not_run_is_what_the_files_say() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let then = agent.status().await;
    agent.terminate().await;
    let output = scene.host.run(&["status", "--json"], "").await;
    assert_eq!(output.status.code(), Some(6));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let identity = then.identity.unwrap();
    assert_eq!(document["identity"]["fingerprint"], identity.fingerprint.as_str());
    assert_eq!(document["identity"]["renewal_at"], Value::Null, "nobody plans a renewal");
    assert_eq!(document["standing"], "valid");
    assert_eq!(document["output"], serde_json::to_value(then.output).unwrap());
    assert_eq!(document["sync"]["last_success"], serde_json::to_value(then.sync.last_success).unwrap());
    let page = scene.host.run(&["status"], "").await;
    for word in ["standing  valid", "applications  3 with", "generation 1", "synchronised"] {
        assert!(said(&page).contains(word), "{word}: {}", said(&page));
    }
}

#[tokio::test]
async fn a_watched_status_is_shown_at_each_change_until_it_is_interrupted() {
    let scene = Scene::new().await;
    let agent = scene.host.start().await;
    let mut command = scene.host.command(&["status", "--watch", "--json"]);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = async |what: &str, state: &str| loop {
        let line = within(what, lines.next_line()).await.unwrap().unwrap();
        let document: Value = serde_json::from_str(&line).unwrap();
        if document["state"] == state {
            return document;
        }
    };
    next("the first status", "unpaired").await;
    scene.host.drop_token(&scene.mint());
    next("the pairing", "healthy").await;
    agent.wait_for("all to be applied", is_settled).await;
    agent.terminate().await;
    next("the agent's end", "not-running").await;
    let agent = scene.host.start().await;
    next("the agent's return", "healthy").await;
    let pid = nix::unistd::Pid::from_raw(watch.id().unwrap().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let status = within("the end of the watch", watch.wait()).await.unwrap();
    assert!(matches!(status.code(), Some(0 | 4)), "by the last state that was shown: {status}");
    drop(agent);
}

#[tokio::test]
async fn colours_are_used_where_they_are_asked_for() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let plain = scene.host.run(&["status"], "").await;
    assert!(!said(&plain).contains('\u{1b}'), "{}", said(&plain));
    let coloured = scene.host.run(&["status", "--color", "always"], "").await;
    assert!(said(&coloured).contains("\u{1b}[32mhealthy"), "{}", said(&coloured));
    drop(agent);
}

/// The names of all values in a document: `a.b`, and `a[].b` in lists.
fn names_in(value: &Value, name: &str, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                // Areas are keys, and are listed by themselves.
                let key = if name == "problems" { "AREA" } else { key };
                let below = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
                names_in(value, &below, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_in(item, &format!("{name}[]"), names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            names.insert(name.to_owned());
        }
    }
}

/// What the manual says that the status has.
fn documented() -> BTreeSet<String> {
    let page = include_str!("../../packaging/manual/pages/runtime-agent.8").replace("\\-", "-");
    let (_, section) = page.split_once(".SH STATUS AS JSON\n").unwrap();
    let section = section.split("\n.SH ").next().unwrap();
    section.split(".TP\n.B ").skip(1).filter_map(|entry| entry.lines().next()).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_value_of_the_status_is_in_the_manual_and_every_one_there_is_in_the_status() {
    let scene = Scene::with(Options::default(), |settings| settings.sync.interval = Seconds::new(5)).await;
    let etc = scene.host.path("etc");
    std::fs::create_dir(&etc).unwrap();
    let rule = format!(
        "name = 'x'\nfor_each = 'application'\ndestination = '{}/{{{{ application.slug }}}}'\ncontent = 'x'\n\
         validate = ['/bin/sh', '-c', 'echo never; exit 1']\nreload = ['x.service']\n",
        etc.display()
    );
    scene.host.configure(|settings| {
        settings.template = vec![toml::from_str(&rule).unwrap()];
        settings.broker.enabled = Brokerage::Open;
    });
    scene.host.hook("10-told", "cat >/dev/null; echo told; exit 3");
    std::fs::write(scene.host.path("hooks.d/20-not"), "").unwrap();
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    agent
        .wait_for("a refusal, with hooks told", |status| {
            let apply = status.apply.as_ref();
            apply.is_some_and(|apply| {
                apply.install.as_ref().is_some_and(|install| install.refused.is_some()) && !apply.hooks.is_empty()
            })
        })
        .await;
    let documented = documented();
    let json = scene.host.run(&["status", "--json"], "").await;
    let mut status: Value = serde_json::from_slice(&json.stdout).unwrap();
    let mut names = BTreeSet::new();
    names_in(&status, "", &mut names);
    let missing: Vec<_> = names.difference(&documented).collect();
    assert!(missing.is_empty(), "not in the manual: {missing:?}");
    // What depends on what happened before.
    status["awaiting_restart"] = serde_json::json!(["log.format"]);
    status["apply"]["install"]["warnings"] = serde_json::json!(["w"]);
    let unit = UnitReport { unit: "x.service".into(), result: UnitResult::Skipped { reason: "r".into() } };
    status["apply"]["install"]["units"] = serde_json::json!([unit]);
    for outcome in [HookOutcome::Killed { signal: 9 }, HookOutcome::CouldNotStart { error: "e".into() }] {
        let report = HookReport { name: "x".into(), outcome, milliseconds: 1, output: Vec::new() };
        status["apply"]["hooks"].as_array_mut().unwrap().push(serde_json::to_value(report).unwrap());
    }
    status["problems"]["sync"] = serde_json::to_value(Problem {
        what: String::new(),
        remedy: String::new(),
        severity: Severity::Transient,
        since: jiff::Timestamp::now(),
        denial: Some(Denial::Scopes),
    })
    .unwrap();
    names_in(&status, "", &mut names);
    let unreal: Vec<_> = documented.difference(&names).collect();
    assert!(unreal.is_empty(), "in the manual, and not in the status: {unreal:?}");
    assert!(serde_json::from_value::<Status>(status).is_ok());
    drop(agent);
}

#[tokio::test]
async fn what_works_by_the_configuration_ends_with_78_where_that_is_bad() {
    let scene = Scene::new().await;
    scene.host.write_configuration("[sync]\nintervall = \"3m\"\n");
    for command in ["run", "apply"] {
        let output = scene.host.run(&[command], "").await;
        assert_eq!(output.status.code(), Some(78), "{command}");
        assert!(said(&output).contains("line 2"), "{}", said(&output));
    }
    assert!(!scene.host.path("state").exists(), "nothing was begun");
}

#[tokio::test]
async fn a_configuration_that_is_bad_is_complained_of_and_keeps_nobody_from_asking_the_agent() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    let good = scene.host.read("agent.toml");
    scene.host.write_configuration(&format!("{good}\n[synk]\ninterval = \"5m\"\n"));
    for (command, word) in [("status", "healthy"), ("sync", "Nothing changed"), ("renew", "is being renewed")] {
        let output = scene.host.run(&[command], "").await;
        assert_eq!(output.status.code(), Some(0), "{command}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{command}: {}", said(&output));
        assert!(String::from_utf8_lossy(&output.stderr).contains("synk"), "{command}: {}", said(&output));
    }
    drop(agent);
}

#[tokio::test]
async fn check_tells_a_good_configuration_from_a_bad_one() {
    let scene = Scene::new().await;
    let check = async || {
        let mut command = tokio::process::Command::new(PROGRAM);
        command.arg("check").arg(scene.host.path("agent.toml"));
        finished(command, "").await
    };
    let output = check().await;
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("agent.toml is valid\n"), "{}", said(&output));
    scene.host.write_configuration("[plane]\nconnector_url = \"http://plane.example.com\"\n");
    let output = check().await;
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("line 2") && said(&output).contains("only https:"), "{}", said(&output));
    scene.host.write_configuration("[[template]]\nname = \"x\"\ncontent = \"a\\n{% if %}\"\ndestination = \"x\"\n");
    let output = check().await;
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("the template x") && said(&output).contains("line 2, column"), "{}", said(&output));
    std::fs::remove_file(scene.host.path("agent.toml")).unwrap();
    assert_eq!(check().await.status.code(), Some(78), "a file that is named must be there");
}

/// What `identity --json` prints, with its exit status and what it complains of.
async fn identity(scene: &Scene) -> (Value, Option<i32>, String) {
    let page = scene.host.run(&["identity"], "").await;
    let output = scene.host.run(&["identity", "--json"], "").await;
    assert_eq!(page.status.code(), output.status.code());
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    for (key, value) in document["identity"].as_object().into_iter().flatten() {
        if !key.ends_with("_at") && !key.starts_with("not_") && key != "plane" {
            let value = value.as_str().unwrap_or_default();
            assert!(said(&page).contains(value), "{key} is not told: {}", said(&page));
        }
    }
    if document["identity"].is_object() {
        let standing = document["standing"].as_str().unwrap_or_default();
        assert!(said(&page).contains(&format!("standing  {standing}\n")), "{}", said(&page));
    }
    (document, output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn identity_tells_who_the_host_is_with_the_agent_and_without() {
    let scene = Scene::new().await;
    let (none, code, complaint) = identity(&scene).await;
    assert_eq!((code, &none["identity"]), (Some(3), &Value::Null), "{complaint}");
    assert!(complaint.contains("the agent does not run") && complaint.contains("there is no identity"), "{complaint}");
    let agent = scene.host.start().await;
    let (none, code, complaint) = identity(&scene).await;
    assert_eq!((code, &none["identity"]), (Some(3), &Value::Null), "{complaint}");
    assert!(complaint.contains("not paired; waiting for a token in"), "{complaint}");
    agent.terminate().await;

    let agent = scene.paired().await;
    let (document, code, complaint) = identity(&scene).await;
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    let told = &document["identity"];
    let status = serde_json::to_value(agent.status().await).unwrap();
    assert_eq!(told, &status["identity"], "the same names and values as in the status");
    assert_eq!((&document["version"], &document["standing"]), (&1.into(), &"valid".into()));
    assert_eq!(told["runtime"], *scene.runtime);
    assert_eq!(told["director_url"], scene.plane.director_url());
    assert_eq!(told["connector_url"], scene.plane.secured_connector_url());
    assert_eq!(told["pairing_url"], scene.plane.connector_url());
    assert_eq!(told["key_algorithm"], "ecdsa-p256");
    assert_eq!(told["token_fingerprint"], status["token"]["fingerprint"]);
    let path = told["path"].as_str().unwrap();
    assert_eq!(std::path::Path::new(path), std::fs::canonicalize(scene.host.path("state/identity/current")).unwrap());
    for name in ["fingerprint", "public_key_fingerprint"] {
        assert_eq!(told[name].as_str().unwrap().len(), 64, "{name}");
    }

    // The files know as much, but for what the agent means to do.
    agent.kill().await;
    let (mut document, code, complaint) = identity(&scene).await;
    assert_eq!(code, Some(0), "{complaint}");
    assert!(complaint.contains("the agent does not run") && complaint.contains("is not known"), "{complaint}");
    assert_eq!((&document["standing"], &document["identity"]["renewal_at"]), (&"valid".into(), &Value::Null));
    document["identity"]["renewal_at"] = told["renewal_at"].clone();
    assert_eq!(&document["identity"], told);

    // What came by renewal came by no token.
    let agent = scene.host.start().await;
    assert!(agent.renew().await.done);
    agent
        .wait_for("the renewal", |status| {
            status.identity.as_ref().is_some_and(|now| told["fingerprint"] != now.fingerprint)
        })
        .await;
    let (document, code, _) = identity(&scene).await;
    assert_eq!((code, &document["identity"]["token_fingerprint"]), (Some(0), &Value::Null));
    for name in ["public_key_fingerprint", "path", "issued_at"] {
        assert_ne!(document["identity"][name], told[name], "{name}");
    }
    agent.terminate().await;

    // Neither the agent nor the files.
    for number in ["0001", "0002"] {
        std::fs::write(scene.host.path(&format!("state/identity/{number}/cert.pem")), "nonsense").unwrap();
    }
    let (document, code, complaint) = identity(&scene).await;
    assert_eq!((code, document), (Some(6), Value::Null), "{complaint}");
    assert!(complaint.contains("cert.pem is damaged") && complaint.contains("does not run"), "{complaint}");
    let agent = scene.host.start().await;
    let (document, code, complaint) = identity(&scene).await;
    assert_eq!((code, &document["standing"]), (Some(5), &"lost".into()), "{complaint}");
    assert!(complaint.contains("cert.pem is damaged") && complaint.contains("Drop a new token"), "{complaint}");
    drop(agent);
}

#[tokio::test]
async fn an_expired_identity_is_told_as_such_with_the_agent_and_without() {
    let options = Options { certificate_lifetime: std::time::Duration::from_secs(10), ..Options::default() };
    let scene = Scene::with(options, |_| {}).await;
    scene.plane.fault(Fault::on(Endpoint::SecuredConnector).status(503, "away"));
    let agent = scene.paired().await;
    agent.wait_for("the certificate's end", |status| problem(status, Area::Certificate).contains("expired")).await;
    for agent in [Some(agent), None] {
        let (document, code, complaint) = identity(&scene).await;
        assert_eq!(code, Some(5), "{complaint}");
        assert!(complaint.contains("expired") && complaint.to_lowercase().contains("drop a new token"), "{complaint}");
        assert_eq!(
            (&document["standing"], &document["identity"]["runtime"]),
            (&"expired".into(), &(*scene.runtime).into())
        );
        drop(agent);
    }
}

#[tokio::test]
async fn sync_asks_the_plane_and_tells_what_came_of_it() {
    let scene = Scene::new().await;
    assert_eq!(scene.host.run(&["sync"], "").await.status.code(), Some(6));
    let agent = scene.host.start().await;
    let output = scene.host.run(&["sync"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("not paired; drop a token first"), "{}", said(&output));
    agent.terminate().await;
    let _agent = scene.paired().await;
    let output = scene.host.run(&["sync"], "").await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Nothing changed; 3 applications.\n");
    scene.plane.fault(Fault::on(Endpoint::Director).status(503, "busy").times(1));
    let output = scene.host.run(&["sync"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("HTTP status 503, saying \u{201c}busy\u{201d}"), "{}", said(&output));
}
