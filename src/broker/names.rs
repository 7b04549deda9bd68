//! The names of services and plans: easy to type, unique where they are shown, and kept as long as their sources spell
//! the same.
//!
//! The rule is that of the published folders, see [`crate::output::names`]: nothing but `[a-z0-9-]`, and whoever has a
//! name keeps it, whatever others are called later. Services share their names with nobody, plans with none of their
//! service.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{ApplicationId, BundleId};
use crate::output::manifest::Slug;
use crate::output::{Given, given};
use crate::snapshot::{Application, Bundle};

/// The names that were given, and what they were made from; to be kept, so that they hold over restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenNames {
    services: Given<ApplicationId>,
    plans: BTreeMap<ApplicationId, Given<BundleId>>,
}

impl GivenNames {
    /// The names for what these applications offer. Whatever was named before keeps its name as far as the rule allows, and
    /// what is no longer listed is forgotten.
    #[must_use]
    pub fn assign(&self, applications: &[Application]) -> Self {
        let applications = || applications.iter().filter(|application| !application.bundles.is_empty());
        let names = applications().map(|application| (application.id.clone(), application.name.to_string()));
        let nothing = Given::new();
        let plans = applications().map(|application| {
            let before = self.plans.get(&application.id).unwrap_or(&nothing);
            let names = application.bundles.iter().map(|bundle| (bundle.id.clone(), bundle.name.to_string()));
            (application.id.clone(), given("plan", before, names.collect()))
        });
        Self { services: given("service", &self.services, names.collect()), plans: plans.collect() }
    }

    /// The name of a service.
    pub fn service(&self, id: &ApplicationId) -> Option<&Slug> {
        self.services.get(id).map(|(_, name)| name)
    }

    /// The plans of an application that these names were given for, in the order of their ids. Where an id occurs
    /// twice, the last one counts.
    pub(super) fn plans_of<'a>(&'a self, application: &'a Application) -> impl Iterator<Item = (&'a Bundle, &'a Slug)> {
        let bundles: BTreeMap<_, _> = application.bundles.iter().map(|bundle| (&bundle.id, bundle)).collect();
        let given = self.plans.get(&application.id).into_iter().flatten();
        given.filter_map(move |(id, (_, name))| Some((*bundles.get(id)?, name)))
    }
}
