//! The step of renewal: a new key, signed for by showing the certificate in use.

use super::TrustLoop;
use super::endeavour::{Endeavour, Step};
use super::pair::{asked, is_final, make_key};
use crate::agent::link;
use crate::agent::standing::Reception;
use crate::agent::status::{Area, Severity};
use crate::apply::Notice;
use crate::clock::Due;
use crate::connector::{self, ConnectorError};
use crate::event;
use crate::identity::{Identity, Record, encode_csr};
use crate::renewal;
use crate::transport::CallError;

/// How long is waited at the least before a renewal is tried again with a certificate that the plane rejects: an hour.
const REJECTED: std::time::Duration = std::time::Duration::from_secs(60 * 60);

impl TrustLoop {
    pub(super) async fn renew(&mut self, failures: u32) -> Option<Endeavour> {
        let identity = self.current.as_ref()?.identity.clone();
        match self.request_renewal(&identity).await {
            Ok(candidate) => Some(Endeavour::new(Step::Prove(Box::new(candidate)), self.now())),
            Err(Failure { why, asked, severity, refused }) => {
                if let Refused::Certificate = refused {
                    self.refused(why.clone());
                }
                self.renew_later(failures, &why, severity, asked)
            }
        }
    }

    /// Renewal failed: says so, and when it is tried again.
    pub(super) fn renew_later(
        &mut self,
        failures: u32,
        why: &str,
        severity: Severity,
        asked: Option<std::time::Duration>,
    ) -> Option<Endeavour> {
        let now = self.now();
        let used = self.current.as_mut()?;
        let (not_before, not_after) = (used.leaf().not_before, used.leaf().not_after);
        if not_after <= now {
            // The loop tells of the end by itself.
            return None;
        }
        let late = now >= renewal::alarm(not_before, not_after, used.renewal_at);
        let first = late && !std::mem::replace(&mut used.told_expiring, late);
        let mut wait = renewal::retry(now, not_after, fastrand::f64(), asked);
        if matches!(used.reception, Reception::Rejected { .. }) {
            wait = wait.max(REJECTED);
        }
        if first {
            self.notify(Notice::Expiring);
        }
        event::Identity::NotRenewed.emit();
        event::Retry::Renewal.emit();
        self.around.board.problem(
            Area::Renewal,
            if late { Severity::ActionNeeded } else { severity },
            format!("The certificate, valid until {not_after}, cannot be renewed: {why}."),
            "The agent tries again by itself as long as the certificate is valid; after that, a new token is needed.",
        );
        Some(Endeavour { step: Step::Renew, due: Due::after(now, wait), failures: failures.saturating_add(1) })
    }

    async fn request_renewal(&self, identity: &Identity) -> Result<Identity, Failure> {
        let settings = self.settings();
        let record = &identity.record;
        let connector = link::connector_with_identity(&settings, identity).map_err(Failure::ours)?;
        let configuration = connector::configuration(&connector).await.map_err(|error| match error {
            ConnectorError::Call(error) => Failure::of(&error),
            other => Failure::ours(other),
        })?;
        let home = record.connector_url.as_ref().unwrap_or(&record.renewal_url);
        let (director, renewal) = (&configuration.director_url, &configuration.renewal_url);
        connector::check_hosts(director, renewal, home, &settings.plane.allowed_hosts).map_err(Failure::ours)?;
        let key = make_key(configuration.key_algorithm).await.map_err(Failure::ours)?;
        let csr = encode_csr(&configuration.subject, &key).map_err(Failure::ours)?;
        let signed = connector::sign(&connector, &csr).await.map_err(|error| Failure::of(&error))?;
        let mut renewed = Record::new(
            record.runtime.clone(),
            record.tenant.clone(),
            configuration.director_url,
            configuration.renewal_url,
            configuration.key_algorithm,
            self.now(),
        );
        renewed.connector_url.clone_from(&record.connector_url);
        self.accept(&signed, &key, &configuration.subject, renewed).map_err(Failure::ours)
    }
}

struct Failure {
    why: String,
    asked: Option<std::time::Duration>,
    severity: Severity,
    refused: Refused,
}

/// What a server refused.
enum Refused {
    /// The certificate in use.
    Certificate,
    /// Nothing, or something else.
    Other,
}

impl Failure {
    fn ours(error: impl std::fmt::Display) -> Self {
        Self { why: error.to_string(), asked: None, severity: Severity::ActionNeeded, refused: Refused::Other }
    }

    fn of(error: &CallError) -> Self {
        let severity = if is_final(error) { Severity::ActionNeeded } else { Severity::Transient };
        // Where a certificate is shown in the place of a token, the same words are about the certificate.
        let certificate = error.fault.is_rejection() || error.fault.is_refused_token();
        let refused = if certificate { Refused::Certificate } else { Refused::Other };
        Self { why: error.to_string(), asked: asked(error), severity, refused }
    }
}
