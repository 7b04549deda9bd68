//! The way to the plane: through a proxy or not, and never to whom is not to be trusted.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use runtime_agent::agent::status::{Area, State};
use runtime_agent::config::{LogLevel, Settings};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::host::{Host, said, within};
use crate::scene::{Scene, is_settled, is_well, problem};

/// How a proxy answers.
#[derive(Clone, Copy)]
enum Manner {
    /// It makes the connection.
    Serves,
    /// It sends this status line.
    Refuses(&'static str),
    /// It says nothing.
    HangsUp,
}

/// What a proxy was asked for: the head of one request, line by line.
type Head = Vec<String>;

/// A proxy that speaks the method CONNECT.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Head>>>,
    work: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.work.abort();
    }
}

impl Proxy {
    async fn start(manner: Manner) -> Self {
        Self::start_with(manner, None).await
    }

    async fn start_with(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        let work = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, tls) = (seen.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, manner, &seen).await,
                        Some(tls) => serve(tls.accept(stream).await?, manner, &seen).await,
                    }
                });
            }
        });
        Self { address, asked, work }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The hosts, with ports, that it was asked to connect to.
    fn targets(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap().iter().map(|head| head[0].split(' ').nth(1).unwrap().to_owned()).collect()
    }

    /// How often it was asked.
    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    manner: Manner,
    seen: &Mutex<Vec<Head>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let target = head[0].strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
    seen.lock().unwrap().push(head);
    match (manner, target) {
        (Manner::HangsUp, _) => Ok(()),
        (Manner::Refuses(status), _) => {
            let answer = format!("HTTP/1.1 {status}\r\nProxy-Authenticate: Basic realm=\"canary-realm\"\r\n\r\n");
            stream.write_all(answer.as_bytes()).await
        }
        (Manner::Serves, None) => stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n").await,
        (Manner::Serves, Some(target)) => {
            let mut onwards = TcpStream::connect(target).await?;
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut stream, &mut onwards).await.map(drop)
        }
    }
}

/// Host and port of an address.
fn authority(url: &str) -> String {
    url.split('/').nth(2).unwrap().to_owned()
}

fn through(address: &str) -> impl FnOnce(&mut Settings) {
    let proxy = address.parse().unwrap();
    move |settings| settings.plane.proxy = proxy
}

/// Pairs the host by an agent with these variables in its environment, renews, and answers where connections went to.
async fn live(scene: &Scene, environment: &[(&str, String)]) -> BTreeSet<String> {
    let mut command = scene.host.command(&["run"]);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let agent = scene.host.start_command(command).await;
    scene.host.drop_token(&scene.mint());
    let before = agent.wait_for("the pairing", is_settled).await;
    assert!(agent.renew().await.done);
    let renewed = |status: &runtime_agent::agent::status::Status| is_well(status) && status.identity != before.identity;
    agent.wait_for("the renewal", renewed).await;
    assert!(agent.sync().await.done);
    agent.terminate().await;
    let plane = &scene.plane;
    [plane.connector_url(), plane.secured_connector_url(), plane.director_url()]
        .iter()
        .map(|url| authority(url))
        .collect()
}

#[tokio::test]
async fn a_configured_proxy_is_on_the_way_to_the_whole_plane_whatever_the_environment_says() {
    let (proxy, other) = (Proxy::start(Manner::Serves).await, Proxy::start(Manner::Serves).await);
    let scene = Scene::with(plane::Options::default(), through(&proxy.url())).await;
    let plane = live(&scene, &[("HTTPS_PROXY", other.url())]).await;
    assert_eq!(proxy.targets(), plane);
    assert_eq!(other.count(), 0);
}

#[tokio::test]
async fn a_host_that_the_environment_excepts_is_reached_without_the_configured_proxy() {
    let proxy = Proxy::start(Manner::Serves).await;
    for variable in ["NO_PROXY", "no_proxy"] {
        let scene = Scene::with(plane::Options::default(), through(&proxy.url())).await;
        live(&scene, &[(variable, "plane.example.com, 127.0.0.0/8".into())]).await;
        assert_eq!(proxy.count(), 0, "{variable}");
    }
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_on_the_way_unless_none_is_configured() {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        let proxy = Proxy::start(Manner::Serves).await;
        let scene = Scene::new().await;
        let plane = live(&scene, &[(variable, proxy.url())]).await;
        assert_eq!(proxy.targets(), plane, "{variable}");

        let seen = proxy.count();
        let scene = Scene::with(plane::Options::default(), through("none")).await;
        live(&scene, &[(variable, proxy.url())]).await;
        assert_eq!(proxy.count(), seen, "{variable}");
    }
}

#[tokio::test]
async fn a_proxy_at_https_is_verified_and_used() {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = authority.self_signed(&key).unwrap().pem();
    let own = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&own, &Issuer::new(authority, key)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], own.serialize_der().try_into().unwrap())
        .unwrap();
    let proxy = Proxy::start_with(Manner::Serves, Some(TlsAcceptor::from(Arc::new(tls)))).await;
    let address = format!("https://{}", proxy.address);
    let scene = Scene::with(plane::Options::default(), through(&address)).await;

    // Nobody vouches for it yet.
    let agent = scene.host.start().await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the complaint", |status| !problem(status, Area::Pairing).is_empty()).await;
    let what = problem(&status, Area::Pairing);
    assert!(what.contains(&format!("the proxy {address} cannot be spoken to: invalid peer certificate")), "{what}");
    agent.terminate().await;
    assert_eq!(proxy.count(), 0);
    fs::remove_file(scene.host.token()).unwrap();

    let mut bundle = OpenOptions::new().append(true).open(scene.host.path("plane-ca.pem")).unwrap();
    bundle.write_all(ca_pem.as_bytes()).unwrap();
    let plane = live(&scene, &[]).await;
    assert_eq!(proxy.targets(), plane);
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_and_a_reload_gets_round_it() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (manner, words, state) in [
        (
            Some(Manner::Refuses("407 Proxy Authentication Required")),
            "asks for a user name and password, or does not accept those in HTTPS_PROXY",
            State::ActionNeeded,
        ),
        (Some(Manner::Refuses("403 Forbidden")), "makes none to 127.0.0.1:", State::Pairing),
        (Some(Manner::Refuses("502 Bad Gateway")), "makes none to 127.0.0.1:", State::Pairing),
        (Some(Manner::HangsUp), "cannot be spoken to: ", State::Pairing),
        (None, "cannot be spoken to: Connection refused", State::Pairing),
    ] {
        let scene = Scene::new().await;
        let proxy = match manner {
            Some(manner) => Some(Proxy::start(manner).await),
            None => None,
        };
        let address = proxy.as_ref().map_or(gone, |proxy| proxy.address);
        let mut command = scene.host.command(&["run"]);
        command.env("HTTPS_PROXY", format!("http://canary-user:canary-password@{address}"));
        let agent = scene.host.start_command(command).await;
        scene.host.drop_token(&scene.mint());
        let status = agent.wait_for("the complaint", |status| !problem(status, Area::Pairing).is_empty()).await;
        let what = problem(&status, Area::Pairing);
        assert!(what.contains(&format!("the proxy http://{address} {words}")), "{what}");
        assert!(!what.contains("canary"), "{what}");
        assert_eq!(status.state, state, "{what}");
        assert_eq!(scene.plane.requests().len(), 0);
        assert!(scene.host.token().exists());

        scene.host.configure(through("none"));
        agent.signal(Signal::SIGHUP);
        agent.wait_for("the pairing", is_settled).await;
    }
}

#[tokio::test]
async fn a_proxy_of_a_kind_that_is_not_spoken_is_not_passed_by() {
    let scene = Scene::new().await;
    let mut command = scene.host.command(&["run"]);
    command.env("HTTPS_PROXY", "socks5://canary-user:canary-password@127.0.0.1:1");
    let agent = scene.host.start_command(command).await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the complaint", |status| !problem(status, Area::Pairing).is_empty()).await;
    let what = problem(&status, Area::Pairing);
    assert!(what.contains("the proxy socks5://127.0.0.1:1 cannot be spoken to"), "{what}");
    assert_eq!(scene.plane.requests().len(), 0);
}

#[tokio::test]
async fn what_the_environment_says_to_a_proxy_is_said_to_nobody_else() {
    let password = "canary-proxy-password";
    let spoken = STANDARD.encode(format!("canary-user:{password}"));
    let proxy = Proxy::start(Manner::Serves).await;
    let scene = Scene::with(plane::Options::default(), |settings| settings.log.level = LogLevel::Trace).await;
    scene.host.hook("record", r#"env >"$SPOOL/env"; tr '\0' '\n' <"/proc/$PPID/environ" >>"$SPOOL/env""#);
    let mut command = scene.host.command(&["run"]);
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"] {
        command.env(variable, format!("http://canary-user:{password}@{}", proxy.address));
    }
    let agent = scene.host.start_command(command).await;
    scene.host.drop_token(&scene.mint());
    let status = agent.wait_for("the pairing", is_settled).await;
    let heads = proxy.asked.lock().unwrap().clone();
    let shown = format!("proxy-authorization: Basic {spoken}").to_lowercase();
    for head in &heads {
        assert!(head.iter().any(|line| line.to_lowercase() == shown), "{head:?}");
    }
    assert!(!heads.is_empty());
    // A failure that names the proxy.
    proxy.work.abort();
    let answer = agent.sync().await;
    let mut told = vec![
        ("the log", scene.host.log()),
        ("the answer", answer.message),
        ("the status", serde_json::to_string(&status).unwrap()),
        ("the status later", serde_json::to_string(&agent.status().await).unwrap()),
        ("what hooks get", scene.host.read("spool/env")),
        ("the plane", format!("{:?}", scene.plane.requests())),
    ];
    for entry in crate::tree::files(&scene.host.path("state")).into_values() {
        told.push(("a file", String::from_utf8_lossy(&entry).into_owned()));
    }
    assert!(told[0].1.contains(" DEBUG asking Applications"), "the log tells everything");
    for (place, text) in &told {
        assert!(!text.contains(password) && !text.contains(&spoken), "the password is in {place}:\n{text}");
    }
}

#[tokio::test]
async fn commands_speak_to_the_agent_and_to_no_proxy() {
    let proxy = Proxy::start(Manner::Serves).await;
    let scene = Scene::new().await;
    let agent = scene.paired().await;
    for arguments in [&["status"][..], &["sync"], &["renew"], &["pair"]] {
        let mut command = scene.host.command(arguments);
        for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            command.env(variable, proxy.url());
        }
        let input = if arguments == ["pair"] { scene.mint() } else { String::new() };
        let output = crate::host::finished(command, &input).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    assert_eq!(proxy.count(), 0);
    drop(agent);
}

/// A server of OpenSSL's that speaks one version of TLS, and its address.
async fn server_of(host: &Host, version: &str) -> (tokio::process::Child, SocketAddr) {
    let (key, certificate) = (host.path("server-key.pem"), host.path("server.pem"));
    let pair = KeyPair::generate().unwrap();
    let made = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&pair).unwrap();
    fs::write(&key, pair.serialize_pem()).unwrap();
    fs::write(&certificate, made.pem()).unwrap();
    let mut server = tokio::process::Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", version, "-cipher", "ALL@SECLEVEL=0"])
        .arg("-key")
        .arg(key)
        .arg("-cert")
        .arg(certificate)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("this test needs the command openssl");
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let address = within("the server's address", async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                return address.parse().unwrap();
            }
        }
    });
    let address = address.await;
    // What it goes on saying has nobody who reads it.
    tokio::spawn(async move { lines.into_inner().read_to_end(&mut Vec::new()).await });
    (server, address)
}

#[tokio::test]
async fn no_tls_before_1_2_is_spoken_and_a_server_that_is_not_verified_is_told_nothing() {
    for (version, words) in [
        ("-tls1_1", "TLS alert ProtocolVersion"),
        ("-tls1_2", "the server's certificate is not trusted"),
        ("-tls1_3", "the server's certificate is not trusted"),
    ] {
        let scene = Scene::new().await;
        let (_server, address) = server_of(&scene.host, version).await;
        let agent = scene.host.start().await;
        scene.host.drop_token(&format!("TOKEN=canary\nCONNECTOR_URL=https://{address}/graphql\n"));
        let status = agent.wait_for("the complaint", |status| !problem(status, Area::Pairing).is_empty()).await;
        let what = problem(&status, Area::Pairing);
        assert!(what.contains(words), "{version}: {what}");
    }
}
