//! The board that every part of the daemon writes on, and that systemd, the journal and the control socket read.

mod spell;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use jiff::tz::TimeZone;
use tokio::sync::watch;

use self::spell::{Said, Spell};
use super::status::{Area, Problem, Severity, Status};
use crate::clock::SharedClock;
use crate::event;
use crate::transport::{Denial, fit};

/// A handle to the board.
#[derive(Debug, Clone)]
pub struct Board {
    status: Rc<watch::Sender<Status>>,
    /// What the journal was told of the problems that stand on it.
    spells: Rc<RefCell<BTreeMap<Area, Spell>>>,
    zone: TimeZone,
    clock: SharedClock,
}

impl Board {
    /// A new board.
    pub fn new(status: Status, clock: SharedClock) -> Self {
        Self { status: Rc::new(watch::Sender::new(status)), spells: Rc::default(), zone: TimeZone::system(), clock }
    }

    /// Follows the board.
    pub fn subscribe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Changes what stands on the board.
    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_modify(|status| {
            change(status);
            status.revision += 1;
            status.conclude(&self.zone);
        });
    }

    /// Reads a part of it.
    pub fn read<T>(&self, part: impl FnOnce(&Status) -> T) -> T {
        part(&self.status.borrow())
    }

    /// Puts up a problem. The journal tells of it once, not at every repetition, and then once a day.
    pub fn problem(&self, area: Area, severity: Severity, what: impl Into<String>, remedy: impl Into<String>) {
        self.put_up(area, severity, &what.into(), remedy.into(), None);
    }

    /// Puts up that the plane denies something: `error` tells in which words, `next` what the agent does about it.
    pub fn denied(&self, area: Area, denial: Denial, error: &dyn std::fmt::Display, next: &str) {
        let what = format!("{}: {error}.", denial.sentence());
        self.put_up(area, Severity::ActionNeeded, &what, format!("{next} {}", denial.advice()), Some(denial));
    }

    fn put_up(&self, area: Area, severity: Severity, what: &str, remedy: String, denial: Option<Denial>) {
        let what = fit(what);
        let now = self.clock.now();
        let known = self.read(|status| status.problems.get(&area).cloned());
        let repeated = known.as_ref().is_some_and(|known| known.what == what && known.severity == severity);
        let since = known.filter(|_| repeated).map_or(now, |known| known.since);
        let said = self.spells.borrow_mut().entry(area).or_insert_with(|| Spell::begin(now)).fail(&what, severity, now);
        match said {
            Said::No => event::Problem::Begins { area, severity, denial, what: &what, remedy: &remedy }.emit(),
            Said::Yes => event::Problem::Repeats { area, what: &what }.emit(),
            Said::LongAgo(times) => {
                event::Problem::Lasts { area, severity, times, what: &what, remedy: &remedy }.emit();
            }
        }
        self.update(|status| {
            status.problems.insert(area, Problem { what, remedy, severity, since, denial });
        });
    }

    /// Takes a problem down without a word, because something else is said about it.
    pub fn withdraw(&self, area: Area) {
        self.spells.borrow_mut().remove(&area);
        if self.read(|status| status.problems.contains_key(&area)) {
            self.update(|status| {
                status.problems.remove(&area);
            });
        }
    }

    /// Takes a problem down, if there was one.
    pub fn solved(&self, area: Area) {
        let spell = self.spells.borrow_mut().remove(&area);
        if let Some(spell) = spell {
            event::Problem::Over { area, times: spell.times(self.clock.now()) }.emit();
            self.update(|status| {
                status.problems.remove(&area);
            });
        }
    }
}
