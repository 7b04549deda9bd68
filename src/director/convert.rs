//! From the plane's answers to the values that the agent works with; everything is moved, nothing is copied.

use serde_json::Value;

use super::wire;
use crate::ids::RuntimeId;
use crate::snapshot::{ApiDefinition, Application, Bundle, Document, EventDefinition, InstanceAuth};

/// Puts an application together from its own fields and its bundles, which may have taken reads of their own.
pub(super) fn application(wire: wire::Application, mut bundles: Vec<Bundle>) -> Application {
    bundles.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Application {
        id: wire.id,
        name: wire.name,
        provider: wire.provider_name,
        description: wire.description,
        base_url: wire.base_url,
        system_number: wire.system_number,
        local_tenant_id: wire.local_tenant_id,
        health_check_url: wire.health_check_url,
        labels: wire.labels.unwrap_or_default(),
        condition: wire.status.condition,
        events_url: wire.eventing_configuration.map(|eventing| eventing.default_url),
        system_status: wire.system_status,
        error: wire.error,
        deleted_at: wire.deleted_at,
        bundles,
    }
}

/// Puts a bundle together from its own fields and its definitions, and keeps of the instance auths those of `runtime`.
pub(super) fn bundle(
    wire: wire::Bundle,
    apis: Vec<wire::ApiDefinition>,
    events: Vec<wire::EventDefinition>,
    documents: Vec<wire::Document>,
    runtime: &RuntimeId,
) -> Bundle {
    let mut apis: Vec<_> = apis.into_iter().map(api).collect();
    apis.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut events: Vec<_> = events.into_iter().map(event).collect();
    events.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut documents: Vec<_> = documents.into_iter().map(document).collect();
    documents.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Bundle {
        id: wire.id,
        name: wire.name,
        description: wire.description,
        request_schema: wire.instance_auth_request_input_schema,
        apis,
        events,
        documents,
        default_auth: wire.default_instance_auth.map(Into::into),
        instance_auths: instance_auths(wire.instance_auths, runtime),
    }
}

/// Those of a bundle's instance auths that are for `runtime`.
pub(super) fn instance_auths(wire: Option<Vec<wire::InstanceAuth>>, runtime: &RuntimeId) -> Vec<InstanceAuth> {
    let own = wire.unwrap_or_default().into_iter().filter(|auth| belongs_to(auth, runtime));
    let mut own: Vec<_> = own.map(instance_auth).collect();
    own.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    own
}

/// Whether an instance auth is for this runtime.
///
/// Where the plane names a runtime, that decides. Where it names none, as the older dialect never does, the auth is
/// ours if the context it was asked for with names us, in whatever member: that is where requesters put the runtime's
/// id. Another runtime's credentials must not be taken for ours, so a doubt leaves an auth out.
fn belongs_to(auth: &wire::InstanceAuth, runtime: &RuntimeId) -> bool {
    match (&auth.runtime_id, &auth.context) {
        (Some(owner), _) => **owner == *runtime.as_str(),
        (None, Some(context)) => match serde_json::from_str(context) {
            Ok(Value::Object(members)) => members.values().any(|value| value.as_str() == Some(runtime.as_str())),
            Ok(_) | Err(_) => false,
        },
        (None, None) => false,
    }
}

pub(super) fn instance_auth(wire: wire::InstanceAuth) -> InstanceAuth {
    InstanceAuth {
        id: wire.id,
        condition: wire.status.condition,
        message: wire.status.message,
        context: wire.context,
        auth: wire.auth.map(Into::into),
    }
}

fn api(wire: wire::ApiDefinition) -> ApiDefinition {
    ApiDefinition {
        id: wire.id,
        name: wire.name,
        description: wire.description,
        target_url: wire.target_url,
        group: wire.group,
        version: wire.version.map(Into::into),
        specification: wire.spec.map(Into::into),
    }
}

fn event(wire: wire::EventDefinition) -> EventDefinition {
    EventDefinition {
        id: wire.id,
        name: wire.name,
        description: wire.description,
        group: wire.group,
        version: wire.version.map(Into::into),
        specification: wire.spec.map(Into::into),
    }
}

fn document(wire: wire::Document) -> Document {
    Document {
        id: wire.id,
        title: wire.title,
        display_name: wire.display_name,
        description: wire.description,
        format: wire.format,
        kind: wire.kind,
        reading: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::Condition;

    fn page(data: &Value) -> Value {
        let count = data.as_array().map_or(0, Vec::len);
        json!({ "data": data, "pageInfo": { "endCursor": "", "hasNextPage": false }, "totalCount": count })
    }

    fn decoded(value: Value) -> Application {
        let mut wire: wire::Application = serde_json::from_value(value).unwrap();
        let runtime = "runtime-1".parse().unwrap();
        let bundles = wire.bundles.take().data.into_iter().map(|mut wire| {
            let (apis, events) = (wire.api_definitions.take().data, wire.event_definitions.take().data);
            let documents = wire.documents.take().map_or_else(Vec::new, |page| page.data);
            bundle(wire, apis, events, documents, &runtime)
        });
        let bundles = bundles.collect();
        application(wire, bundles)
    }

    fn with_bundle(bundle: &Value) -> Value {
        json!({ "id": "a", "name": "n", "status": { "condition": "CONNECTED" }, "bundles": page(&json!([bundle])) })
    }

    fn with_auths(auths: &Value) -> Value {
        let nothing = || page(&json!([]));
        with_bundle(&json!({
            "id": "b", "name": "n", "instanceAuths": auths,
            "apiDefinitions": nothing(), "eventDefinitions": nothing(),
        }))
    }

    #[test]
    fn every_field_finds_its_place() {
        let version = json!({ "value": "v1", "deprecated": true, "deprecatedSince": "v0", "forRemoval": false });
        let mut value = with_bundle(&json!({
            "id": "b", "name": "bundle", "description": "d", "instanceAuthRequestInputSchema": "{}",
            "defaultInstanceAuth": { "certCommonName": "cn", "accessStrategy": "open" },
            "apiDefinitions": page(&json!([
                { "id": "2", "name": "second", "targetURL": "u" },
                { "id": "1", "name": "first", "targetURL": "u", "group": "g", "version": version,
                  "spec": { "type": "ODATA", "format": "XML" } },
            ])),
            "eventDefinitions": page(&json!([
                { "id": "3", "name": "event", "version": version, "spec": { "type": "ASYNC_API", "format": "YAML" } },
            ])),
        }));
        let more = json!({
            "providerName": "p", "description": "d", "baseUrl": "base", "systemNumber": "7", "localTenantID": "t",
            "labels": { "l": [1] }, "healthCheckURL": "h", "eventingConfiguration": { "defaultURL": "e" },
            "systemStatus": "REACHABLE", "error": "oops", "deletedAt": "2026-01-01T00:00:00Z",
        });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let application = decoded(value);
        let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or("nothing").to_owned();
        let Application { provider, base_url, system_number, local_tenant_id, .. } = &application;
        assert_eq!([provider, base_url, system_number, local_tenant_id].map(text), ["p", "base", "7", "t"]);
        let Application { health_check_url, condition, events_url, system_status, error, deleted_at, .. } =
            &application;
        assert_eq!([health_check_url, condition, events_url].map(text), ["h", "CONNECTED", "e"]);
        assert_eq!([system_status, error, deleted_at].map(text), ["REACHABLE", "oops", "2026-01-01T00:00:00Z"]);
        assert_eq!(application.labels["l"], json!([1]));
        let bundle = &application.bundles[0];
        assert_eq!([&bundle.description, &bundle.request_schema].map(text), ["d", "{}"]);
        let auth = bundle.default_auth.as_ref().unwrap();
        assert_eq!([&auth.certificate_common_name, &auth.access_strategy].map(text), ["cn", "open"]);
        assert_eq!(bundle.apis.iter().map(|api| &*api.name).collect::<Vec<_>>(), ["first", "second"]);
        let version = bundle.apis[0].version.as_ref().unwrap();
        assert_eq!((&*version.value, version.deprecated, version.for_removal), ("v1", Some(true), Some(false)));
        assert_eq!(bundle.events[0].version.as_ref(), Some(version));
        assert_eq!(&*bundle.events[0].specification.as_ref().unwrap().kind, "ASYNC_API");
        assert_eq!(&*bundle.apis[0].specification.as_ref().unwrap().format, "XML");
    }

    #[test]
    fn only_this_runtimes_instance_auths_are_kept() {
        let status = json!({ "condition": "SUCCEEDED" });
        let auth = |id: &str, owner: Value, context: Value| json!({ "id": id, "runtimeID": owner, "context": context, "status": status });
        let application = decoded(with_auths(&json!([
            auth("4", json!("runtime-1"), json!(null)),
            auth("1", json!("runtime-2"), json!(r#"{"runtime":"runtime-1"}"#)),
            auth("3", json!(null), json!(r#"{"binding_id":"x","runtime_id":"runtime-1"}"#)),
            auth("2", json!(null), json!(r#"{"runtime_id":"runtime-2"}"#)),
            auth("5", json!(null), json!(null)),
            auth("6", json!(null), json!("runtime-1")),
        ])));
        let kept: Vec<_> = application.bundles[0].instance_auths.iter().map(|auth| auth.id.as_str()).collect();
        assert_eq!(kept, ["3", "4"]);
    }

    #[test]
    fn a_condition_that_came_later_is_carried_along() {
        let auth = |condition: &str| {
            decoded(with_auths(&json!([{ "id": "1", "runtimeID": "runtime-1", "status": { "condition": condition } }])))
        };
        assert_eq!(auth("PENDING").bundles[0].instance_auths[0].condition, Condition::Pending);
        assert_eq!(auth("ON_HOLD").bundles[0].instance_auths[0].condition, Condition::Other("ON_HOLD".into()));
    }

    #[test]
    fn a_list_without_pages_may_be_null() {
        assert!(decoded(with_auths(&json!(null))).bundles[0].instance_auths.is_empty());
    }
}
