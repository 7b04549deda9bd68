//! The service broker as an administrator turns it on, in the sandbox of the packages: who may use it, and what becomes
//! of bindings at a restart, an upgrade and with a socket of systemd's own.

use crate::host::{Host, Output};
use crate::life::{PATIENCE, World};
use crate::packages::{Format, installed};
use crate::promises::SERVICE;

const SOCKET: &str = "/run/runtime-agent/broker.sock";

/// A host that is paired, with the broker turned on by one line and a reload.
fn open(format: Format) -> (World, Host) {
    let world = World::new();
    let host = installed(format);
    world.prepare(&host);
    world.pair(&host);
    host.sh(&format!("! test -e {SOCKET}")).ok();
    let pid = host.property(SERVICE, "MainPID");
    host.write_file("/etc/runtime-agent/agent.d/broker.toml", "broker.enabled = true\n", 0o644);
    let journal = host.journal();
    host.run(&["systemctl", "reload", SERVICE]).ok();
    journal.until("the reload", PATIENCE, |entry| entry.message().contains("read again"));
    host.run(&["runtime-agent", "sync"]).ok();
    assert_eq!(host.property(SERVICE, "MainPID"), pid, "nothing was restarted");
    (world, host)
}

/// Asks the broker, and answers the status and the body.
fn ask(host: &Host, user: &str, socket: &str, arguments: &str) -> Output {
    let script = format!(
        "curl --silent --show-error --max-time 60 --unix-socket {socket} --header 'x-broker-api-version: 2.17' \\
             --write-out '\\n%{{http_code}}' {arguments}"
    );
    host.run(&["setpriv", "--reuid", user, "--regid", user, "--init-groups", "sh", "-euc", &script])
}

/// The service and the plan with credentials that are there at once.
fn offer(host: &Host) -> (String, String) {
    let plans = host.run(&["runtime-agent", "broker", "services"]).ok();
    let line = plans.lines().find(|line| line.contains("at-once")).unwrap_or_else(|| panic!("{plans}"));
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().expect("a service"), words.next().expect("a plan"))
}

#[test]
fn a_line_and_a_reload_turn_the_broker_on_for_root_and_one_group_and_bindings_outlive_restart_and_upgrade() {
    for format in [Format::Deb, Format::Rpm] {
        let (world, host) = open(format);
        host.sh("useradd --system --user-group --groups runtime-agent-broker client
                 useradd --system --user-group --groups runtime-agent,runtime-agent-credentials,runtime-agent-view other")
            .ok();
        let catalog = ask(&host, "client", SOCKET, "http://broker/v2/catalog").ok();
        assert!(catalog.ends_with("\n200") && catalog.contains("\"bindable\":true"), "{catalog}");
        let refused = ask(&host, "other", SOCKET, "http://broker/v2/catalog").ok();
        assert!(refused.ends_with("\n403") && refused.contains("runtime-agent-broker"), "{refused}");

        let (service, plan) = offer(&host);
        let said = host
            .run(&[
                "runtime-agent",
                "broker",
                "bind",
                &service,
                &plan,
                "--to",
                "/root/credentials.json",
                "--binding",
                "b-1",
            ])
            .ok();
        assert!(said.contains("/root/credentials.json"), "{said}");
        assert_eq!(host.run(&["stat", "--format=%a %U", "/root/credentials.json"]).ok(), "600 root");
        assert_eq!(world.plane.instance_auths(&world.runtime).len(), 1);
        assert_eq!(
            host.run(&["stat", "--format=%a %U", "/var/lib/runtime-agent/broker.redb"]).ok(),
            "600 runtime-agent"
        );

        host.run(&["systemctl", "restart", SERVICE]).ok();
        format.install(&host, &format.upgrade());
        let bindings = host.run(&["runtime-agent", "broker", "bindings"]).ok();
        assert!(bindings.contains("b-1") && bindings.contains("ready"), "{bindings}");
        let said = host.run(&["runtime-agent", "broker", "unbind", "b-1"]).ok();
        assert!(said.contains("given back"), "{said}");
        assert_eq!(world.plane.instance_auths(&world.runtime).len(), 0);
        assert_eq!(host.run(&["runtime-agent", "broker", "instances"]).ok(), "There are no instances.");

        host.run(&["rm", "/etc/runtime-agent/agent.d/broker.toml"]).ok();
        host.run(&["systemctl", "reload", SERVICE]).ok();
        host.sh(&format!("for i in $(seq 100); do test -e {SOCKET} || exit 0; sleep 0.1; done; exit 1")).ok();
        host.run(&["runtime-agent", "broker", "bindings"]).fails_with(1);
    }
}

#[test]
fn a_client_at_systemds_socket_waits_for_the_daemon_instead_of_failing() {
    const PASSED: &str = "/run/runtime-agent-broker.sock";
    let (_world, host) = open(Format::Deb);
    host.run(&["systemctl", "stop", SERVICE]).ok();
    host.run(&["systemctl", "enable", "--now", "runtime-agent-broker.socket"]).ok();
    assert_eq!(host.property(SERVICE, "ActiveState"), "inactive");

    // The request itself starts the daemon, which has its list from before, and needs no plane for it.
    let catalog = ask(&host, "root", PASSED, "--retry 20 --retry-delay 1 http://broker/v2/catalog").ok();

    assert!(catalog.ends_with("\n200"), "{catalog}");
    assert_eq!(host.property(SERVICE, "ActiveState"), "active");
    assert!(ask(&host, "root", SOCKET, "http://broker/v2/catalog").ok().ends_with("\n200"));
    host.run(&["systemctl", "restart", SERVICE]).ok();
    let catalog = ask(&host, "root", PASSED, "--retry 20 --retry-delay 1 http://broker/v2/catalog").ok();
    assert!(catalog.ends_with("\n200"), "{catalog}");
}
