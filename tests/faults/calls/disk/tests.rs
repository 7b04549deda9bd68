//! What is durable, and what is not.

use std::path::{Path, PathBuf};

use super::{Disk, Entry, Loss, Misunderstood, Operation, Tree};

fn disk(operations: &[Operation]) -> Disk {
    let mut disk = Disk::holding(&Tree::from([("/d".into(), Entry::Folder { mode: 0o755 })]));
    operations.iter().for_each(|operation| disk.apply(operation).unwrap());
    disk
}

fn create(path: &str) -> Operation {
    Operation::Create { path: path.into(), mode: 0o600 }
}

fn write(path: &str, at: u64, text: &str) -> Operation {
    Operation::Write { path: path.into(), at, bytes: text.into() }
}

fn sync(path: &str) -> Operation {
    Operation::Sync { path: path.into() }
}

fn rename(from: &str, to: &str) -> Operation {
    Operation::Rename { from: from.into(), to: to.into() }
}

fn folder(path: &str) -> Operation {
    Operation::Folder { path: path.into(), mode: 0o755 }
}

/// The files that are left, as `name=content`, with folders as `name/` and links as `name->target`.
fn left(disk: &Disk, loss: Loss) -> Vec<String> {
    let tree = disk.after(loss, Path::new("/d"));
    let show = |(path, entry): (PathBuf, Entry)| {
        let path = path.strip_prefix("/d").unwrap().display().to_string();
        match entry {
            Entry::Folder { .. } => format!("{path}/"),
            Entry::Link { target } => format!("{path}->{}", target.display()),
            Entry::File { content, .. } => format!("{path}={}", String::from_utf8(content).unwrap()),
        }
    };
    tree.into_iter().skip(1).map(show).collect()
}

#[test]
fn content_is_durable_once_the_file_is_synced_and_a_name_once_its_folder_is() {
    let mut done = vec![create("/d/a"), write("/d/a", 0, "one")];
    for (next, all, content) in [
        (None, vec![], vec!["a="]),
        (Some(sync("/d/a")), vec![], vec!["a=one"]),
        (Some(sync("/d")), vec!["a=one"], vec!["a=one"]),
        (Some(write("/d/a", 3, "two")), vec!["a=one"], vec!["a=one"]),
        (Some(Operation::Resize { path: "/d/a".into(), length: 1 }), vec!["a=one"], vec!["a=one"]),
        (Some(sync("/d/a")), vec!["a=o"], vec!["a=o"]),
    ] {
        done.extend(next);
        let disk = disk(&done);
        assert_eq!(left(&disk, Loss::All), all, "{done:?}");
        assert_eq!(left(&disk, Loss::Content), content, "{done:?}");
    }
    assert_eq!(left(&disk(&done[..2]), Loss::Nothing), ["a=one"]);
    // A name without content, where only the folder was synced.
    assert_eq!(left(&disk(&[create("/d/a"), write("/d/a", 0, "one"), sync("/d")]), Loss::All), ["a="]);
}

#[test]
fn a_file_replaced_by_another_is_the_old_one_until_the_folder_is_synced() {
    let mut done = vec![create("/d/a"), write("/d/a", 0, "old"), sync("/d/a"), sync("/d")];
    done.extend([create("/d/new"), write("/d/new", 0, "new"), rename("/d/new", "/d/a")]);
    assert_eq!(left(&disk(&done), Loss::All), ["a=old"]);
    assert_eq!(left(&disk(&done), Loss::Content), ["a="], "what was never synced has a name now");
    done.insert(6, sync("/d/new"));
    assert_eq!(left(&disk(&done), Loss::All), ["a=old"]);
    assert_eq!(left(&disk(&done), Loss::Content), ["a=new"]);
    done.push(sync("/d"));
    assert_eq!(left(&disk(&done), Loss::All), ["a=new"]);
}

#[test]
fn what_is_in_a_folder_goes_with_its_name() {
    let mut done = vec![folder("/d/f"), create("/d/f/a"), write("/d/f/a", 0, "x"), sync("/d/f/a"), sync("/d/f")];
    assert_eq!(left(&disk(&done), Loss::All), [""; 0]);
    done.extend([rename("/d/f", "/d/g")]);
    assert_eq!(left(&disk(&done), Loss::Content), ["g/", "g/a=x"]);
    done.push(sync("/d"));
    assert_eq!(left(&disk(&done), Loss::All), ["g/", "g/a=x"]);
    // The other way round: the folder is there, and what is in it is not.
    assert_eq!(left(&disk(&[folder("/d/f"), create("/d/f/a"), sync("/d")]), Loss::All), ["f/"]);
}

#[test]
fn links_removals_second_names_and_swaps_are_names_too() {
    let link = |target: &str| Operation::Symlink { path: "/d/.l".into(), target: target.into() };
    let mut done = vec![folder("/d/1"), folder("/d/2"), link("1"), rename("/d/.l", "/d/l"), sync("/d")];
    done.extend([create("/d/l/a"), write("/d/l/a", 0, "x"), sync("/d/1/a"), sync("/d/1")]);
    assert_eq!(left(&disk(&done), Loss::All), ["1/", "1/a=x", "2/", "l->1"]);
    done.extend([link("2"), rename("/d/.l", "/d/l"), Operation::Remove { path: "/d/1/a".into() }]);
    assert_eq!(left(&disk(&done), Loss::All), ["1/", "1/a=x", "2/", "l->1"]);
    assert_eq!(left(&disk(&done), Loss::Nothing), ["1/", "2/", "l->2"]);
    done.push(Operation::SyncAll);
    assert_eq!(left(&disk(&done), Loss::All), ["1/", "2/", "l->2"]);
    done.extend([create("/d/a"), write("/d/a", 0, "a"), sync("/d/a")]);
    done.push(Operation::Link { from: "/d/a".into(), to: "/d/1/b".into() });
    done.push(sync("/d/1"));
    assert_eq!(left(&disk(&done), Loss::All), ["1/", "1/b=a", "2/", "l->2"], "one name of two");
    done.push(Operation::Exchange { one: "/d/1".into(), other: "/d/2".into() });
    assert_eq!(left(&disk(&done), Loss::Nothing), ["1/", "2/", "2/b=a", "a=a", "l->2"]);
    assert_eq!(left(&disk(&done), Loss::All), ["1/", "1/b=a", "2/", "l->2"]);
}

#[test]
fn a_file_without_a_name_is_lost_until_it_has_one() {
    let unnamed = "/d/#7 (deleted)";
    let mut done = vec![Operation::CreateUnnamed { path: unnamed.into(), mode: 0o600 }, write(unnamed, 0, "x")];
    done.push(sync(unnamed));
    assert_eq!(left(&disk(&done), Loss::Nothing), [""; 0]);
    done.push(Operation::Link { from: unnamed.into(), to: "/d/a".into() });
    assert_eq!(left(&disk(&done), Loss::All), [""; 0]);
    done.push(sync("/d"));
    assert_eq!(left(&disk(&done), Loss::All), ["a=x"]);
}

#[test]
fn a_mode_is_durable_with_what_it_is_of() {
    let mode = |disk: &Disk, loss| match &disk.after(loss, Path::new("/d"))[Path::new("/d/a")] {
        Entry::File { mode, .. } => *mode,
        other => panic!("{other:?}"),
    };
    let mut done = vec![create("/d/a"), sync("/d"), Operation::Mode { path: "/d/a".into(), mode: 0o644 }];
    assert_eq!(mode(&disk(&done), Loss::All), 0o600);
    assert_eq!(mode(&disk(&done), Loss::Content), 0o644);
    done.push(sync("/d/a"));
    assert_eq!(mode(&disk(&done), Loss::All), 0o644);
}

#[test]
fn some_of_what_was_not_synced_is_lost_and_all_else_stays() {
    let mut done = vec![create("/d/kept"), write("/d/kept", 0, "kept"), sync("/d/kept"), folder("/d/f"), sync("/d")];
    done.extend([create("/d/f/a"), create("/d/b"), write("/d/b", 0, "1"), write("/d/b", 1, "2")]);
    let disk = disk(&done);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let left = left(&disk, Loss::Some(seed));
        assert!(left.contains(&"kept=kept".to_owned()) && left.contains(&"f/".to_owned()), "{left:?}");
        assert_eq!(left, self::left(&disk, Loss::Some(seed)), "the same number, the same loss");
        seen.insert(left);
    }
    // The name in `f` is there or not; that of `b` is not, or it is with one of four contents.
    assert_eq!(seen.len(), 2 * (1 + 4), "{seen:#?}");
}

#[test]
fn what_cannot_have_happened_is_not_taken_for_something_else() {
    let mut disk = disk(&[]);
    for operation in [sync("/d/a"), rename("/d/a", "/d/b"), write("/d", 0, "x"), create("/e/a")] {
        assert!(matches!(disk.apply(&operation), Err(Misunderstood(_))), "{operation:?}");
    }
}
