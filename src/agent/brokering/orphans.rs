//! What the plane has in our name and no binding here stands for; and bindings that the plane no longer knows.

use std::collections::{BTreeMap, BTreeSet};

use super::errand::{confided, give_back, look_at, see};
use super::{AT_ONCE, BrokerLoop, Job, Origin};
use crate::agent::status::{Area, Severity};
use crate::broker::{Binding, Change, Heard, Offer, OrphanRow, Phase, Seen, SeenState, Told};
use crate::clock::Due;
use crate::config;
use crate::event;
use crate::ids::{InstanceAuthId, RuntimeId};
use crate::snapshot::brake::Consent;
use crate::snapshot::{Application, Condition, InstanceAuth};

/// An instance auth that no binding stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Orphan {
    offer: Offer,
    /// The binding that it was asked for, in the plane's words.
    binding: Box<str>,
}

/// The next request for an orphan that is to be removed.
#[derive(Debug, Clone, Copy)]
enum Removal {
    /// Whether it is still there.
    Look,
    /// To take it back.
    GiveBack,
}

/// What there is of them.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Those that stood in the last list; they may belong to something that was under way when it was read.
    suspects: BTreeSet<InstanceAuthId>,
    /// Those that stood in the list before as well.
    found: BTreeMap<InstanceAuthId, Orphan>,
    /// Those that are to be removed, with the next request for each.
    removing: BTreeMap<InstanceAuthId, Removal>,
    /// Those for which a request is under way.
    busy: BTreeSet<InstanceAuthId>,
}

impl Orphans {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// All of them, for people.
    pub(super) fn rows(&self) -> Vec<OrphanRow> {
        let row = |(auth, orphan): (&InstanceAuthId, &Orphan)| OrphanRow {
            auth: auth.clone(),
            offer: orphan.offer.clone(),
            binding: crate::transport::fit(&orphan.binding),
        };
        self.found.iter().map(row).collect()
    }
}

impl BrokerLoop {
    /// Compares what the plane lists with what there is here.
    pub(super) async fn compare(&mut self, ours: &RuntimeId, applications: &[Application], origin: Origin) {
        if origin == Origin::Unpaired {
            self.orphans = Orphans::default();
            self.around.board.withdraw(Area::Orphans);
            return self.give_up(ours).await;
        }
        let mut claimed = BTreeSet::new();
        let mut listed = BTreeMap::new();
        for application in applications {
            for bundle in &application.bundles {
                let offer = Offer { service: application.id.clone(), plan: bundle.id.clone() };
                let auths: BTreeMap<_, _> = bundle.instance_auths.iter().map(|auth| (&auth.id, auth)).collect();
                listed.insert(offer, auths);
            }
        }
        let (mut changes, mut others) = (Vec::new(), Vec::new());
        let now = self.now();
        for (key, binding) in &self.records.bindings {
            claimed.extend(binding.phase.auth().cloned());
            let Some(auths) = listed.get(&binding.offer).filter(|_| binding.runtime == *ours) else { continue };
            let Some(work) = self.works.get_mut(key) else { continue };
            let Some(plan) = self.catalog.as_ref().and_then(|catalog| catalog.plan_of(&binding.offer)) else {
                continue;
            };
            let listed = binding
                .phase
                .auth()
                .and_then(|auth| auths.get(auth))
                .map(|auth| see(auth, plan.apis(), &confided(binding.parameters.as_ref())).state);
            match (&binding.phase, listed) {
                (Phase::Ready { auth, credentials }, Some(SeenState::Given(given))) if given != *credentials => {
                    let phase = Phase::Ready { auth: auth.clone(), credentials: given };
                    let renewed = Binding { phase, ..binding.clone() };
                    changes.push(Change::PutBinding(key.clone(), renewed));
                    others.push(key.clone());
                }
                (Phase::Ready { .. }, Some(SeenState::Given(_) | SeenState::Pending | SeenState::Withheld)) => {}
                // The list may be older than the binding: it is asked for by itself.
                (Phase::Ready { .. }, Some(SeenState::Failed(_) | SeenState::Unused) | None) => {
                    (work.doubt, work.due) = (work.doubt.or(Some(now)), Some(Due::now(now)));
                }
                // There is something new, so it is worth looking.
                (
                    Phase::Waiting { .. },
                    Some(SeenState::Given(_) | SeenState::Failed(_) | SeenState::Unused) | None,
                )
                | (Phase::Returning { auth: Some(_), told: Told::Yes }, None) => work.due = Some(Due::now(now)),
                (
                    Phase::Waiting { .. }
                    | Phase::Asking { .. }
                    | Phase::Returning { .. }
                    | Phase::Failed { .. }
                    | Phase::Kept { .. }
                    | Phase::Gone { .. },
                    _,
                ) => {}
            }
        }
        // Not written, they are found again in the next list; a failure is on the board.
        if !changes.is_empty() && self.commit(changes).await.is_ok() {
            others.iter().for_each(|key| event::Broker::OtherCredentials(key).emit());
            self.have_files_follow();
        }
        // What was kept may be long over.
        let Origin::Plane(consent) = origin else { return };
        let unclaimed = |auth: &&InstanceAuth| {
            !claimed.contains(&auth.id) && auth.condition != Condition::Unused && !self.is_expected(auth)
        };
        let mut orphans = BTreeMap::new();
        for (offer, auths) in &listed {
            for auth in auths.values().copied().filter(unclaimed) {
                let Some(context) = auth.binding() else { continue };
                orphans.insert(auth.id.clone(), Orphan { offer: offer.clone(), binding: context.binding_id });
            }
        }
        let now: BTreeSet<_> = orphans.keys().cloned().collect();
        orphans.retain(|auth, _| self.orphans.suspects.contains(auth));
        self.orphans.suspects = now;
        self.orphans.found = orphans;
        let bound = listed.values().flat_map(BTreeMap::values).filter(|auth| auth.binding().is_some()).count();
        self.tell_of_orphans(bound, consent);
    }

    /// Whether a binding may be about to take it up.
    fn is_expected(&self, auth: &InstanceAuth) -> bool {
        let Some(context) = auth.binding() else { return false };
        let expects = |phase: &Phase| matches!(phase, Phase::Asking { .. } | Phase::Returning { auth: None, .. });
        self.records.bindings.iter().any(|(key, binding)| key.is_meant_by(&context) && expects(&binding.phase))
    }

    /// `bound` is how many sets of credentials the plane has for bindings, orphans included.
    fn tell_of_orphans(&mut self, bound: usize, consent: Consent) {
        let rule = self.around.settings.borrow().broker.orphans;
        match (self.orphans.found.len(), rule) {
            (0, _) => {
                self.orphans.removing.clear();
                self.around.board.solved(Area::Orphans);
            }
            (count, config::Orphans::Report) => {
                self.orphans.removing.clear();
                self.around.board.problem(
                    Area::Orphans,
                    Severity::Transient,
                    format!(
                        "The plane has {count} set{} of credentials in the name of this host that no service binding here \
                         stands for.",
                        if count == 1 { "" } else { "s" }
                    ),
                    "They do no harm but that they exist, after the loss of the broker's store, for example. See \
                     `runtime-agent broker bindings`; broker.orphans = \"remove\" has them given back.",
                );
            }
            // A store that was lost, or is an old one, makes orphans of credentials that are in use.
            (count, config::Orphans::Remove) if is_doubtful(count, bound) && consent == Consent::NotGiven => {
                self.orphans.removing.clear();
                self.around.board.problem(
                    Area::Orphans,
                    Severity::ActionNeeded,
                    format!(
                        "{count} of the {bound} sets of credentials that the plane has for service bindings of this host \
                         belong to none here, which is too many to give all of them back unasked."
                    ),
                    "Nothing is given back. Was the broker's store lost, or restored from an older backup? `runtime-agent \
                     broker bindings` lists them; where they are not used, `runtime-agent sync --accept-removals` has them \
                     given back.",
                );
            }
            (_, config::Orphans::Remove) => {
                self.around.board.solved(Area::Orphans);
                // One look at each by itself: the list may be older than what has happened since.
                for auth in self.orphans.found.keys() {
                    self.orphans.removing.entry(auth.clone()).or_insert(Removal::Look);
                }
            }
        }
    }

    /// Begins requests for orphans that are to be removed, as far as there is room for them.
    pub(super) fn begin_with_orphans(&mut self) {
        let Some(plane) = &self.plane else { return };
        for (auth, step) in &self.orphans.removing {
            if self.underway.len() >= AT_ONCE {
                return;
            }
            if !self.orphans.busy.insert(auth.clone()) {
                continue;
            }
            let (director, dialect) = (plane.director.clone(), self.dialect());
            let (auth, step) = (auth.clone(), *step);
            self.underway.push(Box::pin(async move {
                let heard = match step {
                    Removal::Look => look_at(&director, dialect, &auth, bare).await,
                    Removal::GiveBack => give_back(&director, dialect, &auth, bare).await,
                };
                (Job::Orphan(auth), heard)
            }));
        }
    }

    /// What follows from an answer about an orphan. Whatever fails is tried again after the next list.
    pub(super) fn hear_of_an_orphan(&mut self, auth: InstanceAuthId, heard: &Heard) {
        self.mind_the_planes_wish(heard);
        self.orphans.busy.remove(&auth);
        self.orphans.removing.remove(&auth);
        let adopted = self.records.bindings.values().any(|binding| binding.phase.auth() == Some(&auth));
        match heard {
            Heard::Saw(Ok(Some(seen))) if !adopted && seen.state != SeenState::Unused => {
                self.orphans.removing.insert(auth, Removal::GiveBack);
            }
            Heard::GaveBack(Ok(_)) => {
                event::Broker::OrphanRemoved(&auth).emit();
                self.orphans.found.remove(&auth);
            }
            Heard::Saw(Ok(_)) => drop(self.orphans.found.remove(&auth)),
            Heard::Asked(_) | Heard::Looked(_) | Heard::Saw(Err(_)) | Heard::GaveBack(Err(_)) => {
                event::Retry::Broker.emit();
            }
        }
        self.show();
    }
}

/// Whether so many orphans are more likely a loss here than one at the plane: most of all, and more than three.
fn is_doubtful(orphans: usize, bound: usize) -> bool {
    orphans > 3 && 2 * orphans > bound
}

/// What an orphan is worth: nobody wants its credentials.
fn bare(auth: &InstanceAuth) -> Seen {
    see(auth, &[], &[])
}
