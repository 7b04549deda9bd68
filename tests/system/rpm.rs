//! The life of the RPM package, by its own conventions: erasing it keeps the state.

use crate::host::{Host, Options};
use crate::packages::{Format, installed};
use crate::promises::{
    assert_an_image_needs_no_running_systemd, assert_explained, assert_healthy, assert_nothing_runs,
    assert_the_administrator_decides_what_runs, assert_upgrade_brings_its_configuration,
    assert_upgrade_keeps_state_and_restarts,
};

#[test]
fn an_installation_runs_and_waits_for_a_token() {
    let host = installed(Format::Rpm);

    assert_healthy(&host);
    assert_explained(&host);
    // Dependencies are those of the package's home; only files are verified here.
    host.run(&["rpm", "--verify", "--nodeps", "runtime-agent"]).ok();
}

#[test]
fn an_upgrade_keeps_the_state_and_restarts_the_daemon() {
    assert_upgrade_keeps_state_and_restarts(Format::Rpm);
}

#[test]
fn an_erasure_stops_the_daemon_and_keeps_its_state() {
    let host = installed(Format::Rpm);
    host.sh("echo kept >/var/lib/runtime-agent/kept; echo '# mine' >>/etc/runtime-agent/agent.toml").ok();

    host.run(&["rpm", "--erase", "runtime-agent"]).ok();

    assert_nothing_runs(&host);
    assert_eq!(host.read_file("/var/lib/runtime-agent/kept"), "kept\n");
    assert!(host.read_file("/etc/runtime-agent/agent.toml.rpmsave").ends_with("# mine\n"));

    Format::Rpm.install(&host, &Format::Rpm.current());
    assert_healthy(&host);
    assert_eq!(host.read_file("/var/lib/runtime-agent/kept"), "kept\n");
}

#[test]
fn what_is_installed_in_an_image_starts_with_its_first_boot() {
    assert_an_image_needs_no_running_systemd(Format::Rpm);
}

#[test]
fn an_upgrade_brings_its_configuration_where_nobody_has_edited_the_old_one() {
    assert_upgrade_brings_its_configuration(Format::Rpm);
}

#[test]
fn what_the_administrator_masked_or_disabled_stays_so() {
    assert_the_administrator_decides_what_runs(Format::Rpm);
}

#[test]
fn a_preset_of_the_administrator_decides_whether_it_starts() {
    let host = Host::boot(Options::default());
    host.sh("mkdir -p /etc/systemd/system-preset
             echo 'disable runtime-agent*' >/etc/systemd/system-preset/00-mine.preset")
        .ok();

    Format::Rpm.install(&host, &Format::Rpm.current());

    assert_eq!(host.property("runtime-agent.service", "ActiveState"), "inactive");
    host.run(&["systemctl", "is-enabled", "runtime-agent.service"]).fails_with(1);
}
