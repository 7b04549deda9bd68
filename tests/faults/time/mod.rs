//! The wall clock of the host is set: hours, years, before the certificate, after it; and the host sleeps.

mod wall;

use jiff::{SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use runtime_agent::agent::standing::Standing;
use runtime_agent::agent::status::{Area, Status};
use runtime_agent::clock::built_at;

use crate::campaign::{Case, family};
use crate::host::Agent;
use crate::moments::{Moment, crossed, parted, variation};
use crate::oracle::Breach;
use crate::phases::Phase;
use crate::room::{Room, Variation};
use wall::Wall;

/// What happens to the clock.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// It is set, to so much more than the truth or less, and set right in the end.
    Set(fn(Timestamp) -> SignedDuration),
    /// It is set so far ahead, and as far back, and so on, and set right in the end.
    ToAndFro(SignedDuration),
    /// The host sleeps for so long, while time passes for the plane, too.
    Sleep(SignedDuration),
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// The life of a certificate, and a day.
const LIFE: SignedDuration = SignedDuration::from_hours(24 * 91);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const YEAR: SignedDuration = SignedDuration::from_hours(24 * 365);

/// All changes.
const CHANGES: [(&str, Change); 17] = [
    ("a second ahead", Change::Set(|_| SignedDuration::from_secs(1))),
    // As a kernel shows a leap second.
    ("a second behind", Change::Set(|_| SignedDuration::from_secs(-1))),
    ("an hour ahead", Change::Set(|_| HOUR)),
    ("an hour behind", Change::Set(|_| -HOUR)),
    ("a day ahead", Change::Set(|_| DAY)),
    ("a day behind", Change::Set(|_| -DAY)),
    ("past the certificate", Change::Set(|_| LIFE)),
    ("a year behind", Change::Set(|_| -YEAR)),
    ("ten years ahead", Change::Set(|_| YEAR * 10)),
    ("in 1970", Change::Set(|now| Timestamp::UNIX_EPOCH.duration_since(now) + HOUR)),
    ("in 2050", Change::Set(|now| Timestamp::constant(2_524_608_000, 0).duration_since(now))),
    ("after 2106", Change::Set(|now| Timestamp::constant(4_300_000_000, 0).duration_since(now))),
    ("to and fro by an hour", Change::ToAndFro(HOUR)),
    ("to and fro by a year", Change::ToAndFro(YEAR)),
    ("asleep for an hour", Change::Sleep(HOUR)),
    ("asleep for ten weeks", Change::Sleep(SignedDuration::from_hours(24 * 70))),
    ("asleep for a year", Change::Sleep(YEAR)),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_promise_is_broken_whatever_the_clock_shows() {
    family("time").in_order(crossed(CHANGES.map(|(name, _)| name))).short(8).at_once(4).run(changed).await;
}

/// Runs a case.
async fn changed(case: Case) -> Vec<Breach> {
    let (name, moment, phase) = parted(&case.name);
    let (_, change) = CHANGES.into_iter().find(|(known, _)| *known == name).unwrap();
    let mut variation = match change {
        Change::Set(_) | Change::ToAndFro(_) => variation(phase),
        // Certificates live as long as they do elsewhere.
        Change::Sleep(_) => Variation::default(),
    };
    variation.bounds.clock_moves = true;
    variation.may_cost_a_token = change.costs_a_token(phase);
    let room = Room::new(&variation).await;
    let wall = Wall::new();
    let mut command = room.host().command(&["run"]);
    wall.hang(&mut command);
    let agent = room.start_command(command).await;
    room.prepared(&agent, phase).await;

    let before = room.plane().requests().len();
    if moment == Moment::Before {
        change.begin(&wall, &room, &agent);
    }
    room.go(&agent, phase).await;
    if moment == Moment::Amid {
        change.begin(&wall, &room, &agent);
    }
    room.feels(phase, before).await;
    if wall.now() < built_at() {
        let told = |status: &Status| status.problems.contains_key(&Area::Clock);
        agent.wait_for("the clock to be told of", told).await;
    }
    change.end(&wall);
    if !variation.may_cost_a_token {
        let judged = |status: &Status| !matches!(status.standing, Standing::Expired | Standing::NotYetValid);
        agent.wait_for("the certificate to be judged by the right clock", judged).await;
    }
    room.ends_well(Some(agent), &case.name).await
}

impl Change {
    fn begin(self, wall: &Wall, room: &Room, agent: &Agent<'_>) {
        match self {
            Self::Set(ahead) => wall.set_ahead(ahead(Timestamp::now())),
            Self::ToAndFro(by) => {
                for ahead in [by, -by, by, -by, SignedDuration::ZERO, by] {
                    wall.set_ahead(ahead);
                }
            }
            Self::Sleep(by) => {
                agent.signal(Signal::SIGSTOP);
                room.plane().clock().set_ahead(by);
                wall.set_ahead(by);
                agent.signal(Signal::SIGCONT);
            }
        }
    }

    /// Sets the clock right. What was slept through is over, and the clock is right.
    fn end(self, wall: &Wall) {
        match self {
            Self::Set(_) | Self::ToAndFro(_) => wall.set_ahead(SignedDuration::ZERO),
            Self::Sleep(_) => {}
        }
    }

    /// Whether a token may be over by such a clock, which it is after an hour, or a certificate by the plane's, too.
    fn costs_a_token(self, phase: Phase) -> bool {
        match self {
            Self::Set(ahead) => phase == Phase::Pair && ahead(Timestamp::now()) >= HOUR,
            Self::ToAndFro(_) => phase == Phase::Pair,
            Self::Sleep(by) => phase == Phase::Pair || by >= LIFE,
        }
    }
}
