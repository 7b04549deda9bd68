//! What holds for both packages alike.

use std::time::Duration;

use crate::host::{Host, Options};
use crate::packages::{Format, installed};

pub(crate) const SERVICE: &str = "runtime-agent.service";
pub(crate) const SOCKET: &str = "runtime-agent-apply.socket";
pub(crate) const APPLIER: &str = "runtime-agent-apply.service";

/// What every fresh installation has to look like, whichever package it came from.
#[track_caller]
pub(crate) fn assert_healthy(host: &Host) {
    for unit in [SERVICE, SOCKET] {
        assert_eq!(host.run(&["systemctl", "is-enabled", unit]).ok(), "enabled", "{unit}");
        assert_eq!(host.run(&["systemctl", "is-active", unit]).ok(), "active", "{unit}");
    }
    // Waiting for a token is not a fault: nothing is degraded by an installation.
    assert_eq!(host.run(&["systemctl", "is-system-running", "--wait"]).ok(), "running");
    assert_eq!(host.property(SERVICE, "NRestarts"), "0");

    let user = host.run(&["id", "--name", "--groups", "runtime-agent"]).ok();
    assert_eq!(user, "runtime-agent", "The daemon needs no other group.");
    for group in ["credentials", "identity", "admin", "view"] {
        host.run(&["getent", "group", &format!("runtime-agent-{group}")]).ok();
    }

    for (path, expected) in [
        ("/etc/runtime-agent", "755 root:root"),
        ("/etc/runtime-agent/agent.toml", "644 root:root"),
        ("/etc/runtime-agent/agent.d", "755 root:root"),
        ("/etc/runtime-agent/hooks.d", "755 root:root"),
        ("/etc/runtime-agent/templates", "755 root:root"),
        ("/etc/runtime-agent/pairing", "2770 root:runtime-agent"),
        ("/var/lib/runtime-agent", "755 runtime-agent:runtime-agent"),
        ("/var/lib/runtime-agent/config", "2755 runtime-agent:runtime-agent-credentials"),
        ("/var/lib/runtime-agent/identity", "2750 runtime-agent:runtime-agent-identity"),
        ("/run/runtime-agent", "755 runtime-agent:runtime-agent"),
        ("/run/runtime-agent/control.sock", "666 runtime-agent:runtime-agent"),
        ("/run/runtime-agent-apply.sock", "660 root:runtime-agent"),
    ] {
        assert_eq!(host.run(&["stat", "--format=%a %U:%G", path]).ok(), expected, "{path}");
    }
}

/// What the journal says is explained, because the catalog came with the package.
#[track_caller]
pub(crate) fn assert_explained(host: &Host) {
    host.run(&["journalctl", "--sync"]).ok();
    let journal = host.run(&["journalctl", "--no-pager", "--catalog", "--unit", SERVICE]).ok();
    assert!(journal.contains("Have a one-time token made for this runtime at the management plane"), "{journal}");
}

/// An upgrade exchanges the program under a running daemon; the pairing, the state and the administrator's changes
/// stay.
#[track_caller]
pub(crate) fn assert_upgrade_keeps_state_and_restarts(format: Format) {
    let host = installed(format);
    let before = (format.version(&host), host.property(SERVICE, "MainPID"));
    host.sh("mkdir /var/lib/runtime-agent/kept
             echo kept >/var/lib/runtime-agent/kept/file
             echo '# mine' >>/etc/runtime-agent/agent.toml")
        .ok();

    format.install(&host, &format.upgrade());

    let after = (format.version(&host), host.property(SERVICE, "MainPID"));
    assert_eq!(after.0, format!("{}+next", before.0));
    assert!(after.1 != before.1 && after.1 != "0", "The daemon was {} before and is {} now.", before.1, after.1);
    assert_healthy(&host);
    assert_eq!(host.read_file("/var/lib/runtime-agent/kept/file"), "kept\n");
    assert!(host.read_file("/etc/runtime-agent/agent.toml").ends_with("# mine\n"));
    assert!(host.read_file(&format.new_configuration()).ends_with(NEWS));

    // And back again, to what the host had before.
    format.install(&host, &format.current());

    assert_eq!(format.version(&host), before.0);
    assert_healthy(&host);
    assert_eq!(host.read_file("/var/lib/runtime-agent/kept/file"), "kept\n");
    assert!(host.read_file("/etc/runtime-agent/agent.toml").ends_with("# mine\n"));
}

/// The last line of the later version's configuration.
const NEWS: &str = "# A later version says this.\n";

/// Where nobody has edited the configuration, a new version brings its own.
#[track_caller]
pub(crate) fn assert_upgrade_brings_its_configuration(format: Format) {
    let host = installed(format);

    format.install(&host, &format.upgrade());

    assert!(host.read_file("/etc/runtime-agent/agent.toml").ends_with(NEWS));
    host.sh(&format!("! test -e {}", format.new_configuration())).ok();
    assert_healthy(&host);
}

/// What an administrator has masked or disabled, no package starts or enables.
#[track_caller]
pub(crate) fn assert_the_administrator_decides_what_runs(format: Format) {
    let masked = Host::boot(Options::default());
    masked.run(&["systemctl", "mask", SERVICE]).ok();
    format.install(&masked, &format.current());
    format.install(&masked, &format.upgrade());
    assert_eq!(masked.run(&["systemctl", "is-enabled", SERVICE]).fails_with(1).stdout, "masked\n");
    assert_eq!(masked.property(SERVICE, "ActiveState"), "inactive");
    format.remove(&masked);
    assert_eq!(masked.run(&["systemctl", "is-system-running"]).ok(), "running");

    let disabled = installed(format);
    disabled.run(&["systemctl", "disable", "--now", SERVICE]).ok();
    format.install(&disabled, &format.upgrade());
    assert_eq!(disabled.run(&["systemctl", "is-enabled", SERVICE]).fails_with(1).stdout, "disabled\n");
    assert_eq!(disabled.property(SERVICE, "ActiveState"), "inactive");
}

/// An image in which no systemd runs: what is installed, upgraded and removed there needs none.
#[track_caller]
pub(crate) fn assert_an_image_needs_no_running_systemd(format: Format) {
    let mut host = Host::prepare(Options::default());
    format.install(&host, &format.current());
    format.install(&host, &format.upgrade());
    format.remove(&host);
    format.install(&host, &format.upgrade());

    host.start();

    host.wait_for_journal("the daemon's start", Duration::from_secs(30), |entry| {
        entry.unit() == SERVICE && entry.message().starts_with("Started ")
    });
    assert_healthy(&host);
}

/// After a removal, nothing of the agent runs, listens or is to be started.
#[track_caller]
pub(crate) fn assert_nothing_runs(host: &Host) {
    host.run(&["pgrep", "--exact", "runtime-agent"]).fails_with(1);
    host.sh("! test -e /run/runtime-agent-apply.sock; ! test -e /run/runtime-agent").ok();
    let units = host.run(&["systemctl", "list-unit-files", "--no-legend", "runtime-agent*"]);
    assert_eq!(units.stdout, "");
    assert_eq!(host.run(&["systemctl", "is-system-running"]).ok(), "running");
}
