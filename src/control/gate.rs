//! The way in: every local user can connect, so what one of them can hold is bounded, and each request is let through or
//! refused.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::Answer;
use super::access::{Access, look_up, of_user, refusal};
use crate::config::Control;
use crate::serving::{Answered, Limits, Listen};

/// How many connections one user may hold who is neither root nor the agent's own: enough for a few waiting readers.
const MOST_FOR_ONE: usize = 8;

/// How many all such users may hold together. The daemon needs its file descriptors for the plane and its files.
const MOST_FOR_OTHERS: usize = 64;

/// What a connection may take. Whoever holds one asks at once, so that those who only sit there make place for others in
/// five seconds; how long an order or a waiting reader waits for its answer has no limit here.
pub(super) const LIMITS: Limits = Limits {
    // As many again for root and the agent's own user, who are not counted.
    connections: 2 * MOST_FOR_OTHERS,
    head: Duration::from_secs(5),
    head_size: 8 * 1024,
    body: Duration::from_secs(5),
    body_size: 64 * 1024,
    answer: Duration::from_secs(10),
    answered: Answered::Keep,
};

/// The socket, and who is connected to it.
#[derive(Debug)]
pub(super) struct Gate {
    listener: UnixListener,
    seats: Arc<Seats>,
    own: u32,
}

impl Gate {
    pub(super) fn new(listener: UnixListener) -> Self {
        Self { listener, seats: Arc::default(), own: nix::unistd::geteuid().as_raw() }
    }

    /// Who is at the other end; nobody, where all that this user may hold is taken, or it has gone.
    fn admit(&self, stream: &UnixStream) -> Option<Peer> {
        let credentials = stream.peer_cred().ok()?;
        let (uid, gid) = (credentials.uid(), credentials.gid());
        let seat = match of_user(uid, self.own) {
            Some(_) => None,
            None => Some(Arc::new(Seats::take(&self.seats, uid)?)),
        };
        Some(Peer { uid, gid, own: self.own, _seat: seat })
    }
}

impl Listen for Gate {
    type Stream = UnixStream;
    type Peer = Peer;

    async fn accept(&mut self) -> io::Result<(UnixStream, Peer)> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if let Some(peer) = self.admit(&stream) {
                return Ok((stream, peer));
            }
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    uid: u32,
    gid: u32,
    /// The user that the agent runs as.
    own: u32,
    _seat: Option<Arc<Seat>>,
}

/// How many connections each user holds.
#[derive(Debug, Default)]
struct Seats(Mutex<BTreeMap<u32, usize>>);

impl Seats {
    fn take(seats: &Arc<Self>, uid: u32) -> Option<Seat> {
        let mut taken = seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let of_user = taken.get(&uid).copied().unwrap_or_default();
        if of_user >= MOST_FOR_ONE || all >= MOST_FOR_OTHERS {
            return None;
        }
        taken.insert(uid, of_user + 1);
        Some(Seat { seats: Arc::clone(seats), uid })
    }
}

/// One connection of a user; given back when it is dropped.
#[derive(Debug)]
struct Seat {
    seats: Arc<Seats>,
    uid: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_user) = taken.get_mut(&self.uid) {
            *of_user -= 1;
            if *of_user == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

/// What decides about requests.
#[derive(Debug, Clone)]
pub(super) struct Porter {
    control: watch::Receiver<Control>,
    /// One look-up at a time: the directory of users may be slow, and the threads for waiting are few.
    looking_up: Arc<Semaphore>,
}

impl Porter {
    pub(super) fn new(control: watch::Receiver<Control>) -> Self {
        Self { control, looking_up: Arc::new(Semaphore::new(1)) }
    }

    async fn access(&self, peer: &Peer) -> Access {
        if let Some(access) = of_user(peer.uid, peer.own) {
            return access;
        }
        // It is never closed.
        let _turn = self.looking_up.acquire().await;
        let (uid, gid, control) = (peer.uid, peer.gid, self.control.borrow().clone());
        tokio::task::spawn_blocking(move || look_up(uid, gid, &control)).await.unwrap_or(Access::Nothing)
    }
}

/// Lets a request through whose sender may do what it asks; to GET is to look.
pub(super) async fn guard(
    State(porter): State<Porter>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let wanted = match *request.method() {
        Method::GET | Method::HEAD => Access::Look,
        _ => Access::Change,
    };
    let access = porter.access(&peer).await;
    if access >= wanted {
        return next.run(request).await;
    }
    let message = refusal(peer.uid, access, wanted, &porter.control.borrow());
    tracing::debug!(uid = peer.uid, method = %request.method(), "a request at the control socket is refused");
    (StatusCode::FORBIDDEN, Json(Answer { done: false, message })).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_can_take_the_places_of_all_others_and_each_place_is_given_back() {
        let seats = Arc::default();
        let first: Vec<_> = std::iter::from_fn(|| Seats::take(&seats, 1)).collect();
        assert_eq!(first.len(), MOST_FOR_ONE);
        let mut all = first;
        for uid in 2.. {
            let more: Vec<_> = std::iter::from_fn(|| Seats::take(&seats, uid)).collect();
            if more.is_empty() {
                break;
            }
            all.extend(more);
        }
        assert_eq!(all.len(), MOST_FOR_OTHERS);
        all.pop();
        let again = Seats::take(&seats, 1_000);
        assert!(again.is_some());
        drop((again, all));
        assert!(seats.0.lock().unwrap().is_empty());
    }
}
