//! The answer that all platforms begin with. It is made elsewhere, whenever the plane's list changes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::answer::{Fault, Word};
use super::routes::Desk;
use crate::broker::ETag;

/// After how long it is worth asking again while there is no list: 10 seconds.
const FIRST_LIST: Duration = Duration::from_secs(10);

/// The catalog as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogPage {
    /// A JSON object.
    pub bytes: Bytes,
    /// Its tag.
    pub etag: ETag,
}

pub(super) async fn get(State(desk): State<Desk>, headers: HeaderMap) -> Result<Response, Fault> {
    let page: Option<Arc<CatalogPage>> = desk.catalog.borrow().clone();
    let page = page.ok_or_else(|| {
        Fault::new(
            Word::ServiceUnavailable,
            "The plane has not given its list yet, so it is not known what can be offered; ask again. `runtime-agent \
             status` tells how the host stands with it.",
        )
        .after(Some(FIRST_LIST))
    })?;
    // It may be kept, and has to be asked about each time.
    let tag = [(ETAG, page.etag.to_string()), (CACHE_CONTROL, "no-cache".to_owned())];
    if page.etag.is_named_by(headers.get_all(IF_NONE_MATCH).iter().map(|value| value.as_bytes())) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, [(CONTENT_TYPE, "application/json")], Body::from(page.bytes.clone())).into_response())
}
