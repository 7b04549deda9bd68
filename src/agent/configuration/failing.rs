//! What a poll that failed means: when the next one is, what is told, and whom it concerns.

use super::schedule::{self, Failure};
use super::{ConfigurationLoop, REJECTED};
use crate::agent::link;
use crate::agent::standing::{self, Standing};
use crate::agent::status::{Area, Severity};
use crate::agent::trust::{Answered, How};
use crate::clock::Due;
use crate::config::Settings;
use crate::director::FetchError;
use crate::event;
use crate::transport::{Protocol, Retry, Source};

impl ConfigurationLoop {
    pub(super) fn failed(&mut self, error: &FetchError, settings: &Settings) -> String {
        self.failures = self.failures.saturating_add(1);
        match error {
            // The plane answered, and no smaller page makes room here.
            FetchError::Spool(_) => self.answered(How::Accepted),
            FetchError::Call(_)
            | FetchError::Shifted { .. }
            | FetchError::UnknownRuntime(_)
            | FetchError::TooMany { .. } => {
                self.pages.failed();
            }
        }
        let asked = match error.retry() {
            Retry::Later(asked) => asked,
            Retry::Never => None,
        };
        let interval = settings.sync.interval.get();
        let failure = if self.heard { Failure::Plane(asked) } else { Failure::of(error, asked) };
        let cap = settings.sync.retry_cap.get();
        let mut wait = schedule::after_failure(interval, cap, self.failures, failure, fastrand::f64());
        let rejected = *self.around.standing.borrow() == Standing::Rejected;
        if error.is_rejection() {
            self.answered(How::Refused(error.to_string()));
            // The next refusal, if there is one, is to count.
            wait = wait.max(standing::confirmation(interval));
            if rejected {
                wait = wait.max(schedule::after_success(REJECTED.max(interval), 0.5, fastrand::f64()));
            }
        }
        let now = self.now();
        let due = Due::after(now, wait);
        let next = due.at(now);
        self.left_alone_until = asked.map(|asked| Due::after(now, asked.min(wait)));
        self.poll_at = Some(due);
        let failures = self.failures;
        event::Retry::Poll.emit();
        self.around.board.update(|status| {
            status.sync.failures = failures;
            status.sync.next = Some(next);
        });
        if let FetchError::Spool(error) = error {
            let what = format!("There is no room on this host for what the plane says: {error}.");
            self.around.board.problem(
                Area::Output,
                Severity::ActionNeeded,
                what.clone(),
                "The files stay as they are, and the agent asks again, less and less often. Make room on the file system of \
                 the state directory: up to three times the size of snapshot.json is needed while something changes.",
            );
            return what;
        }
        if error.source() == Source::Wire {
            self.speak_plainly(settings);
        }
        if let Some(denial) = error.denial() {
            let next = "The files stay as they are, and the agent asks again, less and less often.";
            self.around.board.denied(Area::Sync, denial, error, next);
            return format!("{}: {error}.", denial.sentence());
        }
        let what = format!("The plane gave no usable list of applications: {error}.");
        if rejected && error.is_rejection() {
            // That is said of the identity already.
            return what;
        }
        let (severity, remedy) = match error.source() {
            _ if error.is_rejection() => {
                (Severity::Transient, "The files stay as they are, and the agent asks again, before it is believed.")
            }
            Source::Identity => (
                Severity::ActionNeeded,
                "The files stay as they are, and the agent asks again, less and less often. What this host may do is \
                 decided at the plane.",
            ),
            Source::Ours if matches!(error.retry(), Retry::Never) => (
                Severity::ActionNeeded,
                "The files stay as they are, and the agent asks again, less and less often; but this will hardly pass \
                 without a person.",
            ),
            Source::Ours | Source::Plane | Source::Wire => {
                (Severity::Transient, "The files stay as they are, and the agent asks again by itself.")
            }
        };
        self.around.board.problem(Area::Sync, severity, what.clone(), remedy);
        what
    }

    /// Lets the identity loop know how the Director answered.
    pub(super) fn answered(&self, how: How) {
        if let Some(identity) = self.around.identity.borrow().as_ref() {
            // It is told at the next poll, if it is busy now.
            let _ = self.around.answers.try_send(Answered { identity: identity.number, how });
        }
    }

    /// What looks like trouble with the network can be a server that refuses our certificate; the next try would be told.
    fn speak_plainly(&mut self, settings: &Settings) {
        let identity = self.around.identity.borrow().clone();
        if let (Some(plane), Some(identity)) = (&mut self.plane, identity)
            && let Ok(director) = link::director(settings, &identity, Protocol::Plain)
        {
            plane.director = director;
        }
    }
}
