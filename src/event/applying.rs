//! What is said of hooks and of installed files, as the applier reports them.

use super::Message;
use crate::apply::{Event, HookReport, InstallReport};
use crate::metrics::metrics;
use crate::output::manifest::GenerationNumber;

/// Something that the applier reported.
pub enum Applying<'a> {
    /// A hook ran.
    HookRan {
        /// How.
        report: &'a HookReport,
        /// For what.
        event: Event,
        /// For which generation, if for one.
        generation: Option<GenerationNumber>,
        /// Whether the same was said before.
        said: Said,
    },
    /// A notice is told once and not again, and hooks failed for it.
    NoticeFailed {
        /// Which notice.
        event: Event,
        /// What failed.
        message: &'a str,
    },
    /// Files of templates were installed, or refused.
    Installed(&'a InstallReport),
    /// A request was answered.
    Answered(Answered),
}

/// Whether a failure was told already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It was not.
    Newly,
    /// It was: the same hook failed in the same way, for the same.
    Before,
}

/// How the applier answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// All went well.
    Succeeded,
    /// A hook failed, or files could not be installed.
    Failed,
    /// Files were refused.
    Refused,
    /// It did not answer.
    Unreachable,
}

impl Answered {
    /// A bounded word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Refused, Self::Unreachable];
}

impl Applying<'_> {
    /// Says it, and counts it.
    pub fn emit(self) {
        match self {
            Self::HookRan { report, event, generation, said } => {
                metrics().hook(report);
                let generation = generation.map(tracing::field::display);
                let (name, event) = (&report.name, event.as_str());
                if report.outcome.is_success() {
                    let milliseconds = report.milliseconds;
                    tracing::info!(
                        hook = name,
                        event,
                        generation,
                        milliseconds,
                        "hook {name} ran for {event} in {milliseconds} ms"
                    );
                } else if said == Said::Before {
                    tracing::debug!(
                        hook = name,
                        event,
                        generation,
                        "hook {name} for {event}: {} again",
                        report.outcome
                    );
                } else {
                    tracing::warn!(
                        message_id = Message::HookFailed.id(),
                        hook = name,
                        event,
                        generation,
                        "hook {name} for {event}: {}",
                        report.outcome
                    );
                }
            }
            Self::NoticeFailed { event, message } => {
                tracing::warn!(event = event.as_str(), "Hooks for {event} did not all work: {message}");
            }
            Self::Installed(report) => metrics().installed(report),
            Self::Answered(how) => metrics().answered(how),
        }
    }
}
