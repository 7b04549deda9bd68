//! Requests to the plane: which are begun, and what follows from their answers.

use std::time::Duration;

use super::errand::Errand;
use super::waiting::Waiter;
use super::{AT_ONCE, Announced, BrokerLoop, Job, Work};
use crate::agent::status::BrokerStatus;
use crate::broker::{
    Audience, Binding, BindingKey, Change, Circumstances, Fate, Heard, Issue, Offer, Pace, Phase, Plan, Rotation, Turn,
    give_back, hear, step,
};
use crate::clock::Due;
use crate::director::RefusalKind;
use crate::event;
use crate::ids::RuntimeId;

impl BrokerLoop {
    /// Begins the requests that are due, as far as there is room for them.
    pub(super) fn begin_what_is_due(&mut self) {
        let now = self.now();
        if !self.may_ask(now) {
            return;
        }
        let due = |work: &Work| work.busy.is_none() && work.due.is_some_and(|due| due.is_over(now));
        let keys: Vec<_> = self.works.iter().filter(|(_, work)| due(work)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            if self.underway.len() >= AT_ONCE {
                return;
            }
            self.begin(key);
        }
        self.begin_with_orphans();
    }

    fn begin(&mut self, key: BindingKey) {
        let dialect = self.dialect();
        let (Some(work), Some(plane)) = (self.works.get_mut(&key), &self.plane) else { return };
        let Some(binding) = self.records.bindings.get(&key).filter(|binding| binding.runtime == plane.runtime) else {
            // Of another runtime, which this host no longer is: there is nothing to ask, and nobody to ask it.
            work.due = None;
            return;
        };
        let Some(step) = step(&binding.phase, work.doubt) else {
            work.due = None;
            return;
        };
        let plan = self.catalog.as_ref().and_then(|catalog| catalog.plan_of(&binding.offer));
        if plan.is_none() && !matches!(binding.phase, Phase::Returning { .. }) {
            // Credentials are for the addresses of APIs, which nobody knows now. It goes on when the plane lists them.
            work.due = None;
            return;
        }
        let errand = Errand {
            director: plane.director.clone(),
            dialect,
            runtime: plane.runtime.clone(),
            key: key.clone(),
            offer: binding.offer.clone(),
            parameters: binding.parameters.clone(),
            apis: plan.map(|plan| plan.apis().to_vec()).unwrap_or_default(),
        };
        work.busy = Some(step.clone());
        self.underway.push(Box::pin(async move { (Job::Binding(key), errand.run(step).await) }));
    }

    /// What follows from an answer of the plane.
    pub(super) async fn hear(&mut self, key: BindingKey, heard: Heard) {
        let now = self.now();
        self.mind_the_planes_wish(&heard);
        let settling = self.settling();
        let Some(work) = self.works.get_mut(&key) else { return };
        work.busy = None;
        let Some(binding) = self.records.bindings.get(&key) else { return };
        // Whoever was told that it is under way counts on it, even if others wait.
        let waits = work.waiters.iter().any(Waiter::wants_credentials) && work.announced == Announced::No;
        let audience = if waits { Audience::Present } else { Audience::Absent };
        let turn = hear(&binding.phase, heard, Circumstances { now, doubt: work.doubt, settling, audience });
        let written = match &turn.fate {
            Fate::Same => Ok(()),
            Fate::Becomes(phase) => {
                let binding = binding.clone().into_phase(phase.clone(), self.rotation(&binding.offer));
                self.commit(vec![Change::PutBinding(key.clone(), binding)]).await
            }
            Fate::Ends => self.commit(vec![Change::RemoveBinding(key.clone())]).await,
        };
        let Some(work) = self.works.get_mut(&key) else { return };
        if let Err(error) = written {
            // What the plane said is not on disk, so it is as if nobody had heard it.
            work.doubt = work.doubt.or(Some(now));
            work.tries += 1;
            let tries = work.tries;
            let due = self.pause(tries, None);
            let turn = Turn { word: Some(error), pace: Pace::Later(None), fate: Fate::Same, doubt: None };
            if let Some(work) = self.works.get_mut(&key) {
                work.due = Some(due);
            }
            self.answer_after(&key, &turn);
            return;
        }
        work.doubt = turn.doubt;
        self.keep_pace(&key, turn.pace);
        self.tell(&key, &turn.fate);
        self.answer_after(&key, &turn);
        if turn.fate == Fate::Ends {
            self.works.remove(&key);
        }
        self.show();
    }

    fn keep_pace(&mut self, key: &BindingKey, pace: Pace) {
        let now = self.now();
        let Some(work) = self.works.get_mut(key) else { return };
        match pace {
            Pace::AtOnce => {
                work.due = Some(Due::now(now));
                // Giving back goes to and fro where the plane contradicts itself, and must not do so in haste.
                let returning =
                    self.records.bindings.get(key).is_some_and(|known| matches!(known.phase, Phase::Returning { .. }));
                if !returning {
                    work.tries = 0;
                }
            }
            Pace::Later(at_least) => {
                work.tries = work.tries.saturating_add(1);
                let tries = work.tries;
                let due = self.pause(tries, at_least);
                event::Retry::Broker.emit();
                if let Some(work) = self.works.get_mut(key) {
                    work.due = Some(due);
                }
            }
        }
    }

    /// A plane that asks to be left alone is left alone with everything.
    pub(super) fn mind_the_planes_wish(&mut self, heard: &Heard) {
        let refusal = match heard {
            Heard::Asked(Err(refusal)) | Heard::GaveBack(Err(refusal)) => refusal,
            Heard::Looked(Err(refusal)) | Heard::Saw(Err(refusal)) => refusal,
            Heard::Asked(Ok(_)) | Heard::Looked(Ok(_)) | Heard::Saw(Ok(_)) | Heard::GaveBack(Ok(_)) => return,
        };
        if let RefusalKind::Unavailable(Some(wait)) = refusal.kind {
            /// Nobody is left alone for longer than an hour.
            const LONGEST: Duration = Duration::from_secs(60 * 60);
            self.left_alone_until = Some(Due::after(self.now(), wait.min(LONGEST)));
        }
    }

    /// Says what has become of a binding, and has what follows from bindings follow.
    fn tell(&self, key: &BindingKey, fate: &Fate) {
        match fate {
            Fate::Same | Fate::Becomes(Phase::Asking { .. } | Phase::Returning { .. }) => {}
            Fate::Ends => event::Broker::CameToNothing(key).emit(),
            Fate::Becomes(Phase::Waiting { auth }) => event::Broker::Waits { key, auth }.emit(),
            Fate::Becomes(Phase::Ready { auth, .. }) => {
                event::Broker::Ready { key, auth }.emit();
                self.have_files_follow();
            }
            Fate::Becomes(Phase::Failed { why, .. }) => {
                event::Broker::Failed { key, why }.emit();
                self.have_files_follow();
            }
            Fate::Becomes(Phase::Kept { why, .. }) => event::Broker::Kept { key, why }.emit(),
            Fate::Becomes(Phase::Gone { .. }) => {
                event::Broker::Gone(key).emit();
                self.have_files_follow();
            }
        }
    }

    /// Whether other credentials can follow those of a plan.
    pub(super) fn rotation(&self, offer: &Offer) -> Rotation {
        match self.catalog.as_ref().and_then(|catalog| catalog.plan_of(offer)).map(Plan::issue) {
            Some(Issue::AtOnce) => Rotation::None,
            Some(Issue::OnRequest) | None => Rotation::Possible,
        }
    }

    /// Whether a binding is of a runtime that this host no longer is: it cannot do anything for that at the plane.
    pub(super) fn is_left_behind(&self, binding: &Binding) -> bool {
        self.plane.as_ref().is_some_and(|plane| plane.runtime != binding.runtime)
    }

    /// What a client's wish to give a binding back makes of it.
    pub(super) fn give_back_here(&self, binding: &Binding) -> Phase {
        let now = self.now();
        if self.is_left_behind(binding) { Phase::Gone { at: now } } else { give_back(&binding.phase, now) }
    }

    /// Brings the operations of a runtime that this host no longer is to their end.
    pub(super) async fn leave_behind(&mut self) {
        let now = self.now();
        let end = |phase: &Phase| match phase {
            Phase::Returning { .. } => Some(Phase::Gone { at: now }),
            Phase::Asking { .. } | Phase::Waiting { .. } => Some(Phase::Failed {
                auth: phase.auth().cloned(),
                why: "this host was paired anew as another runtime, which cannot get them".into(),
            }),
            Phase::Ready { .. } | Phase::Failed { .. } | Phase::Kept { .. } | Phase::Gone { .. } => None,
        };
        let left: Vec<_> = self.records.bindings.iter().filter(|(_, binding)| self.is_left_behind(binding)).collect();
        let ended = left.into_iter().filter_map(|(key, binding)| Some((key, binding, end(&binding.phase)?)));
        let (keys, changes): (Vec<_>, Vec<_>) = ended
            .map(|(key, binding, phase)| {
                let ended = binding.clone().into_phase(phase, Rotation::None);
                (key.clone(), Change::PutBinding(key.clone(), ended))
            })
            .unzip();
        // Not written, it is done at the next start; a failure is on the board.
        if !changes.is_empty() && self.commit(changes).await.is_ok() {
            keys.iter().for_each(|key| event::Broker::LeftBehind(key).emit());
        }
    }

    /// This host was unpaired: nothing here is good for anything any more, and nothing can be given back.
    pub(super) async fn give_up(&mut self, runtime: &RuntimeId) {
        let ours = self.records.bindings.iter().filter(|(_, binding)| binding.runtime == *runtime);
        let live = ours.filter(|(_, binding)| !matches!(binding.phase, Phase::Failed { .. } | Phase::Gone { .. }));
        let changes: Vec<_> = live
            .map(|(key, binding)| {
                let why = "this host was unpaired; what the plane has of them stays valid until it is revoked there";
                // Without the id, for nothing can be given back by it; should this host be paired as the same runtime again,
                // what is left at the plane is found there as an orphan.
                let phase = Phase::Failed { auth: None, why: why.into() };
                Change::PutBinding(key.clone(), binding.clone().into_phase(phase, Rotation::None))
            })
            .collect();
        if changes.is_empty() {
            return;
        }
        let count = changes.len();
        // Not written, the credentials stay in the store; a failure is on the board.
        if self.commit(changes).await.is_ok() {
            event::Broker::GivenUp(count).emit();
        }
    }

    /// Puts on the board how many there are.
    pub(super) fn show(&self) {
        if self.store.is_none() {
            return;
        }
        let mut status = BrokerStatus {
            instances: self.records.instances.len(),
            orphans: self.orphans.count(),
            ..BrokerStatus::default()
        };
        for binding in self.records.bindings.values() {
            match &binding.phase {
                Phase::Ready { .. } => status.bindings += 1,
                Phase::Asking { .. } | Phase::Waiting { .. } | Phase::Returning { .. } => status.under_way += 1,
                Phase::Failed { .. } | Phase::Kept { .. } => status.failed += 1,
                Phase::Gone { .. } => {}
            }
        }
        if self.around.board.read(|board| board.broker != Some(status)) {
            self.around.board.update(|board| board.broker = Some(status));
        }
    }
}
