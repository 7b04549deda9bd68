//! Which edition of the pages this is: the version of the program and the day of its source.

use std::io;
use std::process::Command;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Version and day, as they stand at the foot of each page.
pub(crate) struct Edition {
    day: String,
}

impl Edition {
    /// The day is that of `$SOURCE_DATE_EPOCH`, or of the last commit, so that the same source makes the same pages;
    /// where there is neither, it is today.
    pub(crate) fn of_this_build() -> io::Result<Self> {
        let instant = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(text) => seconds(&text).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("SOURCE_DATE_EPOCH={text:?} is no time"))
            })?,
            Err(_) => last_commit().unwrap_or_else(Timestamp::now),
        };
        Ok(Self { day: instant.to_zoned(TimeZone::UTC).strftime("%F").to_string() })
    }

    /// Puts version and day where a page's source has the marks for them.
    pub(crate) fn fill_in(&self, source: &str) -> String {
        source.replace("@VERSION@", env!("CARGO_PKG_VERSION")).replace("@DAY@", &self.day)
    }
}

fn last_commit() -> Option<Timestamp> {
    let git = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "log", "-1", "--format=%ct"])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    seconds(&String::from_utf8(git.stdout).ok()?)
}

fn seconds(text: &str) -> Option<Timestamp> {
    Timestamp::from_second(text.trim().parse().ok()?).ok()
}
