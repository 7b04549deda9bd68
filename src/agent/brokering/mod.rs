//! The broker's loop: takes what clients ask for, keeps the store, and sees to it at the plane.
//!
//! All that changes goes through this loop, one thing after the other; requests to the plane are under way meanwhile, a
//! few at a time. Nothing is answered before it is on disk.

mod errand;
mod memory;
mod orders;
mod orphans;
#[cfg(test)]
mod simulation;
mod turns;
mod waiting;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::orphans::Orphans;
use self::waiting::Waiter;
use super::board::Board;
use super::configuration::{SyncOrder, aside};
use super::link;
use super::newest::Newest;
use super::pulse::Pulse;
use super::status::{Area, Severity};
use crate::backoff::Backoff;
use crate::broker::{
    BindingKey, Catalog, Change, Heard, Order, Records, Refusal, SpecificationFiles, Step, Store, step,
};
use crate::clock::{Due, SharedClock};
use crate::config::{Brokerage, Each, Settings};
use crate::director::{Dialect, Director};
use crate::disk::DiskError;
use crate::identity::Identity;
use crate::ids::{InstanceAuthId, RuntimeId};
use crate::output::Names;
use crate::snapshot::Snapshot;
use crate::snapshot::brake::Consent;
use crate::transport::Protocol;

/// How many requests to the plane are under way at once. A plane counts them all as this host's.
const AT_ONCE: usize = 4;

/// How long one change of the store, or one order, may take: 5 minutes on a disk that hardly works.
const LONGEST_TURN: Duration = Duration::from_secs(5 * 60);

/// How long the plane may take for one request: 15 minutes, which is more than the limits of a request add up to.
const LONGEST_REQUEST: Duration = Duration::from_secs(15 * 60);

/// The pauses between tries, and between looks at what an application has not answered yet: from 2 seconds to 5 minutes.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5 * 60));

/// What the plane last said, for whoever makes a catalog of it.
#[derive(Debug, Clone)]
pub struct Learned {
    /// What it said.
    pub snapshot: Arc<Snapshot>,
    /// The names of what is published of it.
    pub names: Arc<Names>,
    /// In which words it speaks, where that is known.
    pub dialect: Option<Dialect>,
    /// Where this comes from.
    pub origin: Origin,
    /// Where it is noted that this cannot be read.
    pub misread: Misread,
}

/// Whether what was learned could not be read, so that whoever keeps it looks at it before the next poll.
#[derive(Debug, Clone, Default)]
pub struct Misread(Rc<Cell<bool>>);

impl Misread {
    /// Notes that it could not.
    fn note(&self) {
        self.0.set(true);
    }

    /// Whether that was noted since it was last asked.
    pub fn take(&self) -> bool {
        self.0.take()
    }
}

/// Where what the plane last said comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It has just said so; with the consent of a person to removals, where one gave it.
    Plane(Consent),
    /// It said so some time ago, and that was kept.
    Kept,
    /// It did not: this host was unpaired, and may use nothing any more.
    Unpaired,
}

/// What the loop needs of others.
pub struct Surroundings {
    /// The time.
    pub clock: SharedClock,
    /// The settings in force.
    pub settings: watch::Receiver<Rc<Settings>>,
    /// Where things are told.
    pub board: Board,
    /// Proof of life.
    pub pulse: Pulse,
    /// The identity in use.
    pub identity: watch::Receiver<Option<Rc<Identity>>>,
    /// What the plane says.
    pub learned: Newest<Learned>,
    /// What clients ask for.
    pub orders: mpsc::Receiver<Order>,
    /// The catalog that is served.
    pub catalog: watch::Sender<Option<Arc<Catalog>>>,
    /// Where the plane can be asked for its list again, when files are made of bindings.
    pub sync: mpsc::Sender<SyncOrder>,
}

/// A request to the plane, and what came of it.
type Underway = Pin<Box<dyn Future<Output = (Job, Heard)>>>;

/// What a request to the plane is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    Binding(BindingKey),
    Orphan(InstanceAuthId),
}

/// What is being done for a binding, and need not outlive the process.
#[derive(Debug, Default)]
struct Work {
    /// When the next request may follow.
    due: Option<Due>,
    /// How often it was tried in a row.
    tries: u32,
    /// The request that is under way.
    busy: Option<Step>,
    /// Since when it is not certain what became of the last request.
    doubt: Option<Timestamp>,
    /// Who waits for it.
    waiters: Vec<Waiter>,
    /// Whether somebody was told that it is under way, and comes back for the outcome.
    announced: Announced,
}

/// Whether a client was told that an operation is under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Announced {
    /// It was, or may have been before this process.
    Yes,
    /// It was not.
    #[default]
    No,
}

impl Announced {
    fn or(self, other: Self) -> Self {
        if self == Self::Yes { self } else { other }
    }
}

struct Plane {
    director: Director,
    runtime: RuntimeId,
    /// The Director's address.
    address: String,
}

/// The plane of an identity in use.
fn plane(settings: &Settings, identity: &Identity) -> Option<Plane> {
    let runtime = identity.record.runtime.clone()?;
    // What stands against it is on the board, for the other loop met it as well.
    let director = link::director(settings, identity, Protocol::Plain).ok()?;
    Some(Plane { director, runtime, address: identity.record.director_url.to_string() })
}

/// The loop.
pub struct BrokerLoop {
    around: Surroundings,
    /// Taken out while a blocking thread writes with it; not there while the broker is off, or its store cannot be opened.
    store: Option<Store>,
    /// When the store is tried again.
    store_at: Option<Due>,
    /// Why there is no store, for whoever asks.
    lacks: Refusal,
    records: Records,
    works: BTreeMap<BindingKey, Work>,
    underway: FuturesUnordered<Underway>,
    plane: Option<Plane>,
    dialect: Option<Dialect>,
    /// Until when the plane asked to be left alone.
    left_alone_until: Option<Due>,
    catalog: Option<Arc<Catalog>>,
    /// What came while there was no store.
    unlearned: Option<Learned>,
    orphans: Orphans,
}

impl BrokerLoop {
    /// The loop.
    pub fn new(around: Surroundings) -> Self {
        Self {
            around,
            store: None,
            store_at: None,
            lacks: memory::off(),
            records: Records::default(),
            works: BTreeMap::new(),
            underway: FuturesUnordered::new(),
            plane: None,
            dialect: None,
            left_alone_until: None,
            catalog: None,
            unlearned: None,
            orphans: Orphans::default(),
        }
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        self.connect();
        self.adjust().await;
        loop {
            let (clock, learned) = (Rc::clone(&self.around.clock), self.around.learned.clone());
            // First of all: whatever else comes and comes, nobody waits longer than they are to.
            self.dismiss_the_weary(clock.now());
            self.connect_again();
            self.begin_what_is_due();
            let due = self.due(clock.now());
            if self.underway.is_empty() {
                self.around.pulse.idle();
            } else {
                self.around.pulse.within(LONGEST_REQUEST);
            }
            tokio::select! {
                biased;
                changed = self.around.settings.changed() => {
                    if changed.is_ok() {
                        self.connect();
                        self.adjust().await;
                    }
                }
                changed = self.around.identity.changed() => {
                    if changed.is_ok() {
                        self.connect();
                        self.leave_behind().await;
                        self.hurry(|_| true);
                    }
                }
                learned = learned.take() => self.learn(learned).await,
                Some((job, heard)) = self.underway.next(), if !self.underway.is_empty() => {
                    self.around.pulse.within(LONGEST_TURN);
                    match job {
                        Job::Binding(key) => self.hear(key, heard).await,
                        Job::Orphan(auth) => self.hear_of_an_orphan(auth, &heard),
                    }
                }
                Some(order) = self.around.orders.recv() => {
                    self.around.pulse.within(LONGEST_TURN);
                    self.take(order).await;
                }
                () = clock.sleep_until(due) => self.pass_time().await,
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.around.clock.now()
    }

    /// How the plane speaks; most planes do so.
    fn dialect(&self) -> Dialect {
        self.dialect.unwrap_or(Dialect::Bundle)
    }

    fn is_enabled(&self) -> bool {
        self.around.settings.borrow().broker.enabled == Brokerage::Open
    }

    /// When there is next something to do, besides what others bring.
    fn due(&mut self, now: Timestamp) -> Timestamp {
        self.store_at = self.store_at.map(|due| due.seen(now));
        self.left_alone_until = self.left_alone_until.map(|due| due.seen(now));
        let mut next = self.store_at.map_or(Timestamp::MAX, |due| due.at(now));
        let able = self.may_ask(now);
        for work in self.works.values_mut() {
            work.due = work.due.map(|due| due.seen(now));
            // A clock that was set back does not make a doubt last longer than it would have.
            work.doubt = work.doubt.map(|since| since.min(now));
            for waiter in &mut work.waiters {
                waiter.until = waiter.until.seen(now);
            }
            let patience = work.waiters.iter().map(|waiter| waiter.until.at(now)).min();
            let request = work.due.filter(|_| able && work.busy.is_none()).map(|due| due.at(now));
            next = [patience, request].into_iter().flatten().fold(next, Timestamp::min);
        }
        if self.underway.len() >= AT_ONCE {
            // What is due waits for a place; those who wait for it do not.
            let patience = self.works.values().flat_map(|work| &work.waiters).map(|waiter| waiter.until.at(now)).min();
            return patience.unwrap_or(Timestamp::MAX);
        }
        match self.left_alone_until {
            Some(until) if !until.is_over(now) => next.min(until.at(now)),
            Some(_) | None => next,
        }
    }

    /// Whether the plane can be asked at all.
    fn may_ask(&self, now: Timestamp) -> bool {
        self.store.is_some() && self.plane.is_some() && self.left_alone_until.is_none_or(|until| until.is_over(now))
    }

    /// Takes the settings and the identity in force.
    fn connect(&mut self) {
        let settings = self.around.settings.borrow_and_update().clone();
        let identity = self.around.identity.borrow_and_update().clone();
        let before = self.plane.take().map(|plane| plane.address);
        self.plane = identity.and_then(|identity| plane(&settings, &identity));
        let address = self.plane.as_ref().map(|plane| &plane.address);
        if before.is_some() && before.as_ref() != address {
            // What one plane asked for is nothing to another.
            self.left_alone_until = None;
        }
    }

    /// Tries once more what did not work: a disk that failed, or a lack of descriptors, may have been of the moment.
    fn connect_again(&mut self) {
        if self.plane.is_none() {
            // Whether anything has changed is for the loop to see.
            let identity = self.around.identity.borrow().clone();
            self.plane = identity.and_then(|identity| plane(&self.around.settings.borrow(), &identity));
        }
    }

    /// What the plane last said becomes the catalog, and is compared with what the bindings have.
    async fn learn(&mut self, learned: Learned) {
        if self.store.is_none() {
            // It is tried again by itself, and this is for then.
            self.unlearned = self.is_enabled().then_some(learned);
            return;
        }
        self.around.pulse.within(LONGEST_TURN);
        let Learned { snapshot, names, dialect, origin, misread } = learned;
        self.dialect = dialect.or(self.dialect);
        let (before, runtime) = (self.records.names.clone(), snapshot.runtime().clone());
        let current = self.around.settings.borrow().paths.config().join("current");
        let catalog = aside(move || {
            let listed = snapshot.all()?;
            let catalog = Catalog::new(&listed, &before, &SpecificationFiles { current: &current, names: &names });
            Ok::<_, DiskError>((Arc::new(catalog), listed))
        });
        let (catalog, listed) = match catalog.await {
            Ok(made) => made,
            Err(error) => {
                misread.note();
                return self.around.board.problem(
                    Area::Output,
                    Severity::ActionNeeded,
                    format!("The catalog of the service broker cannot be made of what the plane said: {error}."),
                    "The catalog stays as it was, and the next poll fetches everything anew; `runtime-agent sync` polls at \
                     once. Removals that a person agreed to with the last one have to be agreed to again.",
                );
            }
        };
        if *catalog.names() != self.records.names {
            // Not written, they are given anew; a failure is on the board.
            let _ = self.commit(vec![Change::PutNames(catalog.names().clone())]).await;
        }
        self.catalog = Some(Arc::clone(&catalog));
        self.around.catalog.send_if_modified(|served| {
            let new = served.as_ref().is_none_or(|served| served.etag() != catalog.etag());
            *served = Some(catalog);
            new
        });
        self.compare(&runtime, &listed, origin).await;
        self.forget_the_gone().await;
        // What only waits for an application was compared with the list, which has all of that.
        self.hurry(|step| !matches!(step, Step::See(_)));
        self.show();
    }

    /// The plane answers, or who we are to it has changed: what of `which` has failed meanwhile is tried now.
    fn hurry(&mut self, which: impl Fn(&Step) -> bool) {
        let now = self.now();
        for (key, work) in &mut self.works {
            let next = self.records.bindings.get(key).and_then(|binding| step(&binding.phase, work.doubt));
            let idle = work.due.is_none() || work.tries > 1;
            if next.is_some_and(|step| work.due.is_none() || which(&step)) && work.busy.is_none() && idle {
                (work.due, work.tries) = (Some(Due::now(now)), work.tries.min(1));
            }
        }
    }

    /// What is due besides is begun when the loop comes round.
    async fn pass_time(&mut self) {
        let now = self.now();
        if self.store_at.is_some_and(|due| due.is_over(now)) {
            self.open().await;
            if self.store.is_some()
                && let Some(learned) = self.unlearned.take()
            {
                self.learn(learned).await;
            }
        }
    }

    fn pause(&self, tries: u32, at_least: Option<Duration>) -> Due {
        // Many that wait do not become many requests: together they are about one each second at the most.
        let waiting = self.works.values().filter(|work| work.due.is_some()).count();
        let backoff = Backoff::new(PAUSES.0, PAUSES.1.max(Duration::from_secs(waiting as u64)));
        Due::after(self.now(), backoff.wait(tries.max(1), fastrand::f64(), at_least))
    }

    /// For how long a request may be carried out after nobody waits for its answer any more: as long as an answer may take.
    fn settling(&self) -> Duration {
        self.around.settings.borrow().plane.answer_timeout.get()
    }

    /// Files that are made of bindings follow what the plane lists.
    fn have_files_follow(&self) {
        let made = self.around.settings.borrow().template.iter().any(|rule| rule.for_each == Each::Binding);
        if made {
            // Nobody waits for the answer; where a poll is asked for already, that one will do.
            let (answer, _) = tokio::sync::oneshot::channel();
            let _ = self.around.sync.try_send(SyncOrder { consent: Consent::NotGiven, answer });
        }
    }
}
