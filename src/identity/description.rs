//! What there is to tell of an identity to people and scripts, beside what every status has; none of it is secret.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{KeyAlgorithm, Leaf, Record};
use crate::config::HttpsUrl;

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The certificate's issuer.
    pub issuer: String,
    /// The SHA-256 of the public key (SubjectPublicKeyInfo, DER), in hexadecimal digits.
    pub public_key_fingerprint: String,
    /// What kind of key it is.
    pub key_algorithm: KeyAlgorithm,
    /// When the certificate came.
    pub issued_at: Timestamp,
    /// The Director.
    pub director_url: HttpsUrl,
    /// The Connector that the certificate is renewed at.
    pub connector_url: HttpsUrl,
    /// The Connector that this host was paired by, where that was written down.
    pub pairing_url: Option<HttpsUrl>,
    /// The fingerprint of the token that it came by; none, where it is a renewal.
    pub token_fingerprint: Option<String>,
    /// The folder of its files, which does not change any more.
    pub path: String,
}

impl Description {
    /// Describes the identity in `folder`.
    pub fn new(record: &Record, leaf: &Leaf, folder: &Path) -> Self {
        Self {
            issuer: leaf.issuer.clone(),
            public_key_fingerprint: leaf.public_key_fingerprint(),
            key_algorithm: record.key_algorithm,
            issued_at: record.issued_at,
            director_url: record.director_url.clone(),
            connector_url: record.renewal_url.clone(),
            pairing_url: record.connector_url.clone(),
            token_fingerprint: record.token.clone(),
            path: folder.display().to_string(),
        }
    }
}
