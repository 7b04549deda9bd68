//! When the plane is asked next: pure functions, made for a fleet that must not become a storm.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::director::FetchError;
use crate::transport::{CallError, Fault};

/// How many of the first tries of a process follow each other quickly while no connection comes about: a host that has
/// just booted gets its network in a moment.
const EAGER: u32 = 4;

/// What a poll failed for, as far as the schedule cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection came about, and this process has not had one yet.
    NoNetworkYet,
    /// Anything else, with what the plane asked for, if it did.
    Plane(Option<Duration>),
}

impl Failure {
    /// What a process that had no answer yet makes of an error.
    pub(super) fn of(error: &FetchError, asked: Option<Duration>) -> Self {
        match error {
            FetchError::Call(CallError { fault: Fault::Connect(_), .. }) => Self::NoNetworkYet,
            _ => Self::Plane(asked),
        }
    }
}

/// After how long the plane is asked next: `interval`, moved by up to `jitter` of it either way, with `dice` from 0 to 1.
pub(super) fn after_success(interval: Duration, jitter: f64, dice: f64) -> Duration {
    interval.mul_f64((1.0 + jitter * (2.0 * dice - 1.0)).max(0.0))
}

/// After how long the plane is asked again when it failed `failures` times in a row, with `dice` from 0 to 1.
///
/// The first wait is up to twice the interval: one interval on average. Were it shorter, a plane that goes down would be
/// asked more often than one that is up.
pub(super) fn after_failure(interval: Duration, cap: Duration, failures: u32, failure: Failure, dice: f64) -> Duration {
    match failure {
        Failure::NoNetworkYet if failures <= EAGER => {
            let soon = interval.min(Duration::from_secs(5));
            Backoff::new(soon, soon * 8).wait(failures, dice, None)
        }
        Failure::NoNetworkYet => Backoff::new(2 * interval, cap).wait(failures - EAGER, dice, None),
        Failure::Plane(asked) => Backoff::new(2 * interval, cap).wait(failures, dice, asked),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(180);
    const CAP: Duration = Duration::from_secs(15 * 60);

    proptest! {
        #[test]
        fn polls_are_spread_around_the_interval(seconds in 5_u64..1_000_000, jitter in 0.0..=1.0_f64, dice in 0.0..=1.0_f64) {
            let interval = Duration::from_secs(seconds);
            let wait = after_success(interval, jitter, dice);
            let slack = Duration::from_millis(1);
            prop_assert!(wait + slack >= interval.mul_f64(1.0 - jitter));
            prop_assert!(wait <= interval.mul_f64(1.0 + jitter) + slack);
        }

        #[test]
        fn no_wait_after_a_failure_is_longer_than_the_cap_or_shorter_than_what_was_asked_for(
            failures in 1_u32..1000, asked in proptest::option::of(0_u64..3600), dice in 0.0..=1.0_f64
        ) {
            let asked = asked.map(Duration::from_secs);
            let wait = after_failure(INTERVAL, CAP, failures, Failure::Plane(asked), dice);
            prop_assert!(wait >= asked.unwrap_or_default());
            prop_assert!(asked.is_some() || wait <= CAP);
            prop_assert!(after_failure(INTERVAL, CAP, failures, Failure::NoNetworkYet, dice) <= CAP);
        }

    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]
        #[test]
        fn a_fleet_of_a_hundred_thousand_never_asks_twice_as_often_as_it_does_when_all_is_well(
            seed: u64, asked in proptest::option::of(1_u64..300)
        ) {
            const AGENTS: u32 = 100_000;
            /// All is well for 20 minutes, then the plane is down for an hour, and then it is up again for an hour.
            const DOWN: std::ops::Range<usize> = 1200..4800;
            const END: usize = 8400;
            let mut dice = fastrand::Rng::with_seed(seed);
            let mut due: Vec<Vec<u32>> = vec![Vec::new(); END];
            for agent in 0..AGENTS {
                due[dice.usize(0..180)].push(agent);
            }
            let mut failures = vec![0_u32; AGENTS as usize];
            let mut asked_at = vec![0_u32; END];
            for second in 0..END {
                for agent in std::mem::take(&mut due[second]) {
                    asked_at[second] += 1;
                    let failed = &mut failures[agent as usize];
                    let wait = if DOWN.contains(&second) {
                        *failed += 1;
                        let failure = Failure::Plane(asked.map(Duration::from_secs));
                        after_failure(INTERVAL, CAP, *failed, failure, dice.f64())
                    } else {
                        *failed = 0;
                        after_success(INTERVAL, 0.1, dice.f64())
                    };
                    let next = second + (wait.as_secs_f64().round() as usize).max(1);
                    if next < END {
                        due[next].push(agent);
                    }
                }
            }
            let mean = f64::from(AGENTS) / 180.0;
            // Chance alone moves a count of several hundred a second; ten seconds tell the rate.
            let busiest = asked_at.windows(10).map(|window| window.iter().sum::<u32>()).max().unwrap();
            prop_assert!(f64::from(busiest) / 10.0 <= 2.0 * mean, "{} a second", busiest / 10);
        }
    }
}
