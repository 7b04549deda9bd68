//! What follows from how the identity in use stands: what people are told, what hooks are told, and whether the
//! configuration loop may use it.

use jiff::Timestamp;

use super::{Answered, How, TrustLoop};
use crate::agent::standing::{Reception, Standing, confirmation};
use crate::agent::status::{Area, Severity};
use crate::apply::Notice;
use crate::clock;

impl TrustLoop {
    /// Tells of a clock that shows a time before this program was made.
    pub(super) fn watch_clock(&self, now: Timestamp) {
        let built = clock::built_at();
        if now < built {
            self.around.board.problem(
                Area::Clock,
                Severity::ActionNeeded,
                format!("The clock of this host is wrong: it is behind {built}, when this program was built."),
                "The agent goes on, but hardly any server's certificate can be verified by such a clock. Set it.",
            );
        } else {
            self.around.board.solved(Area::Clock);
        }
    }

    /// Looks how the identity in use stands by now, and does what follows from a change.
    pub(super) fn watch_standing(&mut self, now: Timestamp) {
        let standing = match &self.current {
            Some(used) => Standing::of(used.leaf().not_before, used.leaf().not_after, &used.reception, now),
            None if self.lost.is_some() => Standing::Lost,
            None => Standing::Unpaired,
        };
        let before = self.around.standing.send_replace(standing);
        if standing == before {
            return;
        }
        self.explain(standing);
        self.around.board.update(|status| status.standing = standing);
        match standing {
            Standing::Expired => self.notify(Notice::Expired),
            Standing::Rejected => {
                // What the configuration loop could say about it is said here.
                self.around.board.withdraw(Area::Sync);
                self.notify(Notice::Rejected);
            }
            Standing::Unpaired | Standing::Valid | Standing::NotYetValid | Standing::Lost => {}
        }
        // An identity that is over is not shown to anybody, until a clock that was wrong is set right.
        let usable = self.current.as_ref().filter(|_| standing != Standing::Expired).map(|used| used.identity.clone());
        let known = |number| move |identity: &Option<_>| identity.as_ref().map(number);
        let number = |identity: &std::rc::Rc<crate::identity::Identity>| identity.number;
        if known(number)(&self.around.identity.borrow()) != known(number)(&usable) {
            self.around.identity.send_replace(usable);
        }
    }

    /// Puts up, or takes down, what a person has to know about the identity.
    pub(super) fn explain(&self, standing: Standing) {
        let (what, remedy) = match (standing, &self.current) {
            (Standing::Expired, Some(used)) => (
                format!("The certificate expired on {}; the plane no longer knows this host.", used.leaf().not_after),
                "The files stay as they are. Drop a new token; if the clock of this host is wrong, set it.",
            ),
            (Standing::Rejected, Some(used)) => {
                let why = match &used.reception {
                    Reception::Rejected { why } => why.as_str(),
                    Reception::Accepted | Reception::Doubted { .. } => "",
                };
                (
                    format!(
                        "The plane refuses the certificate of this host, and did so again later: it was revoked, or the \
                         runtime was removed there: {why}."
                    ),
                    "The files stay as they are, and the agent asks again every few hours. Drop a new token; \
                     `runtime-agent sync` asks at once.",
                )
            }
            (Standing::NotYetValid, Some(used)) => (
                format!(
                    "The certificate is valid only from {} on: the clock of this host is behind.",
                    used.leaf().not_before
                ),
                "The agent goes on, and waits for that time. Set the clock.",
            ),
            (Standing::Lost, _) => (
                format!(
                    "The identity of this host is lost: {}.",
                    self.lost.as_deref().unwrap_or("its files are not there")
                ),
                "The files with the configuration stay as they are. Drop a new token; or stop the agent, restore the \
                 state directory from a backup, and start it.",
            ),
            (Standing::Unpaired | Standing::Valid, _) | (_, None) => {
                return self.around.board.solved(Area::Certificate);
            }
        };
        self.around.board.problem(Area::Certificate, Severity::ActionNeeded, what, remedy);
    }

    /// Takes note of how the Director answered.
    pub(super) fn hear(&mut self, answered: Answered) {
        let about_this = |used: &super::InUse| used.identity.number == answered.identity;
        if !self.current.as_ref().is_some_and(about_this) {
            return;
        }
        match answered.how {
            How::Accepted => self.accepted(),
            How::Refused(why) => self.refused(why),
        }
    }

    fn accepted(&mut self) {
        let Some(used) = &mut self.current else { return };
        used.reception = Reception::Accepted;
    }

    /// The plane refused the certificate in use.
    pub(super) fn refused(&mut self, why: String) {
        let now = self.now();
        let confirmation = confirmation(self.settings().sync.interval.get());
        let Some(used) = &mut self.current else { return };
        used.reception = std::mem::replace(&mut used.reception, Reception::Accepted).refused(now, why, confirmation);
    }
}
