//! The commands' side of the control socket.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Answer, SetVersion, Sync, Unpair};
use crate::agent::status::Status;
use crate::agent::{Files, Version};
use crate::broker::Overview;
use crate::snapshot::brake::Consent;

/// The longest that the daemon may take for an answer; a poll of a large landscape takes minutes.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The longest answer that is read, in bytes: who answers is not to be trusted with all of our memory.
const LARGEST: usize = 16 * 1024 * 1024;

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    client: reqwest::Client,
    socket: PathBuf,
}

/// Why the daemon cannot be spoken to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It does not run, or has another socket.
    #[error(
        "the agent does not run (nothing listens on {0}); start it with `systemctl start runtime-agent`, and see \
         `journalctl -u runtime-agent` if it does not stay up"
    )]
    NotRunning(PathBuf),
    /// The socket is not for this user.
    #[error("{0} is not for this user; run the command as root")]
    Forbidden(PathBuf),
    /// The agent refuses this user.
    #[error("{0} Run the command as root, or join that group")]
    Refused(String),
    /// The conversation failed.
    #[error("the agent did not answer as it should on {socket}: {why}")]
    Failed {
        /// The socket.
        socket: PathBuf,
        /// What happened.
        why: String,
    },
}

impl Client {
    /// Speaks over `socket`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(socket: &Path) -> Result<Self, ControlError> {
        let client = reqwest::Client::builder()
            .unix_socket(socket.to_owned())
            // No server's certificate is ever looked at here, so the system's trust store need not be read.
            .tls_certs_only([])
            .no_proxy()
            // The daemon cuts who only sits there, which must not happen to a request that is just on its way.
            .pool_max_idle_per_host(0)
            .timeout(LONGEST)
            .build()
            .map_err(|error| ControlError::Failed { socket: socket.to_owned(), why: error.to_string() })?;
        Ok(Self { client, socket: socket.to_owned() })
    }

    /// How things are; with `after`, as soon as the revision is another one, or in half a minute.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn status(&self, after: Option<u64>) -> Result<Status, ControlError> {
        let url = after.map_or_else(
            || "http://control/v1/status".to_owned(),
            |after| format!("http://control/v1/status?after={after}"),
        );
        let response = self.client.get(url).send().await.map_err(|error| self.explain(&error))?;
        self.read(response).await
    }

    /// The page of metrics.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn metrics(&self) -> Result<String, ControlError> {
        let response = self.client.get("http://control/metrics").send().await.map_err(|error| self.explain(&error))?;
        let status = response.status();
        let body = self.body(response).await?;
        if !status.is_success() {
            return Err(self.failed(status.to_string()));
        }
        String::from_utf8(body).map_err(|error| self.failed(error.to_string()))
    }

    /// What the service broker offers and has; or why there is nothing to tell: it is off, for example.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn broker(&self) -> Result<Result<Overview, Answer>, ControlError> {
        let response =
            self.client.get("http://control/v1/broker").send().await.map_err(|error| self.explain(&error))?;
        if response.status() == reqwest::StatusCode::CONFLICT {
            return self.read(response).await.map(Err);
        }
        self.read(response).await.map(Ok)
    }

    /// Has the plane asked now.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn sync(&self, consent: Consent) -> Result<Answer, ControlError> {
        self.order("sync", &Sync { consent }).await
    }

    /// Has the certificate renewed now.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn renew(&self) -> Result<Answer, ControlError> {
        self.order("renew", &serde_json::Value::Null).await
    }

    /// Has the identity given up.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn unpair(&self, files: Files) -> Result<Answer, ControlError> {
        self.order("unpair", &Unpair { files }).await
    }

    /// Has another generation made current.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub async fn set_version(&self, version: Version) -> Result<Answer, ControlError> {
        self.order("version", &SetVersion { version }).await
    }

    async fn order(&self, what: &str, body: &impl serde::Serialize) -> Result<Answer, ControlError> {
        let body = serde_json::to_vec(body).map_err(|error| self.failed(error.to_string()))?;
        let request = self.client.post(format!("http://control/v1/{what}"));
        let request = request.header("content-type", "application/json").body(body);
        let response = request.send().await.map_err(|error| self.explain(&error))?;
        self.read(response).await
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, response: reqwest::Response) -> Result<T, ControlError> {
        let body = self.body(response).await?;
        serde_json::from_slice(&body).map_err(|error| self.failed(error.to_string()))
    }

    /// What the daemon says, unless it is that it refuses this user.
    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, ControlError> {
        let refused = response.status() == reqwest::StatusCode::FORBIDDEN;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.explain(&error))? {
            if body.len() + chunk.len() > LARGEST {
                return Err(self.failed(format!("the answer is longer than {LARGEST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if refused {
            let answer: Answer = serde_json::from_slice(&body).map_err(|error| self.failed(error.to_string()))?;
            return Err(ControlError::Refused(answer.message));
        }
        Ok(body)
    }

    fn failed(&self, why: String) -> ControlError {
        ControlError::Failed { socket: self.socket.clone(), why }
    }

    fn explain(&self, error: &reqwest::Error) -> ControlError {
        // What reqwest itself says is only that it failed; why stands in its last cause.
        let mut cause: &dyn Error = error;
        while let Some(deeper) = cause.source() {
            match deeper.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
                Some(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
                    return ControlError::NotRunning(self.socket.clone());
                }
                Some(std::io::ErrorKind::PermissionDenied) => return ControlError::Forbidden(self.socket.clone()),
                _ => cause = deeper,
            }
        }
        self.failed(cause.to_string())
    }
}
