//! The examples in `etc/provisioning`, each from a host that has nothing of the agent to one that is paired.

use std::path::Path;

use plane::TokenForm;

use crate::host::{Host, Options};
use crate::life::{PATIENCE, World};
use crate::packages::Format;

fn example(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/provisioning").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replaces what has to be filled in, and insists that it is there.
#[track_caller]
fn fill(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in: {text}");
    text.replace(from, to)
}

#[track_caller]
fn assert_paired(world: &World, host: &Host) {
    host.wait_for_journal("the pairing", PATIENCE, |entry| entry.message().starts_with("paired with"));
    host.run(&["runtime-agent", "sync"]).ok();
    let identity = host.run(&["runtime-agent", "identity"]).ok();
    assert!(identity.contains(&world.runtime), "{identity}");
}

#[test]
fn a_first_boot_with_cloud_init_ends_paired() {
    let world = World::new();
    let mut host = Host::prepare(Options::default());
    let token = world.plane.mint_token(&world.runtime, TokenForm::Json);
    let example = example("cloud-init/user-data.yaml");
    let certificate = example.split_once("      -----BEGIN").expect("a certificate").1;
    let certificate = certificate.split_once("-----END CERTIFICATE-----\n").expect("its end").0;
    let certificate = format!("      -----BEGIN{certificate}-----END CERTIFICATE-----\n");
    let ca: String = world.plane.server_ca_pem().lines().map(|line| format!("      {line}\n")).collect();
    let data = fill(&example, &certificate, &ca);
    let data = fill(&data, r#"{"token": "example", "connectorURL": "https://connector.example.com/graphql"}"#, &token);
    let package = format!("file://{}", Format::Deb.current());
    let data = fill(&data, "https://packages.example.com/runtime-agent.deb", &package);
    host.run_with_input(
        &[
            "sh",
            "-euc",
            "rm /etc/cloud/cloud-init.disabled; echo 'locale: C.UTF-8' >/etc/cloud/cloud.cfg.d/98-locale.cfg; mkdir -p /var/lib/cloud/seed/nocloud; cd /var/lib/cloud/seed/nocloud
             echo 'instance-id: host-1' >meta-data; cat >user-data",
        ],
        &data,
    )
    .ok();

    host.start();

    assert_paired(&world, &host);
    let status = host.run(&["cloud-init", "status", "--wait"]).ok();
    assert!(status.contains("status: done"), "{status}");
    host.sh("! test -e /run/runtime-agent-token").ok();
    let said = host.read_file("/var/log/cloud-init-output.log");
    assert!(said.contains("paired with 127.0.0.1:"), "{said}");
    for canary in world.plane.canaries() {
        assert!(!said.contains(&canary), "a secret is in the log of cloud-init");
    }
}

#[test]
fn a_playbook_pairs_a_host_and_finds_nothing_to_do_the_second_time() {
    let world = World::new();
    let host = Host::boot(Options::default());
    host.sh("mkdir /root/play").ok();
    host.write_file("/root/play/playbook.yml", example("ansible/playbook.yml"), 0o644);
    host.write_file("/root/play/plane-ca.pem", world.plane.server_ca_pem(), 0o644);
    let variables = serde_json::json!({
        "runtime_agent_package": Format::Deb.current(),
        "runtime_agent_plane_ca": "/root/play/plane-ca.pem",
        "runtime_agent_token": world.plane.mint_token(&world.runtime, TokenForm::Base64),
    });
    host.write_file("/root/play/variables.json", variables.to_string(), 0o600);
    let play = || {
        host.sh(
            "cd /root/play && HOME=/root LC_ALL=C.UTF-8 ansible-playbook --inventory localhost, --connection local \
                 --extra-vars @variables.json playbook.yml",
        )
        .ok()
    };

    let first = play();
    assert!(first.contains("failed=0"), "{first}");
    assert_paired(&world, &host);

    let again = play();
    assert!(again.contains("changed=0") && again.contains("failed=0"), "{again}");
}

#[test]
fn an_image_is_paired_by_the_credential_of_its_first_boot() {
    let world = World::new();
    let token = world.plane.mint_token(&world.runtime, TokenForm::Base64);
    let mut host = Host::prepare(Options::default().credential("runtime-agent.token", &token));
    Format::Deb.install(&host, &Format::Deb.current());
    host.run_with_input(&["sh", "-euc", "cat >/etc/runtime-agent/plane-ca.pem"], &world.plane.server_ca_pem()).ok();
    host.run_with_input(
        &["sh", "-euc", "mkdir -p /etc/runtime-agent/agent.d; cat >/etc/runtime-agent/agent.d/10-plane.toml"],
        &example("credential/10-plane.toml"),
    )
    .ok();

    host.start();

    assert_paired(&world, &host);
    // At later boots the spent token is there again, and nothing comes of it.
    host.poweroff();
    host.start();
    assert_paired(&world, &host);
}
