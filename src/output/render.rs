//! From an application to the folder that describes it, and the names that are given inside.

use std::collections::BTreeMap;

use super::bindings::{self, Bindings};
use super::credentials;
use super::folder::{Folder, PRIVATE, PUBLIC, SECRET, json};
use super::manifest::Slug;
use super::names::assign;
use super::public::{ApplicationFile, BundleFile};
use crate::disk::DiskError;
use crate::ids::{ApplicationId, BundleId, DefinitionId, InstanceAuthId};
use crate::snapshot::{
    ApiDefinition, Application, Binding, Bundle, Document, EventDefinition, Naming, Sha256, Snapshot, Specification,
};

/// The names that were given to things of one kind, and what they were made from.
pub(crate) type Given<Id> = BTreeMap<Id, (String, Slug)>;

/// All names of a generation.
#[derive(Debug, Default)]
pub struct Names {
    /// The applications' folders.
    pub(crate) applications: Given<ApplicationId>,
    /// What was given inside those applications whose names follow from the past, or may: those of all others follow
    /// from what they are, and are made when they are asked for. They would take as much memory as all else together.
    pub(crate) inside: BTreeMap<ApplicationId, ApplicationNames>,
}

/// The names inside an application.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ApplicationNames {
    /// The bundles' folders.
    pub(crate) bundles: Given<BundleId>,
    /// The keys of each bundle's APIs.
    pub(crate) apis: BTreeMap<BundleId, Given<DefinitionId>>,
    /// The keys of each bundle's events.
    pub(crate) events: BTreeMap<BundleId, Given<DefinitionId>>,
    /// The keys of each bundle's documents.
    pub(crate) documents: BTreeMap<BundleId, Given<DefinitionId>>,
    /// The names of each bundle's bindings, by their instance auths: one binding can have two, one after the other.
    pub(crate) bindings: BTreeMap<BundleId, Given<InstanceAuthId>>,
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

/// Why there are no names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NamesError {
    /// An application lists something twice.
    #[error(transparent)]
    Repeated(#[from] RepeatedPart),
    /// An application cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl Names {
    /// The names for these applications. Whatever was named before keeps its name as far as the rule allows. Blocks.
    ///
    /// # Errors
    /// When an application lists something twice, or cannot be read.
    pub fn assign(&self, snapshot: &Snapshot) -> Result<Self, NamesError> {
        let mut names = self.assign_folders(snapshot);
        for application in snapshot.applications() {
            let application = application?;
            let before = self.inside.get(&application.id);
            names.take(&application, ApplicationNames::assign(&application, before.unwrap_or_default())?)?;
        }
        Ok(names)
    }

    /// The names of the applications' folders alone.
    pub(super) fn assign_folders(&self, snapshot: &Snapshot) -> Self {
        let names = snapshot.places().iter().map(|place| (place.id().clone(), place.name().to_owned()));
        Self { applications: given("app", &self.applications, names.collect()), inside: BTreeMap::new() }
    }

    /// Notes what was given inside an application, where it would not be given without a past.
    pub(super) fn take(&mut self, application: &Application, given: ApplicationNames) -> Result<(), RepeatedPart> {
        if given != ApplicationNames::assign(application, &NO_NAMES)? {
            self.inside.insert(application.id.clone(), given);
        }
        Ok(())
    }

    /// What was given inside an application that these names are for.
    ///
    /// # Errors
    /// When it lists something twice.
    pub(crate) fn inside(&self, application: &Application) -> Result<ApplicationNames, RepeatedPart> {
        let before = self.inside.get(&application.id);
        ApplicationNames::assign(application, before.unwrap_or_default())
    }
}

impl Names {
    /// Where the text of an API's specification lies below the folder of a generation that has these names; nothing
    /// where no text was read.
    pub(crate) fn api_text(
        &self,
        application: &ApplicationId,
        inside: &ApplicationNames,
        bundle: &BundleId,
        api: &ApiDefinition,
    ) -> Option<String> {
        let (_, key) = inside.apis.get(bundle)?.get(&api.id)?;
        self.text("apis", application, inside, bundle, key, api.specification.as_ref())
    }

    /// The same for an event's.
    pub(crate) fn event_text(
        &self,
        application: &ApplicationId,
        inside: &ApplicationNames,
        bundle: &BundleId,
        event: &EventDefinition,
    ) -> Option<String> {
        let (_, key) = inside.events.get(bundle)?.get(&event.id)?;
        self.text("events", application, inside, bundle, key, event.specification.as_ref())
    }

    fn text(
        &self,
        folder: &str,
        application: &ApplicationId,
        inside: &ApplicationNames,
        bundle: &BundleId,
        key: &Slug,
        specification: Option<&Specification>,
    ) -> Option<String> {
        let specification = specification?;
        specification.reading?.text?;
        let (_, application) = self.applications.get(application)?;
        let (_, bundle) = inside.bundles.get(bundle)?;
        let place = place(folder, key, &specification.format);
        Some(format!("applications/{application}/bundles/{bundle}/{place}"))
    }
}

/// What an application without a past was given.
static NO_NAMES: ApplicationNames = ApplicationNames {
    bundles: Given::new(),
    apis: BTreeMap::new(),
    events: BTreeMap::new(),
    documents: BTreeMap::new(),
    bindings: BTreeMap::new(),
};

impl Default for &ApplicationNames {
    fn default() -> Self {
        &NO_NAMES
    }
}

impl ApplicationNames {
    /// The names inside an application, of which this was given before.
    pub(super) fn assign(application: &Application, before: &Self) -> Result<Self, RepeatedPart> {
        let repeated = |what| RepeatedPart { application: application.id.clone(), what };
        let mut bundles = BTreeMap::new();
        let mut names = Self::default();
        for bundle in &application.bundles {
            if bundles.insert(bundle.id.clone(), bundle.name.to_string()).is_some() {
                return Err(repeated(format!("the bundle {}", bundle.id)));
            }
            let apis = bundle.apis.iter().map(|api| (&api.id, &api.name));
            let events = bundle.events.iter().map(|event| (&event.id, &event.name));
            let documents = bundle.documents.iter().map(|document| (&document.id, &document.title));
            let id = &bundle.id;
            let apis = keys("api", before.apis.get(id), apis).map_err(|api| repeated(format!("the API {api}")))?;
            let events =
                keys("event", before.events.get(id), events).map_err(|event| repeated(format!("the event {event}")))?;
            let documents = keys("document", before.documents.get(id), documents)
                .map_err(|document| repeated(format!("the document {document}")))?;
            let bindings = bundle.bindings().map(|binding| (&binding.auth.id, binding.id));
            let bindings = keys("binding", before.bindings.get(id), bindings)
                .map_err(|auth| repeated(format!("the instance auth {auth}")))?;
            names.bindings.insert(id.clone(), bindings);
            names.apis.insert(id.clone(), apis);
            names.events.insert(id.clone(), events);
            names.documents.insert(id.clone(), documents);
        }
        Ok(Self { bundles: given("bundle", &before.bundles, bundles), ..names })
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
        with_keys(self.apis.get(&bundle.id), &bundle.apis, |api| &api.id)
    }

    /// Its events.
    pub(crate) fn events_of<'a>(&'a self, bundle: &'a Bundle) -> impl Iterator<Item = (&'a EventDefinition, &'a Slug)> {
        with_keys(self.events.get(&bundle.id), &bundle.events, |event| &event.id)
    }

    /// Its documents.
    pub(super) fn documents_of<'a>(&'a self, bundle: &'a Bundle) -> impl Iterator<Item = (&'a Document, &'a Slug)> {
        with_keys(self.documents.get(&bundle.id), &bundle.documents, |document| &document.id)
    }

    /// Its bindings, in the order of their instance auths.
    pub(crate) fn bindings_of<'a>(&'a self, bundle: &'a Bundle) -> impl Iterator<Item = (Binding<'a>, &'a Slug)> {
        let given = self.bindings.get(&bundle.id);
        let mut bindings: BTreeMap<_, _> = bundle.bindings().map(|binding| (&binding.auth.id, binding)).collect();
        given.into_iter().flatten().filter_map(move |(id, (_, slug))| Some((bindings.remove(id)?, slug)))
    }
}

fn with_keys<'a, T>(
    given: Option<&'a Given<DefinitionId>>,
    items: &'a [T],
    id: impl Fn(&'a T) -> &'a DefinitionId,
) -> impl Iterator<Item = (&'a T, &'a Slug)> {
    let items: BTreeMap<_, _> = items.iter().map(|item| (id(item), item)).collect();
    given.into_iter().flatten().filter_map(move |(id, (_, slug))| Some((*items.get(id)?, slug)))
}

/// The keys of the parts of one bundle; an error names one that is there twice.
fn keys<'a, Id: Ord + Clone + std::fmt::Display>(
    word: &str,
    before: Option<&Given<Id>>,
    parts: impl Iterator<Item = (&'a Id, impl std::fmt::Display)>,
) -> Result<Given<Id>, &'a Id> {
    let mut names = BTreeMap::new();
    for (id, name) in parts {
        if names.insert(id.clone(), name.to_string()).is_some() {
            return Err(id);
        }
    }
    Ok(given(word, before.unwrap_or(&Given::new()), names))
}

/// The names for these things, besides what they are made from. `word` begins the name of one that has none.
pub(crate) fn given<Id: Ord + Clone + std::fmt::Display>(
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
pub(super) fn folder(
    application: &Application,
    naming: Naming,
    names: &ApplicationNames,
    of_bindings: Bindings,
) -> Folder {
    let mut folder = Folder::default();
    folder.insert("application.json".to_owned(), PUBLIC, json(&ApplicationFile::new(application, naming, names)));
    for (bundle, slug) in names.bundles_of(application) {
        let (secret_json, secret_env) = credentials::files(bundle, names);
        folder.insert(format!("bundles/{slug}/bundle.json"), PUBLIC, json(&BundleFile::new(bundle, names)));
        folder.insert(format!("bundles/{slug}/credentials.json"), SECRET, secret_json);
        folder.insert(format!("bundles/{slug}/credentials.env"), SECRET, secret_env);
        for (path, text) in texts_of(bundle, names) {
            folder.link(format!("bundles/{slug}/{path}"), text);
        }
        if of_bindings == Bindings::Kept {
            for (binding, name) in names.bindings_of(bundle) {
                let path = format!("bundles/{slug}/{}/{name}.json", bindings::FOLDER);
                folder.insert(path, PRIVATE, bindings::file(bundle, &binding, names));
            }
        }
    }
    folder
}

/// The texts of a bundle, and their places in its folder.
pub(super) fn texts_of<'a>(
    bundle: &'a Bundle,
    names: &'a ApplicationNames,
) -> impl Iterator<Item = (String, Sha256)> + use<'a> {
    let of_specification = |folder, key, specification: &Specification| {
        Some((place(folder, key, &specification.format), specification.reading?.text?))
    };
    let apis =
        names.apis_of(bundle).filter_map(move |(api, key)| of_specification("apis", key, api.specification.as_ref()?));
    let events = names
        .events_of(bundle)
        .filter_map(move |(event, key)| of_specification("events", key, event.specification.as_ref()?));
    let documents = names
        .documents_of(bundle)
        .filter_map(|(document, key)| Some((place("documents", key, &document.format), document.reading?.text?)));
    apis.chain(events).chain(documents)
}

/// Where a text lies in the folder of its bundle.
pub(super) fn place(folder: &str, key: &Slug, format: &str) -> String {
    let ending = match format {
        "JSON" => "json",
        "YAML" => "yaml",
        "XML" => "xml",
        "MARKDOWN" => "md",
        _ => "txt",
    };
    format!("{folder}/{key}.{ending}")
}
