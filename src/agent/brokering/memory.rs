//! The store in the hands of the loop: opened where the broker is on, written before anything is answered, and kept small.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Announced, BrokerLoop, LONGEST_TURN, Orphans, Work};
use crate::agent::configuration::aside;
use crate::agent::status::{Area, Severity};
use crate::broker::{Binding, BindingKey, Change, Phase, Promise, Records, Refusal, Store, StoreError};
use crate::clock::{self, Due};
use crate::event;

/// After how long a store that cannot be opened is tried again: a minute.
const STORE: Duration = Duration::from_secs(60);

/// How long it is known that a binding is gone: a day.
const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// How many bindings that are gone are remembered at the most; the oldest are forgotten first.
const MOST_REMEMBERED: usize = 1000;

impl BrokerLoop {
    /// Opens the store where the broker is on, and closes it where it is off.
    pub(super) async fn adjust(&mut self) {
        match (self.is_enabled(), &self.store) {
            (true, None) => self.open().await,
            (false, _) => {
                (self.store, self.store_at, self.lacks) = (None, None, off());
                self.records = Records::default();
                self.dismiss_all(&off());
                self.works.clear();
                self.underway.clear();
                self.orphans = Orphans::default();
                (self.catalog, self.unlearned) = (None, None);
                self.around.catalog.send_replace(None);
                self.around.board.withdraw(Area::BrokerStore);
                self.around.board.withdraw(Area::Orphans);
                self.around.board.update(|status| status.broker = None);
            }
            (true, Some(_)) => {}
        }
    }

    pub(super) async fn open(&mut self) {
        let path = self.around.settings.borrow().paths.broker_store();
        self.around.pulse.within(LONGEST_TURN);
        match aside(move || Store::open(&path)).await {
            Ok((store, records)) => {
                let now = self.now();
                let many = u32::try_from(records.bindings.len()).unwrap_or(u32::MAX);
                self.works = records
                    .bindings
                    .iter()
                    .map(|(key, binding)| {
                        // What became of the last request before the end is not known.
                        let doubt = match binding.phase {
                            Phase::Ready { .. } => None,
                            _ => Some(now),
                        };
                        // Not all at once.
                        let spread = Duration::from_millis(250).saturating_mul(many).min(Duration::from_secs(60));
                        let due = Some(Due::after(now, spread.mul_f64(fastrand::f64())));
                        let announced = match binding.phase {
                            Phase::Asking { promise: Promise::Made } => Announced::Yes,
                            _ => Announced::No,
                        };
                        (key.clone(), Work { due, doubt, announced, ..Work::default() })
                    })
                    .collect();
                (self.store, self.store_at, self.records) = (Some(store), None, records);
                self.around.board.solved(Area::BrokerStore);
                self.leave_behind().await;
                self.forget_the_gone().await;
                self.show();
            }
            Err(error) => {
                let sentence = format!("The service broker cannot work: {error}.");
                let remedy = match error {
                    StoreError::Newer { .. } => {
                        "Install the newer version again; or move the file away, and the broker begins anew, without the bindings."
                    }
                    error if error.is_of_the_system() => {
                        "Nothing says that the file itself is damaged: see whether the disk is there, full or read-only, whether it \
                     fails (`journalctl --dmesg`), and whether this system or the agent is out of file descriptors."
                    }
                    _ => {
                        "Restore the file from a backup while the agent is stopped; or move it away: then the broker begins \
                     anew, and `runtime-agent broker bindings` shows what it asked for before as orphans (with \
                     broker.orphans = \"remove\", they are given back once `runtime-agent sync --accept-removals` agrees)."
                    }
                };
                self.lacks = Refusal::Store(sentence.clone());
                self.store_at = Some(Due::after(self.now(), STORE));
                event::Retry::Broker.emit();
                self.around.board.problem(
                    Area::BrokerStore,
                    Severity::ActionNeeded,
                    sentence,
                    format!(
                        "Everything else goes on, bindings stay at the plane as they are, and the agent tries again every \
                         minute. {remedy}"
                    ),
                );
            }
        }
    }

    /// Makes changes durable, and then takes them for true.
    pub(super) async fn commit(&mut self, changes: Vec<Change>) -> Result<(), Refusal> {
        let Some(mut store) = self.store.take() else { return Err(self.lacks.clone()) };
        let (store, changes, result) = aside(move || {
            let result = store.commit(&changes);
            (store, changes, result)
        })
        .await;
        self.store = Some(store);
        if let Err(error) = result {
            let sentence = format!("What the service broker is to remember cannot be written: {error}.");
            self.around.board.problem(
                Area::BrokerStore,
                Severity::ActionNeeded,
                sentence.clone(),
                "Requests that change something are refused until it can be; everything else goes on. See whether the disk is \
                 full, or read-only.",
            );
            return Err(Refusal::Store(sentence));
        }
        self.around.board.solved(Area::BrokerStore);
        for change in changes {
            self.records.take(change);
        }
        Ok(())
    }

    /// What was given back long ago is forgotten.
    pub(super) async fn forget_the_gone(&mut self) {
        let now = self.now();
        let mut remembered: Vec<_> = self.records.bindings.iter().collect();
        remembered.retain(|(_, binding)| matches!(binding.phase, Phase::Gone { .. }));
        let since = |binding: &Binding| match binding.phase {
            // A clock that was ahead must not make it last.
            Phase::Gone { at } => at.min(now),
            _ => now,
        };
        remembered.sort_by_key(|(_, binding)| std::cmp::Reverse(since(binding)));
        let old = |(place, (_, binding)): &(usize, (&BindingKey, &Binding))| {
            *place >= MOST_REMEMBERED || clock::after(since(binding), REMEMBERED) <= now
        };
        let gone: BTreeSet<_> =
            remembered.into_iter().enumerate().filter(old).map(|(_, (key, _))| key.clone()).collect();
        if gone.is_empty() {
            return;
        }
        let changes = gone.iter().cloned().map(Change::RemoveBinding).collect();
        if self.commit(changes).await.is_ok() {
            self.works.retain(|key, _| !gone.contains(key));
        }
    }
}

/// What is said where the broker is off.
pub(super) fn off() -> Refusal {
    Refusal::Unavailable {
        why: "The service broker is off; broker.enabled = true turns it on.".into(),
        ask_again_in: None,
    }
}
