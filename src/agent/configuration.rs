//! The configuration loop: asks the Director, publishes what changed, reports back.

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::board::Board;
use super::labels;
use super::link;
use super::pulse::Pulse;
use super::status::{Area, OutputStatus, Severity};
use crate::backoff::Backoff;
use crate::clock;
use crate::config::Settings;
use crate::director::{Dialect, Director, FetchError, FetchOptions, PageSize};
use crate::identity::Identity;
use crate::ids::RuntimeId;
use crate::output::manifest::{Changes, GenerationNumber, Manifest};
use crate::output::{Published, Store};
use crate::snapshot::Snapshot;
use crate::transport::{Protocol, Retry, Source};

/// The longest that one poll is believed to be at work: large landscapes take many requests.
const LONGEST_POLL: Duration = Duration::from_secs(2 * 60 * 60);

/// How long to wait before looking again at what keeps the plane from being asked: 30 seconds.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Ask the plane now; the answer is a sentence.
pub type SyncOrder = oneshot::Sender<Result<String, String>>;

/// What the loop needs of others.
pub struct Surroundings {
    /// The settings in force.
    pub settings: watch::Receiver<Rc<Settings>>,
    /// Where things are told.
    pub board: Board,
    /// Proof of life.
    pub pulse: Pulse,
    /// The identity in use.
    pub identity: watch::Receiver<Option<Rc<Identity>>>,
    /// Orders to ask the plane now.
    pub orders: mpsc::Receiver<SyncOrder>,
    /// The generation that is current, for the applier's queue.
    pub published: watch::Sender<Option<GenerationNumber>>,
    /// The generation that was applied.
    pub applied: watch::Receiver<Option<GenerationNumber>>,
}

/// The loop.
pub struct ConfigurationLoop {
    around: Surroundings,
    /// Taken out while a blocking thread writes with it.
    store: Option<Store>,
    plane: Option<Plane>,
    dialect: Option<Dialect>,
    page_size: Option<PageSize>,
    poll_at: Option<Timestamp>,
    failures: u32,
    /// Until when the plane asked to be left alone.
    left_alone_until: Option<Timestamp>,
    /// A snapshot that could not be written, with the instant of the next try.
    unwritten: Option<(Snapshot, Timestamp, u32)>,
    report: Report,
}

struct Plane {
    director: Director,
    runtime: RuntimeId,
    host: String,
}

/// Whether the labels are as they should be.
#[derive(Debug, Clone, Copy)]
enum Report {
    Due(Timestamp, u32),
    Done,
}

/// When the plane is asked next: after `interval`, moved by up to `jitter` of it either way, with `dice` from 0 to 1.
fn next_poll(now: Timestamp, interval: Duration, jitter: f64, dice: f64) -> Timestamp {
    clock::after(now, interval.mul_f64((1.0 + jitter * (2.0 * dice - 1.0)).max(0.0)))
}

impl ConfigurationLoop {
    /// The loop, over the generations that are there.
    pub fn new(around: Surroundings, store: Store) -> Self {
        let this = Self {
            around,
            store: None,
            plane: None,
            dialect: None,
            page_size: None,
            poll_at: None,
            failures: 0,
            left_alone_until: None,
            unwritten: None,
            report: Report::Due(Timestamp::MIN, 0),
        };
        if let Some(manifest) = store.current() {
            this.show(manifest);
        }
        Self { store: Some(store), ..this }
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        self.connect();
        self.poll_now();
        loop {
            let report_at = match self.report {
                Report::Due(at, _) if self.may_report() => Some(at),
                Report::Due(..) | Report::Done => None,
            };
            let write_at = self.unwritten.as_ref().map(|(_, at, _)| *at);
            let due = [self.poll_at, report_at, write_at].into_iter().flatten().min();
            self.around.pulse.idle();
            let sleep = async {
                match due {
                    Some(due) => clock::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.around.identity.changed() => {
                    if changed.is_ok() { self.connect(); self.poll_now(); }
                }
                changed = self.around.settings.changed() => {
                    if changed.is_ok() { self.reconfigure(); }
                }
                Some(order) = self.around.orders.recv() => {
                    let result = self.poll().await;
                    // Whoever asked may have gone.
                    let _ = order.send(result);
                }
                changed = self.around.applied.changed() => { let _ = changed; }
                () = sleep => self.turn().await,
            }
        }
    }

    /// Takes the settings and the identity in force.
    fn connect(&mut self) {
        let settings = self.around.settings.borrow_and_update().clone();
        let identity = self.around.identity.borrow_and_update().clone();
        self.report = Report::Due(Timestamp::MIN, 0);
        self.plane = None;
        let Some(identity) = identity else {
            self.poll_at = None;
            self.around.board.update(|status| status.sync.next = None);
            return;
        };
        // An identity in use was proven, and is known by name since then.
        let Some(runtime) = identity.record.runtime.clone() else { return };
        match link::director(&settings, &identity, Protocol::Negotiated) {
            Ok(director) => {
                let host = identity.record.director_url.host();
                self.plane = Some(Plane { director, runtime, host });
            }
            Err(error) => self.around.board.problem(
                Area::Sync,
                Severity::ActionNeeded,
                format!("The plane cannot be asked: {error}."),
                "The agent looks again by itself. Mend the file, or the configuration and then: systemctl reload \
                 runtime-agent",
            ),
        }
    }

    fn poll_now(&mut self) {
        if self.around.identity.borrow().is_some() {
            self.poll_at = Some(clock::now());
        }
    }

    /// New settings: what did not work is tried with them at once; what works keeps its rhythm.
    fn reconfigure(&mut self) {
        let works = self.plane.is_some() && self.failures == 0;
        self.page_size = None;
        self.connect();
        let interval = self.around.settings.borrow().sync.interval.get();
        match self.poll_at {
            Some(at) if works => self.poll_at = Some(at.min(clock::after(clock::now(), interval))),
            Some(_) | None => self.poll_now(),
        }
        let next = self.poll_at;
        self.around.board.update(|status| status.sync.next = next);
    }

    async fn turn(&mut self) {
        let now = clock::now();
        if let Some((snapshot, _, failures)) = self.unwritten.take_if(|(_, at, _)| *at <= now) {
            // What came of it is on the board.
            let _ = self.write(snapshot, failures).await;
        } else if self.poll_at.is_some_and(|at| at <= now) {
            // What came of it is on the board.
            let _ = self.poll().await;
        } else if let Report::Due(at, failures) = self.report
            && at <= now
            && self.may_report()
        {
            self.report(failures).await;
        }
    }

    /// Asks the plane, and publishes what changed. The result is a sentence for whoever asked for it.
    async fn poll(&mut self) -> Result<String, String> {
        if self.plane.is_none() {
            self.connect();
        }
        let Some(plane) = &self.plane else {
            self.poll_at = self.poll_at.map(|_| clock::after(clock::now(), LOOK_AGAIN));
            let problem =
                self.around.board.read(|status| status.problems.get(&Area::Sync).map(|known| known.what.clone()));
            return Err(problem.unwrap_or_else(|| "This host is not paired; drop a token first.".into()));
        };
        if let Some(until) = self.left_alone_until.filter(|until| *until > clock::now()) {
            self.poll_at = Some(until);
            return Err(format!("The plane asked to be left alone until {until}."));
        }
        let settings = self.around.settings.borrow().clone();
        self.around.pulse.within(LONGEST_POLL);
        let started = clock::now();
        self.around.board.update(|status| status.sync.last_try = Some(started));
        let options = FetchOptions {
            page_size: self.page_size.unwrap_or(settings.sync.page_size).min(settings.sync.page_size),
            dialect: self.dialect,
            ..FetchOptions::default()
        };
        match plane.director.fetch(&plane.runtime, &options).await {
            Ok(fetched) => {
                let now = clock::now();
                let count = fetched.snapshot.applications().len();
                tracing::debug!(
                    applications = count, requests = fetched.requests, dialect = %fetched.dialect,
                    "the plane answered in {} ms", clock::until(started, now).as_millis()
                );
                (self.dialect, self.page_size, self.failures) = (Some(fetched.dialect), Some(fetched.page_size), 0);
                let jitter = settings.sync.jitter.get();
                let next = next_poll(now, settings.sync.interval.get(), jitter, fastrand::f64());
                self.poll_at = Some(next);
                self.around.board.solved(Area::Sync);
                self.around.board.update(|status| {
                    status.sync.last_success = Some(now);
                    status.sync.failures = 0;
                    status.sync.next = Some(next);
                });
                self.write(fetched.snapshot, 0).await
            }
            Err(error) => Err(self.failed(&error, &settings)),
        }
    }

    fn failed(&mut self, error: &FetchError, settings: &Settings) -> String {
        self.failures = self.failures.saturating_add(1);
        let asked = match error.retry() {
            Retry::Later(asked) => asked,
            Retry::Never => None,
        };
        let interval = settings.sync.interval.get();
        let cap = settings.sync.retry_cap.get().max(interval);
        let backoff = Backoff::new(interval.min(Duration::from_secs(10)), cap);
        let now = clock::now();
        let next = clock::after(now, backoff.wait(self.failures, fastrand::f64(), asked));
        self.left_alone_until = asked.map(|asked| clock::after(now, asked).min(next));
        self.poll_at = Some(next);
        let failures = self.failures;
        self.around.board.update(|status| {
            status.sync.failures = failures;
            status.sync.next = Some(next);
        });
        if error.source() == Source::Wire {
            self.speak_plainly(settings);
        }
        let what = format!("The plane gave no usable list of applications: {error}.");
        let (severity, remedy) = match error.source() {
            Source::Identity => (
                Severity::ActionNeeded,
                "The files stay as they are, and the agent asks again, less and less often. If the plane no longer \
                 knows this host, drop a new token.",
            ),
            Source::Ours if matches!(error.retry(), Retry::Never) => (
                Severity::ActionNeeded,
                "The files stay as they are, and the agent asks again, less and less often; but this will hardly pass \
                 without a person.",
            ),
            Source::Ours | Source::Plane | Source::Wire => {
                (Severity::Transient, "The files stay as they are, and the agent asks again by itself.")
            }
        };
        self.around.board.problem(Area::Sync, severity, what.clone(), remedy);
        what
    }

    /// What looks like trouble with the network can be a server that refuses our certificate; the next try would be told.
    fn speak_plainly(&mut self, settings: &Settings) {
        let identity = self.around.identity.borrow().clone();
        if let (Some(plane), Some(identity)) = (&mut self.plane, identity)
            && let Ok(director) = link::director(settings, &identity, Protocol::Plain)
        {
            plane.director = director;
        }
    }

    /// Publishes a snapshot on a blocking thread: the loops go on meanwhile.
    async fn write(&mut self, snapshot: Snapshot, failures: u32) -> Result<String, String> {
        // It is out only while this function waits, and this function is not called twice at once.
        let Some(mut store) = self.store.take() else { return Err("The last write is not done yet.".into()) };
        self.unwritten = None;
        let written = tokio::task::spawn_blocking(move || {
            let result = store.publish(&snapshot, clock::now());
            (store, snapshot, result)
        });
        let (store, snapshot, result) = match written.await {
            Ok(done) => done,
            // A panic in there is a defect; the store is gone with it, and only a restart brings it back.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let result = match result {
            Ok(published) => {
                self.around.board.solved(Area::Output);
                let count = snapshot.applications().len();
                Ok(match published {
                    Published::Unchanged => format!("Nothing changed; {count} applications."),
                    Published::New { generation, changes } => {
                        self.announce(generation, &changes, count);
                        format!(
                            "Generation {generation}: {count} applications; {} added, {} changed, {} removed.",
                            changes.added.len(),
                            changes.changed.len(),
                            changes.removed.len()
                        )
                    }
                })
            }
            Err(error) => {
                let what = format!("What the plane said cannot be written: {error}.");
                self.around.board.problem(
                    Area::Output,
                    Severity::ActionNeeded,
                    what.clone(),
                    "The files stay as they were, and the agent tries again by itself.",
                );
                let failures = failures.saturating_add(1);
                let backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(5 * 60));
                let at = clock::after(clock::now(), backoff.wait(failures, fastrand::f64(), None));
                self.unwritten = Some((snapshot, at, failures));
                Err(what)
            }
        };
        if let Some(manifest) = store.current() {
            self.show(manifest);
        }
        self.store = Some(store);
        result
    }

    fn announce(&self, generation: GenerationNumber, changes: &Changes, count: usize) {
        /// How many applications are named one by one; a first synchronisation has thousands.
        const NAMED: usize = 20;
        let kinds = [("added", &changes.added), ("changed", &changes.changed), ("removed", &changes.removed)];
        for (kind, list) in kinds {
            for change in list.iter().take(NAMED) {
                tracing::info!(
                    application_id = %change.id, %generation,
                    "application {kind}: {} (applications/{})",
                    crate::transport::excerpt(&change.name, &[]), change.folder
                );
            }
            if list.len() > NAMED {
                tracing::info!(%generation, "and {} more applications {kind}", list.len() - NAMED);
            }
        }
        let host = self.plane.as_ref().map_or("", |plane| &plane.host);
        tracing::info!(
            %generation, plane = host,
            "generation {generation} is published: {count} applications; {} added, {} changed, {} removed",
            changes.added.len(), changes.changed.len(), changes.removed.len()
        );
    }

    /// Tells of the current generation: on the board, and to the applier's queue.
    fn show(&self, manifest: &Manifest) {
        let path = self.around.settings.borrow().paths.config().join("current");
        let output = OutputStatus {
            generation: manifest.generation,
            published_at: manifest.published_at,
            path: path.display().to_string(),
            applications: manifest.applications.len(),
            bundles: manifest.applications.values().map(|entry| u64::from(entry.bundles)).sum(),
        };
        self.around.board.update(|status| status.output = Some(output));
        self.around.published.send_if_modified(|published| published.replace(manifest.generation) != *published);
    }

    /// Labels are set once what they speak of is in place.
    fn may_report(&self) -> bool {
        let published = *self.around.published.borrow();
        self.plane.is_some() && published.is_some() && *self.around.applied.borrow() == published
    }

    async fn report(&mut self, failures: u32) {
        let Some(plane) = &self.plane else { return };
        let settings = self.around.settings.borrow().clone();
        let request = settings.plane.connect_timeout.get() + settings.plane.answer_timeout.get();
        self.around.pulse.within(8 * request);
        let wanted = labels::wanted(&settings.report);
        match labels::set(&plane.director, &plane.runtime, &wanted).await {
            Ok(()) => {
                self.around.board.solved(Area::Report);
                self.report = Report::Done;
            }
            Err(error) => {
                let failures = failures.saturating_add(1);
                let asked = match error.fault.retry() {
                    Retry::Later(asked) => asked,
                    Retry::Never => None,
                };
                let backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(60 * 60));
                let at = clock::after(clock::now(), backoff.wait(failures, fastrand::f64(), asked));
                self.report = Report::Due(at, failures);
                self.around.board.problem(
                    Area::Report,
                    Severity::Transient,
                    format!("The labels of this runtime cannot be set: {error}."),
                    "Everything else goes on; the agent tries again by itself.",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn polls_are_spread_around_the_interval(seconds in 5_u64..1_000_000, jitter in 0.0..=1.0_f64, dice in 0.0..=1.0_f64) {
            let now = Timestamp::from_second(1_000_000_000).unwrap();
            let interval = Duration::from_secs(seconds);
            let wait = clock::until(now, next_poll(now, interval, jitter, dice));
            let slack = Duration::from_millis(1);
            prop_assert!(wait + slack >= interval.mul_f64(1.0 - jitter));
            prop_assert!(wait <= interval.mul_f64(1.0 + jitter) + slack);
        }
    }
}
