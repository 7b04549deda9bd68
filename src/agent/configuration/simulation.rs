//! The configuration loop against a simulated plane over real TLS, with a clock that jumps: two days of a plane that
//! fails in every way it has, while what it lists changes all the time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use aws_lc_rs::digest;
use plane::model::{Application, Auth, Bundle, Credential, Version};
use plane::{
    Dialect, Endpoint, Fault, Generate, KeyAlgorithm, ListChange, Options, Plane, RetryAfter, ServerCertificate,
};
use tokio::sync::{mpsc, watch};

use super::{ConfigurationLoop, Shelf, Surroundings};
use crate::agent::board::Board;
use crate::agent::link;
use crate::agent::newest::Newest;
use crate::agent::paired::pair;
use crate::agent::pulse::Pulse;
use crate::agent::standing::Standing;
use crate::agent::status::Status;
use crate::agent::world::World;
use crate::clock::{self, Clock};
use crate::config::{ByteSize, Seconds, Settings, Specifications};
use crate::director::{Documents, FetchOptions};
use crate::identity::Identity;
use crate::kept::{PlaneFile, SnapshotFile};
use crate::output::manifest::{Manifest, ObjectName};
use crate::output::{DigestKey, Store};
use crate::snapshot::{Reading, Sha256, TextKind, TextPlace, TextSlot};
use crate::transport::Protocol;

fn application(name: String, dice: &mut fastrand::Rng) -> Application {
    let password = format!("secret-{}", dice.u32(..));
    let credential = Some(Credential::Basic { username: "user".into(), password });
    let auth = Some(Auth { credential, ..Auth::default() });
    let bundle = Bundle { name: "Orders".into(), default_instance_auth: auth, ..Bundle::default() };
    Application { name, bundles: vec![bundle], ..Application::default() }
}

/// Something goes wrong with the next few calls.
fn mishap(dice: &mut fastrand::Rng) -> Fault {
    let list = "applicationsForRuntime";
    let fault = Fault::on(Endpoint::Director).times(dice.u32(1..4));
    match dice.u32(0..27) {
        0 => fault.status(500, "broken"),
        1 => fault.status(502, "bad gateway"),
        2 => fault.status(413, "too large"),
        3 => fault.rate_limited(None),
        4 => fault.rate_limited(Some(RetryAfter::Seconds(dice.u64(1..900)))),
        5 => fault.rate_limited(Some(RetryAfter::Date(dice.u64(1..900)))),
        6 => fault.reset(),
        7 => fault.lost_answer(),
        8 => fault.refuse(),
        9 => fault.truncate(dice.usize(1..2000)),
        10 => fault.body("<html>not what you want</html>"),
        11 => fault.body(r#"{"data": {"applicationsForRuntime": {"data": []}}}"#),
        12 => fault.content_type("text/html"),
        13 => fault.huge(2 << 20),
        14 => fault.gzip_bomb(2 << 20),
        15 => fault.operation(list).errors_beside("half of it"),
        16 => fault.operation(list).failure(10, "internal"),
        17 => fault.operation(list).null_field("bundles"),
        18 => fault.operation(list).total_count(dice.i64(-3..4)),
        19 => fault.server_certificate(ServerCertificate::Expired),
        20 => fault.gzip_nothing(2 << 20),
        21 => fault.content_encoding("br"),
        // These pass in real time.
        22 => fault.delay(Duration::from_millis(20)),
        23 => fault.drip(4096, Duration::from_millis(1)),
        24 => fault.operation(list).failure(dice.choice([20, 22, 23, 24, 25, 26, 27, 32]).unwrap(), "not now"),
        25 => fault.operation(list).absent_field("pageInfo"),
        _ => fault.operation(list).between_pages(if dice.bool() { ListChange::Insert } else { ListChange::Delete }),
    }
}

/// Names and contents of everything that the plane lists, as the agent would publish it.
async fn truth(plane: &Plane, settings: &Settings, identity: &Identity) -> BTreeMap<String, (String, ObjectName)> {
    let director = link::director(settings, identity, Protocol::Negotiated).unwrap();
    let runtime = identity.record.runtime.clone().unwrap();
    plane.clear_faults();
    let documents = match settings.sync.specifications {
        Specifications::Read => Documents::Listed,
        Specifications::LeftOut => Documents::LeftOut,
    };
    let mut snapshot =
        director.fetch(&runtime, &FetchOptions { documents, ..FetchOptions::default() }).await.unwrap().snapshot;
    if settings.sync.specifications == Specifications::Read {
        let read = |slot: TextSlot<'_>| {
            let text = text_of(plane, &slot.place).map(|text| sum(&text));
            *slot.reading = Some(Reading { of: slot.fingerprint, text, read_at: plane.clock().now() });
        };
        snapshot.visit_texts(&settings.paths.state, read).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    // The same key, so that the same contents have the same names.
    let key = DigestKey::load_or_create(&settings.paths.state.join("digest.key")).unwrap();
    let mut store = Store::open(folder.path(), key, std::num::NonZeroUsize::MIN).unwrap();
    store.publish(&snapshot.into(), plane.clock().now()).unwrap();
    contents(store.current().unwrap())
}

/// The text that the plane has there.
fn text_of(plane: &Plane, place: &TextPlace) -> Option<String> {
    plane.inspect(|state| {
        let application = &state.model.applications[place.application.as_str()];
        let bundle = application.bundles.iter().find(|bundle| bundle.id == place.bundle.as_str()).unwrap();
        let id = place.id.as_str();
        match place.kind {
            TextKind::Api => bundle.api_definitions.iter().find(|api| api.id == id)?.spec.as_ref()?.data.clone(),
            TextKind::Event => {
                bundle.event_definitions.iter().find(|event| event.id == id)?.spec.as_ref()?.data.clone()
            }
            TextKind::Document => bundle.documents.iter().find(|document| document.id == id)?.data.clone(),
        }
    })
}

fn sum(text: &str) -> Sha256 {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(text.as_bytes());
    Sha256::of(context)
}

/// Gives an API another version, and the text of that.
fn change_a_text(plane: &Plane, dice: &mut fastrand::Rng, step: u32) {
    plane.edit(|model| {
        let ids: Vec<_> = model.applications.keys().cloned().collect();
        let Some(application) = dice.choice(&ids).and_then(|id| model.application_mut(id)) else { return };
        for api in application.bundles.iter_mut().flat_map(|bundle| &mut bundle.api_definitions) {
            api.version = Some(Version { value: format!("v{step}"), ..Version::default() });
            if let Some(spec) = &mut api.spec {
                spec.data = Some(format!("the text of v{step}"));
            }
        }
    });
}

/// The name and the content of each application; folders tell of the past, too.
fn contents(manifest: &Manifest) -> BTreeMap<String, (String, ObjectName)> {
    manifest
        .applications
        .iter()
        .map(|(id, entry)| (id.to_string(), (entry.name.clone(), entry.object.clone())))
        .collect()
}

#[tokio::test]
async fn two_days_of_every_fault_remove_nothing_that_is_listed_and_end_in_the_truth() {
    for (seed, specifications) in
        [(1, Specifications::LeftOut), (2, Specifications::Read), (3, Specifications::LeftOut)]
    {
        two_days(seed, specifications).await;
    }
}

async fn two_days(seed: u64, specifications: Specifications) {
    const HOURS: u32 = 48;
    let mut dice = fastrand::Rng::with_seed(seed);
    fastrand::seed(seed);
    let world = World::at("2027-03-01T00:00:00Z".parse().unwrap());
    let options = Options {
        clock: world.plane.clone(),
        key_algorithm: KeyAlgorithm::EcdsaP256,
        certificate_lifetime: Duration::from_secs(30 * 24 * 3600),
        ..Options::default()
    };
    let plane = Plane::start(options).await.unwrap();
    plane.generate(Generate {
        applications: 12,
        events: 1,
        documents: 1,
        spec_bytes: Some(200),
        ..Generate::default()
    });
    let runtime = plane.register_runtime("host");
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.plane.ca_bundle = Some(folder.path().join("ca.pem"));
    settings.plane.max_answer = ByteSize::new(1 << 20);
    // These pass in real time.
    settings.plane.stall_timeout = Seconds::new(2);
    settings.sync.specifications = specifications;
    settings.sync.page_size = crate::director::PageSize::new(5).unwrap();
    settings.paths.state = folder.path().join("state");
    std::fs::write(folder.path().join("ca.pem"), plane.server_ca_pem()).unwrap();
    std::fs::create_dir(&settings.paths.state).unwrap();
    let identity = pair(&plane, &runtime, &settings).await;
    let key = DigestKey::load_or_create(&settings.paths.state.join("digest.key")).unwrap();
    let store = Store::open(&settings.paths.config(), key, std::num::NonZeroUsize::MIN).unwrap();

    let clock: Rc<dyn Clock> = world.clone();
    let board = Board::new(Status::new("token".into(), clock.now()), clock.clone());
    let mut status = board.subscribe();
    let (_settings, settings_receiver) = watch::channel(Rc::new(settings.clone()));
    let (_identity, identity_receiver) = watch::channel(Some(Rc::new(identity.clone())));
    let (_standing, standing) = watch::channel(Standing::Valid);
    let (answers, _heard) = mpsc::channel(8);
    let (_orders, orders) = mpsc::channel(1);
    let (_versions, versions) = mpsc::channel(1);
    let (_clearing, clearing) = mpsc::channel(1);
    let (_applied, applied) = watch::channel(None);
    let polls = ConfigurationLoop::new(
        Surroundings {
            clock,
            settings: settings_receiver,
            board,
            pulse: Pulse::default(),
            identity: identity_receiver,
            standing,
            answers,
            orders,
            versions,
            clearing,
            published: watch::channel(None).0,
            applied,
            learned: Newest::default(),
        },
        Shelf { store, kept: SnapshotFile::new(&settings.paths.state) },
        Rc::new(RefCell::new(PlaneFile::open(&settings.paths.state))),
    );

    let published = || {
        let text = std::fs::read(settings.paths.config().join("current/manifest.json")).ok()?;
        Some(contents(&serde_json::from_slice(&text).unwrap()))
    };
    let listed = |plane: &Plane| -> BTreeSet<String> {
        plane.inspect(|state| state.model.applications.keys().cloned().collect())
    };
    let life = async {
        let mut seen: BTreeMap<String, (String, ObjectName)> = BTreeMap::new();
        let mut failures = 0;
        for step in 0..HOURS * 12 {
            world.pass(Duration::from_secs(300)).await;
            let now = published().unwrap_or_default();
            let truth = listed(&plane);
            for id in seen.keys().filter(|id| truth.contains(*id)) {
                assert!(now.contains_key(id), "step {step}: {id} is listed, and was removed");
            }
            seen = now;
            failures += u32::from(status.borrow_and_update().sync.failures > 0);
            match dice.u32(0..8) {
                0 => drop(plane.put_application(application(format!("New {step}"), &mut dice))),
                1 => {
                    let all: Vec<_> = truth.iter().collect();
                    if let Some(id) = dice.choice(all) {
                        assert!(plane.delete_application(id));
                    }
                }
                2 | 3 => plane.fault(mishap(&mut dice)),
                4 => change_a_text(&plane, &mut dice, step),
                5 => plane.set_dialect(if dice.bool() { Dialect::Bundle } else { Dialect::Package }),
                _ => plane.clear_faults(),
            }
        }
        assert!(failures > 50, "the faults were felt: {failures}");
        let truth = truth(&plane, &settings, &identity).await;
        // The longest pause between tries, a poll that confirms what the last one doubted, and the patience with texts.
        world.pass(Duration::from_secs(2 * 3600)).await;
        assert_eq!(published().unwrap(), truth);
        let problems = status.borrow_and_update().problems.clone();
        assert!(problems.is_empty(), "{problems:?}");

        // The lid is closed for a night.
        let resumed = clock::after(world.plane.now(), Duration::from_secs(8 * 3600));
        world.plane.set(resumed);
        world.pass(Duration::from_secs(1)).await;
        let polled = status.borrow_and_update().sync.last_success;
        assert!(polled.is_some_and(|at| at >= resumed), "the plane is asked at once: {polled:?}");
    };
    tokio::select! {
        biased;
        () = life => {}
        () = polls.run() => unreachable!("the loop does not end by itself"),
    }
    let asked = plane.requests().iter().filter(|request| request.is("applicationsForRuntime")).count();
    assert!(asked < 48 * 20 * 6, "{asked} requests in two days");
}
