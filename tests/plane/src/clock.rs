//! The plane's clock: the real one, or one that stands where a test put it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rustls::pki_types::UnixTime;

/// By what a plane tells the time; the default is the real time, and clones show the same time.
///
/// Tokens, client certificates and everything that the plane writes down go by it. Its own server certificates, which
/// clients verify by the real time, do not.
#[derive(Clone, Default)]
pub struct Clock(Arc<Mutex<Option<Timestamp>>>);

impl Clock {
    /// A clock that stands at this instant until it is set to another.
    pub fn fixed_at(instant: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Some(instant))))
    }

    /// Puts the clock to this instant, at which it then stands.
    pub fn set(&self, instant: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(instant);
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or_else(Timestamp::now)
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
