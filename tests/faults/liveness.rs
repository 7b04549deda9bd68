//! The end of a case: all trouble is over, something changes at the plane, and it must arrive; then the oracle judges.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plane::{Endpoint, Request};
use reqwest::Method;
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::control::Client;

use crate::host::{Agent, said};
use crate::oracle::{Breach, Observed, Promise, judge};
use crate::platform::{binding, instance};
use crate::room::{LABEL, LOGIN, Room, TILL, application};
use crate::scene::problem;
use crate::tree::everything;

/// What the commands are that anybody may give at the end.
const COMMANDS: [&[&str]; 8] = [
    &["status"],
    &["status", "--json"],
    &["identity"],
    &["identity", "--json"],
    &["metrics"],
    &["generations"],
    &["broker", "bindings"],
    &["broker", "services", "--json"],
];

/// What is new at the plane since the trouble ended.
struct Fresh {
    name: String,
    secret: String,
}

impl Room {
    /// Ends all trouble, and tells which promises were broken on the way, or by not coming back.
    ///
    /// The agent is one that is to run still; where there is none, it is started.
    pub async fn ends_well(&self, agent: Option<Agent<'_>>, at: &str) -> Vec<Breach> {
        self.plane().clear_faults();
        let mut breaches = Vec::new();
        let agent = match agent {
            Some(agent) if self.answers().await => agent,
            Some(_) => {
                breaches.push(Breach::of(Promise::Kills, format!("{at}: the agent has ended, or answers no more")));
                self.start().await
            }
            None => self.start().await,
        };
        let fresh = self.changes();
        let last = match self.comes_back(&fresh).await {
            Ok(status) => Some(status),
            Err(breach) => {
                breaches.push(breach);
                None
            }
        };
        let back = last.is_some();
        if back && self.bound.load(Ordering::SeqCst) {
            breaches.extend(self.binds().await);
        }
        let mut said = Vec::new();
        for arguments in COMMANDS {
            said.push((arguments.join(" "), self::said(&self.host().run(arguments, "").await)));
        }
        let last = self.client().status(None).await.ok().or(last);
        let status = agent.terminate().await;
        if !status.success() {
            breaches.push(Breach::of(Promise::Kills, format!("the agent ended with {status} when it was told to end")));
        }
        self.looks_away();
        breaches.extend(judge(&self.observed(said, last, fresh)));
        breaches
    }

    /// Waits until the agent tells of any trouble, or for so long.
    pub async fn is_told_of(&self, most: Duration) {
        let client = self.client();
        let told = async {
            let mut after = None;
            while let Ok(status) = client.status(after).await {
                if !status.problems.is_empty() {
                    return;
                }
                after = Some(status.revision);
            }
        };
        // Not all troubles are worth a word.
        let _ = tokio::time::timeout(most, told).await;
    }

    fn client(&self) -> Client {
        Client::new(&self.host().path("run/control.sock")).unwrap()
    }

    async fn answers(&self) -> bool {
        matches!(tokio::time::timeout(Duration::from_secs(20), self.client().status(None)).await, Ok(Ok(_)))
    }

    /// Puts something new at the plane.
    fn changes(&self) -> Fresh {
        let number = self.began.elapsed().as_micros();
        let fresh = Fresh { name: format!("Fresh {number}"), secret: format!("canary-fresh-{number:032x}") };
        self.plane().put_application(application(&fresh.name, &fresh.secret));
        fresh
    }

    /// Waits until what is new has arrived; does what a person is asked to do where the plane has made that necessary.
    async fn comes_back(&self, fresh: &Fresh) -> Result<Status, Breach> {
        let until = Instant::now() + self.variation.patience;
        let client = self.client();
        let (mut after, mut last, mut dropped) = (None, None, false);
        while Instant::now() < until {
            match tokio::time::timeout(Duration::from_millis(200), client.status(after)).await {
                Ok(Ok(status)) => {
                    after = Some(status.revision);
                    last = Some(status);
                }
                Ok(Err(error)) => return Err(Breach::of(Promise::Kills, format!("the agent is gone: {error}"))),
                // The board stands still; the files may not.
                Err(_) => {}
            }
            let Some(status) = &last else { continue };
            let well = status.state == State::Healthy && status.endeavour.is_none();
            if well && self.has_arrived(fresh) && self.is_applied(status) && self.is_reported() {
                return Ok(last.unwrap());
            }
            if !dropped && asks_for_a_token(status, self.host().token().exists()) {
                dropped = true;
                if self.had_a_token() {
                    self.may_cost_a_token(status)?;
                }
                self.drop_token();
            }
        }
        let applied = last.as_ref().is_some_and(|status| self.is_applied(status));
        let missing = [("the files", self.has_arrived(fresh)), ("a hook", applied), ("the label", self.is_reported())];
        let missing: Vec<_> = missing.into_iter().filter(|(_, there)| !there).map(|(what, _)| what).collect();
        let shown = last.map_or_else(String::new, |status| {
            let problems: Vec<_> =
                status.problems.iter().map(|(area, known)| format!("{area:?}: {}", known.what)).collect();
            format!("{}; {}; {problems:?}; {:?}", status.state.as_str(), status.headline, status.sync)
        });
        let patience = self.variation.patience.as_secs();
        Err(Breach::of(
            Promise::LastGood,
            format!("{patience} seconds after all trouble the host is not back, {missing:?} missing: {shown}"),
        ))
    }

    /// Whether the files show what is new, and hooks were told.
    fn has_arrived(&self, fresh: &Fresh) -> bool {
        let slug = fresh.name.to_lowercase().replace(' ', "-");
        let host = self.host();
        let folder = host.path(&format!("state/config/current/applications/{slug}/bundles/orders/credentials.json"));
        let holds =
            |path: &std::path::Path, text: &str| std::fs::read_to_string(path).is_ok_and(|read| read.contains(text));
        holds(&folder, &fresh.secret) && host.path(&format!("etc/{slug}.conf")).exists()
    }

    /// Whether hooks were told of what is current. What they were told last may be something else: of a renewal, say.
    fn is_applied(&self, status: &Status) -> bool {
        let Some(output) = &status.output else { return false };
        let told = format!("config-changed {}", output.generation);
        let events = std::fs::read_to_string(self.host().path("spool/events")).unwrap_or_default();
        events.lines().any(|line| line == told) && status.apply.as_ref().is_some_and(|apply| apply.succeeded)
    }

    fn is_reported(&self) -> bool {
        self.plane().runtime_labels(&self.scene.runtime).get(LABEL) == Some(&self.label().into())
    }

    /// That a new token is needed for what the plane has done, and that the status says so.
    fn may_cost_a_token(&self, status: &Status) -> Result<(), Breach> {
        if !self.variation.may_cost_a_token && !self.plane().requests().iter().any(costs_a_token) {
            return Err(Breach::of(
                Promise::Kills,
                format!("a token was lost that the plane would have taken: {} {:?}", status.headline, status.problems),
            ));
        }
        let told =
            [Area::Pairing, Area::Certificate, Area::TokenFile].iter().any(|area| !problem(status, *area).is_empty());
        if !told || !status.headline.contains("token") {
            return Err(Breach::of(
                Promise::Sentences,
                format!("a new token is needed, and the status does not say so: {}", status.headline),
            ));
        }
        Ok(())
    }

    /// That what was asked for once is there, once, for whoever asks for it again.
    async fn binds(&self) -> Vec<Breach> {
        let (platform, body) = (self.platform(), self.offer.binding());
        let path = format!("{}?accepts_incomplete=true", binding("i", "b"));
        let until = Instant::now() + self.variation.patience;
        // The instance may never have come to be.
        let _ = platform.ask_if_there(Method::PUT, &instance("i"), Some(&self.offer.instance())).await;
        let mut last = String::new();
        while Instant::now() < until {
            match platform.ask_if_there(Method::PUT, &path, Some(&body)).await {
                Ok(answer) if [200, 201].contains(&answer.status) => {
                    let held = self.plane().instance_auths(&self.scene.runtime);
                    let wrong = held.len() != 1;
                    let breach =
                        Breach::of(Promise::Kills, format!("one binding has other credentials than one set: {held:?}"));
                    return wrong.then_some(breach).into_iter().collect();
                }
                Ok(answer) => last = format!("{answer:?}"),
                Err(error) => last = error.to_string(),
            }
            // As it is told to a client: in a moment.
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        vec![Breach::of(Promise::LastGood, format!("the binding that was asked for never came to be: {last}"))]
    }

    fn observed(&self, said: Vec<(String, String)>, last: Option<Status>, fresh: Fresh) -> Observed {
        let plane = self.plane();
        let at_the_plane: BTreeSet<_> = plane.applications().iter().map(|known| known.id.clone()).collect();
        let mut secrets = plane.canaries();
        secrets.extend([LOGIN.to_owned(), TILL.to_owned(), fresh.secret]);
        Observed {
            log: self.host().log(),
            told: std::fs::read_to_string(self.host().path("told")).unwrap_or_default(),
            seen: std::mem::take(&mut *self.seen()),
            last,
            said,
            requests: plane.requests(),
            counters: plane.counters(),
            at_the_plane,
            secrets,
            tree: everything(&self.host().path("")),
            lasted: self.began.elapsed(),
            orders: self.orders(),
            bounds: self.variation.bounds,
        }
    }
}

/// Whether the host waits for a person to drop a token.
fn asks_for_a_token(status: &Status, waiting: bool) -> bool {
    let idle = status.endeavour.is_none() && !waiting;
    match status.state {
        State::Unpaired => idle,
        State::ActionNeeded => idle && (status.identity.is_none() || !problem(status, Area::Pairing).is_empty()),
        State::Expired | State::Rejected | State::Lost => idle,
        State::Pairing | State::Healthy | State::Degraded => false,
    }
}

/// Whether this request may have spent a token, or was told by the plane that its token is none.
fn costs_a_token(request: &Request) -> bool {
    let spoken = ["failure", "body", "null-field", "errors-beside"];
    request.endpoint == Endpoint::Connector
        && request.token_present
        && (request.processed || request.faults.iter().any(|fault| spoken.contains(&fault.as_str())))
}
