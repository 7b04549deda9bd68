//! Faults: what goes wrong on purpose, where, and how often.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::{Endpoint, ServerCertificate};

/// A fault that waits for the calls it is meant for.
///
/// ```
/// # use plane::{Endpoint, Fault};
/// Fault::on(Endpoint::Director).operation("applicationsForRuntime").times(3).status(503, "busy");
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Fault {
    /// Where it happens; everywhere if absent.
    pub endpoint: Option<Endpoint>,
    /// The operation's name, or the name of a field at the root of the query; any if absent.
    pub operation: Option<String>,
    /// How many calls it still hits; until it is cleared if absent.
    pub times: Option<u32>,
    /// How many matching calls pass before it begins.
    pub after: u32,
    /// Whether the request is carried out before the fault shows.
    pub processed: bool,
    /// What happens.
    pub effect: Effect,
}

/// How `Retry-After` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryAfter {
    /// As a number of seconds.
    Seconds(u64),
    /// As an HTTP date that many seconds from now.
    Date(u64),
}

/// What a list does between two page reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ListChange {
    /// An application appears before all others, so that one is seen twice.
    Insert,
    /// The first application goes, so that one is skipped.
    Delete,
}

/// What a fault does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "snake_case")]
pub enum Effect {
    /// Nothing: a fault that only counts.
    #[default]
    Nothing,
    /// An answer from the gateway: a status and a body.
    Status {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
        /// Its content type.
        content_type: String,
        /// The header `Retry-After`.
        retry_after: Option<RetryAfter>,
    },
    /// The answer waits.
    Delay {
        /// Milliseconds.
        milliseconds: u64,
    },
    /// The body comes in small pieces.
    Drip {
        /// Bytes in a piece.
        bytes: usize,
        /// Milliseconds between pieces.
        milliseconds: u64,
    },
    /// The TCP connection is reset instead of an answer.
    Reset,
    /// The TCP connection is reset as soon as it is accepted.
    Refuse,
    /// The body ends before its announced length.
    Truncate {
        /// Bytes that are sent.
        bytes: usize,
    },
    /// HTTP 200 with this body instead of the answer.
    Body {
        /// The body.
        body: String,
        /// Its content type.
        content_type: String,
    },
    /// The true answer under another content type.
    ContentType {
        /// The content type.
        content_type: String,
    },
    /// HTTP 200 and a body of blanks of that size.
    Huge {
        /// The size.
        bytes: u64,
    },
    /// The same, compressed by a factor of a thousand.
    GzipBomb {
        /// The size when decompressed.
        bytes: u64,
    },
    /// HTTP 200 and a body that decompresses to nothing at all.
    GzipNothing {
        /// The size before that.
        bytes: u64,
    },
    /// The true answer, said to be compressed in this way.
    ContentEncoding {
        /// The name of the coding.
        coding: String,
    },
    /// An entry in `errors` beside complete data.
    ErrorsBeside {
        /// Its message.
        message: String,
        /// Its `error_code`.
        code: u16,
    },
    /// A business error instead of data.
    Failure {
        /// Its message.
        message: String,
        /// Its `error_code`.
        code: u16,
    },
    /// A nullable field is null, with an entry in `errors`.
    NullField {
        /// The field; `bundles` also stands for `packages`.
        field: String,
        /// How many occurrences in one answer; all if absent.
        occurrences: Option<usize>,
        /// Whether there is no entry in `errors`.
        silent: bool,
    },
    /// `totalCount` of applications is off.
    TotalCount {
        /// By how much.
        delta: i64,
    },
    /// The list of applications changes after a page was read.
    BetweenPages {
        /// How.
        change: ListChange,
    },
    /// The listener shows another server certificate; counted by handshakes.
    ServerCertificate {
        /// Which.
        certificate: ServerCertificate,
    },
}

impl Default for Fault {
    fn default() -> Self {
        Self::anywhere()
    }
}

impl Fault {
    /// A fault at one endpoint.
    pub fn on(endpoint: Endpoint) -> Self {
        Self { endpoint: Some(endpoint), ..Self::anywhere() }
    }

    /// A fault at every endpoint.
    pub fn anywhere() -> Self {
        Self { endpoint: None, operation: None, times: None, after: 0, processed: false, effect: Effect::Nothing }
    }

    /// Only for calls of this name: the operation's, or that of a field at the root of its query.
    #[must_use]
    pub fn operation(self, name: impl Into<String>) -> Self {
        Self { operation: Some(name.into()), ..self }
    }

    /// Only for the next `times` matching calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only after `calls` matching calls have passed.
    #[must_use]
    pub fn after(self, calls: u32) -> Self {
        Self { after: calls, ..self }
    }

    /// The request is carried out, and then the fault shows: with [`Fault::reset`], an answer that is lost.
    #[must_use]
    pub fn processed(self) -> Self {
        Self { processed: true, ..self }
    }

    /// An answer from the gateway that is not JSON.
    #[must_use]
    pub fn status(self, status: u16, body: impl Into<String>) -> Self {
        self.effect(Effect::Status {
            status,
            body: body.into(),
            content_type: "text/plain".to_owned(),
            retry_after: None,
        })
    }

    /// HTTP 429, with or without `Retry-After`.
    #[must_use]
    pub fn rate_limited(self, retry_after: Option<RetryAfter>) -> Self {
        let (body, content_type) = ("Too Many Requests".to_owned(), "text/plain".to_owned());
        self.effect(Effect::Status { status: 429, body, content_type, retry_after })
    }

    /// The answer waits.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.effect(Effect::Delay { milliseconds: delay.as_millis().try_into().unwrap_or(u64::MAX) })
    }

    /// The body comes in pieces of `bytes`, one per `interval`.
    #[must_use]
    pub fn drip(self, bytes: usize, interval: Duration) -> Self {
        let milliseconds = interval.as_millis().try_into().unwrap_or(u64::MAX);
        self.effect(Effect::Drip { bytes: bytes.max(1), milliseconds })
    }

    /// The TCP connection is reset instead of an answer; the request is not carried out, unless [`Fault::processed`].
    #[must_use]
    pub fn reset(self) -> Self {
        self.effect(Effect::Reset)
    }

    /// The request is carried out and then the TCP connection is reset.
    #[must_use]
    pub fn lost_answer(self) -> Self {
        self.processed().effect(Effect::Reset)
    }

    /// The TCP connection is reset as soon as it is accepted, before any handshake.
    #[must_use]
    pub fn refuse(self) -> Self {
        self.effect(Effect::Refuse)
    }

    /// The body ends after `bytes`, before its announced length.
    #[must_use]
    pub fn truncate(self, bytes: usize) -> Self {
        self.effect(Effect::Truncate { bytes })
    }

    /// HTTP 200, JSON by its content type, and this body.
    #[must_use]
    pub fn body(self, body: impl Into<String>) -> Self {
        self.effect(Effect::Body { body: body.into(), content_type: "application/json".to_owned() })
    }

    /// The true answer under another content type.
    #[must_use]
    pub fn content_type(self, content_type: impl Into<String>) -> Self {
        self.effect(Effect::ContentType { content_type: content_type.into() })
    }

    /// A body of that many blanks.
    #[must_use]
    pub fn huge(self, bytes: u64) -> Self {
        self.effect(Effect::Huge { bytes })
    }

    /// A small body that decompresses to that many blanks.
    #[must_use]
    pub fn gzip_bomb(self, bytes: u64) -> Self {
        self.effect(Effect::GzipBomb { bytes })
    }

    /// A body of that many bytes that decompresses to nothing.
    #[must_use]
    pub fn gzip_nothing(self, bytes: u64) -> Self {
        self.effect(Effect::GzipNothing { bytes })
    }

    /// The true answer, said to be compressed in this way.
    #[must_use]
    pub fn content_encoding(self, coding: impl Into<String>) -> Self {
        self.effect(Effect::ContentEncoding { coding: coding.into() })
    }

    /// An entry in `errors` beside complete data.
    #[must_use]
    pub fn errors_beside(self, message: impl Into<String>) -> Self {
        self.effect(Effect::ErrorsBeside { message: message.into(), code: 10 })
    }

    /// A business error with this `error_code` instead of data.
    #[must_use]
    pub fn failure(self, code: u16, message: impl Into<String>) -> Self {
        self.effect(Effect::Failure { message: message.into(), code })
    }

    /// A nullable field is null wherever it occurs, with an entry in `errors` each time.
    #[must_use]
    pub fn null_field(self, field: impl Into<String>) -> Self {
        self.effect(Effect::NullField { field: field.into(), occurrences: None, silent: false })
    }

    /// A nullable field is null wherever it occurs, and nothing says why.
    #[must_use]
    pub fn absent_field(self, field: impl Into<String>) -> Self {
        self.effect(Effect::NullField { field: field.into(), occurrences: None, silent: true })
    }

    /// A nullable field is null the first `occurrences` times it occurs in an answer.
    #[must_use]
    pub fn null_field_first(self, field: impl Into<String>, occurrences: usize) -> Self {
        self.effect(Effect::NullField { field: field.into(), occurrences: Some(occurrences), silent: false })
    }

    /// `totalCount` of applications is off by `delta`.
    #[must_use]
    pub fn total_count(self, delta: i64) -> Self {
        self.effect(Effect::TotalCount { delta })
    }

    /// The list of applications changes after each page that has a next one.
    #[must_use]
    pub fn between_pages(self, change: ListChange) -> Self {
        self.effect(Effect::BetweenPages { change })
    }

    /// The listener shows another certificate; `times` then counts handshakes.
    #[must_use]
    pub fn server_certificate(self, certificate: ServerCertificate) -> Self {
        self.effect(Effect::ServerCertificate { certificate })
    }

    /// Any effect.
    #[must_use]
    pub fn effect(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }
}

/// The faults that wait.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

/// The moment at which an effect shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Accept,
    Handshake,
    Call,
}

impl Effect {
    fn moment(&self) -> Moment {
        match self {
            Self::Refuse => Moment::Accept,
            Self::ServerCertificate { .. } => Moment::Handshake,
            Self::Nothing
            | Self::Status { .. }
            | Self::Delay { .. }
            | Self::Drip { .. }
            | Self::Reset
            | Self::Truncate { .. }
            | Self::Body { .. }
            | Self::ContentType { .. }
            | Self::Huge { .. }
            | Self::GzipBomb { .. }
            | Self::GzipNothing { .. }
            | Self::ContentEncoding { .. }
            | Self::ErrorsBeside { .. }
            | Self::Failure { .. }
            | Self::NullField { .. }
            | Self::TotalCount { .. }
            | Self::BetweenPages { .. } => Moment::Call,
        }
    }
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    /// The faults that hit this call; each is counted.
    pub(crate) fn take_for_call(&mut self, endpoint: Endpoint, names: &[String]) -> Vec<Fault> {
        self.take(Moment::Call, endpoint, Some(names))
    }

    /// Whether a connection that was just accepted is reset.
    pub(crate) fn take_refusal(&mut self, endpoint: Endpoint) -> bool {
        !self.take(Moment::Accept, endpoint, None).is_empty()
    }

    /// The certificate to show in this handshake.
    pub(crate) fn take_certificate(&mut self, endpoint: Endpoint) -> ServerCertificate {
        let mut shown = ServerCertificate::Good;
        for fault in self.take(Moment::Handshake, endpoint, None) {
            if let Effect::ServerCertificate { certificate } = fault.effect {
                shown = certificate;
            }
        }
        shown
    }

    fn take(&mut self, moment: Moment, endpoint: Endpoint, names: Option<&[String]>) -> Vec<Fault> {
        let mut hits = Vec::new();
        self.0.retain_mut(|fault| {
            let here = fault.effect.moment() == moment && fault.endpoint.is_none_or(|wanted| wanted == endpoint);
            let named = match (&fault.operation, names) {
                (Some(wanted), Some(names)) => names.contains(wanted),
                (Some(_), None) | (None, _) => true,
            };
            if !(here && named) {
                return true;
            }
            if fault.after > 0 {
                fault.after -= 1;
                return true;
            }
            if fault.times == Some(0) {
                return false;
            }
            hits.push(fault.clone());
            fault.times = fault.times.map(|times| times - 1);
            fault.times != Some(0)
        });
        hits
    }
}
