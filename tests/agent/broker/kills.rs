//! SIGKILL at every call that changes the broker's store, and at what is said to the plane and to a client: while a binding
//! is made, and while it is given back. However it ends, what the host believes is what the plane has.

use std::cell::Cell;

use plane::{Answering, HeldAuth, Options, TokenForm};
use reqwest::Method;
use runtime_agent::agent::status::Status;
use runtime_agent::config::{ApplyMode, Seconds, Settings};

use super::platform::{Offer, Platform, binding, instance};
use super::shop::{Shop, agree, counts, open};
use crate::host::{Agent, Host, within};
use crate::kills::trace::{Call, Kill, Trace, Traced, Watch, at_every_call_side_by_side, need_strace};
use crate::scene::is_well;

const STORE: Watch = Watch::File("state/broker.redb");

/// No other process is started, and the agent is soon sure that a request came to nothing.
fn quick(settings: &mut Settings) {
    open(settings);
    settings.apply.mode = ApplyMode::Off;
    settings.plane.answer_timeout = Seconds::new(1);
}

/// A plane whose applications answer at once, and hosts of it.
async fn shop() -> Shop {
    need_strace();
    Shop::with(Options { answering: Answering::Promptly, ..Options::default() }, quick).await
}

/// A host of its own, for one run.
struct Site<'a> {
    shop: &'a Shop,
    offer: &'a Offer,
    runtime: String,
    host: Host,
    platform: Platform,
}

impl<'a> Site<'a> {
    /// Paired, with an instance.
    async fn new(shop: &'a Shop, offer: &'a Offer) -> Self {
        let host = Host::in_memory(&shop.scene.plane, quick);
        let runtime = shop.scene.plane.register_runtime("host");
        let platform = Platform::at(&host);
        let site = Self { shop, offer, runtime, host, platform };
        let agent = site.host.start().await;
        site.host.drop_token(&shop.scene.plane.mint_token(&site.runtime, TokenForm::Json));
        agent.wait_for("the host to be paired", is_well).await;
        site.platform.offers(offer).await;
        assert_eq!(site.platform.put(&instance("i"), &offer.instance()).await.status, 201);
        agent.terminate().await;
        site
    }

    /// The same, with a binding.
    async fn bound(shop: &'a Shop, offer: &'a Offer) -> Self {
        let site = Self::new(shop, offer).await;
        let agent = site.host.start().await;
        site.platform.offers(offer).await;
        site.has_bound(&agent).await;
        agent.terminate().await;
        site
    }

    fn bind(&self) -> String {
        format!("{}?accepts_incomplete=true", binding("i", "b"))
    }

    fn unbind(&self) -> String {
        format!("{}?{}&accepts_incomplete=true", binding("i", "b"), self.offer.query())
    }

    fn held(&self) -> Vec<HeldAuth> {
        self.shop.scene.plane.instance_auths(&self.runtime)
    }

    /// Asks an agent that may be about to end, and lets it do what is under way then; whether there was an answer.
    async fn ask(&self, agent: &mut Agent<'_>, method: Method, path: &str) -> bool {
        let offered = async { while let Ok(false) = self.platform.is_offered_if_there(self.offer).await {} };
        within("the catalog", offered).await;
        let body = (method == Method::PUT).then(|| self.offer.binding());
        let answered = self.platform.ask_if_there(method, path, body.as_ref()).await.is_ok();
        if answered {
            agent.ends_before(|status| counts(status).under_way == 0).await;
        }
        answered
    }

    /// Repeats a request until it is answered by one of these; others are told that it may be repeated.
    async fn repeats(&self, agent: &Agent<'_>, method: Method, path: &str, done: [u16; 2]) {
        let body = (method == Method::PUT).then(|| self.offer.binding());
        let asking = async {
            loop {
                let answer = self.platform.ask(method.clone(), path, body.as_ref()).await;
                if done.contains(&answer.status) {
                    return;
                }
                assert!([202, 422, 429, 503].contains(&answer.status), "{answer:?}");
                if answer.status == 202 {
                    agent.wait_for("the end of it", |status| counts(status).under_way == 0).await;
                }
            }
        };
        within("an answer that ends it", asking).await;
    }

    async fn has_bound(&self, agent: &Agent<'_>) {
        self.repeats(agent, Method::PUT, &self.bind(), [200, 201]).await;
        assert_eq!(self.held().len(), 1, "{:?}", self.held());
        agree(&self.host, &self.held()).await;
    }

    async fn has_unbound(&self, agent: &Agent<'_>) {
        self.repeats(agent, Method::DELETE, &self.unbind(), [200, 410]).await;
        assert_eq!(self.held(), []);
        agree(&self.host, &[]).await;
    }

    /// Nobody repeats anything: what the host began, it brings to an end by itself.
    async fn comes_to_rest(&self, agent: &Agent<'_>) {
        let is_at_rest = |status: &Status| status.broker.is_some() && counts(status).under_way == 0;
        agent.wait_for("what was under way", is_at_rest).await;
        assert!(self.held().len() <= 1, "{:?}", self.held());
        agree(&self.host, &self.held()).await;
    }
}

/// What a client does once the agent is back.
#[derive(Debug, Clone, Copy)]
enum Client {
    Repeats,
    ChangesItsMind,
    IsGone,
}

impl Client {
    /// One of them for each kill, in turn.
    fn of(kill: Option<&Kill>) -> Self {
        [Self::Repeats, Self::ChangesItsMind, Self::IsGone][kill.map_or(0, Kill::when) % 3]
    }
}

/// What kills came upon: how often the plane had credentials for the host or had none, and of those who asked, how many
/// had no answer.
#[derive(Debug, Default)]
struct Tally {
    with: Cell<usize>,
    without: Cell<usize>,
    unanswered: Cell<usize>,
}

impl Tally {
    fn note(&self, site: &Site<'_>, answered: Option<bool>) {
        let add = |to: &Cell<usize>| to.set(to.get() + 1);
        add(if site.held().is_empty() { &self.without } else { &self.with });
        if answered == Some(false) {
            add(&self.unanswered);
        }
    }

    /// That there was some of everything.
    fn is_rich(&self) {
        assert!(self.with.get() > 1 && self.without.get() > 1 && self.unanswered.get() > 1, "{self:?}");
    }
}

async fn killed_while_binding(
    (shop, offer): (&Shop, &Offer),
    watch: Watch,
    kill: Option<&Kill>,
    tally: &Tally,
) -> Trace {
    let site = Site::new(shop, offer).await;
    let mut traced = Traced::watching(&site.host, watch, kill).await;
    let mut answered = None;
    if let Some(agent) = &mut traced.agent {
        answered = Some(site.ask(agent, Method::PUT, &site.bind()).await);
    }
    let trace = traced.calls().await;
    tally.note(&site, answered);
    let agent = site.host.start().await;
    site.platform.offers(offer).await;
    match Client::of(kill) {
        Client::Repeats => site.has_bound(&agent).await,
        Client::ChangesItsMind => site.has_unbound(&agent).await,
        Client::IsGone => site.comes_to_rest(&agent).await,
    }
    trace
}

async fn killed_while_unbinding(
    (shop, offer): (&Shop, &Offer),
    watch: Watch,
    kill: Option<&Kill>,
    tally: &Tally,
) -> Trace {
    let site = Site::bound(shop, offer).await;
    let mut traced = Traced::watching(&site.host, watch, kill).await;
    let mut answered = None;
    if let Some(agent) = &mut traced.agent {
        answered = Some(site.ask(agent, Method::DELETE, &site.unbind()).await);
    }
    let trace = traced.calls().await;
    tally.note(&site, answered);
    let agent = site.host.start().await;
    site.platform.offers(offer).await;
    match Client::of(kill) {
        Client::Repeats | Client::ChangesItsMind => site.has_unbound(&agent).await,
        Client::IsGone => site.comes_to_rest(&agent).await,
    }
    trace
}

/// How many of the calls wrote, and how many made what was written durable.
fn written(calls: &[Call]) -> (usize, usize) {
    let named = |name: &str| calls.iter().filter(|call| call.is(name)).count();
    (named("pwrite64"), named("fdatasync"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_write_of_the_store_while_a_binding_is_made_leaves_one_set_of_credentials_or_none() {
    let shop = shop().await;
    for (offer, commits) in [(&shop.at_once, 2), (&shop.on_request, 3)] {
        let tally = Tally::default();
        let run = async |kill: Option<&Kill>| killed_while_binding((&shop, offer), STORE, kill, &tally).await;
        let (writes, syncs) = written(&at_every_call_side_by_side(run).await);
        assert!(syncs >= commits && writes >= 4 * commits, "{writes} writes, {syncs} of them made durable");
        tally.is_rich();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_write_of_the_store_while_a_binding_is_given_back_leaves_it_given_back_or_as_it_was() {
    let shop = shop().await;
    for offer in [&shop.at_once, &shop.on_request] {
        let tally = Tally::default();
        let run = async |kill: Option<&Kill>| killed_while_unbinding((&shop, offer), STORE, kill, &tally).await;
        let (writes, syncs) = written(&at_every_call_side_by_side(run).await);
        assert!(syncs >= 3 && writes >= 12, "{writes} writes, {syncs} of them made durable");
        tally.is_rich();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_the_plane_is_asked_or_the_client_answered_leaves_host_and_plane_of_one_mind() {
    let shop = shop().await;
    let offer = &shop.at_once;
    let tallies = [Tally::default(), Tally::default()];
    let bind = async |kill: Option<&Kill>| killed_while_binding((&shop, offer), Watch::Talk, kill, &tallies[0]).await;
    let unbind =
        async |kill: Option<&Kill>| killed_while_unbinding((&shop, offer), Watch::Talk, kill, &tallies[1]).await;
    let kills = [at_every_call_side_by_side(bind).await, at_every_call_side_by_side(unbind).await];
    for kills in &kills {
        let count = |is: fn(&Call) -> bool| kills.iter().filter(|call| is(call)).count();
        assert!(count(Call::is_request) > 3 && count(Call::is_answer) > 0, "{kills:?}");
    }
    // Both together: how soon the plane answers decides which of these calls can be hit, and a run that is not killed
    // counts as well.
    let all = |of: fn(&Tally) -> &Cell<usize>| tallies.iter().map(|tally| of(tally).get()).sum::<usize>();
    let (with, without, unanswered) = (all(|it| &it.with), all(|it| &it.without), all(|it| &it.unanswered));
    assert!(with > 2 && without > 2 && unanswered > 2, "{tallies:?}");
}
