//! The wall's time: now, and waiting until an instant of it.
//!
//! Waits are absolute. The kernel's timer on `CLOCK_REALTIME` fires when the wall reaches the instant, be it by
//! passing time, by a suspend that ends, or by a clock that is set; and when the clock is set, the wait is looked at
//! again at once (`TFD_TIMER_CANCEL_ON_SET`, timerfd_create(2)).

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// How long a wait is at the most where the kernel gives no timer: 5 seconds. Whatever was to be done once descriptors are
/// to be had again waits for it.
const WITHOUT_TIMER: Duration = Duration::from_secs(5);

/// What a loop waits for.
pub type Sleep<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Where the loops have the time from. There is one of it in the daemon, the [`Wall`]; a simulation of years has
/// another.
pub trait Clock: fmt::Debug {
    /// Now.
    fn now(&self) -> Timestamp;

    /// Waits until the clock shows `instant`. Returns early, too, when the clock was set: the caller looks at the time
    /// anew.
    fn sleep_until(&self, instant: Timestamp) -> Sleep<'_>;
}

/// The clock that all parts of the daemon share.
pub type SharedClock = Rc<dyn Clock>;

/// This host's own clock.
#[derive(Debug, Clone, Copy)]
pub struct Wall;

impl Clock for Wall {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep_until(&self, instant: Timestamp) -> Sleep<'_> {
        Box::pin(async move {
            if self.now() >= instant {
                return;
            }
            if let Err(error) = wall_timer(instant).await {
                // Out of file descriptors, most likely. A short wait on the other clock does no harm: callers look again.
                tracing::debug!(%error, "no wall clock timer can be had");
                tokio::time::sleep(until(self.now(), instant).min(WITHOUT_TIMER)).await;
            }
        })
    }
}

/// When this program was built, to the second. A clock that shows an earlier time is wrong.
pub fn built_at() -> Timestamp {
    let second = env!("AGENT_BUILT_AT").parse().unwrap_or_default();
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The instant `wait` after `from`; the end of time where there is none.
pub fn after(from: Timestamp, wait: Duration) -> Timestamp {
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// How long it is from `from` until `until`; nothing, where that is over.
pub fn until(from: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(from)).unwrap_or_default()
}

/// An instant that was chosen by how long to wait for it.
///
/// It is kept as an instant, so that a suspended host does not wait longer; but where the clock is set back, it does
/// not get farther away than the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    at: Timestamp,
    wait: Duration,
}

impl Due {
    /// The instant `wait` after `now`.
    pub fn after(now: Timestamp, wait: Duration) -> Self {
        Self { at: after(now, wait), wait }
    }

    /// At once.
    pub fn now(now: Timestamp) -> Self {
        Self { at: now, wait: Duration::ZERO }
    }

    /// The instant, as the clock shows `now`.
    pub fn at(self, now: Timestamp) -> Timestamp {
        self.seen(now).at
    }

    /// The same, chosen anew where the clock was set back to `now`.
    #[must_use]
    pub fn seen(self, now: Timestamp) -> Self {
        if until(now, self.at) > self.wait { Self { at: after(now, self.wait), ..self } } else { self }
    }

    /// Whether it is there.
    pub fn is_over(self, now: Timestamp) -> bool {
        self.at(now) <= now
    }
}

async fn wall_timer(instant: Timestamp) -> io::Result<()> {
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
    let nanoseconds = instant.subsec_nanosecond().max(0);
    timer.set(
        Expiration::OneShot(TimeSpec::new(instant.as_second().max(0), nanoseconds.into())),
        TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
    )?;
    // Readable when it expires, and when the clock is set.
    #[expect(
        deprecated,
        reason = "the new constructor is unsafe, for descriptors that can be closed under it; an OwnedFd cannot"
    )]
    let timer = AsyncFd::with_interest(OwnedFd::from(timer), tokio::io::Interest::READABLE)?;
    let _ready = timer.readable().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn a_wait_ends_when_the_wall_shows_the_instant() {
        let instant = after(Wall.now(), Duration::from_millis(20));
        Wall.sleep_until(instant).await;
        assert!(Wall.now() >= instant);
        Wall.sleep_until(Timestamp::MIN).await;
    }

    #[tokio::test]
    async fn the_end_of_time_can_be_waited_for() {
        let mut sleep = Wall.sleep_until(Timestamp::MAX);
        assert!(futures_util::poll!(&mut sleep).is_pending());
    }

    #[test]
    fn the_program_was_built_before_now() {
        assert!(built_at() <= Wall.now() && built_at() > "2026-01-01T00:00:00Z".parse().unwrap());
    }

    proptest! {
        #[test]
        fn a_clock_that_is_set_makes_nobody_wait_longer(
            chosen in 0_i64..4_000_000_000, wait in 0_u64..100_000, shown in 0_i64..4_000_000_000
        ) {
            let (chosen, shown) = (Timestamp::from_second(chosen).unwrap(), Timestamp::from_second(shown).unwrap());
            let wait = Duration::from_secs(wait);
            let due = Due::after(chosen, wait);
            prop_assert!(until(shown, due.at(shown)) <= wait);
            prop_assert_eq!(due.is_over(shown), shown >= after(chosen, wait) || wait.is_zero());
            // Looked at again later, it has not moved.
            let seen = due.seen(shown);
            prop_assert_eq!(seen.seen(after(shown, wait / 2)), seen);
        }
    }
}
