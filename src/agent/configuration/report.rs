//! What is reported back, once what it speaks of is in place.

use std::time::Duration;

use super::{ConfigurationLoop, Report};
use crate::agent::status::{Area, Severity};
use crate::agent::{labels, link};
use crate::backoff::Backoff;
use crate::clock::Due;
use crate::event;
use crate::transport::{Denial, Retry};

impl ConfigurationLoop {
    /// Labels are set once what they speak of is in place.
    pub(super) fn may_report(&self) -> bool {
        let published = *self.around.published.borrow();
        self.plane.is_some() && published.is_some() && *self.around.applied.borrow() == published
    }

    pub(super) async fn report(&mut self, failures: u32) {
        let Some(plane) = &self.plane else { return };
        let settings = self.around.settings.borrow().clone();
        let wanted = labels::wanted(&settings.report);
        let request =
            settings.plane.connect_timeout.get() + settings.plane.answer_timeout.get() + link::brief(&settings);
        // One to look at them, and one for each that differs.
        let requests = u32::try_from(wanted.len()).unwrap_or(u32::MAX).saturating_add(1);
        self.around.pulse.within(request.saturating_mul(requests));
        match labels::set(&plane.director, &plane.runtime, &wanted).await {
            Ok(()) => {
                self.around.board.solved(Area::Report);
                self.report = Report::Done;
            }
            Err(error) => {
                let failures = failures.saturating_add(1);
                let asked = match error.fault.retry() {
                    Retry::Later(asked) => asked,
                    Retry::Never => None,
                };
                let backoff = Backoff::new(Duration::from_secs(10), Duration::from_secs(60 * 60));
                let at = Due::after(self.now(), backoff.wait(failures, fastrand::f64(), asked));
                self.report = Report::Due(at, failures);
                event::Retry::Report.emit();
                let advice = error.fault.denial().map_or("", Denial::advice);
                self.around.board.problem(
                    Area::Report,
                    Severity::Transient,
                    format!("The labels of this runtime cannot be set: {error}."),
                    format!("Everything else goes on; the agent tries again by itself. {advice}").trim_end(),
                );
            }
        }
    }
}
