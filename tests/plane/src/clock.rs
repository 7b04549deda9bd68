//! The plane's clock: the real one, one that is off, or one that stands where a test put it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::UnixTime;

/// By what a plane tells the time; the default is the real time, and clones show the same time.
///
/// Tokens, client certificates and everything that the plane writes down go by it. Its own server certificates, which
/// clients verify by the real time, do not.
#[derive(Clone, Default)]
pub struct Clock(Arc<Mutex<Shown>>);

/// What is shown.
#[derive(Clone, Copy)]
enum Shown {
    /// The real time, and so much more.
    Ahead(SignedDuration),
    /// This instant.
    Fixed(Timestamp),
}

impl Default for Shown {
    fn default() -> Self {
        Self::Ahead(SignedDuration::ZERO)
    }
}

impl Clock {
    /// A clock that stands at this instant until it is set to another.
    pub fn fixed_at(instant: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Shown::Fixed(instant))))
    }

    /// Puts the clock to this instant, at which it then stands.
    pub fn set(&self, instant: Timestamp) {
        self.show(Shown::Fixed(instant));
    }

    /// Puts the clock so far ahead of the real time; it goes on from there.
    pub fn set_ahead(&self, by: SignedDuration) {
        self.show(Shown::Ahead(by));
    }

    fn show(&self, shown: Shown) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Shown::Ahead(by) => Timestamp::now().saturating_add(by).unwrap_or(Timestamp::MAX),
            Shown::Fixed(instant) => instant,
        }
    }

    /// What it shows, for the verification of certificates; there are none from before 1970.
    pub(crate) fn unix(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.now().as_second().try_into().unwrap_or_default()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_goes_on_and_one_that_is_set_stands() {
        let clock = Clock::default();
        clock.set_ahead(SignedDuration::from_hours(24));
        let (shown, real) = (clock.now(), Timestamp::now());
        assert!(shown.duration_since(real) > SignedDuration::from_hours(23) && clock.now() >= shown);
        let same = clock.clone();
        clock.set(real);
        assert_eq!((clock.now(), same.now()), (real, real));
    }
}
