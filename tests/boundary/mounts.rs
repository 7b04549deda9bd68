//! File systems that are full, have no room for another name, or turn read-only, each in a mount namespace of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::site::{Answer, PROGRAM, Site, Tree, is_root, is_temporary, tree};

/// A shell in a mount namespace.
struct Namespace {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Namespace {
    /// Nothing where only root has one, or not even root has.
    fn new() -> Option<Self> {
        let shell = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-e"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut shell) = shell else {
            println!("there is no unshare(1) here: left out");
            return None;
        };
        let (input, output) = (shell.stdin.take().unwrap(), BufReader::new(shell.stdout.take().unwrap()));
        let mut namespace = Self { shell, input, output };
        if is_root() && namespace.runs("mount -t tmpfs tmpfs /mnt && umount /mnt") {
            return Some(namespace);
        }
        println!("file systems cannot be mounted here: left out");
        None
    }

    /// Runs a line of shell script; whether it succeeded.
    fn runs(&mut self, line: &str) -> bool {
        if writeln!(self.input, "if {line}; then echo yes; else echo no; fi").is_err() {
            return false;
        }
        let mut said = String::new();
        loop {
            said.clear();
            match self.output.read_line(&mut said) {
                Ok(1..) if said == "yes\n" => return true,
                Ok(1..) if said != "no\n" => {}
                _ => return false,
            }
        }
    }

    #[track_caller]
    fn run(&mut self, line: &str) {
        assert!(self.runs(line), "{line}");
    }

    /// A path as it is seen in there.
    fn path(&self, site: &Site, name: &str) -> PathBuf {
        let path = site.path(name);
        PathBuf::from(format!("/proc/{}/root", self.shell.id())).join(path.strip_prefix("/").unwrap())
    }

    fn tree(&self, site: &Site) -> Tree {
        tree(&self.path(site, "etc/conf.d")).into_iter().filter(|(path, _)| !path.starts_with("filler")).collect()
    }

    fn ask(&self, site: &Site, generation: u64) -> Answer {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.shell.id().to_string(), "-m", PROGRAM]);
        let line = format!("{{\"version\":1,\"event\":\"config-changed\",\"generation\":{generation}}}\n");
        site.request_by(command, line.as_bytes())
    }

    /// Asks in vain: everything stays, and the sentence says why, and where.
    #[track_caller]
    fn fails(&self, site: &Site, why: &str) {
        let before = self.tree(site);
        for _ in 0..2 {
            let answer = self.ask(site, 2);
            assert_eq!(answer.result(), "failed", "{answer:?}");
            let message = answer.message();
            assert!(message.contains(why) && message.contains(site.path("").to_str().unwrap()), "{message}");
            assert_eq!(self.tree(site), before, "{message}");
        }
        assert!(!before.keys().any(|path| is_temporary(path)), "{before:?}");
    }

    /// Asks again, once it is mended.
    #[track_caller]
    fn completes(&self, site: &Site) {
        let answer = self.ask(site, 2);
        assert_eq!(answer.result(), "done", "{answer:?}");
        let names: Vec<_> = self.tree(site).into_keys().collect();
        assert_eq!(names, ["a.conf", "b.conf", "e", "e/env"].map(PathBuf::from));
        let read = |name| fs::read_to_string(self.path(site, name)).unwrap();
        assert!(read("etc/conf.d/a.conf") == large() && read("etc/conf.d/e/env") == "two");
        assert!(!self.path(site, "apply/transaction.json").exists());
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What is mounted there goes with it.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// More than one page, for a file system in memory counts in them.
fn large() -> String {
    "two\n".repeat(4096)
}

/// A host with a file system of its own below `folder`, where generation 1 is installed, and 2 is published.
fn about_to_change(folder: &str, options: &str) -> Option<(Namespace, Site)> {
    let mut namespace = Namespace::new()?;
    let site = Site::new();
    let path = site.path(folder);
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    namespace.run(&format!("mount -t tmpfs -o mode=0755,{options} tmpfs '{}'", path.display()));
    site.publish(1, &[("web", "a", "a.conf", "one"), ("web", "c", "c.conf", "one"), ("in", "d", "d/env", "one")]);
    let answer = namespace.ask(&site, 1);
    assert_eq!(answer.result(), "done", "{answer:?} {}", site.read("log"));
    site.publish(2, &[("web", "a", "a.conf", &large()), ("web", "b", "b.conf", "two"), ("in", "e", "e/env", "two")]);
    Some((namespace, site))
}

#[test]
fn a_full_disk_below_the_destinations_changes_nothing_until_there_is_room() {
    let Some((mut namespace, site)) = about_to_change("etc/conf.d", "size=64k") else { return };
    let filler = site.path("etc/conf.d/filler");
    namespace.run(&format!("! head -c 1000000 /dev/zero >'{}'", filler.display()));
    namespace.fails(&site, "No space left on device");
    namespace.run(&format!("rm '{}'", filler.display()));
    namespace.completes(&site);
}

#[test]
fn a_disk_that_fills_up_in_the_middle_of_a_file_changes_nothing_until_there_is_room() {
    let Some((mut namespace, site)) = about_to_change("etc/conf.d", "size=64k") else { return };
    let filler = site.path("etc/conf.d/filler");
    // Three pages are taken; of those that the first file needs, there are two.
    namespace.run(&format!("head -c $((11 * 4096)) /dev/zero >'{}'", filler.display()));
    namespace.fails(&site, "No space left on device");
    namespace.run(&format!("rm '{}'", filler.display()));
    namespace.completes(&site);
}

#[test]
fn a_disk_with_no_room_for_another_name_changes_nothing_until_there_is() {
    // The root, three files, a folder; and two more: for the new ones of the first two files.
    for free in 0..5 {
        let Some((mut namespace, site)) = about_to_change("etc/conf.d", &format!("nr_inodes={}", 5 + free)) else {
            return;
        };
        if free < 4 {
            namespace.fails(&site, "No space left on device");
            namespace.run(&format!("mount -o remount,nr_inodes=100 '{}'", site.path("etc/conf.d").display()));
        }
        // An old file has a second name meanwhile, which takes room as well.
        let _ = namespace.runs(&format!("mount -o remount,nr_inodes=100 '{}'", site.path("etc/conf.d").display()));
        namespace.completes(&site);
    }
}

#[test]
fn a_file_system_that_turned_read_only_changes_nothing_until_it_is_mended() {
    for folder in ["etc/conf.d", "apply"] {
        let Some((mut namespace, site)) = about_to_change(folder, "size=1m") else { return };
        let path = site.path(folder);
        namespace.run(&format!("mount -o remount,ro '{}'", path.display()));
        namespace.fails(&site, "Read-only file system");
        namespace.run(&format!("mount -o remount,rw '{}'", path.display()));
        namespace.completes(&site);
    }
}

#[test]
fn a_full_disk_below_the_applier_s_own_state_changes_nothing_until_there_is_room() {
    let Some((mut namespace, site)) = about_to_change("apply", "size=64k") else { return };
    let filler = site.path("apply/filler");
    // With each page less, the disk is full at another file of the applier's.
    namespace.run(&format!("! head -c 1000000 /dev/zero >'{}'", filler.display()));
    namespace.fails(&site, "No space left on device");
    for pages in 1..5 {
        namespace.run(&format!("truncate -s -4096 '{}'", filler.display()));
        let before = namespace.tree(&site);
        let answer = namespace.ask(&site, 2);
        if answer.result() == "done" {
            break;
        }
        assert!(answer.message().contains("No space left on device"), "{pages}: {answer:?}");
        assert_eq!(namespace.tree(&site), before, "{pages}: {answer:?}");
    }
    namespace.run(&format!("rm '{}'", filler.display()));
    namespace.completes(&site);
}

#[test]
fn a_directory_that_cannot_be_written_changes_nothing_until_it_can() {
    let site = Site::new();
    let folder = site.path("etc/conf.d");
    site.publish(1, &[("web", "a", "a.conf", "one")]);
    assert_eq!(site.ask(1).result(), "done");
    site.publish(2, &[("web", "a", "a.conf", "two"), ("in", "e", "e/env", "two")]);
    let lock = |on: bool| {
        if is_root() {
            // To root, no mode is in the way, and few file systems can make it so.
            let mut chattr = Command::new("chattr");
            chattr.arg(if on { "+i" } else { "-i" }).arg(&folder).stderr(Stdio::null());
            return chattr.status().is_ok_and(|status| status.success());
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(if on { 0o500 } else { 0o755 })).is_ok()
    };
    if !lock(true) {
        println!("this file system has no immutable directories: left out");
        return;
    }
    let before = site.tree("etc");
    let answer = site.ask(2);
    assert!(lock(false));
    assert_eq!(answer.result(), "failed", "{answer:?}");
    assert!(answer.message().contains(folder.to_str().unwrap()), "{answer:?}");
    let mode_apart = |tree: Tree| tree.into_iter().map(|(path, (content, ..))| (path, content)).collect::<Vec<_>>();
    assert_eq!(mode_apart(site.tree("etc")), mode_apart(before));
    assert_eq!(site.ask(2).result(), "done");
    assert_eq!(site.read("etc/conf.d/e/env"), "two");
}
