//! Instance auths: asking for credentials for one use of a bundle, and giving them back.

use async_graphql::dynamic::{
    Enum, Field, FieldValue, InputObject, InputValue, Object, ResolverContext, SchemaBuilder, TypeRef,
};

use super::{
    Failure,
    director::authorised,
    field::{call, field, id_argument, inner, maybe, nn, of, required, scalar, text},
    items::Words,
};
use crate::{
    Dialect,
    model::{Auth, Bundle, Condition, InstanceAuth},
};

pub(crate) fn register(builder: SchemaBuilder, dialect: Dialect) -> SchemaBuilder {
    let instance = format!("{}InstanceAuth", Words::of(dialect).kind);
    let status = format!("{instance}Status");
    let condition = format!("{status}Condition");
    let mut object = Object::new(&*instance)
        .field(text::<InstanceAuth>("id", nn(TypeRef::ID), |auth| Some(&auth.id)))
        .field(text::<InstanceAuth>("context", maybe("JSON"), |auth| auth.context.as_deref()))
        .field(text::<InstanceAuth>("inputParams", maybe("JSON"), |auth| auth.input_params.as_deref()))
        .field(inner::<InstanceAuth, Auth>("auth", maybe("Auth"), |auth| auth.auth.as_ref()))
        .field(of::<InstanceAuth>("status", nn(&status), |auth, _| Ok(Some(FieldValue::borrowed_any(auth)))));
    if dialect == Dialect::Bundle {
        object = object
            .field(text::<InstanceAuth>("runtimeID", maybe(TypeRef::ID), |auth| auth.runtime_id.as_deref()))
            .field(text::<InstanceAuth>("runtimeContextID", maybe(TypeRef::ID), |auth| {
                auth.runtime_context_id.as_deref()
            }));
    }
    builder
        .register(object)
        .register(
            Object::new(&*status)
                .field(text::<InstanceAuth>("condition", nn(&condition), |auth| Some(auth.condition.name())))
                .field(text::<InstanceAuth>("timestamp", nn("Timestamp"), |auth| Some(&auth.timestamp)))
                .field(text::<InstanceAuth>("message", nn(TypeRef::STRING), |auth| Some(&auth.message)))
                .field(text::<InstanceAuth>("reason", nn(TypeRef::STRING), |auth| Some(&auth.reason))),
        )
        .register(
            [Condition::Pending, Condition::Succeeded, Condition::Failed, Condition::Unused]
                .into_iter()
                .fold(Enum::new(&*condition), |all, one| all.item(one.name())),
        )
        .register(
            InputObject::new(format!("{instance}RequestInput"))
                .field(InputValue::new("id", maybe(TypeRef::ID)))
                .field(InputValue::new("context", maybe("JSON")))
                .field(InputValue::new("inputParams", maybe("JSON"))),
        )
}

/// `bundleInstanceAuth(id)`.
pub(crate) fn query(words: Words) -> Field {
    field(&format!("{}InstanceAuth", words.one), maybe(&format!("{}InstanceAuth", words.kind)), |context| {
        let wanted = required(context, "id")?;
        let call = call(context);
        call.shared.read(|state| {
            let runtime = authorised(call, state, "runtime:read")?;
            let found = state.model.instance_auth(&wanted).filter(|(application, ..)| runtime.sees(&application.id));
            Ok(found.map(|(_, _, auth)| FieldValue::owned_any(auth.clone())))
        })
    })
    .argument(id_argument("id"))
}

/// `requestBundleInstanceAuthCreation(bundleID, in)`.
pub(crate) fn creation(words: Words) -> Field {
    let instance = format!("{}InstanceAuth", words.kind);
    let parent = format!("{}ID", words.one);
    let wanted = parent.clone();
    field(&format!("request{instance}Creation"), nn(&instance), move |context| create(context, &wanted))
        .argument(id_argument(&parent))
        .argument(InputValue::new("in", nn(&format!("{instance}RequestInput"))))
}

fn create<'a>(context: &ResolverContext<'a>, parent: &str) -> super::field::Resolved<'a> {
    let wanted = required(context, parent)?;
    let input = context.args.try_get("in").and_then(|input| Ok(input.object()?.as_index_map().clone()));
    let input = input.map_err(|error| Failure::invalid(error.message))?;
    let part = |name: &str| match input.get(name) {
        None | Some(async_graphql::Value::Null) => Ok(None),
        Some(value) => scalar(value, name).map(Some),
    };
    let (text, params) = (part("context")?, part("inputParams")?);
    for (name, text) in [("context", &text), ("inputParams", &params)] {
        if let Some(text) = text {
            serde_json::from_str::<serde_json::Value>(text)
                .map_err(|error| Failure::invalid(format!("{name} is not JSON: {error}")))?;
        }
    }
    let call = call(context);
    call.shared.change(|state| {
        let now = state.options.clock.now();
        let runtime = authorised(call, state, "runtime:write")?.clone();
        let found = state.model.bundle(&wanted).filter(|(application, _)| runtime.sees(&application.id));
        let (application, bundle) = found.ok_or_else(|| Failure::not_found(parent.trim_end_matches("ID"), &wanted))?;
        check_input(bundle, params.as_deref())?;
        let granted = bundle.default_instance_auth.clone();
        let (condition, reason, message) = match &granted {
            Some(_) => (Condition::Succeeded, "CredentialsProvided", "Credentials were provided."),
            None => (Condition::Pending, "NotificationSent", "The application was asked for credentials."),
        };
        let auth = InstanceAuth {
            id: uuid::Uuid::new_v4().to_string(),
            context: text,
            input_params: params,
            auth: granted,
            condition,
            timestamp: now.to_string(),
            message: message.to_owned(),
            reason: reason.to_owned(),
            runtime_id: Some(runtime.id),
            runtime_context_id: None,
        };
        let (application, bundle) = (application.id.clone(), bundle.id.clone());
        let held = state.model.application_mut(&application).into_iter().flat_map(|found| &mut found.bundles);
        for bundle in held.filter(|candidate| candidate.id == bundle) {
            bundle.instance_auths.push(auth.clone());
        }
        Ok(Some(FieldValue::owned_any(auth)))
    })
}

/// Of the bundle's schema, what a simulation needs: that there are parameters, and the required ones among them.
fn check_input(bundle: &Bundle, params: Option<&str>) -> Result<(), Failure> {
    let Some(schema) = &bundle.instance_auth_request_input_schema else { return Ok(()) };
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap_or_default();
    let params: Option<serde_json::Value> = params.and_then(|params| serde_json::from_str(params).ok());
    let params = params.ok_or_else(|| Failure::invalid("inputParams are missing, but the schema asks for them"))?;
    let required = schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
    match required.into_iter().find(|name| params.get(name).is_none()) {
        Some(name) => Err(Failure::invalid(format!("inputParams: {name} is required"))),
        None => Ok(()),
    }
}

/// `requestBundleInstanceAuthDeletion(authID)`.
pub(crate) fn deletion(words: Words) -> Field {
    let instance = format!("{}InstanceAuth", words.kind);
    field(&format!("request{instance}Deletion"), nn(&instance), |context| {
        let wanted = required(context, "authID")?;
        let call = call(context);
        call.shared.change(|state| {
            let now = state.options.clock.now();
            let runtime = authorised(call, state, "runtime:write")?.clone();
            let seen =
                state.model.instance_auth(&wanted).is_some_and(|(application, ..)| runtime.sees(&application.id));
            let bundle = state.model.bundle_of_auth_mut(&wanted).filter(|_| seen);
            let bundle = bundle.ok_or_else(|| Failure::not_found("instanceAuth", &wanted))?;
            let place = bundle.instance_auths.iter().position(|auth| auth.id == wanted);
            let place = place.ok_or_else(|| Failure::not_found("instanceAuth", &wanted))?;
            let auth = &mut bundle.instance_auths[place];
            if auth.runtime_id.as_deref().is_some_and(|owner| owner != runtime.id) {
                return Err(Failure::operation("the instance auth belongs to another runtime"));
            }
            auth.condition = Condition::Unused;
            auth.timestamp = now.to_string();
            auth.reason = "PendingDeletion".to_owned();
            auth.message = "The credentials are no longer used.".to_owned();
            let auth = auth.clone();
            if bundle.default_instance_auth.is_some() {
                bundle.instance_auths.remove(place);
            }
            Ok(Some(FieldValue::owned_any(auth)))
        })
    })
    .argument(id_argument("authID"))
}
