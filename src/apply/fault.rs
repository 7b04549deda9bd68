//! What goes wrong between the daemon and the applier, outside of what the applier answers.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why there is no answer, or no applier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The applier's socket does not take the connection.
    #[error(
        "cannot reach the applier at {path}: {source}; hooks do not run until it listens \
         (`systemctl status runtime-agent-apply.socket`)"
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The applier cannot be started as a child.
    #[error("cannot start {program} as the applier: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The applier took too long.
    #[error("the applier did not finish within {0:?}; hooks that were to run after that may not have run")]
    TimedOut(Duration),
    /// The answer ends before its end, or is none.
    #[error("the applier's answer is not complete: {0}; see its journal (`journalctl -u runtime-agent-apply`)")]
    Answer(String),
    /// No socket was passed, or not the right one.
    #[error(
        "no listening socket was passed: {0}; the applier is started by runtime-agent-apply.socket, or with its \
         standard input and output as the connection"
    )]
    NoSocket(String),
    /// The applier cannot do its work at all.
    #[error("cannot {action}: {source}")]
    Io {
        /// What it was about to do.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl ApplyError {
    pub(super) fn io(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, source }
    }
}
