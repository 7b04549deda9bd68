//! What the journal is told of a request: one line, without anything of what was asked or answered.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::originating::Platform;
use crate::event::Outcome;

/// The header by which a client knows a request again, in what it is answered and in the journal.
const IDENTITY: &str = "x-broker-api-request-identity";

/// The longest identity that is repeated, in bytes. They are UUIDs, usually.
const LONGEST: usize = 256;

/// What a client calls a request: a short text of visible ASCII.
#[derive(Debug, Clone)]
pub(super) struct RequestIdentity(Box<str>);

impl RequestIdentity {
    /// The one that the request names, if it can be repeated.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(IDENTITY)?.to_str().ok()?;
        let plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        (plain && (1..=LONGEST).contains(&text.len())).then(|| Self(text.into()))
    }

    /// Says it again.
    pub(super) fn repeat(&self, headers: &mut HeaderMap) {
        // It came in such a header.
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            headers.insert(IDENTITY, value);
        }
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Record {
    method: Method,
    path: Option<MatchedPath>,
    start: Instant,
}

impl Record {
    pub(super) fn of(request: &Request) -> Self {
        let path = request.extensions().get::<MatchedPath>().cloned();
        Self { method: request.method().clone(), path, start: Instant::now() }
    }

    /// Tells what came of it: of what changed something, those who read the journal every day as well.
    pub(super) fn close(self, status: StatusCode, identity: Option<&RequestIdentity>, platform: Option<&Platform>) {
        outcome(status).emit();
        // The path itself holds what the client made up.
        let path = self.path.as_ref().map_or("elsewhere", MatchedPath::as_str);
        let method = match self.method.as_str() {
            known @ ("GET" | "HEAD" | "PUT" | "PATCH" | "DELETE" | "POST" | "OPTIONS") => known,
            _ => "another method",
        };
        let (status_code, milliseconds) = (status.as_u16(), self.start.elapsed().as_millis());
        let request_identity = identity.map(|RequestIdentity(text)| &**text);
        let platform = platform.map(tracing::field::display);
        if changed(method, status) {
            tracing::info!(
                request_identity,
                platform,
                "the service broker has answered {method} {path} with {status_code} in {milliseconds} ms"
            );
        } else {
            tracing::debug!(
                request_identity,
                platform,
                "the service broker has answered {method} {path} with {status_code} in {milliseconds} ms"
            );
        }
    }
}

fn outcome(status: StatusCode) -> Outcome {
    if status.is_server_error() {
        Outcome::Failed
    } else if status.is_client_error() {
        Outcome::Refused
    } else {
        Outcome::Success
    }
}

/// Whether something was made, given back or begun.
fn changed(method: &str, status: StatusCode) -> bool {
    match method {
        "PUT" => matches!(status, StatusCode::CREATED | StatusCode::ACCEPTED),
        "DELETE" => matches!(status, StatusCode::OK | StatusCode::ACCEPTED),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_repeated_unless_it_could_be_something_else() {
        let named = |value: &[u8]| {
            let value = HeaderValue::from_bytes(value).unwrap();
            RequestIdentity::of(&[(IDENTITY.parse().unwrap(), value)].into_iter().collect()).is_some()
        };
        assert!(named(b"e26cebde-b8d2-4c70-b0dd-2ee8f6ff4ba7") && named(&[b'x'; LONGEST]));
        assert!(!named(b"") && !named(&[b'x'; LONGEST + 1]) && !named("ä".as_bytes()) && !named(b"a\tb"));
        assert!(RequestIdentity::of(&HeaderMap::new()).is_none());
    }

    #[test]
    fn a_status_counts_by_its_kind() {
        for (status, counted) in
            [(200, "success"), (202, "success"), (304, "success"), (401, "refused"), (429, "refused"), (503, "failed")]
        {
            assert_eq!(outcome(StatusCode::from_u16(status).unwrap()).as_str(), counted, "{status}");
        }
    }

    #[test]
    fn what_changed_something_is_told_apart_from_what_did_not() {
        for (method, status, is) in [
            ("PUT", 201, true),
            ("PUT", 202, true),
            ("PUT", 200, false),
            ("PUT", 409, false),
            ("DELETE", 200, true),
            ("DELETE", 410, false),
            ("GET", 200, false),
            ("PATCH", 200, false),
        ] {
            assert_eq!(changed(method, StatusCode::from_u16(status).unwrap()), is, "{method} {status}");
        }
    }
}
