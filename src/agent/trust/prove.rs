//! The step between a signed certificate and its use: the Director has to know its holder.

use std::time::Duration;

use super::TrustLoop;
use super::endeavour::{Endeavour, Step};
use super::pair::asked;
use crate::agent::link;
use crate::agent::status::{Area, Severity};
use crate::apply::Notice;
use crate::clock;
use crate::event;
use crate::identity::Identity;
use crate::ids::RuntimeId;
use crate::pairing::Verdict;
use crate::transport::{Denial, Protocol, Source};

/// How long a Director may take to hear of a certificate that the Connector has just signed: 15 minutes.
const STRANGER: Duration = Duration::from_secs(15 * 60);

/// How long a new identity is tried while there is another one in use: a day, or a quarter of its own lifetime.
const LONGEST_TRIAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How often it is tried at the least before a refusal is believed: a clock that is set makes minutes pass in no time.
const FEWEST_TRIALS: u32 = 3;

impl TrustLoop {
    pub(super) async fn prove(&mut self, candidate: Box<Identity>, failures: u32) -> Option<Endeavour> {
        let now = self.now();
        if candidate.leaf.not_after <= now {
            return self.discard(&candidate, "it expired before it could be tried", failures);
        }
        let viewer = match link::director(&self.settings(), &candidate, Protocol::Plain) {
            Ok(director) => director.identify().await,
            Err(error) => {
                self.cannot_reach(area_of(&candidate), &format!("The new certificate waits to be tried: {error}."));
                return Some(self.again(Step::Prove(candidate), failures, None));
            }
        };
        let age = clock::until(candidate.record.issued_at, self.now());
        match viewer {
            Ok(id) => self.install(candidate, &id, failures),
            Err(error) if error.fault.denial() == Some(Denial::NotARuntime) => {
                let why = format!("{error}. Have a token made for a runtime");
                self.discard(&candidate, &why, failures)
            }
            // A certificate of which the Director has not heard yet, or which is not valid yet by its clock, is
            // refused too: tokens are not thrown away for that. What is denied to its holder says nothing against the
            // certificate, and may be granted at any time.
            Err(error)
                if error.fault.source() == Source::Identity
                    && error.fault.denial().is_none()
                    && age > STRANGER
                    && failures >= FEWEST_TRIALS =>
            {
                self.discard(&candidate, &error.to_string(), failures)
            }
            Err(error)
                if failures >= FEWEST_TRIALS
                    && self.current.as_ref().is_some_and(|used| !used.is_over(now))
                    && age > LONGEST_TRIAL.min(lifetime(&candidate) / 4) =>
            {
                let why = format!("it could not be tried since {}: {error}", candidate.record.issued_at);
                self.discard(&candidate, &why, failures)
            }
            Err(error) => {
                match error.fault.denial() {
                    Some(denial) => {
                        let next = "The new certificate is kept and waits for that; the agent asks again by itself.";
                        self.around.board.denied(area_of(&candidate), denial, &error, next);
                    }
                    None => {
                        let what = format!("The new certificate waits to be tried: {error}.");
                        self.wait_for(area_of(&candidate), &what, &error);
                    }
                }
                let asked = asked(&error);
                Some(self.again(Step::Prove(candidate), failures, asked))
            }
        }
    }

    /// Makes a proven candidate the identity in use.
    fn install(&mut self, mut candidate: Box<Identity>, id: &RuntimeId, failures: u32) -> Option<Endeavour> {
        let by_token = candidate.record.token.clone();
        if by_token.is_some()
            && let Some(named) = candidate.record.runtime.as_ref().filter(|named| *named != id)
        {
            event::Pairing::NamedOtherwise { named, runtime: id }.emit();
        }
        candidate.record.runtime = Some(id.clone());
        let installed =
            self.store.amend(candidate.number, &candidate.record).and_then(|()| self.store.promote(candidate.number));
        if let Err(error) = installed {
            self.cannot_reach(
                area_of(&candidate),
                &format!("The new identity is proven, but cannot be put in place: {error}."),
            );
            return Some(self.again(Step::Prove(candidate), failures, None));
        }
        let until = candidate.leaf.not_after;
        let host = candidate.record.director_url.host();
        self.announce_moves(&candidate);
        self.adopt(*candidate);
        self.around.board.solved(Area::Renewal);
        match by_token {
            None => {
                event::Identity::Renewed { runtime: id, until }.emit();
                self.notify(Notice::Renewed);
            }
            Some(fingerprint) => {
                self.around.board.solved(Area::Pairing);
                self.conclude(Some(fingerprint), Verdict::Paired, "this host was paired by it");
                // A kill may have come between writing the candidate down and forgetting what it was made of.
                self.forget_pending();
                event::Pairing::Paired { host: &host, runtime: id, until }.emit();
                self.notify(Notice::Paired);
            }
        }
        None
    }

    /// Tells where the plane has moved to.
    fn announce_moves(&self, candidate: &Identity) {
        let Some(used) = &self.current else { return };
        let (old, new) = (&used.identity.record, &candidate.record);
        for (what, old, new) in [
            ("Director", &old.director_url, &new.director_url),
            ("Connector for renewals", &old.renewal_url, &new.renewal_url),
        ] {
            if old != new {
                event::Identity::Moved { what, from: old, to: new }.emit();
            }
        }
    }

    /// Throws a candidate away. After a token, another token is needed; a renewal is tried again, in a while.
    fn discard(&mut self, candidate: &Identity, why: &str, failures: u32) -> Option<Endeavour> {
        let next = match &candidate.record.token {
            Some(fingerprint) => {
                let sentence = format!("Pairing failed: the new certificate is not used: {why}.");
                self.refuse(Some(fingerprint.clone()), &sentence);
                self.forget_pending();
                None
            }
            None => {
                let why = format!("the new certificate is not used: {why}");
                self.renew_later(failures, &why, Severity::ActionNeeded, None)
            }
        };
        match self.store.discard(candidate.number) {
            // With nothing in use, an older identity whose link was lost may still do.
            Ok(()) if next.is_none() && self.current.is_none() => self.unfinished(),
            Ok(()) => next,
            Err(error) => {
                event::Identity::Stays { what: "an unusable identity", error: &error }.emit();
                next
            }
        }
    }
}

fn lifetime(candidate: &Identity) -> Duration {
    clock::until(candidate.leaf.not_before, candidate.leaf.not_after)
}

/// What it is about when a new identity makes trouble.
fn area_of(candidate: &Identity) -> Area {
    if candidate.record.token.is_some() { Area::Pairing } else { Area::Renewal }
}
