//! The life of the Debian package: installed, upgraded, removed, purged.

use crate::host::{Host, Options};
use crate::packages::{Format, installed};
use crate::promises::{
    assert_an_image_needs_no_running_systemd, assert_explained, assert_healthy, assert_nothing_runs,
    assert_the_administrator_decides_what_runs, assert_upgrade_brings_its_configuration,
    assert_upgrade_keeps_state_and_restarts,
};

#[test]
fn an_installation_runs_and_waits_for_a_token() {
    let host = installed(Format::Deb);

    assert_healthy(&host);
    assert_explained(&host);
    let status = host.run(&["systemctl", "status", "--no-pager", "runtime-agent.service"]).ok();
    assert!(status.contains("active (running)"), "{status}");
    host.sh("dpkg --verify runtime-agent").ok();
}

#[test]
fn the_same_package_again_changes_nothing() {
    let host = installed(Format::Deb);
    host.sh("echo kept >/var/lib/runtime-agent/kept").ok();

    Format::Deb.install(&host, &Format::Deb.current());

    assert_healthy(&host);
    assert_eq!(host.read_file("/var/lib/runtime-agent/kept"), "kept\n");
}

#[test]
fn an_upgrade_keeps_the_state_and_restarts_the_daemon() {
    assert_upgrade_keeps_state_and_restarts(Format::Deb);
}

#[test]
fn a_removal_stops_the_daemon_and_keeps_its_state() {
    let host = installed(Format::Deb);
    host.sh("echo kept >/var/lib/runtime-agent/kept; echo '# mine' >>/etc/runtime-agent/agent.toml").ok();

    host.run(&["dpkg", "--remove", "runtime-agent"]).ok();

    assert_nothing_runs(&host);
    assert_eq!(host.read_file("/var/lib/runtime-agent/kept"), "kept\n");
    assert!(host.read_file("/etc/runtime-agent/agent.toml").ends_with("# mine\n"));

    // Installed once more, it goes on with what it had.
    Format::Deb.install(&host, &Format::Deb.current());
    assert_healthy(&host);
    assert_eq!(host.read_file("/var/lib/runtime-agent/kept"), "kept\n");
}

#[test]
fn a_purge_leaves_nothing_but_the_user() {
    let host = installed(Format::Deb);
    // What an administrator and the applier add in the course of time.
    host.sh("echo secret >/etc/runtime-agent/pairing/token
             touch /etc/runtime-agent/hooks.d/mine /etc/runtime-agent/agent.toml.bak
             mkdir -p /var/lib/runtime-agent-apply/1 /var/lib/runtime-agent/identity/0001")
        .ok();

    host.run(&["dpkg", "--purge", "runtime-agent"]).ok();

    assert_nothing_runs(&host);
    let left = host.sh("find / -xdev -path /proc -prune -o -path /sys -prune -o -name '*runtime-agent*' -print
                        find /etc /var /run -name '*runtime-agent*'");
    // Its log is the host's, not the package's; a container's name is no file of it either.
    let left: Vec<_> = left.stdout.lines().filter(|path| !path.starts_with("/packages")).collect();
    assert_eq!(left, [""; 0]);
    host.run(&["id", "runtime-agent"]).ok();
}

#[test]
fn what_is_installed_in_an_image_starts_with_its_first_boot() {
    assert_an_image_needs_no_running_systemd(Format::Deb);
}

#[test]
fn an_upgrade_brings_its_configuration_where_nobody_has_edited_the_old_one() {
    assert_upgrade_brings_its_configuration(Format::Deb);
}

#[test]
fn what_the_administrator_masked_or_disabled_stays_so() {
    assert_the_administrator_decides_what_runs(Format::Deb);
}

#[test]
fn a_package_can_be_purged_from_an_image() {
    let host = Host::prepare(Options::default());
    Format::Deb.install(&host, &Format::Deb.current());

    host.run(&["dpkg", "--purge", "runtime-agent"]).ok();

    host.sh("! test -e /etc/runtime-agent; ! test -e /var/lib/runtime-agent").ok();
}
