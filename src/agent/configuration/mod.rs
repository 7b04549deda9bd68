//! The configuration loop: asks the Director, publishes what changed, reports back.

mod blocking;
mod failing;
mod pages;
mod publish;
mod removals;
mod report;
mod schedule;
mod shelf;
#[cfg(test)]
mod simulation;
mod texts;
mod versions;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use self::pages::Pages;
use self::publish::Occasion;
use self::texts::{TextIndex, Unread};
use super::board::Board;
use super::brokering::{Learned, Misread};
use super::link;
use super::newest::Newest;
use super::pulse::Pulse;
use super::standing::Standing;
use super::status::{Area, Severity};
use super::trust::{Answered, How};
use crate::clock::{self, Due, SharedClock};
use crate::config::{Settings, Specifications};
use crate::director::{Beginning, Dialect, Director, Documents, FetchOptions, ReadPages};
use crate::event::{self, PollResult};
use crate::identity::Identity;
use crate::ids::RuntimeId;
use crate::kept::{Known, PlaneFile};
use crate::output::manifest::GenerationNumber;
use crate::snapshot::brake::{Brake, Consent};
use crate::snapshot::{Sha256, Snapshot};
use crate::transport::Protocol;

pub(super) use blocking::aside;
pub use shelf::Shelf;

/// The longest that one poll is believed to be at work: large landscapes take many requests.
const LONGEST_POLL: Duration = Duration::from_secs(2 * 60 * 60);

/// How often the plane is asked while it rejects this host's certificate, more or less: every four hours.
const REJECTED: Duration = Duration::from_secs(4 * 60 * 60);

/// How long to wait before looking again at what keeps the plane from being asked: 30 seconds.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Ask the plane now.
#[derive(Debug)]
pub struct SyncOrder {
    /// What is said about removals.
    pub consent: Consent,
    /// Where the answer goes, a sentence.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// Publish that nothing may be used any more; the answer comes when that is done.
#[derive(Debug)]
pub struct ClearOrder {
    /// Whose files they are, where that is known.
    pub runtime: Option<RuntimeId>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<(), String>>,
}

/// Go back to an older generation, or go on after that.
#[derive(Debug)]
pub struct VersionOrder {
    /// What is to be done.
    pub version: Version,
    /// Where the answer goes, a sentence.
    pub answer: oneshot::Sender<Result<String, String>>,
}

/// Which generation is to be current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Version {
    /// This one, and no other until [`Version::Newest`] is ordered.
    Number(GenerationNumber),
    /// The one before that which is current, likewise.
    Previous,
    /// What the plane says.
    Newest,
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
    /// How that stands.
    pub standing: watch::Receiver<Standing>,
    /// How the Director answered to it.
    pub answers: mpsc::Sender<Answered>,
    /// Orders to ask the plane now.
    pub orders: mpsc::Receiver<SyncOrder>,
    /// Orders to go back to an older generation, and on again.
    pub versions: mpsc::Receiver<VersionOrder>,
    /// Orders to empty the files.
    pub clearing: mpsc::Receiver<ClearOrder>,
    /// The generation that is current, for the applier's queue.
    pub published: watch::Sender<Option<GenerationNumber>>,
    /// The generation that was applied.
    pub applied: watch::Receiver<Option<GenerationNumber>>,
    /// Where what the plane says is handed on to the service broker, while there is one.
    pub learned: Newest<Learned>,
}

/// The loop.
pub struct ConfigurationLoop {
    around: Surroundings,
    /// Taken out while a blocking thread writes with it.
    shelf: Option<Shelf>,
    /// What is known of the plane; whoever ends the process notes the last of it.
    plane_file: Rc<RefCell<PlaneFile>>,
    plane: Option<Plane>,
    dialect: Option<Dialect>,
    pages: Pages,
    poll_at: Option<Due>,
    failures: u32,
    /// Whether the plane ever answered to this process.
    heard: bool,
    /// Until when the plane asked to be left alone.
    left_alone_until: Option<Due>,
    /// Removals that are not believed yet.
    brake: Brake,
    /// What a person said about removals by what is written now.
    consent: Consent,
    /// A snapshot that could not be written, with the instant of the next try.
    unwritten: Option<(Arc<Snapshot>, Due, u32)>,
    /// Whether the templates in force are those of the configuration.
    templates: publish::Templates,
    /// What is known of the texts of specifications and documents.
    texts: TextIndex,
    /// The texts that are still to be read, and what they belong to.
    unread: Option<Unread>,
    report: Report,
    /// The pages of the last read.
    read: Option<LastRead>,
    /// Whether the broker could not read what was learned.
    misread: Misread,
}

/// The pages of a read, and the sum of the snapshot that became of it: where that is what is kept, pages that come again
/// are known.
struct LastRead {
    pages: ReadPages,
    of: Sha256,
}

struct Plane {
    director: Director,
    runtime: RuntimeId,
    host: String,
    /// The Director's address.
    address: String,
}

/// Whether the labels are as they should be.
#[derive(Debug, Clone, Copy)]
enum Report {
    Due(Due, u32),
    Done,
}

impl ConfigurationLoop {
    /// The loop, over what is on disk.
    pub fn new(around: Surroundings, shelf: Shelf, plane_file: Rc<RefCell<PlaneFile>>) -> Self {
        let this = Self {
            around,
            shelf: Some(shelf),
            plane_file,
            plane: None,
            dialect: None,
            pages: Pages::default(),
            poll_at: None,
            failures: 0,
            heard: false,
            left_alone_until: None,
            brake: Brake::default(),
            consent: Consent::NotGiven,
            unwritten: None,
            templates: publish::Templates::Read,
            texts: TextIndex::default(),
            unread: None,
            report: Report::Done,
            read: None,
            misread: Misread::default(),
        };
        this.show_current();
        let answered_at = this.plane_file.borrow().known().map(|known| known.answered_at);
        this.around.board.update(|status| status.sync.last_success = answered_at);
        this
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        self.connect();
        self.read_templates().await;
        self.restore(Occasion::Start).await;
        self.poll_now();
        loop {
            let clock = Rc::clone(&self.around.clock);
            let due = self.due(clock.now());
            self.around.pulse.idle();
            tokio::select! {
                biased;
                changed = self.around.identity.changed() => {
                    if changed.is_ok() { self.connect(); self.poll_now(); }
                }
                changed = self.around.settings.changed() => {
                    if changed.is_ok() {
                        self.reconfigure();
                        self.read_templates().await;
                        self.restore(Occasion::Reload).await;
                    }
                }
                Some(order) = self.around.orders.recv() => {
                    let result = self.poll(order.consent).await;
                    // Whoever asked may have gone.
                    let _ = order.answer.send(result);
                }
                Some(order) = self.around.versions.recv() => {
                    let result = self.change_version(order.version).await;
                    let _ = order.answer.send(result);
                }
                Some(order) = self.around.clearing.recv() => {
                    let done = self.clear(order.runtime).await;
                    let _ = order.answer.send(done);
                }
                changed = self.around.applied.changed() => { let _ = changed; }
                () = clock.sleep_until(due) => self.turn().await,
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.around.clock.now()
    }

    /// When there is next something to do.
    fn due(&mut self, now: Timestamp) -> Timestamp {
        // A clock that was set back makes nobody wait longer.
        self.poll_at = self.poll_at.map(|due| due.seen(now));
        self.left_alone_until = self.left_alone_until.map(|due| due.seen(now));
        if let Some((_, at, _)) = &mut self.unwritten {
            *at = at.seen(now);
        }
        if let Report::Due(at, _) = &mut self.report {
            *at = at.seen(now);
        }
        let report_at = match self.report {
            Report::Due(at, _) if self.may_report() => Some(at),
            Report::Due(..) | Report::Done => None,
        };
        let write_at = self.unwritten.as_ref().map(|(_, at, _)| *at);
        if self.unread.is_some() {
            return now;
        }
        [self.poll_at, report_at, write_at].into_iter().flatten().map(|due| due.at(now)).min().unwrap_or(Timestamp::MAX)
    }

    /// Takes the settings and the identity in force.
    fn connect(&mut self) {
        let settings = self.around.settings.borrow_and_update().clone();
        let identity = self.around.identity.borrow_and_update().clone();
        self.report = Report::Due(Due::now(self.now()), 0);
        let before = self.plane.take().map(|plane| (plane.runtime, plane.address));
        let Some(identity) = identity else {
            self.poll_at = None;
            self.forget_troubles();
            for area in [Area::Sync, Area::Removals, Area::Specifications, Area::Report] {
                self.around.board.withdraw(area);
            }
            self.around.board.update(|status| status.sync.next = None);
            return;
        };
        // An identity in use was proven, and is known by name since then.
        let Some(runtime) = identity.record.runtime.clone() else { return };
        match link::director(&settings, &identity, Protocol::Negotiated) {
            Ok(director) => {
                let host = identity.record.director_url.host();
                let address = identity.record.director_url.to_string();
                let known = self.plane_file.borrow().known().filter(|known| known.is_of(&runtime, &address)).cloned();
                self.dialect = known.as_ref().map(|known| known.dialect);
                self.around.board.update(|status| status.sync.last_success = known.map(|known| known.answered_at));
                let now = Some((runtime.clone(), address.clone()));
                if before.is_some() && before != now {
                    self.forget_troubles();
                }
                self.plane = Some(Plane { director, runtime, host, address });
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

    /// What one plane asked for, and how often it failed, is nothing to another.
    fn forget_troubles(&mut self) {
        (self.left_alone_until, self.failures, self.brake) = (None, 0, Brake::default());
        self.unread = None;
    }

    fn poll_now(&mut self) {
        if self.around.identity.borrow().is_some() {
            self.poll_at = Some(Due::now(self.now()));
        }
    }

    /// New settings: what did not work is tried with them at once; what works keeps its rhythm.
    fn reconfigure(&mut self) {
        let works = self.plane.is_some() && self.failures == 0;
        self.pages = Pages::default();
        self.connect();
        let interval = self.around.settings.borrow().sync.interval.get();
        match self.poll_at {
            Some(due) if works && due.at(self.now()) <= clock::after(self.now(), interval) => {}
            Some(_) if works => self.poll_at = Some(Due::after(self.now(), interval)),
            Some(_) | None => self.poll_now(),
        }
        let next = self.poll_at.map(|due| due.at(self.now()));
        self.around.board.update(|status| status.sync.next = next);
    }

    async fn turn(&mut self) {
        let now = self.now();
        if let Some((snapshot, _, failures)) = self.unwritten.take_if(|(_, at, _)| at.is_over(now)) {
            // What came of it is on the board.
            let _ = self.write(snapshot, failures).await;
        } else if self.poll_at.is_some_and(|at| at.is_over(now)) {
            // What came of it is on the board.
            let _ = self.poll(Consent::NotGiven).await;
        } else if self.unread.is_some() {
            self.read_more().await;
        } else if let Report::Due(at, failures) = self.report
            && at.is_over(now)
            && self.may_report()
        {
            self.report(failures).await;
        }
    }

    /// Asks the plane, and publishes what changed. The result is a sentence for whoever asked for it.
    async fn poll(&mut self, consent: Consent) -> Result<String, String> {
        if self.misread.take() {
            self.around.pulse.within(LONGEST_POLL);
            self.with_shelf(|shelf| shelf.kept.doubt()).await;
        }
        if self.plane.is_none() {
            self.connect();
        }
        let Some(plane) = &self.plane else {
            self.poll_at = self.poll_at.map(|_| Due::after(self.now(), LOOK_AGAIN));
            let problem =
                self.around.board.read(|status| status.problems.get(&Area::Sync).map(|known| known.what.clone()));
            let standing = *self.around.standing.borrow();
            let unusable = match standing {
                Standing::Expired => "The certificate has expired; drop a new token.",
                Standing::Lost => "The identity of this host is lost; see `runtime-agent status`.",
                Standing::Unpaired | Standing::Valid | Standing::NotYetValid | Standing::Rejected => {
                    "This host is not paired; drop a token first."
                }
            };
            return Err(problem.unwrap_or_else(|| unusable.into()));
        };
        let now = self.now();
        if let Some(until) = self.left_alone_until.filter(|until| !until.is_over(now)) {
            self.poll_at = Some(until);
            return Err(format!("The plane asked to be left alone until {}.", until.at(now)));
        }
        let settings = self.around.settings.borrow().clone();
        self.around.pulse.within(LONGEST_POLL);
        // Not by the wall's clock, which may be set meanwhile.
        let clock = std::time::Instant::now();
        self.around.board.update(|status| status.sync.last_try = Some(now));
        let options = FetchOptions {
            page_size: self.pages.size(settings.sync.page_size),
            dialect: self.dialect,
            documents: match settings.sync.specifications {
                Specifications::Read => Documents::Listed,
                Specifications::LeftOut => Documents::LeftOut,
            },
            ..FetchOptions::default()
        };
        let kept = self.shelf.as_ref().and_then(|shelf| shelf.kept.known()).cloned();
        let pages = self.read.as_ref().zip(kept.as_ref()).filter(|(read, kept)| read.of == kept.sum());
        let beginning = Beginning {
            folder: Some(&settings.paths.state),
            kept: kept.as_ref().filter(|kept| *kept.runtime() == plane.runtime),
            pages: pages.map(|(read, _)| &read.pages),
        };
        match plane.director.fetch_from(&plane.runtime, &options, beginning).await {
            Ok(fetched) => {
                let now = self.now();
                self.answered(How::Accepted);
                self.heard = true;
                event::Poll { result: PollResult::Answered, took: clock.elapsed() }.emit();
                (self.dialect, self.failures) = (Some(fetched.dialect), 0);
                self.pages.answered(fetched.page_size, settings.sync.page_size);
                self.plane_file.borrow_mut().learn(Known {
                    runtime: plane.runtime.clone(),
                    director: plane.address.clone(),
                    dialect: fetched.dialect,
                    answered_at: now,
                });
                let jitter = settings.sync.jitter.get();
                let due =
                    Due::after(now, schedule::after_success(settings.sync.interval.get(), jitter, fastrand::f64()));
                self.poll_at = Some(due);
                let next = due.at(now);
                self.around.board.solved(Area::Sync);
                self.around.board.update(|status| {
                    status.sync.last_success = Some(now);
                    status.sync.failures = 0;
                    status.sync.next = Some(next);
                });
                let snapshot = self.hold_back(fetched.snapshot, consent, &settings).await?;
                let snapshot = self.with_texts(snapshot).await?;
                let of = snapshot.sum();
                self.consent = consent;
                let written = self.write(snapshot, 0).await;
                self.consent = Consent::NotGiven;
                self.read = Some(LastRead { pages: fetched.pages, of });
                written
            }
            Err(error) => {
                event::Poll { result: PollResult::Failed(error.source()), took: clock.elapsed() }.emit();
                Err(self.failed(&error, &settings))
            }
        }
    }
}
