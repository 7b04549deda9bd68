//! A clock that jumps from one thing that is due to the next: years in seconds, for simulations of one loop.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, oneshot};

use super::pulse::Pulse;
use crate::clock::{self, Clock, Sleep};

/// Something that happens at an instant.
pub(super) type Happening = Box<dyn FnOnce(&World)>;

/// The time of the plane, which is the true one, and of the host, which may be off. It stands still while the loop
/// works, and jumps when the loop waits: to what it waits for, or to the next thing that happens.
pub(super) struct World {
    pub(super) plane: plane::Clock,
    /// By how many seconds the host's clock is ahead.
    pub(super) skew: Cell<i64>,
    /// What happens when, by the true time, in order.
    script: RefCell<VecDeque<(Timestamp, Happening)>>,
    /// The loop that time stands still for while it is at work, although it waits.
    pulse: OnceCell<Pulse>,
    /// How often the loop was woken.
    pub(super) wakes: Cell<u64>,
    /// Something was added to the script.
    added: Notify,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "World at {}", self.plane.now())
    }
}

impl World {
    pub(super) fn at(start: Timestamp) -> Rc<Self> {
        Rc::new(Self {
            plane: plane::Clock::fixed_at(start),
            skew: Cell::new(0),
            script: RefCell::default(),
            pulse: OnceCell::new(),
            wakes: Cell::new(0),
            added: Notify::new(),
        })
    }

    /// The pulse of a loop that waits for others while it sleeps: time stands still until all of that has come.
    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.get_or_init(Pulse::default).clone()
    }

    /// Lets something happen so long from now.
    pub(super) fn after(&self, wait: Duration, happening: impl FnOnce(&World) + 'static) {
        let at = clock::after(self.plane.now(), wait);
        let mut script = self.script.borrow_mut();
        let place = script.partition_point(|(other, _)| *other <= at);
        script.insert(place, (at, Box::new(happening)));
        self.added.notify_one();
    }

    fn by_the_host(&self, truth: Timestamp) -> Timestamp {
        truth.saturating_add(SignedDuration::from_secs(self.skew.get())).unwrap_or(truth)
    }

    async fn jump(&self, instant: Timestamp) {
        // Whatever else is to be done is done first.
        tokio::task::yield_now().await;
        if let Some(pulse) = self.pulse.get() {
            pulse.rests().await;
        }
        self.wakes.set(self.wakes.get() + 1);
        let back = SignedDuration::from_secs(-self.skew.get());
        let wanted = instant.saturating_add(back).unwrap_or(instant).max(self.plane.now());
        let next = self.script.borrow().front().map(|(at, _)| *at);
        match next {
            Some(at) if at <= wanted => {
                self.plane.set(at.max(self.plane.now()));
                let happening = self.script.borrow_mut().pop_front();
                if let Some((_, happening)) = happening {
                    happening(self);
                }
            }
            // Nothing happens any more by itself.
            None if instant == Timestamp::MAX => self.added.notified().await,
            Some(_) | None => self.plane.set(wanted),
        }
    }

    /// Waits until so much time has passed.
    pub(super) async fn pass(&self, wait: Duration) {
        let (sender, passed) = oneshot::channel();
        self.after(wait, move |_| {
            let _ = sender.send(());
        });
        passed.await.unwrap();
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        self.by_the_host(self.plane.now())
    }

    fn sleep_until(&self, instant: Timestamp) -> Sleep<'_> {
        Box::pin(async move {
            if self.now() < instant {
                self.jump(instant).await;
            }
        })
    }
}
