//! The step of renewal: a new key, signed for by showing the certificate in use.

use jiff::Timestamp;

use super::TrustLoop;
use super::endeavour::{Endeavour, Step};
use super::pair::{asked, is_final, make_key};
use crate::agent::link;
use crate::agent::status::{Area, Severity};
use crate::clock;
use crate::connector::{self, ConnectorError};
use crate::identity::{Identity, Record, encode_csr};
use crate::renewal;
use crate::transport::CallError;

impl TrustLoop {
    pub(super) async fn renew(&mut self, failures: u32) -> Option<Endeavour> {
        let (identity, _) = self.current.clone()?;
        match self.request_renewal(&identity).await {
            Ok(candidate) => Some(Endeavour::new(Step::Prove(Box::new(candidate)), clock::now())),
            Err(Failure { why, asked, severity }) => self.renew_later(failures, &why, severity, asked),
        }
    }

    /// Renewal failed: says so, and when it is tried again.
    pub(super) fn renew_later(
        &self,
        failures: u32,
        why: &str,
        severity: Severity,
        asked: Option<std::time::Duration>,
    ) -> Option<Endeavour> {
        let (identity, _) = self.current.as_ref()?;
        let now = clock::now();
        if identity.leaf.not_after <= now {
            // The loop tells of the end by itself.
            return None;
        }
        self.around.board.problem(
            Area::Renewal,
            if late(identity, now) { Severity::ActionNeeded } else { severity },
            format!("The certificate, valid until {}, cannot be renewed: {why}.", identity.leaf.not_after),
            "The agent tries again by itself as long as the certificate is valid; after that, a new token is needed.",
        );
        let wait = renewal::retry(now, identity.leaf.not_after, fastrand::f64(), asked);
        Some(Endeavour { step: Step::Renew, due: clock::after(now, wait), failures: failures.saturating_add(1) })
    }

    async fn request_renewal(&self, identity: &Identity) -> Result<Identity, Failure> {
        let settings = self.settings();
        let connector = link::connector_with_identity(&settings, identity).map_err(Failure::ours)?;
        let configuration = connector::configuration(&connector).await.map_err(|error| match error {
            ConnectorError::Call(error) => Failure::of(&error),
            other => Failure::ours(other),
        })?;
        let key = make_key(configuration.key_algorithm).await.map_err(Failure::ours)?;
        let csr = encode_csr(&configuration.subject, &key).map_err(Failure::ours)?;
        let signed = connector::sign(&connector, &csr).await.map_err(|error| Failure::of(&error))?;
        let record = Record::new(
            identity.record.runtime.clone(),
            identity.record.tenant.clone(),
            configuration.director_url,
            configuration.renewal_url,
            configuration.key_algorithm,
            clock::now(),
        );
        self.accept(&signed, &key, &configuration.subject, record).map_err(Failure::ours)
    }
}

struct Failure {
    why: String,
    asked: Option<std::time::Duration>,
    severity: Severity,
}

impl Failure {
    fn ours(error: impl std::fmt::Display) -> Self {
        Self { why: error.to_string(), asked: None, severity: Severity::ActionNeeded }
    }

    fn of(error: &CallError) -> Self {
        let severity = if is_final(error) { Severity::ActionNeeded } else { Severity::Transient };
        Self { why: error.to_string(), asked: asked(error), severity }
    }
}

/// Whether nine tenths of the lifetime are over: a person is needed then, whatever the reason.
fn late(identity: &Identity, now: Timestamp) -> bool {
    let leaf = &identity.leaf;
    now >= renewal::due(leaf.not_before, leaf.not_after, renewal::Policy { after: 0.9, jitter: 0.0 }, 0.0)
}
