//! When a certificate is renewed: pure functions of its validity, the configuration and a throw of dice.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;

/// When renewal is due, as shares of a certificate's lifetime.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// At which share it is due at the latest.
    pub after: f64,
    /// By which share it may come earlier.
    pub jitter: f64,
}

/// When a certificate that is valid from `not_before` to `not_after` is to be renewed, with `dice` from 0 to 1.
pub fn due(not_before: Timestamp, not_after: Timestamp, policy: Policy, dice: f64) -> Timestamp {
    let lifetime = clock::until(not_before, not_after);
    let share = (policy.after - policy.jitter * dice.clamp(0.0, 1.0)).clamp(0.0, 1.0);
    clock::after(not_before, lifetime.mul_f64(share))
}

/// Before when a certificate that was issued at `issued_at` is not renewed, whatever its dates: a quarter of what it
/// has left, and at most an hour. So a plane that back-dates is not asked without end.
pub fn earliest(issued_at: Timestamp, not_after: Timestamp) -> Timestamp {
    clock::after(issued_at, (clock::until(issued_at, not_after) / 4).min(Duration::from_secs(60 * 60)))
}

/// From when on a certificate that could not be renewed is a person's business: nine tenths of its lifetime, but not
/// before half of the time is over that its renewal, due at `due`, had.
pub fn alarm(not_before: Timestamp, not_after: Timestamp, due: Timestamp) -> Timestamp {
    let late = clock::after(not_before, clock::until(not_before, not_after).mul_f64(0.9));
    let half = clock::after(due, clock::until(due, not_after) / 2);
    late.max(half)
}

/// The shortest wait between two tries to renew.
const SHORTEST: Duration = Duration::from_secs(2);
/// The longest wait between two tries to renew.
const LONGEST: Duration = Duration::from_secs(6 * 60 * 60);

/// How long to wait before the next try, when a try at `now` failed and the certificate is valid until `not_after`:
/// an eighth of what remains, more or less, so that tries are spread over it and get denser toward the end.
pub fn retry(now: Timestamp, not_after: Timestamp, dice: f64, asked: Option<Duration>) -> Duration {
    let remaining = clock::until(now, not_after);
    let wait = remaining.mul_f64(0.125 * (0.5 + dice.clamp(0.0, 1.0))).clamp(SHORTEST, LONGEST);
    // Whoever asks for more time gets it, as long as there is time.
    wait.max(asked.unwrap_or_default().min(remaining / 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    proptest! {
        #[test]
        fn renewal_is_due_within_the_lifetime_and_never_after_the_configured_share(
            start in 0_i64..4_000_000_000, lifetime in 60_i64..400_000_000, dice in 0.0..=1.0_f64
        ) {
            let policy = Policy { after: 0.667, jitter: 0.05 };
            let due = due(at(start), at(start + lifetime), policy, dice);
            prop_assert!(due >= at(start + lifetime * 6 / 10) && due <= at(start + lifetime * 67 / 100 + 1));
        }

        #[test]
        fn many_tries_fit_into_what_remains_and_they_get_no_sparser(lifetime in 3600_i64..8_000_000, dice in 0.0..=1.0_f64) {
            let (mut now, end) = (at(0), at(lifetime));
            let (mut tries, mut last) = (0, LONGEST);
            while now < end {
                let wait = retry(now, end, dice, None);
                prop_assert!(wait <= last && wait >= SHORTEST);
                (now, last, tries) = (clock::after(now, wait), wait, tries + 1);
            }
            prop_assert!((12..1200).contains(&tries), "{tries} tries");
        }
    }
}
