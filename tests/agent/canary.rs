//! A whole life, and then a search in every byte that was written for every secret that there was.

use std::collections::BTreeSet;
use std::path::Path;

use nix::sys::signal::Signal;
use plane::{CredentialKind, Endpoint, Fault, Generate, Options, TokenForm};
use runtime_agent::agent::status::{Area, Status};
use runtime_agent::config::LogLevel;
use runtime_agent::pairing::Verdict;
use serde_json::Value;

use crate::credential::current_key;
use crate::host::{Host, said};
use crate::scene::{Scene, is_settled, is_well, problem, verdict};
use crate::tree::{Kind, everything};

/// What was written and said, and what must not be in it.
pub struct Search<'a> {
    pub scene: &'a Scene,
    /// Secrets that the plane never had.
    pub others: Vec<String>,
    /// The lines of private keys.
    pub keys: BTreeSet<String>,
    /// What commands and the control socket said.
    pub said: Vec<String>,
}

impl Search<'_> {
    /// Notes the private key in use.
    fn note_key(&mut self) {
        let key = current_key(&self.scene.host);
        // The third line of an elliptic key is its public part, and that is in the certificate.
        self.keys.extend(key.lines().filter(|line| !line.starts_with('-')).take(2).map(str::to_owned));
    }

    /// Notes what the agent and its commands say now.
    pub async fn note_status(&mut self, status: &Status) {
        self.said.push(serde_json::to_string(status).unwrap());
        for arguments in
            [&["status"][..], &["status", "--json"], &["identity"], &["identity", "--json"], &["sync"], &["metrics"]]
        {
            let output = self.scene.host.run(arguments, "").await;
            self.said.push(said(&output));
        }
    }

    /// Looks for every secret, and for telling parts of it, in everything.
    pub fn finds_nothing(&self, may_hold_secrets: impl Fn(&Path) -> bool) {
        let mut texts: Vec<(String, String)> = Vec::new();
        for (path, entry) in everything(self.scene.host.path("").as_path()) {
            if let Kind::File(bytes) = entry.kind
                && !may_hold_secrets(&path)
            {
                texts.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
            }
            texts.push(("the name of a file".into(), path.display().to_string()));
        }
        texts.extend(self.said.iter().map(|text| ("what was said".to_owned(), text.clone())));
        for secret in self.scene.plane.canaries().iter().chain(&self.others) {
            // Part of a secret is a secret: sixteen hexadecimal digits of it, at either end.
            let (front, back) = secret.split_at(secret.len() - 16);
            let front = if front.len() > 20 { &front[..front.len() - 8] } else { secret };
            for (place, text) in &texts {
                assert!(!text.contains(back) && !text.contains(front), "a part of {secret} is in {place}:\n{text}");
            }
        }
        for line in &self.keys {
            for (place, text) in &texts {
                assert!(!text.contains(line), "a part of a private key is in {place}:\n{text}");
            }
        }
    }
}

/// The files that hold secrets because that is what they are for.
pub fn is_for_secrets(path: &Path) -> bool {
    let ends = |name: &str| path.ends_with(name);
    let of_the_agent = (path.starts_with("state/identity") && ends("key.pem")) || ends("state/snapshot.json");
    of_the_agent || ends("credentials.json") || ends("credentials.env")
}

/// The second token, which only this file knows.
fn second_token(host: &Host) -> String {
    let pending: Value = serde_json::from_str(&host.read("state/pairing.json")).unwrap();
    pending["token"].as_str().unwrap().to_owned()
}

/// Answers that repeat a secret, in every way in which a plane can fail.
fn echoes(endpoint: Endpoint, operation: &str, secret: &str) -> Vec<Fault> {
    let fault = || Fault::on(endpoint).operation(operation);
    vec![
        fault().status(503, format!("no use for {secret} now")),
        // Where texts are cut: one word, many, and blanks that do not count.
        fault().status(503, format!("{}{secret}", "x".repeat(230))),
        fault().status(503, format!("{}{secret}", " ".repeat(2028))),
        fault().status(429, format!("Connector-Token: {secret}\r\n")),
        fault().failure(10, format!("cannot say what {secret} is")),
        fault().errors_beside(format!("beware of {secret}")),
        fault().body(secret),
        fault().body(format!("{{\"data\": {secret}}}")),
        fault().body(format!("{{\"data\": \"{secret}\"}}")),
        fault().body(format!("{{\"data\": {{\"{operation}\": \"{secret}\"}}}}")),
        fault().body(format!("{{\"data\": {{\"{operation}\": [\"{secret}\"]}}}}")),
        fault().body(format!("{{\"errors\": [{{\"message\": \"{secret}\", \"path\": [\"{secret}\"]}}]}}")),
        fault().body(format!("{{\"errors\": [{{\"message\": \"no\", \"extensions\": {{\"code\": \"{secret}\"}}}}]}}")),
        fault().body(format!("{{\"errors\": \"{secret}\"}}")),
    ]
}

/// Waits until a problem is told that was not told at `since`.
async fn told_anew(agent: &crate::host::Agent<'_>, area: Area, tries: u32) -> Status {
    let tried = format!("(tries that failed so far: {tries})");
    agent
        .wait_for("the failure to be told", |status| {
            let endeavour = status.endeavour.as_deref().unwrap_or_default();
            !problem(status, area).is_empty() && endeavour.ends_with(&tried)
        })
        .await
}

#[tokio::test]
async fn no_secret_is_ever_written_or_said_where_it_does_not_belong() {
    let scene = Scene::with(Options::default(), |settings| {
        settings.log.level = LogLevel::Trace;
        settings.report.events_url = Some("https://events.example.com".parse().unwrap());
    })
    .await;
    scene.plane.generate(Generate {
        applications: 12,
        bundles: 2,
        credentials: CredentialKind::ALL.to_vec(),
        seed: 7,
        ..Generate::default()
    });
    scene.host.hook(
        "record",
        r#"cat >"$SPOOL/$1.json"; env >"$SPOOL/$1.env"; echo "$@"; tr '\0' ' ' <"/proc/$PPID/cmdline""#,
    );
    let bogus = "canary-token-00112233445566778899aabbccddeeff".to_owned();
    let mut search = Search { scene: &scene, others: vec![bogus.clone()], keys: BTreeSet::new(), said: Vec::new() };

    // What is no token, and a token that is refused with its own words.
    let agent = scene.host.start().await;
    for garbage in [
        format!("two words {bogus}"),
        format!("{{\"token\":\"{bogus}\",\"type\":\"{bogus}\"}}"),
        format!("{{\"token\":{bogus}"),
    ] {
        scene.host.drop_token(&garbage);
        agent.wait_for("the refusal", |_| !scene.host.token().exists()).await;
        search.said.push(said(&scene.host.run(&["pair"], &garbage).await));
    }
    scene
        .plane
        .fault(Fault::on(Endpoint::Connector).failure(26, format!("Failed to authenticate request: {bogus}")).times(1));
    let url = scene.plane.connector_url();
    search.said.push(said(&scene.host.run(&["pair"], &format!("{url}?token={bogus}")).await));
    search.note_status(&agent.status().await).await;
    search.finds_nothing(is_for_secrets);

    // The first token is repeated by one failure; each try may take longer than the one before.
    let token = scene.plane.mint_token(&scene.runtime, TokenForm::Bare);
    let faults = echoes(Endpoint::Connector, "configuration", &token);
    one_after_the_other(&scene, &faults);
    scene.host.drop_token(&format!("{url}?token={token}"));
    for tries in 1..=3 {
        let status = told_anew(&agent, Area::Pairing, tries).await;
        search.said.push(serde_json::to_string(&status).unwrap());
    }
    scene.plane.clear_faults();
    let sign = || Fault::on(Endpoint::Connector).operation("signCertificateSigningRequest");
    scene.plane.fault(sign().reset());
    agent.wait_for("a pairing that is pending", |_| scene.host.path("state/pairing.json").exists()).await;
    let second = second_token(&scene.host);
    search.note_status(&agent.status().await).await;
    search.finds_nothing(|path| is_for_secrets(path) || path.ends_with("pairing.json"));

    // And the second one by another.
    scene.plane.clear_faults();
    scene.plane.fault(sign().status(503, format!("not now, {second}")));
    agent.wait_for("the echo", |status| problem(status, Area::Pairing).contains("not now, [redacted]")).await;
    agent.kill().await;
    scene.plane.clear_faults();
    let agent = scene.host.start().await;
    agent.wait_for("the pairing", is_settled).await;
    assert!(!scene.host.path("state/pairing.json").exists());
    search.note_key();
    search.note_status(&agent.status().await).await;

    // Polls that fail with credentials in hand, a change, a renewal, a reload, a restart, another token.
    let password = scene.plane.canaries().into_iter().find(|canary| canary.starts_with("canary-password-")).unwrap();
    for fault in echoes(Endpoint::Director, "applicationsForRuntime", &password) {
        // The plane's own sentences are quoted; it is not for us to know a password in them.
        let quoted = format!("{:?}", fault.effect);
        if !quoted.starts_with("Body") || quoted.contains("errors") {
            continue;
        }
        scene.plane.fault(fault.times(1));
        let answer = agent.sync().await;
        assert!(!answer.done);
        search.said.push(answer.message);
        search.note_status(&agent.status().await).await;
    }
    let first = scene.plane.applications()[0].id.clone();
    assert!(scene.plane.rotate_credentials(&first));
    search.said.push(agent.sync().await.message);
    agent.wait_for("the change to be applied", is_settled).await;
    assert!(agent.renew().await.done);
    agent.wait_for("the renewal", |_| scene.host.path("spool/renewed.json").exists()).await;
    search.note_key();
    agent.signal(Signal::SIGHUP);
    let expired = scene.plane.mint_token(&scene.runtime, TokenForm::Url);
    scene.plane.expire_tokens(&scene.runtime);
    scene.host.drop_token(&expired);
    agent.wait_for("the refusal", |status| verdict(status) == Some(Verdict::Refused)).await;
    search.note_status(&agent.status().await).await;
    agent.terminate().await;
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    agent.wait_for("another pairing", |status| verdict(status) == Some(Verdict::Paired) && is_well(status)).await;
    search.note_key();
    search.note_status(&agent.status().await).await;
    agent.terminate().await;

    assert!(scene.host.log().contains(" DEBUG asking Applications"), "the log tells everything");
    assert!(scene.plane.canaries().len() > 12 && search.keys.len() >= 6, "there were secrets to find");
    let seen = everything(&scene.host.path("state/config"));
    let held = |secret: &String| {
        let holds = |kind: &Kind| matches!(kind, Kind::File(bytes) if String::from_utf8_lossy(bytes).contains(secret));
        seen.values().any(|entry| holds(&entry.kind))
    };
    assert!(scene.plane.canaries().iter().any(held), "the search would find them");
    search.finds_nothing(is_for_secrets);
}

/// Lets each of these show once, in this order.
fn one_after_the_other(scene: &Scene, faults: &[Fault]) {
    for (place, fault) in (0..).zip(faults) {
        scene.plane.fault(fault.clone().after(place).times(1));
    }
}

#[tokio::test]
async fn no_failure_of_the_connector_makes_the_token_known() {
    // Each on a host of its own, and all at once: tries on one host get rarer.
    let scenes = (0..echoes(Endpoint::Connector, "configuration", "").len()).map(async |place| {
        let scene = Scene::with(Options::default(), |settings| settings.log.level = LogLevel::Trace).await;
        let token = scene.plane.mint_token(&scene.runtime, TokenForm::Bare);
        let fault = echoes(Endpoint::Connector, "configuration", &token).swap_remove(place);
        let name = format!("{:?}", fault.effect);
        scene.plane.fault(fault.times(1));
        let agent = scene.host.start().await;
        scene.host.drop_token(&format!("{}?token={token}", scene.plane.connector_url()));
        let status = agent.wait_for(&name, |status| !problem(status, Area::Pairing).is_empty()).await;
        let said = vec![serde_json::to_string(&status).unwrap(), problem(&status, Area::Pairing).to_owned()];
        let search = Search { scene: &scene, others: Vec::new(), keys: BTreeSet::new(), said };
        let pending = |path: &Path| path.ends_with("pairing/token") || path.ends_with("pairing.json");
        search.finds_nothing(|path| is_for_secrets(path) || pending(path));
    });
    futures_util::future::join_all(scenes).await;
}
