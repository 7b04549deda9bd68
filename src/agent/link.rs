//! From settings and an identity to the plane's endpoints.

use std::time::Duration;

use secrecy::SecretString;

use crate::config::{HttpsUrl, Settings};
use crate::connector::TOKEN_HEADER;
use crate::director::Director;
use crate::identity::Identity;
use crate::transport::{ClientOptions, ClientPem, Graphql, Limits, Protocol, TrustError, client};

fn options(settings: &Settings, protocol: Protocol) -> ClientOptions {
    ClientOptions {
        trust: settings.plane.trust(),
        proxy: settings.plane.proxy.clone(),
        connect_timeout: settings.plane.connect_timeout.get(),
        stall_timeout: settings.plane.stall_timeout.get(),
        protocol,
        // Kept over one poll, so that an ordinary rhythm needs no new handshake; closed when polls are rare.
        idle_timeout: (settings.sync.interval.get() * 2).min(Duration::from_secs(15 * 60)),
    }
}

/// How long one page of applications may take: 10 minutes.
const LONGEST_PAGE: Duration = Duration::from_secs(600);

/// The largest answer of a Connector that is taken: 1 MiB. A certificate chain has a few KiB.
const CONNECTOR_ANSWER: u64 = 1024 * 1024;

/// How long the whole of a short answer may take from its first byte on.
pub fn brief(settings: &Settings) -> Duration {
    2 * settings.plane.stall_timeout.get()
}

fn connector_limits(settings: &Settings) -> Limits {
    let plane = &settings.plane;
    Limits {
        answer_timeout: plane.answer_timeout.get(),
        whole_timeout: brief(settings),
        max_answer: plane.max_answer.get().min(CONNECTOR_ANSWER),
    }
}

fn director_limits(settings: &Settings) -> Limits {
    let plane = &settings.plane;
    Limits {
        answer_timeout: plane.answer_timeout.get(),
        whole_timeout: LONGEST_PAGE.max(plane.stall_timeout.get()),
        max_answer: plane.max_answer.get(),
    }
}

fn endpoint(
    settings: &Settings,
    url: &HttpsUrl,
    identity: Option<&ClientPem>,
    limits: Limits,
    protocol: Protocol,
) -> Result<Graphql, TrustError> {
    let options = options(settings, protocol);
    Ok(Graphql::new(client(&options, identity)?, url.as_url().clone(), limits).through(&options.proxy))
}

/// The Connector, with a one-time token.
///
/// # Errors
/// When no client can be made.
pub fn connector_with_token(settings: &Settings, url: &HttpsUrl, token: &SecretString) -> Result<Graphql, TrustError> {
    endpoint(settings, url, None, connector_limits(settings), Protocol::Plain)?
        .with_secret_header(TOKEN_HEADER, token)
        .map_err(|error| TrustError::Client(error.to_string()))
}

/// The Connector, with a certificate.
///
/// # Errors
/// When no client can be made.
pub fn connector_with_identity(settings: &Settings, identity: &Identity) -> Result<Graphql, TrustError> {
    endpoint(
        settings,
        &identity.record.renewal_url,
        Some(&identity.client),
        connector_limits(settings),
        Protocol::Plain,
    )
}

/// The Director.
///
/// # Errors
/// When no client can be made.
pub fn director(settings: &Settings, identity: &Identity, protocol: Protocol) -> Result<Director, TrustError> {
    let graphql =
        endpoint(settings, &identity.record.director_url, Some(&identity.client), director_limits(settings), protocol)?;
    Ok(Director::new(graphql, identity.record.tenant.clone()).with_brief_answers(brief(settings)))
}

/// An endpoint to knock at, with a certificate where one is to be shown.
///
/// # Errors
/// When no client can be made.
pub fn door(
    settings: &Settings,
    url: &HttpsUrl,
    identity: Option<&ClientPem>,
    answer_timeout: Duration,
) -> Result<Graphql, TrustError> {
    endpoint(settings, url, identity, Limits { answer_timeout, ..connector_limits(settings) }, Protocol::Plain)
}
