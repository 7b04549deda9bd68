//! Speaks to the broker as any platform does: the Open Service Broker API over its socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How long one request may take: a minute. The broker itself answers within 20 seconds.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest answer that is read, in bytes; a catalog of ten thousand applications has a quarter of that.
const LARGEST: usize = 128 * 1024 * 1024;

/// A platform of one.
#[derive(Debug)]
pub(super) struct Platform {
    client: reqwest::Client,
    socket: PathBuf,
}

/// Why the broker did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlatformError {
    /// It is not there.
    #[error(
        "the service broker cannot be reached on {socket}: {why}. Does the agent run, and is the broker turned on \
         (broker.enabled = true, and then: systemctl reload runtime-agent)?"
    )]
    Unreachable { socket: PathBuf, why: String },
    /// It refuses.
    #[error("{description}")]
    Refused { status: StatusCode, description: String },
    /// It answers in another way than the specification has it.
    #[error("the service broker did not answer as it should: {0}")]
    Odd(String),
}

/// What it answered.
#[derive(Debug)]
pub(super) struct Answered {
    /// With this status.
    pub(super) status: StatusCode,
    /// When it is worth asking again.
    pub(super) ask_again_in: Option<Duration>,
    body: Vec<u8>,
}

impl Answered {
    /// The body, as what it is.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, PlatformError> {
        // An error of serde may quote a value, which may be a credential.
        serde_json::from_slice(&self.body).map_err(|error| {
            PlatformError::Odd(format!("its JSON is another, at line {}, column {}", error.line(), error.column()))
        })
    }

    /// The text of the member `credentials`.
    pub(super) fn credentials(self) -> Result<SecretString, PlatformError> {
        #[derive(Deserialize)]
        struct Body {
            credentials: Map<String, Value>,
        }
        let found: Body = serde_json::from_slice(&self.body)
            .map_err(|_| PlatformError::Odd("there are no credentials in its answer".into()))?;
        let text = serde_json::to_string_pretty(&found.credentials);
        text.map(SecretString::from).map_err(|_| PlatformError::Odd("its credentials cannot be written".into()))
    }
}

impl Platform {
    pub(super) fn new(socket: &Path) -> Result<Self, PlatformError> {
        let client = reqwest::Client::builder()
            .unix_socket(socket.to_owned())
            .tls_certs_only([])
            .no_proxy()
            .timeout(LONGEST)
            .build()
            .map_err(|error| PlatformError::Odd(error.to_string()))?;
        Ok(Self { client, socket: socket.to_owned() })
    }

    /// Asks, and takes any answer that is not a refusal.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answered, PlatformError> {
        let mut request =
            self.client.request(method, format!("http://broker{path}")).header("x-broker-api-version", "2.17");
        if let Some(body) = body {
            let body = serde_json::to_vec(body).map_err(|error| PlatformError::Odd(error.to_string()))?;
            request = request.header("content-type", "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let seconds = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(PlatformError::Odd(format!("its answer is longer than {LARGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let answered = Answered { status, ask_again_in: seconds.map(Duration::from_secs), body };
        if status.is_success() {
            return Ok(answered);
        }
        #[derive(Deserialize)]
        struct Refused {
            description: Option<String>,
        }
        let description = answered.body::<Refused>().ok().and_then(|refused| refused.description);
        let description = description.unwrap_or_else(|| format!("the service broker answered {status}"));
        Err(PlatformError::Refused { status, description })
    }

    fn unreachable(&self, error: &reqwest::Error) -> PlatformError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        PlatformError::Unreachable { socket: self.socket.clone(), why: cause.to_string() }
    }
}

/// An id, as a segment of a path.
pub(super) fn segment(id: &str) -> String {
    let mut segment = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(byte.into());
        } else {
            segment.push_str(&format!("%{byte:02X}"));
        }
    }
    segment
}
