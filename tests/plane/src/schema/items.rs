//! Applications, bundles, and what a bundle holds.

use std::sync::Arc;

use async_graphql::{
    Value,
    dynamic::{Enum, Field, FieldValue, InputValue, Object, SchemaBuilder, TypeRef},
};

use super::{
    field::{call, field, id_argument, inner, maybe, nn, of, optional, plain, required, text},
    page::{BundleOf, Items, Window, listed, page_arguments, paged, single, version, version_of},
};
use crate::{
    Dialect,
    model::{ApiDefinition, Application, Auth, Bundle, Document, EventDefinition, InstanceAuth, Runtime, Spec, Status},
};

/// The words of a dialect.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    /// The type: `Bundle`.
    pub(crate) kind: &'static str,
    /// The field: `bundle`.
    pub(crate) one: &'static str,
    /// The list: `bundles`.
    pub(crate) many: &'static str,
}

impl Words {
    pub(crate) fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::Bundle => Self { kind: "Bundle", one: "bundle", many: "bundles" },
            Dialect::Package => Self { kind: "Package", one: "package", many: "packages" },
        }
    }
}

type Held = Arc<Application>;

pub(crate) fn register(builder: SchemaBuilder, dialect: Dialect) -> SchemaBuilder {
    let words = Words::of(dialect);
    let builder = builder
        .register(application(dialect))
        .register(status("ApplicationStatus", "ApplicationStatusCondition"))
        .register(conditions("ApplicationStatusCondition"))
        .register(Object::new("ApplicationEventingConfiguration").field(text::<String>(
            "defaultURL",
            nn(TypeRef::STRING),
            |url| Some(url),
        )))
        .register(Object::new("AppSystemAuth").field(text::<String>("id", nn(TypeRef::ID), |id| Some(id))))
        .register(bundle(dialect))
        .register(super::page::info())
        .register(super::page::applications())
        .register(super::page::bundles(words.kind))
        .register(api())
        .register(event())
        .register(spec("APISpec", "APISpecType", dialect))
        .register(spec("EventSpec", "EventSpecType", dialect))
        .register(Enum::new("APISpecType").item("ODATA").item("OPEN_API"))
        .register(Enum::new("EventSpecType").item("ASYNC_API"))
        .register(Enum::new("SpecFormat").item("YAML").item("JSON").item("XML"))
        .register(Enum::new("DocumentFormat").item("MARKDOWN"))
        .register(version())
        .register(document());
    super::page::of_bundle().into_iter().fold(builder, SchemaBuilder::register)
}

fn application(dialect: Dialect) -> Object {
    let words = Words::of(dialect);
    let mut object = Object::new("Application")
        .field(text::<Held>("id", nn(TypeRef::ID), |app| Some(&app.id)))
        .field(text::<Held>("name", nn(TypeRef::STRING), |app| Some(&app.name)))
        .field(text::<Held>("providerName", maybe(TypeRef::STRING), |app| app.provider_name.as_deref()))
        .field(text::<Held>("description", maybe(TypeRef::STRING), |app| app.description.as_deref()))
        .field(labels::<Held>(|app| app.labels.as_ref()))
        .field(inner::<Held, Status>("status", nn("ApplicationStatus"), |app| Some(&app.status)))
        .field(text::<Held>("healthCheckURL", maybe(TypeRef::STRING), |app| app.health_check_url.as_deref()))
        .field(of::<Held>("auths", TypeRef::named_nn_list("AppSystemAuth"), |app, _| {
            Ok(app.auths.as_ref().map(|ids| FieldValue::list(ids.iter().map(|id| FieldValue::borrowed_any(id)))))
        }))
        .field(inner::<Held, String>("eventingConfiguration", maybe("ApplicationEventingConfiguration"), |app| {
            app.event_url.as_ref()
        }))
        .field(one_bundle(words))
        .field(bundles(words));
    if dialect == Dialect::Bundle {
        object = object
            .field(text::<Held>("baseUrl", maybe(TypeRef::STRING), |app| app.base_url.as_deref()))
            .field(text::<Held>("systemNumber", maybe(TypeRef::STRING), |app| app.system_number.as_deref()))
            .field(text::<Held>("localTenantID", maybe(TypeRef::STRING), |app| app.local_tenant_id.as_deref()))
            .field(text::<Held>("systemStatus", maybe(TypeRef::STRING), |app| app.system_status.as_deref()))
            .field(text::<Held>("createdAt", maybe("Timestamp"), |app| app.created_at.as_deref()))
            .field(text::<Held>("updatedAt", maybe("Timestamp"), |app| app.updated_at.as_deref()))
            .field(text::<Held>("deletedAt", maybe("Timestamp"), |app| app.deleted_at.as_deref()))
            .field(text::<Held>("error", maybe(TypeRef::STRING), |app| app.error.as_deref()));
    }
    object
}

fn one_bundle(words: Words) -> Field {
    of::<Held>(words.one, maybe(words.kind), |application, context| {
        let wanted = required(context, "id")?;
        let place = application.bundles.iter().position(|bundle| bundle.id == wanted);
        Ok(place.map(|place| FieldValue::owned_any(BundleOf { application: Arc::clone(application), place })))
    })
    .argument(id_argument("id"))
}

fn bundles(words: Words) -> Field {
    page_arguments(of::<Held>(words.many, maybe(&format!("{}Page", words.kind)), |application, context| {
        let limit = call(context).shared.read(|state| state.options.max_page);
        let window = Window::open(context, application.bundles.len(), limit)?;
        let places = (window.offset..window.offset + window.length).collect();
        Ok(Some(FieldValue::owned_any(Items { application: Arc::clone(application), bundle: 0, places, window })))
    }))
}

fn bundle(dialect: Dialect) -> Object {
    let words = Words::of(dialect);
    let instance = format!("{}InstanceAuth", words.kind);
    let object = Object::new(words.kind)
        .field(text::<BundleOf>("id", nn(TypeRef::ID), |this| Some(&this.bundle().id)))
        .field(text::<BundleOf>("name", nn(TypeRef::STRING), |this| Some(&this.bundle().name)))
        .field(text::<BundleOf>("description", maybe(TypeRef::STRING), |this| this.bundle().description.as_deref()))
        .field(text::<BundleOf>("instanceAuthRequestInputSchema", maybe("JSONSchema"), |this| {
            this.bundle().instance_auth_request_input_schema.as_deref()
        }))
        .field(listed::<BundleOf, InstanceAuth>("instanceAuths", TypeRef::named_nn_list(&*instance), |this| {
            &this.bundle().instance_auths
        }))
        .field(single::<InstanceAuth>("instanceAuth", &instance, |bundle| &bundle.instance_auths, |auth| &auth.id))
        .field(inner::<BundleOf, Auth>("defaultInstanceAuth", maybe("Auth"), |this| {
            this.bundle().default_instance_auth.as_ref()
        }))
        .field(paged::<ApiDefinition>("apiDefinitions", "APIDefinition", apis, Some(|api| api.group.as_deref())))
        .field(paged::<EventDefinition>(
            "eventDefinitions",
            "EventDefinition",
            events,
            Some(|event| event.group.as_deref()),
        ))
        .field(paged::<Document>("documents", "Document", documents, None))
        .field(single::<ApiDefinition>("apiDefinition", "APIDefinition", apis, |api| &api.id))
        .field(single::<EventDefinition>("eventDefinition", "EventDefinition", events, |event| &event.id))
        .field(single::<Document>("document", "Document", documents, |document| &document.id));
    match dialect {
        Dialect::Bundle => {
            object.field(plain::<BundleOf>("correlationIDs", TypeRef::named_nn_list(TypeRef::STRING), |this| {
                this.bundle()
                    .correlation_ids
                    .as_ref()
                    .map(|ids| Value::List(ids.iter().map(|id| id.as_str().into()).collect()))
            }))
        }
        Dialect::Package => object,
    }
}

fn apis(bundle: &Bundle) -> &[ApiDefinition] {
    &bundle.api_definitions
}

fn events(bundle: &Bundle) -> &[EventDefinition] {
    &bundle.event_definitions
}

fn documents(bundle: &Bundle) -> &[Document] {
    &bundle.documents
}

fn api() -> Object {
    Object::new("APIDefinition")
        .field(text::<ApiDefinition>("id", nn(TypeRef::ID), |api| Some(&api.id)))
        .field(text::<ApiDefinition>("name", nn(TypeRef::STRING), |api| Some(&api.name)))
        .field(text::<ApiDefinition>("description", maybe(TypeRef::STRING), |api| api.description.as_deref()))
        .field(text::<ApiDefinition>("targetURL", maybe(TypeRef::STRING), |api| api.target_url.as_deref()))
        .field(text::<ApiDefinition>("group", maybe(TypeRef::STRING), |api| api.group.as_deref()))
        .field(version_of::<ApiDefinition>(|api| api.version.as_ref()))
        .field(inner::<ApiDefinition, Spec>("spec", maybe("APISpec"), |api| api.spec.as_ref()))
}

fn event() -> Object {
    Object::new("EventDefinition")
        .field(text::<EventDefinition>("id", nn(TypeRef::ID), |event| Some(&event.id)))
        .field(text::<EventDefinition>("name", nn(TypeRef::STRING), |event| Some(&event.name)))
        .field(text::<EventDefinition>("description", maybe(TypeRef::STRING), |event| event.description.as_deref()))
        .field(text::<EventDefinition>("group", maybe(TypeRef::STRING), |event| event.group.as_deref()))
        .field(version_of::<EventDefinition>(|event| event.version.as_ref()))
        .field(inner::<EventDefinition, Spec>("spec", maybe("EventSpec"), |event| event.spec.as_ref()))
}

fn spec(name: &str, kind: &str, dialect: Dialect) -> Object {
    let object = Object::new(name)
        .field(text::<Spec>("data", maybe("CLOB"), |spec| spec.data.as_deref()))
        .field(text::<Spec>("format", nn("SpecFormat"), |spec| Some(&spec.format)))
        .field(text::<Spec>("type", nn(kind), |spec| Some(&spec.r#type)));
    match dialect {
        Dialect::Bundle => object.field(text::<Spec>("id", nn(TypeRef::ID), |spec| Some(&spec.id))),
        Dialect::Package => object,
    }
}

fn document() -> Object {
    Object::new("Document")
        .field(text::<Document>("id", nn(TypeRef::ID), |document| Some(&document.id)))
        .field(text::<Document>("title", nn(TypeRef::STRING), |document| Some(&document.title)))
        .field(text::<Document>("displayName", nn(TypeRef::STRING), |document| Some(&document.display_name)))
        .field(text::<Document>("description", nn(TypeRef::STRING), |document| Some(&document.description)))
        .field(text::<Document>("format", nn("DocumentFormat"), |document| Some(&document.format)))
        .field(text::<Document>("kind", maybe(TypeRef::STRING), |document| document.kind.as_deref()))
        .field(text::<Document>("data", maybe("CLOB"), |document| document.data.as_deref()))
}

/// `labels(key)`: all, or the one that is asked for; an unknown key answers null.
pub(crate) fn labels<T: std::any::Any>(
    get: for<'a> fn(&'a T) -> Option<&'a serde_json::Map<String, serde_json::Value>>,
) -> Field {
    of::<T>("labels", maybe("Labels"), move |parent, context| {
        let Some(labels) = get(parent) else { return Ok(None) };
        let chosen = match optional(context, "key")? {
            None => labels.clone(),
            Some(key) => match labels.get(&key) {
                Some(value) => [(key, value.clone())].into_iter().collect(),
                None => return Ok(None),
            },
        };
        Ok(Value::from_json(chosen.into()).ok().map(FieldValue::value))
    })
    .argument(InputValue::new("key", maybe(TypeRef::STRING)))
}

pub(crate) fn status(name: &str, conditions: &str) -> Object {
    Object::new(name)
        .field(text::<Status>("condition", nn(conditions), |status| Some(&status.condition)))
        .field(text::<Status>("timestamp", nn("Timestamp"), |status| Some(&status.timestamp)))
}

/// The conditions of applications and runtimes.
pub(crate) fn conditions(name: &str) -> Enum {
    [
        "INITIAL",
        "CONNECTED",
        "FAILED",
        "CREATING",
        "CREATE_FAILED",
        "UPDATING",
        "UPDATE_FAILED",
        "DELETING",
        "PROVISIONING",
    ]
    .into_iter()
    .fold(Enum::new(name), Enum::item)
}

/// `Runtime`.
pub(crate) fn runtime() -> Object {
    Object::new("Runtime")
        .field(text::<Runtime>("id", nn(TypeRef::ID), |runtime| Some(&runtime.id)))
        .field(text::<Runtime>("name", nn(TypeRef::STRING), |runtime| Some(&runtime.name)))
        .field(text::<Runtime>("description", maybe(TypeRef::STRING), |runtime| runtime.description.as_deref()))
        .field(labels::<Runtime>(|runtime| Some(&runtime.labels)))
        .field(inner::<Runtime, Status>("status", nn("RuntimeStatus"), |runtime| Some(&runtime.status)))
}

/// `Viewer`, `Label`.
pub(crate) fn viewer() -> Object {
    Object::new("Viewer").field(text::<String>("id", nn(TypeRef::ID), |id| Some(id))).field(field(
        "type",
        nn("ViewerType"),
        |_| Ok(Some(FieldValue::value("RUNTIME"))),
    ))
}
