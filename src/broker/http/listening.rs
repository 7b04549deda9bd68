//! Where the broker is served: at its socket, at the sockets that systemd passed, and at an address, as the settings have it
//! at the moment.
//!
//! Whatever goes wrong here is a problem on the board, and nothing else waits for it.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use futures_util::future::join_all;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;

use super::door::Door;
use super::judge::{Judge, LONGEST_HEAD};
use super::routes::{Desk, router};
use super::{Passed, body};
use crate::agent::Board;
use crate::agent::status::{Area, Severity};
use crate::broker::login::Login;
use crate::broker::{Broker, Catalog};
use crate::config::{self, Brokerage, LoopbackAddress};
use crate::event::Retry;
use crate::peers::{self, Directory, Gate, Places};
use crate::serving::{self, Answered, Limits};

/// After how long what could not be had is tried again: a minute.
const AGAIN: Duration = Duration::from_secs(60);

/// How many connections users may hold at the socket who are neither root nor the agent's own.
pub(super) const PLACES: Places = Places { for_one: 32, for_all: 64 };

/// What a connection may take. How long an order takes is not for the client to say.
pub(super) const LIMITS: Limits = Limits {
    // As many again for root and the agent's own user, who are not counted.
    connections: 2 * PLACES.for_all,
    head: Duration::from_secs(10),
    head_size: 2 * LONGEST_HEAD,
    body: Duration::from_secs(10),
    body_size: body::LONGEST,
    answer: Duration::from_secs(30),
    answered: Answered::Keep,
};

/// What serving the broker goes by.
#[derive(Debug)]
pub struct Surroundings {
    /// The settings. Each value that is sent stands for a reload, even where it is the same.
    pub settings: watch::Receiver<config::Broker>,
    /// Where the socket is made.
    pub socket: PathBuf,
    /// The sockets that systemd has passed.
    pub passed: Passed,
    /// The way to whoever decides.
    pub orders: Broker,
    /// The catalog, once there is one.
    pub catalog: watch::Receiver<Option<Arc<Catalog>>>,
    /// Where problems are told.
    pub board: Board,
}

/// Serves until the process ends, or this is dropped: then the socket is removed.
pub async fn serve(surroundings: Surroundings) {
    let Surroundings { settings, socket, passed, orders, catalog, board } = surroundings;
    let desk = Desk { orders, catalog };
    let troubles = Troubles::new(board);
    let judge = Judge::new(Door::Socket(Directory::default()), settings.clone());
    let at_sockets = router(desk.clone(), judge);
    if let Some(why) = &passed.unusable {
        troubles.tell(Spot::Socket, Some(not_passed(why)));
    }
    let listeners = passed.listeners.into_iter().map(UnixListener::from_std);
    tokio::join!(
        join_all(listeners.map(|listener| at_passed(listener, &at_sockets, &troubles))),
        // Also beside those that were passed: `runtime-agent broker` looks there.
        at_socket(settings.clone(), &socket, &at_sockets, &troubles),
        at_address(settings.clone(), &desk, &troubles),
    );
}

/// Serves a socket that was passed, whatever the settings say: as long as there is to be no broker, that is what it says.
async fn at_passed(listener: std::io::Result<UnixListener>, router: &Router, troubles: &Troubles) {
    match listener {
        Ok(listener) => serving::serve(Gate::new(listener, PLACES), router.clone(), LIMITS).await,
        Err(error) => troubles.tell(Spot::Socket, Some(not_passed(&error.to_string()))),
    }
}

/// A socket that is there as long as somebody listens on it.
struct Made<'a>(&'a Path);

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // One that nobody listens on would only confuse.
        let _ = std::fs::remove_file(self.0);
    }
}

async fn at_socket(mut settings: watch::Receiver<config::Broker>, path: &Path, router: &Router, troubles: &Troubles) {
    loop {
        let wanted = settings.borrow_and_update().enabled;
        let serving = async {
            if wanted == Brokerage::Closed {
                troubles.tell(Spot::Socket, None);
                return std::future::pending().await;
            }
            match peers::bind(path) {
                Ok(listener) => {
                    let _made = Made(path);
                    troubles.tell(Spot::Socket, None);
                    serving::serve(Gate::new(listener, PLACES), router.clone(), LIMITS).await;
                }
                Err(error) => {
                    let what = format!("The service broker has no socket at {}: {error}.", path.display());
                    let remedy = "Everything else goes on, and the agent tries again every minute.";
                    troubles.tell(Spot::Socket, Some(Trouble::transient(what, remedy)));
                    tokio::time::sleep(AGAIN).await;
                }
            }
        };
        tokio::select! {
            () = serving => {}
            changed = settings.wait_for(|settings| settings.enabled != wanted) => {
                // The settings live as long as the process.
                drop(changed);
            }
        }
    }
}

/// The address that the broker is to be served at.
fn address(settings: &config::Broker) -> Option<LoopbackAddress> {
    settings.listen.filter(|_| settings.enabled == Brokerage::Open)
}

async fn at_address(mut settings: watch::Receiver<config::Broker>, desk: &Desk, troubles: &Troubles) {
    // It outlives every listener, as connections do: what counts for them is what is known at the moment.
    let login = watch::Sender::new(None);
    loop {
        let wanted = address(&settings.borrow_and_update());
        let serving = async {
            let Some(address) = wanted else {
                troubles.tell(Spot::Address, None);
                return std::future::pending().await;
            };
            let mut reloads = settings.clone();
            if let Err(trouble) = serve_address(address, &mut reloads, &login, desk, troubles).await {
                // Whoever is still connected does not get in by an old one.
                login.send_replace(None);
                troubles.tell(Spot::Address, Some(trouble));
                // A reload may be what mends it.
                let _ = tokio::time::timeout(AGAIN, reloads.changed()).await;
            }
        };
        let mut changes = settings.clone();
        tokio::select! {
            () = serving => {}
            changed = changes.wait_for(|settings| address(settings) != wanted) => drop(changed),
        }
    }
}

/// Serves the address until user and password are not known any more; they are read anew at each reload.
async fn serve_address(
    address: LoopbackAddress,
    reloads: &mut watch::Receiver<config::Broker>,
    login: &watch::Sender<Option<Login>>,
    desk: &Desk,
    troubles: &Troubles,
) -> Result<(), Trouble> {
    login.send_replace(Some(read_login(reloads).await?));
    let listener = TcpListener::bind(address.get()).await.map_err(|error| {
        Trouble::transient(
            format!("The service broker cannot be served at {address}: {error}."),
            "Everything else goes on, and the agent tries again every minute. `ss -ltnp` tells who has the port; or change \
             broker.listen and then: systemctl reload runtime-agent.",
        )
    })?;
    troubles.tell(Spot::Address, None);
    let judge = Judge::new(Door::Address(address, login.subscribe()), reloads.clone());
    let reading = async {
        loop {
            if reloads.changed().await.is_err() {
                // The process ends.
                return std::future::pending().await;
            }
            match read_login(reloads).await {
                Ok(new) => drop(login.send_replace(Some(new))),
                Err(trouble) => return trouble,
            }
        }
    };
    tokio::select! {
        () = serving::serve(listener, router(desk.clone(), judge), LIMITS) => Ok(()),
        trouble = reading => Err(trouble),
    }
}

async fn read_login(settings: &mut watch::Receiver<config::Broker>) -> Result<Login, Trouble> {
    let broker = settings.borrow_and_update().clone();
    let read = tokio::task::spawn_blocking(move || Login::read(&broker).map_err(|error| error.to_string())).await;
    read.map_err(|error| error.to_string()).and_then(|read| read).map_err(|why| Trouble {
        severity: Severity::ActionNeeded,
        what: format!("The service broker is not served at its address: {why}."),
        remedy: "At its socket it goes on. When this is mended: systemctl reload runtime-agent.".to_owned(),
    })
}

fn not_passed(why: &str) -> Trouble {
    Trouble {
        severity: Severity::ActionNeeded,
        what: format!("A socket that systemd has passed for the service broker cannot be used: {why}."),
        remedy:
            "It has to be a stream socket with a path, as in runtime-agent-broker.socket. Change what a drop-in has \
                 changed, and then: systemctl restart runtime-agent-broker.socket runtime-agent."
                .to_owned(),
    }
}

/// What is wrong with one of the spots.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trouble {
    severity: Severity,
    what: String,
    remedy: String,
}

impl Trouble {
    fn transient(what: String, remedy: &str) -> Self {
        Self { severity: Severity::Transient, what, remedy: remedy.to_owned() }
    }
}

/// Where the broker is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spot {
    Socket,
    Address,
}

/// What is wrong. The board has one place for it: what is wrong with the socket is told first.
struct Troubles {
    board: Board,
    standing: RefCell<[Option<Trouble>; 2]>,
}

impl Troubles {
    fn new(board: Board) -> Self {
        Self { board, standing: RefCell::default() }
    }

    fn tell(&self, spot: Spot, trouble: Option<Trouble>) {
        if trouble.is_some() {
            Retry::Broker.emit();
        }
        let mut standing = self.standing.borrow_mut();
        standing[spot as usize] = trouble;
        match standing.iter().flatten().next() {
            Some(Trouble { severity, what, remedy }) => {
                self.board.problem(Area::Broker, *severity, what.clone(), remedy.clone());
            }
            None => self.board.solved(Area::Broker),
        }
    }
}
