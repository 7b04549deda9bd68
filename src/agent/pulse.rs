//! Proof that the loops are alive, for systemd's watchdog.
//!
//! Each loop says, before it waits or works, by when it will have come round again. The watchdog is fed only while
//! every loop keeps its word, so a loop that hangs ends in a restart, and one that waits for hours does not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::event::Service;

/// What a loop's word is worth beyond the letter: time for the scheduler, a slow disk, a suspended machine.
const LENIENCE: Duration = Duration::from_secs(60);

/// One loop's word.
#[derive(Debug, Clone)]
pub struct Pulse {
    by: Arc<watch::Sender<Option<Instant>>>,
}

impl Default for Pulse {
    /// A loop that has not begun.
    fn default() -> Self {
        Self { by: Arc::new(watch::Sender::new(None)) }
    }
}

impl Pulse {
    /// The loop will have come round within `limit`.
    pub fn within(&self, limit: Duration) {
        // A century is for ever, and can be added to an instant.
        let limit = limit.min(Duration::from_secs(100 * 365 * 24 * 3600));
        self.by.send_replace(Some(Instant::now() + limit + LENIENCE));
    }

    /// The loop waits for something that may never come.
    pub fn idle(&self) {
        self.by.send_replace(None);
    }

    /// Waits until the loop waits.
    #[cfg(test)]
    pub(super) async fn rests(&self) {
        // The sender lives as long as this.
        let _ = self.by.subscribe().wait_for(Option::is_none).await;
    }

    fn is_kept(&self, now: Instant) -> bool {
        self.by.borrow().is_none_or(|by| now <= by)
    }
}

/// All loops' words, by the loops' names.
#[derive(Debug, Clone)]
pub struct Pulses(Arc<[(&'static str, Pulse)]>);

impl Pulses {
    /// These loops.
    pub fn of(pulses: &[(&'static str, Pulse)]) -> Self {
        Self(pulses.into())
    }

    /// The first loop that has not kept its word.
    pub fn hanging(&self) -> Option<&'static str> {
        let now = Instant::now();
        self.0.iter().find(|(_, pulse)| !pulse.is_kept(now)).map(|(name, _)| *name)
    }
}

/// Feeds systemd's watchdog, if it asked for it, as long as every loop keeps its word.
pub async fn feed(pulses: Pulses) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut told = None;
    loop {
        let hanging = pulses.hanging();
        match hanging {
            None => {
                // Without systemd's socket there is nobody to tell, and nothing to lose.
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            Some(name) if told != hanging => Service::LoopHangs(name).emit(),
            Some(_) => {}
        }
        told = hanging;
        tokio::time::sleep(period / 2).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_come_round_breaks_its_word() {
        let pulse = Pulse::default();
        assert!(pulse.is_kept(Instant::now()));
        pulse.within(Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(69)).await;
        assert!(pulse.is_kept(Instant::now()));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!pulse.is_kept(Instant::now()));
        pulse.idle();
        assert!(pulse.is_kept(Instant::now()));
    }
}
