//! Requests to the plane: which are begun, and what follows from their answers.

use std::time::Duration;

use super::errand::Errand;
use super::{AT_ONCE, BrokerLoop, Job, Work};
use crate::agent::status::BrokerStatus;
use crate::broker::{
    Audience, BindingKey, Change, Circumstances, Fate, Heard, Pace, Phase, Turn, give_back, hear, step,
};
use crate::clock::Due;
use crate::director::RefusalKind;
use crate::event;

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
        let apis = self.catalog.as_ref().and_then(|catalog| catalog.plan_of(&binding.offer));
        let errand = Errand {
            director: plane.director.clone(),
            dialect,
            runtime: plane.runtime.clone(),
            key: key.clone(),
            offer: binding.offer.clone(),
            parameters: binding.parameters.clone(),
            apis: apis.map(|plan| plan.apis().to_vec()).unwrap_or_default(),
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
        let audience = if work.waiters.iter().any(super::waiting::Waiter::wants_credentials) {
            Audience::Present
        } else {
            Audience::Absent
        };
        let turn = hear(&binding.phase, heard, Circumstances { now, doubt: work.doubt, settling, audience });
        let written = match &turn.fate {
            Fate::Same => Ok(()),
            Fate::Becomes(phase) => {
                let mut binding = binding.clone();
                binding.phase = phase.clone();
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
            Pace::AtOnce => (work.due, work.tries) = (Some(Due::now(now)), 0),
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
    fn mind_the_planes_wish(&mut self, heard: &Heard) {
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

    /// Bindings of a runtime that this host no longer is cannot be given back by it; those that are to go are gone.
    pub(super) fn give_back_here(&self, phase: &Phase, ours: &crate::ids::RuntimeId) -> Phase {
        let now = self.now();
        match &self.plane {
            Some(plane) if plane.runtime != *ours => Phase::Gone { at: now },
            Some(_) | None => give_back(phase, now),
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
