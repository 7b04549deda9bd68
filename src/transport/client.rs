//! HTTP clients for the plane: which servers are trusted, which certificate is shown, which times are set.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::tls::{Certificate, Identity, Version};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::proxy::Proxy;

/// Whose word is taken for a server's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// The system's trust store.
    #[default]
    System,
    /// The certificates in this PEM file, and no others.
    Only(PathBuf),
    /// The system's trust store and the certificates in this PEM file.
    SystemAnd(PathBuf),
}

impl Trust {
    /// Looks whether a configured CA bundle can be used.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check(&self) -> Result<(), TrustError> {
        match self {
            Self::System => Ok(()),
            Self::Only(path) | Self::SystemAnd(path) => bundle(path).map(drop),
        }
    }
}

/// A private key and the certificate chain for it, as one PEM text.
#[derive(Debug, Clone)]
pub struct ClientPem(pub SecretString);

/// What every client is built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// Whose word is taken for a server's certificate.
    pub trust: Trust,
    /// Which proxy is on the way.
    pub proxy: Proxy,
    /// How long a connection may take to come about, TLS included.
    pub connect_timeout: Duration,
    /// How long an answer may pause.
    pub stall_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Which versions of HTTP are spoken.
    pub protocol: Protocol,
}

/// Which versions of HTTP are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/2, where the server has it: for many requests.
    Negotiated,
    /// HTTP/1.1: for the few requests whose very refusal matters. In TLS 1.3, a server refuses our certificate after
    /// its half of the handshake, and over HTTP/2 that alert is often lost behind a closed connection.
    Plain,
}

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The CA bundle cannot be read.
    #[error("the CA bundle {path} cannot be read: {source}")]
    Unreadable {
        /// The configured path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The CA bundle holds no certificate.
    #[error("the CA bundle {path} holds no certificate that can be used: {why}")]
    Empty {
        /// The configured path.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS library refused the key and certificate, or the system's trust store is empty.
    #[error("no TLS client can be made: {0}")]
    Client(String),
}

/// Makes a client. A new identity takes a new client: with a shared one, TLS session resumption would go on
/// presenting the old certificate.
///
/// # Errors
/// When the CA bundle cannot be used, or key and certificate do not fit together.
pub fn client(options: &ClientOptions, identity: Option<&ClientPem>) -> Result<reqwest::Client, TrustError> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_rustls()
        .tls_version_min(Version::TLS_1_2)
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.stall_timeout)
        .pool_idle_timeout(options.idle_timeout)
        .pool_max_idle_per_host(1)
        .referer(false)
        // Compression is undone where both sizes are counted.
        .no_gzip()
        .user_agent(concat!("runtime-agent/", env!("CARGO_PKG_VERSION")));
    if options.protocol == Protocol::Plain {
        builder = builder.http1_only();
    }
    builder = options.proxy.apply(builder).map_err(|error| TrustError::Client(innermost(&error)))?;
    builder = match &options.trust {
        Trust::System => builder,
        Trust::Only(path) => builder.tls_certs_only(bundle(path)?),
        Trust::SystemAnd(path) => builder.tls_certs_merge(bundle(path)?),
    };
    if let Some(ClientPem(pem)) = identity {
        let pem = Zeroizing::new(pem.expose_secret().as_bytes().to_vec());
        builder = builder.identity(Identity::from_pem(&pem).map_err(|error| TrustError::Client(innermost(&error)))?);
    }
    builder.build().map_err(|error| TrustError::Client(innermost(&error)))
}

fn bundle(path: &std::path::Path) -> Result<Vec<Certificate>, TrustError> {
    let pem = std::fs::read(path).map_err(|source| TrustError::Unreadable { path: path.into(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if certificates.is_empty() => {
            Err(TrustError::Empty { path: path.into(), why: "there is no CERTIFICATE block in it".into() })
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TrustError::Empty { path: path.into(), why: innermost(&error) }),
    }
}

/// The last cause in a chain of errors: the layers above it only repeat that something failed.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
