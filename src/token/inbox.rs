//! The folder that tokens are dropped into, watched by inotify.
//!
//! The folder is watched, not the file: a watch on a file is lost when the file is renamed or replaced. Where no watch
//! can be had, the folder is looked into every second.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use nix::fcntl::OFlag;
use tokio::time::{Instant, sleep_until, timeout};
use zeroize::Zeroizing;

use super::forms::{OneTimeToken, TokenError, parse};
use crate::disk::{self, DiskError};

/// How large a token file may be, in bytes.
pub const MAX_TOKEN_FILE: u64 = 64 * 1024;

/// How long a file must be left alone before a form that does not show its own end is believed to be whole.
const QUIET: Duration = Duration::from_millis(250);

/// How often the folder is looked into where it cannot be watched.
const POLL: Duration = Duration::from_secs(1);

/// What lies in the folder.
#[derive(Debug)]
pub enum Dropped {
    /// A token.
    Token(OneTimeToken),
    /// Something that is no token, and may be removed.
    NoToken(TokenError),
    /// Something that can be neither used nor removed; the text says why and what to do.
    Stuck(String),
    /// What was there is gone.
    Gone,
}

/// A file, in the state in which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFile {
    /// Where it lies.
    pub path: PathBuf,
    mark: Option<Mark>,
}

impl TokenFile {
    /// A file of that name, whatever there is.
    #[cfg(test)]
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, mark: None }
    }

    /// Removes the file; but not another one that has taken its place since it was read.
    ///
    /// # Errors
    /// When it is still there.
    pub fn remove(&self) -> Result<(), DiskError> {
        let there = std::fs::metadata(&self.path).ok().map(|metadata| mark_of(&metadata));
        if there.is_some() && there != self.mark { Ok(()) } else { disk::remove(&self.path) }
    }
}

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
    events: Option<EventStream<[u8; 4096]>>,
    told_unwatchable: bool,
    first: bool,
    delivered: Option<Mark>,
    present: bool,
}

/// Which file it was, in which state: device, inode, and the time of its last change of any kind.
pub(super) type Mark = (u64, u64, i64, i64);

/// What woke the watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// A whole file was renamed in.
    Moved,
    /// Something was made, written, or had its mode changed.
    Touched,
    /// Something else, or nothing: look for yourself.
    Unknown,
}

impl Inbox {
    /// Watches `folder` for a file `name`. A folder that does not exist yet is waited for.
    pub fn new(folder: &Path, name: &'static str) -> Self {
        Self {
            folder: folder.to_owned(),
            name,
            events: None,
            told_unwatchable: false,
            first: true,
            delivered: None,
            present: false,
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    /// Waits for a file that is there and was not looked at since it last changed.
    pub async fn next(&mut self) -> Arrival {
        loop {
            // What was there before the watch began counts as new.
            let wake = if std::mem::take(&mut self.first) {
                self.arm();
                Wake::Unknown
            } else {
                self.wake().await
            };
            let Some((mut mark, mut dropped)) = look(&self.path()) else {
                if std::mem::take(&mut self.present) {
                    return self.arrival(None, Dropped::Gone);
                }
                continue;
            };
            // One arrival makes several events: a rename before the close, for one.
            if mark.is_some() && mark == self.delivered {
                continue;
            }
            let settled = wake == Wake::Moved || matches!(&dropped, Dropped::Token(token) if token.self_delimiting);
            if !settled {
                self.settle().await;
                match look(&self.path()) {
                    Some(later) => (mark, dropped) = later,
                    None => continue,
                }
            }
            // A shell makes the file of `command >token` before the command has written a byte of it.
            if matches!(dropped, Dropped::NoToken(TokenError::Empty)) {
                continue;
            }
            self.delivered = mark;
            self.present = true;
            return self.arrival(mark, dropped);
        }
    }

    fn arrival(&self, mark: Option<Mark>, dropped: Dropped) -> Arrival {
        Arrival { file: TokenFile { path: self.path(), mark }, dropped }
    }

    /// Waits until nothing has happened to the file for a while.
    async fn settle(&mut self) {
        let mut quiet_at = Instant::now() + QUIET;
        // A file that is written to all the time is read all the same, after a second.
        let latest = Instant::now() + 4 * QUIET;
        while let Ok(wake) = timeout(quiet_at.min(latest) - Instant::now(), self.wake()).await {
            if wake == Wake::Moved {
                return;
            }
            quiet_at = Instant::now() + QUIET;
        }
    }

    fn arm(&mut self) {
        if self.events.is_some() {
            return;
        }
        match watch(&self.folder) {
            Ok(events) => {
                if std::mem::take(&mut self.told_unwatchable) {
                    tracing::info!(path = %self.folder.display(), "the folder for tokens is watched again");
                }
                self.events = Some(events);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.told_unwatchable, true) {
                    tracing::warn!(
                        path = %self.folder.display(),
                        "the folder for tokens, {}, cannot be watched: {error}; it is looked into every second instead{}",
                        self.folder.display(),
                        remedy(&error)
                    );
                }
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        self.arm();
        let Some(events) = &mut self.events else {
            sleep_until(Instant::now() + POLL).await;
            self.arm();
            return Wake::Unknown;
        };
        loop {
            match events.next().await {
                Some(Ok(event)) => {
                    if event.mask.intersects(EventMask::IGNORED | EventMask::DELETE_SELF | EventMask::MOVE_SELF) {
                        // The folder is gone: this watch will never speak again.
                        self.events = None;
                        return Wake::Unknown;
                    }
                    if event.mask.contains(EventMask::Q_OVERFLOW) {
                        return Wake::Unknown;
                    }
                    if event.name.as_deref() == Some(self.name.as_ref()) {
                        let moved = event.mask.contains(EventMask::MOVED_TO);
                        return if moved { Wake::Moved } else { Wake::Touched };
                    }
                }
                Some(Err(_)) | None => {
                    self.events = None;
                    return Wake::Unknown;
                }
            }
        }
    }
}

fn watch(folder: &Path) -> io::Result<EventStream<[u8; 4096]>> {
    let inotify = Inotify::init()?;
    inotify.watches().add(
        folder,
        WatchMask::CLOSE_WRITE
            | WatchMask::MOVED_TO
            | WatchMask::CREATE
            | WatchMask::ATTRIB
            | WatchMask::DELETE
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR,
    )?;
    inotify.into_event_stream([0; 4096])
}

fn remedy(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(28) => "; raise fs.inotify.max_user_watches with sysctl",
        Some(24) => "; raise fs.inotify.max_user_instances with sysctl",
        _ => "",
    }
}

fn mark_of(metadata: &std::fs::Metadata) -> Mark {
    (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

/// What lies at `path`; nothing where nothing is there.
pub(super) fn look(path: &Path) -> Option<(Option<Mark>, Dropped)> {
    let stuck = |why: String| Some((None, Dropped::Stuck(why)));
    // Without O_NONBLOCK, a FIFO in the file's place would hold us for ever.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
                .ok()
                .flatten()
                .map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name);
            return stuck(format!("the agent's user may not read it; run: chown {user} {}", path.display()));
        }
        Err(error) => return stuck(format!("it cannot be opened: {error}")),
    };
    let mark = match file.metadata() {
        Ok(metadata) if !metadata.is_file() => {
            return stuck("it is not a regular file; remove it, and put the token there as a file".into());
        }
        Ok(metadata) if metadata.len() > MAX_TOKEN_FILE => {
            return stuck("it is larger than 64 KiB, which no token is; remove it".into());
        }
        Ok(metadata) => Some(mark_of(&metadata)),
        Err(error) => return stuck(format!("it cannot be looked at: {error}")),
    };
    let mut content = Zeroizing::new(Vec::new());
    match file.take(MAX_TOKEN_FILE + 1).read_to_end(&mut content) {
        Ok(_) => Some((
            mark,
            match parse(&content) {
                Ok(token) => Dropped::Token(token),
                // Whoever writes it may not be done; it is looked at again when they are.
                Err(error @ TokenError::Unfinished) => Dropped::Stuck(format!("{error}; write all of it")),
                Err(error) => Dropped::NoToken(error),
            },
        )),
        Err(error) => stuck(format!("it cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use secrecy::ExposeSecret as _;

    use super::*;

    fn token_of(arrival: &Arrival) -> &str {
        match &arrival.dropped {
            Dropped::Token(token) => token.secret.expose_secret(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_token_is_noticed_however_it_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "before-the-start").unwrap();
        let mut inbox = Inbox::new(folder.path(), "token");
        assert_eq!(token_of(&inbox.next().await), "before-the-start");

        fs::write(&path, "in-place").unwrap();
        assert_eq!(token_of(&inbox.next().await), "in-place");

        fs::write(folder.path().join("other"), "renamed").unwrap();
        fs::rename(folder.path().join("other"), &path).unwrap();
        assert_eq!(token_of(&inbox.next().await), "renamed");

        fs::remove_file(&path).unwrap();
        fs::write(folder.path().join("other"), "linked").unwrap();
        fs::hard_link(folder.path().join("other"), &path).unwrap();
        assert_eq!(token_of(&inbox.next().await), "linked");
    }

    #[tokio::test]
    async fn a_file_that_is_renamed_in_before_it_is_closed_is_one_arrival() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut inbox = Inbox::new(folder.path(), "token");
        let writer = fs::File::create(folder.path().join("other")).unwrap();
        (&writer).write_all(b"once").unwrap();
        let mut next = Box::pin(inbox.next());
        assert!(futures_util::poll!(&mut next).is_pending());
        fs::rename(folder.path().join("other"), &path).unwrap();
        assert_eq!(token_of(&next.await), "once");
        let mut next = Box::pin(inbox.next());
        drop(writer);
        assert!(futures_util::poll!(&mut next).is_pending());
        fs::write(&path, "twice").unwrap();
        assert_eq!(token_of(&next.await), "twice");
    }

    #[tokio::test]
    async fn a_token_in_several_writes_is_taken_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut inbox = Inbox::new(folder.path(), "token");
        let writing = async {
            for part in ["one-", "two-", "three"] {
                let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
                file.write_all(part.as_bytes()).unwrap();
                drop(file);
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            arrival = inbox.next() => assert_eq!(token_of(&arrival), "one-two-three"),
            () = writing => unreachable!(),
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_removed_and_made_again_is_watched_again() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("pairing");
        let mut inbox = Inbox::new(&folder, "token");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("token"), "first").unwrap();
        assert_eq!(token_of(&inbox.next().await), "first");
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("token"), "second").unwrap();
        assert_eq!(token_of(&inbox.next().await), "second");
    }

    #[tokio::test]
    async fn what_cannot_be_a_token_is_refused_without_hanging() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut inbox = Inbox::new(folder.path(), "token");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(inbox.next().await.dropped, Dropped::Stuck(why) if why.contains("not a regular file")));
        fs::remove_file(&path).unwrap();
        assert!(matches!(inbox.next().await.dropped, Dropped::Gone));
        fs::write(&path, vec![b'x'; 70_000]).unwrap();
        assert!(matches!(inbox.next().await.dropped, Dropped::Stuck(why) if why.contains("64 KiB")));
    }
}
