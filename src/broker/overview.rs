//! All instances and bindings for people, as `runtime-agent broker` shows them: without any credentials.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, Issue, Plan, Service};
use super::record::{Binding, BindingKey, Instance, Offer, Phase};
use super::store::Records;
use crate::ids::{ApplicationId, BundleId, InstanceAuthId, ServiceBindingId, ServiceInstanceId};

/// Everything that there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// The services of the catalog; nothing, before the plane has given its list.
    pub services: Option<Vec<ServiceRow>>,
    /// The instances.
    pub instances: Vec<InstanceRow>,
    /// The bindings.
    pub bindings: Vec<BindingRow>,
    /// Instance auths of this runtime at the plane that no binding here stands for.
    pub orphans: Vec<OrphanRow>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRow {
    /// The application's id.
    pub id: ApplicationId,
    /// Its name in the catalog.
    pub name: String,
    /// Its plans.
    pub plans: Vec<PlanRow>,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRow {
    /// The bundle's id.
    pub id: BundleId,
    /// Its name in the catalog.
    pub name: String,
    /// How credentials of it are had.
    pub credentials: Availability,
}

/// How credentials of a plan are had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Availability {
    /// They are there at once.
    AtOnce,
    /// The application is asked for them.
    OnRequest,
    /// It has no APIs, so there is nothing to call with any.
    None,
}

impl Availability {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtOnce => "at-once",
            Self::OnRequest => "on-request",
            Self::None => "none",
        }
    }

    fn of(plan: &Plan) -> Self {
        match plan.issue() {
            _ if !plan.is_bindable() => Self::None,
            Issue::AtOnce => Self::AtOnce,
            Issue::OnRequest => Self::OnRequest,
        }
    }
}

/// What a service and a plan of it are called in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferNames {
    /// The service.
    pub service: String,
    /// The plan.
    pub plan: String,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRow {
    /// Its id.
    pub id: ServiceInstanceId,
    /// What it is of.
    #[serde(flatten)]
    pub offer: Offer,
    /// What that is called, where the catalog still has it.
    pub names: Option<OfferNames>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A binding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BindingRow {
    /// Its instance.
    pub instance: ServiceInstanceId,
    /// Its id.
    pub id: ServiceBindingId,
    /// What is bound.
    #[serde(flatten)]
    pub offer: Offer,
    /// What that is called, where the catalog still has it.
    pub names: Option<OfferNames>,
    /// Where it is in its life, in one word: see [`Phase::as_str`].
    pub phase: String,
    /// Why it is there, where there is something to say.
    pub why: Option<String>,
    /// The instance auth at the plane, where it is known.
    pub auth: Option<InstanceAuthId>,
    /// The binding that it replaces.
    pub predecessor: Option<ServiceBindingId>,
    /// When it was asked for.
    pub created_at: Timestamp,
}

/// An instance auth at the plane that no binding here stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrphanRow {
    /// Its id at the plane.
    pub auth: InstanceAuthId,
    /// What it is for.
    #[serde(flatten)]
    pub offer: Offer,
    /// The binding that it was asked for.
    pub binding: String,
}

impl Overview {
    /// What is remembered, under the names of the catalog. What is gone is left out.
    pub fn of(records: &Records, catalog: Option<&Catalog>, orphans: Vec<OrphanRow>) -> Self {
        let there = |(_, binding): &(&BindingKey, &Binding)| !matches!(binding.phase, Phase::Gone { .. });
        Self {
            services: catalog.map(|catalog| catalog.services().map(ServiceRow::of).collect()),
            instances: records.instances.iter().map(|(id, instance)| InstanceRow::of(id, instance, catalog)).collect(),
            bindings: records
                .bindings
                .iter()
                .filter(there)
                .map(|(key, binding)| BindingRow::of(key, binding, catalog))
                .collect(),
            orphans,
        }
    }
}

impl ServiceRow {
    fn of(service: &Service) -> Self {
        let plan = |plan: &Plan| PlanRow {
            id: plan.id().clone(),
            name: plan.name().to_string(),
            credentials: Availability::of(plan),
        };
        Self { id: service.id().clone(), name: service.name().to_string(), plans: service.plans().map(plan).collect() }
    }
}

impl OfferNames {
    fn of(offer: &Offer, catalog: Option<&Catalog>) -> Option<Self> {
        let service = catalog?.service(offer.service.as_str())?;
        let plan = service.plan(offer.plan.as_str())?;
        Some(Self { service: service.name().to_string(), plan: plan.name().to_string() })
    }
}

impl InstanceRow {
    fn of(id: &ServiceInstanceId, instance: &Instance, catalog: Option<&Catalog>) -> Self {
        Self {
            id: id.clone(),
            offer: instance.offer.clone(),
            names: OfferNames::of(&instance.offer, catalog),
            created_at: instance.created_at,
        }
    }
}

impl BindingRow {
    fn of(key: &BindingKey, binding: &Binding, catalog: Option<&Catalog>) -> Self {
        let why = match &binding.phase {
            Phase::Failed { why, .. } | Phase::Kept { why, .. } => Some(why.to_string()),
            Phase::Asking { .. }
            | Phase::Waiting { .. }
            | Phase::Ready { .. }
            | Phase::Returning { .. }
            | Phase::Gone { .. } => None,
        };
        Self {
            instance: key.instance.clone(),
            id: key.binding.clone(),
            offer: binding.offer.clone(),
            names: OfferNames::of(&binding.offer, catalog),
            phase: binding.phase.as_str().to_owned(),
            why,
            auth: binding.phase.auth().cloned(),
            predecessor: binding.predecessor.clone(),
            created_at: binding.created_at,
        }
    }
}
