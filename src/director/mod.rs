//! The Director: who we are, which applications we may use, and what we report back.

mod convert;
mod credential;
mod dialect;
mod error;
mod fetch;
mod instance_auth;
mod options;
mod paging;
#[doc(hidden)]
pub mod probe;
mod text;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use reqwest::header::HeaderValue;
use serde_json::Value;

use crate::ids::{RuntimeId, TenantId};
use crate::snapshot::Snapshot;
use crate::transport::{CallError, Fault, Graphql, excerpt};

pub use dialect::Dialect;
pub use error::FetchError;
pub use fetch::{Beginning, ReadPages};
pub(crate) use instance_auth::confided;
pub use instance_auth::{Outcome, Refusal, RefusalKind};
pub use options::{Documents, FetchOptions, InvalidPageSize, PageSize};
pub use paging::Drift;
pub use text::{Found, TextAnswer, Unreadable};

/// The Director of the plane, as this runtime meets it.
#[derive(Debug, Clone)]
pub struct Director {
    graphql: Graphql,
    /// The same for answers that are short, and need not be given the time that a page has.
    brief: Graphql,
}

/// Who the plane takes the caller for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    /// The caller's id at the plane.
    pub id: String,
    /// What the caller is.
    pub kind: ViewerKind,
}

/// What a caller is to the plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewerKind {
    /// A Runtime: what this agent expects to be.
    Runtime,
    /// An Application.
    Application,
    /// An Integration System.
    IntegrationSystem,
    /// A person.
    User,
    /// A word that came after this program was written.
    Other(Box<str>),
}

/// What one fetch brought.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// What the plane said, whole.
    pub snapshot: Snapshot,
    /// The dialect that the plane speaks.
    pub dialect: Dialect,
    /// The page size that the plane could answer.
    pub page_size: PageSize,
    /// How many requests it took.
    pub requests: u32,
    /// Its pages, by which the next read knows what has not changed.
    pub pages: ReadPages,
}

/// This host's Runtime, as it is registered at the plane.
#[derive(Debug, Clone, PartialEq)]
pub struct RuntimeInfo {
    /// Its id.
    pub id: RuntimeId,
    /// The name for people.
    pub name: Box<str>,
    /// Free text.
    pub description: Option<Box<str>>,
    /// Labels, any JSON.
    pub labels: BTreeMap<String, Value>,
}

impl Director {
    /// The Director at `graphql`; `tenant` is named in every request where one was handed over.
    pub fn new(graphql: Graphql, tenant: Option<TenantId>) -> Self {
        let graphql = match tenant {
            Some(tenant) => {
                let value = HeaderValue::from_bytes(tenant.as_str().as_bytes());
                // Only control characters cannot stand in a header, and no id has any.
                graphql.with_header("tenant", value.expect("an id has no control character"))
            }
            None => graphql,
        };
        Self { brief: graphql.clone(), graphql }
    }

    /// Gives short answers no longer than this from their first byte on: whatever comes after them waits meanwhile.
    #[must_use]
    pub fn with_brief_answers(self, whole_timeout: Duration) -> Self {
        Self { brief: self.graphql.clone().hastened(whole_timeout), ..self }
    }

    /// Asks who we are.
    ///
    /// # Errors
    /// When no usable answer comes.
    pub async fn viewer(&self) -> Result<Viewer, CallError> {
        self.brief.call_then(dialect::VIEWER, NoVariables {}, |answer: wire::ViewerAnswer| Ok(answer.into())).await
    }

    /// Asks which Runtime we are.
    ///
    /// # Errors
    /// When no usable answer comes; [`Fault::NotARuntime`] when we are something else to the plane.
    pub async fn identify(&self) -> Result<RuntimeId, CallError> {
        let judge = |wire::ViewerAnswer { viewer }: wire::ViewerAnswer| {
            if &*viewer.kind == ViewerKind::Runtime.as_str() {
                Ok(viewer.id)
            } else {
                Err(Fault::NotARuntime(excerpt(&viewer.kind, &[]).into()))
            }
        };
        self.brief.call_then(dialect::VIEWER, NoVariables {}, judge).await
    }

    /// Reads everything that `runtime` may use, as it is at one instant.
    ///
    /// Lists that take more than one page are looked at a second time, for their ids only: the plane's pages are not
    /// of one state. A read that met a change is made again, up to `options.attempts` times.
    ///
    /// # Errors
    /// When no complete and consistent answer comes.
    pub async fn fetch(&self, runtime: &RuntimeId, options: &FetchOptions) -> Result<Fetched, FetchError> {
        fetch::Reader::new(self, runtime, options, Beginning::default()).run().await
    }

    /// The same, for who has read before, or has much to read: see [`Beginning`].
    ///
    /// # Errors
    /// When no complete and consistent answer comes, or there is no room for it.
    pub async fn fetch_from(
        &self,
        runtime: &RuntimeId,
        options: &FetchOptions,
        beginning: Beginning<'_>,
    ) -> Result<Fetched, FetchError> {
        fetch::Reader::new(self, runtime, options, beginning).run().await
    }

    /// Asks for the Runtime's own data.
    ///
    /// # Errors
    /// When no usable answer comes; [`Fault::UnknownRuntime`] when the plane has no such Runtime.
    pub async fn runtime(&self, runtime: &RuntimeId) -> Result<RuntimeInfo, CallError> {
        let unknown = || Fault::UnknownRuntime(runtime.as_str().into());
        let known = |answer: wire::RuntimeAnswer| answer.runtime.ok_or_else(unknown);
        let wire = self.brief.call_then(dialect::RUNTIME, wire::RuntimeVariables { runtime }, known).await?;
        Ok(RuntimeInfo {
            id: wire.id,
            name: wire.name,
            description: wire.description,
            labels: wire.labels.unwrap_or_default(),
        })
    }

    /// Sets a label of the Runtime, whether or not it was there before.
    ///
    /// # Errors
    /// When no usable answer comes; the label may then be set or not.
    pub async fn set_label(&self, runtime: &RuntimeId, key: &str, value: &Value) -> Result<(), CallError> {
        let variables = wire::LabelVariables { runtime, key, value };
        let _: wire::LabelAnswer = self.brief.call(dialect::SET_LABEL, variables).await?;
        Ok(())
    }

    /// Whether the plane certainly has no such Runtime.
    async fn lacks(&self, runtime: &RuntimeId) -> bool {
        self.runtime(runtime).await.is_err_and(|error| match error.fault {
            Fault::UnknownRuntime(_) => true,
            Fault::Graphql(errors) => {
                errors.first().and_then(|error| error.error_code()).is_some_and(|code| matches!(code, 20 | 22))
            }
            _ => false,
        })
    }
}

impl From<wire::ViewerAnswer> for Viewer {
    fn from(wire::ViewerAnswer { viewer }: wire::ViewerAnswer) -> Self {
        let kind = match &*viewer.kind {
            "RUNTIME" => ViewerKind::Runtime,
            "APPLICATION" => ViewerKind::Application,
            "INTEGRATION_SYSTEM" => ViewerKind::IntegrationSystem,
            "USER" => ViewerKind::User,
            _ => ViewerKind::Other(viewer.kind),
        };
        Self { id: viewer.id.into(), kind }
    }
}

impl ViewerKind {
    /// The plane's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Runtime => "RUNTIME",
            Self::Application => "APPLICATION",
            Self::IntegrationSystem => "INTEGRATION_SYSTEM",
            Self::User => "USER",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for ViewerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(serde::Serialize)]
struct NoVariables {}
