//! The identity loop: gets an identity by a token, proves it, renews it, and says when a person is needed.
//!
//! While an identity is in use, whatever is done about another one leaves it alone: a token that is dropped while
//! paired, or a renewal that fails, changes nothing until the new identity is proven.

mod endeavour;
pub mod give_up;
mod pair;
mod prove;
mod renew;
mod resume;
#[cfg(test)]
mod simulation;
mod standing;
mod tokens;

use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use self::endeavour::{Endeavour, Step};
pub use self::resume::Unreadable;
use super::board::Board;
use super::configuration::ClearOrder;
use super::pulse::Pulse;
use super::standing::{Reception, Standing};
use super::status::IdentityStatus;
use crate::apply::Notice;
use crate::clock::{Due, SharedClock};
use crate::config::Settings;
use crate::identity::{Identity, IdentityNumber, IdentityStore, Leaf};
use crate::pairing::PairingFiles;
use crate::renewal;
use crate::token::Arrival;

/// The most that one step of the loop may take beyond the time-outs of its requests: making a key of 4096 bits on a
/// slow machine, a slow disk, and a Director whose answer drips in for ten minutes.
const OWN_WORK: Duration = Duration::from_secs(180 + 600);

/// What the loop can be told.
#[derive(Debug)]
pub enum Order {
    /// Renew the certificate now; the answer says whether that began.
    Renew(oneshot::Sender<Result<String, String>>),
    /// Give the identity up; the answer says what was done.
    Unpair(Files, oneshot::Sender<Result<String, String>>),
}

/// What becomes of the published files when the identity is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Files {
    /// They are emptied.
    Empty,
    /// They stay as they are.
    Keep,
}

/// How the Director answered to an identity.
#[derive(Debug)]
pub struct Answered {
    /// To which one.
    pub identity: IdentityNumber,
    /// How.
    pub how: How,
}

/// How a server answered to an identity.
#[derive(Debug)]
pub enum How {
    /// It took it.
    Accepted,
    /// It refused it, in these words.
    Refused(String),
}

/// What the loop needs of others.
pub struct Surroundings {
    /// The time.
    pub clock: SharedClock,
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
    /// What the configuration loop hears from the Director.
    pub answers: mpsc::Receiver<Answered>,
    /// Where the identity in use is published.
    pub identity: watch::Sender<Option<Rc<Identity>>>,
    /// Where it is published how that stands.
    pub standing: watch::Sender<Standing>,
    /// The configuration loop can be told to empty the files.
    pub clearing: mpsc::Sender<ClearOrder>,
    /// Hooks are told of changes.
    pub notices: mpsc::UnboundedSender<Notice>,
}

/// The loop.
pub struct TrustLoop {
    around: Surroundings,
    store: IdentityStore,
    files: PairingFiles,
    /// The identity in use.
    current: Option<InUse>,
    /// Why there is none, where there was one.
    lost: Option<String>,
    /// What is being done to get another one by a token.
    by_token: Option<Endeavour>,
    /// A token that came while another one's signing request is under way: that one first, for it is half spent.
    waiting: Option<Endeavour>,
    /// What is being done to renew it. Its own place: no token that comes to nothing may keep a certificate from being
    /// renewed.
    renewal: Option<Endeavour>,
}

/// The identity in use.
struct InUse {
    identity: Rc<Identity>,
    /// When it is to be renewed.
    renewal_at: Timestamp,
    /// How the plane receives it.
    reception: Reception,
    /// Whether hooks know that its end is near.
    told_expiring: bool,
}

impl InUse {
    fn leaf(&self) -> &Leaf {
        &self.identity.leaf
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.leaf().not_after <= now
    }
}

impl TrustLoop {
    /// Goes on where an earlier process ended: with the identity in use, an identity that was not tried yet, or a
    /// pairing between its two requests.
    ///
    /// # Errors
    /// When the disk does not give what was kept: then nothing is known, and nothing may be concluded.
    pub fn new(around: Surroundings, store: IdentityStore, files: PairingFiles) -> Result<Self, Unreadable> {
        let mut this =
            Self { around, store, files, current: None, lost: None, by_token: None, waiting: None, renewal: None };
        this.resume()?;
        Ok(this)
    }

    /// Runs until the process ends.
    pub async fn run(mut self) {
        loop {
            let now = self.now();
            self.watch_clock(now);
            self.watch_standing(now);
            self.rescue_renewal(now);
            let clock = Rc::clone(&self.around.clock);
            let due = self.due(now);
            self.around.pulse.idle();
            tokio::select! {
                biased;
                Some(arrival) = self.around.arrivals.recv() => {
                    self.working();
                    self.receive(arrival);
                }
                Some(order) = self.around.orders.recv() => {
                    self.working();
                    self.obey(order).await;
                }
                Some(answered) = self.around.answers.recv() => self.hear(answered),
                changed = self.around.settings.changed() => {
                    if changed.is_ok() { self.replan(); }
                }
                () = clock.sleep_until(due) => {
                    self.working();
                    self.turn().await;
                }
            }
        }
    }

    /// A renewed certificate that is still to be proven outlives the one it was to replace.
    fn rescue_renewal(&mut self, now: Timestamp) {
        if self.by_token.is_none() && self.current.as_ref().is_some_and(|used| used.is_over(now)) {
            self.by_token = self.renewal.take_if(|endeavour| matches!(endeavour.step, Step::Prove(_)));
        }
    }

    fn now(&self) -> Timestamp {
        self.around.clock.now()
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

    /// When there is next something to do; the end of time, where a clock that is set is all that can change things.
    fn due(&mut self, now: Timestamp) -> Timestamp {
        for endeavour in [&mut self.by_token, &mut self.waiting, &mut self.renewal].into_iter().flatten() {
            endeavour.due = endeavour.due.seen(now);
        }
        let by_token = self.by_token.as_ref().map(|endeavour| endeavour.due.at(now));
        let (validity, renewal) = match &self.current {
            Some(used) if !used.is_over(now) => {
                let leaf = used.leaf();
                let validity = if leaf.not_before > now { leaf.not_before } else { leaf.not_after };
                let renewal = match &self.renewal {
                    _ if self.proves_by_token() => None,
                    Some(endeavour) => Some(endeavour.due.at(now)),
                    None => Some(used.renewal_at),
                };
                (Some(validity), renewal)
            }
            Some(_) | None => (None, None),
        };
        [by_token, renewal, validity].into_iter().flatten().min().unwrap_or(Timestamp::MAX)
    }

    /// Whether an identity that came by a token is about to replace the one in use: a renewal would come too late.
    fn proves_by_token(&self) -> bool {
        matches!(&self.by_token, Some(Endeavour { step: Step::Prove(_), .. }))
    }

    /// Does the one thing that is due.
    async fn turn(&mut self) {
        let now = self.now();
        self.rescue_renewal(now);
        if let Some(endeavour) = self.by_token.take_if(|endeavour| endeavour.due.is_over(now)) {
            self.by_token = self.advance(endeavour).await;
            if self.by_token.is_none() {
                self.by_token = self.waiting.take();
            }
        } else if self.current.as_ref().is_none_or(|used| used.is_over(now)) {
            self.renewal = None;
        } else if !self.proves_by_token() {
            if let Some(endeavour) = self.renewal.take_if(|endeavour| endeavour.due.is_over(now)) {
                self.renewal = self.advance(endeavour).await;
            } else if self.renewal.is_none() && self.current.as_ref().is_some_and(|used| used.renewal_at <= now) {
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

    async fn obey(&mut self, order: Order) {
        // Whoever asked may have gone.
        let _ = match order {
            Order::Renew(answer) => answer.send(self.renew_now()),
            Order::Unpair(files, answer) => answer.send(self.unpair(files).await),
        };
    }

    fn renew_now(&mut self) -> Result<String, String> {
        let now = self.now();
        match &self.current {
            None => return Err("there is no certificate to renew; drop a token to pair".to_owned()),
            Some(used) if used.is_over(now) => {
                return Err("the certificate has expired and cannot be renewed; drop a token to pair again".to_owned());
            }
            Some(_) if self.proves_by_token() => {
                let why = "a new identity, made by a token, is being tried already; see `runtime-agent status`";
                return Err(why.to_owned());
            }
            Some(_) => {}
        }
        match &mut self.renewal {
            Some(endeavour) => endeavour.due = Due::now(now),
            None => self.renewal = Some(Endeavour::new(Step::Renew, now)),
        }
        self.tell_endeavours();
        Ok("The certificate is being renewed.".to_owned())
    }

    /// Puts an identity to use.
    fn adopt(&mut self, identity: Identity) {
        let leaf = &identity.leaf;
        let renewal_at = self.plan(leaf, identity.record.issued_at);
        let status = IdentityStatus::new(self.store.public_part(&identity), renewal_at);
        self.around.board.update(|board| board.identity = Some(status));
        let identity = Rc::new(identity);
        self.current = Some(InUse {
            identity: identity.clone(),
            renewal_at,
            reception: Reception::Accepted,
            told_expiring: false,
        });
        self.lost = None;
        // It was about the identity before.
        self.renewal = None;
        self.around.identity.send_replace(Some(identity));
        self.watch_standing(self.now());
        // Where it stands like the one before, its dates are others all the same.
        self.explain(*self.around.standing.borrow());
    }

    /// New settings: the instant of renewal is chosen anew, and what failed is tried with them at once.
    fn replan(&mut self) {
        let now = self.now();
        for endeavour in [&mut self.by_token, &mut self.waiting, &mut self.renewal].into_iter().flatten() {
            endeavour.due = Due::now(now);
        }
        let Some(used) = &self.current else { return };
        let renewal_at = self.plan(used.leaf(), used.identity.record.issued_at);
        if let Some(used) = &mut self.current {
            used.renewal_at = renewal_at;
        }
        self.around.board.update(|status| {
            if let Some(identity) = &mut status.identity {
                identity.renewal_at = renewal_at;
            }
        });
    }

    /// When a certificate is to be renewed, by the settings in force.
    fn plan(&self, leaf: &Leaf, issued_at: Timestamp) -> Timestamp {
        let policy = self.settings().renewal.policy();
        let due = renewal::due(leaf.not_before, leaf.not_after, policy, fastrand::f64());
        // A certificate that came late in its own lifetime would be renewed at once, and so would the next one.
        due.max(renewal::earliest(issued_at, leaf.not_after))
    }

    fn notify(&self, notice: Notice) {
        // The receiving end lives as long as this one.
        let _ = self.around.notices.send(notice);
    }
}
