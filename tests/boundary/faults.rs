//! Every call that changes something fails once, or from one moment on: everything is the old or the new, somebody is told
//! why, and the next request completes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::calls::CHANGING;
use crate::site::{Answer, PROGRAM, Site, Tree, is_temporary};

/// What calls fail with, and how the system says it.
const ERRORS: [(&str, &str); 4] = [
    ("ENOSPC", "No space left on device"),
    ("EIO", "Input/output error"),
    ("EROFS", "Read-only file system"),
    ("EACCES", "Permission denied"),
];

/// How long a failure lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// One call.
    Once,
    /// All of its kind from then on.
    FromThenOn,
}

#[test]
fn a_call_that_fails_leaves_all_files_old_or_new_at_once_and_says_why() {
    let said = every_call_fails(Lasting::Once);
    assert!(said > 40, "the failures hit the installation, and are answered: {said}");
}

#[test]
fn a_file_system_that_fails_from_some_call_on_leaves_all_files_old_or_new_once_it_is_mended() {
    let said = every_call_fails(Lasting::FromThenOn);
    assert!(said > 40, "the failures hit the installation, and are answered: {said}");
}

/// How many failures were answered with a sentence.
fn every_call_fails(lasting: Lasting) -> usize {
    let (old, new) = (at_the_old().tree("etc"), wanted());
    let mut said = 0;
    for (number, call) in CHANGING.into_iter().enumerate() {
        for when in 1.. {
            // With one of the errors each, in turns: all with each would take minutes.
            let (error, words) = ERRORS[(number + when) % ERRORS.len()];
            let (site, answer) = fail(call, error, when, lasting);
            if !site.read("calls").contains("INJECTED") {
                break;
            }
            let at = format!("{error} at {call} {when} ({lasting:?}): {answer:?}");
            if lasting == Lasting::Once {
                let now = files(&site.tree("etc"));
                assert!(now == files(&old) || now == files(&new), "{at}: a mixture: {now:?}");
            }
            if matches!(answer.result(), "failed" | "refused") {
                assert!(answer.message().contains(words), "{at}: it does not say why");
                // What the daemon left is called by its number; all else by where it is.
                let reading = answer.reason() == "generation-unreadable" && call == "openat";
                assert!(answer.result() == "failed" || reading, "{at}: it may be mended, and is to be tried again");
                let place = answer.message().contains(site.path("").to_str().unwrap().trim_end_matches('/'));
                assert!(place || reading, "{at}: it names no path");
                said += 1;
            }
            recovers(&site, &old, &new, &at);
        }
    }
    said
}

/// Asks for the new files while a call fails.
fn fail(call: &str, error: &str, when: usize, lasting: Lasting) -> (Site, Answer) {
    let site = at_the_old();
    let plus = if lasting == Lasting::FromThenOn { "+" } else { "" };
    let calls = site.path("calls");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", calls.to_str().unwrap(), "-e", &format!("trace=?{}", CHANGING.join(",?"))]);
    strace.args(["-e", &format!("inject=?{call}:error={error}:when={when}{plus}"), PROGRAM]);
    match Command::new("strace").arg("-V").output() {
        Err(failed) if failed.kind() == ErrorKind::NotFound => {
            panic!("this test has system calls fail by strace: install the package strace")
        }
        other => drop(other.unwrap()),
    }
    let answer = site.request_by(strace, b"{\"version\":1,\"event\":\"config-changed\",\"generation\":2}\n");
    (site, answer)
}

fn recovers(site: &Site, old: &Tree, new: &Tree, at: &str) {
    // A notice installs nothing; but what was left unfinished is seen to first.
    let noticed = site.request(b"{\"version\":1,\"event\":\"renewed\"}\n");
    assert_eq!(noticed.result(), "done", "{at}: {noticed:?}");
    let now = site.tree("etc");
    assert!(now == *old || now == *new, "{at}: a mixture, or something is left: {now:?}");
    let asked = site.ask(2);
    assert_eq!(asked.result(), "done", "{at}: {asked:?}");
    assert!(site.tree("etc") == *new, "{at}: the next request completes: {asked:?}, {:?}", site.tree("etc"));
    for name in ["apply/transaction.json", "apply/told.json"] {
        assert!(!site.path(name).exists(), "{at}: {name} is left");
    }
    // The record is the truth, too: what is installed goes when it is not wanted any more.
    site.publish(3, &[]);
    assert_eq!(site.ask(3).result(), "done", "{at}");
    let left: Vec<PathBuf> = site.tree("etc").into_keys().collect();
    let backup = PathBuf::from("conf.d/b.conf.runtime-agent-backup");
    assert_eq!(left, [PathBuf::from("conf.d"), backup], "{at}: what is known of the files is not so");
}

/// Generation 1 is installed and 2 is published: one file changes, one was changed by a person, one goes, one comes in a
/// folder that is to be made.
fn at_the_old() -> Site {
    let site = Site::new();
    site.publish(
        1,
        &[
            ("web", "a", "a.conf", "one"),
            ("web", "b", "b.conf", "one"),
            ("web", "c", "c.conf", "one"),
            ("in", "d", "d/env", "one"),
        ],
    );
    assert_eq!(site.ask(1).result(), "done", "{}", site.read("log"));
    fs::write(site.path("etc/conf.d/b.conf"), "by hand").unwrap();
    site.publish(2, &[("web", "a", "a.conf", "two"), ("web", "b", "b.conf", "two"), ("in", "e", "e/env", "two")]);
    site
}

fn wanted() -> Tree {
    let site = at_the_old();
    assert_eq!(site.ask(2).result(), "done");
    site.tree("etc")
}

/// Without what is still to be cleared up: temporary names, the copy that gets its name then, empty folders.
fn files(tree: &Tree) -> Tree {
    let beside = |path: &Path| is_temporary(path) || path.to_string_lossy().ends_with(".runtime-agent-backup");
    let is_file = |mode: u32| mode & 0o170_000 == 0o100_000;
    let kept = tree.iter().filter(|(path, (_, mode, _))| !beside(path) && is_file(*mode));
    kept.map(|(path, seen)| (path.clone(), seen.clone())).collect()
}
