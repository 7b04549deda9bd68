//! The catalog as it is written: the shapes of the Open Service Broker API, and our own keys in its metadata.
//!
//! Everybody who may ask for the catalog reads it: no credential is in it, and URLs are without user and password. Keys
//! of metadata are in the style of the customary ones (`displayName`); one is left out where the plane says nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::catalog::{Issue, Plan, Service, SpecificationFiles};
use super::schema::{LeftOut, Schema, fits};
use crate::ids::{ApplicationId, BundleId, DefinitionId};
use crate::output::manifest::Slug;
use crate::output::{Sorted, without_userinfo};
use crate::snapshot::{ApiDefinition, Application, Bundle, EventDefinition, Sha256, Specification, Version};

/// The longest description, in characters: what the specification recommends for every platform to take it.
const LONGEST_DESCRIPTION: usize = 255;

/// The whole answer.
#[derive(Serialize)]
pub(super) struct Page<'a> {
    pub(super) services: Vec<ServiceEntry<'a>>,
}

/// A service, which is an application.
#[derive(Serialize)]
pub(super) struct ServiceEntry<'a> {
    id: &'a ApplicationId,
    name: &'a Slug,
    description: String,
    bindable: bool,
    instances_retrievable: bool,
    bindings_retrievable: bool,
    plan_updateable: bool,
    metadata: ServiceMetadata<'a>,
    plans: Vec<PlanEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServiceMetadata<'a> {
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    long_description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
    labels: BTreeMap<&'a str, Sorted<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels_left_out: Vec<&'a str>,
}

/// What is said of an application that the plane has marked deleted and still lists.
const DELETED: &str = "The management plane has marked this application as deleted. It is still listed, and can go at any \
                       time, its credentials with it.";

/// A plan, which is a bundle.
#[derive(Serialize)]
pub(super) struct PlanEntry<'a> {
    id: &'a BundleId,
    name: &'a Slug,
    description: String,
    free: bool,
    bindable: bool,
    binding_rotatable: bool,
    plan_updateable: bool,
    metadata: PlanMetadata<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schemas: Option<Schemas>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanMetadata<'a> {
    display_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    long_description: Option<&'a str>,
    apis: Vec<ApiEntry<'a>>,
    events: Vec<EventEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_left_out: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ApiEntry<'a> {
    id: &'a DefinitionId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    target_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<VersionEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    specification: Option<SpecificationEntry<'a>>,
}

#[derive(Serialize)]
struct EventEntry<'a> {
    id: &'a DefinitionId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<VersionEntry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    specification: Option<SpecificationEntry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionEntry<'a> {
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecated_since: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    for_removal: Option<bool>,
}

/// The kind and format of a specification; and where its text lies on this host, and which one, where it was read.
#[derive(Serialize)]
struct SpecificationEntry<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    format: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
}

#[derive(Serialize)]
struct Schemas {
    service_binding: Create,
}

#[derive(Serialize)]
struct Create {
    create: InputParameters,
}

#[derive(Serialize)]
struct InputParameters {
    parameters: Schema,
}

impl<'a> ServiceEntry<'a> {
    /// The plans are those of the service, each with the bundle that it is.
    pub(super) fn new(
        application: &'a Application,
        service: &'a Service,
        plans: impl Iterator<Item = (&'a Bundle, &'a Plan)>,
        files: &SpecificationFiles<'_>,
    ) -> Self {
        let Application { id, name, provider, description, labels, deleted_at, .. } = application;
        let display_name = shown(name).unwrap_or(service.name().as_str());
        let plans =
            plans.map(|(bundle, plan)| PlanEntry::new(application, display_name, bundle, plan, files)).collect();
        let (labels, left_out): (Vec<_>, Vec<_>) = labels.iter().partition(|(_, value)| fits(value));
        Self {
            id,
            name: service.name(),
            description: description
                .as_deref()
                .and_then(line)
                .unwrap_or_else(|| cut(format!("APIs and events of the application {display_name}"))),
            bindable: service.plans().any(Plan::is_bindable),
            instances_retrievable: true,
            bindings_retrievable: true,
            plan_updateable: false,
            metadata: ServiceMetadata {
                display_name,
                provider_display_name: provider.as_deref().and_then(shown),
                long_description: description.as_deref().and_then(shown),
                deleted_at: deleted_at.as_deref(),
                notice: deleted_at.as_ref().map(|_| DELETED),
                labels: labels.into_iter().map(|(key, value)| (&**key, Sorted(value))).collect(),
                labels_left_out: left_out.into_iter().map(|(key, _)| &**key).collect(),
            },
            plans,
        }
    }
}

impl<'a> PlanEntry<'a> {
    fn new(
        application: &'a Application,
        service: &str,
        bundle: &'a Bundle,
        plan: &'a Plan,
        files: &SpecificationFiles<'_>,
    ) -> Self {
        let schema = request_schema(bundle, plan);
        let schema_left_out = schema.as_ref().and_then(|read| read.as_ref().err()).map(|why| why.sentence());
        let apis: BTreeMap<_, _> = bundle.apis.iter().map(|api| (&api.id, api)).collect();
        let events: BTreeMap<_, _> = bundle.events.iter().map(|event| (&event.id, event)).collect();
        let described = || format!("{} and {} of {service}", count(apis.len(), "API"), count(events.len(), "event"));
        Self {
            id: &bundle.id,
            name: plan.name(),
            description: bundle.description.as_deref().and_then(line).unwrap_or_else(|| cut(described())),
            free: true,
            bindable: plan.is_bindable(),
            binding_rotatable: plan.is_bindable() && plan.issue() == Issue::OnRequest,
            plan_updateable: false,
            schemas: schema
                .and_then(Result::ok)
                .map(|parameters| Schemas { service_binding: Create { create: InputParameters { parameters } } }),
            metadata: PlanMetadata {
                display_name: shown(&bundle.name).unwrap_or(plan.name().as_str()),
                long_description: bundle.description.as_deref().and_then(shown),
                apis: apis.into_values().map(|api| ApiEntry::new(application, bundle, api, files)).collect(),
                events: events.into_values().map(|event| EventEntry::new(application, bundle, event, files)).collect(),
                schema_left_out,
            },
        }
    }
}

impl<'a> ApiEntry<'a> {
    fn new(application: &Application, bundle: &Bundle, api: &'a ApiDefinition, files: &SpecificationFiles<'_>) -> Self {
        let ApiDefinition { id, name, description, target_url, group, version, specification } = api;
        let file = || files.of_api(application, bundle, api);
        Self {
            id,
            name,
            description: description.as_deref(),
            target_url: without_userinfo(target_url),
            group: group.as_deref(),
            version: version.as_ref().map(VersionEntry::from),
            specification: specification.as_ref().map(|of| SpecificationEntry::new(of, file())),
        }
    }
}

impl<'a> EventEntry<'a> {
    fn new(
        application: &Application,
        bundle: &Bundle,
        event: &'a EventDefinition,
        files: &SpecificationFiles<'_>,
    ) -> Self {
        let EventDefinition { id, name, description, group, version, specification } = event;
        let file = || files.of_event(application, bundle, event);
        Self {
            id,
            name,
            description: description.as_deref(),
            group: group.as_deref(),
            version: version.as_ref().map(VersionEntry::from),
            specification: specification.as_ref().map(|of| SpecificationEntry::new(of, file())),
        }
    }
}

impl<'a> From<&'a Version> for VersionEntry<'a> {
    fn from(version: &'a Version) -> Self {
        let Version { value, deprecated, deprecated_since, for_removal } = version;
        let deprecated_since = deprecated_since.as_deref();
        Self { value, deprecated: *deprecated, deprecated_since, for_removal: *for_removal }
    }
}

impl<'a> SpecificationEntry<'a> {
    fn new(specification: &'a Specification, file: Option<String>) -> Self {
        let Specification { id: _, kind, format, reading } = specification;
        let sha256 = file.as_ref().and(reading.as_ref()).and_then(|reading| reading.text);
        Self { kind, format, file, sha256 }
    }
}

/// The bundle's schema, where it has one and its plan a use for it.
fn request_schema(bundle: &Bundle, plan: &Plan) -> Option<Result<Schema, LeftOut>> {
    let text = bundle.request_schema.as_deref().filter(|text| plan.is_bindable() && !text.trim().is_empty())?;
    Some(Schema::read(text))
}

/// A text, where it shows anything.
fn shown(text: &str) -> Option<&str> {
    text.chars().any(is_shown).then_some(text)
}

fn is_shown(c: char) -> bool {
    !c.is_whitespace() && !c.is_control()
}

/// One line for lists on terminals, where the text shows anything: without control characters, and not too long.
fn line(text: &str) -> Option<String> {
    let words = text.split(|c: char| !is_shown(c)).filter(|word| !word.is_empty());
    // More words than characters are never needed.
    let line = words.take(LONGEST_DESCRIPTION + 1).collect::<Vec<_>>().join(" ");
    (!line.is_empty()).then(|| cut(line))
}

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST_DESCRIPTION) {
        None => text,
        Some(_) => text.chars().take(LONGEST_DESCRIPTION - 1).chain(['…']).collect(),
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
