//! An error in the plane's own words, and what its code says.

use std::fmt;

use serde::Deserialize;

use super::denial::Denial;
use super::fault::Source;

/// One entry of an answer's `errors`.
#[derive(Debug, Clone, Deserialize)]
pub struct GraphqlError {
    /// The plane's words, shortened and made fit for one line.
    pub message: String,
    /// Where in the answer it happened.
    #[serde(default)]
    pub path: Option<Vec<serde_json::Value>>,
    /// The plane's codes.
    #[serde(default)]
    pub extensions: Option<Extensions>,
    /// What came in the answer besides errors.
    #[serde(skip)]
    pub beside: Beside,
}

/// What came in an answer besides errors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// Data: something of what was asked was done.
    Data,
}

/// The machine-readable part of a [`GraphqlError`].
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Extensions {
    /// The plane's number for the kind of error.
    #[serde(default)]
    pub error_code: Option<i64>,
    /// The GraphQL engine's word, where the query itself was refused.
    #[serde(default)]
    pub code: Option<String>,
}

impl GraphqlError {
    /// Whether this is the Connector's way to say that a token is wrong, spent or expired.
    pub fn is_refused_token(&self) -> bool {
        self.message.starts_with("Failed to authenticate request")
    }

    /// The plane's number for the kind of error.
    pub fn error_code(&self) -> Option<i64> {
        self.extensions.as_ref().and_then(|extensions| extensions.error_code)
    }

    /// How deep in the answer it happened: 1 is a field that was asked for at the root, 0 the answer as a whole.
    pub fn depth(&self) -> usize {
        self.path.as_ref().map_or(0, Vec::len)
    }

    /// Whether the plane refused the query itself, as not fitting its schema.
    pub fn is_schema_refusal(&self) -> bool {
        self.extensions
            .as_ref()
            .and_then(|extensions| extensions.code.as_deref())
            .is_some_and(|code| matches!(code, "GRAPHQL_VALIDATION_FAILED" | "GRAPHQL_PARSE_FAILED"))
    }

    /// What the plane denies by it.
    pub fn denial(&self) -> Option<Denial> {
        self.error_code().and_then(Denial::of_code)
    }

    /// Whose fault it is.
    pub(super) fn source(&self) -> Source {
        match self.error_code() {
            // Unauthorized.
            Some(26) => Source::Identity,
            Some(20 | 22 | 27) => Source::Ours,
            _ if self.denial().is_some() => Source::Identity,
            _ if self.is_refused_token() => Source::Identity,
            _ if self.is_schema_refusal() => Source::Ours,
            _ => Source::Plane,
        }
    }
}

impl fmt::Display for GraphqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\u{201c}{}\u{201d}", self.message)?;
        if let Some(code) = self.error_code() {
            write!(f, " (code {code})")?;
        }
        if let Some(path) = self.path.as_ref().filter(|path| !path.is_empty()) {
            f.write_str(" at ")?;
            for (i, step) in path.iter().enumerate() {
                match step {
                    serde_json::Value::String(name) if i == 0 => f.write_str(name)?,
                    serde_json::Value::String(name) => write!(f, ".{name}")?,
                    other => write!(f, "[{other}]")?,
                }
            }
        }
        Ok(())
    }
}
