//! The wall's time: now, and waiting until an instant of it.
//!
//! Waits are absolute. The kernel's timer on `CLOCK_REALTIME` fires when the wall reaches the instant, be it by
//! passing time, by a suspend that ends, or by a clock that is set; and when the clock is set, the wait is looked at
//! again at once (`TFD_TIMER_CANCEL_ON_SET`, timerfd_create(2)).

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

/// Now, by this host's clock.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// The instant `wait` after `from`; the end of time where there is none.
pub fn after(from: Timestamp, wait: Duration) -> Timestamp {
    from.checked_add(wait).unwrap_or(Timestamp::MAX)
}

/// How long it is from `from` until `until`; nothing, where that is over.
pub fn until(from: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(from)).unwrap_or_default()
}

/// Waits until the wall's clock shows `instant`. Returns early, too, when the clock was set: the caller looks at the
/// time anew.
pub async fn sleep_until(instant: Timestamp) {
    if now() >= instant {
        return;
    }
    if let Err(error) = wall_timer(instant).await {
        // Out of file descriptors, most likely. A bounded wait on the other clock does no harm: callers look again.
        tracing::debug!(%error, "no wall clock timer can be had");
        tokio::time::sleep(until(now(), instant).min(Duration::from_secs(60))).await;
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
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_when_the_wall_shows_the_instant() {
        let instant = after(now(), Duration::from_millis(20));
        sleep_until(instant).await;
        assert!(now() >= instant);
        sleep_until(Timestamp::MIN).await;
    }
}
