//! One process at a time on a state directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Holds the state directory for this process; released when dropped, or when the process dies.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

/// Why the state directory could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds it.
    #[error("another runtime-agent is at work on {0}; stop it first, or give this one a state directory of its own")]
    Held(PathBuf),
    /// The lock file cannot be made or locked.
    #[error("cannot lock {path}: {source}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl StateLock {
    /// Takes the lock file `lock` in `state`.
    ///
    /// # Errors
    /// At once, when another process holds it.
    pub fn take(state: &Path) -> Result<Self, LockError> {
        let path = state.join("lock");
        let io = |source| LockError::Io { path: path.clone(), source };
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Held(state.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_on_one_state_directory_is_refused() {
        let state = tempfile::tempdir().unwrap();
        let held = StateLock::take(state.path()).unwrap();
        assert!(matches!(StateLock::take(state.path()), Err(LockError::Held(_))));
        drop(held);
        StateLock::take(state.path()).unwrap();
    }
}
