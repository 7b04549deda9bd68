//! From the plane's answers to the values that the agent works with; everything is moved, nothing is copied.

use serde_json::Value;

use super::wire;
use crate::ids::RuntimeId;
use crate::snapshot::{ApiDefinition, Application, Bundle, EventDefinition, InstanceAuth};

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
    runtime: &RuntimeId,
) -> Bundle {
    let mut apis: Vec<_> = apis.into_iter().map(api).collect();
    apis.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut events: Vec<_> = events.into_iter().map(event).collect();
    events.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let instance_auths = wire.instance_auths.unwrap_or_default().into_iter();
    let mut instance_auths: Vec<_> =
        instance_auths.filter(|auth| belongs_to(auth, runtime)).map(instance_auth).collect();
    instance_auths.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Bundle {
        id: wire.id,
        name: wire.name,
        description: wire.description,
        request_schema: wire.instance_auth_request_input_schema,
        apis,
        events,
        default_auth: wire.default_instance_auth.map(Into::into),
        instance_auths,
    }
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

fn instance_auth(wire: wire::InstanceAuth) -> InstanceAuth {
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
