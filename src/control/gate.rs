//! The way in: each request is let through or refused.

use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;

use super::Answer;
use super::access::{Access, of_groups, refusal};
use crate::config::Control;
use crate::peers::{Directory, Peer, Places};
use crate::serving::{Answered, Limits};

/// How many connections users may hold who are neither root nor the agent's own: one of them enough for a few waiting
/// readers.
pub(super) const PLACES: Places = Places { for_one: 8, for_all: 64 };

/// What a connection may take. Whoever holds one asks at once, so that those who only sit there make place for others in
/// five seconds; how long an order or a waiting reader waits for its answer has no limit here.
pub(super) const LIMITS: Limits = Limits {
    // As many again for root and the agent's own user, who are not counted.
    connections: 2 * PLACES.for_all,
    head: Duration::from_secs(5),
    head_size: 8 * 1024,
    body: Duration::from_secs(5),
    body_size: 64 * 1024,
    answer: Duration::from_secs(10),
    answered: Answered::Keep,
};

/// What decides about requests.
#[derive(Debug, Clone)]
pub(super) struct Porter {
    control: watch::Receiver<Control>,
    directory: Directory,
}

impl Porter {
    pub(super) fn new(control: watch::Receiver<Control>) -> Self {
        Self { control, directory: Directory::default() }
    }

    async fn access(&self, peer: &Peer) -> Access {
        if peer.may_all() {
            return Access::Change;
        }
        let control = self.control.borrow().clone();
        let judged = self.directory.judge(peer, move |memberships| of_groups(memberships, &control)).await;
        judged.unwrap_or(Access::Nothing)
    }
}

/// Lets a request through whose sender may do what it asks; to GET is to look.
pub(super) async fn guard(
    State(porter): State<Porter>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let wanted = match *request.method() {
        Method::GET | Method::HEAD => Access::Look,
        _ => Access::Change,
    };
    let access = porter.access(&peer).await;
    if access >= wanted {
        return next.run(request).await;
    }
    let message = refusal(peer.uid(), access, wanted, &porter.control.borrow());
    tracing::debug!(uid = peer.uid(), method = %request.method(), "a request at the control socket is refused");
    (StatusCode::FORBIDDEN, Json(Answer { done: false, message })).into_response()
}
