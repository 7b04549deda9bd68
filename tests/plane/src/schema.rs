//! The GraphQL schemas of Connector and Director, and the execution of one call against them.

mod auth;
mod connector;
mod director;
mod failure;
mod field;
mod instance;
mod items;
mod page;
mod positions;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use async_graphql::{
    Name, PathSegment, ServerError, Value,
    dynamic::Schema,
    parser::types::{BaseType, DocumentOperations, ExecutableDocument, OperationDefinition, Selection},
};
use serde_json::{Map, json};

pub(crate) use failure::Failure;

use crate::{Dialect, Effect, Error, Fault, ListChange, identity::Caller, state::Shared};

/// The schemas, built once.
pub(crate) struct Schemas {
    connector: Schema,
    bundle: Schema,
    package: Schema,
}

impl Schemas {
    pub(crate) fn new() -> Result<Self, Error> {
        let built = |schema: Result<Schema, async_graphql::dynamic::SchemaError>| {
            schema.map_err(|error| Error::Schema(error.to_string()))
        };
        Ok(Self {
            connector: built(connector::schema())?,
            bundle: built(director::schema(Dialect::Bundle))?,
            package: built(director::schema(Dialect::Package))?,
        })
    }

    pub(crate) fn connector(&self) -> &Schema {
        &self.connector
    }

    pub(crate) fn director(&self, dialect: Dialect) -> &Schema {
        match dialect {
            Dialect::Bundle => &self.bundle,
            Dialect::Package => &self.package,
        }
    }
}

/// One call: who makes it, and the faults that its resolvers show.
pub(crate) struct Call {
    pub(crate) shared: Arc<Shared>,
    pub(crate) caller: Option<Caller>,
    pub(crate) tenant: Option<String>,
    executed: AtomicBool,
    nulls: Mutex<Vec<Null>>,
    total_delta: i64,
    failure: Option<Failure>,
    changes: Vec<ListChange>,
    beside: Vec<Failure>,
}

impl Call {
    pub(crate) fn new(shared: Arc<Shared>, caller: Option<Caller>, tenant: Option<String>, faults: &[Fault]) -> Self {
        let mut call = Self {
            shared,
            caller,
            tenant,
            executed: AtomicBool::new(false),
            nulls: Mutex::default(),
            total_delta: 0,
            failure: None,
            changes: Vec::new(),
            beside: Vec::new(),
        };
        let mut nulls = Vec::new();
        for fault in faults {
            match &fault.effect {
                Effect::NullField { field, occurrences, silent } => {
                    nulls.push(Null { field: field.clone(), left: *occurrences, silent: *silent });
                }
                Effect::TotalCount { delta } => call.total_delta += delta,
                Effect::Failure { message, code } => call.failure = Some(Failure::new(*code, message.clone())),
                Effect::BetweenPages { change } => call.changes.push(*change),
                Effect::ErrorsBeside { message, code } => call.beside.push(Failure::new(*code, message.clone())),
                Effect::Nothing
                | Effect::Status { .. }
                | Effect::Delay { .. }
                | Effect::Drip { .. }
                | Effect::Reset
                | Effect::Refuse
                | Effect::Truncate { .. }
                | Effect::Body { .. }
                | Effect::ContentType { .. }
                | Effect::Huge { .. }
                | Effect::GzipBomb { .. }
                | Effect::GzipNothing { .. }
                | Effect::ContentEncoding { .. }
                | Effect::ServerCertificate { .. } => {}
            }
        }
        call.nulls = Mutex::new(nulls);
        call
    }

    /// Whether a fault makes this occurrence of the field null, and whether silently.
    fn nulled(&self, field: &str) -> Option<bool> {
        let mut nulls = self.nulls.lock().unwrap_or_else(PoisonError::into_inner);
        let null = nulls.iter_mut().find(|null| null.hits(field) && null.left != Some(0))?;
        null.left = null.left.map(|left| left - 1);
        Some(null.silent)
    }
}

/// A field that a fault makes null.
struct Null {
    field: String,
    left: Option<usize>,
    silent: bool,
}

impl Null {
    fn hits(&self, field: &str) -> bool {
        self.field == field || (self.field == "bundles" && field == "packages")
    }
}

/// What an executed call answers.
pub(crate) struct Answer {
    /// 200, or 422 for a query that does not fit the schema.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// The messages in `errors`.
    pub(crate) errors: Vec<String>,
}

impl Answer {
    /// An answer without data.
    pub(crate) fn refusal(status: u16, message: &str, extensions: &serde_json::Value) -> Self {
        let body = json!({ "errors": [{ "message": message, "extensions": extensions }], "data": null });
        Self { status, body: body.to_string().into_bytes(), errors: vec![message.to_owned()] }
    }

    /// An answer to a query that cannot be parsed or does not fit the schema.
    pub(crate) fn misfit(code: &str, message: &str) -> Self {
        Self::refusal(422, message, &json!({ "code": code }))
    }
}

/// Executes a request whose query was parsed already.
pub(crate) async fn execute(
    schema: &Schema,
    mut request: async_graphql::Request,
    document: ExecutableDocument,
    call: Call,
) -> Answer {
    let placed = operation(&document, request.operation_name.as_deref())
        .map_or(Ok(()), |operation| positions::check(schema, &document, operation));
    if let Err(message) = placed.and_then(|()| complete_variables(&document, &mut request)) {
        return Answer::misfit("GRAPHQL_VALIDATION_FAILED", &message);
    }
    let call = Arc::new(call);
    request.set_parsed_query(document);
    let response = schema.execute(request.data(Arc::clone(&call))).await;
    let refused = !response.errors.is_empty() && !call.executed.load(Ordering::Relaxed);
    let mut errors: Vec<_> = response.errors.iter().map(|error| written(error, refused)).collect();
    errors.extend(
        call.beside.iter().map(|failure| json!({ "message": failure.message, "extensions": failure.extensions() })),
    );
    let messages = errors.iter().filter_map(|error| error["message"].as_str().map(str::to_owned)).collect();
    #[derive(serde::Serialize)]
    struct Body<'a> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        errors: Vec<serde_json::Value>,
        data: &'a Value,
    }
    // Values that came from JSON or from the model can always be written as JSON.
    let body = serde_json::to_vec(&Body { errors, data: &response.data }).unwrap_or_default();
    Answer { status: if refused { 422 } else { 200 }, body, errors: messages }
}

/// The operation that a request means.
pub(crate) fn operation<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Option<&'a OperationDefinition> {
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), _) => Some(&operation.node),
        (DocumentOperations::Multiple(operations), Some(name)) => operations.get(name).map(|operation| &operation.node),
        (DocumentOperations::Multiple(operations), None) if operations.len() == 1 => {
            operations.values().next().map(|operation| &operation.node)
        }
        (DocumentOperations::Multiple(_), None) => None,
    }
}

/// The names of the fields at the root of an operation.
pub(crate) fn root_fields(operation: &OperationDefinition) -> Vec<String> {
    let fields = operation.selection_set.node.items.iter().filter_map(|selection| match &selection.node {
        Selection::Field(field) => Some(field.node.name.node.to_string()),
        Selection::FragmentSpread(_) | Selection::InlineFragment(_) => None,
    });
    fields.collect()
}

/// Refuses required variables that are missing, and sets optional ones that are missing to null, as the engine does neither.
fn complete_variables(document: &ExecutableDocument, request: &mut async_graphql::Request) -> Result<(), String> {
    let Some(operation) = operation(document, request.operation_name.as_deref()) else {
        return Ok(());
    };
    for definition in &operation.variable_definitions {
        let name = &definition.node.name.node;
        let absent = matches!(request.variables.get(name), None | Some(Value::Null));
        let kind = &definition.node.var_type.node;
        if !absent || definition.node.default_value.is_some() {
            continue;
        }
        if !kind.nullable {
            return Err(format!("variable \"{name}\" of type {} must be defined", kind.base_name()));
        }
        request.variables.insert(Name::new(name), Value::Null);
    }
    Ok(())
}

trait BaseName {
    fn base_name(&self) -> String;
}

impl BaseName for async_graphql::parser::types::Type {
    fn base_name(&self) -> String {
        match &self.base {
            BaseType::Named(name) => name.to_string(),
            BaseType::List(_) => self.to_string(),
        }
    }
}

fn written(error: &ServerError, refused: bool) -> serde_json::Value {
    let mut entry = Map::new();
    entry.insert("message".to_owned(), error.message.clone().into());
    let mut path: Vec<serde_json::Value> = error
        .path
        .iter()
        .map(|segment| match segment {
            PathSegment::Field(name) => name.clone().into(),
            PathSegment::Index(index) => (*index).into(),
        })
        .collect();
    let mut extensions = Map::new();
    if refused {
        let locations: Vec<_> =
            error.locations.iter().map(|place| json!({ "line": place.line, "column": place.column })).collect();
        entry.insert("locations".to_owned(), locations.into());
        extensions.insert("code".to_owned(), "GRAPHQL_VALIDATION_FAILED".into());
    } else if let Some(values) = &error.extensions
        && let Ok(serde_json::Value::Object(values)) = serde_json::to_value(values)
    {
        extensions = values;
        if let Some(serde_json::Value::Array(root)) = extensions.remove(field::PATH) {
            path = root;
        }
    }
    if !path.is_empty() {
        entry.insert("path".to_owned(), path.into());
    }
    if !extensions.is_empty() {
        entry.insert("extensions".to_owned(), extensions.into());
    }
    entry.into()
}
