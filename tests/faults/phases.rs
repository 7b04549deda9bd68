//! The phases of an agent's life in which something may go wrong: how a host is brought to each, and what begins it.

use std::sync::atomic::Ordering;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plane::Endpoint;
use reqwest::Method;

use crate::host::Agent;
use crate::platform::{binding, instance};
use crate::room::{Room, application};
use crate::scene::is_settled;

/// What the agent is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Present a token, and get a certificate.
    Pair,
    /// Get another certificate.
    Renew,
    /// Ask for the applications, and publish what changed.
    Fetch,
    /// Set labels.
    Report,
    /// Ask for credentials for a client of the broker.
    Bind,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pair, Self::Renew, Self::Fetch, Self::Report, Self::Bind];

    /// Its name, as it stands in names of cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Renew => "renew",
            Self::Fetch => "fetch",
            Self::Report => "report",
            Self::Bind => "bind",
        }
    }

    /// Where the plane is met, and the requests that are made there, in their order.
    pub fn requests(self) -> &'static [(Endpoint, &'static str)] {
        match self {
            Self::Pair => &[
                (Endpoint::Connector, "configuration"),
                (Endpoint::Connector, "signCertificateSigningRequest"),
                (Endpoint::Director, "viewer"),
                (Endpoint::Director, "applicationsForRuntime"),
            ],
            Self::Renew => &[
                (Endpoint::SecuredConnector, "configuration"),
                (Endpoint::SecuredConnector, "signCertificateSigningRequest"),
            ],
            Self::Fetch => &[(Endpoint::Director, "applicationsForRuntime")],
            Self::Report => &[(Endpoint::Director, "Runtime"), (Endpoint::Director, "setRuntimeLabel")],
            Self::Bind => &[(Endpoint::Director, "requestBundleInstanceAuthCreation")],
        }
    }
}

impl Room {
    /// Starts the agent and brings it to where the phase can begin.
    pub async fn brought_to(&self, phase: Phase) -> Agent<'_> {
        let agent = self.start().await;
        self.prepared(&agent, phase).await;
        agent
    }

    /// Brings a running agent there.
    pub async fn prepared(&self, agent: &Agent<'_>, phase: Phase) {
        if phase == Phase::Pair {
            return;
        }
        if !self.had_a_token() {
            self.drop_token();
        }
        agent.wait_for("the host to be paired and the files applied", is_settled).await;
        let label = |state: &plane::State| {
            let runtime = state.model.runtimes.get(&self.scene.runtime);
            runtime.and_then(|runtime| runtime.labels.get(crate::room::LABEL)) == Some(&self.label().into())
        };
        crate::host::within("the labels", self.plane().wait_until(label)).await;
        if phase == Phase::Bind {
            let platform = self.platform();
            platform.offers(&self.offer).await;
            let made = platform.put(&instance("i"), &self.offer.instance()).await;
            assert!([200, 201].contains(&made.status), "{made:?}");
        }
    }

    /// Lets the phase begin. Nothing is awaited, and the agent may be gone at any time.
    pub async fn go(&self, agent: &Agent<'_>, phase: Phase) {
        match phase {
            Phase::Pair => self.drop_token(),
            Phase::Renew => {
                self.ordered();
                // Without an answer, it has ended.
                let _ = tokio::time::timeout(std::time::Duration::from_secs(10), agent.renew_if_alive()).await;
            }
            Phase::Fetch => {
                self.plane().put_application(application("Changed", "canary-changed-0123456789abcdef0123456789"));
                self.ordered();
                self.signalled(agent, Signal::SIGUSR1);
            }
            Phase::Report => {
                self.relabel();
                self.signalled(agent, Signal::SIGHUP);
            }
            Phase::Bind => {
                self.bound.store(true, Ordering::SeqCst);
                self.ordered();
                let (platform, body) = (self.platform(), self.offer.binding());
                // Whoever asked may not care for the answer, and the agent may be gone before it comes.
                tokio::spawn(async move {
                    let path = format!("{}?accepts_incomplete=true", binding("i", "b"));
                    let _ = platform.ask_if_there(Method::PUT, &path, Some(&body)).await;
                });
            }
        }
    }

    /// Sends a signal, if there is still somebody to take it.
    pub fn signalled(&self, agent: &Agent<'_>, signal: Signal) {
        if let Some(pid) = self.seen().pid.or_else(|| Some(agent.pid())) {
            let _ = kill(Pid::from_raw(pid.try_into().unwrap()), signal);
        }
    }
}
