//! The daemon's side of the control socket.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Deserialize;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};

use super::gate::{LIMITS, PLACES, Porter, guard};
use super::{Answer, Observed, SetVersion, Sync, Unpair};
use crate::agent::status::Status;
use crate::agent::{PersonAsked, SyncOrder, TrustOrder, VersionOrder};
use crate::broker::{Broker, Order};
use crate::config::Control;
use crate::peers::Gate;
use crate::serving;

/// How long a reader that waits for a change is kept waiting before it gets the same again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What the server speaks to.
#[derive(Debug, Clone)]
pub struct Handles {
    /// What can be looked at.
    pub observed: Observed,
    /// The board.
    pub status: watch::Receiver<Status>,
    /// Orders to the configuration loop.
    pub sync: mpsc::Sender<SyncOrder>,
    /// Orders to the identity loop.
    pub trust: mpsc::Sender<TrustOrder>,
    /// Orders to go back to an older generation, and on again.
    pub versions: mpsc::Sender<VersionOrder>,
    /// Where it is told that a person asked that what is published be applied, whatever became of it before.
    pub asked: watch::Sender<PersonAsked>,
    /// The service broker.
    pub broker: Broker,
    /// Who may do what.
    pub control: watch::Receiver<Control>,
}

/// Serves until the process ends.
pub async fn serve(listener: UnixListener, handles: Handles) {
    serving::serve(Gate::new(listener, PLACES), router(handles), LIMITS).await;
}

/// All that can be asked, behind the one who decides about it by the [`Peer`](crate::peers::Peer) who asks.
pub fn router(handles: Handles) -> Router {
    let observed = super::observing(handles.observed.clone());
    let porter = Porter::new(handles.control.clone());
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/broker", get(broker))
        .route("/v1/sync", post(sync))
        .route("/v1/renew", post(renew))
        .route("/v1/unpair", post(unpair))
        .route("/v1/version", post(version))
        .with_state(handles)
        .merge(observed)
        // Over all of the above.
        .layer(middleware::from_fn_with_state(porter, guard))
}

#[derive(Deserialize)]
struct After {
    after: Option<u64>,
}

async fn status(State(mut handles): State<Handles>, Query(After { after }): Query<After>) -> Json<Status> {
    if let Some(after) = after {
        let newer = handles.status.wait_for(|status| status.revision != after);
        // Too late, or the daemon ends: what stands there now is the answer.
        let _ = tokio::time::timeout(LONGEST_WAIT, newer).await;
    }
    Json(handles.status.borrow().clone())
}

async fn broker(State(handles): State<Handles>) -> Response {
    match handles.broker.ask(Order::Overview).await {
        Ok(overview) => Json(&*overview).into_response(),
        Err(refusal) => {
            (StatusCode::CONFLICT, Json(Answer { done: false, message: refusal.to_string() })).into_response()
        }
    }
}

async fn sync(State(handles): State<Handles>, Json(Sync { consent }): Json<Sync>) -> (StatusCode, Json<Answer>) {
    let (sender, receiver) = oneshot::channel();
    let current = handles.status.borrow().output.as_ref().map(|output| output.generation);
    let answered = answer(handles.sync.send(SyncOrder { consent, answer: sender }).await.is_ok(), receiver).await;
    // After that, what the plane says now is what is current.
    PersonAsked::note(&handles.asked, current);
    answered
}

async fn renew(State(handles): State<Handles>) -> (StatusCode, Json<Answer>) {
    let (sender, receiver) = oneshot::channel();
    answer(handles.trust.send(TrustOrder::Renew(sender)).await.is_ok(), receiver).await
}

async fn unpair(State(handles): State<Handles>, Json(Unpair { files }): Json<Unpair>) -> (StatusCode, Json<Answer>) {
    let (sender, receiver) = oneshot::channel();
    answer(handles.trust.send(TrustOrder::Unpair(files, sender)).await.is_ok(), receiver).await
}

async fn version(
    State(handles): State<Handles>,
    Json(SetVersion { version }): Json<SetVersion>,
) -> (StatusCode, Json<Answer>) {
    let (sender, receiver) = oneshot::channel();
    answer(handles.versions.send(VersionOrder { version, answer: sender }).await.is_ok(), receiver).await
}

async fn answer(sent: bool, receiver: oneshot::Receiver<Result<String, String>>) -> (StatusCode, Json<Answer>) {
    let result = if sent { receiver.await.ok() } else { None };
    let (code, done, message) = match result {
        Some(Ok(message)) => (StatusCode::OK, true, message),
        Some(Err(message)) => (StatusCode::CONFLICT, false, message),
        None => (StatusCode::SERVICE_UNAVAILABLE, false, "The agent is ending.".into()),
    };
    (code, Json(Answer { done, message }))
}
