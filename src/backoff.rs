//! How long to wait before trying again.

use std::time::Duration;

/// Exponential backoff with full jitter: the ceiling doubles with every try up to a cap, and the wait is anywhere
/// between a small floor and the ceiling. A fleet that failed together does not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    cap: Duration,
}

/// No wait is shorter than this, whatever the dice say.
const FLOOR: Duration = Duration::from_millis(250);

impl Backoff {
    /// Ceilings of `first`, twice that, … up to `cap`. A cap below `first` counts as `first`.
    pub fn new(first: Duration, cap: Duration) -> Self {
        let first = first.max(FLOOR);
        Self { first, cap: cap.max(first) }
    }

    /// The wait after `failures` failures in a row (at least one), with `dice` from 0 to 1. Not shorter than what the
    /// other side asked for in `at_least`, if it asked; but a day at the most.
    pub fn wait(self, failures: u32, dice: f64, at_least: Option<Duration>) -> Duration {
        /// The longest wait that another side can ask for.
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.first.checked_mul(1 << doublings).unwrap_or(self.cap).min(self.cap);
        let jittered = FLOOR + (ceiling - FLOOR.min(ceiling)).mul_f64(dice.clamp(0.0, 1.0));
        match at_least {
            // Those who are all told the same time would all come at that time; and who asks for less than is waited
            // anyway does not ask to be met more often.
            Some(asked) => (asked.min(LONGEST) + jittered.min(Duration::from_secs(60))).max(jittered),
            None => jittered,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_wait_is_never_longer_than_the_cap_nor_shorter_than_the_floor(
            first in 0_u64..1000, cap in 0_u64..100_000, failures in 0_u32..100, dice in 0.0..=1.0_f64
        ) {
            let backoff = Backoff::new(Duration::from_secs(first), Duration::from_secs(cap));
            let wait = backoff.wait(failures, dice, None);
            prop_assert!(wait >= FLOOR && wait <= Duration::from_secs(cap.max(first).max(1)));
        }

        #[test]
        fn what_the_other_side_asks_for_is_waited_for(asked in 0_u64..86_400, failures in 1_u32..40, dice in 0.0..=1.0_f64) {
            let asked = Duration::from_secs(asked);
            let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
            prop_assert!(backoff.wait(failures, dice, Some(asked)) >= asked);
        }
    }
}
