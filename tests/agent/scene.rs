//! A plane with a registered runtime, and the host that is to be it.

use plane::{Endpoint, Generate, KeyAlgorithm, Options, Plane, Request, TokenForm};
use runtime_agent::agent::status::{Area, State, Status};
use runtime_agent::config::Settings;
use runtime_agent::pairing::Verdict;

use crate::host::{Agent, Host, within};

/// A plane, one of its runtimes, and a host.
pub struct Scene {
    pub plane: Plane,
    pub runtime: String,
    pub host: Host,
}

impl Scene {
    /// A plane with three applications, and a host that is not paired yet.
    pub async fn new() -> Self {
        Self::with(Options::default(), |_| {}).await
    }

    /// The same, with other options and settings.
    pub async fn with(options: Options, change: impl FnOnce(&mut Settings)) -> Self {
        // Elliptic keys take no time to make; that of another kind is asked for where it matters.
        let plane = Plane::start(Options { key_algorithm: KeyAlgorithm::EcdsaP256, ..options }).await.unwrap();
        plane.generate(Generate { events: 1, ..Generate::default() });
        let runtime = plane.register_runtime("host");
        let host = Host::new(&plane, change);
        Self { plane, runtime, host }
    }

    /// A new token for the runtime.
    pub fn mint(&self) -> String {
        self.plane.mint_token(&self.runtime, TokenForm::Json)
    }

    /// Starts the agent and brings it to where everything is well.
    pub async fn paired(&self) -> Agent<'_> {
        let agent = self.host.start().await;
        self.host.drop_token(&self.mint());
        agent.wait_for("the host to be paired and the files applied", is_settled).await;
        agent
    }

    /// The same, where nothing is applied.
    pub async fn paired_without_hooks(&self) -> Agent<'_> {
        let agent = self.host.start().await;
        self.host.drop_token(&self.mint());
        agent.wait_for("the host to be paired", is_well).await;
        agent
    }

    /// Waits until the plane has been asked as it should have been.
    pub async fn asked(&self, what: &str, holds: impl FnMut(&[Request]) -> bool) {
        within(what, self.plane.wait_for(holds)).await;
    }

    /// The requests of this name.
    pub fn requests(&self, name: &str) -> Vec<Request> {
        self.plane.requests().into_iter().filter(|request| request.is(name)).collect()
    }

    /// How many requests went to the Connector, with a token and with a certificate.
    pub fn connector_requests(&self) -> usize {
        let to_connector = |request: &&Request| request.endpoint != Endpoint::Director;
        self.plane.requests().iter().filter(to_connector).count()
    }
}

/// Whether nothing is wrong or under way, and the plane was asked since the start.
pub fn is_well(status: &Status) -> bool {
    let asked = asked_since_the_start(status) && status.output.is_some();
    status.state == State::Healthy && status.endeavour.is_none() && asked
}

/// Whether the plane has given an answer since this process began; older ones are remembered.
pub fn asked_since_the_start(status: &Status) -> bool {
    status.sync.last_success.is_some_and(|at| at >= status.agent.started_at)
}

/// Whether all is well, and the last that hooks were told of is what is current. (Hooks are told of other things, too.)
pub fn is_settled(status: &Status) -> bool {
    let current = status.output.as_ref().map(|output| output.generation);
    let applied = status.apply.as_ref().filter(|apply| apply.succeeded).and_then(|apply| apply.generation);
    status.state == State::Healthy && status.endeavour.is_none() && current.is_some() && applied == current
}

/// What is said to be wrong in an area; nothing where nothing is.
pub fn problem(status: &Status, area: Area) -> &str {
    status.problems.get(&area).map_or("", |problem| &problem.what)
}

/// Whether the last token came to this end.
pub fn verdict(status: &Status) -> Option<Verdict> {
    status.token.as_ref().map(|token| token.verdict)
}

/// How often a request of this name was carried out.
pub fn carried_out(requests: &[Request], name: &str) -> usize {
    requests.iter().filter(|request| request.is(name) && request.processed).count()
}
