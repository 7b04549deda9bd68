//! Carries packets between the two sides, through the weather: every kernel can do this, netem or not.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fastrand::Rng;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;

use super::weather::{Arrival, Sky, Weather, connection, turn};

/// The largest packet of IPv4.
const LARGEST: usize = 65_535;

/// The devices of both sides, and what is between them; dropping it ends it.
pub struct Relay {
    air: Arc<Mutex<Air>>,
    _carriers: JoinSet<()>,
}

/// The weather, and what it does not forget.
struct Air {
    weather: Weather,
    dice: Rng,
    /// Connections that were seen.
    seen: HashSet<u16>,
    /// Those of them that nothing is carried for any more.
    forgotten: HashSet<u16>,
    /// Until when each direction's line is taken.
    taken: [Instant; 2],
    /// What comes after so many packets.
    coming: Option<(usize, Weather)>,
}

impl Relay {
    /// Carries packets between the devices of the agent and of the plane.
    pub fn between(agent: OwnedFd, plane: OwnedFd, seed: u64) -> Self {
        let air = Arc::new(Mutex::new(Air {
            weather: Weather::default(),
            dice: Rng::with_seed(seed),
            seen: HashSet::new(),
            forgotten: HashSet::new(),
            taken: [Instant::now(); 2],
            coming: None,
        }));
        let (agent, plane) = (Arc::new(watched(agent)), Arc::new(watched(plane)));
        let mut carriers = JoinSet::new();
        carriers.spawn(carry(Arc::clone(&agent), Arc::clone(&plane), true, Arc::clone(&air)));
        carriers.spawn(carry(plane, agent, false, Arc::clone(&air)));
        Self { air, _carriers: carriers }
    }

    /// From now on, the weather is this.
    pub fn set(&self, weather: Weather) {
        self.set_after(0, weather);
    }

    /// Once so many packets more have passed, the weather is this.
    pub fn set_after(&self, packets: usize, weather: Weather) {
        let mut air = self.air.lock().unwrap_or_else(PoisonError::into_inner);
        air.coming = Some((packets, weather));
        air.turns();
    }
}

impl Air {
    /// Lets the weather that is to come set in, where it is time.
    fn turns(&mut self) {
        let Some((0, weather)) = self.coming.take_if(|(packets, _)| *packets == 0) else { return };
        if weather.forgets {
            self.forgotten = std::mem::take(&mut self.seen);
        }
        self.weather = weather;
    }

    /// The arrivals of a packet.
    fn carries(&mut self, packet: &[u8], up: bool) -> Vec<Arrival> {
        if let Some(connection) = connection(packet, up) {
            if self.forgotten.contains(&connection) {
                return Vec::new();
            }
            self.seen.insert(connection);
        }
        let sky: &Sky = if up { &self.weather.up } else { &self.weather.down };
        let arrivals = sky.arrivals(packet.len(), &mut self.dice);
        let (now, takes) = (Instant::now(), sky.takes(packet.len()));
        let line = &mut self.taken[usize::from(up)];
        *line = (*line).max(now) + takes;
        let queued = *line - now;
        if let Some((packets, _)) = &mut self.coming {
            *packets -= 1;
        }
        self.turns();
        arrivals.into_iter().map(|arrival| Arrival { after: arrival.after + queued, ..arrival }).collect()
    }
}

#[expect(
    deprecated,
    reason = "the new constructor is unsafe, for descriptors that can be closed under it; an OwnedFd cannot"
)]
fn watched(device: OwnedFd) -> AsyncFd<OwnedFd> {
    AsyncFd::with_interest(device, Interest::READABLE).unwrap()
}

async fn carry(from: Arc<AsyncFd<OwnedFd>>, to: Arc<AsyncFd<OwnedFd>>, up: bool, air: Arc<Mutex<Air>>) {
    let mut late = JoinSet::new();
    let mut buffer = vec![0; LARGEST];
    while let Ok(mut ready) = from.readable().await {
        let read = ready.try_io(|device| Ok(rustix::io::read(device.get_ref(), &mut buffer)?));
        let packet = match read {
            Ok(Ok(length)) => &buffer[..length],
            // The device is gone, and the network with it.
            Ok(Err(_)) => return,
            Err(_would_block) => continue,
        };
        let arrivals = air.lock().unwrap_or_else(PoisonError::into_inner).carries(packet, up);
        for Arrival { after, turned } in arrivals {
            let mut packet = packet.to_vec();
            if let Some(bit) = turned {
                turn(&mut packet, bit);
            }
            let to = Arc::clone(&to);
            // A device that takes nothing at this moment, or not this, loses it.
            if after.is_zero() {
                let _ = rustix::io::write(to.get_ref(), &packet);
            } else {
                late.spawn(async move {
                    tokio::time::sleep(after).await;
                    let _ = rustix::io::write(to.get_ref(), &packet);
                });
            }
        }
        while late.try_join_next().is_some() {}
    }
}
