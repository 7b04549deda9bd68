//! The folder that tokens are dropped into, watched by inotify.
//!
//! The folder is watched, not the file: a watch on a file is lost when the file is renamed or replaced. Where no watch
//! can be had, the folder is looked into twice a second.

use crate::event::Pairing;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::file::{Dropped, Mark, Seen, TokenFile, look};
use super::forms::TokenError;

/// How long a file must be left alone before a form that does not show its own end is believed to be whole.
const QUIET: Duration = Duration::from_millis(250);

/// The same while somebody has it open for writing: 2 seconds.
const QUIET_IN_HAND: Duration = Duration::from_secs(2);

/// How long an empty file, or a link to nothing, may lie there: a shell makes the file of `command >token` before the
/// command has written a byte of it.
const EMPTY: Duration = Duration::from_secs(5);

/// How long what ends in the middle, or is no token yet and in somebody's hand, is waited for: half a minute.
const UNFINISHED: Duration = Duration::from_secs(30);

/// How often the folder is looked into where it cannot be watched, or where a link leads out of it.
const POLL: Duration = Duration::from_millis(500);

/// How often a watch is checked to be still that of the folder, which a rename further up takes away in silence: a minute.
const CHECK: Duration = Duration::from_secs(60);

/// Something new in the folder.
#[derive(Debug)]
pub struct Arrival {
    /// The file.
    pub file: TokenFile,
    /// What it is.
    pub dropped: Dropped,
}

/// Watches the folder.
pub struct Inbox {
    folder: PathBuf,
    name: &'static str,
    watch: Option<Watch>,
    told_unwatchable: bool,
    writer: Writer,
    /// What lies there, and since when it has been seen unchanged.
    seen: Option<(Told, Instant)>,
    /// What was delivered last, until it is gone.
    delivered: Option<Told>,
    /// Whether something was delivered, the end of which was not.
    present: bool,
}

/// By what a state of the file is known again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    File(Mark),
    Stuck(String),
}

/// What is known of whoever writes the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Nothing, or that it was closed.
    Unknown,
    /// It was written to, and has not been closed.
    AtIt,
    /// It was renamed into place, as people do with what is whole.
    Done,
}

impl Inbox {
    /// Watches `folder` for a file `name`. A folder that does not exist yet is waited for.
    pub fn new(folder: &Path, name: &'static str) -> Self {
        Self {
            folder: folder.to_owned(),
            name,
            watch: None,
            told_unwatchable: false,
            writer: Writer::Unknown,
            seen: None,
            delivered: None,
            present: false,
        }
    }

    /// Waits for a file that is there and was not delivered in this state.
    pub async fn next(&mut self) -> Arrival {
        loop {
            // What comes between the look and the watch would not be seen: the watch is first.
            self.arm();
            let path = self.folder.join(self.name);
            let Some(seen) = look(&path) else {
                (self.seen, self.delivered, self.writer) = (None, None, Writer::Unknown);
                if std::mem::take(&mut self.present) {
                    let file = TokenFile { path, mark: None, target: None };
                    return Arrival { file, dropped: Dropped::Gone };
                }
                self.wake(None, CHECK).await;
                continue;
            };
            let ripe_at = self.ripe_at(&seen);
            if ripe_at.is_none_or(|at| at > Instant::now()) {
                // Nothing tells when a link's end changes, or a folder further up is opened.
                let untold = seen.target.is_some() || matches!(seen.dropped, Dropped::Stuck(_));
                let check = if untold { POLL } else { CHECK };
                self.wake(ripe_at, check).await;
                continue;
            }
            self.delivered = self.seen.as_ref().map(|(told, _)| told.clone());
            self.present = true;
            let target = seen.target.filter(|_| matches!(seen.dropped, Dropped::Token(_)));
            return Arrival { file: TokenFile { path, mark: seen.mark, target }, dropped: seen.dropped };
        }
    }

    /// When what was seen may be delivered, if nothing happens to it; never, where it was.
    fn ripe_at(&mut self, seen: &Seen) -> Option<Instant> {
        let told = match (&seen.dropped, seen.mark) {
            (Dropped::Stuck(why), _) => Told::Stuck(why.clone()),
            (_, Some(mark)) => Told::File(mark),
            (_, None) => return None,
        };
        let since = match &self.seen {
            Some((before, since)) if *before == told => *since,
            _ => Instant::now(),
        };
        let delivered = self.delivered.as_ref() == Some(&told);
        self.seen = Some((told, since));
        (!delivered).then(|| since + patience(seen, self.writer))
    }

    fn arm(&mut self) {
        if self.watch.is_some() {
            return;
        }
        match Watch::new(&self.folder) {
            Ok(watch) => {
                if std::mem::take(&mut self.told_unwatchable) {
                    Pairing::Watched { folder: &self.folder }.emit();
                }
                self.watch = Some(watch);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.told_unwatchable, true) {
                    Pairing::Unwatchable { folder: &self.folder, why: &error, remedy: remedy(&error) }.emit();
                }
            }
        }
    }

    /// Waits until there may be something to look at: `until` then at the latest, and for `check` at the most.
    async fn wake(&mut self, until: Option<Instant>, check: Duration) {
        let at_most = |wait| until.unwrap_or(Instant::now() + wait).min(Instant::now() + wait);
        if self.watch.is_none() {
            return sleep_until(at_most(POLL)).await;
        }
        if timeout_at(at_most(check), self.event()).await.is_err()
            && self.watch.as_ref().is_some_and(|watch| !watch.is_of(&self.folder))
        {
            self.watch = None;
        }
    }

    /// Waits for an event that is about the file or the watch itself, and takes note of it and of those behind it.
    async fn event(&mut self) {
        let mut latest: Option<Instant> = None;
        while let Some(watch) = &mut self.watch {
            let event = match latest {
                None => watch.events.next().await,
                Some(latest) => match timeout_at(latest, watch.events.next()).await {
                    Ok(event) => event,
                    Err(_) => return,
                },
            };
            match event {
                Some(Ok(event)) => {
                    if event.name.is_some() && event.name.as_deref() != Some(self.name.as_ref()) {
                        continue;
                    }
                    self.note(event.mask);
                    // After a write, more of it is likely to follow.
                    let more = if event.mask.contains(EventMask::MODIFY) { QUIET } else { Duration::ZERO };
                    let at = Instant::now() + more;
                    latest = Some(latest.map_or(at, |latest| latest.min(at)));
                }
                // Nothing is heard through it any more.
                Some(Err(_)) | None => self.watch = None,
            }
        }
    }

    fn note(&mut self, mask: EventMask) {
        if mask.intersects(EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::UNMOUNT) {
            // The folder is gone: this watch will never speak again.
            self.watch = None;
        }
        if mask.intersects(EventMask::Q_OVERFLOW | EventMask::DELETE | EventMask::MOVED_FROM) {
            // Another file can have the number and the time of the one before.
            self.delivered = None;
            self.seen = None;
            self.writer = Writer::Unknown;
        }
        if mask.contains(EventMask::MOVED_TO) {
            self.writer = Writer::Done;
        } else if mask.contains(EventMask::MODIFY) {
            self.writer = Writer::AtIt;
        } else if mask.contains(EventMask::CLOSE_WRITE) && self.writer == Writer::AtIt {
            self.writer = Writer::Unknown;
        }
    }
}

/// How long a file must have been seen unchanged before it is believed to be what it seems.
fn patience(seen: &Seen, writer: Writer) -> Duration {
    match (&seen.dropped, writer) {
        (Dropped::Token(token), _) if token.self_delimiting => Duration::ZERO,
        (Dropped::NoToken(TokenError::Empty), _) => EMPTY,
        (Dropped::NoToken(TokenError::Unfinished), _) => UNFINISHED,
        (Dropped::Stuck(_), _) if seen.target.as_ref().is_some_and(|target| !target.exists()) => EMPTY,
        (Dropped::Token(_) | Dropped::NoToken(_), Writer::Done) => Duration::ZERO,
        (Dropped::Token(_) | Dropped::NoToken(TokenError::TooLarge), Writer::AtIt) => QUIET_IN_HAND,
        (Dropped::NoToken(_), Writer::AtIt) => UNFINISHED,
        (Dropped::Token(_) | Dropped::NoToken(_) | Dropped::Stuck(_) | Dropped::Gone, _) => QUIET,
    }
}

/// A watch on the folder.
struct Watch {
    events: EventStream<[u8; 4096]>,
    /// Device and inode of the folder.
    folder: (u64, u64),
}

impl Watch {
    fn new(folder: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        inotify.watches().add(
            folder,
            WatchMask::CLOSE_WRITE
                | WatchMask::MODIFY
                | WatchMask::MOVED_TO
                | WatchMask::CREATE
                | WatchMask::ATTRIB
                | WatchMask::DELETE
                | WatchMask::MOVED_FROM
                | WatchMask::DELETE_SELF
                | WatchMask::MOVE_SELF
                | WatchMask::ONLYDIR,
        )?;
        let metadata = fs::metadata(folder)?;
        Ok(Self { events: inotify.into_event_stream([0; 4096])?, folder: (metadata.dev(), metadata.ino()) })
    }

    fn is_of(&self, folder: &Path) -> bool {
        fs::metadata(folder).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.folder)
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(28) => "; raise fs.inotify.max_user_watches with sysctl",
        Some(24) => "; raise fs.inotify.max_user_instances with sysctl",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
