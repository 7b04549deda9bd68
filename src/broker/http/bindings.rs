//! Requests about service bindings.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::answer::{Fault, made_elsewhere, nothing, retry_after};
use super::body::{self, Received};
use super::instances::status_of;
use super::path::{Impossible, OfBinding};
use super::query::Query;
use super::routes::Desk;
use crate::broker::{Bound, LastOperation, Operation, Order, Unbound};

type Path = Result<OfBinding, Impossible>;

pub(super) async fn put(
    State(desk): State<Desk>,
    path: Path,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    received: Received,
) -> Result<Response, Fault> {
    let OfBinding(instance, binding) = path.map_err(Impossible::bad_request)?;
    let patience = Query::parse(query.as_deref()).patience()?;
    let bind = body::bind(&headers, received, patience)?;
    let bound = desk.orders.ask(|reply| Order::Bind(instance, binding, bind, reply)).await?;
    Ok(match bound {
        Bound::Here { made, body } => made_elsewhere(status_of(made), &body),
        Bound::UnderWay(operation) => accepted(&operation),
    })
}

pub(super) async fn get(State(desk): State<Desk>, path: Path) -> Result<Response, Fault> {
    let OfBinding(instance, binding) = path.map_err(Impossible::not_found)?;
    let body = desk.orders.ask(|reply| Order::Binding(instance, binding, reply)).await?;
    Ok(made_elsewhere(StatusCode::OK, &body))
}

pub(super) async fn delete(State(desk): State<Desk>, path: Path, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let query = Query::parse(query.as_deref());
    let (patience, wanted) = (query.patience()?, query.wanted()?);
    let OfBinding(instance, binding) = path.map_err(Impossible::gone)?;
    let unbound = desk.orders.ask(|reply| Order::Unbind(instance, binding, wanted, patience, reply)).await?;
    Ok(match unbound {
        Unbound::Gone => nothing(StatusCode::OK),
        Unbound::UnderWay(operation) => accepted(&operation),
    })
}

/// Which operation is meant, and of which service and plan, a client may say or leave out: there is only the last one.
pub(super) async fn last_operation(State(desk): State<Desk>, path: Path) -> Result<Response, Fault> {
    let OfBinding(instance, binding) = path.map_err(Impossible::not_found)?;
    let last = desk.orders.ask(|reply| Order::LastOperation(instance, binding, reply)).await?;
    let LastOperation { state, description, ask_again_in } = last;
    let mut body = json!({ "state": state.as_str() });
    if !description.is_empty() {
        body["description"] = description.into();
    }
    let mut answer = Json(body).into_response();
    retry_after(&mut answer, ask_again_in);
    Ok(answer)
}

fn accepted(Operation(word): &Operation) -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "operation": word }))).into_response()
}
