//! What whoever may look can look at: metrics, whether the agent is alive, and whether the host is ready.
//!
//! Nothing here names a runtime, an application or a plane, and nothing here changes anything.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use tokio::sync::watch;

use crate::agent::pulse::Pulses;
use crate::agent::standing::Standing;
use crate::agent::status::Status;
use crate::metrics;

/// What can be looked at.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The board.
    pub status: watch::Receiver<Status>,
    /// The loops' signs of life.
    pub pulses: Pulses,
}

/// The paths `/metrics`, `/healthz` and `/readyz`.
pub fn router(observed: Observed) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .route("/healthz", get(health))
        .route("/readyz", get(readiness))
        .with_state(observed)
}

async fn page(State(observed): State<Observed>) -> Response {
    match metrics::page(&observed.status.borrow()) {
        Ok(page) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], page).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn health(State(observed): State<Observed>) -> Response {
    tell(match observed.pulses.hanging() {
        None => Ok(()),
        Some(name) => Err(format!("the {name} loop hangs")),
    })
}

async fn readiness(State(observed): State<Observed>) -> Response {
    tell(ready(&observed.status.borrow(), Timestamp::now()).map_err(str::to_owned))
}

fn tell(result: Result<(), String>) -> Response {
    let (code, text) = match result {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n"),
    };
    (code, [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], text).into_response()
}

/// Whether the host has a valid certificate, and files of a list that the plane gave to it; if not, why not.
fn ready(status: &Status, now: Timestamp) -> Result<(), &'static str> {
    let Some(identity) = &status.identity else {
        return Err(if status.standing == Standing::Lost { "the identity is lost" } else { "not paired" });
    };
    match status.standing {
        Standing::Valid => {}
        Standing::Expired => return Err("the certificate has expired"),
        Standing::Rejected => return Err("the plane refuses the certificate"),
        Standing::NotYetValid => return Err("the certificate is not valid yet"),
        Standing::Lost => return Err("the identity is lost"),
        Standing::Unpaired => return Err("not paired"),
    }
    // The loop that judges it may just be at work.
    if identity.not_after <= now {
        return Err("the certificate has expired");
    }
    if status.sync.last_success.is_none() {
        return Err("the plane has not given its list yet");
    }
    if status.output.is_none() {
        return Err("no files are published yet");
    }
    Ok(())
}
