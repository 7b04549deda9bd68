//! Who may use the control socket: other users than the agent's, by the groups that the configuration names.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use nix::sys::signal::Signal;
use plane::Options;
use runtime_agent::agent::status::Status;
use runtime_agent::config::Settings;

use crate::host::{PROGRAM, finished, said};
use crate::scene::Scene;

/// A user that no host knows.
const STRANGER: &str = "54321";

/// Groups that every host has, of which the first two are in the configuration.
const ADMINISTRATORS: &str = "daemon";
pub const READERS: &str = "bin";
const OTHERS: &str = "sys";

/// A host whose socket everybody gets as far as; nothing, where this is not root, who alone can be somebody else.
pub async fn open_host() -> Option<Scene> {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: it takes root to run a command as another user");
        return None;
    }
    let groups = |settings: &mut Settings| {
        settings.control.administrators = ADMINISTRATORS.parse().unwrap();
        settings.control.readers = READERS.parse().unwrap();
    };
    let scene = Scene::with(Options::default(), groups).await;
    for path in [scene.host.path(""), scene.host.path("agent.toml")] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    // Where it was built, others may not come.
    let program = scene.host.path("runtime-agent");
    fs::hard_link(PROGRAM, &program).or_else(|_| fs::copy(PROGRAM, &program).map(drop)).unwrap();
    Some(scene)
}

/// Runs a command as a stranger of this group.
pub async fn run_as(scene: &Scene, group: &str, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new("setpriv");
    command.args(["--reuid", STRANGER, "--clear-groups", "--regid", group]);
    command.arg(scene.host.path("runtime-agent")).args(arguments).arg("--config").arg(scene.host.path("agent.toml"));
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
    finished(command, "").await
}

#[tokio::test]
async fn administrators_give_orders_readers_look_and_others_learn_which_group_would_do() {
    let Some(scene) = open_host().await else { return };
    let agent = scene.paired().await;
    for (group, arguments, code, words) in [
        (ADMINISTRATORS, &["sync"][..], 0, "Nothing changed"),
        (ADMINISTRATORS, &["status"], 0, "healthy"),
        (READERS, &["status"], 0, "healthy"),
        (READERS, &["status", "--json"], 0, "\"healthy\""),
        (READERS, &["sync"], 1, "may look, and change nothing: that is for root and the members of the group daemon"),
        (READERS, &["renew"], 1, "the group daemon"),
        (READERS, &["rollback"], 1, "the group daemon"),
        (READERS, &["resume"], 1, "the group daemon"),
        (OTHERS, &["status"], 1, "the groups bin (control.readers) and daemon (control.administrators)"),
        (READERS, &["metrics"], 0, "# TYPE"),
        (OTHERS, &["metrics"], 1, "(control.readers)"),
        (OTHERS, &["sync"], 1, "the group daemon"),
        (OTHERS, &["renew"], 1, "the group daemon"),
    ] {
        let output = run_as(&scene, group, arguments).await;
        assert_eq!(output.status.code(), Some(code), "{group} {arguments:?}: {}", said(&output));
        assert!(said(&output).contains(words), "{group} {arguments:?}: {}", said(&output));
        assert!(code == 0 || output.stdout.is_empty(), "{group} {arguments:?}: {}", said(&output));
    }
    let fingerprint = |status: Status| status.identity.unwrap().fingerprint;
    let before = fingerprint(agent.status().await);
    assert_eq!(run_as(&scene, READERS, &["unpair"]).await.status.code(), Some(1));
    assert_eq!(fingerprint(agent.status().await), before, "nothing was given up or renewed");

    // Who is in which group is asked anew each time, and so is the configuration.
    let text = scene.host.read("agent.toml").replace("readers = \"bin\"", "readers = \"sys\"");
    let text = text.replace("interval = \"1h\"", "interval = \"10m\"");
    scene.host.write_configuration(&text);
    agent.signal(Signal::SIGHUP);
    let sooner = |status: &Status| {
        status
            .sync
            .next
            .is_some_and(|next| status.sync.last_success.is_some_and(|last| next.duration_since(last).as_secs() < 1000))
    };
    agent.wait_for("the reload", sooner).await;
    assert_eq!(run_as(&scene, READERS, &["status"]).await.status.code(), Some(1));
    assert_eq!(run_as(&scene, OTHERS, &["status"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_group_that_the_host_does_not_have_lets_nobody_in_but_root() {
    let Some(scene) = open_host().await else { return };
    let text =
        scene.host.read("agent.toml").replace("\"daemon\"", "\"no-such-group\"").replace("\"bin\"", "\"no-such\"");
    scene.host.write_configuration(&text);
    let agent = scene.host.start().await;
    for group in ["root", ADMINISTRATORS, READERS, OTHERS] {
        let output = run_as(&scene, group, &["status"]).await;
        assert_eq!(output.status.code(), Some(1), "{group}: {}", said(&output));
    }
    assert_eq!(scene.host.run(&["status"], "").await.status.code(), Some(3));
    drop(agent);
}

#[tokio::test]
async fn a_user_who_hoards_connections_keeps_out_neither_root_nor_the_agent() {
    let Some(scene) = open_host().await else { return };
    let agent = scene.host.start().await;
    let socket = scene.host.path("run/control.sock");
    // Each asks once, and is kept open after the answer.
    let script = r#"
        use IO::Socket::UNIX;
        $SIG{PIPE} = 'IGNORE';
        $| = 1;
        my ($answered, @held) = 0;
        for (1..200) {
            my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or next;
            push @held, $socket;
            syswrite $socket, "GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n";
            my $answer = '';
            sysread $socket, $answer, 12;
            $answered++ if $answer eq 'HTTP/1.1 403';
        }
        print "$answered\n";
        <STDIN>;
    "#;
    let mut command = tokio::process::Command::new("setpriv");
    command
        .args(["--reuid", STRANGER, "--clear-groups", "--regid", OTHERS, "/usr/bin/perl", "-e", script])
        .arg(&socket);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut hoarder = command.spawn().unwrap();
    let mut held = String::new();
    let mut out = tokio::io::BufReader::new(hoarder.stdout.take().unwrap());
    let read = tokio::io::AsyncBufReadExt::read_line(&mut out, &mut held);
    crate::host::within("the connections", read).await.unwrap();
    assert_eq!(held.trim(), "8", "of 200 connections");
    assert_eq!(scene.host.run(&["status"], "").await.status.code(), Some(3), "root is served");
    drop(agent);
}
