//! Business errors: what the services answer with HTTP 200 and an entry in `errors`.

use async_graphql::ErrorExtensions;
use serde_json::json;

/// A business error.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    code: Option<u16>,
}

impl Failure {
    pub(crate) fn new(code: u16, message: impl Into<String>) -> Self {
        Self { message: message.into(), code: Some(code) }
    }

    /// The Connector's errors carry no codes.
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None }
    }

    pub(crate) fn internal(what: &str) -> Self {
        Self::new(10, format!("Internal Server Error: {what}"))
    }

    pub(crate) fn not_found(kind: &str, id: &str) -> Self {
        Self::new(20, format!("Object not found [object={kind}] [id={id}]"))
    }

    pub(crate) fn invalid(reason: impl std::fmt::Display) -> Self {
        Self::new(22, format!("Invalid data [reason={reason}]"))
    }

    pub(crate) fn scopes<'a>(required: &str, actual: impl IntoIterator<Item = &'a String>) -> Self {
        let actual: Vec<_> = actual.into_iter().map(String::as_str).collect();
        Self::new(23, format!("insufficient scopes provided [required=[{required}], actual=[{}]]", actual.join(" ")))
    }

    pub(crate) fn tenant_required() -> Self {
        Self::new(24, "Tenant is required")
    }

    pub(crate) fn tenant_not_found(tenant: &str) -> Self {
        Self::new(25, format!("Tenant not found [tenantID={tenant}]"))
    }

    pub(crate) fn unauthorized(reason: &str) -> Self {
        Self::new(26, format!("Unauthorized [reason={reason}]"))
    }

    pub(crate) fn operation(reason: &str) -> Self {
        Self::new(27, format!("The operation is not allowed [reason={reason}]"))
    }

    /// The content of `extensions`.
    pub(crate) fn extensions(&self) -> serde_json::Value {
        self.code.map_or_else(|| json!({}), |code| json!({ "error": kind(code), "error_code": code }))
    }

    pub(crate) fn into_error(self) -> async_graphql::Error {
        let Self { message, code } = self;
        let error = async_graphql::Error::new(message);
        match code {
            Some(code) => error.extend_with(|_, extensions| {
                extensions.set("error", kind(code));
                extensions.set("error_code", code);
            }),
            None => error,
        }
    }
}

fn kind(code: u16) -> &'static str {
    match code {
        10 => "InternalError",
        20 => "NotFound",
        21 => "NotUnique",
        22 => "InvalidData",
        23 => "InsufficientScopes",
        24 => "TenantRequired",
        25 => "TenantNotFound",
        26 => "Unauthorized",
        27 => "InvalidOperation",
        32 | 35 => "ConcurrentOperation",
        _ => "UnknownError",
    }
}
