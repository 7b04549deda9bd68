//! The Connector: what it answers to a token or a certificate, and the signing of certificates.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::config::{HostPattern, HttpsUrl, InvalidUrl, is_allowed};
use crate::identity::{InvalidSubject, KeyAlgorithm, Subject, UnknownAlgorithm};
use crate::transport::{CallError, Graphql, Operation};

/// The header that a one-time token is presented in.
pub const TOKEN_HEADER: &str = "connector-token";

const CONFIGURATION: Operation<'static> =
    Operation { name: "configuration", text: include_str!("configuration.graphql") };
const SIGN: Operation<'static> =
    Operation { name: "signCertificateSigningRequest", text: include_str!("sign.graphql") };

const REVOKE: Operation<'static> =
    Operation { name: "revokeCertificate", text: "mutation revokeCertificate { revokeCertificate }" };

/// What is needed for a signing request.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The token for the signing request; not needed where a certificate is shown.
    pub token: SecretString,
    /// The subject that the certificate must have.
    pub subject: Subject,
    /// The kind of key that it must be for.
    pub key_algorithm: KeyAlgorithm,
    /// The Director.
    pub director_url: HttpsUrl,
    /// The Connector that certificates are renewed at.
    pub renewal_url: HttpsUrl,
}

/// Why the Connector's answer cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// There is no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The subject cannot be used.
    #[error("the Connector's answer cannot be used: {0}")]
    Subject(#[from] InvalidSubject),
    /// The key algorithm is not known.
    #[error("the Connector's answer cannot be used: {0}")]
    Algorithm(#[from] UnknownAlgorithm),
    /// A URL cannot be used.
    #[error("the Connector's answer cannot be used: its {field} is not acceptable: {why}")]
    Url {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        why: InvalidUrl,
    },
    /// A URL leads to a stranger.
    #[error(
        "the Connector's answer is not followed: its {field} leads to {host}, which is neither a neighbour of \
         {connector} nor listed in plane.allowed_hosts"
    )]
    Stranger {
        /// Which one.
        field: &'static str,
        /// Its host.
        host: String,
        /// The Connector that this host was paired by.
        connector: String,
    },
    /// A field is null, or empty.
    #[error("the Connector's answer cannot be used: its {0} is missing")]
    Absent(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigurationData {
    configuration: WireConfiguration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireConfiguration {
    token: Option<WireToken>,
    certificate_signing_request_info: Option<WireCsrInfo>,
    management_plane_info: Option<WirePlaneInfo>,
}

#[derive(Deserialize)]
struct WireToken {
    token: SecretString,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCsrInfo {
    subject: String,
    key_algorithm: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePlaneInfo {
    #[serde(rename = "directorURL")]
    director_url: Option<String>,
    #[serde(rename = "certificateSecuredConnectorURL")]
    certificate_secured_connector_url: Option<String>,
}

#[derive(Deserialize)]
struct RevokeData {
    #[serde(rename = "revokeCertificate")]
    revoked: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SignData {
    #[serde(rename = "signCertificateSigningRequest")]
    result: Signed,
}

/// The Connector's answer to a signing request: three fields, each base64 of PEM.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Signed {
    /// Leaf, then CA.
    pub certificate_chain: String,
    /// The CA.
    pub ca_certificate: String,
    /// The leaf.
    pub client_certificate: String,
}

/// Asks for what a signing request needs. With a one-time token, this spends it; and every call makes the plane mint
/// another, so it is not made for nothing.
///
/// # Errors
/// When there is no answer, or not one that can be used; in the latter case the token is spent all the same.
pub async fn configuration(connector: &Graphql) -> Result<Configuration, ConnectorError> {
    let data: ConfigurationData = connector.call(CONFIGURATION, serde_json::json!({})).await?;
    let wire = data.configuration;
    let info = wire.certificate_signing_request_info.ok_or(ConnectorError::Absent("certificateSigningRequestInfo"))?;
    let plane = wire.management_plane_info.ok_or(ConnectorError::Absent("managementPlaneInfo"))?;
    let url = |text: Option<String>, field: &'static str| -> Result<HttpsUrl, ConnectorError> {
        text.ok_or(ConnectorError::Absent(field))?.parse().map_err(|why| ConnectorError::Url { field, why })
    };
    Ok(Configuration {
        token: wire.token.map(|wire| wire.token).filter(is_presentable).ok_or(ConnectorError::Absent("token"))?,
        subject: info.subject.parse()?,
        key_algorithm: info.key_algorithm.parse()?,
        director_url: url(plane.director_url, "directorURL")?,
        renewal_url: url(plane.certificate_secured_connector_url, "certificateSecuredConnectorURL")?,
    })
}

/// Looks whether the two URLs that a Connector gives lead to hosts that it may send us to.
///
/// # Errors
/// When one leads to a stranger, who is named.
pub fn check_hosts(
    director_url: &HttpsUrl,
    renewal_url: &HttpsUrl,
    connector: &HttpsUrl,
    listed: &[HostPattern],
) -> Result<(), ConnectorError> {
    for (field, url) in [("directorURL", director_url), ("certificateSecuredConnectorURL", renewal_url)] {
        if !is_allowed(url.host_name(), connector.host_name(), listed) {
            return Err(ConnectorError::Stranger { field, host: url.host(), connector: connector.host() });
        }
    }
    Ok(())
}

/// Whether a token can stand in a header.
fn is_presentable(token: &SecretString) -> bool {
    let token = token.expose_secret();
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Has a certificate signed. A token that was sent is spent by this.
///
/// # Errors
/// When there is no answer; a certificate may have been issued all the same.
pub async fn sign(connector: &Graphql, csr: &str) -> Result<Signed, CallError> {
    #[derive(Serialize)]
    struct Variables<'a> {
        csr: &'a str,
    }
    let data: SignData = connector.call(SIGN, Variables { csr }).await?;
    Ok(data.result)
}

/// Revokes the certificate that is shown. Returns whether the plane says that it did.
///
/// # Errors
/// When there is no answer; the certificate may be revoked all the same.
pub async fn revoke(connector: &Graphql) -> Result<bool, CallError> {
    let data: RevokeData = connector.call(REVOKE, serde_json::json!({})).await?;
    Ok(data.revoked)
}
