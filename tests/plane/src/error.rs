//! What can go wrong with a plane on its own account, as opposed to the faults it shows on purpose.

use std::io;

/// Why a plane could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A socket or a file.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Keys and certificates.
    #[error("The plane's certificates could not be made: {0}.")]
    Certificates(String),
    /// The GraphQL schema.
    #[error("The plane's schema is inconsistent: {0}.")]
    Schema(String),
    /// Something that does not exist.
    #[error("There is no {kind} with the id {id}.")]
    Unknown {
        /// What kind of thing.
        kind: &'static str,
        /// The id that was given.
        id: String,
    },
    /// Input that cannot be used.
    #[error("{0}")]
    Input(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn unknown(kind: &'static str, id: &str) -> Self {
        Self::Unknown { kind, id: id.to_owned() }
    }
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificates(error.to_string())
    }
}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        Self::Certificates(error.to_string())
    }
}

impl From<x509_cert::der::Error> for Error {
    fn from(error: x509_cert::der::Error) -> Self {
        Self::Certificates(error.to_string())
    }
}
