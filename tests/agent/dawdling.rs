//! Clients of the control socket that connect and do not come to the point.

use std::time::Duration;

use nix::sys::signal::Signal;
use plane::Options;
use runtime_agent::agent::status::Status;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::access::{READERS, open_host, run_as};
use crate::host::{Host, within};
use crate::scene::Scene;

/// Says this at the control socket, and then nothing more; what is answered until the connection is cut.
async fn dawdle(host: &Host, said: &str) -> String {
    let mut stream = UnixStream::connect(host.path("run/control.sock")).await.unwrap();
    stream.write_all(said.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // What is cut in the middle may end with an error.
    let _ = within("the end of the connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

/// Says a request byte by byte, for as long as it is heard.
async fn drip(host: &Host) {
    let stream = UnixStream::connect(host.path("run/control.sock")).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drops = async {
        let mut rhythm = tokio::time::interval(Duration::from_millis(200));
        while writer.write_all(b"G").await.is_ok() {
            rhythm.tick().await;
        }
    };
    within("the end of the connection", drops).await;
    let _ = reader.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn who_does_not_come_to_the_point_is_cut_and_who_waits_for_an_answer_is_not() {
    let scene = Scene::with(Options::default(), |_| {}).await;
    let agent = scene.host.start().await;
    let revision = agent.status().await.revision;
    let mut waiting = UnixStream::connect(scene.host.path("run/control.sock")).await.unwrap();
    let request = format!("GET /v1/status?after={revision} HTTP/1.1\r\nHost: x\r\n\r\n");
    waiting.write_all(request.as_bytes()).await.unwrap();
    let head = "POST /v1/sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    let (silent, half, body, after, ()) = tokio::join!(
        dawdle(&scene.host, ""),
        dawdle(&scene.host, "GET /v1/status HTTP/1.1\r\nHost:"),
        dawdle(&scene.host, head),
        dawdle(&scene.host, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
        drip(&scene.host),
    );
    assert!(!silent.contains("200 OK") && !half.contains("200 OK"), "{silent} {half}");
    assert!(body.starts_with("HTTP/1.1 400 "), "{body}");
    assert!(after.starts_with("HTTP/1.1 200 OK") && after.ends_with("ok\n"), "{after}");

    // By now a reader that came before all of them has waited for longer than they were given.
    scene.host.drop_token("nonsense");
    let mut answer = [0; 15];
    within("the answer", waiting.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let told = |status: &Status| status.revision != revision;
    agent.wait_for("the change", told).await;
    agent.signal(Signal::SIGTERM);
}

#[tokio::test]
async fn users_who_hold_every_place_and_say_nothing_make_place_for_readers() {
    let Some(scene) = open_host().await else { return };
    let agent = scene.host.start().await;
    // Many users, who hold all that others may hold together; who is asked for is who they are when they connect.
    let script = r#"
        use IO::Socket::UNIX;
        $| = 1;
        my @held;
        for my $user (60001 .. 60008) {
            $> = $user;
            for (1 .. 8) {
                my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "no connection: $!";
                push @held, $socket;
                # Who is not admitted is cut at once.
                my $bits = ''; vec($bits, fileno $socket, 1) = 1;
                die "not admitted" if select($bits, undef, undef, 0.01);
            }
            $> = 0;
        }
        print scalar @held, "\n";
        my $cut = 0;
        for my $socket (@held) { 1 while sysread $socket, my $answer, 100; $cut++ }
        print "$cut\n";
    "#;
    let mut command = tokio::process::Command::new("/usr/bin/perl");
    command.args(["-e", script]).arg(scene.host.path("run/control.sock"));
    command.stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let mut crowd = command.spawn().unwrap();
    let mut lines = tokio::io::BufReader::new(crowd.stdout.take().unwrap()).lines();
    let held = within("the connections", lines.next_line()).await.unwrap();
    assert_eq!(held.as_deref(), Some("64"));
    assert_eq!(scene.host.run(&["status"], "").await.status.code(), Some(3), "root is served meanwhile");
    let cut = within("the end of the connections", lines.next_line()).await.unwrap();
    assert_eq!(cut.as_deref(), Some("64"));
    assert_eq!(run_as(&scene, READERS, &["status"]).await.status.code(), Some(3), "a reader is served");
    drop(agent);
}
