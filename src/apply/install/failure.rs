//! Why an installation does not come to its end, and whether another try may help.

use super::super::report::Refusal;
use super::directory::DirectoryError;
use crate::disk::DiskError;

/// Why nothing was installed, or why it was taken back.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The same would happen again, until the configuration, the files or the host change.
    #[error("{message}")]
    Refused {
        /// What failed, in a sentence without its end.
        message: String,
        /// The last lines of the command that failed.
        output: Vec<String>,
    },
    /// Another try may work.
    #[error("{0}")]
    Again(String),
    /// The generation is not there, or not one that the daemon makes.
    #[error("{1}")]
    Generation(Refusal, String),
}

impl Failure {
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), output: Vec::new() }
    }

    pub(super) fn again(message: impl Into<String>) -> Self {
        Self::Again(message.into())
    }
}

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        if error.may_pass() { Self::again(error.to_string()) } else { Self::refused(error.to_string()) }
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        Self::again(error.to_string())
    }
}
