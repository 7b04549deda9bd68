//! The ways in: opened and closed by a reload, for those who are meant, at the socket and at the address.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use plane::Options;
use reqwest::Method;
use runtime_agent::agent::status::{Area, Status};
use runtime_agent::config::{LoopbackAddress, Settings};
use tokio::process::Command;

use super::platform::{Platform, binding, instance, send};
use super::shop::{Shop, open};
use crate::access::{READERS, open_host, run_as};
use crate::host::{finished, said, within};
use crate::scene::{Scene, problem};

#[tokio::test]
async fn a_reload_opens_the_broker_and_another_one_closes_it_and_what_was_bound_stays() {
    let shop = Shop::with(Options::default(), |_| {}).await;
    let agent = shop.scene.paired().await;
    let (platform, offer, socket) = (shop.platform(), &shop.at_once, shop.host().path("run/broker.sock"));
    assert!(!socket.exists() && agent.status().await.broker.is_none());
    let output = shop.host().run(&["broker", "bindings"], "").await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("broker.enabled"), "{}", said(&output));
    let before = agent.status().await.agent.pid;

    let reload = async |open: fn(&mut Settings)| {
        shop.host().configure(open);
        agent.signal(Signal::SIGHUP);
    };
    reload(open).await;
    agent.wait_for("the broker", |status| status.broker.is_some()).await;
    within("the socket", made(&socket)).await;
    // What the plane said before is enough for it.
    let asked = shop.scene.requests("applicationsForRuntime").len();
    platform.offers(offer).await;
    assert_eq!(shop.scene.requests("applicationsForRuntime").len(), asked);
    assert_eq!(platform.put(&instance("i"), &offer.instance()).await.status, 201);
    let bound = platform.put(&binding("i", "b"), &offer.binding()).await;
    assert_eq!(bound.status, 201);

    reload(|_| {}).await;
    agent.wait_for("no broker", |status| status.broker.is_none()).await;
    within("no socket", gone(&socket)).await;
    assert_eq!(shop.only().id, bound.body["credentials"]["id"].as_str().unwrap(), "nothing is given back");

    reload(open).await;
    agent.wait_for("the broker again", |status| status.broker.is_some()).await;
    within("the socket again", made(&socket)).await;
    let seen = platform.get(&binding("i", "b")).await;
    assert_eq!((seen.status, &seen.body["credentials"]), (200, &bound.body["credentials"]));
    assert_eq!(agent.status().await.agent.pid, before);
    agent.terminate().await;
    assert!(!socket.exists(), "a socket that nobody listens on would only confuse");
}

/// Waits until there is a socket.
async fn made(path: &Path) {
    while !path.exists() {
        tokio::task::yield_now().await;
    }
}

/// Waits until there is none.
async fn gone(path: &Path) {
    while path.exists() {
        tokio::task::yield_now().await;
    }
}

/// An address that was free a moment ago.
pub fn free() -> LoopbackAddress {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string().parse().unwrap()
}

#[tokio::test]
async fn at_the_address_the_password_lets_in_and_a_reload_changes_it() {
    let address = free();
    let shop = Shop::with(Options::default(), |_| {}).await;
    let file = shop.host().path("password");
    let write = |line: &str, mode: u32| {
        fs::write(&file, line).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    };
    let settings = |settings: &mut Settings| {
        open(settings);
        settings.broker.listen = Some(address);
        settings.broker.password_file = Some(file.clone());
    };
    shop.host().configure(settings);
    // Everybody could know it.
    write("till:first-password\n", 0o644);
    let agent = shop.scene.host.start().await;
    agent.wait_for("the refusal of the file", |status| problem(status, Area::Broker).contains("chmod o-rwx")).await;
    write("till:first-password\n", 0o600);
    agent.signal(Signal::SIGHUP);
    let is_served = |status: &Status| problem(status, Area::Broker).is_empty();
    agent.wait_for("the address", is_served).await;
    shop.host().drop_token(&shop.scene.mint());
    agent.wait_for("the host to be paired and the files applied", crate::scene::is_settled).await;

    let at = address.to_string();
    let by = |password: &'static str| Platform::at_address(&at, "till", password);
    let platform = by("first-password");
    platform.offers(&shop.at_once).await;
    assert_eq!(platform.put(&instance("i"), &shop.at_once.instance()).await.status, 201);
    assert_eq!(platform.put(&binding("i", "b"), &shop.at_once.binding()).await.status, 201);
    for stranger in [by("second-password"), by(""), Platform::at_address(&at, "tills", "first-password")] {
        let refused = stranger.get(&binding("i", "b")).await;
        assert_eq!((refused.status, refused.error()), (401, "Unauthorized"));
        assert!(refused.header("www-authenticate").unwrap().starts_with("Basic "), "{refused:?}");
        // Nothing about the request is judged before it is known who asks.
        let refused = send(stranger.request(Method::PUT, &instance("i")).body("{")).await.unwrap();
        assert_eq!(refused.status, 401);
    }
    for version in [None, Some(""), Some("1.9"), Some("3.0"), Some("x")] {
        let request = platform.request(Method::GET, "/v2/catalog");
        let request =
            version.into_iter().fold(request, |request, version| request.header("x-broker-api-version", version));
        let refused = send(request).await.unwrap();
        assert_eq!((refused.status, refused.error()), (412, "UnsupportedApiVersion"), "{version:?}");
    }

    write("till:second-password\n", 0o600);
    agent.signal(Signal::SIGHUP);
    let changed = async {
        while by("second-password").get("/v2/catalog").await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    within("the other password", changed).await;
    assert_eq!(platform.get("/v2/catalog").await.status, 401, "also on a connection that is there");
    let log = shop.host().log();
    assert!(!log.contains("first-password") && !log.contains("second-password"), "{log}");
}

/// Asks for the catalog as somebody else, with `curl` or without: what is answered, to the byte.
async fn catalog_as(scene: &Scene, group: &str) -> String {
    let script = r#"
        use IO::Socket::UNIX;
        my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "no connection: $!";
        syswrite $socket, "GET /v2/catalog HTTP/1.1\r\nHost: x\r\nX-Broker-API-Version: 2.17\r\nConnection: close\r\n\r\n";
        local $/;
        print <$socket>;
    "#;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "54321", "--clear-groups", "--regid", group, "/usr/bin/perl", "-e", script]);
    command.arg(scene.host.path("run/broker.sock")).env_clear().current_dir("/");
    said(&finished(command, "").await)
}

#[tokio::test]
async fn at_the_socket_the_members_of_a_group_are_let_in_and_strangers_learn_which_group_would_do() {
    let Some(scene) = open_host().await else { return };
    let text = scene.host.read("agent.toml");
    let text = text.replace("[broker]\nenabled = false", "[broker]\nenabled = true");
    let text = text.replace("clients = \"runtime-agent-broker\"", &format!("clients = \"{READERS}\""));
    assert!(text.contains("enabled = true") && text.contains("clients = \"bin\""), "{text}");
    scene.host.write_configuration(&text);
    let agent = scene.paired().await;
    agent.wait_for("the broker", |status| status.broker.is_some()).await;
    let platform = Platform::at(&scene.host);
    let catalog = async { while platform.get("/v2/catalog").await.status != 200 {} };
    within("the catalog", catalog).await;
    let answer = catalog_as(&scene, READERS).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"services\""), "{answer}");
    for group in ["sys", "root"] {
        let answer = catalog_as(&scene, group).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("(broker.clients)"), "{group}: {answer}");
        assert!(!answer.contains("\"services\""), "{answer}");
    }
    // The command says the same, and writes nothing.
    let output = run_as(&scene, "sys", &["broker", "bind", "a", "b", "--to", "/tmp/never"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("the group bin (broker.clients)"), "{}", said(&output));
    assert_eq!(scene.plane.instance_auths(&scene.runtime), []);
}
