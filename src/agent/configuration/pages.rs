//! How many applications to ask for at once: what the plane could answer last, and more again after a while.

use crate::director::PageSize;

/// After how many good polls in a row a larger page is tried for the first time: half an hour, in an ordinary rhythm.
const FIRST: u16 = 10;

/// After how many at the most, where larger pages fail again and again: half a day.
const LAST: u16 = 240;

/// The page size that polls ask for.
///
/// A gateway or a plane that once could not answer a large page may be able to later; but each try that fails costs the
/// plane an answer in vain, so that tries that fail become rarer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pages {
    /// What to ask for, where that is less than what is configured.
    lowered: Option<Lowered>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Lowered {
    size: PageSize,
    /// What worked before, if this size is on trial.
    before: Option<PageSize>,
    /// Good polls in a row with this size.
    good: u16,
    /// After how many of these a larger page is tried.
    patience: u16,
}

impl Pages {
    /// What to ask for, where `configured` is the most.
    pub(super) fn size(&self, configured: PageSize) -> PageSize {
        self.lowered.as_ref().map_or(configured, |lowered| lowered.size.min(configured))
    }

    /// A poll was answered in full, by pages of the size `worked`.
    pub(super) fn answered(&mut self, worked: PageSize, configured: PageSize) {
        let asked = self.size(configured);
        self.lowered = match self.lowered.take() {
            None if worked >= configured => None,
            None => Some(Lowered { size: worked, before: None, good: 0, patience: FIRST }),
            Some(known) if worked < asked => Some(Lowered { size: worked, before: None, good: 0, ..known.rarer() }),
            // What is configured has worked for as long as a trial takes: it is no trial any more.
            Some(known) if known.good + 1 >= known.patience && worked >= configured => None,
            Some(known) if known.good + 1 >= known.patience => {
                Some(Lowered { size: doubled(worked, configured), before: Some(worked), good: 0, ..known })
            }
            Some(known) => Some(Lowered { size: worked, before: None, good: known.good + 1, ..known }),
        };
    }

    /// A poll failed as a whole. A size that was on trial then may be the reason.
    pub(super) fn failed(&mut self) {
        if let Some(known) = self.lowered.take() {
            self.lowered = Some(match known.before {
                Some(before) => Lowered { size: before, before: None, good: 0, ..known.rarer() },
                None => Lowered { good: 0, ..known },
            });
        }
    }
}

impl Lowered {
    fn rarer(self) -> Self {
        Self { patience: (self.patience * 2).min(LAST), ..self }
    }
}

fn doubled(size: PageSize, most: PageSize) -> PageSize {
    PageSize::new(size.get().saturating_mul(2)).unwrap_or(most).min(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size(size: u16) -> PageSize {
        PageSize::new(size).unwrap()
    }

    /// What a poll by pages of `asked` comes to at a plane that answers pages of at most `bearable`, as a read lowers
    /// them: by halves, not below five.
    fn poll(asked: PageSize, bearable: u16) -> Option<PageSize> {
        let mut tried = asked.get();
        while tried > bearable {
            if tried <= 5 {
                return None;
            }
            tried = (tried / 2).max(5);
        }
        Some(size(tried))
    }

    #[test]
    fn a_page_that_was_made_smaller_grows_again_step_by_step() {
        let configured = size(100);
        let mut pages = Pages::default();
        let mut asked = Vec::new();
        pages.answered(size(12), configured);
        for _ in 0..60 {
            let size = pages.size(configured);
            asked.push(size.get());
            pages.answered(size, configured);
        }
        asked.dedup();
        assert_eq!(asked, [12, 24, 48, 96, 100]);
        assert_eq!(pages, Pages::default(), "nothing is remembered of it");
    }

    #[test]
    fn a_trial_that_fails_as_a_whole_is_taken_back() {
        let configured = size(100);
        let mut pages = Pages::default();
        pages.answered(size(50), configured);
        (0..FIRST).for_each(|_| pages.answered(size(50), configured));
        assert_eq!(pages.size(configured), configured);
        pages.failed();
        assert_eq!(pages.size(configured), size(50));
        (0..FIRST).for_each(|_| pages.answered(size(50), configured));
        assert_eq!(pages.size(configured), size(50), "the next trial comes later than the first");
    }

    proptest! {
        #[test]
        fn a_plane_that_bears_more_is_asked_for_all_of_it_and_one_that_does_not_is_rarely_tried(
            configured in 1_u16..=200, first in 1_u16..=200, later in 5_u16..=200
        ) {
            let configured = size(configured);
            let mut pages = Pages::default();
            // It bears little at first, ...
            for _ in 0..20 {
                match poll(pages.size(configured), first) {
                    Some(worked) => pages.answered(worked, configured),
                    None => pages.failed(),
                }
                prop_assert!(pages.size(configured) <= configured);
            }
            // ... and then more, or less.
            let mut in_vain = 0;
            for _ in 0..4000 {
                let asked = pages.size(configured);
                let worked = poll(asked, later).expect("it bears five");
                in_vain += u32::from(worked < asked);
                pages.answered(worked, configured);
            }
            prop_assert!(in_vain <= 4000 / u32::from(LAST) + 10, "{} in vain", in_vain);
            let end = poll(pages.size(configured), later).expect("it bears five");
            // The largest size that doubling meets.
            prop_assert!(end.get() >= configured.get().min(later) / 2, "{end} of {configured}, and it bears {later}");
            if later >= configured.get() {
                prop_assert_eq!(pages.size(configured), configured);
            }
        }
    }
}
