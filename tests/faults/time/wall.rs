//! A host's wall clock, which a test sets as it likes, for the agent alone.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::process::Command;

use crate::compiled::compiled;

/// The wall clock of the commands that are given it.
pub struct Wall {
    folder: TempDir,
    file: File,
    ahead: Cell<SignedDuration>,
}

impl Wall {
    /// One that shows the real time.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("offset");
        fs::write(&path, [0; 8]).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        Self { folder, file, ahead: Cell::default() }
    }

    /// Gives it to a command.
    pub fn hang(&self, command: &mut Command) {
        static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
        let library = LIBRARY.get_or_init(|| compiled("time/wall.c", &["-shared", "-fPIC"]));
        command.env("LD_PRELOAD", library).env("WALL_OFFSET", self.folder.path().join("offset"));
    }

    /// Sets it so far ahead of the real time, or behind.
    pub fn set_ahead(&self, by: SignedDuration) {
        self.ahead.set(by);
        let nanoseconds = i64::try_from(by.as_nanos()).unwrap_or(if by.is_negative() { i64::MIN } else { i64::MAX });
        // In one write: nobody reads half of it, and the clock is set once.
        self.file.write_all_at(&nanoseconds.to_ne_bytes(), 0).unwrap();
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        Timestamp::now() + self.ahead.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_shown_the_time_that_was_set() {
        let wall = Wall::new();
        for (instant, year) in [("1970-06-01T00:00:00Z", "1970"), ("2050-06-01T00:00:00Z", "2050")] {
            let instant: Timestamp = instant.parse().unwrap();
            wall.set_ahead(instant.duration_since(Timestamp::now()));
            let mut command = Command::new("date");
            command.args(["-u", "+%Y"]);
            wall.hang(&mut command);
            let shown = command.output().await.unwrap();
            assert_eq!(String::from_utf8_lossy(&shown.stdout).trim(), year);
        }
    }
}
