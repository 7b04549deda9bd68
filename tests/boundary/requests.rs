//! Whatever is sent: a sentence for an answer, nothing done, and the applier serves the next one.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::{fs, thread};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::site::{PROGRAM, Site, is_root, own_site};

const GOOD: &[u8] = b"{\"version\":1,\"event\":\"config-changed\",\"generation\":1}\n";

/// Lines that are no request, and the word for each.
fn bad() -> Vec<(Vec<u8>, &'static str)> {
    let generation = |text: &str| format!("{{\"version\":1,\"event\":\"config-changed\",\"generation\":{text}}}\n");
    let mut all: Vec<(Vec<u8>, &str)> = [
        "-1",
        "0",
        "1.5",
        "1e300",
        "99999999999999999999999999",
        "\"1\"",
        "\"../../../etc\"",
        "null",
        "[1]",
        "{}",
        "true",
        "1,\"path\":\"/etc/cron.d/x\"",
        "1,\"generation\":2",
        "1,\"again\":\"yes\"",
        "NaN",
        "0x1",
    ]
    .map(|text| (generation(text).into_bytes(), "malformed"))
    .into();
    all.extend(
        ["9", "4294967295", "18446744073709551615"].map(|text| (generation(text).into_bytes(), "generation-missing")),
    );
    let lines: [(&[u8], &str); 17] = [
        (b"\n", "malformed"),
        (b"\0\n", "malformed"),
        (b"\xff\xfe\xfd\n", "malformed"),
        (b"{\"version\":1,\"event\":\"\xff\"}\n", "malformed"),
        (b"{\"version\":1,\"event\":\"config-changed\"", "malformed"),
        (b"", "malformed"),
        (b"null\n", "malformed"),
        (b"[]\n", "malformed"),
        (b"{}\n", "malformed"),
        (b"\"config-changed\"\n", "malformed"),
        (b"{\"version\":\"1\",\"event\":\"paired\"}\n", "malformed"),
        (b"{\"version\":1,\"event\":\"paired\",\"again\":true}\n", "malformed"),
        (b"{\"version\":1,\"event\":\"paired\",\"generation\":1}\n", "malformed"),
        (b"{\"version\":1,\"event\":[\"paired\"]}\n", "malformed"),
        (b"{\"version\":2,\"event\":\"paired\"}\n", "unknown-version"),
        (b"{\"version\":1,\"event\":\"PAIRED\"}\n", "unknown-event"),
        (b"{\"version\":1,\"event\":\"x\\u0000\\n\\u001b[2J<6>forged\\n\"}\n", "unknown-event"),
    ];
    all.extend(lines.map(|(line, reason)| (line.to_vec(), reason)));
    all.push(([&b"[".repeat(4000)[..], b"\n"].concat(), "malformed"));
    all.push((b"x".repeat(10_000_000), "too-long"));
    all.push(([&b"{\"version\":1,\"event\":\"paired\"".to_vec()[..], &b" ".repeat(5000), b"}\n"].concat(), "too-long"));
    all
}

fn site() -> Site {
    let site = Site::new();
    site.publish(1, &[("web", "a", "a.conf", "one")]);
    let hook = site.path("hooks.d/50-record");
    fs::write(&hook, format!("#!/bin/sh\necho \"$1\" >>{}\n", site.path("told").display())).unwrap();
    fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).unwrap();
    site
}

/// Sees that a line of an answer says why in words that are fit for a journal.
#[track_caller]
fn refused(lines: &[Value], reason: &str, line: &[u8]) {
    let line = String::from_utf8_lossy(&line[..line.len().min(100)]);
    assert_eq!(lines.len(), 1, "{line}: {lines:?}");
    let outcome = &lines[0]["outcome"];
    assert_eq!((&outcome["result"], &outcome["reason"]), (&"refused".into(), &reason.into()), "{line}: {outcome}");
    let message = outcome["message"].as_str().unwrap();
    assert!(!message.is_empty() && message.len() < 1000 && !message.contains(char::is_control), "{line}: {message:?}");
}

#[test]
fn what_is_no_request_is_refused_in_a_sentence_and_runs_nothing() {
    let site = site();
    for (line, reason) in bad() {
        let answer = site.request(&line);
        assert!(answer.status.success(), "{answer:?}");
        refused(&answer.lines, reason, &line);
    }
    assert_eq!((site.read("told").as_str(), site.tree("etc").len()), ("", 1));
    assert!(!site.read("log").lines().any(|line| line.starts_with("<6>forged")), "{}", site.read("log"));
    assert_eq!(site.ask(1).result(), "done");
    assert_eq!((site.read("told").as_str(), site.read("etc/conf.d/a.conf").as_str()), ("config-changed\n", "one"));
}

#[test]
fn a_request_that_is_replayed_writes_nothing_and_runs_nothing() {
    let site = site();
    assert_eq!(site.ask(1).result(), "done");
    let file = || fs::metadata(site.path("etc/conf.d/a.conf")).map(|file| (file.ino(), file.ctime_nsec())).unwrap();
    let before = (file(), site.read("told"));
    for _ in 0..5 {
        assert_eq!(site.ask(1).result(), "done");
    }
    assert_eq!((file(), site.read("told")), before);
}

/// An applier on a socket, as systemd starts it; it is told to end when this is dropped.
struct Listening {
    child: Child,
}

impl Listening {
    fn start(site: &Site) -> Self {
        let listener = UnixListener::bind(site.path("apply.sock")).unwrap();
        fs::set_permissions(site.path("apply.sock"), fs::Permissions::from_mode(0o666)).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "exec 3<&0 </dev/null; exec \"$0\" apply --config \"$1\"", PROGRAM]);
        command.arg(site.path("agent.toml")).env_clear().env("PATH", "/usr/bin:/bin").env("LISTEN_FDS", "1");
        let child = command.stdin(OwnedFd::from(listener)).stdout(site.log()).stderr(site.log()).spawn().unwrap();
        Self { child }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn send(socket: &Path, bytes: &[u8]) -> Vec<Value> {
    let mut stream = UnixStream::connect(socket).unwrap();
    // Who refuses reads no further.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    read(stream)
}

/// The lines of an answer; what is unread on the other side may cut the connection after them.
fn read(stream: UnixStream) -> Vec<Value> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
}

#[test]
fn one_applier_survives_all_that_is_sent_to_its_socket() {
    let site = site();
    let applier = Listening::start(&site);
    let socket = site.path("apply.sock");
    for (line, reason) in bad() {
        let lines = send(&socket, &line);
        // Of a line that is far too long, the rest is not read; then the answer may be lost with the connection.
        if !(reason == "too-long" && lines.is_empty()) {
            refused(&lines, reason, &line);
        }
    }
    // Those who go before the answer, in the middle of the line, or without a word.
    for bytes in [GOOD, &GOOD[..20], b""] {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(bytes).unwrap();
    }
    assert_eq!(send(&socket, GOOD).last().unwrap()["outcome"]["result"], "done");
    assert_eq!((site.read("told").as_str(), site.read("etc/conf.d/a.conf").as_str()), ("config-changed\n", "one"));
    drop(applier);
}

#[test]
fn many_at_once_and_one_that_stays_silent_are_all_answered() {
    let site = site();
    let _applier = Listening::start(&site);
    let socket = site.path("apply.sock");
    let mut silent = UnixStream::connect(&socket).unwrap();
    silent.write_all(&GOOD[..20]).unwrap();
    let socket = &socket;
    thread::scope(|scope| {
        let ask = |number: usize| {
            move || match number % 3 {
                0 => send(socket, b"{\"version\":1,\"event\":\"renewed\"}\n"),
                1 => send(socket, GOOD),
                _ => send(socket, b"what\n"),
            }
        };
        let asking: Vec<_> = (0..60).map(|number| scope.spawn(ask(number))).collect();
        for (number, asked) in asking.into_iter().enumerate() {
            let result = if number % 3 == 2 { "refused" } else { "done" };
            assert_eq!(asked.join().unwrap().last().unwrap()["outcome"]["result"], result);
        }
    });
    refused(&read(silent), "too-slow", b"half a line");
    let told = site.read("told");
    assert_eq!(told.matches("renewed").count(), 20, "each is told: {told}");
    assert_eq!(told.matches("config-changed").count(), 1, "only the first had something to tell: {told}");
}

/// Asks as another user than the daemon's. It does something only where the test below starts it.
#[test]
#[ignore = "is the child process of another test"]
fn stranger() {
    let Some(site) = own_site() else { return };
    let lines = send(&site.join("apply.sock"), GOOD);
    println!("{}ready", serde_json::to_string(&lines).unwrap());
    std::io::stdout().flush().unwrap();
}

#[test]
fn only_the_daemon_and_root_may_ask() {
    if !is_root() {
        println!("only root can ask as somebody else: left out");
        return;
    }
    let site = site();
    let _applier = Listening::start(&site);
    let mut daemon = site.as_daemon("requests::stranger");
    daemon.wait().unwrap();
    assert_eq!(site.read("told"), "config-changed\n", "the daemon may");
    // Whoever the state directory does not belong to is not the daemon.
    fs::remove_file(site.path("told")).unwrap();
    std::os::unix::fs::chown(site.path("state"), Some(0), Some(0)).unwrap();
    site.publish(2, &[]);
    std::os::unix::fs::chown(site.path("state"), Some(0), Some(0)).unwrap();
    let mut stranger = site.as_daemon("requests::stranger");
    let mut said = String::new();
    stranger.stdout.take().map(|mut rest| rest.read_to_string(&mut said)).transpose().unwrap();
    stranger.wait().unwrap();
    assert!(site.read("log").contains("the user 54321 may not ask"), "{}", site.read("log"));
    assert_eq!(site.read("told"), "");
}
