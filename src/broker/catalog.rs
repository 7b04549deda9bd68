//! The catalog: each application with bundles is a service, and each of its bundles a plan.
//!
//! A catalog is made once for a snapshot, with the bytes of the answer and their tag, and is only read after that. The ids
//! are the plane's. What the broker has to know of a plan is found by these ids; everything for people is in the bytes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use axum::body::Bytes;

use super::entry::{Page, ServiceEntry};
use super::etag::ETag;
use super::names::GivenNames;
use super::record::Offer;
use super::targets::Api;
use crate::ids::{ApplicationId, BundleId};
use crate::output::Names;
use crate::output::manifest::Slug;
use crate::snapshot::{ApiDefinition, Application, Bundle, EventDefinition};

/// What platforms may ask for.
pub struct Catalog {
    services: BTreeMap<ApplicationId, Service>,
    names: GivenNames,
    body: Bytes,
    etag: ETag,
}

/// A service: an application with at least one bundle.
#[derive(Debug)]
pub struct Service {
    id: ApplicationId,
    name: Slug,
    plans: BTreeMap<BundleId, Plan>,
}

/// A plan: a bundle.
#[derive(Debug)]
pub struct Plan {
    service: ApplicationId,
    id: BundleId,
    name: Slug,
    issue: Issue,
    apis: Vec<Api>,
}

/// When a request for credentials is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// At once, for the bundle has credentials that serve every runtime.
    AtOnce,
    /// When the application has made some, which takes a while.
    OnRequest,
}

/// Where the texts of specifications lie on this host.
#[derive(Debug, Clone, Copy)]
pub struct SpecificationFiles<'a> {
    /// The folder of the published files: `config/current`, as its readers know it.
    pub current: &'a Path,
    /// The names of what is published there.
    pub names: &'a Names,
}

impl Catalog {
    /// Makes the catalog of what a snapshot lists. What had a name `before` keeps it as long as its source spells the same. The
    /// catalog does not depend on the order in which the plane lists things.
    pub fn new(applications: &[Application], before: &GivenNames, files: &SpecificationFiles<'_>) -> Self {
        let names = before.assign(applications);
        let listed = applications.iter();
        let listed = listed.filter_map(|application| Some((application, Service::new(application, &names)?)));
        let listed: Vec<_> = listed.collect();
        let entries = listed.iter().map(|(application, service)| {
            let plans = names.plans_of(application);
            let plans = plans.filter_map(|(bundle, _)| Some((bundle, service.plans.get(&bundle.id)?)));
            ServiceEntry::new(application, service, plans, files)
        });
        let page = Page { services: entries.collect() };
        // Its keys are texts, and its values come from JSON or are made here.
        let body = Bytes::from(serde_json::to_vec(&page).expect("a catalog has nothing that JSON cannot hold"));
        let services = listed.into_iter().map(|(_, service)| (service.id.clone(), service)).collect();
        Self { services, names, etag: ETag::of(&body), body }
    }

    /// The service with this id, as a platform gives it.
    pub fn service(&self, id: &str) -> Option<&Service> {
        self.services.get(&id.parse().ok()?)
    }

    /// The plan that is offered as this, if it still is.
    pub fn plan_of(&self, offer: &Offer) -> Option<&Plan> {
        self.services.get(&offer.service)?.plans.get(&offer.plan)
    }

    /// All services, in the order of their ids.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// The names that were given, to be kept for the next catalog.
    pub fn names(&self) -> &GivenNames {
        &self.names
    }

    /// The answer to `GET /v2/catalog`: JSON, the same bytes for the same state. Nothing is copied.
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// The tag of that answer.
    pub fn etag(&self) -> &ETag {
        &self.etag
    }
}

// Without the bytes, which are long.
impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("services", &self.services).field("etag", &self.etag).finish_non_exhaustive()
    }
}

impl Service {
    fn new(application: &Application, names: &GivenNames) -> Option<Self> {
        let plan = |(bundle, name): (&Bundle, &Slug)| (bundle.id.clone(), Plan::new(application, bundle, name));
        Some(Self {
            id: application.id.clone(),
            name: names.service(&application.id)?.clone(),
            plans: names.plans_of(application).map(plan).collect(),
        })
    }

    /// The application that it is.
    pub fn id(&self) -> &ApplicationId {
        &self.id
    }

    /// Its name in the catalog.
    pub fn name(&self) -> &Slug {
        &self.name
    }

    /// The plan of this service with this id, as a platform gives it.
    pub fn plan(&self, id: &str) -> Option<&Plan> {
        self.plans.get(&id.parse().ok()?)
    }

    /// All its plans, in the order of their ids.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values()
    }
}

impl Plan {
    fn new(application: &Application, bundle: &Bundle, name: &Slug) -> Self {
        let apis: BTreeMap<_, _> = bundle.apis.iter().map(|api| (&api.id, api)).collect();
        Self {
            service: application.id.clone(),
            id: bundle.id.clone(),
            name: name.clone(),
            issue: if bundle.default_auth.is_some() { Issue::AtOnce } else { Issue::OnRequest },
            apis: apis.into_values().map(Api::from).collect(),
        }
    }

    /// What it is in records.
    pub fn offer(&self) -> Offer {
        Offer { service: self.service.clone(), plan: self.id.clone() }
    }

    /// The application that it belongs to.
    pub fn service(&self) -> &ApplicationId {
        &self.service
    }

    /// The bundle that it is.
    pub fn id(&self) -> &BundleId {
        &self.id
    }

    /// Its name in the catalog.
    pub fn name(&self) -> &Slug {
        &self.name
    }

    /// Whether there is anything to call with credentials. A bundle of events alone has nothing.
    pub fn is_bindable(&self) -> bool {
        !self.apis.is_empty()
    }

    /// When a request for credentials is answered.
    pub fn issue(&self) -> Issue {
        self.issue
    }

    /// The APIs that its credentials are for, in the order of their ids.
    pub fn apis(&self) -> &[Api] {
        &self.apis
    }
}

impl SpecificationFiles<'_> {
    pub(super) fn of_api(&self, application: &Application, bundle: &Bundle, api: &ApiDefinition) -> Option<String> {
        // Where nothing was read, no name is looked for.
        api.specification.as_ref()?.reading?.text?;
        let inside = self.names.inside(application).ok()?;
        self.below(&self.names.api_text(&application.id, &inside, &bundle.id, api)?)
    }

    pub(super) fn of_event(
        &self,
        application: &Application,
        bundle: &Bundle,
        event: &EventDefinition,
    ) -> Option<String> {
        event.specification.as_ref()?.reading?.text?;
        let inside = self.names.inside(application).ok()?;
        self.below(&self.names.event_text(&application.id, &inside, &bundle.id, event)?)
    }

    /// A path that is no text cannot be told in JSON.
    fn below(&self, path: &str) -> Option<String> {
        self.current.join(path).to_str().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests;
