//! The steps of pairing: the token, the signing request, the proof.

use std::path::PathBuf;

use super::TrustLoop;
use super::endeavour::{Endeavour, Step};
use crate::agent::link;
use crate::agent::status::{Area, Severity};
use crate::apply::Notice;
use crate::clock;

use crate::connector::{self, ConnectorError, Signed};
use crate::director::ViewerKind;
use crate::identity::{Identity, Issued, KeyAlgorithm, PrivateKey, Record, Subject, encode_csr};
use crate::ids::RuntimeId;
use crate::pairing::{Asked, Pending, Verdict};
use crate::token::OneTimeToken;
use crate::transport::{CallError, Fault, Retry, Source};

impl TrustLoop {
    /// Takes a step, and says what comes after it.
    pub(super) async fn advance(&mut self, endeavour: Endeavour) -> Option<Endeavour> {
        let failures = endeavour.failures;
        match endeavour.step {
            // A token that is refused may have come in the way of a pairing that can still be brought to its end.
            Step::Introduce { token, path, lost } => match self.introduce(token, path, lost, failures).await {
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
        path: PathBuf,
        lost: bool,
        failures: u32,
    ) -> Option<Endeavour> {
        let fingerprint = Some(token.fingerprint());
        let settings = self.settings();
        if let Some(at) = token.expires_at.filter(|at| *at <= clock::now()) {
            self.remove_token(&path);
            self.refuse(fingerprint, &format!("The token expired at {at}, by this host's clock."));
            return None;
        }
        let Some(url) = token.connector_url.clone().or_else(|| settings.plane.connector_url.clone()) else {
            self.remove_token(&path);
            self.refuse(
                fingerprint,
                "The token does not say which Connector it is for, and plane.connector_url is not configured.",
            );
            return None;
        };
        let answer = match link::connector_with_token(&settings, &url, &token.secret) {
            Ok(connector) => connector::configuration(&connector).await,
            Err(error) => {
                self.cannot_reach(&format!("The Connector cannot be asked: {error}."));
                return Some(self.again(Step::Introduce { token, path, lost }, failures, None));
            }
        };
        match answer {
            Ok(configuration) => {
                let pending = Pending::new(&token, url, configuration, clock::now());
                // The second token must be on disk before anything else happens: the first one is spent.
                if let Err(error) = self.files.keep(&pending) {
                    self.cannot_reach(&format!("The pairing cannot be written down: {error}."));
                } else {
                    self.around.board.solved(Area::Pairing);
                }
                self.remove_token(&path);
                tracing::info!(connector = pending.connector_url.host(), "the Connector accepted the token");
                Some(Endeavour::new(Step::Enrol { pending: Box::new(pending), key: None }, clock::now()))
            }
            Err(ConnectorError::Call(error)) if error.fault.is_refused_token() => {
                self.remove_token(&path);
                self.refuse(fingerprint, &refused(&error, lost));
                None
            }
            Err(ConnectorError::Call(error)) => {
                let lost = lost || !error.fault.certainly_undone();
                self.wait_for(&format!("Pairing waits: {error}."), &error);
                let asked = asked(&error);
                Some(self.again(Step::Introduce { token, path, lost }, failures, asked))
            }
            Err(error) => {
                self.remove_token(&path);
                self.refuse(fingerprint, &format!("Pairing failed, and the token is spent: {error}."));
                None
            }
        }
    }

    async fn enrol(&mut self, mut pending: Box<Pending>, key: Option<PrivateKey>, failures: u32) -> Option<Endeavour> {
        let fingerprint = Some(pending.fingerprint.clone());
        let settings = self.settings();
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
                self.cannot_reach(&format!("Pairing waits: the signing request cannot be made: {error}."));
                return Some(self.again(Step::Enrol { pending, key: None }, failures, None));
            }
        };
        let asked_before = pending.asked;
        pending.asked = Asked::Maybe;
        if let Err(error) = self.files.keep(&pending) {
            self.cannot_reach(&format!("Pairing waits: it cannot be written down: {error}."));
            pending.asked = asked_before;
            return Some(self.again(Step::Enrol { pending, key: Some(key) }, failures, None));
        }
        let signed = match connector::sign(&connector, &csr).await {
            Ok(signed) => signed,
            // A gateway's refusal may pass, and the second token is worth the tries while the plane honours it.
            Err(error) if matches!(error.fault, Fault::Graphql(_)) && is_final(&error) => {
                self.forget_pending();
                self.refuse(fingerprint, &refused_second(&error, asked_before));
                return None;
            }
            Err(error) => {
                if asked_before == Asked::NotYet && error.fault.certainly_undone() {
                    pending.asked = Asked::NotYet;
                }
                self.wait_for(&format!("Pairing waits: {error}."), &error);
                let asked = asked(&error);
                return Some(self.again(Step::Enrol { pending, key: Some(key) }, failures, asked));
            }
        };
        let record = |at| {
            Record::new(
                pending.runtime.clone(),
                pending.tenant.clone(),
                pending.director_url.clone(),
                pending.renewal_url.clone(),
                pending.key_algorithm,
                at,
            )
        };
        match self.accept(&signed, &key, &pending.subject, record(clock::now())) {
            Ok(candidate) => {
                self.forget_pending();
                Some(Endeavour::new(Step::Prove(Box::new(candidate)), clock::now()))
            }
            Err(error) => {
                self.forget_pending();
                self.refuse(
                    fingerprint,
                    &format!("Pairing failed, and both tokens are spent: the new certificate is not used: {error}."),
                );
                None
            }
        }
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

    async fn prove(&mut self, candidate: Box<Identity>, failures: u32) -> Option<Endeavour> {
        if candidate.leaf.not_after <= clock::now() {
            return self.discard(&candidate, "it expired before it could be tried", failures);
        }
        let viewer = match link::director(&self.settings(), &candidate) {
            Ok(director) => director.viewer().await,
            Err(error) => {
                self.cannot_reach(&format!("The new certificate waits to be tried: {error}."));
                return Some(self.again(Step::Prove(candidate), failures, None));
            }
        };
        match viewer {
            Ok(viewer) if viewer.kind == ViewerKind::Runtime => match viewer.id.parse() {
                Ok(id) => self.install(candidate, &id, failures),
                Err(error) => {
                    let why = format!("the Director calls this runtime by an unusable id: {error}");
                    self.discard(&candidate, &why, failures)
                }
            },
            Ok(_) => {
                self.discard(&candidate, "the Director takes its holder for something that is not a runtime", failures)
            }
            Err(error) if error.fault.source() == Source::Identity => {
                self.discard(&candidate, &error.to_string(), failures)
            }
            Err(error) => {
                self.wait_for(&format!("The new certificate waits to be tried: {error}."), &error);
                let asked = asked(&error);
                Some(self.again(Step::Prove(candidate), failures, asked))
            }
        }
    }

    /// Makes a proven candidate the identity in use.
    fn install(&mut self, mut candidate: Box<Identity>, id: &RuntimeId, failures: u32) -> Option<Endeavour> {
        if let Some(named) = candidate.record.runtime.as_ref().filter(|named| *named != id) {
            tracing::warn!(
                runtime_id = %id,
                "the token file named the runtime {named}, but the plane knows this host as {id}; the plane is believed"
            );
        }
        candidate.record.runtime = Some(id.clone());
        let installed =
            self.store.amend(candidate.number, &candidate.record).and_then(|()| self.store.promote(candidate.number));
        if let Err(error) = installed {
            self.cannot_reach(&format!("The new identity is proven, but cannot be put in place: {error}."));
            return Some(self.again(Step::Prove(candidate), failures, None));
        }
        let paired_before = self.current.as_ref().and_then(|(identity, _)| identity.record.runtime.clone());
        let token = self.around.board.read(|status| status.token.clone());
        let by_token = token.filter(|token| token.verdict == Verdict::InUse);
        // A kill may have come between writing the candidate down and forgetting the pairing.
        self.forget_pending();
        let until = candidate.leaf.not_after;
        let host = candidate.record.director_url.host();
        self.adopt(*candidate);
        for area in [Area::Pairing, Area::Renewal, Area::Certificate] {
            self.around.board.solved(area);
        }
        match (by_token, paired_before) {
            (None, Some(before)) if before == *id => {
                tracing::info!(runtime_id = %id, "the certificate is renewed; valid until {until}");
                self.notify(Notice::Renewed);
            }
            (by_token, _) => {
                if let Some(token) = by_token {
                    self.conclude(token.fingerprint, Verdict::Paired, "this host was paired by it");
                }
                tracing::info!(
                    runtime_id = %id,
                    "paired with {host} as the runtime {id}; the certificate is valid until {until}"
                );
                self.notify(Notice::Paired);
            }
        }
        None
    }

    /// Throws a candidate away. After a token, another token is needed; a renewal is tried again, in a while.
    fn discard(&self, candidate: &Identity, why: &str, failures: u32) -> Option<Endeavour> {
        if let Err(error) = self.store.discard(candidate.number) {
            tracing::warn!(%error, "an unusable identity stays on disk");
        }
        self.forget_pending();
        let token = self.around.board.read(|status| status.token.clone());
        if let Some(token) = token.filter(|token| token.verdict == Verdict::InUse) {
            self.refuse(token.fingerprint, &format!("Pairing failed: the new certificate is not used: {why}."));
            return None;
        }
        self.renew_later(failures, &format!("the new certificate is not used: {why}"), None)
    }

    fn forget_pending(&self) {
        if let Err(error) = self.files.forget() {
            tracing::warn!(%error, "the finished pairing cannot be removed");
        }
    }

    /// The same step, later.
    pub(super) fn again(&self, step: Step, failures: u32, asked: Option<std::time::Duration>) -> Endeavour {
        let failures = failures.saturating_add(1);
        let wait = self.backoff().wait(failures, fastrand::f64(), asked);
        Endeavour { step, due: clock::after(clock::now(), wait), failures }
    }

    fn wait_for(&self, what: &str, error: &CallError) {
        let (severity, remedy) = if is_final(error) {
            (Severity::ActionNeeded, "The agent tries again by itself, but this will hardly pass without a person.")
        } else {
            (Severity::Transient, "The agent tries again by itself.")
        };
        self.around.board.problem(Area::Pairing, severity, what, remedy);
    }

    fn cannot_reach(&self, what: &str) {
        self.around.board.problem(Area::Pairing, Severity::Transient, what, "The agent tries again by itself.");
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
    matches!(error.fault.retry(), Retry::Never) && error.fault.source() != Source::Wire
}

/// After how long the plane wants to be asked again.
pub(super) fn asked(error: &CallError) -> Option<std::time::Duration> {
    match error.fault.retry() {
        Retry::Later(asked) => asked,
        Retry::Never => None,
    }
}

fn refused(error: &CallError, lost: bool) -> String {
    if lost {
        format!(
            "The token was refused, after a request whose answer was lost; that request probably spent it: {error}."
        )
    } else {
        format!("The token was refused; it is wrong, spent or expired: {error}.")
    }
}

fn refused_second(error: &CallError, asked: Asked) -> String {
    match asked {
        Asked::Maybe => format!(
            "Pairing failed: the answer to an earlier signing request was lost, and with it a certificate that nobody \
             holds now: {error}."
        ),
        Asked::NotYet => format!(
            "Pairing failed: the Connector refused the signing request; the second token, which it takes for five \
             minutes by default, may have expired: {error}."
        ),
    }
}
