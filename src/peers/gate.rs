//! The way in: every local user can connect, so what one of them can hold is bounded.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::{UnixListener, UnixStream};

use crate::serving::Listen;

/// How many connections users may hold who are neither root nor the agent's own. The daemon needs its file descriptors
/// for the plane and its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    /// One of them.
    pub for_one: usize,
    /// All of them together.
    pub for_all: usize,
}

/// The socket, and who is connected to it.
#[derive(Debug)]
pub(crate) struct Gate {
    listener: UnixListener,
    seats: Arc<Seats>,
    own: u32,
}

impl Gate {
    pub(crate) fn new(listener: UnixListener, places: Places) -> Self {
        let seats = Seats { places, taken: Mutex::default() };
        Self { listener, seats: Arc::new(seats), own: nix::unistd::geteuid().as_raw() }
    }

    /// Who is at the other end; nobody, where all that this user may hold is taken, or it has gone.
    fn admit(&self, stream: &UnixStream) -> Option<Peer> {
        let credentials = stream.peer_cred().ok()?;
        let peer = Peer { uid: credentials.uid(), gid: credentials.gid(), own: self.own, _seat: None };
        if peer.may_all() {
            return Some(peer);
        }
        let seat = Arc::new(Seats::take(&self.seats, peer.uid)?);
        Some(Peer { _seat: Some(seat), ..peer })
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
pub struct Peer {
    uid: u32,
    gid: u32,
    /// The user that the agent runs as.
    own: u32,
    _seat: Option<Arc<Seat>>,
}

impl Peer {
    /// The user.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// The group of the process.
    pub(crate) fn gid(&self) -> u32 {
        self.gid
    }

    /// Whether this user may do all, without regard to groups: root may, and the user that the agent runs as.
    pub(crate) fn may_all(&self) -> bool {
        self.uid == 0 || self.uid == self.own
    }

    /// Somebody without a place at a gate: for whoever asks in another way than over a socket, as tests do.
    pub fn somebody(uid: u32, gid: u32, own: u32) -> Self {
        Self { uid, gid, own, _seat: None }
    }
}

/// How many connections each user holds.
#[derive(Debug)]
struct Seats {
    places: Places,
    taken: Mutex<BTreeMap<u32, usize>>,
}

impl Seats {
    fn take(seats: &Arc<Self>, uid: u32) -> Option<Seat> {
        let mut taken = seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let of_user = taken.get(&uid).copied().unwrap_or_default();
        if of_user >= seats.places.for_one || all >= seats.places.for_all {
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
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_user) = taken.get_mut(&self.uid) {
            *of_user -= 1;
            if *of_user == 0 {
                taken.remove(&self.uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_can_take_the_places_of_all_others_and_each_place_is_given_back() {
        let places = Places { for_one: 8, for_all: 64 };
        let seats = Arc::new(Seats { places, taken: Mutex::default() });
        let first: Vec<_> = std::iter::from_fn(|| Seats::take(&seats, 1)).collect();
        assert_eq!(first.len(), places.for_one);
        let mut all = first;
        for uid in 2.. {
            let more: Vec<_> = std::iter::from_fn(|| Seats::take(&seats, uid)).collect();
            if more.is_empty() {
                break;
            }
            all.extend(more);
        }
        assert_eq!(all.len(), places.for_all);
        all.pop();
        let again = Seats::take(&seats, 1_000);
        assert!(again.is_some());
        drop((again, all));
        assert!(seats.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn root_and_the_agents_own_user_may_do_all_and_nobody_else_without_a_group() {
        let may_all = |uid, own| Peer::somebody(uid, 0, own).may_all();
        assert!(may_all(0, 990) && may_all(990, 990));
        assert!(!may_all(1000, 990) && !may_all(990, 0));
    }
}
