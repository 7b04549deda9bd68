//! One GraphQL request and its answer.

use crate::metrics::metrics;
use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;
use uuid::Uuid;

use super::answer::{Answer, AnswerSum, Wiped};
use super::client::innermost;
use super::excerpt;
use super::fault::{CallError, Fault};
use super::inflate::{ACCEPTED, Caps, Inflater};
use super::proxy::{Proxy, Trouble};

/// Bounds on one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the first byte of an answer may take, counted from sending.
    pub answer_timeout: Duration,
    /// How long the whole of an answer may take from then on, however steadily it drips.
    pub whole_timeout: Duration,
    /// How many bytes an answer may have, as it comes and decompressed.
    pub max_answer: u64,
}

/// A GraphQL operation: its name and its text. Values never go into the text; they are variables.
#[derive(Debug, Clone, Copy)]
pub struct Operation<'a> {
    /// The name, for logs and for the plane.
    pub name: &'static str,
    /// The query or mutation.
    pub text: &'a str,
}

/// What an endpoint answered to a request that asked for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Knock {
    /// The HTTP status, whatever it is.
    pub status: u16,
    /// The server's own time.
    pub date: Option<jiff::Timestamp>,
}

/// An answer to a question that was asked before.
#[derive(Debug)]
pub(crate) enum Again<T> {
    /// It is the one that is known.
    Same,
    /// It is another one, with this sum.
    Other(T, AnswerSum),
}

/// A GraphQL endpoint of the plane.
#[derive(Debug, Clone)]
pub struct Graphql {
    client: reqwest::Client,
    url: Url,
    limits: Limits,
    headers: HeaderMap,
    /// What answers may repeat and nobody quotes, the longest first.
    secrets: Vec<SecretString>,
    /// The address of the proxy on the way.
    proxy: Option<String>,
}

#[derive(Serialize)]
struct Request<'a, V> {
    #[serde(rename = "operationName")]
    operation_name: &'static str,
    query: &'a str,
    variables: V,
}

impl Graphql {
    /// An endpoint at `url`, reached by `client`.
    pub fn new(client: reqwest::Client, url: Url, limits: Limits) -> Self {
        Self { client, url, limits, headers: HeaderMap::new(), secrets: Vec::new(), proxy: None }
    }

    /// Names, in what is said of failures, the proxy that the client goes through.
    #[must_use]
    pub fn through(mut self, proxy: &Proxy) -> Self {
        self.proxy = proxy.on_the_way_to(&self.url);
        self
    }

    /// Gives the whole of an answer no longer than this.
    #[must_use]
    pub fn hastened(mut self, whole_timeout: Duration) -> Self {
        self.limits.whole_timeout = self.limits.whole_timeout.min(whole_timeout);
        self
    }

    /// Sends a header with every request.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Sends a secret header with every request; answers that repeat it are quoted without it.
    ///
    /// # Errors
    /// When the secret cannot stand in a header: it holds a control character.
    pub fn with_secret_header(
        mut self,
        name: &'static str,
        secret: &SecretString,
    ) -> Result<Self, reqwest::header::InvalidHeaderValue> {
        let mut value = HeaderValue::from_str(secret.expose_secret())?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self.confiding([secret.clone()]))
    }

    /// Sends secrets in what it asks; answers that repeat them are quoted without them.
    #[must_use]
    pub fn confiding(mut self, secrets: impl IntoIterator<Item = SecretString>) -> Self {
        self.secrets.extend(secrets);
        // One that is a part of another would leave the rest of it behind.
        self.secrets.sort_by_key(|secret| Reverse(secret.expose_secret().len()));
        self
    }

    /// Host, and port where one is written, that this endpoint is at.
    pub fn host(&self) -> String {
        host_of(&self.url)
    }

    /// The secrets that answers may repeat, and that are not quoted.
    pub(super) fn secrets(&self) -> &[SecretString] {
        &self.secrets
    }

    /// The endpoint's address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sees whether somebody answers, by an HTTP request that asks for nothing (`HEAD`).
    ///
    /// # Errors
    /// When nobody does, or one of the two certificates is refused in the handshake.
    pub async fn knock(&self) -> Result<Knock, Fault> {
        let answer = tokio::time::timeout(self.limits.answer_timeout, self.client.head(self.url.clone()).send()).await;
        let answer =
            answer.map_err(|_| Fault::Timeout(self.limits.answer_timeout))?.map_err(|error| self.classify(&error))?;
        let date = answer.headers().get(DATE).and_then(|value| value.to_str().ok());
        let date = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()).map(|date| date.timestamp());
        Ok(Knock { status: answer.status().as_u16(), date })
    }

    /// Asks, and takes a whole answer without errors, or nothing.
    ///
    /// # Errors
    /// When there is no such answer; see [`Fault`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        operation: Operation<'_>,
        variables: impl Serialize,
    ) -> Result<T, CallError> {
        self.call_then(operation, variables, Ok).await
    }

    /// Asks, and lets `judge` refuse an answer that fits the types and yet does not say what it should.
    ///
    /// # Errors
    /// When there is no answer, or it is refused; see [`Fault`].
    pub async fn call_then<T: DeserializeOwned, U>(
        &self,
        operation: Operation<'_>,
        variables: impl Serialize,
        judge: impl FnOnce(T) -> Result<U, Fault>,
    ) -> Result<U, CallError> {
        let request_id = Uuid::new_v4();
        let fail = |fault| CallError { operation: operation.name, host: self.host(), request_id, fault };
        let answer = self.exchange(operation, request_id, variables, None).await.map_err(fail)?;
        answer.decode(&self.secrets).and_then(judge).map_err(fail)
    }

    /// Asks as [`Graphql::call`] does, and does not look into an answer that is, byte by byte, the one with this sum.
    ///
    /// # Errors
    /// When there is no usable answer; see [`Fault`].
    pub(crate) async fn call_again<T: DeserializeOwned>(
        &self,
        operation: Operation<'_>,
        variables: impl Serialize,
        known: Option<AnswerSum>,
    ) -> Result<Again<T>, CallError> {
        let request_id = Uuid::new_v4();
        let fail = |fault| CallError { operation: operation.name, host: self.host(), request_id, fault };
        let answer = self.exchange(operation, request_id, variables, None).await.map_err(fail)?;
        let sum = answer.sum();
        if answer.status == 200 && known == Some(sum) {
            return Ok(Again::Same);
        }
        answer.decode(&self.secrets).map(|answer| Again::Other(answer, sum)).map_err(fail)
    }

    /// Sends a request and takes its answer: into memory, or, if there is a file for it and it is a good one, there.
    pub(super) async fn exchange(
        &self,
        operation: Operation<'_>,
        request_id: Uuid,
        variables: impl Serialize,
        spool: Option<&mut File>,
    ) -> Result<Answer, Fault> {
        let request = Request { operation_name: operation.name, query: operation.text, variables };
        let body = serde_json::to_vec(&request).map_err(|error| Fault::Shape(error.to_string()))?;
        tracing::debug!(OPERATION = operation.name, REQUEST_ID = %request_id, HOST = self.host(), "asking {}", operation.name);
        let request = self
            .client
            .post(self.url.clone())
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, ACCEPTED)
            .header("x-request-id", request_id.to_string())
            .body(body);
        let mut response = tokio::time::timeout(self.limits.answer_timeout, request.send())
            .await
            .map_err(|_| Fault::Timeout(self.limits.answer_timeout))?
            .map_err(|error| self.classify(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value, SystemTime::now()));
        let caps = Caps { compressed: self.limits.max_answer, decompressed: self.limits.max_answer };
        let sink = match spool.filter(|_| status == 200) {
            Some(file) => Sink::File(file),
            None => Sink::Memory(Wiped::default()),
        };
        let bytes = match Inflater::new(response.headers(), caps, sink) {
            Ok(inflater) => tokio::time::timeout(self.limits.whole_timeout, self.read(&mut response, inflater))
                .await
                .map_err(|_| Fault::Timeout(self.limits.whole_timeout))
                .flatten(),
            Err(error) => Err(error.into()),
        };
        let bytes = match bytes {
            // What a gateway says beside its status does not matter as much as the status.
            Err(_) if !matches!(status, 200 | 422) => Wiped::default(),
            bytes => bytes?,
        };
        Ok(Answer { status, retry_after, bytes })
    }

    async fn read(&self, response: &mut reqwest::Response, mut inflater: Inflater<Sink<'_>>) -> Result<Wiped, Fault> {
        // The length header is only a hint, and a compressed answer has none: what counts is what arrives here.
        while let Some(chunk) = response.chunk().await.map_err(|error| self.classify(&error))? {
            metrics().answer_bytes(chunk.len() as u64);
            inflater.push(&chunk)?;
        }
        Ok(match inflater.finish()? {
            Sink::Memory(bytes) => bytes,
            Sink::File(_) => Wiped::default(),
        })
    }

    fn quote(&self, text: &str) -> String {
        excerpt(text, &self.secrets.iter().collect::<Vec<_>>())
    }

    fn classify(&self, error: &reqwest::Error) -> Fault {
        // What came of TLS with a proxy is none of the plane's certificate, or of ours.
        let trouble = self.proxy.as_ref().zip(Trouble::find(error));
        if let Some((proxy, trouble)) = trouble {
            let why = self.quote(&innermost(error));
            return match trouble {
                Trouble::Credentials => Fault::ProxyCredentials(proxy.clone()),
                Trouble::Refused => Fault::Connect(format!("the proxy {proxy} makes none to {}", self.host())),
                Trouble::Unreachable => Fault::Connect(format!("the proxy {proxy} cannot be spoken to: {why}")),
            };
        }
        let connect = |why: String| {
            Fault::Connect(match &self.proxy {
                Some(proxy) => format!("{why}, through the proxy {proxy}"),
                None => why,
            })
        };
        match tls_cause(error) {
            Some(rustls::Error::AlertReceived(alert)) => return alert_fault(*alert),
            Some(refused @ rustls::Error::InvalidCertificate(why)) => {
                return Fault::ServerCertificate(explain_certificate(why, refused));
            }
            Some(other) => return connect(other.to_string()),
            None => {}
        }
        let why = self.quote(&innermost(error));
        if error.is_timeout() {
            if error.is_connect() {
                connect("it took too long".into())
            } else {
                Fault::Timeout(self.limits.answer_timeout)
            }
        } else if error.is_connect() {
            connect(why)
        } else {
            Fault::Interrupted(why)
        }
    }
}

/// Where the bytes of an answer go.
#[derive(Debug)]
enum Sink<'a> {
    Memory(Wiped),
    File(&'a mut File),
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Memory(memory) => memory.write(bytes),
            Self::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Memory(memory) => memory.flush(),
            Self::File(file) => file.flush(),
        }
    }
}

/// What the TLS library said, however deep it lies: each layer wraps it in an I/O error of its own, and the source of an
/// I/O error is not what it holds, but the source of that.
fn tls_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let held = || error.downcast_ref::<std::io::Error>()?.get_ref().and_then(|held| tls_cause(held));
    error.downcast_ref().or_else(held).or_else(|| tls_cause(error.source()?))
}

/// Host, and port where one is written.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let now = jiff::Timestamp::try_from(now).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

fn alert_fault(alert: rustls::AlertDescription) -> Fault {
    use rustls::AlertDescription as Alert;
    match alert {
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateRevoked
        | Alert::CertificateExpired
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied
        | Alert::CertificateRequired
        | Alert::NoCertificate => Fault::CertificateRefused(format!("{alert:?}")),
        other => Fault::Connect(format!("TLS alert {other:?}")),
    }
}

fn explain_certificate(why: &rustls::CertificateError, whole: &rustls::Error) -> String {
    match why {
        rustls::CertificateError::UnknownIssuer => "its issuer is neither in the system's trust store nor in \
             plane.ca_bundle"
            .into(),
        rustls::CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "it is a CA certificate, as `openssl req -x509` makes them; a server needs one with CA:FALSE".into()
        }
        _ => {
            let text = whole.to_string();
            text.strip_prefix("invalid peer certificate: ").map(str::to_owned).unwrap_or(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_retry_after_are_understood() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_480);
        let header = |text| HeaderValue::from_static(text);
        assert_eq!(retry_after(&header("120"), now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after(&header("Wed, 21 Oct 2015 07:29:00 GMT"), now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after(&header("Wed, 21 Oct 2015 07:20:00 GMT"), now), Some(Duration::ZERO));
        assert_eq!(retry_after(&header("soon"), now), None);
    }

    #[test]
    fn what_the_tls_library_said_is_found_below_any_number_of_io_errors() {
        let said = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = (0..3).fold(std::io::Error::other(said.clone()), |inner, _| std::io::Error::other(inner));
        assert_eq!(tls_cause(&wrapped), Some(&said));
        assert_eq!(tls_cause(&std::io::Error::other(std::io::Error::other("no"))), None);
    }
}
