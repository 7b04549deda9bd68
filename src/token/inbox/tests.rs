use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use futures_util::poll;
use nix::sys::stat::Mode;
use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use super::*;

/// A folder, the path of the token in it, and who watches it.
fn scene() -> (TempDir, PathBuf, Inbox) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let inbox = Inbox::new(folder.path(), "token");
    (folder, path, inbox)
}

fn token_of(arrival: &Arrival) -> &str {
    match &arrival.dropped {
        Dropped::Token(token) => token.secret.expose_secret(),
        other => panic!("{other:?}"),
    }
}

fn refusal_of(arrival: &Arrival) -> String {
    match &arrival.dropped {
        Dropped::NoToken(error) => error.to_string(),
        Dropped::Stuck(why) => why.clone(),
        other => panic!("{other:?}"),
    }
}

/// What it is called, and how a token is put in place so.
type Way<'a> = (&'static str, &'a dyn Fn(&str));

/// The next arrival, and after what time of the inbox's own clock it came.
async fn timed(inbox: &mut Inbox) -> (Arrival, Duration) {
    let began = Instant::now();
    (inbox.next().await, began.elapsed())
}

/// Runs the inbox until it only waits, so that what is done next happens before its eyes.
macro_rules! waits {
    ($next:expr) => {
        assert!(poll!(&mut $next).is_pending());
    };
}

#[tokio::test]
async fn a_token_is_noticed_within_a_second_however_it_arrives() {
    let (folder, path, mut inbox) = scene();
    let other = folder.path().join("other");
    let ways: [Way<'_>; 7] = [
        ("before the start", &|token| fs::write(&path, token).unwrap()),
        ("in place", &|token| fs::write(&path, token).unwrap()),
        ("renamed in", &|token| {
            fs::write(&other, token).unwrap();
            fs::rename(&other, &path).unwrap();
        }),
        ("linked in", &|token| {
            fs::write(&other, token).unwrap();
            fs::hard_link(&other, &path).unwrap();
        }),
        ("linked in by name", &|token| {
            fs::write(&other, token).unwrap();
            symlink("other", &path).unwrap();
        }),
        ("linked in by name, and then written", &|token| {
            symlink("other", &path).unwrap();
            fs::write(&other, token).unwrap();
        }),
        ("made as somebody else's, and then given", &|token| {
            fs::write(&path, token).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        }),
    ];
    for (place, (way, drop)) in ways.iter().enumerate() {
        let token = format!("token-{place}");
        let arrival = if place == 0 {
            drop(&token);
            inbox.next().await
        } else {
            let mut next = Box::pin(timed(&mut inbox));
            waits!(next);
            drop(&token);
            let (arrival, elapsed) = next.await;
            assert!(elapsed < Duration::from_secs(1), "{way}: {elapsed:?}");
            arrival
        };
        assert_eq!(token_of(&arrival), token, "{way}");
        arrival.file.remove().unwrap();
        assert!(!path.exists() && !path.is_symlink(), "{way}: it is still there");
        assert!(matches!(inbox.next().await.dropped, Dropped::Gone), "{way}");
        if way.contains("by name") {
            assert!(!other.exists(), "{way}: what the link led to is still there");
        }
        let _ = fs::remove_file(&other);
    }
}

#[tokio::test]
async fn a_token_that_is_replaced_is_another_arrival_and_outlives_the_removal_of_the_first() {
    let (folder, path, mut inbox) = scene();
    fs::write(&path, "first").unwrap();
    let first = inbox.next().await;
    fs::write(folder.path().join("other"), "second").unwrap();
    fs::rename(folder.path().join("other"), &path).unwrap();
    first.file.remove().unwrap();
    let second = inbox.next().await;
    assert_eq!(token_of(&second), "second");
    // In the same moment, and very likely with the same inode.
    second.file.remove().unwrap();
    fs::write(&path, "third!").unwrap();
    let third = inbox.next().await;
    assert_eq!(token_of(&third), "third!");
    second.file.remove().unwrap();
    assert!(path.exists());
    third.file.remove().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn the_same_file_is_one_arrival_whatever_happens_around_it() {
    let (folder, path, mut inbox) = scene();
    let writer = File::create(folder.path().join("other")).unwrap();
    (&writer).write_all(b"once").unwrap();
    let mut next = Box::pin(inbox.next());
    waits!(next);
    // Renamed in before it is closed; then given another mode.
    fs::rename(folder.path().join("other"), &path).unwrap();
    let once = next.await;
    assert_eq!(token_of(&once), "once");
    let mut next = Box::pin(inbox.next());
    drop(writer);
    waits!(next);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    waits!(next);
    fs::write(&path, "twice").unwrap();
    assert_eq!(token_of(&next.await), "twice");
    once.file.remove().unwrap();
    assert!(path.exists(), "the second one stays");
}

#[tokio::test]
async fn a_token_whose_mode_was_changed_since_it_was_read_is_removed_all_the_same() {
    let (_folder, path, mut inbox) = scene();
    fs::write(&path, "token").unwrap();
    let arrival = inbox.next().await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    arrival.file.remove().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_token_in_several_writes_is_taken_whole() {
    let (_folder, path, mut inbox) = scene();
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

#[tokio::test(start_paused = true)]
async fn whoever_writes_slowly_is_waited_for_as_long_as_the_file_is_in_hand() {
    let (_folder, path, mut inbox) = scene();
    let mut writer = File::create(&path).unwrap();
    writer.write_all(b"CONNECTOR_URL=https://c.example.com\n").unwrap();
    let mut next = Box::pin(inbox.next());
    waits!(next);
    for part in ["RUNTIME_ID=r-1\n", "TOKEN=canary", "-whole"] {
        writer.write_all(part.as_bytes()).unwrap();
        let pause = if part.starts_with('T') { Duration::from_secs(1) } else { Duration::from_secs(20) };
        if part != "-whole" {
            assert!(tokio::time::timeout(pause, &mut next).await.is_err(), "{part}");
        }
    }
    drop(writer);
    assert_eq!(token_of(&next.await), "canary-whole");
}

#[tokio::test(start_paused = true)]
async fn what_stays_empty_or_ends_in_the_middle_is_refused_after_a_while() {
    let (folder, path, mut inbox) = scene();
    for (content, patience, sentence) in [
        ("", EMPTY, "it is empty"),
        (" \n", EMPTY, "it is empty"),
        ("{\"token\":\"canary", UNFINISHED, "ends in the middle"),
    ] {
        fs::write(&path, content).unwrap();
        let (arrival, elapsed) = timed(&mut inbox).await;
        assert!(refusal_of(&arrival).contains(sentence), "{}", refusal_of(&arrival));
        assert!(elapsed >= patience && elapsed < patience + Duration::from_secs(2), "{content:?}: {elapsed:?}");
        arrival.file.remove().unwrap();
        inbox.next().await;
    }
    // Whatever is done to it meanwhile begins the wait anew, and the rest of it ends the wait.
    fs::write(&path, "{\"token\":").unwrap();
    for part in ["\"can", "ary"] {
        assert!(tokio::time::timeout(UNFINISHED - QUIET, inbox.next()).await.is_err());
        OpenOptions::new().append(true).open(&path).unwrap().write_all(part.as_bytes()).unwrap();
    }
    assert!(tokio::time::timeout(UNFINISHED - QUIET, inbox.next()).await.is_err());
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\"}").unwrap();
    let (arrival, elapsed) = timed(&mut inbox).await;
    assert_eq!(token_of(&arrival), "canary");
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    arrival.file.remove().unwrap();
    inbox.next().await;
    // A link to nothing.
    symlink("nowhere", &path).unwrap();
    let (arrival, elapsed) = timed(&mut inbox).await;
    let said = format!("it is a link to {}, and nothing is there", folder.path().join("nowhere").display());
    assert_eq!(refusal_of(&arrival), said);
    assert!(elapsed >= EMPTY, "{elapsed:?}");
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
    // Absent for a while, and then there between a look and the next watch.
    fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(inbox.next().await.dropped, Dropped::Gone));
    let mut next = Box::pin(inbox.next());
    waits!(next);
    fs::create_dir(&folder).unwrap();
    tokio::select! {
        arrival = &mut next => panic!("{arrival:?}"),
        () = tokio::time::sleep(2 * POLL) => {}
    }
    fs::write(folder.join("token"), "third").unwrap();
    assert_eq!(token_of(&next.await), "third");
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_moved_away_with_the_one_above_it_is_watched_again() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("etc/pairing");
    fs::create_dir_all(&folder).unwrap();
    let mut inbox = Inbox::new(&folder, "token");
    let mut next = Box::pin(inbox.next());
    waits!(next);
    fs::rename(above.path().join("etc"), above.path().join("old")).unwrap();
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("token"), "here").unwrap();
    assert_eq!(token_of(&next.await), "here");
}

#[tokio::test]
async fn a_queue_of_events_that_overflows_hides_no_token() {
    let (folder, path, mut inbox) = scene();
    let mut next = Box::pin(inbox.next());
    waits!(next);
    let mut witness = Inotify::init().unwrap();
    witness.watches().add(folder.path(), WatchMask::CLOSE_WRITE).unwrap();
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // Only neighbours that are alike are merged.
    for number in 0..=limit {
        File::create(folder.path().join(format!("other-{}", number % 2))).unwrap();
    }
    fs::write(&path, "after-the-flood").unwrap();
    let mut buffer = [0; 4096];
    let overflowed = std::iter::from_fn(|| Some(witness.read_events(&mut buffer).ok()?.last()?.mask));
    assert!(overflowed.into_iter().any(|mask| mask.contains(EventMask::Q_OVERFLOW)), "there was room for everything");
    let began = std::time::Instant::now();
    assert_eq!(token_of(&next.await), "after-the-flood");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    fs::write(&path, "and-the-next").unwrap();
    assert_eq!(token_of(&inbox.next().await), "and-the-next");
}

#[tokio::test]
async fn what_is_no_file_is_named_and_stays_and_what_holds_no_token_goes() {
    let (folder, path, mut inbox) = scene();
    let kinds: [&dyn Fn(); 4] = [
        &|| nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap(),
        &|| fs::create_dir(&path).unwrap(),
        &|| drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
        &|| symlink("/dev/zero", &path).unwrap(),
    ];
    for make in kinds {
        make();
        let arrival = inbox.next().await;
        assert!(matches!(&arrival.dropped, Dropped::Stuck(why) if why.contains("not a regular file")), "{arrival:?}");
        let mut next = Box::pin(inbox.next());
        waits!(next);
        let _ = fs::remove_dir(&path).or_else(|_| fs::remove_file(&path));
        assert!(matches!(next.await.dropped, Dropped::Gone));
    }
    for (content, sentence) in [(vec![b'x'; 70_000], "64 KiB"), (b"\xff\xfe".to_vec(), "UTF-8")] {
        fs::write(&path, content).unwrap();
        let arrival = inbox.next().await;
        assert!(refusal_of(&arrival).contains(sentence), "{arrival:?}");
        arrival.file.remove().unwrap();
        assert!(!path.exists());
        inbox.next().await;
    }
    // Whatever it is that a link leads to, only a token is known to be ours to remove.
    fs::write(folder.path().join("other"), "two words").unwrap();
    symlink("other", &path).unwrap();
    inbox.next().await.file.remove().unwrap();
    assert!(!path.is_symlink() && folder.path().join("other").exists());
}
