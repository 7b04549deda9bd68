//! What is answered when a request is not granted, and how answers are written.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::broker::{Refusal, SecretText};

/// What is wrong, in one word, as the field `error` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    Gone,
    UnsupportedApiVersion,
    ContentTooLarge,
    AsyncRequired,
    ConcurrencyError,
    MaintenanceInfoConflict,
    NotSupported,
    LimitReached,
    TooManyRequests,
    HeadersTooLarge,
    StorageError,
    ServiceUnavailable,
}

impl Word {
    #[cfg(test)]
    pub(super) const ALL: [Self; 18] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Conflict,
        Self::Gone,
        Self::UnsupportedApiVersion,
        Self::ContentTooLarge,
        Self::AsyncRequired,
        Self::ConcurrencyError,
        Self::MaintenanceInfoConflict,
        Self::NotSupported,
        Self::LimitReached,
        Self::TooManyRequests,
        Self::HeadersTooLarge,
        Self::StorageError,
        Self::ServiceUnavailable,
    ];

    /// The word. Three of them are the specification's own.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::UnsupportedApiVersion => "UnsupportedApiVersion",
            Self::ContentTooLarge => "ContentTooLarge",
            Self::AsyncRequired => "AsyncRequired",
            Self::ConcurrencyError => "ConcurrencyError",
            Self::MaintenanceInfoConflict => "MaintenanceInfoConflict",
            Self::NotSupported => "NotSupported",
            Self::LimitReached => "LimitReached",
            Self::TooManyRequests => "TooManyRequests",
            Self::HeadersTooLarge => "HeadersTooLarge",
            Self::StorageError => "StorageError",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::UnsupportedApiVersion => StatusCode::PRECONDITION_FAILED,
            Self::ContentTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::AsyncRequired
            | Self::ConcurrencyError
            | Self::MaintenanceInfoConflict
            | Self::NotSupported
            | Self::LimitReached => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            // A platform that sees 5xx takes it that something may have been made, and removes it.
            Self::StorageError => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A request that is not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    word: Word,
    description: String,
    ask_again_in: Option<Duration>,
}

impl Fault {
    pub(super) fn new(word: Word, description: impl Into<String>) -> Self {
        Self { word, description: description.into(), ask_again_in: None }
    }

    pub(super) fn bad_request(description: impl Into<String>) -> Self {
        Self::new(Word::BadRequest, description)
    }

    pub(super) fn after(self, wait: Option<Duration>) -> Self {
        Self { ask_again_in: wait, ..self }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let description = refusal.to_string();
        let (word, wait) = match refusal {
            Refusal::BadRequest(_) => (Word::BadRequest, None),
            Refusal::Conflict(_) => (Word::Conflict, None),
            Refusal::NotFound(_) => (Word::NotFound, None),
            Refusal::Gone(_) => (Word::Gone, None),
            Refusal::AsyncRequired(_) => (Word::AsyncRequired, None),
            Refusal::Concurrency(_) => (Word::ConcurrencyError, None),
            Refusal::Unsupported(_) => (Word::NotSupported, None),
            Refusal::TooMany(_) => (Word::LimitReached, None),
            Refusal::Unavailable { ask_again_in, .. } => (Word::ServiceUnavailable, ask_again_in),
            Refusal::Store(_) => (Word::StorageError, None),
        };
        Self::new(word, description).after(wait)
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self { word, description, ask_again_in } = self;
        let description = if description.trim().is_empty() { "No reason is known.".to_owned() } else { description };
        let body = json!({ "error": word.as_str(), "description": description });
        let mut answer = (word.status(), Json(body)).into_response();
        retry_after(&mut answer, ask_again_in);
        answer
    }
}

/// Says after how many seconds it is worth asking again.
pub(super) fn retry_after(answer: &mut Response, wait: Option<Duration>) {
    if let Some(wait) = wait {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
}

/// An answer without anything to say: `{}`.
pub(super) fn nothing(status: StatusCode) -> Response {
    (status, Json(json!({}))).into_response()
}

/// A JSON object that was made elsewhere.
pub(super) fn made_elsewhere(status: StatusCode, body: &SecretText) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(CONTENT_TYPE, json)], Body::from(body.expose().to_owned())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_one_camel_case_word_with_a_status_of_its_kind() {
        for word in Word::ALL {
            let text = word.as_str();
            assert!(text.starts_with(|c: char| c.is_ascii_uppercase()), "{text}");
            assert!(text.chars().all(|c| c.is_ascii_alphabetic()), "{text}");
            assert!(word.status().is_client_error() || word.status().is_server_error(), "{text}");
        }
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_as_none() {
        for (wait, seconds) in [
            (Duration::ZERO, "1"),
            (Duration::from_millis(1), "1"),
            (Duration::from_millis(1_001), "2"),
            (Duration::from_secs(30), "30"),
        ] {
            let answer = Fault::bad_request("x").after(Some(wait)).into_response();
            assert_eq!(answer.headers()[RETRY_AFTER], seconds, "{wait:?}");
        }
        assert!(!Fault::bad_request("x").into_response().headers().contains_key(RETRY_AFTER));
    }
}
