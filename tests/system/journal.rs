//! A host's journal, followed as it is written.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::Host;

/// One entry: a set of fields, as journald stores them.
#[derive(Debug, Clone)]
pub(crate) struct Entry(Value);

impl Entry {
    /// A field, or the empty string if the entry has none of that name. (Fields that are no text have none here.)
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn message(&self) -> &str {
        self.field("MESSAGE")
    }

    /// The unit whose process wrote the entry, or which systemd wrote it about.
    pub(crate) fn unit(&self) -> &str {
        match self.field("UNIT") {
            "" => self.field("_SYSTEMD_UNIT"),
            unit => unit,
        }
    }
}

/// Entries as they come.
#[derive(Debug)]
pub(crate) struct Journal {
    journalctl: Child,
    entries: Receiver<Entry>,
}

impl Journal {
    /// All that is written from now on.
    pub(crate) fn from_now(host: &Host) -> Self {
        // What was said before may still be on its way.
        host.run(&["journalctl", "--sync"]).ok();
        let last = host.run(&["journalctl", "--lines=1", "--output=cat", "--show-cursor"]).ok();
        let cursor = last.rsplit_once("-- cursor: ").map(|(_, cursor)| cursor);
        let cursor = cursor.unwrap_or_else(|| panic!("journalctl tells no cursor: {last}"));
        Self::follow(host, &format!("--after-cursor={cursor}"))
    }

    /// All that was written since the host was switched on, and from now on.
    pub(crate) fn from_boot(host: &Host) -> Self {
        Self::follow(host, "--boot")
    }

    fn follow(host: &Host, since: &str) -> Self {
        let mut journalctl = host
            .observer(&["journalctl", "--follow", "--no-tail", "--output=json", "--all", since])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("setpriv and nsenter (util-linux) are installed");
        let lines = BufReader::new(journalctl.stdout.take().expect("it was asked for")).lines();

        let (sender, entries) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(entry) = serde_json::from_str(&line) else { continue };
                if sender.send(Entry(entry)).is_err() {
                    return;
                }
            }
        });
        Self { journalctl, entries }
    }

    /// Waits for the next entry that matches, and leaves those behind that come before it.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, timeout: Duration, matches: impl Fn(&Entry) -> bool) -> Entry {
        let deadline = Instant::now() + timeout;
        let mut passed = Vec::new();
        while let Ok(entry) = self.entries.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if matches(&entry) {
                return entry;
            }
            passed.push(format!("{}: {}", entry.unit(), entry.message()));
        }
        panic!("{what} did not show in the journal within {timeout:?}, but only:\n{}", passed.join("\n"));
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        drop(self.journalctl.kill());
        drop(self.journalctl.wait());
    }
}
