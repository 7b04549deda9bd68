//! What hooks are told and what is remembered of it, with real hooks.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::apply::fixture::{Host, number};
use crate::apply::report::Report;
use crate::apply::request::{Attempt, Notice};
use crate::apply::serve_stream;

/// Asks as the daemon does, and collects the answer.
async fn ask(host: &Host, request: Request) -> Report {
    let mut answer = Vec::new();
    serve_stream(&host.settings, &request.to_line()[..], &mut answer, &Stop::never()).await;
    let mut report = Report { hooks: vec![], skipped: vec![], install: None, outcome: Outcome::Done };
    for line in answer.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line).unwrap() {
            Answer::Hook(hook) => report.hooks.push(hook),
            Answer::Skipped(skipped) => report.skipped.push(skipped),
            Answer::Install(install) => report.install = Some(install),
            Answer::Outcome(outcome) => report.outcome = outcome,
        }
    }
    report
}

async fn changed(host: &Host, generation: u64) -> Report {
    ask(host, Request::ConfigChanged(number(generation), Attempt::Ordinary)).await
}

fn ran(report: &Report) -> Vec<&str> {
    report.hooks.iter().map(|hook| hook.name.as_str()).collect()
}

#[tokio::test]
async fn a_hook_is_told_what_changed_and_nothing_else() {
    let host = Host::new();
    host.publish(1, &[("gone", '1'), ("other", '1')]);
    host.publish(2, &[("new", '1'), ("other", '2')]);
    host.hook("a", r#"echo "$@" >$ROOT/arguments; cat >$ROOT/input; cat /proc/$$/environ >$ROOT/environment"#);
    assert_eq!(changed(&host, 1).await.outcome, Outcome::Done);
    assert_eq!(changed(&host, 2).await.outcome, Outcome::Done);

    let state = host.settings.agent_state.display().to_string();
    assert_eq!(host.read("arguments"), "config-changed\n");
    let input: serde_json::Value = serde_json::from_str(&host.read("input")).unwrap();
    let expected = serde_json::json!({
        "version": 1,
        "event": "config-changed",
        "generation": 2,
        "config_dir": format!("{state}/config/current"),
        "generation_dir": format!("{state}/config/0002"),
        "added": [{"id": "new", "name": "The new", "folder": "new"}],
        "changed": [{"id": "other", "name": "The other", "folder": "other"}],
        "removed": [{"id": "gone", "name": "The gone", "folder": "gone"}],
    });
    assert_eq!(input, expected);

    let environment = host.read("environment");
    let mut environment: Vec<_> = environment.split_terminator('\0').collect();
    environment.sort_unstable();
    let config = format!("RUNTIME_AGENT_CONFIG={state}/config/current");
    let state = format!("RUNTIME_AGENT_STATE={state}");
    let path = format!("PATH={}", crate::apply::task::PATH);
    let expected: [&str; 6] =
        ["LANG=C.UTF-8", &path, &config, "RUNTIME_AGENT_EVENT=config-changed", "RUNTIME_AGENT_GENERATION=2", &state];
    assert_eq!(environment, expected);
}

#[tokio::test]
async fn a_notice_names_no_generation_and_changes_no_record() {
    let host = Host::new();
    host.publish(1, &[("x", '1')]);
    host.hook("a", r#"cat >$ROOT/input; tr '\0' '\n' </proc/$$/environ >$ROOT/environment"#);
    for _ in 0..2 {
        let report = ask(&host, Request::Notice(Notice::Renewed)).await;
        assert_eq!(ran(&report), ["a"], "a notice is told as often as it is asked for");
    }
    let input: serde_json::Value = serde_json::from_str(&host.read("input")).unwrap();
    assert_eq!((&input["event"], &input["generation"]), (&"renewed".into(), &serde_json::Value::Null));
    assert!(!host.read("environment").contains("GENERATION"));
    changed(&host, 1).await;
    assert!(host.read("input").contains(r#""added":[{"id":"x""#));
}

#[tokio::test]
async fn a_failed_hook_does_not_stop_the_others_and_alone_runs_again() {
    let host = Host::new();
    host.publish(1, &[("x", '1')]);
    host.hook("10-a", "");
    host.hook("20-b", "cat >>$ROOT/told; [ -e $ROOT/mended ]");
    host.hook("30-c", "");
    let report = changed(&host, 1).await;
    assert_eq!(ran(&report), ["10-a", "20-b", "30-c"]);
    let Outcome::Failed { message } = &report.outcome else { panic!("{report:?}") };
    assert!(message.contains("20-b failed with exit code 1"), "{message}");

    host.publish(2, &[("x", '1'), ("y", '1')]);
    assert_eq!(ran(&changed(&host, 2).await), ["10-a", "20-b", "30-c"]);
    fs::write(host.path("mended"), "").unwrap();
    let report = changed(&host, 2).await;
    assert_eq!((ran(&report), &report.outcome), (vec!["20-b"], &Outcome::Done));
    let report = changed(&host, 2).await;
    assert_eq!((ran(&report), &report.outcome), (vec![], &Outcome::Done), "a replayed request does nothing");

    let told = host.read("told");
    let added: Vec<_> = told
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["added"].as_array().unwrap().len())
        .collect();
    assert_eq!(added, [1, 2, 2], "what it missed accumulates");
}

#[tokio::test]
async fn what_is_left_out_is_named_and_does_not_run() {
    let host = Host::new();
    let hook = host.hook("a", "echo ran >$ROOT/ran");
    fs::set_permissions(&hook, Permissions::from_mode(0o775)).unwrap();
    let report = ask(&host, Request::Notice(Notice::Paired)).await;
    assert_eq!(report.skipped.len(), 1);
    assert_eq!(report.outcome, Outcome::Done);
    assert_eq!(host.read("ran"), "");
}

#[tokio::test]
async fn a_generation_that_cannot_be_trusted_runs_nothing() {
    let host = Host::new();
    host.hook("a", "echo ran >$ROOT/ran");
    fs::write(host.generation(1).join("manifest.json"), "garbage").unwrap();
    let report = changed(&host, 1).await;
    assert!(matches!(report.outcome, Outcome::Refused { reason: Refusal::GenerationUnreadable, .. }), "{report:?}");
    assert_eq!(host.read("ran"), "");
}

#[tokio::test]
async fn a_hook_is_not_told_what_could_not_be_remembered() {
    let host = Host::new();
    host.publish(1, &[("x", '1')]);
    host.hook("a", "echo ran >$ROOT/ran");
    // A folder where the file should be.
    fs::create_dir_all(host.settings.applier_state.join("applied.json")).unwrap();
    fs::set_permissions(&host.settings.applier_state, Permissions::from_mode(0o700)).unwrap();
    assert!(matches!(changed(&host, 1).await.outcome, Outcome::Failed { .. }));
    assert_eq!(host.read("ran"), "");
}

#[tokio::test]
async fn a_record_that_others_can_write_is_not_used() {
    let host = Host::new();
    host.publish(1, &[]);
    host.hook("a", "echo ran >$ROOT/ran");
    fs::create_dir(&host.settings.applier_state).unwrap();
    fs::set_permissions(&host.settings.applier_state, Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(changed(&host, 1).await.outcome, Outcome::Failed { .. }));
    assert_eq!(host.read("ran"), "");
}

#[tokio::test]
async fn the_record_is_for_its_owner_alone() {
    let host = Host::new();
    host.publish(1, &[]);
    host.hook("a", "");
    changed(&host, 1).await;
    let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(host.settings.applier_state.clone()), 0o700);
    assert_eq!(mode(host.settings.applier_state.join("applied.json")), 0o600);
}

#[tokio::test(start_paused = true)]
async fn a_second_applier_on_one_state_is_busy_and_does_nothing() {
    let host = Host::new();
    host.hook("a", "echo ran >$ROOT/ran");
    fs::create_dir(&host.settings.applier_state).unwrap();
    fs::set_permissions(&host.settings.applier_state, Permissions::from_mode(0o700)).unwrap();
    let held = StateLock::take(&host.settings.applier_state).unwrap();
    let report = ask(&host, Request::Notice(Notice::Paired)).await;
    assert!(matches!(report.outcome, Outcome::Refused { reason: Refusal::Busy, .. }), "{report:?}");
    drop(held);
    assert_eq!(host.read("ran"), "");
}
