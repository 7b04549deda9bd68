//! Whatever comes over the applier's stream, in either direction, it is what it says or is refused, and neither side waits or
//! grows without end.

use std::cell::LazyCell;
use std::time::Duration;

use runtime_agent::apply::{
    ApplierSettings, ApplyError, Notice, Outcome, Report, Request, Stop, exchange, serve_stream,
};
use runtime_agent::config::Settings;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::fits_a_line;

/// A sentence of our own, with an excerpt of 240 characters in it at the most.
const LONGEST: usize = 600;

/// How many hooks there may be, and how many that are left out, and the two lines besides.
const MOST_LINES: usize = 202;

struct Host {
    runtime: Runtime,
    settings: ApplierSettings,
    _folder: TempDir,
}

thread_local! {
    static HOST: LazyCell<Host> = const { LazyCell::new(Host::new) };
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for files");
        let path = folder.path().canonicalize().expect("it is there");
        let [hooks, agent_state, applier_state] = ["hooks", "agent", "applier"].map(|name| path.join(name));
        for made in [&hooks, &agent_state, &applier_state] {
            std::fs::create_dir(made).expect("a folder can be made");
        }
        let settings = ApplierSettings {
            hooks,
            timeout: Duration::from_secs(1),
            grace: Duration::from_secs(1),
            output_limit: 1_024,
            agent_state,
            applier_state,
            rules: Vec::new(),
            limits: Settings::default().templates,
            systemctl: "/nonexistent/systemctl".into(),
        };
        let runtime = Builder::new_current_thread().enable_all().build().expect("there is a runtime");
        Self { runtime, settings, _folder: folder }
    }
}

/// Takes `case` for a request that comes to the applier, and for an answer that comes to the daemon.
///
/// # Panics
/// When a promise is broken.
pub fn hold(case: &[u8]) {
    HOST.with(|host| {
        requested(host, case);
        answered(host, case);
    });
}

fn requested(host: &Host, case: &[u8]) {
    let line = case.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let request = Request::from_line(line);
    assert_eq!(Request::from_line(line), request, "the same line is understood otherwise");
    match &request {
        Ok(request) => {
            let written = request.to_line();
            assert_eq!(Request::from_line(written.trim_ascii_end()), Ok(*request), "it does not survive the stream");
        }
        Err((_, said)) => fits_a_line(said, LONGEST),
    }
    let mut answer = Vec::new();
    let outcome = host.runtime.block_on(serve_stream(&host.settings, case, &mut answer, &Stop::never()));
    let text = String::from_utf8(answer).expect("an answer is text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(lines.last(), Some(&json!({ "outcome": outcome })), "the last line is the outcome");
    assert_eq!(lines.iter().filter(|line| line.get("outcome").is_some()).count(), 1);
    let whole = case.contains(&b'\n');
    match (&request, &outcome) {
        (Err((reason, _)), Outcome::Refused { reason: told, .. }) if whole && line.len() <= 4_096 => {
            assert_eq!(reason, told);
        }
        // Nobody is told that a request was carried out that was none.
        (Err(_), outcome) => assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}"),
        (Ok(Request::Notice(_)), outcome) if whole => assert_eq!(outcome, &Outcome::Done),
        // There is no generation here.
        (Ok(_), outcome) => assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}"),
    }
}

fn answered(host: &Host, case: &[u8]) {
    let ask = |answer: &[u8]| {
        let mut asked = Vec::new();
        let report = host.runtime.block_on(exchange(answer, &mut asked, Request::Notice(Notice::Paired)));
        assert_eq!(asked, Request::Notice(Notice::Paired).to_line());
        report
    };
    match ask(case) {
        Ok(report) => {
            assert!(report.hooks.len() + report.skipped.len() < MOST_LINES, "there are too many lines");
            assert_eq!(ask(&written(&report)).ok().as_ref(), Some(&report), "it does not survive the stream");
        }
        Err(error) => {
            assert!(matches!(error, ApplyError::Answer(_)), "{error}");
            fits_a_line(&error.to_string(), LONGEST);
        }
    }
}

/// The lines of a report, as the applier writes them.
fn written(report: &Report) -> Vec<u8> {
    let hooks = report.hooks.iter().map(|hook| json!({ "hook": hook }));
    let skipped = report.skipped.iter().map(|file| json!({ "skipped": file }));
    let install = report.install.iter().map(|install| json!({ "install": install }));
    let lines = hooks.chain(skipped).chain(install).chain([json!({ "outcome": report.outcome })]);
    lines.map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}
