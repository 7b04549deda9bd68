//! The Director's schema, in either dialect.

use std::sync::Arc;

use async_graphql::{
    Value,
    dynamic::{Enum, FieldValue, InputValue, Object, ResolverContext, Scalar, Schema, SchemaError, TypeRef},
};

use super::{
    Call, Failure, auth,
    field::{Resolved, call, field, id_argument, maybe, nn, plain, required, text},
    instance,
    items::{self, Words, conditions, status},
    page::{Applications, Window, page_arguments},
};
use crate::{
    Dialect, ListChange, State,
    model::{Application, Runtime, Status},
};

/// The runtime that makes the call, if it may.
pub(crate) fn authorised<'a>(call: &Call, state: &'a State, scope: &str) -> Result<&'a Runtime, Failure> {
    if let Some(failure) = &call.failure {
        return Err(failure.clone());
    }
    let caller = call.caller.as_ref().ok_or_else(|| Failure::unauthorized("the certificate is not recognised"))?;
    let runtime = state.model.runtimes.get(&caller.runtime);
    let runtime = runtime.ok_or_else(|| Failure::unauthorized("the runtime is not registered"))?;
    match &call.tenant {
        Some(tenant) if !state.model.tenants.contains(tenant) => return Err(Failure::tenant_not_found(tenant)),
        Some(tenant) if *tenant != runtime.tenant => {
            return Err(Failure::unauthorized("the runtime belongs to another tenant"));
        }
        None if state.options.tenant_required => return Err(Failure::tenant_required()),
        Some(_) | None => {}
    }
    if runtime.scopes.contains(scope) { Ok(runtime) } else { Err(Failure::scopes(scope, &runtime.scopes)) }
}

struct Label {
    key: String,
    value: Value,
}

pub(crate) fn schema(dialect: Dialect) -> Result<Schema, SchemaError> {
    let words = Words::of(dialect);
    let query = Object::new("Query")
        .field(field("viewer", nn("Viewer"), |context| {
            let call = call(context);
            let id = call.shared.read(|state| Ok(authorised(call, state, "runtime:read")?.id.clone()))?;
            Ok(Some(FieldValue::owned_any(id)))
        }))
        .field(field("runtime", maybe("Runtime"), runtime).argument(id_argument("id")))
        .field(page_arguments(
            field("applicationsForRuntime", nn("ApplicationPage"), applications).argument(id_argument("runtimeID")),
        ))
        .field(
            field("application", maybe("Application"), |context| {
                let wanted = required(context, "id")?;
                let call = call(context);
                call.shared.read(|state| {
                    let runtime = authorised(call, state, "application:read")?;
                    let found = state.model.applications.get(&wanted).filter(|found| runtime.sees(&found.id));
                    Ok(found.map(|found| FieldValue::owned_any(Arc::clone(found))))
                })
            })
            .argument(id_argument("id")),
        )
        .field(instance::query(words));
    let mutation = Object::new("Mutation")
        .field(
            field("setRuntimeLabel", nn("Label"), set_label)
                .argument(id_argument("runtimeID"))
                .argument(InputValue::new("key", nn(TypeRef::STRING)))
                .argument(InputValue::new("value", nn("Any"))),
        )
        .field(instance::creation(words))
        .field(instance::deletion(words));
    let builder = Schema::build("Query", Some("Mutation"), None)
        .register(query)
        .register(mutation)
        .register(items::viewer())
        .register(
            ["RUNTIME", "APPLICATION", "INTEGRATION_SYSTEM", "USER"]
                .into_iter()
                .fold(Enum::new("ViewerType"), Enum::item),
        )
        .register(items::runtime())
        .register(status("RuntimeStatus", "RuntimeStatusCondition"))
        .register(conditions("RuntimeStatusCondition"))
        .register(
            Object::new("Label")
                .field(text::<Label>("key", nn(TypeRef::STRING), |label| Some(&label.key)))
                .field(plain::<Label>("value", nn("Any"), |label| Some(label.value.clone()))),
        );
    let builder = auth::register(builder, dialect);
    let builder = items::register(builder, dialect);
    let builder = instance::register(builder, dialect);
    scalars().into_iter().fold(builder, |builder, scalar| builder.register(scalar)).finish()
}

fn scalars() -> Vec<Scalar> {
    let objects = ["Labels", "HttpHeaders", "QueryParams"]
        .map(|name| Scalar::new(name).validator(|value| matches!(value, Value::Object(_) | Value::Null)));
    let strings = ["JSON", "JSONSchema", "CLOB", "Timestamp", "PageCursor"]
        .map(|name| Scalar::new(name).validator(|value| matches!(value, Value::String(_) | Value::Null)));
    objects.into_iter().chain(strings).chain([Scalar::new("Any")]).collect()
}

fn runtime<'a>(context: &ResolverContext<'a>) -> Resolved<'a> {
    let wanted = required(context, "id")?;
    let call = call(context);
    call.shared.read(|state| {
        let own = authorised(call, state, "runtime:read")?;
        Ok((own.id == wanted).then(|| FieldValue::owned_any(own.clone())))
    })
}

fn set_label<'a>(context: &ResolverContext<'a>) -> Resolved<'a> {
    let (wanted, key) = (required(context, "runtimeID")?, required(context, "key")?);
    let value = context.args.get("value").map(|value| value.as_value().clone()).unwrap_or_default();
    if key.is_empty() || !key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        return Err(Failure::invalid(format!("key: \"{key}\" may contain only letters, digits and underscores")));
    }
    let stored = value.clone().into_json().map_err(Failure::invalid)?;
    let call = call(context);
    call.shared.change(|state| {
        let own = authorised(call, state, "runtime:write")?.id.clone();
        let runtime = state.model.runtimes.get_mut(&wanted).filter(|_| own == wanted);
        let runtime = runtime.ok_or_else(|| Failure::not_found("runtime", &wanted))?;
        runtime.labels.insert(key.clone(), stored);
        Ok(Some(FieldValue::owned_any(Label { key, value })))
    })
}

fn applications<'a>(context: &ResolverContext<'a>) -> Resolved<'a> {
    let wanted = required(context, "runtimeID")?;
    let call = call(context);
    let page = call.shared.read(|state| {
        let own = authorised(call, state, "application:read")?;
        if !state.model.runtimes.contains_key(&wanted) {
            return Err(Failure::invalid(format!("runtime with id {wanted} does not exist")));
        }
        if own.id != wanted {
            return Err(Failure::unauthorized("the runtime may only ask for its own applications"));
        }
        page(context, state, own)
    })?;
    let page = Applications { window: page.window.miscount(call.total_delta), ..page };
    if page.window.has_next && !call.changes.is_empty() {
        call.shared.change(|state| call.changes.iter().for_each(|change| shift(state, &wanted, *change)));
    }
    Ok(Some(FieldValue::owned_any(page)))
}

fn page(context: &ResolverContext<'_>, state: &State, runtime: &Runtime) -> Result<Applications, Failure> {
    let all = &state.model.applications;
    let limit = state.options.max_page;
    let Some(formation) = &runtime.formation else {
        let window = Window::open(context, all.len(), limit)?;
        let data = all.values().skip(window.offset).take(window.length).cloned().collect();
        return Ok(Applications { data, window });
    };
    let seen: Vec<_> = formation.iter().filter_map(|id| all.get(id)).collect();
    let window = Window::open(context, seen.len(), limit)?;
    let data = seen[window.offset..window.offset + window.length].iter().map(|found| Arc::clone(found)).collect();
    Ok(Applications { data, window })
}

/// Changes the list that a runtime sees, before the place where it reads on.
fn shift(state: &mut State, runtime: &str, change: ListChange) {
    let formation = state.model.runtimes.get(runtime).and_then(|runtime| runtime.formation.clone());
    match change {
        ListChange::Delete => {
            let mut seen = state.model.applications.keys();
            let first = seen.find(|id| formation.as_ref().is_none_or(|formation| formation.contains(*id))).cloned();
            first.map(|id| state.model.applications.remove(&id));
        }
        ListChange::Insert => {
            let id = format!("00000000-0000-4000-8000-{:012x}", fastrand::u64(..1 << 48));
            let name = "appeared-between-pages".to_owned();
            let status = Status { condition: "CONNECTED".to_owned(), ..Status::default() };
            state.model.put(Application { id: id.clone(), name, status, ..Application::default() });
            let runtime = state.model.runtimes.get_mut(runtime);
            if let Some(formation) = runtime.and_then(|runtime| runtime.formation.as_mut()) {
                formation.insert(id);
            }
        }
    }
}
