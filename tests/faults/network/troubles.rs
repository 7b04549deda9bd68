//! The troubles of a network, each with a name, a beginning and an end.

use std::time::Duration;

use super::spaces::{AGENT_ADDRESSES, Etc, PLANE, PLANE_ADDRESSES, Spaces};
use super::weather::{Sky, Weather};

/// A trouble.
#[derive(Clone, Copy)]
pub enum Trouble {
    /// What is on the way does not arrive as it was sent.
    Weather(fn() -> Weather),
    /// Only small packets can be sent.
    Packets(u16),
    /// The plane gets another address, and its name leads to the old one for a while.
    PlaneMoves,
    /// This host gets another address.
    AgentMoves,
    /// Names cannot be looked up.
    Names(fn(&Etc)),
}

/// All of them.
pub const TROUBLES: [(&str, Trouble); 26] = [
    ("nothing passes", Trouble::Weather(|| Weather::of(CUT))),
    ("nothing reaches the plane", Trouble::Weather(|| Weather { up: CUT, ..Weather::default() })),
    ("nothing comes back", Trouble::Weather(|| Weather { down: CUT, ..Weather::default() })),
    ("a twentieth is lost", Trouble::Weather(|| Weather::of(Sky { lost: 0.05, ..CLEAR }))),
    ("a third is lost", Trouble::Weather(|| Weather::of(Sky { lost: 0.33, ..CLEAR }))),
    ("two thirds are lost", Trouble::Weather(|| Weather::of(Sky { lost: 0.66, ..CLEAR }))),
    ("half of what comes back is lost", Trouble::Weather(|| Weather { down: Sky { lost: 0.5, ..CLEAR }, ..FAIR })),
    ("a third of a second each way", Trouble::Weather(|| Weather::of(Sky { delay: milliseconds(333), ..CLEAR }))),
    ("two seconds each way", Trouble::Weather(|| Weather::of(Sky { delay: milliseconds(2000), ..CLEAR }))),
    ("packets overtake each other", Trouble::Weather(|| Weather::of(Sky { jitter: milliseconds(80), ..CLEAR }))),
    (
        "packets overtake each other by far",
        Trouble::Weather(|| Weather::of(Sky { jitter: milliseconds(900), ..CLEAR })),
    ),
    ("half arrives twice", Trouble::Weather(|| Weather::of(Sky { twice: 0.5, jitter: milliseconds(30), ..CLEAR }))),
    ("all arrives twice", Trouble::Weather(|| Weather::of(Sky { twice: 1.0, ..CLEAR }))),
    ("bits are turned", Trouble::Weather(|| Weather::of(Sky { damaged: 0.2, ..CLEAR }))),
    ("large packets vanish", Trouble::Weather(|| Weather::of(Sky { largest: Some(576), ..CLEAR }))),
    ("large answers vanish", Trouble::Weather(|| Weather { down: Sky { largest: Some(576), ..CLEAR }, ..FAIR })),
    ("a kilobyte in a second", Trouble::Weather(|| Weather::of(Sky { rate: Some(1000), ..CLEAR }))),
    ("connections are forgotten", Trouble::Weather(|| Weather { forgets: true, ..FAIR })),
    ("packets of 576 bytes", Trouble::Packets(576)),
    ("packets of 68 bytes", Trouble::Packets(68)),
    ("the plane moves", Trouble::PlaneMoves),
    ("the host moves", Trouble::AgentMoves),
    (
        "no such name",
        Trouble::Names(|etc| {
            etc.hosts("");
            etc.write("nsswitch.conf", "hosts: files\n");
        }),
    ),
    ("nobody looks names up", Trouble::Names(|etc| etc.hosts(""))),
    (
        "whoever looks names up is silent",
        Trouble::Names(|etc| {
            etc.hosts("");
            etc.write("resolv.conf", "nameserver 10.77.0.53\n");
        }),
    ),
    ("the name leads nowhere", Trouble::Names(|etc| etc.hosts(&format!("10.77.0.99 {PLANE}\n")))),
];

const CLEAR: Sky = Sky {
    cut: false,
    lost: 0.0,
    twice: 0.0,
    damaged: 0.0,
    delay: Duration::ZERO,
    jitter: Duration::ZERO,
    largest: None,
    rate: None,
};
const CUT: Sky = Sky { cut: true, ..CLEAR };
const FAIR: Weather = Weather { up: CLEAR, down: CLEAR, forgets: false };

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl Trouble {
    /// Begins it; bad weather only after so many packets.
    pub fn begin(self, spaces: &Spaces, packets: usize) {
        match self {
            Self::Weather(weather) => spaces.relay.set_after(packets, weather()),
            Self::Packets(bytes) => spaces.agent.mtu(bytes),
            Self::PlaneMoves => spaces.plane.moves(PLANE_ADDRESSES),
            Self::AgentMoves => spaces.agent.moves(AGENT_ADDRESSES),
            Self::Names(spoil) => spoil(&spaces.etc),
        }
    }

    /// Ends it. Whoever has moved stays there.
    pub fn end(self, spaces: &Spaces) {
        match self {
            Self::Weather(_) => spaces.relay.set(Weather::default()),
            Self::Packets(_) => spaces.agent.mtu(1500),
            Self::PlaneMoves => spaces.etc.hosts(&format!("{} {PLANE}\n", PLANE_ADDRESSES[1])),
            Self::AgentMoves => {}
            Self::Names(_) => spaces.etc.restore(),
        }
    }
}
