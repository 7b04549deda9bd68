//! Where the broker is served, while the settings change.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use jiff::Timestamp;
use tokio::net::{TcpStream, UnixStream};

use super::*;
use crate::agent::Board;
use crate::agent::status::{Area, Status};
use crate::broker::http::{Passed, Surroundings, serve};
use crate::clock::Wall;

/// What the broker is served by.
struct Host {
    settings: watch::Sender<config::Broker>,
    board: Board,
    folder: TempDir,
}

impl Host {
    fn new() -> Self {
        let board = Board::new(Status::new("/token".into(), Timestamp::UNIX_EPOCH), Rc::new(Wall));
        let settings = watch::channel(config::Broker::default()).0;
        Self { settings, board, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn surroundings(&self, passed: Passed) -> Surroundings {
        let (orders, _) = decider();
        Surroundings {
            settings: self.settings.subscribe(),
            socket: self.path("broker.sock"),
            passed,
            orders,
            catalog: watch::channel(None).1,
            board: self.board.clone(),
        }
    }

    /// Serves while `test` goes on.
    async fn serve(&self, passed: Passed, test: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = serve(self.surroundings(passed)) => panic!("serving does not end by itself"),
            () = test => {}
        }
    }

    /// Waits until something is said, or not said any more, about a problem.
    async fn told(&self, words: Option<&str>) {
        let mut status = self.board.subscribe();
        let as_wanted = |status: &Status| match (status.problems.get(&Area::Broker), words) {
            (None, None) => true,
            (Some(problem), Some(words)) => problem.what.contains(words),
            _ => false,
        };
        status.wait_for(as_wanted).await.unwrap();
    }
}

fn client(socket: &Path) -> Client {
    Client::builder().tls_certs_only([]).no_proxy().unix_socket(socket).pool_max_idle_per_host(0).build().unwrap()
}

async fn status(client: &Client, base: &str) -> u16 {
    let request = client.get(format!("{base}/v2/service_instances/i")).header("X-Broker-API-Version", "2.17");
    request.send().await.unwrap().status().as_u16()
}

/// Waits until somebody listens, or nobody does any more. There is nothing else that would tell it.
async fn until<T>(listens: bool, connect: impl AsyncFn() -> std::io::Result<T>) {
    while connect().await.is_ok() != listens {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_socket_is_there_for_everybody_to_connect_while_the_broker_is_on() {
    let host = Host::new();
    let path = host.path("broker.sock");
    host.serve(Passed::default(), async {
        assert!(!path.exists());
        for _ in 0..2 {
            host.settings.send_modify(|settings| settings.enabled = Brokerage::Open);
            until(true, || UnixStream::connect(&path)).await;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o666);
            assert_eq!(status(&client(&path), "http://broker").await, 200);
            host.settings.send_modify(|settings| settings.enabled = Brokerage::Closed);
            until(false, || UnixStream::connect(&path)).await;
            assert!(!path.exists());
        }
        host.settings.send_modify(|settings| settings.enabled = Brokerage::Open);
        until(true, || UnixStream::connect(&path)).await;
    })
    .await;
    assert!(!path.exists(), "it goes with the process");
}

#[tokio::test]
async fn a_socket_that_cannot_be_had_is_a_problem_on_the_board() {
    let host = Host::new();
    std::fs::create_dir(host.path("broker.sock")).unwrap();
    host.settings.send_modify(|settings| settings.enabled = Brokerage::Open);
    host.serve(Passed::default(), async {
        host.told(Some("has no socket at")).await;
        host.settings.send_modify(|settings| settings.enabled = Brokerage::Closed);
        host.told(None).await;
    })
    .await;
}

#[tokio::test]
async fn a_passed_socket_is_used_besides_its_own_and_answers_while_the_broker_is_off() {
    let host = Host::new();
    let path = host.path("passed.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    host.serve(Passed::these(vec![listener]), async {
        let client = client(&path);
        assert_eq!(status(&client, "http://broker").await, 503);
        host.settings.send_modify(|settings| settings.enabled = Brokerage::Open);
        assert_eq!(status(&client, "http://broker").await, 200);
        assert!(host.path("broker.sock").exists());
        host.settings.send_modify(|settings| settings.enabled = Brokerage::Closed);
        assert_eq!(status(&client, "http://broker").await, 503);
    })
    .await;
    assert!(path.exists(), "it is systemd's");
}

#[tokio::test]
async fn the_address_is_served_to_who_knows_the_password_of_the_moment() {
    let host = Host::new();
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let password = host.path("password");
    let write = |text: &str| crate::disk::write(&password, 0o600, text.as_bytes()).unwrap();
    host.settings.send_modify(|settings| {
        settings.listen = Some(free.to_string().parse().unwrap());
        settings.password_file = Some(password.clone());
        settings.enabled = Brokerage::Open;
    });
    host.serve(Passed::default(), async {
        host.told(Some("cannot be read from")).await;
        assert!(TcpStream::connect(free).await.is_err(), "nobody listens there");

        let client = Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let status = async |password: &str| {
            let request = client.get(format!("http://{free}/v2/service_instances/i")).basic_auth("u", Some(password));
            request.header("X-Broker-API-Version", "2.17").send().await.unwrap().status().as_u16()
        };
        write("u:one\n");
        host.settings.send_modify(|_| ());
        host.told(None).await;
        assert_eq!((status("one").await, status("two").await), (200, 401));

        // A reload reads the file again, and cuts nobody who is connected.
        write("u:two\n");
        host.settings.send_modify(|_| ());
        while status("two").await != 200 {}
        assert_eq!(status("one").await, 401);

        write("two");
        host.settings.send_modify(|_| ());
        host.told(Some("does not hold one line")).await;
        until(false, || TcpStream::connect(free)).await;
        write("u:two\n");
        host.settings.send_modify(|_| ());
        host.told(None).await;
        assert_eq!(status("two").await, 200);

        host.settings.send_modify(|settings| settings.listen = None);
        until(false, || TcpStream::connect(free)).await;
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_a_problem_until_another_is_named() {
    let host = Host::new();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let password = host.path("password");
    crate::disk::write(&password, 0o600, b"u:p").unwrap();
    host.settings.send_modify(|settings| {
        settings.listen = Some(taken.local_addr().unwrap().to_string().parse().unwrap());
        settings.password_file = Some(password.clone());
        settings.enabled = Brokerage::Open;
    });
    host.serve(Passed::default(), async {
        host.told(Some("cannot be served at 127.0.0.1")).await;
        host.settings.send_modify(|settings| settings.listen = None);
        host.told(None).await;
    })
    .await;
}
