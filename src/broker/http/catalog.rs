//! The answer that all platforms begin with. It is made elsewhere, whenever the plane's list changes.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::answer::{Fault, Word};
use super::routes::Desk;

/// After how long it is worth asking again while there is no list: 10 seconds.
const FIRST_LIST: Duration = Duration::from_secs(10);

pub(super) async fn get(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, Fault> {
    let catalog = desk.catalog.borrow().clone();
    let catalog = catalog.ok_or_else(|| {
        Fault::new(
            Word::ServiceUnavailable,
            "The plane has not given its list yet, so it is not known what can be offered; ask again. `runtime-agent \
             status` tells how the host stands with it.",
        )
        .after(Some(FIRST_LIST))
    })?;
    // It may be kept, and has to be asked about each time.
    let tag = [(ETAG, catalog.etag().to_string()), (CACHE_CONTROL, "no-cache".to_owned())];
    if catalog.etag().is_named_by(headers.get_all(IF_NONE_MATCH).iter().map(|value| value.as_bytes())) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, [(CONTENT_TYPE, "application/json")], Body::from(catalog.body())).into_response())
}
