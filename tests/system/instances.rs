//! Several runtimes on one host: instances of the units beside the plain ones, which have nothing in common with them.

use plane::{Generate, TokenForm};

use crate::host::Host;
use crate::life::{PATIENCE, World};
use crate::packages::{Format, installed};
use crate::promises::{assert_healthy, assert_nothing_runs};

const UNITS: [&str; 2] = ["runtime-agent-apply@blue.socket", "runtime-agent@blue.service"];

/// Adds the instance as the manual has it.
fn add(host: &Host, world: &World) {
    host.sh("mkdir -p /etc/runtime-agent@blue/hooks.d").ok();
    host.write_file("/etc/plane-ca.pem", world.plane.server_ca_pem(), 0o644);
    let settings = "[plane]\nca_bundle = \"/etc/plane-ca.pem\"\n";
    host.write_file("/etc/runtime-agent@blue/agent.toml", settings, 0o644);
    let hook = "#!/bin/sh\ncat >/dev/null\necho \"$1 $RUNTIME_AGENT_CONFIG\" >>/var/log/blue\n";
    host.write_file("/etc/runtime-agent@blue/hooks.d/50-record", hook, 0o755);
    host.run(&["systemctl", "enable", "--now", UNITS[0], UNITS[1]]).ok();
}

fn assert_runs(host: &Host) {
    for unit in UNITS {
        assert_eq!(host.run(&["systemctl", "is-active", unit]).ok(), "active", "{unit}");
    }
    for (path, expected) in [
        ("/etc/runtime-agent@blue", "755 root:root"),
        ("/etc/runtime-agent@blue/pairing", "2770 root:runtime-agent"),
        ("/var/lib/runtime-agent@blue", "755 runtime-agent:runtime-agent"),
        ("/var/lib/runtime-agent@blue/config", "2755 runtime-agent:runtime-agent-credentials"),
        ("/var/lib/runtime-agent@blue/identity", "2750 runtime-agent:runtime-agent-identity"),
        ("/run/runtime-agent@blue/control.sock", "666 runtime-agent:runtime-agent"),
        ("/run/runtime-agent-apply@blue.sock", "660 root:runtime-agent"),
    ] {
        assert_eq!(host.run(&["stat", "--format=%a %U:%G", path]).ok(), expected, "{path}");
    }
}

#[test]
fn an_instance_is_paired_and_applies_for_itself_and_the_plain_agent_waits_on() {
    let world = World::new();
    let host = installed(Format::Deb);
    for unit in ["runtime-agent@.service", "runtime-agent-apply@.socket"] {
        assert_eq!(host.sh(&format!("systemctl is-enabled {unit} || true")).ok(), "disabled", "{unit}");
    }
    add(&host, &world);
    assert_runs(&host);
    host.run(&["runtime-agent", "--instance", "blue", "status"]).fails_with(3);

    let verdict = host.run(&["systemd-analyze", "verify", "--man=no", UNITS[0], UNITS[1]]);
    assert_eq!((verdict.code, verdict.stderr.as_str()), (Some(0), ""));

    world.plane.generate(Generate::default());
    let token = world.plane.mint_token(&world.runtime, TokenForm::Json);
    let journal = host.journal();
    let paired = host.run_with_input(&["runtime-agent", "--instance", "blue", "pair"], &token).ok();
    assert!(paired.contains("paired with 127.0.0.1:"), "{paired}");
    journal.until("the hook", PATIENCE, |entry| entry.message().contains("hook 50-record ran for config-changed"));
    let told = host.read_file("/var/log/blue");
    assert!(told.contains("config-changed /var/lib/runtime-agent@blue/config/current"), "{told}");
    host.run(&["runtime-agent", "--instance", "blue", "status"]).ok();

    host.run(&["runtime-agent", "status"]).fails_with(3);
    assert_healthy(&host);
    assert_eq!(
        host.sh("ls /var/lib/runtime-agent/identity /var/lib/runtime-agent/config").ok().matches("0001").count(),
        0
    );
}

#[test]
fn an_instance_sees_nothing_of_what_others_keep() {
    let world = World::new();
    let host = installed(Format::Deb);
    add(&host, &world);
    let within = |script: &str| {
        let pid = host.property(UNITS[1], "MainPID");
        host.run(&["nsenter", "--mount", "--target", &pid, "sh", "-euc", script])
    };
    assert_eq!(within("cd /var/lib; echo runtime-agent*").ok(), "runtime-agent@blue");
    within("! test -e /run/runtime-agent/control.sock; ! test -w /var/lib").ok();
    within("test -w /var/lib/runtime-agent@blue/identity").ok();
}

#[test]
fn an_upgrade_restarts_instances_a_removal_stops_them_and_an_installation_starts_those_that_are_enabled() {
    for format in [Format::Deb, Format::Rpm] {
        let world = World::new();
        let host = installed(format);
        add(&host, &world);
        let before = host.property(UNITS[1], "MainPID");

        format.install(&host, &format.upgrade());

        assert_ne!(host.property(UNITS[1], "MainPID"), before);
        assert_runs(&host);
        format.remove(&host);
        host.sh("! test -e /run/runtime-agent-apply@blue.sock; ! test -e /run/runtime-agent@blue").ok();
        assert_nothing_runs(&host);
        assert!(host.read_file("/etc/runtime-agent@blue/agent.toml").contains("plane-ca.pem"));

        host.sh("mkdir -p /etc/runtime-agent@green").ok();
        format.install(&host, &format.upgrade());
        assert_runs(&host);
        assert_eq!(host.property("runtime-agent@green.service", "ActiveState"), "inactive");

        host.run(&["systemctl", "disable", UNITS[0], UNITS[1]]).ok();
        format.remove(&host);
        format.install(&host, &format.upgrade());
        for unit in UNITS {
            assert_eq!(host.property(unit, "ActiveState"), "inactive", "{unit}");
        }
    }
}

#[test]
fn an_instance_starts_where_etc_is_read_only_and_says_what_is_missing() {
    let host = installed(Format::Deb);
    host.run(&["systemctl", "enable", UNITS[0], UNITS[1]]).ok();
    host.sh("mount --bind /etc /etc && mount -o remount,bind,ro /etc").ok();

    host.run(&["systemctl", "start", UNITS[0], UNITS[1]]).ok();

    for unit in UNITS {
        assert_eq!(host.run(&["systemctl", "is-active", unit]).ok(), "active", "{unit}");
    }
    host.sh("! test -e /etc/runtime-agent@blue").ok();
    host.run(&["runtime-agent", "--instance", "blue", "status"]).fails_with(3);
    host.run(&["journalctl", "--sync"]).ok();
    let journal = host.run(&["journalctl", "--no-pager", "--priority=warning", "--unit", UNITS[1]]).ok();
    assert!(journal.contains("/etc/runtime-agent@blue/pairing has to come with the image"), "{journal}");
}
