//! What every request goes through before it is looked at: who asks, how often, and in which version of the API.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::watch;

use super::answer::{Fault, Word};
use super::door::{self, Door};
use super::originating::{self, Platform};
use super::rate::{Rates, TooOften};
use super::record::{Record, RequestIdentity};
use super::version;
use crate::config;
use crate::peers::Peer;

/// How long all headers of a request may be together, in bytes: 16 KiB. The server takes somewhat more, so that what is too
/// long has an answer that tells so.
pub(super) const LONGEST_HEAD: usize = 16 * 1024;

/// What decides about requests at one door.
#[derive(Debug, Clone)]
pub struct Judge {
    door: Door,
    settings: watch::Receiver<config::Broker>,
    rates: Arc<Mutex<Rates>>,
}

impl Judge {
    /// Decides at a door, as the settings of the moment say.
    pub fn new(door: Door, settings: watch::Receiver<config::Broker>) -> Self {
        Self { door, settings, rates: Arc::default() }
    }

    /// Whether the request is worth an answer; on whose behalf it is made, where that is told.
    async fn hear(&self, headers: &HeaderMap, peer: Option<Peer>) -> Result<Option<Platform>, Response> {
        short(headers).map_err(Fault::into_response)?;
        let client = self.door.client(headers, peer.as_ref());
        let rates = || self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates().take(client, Instant::now()).map_err(too_often)?;
        let settings = self.settings.borrow().clone();
        if let Err(closed) = self.door.admit(headers, peer.as_ref(), &settings).await {
            if closed.is_try() {
                rates().failed(client, Instant::now());
            }
            return Err(closed.into_response());
        }
        let judged =
            version::check(headers).and_then(|()| door::open(&settings)).and_then(|()| originating::platform(headers));
        judged.map_err(Fault::into_response)
    }
}

/// Hears a request, has it answered if it is worth that, and tells the journal.
pub(super) async fn judge(State(judge): State<Judge>, request: Request, next: Next) -> Response {
    let identity = RequestIdentity::of(request.headers());
    let record = Record::of(&request);
    let peer = request.extensions().get().map(|ConnectInfo(peer): &ConnectInfo<Peer>| peer.clone());
    let (platform, mut answer) = match judge.hear(request.headers(), peer).await {
        Ok(platform) => (platform, next.run(request).await),
        Err(answer) => (None, answer),
    };
    let headers = answer.headers_mut();
    // What is said of instances and bindings is not for anybody's cache; the catalog says for itself what it is for.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Some(identity) = &identity {
        identity.repeat(headers);
    }
    record.close(answer.status(), identity.as_ref(), platform.as_ref());
    answer
}

fn short(headers: &HeaderMap) -> Result<(), Fault> {
    let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if length <= LONGEST_HEAD {
        return Ok(());
    }
    let what =
        format!("The headers of the request are longer than {LONGEST_HEAD} bytes, which is the most that is taken.");
    Err(Fault::new(Word::HeadersTooLarge, what))
}

fn too_often(TooOften(wait): TooOften) -> Response {
    let what = "There were too many requests in too short a time, or too many with a wrong password.";
    Fault::new(Word::TooManyRequests, what).after(Some(wait)).into_response()
}
