//! Clients that wait for what comes of a binding, and what they are answered.

use std::time::Duration;

use jiff::Timestamp;

use super::BrokerLoop;
use crate::broker::{
    Binding, BindingKey, Bound, Fate, Made, Operation, Pace, Patience, Phase, Refusal, Reply, Turn, Unbound,
};
use crate::clock::Due;

/// How long a client waits for the plane at the most: 20 seconds. Clients themselves usually give up after a minute.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    /// Until when.
    pub(super) until: Due,
    /// Whether it takes an unfinished operation for an answer.
    patience: Patience,
    reply: Wish,
}

/// What it waits for.
#[derive(Debug)]
enum Wish {
    Bound(Reply<Bound>),
    Unbound(Reply<Unbound>),
}

/// How things are with a binding, for those who wait.
#[derive(Debug, Clone, Copy)]
struct Scene<'a> {
    binding: Option<&'a Binding>,
    word: Option<&'a Refusal>,
}

impl Waiter {
    /// One that waits for credentials.
    pub(super) fn for_credentials(now: Timestamp, patience: Patience, reply: Reply<Bound>) -> Self {
        Self { until: Due::after(now, PATIENCE), patience, reply: Wish::Bound(reply) }
    }

    /// One that waits for the end of them.
    pub(super) fn for_the_end(now: Timestamp, patience: Patience, reply: Reply<Unbound>) -> Self {
        Self { until: Due::after(now, PATIENCE), patience, reply: Wish::Unbound(reply) }
    }

    /// Whether it waits for credentials.
    pub(super) fn wants_credentials(&self) -> bool {
        matches!(self.reply, Wish::Bound(_))
    }

    fn dismiss(self, scene: Scene<'_>) {
        // Whoever has gone is not answered.
        match self.reply {
            Wish::Bound(reply) => drop(reply.send(bound(scene, self.patience))),
            Wish::Unbound(reply) => drop(reply.send(unbound(scene, self.patience))),
        }
    }
}

impl BrokerLoop {
    /// Answers those who wait for a binding, where there is something to answer after this turn.
    pub(super) fn answer_after(&mut self, key: &BindingKey, turn: &Turn) {
        let binding = self.records.bindings.get(key);
        let Some(work) = self.works.get_mut(key) else { return };
        if goes_on(turn) {
            return;
        }
        let scene = Scene { binding, word: turn.word.as_ref() };
        for waiter in std::mem::take(&mut work.waiters) {
            waiter.dismiss(scene);
        }
    }

    /// Answers those who have waited too long.
    pub(super) fn dismiss_the_weary(&mut self, now: Timestamp) {
        for (key, work) in &mut self.works {
            let (weary, others) =
                std::mem::take(&mut work.waiters).into_iter().partition(|waiter| waiter.until.is_over(now));
            work.waiters = others;
            let weary: Vec<Waiter> = weary;
            for waiter in weary {
                waiter.dismiss(Scene { binding: self.records.bindings.get(key), word: None });
            }
        }
    }
}

/// Whether the next request follows at once, so that it is worth waiting for.
fn goes_on(turn: &Turn) -> bool {
    let next = match &turn.fate {
        Fate::Same | Fate::Becomes(Phase::Asking { .. } | Phase::Returning { .. }) => turn.pace == Pace::AtOnce,
        Fate::Becomes(_) | Fate::Ends => false,
    };
    next && turn.word.is_none()
}

fn bound(scene: Scene<'_>, patience: Patience) -> Result<Bound, Refusal> {
    let refused = |otherwise: Refusal| Err(scene.word.cloned().unwrap_or(otherwise));
    let Some(binding) = scene.binding else { return refused(unfinished("The credentials could not be had.")) };
    match (&binding.phase, patience) {
        (Phase::Ready { credentials, .. }, _) => Ok(Bound::Here { made: Made::Now, body: credentials.clone() }),
        (Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Failed { .. }, Patience::LooksLater) => {
            Ok(Bound::UnderWay(binding.operation.clone()))
        }
        (Phase::Asking { .. }, Patience::Waits) => refused(unfinished(
            "The plane has not answered yet whether there are credentials; repeat the same request, or delete the binding.",
        )),
        (Phase::Waiting { .. }, Patience::Waits) => refused(Refusal::Concurrency(
            "The application has been asked for credentials, and has not answered yet.".into(),
        )),
        (Phase::Failed { why, .. } | Phase::Kept { why, .. }, _) => refused(Refusal::Conflict(format!(
            "There is a binding of this id without credentials: {why}. Delete it first."
        ))),
        (Phase::Returning { .. } | Phase::Gone { .. }, _) => {
            refused(Refusal::Concurrency("The binding is being deleted.".into()))
        }
    }
}

fn unbound(scene: Scene<'_>, patience: Patience) -> Result<Unbound, Refusal> {
    let refused = |otherwise: Refusal| Err(scene.word.cloned().unwrap_or(otherwise));
    let Some(binding) = scene.binding else { return Ok(Unbound::Gone) };
    match (&binding.phase, patience) {
        (Phase::Gone { .. }, _) => Ok(Unbound::Gone),
        (Phase::Kept { why, .. }, _) => {
            refused(Refusal::Unsupported(format!("The plane does not take the credentials back: {why}.")))
        }
        (_, Patience::LooksLater) => Ok(Unbound::UnderWay(binding.operation.clone())),
        (_, Patience::Waits) => refused(Refusal::Concurrency(
            "The credentials are being given back, and the plane still has them; ask again later.".into(),
        )),
    }
}

fn unfinished(why: &str) -> Refusal {
    Refusal::Unavailable { why: why.to_owned(), ask_again_in: None }
}

/// A name for an operation, which no other has.
pub(super) fn operation() -> Operation {
    Operation(uuid::Uuid::new_v4().to_string().into())
}
