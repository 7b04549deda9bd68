//! What clients ask for, judged against what there is; what is granted is written down first.

use std::sync::Arc;

use super::waiting::{Waiter, operation};
use super::{BrokerLoop, Work};
use crate::broker::{
    Bind, Binding, BindingKey, Bound, Change, Instance, Issue, LastOperation, Made, Offer, OperationState, Order,
    Overview, Patience, Phase, Plan, Promise, Provision, Refusal, Reply, SecretText, Step, Unbound, Wanted,
};
use crate::clock::{self, Due};
use crate::event;
use crate::ids::{ServiceBindingId, ServiceInstanceId};

/// How many instances there can be, and how many bindings: 10,000. Records are held in memory.
const MOST: usize = 10_000;

impl BrokerLoop {
    /// Judges a request, and answers it, now or later.
    pub(super) async fn take(&mut self, order: Order) {
        // Whoever has gone meanwhile is not answered; what was asked for is done all the same.
        match order {
            Order::Provision(id, wanted, reply) => drop(reply.send(self.provision(id, wanted).await)),
            Order::Instance(id, reply) => drop(reply.send(self.instance(&id))),
            Order::Update(id, wanted, reply) => drop(reply.send(self.update(&id, wanted.as_ref()))),
            Order::Deprovision(id, wanted, reply) => drop(reply.send(self.deprovision(id, &wanted).await)),
            Order::Bind(instance, binding, wanted, reply) => {
                self.bind(BindingKey { instance, binding }, wanted, reply).await;
            }
            Order::Binding(instance, binding, reply) => {
                drop(reply.send(self.binding(&BindingKey { instance, binding })));
            }
            Order::Unbind(instance, binding, wanted, patience, reply) => {
                self.unbind(BindingKey { instance, binding }, &wanted, patience, reply).await;
            }
            Order::LastOperation(instance, binding, reply) => {
                drop(reply.send(self.last_operation(&BindingKey { instance, binding })));
            }
            Order::Overview(reply) => drop(reply.send(self.overview())),
        }
        self.show();
    }

    fn ready(&self) -> Result<(), Refusal> {
        if self.store.is_some() { Ok(()) } else { Err(self.lacks.clone()) }
    }

    /// The plan that a request names.
    fn plan(&self, wanted: &Wanted) -> Result<&Plan, Refusal> {
        let Some(catalog) = &self.catalog else {
            return Err(Refusal::Unavailable {
                why: "The plane has not given its list of applications yet.".into(),
                ask_again_in: None,
            });
        };
        let service = catalog.service(&wanted.service).ok_or_else(|| {
            Refusal::BadRequest(format!("There is no service with the id {:?} in the catalog.", wanted.service))
        })?;
        service.plan(&wanted.plan).ok_or_else(|| {
            Refusal::BadRequest(format!("The service has no plan with the id {:?} in the catalog.", wanted.plan))
        })
    }

    async fn provision(&mut self, id: ServiceInstanceId, wanted: Provision) -> Result<Made, Refusal> {
        self.ready()?;
        if let Some(known) = self.records.instances.get(&id) {
            return if known.attributes == wanted.attributes && is_of(&known.offer, &wanted.wanted) {
                Ok(Made::Before)
            } else {
                Err(Refusal::Conflict("There is an instance of this id that was made with other attributes.".into()))
            };
        }
        let offer = self.plan(&wanted.wanted)?.offer();
        if self.records.instances.len() >= MOST {
            return Err(Refusal::TooMany(format!("There are {MOST} instances, which is the limit.")));
        }
        let instance = Instance { offer, attributes: wanted.attributes, created_at: self.now() };
        self.commit(vec![Change::PutInstance(id.clone(), instance)]).await?;
        event::Broker::Provisioned(&id).emit();
        Ok(Made::Now)
    }

    fn instance(&self, id: &ServiceInstanceId) -> Result<Offer, Refusal> {
        self.ready()?;
        let known = self.records.instances.get(id).map(|instance| instance.offer.clone());
        known.ok_or_else(|| Refusal::NotFound("There is no instance of this id.".into()))
    }

    fn update(&self, id: &ServiceInstanceId, wanted: Option<&Wanted>) -> Result<(), Refusal> {
        self.ready()?;
        let known = self.records.instances.get(id);
        let known = known.ok_or_else(|| Refusal::BadRequest("There is no instance of this id.".into()))?;
        let Some(wanted) = wanted else { return Ok(()) };
        if known.offer.service.as_str() != wanted.service {
            return Err(Refusal::BadRequest("The instance is of another service.".into()));
        }
        if known.offer.plan.as_str() == wanted.plan {
            return Ok(());
        }
        self.plan(wanted)?;
        Err(Refusal::Unsupported("An instance stays with the plan that it was made with.".into()))
    }

    async fn deprovision(&mut self, id: ServiceInstanceId, wanted: &Wanted) -> Result<(), Refusal> {
        self.ready()?;
        let Some(known) = self.records.instances.get(&id) else {
            return Err(Refusal::Gone("There is no instance of this id.".into()));
        };
        if !is_of(&known.offer, wanted) {
            return Err(Refusal::BadRequest("The instance is of another service or plan.".into()));
        }
        let mut bindings = self.records.bindings.iter().filter(|(key, _)| key.instance == id);
        let left = bindings.find(|(_, binding)| !matches!(binding.phase, Phase::Gone { .. }));
        match left.map(|(key, binding)| (&key.binding, &binding.phase)) {
            None => {}
            Some((binding, Phase::Asking { .. } | Phase::Returning { .. })) => {
                return Err(Refusal::Concurrency(format!(
                    "Something is being done with the binding {binding} of this instance; ask again later."
                )));
            }
            Some((binding, _)) => {
                return Err(Refusal::BadRequest(format!(
                    "The instance has bindings, {binding} among them: delete them first."
                )));
            }
        }
        self.commit(vec![Change::RemoveInstance(id.clone())]).await?;
        event::Broker::Deprovisioned(&id).emit();
        Ok(())
    }

    async fn bind(&mut self, key: BindingKey, wanted: Bind, reply: Reply<Bound>) {
        let now = self.now();
        let judged = match self.ready() {
            Ok(()) => {
                match self.records.bindings.get(&key).filter(|known| !matches!(known.phase, Phase::Gone { .. })) {
                    Some(known) => self.bind_again(&key, known, &wanted),
                    None => self.bind_anew(&key, &wanted).map(Judged::Begins),
                }
            }
            Err(refusal) => Err(refusal),
        };
        let binding = match judged {
            Err(refusal) => return drop(reply.send(Err(refusal))),
            Ok(Judged::Answer(answer)) => return drop(reply.send(Ok(answer))),
            Ok(Judged::Joins(binding)) => binding,
            Ok(Judged::Begins(binding)) => Some(binding),
        };
        if let Some(binding) = binding {
            let begins = !self.works.contains_key(&key)
                || self.records.bindings.get(&key).is_none_or(|known| matches!(known.phase, Phase::Gone { .. }));
            if let Err(refusal) = self.commit(vec![Change::PutBinding(key.clone(), binding)]).await {
                return drop(reply.send(Err(refusal)));
            }
            if begins {
                self.works.insert(key.clone(), Work { due: Some(Due::now(now)), ..Work::default() });
            }
        }
        let work = self.works.entry(key).or_default();
        work.waiters.push(Waiter::for_credentials(now, wanted.patience, reply));
    }

    /// A request for a binding that there is.
    fn bind_again(&self, key: &BindingKey, known: &Binding, wanted: &Bind) -> Result<Judged, Refusal> {
        if known.attributes != wanted.attributes || !is_of(&known.offer, &wanted.wanted) {
            return Err(Refusal::Conflict("There is a binding of this id that was made with other attributes.".into()));
        }
        match (&known.phase, wanted.patience) {
            (Phase::Ready { credentials, .. }, _) => {
                Ok(Judged::Answer(Bound::Here { made: Made::Before, body: credentials.clone() }))
            }
            (Phase::Waiting { .. }, Patience::LooksLater) => {
                Ok(Judged::Answer(Bound::UnderWay(known.operation.clone())))
            }
            (Phase::Waiting { .. }, Patience::Waits) => Err(Refusal::Concurrency(
                "The application has been asked for the credentials of this binding, and has not answered yet.".into(),
            )),
            (Phase::Asking { promise }, patience) => {
                let waited_for =
                    self.works.get(key).is_some_and(|work| !work.waiters.is_empty() || work.busy.is_some());
                match (promise, patience) {
                    (Promise::Made, Patience::LooksLater) if !waited_for => {
                        Ok(Judged::Answer(Bound::UnderWay(known.operation.clone())))
                    }
                    (Promise::NotMade, Patience::LooksLater) => {
                        let mut promised = known.clone();
                        promised.phase = Phase::Asking { promise: Promise::Made };
                        Ok(Judged::Joins(Some(promised)))
                    }
                    (Promise::Made, _) | (Promise::NotMade, Patience::Waits) => Ok(Judged::Joins(None)),
                }
            }
            (Phase::Failed { why, .. } | Phase::Kept { why, .. }, _) => Err(Refusal::Conflict(format!(
                "There is a binding of this id without credentials: {why}. Delete it first."
            ))),
            (Phase::Returning { .. } | Phase::Gone { .. }, _) => {
                Err(Refusal::Concurrency("The binding of this id is being deleted; ask again later.".into()))
            }
        }
    }

    /// A request for a binding that there is not.
    fn bind_anew(&self, key: &BindingKey, wanted: &Bind) -> Result<Binding, Refusal> {
        let instance = self.records.instances.get(&key.instance);
        let instance =
            instance.ok_or_else(|| Refusal::BadRequest("There is no instance of this id; make it first.".into()))?;
        if !is_of(&instance.offer, &wanted.wanted) {
            return Err(Refusal::BadRequest("The instance is of another service or plan.".into()));
        }
        let plan = self.plan(&wanted.wanted)?;
        if !plan.is_bindable() {
            return Err(Refusal::BadRequest("The plan has no APIs, so there is nothing to bind.".into()));
        }
        let predecessor = wanted.predecessor.as_ref().map(|id| self.predecessor(key, id, plan)).transpose()?;
        let promise = match (plan.issue(), wanted.patience) {
            (Issue::OnRequest, Patience::Waits) => {
                return Err(Refusal::AsyncRequired(
                    "The application is asked for credentials, which takes time: the request has to say \
                     accepts_incomplete=true."
                        .into(),
                ));
            }
            (_, Patience::LooksLater) => Promise::Made,
            (Issue::AtOnce, Patience::Waits) => Promise::NotMade,
        };
        let Some(plane) = &self.plane else {
            return Err(Refusal::Unavailable {
                why: "This host is not paired with a management plane, or the plane cannot be asked.".into(),
                ask_again_in: None,
            });
        };
        let now = self.now();
        if let Some(until) = self.left_alone_until.filter(|until| !until.is_over(now)) {
            return Err(Refusal::Unavailable {
                why: "The plane asked to be left alone for a while.".into(),
                ask_again_in: Some(clock::until(now, until.at(now))),
            });
        }
        if self.records.bindings.len() >= MOST {
            return Err(Refusal::TooMany(format!("There are {MOST} bindings, which is the limit.")));
        }
        Ok(Binding {
            offer: instance.offer.clone(),
            runtime: plane.runtime.clone(),
            attributes: wanted.attributes,
            parameters: wanted.parameters.clone().or_else(|| predecessor.and_then(|before| before.parameters.clone())),
            predecessor: wanted.predecessor.clone(),
            created_at: now,
            operation: operation(),
            phase: Phase::Asking { promise },
        })
    }

    fn predecessor(&self, key: &BindingKey, id: &ServiceBindingId, plan: &Plan) -> Result<&Binding, Refusal> {
        if plan.issue() == Issue::AtOnce {
            return Err(Refusal::BadRequest(
                "The credentials of this plan are the same for all bindings, so they are not rotated by another one."
                    .into(),
            ));
        }
        let before = BindingKey { instance: key.instance.clone(), binding: id.clone() };
        let known = self.records.bindings.get(&before).filter(|known| matches!(known.phase, Phase::Ready { .. }));
        known.ok_or_else(|| {
            Refusal::BadRequest(format!("The instance has no binding {id} with credentials that could be replaced."))
        })
    }

    fn binding(&self, key: &BindingKey) -> Result<SecretText, Refusal> {
        self.ready()?;
        match self.records.bindings.get(key).map(|known| &known.phase) {
            Some(Phase::Ready { credentials, .. }) => Ok(credentials.clone()),
            Some(Phase::Asking { .. } | Phase::Waiting { .. }) => {
                Err(Refusal::NotFound("The credentials of this binding are not there yet.".into()))
            }
            Some(Phase::Failed { why, .. }) => {
                Err(Refusal::NotFound(format!("The binding has no credentials: {why}.")))
            }
            Some(Phase::Returning { .. } | Phase::Kept { .. }) => {
                Err(Refusal::NotFound("The binding is being deleted.".into()))
            }
            Some(Phase::Gone { .. }) | None => Err(Refusal::NotFound("There is no binding of this id.".into())),
        }
    }

    async fn unbind(&mut self, key: BindingKey, wanted: &Wanted, patience: Patience, reply: Reply<Unbound>) {
        let now = self.now();
        let next = match self.judge_unbind(&key, wanted, patience) {
            Err(refusal) => return drop(reply.send(Err(refusal))),
            Ok(next) => next,
        };
        if let Some(binding) = next {
            let gone = matches!(binding.phase, Phase::Gone { .. });
            if let Err(refusal) = self.commit(vec![Change::PutBinding(key.clone(), binding)]).await {
                return drop(reply.send(Err(refusal)));
            }
            let work = self.works.entry(key.clone()).or_default();
            (work.due, work.tries) = (Some(Due::now(now)), 0);
            if gone {
                event::Broker::Gone(&key).emit();
                return drop(reply.send(Ok(Unbound::Gone)));
            }
        }
        if !self.may_ask(now) {
            // It is written down, and done as soon as the plane can be asked.
            let known = self.records.bindings.get(&key);
            let answer = match (known, patience) {
                (Some(known), Patience::LooksLater) => Ok(Unbound::UnderWay(known.operation.clone())),
                (Some(_), Patience::Waits) | (None, _) => Err(Refusal::Unavailable {
                    why: "The plane cannot be asked now; the credentials are given back as soon as it can.".into(),
                    ask_again_in: None,
                }),
            };
            return drop(reply.send(answer));
        }
        let work = self.works.entry(key).or_default();
        work.waiters.push(Waiter::for_the_end(now, patience, reply));
    }

    /// What a binding becomes whose end is asked for; nothing, where it is on its way there already.
    fn judge_unbind(&self, key: &BindingKey, wanted: &Wanted, patience: Patience) -> Result<Option<Binding>, Refusal> {
        self.ready()?;
        let known = self.records.bindings.get(key).filter(|known| !matches!(known.phase, Phase::Gone { .. }));
        let Some(known) = known else { return Err(Refusal::Gone("There is no binding of this id.".into())) };
        if !is_of(&known.offer, wanted) {
            return Err(Refusal::BadRequest("The binding is of another service or plan.".into()));
        }
        if matches!(known.phase, Phase::Returning { .. }) {
            return Ok(None);
        }
        if self.works.get(key).is_some_and(|work| work.busy == Some(Step::Ask)) {
            return Err(Refusal::Concurrency("The binding is just being made; ask again later.".into()));
        }
        let issue = self.catalog.as_ref().and_then(|catalog| catalog.plan_of(&known.offer)).map(Plan::issue);
        let takes_time = matches!(known.phase, Phase::Waiting { .. } | Phase::Ready { .. } | Phase::Kept { .. });
        if takes_time && issue == Some(Issue::OnRequest) && patience == Patience::Waits {
            return Err(Refusal::AsyncRequired(
                "The application has to revoke the credentials, which takes time: the request has to say \
                 accepts_incomplete=true."
                    .into(),
            ));
        }
        let mut next = known.clone();
        next.phase = self.give_back_here(&known.phase, &known.runtime);
        next.operation = operation();
        Ok(Some(next))
    }

    fn last_operation(&self, key: &BindingKey) -> Result<LastOperation, Refusal> {
        self.ready()?;
        let known = self.records.bindings.get(key);
        let known = known.ok_or_else(|| Refusal::NotFound("There is no binding of this id.".into()))?;
        let (state, description) = match &known.phase {
            Phase::Asking { .. } => (OperationState::InProgress, "The plane is asked for credentials.".to_owned()),
            Phase::Waiting { .. } => {
                (OperationState::InProgress, "The application has been asked for credentials.".to_owned())
            }
            Phase::Ready { .. } => (OperationState::Succeeded, "The credentials are there.".to_owned()),
            Phase::Failed { why, .. } => (OperationState::Failed, format!("There are no credentials: {why}.")),
            Phase::Returning { .. } => (OperationState::InProgress, "The credentials are given back.".to_owned()),
            Phase::Kept { why, .. } => {
                (OperationState::Failed, format!("The plane does not take the credentials back: {why}."))
            }
            Phase::Gone { .. } => (OperationState::Succeeded, "The credentials are given back.".to_owned()),
        };
        let now = self.now();
        let due = self.works.get(key).and_then(|work| work.due).filter(|_| state == OperationState::InProgress);
        let ask_again_in = due.map(|due| clock::until(now, due.at(now)));
        Ok(LastOperation { state, description, ask_again_in })
    }

    fn overview(&self) -> Result<Arc<Overview>, Refusal> {
        self.ready()?;
        let catalog = self.catalog.as_deref();
        Ok(Arc::new(Overview::of(&self.records, catalog, self.orphans.rows())))
    }
}

/// What comes of a request for a binding that is granted.
enum Judged {
    /// It is answered.
    Answer(Bound),
    /// It waits with others, for a binding that may have to be changed for it.
    Joins(Option<Binding>),
    /// It is the first.
    Begins(Binding),
}

fn is_of(offer: &Offer, wanted: &Wanted) -> bool {
    offer.service.as_str() == wanted.service && offer.plan.as_str() == wanted.plan
}
