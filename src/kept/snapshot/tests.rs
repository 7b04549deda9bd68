//! What was written is read again, by this version and by all later ones; nothing else is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::prelude::*;

use super::*;
use crate::snapshot::{Condition, Credential, Naming};

/// What version 1 wrote, with everything that can be in it. Never to be changed: it stands for the files on hosts.
const VERSION_1: &[u8] = include_bytes!("version-1.json");

/// What version 2 wrote of the same; neither is that to be changed.
const VERSION_2: &[u8] = include_bytes!("version-2.json");

fn of(bytes: &[u8]) -> (tempfile::TempDir, SnapshotFile) {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("snapshot.json"), bytes).unwrap();
    let file = SnapshotFile::new(state.path());
    (state, file)
}

fn known() -> Snapshot {
    Arc::unwrap_or_clone(of(VERSION_2).1.load().unwrap().snapshot)
}

/// What is made of these bytes.
fn parsed(bytes: &[u8]) -> Result<Kept, Damage> {
    let (_state, file) = of(bytes);
    parse(file.open().unwrap().unwrap(), &file.path).map(|(_, kept)| kept)
}

#[test]
fn what_older_versions_wrote_is_read() {
    for written in [VERSION_1, VERSION_2] {
        is_read(written);
    }
}

fn is_read(written: &[u8]) {
    let (state, mut file) = of(written);
    let Kept { snapshot, read_at } = file.load().unwrap();
    assert_eq!(read_at.to_string(), "2026-11-22T14:26:00.5Z");
    assert_eq!((snapshot.runtime().as_str(), snapshot.naming()), ("runtime-1", Naming::AsGiven));
    let application = &snapshot.all().unwrap()[0];
    assert_eq!(application.labels["n"], serde_json::json!({"a": 1.5, "b": null}));
    let bundle = &application.bundles[0];
    assert_eq!(bundle.apis[0].version.as_ref().unwrap().deprecated, Some(true));
    let auth = bundle.default_auth.as_ref().unwrap();
    let password = |credential: &Credential| match credential {
        Credential::Basic { password, .. } => secrecy::ExposeSecret::expose_secret(password).to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(password(&auth.credential), "p\u{e4}ssword \"quoted\"");
    assert_eq!(auth.headers["x-key"].len(), 2);
    let conditions: Vec<_> = bundle.instance_auths.iter().map(|auth| &auth.condition).collect();
    assert_eq!(conditions[1], &Condition::Other("ON_HOLD".into()));
    if written == VERSION_2 {
        // It is known to be the same, and stays.
        assert!(!file.save(&snapshot, Timestamp::UNIX_EPOCH).unwrap());
        assert_eq!(fs::read(state.path().join("snapshot.json")).unwrap(), written);
    } else {
        assert!(file.save(&snapshot, read_at).unwrap(), "an older form is written anew");
        assert_eq!(fs::read(state.path().join("snapshot.json")).unwrap(), VERSION_2);
    }
}

#[test]
fn what_was_known_is_let_go_once_it_cannot_be_read_or_something_else_is_there() {
    let (state, mut file) = of(VERSION_2);
    let path = state.path().join("snapshot.json");
    let snapshot = file.load().unwrap().snapshot;
    assert!(!file.doubt() && file.known().is_some(), "it can be read");
    fs::write(&path, String::from_utf8_lossy(VERSION_2).replace("user", "root")).unwrap();
    assert!(file.doubt() && file.known().is_none());
    assert!(file.load().is_none() && file.known().is_none());
    assert!(snapshot.all().is_err());
    assert!(file.save(&known(), Timestamp::UNIX_EPOCH).unwrap());
    fs::remove_file(&path).unwrap();
    assert!(file.load().is_none());
    assert!(file.save(&known(), Timestamp::UNIX_EPOCH).unwrap(), "what is gone is written anew");
}

#[test]
fn nothing_is_lost_between_writing_and_reading() {
    let state = tempfile::tempdir().unwrap();
    let mut file = SnapshotFile::new(state.path());
    assert!(file.load().is_none());
    let read_at = "2026-11-22T14:26:00.5Z".parse().unwrap();
    assert!(file.save(&known(), read_at).unwrap());
    let path = state.path().join("snapshot.json");
    assert!(fs::read(&path).unwrap() == VERSION_2, "the newest form is that of version 2");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    assert!(!file.save(&known(), Timestamp::UNIX_EPOCH).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before, "the same is not written twice");
    assert!(file.save(&known().with_naming(Naming::Normalise), Timestamp::UNIX_EPOCH).unwrap());
    assert_eq!(SnapshotFile::new(state.path()).load().unwrap().snapshot.naming(), Naming::Normalise);
}

#[test]
fn what_cannot_be_used_is_put_aside_once() {
    let text = String::from_utf8(VERSION_2.to_vec()).unwrap();
    let newer = text.replacen("\"version\":2", "\"version\":3", 1);
    let more = format!("{text}{}", text.lines().last().unwrap());
    let fewer = text.replacen("\"applications\":1}", "\"applications\":0}", 1);
    let cut = &text[..text.len() - 2];
    for damaged in ["", "{}", "\n", "not JSON\n", &newer, cut, &more, &fewer, &text.replacen("user", "root", 1)] {
        let (state, mut file) = of(damaged.as_bytes());
        assert!(file.load().is_none(), "{damaged}");
        assert!(!state.path().join("snapshot.json").exists());
        assert_eq!(fs::read_to_string(state.path().join("snapshot.json.damaged")).unwrap(), damaged);
        assert!(file.save(&known(), Timestamp::UNIX_EPOCH).unwrap());
        assert!(file.load().is_some());
        file.remove().unwrap();
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0, "both go, for both hold credentials");
    }
}

#[test]
fn a_failure_tells_whether_an_older_word_of_the_plane_is_left() {
    let (state, mut file) = of(VERSION_2);
    let kept = file.load().unwrap();
    let snapshot = Arc::unwrap_or_clone(kept.snapshot).with_naming(Naming::Normalise);
    // Nobody, root included, puts a file in the place of a folder, or removes a folder as a file.
    let path = state.path().join("snapshot.json");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(file.save(&snapshot, kept.read_at), Err(NotKept::Stale(_))));
    // Nor does anybody make a file where there is no folder any more.
    fs::remove_dir_all(state.path()).unwrap();
    assert!(matches!(file.save(&snapshot, kept.read_at), Err(NotKept::Unwritten(_))));
}

#[test]
fn damage_is_told_without_what_is_damaged() {
    let content = "{\"runtime\":\"r\",\"naming\":\"as_given\",\"applications\":\"canary\"}\n";
    for (version, content) in
        [(1, content.to_owned()), (2, content.replace("\"canary\"", "1") + "{\"id\":\"canary\"}\n")]
    {
        let mut sum = Sum::begin(version, Timestamp::UNIX_EPOCH);
        sum.0.update(content.as_bytes());
        let header = Header { version, read_at: Timestamp::UNIX_EPOCH, sha256: sum.end() };
        let text = format!("{}\n{content}", serde_json::to_string(&header).unwrap());
        let told = parsed(text.as_bytes()).unwrap_err().to_string();
        assert!(told.contains("its line") && !told.contains("canary"), "{told}");
    }
}

#[test]
fn what_was_written_is_at_hand_without_being_in_memory_and_survives_its_file() {
    let state = tempfile::tempdir().unwrap();
    let mut file = SnapshotFile::new(state.path());
    file.save(&known(), Timestamp::UNIX_EPOCH).unwrap();
    let kept = Arc::clone(file.known().unwrap());
    assert_eq!(kept.sum(), known().sum());
    file.save(&Snapshot::empty("other".parse().unwrap()), Timestamp::UNIX_EPOCH).unwrap();
    file.remove().unwrap();
    assert!(file.known().is_none());
    assert_eq!(&*kept.all().unwrap()[0].name, "SAP Commerce");
}

proptest! {
    #[test]
    fn no_flipped_bit_goes_unnoticed(place in 0..VERSION_2.len(), bit in 0_u8..8) {
        let mut bytes = VERSION_2.to_vec();
        bytes[place] ^= 1 << bit;
        // An instant can be written in more than one way, as with a comma for its point; nothing else can.
        if let Ok(kept) = parsed(&bytes) {
            prop_assert_eq!(kept.read_at.to_string(), "2026-11-22T14:26:00.5Z");
            prop_assert!(place < 200);
        }
    }
}
