//! Directories of somebody else, in which that one can do to those who install there what it likes: nothing outside of them
//! is written or read for that.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::site::{CANARY, DAEMON, RULES, Site, end, is_root, is_temporary, own_site};

/// Rules that anybody can go on with who owns the directory: nothing is checked by a command.
fn without_commands() -> String {
    RULES
        .lines()
        .filter(|line| !line.contains("validate") && !line.contains("on_change"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Turns a directory of its own inside out, while files are installed there. It does something only where the test below
/// starts it.
#[test]
#[ignore = "is the child process of another test"]
fn turner() {
    let Some(root) = own_site() else { return };
    let folder = root.join("etc/conf.d");
    let (secret, elsewhere) = (root.join("precious"), root.join("elsewhere"));
    println!("ready");
    std::io::stdout().flush().unwrap();
    for turn in 0_usize.. {
        let name = |entry: std::io::Result<fs::DirEntry>| entry.map(|entry| entry.path()).ok();
        let names: Vec<PathBuf> = fs::read_dir(&folder).into_iter().flatten().filter_map(name).collect();
        for path in names {
            let aside = folder.join(format!(".aside-{turn}"));
            let _ = fs::rename(&path, &aside);
            match turn % 6 {
                0 => drop(symlink(&secret, &path)),
                1 => drop(symlink(&elsewhere, &path)),
                2 => drop(fs::hard_link(&secret, &path)),
                3 => drop(mkfifo(&path, Mode::S_IRUSR)),
                4 => drop(fs::write(&path, "planted")),
                _ => {}
            }
            std::thread::yield_now();
            let _ = fs::remove_file(&path);
            let _ = fs::remove_dir_all(&aside);
            let _ = fs::remove_file(&aside);
        }
        // And the directory itself.
        if turn % 3 == 0 {
            let _ = fs::create_dir(folder.join("e"));
            let _ = fs::rename(folder.join("e"), folder.join(".e"));
            let _ = symlink(&elsewhere, folder.join("e"));
            std::thread::yield_now();
            let _ = fs::remove_file(folder.join("e"));
            let _ = fs::remove_dir_all(folder.join(".e"));
        }
    }
}

#[test]
fn in_a_directory_of_somebody_else_nothing_is_written_or_read_outside_of_it() {
    let site = Site::with(&without_commands());
    if is_root() {
        chown(site.path("etc/conf.d"), Some(DAEMON), Some(DAEMON)).unwrap();
    }
    let turning = site.as_daemon("owned::turner");
    let mut ended = std::collections::BTreeMap::<String, u32>::new();
    for turn in 0..120 {
        let text = format!("content {turn}");
        let files = [("web", "a", "a.conf", &*text), ("in", "e", "e/env", &*text), ("web", "f", "f.conf", "same")];
        site.publish(turn + 1, &files[..2 + usize::try_from(turn).unwrap() % 2]);
        let answer = site.ask_again(turn + 1);
        assert!(["done", "failed", "refused"].contains(&answer.result()), "{answer:?}");
        *ended.entry(answer.result().to_owned()).or_default() += 1;
        assert!(site.tree("elsewhere").is_empty(), "{:?}", site.tree("elsewhere"));
        let metadata = fs::metadata(site.path("precious")).unwrap();
        assert_eq!((site.read("precious").as_str(), metadata.permissions().mode() & 0o7777), (CANARY, 0o600));
    }
    end(turning);
    println!("{ended:?}");
    // Its owner leaves it in peace.
    fs::remove_dir_all(site.path("etc/conf.d")).unwrap();
    fs::create_dir(site.path("etc/conf.d")).unwrap();
    site.publish(1000, &[("web", "a", "a.conf", "peace"), ("in", "e", "e/env", "peace")]);
    let answer = site.ask_again(1000);
    assert_eq!(answer.result(), "done", "{answer:?}");
    assert_eq!((site.read("etc/conf.d/a.conf"), site.read("etc/conf.d/e/env")), ("peace".into(), "peace".into()));
    site.keeps_its_secret();
}

/// Puts links to a secret in the place of files that are about to be checked. It does something only where the test below
/// starts it.
#[test]
#[ignore = "is the child process of another test"]
fn baiter() {
    let Some(root) = own_site() else { return };
    let folder = root.join("etc/conf.d");
    println!("ready");
    std::io::stdout().flush().unwrap();
    loop {
        for entry in fs::read_dir(&folder).unwrap().flatten().filter(|entry| is_temporary(&entry.path())) {
            if fs::rename(entry.path(), folder.join(".aside")).is_ok() {
                let _ = symlink(root.join("precious"), entry.path());
            }
        }
    }
}

#[test]
fn a_check_of_a_file_in_a_directory_of_somebody_else_reads_that_file_and_no_other() {
    let rules = r#"
        [[template]]
        name = "web"
        content = ""
        for_each = "application"
        destination = "ROOT/etc/conf.d/{{ application.slug }}.conf"
        validate = ["sh", "-c", "for turn in $(seq 100); do :; done; cat $1; ls -n $1; exit 1", "sh", "{}"]
    "#;
    let site = Site::with(rules);
    if is_root() {
        chown(site.path("etc/conf.d"), Some(DAEMON), Some(DAEMON)).unwrap();
    } else {
        // One that everybody can write is the same to the applier.
        fs::set_permissions(site.path("etc/conf.d"), Permissions::from_mode(0o777)).unwrap();
    }
    let baiting = site.as_daemon("owned::baiter");
    for turn in 1..60 {
        site.publish(turn, &[("web", "a", "a.conf", &format!("content {turn}"))]);
        let answer = site.ask(turn);
        assert_ne!(answer.result(), "done", "{answer:?}");
        site.keeps_its_secret();
        let output = answer.lines.iter().find_map(|line| line["install"]["refused"]["output"].as_array());
        if let Some(output) = output {
            let whole = output[0].as_str().unwrap_or_default();
            assert!(whole.starts_with(&format!("content {turn}")), "{output:?}");
        }
    }
    end(baiting);
    assert!(!site.tree("apply").keys().any(|name| name.to_string_lossy().starts_with(".tmp-")), "no copy is left");
}

#[test]
fn the_access_list_of_a_planted_file_is_not_taken_along() {
    if !is_root() {
        println!("only root sees what another user's file does: left out");
        return;
    }
    let name = "system.posix_acl_access";
    // Version 2; the owner rw, a user r, the group r, the mask r, others nothing: as the mode 0640 shows.
    let entry =
        |tag: u16, rights: u16, id: u32| [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat();
    let none = u32::MAX;
    let list = [
        2_u32.to_le_bytes().to_vec(),
        entry(1, 6, none),
        entry(2, 4, DAEMON),
        entry(4, 4, none),
        entry(0x10, 4, none),
        entry(0x20, 0, none),
    ]
    .concat();
    for (owner, kept) in [(DAEMON, false), (0, true)] {
        let site = Site::with(&without_commands());
        chown(site.path("etc/conf.d"), Some(DAEMON), Some(DAEMON)).unwrap();
        let path = site.path("etc/conf.d/a.conf");
        fs::write(&path, "planted").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        chown(&path, Some(owner), Some(owner)).unwrap();
        if rustix::fs::setxattr(&path, name, &list, rustix::fs::XattrFlags::empty()).is_err() {
            println!("this file system has no access lists: left out");
            return;
        }
        site.publish(1, &[("web", "a", "a.conf", "a password")]);
        assert_eq!(site.ask(1).result(), "done");
        assert_eq!(site.read("etc/conf.d/a.conf"), "a password");
        let mut buffer = [0_u8; 256];
        let has = rustix::fs::getxattr(&path, name, &mut buffer[..]).is_ok();
        assert_eq!(has, kept, "of a file of the user {owner}");
    }
}
