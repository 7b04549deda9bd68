//! How often clients may ask. Each of them has a bucket that fills by itself: a burst is fine, and haste without end is not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// After how long a client may ask once more: 20 milliseconds, which is 50 times a second.
const EACH: Duration = Duration::from_millis(20);

/// How often it may ask at once, after a pause.
const BURST: u32 = 100;

/// For how many requests one with a wrong password counts, besides itself.
const FAILURE: u32 = 9;

/// From how many clients on those are forgotten that have not asked for a while.
const MANY: usize = 256;

/// How many clients are counted at the most.
const MOST: usize = 1024;

/// Who is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    /// A user of this host.
    User(u32),
    /// Whoever knows the password, at the address.
    Known,
    /// Whoever does not: they cannot be told apart.
    Anybody,
}

/// A request too many. It is worth asking again after this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooOften(pub Duration);

/// A bucket, by the instant at which it is full again.
#[derive(Debug, Clone, Copy)]
struct Bucket(Instant);

impl Bucket {
    /// Takes one out, if there is one.
    fn take(&mut self, now: Instant) -> Result<(), TooOften> {
        let full = self.0.max(now) + EACH;
        match full.checked_duration_since(now + EACH * BURST) {
            Some(wait) if !wait.is_zero() => Err(TooOften(wait)),
            _ => {
                self.0 = full;
                Ok(())
            }
        }
    }

    /// Takes so many out, as far as they are there.
    fn fine(&mut self, count: u32, now: Instant) {
        self.0 = (self.0.max(now) + EACH * count).min(now + EACH * BURST);
    }

    fn is_full(self, now: Instant) -> bool {
        self.0 <= now
    }
}

/// The buckets of all clients of one listener.
#[derive(Debug, Default)]
pub(super) struct Rates(BTreeMap<Client, Bucket>);

impl Rates {
    /// Counts a request.
    pub(super) fn take(&mut self, client: Client, now: Instant) -> Result<(), TooOften> {
        if !self.0.contains_key(&client) && self.0.len() >= MANY {
            self.0.retain(|_, bucket| !bucket.is_full(now));
            if self.0.len() >= MOST {
                return Err(TooOften(EACH * BURST));
            }
        }
        self.0.entry(client).or_insert(Bucket(now)).take(now)
    }

    /// Counts a request that was granted to nobody several times.
    pub(super) fn failed(&mut self, client: Client, now: Instant) {
        if let Some(bucket) = self.0.get_mut(&client) {
            bucket.fine(FAILURE, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(rates: &mut Rates, client: Client, now: Instant) -> usize {
        std::iter::from_fn(|| rates.take(client, now).ok()).take(10_000).count()
    }

    #[test]
    fn a_burst_is_granted_and_then_fifty_a_second() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        assert_eq!(granted(&mut rates, Client::Anybody, start), 100);
        assert_eq!(rates.take(Client::Anybody, start), Err(TooOften(EACH)));
        assert_eq!(granted(&mut rates, Client::Anybody, start + Duration::from_millis(19)), 0);
        assert_eq!(granted(&mut rates, Client::Anybody, start + EACH), 1);
        assert_eq!(granted(&mut rates, Client::Anybody, start + EACH + Duration::from_secs(1)), 50);
        assert_eq!(granted(&mut rates, Client::Anybody, start + Duration::from_secs(3_600)), 100);
    }

    #[test]
    fn who_asks_again_after_the_wait_is_granted_it() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        granted(&mut rates, Client::Anybody, start);
        let Err(TooOften(wait)) = rates.take(Client::Anybody, start) else { panic!("there was one left") };
        assert_eq!(rates.take(Client::Anybody, start + wait), Ok(()));
    }

    #[test]
    fn a_failure_counts_as_ten_requests_and_takes_no_more_than_there_is() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let mut attempts = 0;
        while rates.take(Client::Anybody, start).is_ok() {
            rates.failed(Client::Anybody, start);
            attempts += 1;
        }
        assert_eq!(attempts, 10);
        assert_eq!(granted(&mut rates, Client::Anybody, start + Duration::from_secs(2)), 100);
    }

    #[test]
    fn no_user_uses_up_what_another_may_and_none_is_remembered_for_long() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        granted(&mut rates, Client::User(1), start);
        assert_eq!(granted(&mut rates, Client::User(2), start), 100);
        for user in 10..10_000 {
            let _ = rates.take(Client::User(user), start);
        }
        assert!(rates.0.len() <= MOST);
        assert_eq!(rates.take(Client::User(20_000), start + Duration::from_secs(2)), Ok(()));
        assert_eq!(rates.0.len(), 1);
    }
}
