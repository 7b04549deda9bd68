//! The identity loop: gets an identity by a token, proves it, renews it, and says when a person is needed.
//!
//! While an identity is in use, whatever is done about another one leaves it alone: a token that is dropped while
//! paired, or a renewal that fails, changes nothing until the new identity is proven.

mod endeavour;
mod pair;
mod renew;

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use self::endeavour::{Endeavour, Step};
use super::board::Board;
use super::pulse::Pulse;
use super::status::{Area, IdentityStatus, Severity};
use crate::apply::Notice;
use crate::backoff::Backoff;
use crate::clock;
use crate::config::Settings;
use crate::identity::{Identity, IdentityError, IdentityStore, Leaf};
use crate::pairing::{PairingFiles, TokenOutcome, Verdict};
use crate::renewal;
use crate::token::{Arrival, Dropped};

/// The most that one step of the loop may take beyond the time-outs of its requests: making a key of 4096 bits on a
/// slow machine, and a slow disk.
const OWN_WORK: Duration = Duration::from_secs(180);

/// What the loop can be told.
#[derive(Debug)]
pub enum Order {
    /// Renew the certificate now; the answer says whether that began.
    Renew(oneshot::Sender<Result<(), String>>),
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
    /// What is being done about another one.
    endeavour: Option<Endeavour>,
    /// Whether its end was told.
    told_expired: bool,
}

impl TrustLoop {
    /// Goes on where an earlier process ended: with the identity in use, an identity that was not tried yet, or a
    /// pairing between its two requests.
    pub fn new(around: Surroundings, store: IdentityStore, files: PairingFiles) -> Self {
        let mut this = Self { around, store, files, current: None, endeavour: None, told_expired: false };
        this.around.board.update(|status| status.token = this.files.outcome());
        match this.store.current() {
            Ok(Some(identity)) => this.adopt(identity),
            Ok(None) => {}
            Err(error) => this.lost(&error),
        }
        this.endeavour = this.unfinished();
        this.tell_endeavour();
        this.conclude_interrupted();
        this
    }

    /// Killed after the identity was put in place, and before that was written down of the token: does it now.
    fn conclude_interrupted(&self) {
        let Some(outcome) = self.files.outcome().filter(|outcome| outcome.verdict == Verdict::InUse) else { return };
        let came_of_it = self.current.as_ref().is_some_and(|(identity, _)| identity.record.issued_at >= outcome.at);
        if self.endeavour.is_none() && came_of_it {
            self.conclude(outcome.fingerprint, Verdict::Paired, "this host was paired by it");
        }
    }

    fn unfinished(&self) -> Option<Endeavour> {
        let now = clock::now();
        match self.store.candidate() {
            Ok(Some(candidate)) => return Some(Endeavour::new(Step::Prove(Box::new(candidate)), now)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "an identity that was being made is left aside"),
        }
        match self.files.pending() {
            Ok(pending) => pending.map(|pending| {
                tracing::info!("going on with the pairing that was interrupted");
                Endeavour::new(Step::Enrol { pending: Box::new(pending), key: None }, now)
            }),
            Err(error) => {
                self.around.board.problem(
                    Area::Pairing,
                    Severity::ActionNeeded,
                    format!("A pairing was interrupted, and what was kept of it cannot be used: {error}."),
                    "Drop a new token.",
                );
                None
            }
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
        let endeavour = self.endeavour.as_ref().map(|endeavour| endeavour.due);
        let renewal = match (&self.current, &self.endeavour) {
            (Some((identity, at)), None) if identity.leaf.not_after > now => Some(*at),
            _ => None,
        };
        let expiry = self.current.as_ref().map(|(identity, _)| identity.leaf.not_after).filter(|_| !self.told_expired);
        [endeavour, renewal, expiry].into_iter().flatten().min()
    }

    /// Does the one thing that is due.
    async fn turn(&mut self) {
        let now = clock::now();
        if let Some(endeavour) = self.endeavour.take_if(|endeavour| endeavour.due <= now) {
            self.endeavour = self.advance(endeavour).await;
            self.tell_endeavour();
        } else if self.endeavour.is_none()
            && self.current.as_ref().is_some_and(|(identity, at)| *at <= now && now < identity.leaf.not_after)
        {
            self.endeavour = Some(Endeavour::new(Step::Renew, now));
            self.tell_endeavour();
        }
    }

    fn tell_endeavour(&self) {
        let told = self.endeavour.as_ref().map(Endeavour::to_string);
        self.around.board.update(|status| status.endeavour = told);
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Renew(answer) => {
                let begun = match (&self.current, &self.endeavour) {
                    (None, _) => Err("there is no certificate to renew; drop a token to pair".to_owned()),
                    (Some((identity, _)), _) if identity.leaf.not_after <= clock::now() => {
                        Err("the certificate has expired and cannot be renewed; drop a token to pair again".to_owned())
                    }
                    (
                        Some(_),
                        Some(Endeavour { step: Step::Enrol { .. } | Step::Introduce { .. } | Step::Prove(_), .. }),
                    ) => Err("a new identity is being made already; see `runtime-agent status`".to_owned()),
                    (Some(_), Some(Endeavour { step: Step::Renew, .. }) | None) => {
                        self.endeavour = Some(Endeavour::new(Step::Renew, clock::now()));
                        self.tell_endeavour();
                        Ok(())
                    }
                };
                // Whoever asked may have gone.
                let _ = answer.send(begun);
            }
        }
    }

    fn receive(&mut self, Arrival { path, dropped }: Arrival) {
        match dropped {
            Dropped::Token(token) => {
                let fingerprint = token.fingerprint();
                let known = self.files.outcome().filter(|outcome| outcome.fingerprint.as_deref() == Some(&fingerprint));
                // Written down before it was presented, by a process that ended before the answer came.
                let lost = known.is_some();
                match known {
                    // Killed between the token's last use and the removal of its file.
                    Some(outcome) if outcome.verdict != Verdict::InUse => {
                        self.remove_token(&path);
                        tracing::info!(token = fingerprint, "a token that was dealt with before is removed");
                    }
                    _ if self.uses(&fingerprint) => {
                        // Dropped once more while its first use goes on, which a second use would only disturb.
                        if !matches!(&self.endeavour, Some(Endeavour { step: Step::Introduce { .. }, .. })) {
                            self.remove_token(&path);
                        }
                    }
                    _ => {
                        tracing::info!(token = fingerprint, "a token was dropped");
                        self.conclude(Some(fingerprint), Verdict::InUse, "it is being used to pair");
                        let step = Step::Introduce { token: Box::new(token), path, lost };
                        self.endeavour = Some(Endeavour::new(step, clock::now()));
                        self.tell_endeavour();
                    }
                }
            }
            Dropped::NoToken(error) => {
                self.remove_token(&path);
                self.refuse(None, &format!("The file {} holds no token: {error}.", path.display()));
            }
            Dropped::Stuck(why) => self.around.board.problem(
                Area::Pairing,
                Severity::ActionNeeded,
                format!("The token file {} cannot be used: {why}.", path.display()),
                "The agent looks again when the file changes.",
            ),
            Dropped::Gone if self.endeavour.is_none() => self.around.board.solved(Area::Pairing),
            Dropped::Gone => {}
        }
    }

    /// Whether a token is what the endeavour is about.
    fn uses(&self, fingerprint: &str) -> bool {
        match self.endeavour.as_ref().map(|endeavour| &endeavour.step) {
            Some(Step::Introduce { token, .. }) => token.fingerprint() == fingerprint,
            Some(Step::Enrol { pending, .. }) => pending.fingerprint == fingerprint,
            Some(Step::Prove(_) | Step::Renew) | None => false,
        }
    }

    /// A token is of no use: says so, in the journal, in the status and for the next start.
    fn refuse(&self, fingerprint: Option<String>, sentence: &str) {
        self.conclude(fingerprint, Verdict::Refused, sentence);
        let now = clock::now();
        if self.current.as_ref().is_some_and(|(identity, _)| identity.leaf.not_after > now) {
            // Nothing is wrong with the host; who dropped the token sees in the status what became of it.
            self.around.board.solved(Area::Pairing);
            tracing::error!("{sentence} The identity in use stays. To pair anew, drop a new token.");
        } else {
            self.around.board.problem(Area::Pairing, Severity::ActionNeeded, sentence, "Drop a new token.");
        }
    }

    fn conclude(&self, fingerprint: Option<String>, verdict: Verdict, detail: &str) {
        let outcome = TokenOutcome { fingerprint, at: clock::now(), verdict, detail: detail.to_owned() };
        if let Err(error) = self.files.conclude(&outcome) {
            tracing::warn!(%error, "what became of the token cannot be written down");
        }
        self.around.board.update(|status| status.token = Some(outcome));
    }

    fn remove_token(&self, path: &std::path::Path) {
        if let Err(error) = crate::disk::remove(path) {
            self.around.board.problem(
                Area::Pairing,
                Severity::ActionNeeded,
                format!("The used token file stays: {error}."),
                format!("Remove {} by hand.", path.display()),
            );
        }
    }

    /// Puts an identity to use.
    fn adopt(&mut self, identity: Identity) {
        let leaf = &identity.leaf;
        let renewal_at = self.plan(leaf);
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
        self.around.identity.send_replace(Some(identity));
    }

    /// New settings: the instant of renewal is chosen anew.
    fn replan(&mut self) {
        let Some((identity, _)) = self.current.take() else { return };
        let renewal_at = self.plan(&identity.leaf);
        self.current = Some((identity, renewal_at));
        self.around.board.update(|status| {
            if let Some(identity) = &mut status.identity {
                identity.renewal_at = renewal_at;
            }
        });
    }

    /// When a certificate is to be renewed, by the settings in force.
    fn plan(&self, leaf: &Leaf) -> Timestamp {
        let settings = self.settings();
        let policy = renewal::Policy { after: settings.renewal.after.get(), jitter: settings.renewal.jitter.get() };
        renewal::due(leaf.not_before, leaf.not_after, policy, fastrand::f64())
    }

    /// Tells when the certificate is over, or has not begun.
    fn watch_validity(&mut self, now: Timestamp) {
        let Some((identity, _)) = &self.current else { return };
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
        } else if leaf.not_before > clock::after(now, Duration::from_secs(60)) {
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

    fn backoff(&self) -> Backoff {
        Backoff::new(Duration::from_secs(2), Duration::from_secs(5 * 60))
    }
}
