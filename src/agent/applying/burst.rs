//! When a new generation is applied: at once, or once a burst of changes has come to rest.

use std::time::Duration;

use jiff::Timestamp;

use crate::clock::Due;
use crate::config::TemplateRule;

/// Changes that came one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Burst {
    /// When nothing will have changed for long enough.
    rest: Due,
    /// When it is applied in any case.
    end: Due,
}

/// How long a generation waits: so long after the last change, and at the most so long after the first. All its files
/// are applied together, so the shortest of all rules' waits count; without any, it does not wait.
pub(super) fn wait(rules: &[TemplateRule]) -> Option<(Duration, Duration)> {
    let waits = rules.iter().filter_map(|rule| rule.install.as_ref()?.wait);
    waits.map(|wait| (wait.min(), wait.max())).reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)))
}

impl Burst {
    /// The burst that a change `now` begins, or goes on with.
    pub(super) fn with(before: Option<Self>, now: Timestamp, (min, max): (Duration, Duration)) -> Self {
        Self { rest: Due::after(now, min), end: before.map_or_else(|| Due::after(now, max), |burst| burst.end) }
    }

    /// The same, where the clock was set back to `now`.
    pub(super) fn seen(self, now: Timestamp) -> Self {
        Self { rest: self.rest.seen(now), end: self.end.seen(now) }
    }

    /// When it is over.
    pub(super) fn at(self, now: Timestamp) -> Timestamp {
        self.rest.at(now).min(self.end.at(now))
    }

    /// Whether it is over.
    pub(super) fn is_over(self, now: Timestamp) -> bool {
        self.at(now) <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::after;

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        /// However changes come: what waits is applied no sooner than `min` after the last one, but for the end, and no
        /// later than `max` after the first.
        #[test]
        fn a_burst_ends_at_rest_or_when_it_has_lasted_long_enough(
            pauses in proptest::collection::vec(0_u32..20, 1..20), min in 0_u32..10, more in 0_u32..30
        ) {
            let wait = (SECOND * min, SECOND * (min + more));
            let first = Timestamp::UNIX_EPOCH;
            let mut now = first;
            let mut burst = Burst::with(None, now, wait);
            for pause in pauses {
                let next = after(now, SECOND * pause);
                if burst.is_over(next) {
                    break;
                }
                now = next;
                burst = Burst::with(Some(burst), now, wait);
            }
            prop_assert_eq!(burst.at(now), after(now, wait.0).min(after(first, wait.1)));
        }
    }

    #[test]
    fn the_shortest_waits_of_all_rules_count() {
        let rule = |wait: &str| {
            let key = if wait.is_empty() { String::new() } else { format!("wait = \"{wait}\"") };
            toml::from_str::<TemplateRule>(&format!("name = \"a\"\ncontent = \"\"\ndestination = \"/etc/x/y\"\n{key}"))
                .unwrap()
        };
        assert_eq!(wait(&[rule("")]), None);
        assert_eq!(wait(&[rule("2s:30s"), rule(""), rule("5s:10s")]), Some((SECOND * 2, SECOND * 10)));
    }
}
