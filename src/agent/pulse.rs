//! Proof that the loops are alive, for systemd's watchdog.
//!
//! Each loop says, before it waits or works, by when it will have come round again. The watchdog is fed only while
//! every loop keeps its word, so a loop that hangs ends in a restart, and one that waits for hours does not.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

/// What a loop's word is worth beyond the letter: time for the scheduler, a slow disk, a suspended machine.
const LENIENCE: Duration = Duration::from_secs(60);

/// One loop's word.
#[derive(Debug, Clone)]
pub struct Pulse {
    by: Rc<Cell<Option<Instant>>>,
}

impl Pulse {
    /// A loop that has not begun.
    pub fn new() -> Self {
        Self { by: Rc::new(Cell::new(None)) }
    }

    /// The loop will have come round within `limit`.
    pub fn within(&self, limit: Duration) {
        // A century is for ever, and can be added to an instant.
        let limit = limit.min(Duration::from_secs(100 * 365 * 24 * 3600));
        self.by.set(Some(Instant::now() + limit + LENIENCE));
    }

    /// The loop waits for something that may never come.
    pub fn idle(&self) {
        self.by.set(None);
    }

    fn is_kept(&self, now: Instant) -> bool {
        self.by.get().is_none_or(|by| now <= by)
    }
}

/// Feeds systemd's watchdog, if it asked for it, as long as every loop keeps its word.
pub async fn feed(pulses: Vec<(&'static str, Pulse)>) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        let now = Instant::now();
        match pulses.iter().find(|(_, pulse)| !pulse.is_kept(now)) {
            None => {
                // Without systemd's socket there is nobody to tell, and nothing to lose.
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            Some((name, _)) => {
                tracing::error!("the {name} loop hangs; systemd's watchdog will restart the agent");
            }
        }
        tokio::time::sleep(period / 2).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_come_round_breaks_its_word() {
        let pulse = Pulse::new();
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
