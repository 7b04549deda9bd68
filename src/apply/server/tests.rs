//! The applier as its peers see it: over a real stream, with real hooks.

use std::time::Instant;

use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use super::*;
use crate::apply::client::{Route, request};
use crate::apply::fixture::{Host, number};
use crate::apply::report::{HookOutcome, Report};
use crate::apply::request::{Attempt, Notice};

const LONG: Duration = Duration::from_secs(60);

/// Sends `bytes` and then nothing more, and reads the answer's lines.
async fn answer(host: &Host, bytes: &[u8]) -> Vec<serde_json::Value> {
    let (mut near, far) = tokio::io::duplex(1024);
    let (reader, writer) = tokio::io::split(far);
    let serve = async {
        serve_stream(&host.settings, reader, writer, &Stop::never()).await;
    };
    let ask = async {
        // The server may refuse before it has read everything.
        let _ = near.write_all(bytes).await;
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        text
    };
    let ((), text) = tokio::join!(serve, ask);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn refusal(host: &Host, bytes: &[u8]) -> serde_json::Value {
    let lines = answer(host, bytes).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["outcome"]["result"], "refused");
    lines[0]["outcome"]["reason"].clone()
}

/// Runs an applier on a socket, and `ask` beside it; the applier ends when that has ended.
async fn beside<T>(host: &Host, ask: impl AsyncFnOnce(Route, watch::Sender<bool>) -> T) -> T {
    beside_with(host, || Ok(host.settings.clone()), ask).await
}

/// The same, with settings that may be others at each request.
async fn beside_with<T>(
    host: &Host,
    settings: impl Fn() -> Result<ApplierSettings, String>,
    ask: impl AsyncFnOnce(Route, watch::Sender<bool>) -> T,
) -> T {
    let path = host.path("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (tell, told) = watch::channel(false);
    let stop = Stop::when(told);
    let ask = async {
        let asked = ask(Route::Socket(path), tell.clone()).await;
        tell.send_replace(true);
        asked
    };
    let (served, asked) = tokio::join!(serve_listener(settings, &listener, LONG, &stop), ask);
    served.unwrap();
    asked
}

#[tokio::test]
async fn a_request_is_answered_by_a_line_for_each_hook_and_one_for_the_whole() {
    let host = Host::new();
    host.publish(1, &[("x", '1')]);
    host.hook("10-good", "echo fine");
    host.hook("20-bad", "exit 4");
    host.hook("30-old.bak", "");
    let lines = answer(&host, b"{\"version\":1,\"event\":\"config-changed\",\"generation\":1}\n").await;
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0]["skipped"]["reason"], "leftover");
    assert_eq!(lines[1]["hook"]["name"], "10-good");
    assert_eq!(lines[1]["hook"]["outcome"]["result"], "succeeded");
    assert_eq!(lines[1]["hook"]["output"], serde_json::json!(["fine"]));
    assert_eq!(lines[2]["hook"]["outcome"], serde_json::json!({"result": "failed", "code": 4}));
    assert_eq!(lines[3]["outcome"]["result"], "failed");
}

#[tokio::test]
async fn what_is_not_a_request_is_refused_by_name_and_runs_nothing() {
    let host = Host::new();
    host.hook("a", "echo ran >$ROOT/ran");
    assert_eq!(refusal(&host, b"hello\n").await, "malformed");
    assert_eq!(refusal(&host, b"\n").await, "malformed");
    assert_eq!(refusal(&host, b"\xff\xfe\0\n").await, "malformed");
    assert_eq!(refusal(&host, b"{\"version\":9}\n").await, "unknown-version");
    assert_eq!(refusal(&host, b"{\"version\":1,\"event\":\"reboot\"}\n").await, "unknown-event");
    assert_eq!(refusal(&host, &vec![b'x'; 1_000_000]).await, "too-long");
    let missing = b"{\"version\":1,\"event\":\"config-changed\",\"generation\":18446744073709551615}\n";
    assert_eq!(refusal(&host, missing).await, "generation-missing");
    assert_eq!(host.read("ran"), "");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_or_half_a_word_is_not_waited_for() {
    let host = Host::new();
    assert_eq!(refusal(&host, b"").await, "too-slow");
    assert_eq!(refusal(&host, b"{\"version\":1").await, "too-slow");
}

#[tokio::test]
async fn a_second_request_on_one_connection_is_not_read() {
    let host = Host::new();
    host.hook("a", "echo $1 >>$ROOT/ran");
    let twice = b"{\"version\":1,\"event\":\"paired\"}\n{\"version\":1,\"event\":\"unpaired\"}\n";
    assert_eq!(answer(&host, twice).await.len(), 2);
    assert_eq!(host.read("ran"), "paired\n");
}

#[tokio::test]
async fn requests_take_turns() {
    let host = Host::new();
    host.hook("a", "echo begin >>$ROOT/ran; cat >/dev/null; echo end >>$ROOT/ran");
    let asked = beside(&host, async |route, _| {
        let ask = || request(&route, &Request::Notice(Notice::Renewed), LONG);
        tokio::join!(ask(), ask(), ask())
    });
    for report in <[_; 3]>::from(asked.await) {
        assert_eq!(report.unwrap().outcome, Outcome::Done);
    }
    assert_eq!(host.read("ran"), "begin\nend\n".repeat(3));
}

#[tokio::test]
async fn a_peer_that_goes_does_not_end_the_hook_that_runs_for_it() {
    let host = Host::new();
    host.publish(1, &[]);
    nix::unistd::mkfifo(&host.path("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    host.hook("a", "read line <$ROOT/gate; echo $line >>$ROOT/ran");
    let changed = Request::ConfigChanged(number(1), Attempt::Ordinary);
    let report: Report = beside(&host, async |route, _| {
        let first = request(&route, &changed, LONG);
        // The gate opens for writing once the hook reads from it; then the first peer goes.
        let gate = async {
            tokio::task::spawn_blocking({
                let gate = host.path("gate");
                move || std::fs::OpenOptions::new().write(true).open(gate).unwrap()
            })
            .await
            .unwrap()
        };
        let mut gate = tokio::select! {
            gate = gate => gate,
            answered = first => panic!("{answered:?}"),
        };
        std::io::Write::write_all(&mut gate, b"through\n").unwrap();
        request(&route, &changed, LONG).await.unwrap()
    })
    .await;
    assert_eq!(host.read("ran"), "through\n", "it ran once, to its end");
    assert_eq!(report, Report { hooks: vec![], skipped: vec![], install: None, outcome: Outcome::Done });
}

#[tokio::test]
async fn being_told_to_stop_ends_the_running_hook_and_then_the_applier() {
    let host = Host::new();
    nix::unistd::mkfifo(&host.path("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    host.hook("10-a", "echo >$ROOT/gate; exec sleep 1000");
    host.hook("20-b", "echo ran >$ROOT/ran");
    let report = beside(&host, async |route, tell| {
        let paired = Request::Notice(Notice::Paired);
        let gate = host.path("gate");
        let running = tokio::task::spawn_blocking(move || std::fs::read(gate).unwrap());
        let stop = async {
            running.await.unwrap();
            tell.send_replace(true);
        };
        tokio::join!(request(&route, &paired, LONG), stop).0.unwrap()
    })
    .await;
    assert_eq!(report.hooks.len(), 1);
    assert_eq!(report.hooks[0].outcome, HookOutcome::Stopped);
    assert!(matches!(report.outcome, Outcome::Failed { .. }));
    assert_eq!(host.read("ran"), "");
}

#[tokio::test]
async fn each_request_meets_the_configuration_of_its_time() {
    let host = Host::new();
    host.hook("old", "echo old >>$ROOT/ran");
    let newer = host.path("newer");
    std::fs::create_dir(&newer).unwrap();
    let settings = std::cell::RefCell::new(Ok(host.settings.clone()));
    beside_with(
        &host,
        || settings.borrow().clone(),
        async |route, _| {
            let ask = async || request(&route, &Request::Notice(Notice::Paired), LONG).await.unwrap();
            assert_eq!(ask().await.hooks.len(), 1);
            drop(settings.replace(Ok(ApplierSettings { hooks: newer, ..host.settings.clone() })));
            assert_eq!(ask().await.hooks, []);
            drop(settings.replace(Err("the configuration is not valid: line 7".to_owned())));
            assert_eq!(ask().await.outcome, Outcome::failed("the configuration is not valid: line 7"));
        },
    )
    .await;
    assert_eq!(host.read("ran"), "old\n");
}

#[tokio::test]
async fn an_applier_that_nobody_asks_ends() {
    let host = Host::new();
    let listener = UnixListener::bind(host.path("socket")).unwrap();
    let began = Instant::now();
    serve_listener(|| Ok(host.settings.clone()), &listener, Duration::from_millis(50), &Stop::never()).await.unwrap();
    assert!(began.elapsed() < LONG);
}

#[tokio::test]
async fn only_root_the_own_user_and_the_owner_of_the_state_are_let_in() {
    let host = Host::new();
    let (near, _far) = UnixStream::pair().unwrap();
    assert_eq!(admit(&host.settings, &near), Ok(()));
    assert!(may_ask(0, &host.settings));
    assert!(may_ask(Uid::effective().as_raw(), &host.settings));
    assert!(!may_ask(54321, &host.settings));
    // Only root can give a directory away, so only as root can it be seen here.
    if std::os::unix::fs::chown(&host.settings.agent_state, Some(54321), None).is_ok() {
        assert!(may_ask(54321, &host.settings));
        assert!(!may_ask(54322, &host.settings));
    }
}
