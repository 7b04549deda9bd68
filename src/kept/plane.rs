//! What is known of the plane: in which words it speaks, and when it last gave a complete answer.
//!
//! Most polls bring nothing new and write nothing. So the instant of the last answer is held in memory, and noted on
//! disk when something else is written anyway, at a clean end, and once in [`NOTED_EVERY`]: after a power failure it is
//! told at most that much too old.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::director::Dialect;
use crate::disk::{self, DiskError};
use crate::event;
use crate::ids::RuntimeId;

/// How often the instant of the last answer is noted on disk where nothing else is written: hourly.
const NOTED_EVERY: Duration = Duration::from_secs(60 * 60);

/// The version of the file's form. One of another version is as good as none: all of it is learnt anew.
const VERSION: u32 = 1;

/// What is known of a plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The runtime that this host is there.
    pub runtime: RuntimeId,
    /// The Director's address.
    pub director: String,
    /// The words in which it speaks.
    pub dialect: Dialect,
    /// When it last gave a complete answer.
    pub answered_at: Timestamp,
}

impl Known {
    /// Whether this is known of the plane at `director`, as it meets `runtime`.
    pub fn is_of(&self, runtime: &RuntimeId, director: &str) -> bool {
        self.runtime == *runtime && self.director == director
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    #[serde(flatten)]
    known: Known,
}

/// The file `plane.json`, and what came after it was written.
#[derive(Debug)]
pub struct PlaneFile {
    path: PathBuf,
    noted: Option<Known>,
    known: Option<Known>,
    /// Whether the last try to write failed, for the journal tells of that once.
    failed: bool,
}

impl PlaneFile {
    /// Reads what is known. A file that cannot be understood is replaced at the next answer, for all of it can be
    /// learnt from one.
    pub fn open(state: &Path) -> Self {
        let path = state.join("plane.json");
        let noted = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice::<File>(&bytes) {
                Ok(File { version: VERSION, known }) => Some(known),
                Ok(_) | Err(_) => {
                    event::Kept::PlaneDamaged { path: &path }.emit();
                    None
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                event::Kept::PlaneUnreadable { path: &path, error: &error }.emit();
                None
            }
        };
        Self { path, known: noted.clone(), noted, failed: false }
    }

    /// What is known, of whatever plane.
    pub fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// Takes in a complete answer, and writes it down where more than its instant is new, or that is due.
    pub fn learn(&mut self, known: Known) {
        let due = self.noted.as_ref().is_none_or(|noted| {
            let same = noted.is_of(&known.runtime, &known.director) && noted.dialect == known.dialect;
            let fresh = noted.answered_at <= known.answered_at
                && clock::until(noted.answered_at, known.answered_at) < NOTED_EVERY;
            !(same && fresh)
        });
        self.known = Some(known);
        if due {
            self.note();
        }
    }

    /// Writes down what is only in memory.
    pub fn note(&mut self) {
        if self.noted == self.known {
            return;
        }
        let Some(known) = self.known.clone() else { return };
        let file = File { version: VERSION, known };
        let Ok(text) = serde_json::to_vec(&file) else { return };
        match disk::write(&self.path, 0o600, &text) {
            Ok(()) => (self.noted, self.failed) = (Some(file.known), false),
            Err(error) => {
                if !std::mem::replace(&mut self.failed, true) {
                    event::Kept::NotNoted(&error).emit();
                }
            }
        }
    }

    /// Removes it.
    ///
    /// # Errors
    /// When the file is still there.
    pub fn remove(&mut self) -> Result<(), DiskError> {
        disk::remove(&self.path)?;
        (self.noted, self.known) = (None, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(dialect: Dialect, second: i64) -> Known {
        Known {
            runtime: "runtime-1".parse().unwrap(),
            director: "https://director.example.com/graphql".into(),
            dialect,
            answered_at: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn an_answer_like_the_last_one_is_written_down_once_an_hour_and_at_the_end() {
        let state = tempfile::tempdir().unwrap();
        let mut file = PlaneFile::open(state.path());
        assert_eq!(file.known(), None);
        let on_disk = || PlaneFile::open(state.path()).known().cloned();
        file.learn(known(Dialect::Bundle, 1000));
        assert_eq!(on_disk(), Some(known(Dialect::Bundle, 1000)));
        file.learn(known(Dialect::Bundle, 1000 + 3599));
        assert_eq!(on_disk(), Some(known(Dialect::Bundle, 1000)), "nothing is written");
        assert_eq!(file.known(), Some(&known(Dialect::Bundle, 1000 + 3599)));
        file.learn(known(Dialect::Bundle, 1000 + 3600));
        assert_eq!(on_disk(), Some(known(Dialect::Bundle, 1000 + 3600)));
        file.learn(known(Dialect::Package, 1000 + 3601));
        assert_eq!(on_disk(), Some(known(Dialect::Package, 1000 + 3601)), "another dialect is remembered at once");
        file.learn(known(Dialect::Package, 7));
        assert_eq!(on_disk(), Some(known(Dialect::Package, 7)), "a clock that was set back is believed");
        file.learn(known(Dialect::Package, 8));
        file.note();
        assert_eq!(on_disk(), Some(known(Dialect::Package, 8)));
        file.remove().unwrap();
        assert_eq!((on_disk(), file.known()), (None, None));
    }

    #[test]
    fn what_cannot_be_understood_is_learnt_anew() {
        let state = tempfile::tempdir().unwrap();
        for text in ["", "[]", "{\"version\":1}", "{\"version\":2,\"dialect\":\"sign\"}"] {
            fs::write(state.path().join("plane.json"), text).unwrap();
            let mut file = PlaneFile::open(state.path());
            assert_eq!(file.known(), None, "{text}");
            file.learn(known(Dialect::Bundle, 1));
            assert_eq!(PlaneFile::open(state.path()).known(), Some(&known(Dialect::Bundle, 1)), "{text}");
        }
    }
}
