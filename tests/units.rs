//! The units of one of several runtimes on a host, as `make install` makes them from the plain ones.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const UNITS: [&str; 4] = [
    "runtime-agent.service",
    "runtime-agent-apply.socket",
    "runtime-agent-apply.service",
    "runtime-agent-broker.socket",
];

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

/// The lines that mean something.
fn directives(text: &str) -> Vec<String> {
    let means = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(means).map(str::to_owned).collect()
}

fn plain(name: &str) -> Vec<String> {
    directives(&fs::read_to_string(source(name)).unwrap())
}

fn made(name: &str) -> Vec<String> {
    let output = Command::new("sed").arg("-f").arg(source("instance.sed")).arg(source(name)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directives(&String::from_utf8(output.stdout).unwrap())
}

/// What may be the same in all runtimes of a host.
fn is_shared(line: &str) -> bool {
    let keys = ["Documentation=", "User=", "Group=", "SocketGroup=", "ExecStartPre="];
    // Of the plain one, the ways to its sockets are closed.
    let closed = "InaccessiblePaths=-/run/runtime-agent -/run/runtime-agent-broker.sock";
    keys.iter().any(|key| line.starts_with(key)) || line == closed
}

#[test]
fn nothing_that_an_instance_has_is_the_plain_agents() {
    for name in UNITS {
        for line in made(name).iter().filter(|line| !is_shared(line)) {
            let rest = ["", "-apply", "-broker"]
                .iter()
                .fold(line.clone(), |rest, part| rest.replace(&format!("runtime-agent{part}@%i"), ""));
            let rest = rest.replace("/usr/bin/runtime-agent --instance %i ", "").replace("=runtime-agent.token:", "");
            let rest = rest.replace("=runtime-agent.broker:", "");
            assert!(!rest.contains("runtime-agent"), "{name}: {line}");
        }
    }
}

#[test]
fn an_instance_has_every_restriction_of_the_plain_agent() {
    for name in UNITS {
        let made = made(name);
        let own = |line: &String| line.contains("runtime-agent") || line.starts_with("Description=");
        for line in plain(name).iter().filter(|line| !own(line)) {
            assert!(made.contains(line), "{name} of an instance has lost {line}");
        }
        let names = plain(name).len() + if name == "runtime-agent.service" { 5 } else { 0 };
        assert_eq!(made.len(), names, "{name}: {made:#?}");
    }
}

/// What an instance runs before its start, as systemd fills it in.
fn before_the_start() -> String {
    let made = made("runtime-agent.service");
    let before = made.iter().find_map(|line| line.strip_prefix("ExecStartPre=+/bin/sh -c \"")).unwrap();
    let script = before.strip_suffix('"').unwrap().replace("%i", "blue");
    script.replace("/usr/lib/tmpfiles.d/runtime-agent.conf", source("runtime-agent.tmpfiles").to_str().unwrap())
}

#[test]
fn an_instance_starts_without_its_directories_and_says_what_to_do_about_them() {
    let folder = tempfile::tempdir().unwrap();
    let maker = folder.path().join("systemd-tmpfiles");
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    for (code, told) in [(0, ""), (73, "<4>not all directories of this runtime can be made")] {
        fs::write(&maker, format!("#!/bin/sh\ncat >/dev/null\nexit {code}\n")).unwrap();
        fs::set_permissions(&maker, fs::Permissions::from_mode(0o755)).unwrap();
        let output = Command::new("/bin/sh").args(["-c", &before_the_start()]).env("PATH", &path).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && said.starts_with(told) && said.is_empty() == told.is_empty(),
            "{code}: {said}"
        );
        assert!(code == 0 || said.contains("/etc/runtime-agent@blue/pairing"), "{said}");
    }
}

#[test]
fn the_directories_of_an_instance_are_those_of_the_plain_agent_under_its_name() {
    let script = before_the_start();
    let (script, _) = script.split_once(" | systemd-tmpfiles --create - || ").unwrap();
    let output = Command::new("/bin/sh").args(["-c", script]).output().unwrap();
    let made = directives(&String::from_utf8(output.stdout).unwrap());
    let wanted = plain("runtime-agent.tmpfiles");
    assert!(wanted.len() >= 4 && made.len() == wanted.len(), "{made:#?}");
    for (made, plain) in made.iter().zip(wanted) {
        assert_eq!(*made, plain.replacen("/runtime-agent", "/runtime-agent@blue", 1));
    }
}
