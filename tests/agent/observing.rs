//! What monitoring sees: metrics and health on the control socket, over TCP and in a file, and a log that says each thing
//! once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::Signal;
use plane::{Endpoint, Fault, Options};
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::config::{Brokerage, LogFormat, Settings, Share};
use runtime_agent::event::Message;
use runtime_agent::metrics::Name;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::host::{Host, finished, said, within};
use crate::scene::{Scene, is_settled, is_well, problem};

const LISTS: &str = "applicationsForRuntime";

/// A page of metrics, read as strictly as the format is written down: each sample by its name and labels.
struct Page(BTreeMap<String, f64>);

impl Page {
    fn read(text: &str) -> Self {
        let lines = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("the page has no end: {text}"));
        let mut samples = BTreeMap::new();
        let (mut helped, mut family) = (String::new(), (String::new(), String::new()));
        for line in lines.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                help.split_once(' ').unwrap().0.clone_into(&mut helped);
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, helped, "what has a kind has a text before it");
                family = (name.to_owned(), kind.to_owned());
            } else {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
                let added = name.strip_prefix(&family.0).unwrap_or_else(|| panic!("{line} is not of {}", family.0));
                let fits = match &*family.1 {
                    "counter" => added == "_total",
                    "gauge" => added.is_empty(),
                    "histogram" => matches!(added, "_bucket" | "_sum" | "_count"),
                    other => panic!("{other} is a kind that the older text format does not have"),
                };
                assert!(fits, "{line} is no {}", family.1);
                for label in labels.strip_suffix('}').unwrap().split(',').filter(|label| !label.is_empty()) {
                    let (name, value) = label.split_once('=').unwrap();
                    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
                    assert!(name.chars().all(|c| c.is_ascii_lowercase()), "{line}");
                    assert!(value.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)), "{line}");
                }
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
                assert_eq!(samples.insert(sample.to_owned(), value), None, "{sample} is there twice");
            }
        }
        Self(samples)
    }

    fn get(&self, name: Name, label: &str) -> f64 {
        let label = if label.is_empty() { String::new() } else { format!("{{{}=\"{label}\"}}", name.label().unwrap()) };
        let sample = format!("{}{label}", name.full());
        *self.0.get(&sample).unwrap_or_else(|| panic!("{sample} is not among {:#?}", self.0))
    }

    fn has(&self, name: Name) -> bool {
        let samples = name.samples();
        self.0.keys().any(|sample| samples.iter().any(|name| sample.split('{').next() == Some(name)))
    }
}

fn client() -> reqwest::ClientBuilder {
    reqwest::Client::builder().tls_certs_only([]).no_proxy()
}

/// Asks for a path on the control socket; the status and what was said.
async fn look(host: &Host, path: &str) -> (u16, String) {
    let client = client().unix_socket(host.path("run/control.sock")).build().unwrap();
    answer(client.get(format!("http://control{path}"))).await
}

/// The same on an address.
async fn look_at(address: SocketAddr, path: &str) -> (u16, String) {
    answer(client().build().unwrap().get(format!("http://{address}{path}"))).await
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, String) {
    let answer = within("an answer", request.send()).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn page(host: &Host) -> Page {
    let (code, text) = look(host, "/metrics").await;
    assert_eq!(code, 200, "{text}");
    Page::read(&text)
}

/// An address that nobody has.
async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn listen(settings: &mut Settings, address: SocketAddr) {
    settings.metrics.listen = Some(address.to_string().parse().unwrap());
}

/// What Prometheus itself says of metrics, where its tool is installed.
async fn assert_prometheus_takes(text: &str) {
    let command = ["promtool", "check", "metrics"];
    match tokio::process::Command::new(command[0]).arg("--version").output().await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: promtool is not installed; Debian has it in the package prometheus");
        }
        Err(error) => panic!("promtool: {error}"),
        Ok(_) => {
            let mut promtool = tokio::process::Command::new(command[0]);
            promtool.args(&command[1..]);
            let output = finished(promtool, text).await;
            assert!(output.status.success(), "{}", said(&output));
        }
    }
}

/// How often a line of the log holds this.
fn lines(host: &Host, text: &str) -> usize {
    host.log().lines().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn what_happens_is_counted_and_the_same_is_told_over_every_way() {
    let address = free_address().await;
    let scene = Scene::with(Options::default(), |settings| listen(settings, address)).await;
    let file = scene.host.path("state/metrics/agent.prom");
    let with_file = |settings: &mut Settings| {
        listen(settings, address);
        settings.metrics.textfile = Some(file.clone().try_into().unwrap());
        settings.broker.enabled = Brokerage::Open;
    };
    scene.host.hook("works", "true");
    scene.host.configure(with_file);
    let agent = scene.host.start().await;
    let before = page(&scene.host).await;
    assert_eq!((before.get(Name::Paired, ""), before.get(Name::State, "unpaired")), (0.0, 1.0));
    assert!(!before.has(Name::NotAfter) && !before.has(Name::Generation), "what is not known has no value");
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the pairing", is_settled).await;

    let after = page(&scene.host).await;
    let identity = status.identity.unwrap();
    assert_eq!(after.get(Name::NotAfter, "") as i64, identity.not_after.as_second());
    assert_eq!(after.get(Name::NotBefore, "") as i64, identity.not_before.as_second());
    assert_eq!(after.get(Name::RenewalAt, "") as i64, identity.renewal_at.as_second());
    assert_eq!(after.get(Name::LastPoll, "") as i64, status.sync.last_success.unwrap().as_second());
    for (name, label, value) in [
        (Name::BuildInfo, env!("CARGO_PKG_VERSION"), 1.0),
        (Name::Paired, "", 1.0),
        (Name::Pairings, "", 1.0),
        (Name::State, "healthy", 1.0),
        (Name::State, "unpaired", 0.0),
        (Name::Polls, "success", 1.0),
        (Name::Polls, "network", 0.0),
        (Name::Applications, "", 3.0),
        (Name::Generation, "", 1.0),
        (Name::Generations, "", 1.0),
        (Name::ApplySucceeded, "", 1.0),
        (Name::Problems, "sync", 0.0),
        (Name::Renewals, "success", 0.0),
    ] {
        assert_eq!(after.get(name, label), value, "{name:?} {label}");
    }
    assert!(after.get(Name::Hooks, "succeeded") >= 1.0 && after.get(Name::Applies, "succeeded") >= 1.0);
    assert!(after.get(Name::AnswerBytes, "") > 1000.0);
    for name in Name::ALL {
        assert!(after.has(*name), "{name:?} has no value");
    }

    // The same by the command, over TCP, and in the file.
    let printed = scene.host.run(&["metrics"], "").await;
    assert_eq!(printed.status.code(), Some(0));
    let (code, served) = look_at(address, "/metrics").await;
    assert_eq!(code, 200);
    let samples = |text: &str| Page::read(text).0.into_keys().collect::<Vec<_>>();
    let known: Vec<_> = after.0.keys().cloned().collect();
    assert_eq!(samples(&said(&printed)), known);
    assert_eq!(samples(&served), known);
    let paired = format!("\n{} 1\n", Name::Paired.full());
    let written = || std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&paired));
    let asked = async {
        while !written() {
            assert!(agent.sync().await.done);
        }
    };
    within("the file to tell of the pairing", asked).await;
    let (page, text) = (page(&scene.host).await, scene.host.read("state/metrics/agent.prom"));
    assert!(page.0.keys().all(|sample| text.contains(&format!("\n{sample} "))), "{text}");
    assert!(text.contains("# TYPE runtime_agent_polls_total counter\n"), "{text}");
    assert_prometheus_takes(&text).await;
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o777, 0o644);
    for secret in scene.plane.canaries() {
        assert!(!served.contains(&secret) && !scene.host.read("state/metrics/agent.prom").contains(&secret));
    }
    let applications = scene.plane.applications();
    let named = applications.iter().flat_map(|application| [&application.id, &application.name]);
    for name in named.chain([&scene.runtime, &"127.0.0.1".to_owned()]) {
        assert!(!served.contains(name.as_str()), "{name} is nobody's business");
    }
    assert!(agent.terminate().await.success());
    assert!(!file.exists(), "what it says is not true of an agent that is gone");
}

#[tokio::test]
async fn twenty_polls_that_fail_are_one_line_and_the_end_says_how_many() {
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    scene.plane.fault(Fault::on(Endpoint::Director).operation(LISTS).status(503, "busy"));
    for _ in 0..20 {
        assert!(!agent.sync().await.done);
    }
    let page_of_failures = page(&scene.host).await;
    assert_eq!(page_of_failures.get(Name::Polls, "plane"), 20.0);
    assert_eq!(page_of_failures.get(Name::Retries, "poll"), 20.0);
    assert_eq!(page_of_failures.get(Name::FailedInARow, ""), 20.0);
    assert_eq!(page_of_failures.get(Name::Problems, "sync"), 1.0);
    assert_eq!(page_of_failures.get(Name::State, "degraded"), 1.0);
    assert_eq!(lines(&scene.host, "The plane gave no usable list"), 1, "{}", scene.host.log());
    scene.plane.clear_faults();
    assert!(agent.sync().await.done);
    agent.wait_for("the end of the problem", is_settled).await;
    assert_eq!(lines(&scene.host, "the problem with sync is over; it came up 20 times in"), 1, "{}", scene.host.log());
    assert_eq!(page(&scene.host).await.get(Name::Problems, "sync"), 0.0);
    assert_eq!(lines(&scene.host, "paired with"), 1, "what the pairing says is not said again");
    assert_eq!(lines(&scene.host, "waiting for a token"), 1, "{}", scene.host.log());
    assert!(!scene.host.log().contains("message_id"), "the journal's numbers are nothing for people");
}

#[tokio::test]
async fn a_hook_that_fails_again_and_again_is_told_once() {
    let scene = Scene::new().await;
    scene.host.hook("fails", r#"echo run >>"$SPOOL/runs"; exit 7"#);
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let applied = |status: &Status| status.apply.as_ref().is_some_and(|apply| apply.generation.is_some());
    agent.wait_for("the files to be applied", applied).await;
    let runs = || std::fs::read_to_string(scene.host.path("spool/runs")).unwrap_or_default().lines().count();
    let again = async {
        while page(&scene.host).await.get(Name::Hooks, "failed") < 4.0 {
            scene.host.run(&["sync"], "").await;
            agent.wait_for("the hook", |status| status.apply.is_some()).await;
        }
    };
    within("the hook to fail four times", again).await;
    assert!(runs() >= 4);
    assert_eq!(lines(&scene.host, "hook fails for config-changed: failed with exit code 7"), 1, "{}", scene.host.log());
}

#[tokio::test]
async fn a_host_is_ready_from_its_first_files_until_its_certificate_is_over() {
    let scene =
        Scene::with(Options { certificate_lifetime: Duration::from_secs(15), ..Options::default() }, |settings| {
            settings.renewal.after = Share::new(0.25);
            settings.renewal.jitter = Share::new(0.05);
        })
        .await;
    scene.plane.fault(Fault::on(Endpoint::SecuredConnector).status(503, "busy"));
    scene.plane.fault(Fault::on(Endpoint::Director).operation(LISTS).status(503, "busy"));
    let agent = scene.host.start().await;
    assert_eq!(look(&scene.host, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(look(&scene.host, "/readyz").await, (503, "not paired\n".to_owned()));
    scene.host.drop_token(&scene.mint());
    agent.wait_for("a poll that fails", |status| !problem(status, Area::Sync).is_empty()).await;
    assert_eq!(look(&scene.host, "/readyz").await, (503, "the plane has not given its list yet\n".to_owned()));
    scene.plane.clear_faults();
    scene.plane.fault(Fault::on(Endpoint::SecuredConnector).status(503, "busy"));
    assert!(agent.sync().await.done);
    assert_eq!(look(&scene.host, "/readyz").await, (200, "ok\n".to_owned()));

    agent.wait_for("the certificate's end", |status| status.state == State::Expired).await;
    assert_eq!(look(&scene.host, "/readyz").await, (503, "the certificate has expired\n".to_owned()));
    assert_eq!(look(&scene.host, "/healthz").await.0, 200, "the agent does what it can");
    assert!(page(&scene.host).await.get(Name::Renewals, "failure") >= 1.0);
}

#[tokio::test]
async fn a_port_in_use_is_a_problem_with_a_remedy_and_a_reload_mends_it() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, other) = (taken.local_addr().unwrap(), free_address().await);
    let scene = Scene::with(Options::default(), |settings| listen(settings, address)).await;
    let agent = scene.host.start().await;
    let status =
        agent.wait_for("the complaint", |status| problem(status, Area::Metrics).contains("cannot be served")).await;
    let told = &status.problems[&Area::Metrics];
    assert!(told.what.contains(&address.to_string()) && told.remedy.contains("metrics.listen"), "{told:?}");
    scene.host.drop_token(&scene.mint());
    agent.wait_for("the pairing all the same", |status| status.output.is_some()).await;

    scene.host.configure(|settings| listen(settings, other));
    agent.signal(Signal::SIGHUP);
    agent.wait_for("the problem to be over", is_well).await;
    assert_eq!(look_at(other, "/readyz").await.0, 200);
    scene.host.configure(|_| {});
    agent.signal(Signal::SIGHUP);
    let gone = async { while TcpStream::connect(other).await.is_ok() {} };
    within("the port to be free again", gone).await;
    drop(taken);
}

#[tokio::test]
async fn clients_that_say_nothing_hold_up_neither_the_agent_nor_each_other_for_long() {
    let address = free_address().await;
    let scene = Scene::with(Options::default(), |settings| listen(settings, address)).await;
    let agent = scene.paired().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(agent.sync().await.done);
    assert_eq!(look(&scene.host, "/healthz").await.0, 200);
    let scraped = look_at(address, "/metrics");
    let sent_away = async {
        for mut client in silent {
            let mut rest = Vec::new();
            // Closed, or reset: it is over in any case.
            let _ = client.read_to_end(&mut rest).await;
        }
    };
    let ((code, text), ()) = tokio::join!(scraped, within("silent clients to be sent away", sent_away));
    assert_eq!(code, 200);
    Page::read(&text);
}

#[tokio::test]
async fn a_log_of_json_is_one_object_per_line_with_the_numbers_of_messages() {
    let scene = Scene::with(Options::default(), |settings| settings.log.format = LogFormat::Json).await;
    let agent = scene.paired().await;
    agent.terminate().await;
    let log = scene.host.log();
    let entries: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let of = |message: Message| {
        let mut found = entries.iter().filter(|entry| entry["message_id"] == message.id());
        let entry = found.next().unwrap_or_else(|| panic!("{message:?} is not in {log}"));
        assert!(found.next().is_none(), "{message:?} is told twice");
        entry
    };
    let paired = of(Message::Paired);
    assert_eq!((&paired["level"], &paired["runtime_id"]), (&"INFO".into(), &scene.runtime.clone().into()));
    assert!(paired["message"].as_str().unwrap().starts_with("paired with"), "{paired}");
    assert!(paired["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    for message in
        [Message::Started, Message::WaitingForToken, Message::TokenDropped, Message::Published, Message::Ended]
    {
        of(message);
    }
}
