//! What the journal was told of one problem while it lasts: each way of failing once, and how long it lasts once a day.

use std::time::Duration;

use jiff::Timestamp;

use crate::agent::status::Severity;
use crate::clock;
use crate::event::Times;

/// How often it is told that a problem lasts: once a day.
const REMINDER: Duration = Duration::from_secs(24 * 60 * 60);

/// How many ways of failing are told of one problem; two or three may alternate, and more would only be noise.
const MOST_WAYS: usize = 4;

/// The time from the first failure in an area to the next success.
#[derive(Debug, Clone)]
pub(super) struct Spell {
    since: Timestamp,
    count: u64,
    /// What was told.
    told: Vec<(Severity, String)>,
    /// When something was told last.
    told_at: Timestamp,
}

/// Whether the journal knows of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It does not.
    No,
    /// It does.
    Yes,
    /// It does, but was last told a day ago.
    LongAgo(Times),
}

impl Spell {
    /// A spell that begins.
    pub(super) fn begin(now: Timestamp) -> Self {
        Self { since: now, count: 0, told: Vec::new(), told_at: now }
    }

    /// Something failed.
    pub(super) fn fail(&mut self, what: &str, severity: Severity, now: Timestamp) -> Said {
        self.count += 1;
        // A clock that was set back makes nobody wait longer, and nothing last for a negative time.
        (self.since, self.told_at) = (self.since.min(now), self.told_at.min(now));
        let known = self.told.iter().any(|(told, text)| *told == severity && text == what);
        // That a person is needed is told in any case.
        let worse = severity == Severity::ActionNeeded && self.told.iter().all(|(told, _)| *told != severity);
        if !known && (worse || self.told.len() < MOST_WAYS) {
            self.told.push((severity, what.to_owned()));
            self.told_at = now;
            return Said::No;
        }
        if clock::until(self.told_at, now) < REMINDER {
            return Said::Yes;
        }
        self.told_at = now;
        Said::LongAgo(self.times(now))
    }

    /// How often it failed so far.
    pub(super) fn times(&self, now: Timestamp) -> Times {
        Times { count: self.count, since: self.since.min(now), now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn what_fails_every_three_minutes_is_told_once_a_day() {
        let mut spell = Spell::begin(at(0));
        let told = (0..7 * 24 * HOUR)
            .step_by(180)
            .filter(|second| spell.fail("no answer", Severity::Transient, at(*second)) != Said::Yes)
            .collect::<Vec<_>>();
        assert_eq!(told, (0..7).map(|day| day * 24 * HOUR).collect::<Vec<_>>());
        let times = spell.times(at(7 * 24 * HOUR));
        assert_eq!(times.to_string(), "3360 times in 7days, since 1970-01-01T00:00:00Z");
    }

    #[test]
    fn ways_of_failing_that_alternate_are_told_once_each_and_not_without_end() {
        let mut spell = Spell::begin(at(0));
        let told = (0..1000).filter(|second| {
            let what = format!("in the way {}", second % 50);
            spell.fail(&what, Severity::Transient, at(*second)) == Said::No
        });
        assert_eq!(told.count(), MOST_WAYS);
        assert_eq!(spell.fail("a person is needed", Severity::ActionNeeded, at(1000)), Said::No);
        assert_eq!(spell.fail("a person is needed", Severity::ActionNeeded, at(1001)), Said::Yes);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_a_reminder_no_later() {
        let mut spell = Spell::begin(at(1000 * HOUR));
        assert_eq!(spell.fail("x", Severity::Transient, at(1000 * HOUR)), Said::No);
        assert_eq!(spell.fail("x", Severity::Transient, at(0)), Said::Yes);
        let times = Times { count: 3, since: at(0), now: at(24 * HOUR) };
        assert_eq!(spell.fail("x", Severity::Transient, at(24 * HOUR)), Said::LongAgo(times));
    }
}
