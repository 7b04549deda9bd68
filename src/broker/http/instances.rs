//! Requests about service instances.

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::answer::{Fault, nothing};
use super::body::{self, Received, Update};
use super::path::{Impossible, OfInstance};
use super::query::Query;
use super::routes::Desk;
use crate::broker::{Made, OperationState, Order};

type Path = Result<OfInstance, Impossible>;

pub(super) async fn put(
    State(desk): State<Desk>,
    path: Path,
    headers: HeaderMap,
    received: Received,
) -> Result<Response, Fault> {
    let OfInstance(id) = path.map_err(Impossible::bad_request)?;
    let provision = body::provision(&headers, received)?;
    let made = desk.orders.ask(|reply| Order::Provision(id, provision, reply)).await?;
    Ok(nothing(status_of(made)))
}

pub(super) async fn get(State(desk): State<Desk>, path: Path) -> Result<Response, Fault> {
    let OfInstance(id) = path.map_err(Impossible::not_found)?;
    let offer = desk.orders.ask(|reply| Order::Instance(id, reply)).await?;
    Ok(Json(json!({ "service_id": offer.service, "plan_id": offer.plan })).into_response())
}

pub(super) async fn patch(
    State(desk): State<Desk>,
    path: Path,
    headers: HeaderMap,
    received: Received,
) -> Result<Response, Fault> {
    let OfInstance(id) = path.map_err(Impossible::bad_request)?;
    let Update { wanted, impossible } = body::update(&headers, received)?;
    desk.orders.ask(|reply| Order::Update(id, wanted, reply)).await?;
    impossible.map_or_else(|| Ok(nothing(StatusCode::OK)), Err)
}

pub(super) async fn delete(State(desk): State<Desk>, path: Path, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let wanted = Query::parse(query.as_deref()).wanted()?;
    let OfInstance(id) = path.map_err(Impossible::gone)?;
    desk.orders.ask(|reply| Order::Deprovision(id, wanted, reply)).await?;
    Ok(nothing(StatusCode::OK))
}

/// Nothing about an instance takes time: one that is there was made, and there is no operation on one that is not.
pub(super) async fn last_operation(State(desk): State<Desk>, path: Path) -> Result<Response, Fault> {
    let OfInstance(id) = path.map_err(Impossible::not_found)?;
    desk.orders.ask(|reply| Order::Instance(id, reply)).await?;
    let state = OperationState::Succeeded.as_str();
    Ok(Json(json!({ "state": state, "description": "The instance is there." })).into_response())
}

pub(super) fn status_of(made: Made) -> StatusCode {
    match made {
        Made::Now => StatusCode::CREATED,
        Made::Before => StatusCode::OK,
    }
}
