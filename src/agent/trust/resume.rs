//! The start: what an earlier process left, and what is missing of it.

use super::TrustLoop;
use super::endeavour::{Endeavour, Step};
use crate::agent::status::{Area, Severity};
use crate::disk::DiskError;
use crate::event;
use crate::identity::{IdentityError, Record};
use crate::pairing::{PairingFileError, Pending, Verdict};

/// What the disk does not give for now. Whoever concluded from that that the identity is lost would ask a person for a
/// token that is not needed, or put an older identity in the place of a sound one.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}. Nothing is concluded from that, and nothing was changed: the agent ends here, and systemd starts it again. See \
     whether the disk of the state directory is well"
)]
pub struct Unreadable(String);

impl From<DiskError> for Unreadable {
    fn from(error: DiskError) -> Self {
        Self(error.to_string())
    }
}

impl From<IdentityError> for Unreadable {
    fn from(error: IdentityError) -> Self {
        Self(error.to_string())
    }
}

impl From<PairingFileError> for Unreadable {
    fn from(error: PairingFileError) -> Self {
        Self(error.to_string())
    }
}

/// What is to be done: by a token, and for a renewal.
type Unfinished = (Option<Endeavour>, Option<Endeavour>);

impl TrustLoop {
    /// Takes up what is on disk.
    pub(super) fn resume(&mut self) -> Result<(), Unreadable> {
        let outcome = match self.files.outcome_on_disk() {
            Err(error) if !error.is_lasting() => return Err(error.into()),
            known => known.unwrap_or(None),
        };
        // A token that was refused since then hides that one was used; what is published tells it, too.
        let published = self.around.board.read(|status| status.output.as_ref().is_some_and(|it| it.applications > 0));
        let was_paired = outcome.as_ref().is_some_and(|outcome| match outcome.verdict {
            Verdict::Paired => true,
            Verdict::Refused => published,
            Verdict::InUse | Verdict::Unpaired => false,
        });
        self.around.board.update(|status| status.token = outcome.clone());
        if outcome.as_ref().is_some_and(|outcome| outcome.verdict == Verdict::Unpaired) {
            self.forget_pending();
            if let Err(error) = self.store.clear() {
                // What is left of it must not be taken for something to go on with.
                self.around.board.problem(
                    Area::Certificate,
                    Severity::ActionNeeded,
                    format!("This host was unpaired, and its identity cannot be removed: {error}."),
                    "Remove it by hand, and restart the agent.",
                );
                self.watch_standing(self.now());
                return Ok(());
            }
        }
        match self.store.current() {
            Ok(Some(identity)) => self.adopt(identity),
            Ok(None) => {}
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => self.fall_back(&error.to_string())?,
        }
        let (by_token, renewal) = self.kept()?;
        self.by_token = by_token;
        self.renewal = renewal.or(self.renewal.take());
        if was_paired && self.current.is_none() && self.by_token.is_none() && self.lost.is_none() {
            self.lost = Some("the host was paired, and the files of its identity are gone".to_owned());
        }
        if self.by_token.is_none() {
            self.by_token = self.credential();
        }
        self.conclude_interrupted();
        self.watch_standing(self.now());
        self.tell_endeavours();
        Ok(())
    }

    /// The identity in use cannot be read: the one before it may do until it is renewed.
    fn fall_back(&mut self, why: &str) -> Result<(), Unreadable> {
        match self.store.fall_back(self.now()) {
            Ok(Some(identity)) => {
                event::Identity::FellBack { why, until: identity.leaf.not_after }.emit();
                self.adopt(identity);
                self.renewal = Some(Endeavour::new(Step::Renew, self.now()));
            }
            Ok(None) => self.lost = Some(why.to_owned()),
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => self.lost = Some(format!("{why}; and the one before it cannot be used: {error}")),
        }
        Ok(())
    }

    /// What is on disk to be done by a token, where another one has come to nothing.
    pub(super) fn unfinished(&self) -> Option<Endeavour> {
        self.kept().map(|(by_token, _)| by_token).unwrap_or_else(|Unreadable(error)| {
            self.around.board.problem(
                Area::Pairing,
                Severity::ActionNeeded,
                format!("Whether a pairing was interrupted before is not known: {error}."),
                "Once the disk of the state directory is well, restart the agent; or drop a new token.",
            );
            None
        })
    }

    /// What an earlier process left to be done.
    fn kept(&self) -> Result<Unfinished, Unreadable> {
        let now = self.now();
        let candidate = match self.store.candidate() {
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => {
                event::Identity::LeftAside(&error).emit();
                None
            }
            Ok(candidate) => candidate,
        };
        let pending = match self.files.pending() {
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => {
                self.around.board.problem(
                    Area::Pairing,
                    Severity::ActionNeeded,
                    format!("A pairing was interrupted, and what was kept of it cannot be used: {error}."),
                    "Drop a new token.",
                );
                None
            }
            Ok(pending) => pending,
        };
        let came_of = |record: &Record, pending: &Pending| record.token.as_ref() == Some(&pending.fingerprint);
        let done = |pending: &Pending| {
            self.current.as_ref().is_some_and(|used| came_of(&used.identity.record, pending))
                || candidate.as_ref().is_some_and(|candidate| came_of(&candidate.record, pending))
        };
        let pending = match pending {
            // Killed between writing the identity down and forgetting what it was made of.
            Some(pending) if done(&pending) => {
                self.forget_pending();
                None
            }
            other => other,
        };
        let enrol = pending.map(|pending| {
            event::Pairing::GoesOn.emit();
            Endeavour::new(Step::Enrol { pending: Box::new(pending), key: None }, now)
        });
        let prove = candidate
            .map(|candidate| (candidate.record.token.is_some(), Endeavour::new(Step::Prove(Box::new(candidate)), now)));
        Ok(match prove {
            Some((true, prove)) => (enrol.or(Some(prove)), None),
            // Without an identity in use, the candidate is all there is, however it came.
            Some((false, prove)) if self.current.is_none() => (enrol.or(Some(prove)), None),
            Some((false, prove)) => (enrol, Some(prove)),
            None => (enrol, None),
        })
    }
}
