//! The steps of pairing: the token, the signing request, the proof.

use std::time::Duration;

use jiff::Timestamp;

use super::TrustLoop;
use super::endeavour::{Endeavour, Step};
use crate::agent::link;
use crate::agent::status::{Area, Severity};
use crate::backoff::Backoff;
use crate::clock::{self, Due};
use crate::connector::{self, ConnectorError, Signed};
use crate::event::{Pairing, Retry};
use crate::identity::{Identity, Issued, KeyAlgorithm, PrivateKey, Record, Subject, encode_csr};
use crate::pairing::{Asked, Pending};
use crate::token::{OneTimeToken, TokenFile};
use crate::transport::{self, CallError, Fault, Source};

/// How long the Connector takes a second token, by default: 5 minutes.
const SECOND_TOKEN: Duration = Duration::from_secs(5 * 60);

/// How often a signing request is tried at the least before its token counts as old: a clock that is set makes minutes
/// pass in no time.
const FEWEST_TRIES: u32 = 3;

/// The longest that a Connector's wish to be left alone is heeded while a token waits: 15 minutes.
const LONGEST_WISH: Duration = Duration::from_secs(15 * 60);

impl TrustLoop {
    /// Takes a step, and says what comes after it.
    pub(super) async fn advance(&mut self, endeavour: Endeavour) -> Option<Endeavour> {
        let failures = endeavour.failures;
        match endeavour.step {
            // A token that is refused may have come in the way of a pairing that can still be brought to its end.
            Step::Introduce { token, file, lost } => match self.introduce(token, file, lost, failures).await {
                None => self.unfinished(),
                next => next,
            },
            Step::Enrol { pending, key } => self.enrol(pending, key, failures).await,
            Step::Renew => self.renew(failures).await,
            Step::Prove(candidate) => self.prove(candidate, failures).await,
        }
    }

    async fn introduce(
        &mut self,
        token: Box<OneTimeToken>,
        file: Option<TokenFile>,
        lost: bool,
        failures: u32,
    ) -> Option<Endeavour> {
        let fingerprint = Some(token.fingerprint());
        let settings = self.settings();
        if failures > 0 && file.as_ref().is_some_and(|file| !file.path.exists()) {
            self.refuse(fingerprint, "The token was taken away before the Connector could be asked.");
            return None;
        }
        let now = self.now();
        if let Some(at) = token.expires_at.filter(|at| *at <= now) {
            self.refuse(fingerprint, &expired(at, now, lost));
            self.consume(file.as_ref());
            return None;
        }
        let Some(url) = token.connector_url.clone().or_else(|| settings.plane.connector_url.clone()) else {
            self.refuse(
                fingerprint,
                "The token does not say which Connector it is for, and plane.connector_url is not configured.",
            );
            self.consume(file.as_ref());
            return None;
        };
        let answer = match link::connector_with_token(&settings, &url, &token.secret) {
            Ok(connector) => connector::configuration(&connector).await,
            Err(error) => {
                self.cannot_reach(Area::Pairing, &format!("The Connector cannot be asked: {error}."));
                return Some(self.again(Step::Introduce { token, file, lost }, failures, None));
            }
        };
        match answer {
            Ok(configuration) => {
                let pending = Pending::new(&token, url, configuration, self.now());
                // The second token must be on disk before anything else happens: the first one is spent.
                if let Err(error) = self.files.keep(&pending) {
                    self.cannot_reach(Area::Pairing, &format!("The pairing cannot be written down: {error}."));
                } else {
                    self.around.board.solved(Area::Pairing);
                }
                self.consume(file.as_ref());
                Pairing::Accepted { connector: &pending.connector_url.host() }.emit();
                Some(Endeavour::new(Step::Enrol { pending: Box::new(pending), key: None }, self.now()))
            }
            Err(ConnectorError::Call(error)) if error.fault.is_refused_token() => {
                self.refuse(fingerprint, &refused(&error, lost, token.expires_at, self.now()));
                self.consume(file.as_ref());
                None
            }
            Err(ConnectorError::Call(error)) => {
                if let Some(at) = token.expires_at.filter(|at| *at <= self.now()) {
                    let sentence =
                        format!("The token expired at {at}, by this host's clock, before it could be used: {error}.");
                    self.refuse(fingerprint, &sentence);
                    self.consume(file.as_ref());
                    return None;
                }
                let lost = lost || !error.fault.certainly_undone();
                self.wait_for(Area::Pairing, &format!("Pairing waits: {error}."), &error);
                // A token lives for an hour or so: nobody's wish to be left alone may cost all of it.
                let asked = asked(&error).map(|asked| asked.min(LONGEST_WISH));
                Some(self.again(Step::Introduce { token, file, lost }, failures, asked))
            }
            Err(error) => {
                self.refuse(fingerprint, &format!("Pairing failed, and the token is spent: {error}."));
                self.consume(file.as_ref());
                None
            }
        }
    }

    /// Removes the file of a token that is spent or refused.
    fn consume(&self, file: Option<&TokenFile>) {
        if let Some(file) = file {
            self.remove_token(file);
        }
    }

    async fn enrol(&mut self, mut pending: Box<Pending>, key: Option<PrivateKey>, failures: u32) -> Option<Endeavour> {
        let fingerprint = Some(pending.fingerprint.clone());
        let settings = self.settings();
        let stranger = connector::check_hosts(
            &pending.director_url,
            &pending.renewal_url,
            &pending.connector_url,
            &settings.plane.allowed_hosts,
        );
        if let Err(error) = stranger {
            return self.meet_stranger(pending, &error);
        }
        let prepared = async {
            let key = match key {
                Some(key) => key,
                None => make_key(pending.key_algorithm).await?,
            };
            let csr = encode_csr(&pending.subject, &key).map_err(|error| error.to_string())?;
            let connector = link::connector_with_token(&settings, &pending.connector_url, &pending.token)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>((key, csr, connector))
        };
        let (key, csr, connector) = match prepared.await {
            Ok(prepared) => prepared,
            Err(error) => {
                self.cannot_reach(
                    Area::Pairing,
                    &format!("Pairing waits: the signing request cannot be made: {error}."),
                );
                return Some(self.again_soon(Step::Enrol { pending, key: None }, failures, None));
            }
        };
        let asked_before = pending.asked;
        pending.asked = Asked::Maybe;
        if let Err(error) = self.files.keep(&pending) {
            self.cannot_reach(Area::Pairing, &format!("Pairing waits: it cannot be written down: {error}."));
            pending.asked = asked_before;
            return Some(self.again_soon(Step::Enrol { pending, key: Some(key) }, failures, None));
        }
        let signed = match connector::sign(&connector, &csr).await {
            Ok(signed) => signed,
            // A gateway's refusal may pass, and the second token is worth the tries while the plane honours it.
            Err(error) if matches!(error.fault, Fault::Graphql(_)) && is_final(&error) => {
                self.refuse(fingerprint, &refused_second(&error, asked_before));
                self.forget_pending();
                return None;
            }
            Err(error) => {
                if asked_before == Asked::NotYet && error.fault.certainly_undone() {
                    pending.asked = Asked::NotYet;
                }
                let old = clock::until(pending.since, self.now()) > SECOND_TOKEN && failures >= FEWEST_TRIES;
                if old && self.waiting.is_some() {
                    let sentence = format!("Pairing failed: {error}. A newer token takes its place.");
                    self.refuse(fingerprint, &sentence);
                    self.forget_pending();
                    return None;
                }
                self.wait_for(Area::Pairing, &format!("Pairing waits: {error}."), &error);
                let (step, asked) = (Step::Enrol { pending, key: Some(key) }, asked(&error));
                // The second token is hardly taken any more; but whether it is, only the plane knows.
                let again = if old { Self::again } else { Self::again_soon };
                return Some(again(self, step, failures, asked));
            }
        };
        let mut record = Record::new(
            pending.runtime.clone(),
            pending.tenant.clone(),
            pending.director_url.clone(),
            pending.renewal_url.clone(),
            pending.key_algorithm,
            self.now(),
        );
        record.connector_url = Some(pending.connector_url.clone());
        record.token.clone_from(&fingerprint);
        match self.accept(&signed, &key, &pending.subject, record) {
            Ok(candidate) => {
                self.forget_pending();
                Some(Endeavour::new(Step::Prove(Box::new(candidate)), self.now()))
            }
            Err(error) => {
                self.refuse(
                    fingerprint,
                    &format!("Pairing failed, and both tokens are spent: the new certificate is not used: {error}."),
                );
                self.forget_pending();
                None
            }
        }
    }

    /// The Connector sends us to a host that is not allowed: a person may allow it while the second token lives.
    fn meet_stranger(&mut self, pending: Box<Pending>, error: &ConnectorError) -> Option<Endeavour> {
        let left = clock::until(self.now(), clock::after(pending.since, SECOND_TOKEN)).min(SECOND_TOKEN);
        if left.is_zero() {
            let fingerprint = Some(pending.fingerprint);
            self.refuse(fingerprint, &format!("Pairing failed, and the token is spent: {error}."));
            self.forget_pending();
            return None;
        }
        self.around.board.problem(
            Area::Pairing,
            Severity::ActionNeeded,
            format!("Pairing waits: {error}."),
            "If that host is the plane's, list it there and run `systemctl reload runtime-agent` within five minutes; \
             later, a new token is needed.",
        );
        let step = Step::Enrol { pending, key: None };
        Some(Endeavour { step, due: Due::after(self.now(), left), failures: 0 })
    }

    /// Checks a signed certificate and writes it down as a candidate.
    pub(super) fn accept(
        &self,
        signed: &Signed,
        key: &PrivateKey,
        subject: &Subject,
        record: Record,
    ) -> Result<Identity, String> {
        let Signed { certificate_chain, ca_certificate, client_certificate } = signed;
        let issued =
            Issued::verify(client_certificate, certificate_chain, ca_certificate, key, subject, record.issued_at)
                .map_err(|error| error.to_string())?;
        self.store.stage(&issued, key, record).map_err(|error| error.to_string())
    }

    pub(super) fn forget_pending(&self) {
        if let Err(error) = self.files.forget() {
            Pairing::NotForgotten(&error).emit();
        }
    }

    pub(super) fn wait_for(&self, area: Area, what: &str, error: &CallError) {
        let (severity, remedy) = if is_final(error) {
            (Severity::ActionNeeded, "The agent tries again by itself, but this will hardly pass without a person.")
        } else {
            (Severity::Transient, "The agent tries again by itself.")
        };
        self.around.board.problem(area, severity, what, remedy);
    }

    /// The same step, later.
    pub(super) fn again(&self, step: Step, failures: u32, asked: Option<Duration>) -> Endeavour {
        // Without an identity in use, somebody waits; with one, nobody does.
        let cap = if self.current.is_some() { Duration::from_secs(60 * 60) } else { Duration::from_secs(5 * 60) };
        self.later(step, failures, Backoff::new(Duration::from_secs(2), cap), asked)
    }

    /// The same step, before a token that lives for five minutes is over.
    fn again_soon(&self, step: Step, failures: u32, asked: Option<Duration>) -> Endeavour {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(15));
        self.later(step, failures, backoff, asked.map(|asked| asked.min(Duration::from_secs(60))))
    }

    fn later(&self, step: Step, failures: u32, backoff: Backoff, asked: Option<Duration>) -> Endeavour {
        let failures = failures.saturating_add(1);
        let wait = backoff.wait(failures, fastrand::f64(), asked);
        Retry::Pairing.emit();
        Endeavour { step, due: Due::after(self.now(), wait), failures }
    }

    pub(super) fn cannot_reach(&self, area: Area, what: &str) {
        self.around.board.problem(area, Severity::Transient, what, "The agent tries again by itself.");
    }
}

/// Makes a key without holding up the loops.
pub(super) async fn make_key(algorithm: KeyAlgorithm) -> Result<PrivateKey, String> {
    match tokio::task::spawn_blocking(move || PrivateKey::generate(algorithm)).await {
        Ok(Ok(key)) => Ok(key),
        Ok(Err(error)) => Err(format!("no key can be made: {error}")),
        Err(error) => Err(format!("no key can be made: {error}")),
    }
}

/// Whether no retry of a request can help.
pub(super) fn is_final(error: &CallError) -> bool {
    matches!(error.fault.retry(), transport::Retry::Never) && error.fault.source() != Source::Wire
}

/// After how long the plane wants to be asked again.
pub(super) fn asked(error: &CallError) -> Option<Duration> {
    match error.fault.retry() {
        transport::Retry::Later(asked) => asked,
        transport::Retry::Never => None,
    }
}

fn expired(at: Timestamp, now: Timestamp, lost: bool) -> String {
    let lost = if lost { ", after a request whose answer was lost, which probably spent it" } else { "" };
    format!(
        "The token expired at {at} and is not used{lost}: this host's clock shows {now:.0}. If the clock is wrong, set it \
         (see `timedatectl`) first."
    )
}

fn refused(error: &CallError, lost: bool, expires_at: Option<Timestamp>, now: Timestamp) -> String {
    if lost {
        return format!(
            "The token was refused, after a request whose answer was lost; that request probably spent it: {error}."
        );
    }
    match expires_at.filter(|at| *at <= now) {
        Some(at) => format!("The token was refused; it expired at {at}: {error}."),
        None => format!("The token was refused; it is wrong, spent or expired: {error}."),
    }
}

fn refused_second(error: &CallError, asked: Asked) -> String {
    match asked {
        Asked::Maybe => format!(
            "Pairing failed: the answer to an earlier signing request was lost, and with it probably a certificate that \
             nobody holds now; or the second token expired, which the Connector takes for five minutes by default: \
             {error}."
        ),
        Asked::NotYet => format!(
            "Pairing failed: the Connector refused the signing request; the second token, which it takes for five \
             minutes by default, may have expired: {error}."
        ),
    }
}
