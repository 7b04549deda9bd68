//! From settings and an identity to the plane's endpoints.

use secrecy::SecretString;

use crate::config::{HttpsUrl, Settings};
use crate::connector::TOKEN_HEADER;
use crate::director::Director;
use crate::identity::Identity;
use crate::transport::{ClientOptions, ClientPem, Graphql, Limits, TrustError, client};

fn options(settings: &Settings) -> ClientOptions {
    ClientOptions {
        trust: settings.plane.trust(),
        connect_timeout: settings.plane.connect_timeout.get(),
        stall_timeout: settings.plane.stall_timeout.get(),
        // Kept over one poll, so that an ordinary rhythm needs no new handshake; closed when polls are rare.
        idle_timeout: (settings.sync.interval.get() * 2).min(std::time::Duration::from_secs(15 * 60)),
    }
}

fn limits(settings: &Settings) -> Limits {
    Limits { answer_timeout: settings.plane.answer_timeout.get(), max_answer: settings.plane.max_answer.get() }
}

fn endpoint(settings: &Settings, url: &HttpsUrl, identity: Option<&ClientPem>) -> Result<Graphql, TrustError> {
    Ok(Graphql::new(client(&options(settings), identity)?, url.as_url().clone(), limits(settings)))
}

/// The Connector, with a one-time token.
///
/// # Errors
/// When no client can be made.
pub fn connector_with_token(settings: &Settings, url: &HttpsUrl, token: &SecretString) -> Result<Graphql, TrustError> {
    endpoint(settings, url, None)?
        .with_secret_header(TOKEN_HEADER, token)
        .map_err(|error| TrustError::Client(error.to_string()))
}

/// The Connector, with a certificate.
///
/// # Errors
/// When no client can be made.
pub fn connector_with_identity(settings: &Settings, identity: &Identity) -> Result<Graphql, TrustError> {
    endpoint(settings, &identity.record.renewal_url, Some(&identity.client))
}

/// The Director.
///
/// # Errors
/// When no client can be made.
pub fn director(settings: &Settings, identity: &Identity) -> Result<Director, TrustError> {
    let graphql = endpoint(settings, &identity.record.director_url, Some(&identity.client))?;
    Ok(Director::new(graphql, identity.record.tenant.clone()))
}
