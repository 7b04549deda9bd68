//! A pairing in flight, and what became of the last token: kept on disk, so that a kill loses nothing that the plane
//! still honours.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::config::HttpsUrl;
use crate::disk::{self, DiskError};
use crate::identity::{KeyAlgorithm, Subject};
use crate::ids::{RuntimeId, TenantId};

/// The version of the shape of `pairing.json`.
const VERSION: u32 = 1;

/// A pairing between its two requests: the first token is spent, the second is at hand.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    version: u32,
    /// Which token file began it.
    pub fingerprint: String,
    /// The second token.
    #[serde(serialize_with = "expose")]
    pub token: SecretString,
    /// When the second token came; by default the plane takes it for five minutes.
    pub since: Timestamp,
    /// The Connector.
    pub connector_url: HttpsUrl,
    /// The subject that the certificate must have.
    pub subject: Subject,
    /// The kind of key that it must be for.
    pub key_algorithm: KeyAlgorithm,
    /// The Director.
    pub director_url: HttpsUrl,
    /// The Connector that certificates are renewed at.
    pub renewal_url: HttpsUrl,
    /// The runtime's id, where the token file named it.
    pub runtime: Option<RuntimeId>,
    /// The tenant, where the token file named it.
    pub tenant: Option<TenantId>,
    /// Whether a signing request may have left already: a refusal then means that its answer was lost.
    pub asked: Asked,
}

/// Whether a signing request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// None was.
    NotYet,
    /// One was, or was about to be.
    Maybe,
}

fn expose<S: serde::Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl Pending {
    /// What the Connector's first answer and the token file make together.
    pub fn new(
        token: &crate::token::OneTimeToken,
        connector_url: HttpsUrl,
        configuration: crate::connector::Configuration,
        since: Timestamp,
    ) -> Self {
        Self {
            version: VERSION,
            fingerprint: token.fingerprint(),
            token: configuration.token,
            since,
            connector_url,
            subject: configuration.subject,
            key_algorithm: configuration.key_algorithm,
            director_url: configuration.director_url,
            renewal_url: configuration.renewal_url,
            runtime: token.runtime.clone(),
            tenant: token.tenant.clone(),
            asked: Asked::NotYet,
        }
    }
}

/// What became of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenOutcome {
    /// The first digits of the token's SHA-256, or none where the file held no token.
    pub fingerprint: Option<String>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub verdict: Verdict,
    /// A sentence for a person.
    pub detail: String,
}

/// What became of a token, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is being used.
    InUse,
    /// The host is paired by it.
    Paired,
    /// It is of no use, and a new one is needed.
    Refused,
    /// What came by it was given up again.
    Unpaired,
}

/// The two files of this module.
#[derive(Debug, Clone)]
pub struct PairingFiles {
    pending: PathBuf,
    outcome: PathBuf,
}

/// Why what is on disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairingFileError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The content.
    #[error("{0} is damaged; it is removed")]
    Damaged(PathBuf),
}

impl PairingFileError {
    /// Whether the disk does not tell for now, so that nothing is known to be damaged.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Disk(error) if !error.is_lasting())
    }
}

impl PairingFiles {
    /// The files in the state directory.
    pub fn new(state: &Path) -> Self {
        Self { pending: state.join("pairing.json"), outcome: state.join("token.json") }
    }

    /// The pairing that an earlier process left.
    ///
    /// # Errors
    /// When there is one and it cannot be used; a damaged file is removed, for nobody can use what is in it.
    pub fn pending(&self) -> Result<Option<Pending>, PairingFileError> {
        let Some(json) = read(&self.pending)? else { return Ok(None) };
        match serde_json::from_str::<Pending>(&json) {
            Ok(pending) if pending.version == VERSION => Ok(Some(pending)),
            _ => {
                disk::remove(&self.pending)?;
                Err(PairingFileError::Damaged(self.pending.clone()))
            }
        }
    }

    /// Writes the pairing down, durably.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn keep(&self, pending: &Pending) -> Result<(), PairingFileError> {
        let json = serde_json::to_vec(pending).map(Zeroizing::new);
        let json = json.map_err(|_| PairingFileError::Damaged(self.pending.clone()))?;
        Ok(disk::write(&self.pending, 0o600, &json)?)
    }

    /// Forgets the pairing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn forget(&self) -> Result<(), PairingFileError> {
        Ok(disk::remove(&self.pending)?)
    }

    /// What became of the last token; nothing where that is not known.
    pub fn outcome(&self) -> Option<TokenOutcome> {
        self.outcome_on_disk().ok().flatten()
    }

    /// The same, where it has to be told apart whether nothing is known or nothing can be read. What is damaged tells
    /// nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn outcome_on_disk(&self) -> Result<Option<TokenOutcome>, DiskError> {
        let json = read(&self.outcome)?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    /// Writes down what became of a token.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn conclude(&self, outcome: &TokenOutcome) -> Result<(), PairingFileError> {
        let json = serde_json::to_vec(outcome).map_err(|_| PairingFileError::Damaged(self.outcome.clone()))?;
        Ok(disk::write(&self.outcome, 0o600, &json)?)
    }
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, DiskError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DiskError::new("read", path, error)),
    }
}
