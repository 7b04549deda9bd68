//! The broker's loop against a simulated plane over real TLS, with a clock that jumps: two days of clients that do what
//! they like, a plane that fails in every way that it has, and an agent that is killed now and then. In the end, the
//! plane and the host have the same bindings.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use plane::model::{Auth, Condition, Credential};
use plane::{Dialect, Endpoint, Fault, Generate, KeyAlgorithm, Options, Plane, RetryAfter, Verdict};
use tokio::sync::{mpsc, watch};

use super::{BrokerLoop, Learned, Misread, Origin, Surroundings};
use crate::agent::board::Board;
use crate::agent::link;
use crate::agent::newest::Newest;
use crate::agent::paired::pair;
use crate::agent::status::Status;
use crate::agent::world::World;
use crate::broker::{
    Bind, Bound, Broker, Catalog, Offer, OperationState, Order, Overview, Patience, Provision, Refusal, SecretText,
    Unbound, Wanted,
};
use crate::clock::Clock;
use crate::config::{self, Brokerage, Seconds, Settings};
use crate::director::FetchOptions;
use crate::identity::Identity;
use crate::output::Names;
use crate::snapshot::brake::Consent;
use crate::transport::Protocol;

/// Something goes wrong with the next few calls.
fn mishap(dice: &mut fastrand::Rng) -> Fault {
    let mut fault = Fault::on(Endpoint::Director).times(dice.u32(1..4));
    if dice.bool() {
        let names = [
            "requestBundleInstanceAuthCreation",
            "requestBundleInstanceAuthDeletion",
            "bundleInstanceAuth",
            "application",
        ];
        fault = fault.operation(*dice.choice(&names).unwrap());
    }
    match dice.u32(0..16) {
        0 => fault.status(500, "broken"),
        1 => fault.status(502, "bad gateway"),
        2 => fault.rate_limited(None),
        3 => fault.rate_limited(Some(RetryAfter::Seconds(dice.u64(1..900)))),
        4 => fault.reset(),
        5..=8 => fault.lost_answer(),
        9 => fault.refuse(),
        10 => fault.truncate(dice.usize(1..200)),
        11 => fault.body("<html>not what you want</html>"),
        12 => fault.errors_beside("half of it"),
        13 => fault.failure(10, "internal"),
        14 => fault.failure(dice.choice([23, 26, 27, 32, 35]).unwrap(), "not now"),
        _ => fault.content_type("text/html"),
    }
}

/// What a client knows of a binding of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// It has the credentials.
    Mine,
    /// It has given them back.
    GivenBack,
    /// It has to ask.
    Unsure,
}

/// What is known of a binding, and who is asking for it.
#[derive(Debug)]
struct Page {
    known: Known,
    /// How many requests were begun.
    begun: u32,
    /// How many of them are not answered.
    open: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self { known: Known::Unsure, begun: 0, open: 0 }
    }
}

/// Everything that outlives the agent.
struct Scene {
    world: Rc<World>,
    plane: Plane,
    runtime: String,
    settings: Settings,
    identity: Identity,
    dice: RefCell<fastrand::Rng>,
    ledger: RefCell<BTreeMap<(String, String), Page>>,
}

/// One life of the agent.
struct Life {
    broker: Broker,
    catalog: watch::Receiver<Option<Arc<Catalog>>>,
    learned: Newest<Learned>,
    status: watch::Receiver<Status>,
    /// Neither changes; but without a sender, a change could not even be waited for.
    _settings: watch::Sender<Rc<Settings>>,
    _identity: watch::Sender<Option<Rc<Identity>>>,
}

impl Scene {
    /// What the plane lists now, as the other loop would hand it on; nothing while the plane fails.
    async fn poll(&self, life: &Life) {
        let director = link::director(&self.settings, &self.identity, Protocol::Negotiated).unwrap();
        let runtime = self.runtime.parse().unwrap();
        if let Ok(fetched) = director.fetch(&runtime, &FetchOptions::default()).await {
            life.learned.put(Learned {
                misread: Misread::default(),
                snapshot: fetched.snapshot.into(),
                names: Arc::new(Names::default()),
                dialect: Some(fetched.dialect),
                origin: Origin::Plane(Consent::NotGiven),
            });
        }
    }

    fn roll(&self, sides: usize) -> usize {
        self.dice.borrow_mut().usize(0..sides)
    }

    /// The agent from its start on, and the way to it.
    fn start(&self) -> (BrokerLoop, Life) {
        let clock: Rc<dyn Clock> = self.world.clone();
        let board = Board::new(Status::new("token".into(), clock.now()), clock.clone());
        let status = board.subscribe();
        let (sender, orders) = mpsc::channel(64);
        let (catalog_sender, catalog) = watch::channel(None);
        let (sync, _) = mpsc::channel(1);
        let learned = Newest::default();
        let pulse = self.world.pulse();
        let (settings_sender, settings) = watch::channel(Rc::new(self.settings.clone()));
        let (identity_sender, identity) = watch::channel(Some(Rc::new(self.identity.clone())));
        let agent = BrokerLoop::new(Surroundings {
            clock,
            settings,
            board,
            pulse,
            identity,
            learned: learned.clone(),
            orders,
            catalog: catalog_sender,
            sync,
        });
        let broker = Broker::new(sender);
        (agent, Life { broker, catalog, learned, status, _settings: settings_sender, _identity: identity_sender })
    }

    /// A plan that is bindable, of a service, both at random.
    fn offer(&self, life: &Life) -> Option<Offer> {
        let catalog = life.catalog.borrow().clone()?;
        let plans: Vec<_> =
            catalog.services().flat_map(crate::broker::Service::plans).map(|plan| plan.offer()).collect();
        (!plans.is_empty()).then(|| plans[self.roll(plans.len())].clone())
    }

    /// A client does something.
    async fn client(&self, life: &Life) {
        let number = self.roll(12);
        // Each binding has its instance, so that a client's word is about one plan for ever.
        let (instance, binding) = (format!("instance-{number}"), format!("binding-{}", self.roll(3)));
        let known = life.broker.ask(|reply| Order::Instance(instance.parse().unwrap(), reply)).await;
        let offer = match known {
            Ok(offer) => offer,
            Err(Refusal::NotFound(_)) => {
                let Some(offer) = self.offer(life) else { return };
                let wanted = Provision { wanted: wanted(&offer), attributes: digest() };
                let made = life.broker.ask(|reply| Order::Provision(instance.parse().unwrap(), wanted, reply)).await;
                if made.is_err() {
                    return;
                }
                offer
            }
            Err(_) => return,
        };
        let patience = if self.roll(3) == 0 { Patience::Waits } else { Patience::LooksLater };
        let key = (instance.clone(), binding.clone());
        match self.roll(7) {
            0..=2 => {
                let parameters = (self.roll(2) == 0).then(|| SecretText::new("{\"a\":1}".into()));
                let wanted =
                    Bind { wanted: wanted(&offer), parameters, attributes: digest(), predecessor: None, patience };
                let begun = self.begin(&key);
                // The same request now and then many times at once.
                let times = if self.roll(10) == 0 { 20 } else { 1 };
                let asked = (0..times).map(|_| {
                    let wanted = wanted.clone();
                    life.broker
                        .ask(|reply| Order::Bind(instance.parse().unwrap(), binding.parse().unwrap(), wanted, reply))
                });
                let answers = futures_util::future::join_all(asked).await;
                let here = answers.iter().any(|answer| matches!(answer, Ok(Bound::Here { .. })));
                self.note(&key, begun, if here { Known::Mine } else { Known::Unsure });
            }
            3 | 4 => {
                let (instance, binding) = (instance.parse().unwrap(), binding.parse().unwrap());
                let begun = self.begin(&key);
                let wanted = wanted(&offer);
                let answer = life.broker.ask(|reply| Order::Unbind(instance, binding, wanted, patience, reply)).await;
                let gone = matches!(answer, Ok(Unbound::Gone) | Err(Refusal::Gone(_)));
                self.note(&key, begun, if gone { Known::GivenBack } else { Known::Unsure });
            }
            5 => {
                let (instance, binding) = (instance.parse().unwrap(), binding.parse().unwrap());
                let mine = self.is_mine(&key);
                let answer = life.broker.ask(|reply| Order::Binding(instance, binding, reply)).await;
                assert!(answer.is_ok() || !mine || !self.is_mine(&key), "{key:?}: {answer:?}");
            }
            _ => {
                let (instance, binding) = (instance.parse().unwrap(), binding.parse().unwrap());
                let mine = self.is_mine(&key);
                let answer = life.broker.ask(|reply| Order::LastOperation(instance, binding, reply)).await;
                let holds = matches!(&answer, Ok(operation) if operation.state == OperationState::Succeeded);
                assert!(holds || !mine || !self.is_mine(&key), "{key:?}: {answer:?}");
            }
        }
    }

    /// A client begins to ask for something, and knows nothing until it is answered.
    fn begin(&self, key: &(String, String)) -> u32 {
        let mut ledger = self.ledger.borrow_mut();
        let page = ledger.entry(key.clone()).or_default();
        page.known = Known::Unsure;
        page.begun += 1;
        page.open += 1;
        page.begun
    }

    /// It is answered; where others ask for something else meanwhile, nobody can know which came last.
    fn note(&self, key: &(String, String), begun: u32, known: Known) {
        let mut ledger = self.ledger.borrow_mut();
        let page = ledger.entry(key.clone()).or_default();
        page.open -= 1;
        if page.begun == begun && page.open == 0 {
            page.known = known;
        }
    }

    fn is_mine(&self, key: &(String, String)) -> bool {
        self.ledger.borrow().get(key).is_some_and(|page| page.known == Known::Mine)
    }

    /// Applications answer what they were asked, and take back what is no longer used.
    fn applications_answer(&self, each: usize) {
        for held in self.plane.instance_auths(&self.runtime) {
            if self.roll(each) != 0 {
                continue;
            }
            let password = format!("secret-{}", held.id);
            let credential = Some(Credential::Basic { username: "user".into(), password });
            let verdict = match held.condition {
                Condition::Pending if self.roll(10) == 0 => Verdict::Refuse { message: "no".into() },
                Condition::Pending => Verdict::Grant { auth: Box::new(Auth { credential, ..Auth::default() }) },
                Condition::Unused => Verdict::Remove,
                Condition::Succeeded | Condition::Failed => continue,
            };
            self.plane.answer_instance_auth(&held.id, verdict).unwrap();
        }
    }

    /// Something happens at the plane.
    fn fate(&self) {
        match self.roll(8) {
            0..=2 => self.plane.fault(mishap(&mut self.dice.borrow_mut())),
            3 => self.plane.set_dialect(if self.roll(2) == 0 { Dialect::Bundle } else { Dialect::Package }),
            4 | 5 => self.applications_answer(2),
            _ => self.plane.clear_faults(),
        }
    }

    /// Each binding with credentials at the host is one of the plane's, and the other way round.
    async fn agree(&self, life: &Life) {
        let overview = life.broker.ask(Order::Overview).await.unwrap();
        let Overview { bindings, orphans, .. } = &*overview;
        assert!(orphans.is_empty(), "{orphans:?}");
        let under_way: Vec<_> = bindings.iter().filter(|row| !matches!(&*row.phase, "ready" | "failed")).collect();
        assert!(under_way.is_empty(), "still under way: {under_way:?}");
        let here: Vec<_> = bindings.iter().filter_map(|row| row.auth.as_ref()).map(ToString::to_string).collect();
        let there: Vec<_> = self.plane.instance_auths(&self.runtime).into_iter().map(|held| held.id).collect();
        let sets: [BTreeSet<_>; 2] = [here.iter().collect(), there.iter().collect()];
        assert_eq!((sets[0].len(), sets[1].len()), (here.len(), there.len()), "none is there twice");
        assert_eq!(sets[0], sets[1], "here and there");
        for ((instance, binding), Page { known, .. }) in self.ledger.borrow().iter() {
            let row = bindings.iter().find(|row| row.instance.as_str() == instance && row.id.as_str() == binding);
            match known {
                Known::Mine => assert_eq!(row.map(|row| &*row.phase), Some("ready"), "{instance} {binding}"),
                Known::GivenBack => assert!(row.is_none(), "{instance} {binding}: {row:?}"),
                Known::Unsure => {}
            }
        }
    }
}

fn wanted(offer: &Offer) -> Wanted {
    Wanted { service: offer.service.to_string(), plan: offer.plan.to_string() }
}

fn digest() -> crate::snapshot::Sha256 {
    "0".repeat(64).try_into().unwrap()
}

#[tokio::test]
async fn two_days_of_clients_faults_and_kills_leak_no_binding_and_lose_none() {
    for seed in 1..=2 {
        two_days(seed).await;
    }
}

async fn two_days(seed: u64) {
    const HOURS: u32 = 48;
    fastrand::seed(seed);
    let world = World::at("2027-03-01T00:00:00Z".parse().unwrap());
    let options = Options {
        clock: world.plane.clone(),
        key_algorithm: KeyAlgorithm::EcdsaP256,
        certificate_lifetime: Duration::from_secs(30 * 24 * 3600),
        ..Options::default()
    };
    let plane = Plane::start(options).await.unwrap();
    plane.generate(Generate { applications: 5, bundles: 2, ..Generate::default() });
    // Of half of the bundles, credentials have to be asked for.
    plane.edit(|model| {
        let ids: Vec<_> = model.applications.keys().cloned().collect();
        for id in ids {
            let bundles = model.application_mut(&id).into_iter().flat_map(|application| &mut application.bundles);
            for bundle in bundles.skip(1) {
                bundle.default_instance_auth = None;
            }
        }
    });
    let runtime = plane.register_runtime("host");
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.plane.ca_bundle = Some(folder.path().join("ca.pem"));
    settings.plane.answer_timeout = Seconds::new(60);
    settings.plane.stall_timeout = Seconds::new(2);
    settings.paths.state = folder.path().join("state");
    settings.broker.enabled = Brokerage::Open;
    settings.broker.orphans = config::Orphans::Report;
    std::fs::write(folder.path().join("ca.pem"), plane.server_ca_pem()).unwrap();
    std::fs::create_dir(&settings.paths.state).unwrap();
    let identity = pair(&plane, &runtime, &settings).await;
    let dice = RefCell::new(fastrand::Rng::with_seed(seed));
    let scene = Scene { world, plane, runtime, settings, identity, dice, ledger: RefCell::default() };

    let (mut steps, mut lives) = (0, 0);
    while steps < HOURS * 20 {
        let (agent, life) = scene.start();
        lives += 1;
        // Some lives are short.
        let length = scene.roll(150);
        let living = async {
            scene.poll(&life).await;
            for _ in 0..length {
                steps += 1;
                scene.world.pass(Duration::from_secs(180)).await;
                scene.fate();
                let clients = (0..scene.roll(4)).map(|_| scene.client(&life));
                futures_util::future::join_all(clients).await;
                if scene.roll(3) == 0 {
                    scene.poll(&life).await;
                }
            }
            // It is killed while clients and requests are under way.
            let clients = (0..4).map(|_| scene.client(&life));
            let begun = futures_util::future::join_all(clients);
            let _ = tokio::time::timeout(Duration::from_millis(scene.roll(8) as u64), begun).await;
        };
        tokio::select! {
            biased;
            () = living => {}
            () = agent.run() => unreachable!("the loop does not end by itself"),
        }
        // What they were about to hear, they never will.
        scene.ledger.borrow_mut().values_mut().for_each(|page| page.open = 0);
    }
    assert!(lives > 5, "{lives} lives");

    let (agent, mut life) = scene.start();
    let ending = async {
        scene.plane.clear_faults();
        for _ in 0..24 {
            scene.poll(&life).await;
            scene.world.pass(Duration::from_secs(600)).await;
            scene.applications_answer(1);
        }
        scene.agree(&life).await;
        let problems = life.status.borrow_and_update().problems.clone();
        assert!(problems.is_empty(), "{problems:?}");
    };
    tokio::select! {
        biased;
        () = ending => {}
        () = agent.run() => unreachable!("the loop does not end by itself"),
    }
    let requests = scene.plane.requests();
    let asked_for = |name: &str| requests.iter().filter(|request| request.is(name)).count();
    let [made, given_back] = ["Creation", "Deletion"].map(|what| {
        ["Bundle", "Package"].map(|word| asked_for(&format!("request{word}InstanceAuth{what}"))).iter().sum::<usize>()
    });
    assert!(made > 50 && given_back > 50, "{made} creations and {given_back} deletions are a quiet life");
    assert!(requests.len() < 30_000, "{} requests in two days", requests.len());
}
