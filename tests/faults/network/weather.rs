//! What becomes of a packet: a pure function of the weather, the packet, and dice.

use std::time::Duration;

use fastrand::Rng;

/// What happens to packets in one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sky {
    /// Nothing passes.
    pub cut: bool,
    /// Which share of the packets is lost, from 0 to 1.
    pub lost: f64,
    /// Which share arrives twice.
    pub twice: f64,
    /// Which share arrives with a bit that was turned.
    pub damaged: f64,
    /// How long each packet takes.
    pub delay: Duration,
    /// How much longer it may take, each as chance has it: packets overtake each other.
    pub jitter: Duration,
    /// Larger packets vanish, and nobody says so; in bytes.
    pub largest: Option<usize>,
    /// How many bytes pass in a second.
    pub rate: Option<u32>,
}

/// What happens to packets in both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weather {
    /// From the agent to the plane.
    pub up: Sky,
    /// From the plane to the agent.
    pub down: Sky,
    /// Connections that there are when the weather sets in are forgotten, as by a firewall that was started again:
    /// their packets vanish.
    pub forgets: bool,
}

/// One arrival of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// After how long.
    pub after: Duration,
    /// Which bit of it is turned.
    pub turned: Option<usize>,
}

impl Weather {
    /// The same in both directions.
    pub fn of(sky: Sky) -> Self {
        Self { up: sky.clone(), down: sky, forgets: false }
    }
}

impl Sky {
    /// When a packet of so many bytes arrives, and how often.
    pub fn arrivals(&self, length: usize, dice: &mut Rng) -> Vec<Arrival> {
        if self.cut || self.largest.is_some_and(|largest| length > largest) || dice.f64() < self.lost {
            return Vec::new();
        }
        let copies = if dice.f64() < self.twice { 2 } else { 1 };
        let mut arrival = || Arrival {
            after: self.delay + self.jitter.mul_f64(dice.f64()),
            turned: (dice.f64() < self.damaged && length > 0).then(|| dice.usize(..length * 8)),
        };
        (0..copies).map(|_| arrival()).collect()
    }

    /// How long the line is taken by a packet of so many bytes.
    pub fn takes(&self, length: usize) -> Duration {
        let seconds = |rate: u32| length as f64 / f64::from(rate.max(1));
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(seconds(rate)))
    }
}

/// Turns one bit.
pub fn turn(packet: &mut [u8], bit: usize) {
    packet[bit / 8] ^= 1 << (bit % 8);
}

/// The port of the agent's end of a packet's connection, where it is TCP over IPv4: that names the connection.
pub fn connection(packet: &[u8], up: bool) -> Option<u16> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    if packet[0] >> 4 != 4 || *packet.get(9)? != 6 {
        return None;
    }
    let at = header + if up { 0 } else { 2 };
    Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(sky: &Sky, holds: impl Fn(&[Arrival]) -> bool) -> f64 {
        let mut dice = Rng::with_seed(7);
        let hits = (0..10_000).filter(|_| holds(&sky.arrivals(100, &mut dice))).count();
        hits as f64 / 10_000.0
    }

    #[test]
    fn in_good_weather_each_packet_arrives_once_at_once_and_whole() {
        let once = [Arrival { after: Duration::ZERO, turned: None }];
        assert!((share(&Sky::default(), |arrivals| arrivals == once) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn shares_are_shares() {
        let sky = Sky { lost: 0.3, ..Sky::default() };
        assert!((share(&sky, <[Arrival]>::is_empty) - 0.3).abs() < 0.02);
        let sky = Sky { twice: 0.5, ..Sky::default() };
        assert!((share(&sky, |arrivals| arrivals.len() == 2) - 0.5).abs() < 0.02);
        let sky = Sky { damaged: 0.1, ..Sky::default() };
        assert!((share(&sky, |arrivals| arrivals[0].turned.is_some()) - 0.1).abs() < 0.02);
    }

    #[test]
    fn a_cut_line_and_a_black_hole_let_nothing_through() {
        let mut dice = Rng::with_seed(7);
        assert!(Sky { cut: true, ..Sky::default() }.arrivals(1, &mut dice).is_empty());
        let hole = Sky { largest: Some(600), ..Sky::default() };
        assert!(hole.arrivals(601, &mut dice).is_empty() && hole.arrivals(600, &mut dice).len() == 1);
    }

    #[test]
    fn the_same_seed_gives_the_same_weather() {
        let sky = Sky { lost: 0.3, twice: 0.3, jitter: Duration::from_millis(80), ..Sky::default() };
        let run = || {
            let mut dice = Rng::with_seed(42);
            (0..100).map(|_| sky.arrivals(1500, &mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn a_connection_is_named_by_the_agents_port() {
        let mut packet = [0_u8; 40];
        packet[0] = 0x45;
        packet[9] = 6;
        packet[20..24].copy_from_slice(&[0xab, 0xcd, 0x01, 0xbb]);
        assert_eq!((connection(&packet, true), connection(&packet, false)), (Some(0xabcd), Some(443)));
        packet[9] = 17;
        assert_eq!((connection(&packet, true), connection(&[], true)), (None, None));
    }
}
