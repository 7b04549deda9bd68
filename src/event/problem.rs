//! What is said of problems: when one begins, once a day while it lasts, and when it is over.

use jiff::Timestamp;

use super::Message;
use crate::agent::status::{Area, Severity};
use crate::transport::Denial;

/// Something about a problem.
#[derive(Debug)]
pub enum Problem<'a> {
    /// There is one, or another one than before.
    Begins {
        /// What it is about.
        area: Area,
        /// Who has to act.
        severity: Severity,
        /// What the plane denies, where it is about that.
        denial: Option<Denial>,
        /// What failed and why.
        what: &'a str,
        /// What the agent does next, and what a person can do.
        remedy: &'a str,
    },
    /// It failed once more, in a way that was told already.
    Repeats {
        /// What it is about.
        area: Area,
        /// What failed and why.
        what: &'a str,
    },
    /// It has lasted for another day.
    Lasts {
        /// What it is about.
        area: Area,
        /// Who has to act.
        severity: Severity,
        /// How often, and since when.
        times: Times,
        /// What failed and why.
        what: &'a str,
        /// What the agent does next, and what a person can do.
        remedy: &'a str,
    },
    /// It is over.
    Over {
        /// What it was about.
        area: Area,
        /// How often, and since when.
        times: Times,
    },
}

/// How often something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// When first.
    pub since: Timestamp,
    /// What time it is.
    pub now: Timestamp,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lasted = crate::clock::until(self.since, self.now);
        // Whole seconds, and beyond a minute whole minutes, are all that matters.
        let seconds = if lasted.as_secs() < 60 { lasted.as_secs() } else { lasted.as_secs() / 60 * 60 };
        let lasted = humantime::format_duration(std::time::Duration::from_secs(seconds));
        write!(f, "{} times in {lasted}, since {:.0}", self.count, self.since)
    }
}

impl Problem<'_> {
    /// Says it.
    pub fn emit(self) {
        match self {
            Self::Begins { area, severity, denial, what, remedy } => {
                let message_id = message(area).id();
                let (area, denial) = (area.as_str(), denial.map(Denial::as_str));
                match severity {
                    Severity::ActionNeeded => {
                        tracing::error!(message_id, area, denial, "{what} {remedy}");
                    }
                    Severity::Transient => tracing::warn!(message_id, area, denial, "{what} {remedy}"),
                }
            }
            Self::Repeats { area, what } => tracing::debug!(area = area.as_str(), "again: {what}"),
            Self::Lasts { area, severity, times, what, remedy } => {
                let message_id = message(area).id();
                let area = area.as_str();
                match severity {
                    Severity::ActionNeeded => {
                        tracing::error!(message_id, area, "{what} It has come up {times}. {remedy}");
                    }
                    Severity::Transient => {
                        tracing::warn!(message_id, area, "{what} It has come up {times}. {remedy}");
                    }
                }
            }
            Self::Over { area, times } => {
                let (message_id, area) = (Message::ProblemOver.id(), area.as_str());
                if times.count > 1 {
                    tracing::info!(message_id, area, "the problem with {area} is over; it came up {times}");
                } else {
                    tracing::info!(message_id, area, "the problem with {area} is over");
                }
            }
        }
    }
}

/// What explains the problems of an area.
fn message(area: Area) -> Message {
    match area {
        Area::TokenFile => Message::ProblemTokenFile,
        Area::Pairing => Message::ProblemPairing,
        Area::Renewal => Message::ProblemRenewal,
        Area::Certificate => Message::ProblemCertificate,
        Area::Clock => Message::ProblemClock,
        Area::Sync => Message::ProblemSync,
        Area::Removals => Message::ProblemRemovals,
        Area::Specifications => Message::ProblemSpecifications,
        Area::Templates => Message::ProblemTemplates,
        Area::Output => Message::ProblemOutput,
        Area::Apply => Message::ProblemApply,
        Area::Report => Message::ProblemReport,
        Area::Configuration => Message::ProblemConfiguration,
        Area::Metrics => Message::ProblemMetrics,
        Area::MetricsFile => Message::ProblemMetricsFile,
        Area::Broker => Message::ProblemBroker,
        Area::BrokerStore => Message::ProblemBrokerStore,
        Area::Orphans => Message::ProblemOrphans,
    }
}
