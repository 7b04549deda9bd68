//! The endpoints, in one table.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::http::HeaderValue;
use axum::http::header::ALLOW;
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use tokio::sync::watch;

use super::answer::{Fault, Word};
use super::judge::{Judge, judge};
use super::{bindings, body, catalog, instances};
use crate::broker::{Broker, Catalog};

/// What handlers have at hand.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The way to whoever decides.
    pub orders: Broker,
    /// The catalog, once there is one.
    pub catalog: watch::Receiver<Option<Arc<Catalog>>>,
}

/// How an endpoint is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// `GET`, and with it `HEAD`.
    Get,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Verb {
    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Patch => MethodFilter::PATCH,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// What is offered.
    Catalog,
    /// Make an instance.
    Provision,
    /// Tell of an instance.
    Instance,
    /// Change an instance.
    Update,
    /// Remove an instance.
    Deprovision,
    /// What came of the last operation on an instance.
    InstanceOperation,
    /// Make a binding.
    Bind,
    /// Tell of a binding.
    Binding,
    /// Give a binding back.
    Unbind,
    /// What came of the last operation on a binding.
    BindingOperation,
}

impl Endpoint {
    fn handler(self, verb: Verb) -> MethodRouter<Desk> {
        let filter = verb.filter();
        match self {
            Self::Catalog => on(filter, catalog::get),
            Self::Provision => on(filter, instances::put),
            Self::Instance => on(filter, instances::get),
            Self::Update => on(filter, instances::patch),
            Self::Deprovision => on(filter, instances::delete),
            Self::InstanceOperation => on(filter, instances::last_operation),
            Self::Bind => on(filter, bindings::put),
            Self::Binding => on(filter, bindings::get),
            Self::Unbind => on(filter, bindings::delete),
            Self::BindingOperation => on(filter, bindings::last_operation),
        }
    }
}

/// An endpoint, and how it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub verb: Verb,
    /// The path, with the names of its parts that are ids in braces.
    pub path: &'static str,
    /// What answers.
    pub endpoint: Endpoint,
}

const INSTANCE: &str = "/v2/service_instances/{instance_id}";
const INSTANCE_OPERATION: &str = "/v2/service_instances/{instance_id}/last_operation";
const BINDING: &str = "/v2/service_instances/{instance_id}/service_bindings/{binding_id}";
const BINDING_OPERATION: &str = "/v2/service_instances/{instance_id}/service_bindings/{binding_id}/last_operation";

const fn route(verb: Verb, path: &'static str, endpoint: Endpoint) -> Route {
    Route { verb, path, endpoint }
}

/// All endpoints.
pub const ROUTES: [Route; 10] = [
    route(Verb::Get, "/v2/catalog", Endpoint::Catalog),
    route(Verb::Put, INSTANCE, Endpoint::Provision),
    route(Verb::Get, INSTANCE, Endpoint::Instance),
    route(Verb::Patch, INSTANCE, Endpoint::Update),
    route(Verb::Delete, INSTANCE, Endpoint::Deprovision),
    route(Verb::Get, INSTANCE_OPERATION, Endpoint::InstanceOperation),
    route(Verb::Put, BINDING, Endpoint::Bind),
    route(Verb::Get, BINDING, Endpoint::Binding),
    route(Verb::Delete, BINDING, Endpoint::Unbind),
    route(Verb::Get, BINDING_OPERATION, Endpoint::BindingOperation),
];

/// All endpoints, behind a judge.
pub fn router(desk: Desk, by: Judge) -> Router {
    ROUTES
        .iter()
        .fold(Router::new(), |router, route| router.route(route.path, route.endpoint.handler(route.verb)))
        .method_not_allowed_fallback(not_allowed)
        .fallback(elsewhere)
        .with_state(desk)
        .layer(DefaultBodyLimit::max(body::LONGEST))
        // Over all of the above.
        .layer(middleware::from_fn_with_state(by, judge))
}

async fn not_allowed(path: MatchedPath) -> Response {
    let allowed = allowed(path.as_str());
    let what = format!("This method is not for this path; {allowed} are.");
    let mut answer = Fault::new(Word::MethodNotAllowed, what).into_response();
    if let Ok(allowed) = HeaderValue::from_str(&allowed) {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

/// The methods of a path.
fn allowed(path: &str) -> String {
    let verbs = ROUTES.iter().filter(|route| route.path == path).map(|route| route.verb);
    let names: Vec<_> = verbs.map(|verb| if verb == Verb::Get { "GET, HEAD" } else { verb.as_str() }).collect();
    names.join(", ")
}

async fn elsewhere() -> Fault {
    Fault::new(
        Word::NotFound,
        "There is nothing at this path: the endpoints are those of the Open Service Broker API, below /v2/.",
    )
}
