//! The identity loop against a simulated plane over real TLS, with a clock that jumps from one thing that is due to
//! the next: years in seconds.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use plane::{Endpoint, Fault, KeyAlgorithm, Options, Plane, TokenForm};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Answered, How, Order, Surroundings, TrustLoop};
use crate::agent::board::Board;
use crate::agent::pulse::Pulse;
use crate::agent::standing::Standing;
use crate::agent::status::{Area, State, Status};
use crate::agent::world::World;
use crate::apply::Notice;
use crate::clock::{self, Clock};
use crate::config::Settings;
use crate::disk::StateLock;
use crate::identity::IdentityStore;
use crate::pairing::PairingFiles;
use crate::token::{Arrival, Dropped, TokenFile, parse};
use crate::transport::Denial;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A host in that world, and its plane.
struct Scene {
    world: Rc<World>,
    plane: Plane,
    runtime: String,
    folder: tempfile::TempDir,
    settings: Settings,
}

/// The ends of the loop that a test holds.
struct Host {
    status: watch::Receiver<Status>,
    arrivals: mpsc::Sender<Arrival>,
    answers: mpsc::Sender<Answered>,
    orders: mpsc::Sender<Order>,
    notices: Rc<RefCell<Vec<Notice>>>,
    _lock: StateLock,
}

impl Scene {
    async fn new(lifetime: Duration) -> Self {
        let world = World::at("2027-03-01T00:00:00Z".parse().unwrap());
        let options = Options {
            clock: world.plane.clone(),
            key_algorithm: KeyAlgorithm::EcdsaP256,
            certificate_lifetime: lifetime,
            ..Options::default()
        };
        let plane = Plane::start(options).await.unwrap();
        let runtime = plane.register_runtime("host");
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.plane.ca_bundle = Some(folder.path().join("ca.pem"));
        settings.paths.state = folder.path().join("state");
        settings.paths.pairing = folder.path().join("pairing");
        std::fs::write(folder.path().join("ca.pem"), plane.server_ca_pem()).unwrap();
        std::fs::create_dir(folder.path().join("pairing")).unwrap();
        std::fs::create_dir(folder.path().join("state")).unwrap();
        Self { world, plane, runtime, folder, settings }
    }

    /// Runs the loop, with `act` as all the rest of the world, until that is over.
    async fn run<T>(&self, act: impl AsyncFnOnce(&Host) -> T) -> T {
        let state = &self.settings.paths.state;
        let clock: Rc<dyn Clock> = self.world.clone();
        let board = Board::new(Status::new("token".into(), clock.now()), clock.clone());
        let status = board.subscribe();
        let (_settings, settings) = watch::channel(Rc::new(self.settings.clone()));
        let (arrivals, arrival_receiver) = mpsc::channel(1);
        let (orders, order_receiver) = mpsc::channel(1);
        let (answers, answer_receiver) = mpsc::channel(1);
        let (notice_sender, mut notice_receiver) = mpsc::unbounded_channel();
        let (clearing, _clear) = mpsc::channel(1);
        let notices = Rc::new(RefCell::new(Vec::new()));
        let host = Host {
            status,
            arrivals,
            answers,
            orders,
            notices: notices.clone(),
            _lock: StateLock::take(state).unwrap(),
        };
        let trust = TrustLoop::new(
            Surroundings {
                clock,
                settings,
                board,
                pulse: Pulse::default(),
                arrivals: arrival_receiver,
                orders: order_receiver,
                answers: answer_receiver,
                identity: watch::channel(None).0,
                standing: watch::channel(Standing::Unpaired).0,
                clearing,
                notices: notice_sender,
            },
            IdentityStore::open(state).unwrap(),
            PairingFiles::new(state),
        )
        .unwrap();
        let noting = async {
            while let Some(notice) = notice_receiver.recv().await {
                notices.borrow_mut().push(notice);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = noting => unreachable!(),
            done = act(&host) => done,
            () = trust.run() => unreachable!("the loop does not end by itself"),
        }
    }

    fn token(&self) -> Arrival {
        let path = self.folder.path().join("pairing/token");
        let content = self.plane.mint_token(&self.runtime, TokenForm::Json);
        Arrival { file: TokenFile::at(path), dropped: Dropped::Token(parse(content.as_bytes()).unwrap()) }
    }

    fn not_after(&self) -> Timestamp {
        self.identity().leaf.not_after
    }

    /// The identity on disk, which is read as a whole or not at all.
    fn identity(&self) -> crate::identity::Identity {
        IdentityStore::reading(&self.settings.paths.state).current().unwrap().unwrap()
    }

    /// So many tries were made at the Connector with a certificate.
    fn tries(&self) -> usize {
        let secured = |request: &&plane::Request| request.endpoint == Endpoint::SecuredConnector;
        self.plane.requests().iter().filter(secured).count()
    }
}

impl Host {
    /// Waits until the status is as it should be.
    async fn wait_for(&self, what: &str, mut holds: impl FnMut(&Status) -> bool) -> Status {
        let mut status = self.status.clone();
        let limit = Duration::from_secs(120);
        match tokio::time::timeout(limit, status.wait_for(|status| holds(status))).await {
            Ok(status) => status.unwrap().clone(),
            Err(_) => panic!("{what}: {:#?}", self.status.borrow()),
        }
    }

    async fn pair(&self, scene: &Scene) {
        self.arrivals.send(scene.token()).await.unwrap();
        let paired = |status: &Status| status.standing == Standing::Valid && status.endeavour.is_none();
        self.wait_for("the host to be paired", paired).await;
    }

    fn told(&self, notice: Notice) -> usize {
        self.notices.borrow().iter().filter(|told| **told == notice).count()
    }

    async fn renew(&self) -> Result<String, String> {
        let (sender, receiver) = oneshot::channel();
        self.orders.send(Order::Renew(sender)).await.unwrap();
        receiver.await.unwrap()
    }
}

/// Lets time pass until the end, with outages now and then, none of which is longer than `longest`.
async fn live(scene: &Scene, host: &Host, years: f64, longest: Duration) {
    let end = clock::after(scene.world.plane.now(), (365 * DAY).mul_f64(years));
    loop {
        let now = scene.world.plane.now();
        if now >= end {
            return;
        }
        // An outage ends before the next one begins, so that the plane is there at least half of the time.
        let outage = longest.mul_f64(fastrand::f64());
        let calm = longest.mul_f64(1.0 + 8.0 * fastrand::f64());
        let (begin, over) = (scene.plane.control(), scene.plane.control());
        let kind = fastrand::u8(0..4);
        scene.world.after(calm, move |_| {
            let all = |endpoint| Fault { endpoint: Some(endpoint), ..Fault::default() };
            match kind {
                0 => begin.fault(all(Endpoint::SecuredConnector).refuse()),
                1 => begin.fault(all(Endpoint::SecuredConnector).status(503, "busy")),
                2 => begin.fault(all(Endpoint::SecuredConnector).operation("signCertificateSigningRequest").reset()),
                _ => begin.fault(all(Endpoint::Director).status(502, "bad gateway")),
            }
        });
        let (sender, done) = oneshot::channel();
        scene.world.after(calm + outage, move |_| {
            over.clear_faults();
            let _ = sender.send(());
        });
        done.await.unwrap();
        let status = host.status.borrow().clone();
        assert_eq!(status.standing, Standing::Valid, "at {now}: {:?}", status.problems);
        let identity = scene.identity();
        assert!(identity.leaf.not_after > scene.world.plane.now());
    }
}

/// Lives so many years on certificates of this lifetime, with outages up to `longest`, and checks what came of it.
async fn need_no_person(lifetime: Duration, years: f64, longest: Duration) {
    let scene = Scene::new(lifetime).await;
    scene
        .run(async |host| {
            host.pair(&scene).await;
            live(&scene, host, years, longest).await;
            assert_eq!((host.told(Notice::Paired), host.told(Notice::Expired)), (1, 0));
            let renewals = host.told(Notice::Renewed) as f64;
            // 62 to 67 in a hundred of a lifetime pass before a renewal is due, and an outage may pass besides.
            let lifetimes = years * 365.0 / (lifetime.as_secs_f64() / DAY.as_secs_f64());
            assert!((0.9..1.7).contains(&(renewals / lifetimes)), "{renewals} renewals in {lifetimes} lifetimes");
            let (tries, wakes) = (scene.tries() as f64 / renewals, scene.world.wakes.get() as f64 / renewals);
            assert!(tries < 40.0 && wakes < 100.0, "{tries} tries and {wakes} wakes for each renewal");
        })
        .await;
    let kept = std::fs::read_dir(scene.settings.paths.state.join("identity")).unwrap().count();
    assert_eq!(kept, 3, "the current one, the one before, and the link");
}

#[tokio::test]
async fn a_hundred_years_of_renewals_with_random_outages_need_no_person_and_make_no_storm() {
    fastrand::seed(1);
    need_no_person(365 * DAY, 100.0, 100 * DAY).await;
}

#[tokio::test]
async fn certificates_for_90_days_need_no_person_in_ten_years_of_random_outages() {
    fastrand::seed(2);
    need_no_person(90 * DAY, 10.0, 24 * DAY).await;
}

#[tokio::test]
async fn certificates_for_24_hours_need_no_person_in_two_months_of_random_outages() {
    fastrand::seed(3);
    need_no_person(DAY, 0.17, 6 * HOUR).await;
}

#[tokio::test]
async fn an_outage_until_the_end_is_told_in_time_and_once_and_a_new_token_mends_it() {
    let scene = Scene::new(90 * DAY).await;
    scene
        .run(async |host| {
            host.pair(&scene).await;
            scene.plane.fault(Fault::on(Endpoint::SecuredConnector).status(503, "gone"));
            let status = host.wait_for("the end", |status| status.standing == Standing::Expired).await;
            assert_eq!(status.state, State::Expired);
            assert!(status.headline.starts_with("certificate EXPIRED on 2027-05-30"), "{}", status.headline);
            assert!(status.problems[&Area::Certificate].remedy.contains("Drop a new token"));
            let tries = scene.tries();
            assert!((100..400).contains(&tries), "{tries} tries in a month");
            let last: Timestamp = scene.plane.requests().last().unwrap().time.parse().unwrap();
            assert!(clock::until(last, scene.not_after()) < Duration::from_secs(10), "it is tried until the end");
            assert_eq!((host.told(Notice::Expiring), host.told(Notice::Expired)), (1, 1));
            // Nothing is tried with what is over, however long nobody comes.
            scene.world.pass(365 * DAY).await;
            assert_eq!(scene.tries(), tries);
            host.pair(&scene).await;
            let status = host.status.borrow().clone();
            assert_eq!(status.state, State::Healthy, "{:?}", status.problems);
        })
        .await;
}

#[tokio::test]
async fn a_renewed_certificate_outlives_the_one_before_while_the_director_is_out() {
    let scene = Scene::new(DAY).await;
    scene
        .run(async |host| {
            host.pair(&scene).await;
            scene.plane.fault(Fault::on(Endpoint::Director).status(503, "away"));
            host.wait_for("the end of the first one", |status| status.standing == Standing::Expired).await;
            scene.plane.clear_faults();
            host.wait_for("the second one", |status| status.state == State::Healthy).await;
            assert_eq!((host.told(Notice::Renewed), host.told(Notice::Paired)), (1, 1));
        })
        .await;
}

#[tokio::test]
async fn a_certificate_whose_holder_lacks_scopes_is_kept_for_days_and_costs_no_second_token() {
    let scene = Scene::new(90 * DAY).await;
    scene
        .run(async |host| {
            scene.plane.set_scopes(&scene.runtime, &[]).unwrap();
            host.arrivals.send(scene.token()).await.unwrap();
            let denial = |status: &Status| status.problems.get(&Area::Pairing).and_then(|problem| problem.denial);
            host.wait_for("the denial", |status| denial(status) == Some(Denial::Scopes)).await;
            let before = scene.plane.requests().len();
            scene.world.pass(2 * DAY).await;
            let tries = scene.plane.requests().len() - before;
            assert!((500..2000).contains(&tries), "{tries} tries in two days");
            assert_eq!(denial(&host.status.borrow()), Some(Denial::Scopes));
            scene.plane.set_scopes(&scene.runtime, &plane::model::RUNTIME_SCOPES).unwrap();
            host.wait_for("the pairing", |status| status.state == State::Healthy).await;
            let to_connector = |request: &plane::Request| request.endpoint == Endpoint::Connector;
            assert!(!scene.plane.requests().iter().skip(2).any(to_connector), "one token, one certificate");
        })
        .await;
}

#[tokio::test]
async fn a_suspend_over_the_instant_of_renewal_renews_at_resume() {
    let scene = Scene::new(90 * DAY).await;
    scene
        .run(async |host| {
            host.pair(&scene).await;
            let before = scene.not_after();
            // The lid is closed for 80 days: time passes, and nothing runs.
            scene.world.plane.set(clock::after(scene.world.plane.now(), 80 * DAY));
            host.wait_for("the renewal", |_| host.told(Notice::Renewed) == 1).await;
            assert!(scene.not_after() > clock::after(before, 70 * DAY));
            assert!(clock::until(clock::after(before, Duration::ZERO), scene.not_after()) < 81 * DAY);
        })
        .await;
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_ends_nothing_for_good() {
    let scene = Scene::new(90 * DAY).await;
    scene
        .run(async |host| {
            host.pair(&scene).await;
            let before = scene.identity().leaf;
            scene.world.after(HOUR, |world| world.skew.set(10 * 365 * 24 * 3600));
            host.wait_for("the wrong clock to show", |status| status.standing == Standing::Expired).await;
            scene.world.after(HOUR, |world| world.skew.set(0));
            host.wait_for("the right clock", |status| status.state == State::Healthy).await;
            assert_eq!(scene.identity().leaf, before);
            host.wait_for("the renewal in its time", |_| host.told(Notice::Renewed) == 1).await;
        })
        .await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_no_retry_wait_longer() {
    let scene = Scene::new(90 * DAY).await;
    scene
        .run(async |host| {
            host.pair(&scene).await;
            scene.plane.fault(Fault::on(Endpoint::SecuredConnector).status(503, "busy"));
            host.wait_for("a failure", |status| status.problems.contains_key(&Area::Renewal)).await;
            let failed = scene.world.plane.now();
            let plane = scene.plane.control();
            scene.world.after(Duration::ZERO, move |world| {
                world.skew.set(-20 * 24 * 3600);
                plane.clear_faults();
            });
            host.wait_for("the renewal", |_| host.told(Notice::Renewed) == 1).await;
            assert!(clock::until(failed, scene.world.plane.now()) <= 6 * HOUR, "at {}", scene.world.plane.now());
        })
        .await;
}

#[tokio::test]
async fn a_certificate_that_is_not_yet_valid_is_waited_for_and_told() {
    let scene = Scene::new(90 * DAY).await;
    scene.world.skew.set(-3600);
    scene
        .run(async |host| {
            host.arrivals.send(scene.token()).await.unwrap();
            let status = host.wait_for("the identity", |status| status.state == State::ActionNeeded).await;
            assert_eq!(status.standing, Standing::NotYetValid);
            let problem = &status.problems[&Area::Certificate];
            assert!(problem.what.contains("the clock of this host is behind"), "{problem:?}");
            host.wait_for("its time", |status| status.state == State::Healthy).await;
            assert!(clock::until(scene.identity().leaf.not_before, scene.world.now()) < HOUR);
        })
        .await;
}

#[tokio::test]
async fn a_clock_before_the_program_was_built_is_called_wrong() {
    let scene = Scene::new(90 * DAY).await;
    scene.world.skew.set(-10 * 365 * 24 * 3600);
    scene
        .run(async |host| {
            let status = host.wait_for("the word", |status| status.problems.contains_key(&Area::Clock)).await;
            assert!(status.problems[&Area::Clock].what.contains("clock of this host is wrong"));
            scene.world.after(HOUR, |world| world.skew.set(0));
            host.wait_for("the right clock", |status| status.problems.is_empty()).await;
        })
        .await;
}

#[tokio::test]
async fn one_refusal_changes_nothing_and_a_second_one_later_is_believed() {
    let scene = Scene::new(90 * DAY).await;
    scene
        .run(async |host| {
            host.pair(&scene).await;
            let identity = scene.identity().number;
            let refused = |why: &str| Answered { identity, how: How::Refused(why.to_owned()) };
            // Any number of refusals at one instant are one refusal.
            for _ in 0..5 {
                host.answers.send(refused("at once")).await.unwrap();
            }
            scene.world.pass(DAY).await;
            assert_eq!(host.status.borrow().standing, Standing::Valid);
            host.answers.send(Answered { identity, how: How::Accepted }).await.unwrap();
            host.answers.send(refused("once")).await.unwrap();
            scene.world.pass(HOUR).await;
            assert_eq!(host.status.borrow().standing, Standing::Valid);
            host.answers.send(refused("twice")).await.unwrap();
            let status = host.wait_for("the rejection", |status| status.state == State::Rejected).await;
            assert!(status.problems[&Area::Certificate].what.contains("twice"), "{:?}", status.problems);
            assert!(status.headline.starts_with("certificate REJECTED by"), "{}", status.headline);
            assert_eq!(host.told(Notice::Rejected), 1);
            // A plane that takes it after all is believed at once.
            host.answers.send(Answered { identity, how: How::Accepted }).await.unwrap();
            host.wait_for("the pardon", |status| status.state == State::Healthy).await;
        })
        .await;
}

#[tokio::test]
async fn a_revoked_certificate_is_tried_seldom_and_a_new_token_mends_it() {
    let scene = Scene::new(90 * DAY).await;
    scene
        .run(async |host| {
            host.pair(&scene).await;
            assert_eq!(scene.plane.revoke(&scene.runtime), 1);
            host.renew().await.unwrap();
            let status = host.wait_for("the rejection", |status| status.state == State::Rejected).await;
            assert!(status.problems[&Area::Certificate].what.contains("runtime was removed there"));
            let (before, end) = (scene.tries(), scene.not_after());
            host.wait_for("the end", |status| status.state == State::Expired).await;
            let most = clock::until("2027-03-01T00:00:00Z".parse().unwrap(), end).as_secs() / 3600;
            assert!((scene.tries() - before) as u64 <= most, "at most every hour");
            host.pair(&scene).await;
            assert_eq!(host.status.borrow().state, State::Healthy);
        })
        .await;
}
