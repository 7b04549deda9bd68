//! From an application to the folder that describes it, and the names that are given inside.

use std::collections::BTreeMap;

use super::credentials;
use super::folder::{Folder, PUBLIC, SECRET, json};
use super::manifest::Slug;
use super::names::assign;
use super::public::{ApplicationFile, BundleFile};
use crate::ids::{ApplicationId, BundleId, DefinitionId};
use crate::snapshot::{ApiDefinition, Application, Bundle, Naming};

/// The names that were given to things of one kind, and what they were made from.
pub(crate) type Given<Id> = BTreeMap<Id, (String, Slug)>;

/// All names of a generation.
#[derive(Debug, Default)]
pub struct Names {
    /// The applications' folders.
    pub(crate) applications: Given<ApplicationId>,
    /// What was given inside each application.
    pub(crate) inside: BTreeMap<ApplicationId, ApplicationNames>,
}

/// The names inside an application.
#[derive(Debug, Default)]
pub(crate) struct ApplicationNames {
    /// The bundles' folders.
    pub(crate) bundles: Given<BundleId>,
    /// The keys of each bundle's APIs.
    pub(crate) apis: BTreeMap<BundleId, Given<DefinitionId>>,
}

/// Two things of an application have the same id, so the snapshot does not describe one state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the application {application} lists {what} twice, so nothing is published")]
pub struct RepeatedPart {
    /// The application.
    pub application: ApplicationId,
    /// What is there twice, with its id.
    pub what: String,
}

impl Names {
    /// The names for these applications. Whatever was named before keeps its name as far as the rule allows.
    ///
    /// # Errors
    /// When an application lists something twice.
    pub fn assign(&self, applications: &[Application]) -> Result<Self, RepeatedPart> {
        let empty = ApplicationNames::default();
        let mut inside = BTreeMap::new();
        for application in applications {
            let before = self.inside.get(&application.id).unwrap_or(&empty);
            inside.insert(application.id.clone(), ApplicationNames::assign(application, before)?);
        }
        let names = applications.iter().map(|application| (application.id.clone(), application.name.to_string()));
        Ok(Self { applications: given("app", &self.applications, names.collect()), inside })
    }
}

impl ApplicationNames {
    fn assign(application: &Application, before: &Self) -> Result<Self, RepeatedPart> {
        let repeated = |what| RepeatedPart { application: application.id.clone(), what };
        let mut bundles = BTreeMap::new();
        let mut apis = BTreeMap::new();
        let empty = Given::new();
        for bundle in &application.bundles {
            if bundles.insert(bundle.id.clone(), bundle.name.to_string()).is_some() {
                return Err(repeated(format!("the bundle {}", bundle.id)));
            }
            let mut names = BTreeMap::new();
            for api in &bundle.apis {
                if names.insert(api.id.clone(), api.name.to_string()).is_some() {
                    return Err(repeated(format!("the API {}", api.id)));
                }
            }
            apis.insert(bundle.id.clone(), given("api", before.apis.get(&bundle.id).unwrap_or(&empty), names));
        }
        Ok(Self { bundles: given("bundle", &before.bundles, bundles), apis })
    }

    /// The bundles of the application that these names were given for, in the order of their ids, with their folders.
    pub(crate) fn bundles_of<'a>(
        &'a self,
        application: &'a Application,
    ) -> impl Iterator<Item = (&'a Bundle, &'a Slug)> {
        let bundles: BTreeMap<_, _> = application.bundles.iter().map(|bundle| (&bundle.id, bundle)).collect();
        self.bundles.iter().filter_map(move |(id, (_, slug))| Some((*bundles.get(id)?, slug)))
    }

    /// The APIs of a bundle of that application, in the order of their ids, with their keys.
    pub(crate) fn apis_of<'a>(&'a self, bundle: &'a Bundle) -> impl Iterator<Item = (&'a ApiDefinition, &'a Slug)> {
        let apis: BTreeMap<_, _> = bundle.apis.iter().map(|api| (&api.id, api)).collect();
        let given = self.apis.get(&bundle.id).into_iter().flatten();
        given.filter_map(move |(id, (_, slug))| Some((*apis.get(id)?, slug)))
    }
}

fn given<Id: Ord + Clone + std::fmt::Display>(
    word: &str,
    previous: &Given<Id>,
    mut names: BTreeMap<Id, String>,
) -> Given<Id> {
    let slugs = assign(word, previous, names.clone());
    slugs
        .into_iter()
        .map(|(id, slug)| {
            let name = names.remove(&id).unwrap_or_default();
            (id, (name, slug))
        })
        .collect()
}

/// The folder of an application, under the names that were given for it.
pub(super) fn folder(application: &Application, naming: Naming, names: &ApplicationNames) -> Folder {
    let mut folder = Folder::default();
    folder.insert("application.json".to_owned(), PUBLIC, json(&ApplicationFile::new(application, naming, names)));
    for (bundle, slug) in names.bundles_of(application) {
        let (secret_json, secret_env) = credentials::files(bundle, names);
        folder.insert(format!("bundles/{slug}/bundle.json"), PUBLIC, json(&BundleFile::new(bundle, names)));
        folder.insert(format!("bundles/{slug}/credentials.json"), SECRET, secret_json);
        folder.insert(format!("bundles/{slug}/credentials.env"), SECRET, secret_env);
    }
    folder
}
