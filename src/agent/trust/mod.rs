//! The identity loop: gets an identity by a token, proves it, renews it, and says when a person is needed.
//!
//! While an identity is in use, whatever is done about another one leaves it alone: a token that is dropped while
//! paired, or a renewal that fails, changes nothing until the new identity is proven.

mod endeavour;
mod pair;
mod renew;
mod tokens;

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use self::endeavour::{Endeavour, Step};
use super::board::Board;
use super::pulse::Pulse;
use super::status::{Area, IdentityStatus, Severity};
use crate::apply::Notice;
use crate::clock;
use crate::config::Settings;
use crate::identity::{Identity, IdentityError, IdentityStore, Leaf, Record};
use crate::pairing::{PairingFiles, Pending};
use crate::renewal;
use crate::token::Arrival;

/// The most that one step of the loop may take beyond the time-outs of its requests: making a key of 4096 bits on a
/// slow machine, a slow disk, and a Director whose answer drips in for ten minutes.
const OWN_WORK: Duration = Duration::from_secs(180 + 600);

/// How often the clock is looked at once the certificate is over by it: a minute.
const EXPIRED_LOOK: Duration = Duration::from_secs(60);

/// By how much this host's clock may be behind the Connector's, which does not back-date, before it is told: a minute.
const BEHIND: Duration = Duration::from_secs(60);

/// What the loop can be told.
#[derive(Debug)]
pub enum Order {
    /// Renew the certificate now; the answer says whether that began.
    Renew(oneshot::Sender<Result<String, String>>),
}

/// What the loop needs of others.
pub struct Surroundings {
    /// The settings in force.
    pub settings: watch::Receiver<Rc<Settings>>,
    /// Where things are told.
    pub board: Board,
    /// Proof of life.
    pub pulse: Pulse,
    /// Tokens.
    pub arrivals: mpsc::Receiver<Arrival>,
    /// What it can be told.
    pub orders: mpsc::Receiver<Order>,
    /// Where the identity in use is published.
    pub identity: watch::Sender<Option<Rc<Identity>>>,
    /// Hooks are told of changes.
    pub notices: mpsc::UnboundedSender<Notice>,
}

/// The loop.
pub struct TrustLoop {
    around: Surroundings,
    store: IdentityStore,
    files: PairingFiles,
    /// The identity in use, with the instant of its renewal.
    current: Option<(Rc<Identity>, Timestamp)>,
    /// What is being done to get another one by a token.
    by_token: Option<Endeavour>,
    /// A token that came while another one's signing request is under way: that one first, for it is half spent.
    waiting: Option<Endeavour>,
    /// What is being done to renew it. Its own place: no token that comes to nothing may keep a certificate from being
    /// renewed.
    renewal: Option<Endeavour>,
    /// Whether its end was told.
    told_expired: bool,
}

impl TrustLoop {
    /// Goes on where an earlier process ended: with the identity in use, an identity that was not tried yet, or a
    /// pairing between its two requests.
    pub fn new(around: Surroundings, store: IdentityStore, files: PairingFiles) -> Self {
        let mut this = Self {
            around,
            store,
            files,
            current: None,
            by_token: None,
            waiting: None,
            renewal: None,
            told_expired: false,
        };
        this.around.board.update(|status| status.token = this.files.outcome());
        match this.store.current() {
            Ok(Some(identity)) => this.adopt(identity),
            Ok(None) => {}
            Err(error) => this.lost(&error),
        }
        (this.by_token, this.renewal) = this.unfinished();
        if this.by_token.is_none() {
            this.by_token = this.credential();
        }
        this.conclude_interrupted();
        this.tell_endeavours();
        this
    }

    /// What an earlier process left to be done: by a token, and for a renewal.
    fn unfinished(&self) -> (Option<Endeavour>, Option<Endeavour>) {
        let now = clock::now();
        let candidate = self.store.candidate().unwrap_or_else(|error| {
            tracing::warn!(%error, "an identity that was being made is left aside");
            None
        });
        let pending = self.files.pending().unwrap_or_else(|error| {
            self.around.board.problem(
                Area::Pairing,
                Severity::ActionNeeded,
                format!("A pairing was interrupted, and what was kept of it cannot be used: {error}."),
                "Drop a new token.",
            );
            None
        });
        let came_of = |record: &Record, pending: &Pending| record.token.as_ref() == Some(&pending.fingerprint);
        let done = |pending: &Pending| {
            self.current.as_ref().is_some_and(|(identity, _)| came_of(&identity.record, pending))
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
            tracing::info!("going on with the pairing that was interrupted");
            Endeavour::new(Step::Enrol { pending: Box::new(pending), key: None }, now)
        });
        let prove = candidate
            .map(|candidate| (candidate.record.token.is_some(), Endeavour::new(Step::Prove(Box::new(candidate)), now)));
        match prove {
            Some((true, prove)) => (enrol.or(Some(prove)), None),
            Some((false, prove)) => (enrol, Some(prove)),
            None => (enrol, None),
        }
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        loop {
            let now = clock::now();
            self.watch_validity(now);
            let due = self.due(now);
            self.around.pulse.idle();
            let sleep = async {
                match due {
                    Some(due) => clock::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(arrival) = self.around.arrivals.recv() => {
                    self.working();
                    self.receive(arrival);
                }
                Some(order) = self.around.orders.recv() => {
                    self.working();
                    self.obey(order);
                }
                changed = self.around.settings.changed() => {
                    if changed.is_ok() { self.replan(); }
                }
                () = sleep => {
                    self.working();
                    self.turn().await;
                }
            }
        }
    }

    fn settings(&self) -> Rc<Settings> {
        self.around.settings.borrow().clone()
    }

    /// Gives the watchdog its word for one step: at most four requests, and our own work.
    fn working(&self) {
        let plane = &self.settings().plane;
        let request = plane.connect_timeout.get() + plane.answer_timeout.get() + 4 * plane.stall_timeout.get();
        self.around.pulse.within(4 * request + OWN_WORK);
    }

    /// When there is next something to do.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let by_token = self.by_token.as_ref().map(|endeavour| endeavour.due);
        let Some((identity, renewal_at)) = &self.current else { return by_token };
        let leaf = &identity.leaf;
        let validity = if leaf.not_after <= now {
            // Over by a clock that may be set right again: it is looked at now and then.
            clock::after(now, EXPIRED_LOOK)
        } else if leaf.not_before > now {
            leaf.not_before
        } else {
            leaf.not_after
        };
        let renewal = match &self.renewal {
            _ if leaf.not_after <= now || self.proves_by_token() => None,
            Some(endeavour) => Some(endeavour.due),
            None => Some(*renewal_at),
        };
        [by_token, renewal, Some(validity)].into_iter().flatten().min()
    }

    /// Whether an identity that came by a token is about to replace the one in use: a renewal would come too late.
    fn proves_by_token(&self) -> bool {
        matches!(&self.by_token, Some(Endeavour { step: Step::Prove(_), .. }))
    }

    /// Does the one thing that is due.
    async fn turn(&mut self) {
        let now = clock::now();
        let valid = self.current.as_ref().is_some_and(|(identity, _)| now < identity.leaf.not_after);
        if let Some(endeavour) = self.by_token.take_if(|endeavour| endeavour.due <= now) {
            self.by_token = self.advance(endeavour).await;
            if self.by_token.is_none() {
                self.by_token = self.waiting.take();
            }
        } else if !valid {
            self.renewal = None;
        } else if !self.proves_by_token() {
            if let Some(endeavour) = self.renewal.take_if(|endeavour| endeavour.due <= now) {
                self.renewal = self.advance(endeavour).await;
            } else if self.renewal.is_none() && self.current.as_ref().is_some_and(|(_, at)| *at <= now) {
                self.renewal = Some(Endeavour::new(Step::Renew, now));
            }
        }
        self.tell_endeavours();
    }

    fn tell_endeavours(&self) {
        let told: Vec<_> = [&self.by_token, &self.renewal].into_iter().flatten().map(Endeavour::to_string).collect();
        let told = (!told.is_empty()).then(|| told.join("; "));
        self.around.board.update(|status| status.endeavour = told);
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Renew(answer) => {
                let now = clock::now();
                let begun = match &self.current {
                    None => Err("there is no certificate to renew; drop a token to pair".to_owned()),
                    Some((identity, _)) if identity.leaf.not_after <= now => {
                        Err("the certificate has expired and cannot be renewed; drop a token to pair again".to_owned())
                    }
                    Some(_) if self.proves_by_token() => {
                        Err("a new identity, made by a token, is being tried already; see `runtime-agent status`"
                            .to_owned())
                    }
                    Some(_) => {
                        match &mut self.renewal {
                            Some(endeavour) => endeavour.due = now,
                            None => self.renewal = Some(Endeavour::new(Step::Renew, now)),
                        }
                        self.tell_endeavours();
                        Ok("The certificate is being renewed.".to_owned())
                    }
                };
                // Whoever asked may have gone.
                let _ = answer.send(begun);
            }
        }
    }

    /// Puts an identity to use.
    fn adopt(&mut self, identity: Identity) {
        let leaf = &identity.leaf;
        let renewal_at = self.plan(leaf, identity.record.issued_at);
        let status = IdentityStatus {
            runtime: identity.record.runtime.clone(),
            tenant: identity.record.tenant.clone(),
            plane: identity.record.director_url.host(),
            subject: leaf.subject.clone(),
            fingerprint: leaf.fingerprint.clone(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            renewal_at,
        };
        self.around.board.update(|board| board.identity = Some(status));
        let identity = Rc::new(identity);
        self.current = Some((identity.clone(), renewal_at));
        self.told_expired = false;
        // It was about the identity before.
        self.renewal = None;
        self.around.identity.send_replace(Some(identity));
    }

    /// New settings: the instant of renewal is chosen anew, and what failed is tried with them at once.
    fn replan(&mut self) {
        let now = clock::now();
        for endeavour in [&mut self.by_token, &mut self.waiting, &mut self.renewal].into_iter().flatten() {
            endeavour.due = endeavour.due.min(now);
        }
        let Some((identity, _)) = self.current.take() else { return };
        let renewal_at = self.plan(&identity.leaf, identity.record.issued_at);
        self.current = Some((identity, renewal_at));
        self.around.board.update(|status| {
            if let Some(identity) = &mut status.identity {
                identity.renewal_at = renewal_at;
            }
        });
    }

    /// When a certificate is to be renewed, by the settings in force.
    fn plan(&self, leaf: &Leaf, issued_at: Timestamp) -> Timestamp {
        let settings = self.settings();
        let policy = renewal::Policy { after: settings.renewal.after.get(), jitter: settings.renewal.jitter.get() };
        let due = renewal::due(leaf.not_before, leaf.not_after, policy, fastrand::f64());
        // A certificate that came late in its own lifetime would be renewed at once, and so would the next one.
        due.max(renewal::earliest(issued_at, leaf.not_after))
    }

    /// Tells when the certificate is over, or has not begun.
    fn watch_validity(&mut self, now: Timestamp) {
        let Some((identity, _)) = self.current.clone() else { return };
        let leaf = &identity.leaf;
        if leaf.not_after <= now {
            if !self.told_expired {
                self.told_expired = true;
                self.around.board.problem(
                    Area::Certificate,
                    Severity::ActionNeeded,
                    format!("The certificate expired on {}; the plane no longer knows this host.", leaf.not_after),
                    "The files stay as they are. Drop a new token; if the clock of this host is wrong, set it.",
                );
                self.around.identity.send_replace(None);
                self.notify(Notice::Expired);
            }
            return;
        }
        if std::mem::take(&mut self.told_expired) {
            // The clock was ahead, and is not any more.
            self.around.identity.send_replace(Some(identity.clone()));
        }
        if leaf.not_before > clock::after(now, BEHIND) {
            self.around.board.problem(
                Area::Certificate,
                Severity::ActionNeeded,
                format!("The certificate is valid only from {} on: the clock of this host is behind.", leaf.not_before),
                "The agent goes on. Set the clock.",
            );
        } else {
            self.around.board.solved(Area::Certificate);
        }
    }

    fn lost(&self, error: &IdentityError) {
        self.around.board.problem(
            Area::Certificate,
            Severity::ActionNeeded,
            format!("The identity of this host cannot be used: {error}."),
            "The files stay as they are. Restore the state directory from a backup and restart, or drop a new token.",
        );
    }

    fn notify(&self, notice: Notice) {
        // The receiving end lives as long as this one.
        let _ = self.around.notices.send(notice);
    }
}
