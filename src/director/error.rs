//! Why a read brought no snapshot.

use super::Drift;
use crate::disk::DiskError;
use crate::ids::RuntimeId;
use crate::transport::{CallError, Denial, Retry, Source};

/// Why a read brought no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A request brought no usable answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The plane's lists changed during every attempt.
    #[error(
        "{list} could not be read as they are at one instant: in the last of {attempts} attempts {drift}; either they \
         change all the time or the plane miscounts them"
    )]
    Shifted {
        /// Which list, for people.
        list: String,
        /// What showed it.
        drift: Drift,
        /// How many reads were made.
        attempts: u8,
    },
    /// The plane knows no runtime with our id.
    #[error("the plane knows no runtime with the id {0}: it was removed there, or belongs to another tenant")]
    UnknownRuntime(RuntimeId),
    /// The plane has, or claims to have, more than is taken.
    #[error("{what} are {count} or more, and at most {limit} are taken")]
    TooMany {
        /// What there is too much of, for people.
        what: String,
        /// How many there are at least.
        count: u32,
        /// The bound.
        limit: u32,
    },
    /// There is no room on this host's disk for what comes.
    #[error(transparent)]
    Spool(#[from] DiskError),
}

impl FetchError {
    /// Whether the plane refuses this host's certificate, or no longer knows whose it is.
    pub fn is_rejection(&self) -> bool {
        match self {
            Self::Call(error) => error.fault.is_rejection(),
            Self::UnknownRuntime(_) | Self::Shifted { .. } | Self::TooMany { .. } | Self::Spool(_) => false,
        }
    }

    /// What the plane denies to this host although it takes its certificate.
    pub fn denial(&self) -> Option<Denial> {
        match self {
            Self::Call(error) => error.fault.denial(),
            Self::UnknownRuntime(_) => Some(Denial::UnknownRuntime),
            Self::Shifted { .. } | Self::TooMany { .. } | Self::Spool(_) => None,
        }
    }

    /// Whose fault it is.
    pub fn source(&self) -> Source {
        match self {
            Self::Call(error) => error.fault.source(),
            Self::Shifted { .. } => Source::Plane,
            Self::UnknownRuntime(_) => Source::Identity,
            Self::TooMany { .. } | Self::Spool(_) => Source::Ours,
        }
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Call(error) => error.fault.retry(),
            Self::Shifted { .. } | Self::TooMany { .. } | Self::Spool(_) => Retry::Later(None),
            Self::UnknownRuntime(_) => Retry::Never,
        }
    }

    /// A bounded word for fields and counters.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Call(error) => error.fault.kind(),
            Self::Shifted { .. } => "shifted",
            Self::UnknownRuntime(_) => "unknown_runtime",
            Self::TooMany { .. } => "too_many",
            Self::Spool(_) => "spool",
        }
    }
}
