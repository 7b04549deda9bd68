//! How this host stands with its plane: pure judgements of a certificate's dates, the clock, and what the plane says.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;

/// By how much this host's clock may be behind the Connector's, which does not back-date, before it is told: a minute.
const BEHIND: Duration = Duration::from_secs(60);

/// The longest time between two refusals of which the second confirms the first: a minute.
const LONGEST_CONFIRMATION: Duration = Duration::from_secs(60);

/// How this host stands with its plane, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It has no identity.
    Unpaired,
    /// Its identity can be used.
    Valid,
    /// By the clock of this host, its certificate is valid only later: the clock is behind.
    NotYetValid,
    /// Its certificate is over.
    Expired,
    /// The plane refuses its certificate: it was revoked, or the runtime was removed there.
    Rejected,
    /// It was paired, and the files of its identity are missing or damaged.
    Lost,
}

impl Standing {
    /// How a certificate stands that is valid from `not_before` to `not_after`.
    pub fn of(not_before: Timestamp, not_after: Timestamp, reception: &Reception, now: Timestamp) -> Self {
        if not_after <= now {
            Self::Expired
        } else if matches!(reception, Reception::Rejected { .. }) {
            Self::Rejected
        } else if not_before > clock::after(now, BEHIND) {
            Self::NotYetValid
        } else {
            Self::Valid
        }
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unpaired => "unpaired",
            Self::Valid => "valid",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
        }
    }
}

/// How the plane receives the identity in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reception {
    /// Nobody has refused it since it was last accepted.
    Accepted,
    /// It was refused. A gateway that restarts, or an authority that is just being exchanged, can do that to anybody.
    Doubted {
        /// When it was refused first.
        since: Timestamp,
    },
    /// It was refused again, later: that is believed.
    Rejected {
        /// In the words of the last refusal.
        why: String,
    },
}

impl Reception {
    /// After one more refusal at `now`; two that are at least `confirmation` apart are believed.
    #[must_use]
    pub fn refused(self, now: Timestamp, why: String, confirmation: Duration) -> Self {
        match self {
            Self::Accepted => Self::Doubted { since: now },
            Self::Rejected { .. } => Self::Rejected { why },
            // A clock that was set back makes the first refusal one of the future: it counts from now on.
            Self::Doubted { since } if since > now => Self::Doubted { since: now },
            Self::Doubted { since } if clock::until(since, now) < confirmation => Self::Doubted { since },
            Self::Doubted { .. } => Self::Rejected { why },
        }
    }
}

/// How far apart two refusals must be to be believed, where the plane is asked every `interval`.
pub fn confirmation(interval: Duration) -> Duration {
    interval.min(LONGEST_CONFIRMATION)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn one_refusal_is_no_rejection_and_neither_are_several_at_once() {
        let mut reception = Reception::Accepted;
        for second in 0..60 {
            reception = reception.refused(at(second), "no".into(), MINUTE);
            assert_eq!(reception, Reception::Doubted { since: at(0) });
        }
        assert_eq!(
            reception.refused(at(60), "still no".into(), MINUTE),
            Reception::Rejected { why: "still no".into() }
        );
    }

    #[test]
    fn a_clock_that_was_set_back_confirms_nothing() {
        let reception = Reception::Accepted.refused(at(1000), "no".into(), MINUTE);
        assert_eq!(reception.refused(at(10), "no".into(), MINUTE), Reception::Doubted { since: at(10) });
    }

    proptest! {
        #[test]
        fn what_is_over_is_expired_and_what_is_rejected_is_not_called_valid(
            from in 0_i64..1000, lifetime in 1_i64..1000, now in 0_i64..3000, rejected: bool
        ) {
            let reception =
                if rejected { Reception::Rejected { why: String::new() } } else { Reception::Accepted };
            let standing = Standing::of(at(from), at(from + lifetime), &reception, at(now));
            prop_assert_eq!(standing == Standing::Expired, now >= from + lifetime);
            prop_assert!(standing != Standing::Valid || (!rejected && now + 60 >= from));
            prop_assert!(standing != Standing::NotYetValid || now + 60 < from);
        }
    }
}
