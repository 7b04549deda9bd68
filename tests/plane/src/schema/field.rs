//! Fields: one place where a resolver meets the engine, the faults, and the rule that a failed nullable field is null.

use std::{
    any::Any,
    sync::{Arc, atomic::Ordering},
};

use async_graphql::{
    ErrorExtensions, PathSegment, Value,
    dynamic::{Field, FieldFuture, FieldValue, InputValue, ResolverContext, TypeRef},
};

use super::{Call, Failure};

/// Where an error that ends the whole answer keeps its path on the way out of the engine.
pub(crate) const PATH: &str = "__path";

pub(crate) type Resolved<'a> = Result<Option<FieldValue<'a>>, Failure>;

/// The call that a field is resolved for.
pub(crate) fn call<'a>(context: &ResolverContext<'a>) -> &'a Call {
    context.ctx.data_unchecked::<Arc<Call>>()
}

/// A field with any resolver.
pub(crate) fn field(
    name: &str,
    kind: TypeRef,
    resolve: impl for<'a> Fn(&ResolverContext<'a>) -> Resolved<'a> + Send + Sync + 'static,
) -> Field {
    let nullable = !matches!(kind, TypeRef::NonNull(_));
    let own_name = name.to_owned();
    Field::new(name, kind, move |context| {
        let call = call(&context);
        call.executed.store(true, Ordering::Relaxed);
        let resolved = match nullable.then(|| call.nulled(&own_name)).flatten() {
            Some(true) => Ok(None),
            Some(false) => Err(Failure::internal("a resolver failed")),
            None => resolve(&context),
        };
        let failure = match resolved {
            Ok(value) => return FieldFuture::Value(value),
            Err(failure) => failure,
        };
        let located = context.set_error_path(failure.clone().into_error().into_server_error(context.item.pos));
        if nullable {
            context.add_error(located);
            return FieldFuture::Value(None);
        }
        let path = located.path.iter().map(|segment| match segment {
            PathSegment::Field(name) => Value::from(name.as_str()),
            PathSegment::Index(index) => Value::from(*index),
        });
        let error = failure.into_error().extend_with(|_, extensions| extensions.set(PATH, path.collect::<Vec<_>>()));
        FieldFuture::new(async move { Err::<Option<FieldValue<'_>>, _>(error) })
    })
}

/// A field of an object that is a `T`.
pub(crate) fn of<T: Any>(
    name: &str,
    kind: TypeRef,
    resolve: impl for<'a> Fn(&'a T, &ResolverContext<'a>) -> Resolved<'a> + Send + Sync + 'static,
) -> Field {
    field(name, kind, move |context| resolve(parent(context)?, context))
}

/// A field that is text, or a scalar that is written as text.
pub(crate) fn text<T: Any>(name: &str, kind: TypeRef, get: for<'a> fn(&'a T) -> Option<&'a str>) -> Field {
    of(name, kind, move |parent, _| Ok(get(parent).map(FieldValue::value)))
}

/// A field that is another plain value.
pub(crate) fn plain<T: Any>(name: &str, kind: TypeRef, get: fn(&T) -> Option<Value>) -> Field {
    of(name, kind, move |parent, _| Ok(get(parent).map(FieldValue::value)))
}

/// A field that is an object inside its parent.
pub(crate) fn inner<T: Any, U: Any + Send + Sync>(
    name: &str,
    kind: TypeRef,
    get: for<'a> fn(&'a T) -> Option<&'a U>,
) -> Field {
    of(name, kind, move |parent, _| Ok(get(parent).map(|value| FieldValue::borrowed_any(value))))
}

fn parent<'a, T: Any>(context: &ResolverContext<'a>) -> Result<&'a T, Failure> {
    context.parent_value.try_downcast_ref::<T>().map_err(|error| Failure::internal(&error.message))
}

/// An argument that is text and required.
pub(crate) fn required(context: &ResolverContext<'_>, name: &str) -> Result<String, Failure> {
    optional(context, name)?.ok_or_else(|| Failure::invalid(format!("{name} is missing")))
}

/// An argument that is text.
pub(crate) fn optional(context: &ResolverContext<'_>, name: &str) -> Result<Option<String>, Failure> {
    match context.args.get(name) {
        Some(value) if !value.is_null() => Ok(Some(scalar(value.as_value(), name)?)),
        Some(_) | None => Ok(None),
    }
}

/// Ids may be written as numbers, too.
pub(crate) fn scalar(value: &Value, name: &str) -> Result<String, Failure> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(Failure::invalid(format!("{name} is not text"))),
    }
}

pub(crate) fn id_argument(name: &str) -> InputValue {
    InputValue::new(name, TypeRef::named_nn(TypeRef::ID))
}

/// `name!`.
pub(crate) fn nn(name: &str) -> TypeRef {
    TypeRef::named_nn(name)
}

/// `name`, nullable.
pub(crate) fn maybe(name: &str) -> TypeRef {
    TypeRef::named(name)
}
