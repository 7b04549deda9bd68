//! Puts the daemon together, and ends it.

use std::cell::RefCell;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::applying;
use super::board::Board;
use super::brokering::{self, BrokerLoop};
use super::configuration::{self, ConfigurationLoop, Shelf, SyncOrder};
use super::newest::Newest;
use super::observing;
use super::pulse::{self, Pulse, Pulses};
use super::standing::Standing;
use super::status::{Area, Severity, State, Status};
use super::trust::{self, TrustLoop};
use crate::broker::{self, Broker};
use crate::clock::{Clock as _, SharedClock, Wall};
use crate::config::{self, Location, Settings};
use crate::control::{self, Observed};
use crate::disk::{self, DiskError, LockError, StateLock};
use crate::event::Service;
use crate::identity::{IdentityError, IdentityStore};
use crate::kept::{PlaneFile, SnapshotFile};
use crate::output::{DigestKey, DigestKeyError, OutputError, Store};
use crate::pairing::PairingFiles;
use crate::peers;
use crate::seclusion::seclude;
use crate::snapshot::brake::Consent;
use crate::token::Inbox;

/// How long after a configuration that the system did not let be read it is read again: 5 seconds.
const RELOAD_AGAIN: Duration = Duration::from_secs(5);

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// A directory.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The state belongs to another user.
    #[error(
        "{state} belongs to the user {owner}, and the agent must run as that user: use `systemctl start runtime-agent`, or \
         `runuser -u {owner} -- runtime-agent run`"
    )]
    NotTheOwner {
        /// The state directory.
        state: PathBuf,
        /// Its owner.
        owner: String,
    },
    /// Somebody else is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The identities.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// What was kept of the pairing.
    #[error(transparent)]
    Unreadable(#[from] trust::Unreadable),
    /// The generations.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The key of the generations.
    #[error(transparent)]
    DigestKey(#[from] DigestKeyError),
    /// The control socket.
    #[error("cannot listen on the control socket {path}: {source}")]
    Control {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}

/// Runs the daemon until it is told to end.
///
/// # Errors
/// When it cannot begin.
pub async fn run(settings: Settings, location: Location) -> Result<(), RunError> {
    // Before anything is begun that could take them along.
    let passed = broker::http::Passed::take();
    harden();
    let paths = settings.paths.clone();
    disk::settle_folder(&paths.state, 0o755)?;
    only_the_owner(&paths.state)?;
    disk::ensure_folder(&paths.runtime, 0o755)?;
    let _lock = StateLock::take(&paths.state)?;
    disk::sweep(&paths.state)?;
    // What a `runtime-agent pair` that was killed may have left. The folder may be missing, or somebody else's.
    let _ = disk::sweep(&paths.pairing);
    let identities = IdentityStore::open(&paths.state)?;
    let key = DigestKey::load_or_create(&paths.state.join("digest.key"))?;
    let store = Store::open(&paths.config(), key, settings.output.keep_generations.into())?;
    let control_path = paths.control();
    let shelf = Shelf { store, kept: SnapshotFile::new(&paths.state) };
    let plane_file = Rc::new(RefCell::new(PlaneFile::open(&paths.state)));
    let listener =
        peers::bind(&control_path).map_err(|source| RunError::Control { path: control_path.clone(), source })?;
    let mut signals = Signals::new().map_err(RunError::Signals)?;

    let clock: SharedClock = Rc::new(Wall);
    let board = Board::new(Status::new(paths.token().display().to_string(), Wall.now()), clock.clone());
    let (control_sender, control) = watch::channel(settings.control.clone());
    let (settings_sender, settings) = watch::channel(Rc::new(settings));
    let (identity_sender, identity) = watch::channel(None);
    let (standing_sender, standing) = watch::channel(Standing::Unpaired);
    let (answer_sender, answers) = mpsc::channel(8);
    let (clearing_sender, clearing) = mpsc::channel(1);
    let (published_sender, published) = watch::channel(None);
    let (applied_sender, applied) = watch::channel(None);
    let (notice_sender, notices) = mpsc::unbounded_channel();
    let (arrival_sender, arrivals) = mpsc::channel(1);
    let (sync_sender, sync_orders) = mpsc::channel(8);
    let (asked_sender, asked) = watch::channel(applying::PersonAsked::default());
    let (trust_sender, trust_orders) = mpsc::channel(8);
    let (version_sender, versions) = mpsc::channel(1);
    let (broker_sender, broker_settings) = watch::channel(settings.borrow().broker.clone());
    let (order_sender, orders) = mpsc::channel(64);
    let (catalog_sender, catalog) = watch::channel(None);
    let learned = Newest::default();
    let pulses = ["identity", "configuration", "apply", "broker"].map(|name| (name, Pulse::default()));
    let [(_, trust_pulse), (_, configuration_pulse), (_, apply_pulse), (_, broker_pulse)] = pulses.clone();

    let pulses = Pulses::of(&pulses);
    let observed = Observed { status: board.subscribe(), pulses: pulses.clone() };
    let handles = control::Handles {
        observed: observed.clone(),
        status: board.subscribe(),
        sync: sync_sender.clone(),
        trust: trust_sender,
        versions: version_sender,
        asked: asked_sender.clone(),
        broker: Broker::new(order_sender.clone()),
        control,
    };
    let configuration = ConfigurationLoop::new(
        configuration::Surroundings {
            clock: clock.clone(),
            settings: settings.clone(),
            board: board.clone(),
            pulse: configuration_pulse,
            identity,
            standing,
            answers: answer_sender,
            orders: sync_orders,
            versions,
            clearing,
            published: published_sender,
            applied,
            learned: learned.clone(),
        },
        shelf,
        Rc::clone(&plane_file),
    );
    let made = broker::http::socket_before_all(&settings.borrow().broker, &paths.broker());
    let at_the_broker = broker::http::Surroundings {
        settings: broker_settings,
        socket: paths.broker(),
        passed,
        made,
        orders: Broker::new(order_sender),
        catalog,
        board: board.clone(),
    };
    let brokering = BrokerLoop::new(brokering::Surroundings {
        clock: clock.clone(),
        settings: settings.clone(),
        board: board.clone(),
        pulse: broker_pulse,
        identity: identity_sender.subscribe(),
        learned,
        orders,
        catalog: catalog_sender,
        sync: sync_sender.clone(),
    });
    let trust = TrustLoop::new(
        trust::Surroundings {
            clock: clock.clone(),
            settings: settings.clone(),
            board: board.clone(),
            pulse: trust_pulse,
            arrivals,
            orders: trust_orders,
            answers,
            identity: identity_sender,
            standing: standing_sender,
            clearing: clearing_sender,
            notices: notice_sender,
        },
        identities,
        PairingFiles::new(&paths.state),
    )?;
    let applying = applying::run(applying::Surroundings {
        clock,
        settings,
        location: location.clone(),
        board: board.clone(),
        pulse: apply_pulse,
        notices,
        published,
        applied: applied_sender,
        asked,
    });
    let inbox = async move {
        let mut inbox = Inbox::new(&paths.pairing, "token");
        while arrival_sender.send(inbox.next().await).await.is_ok() {}
    };
    let reloads = async {
        let mut again = None;
        loop {
            match signals.next_or(again).await {
                Told::End(name) => break name,
                Told::Reload => {
                    again = reload(&location, &settings_sender, &board);
                    control_sender.send_replace(settings_sender.borrow().control.clone());
                    broker_sender.send_replace(settings_sender.borrow().broker.clone());
                }
                Told::Sync => {
                    // Nobody waits for the answer; it is in the journal.
                    let (answer, _) = tokio::sync::oneshot::channel();
                    let _ = sync_sender.try_send(SyncOrder { consent: Consent::NotGiven, answer });
                    let current = board.read(|status| status.output.as_ref().map(|output| output.generation));
                    applying::PersonAsked::note(&asked_sender, current);
                }
            }
        }
    };

    Service::Started(&location).emit();
    // Waiting for a token is a healthy state: the agent is ready before it is paired.
    notify(&[NotifyState::Ready]);
    let ended_by = tokio::select! {
        name = reloads => name,
        _ = async { tokio::join!(
            trust.run(),
            configuration.run(),
            applying,
            brokering.run(),
            inbox,
            control::serve(listener, handles),
            broker::http::serve(at_the_broker),
            headline(board.subscribe()),
            pulse::feed(pulses),
            observing::run(settings_sender.subscribe(), observed, board.clone()),
        ) } => unreachable!("the loops do not end by themselves"),
    };
    notify(&[NotifyState::Stopping, NotifyState::Status("ending")]);
    Service::Ends(ended_by).emit();
    plane_file.borrow_mut().note();
    observing::end(&settings_sender.borrow().metrics);
    // A socket that nobody listens on would only confuse.
    let _ = std::fs::remove_file(&control_path);
    Ok(())
}

/// Somebody else, root above all, would leave files behind that the agent's own user cannot read.
fn only_the_owner(state: &Path) -> Result<(), RunError> {
    let owner = std::fs::metadata(state).map_err(|source| DiskError::new("look at", state, source))?.uid();
    if owner == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    let name =
        nix::unistd::User::from_uid(owner.into()).ok().flatten().map_or_else(|| owner.to_string(), |user| user.name);
    Err(RunError::NotTheOwner { state: state.to_owned(), owner: name })
}

/// What was asked by a signal.
enum Told {
    End(&'static str),
    Reload,
    Sync,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// What is asked next; a reload, too, once it is time to try it again.
    async fn next_or(&mut self, reload: Option<Instant>) -> Told {
        let due = async {
            match reload {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            told = self.next() => told,
            () = due => Told::Reload,
        }
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End("SIGTERM"),
            _ = self.interrupt.recv() => Told::End("SIGINT"),
            _ = self.hangup.recv() => Told::Reload,
            _ = self.user.recv() => Told::Sync,
        }
    }
}

/// Keeps others out of this process's memory, and sets the umask that folders are made with.
pub fn harden() {
    seclude();
    // Modes are set exactly where they matter; this is for folders, and for sockets before they get theirs.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
}

/// Reads the configuration again, and puts it to use whole or not at all. Answers when that is to be tried again, where
/// the system did not let it be read.
fn reload(location: &Location, settings: &watch::Sender<Rc<Settings>>, board: &Board) -> Option<Instant> {
    let monotonic = NotifyState::monotonic_usec_now();
    match &monotonic {
        Ok(monotonic) => notify(&[NotifyState::Reloading, monotonic.clone()]),
        Err(_) => notify(&[NotifyState::Reloading]),
    }
    let mut again = None;
    match config::load(location) {
        Ok(mut new) => {
            let old = settings.borrow().clone();
            let held = new.hold(&old);
            settings.send_replace(Rc::new(new));
            board.solved(Area::Configuration);
            board.update(|status| status.awaiting_restart.clone_from(&held));
            if held.is_empty() {
                Service::Reloaded.emit();
            } else {
                Service::ReloadedInPart { held: &held, service: &location.service() }.emit();
            }
        }
        Err(error) if !error.is_lasting() => {
            again = Some(Instant::now() + RELOAD_AGAIN);
            board.problem(
                Area::Configuration,
                Severity::Transient,
                format!("The new configuration is not in force yet: {}.", error.brief()),
                "The old one stays in force, and the agent reads the new one again by itself.",
            );
        }
        Err(error) => board.problem(
            Area::Configuration,
            Severity::ActionNeeded,
            format!("The new configuration is refused: {}.", error.brief()),
            "The old one stays in force. Mend the file (`runtime-agent check` shows the place) and reload again.",
        ),
    }
    notify(&[NotifyState::Ready]);
    again
}

/// Keeps systemd's status line up to date, and tells the journal how things are at the start.
async fn headline(mut status: watch::Receiver<Status>) {
    let mut shown = String::new();
    let mut state = None;
    loop {
        // systemd takes one line; a newline would begin another field of the message.
        let (line, now, troubled) = {
            let status = status.borrow_and_update();
            (status.headline.replace(['\n', '\r'], " "), status.state, !status.problems.is_empty())
        };
        match state.replace(now) {
            Some(before) if before == now => {}
            // What changed was told by whoever changed it.
            Some(_) => Service::Changed { state: now.as_str(), headline: &line }.emit(),
            None if now == State::Unpaired => Service::WaitingForToken { headline: &line }.emit(),
            None if troubled => {}
            None => Service::Begins { state: now.as_str(), headline: &line }.emit(),
        }
        if line != shown {
            notify(&[NotifyState::Status(&line)]);
            shown = line;
        }
        if status.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(states);
}
