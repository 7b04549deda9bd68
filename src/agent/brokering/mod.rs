//! The broker's loop: takes what clients ask for, keeps the store, and sees to it at the plane.
//!
//! All that changes goes through this loop, one thing after the other; requests to the plane are under way meanwhile, a
//! few at a time. Nothing is answered before it is on disk.

mod errand;
mod orders;
mod orphans;
#[cfg(test)]
mod simulation;
mod turns;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
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
    BindingKey, Catalog, Change, Heard, Order, Phase, Records, Refusal, SpecificationFiles, Step, Store, step,
};
use crate::clock::{self, Due, SharedClock};
use crate::config::{Brokerage, Each, Settings};
use crate::director::{Dialect, Director};
use crate::event;
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

/// After how long a store that cannot be opened is tried again: a minute.
const STORE: Duration = Duration::from_secs(60);

/// The pauses between tries, and between looks at what an application has not answered yet: from 2 seconds to 5 minutes.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5 * 60));

/// How long it is known that a binding is gone: a day.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// What the plane last said, for whoever makes a catalog of it.
#[derive(Debug, Clone)]
pub struct Learned {
    /// What it said.
    pub snapshot: Arc<Snapshot>,
    /// The names of what is published of it.
    pub names: Arc<Names>,
    /// In which words it speaks, where that is known.
    pub dialect: Option<Dialect>,
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
}

struct Plane {
    director: Director,
    runtime: RuntimeId,
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
    orphans: Orphans,
}

impl BrokerLoop {
    /// The loop.
    pub fn new(around: Surroundings) -> Self {
        Self {
            around,
            store: None,
            store_at: None,
            lacks: off(),
            records: Records::default(),
            works: BTreeMap::new(),
            underway: FuturesUnordered::new(),
            plane: None,
            dialect: None,
            left_alone_until: None,
            catalog: None,
            orphans: Orphans::default(),
        }
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        self.connect();
        self.adjust().await;
        loop {
            let (clock, learned) = (Rc::clone(&self.around.clock), self.around.learned.clone());
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
                    if changed.is_ok() { self.connect(); self.hurry(|_| true); }
                }
                learned = learned.take() => self.learn(learned).await,
                Some((job, heard)) = self.underway.next(), if !self.underway.is_empty() => {
                    self.around.pulse.within(LONGEST_TURN);
                    match job {
                        Job::Binding(key) => self.hear(key, heard).await,
                        Job::Orphan(auth) => self.hear_of_an_orphan(auth, heard),
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
        self.plane = identity.and_then(|identity| {
            let runtime = identity.record.runtime.clone()?;
            // What stands against it is on the board, for the other loop met it as well.
            let director = link::director(&settings, &identity, Protocol::Plain).ok()?;
            Some(Plane { director, runtime })
        });
    }

    /// Opens the store where the broker is on, and closes it where it is off.
    async fn adjust(&mut self) {
        match (self.is_enabled(), &self.store) {
            (true, None) => self.open().await,
            (false, _) => {
                (self.store, self.store_at, self.lacks) = (None, None, off());
                self.records = Records::default();
                // Whoever waits is told by the end of the channel.
                self.works.clear();
                self.underway.clear();
                self.orphans = Orphans::default();
                self.catalog = None;
                self.around.catalog.send_replace(None);
                self.around.board.withdraw(Area::BrokerStore);
                self.around.board.withdraw(Area::Orphans);
                self.around.board.update(|status| status.broker = None);
            }
            (true, Some(_)) => {}
        }
    }

    async fn open(&mut self) {
        let path = self.around.settings.borrow().paths.broker_store();
        self.around.pulse.within(LONGEST_TURN);
        match aside(move || Store::open(&path)).await {
            Ok((store, records)) => {
                let now = self.now();
                self.works = records
                    .bindings
                    .iter()
                    .map(|(key, binding)| {
                        // What became of the last request before the end is not known.
                        let doubt = match binding.phase {
                            Phase::Ready { .. } => None,
                            _ => Some(now),
                        };
                        (key.clone(), Work { due: Some(Due::now(now)), doubt, ..Work::default() })
                    })
                    .collect();
                (self.store, self.store_at, self.records) = (Some(store), None, records);
                self.around.board.solved(Area::BrokerStore);
                self.forget_the_gone().await;
                self.show();
            }
            Err(error) => {
                let sentence = format!("The service broker cannot work: {error}.");
                self.lacks = Refusal::Store(sentence.clone());
                self.store_at = Some(Due::after(self.now(), STORE));
                event::Retry::Broker.emit();
                self.around.board.problem(
                    Area::BrokerStore,
                    Severity::ActionNeeded,
                    sentence,
                    "Everything else goes on, bindings stay at the plane as they are, and the agent tries again every \
                     minute. Restore the file from a backup, or move it away: then the broker begins anew, and what it asked \
                     for before is shown by `runtime-agent broker bindings` as orphans.",
                );
            }
        }
    }

    /// Makes changes durable, and then takes them for true.
    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), Refusal> {
        let Some(mut store) = self.store.take() else { return Err(self.lacks.clone()) };
        let (store, changes, result) = aside(move || {
            let result = store.commit(&changes);
            (store, changes, result)
        })
        .await;
        self.store = Some(store);
        if let Err(error) = result {
            let sentence = format!("What the service broker is to remember cannot be written: {error}.");
            self.around.board.problem(
                Area::BrokerStore,
                Severity::ActionNeeded,
                sentence.clone(),
                "Requests that change something are refused until it can be; everything else goes on. Is the disk full, or \
                 read-only?",
            );
            return Err(Refusal::Store(sentence));
        }
        self.around.board.solved(Area::BrokerStore);
        for change in changes {
            self.records.take(change);
        }
        Ok(())
    }

    /// What the plane last said becomes the catalog, and is compared with what the bindings have.
    async fn learn(&mut self, learned: Learned) {
        if self.store.is_none() {
            // It is told again when the broker is enabled; and one without its store has nothing to compare.
            if self.is_enabled() {
                self.open().await;
            }
            if self.store.is_none() {
                return;
            }
        }
        self.around.pulse.within(LONGEST_TURN);
        let Learned { snapshot, names, dialect } = learned;
        self.dialect = dialect.or(self.dialect);
        let (before, of) = (self.records.names.clone(), Arc::clone(&snapshot));
        let current = self.around.settings.borrow().paths.config().join("current");
        let catalog = aside(move || {
            Arc::new(Catalog::new(&of, &before, &SpecificationFiles { current: &current, names: &names }))
        });
        let catalog = catalog.await;
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
        self.compare(&snapshot).await;
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
            if next.is_some_and(|step| which(&step)) && work.busy.is_none() && work.tries > 1 {
                (work.due, work.tries) = (Some(Due::now(now)), 1);
            }
        }
    }

    /// Whoever waits too long is told so, and what is due is begun when the loop comes round.
    async fn pass_time(&mut self) {
        let now = self.now();
        if self.store_at.is_some_and(|due| due.is_over(now)) {
            self.open().await;
        }
        self.dismiss_the_weary(now);
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

    /// What was given back long ago is forgotten.
    async fn forget_the_gone(&mut self) {
        let now = self.now();
        let old = |phase: &Phase| matches!(phase, Phase::Gone { at } if clock::after(*at, REMEMBERED) <= now);
        let gone: BTreeSet<_> = self
            .records
            .bindings
            .iter()
            .filter(|(_, binding)| old(&binding.phase))
            .map(|(key, _)| key.clone())
            .collect();
        if gone.is_empty() {
            return;
        }
        let changes = gone.iter().cloned().map(Change::RemoveBinding).collect();
        if self.commit(changes).await.is_ok() {
            self.works.retain(|key, _| !gone.contains(key));
        }
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

fn off() -> Refusal {
    Refusal::Unavailable {
        why: "The service broker is off; broker.enabled = true turns it on.".into(),
        ask_again_in: None,
    }
}
