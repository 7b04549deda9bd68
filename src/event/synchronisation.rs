//! What is said of talking to the plane: polls, retries, labels.

use std::time::Duration;

use crate::metrics::metrics;
use crate::transport::Source;

/// Something about talking to the plane.
pub enum Synchronisation<'a> {
    /// A label was set at the plane.
    LabelSet {
        /// Its name.
        label: &'a str,
        /// Its text.
        value: &'a str,
    },
}

impl Synchronisation<'_> {
    /// Says it.
    pub fn emit(self) {
        match self {
            Self::LabelSet { label, value } => tracing::info!(label, "the label {label} is set to {value}"),
        }
    }
}

/// The plane was asked for the applications.
#[derive(Debug, Clone, Copy)]
pub struct Poll {
    /// What came of it.
    pub result: PollResult,
    /// How long it took.
    pub took: Duration,
}

/// What came of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollResult {
    /// A complete answer.
    Answered,
    /// No answer, for this source of trouble.
    Failed(Source),
}

impl PollResult {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Failed(Source::Wire),
        Self::Failed(Source::Plane),
        Self::Failed(Source::Identity),
        Self::Failed(Source::Ours),
    ];

    /// A bounded word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "success",
            Self::Failed(Source::Wire) => "network",
            Self::Failed(Source::Plane) => "plane",
            Self::Failed(Source::Identity) => "identity",
            Self::Failed(Source::Ours) => "local",
        }
    }
}

impl Poll {
    /// Counts it. What follows from it is told where it follows.
    pub fn emit(self) {
        metrics().poll(self.result, self.took);
        let milliseconds = self.took.as_millis();
        tracing::debug!(result = self.result.as_str(), "a poll took {milliseconds} ms");
    }
}

/// Something failed, and is tried again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Asking the plane.
    Poll,
    /// A step of pairing.
    Pairing,
    /// Renewing the certificate.
    Renewal,
    /// Reading texts of specifications and documents.
    Specifications,
    /// Writing files.
    Output,
    /// Having files applied.
    Apply,
    /// Setting labels.
    Report,
    /// Serving metrics.
    Metrics,
    /// Serving the service broker.
    Broker,
}

impl Retry {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Poll,
        Self::Pairing,
        Self::Renewal,
        Self::Specifications,
        Self::Output,
        Self::Apply,
        Self::Report,
        Self::Metrics,
        Self::Broker,
    ];

    /// A bounded word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Pairing => "pairing",
            Self::Renewal => "renewal",
            Self::Specifications => "specifications",
            Self::Output => "output",
            Self::Apply => "apply",
            Self::Report => "report",
            Self::Metrics => "metrics",
            Self::Broker => "broker",
        }
    }

    /// Counts it.
    pub fn emit(self) {
        metrics().retry(self);
    }
}
