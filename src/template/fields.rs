//! The fields of applications, bundles, APIs, events and credentials: the names are those of the published JSON files.

mod credentials;

use std::sync::Arc;

use minijinja::value::Value;

pub(super) use credentials::{BindingView, CredentialsView, Holder};

use super::landscape::Land;
use super::view::{Fields, List, Table, View};
use crate::snapshot::{Specification, Version};

/// A text that the plane may leave out.
fn optional(text: Option<&str>) -> Value {
    text.map_or_else(|| Value::from(()), Value::from)
}

fn flag(flag: Option<bool>) -> Value {
    flag.map_or_else(|| Value::from(()), Value::from)
}

/// `agent`
pub(super) struct Agent;

impl Fields for Agent {
    const KIND: &'static str = "the agent";
    const SHOWN: &'static [&'static str] = &["version"];

    fn field(&self, name: &str) -> Option<Value> {
        (name == "version").then(|| Value::from(env!("CARGO_PKG_VERSION")))
    }
}

/// `host`
pub(super) struct Host(pub(super) Arc<Land>);

impl Fields for Host {
    const KIND: &'static str = "the host";
    const SHOWN: &'static [&'static str] = &["name"];

    fn field(&self, name: &str) -> Option<Value> {
        (name == "name").then(|| Value::from(&*self.0.host))
    }
}

/// `runtime`
pub(super) struct Runtime(pub(super) Arc<Land>);

impl Fields for Runtime {
    const KIND: &'static str = "the runtime";
    const SHOWN: &'static [&'static str] = &["id"];

    fn field(&self, name: &str) -> Option<Value> {
        (name == "id").then(|| Value::from(self.0.runtime.as_str()))
    }
}

/// An application.
pub(super) struct ApplicationView {
    pub(super) land: Arc<Land>,
    pub(super) application: usize,
}

impl Fields for ApplicationView {
    const KIND: &'static str = "an application";
    const SHOWN: &'static [&'static str] = &[
        "id",
        "name",
        "slug",
        "normalized_name",
        "provider",
        "description",
        "base_url",
        "system_number",
        "local_tenant_id",
        "health_check_url",
        "events_url",
        "condition",
        "system_status",
        "error",
        "deleted_at",
        "labels",
        "bundles",
    ];

    fn field(&self, name: &str) -> Option<Value> {
        let application = self.land.application(self.application);
        Some(match name {
            "id" => Value::from(application.id.as_str()),
            "name" => Value::from(&*application.name),
            "slug" => Value::from(self.land.applications[self.application].slug.as_str()),
            "normalized_name" => Value::from(&*self.land.naming.apply(&application.name)),
            "provider" => optional(application.provider.as_deref()),
            "description" => optional(application.description.as_deref()),
            "base_url" => optional(application.base_url.as_deref()),
            "system_number" => optional(application.system_number.as_deref()),
            "local_tenant_id" => optional(application.local_tenant_id.as_deref()),
            "health_check_url" => optional(application.health_check_url.as_deref()),
            "events_url" => optional(application.events_url.as_deref()),
            "condition" => optional(application.condition.as_deref()),
            "system_status" => optional(application.system_status.as_deref()),
            "error" => optional(application.error.as_deref()),
            "deleted_at" => optional(application.deleted_at.as_deref()),
            "labels" => {
                let entries = application.labels.iter().map(|(name, value)| ((**name).into(), json(value)));
                Value::from_object(Table { kind: "the labels", entries: entries.collect() })
            }
            "bundles" => {
                let (land, application) = (self.land.clone(), self.application);
                let at = move |bundle| View::value(BundleView { land: land.clone(), application, bundle });
                List::value(self.land.applications[application].bundles.len(), at)
            }
            _ => return None,
        })
    }
}

/// Any JSON, with the keys of its objects in order.
fn json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(flag) => Value::from(*flag),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(list) => Value::from(list.iter().map(json).collect::<Vec<_>>()),
        serde_json::Value::Object(table) => {
            let entries = table.iter().map(|(name, value)| (name.as_str().into(), json(value)));
            Value::from_object(Table { kind: "the table", entries: entries.collect() })
        }
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => Value::from(number),
            (None, Some(number), _) => Value::from(number),
            (None, None, number) => Value::from(number.unwrap_or(f64::NAN)),
        },
    }
}

/// A bundle.
pub(super) struct BundleView {
    pub(super) land: Arc<Land>,
    pub(super) application: usize,
    pub(super) bundle: usize,
}

impl Fields for BundleView {
    const KIND: &'static str = "a bundle";
    const SHOWN: &'static [&'static str] =
        &["id", "name", "slug", "description", "request_schema", "apis", "events", "credentials"];

    fn field(&self, name: &str) -> Option<Value> {
        let &Self { ref land, application, bundle } = self;
        let described = land.bundle(application, bundle);
        let entry = &land.applications[application].bundles[bundle];
        let land = || land.clone();
        Some(match name {
            "id" => Value::from(described.id.as_str()),
            "name" => Value::from(&*described.name),
            "slug" => Value::from(entry.slug.as_str()),
            "description" => optional(described.description.as_deref()),
            "request_schema" => optional(described.request_schema.as_deref()),
            "apis" => {
                let land = land();
                let at = move |api| View::value(ApiView { land: land.clone(), application, bundle, api });
                List::value(entry.apis.len(), at)
            }
            "events" => {
                let land = land();
                let at = move |event| View::value(EventView { land: land.clone(), application, bundle, event });
                List::value(entry.events.len(), at)
            }
            "credentials" => View::value(CredentialsView { land: land(), application, bundle, holder: Holder::Bundle }),
            _ => return None,
        })
    }
}

/// An API.
pub(super) struct ApiView {
    pub(super) land: Arc<Land>,
    pub(super) application: usize,
    pub(super) bundle: usize,
    pub(super) api: usize,
}

impl Fields for ApiView {
    const KIND: &'static str = "an API";
    const SHOWN: &'static [&'static str] =
        &["id", "name", "slug", "key", "description", "target_url", "group", "version", "specification"];

    fn field(&self, name: &str) -> Option<Value> {
        let (api, key) = self.land.api(self.application, self.bundle, self.api);
        Some(match name {
            "id" => Value::from(api.id.as_str()),
            "name" => Value::from(&*api.name),
            "slug" | "key" => Value::from(key.as_str()),
            "description" => optional(api.description.as_deref()),
            "target_url" => Value::from(&*api.target_url),
            "group" => optional(api.group.as_deref()),
            "version" => version(api.version.as_ref()),
            "specification" => specification(api.specification.as_ref()),
            _ => return None,
        })
    }
}

/// An event.
pub(super) struct EventView {
    pub(super) land: Arc<Land>,
    pub(super) application: usize,
    pub(super) bundle: usize,
    pub(super) event: usize,
}

impl Fields for EventView {
    const KIND: &'static str = "an event";
    const SHOWN: &'static [&'static str] =
        &["id", "name", "slug", "key", "description", "group", "version", "specification"];

    fn field(&self, name: &str) -> Option<Value> {
        let (event, key) = self.land.event(self.application, self.bundle, self.event);
        Some(match name {
            "id" => Value::from(event.id.as_str()),
            "name" => Value::from(&*event.name),
            "slug" | "key" => Value::from(key.as_str()),
            "description" => optional(event.description.as_deref()),
            "group" => optional(event.group.as_deref()),
            "version" => version(event.version.as_ref()),
            "specification" => specification(event.specification.as_ref()),
            _ => return None,
        })
    }
}

struct VersionView(Version);

fn version(version: Option<&Version>) -> Value {
    version.map_or_else(|| Value::from(()), |version| View::value(VersionView(version.clone())))
}

impl Fields for VersionView {
    const KIND: &'static str = "a version";
    const SHOWN: &'static [&'static str] = &["value", "deprecated", "deprecated_since", "for_removal"];

    fn field(&self, name: &str) -> Option<Value> {
        let Version { value, deprecated, deprecated_since, for_removal } = &self.0;
        Some(match name {
            "value" => Value::from(&**value),
            "deprecated" => flag(*deprecated),
            "deprecated_since" => optional(deprecated_since.as_deref()),
            "for_removal" => flag(*for_removal),
            _ => return None,
        })
    }
}

struct SpecificationView(Specification);

fn specification(specification: Option<&Specification>) -> Value {
    specification.map_or_else(|| Value::from(()), |known| View::value(SpecificationView(known.clone())))
}

impl Fields for SpecificationView {
    const KIND: &'static str = "a specification";
    const SHOWN: &'static [&'static str] = &["kind", "format", "sha256"];

    fn field(&self, name: &str) -> Option<Value> {
        let Specification { id: _, kind, format, reading } = &self.0;
        match name {
            "kind" => Some(Value::from(&**kind)),
            "format" => Some(Value::from(&**format)),
            "sha256" => {
                let text = reading.and_then(|reading| reading.text);
                Some(text.map_or_else(|| Value::from(()), |text| Value::from(text.to_string())))
            }
            _ => None,
        }
    }
}
