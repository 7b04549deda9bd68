//! What can go wrong with a request, classified in one place: whose fault it is, and whether trying again can help.

use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use super::denial::Denial;
use super::graphql_error::GraphqlError;
use super::inflate::InflateError;

/// A request that brought no usable answer.
#[derive(Debug, thiserror::Error)]
#[error("{operation} at {host} failed: {fault}")]
pub struct CallError {
    /// The GraphQL operation that was asked for.
    pub operation: &'static str,
    /// Host (and port) that was asked.
    pub host: String,
    /// The request's id, as sent in `x-request-id`: the plane's logs know it too.
    pub request_id: Uuid,
    /// What went wrong.
    pub fault: Fault,
}

/// What went wrong with a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// No connection came about: name resolution, routing, a refused or reset connection before the request was sent.
    Connect(String),
    /// The proxy at this address does not let us through before it knows who asks.
    ProxyCredentials(String),
    /// We do not trust the server's certificate.
    ServerCertificate(String),
    /// The server ended the TLS connection with an alert about our certificate.
    CertificateRefused(String),
    /// No answer, or no more of it, within the time that is set for it.
    Timeout(Duration),
    /// The connection ended while the request or its answer was under way; the plane may have acted on it.
    Interrupted(String),
    /// An HTTP status other than 200 that is not a GraphQL answer.
    Status {
        /// The status code.
        code: u16,
        /// What the answer's `Retry-After` asks for.
        retry_after: Option<Duration>,
        /// The first words of the body.
        excerpt: String,
    },
    /// The answer is larger, as it came or decompressed, than the limit in bytes.
    TooLarge(u64),
    /// The answer cannot be written to the file that it was to go to.
    Spool(String),
    /// The answer is not a GraphQL answer; the text says why.
    NotGraphql(String),
    /// The plane answered with errors; never empty.
    Graphql(Vec<GraphqlError>),
    /// The answer lacks something that the schema promises; the text names the path.
    Shape(String),
    /// The plane knows no Runtime with this id.
    UnknownRuntime(Box<str>),
    /// The plane takes the caller for something else than a Runtime; the text is its word for that.
    NotARuntime(Box<str>),
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Our request, or our configuration.
    Ours,
    /// The plane.
    Plane,
    /// The network between.
    Wire,
    /// The plane does not accept who we are.
    Identity,
}

impl Source {
    /// A bounded word for fields and counters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Plane => "plane",
            Self::Wire => "wire",
            Self::Identity => "identity",
        }
    }
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request may succeed later; not before the duration, where one is given.
    Later(Option<Duration>),
    /// The same request will fail again until somebody changes something.
    Never,
}

/// What else fails with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing: it is about what was asked for.
    ThisRequest,
    /// Any request of that time: it is about the way to the plane, the plane's own state, this host, or who we are.
    EveryRequest,
}

impl Fault {
    /// Whose fault it is.
    pub fn source(&self) -> Source {
        match self {
            Self::Connect(_) | Self::Timeout(_) | Self::Interrupted(_) => Source::Wire,
            Self::ServerCertificate(_) | Self::ProxyCredentials(_) | Self::Spool(_) => Source::Ours,
            Self::CertificateRefused(_) | Self::UnknownRuntime(_) | Self::NotARuntime(_) => Source::Identity,
            Self::Status { code: 401 | 403, .. } => Source::Identity,
            Self::Status { code: 400..=499, .. } | Self::TooLarge(_) => Source::Ours,
            Self::Status { .. } | Self::NotGraphql(_) | Self::Shape(_) => Source::Plane,
            Self::Graphql(errors) => errors.first().map_or(Source::Plane, GraphqlError::source),
        }
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Status { code: 408 | 425 | 429 | 500..=599, retry_after, .. } => Retry::Later(*retry_after),
            Self::Status { .. } => Retry::Never,
            Self::Graphql(errors) if errors.iter().any(GraphqlError::is_refused_token) => Retry::Never,
            Self::Graphql(errors) => match errors.first().map(GraphqlError::source) {
                Some(Source::Ours | Source::Identity) => Retry::Never,
                Some(Source::Plane | Source::Wire) | None => Retry::Later(None),
            },
            Self::CertificateRefused(_)
            | Self::ServerCertificate(_)
            | Self::ProxyCredentials(_)
            | Self::UnknownRuntime(_)
            | Self::NotARuntime(_) => Retry::Never,
            Self::Connect(_)
            | Self::Timeout(_)
            | Self::Interrupted(_)
            | Self::TooLarge(_)
            | Self::Spool(_)
            | Self::NotGraphql(_)
            | Self::Shape(_) => Retry::Later(None),
        }
    }

    /// Whether other requests would fail as well.
    pub fn reach(&self) -> Reach {
        match self {
            Self::Connect(_)
            | Self::ProxyCredentials(_)
            | Self::ServerCertificate(_)
            | Self::CertificateRefused(_)
            | Self::Timeout(_)
            | Self::Interrupted(_)
            | Self::Spool(_)
            | Self::UnknownRuntime(_)
            | Self::NotARuntime(_)
            | Self::Status { code: 401 | 403 | 408 | 425 | 429 | 500..=599, .. } => Reach::EveryRequest,
            Self::Status { .. } | Self::TooLarge(_) | Self::NotGraphql(_) | Self::Shape(_) => Reach::ThisRequest,
            Self::Graphql(_) if self.source() == Source::Identity => Reach::EveryRequest,
            Self::Graphql(_) => Reach::ThisRequest,
        }
    }

    /// Whether the plane certainly did nothing of what was asked: nothing was sent, or it was refused as a whole.
    pub fn certainly_undone(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::ProxyCredentials(_)
            | Self::ServerCertificate(_)
            | Self::CertificateRefused(_)
            | Self::UnknownRuntime(_)
            | Self::NotARuntime(_) => true,
            Self::Status { code, .. } => matches!(code, 401 | 403 | 413 | 422 | 429),
            Self::Graphql(errors) => errors.iter().all(|error| error.is_refused_token() || error.is_schema_refusal()),
            Self::Timeout(_)
            | Self::Interrupted(_)
            | Self::TooLarge(_)
            | Self::Spool(_)
            | Self::NotGraphql(_)
            | Self::Shape(_) => false,
        }
    }

    /// Whether the Connector refused the one-time token that was sent.
    pub fn is_refused_token(&self) -> bool {
        matches!(self, Self::Graphql(errors) if errors.iter().any(GraphqlError::is_refused_token))
    }

    /// What the plane denies to us although it takes our certificate.
    pub fn denial(&self) -> Option<Denial> {
        match self {
            Self::UnknownRuntime(_) => Some(Denial::UnknownRuntime),
            Self::NotARuntime(_) => Some(Denial::NotARuntime),
            Self::Graphql(errors) => errors.first().and_then(GraphqlError::denial),
            Self::Connect(_)
            | Self::ProxyCredentials(_)
            | Self::ServerCertificate(_)
            | Self::CertificateRefused(_)
            | Self::Timeout(_)
            | Self::Interrupted(_)
            | Self::Status { .. }
            | Self::TooLarge(_)
            | Self::Spool(_)
            | Self::NotGraphql(_)
            | Self::Shape(_) => None,
        }
    }

    /// Whether the plane refuses the certificate itself, or no longer knows whose it is: it was revoked, or the
    /// runtime was removed.
    pub fn is_rejection(&self) -> bool {
        match self {
            Self::CertificateRefused(_) | Self::Status { code: 401 | 403, .. } => true,
            // 26 is Unauthorized.
            Self::Graphql(errors) => errors.first().is_some_and(|error| error.error_code() == Some(26)),
            Self::Connect(_)
            | Self::ProxyCredentials(_)
            | Self::ServerCertificate(_)
            | Self::Timeout(_)
            | Self::Interrupted(_)
            | Self::Status { .. }
            | Self::TooLarge(_)
            | Self::Spool(_)
            | Self::NotGraphql(_)
            | Self::Shape(_)
            | Self::UnknownRuntime(_)
            | Self::NotARuntime(_) => false,
        }
    }

    /// A bounded word for fields and counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::ProxyCredentials(_) => "proxy_credentials",
            Self::ServerCertificate(_) => "server_certificate",
            Self::CertificateRefused(_) => "certificate_refused",
            Self::Timeout(_) => "timeout",
            Self::Interrupted(_) => "interrupted",
            Self::Status { code: 429, .. } => "rate_limited",
            Self::Status { .. } => "status",
            Self::TooLarge(_) => "too_large",
            Self::Spool(_) => "spool",
            Self::NotGraphql(_) => "not_graphql",
            Self::Graphql(_) => "graphql",
            Self::Shape(_) => "shape",
            Self::UnknownRuntime(_) => "unknown_runtime",
            Self::NotARuntime(_) => "not_a_runtime",
        }
    }
}

impl From<InflateError> for Fault {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::TooLarge(limit) => Self::TooLarge(limit),
            InflateError::Unknown(_) | InflateError::Corrupt(_) => Self::NotGraphql(error.to_string()),
            InflateError::Cut => Self::Interrupted(error.to_string()),
            InflateError::Sink(error) => Self::Spool(error.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(why) => write!(f, "no connection came about ({why})"),
            Self::ProxyCredentials(proxy) => write!(
                f,
                "the proxy {proxy} asks for a user name and password, or does not accept those in HTTPS_PROXY"
            ),
            Self::ServerCertificate(why) => {
                write!(f, "the server's certificate is not trusted ({why})")
            }
            Self::CertificateRefused(alert) => {
                write!(f, "the server refused our certificate (TLS alert {alert})")
            }
            Self::Timeout(limit) => write!(f, "no answer within {} s", limit.as_secs_f32()),
            Self::Interrupted(why) => write!(f, "the connection ended before the answer was complete ({why})"),
            Self::Status { code, retry_after, excerpt } => {
                write!(f, "HTTP status {code}")?;
                if let Some(wait) = retry_after {
                    write!(f, ", to be retried after {} s", wait.as_secs())?;
                }
                if !excerpt.is_empty() {
                    write!(f, ", saying \u{201c}{excerpt}\u{201d}")?;
                }
                Ok(())
            }
            Self::TooLarge(limit) => {
                write!(f, "the answer is larger than the limit of {limit} bytes")
            }
            Self::Spool(why) => write!(f, "the answer cannot be written to a file ({why})"),
            Self::NotGraphql(why) => write!(f, "the answer is not GraphQL ({why})"),
            Self::Graphql(errors) => {
                f.write_str("the plane answered ")?;
                match errors.as_slice() {
                    [] => f.write_str("an unnamed error"),
                    [only] => only.fmt(f),
                    [first, rest @ ..] => write!(f, "{first} and {} more errors", rest.len()),
                }
            }
            Self::Shape(why) => write!(f, "the answer is incomplete ({why})"),
            Self::UnknownRuntime(id) => write!(
                f,
                "the plane knows no runtime with the id {id}: it was removed there, or belongs to another tenant"
            ),
            Self::NotARuntime(kind) => write!(f, "for the plane, this host is of the type {kind}, not RUNTIME"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_that_fails_is_told_from_all_that_would() {
        let status = |code| Fault::Status { code, retry_after: None, excerpt: String::new() };
        let graphql = |json: &str| Fault::Graphql(vec![serde_json::from_str(json).unwrap()]);
        let whole = [
            Fault::Timeout(Duration::from_secs(1)),
            Fault::ServerCertificate("expired".into()),
            Fault::Spool("no space".into()),
            status(403),
            status(429),
            status(503),
            graphql(r#"{"message":"who are you","extensions":{"error_code":26}}"#),
        ];
        assert!(whole.iter().all(|fault| fault.reach() == Reach::EveryRequest), "{whole:?}");
        let single = [
            Fault::TooLarge(1),
            Fault::Shape("no data".into()),
            status(404),
            graphql(r#"{"message":"no such thing","extensions":{"error_code":20}}"#),
            graphql(r#"{"message":"internal","extensions":{"error_code":10}}"#),
        ];
        assert!(single.iter().all(|fault| fault.reach() == Reach::ThisRequest), "{single:?}");
    }
}
