//! The oracle: what was observed of a host, held to the nine promises. A pure function; whoever observes is elsewhere.

mod bounds;
mod secrets;
mod sentences;
#[cfg(test)]
mod tests;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use plane::{Counters, Request};
use runtime_agent::agent::status::Status;

use crate::reader::Seen;
use crate::tree::Entry;

/// One of the nine promises, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Whole or not at all.
    Whole = 1,
    /// A kill at any instant is harmless.
    Kills = 2,
    /// Nothing is removed on a doubt.
    Doubt = 3,
    /// The last good configuration stays.
    LastGood = 4,
    /// Secrets stay secret.
    Secrets = 5,
    /// No storm.
    Storm = 6,
    /// Every failure ends in a sentence.
    Sentences = 7,
    /// Everything has a bound.
    Bounded = 8,
    /// Time is the wall's.
    Time = 9,
}

/// A promise that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub promise: Promise,
    /// What was seen.
    pub what: String,
}

impl Breach {
    /// A breach.
    pub fn of(promise: Promise, what: impl Into<String>) -> Self {
        Self { promise, what: what.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promise {} ({:?}): {}", self.promise as u8, self.promise, self.what)
    }
}

/// What is too much.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Memory at its peak, in KiB.
    pub memory: u64,
    /// Open files.
    pub descriptors: usize,
    /// Requests of one name: so many at once, for each order that somebody gave, and for each second.
    pub burst: f64,
    pub per_order: f64,
    pub per_second: f64,
    /// Bytes of a line in the log.
    pub line: usize,
    /// Lines in the log for each second, and to begin with.
    pub lines: f64,
    /// Whether the plane asked to be left alone for long, so that no poll is due before.
    pub left_alone: bool,
    /// Whether what the service manager is told may be lost: where its socket cannot be had, for example.
    pub notices_may_be_lost: bool,
    /// Whether the clock of the host is moved, so that instants cannot be compared.
    pub clock_moves: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory: 160 * 1024,
            descriptors: 80,
            burst: 20.0,
            per_order: 8.0,
            per_second: 2.0,
            line: 8 * 1024,
            lines: 40.0,
            left_alone: false,
            notices_may_be_lost: false,
            clock_moves: false,
        }
    }
}

/// Everything that was observed of a host.
pub struct Observed {
    /// What the agent wrote to its standard output and error.
    pub log: String,
    /// What it told the service manager, one notice a line.
    pub told: String,
    /// What was seen all the while.
    pub seen: Seen,
    /// The last state of its board.
    pub last: Option<Status>,
    /// What its commands said, by their names; metrics among them.
    pub said: Vec<(String, String)>,
    /// What the plane was asked.
    pub requests: Vec<Request>,
    /// What the plane counted.
    pub counters: Counters,
    /// The ids of the applications that the plane has.
    pub at_the_plane: BTreeSet<String>,
    /// Every secret but keys, which the reader has.
    pub secrets: Vec<String>,
    /// Everything on the host's disk, once the agent has ended.
    pub tree: BTreeMap<PathBuf, Entry>,
    /// How long it took.
    pub lasted: Duration,
    /// How often somebody ordered something.
    pub orders: u32,
    /// What is too much.
    pub bounds: Bounds,
}

/// The promises that were broken.
pub fn judge(observed: &Observed) -> Vec<Breach> {
    let mut breaches = whole::judge(observed);
    breaches.extend(secrets::judge(observed));
    breaches.extend(sentences::judge(observed));
    breaches.extend(bounds::judge(observed));
    breaches
}
