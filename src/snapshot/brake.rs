//! The brake on removals: a read that lists far fewer applications than are published is believed only when a later
//! one says the same, or a person does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::clock;
use crate::ids::ApplicationId;

/// When a removal is doubtful.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Of what is published, more than this share must go at once.
    pub share: f64,
    /// And more than so many applications.
    pub count: u32,
    /// How far apart two reads must be for the second to confirm the first.
    pub confirmation: Duration,
}

/// What a person says about removals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Nothing.
    NotGiven,
    /// What the plane says is right, whatever it removes.
    Given,
}

/// What is held back, and since when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brake {
    held: BTreeMap<ApplicationId, Timestamp>,
}

impl Brake {
    /// Looks at a complete read of what is `listed`, against what is `published`. Returns what stays published though
    /// it is not listed.
    pub fn examine(
        &mut self,
        published: &BTreeSet<ApplicationId>,
        listed: &BTreeSet<ApplicationId>,
        policy: Policy,
        consent: Consent,
        now: Timestamp,
    ) -> BTreeSet<ApplicationId> {
        let missing: BTreeSet<_> = published.difference(listed).cloned().collect();
        // What is listed again was never gone.
        self.held.retain(|id, since| {
            // A clock that was set back makes the first read one of the future: it counts from now on.
            *since = (*since).min(now);
            missing.contains(id)
        });
        let unconfirmed =
            |id: &ApplicationId| self.held.get(id).is_none_or(|since| clock::until(*since, now) < policy.confirmation);
        let doubtful: BTreeSet<_> = missing.into_iter().filter(unconfirmed).collect();
        let many =
            doubtful.len() > policy.count as usize && doubtful.len() as f64 > published.len() as f64 * policy.share;
        // What is waiting to be confirmed goes on waiting, even where little of it is left.
        let waiting = doubtful.iter().any(|id| self.held.contains_key(id));
        if consent == Consent::Given || !(many || waiting) {
            self.held.clear();
            return BTreeSet::new();
        }
        self.held = doubtful.iter().map(|id| (id.clone(), self.held.get(id).copied().unwrap_or(now))).collect();
        doubtful
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: Policy = Policy { share: 0.5, count: 3, confirmation: Duration::from_secs(60) };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ids(range: std::ops::Range<u32>) -> BTreeSet<ApplicationId> {
        range.map(|number| format!("app-{number}").parse().unwrap()).collect()
    }

    fn examine(brake: &mut Brake, published: u32, listed: u32, second: i64) -> usize {
        brake.examine(&ids(0..published), &ids(0..listed), POLICY, Consent::NotGiven, at(second)).len()
    }

    #[test]
    fn a_few_or_less_than_half_go_at_once() {
        for (published, listed) in [(3, 0), (10, 7), (10, 5), (1000, 500), (0, 0), (5, 5)] {
            assert_eq!(examine(&mut Brake::default(), published, listed, 0), 0, "{published} {listed}");
        }
        for (published, listed) in [(4, 0), (10, 4), (1000, 499), (7, 3)] {
            assert_eq!(examine(&mut Brake::default(), published, listed, 0), (published - listed) as usize);
        }
    }

    #[test]
    fn a_later_read_that_says_the_same_is_believed_and_one_at_once_is_not() {
        let mut brake = Brake::default();
        assert_eq!(examine(&mut brake, 10, 0, 0), 10);
        assert_eq!(examine(&mut brake, 10, 0, 1), 10);
        assert_eq!(examine(&mut brake, 10, 0, 59), 10);
        assert_eq!(examine(&mut brake, 10, 0, 60), 0);
    }

    #[test]
    fn what_is_listed_again_was_never_gone_and_is_doubted_anew() {
        let mut brake = Brake::default();
        assert_eq!(examine(&mut brake, 10, 0, 0), 10);
        assert_eq!(examine(&mut brake, 10, 10, 30), 0);
        assert_eq!(examine(&mut brake, 10, 0, 90), 10);
    }

    #[test]
    fn a_person_is_believed_at_once() {
        let mut brake = Brake::default();
        assert_eq!(examine(&mut brake, 10, 0, 0), 10);
        let kept = brake.examine(&ids(0..10), &ids(0..0), POLICY, Consent::Given, at(1));
        assert!(kept.is_empty());
        assert_eq!(brake, Brake::default());
    }

    #[test]
    fn a_clock_that_is_set_back_confirms_nothing_and_blocks_nothing() {
        let mut brake = Brake::default();
        assert_eq!(examine(&mut brake, 10, 0, 1_000_000), 10);
        assert_eq!(examine(&mut brake, 10, 0, 10), 10);
        assert_eq!(examine(&mut brake, 10, 0, 70), 0);
    }

    proptest! {
        #[test]
        fn nothing_that_is_listed_is_held_and_only_what_was_missing_twice_or_little_of_it_goes(
            reads in proptest::collection::vec((proptest::collection::btree_set(0_u32..12, 0..12), 0_i64..100), 1..20)
        ) {
            let mut brake = Brake::default();
            let (mut published, mut now) = (ids(0..12), 0);
            let mut missing_since: BTreeMap<ApplicationId, i64> = BTreeMap::new();
            for (listed, passed) in reads {
                now += passed;
                let listed: BTreeSet<ApplicationId> =
                    listed.into_iter().map(|number| format!("app-{number}").parse().unwrap()).collect();
                let kept = brake.examine(&published, &listed, POLICY, Consent::NotGiven, at(now));
                prop_assert!(kept.is_subset(&published) && kept.is_disjoint(&listed));
                missing_since.retain(|id, _| !listed.contains(id));
                for id in published.difference(&listed) {
                    missing_since.entry(id.clone()).or_insert(now);
                }
                let gone: Vec<_> = published.difference(&listed).filter(|id| !kept.contains(*id)).collect();
                let at_once = gone.iter().filter(|id| now - missing_since[**id] < 60).count();
                prop_assert!(at_once <= 3 || at_once as f64 <= published.len() as f64 * 0.5);
                published = listed.union(&kept).cloned().collect();
            }
            // A plane that goes on saying the same is followed in the end.
            let last: BTreeSet<_> = published.iter().take(1).cloned().collect();
            for later in [0, 60, 120] {
                let kept = brake.examine(&published, &last, POLICY, Consent::NotGiven, at(now + later));
                published = last.union(&kept).cloned().collect();
            }
            prop_assert_eq!(published, last);
        }
    }
}
