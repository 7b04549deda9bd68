//! Logs as `strace` writes them, and what is made of them.

use std::path::Path;

use super::{Call, Replay};
use crate::calls::disk::{Disk, Entry, Loss, Tree};

fn replayed(log: &str) -> (Vec<Call>, Disk) {
    let disk = Disk::holding(&Tree::from([("/h/state".into(), Entry::Folder { mode: 0o755 })]));
    let mut replay = Replay::new(disk, vec!["/h/state".into()]);
    let calls = replay.all(log, |_, _| {}).unwrap();
    (calls, replay.disk().clone())
}

fn content(disk: &Disk, loss: Loss, path: &str) -> Option<Vec<u8>> {
    match disk.after(loss, Path::new("/h/state")).remove(Path::new(path))? {
        Entry::File { content, .. } => Some(content),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_written_is_read_byte_by_byte() {
    let log = r#"
10 openat(AT_FDCWD</>, "/h/state/a b<c>\"\303\251", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3</h/state/a b\74c\76\"\303\251>
10 write(3</h/state/a b\74c\76\"\303\251>, "he\"l),lo\n\0001\3779\\", 14) = 14
10 lseek(3</h/state/a b\74c\76\"\303\251>, 0, SEEK_SET) = 0
10 writev(3</h/state/a b\74c\76\"\303\251>, [{iov_base="H", iov_len=1}, {iov_base="E", iov_len=1}], 2) = 2
10 pwrite64(3</h/state/a b\74c\76\"\303\251>, "zz", 2, 15) = 2
10 ftruncate(3</h/state/a b\74c\76\"\303\251>, 18) = 0
10 rename("/h/state/a b<c>\"\303\251", "/h/state/b") = 0
10 write(3</h/state/b>, "\"", 1)       = 1
"#;
    let (calls, disk) = replayed(log.trim_start());
    assert_eq!(content(&disk, Loss::Nothing, "/h/state/b").unwrap(), b"HE\"l),lo\n\x001\xff9\\\0zz\0");
    assert_eq!(content(&disk, Loss::All, "/h/state/b"), None);
    assert_eq!(calls.iter().map(|call| call.when).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 1, 1, 2]);
}

#[test]
fn calls_that_failed_were_killed_or_are_about_something_else_do_nothing() {
    let log = r#"
10 openat(AT_FDCWD</>, "/h/state/a", O_WRONLY|O_CREAT, 0600) = -1 ENOSPC (No space left on device) (INJECTED)
10 mkdir("/h/state/b", 0755) = ?
10 mkdir("/h/other", 0755) = 0
10 write(4<socket:[12]>, "GET / HTTP\r\n", 12) = 12
10 write(4<anon_inode:[eventfd]>, "\1\0\0\0\0\0\0\0", 8) = 8
10 write(4</h/state/c>(deleted), "x", 1) = 1
10 sendto(5<socket:[13]>, "x", 1, 0, NULL, 0) = 1
10 +++ killed by SIGKILL +++
"#;
    let (calls, disk) = replayed(log.trim_start());
    assert!(calls.iter().all(|call| call.operation.is_none()), "{calls:?}");
    assert_eq!(disk.after(Loss::Nothing, Path::new("/h/state")).len(), 1);
}

#[test]
fn a_call_that_another_thread_comes_between_ends_where_it_ends_and_counts_where_it_begins() {
    let log = r#"
10 openat(AT_FDCWD</>, "/h/state/a", O_WRONLY|O_CREAT, 0600) = 3</h/state/a>
10 write(3</h/state/a>, "x", 1) = 1
10 fsync(3</h/state/a> <unfinished ...>
11 fsync(4</h/state>)      = 0
10 <... fsync resumed>)    = 0
10 fsync(4</h/state> <unfinished ...>
11 fsync(4</h/state>) = 0
10 <... fsync resumed>) = ?
"#;
    let disk = Disk::holding(&Tree::from([("/h/state".into(), Entry::Folder { mode: 0o755 })]));
    let mut replay = Replay::new(disk, vec!["/h/state".into()]);
    let mut seen = Vec::new();
    let calls = replay.all(log.trim_start(), |_, disk| seen.push(content(disk, Loss::All, "/h/state/a"))).unwrap();
    assert_eq!(seen[2..], [Some(b"".to_vec()), Some(b"x".to_vec()), Some(b"x".to_vec())]);
    let syncs: Vec<_> = calls[2..].iter().map(|call| (call.thread, call.when)).collect();
    assert_eq!(syncs, [(1, 1), (0, 1), (1, 2), (0, 2)]);
}

#[test]
fn names_are_taken_from_where_the_folder_is_open() {
    let log = r#"
10 mkdirat(5</h/state>, "f", 0700) = 0
10 symlinkat("x", 5</h/state/f>, "l") = 0
10 renameat2(5</h/state/f>, "l", 6</h/state>, "m", RENAME_NOREPLACE) = 0
10 openat(AT_FDCWD</>, "/h/state", O_RDWR|O_CLOEXEC|O_TMPFILE, 0600) = 4</h/state/#7>(deleted)
10 write(4</h/state/#7>(deleted), "t", 1) = 1
10 unlinkat(5</h/state>, "f", AT_REMOVEDIR) = 0
10 syncfs(5</h/state>) = 0
"#;
    let (_, disk) = replayed(log.trim_start());
    let tree = disk.after(Loss::All, Path::new("/h/state"));
    assert_eq!(tree.into_keys().skip(1).collect::<Vec<_>>(), [Path::new("/h/state/m")]);
}

#[test]
fn what_is_not_understood_is_not_passed_over() {
    let disk = || Disk::holding(&Tree::from([("/h/state".into(), Entry::Folder { mode: 0o755 })]));
    for line in [
        r#"10 sendfile(3</h/state/a>, 4</x>, NULL, 10) = 10"#,
        r#"10 write(3</h/state/a>, "x"..., 100) = 100"#,
        r#"10 rename("/h/state/a", "/h/state/b") = 0"#,
    ] {
        let mut replay = Replay::new(disk(), vec!["/h/state".into()]);
        replay.all(line, |_, _| {}).unwrap_err();
    }
}
