//! When a certificate is renewed: pure functions of its validity, the configuration and a throw of dice.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock;

/// When renewal is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// When it is due at the latest.
    pub moment: Moment,
    /// By which share of the lifetime it may come earlier; half of what passes before the moment is the most.
    pub jitter: f64,
}

/// A moment in the life of a certificate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Moment {
    /// When this share of its lifetime is over.
    After(f64),
    /// When this much of its lifetime is left.
    Before {
        /// So much.
        remaining: Duration,
        /// Where that is [`MOST`] of the lifetime or more: when this share of it is over. Else every new certificate
        /// would be due for renewal as soon as it came.
        otherwise: f64,
    },
}

/// Which share of a certificate's lifetime is most of it: three quarters.
pub const MOST: f64 = 0.75;

impl Moment {
    /// The share of such a lifetime that is over at this moment.
    fn share_of(self, lifetime: Duration) -> f64 {
        match self {
            Self::After(share) => share,
            Self::Before { remaining, otherwise } if remaining >= lifetime.mul_f64(MOST) => otherwise,
            Self::Before { remaining, .. } => 1.0 - remaining.as_secs_f64() / lifetime.as_secs_f64(),
        }
        .clamp(0.0, 1.0)
    }
}

/// When a certificate that is valid from `not_before` to `not_after` is to be renewed, with `dice` from 0 to 1.
pub fn due(not_before: Timestamp, not_after: Timestamp, policy: Policy, dice: f64) -> Timestamp {
    let lifetime = clock::until(not_before, not_after);
    let share = policy.moment.share_of(lifetime);
    let earlier = policy.jitter.clamp(0.0, share / 2.0) * dice.clamp(0.0, 1.0);
    clock::after(not_before, lifetime.mul_f64(share - earlier))
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

    const DAY: i64 = 24 * 60 * 60;

    fn days(days: u64) -> Duration {
        Duration::from_secs(days * 24 * 60 * 60)
    }

    /// The day on which a certificate for so many days is renewed, at the earliest and at the latest.
    fn days_of_renewal(lifetime: i64, policy: Policy) -> (f64, f64) {
        let day = |dice| due(at(0), at(lifetime * DAY), policy, dice).as_second() as f64 / DAY as f64;
        (day(1.0), day(0.0))
    }

    fn before(remaining: Duration) -> Policy {
        Policy { moment: Moment::Before { remaining, otherwise: 0.667 }, jitter: 0.05 }
    }

    #[test]
    fn certificates_for_a_day_and_for_a_quarter_are_both_renewed_in_good_time() {
        let close = |(earliest, latest): (f64, f64), (from, to): (f64, f64)| {
            assert!((earliest - from).abs() < 0.001 && (latest - to).abs() < 0.001, "from {earliest} to {latest}");
        };
        let default = Policy { moment: Moment::After(0.667), jitter: 0.05 };
        close(days_of_renewal(90, default), (55.53, 60.03));
        close(days_of_renewal(1, default), (0.617, 0.667));
        // Thirty days are a third of the one, and thirty times the other.
        close(days_of_renewal(90, before(days(30))), (55.5, 60.0));
        close(days_of_renewal(1, before(days(30))), (0.617, 0.667));
        // Eight hours are a third of a day; of ninety days, they are next to nothing, and still asked for.
        close(days_of_renewal(1, before(days(1) / 3)), (0.617, 0.667));
        close(days_of_renewal(90, before(days(1) / 3)), (85.167, 89.667));
    }

    #[test]
    fn a_remaining_time_that_is_most_of_the_lifetime_does_not_count() {
        assert_eq!(days_of_renewal(100, before(days(74))).1, 26.0);
        for most in [75, 99, 100, 101, 10_000] {
            assert_eq!(days_of_renewal(100, before(days(most))), days_of_renewal(100, before(Duration::MAX)));
        }
    }

    proptest! {
        #[test]
        fn renewal_is_due_within_the_lifetime_and_never_after_the_configured_share(
            start in 0_i64..4_000_000_000, lifetime in 60_i64..400_000_000, dice in 0.0..=1.0_f64
        ) {
            let policy = Policy { moment: Moment::After(0.667), jitter: 0.05 };
            let due = due(at(start), at(start + lifetime), policy, dice);
            prop_assert!(due >= at(start + lifetime * 6 / 10) && due <= at(start + lifetime * 67 / 100 + 1));
        }

        #[test]
        fn no_remaining_time_has_a_certificate_renewed_without_end_or_too_late(
            start in 0_i64..4_000_000_000, lifetime in 60_i64..400_000_000, remaining in 0_u64..1_000_000_000,
            otherwise in 0.05..=0.95_f64, jitter in 0.0..=1.0_f64, dice in 0.0..=1.0_f64
        ) {
            let (end, remaining) = (at(start + lifetime), Duration::from_secs(remaining));
            let policy = Policy { moment: Moment::Before { remaining, otherwise }, jitter };
            let due = due(at(start), end, policy, dice);
            // A good part of the lifetime passes first, so that renewals come to an end.
            let share = clock::until(at(start), due).as_secs_f64() / lifetime as f64;
            prop_assert!(share >= 0.99 * otherwise.min(1.0 - MOST) / 2.0, "{share}");
            if remaining < Duration::from_secs(lifetime.unsigned_abs()).mul_f64(MOST) {
                prop_assert!(clock::until(due, end) + Duration::from_millis(1) >= remaining);
            }
            prop_assert!(due <= end);
        }

        #[test]
        fn jitter_only_makes_it_earlier(lifetime in 60_i64..400_000_000, dice in 0.0..=1.0_f64, days_left in 0_u64..100) {
            let exact = due(at(0), at(lifetime), before(days(days_left)), 0.0);
            let thrown = due(at(0), at(lifetime), before(days(days_left)), dice);
            prop_assert!(thrown <= exact);
            prop_assert!(clock::until(thrown, exact).as_secs_f64() <= 0.05 * lifetime as f64 + 0.001);
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
