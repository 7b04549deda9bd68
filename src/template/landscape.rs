//! What the plane said, as templates see it: one index over the snapshot, shared by every value that a template holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{Object, Value};

use super::fields::{
    Agent, ApiView, ApplicationView, BindingView, BundleView, CredentialsView, EventView, Holder, Host, Runtime,
};
use super::items::{ItemPlace, Named};
use super::view::{List, View, missed};
use crate::config::Each;
use crate::ids::{RuntimeId, ServiceBindingId, ServiceInstanceId};
use crate::output::manifest::Slug;
use crate::output::{Names, NamesError};
use crate::snapshot::{ApiDefinition, Application, Bundle, EventDefinition, InstanceAuth, Naming, Snapshot};

/// A snapshot under the names that were given for it, to be rendered.
#[derive(Clone)]
pub struct Landscape(pub(super) Arc<Land>);

impl std::fmt::Debug for Landscape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Landscape").field("runtime", &self.0.runtime).finish_non_exhaustive()
    }
}

/// What the plane said, all of it in memory, for a template can ask for anything; and for each thing in it where it is
/// and what it is called, in the order of ids.
pub(super) struct Land {
    pub(super) runtime: RuntimeId,
    pub(super) naming: Naming,
    listed: Vec<Application>,
    pub(super) host: Box<str>,
    pub(super) applications: Vec<ApplicationEntry>,
}

pub(super) struct ApplicationEntry {
    at: usize,
    pub(super) slug: Slug,
    pub(super) bundles: Vec<BundleEntry>,
}

pub(super) struct BundleEntry {
    at: usize,
    pub(super) slug: Slug,
    pub(super) apis: Vec<(usize, Slug)>,
    pub(super) events: Vec<(usize, Slug)>,
    bindings: Vec<BindingEntry>,
}

/// A binding whose credentials can be used.
pub(super) struct BindingEntry {
    at: usize,
    pub(super) id: ServiceBindingId,
    pub(super) instance: ServiceInstanceId,
    pub(super) slug: Slug,
}

/// One thing that a template is rendered for, by its places in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) each: Each,
    application: usize,
    bundle: usize,
    /// Which of the bundle's APIs, events or bindings.
    part: usize,
}

impl Landscape {
    /// Takes a snapshot, the names that were given for it, and the name of this host. Blocks.
    ///
    /// # Errors
    /// When an application cannot be read, or lists something twice.
    pub fn new(snapshot: &Snapshot, names: &Names, host: &str) -> Result<Self, NamesError> {
        let listed = snapshot.all()?;
        let inside = listed.iter().map(|application| names.inside(application)).collect::<Result<Vec<_>, _>>()?;
        let applications = listed.iter().zip(&inside).enumerate();
        let applications = applications
            .filter_map(|(at, (application, inside))| {
                let (_, slug) = names.applications.get(&application.id)?;
                let places: BTreeMap<_, _> =
                    application.bundles.iter().enumerate().map(|(at, bundle)| (&bundle.id, at)).collect();
                let bundles = inside
                    .bundles_of(application)
                    .filter_map(|(bundle, slug)| {
                        let apis: BTreeMap<_, _> =
                            bundle.apis.iter().enumerate().map(|(at, api)| (&api.id, at)).collect();
                        let apis =
                            inside.apis_of(bundle).filter_map(|(api, key)| Some((*apis.get(&api.id)?, key.clone())));
                        let apis = apis.collect();
                        let events: BTreeMap<_, _> =
                            bundle.events.iter().enumerate().map(|(at, event)| (&event.id, at)).collect();
                        let events = inside
                            .events_of(bundle)
                            .filter_map(|(event, key)| Some((*events.get(&event.id)?, key.clone())));
                        let events = events.collect();
                        let auths: BTreeMap<_, _> =
                            bundle.instance_auths.iter().enumerate().map(|(at, auth)| (&auth.id, at)).collect();
                        let bindings = inside.bindings_of(bundle).filter_map(|(binding, slug)| {
                            binding.auth.usable_auth()?;
                            let at = *auths.get(&binding.auth.id)?;
                            Some(BindingEntry { at, id: binding.id, instance: binding.instance, slug: slug.clone() })
                        });
                        let bindings = bindings.collect();
                        Some(BundleEntry { at: *places.get(&bundle.id)?, slug: slug.clone(), apis, events, bindings })
                    })
                    .collect();
                Some(ApplicationEntry { at, slug: slug.clone(), bundles })
            })
            .collect();
        let (runtime, naming) = (snapshot.runtime().clone(), snapshot.naming());
        Ok(Self(Arc::new(Land { runtime, naming, listed, host: host.into(), applications })))
    }

    /// The runtime that all of it was listed for.
    pub fn runtime(&self) -> &RuntimeId {
        &self.0.runtime
    }

    /// What a template is rendered for, in the order of ids.
    pub(super) fn items(&self, each: Each) -> Vec<Item> {
        let land = &self.0;
        let mut items = Vec::new();
        let mut add = |application, bundle, part| items.push(Item { each, application, bundle, part });
        if each == Each::Once {
            add(0, 0, 0);
            return items;
        }
        for (application, entry) in land.applications.iter().enumerate() {
            if each == Each::Application {
                add(application, 0, 0);
                continue;
            }
            for (bundle, entry) in entry.bundles.iter().enumerate() {
                match each {
                    Each::Once | Each::Application => {}
                    Each::Bundle => add(application, bundle, 0),
                    Each::Credential if land.bundle(application, bundle).usable_auth().is_some() => {
                        add(application, bundle, 0);
                    }
                    Each::Credential => {}
                    Each::Api => (0..entry.apis.len()).for_each(|api| add(application, bundle, api)),
                    Each::Event => (0..entry.events.len()).for_each(|event| add(application, bundle, event)),
                    Each::Binding => (0..entry.bindings.len()).for_each(|binding| add(application, bundle, binding)),
                }
            }
        }
        items
    }

    /// Ids and slugs of an item.
    pub(super) fn place(&self, item: Item) -> ItemPlace {
        let land = &self.0;
        let mut place = ItemPlace::default();
        if item.each == Each::Once {
            return place;
        }
        let entry = &land.applications[item.application];
        place.application = Some(Named { id: land.application(item.application).id.clone(), slug: entry.slug.clone() });
        if item.each == Each::Application {
            return place;
        }
        let entry = &entry.bundles[item.bundle];
        let id = land.bundle(item.application, item.bundle).id.clone();
        place.bundle = Some(Named { id, slug: entry.slug.clone() });
        match item.each {
            Each::Once | Each::Application | Each::Bundle | Each::Credential => {}
            Each::Api => {
                let (api, key) = land.api(item.application, item.bundle, item.part);
                place.api = Some(Named { id: api.id.clone(), slug: key.clone() });
            }
            Each::Event => {
                let (event, key) = land.event(item.application, item.bundle, item.part);
                place.event = Some(Named { id: event.id.clone(), slug: key.clone() });
            }
            Each::Binding => {
                let (binding, _) = land.binding(item.application, item.bundle, item.part);
                place.binding = Some(Named { id: binding.id.clone(), slug: binding.slug.clone() });
            }
        }
        place
    }

    /// All that a template sees when it is rendered for an item.
    pub(super) fn context(&self, item: Item) -> Value {
        Value::from_object(Root { land: self.0.clone(), item })
    }
}

impl Land {
    pub(super) fn application(&self, application: usize) -> &Application {
        &self.listed[self.applications[application].at]
    }

    pub(super) fn bundle(&self, application: usize, bundle: usize) -> &Bundle {
        &self.application(application).bundles[self.applications[application].bundles[bundle].at]
    }

    pub(super) fn api(&self, application: usize, bundle: usize, api: usize) -> (&ApiDefinition, &Slug) {
        let (at, key) = &self.applications[application].bundles[bundle].apis[api];
        (&self.bundle(application, bundle).apis[*at], key)
    }

    pub(super) fn event(&self, application: usize, bundle: usize, event: usize) -> (&EventDefinition, &Slug) {
        let (at, key) = &self.applications[application].bundles[bundle].events[event];
        (&self.bundle(application, bundle).events[*at], key)
    }

    pub(super) fn binding(&self, application: usize, bundle: usize, binding: usize) -> (&BindingEntry, &InstanceAuth) {
        let entry = &self.applications[application].bundles[bundle].bindings[binding];
        (entry, &self.bundle(application, bundle).instance_auths[entry.at])
    }
}

/// The names that every template has.
const EVERYWHERE: [&str; 4] = ["agent", "applications", "host", "runtime"];

/// The names that a template has, by what it is rendered for.
pub(super) fn names_for(each: Each) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match each {
        Each::Once => &[],
        Each::Application => &["application"],
        Each::Bundle => &["application", "bundle"],
        Each::Api => &["application", "bundle", "api"],
        Each::Event => &["application", "bundle", "event"],
        Each::Credential => &["application", "bundle", "credential"],
        Each::Binding => &["application", "bundle", "binding", "credential"],
    };
    EVERYWHERE.into_iter().chain(own.iter().copied())
}

/// The names at the top.
struct Root {
    land: Arc<Land>,
    item: Item,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("everything")
    }
}

impl Object for Root {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let Item { each, application, bundle, part } = self.item;
        if !names_for(each).any(|name| name == key) {
            missed("", key, || names_for(each).map(ToOwned::to_owned).collect());
            return None;
        }
        let land = || self.land.clone();
        Some(match key {
            "agent" => View::value(Agent),
            "host" => View::value(Host(land())),
            "runtime" => View::value(Runtime(land())),
            "applications" => {
                let land = land();
                let at = move |application| View::value(ApplicationView { land: land.clone(), application });
                List::value(self.land.applications.len(), at)
            }
            "application" => View::value(ApplicationView { land: land(), application }),
            "bundle" => View::value(BundleView { land: land(), application, bundle }),
            "api" => View::value(ApiView { land: land(), application, bundle, api: part }),
            "event" => View::value(EventView { land: land(), application, bundle, event: part }),
            "binding" => View::value(BindingView { land: land(), application, bundle, binding: part }),
            "credential" => {
                let holder = if each == Each::Binding { Holder::Binding(part) } else { Holder::Bundle };
                View::value(CredentialsView { land: land(), application, bundle, holder })
            }
            _ => return None,
        })
    }
}
