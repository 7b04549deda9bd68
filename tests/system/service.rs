//! The daemon as systemd runs it: its sandbox, its restarts, its directories.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::host::{Host, Options};
use crate::packages::{Format, installed};
use crate::promises::{APPLIER, SERVICE, SOCKET, assert_healthy};

#[test]
fn the_sandbox_of_the_daemon_is_tight() {
    let host = installed(Format::Deb);

    let report = host.run(&["systemd-analyze", "security", "--no-pager", SERVICE]).ok();
    let summary = report.lines().last().unwrap_or_default();
    // Past the harness, which shows what a test prints only where it fails.
    let _ = writeln!(std::io::stderr(), "{summary}");

    let score: f64 = summary
        .split_once(": ")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("systemd-analyze gives no score:\n{report}"));
    assert!(score <= 1.2, "The daemon's sandbox has become weaker:\n{report}");
}

#[test]
fn every_line_of_the_units_is_understood() {
    let host = installed(Format::Deb);

    // Version 252 ignores what it does not know, and says so; verify makes that visible.
    let verdict = host.run(&["systemd-analyze", "verify", "--man=no", SERVICE, SOCKET, APPLIER]);
    assert_eq!((verdict.code, verdict.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_killed_daemon_is_started_again() {
    let host = installed(Format::Deb);
    let first = host.property(SERVICE, "MainPID");

    let journal = host.journal();
    host.run(&["kill", "-KILL", &first]).ok();
    journal.until("the second start", Duration::from_secs(30), |entry| {
        entry.unit() == SERVICE && entry.message().starts_with("Started ")
    });

    let second = host.property(SERVICE, "MainPID");
    assert!(first != second && second != "0", "The daemon was {first} before and is {second} now.");
    assert_eq!(host.property(SERVICE, "NRestarts"), "1");
}

#[test]
fn a_daemon_that_hangs_is_noticed_and_started_again() {
    let host = installed(Format::Deb);
    host.sh("mkdir -p /run/systemd/system/runtime-agent.service.d
             printf '[Service]\\nWatchdogSec=2s\\n' >/run/systemd/system/runtime-agent.service.d/test.conf
             systemctl daemon-reload
             systemctl restart runtime-agent.service")
        .ok();
    let first = host.property(SERVICE, "MainPID");

    let journal = host.journal();
    host.run(&["kill", "-STOP", &first]).ok();
    journal.until("the watchdog", Duration::from_secs(30), |entry| {
        entry.unit() == SERVICE && entry.message().contains("Watchdog timeout")
    });
    journal.until("the second start", Duration::from_secs(30), |entry| {
        entry.unit() == SERVICE && entry.message().starts_with("Started ")
    });
    assert_eq!(host.sh("ls /var/lib/systemd/coredump 2>/dev/null || true").ok(), "", "A core dump holds secrets.");
}

#[test]
fn a_host_without_a_network_is_healthy_too() {
    let network = Network::new();
    let host = Host::boot(Options::default().network(&network.name));

    Format::Deb.install(&host, &Format::Deb.current());

    assert_eq!(host.sh("grep -c : /proc/net/dev").ok(), "1", "Only the loopback interface is there.");
    assert_healthy(&host);
}

#[test]
fn a_reload_reads_the_configuration_again_in_the_same_process() {
    let host = installed(Format::Deb);
    let first = host.property(SERVICE, "MainPID");

    // Type=notify-reload is newer than this systemd: it is by the daemon's own messages that the reload ends.
    host.run(&["systemctl", "reload", SERVICE]).ok();

    assert_eq!(host.property(SERVICE, "MainPID"), first);
    assert_healthy(&host);

    // Whoever asks for it sees that a wrong one is refused, and the daemon goes on.
    host.sh("echo '[sync]\nintervall = \"1m\"' >>/etc/runtime-agent/agent.toml").ok();
    host.run(&["systemctl", "reload", SERVICE]).fails_with(1);
    assert_eq!(host.property(SERVICE, "MainPID"), first);
    assert_eq!(host.property(SERVICE, "ActiveState"), "active");
}

#[test]
fn the_applier_is_there_when_asked_and_gone_when_idle() {
    let host = installed(Format::Deb);
    assert_eq!(host.property(APPLIER, "ActiveState"), "inactive");

    // A request that is none, for what counts is that it starts the applier and does no harm.
    let journal = host.journal();
    host.sh("curl --silent --max-time 20 --unix-socket /run/runtime-agent-apply.sock http://nonsense/ || true").ok();
    for stage in ["Started ", "runtime-agent-apply.service: Deactivated successfully"] {
        journal.until(stage, Duration::from_secs(60), |entry| {
            entry.unit() == APPLIER && entry.message().starts_with(stage)
        });
    }

    assert_eq!(host.property(APPLIER, "Result"), "success");
    assert_healthy(&host);
}

#[test]
fn an_applier_that_keeps_failing_closes_nothing_and_recovers() {
    let host = installed(Format::Deb);
    // Far more failures than systemd's limit of starts allows, in a short time.
    host.sh("mkdir -p /run/systemd/system/runtime-agent-apply.service.d
             cat >/run/systemd/system/runtime-agent-apply.service.d/test.conf <<'END'
[Service]
ExecStart=
ExecStart=/bin/sh -c 'test -e /run/recovered && exec /usr/bin/runtime-agent apply; exit 1'
RestartSec=100ms
END
             systemctl daemon-reload")
        .ok();
    let journal = host.journal();
    let mut waiting = host
        .observer(&["curl", "--silent", "--unix-socket", "/run/runtime-agent-apply.sock", "http://nonsense/"])
        .stdout(Stdio::null())
        .spawn()
        .expect("setpriv and nsenter (util-linux) are installed");

    for _ in 0..8 {
        journal.until("a failure", Duration::from_secs(30), |entry| {
            entry.unit() == APPLIER && entry.message().contains("Failed with result")
        });
    }
    host.write_file("/run/recovered", "", 0o644);

    // The request that waited all the time is answered now.
    drop(waiting.wait());
    assert_eq!(host.property(SOCKET, "ActiveState"), "active");
    assert_eq!(host.property(APPLIER, "ActiveState"), "active");
}

#[test]
fn a_wrong_configuration_stops_the_daemon_until_it_is_mended() {
    let host = installed(Format::Deb);
    let good = host.read_file("/etc/runtime-agent/agent.toml");

    host.write_file("/etc/runtime-agent/agent.toml", "this is not a configuration\n", 0o644);
    host.run(&["systemctl", "restart", SERVICE]).fails_with(1);
    assert_eq!(host.property(SERVICE, "ActiveState"), "failed", "It must not be started again and again.");
    assert_eq!(host.property(SERVICE, "ExecMainStatus"), "78");

    host.write_file("/etc/runtime-agent/agent.toml", good, 0o644);
    host.run(&["systemctl", "start", SERVICE]).ok();
}

#[test]
fn stopping_takes_less_than_a_second() {
    let host = installed(Format::Deb);

    let journal = host.journal();
    host.run(&["systemctl", "stop", SERVICE]).ok();
    let microseconds = |entry: crate::journal::Entry| -> u64 {
        entry.field("__MONOTONIC_TIMESTAMP").parse().expect("journald numbers the microseconds")
    };
    let of_service = |start: &'static str| {
        move |entry: &crate::journal::Entry| entry.unit() == SERVICE && entry.message().starts_with(start)
    };
    let asked = microseconds(journal.until("the stop's begin", Duration::from_secs(10), of_service("Stopping ")));
    let ended = microseconds(journal.until("the stop's end", Duration::from_secs(10), of_service("Stopped ")));
    assert!(ended - asked < 1_000_000, "It took {} ms.", (ended - asked) / 1000);
    assert_eq!(host.property(SERVICE, "Result"), "success");
}

#[test]
fn the_daemon_is_back_after_a_reboot_and_after_a_power_cut() {
    let mut host = installed(Format::Deb);
    host.run(&["sync"]).ok();

    host.poweroff();
    host.start();
    assert_healthy(&host);

    host.power_cut();
    host.start();
    assert_healthy(&host);
}

#[test]
fn files_made_by_the_daemon_belong_to_the_group_of_their_readers() {
    let host = installed(Format::Deb);

    // As the daemon, under its sandbox: the same unit's settings, another program.
    host.sh("systemctl stop runtime-agent.service
             mkdir -p /run/systemd/system/runtime-agent.service.d
             cat >/run/systemd/system/runtime-agent.service.d/test.conf <<'END'
[Service]
Type=oneshot
ExecStart=
ExecStart=/bin/sh -euc 'mkdir -m 0750 /var/lib/runtime-agent/config/probe; umask 0137; echo x >/var/lib/runtime-agent/config/probe/password'
Restart=no
END
             systemctl daemon-reload
             systemctl start runtime-agent.service")
        .ok();

    let stat = |path| host.run(&["stat", "--format=%a %U:%G", path]).ok();
    assert_eq!(stat("/var/lib/runtime-agent/config/probe"), "2750 runtime-agent:runtime-agent-credentials");
    assert_eq!(stat("/var/lib/runtime-agent/config/probe/password"), "640 runtime-agent:runtime-agent-credentials");

    // Members read it, nobody else does, and the daemon's own group is no way in.
    let read = |group: &str| {
        host.run(&[
            "setpriv",
            "--reuid=nobody",
            "--clear-groups",
            "--regid",
            group,
            "cat",
            "/var/lib/runtime-agent/config/probe/password",
        ])
    };
    assert_eq!(read("runtime-agent-credentials").ok(), "x");
    read("nogroup").fails_with(1);
    read("runtime-agent").fails_with(1);
}

#[test]
fn a_token_in_the_system_credentials_reaches_the_daemon() {
    let host = Host::boot(Options::default().credential("runtime-agent.token", "handed-in"));
    Format::Deb.install(&host, &Format::Deb.current());

    let seen = host.read_file("/run/credentials/runtime-agent.service/runtime-agent.token");
    assert_eq!(seen, "handed-in");
}

#[test]
fn administrators_give_orders_readers_look_and_others_get_a_sentence() {
    let host = installed(Format::Deb);
    host.sh("useradd stranger
             useradd --groups runtime-agent-view watcher
             useradd --groups runtime-agent-admin chief
             useradd --groups runtime-agent former")
        .ok();
    let run = |user, command| host.run(&["runuser", "--user", user, "--", "runtime-agent", command]);

    // It is not paired, which is told with 3 to those who may look, and refused with 1 to those who give orders.
    for user in ["watcher", "chief", "root", "runtime-agent"] {
        run(user, "status").fails_with(3);
    }
    for user in ["chief", "root"] {
        let refused = run(user, "sync").fails_with(1);
        assert!(refused.stderr.contains("not paired"), "{user}: {}", refused.stderr);
    }
    for (user, command, group) in [
        ("watcher", "sync", "runtime-agent-admin"),
        ("watcher", "renew", "runtime-agent-admin"),
        ("watcher", "rollback", "runtime-agent-admin"),
        ("stranger", "renew", "runtime-agent-admin"),
        ("stranger", "status", "runtime-agent-view"),
        ("former", "status", "runtime-agent-view"),
    ] {
        let refused = run(user, command).fails_with(1);
        assert!(refused.stderr.contains("may ") && refused.stderr.contains(group), "{user}: {}", refused.stderr);
    }

    // Who joins a group is let in at once.
    host.run(&["usermod", "--append", "--groups", "runtime-agent-view", "stranger"]).ok();
    run("stranger", "status").fails_with(3);
}

/// A network of its own, with nothing in it.
#[derive(Debug)]
struct Network {
    name: String,
}

impl Network {
    fn new() -> Self {
        let name = format!("runtime-agent-{}", std::process::id());
        ip(&["netns", "add", &name]);
        Self { name }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().expect("ip (iproute2) is installed");
    assert!(status.success(), "`ip {}` failed: {status}", arguments.join(" "));
}
